//! Whether a value lies within a distance of another one: what frames of RANGE ask. Those over dates and times are with
//! their family ([`crate::datetime::arithmetic`]).

use std::cmp::Ordering;

use crate::arguments::arg;
use crate::catalog::{self, Function};
use crate::error::{PgError, Result};
use crate::order::compare_floats;
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::{Numeric, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("in_range_int8_int8", |_, args| integers(args)),
    entry("in_range_int4_int8", |_, args| integers(args)),
    entry("in_range_int4_int4", |_, args| integers(args)),
    entry("in_range_int4_int2", |_, args| integers(args)),
    entry("in_range_int2_int8", |_, args| integers(args)),
    entry("in_range_int2_int4", |_, args| integers(args)),
    entry("in_range_int2_int2", |_, args| integers(args)),
    entry("in_range_float8_float8", |_, args| floats(args, arg(args, 0)?, arg(args, 1)?)),
    entry("in_range_float4_float8", |_, args| {
        floats(args, f64::from(arg::<f32>(args, 0)?), f64::from(arg::<f32>(args, 1)?))
    }),
    entry("in_range_numeric_numeric", |_, args| numerics(args)),
];

/// The functions `in_range(key, key, offset, boolean, boolean)` for the offsets that RANGE takes over a key of some type.
pub fn functions(key: TypeId) -> impl Iterator<Item = &'static Function> {
    catalog::functions_named("in_range")
        .iter()
        .filter(move |function| function.args.first() == Some(&key))
}

/// The one of them for an offset of some type.
pub fn function(key: TypeId, offset: TypeId) -> Option<&'static Function> {
    functions(key).find(|function| function.args.get(2) == Some(&offset))
}

fn negative() -> PgError {
    PgError::new("22013", "invalid preceding or following size in window function")
}

/// The answer, from how the value stands to `base ± offset`.
fn answer(args: &[Value], order: Ordering) -> Result<Value> {
    Ok(Value::Bool(if arg(args, 4)? { order.is_le() } else { order.is_ge() }))
}

fn integer(args: &[Value], place: usize) -> Result<i128> {
    Ok(match args.get(place) {
        Some(Value::Int2(value)) => i128::from(*value),
        Some(Value::Int4(value)) => i128::from(*value),
        _ => i128::from(arg::<i64>(args, place)?),
    })
}

/// A sum out of the type's range is beyond all of its values, as it is here.
fn integers(args: &[Value]) -> Result<Value> {
    let (value, base, offset) = (integer(args, 0)?, integer(args, 1)?, integer(args, 2)?);
    if offset < 0 {
        return Err(negative());
    }
    let sum = if arg(args, 3)? { base - offset } else { base + offset };
    answer(args, value.cmp(&sum))
}

/// NaN is beyond all others and alike with itself, however far one goes.
fn floats(args: &[Value], value: f64, base: f64) -> Result<Value> {
    let (offset, subtract): (f64, bool) = (arg(args, 2)?, arg(args, 3)?);
    if offset.is_nan() || offset < 0.0 {
        return Err(negative());
    }
    if value.is_nan() || base.is_nan() {
        return answer(args, value.is_nan().cmp(&base.is_nan()));
    }
    // Infinity less infinity is no number: then everything is within.
    let away = if subtract { base == f64::INFINITY } else { base == f64::NEG_INFINITY };
    if offset.is_infinite() && away {
        return Ok(Value::Bool(true));
    }
    let sum = if subtract { base - offset } else { base + offset };
    answer(args, compare_floats(value, sum))
}

fn numerics(args: &[Value]) -> Result<Value> {
    let (value, base): (&Numeric, &Numeric) = (arg(args, 0)?, arg(args, 1)?);
    let (offset, subtract): (&Numeric, bool) = (arg(args, 2)?, arg(args, 3)?);
    if offset.is_nan() || offset.compare(&Numeric::zero()).is_lt() {
        return Err(negative());
    }
    if value.is_nan() || base.is_nan() {
        return answer(args, value.is_nan().cmp(&base.is_nan()));
    }
    let away = if subtract { Numeric::PositiveInfinity } else { Numeric::NegativeInfinity };
    if matches!(offset, Numeric::PositiveInfinity) && *base == away {
        return Ok(Value::Bool(true));
    }
    let sum = if subtract { base.subtract(offset)? } else { base.add(offset)? };
    answer(args, value.compare(&sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{CallContext, Context};
    use crate::io::text;

    /// `in_range(value, base, offset, subtract, less)` over a key and an offset type; `!` for an error.
    fn check(key: TypeId, offset_type: TypeId, cases: &[(&str, &str, &str, bool, bool, &str)]) {
        let function = function(key, offset_type).expect("there is such a function");
        let run = crate::registry::find(function.source).expect("it is registered");
        let context = Context::default();
        let read = |text: &str, ty: TypeId| {
            text::input(text, ty.into(), &context).expect("the test's input is right")
        };
        for (value, base, offset, subtract, less, expected) in cases {
            let args = [
                read(value, key),
                read(base, key),
                read(offset, offset_type),
                Value::Bool(*subtract),
                Value::Bool(*less),
            ];
            let call = CallContext {
                context: &context,
                arguments: function.args,
                result: TypeId::BOOL,
                variadic: false,
            };
            let found = match run(&call, &args) {
                Ok(Value::Bool(true)) => "t",
                Ok(_) => "f",
                Err(error) => error.sqlstate(),
            };
            assert_eq!(found, *expected, "{value} {base} {offset} {subtract} {less}");
        }
    }

    #[test]
    fn integers() {
        check(
            TypeId::INT4,
            TypeId::INT4,
            &[
                ("4", "5", "1", true, false, "t"),
                ("3", "5", "1", true, false, "f"),
                ("2147483647", "2147483646", "5", false, true, "t"),
                ("2147483647", "2147483646", "5", false, false, "f"),
                ("-2147483648", "-2147483647", "5", true, true, "f"),
                ("1", "1", "-1", true, true, "22013"),
            ],
        );
        check(TypeId::INT2, TypeId::INT8, &[("7", "1", "9223372036854775807", false, true, "t")]);
    }

    #[test]
    fn numbers_with_infinities() {
        for (key, offset) in [(TypeId::FLOAT8, TypeId::FLOAT8), (TypeId::NUMERIC, TypeId::NUMERIC)]
        {
            check(
                key,
                offset,
                &[
                    ("1.5", "1", "0.5", false, true, "t"),
                    ("1.6", "1", "0.5", false, true, "f"),
                    ("NaN", "NaN", "1", true, true, "t"),
                    ("NaN", "1", "infinity", false, true, "f"),
                    ("1", "NaN", "infinity", true, false, "f"),
                    ("infinity", "infinity", "infinity", true, true, "t"),
                    ("-infinity", "infinity", "infinity", true, true, "t"),
                    ("3", "-infinity", "infinity", false, false, "t"),
                    ("-infinity", "5", "infinity", true, true, "t"),
                    ("4", "5", "infinity", true, true, "f"),
                    ("infinity", "5", "10", false, true, "f"),
                    ("5", "infinity", "10", true, true, "t"),
                    ("1", "1", "NaN", true, true, "22013"),
                    ("1", "1", "-0.1", true, true, "22013"),
                ],
            );
        }
    }
}
