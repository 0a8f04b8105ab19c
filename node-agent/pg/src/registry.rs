//! Which of PostgreSQL's functions are computed here.
//!
//! Each family file has a table `FUNCTIONS` of [`Entry`]; this file joins them. The key is `pg_proc.prosrc`, the name of
//! the C function that PostgreSQL calls (`int4pl`, `numeric_add`, `text_substr`); for the few built-ins that PostgreSQL
//! writes in SQL, it is the signature, `name(type,type)`, with the types' names as in `pg_type.typname`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::context::CallContext;
use crate::error::Result;
use crate::value::Value;

/// An implementation: concrete arguments in, a value out.
///
/// For a function that `pg_proc` marks strict, the caller has already answered NULL when an argument is NULL, so the
/// implementation sees none. Arguments have exactly the representations of the declared types. A VARIADIC function gets
/// its variadic arguments as one array; over VARIADIC "any" it gets them one by one, with their types in the context, unless
/// [`CallContext::variadic`].
pub type Implementation = fn(&CallContext<'_>, &[Value]) -> Result<Value>;

/// One implemented function.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// `pg_proc.prosrc`, or the signature for a function written in SQL.
    pub source: &'static str,
    /// What computes it.
    pub implementation: Implementation,
}

/// Makes an [`Entry`]; for the `FUNCTIONS` tables.
pub const fn entry(source: &'static str, implementation: Implementation) -> Entry {
    Entry { source, implementation }
}

/// Every family's table.
const FAMILIES: &[&[Entry]] = &[
    crate::string::FUNCTIONS,
    crate::string::cast::FUNCTIONS,
    crate::string::format::FUNCTIONS,
    crate::string::split::FUNCTIONS,
    crate::string::unicode::FUNCTIONS,
    crate::bytea::FUNCTIONS,
    crate::hashing::FUNCTIONS,
    crate::uuid::FUNCTIONS,
    crate::system::FUNCTIONS,
    crate::numeric::FUNCTIONS,
];

static BY_SOURCE: LazyLock<HashMap<&'static str, Implementation>> = LazyLock::new(|| {
    FAMILIES.iter().flat_map(|family| family.iter()).map(|e| (e.source, e.implementation)).collect()
});

/// Finds the implementation registered under `source`, if there is one.
pub fn find(source: &str) -> Option<Implementation> {
    BY_SOURCE.get(source).copied()
}

/// Every registered entry, in no particular order: what the differential test goes through.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
