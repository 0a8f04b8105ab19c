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
    crate::boolean::FUNCTIONS,
    crate::bits::FUNCTIONS,
    crate::network::FUNCTIONS,
    crate::network::MAC_FUNCTIONS,
    crate::range::FUNCTIONS,
    crate::range::TESTS,
    crate::array::FUNCTIONS,
    crate::json::access::FUNCTIONS,
    crate::json::build::FUNCTIONS,
    crate::json::change::FUNCTIONS,
    crate::json::path::FUNCTIONS,
    crate::string::FUNCTIONS,
    crate::string::cast::FUNCTIONS,
    crate::string::encoding::FUNCTIONS,
    crate::string::format::FUNCTIONS,
    crate::string::identifier::FUNCTIONS,
    crate::string::size::FUNCTIONS,
    crate::string::split::FUNCTIONS,
    crate::string::unicode::FUNCTIONS,
    crate::bytea::FUNCTIONS,
    crate::hashing::FUNCTIONS,
    crate::io::send::FUNCTIONS,
    crate::formatting::FUNCTIONS,
    crate::uuid::FUNCTIONS,
    crate::system::FUNCTIONS,
    crate::sequence::FUNCTIONS,
    crate::objects::FUNCTIONS,
    crate::objects::FURTHER,
    crate::objects::RIGHTS,
    crate::enumeration::FUNCTIONS,
    crate::numeric::FUNCTIONS,
    crate::integer::FUNCTIONS,
    crate::in_range::FUNCTIONS,
    crate::float::FUNCTIONS,
    crate::datetime::arithmetic::FUNCTIONS,
    crate::datetime::compare::FUNCTIONS,
    crate::datetime::convert::FUNCTIONS,
    crate::datetime::make::FUNCTIONS,
    crate::datetime::part::FUNCTIONS,
    crate::datetime::trunc::FUNCTIONS,
    crate::interval::arithmetic::FUNCTIONS,
    crate::pattern::like::FUNCTIONS,
    crate::pattern::regexp::FUNCTIONS,
    crate::pattern::similar::FUNCTIONS,
];

static BY_SOURCE: LazyLock<HashMap<&'static str, Entry>> = LazyLock::new(|| {
    // What a family writes itself goes before what the catalog says is a comparison.
    let comparisons = crate::comparison::entries();
    let written = FAMILIES.iter().flat_map(|family| family.iter()).copied();
    comparisons.into_iter().chain(written).map(|entry| (entry.source, entry)).collect()
});

/// Finds the implementation registered under `source`, if there is one.
pub fn find(source: &str) -> Option<Implementation> {
    let found = BY_SOURCE.get(source).map(|entry| entry.implementation);
    found.or_else(|| crate::internal::implementation(source))
}

/// Every registered entry, in no particular order: what the differential test goes through.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    BY_SOURCE.values()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_one_of_postgresqls() {
        let known: std::collections::HashSet<&str> =
            crate::catalog::functions().iter().map(|function| function.source).collect();
        let mut seen = std::collections::HashSet::new();
        for entry in FAMILIES.iter().flat_map(|family| family.iter()) {
            assert!(known.contains(entry.source), "no function has the source {}", entry.source);
            assert!(seen.insert(entry.source), "{} is registered twice", entry.source);
        }
    }
}
