//! The promises of [`contract`](super::contract) as tests: one suite for every driver, and for a driver behind an agent.
//!
//! Each check makes a shard instance of its own. A failure panics with what was found and what was promised. Values are
//! compared with PostgreSQL's own text forms, written out here, and their binary forms with those of `dataman-pg`, which is
//! itself tested against a server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dataman_node_protocol::capability::Feature;
use dataman_node_protocol::definition::{
    AlterStep, CollectionShape, ConstraintKind, ConstraintShape, Definition, FieldShape,
    ForeignKeyAction, IndexShape,
};
use dataman_node_protocol::node::{
    Node, NodeConnection, NodeStatement, Parameters, ResultFormats, RowStream, StatementContext,
    TransactionOptions,
};
use dataman_node_protocol::query::{
    Condition, Delete, Insert, NamedType, NodeQuery, OutputField, Records, Select, SortKey, Source,
    Target, Update,
};
use dataman_node_protocol::record::Format;
use dataman_node_protocol::{NodeError, NodeErrorKind};
use dataman_pg::expr::{Aggregate, Call, Expr, Field, FunctionId};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, catalog, io};
use tokio_util::sync::CancellationToken;

/// Runs all checks. `name` keeps the shard instances of several runs on one database apart.
///
/// # Panics
/// At the first promise that is not kept.
pub async fn run(node: Arc<dyn Node>, name: &str) {
    let suite = |check: &str| Probe {
        node: Arc::clone(&node),
        instance: format!("dbshard_{name}{check}_0"),
        context: StatementContext::default(),
    };
    values_come_back_whole(&suite("values")).await;
    filters_and_sorts(&suite("filter")).await;
    groups(&suite("group")).await;
    writes(&suite("write")).await;
    inserts_of_tuples(&suite("tuples")).await;
    failures_name_their_objects(&suite("failure")).await;
    definitions_can_be_repeated(&suite("define")).await;
    transactions(&suite("transaction")).await;
    savepoints(&suite("savepoint")).await;
    cancelled(&suite("cancel")).await;
    dropped(&suite("drop")).await;
    big_answers_come_in_batches(&suite("batch")).await;
}

/// A node, a shard instance on it, and short ways to say things.
pub struct Probe {
    /// The node.
    pub node: Arc<dyn Node>,
    /// The shard instance.
    pub instance: String,
    /// The context of every statement.
    pub context: StatementContext,
}

/// The rows of an answer, column by column, and its count.
pub type Answer = (Vec<Vec<Option<Bytes>>>, u64);

impl Probe {
    /// A collection of the instance.
    pub fn target(&self, collection: &str) -> Target {
        Target {
            db: String::new(),
            shard_instance: self.instance.clone(),
            collection: collection.to_owned(),
            adopted: None,
        }
    }

    /// Runs a query on a connection of its own.
    ///
    /// # Errors
    /// The statement's.
    pub async fn ask(&self, query: NodeQuery) -> Result<Answer, NodeError> {
        self.ask_with(query, Vec::new(), &[], Format::Text).await
    }

    /// Runs a query with parameters, all in one format, and asks for results in the same.
    ///
    /// # Errors
    /// The statement's.
    pub async fn ask_with(
        &self,
        query: NodeQuery,
        types: Vec<TypeId>,
        values: &[Option<Bytes>],
        format: Format,
    ) -> Result<Answer, NodeError> {
        let connection = self.node.connect().await?;
        let (answer, connection) = self.ask_on(connection, query, types, values, format).await;
        assert!(connection.is_some(), "a connection outlives a statement, failed or not");
        answer
    }

    /// Runs a query on a connection and gives the connection back.
    pub async fn ask_on(
        &self,
        connection: Box<dyn NodeConnection>,
        query: NodeQuery,
        types: Vec<TypeId>,
        values: &[Option<Bytes>],
        format: Format,
    ) -> (Result<Answer, NodeError>, Option<Box<dyn NodeConnection>>) {
        let statement = Arc::new(NodeStatement::new(query, types));
        let parameters =
            Parameters { values: values.to_vec(), formats: vec![format; values.len()] };
        let formats = ResultFormats { formats: vec![format] };
        let cancel = CancellationToken::new();
        let mut stream =
            connection.execute(&self.context, &statement, &parameters, &formats, &cancel).await;
        let answer = gather(&mut *stream).await;
        (answer, stream.into_connection())
    }

    async fn define(&self, definition: Definition) {
        self.ask(NodeQuery::Define(definition)).await.expect("the definition is carried out");
    }

    async fn instance(&self) {
        let name = self.instance.clone();
        self.define(Definition::DropInstance { shard_instance: name.clone() }).await;
        self.define(Definition::CreateInstance { shard_instance: name }).await;
    }

    /// Makes a collection whose first field is its primary key.
    async fn collection(&self, name: &str, fields: &[(&str, TypeId)]) -> CollectionShape {
        let shape = CollectionShape {
            target: self.target(name),
            label: name.to_owned(),
            fields: fields
                .iter()
                .enumerate()
                .map(|(place, (field, ty))| shape_field(field, *ty, place == 0))
                .collect(),
            constraints: vec![ConstraintShape {
                name: format!("{name}_pkey"),
                kind: ConstraintKind::PrimaryKey { fields: vec![fields[0].0.to_owned()] },
            }],
            indexes: Vec::new(),
        };
        self.define(Definition::CreateCollection(shape.clone())).await;
        shape
    }

