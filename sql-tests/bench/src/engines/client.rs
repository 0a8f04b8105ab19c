//! The engines' own clients. dataman is spoken to by PostgreSQL's.

use std::path::Path;

use dataman_sql_tests::engine::Session;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, RawDocumentBuf, doc, rawdoc};
use mongodb::options::WriteConcern;
use mysql_async::prelude::Queryable;

use super::row_of;
use crate::error::Error;

/// How many rows one INSERT carries.
const BATCH_ROWS: u64 = 1000;

/// One connection.
pub(super) enum Client {
    /// To a PostgreSQL, or to dataman.
    Postgres(Box<Prepared>),
    /// To a SQLite file.
    Sqlite(rusqlite::Connection),
    /// To a MariaDB.
    Mariadb(Box<mysql_async::Conn>),
    /// To a collection of MongoDB.
    Mongodb(mongodb::Collection<RawDocumentBuf>),
}

/// A session with its statements, which are prepared once there is the table.
pub(super) struct Prepared {
    session: Session,
    statements: Vec<tokio_postgres::Statement>,
}

const CREATE: &str = "CREATE TABLE facts (id bigint PRIMARY KEY, grp int NOT NULL, amount int NOT NULL, kind varchar(40) NOT NULL, \
                      note varchar(80) NOT NULL)";
const SCAN: &str = "SELECT id, grp, amount, kind, note FROM facts";
const GROUP: &str = "SELECT grp, count(*), sum(amount) FROM facts GROUP BY grp";
const GROUP_TEXT: &str = "SELECT kind, count(*), sum(amount) FROM facts GROUP BY kind";

/// An error of a client.
pub(super) fn failed(error: impl std::error::Error) -> Error {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text = format!("{text}: {source}");
    }
    Error::Failed(text)
}

fn insert_of(first: u64, last: u64) -> String {
    let rows: Vec<String> = (first..=last)
        .map(|id| {
            let (grp, amount, kind, note) = row_of(id);
            format!("({id}, {grp}, {amount}, '{kind}', '{note}')")
        })
        .collect();
    format!("INSERT INTO facts VALUES {}", rows.join(", "))
}

/// The first and last number of each batch.
fn batches(rows: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..rows.div_ceil(BATCH_ROWS))
        .map(move |batch| (batch * BATCH_ROWS + 1, ((batch + 1) * BATCH_ROWS).min(rows)))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

impl Client {
    pub(super) async fn postgres(dsn: &str) -> Result<Self, Error> {
        let session = Session::connect(dsn).await.map_err(failed)?;
        Ok(Self::Postgres(Box::new(Prepared { session, statements: Vec::new() })))
    }

    pub(super) fn sqlite(file: &Path) -> Result<Self, Error> {
        let connection = rusqlite::Connection::open(file).map_err(failed)?;
        // As dataman has it: what is committed is on the disk.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            .map_err(failed)?;
        Ok(Self::Sqlite(connection))
    }

    pub(super) async fn mariadb(url: &str, database: &str) -> Result<Self, Error> {
        let options = mysql_async::Opts::from_url(url).map_err(failed)?;
        let mut connection = mysql_async::Conn::new(options).await.map_err(failed)?;
        let create =
            format!("CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin");
        connection.query_drop(create).await.map_err(failed)?;
        connection.query_drop(format!("USE {database}")).await.map_err(failed)?;
        Ok(Self::Mariadb(Box::new(connection)))
    }

    pub(super) async fn mongodb(url: &str, database: &str) -> Result<Self, Error> {
        let client = mongodb::Client::with_uri_str(url).await.map_err(failed)?;
        Ok(Self::Mongodb(client.database(database).collection("facts")))
    }

