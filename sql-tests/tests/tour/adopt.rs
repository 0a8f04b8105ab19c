//! Tables that were there before dataman: adopted where they are, and from then on as PostgreSQL's own.
//!
//! Each statement runs through dataman, over the adopted tables, and on a plain PostgreSQL that holds the same; what comes out must be the
//! same. What the source's own tools see afterwards is compared too.

use std::process::Command;

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::engine::{Mariadb, Mongodb, Postgres, Session};
use dataman_sql_tests::oracle::{Order, difference, for_postgres};
use dataman_sql_tests::topology::{Launch, Running, program};
use mongodb::bson::doc;

/// dataman with a datastore of its own and a source, and the oracle.
pub(crate) struct Sides {
    /// The program.
    pub(crate) dataman: Running,
    /// A session of it.
    pub(crate) ours: Session,
    /// A session of the oracle.
    pub(crate) theirs: Session,
}

impl Sides {
    /// Starts dataman over its own SQLite shard and one datasource, which is the datastore `shop`.
    pub(crate) async fn start(engine: &str, url: &str, oracle: Session) -> Self {
        let cluster = format!(
            "[[node]]\nname = \"a\"\n\
             [[node.datasource]]\nname = \"own\"\nengine = \"sqlite\"\nurl = \"{{folder}}/own\"\n\
             [[node.datasource]]\nname = \"there\"\nengine = \"{engine}\"\nurl = \"{url}\"\n\
             [[datastore]]\nname = \"main\"\n[[datastore.shard]]\nprimary = \"a/own\"\n\
             [[datastore]]\nname = \"shop\"\n[[datastore.shard]]\nprimary = \"a/there\"\n\
             [[database]]\nname = \"app\"\ndatastore = \"main\"\n"
        );
        let launch = Launch::up(cluster, &["app".to_owned()]);
        let dataman = Running::launch(launch).await.expect("dataman starts");
        let ours = Session::connect(&dataman.dsn_of("app")).await.expect("dataman answers");
        Self { dataman, ours, theirs: oracle }
    }

    /// Runs a statement on dataman alone; fails with what it says.
    pub(crate) async fn alone(&self, statement: &str) {
        let outcome = run(&self.ours, statement, Protocol::Simple).await;
        assert!(matches!(outcome, Outcome::Rows(_)), "{statement}: {outcome:?}");
    }

    /// Runs a statement that dataman refuses; gives SQLSTATE and message.
    pub(crate) async fn refused(&self, statement: &str, sqlstate: &str) {
        match run(&self.ours, statement, Protocol::Simple).await {
            Outcome::Failure { sqlstate: found, message } => {
                assert_eq!(found, sqlstate, "{statement}: {message}");
            }
            Outcome::Rows(rows) => panic!("{statement} gave {} rows", rows.rows.len()),
        }
    }

    /// Runs statements on both and compares.
    pub(crate) async fn same(&self, statements: &[&str]) {
        let mut failures = Vec::new();
        for statement in statements {
            for protocol in Protocol::ALL {
                let writes = !statement.starts_with("SELECT");
                // An enum's OID is a server's own.
                let has_enum =
                    statement.contains("feeling") || statement.contains("* FROM customers");
                if (writes || has_enum) && protocol == Protocol::Extended {
                    continue;
                }
                let ours = run(&self.ours, statement, protocol).await;
                let theirs = run(&self.theirs, &for_postgres(statement), protocol).await;
                let order = if statement.contains("ORDER BY") { Order::AsIs } else { Order::Any };
                if let Some(difference) = difference(&ours, &theirs, order) {
                    failures.push(format!("{statement}\n  {difference}"));
                }
            }
        }
        assert!(failures.is_empty(), "{}\n{}", failures.join("\n"), self.dataman.log());
    }
}

