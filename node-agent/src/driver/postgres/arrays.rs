//! The rows of an insert as one array for each field.

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::Parameters;
use dataman_node_protocol::query::Insert;
use dataman_node_protocol::record::Format;
use dataman_pg::catalog;
use dataman_pg::types::TypeId;

/// The types of the arrays that an insert's rows can be sent as, one for each field; none when a field has no array of
/// its own type: one of user-defined type, or an array itself (of which there are no arrays of arrays).
pub(super) fn array_types(insert: &Insert) -> Option<Vec<u32>> {
    let array = |id: TypeId| {
        let ty = catalog::type_by_id(id).filter(|ty| !id.is_user() && ty.element == TypeId(0))?;
        (ty.array != TypeId(0)).then_some(ty.array.0)
    };
    insert.fields.iter().map(|field| array(field.ty.id)).collect()
}

/// Turns parameter tuples into arrays in binary format. The tuples are in binary format themselves.
///
/// # Errors
/// `54000` for arrays beyond what a message holds.
pub(super) fn transpose(insert: &Insert, tuples: &Parameters) -> Result<Parameters, NodeError> {
    let width = insert.fields.len();
    let too_large = |_| NodeError::statement("54000", "an insert is too large");
    let rows = i32::try_from(tuples.values.len() / width.max(1)).map_err(too_large)?;
    let mut values = Vec::with_capacity(width);
    for (place, field) in insert.fields.iter().enumerate() {
        let column = || tuples.values.iter().skip(place).step_by(width);
        let size: usize = column().flatten().map(|value| value.len()).sum();
        let mut array = BytesMut::with_capacity(20 + 4 * tuples.values.len() / width.max(1) + size);
        array.put_i32(1);
        array.put_i32(i32::from(column().any(Option::is_none)));
        array.put_u32(field.ty.id.0);
        array.put_i32(rows);
        array.put_i32(1);
        for value in column() {
            match value {
                None => array.put_i32(-1),
                Some(value) => {
                    array.put_i32(i32::try_from(value.len()).map_err(too_large)?);
                    array.put_slice(value);
                }
            }
        }
        values.push(Some(array.freeze()));
    }
    Ok(Parameters { values, formats: vec![Format::Binary; width] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use dataman_node_protocol::query::{NamedType, Records, Target};

    fn insert(types: &[TypeId]) -> Insert {
        let fields = types.iter().map(|ty| NamedType { name: "f".into(), ty: (*ty).into() });
        Insert {
            target: Target {
                db: "d".into(),
                shard_instance: "s".into(),
                collection: "c".into(),
                adopted: None,
            },
            fields: fields.collect(),
            records: Records::Parameters,
            conflict: None,
            returning: Vec::new(),
            alias: String::new(),
            subqueries: Vec::new(),
        }
    }

    #[test]
    fn rows_become_arrays() {
        let insert = insert(&[TypeId::INT2, TypeId::TEXT]);
        let tuples = [Some(&b"\0\x01"[..]), Some(b"a"), Some(b"\0\x02"), None];
        let values = tuples.map(|value| value.map(Bytes::from_static)).to_vec();
        let formats = vec![Format::Binary; 4];
        let arrays = transpose(&insert, &Parameters { values, formats }).unwrap();
        let expected: [&[u8]; 2] = [
            b"\0\0\0\x01\0\0\0\0\0\0\0\x15\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x01\0\0\0\x02\0\x02",
            b"\0\0\0\x01\0\0\0\x01\0\0\0\x19\0\0\0\x02\0\0\0\x01\0\0\0\x01a\xff\xff\xff\xff",
        ];
        let found: Vec<_> = arrays.values.iter().flatten().map(Bytes::as_ref).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_types_that_have_arrays() {
        let check = |types: &[TypeId], expected: Option<&[u32]>| {
            assert_eq!(array_types(&insert(types)).as_deref(), expected);
        };
        check(&[TypeId::INT4, TypeId::TEXT], Some(&[1007, 1009]));
        check(&[TypeId::INT4, TypeId(1007)], None);
        check(&[TypeId(20000)], None);
    }
}
