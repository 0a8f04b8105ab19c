//! The SQL/JSON path language (the manual's section 9.16.2).
//!
//! A `jsonpath` value is kept as its normal text: [`parse`] reads it to an [`Expr`], [`mod@write`] writes it, and [`run`] follows
//! it through a document.

mod lex;
mod parse;
mod run;
mod write;

use std::sync::Arc;

use crate::error::{PgError, Result};
use crate::value::{Numeric, Value};

pub(crate) use run::FUNCTIONS;
pub(crate) use run::query;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
struct Path {
    /// `strict`: structural errors are errors.
    is_strict: bool,
    expr: Expr,
}

/// An expression or a predicate.
#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Null,
    Bool(bool),
    Number(Numeric),
    String(Arc<str>),
    Variable(Arc<str>),
    /// `$`.
    Root,
    /// `@`.
    Current,
    /// `last`.
    Last,
    /// Something, and the steps from it.
    Steps(Box<Expr>, Vec<Step>),
    Sign(Sign, Box<Expr>),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsUnknown(Box<Expr>),
    Exists(Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    StartsWith(Box<Expr>, Box<Expr>),
    LikeRegex {
        value: Box<Expr>,
        pattern: Arc<str>,
        flags: String,
    },
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `.key`.
    Key(Arc<str>),
    /// `.*`.
    AnyKey,
    /// `[*]`.
    AnyElement,
    /// `[1, 3 to last]`.
    Subscripts(Vec<(Expr, Option<Expr>)>),
    /// `.**{1 to 3}`; `u32::MAX` is `last`.
    Below { first: u32, last: u32 },
    /// `.size()`.
    Method(Method),
    /// `?(…)`.
    Filter(Expr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Abs,
    Ceiling,
    Double,
    Floor,
    Size,
    Type,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Ceiling => "ceiling",
            Self::Double => "double",
            Self::Floor => "floor",
            Self::Size => "size",
            Self::Type => "type",
        }
    }
}

impl Arithmetic {
    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

impl Sign {
    fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

/// Reads the text form of `jsonpath` and gives its normal form, which is its value.
///
/// # Errors
/// `42601` for what is no path, `22P02` for an empty text; `0A000` for methods that are not computed here.
pub(crate) fn input(text: &str) -> Result<Value> {
    let path = parse::parse(text)?;
    Ok(Value::text(write::path(&path)))
}

/// Reads the binary form: a version byte and the text.
///
/// # Errors
/// As [`input`].
pub(crate) fn decode(bytes: &[u8]) -> Result<Value> {
    match bytes.split_first() {
        Some((1, text)) => input(crate::io::binary::utf8(text)?),
        Some((version, _)) => {
            Err(PgError::internal(format!("unsupported jsonpath version number: {version}")))
        }
        None => Err(PgError::new("08P01", "no data left in message")),
    }
}