/// A PostgreSQL shop. `{collate}` is a collation for people.
const SHOP: &[&str] = &[
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
    "CREATE DOMAIN amount AS numeric(10,2) CHECK (VALUE >= 0)",
    "CREATE TABLE customers (
        id serial PRIMARY KEY,
        name text {collate} NOT NULL,
        email varchar(40) {collate} UNIQUE,
        feeling mood DEFAULT 'ok',
        since date NOT NULL DEFAULT '2020-01-01',
        note jsonb,
        code char(4),
        CONSTRAINT named CHECK (name <> ''))",
    "CREATE TABLE orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        customer int NOT NULL REFERENCES customers ON DELETE CASCADE,
        total amount NOT NULL DEFAULT 0,
        tax numeric GENERATED ALWAYS AS (total * 0.2) STORED,
        placed timestamptz NOT NULL DEFAULT now(),
        tags text[])",
    "CREATE INDEX orders_customer ON orders (customer DESC)",
    "CREATE VIEW rich AS SELECT * FROM orders WHERE total > 100",
    "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN NEW.code := upper(NEW.code); RETURN NEW; END$$",
    "CREATE TRIGGER shouts BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION shout()",
    "INSERT INTO customers (name, email, feeling, note, code) VALUES
        ('ada', 'ada@x', 'happy', '{\"a\": [1, {\"b\": 2}]}', 'a'), ('Bob', 'bob@x', 'sad', NULL, 'bb'),
        ('Éva', 'eva@x', NULL, '{}', NULL), ('eve', 'EVE@x', 'ok', NULL, 'ccc')",
    "INSERT INTO orders (customer, total, placed, tags) VALUES
        (1, 10.50, '2024-01-01 00:00+00', '{x,y}'), (1, 200, '2024-02-01 00:00+00', NULL), (2, 7, '2024-03-01 00:00+00', '{}')",
];

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let server = Postgres::start().expect("a server starts");
    let source = server.create_database("shop").await.expect("a database");
    source
        .batch_execute("CREATE COLLATION people (provider = icu, locale = 'en-US')")
        .await
        .expect("a collation");
    let oracle = server.create_database("oracle").await.expect("a database");
    for statement in SHOP {
        let there = statement.replace("{collate}", "COLLATE people");
        source.batch_execute(&there).await.expect(statement);
        oracle.batch_execute(&statement.replace("{collate}", "")).await.expect(statement);
    }
    let sides = Sides::start("postgres", &server.url_of("shop"), oracle).await;

    sides.refused("IMPORT FOREIGN SCHEMA public FROM SERVER nobody INTO public", "42704").await;
    sides.refused("IMPORT FOREIGN SCHEMA public FROM SERVER shop INTO nowhere", "3F000").await;
    sides.refused("IMPORT FOREIGN SCHEMA nowhere FROM SERVER shop INTO public", "HV00P").await;
    sides
        .refused(
            "IMPORT FOREIGN SCHEMA public FROM SERVER shop INTO public OPTIONS (x '1')",
            "HV00D",
        )
        .await;
    sides
        .refused(
            "IMPORT FOREIGN SCHEMA public LIMIT TO (rich) FROM SERVER shop INTO public",
            "0A000",
        )
        .await;
    sides.alone("IMPORT FOREIGN SCHEMA public FROM SERVER shop INTO public").await;
    sides.refused("IMPORT FOREIGN SCHEMA public FROM SERVER there INTO public", "42P07").await;

    let own = "CREATE TABLE ranks (customer int PRIMARY KEY, rank int)";
    sides
        .same(&[
            own,
            "INSERT INTO ranks VALUES (1, 5), (2, 3), (9, 1)",
            "SELECT * FROM customers ORDER BY name",
            "SELECT name FROM customers WHERE name > 'a' ORDER BY name DESC",
            "SELECT id FROM customers WHERE name = 'ada'",
            "SELECT id FROM customers WHERE email = 'eve@x'",
            "SELECT min(name), max(name), min(email) FROM customers",
            "SELECT name < 'b', count(*) FROM customers GROUP BY name < 'b' ORDER BY 1",
            "SELECT upper(name), note -> 'a' FROM customers ORDER BY name COLLATE \"C\"",
            "SELECT name, row_number() OVER (ORDER BY email) FROM customers ORDER BY id",
            "SELECT feeling, count(*) FROM customers WHERE feeling >= 'ok' GROUP BY feeling ORDER BY feeling",
            "SELECT * FROM orders ORDER BY id",
            "SELECT c.name, r.rank, sum(o.total) FROM customers c JOIN orders o ON o.customer = c.id
               LEFT JOIN ranks r ON r.customer = c.id GROUP BY c.name, r.rank ORDER BY c.name",
            "SELECT c.name FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer = c.id AND o.total > 100)",
            "INSERT INTO customers (name, email, code) VALUES ('new', 'n@x', 'low') RETURNING id, feeling, since, code",
            "INSERT INTO customers VALUES (DEFAULT, 'def', NULL), (DEFAULT, 'ault', NULL) RETURNING *",
            "INSERT INTO customers (id, name) VALUES (1, 'twice')",
            "INSERT INTO customers (name, email) VALUES ('x', 'ada@x')",
            "INSERT INTO customers (name) VALUES ('')",
            "INSERT INTO customers (email) VALUES ('nobody@x')",
            "INSERT INTO customers (name, feeling) VALUES ('x', 'angry')",
            "INSERT INTO customers (name, email) VALUES ('y', 'ada@x') ON CONFLICT (email) DO UPDATE SET name = excluded.name RETURNING id, name",
            "INSERT INTO customers (id, name) VALUES (2, 'z') ON CONFLICT ON CONSTRAINT customers_pkey DO NOTHING",
            "INSERT INTO orders (customer, total) VALUES (2, 30) RETURNING id, customer, total, tax, tags",
            "INSERT INTO orders (customer, total) VALUES (77, 30)",
            "INSERT INTO orders (customer, total) VALUES (2, -1)",
            "INSERT INTO orders (id, customer) VALUES (1, 1)",
            "INSERT INTO orders (customer, tax) VALUES (1, 1)",
            "INSERT INTO orders (customer, total) SELECT customer, rank FROM ranks WHERE customer < 3",
            "UPDATE orders SET total = total + 1 WHERE customer = 1 RETURNING id, total, tax",
            "UPDATE orders SET tags = tags || 'z' FROM ranks WHERE ranks.customer = orders.customer AND rank = 5",
            "UPDATE customers SET email = upper(email) WHERE name = 'Bob' RETURNING email",
            "DELETE FROM orders WHERE total < (SELECT min(rank) + 5 FROM ranks) RETURNING id",
            "SELECT id, customer, total, tax, tags FROM orders ORDER BY id",
            "DELETE FROM customers WHERE id = 1",
            "SELECT id, customer FROM orders ORDER BY id",
            "SELECT * FROM customers ORDER BY id",
            "SELECT column_name, is_nullable, data_type, is_identity, is_generated FROM information_schema.columns
               WHERE table_name IN ('customers', 'orders') ORDER BY table_name, ordinal_position",
            "SELECT conname, contype, conkey, pg_get_constraintdef(oid) FROM pg_constraint
               WHERE conrelid = 'customers'::regclass OR conrelid = 'orders'::regclass ORDER BY conname",
            "SELECT attname, atthasdef, attidentity, attgenerated FROM pg_attribute
               WHERE attrelid = 'orders'::regclass AND attnum > 0 ORDER BY attnum",
            "TRUNCATE orders",
            "SELECT count(*) FROM orders",
        ])
        .await;

    sides.refused("ALTER TABLE customers ADD COLUMN x int", "0A000").await;
    sides.refused("ALTER TABLE customers RENAME TO clients", "0A000").await;
    sides.refused("CREATE INDEX ON customers (name)", "0A000").await;
    sides.refused("DROP INDEX orders_customer", "0A000").await;
    sides
        .refused(
            "CREATE TABLE more (c int REFERENCES customers) WITH (datastore = 'shop')",
            "0A000",
        )
        .await;
    sides
        .refused("INSERT INTO customers (id, name) VALUES (DEFAULT, 'a'), (50, 'b')", "0A000")
        .await;
    sides.alone("DROP TABLE orders, customers").await;
    let row = source.query_one("SELECT count(*) FROM customers", &[]).await.expect("it is there");
    assert!(row.get::<_, i64>(0) > 3, "the source keeps its rows");
    sides.alone("IMPORT FOREIGN SCHEMA public EXCEPT (rich) FROM SERVER there INTO public").await;
    sides.same(&["SELECT * FROM customers ORDER BY id"]).await;

    let said = Command::new(program())
        .args(["ctl", "--metadata"])
        .arg(format!("file:{}", sides.dataman.folder().join("data").display()))
        .args(["inspect", "a/there.public"])
        .output()
        .expect("the program is built");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for expected in [
        "CREATE TABLE customers (",
        "CONSTRAINT named CHECK",
        "rich cannot be adopted: it is a view",
        "customers keeps there, not shown here: trigger shouts",
        "IMPORT FOREIGN SCHEMA public FROM SERVER shop INTO public;",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

/// Runs texts of MySQL's own on a server; gives what the last one printed.
fn mariadb(server: &Mariadb, text: &str) -> String {
    let output = Command::new("mariadb")
        .args([
            "--no-defaults",
            "-h127.0.0.1",
            "-udataman",
            "-psecret",
            "--default-character-set=utf8mb4",
            "-N",
        ])
        .arg(format!("-P{}", server.port()))
        .args(["-e", text])
        .output()
        .expect("MariaDB's client is there");
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const MARIADB_SHOP: &str = "
    CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
    CREATE TABLE shop.products (
        id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        sku VARCHAR(20) NOT NULL UNIQUE,
        name VARCHAR(40) CHARACTER SET latin1 NOT NULL,
        kind ENUM('tool', 'Toy', 'food') NOT NULL DEFAULT 'tool',
        price DECIMAL(10,2) NOT NULL DEFAULT 1.50,
        stock BIGINT UNSIGNED,
        active TINYINT(1) NOT NULL DEFAULT 1,
        hidden BIT(1),
        weight DOUBLE, ratio FLOAT,
        code CHAR(4),
        raw VARBINARY(8), fixed BINARY(2),
        made DATE, changed DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, seen TIMESTAMP(6) NULL,
        opens TIME,
        extra JSON,
        doubled INT AS (active * 2) PERSISTENT,
        CONSTRAINT priced CHECK (price >= 0));
    CREATE TABLE shop.reviews (
        product INT UNSIGNED NOT NULL, author VARCHAR(10) NOT NULL, stars SMALLINT, PRIMARY KEY (product, author),
        CONSTRAINT reviewed FOREIGN KEY (product) REFERENCES shop.products (id) ON DELETE CASCADE);
    CREATE TABLE shop.places (id INT PRIMARY KEY, at POINT);
    CREATE TABLE shop.old (id INT PRIMARY KEY) ENGINE = MyISAM;
    CREATE TABLE shop.loose (a INT, b VARCHAR(10));
    CREATE TABLE shop.dates (id INT PRIMARY KEY, d DATE);
    INSERT INTO shop.products (sku, name, kind, price, stock, hidden, weight, ratio, code, raw, fixed, made, changed, seen, opens, extra) VALUES
        ('a-1', 'hammer', 'tool', 12.50, 18446744073709551615, 1, 0.1, 0.5, 'x', x'00ff', 'ab', '2024-02-29', '2024-01-01 10:00:00',
         '2024-01-01 10:00:00.123456', '-26:30:00', '{\"a\": 1}'),
        ('B-2', 'Ball', 'Toy', 3, 7, 0, NULL, NULL, NULL, NULL, NULL, NULL, '2024-01-02 10:00:00', NULL, '08:00:00', NULL),
        ('c-3', 'ananas', 'food', 0.99, NULL, NULL, -1e100, 1e10, 'ab c', '', NULL, '1999-12-31', '2024-01-03 10:00:00', NULL, NULL, '[]');
    INSERT INTO shop.reviews VALUES (1, 'Ann', 5), (1, 'bo', 4), (2, 'ann', NULL);
    INSERT INTO shop.loose VALUES (1, 'x'), (NULL, 'Y');
    SET SESSION sql_mode = '';
    INSERT INTO shop.dates VALUES (1, '2024-01-01'), (2, '0000-00-00');";

const ORACLE_SHOP: &[&str] = &[
    "CREATE TABLE products (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        sku varchar(20) NOT NULL UNIQUE,
        name varchar(40) NOT NULL,
        kind text NOT NULL DEFAULT 'tool',
        price numeric(10,2) NOT NULL DEFAULT 1.50 CONSTRAINT priced CHECK (price >= 0),
        stock numeric(20,0),
        active smallint NOT NULL DEFAULT 1,
        hidden bool,
        weight double precision, ratio real,
        code char(4),
        raw bytea, fixed bytea,
        made date, changed timestamp(0) NOT NULL DEFAULT '2024-01-01', seen timestamptz(6),
        opens interval(0),
        extra json,
        doubled int GENERATED ALWAYS AS (active * 2) STORED)",
    "CREATE TABLE reviews (
        product bigint NOT NULL, author varchar(10) NOT NULL, stars smallint, PRIMARY KEY (product, author),
        CONSTRAINT reviewed FOREIGN KEY (product) REFERENCES products (id) ON DELETE CASCADE)",
    "CREATE TABLE loose (a int, b varchar(10))",
    "INSERT INTO products (sku, name, kind, price, stock, hidden, weight, ratio, code, raw, fixed, made, changed, seen, opens, extra) VALUES
        ('a-1', 'hammer', 'tool', 12.50, 18446744073709551615, true, 0.1, 0.5, 'x', '\\x00ff', 'ab', '2024-02-29', '2024-01-01 10:00:00',
         '2024-01-01 10:00:00.123456+00', '-26:30:00', '{\"a\": 1}'),
        ('B-2', 'Ball', 'Toy', 3, 7, false, NULL, NULL, NULL, NULL, NULL, NULL, '2024-01-02 10:00:00', NULL, '08:00:00', NULL),
        ('c-3', 'ananas', 'food', 0.99, NULL, NULL, -1e100, 1e10, 'ab c', '', NULL, '1999-12-31', '2024-01-03 10:00:00', NULL, NULL, '[]')",
    "INSERT INTO reviews VALUES (1, 'Ann', 5), (1, 'bo', 4), (2, 'ann', NULL)",
    "INSERT INTO loose VALUES (1, 'x'), (NULL, 'Y')",
];

