//! Queries carried out for the rows around them: correlated subqueries, LATERAL.
//!
//! Everything such a query reads of the shards is read before, once ([`Operator::Keep`]), so that running it for a row takes
//! memory only. An expression with a subquery is computed as any other until it meets one whose rows are not there yet; then
//! that one is run and the expression is computed again. So a subquery runs only when it is reached, and at most once for
//! the same values.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dataman_node_protocol::node::{NodeConnection, Parameters, ResultFormats, StatementContext};
use dataman_pg::eval::{Evaluator, Outside};
use dataman_pg::expr::SubqueryKind;
use dataman_pg::value::Array;
use dataman_pg::{Context, Expr, PgError, TypeId, Value};
use tokio_util::sync::CancellationToken;

use super::distinct::key_bytes;
use super::index::{Building, Index};
use super::memory::{Memory, held_bytes};
use super::open::{Compiled, Run};
use super::pace::Pace;
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use super::store::Store;
use super::{Execution, Metrics, Sequences};
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::apply::applied;
use crate::plan::operator::{ApplyKind, Operator};
use crate::scatter::contract::{Access, Participants, ShardRef};

/// The bytes of answers that are kept for one subquery; beyond them all are forgotten and begun anew.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What all that runs for one statement has in common.
pub(super) struct Shared {
    plan: Arc<Plan>,
    evaluation: Arc<Context>,
    context: StatementContext,
    memory: Memory,
    cancel: CancellationToken,
    sequences: Arc<dyn Sequences>,
    parameters: Parameters,
    formats: ResultFormats,
    kept: Mutex<HashMap<usize, Arc<Store>>>,
    indexes: Mutex<HashMap<usize, Arc<Index>>>,
    answers: Vec<Mutex<Answers>>,
    prepared: Mutex<HashSet<usize>>,
    metrics: Option<Arc<Metrics>>,
    /// The rows that came last in each recursion.
    working: Mutex<HashMap<usize, Arc<Store>>>,
}

/// A subquery's answers by what it read.
#[derive(Default)]
struct Answers {
    known: HashMap<Vec<u8>, Answer>,
    bytes: usize,
    charged: usize,
}

/// What a subquery gave for some values.
#[derive(Clone)]
enum Answer {
    Value(Value),
    Rows(Arc<Vec<Row>>),
    Set(Arc<Set>),
}

/// Rows to compare with.
struct Set {
    rows: Vec<Row>,
    /// The keys of the rows without NULLs, when they are found by hash.
    keys: HashSet<Vec<u8>>,
    has_null: bool,
}

/// A subquery whose rows an expression needs next.
struct Request {
    place: usize,
    key: Vec<u8>,
    read: Vec<Value>,
}

