//! JSON as rows: elements, members, keys.

use super::{Entry, RowSource, Rows, entry};
use crate::arguments::{jsonb, text};
use crate::error::{PgError, Result};
use crate::json::Jsonb;
use crate::json::access::{self, Form};
use crate::json::path;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Entry] = &[
    entry("json_array_elements", |_, args| {
        let name = "json_array_elements";
        access::json_elements(text(args, 0)?, Form::Json, name).map(Rows::column)
    }),
    entry("json_array_elements_text", |_, args| {
        let name = "json_array_elements_text";
        access::json_elements(text(args, 0)?, Form::Text, name).map(Rows::column)
    }),
    entry("json_each", |_, args| members(access::json_members(text(args, 0)?, Form::Json)?)),
    entry("json_each_text", |_, args| members(access::json_members(text(args, 0)?, Form::Text)?)),
    entry("json_object_keys", |_, args| access::json_keys(text(args, 0)?).map(Rows::column)),
    entry("jsonb_array_elements", |_, args| elements(jsonb(args, 0)?, Form::Json)),
    entry("jsonb_array_elements_text", |_, args| elements(jsonb(args, 0)?, Form::Text)),
    entry("jsonb_each", |_, args| jsonb_members(jsonb(args, 0)?, Form::Json, "jsonb_each")),
    entry("jsonb_each_text", |_, args| {
        jsonb_members(jsonb(args, 0)?, Form::Text, "jsonb_each_text")
    }),
    entry("jsonb_path_query", |_, args| path::query(args).map(Rows::column)),
    entry("jsonb_path_query_tz", |_, args| path::query(args).map(Rows::column)),
    entry("jsonb_object_keys", |_, args| {
        let refused = |what: &str| {
            let message = format!("cannot call jsonb_object_keys on {what}");
            Err(PgError::new("22023", message))
        };
        match jsonb(args, 0)? {
            Jsonb::Object(members) => {
                Ok(Rows::column(members.iter().map(|(key, _)| Value::Text(key.clone())).collect()))
            }
            Jsonb::Array(_) => refused("an array"),
            _ => refused("a scalar"),
        }
    }),
];

fn members(members: Vec<(String, Value)>) -> Result<Box<dyn RowSource>> {
    Ok(Rows::boxed(members.into_iter().map(|(key, value)| vec![Value::text(key), value]).collect()))
}

fn elements(value: &Jsonb, form: Form) -> Result<Box<dyn RowSource>> {
    let refused =
        |what: &str| Err(PgError::new("22023", format!("cannot extract elements from {what}")));
    match value {
        Jsonb::Array(elements) => {
            let shown = elements.iter().map(|element| access::give(Some(element), form));
            Ok(Rows::column(shown.collect()))
        }
        Jsonb::Object(_) => refused("an object"),
        _ => refused("a scalar"),
    }
}

fn jsonb_members(value: &Jsonb, form: Form, name: &str) -> Result<Box<dyn RowSource>> {
    let Jsonb::Object(members) = value else {
        return Err(PgError::new("22023", format!("cannot call {name} on a non-object")));
    };
    let row = |(key, value): &(std::sync::Arc<str>, Jsonb)| {
        vec![Value::Text(key.clone()), access::give(Some(value), form)]
    };
    Ok(Rows::boxed(members.iter().map(row).collect()))
}
