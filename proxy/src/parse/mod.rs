//! SQL text → syntax tree; the home of sqlparser's types.

pub mod syntax;

use dataman_pg::PgError;

/// Splits a query string into its statements and parses each. The text of every statement is kept without its semicolon;
/// spans are within that text.
///
/// # Errors
/// `42601` `syntax error at or near "…"`, with the position in the whole string.
pub fn parse(_sql: &str) -> Result<Vec<syntax::ParsedStatement>, PgError> {
    Err(PgError::unsupported("parsing is not there yet"))
}
