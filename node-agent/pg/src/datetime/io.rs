//! Text of dates and times: input, and output in the four styles of `DateStyle` (the manual's sections 8.5.1, 8.5.2).

use std::fmt::Write as _;

use super::calendar::{self, DAY_US, Fields, SECOND_US, UNIX_EPOCH_DAYS};
use super::decode::{self, Decoded, Mistake};
use super::lex::{self, Room, Token};
use super::names::{MONTHS, WEEKDAYS};
use crate::context::{Context, DateOrder, DateOutput, DateStyle};
use crate::error::{PgError, Result};
use crate::value::TimeTz;

const PRECISION_MAX: i32 = 6;

fn tokens(text: &str, room: usize) -> Result<Vec<Token>, Mistake> {
    lex::tokens(text, Room(room)).ok_or(Mistake::Form)
}

/// Reads a `date`.
///
/// # Errors
/// `22007`, `22008`, `22009`, `22023`.
pub(crate) fn input_date(text: &str, context: &Context) -> Result<i32> {
    let decoded = tokens(text, 129).and_then(|tokens| decode::date_time(tokens, context));
    match decoded.map_err(|mistake| mistake.raise(text, "date"))? {
        Decoded::Epoch => Ok(calendar::small(UNIX_EPOCH_DAYS)),
        Decoded::Infinity => Ok(i32::MAX),
        Decoded::MinusInfinity => Ok(i32::MIN),
        Decoded::Point(fields, _) => calendar::is_countable(fields.year, fields.month)
            .then(|| calendar::valid_date(fields.days()))
            .flatten()
            .ok_or_else(|| PgError::new("22008", format!("date out of range: \"{text}\""))),
    }
}

/// Reads a `timestamp`; a zone in it is ignored.
///
/// # Errors
/// As for [`input_date`].
pub(crate) fn input_timestamp(text: &str, typmod: i32, context: &Context) -> Result<i64> {
    let decoded = tokens(text, 153).and_then(|tokens| decode::date_time(tokens, context));
    let micros = match decoded.map_err(|mistake| mistake.raise(text, "timestamp"))? {
        Decoded::Epoch => UNIX_EPOCH_DAYS * DAY_US,
        Decoded::Infinity => i64::MAX,
        Decoded::MinusInfinity => i64::MIN,
        Decoded::Point(fields, _) => {
            fields.checked_timestamp().ok_or_else(|| timestamp_text_out_of_range(text))?
        }
    };
    round_timestamp(micros, typmod)
}

/// Reads a `timestamptz`.
///
/// # Errors
/// As for [`input_date`].
pub(crate) fn input_timestamptz(text: &str, typmod: i32, context: &Context) -> Result<i64> {
    let decoded = tokens(text, 153).and_then(|tokens| decode::date_time(tokens, context));
    let micros = match decoded.map_err(|mistake| mistake.raise(text, "timestamp with time zone"))? {
        Decoded::Epoch => UNIX_EPOCH_DAYS * DAY_US,
        Decoded::Infinity => i64::MAX,
        Decoded::MinusInfinity => i64::MIN,
        Decoded::Point(fields, zone_s) => {
            instant_of(fields, zone_s).ok_or_else(|| timestamp_text_out_of_range(text))?
        }
    };
    round_timestamp(micros, typmod)
}

/// The instant of a local time whose zone lies so many seconds west of UTC.
pub(crate) fn instant_of(fields: Fields, west_s: i32) -> Option<i64> {
    if !calendar::is_countable(fields.year, fields.month) {
        return None;
    }
    // The range is checked once the zone is applied.
    let local = i128::from(fields.days()) * i128::from(DAY_US) + i128::from(fields.time_us());
    let local = i64::try_from(local).ok()?;
    local.checked_add(i64::from(west_s) * SECOND_US).and_then(calendar::valid_timestamp)
}

fn timestamp_text_out_of_range(text: &str) -> PgError {
    PgError::new("22008", format!("timestamp out of range: \"{text}\""))
}

