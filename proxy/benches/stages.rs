//! How long each stage of a statement takes by itself: `cargo bench -p dataman-proxy`, with a name or a part of it to run
//! only those. The least of several repetitions is shown, since other programs only add. What the whole costs end to end,
//! `sql-tests/bench` measures.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use dataman_metadata::id::ShardId;
use dataman_metadata::sample;
use dataman_metadata::schema::Placement;
use dataman_metadata::sharding::{self, KeyPart};
use dataman_metadata::snapshot::Snapshot;
use dataman_node_protocol::backend;
use dataman_node_protocol::capability::{Capability, Feature};
use dataman_node_protocol::frontend;
use dataman_node_protocol::node::{
    End, NodeConnection, NodeStatement, Parameters, ResultFormats, RowStream, StatementContext,
    TransactionOptions,
};
use dataman_node_protocol::query::{NodeQuery, OutputField};
use dataman_node_protocol::record::{BATCH_BYTES, Batch, ColumnDescription, StatementDescription};
use dataman_node_protocol::{NodeError, record::Format};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Expr, TypeId};
use dataman_proxy::error::Error;
use dataman_proxy::merge::{self, Execution, Sequences};
use dataman_proxy::parse::parse;
use dataman_proxy::plan::{Plan, PlanContext, plan};
use dataman_proxy::scatter::contract::{Access, Capabilities, Participants, ShardRef};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const POINT: &str = "SELECT name FROM t WHERE tenant_id = $1 AND id = $2";
const GROUPS: &str = "SELECT tenant_id, count(*), avg(id) FROM t WHERE name LIKE 'a%' GROUP BY tenant_id ORDER BY 2 DESC LIMIT 10";
const JOIN: &str = "SELECT a.name, sum(b.id) FROM t a JOIN t b ON a.tenant_id = b.tenant_id AND a.id < b.id \
                    WHERE a.name IN ('x', 'y') GROUP BY a.name HAVING count(*) > 3";
const FEDERATED: &str = "SELECT a.name, count(*), max(c.id) FROM t a JOIN t b ON a.id = b.id JOIN t c ON b.name = c.name \
                         WHERE c.tenant_id > 7 GROUP BY a.name ORDER BY 2 DESC LIMIT 10";
const SUBQUERIES: &str = "SELECT a.name FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.id = a.id AND b.name > 'x') \
                          AND a.id > (SELECT avg(c.id) FROM t c WHERE c.name = a.name)";
/// What is computed above the shards, by the operator that costs most.
const OPERATORS: [(&str, &str, u64); 7] = [
    ("merge/hash-join", "SELECT a.id, b.id FROM t a JOIN t b ON a.id = b.id", 2),
    (
        "merge/join-sort",
        "SELECT a.id, b.name FROM t a JOIN t b ON a.id = b.id ORDER BY b.name, a.id",
        2,
    ),
    (
        "merge/join-group",
        "SELECT a.name, sum(b.id) FROM t a JOIN t b ON a.id = b.id GROUP BY a.name",
        2,
    ),
    (
        "merge/semi-join",
        "SELECT a.id, a.name FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.id = a.id)",
        2,
    ),
    ("merge/join-groups", "SELECT a.id, (SELECT count(*) FROM t b WHERE b.id = a.id) FROM t a", 2),
    ("merge/group", "SELECT id, count(*) FROM t GROUP BY id", 1),
    ("merge/distinct", "SELECT DISTINCT id, name FROM t", 1),
];
const ORDERED: &str = "SELECT id, name FROM t ORDER BY id";
const UNORDERED: &str = "SELECT id, name FROM t";