    fn insert(&self, name: &str, fields: &[(&str, TypeId)], rows: &[&[Option<&str>]]) -> Insert {
        let constant = |(ty, text): (TypeId, &Option<&str>)| match text {
            None => Expr::null(ty),
            Some(text) => Expr::constant(value(text, ty), ty),
        };
        let row = |row: &&[Option<&str>]| {
            fields.iter().map(|(_, ty)| *ty).zip(row.iter()).map(constant).collect()
        };
        Insert {
            target: self.target(name),
            fields: fields.iter().map(|(name, ty)| named(name, *ty)).collect(),
            records: Records::Values(rows.iter().map(row).collect()),
            conflict: None,
            returning: Vec::new(),
            alias: "t".to_owned(),
            subqueries: Vec::new(),
        }
    }

    fn select(&self, name: &str, fields: &[(&str, TypeId)]) -> Select {
        Select {
            source: vec![Source::Collection {
                target: self.target(name),
                alias: "t".to_owned(),
                fields: fields.iter().map(|(name, ty)| named(name, *ty)).collect(),
            }],
            fields: fields.iter().map(|(name, ty)| output(name, field(name, *ty))).collect(),
            ..Select::default()
        }
    }

    async fn texts(&self, select: Select) -> Vec<String> {
        let (rows, affected) = self.ask(NodeQuery::Filter(select)).await.expect("the query runs");
        assert_eq!(affected, rows.len() as u64, "the count is the rows'");
        rows.iter().map(|row| show(row)).collect()
    }
}

async fn gather(stream: &mut dyn RowStream) -> Result<Answer, NodeError> {
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await? {
        let mut count = 0;
        for row in batch.iter() {
            rows.push(row.columns().map(|value| value.map(Bytes::copy_from_slice)).collect());
            count += 1;
        }
        assert_eq!(count, batch.rows, "a batch holds the rows it says");
    }
    Ok((rows, stream.end().affected))
}

