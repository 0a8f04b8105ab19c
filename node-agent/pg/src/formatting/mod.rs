//! `to_char`, `to_date`, `to_timestamp`, `to_number`: values by templates (the manual's section 9.8).
//!
//! [`template`] cuts a template by a vocabulary: that of dates is in [`date`], that of numbers in [`number`]. Names of
//! months and days and signs are those of the C locale.

mod date;
mod date_input;
mod date_output;
mod number;
mod number_input;
mod number_output;
mod template;
mod week;

use crate::arguments::{arg, text};
use crate::datetime::arguments::{interval, timestamp};
use crate::datetime::calendar::is_infinite;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::{Numeric, Value};
use template::Letters;
pub(crate) use template::is_space;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("timestamp_to_char", |_, args| {
        let (micros, template) = (timestamp(args, 0)?, text(args, 1)?);
        if template.is_empty() || is_infinite(micros) {
            return Ok(Value::Null);
        }
        date_output::timestamp(micros, template).map(Value::text)
    }),
    entry("timestamptz_to_char", |call, args| {
        let (micros, template) = (timestamp(args, 0)?, text(args, 1)?);
        if template.is_empty() || is_infinite(micros) {
            return Ok(Value::Null);
        }
        date_output::timestamptz(micros, &call.context.time_zone, template).map(Value::text)
    }),
    entry("interval_to_char", |_, args| {
        let (value, template) = (interval(args, 0)?, text(args, 1)?);
        if template.is_empty() {
            return Ok(Value::Null);
        }
        date_output::interval(value, template).map(Value::text)
    }),
    entry("to_date", |_, args| {
        let input = date_input::Input { text: text(args, 0)?, template: text(args, 1)? };
        date_input::to_date(input).map(Value::Date)
    }),
    entry("to_timestamp", |call, args| {
        let input = date_input::Input { text: text(args, 0)?, template: text(args, 1)? };
        date_input::to_timestamp(input, &call.context.time_zone).map(Value::TimestampTz)
    }),
    entry("int4_to_char", |_, args| {
        number_output::int4(arg(args, 0)?, text(args, 1)?).map(Value::text)
    }),
    entry("int8_to_char", |_, args| {
        number_output::int8(arg(args, 0)?, text(args, 1)?).map(Value::text)
    }),
    entry("numeric_to_char", |_, args| {
        number_output::numeric(arg::<&Numeric>(args, 0)?, text(args, 1)?).map(Value::text)
    }),
    entry("float4_to_char", |_, args| {
        number_output::float4(arg(args, 0)?, text(args, 1)?).map(Value::text)
    }),
    entry("float8_to_char", |_, args| {
        number_output::float8(arg(args, 0)?, text(args, 1)?).map(Value::text)
    }),
    entry("numeric_to_number", |_, args| {
        let (input, template) = (text(args, 0)?, text(args, 1)?);
        if template.is_empty() {
            return Ok(Value::Null);
        }
        number_input::to_number(input, template).map(Value::Numeric)
    }),
];

/// The English ending of an ordinal number.
///
/// # Errors
/// `22P02` for what does not end in a digit (`Infinity`).
fn ordinal_suffix(number: &[u8], letters: Letters) -> Result<String> {
    let Some(last) = number.last().filter(|last| last.is_ascii_digit()) else {
        let shown = String::from_utf8_lossy(number);
        return Err(PgError::new("22P02", format!("\"{shown}\" is not a number")));
    };
    let is_teen = number.len() > 1 && number[number.len() - 2] == b'1';
    Ok(letters.apply(match last {
        b'1' if !is_teen => "st",
        b'2' if !is_teen => "nd",
        b'3' if !is_teen => "rd",
        _ => "th",
    }))
}
