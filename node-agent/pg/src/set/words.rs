//! Texts cut to rows: `string_to_table`, `regexp_matches`, `regexp_split_to_table`.

use super::{Entry, RowSource, Rows, entry};
use crate::error::Result;
use crate::pattern::regexp;
use crate::string::split;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("text_to_table", |_, args| pieces(args)),
    entry("text_to_table_null", |_, args| pieces(args)),
    entry("regexp_matches", |_, args| regexp::matches_of(args).map(Rows::column)),
    entry("regexp_matches_no_flags", |_, args| regexp::matches_of(args).map(Rows::column)),
    entry("regexp_split_to_table", |_, args| parts(args)),
    entry("regexp_split_to_table_no_flags", |_, args| parts(args)),
];

fn pieces(args: &[Value]) -> Result<Box<dyn RowSource>> {
    Ok(Rows::column(split::fields(args)?.unwrap_or_default()))
}

fn parts(args: &[Value]) -> Result<Box<dyn RowSource>> {
    regexp::pieces(args, "regexp_split_to_table()").map(Rows::column)
}