fn show(row: &[Option<Bytes>]) -> String {
    let text = |value: &Option<Bytes>| match value {
        None => "NULL".to_owned(),
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    row.iter().map(text).collect::<Vec<_>>().join("|")
}

fn value(text: &str, ty: TypeId) -> Value {
    io::text::input(text, ty.into(), &Context::default()).expect("the test's own value is valid")
}

fn shape_field(name: &str, ty: TypeId, not_null: bool) -> FieldShape {
    FieldShape { name: name.to_owned(), ty: ty.into(), enum_labels: None, not_null }
}

fn named(name: &str, ty: TypeId) -> NamedType {
    NamedType { name: name.to_owned(), ty: ty.into() }
}

fn field(name: &str, ty: TypeId) -> Expr {
    Expr::Field(Field { source: "t".to_owned(), name: name.to_owned(), ty: ty.into() })
}

fn output(name: &str, expr: Expr) -> OutputField {
    OutputField::Bound { expr, name: name.to_owned() }
}

fn ascending(expr: Expr) -> SortKey {
    SortKey { expr, descending: false, nulls_first: false }
}

fn int4(number: i32) -> Expr {
    Expr::constant(Value::Int4(number), TypeId::INT4)
}

/// A call of a built-in operator over two operands of one type.
fn operator(name: &str, left: Expr, right: Expr) -> Expr {
    let found = catalog::operators_named(name)
        .iter()
        .find(|found| found.left == left.type_id() && found.right == right.type_id())
        .expect("the operator exists");
    Expr::Call(Call {
        function: found.function,
        operator: Some(found.id),
        args: vec![left, right],
        variadic: false,
        ty: TypeRef::plain(found.result),
    })
}

fn aggregate(name: &str, args: Vec<Expr>) -> Expr {
    let types: Vec<TypeId> = args.iter().map(Expr::type_id).collect();
    let found = catalog::functions_named(name)
        .iter()
        .find(|found| found.args == types)
        .expect("the aggregate exists");
    Expr::Aggregate(Box::new(Aggregate {
        function: FunctionId(found.id.0),
        args,
        distinct: false,
        order_by: Vec::new(),
        filter: None,
        ty: TypeRef::plain(found.result),
    }))
}

/// Every type with its extremes, in PostgreSQL's text form.
const VALUES: &[(&str, TypeId, &[&str])] = &[
    ("bool", TypeId::BOOL, &["t", "f"]),
    ("int2", TypeId::INT2, &["-32768", "32767", "0"]),
    ("int4", TypeId::INT4, &["-2147483648", "2147483647"]),
    ("int8", TypeId::INT8, &["-9223372036854775808", "9223372036854775807"]),
    ("float4", TypeId::FLOAT4, &["3.4028235e+38", "1e-45", "-0", "NaN", "-Infinity", "0.1"]),
    (
        "float8",
        TypeId::FLOAT8,
        &["1.7976931348623157e+308", "5e-324", "-0", "NaN", "Infinity", "0.1"],
    ),
    (
        "numeric",
        TypeId::NUMERIC,
        &[
            "0",
            "0.00",
            "-1.10",
            "NaN",
            "Infinity",
            "-Infinity",
            "123456789012345678901234567890.000000000000000000000000001",
        ],
    ),
    ("text", TypeId::TEXT, &["", " a ", "ä€😀", "'\"\\", "\t\n"]),
    ("varchar", TypeId::VARCHAR, &["", "x  "]),
    ("bpchar", TypeId::BPCHAR, &["a", ""]),
    ("bytea", TypeId::BYTEA, &["\\x", "\\x00ff27"]),
    (
        "date",
        TypeId::DATE,
        &["4713-01-01 BC", "5874897-12-31", "infinity", "-infinity", "2000-02-29"],
    ),
    ("time", TypeId::TIME, &["00:00:00", "24:00:00", "23:59:59.999999"]),
    ("timetz", TypeId::TIMETZ, &["00:00:00+15:59:59", "23:59:59.999999-15:59:59", "12:00:00+00"]),
    (
        "timestamp",
        TypeId::TIMESTAMP,
        &["4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity"],
    ),
    (
        "timestamptz",
        TypeId::TIMESTAMPTZ,
        &["4713-01-01 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "infinity", "-infinity"],
    ),
    (
        "interval",
        TypeId::INTERVAL,
        &["00:00:00", "-1 years -2 mons +3 days -04:05:06.000007", "178000000 years"],
    ),
    (
        "uuid",
        TypeId::UUID,
        &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ),
    ("json", TypeId::JSON, &["{ \"b\":1, \"a\" : [1,2.50] , \"a\":null}", "1.00"]),
    ("jsonb", TypeId::JSONB, &["{\"a\": [1, 2.50], \"bb\": null}", "\"\\u0001\"", "1.00"]),
    ("int4_array", TypeId::INT4_ARRAY, &["{}", "{1,NULL,3}", "[0:1]={1,2}", "{{1,2},{3,4}}"]),
    ("text_array", TypeId::TEXT_ARRAY, &["{\"\",\"NULL\",NULL,\"a,b\",\"\\\"\"}"]),
];

async fn values_come_back_whole(probe: &Probe) {
    probe.instance().await;
    for (name, ty, texts) in VALUES {
        // A type that the library does not read yet cannot be compared with it.
        let input = io::text::input(texts[0], (*ty).into(), &Context::default());
        if input.is_err_and(|error| error.sqlstate() == "0A000") {
            continue;
        }
        let fields = [("id", TypeId::INT4), ("value", *ty)];
        probe.collection(name, &fields).await;
        let context = Context::default();
        for (place, text) in texts.iter().enumerate() {
            let mut binary = Vec::new();
            io::binary::encode(&value(text, *ty), *ty, &mut binary);
            // By text and by binary parameters.
            for (format, bytes) in
                [(Format::Text, text.as_bytes().to_vec()), (Format::Binary, binary.clone())]
            {
                let id = i32::try_from(place).expect("few values") * 2
                    + i32::from(format == Format::Binary);
                let id = match format {
                    Format::Text => id.to_string().into_bytes(),
                    Format::Binary => id.to_be_bytes().to_vec(),
                };
                let insert = Insert {
                    records: Records::Values(vec![vec![
                        Expr::Param { index: 1, ty: TypeId::INT4 },
                        Expr::Param { index: 2, ty: *ty },
                    ]]),
                    ..probe.insert(name, &fields, &[])
                };
                let values = [Some(Bytes::from(id)), Some(Bytes::from(bytes))];
                let types = vec![TypeId::INT4, *ty];
                let (_, count) = probe
                    .ask_with(NodeQuery::Insert(insert), types, &values, format)
                    .await
                    .unwrap_or_else(|error| panic!("{name} {text:?} {format:?}: {error:?}"));
                assert_eq!(count, 1);
            }
            // As constants, and NULL.
            let place = i32::try_from(place).expect("few values");
            let (constant, null) = ((place + 1000).to_string(), (place + 2000).to_string());
            let rows: &[&[Option<&str>]] = &[&[Some(&constant), Some(text)], &[Some(&null), None]];
            let insert = probe.insert(name, &fields, rows);
            let answer = probe.ask(NodeQuery::InsertMany(insert)).await;
            assert_eq!(answer.unwrap_or_else(|error| panic!("{name} {text:?}: {error:?}")).1, 2);

            for (format, expected) in
                [(Format::Text, text.as_bytes().to_vec()), (Format::Binary, binary)]
            {
                let mut select = probe.select(name, &fields[1..]);
                select.fields = vec![output("value", field("value", *ty))];
                select.sort = vec![ascending(field("id", TypeId::INT4))];
                let id = field("id", TypeId::INT4);
                let wanted = [place * 2, place * 2 + 1, place + 1000, place + 2000];
                select.filter = Some(Condition::Any(
                    wanted
                        .iter()
                        .map(|id_wanted| {
                            Condition::Expr(operator("=", id.clone(), int4(*id_wanted)))
                        })
                        .collect(),
                ));
                if let Source::Collection { fields: known, .. } = &mut select.source[0] {
                    known.push(named("id", TypeId::INT4));
                }
                let (rows, _) = probe
                    .ask_with(NodeQuery::Filter(select), Vec::new(), &[], format)
                    .await
                    .unwrap_or_else(|error| panic!("{name} {text:?} {format:?}: {error:?}"));
                let expected = Some(Bytes::from(expected));
                let expected =
                    [expected.clone(), expected.clone(), expected, None].map(|value| vec![value]);
                assert_eq!(rows, expected, "{name} {text:?} as {format:?}");
            }
        }
        // And the library reads what came, as the proxy does when it merges.
        let (rows, _) = probe
            .ask_with(
                NodeQuery::Filter(probe.select(name, &fields)),
                Vec::new(),
                &[],
                Format::Binary,
            )
            .await
            .expect("all rows");
        for row in rows {
            let Some(bytes) = &row[1] else { continue };
            let value = io::binary::decode(bytes, (*ty).into()).expect("the library reads it");
            let mut out = Vec::new();
            io::text::output(&value, *ty, &context, &mut out);
            let out = String::from_utf8(out).expect("text is UTF-8");
            assert!(texts.contains(&out.as_str()), "{name}: {out:?}");
        }
    }
}

const PEOPLE: &[(&str, TypeId)] =
    &[("id", TypeId::INT4), ("name", TypeId::TEXT), ("age", TypeId::INT4)];

async fn people(probe: &Probe) {
    probe.instance().await;
    probe.collection("people", PEOPLE).await;
    let insert = probe.insert(
        "people",
        PEOPLE,
        &[
            &[Some("1"), Some("ada"), Some("36")],
            &[Some("2"), Some("Bob"), None],
            &[Some("3"), Some("zoë"), Some("7")],
            &[Some("4"), None, Some("36")],
            &[Some("5"), Some(""), Some("-1")],
        ],
    );
    assert_eq!(probe.ask(NodeQuery::InsertMany(insert)).await.expect("rows go in").1, 5);
}

async fn filters_and_sorts(probe: &Probe) {
    people(probe).await;
    let select = || probe.select("people", PEOPLE);
    let age = || field("age", TypeId::INT4);
    let mut query = select();
    query.filter = Some(Condition::Expr(operator("=", age(), int4(36))));
    query.sort = vec![ascending(field("id", TypeId::INT4))];
    assert_eq!(probe.texts(query).await, ["1|ada|36", "4|NULL|36"]);

    // NULLs last going up and first going down, unless asked otherwise; text by its bytes.
    let by = |name: &str, ty: TypeId, descending: bool, nulls_first: bool| {
        let mut query = select();
        query.sort = vec![
            SortKey { expr: field(name, ty), descending, nulls_first },
            ascending(field("id", TypeId::INT4)),
        ];
        query.fields = vec![output("id", field("id", TypeId::INT4))];
        query
    };
    assert_eq!(probe.texts(by("age", TypeId::INT4, false, false)).await, ["5", "3", "1", "4", "2"]);
    assert_eq!(probe.texts(by("age", TypeId::INT4, true, true)).await, ["2", "1", "4", "3", "5"]);
    assert_eq!(probe.texts(by("age", TypeId::INT4, false, true)).await, ["2", "5", "3", "1", "4"]);
    assert_eq!(
        probe.texts(by("name", TypeId::TEXT, false, false)).await,
        ["5", "2", "1", "3", "4"]
    );

    // Also text that is not of a field, or of a field's other type.
    let text = |text: &str| Expr::constant(Value::text(text), TypeId::TEXT);
    let mut query = select();
    query.filter = Some(Condition::Expr(operator("=", field("id", TypeId::INT4), int4(1))));
    query.fields = vec![
        output("upper first", operator("<", text("B"), text("a"))),
        output("accents last", operator("<", text("z"), text("é"))),
    ];
    assert_eq!(probe.texts(query).await, ["t|t"]);

    let mut query = by("age", TypeId::INT4, false, false);
    query.limit = Some(Expr::constant(Value::Int8(2), TypeId::INT8));
    query.offset = Some(Expr::constant(Value::Int8(1), TypeId::INT8));
    assert_eq!(probe.texts(query.clone()).await, ["3", "1"]);
    query.limit = Some(Expr::null(TypeId::INT8));
    assert_eq!(probe.texts(query).await, ["3", "1", "4", "2"]);
}

async fn groups(probe: &Probe) {
    people(probe).await;
    let age = || field("age", TypeId::INT4);
    let mut query = probe.select("people", PEOPLE);
    query.fields = vec![
        output("age", age()),
        output("count", aggregate("count", Vec::new())),
        output("max", aggregate("max", vec![field("name", TypeId::TEXT)])),
    ];
    query.group = Some(vec![age()]);
    query.sort = vec![ascending(age())];
    let (rows, _) = probe.ask(NodeQuery::Aggregate(query)).await.expect("groups");
    let rows: Vec<String> = rows.iter().map(|row| show(row)).collect();
    assert_eq!(rows, ["-1|1|", "7|1|zoë", "36|2|ada", "NULL|1|Bob"]);

    // One group of nothing.
    let mut query = probe.select("people", PEOPLE);
    query.filter = Some(Condition::Expr(operator("=", age(), int4(99))));
    query.fields = vec![
        output("count", aggregate("count", Vec::new())),
        output("sum", aggregate("sum", vec![age()])),
    ];
    query.group = Some(Vec::new());
    let (rows, _) = probe.ask(NodeQuery::Aggregate(query)).await.expect("one group");
    assert_eq!(rows.iter().map(|row| show(row)).collect::<Vec<_>>(), ["0|NULL"]);
}

async fn writes(probe: &Probe) {
    people(probe).await;
    let age = || field("age", TypeId::INT4);
    let returning = vec![output("id", field("id", TypeId::INT4)), output("age", age())];
    let update = Update {
        target: probe.target("people"),
        alias: "t".to_owned(),
        record_op: vec![("age".to_owned(), operator("+", age(), int4(1)))],
        record: serde_json::Map::new(),
        source: Vec::new(),
        filter: Some(Condition::Expr(operator("=", age(), int4(36)))),
        returning: returning.clone(),
        subqueries: Vec::new(),
    };
    let (mut rows, count) = probe.ask(NodeQuery::Update(update)).await.expect("an update");
    rows.sort();
    assert_eq!(count, 2);
    assert_eq!(rows.iter().map(|row| show(row)).collect::<Vec<_>>(), ["1|37", "4|37"]);
    let delete = Delete {
        target: probe.target("people"),
        alias: "t".to_owned(),
        source: Vec::new(),
        filter: Some(Condition::Expr(operator("<", age(), int4(10)))),
        returning: Vec::new(),
        subqueries: Vec::new(),
    };
    assert_eq!(probe.ask(NodeQuery::Delete(delete)).await.expect("a delete").1, 2);
    let mut query = probe.select("people", PEOPLE);
    query.sort = vec![ascending(field("id", TypeId::INT4))];
    assert_eq!(probe.texts(query).await, ["1|ada|37", "2|Bob|NULL", "4|NULL|37"]);
}

async fn inserts_of_tuples(probe: &Probe) {
    probe.instance().await;
    probe.collection("people", PEOPLE).await;
    let statement = Arc::new(NodeStatement::new(
        NodeQuery::InsertMany(Insert {
            records: Records::Parameters,
            ..probe.insert("people", PEOPLE, &[])
        }),
        PEOPLE.iter().map(|(_, ty)| *ty).collect(),
    ));
    let mut next = 0;
    // The same statement with other numbers of rows, some of them twice, so that it is prepared too.
    for rows in [1, 3, 3, 3, 1, 500, 500] {
        let mut values = Vec::new();
        for _ in 0..rows {
            next += 1;
            values.push(Some(Bytes::from(next.to_string())));
            values.push(Some(Bytes::from_static(b"x")));
            values.push(None);
        }
        let formats = vec![Format::Text; values.len()];
        let parameters = Parameters { values, formats };
        let connection = probe.node.connect().await.expect("a connection");
        let formats = ResultFormats::default();
        let cancel = CancellationToken::new();
        let mut stream =
            connection.execute(&probe.context, &statement, &parameters, &formats, &cancel).await;
        assert_eq!(gather(&mut *stream).await.expect("rows go in").1, rows);
    }
    let mut query = probe.select("people", PEOPLE);
    query.fields = vec![output("count", aggregate("count", Vec::new()))];
    query.group = Some(Vec::new());
    let (rows, _) = probe.ask(NodeQuery::Aggregate(query)).await.expect("a count");
    assert_eq!(show(&rows[0]), next.to_string());
}

async fn failures_name_their_objects(probe: &Probe) {
    people(probe).await;
    let shape = CollectionShape {
        target: probe.target("pets"),
        label: "pets".to_owned(),
        fields: vec![
            shape_field("id", TypeId::INT4, true),
            shape_field("owner", TypeId::INT4, false),
            shape_field("legs", TypeId::INT2, true),
        ],
        constraints: vec![
            ConstraintShape {
                name: "pets_pkey".to_owned(),
                kind: ConstraintKind::PrimaryKey { fields: vec!["id".to_owned()] },
            },
            ConstraintShape {
                name: "pets_legs_check".to_owned(),
                kind: ConstraintKind::Check {
                    expr: operator(
                        ">=",
                        Expr::Field(Field {
                            source: "record".to_owned(),
                            name: "legs".to_owned(),
                            ty: TypeId::INT2.into(),
                        }),
                        Expr::constant(Value::Int2(0), TypeId::INT2),
                    ),
                },
            },
            ConstraintShape {
                name: "pets_owner_fkey".to_owned(),
                kind: ConstraintKind::ForeignKey {
                    fields: vec!["owner".to_owned()],
                    references: "people".to_owned(),
                    references_label: "people".to_owned(),
                    references_fields: vec!["id".to_owned()],
                    on_delete: ForeignKeyAction::Restrict,
                    on_update: ForeignKeyAction::NoAction,
                },
            },
        ],
        indexes: Vec::new(),
    };
    probe.define(Definition::CreateCollection(shape)).await;
    let fields = [("id", TypeId::INT4), ("owner", TypeId::INT4), ("legs", TypeId::INT2)];
    let try_row = async |row: &[Option<&str>]| {
        let answer = probe.ask(NodeQuery::Insert(probe.insert("pets", &fields, &[row]))).await;
        match answer {
            Ok((_, count)) => format!("{count}"),
            Err(error) => {
                assert_eq!(error.kind, NodeErrorKind::Statement);
                let object = error.object;
                format!(
                    "{} {} [{}] {} {} {}",
                    error.sqlstate,
                    error.message,
                    error.detail.unwrap_or_default(),
                    object.table.unwrap_or_default(),
                    object.column.unwrap_or_default(),
                    object.constraint.unwrap_or_default(),
                )
            }
        }
    };
    assert_eq!(try_row(&[Some("1"), Some("1"), Some("4")]).await, "1");
    assert_eq!(
        try_row(&[Some("1"), None, Some("4")]).await,
        "23505 duplicate key value violates unique constraint \"pets_pkey\" [Key (id)=(1) already exists.] pets  pets_pkey"
    );
    assert_eq!(
        try_row(&[Some("2"), None, None]).await,
        "23502 null value in column \"legs\" of relation \"pets\" violates not-null constraint [Failing row contains (2, null, null).] pets legs "
    );
    assert_eq!(
        try_row(&[Some("2"), None, Some("-1")]).await,
        "23514 new row for relation \"pets\" violates check constraint \"pets_legs_check\" [Failing row contains (2, null, -1).] pets  pets_legs_check"
    );
    assert_eq!(
        try_row(&[Some("2"), Some("99"), Some("1")]).await,
        "23503 insert or update on table \"pets\" violates foreign key constraint \"pets_owner_fkey\" [Key (owner)=(99) is not present in table \"people\".] pets  pets_owner_fkey"
    );
    let delete = Delete {
        target: probe.target("people"),
        alias: "t".to_owned(),
        source: Vec::new(),
        filter: Some(Condition::Expr(operator("=", field("id", TypeId::INT4), int4(1)))),
        returning: Vec::new(),
        subqueries: Vec::new(),
    };
    let error = probe.ask(NodeQuery::Delete(delete)).await.expect_err("a pet has this owner");
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str(), error.detail.as_deref()),
        (
            "23503",
            "update or delete on table \"people\" violates foreign key constraint \"pets_owner_fkey\" on table \"pets\"",
            Some("Key (id)=(1) is still referenced from table \"pets\".")
        )
    );
    // A failing row takes the whole statement with it.
    let rows: &[&[Option<&str>]] = &[&[Some("7"), None, Some("1")], &[Some("1"), None, Some("1")]];
    probe
        .ask(NodeQuery::InsertMany(probe.insert("pets", &fields, rows)))
        .await
        .expect_err("the second row is a duplicate");
    assert_eq!(probe.texts(probe.select("pets", &fields)).await, ["1|1|4"]);
    // A value out of range is the statement's failure too.
    let mut query = probe.select("pets", &fields);
    query.fields = vec![output("x", operator("+", int4(i32::MAX), field("id", TypeId::INT4)))];
    let error = probe.ask(NodeQuery::Filter(query)).await.expect_err("it overflows");
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("22003", "integer out of range")
    );
}

