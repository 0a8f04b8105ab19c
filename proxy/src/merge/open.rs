//! Operators → streams, from the leaves up.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use dataman_metadata::id::{DatastoreId, ShardId};
use dataman_node_protocol::node::{Parameters, ResultFormats, RowStream};
use dataman_node_protocol::record::Format;
use dataman_pg::eval::Evaluator;
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Expr, PgError, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Execution;
use super::apply::{self, Shared};
use super::memory::Memory;
use super::metrics::{CountedFrames, CountedRows};
use super::raw::{Decoded, Raw, RawSource, Sorted, Streams};
use super::rows::{Encoded, Held, Row, ValueStream};
use super::store::Store;
use super::{
    Sequences, aggregate, distinct, expand, filter, gather, join, limit, made, project, recurse,
    setop, sort, taking_numbers, window,
};
use crate::error::Error;
use crate::plan::Plan;
use crate::plan::apply::has_applied;
use crate::plan::operator::{Gather, MergeKey, NodeScan, Operator, Part, ShardRule};
use crate::route::prune;
use crate::scatter::contract::{Access, ResultStream, ShardRef};
use crate::scatter::shard::ShardStream;

/// One execution of a plan while its streams are opened.
pub(crate) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) execution: Execution<'a>,
    pub(super) memory: Memory,
    /// Cancels what the shards still do for the statement, once it has failed.
    scans: CancellationToken,
    /// What all that runs for the statement has in common, once something needs it.
    shared: OnceLock<Arc<Shared>>,
    /// The whole plan, to be held on to.
    whole: &'a Arc<Plan>,
    /// It is a query run for the values of a row around it.
    pub(super) is_inner: bool,
    /// How many rows of the sort that is opened next are wanted.
    wanted: Option<usize>,
    /// The values of all parameters, client's and internal.
    pub(super) values: Arc<Vec<Value>>,
    /// The same as they go to the shards.
    pub(super) parameters: Parameters,
}

/// A recursive call's future.
pub(super) type Opening<'f, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'f>>;

impl<'a> Run<'a> {
    pub(crate) fn new(plan: &'a Arc<Plan>, execution: Execution<'a>) -> Self {
        Self {
            plan,
            whole: plan,
            shared: OnceLock::new(),
            is_inner: false,
            wanted: None,
            parameters: execution.parameters.clone(),
            memory: Memory::new(&execution.bounds, execution.cancel),
            scans: execution.cancel.child_token(),
            execution,
            values: Arc::new(Vec::new()),
        }
    }

    /// A query run for the values of a row around it: it reads no shard.
    pub(super) fn within(
        plan: &'a Arc<Plan>,
        execution: Execution<'a>,
        shared: &Arc<Shared>,
        memory: Memory,
        values: Arc<Vec<Value>>,
    ) -> Self {
        Self {
            plan,
            whole: plan,
            shared: OnceLock::from(Arc::clone(shared)),
            is_inner: true,
            wanted: None,
            parameters: Parameters::default(),
            memory,
            scans: execution.cancel.child_token(),
            execution,
            values,
        }
    }

    /// What all that runs for the statement has in common.
    pub(super) fn shared(&self) -> Arc<Shared> {
        let shared = || Arc::new(Shared::new(self.whole, &self.execution, &self.memory));
        Arc::clone(self.shared.get_or_init(shared))
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        self.execution.evaluation
    }

    /// Computes an expression without a row.
    pub(super) fn value(&self, expr: &Expr) -> Result<Value, PgError> {
        match expr {
            Expr::Const(constant) => Ok(constant.value.clone()),
            Expr::Param { index, .. } => Ok(self
                .values
                .get(usize::from(*index).saturating_sub(1))
                .cloned()
                .unwrap_or(Value::Null)),
            _ => Evaluator::compile(expr, &|_| None)?.eval(&[], &self.values, self.context()),
        }
    }

    /// Computes an expression without a row, which may have subqueries.
    pub(super) async fn value_reached(&mut self, expr: &Expr) -> Result<Value, Error> {
        if has_applied(expr) {
            return self.compiled(expr)?.value(&[]).await;
        }
        Ok(self.value(expr)?)
    }

