//! A parameter's value: read as PostgreSQL reads it, and written as SHOW prints it.

use dataman_pg::context::{DateOrder, DateOutput, DateStyle};
use dataman_pg::error::{PgError, Result};
use dataman_pg::timezone::TimeZone;

use crate::session::parameters::{Kind, Parameter, Unit};

/// How long an SQL name may be, in bytes; what is longer is cut, as in PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

pub(super) fn default_text(parameter: Option<&Parameter>) -> String {
    let Some(parameter) = parameter else { return String::new() };
    match parameter.kind {
        Kind::Integer(_, _, unit) => parameter
            .default
            .parse()
            .map_or_else(|_| String::new(), |value| show_integer(value, unit)),
        Kind::Real(..) | Kind::Bool | Kind::Choice(_) | Kind::Text => parameter.default.to_owned(),
    }
}

/// Checks a value by its parameter's kind; gives it as SHOW prints it. `written` is the name as the client wrote it, which
/// some of PostgreSQL's messages repeat;
/// `base` is the style that DateStyle starts from.
pub(super) fn canonical(
    parameter: &Parameter,
    written: &str,
    value: &str,
    base: DateStyle,
) -> Result<String> {
    let invalid = |name: &str| {
        PgError::new("22023", format!("invalid value for parameter \"{name}\": \"{value}\""))
    };
    match parameter.kind {
        Kind::Bool => match parse_bool(value) {
            Some(value) => Ok(on_off(value).to_owned()),
            None => Err(PgError::new(
                "22023",
                format!("parameter \"{written}\" requires a Boolean value"),
            )),
        },
        Kind::Integer(min, max, unit) => {
            let number = parse_integer(value, unit)
                .map_err(|hint| hint.into_iter().fold(invalid(written), PgError::with_hint))?;
            if number < min || number > max {
                let unit = match unit {
                    Unit::None => "",
                    Unit::Milliseconds => " ms",
                    Unit::Seconds => " s",
                    Unit::Bytes => " B",
                    Unit::Kilobytes => " kB",
                    Unit::Blocks => " 8kB",
                };
                return Err(PgError::new(
                    "22023",
                    format!(
                        "{number}{unit} is outside the valid range for parameter \"{written}\" ({min} .. {max})"
                    ),
                ));
            }
            Ok(show_integer(number, unit))
        }
        Kind::Real(min, max, _) => {
            let number: f64 = value.trim().parse().map_err(|_| invalid(written))?;
            if number.is_nan() || number < min || number > max {
                return Err(PgError::new(
                    "22023",
                    format!(
                        "{} is outside the valid range for parameter \"{written}\" ({} .. {})",
                        show_real(number),
                        show_real(min),
                        show_real(max)
                    ),
                ));
            }
            Ok(show_real(number))
        }
        Kind::Choice(choices) => match choices.iter().find(|c| c.eq_ignore_ascii_case(value)) {
            Some(choice) => Ok((*choice).to_owned()),
            None if parameter.name == "client_min_messages" => match value {
                "debug" => Ok("debug2".to_owned()),
                "info" | "fatal" | "panic" => Ok("error".to_owned()),
                _ => Err(invalid(written)
                    .with_hint(format!("Available values: {}.", choices.join(", ")))),
            },
            None => match (parse_bool(value), choices.contains(&"on")) {
                (Some(value), true) => Ok(on_off(value).to_owned()),
                _ => Err(invalid(written)
                    .with_hint(format!("Available values: {}.", choices.join(", ")))),
            },
        },
        Kind::Text => canonical_text(parameter.name, value, base).map_err(|detail| {
            detail.into_iter().fold(invalid(parameter.name), |error, (sqlstate, detail)| {
                match sqlstate {
                    "0A000" => PgError::unsupported(detail)
                        .with_hint("Use UTF8: dataman does not convert between encodings."),
                    _ => error.with_detail(detail),
                }
            })
        }),
    }
}

/// The parameters that have a rule of their own. An error may bear a detail, or a message under `0A000`.
pub(super) fn canonical_text(
    name: &str,
    value: &str,
    base: DateStyle,
) -> std::result::Result<String, Option<(&'static str, String)>> {
    match name {
        "TimeZone" => parse_time_zone(value).map(|zone| zone.name().to_owned()).ok_or(None),
        "DateStyle" => {
            let style = parse_date_style(value, base).map_err(|detail| Some(("22023", detail)))?;
            Ok(show_date_style(style))
        }
        "client_encoding" => {
            let plain: String = value
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .map(|letter| letter.to_ascii_lowercase())
                .collect();
            match plain.as_str() {
                "utf8" | "unicode" => Ok("UTF8".to_owned()),
                other if is_encoding(other) => {
                    Err(Some(("0A000", format!("client_encoding \"{value}\" is not supported"))))
                }
                _ => Err(None),
            }
        }
        "search_path" => match split_names(value) {
            Some(_) => Ok(value.to_owned()),
            None => Err(Some(("22023", "List syntax is invalid.".to_owned()))),
        },
        "application_name" => {
            let shown: String = value
                .bytes()
                .take(NAME_BYTES_MAX)
                .map(|byte| if (32..=126).contains(&byte) { char::from(byte) } else { '?' })
                .collect();
            Ok(shown)
        }
        _ => Ok(value.to_owned()),
    }
}