async fn definitions_can_be_repeated(probe: &Probe) {
    probe.instance().await;
    probe.instance().await;
    let mut shape = probe.collection("things", &[("id", TypeId::INT4), ("a", TypeId::TEXT)]).await;
    probe.define(Definition::CreateCollection(shape.clone())).await;
    let fields = [("id", TypeId::INT4), ("a", TypeId::TEXT)];
    let insert = probe.insert("things", &fields, &[&[Some("1"), Some("x")]]);
    probe.ask(NodeQuery::Insert(insert)).await.expect("a row");

    let alter = async |step: AlterStep, to: &CollectionShape| {
        for _ in 0..2 {
            let step = step.clone();
            probe.define(Definition::AlterCollection { step, to: to.clone() }).await;
        }
    };
    shape.fields.push(shape_field("b", TypeId::INT8, true));
    let fill = Expr::constant(Value::Int8(7), TypeId::INT8);
    alter(AlterStep::AddField { name: "b".to_owned(), fill }, &shape).await;
    let all = [("id", TypeId::INT4), ("a", TypeId::TEXT), ("b", TypeId::INT8)];
    assert_eq!(probe.texts(probe.select("things", &all)).await, ["1|x|7"]);

    shape.fields[2].not_null = false;
    alter(AlterStep::DropNotNull { name: "b".to_owned() }, &shape).await;
    let insert = probe.insert("things", &fields, &[&[Some("2"), None]]);
    probe.ask(NodeQuery::Insert(insert)).await.expect("b may be left out");

    shape.fields[1].not_null = true;
    let step = AlterStep::SetNotNull { name: "a".to_owned() };
    let answer =
        probe.ask(NodeQuery::Define(Definition::AlterCollection { step, to: shape.clone() })).await;
    assert_eq!(answer.expect_err("a NULL is there").sqlstate, "23502");
    shape.fields[1].not_null = false;

    shape.fields[1].name = "c".to_owned();
    let (from, to) = ("a".to_owned(), "c".to_owned());
    alter(AlterStep::RenameField { from, to }, &shape).await;
    shape.constraints.push(ConstraintShape {
        name: "things_c_key".to_owned(),
        kind: ConstraintKind::Unique { fields: vec!["c".to_owned()], nulls_not_distinct: false },
    });
    alter(AlterStep::AddConstraint { name: "things_c_key".to_owned() }, &shape).await;
    let fields = [("id", TypeId::INT4), ("c", TypeId::TEXT)];
    let insert = probe.insert("things", &fields, &[&[Some("3"), Some("x")]]);
    let error = probe.ask(NodeQuery::Insert(insert.clone())).await.expect_err("x is there");
    assert_eq!(error.object.constraint.as_deref(), Some("things_c_key"));
    shape.constraints.pop();
    alter(AlterStep::DropConstraint { name: "things_c_key".to_owned() }, &shape).await;
    probe.ask(NodeQuery::Insert(insert)).await.expect("x may come twice");

    shape.fields.remove(2);
    alter(AlterStep::DropField { name: "b".to_owned() }, &shape).await;
    let index = IndexShape {
        name: "things_c_idx".to_owned(),
        unique: false,
        nulls_not_distinct: false,
        method: "btree".to_owned(),
        keys: vec![ascending(Expr::Field(Field {
            source: "record".to_owned(),
            name: "c".to_owned(),
            ty: TypeId::TEXT.into(),
        }))],
        include: Vec::new(),
        filter: None,
    };
    for _ in 0..2 {
        let (target, index) = (probe.target("things"), index.clone());
        probe.define(Definition::CreateIndex { target, index }).await;
    }
    for _ in 0..2 {
        let (target, name) = (probe.target("things"), index.name.clone());
        probe.define(Definition::DropIndex { target, name }).await;
    }
    shape.target.collection = "stuff".to_owned();
    shape.label = "stuff".to_owned();
    alter(AlterStep::RenameCollection { from: "things".to_owned() }, &shape).await;
    let mut query = probe.select("stuff", &fields);
    query.sort = vec![ascending(field("id", TypeId::INT4))];
    assert_eq!(probe.texts(query).await, ["1|x", "2|NULL", "3|x"]);
    probe.define(Definition::Truncate(vec![probe.target("stuff")])).await;
    assert!(probe.texts(probe.select("stuff", &fields)).await.is_empty());
    for _ in 0..2 {
        probe.define(Definition::DropCollection(probe.target("stuff"))).await;
    }
    let error = probe.ask(NodeQuery::Filter(probe.select("stuff", &fields))).await;
    let error = error.expect_err("it is gone");
    assert_eq!(
        (error.sqlstate.as_str(), error.message.as_str()),
        ("42P01", "relation \"stuff\" does not exist")
    );
    let shard_instance = probe.instance.clone();
    probe.define(Definition::DropInstance { shard_instance }).await;
}

