//! What a COPY says about its format: the options, checked as PostgreSQL checks them and in its order.

use dataman_pg::PgError;

use super::lines::Quoting;
use crate::parse::syntax::{CopyOption, CopyOptionValue};

/// The formats of COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyFormat {
    /// Lines with backslashes.
    #[default]
    Text,
    /// Comma separated values.
    Csv,
    /// PostgreSQL's binary form.
    Binary,
}

/// The header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// There is none.
    #[default]
    None,
    /// The first line is one.
    Line,
    /// The first line is one, and must name the columns.
    Match,
}

/// Which way rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `COPY … FROM`.
    In,
    /// `COPY … TO`.
    Out,
}

/// Some columns, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// These.
    Named(Vec<String>),
    /// All.
    All,
}

/// The character encodings of COPY data that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8, as everywhere else.
    #[default]
    Utf8,
    /// ISO 8859-1.
    Latin1,
}

/// The options of a COPY, with their defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// FORMAT.
    pub format: CopyFormat,
    /// DELIMITER.
    pub delimiter: u8,
    /// NULL.
    pub null: String,
    /// HEADER.
    pub header: Header,
    /// QUOTE and ESCAPE.
    pub quoting: Quoting,
    /// FORCE_QUOTE.
    pub force_quote: Columns,
    /// FORCE_NOT_NULL.
    pub force_not_null: Vec<String>,
    /// FORCE_NULL.
    pub force_null: Vec<String>,
    /// ENCODING.
    pub encoding: Encoding,
    /// FREEZE.
    pub freeze: bool,
}

/// An option's failure, and the option that it is about.
type Result<T> = std::result::Result<T, PgError>;

/// The options as written, each once.
#[derive(Default)]
struct Given {
    format: Option<CopyFormat>,
    freeze: Option<bool>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<Header>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<Columns>,
    force_not_null: Option<Vec<String>>,
    force_null: Option<Vec<String>>,
    encoding: Option<Encoding>,
}

impl CopyOptions {
    /// Reads a statement's options. `position` tells where an option stands in the statement, from 1.
    ///
    /// # Errors
    /// `42601`, `22023` and `0A000` in PostgreSQL's words; `0A000` also for encodings that are not known here.
    pub fn read(
        options: &[CopyOption],
        direction: Direction,
        position: &dyn Fn(&CopyOption) -> usize,
    ) -> Result<Self> {
        let mut given = Given::default();
        for option in options {
            given.take(option, direction, position)?;
        }
        given.check(direction)
    }

    /// Whether fields are quoted: csv.
    pub fn quoting(&self) -> Option<Quoting> {
        (self.format == CopyFormat::Csv).then_some(self.quoting)
    }
}

