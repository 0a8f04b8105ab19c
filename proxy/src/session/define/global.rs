//! Unique keys that lack the shard key, while they are made.
//!
//! ```text
//! metadata: pending ─▶ writers that do not know of it end ─▶ shards: index, in a transaction each ─▶ no duplicates over shards
//!                                                              ─▶ commits, metadata: the key instead of pending
//! ```
//! From the first step on whoever plans a write keeps the key beside what the shards' indexes keep. Who planned before has
//! ended after the second, but for open transactions, whose locks hold up the index until they end. So what is looked at in
//! the shards' transactions is all there is, and what comes after is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataman_metadata::change::{Change, Object, ObjectName as Place};
use dataman_metadata::schema::{Collection, ConstraintKind, Field, FieldDefault, Index, IndexKey};
use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::{
    NodeConnection, NodeStatement, Parameters, ResultFormats, RowStream, StatementContext,
};
use dataman_node_protocol::query::Select;
use dataman_node_protocol::record::Format;
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, PgError, Value};
use tokio_util::sync::CancellationToken;

use super::constraint::unique_without_key;
use super::draft::{Draft, Result, When};
use super::shape::type_of;
use crate::error::Error;
use crate::merge::decode_rows;
use crate::merge::global::shown_key;
use crate::plan::bind::Table;
use crate::plan::global::{can_keep, on_instance, sorted_keys};
use crate::scatter::contract::ShardRef;
use crate::scatter::shard::name_shard;

/// A unique key over several shards that is made for rows that are there.
#[derive(Debug)]
pub(super) struct MadeKey {
    /// The constraint's or index's name.
    name: String,
    fields: Vec<String>,
    types: Vec<TypeRef>,
    /// Asks a shard for the keys that it has, in their order.
    select: Select,
    /// In which of the shards' transactions it is made.
    pub(super) when: When,
}

/// What the metadata says while such keys are made.
#[derive(Debug)]
pub(super) struct Pending {
    at: Place,
    collection: Collection,
}

impl Pending {
    /// The table.
    pub(super) fn at(&self) -> &Place {
        &self.at
    }

    /// The change with which it begins.
    pub(super) fn begin(&self) -> Change {
        Change::Replace { at: self.at.clone(), object: Object::Collection(self.collection.clone()) }
    }

    /// The change that takes it back.
    pub(super) fn withdraw(&self) -> Change {
        let mut collection = self.collection.clone();
        collection.pending.clear();
        Change::Replace { at: self.at.clone(), object: Object::Collection(collection) }
    }
}

impl Draft<'_> {
    /// Refuses a unique key that lacks the shard key and cannot be kept over the shards.
    pub(super) fn check_unique_key(
        &self,
        table: &str,
        collection: &Collection,
        what: &str,
        keys: &[&str],
        plain: bool,
    ) -> Result<()> {
        let Some(missing) = collection.shard_key().iter().find(|key| !keys.contains(&key.as_str()))
        else {
            return Ok(());
        };
        let fields: Option<Vec<&Field>> = keys.iter().map(|key| collection.field(key)).collect();
        let keepable = plain
            && fields.is_some_and(|fields| {
                let is_generated =
                    |field: &&Field| matches!(field.default, FieldDefault::Generated(_));
                let types: Vec<TypeRef> = fields.iter().map(|field| type_of(field)).collect();
                let shards = self.shards_with(collection).len();
                !fields.iter().any(is_generated)
                    && can_keep(
                        self.capabilities,
                        &collection.datastore,
                        u32::try_from(shards).unwrap_or(u32::MAX),
                        &types,
                    )
            });
        if keepable { Ok(()) } else { Err(unique_without_key(table, what, missing)) }
    }

    /// Notes that a unique key is made over the rows of a table, if no shard alone can keep it.
    pub(super) fn make_unique_key(
        &mut self,
        (schema, table): (&str, &str),
        collection: &Collection,
        name: &str,
        when: When,
    ) {
        let Some(key) = collection.global_keys().into_iter().find(|key| key.name == name) else {
            return;
        };
        let after = Table {
            schema: schema.to_owned(),
            name: table.to_owned(),
            collection: collection.clone(),
        };
        let (select, types) = sorted_keys(&after, &key.fields);
        let fields: Vec<String> = key.fields.iter().map(|field| (*field).to_owned()).collect();
        // A column that is added in the same statement is not written by anybody yet.
        if let Some(known) = self.database.collection(schema, table)
            && fields.iter().all(|field| known.field(field).is_some())
        {
            let at = self.place(schema, table);
            let pending = self.work.pending.get_or_insert_with(|| {
                let mut collection = known.clone();
                collection.pending.clear();
                Pending { at, collection }
            });
            pending.collection.pending.push(Index {
                name: name.to_owned(),
                oid: key.oid,
                unique: true,
                nulls_not_distinct: false,
                method: "btree".to_owned(),
                keys: fields.iter().map(|field| plain_key(field)).collect(),
                include: Vec::new(),
                filter: None,
                comment: None,
            });
        }
        self.work.made.push(MadeKey { name: name.to_owned(), fields, types, select, when });
    }

    /// Refuses to change the type of a column by which rows of several shards are told apart.
    pub(super) fn check_not_in_global_key(
        &self,
        collection: &Collection,
        column: &str,
    ) -> Result<()> {
        let keys = collection.global_keys();
        match keys.iter().find(|key| key.fields.contains(&column)) {
            None => Ok(()),
            Some(key) => Err(PgError::unsupported(format!(
                "changing the type of column \"{column}\" is not supported: unique key \"{}\" lacks the shard key",
                key.name
            ))
            .with_hint("Drop the key, change the type, and make the key again.")),
        }
    }

    /// The fields of a constraint that is a unique key.
    pub(super) fn key_of(kind: &ConstraintKind) -> Option<(Vec<&str>, &'static str, bool)> {
        fn all(fields: &[String]) -> Vec<&str> {
            fields.iter().map(String::as_str).collect()
        }
        match kind {
            ConstraintKind::PrimaryKey { fields } => Some((all(fields), "PRIMARY KEY", true)),
            ConstraintKind::Unique { fields, nulls_not_distinct } => {
                Some((all(fields), "UNIQUE", !nulls_not_distinct))
            }
            ConstraintKind::Check { .. } | ConstraintKind::ForeignKey { .. } => None,
        }
    }
}