/// Whether PostgreSQL knows an encoding, by its letters and digits in lower case.
pub(super) fn is_encoding(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "sqlascii",
        "eucjp",
        "euccn",
        "euckr",
        "euctw",
        "eucjis2004",
        "muleinternal",
        "koi8r",
        "koi8u",
        "koi8",
        "sjis",
        "big5",
        "gbk",
        "uhc",
        "gb18030",
        "johab",
        "shiftjis2004",
    ];
    NAMES.contains(&name)
        || ["latin", "win", "windows", "iso8859"].iter().any(|family| {
            name.strip_prefix(family).is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
}

pub(super) fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

/// A Boolean as parameters take it: whole words or their beginnings, as far as they are not ambiguous.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    if text.is_empty() {
        return None;
    }
    match text.as_str() {
        "1" | "on" => Some(true),
        "0" | "of" | "off" => Some(false),
        text if "true".starts_with(text) || "yes".starts_with(text) => Some(true),
        text if "false".starts_with(text) || "no".starts_with(text) => Some(false),
        _ => None,
    }
}

/// The units a number may be given in, largest first, each in base units.
pub(super) fn units(unit: Unit) -> &'static [(&'static str, f64)] {
    const KB: f64 = 1024.0;
    match unit {
        Unit::None => &[],
        Unit::Milliseconds => &[
            ("d", 86_400_000.0),
            ("h", 3_600_000.0),
            ("min", 60_000.0),
            ("s", 1_000.0),
            ("ms", 1.0),
            ("us", 0.001),
        ],
        Unit::Seconds => &[
            ("d", 86_400.0),
            ("h", 3_600.0),
            ("min", 60.0),
            ("s", 1.0),
            ("ms", 0.001),
            ("us", 0.000_001),
        ],
        Unit::Bytes => &[
            ("TB", KB * KB * KB * KB),
            ("GB", KB * KB * KB),
            ("MB", KB * KB),
            ("kB", KB),
            ("B", 1.0),
        ],
        Unit::Kilobytes => {
            &[("TB", KB * KB * KB), ("GB", KB * KB), ("MB", KB), ("kB", 1.0), ("B", 1.0 / KB)]
        }
        Unit::Blocks => &[
            ("TB", KB * KB * KB / 8.0),
            ("GB", KB * KB / 8.0),
            ("MB", KB / 8.0),
            ("kB", 1.0 / 8.0),
            ("B", 1.0 / KB / 8.0),
        ],
    }
}

