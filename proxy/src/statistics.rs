//! What a proxy knows of how much the collections hold: sampled on the shards when a plan first asks, kept in memory, and taken
//! anew when it has grown old. It decides the order of joins and never an answer, so a sample that fails is simply not there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dataman_metadata::id::{CollectionId, DatabaseId, ShardId};
use dataman_metadata::schema::{Collection, Placement};
use dataman_metadata::snapshot::{Snapshot, shard_instance_name};
use dataman_node_protocol::node::{NodeStatement, Parameters, ResultFormats, StatementContext};
use dataman_node_protocol::query::{
    NamedType, NodeQuery, OutputField, Select, Source, SqlText, Target,
};
use dataman_node_protocol::record::Format;
use dataman_pg::expr::{Aggregate, Field};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, TypeId, Value, catalog};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::merge::decode;
use crate::plan::estimate::Statistics;
use crate::scatter::contract::{Capabilities, ShardRef};

/// How long a sample is good for.
const AGE_MAX: Duration = Duration::from_secs(60);

/// How long a statement waits for samples that it is planned by.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// How many shards of a collection are sampled; the others are taken to be like them.
const SHARDS_MAX: usize = 4;

/// Rows that are counted on an engine that has no count at hand; beyond them there are taken to be several times as many.
const COUNTED_MAX: i64 = 200_000;

/// Rows of which different values are counted.
const SAMPLED_ROWS: i64 = 2_000;

/// Fields whose different values are counted.
const SAMPLED_FIELDS: usize = 16;

/// How many collections' samples are kept. When there are more, all are forgotten.
const COLLECTIONS_MAX: usize = 10_000;

/// The samples.
#[derive(Debug, Default)]
pub struct StatisticsStore {
    known: Mutex<HashMap<CollectionId, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    taken: Instant,
    statistics: Option<Arc<Statistics>>,
}

impl StatisticsStore {
    fn known(&self) -> MutexGuard<'_, HashMap<CollectionId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a collection.
    pub fn of(&self, collection: CollectionId) -> Option<Arc<Statistics>> {
        self.known().get(&collection)?.statistics.clone()
    }

    /// Those of some collections of which nothing is known, or nothing new.
    pub fn missing(&self, collections: &BTreeSet<CollectionId>) -> Vec<CollectionId> {
        let known = self.known();
        let is_new =
            |id: &CollectionId| known.get(id).is_some_and(|known| known.taken.elapsed() < AGE_MAX);
        collections.iter().filter(|id| !is_new(id)).copied().collect()
    }

    /// Keeps a sample; says whether plans made by the last one may now be bad ones.
    fn keep(&self, collection: CollectionId, statistics: Option<Statistics>) -> bool {
        let mut known = self.known();
        if known.len() >= COLLECTIONS_MAX {
            known.clear();
        }
        let rows = |statistics: Option<&Statistics>| {
            statistics.map_or(crate::plan::estimate::ROWS, |statistics| statistics.rows).max(1.0)
        };
        let before = rows(known.get(&collection).and_then(|known| known.statistics.as_deref()));
        let after = rows(statistics.as_ref());
        let statistics = statistics.map(Arc::new);
        known.insert(collection, Known { taken: Instant::now(), statistics });
        !(0.25..=4.0).contains(&(after / before))
    }
}

/// Samples some collections of a database; says whether plans made before may now be bad ones.
pub async fn sample(
    cluster: &Cluster,
    snapshot: &Arc<Snapshot>,
    database: &DatabaseId,
    collections: &[CollectionId],
    context: &StatementContext,
) -> bool {
    let Some(found) = snapshot.databases.get(database) else { return false };
    let mut is_other = false;
    let deadline = Instant::now() + WAIT_MAX;
    for id in collections {
        let Some((schema, name, collection)) = found.collection_by_id(*id) else { continue };
        let physical =
            if schema == "public" { name.to_owned() } else { format!("{schema}.{name}") };
        let sampler = Sampler { cluster, snapshot, database, collection, physical, context };
        let statistics = tokio::time::timeout_at(deadline, sampler.run()).await.ok().flatten();
        is_other |= cluster.statistics().keep(*id, statistics);
    }
    is_other
}

struct Sampler<'s> {
    cluster: &'s Cluster,
    snapshot: &'s Arc<Snapshot>,
    database: &'s DatabaseId,
    collection: &'s Collection,
    physical: String,
    context: &'s StatementContext,
}