impl Given {
    fn take(
        &mut self,
        option: &CopyOption,
        direction: Direction,
        position: &dyn Fn(&CopyOption) -> usize,
    ) -> Result<()> {
        let at = |error: PgError| error.at(position(option));
        let twice = || at(PgError::new("42601", "conflicting or redundant options"));
        let name = option.name.as_str();
        match name {
            "format" => {
                if self.format.is_some() {
                    return Err(twice());
                }
                let format = text_of(option)?;
                self.format = Some(match format.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => {
                        return Err(at(PgError::new(
                            "22023",
                            format!("COPY format \"{format}\" not recognized"),
                        )));
                    }
                });
            }
            "freeze" => put(&mut self.freeze, twice, || boolean_of(option))?,
            "delimiter" => put(&mut self.delimiter, twice, || text_of(option))?,
            "null" => put(&mut self.null, twice, || text_of(option))?,
            "header" => put(&mut self.header, twice, || header_of(option, direction))?,
            "quote" => put(&mut self.quote, twice, || text_of(option))?,
            "escape" => put(&mut self.escape, twice, || text_of(option))?,
            "force_quote" => put(&mut self.force_quote, twice, || match &option.value {
                CopyOptionValue::All => Ok(Columns::All),
                _ => list_of(option).map(Columns::Named).map_err(at),
            })?,
            "force_not_null" => {
                put(&mut self.force_not_null, twice, || list_of(option).map_err(at))?;
            }
            "force_null" => put(&mut self.force_null, twice, || list_of(option).map_err(at))?,
            "encoding" => put(&mut self.encoding, twice, || {
                encoding_of(&text_of(option)?).map_err(|error| match error.sqlstate() {
                    "22023" => at(error),
                    _ => error,
                })
            })?,
            _ => {
                return Err(at(PgError::new("42601", format!("option \"{name}\" not recognized"))));
            }
        }
        Ok(())
    }

    fn check(self, direction: Direction) -> Result<CopyOptions> {
        let format = self.format.unwrap_or_default();
        let (csv, binary) = (format == CopyFormat::Csv, format == CopyFormat::Binary);
        let refuse = |refused: bool, sqlstate: &'static str, message: &'static str| {
            if refused { Err(PgError::new(sqlstate, message)) } else { Ok(()) }
        };
        refuse(
            binary && self.delimiter.is_some(),
            "42601",
            "cannot specify DELIMITER in BINARY mode",
        )?;
        refuse(binary && self.null.is_some(), "42601", "cannot specify NULL in BINARY mode")?;
        let header = self.header.unwrap_or_default();
        let delimiter = self.delimiter.unwrap_or_else(|| if csv { "," } else { "\t" }.to_owned());
        let null = self.null.unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned());
        let &[delimiter_byte] = delimiter.as_bytes() else {
            return Err(PgError::new(
                "0A000",
                "COPY delimiter must be a single one-byte character",
            ));
        };
        refuse(
            matches!(delimiter_byte, b'\r' | b'\n'),
            "22023",
            "COPY delimiter cannot be newline or carriage return",
        )?;
        refuse(
            null.contains(['\r', '\n']),
            "22023",
            "COPY null representation cannot use newline or carriage return",
        )?;
        let taken = matches!(delimiter_byte, b'\\' | b'.' | b'a'..=b'z' | b'0'..=b'9');
        if !csv && taken {
            return Err(PgError::new("22023", format!("COPY delimiter cannot be \"{delimiter}\"")));
        }
        refuse(binary && header != Header::None, "0A000", "cannot specify HEADER in BINARY mode")?;
        refuse(!csv && self.quote.is_some(), "0A000", "COPY quote available only in CSV mode")?;
        let quote = self.quote.unwrap_or_else(|| "\"".to_owned());
        let &[quote_byte] = quote.as_bytes() else {
            return Err(PgError::new("0A000", "COPY quote must be a single one-byte character"));
        };
        refuse(
            csv && delimiter_byte == quote_byte,
            "22023",
            "COPY delimiter and quote must be different",
        )?;
        refuse(!csv && self.escape.is_some(), "0A000", "COPY escape available only in CSV mode")?;
        let escape = self.escape.unwrap_or(quote);
        let &[escape_byte] = escape.as_bytes() else {
            return Err(PgError::new("0A000", "COPY escape must be a single one-byte character"));
        };
        let (into, out) = (direction == Direction::In, direction == Direction::Out);
        for (given, only_csv, other_way, only_way) in [
            (
                self.force_quote.is_some(),
                "COPY force quote available only in CSV mode",
                into,
                "COPY force quote only available using COPY TO",
            ),
            (
                self.force_not_null.is_some(),
                "COPY force not null available only in CSV mode",
                out,
                "COPY force not null only available using COPY FROM",
            ),
            (
                self.force_null.is_some(),
                "COPY force null available only in CSV mode",
                out,
                "COPY force null only available using COPY FROM",
            ),
        ] {
            refuse(given && !csv, "0A000", only_csv)?;
            refuse(given && other_way, "0A000", only_way)?;
        }
        refuse(
            null.as_bytes().contains(&delimiter_byte),
            "0A000",
            "COPY delimiter must not appear in the NULL specification",
        )?;
        refuse(
            csv && null.as_bytes().contains(&quote_byte),
            "0A000",
            "CSV quote character must not appear in the NULL specification",
        )?;
        Ok(CopyOptions {
            format,
            delimiter: delimiter_byte,
            null,
            header,
            quoting: Quoting { quote: quote_byte, escape: escape_byte },
            force_quote: self.force_quote.unwrap_or(Columns::Named(Vec::new())),
            force_not_null: self.force_not_null.unwrap_or_default(),
            force_null: self.force_null.unwrap_or_default(),
            encoding: self.encoding.unwrap_or_default(),
            freeze: self.freeze.unwrap_or(false),
        })
    }
}

fn put<T>(
    slot: &mut Option<T>,
    twice: impl FnOnce() -> PgError,
    read: impl FnOnce() -> Result<T>,
) -> Result<()> {
    if slot.is_some() {
        return Err(twice());
    }
    *slot = Some(read()?);
    Ok(())
}

fn text_of(option: &CopyOption) -> Result<String> {
    match &option.value {
        CopyOptionValue::Text(text) => Ok(text.clone()),
        CopyOptionValue::All => Ok("*".to_owned()),
        CopyOptionValue::List(names) => Ok(names.join(".")),
        CopyOptionValue::None => {
            Err(PgError::new("42601", format!("{} requires a parameter", option.name)))
        }
    }
}

