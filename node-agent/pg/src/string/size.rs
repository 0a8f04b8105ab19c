//! Sizes in bytes as people write them: `pg_size_pretty`, `pg_size_bytes` (the manual's section 9.27.7).

use crate::arguments::{arg, int8, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::numeric::trim_blanks;
use crate::registry::{Entry, entry};
use crate::value::{Numeric, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("pg_size_pretty", |_, args| Ok(Value::text(pretty(int8(args, 0)?)))),
    entry("pg_size_pretty_numeric", |_, args| {
        pretty_numeric(arg::<&Numeric>(args, 0)?).map(Value::text)
    }),
    entry("pg_size_bytes", bytes),
];

/// The units, each 1024 of the one before.
const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
/// Below so many, a number of bytes stays one. Larger units are kept in halves until they are rounded, so that theirs is
/// twice that less one.
const BYTES_MAX: i64 = 10 * 1024;
const HALVES_MAX: i64 = 20 * 1024 - 1;

fn pretty(size: i64) -> String {
    if size.unsigned_abs() < BYTES_MAX.unsigned_abs() {
        return format!("{size} bytes");
    }
    let mut halves = size / 512;
    let mut unit = 1;
    while halves.unsigned_abs() >= HALVES_MAX.unsigned_abs() && unit + 1 < UNITS.len() {
        halves /= 1024;
        unit += 1;
    }
    let away = if halves < 0 { -1 } else { 1 };
    format!("{} {}", (halves + away) / 2, UNITS[unit])
}

fn pretty_numeric(size: &Numeric) -> Result<String> {
    let number = |value: i64| Numeric::from(value);
    if size.abs().compare(&number(BYTES_MAX)).is_lt() {
        return Ok(format!("{size} bytes"));
    }
    let mut halves = size.divide_truncated(&number(512))?;
    let mut unit = 1;
    while halves.abs().compare(&number(HALVES_MAX)).is_ge() && unit + 1 < UNITS.len() {
        halves = halves.divide_truncated(&number(1024))?;
        unit += 1;
    }
    let away = if halves.compare(&Numeric::zero()).is_lt() { -1 } else { 1 };
    let rounded = halves.add(&number(away))?.divide_truncated(&number(2))?;
    Ok(format!("{rounded} {}", UNITS[unit]))
}

fn bytes(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let size = text(args, 0)?;
    let invalid = || PgError::new("22023", format!("invalid size: \"{size}\""));
    let trimmed = trim_blanks(size);
    let digits_from = |at: usize| {
        trimmed.as_bytes()[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut end = usize::from(trimmed.starts_with(['-', '+']));
    let whole = digits_from(end);
    end += whole;
    let mut fraction = 0;
    if trimmed[end..].starts_with('.') {
        fraction = digits_from(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return Err(invalid());
    }
    // An exponent only if a number follows: it might be a unit.
    if trimmed[end..].starts_with(['e', 'E']) {
        let after = trimmed[end + 1..].trim_start_matches(crate::formatting::is_space);
        let signed = after.strip_prefix(['-', '+']).unwrap_or(after);
        let digits = signed.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            end = trimmed.len() - signed.len() + digits;
        }
    }
    let number = Numeric::parse(&trimmed[..end])?;
    let unit = trim_blanks(&trimmed[end..]);
    let power = match unit {
        "" => 0,
        unit => UNITS.iter().position(|name| name.eq_ignore_ascii_case(unit)).ok_or_else(|| {
            invalid()
                .with_detail(format!("Invalid size unit: \"{unit}\"."))
                .with_hint("Valid units are \"bytes\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".")
        })?,
    };
    let factor = Numeric::from(1_i64 << (10 * power));
    let total = i64::try_from(number.multiply(&factor)?.to_integer("bigint")?);
    total.map(Value::Int8).map_err(|_| PgError::out_of_range("bigint"))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn sizes() {
        check("pg_size_pretty", &["l:10239"], "10239 bytes");
        check("pg_size_pretty", &["l:-10240"], "-10 kB");
        check("pg_size_pretty", &["l:9223372036854775807"], "8192 PB");
        check("pg_size_bytes", &["t: 1.5 kB "], "1536");
        check("pg_size_bytes", &["t:1 XB"], "ERROR 22023: invalid size: \"1 XB\"");
    }
}
