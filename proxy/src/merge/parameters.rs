//! The values of parameters: what the client sent, and what the proxy computes itself.

use std::sync::Arc;

use bytes::Bytes;
use dataman_node_protocol::record::Format;
use dataman_pg::types::TypeRef;
use dataman_pg::value::Array;
use dataman_pg::{Context, PgError, TypeId, Value};

use super::limit::Limits;
use super::open::Run;
use super::rows::decode;
use crate::error::Error;
use crate::plan::operator::{Operator, SubPlanKind};
use crate::plan::{Internal, Plan};

impl<'a> Run<'a> {
    /// Reads the client's parameters and computes the internal ones, subqueries included. Numbers of sequences that an
    /// INSERT takes for each row are left NULL here.
    pub(crate) async fn compute_parameters(&mut self) -> Result<(), Error> {
        let plan: &'a Plan = self.plan;
        let mut values = Vec::with_capacity(plan.params.len());
        for (place, ty) in plan.params.iter().enumerate() {
            let bytes = self.execution.parameters.values.get(place).cloned().flatten();
            let format = self.execution.parameters.formats.get(place).copied().unwrap_or_default();
            values.push(
                match decode(bytes.as_deref(), TypeRef::plain(*ty), format, self.context()) {
                    Ok(value) => value,
                    // A type that only databases know passes through; nothing here computes with it.
                    Err(error) if error.sqlstate() == "0A000" => Value::Null,
                    Err(error) => return Err(error.into()),
                },
            );
        }
        // A statement declares all parameters; those that are not computed yet are NULL, and nothing run so far reads them.
        let count = plan.params.len() + plan.parameters.internal().len();
        values.resize(count, Value::Null);
        self.values = Arc::new(values);
        self.parameters.formats.resize(plan.params.len(), Format::Text);
        self.parameters.formats.resize(count, Format::Binary);
        self.parameters.values.resize(count, None);
        for (place, ty) in plan.params.iter().enumerate().filter(|(_, ty)| ty.is_user()) {
            let value = self.values[place].clone();
            self.set(place, value, *ty);
            self.parameters.formats[place] = Format::Binary;
        }
        for (place, internal) in plan.parameters.internal().iter().enumerate() {
            let value = match internal {
                Internal::Once(expr) => self.value(expr)?,
                Internal::RowsNeeded { limit, offset } => {
                    let limits = Limits::of(self, Some(limit), Some(offset))?;
                    match limits.limit {
                        Some(limit) => Value::Int8(
                            i64::try_from(limit.saturating_add(limits.offset)).unwrap_or(i64::MAX),
                        ),
                        None => Value::Null,
                    }
                }
                Internal::NextValue(schema, name) if plan.tag == "SELECT" => {
                    let mut numbers = self.execution.sequences.next(schema, name, 1).await?;
                    numbers.pop().map_or(Value::Null, Value::Int8)
                }
                Internal::NextValue(..) | Internal::Outer(_) | Internal::Keys(_) => Value::Null,
                Internal::Subquery(subplan, _) => self.subquery(*subplan).await?,
            };
            self.set(plan.params.len() + place, value, internal.type_id());
        }
        Ok(())
    }

    pub(super) fn set(&mut self, place: usize, value: Value, ty: TypeId) {
        self.parameters.values[place] = encode(&value, ty);
        Arc::make_mut(&mut self.values)[place] = value;
    }

    async fn subquery(&mut self, place: usize) -> Result<Value, Error> {
        let plan: &'a Plan = self.plan;
        let subplan = plan
            .subplans
            .get(place)
            .ok_or_else(|| PgError::internal("a plan's subquery is not there"))?;
        for condition in &subplan.when {
            if self.value(condition)? != Value::Bool(true) {
                return Ok(Value::Null);
            }
        }
        let operator: &'a Operator = &subplan.operator;
        let rows = self.gather(operator, "a subquery").await?;
        Ok(match subplan.kind {
            SubPlanKind::Exists => Value::Bool(!rows.is_empty()),
            SubPlanKind::Scalar => {
                if rows.len() > 1 {
                    return Err(PgError::new(
                        "21000",
                        "more than one row returned by a subquery used as an expression",
                    )
                    .into());
                }
                rows.into_iter()
                    .next()
                    .and_then(|row| row.into_iter().next())
                    .unwrap_or(Value::Null)
            }
            SubPlanKind::Array(element) => {
                let elements = rows.into_iter().filter_map(|row| row.into_iter().next()).collect();
                Value::Array(Arc::new(Array::vector(element, elements)))
            }
        })
    }
}

/// A value in binary, as it goes to a shard.
pub(crate) fn encode(value: &Value, ty: TypeId) -> Option<Bytes> {
    if value.is_null() {
        return None;
    }
    let mut bytes = Vec::new();
    // An array's binary form names its elements' type, which each shard knows by another number if it is a user's.
    if matches!(value, Value::Array(array) if array.element_type.is_user()) {
        dataman_pg::io::text::output(value, ty, &Context::default(), &mut bytes);
        return Some(Bytes::from(bytes));
    }
    dataman_pg::io::binary::encode(value, ty, &mut bytes);
    Some(Bytes::from(bytes))
}