    /// Where the plan's expressions take numbers of sequences, if they do.
    pub(super) fn numbers(&self) -> Option<Arc<dyn Sequences>> {
        self.plan.numbers.then(|| Arc::clone(self.execution.sequences))
    }

    /// Computes a row of expressions without columns.
    pub(super) async fn row(&mut self, exprs: &[Expr]) -> Result<Row, Error> {
        if !self.plan.numbers {
            let mut row = Vec::with_capacity(exprs.len());
            for expr in exprs {
                row.push(self.value_reached(expr).await?);
            }
            return Ok(row);
        }
        let compiled =
            exprs.iter().map(|expr| self.compiled(expr)).collect::<Result<Vec<_>, _>>()?;
        let sequences = Arc::clone(self.execution.sequences);
        taking_numbers(sequences.as_ref(), || compiled.iter().map(|expr| expr.eval(&[])).collect())
            .await
    }

    /// Compiles an expression over the columns of a row.
    pub(super) fn compiled(&self, expr: &Expr) -> Result<Compiled, PgError> {
        let (evaluator, asked) = if has_applied(expr) {
            let (evaluator, asked) = apply::compile(&self.shared(), expr)?;
            (evaluator, Some(asked))
        } else {
            (Evaluator::compile(expr, &|_| None)?, None)
        };
        Ok(Compiled {
            evaluator,
            asked,
            params: Arc::clone(&self.values),
            context: Arc::clone(self.context()),
        })
    }

    /// Opens the plan's root: rows as the client wants them.
    pub(crate) async fn open(
        &mut self,
        operator: &'a Operator,
    ) -> Result<Box<dyn ResultStream>, Error> {
        let (operator, routed) = self.routed(operator)?;
        let (scan, limits) = match operator {
            Operator::Limit { input, limit, offset, ties: None } if is_raw(input) => {
                (input.as_ref(), Some((limit.as_ref(), offset.as_ref())))
            }
            other => (other, None),
        };
        if is_raw(scan) {
            let limits = match limits {
                None => limit::Limits::default(),
                Some((limit, offset)) => limit::Limits::of(self, limit, offset)?,
            };
            if limits.limit == Some(0) {
                return Ok(Box::new(Raw::nothing()));
            }
            let formats = self.execution.formats.formats.clone();
            let raw = self.raw(scan, routed, limits, &formats).await?;
            return Ok(Box::new(raw));
        }
        let types = operator.columns();
        let rows = self.values(operator).await?;
        Ok(Box::new(Encoded {
            rows,
            types,
            formats: self.execution.formats.formats.clone(),
            context: Arc::clone(self.context()),
            sent: 0,
            pending: Vec::new().into_iter(),
            pace: self.memory.pace(),
            scans: self.scans.clone(),
        }))
    }

    /// Decides a route: the operator to open, and the shard for its scan.
    fn routed(&self, operator: &'a Operator) -> Result<(&'a Operator, Option<ShardId>), Error> {
        if let Operator::Gather(gather) = operator {
            return match self.gather_parts(gather)?.as_slice() {
                [part] if part.operator.columns().len() == gather.visible => {
                    self.routed(&part.operator)
                }
                _ => Ok((operator, None)),
            };
        }
        let Operator::Route { whole, rules, otherwise } = operator else {
            return Ok((operator, None));
        };
        if let Some(shard) = self.agreed(rules, whole)?
            && whole.asks(shard)
        {
            return Ok((operator, Some(shard)));
        }
        match otherwise {
            Ok(other) => self.routed(other),
            Err(error) => Err(error.clone().into()),
        }
    }

    /// The one shard that all the rules mean, if they mean one; a rule that means none agrees with any.
    pub(super) fn agreed(
        &self,
        rules: &[ShardRule],
        scan: &NodeScan,
    ) -> Result<Option<ShardId>, Error> {
        let mut agreed: BTreeSet<ShardId> = BTreeSet::new();
        for rule in rules {
            agreed.extend(self.shards(rule, &scan.datastore)?);
        }
        Ok(match agreed.len() {
            0 => Some(ShardId(0)),
            1 => agreed.pop_first(),
            _ => None,
        })
    }