/// Reads a `time`; a zone in it is ignored.
///
/// # Errors
/// As for [`input_date`].
pub(crate) fn input_time(text: &str, typmod: i32, context: &Context) -> Result<i64> {
    let decoded = tokens(text, 129).and_then(|tokens| decode::time(tokens, context));
    let (fields, _) = decoded.map_err(|mistake| mistake.raise(text, "time"))?;
    Ok(round_time(fields.time_us(), typmod))
}

/// Reads a `timetz`.
///
/// # Errors
/// As for [`input_date`].
pub(crate) fn input_timetz(text: &str, typmod: i32, context: &Context) -> Result<TimeTz> {
    let decoded = tokens(text, 129).and_then(|tokens| decode::time(tokens, context));
    let (fields, zone_s) = decoded.map_err(|mistake| mistake.raise(text, "time with time zone"))?;
    Ok(TimeTz { time_us: round_time(fields.time_us(), typmod), zone_s })
}

/// The microseconds of one unit of a precision below the finest.
pub(crate) fn precision_us(typmod: i32) -> Option<i64> {
    let places = u32::try_from(PRECISION_MAX - typmod).ok()?;
    ((0..PRECISION_MAX).contains(&typmod)).then(|| 10_i64.pow(places))
}

/// Rounds to a multiple, halves away from zero. At the very end of the range it wraps, as in PostgreSQL.
pub(crate) fn round_to(value: i64, unit: i64) -> i64 {
    let half = unit / 2;
    if value >= 0 {
        value.wrapping_add(half) / unit * unit
    } else {
        (value.wrapping_neg().wrapping_add(half) / unit * unit).wrapping_neg()
    }
}

/// Rounds a `time` to the places of its type.
pub(crate) fn round_time(micros: i64, typmod: i32) -> i64 {
    precision_us(typmod).map_or(micros, |unit| round_to(micros, unit))
}

/// Rounds a `timestamp` to the places of its type.
///
/// # Errors
/// `22023` for a precision that is none.
pub(crate) fn round_timestamp(micros: i64, typmod: i32) -> Result<i64> {
    if calendar::is_infinite(micros) || matches!(typmod, -1 | PRECISION_MAX) {
        return Ok(micros);
    }
    let unit = precision_us(typmod).ok_or_else(|| {
        PgError::new("22023", format!("timestamp({typmod}) precision must be between 0 and 6"))
    })?;
    Ok(round_to(micros, unit))
}

/// Writes a `date`.
pub(crate) fn output_date(days: i32, style: DateStyle) -> String {
    match days {
        i32::MIN => return "-infinity".to_owned(),
        i32::MAX => return "infinity".to_owned(),
        _ => {}
    }
    let (year, month, day) = calendar::date_of(i64::from(days));
    let shown = shown_year(year);
    let is_dmy = style.order == DateOrder::Dmy;
    let (first, second) = if is_dmy { (day, month) } else { (month, day) };
    let mut out = match style.output {
        DateOutput::Iso => format!("{shown:04}-{month:02}-{day:02}"),
        DateOutput::Sql => format!("{first:02}/{second:02}/{shown:04}"),
        DateOutput::German => format!("{day:02}.{month:02}.{shown:04}"),
        DateOutput::Postgres => format!("{first:02}-{second:02}-{shown:04}"),
    };
    push_era(year, &mut out);
    out
}

fn shown_year(year: i32) -> i32 {
    if year > 0 { year } else { 1 - year }
}

fn push_era(year: i32, out: &mut String) {
    if year <= 0 {
        out.push_str(" BC");
    }
}

/// Writes a `time`.
pub(crate) fn output_time(micros: i64) -> String {
    let mut out = String::new();
    push_time(&Fields::of_time(micros), &mut out);
    out
}

/// Writes a `timetz`.
pub(crate) fn output_timetz(time: TimeTz) -> String {
    let mut out = output_time(time.time_us);
    push_zone(time.zone_s, &mut out);
    out
}

fn push_time(fields: &Fields, out: &mut String) {
    let Fields { hour, minute, second, micros, .. } = *fields;
    let _ = write!(out, "{hour:02}:{minute:02}:{second:02}");
    push_fraction(micros, out);
}

