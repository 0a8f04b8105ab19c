//! INSERT, UPDATE and DELETE → what the shards are told.

use std::collections::BTreeMap;

use dataman_metadata::schema::{Constraint, ConstraintKind, Placement};
use dataman_node_protocol::capability::{Feature, is_exact_tree_in_write};
use dataman_node_protocol::node::ResultFormats;
use dataman_node_protocol::query::{
    CommonTable, Delete, NodeQuery, OutputField, Select, Source, Update,
};
use dataman_node_protocol::record::Format;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, eval};

use super::bind::{BoundInsert, BoundKind, InsertRows, Internal, Modifying, Table};
use super::change::{Change, seen_over};
use super::distribution::{
    Distribution, Prover, collection_aliases, collections_with_conditions, filter_conjuncts,
    inner_join_conditions, source_with_conditions,
};
use super::operator::{
    Agree, First, InsertPlan, InsertSource, Operator, Root, ShardRule, Table as CommonTablePlan,
    WritePlan,
};
use super::recurse::InScope;
use super::select::{Result, is_uncorrelated};
use super::{Planner, fold, form};
use crate::scatter::contract::ShardRef;

/// How a write is carried out.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is not kept")]
enum Found {
    /// As it is, on these shards.
    Shards(ShardRule, Option<Agree>),
    /// By key.
    Change(Root),
}

