//! JSON as rows with given columns: `json_to_record`, `json_populate_recordset` and their like with a column definition list.

use super::{RowSource, Rows};
use crate::arguments::{array, text};
use crate::catalog;
use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::json::access::{Content, Node, read};
use crate::json::parse::{Scalar, Strings};
use crate::json::{Jsonb, escape_string};
use crate::types::{TypeId, TypeRef};
use crate::value::{Array, Dimension, Value};

/// The source of [`crate::internal::RECORDS`].
pub(super) const SOURCE: &str = "dataman_records";

/// A document, of either type.
#[derive(Debug, Clone)]
enum Tree {
    Null,
    /// A string, without quotes.
    String(String),
    /// A number or a boolean, as it is written.
    Plain(String),
    /// With its text.
    Array(Vec<Tree>, String),
    /// With its text.
    Object(Vec<(String, Tree)>, String),
}

fn of_json(source: &str, node: &Node) -> Tree {
    let written = || source[node.start..node.end].to_owned();
    match &node.content {
        Content::Scalar(Scalar::Null, _) => Tree::Null,
        Content::Scalar(Scalar::String, string) => Tree::String(string.clone()),
        Content::Scalar(..) => Tree::Plain(written()),
        Content::Array(elements) => {
            Tree::Array(elements.iter().map(|node| of_json(source, node)).collect(), written())
        }
        Content::Object(members) => {
            let members = members.iter().map(|(key, node)| (key.clone(), of_json(source, node)));
            Tree::Object(members.collect(), written())
        }
    }
}

fn of_jsonb(value: &Jsonb) -> Tree {
    match value {
        Jsonb::Null => Tree::Null,
        Jsonb::String(string) => Tree::String(string.to_string()),
        Jsonb::Bool(_) | Jsonb::Number(_) => Tree::Plain(value.to_text()),
        Jsonb::Array(elements) => {
            Tree::Array(elements.iter().map(of_jsonb).collect(), value.to_text())
        }
        Jsonb::Object(members) => {
            let members = members.iter().map(|(key, value)| (key.to_string(), of_jsonb(value)));
            Tree::Object(members.collect(), value.to_text())
        }
    }
}

/// A column of the rows.
struct Column<'a> {
    name: &'a str,
    ty: TypeRef,
}

/// The rows of one call.
pub(super) fn rows(call: &CallContext<'_>, args: &[Value]) -> Result<Box<dyn RowSource>> {
    let name = text(args, 0)?;
    let is_set = name.ends_with("set");
    let names = array(args, 2)?.elements.iter();
    let typmods = array(args, 3)?.elements.iter();
    let types = call.arguments.iter().skip(4);
    let columns: Vec<Column<'_>> = names
        .zip(typmods)
        .zip(types)
        .filter_map(|((name, typmod), ty)| match (name, typmod) {
            (Value::Text(name), Value::Int4(typmod)) => {
                Some(Column { name, ty: TypeRef { id: *ty, typmod: *typmod } })
            }
            _ => None,
        })
        .collect();
    let is_jsonb = matches!(args[1], Value::Jsonb(_));
    let tree = match &args[1] {
        Value::Null if is_set => return Ok(Rows::boxed(Vec::new())),
        Value::Null => return Ok(Rows::boxed(vec![vec![Value::Null; columns.len()]])),
        Value::Jsonb(value) => of_jsonb(value),
        _ => {
            let source = text(args, 1)?;
            of_json(source, &read(source, Strings::Decoded)?)
        }
    };
    let refused = |message: String| Err(PgError::new("22023", message));
    let row = |members: &[(String, Tree)]| {
        let value = |column: &Column<'_>| {
            // Of repeated keys the last one counts.
            let found = members.iter().rev().find(|(key, _)| key == column.name);
            found.map_or(Ok(Value::Null), |(_, tree)| {
                populate(tree, column.ty, Some(column.name), is_jsonb, call.context)
            })
        };
        columns.iter().map(value).collect::<Result<Vec<Value>>>()
    };
    if !is_set {
        return match tree {
            Tree::Object(members, _) => Ok(Rows::boxed(vec![row(&members)?])),
            Tree::Array(..) => refused("cannot call populate_composite on an array".to_owned()),
            _ => refused("cannot call populate_composite on a scalar".to_owned()),
        };
    }
    let elements = match tree {
        Tree::Array(elements, _) => elements,
        _ if is_jsonb => return refused(format!("cannot call {name} on a non-array")),
        Tree::Object(..) => return refused(format!("cannot call {name} on an object")),
        _ => return refused(format!("cannot call {name} on a scalar")),
    };
    let mut rows = Vec::new();
    for element in elements {
        match element {
            Tree::Object(members, _) => rows.push(row(&members)?),
            _ => return refused(format!("argument of {name} must be an array of objects")),
        }
    }
    Ok(Rows::boxed(rows))
}

/// A document as a value of a type.
fn populate(
    tree: &Tree,
    ty: TypeRef,
    key: Option<&str>,
    is_jsonb: bool,
    context: &Context,
) -> Result<Value> {
    let element = catalog::type_by_id(ty.id).filter(|found| found.category == 'A');
    let element = element.map(|found| found.element).filter(|_| !ty.id.is_vector());
    let text = match (tree, element) {
        (Tree::Null, _) => return Ok(Value::Null),
        (Tree::String(string), Some(_)) => string.clone(),
        (_, Some(element)) => {
            let element = TypeRef { id: element, typmod: ty.typmod };
            return Elements::of(tree, element, key, is_jsonb, context);
        }
        (Tree::String(string), None) => {
            let keeps_quotes = matches!(ty.id, TypeId::JSON | TypeId::JSONB);
            let mut quoted = Vec::new();
            if keeps_quotes {
                escape_string(string, &mut quoted);
            }
            match String::from_utf8(quoted) {
                Ok(quoted) if keeps_quotes => quoted,
                _ => string.clone(),
            }
        }
        (Tree::Plain(text) | Tree::Array(_, text) | Tree::Object(_, text), None) => text.clone(),
    };
    crate::io::text::input(&text, ty, context)
}