async fn transactions(probe: &Probe) {
    people(probe).await;
    let row = |id: &'static str| {
        NodeQuery::Insert(probe.insert("people", PEOPLE, &[&[Some(id), None, None]]))
    };
    let count = async || {
        let mut query = probe.select("people", PEOPLE);
        query.fields = vec![output("id", field("id", TypeId::INT4))];
        probe.texts(query).await.len()
    };
    let ask = async |connection, query| {
        probe.ask_on(connection, query, Vec::new(), &[], Format::Text).await
    };
    let begin = async || {
        let mut connection = probe.node.connect().await.expect("a connection");
        let options = TransactionOptions::default();
        connection.begin(&probe.context, options).await.expect("a transaction begins");
        connection
    };
    let (answer, connection) = ask(begin().await, row("10")).await;
    answer.expect("the row goes in");
    assert_eq!(count().await, 5, "others do not see it");
    connection.expect("a connection").commit().await.expect("it commits");
    assert_eq!(count().await, 6);

    let (answer, connection) = ask(begin().await, row("11")).await;
    answer.expect("the row goes in");
    connection.expect("a connection").rollback().await.expect("it rolls back");
    assert_eq!(count().await, 6);

    // Dropped in the middle.
    let (answer, connection) = ask(begin().await, row("12")).await;
    answer.expect("the row goes in");
    drop(connection);
    assert_eq!(count().await, 6);

    // A failed one takes nothing until it is rolled back, and cannot commit.
    let (answer, connection) = ask(begin().await, row("13")).await;
    answer.expect("the row goes in");
    let (answer, connection) = ask(connection.expect("a connection"), row("13")).await;
    assert_eq!(answer.expect_err("a duplicate").sqlstate, "23505");
    let (answer, connection) = ask(connection.expect("a connection"), row("14")).await;
    assert_eq!(answer.expect_err("the transaction has failed").sqlstate, "25P02");
    connection.expect("a connection").commit().await.expect_err("it has failed");
    assert_eq!(count().await, 6);

    // An empty one.
    let mut connection = begin().await;
    connection.commit().await.expect("nothing commits");
    let (answer, _) = ask(connection, row("15")).await;
    answer.expect("the row goes in at once");
    assert_eq!(count().await, 7);

    // A read-only one.
    let mut connection = probe.node.connect().await.expect("a connection");
    let options = TransactionOptions { read_only: true, ..TransactionOptions::default() };
    connection.begin(&probe.context, options).await.expect("a transaction begins");
    let (answer, _) = ask(connection, row("16")).await;
    assert_eq!(answer.expect_err("it is read-only").sqlstate, "25006");
}

