//! The driver as its users see it, beyond the suite that all drivers pass: what a file keeps, who waits for whom, what a
//! full disk does.

use std::sync::Arc;
use std::time::Duration;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::definition::{
    CollectionShape, ConstraintKind, ConstraintShape, Definition, FieldShape, ForeignKeyAction,
};
use dataman_node_protocol::node::{
    Isolation, NodeConnection, NodeStatement, Parameters, ResultFormats, StatementContext,
    TransactionOptions,
};
use dataman_node_protocol::query::{
    Condition, Insert, NamedType, NodeQuery, OutputField, Records, Select, Source, Target,
};
use dataman_pg::catalog;
use dataman_pg::expr::{Call, Expr, Field, SortKey};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use tokio_util::sync::CancellationToken;

use crate::driver::contract::{Datasource, Driver, Limits};
use crate::driver::sqlite::SqliteDriver;

const INSTANCE: &str = "dbshard_app_0";

async fn open(folder: &std::path::Path) -> Arc<dyn Datasource> {
    let url = folder.to_str().unwrap();
    SqliteDriver.open(url, Limits::default()).await.unwrap()
}

fn target(collection: &str) -> Target {
    Target {
        db: "app".into(),
        shard_instance: INSTANCE.into(),
        collection: collection.into(),
        adopted: None,
    }
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
    assert_eq!(error.detail.as_deref(), Some("Key (Name)=(x) is not present in table \"parent\"."));
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
        returning: vec![OutputField::Bound { expr: read("id", TypeId::INT4), name: "id".into() }],
        subqueries: Vec::new(),
    });
    let (_, result) = run(connection, delete, &[], &[]).await;
    assert_eq!(
        result.unwrap_err().detail.as_deref(),
        Some("Key (Name)=(y) is still referenced from table \"child\".")
    );
}

/// A node with an empty collection `orders`.
async fn orders(folder: &std::path::Path) -> Arc<dyn Datasource> {
    let node = open(folder).await;
    let mut connection = node.connect().await.unwrap();
    for definition in [
        Definition::CreateInstance { shard_instance: INSTANCE.into() },
        Definition::CreateCollection(shape("orders")),
    ] {
        let (back, result) = run(connection, NodeQuery::Define(definition), &[], &[]).await;
        result.unwrap();
        connection = back;
    }
    node
}

fn row() -> NodeQuery {
    insert("orders", vec![named("id", TypeId::INT4)])
}

async fn begin(node: &Arc<dyn Datasource>, isolation: Isolation) -> Box<dyn NodeConnection> {
    let mut connection = node.connect().await.unwrap();
    let options = TransactionOptions { isolation, read_only: false };
    connection.begin(&StatementContext::default(), options).await.unwrap();
    connection
}

async fn count(connection: Box<dyn NodeConnection>) -> (Box<dyn NodeConnection>, usize) {
    let (connection, result) = run(connection, select("orders"), &[], &[]).await;
    (connection, result.unwrap().0.len())
}

#[tokio::test]
async fn a_snapshot_stays_and_refuses_to_write_when_old() {
    let folder = tempfile::tempdir().unwrap();
    let node = orders(folder.path()).await;
    let fixed = begin(&node, Isolation::RepeatableRead).await;
    let (fixed, before) = count(fixed).await;
    let moving = begin(&node, Isolation::ReadCommitted).await;
    let (moving, _) = count(moving).await;
    let (_, result) = run(node.connect().await.unwrap(), row(), &[Some("1")], &[]).await;
    result.unwrap();
    let (fixed, after) = count(fixed).await;
    assert_eq!((before, after), (0, 0));
    let (mut moving, seen) = count(moving).await;
    assert_eq!(seen, 1);
    moving.rollback().await.unwrap();

    let (mut fixed, result) = run(fixed, row(), &[Some("2")], &[]).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("40001", "could not serialize access due to concurrent update")
    );
    fixed.rollback().await.unwrap();
    // With a fresh snapshot it goes, and the transaction reads what it wrote.
    let fixed = begin(&node, Isolation::Serializable).await;
    let (fixed, _) = count(fixed).await;
    let (fixed, result) = run(fixed, row(), &[Some("2")], &[]).await;
    result.unwrap();
    let (mut fixed, seen) = count(fixed).await;
    assert_eq!(seen, 2);
    fixed.commit().await.unwrap();
}