/// How many rows each shard gives to a merge.
const ROWS: u64 = 20_000;
const SHARDS: u32 = 4;

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    // The test runner only asks whether it runs.
    let smoke = std::env::args().any(|argument| argument == "--test");
    let bench = Bench { only, smoke };
    let snapshot = snapshot();

    bench.run("parse/point", "statement", 1, || parse(black_box(POINT)));
    bench.run("parse/groups", "statement", 1, || parse(black_box(GROUPS)));
    bench.run("parse/join", "statement", 1, || parse(black_box(JOIN)));

    bench.run("plan/point", "statement", 1, || planned(&snapshot, POINT));
    bench.run("plan/groups", "statement", 1, || planned(&snapshot, GROUPS));
    bench.run("plan/join", "statement", 1, || planned(&snapshot, JOIN));
    bench.run("plan/federated", "statement", 1, || planned(&snapshot, FEDERATED));
    bench.run("plan/subqueries", "statement", 1, || planned(&snapshot, SUBQUERIES));

    prune(&bench, &snapshot);
    codec(&bench);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    for (name, sql) in [("merge/concatenate", UNORDERED), ("merge/ordered", ORDERED)] {
        let plan = planned(&snapshot, sql);
        let shards = Recorded::shards(sql == ORDERED);
        let rows = ROWS * u64::from(SHARDS);
        bench.run(name, "row", rows, || {
            let found = runtime.block_on(merged(&plan, &shards));
            assert_eq!(found, rows, "{name}");
        });
    }
    for (name, sql, scans) in OPERATORS {
        let plan = planned(&snapshot, sql);
        let shards = Recorded::shards(false);
        let rows = ROWS * u64::from(SHARDS);
        bench.run(name, "row read", rows * scans, || {
            assert_eq!(runtime.block_on(merged(&plan, &shards)), rows, "{name}");
        });
    }
}

/// Runs and tells.
struct Bench {
    only: Option<String>,
    smoke: bool,
}

impl Bench {
    fn run<T>(&self, name: &str, unit: &str, units: u64, mut work: impl FnMut() -> T) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        black_box(work());
        if self.smoke {
            return;
        }
        let mut time = |repeats: u32| -> Duration {
            let started = Instant::now();
            for _ in 0..repeats {
                black_box(work());
            }
            started.elapsed()
        };
        // So many that one repetition takes about a tenth of a second.
        let mut repeats = 1;
        while repeats < 1 << 24 && time(repeats) < Duration::from_millis(50) {
            repeats *= 2;
        }
        let least = (0..10).map(|_| time(repeats)).min().unwrap_or_default();
        let nanoseconds = least.as_secs_f64() * 1e9 / f64::from(repeats) / units as f64;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{name:<20} {nanoseconds:>12.1} ns a {unit}").expect("somebody reads");
    }
}

/// Four shards, and the table `t (tenant_id int8, id int8, name text)` on them.
fn snapshot() -> Arc<Snapshot> {
    let base = Snapshot::empty().apply(&sample::cluster(SHARDS)).expect("the cluster is sound");
    let mut oids = base.oids();
    let table = sample::create_table(&mut oids, "t");
    Arc::new(base.apply(&[table]).expect("the table is sound"))
}

fn planned(snapshot: &Arc<Snapshot>, sql: &str) -> Arc<Plan> {
    let parsed = parse(sql).expect("is SQL");
    let context = PlanContext {
        snapshot,
        database: sample::DATABASE,
        user: "shop",
        search_path: &["public".to_owned()],
        context: &Context::default(),
        capabilities: &Everything,
        shows: false,
    };
    plan(&parsed[0], &[], &context).expect("can be planned")
}

fn prune(bench: &Bench, snapshot: &Arc<Snapshot>) {
    let datastore = snapshot.datastores.values().next().expect("there is one");
    let database = snapshot.databases.values().next().expect("there is one");
    let table = database.schemas.values().find_map(|schema| schema.collections.get("t"));
    let Placement::Sharded(keyspace) = &table.expect("there is one").placement else {
        panic!("t is sharded")
    };
    let mut key = 0_i64;
    bench.run("prune/shard-of", "key", 1, || {
        key = key.wrapping_add(1);
        sharding::shard_of(keyspace, datastore, &[KeyPart::Int(key)])
    });
}

/// What a prepared statement's execution is on the wire: Bind, Describe, Execute, Sync.
fn codec(bench: &Bench) {
    let mut pipeline = BytesMut::new();
    let mut message = |tag: u8, body: &[u8]| {
        pipeline.put_u8(tag);
        pipeline.put_u32(u32::try_from(body.len() + 4).expect("is short"));
        pipeline.put_slice(body);
    };
    message(b'B', b"\0P_0\0\0\0\0\x01\0\0\0\x0512345\0\0");
    message(b'D', b"P\0");
    message(b'E', b"\0\0\0\0\0");
    message(b'S', b"");
    let pipeline = pipeline.freeze();
    let mut buffer = BytesMut::new();
    bench.run("codec/read-pipeline", "pipeline", 1, || {
        buffer.extend_from_slice(&pipeline);
        let mut count = 0;
        while let Some(message) = frontend::take_message(&mut buffer).expect("is sound") {
            black_box(message);
            count += 1;
        }
        assert_eq!(count, 4);
    });
    let column =
        |name: &str, id: TypeId| ColumnDescription { name: name.to_owned(), ty: id.into() };
    let columns = [column("tenant_id", TypeId::INT8), column("name", TypeId::TEXT)];
    let mut out = BytesMut::new();
    bench.run("codec/row-description", "message", 1, || {
        out.clear();
        backend::encode_columns(&columns, &ResultFormats::default(), &mut out);
    });
}