#[tokio::test(flavor = "multi_thread")]
async fn mysql() {
    let source = Mariadb::start().expect("a server starts");
    mariadb(&source, MARIADB_SHOP);
    let oracle = Postgres::shared().create_database("mysql_oracle").await.expect("a database");
    for statement in ORACLE_SHOP {
        oracle.batch_execute(statement).await.expect(statement);
    }
    let sides = Sides::start("mysql", &source.url(), oracle).await;
    sides.refused("IMPORT FOREIGN SCHEMA nowhere FROM SERVER shop INTO public", "HV00P").await;
    sides
        .refused(
            "IMPORT FOREIGN SCHEMA shop LIMIT TO (places) FROM SERVER shop INTO public",
            "0A000",
        )
        .await;
    sides
        .refused("IMPORT FOREIGN SCHEMA shop LIMIT TO (old) FROM SERVER shop INTO public", "0A000")
        .await;
    sides.alone("IMPORT FOREIGN SCHEMA shop FROM SERVER shop INTO public").await;

    sides
        .same(&[
            "CREATE TABLE ranks (product int PRIMARY KEY, rank int)",
            "INSERT INTO ranks VALUES (1, 5), (2, 3), (9, 1)",
            "SELECT * FROM products ORDER BY id",
            "SELECT sku FROM products ORDER BY name",
            "SELECT id FROM products WHERE name = 'BALL'",
            "SELECT id FROM products WHERE name = 'Ball'",
            "SELECT id FROM products WHERE sku IN ('a-1', 'b-2') ORDER BY id",
            "SELECT id FROM products WHERE sku > 'a' ORDER BY sku DESC",
            "SELECT min(name), max(name), count(DISTINCT kind) FROM products",
            "SELECT kind, count(*) FROM products GROUP BY kind ORDER BY kind",
            "SELECT count(*), sum(active), min(id) FROM products",
            "SELECT id FROM products WHERE price > 1 AND stock > 10",
            "SELECT id, hidden FROM products WHERE hidden IS NOT TRUE ORDER BY id",
            "SELECT id FROM products WHERE made < '2020-01-01' OR seen > '2023-01-01' ORDER BY id",
            "SELECT id, opens + interval '1 day' FROM products WHERE code = 'x' ORDER BY id",
            "SELECT id FROM products WHERE kind = 'toy'",
            "SELECT p.name, r.author, k.rank FROM products p JOIN reviews r ON r.product = p.id
               LEFT JOIN ranks k ON k.product = p.id ORDER BY p.name, r.author",
            "SELECT * FROM loose ORDER BY b",
            "INSERT INTO products (sku, name, changed) VALUES ('d-4', 'nail', '2024-05-05') RETURNING id, kind, price, active, doubled, code",
            "INSERT INTO products (id, sku, name, kind, price, code, opens, extra, changed, fixed) VALUES
               (50, 'e-5', 'saw', 'Toy', 1.999, 'q', '1:02:03', '{\"z\":2}', '2024-05-05', 'zz') RETURNING *",
            "INSERT INTO products (sku, name) VALUES ('a-1', 'again')",
            "INSERT INTO products (id, sku, name) VALUES (NULL, 'f', 'null id')",
            "INSERT INTO products (sku) VALUES ('nameless')",
            "INSERT INTO products (sku, name, price) VALUES ('g', 'cheap', -1)",
            "INSERT INTO products (sku, name) VALUES ('a very long stock keeping unit', 'x')",
            "INSERT INTO products (sku, name, doubled) VALUES ('h', 'x', 4)",
            "INSERT INTO reviews VALUES (77, 'nobody', 1)",
            "INSERT INTO reviews VALUES (2, 'cy', 3), (3, 'di', 2)",
            "UPDATE products SET price = price * 2, name = upper(name) WHERE kind = 'Toy' RETURNING id, name, price",
            "UPDATE products SET stock = 1 WHERE name = 'hammer' AND price > 12",
            "UPDATE reviews SET stars = rank FROM ranks WHERE ranks.product = reviews.product",
            "UPDATE reviews SET author = 'ANN' WHERE author = 'ann'",
            "DELETE FROM reviews WHERE author = 'bo' RETURNING *",
            "DELETE FROM products WHERE id = 3",
            "SELECT * FROM reviews ORDER BY product, author",
            "SELECT id, sku, name, price, stock FROM products ORDER BY id",
            "SELECT column_name, is_nullable, data_type, character_maximum_length, numeric_precision, is_identity, is_generated
               FROM information_schema.columns WHERE table_name IN ('products', 'reviews') AND column_name <> 'doubled'
               ORDER BY table_name, ordinal_position",
            "SELECT conname, contype, conkey FROM pg_constraint WHERE conrelid = 'reviews'::regclass ORDER BY conname",
        ])
        .await;

    // What MySQL is stricter in, or holds and PostgreSQL does not.
    sides.refused("INSERT INTO products (sku, name) VALUES ('A-1', 'other case')", "23505").await;
    sides.refused("INSERT INTO products (id, sku, name) VALUES (-1, 'n', 'x')", "22003").await;
    sides
        .refused("INSERT INTO products (sku, name, kind) VALUES ('n', 'x', 'none')", "22P02")
        .await;
    sides
        .refused("INSERT INTO products (sku, name, weight) VALUES ('n', 'x', 'NaN')", "22003")
        .await;
    sides
        .refused("INSERT INTO products (sku, name, opens) VALUES ('n', 'x', '1 day')", "22008")
        .await;
    sides
        .refused("INSERT INTO products (sku, name, fixed) VALUES ('n', 'x', 'abc')", "22001")
        .await;
    sides.refused("SELECT * FROM dates", "22008").await;
    sides.refused("UPDATE loose SET b = 'z'", "0A000").await;
    sides.refused("TRUNCATE reviews", "0A000").await;
    sides.refused("ALTER TABLE reviews ADD COLUMN x int", "0A000").await;
    sides.alone("INSERT INTO loose VALUES (7, 'seven')").await;

    let zero = "INSERT INTO products (id, sku, name) VALUES (0, 'zero', 'zero')";
    sides.alone(zero).await;
    let there = mariadb(
        &source,
        "SELECT id, name FROM shop.products WHERE sku IN ('zero', 'B-2') ORDER BY id",
    );
    assert_eq!(there, "0\tzero\n2\tBALL\n");
    sides.alone("DROP TABLE products, reviews, loose, dates").await;
    let there = mariadb(&source, "SELECT count(*) FROM shop.loose");
    assert_eq!(there, "3\n", "the source keeps its rows");
    sides.alone("IMPORT FOREIGN SCHEMA shop LIMIT TO (loose) FROM SERVER there INTO public").await;
    sides.alone("SELECT * FROM loose").await;
}