    /// Makes the table and its rows.
    pub(super) async fn fill(&mut self, rows: u64) -> Result<(), Error> {
        match self {
            Self::Postgres(prepared) => {
                let session = &prepared.session;
                session.batch_execute(CREATE).await.map_err(failed)?;
                for (first, last) in batches(rows) {
                    session.batch_execute(&insert_of(first, last)).await.map_err(failed)?;
                }
                let statements = [
                    "SELECT amount, note FROM facts WHERE id = $1",
                    "UPDATE facts SET amount = amount + 1 WHERE id = $1",
                    SCAN,
                    GROUP,
                    GROUP_TEXT,
                ];
                for statement in statements {
                    let statement = session.prepare(statement).await.map_err(failed)?;
                    prepared.statements.push(statement);
                }
            }
            Self::Sqlite(connection) => {
                connection.execute_batch(CREATE).map_err(failed)?;
                connection.execute_batch("BEGIN").map_err(failed)?;
                for (first, last) in batches(rows) {
                    connection.execute_batch(&insert_of(first, last)).map_err(failed)?;
                }
                connection.execute_batch("COMMIT").map_err(failed)?;
            }
            Self::Mariadb(connection) => {
                connection.query_drop(CREATE).await.map_err(failed)?;
                for (first, last) in batches(rows) {
                    connection.query_drop(insert_of(first, last)).await.map_err(failed)?;
                }
            }
            Self::Mongodb(collection) => {
                for (first, last) in batches(rows) {
                    let documents = (first..=last).map(|id| {
                        let (grp, amount, kind, note) = row_of(id);
                        rawdoc! {
                            "_id": signed(id), "grp": grp, "amount": amount, "kind": kind, "note": note
                        }
                    });
                    collection.insert_many(documents).await.map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// The note of one row.
    pub(super) async fn select(&mut self, id: u64) -> Result<String, Error> {
        let id = signed(id);
        match self {
            Self::Postgres(prepared) => {
                let row = prepared.session.query_one(&prepared.statements[0], &[&id]).await;
                row.and_then(|row| row.try_get(1)).map_err(failed)
            }
            Self::Sqlite(connection) => connection
                .prepare_cached("SELECT amount, note FROM facts WHERE id = ?1")
                .and_then(|mut statement| statement.query_row([id], |row| row.get(1)))
                .map_err(failed),
            Self::Mariadb(connection) => {
                let select = "SELECT amount, note FROM facts WHERE id = ?";
                let row: Option<(i32, String)> =
                    connection.exec_first(select, (id,)).await.map_err(failed)?;
                Ok(row.map(|(_, note)| note).unwrap_or_default())
            }
            Self::Mongodb(collection) => {
                let fields = doc! { "amount": 1, "note": 1 };
                let found = collection.find_one(doc! { "_id": id }).projection(fields).await;
                let found = found.map_err(failed)?.unwrap_or_default();
                found.get_str("note").map(str::to_owned).map_err(failed)
            }
        }
    }

    /// Changes one row; gives how many were.
    pub(super) async fn update(&mut self, id: u64) -> Result<u64, Error> {
        let id = signed(id);
        match self {
            Self::Postgres(prepared) => {
                prepared.session.execute(&prepared.statements[1], &[&id]).await.map_err(failed)
            }
            Self::Sqlite(connection) => connection
                .prepare_cached("UPDATE facts SET amount = amount + 1 WHERE id = ?1")
                .and_then(|mut statement| statement.execute([id]))
                .map(|changed| changed as u64)
                .map_err(failed),
            Self::Mariadb(connection) => {
                let update = "UPDATE facts SET amount = amount + 1 WHERE id = ?";
                connection.exec_drop(update, (id,)).await.map_err(failed)?;
                Ok(connection.affected_rows())
            }
            Self::Mongodb(collection) => collection
                .update_one(doc! { "_id": id }, doc! { "$inc": { "amount": 1 } })
                .write_concern(WriteConcern::majority())
                .await
                .map(|changed| changed.modified_count)
                .map_err(failed),
        }
    }

    /// Reads all rows, every value of them; gives how many they are and the sum of their numbers.
    pub(super) async fn scan(&mut self) -> Result<(u64, u64), Error> {
        let (mut count, mut sum) = (0, 0);
        let mut add = |id: i64| {
            count += 1;
            sum += unsigned(id);
        };
        match self {
            Self::Postgres(prepared) => {
                let none: [i64; 0] = [];
                let rows = prepared.session.query_raw(&prepared.statements[2], none).await;
                let mut rows = std::pin::pin!(rows.map_err(failed)?);
                while let Some(row) = rows.try_next().await.map_err(failed)? {
                    let _: (i32, i32, &str, &str) =
                        (row.get(1), row.get(2), row.get(3), row.get(4));
                    add(row.get(0));
                }
            }
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(SCAN).map_err(failed)?;
                let mut rows = statement.query([]).map_err(failed)?;
                while let Some(row) = rows.next().map_err(failed)? {
                    let read = || -> rusqlite::Result<i64> {
                        let _: (i32, i32) = (row.get(1)?, row.get(2)?);
                        let _: (String, String) = (row.get(3)?, row.get(4)?);
                        row.get(0)
                    };
                    add(read().map_err(failed)?);
                }
            }
            Self::Mariadb(connection) => {
                let mut rows = connection.exec_iter(SCAN, ()).await.map_err(failed)?;
                while let Some(row) = rows.next().await.map_err(failed)? {
                    let (id, ..): (i64, i32, i32, String, String) = mysql_async::from_row(row);
                    add(id);
                }
            }
            Self::Mongodb(collection) => {
                let mut cursor = collection.find(doc! {}).await.map_err(failed)?;
                while cursor.advance().await.map_err(failed)? {
                    let row = cursor.current();
                    for field in ["grp", "amount"] {
                        row.get_i32(field).map_err(failed)?;
                    }
                    let _: [String; 2] = [
                        row.get_str("kind").map_err(failed)?.to_owned(),
                        row.get_str("note").map_err(failed)?.to_owned(),
                    ];
                    add(row.get_i64("_id").map_err(failed)?);
                }
            }
        }
        Ok((count, sum))
    }

    /// Groups all rows, by number or by text; gives how many groups there are, and how many rows in them.
    pub(super) async fn group(&mut self, by_text: bool) -> Result<(u64, u64), Error> {
        let sql = if by_text { GROUP_TEXT } else { GROUP };
        let (mut groups, mut count) = (0, 0);
        let mut add = |rows: i64| {
            groups += 1;
            count += unsigned(rows);
        };
        match self {
            Self::Postgres(prepared) => {
                let statement = &prepared.statements[if by_text { 4 } else { 3 }];
                let rows = prepared.session.query(statement, &[]).await.map_err(failed)?;
                rows.iter().for_each(|row| add(row.get(1)));
            }
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql).map_err(failed)?;
                let mut rows = statement.query([]).map_err(failed)?;
                while let Some(row) = rows.next().map_err(failed)? {
                    add(row.get(1).map_err(failed)?);
                }
            }
            Self::Mariadb(connection) => {
                let rows: Vec<mysql_async::Row> = connection.exec(sql, ()).await.map_err(failed)?;
                rows.iter().for_each(|row| add(row.get(1).unwrap_or_default()));
            }
            Self::Mongodb(collection) => {
                let key = if by_text { "$kind" } else { "$grp" };
                let group = doc! {
                    "$group": { "_id": key, "count": { "$sum": 1_i64 }, "sum": { "$sum": "$amount" } }
                };
                let cursor = collection.aggregate([group]).await.map_err(failed)?;
                let rows: Vec<Document> = cursor.try_collect().await.map_err(failed)?;
                for row in rows {
                    let count =
                        row.get_i64("count").or_else(|_| row.get_i32("count").map(i64::from));
                    add(count.map_err(failed)?);
                }
            }
        }
        Ok((groups, count))
    }
}
