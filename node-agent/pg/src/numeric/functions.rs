//! The registered functions over `numeric`.

use num_traits::ToPrimitive;

use super::arithmetic::{quotient, quotient_scale};
use super::{Numeric, Rounding, pow10};
use crate::arguments::arg;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::float;
use crate::registry::{Entry, entry};
use crate::value::Value;

/// An implementation from a function over one numeric.
macro_rules! unary {
    ($function:expr) => {
        |_: &CallContext<'_>, args: &[Value]| Ok(Value::Numeric($function(arg(args, 0)?)?))
    };
}

/// An implementation from a function over two numerics.
macro_rules! binary {
    ($function:expr) => {
        |_: &CallContext<'_>, args: &[Value]| {
            Ok(Value::Numeric($function(arg(args, 0)?, arg(args, 1)?)?))
        }
    };
}

/// What is registered.
pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("numeric_add", binary!(Numeric::add)),
    entry("numeric_sub", binary!(Numeric::subtract)),
    entry("numeric_mul", binary!(Numeric::multiply)),
    entry("numeric_div", binary!(Numeric::divide)),
    entry("numeric_div_trunc", binary!(Numeric::divide_truncated)),
    entry("numeric_mod", binary!(Numeric::modulo)),
    entry("numeric_power", binary!(Numeric::power)),
    entry("numeric_log", binary!(Numeric::log)),
    entry("numeric_gcd", binary!(Numeric::gcd)),
    entry("numeric_lcm", binary!(Numeric::lcm)),
    entry("numeric_exp", unary!(Numeric::exp)),
    entry("numeric_ln", unary!(Numeric::ln)),
    entry("numeric_sqrt", unary!(Numeric::sqrt)),
    entry("numeric_ceil", unary!(Numeric::ceil)),
    entry("numeric_floor", unary!(Numeric::floor)),
    entry("numeric_abs", unary!(|a: &Numeric| Ok(a.abs()))),
    entry("numeric_uminus", unary!(|a: &Numeric| Ok(a.negate()))),
    entry("numeric_uplus", unary!(|a: &Numeric| Ok(a.clone()))),
    entry("numeric_inc", unary!(|a: &Numeric| a.add(&Numeric::from(1)))),
    entry("numeric_sign", unary!(sign)),
    entry("numeric_trim_scale", unary!(trim_scale)),
    entry("log(numeric)", unary!(|a: &Numeric| Numeric::log(&Numeric::from(10), a))),
    entry("log10(numeric)", unary!(|a: &Numeric| Numeric::log(&Numeric::from(10), a))),
    entry("round(numeric)", unary!(|a: &Numeric| a.round(0))),
    entry("trunc(numeric)", unary!(|a: &Numeric| a.truncate(0))),
    entry("numeric_round", round),
    entry("numeric_trunc", truncate),
    entry("numeric", fit),
    entry("numeric_fac", factorial),
    entry("numeric_scale", scale),
    entry("numeric_min_scale", min_scale),
    entry("numeric_larger", larger),
    entry("numeric_smaller", smaller),
    entry("width_bucket_numeric", width_bucket),
    entry("int2_numeric", |_, args| from_integer(i64::from(arg::<i16>(args, 0)?))),
    entry("int4_numeric", |_, args| from_integer(i64::from(arg::<i32>(args, 0)?))),
    entry("int8_numeric", |_, args| from_integer(arg(args, 0)?)),
    entry("numeric_int2", |_, args| {
        let value = i16::try_from(arg::<&Numeric>(args, 0)?.to_integer("smallint")?);
        value.map(Value::Int2).map_err(|_| PgError::out_of_range("smallint"))
    }),
    entry("numeric_int4", |_, args| {
        let value = i32::try_from(arg::<&Numeric>(args, 0)?.to_integer("integer")?);
        value.map(Value::Int4).map_err(|_| PgError::out_of_range("integer"))
    }),
    entry("numeric_int8", |_, args| {
        let value = i64::try_from(arg::<&Numeric>(args, 0)?.to_integer("bigint")?);
        value.map(Value::Int8).map_err(|_| PgError::out_of_range("bigint"))
    }),
    entry("float4_numeric", |_, args| {
        Ok(Value::Numeric(Numeric::from_float(f64::from(arg::<f32>(args, 0)?), 6)?))
    }),
    entry("float8_numeric", |_, args| Ok(Value::Numeric(Numeric::from_float(arg(args, 0)?, 15)?))),
    entry("numeric_float4", |_, args| {
        Ok(Value::Float4(float::input_float4(&arg::<&Numeric>(args, 0)?.to_string())?))
    }),
    entry("numeric_float8", |_, args| Ok(Value::Float8(arg::<&Numeric>(args, 0)?.to_f64()?))),
];