async fn savepoints(probe: &Probe) {
    people(probe).await;
    let row = |id: &'static str| {
        NodeQuery::Insert(probe.insert("people", PEOPLE, &[&[Some(id), None, None]]))
    };
    let ask = async |connection: Box<dyn NodeConnection>, id| {
        let (answer, connection) =
            probe.ask_on(connection, row(id), Vec::new(), &[], Format::Text).await;
        (answer.map(|answer| answer.1), connection.expect("a connection"))
    };
    let mut connection = probe.node.connect().await.expect("a connection");
    connection.begin(&probe.context, TransactionOptions::default()).await.expect("begins");
    connection.savepoint("a \"b").await.expect("a savepoint");
    let (answer, mut connection) = ask(connection, "10").await;
    assert_eq!(answer, Ok(1));
    connection.rollback_to("a \"b").await.expect("back to it");
    let (answer, mut connection) = ask(connection, "11").await;
    assert_eq!(answer, Ok(1));
    connection.savepoint("c").await.expect("another");
    let (answer, mut connection) = ask(connection, "11").await;
    assert_eq!(answer.expect_err("a duplicate").sqlstate, "23505");
    connection.rollback_to("c").await.expect("the failure is undone");
    let (answer, mut connection) = ask(connection, "12").await;
    assert_eq!(answer, Ok(1));
    connection.release("c").await.expect("released");
    connection.rollback_to("c").await.expect_err("it is gone");
    connection.rollback_to("a \"b").await.expect("the outer one is there");
    let (answer, mut connection) = ask(connection, "13").await;
    assert_eq!(answer, Ok(1));
    connection.commit().await.expect("it commits");
    let mut query = probe.select("people", PEOPLE);
    query.fields = vec![output("id", field("id", TypeId::INT4))];
    query.filter = Some(Condition::Expr(operator(">", field("id", TypeId::INT4), int4(5))));
    assert_eq!(probe.texts(query).await, ["13"]);
}

