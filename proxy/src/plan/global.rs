//! Unique keys that lack the shard key: what a statement that adds keys asks of all shards.
//!
//! A shard's own index finds what is alike on the shard. Beyond it a statement locks its new keys, looks for them on the other
//! shards and then writes ([`crate::merge`]'s `global` tells how); here is what it sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataman_metadata::id::{DatabaseId, DatastoreId, ShardId};
use dataman_metadata::schema::{Collection, Placement};
use dataman_metadata::snapshot::shard_instance_name;
use dataman_node_protocol::capability::KeyLock;
use dataman_node_protocol::node::NodeStatement;
use dataman_node_protocol::query::{
    Condition, Conflict, Insert, Lock, NamedType, NodeQuery, OutputField, Select, Source, SqlText,
};
use dataman_pg::expr::{Field, IsTest, SortKey};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, Value};

use super::bind::{Table, source_of};
use super::select::Result;
use super::sources::all_of;
use super::split::check_decodable;
use super::{Planner, form};
use crate::scatter::contract::{Capabilities, ShardRef};

/// The keys that one question to a shard asks for, when there are several.
pub(crate) const KEYS_ASKED: usize = 32;

/// The alias of the collection in what is asked.
const ALIAS: &str = "t";

/// Takes locks on numbers, each shared or alone, in the order given.
const LOCK_NUMBERS: &str = "SELECT CASE WHEN s THEN pg_catalog.pg_advisory_xact_lock_shared(k)::text \
     ELSE pg_catalog.pg_advisory_xact_lock(k)::text END FROM unnest($1::int8[], $2::bool[]) AS u(k, s)";

/// The unique keys of a collection that a statement adds to, and how they are kept.
#[derive(Debug)]
pub(crate) struct GlobalKeys {
    /// The keys, in the order in which PostgreSQL looks at their indexes.
    pub(crate) keys: Vec<GlobalKey>,
    /// The collection's schema and name, for errors.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) label: String,
    /// What names the collection's locks.
    pub(crate) space: Vec<u8>,
    /// The datastore.
    pub(crate) datastore: DatastoreId,
    /// How each shard locks.
    pub(crate) locks: Vec<ShardLock>,
    /// The collection has unique keys too that its shards keep alone.
    pub(crate) has_local: bool,
    /// The OIDs of the collection's unique indexes by name: PostgreSQL looks at them in this order.
    pub(crate) ranks: BTreeMap<String, u32>,
    /// What becomes of a row whose key is there already.
    pub(crate) conflict: OnConflict,
}

/// How a shard locks keys.
#[derive(Debug, Clone)]
pub(crate) struct ShardLock {
    pub(crate) kind: KeyLock,
    pub(crate) statement: Arc<NodeStatement>,
}

/// One of the keys.
#[derive(Debug)]
pub(crate) struct GlobalKey {
    /// The constraint's or index's name.
    pub(crate) name: String,
    /// Its OID.
    pub(crate) oid: u32,
    /// Its fields.
    pub(crate) fields: Vec<NamedType>,
    /// Where they stand in a row that is written; none for one that is NULL in all.
    pub(crate) places: Vec<Option<usize>>,
    /// Where the fields' old values stand, of an UPDATE.
    pub(crate) old_places: Vec<usize>,
    /// A row with such a key is what ON CONFLICT is about.
    pub(crate) is_arbiter: bool,
    /// Asks a shard for one key.
    pub(crate) ask_one: BTreeMap<ShardId, Arc<NodeStatement>>,
    /// Asks a shard for [`KEYS_ASKED`] keys.
    pub(crate) ask_many: BTreeMap<ShardId, Arc<NodeStatement>>,
}

/// What becomes of a row whose key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// The statement fails.
    Fail,
    /// DO NOTHING: it is left out.
    Nothing,
    /// DO UPDATE: the row that is there already is changed, if it is on the same shard.
    Update,
}

impl GlobalKeys {
    /// The shard whose locks decide on the order of writers: the same one for all of a collection.
    pub(crate) fn first(&self) -> ShardRef {
        self.shard(ShardId(0))
    }

    pub(crate) fn shard(&self, shard: ShardId) -> ShardRef {
        ShardRef { datastore: self.datastore.clone(), shard }
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..u32::try_from(self.locks.len()).unwrap_or(u32::MAX)).map(ShardId)
    }
}

/// Whether the shards of a collection can keep a unique key together.
pub(crate) fn can_keep(
    capabilities: &dyn Capabilities,
    datastore: &DatastoreId,
    shard_count: u32,
    types: &[TypeRef],
) -> bool {
    (0..shard_count).map(ShardId).all(|shard| {
        let shard = ShardRef { datastore: datastore.clone(), shard };
        capabilities.of(&shard).is_some_and(|capability| {
            capability.key_lock().is_some()
                && types.iter().all(|ty| capability.sorts_keys_exactly(ty.id))
        })
    }) && types.iter().all(|ty| check_decodable(*ty).is_ok())
}

