//! The binary forms of dates, times and intervals.

use super::calendar::{
    DAY_US, date_out_of_range, is_infinite, timestamp_out_of_range, valid_date, valid_timestamp,
};
use super::io::{round_time, round_timestamp};
use crate::error::{PgError, Result};
use crate::interval;
use crate::io::binary::{fixed, insufficient};
use crate::io::text::not_read;
use crate::types::{TypeId, TypeRef};
use crate::value::{Interval, TimeTz, Value};

/// Appends the binary form of a value of these families; nothing for another.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Date(days) => out.extend_from_slice(&days.to_be_bytes()),
        Value::Time(micros) | Value::Timestamp(micros) | Value::TimestampTz(micros) => {
            out.extend_from_slice(&micros.to_be_bytes());
        }
        Value::TimeTz(TimeTz { time_us, zone_s }) => {
            out.extend_from_slice(&time_us.to_be_bytes());
            out.extend_from_slice(&zone_s.to_be_bytes());
        }
        Value::Interval(Interval { months, days, time_us }) => {
            out.extend_from_slice(&time_us.to_be_bytes());
            out.extend_from_slice(&days.to_be_bytes());
            out.extend_from_slice(&months.to_be_bytes());
        }
        _ => {}
    }
}

/// Reads the binary form of a type of these families.
///
/// # Errors
/// `08P01`, `22P03`, `22008`, `22009`; `0A000` for another type.
pub(crate) fn decode(bytes: &[u8], ty: TypeRef) -> Result<Value> {
    match ty.id {
        TypeId::DATE => date(bytes),
        TypeId::TIME => fixed(bytes).and_then(|bytes| time(bytes, ty.typmod)).map(Value::Time),
        TypeId::TIMETZ => timetz(bytes, ty.typmod),
        TypeId::TIMESTAMP => timestamp(bytes, ty.typmod).map(Value::Timestamp),
        TypeId::TIMESTAMPTZ => timestamp(bytes, ty.typmod).map(Value::TimestampTz),
        TypeId::INTERVAL => read_interval(bytes, ty.typmod),
        _ => Err(not_read(ty)),
    }
}

fn date(bytes: &[u8]) -> Result<Value> {
    let days = i32::from_be_bytes(fixed(bytes)?);
    let is_date = matches!(days, i32::MIN | i32::MAX) || valid_date(i64::from(days)).is_some();
    if is_date { Ok(Value::Date(days)) } else { Err(date_out_of_range()) }
}

fn time(bytes: [u8; 8], typmod: i32) -> Result<i64> {
    let micros = i64::from_be_bytes(bytes);
    if !(0..=DAY_US).contains(&micros) {
        return Err(PgError::new("22008", "time out of range"));
    }
    Ok(round_time(micros, typmod))
}

fn timetz(bytes: &[u8], typmod: i32) -> Result<Value> {
    let bytes: [u8; 12] = fixed(bytes)?;
    let (first, second) = bytes.split_at(8);
    let time_us = time(fixed(first)?, typmod)?;
    let zone_s = i32::from_be_bytes(fixed(second)?);
    if zone_s.unsigned_abs() >= 16 * 3600 {
        return Err(PgError::new("22009", "time zone displacement out of range"));
    }
    Ok(Value::TimeTz(TimeTz { time_us, zone_s }))
}

fn timestamp(bytes: &[u8], typmod: i32) -> Result<i64> {
    let micros = i64::from_be_bytes(fixed(bytes)?);
    if !is_infinite(micros) && valid_timestamp(micros).is_none() {
        return Err(timestamp_out_of_range());
    }
    round_timestamp(micros, typmod)
}

fn read_interval(bytes: &[u8], typmod: i32) -> Result<Value> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let part = |from: usize, to: usize| bytes.get(from..to).ok_or_else(insufficient);
    let time_us = i64::from_be_bytes(fixed(part(0, 8)?)?);
    let days = i32::from_be_bytes(fixed(part(8, 12)?)?);
    let months = i32::from_be_bytes(fixed(part(12, 16)?)?);
    interval::fit(Interval { months, days, time_us }, typmod).map(Value::Interval)
}
