//! Asking the server, many expressions at a time, and asking dataman-pg the same.

use dataman_pg::eval::Evaluator;
use dataman_pg::{Context, Expr, PgError, Value};

use crate::engine::{Postgres, Session};

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// NULL.
    Null,
    /// A value, in text form.
    Value(String),
    /// An error.
    Error {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its primary message.
        message: String,
    },
}

impl Answer {
    /// An error as an answer.
    pub fn from_error(error: &PgError) -> Self {
        Self::Error { sqlstate: error.sqlstate().to_owned(), message: error.message().to_owned() }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Value(value) => write!(f, "{value:?}"),
            Self::Error { sqlstate, message } => write!(f, "{sqlstate} {message}"),
        }
    }
}

/// A session with the server.
#[derive(Debug)]
pub struct Oracle {
    session: Session,
}

/// Computes an expression and turns an error into a value, so that one statement asks thousands.
const HELPER: &str = r#"
CREATE FUNCTION pg_temp.answer(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
  EXECUTE 'SELECT CASE num_nulls(x) WHEN 0 THEN format(''%s'', x) END FROM (SELECT ' || expression || ' AS x OFFSET 0) s'
    INTO answer;
  RETURN 'V' || answer;
EXCEPTION WHEN OTHERS THEN
  RETURN 'E' || SQLSTATE || SQLERRM;
END $$
"#;

/// How many expressions one statement asks.
const BATCH: usize = 2_000;

impl Oracle {
    /// Opens a session in a time zone.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn open(server: &Postgres, time_zone: &str) -> Self {
        let session = server.connect("postgres").await.expect("the server answers");
        session.batch_execute(HELPER).await.expect("the helper can be made");
        let zone = quote(time_zone);
        session.batch_execute(&format!("SET TimeZone = {zone}")).await.expect("the zone exists");
        Self { session }
    }

    /// Opens a session in UTC.
    ///
    /// # Panics
    /// When the server does not answer.
    pub async fn open_utc(server: &Postgres) -> Self {
        Self::open(server, "UTC").await
    }

    /// The session, for what is no expression.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The answers to SQL expressions, in their order.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn answers(&self, expressions: &[String]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(expressions.len());
        for batch in expressions.chunks(BATCH) {
            let sql = "SELECT textsend(pg_temp.answer(e)) FROM unnest($1::text[]) WITH ORDINALITY AS u(e, n) ORDER BY n";
            let rows = self.session.query(sql, &[&batch]).await.expect("the batch is answered");
            // As bytes, because half a character in a "char" is no UTF-8.
            let bytes = rows.iter().map(|row| row.get::<_, Option<&[u8]>>(0));
            answers.extend(bytes.map(|bytes| read(bytes.map(String::from_utf8_lossy).as_deref())));
        }
        answers
    }
}

fn read(answer: Option<&str>) -> Answer {
    match answer {
        None => Answer::Null,
        Some(answer) => match answer.strip_prefix('E') {
            None => Answer::Value(answer[1..].to_owned()),
            Some(error) => {
                let (sqlstate, message) = error.split_at(5);
                Answer::Error { sqlstate: sqlstate.to_owned(), message: message.to_owned() }
            }
        },
    }
}

/// An SQL string literal.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What dataman-pg answers; `None` where it does not compute the expression. A panic is an answer that no server gives.
pub fn our_answer(expr: &Expr, context: &Context) -> Option<Answer> {
    let evaluator = Evaluator::compile(expr, &|_| None).ok()?;
    let computed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        evaluator.eval(&[], &[], context).map(|value| show(&value, expr, context))
    }));
    Some(match computed {
        Err(_) => Answer::Error { sqlstate: "PANIC".to_owned(), message: String::new() },
        Ok(Err(error)) => Answer::from_error(&error),
        Ok(Ok(answer)) => answer,
    })
}

fn show(value: &Value, expr: &Expr, context: &Context) -> Answer {
    if value.is_null() {
        return Answer::Null;
    }
    let mut out = Vec::new();
    dataman_pg::io::text::output(value, expr.type_id(), context, &mut out);
    Answer::Value(String::from_utf8_lossy(&out).into_owned())
}
