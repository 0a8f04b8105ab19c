//! Definitions. What a collection means is a row of the catalogue's table, written in the transaction; its table and columns are
//! changed from a session beside it, since MySQL commits with every definition.
//!
//! New tables, columns and indexes get names that nothing bears yet. Until the transaction commits no catalogue names them, and
//! what no catalogue names is never read or written; so what is cut short leaves nothing that could be mistaken for anything.

mod alter;
mod check;
mod index;
mod rebuild;

use std::collections::HashSet;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{CollectionShape, Definition, Maintenance};
use dataman_node_protocol::inspect::FoundTable;
use dataman_node_protocol::query::Target;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value as Raw};
use tokio::sync::OwnedSemaphorePermit;

use self::index::{check_keys, plan_index, wanted};
use super::adopted;
use super::catalogue::{Body, COLUMNS, Catalogue, Collection, TABLE};
use super::connect::{Server, Session};
use super::error::classify;
use super::layout::{Layout, ROW, check_field, columns, instance_name, quoted, table_name};
use super::statement::Statement;
use super::value::load;
use super::write::Record;
use crate::driver::sql::change::{check_truncated, missing, same_shape};
use crate::driver::sql::literal;

/// Records that a definition looks at or fills at a time.
const PAGE: usize = 1000;

/// The table of notes: no collection's.
const NOTES: &str = "^note";

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
/// PostgreSQL's for what existing records forbid; `0A000` for what MySQL cannot hold exactly.
pub(super) async fn define(
    statement: Statement<'_>,
    definition: &Definition,
    in_block: bool,
    touched: &[String],
    leftover: &mut Leftover,
) -> Result<(), NodeError> {
    let mut definer = Definer { statement, in_block, touched, leftover, beside: None };
    let done = definer.define(definition).await;
    if let Some((session, _permit)) = definer.beside.take() {
        definer.statement.server.give_back(session);
    }
    done
}

struct Definer<'a, 's> {
    statement: Statement<'s>,
    /// The definition is part of a transaction that its client ends.
    in_block: bool,
    touched: &'a [String],
    leftover: &'a mut Leftover,
    beside: Option<(Session, OwnedSemaphorePermit)>,
}

/// The first name that is free: the name itself, or with a number.
fn free_name(name: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}^{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| name.to_owned())
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

    /// Whether the transaction has read or written a collection's table: then MySQL lets nobody change it, the transaction itself
    /// included.
    fn is_touched(&self, collection: &Collection) -> bool {
        let table = collection.table();
        self.touched.contains(&table) || self.leftover.touched.contains(&table)
    }

    /// Runs a query over collections: beside the transaction, which would hold the tables against further definitions, unless it
    /// has rows of them that only itself sees.
    async fn look(
        &mut self,
        collections: &[&Collection],
        text: &str,
        mut keep: impl FnMut(Vec<Raw>) -> Result<(), NodeError> + Send,
    ) -> Result<(), NodeError> {
        if collections.iter().any(|found| self.is_touched(found)) {
            self.leftover.touched.extend(collections.iter().map(|found| found.table()));
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
        let layout = self.make_table(shape).await?;
        let (collection, _) = self.collection(0, shape, &layout)?;
        self.save(None, shape, &layout).await?;
        self.check_foreign_keys(&collection, &shape.constraints).await
    }

    /// Makes an empty table for a shape, beside the transaction, under a name that is free.
    async fn make_table(&mut self, shape: &CollectionShape) -> Result<Layout, NodeError> {
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
        Ok(layout)
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
        if self.is_touched(collection) {
            return self.statement.find_by(collection, &text, vec![Raw::UInt(after)]).await;
        }
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
        for target in targets {
            let found = catalogue.find(&target.collection).ok_or_else(|| missing(target))?;
            let referring = catalogue.referring(&target.collection);
            check_truncated(&found.shape, referring.map(|(child, _)| &child.shape), targets)?;
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
