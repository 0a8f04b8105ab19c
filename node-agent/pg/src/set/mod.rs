//! Set-returning functions: those that give many rows (the manual's sections 9.26, 9.16, 9.7, 9.19).
//!
//! A function of this kind makes a [`RowSource`], from which the caller pulls a row at a time, so that a long series is never
//! in memory as a whole. They are registered as the others are, by `pg_proc.prosrc`.

mod document;
mod elements;
pub mod objects;
mod record;
mod series;
mod words;

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use crate::catalog;
use crate::context::CallContext;
use crate::error::Result;
use crate::expr::FunctionId;
use crate::value::Value;

/// Rows, one after the other. After an error or the end nothing follows.
pub trait RowSource: Send + fmt::Debug {
    /// The next row: one value for each output column of the function.
    ///
    /// # Errors
    /// What PostgreSQL raises on the way.
    fn next_row(&mut self) -> Result<Option<Vec<Value>>>;
}

/// Makes the rows of one call from concrete arguments. For a strict function, none of them is NULL.
type Implementation = fn(&CallContext<'_>, &[Value]) -> Result<Box<dyn RowSource>>;

/// One implemented function.
#[derive(Debug, Clone, Copy)]
struct Entry {
    source: &'static str,
    implementation: Implementation,
}

const fn entry(source: &'static str, implementation: Implementation) -> Entry {
    Entry { source, implementation }
}

/// Every family's table.
const FAMILIES: &[&[Entry]] = &[
    document::FUNCTIONS,
    elements::FUNCTIONS,
    objects::ASKED,
    objects::FUNCTIONS,
    series::FUNCTIONS,
    words::FUNCTIONS,
];

static BY_SOURCE: LazyLock<HashMap<&'static str, Implementation>> = LazyLock::new(|| {
    let entries = FAMILIES.iter().flat_map(|family| family.iter());
    entries.map(|entry| (entry.source, entry.implementation)).collect()
});

fn find(source: &str) -> Option<Implementation> {
    let records: Implementation = record::rows;
    BY_SOURCE.get(source).copied().or_else(|| (source == record::SOURCE).then_some(records))
}

/// Whether a function is set-returning and computed here.
pub fn is_computed(function: FunctionId) -> bool {
    catalog::function(function)
        .is_some_and(|function| function.returns_set && find(function.source).is_some())
}

/// The rows of one call; `None` for a function that is not computed here. A strict function over a NULL has no rows.
///
/// # Errors
/// What PostgreSQL raises before the first row.
pub fn rows(
    function: FunctionId,
    call: &CallContext<'_>,
    args: &[Value],
) -> Option<Result<Box<dyn RowSource>>> {
    let function = catalog::function(function).filter(|function| function.returns_set)?;
    let implementation = find(function.source)?;
    if function.strict && args.iter().any(Value::is_null) {
        return Some(Ok(Box::new(Rows::default())));
    }
    Some(implementation(call, args))
}

/// Every registered `prosrc`: what the differential test goes through.
pub fn sources() -> impl Iterator<Item = &'static str> {
    BY_SOURCE.keys().copied()
}

/// Rows that are all known from the start.
#[derive(Debug, Default)]
struct Rows(std::vec::IntoIter<Vec<Value>>);

impl Rows {
    fn boxed(rows: Vec<Vec<Value>>) -> Box<dyn RowSource> {
        Box::new(Self(rows.into_iter()))
    }

    /// Rows of one column.
    fn column(values: Vec<Value>) -> Box<dyn RowSource> {
        Self::boxed(values.into_iter().map(|value| vec![value]).collect())
    }
}

impl RowSource for Rows {
    fn next_row(&mut self) -> Result<Option<Vec<Value>>> {
        Ok(self.0.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use crate::types::TypeId;

    fn check(name: &str, args: &[Value], expected: &str) {
        let context = Context::default();
        let call = CallContext {
            context: &context,
            arguments: &[],
            result: TypeId::UNKNOWN,
            variadic: false,
        };
        let functions = catalog::functions_named(name);
        let is_of_integers = |ty: &TypeId| *ty == TypeId::INT4;
        let function = functions
            .iter()
            .find(|f| f.args.len() == args.len() && f.args.iter().all(is_of_integers))
            .expect("it exists");
        let mut shown = Vec::new();
        let made = rows(function.id, &call, args).expect("it is computed");
        let outcome = made.and_then(|mut rows| {
            while let Some(row) = rows.next_row()? {
                shown.push(format!("{row:?}"));
            }
            Ok(())
        });
        shown.extend(outcome.err().map(|error| error.to_string()));
        assert_eq!(shown.join(" "), expected, "{name}");
    }

    #[test]
    fn series() {
        let range = |from, to, step| [Value::Int4(from), Value::Int4(to), Value::Int4(step)];
        check("generate_series", &range(1, 5, 2), "[Int4(1)] [Int4(3)] [Int4(5)]");
        check("generate_series", &range(1, 5, -1), "");
        check("generate_series", &range(1, 5, 0), "step size cannot equal zero");
        check("generate_series", &range(i32::MAX - 1, i32::MAX, 2), "[Int4(2147483646)]");
        check("generate_series", &[Value::Int4(1), Value::Null, Value::Int4(1)], "");
    }

    #[test]
    fn sources_are_postgresqls() {
        for source in sources() {
            let is_known = catalog::functions().iter().any(|f| f.source == source && f.returns_set);
            assert!(is_known, "no set-returning function has the source {source}");
        }
    }
}
