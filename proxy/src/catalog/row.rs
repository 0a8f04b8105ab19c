//! How rows of a catalog are made: a template with the usual values, and places for what differs.

use std::sync::Arc;

use dataman_pg::catalog::system::{SystemRelation, SystemRow, system_relation};
use dataman_pg::value::Array;
use dataman_pg::{TypeId, Value};

/// Makes rows of one table, of which `N` columns are given for each row.
pub(super) struct Maker<const N: usize> {
    template: Vec<Value>,
    places: [usize; N],
}

impl<const N: usize> Maker<N> {
    /// Rows of a table of `pg_catalog`. `usual` are values that all rows share; the others are NULL.
    pub(super) fn new(table: &str, given: [&str; N], usual: &[(&str, Value)]) -> Self {
        Self::of("pg_catalog", table, given, usual)
    }

    /// The same for any schema of the system's.
    ///
    /// # Panics
    /// When there is no such table or column.
    pub(super) fn of(schema: &str, table: &str, given: [&str; N], usual: &[(&str, Value)]) -> Self {
        let relation = system_relation(schema, table).expect("the table is PostgreSQL 15's");
        Self::over(relation, given, usual)
    }

    /// The same for a relation.
    ///
    /// # Panics
    /// When there is no such column.
    pub(super) fn over(
        relation: &SystemRelation,
        given: [&str; N],
        usual: &[(&str, Value)],
    ) -> Self {
        let place = |name: &str| {
            let found = relation.columns.iter().position(|(column, _, _)| **column == *name);
            found.unwrap_or_else(|| panic!("{} has no column {name}", relation.name))
        };
        let mut template = vec![Value::Null; relation.columns.len()];
        for (name, value) in usual {
            template[place(name)] = value.clone();
        }
        Self { template, places: given.map(place) }
    }

    /// A row.
    pub(super) fn row(&self, values: [Value; N]) -> SystemRow {
        let mut row = self.template.clone();
        for (place, value) in self.places.iter().zip(values) {
            row[*place] = value;
        }
        row.into()
    }
}

/// A `name` or `text`.
pub(super) fn text(text: impl Into<Arc<str>>) -> Value {
    Value::Text(text.into())
}

/// A `"char"`.
pub(super) fn letter(letter: u8) -> Value {
    Value::Char(letter)
}

/// A count as `smallint`.
pub(super) fn small(count: usize) -> Value {
    Value::Int2(i16::try_from(count).unwrap_or(i16::MAX))
}

/// An array of `smallint`.
pub(super) fn small_array(numbers: &[i16]) -> Value {
    let elements = numbers.iter().map(|number| Value::Int2(*number)).collect();
    Value::Array(Array::vector(TypeId::INT2, elements).into())
}

/// An array of OIDs.
pub(super) fn oid_array(oids: &[u32]) -> Value {
    let elements = oids.iter().map(|oid| Value::Oid(*oid)).collect();
    Value::Array(Array::vector(TypeId::OID, elements).into())
}

/// Access rights.
pub(super) fn rights(items: &[String]) -> Value {
    let elements = items.iter().map(|item| Value::text(item.as_str())).collect();
    Value::Array(Array::vector(TypeId::ACLITEM, elements).into())
}