async fn merged(plan: &Arc<Plan>, shards: &[Recorded]) -> u64 {
    let mut participants = Shards { shards: shards.to_vec() };
    let sequences: Arc<dyn Sequences> = Arc::new(NoSequences);
    let execution = Execution {
        parameters: &Parameters::default(),
        formats: &ResultFormats { formats: vec![Format::Text; 2] },
        context: &StatementContext::default(),
        evaluation: &Arc::new(Context::default()),
        bounds: merge::Bounds {
            resources: Arc::new(merge::Resources::new(
                usize::MAX,
                merge::TemporaryFolder::new(std::env::temp_dir().join("dataman-bench")),
            )),
            memory_bytes: merge::STATEMENT_BYTES_MAX,
            temporary_bytes: merge::TEMPORARY_BYTES_MAX,
        },
        cancel: &CancellationToken::new(),
        participants: &mut participants,
        sequences: &sequences,
        metrics: None,
    };
    let mut stream = merge::run(plan, execution).await.expect("starts");
    let mut rows = 0;
    while let Some(batch) = stream.next().await.expect("goes on") {
        rows += batch.rows as u64;
    }
    rows
}

/// Shards that carry out everything.
struct Everything;

impl Capability for Everything {
    fn engine(&self) -> &'static str {
        "everything"
    }

    fn takes_sql(&self) -> bool {
        true
    }

    fn is_exact(&self, _expr: &Expr) -> bool {
        true
    }

    fn sorts_exactly(&self, _ty: TypeId) -> bool {
        true
    }

    fn supports(&self, _feature: Feature) -> bool {
        true
    }

    fn stores(&self, _ty: TypeRef) -> Result<(), String> {
        Ok(())
    }
}

impl Capabilities for Everything {
    fn of(&self, _shard: &ShardRef) -> Option<&dyn Capability> {
        Some(self)
    }
}

struct NoSequences;

#[async_trait]
impl Sequences for NoSequences {
    async fn next(&self, _: &str, _: &str, _: usize) -> Result<Vec<i64>, Error> {
        Ok(Vec::new())
    }

    fn expect(&self, _rows: usize) {}

    fn begin(&self) {}

    fn repeat(&self) {}

    async fn perform(&self) -> Result<bool, Error> {
        Ok(false)
    }
}

struct Shards {
    shards: Vec<Recorded>,
}

#[async_trait]
impl Participants for Shards {
    async fn enlist(&mut self, _shards: &[ShardRef], _access: Access) -> Result<(), Error> {
        Ok(())
    }

    async fn take(&mut self, shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        let ShardId(number) = shard.shard;
        Ok(Box::new(self.shards[number as usize].clone()))
    }

    fn give(&mut self, _shard: &ShardRef, _connection: Option<Box<dyn NodeConnection>>) {}
}

/// Answers by the types of their columns.
type Answers = HashMap<Vec<TypeId>, Arc<Vec<Batch>>>;

/// A shard that answers every query with the same rows, from memory.
#[derive(Clone)]
struct Recorded {
    batches: Arc<Vec<Batch>>,
    next: usize,
    shard: u64,
    /// The answers to what operators above the shards ask.
    binary: Arc<Mutex<Answers>>,
}

