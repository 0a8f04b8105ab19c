//! `json` and `jsonb` (the manual's sections 8.14 and 9.16).

use std::sync::Arc;

use crate::value::Numeric;

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