/// A boolean; none for what is none.
fn boolean(option: &CopyOption) -> Option<bool> {
    let text = match &option.value {
        CopyOptionValue::None => return Some(true),
        CopyOptionValue::Text(text) => text.to_ascii_lowercase(),
        CopyOptionValue::List(_) | CopyOptionValue::All => return None,
    };
    match text.as_str() {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn boolean_of(option: &CopyOption) -> Result<bool> {
    boolean(option)
        .ok_or_else(|| PgError::new("42601", format!("{} requires a Boolean value", option.name)))
}

fn header_of(option: &CopyOption, direction: Direction) -> Result<Header> {
    if let Some(on) = boolean(option) {
        return Ok(if on { Header::Line } else { Header::None });
    }
    let text = text_of(option)?;
    if !text.eq_ignore_ascii_case("match") {
        return Err(PgError::new(
            "42601",
            format!("{} requires a Boolean value or \"match\"", option.name),
        ));
    }
    if direction == Direction::Out {
        return Err(PgError::new("0A000", format!("cannot use \"{text}\" with HEADER in COPY TO")));
    }
    Ok(Header::Match)
}

fn list_of(option: &CopyOption) -> Result<Vec<String>> {
    match &option.value {
        CopyOptionValue::List(names) => Ok(names.clone()),
        _ => Err(PgError::new(
            "22023",
            format!("argument to option \"{}\" must be a list of column names", option.name),
        )),
    }
}

/// Other encodings that PostgreSQL knows, in the form in which names are compared.
const OTHER_ENCODINGS: &[&str] = &[
    "abc",
    "alt",
    "big5",
    "euccn",
    "eucjis2004",
    "eucjp",
    "euckr",
    "euctw",
    "gb18030",
    "gbk",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "iso88592",
    "iso88593",
    "iso88594",
    "johab",
    "koi8",
    "koi8r",
    "koi8u",
    "latin10",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "mskanji",
    "muleinternal",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "tcvn",
    "tcvn5712",
    "uhc",
    "vscii",
    "win",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "win866",
    "win874",
    "win932",
    "win936",
    "win949",
    "win950",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "windows866",
    "windows874",
    "windows932",
    "windows936",
    "windows949",
    "windows950",
];

fn encoding_of(name: &str) -> Result<Encoding> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    match plain.as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(Encoding::Utf8),
        "latin1" | "iso88591" => Ok(Encoding::Latin1),
        other if OTHER_ENCODINGS.contains(&other) => {
            Err(PgError::unsupported(format!("COPY in the encoding \"{name}\" is not supported"))
                .with_hint("Use UTF8 or LATIN1, and convert the data before or afterwards."))
        }
        _ => Err(PgError::new(
            "22023",
            "argument to option \"encoding\" must be a valid encoding name",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::syntax::Statement;

    fn read(sql: &str) -> Result<CopyOptions> {
        let statement = crate::parse::parse(sql)?.remove(0);
        let Statement::Copy(copy) = statement.statement else {
            return Err(PgError::internal("not a COPY"));
        };
        let direction = if copy.from { Direction::In } else { Direction::Out };
        CopyOptions::read(&copy.options, direction, &|option| option.span.start + 1)
    }

    fn check(sql: &str, expected: &str) {
        let found = match read(sql) {
            Ok(options) => format!(
                "{:?} {:?} {:?} {:?} {:?}",
                options.format,
                char::from(options.delimiter),
                options.null,
                options.header,
                char::from(options.quoting.quote),
            ),
            Err(error) => format!("{} {}", error.sqlstate(), error.message()),
        };
        assert_eq!(found, expected, "{sql}");
    }

    #[test]
    fn options_have_defaults() {
        check("copy t from stdin", r#"Text '\t' "\\N" None '"'"#);
        check("copy t from stdin csv header", r#"Csv ',' "" Line '"'"#);
        check("copy t from stdin with delimiter ',' csv", r#"Csv ',' "" None '"'"#);
        check("copy binary t from stdin", r#"Binary '\t' "\\N" None '"'"#);
        check("copy t from stdin using delimiters '|'", r#"Text '|' "\\N" None '"'"#);
        check("copy t from stdin (header match, format csv)", r#"Csv ',' "" Match '"'"#);
        check("copy t from stdin (header false, null 'x')", r#"Text '\t' "x" None '"'"#);
    }

    #[test]
    fn options_are_checked() {
        check(
            "copy t to stdout (header match)",
            "0A000 cannot use \"match\" with HEADER in COPY TO",
        );
        check("copy t from stdin (freeze x)", "42601 freeze requires a Boolean value");
        check("copy t from stdin (foo)", "42601 option \"foo\" not recognized");
        check("copy t from stdin csv csv", "42601 conflicting or redundant options");
        check(
            "copy t from stdin (delimiter 'ab')",
            "0A000 COPY delimiter must be a single one-byte character",
        );
        check("copy t from stdin (delimiter 'x')", "22023 COPY delimiter cannot be \"x\"");
        check("copy t from stdin (quote 'x')", "0A000 COPY quote available only in CSV mode");
        check(
            "copy t from stdin (format csv, force_quote *)",
            "0A000 COPY force quote only available using COPY TO",
        );
        check(
            "copy t from stdin (encoding 'x')",
            "22023 argument to option \"encoding\" must be a valid encoding name",
        );
        check(
            "copy t from stdin (encoding 'sjis')",
            "0A000 COPY in the encoding \"sjis\" is not supported",
        );
    }
}
