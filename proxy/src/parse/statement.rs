//! Which statement it is.

use super::cursor::{Parser, Result};
use super::lexer::position;
use super::syntax::{Expr, ParsedStatement, Statement, Transaction, Unsupported};

impl Parser<'_> {
    /// Takes the whole query string.
    pub(super) fn statements(&mut self) -> Result<Vec<ParsedStatement>> {
        let mut statements = Vec::new();
        loop {
            while self.accept_symbol(';') {}
            if matches!(self.peek(), super::lexer::TokenKind::End) {
                break;
            }
            statements.push(self.statement_with_text(Self::statement)?);
            if !self.at_end() {
                return Err(self.error());
            }
        }
        if statements.is_empty() {
            statements.push(ParsedStatement {
                text: String::new(),
                offset: 0,
                statement: Statement::Empty,
            });
        }
        Ok(statements)
    }

    /// Takes an expression and nothing else.
    pub(super) fn only_expression(&mut self) -> Result<Expr> {
        let expr = self.expr()?;
        if matches!(self.peek(), super::lexer::TokenKind::End) {
            Ok(expr)
        } else {
            Err(self.error())
        }
    }

    /// Takes a statement together with its own text, in which its spans lie.
    pub(super) fn statement_with_text(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<Statement>,
    ) -> Result<ParsedStatement> {
        let start = self.at;
        let outer = self.base;
        self.base = self.tokens[start].start;
        let statement = match step(self) {
            Ok(statement) => statement,
            // What is refused by its syntax alone fails when it is run, not when it is read: other statements of the
            // string may come before it.
            Err(error) if error.sqlstate() == "0A000" => {
                self.skip_statement()?;
                Statement::Unsupported(Unsupported {
                    message: error.message().to_owned(),
                    hint: error.hint().unwrap_or_default().to_owned(),
                })
            }
            Err(error) => return Err(error),
        };
        let text = self.text_from(start);
        let offset = position(self.sql, self.base) - 1;
        self.base = outer;
        Ok(ParsedStatement { text, offset, statement })
    }

    /// Moves to the end of the statement; nothing in it is checked but that it is made of tokens.
    pub(super) fn skip_statement(&mut self) -> Result<()> {
        while !self.at_end() {
            if matches!(self.peek(), super::lexer::TokenKind::Invalid(_)) {
                return Err(self.error());
            }
            self.advance();
        }
        Ok(())
    }

    fn statement(&mut self) -> Result<Statement> {
        match self.word() {
            "select" | "values" | "table" | "with" | "insert" | "update" | "delete" => {
                self.preparable()
            }
            "" if self.is_symbol('(') => self.preparable(),
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint"
            | "release" => self.transaction().map(Statement::Transaction),
            "set" => self.set(),
            "show" => self.show().map(Statement::Setting),
            "reset" => self.reset().map(Statement::Setting),
            "discard" => self.discard().map(Statement::Setting),
            "prepare" => self.prepare(),
            "execute" => self.execute(),
            "deallocate" => self.deallocate(),
            "explain" => self.explain(),
            "copy" => self.copy(),
            "declare" => self.declare(),
            "fetch" | "move" => self.fetch(),
            "close" => self.close(),
            "vacuum" => self.vacuum(),
            "analyze" | "analyse" => self.analyze(),
            "create" => self.create(),
            "alter" => self.alter(),
            "drop" => self.drop_statement(),
            "truncate" => self.truncate(),
            "comment" => self.comment(),
            "import" => self.import_schema(),
            _ => self.unsupported_statement(),
        }
    }

    fn transaction(&mut self) -> Result<Transaction> {
        let word = self.word();
        self.advance();
        match word {
            "begin" => {
                self.transaction_word();
                Ok(Transaction::Begin(self.transaction_modes(false)?))
            }
            "start" => {
                self.expect("transaction")?;
                Ok(Transaction::Begin(self.transaction_modes(false)?))
            }
            "savepoint" => Ok(Transaction::Savepoint(self.name()?)),
            "release" => {
                self.accept_savepoint_word();
                Ok(Transaction::Release(self.name()?))
            }
            _ => {
                if matches!(word, "commit" | "rollback") && self.is("prepared") {
                    self.advance();
                    self.string()?;
                    return self
                        .refuse("two-phase commit by the client", "Use COMMIT and ROLLBACK.");
                }
                self.transaction_word();
                if word == "rollback" && self.accept("to") {
                    self.accept_savepoint_word();
                    return Ok(Transaction::RollbackTo(self.name()?));
                }
                let mut chain = false;
                if self.accept("and") {
                    chain = !self.accept("no");
                    self.expect("chain")?;
                }
                Ok(match word {
                    "commit" | "end" => Transaction::Commit { chain },
                    _ => Transaction::Rollback { chain },
                })
            }
        }
    }

    fn transaction_word(&mut self) {
        if matches!(self.word(), "work" | "transaction") {
            self.advance();
        }
    }

    /// Takes SAVEPOINT, unless that is the savepoint's name.
    fn accept_savepoint_word(&mut self) {
        if self.is("savepoint") && self.is_name_at(1) {
            self.advance();
        }
    }
}
