//! Values on their way in and out: parameters of a Bind, columns of a DataRow, texts of messages.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::{NodeStatement, Parameters};
use dataman_node_protocol::query::{Insert, NodeQuery, Records};
use dataman_node_protocol::record::Format;
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, io};

use super::Store;
use super::catalogue::Catalogue;

/// Reads the parameters of an execution; those of an insert of tuples repeat for each row.
pub(crate) fn read_parameters<S: Store>(
    statement: &NodeStatement,
    parameters: &Parameters,
    context: &Context,
    catalogue: &Catalogue<S>,
) -> Result<Vec<Value>, NodeError> {
    let tuples = match &statement.query {
        NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert) => tuple_types(insert),
        _ => None,
    };
    let takes_rows = tuples.is_some();
    let types =
        tuples.unwrap_or_else(|| statement.params.iter().map(|ty| TypeRef::plain(*ty)).collect());
    let values = &parameters.values;
    let fits = match types.len() {
        0 => values.is_empty(),
        count if takes_rows => values.len().is_multiple_of(count),
        count => values.len() == count,
    };
    if !fits {
        return Err(NodeError::statement(
            "08P01",
            format!(
                "bind message supplies {} parameters, but the statement requires {}",
                values.len(),
                types.len()
            ),
        ));
    }
    let read = |(place, value): (usize, &Option<bytes::Bytes>)| {
        let format = match parameters.formats.as_slice() {
            [] => Format::Text,
            [one] => *one,
            each => each.get(place).copied().unwrap_or_default(),
        };
        let ty = types[place % types.len()];
        read_parameter(value.as_deref(), format, ty, context, catalogue).map_err(|mut error| {
            if takes_rows {
                error.record = u64::try_from(place / types.len() + 1).ok();
            }
            error
        })
    };
    values.iter().enumerate().map(read).collect()
}

/// The types of a tuple's values, for an insert that takes tuples.
fn tuple_types(insert: &Insert) -> Option<Vec<TypeRef>> {
    matches!(insert.records, Records::Parameters)
        .then(|| insert.fields.iter().map(|field| field.ty).collect())
}

/// Reads one parameter of a Bind.
///
/// # Errors
/// What the type's input raises.
fn read_parameter<S: Store>(
    bytes: Option<&[u8]>,
    format: Format,
    ty: TypeRef,
    context: &Context,
    catalogue: &Catalogue<S>,
) -> Result<Value, NodeError> {
    let Some(bytes) = bytes else {
        return Ok(Value::Null);
    };
    let text = || {
        std::str::from_utf8(bytes).map_err(|_| {
            NodeError::statement("22021", "invalid byte sequence for encoding \"UTF8\"")
        })
    };
    if ty.id.is_user() {
        return catalogue.label(ty.id, text()?);
    }
    Ok(match format {
        Format::Text => io::text::input(text()?, ty, context)?,
        Format::Binary => io::binary::decode(bytes, ty)?,
    })
}

/// Appends a value that is not NULL in a format.
pub(crate) fn append(
    value: &Value,
    ty: TypeId,
    format: Format,
    context: &Context,
    out: &mut Vec<u8>,
) {
    match (value, format) {
        (Value::Enum(label), _) => out.extend_from_slice(label.label.as_bytes()),
        (value, Format::Text) => io::text::output(value, ty, context, out),
        (value, Format::Binary) => io::binary::encode(value, ty, out),
    }
}

/// A value as messages show it.
pub(crate) fn shown(value: &Value, ty: TypeId, context: &Context) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    let mut out = Vec::new();
    append(value, ty, Format::Text, context, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
