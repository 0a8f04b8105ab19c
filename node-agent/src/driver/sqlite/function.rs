//! dataman's functions inside SQLite.
//!
//! | function | does |
//! | --- | --- |
//! | `dm(expression, …)` | evaluates a bound expression over the other arguments |
//! | `dm_volatile(expression, …)` | the same where each call may answer otherwise |
//! | `dm_limit(n)`, `dm_offset(n)` | PostgreSQL's LIMIT and OFFSET in SQLite's numbers |
//! | `dm_one(value)` | an aggregate: the one row of a scalar subquery |
//! | `dm_elements(array)` | an array as a JSON list of stored forms |
//! | `dm_enum(type, label)` | a label's rank |
//! | `dm_row(collection, …)` | in triggers: tests a new record ([`super::constraint`]) |
//! | `dm_refer(…)`, `dm_orphan(…)` | in triggers: note work for the end of the statement |
//! | `dm_a_<function>_<result>_<types>` | aggregates, registered when a statement first names them |
//!
//! What they raise is kept in the session's state with SQLSTATE, detail and hint; SQLite carries only a text.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_pg::aggregate::{Accumulator, accumulator};
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::{Expr, FunctionId};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use dataman_pg::{CallContext, PgError};
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, Result, ToSql};

use super::constraint;
use super::session::{Shared, lock};
use crate::driver::sql::native::parse_aggregate_name;
use crate::driver::sql::stored::{self, Stored, StoredRef};

/// An expression compiled for `dm`.
#[derive(Debug)]
pub(super) struct Computed {
    evaluator: Evaluator,
    /// The types of the arguments, by place.
    arguments: Vec<TypeId>,
}

impl Computed {
    /// Compiles an expression whose inputs are columns by place.
    ///
    /// # Errors
    /// `0A000` for what is not computed.
    pub(super) fn new(expr: &Expr) -> dataman_pg::Result<Self> {
        let mut arguments = Vec::new();
        argument_types(expr, &mut arguments);
        Ok(Self { evaluator: Evaluator::compile(expr, &|_| None)?, arguments })
    }
}

/// How many compiled expressions a connection remembers; beyond, it forgets them all and begins anew.
const COMPUTED_MAX: usize = 512;

/// A stored form on its way into SQLite.
pub(super) struct Output(pub(super) Stored);

impl ToSql for Output {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(lent(&self.0))
    }
}

/// A stored form as a parameter.
pub(super) struct Bound<'a>(pub(super) &'a Stored);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(lent(self.0))
    }
}

fn lent(stored: &Stored) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match stored {
        Stored::Null => ValueRef::Null,
        Stored::Integer(value) => ValueRef::Integer(*value),
        Stored::Real(value) => ValueRef::Real(*value),
        Stored::Text(text) => ValueRef::Text(text.as_bytes()),
        Stored::Blob(bytes) => ValueRef::Blob(bytes),
    })
}

