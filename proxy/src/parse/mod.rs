//! SQL text → syntax tree.
//!
//! A recursive-descent parser of PostgreSQL 15's grammar: it accepts what PostgreSQL accepts, rejects the rest with
//! PostgreSQL's message and position, and knows where every name and operator stands, so that a statement's own text can go
//! to a shard with only its table names replaced. (A general SQL parser was tried for this place: it accepted much that
//! PostgreSQL rejects, knew no place of an operator, and could not read a quarter of PostgreSQL's rarer forms.)
//!
//! In reading order: [`lexer`] cuts the text into tokens, [`keyword`] knows which words are names, [`cursor`] walks the
//! tokens; [`statement`] decides which statement it is; [`select`], [`from`], [`expr`], [`call`], [`type_name`] read queries,
//! [`change`] what changes rows, [`define`] and [`define_table`] what changes the schema, [`copy`] COPY, [`fetch`] cursors, [`maintain`] VACUUM and ANALYZE, [`setting`] and
//! [`utility`] the rest; [`unsupported`] says what PostgreSQL has and dataman does not do.
//! Beside all that, [`literal`] takes values out of texts that come again and again, and [`walk`] goes through trees.

mod call;
mod change;
mod copy;
mod cursor;
mod define;
mod define_table;
mod expr;
mod fetch;
mod from;
mod keyword;
mod lexer;
pub mod literal;
mod maintain;
mod select;
mod setting;
mod statement;
pub mod syntax;
mod type_name;
mod unsupported;
mod utility;
pub(crate) mod walk;

use dataman_pg::PgError;

use self::cursor::Parser;

/// Splits a query string into its statements and parses each. The text of every statement is kept without its semicolon;
/// spans are within that text. A string without statements gives one [`syntax::Statement::Empty`].
///
/// # Errors
/// `42601` `syntax error at or near "…"`, with the position in the whole string; `54001` for expressions nested too deep.
pub fn parse(sql: &str) -> Result<Vec<syntax::ParsedStatement>, PgError> {
    let tokens = lexer::tokens(sql);
    Parser::new(sql, &tokens).statements()
}

/// Parses one expression by itself, as the metadata keeps defaults, conditions and index keys.
///
/// # Errors
/// As [`parse`]; also when something follows the expression.
pub fn parse_expression(text: &str) -> Result<syntax::Expr, PgError> {
    let tokens = lexer::tokens(text);
    Parser::new(text, &tokens).only_expression()
}

/// Whether a name must be quoted to be one everywhere.
pub(crate) fn is_keyword(name: &str) -> bool {
    keyword::find(name).is_some_and(|found| found.category != keyword::Category::Unreserved)
}

/// The words of a text that stand outside of quotes, in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    let word = |token: lexer::Token| match token.kind {
        lexer::TokenKind::Word(word, _) => Some(word),
        _ => None,
    };
    lexer::tokens(text).into_iter().filter_map(word).collect()
}

/// The query's own text in a CREATE TABLE … AS.
pub(crate) fn query_of_create_table_as(text: &str) -> Option<&str> {
    let tokens = lexer::tokens(text);
    let mut depth = 0_usize;
    let mut start = None;
    let mut words: Vec<(&str, usize)> = Vec::new();
    for token in &tokens {
        match &token.kind {
            lexer::TokenKind::Symbol('(') => depth += 1,
            lexer::TokenKind::Symbol(')') => depth = depth.saturating_sub(1),
            lexer::TokenKind::Word(word, _) if depth == 0 && start.is_none() && word == "as" => {
                start = Some(token.end);
            }
            _ => {}
        }
        if let (lexer::TokenKind::Word(word, _), Some(_)) = (&token.kind, start) {
            words.push((word, token.start));
        }
    }
    let end = match words.as_slice() {
        [.., ("with", at), ("no", _), ("data", _)] | [.., ("with", at), ("data", _)] => *at,
        _ => text.len(),
    };
    text.get(start?..end).map(str::trim)
}

#[cfg(test)]
mod tests;
