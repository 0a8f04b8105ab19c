//! The texts that an agent takes besides queries.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::{Isolation, TransactionOptions};

/// A statement's text, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing.
    Empty,
    /// A dataman query.
    Query,
    /// `BEGIN`, `START TRANSACTION`.
    Begin(TransactionOptions),
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT name`.
    Savepoint(String),
    /// `ROLLBACK TO [SAVEPOINT] name`.
    RollbackTo(String),
    /// `RELEASE [SAVEPOINT] name`.
    Release(String),
    /// `SET name TO value`.
    Set(String, String),
    /// `RESET name`; none for `ALL`.
    Reset(Option<String>),
    /// `SHOW name`.
    Show(String),
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DEALLOCATE ALL`.
    DeallocateAll,
}

impl Command {
    /// Sorts a text.
    ///
    /// # Errors
    /// `42601` for what is neither a query nor a command.
    pub fn parse(text: &str) -> Result<Self, NodeError> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == ';');
        if text.is_empty() {
            return Ok(Self::Empty);
        }
        if text.starts_with('{') {
            return Ok(Self::Query);
        }
        let words = split(text).ok_or_else(unknown)?;
        let folded: Vec<String> = words.iter().map(|word| word.folded()).collect();
        let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
        let name = |place: usize| words.get(place).map(Word::name).ok_or_else(unknown);
        Ok(match folded.as_slice() {
            ["begin", "transaction" | "work", modes @ ..]
            | ["begin", modes @ ..]
            | ["start", "transaction", modes @ ..] => Self::Begin(options(modes)?),
            ["commit" | "end"] | ["commit" | "end", "transaction" | "work"] => Self::Commit,
            ["rollback" | "abort"] | ["rollback" | "abort", "transaction" | "work"] => {
                Self::Rollback
            }
            ["savepoint", _] => Self::Savepoint(name(1)?),
            ["rollback", "to", "savepoint", _] => Self::RollbackTo(name(3)?),
            ["rollback", "to", _] => Self::RollbackTo(name(2)?),
            ["release", "savepoint", _] => Self::Release(name(2)?),
            ["release", _] => Self::Release(name(1)?),
            ["set", "session", _, "to" | "=", value @ ..] => {
                Self::Set(name(2)?, value_of(value, &words)?)
            }
            ["set", "time", "zone", _] => Self::Set("timezone".to_owned(), name(3)?),
            ["set", _, "to" | "=", value @ ..] => Self::Set(name(1)?, value_of(value, &words)?),
            ["reset", "all"] => Self::Reset(None),
            ["reset", _] => Self::Reset(Some(name(1)?)),
            ["show", _] => Self::Show(name(1)?),
            ["show", "time", "zone"] => Self::Show("timezone".to_owned()),
            ["discard", "all"] => Self::DiscardAll,
            ["deallocate", "all"] | ["deallocate", "prepare", "all"] => Self::DeallocateAll,
            _ => return Err(unknown()),
        })
    }
}

fn unknown() -> NodeError {
    NodeError::statement("42601", "a node agent takes dataman queries, not SQL").with_hint(
        "A query looks like {\"filter\": {\"collection\": \"t\", \"filter\": {\"a\": [\"=\", 1]}}}; send SQL to a proxy.",
    )
}

/// The last words, joined by commas: `SET DateStyle TO ISO, MDY`.
fn value_of(value: &[&str], words: &[Word]) -> Result<String, NodeError> {
    let words = &words[words.len() - value.len()..];
    let parts: Vec<String> =
        words.iter().filter(|word| !matches!(word, Word::Sign(','))).map(Word::name).collect();
    match parts.is_empty() {
        true => Err(unknown()),
        false => Ok(parts.join(", ")),
    }
}

fn options(modes: &[&str]) -> Result<TransactionOptions, NodeError> {
    let mut options = TransactionOptions::default();
    let mut rest = modes;
    loop {
        rest = match rest {
            [] => return Ok(options),
            [",", rest @ ..] => rest,
            ["isolation", "level", "serializable", rest @ ..] => {
                options.isolation = Isolation::Serializable;
                rest
            }
            ["isolation", "level", "repeatable", "read", rest @ ..] => {
                options.isolation = Isolation::RepeatableRead;
                rest
            }
            ["isolation", "level", "read", "committed" | "uncommitted", rest @ ..] => {
                options.isolation = Isolation::ReadCommitted;
                rest
            }
            ["read", "only", rest @ ..] => {
                options.read_only = true;
                rest
            }
            ["read", "write", rest @ ..] => {
                options.read_only = false;
                rest
            }
            ["not", "deferrable", rest @ ..] | ["deferrable", rest @ ..] => rest,
            _ => return Err(unknown()),
        };
    }
}

