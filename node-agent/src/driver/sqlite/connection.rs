//! What one user of a datasource does with it: statements and transactions.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dataman_node_protocol::definition::Definition;
use dataman_node_protocol::error::NodeError;
use dataman_node_protocol::node::{
    End, Isolation, NodeConnection, NodeStatement, Parameters, ResultFormats, RowStream,
    StatementContext, TransactionOptions,
};
use dataman_node_protocol::query::NodeQuery;
use dataman_node_protocol::record::{Batch, StatementDescription};
use dataman_pg::Context;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::BATCHES_AHEAD;
use super::connect::{Folder, Lease, blocking};
use super::error::serialization;
use super::run::{Execution, Prepared, Work};
use super::session::Session;

/// A connection to a folder of files.
pub(super) struct SqliteConnection {
    folder: Arc<Folder>,
    transaction: Option<Transaction>,
    _permit: OwnedSemaphorePermit,
}

/// An open transaction. SQLite hears of it when it first matters.
struct Transaction {
    options: TransactionOptions,
    /// A statement failed: all but the end of the transaction is refused.
    failed: bool,
    /// The savepoints set, the innermost last.
    savepoints: Vec<String>,
    /// The sessions in whose SQLite transaction it takes part: the writer's, or those with a snapshot.
    held: Vec<Held>,
}

struct Held {
    lease: Lease,
    /// The right to write of a session that is not the writer's.
    permit: Option<OwnedSemaphorePermit>,
    /// It may write.
    writing: bool,
    /// It carried out a definition.
    defined: bool,
}

impl SqliteConnection {
    pub(super) fn new(folder: Arc<Folder>, permit: OwnedSemaphorePermit) -> Self {
        Self { folder, transaction: None, _permit: permit }
    }
}

