//! UPDATE and DELETE whose records are found above the shards, and then changed by their keys.
//!
//! The rows to change are those of a query over the target and its sources, which is planned as any query. For each record the
//! query gives its key, the values that the statement read of it, and the new values. The shard changes the record only if it
//! still has the values that were read: what another transaction changed in between is not overwritten by a value computed from
//! what was there before, and the statement fails with `40001` instead.

use std::collections::BTreeMap;

use dataman_node_protocol::capability::Feature;
use dataman_node_protocol::query::{
    Condition, Delete, NamedType, NodeQuery, OutputField, Select, Source, Update,
};
use dataman_pg::expr::Field;
use dataman_pg::resolve::Resolver;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, eval};

use super::Planner;
use super::bind::{SnapshotTypes, Table};
use super::condition::{self, Fields};
use super::form::{self, replace, walk};
use super::global::GlobalKeys;
use super::operator::{ChangePlan, Root};
use super::select::Result;
use super::sources::all_of;
use super::split::{check_decodable, named};

/// What is changed, seen apart from how.
pub(super) struct Change {
    /// The collection's alias in the statement.
    pub(super) alias: String,
    /// The statement seen as a select over the target and its sources: FROM, WHERE and the subqueries.
    pub(super) seen: Select,
    /// The new values of an UPDATE; none for DELETE.
    pub(super) set: Option<Vec<(String, Expr)>>,
    /// The unique keys that it adds to, and that no shard alone can keep.
    pub(super) keys: Option<GlobalKeys>,
    /// RETURNING.
    pub(super) returning: Vec<OutputField>,
    /// The target of the node query.
    pub(super) target: dataman_node_protocol::query::Target,
}

