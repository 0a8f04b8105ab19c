//! Definitions. What a collection means is a row of the catalogue's table, written in the transaction; its table and columns are
//! changed from a session beside it, since MySQL commits with every definition.
//!
//! New tables, columns and indexes get names that nothing bears yet. Until the transaction commits no catalogue names them, and
//! what no catalogue names is never read or written; so what is cut short leaves nothing that could be mistaken for anything.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    AlterStep, CollectionShape, ConstraintKind, Definition, FieldShape, ForeignKeyAction,
    IndexShape, Maintenance,
};
use dataman_node_protocol::inspect::FoundTable;
use dataman_node_protocol::query::{SortKey, Target};
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Expr, Field};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value as Raw};
use tokio::sync::OwnedSemaphorePermit;

use super::adopted;
use super::catalogue::{Body, COLUMNS, Catalogue, Collection, TABLE, Unique};
use super::connect::{Server, Session};
use super::constraint::key_text;
use super::error::{classify, is_duplicate};
use super::layout::{
    Column, Form, Index, Layout, ROW, check_field, column_name, columns, index_name, instance_name,
    is_indexed_whole, quoted, table_name,
};
use super::statement::Statement;
use super::value::{exact, key, load};
use super::write::Record;
use crate::driver::sql::define::OLD;
use crate::driver::sql::stored::family;
use crate::driver::sql::{literal, user_name};

/// Records that a definition looks at or fills at a time.
const PAGE: usize = 1000;

/// The table of notes: no collection's.
const NOTES: &str = "^note";

/// Bytes of a key that an index of MySQL takes.
const KEY_BYTES_MAX: usize = 3072;

/// Columns of an index of MySQL.
const KEY_COLUMNS_MAX: usize = 16;

/// What a definition leaves to be done when its transaction ends.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// The texts that undo it, in order.
    pub(super) undo: Vec<String>,
    /// The texts that finish it, in order.
    pub(super) finish: Vec<String>,
    /// The tables that the transaction itself has read or written for it.
    pub(super) touched: Vec<String>,
}

/// Whether a definition changes the catalogue.
pub(super) fn needs_transaction(definition: &Definition) -> bool {
    !matches!(
        definition,
        Definition::CreateInstance { .. }
            | Definition::DropInstance { .. }
            | Definition::CreateEnum { .. }
            | Definition::DropEnum { .. }
            | Definition::Maintain(_)
    )
}

/// Makes or removes a shard instance; false for another definition.
pub(super) async fn of_instance(
    server: &Server,
    definition: &Definition,
) -> Result<bool, NodeError> {
    let texts = match definition {
        Definition::CreateInstance { shard_instance } => {
            let name = quoted(&instance_name(shard_instance));
            vec![
                format!(
                    "CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4 COLLATE {}",
                    server.flavour().collation()
                ),
                format!(
                    "CREATE TABLE IF NOT EXISTS {name}.{} ({COLUMNS}) ENGINE = InnoDB",
                    quoted(TABLE)
                ),
            ]
        }
        Definition::DropInstance { shard_instance } => {
            vec![format!("DROP DATABASE IF EXISTS {}", quoted(&instance_name(shard_instance)))]
        }
        _ => return Ok(false),
    };
    let (mut session, _permit) = server.beside().await?;
    for text in texts {
        session.conn.query_drop(text).await.map_err(classify)?;
    }
    server.give_back(session);
    Ok(true)
}

/// Carries out a definition within a shard instance, in the statement's transaction. `touched` are the tables that it has read or
/// written before.
///
/// # Errors
/// PostgreSQL's for what existing records forbid; `0A000` for what MySQL cannot hold exactly or change now.
pub(super) async fn define(
    statement: Statement<'_>,
    definition: &Definition,
    touched: &[String],
    leftover: &mut Leftover,
) -> Result<(), NodeError> {
    let mut definer = Definer { statement, touched, leftover, beside: None };
    let done = definer.define(definition).await;
    if let Some((session, _permit)) = definer.beside.take() {
        definer.statement.server.give_back(session);
    }
    done
}

struct Definer<'a, 's> {
    statement: Statement<'s>,
    touched: &'a [String],
    leftover: &'a mut Leftover,
    beside: Option<(Session, OwnedSemaphorePermit)>,
}

/// The same but for the database's name, which only messages show.
fn same_shape(left: &CollectionShape, right: &CollectionShape) -> bool {
    left.fields == right.fields
        && left.constraints == right.constraints
        && left.indexes == right.indexes
        && left.label == right.label
        && left.target.collection == right.target.collection
}

fn missing(target: &Target) -> NodeError {
    let name = user_name(&target.collection).1;
    NodeError::statement("42P01", format!("relation \"{name}\" does not exist"))
}

fn field_of<'s>(shape: &'s CollectionShape, name: &str) -> Result<&'s FieldShape, NodeError> {
    shape.fields.iter().find(|field| field.name == name).ok_or_else(|| {
        NodeError::statement(
            "42703",
            format!("column \"{name}\" of relation \"{}\" does not exist", shape.label),
        )
    })
}

/// What an index is over, as the shape says.
enum Keys<'s> {
    /// Fields, in order.
    Fields(Vec<&'s str>),
    /// Expressions.
    Expressions,
}

/// One index that a shape asks for.
struct Wanted<'s> {
    owner: &'s str,
    keys: Keys<'s>,
    is_unique: bool,
    /// It has a condition, or takes NULLs for alike.
    is_special: bool,
}

