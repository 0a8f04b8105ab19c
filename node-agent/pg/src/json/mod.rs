//! `json` and `jsonb` (the manual's sections 8.14 and 9.16).
//!
//! `json` is its text, checked and kept as given; `jsonb` is parsed once into [`Jsonb`]. Both are read by one parser,
//! [`parse`], which reports PostgreSQL's errors.

use std::sync::Arc;

use crate::error::{PgError, Result};
use crate::value::{Numeric, Value};

pub(crate) mod access;
pub(crate) mod build;
pub(crate) mod change;
pub mod parse;
pub(crate) mod path;
mod write;

pub use write::{escape_string, write_jsonb};

/// A parsed `jsonb` value.
#[derive(Debug, Clone, PartialEq)]
pub enum Jsonb {
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A number, exact, with its scale as given.
    Number(Numeric),
    /// A string.
    String(Arc<str>),
    /// An array.
    Array(Vec<Jsonb>),
    /// An object: keys unique, shorter keys first, then by bytes, as PostgreSQL stores them.
    Object(Vec<(Arc<str>, Jsonb)>),
}

impl Jsonb {
    /// Makes an object of members in the order they were given: of equal keys the last one stays.
    pub fn object(members: Vec<(Arc<str>, Jsonb)>) -> Self {
        let mut members = members;
        members.reverse();
        members.sort_by(|(left, _), (right, _)| compare_keys(left, right));
        members.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Self::Object(members)
    }

    /// The member of that key, if this is an object that has it.
    pub fn member(&self, key: &str) -> Option<&Jsonb> {
        let Self::Object(members) = self else { return None };
        let found = members.binary_search_by(|(candidate, _)| compare_keys(candidate, key)).ok()?;
        Some(&members[found].1)
    }

    /// The text form, as `jsonb` prints it.
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        write_jsonb(self, &mut out);
        String::from_utf8(out).expect("json is written from strings")
    }
}

/// The order in which `jsonb` keeps an object's keys: shorter first, then by bytes.
pub fn compare_keys(left: &str, right: &str) -> std::cmp::Ordering {
    left.len().cmp(&right.len()).then_with(|| left.as_bytes().cmp(right.as_bytes()))
}

/// Reads the text form of `json`: checks it and keeps it as given.
///
/// # Errors
/// `22P02` `invalid input syntax for type json`, with PostgreSQL's detail.
pub fn json_input(text: &str) -> Result<Value> {
    parse::check(text)?;
    Ok(Value::Json(Arc::from(text)))
}

/// Reads the text form of `jsonb`.
///
/// # Errors
/// `22P02` as for `json`; `22P05` for `\u0000`; `22003` for a number beyond `numeric`.
pub fn jsonb_input(text: &str) -> Result<Value> {
    Ok(Value::Jsonb(Arc::new(parse::jsonb(text)?)))
}

/// Appends the binary form of `jsonb`: a version byte and the text.
pub fn jsonb_encode(value: &Jsonb, out: &mut Vec<u8>) {
    out.push(1);
    write_jsonb(value, out);
}

/// Reads the binary form of `jsonb`.
///
/// # Errors
/// `XX000` for another version, as PostgreSQL reports it; `22021` for bytes that are not UTF-8; as [`jsonb_input`].
pub fn jsonb_decode(bytes: &[u8]) -> Result<Value> {
    match bytes.split_first() {
        Some((1, text)) => jsonb_input(utf8(text)?),
        Some((version, _)) => {
            Err(PgError::internal(format!("unsupported jsonb version number {version}")))
        }
        None => Err(PgError::new("08P01", "no data left in message")),
    }
}

/// Reads the binary form of `json`, which is its text.
///
/// # Errors
/// `22021` for bytes that are not UTF-8; as [`json_input`].
pub fn json_decode(bytes: &[u8]) -> Result<Value> {
    json_input(utf8(bytes)?)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    crate::io::binary::utf8(bytes)
}
