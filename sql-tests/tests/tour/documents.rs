//! MongoDB collections that were there before dataman, adopted where they are. No schema is enforced there, so "the application" goes on
//! writing what it likes: what fits its column reads as PostgreSQL's own, and what does not is an error wherever a statement looks at it.

use std::process::Command;
use std::str::FromStr;

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::{Mongodb, Postgres};
use dataman_sql_tests::topology::program;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Decimal128, Document, Uuid, doc};
use mongodb::{Client, Collection};

use crate::adopt::Sides;

/// An identity that tests can name.
fn id(number: u32) -> ObjectId {
    ObjectId::parse_str(format!("65f0c0ffee65f0c0{number:08x}")).expect("an identity")
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(Decimal128::from_str(text).expect("a decimal"))
}

fn date(text: &str) -> Bson {
    Bson::DateTime(DateTime::parse_rfc3339_str(text).expect("a date"))
}

/// A collection as an application uses it.
pub(crate) async fn collection(
    server: &Mongodb,
    database: &str,
    name: &str,
) -> Collection<Document> {
    let client = Client::with_uri_str(server.url()).await.expect("the application connects");
    client.database(database).collection(name)
}

/// The document that `mongoimport` makes of a line of JSON.
pub(crate) fn imported(json: &serde_json::Value) -> Document {
    fn bson(json: &serde_json::Value) -> Bson {
        use serde_json::Value;
        match json {
            Value::Null => Bson::Null,
            Value::Bool(value) => Bson::Boolean(*value),
            Value::String(text) => Bson::String(text.clone()),
            Value::Number(number) => {
                Bson::Int32(number.to_string().parse().expect("README has small numbers"))
            }
            Value::Array(items) => Bson::Array(items.iter().map(bson).collect()),
            Value::Object(map) => match map.get("$date").and_then(Value::as_str) {
                Some(text) => date(text),
                None => Bson::Document(imported(json)),
            },
        }
    }
    let map = json.as_object().expect("a line is a document");
    map.iter().map(|(name, value)| (name.clone(), bson(value))).collect()
}

/// The documents of an application that was never strict.
fn people() -> Vec<Document> {
    let uuid = Uuid::parse_str("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").expect("a uuid");
    let photo = Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255] };
    vec![
        doc! {
            "_id": id(1), "name": "Ada", "age": 36, "score": 1.5, "balance": decimal("10.50"), "active": true,
            "born": date("1815-12-10T00:00:00.123Z"), "ref": uuid, "photo": photo,
            "address": { "city": "London", "geo": { "lat": 51.5 } }, "tags": ["a", 1, { "b": Bson::Null }],
            "note": "first", "code": 1,
        },
        doc! {
            "_id": id(2), "name": "bob", "age": 36_i64, "score": 2, "balance": 7, "active": false,
            "born": date("1970-01-01T00:00:00Z"), "address": { "city": "Paris" }, "tags": [], "note": Bson::Null, "code": "x",
        },
        doc! { "_id": id(3), "name": "Éva", "age": 5_000_000_000_i64, "score": f64::NAN, "balance": decimal("NaN"), "code": Bson::Null },
        doc! {
            "_id": id(4), "name": "", "age": Bson::Null, "score": f64::INFINITY, "balance": decimal("1E+3"), "active": true,
            "address": {}, "note": "fourth", "code": [1, Bson::Null],
        },
        doc! { "_id": id(5), "name": "eve", "age": -1, "score": -0.5, "born": date("2026-05-05T05:05:05.5Z"), "address": Bson::Null },
    ]
}