impl Planner<'_> {
    /// Plans a change whose records are found above the shards.
    ///
    /// # Errors
    /// `0A000` where a record cannot be named by a key, or an engine cannot do its part.
    pub(super) fn change(&mut self, change: Change) -> Result<Root> {
        let Change { alias, mut seen, set, keys: mut global, returning, target } = change;
        let table = self.table(&alias)?;
        let datastore = table.collection.datastore.clone();
        let Some(key) = identity(&table) else {
            return Err(PgError::unsupported(
                "changing rows of a table without a primary key by rows of other shards is not supported",
            )
            .with_hint("Give the table a primary key."));
        };
        if !returning.is_empty()
            && !self.supports(Feature::Returning, &datastore, &self.shards_of_table(&table))
        {
            return Err(PgError::unsupported(
                "RETURNING is not supported by the shards' databases",
            ));
        }
        let field = |column: &NamedType| {
            Expr::Field(Field { source: alias.clone(), name: column.name.clone(), ty: column.ty })
        };
        let columns = columns_of(&table);
        // What the statement reads of the record decides whether and how it is changed.
        let mut read = Fields::new();
        form::for_each_select(&seen, &mut |inner| {
            form::for_each_expr(inner, &mut |expr| condition::read(expr, &mut read));
        });
        set.iter().flatten().for_each(|(_, value)| condition::read(value, &mut read));
        // What a unique key reads must not have changed either.
        for key in global.iter().flat_map(|global| &global.keys) {
            read.extend(key.fields.iter().map(|field| (alias.clone(), field.name.clone())));
        }
        let checked: Vec<&NamedType> = columns
            .iter()
            .filter(|column| {
                !key.contains(&column.name) && read.contains(&(alias.clone(), column.name.clone()))
            })
            .collect();
        let keys: Vec<&NamedType> =
            columns.iter().filter(|column| key.contains(&column.name)).collect();
        let mut find: Vec<Expr> = keys.iter().chain(&checked).map(|column| field(column)).collect();
        let mut conditions = Vec::new();
        for (place, column) in keys.iter().chain(&checked).enumerate() {
            let same = self.equal(field(column), parameter(place, column.ty)?)?;
            let Expr::Call(call) = same else {
                return Err(PgError::internal("an equality is a call"));
            };
            conditions.push(if place < keys.len() {
                Expr::Call(call)
            } else {
                Expr::Distinct { call: Box::new(call), negated: true }
            });
        }
        let filter = all_of(conditions);
        let found_at =
            |name: &str| keys.iter().chain(&checked).position(|column| column.name == name);
        for key in global.iter_mut().flat_map(|global| &mut global.keys) {
            key.old_places = key.fields.iter().filter_map(|field| found_at(&field.name)).collect();
            key.places = key.old_places.iter().copied().map(Some).collect();
        }
        let mut record_op = Vec::new();
        for (name, value) in set.iter().flatten() {
            let ty = columns.iter().find(|column| column.name == *name).map_or(
                value.type_ref(),
                |column| TypeRef { id: column.ty.id, ..value.type_ref() },
            );
            record_op.push((name.clone(), parameter(find.len(), ty)?));
            for key in global.iter_mut().flat_map(|global| &mut global.keys) {
                for (field, place) in key.fields.iter().zip(&mut key.places) {
                    if field.name == *name {
                        *place = Some(find.len());
                    }
                }
            }
            find.push(value.clone());
        }
        let params: Vec<TypeId> = find.iter().map(Expr::type_id).collect();
        // RETURNING sees the new record, which the shard gives, and the other sources' columns, which the query gives.
        let mut outputs: Vec<Expr> = returning.iter().filter_map(output).cloned().collect();
        let mut given: Vec<NamedType> = Vec::new();
        let mut beside: Vec<Expr> = Vec::new();
        for expr in &mut outputs {
            let mut has_subquery = false;
            walk(expr, &mut |node| has_subquery |= matches!(node, Expr::Subquery { .. }));
            if has_subquery {
                return Err(PgError::unsupported(
                    "a subquery in RETURNING of a change by rows of other shards is not supported yet",
                ));
            }
            walk(&expr.clone(), &mut |node| {
                if let Expr::Field(read) = node {
                    if read.source == alias {
                        if !given.iter().any(|column| column.name == read.name) {
                            given.push(NamedType { name: read.name.clone(), ty: read.ty });
                        }
                    } else if !beside.contains(node) {
                        beside.push(node.clone());
                    }
                }
            });
        }
        for expr in &mut outputs {
            *expr = replace(expr, &mut |node| match node {
                Expr::Field(read) if read.source == alias => {
                    let index = given.iter().position(|column| column.name == read.name)?;
                    Some(Expr::Column { index, ty: read.ty })
                }
                Expr::Field(read) => {
                    let place = beside.iter().position(|known| known == node)?;
                    Some(Expr::Column { index: given.len() + find.len() + place, ty: read.ty })
                }
                _ => None,
            });
            eval::check_computed(expr)?;
        }
        find.extend(beside);
        for expr in &find {
            check_decodable(expr.type_ref())?;
        }
        for column in &given {
            check_decodable(column.ty)?;
        }
        seen.fields = named(&find);
        let has_sources = seen.source.len() > 1;
        let find = self.select(seen, None)?;
        let node_returning: Vec<OutputField> = given
            .iter()
            .map(|column| OutputField::Bound { expr: field(column), name: column.name.clone() })
            .collect();
        let filter = Some(Condition::Expr(filter));
        let query = if set.is_some() {
            NodeQuery::Update(Update {
                target,
                alias: alias.clone(),
                record_op,
                record: serde_json::Map::new(),
                source: Vec::new(),
                filter,
                returning: node_returning,
                subqueries: Vec::new(),
            })
        } else {
            NodeQuery::Delete(Delete {
                target,
                alias: alias.clone(),
                source: Vec::new(),
                filter,
                returning: node_returning,
                subqueries: Vec::new(),
            })
        };
        self.check_change_carried_out(&query, &table)?;
        let place_of = |name: &String| keys.iter().position(|column| column.name == *name);
        let shard_key: Option<Vec<usize>> =
            table.collection.shard_key().iter().map(place_of).collect();
        let shard_key =
            shard_key.ok_or_else(|| PgError::internal("a unique key holds the shard key"))?;
        Ok(Root::Change(Box::new(ChangePlan {
            find,
            has_sources,
            query,
            params,
            keys: keys.len(),
            shard_key,
            key_types: keys.iter().map(|column| column.ty).collect(),
            given: given.iter().map(|column| column.ty).collect(),
            returning: outputs,
            global,
            placement: table.collection.placement.clone(),
            shard_count: self.shard_count(&datastore),
            datastore,
            database: self.context.database.into(),
            statements: BTreeMap::new(),
        })))
    }

    /// `left = right` by the types' own operator.
    pub(super) fn equal(&mut self, left: Expr, right: Expr) -> Result<Expr> {
        let database = self
            .context
            .snapshot
            .databases
            .get(&self.context.database.into())
            .ok_or_else(|| PgError::internal("the session's database is not there"))?;
        let types = SnapshotTypes::new(database);
        let ty = left.type_id();
        let mut resolver = Resolver { params: &mut self.parameters, types: &types };
        resolver.binary("=", left, right).map_err(|_| {
            let name = dataman_pg::catalog::type_by_id(ty).map_or("?", |found| found.name);
            PgError::unsupported(format!(
                "a change by rows of other shards that reads a column of type {name} is not supported"
            ))
            .with_hint("The type has no equality, by which to see that the row has not changed.")
        })
    }

    fn check_change_carried_out(&self, query: &NodeQuery, table: &Table) -> Result<()> {
        let mut copy = query.clone();
        let mut result = Ok(());
        super::visit::each_query_expr_mut(&mut copy, &mut |expr| {
            if result.is_ok() {
                result = self.check_exact(expr, table);
            }
        });
        result
    }
}

