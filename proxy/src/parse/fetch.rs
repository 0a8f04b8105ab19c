//! DECLARE, FETCH, MOVE and CLOSE.

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::{CursorCommand, FetchDirection, Statement};

impl Parser<'_> {
    /// Takes DECLARE.
    pub(super) fn declare(&mut self) -> Result<Statement> {
        self.expect("declare")?;
        let name = self.name()?;
        let (mut scroll, mut sensitive) = (None, None);
        loop {
            let start = self.at;
            let (found, words) = match self.word() {
                "no" => {
                    self.advance();
                    self.expect("scroll")?;
                    (&mut scroll, ("NO SCROLL", false, "SCROLL and NO SCROLL"))
                }
                "scroll" => {
                    self.advance();
                    (&mut scroll, ("SCROLL", true, "SCROLL and NO SCROLL"))
                }
                "asensitive" => {
                    self.advance();
                    (&mut sensitive, ("ASENSITIVE", false, "INSENSITIVE and ASENSITIVE"))
                }
                "insensitive" => {
                    self.advance();
                    (&mut sensitive, ("INSENSITIVE", true, "INSENSITIVE and ASENSITIVE"))
                }
                "binary" => {
                    return self.refuse(
                        "a cursor with BINARY",
                        "Ask for binary results by the extended protocol.",
                    );
                }
                _ => break,
            };
            let (_, wanted, both) = words;
            if found.is_some_and(|found| found != wanted) {
                return self.fail(start, "42P11", format!("cannot specify both {both}"));
            }
            *found = Some(wanted);
        }
        self.expect("cursor")?;
        let mut hold = false;
        if matches!(self.word(), "with" | "without") && self.word_at(1) == "hold" {
            hold = self.is("with");
            self.at += 2;
        }
        self.expect("for")?;
        if !self.at_select() {
            return Err(self.error());
        }
        let statement = Box::new(self.statement_with_text(Self::preparable)?);
        if let Statement::Unsupported(_) = statement.statement {
            return Ok(statement.statement);
        }
        Ok(Statement::Cursor(Box::new(CursorCommand::Declare { name, scroll, hold, statement })))
    }

    /// Takes FETCH or MOVE.
    pub(super) fn fetch(&mut self) -> Result<Statement> {
        let moves = self.is("move");
        self.advance();
        let direction = if self.is_name_at(0) && self.ends_at(1) {
            // A cursor's name alone, whatever it is.
            FetchDirection::Forward(Some(1))
        } else {
            self.direction()?
        };
        if matches!(self.word(), "from" | "in") {
            self.advance();
        }
        let name = self.name()?;
        Ok(Statement::Cursor(Box::new(CursorCommand::Fetch { name, direction, moves })))
    }

    fn ends_at(&self, ahead: usize) -> bool {
        matches!(self.peek_at(ahead), TokenKind::End | TokenKind::Symbol(';'))
    }

    fn direction(&mut self) -> Result<FetchDirection> {
        let word = self.word().to_owned();
        Ok(match word.as_str() {
            "from" | "in" => FetchDirection::Forward(Some(1)),
            "next" => self.past(FetchDirection::Forward(Some(1))),
            "prior" => self.past(FetchDirection::Forward(Some(-1))),
            "first" => self.past(FetchDirection::Absolute(1)),
            "last" => self.past(FetchDirection::Absolute(-1)),
            "all" => self.past(FetchDirection::Forward(None)),
            "absolute" => {
                self.advance();
                FetchDirection::Absolute(self.signed_integer()?)
            }
            "relative" => {
                self.advance();
                FetchDirection::Relative(self.signed_integer()?)
            }
            "forward" | "backward" => {
                self.advance();
                let is_number =
                    matches!(self.peek(), TokenKind::Integer(_) | TokenKind::Symbol('-' | '+'));
                let count = if self.accept("all") {
                    None
                } else if is_number {
                    Some(self.signed_integer()?)
                } else {
                    Some(1)
                };
                match (word == "backward", count) {
                    (false, count) => FetchDirection::Forward(count),
                    (true, None) => FetchDirection::BackwardAll,
                    (true, Some(count)) => FetchDirection::Forward(Some(-count)),
                }
            }
            _ if self.is_name_at(0) => FetchDirection::Forward(Some(1)),
            _ => FetchDirection::Forward(Some(self.signed_integer()?)),
        })
    }

    fn past(&mut self, direction: FetchDirection) -> FetchDirection {
        self.advance();
        direction
    }

    fn signed_integer(&mut self) -> Result<i64> {
        let negative = self.accept_symbol('-');
        if !negative {
            self.accept_symbol('+');
        }
        let value = i64::from(self.integer()?);
        Ok(if negative { -value } else { value })
    }

    /// Takes CLOSE.
    pub(super) fn close(&mut self) -> Result<Statement> {
        self.expect("close")?;
        let name = if self.accept("all") { None } else { Some(self.name()?) };
        Ok(Statement::Cursor(Box::new(CursorCommand::Close(name))))
    }
}
