//! A statement's whole outcome, by the simple or the extended protocol.

use tokio_postgres::types::{FromSql, Kind, Type};
use tokio_postgres::{SimpleQueryMessage, Statement};

use crate::engine::Session;

/// From here on OIDs are those of types that users make, tables' rows among them: they differ from server to server.
const USER_TYPES: u32 = 16_384;

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// One Query message; values in text.
    Simple,
    /// Parse, Bind, Execute; values in binary.
    Extended,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Simple, Self::Extended];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
        }
    }
}

/// What came of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It succeeded.
    Rows(Rows),
    /// It failed.
    Failure {
        /// The five-character code; empty when the connection broke.
        sqlstate: String,
        /// The message.
        message: String,
    },
}

/// What a successful statement gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Column names, and type OIDs in the extended protocol.
    pub columns: Vec<(String, Option<u32>)>,
    /// Rows × columns as they came, none for NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// The count of the command tag.
    pub affected: u64,
}

/// A value's bytes, whatever its type.
struct Raw(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Outcome {
    fn failure(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::Failure {
                sqlstate: db.code().code().to_owned(),
                message: db.message().to_owned(),
            },
            None => Self::Failure { sqlstate: String::new(), message: error.to_string() },
        }
    }

    /// The code of a failure.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Rows(_) => None,
            Self::Failure { sqlstate, .. } => Some(sqlstate),
        }
    }

    /// Whether dataman refused the statement.
    pub fn is_refusal(&self) -> bool {
        self.sqlstate() == Some("0A000")
    }
}

/// Runs a statement to its end.
pub async fn run(session: &Session, sql: &str, protocol: Protocol) -> Outcome {
    match protocol {
        Protocol::Simple => run_simple(session, sql).await,
        Protocol::Extended => match session.prepare(sql).await {
            Ok(statement) => run_prepared(session, &statement).await,
            Err(error) => Outcome::failure(&error),
        },
    }
}

async fn run_simple(session: &Session, sql: &str) -> Outcome {
    let messages = match session.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => return Outcome::failure(&error),
    };
    let mut rows = Rows::default();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                rows.columns =
                    columns.iter().map(|column| (column.name().to_owned(), None)).collect();
            }
            SimpleQueryMessage::Row(row) => {
                rows.rows.push(
                    (0..row.len())
                        .map(|place| row.get(place).map(|text| text.as_bytes().to_vec()))
                        .collect(),
                );
            }
            SimpleQueryMessage::CommandComplete(count) => rows.affected = count,
            _ => {}
        }
    }
    Outcome::Rows(rows)
}

/// A value's bytes. An array's flags are cleared: PostgreSQL sets them for what is left of an array that had a NULL as well.
fn value(row: &tokio_postgres::Row, place: usize) -> Option<Vec<u8>> {
    let mut value = row.get::<_, Raw>(place).0;
    let is_array = matches!(row.columns()[place].type_().kind(), Kind::Array(_));
    if let (true, Some(flags)) = (is_array, value.as_mut().and_then(|value| value.get_mut(4..8))) {
        flags.fill(0);
    }
    value
}

async fn run_prepared(session: &Session, statement: &Statement) -> Outcome {
    use futures_util::TryStreamExt;
    let columns = statement
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), Some(column.type_().oid().min(USER_TYPES))))
        .collect();
    let mut rows = Rows { columns, ..Rows::default() };
    let none: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
    let stream = match session.query_raw(statement, none).await {
        Ok(stream) => stream,
        Err(error) => return Outcome::failure(&error),
    };
    let mut stream = std::pin::pin!(stream);
    loop {
        match stream.try_next().await {
            Ok(Some(row)) => {
                rows.rows.push((0..row.len()).map(|place| value(&row, place)).collect());
            }
            Ok(None) => break,
            Err(error) => return Outcome::failure(&error),
        }
    }
    rows.affected = stream.rows_affected().unwrap_or(0);
    Outcome::Rows(rows)
}
