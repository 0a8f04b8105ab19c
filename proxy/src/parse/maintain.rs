//! VACUUM and ANALYZE.

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::{Define, MaintainOption, MaintainTable, Statement};

impl Parser<'_> {
    /// Takes VACUUM.
    pub(super) fn vacuum(&mut self) -> Result<Statement> {
        self.expect("vacuum")?;
        let mut options = Vec::new();
        if self.is_symbol('(') {
            options = self.parenthesized(Self::maintain_option)?;
        } else {
            for word in ["full", "freeze", "verbose"] {
                self.maintain_word(&[word], word, &mut options);
            }
            self.maintain_word(&["analyze", "analyse"], "analyze", &mut options);
        }
        self.maintained(true, options)
    }

    /// Takes ANALYZE.
    pub(super) fn analyze(&mut self) -> Result<Statement> {
        self.advance();
        let mut options = Vec::new();
        if self.is_symbol('(') {
            options = self.parenthesized(Self::maintain_option)?;
        } else {
            self.maintain_word(&["verbose"], "verbose", &mut options);
        }
        self.maintained(false, options)
    }

    fn maintain_word(&mut self, words: &[&str], name: &str, options: &mut Vec<MaintainOption>) {
        if words.contains(&self.word()) {
            let span = self.span();
            self.advance();
            options.push(MaintainOption { name: name.to_owned(), value: None, span });
        }
    }

    fn maintain_option(&mut self) -> Result<MaintainOption> {
        let span = self.span();
        let name = match self.word() {
            "analyze" | "analyse" => {
                self.advance();
                "analyze".to_owned()
            }
            _ => self.non_reserved_word()?,
        };
        let value = match self.peek() {
            TokenKind::Symbol(',' | ')') => None,
            _ => Some(self.setting_value()?),
        };
        Ok(MaintainOption { name, value, span })
    }

    fn maintained(&mut self, vacuum: bool, options: Vec<MaintainOption>) -> Result<Statement> {
        let tables = if self.at_end() {
            Vec::new()
        } else {
            self.list(|parser| {
                let name = parser.object_name()?;
                let columns = if parser.is_symbol('(') { parser.names()? } else { vec![] };
                Ok(MaintainTable { name, columns })
            })?
        };
        Ok(Statement::Define(Box::new(Define::Maintain { vacuum, options, tables })))
    }
}
