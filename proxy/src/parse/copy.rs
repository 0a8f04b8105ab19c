//! COPY.

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::{Copy, CopyOption, CopyOptionValue, CopyWhat, Span, Statement};

impl Parser<'_> {
    /// Takes COPY.
    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.expect("copy")?;
        let mut options = Vec::new();
        let what = if self.is_symbol('(') {
            self.advance();
            let statement = self.statement_with_text(Self::preparable)?;
            if let Statement::Unsupported(_) = statement.statement {
                return Ok(statement.statement);
            }
            self.expect_symbol(')')?;
            CopyWhat::Query(Box::new(statement))
        } else {
            if self.is("binary") && self.is_name_at(1) {
                let value = CopyOptionValue::Text("binary".to_owned());
                options.push(CopyOption { name: "format".to_owned(), value, span: self.span() });
                self.advance();
            }
            let name = self.object_name()?;
            let columns = if self.is_symbol('(') { self.names()? } else { vec![] };
            CopyWhat::Table { name, columns }
        };
        let from = match self.word() {
            "to" => false,
            "from" if matches!(what, CopyWhat::Table { .. }) => true,
            _ => return Err(self.error()),
        };
        self.advance();
        let program = self.accept("program");
        let standard = match self.word() {
            "stdin" | "stdout" if !program => {
                self.advance();
                true
            }
            _ => {
                self.string()?;
                false
            }
        };
        if matches!(what, CopyWhat::Table { .. }) {
            let start = self.at;
            let using = self.accept("using");
            if using || self.is("delimiters") {
                self.expect("delimiters")?;
                let value = CopyOptionValue::Text(self.string()?);
                let span = self.span_from(start);
                options.push(CopyOption { name: "delimiter".to_owned(), value, span });
            }
        }
        self.accept("with");
        if self.is_symbol('(') {
            options.extend(self.parenthesized(Self::copy_option)?);
        } else {
            self.old_copy_options(&mut options)?;
        }
        let mut filter = None;
        if self.is("where") {
            let place = self.at;
            self.advance();
            filter = Some(self.expr()?);
            if !from {
                return self.fail(place, "42601", "WHERE clause not allowed with COPY TO");
            }
        }
        Ok(Statement::Copy(Box::new(Copy { what, from, standard, program, options, filter })))
    }

    /// Takes one option in parentheses.
    fn copy_option(&mut self) -> Result<CopyOption> {
        let span = self.span();
        let name = self.label()?;
        let value = match self.peek() {
            TokenKind::Symbol(',' | ')') => CopyOptionValue::None,
            TokenKind::Symbol('*') => {
                self.advance();
                CopyOptionValue::All
            }
            TokenKind::Symbol('(') => {
                CopyOptionValue::List(self.parenthesized(Self::boolean_word_or_string)?)
            }
            _ => CopyOptionValue::Text(self.setting_value()?),
        };
        Ok(CopyOption { name, value, span })
    }

    /// Takes the options as they were written before PostgreSQL 9.0.
    fn old_copy_options(&mut self, options: &mut Vec<CopyOption>) -> Result<()> {
        loop {
            let span: Span = self.span();
            let word = self.word();
            let (name, value) = match word {
                "binary" | "csv" => {
                    self.advance();
                    ("format", CopyOptionValue::Text(word.to_owned()))
                }
                "freeze" | "header" => {
                    self.advance();
                    (word, CopyOptionValue::Text("true".to_owned()))
                }
                "delimiter" | "null" | "quote" | "escape" => {
                    self.advance();
                    self.accept("as");
                    (word, CopyOptionValue::Text(self.string()?))
                }
                "encoding" => {
                    self.advance();
                    (word, CopyOptionValue::Text(self.string()?))
                }
                "force" => {
                    self.advance();
                    let name = match self.word() {
                        "quote" => "force_quote",
                        "not" => {
                            self.advance();
                            "force_not_null"
                        }
                        "null" => "force_null",
                        _ => return Err(self.error()),
                    };
                    if name == "force_not_null" {
                        self.expect("null")?;
                    } else {
                        self.advance();
                    }
                    if name == "force_quote" && self.accept_symbol('*') {
                        (name, CopyOptionValue::All)
                    } else {
                        (name, CopyOptionValue::List(self.list(Self::name)?))
                    }
                }
                _ => return Ok(()),
            };
            options.push(CopyOption { name: name.to_owned(), value, span });
        }
    }
}