    fn shards(
        &self,
        rule: &ShardRule,
        datastore: &DatastoreId,
    ) -> Result<BTreeSet<ShardId>, Error> {
        let datastore = self.plan.snapshot.datastores.get(datastore).ok_or_else(|| {
            PgError::internal(format!("the datastore \"{datastore}\" of a plan is not there"))
        })?;
        Ok(prune::shards_of(rule, datastore, &mut |expr| self.value(expr))?)
    }

    /// The shards of a scan: at least one, so that an aggregate over nothing has its row.
    pub(super) fn scan_shards(&self, scan: &NodeScan) -> Result<Vec<ShardId>, Error> {
        let mut shards = self.shards(&scan.shards, &scan.datastore)?;
        shards.retain(|shard| scan.asks(*shard));
        if shards.is_empty() {
            let any = scan.among.as_ref().and_then(|among| among.first().copied());
            shards.insert(any.unwrap_or(ShardId(0)));
        }
        Ok(shards.into_iter().collect())
    }

    /// The parts that have rows: at least one, for the same reason.
    pub(super) fn gather_parts(&self, gather: &'a Gather) -> Result<Vec<&'a Part>, Error> {
        let shards = self.shards(&gather.shards, &gather.datastore)?;
        let has_rows = |part: &&Part| part.shards.iter().any(|shard| shards.contains(shard));
        let mut parts: Vec<&Part> = gather.parts.iter().filter(has_rows).collect();
        if parts.is_empty() {
            parts.extend(gather.parts.first());
        }
        Ok(parts)
    }

    /// Sends a scan to its shards.
    pub(super) async fn start(
        &mut self,
        scan: &NodeScan,
        shards: &[ShardId],
        access: Access,
        formats: &[Format],
    ) -> Result<Vec<(ShardRef, Box<dyn RowStream>)>, Error> {
        let shards: Vec<ShardRef> = shards
            .iter()
            .map(|shard| ShardRef { datastore: scan.datastore.clone(), shard: *shard })
            .collect();
        self.execution.participants.enlist(&shards, access).await?;
        let formats = ResultFormats { formats: formats.to_vec() };
        let mut streams = Vec::with_capacity(shards.len());
        // The first part that fails cancels the others.
        let cancel = self.scans.clone();
        for shard in shards {
            let statement = scan
                .statements
                .get(&shard.shard)
                .ok_or_else(|| PgError::internal("a plan has no statement for a shard"))?;
            let connection = self.execution.take(&shard).await?;
            let in_order = access != Access::Read && connection.has_one_writer();
            let counters = self.execution.metrics.map(|metrics| metrics.shard(scan, shard.shard));
            let since = Instant::now();
            let mut stream = connection
                .execute(self.execution.context, statement, &self.parameters, &formats, &cancel)
                .await;
            if let Some(counters) = counters {
                counters.spend(since);
                stream = Box::new(CountedFrames { rows: stream, counters, is_first: true });
            }
            let mut stream = ShardStream::new(&shard, stream, &cancel);
            if in_order {
                stream.wait_for_first().await;
            }
            streams.push((shard, Box::new(stream) as Box<dyn RowStream>));
        }
        Ok(streams)
    }

    /// Opens a scan whose frames pass as they are.
    async fn raw(
        &mut self,
        operator: &'a Operator,
        routed: Option<ShardId>,
        limits: limit::Limits,
        client: &[Format],
    ) -> Result<Raw, Error> {
        let (scan, keys): (&NodeScan, &[MergeKey]) = match operator {
            Operator::Scan(scan) | Operator::Route { whole: scan, .. } => (scan, &[]),
            Operator::Merge { scan, keys } => (scan, keys),
            _ => return Err(PgError::internal("only a scan's frames pass as they are").into()),
        };
        let shards = match routed {
            Some(shard) => vec![shard],
            None => self.scan_shards(scan)?,
        };
        let mut formats: Vec<Format> = client.to_vec();
        formats.resize(scan.columns.len(), Format::Binary);
        let access = if scan.query.writes() { Access::Write } else { Access::Read };
        let streams = self.start(scan, &shards, access, &formats).await?;
        let source = if keys.is_empty() || streams.len() == 1 {
            RawSource::Concat(Streams::new(streams))
        } else {
            let key_formats = keys.iter().map(|key| formats[key.column]).collect();
            RawSource::Sorted(Sorted::new(
                streams,
                keys.to_vec(),
                key_formats,
                Arc::clone(self.context()),
            ))
        };
        Ok(Raw {
            source,
            visible: scan.visible,
            columns: scan.columns.len(),
            offset: limits.offset,
            limit: limits.limit,
            sent: 0,
            reported: false,
        })
    }

    /// Opens an operator as a stream of values.
    pub(super) fn values<'f>(
        &'f mut self,
        operator: &'a Operator,
    ) -> Opening<'f, Box<dyn ValueStream>>
    where
        'a: 'f,
    {
        Box::pin(async move {
            let (operator, routed) = self.routed(operator)?;
            let Some(metrics) = self.execution.metrics else {
                return self.rows_of(operator, routed).await;
            };
            let counters = metrics.open(operator);
            let since = Instant::now();
            let counted = self.memory.counted(&counters);
            let outer = std::mem::replace(&mut self.memory, counted);
            let rows = self.rows_of(operator, routed).await;
            self.memory = outer;
            counters.spend(since);
            let rows = CountedRows { rows: rows?, counters, is_first: true };
            Ok(Box::new(rows) as Box<dyn ValueStream>)
        })
    }