fn wanted(shape: &CollectionShape) -> Vec<Wanted<'_>> {
    let constraints = shape.constraints.iter().filter_map(|constraint| match &constraint.kind {
        ConstraintKind::PrimaryKey { fields } => Some((constraint, fields, false)),
        ConstraintKind::Unique { fields, nulls_not_distinct } => {
            Some((constraint, fields, *nulls_not_distinct))
        }
        _ => None,
    });
    let constraints = constraints.map(|(constraint, fields, is_special)| Wanted {
        owner: &constraint.name,
        keys: Keys::Fields(fields.iter().map(String::as_str).collect()),
        is_unique: true,
        is_special,
    });
    let indexes = shape.indexes.iter().map(|index| {
        let field = |key: &'_ SortKey| matches!(key.expr, Expr::Field(_));
        let keys = if index.keys.iter().all(field) {
            Keys::Fields(
                index
                    .keys
                    .iter()
                    .filter_map(|key| match &key.expr {
                        Expr::Field(field) => Some(field.name.as_str()),
                        _ => None,
                    })
                    .collect(),
            )
        } else {
            Keys::Expressions
        };
        let is_special = index.filter.is_some() || index.nulls_not_distinct;
        Wanted { owner: &index.name, keys, is_unique: index.unique, is_special }
    });
    constraints.chain(indexes).collect()
}

/// Refuses keys that have no order, and methods that are no B-tree.
fn check_keys(shape: &CollectionShape) -> Result<(), NodeError> {
    let check = |ty: TypeId| {
        if family(ty).is_some() {
            return Ok(());
        }
        Err(NodeError::statement(
            "42704",
            format!(
                "data type {} has no default operator class for access method \"btree\"",
                dataman_pg::catalog::format_type(ty, -1)
            ),
        ))
    };
    for constraint in &shape.constraints {
        if let ConstraintKind::PrimaryKey { fields } | ConstraintKind::Unique { fields, .. } =
            &constraint.kind
        {
            for field in fields {
                check(field_of(shape, field)?.ty.id)?;
            }
        }
        if let ConstraintKind::ForeignKey { on_delete, on_update, .. } = &constraint.kind
            && [on_delete, on_update].contains(&&ForeignKeyAction::SetDefault)
        {
            return Err(NodeError::unsupported("MySQL does not carry out SET DEFAULT"));
        }
    }
    for index in &shape.indexes {
        if !matches!(index.method.as_str(), "" | "btree" | "hash") {
            return Err(NodeError::unsupported(format!(
                "MySQL has no access method \"{}\"",
                index.method
            ))
            .with_hint("A btree index serves equality, ranges and sorting."));
        }
        for key in &index.keys {
            check(key.expr.type_id())?;
            if !index.unique && !matches!(key.expr, Expr::Field(_)) {
                return Err(NodeError::unsupported(
                    "MySQL has no index over expressions in PostgreSQL's meaning",
                )
                .with_hint("Index the columns, or a column that holds the expression."));
            }
        }
    }
    Ok(())
}

/// The first name that is free: the name itself, or with a number.
fn free_name(name: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}^{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| name.to_owned())
}

/// The columns of an ordinary index, with the lengths that MySQL asks of texts.
fn search_columns(fields: &[&Column]) -> String {
    let fields = &fields[..fields.len().min(KEY_COLUMNS_MAX)];
    let bytes_each = (KEY_BYTES_MAX / fields.len().max(1)).min(764);
    let part = |column: &&Column| {
        let name = quoted(&column.key());
        match column.form {
            Form::Integer | Form::Fixed => name,
            Form::Text | Form::Opaque => format!("{name}({})", bytes_each / 4),
            Form::Bytes | Form::Keyed => format!("{name}({bytes_each})"),
        }
    };
    fields.iter().map(part).collect::<Vec<_>>().join(", ")
}

impl Definer<'_, '_> {
    async fn define(&mut self, definition: &Definition) -> Result<(), NodeError> {
        match definition {
            Definition::CreateCollection(shape) => self.create(shape).await,
            Definition::DropCollection(target) => self.drop_collection(target).await,
            Definition::AlterCollection { step, to } => self.alter(step, to).await,
            Definition::CreateIndex { target, index } => {
                self.change_indexes(target, &index.name, Some(index)).await
            }
            Definition::DropIndex { target, name } => self.change_indexes(target, name, None).await,
            Definition::Truncate(targets) => self.truncate(targets).await,
            Definition::Maintain(maintenance) => self.maintain(maintenance).await,
            Definition::Note { shard_instance, work, keep } => {
                self.note(shard_instance, work, keep).await
            }
            // The labels of an enum come with each field that bears it.
            Definition::CreateEnum { .. } | Definition::DropEnum { .. } => Ok(()),
            Definition::Adopt { shape, found } => self.adopt(shape, found).await,
            Definition::Release(target) => self.drop_collection(target).await,
            Definition::CreateInstance { .. } | Definition::DropInstance { .. } => {
                Err(NodeError::unsupported("an instance is not made inside an instance"))
            }
        }
    }

    /// Notes that some work was done in this transaction. The table is made, and what is old removed, beside it.
    async fn note(
        &mut self,
        shard_instance: &str,
        work: &str,
        keep: &[String],
    ) -> Result<(), NodeError> {
        let table = format!("{}.{}", quoted(&instance_name(shard_instance)), quoted(NOTES));
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {table} (work VARBINARY(64) PRIMARY KEY, \
             noted TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB"
        );
        self.run_beside(&create, Vec::new()).await?;
        let kept: String = keep.iter().map(|work| format!(", {}", literal(work))).collect();
        let remove = format!(
            "DELETE FROM {table} WHERE noted < CURRENT_TIMESTAMP - INTERVAL 1 DAY AND work NOT IN (''{kept})"
        );
        self.run_beside(&remove, Vec::new()).await?;
        let text = format!("INSERT INTO {table} (work) VALUES (?)");
        self.statement.run(&text, vec![Raw::Bytes(work.as_bytes().to_vec())]).await?;
        Ok(())
    }

    /// The session beside the transaction.
    async fn beside(&mut self) -> Result<&mut Session, NodeError> {
        if self.beside.is_none() {
            self.beside = Some(self.statement.server.beside().await?);
        }
        match &mut self.beside {
            Some((session, _)) => Ok(session),
            None => Err(super::error::lost()),
        }
    }

    async fn run_beside(&mut self, text: &str, values: Vec<Raw>) -> Result<(), NodeError> {
        self.statement.check_stop()?;
        let session = self.beside().await?;
        if values.is_empty() {
            return session.conn.query_drop(text).await.map_err(classify);
        }
        session.conn.exec_drop(text, Params::Positional(values)).await.map_err(classify)
    }