fn parameter(place: usize, ty: TypeRef) -> Result<Expr> {
    let index = u16::try_from(place + 1)
        .map_err(|_| PgError::unsupported("a change of so many columns is not supported"))?;
    Ok(Expr::Param { index, ty: ty.id })
}

fn output(field: &OutputField) -> Option<&Expr> {
    match field {
        OutputField::Bound { expr, .. } => Some(expr),
        OutputField::Named(_) => None,
    }
}

/// The fields by which a record is named: those of the primary key, else of a unique key without NULLs, with the shard key
/// among them.
fn identity(table: &Table) -> Option<Vec<String>> {
    let collection = &table.collection;
    let is_never_null = |key: &[&str]| {
        key.iter().all(|name| collection.field(name).is_some_and(|field| field.not_null))
    };
    let key = match collection.primary_key() {
        Some(key) => key.iter().map(String::as_str).collect(),
        None => collection.unique_keys().find(|key| is_never_null(key))?,
    };
    let mut key: Vec<String> = key.into_iter().map(str::to_owned).collect();
    for field in collection.shard_key() {
        if !key.contains(field) {
            key.push(field.clone());
        }
    }
    Some(key)
}

fn columns_of(table: &Table) -> Vec<NamedType> {
    table
        .collection
        .fields
        .iter()
        .map(|field| NamedType {
            name: field.name.clone(),
            ty: TypeRef { id: TypeId(field.type_oid), typmod: field.typmod },
        })
        .collect()
}

/// The target as a source, ahead of the others.
pub(super) fn seen_over(table: &Table, alias: &str, others: &[Source]) -> Vec<Source> {
    std::iter::once(super::bind::source_of(table, alias)).chain(others.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::planned;

    #[test]
    fn is_used_where_no_shard_can_answer_alone() {
        let text = planned("update other o set v = i.qty from items i where i.line = o.v", false)
            .map(|plan| plan.explain(crate::plan::ExplainFormat::Text).join("\n"))
            .expect("is planned");
        assert!(text.starts_with("Update by Key"), "{text}");
    }
}