fn plain_key(field: &str) -> IndexKey {
    IndexKey { expr: field.to_owned(), descending: false, nulls_first: false }
}

/// The connections in whose transactions something is defined.
pub(super) type Connections = Vec<(ShardRef, Box<dyn NodeConnection>)>;

/// What the rows are read with.
pub(super) struct Reading<'a> {
    pub(super) context: &'a StatementContext,
    pub(super) evaluation: &'a Context,
    pub(super) database: &'a dataman_metadata::id::DatabaseId,
    pub(super) cancel: &'a CancellationToken,
}

/// Looks for keys that several shards have, in the transactions in which the key is made. After a failure the connections are
/// closed, and what was defined on them is gone.
///
/// # Errors
/// `23505`, as PostgreSQL says it of an index that cannot be made; a shard's.
pub(super) async fn find_duplicates(
    mut open: Connections,
    made: &[MadeKey],
    when: When,
    reading: &Reading<'_>,
) -> std::result::Result<Connections, Error> {
    for key in made.iter().filter(|key| key.when == when) {
        let mut keys = Vec::new();
        for (shard, connection) in open {
            let query = on_instance(&key.select, reading.database, shard.shard);
            let statement = Arc::new(NodeStatement::new(query, Vec::new()));
            let formats = ResultFormats { formats: vec![Format::Binary; key.types.len()] };
            let rows = connection
                .execute(
                    reading.context,
                    &statement,
                    &Parameters::default(),
                    &formats,
                    reading.cancel,
                )
                .await;
            keys.push(ShardKeys { shard, rows, batch: Vec::new().into_iter(), last: Vec::new() });
        }
        if let Some(row) = duplicate(&mut keys, key, reading.evaluation).await? {
            let names = key.fields.iter().map(String::as_str);
            let values = row.iter().map(Some).zip(key.types.iter().copied());
            let mut error = NodeError::statement(
                "23505",
                format!("could not create unique index \"{}\"", key.name),
            )
            .with_detail(format!(
                "{} is duplicated.",
                shown_key(names, values, reading.evaluation)
            ));
            error.object.constraint = Some(key.name.clone());
            return Err(error.into());
        }
        open = Vec::new();
        for ShardKeys { shard, rows, .. } in keys {
            let lost = || PgError::new("08006", "the connection to a shard was lost");
            open.push((shard, rows.into_connection().ok_or_else(lost)?));
        }
    }
    Ok(open)
}

/// The keys of one shard.
struct ShardKeys {
    shard: ShardRef,
    rows: Box<dyn RowStream>,
    batch: std::vec::IntoIter<Vec<Value>>,
    last: Vec<u8>,
}

impl ShardKeys {
    async fn next(
        &mut self,
        key: &MadeKey,
        evaluation: &Context,
    ) -> std::result::Result<Option<(Vec<u8>, Vec<Value>)>, Error> {
        loop {
            if let Some(row) = self.batch.next() {
                let bytes = crate::merge::key_bytes(row.iter());
                if bytes < self.last {
                    return Err(PgError::unsupported(format!(
                        "unique key \"{}\" cannot be checked: the shards sort its values otherwise",
                        key.name
                    ))
                    .into());
                }
                self.last.clone_from(&bytes);
                return Ok(Some((bytes, row)));
            }
            let batch = self.rows.next().await.map_err(|error| name_shard(&self.shard, error))?;
            let Some(batch) = batch else { return Ok(None) };
            self.batch = decode_rows(&batch, &key.types, evaluation)?.into_iter();
        }
    }
}

/// The first key that two shards have; the streams are at their ends when there is none.
async fn duplicate(
    shards: &mut [ShardKeys],
    key: &MadeKey,
    evaluation: &Context,
) -> std::result::Result<Option<Vec<Value>>, Error> {
    let mut heads: BTreeMap<(Vec<u8>, usize), Vec<Value>> = BTreeMap::new();
    for (place, shard) in shards.iter_mut().enumerate() {
        if let Some((bytes, row)) = shard.next(key, evaluation).await? {
            heads.insert((bytes, place), row);
        }
    }
    let mut before: Option<Vec<u8>> = None;
    while let Some(((bytes, place), row)) = heads.pop_first() {
        if before.as_ref() == Some(&bytes) {
            return Ok(Some(row));
        }
        if let Some(shard) = shards.get_mut(place)
            && let Some((next, row)) = shard.next(key, evaluation).await?
        {
            heads.insert((next, place), row);
        }
        before = Some(bytes);
    }
    Ok(None)
}