const ORACLE: &[&str] = &[
    "CREATE TABLE people (
        _id text PRIMARY KEY, name text, age bigint, score double precision, balance numeric, active bool, born timestamptz(3),
        ref uuid, photo bytea, address jsonb, tags jsonb, note text, code jsonb, address_city text)",
    "INSERT INTO people VALUES
        ('65f0c0ffee65f0c000000001', 'Ada', 36, 1.5, 10.50, true, '1815-12-10 00:00:00.123+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
         '\\x00ff', '{\"city\": \"London\", \"geo\": {\"lat\": 51.5}}', '[\"a\", 1, {\"b\": null}]', 'first', '1', 'London'),
        ('65f0c0ffee65f0c000000002', 'bob', 36, 2, 7, false, '1970-01-01 00:00:00+00', NULL, NULL, '{\"city\": \"Paris\"}', '[]', NULL,
         '\"x\"', 'Paris'),
        ('65f0c0ffee65f0c000000003', 'Éva', 5000000000, 'NaN', 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        ('65f0c0ffee65f0c000000004', '', NULL, 'Infinity', 1000, true, NULL, NULL, NULL, '{}', NULL, 'fourth', '[1, null]', NULL),
        ('65f0c0ffee65f0c000000005', 'eve', -1, -0.5, NULL, NULL, '2026-05-05 05:05:05.5+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "CREATE TABLE visits (_id integer PRIMARY KEY, person text, pages integer)",
    "INSERT INTO visits VALUES (1, '65f0c0ffee65f0c000000001', 3), (2, '65f0c0ffee65f0c000000001', 4), (3, '65f0c0ffee65f0c000000002', NULL)",
];

/// Reads, of which MongoDB carries out as much as it means alike.
const READS: &[&str] = &[
    "SELECT * FROM people ORDER BY _id",
    "SELECT * FROM visits ORDER BY _id",
    "SELECT name FROM people ORDER BY name",
    "SELECT name FROM people ORDER BY name DESC LIMIT 2",
    "SELECT name, age FROM people ORDER BY age, name",
    "SELECT name, age FROM people ORDER BY age DESC, name OFFSET 1",
    "SELECT name, age FROM people ORDER BY age NULLS FIRST, name LIMIT 3",
    "SELECT _id FROM people WHERE _id = '65f0c0ffee65f0c000000002'",
    "SELECT _id FROM people WHERE _id = '65F0C0FFEE65F0C000000002'",
    "SELECT _id FROM people WHERE _id > '65f0c0ffee65f0c000000002' ORDER BY _id",
    "SELECT _id FROM people WHERE _id >= '65f' AND _id < '65f0c0ffee65f0c000000003x' ORDER BY _id",
    "SELECT _id FROM people WHERE _id IN ('65f0c0ffee65f0c000000001', 'nobody', NULL)",
    "SELECT name FROM people WHERE _id NOT IN ('65f0c0ffee65f0c000000001', 'nobody') ORDER BY name",
    "SELECT max(_id), min(_id) FROM people",
    "SELECT name FROM people WHERE age = 36 ORDER BY name",
    "SELECT name FROM people WHERE age <> 36 ORDER BY name",
    "SELECT name FROM people WHERE NOT age > 36 ORDER BY name",
    "SELECT name FROM people WHERE NOT (age > 36 OR note = 'first') ORDER BY name",
    "SELECT name FROM people WHERE age IS NULL",
    "SELECT name FROM people WHERE age IS DISTINCT FROM 36 ORDER BY name",
    "SELECT name FROM people WHERE age IN (36, -1, 7) ORDER BY name",
    "SELECT name FROM people WHERE age NOT IN (36, 7) ORDER BY name",
    "SELECT name FROM people WHERE (age > 1) IS NOT TRUE ORDER BY name",
    "SELECT name FROM people WHERE score > 1.5 ORDER BY name",
    "SELECT name FROM people WHERE score <= 2 ORDER BY name",
    "SELECT name FROM people WHERE score = 'NaN' OR score < 0 ORDER BY name",
    "SELECT name FROM people WHERE score >= 'NaN' ORDER BY name",
    "SELECT name FROM people WHERE score <> 'NaN' ORDER BY name",
    "SELECT name, score FROM people ORDER BY score DESC",
    "SELECT name FROM people WHERE balance >= 10.5 ORDER BY name",
    "SELECT name FROM people WHERE balance < 10.50000000000000000000000000000000000000001 ORDER BY name",
    "SELECT sum(balance), max(balance), min(score) FROM people WHERE balance <> 'NaN'",
    "SELECT name FROM people WHERE active ORDER BY name",
    "SELECT name FROM people WHERE NOT active",
    "SELECT name FROM people WHERE active IS NOT TRUE ORDER BY name",
    "SELECT name FROM people WHERE active IS NULL ORDER BY name",
    "SELECT name FROM people WHERE born > '1815-12-10 00:00:00.122999+00' ORDER BY born",
    "SELECT name FROM people WHERE born <= '1815-12-10 00:00:00.123001+00'",
    "SELECT name FROM people WHERE born = '1815-12-10 00:00:00.123001+00'",
    "SELECT name FROM people WHERE born < 'infinity' ORDER BY name",
    "SELECT date_trunc('year', born), count(*) FROM people GROUP BY 1 ORDER BY 1",
    "SELECT name FROM people WHERE ref = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "SELECT name FROM people WHERE photo = '\\x00ff'",
    "SELECT name FROM people WHERE address IS NULL ORDER BY name",
    "SELECT name FROM people WHERE code IS NULL ORDER BY name",
    "SELECT name FROM people WHERE code IS NOT NULL ORDER BY name",
    "SELECT name FROM people WHERE address_city = 'Paris'",
    "SELECT name FROM people WHERE address_city IS NULL ORDER BY name",
    "SELECT address_city, count(*) FROM people GROUP BY address_city ORDER BY address_city",
    "SELECT name, address -> 'geo' ->> 'lat', tags -> 2 FROM people WHERE tags @> '[\"a\"]'",
    "SELECT age, count(*), min(name), max(born) FROM people GROUP BY age ORDER BY age",
    "SELECT age, count(*) FROM people GROUP BY age HAVING count(*) > 1",
    "SELECT age, count(*) FROM people GROUP BY age HAVING age > 1 ORDER BY age LIMIT 1",
    "SELECT score > 1, count(*) FROM people GROUP BY score > 1 ORDER BY 1",
    "SELECT active, sum(age), count(age), count(note), bool_and(active) FROM people GROUP BY active ORDER BY active",
    "SELECT sum(age), avg(age), count(*) FROM people",
    "SELECT count(*) FROM people WHERE age > 100000000000",
    "SELECT count(*), sum(pages) FROM visits WHERE pages > 100",
    "SELECT DISTINCT age FROM people ORDER BY age",
    "SELECT p.name, sum(v.pages) FROM people p LEFT JOIN visits v ON v.person = p._id GROUP BY p.name ORDER BY p.name",
    "SELECT p.name, r.rank FROM people p JOIN ranks r ON r.person = p._id ORDER BY r.rank",
    "SELECT name FROM people p WHERE EXISTS (SELECT FROM visits v WHERE v.person = p._id AND pages > 3)",
    "SELECT name FROM people WHERE _id = ANY (ARRAY(SELECT person FROM visits)) ORDER BY name",
];

/// Writes, each compared, and what they leave.
const WRITES: &[&str] = &[
    "UPDATE people SET age = age + 1, name = upper(name) WHERE age > 30 RETURNING name, age",
    "UPDATE people SET address_city = 'Berlin', note = NULL WHERE _id = '65f0c0ffee65f0c000000001'
       RETURNING note, address_city, address -> 'geo'",
    "UPDATE people SET score = 0.1, balance = balance + 0.01, born = born + interval '1.0016 s' WHERE name = 'ADA'
       RETURNING score, balance, born",
    "UPDATE people SET tags = tags || '[2, 0.5]', photo = photo || '\\x01', active = NOT active WHERE photo IS NOT NULL
       RETURNING tags, photo, active",
    "UPDATE people SET note = 'joined' FROM visits v WHERE v.person = people._id AND v.pages = 4",
    "UPDATE people SET _id = _id WHERE name = 'eve'",
    "UPDATE people SET age = 9223372036854775807 + age WHERE age > 0",
    "INSERT INTO people (_id, name, age, score, balance, active, born, ref, photo, tags) VALUES
       ('65f0c0ffee65f0c000000006', 'six', 6, 6.5, 6.60, true, '2000-01-01 00:00:00.0006+00', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12',
        '\\x06', '[6]'),
       ('65f0c0ffee65f0c000000007', NULL, NULL, 'NaN', 'Infinity', NULL, NULL, NULL, NULL, NULL)
       RETURNING _id, name, balance, born, address_city",
    "INSERT INTO people (_id, name) VALUES ('65f0c0ffee65f0c000000008', 'eight'), ('65f0c0ffee65f0c000000001', 'twice')",
    "INSERT INTO people (_id, address_city) VALUES ('65f0c0ffee65f0c000000009', 'Oslo') RETURNING address_city",
    "INSERT INTO visits VALUES (4, '65f0c0ffee65f0c000000006', 1)",
    "INSERT INTO visits (person) VALUES ('nobody')",
    "INSERT INTO visits (_id, pages) VALUES (5, 3000000000)",
    "INSERT INTO visits (_id, person) SELECT rank + 100, person FROM ranks RETURNING *",
    "DELETE FROM visits WHERE pages IS NULL AND _id < 100 RETURNING _id",
    "DELETE FROM people WHERE name = 'eve' OR balance = 'Infinity'",
    "SELECT _id, name, age, score, balance, active, born, ref, photo, tags, note, code, address_city FROM people ORDER BY _id",
    "SELECT * FROM visits ORDER BY _id",
    "SELECT conname, contype, conkey FROM pg_constraint WHERE conrelid = 'people'::regclass",
    "SELECT column_name, is_nullable, data_type FROM information_schema.columns WHERE table_name = 'people' ORDER BY ordinal_position",
];

/// A server with an application's data, and dataman over it.
struct Documents {
    server: Mongodb,
    people: Collection<Document>,
    sides: Sides,
}

impl Documents {
    async fn start(oracle: &str) -> Self {
        let server = Mongodb::start().expect("a server starts");
        let people = collection(&server, "shop", "people").await;
        people.insert_many(self::people()).await.expect("people");
        let visits = collection(&server, "shop", "visits").await;
        visits
            .insert_many([
                doc! { "_id": 1, "person": id(1).to_hex(), "pages": 3 },
                doc! { "_id": 2, "person": id(1).to_hex(), "pages": 4 },
                doc! { "_id": 3, "person": id(2).to_hex() },
            ])
            .await
            .expect("visits");
        let oracle = Postgres::shared().create_database(oracle).await.expect("a database");
        for statement in ORACLE {
            oracle.batch_execute(statement).await.expect(statement);
        }
        let sides = Sides::start("mongodb", &server.url(), oracle).await;
        Self { server, people, sides }
    }

    async fn import(&self) {
        self.sides
            .alone(
                "IMPORT FOREIGN SCHEMA shop FROM SERVER shop INTO public OPTIONS (\"people.address.city\" 'address_city')",
            )
            .await;
    }

    async fn document(&self, number: u32) -> Document {
        let found = self.people.find_one(doc! { "_id": id(number) }).await.expect("an answer");
        found.expect("the document is there")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mongodb() {
    let documents = Documents::start("mongodb_oracle").await;
    let sides = &documents.sides;
    sides.refused("IMPORT FOREIGN SCHEMA nowhere FROM SERVER shop INTO public", "HV00P").await;
    for (options, sqlstate) in [
        ("x '1'", "HV00D"),
        ("\"nobody.name\" 'name'", "HV00D"),
        ("\"people.name\" 'name money'", "22023"),
        ("sample '0'", "22023"),
    ] {
        let statement =
            format!("IMPORT FOREIGN SCHEMA shop FROM SERVER shop INTO public OPTIONS ({options})");
        sides.refused(&statement, sqlstate).await;
    }
    documents.import().await;
    sides
        .same(&[
            "CREATE TABLE ranks (person text PRIMARY KEY, rank int)",
            "INSERT INTO ranks VALUES ('65f0c0ffee65f0c000000001', 2), ('65f0c0ffee65f0c000000003', 1)",
        ])
        .await;
    sides.same(READS).await;
    // What the application writes later.
    let grown = doc! { "$set": { "unknown": { "x": 1 }, "tags": ["a", 1_i64, date("2026-01-01T00:00:00Z")] } };
    documents.people.update_one(doc! { "_id": id(1) }, grown).await.expect("is written");
    sides
        .same(&["UPDATE people SET tags = '[\"a\", 1, {\"$date\": \"2026-01-01T00:00:00Z\"}]' WHERE _id = '65f0c0ffee65f0c000000001'"])
        .await;
    sides.same(WRITES).await;

    let expected = doc! {
        "_id": id(1), "name": "ADA", "age": 37, "score": 0.1, "balance": decimal("10.51"), "active": false,
        "born": date("1815-12-10T00:00:01.125Z"), "ref": Uuid::parse_str("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").expect("a uuid"),
        "photo": Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255, 1] },
        "address": { "city": "Berlin", "geo": { "lat": 51.5 } },
        "tags": ["a", 1_i64, date("2026-01-01T00:00:00Z"), 2, 0.5], "code": 1, "unknown": { "x": 1 }, "note": "joined",
    };
    let found = documents.document(1).await;
    for (name, value) in &expected {
        assert_eq!(found.get(name), Some(value), "{name}");
    }
    assert_eq!(found.len(), expected.len(), "dataman adds nothing of its own: {found}");
    // What was NULL stays as it was: null here, missing there.
    let second = documents.document(2).await;
    assert_eq!(
        (second.get("note"), second.get("age")),
        (Some(&Bson::Null), Some(&Bson::Int64(37)))
    );
    let sixth = documents.document(6).await;
    assert!(!sixth.contains_key("note") && sixth.get("age") == Some(&Bson::Int64(6)), "{sixth}");
    let ninth = documents.document(9).await;
    assert_eq!(ninth.get("address"), Some(&Bson::Document(doc! { "city": "Oslo" })));

    // What MongoDB or its documents do not hold.
    for (statement, sqlstate) in [
        ("INSERT INTO people (_id) VALUES ('65F0C0FFEE65F0C000000010')", "22P02"),
        ("INSERT INTO people (_id) VALUES (NULL)", "23502"),
        ("INSERT INTO people (balance) VALUES (1.2345678901234567890123456789012345678)", "22003"),
        ("INSERT INTO people (born) VALUES ('infinity')", "22008"),
        ("INSERT INTO people (tags) VALUES ('null')", "22023"),
        ("INSERT INTO people (address, address_city) VALUES ('{}', 'x')", "0A000"),
        ("UPDATE people SET _id = '65f0c0ffee65f0c000000099'", "0A000"),
        ("INSERT INTO people (name) VALUES ('x') ON CONFLICT DO NOTHING", "0A000"),
        ("ALTER TABLE people ADD COLUMN x int", "0A000"),
        ("CREATE INDEX ON people (name)", "0A000"),
    ] {
        sides.refused(statement, sqlstate).await;
    }
    sides.alone("INSERT INTO people (name) VALUES ('new')").await;
    let made = documents.people.find_one(doc! { "name": "new" }).await.expect("an answer");
    assert!(made.is_some_and(|made| made.get_object_id("_id").is_ok()), "it has a new ObjectId");

    sides.alone("DROP TABLE people, visits").await;
    let left = documents.people.count_documents(doc! {}).await.expect("an answer");
    assert_eq!(left, 7, "the application keeps its documents");
    sides.alone("IMPORT FOREIGN SCHEMA shop LIMIT TO (people) FROM SERVER there INTO public").await;
    sides.alone("SELECT * FROM people").await;
}

/// Documents that the application writes later with other types are noticed, whatever MongoDB is told to look for.
#[tokio::test(flavor = "multi_thread")]
async fn strangers() {
    let documents = Documents::start("strangers_oracle").await;
    documents.import().await;
    let sides = &documents.sides;
    let stray = |fields: Document| {
        let mut document = doc! { "_id": id(99), "name": "stray" };
        document.extend(fields);
        document
    };
    let looks = [
        ("age", Bson::from("thirty")),
        ("age", decimal("30")),
        ("age", Bson::Array(vec![Bson::Int32(30)])),
        ("age", Bson::Array(vec![Bson::Null])),
        ("name", Bson::Int32(7)),
        ("name", Bson::Document(doc! { "first": "x" })),
        ("active", Bson::Int32(1)),
        ("born", Bson::from("2026-01-01")),
        ("score", decimal("1")),
        ("balance", Bson::Double(1.0)),
        ("ref", Bson::from("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
    ];
    let value = |column: &str| match column {
        "name" => "'x'",
        "active" => "true",
        "born" => "'2000-01-01'",
        "ref" => "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'",
        _ => "7",
    };
    for (column, bson) in looks {
        let whole = documents.people.insert_one(stray(doc! { column: bson.clone() })).await;
        whole.expect("the application writes");
        let constant = value(column);
        let mut statements = vec![
            format!("SELECT {column} FROM people"),
            format!("SELECT _id FROM people WHERE {column} = {constant}"),
            format!("SELECT _id FROM people WHERE NOT {column} = {constant}"),
            format!("SELECT _id FROM people WHERE {column} IN ({constant}, NULL)"),
            format!("SELECT count(*) FROM people WHERE {column} <> {constant}"),
            format!("SELECT count(*) FROM people WHERE {column} IS DISTINCT FROM {constant}"),
            format!("SELECT count(*) FROM people WHERE {column} IS NOT NULL"),
            format!("SELECT _id FROM people WHERE note = 'nobody' OR {column} = {constant}"),
            format!("SELECT {column}, count(*) FROM people GROUP BY {column}"),
            format!("SELECT {column}, count(*) FROM people GROUP BY {column} HAVING count(*) > 5"),
            format!("SELECT _id FROM people ORDER BY {column} LIMIT 1"),
            format!("SELECT _id FROM people ORDER BY {column} DESC, _id OFFSET 5"),
            format!("UPDATE people SET note = 'x' WHERE {column} = {constant}"),
            format!("DELETE FROM people WHERE {column} = {constant}"),
        ];
        if column != "active" {
            statements.push(format!("SELECT _id FROM people WHERE {column} > {constant}"));
            statements.push(format!("SELECT count(*) FROM people WHERE {column} <= {constant}"));
        }
        if matches!(column, "age" | "score" | "balance") {
            statements.push(format!("SELECT sum({column}) FROM people"));
            statements.push(format!("SELECT max({column}) FROM people WHERE _id > '6'"));
        }
        if matches!(bson, Bson::Decimal128(_)) {
            // The server of the tests fails where a decimal is part of a group's key.
            statements.retain(|statement| !statement.contains("GROUP BY"));
        }
        for statement in &statements {
            match run(&sides.ours, statement, Protocol::Simple).await {
                Outcome::Failure { sqlstate, message } => {
                    assert_eq!(sqlstate, "HV004", "{column} {bson}: {statement}: {message}");
                    let parts =
                        [format!("field \"{column}\""), id(99).to_hex(), "shop.people".to_owned()];
                    for part in &parts {
                        assert!(message.contains(part.as_str()), "{statement}: {message}");
                    }
                }
                Outcome::Rows(rows) => {
                    panic!("{column} {bson}: {statement} gave {} rows", rows.rows.len())
                }
            }
        }
        // What does not look at the field goes on, and it can be mended.
        let other = if column == "name" { "note" } else { "name" };
        sides.alone(&format!("SELECT {other} FROM people")).await;
        sides.alone("SELECT count(*) FROM people").await;
        sides
            .alone(&format!("SELECT {column} FROM people WHERE _id = '65f0c0ffee65f0c000000001'"))
            .await;
        let mend = format!("UPDATE people SET {column} = {constant} WHERE _id = '{}'", id(99));
        sides.alone(&mend).await;
        sides.alone(&format!("SELECT {column} FROM people WHERE {column} = {constant}")).await;
        sides.alone(&format!("DELETE FROM people WHERE _id = '{}'", id(99))).await;
    }

    // Numbers that the type does not hold, and numbers of another width that it does.
    documents.people.insert_one(stray(doc! { "age": 36.5 })).await.expect("is written");
    for statement in [
        "SELECT age FROM people",
        "SELECT sum(age) FROM people",
        "SELECT age, count(*) FROM people GROUP BY age",
    ] {
        sides.refused(statement, "HV004").await;
    }
    let whole = doc! { "$set": { "age": 36.0 } };
    documents.people.update_one(doc! { "_id": id(99) }, whole).await.expect("is written");
    sides
        .same(&["INSERT INTO people (_id, name) VALUES ('65f0c0ffee65f0c000000098', 'both')"])
        .await;
    let theirs =
        "INSERT INTO people (_id, name, age) VALUES ('65f0c0ffee65f0c000000063', 'stray', 36)";
    run(&sides.theirs, theirs, Protocol::Simple).await;
    sides
        .same(&[
            "SELECT age, count(*) FROM people GROUP BY age ORDER BY age",
            "SELECT sum(age), max(age) FROM people",
            "SELECT name FROM people WHERE age = 36 ORDER BY name",
            "SELECT sum(age) FROM people WHERE age < 100",
            "UPDATE people SET age = age + 1 WHERE name = 'stray' RETURNING age",
        ])
        .await;
    assert_eq!(
        documents.document(99).await.get("age"),
        Some(&Bson::Double(37.0)),
        "its width is kept"
    );

    // Fields of documents in an array are no column's.
    let many = doc! { "$set": { "address": [{ "city": "Paris" }, { "city": "Rome" }] } };
    documents.people.update_one(doc! { "_id": id(99) }, many).await.expect("is written");
    for statement in [
        "SELECT address_city FROM people",
        "SELECT name FROM people WHERE address_city = 'Paris'",
        "SELECT name FROM people WHERE address_city IS NULL",
        "SELECT address_city, count(*) FROM people GROUP BY address_city",
        "UPDATE people SET address_city = 'x' WHERE name = 'stray'",
    ] {
        sides.refused(statement, "HV004").await;
    }
    sides.alone("SELECT address FROM people").await;
    let text = doc! { "$set": { "address": "somewhere" } };
    documents.people.update_one(doc! { "_id": id(99) }, text).await.expect("is written");
    sides.alone("SELECT address_city FROM people").await;
    sides.refused("UPDATE people SET address_city = 'x' WHERE name = 'stray'", "HV004").await;
}

/// Blocks, savepoints and two writers at once.
#[tokio::test(flavor = "multi_thread")]
async fn blocks() {
    let documents = Documents::start("blocks_oracle").await;
    documents.import().await;
    documents
        .sides
        .same(&[
            "BEGIN",
            "UPDATE visits SET pages = 30 WHERE _id = 1",
            "SAVEPOINT s",
            "UPDATE visits SET pages = NULL WHERE _id = 1",
            "INSERT INTO visits VALUES (9, 'x', 9)",
            "DELETE FROM visits WHERE _id = 2",
            "INSERT INTO visits VALUES (1, 'twice', 0)",
            "ROLLBACK TO s",
            "SELECT * FROM visits ORDER BY _id",
            "COMMIT",
            "BEGIN",
            "DELETE FROM visits",
            "ROLLBACK",
            "SELECT * FROM visits ORDER BY _id",
            "BEGIN",
            "TRUNCATE visits",
            "SELECT count(*) FROM visits",
            "ROLLBACK",
            "SELECT count(*) FROM visits",
        ])
        .await;
    documents.sides.refused("SELECT * FROM visits FOR UPDATE", "0A000").await;
}

/// What `ctl inspect` says of collections of all sorts.
#[tokio::test(flavor = "multi_thread")]
async fn inspected() {
    let documents = Documents::start("inspected_oracle").await;
    let client = Client::with_uri_str(documents.server.url()).await.expect("connects");
    let shop = client.database("shop");
    shop.create_collection("empty").await.expect("is made");
    let unique = doc! { "createIndexes": "people", "indexes": [{ "key": { "name": 1 }, "name": "names", "unique": true }] };
    shop.run_command(unique).await.expect("is made");
    let said = Command::new(program())
        .args(["ctl", "--metadata"])
        .arg(format!("file:{}", documents.sides.dataman.folder().join("data").display()))
        .args(["inspect", "a/there.shop"])
        .output()
        .expect("the program is built");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for expected in [
        "CREATE TABLE people (",
        "_id text DEFAULT objectid() NOT NULL",
        "age bigint",
        "score double precision",
        "balance numeric",
        "born timestamp(3) with time zone",
        "ref uuid",
        "photo bytea",
        "tags jsonb",
        "code jsonb",
        "CONSTRAINT people_pkey PRIMARY KEY (_id)",
        "field \"code\" has values of 1 int, 1 string, 1 array, which have no type in common",
        "OPTIONS (\"people.address.city\" 'address_city')",
        "unique index names over name",
        "empty cannot be adopted: it has no documents to tell its fields by",
        "IMPORT FOREIGN SCHEMA shop FROM SERVER shop INTO public;",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // Without documents the options say what there is.
    let sides = &documents.sides;
    sides
        .alone(
            "IMPORT FOREIGN SCHEMA shop LIMIT TO (empty) FROM SERVER shop INTO public OPTIONS (\"empty.a.b\" 'b int', \"empty.t\" '\"T\"  text')",
        )
        .await;
    sides.alone("INSERT INTO empty (b, \"T\") VALUES (1, 'x')").await;
    let empty = shop.collection::<Document>("empty").find_one(doc! {}).await.expect("an answer");
    let empty = empty.expect("a document");
    assert_eq!(empty.get_document("a").ok(), Some(&doc! { "b": 1 }));
    documents.import_only_unique(sides).await;
}

impl Documents {
    /// A unique index of the application's is named by what it refuses.
    async fn import_only_unique(&self, sides: &Sides) {
        sides
            .alone("IMPORT FOREIGN SCHEMA shop LIMIT TO (people) FROM SERVER shop INTO public")
            .await;
        match run(&sides.ours, "INSERT INTO people (name) VALUES ('Ada')", Protocol::Simple).await {
            Outcome::Failure { sqlstate, message } => {
                assert_eq!(sqlstate, "23505");
                assert!(message.contains("\"people_names_key\""), "{message}");
            }
            Outcome::Rows(_) => panic!("the index was passed by"),
        }
    }
}
