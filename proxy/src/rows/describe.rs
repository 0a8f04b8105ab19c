//! Columns → RowDescription.

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::record::{ColumnDescription, Format};
use dataman_pg::catalog::type_by_id;
use dataman_pg::types::{TypeId, TypeRef};

/// Appends a RowDescription. `formats` has one for each column; when it is shorter (Describe of a statement, where none are
/// known yet) the rest is text, as PostgreSQL sends it.
pub fn encode_row_description(
    columns: &[ColumnDescription],
    formats: &[Format],
    out: &mut BytesMut,
) {
    let start = out.len();
    out.put_u8(b'T');
    out.put_i32(0);
    out.put_u16(u16::try_from(columns.len()).unwrap_or(u16::MAX));
    for (at, column) in columns.iter().enumerate() {
        out.put_slice(column.name.as_bytes());
        out.put_u8(0);
        // The table and the column's number in it: PostgreSQL sends 0 for what is not a plain column, and so do we for all.
        out.put_u32(0);
        out.put_i16(0);
        let ty = described(column.ty);
        out.put_u32(ty.id.0);
        out.put_i16(type_length(ty.id));
        out.put_i32(ty.typmod);
        out.put_i16(match formats.get(at) {
            Some(Format::Binary) => 1,
            Some(Format::Text) | None => 0,
        });
    }
    let length = u32::try_from(out.len() - start - 1).unwrap_or(u32::MAX);
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}

/// A type as clients know it: the row of a table has the table's row type.
fn described(ty: TypeRef) -> TypeRef {
    match u32::try_from(ty.typmod) {
        Ok(relation) if ty.id == TypeId::RECORD => {
            TypeRef::plain(TypeId(crate::catalog::row_type(relation)))
        }
        _ => ty,
    }
}

/// `typlen` of a type; enums, the only types that clients make, take four bytes.
fn type_length(ty: TypeId) -> i16 {
    type_by_id(ty)
        .map_or_else(|| if crate::catalog::is_row_type(ty.0) { -1 } else { 4 }, |ty| ty.length)
}

/// One column of text, as SHOW and EXPLAIN give it.
pub fn text_column(name: &str) -> ColumnDescription {
    ColumnDescription { name: name.to_owned(), ty: TypeRef::plain(TypeId::TEXT) }
}