/// Reads a whole number with an optional unit; the error may be a hint that names the units.
pub(super) fn parse_integer(text: &str, unit: Unit) -> std::result::Result<i64, Option<String>> {
    let text = text.trim();
    let digits = text
        .char_indices()
        .take_while(|(at, letter)| {
            letter.is_ascii_digit()
                || *letter == '.'
                || (matches!(letter, '+' | '-')
                    && (*at == 0 || matches!(text.as_bytes()[at - 1], b'e' | b'E')))
                || (matches!(letter, 'e' | 'E')
                    && *at > 0
                    && text[at + 1..]
                        .starts_with(|next: char| next.is_ascii_digit() || "+-".contains(next)))
        })
        .count();
    let (number, suffix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (i64::from_str_radix(hex, 16).map(|value| value as f64).ok(), ""),
        None => (text[..digits].parse::<f64>().ok(), text[digits..].trim()),
    };
    let Some(number) = number else { return Err(None) };
    let (multiplier, step) = if suffix.is_empty() {
        (1.0, 1.0)
    } else {
        match units(unit).iter().position(|(name, _)| *name == suffix) {
            // A fraction is rounded to the next smaller unit, as PostgreSQL does.
            Some(at) => (units(unit)[at].1, units(unit).get(at + 1).map_or(1.0, |next| next.1)),
            None => {
                return Err(match unit {
                    Unit::None => None,
                    Unit::Milliseconds | Unit::Seconds => Some(
                        "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\"."
                            .to_owned(),
                    ),
                    Unit::Bytes | Unit::Kilobytes | Unit::Blocks => Some(
                        "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\"."
                            .to_owned(),
                    ),
                });
            }
        }
    };
    let exact = number * multiplier;
    let rounded =
        if number.fract() == 0.0 { exact } else { (exact / step).round_ties_even() * step };
    let value = rounded.round_ties_even();
    if value.is_nan() || value.abs() > 9e15 {
        return Err(None);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    Ok(value as i64)
}

/// A number with the largest unit that keeps it whole.
pub(super) fn show_integer(value: i64, unit: Unit) -> String {
    if value <= 0 || unit == Unit::None {
        return value.to_string();
    }
    for (name, multiplier) in units(unit) {
        if *multiplier < 1.0 {
            let shown = value as f64 / multiplier;
            return format!("{shown}{name}");
        }
        let whole = value as f64 / multiplier;
        if whole.fract() == 0.0 {
            return format!("{whole}{name}");
        }
    }
    value.to_string()
}

/// A number with six significant digits, as C's `%g` writes it.
pub(super) fn show_real(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |digits: &str| {
        if digits.contains('.') {
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            digits.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        return trim(&format!("{value:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

/// Reads DateStyle's words; what is not said stays as in `base`. The error is PostgreSQL's detail.
pub(super) fn parse_date_style(
    text: &str,
    base: DateStyle,
) -> std::result::Result<DateStyle, String> {
    let mut output: Option<DateOutput> = None;
    let mut order: Option<DateOrder> = None;
    let conflict = || "Conflicting \"datestyle\" specifications.".to_owned();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let upper = word.trim_matches('"').to_ascii_uppercase();
        let (new_output, new_order) = match upper.as_str() {
            "ISO" => (Some(DateOutput::Iso), None),
            "SQL" => (Some(DateOutput::Sql), None),
            "GERMAN" => (Some(DateOutput::German), None),
            "YMD" => (None, Some(DateOrder::Ymd)),
            "DMY" => (None, Some(DateOrder::Dmy)),
            "MDY" | "US" => (None, Some(DateOrder::Mdy)),
            "DEFAULT" => {
                let default = DateStyle::default();
                output.get_or_insert(default.output);
                order.get_or_insert(default.order);
                continue;
            }
            word if word.starts_with("POSTGRES") => (Some(DateOutput::Postgres), None),
            word if word.starts_with("EURO") => (None, Some(DateOrder::Dmy)),
            word if word.starts_with("NONEURO") => (None, Some(DateOrder::Mdy)),
            _ => return Err(format!("Unrecognized key word: \"{word}\".")),
        };
        if let Some(new) = new_output
            && output.replace(new).is_some_and(|old| old != new)
        {
            return Err(conflict());
        }
        if let Some(new) = new_order
            && order.replace(new).is_some_and(|old| old != new)
        {
            return Err(conflict());
        }
    }
    // German days come first unless something else is asked for.
    if output == Some(DateOutput::German) && order.is_none() {
        order = Some(DateOrder::Dmy);
    }
    Ok(DateStyle { output: output.unwrap_or(base.output), order: order.unwrap_or(base.order) })
}

pub(super) fn show_date_style(style: DateStyle) -> String {
    let output = match style.output {
        DateOutput::Iso => "ISO",
        DateOutput::Sql => "SQL",
        DateOutput::Postgres => "Postgres",
        DateOutput::German => "German",
    };
    let order = match style.order {
        DateOrder::Ymd => "YMD",
        DateOrder::Dmy => "DMY",
        DateOrder::Mdy => "MDY",
    };
    format!("{output}, {order}")
}

pub(super) fn parse_time_zone(text: &str) -> Option<TimeZone> {
    TimeZone::parse(text).ok()
}

/// An SQL name, in quotes where it needs them.
pub(super) fn quote(name: &str) -> String {
    let plain = name.chars().enumerate().all(|(at, letter)| {
        letter.is_ascii_lowercase() || letter == '_' || (at > 0 && letter.is_ascii_digit())
    });
    if plain && !name.is_empty() {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Splits a list of SQL names, folding those without quotes; none when it is not such a list.
pub(super) fn split_names(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Some(names);
    }
    loop {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut unquoted = String::new();
            let mut letters = quoted.char_indices().peekable();
            let end = loop {
                match letters.next()? {
                    (at, '"') => match letters.peek() {
                        Some((_, '"')) => {
                            unquoted.push('"');
                            letters.next();
                        }
                        _ => break at + 1,
                    },
                    (_, letter) => unquoted.push(letter),
                }
            };
            name = unquoted;
            rest = quoted[end..].trim_start();
        } else {
            let end = rest.find([',', ' ', '\t', '\n']).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            name = rest[..end].to_ascii_lowercase();
            rest = rest[end..].trim_start();
        }
        names.push(name);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return Some(names),
            None => return None,
        }
    }
}