impl Recorded {
    /// Rows `id, name` whose numbers go round the shards; with the sort key as a hidden column in binary.
    fn shards(with_key: bool) -> Vec<Self> {
        let shard = |shard: u64| {
            let (mut batches, mut frames, mut rows) = (Vec::new(), BytesMut::new(), 0);
            for row in 0..ROWS {
                let id = row * u64::from(SHARDS) + shard;
                let (text, name, key) = (id.to_string(), format!("name {id:08}"), id.to_be_bytes());
                let mut values: Vec<&[u8]> = vec![text.as_bytes(), name.as_bytes()];
                if with_key {
                    values.push(&key);
                }
                let length: usize = values.iter().map(|value| value.len() + 4).sum();
                frames.put_u8(b'D');
                frames.put_u32(u32::try_from(length + 6).expect("is short"));
                frames.put_u16(u16::try_from(values.len()).expect("are few"));
                for value in values {
                    frames.put_u32(u32::try_from(value.len()).expect("is short"));
                    frames.put_slice(value);
                }
                rows += 1;
                if frames.len() > BATCH_BYTES || row + 1 == ROWS {
                    let frames: Bytes = frames.split().freeze();
                    batches.push(Batch { frames, rows: std::mem::take(&mut rows) });
                }
            }
            Self { batches: Arc::new(batches), next: 0, shard, binary: Arc::default() }
        };
        (0..u64::from(SHARDS)).map(shard).collect()
    }

    /// The same rows in binary, with a number for each column of numbers and a name for each other.
    fn in_binary(&self, types: &[TypeId]) -> Arc<Vec<Batch>> {
        let mut known = self.binary.lock().expect("nobody panics");
        Arc::clone(known.entry(types.to_vec()).or_insert_with(|| {
            let (mut batches, mut frames, mut rows) = (Vec::new(), BytesMut::new(), 0);
            for row in 0..ROWS {
                let id = row * u64::from(SHARDS) + self.shard;
                let (name, number) = (format!("name {id:08}"), id.to_be_bytes());
                let values: Vec<&[u8]> = types
                    .iter()
                    .map(|ty| if *ty == TypeId::INT8 { &number[..] } else { name.as_bytes() })
                    .collect();
                let length: usize = values.iter().map(|value| value.len() + 4).sum();
                frames.put_u8(b'D');
                frames.put_u32(u32::try_from(length + 6).expect("is short"));
                frames.put_u16(u16::try_from(values.len()).expect("are few"));
                for value in values {
                    frames.put_u32(u32::try_from(value.len()).expect("is short"));
                    frames.put_slice(value);
                }
                rows += 1;
                if frames.len() > BATCH_BYTES || row + 1 == ROWS {
                    let frames: Bytes = frames.split().freeze();
                    batches.push(Batch { frames, rows: std::mem::take(&mut rows) });
                }
            }
            Arc::new(batches)
        }))
    }
}

#[async_trait]
impl RowStream for Recorded {
    async fn next(&mut self) -> Result<Option<Batch>, NodeError> {
        self.next += 1;
        Ok(self.batches.get(self.next - 1).cloned())
    }

    fn end(&self) -> End {
        End { affected: ROWS }
    }

    fn into_connection(self: Box<Self>) -> Option<Box<dyn NodeConnection>> {
        Some(self)
    }
}

#[async_trait]
impl NodeConnection for Recorded {
    async fn describe(
        &mut self,
        _statement: &Arc<NodeStatement>,
    ) -> Result<StatementDescription, NodeError> {
        Err(NodeError::unsupported("these rows are not described"))
    }

    async fn execute(
        mut self: Box<Self>,
        _context: &StatementContext,
        statement: &Arc<NodeStatement>,
        _parameters: &Parameters,
        formats: &ResultFormats,
        _cancel: &CancellationToken,
    ) -> Box<dyn RowStream> {
        if let NodeQuery::Filter(select) | NodeQuery::Aggregate(select) = &statement.query
            && formats.formats.iter().all(|format| *format == Format::Binary)
        {
            let types: Vec<TypeId> = select
                .fields
                .iter()
                .map(|field| match field {
                    OutputField::Bound { expr, .. } => expr.type_id(),
                    _ => TypeId::TEXT,
                })
                .collect();
            self.batches = self.in_binary(&types);
        }
        self
    }

    async fn begin(
        &mut self,
        _context: &StatementContext,
        _options: TransactionOptions,
    ) -> Result<(), NodeError> {
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), NodeError> {
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), NodeError> {
        Ok(())
    }

    async fn savepoint(&mut self, _name: &str) -> Result<(), NodeError> {
        Ok(())
    }

    async fn rollback_to(&mut self, _name: &str) -> Result<(), NodeError> {
        Ok(())
    }

    async fn release(&mut self, _name: &str) -> Result<(), NodeError> {
        Ok(())
    }
}
