//! OIDs of what the metadata gives none.
//!
//! Every object that a user names has an OID of the metadata, handed out once, from 16384 on. What PostgreSQL has beside
//! them (a table's row type, a default, a view's rule) gets an OID made of its object's, in a range of its own: so they are
//! the same on every proxy and after every restart, and belong to nothing else as long as the metadata has handed out fewer
//! than 2^28 OIDs.

use dataman_metadata::snapshot::FIRST_OID;

/// The row type of a table or view.
const ROW_TYPE: u32 = 0x2000_0000;
/// The array type over a row type.
const ROW_ARRAY: u32 = 0x3000_0000;
/// The rule of a view.
const RULE: u32 = 0x4000_0000;
/// A constraint whose OID is its index's.
const CONSTRAINT: u32 = 0x5000_0000;
/// Defaults: a table's OID and a column's number.
const DEFAULT: u32 = 0x8000_0000;
/// The columns that a table can have.
const COLUMNS: u32 = 1600;

/// A relation's row type.
pub(crate) fn row_type(relation: u32) -> u32 {
    ROW_TYPE.wrapping_add(relation)
}

/// Whether an OID is that of a row type.
pub(crate) fn is_row_type(oid: u32) -> bool {
    (ROW_TYPE..ROW_ARRAY).contains(&oid)
}

/// The array type over a relation's row type.
pub(super) fn row_array(relation: u32) -> u32 {
    ROW_ARRAY.wrapping_add(relation)
}

/// A view's rule.
pub(super) fn rule(view: u32) -> u32 {
    RULE.wrapping_add(view)
}

/// A constraint that has an index: the metadata's OID is that of the index.
pub(super) fn indexed_constraint(index: u32) -> u32 {
    CONSTRAINT.wrapping_add(index)
}

/// A column's default.
pub(super) fn default(table: u32, column: i16) -> u32 {
    let place = table.wrapping_sub(FIRST_OID).wrapping_mul(COLUMNS);
    DEFAULT.wrapping_add(place.wrapping_add(u32::from(column.unsigned_abs())) & !DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_meet() {
        let made = |oid| [row_type(oid), row_array(oid), rule(oid), indexed_constraint(oid)];
        let mut all: Vec<u32> = (FIRST_OID..FIRST_OID + 100).flat_map(made).collect();
        all.extend((1..=1600).map(|column| default(FIRST_OID, column)));
        all.extend((1..=1600).map(|column| default(FIRST_OID + 1, column)));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|oid| *oid >= FIRST_OID + 100));
    }
}
