//! `sum` and `avg`.

use num_bigint::BigInt;
use num_traits::Zero;

use super::{Accumulator, Combiner};
use crate::arguments::arg;
use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::float;
use crate::numeric::pow10;
use crate::registry::Implementation;
use crate::types::TypeId;
use crate::value::{Interval, Numeric, Value};

/// What is made of a sum and a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Sum,
    Average,
}

/// `sum` over `smallint` and `integer`: a `bigint`, which PostgreSQL does not check.
#[derive(Debug, Default)]
pub(super) struct ShortSum {
    sum: i64,
    count: u64,
}

impl ShortSum {
    fn add(&mut self, value: i64) {
        self.sum = self.sum.wrapping_add(value);
        self.count += 1;
    }

    fn value(&self) -> Value {
        if self.count == 0 { Value::Null } else { Value::Int8(self.sum) }
    }
}

impl Accumulator for ShortSum {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        match args.first() {
            Some(Value::Int2(value)) => self.add(i64::from(*value)),
            Some(Value::Int4(value)) => self.add(i64::from(*value)),
            _ => {}
        }
        Ok(())
    }

    fn retract(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<bool> {
        let value = match args.first() {
            Some(Value::Int2(value)) => i64::from(*value),
            Some(Value::Int4(value)) => i64::from(*value),
            _ => return Ok(true),
        };
        self.sum = self.sum.wrapping_sub(value);
        self.count -= 1;
        Ok(true)
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(self.value())
    }
}

impl Combiner for ShortSum {
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        if let Some(Value::Int8(sum)) = partials.first() {
            self.add(*sum);
        }
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        Ok(self.value())
    }
}

/// `sum(bigint)` and `avg` over integers: exact, as `numeric`.
#[derive(Debug)]
pub(super) struct LongSum {
    result: Wanted,
    sum: i128,
    count: i64,
}

impl LongSum {
    pub(super) fn sum() -> Self {
        Self { result: Wanted::Sum, sum: 0, count: 0 }
    }

    pub(super) fn average() -> Self {
        Self { result: Wanted::Average, sum: 0, count: 0 }
    }
}

/// An integer of any width; none for NULL.
fn whole(value: Option<&Value>) -> Option<i128> {
    match value {
        Some(Value::Int2(value)) => Some(i128::from(*value)),
        Some(Value::Int4(value)) => Some(i128::from(*value)),
        Some(Value::Int8(value)) => Some(i128::from(*value)),
        _ => None,
    }
}

impl Accumulator for LongSum {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        if let Some(value) = whole(args.first()) {
            self.sum += value;
            self.count += 1;
        }
        Ok(())
    }

    fn retract(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<bool> {
        if let Some(value) = whole(args.first()) {
            self.sum -= value;
            self.count -= 1;
        }
        Ok(true)
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        if self.count == 0 {
            return Ok(Value::Null);
        }
        let sum = Numeric::checked(BigInt::from(self.sum), 0)?;
        Ok(Value::Numeric(match self.result {
            Wanted::Sum => sum,
            Wanted::Average => sum.divide(&Numeric::from(self.count))?,
        }))
    }
}

/// `sum(numeric)` and `avg(numeric)`, and the combination of both and of the averages of integers from partial sums
/// and counts.
#[derive(Debug)]
pub(super) struct NumericSum {
    result: Wanted,
    total: NumericTotal,
    count: i64,
    /// How many of the numbers have the total's scale: without the last of them the scale would be another.
    widest: u64,
}

impl NumericSum {
    pub(super) fn sum() -> Self {
        Self { result: Wanted::Sum, total: NumericTotal::default(), count: 0, widest: 0 }
    }

    pub(super) fn average() -> Self {
        Self { result: Wanted::Average, total: NumericTotal::default(), count: 0, widest: 0 }
    }

    fn value(&self) -> Result<Value> {
        if self.count == 0 {
            return Ok(Value::Null);
        }
        let sum = self.total.value()?;
        Ok(Value::Numeric(match self.result {
            Wanted::Sum => sum,
            Wanted::Average => sum.divide(&Numeric::from(self.count))?,
        }))
    }
}

impl Accumulator for NumericSum {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        if let Some(Value::Numeric(value)) = args.first() {
            if let Numeric::Finite { scale, .. } = value {
                match scale.cmp(&self.total.scale) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => self.widest += 1,
                    std::cmp::Ordering::Greater => self.widest = 1,
                }
            }
            self.total.add(value);
            self.count += 1;
        }
        Ok(())
    }

    fn retract(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<bool> {
        let Some(Value::Numeric(value)) = args.first() else { return Ok(true) };
        let Numeric::Finite { unscaled, scale } = value else { return Ok(false) };
        if self.total.is_special() {
            return Ok(false);
        }
        let is_widest = *scale == self.total.scale;
        if is_widest && self.widest == 1 && self.total.scale > 0 {
            return Ok(false);
        }
        self.total.add_scaled(&-unscaled, *scale);
        self.widest -= u64::from(is_widest);
        self.count -= 1;
        Ok(true)
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        self.value()
    }
}

impl Combiner for NumericSum {
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        match partials.first() {
            Some(Value::Numeric(sum)) => self.total.add(sum),
            Some(Value::Int8(sum)) => self.total.add(&Numeric::from(*sum)),
            _ => return Ok(()),
        }
        self.count += match self.result {
            Wanted::Sum => 1,
            Wanted::Average => arg::<i64>(partials, 1)?,
        };
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        self.value()
    }
}

