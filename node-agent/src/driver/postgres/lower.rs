//! Node queries in PostgreSQL's words.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dataman_node_protocol::NodeError;
use dataman_node_protocol::capability::Capability;
use dataman_node_protocol::connection::{Connection, TransactionStatus};
use dataman_node_protocol::node::{NodeStatement, Parameters, StatementContext};
use dataman_node_protocol::query::{Insert, NodeQuery, Records};
use dataman_node_protocol::record::Format;
use dataman_node_protocol::remote::{Hop, HopStatement, HopText};
use dataman_node_protocol::replication::Observation;
use dataman_pg::types::TypeId;
use lru::LruCache;

use super::arrays::{array_types, transpose};
use super::capability::PostgresCapability;
use super::error::translate_error;
use crate::driver::sql::define::lower_definition;
use crate::driver::sql::{Dialect, lower, lower_by_arrays};

/// The statements whose text is kept; the one not used for longest is lowered anew when it comes again.
const LOWERED_STATEMENTS_MAX: usize = 2048;

/// The most parameters of an insert of parameter tuples whose text is kept: longer ones come in all lengths.
const KEPT_PARAMETERS_MAX: usize = 1000;

/// The most parameters that one Bind holds.
const PARAMETERS_MAX: usize = 65535;

/// Stands for the number of parameters of an insert whose rows come as arrays.
const BY_ARRAYS: usize = usize::MAX;

/// The first OID of user-defined types.
const FIRST_USER_TYPE: u32 = 16384;

/// Agent → PostgreSQL: the text is SQL.
pub(super) struct PostgresHop {
    capability: PostgresCapability,
    /// By statement and number of parameters; [`BY_ARRAYS`] for an insert of any number of rows.
    lowered: Mutex<LruCache<(u64, usize), Arc<Lowered>>>,
}

/// A statement in SQL.
struct Lowered {
    /// Names the text on a connection.
    key: u64,
    text: Arc<str>,
    params: Arc<[u32]>,
    reusable: bool,
}

impl PostgresHop {
    pub(super) fn new() -> Self {
        let bound = NonZeroUsize::new(LOWERED_STATEMENTS_MAX).expect("the bound is not zero");
        Self { capability: PostgresCapability, lowered: Mutex::new(LruCache::new(bound)) }
    }

    fn lowered(
        &self,
        statement: &NodeStatement,
        parameters: Option<&Parameters>,
    ) -> Result<Arc<Lowered>, NodeError> {
        let tuples = tuple_width(&statement.query);
        let count = match (tuples, parameters) {
            (None, _) => statement.params.len(),
            (Some(_), Some(parameters)) => parameters.values.len(),
            (Some(width), None) => width,
        };
        let key = (statement.id(), count);
        let mut cache = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&key) {
            return Ok(Arc::clone(found));
        }
        if count > PARAMETERS_MAX {
            return Err(NodeError::statement(
                "54000",
                format!(
                    "a statement has {count} parameters, and PostgreSQL takes {PARAMETERS_MAX}"
                ),
            ));
        }
        let text = lower(&statement.query, Dialect::Postgres, count)?;
        let known = known_type;
        let params: Vec<u32> = match (&statement.query, tuples) {
            (NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert), Some(width))
                if width > 0 =>
            {
                insert.fields.iter().map(|field| known(&field.ty.id)).cycle().take(count).collect()
            }
            (NodeQuery::Sql(sql), _) if statement.params.is_empty() => {
                sql.params.iter().map(known).collect()
            }
            _ => {
                let params = statement.params.iter().enumerate();
                // Of a parameter that this shard's part does not name the server would find out nothing.
                params
                    .map(|(place, ty)| match known(ty) {
                        0 if !names_parameter(&text, place + 1) => TypeId::TEXT.0,
                        oid => oid,
                    })
                    .collect()
            }
        };
        let lowered = Arc::new(Lowered {
            key: next_key(),
            text: text.into(),
            params: params.into(),
            reusable: tuples.is_none() || count <= KEPT_PARAMETERS_MAX,
        });
        if lowered.reusable {
            cache.put(key, Arc::clone(&lowered));
        }
        Ok(lowered)
    }
}

impl PostgresHop {
    /// An insert of several rows as one of arrays; none when its types do not allow it.
    fn lowered_by_arrays(
        &self,
        statement: &NodeStatement,
        insert: &Insert,
    ) -> Result<Option<Arc<Lowered>>, NodeError> {
        let key = (statement.id(), BY_ARRAYS);
        let mut cache = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&key) {
            return Ok(Some(Arc::clone(found)));
        }
        let Some(params) = array_types(insert) else { return Ok(None) };
        let text = lower_by_arrays(insert)?.into();
        let lowered = Lowered { key: next_key(), text, params: params.into(), reusable: true };
        let lowered = Arc::new(lowered);
        cache.put(key, Arc::clone(&lowered));
        Ok(Some(lowered))
    }
}