    /// The same for an operator whose route is decided.
    fn rows_of<'f>(
        &'f mut self,
        operator: &'a Operator,
        routed: Option<ShardId>,
    ) -> Opening<'f, Box<dyn ValueStream>>
    where
        'a: 'f,
    {
        Box::pin(async move {
            let has_queries = !self.plan.applies.is_empty() || !self.plan.tables.is_empty();
            if has_queries && !self.is_inner {
                self.prepare(operator).await?;
            }
            Ok(match operator {
                Operator::Rows { rows, .. } => {
                    let mut held = Vec::with_capacity(rows.len());
                    for row in rows {
                        held.push(self.row(row).await?);
                    }
                    Box::new(Held::new(held)) as Box<dyn ValueStream>
                }
                Operator::Virtual(scan) => {
                    let key = match &scan.key {
                        None => None,
                        Some(key) => {
                            Some((key.place, made::key_values(key, self.value(&key.value)?)))
                        }
                    };
                    Box::new(made::Made::new(scan, key, self.context())?)
                }
                Operator::Scan(scan)
                | Operator::Merge { scan, .. }
                | Operator::Route { whole: scan, .. } => {
                    let formats = vec![Format::Binary; scan.visible];
                    let raw =
                        self.raw(operator, routed, limit::Limits::default(), &formats).await?;
                    let types: Vec<TypeRef> = scan.columns[..scan.visible].to_vec();
                    Box::new(Decoded { raw, types, context: Arc::clone(self.context()) })
                }
                Operator::Filter { input, predicate } => {
                    let predicate = self.compiled(predicate)?;
                    let pace = self.memory.pace();
                    Box::new(filter::Filter { input: self.values(input).await?, predicate, pace })
                }
                Operator::Project { input, exprs } => {
                    let exprs =
                        exprs.iter().map(|expr| self.compiled(expr)).collect::<Result<_, _>>()?;
                    let sequences = self.numbers();
                    let input = self.values(input).await?;
                    Box::new(project::Project { input, exprs, sequences, pace: self.memory.pace() })
                }
                Operator::Expand { input, call, columns, ordinality, keeps } => {
                    let call = expand::SetCall::new(self, call)?;
                    let input = self.values(input).await?;
                    let width = columns.len() + usize::from(*ordinality);
                    let pace = self.memory.pace();
                    Box::new(expand::Expand::new(input, call, width, *ordinality, *keeps, pace))
                }
                Operator::Limit { input, limit, offset, ties } => {
                    let limits =
                        limit::Limits::reached(self, limit.as_ref(), offset.as_ref()).await?;
                    if limits.limit == Some(0) {
                        // As in PostgreSQL, nothing below runs, so nothing below fails.
                        return Ok(Box::new(Held::new(Vec::new())) as Box<dyn ValueStream>);
                    }
                    if let (Operator::Sort { .. }, Some(limit), None) =
                        (input.as_ref(), limits.limit, ties)
                    {
                        self.wanted = usize::try_from(limit.saturating_add(limits.offset)).ok();
                    }
                    let input = self.values(input).await?;
                    Box::new(limit::Limit::new(input, limits, ties.clone()))
                }
                Operator::Distinct { input, keys } => {
                    let input = self.values(input).await?;
                    Box::new(distinct::Distinct::new(input, keys.clone(), &self.memory))
                }
                Operator::Sort { input, keys } => {
                    let wanted = self.wanted.take();
                    sort::open(self, input, keys, wanted).await?
                }
                Operator::Combine { input, keys, aggregates, sets } => {
                    aggregate::combine(self, input, *keys, aggregates, sets.as_ref()).await?
                }
                Operator::Group { input, keys, aggregates, sets } => {
                    aggregate::group(self, input, keys, aggregates, sets.as_ref()).await?
                }
                Operator::Window { input, calls } => window::open(self, input, calls).await?,
                Operator::Join { left, right, kind, equal, on, keys } => {
                    let (sides, on) = ((left.as_ref(), right.as_ref()), on.as_ref());
                    join::open(self, sides, *kind, equal, on, keys.as_ref()).await?
                }
                Operator::Keep { id, input } => {
                    let rows = self.kept(*id, input).await?;
                    Box::new(apply::KeptRows::all(rows))
                }
                Operator::Table { place, .. } => {
                    if self.plan.tables.get(*place).is_some_and(|table| table.streams) {
                        return recurse::open(self, *place).await;
                    }
                    let rows = self.table_rows(*place).await?;
                    Box::new(apply::KeptRows::all(rows))
                }
                Operator::Working { id, .. } => Box::new(apply::KeptRows::all(self.working(*id)?)),
                Operator::Narrow { wide, narrow, param } => {
                    let has_keys = !self.value(param)?.is_null();
                    return self.values(if has_keys { narrow } else { wide }).await;
                }
                Operator::Recurse { .. } => {
                    return Err(PgError::internal("a recursion belongs to a common table").into());
                }
                Operator::Lookup { id, input, keys } => {
                    Box::new(self.lookup(*id, input, keys).await?)
                }
                Operator::OrElse { input, otherwise } => {
                    let mut rows = Store::new(&self.memory, "a subquery");
                    self.gather_into(&mut rows, input).await?;
                    if rows.len() == 0 {
                        return self.values(otherwise).await;
                    }
                    Box::new(rows.into_reader())
                }
                Operator::Apply { input, place, outer, columns, on, keeps } => {
                    let on = on.as_ref().map(|on| self.compiled(on)).transpose()?;
                    Box::new(apply::Lateral {
                        shared: self.shared(),
                        params: Arc::clone(&self.values),
                        place: *place,
                        types: outer.iter().map(Expr::type_id).collect(),
                        outer: outer
                            .iter()
                            .map(|expr| self.compiled(expr))
                            .collect::<Result<_, _>>()?,
                        on,
                        width: columns.len(),
                        keeps: *keeps,
                        input: self.values(input).await?,
                        pending: Vec::new().into_iter(),
                        current: None,
                        pace: self.memory.pace(),
                    })
                }
                Operator::Append(inputs) => setop::append(self, inputs).await?,
                Operator::Gather(gather) => gather::open(self, gather).await?,
                Operator::SetOperation { kind, all, left, right } => {
                    setop::open(self, *kind, *all, left, right).await?
                }
            })
        })
    }

    /// Ends a stream in the middle after a failure: what the shards have sent is read away, so that the connections stay
    /// usable.
    pub(super) async fn stop(&mut self, stream: &mut dyn ValueStream) {
        self.scans.cancel();
        let _ = stream.finish().await;
    }

    /// Is done with a stream that was read whole, or failed; hands its connections back.
    ///
    /// # Errors
    /// The failure that is given.
    pub(super) async fn end<T>(
        &mut self,
        mut stream: Box<dyn ValueStream>,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        if outcome.is_err() {
            self.stop(stream.as_mut()).await;
        }
        self.give_back(stream);
        outcome
    }

    /// Hands a stream's connections back.
    pub(super) fn give_back(&mut self, stream: Box<dyn ValueStream>) {
        for (shard, connection) in stream.into_connections() {
            self.execution.participants.give(&shard, connection);
        }
    }

    /// Reads an operator whole, into files beyond the statement's memory, and hands its connections back.
    pub(super) async fn gather_into(
        &mut self,
        store: &mut Store,
        operator: &'a Operator,
    ) -> Result<(), Error> {
        let stream = self.values(operator).await?;
        self.gather_stream(store, stream).await
    }

    /// The same for a stream that is open.
    pub(super) async fn gather_stream(
        &mut self,
        store: &mut Store,
        mut stream: Box<dyn ValueStream>,
    ) -> Result<(), Error> {
        let mut pace = self.memory.pace();
        let result = async {
            while let Some(batch) = stream.next().await? {
                for row in batch {
                    pace.step().await?;
                    store.push(row).await?;
                }
            }
            Ok(())
        }
        .await;
        self.end(stream, result).await
    }

    /// Reads an operator whole into memory and hands its connections back.
    pub(super) async fn gather(
        &mut self,
        operator: &'a Operator,
        what: &str,
    ) -> Result<Vec<Row>, Error> {
        let mut stream = self.values(operator).await?;
        let mut rows = Vec::new();
        let result = async {
            while let Some(batch) = stream.next().await? {
                for row in &batch {
                    self.memory.take_row(row, what)?;
                }
                rows.extend(batch);
            }
            Ok(())
        }
        .await;
        self.end(stream, result).await.map(|()| rows)
    }
}

