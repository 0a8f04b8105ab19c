//! Code points: `ascii`, `chr`, `unistr`, `normalize` (the manual's section 9.4).

use unicode_normalization::{IsNormalized, UnicodeNormalization};

use crate::arguments::{int4, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("ascii", |_, args| {
        let code = text(args, 0)?.chars().next().map_or(0, u32::from);
        Ok(Value::Int4(i32::try_from(code).expect("a code point is below 2^21")))
    }),
    entry("chr", chr),
    entry("unistr", unistr),
    entry("unicode_normalize_func", |_, args| {
        let source = text(args, 0)?;
        Ok(Value::text(match form(text(args, 1)?)? {
            Form::Nfc => source.nfc().collect::<String>(),
            Form::Nfd => source.nfd().collect(),
            Form::Nfkc => source.nfkc().collect(),
            Form::Nfkd => source.nfkd().collect(),
        }))
    }),
    entry("unicode_is_normalized", |_, args| {
        let source = text(args, 0)?;
        let form = form(text(args, 1)?)?;
        let quick = match form {
            Form::Nfc => unicode_normalization::is_nfc_quick(source.chars()),
            Form::Nfd => unicode_normalization::is_nfd_quick(source.chars()),
            Form::Nfkc => unicode_normalization::is_nfkc_quick(source.chars()),
            Form::Nfkd => unicode_normalization::is_nfkd_quick(source.chars()),
        };
        Ok(Value::Bool(match (quick, form) {
            (IsNormalized::Yes, _) => true,
            (IsNormalized::No, _) => false,
            (IsNormalized::Maybe, Form::Nfc) => source.nfc().eq(source.chars()),
            (IsNormalized::Maybe, Form::Nfd) => source.nfd().eq(source.chars()),
            (IsNormalized::Maybe, Form::Nfkc) => source.nfkc().eq(source.chars()),
            (IsNormalized::Maybe, Form::Nfkd) => source.nfkd().eq(source.chars()),
        }))
    }),
];

#[derive(Clone, Copy)]
enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

fn form(name: &str) -> Result<Form> {
    match name.to_ascii_uppercase().as_str() {
        "NFC" => Ok(Form::Nfc),
        "NFD" => Ok(Form::Nfd),
        "NFKC" => Ok(Form::Nfkc),
        "NFKD" => Ok(Form::Nfkd),
        _ => Err(PgError::new("22023", format!("invalid normalization form: {name}"))),
    }
}

fn chr(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let code = int4(args, 0)?;
    let Ok(unsigned) = u32::try_from(code) else {
        return Err(PgError::new("22023", "character number must be positive"));
    };
    if code == 0 {
        return Err(PgError::new("54000", "null character not permitted"));
    }
    if unsigned > 0x10_ffff {
        let message = format!("requested character too large for encoding: {code}");
        return Err(PgError::new("54000", message));
    }
    let character = char::from_u32(unsigned).ok_or_else(|| {
        PgError::new("54000", format!("requested character not valid for encoding: {code}"))
    })?;
    Ok(Value::text(character.to_string()))
}

/// Resolves `\XXXX`, `\+XXXXXX`, `\uXXXX`, `\UXXXXXXXX` and `\\`.
fn unistr(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let invalid_pair = || PgError::new("42601", "invalid Unicode surrogate pair");
    let mut rest = text(args, 0)?;
    let mut out = String::with_capacity(rest.len());
    let mut high: Option<u32> = None;
    while let Some(character) = rest.chars().next() {
        if character != '\\' || rest[1..].starts_with('\\') {
            if high.is_some() {
                return Err(invalid_pair());
            }
            out.push(character);
            rest = &rest[if character == '\\' { 2 } else { character.len_utf8() }..];
            continue;
        }
        let (skipped, digits) = match rest.as_bytes().get(1) {
            Some(b'+') => (2, 6),
            Some(b'u') => (2, 4),
            Some(b'U') => (2, 8),
            _ => (1, 4),
        };
        let code = rest
            .get(skipped..skipped + digits)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| {
                PgError::new("42601", "invalid Unicode escape").with_hint(
                    "Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.",
                )
            })?;
        rest = &rest[skipped + digits..];
        if code == 0 || code > 0x10_ffff {
            let message = format!("invalid Unicode code point: {code:04X}");
            return Err(PgError::new("22023", message));
        }
        match (high.take(), code) {
            (Some(first), 0xdc00..0xe000) => {
                let joined = 0x10000 + ((first - 0xd800) << 10) + (code - 0xdc00);
                out.push(char::from_u32(joined).expect("a surrogate pair is a character"));
            }
            (Some(_), _) | (None, 0xdc00..0xe000) => return Err(invalid_pair()),
            (None, 0xd800..0xdc00) => high = Some(code),
            (None, code) => {
                out.push(char::from_u32(code).expect("surrogates are handled above"));
            }
        }
    }
    match high {
        Some(_) => Err(invalid_pair()),
        None => Ok(Value::text(out)),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn code_points() {
        check("ascii", &["t:é"], "233");
        check("ascii", &["t:"], "0");
        check("chr", &["i:128512"], "😀");
        check("chr", &["i:0"], "ERROR 54000: null character not permitted");
        check(
            "chr",
            &["i:55296"],
            "ERROR 54000: requested character not valid for encoding: 55296",
        );
        check("unistr", &["t:d\\0061t\\+000061 \\u0061\\U00000061 \\\\"], "data aa \\");
        check("unistr", &["t:\\d83d\\de00"], "😀");
        check("unistr", &["t:\\d83dx"], "ERROR 42601: invalid Unicode surrogate pair");
        check("unicode_normalize_func", &["t:e\u{301}", "t:nfc"], "é");
        check("unicode_is_normalized", &["t:e\u{301}", "t:NFC"], "false");
    }
}
