//! What functions tell of a database's objects as rows (the manual's sections 9.26 and 54): who knows the objects gives them.

use super::{Entry, RowSource, Rows, entry};
use crate::arguments::array;
use crate::catalog::system::system_table;
use crate::error::{PgError, Result};
use crate::objects::objects;
use crate::value::Value;

/// Functions that need somebody's answer.
macro_rules! asked {
    ($($source:literal)*) => {
        &[$(entry($source, |call, args| {
            objects(call.context)?.rows($source, args, call).map(Rows::boxed)
        }),)*]
    };
}

pub(super) const ASKED: &[Entry] = asked! {
    "aclexplode" "pg_partition_ancestors" "pg_partition_tree" "show_all_settings"
};

/// Their sources: a server's own objects are not ours.
pub fn asked() -> impl Iterator<Item = &'static str> {
    ASKED.iter().map(|entry| entry.source)
}

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("pg_get_keywords", |_, _| {
        let rows = system_table("pg_get_keywords").rows();
        Ok(Rows::boxed(rows.iter().map(|row| row.to_vec()).collect()))
    }),
    entry("pg_options_to_table", |_, args| {
        let option = |option: &Value| match option {
            Value::Text(text) => Ok(match text.split_once('=') {
                Some((name, value)) => vec![Value::text(name), Value::text(value)],
                None => vec![Value::Text(text.clone()), Value::Null],
            }),
            _ => Err(PgError::new("22004", "null array element not allowed in this context")),
        };
        let rows = array(args, 0)?.elements.iter().map(option).collect::<Result<_>>()?;
        Ok(Rows::boxed(rows))
    }),
    entry("_pg_expandarray", |_, args| expanded(args)),
    // LISTEN is refused: nobody listens.
    entry("pg_listening_channels", |_, _| Ok(Rows::boxed(Vec::new()))),
];

/// Every element with its place from 1. More than one dimension has no elements under one subscript: NULLs.
fn expanded(args: &[Value]) -> Result<Box<dyn RowSource>> {
    let array = array(args, 0)?;
    let Some(first) = array.dimensions.first() else { return Ok(Rows::boxed(Vec::new())) };
    let is_flat = array.dimensions.len() == 1;
    let count = usize::try_from(first.length).unwrap_or(0);
    let row = |place: usize| {
        let element = array.elements.get(place).filter(|_| is_flat).cloned();
        let number = i32::try_from(place + 1).unwrap_or(i32::MAX);
        vec![element.unwrap_or(Value::Null), Value::Int4(number)]
    };
    Ok(Rows::boxed((0..count).map(row).collect()))
}