/// Fills a collection with `rows` rows of about 100 bytes.
async fn many(probe: &Probe, rows: usize) {
    probe.instance().await;
    probe.collection("many", &[("id", TypeId::INT4), ("filler", TypeId::TEXT)]).await;
    let fields = [("id", TypeId::INT4), ("filler", TypeId::TEXT)];
    let insert = NodeQuery::InsertMany(Insert {
        records: Records::Parameters,
        ..probe.insert("many", &fields, &[])
    });
    for chunk in (0..rows).collect::<Vec<_>>().chunks(2000) {
        let filler = Bytes::from("x".repeat(100));
        let values: Vec<Option<Bytes>> = chunk
            .iter()
            .flat_map(|id| [Some(Bytes::from(id.to_string())), Some(filler.clone())])
            .collect();
        let types = vec![TypeId::INT4, TypeId::TEXT];
        probe.ask_with(insert.clone(), types, &values, Format::Text).await.expect("rows go in");
    }
}

/// A product of the collection with itself, or its rows many times as wide: more than any buffer holds.
fn endless(probe: &Probe) -> NodeQuery {
    let source = |alias: &str| Source::Collection {
        target: probe.target("many"),
        alias: alias.to_owned(),
        fields: vec![named("id", TypeId::INT4), named("filler", TypeId::TEXT)],
    };
    let one = Expr::Field(Field {
        source: "one".to_owned(),
        name: "filler".to_owned(),
        ty: TypeId::TEXT.into(),
    });
    if !probe.node.capability().supports(Feature::Join) {
        return NodeQuery::Filter(Select {
            source: vec![source("one")],
            fields: vec![output("filler", one); 16],
            ..Select::default()
        });
    }
    NodeQuery::Filter(Select {
        source: vec![source("one"), source("two")],
        fields: vec![output("filler", one)],
        ..Select::default()
    })
}