/// The elements of an array of any number of dimensions, as they are found.
struct Elements<'a> {
    element: TypeRef,
    key: Option<&'a str>,
    is_jsonb: bool,
    context: &'a Context,
    /// The lengths of the dimensions, once the first element or empty array has said how many there are.
    lengths: Option<Vec<Option<usize>>>,
    /// How many elements of each open dimension were found.
    found: Vec<usize>,
    values: Vec<Value>,
}

impl<'a> Elements<'a> {
    fn of(
        tree: &Tree,
        element: TypeRef,
        key: Option<&'a str>,
        is_jsonb: bool,
        context: &'a Context,
    ) -> Result<Value> {
        let mut elements = Self {
            element,
            key,
            is_jsonb,
            context,
            lengths: None,
            found: Vec::new(),
            values: Vec::new(),
        };
        elements.dimension(tree)?;
        let lengths = elements.lengths.unwrap_or_default();
        let dimension = |length: &Option<usize>| Dimension {
            length: i32::try_from(length.unwrap_or_default()).unwrap_or(i32::MAX),
            lower: 1,
        };
        let dimensions = match elements.values.is_empty() {
            true => Vec::new(),
            false => lengths.iter().map(dimension).collect(),
        };
        let values = elements.values;
        let array = Array { element_type: element.id, dimensions, elements: values };
        Ok(Value::Array(std::sync::Arc::new(array)))
    }

    /// Takes what stands where an array is expected; `found` says where that is.
    fn dimension(&mut self, tree: &Tree) -> Result<()> {
        let Tree::Array(inner, _) = tree else {
            return Err(self.expected_array());
        };
        let depth = self.found.len() + 1;
        self.found.push(0);
        for tree in inner {
            let is_leaf = match &self.lengths {
                Some(lengths) => depth >= lengths.len(),
                None => !matches!(tree, Tree::Array(..)),
            };
            if is_leaf {
                self.lengths.get_or_insert_with(|| vec![None; depth]);
                let value = populate(tree, self.element, self.key, self.is_jsonb, self.context)?;
                self.values.push(value);
            } else {
                self.dimension(tree)?;
            }
            if let Some(count) = self.found.last_mut() {
                *count += 1;
            }
        }
        self.lengths.get_or_insert_with(|| vec![None; depth]);
        let count = self.found.pop().unwrap_or_default();
        if let Some(length) = self.lengths.as_mut().and_then(|lengths| lengths.get_mut(depth - 1))
            && *length.get_or_insert(count) != count
        {
            return Err(PgError::new("22P02", "malformed JSON array").with_detail(
                "Multidimensional arrays must have sub-arrays with matching dimensions.",
            ));
        }
        Ok(())
    }

    fn expected_array(&self) -> PgError {
        let error = PgError::new("22P02", "expected JSON array");
        let place: String = self.found.iter().map(|place| format!("[{place}]")).collect();
        match (place.is_empty(), self.key) {
            (true, Some(key)) => error.with_hint(format!("See the value of key \"{key}\".")),
            (true, None) => error,
            (false, Some(key)) => {
                error.with_hint(format!("See the array element {place} of key \"{key}\"."))
            }
            (false, None) => error.with_hint(format!("See the array element {place}.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, ty: TypeId, expected: &str) {
        let context = Context::default();
        let node = read(json, Strings::Decoded).expect("it is JSON");
        let shown = match populate(&of_json(json, &node), ty.into(), Some("k"), false, &context) {
            Ok(Value::Null) => "NULL".to_owned(),
            Ok(value) => {
                let mut out = Vec::new();
                crate::io::text::output(&value, ty, &context, &mut out);
                String::from_utf8(out).expect("it is text")
            }
            Err(error) => format!("{error} {}", error.hint().unwrap_or_default()),
        };
        assert_eq!(shown.trim_end(), expected, "{json}");
    }

    #[test]
    fn documents_are_values() {
        check("1", TypeId::INT4, "1");
        check("\"1\"", TypeId::INT4, "1");
        check("null", TypeId::INT4, "NULL");
        check("\"a\"", TypeId::JSON, "\"a\"");
        check("{\"a\": 1}", TypeId::TEXT, "{\"a\": 1}");
        check("[1, \"2\", null]", TypeId::INT4_ARRAY, "{1,2,NULL}");
        check("[[1, 2], [3, 4]]", TypeId::INT4_ARRAY, "{{1,2},{3,4}}");
        check("[[], []]", TypeId::INT4_ARRAY, "{}");
        check("\"{5}\"", TypeId::INT4_ARRAY, "{5}");
        check("[[1], [2, 3]]", TypeId::INT4_ARRAY, "malformed JSON array");
        check(
            "[[1], 2]",
            TypeId::INT4_ARRAY,
            "expected JSON array See the array element [1] of key \"k\".",
        );
        check("7", TypeId::INT4_ARRAY, "expected JSON array See the value of key \"k\".");
    }
}