/// The keys of a shard's records in their order, those without a NULL: by what duplicates over shards are found.
pub(crate) fn sorted_keys(table: &Table, fields: &[&str]) -> (Select, Vec<TypeRef>) {
    let fields = types_of(&table.collection, fields);
    let not_null = |field: &NamedType| Expr::Is {
        arg: Box::new(field_expr(field)),
        test: IsTest::Null,
        negated: true,
    };
    let key = |field: &NamedType| SortKey {
        expr: field_expr(field),
        descending: false,
        nulls_first: false,
    };
    let select = Select {
        source: vec![source_of(table, ALIAS)],
        filter: Some(Condition::Expr(all_of(fields.iter().map(not_null).collect()))),
        fields: outputs(&fields),
        sort: fields.iter().map(key).collect(),
        ..Select::default()
    };
    (select, fields.iter().map(|field| field.ty).collect())
}

fn types_of(collection: &Collection, names: &[&str]) -> Vec<NamedType> {
    let named = |name: &&str| {
        let field = collection.field(name)?;
        let ty = TypeRef { id: TypeId(field.type_oid), typmod: field.typmod };
        Some(NamedType { name: field.name.clone(), ty })
    };
    names.iter().filter_map(named).collect()
}

fn field_expr(field: &NamedType) -> Expr {
    Expr::Field(Field { source: ALIAS.to_owned(), name: field.name.clone(), ty: field.ty })
}

fn outputs(fields: &[NamedType]) -> Vec<OutputField> {
    fields
        .iter()
        .map(|field| OutputField::Bound { expr: field_expr(field), name: field.name.clone() })
        .collect()
}