impl Numeric {
    /// The cast to `double precision`.
    ///
    /// # Errors
    /// `22003` beyond its range.
    pub fn to_f64(&self) -> Result<f64> {
        float::input_float8(&self.to_string())
    }

    /// The cast from a float, by as many significant digits as its type is sure to hold.
    ///
    /// # Errors
    /// None for floats; kept for the format's check.
    pub fn from_float(value: f64, significant_digits: usize) -> Result<Self> {
        if value.is_nan() {
            Ok(Self::NaN)
        } else if value.is_infinite() {
            Ok(if value > 0.0 { Self::PositiveInfinity } else { Self::NegativeInfinity })
        } else {
            Self::parse(&float::format_general(value, significant_digits))
        }
    }
}

fn from_integer(value: i64) -> Result<Value> {
    Ok(Value::Numeric(Numeric::from(value)))
}

fn sign(a: &Numeric) -> Result<Numeric> {
    Ok(if a.is_nan() { Numeric::NaN } else { Numeric::from(i64::from(a.signum())) })
}

fn trim_scale(a: &Numeric) -> Result<Numeric> {
    match a.min_scale() {
        None => Ok(a.clone()),
        Some(scale) => a.clone().rescale(i64::from(scale), Rounding::Truncate),
    }
}

fn round(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(Value::Numeric(arg::<&Numeric>(args, 0)?.round(arg(args, 1)?)?))
}

fn truncate(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(Value::Numeric(arg::<&Numeric>(args, 0)?.truncate(arg(args, 1)?)?))
}

fn fit(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(Value::Numeric(arg::<&Numeric>(args, 0)?.clone().fit(arg(args, 1)?)?))
}

fn factorial(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(Value::Numeric(Numeric::factorial(arg(args, 0)?)?))
}

fn scale(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(match arg::<&Numeric>(args, 0)? {
        Numeric::Finite { scale, .. } => Value::Int4(i32::from(*scale)),
        _ => Value::Null,
    })
}

fn min_scale(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(arg::<&Numeric>(args, 0)?.min_scale().map_or(Value::Null, Value::Int4))
}

/// Of equal numbers the second, as PostgreSQL answers.
fn larger(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (a, b): (&Numeric, &Numeric) = (arg(args, 0)?, arg(args, 1)?);
    Ok(Value::Numeric(if a.compare(b).is_gt() { a } else { b }.clone()))
}

/// Of equal numbers the second, as PostgreSQL answers.
fn smaller(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (a, b): (&Numeric, &Numeric) = (arg(args, 0)?, arg(args, 1)?);
    Ok(Value::Numeric(if a.compare(b).is_lt() { a } else { b }.clone()))
}

fn width_bucket(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let refuse = |message: &'static str| Err(PgError::new("2201G", message));
    let (operand, low, high): (&Numeric, &Numeric, &Numeric) =
        (arg(args, 0)?, arg(args, 1)?, arg(args, 2)?);
    let count: i32 = arg(args, 3)?;
    if count <= 0 {
        return refuse("count must be greater than zero");
    }
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        return refuse("operand, lower bound, and upper bound cannot be NaN");
    }
    if low.finite().is_none() || high.finite().is_none() {
        return refuse("lower and upper bounds must be finite");
    }
    let direction = low.compare(high);
    if direction.is_eq() {
        return refuse("lower bound cannot equal upper bound");
    }
    let from_low = operand.compare(low);
    let from_high = operand.compare(high);
    if from_low.is_ne() && from_low != direction.reverse() {
        return Ok(Value::Int4(0));
    }
    if from_high.is_eq() || from_high == direction.reverse() {
        let last = count.checked_add(1);
        return last.map(Value::Int4).ok_or_else(|| PgError::out_of_range("integer"));
    }
    // PostgreSQL rounds the quotient to a quotient's usual scale before it takes the integer part.
    let distance = operand.subtract(low)?.abs().multiply(&Numeric::from(i64::from(count)))?;
    let width = high.subtract(low)?.abs();
    let (Some(distance), Some(width)) = (distance.finite(), width.finite()) else {
        return Err(PgError::internal("finite numbers have finite differences"));
    };
    let scale = quotient_scale(distance, width);
    let bucket = quotient(distance, width, scale, Rounding::HalfAway) / pow10(scale);
    let place = bucket.to_i32().and_then(|bucket| bucket.checked_add(1));
    place.map(Value::Int4).ok_or_else(|| PgError::out_of_range("integer"))
}