/// The number that the server knows a type by; 0 where it has another one there and finds it out by itself.
fn known_type(ty: &TypeId) -> u32 {
    match *ty {
        TypeId(id) if id >= FIRST_USER_TYPE => 0,
        TypeId::UNKNOWN => 0,
        TypeId(id) => id,
    }
}

/// Whether a text has `$number` in it.
fn names_parameter(text: &str, number: usize) -> bool {
    let name = format!("${number}");
    text.match_indices(&name)
        .any(|(at, _)| !text[at + name.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// A name for a text that no other has.
fn next_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The insert of several parameter tuples in binary format.
fn many_rows<'a>(statement: &'a NodeStatement, parameters: &Parameters) -> Option<&'a Insert> {
    let (NodeQuery::Insert(insert) | NodeQuery::InsertMany(insert)) = &statement.query else {
        return None;
    };
    let width = insert.fields.len();
    let is_many = matches!(insert.records, Records::Parameters)
        && width > 0
        && parameters.values.len() > width
        && parameters.values.len().is_multiple_of(width)
        && parameters.formats.len() == parameters.values.len()
        && parameters.formats.iter().all(|format| *format == Format::Binary);
    is_many.then_some(insert)
}

/// The fields of an insert of parameter tuples.
fn tuple_width(query: &NodeQuery) -> Option<usize> {
    match query {
        NodeQuery::Insert(Insert { records: Records::Parameters, fields, .. })
        | NodeQuery::InsertMany(Insert { records: Records::Parameters, fields, .. }) => {
            Some(fields.len())
        }
        _ => None,
    }
}

#[async_trait]
impl Hop for PostgresHop {
    fn capability(&self) -> &dyn Capability {
        &self.capability
    }

    fn lower<'a>(
        &self,
        statement: &'a NodeStatement,
        parameters: Option<&'a Parameters>,
    ) -> Result<HopStatement<'a>, NodeError> {
        if let Some(parameters) = parameters
            && let Some(insert) = many_rows(statement, parameters)
            && let Some(lowered) = self.lowered_by_arrays(statement, insert)?
        {
            return Ok(HopStatement {
                key: lowered.key,
                text: HopText::Shared(Arc::clone(&lowered.text)),
                params: Arc::clone(&lowered.params),
                parameters: Some(Cow::Owned(transpose(insert, parameters)?)),
                reusable: true,
            });
        }
        let lowered = self.lowered(statement, parameters)?;
        Ok(HopStatement {
            key: lowered.key,
            text: HopText::Shared(Arc::clone(&lowered.text)),
            params: Arc::clone(&lowered.params),
            parameters: None,
            reusable: lowered.reusable,
        })
    }

    fn relevant(&self, context: &StatementContext) -> StatementContext {
        StatementContext { settings: Arc::clone(&context.settings), ..StatementContext::default() }
    }

    fn settings(&self, context: &StatementContext) -> Vec<(String, String)> {
        context.settings.to_vec()
    }

    async fn observe(&self, connection: &mut Connection) -> Result<Observation, NodeError> {
        super::replication::observe(connection).await
    }

    fn translate_error(&self, statement: &NodeStatement, error: NodeError) -> NodeError {
        translate_error(&statement.query, error)
    }

    fn is_script(&self, query: &NodeQuery) -> bool {
        matches!(query, NodeQuery::Define(_))
    }

    async fn carry_out(
        &self,
        connection: &mut Connection,
        statement: &NodeStatement,
    ) -> Option<Result<u64, NodeError>> {
        let NodeQuery::Define(definition) = &statement.query else { return None };
        let texts = match lower_definition(definition) {
            Ok(texts) => texts,
            Err(error) => return Some(Err(error)),
        };
        // One pipeline is one transaction, unless one is open already.
        let alone = connection.status() == TransactionStatus::Idle;
        let mut result = connection.run(&texts).await;
        // Another session made the same at the same moment: then it is there now, and a repetition finds it.
        if alone && result.as_ref().is_err_and(|error| is_collision(&error.sqlstate)) {
            result = connection.run(&texts).await;
        }
        Some(result.map(|()| 0))
    }
}

/// Failures of DDL that met the same DDL of another session.
fn is_collision(sqlstate: &str) -> bool {
    matches!(sqlstate, "23505" | "42P06" | "42P07" | "42710" | "40P01")
}
