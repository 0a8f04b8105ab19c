//! What a function may know besides its arguments: the session's settings and the statement's clock.

use std::sync::Arc;

use crate::objects::Objects;
use crate::resolve::{UserType, UserTypes};
use crate::sequence::SequenceNumbers;
use crate::types::TypeId;

/// The settings and instants that values' input, output and functions depend on.
///
/// The proxy makes one per statement from the session; an agent makes one from the settings that came with the query.
/// There is no clock and no randomness in this crate but what stands here.
#[derive(Debug, Clone)]
pub struct Context {
    /// `TimeZone`: a zone name, an offset or a POSIX specification, already checked by [`crate::timezone`].
    pub time_zone: crate::timezone::TimeZone,
    /// `DateStyle`: output style and field order.
    pub date_style: DateStyle,
    /// `IntervalStyle`.
    pub interval_style: IntervalStyle,
    /// `extra_float_digits`: 1 and above is the shortest exact form.
    pub extra_float_digits: i32,
    /// `bytea_output`.
    pub bytea_output: ByteaOutput,
    /// `now()`: when the transaction began, in microseconds since 2000-01-01 00:00:00 UTC.
    pub transaction_time_us: i64,
    /// `statement_timestamp()`.
    pub statement_time_us: i64,
    /// `clock_timestamp()` as of the call's batch; the caller advances it.
    pub clock_time_us: i64,
    /// Session facts that functions answer with: user, database, schemas, server version, settings.
    pub session: SessionFacts,
    /// The user-defined types, where they are known.
    pub user_types: Option<SharedTypes>,
    /// The session's sequences, where they are known.
    pub sequences: Option<Arc<dyn SequenceNumbers>>,
    /// The database's objects, where they are known.
    pub objects: Option<Arc<dyn Objects>>,
}

/// User-defined types that travel with a statement.
#[derive(Clone)]
pub struct SharedTypes(pub Arc<dyn UserTypes + Send + Sync>);

impl std::fmt::Debug for SharedTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedTypes")
    }
}

impl Context {
    /// What is known of a user-defined type.
    pub fn user_type(&self, id: TypeId) -> Option<UserType> {
        self.user_types.as_ref().and_then(|types| types.0.describe(id))
    }
}

/// What `current_user`, `current_database()` and their like answer with.
#[derive(Debug, Clone, Default)]
pub struct SessionFacts {
    /// `session_user` and `current_user`.
    pub user: String,
    /// `current_database()`.
    pub database: String,
    /// The schemas of the search path that exist, in order; the first is `current_schema()`.
    pub schemas: Vec<String>,
    /// `pg_backend_pid()`.
    pub process_id: i32,
}

/// `DateStyle`'s first half: how dates and timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOutput {
    /// `ISO`.
    #[default]
    Iso,
    /// `SQL`.
    Sql,
    /// `Postgres`.
    Postgres,
    /// `German`.
    German,
}

/// `DateStyle`'s second half: how ambiguous input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// Year, month, day.
    Ymd,
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    #[default]
    Mdy,
}

/// `DateStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateStyle {
    /// How values are written.
    pub output: DateOutput,
    /// How ambiguous input is read.
    pub order: DateOrder,
}

/// `IntervalStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    /// `postgres`.
    #[default]
    Postgres,
    /// `postgres_verbose`.
    PostgresVerbose,
    /// `sql_standard`.
    SqlStandard,
    /// `iso_8601`.
    Iso8601,
}

/// `bytea_output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteaOutput {
    /// `\x…`.
    #[default]
    Hex,
    /// `\000`.
    Escape,
}

impl Default for Context {
    /// PostgreSQL's own defaults, at UTC and at 2000-01-01 00:00:00.
    fn default() -> Self {
        Self {
            time_zone: crate::timezone::TimeZone::utc(),
            date_style: DateStyle::default(),
            interval_style: IntervalStyle::default(),
            extra_float_digits: 1,
            bytea_output: ByteaOutput::default(),
            transaction_time_us: 0,
            statement_time_us: 0,
            clock_time_us: 0,
            session: SessionFacts::default(),
            user_types: None,
            sequences: None,
            objects: None,
        }
    }
}

/// What one call of a function knows besides its arguments.
#[derive(Debug, Clone, Copy)]
pub struct CallContext<'a> {
    /// The statement's context.
    pub context: &'a Context,
    /// The types of the arguments, after resolution (concrete also for polymorphic functions).
    pub arguments: &'a [TypeId],
    /// The type of the result, after resolution.
    pub result: TypeId,
    /// The last argument is an array that was written with VARIADIC. Only functions over VARIADIC "any" (`concat`,
    /// `format`, `json_build_array`, …) need to know: without it they get their arguments as they were written.
    pub variadic: bool,
}