#[derive(Debug)]
enum Word {
    /// As written.
    Bare(String),
    /// `"…"` or `'…'`, without the quotes.
    Quoted(String),
    /// `=` or `,`.
    Sign(char),
}

impl Word {
    /// For comparison with keywords; a quoted word is none.
    fn folded(&self) -> String {
        match self {
            Self::Bare(word) => word.to_ascii_lowercase(),
            Self::Quoted(_) => "\"".to_owned(),
            Self::Sign(sign) => sign.to_string(),
        }
    }

    /// As a name or value.
    fn name(&self) -> String {
        match self {
            Self::Bare(word) => word.to_ascii_lowercase(),
            Self::Quoted(word) => word.clone(),
            Self::Sign(sign) => sign.to_string(),
        }
    }
}

/// Words, quoted words and signs; `None` when a quote is not closed.
fn split(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&c) = rest.peek() {
        match c {
            c if c.is_whitespace() => {
                rest.next();
            }
            '=' | ',' => words.push(Word::Sign(rest.next()?)),
            '"' | '\'' => words.push(Word::Quoted(quoted(&mut rest, Escapes::No)?)),
            _ => {
                let mut word = String::new();
                while let Some(&c) = rest.peek() {
                    if c.is_whitespace() || "=,\"'".contains(c) {
                        break;
                    }
                    word.push(c);
                    rest.next();
                }
                if word.eq_ignore_ascii_case("e") && rest.peek() == Some(&'\'') {
                    words.push(Word::Quoted(quoted(&mut rest, Escapes::Backslash)?));
                } else {
                    words.push(Word::Bare(word));
                }
            }
        }
    }
    Some(words)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    No,
    /// Only what `quote_literal` writes: `\\`.
    Backslash,
}

fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, escapes: Escapes) -> Option<String> {
    let quote = rest.next()?;
    let mut word = String::new();
    loop {
        let c = rest.next()?;
        if c == '\\' && escapes == Escapes::Backslash {
            word.push(rest.next()?);
        } else if c != quote {
            word.push(c);
        } else if rest.peek() == Some(&quote) {
            word.push(quote);
            rest.next();
        } else {
            return Some(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Command) {
        assert_eq!(Command::parse(text), Ok(expected), "{text}");
    }

    #[test]
    fn commands() {
        let default = TransactionOptions::default();
        let serializable =
            TransactionOptions { isolation: Isolation::Serializable, read_only: true };
        check(" ; ", Command::Empty);
        check("{\"get\": 1};", Command::Query);
        check("begin", Command::Begin(default));
        check("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", Command::Begin(serializable));
        check(
            "start transaction isolation level serializable, read only",
            Command::Begin(serializable),
        );
        check("COMMIT;", Command::Commit);
        check("rollback work", Command::Rollback);
        check("SAVEPOINT \"a \"\"b\"", Command::Savepoint("a \"b".to_owned()));
        check("ROLLBACK TO SAVEPOINT X", Command::RollbackTo("x".to_owned()));
        check("rollback to x", Command::RollbackTo("x".to_owned()));
        check("release x", Command::Release("x".to_owned()));
        check("SET dataman.epoch TO '5'", Command::Set("dataman.epoch".to_owned(), "5".to_owned()));
        check(
            "SET TimeZone = E'a\\\\b''c'",
            Command::Set("timezone".to_owned(), "a\\b'c".to_owned()),
        );
        check(
            "set datestyle to iso, mdy",
            Command::Set("datestyle".to_owned(), "iso, mdy".to_owned()),
        );
        check("RESET dataman.epoch", Command::Reset(Some("dataman.epoch".to_owned())));
        check("discard all", Command::DiscardAll);
        check("show server_version", Command::Show("server_version".to_owned()));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "SELECT 1",
            "BEGIN twice",
            "SET a",
            "SAVEPOINT 'a",
            "COMMIT PREPARED 'x'",
            "=",
            "set a to",
        ] {
            assert_eq!(
                Command::parse(text).map_err(|error| error.sqlstate),
                Err("42601".to_owned()),
                "{text}"
            );
        }
    }
}