    /// MySQL lets nobody change a table that an open transaction has read or written, the transaction itself included.
    fn check_untouched(&self, collection: &Collection) -> Result<(), NodeError> {
        if !self.touched.contains(&collection.table()) {
            return Ok(());
        }
        Err(NodeError::unsupported(format!(
            "relation \"{}\" cannot be changed on MySQL in a transaction that has read or written it",
            collection.shape.label
        ))
        .with_hint("Change it in a transaction before, or first in this one."))
    }

    /// Runs a query over collections: beside the transaction, which would hold the tables against further definitions, unless it
    /// has rows of them that only itself sees.
    async fn look(
        &mut self,
        collections: &[&Collection],
        text: &str,
        mut keep: impl FnMut(Vec<Raw>) -> Result<(), NodeError> + Send,
    ) -> Result<(), NodeError> {
        let tables: Vec<String> = collections.iter().map(|found| found.table()).collect();
        if tables.iter().any(|table| self.touched.contains(table)) {
            self.leftover.touched.extend(tables);
            return self.statement.rows(text, Vec::new(), keep).await;
        }
        self.statement.check_stop()?;
        let session = self.beside().await?;
        let mut result = session.conn.exec_iter(text, Params::Empty).await.map_err(classify)?;
        let mut kept = Ok(());
        while let Some(row) = result.next().await.map_err(classify)? {
            kept = keep(row.unwrap());
            if kept.is_err() {
                break;
            }
        }
        result.drop_result().await.map_err(classify)?;
        kept
    }

    /// The names that the instance's tables, or a table's columns or indexes, bear.
    async fn names(&mut self, what: &str, condition: String) -> Result<HashSet<String>, NodeError> {
        let text = format!("SELECT {what} FROM information_schema.{condition}");
        let session = self.beside().await?;
        let names: Vec<String> = session.conn.query(text).await.map_err(classify)?;
        Ok(names.into_iter().collect())
    }

    /// Writes a shape to the catalogue.
    async fn save(
        &mut self,
        id: Option<i64>,
        shape: &CollectionShape,
        layout: &Layout,
    ) -> Result<(), NodeError> {
        let body = Body { shape: shape.clone(), layout: layout.clone() };
        let json = serde_json::to_vec(&body).map_err(|error| {
            NodeError::statement("XX000", format!("the shape cannot be written: {error}"))
        })?;
        let name = Raw::Bytes(shape.target.collection.clone().into_bytes());
        let table = catalogue_table(&shape.target);
        match id {
            Some(id) => {
                let text = format!("UPDATE {table} SET name = ?, body = ? WHERE id = ?");
                let values = vec![name, Raw::Bytes(json), Raw::Int(id)];
                self.statement.run(&text, values).await?;
            }
            None => {
                let text = format!("INSERT INTO {table} (name, body) VALUES (?, ?)");
                self.statement.run(&text, vec![name, Raw::Bytes(json)]).await?;
            }
        }
        Ok(())
    }

    /// The collection that a shape and its layout make, over the catalogue that holds its enums too.
    fn collection(
        &self,
        id: i64,
        shape: &CollectionShape,
        layout: &Layout,
    ) -> Result<(Arc<Collection>, Catalogue), NodeError> {
        let catalogue = self.statement.catalogue.with_enums_of(shape);
        let body = Body { shape: shape.clone(), layout: layout.clone() };
        let collection = Collection::new(id, body, &catalogue)?;
        Ok((Arc::new(collection), catalogue))
    }

    async fn create(&mut self, shape: &CollectionShape) -> Result<(), NodeError> {
        if let Some(found) = self.statement.catalogue.find(&shape.target.collection) {
            if same_shape(&found.shape, shape) {
                return Ok(());
            }
            return Err(NodeError::statement(
                "42P07",
                format!("relation \"{}\" already exists", shape.label),
            ));
        }
        for field in &shape.fields {
            check_field(field)?;
        }
        check_keys(shape)?;
        let instance = instance_name(&shape.target.shard_instance);
        let condition = format!("tables WHERE table_schema = {}", literal(&instance));
        let taken = self.names("table_name", condition).await?;
        let mut layout = Layout {
            table: free_name(&table_name(&shape.target.collection), &taken),
            columns: columns(shape),
            indexes: Vec::new(),
            adopted: None,
        };
        let collation = self.statement.server.flavour().collation();
        let mut parts = vec![format!("{ROW} BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY")];
        for (column, field) in layout.columns.iter().zip(&shape.fields) {
            parts.extend(column.definitions(field.ty.id, collation));
        }
        let taken = HashSet::new();
        let mut indexes = Vec::new();
        for wanted in wanted(shape) {
            let index = plan_index(&wanted, shape, &layout.columns, &taken, &taken);
            parts.extend(index.definitions(&layout.columns, shape));
            indexes.push(index.index);
        }
        layout.indexes = indexes;
        let (collection, _) = self.collection(0, shape, &layout)?;
        let table = collection.table();
        self.leftover.undo.push(format!("DROP TABLE IF EXISTS {table}"));
        let text = format!(
            "CREATE TABLE {table} ({}) ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}",
            parts.join(", ")
        );
        self.run_beside(&text, Vec::new()).await?;
        self.save(None, shape, &layout).await?;
        self.check_foreign_keys(&collection, &shape.constraints).await
    }