#[tokio::test]
async fn a_second_writer_waits_and_readers_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let node = orders(folder.path()).await;
    let writing = begin(&node, Isolation::ReadCommitted).await;
    let (mut writing, result) = run(writing, row(), &[Some("1")], &[]).await;
    result.unwrap();
    let (_, seen) = count(node.connect().await.unwrap()).await;
    assert_eq!(seen, 0, "a reader sees what is committed, at once");

    let impatient = StatementContext {
        settings: Arc::new(vec![("lock_timeout".to_owned(), "20ms".to_owned())]),
        ..StatementContext::default()
    };
    let statement = Arc::new(NodeStatement::new(row(), Vec::new()));
    let second = Parameters { values: vec![Some("2".into())], formats: Vec::new() };
    let (formats, cancel) = (ResultFormats::default(), CancellationToken::new());
    let connection = node.connect().await.unwrap();
    let mut rows = connection.execute(&impatient, &statement, &second, &formats, &cancel).await;
    let error = rows.next().await.unwrap_err();
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("55P03", "canceling statement due to lock timeout")
    );

    let connection = rows.into_connection().unwrap();
    let patient = StatementContext::default();
    let mut rows = connection.execute(&patient, &statement, &second, &formats, &cancel).await;
    let early = tokio::time::timeout(Duration::from_millis(50), rows.next()).await;
    assert!(early.is_err(), "the file's one writer is taken");
    writing.commit().await.unwrap();
    assert!(rows.next().await.unwrap().is_none());
    assert_eq!(rows.end().affected, 1);
    let (_, seen) = count(node.connect().await.unwrap()).await;
    assert_eq!(seen, 2);
}

#[tokio::test]
async fn a_time_limit_ends_a_statement() {
    let folder = tempfile::tempdir().unwrap();
    let node = orders(folder.path()).await;
    let values: Vec<String> = (0..3000).map(|id| id.to_string()).collect();
    let values: Vec<Option<&str>> = values.iter().map(|id| Some(id.as_str())).collect();
    let (connection, result) = run(node.connect().await.unwrap(), row(), &values, &[]).await;
    result.unwrap();
    let NodeQuery::Filter(mut query) = select("orders") else { unreachable!() };
    for alias in ["u", "w"] {
        query.source.push(Source::Collection {
            target: target("orders"),
            alias: alias.into(),
            fields: Vec::new(),
        });
    }
    let statement = Arc::new(NodeStatement::new(NodeQuery::Filter(query), Vec::new()));
    let context = StatementContext { time_left_ms: Some(50), ..StatementContext::default() };
    let mut rows = connection
        .execute(
            &context,
            &statement,
            &Parameters::default(),
            &ResultFormats::default(),
            &CancellationToken::new(),
        )
        .await;
    let error = rows.next().await.unwrap_err();
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("57014", "canceling statement due to statement timeout")
    );
}

#[tokio::test]
async fn a_full_disk_is_said_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let node = orders(folder.path()).await;
    let (_, result) = run(node.connect().await.unwrap(), row(), &[Some("1")], &[]).await;
    result.unwrap();
    drop(node);
    // A file that may not grow behaves like a full disk.
    let node = super::connect::open_for_test(folder.path(), Some(20)).await;
    let connection = begin(&node, Isolation::ReadCommitted).await;
    let (connection, result) = run(connection, row(), &[Some("2")], &[]).await;
    result.unwrap();
    let long = "x".repeat(100_000);
    let big = insert("orders", vec![named("id", TypeId::INT4), named("Name", TypeId::TEXT)]);
    let (mut connection, result) = run(connection, big, &[Some("3"), Some(&long)], &[]).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.sqlstate.as_str(), error.hint.as_deref()),
        ("53100", Some("Check free disk space."))
    );
    connection.rollback().await.unwrap();
    let (connection, seen) = count(connection).await;
    assert_eq!(seen, 1);
    let (_, result) = run(connection, row(), &[Some("4")], &[]).await;
    result.unwrap();
}

