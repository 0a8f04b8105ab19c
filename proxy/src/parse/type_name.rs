//! Names of types.

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::{ObjectName, TypeName};

impl Parser<'_> {
    /// Takes a type's name, with its modifiers and array bounds.
    pub(super) fn type_name(&mut self) -> Result<TypeName> {
        if self.accept("setof") {
            return self.refuse("SETOF", "Name a type of a single value.");
        }
        let mut ty = self.simple_type_name()?;
        if self.accept("array") {
            ty.array_dimensions = 1;
            if self.accept_symbol('[') {
                self.integer()?;
                self.expect_symbol(']')?;
            }
            return Ok(ty);
        }
        while self.accept_symbol('[') {
            if !self.is_symbol(']') {
                self.integer()?;
            }
            self.expect_symbol(']')?;
            ty.array_dimensions = ty.array_dimensions.saturating_add(1);
        }
        Ok(ty)
    }

    /// Takes a type's name without array bounds.
    pub(super) fn simple_type_name(&mut self) -> Result<TypeName> {
        if let Some(ty) = self.constant_type_name()? {
            return Ok(ty);
        }
        if self.is("interval") {
            return self.interval_type_name();
        }
        let start = self.at;
        let mut parts = vec![self.type_function_name()?];
        while self.accept_symbol('.') {
            parts.push(self.label()?);
        }
        if parts.len() > 3 {
            let written = parts.join(".");
            return self.fail(
                start,
                "42601",
                format!("improper qualified name (too many dotted names): {written}"),
            );
        }
        let name = ObjectName { parts, span: self.span_from(start) };
        let modifiers = self.modifiers()?;
        Ok(TypeName { name, modifiers, ..TypeName::default() })
    }

    /// Takes one of the types that the grammar has words for, INTERVAL excepted; none if it stands at no such word.
    pub(super) fn constant_type_name(&mut self) -> Result<Option<TypeName>> {
        let start = self.at;
        let (name, modifiers) = match self.word() {
            "int" | "integer" => (self.taken("int4"), vec![]),
            "smallint" => (self.taken("int2"), vec![]),
            "bigint" => (self.taken("int8"), vec![]),
            "real" => (self.taken("float4"), vec![]),
            "boolean" => (self.taken("bool"), vec![]),
            "double" if self.word_at(1) == "precision" => {
                self.advance();
                (self.taken("float8"), vec![])
            }
            "float" => {
                self.advance();
                let mut name = "float8";
                if self.accept_symbol('(') {
                    let place = self.at;
                    let precision = self.integer()?;
                    name = match precision {
                        ..1 => {
                            return self.fail(
                                place,
                                "22023",
                                "precision for type float must be at least 1 bit",
                            );
                        }
                        1..=24 => "float4",
                        25..=53 => "float8",
                        _ => {
                            return self.fail(
                                place,
                                "22023",
                                "precision for type float must be less than 54 bits",
                            );
                        }
                    };
                    self.expect_symbol(')')?;
                }
                (name, vec![])
            }
            "decimal" | "dec" | "numeric" => {
                self.advance();
                ("numeric", self.modifiers()?)
            }
            "bit" => {
                self.advance();
                let varying = self.accept("varying");
                let modifiers = self.modifiers()?;
                match (varying, modifiers.is_empty()) {
                    (true, _) => ("varbit", modifiers),
                    (false, true) => ("bit", vec![1]),
                    (false, false) => ("bit", modifiers),
                }
            }
            "varchar" => {
                self.advance();
                ("varchar", self.length()?)
            }
            "char" | "character" | "nchar" | "national" => {
                if self.accept("national") && !matches!(self.word(), "char" | "character") {
                    return Err(self.error());
                }
                self.advance();
                let varying = self.accept("varying");
                let length = self.length()?;
                match (varying, length.is_empty()) {
                    (true, _) => ("varchar", length),
                    // CHAR alone is CHAR(1).
                    (false, true) => ("bpchar", vec![1]),
                    (false, false) => ("bpchar", length),
                }
            }
            word @ ("time" | "timestamp") => {
                self.advance();
                let precision = self.length()?;
                let zone = self.zone()?;
                let name = match (word, zone) {
                    ("time", false) => "time",
                    ("time", true) => "timetz",
                    (_, false) => "timestamp",
                    (_, true) => "timestamptz",
                };
                (name, precision)
            }
            _ => return Ok(None),
        };
        let name = ObjectName { parts: vec![name.to_owned()], span: self.span_from(start) };
        Ok(Some(TypeName { name, modifiers, ..TypeName::default() }))
    }

    fn taken(&mut self, name: &'static str) -> &'static str {
        self.advance();
        name
    }

    fn zone(&mut self) -> Result<bool> {
        if matches!(self.word(), "with" | "without") && self.word_at(1) == "time" {
            let zone = self.is("with");
            self.advance();
            self.expect_all(&["time", "zone"])?;
            return Ok(zone);
        }
        Ok(false)
    }

    fn length(&mut self) -> Result<Vec<i64>> {
        if !self.accept_symbol('(') {
            return Ok(vec![]);
        }
        let length = self.integer()?;
        self.expect_symbol(')')?;
        Ok(vec![i64::from(length)])
    }

    /// Takes modifiers in parentheses. PostgreSQL's grammar takes expressions and refuses all but constants later.
    fn modifiers(&mut self) -> Result<Vec<i64>> {
        if !self.is_symbol('(') {
            return Ok(vec![]);
        }
        self.parenthesized(|parser| {
            let start = parser.at;
            let text = match parser.peek() {
                TokenKind::Symbol('+' | '-') | TokenKind::Integer(_) | TokenKind::Number(_) => {
                    parser.signed_number()?
                }
                TokenKind::String(text) => {
                    parser.advance();
                    text.clone()
                }
                _ => {
                    parser.expr()?;
                    String::new()
                }
            };
            if !parser.is_symbol(',') && !parser.is_symbol(')') {
                parser.at = start;
                parser.expr()?;
                return parser.fail(
                    start,
                    "42601",
                    "type modifiers must be simple constants or identifiers",
                );
            }
            match text.parse() {
                Ok(modifier) => Ok(modifier),
                Err(_) if text.is_empty() => parser.fail(
                    start,
                    "42601",
                    "type modifiers must be simple constants or identifiers",
                ),
                Err(_) => parser.fail(
                    start,
                    "22P02",
                    format!("invalid input syntax for type integer: \"{text}\""),
                ),
            }
        })
    }

    /// Takes `INTERVAL` with its fields or precision.
    pub(super) fn interval_type_name(&mut self) -> Result<TypeName> {
        let start = self.at;
        self.expect("interval")?;
        let mut ty = TypeName {
            name: ObjectName { parts: vec!["interval".to_owned()], span: self.span_from(start) },
            ..TypeName::default()
        };
        if self.is_symbol('(') {
            ty.modifiers = self.length()?;
        } else {
            self.interval_fields(&mut ty)?;
        }
        Ok(ty)
    }

    /// Takes the fields of an interval, if there are any: `DAY TO SECOND(3)`.
    pub(super) fn interval_fields(&mut self, ty: &mut TypeName) -> Result<()> {
        let first = match self.word() {
            word @ ("year" | "month" | "day" | "hour" | "minute" | "second") => word,
            _ => return Ok(()),
        };
        self.advance();
        let later: &[&str] = match first {
            "year" => &["month"],
            "day" => &["hour", "minute", "second"],
            "hour" => &["minute", "second"],
            "minute" => &["second"],
            _ => &[],
        };
        let mut last = first;
        let mut fields = first.to_ascii_uppercase();
        if !later.is_empty() && self.is("to") {
            self.advance();
            last = self.word();
            if !later.contains(&last) {
                return Err(self.error());
            }
            self.advance();
            fields = format!("{fields} TO {}", last.to_ascii_uppercase());
        }
        if last == "second" {
            ty.modifiers = self.length()?;
        }
        ty.interval_fields = Some(fields);
        Ok(())
    }
}