/// Where the rows of a query go.
enum Sink<'s> {
    /// Into memory, so many of them.
    Rows(&'s mut Vec<Row>, usize),
    /// All into memory and files.
    Store(&'s mut Store),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(plan: &Arc<Plan>, execution: &Execution<'_>, memory: &Memory) -> Self {
        Self {
            plan: Arc::clone(plan),
            evaluation: Arc::clone(execution.evaluation),
            context: execution.context.clone(),
            memory: memory.clone(),
            cancel: execution.cancel.clone(),
            sequences: Arc::clone(execution.sequences),
            parameters: Parameters::default(),
            formats: ResultFormats::default(),
            kept: Mutex::default(),
            indexes: Mutex::default(),
            answers: plan.applies.iter().map(|_| Mutex::default()).collect(),
            prepared: Mutex::default(),
            metrics: execution.metrics.cloned(),
            working: Mutex::default(),
        }
    }

    /// Reads rows of an operator of the plan that reads no shard.
    pub(super) async fn rows(
        self: &Arc<Self>,
        operator: &Operator,
        values: Arc<Vec<Value>>,
        at_most: usize,
    ) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.read(operator, values, Sink::Rows(&mut rows, at_most)).await?;
        Ok(rows)
    }

    async fn read(
        self: &Arc<Self>,
        operator: &Operator,
        values: Arc<Vec<Value>>,
        mut sink: Sink<'_>,
    ) -> Result<(), Error> {
        let mut nobody = Nobody;
        let execution = Execution {
            parameters: &self.parameters,
            formats: &self.formats,
            context: &self.context,
            evaluation: &self.evaluation,
            bounds: self.memory.bounds(),
            cancel: &self.cancel,
            participants: &mut nobody,
            sequences: &self.sequences,
            metrics: self.metrics.as_ref(),
        };
        let mut run = Run::within(&self.plan, execution, self, self.memory.child(), values);
        let mut stream = run.values(operator).await?;
        while let Some(batch) = stream.next().await? {
            match &mut sink {
                Sink::Rows(rows, at_most) => {
                    for row in &batch {
                        run.memory.take_row(row, "a subquery")?;
                    }
                    rows.extend(batch);
                    if rows.len() >= *at_most {
                        break;
                    }
                }
                Sink::Store(store) => {
                    for row in batch {
                        store.push(row).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Runs a subquery for the values it read.
    async fn answer(
        self: &Arc<Self>,
        request: Request,
        params: &Arc<Vec<Value>>,
    ) -> Result<Answer, Error> {
        // Many small runs in a row are no reason to notice a cancel late.
        tokio::task::consume_budget().await;
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let apply = self
            .plan
            .applies
            .get(request.place)
            .ok_or_else(|| PgError::internal("a plan's query is not there"))?;
        let mut values = params.as_ref().clone();
        for (param, value) in apply.params.iter().zip(request.read) {
            if let Expr::Param { index, .. } = param
                && let Some(place) = values.get_mut(usize::from(*index).saturating_sub(1))
            {
                *place = value;
            }
        }
        let at_most = match apply.kind {
            ApplyKind::Exists => 1,
            ApplyKind::Scalar => 2,
            _ => usize::MAX,
        };
        let rows = self.rows(&apply.operator, Arc::new(values), at_most).await?;
        let answer = answer_of(&apply.kind, rows)?;
        let mut answers = locked(&self.answers[request.place]);
        let bytes = request.key.len() + answer.bytes();
        if answers.bytes + bytes > ANSWER_BYTES_MAX.min(self.memory.limit() / 8) {
            answers.known.clear();
            answers.bytes = 0;
        }
        answers.bytes += bytes;
        if answers.bytes > answers.charged {
            self.memory.take(answers.bytes - answers.charged, "the results of a subquery")?;
            answers.charged = answers.bytes;
        }
        answers.known.insert(request.key, answer.clone());
        Ok(answer)
    }

    /// The next rows of a recursive common table, over those that came last.
    pub(super) async fn step(
        self: &Arc<Self>,
        place: usize,
        last: &Arc<Store>,
        params: &Arc<Vec<Value>>,
    ) -> Result<Store, Error> {
        tokio::task::consume_budget().await;
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let Some(Operator::Recurse { id, step, .. }) =
            self.plan.tables.get(place).map(|table| &table.operator)
        else {
            return Err(PgError::internal("a plan's recursion is not there").into());
        };
        locked(&self.working).insert(*id, Arc::clone(last));
        let mut rows = Store::new(&self.memory, "WITH RECURSIVE");
        self.read(step, Arc::clone(params), Sink::Store(&mut rows)).await?;
        Ok(rows)
    }

    fn known(&self, place: usize, key: &[u8]) -> Option<Answer> {
        locked(self.answers.get(place)?).known.get(key).cloned()
    }

    fn forget(&self, place: usize) {
        if let Some(answers) = self.answers.get(place) {
            let mut answers = locked(answers);
            answers.known.clear();
            answers.bytes = 0;
        }
    }

    fn caches(&self, place: usize) -> bool {
        self.plan.applies.get(place).is_none_or(|apply| apply.caches)
    }
}

/// The only value of the only column of a subquery's only row.
fn answer_of(kind: &ApplyKind, rows: Vec<Row>) -> Result<Answer, PgError> {
    let first = |row: Row| row.into_iter().next().unwrap_or(Value::Null);
    Ok(match kind {
        ApplyKind::Exists => Answer::Value(Value::Bool(!rows.is_empty())),
        ApplyKind::Scalar => {
            if rows.len() > 1 {
                return Err(PgError::new(
                    "21000",
                    "more than one row returned by a subquery used as an expression",
                ));
            }
            Answer::Value(rows.into_iter().next().map_or(Value::Null, first))
        }
        ApplyKind::Array(element, array) => {
            Answer::Value(array_of(*element, *array, rows.into_iter().map(first).collect())?)
        }
        ApplyKind::Rows => Answer::Rows(Arc::new(rows)),
        ApplyKind::Compare { hashes, .. } => {
            let mut set = Set { rows, keys: HashSet::new(), has_null: false };
            for row in &set.rows {
                if row.iter().any(Value::is_null) {
                    set.has_null = true;
                } else if *hashes {
                    set.keys.insert(key_bytes(row.iter()));
                }
            }
            Answer::Set(Arc::new(set))
        }
    })
}

/// ARRAY(…) of a subquery's values.
fn array_of(element: TypeId, array: TypeId, values: Vec<Value>) -> Result<Value, PgError> {
    if element == array && !values.is_empty() {
        return Err(PgError::unsupported(
            "ARRAY of a subquery of arrays is not supported over several shards yet",
        ));
    }
    Ok(Value::Array(Arc::new(Array::vector(element, values))))
}

impl Answer {
    fn bytes(&self) -> usize {
        let of = |rows: &[Row]| -> usize { rows.iter().flatten().map(held_bytes).sum() };
        128 + match self {
            Self::Value(value) => held_bytes(value),
            Self::Rows(rows) => of(rows),
            Self::Set(set) => 2 * of(&set.rows),
        }
    }
}

impl Set {
    /// ANY or ALL over the rows; NULL when they do not decide.
    fn compare(
        &self,
        all: bool,
        hashes: bool,
        left: &[Value],
        test: &Evaluator,
        params: &[Value],
        context: &Context,
    ) -> Result<Value, PgError> {
        if hashes && left.iter().all(|value| !value.is_null()) {
            if self.keys.contains(&key_bytes(left.iter())) {
                return Ok(Value::Bool(!all));
            }
            if !self.has_null {
                return Ok(Value::Bool(all));
            }
            if left.len() == 1 {
                return Ok(Value::Null);
            }
        }
        let mut is_null = false;
        let mut row = left.to_vec();
        for right in &self.rows {
            row.truncate(left.len());
            row.extend(right.iter().cloned());
            match test.eval(&row, params, context)? {
                Value::Bool(truth) if truth != all => return Ok(Value::Bool(truth)),
                Value::Null => is_null = true,
                _ => {}
            }
        }
        Ok(if is_null { Value::Null } else { Value::Bool(all) })
    }
}

/// What tells the values that a subquery read from any others: their bytes as they travel, since values that are equal may
/// still print otherwise. None when one has no such form.
fn reading_key(read: &[Value], types: &[TypeId]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (value, ty) in read.iter().zip(types) {
        if value.is_null() {
            bytes.push(0);
            continue;
        }
        bytes.push(1);
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        dataman_pg::io::binary::encode(value, *ty, &mut bytes);
        let length = u32::try_from(bytes.len() - start - 4).unwrap_or(u32::MAX);
        bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// What an expression's subqueries are asked while it is computed.
#[derive(Debug)]
pub(super) struct Asked {
    shared: Arc<Shared>,
    request: Mutex<Option<Request>>,
    /// Those whose answers are good for one row only.
    volatile: Vec<usize>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Request").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Asked {
    /// Another row is computed.
    pub(super) fn begin(&self) {
        for place in &self.volatile {
            self.shared.forget(*place);
        }
    }

    /// Does what the row waits for; says whether there was anything.
    pub(super) async fn perform(&self, params: &Arc<Vec<Value>>) -> Result<bool, Error> {
        let request = locked(&self.request).take();
        let Some(request) = request else { return Ok(false) };
        self.shared.answer(request, params).await?;
        Ok(true)
    }
}

/// A subquery in an expression.
#[derive(Debug)]
struct Subquery {
    asked: Arc<Asked>,
    place: usize,
    outer: Vec<Evaluator>,
    types: Vec<TypeId>,
    compared: Option<Compared>,
}

/// The values that a subquery's rows are compared with.
#[derive(Debug)]
struct Compared {
    left: Vec<Evaluator>,
    test: Evaluator,
    all: bool,
    hashes: bool,
}

impl Outside for Subquery {
    fn value(&self, row: &[Value], params: &[Value], context: &Context) -> Result<Value, PgError> {
        let read = self
            .outer
            .iter()
            .map(|expr| expr.eval(row, params, context))
            .collect::<Result<Vec<_>, _>>()?;
        let key = reading_key(&read, &self.types);
        let Some(answer) = self.asked.shared.known(self.place, &key) else {
            *locked(&self.asked.request) = Some(Request { place: self.place, key, read });
            return Err(PgError::internal("a subquery's rows are awaited"));
        };
        match (answer, &self.compared) {
            (Answer::Value(value), _) => Ok(value),
            (Answer::Set(set), Some(compared)) => {
                let left = compared
                    .left
                    .iter()
                    .map(|expr| expr.eval(row, params, context))
                    .collect::<Result<Vec<_>, _>>()?;
                let (all, hashes) = (compared.all, compared.hashes);
                set.compare(all, hashes, &left, &compared.test, params, context)
            }
            _ => Err(PgError::internal("a subquery's rows are no value")),
        }
    }
}

/// Compiles an expression with subqueries.
///
/// # Errors
/// `0A000` naming what is not computed.
pub(super) fn compile(
    shared: &Arc<Shared>,
    expr: &Expr,
) -> Result<(Evaluator, Arc<Asked>), PgError> {
    let mut volatile = Vec::new();
    crate::plan::form::walk(expr, &mut |node| {
        if let Expr::Subquery { index, .. } = node
            && let Some(place) = applied(*index)
            && !shared.caches(place)
        {
            volatile.push(place);
        }
    });
    let asked = Arc::new(Asked { shared: Arc::clone(shared), request: Mutex::default(), volatile });
    let evaluator = compile_around(&asked, expr)?;
    Ok((evaluator, asked))
}

fn compile_around(asked: &Arc<Asked>, expr: &Expr) -> Result<Evaluator, PgError> {
    let outside = |expr: &Expr| -> Result<Option<Arc<dyn Outside>>, PgError> {
        let Expr::Subquery { index, kind, outer, .. } = expr else { return Ok(None) };
        let Some(place) = applied(*index) else { return Ok(None) };
        let all = |exprs: &[Expr]| {
            exprs.iter().map(|expr| compile_around(asked, expr)).collect::<Result<Vec<_>, _>>()
        };
        let compared = match (kind, asked.shared.plan.applies.get(place).map(|apply| &apply.kind)) {
            (
                SubqueryKind::Compare { left, .. },
                Some(ApplyKind::Compare { all: is_all, test, hashes }),
            ) => Some(Compared {
                left: all(left)?,
                test: Evaluator::compile(test, &|_| None)?,
                all: *is_all,
                hashes: *hashes,
            }),
            _ => None,
        };
        Ok(Some(Arc::new(Subquery {
            asked: Arc::clone(asked),
            place,
            outer: all(outer)?,
            types: outer.iter().map(Expr::type_id).collect(),
            compared,
        })))
    };
    Evaluator::compile_around(expr, &|_| None, &outside)
}

impl<'a> Run<'a> {
    /// Reads what the queries that an operator runs for its rows need of the shards.
    pub(super) async fn prepare(&mut self, operator: &'a Operator) -> Result<(), Error> {
        let mut places = Vec::new();
        if let Operator::Apply { place, .. } = operator {
            places.push(*place);
        }
        operator.each_own_expr(&mut |expr| {
            crate::plan::form::walk(expr, &mut |node| {
                if let Expr::Subquery { index, .. } = node {
                    places.extend(applied(*index));
                }
            });
        });
        let plan: &'a Plan = self.plan;
        for place in places {
            if !locked(&self.shared().prepared).insert(place) {
                continue;
            }
            if let Some(apply) = plan.applies.get(place) {
                Box::pin(self.load(&apply.operator)).await?;
            }
        }
        Ok(())
    }

    /// The same for a common table: its rows where they are kept, else what computing them needs.
    async fn load_table(&mut self, place: usize) -> Result<(), Error> {
        let plan: &'a Plan = self.plan;
        let Some(table) = plan.tables.get(place) else { return Ok(()) };
        if table.streams {
            return Box::pin(self.load(&table.operator)).await;
        }
        self.table_rows(place).await.map(|_| ())
    }

    /// Keeps the rows of a common table.
    pub(super) fn keep_table(&self, place: usize, rows: Store) {
        locked(&self.shared().kept).insert(usize::MAX - place, Arc::new(rows));
    }

    /// The rows of a common table that is read more than once.
    pub(super) async fn table_rows(&mut self, place: usize) -> Result<Arc<Store>, Error> {
        let shared = self.shared();
        let id = usize::MAX - place;
        if let Some(rows) = locked(&shared.kept).get(&id) {
            return Ok(Arc::clone(rows));
        }
        let stream = super::recurse::open(self, place).await?;
        let mut rows = Store::new(&self.memory, "WITH");
        self.gather_stream(&mut rows, stream).await?;
        let rows = Arc::new(rows);
        locked(&shared.kept).insert(id, Arc::clone(&rows));
        Ok(rows)
    }

    /// The rows that came last in a recursion.
    pub(super) fn working(&self, id: usize) -> Result<Arc<Store>, PgError> {
        let working = locked(&self.shared().working).get(&id).cloned();
        working.ok_or_else(|| PgError::internal("a recursion has no rows to go on from"))
    }

    /// The same for all operators of a query.
    pub(super) async fn load(&mut self, operator: &'a Operator) -> Result<(), Error> {
        if let Operator::Keep { id, input } = operator {
            self.kept(*id, input).await?;
            return Ok(());
        }
        if let Operator::Table { place, .. } = operator {
            return Box::pin(self.load_table(*place)).await;
        }
        Box::pin(self.prepare(operator)).await?;
        for input in operator.inputs() {
            Box::pin(self.load(input)).await?;
        }
        Ok(())
    }

    /// The rows kept under a number, read when they are not there yet.
    pub(super) async fn kept(
        &mut self,
        id: usize,
        input: &'a Operator,
    ) -> Result<Arc<Store>, Error> {
        let shared = self.shared();
        if let Some(rows) = locked(&shared.kept).get(&id) {
            return Ok(Arc::clone(rows));
        }
        let mut rows = Store::new(&self.memory, "a subquery's rows");
        self.gather_into(&mut rows, input).await?;
        let rows = Arc::new(rows);
        locked(&shared.kept).insert(id, Arc::clone(&rows));
        Ok(rows)
    }

    /// The kept rows that equal the values of some expressions.
    pub(super) async fn lookup(
        &mut self,
        id: usize,
        input: &'a Operator,
        keys: &'a [(Expr, Expr)],
    ) -> Result<KeptRows, Error> {
        let Operator::Keep { id: kept, input } = input else {
            return Err(PgError::internal("only kept rows are looked up").into());
        };
        let rows = self.kept(*kept, input).await?;
        let shared = self.shared();
        let known = locked(&shared.indexes).get(&id).cloned();
        let index = match known {
            Some(index) => index,
            None => {
                let own = keys
                    .iter()
                    .map(|(own, _)| self.compiled(own))
                    .collect::<Result<Vec<_>, _>>()?;
                let mut index = Building::new(&shared.memory, "a subquery's rows");
                let mut pace = self.memory.pace();
                let mut place = 0;
                while place < rows.len() {
                    for row in rows.batch(place).await? {
                        pace.step().await?;
                        let values = own
                            .iter()
                            .map(|expr| expr.eval(&row))
                            .collect::<Result<Vec<_>, _>>()?;
                        if values.iter().all(|value| !value.is_null()) {
                            index.add(key_bytes(values.iter()), place).await?;
                        }
                        place += 1;
                    }
                }
                let index = Arc::new(index.finish().await?);
                locked(&shared.indexes).insert(id, Arc::clone(&index));
                index
            }
        };
        let mut values = Vec::with_capacity(keys.len());
        for (_, outer) in keys {
            values.push(self.value(outer)?);
        }
        let found = if values.iter().any(Value::is_null) {
            Arc::default()
        } else {
            index.places(&key_bytes(values.iter())).await?
        };
        Ok(KeptRows { rows, places: Some(found), next: 0 })
    }
}

/// Kept rows, or some of them.
pub(super) struct KeptRows {
    rows: Arc<Store>,
    places: Option<Arc<Vec<usize>>>,
    next: usize,
}

impl KeptRows {
    /// All of them.
    pub(super) fn all(rows: Arc<Store>) -> Self {
        Self { rows, places: None, next: 0 }
    }
}

#[async_trait]
impl ValueStream for KeptRows {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        tokio::task::consume_budget().await;
        let batch = match &self.places {
            None if self.next >= self.rows.len() => Vec::new(),
            None => self.rows.batch(self.next).await?,
            Some(places) => {
                let end = places.len().min(self.next + BATCH_ROWS);
                self.rows.rows_at(&places[self.next..end]).await?
            }
        };
        self.next += batch.len();
        Ok((!batch.is_empty()).then_some(batch))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Vec::new()
    }
}

/// Each row in with every row that a query gives for it; keeps the order.
pub(super) struct Lateral {
    pub(super) input: Box<dyn ValueStream>,
    pub(super) shared: Arc<Shared>,
    pub(super) params: Arc<Vec<Value>>,
    pub(super) place: usize,
    pub(super) outer: Vec<Compiled>,
    pub(super) types: Vec<TypeId>,
    pub(super) on: Option<Compiled>,
    /// The columns of the query.
    pub(super) width: usize,
    pub(super) keeps: bool,
    pub(super) pending: std::vec::IntoIter<Row>,
    pub(super) current: Option<CurrentRow>,
    pub(super) pace: Pace,
}

/// The row in whose rows are being given.
pub(super) struct CurrentRow {
    row: Row,
    rows: Arc<Vec<Row>>,
    next: usize,
    matched: bool,
}

impl Lateral {
    async fn begin(&mut self, row: Row) -> Result<CurrentRow, Error> {
        let mut read = Vec::with_capacity(self.outer.len());
        for expr in &self.outer {
            read.push(expr.value(&row).await?);
        }
        let key = reading_key(&read, &self.types);
        if !self.shared.caches(self.place) {
            self.shared.forget(self.place);
        }
        let answer = match self.shared.known(self.place, &key) {
            Some(answer) => answer,
            None => {
                self.shared.answer(Request { place: self.place, key, read }, &self.params).await?
            }
        };
        let Answer::Rows(rows) = answer else {
            return Err(PgError::internal("a query in FROM gives rows").into());
        };
        Ok(CurrentRow { row, rows, next: 0, matched: false })
    }
}

#[async_trait]
impl ValueStream for Lateral {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut out = Vec::new();
        while out.len() < BATCH_ROWS {
            self.pace.step().await?;
            if let Some(mut current) = self.current.take() {
                if let Some(right) = current.rows.get(current.next) {
                    current.next += 1;
                    let mut joined = current.row.clone();
                    joined.extend(right.iter().cloned());
                    let matches = match &self.on {
                        None => true,
                        Some(on) => on.holds(&joined).await?,
                    };
                    if matches {
                        current.matched = true;
                        out.push(joined);
                    }
                    self.current = Some(current);
                } else if self.keeps && !current.matched {
                    let mut row = current.row;
                    row.extend(std::iter::repeat_n(Value::Null, self.width));
                    out.push(row);
                }
                continue;
            }
            let row = match self.pending.next() {
                Some(row) => row,
                None => match self.input.next().await? {
                    Some(batch) => {
                        self.pending = batch.into_iter();
                        continue;
                    }
                    None => break,
                },
            };
            self.current = Some(self.begin(row).await?);
        }
        Ok((!out.is_empty()).then_some(out))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.input.finish().await
    }

    fn into_connections(self: Box<Self>) -> Connections {
        self.input.into_connections()
    }
}

/// The participants of what reads no shard.
struct Nobody;

#[async_trait]
impl Participants for Nobody {
    async fn enlist(&mut self, _shards: &[ShardRef], _access: Access) -> Result<(), Error> {
        Err(PgError::internal("a query for a row around reads no shard").into())
    }

    async fn take(&mut self, _shard: &ShardRef) -> Result<Box<dyn NodeConnection>, Error> {
        Err(PgError::internal("a query for a row around reads no shard").into())
    }

    fn give(&mut self, _shard: &ShardRef, _connection: Option<Box<dyn NodeConnection>>) {}
}