/// A value as SQLite hands it out.
///
/// # Errors
/// Text that is not UTF-8.
pub(super) fn borrowed(value: ValueRef<'_>) -> Result<StoredRef<'_>> {
    Ok(match value {
        ValueRef::Null => StoredRef::Null,
        ValueRef::Integer(value) => StoredRef::Integer(value),
        ValueRef::Real(value) => StoredRef::Real(value),
        ValueRef::Text(bytes) => {
            StoredRef::Text(std::str::from_utf8(bytes).map_err(|error| Error::Utf8Error(0, error))?)
        }
        ValueRef::Blob(bytes) => StoredRef::Blob(bytes),
    })
}

/// A copy of a value as SQLite hands it out.
pub(super) fn owned(value: ValueRef<'_>) -> Result<Stored> {
    Ok(match borrowed(value)? {
        StoredRef::Null => Stored::Null,
        StoredRef::Integer(value) => Stored::Integer(value),
        StoredRef::Real(value) => Stored::Real(value),
        StoredRef::Text(text) => Stored::Text(text.to_owned()),
        StoredRef::Blob(bytes) => Stored::Blob(bytes.to_vec()),
    })
}

/// Keeps an error in the session's state and gives SQLite its text.
pub(super) fn raise(shared: &Shared, error: impl Into<NodeError>) -> Error {
    let error = error.into();
    let text = error.message.clone();
    lock(shared).error.get_or_insert(error);
    Error::UserFunctionError(text.into())
}

/// Registers everything but the aggregates.
pub(super) fn register(connection: &Connection, shared: &Shared) -> Result<()> {
    let pure = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let acting = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    for (name, flags) in [("dm", pure), ("dm_volatile", acting)] {
        let shared = shared.clone();
        connection.create_scalar_function(name, -1, flags, move |call| evaluate(&shared, call))?;
    }
    for (name, word, sqlstate) in [("dm_limit", "LIMIT", "2201W"), ("dm_offset", "OFFSET", "2201X")]
    {
        let shared = shared.clone();
        connection.create_scalar_function(name, 1, pure, move |call| {
            let none = if word == "LIMIT" { -1 } else { 0 };
            match call.get_raw(0) {
                ValueRef::Integer(value) if value < 0 => Err(raise(
                    &shared,
                    PgError::new(sqlstate, format!("{word} must not be negative")),
                )),
                ValueRef::Integer(value) => Ok(value),
                _ => Ok(none),
            }
        })?;
    }
    let state = shared.clone();
    connection.create_scalar_function("dm_enum", 2, pure, move |call| {
        let ty = TypeId(call.get(0)?);
        let label: String = call.get(1)?;
        let rank = lock(&state).catalogue.rank(ty, &label);
        rank.map_err(|error| raise(&state, error))
    })?;
    let state = shared.clone();
    connection.create_scalar_function("dm_elements", 1, pure, move |call| {
        elements(call.get_raw(0)).map_err(|error| raise(&state, error))
    })?;
    let state = shared.clone();
    connection.create_aggregate_function("dm_one", 1, pure, One { shared: state })?;
    let state = shared.clone();
    connection
        .create_scalar_function("dm_row", -1, acting, move |call| constraint::row(&state, call))?;
    let state = shared.clone();
    connection.create_scalar_function("dm_refer", -1, acting, move |call| {
        constraint::refer(&state, call)
    })?;
    let state = shared.clone();
    connection.create_scalar_function("dm_orphan", -1, acting, move |call| {
        constraint::orphan(&state, call)
    })?;
    Ok(())
}

/// Registers the aggregates that a statement's text names.
pub(super) fn register_aggregates(
    connection: &Connection,
    shared: &Shared,
    text: &str,
    known: &mut std::collections::HashSet<String>,
) -> Result<()> {
    for (at, _) in text.match_indices("dm_a_") {
        let name: &str = &text[at..];
        let end =
            name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
        let name = &name[..end];
        if known.contains(name) {
            continue;
        }
        let Some((function, result, args)) = parse_aggregate_name(name) else {
            continue;
        };
        let places = i32::try_from(args.len()).unwrap_or(-1);
        let registered = Registered { shared: shared.clone(), function, result, args };
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection.create_aggregate_function(name, places, flags, registered)?;
        known.insert(name.to_owned());
    }
    Ok(())
}

fn evaluate(shared: &Shared, call: &mut Context<'_>) -> Result<Output> {
    let computed = call.get_or_create_aux(0, |json| compile(shared, json))?;
    let mut args = Vec::with_capacity(computed.arguments.len());
    let (context, catalogue) = {
        let state = lock(shared);
        (state.context.clone(), state.catalogue.clone())
    };
    for (place, ty) in computed.arguments.iter().enumerate() {
        let value = borrowed(call.get_raw(place + 1))?;
        let value = stored::load(value, *ty, &*catalogue).map_err(|error| raise(shared, error))?;
        args.push(value);
    }
    computed
        .evaluator
        .eval(&args, &[], &context)
        .and_then(|value| stored::store(&value))
        .map(Output)
        .map_err(|error| raise(shared, error))
}

/// Compiles an expression, or finds it compiled.
fn compile(shared: &Shared, json: ValueRef<'_>) -> Result<Arc<Computed>, Error> {
    let StoredRef::Text(json) = borrowed(json)? else {
        return Err(raise(shared, PgError::internal("dm needs an expression")));
    };
    {
        let state = lock(shared);
        if let Some(found) = state.expressions.get(json).or_else(|| state.computed.get(json)) {
            return Ok(found.clone());
        }
    }
    let expr: Expr = serde_json::from_str(json)
        .map_err(|error| raise(shared, PgError::internal(format!("bad expression: {error}"))))?;
    let mut arguments = Vec::new();
    argument_types(&expr, &mut arguments);
    let evaluator = Evaluator::compile(&expr, &|_| None).map_err(|error| raise(shared, error))?;
    let made = Arc::new(Computed { evaluator, arguments });
    let mut state = lock(shared);
    if state.computed.len() >= COMPUTED_MAX {
        state.computed.clear();
    }
    state.computed.insert(json.to_owned(), made.clone());
    Ok(made)
}

fn argument_types(expr: &Expr, types: &mut Vec<TypeId>) {
    if let Expr::Column { index, ty } = expr {
        if types.len() <= *index {
            types.resize(index + 1, TypeId::TEXT);
        }
        types[*index] = ty.id;
    }
    expr.for_each_child(&mut |child| argument_types(child, types));
}

/// `15:{1,2}` → `[1,2]`: only for arrays of integers and texts.
fn elements(array: ValueRef<'_>) -> Result<Option<String>, PgError> {
    let text = match borrowed(array) {
        Ok(StoredRef::Text(text)) => text,
        Ok(StoredRef::Null) => return Ok(None),
        _ => return Err(PgError::internal("dm_elements needs an array")),
    };
    let element = text.split_once(':').and_then(|(element, _)| element.parse().ok());
    let array_type = element
        .and_then(|element| dataman_pg::catalog::type_by_id(TypeId(element)))
        .ok_or_else(|| PgError::internal("dm_elements needs an array"))?
        .array;
    let value = stored::load(StoredRef::Text(text), array_type, &stored::NoEnums)?;
    let Value::Array(array) = value else {
        return Err(PgError::internal("dm_elements needs an array"));
    };
    let mut list = Vec::with_capacity(array.elements.len());
    for value in &array.elements {
        list.push(match stored::store(value)? {
            Stored::Null => serde_json::Value::Null,
            Stored::Integer(value) => value.into(),
            Stored::Text(text) => text.into(),
            Stored::Real(_) | Stored::Blob(_) => {
                return Err(PgError::internal("dm_elements takes integers and texts"));
            }
        });
    }
    Ok(Some(serde_json::Value::Array(list).to_string()))
}

/// `dm_one`.
struct One {
    shared: Shared,
}

impl Aggregate<Option<Stored>, Output> for One {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<Stored>> {
        Ok(None)
    }

    fn step(&self, call: &mut Context<'_>, value: &mut Option<Stored>) -> Result<()> {
        if value.is_some() {
            return Err(raise(
                &self.shared,
                PgError::new(
                    "21000",
                    "more than one row returned by a subquery used as an expression",
                ),
            ));
        }
        *value = Some(owned(call.get_raw(0))?);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, value: Option<Option<Stored>>) -> Result<Output> {
        Ok(Output(value.flatten().unwrap_or(Stored::Null)))
    }
}

/// An aggregate of dataman-pg.
struct Registered {
    shared: Shared,
    function: FunctionId,
    result: TypeId,
    args: Vec<TypeId>,
}

type Running = AssertUnwindSafe<Box<dyn Accumulator>>;

impl Registered {
    fn make(&self) -> Result<Running> {
        let context = lock(&self.shared).context.clone();
        accumulator(self.function, &self.args, &context).map(AssertUnwindSafe).ok_or_else(|| {
            raise(&self.shared, PgError::unsupported("the aggregate is not computed here"))
        })
    }
}

impl Aggregate<Running, Output> for Registered {
    fn init(&self, _: &mut Context<'_>) -> Result<Running> {
        self.make()
    }

    fn step(&self, call: &mut Context<'_>, running: &mut Running) -> Result<()> {
        let (context, catalogue) = {
            let state = lock(&self.shared);
            (state.context.clone(), state.catalogue.clone())
        };
        let mut args = Vec::with_capacity(self.args.len());
        for (place, ty) in self.args.iter().enumerate() {
            let value = borrowed(call.get_raw(place))?;
            args.push(
                stored::load(value, *ty, &*catalogue)
                    .map_err(|error| raise(&self.shared, error))?,
            );
        }
        let about = CallContext {
            context: &context,
            arguments: &self.args,
            result: self.result,
            variadic: false,
        };
        running.accumulate(&about, &args).map_err(|error| raise(&self.shared, error))
    }

    fn finalize(&self, _: &mut Context<'_>, running: Option<Running>) -> Result<Output> {
        let running = match running {
            Some(running) => running,
            None => self.make()?,
        };
        let context = lock(&self.shared).context.clone();
        let about = CallContext {
            context: &context,
            arguments: &self.args,
            result: self.result,
            variadic: false,
        };
        running
            .finish(&about)
            .and_then(|value| stored::store(&value))
            .map(Output)
            .map_err(|error| raise(&self.shared, error))
    }
}
