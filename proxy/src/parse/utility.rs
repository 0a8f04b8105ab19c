//! PREPARE, EXECUTE, DEALLOCATE, EXPLAIN and COPY.

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::{Copy, CopyWhat, Explain, Statement};

impl Parser<'_> {
    /// Takes PREPARE.
    pub(super) fn prepare(&mut self) -> Result<Statement> {
        self.expect("prepare")?;
        if self.is("transaction") && matches!(self.peek_at(1), TokenKind::String(_)) {
            self.at += 2;
            return self.refuse("two-phase commit by the client", "Use COMMIT.");
        }
        let name = self.name()?;
        let types = if self.is_symbol('(') { self.parenthesized(Self::type_name)? } else { vec![] };
        self.expect("as")?;
        let statement = Box::new(self.statement_with_text(Self::preparable)?);
        if let Statement::Unsupported(_) = statement.statement {
            return Ok(statement.statement);
        }
        Ok(Statement::Prepare { name, types, statement })
    }

    /// Takes EXECUTE.
    pub(super) fn execute(&mut self) -> Result<Statement> {
        self.expect("execute")?;
        let name = self.name()?;
        let args = if self.is_symbol('(') { self.parenthesized(Self::expr)? } else { vec![] };
        Ok(Statement::Execute { name, args })
    }

    /// Takes DEALLOCATE.
    pub(super) fn deallocate(&mut self) -> Result<Statement> {
        self.expect("deallocate")?;
        if self.is("prepare") && (self.is_name_at(1) || self.word_at(1) == "all") {
            self.advance();
        }
        if self.accept("all") {
            return Ok(Statement::Deallocate(None));
        }
        Ok(Statement::Deallocate(Some(self.name()?)))
    }

    /// Takes EXPLAIN.
    pub(super) fn explain(&mut self) -> Result<Statement> {
        self.expect("explain")?;
        let mut options = ExplainOptions::default();
        if self.is_symbol('(') && !self.parens_lead_to_select() {
            let start = self.at;
            self.parenthesized(|parser| parser.explain_option(&mut options))?;
            if options.timing == Some(true) && !options.analyze {
                return self.fail_plainly(start, "22023", "EXPLAIN option TIMING requires ANALYZE");
            }
            if options.wal && !options.analyze {
                return self.fail_plainly(start, "22023", "EXPLAIN option WAL requires ANALYZE");
            }
        } else {
            options.analyze = matches!(self.word(), "analyze" | "analyse");
            if options.analyze {
                self.advance();
            }
            options.verbose = self.accept("verbose");
        }
        let statement = Box::new(self.statement_with_text(Self::explainable)?);
        if let Statement::Unsupported(_) = statement.statement {
            return Ok(statement.statement);
        }
        Ok(Statement::Explain(Box::new(Explain {
            analyze: options.analyze,
            verbose: options.verbose,
            costs: options.costs.unwrap_or(true),
            options: options.others,
            format: options.format.unwrap_or_else(|| "text".to_owned()),
            statement,
        })))
    }

    fn fail_plainly<T>(
        &self,
        _place: usize,
        sqlstate: &'static str,
        message: &'static str,
    ) -> Result<T> {
        Err(dataman_pg::PgError::new(sqlstate, message))
    }

    fn explainable(&mut self) -> Result<Statement> {
        match self.word() {
            "declare" => self.refuse("EXPLAIN of DECLARE CURSOR", "Explain the query itself."),
            "refresh" => self.refuse("materialized views", "Use a view or a table."),
            "execute" => self.execute(),
            "create" => self.create_table_as(),
            _ => self.preparable(),
        }
    }

    fn explain_option(&mut self, options: &mut ExplainOptions) -> Result<()> {
        let start = self.at;
        let name = match self.word() {
            "analyze" | "analyse" => {
                self.advance();
                "analyze".to_owned()
            }
            _ => self.non_reserved_word()?,
        };
        let value = if self.is_symbol(',') || self.is_symbol(')') {
            None
        } else {
            Some(self.setting_value()?)
        };
        if name == "format" {
            let format = value.unwrap_or_default().to_ascii_lowercase();
            if !matches!(format.as_str(), "text" | "json" | "xml" | "yaml") {
                return self.fail(
                    start,
                    "22023",
                    format!("unrecognized value for EXPLAIN option \"format\": \"{format}\""),
                );
            }
            options.format = Some(format);
            return Ok(());
        }
        let on = match value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "on" | "1") => true,
            Some("false" | "off" | "0") => false,
            Some(_) => {
                return self
                    .fail_plainly_owned("42601", format!("{name} requires a Boolean value"));
            }
        };
        match name.as_str() {
            "analyze" => options.analyze = on,
            "verbose" => options.verbose = on,
            "costs" => options.costs = Some(on),
            "timing" => {
                options.timing = Some(on);
                options.others.push((name, on));
            }
            "wal" => {
                options.wal = on;
                options.others.push((name, on));
            }
            "buffers" | "settings" | "summary" => options.others.push((name, on)),
            _ => {
                return self.fail(
                    start,
                    "42601",
                    format!("unrecognized EXPLAIN option \"{name}\""),
                );
            }
        }
        Ok(())
    }

    fn fail_plainly_owned<T>(&self, sqlstate: &'static str, message: String) -> Result<T> {
        Err(dataman_pg::PgError::new(sqlstate, message))
    }

    /// Takes COPY.
    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.expect("copy")?;
        let mut options = Vec::new();
        let what = if self.is_symbol('(') {
            self.advance();
            let statement = self.preparable()?;
            self.expect_symbol(')')?;
            match statement {
                Statement::Select(select) => CopyWhat::Query(select),
                _ => {
                    return self
                        .refuse("COPY of a statement that changes rows", "Run it with RETURNING.");
                }
            }
        } else {
            if self.is("binary") && self.is_name_at(1) {
                self.advance();
                options.push(("format".to_owned(), vec!["binary".to_owned()]));
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
            let using = self.accept("using");
            if using || self.is("delimiters") {
                self.expect("delimiters")?;
                options.push(("delimiter".to_owned(), vec![self.string()?]));
            }
        }
        let with = self.accept("with");
        if self.is_symbol('(') {
            options.extend(self.parenthesized(Self::copy_option)?);
        } else {
            self.old_copy_options(&mut options)?;
        }
        let _ = with;
        if self.is("where") {
            let place = self.at;
            self.advance();
            self.expr()?;
            if !from {
                return self.fail(place, "42601", "WHERE clause not allowed with COPY TO");
            }
            return self.refuse(
                "COPY FROM … WHERE",
                "Copy into a table of its own, then INSERT … SELECT … WHERE.",
            );
        }
        Ok(Statement::Copy(Box::new(Copy { what, from, standard, options })))
    }

    /// Takes one option in parentheses.
    fn copy_option(&mut self) -> Result<(String, Vec<String>)> {
        let name = self.label()?;
        let values = match self.peek() {
            TokenKind::Symbol(',' | ')') => vec![],
            TokenKind::Symbol('*') => {
                self.advance();
                vec!["*".to_owned()]
            }
            TokenKind::Symbol('(') => self.parenthesized(Self::boolean_word_or_string)?,
            _ => vec![self.setting_value()?],
        };
        Ok((name, values))
    }

    /// Takes the options as they were written before PostgreSQL 9.0.
    fn old_copy_options(&mut self, options: &mut Vec<(String, Vec<String>)>) -> Result<()> {
        loop {
            let word = self.word();
            let option = match word {
                "binary" | "csv" => {
                    self.advance();
                    ("format", vec![word.to_owned()])
                }
                "freeze" | "header" => {
                    self.advance();
                    (word, vec!["true".to_owned()])
                }
                "delimiter" | "null" | "quote" | "escape" => {
                    self.advance();
                    self.accept("as");
                    (word, vec![self.string()?])
                }
                "encoding" => {
                    self.advance();
                    (word, vec![self.string()?])
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
                        (name, vec!["*".to_owned()])
                    } else {
                        (name, self.list(Self::name)?)
                    }
                }
                _ => return Ok(()),
            };
            options.push((option.0.to_owned(), option.1));
        }
    }
}

#[derive(Default)]
struct ExplainOptions {
    analyze: bool,
    verbose: bool,
    costs: Option<bool>,
    timing: Option<bool>,
    wal: bool,
    format: Option<String>,
    others: Vec<(String, bool)>,
}
