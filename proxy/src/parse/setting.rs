//! SET, SHOW, RESET, DISCARD, and the modes of a transaction.

use super::cursor::{Parser, Result};
use super::lexer::TokenKind;
use super::syntax::{DefaultsChange, Setting, Statement, Transaction, TransactionModes};

impl Parser<'_> {
    /// Takes the modes of a transaction, with commas between them or not.
    pub(super) fn transaction_modes(&mut self, at_least_one: bool) -> Result<TransactionModes> {
        let mut modes = TransactionModes::default();
        let mut must = at_least_one;
        loop {
            match self.word() {
                "isolation" => {
                    self.advance();
                    self.expect("level")?;
                    modes.isolation = Some(self.isolation_level()?);
                }
                "read" => {
                    self.advance();
                    modes.read_only = Some(match self.word() {
                        "only" => true,
                        "write" => false,
                        _ => return Err(self.error()),
                    });
                    self.advance();
                }
                "deferrable" => {
                    self.advance();
                    modes.deferrable = Some(true);
                }
                "not" => {
                    self.advance();
                    self.expect("deferrable")?;
                    modes.deferrable = Some(false);
                }
                _ if must => return Err(self.error()),
                _ => return Ok(modes),
            }
            must = self.accept_symbol(',');
        }
    }

    fn isolation_level(&mut self) -> Result<&'static str> {
        let levels: [(&[&str], &'static str); 4] = [
            (&["read", "uncommitted"], "read uncommitted"),
            (&["read", "committed"], "read committed"),
            (&["repeatable", "read"], "repeatable read"),
            (&["serializable"], "serializable"),
        ];
        for (words, level) in levels {
            if self.accept_all(words) {
                return Ok(level);
            }
        }
        if matches!(self.word(), "read" | "repeatable") {
            self.advance();
        }
        Err(self.error())
    }

    /// Takes SET.
    pub(super) fn set(&mut self) -> Result<Statement> {
        self.expect("set")?;
        if self.is("constraints") && !self.is_assignment(1) {
            self.advance();
            if !self.accept("all") {
                self.list(Self::object_name)?;
            }
            if !matches!(self.word(), "deferred" | "immediate") {
                return Err(self.error());
            }
            self.advance();
            return self.refuse(
                "SET CONSTRAINTS",
                "Constraints are checked at the end of each statement.",
            );
        }
        if self.is("transaction") && !self.is_assignment(1) {
            self.advance();
            if self.accept("snapshot") {
                self.string()?;
                return self.refuse("SET TRANSACTION SNAPSHOT", "Begin a transaction of its own.");
            }
            let modes = self.transaction_modes(true)?;
            return Ok(Statement::Transaction(Transaction::Set { modes, session: false }));
        }
        let mut local = false;
        if self.is("local") && !self.is_assignment(1) {
            self.advance();
            local = true;
        } else if self.is("session")
            && !self.is_assignment(1)
            && !self.are(&["session", "authorization"])
        {
            self.advance();
            if self.accept("characteristics") {
                self.expect_all(&["as", "transaction"])?;
                let modes = self.transaction_modes(true)?;
                return Ok(Statement::Transaction(Transaction::Set { modes, session: true }));
            }
        }
        if self.is("transaction") && !self.is_assignment(1) {
            self.advance();
            let modes = self.transaction_modes(true)?;
            return Ok(Statement::Transaction(Transaction::Set { modes, session: false }));
        }
        let (name, values) = self.set_rest()?;
        Ok(Statement::Setting(Setting::Set { name, values, local }))
    }

    /// Takes the SET or RESET of ALTER ROLE and ALTER DATABASE.
    pub(super) fn defaults_change(&mut self) -> Result<DefaultsChange> {
        if self.accept("reset") {
            let name = self.shown_name()?;
            return Ok(match name.as_str() {
                "all" => DefaultsChange::ResetAll,
                _ => DefaultsChange::Reset(name),
            });
        }
        self.expect("set")?;
        let is_modes = self.are(&["session", "characteristics"])
            || self.is("transaction") && !self.is_assignment(1);
        if is_modes {
            return self.refuse(
                "SET TRANSACTION for sessions to begin with",
                "Set default_transaction_isolation and its like.",
            );
        }
        let (name, values) = self.set_rest()?;
        Ok(match values {
            Some(values) => DefaultsChange::Set { name, values },
            None => DefaultsChange::Reset(name),
        })
    }

    /// Whether a parameter's name ends before the token: it is followed by `=`, `TO`, `.` or FROM CURRENT.
    fn is_assignment(&self, ahead: usize) -> bool {
        self.is_symbol_at(ahead, '=')
            || self.is_symbol_at(ahead, '.')
            || self.word_at(ahead) == "to"
            || self.word_at(ahead) == "from"
    }

    fn set_rest(&mut self) -> Result<(String, Option<Vec<String>>)> {
        let one = |name: &str, value: Option<String>| {
            Ok((name.to_owned(), value.map(|value| vec![value])))
        };
        if !self.is_assignment(1) {
            match self.word() {
                "time" => {
                    self.advance();
                    self.expect("zone")?;
                    let value = self.zone_value()?;
                    return one("timezone", value);
                }
                "catalog" => {
                    self.advance();
                    self.string()?;
                    return self.refuse("SET CATALOG", "Connect to the other database.");
                }
                "schema" => {
                    self.advance();
                    let value = self.string()?;
                    return one("search_path", Some(value));
                }
                "names" => {
                    self.advance();
                    if matches!(self.peek(), TokenKind::String(_)) {
                        let value = self.string()?;
                        return one("client_encoding", Some(value));
                    }
                    self.accept("default");
                    return one("client_encoding", None);
                }
                "role" => {
                    self.advance();
                    let value = self.word_or_string()?;
                    return one("role", Some(value));
                }
                "session" => {
                    self.advance();
                    self.expect("authorization")?;
                    if self.accept("default") {
                        return one("session_authorization", None);
                    }
                    let value = self.word_or_string()?;
                    return one("session_authorization", Some(value));
                }
                "xml" => {
                    self.advance();
                    self.expect("option")?;
                    if !matches!(self.word(), "document" | "content") {
                        return Err(self.error());
                    }
                    let value = self.word().to_owned();
                    self.advance();
                    return one("xmloption", Some(value));
                }
                _ => {}
            }
        }
        let name = self.parameter_name()?;
        if self.accept_all(&["from", "current"]) {
            return self.refuse("SET … FROM CURRENT", "Give the value.");
        }
        if !self.accept_symbol('=') {
            self.expect("to")?;
        }
        if self.accept("default") {
            return Ok((name, None));
        }
        // PostgreSQL reserves the word; the parameter is dataman's own.
        if name == "dataman.read" && self.accept("any") {
            return Ok((name, Some(vec!["any".to_owned()])));
        }
        let values = self.list(Self::setting_value)?;
        Ok((name, Some(values)))
    }

    fn parameter_name(&mut self) -> Result<String> {
        let mut name = self.name()?;
        while self.accept_symbol('.') {
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name.to_ascii_lowercase())
    }

    /// Takes a word that is not reserved, or a string.
    pub(super) fn word_or_string(&mut self) -> Result<String> {
        match self.peek() {
            TokenKind::String(_) => self.string(),
            _ => self.non_reserved_word(),
        }
    }

    /// Takes a value of SET: a word, a string or a number.
    pub(super) fn setting_value(&mut self) -> Result<String> {
        match self.peek() {
            TokenKind::Symbol('+' | '-') | TokenKind::Integer(_) | TokenKind::Number(_) => {
                self.signed_number()
            }
            _ => self.boolean_word_or_string(),
        }
    }

    /// Takes TRUE, FALSE, ON, another word that is not reserved, or a string.
    pub(super) fn boolean_word_or_string(&mut self) -> Result<String> {
        match self.word() {
            word @ ("true" | "false" | "on") => {
                self.advance();
                Ok(word.to_owned())
            }
            _ => self.word_or_string(),
        }
    }

    /// Takes the value of SET TIME ZONE; none for DEFAULT and LOCAL.
    fn zone_value(&mut self) -> Result<Option<String>> {
        match self.word() {
            "default" | "local" => {
                self.advance();
                return Ok(None);
            }
            "interval" => return self.zone_interval().map(Some),
            _ => {}
        }
        match self.peek() {
            TokenKind::Symbol('+' | '-') | TokenKind::Integer(_) | TokenKind::Number(_) => {
                self.signed_number().map(Some)
            }
            TokenKind::String(text) | TokenKind::Quoted(text) | TokenKind::Word(text, None) => {
                self.advance();
                Ok(Some(text.clone()))
            }
            _ => Err(self.error()),
        }
    }

    /// `INTERVAL '-08:00' HOUR TO MINUTE`: hours and minutes, as PostgreSQL shows such a zone.
    fn zone_interval(&mut self) -> Result<String> {
        let mut ty = self.interval_type_name()?;
        let text = self.string()?;
        let start = self.at;
        if ty.modifiers.is_empty() {
            self.interval_fields(&mut ty)?;
        }
        if !matches!(ty.interval_fields.as_deref(), None | Some("HOUR" | "HOUR TO MINUTE")) {
            return self.fail(start, "42601", "time zone interval must be HOUR or HOUR TO MINUTE");
        }
        let body = text.trim();
        let (sign, digits) = match body.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", body.strip_prefix('+').unwrap_or(body)),
        };
        let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
        match (hours.parse::<u32>(), minutes.parse::<u32>()) {
            (Ok(hours), Ok(minutes)) if minutes < 60 => {
                // SQL counts hours east, POSIX zone texts west.
                let west = if sign == "-" { "" } else { "-" };
                let name = if sign == "-" { "-" } else { "+" };
                Ok(format!("<{name}{hours:02}:{minutes:02}>{west}{hours:02}:{minutes:02}"))
            }
            _ => self.refuse(
                "this time zone interval",
                "Name the zone, or give its hours and minutes: '-08:00'.",
            ),
        }
    }

    /// Takes SHOW.
    pub(super) fn show(&mut self) -> Result<Setting> {
        self.expect("show")?;
        self.shown_name().map(Setting::Show)
    }

    /// Takes RESET.
    pub(super) fn reset(&mut self) -> Result<Setting> {
        self.expect("reset")?;
        self.shown_name().map(Setting::Reset)
    }

    fn shown_name(&mut self) -> Result<String> {
        if self.accept("all") {
            return Ok("all".to_owned());
        }
        if self.are(&["time", "zone"]) {
            self.at += 2;
            return Ok("timezone".to_owned());
        }
        if self.are(&["transaction", "isolation"]) {
            self.at += 2;
            self.expect("level")?;
            return Ok("transaction_isolation".to_owned());
        }
        if self.are(&["session", "authorization"]) {
            self.at += 2;
            return Ok("session_authorization".to_owned());
        }
        self.parameter_name()
    }

    /// Takes DISCARD.
    pub(super) fn discard(&mut self) -> Result<Setting> {
        self.expect("discard")?;
        let what = match self.word() {
            "all" => "ALL",
            "plans" => "PLANS",
            "sequences" => "SEQUENCES",
            "temp" | "temporary" => "TEMP",
            _ => return Err(self.error()),
        };
        self.advance();
        Ok(Setting::Discard(what))
    }
}