impl Sampler<'_> {
    async fn run(&self) -> Option<Statistics> {
        let datastore = &self.collection.datastore;
        let count = self.snapshot.datastores.get(datastore)?.shard_count();
        let shards: Vec<ShardId> = match &self.collection.placement {
            Placement::Single { shard } => vec![*shard],
            Placement::Reference => vec![ShardId(0)],
            Placement::Sharded(_) => (0..count).map(ShardId).take(SHARDS_MAX).collect(),
        };
        let is_spread = matches!(self.collection.placement, Placement::Sharded(_));
        let capabilities = self.cluster.capabilities(self.snapshot);
        let mut all = Statistics::default();
        for shard in &shards {
            let shard = ShardRef { datastore: datastore.clone(), shard: *shard };
            let takes_sql = capabilities.of(&shard)?.takes_sql();
            let one = if takes_sql {
                self.by_catalog(&shard).await?
            } else {
                self.by_rows(&shard).await?
            };
            all.rows += one.rows;
            for (name, distinct) in one.distinct {
                let known = all.distinct.entry(name.clone()).or_insert(0.0);
                // Different shards have different values of a shard key, and much the same of anything else that repeats.
                let adds = self.collection.shard_key().contains(&name) || distinct > one.rows * 0.5;
                *known = if adds { *known + distinct } else { known.max(distinct) };
            }
        }
        if is_spread && shards.len() < count as usize {
            let factor = f64::from(count) / shards.len() as f64;
            all.rows *= factor;
            for (name, distinct) in &mut all.distinct {
                if self.collection.shard_key().contains(name) {
                    *distinct *= factor;
                }
            }
        }
        Some(all)
    }

    /// What a PostgreSQL knows by itself: its planner's statistics, or the size of a table that it has not analyzed.
    async fn by_catalog(&self, shard: &ShardRef) -> Option<Statistics> {
        let instance = shard_instance_name(self.database, shard.shard);
        let adopted = self.collection.adopted.as_ref();
        let namespace = adopted.map_or(&instance, |adopted| &adopted.namespace);
        let name = adopted.map_or(&self.physical, |adopted| &adopted.name);
        let text = format!(
            "SELECT CASE WHEN c.reltuples >= 0 THEN c.reltuples::float8 * greatest(pg_catalog.pg_relation_size(c.oid), 1)::float8 \
               / (greatest(c.relpages, 1) * 8192)::float8 ELSE pg_catalog.pg_relation_size(c.oid)::float8 / 100 END, \
             s.attname::text, s.n_distinct::float8 \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname \
             WHERE n.nspname = {} AND c.relname = {}",
            literal(namespace),
            literal(name)
        );
        let query = NodeQuery::Sql(SqlText { text, params: Vec::new(), writes: false });
        let types = [TypeId::FLOAT8, TypeId::TEXT, TypeId::FLOAT8];
        let rows = self.ask(shard, query, &types).await?;
        let mut statistics = Statistics::default();
        for row in rows {
            if let [Value::Float8(count), name, distinct] = row.as_slice() {
                statistics.rows = count.max(0.0);
                if let (Value::Text(name), Value::Float8(distinct)) = (name, distinct) {
                    // Less than nothing is a part of the rows.
                    let distinct = if *distinct < 0.0 { -distinct * count } else { *distinct };
                    statistics.distinct.insert(name.to_string(), distinct.max(1.0));
                }
            }
        }
        Some(statistics)
    }

    /// Counts rows up to a bound, and different values among the first ones.
    async fn by_rows(&self, shard: &ShardRef) -> Option<Statistics> {
        let counted =
            self.ask(shard, self.counting(shard, &[], COUNTED_MAX)?, &[TypeId::INT8]).await?;
        let rows = whole(counted.first()?.first()?)?;
        let fields: Vec<NamedType> = self
            .collection
            .fields
            .iter()
            .map(|field| NamedType {
                name: field.name.clone(),
                ty: TypeRef { id: TypeId(field.type_oid), typmod: field.typmod },
            })
            .filter(|field| {
                matches!(
                    field.ty.id,
                    TypeId::INT2
                        | TypeId::INT4
                        | TypeId::INT8
                        | TypeId::TEXT
                        | TypeId::VARCHAR
                        | TypeId::BPCHAR
                        | TypeId::DATE
                        | TypeId::UUID
                )
            })
            .take(SAMPLED_FIELDS)
            .collect();
        let mut statistics = Statistics { rows, distinct: BTreeMap::new() };
        if rows >= COUNTED_MAX as f64 {
            statistics.rows *= 4.0;
        }
        if fields.is_empty() || rows < 1.0 {
            return Some(statistics);
        }
        let types = vec![TypeId::INT8; fields.len() + 1];
        let sampled = self.ask(shard, self.counting(shard, &fields, SAMPLED_ROWS)?, &types).await?;
        let row = sampled.first()?;
        let seen = whole(row.first()?)?.max(1.0);
        for (field, distinct) in fields.iter().zip(row.iter().skip(1)) {
            let distinct = whole(distinct)?.max(1.0);
            // Where most are different in the sample, they are in all; else the sample has seen about all there are.
            let all =
                if distinct > seen * 0.5 { statistics.rows * distinct / seen } else { distinct };
            statistics.distinct.insert(field.name.clone(), all);
        }
        Some(statistics)
    }

    /// `SELECT count(*), count(DISTINCT field) … FROM (SELECT field … FROM collection LIMIT most)`.
    fn counting(&self, shard: &ShardRef, fields: &[NamedType], most: i64) -> Option<NodeQuery> {
        let count = |arguments: usize| {
            catalog::functions_named("count").iter().find(|found| found.args.len() == arguments)
        };
        let call = |function: &catalog::Function, args: Vec<Expr>| {
            let distinct = !args.is_empty();
            Expr::Aggregate(Box::new(Aggregate {
                function: function.id,
                args,
                distinct,
                order_by: Vec::new(),
                filter: None,
                ty: TypeRef::plain(TypeId::INT8),
            }))
        };
        let field = |source: &str, column: &NamedType| {
            Expr::Field(Field {
                source: source.to_owned(),
                name: column.name.clone(),
                ty: column.ty,
            })
        };
        let first = self.collection.fields.first()?;
        let mut read: Vec<NamedType> = fields.to_vec();
        if read.is_empty() {
            read.push(NamedType {
                name: first.name.clone(),
                ty: TypeRef { id: TypeId(first.type_oid), typmod: first.typmod },
            });
        }
        let bound = |expr: Expr, name: &str| OutputField::Bound { expr, name: name.to_owned() };
        let rows = Select {
            source: vec![Source::Collection {
                target: Target {
                    db: self.database.0.clone(),
                    shard_instance: shard_instance_name(self.database, shard.shard),
                    collection: self.physical.clone(),
                    adopted: crate::plan::bind::adopted_of(self.collection),
                },
                alias: "t".to_owned(),
                fields: read.clone(),
            }],
            fields: read.iter().map(|column| bound(field("t", column), &column.name)).collect(),
            limit: Some(Expr::constant(Value::Int8(most), TypeId::INT8)),
            ..Select::default()
        };
        let mut outputs = vec![bound(call(count(0)?, Vec::new()), "rows")];
        for column in fields {
            outputs.push(bound(call(count(1)?, vec![field("s", column)]), &column.name));
        }
        Some(NodeQuery::Aggregate(Select {
            source: vec![Source::Query {
                query: Box::new(rows),
                alias: "s".to_owned(),
                columns: read,
                lateral: false,
            }],
            group: Some(Vec::new()),
            fields: outputs,
            ..Select::default()
        }))
    }

    async fn ask(
        &self,
        shard: &ShardRef,
        query: NodeQuery,
        types: &[TypeId],
    ) -> Option<Vec<Vec<Value>>> {
        let connection = self.cluster.connect(shard).await.ok()?;
        let statement = Arc::new(NodeStatement::new(query, Vec::new()));
        let formats = ResultFormats { formats: vec![Format::Binary; types.len()] };
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        let mut stream = connection
            .execute(self.context, &statement, &Parameters::default(), &formats, &cancel)
            .await;
        let evaluation = dataman_pg::Context::default();
        let mut rows = Vec::new();
        while let Some(batch) = stream.next().await.ok()? {
            for row in batch.iter() {
                let values = row
                    .columns()
                    .zip(types)
                    .map(|(bytes, ty)| {
                        decode(bytes, TypeRef::plain(*ty), Format::Binary, &evaluation)
                    })
                    .collect::<Result<Vec<_>, _>>();
                rows.push(values.ok()?);
            }
        }
        drop(guard.disarm());
        drop(stream.into_connection());
        Some(rows)
    }
}

fn whole(value: &Value) -> Option<f64> {
    match value {
        Value::Int8(count) => Some(*count as f64),
        _ => None,
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
