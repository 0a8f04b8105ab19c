//! PREPARE, EXECUTE, DEALLOCATE and EXPLAIN.

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::{Explain, Statement};

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
            "costs" => {
                options.costs = Some(on);
                options.others.push((name, on));
            }
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
