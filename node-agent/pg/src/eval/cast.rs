//! The ways in which a value changes its type.

use std::sync::Arc;

use super::compile::not_computed;
use crate::catalog;
use crate::comparison::has_values;
use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::expr::{CastMethod, FunctionId};
use crate::registry::{self, Implementation};
use crate::resolve::{CastContext, NoUserTypes, pathway};
use crate::types::{TypeId, TypeRef};
use crate::value::{Array, Value};

/// One compiled cast.
#[derive(Debug)]
pub(super) enum CastStep {
    /// The same bits under another name; where types have representations of their own, the other one.
    Relabel(TypeId),
    Function {
        implementation: Implementation,
        types: Vec<TypeId>,
        result: TypeId,
        /// Another type of the same bits than the function's result, for `smallint` to `oid`.
        target: TypeId,
        strict: bool,
        /// The modifier and whether the cast is explicit, for the functions that take them.
        extra: Vec<Value>,
    },
    InputOutput {
        source: TypeId,
        target: TypeRef,
    },
    Array {
        element: TypeId,
        steps: Vec<CastStep>,
    },
}

impl CastStep {
    pub(super) fn compile(
        source: TypeId,
        target: TypeRef,
        method: CastMethod,
        explicit: bool,
    ) -> Result<Self> {
        let refused = || {
            let from = catalog::format_type(source, -1);
            let to = catalog::format_type(target.id, target.typmod);
            not_computed(&format!("the cast from {from} to {to}"))
        };
        if !has_values(source) || !has_values(target.id) {
            return Err(refused());
        }
        match method {
            CastMethod::Relabel => Ok(Self::Relabel(target.id)),
            CastMethod::Function(function) => {
                Self::by_function(function, target, explicit).ok_or_else(refused)
            }
            CastMethod::InputOutput => Ok(Self::InputOutput { source, target }),
            CastMethod::Length => Self::length(target, explicit).ok_or_else(refused),
            CastMethod::Array => {
                let element_of = |id: TypeId| catalog::type_by_id(id).map(|entry| entry.element);
                let (Some(from), Some(to)) = (element_of(source), element_of(target.id)) else {
                    return Err(refused());
                };
                let context =
                    if explicit { CastContext::Explicit } else { CastContext::Assignment };
                let mut steps = Vec::new();
                if from != to {
                    let pathway = pathway(&NoUserTypes, from, to, context).ok_or_else(refused)?;
                    steps.push(Self::compile(from, to.into(), pathway.into(), explicit)?);
                }
                if target.typmod >= 0 {
                    let target = TypeRef { id: to, typmod: target.typmod };
                    steps.push(Self::length(target, explicit).ok_or_else(refused)?);
                }
                Ok(Self::Array { element: to, steps })
            }
        }
    }

    fn by_function(function: FunctionId, target: TypeRef, explicit: bool) -> Option<Self> {
        let function = catalog::function(function)?;
        let mut extra = Vec::new();
        if function.args.len() > 1 {
            extra.push(Value::Int4(target.typmod));
        }
        if function.args.len() > 2 {
            extra.push(Value::Bool(explicit));
        }
        Some(Self::Function {
            implementation: registry::find(function.source)?,
            types: function.args.to_vec(),
            result: function.result,
            target: target.id,
            strict: function.strict,
            extra,
        })
    }

    /// The function that makes a value fit its type's modifier: `pg_cast`'s cast of the type to itself.
    fn length(target: TypeRef, explicit: bool) -> Option<Self> {
        match catalog::cast(target.id, target.id) {
            Some(cast) => Self::by_function(cast.function, target, explicit),
            None => Some(Self::Relabel(target.id)),
        }
    }

    pub(super) fn apply(&self, value: Value, context: &Context) -> Result<Value> {
        match self {
            Self::Relabel(target) => Ok(relabel(value, *target)),
            _ if value.is_null() && self.is_strict() => Ok(Value::Null),
            Self::Function { implementation, types, result, target, extra, .. } => {
                let call =
                    CallContext { context, arguments: types, result: *result, variadic: false };
                let value = if extra.is_empty() {
                    implementation(&call, &[value])?
                } else {
                    let extra = extra.iter().cloned();
                    let args: Vec<Value> = std::iter::once(value).chain(extra).collect();
                    implementation(&call, &args)?
                };
                Ok(if result == target { value } else { relabel(value, *target) })
            }
            Self::InputOutput { source, target } => {
                let mut out = Vec::new();
                let text = match &value {
                    Value::Text(text) | Value::Json(text) => text,
                    other => {
                        crate::io::text::output(other, *source, context, &mut out);
                        std::str::from_utf8(&out)
                            .map_err(|_| PgError::internal("a type's text form is not UTF-8"))?
                    }
                };
                crate::io::text::input(text, *target, context)
            }
            Self::Array { element, steps } => {
                let Value::Array(array) = value else {
                    return Err(PgError::internal(format!("{value:?} is no array")));
                };
                let convert = |value: &Value| {
                    steps.iter().try_fold(value.clone(), |value, step| step.apply(value, context))
                };
                let elements = array.elements.iter().map(convert).collect::<Result<Vec<_>>>()?;
                Ok(Value::Array(Arc::new(Array {
                    element_type: *element,
                    dimensions: array.dimensions.clone(),
                    elements,
                })))
            }
        }
    }

    fn is_strict(&self) -> bool {
        match self {
            Self::Function { strict, .. } => *strict,
            _ => true,
        }
    }
}

/// The same value in the representation of a binary-compatible type.
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "integer and oid are relabelled bit by bit"
)]
fn relabel(value: Value, target: TypeId) -> Value {
    match (value, target) {
        (Value::Text(text), TypeId::BPCHAR) => Value::Bpchar(text),
        (Value::Bpchar(text), TypeId::TEXT | TypeId::VARCHAR) => Value::Text(text),
        (Value::Int4(value), target) if target.is_oid() => Value::Oid(value as u32),
        (Value::Oid(value), TypeId::INT4) => Value::Int4(value as i32),
        (value, _) => value,
    }
}
