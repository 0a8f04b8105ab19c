//! The variance family over one argument, and `avg` over floats.
//!
//! Integers and `numeric` are summed exactly, with their squares, and divided once. Floats are summed by Youngs and
//! Cramer's method, in PostgreSQL's order of operations.

use num_bigint::BigInt;
use num_traits::Signed;

use super::sum::NumericTotal;
use super::{Accumulator, Combiner};
use crate::arguments::arg;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::float::nearest_double;
use crate::value::{Numeric, Value};

/// What is asked of the moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    Average,
    VariancePopulation,
    VarianceSample,
    DeviationPopulation,
    DeviationSample,
}

impl Statistic {
    /// The statistic that an aggregate of this name gives.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "avg" => Self::Average,
            "var_pop" => Self::VariancePopulation,
            "var_samp" | "variance" => Self::VarianceSample,
            "stddev_pop" => Self::DeviationPopulation,
            "stddev_samp" | "stddev" => Self::DeviationSample,
            _ => return None,
        })
    }

    fn is_sample(self) -> bool {
        matches!(self, Self::VarianceSample | Self::DeviationSample)
    }

    fn is_deviation(self) -> bool {
        matches!(self, Self::DeviationPopulation | Self::DeviationSample)
    }
}

/// Count, sum and sum of squares of exact numbers.
#[derive(Debug)]
pub(super) struct NumericMoments {
    statistic: Statistic,
    count: i64,
    sum: NumericTotal,
    squares: NumericTotal,
}

impl NumericMoments {
    pub(super) fn new(statistic: Statistic) -> Self {
        Self { statistic, count: 0, sum: NumericTotal::default(), squares: NumericTotal::default() }
    }

    fn add(&mut self, unscaled: &BigInt, scale: u16) {
        self.sum.add_scaled(unscaled, scale);
        self.squares.add_scaled(&(unscaled * unscaled), scale * 2);
    }

    fn value(&self) -> Result<Value> {
        if self.count == 0 || (self.statistic.is_sample() && self.count == 1) {
            return Ok(Value::Null);
        }
        if self.sum.is_special() || self.squares.is_special() {
            return Ok(Value::Numeric(Numeric::NaN));
        }
        // (n Σx² - (Σx)²) / (n (n - 1)), or over n² for the population.
        let (sum, scale) = self.sum.finite();
        let (squares, squares_scale) = self.squares.finite();
        let scale = (i64::from(scale) * 2).max(i64::from(squares_scale));
        let aligned = |value: BigInt, from: i64| value * crate::numeric::pow10(scale - from);
        let numerator = aligned(squares * self.count, i64::from(squares_scale))
            - aligned(sum * sum, i64::from(self.sum.finite().1) * 2);
        if !numerator.is_positive() {
            return Ok(Value::Numeric(Numeric::zero()));
        }
        let divisor = if self.statistic.is_sample() { self.count - 1 } else { self.count };
        let variance =
            Numeric::divide_exact_parts(&numerator, scale, &(BigInt::from(self.count) * divisor))?;
        Ok(Value::Numeric(if self.statistic.is_deviation() {
            variance.sqrt_at_own_scale()?
        } else {
            variance
        }))
    }
}

impl Accumulator for NumericMoments {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        match args.first() {
            Some(Value::Int2(value)) => self.add(&BigInt::from(*value), 0),
            Some(Value::Int4(value)) => self.add(&BigInt::from(*value), 0),
            Some(Value::Int8(value)) => self.add(&BigInt::from(*value), 0),
            Some(Value::Numeric(Numeric::Finite { unscaled, scale })) => {
                self.add(unscaled, *scale);
            }
            Some(Value::Numeric(special)) => self.sum.add(special),
            _ => return Ok(()),
        }
        self.count += 1;
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        self.value()
    }
}

impl Combiner for NumericMoments {
    /// Takes the count, the sum and the sum of squares.
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        self.count += arg::<i64>(partials, 0)?;
        match partials.get(1) {
            Some(Value::Numeric(sum)) => self.sum.add(sum),
            Some(Value::Int8(sum)) => self.sum.add(&Numeric::from(*sum)),
            _ => return Ok(()),
        }
        self.squares.add(arg(partials, 2)?);
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        self.value()
    }
}

/// Count, sum and sum of squared distances from the mean, of doubles.
#[derive(Debug)]
pub(super) struct FloatMoments {
    statistic: Statistic,
    count: f64,
    sum: f64,
    squares: f64,
}

impl FloatMoments {
    pub(super) fn new(statistic: Statistic) -> Self {
        Self { statistic, count: 0.0, sum: 0.0, squares: 0.0 }
    }

    fn value(&self) -> Value {
        let Self { count, sum, squares, .. } = *self;
        if count == 0.0 || (self.statistic.is_sample() && count <= 1.0) {
            return Value::Null;
        }
        Value::Float8(match self.statistic {
            Statistic::Average => sum / count,
            Statistic::VariancePopulation => squares / count,
            Statistic::VarianceSample => squares / (count - 1.0),
            Statistic::DeviationPopulation => (squares / count).sqrt(),
            Statistic::DeviationSample => (squares / (count - 1.0)).sqrt(),
        })
    }
}

fn overflow() -> PgError {
    PgError::new("22003", "value out of range: overflow")
}

impl Accumulator for FloatMoments {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let value = match args.first() {
            Some(Value::Float4(value)) => f64::from(*value),
            Some(Value::Float8(value)) => *value,
            _ => return Ok(()),
        };
        let before = (self.count, self.sum);
        self.count += 1.0;
        self.sum += value;
        if before.0 > 0.0 {
            let distance = value * self.count - self.sum;
            self.squares += distance * distance / (self.count * before.0);
            if self.sum.is_infinite() || self.squares.is_infinite() {
                if before.1.no_infinity() && value.no_infinity() {
                    return Err(overflow());
                }
                self.squares = f64::NAN;
            }
        } else if !value.is_finite() {
            self.squares = f64::NAN;
        }
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(self.value())
    }
}

/// A test that C's `isinf` makes.
trait NotInfinite {
    fn no_infinity(self) -> bool;
}

impl NotInfinite for f64 {
    fn no_infinity(self) -> bool {
        !self.is_infinite()
    }
}

impl Combiner for FloatMoments {
    /// Takes the count, the sum and the sum of squared distances (not needed for the average).
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        let count = nearest_double(arg::<i64>(partials, 0)?);
        if count == 0.0 {
            return Ok(());
        }
        let sum: f64 = arg(partials, 1)?;
        let squares: f64 =
            if self.statistic == Statistic::Average { 0.0 } else { arg(partials, 2)? };
        if self.count == 0.0 {
            (self.count, self.sum, self.squares) = (count, sum, squares);
            return Ok(());
        }
        let total = self.count + count;
        let distance = self.sum / self.count - sum / count;
        let joined = self.squares + squares + self.count * count * distance * distance / total;
        if self.statistic != Statistic::Average
            && joined.is_infinite()
            && !self.squares.is_infinite()
            && !squares.is_infinite()
        {
            return Err(overflow());
        }
        self.sum = crate::float::add(self.sum, sum)?;
        self.count = total;
        self.squares = joined;
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        Ok(self.value())
    }
}