/// Whether an operator's rows can pass as frames.
fn is_raw(operator: &Operator) -> bool {
    matches!(operator, Operator::Scan(_) | Operator::Merge { .. } | Operator::Route { .. })
}

/// An expression ready to be computed over rows.
#[derive(Debug)]
pub(crate) struct Compiled {
    evaluator: Evaluator,
    /// What its subqueries are asked, when it has some.
    asked: Option<Arc<apply::Asked>>,
    params: Arc<Vec<Value>>,
    context: Arc<Context>,
}

impl Compiled {
    /// An expression without parameters and subqueries.
    #[cfg(test)]
    pub(crate) fn plain(expr: &Expr, context: &Arc<Context>) -> Result<Self, PgError> {
        Ok(Self {
            evaluator: Evaluator::compile(expr, &|_| None)?,
            asked: None,
            params: Arc::default(),
            context: Arc::clone(context),
        })
    }

    pub(crate) fn eval(&self, row: &[Value]) -> Result<Value, PgError> {
        self.evaluator.eval(row, &self.params, &self.context)
    }

    /// The value, without a copy where it stands in the row already.
    pub(crate) fn get<'v>(&'v self, row: &'v [Value]) -> Result<Cow<'v, Value>, PgError> {
        self.evaluator.get(row, &self.params, &self.context)
    }

    /// Whether it has subqueries, so that computing it may have to wait.
    pub(crate) fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Computes the value, and runs the subqueries that are reached.
    pub(crate) async fn value(&self, row: &[Value]) -> Result<Value, Error> {
        let Some(asked) = &self.asked else { return Ok(self.eval(row)?) };
        asked.begin();
        loop {
            match self.eval(row) {
                Ok(value) => return Ok(value),
                Err(error) => {
                    if !asked.perform(&self.params).await? {
                        return Err(error.into());
                    }
                }
            }
        }
    }

    /// Whether a condition that may have subqueries is true.
    pub(crate) async fn holds(&self, row: &[Value]) -> Result<bool, Error> {
        Ok(matches!(self.value(row).await?, Value::Bool(true)))
    }

    pub(crate) fn is_true(&self, row: &[Value]) -> Result<bool, PgError> {
        Ok(matches!(self.eval(row)?, Value::Bool(true)))
    }
}