async fn start(
    probe: &Probe,
    connection: Box<dyn NodeConnection>,
    cancel: &CancellationToken,
) -> Box<dyn RowStream> {
    let statement = Arc::new(NodeStatement::new(endless(probe), Vec::new()));
    let (parameters, formats) = (Parameters::default(), ResultFormats::default());
    let mut stream =
        connection.execute(&probe.context, &statement, &parameters, &formats, cancel).await;
    let first = stream.next().await.expect("rows come").expect("rows come");
    assert!(first.rows > 0);
    stream
}

async fn cancelled(probe: &Probe) {
    many(probe, 4000).await;
    let cancel = CancellationToken::new();
    let connection = probe.node.connect().await.expect("a connection");
    let mut stream = start(probe, connection, &cancel).await;
    cancel.cancel();
    let ended = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    let error = ended.expect_err("it was cancelled");
    let found = (error.kind, error.sqlstate.as_str());
    assert_eq!(found, (NodeErrorKind::Cancelled, "57014"), "{error:?}");
    // The connection goes on.
    let connection = stream.into_connection().expect("a connection");
    let few = NodeQuery::Filter(probe.select("many", &[("id", TypeId::INT4)]));
    let (answer, _) = probe.ask_on(connection, few, Vec::new(), &[], Format::Text).await;
    assert_eq!(answer.expect("a query after the cancel").1, 4000);

    // Cancelled before it began.
    let connection = probe.node.connect().await.expect("a connection");
    let statement = Arc::new(NodeStatement::new(endless(probe), Vec::new()));
    let (parameters, formats) = (Parameters::default(), ResultFormats::default());
    let mut stream =
        connection.execute(&probe.context, &statement, &parameters, &formats, &cancel).await;
    assert_eq!(stream.next().await.expect_err("cancelled").kind, NodeErrorKind::Cancelled);
}

async fn dropped(probe: &Probe) {
    many(probe, 4000).await;
    // More often than there are connections: each must have come back, clean or closed.
    for round in 0..20 {
        let cancel = CancellationToken::new();
        let mut connection = probe.node.connect().await.expect("a connection");
        if round % 2 == 1 {
            let options = TransactionOptions::default();
            connection.begin(&probe.context, options).await.expect("a transaction begins");
        }
        drop(start(probe, connection, &cancel).await);
    }
    // Nothing of them holds a lock for long.
    let truncate = probe.define(Definition::Truncate(vec![probe.target("many")]));
    tokio::time::timeout(Duration::from_secs(30), truncate).await.expect("the readers are gone");
}

async fn big_answers_come_in_batches(probe: &Probe) {
    many(probe, 3000).await;
    let cancel = CancellationToken::new();
    let connection = probe.node.connect().await.expect("a connection");
    let mut stream = start(probe, connection, &cancel).await;
    for _ in 0..20 {
        let batch = stream.next().await.expect("rows come").expect("rows come");
        assert!(batch.frames.len() < 1 << 20, "a batch is bounded");
    }
}

/// Checks that no more than `connections_max` connections are handed out, and that the next caller is told `Busy` after the
/// wait. The node must have been opened with these limits.
///
/// # Panics
/// When the bound does not hold.
pub async fn pool_is_bounded(node: Arc<dyn Node>, connections_max: usize) {
    let mut held = Vec::new();
    for _ in 0..connections_max {
        held.push(node.connect().await.expect("a connection within the bound"));
    }
    let error = node.connect().await.err().expect("one too many");
    assert_eq!((error.kind, error.sqlstate.as_str()), (NodeErrorKind::Busy, "53300"));
    held.pop();
    node.connect().await.expect("one came back");
}