/// `25P02`.
fn aborted() -> NodeError {
    NodeError::statement(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

fn no_transaction() -> NodeError {
    NodeError::statement("25P01", "there is no transaction in progress")
}

/// A savepoint in SQLite's words: by its place, since names may hide each other.
fn savepoint_name(place: usize) -> String {
    format!("dm_savepoint_{place}")
}

#[async_trait]
impl NodeConnection for SqliteConnection {
    async fn describe(
        &mut self,
        statement: &Arc<NodeStatement>,
    ) -> Result<StatementDescription, NodeError> {
        let prepared = self.folder.prepare(statement)?;
        Ok(StatementDescription {
            params: statement.params.clone(),
            columns: prepared.columns.clone(),
        })
    }

    async fn execute(
        self: Box<Self>,
        context: &StatementContext,
        statement: &Arc<NodeStatement>,
        parameters: &Parameters,
        formats: &ResultFormats,
        cancel: &CancellationToken,
    ) -> Box<dyn RowStream> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let stop = cancel.child_token();
        let request = Request {
            context: context.clone(),
            statement: statement.clone(),
            parameters: parameters.clone(),
            formats: formats.clone(),
            stop: stop.clone(),
            sender,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(self.run(request));
        Box::new(Rows { receiver, tasks, stop, end: None, connection: None })
    }

    async fn begin(
        &mut self,
        _context: &StatementContext,
        options: TransactionOptions,
    ) -> Result<(), NodeError> {
        if self.transaction.is_some() {
            return Err(NodeError::statement(
                "25001",
                "there is already a transaction in progress",
            ));
        }
        self.transaction =
            Some(Transaction { options, failed: false, savepoints: Vec::new(), held: Vec::new() });
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), NodeError> {
        let transaction = self.transaction.take().ok_or_else(no_transaction)?;
        if transaction.failed {
            close(transaction, "ROLLBACK").await?;
            return Err(aborted());
        }
        close(transaction, "COMMIT").await
    }

    async fn rollback(&mut self) -> Result<(), NodeError> {
        match self.transaction.take() {
            Some(transaction) => close(transaction, "ROLLBACK").await,
            None => Ok(()),
        }
    }

    async fn savepoint(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.failed {
            return Err(aborted());
        }
        let text = format!("SAVEPOINT {}", savepoint_name(transaction.savepoints.len()));
        transaction.savepoints.push(name.to_owned());
        transaction.run_writing(text).await
    }

    async fn rollback_to(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        let place = transaction.place(name)?;
        transaction.savepoints.truncate(place + 1);
        // If SQLite has rolled everything back by itself there is nothing to go back to.
        transaction.failed = true;
        transaction.run_writing(format!("ROLLBACK TO {}", savepoint_name(place))).await?;
        transaction.failed = false;
        Ok(())
    }

    async fn release(&mut self, name: &str) -> Result<(), NodeError> {
        let transaction = self.transaction.as_mut().ok_or_else(no_transaction)?;
        if transaction.failed {
            return Err(aborted());
        }
        let place = transaction.place(name)?;
        transaction.savepoints.truncate(place);
        transaction.run_writing(format!("RELEASE {}", savepoint_name(place))).await
    }
}

impl Transaction {
    fn place(&mut self, name: &str) -> Result<usize, NodeError> {
        let place = self.savepoints.iter().rposition(|known| known == name);
        if place.is_none() {
            self.failed = true;
        }
        place.ok_or_else(|| {
            NodeError::statement("3B001", format!("savepoint \"{name}\" does not exist"))
        })
    }

    /// Runs a text on the sessions that write; the others have nothing to go back to.
    async fn run_writing(&mut self, text: String) -> Result<(), NodeError> {
        for mut held in std::mem::take(&mut self.held) {
            if !held.writing {
                self.held.push(held);
                continue;
            }
            let text = text.clone();
            let (held, result) = blocking(move || {
                let result = held.lease.session().and_then(|session| {
                    session.run(&text)?;
                    // A definition may have been undone.
                    if held.defined { session.reload() } else { Ok(()) }
                });
                Ok((held, result))
            })
            .await?;
            self.held.push(held);
            result?;
        }
        Ok(())
    }
}

/// Ends the SQLite transactions of a transaction.
async fn close(transaction: Transaction, word: &'static str) -> Result<(), NodeError> {
    for mut held in transaction.held {
        blocking(move || {
            let session = held.lease.session()?;
            // Some failures have made SQLite roll back by itself.
            if word == "COMMIT" || !session.connection.is_autocommit() {
                session.run_cached(word)?;
            }
            if held.defined {
                if word == "COMMIT" {
                    held.lease.instance().changed();
                } else {
                    session.generation = 0;
                }
            }
            drop(held.lease);
            drop(held.permit);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// One execution on its way.
struct Request {
    context: StatementContext,
    statement: Arc<NodeStatement>,
    parameters: Parameters,
    formats: ResultFormats,
    stop: CancellationToken,
    sender: mpsc::Sender<Batch>,
}

type Finished = (Option<Box<SqliteConnection>>, Result<End, NodeError>);

impl SqliteConnection {
    /// Runs a statement to its end and hands the connection back.
    async fn run(mut self: Box<Self>, request: Request) -> Finished {
        if self.transaction.as_ref().is_some_and(|transaction| transaction.failed) {
            return (Some(self), Err(aborted()));
        }
        let stop = request.stop.clone();
        let time_left = request.context.time_left_ms.map(Duration::from_millis);
        let result = {
            let work = self.work(request);
            tokio::pin!(work);
            match time_left {
                None => work.await,
                Some(time_left) => tokio::select! {
                    result = &mut work => result,
                    () = tokio::time::sleep(time_left) => {
                        stop.cancel();
                        work.await.map_err(|error| match error.sqlstate.as_str() {
                            "57014" => NodeError {
                                message: "canceling statement due to statement timeout".to_owned(),
                                ..error
                            },
                            _ => error,
                        })
                    }
                },
            }
        };
        if result.is_err()
            && let Some(transaction) = &mut self.transaction
        {
            transaction.failed = true;
        }
        (Some(self), result)
    }

    async fn work(&mut self, request: Request) -> Result<End, NodeError> {
        let prepared = self.folder.prepare(&request.statement)?;
        let context = Arc::new(super::session::context_of(&request.context));
        if let NodeQuery::Define(definition) = &request.statement.query
            && define_file(&self.folder.clone(), definition).await?
        {
            return Ok(End::default());
        }
        self.check_read_only(&prepared)?;
        let instance = match &prepared.instance {
            Some(name) => self.folder.instance(name)?,
            None => self.folder.nowhere(),
        };
        let writes = match &prepared.work {
            Work::Read { locking, .. } => *locking && self.transaction.is_some(),
            Work::Write { .. } | Work::Joined { .. } | Work::Define => true,
        };
        let defines = matches!(prepared.work, Work::Define);
        let stop = request.stop.clone();
        let patience = lock_timeout(&request.context);
        let job = Job { prepared, request, context };
        let Some(transaction) = &mut self.transaction else {
            let mut lease = if writes {
                instance.write(&stop, patience).await?
            } else {
                instance.read(&stop).await?
            };
            return blocking(move || {
                let session = lease.session()?;
                if !writes {
                    return job.read(session);
                }
                let (end, batches) = job.run_alone(session)?;
                if defines {
                    lease.instance().changed();
                }
                drop(lease);
                job.hand_on(batches);
                Ok(end)
            })
            .await;
        };
        // The session that this transaction already holds on the file, if it does.
        let place = transaction.held.iter().position(|held| {
            held.lease.instance().name() == instance.name() && prepared_instance(&instance)
        });
        let snapshot = transaction.options.isolation != Isolation::ReadCommitted;
        let mut held = match place {
            Some(place) => transaction.held.swap_remove(place),
            None if writes => {
                if transaction.held.iter().any(|held| held.writing) {
                    return Err(NodeError::unsupported("a transaction writes to one SQLite file"));
                }
                let lease = instance.write(&stop, patience).await?;
                Held { lease, permit: None, writing: false, defined: false }
            }
            None => {
                let lease = instance.read(&stop).await?;
                if !snapshot || instance.name().is_empty() {
                    let mut lease = lease;
                    return blocking(move || job.read(lease.session()?)).await;
                }
                Held { lease, permit: None, writing: false, defined: false }
            }
        };
        let fresh = place.is_none();
        let mut upgrade = false;
        if writes && !held.writing {
            if !fresh {
                if transaction.held.iter().any(|held| held.writing) {
                    transaction.held.push(held);
                    return Err(NodeError::unsupported("a transaction writes to one SQLite file"));
                }
                match instance.write_permit(&stop, patience).await {
                    Ok(permit) => held.permit = Some(permit),
                    Err(error) => {
                        transaction.held.push(held);
                        return Err(error);
                    }
                }
            }
            upgrade = true;
        }
        let savepoints = transaction.savepoints.len();
        let (held, result) = blocking(move || {
            let result = (|| {
                let session = held.lease.session()?;
                if fresh {
                    session.run_cached(if writes { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
                }
                if upgrade {
                    if !fresh {
                        take_write_lock(session)?;
                    }
                    for place in 0..savepoints {
                        session.run(&format!("SAVEPOINT {}", savepoint_name(place)))?;
                    }
                    held.writing = true;
                }
                held.defined |= defines;
                if !writes {
                    return job.read(session);
                }
                let (end, batches) = job.run_within(session)?;
                job.hand_on(batches);
                Ok(end)
            })();
            Ok((held, result))
        })
        .await?;
        if let Some(transaction) = &mut self.transaction {
            transaction.held.push(held);
        }
        result
    }

    fn check_read_only(&self, prepared: &Prepared) -> Result<(), NodeError> {
        let read_only = self.transaction.as_ref().is_some_and(|found| found.options.read_only);
        let verb = match &prepared.work {
            _ if !read_only => return Ok(()),
            Work::Read { locking: false, .. } => return Ok(()),
            Work::Read { .. } => "SELECT FOR UPDATE",
            Work::Write { verb, .. } | Work::Joined { verb, .. } => verb,
            Work::Define => "a change of schema",
        };
        Err(NodeError::statement(
            "25006",
            format!("cannot execute {verb} in a read-only transaction"),
        ))
    }
}

/// The session's `lock_timeout`, in SHOW's form: `250ms`, `5s`, `2min`.
fn lock_timeout(context: &StatementContext) -> Option<Duration> {
    let (_, value) =
        context.settings.iter().find(|(name, _)| name.eq_ignore_ascii_case("lock_timeout"))?;
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = value[..digits].parse().ok()?;
    let unit_ms = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    (number > 0).then(|| Duration::from_millis(number.saturating_mul(unit_ms)))
}

/// Carries out a definition that makes or removes a file.
async fn define_file(folder: &Folder, definition: &Definition) -> Result<bool, NodeError> {
    match definition {
        Definition::CreateInstance { shard_instance } => {
            folder.create(shard_instance).await?;
        }
        Definition::DropInstance { shard_instance } => {
            folder.remove(shard_instance).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn prepared_instance(instance: &super::connect::Instance) -> bool {
    !instance.name().is_empty()
}

/// Makes a session with a snapshot one that writes; SQLite refuses when the snapshot is old.
fn take_write_lock(session: &Session) -> Result<(), NodeError> {
    // The smallest write there is: it changes nothing and needs the lock.
    session
        .run("DELETE FROM dataman_collection WHERE 0")
        .map_err(|error| if error.sqlstate == "55P03" { serialization() } else { error })
}

/// An execution with everything that it needs on the blocking thread.
struct Job {
    prepared: Arc<Prepared>,
    request: Request,
    context: Arc<Context>,
}

impl Job {
    /// Runs a read, handing its batches on as they come.
    fn read(&self, session: &mut Session) -> Result<End, NodeError> {
        self.run(session).map(|(end, _)| end)
    }

    fn run(&self, session: &mut Session) -> Result<(End, Vec<Batch>), NodeError> {
        let stop = &self.request.stop;
        session.begin_statement(
            self.context.clone(),
            self.prepared.expressions.clone(),
            stop.clone(),
        );
        let handle = tokio::runtime::Handle::current();
        let execution = Execution {
            statement: self.request.statement.clone(),
            prepared: self.prepared.clone(),
            parameters: self.request.parameters.clone(),
            formats: self.request.formats.formats.clone(),
        };
        let mut emit = |batch: Batch| {
            handle.block_on(async {
                tokio::select! {
                    biased; // a cancelled statement hands on nothing more
                    () = stop.cancelled() => Err(NodeError::cancelled()),
                    sent = self.request.sender.send(batch) => {
                        sent.map_err(|_| NodeError::cancelled())
                    }
                }
            })
        };
        let done = execution.run(session, &mut emit);
        // Whatever runs next on this session is no part of the statement.
        session.begin_statement(Arc::default(), Arc::default(), CancellationToken::new());
        let (affected, batches) = done?;
        Ok((End { affected }, batches))
    }

    /// Hands on the rows of a write that has been carried out. A cancel comes too late for it.
    fn hand_on(&self, batches: Vec<Batch>) {
        for batch in batches {
            if self.request.sender.blocking_send(batch).is_err() {
                return;
            }
        }
    }

    /// Runs a write in a transaction of its own.
    fn run_alone(&self, session: &mut Session) -> Result<(End, Vec<Batch>), NodeError> {
        session.run_cached("BEGIN IMMEDIATE")?;
        let result = self.run(session).and_then(|done| {
            session.run_cached("COMMIT")?;
            Ok(done)
        });
        if result.is_err() && !session.connection.is_autocommit() {
            // A definition may be undone with it.
            session.generation = 0;
            session.run_cached("ROLLBACK")?;
        }
        result
    }

    /// Runs a write so that its failure undoes only itself.
    fn run_within(&self, session: &mut Session) -> Result<(End, Vec<Batch>), NodeError> {
        let defines = matches!(self.prepared.work, Work::Define);
        session.run_cached("SAVEPOINT dm_statement")?;
        let result = self.run(session);
        // Some failures (a full disk) make SQLite roll back the whole transaction itself.
        if !session.connection.is_autocommit() {
            if result.is_err() {
                session.run_cached("ROLLBACK TO dm_statement")?;
                if defines {
                    session.reload()?;
                }
            }
            session.run_cached("RELEASE dm_statement")?;
        }
        result
    }
}

/// The rows of one execution.
struct Rows {
    receiver: mpsc::Receiver<Batch>,
    tasks: JoinSet<Finished>,
    stop: CancellationToken,
    end: Option<End>,
    connection: Option<Box<SqliteConnection>>,
}

#[async_trait]
impl RowStream for Rows {
    async fn next(&mut self) -> Result<Option<Batch>, NodeError> {
        if let Some(batch) = self.receiver.recv().await {
            return Ok(Some(batch));
        }
        match self.tasks.join_next().await {
            Some(Ok((connection, result))) => {
                self.connection = connection;
                self.end = Some(result?);
                Ok(None)
            }
            Some(Err(error)) => {
                Err(NodeError::statement("XX000", format!("SQLite work failed: {error}")))
            }
            None => Ok(None),
        }
    }

    fn end(&self) -> End {
        self.end.unwrap_or_default()
    }

    fn into_connection(mut self: Box<Self>) -> Option<Box<dyn NodeConnection>> {
        self.connection.take().map(|connection| connection as Box<dyn NodeConnection>)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use dataman_node_protocol::definition::{
        CollectionShape, ConstraintKind, ConstraintShape, FieldShape, ForeignKeyAction,
    };
    use dataman_node_protocol::query::{
        Insert, NamedType, OutputField, Records, Select, Source, Target,
    };
    use dataman_pg::expr::{Expr, Field, SortKey};
    use dataman_pg::types::{TypeId, TypeRef};
    use dataman_pg::value::Value;

    use super::*;
    use crate::driver::contract::{Datasource, Driver, Limits};
    use crate::driver::sqlite::SqliteDriver;

    const INSTANCE: &str = "dbshard_app_0";

    async fn open(folder: &std::path::Path) -> Arc<dyn Datasource> {
        let url = folder.to_str().unwrap();
        SqliteDriver.open(url, Limits::default()).await.unwrap()
    }

    fn target(collection: &str) -> Target {
        Target { db: "app".into(), shard_instance: INSTANCE.into(), collection: collection.into() }
    }

    async fn run(
        connection: Box<dyn NodeConnection>,
        query: NodeQuery,
        parameters: &[Option<&str>],
        types: &[TypeId],
    ) -> (Box<dyn NodeConnection>, Result<(Vec<String>, u64), NodeError>) {
        let statement = Arc::new(NodeStatement::new(query, types.to_vec()));
        let parameters = Parameters {
            values: parameters
                .iter()
                .map(|value| value.map(|text| bytes::Bytes::copy_from_slice(text.as_bytes())))
                .collect(),
            formats: Vec::new(),
        };
        let mut rows = connection
            .execute(
                &StatementContext::default(),
                &statement,
                &parameters,
                &ResultFormats::default(),
                &CancellationToken::new(),
            )
            .await;
        let mut lines = Vec::new();
        let result = loop {
            match rows.next().await {
                Ok(Some(batch)) => lines.extend(batch.iter().map(|row| {
                    row.columns()
                        .map(|column| match column {
                            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                            None => "null".to_owned(),
                        })
                        .collect::<Vec<_>>()
                        .join("|")
                })),
                Ok(None) => break Ok((lines, rows.end().affected)),
                Err(error) => break Err(error),
            }
        };
        (rows.into_connection().unwrap(), result)
    }

    fn field(name: &str, ty: TypeId, not_null: bool) -> FieldShape {
        FieldShape { name: name.into(), ty: TypeRef::plain(ty), enum_labels: None, not_null }
    }

    fn shape(name: &str) -> CollectionShape {
        CollectionShape {
            target: target(name),
            label: name.to_owned(),
            fields: vec![
                field("id", TypeId::INT4, true),
                field("Name", TypeId::TEXT, false),
                field("price", TypeId::NUMERIC, false),
            ],
            constraints: vec![ConstraintShape {
                name: format!("{name}_pkey"),
                kind: ConstraintKind::PrimaryKey { fields: vec!["id".into()] },
            }],
            indexes: Vec::new(),
        }
    }

    fn named(name: &str, ty: TypeId) -> NamedType {
        NamedType { name: name.into(), ty: TypeRef::plain(ty) }
    }

    fn read(name: &str, ty: TypeId) -> Expr {
        Expr::Field(Field { source: "t".into(), name: name.into(), ty: TypeRef::plain(ty) })
    }

    fn insert(collection: &str, fields: Vec<NamedType>) -> NodeQuery {
        NodeQuery::InsertMany(Insert {
            target: target(collection),
            fields,
            records: Records::Parameters,
            conflict: None,
            returning: Vec::new(),
            alias: String::new(),
            subqueries: Vec::new(),
        })
    }

    fn select(collection: &str) -> NodeQuery {
        let fields = [("id", TypeId::INT4), ("Name", TypeId::TEXT), ("price", TypeId::NUMERIC)];
        NodeQuery::Filter(Select {
            source: vec![Source::Collection {
                target: target(collection),
                alias: "t".into(),
                fields: fields.iter().map(|(name, ty)| named(name, *ty)).collect(),
            }],
            fields: fields
                .iter()
                .map(|(name, ty)| OutputField::Bound {
                    expr: read(name, *ty),
                    name: (*name).to_owned(),
                })
                .collect(),
            sort: vec![SortKey {
                expr: read("price", TypeId::NUMERIC),
                descending: true,
                nulls_first: false,
            }],
            limit: Some(Expr::constant(Value::Int8(3), TypeId::INT8)),
            ..Select::default()
        })
    }

    #[tokio::test]
    async fn rows_go_in_and_come_back_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let node = open(folder.path()).await;
        let mut connection = node.connect().await.unwrap();
        for definition in [
            Definition::CreateInstance { shard_instance: INSTANCE.into() },
            Definition::CreateInstance { shard_instance: INSTANCE.into() },
            Definition::CreateCollection(shape("orders")),
            Definition::CreateCollection(shape("orders")),
        ] {
            let (back, result) = run(connection, NodeQuery::Define(definition), &[], &[]).await;
            result.unwrap();
            connection = back;
        }
        let fields = vec![
            named("id", TypeId::INT4),
            named("Name", TypeId::TEXT),
            named("price", TypeId::NUMERIC),
        ];
        let values = [
            Some("1"),
            Some("a"),
            Some("9.50"),
            Some("2"),
            None,
            Some("10"),
            Some("3"),
            Some("c"),
            None,
            Some("4"),
            Some("d"),
            Some("-1"),
        ];
        let (connection, result) =
            run(connection, insert("orders", fields.clone()), &values, &[]).await;
        assert_eq!(result.unwrap().1, 4);
        let (connection, result) = run(connection, select("orders"), &[], &[]).await;
        assert_eq!(result.unwrap().0, ["2|null|10", "1|a|9.50", "4|d|-1"]);

        let check = |result: Result<(Vec<String>, u64), NodeError>,
                     state: &str,
                     message: &str,
                     detail: &str| {
            let error = result.unwrap_err();
            assert_eq!(error.message, message);
            assert_eq!((error.sqlstate.as_str(), error.detail.as_deref()), (state, Some(detail)));
        };
        let values = [Some("7"), None, None, Some("2"), Some("x"), Some("1.0")];
        let (connection, result) =
            run(connection, insert("orders", fields.clone()), &values, &[]).await;
        check(
            result,
            "23505",
            "duplicate key value violates unique constraint \"orders_pkey\"",
            "Key (id)=(2) already exists.",
        );
        let values = [None, Some("x"), Some("1.50")];
        let (connection, result) = run(connection, insert("orders", fields), &values, &[]).await;
        check(
            result,
            "23502",
            "null value in column \"id\" of relation \"orders\" violates not-null constraint",
            "Failing row contains (null, x, 1.50).",
        );
        drop(connection);

        // Another process would see the same.
        let node = open(folder.path()).await;
        assert_eq!(node.instances().await.unwrap(), [INSTANCE]);
        let inspected = node.inspect(INSTANCE).await.unwrap().unwrap();
        assert_eq!(inspected[0].primary_key, ["id"]);
        let (_, result) = run(node.connect().await.unwrap(), select("orders"), &[], &[]).await;
        assert_eq!(result.unwrap().0.len(), 3);
    }

    #[tokio::test]
    async fn foreign_keys_hold_at_the_end_of_a_statement() {
        let folder = tempfile::tempdir().unwrap();
        let node = open(folder.path()).await;
        let mut connection = node.connect().await.unwrap();
        let mut child = shape("child");
        child.constraints.push(ConstraintShape {
            name: "child_price_fkey".into(),
            kind: ConstraintKind::ForeignKey {
                fields: vec!["Name".into()],
                references: "parent".into(),
                references_label: "parent".into(),
                references_fields: vec!["Name".into()],
                on_delete: ForeignKeyAction::NoAction,
                on_update: ForeignKeyAction::Cascade,
            },
        });
        let mut parent = shape("parent");
        parent.constraints.push(ConstraintShape {
            name: "parent_name_key".into(),
            kind: ConstraintKind::Unique { fields: vec!["Name".into()], nulls_not_distinct: false },
        });
        for definition in [
            Definition::CreateInstance { shard_instance: INSTANCE.into() },
            Definition::CreateCollection(parent),
            Definition::CreateCollection(child),
        ] {
            let (back, result) = run(connection, NodeQuery::Define(definition), &[], &[]).await;
            result.unwrap();
            connection = back;
        }
        let fields = vec![named("id", TypeId::INT4), named("Name", TypeId::TEXT)];
        let (connection, result) = run(
            connection,
            insert("child", fields.clone()),
            &[Some("1"), None, Some("2"), Some("x")],
            &[],
        )
        .await;
        let error = result.unwrap_err();
        assert_eq!(
            error.message,
            "insert or update on table \"child\" violates foreign key constraint \"child_price_fkey\""
        );
        assert_eq!(
            error.detail.as_deref(),
            Some("Key (Name)=(x) is not present in table \"parent\".")
        );
        let (connection, result) =
            run(connection, insert("parent", fields.clone()), &[Some("1"), Some("x")], &[]).await;
        result.unwrap();
        let (connection, result) =
            run(connection, insert("child", fields), &[Some("2"), Some("x")], &[]).await;
        result.unwrap();
        let update = NodeQuery::Update(dataman_node_protocol::query::Update {
            target: target("parent"),
            alias: "t".into(),
            record_op: vec![("Name".into(), Expr::constant(Value::text("y"), TypeId::TEXT))],
            record: serde_json::Map::new(),
            source: Vec::new(),
            filter: None,
            returning: Vec::new(),
            subqueries: Vec::new(),
        });
        let (connection, result) = run(connection, update, &[], &[]).await;
        assert_eq!(result.unwrap().1, 1);
        let (connection, result) = run(connection, select("child"), &[], &[]).await;
        assert_eq!(result.unwrap().0, ["2|y|null"]);
        let delete = NodeQuery::Delete(dataman_node_protocol::query::Delete {
            target: target("parent"),
            alias: "t".into(),
            source: Vec::new(),
            filter: None,
            returning: vec![OutputField::Bound {
                expr: read("id", TypeId::INT4),
                name: "id".into(),
            }],
            subqueries: Vec::new(),
        });
        let (_, result) = run(connection, delete, &[], &[]).await;
        assert_eq!(
            result.unwrap_err().detail.as_deref(),
            Some("Key (Name)=(y) is still referenced from table \"child\".")
        );
    }
}