impl Planner<'_> {
    /// The unique keys without the shard key that an INSERT adds to.
    pub(super) fn inserted_keys(
        &mut self,
        table: &Table,
        insert: &Insert,
    ) -> Result<Option<GlobalKeys>> {
        let place_of = |name: &str| insert.fields.iter().position(|field| field.name == name);
        let mut keys = self.global_keys(table, |_| true)?;
        let Some(found) = &mut keys else { return Ok(None) };
        for key in &mut found.keys {
            key.places = key.fields.iter().map(|field| place_of(&field.name)).collect();
        }
        let Some(Conflict { fields, set, nothing, .. }) = &insert.conflict else { return Ok(keys) };
        found.conflict = if *nothing { OnConflict::Nothing } else { OnConflict::Update };
        for key in &mut found.keys {
            let same = key.fields.len() == fields.len()
                && key.fields.iter().all(|field| fields.contains(&field.name));
            key.is_arbiter = same || fields.is_empty();
            if key.fields.iter().any(|field| set.iter().any(|(name, _)| *name == field.name)) {
                return Err(PgError::unsupported(format!(
                    "ON CONFLICT DO UPDATE of a column of unique key \"{}\", which lacks the shard key, is not supported",
                    key.name
                ))
                .with_hint("Change the column by an UPDATE of its own."));
            }
        }
        Ok(keys)
    }

    /// Those that an UPDATE of some fields adds to; the places are left to be found.
    pub(super) fn updated_keys(
        &mut self,
        table: &Table,
        changes: impl Fn(&str) -> bool,
    ) -> Result<Option<GlobalKeys>> {
        self.global_keys(table, |fields| fields.iter().any(|field| changes(field)))
    }

    fn global_keys(
        &mut self,
        table: &Table,
        takes: impl Fn(&[&str]) -> bool,
    ) -> Result<Option<GlobalKeys>> {
        let collection = &table.collection;
        let shard_count = self.shard_count(&collection.datastore);
        if shard_count < 2 || !matches!(collection.placement, Placement::Sharded(_)) {
            return Ok(None);
        }
        let mut all = collection.global_keys();
        all.sort_by_key(|key| key.oid);
        let has_local = collection.unique_keys().any(|key| !collection.lacks_shard_key(&key))
            || collection.indexes.iter().any(|index| {
                let keys: Vec<&str> = index.keys.iter().map(|key| key.expr.as_str()).collect();
                index.unique && !collection.lacks_shard_key(&keys)
            });
        let mut keys = Vec::new();
        for key in all.iter().filter(|key| takes(&key.fields)) {
            let fields = types_of(collection, &key.fields);
            let ask = |planner: &mut Self, count: usize| {
                planner.asked(table, &fields, count, shard_count)
            };
            let (ask_one, ask_many) = (ask(self, 1)?, ask(self, KEYS_ASKED)?);
            keys.push(GlobalKey {
                name: key.name.to_owned(),
                oid: key.oid.0,
                places: Vec::new(),
                old_places: Vec::new(),
                is_arbiter: false,
                ask_one,
                ask_many,
                fields,
            });
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let database: DatabaseId = self.context.database.into();
        Ok(Some(GlobalKeys {
            keys,
            schema: table.schema.clone(),
            label: table.name.clone(),
            space: format!("{}\0{}\0", database.0, collection.id.0).into_bytes(),
            datastore: collection.datastore.clone(),
            locks: self.shard_locks(table, shard_count)?,
            has_local,
            ranks: collection.index_names().map(|(name, oid)| (name.to_owned(), oid.0)).collect(),
            conflict: OnConflict::Fail,
        }))
    }

    fn shard_locks(&self, table: &Table, shard_count: u32) -> Result<Vec<ShardLock>> {
        let mut numbers: Option<Arc<NodeStatement>> = None;
        let mut locks = Vec::new();
        for shard in (0..shard_count).map(ShardId) {
            let reference = ShardRef { datastore: table.collection.datastore.clone(), shard };
            let capability = self.context.capabilities.of(&reference);
            let Some(kind) = capability.and_then(|capability| capability.key_lock()) else {
                return Err(PgError::unsupported(
                    "a unique key without the shard key is not kept by the shards' databases",
                ));
            };
            let takes_sql = capability.is_some_and(|capability| capability.takes_sql());
            let nothing = |strength: &str| Select {
                source: vec![source_of(table, ALIAS)],
                fields: outputs(&types_of(
                    &table.collection,
                    &[table.collection.shard_key()[0].as_str()],
                )),
                limit: Some(Expr::constant(Value::Int8(0), TypeId::INT8)),
                lock: Some(Lock { strength: strength.to_owned(), of: vec![], wait: None }),
                ..Select::default()
            };
            let numbers_and_kinds = [TypeId::INT8_ARRAY, TypeId::BOOL_ARRAY];
            let statement = match kind {
                KeyLock::Number if !takes_sql => {
                    let query = NodeQuery::Filter(nothing(Lock::NUMBERS));
                    Arc::new(self.on_shard(query, &numbers_and_kinds, shard))
                }
                KeyLock::Number => Arc::clone(numbers.get_or_insert_with(|| {
                    let params = numbers_and_kinds.to_vec();
                    let text = LOCK_NUMBERS.to_owned();
                    let sql = SqlText { text, params: params.clone(), writes: false };
                    Arc::new(NodeStatement::new(NodeQuery::Sql(sql), params))
                })),
                KeyLock::Writer => {
                    let query = NodeQuery::Filter(nothing("update"));
                    Arc::new(self.on_shard(query, &[], shard))
                }
            };
            locks.push(ShardLock { kind, statement });
        }
        Ok(locks)
    }

    /// Asks the shards which of so many keys they have.
    fn asked(
        &mut self,
        table: &Table,
        fields: &[NamedType],
        count: usize,
        shard_count: u32,
    ) -> Result<BTreeMap<ShardId, Arc<NodeStatement>>> {
        let mut params = Vec::new();
        let mut any = Vec::new();
        for _ in 0..count {
            let mut same = Vec::new();
            for field in fields {
                params.push(field.ty.id);
                let index = u16::try_from(params.len())
                    .map_err(|_| PgError::unsupported("a unique key of so many columns"))?;
                let value = Expr::Param { index, ty: field.ty.id };
                same.push(self.equal(field_expr(field), value)?);
            }
            any.push(all_of(same));
        }
        let filter = if any.len() == 1 { any.remove(0) } else { Expr::Or(any) };
        self.check_exact(&filter, table)?;
        let select = Select {
            source: vec![source_of(table, ALIAS)],
            filter: Some(Condition::Expr(filter)),
            fields: outputs(fields),
            ..Select::default()
        };
        let statement = |shard| {
            let query = NodeQuery::Filter(select.clone());
            (shard, Arc::new(self.on_shard(query, &params, shard)))
        };
        Ok((0..shard_count).map(ShardId).map(statement).collect())
    }

    fn on_shard(&self, mut query: NodeQuery, params: &[TypeId], shard: ShardId) -> NodeStatement {
        let database: DatabaseId = self.context.database.into();
        let instance = shard_instance_name(&database, shard);
        form::set_instance(&mut query, &database.0, &instance);
        NodeStatement::new(query, params.to_vec())
    }
}

/// The source of a select over one collection, with the instance of a shard.
pub(crate) fn on_instance(select: &Select, database: &DatabaseId, shard: ShardId) -> NodeQuery {
    let mut query = NodeQuery::Filter(select.clone());
    form::set_instance(&mut query, &database.0, &shard_instance_name(database, shard));
    debug_assert!(
        select.source.iter().all(|source| matches!(source, Source::Collection { .. })),
        "it reads one collection"
    );
    query
}