/// The blocks of README's part about existing databases: what stands behind "there".
fn readme(kind: &str) -> Vec<String> {
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).expect("README.md is there");
    let begin = format!("```{kind}\n");
    let blocks = text.split(&begin).skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// README's tour "three databases, one SELECT", word for word.
#[tokio::test(flavor = "multi_thread")]
async fn three_databases() {
    let oracle = Postgres::shared().create_database("three_oracle").await.expect("a database");
    let crm = Postgres::shared().create_database("three_crm").await.expect("a database");
    for block in readme("sql there postgres") {
        crm.batch_execute(&block).await.expect("README's PostgreSQL");
        oracle.batch_execute(&block).await.expect("README's PostgreSQL");
    }
    let shop = Mariadb::start().expect("a server starts");
    for block in readme("sql there mariadb") {
        mariadb(&shop, &block);
        let block = block
            .replace("CREATE DATABASE shop;", "")
            .replace("INT AUTO_INCREMENT", "SERIAL")
            .replace("DATETIME", "timestamp(0)")
            .replace("shop.", "");
        oracle.batch_execute(&block).await.expect("README's MariaDB");
    }
    let support = Mongodb::start().expect("a server starts");
    let tickets = crate::documents::collection(&support, "support", "tickets").await;
    for line in readme("json there mongodb").iter().flat_map(|block| block.lines()) {
        let json: serde_json::Value = serde_json::from_str(line).expect("README's JSON");
        let document = crate::documents::imported(&json);
        tickets.insert_one(document).await.expect("README's MongoDB");
        let insert = "INSERT INTO tickets SELECT gen_random_uuid(), (d ->> 'customer')::int, d ->> 'subject', (d #>> '{opened,$date}')::timestamptz, \
                      d -> 'contact', d -> 'tags', NULL, d #>> '{contact,channel}' FROM (SELECT $1::text::jsonb AS d) d";
        oracle
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS tickets (_id text DEFAULT gen_random_uuid(), customer int, subject text, \
                 opened timestamptz(3), contact jsonb, tags jsonb, answer jsonb, channel text)",
            )
            .await
            .expect("a table");
        oracle.execute(insert, &[&line]).await.expect("a ticket");
    }
    let cluster = readme("toml there").concat().replace("./dataman-data", "{folder}");
    let mut launch = Launch::up(cluster, &["everything".to_owned()]);
    launch.environment = vec![
        ("CRM_URL".to_owned(), Postgres::shared().url_of("three_crm")),
        ("SHOP_URL".to_owned(), shop.url()),
        ("SUPPORT_URL".to_owned(), support.url()),
    ];
    let dataman = Running::launch(launch).await.expect("dataman starts");
    let ours = Session::connect(&dataman.dsn_of("everything")).await.expect("dataman answers");
    let mut statements = 0;
    for statement in readme("sql there").iter().flat_map(|block| block.split(";\n")) {
        let statement = statement.trim();
        if statement.is_empty() {
            continue;
        }
        statements += 1;
        let outcome = run(&ours, statement, Protocol::Simple).await;
        if statement.starts_with("IMPORT") {
            assert!(matches!(outcome, Outcome::Rows(_)), "{statement}: {outcome:?}");
            continue;
        }
        let expected = run(&oracle, statement, Protocol::Simple).await;
        let order = if statement.contains("ORDER BY") { Order::AsIs } else { Order::Any };
        assert_eq!(difference(&outcome, &expected, order), None, "{statement}");
    }
    assert!(statements > 7, "the tour has statements");
    let row = crm.query_one("SELECT count(*) FROM customers", &[]).await.expect("it is there");
    assert_eq!(row.get::<_, i64>(0), 4, "the row went to PostgreSQL");
    assert_eq!(mariadb(&shop, "SELECT name FROM shop.products WHERE id = 3"), "desk\n");
    let ticket = tickets.find_one(doc! { "customer": 4 }).await.expect("an answer");
    let ticket = ticket.expect("the row went to MongoDB");
    assert_eq!(ticket.get_document("contact").ok(), Some(&doc! { "channel": "mail" }));
}