    async fn drop_collection(&mut self, target: &Target) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(&target.collection).cloned() else {
            return Ok(());
        };
        let text = format!("DELETE FROM {} WHERE id = ?", catalogue_table(target));
        self.statement.run(&text, vec![Raw::Int(found.id)]).await?;
        // A table that dataman did not make stays.
        if found.layout.adopted.is_none() {
            self.leftover.finish.push(format!("DROP TABLE IF EXISTS {}", found.table()));
        }
        Ok(())
    }

    /// Writes a table that is there into the catalogue. Its own database keeps its constraints.
    async fn adopt(
        &mut self,
        shape: &CollectionShape,
        found: &FoundTable,
    ) -> Result<(), NodeError> {
        let known = self.statement.catalogue.find(&shape.target.collection).cloned();
        if known.as_ref().is_some_and(|known| known.layout.adopted.is_none()) {
            return Err(NodeError::statement(
                "42P07",
                format!("relation \"{}\" already exists", shape.label),
            ));
        }
        let collation = self.statement.server.flavour().collation();
        let layout = adopted::layout_of(shape, found, collation)?;
        let mut shape = shape.clone();
        shape.constraints.clear();
        shape.indexes.clear();
        self.collection(0, &shape, &layout)?;
        self.save(known.map(|known| known.id), &shape, &layout).await
    }

    async fn change_indexes(
        &mut self,
        target: &Target,
        name: &str,
        index: Option<&IndexShape>,
    ) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(&target.collection).cloned() else {
            return if index.is_some() { Err(missing(target)) } else { Ok(()) };
        };
        let mut shape = found.shape.clone();
        if shape.indexes.iter().any(|known| Some(known) == index) {
            return Ok(());
        }
        if index.is_some() && shape.indexes.iter().any(|known| known.name == name) {
            return Err(NodeError::statement(
                "42P07",
                format!("relation \"{name}\" already exists"),
            ));
        }
        let before = shape.indexes.len();
        shape.indexes.retain(|known| known.name != name);
        shape.indexes.extend(index.cloned());
        if index.is_none() && shape.indexes.len() == before {
            return Ok(());
        }
        self.change_shape(&found, &shape, found.layout.columns.clone(), None).await
    }

    /// Brings the indexes and the catalogue to a shape, whose columns are there. Indexes over `anew` are made again.
    async fn change_shape(
        &mut self,
        from: &Arc<Collection>,
        to: &CollectionShape,
        columns: Vec<Column>,
        anew: Option<&str>,
    ) -> Result<(), NodeError> {
        check_keys(to)?;
        let mut layout = Layout {
            table: from.layout.table.clone(),
            columns,
            indexes: Vec::new(),
            adopted: None,
        };
        let mut added = Vec::new();
        for wanted in wanted(to) {
            let reads = match (&wanted.keys, anew) {
                (_, None) => false,
                (Keys::Fields(fields), Some(name)) => fields.contains(&name),
                (Keys::Expressions, Some(_)) => true,
            };
            let known = from.layout.indexes.iter().find(|known| known.owner == wanted.owner);
            match known {
                Some(known) if !reads => layout.indexes.push(known.clone()),
                _ => added.push(wanted),
            }
        }
        let dropped: Vec<Index> = from
            .layout
            .indexes
            .iter()
            .filter(|known| !layout.indexes.contains(known))
            .cloned()
            .collect();
        let table = from.table();
        if dropped.iter().any(|index| index.is_made) {
            self.check_untouched(from)?;
        }
        for index in dropped.iter().filter(|index| index.is_made) {
            let mut parts = vec![format!("DROP INDEX {}", quoted(&index.name))];
            if let Some(search) = &index.search {
                parts.push(format!("DROP INDEX {}", quoted(search)));
            }
            if let Some(digest) = &index.digest {
                parts.push(format!("DROP COLUMN {}", quoted(digest)));
            }
            self.leftover.finish.push(format!("ALTER TABLE {table} {}", parts.join(", ")));
        }
        if !added.is_empty() {
            let schema = literal(&instance_name(&to.target.shard_instance));
            let of_table =
                format!("table_schema = {schema} AND table_name = {}", literal(&layout.table));
            let indexes = self.names("index_name", format!("statistics WHERE {of_table}")).await?;
            let names = self.names("column_name", format!("columns WHERE {of_table}")).await?;
            let mut plans = Vec::new();
            for wanted in &added {
                let plan = plan_index(wanted, to, &layout.columns, &indexes, &names);
                layout.indexes.push(plan.index.clone());
                plans.push(plan);
            }
            let (collection, _) = self.collection(from.id, to, &layout)?;
            for plan in plans {
                if plan.index.is_made {
                    self.check_untouched(from)?;
                    self.make_index(&collection, &plan).await?;
                }
            }
        }
        self.save(Some(from.id), to, &layout).await
    }

    async fn make_index(
        &mut self,
        collection: &Arc<Collection>,
        plan: &PlannedIndex,
    ) -> Result<(), NodeError> {
        let table = collection.table();
        let definitions = plan.definitions(&collection.layout.columns, &collection.shape);
        let unique = collection.uniques.iter().find(|unique| unique.owner == plan.index.owner);
        if let Some(digest) = &plan.index.digest {
            // The column first, so that it is filled before it is unique.
            self.leftover.undo.push(format!("ALTER TABLE {table} DROP COLUMN {}", quoted(digest)));
            let text = format!("ALTER TABLE {table} ADD COLUMN {}", definitions[0]);
            self.run_beside(&text, Vec::new()).await?;
            if let Some(unique) = unique {
                self.fill_digests(collection, unique, digest).await?;
            }
        }
        let adds: Vec<String> = definitions
            .iter()
            .skip(usize::from(plan.index.digest.is_some()))
            .map(|definition| format!("ADD {definition}"))
            .collect();
        if plan.index.digest.is_none() {
            self.leftover
                .undo
                .push(format!("ALTER TABLE {table} DROP INDEX {}", quoted(&plan.index.name)));
        }
        let text = format!("ALTER TABLE {table} {}", adds.join(", "));
        let made = self.run_beside(&text, Vec::new()).await;
        match (made, unique) {
            (Err(error), Some(unique)) if is_duplicate(&error) => {
                Err(self.not_unique(collection, unique).await)
            }
            (made, _) => made,
        }
    }

    async fn fill_digests(
        &mut self,
        collection: &Arc<Collection>,
        unique: &Unique,
        digest: &str,
    ) -> Result<(), NodeError> {
        let text =
            format!("UPDATE {} SET {} = ? WHERE {ROW} = ?", collection.table(), quoted(digest));
        let mut after = 0;
        loop {
            let page = self.page(collection, after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.row;
            for record in &page {
                let value = unique.digest(&record.values, &self.statement.context)?;
                self.run_beside(&text, vec![value, Raw::UInt(record.row)]).await?;
            }
        }
    }

    /// The next records by their numbers, as the transaction sees them.
    async fn page(
        &mut self,
        collection: &Arc<Collection>,
        after: u64,
    ) -> Result<Vec<Record>, NodeError> {
        let mut names = vec![ROW.to_owned()];
        names.extend(collection.layout.columns.iter().map(|column| quoted(&column.name)));
        let text = format!(
            "SELECT {} FROM {} WHERE {ROW} > ? ORDER BY {ROW} LIMIT {PAGE}",
            names.join(", "),
            collection.table()
        );
        // From beside: the transaction would hold the table against the change that follows.
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let session = self.beside().await?;
        let rows: Vec<mysql_async::Row> =
            session.conn.exec(text, vec![Raw::UInt(after)]).await.map_err(classify)?;
        rows.into_iter()
            .map(|row| {
                let mut columns = row.unwrap().into_iter();
                let row = match columns.next() {
                    Some(Raw::Int(row)) => u64::try_from(row).unwrap_or_default(),
                    Some(Raw::UInt(row)) => row,
                    _ => 0,
                };
                let values = columns
                    .zip(&collection.shape.fields)
                    .map(|(raw, field)| load(&raw, field.ty.id, &catalogue))
                    .collect::<Result<_, _>>()?;
                Ok(Record { row, values })
            })
            .collect()
    }

    /// `23505` of a unique index that cannot be made.
    async fn not_unique(&mut self, collection: &Arc<Collection>, unique: &Unique) -> NodeError {
        let mut failure = NodeError::statement(
            "23505",
            format!("could not create unique index \"{}\"", unique.name),
        );
        failure.object.table = Some(collection.shape.label.clone());
        failure.object.constraint = Some(unique.name.clone());
        let Some(fields) = &unique.fields else { return failure };
        let columns: Vec<String> = fields
            .iter()
            .filter_map(|field| collection.column(field))
            .map(|column| quoted(&column.key()))
            .collect();
        let present: Vec<String> = columns.iter().map(|c| format!("{c} IS NOT NULL")).collect();
        let exact: Vec<String> = fields
            .iter()
            .filter_map(|field| collection.column(field))
            .map(|column| format!("MIN({})", quoted(&column.name)))
            .collect();
        let text = format!(
            "SELECT {} FROM {} WHERE {} GROUP BY {} HAVING COUNT(*) > 1 LIMIT 1",
            exact.join(", "),
            collection.table(),
            present.join(" AND "),
            columns.join(", ")
        );
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let Ok(session) = self.beside().await else { return failure };
        let row: Option<mysql_async::Row> =
            session.conn.exec_first(text, ()).await.unwrap_or_default();
        let values: Option<Vec<Value>> = row.and_then(|row| {
            let types = fields.iter().filter_map(|field| collection.type_of(field));
            let values = row.unwrap();
            values.iter().zip(types).map(|(raw, ty)| load(raw, ty, &catalogue).ok()).collect()
        });
        match values {
            Some(values) => {
                let key = key_text(collection, fields, &values, &self.statement.context);
                failure.with_detail(format!("{key} is duplicated."))
            }
            None => failure,
        }
    }

    async fn alter(&mut self, step: &AlterStep, to: &CollectionShape) -> Result<(), NodeError> {
        if let AlterStep::RenameCollection { from } = step {
            return self.rename(from, to).await;
        }
        let found = self
            .statement
            .catalogue
            .find(&to.target.collection)
            .cloned()
            .ok_or_else(|| missing(&to.target))?;
        if same_shape(&found.shape, to) {
            return Ok(());
        }
        let kept = found.layout.columns.clone();
        match step {
            AlterStep::RenameCollection { .. } => Ok(()),
            AlterStep::AddField { name, fill } => self.add_field(&found, to, name, fill).await,
            AlterStep::DropField { name } => {
                let place = found.place(name).ok_or_else(|| missing(&to.target))?;
                let mut columns = kept;
                let column = columns.remove(place);
                self.check_untouched(&found)?;
                self.change_shape(&found, to, columns, None).await?;
                self.drop_column(&found, &column);
                Ok(())
            }
            AlterStep::RenameField { from, to: name } => {
                let referring: BTreeMap<i64, Arc<Collection>> = self
                    .statement
                    .catalogue
                    .referring(&to.target.collection)
                    .filter(|(child, _)| child.id != found.id)
                    .map(|(child, _)| (child.id, Arc::clone(child)))
                    .collect();
                self.change_shape(&found, to, kept, None).await?;
                for child in referring.into_values() {
                    let mut shape = child.shape.clone();
                    for constraint in &mut shape.constraints {
                        if let ConstraintKind::ForeignKey { references, references_fields, .. } =
                            &mut constraint.kind
                            && *references == to.target.collection
                        {
                            for field in references_fields.iter_mut().filter(|field| *field == from)
                            {
                                field.clone_from(name);
                            }
                        }
                    }
                    self.save(Some(child.id), &shape, &child.layout).await?;
                }
                Ok(())
            }
            AlterStep::FieldType { name, using } => self.change_type(&found, to, name, using).await,
            AlterStep::SetNotNull { name } => {
                self.check_not_null(&found, to, name).await?;
                self.change_shape(&found, to, kept, None).await
            }
            AlterStep::DropNotNull { .. } | AlterStep::DropConstraint { .. } => {
                self.change_shape(&found, to, kept, None).await
            }
            AlterStep::RenameConstraint { from, to: name } => {
                let mut layout = found.layout.clone();
                for index in layout.indexes.iter_mut().filter(|index| index.owner == *from) {
                    index.owner.clone_from(name);
                }
                self.save(Some(found.id), to, &layout).await
            }
            AlterStep::AddConstraint { name } => self.add_constraint(&found, to, name).await,
        }
    }

    /// A column goes when the transaction has committed.
    fn drop_column(&mut self, collection: &Collection, column: &Column) {
        let drops = drops(column);
        self.leftover.finish.push(format!("ALTER TABLE {} {drops}", collection.table()));
    }

    /// Adds the columns of a new field under names that are free.
    async fn add_columns(
        &mut self,
        collection: &Collection,
        field: &FieldShape,
    ) -> Result<Column, NodeError> {
        self.check_untouched(collection)?;
        let instance = instance_name(&collection.shape.target.shard_instance);
        let condition = format!(
            "columns WHERE table_schema = {} AND table_name = {}",
            literal(&instance),
            literal(&collection.layout.table)
        );
        let taken = self.names("column_name", condition).await?;
        let mut column = Column::new(&field.name, field.ty.id);
        column.name = free_name(&column_name(&field.name), &taken);
        let collation = self.statement.server.flavour().collation();
        let adds = column
            .definitions(field.ty.id, collation)
            .iter()
            .map(|definition| format!("ADD COLUMN {definition}"))
            .collect::<Vec<_>>();
        let drops = drops(&column);
        let table = collection.table();
        self.leftover.undo.push(format!("ALTER TABLE {table} {drops}"));
        self.run_beside(&format!("ALTER TABLE {table} {}", adds.join(", ")), Vec::new()).await?;
        Ok(column)
    }

    async fn add_field(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
        fill: &Expr,
    ) -> Result<(), NodeError> {
        let field = field_of(to, name)?;
        check_field(field)?;
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let evaluator = catalogue.compile(fill, &|_| None)?;
        let value = evaluator.eval(&[], &[], &self.statement.context)?;
        let column = self.add_columns(found, field).await?;
        if value.is_null() {
            if field.not_null && self.has_records(found).await? {
                return Err(contains_nulls(to, name));
            }
        } else {
            let mut sets = vec![format!("{} = ?", quoted(&column.name))];
            let mut values = vec![exact(&value)?];
            if column.form == Form::Keyed {
                sets.push(format!("{} = ?", quoted(&column.key())));
                values.push(key(&value));
            }
            let text = format!("UPDATE {} SET {}", found.table(), sets.join(", "));
            self.run_beside(&text, values).await?;
        }
        let mut columns = found.layout.columns.clone();
        columns.push(column);
        self.change_shape(found, to, columns, None).await
    }

    async fn has_records(&mut self, collection: &Collection) -> Result<bool, NodeError> {
        let text = format!("SELECT 1 FROM {} LIMIT 1", collection.table());
        let session = self.beside().await?;
        let found: Option<i64> = session.conn.query_first(text).await.map_err(classify)?;
        Ok(found.is_some())
    }

    async fn change_type(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
        using: &Expr,
    ) -> Result<(), NodeError> {
        let field = field_of(to, name)?;
        check_field(field)?;
        let place = found.place(name).ok_or_else(|| missing(&to.target))?;
        let catalogue = self.statement.catalogue.with_enums_of(to);
        let convert: Evaluator = catalogue.compile(using, &|read: &Field| {
            if read.source == OLD { found.place(&read.name) } else { None }
        })?;
        let column = self.add_columns(found, field).await?;
        let mut sets = vec![format!("{} = ?", quoted(&column.name))];
        if column.form == Form::Keyed {
            sets.push(format!("{} = ?", quoted(&column.key())));
        }
        let text = format!("UPDATE {} SET {} WHERE {ROW} = ?", found.table(), sets.join(", "));
        let mut after = 0;
        loop {
            let page = self.page(found, after).await?;
            let Some(last) = page.last() else { break };
            after = last.row;
            for record in &page {
                let value = convert.eval(&record.values, &[], &self.statement.context)?;
                let mut values = vec![exact(&value)?];
                if column.form == Form::Keyed {
                    values.push(key(&value));
                }
                values.push(Raw::UInt(record.row));
                self.run_beside(&text, values).await?;
            }
        }
        let mut columns = found.layout.columns.clone();
        let old = std::mem::replace(&mut columns[place], column);
        self.change_shape(found, to, columns, Some(name)).await?;
        self.drop_column(found, &old);
        // The constraints that read the field are looked at again, as PostgreSQL does.
        let again = self.reread(found.id, to).await?;
        self.check_records(&again, None).await
    }

    /// The collection as the catalogue has it now.
    async fn reread(
        &mut self,
        id: i64,
        shape: &CollectionShape,
    ) -> Result<Arc<Collection>, NodeError> {
        let text = format!("SELECT body FROM {} WHERE id = ?", catalogue_table(&shape.target));
        let mut body = None;
        self.statement
            .rows(&text, vec![Raw::Int(id)], |row| {
                if let Some(Raw::Bytes(bytes)) = row.into_iter().next() {
                    body = serde_json::from_slice::<Body>(&bytes).ok();
                }
                Ok(())
            })
            .await?;
        let body = body.ok_or_else(|| missing(&shape.target))?;
        Ok(self.collection(id, shape, &body.layout)?.0)
    }

    async fn rename(&mut self, from: &str, to: &CollectionShape) -> Result<(), NodeError> {
        let Some(found) = self.statement.catalogue.find(from).cloned() else {
            return match self.statement.catalogue.find(&to.target.collection) {
                Some(_) => Ok(()),
                None => Err(missing(&Target { collection: from.to_owned(), ..to.target.clone() })),
            };
        };
        let referring: BTreeMap<i64, Arc<Collection>> = self
            .statement
            .catalogue
            .referring(from)
            .map(|(child, _)| (child.id, Arc::clone(child)))
            .collect();
        let mut own = to.clone();
        point_to(&mut own, from, to);
        self.save(Some(found.id), &own, &found.layout).await?;
        for child in referring.into_values().filter(|child| child.id != found.id) {
            let mut shape = child.shape.clone();
            point_to(&mut shape, from, to);
            self.save(Some(child.id), &shape, &child.layout).await?;
        }
        Ok(())
    }

    async fn check_not_null(
        &mut self,
        collection: &Collection,
        shape: &CollectionShape,
        field: &str,
    ) -> Result<(), NodeError> {
        let Some(column) = collection.column(field) else {
            return field_of(shape, field).map(|_| ());
        };
        let text = format!(
            "SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1",
            collection.table(),
            quoted(&column.name)
        );
        let mut found = false;
        self.look(&[collection], &text, |_| {
            found = true;
            Ok(())
        })
        .await?;
        if found { Err(contains_nulls(shape, field)) } else { Ok(()) }
    }

    async fn add_constraint(
        &mut self,
        found: &Arc<Collection>,
        to: &CollectionShape,
        name: &str,
    ) -> Result<(), NodeError> {
        let constraint =
            to.constraints.iter().find(|constraint| constraint.name == name).ok_or_else(|| {
                NodeError::statement(
                    "42704",
                    format!("constraint \"{name}\" of relation \"{}\" does not exist", to.label),
                )
            })?;
        if let ConstraintKind::PrimaryKey { fields } = &constraint.kind {
            for field in fields {
                self.check_not_null(found, to, field).await?;
            }
        }
        self.change_shape(found, to, found.layout.columns.clone(), None).await?;
        let again = self.reread(found.id, to).await?;
        match &constraint.kind {
            ConstraintKind::Check { .. } => self.check_records(&again, Some(name)).await,
            ConstraintKind::ForeignKey { .. } => {
                self.check_foreign_keys(&again, std::slice::from_ref(constraint)).await
            }
            ConstraintKind::PrimaryKey { .. } | ConstraintKind::Unique { .. } => Ok(()),
        }
    }

    /// Looks at all records with the CHECKs, or one of them.
    async fn check_records(
        &mut self,
        collection: &Arc<Collection>,
        only: Option<&str>,
    ) -> Result<(), NodeError> {
        let checks: Vec<_> = collection
            .checks
            .iter()
            .filter(|check| only.is_none_or(|name| name == check.name))
            .collect();
        if checks.is_empty() {
            return Ok(());
        }
        let mut names = vec![ROW.to_owned()];
        names.extend(collection.layout.columns.iter().map(|column| quoted(&column.name)));
        let text = format!("SELECT {} FROM {}", names.join(", "), collection.table());
        let catalogue = self.statement.catalogue.with_enums_of(&collection.shape);
        let context = Arc::clone(&self.statement.context);
        self.look(&[collection], &text, |row| {
            let record = row[1..]
                .iter()
                .zip(&collection.shape.fields)
                .map(|(raw, field)| load(raw, field.ty.id, &catalogue))
                .collect::<Result<Vec<_>, _>>()?;
            for check in &checks {
                if check.evaluator.eval(&record, &[], &context)? == Value::Bool(false) {
                    let mut error = NodeError::statement(
                        "23514",
                        format!(
                            "check constraint \"{}\" of relation \"{}\" is violated by some row",
                            check.name, collection.shape.label
                        ),
                    );
                    error.object.table = Some(collection.shape.label.clone());
                    error.object.constraint = Some(check.name.clone());
                    return Err(error);
                }
            }
            Ok(())
        })
        .await
    }

    /// Looks at foreign keys: that they can be enforced, and that the records keep them.
    async fn check_foreign_keys(
        &mut self,
        child: &Arc<Collection>,
        constraints: &[dataman_node_protocol::definition::ConstraintShape],
    ) -> Result<(), NodeError> {
        for constraint in constraints {
            let ConstraintKind::ForeignKey {
                fields,
                references,
                references_label,
                references_fields,
                ..
            } = &constraint.kind
            else {
                continue;
            };
            let parent = match self.statement.catalogue.find(references) {
                _ if *references == child.shape.target.collection => Arc::clone(child),
                Some(parent) => Arc::clone(parent),
                None => {
                    return Err(NodeError::statement(
                        "42P01",
                        format!("relation \"{references_label}\" does not exist"),
                    ));
                }
            };
            let mut joined = Vec::new();
            let mut present = Vec::new();
            for (field, other) in fields.iter().zip(references_fields) {
                let families =
                    (child.type_of(field).and_then(family), parent.type_of(other).and_then(family));
                let (Some(own), Some(theirs)) = (child.column(field), parent.column(other)) else {
                    continue;
                };
                if families.0.is_none() || families.0 != families.1 {
                    return Err(NodeError::unsupported(format!(
                        "MySQL does not compare the key columns \"{field}\" and \"{other}\" of foreign key constraint \"{}\"",
                        constraint.name
                    )));
                }
                joined.push(format!("p.{} = c.{}", quoted(&theirs.key()), quoted(&own.key())));
                present.push(format!("c.{} IS NOT NULL", quoted(&own.name)));
            }
            let names: Vec<String> = fields
                .iter()
                .filter_map(|field| child.column(field))
                .map(|column| format!("c.{}", quoted(&column.name)))
                .collect();
            let text = format!(
                "SELECT {} FROM {} AS c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {}) LIMIT 1",
                names.join(", "),
                child.table(),
                present.join(" AND "),
                parent.table(),
                joined.join(" AND ")
            );
            let catalogue = self.statement.catalogue.with_enums_of(&child.shape);
            let types: Vec<TypeId> =
                fields.iter().filter_map(|field| child.type_of(field)).collect();
            let mut lacking: Option<Vec<Value>> = None;
            self.look(&[child, &parent], &text, |row| {
                let values = row.iter().zip(&types).map(|(raw, ty)| load(raw, *ty, &catalogue));
                lacking = Some(values.collect::<Result<_, _>>()?);
                Ok(())
            })
            .await?;
            if let Some(values) = lacking {
                let key = key_text(child, fields, &values, &self.statement.context);
                let label = &child.shape.label;
                let mut error = NodeError::statement(
                    "23503",
                    format!(
                        "insert or update on table \"{label}\" violates foreign key constraint \"{}\"",
                        constraint.name
                    ),
                )
                .with_detail(format!("{key} is not present in table \"{references_label}\"."));
                error.object.table = Some(label.clone());
                error.object.constraint = Some(constraint.name.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gathers statistics. There is nothing to clean up: InnoDB does so by itself.
    async fn maintain(&mut self, maintenance: &Maintenance) -> Result<(), NodeError> {
        for one in &maintenance.targets {
            let found = Arc::clone(self.statement.catalogue.get(&one.target.collection)?);
            if maintenance.analyze {
                let text = format!("ANALYZE TABLE {}", found.table());
                let session = self.beside().await?;
                let _: Vec<mysql_async::Row> = session.conn.query(text).await.map_err(classify)?;
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, targets: &[Target]) -> Result<(), NodeError> {
        let catalogue = Arc::clone(&self.statement.catalogue);
        let named = |name: &str| targets.iter().any(|target| target.collection == name);
        for target in targets {
            let found = catalogue.find(&target.collection).ok_or_else(|| missing(target))?;
            for (child, _) in catalogue.referring(&target.collection) {
                if !named(&child.shape.target.collection) {
                    return Err(NodeError::statement(
                        "0A000",
                        "cannot truncate a table referenced in a foreign key constraint",
                    )
                    .with_detail(format!(
                        "Table \"{}\" references \"{}\".",
                        child.shape.label, found.shape.label
                    ))
                    .with_hint(format!(
                        "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                        child.shape.label
                    )));
                }
            }
        }
        for target in targets {
            if let Some(found) = catalogue.find(&target.collection) {
                if found.layout.adopted.is_some() {
                    return Err(NodeError::unsupported(
                        "TRUNCATE of an adopted MySQL table is not supported",
                    )
                    .with_hint("Use DELETE."));
                }
                // MySQL's own TRUNCATE cannot be rolled back.
                let text = format!("DELETE FROM {}", found.table());
                self.statement.run(&text, Vec::new()).await?;
                self.leftover.touched.push(found.table());
            }
        }
        Ok(())
    }
}

fn catalogue_table(target: &Target) -> String {
    format!("{}.{}", quoted(&instance_name(&target.shard_instance)), quoted(TABLE))
}

fn contains_nulls(shape: &CollectionShape, field: &str) -> NodeError {
    let mut error = NodeError::statement(
        "23502",
        format!("column \"{field}\" of relation \"{}\" contains null values", shape.label),
    );
    error.object.table = Some(shape.label.clone());
    error.object.column = Some(field.to_owned());
    error
}

/// Points foreign keys to a collection's new name.
fn point_to(shape: &mut CollectionShape, from: &str, to: &CollectionShape) {
    for constraint in &mut shape.constraints {
        if let ConstraintKind::ForeignKey { references, references_label, .. } =
            &mut constraint.kind
            && references == from
        {
            references.clone_from(&to.target.collection);
            references_label.clone_from(&to.label);
        }
    }
}

/// The parts of ALTER TABLE that drop a field's columns.
fn drops(column: &Column) -> String {
    let names = column.names();
    let drops = names.iter().map(|name| format!("DROP COLUMN {}", quoted(name)));
    drops.collect::<Vec<_>>().join(", ")
}

/// An index about to be made.
struct PlannedIndex {
    index: Index,
    is_unique: bool,
    /// The fields; none for expressions.
    fields: Option<Vec<String>>,
}

/// Decides how MySQL keeps an index; `indexes` and `columns` are the names that are taken.
fn plan_index(
    wanted: &Wanted<'_>,
    shape: &CollectionShape,
    columns: &[Column],
    indexes: &HashSet<String>,
    taken: &HashSet<String>,
) -> PlannedIndex {
    let fields = match &wanted.keys {
        Keys::Fields(fields) => Some(fields.iter().map(|field| (*field).to_owned()).collect()),
        Keys::Expressions => None,
    };
    let column = |name: &String| {
        shape.fields.iter().position(|field| field.name == *name).and_then(|at| columns.get(at))
    };
    let is_whole = fields.as_ref().is_some_and(|fields: &Vec<String>| {
        fields.len() <= KEY_COLUMNS_MAX
            && fields
                .iter()
                .all(|name| column(name).is_some_and(|column| is_indexed_whole(column.form)))
    });
    let digest = (wanted.is_unique && (wanted.is_special || !is_whole))
        .then(|| free_name(&format!("!{}", index_name(wanted.owner)), taken));
    let has_fields = fields.as_ref().is_some_and(|fields| !fields.is_empty());
    let name = free_name(&index_name(wanted.owner), indexes);
    PlannedIndex {
        index: Index {
            owner: wanted.owner.to_owned(),
            search: (digest.is_some() && has_fields).then(|| format!("{name}!search")),
            is_made: digest.is_some() || has_fields,
            name,
            digest,
        },
        is_unique: wanted.is_unique,
        fields,
    }
}

impl PlannedIndex {
    /// Its parts of a table's definition: the digest's column first, if it has one.
    fn definitions(&self, columns: &[Column], shape: &CollectionShape) -> Vec<String> {
        if !self.index.is_made {
            return Vec::new();
        }
        let name = quoted(&self.index.name);
        let fields: Vec<&Column> = self
            .fields
            .iter()
            .flatten()
            .filter_map(|name| shape.fields.iter().position(|field| field.name == *name))
            .filter_map(|place| columns.get(place))
            .collect();
        match &self.index.digest {
            Some(digest) => {
                let digest = quoted(digest);
                let mut parts = vec![
                    format!("{digest} BINARY(32) NULL"),
                    format!("UNIQUE INDEX {name} ({digest})"),
                ];
                if let Some(search) = &self.index.search {
                    parts.push(format!("INDEX {} ({})", quoted(search), search_columns(&fields)));
                }
                parts
            }
            None if self.is_unique => {
                let names = fields.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>();
                vec![format!("UNIQUE INDEX {name} ({})", names.join(", "))]
            }
            None => vec![format!("INDEX {name} ({})", search_columns(&fields))],
        }
    }
}