impl Planner<'_> {
    /// Plans an INSERT: the proxy computes the rows and sends each to its shard.
    pub(super) fn insert(&mut self, bound: BoundInsert, with: Vec<CommonTable>) -> Result<Root> {
        let before = self.in_scope.len();
        for table in with {
            self.define(table)?;
        }
        let root = self.insert_over(bound);
        self.in_scope.truncate(before);
        root
    }

    /// Plans the statements of WITH that write, each a table of what it returns.
    pub(super) fn modifying(&mut self, modifying: Vec<Modifying>) -> Result<Vec<First>> {
        let mut firsts = Vec::new();
        for Modifying { name, columns, kind } in modifying {
            let alias = match &kind {
                BoundKind::Insert(insert) => insert.alias.clone(),
                BoundKind::Update(update) => update.alias.clone(),
                BoundKind::Delete(delete) => delete.alias.clone(),
                BoundKind::Select(_) | BoundKind::Copy(_) => String::new(),
            };
            let id = self.table(&alias)?.collection.id;
            if self.tables.values().filter(|table| table.collection.id == id).count() > 1 {
                return Err(PgError::unsupported(
                    "a table that a statement in WITH changes cannot be used again in the same statement",
                )
                .with_hint("All parts of the statement would have to see it as it was before: run them one after the other."));
            }
            let follows = |table: &Table| {
                table.collection.id != id && table.collection.constraints.iter().any(follows_others)
            };
            if self.tables.values().any(follows) {
                return Err(PgError::unsupported(
                    "a statement in WITH that writes, beside a table whose foreign key changes it with others, is not supported",
                )
                .with_hint("All parts of the statement would have to see it as it was before: run them one after the other."));
            }
            self.modifies = true;
            let columns: Vec<TypeRef> = columns.iter().map(|column| column.ty).collect();
            for column in &columns {
                super::split::check_decodable(*column)?;
            }
            let root = match kind {
                BoundKind::Insert(insert) => self.insert(*insert, Vec::new())?,
                BoundKind::Update(update) => self.update(*update, Vec::new())?,
                BoundKind::Delete(delete) => self.delete(*delete, Vec::new())?,
                BoundKind::Select(_) | BoundKind::Copy(_) => {
                    return Err(PgError::internal("a statement in WITH that only reads"));
                }
            };
            let place = self.common_tables.len();
            self.common_tables.push(CommonTablePlan {
                name: name.clone(),
                operator: Operator::Rows { rows: Vec::new(), columns: columns.clone() },
                streams: false,
            });
            let in_scope = InScope::Table { place, columns: columns.clone(), is_local: false };
            self.in_scope.push((name, in_scope));
            let formats = ResultFormats { formats: vec![Format::Binary; columns.len()] };
            firsts.push(First { root, table: place, columns, formats });
        }
        let takes_numbers = self.facts.numbers
            || self
                .parameters
                .internal()
                .iter()
                .any(|internal| matches!(internal, Internal::NextValue(..)));
        if takes_numbers && !firsts.is_empty() {
            return Err(PgError::unsupported(
                "numbers of a sequence beside a data-modifying statement in WITH are not supported yet",
            ));
        }
        Ok(firsts)
    }

    fn insert_over(&mut self, bound: BoundInsert) -> Result<Root> {
        let BoundInsert { insert: mut form_query, alias, rows, subqueries } = bound;
        let table = self.table(&alias)?;
        let datastore = table.collection.datastore.clone();
        let shard_count = self.shard_count(&datastore);

        let rows = match rows {
            InsertRows::Values(mut rows) => {
                for expr in rows.iter_mut().flatten() {
                    self.row_value(expr, &subqueries)?;
                }
                InsertSource::Values(rows)
            }
            InsertRows::Query { select, mut fields } => {
                for expr in &mut fields {
                    self.row_value(expr, &subqueries)?;
                }
                let mut select = *select;
                super::unread::forget_unread(&mut select, &mut self.facts.whole);
                fold::fold_select(&mut select, &mut self.parameters);
                super::condition::factor(&mut select);
                let operator = self.select(select, None)?;
                InsertSource::Query { operator, fields }
            }
        };
        self.subqueries_of_insert_first(&mut form_query)?;
        if let Some(conflict) = &mut form_query.conflict {
            conflict.set.iter_mut().for_each(|(_, value)| fold::fold(value, &mut self.parameters));
            conflict.filter.iter_mut().for_each(|filter| fold::fold(filter, &mut self.parameters));
            if let Some(key) =
                conflict.set.iter().find(|(name, _)| table.collection.shard_key().contains(name))
            {
                return Err(changes_key(&key.0));
            }
        }
        form::output_exprs_mut(&mut form_query.returning, &mut |expr| {
            fold::fold(expr, &mut self.parameters)
        });
        self.check_insert_carried_out(&form_query, &table)?;

        let global = self.inserted_keys(&table, &form_query)?;
        let key_places = table
            .collection
            .shard_key()
            .iter()
            .map(|key| form_query.fields.iter().position(|field| field.name == *key))
            .collect::<Option<Vec<usize>>>();
        let Some(key_places) = key_places else {
            let missing = table
                .collection
                .shard_key()
                .iter()
                .find(|key| form_query.fields.iter().all(|field| field.name != **key))
                .cloned()
                .unwrap_or_default();
            return Err(missing_key(&missing, &table));
        };
        Ok(Root::Insert(Box::new(InsertPlan {
            form: form_query,
            rows,
            placement: table.collection.placement.clone(),
            key_places,
            datastore,
            database: self.context.database.into(),
            shard_count,
            statements: BTreeMap::new(),
            label: table.name,
            global,
        })))
    }

    pub(super) fn table(&self, alias: &str) -> Result<Table> {
        self.tables
            .get(alias)
            .cloned()
            .ok_or_else(|| PgError::internal("the target of a write is not known"))
    }

    /// A value of a row: subqueries run first, the rest is computed by the proxy.
    fn row_value(&mut self, expr: &mut Expr, subqueries: &[Select]) -> Result<()> {
        let mut result = Ok(());
        form::each_node_mut(expr, &mut |node| {
            if result.is_err() {
                return;
            }
            if let Expr::Subquery { index, .. } = node
                && let Some(subquery) = subqueries.get(*index)
            {
                let mut subquery = subquery.clone();
                super::unread::forget_unread(&mut subquery, &mut self.facts.whole);
                fold::fold_select(&mut subquery, &mut self.parameters);
                match self.first(subquery, node, Vec::new()) {
                    Ok(replacement) => *node = replacement,
                    Err(error) => result = Err(error),
                }
            }
        });
        result?;
        eval::check_computed(expr)
    }

    /// Runs the subqueries of ON CONFLICT and RETURNING first, where they read nothing of the row.
    fn subqueries_of_insert_first(
        &mut self,
        insert: &mut dataman_node_protocol::query::Insert,
    ) -> Result<()> {
        let subqueries = std::mem::take(&mut insert.subqueries);
        if subqueries.is_empty() {
            return Ok(());
        }
        if !subqueries.iter().all(is_uncorrelated) {
            insert.subqueries = subqueries;
            return Ok(());
        }
        let mut exprs: Vec<&mut Expr> = Vec::new();
        if let Some(conflict) = &mut insert.conflict {
            exprs.extend(conflict.set.iter_mut().map(|(_, value)| value));
            exprs.extend(&mut conflict.filter);
        }
        for field in &mut insert.returning {
            if let OutputField::Bound { expr, .. } = field {
                exprs.push(expr);
            }
        }
        for expr in exprs {
            let mut result = Ok(());
            form::each_node_mut(expr, &mut |node| {
                if result.is_ok()
                    && let Expr::Subquery { index, .. } = node
                    && let Some(subquery) = subqueries.get(*index)
                {
                    let mut subquery = subquery.clone();
                    super::unread::forget_unread(&mut subquery, &mut self.facts.whole);
                    fold::fold_select(&mut subquery, &mut self.parameters);
                    match self.first(subquery, node, Vec::new()) {
                        Ok(replacement) => *node = replacement,
                        Err(error) => result = Err(error),
                    }
                }
            });
            result?;
        }
        Ok(())
    }

    fn check_insert_carried_out(
        &self,
        insert: &dataman_node_protocol::query::Insert,
        table: &Table,
    ) -> Result<()> {
        let datastore = &table.collection.datastore;
        if !insert.subqueries.is_empty() {
            return Err(PgError::unsupported(
                "a subquery in ON CONFLICT or RETURNING is not supported yet",
            ));
        }
        if insert.conflict.is_some()
            && !self.supports(Feature::Conflict, datastore, &self.shards_of_table(table))
        {
            return Err(PgError::unsupported(
                "ON CONFLICT is not supported by the shards' databases",
            ));
        }
        let mut exprs: Vec<&Expr> = insert.returning.iter().filter_map(output).collect();
        if let Some(conflict) = &insert.conflict {
            exprs.extend(conflict.set.iter().map(|(_, value)| value));
            exprs.extend(&conflict.filter);
        }
        for expr in exprs {
            self.check_exact(expr, table)?;
        }
        Ok(())
    }

    /// Refuses an expression that the table's shards do not compute exactly.
    pub(super) fn check_exact(&self, expr: &Expr, table: &Table) -> Result<()> {
        let datastore = &table.collection.datastore;
        for shard in self.shards_of_table(table) {
            let shard = ShardRef { datastore: datastore.clone(), shard };
            if let Some(capability) = self.capability(&shard)
                && !is_exact_tree_in_write(capability, expr)
            {
                let mut named = eval::check_computed(expr).err();
                return Err(named.take().unwrap_or_else(|| {
                    PgError::unsupported(format!(
                        "an expression of the statement cannot be carried out exactly by {}",
                        capability.engine()
                    ))
                }));
            }
        }
        Ok(())
    }

    /// Plans an UPDATE. `with` are common tables that are more than a query put in place.
    pub(super) fn update(&mut self, mut update: Update, with: Vec<CommonTable>) -> Result<Root> {
        let table = self.table(&update.alias)?;
        if let Some((key, _)) =
            update.record_op.iter().find(|(name, _)| table.collection.shard_key().contains(name))
        {
            return Err(changes_key(key));
        }
        let mut query = NodeQuery::Update(update.clone());
        super::visit::each_query_expr_mut(&mut query, &mut |expr| {
            fold::fold(expr, &mut self.parameters)
        });
        if let NodeQuery::Update(folded) = query {
            update = folded;
        }
        let exprs: Vec<Expr> = update
            .record_op
            .iter()
            .map(|(_, value)| value.clone())
            .chain(update.returning.iter().filter_map(output).cloned())
            .collect();
        // The write seen as a select over the target and its sources.
        let mut seen = Select {
            source: seen_over(&table, &update.alias, &update.source),
            filter: update.filter.clone(),
            fields: super::split::named(&exprs),
            subqueries: update.subqueries.clone(),
            with,
            ..Select::default()
        };
        let change = Change {
            alias: update.alias.clone(),
            seen: seen.clone(),
            keys: None,
            set: Some(update.record_op.clone()),
            returning: update.returning.clone(),
            target: update.target.clone(),
        };
        let sets = |name: &str| update.record_op.iter().any(|(set, _)| set == name);
        if let Some(keys) = self.updated_keys(&table, sets)? {
            // Which keys are new has to be known before they are written.
            return self.change(Change { keys: Some(keys), ..change });
        }
        let (shards, agree) = match self.shards_or_change(&mut seen, &table, change)? {
            Found::Shards(shards, agree) => (shards, agree),
            Found::Change(root) => return Ok(root),
        };
        // What planning changed in the select goes back into the update.
        update.source = seen.source.into_iter().skip(1).collect();
        update.filter = seen.filter;
        let mut fields = seen.fields.into_iter().filter_map(|field| match field {
            OutputField::Bound { expr, .. } => Some(expr),
            OutputField::Named(_) => None,
        });
        for ((_, value), new) in update.record_op.iter_mut().zip(&mut fields) {
            *value = new;
        }
        for (field, new) in update.returning.iter_mut().zip(fields) {
            if let OutputField::Bound { expr, .. } = field {
                *expr = new;
            }
        }
        update.subqueries = seen.subqueries;
        let columns = outputs(&update.returning);
        self.write(NodeQuery::Update(update), columns, shards, agree, &table)
    }

    /// Plans a DELETE. `with` as for [`Planner::update`].
    pub(super) fn delete(&mut self, mut delete: Delete, with: Vec<CommonTable>) -> Result<Root> {
        let table = self.table(&delete.alias)?;
        let mut query = NodeQuery::Delete(delete.clone());
        super::visit::each_query_expr_mut(&mut query, &mut |expr| {
            fold::fold(expr, &mut self.parameters)
        });
        if let NodeQuery::Delete(folded) = query {
            delete = folded;
        }
        let exprs: Vec<Expr> = delete.returning.iter().filter_map(output).cloned().collect();
        let mut seen = Select {
            source: seen_over(&table, &delete.alias, &delete.source),
            filter: delete.filter.clone(),
            fields: super::split::named(&exprs),
            subqueries: delete.subqueries.clone(),
            with,
            ..Select::default()
        };
        let change = Change {
            alias: delete.alias.clone(),
            seen: seen.clone(),
            keys: None,
            set: None,
            returning: delete.returning.clone(),
            target: delete.target.clone(),
        };
        let (shards, agree) = match self.shards_or_change(&mut seen, &table, change)? {
            Found::Shards(shards, agree) => (shards, agree),
            Found::Change(root) => return Ok(root),
        };
        delete.source = seen.source.into_iter().skip(1).collect();
        delete.filter = seen.filter;
        for (field, new) in delete.returning.iter_mut().zip(seen.fields) {
            if let (OutputField::Bound { expr, .. }, OutputField::Bound { expr: new, .. }) =
                (field, new)
            {
                *expr = new;
            }
        }
        delete.subqueries = seen.subqueries;
        let columns = outputs(&delete.returning);
        self.write(NodeQuery::Delete(delete), columns, shards, agree, &table)
    }

    /// Where a write runs as it is; else the write by key of records found above the shards.
    fn shards_or_change(
        &mut self,
        seen: &mut Select,
        table: &Table,
        change: Change,
    ) -> Result<Found> {
        if !seen.with.is_empty() || super::recurse::reads_table_around(seen) {
            // The rows of these tables are above the shards.
            return self.change(change).map(Found::Change);
        }
        let saved = (self.subplans.len(), self.parameters.clone(), self.applies.len());
        let tables = self.common_tables.len();
        let refused = match self.write_shards(seen, table, &change.alias) {
            Ok((shards, None)) => return Ok(Found::Shards(shards, None)),
            Ok((shards, Some((rules, refused)))) => {
                let otherwise = match self.change(change) {
                    Ok(Root::Change(change)) => Ok(change),
                    Ok(_) => Err(refused),
                    Err(error) if error.hint().is_some() => Err(error),
                    Err(_) => Err(refused),
                };
                return Ok(Found::Shards(shards, Some((rules, otherwise))));
            }
            Err(error) if error.sqlstate() == "0A000" => error,
            Err(error) => return Err(error),
        };
        self.subplans.truncate(saved.0);
        self.parameters = saved.1;
        self.applies.truncate(saved.2);
        self.common_tables.truncate(tables);
        self.change(change).map(Found::Change).map_err(|error| {
            let says_less = error.sqlstate() == "0A000" && error.hint().is_none();
            if says_less { refused } else { error }
        })
    }

    fn write(
        &mut self,
        query: NodeQuery,
        columns: Vec<TypeRef>,
        shards: ShardRule,
        agree: Option<Agree>,
        table: &Table,
    ) -> Result<Root> {
        let copies = matches!(table.collection.placement, Placement::Reference)
            && self.shard_count(&table.collection.datastore) > 1;
        let scan = self.node_scan(query, columns, shards, &table.collection.datastore, None);
        Ok(Root::Write(Box::new(WritePlan { scan, agree, copies })))
    }

    /// Where a write runs. With rules that must agree, the write is right only on the one shard they agree on.
    #[expect(
        clippy::type_complexity,
        reason = "the rule for pruning and, where needed, the rules that must agree"
    )]
    fn write_shards(
        &mut self,
        seen: &mut Select,
        table: &Table,
        alias: &str,
    ) -> Result<(ShardRule, Option<(Vec<ShardRule>, PgError)>)> {
        let datastore = table.collection.datastore.clone();
        let aliases = collection_aliases(seen);
        let Some(one) = self.one_datastore(&aliases) else {
            return Err(PgError::unsupported(
                "a write that reads another datastore is not supported yet",
            ));
        };
        debug_assert_eq!(one, datastore, "the target is among the sources");
        let others = seen.source.len() > 1;
        let shards = self.shards_of_table(table);
        if others && !self.supports(Feature::WriteJoin, &datastore, &shards) {
            return Err(PgError::unsupported(
                "FROM and USING in writes are not supported by the shards' databases",
            ));
        }
        if self.shard_count(&datastore) > 1 {
            self.write_subqueries_first(seen, alias)?;
        }
        if !self.carried_out_in_write(seen, &datastore, &shards) {
            let named = {
                let mut error = None;
                form::for_each_expr(seen, &mut |expr| {
                    if error.is_none() {
                        error = eval::check_computed(expr)
                            .err()
                            .filter(|_| self.check_exact(expr, table).is_err());
                    }
                });
                error
            };
            return Err(named.unwrap_or_else(|| {
                PgError::unsupported(
                    "the statement cannot be carried out exactly by the shards' databases",
                )
            }));
        }
        if let Placement::Reference = table.collection.placement {
            // Every copy computes the same from the same rows.
            let same = aliases.iter().all(|alias| {
                self.tables
                    .get(alias)
                    .is_some_and(|table| matches!(table.collection.placement, Placement::Reference))
            });
            if self.shard_count(&datastore) == 1 {
                return Ok((ShardRule::All, None));
            }
            if !same {
                return Err(PgError::unsupported(
                    "changing a reference table by rows of tables that are not reference tables is not supported yet",
                ));
            }
            if self.facts.volatile {
                return Err(PgError::unsupported("a volatile function in a change of a reference table is not supported")
                    .with_hint("Every copy would compute another value: compute it first, and send it as a parameter."));
            }
            return Ok((ShardRule::All, None));
        }
        if let Some(rule) = self.one_place(&aliases, &datastore) {
            return Ok((rule, None));
        }
        let prover = Prover { tables: &self.tables };
        let refused = match prover.block(seen, &[]) {
            Ok(Distribution::Spread(_)) => return Ok((self.prune_target(seen, alias), None)),
            Ok(Distribution::Single(shard)) => return Ok((ShardRule::One(shard), None)),
            Ok(Distribution::Replicated) => return Ok((ShardRule::All, None)),
            Err(error) => error,
        };
        let mut found = Vec::new();
        collections_with_conditions(seen, &[], &mut found);
        match self.rules_of(&found) {
            Some(rules) => Ok((ShardRule::All, Some((rules, refused)))),
            None => Err(refused),
        }
    }

    /// Uncorrelated subqueries that a shard alone cannot answer run first.
    fn write_subqueries_first(&mut self, seen: &mut Select, _alias: &str) -> Result<()> {
        debug_assert!(seen.union.is_empty(), "a write is one block");
        if seen.subqueries.iter().any(is_uncorrelated) {
            self.run_subqueries_first(seen, super::select::First::Leaving)?;
        }
        Ok(())
    }

    /// The shards that can have a record to change: every changed record is one of the target's.
    fn prune_target(&self, seen: &Select, alias: &str) -> ShardRule {
        let mut conditions = Vec::new();
        filter_conjuncts(seen.filter.as_ref(), &mut conditions);
        for source in &seen.source {
            inner_join_conditions(source, &mut conditions);
        }
        let mut found = Vec::new();
        if let Some(target @ Source::Collection { .. }) = seen.source.first() {
            source_with_conditions(target, &conditions, &mut found);
        }
        debug_assert!(found.iter().all(|(found, _)| *found == alias), "the target comes first");
        self.rules_of(&found).and_then(|rules| rules.into_iter().next()).unwrap_or(ShardRule::All)
    }
}

fn output(field: &OutputField) -> Option<&Expr> {
    match field {
        OutputField::Bound { expr, .. } => Some(expr),
        OutputField::Named(_) => None,
    }
}

fn outputs(fields: &[OutputField]) -> Vec<TypeRef> {
    fields.iter().filter_map(output).map(Expr::type_ref).collect()
}

fn changes_key(name: &str) -> PgError {
    PgError::unsupported(format!("changing the shard key column \"{name}\" is not supported"))
        .with_hint("Delete the row and insert it with the new key.")
}

/// The error of a row without its shard key: the column is NOT NULL.
pub(crate) fn missing_key(name: &str, table: &Table) -> PgError {
    PgError::new(
        "23502",
        format!(
            "null value in column \"{name}\" of relation \"{}\" violates not-null constraint",
            table.name
        ),
    )
}

/// Whether a foreign key changes its table's rows when those that they refer to are changed.
fn follows_others(constraint: &Constraint) -> bool {
    let changes = |action: &str| !matches!(action, "no action" | "restrict");
    match &constraint.kind {
        ConstraintKind::ForeignKey { on_delete, on_update, .. } => {
            changes(on_delete) || changes(on_update)
        }
        _ => false,
    }
}