/// A running sum of numerics, in place: NaN and infinities are counted beside the finite ones.
#[derive(Debug, Default)]
pub(super) struct NumericTotal {
    finite: BigInt,
    scale: u16,
    nan: bool,
    positive_infinity: bool,
    negative_infinity: bool,
}

impl NumericTotal {
    /// Adds a number.
    pub(super) fn add(&mut self, value: &Numeric) {
        match value {
            Numeric::Finite { unscaled, scale } => self.add_scaled(unscaled, *scale),
            Numeric::NaN => self.nan = true,
            Numeric::PositiveInfinity => self.positive_infinity = true,
            Numeric::NegativeInfinity => self.negative_infinity = true,
        }
    }

    /// Adds `unscaled × 10^-scale`.
    pub(super) fn add_scaled(&mut self, unscaled: &BigInt, scale: u16) {
        match scale.cmp(&self.scale) {
            std::cmp::Ordering::Equal => self.finite += unscaled,
            std::cmp::Ordering::Less => {
                self.finite += unscaled * pow10(i64::from(self.scale - scale));
            }
            std::cmp::Ordering::Greater => {
                if !self.finite.is_zero() {
                    self.finite *= pow10(i64::from(scale - self.scale));
                }
                self.scale = scale;
                self.finite += unscaled;
            }
        }
    }

    /// Whether a NaN or an infinity is among the numbers.
    pub(super) fn is_special(&self) -> bool {
        self.nan || self.positive_infinity || self.negative_infinity
    }

    /// The finite numbers' sum as an integer, and its scale.
    pub(super) fn finite(&self) -> (&BigInt, u16) {
        (&self.finite, self.scale)
    }

    /// The sum.
    ///
    /// # Errors
    /// `22003`.
    pub(super) fn value(&self) -> Result<Numeric> {
        if self.nan || (self.positive_infinity && self.negative_infinity) {
            Ok(Numeric::NaN)
        } else if self.positive_infinity {
            Ok(Numeric::PositiveInfinity)
        } else if self.negative_infinity {
            Ok(Numeric::NegativeInfinity)
        } else {
            Numeric::checked(self.finite.clone(), i64::from(self.scale))
        }
    }
}

macro_rules! float_sum {
    ($name:ident, $variant:ident, $float:ty, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Default)]
        pub(super) struct $name {
            sum: Option<$float>,
        }

        impl $name {
            fn add(&mut self, value: &Value) -> Result<()> {
                if let Value::$variant(value) = value {
                    self.sum = Some(match self.sum {
                        None => *value,
                        Some(sum) => float::add(sum, *value)?,
                    });
                }
                Ok(())
            }

            fn value(&self) -> Value {
                self.sum.map_or(Value::Null, Value::$variant)
            }
        }

        impl Accumulator for $name {
            fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
                args.first().map_or(Ok(()), |value| self.add(value))
            }

            fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
                Ok(self.value())
            }
        }

        impl Combiner for $name {
            fn combine(&mut self, partials: &[Value]) -> Result<()> {
                partials.first().map_or(Ok(()), |value| self.add(value))
            }

            fn finish(&self) -> Result<Value> {
                Ok(self.value())
            }
        }
    };
}

float_sum!(SingleSum, Float4, f32, "`sum(real)`.");
float_sum!(DoubleSum, Float8, f64, "`sum(double precision)`.");

/// `sum(interval)` and `avg(interval)`, by the family's own addition and division.
#[derive(Debug)]
pub(super) struct IntervalSum {
    result: Wanted,
    sum: Option<Interval>,
    count: i64,
    add: Implementation,
    divide: Implementation,
}

impl IntervalSum {
    fn new(result: Wanted) -> Option<Self> {
        let add = crate::registry::find("interval_pl")?;
        let divide = crate::registry::find("interval_div")?;
        Some(Self { result, sum: None, count: 0, add, divide })
    }

    pub(super) fn sum() -> Option<Self> {
        Self::new(Wanted::Sum)
    }

    pub(super) fn average() -> Option<Self> {
        Self::new(Wanted::Average)
    }

    fn call(function: Implementation, args: &[Value]) -> Result<Value> {
        let context = Context::default();
        let call = CallContext {
            context: &context,
            arguments: &[TypeId::INTERVAL],
            result: TypeId::INTERVAL,
            variadic: false,
        };
        function(&call, args)
    }

    fn add(&mut self, value: &Value, count: i64) -> Result<()> {
        let Value::Interval(value) = value else { return Ok(()) };
        self.count += count;
        self.sum = Some(match self.sum {
            None => *value,
            Some(sum) => {
                match Self::call(self.add, &[Value::Interval(sum), Value::Interval(*value)])? {
                    Value::Interval(sum) => sum,
                    _ => return Err(PgError::internal("the sum of intervals is an interval")),
                }
            }
        });
        Ok(())
    }

    fn value(&self) -> Result<Value> {
        match (self.sum, self.result) {
            (None, _) => Ok(Value::Null),
            (Some(sum), Wanted::Sum) => Ok(Value::Interval(sum)),
            (Some(sum), Wanted::Average) => {
                let count = Value::Float8(float::nearest_double(self.count));
                Self::call(self.divide, &[Value::Interval(sum), count])
            }
        }
    }
}

impl Accumulator for IntervalSum {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        args.first().map_or(Ok(()), |value| self.add(value, 1))
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        self.value()
    }
}

impl Combiner for IntervalSum {
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        let count = match self.result {
            Wanted::Sum => 1,
            Wanted::Average => arg::<i64>(partials, 1)?,
        };
        partials.first().map_or(Ok(()), |value| self.add(value, count))
    }

    fn finish(&self) -> Result<Value> {
        self.value()
    }
}