/// A point and the digits of a fraction without zeros at the end; nothing for 0.
pub(crate) fn push_fraction(micros: i32, out: &mut String) {
    if micros != 0 {
        let digits = format!("{:06}", micros.unsigned_abs());
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// A zone in seconds west of UTC.
fn push_zone(west_s: i32, out: &mut String) {
    let distance = west_s.unsigned_abs();
    let (hours, minutes, seconds) = (distance / 3600, distance / 60 % 60, distance % 60);
    out.push(if west_s <= 0 { '+' } else { '-' });
    let _ = write!(out, "{hours:02}");
    if minutes != 0 || seconds != 0 {
        let _ = write!(out, ":{minutes:02}");
    }
    if seconds != 0 {
        let _ = write!(out, ":{seconds:02}");
    }
}

/// Writes a `timestamp`.
pub(crate) fn output_timestamp(micros: i64, style: DateStyle) -> String {
    infinity(micros).unwrap_or_else(|| point(&Fields::of_timestamp(micros), None, style))
}

/// Writes a `timestamptz` in the session's zone.
pub(crate) fn output_timestamptz(micros: i64, context: &Context) -> String {
    infinity(micros).unwrap_or_else(|| {
        let instant_s = micros.div_euclid(SECOND_US);
        let offset = context.time_zone.offset_at(instant_s);
        let local = micros + i64::from(offset) * SECOND_US;
        let name = match context.date_style.output {
            DateOutput::Iso => String::new(),
            _ => context.time_zone.abbreviation_at(instant_s),
        };
        point(&Fields::of_timestamp(local), Some((-offset, &name)), context.date_style)
    })
}

fn infinity(micros: i64) -> Option<String> {
    match micros {
        i64::MIN => Some("-infinity".to_owned()),
        i64::MAX => Some("infinity".to_owned()),
        _ => None,
    }
}

fn point(fields: &Fields, zone: Option<(i32, &str)>, style: DateStyle) -> String {
    let Fields { year, month, day, .. } = *fields;
    let shown = shown_year(year);
    let is_dmy = style.order == DateOrder::Dmy;
    let (first, second) = if is_dmy { (day, month) } else { (month, day) };
    let mut out = match style.output {
        DateOutput::Iso => format!("{shown:04}-{month:02}-{day:02} "),
        DateOutput::Sql => format!("{first:02}/{second:02}/{shown:04} "),
        DateOutput::German => format!("{day:02}.{month:02}.{shown:04} "),
        DateOutput::Postgres => {
            let weekday = short(&WEEKDAYS, calendar::weekday(fields.days()));
            let month = short(&MONTHS, month - 1);
            if is_dmy {
                format!("{weekday} {day:02} {month} ")
            } else {
                format!("{weekday} {month} {day:02} ")
            }
        }
    };
    push_time(fields, &mut out);
    if style.output == DateOutput::Postgres {
        let _ = write!(out, " {shown:04}");
    }
    if let Some((west_s, name)) = zone {
        if style.output == DateOutput::Iso {
            push_zone(west_s, &mut out);
        } else {
            let _ = write!(out, " {}", name.get(..10).unwrap_or(name));
        }
    }
    push_era(year, &mut out);
    out
}

fn short(names: &'static [&'static str], place: i32) -> &'static str {
    usize::try_from(place).ok().and_then(|place| names.get(place)).map_or("", |name| &name[..3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timezone::TimeZone;
    use crate::types::{TypeId, TypeRef};

    fn answer(ty: TypeId, text: &str, context: &Context) -> String {
        match crate::io::text::input(text, TypeRef::plain(ty), context) {
            Ok(value) => {
                let mut out = Vec::new();
                crate::io::text::output(&value, ty, context, &mut out);
                String::from_utf8(out).expect("text")
            }
            Err(error) => {
                let hint = error.hint().map_or(String::new(), |hint| format!(" / {hint}"));
                format!("{}: {}{hint}", error.sqlstate(), error.message())
            }
        }
    }

    fn check(ty: TypeId, text: &str, expected: &str) {
        assert_eq!(answer(ty, text, &Context::default()), expected, "for {text}");
    }

    #[test]
    fn dates() {
        let date = |text, expected| check(TypeId::DATE, text, expected);
        date("1999-01-08", "1999-01-08");
        date("January 8, 1999", "1999-01-08");
        date("1/18/1999", "1999-01-18");
        date("19990108", "1999-01-08");
        date("990108", "1999-01-08");
        date("1999.008", "1999-01-08");
        date("J2451187", "1999-01-08");
        date("January 8, 99 BC", "0099-01-08 BC");
        date("Feb-7-2020", "2020-02-07");
        date("epoch", "1970-01-01");
        date("today", "2000-01-01");
        date("-infinity", "-infinity");
        date("5874897-12-31", "5874897-12-31");
        date("5874898-01-01", "22008: date out of range: \"5874898-01-01\"");
        date("1 allballs", "22007: invalid input syntax for type date: \"1 allballs\"");
        date("2001-02-30", "22008: date/time field value out of range: \"2001-02-30\"");
        date(
            "18/1/1999",
            "22008: date/time field value out of range: \"18/1/1999\" / Perhaps you need a \
             different \"datestyle\" setting.",
        );
    }

    #[test]
    fn timestamps() {
        let point = |text, expected| check(TypeId::TIMESTAMP, text, expected);
        point("1999-01-08T04:05:06.789", "1999-01-08 04:05:06.789");
        point("Mon Jan 08 04:05:06 1999 PST", "1999-01-08 04:05:06");
        point("2001-01-01 12::30", "2001-01-01 12:00:30");
        point("2001-01-01 996060", "2001-01-05 04:01:00");
        point(
            "24-12-25 11:59:59.9999999 pm",
            "22008: date/time field value out of range: \
             \"24-12-25 11:59:59.9999999 pm\" / Perhaps you need a different \"datestyle\" setting.",
        );
        point("+infinity", "22007: invalid input syntax for type timestamp: \"+infinity\"");
        point("2001-01-01 foo/bar", "22023: time zone \"foo/bar\" not recognized");
        point("12:00", "22007: invalid input syntax for type timestamp: \"12:00\"");
        let zoned = |text, expected| check(TypeId::TIMESTAMPTZ, text, expected);
        zoned("1999-01-08 04:05:06 -8:00", "1999-01-08 12:05:06+00");
        zoned("2024-07-01 12:00 America/New_York", "2024-07-01 16:00:00+00");
        zoned("2010-07-01 12:00 MSK", "2010-07-01 09:00:00+00");
        zoned("2012-07-01 12:00 MSK", "2012-07-01 08:00:00+00");
        zoned("1999-01-08 12:00 MET DST", "1999-01-08 10:00:00+00");
        zoned(
            "2024-01-01 00:00 +16",
            "22009: time zone displacement out of range: \"2024-01-01 00:00 +16\"",
        );
    }

    #[test]
    fn times() {
        check(TypeId::TIME, "04:05:06.789", "04:05:06.789");
        check(TypeId::TIME, "040506", "04:05:06");
        check(TypeId::TIME, "24:00:00", "24:00:00");
        check(TypeId::TIME, "04:05 PM", "16:05:00");
        check(TypeId::TIMETZ, "04:05:06-08:00", "04:05:06-08");
        check(TypeId::TIMETZ, "2003-04-12 04:05:06 America/New_York", "04:05:06-04");
        check(
            TypeId::TIMETZ,
            "12:00 Asia/Tokyo",
            "22007: invalid input syntax for type time with time zone: \"12:00 Asia/Tokyo\"",
        );
    }

    #[test]
    fn styles() {
        let styled = |output, order, expected: &str| {
            let context = Context {
                date_style: DateStyle { output, order },
                time_zone: TimeZone::parse("America/New_York").expect("a zone"),
                ..Context::default()
            };
            let text = answer(TypeId::TIMESTAMPTZ, "2024-07-04 12:00:00.5+00", &context);
            assert_eq!(text, expected);
        };
        styled(DateOutput::Iso, DateOrder::Mdy, "2024-07-04 08:00:00.5-04");
        styled(DateOutput::Sql, DateOrder::Dmy, "04/07/2024 08:00:00.5 EDT");
        styled(DateOutput::German, DateOrder::Mdy, "04.07.2024 08:00:00.5 EDT");
        styled(DateOutput::Postgres, DateOrder::Mdy, "Thu Jul 04 08:00:00.5 2024 EDT");
    }
}
