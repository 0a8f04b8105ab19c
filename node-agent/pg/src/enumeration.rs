//! Enums (the manual's sections 8.7 and 9.10): values of types whose labels travel in the context.

use std::sync::Arc;

use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::io::text::not_read;
use crate::registry::{Entry, entry};
use crate::resolve::UserType;
use crate::types::TypeId;
use crate::value::{Array, EnumLabel, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("enum_first", |call, _| {
        let (id, user) = enum_of(call)?;
        edge(id, &user, user.labels.first())
    }),
    entry("enum_last", |call, _| {
        let (id, user) = enum_of(call)?;
        edge(id, &user, user.labels.last())
    }),
    entry("enum_range_all", |call, _| range(call, &Value::Null, &Value::Null)),
    entry("enum_range_bounds", |call, args| match args {
        [low, high] => range(call, low, high),
        _ => Err(PgError::internal("enum_range takes two bounds")),
    }),
];

/// Reads a value of a user's enum, or an array of them.
pub(crate) fn input(text: &str, id: TypeId, context: &Context) -> Result<Value> {
    let user = context.user_type(id).ok_or_else(|| not_read(id.into()))?;
    if let Some(element) = user.element {
        return crate::array::input(text, element.into(), context);
    }
    match rank_of(&user, text) {
        Some(rank) => Ok(label(id, rank, text)),
        None => Err(PgError::new(
            "22P02",
            format!("invalid input value for enum {}: \"{text}\"", user.name),
        )),
    }
}

fn rank_of(user: &UserType, text: &str) -> Option<u32> {
    let rank = user.labels.iter().position(|label| **label == *text)?;
    u32::try_from(rank).ok()
}

fn label(id: TypeId, rank: u32, text: &str) -> Value {
    Value::Enum(EnumLabel { enum_type: id, rank, label: Arc::from(text) })
}

/// The enum that a call is about: only its arguments' type says so, their values may be NULL.
fn enum_of(call: &CallContext<'_>) -> Result<(TypeId, UserType)> {
    let id = call.arguments.iter().copied().find(|id| id.is_user()).unwrap_or(TypeId::UNKNOWN);
    let user = call.context.user_type(id).ok_or_else(|| not_read(id.into()))?;
    Ok((id, user))
}

fn edge(id: TypeId, user: &UserType, text: Option<&Arc<str>>) -> Result<Value> {
    let rank = text.and_then(|text| rank_of(user, text));
    match (text, rank) {
        (Some(text), Some(rank)) => Ok(label(id, rank, text)),
        _ => Err(PgError::new("55000", format!("enum {} contains no values", user.name))),
    }
}

fn range(call: &CallContext<'_>, low: &Value, high: &Value) -> Result<Value> {
    let (id, user) = enum_of(call)?;
    let bound = |value: &Value, otherwise: usize| match value {
        Value::Enum(label) => usize::try_from(label.rank).unwrap_or(otherwise),
        _ => otherwise,
    };
    let (first, last) = (bound(low, 0), bound(high, usize::MAX));
    let elements = user
        .labels
        .iter()
        .enumerate()
        .filter(|(rank, _)| (first..=last).contains(rank))
        .map(|(rank, text)| label(id, u32::try_from(rank).unwrap_or(u32::MAX), text))
        .collect();
    Ok(Value::Array(Array::vector(id, elements).into()))
}
