//! Comparisons across `date`, `timestamp` and `timestamptz`.

use std::cmp::Ordering;

use super::arguments::timestamp;
use super::convert::{date_to_instant, date_to_timestamp, to_instant};
use crate::comparison::Test;
use crate::context::CallContext;
use crate::error::Result;
use crate::registry::{Entry, entry};
use crate::value::Value;

macro_rules! tests {
    ($($source:literal => $test:ident;)*) => {
        &[$(entry($source, |call, args| {
            Ok(Value::Bool(Test::$test.holds(compare(call, args)?)))
        }),)*
        entry("date_cmp_timestamp", three_way),
        entry("date_cmp_timestamptz", three_way),
        entry("timestamp_cmp_date", three_way),
        entry("timestamptz_cmp_date", three_way),
        entry("timestamp_cmp_timestamptz", three_way),
        entry("timestamptz_cmp_timestamp", three_way)]
    };
}

pub(crate) const FUNCTIONS: &[Entry] = tests! {
    "date_eq_timestamp" => Equal;
    "date_ne_timestamp" => NotEqual;
    "date_lt_timestamp" => Less;
    "date_le_timestamp" => LessEqual;
    "date_gt_timestamp" => Greater;
    "date_ge_timestamp" => GreaterEqual;
    "date_eq_timestamptz" => Equal;
    "date_ne_timestamptz" => NotEqual;
    "date_lt_timestamptz" => Less;
    "date_le_timestamptz" => LessEqual;
    "date_gt_timestamptz" => Greater;
    "date_ge_timestamptz" => GreaterEqual;
    "timestamp_eq_date" => Equal;
    "timestamp_ne_date" => NotEqual;
    "timestamp_lt_date" => Less;
    "timestamp_le_date" => LessEqual;
    "timestamp_gt_date" => Greater;
    "timestamp_ge_date" => GreaterEqual;
    "timestamptz_eq_date" => Equal;
    "timestamptz_ne_date" => NotEqual;
    "timestamptz_lt_date" => Less;
    "timestamptz_le_date" => LessEqual;
    "timestamptz_gt_date" => Greater;
    "timestamptz_ge_date" => GreaterEqual;
    "timestamp_eq_timestamptz" => Equal;
    "timestamp_ne_timestamptz" => NotEqual;
    "timestamp_lt_timestamptz" => Less;
    "timestamp_le_timestamptz" => LessEqual;
    "timestamp_gt_timestamptz" => Greater;
    "timestamp_ge_timestamptz" => GreaterEqual;
    "timestamptz_eq_timestamp" => Equal;
    "timestamptz_ne_timestamp" => NotEqual;
    "timestamptz_lt_timestamp" => Less;
    "timestamptz_le_timestamp" => LessEqual;
    "timestamptz_gt_timestamp" => Greater;
    "timestamptz_ge_timestamp" => GreaterEqual;
};

fn three_way(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    Ok(Value::Int4(compare(call, args)? as i32))
}

fn compare(call: &CallContext<'_>, args: &[Value]) -> Result<Ordering> {
    let in_zone = args.iter().any(|value| matches!(value, Value::TimestampTz(_)));
    let key = |place: usize| -> Result<i64> {
        let zone = &call.context.time_zone;
        let converted = match (args.get(place), in_zone) {
            (Some(Value::Date(days)), true) => date_to_instant(*days, zone),
            (Some(Value::Date(days)), false) => date_to_timestamp(*days),
            (Some(Value::Timestamp(micros)), true) => to_instant(*micros, zone),
            _ => return timestamp(args, place),
        };
        // What no timestamp reaches lies between the finite ones and infinity.
        Ok(converted
            .unwrap_or_else(|_| if is_early(args, place) { i64::MIN + 1 } else { i64::MAX - 1 }))
    };
    Ok(key(0)?.cmp(&key(1)?))
}

fn is_early(args: &[Value], place: usize) -> bool {
    match args.get(place) {
        Some(Value::Date(days)) => *days < 0,
        Some(Value::Timestamp(micros)) => *micros < 0,
        _ => false,
    }
}
