//! Character encodings by name: `convert_from`, `convert_to`, `convert` and the encodings' numbers (the manual's sections
//! 9.5, 24.3). The server's own encoding is UTF8.

use crate::arguments::{arg, bytes, text};
use crate::error::{PgError, Result};
use crate::io::binary::utf8;
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("PG_char_to_encoding", |_, args| {
        let number = find(text(args, 0)?).and_then(|at| i32::try_from(at).ok());
        Ok(Value::Int4(number.unwrap_or(-1)))
    }),
    entry("PG_encoding_to_char", |_, args| {
        let number = usize::try_from(arg::<i32>(args, 0)?).ok();
        Ok(Value::text(number.and_then(|number| NAMES.get(number)).copied().unwrap_or_default()))
    }),
    entry("pg_convert_from", |_, args| {
        let source = encoding(text(args, 1)?, "source")?;
        convert(bytes(args, 0)?, source, Encoding::Utf8)
            .and_then(|text| utf8(&text).map(Value::text))
    }),
    entry("pg_convert_to", |_, args| {
        let target = encoding(text(args, 1)?, "destination")?;
        convert(text(args, 0)?.as_bytes(), Encoding::Utf8, target)
            .map(|bytes| Value::Bytea(bytes.into()))
    }),
    entry("pg_convert", |_, args| {
        let source = encoding(text(args, 1)?, "source")?;
        let target = encoding(text(args, 2)?, "destination")?;
        convert(bytes(args, 0)?, source, target).map(|bytes| Value::Bytea(bytes.into()))
    }),
];

/// The encodings by their numbers.
const NAMES: [&str; 42] = [
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

/// Other names, without what is no letter or digit, and the encodings' own.
const ALIASES: &[(&str, &str)] = &[
    ("abc", "WIN1258"),
    ("alt", "WIN866"),
    ("iso88591", "LATIN1"),
    ("iso885910", "LATIN6"),
    ("iso885913", "LATIN7"),
    ("iso885914", "LATIN8"),
    ("iso885915", "LATIN9"),
    ("iso885916", "LATIN10"),
    ("iso88592", "LATIN2"),
    ("iso88593", "LATIN3"),
    ("iso88594", "LATIN4"),
    ("iso88599", "LATIN5"),
    ("koi8", "KOI8R"),
    ("mskanji", "SJIS"),
    ("shiftjis", "SJIS"),
    ("tcvn", "WIN1258"),
    ("tcvn5712", "WIN1258"),
    ("unicode", "UTF8"),
    ("vscii", "WIN1258"),
    ("win", "WIN1251"),
    ("win932", "SJIS"),
    ("win936", "GBK"),
    ("win949", "UHC"),
    ("win950", "BIG5"),
    ("windows932", "SJIS"),
    ("windows936", "GBK"),
    ("windows949", "UHC"),
    ("windows950", "BIG5"),
];

/// What is converted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
    Ascii,
}

fn find(name: &str) -> Option<usize> {
    // A longer name is none, as PostgreSQL's names are bounded.
    if name.is_empty() || name.len() >= 64 {
        return None;
    }
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = plain(name);
    // `windows1252` stands for WIN1252.
    let wanted = match wanted.strip_prefix("windows125").or_else(|| wanted.strip_prefix("windows8"))
    {
        Some(_) => wanted.replacen("windows", "win", 1),
        None => wanted,
    };
    let own = ALIASES.iter().find(|(alias, _)| *alias == wanted).map(|(_, own)| *own);
    NAMES.iter().position(|known| own == Some(*known) || plain(known) == wanted)
}

fn encoding(name: &str, role: &str) -> Result<Encoding> {
    match find(name).map(|at| NAMES[at]) {
        Some("UTF8") => Ok(Encoding::Utf8),
        Some("LATIN1") => Ok(Encoding::Latin1),
        Some("SQL_ASCII") => Ok(Encoding::Ascii),
        Some(known) => {
            Err(PgError::unsupported(format!("conversion of encoding {known} is not supported")))
        }
        None => Err(PgError::new("22023", format!("invalid {role} encoding name \"{name}\""))),
    }
}

fn convert(bytes: &[u8], source: Encoding, target: Encoding) -> Result<Vec<u8>> {
    match (source, target) {
        (Encoding::Latin1, _) if bytes.contains(&0) => return Err(invalid_null("LATIN1")),
        (Encoding::Ascii, _) if bytes.contains(&0) => return Err(invalid_null("SQL_ASCII")),
        (Encoding::Utf8, _) | (Encoding::Ascii, Encoding::Utf8) => drop(utf8(bytes)?),
        _ => {}
    }
    match (source, target) {
        (Encoding::Latin1, Encoding::Utf8) => {
            Ok(bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes())
        }
        (Encoding::Utf8, Encoding::Latin1) => {
            let one =
                |character: char| u8::try_from(character).map_err(|_| untranslatable(character));
            utf8(bytes)?.chars().map(one).collect()
        }
        _ => Ok(bytes.to_vec()),
    }
}

fn invalid_null(encoding: &str) -> PgError {
    PgError::new("22021", format!("invalid byte sequence for encoding \"{encoding}\": 0x00"))
}

fn untranslatable(character: char) -> PgError {
    let mut buffer = [0; 4];
    let shown: Vec<String> =
        character.encode_utf8(&mut buffer).bytes().map(|byte| format!("0x{byte:02x}")).collect();
    let message = format!(
        "character with byte sequence {} in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"",
        shown.join(" ")
    );
    PgError::new("22P05", message)
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn conversions() {
        check("pg_convert_to", &["t:é", "t:latin-1"], "e9");
        check("pg_convert_from", &["x:e9", "t:LATIN1"], "é");
        check(
            "pg_convert_from",
            &["x:ff", "t:UTF8"],
            "ERROR 22021: invalid byte sequence for encoding \"UTF8\": 0xff",
        );
        check(
            "pg_convert_to",
            &["t:a", "t:x"],
            "ERROR 22023: invalid destination encoding name \"x\"",
        );
    }
}