#[tokio::test]
async fn a_foreign_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let node = orders(folder.path()).await;
    drop(node);
    let file = folder.path().join(format!("{INSTANCE}.sqlite"));
    let check = async |bytes: &[u8], state: &str, message: &str| {
        std::fs::write(&file, bytes).unwrap();
        let node = open(folder.path()).await;
        let (_, result) = run(node.connect().await.unwrap(), select("orders"), &[], &[]).await;
        let error = result.unwrap_err();
        assert_eq!((error.sqlstate.as_str(), error.message.as_str()), (state, message));
    };
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("{INSTANCE}.sqlite{suffix}")));
    }
    check(b"", "XX001", "the SQLite file was not made by dataman").await;
    check(&[7; 5000], "XX001", "the SQLite file is damaged: file is not a database").await;
}

/// A statement tried at once: the bytes of its answer, or none when it is for the ordinary way.
fn at_once(connection: &mut Box<dyn NodeConnection>, query: NodeQuery) -> Option<Vec<u8>> {
    let statement = Arc::new(NodeStatement::new(query, Vec::new()));
    let passing = connection.pass_through().unwrap();
    let nothing = b"\0\0\0\0\0\0";
    passing.put_statement(&StatementContext::default(), &statement, nothing).ok()?;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut out = bytes::BytesMut::new();
    let passed = passing.poll_pass(&mut context, b"<", &mut out);
    assert!(matches!(passed, std::task::Poll::Ready(Ok(_))));
    Some(out.to_vec())
}

#[tokio::test]
async fn only_short_reads_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let mut connection = node.connect().await.unwrap();
    for definition in [
        Definition::CreateInstance { shard_instance: INSTANCE.into() },
        Definition::CreateCollection(shape("orders")),
    ] {
        let (back, result) = run(connection, NodeQuery::Define(definition), &[], &[]).await;
        result.unwrap();
        connection = back;
    }
    // No session is open yet, so nothing is at once.
    assert_eq!(at_once(&mut connection, select("orders")), None);
    let ids: Vec<String> = (0..30_000).map(|id| id.to_string()).collect();
    let values: Vec<_> = ids.iter().map(|id| Some(id.as_str())).collect();
    let fields = vec![named("id", TypeId::INT4)];
    let (back, result) = run(connection, insert("orders", fields), &values, &[TypeId::INT4]).await;
    assert_eq!(result.unwrap().1, 30_000);
    let (mut connection, first) = run(back, by_id("orders", 7), &[], &[]).await;
    assert_eq!(first.unwrap().0, ["7|null|null"]);

    let short = at_once(&mut connection, by_id("orders", 7)).unwrap();
    assert!(short.starts_with(b"<D") && short.ends_with(b"SELECT 1\0"), "{short:?}");
    // Too many rows, too many steps, a write.
    let NodeQuery::Filter(all) = select("orders") else { unreachable!() };
    let all = NodeQuery::Filter(Select { sort: Vec::new(), limit: None, ..all });
    assert_eq!(at_once(&mut connection, all), None);
    assert_eq!(at_once(&mut connection, select("orders")), None);
    assert_eq!(at_once(&mut connection, insert("orders", Vec::new())), None);
    // Neither has left anything behind.
    assert_eq!(at_once(&mut connection, by_id("orders", 7)), Some(short));
    let (mut connection, sorted) = run(connection, select("orders"), &[], &[]).await;
    assert_eq!(sorted.unwrap().0.len(), 3);
    let options = TransactionOptions::default();
    connection.begin(&StatementContext::default(), options).await.unwrap();
    assert_eq!(at_once(&mut connection, by_id("orders", 7)), None);
}

fn by_id(collection: &str, id: i32) -> NodeQuery {
    let NodeQuery::Filter(query) = select(collection) else { unreachable!() };
    let equal = catalog::operators_named("=")
        .iter()
        .find(|one| (one.left, one.right) == (TypeId::INT4, TypeId::INT4))
        .unwrap();
    let wanted = Expr::constant(Value::Int4(id), TypeId::INT4);
    let is_wanted = Expr::Call(Call {
        function: equal.function,
        operator: Some(equal.id),
        args: vec![read("id", TypeId::INT4), wanted],
        variadic: false,
        ty: TypeRef::plain(equal.result),
    });
    NodeQuery::Filter(Select { filter: Some(Condition::Expr(is_wanted)), ..query })
}
