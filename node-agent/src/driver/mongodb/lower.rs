//! Selects over one collection, as `find` or as an aggregation pipeline.

use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{Condition, Lock, OutputField, Select, Source};
use dataman_pg::Context;
use dataman_pg::eval::{self, Evaluator};
use dataman_pg::expr::{Aggregate, Constant, Expr, SortKey};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use mongodb::bson::{Bson, Document, doc};

use super::DOCUMENTS_A_BATCH;
use super::adopted::{self, filter::Look};
use super::catalogue::{Catalogue, Collection};
use super::condition::{
    NativeAggregate, Scope, is_given, joined, native_aggregate, not_carried_out, refusal,
};
use super::layout;
use super::statement::collated;

/// Where a document is whose values are not what its columns say, before the rows that it should be looked at for.
pub(super) const STRAY: &str = "%stray";

/// A select made ready. What it says to MongoDB is written at each execution, when the parameters are known.
#[derive(Debug)]
pub(super) struct Lowered {
    /// The collection; none for a select without FROM.
    pub(super) collection: Option<Arc<Collection>>,
    /// The condition.
    filter: Option<Expr>,
    /// What the documents that come back hold.
    pub(super) inputs: Vec<Input>,
    /// What each column of the result is, over the inputs.
    pub(super) outputs: Vec<Output>,
    /// The condition over the inputs that is left to the driver.
    pub(super) having: Option<Evaluator>,
    group: Option<Group>,
    sort: Vec<SortKey>,
    limit: Option<Expr>,
    offset: Option<Expr>,
    /// FOR UPDATE and its like.
    pub(super) lock: Option<Lock>,
    /// Of an adopted collection, the places of the fields that decide which documents come back, in which order and group.
    pub(super) deciding: Vec<usize>,
}

/// A value of each document that comes back.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// Where it lies.
    pub(super) path: String,
    /// Its type.
    pub(super) ty: TypeId,
    /// Of an adopted collection, the place of the field whose value it is.
    pub(super) place: Option<usize>,
}

/// One column of the result.
#[derive(Debug)]
pub(super) enum Output {
    /// The input at a place.
    Input(usize),
    /// Computed over the inputs.
    Computed(Evaluator),
}

/// The grouping of a select: each expression with the name that it gets.
#[derive(Debug)]
struct Group {
    keys: Vec<(Expr, String)>,
    aggregates: Vec<(Aggregate, String)>,
    having: Option<Expr>,
}

/// How many rows, and how many are left out before them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Rows at most.
    pub(super) limit: Option<i64>,
    /// Rows left out.
    pub(super) offset: i64,
}

/// A condition as one expression.
pub(super) fn bound(condition: Condition) -> Result<Expr, NodeError> {
    let each = |parts: Vec<Condition>| parts.into_iter().map(bound).collect::<Result<_, _>>();
    Ok(match condition {
        Condition::Expr(expr) => expr,
        Condition::All(parts) => Expr::And(each(parts)?),
        Condition::Any(parts) => Expr::Or(each(parts)?),
        Condition::Test { .. } => {
            return Err(NodeError::unsupported("a short-form filter has to be bound first"));
        }
    })
}

impl Lowered {
    /// Makes a select ready.
    ///
    /// # Errors
    /// `42P01` for a collection that is not there; `0A000` for what MongoDB does not carry out exactly.
    pub(super) fn new(select: &Select, catalogue: &Catalogue) -> Result<Self, NodeError> {
        check_parts(select)?;
        let collection = match select.source.as_slice() {
            [] => None,
            [Source::Collection { target, .. }] => {
                Some(Arc::clone(catalogue.get(&target.collection)?))
            }
            _ => return Err(not_carried_out("a join, or a query in FROM,")),
        };
        Self::over(select, collection, catalogue)
    }

    fn over(
        select: &Select,
        collection: Option<Arc<Collection>>,
        catalogue: &Catalogue,
    ) -> Result<Self, NodeError> {
        let filter = select.filter.clone().map(bound).transpose()?;
        let mut fields = Vec::new();
        for field in &select.fields {
            match field {
                OutputField::Bound { expr, .. } => fields.push(expr.clone()),
                OutputField::Named(_) => {
                    return Err(NodeError::unsupported("a short-form query has to be bound first"));
                }
            }
        }
        let is_carried: fn(&Expr) -> bool = match collection.as_deref().and_then(adopted::of) {
            Some(_) => adopted::filter::is_native_tree,
            None => is_given,
        };
        let group =
            select.group.as_ref().map(|keys| Group::new(keys, select, is_carried)).transpose()?;
        let mut inputs: Vec<(Expr, Input)> = Vec::new();
        match &group {
            Some(group) => {
                for (key, name) in &group.keys {
                    let place = field_place(key, collection.as_deref());
                    let input = Input { path: name.clone(), ty: key.type_id(), place };
                    inputs.push((key.clone(), input));
                }
                for (aggregate, name) in &group.aggregates {
                    let place = least_or_greatest(aggregate)
                        .and_then(|arg| field_place(arg, collection.as_deref()));
                    let input = Input { path: name.clone(), ty: aggregate.ty.id, place };
                    inputs.push((Expr::Aggregate(Box::new(aggregate.clone())), input));
                }
            }
            None => {
                let exprs = fields.iter();
                for expr in exprs {
                    gather_fields(expr, collection.as_deref(), &mut inputs)?;
                }
            }
        }
        let over_inputs = |expr: &Expr| -> Result<Evaluator, NodeError> {
            let mut expr = expr.clone();
            place_inputs(&mut expr, &inputs);
            eval::check_computed(&expr)?;
            catalogue.compile(&expr, &|_| None)
        };
        let mut outputs = Vec::new();
        for expr in &fields {
            outputs.push(match inputs.iter().position(|(known, _)| known == expr) {
                Some(place) => Output::Input(place),
                None => Output::Computed(over_inputs(expr)?),
            });
        }
        // A group of everything is there also when MongoDB has no document for it: then it is the driver that looks.
        let is_whole = group.as_ref().is_some_and(|group| group.keys.is_empty());
        let having = group.as_ref().and_then(|group| group.having.as_ref()).filter(|_| is_whole);
        let mut deciding = Vec::new();
        if let Some(collection) = collection.as_deref().filter(|one| adopted::of(one).is_some()) {
            if select.lock.is_some() {
                return Err(not_carried_out("locks of records of adopted collections"));
            }
            let mut add = |expr: &Expr| {
                adopted::filter::places_of(expr, collection, &mut deciding);
            };
            filter.iter().chain(select.sort.iter().map(|key| &key.expr)).for_each(&mut add);
            if let Some(group) = &group {
                group.keys.iter().for_each(|(key, _)| add(key));
                let aggregates = group.aggregates.iter().flat_map(|(one, _)| &one.args);
                aggregates.for_each(&mut add);
            }
        }
        Ok(Self {
            deciding,
            collection,
            filter,
            having: having.map(over_inputs).transpose()?,
            inputs: inputs.into_iter().map(|(_, input)| input).collect(),
            outputs,
            group,
            sort: select.sort.clone(),
            limit: select.limit.clone(),
            offset: select.offset.clone(),
            lock: select.lock.clone(),
        })
    }

    /// Whether records are gathered into groups.
    pub(super) fn is_grouped(&self) -> bool {
        self.group.is_some()
    }

    /// Whether there is one group, of all records.
    pub(super) fn is_whole(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.keys.is_empty())
    }

    /// How many rows.
    ///
    /// # Errors
    /// What evaluating LIMIT raises; `2201W` and `2201X` for negative ones.
    pub(super) fn window(&self, params: &[Value]) -> Result<Window, NodeError> {
        let rows = |expr: &Option<Expr>| -> Result<Option<i64>, NodeError> {
            let Some(expr) = expr else { return Ok(None) };
            let evaluator = Evaluator::compile(expr, &|_| None)?;
            Ok(match evaluator.eval(&[], params, &Context::default())? {
                Value::Int8(rows) => Some(rows),
                _ => None,
            })
        };
        let (limit, offset) = (rows(&self.limit)?, rows(&self.offset)?.unwrap_or(0));
        if offset < 0 {
            return Err(NodeError::statement("2201X", "OFFSET must not be negative"));
        }
        if limit.is_some_and(|limit| limit < 0) {
            return Err(NodeError::statement("2201W", "LIMIT must not be negative"));
        }
        Ok(Window { limit, offset })
    }

    /// Whether the condition holds that a select without FROM has.
    ///
    /// # Errors
    /// What it raises.
    pub(super) fn holds(&self, params: &[Value], context: &Context) -> Result<bool, NodeError> {
        match &self.filter {
            Some(filter) => {
                Ok(Evaluator::compile(filter, &|_| None)?.holds(&[], params, context)?)
            }
            None => Ok(true),
        }
    }

    /// What MongoDB is told.
    ///
    /// # Errors
    /// `0A000` for what it does not carry out.
    pub(super) fn command(
        &self,
        catalogue: Option<&Catalogue>,
        params: &[Value],
        window: Window,
    ) -> Result<Document, NodeError> {
        let collection = self.collection.as_deref();
        let name = collection.map_or("", |found| found.layout.collection.as_str());
        let scope = Scope { collection, catalogue, params, known: &[] };
        // Documents that do not come back are not looked at; then their like is looked for first.
        let is_cut = !self.sort.is_empty() && (window.limit.is_some() || window.offset > 0);
        let strays = |collection, look| adopted::filter::strays(collection, &self.deciding, look);
        let strays = match collection {
            Some(collection) if self.group.is_some() => strays(collection, Look::Values),
            Some(collection) if is_cut => strays(collection, Look::Types),
            _ => None,
        };
        let filter = match &self.filter {
            Some(filter) if strays.is_some() => scope.adopted_filter(filter, true, false)?,
            Some(filter) => scope.filter(filter, true)?,
            None => Document::new(),
        };
        let aggregate = |stages: Vec<Document>| -> Result<Document, NodeError> {
            let mut command = match &strays {
                None => aggregate(name, stages),
                Some(strays) => {
                    let mut wanted = vec![strays.clone()];
                    if let Some(filter) = &self.filter {
                        wanted.push(scope.filter(filter, true)?);
                    }
                    let others = doc! { "coll": name, "pipeline": stages };
                    let stages = vec![
                        doc! { "$match": joined("$and", wanted) },
                        doc! { "$limit": 1 },
                        doc! { "$project": { "_id": 0, STRAY: "$$ROOT" } },
                        doc! { "$unionWith": others },
                    ];
                    aggregate(name, stages)
                }
            };
            collated(&mut command, collection);
            Ok(command)
        };
        if let Some(group) = &self.group {
            let mut stages = Vec::new();
            if !filter.is_empty() {
                stages.push(doc! { "$match": filter });
            }
            stages.extend(group.stages(&scope)?);
            if !self.is_whole() {
                let known = group.known();
                let scope = Scope { collection, catalogue, params, known: &known };
                if let Some(having) = &group.having {
                    stages.push(doc! { "$match": scope.filter(having, true)? });
                }
                self.order(&scope, &mut stages)?;
                limit(window, &mut stages);
            }
            return aggregate(stages);
        }
        let mut projection = Document::new();
        for input in &self.inputs {
            projection.insert(&input.path, 1);
        }
        if let Some(collection) = collection.filter(|_| scope.is_adopted()) {
            for place in &self.deciding {
                projection.insert(&collection.layout.fields[*place].path, 1);
            }
            // What is wrong with a document is said with its identity.
            projection.insert("_id", 1);
            let paths: Vec<String> = projection.keys().cloned().collect();
            // A field within another one comes with that.
            let is_within =
                |path: &str| adopted::ways(path).any(|way| paths.iter().any(|known| known == way));
            projection = paths
                .iter()
                .filter(|path| !is_within(path))
                .map(|path| (path.clone(), Bson::Int32(1)))
                .collect();
        }
        if self.lock.is_some() || projection.is_empty() {
            projection.insert("_id", 1);
        } else if !projection.contains_key("_id") {
            projection.insert("_id", 0);
        }
        let mut stages = Vec::new();
        self.order(&scope, &mut stages)?;
        if stages.len() > 1 || strays.is_some() {
            // Where NULLs go has to be computed.
            if !filter.is_empty() {
                stages.insert(0, doc! { "$match": filter });
            }
            limit(window, &mut stages);
            stages.push(doc! { "$project": projection });
            return aggregate(stages);
        }
        let mut command = doc! { "find": name, "filter": filter, "projection": projection };
        if let Some(sort) = stages.first().and_then(|stage| stage.get_document("$sort").ok()) {
            command.insert("sort", sort.clone());
            command.insert("allowDiskUse", true);
        }
        if window.offset > 0 {
            command.insert("skip", window.offset);
        }
        if let Some(limit) = window.limit {
            command.insert("limit", limit);
        }
        command.insert("batchSize", DOCUMENTS_A_BATCH);
        collated(&mut command, collection);
        Ok(command)
    }

    /// The order, with MongoDB's one place for null: before everything, or after it in a descending order.
    fn order(&self, scope: &Scope<'_>, stages: &mut Vec<Document>) -> Result<(), NodeError> {
        let mut computed = Document::new();
        let mut sort = Document::new();
        for (place, key) in self.sort.iter().enumerate() {
            // A constant orders nothing.
            if matches!(key.expr, Expr::Const(_) | Expr::Param { .. }) {
                continue;
            }
            let is_native_place = key.nulls_first != key.descending;
            let path = match scope.path(&key.expr) {
                Some(path) => path,
                None => {
                    let name = format!("%sort{place}");
                    computed.insert(&name, scope.value(&key.expr)?);
                    name
                }
            };
            if !is_native_place && self.may_be_null(&key.expr) {
                let name = format!("%null{place}");
                let is_null = doc! { "$eq": [scope.value(&key.expr)?, Bson::Null] };
                computed.insert(&name, is_null);
                sort.insert(name, if key.nulls_first { -1 } else { 1 });
            }
            // The second mention of a key orders nothing any more.
            if !sort.contains_key(&path) {
                sort.insert(path, if key.descending { -1 } else { 1 });
            }
        }
        if !computed.is_empty() {
            stages.push(doc! { "$addFields": computed });
        }
        if !sort.is_empty() {
            stages.push(doc! { "$sort": sort });
        }
        Ok(())
    }

    fn may_be_null(&self, expr: &Expr) -> bool {
        let Expr::Field(field) = expr else { return true };
        let Some(collection) = &self.collection else { return true };
        let refused = collection.place(&field.name).map(|place| collection.not_null[place]);
        refused != Some(true)
    }
}

fn check_parts(select: &Select) -> Result<(), NodeError> {
    let lacking = [
        (select.grouping_sets.is_some(), "GROUPING SETS"),
        (!select.union.is_empty(), "set operations"),
        (!select.with.is_empty(), "WITH"),
        (!select.subqueries.is_empty(), "subqueries"),
        (select.with_ties, "WITH TIES"),
        (!select.distinct.is_all(), "DISTINCT"),
        (select.lock.is_some() && select.group.is_some(), "locks of groups"),
    ];
    match lacking.into_iter().find(|(lacks, _)| *lacks) {
        Some((_, what)) => Err(not_carried_out(what)),
        None => Ok(()),
    }
}

fn aggregate(collection: &str, stages: Vec<Document>) -> Document {
    doc! {
        "aggregate": collection,
        "pipeline": stages,
        "cursor": { "batchSize": DOCUMENTS_A_BATCH },
        "allowDiskUse": true,
    }
}

fn limit(window: Window, stages: &mut Vec<Document>) {
    if window.offset > 0 {
        stages.push(doc! { "$skip": window.offset });
    }
    if let Some(limit) = window.limit {
        stages.push(doc! { "$limit": limit });
    }
}

/// The place of the field of an adopted collection that an expression is.
fn field_place(expr: &Expr, collection: Option<&Collection>) -> Option<usize> {
    let collection = collection.filter(|one| adopted::of(one).is_some())?;
    match adopted::filter::bare(expr)? {
        Expr::Field(field) => collection.place(&field.name),
        _ => None,
    }
}

/// What an aggregate gives one of the values of.
fn least_or_greatest(aggregate: &Aggregate) -> Option<&Expr> {
    match native_aggregate(aggregate)? {
        NativeAggregate::Min | NativeAggregate::Max => aggregate.args.first(),
        _ => None,
    }
}

/// The fields that an expression reads.
fn gather_fields(
    expr: &Expr,
    collection: Option<&Collection>,
    inputs: &mut Vec<(Expr, Input)>,
) -> Result<(), NodeError> {
    let Expr::Field(field) = expr else {
        let mut gathered = Ok(());
        expr.for_each_child(&mut |child| {
            if gathered.is_ok() {
                gathered = gather_fields(child, collection, inputs);
            }
        });
        return gathered;
    };
    if inputs.iter().any(|(known, _)| known == expr) {
        return Ok(());
    }
    let path = match collection {
        Some(collection) => match collection.field(&field.name) {
            Some(place) => place.path.clone(),
            None => {
                return Err(NodeError::statement(
                    "42703",
                    format!("column \"{}\" does not exist", field.name),
                ));
            }
        },
        None => layout::path(&field.name),
    };
    let place = field_place(expr, collection);
    inputs.push((expr.clone(), Input { path, ty: field.ty.id, place }));
    Ok(())
}

/// Puts inputs in the place of what they hold.
fn place_inputs(expr: &mut Expr, inputs: &[(Expr, Input)]) {
    if let Some(index) = inputs.iter().position(|(known, _)| known == expr) {
        *expr = Expr::Column { index, ty: expr.type_ref() };
        return;
    }
    expr.for_each_child_mut(&mut |child| place_inputs(child, inputs));
}

impl Group {
    fn new(
        keys: &[Expr],
        select: &Select,
        is_carried: fn(&Expr) -> bool,
    ) -> Result<Self, NodeError> {
        let mut group =
            Self { keys: Vec::new(), aggregates: Vec::new(), having: select.having.clone() };
        for key in keys {
            if !is_carried(key) {
                return Err(refusal(key));
            }
            if group.keys.iter().all(|(known, _)| known != key) {
                group.keys.push((key.clone(), format!("k{}", group.keys.len())));
            }
        }
        for field in &select.fields {
            if let OutputField::Bound { expr, .. } = field {
                group.gather(expr, is_carried)?;
            }
        }
        if let Some(having) = &select.having {
            group.gather(having, is_carried)?;
        }
        for key in &select.sort {
            group.gather(&key.expr, is_carried)?;
        }
        Ok(group)
    }

    fn gather(&mut self, expr: &Expr, is_carried: fn(&Expr) -> bool) -> Result<(), NodeError> {
        if self.keys.iter().any(|(known, _)| known == expr) {
            return Ok(());
        }
        if let Expr::Aggregate(aggregate) = expr {
            if !is_carried(expr) {
                return Err(refusal(expr));
            }
            if self.aggregates.iter().all(|(known, _)| known != &**aggregate) {
                let name = format!("a{}", self.aggregates.len());
                self.aggregates.push(((**aggregate).clone(), name));
            }
            return Ok(());
        }
        let mut gathered = Ok(());
        expr.for_each_child(&mut |child| {
            if gathered.is_ok() {
                gathered = self.gather(child, is_carried);
            }
        });
        gathered
    }

    /// What the documents after [`Group::stages`] hold.
    fn known(&self) -> Vec<(Expr, String)> {
        let aggregates = self
            .aggregates
            .iter()
            .map(|(aggregate, name)| (Expr::Aggregate(Box::new(aggregate.clone())), name.clone()));
        self.keys.iter().cloned().chain(aggregates).collect()
    }

    fn stages(&self, scope: &Scope<'_>) -> Result<Vec<Document>, NodeError> {
        let mut id = Document::new();
        let mut shown = doc! { "_id": 0 };
        for (key, name) in &self.keys {
            id.insert(name, scope.value(key)?);
            shown.insert(name, format!("$_id.{name}"));
        }
        let id = if id.is_empty() { Bson::Null } else { Bson::Document(id) };
        let mut group = doc! { "_id": id };
        for (aggregate, name) in &self.aggregates {
            let kind = native_aggregate(aggregate)
                .ok_or_else(|| refusal(&Expr::Aggregate(Box::new(aggregate.clone()))))?;
            let argument = match aggregate.args.first() {
                Some(arg) => scope.value(arg)?,
                None => Bson::Boolean(true),
            };
            // Whatever does not take part is null, which all of MongoDB's aggregates pass over.
            let taken = match &aggregate.filter {
                Some(filter) => {
                    let holds = doc! { "$eq": [scope.value(filter)?, true] };
                    Bson::Document(doc! { "$cond": [holds, argument, Bson::Null] })
                }
                None => argument,
            };
            let counted = doc! { "$sum": {
                "$cond": [{ "$eq": [taken.clone(), Bson::Null] }, 0_i64, 1_i64],
            } };
            let counter = format!("{name}c");
            let sum = |of: Bson| {
                let none = doc! { "$eq": [format!("${counter}"), 0] };
                (doc! { "$sum": of }, doc! { "$cond": [none, Bson::Null, format!("${name}")] })
            };
            match kind {
                NativeAggregate::Count => {
                    group.insert(name, counted);
                    shown.insert(name, 1);
                }
                NativeAggregate::Min => {
                    group.insert(name, doc! { "$min": taken });
                    shown.insert(name, 1);
                }
                NativeAggregate::Max => {
                    group.insert(name, doc! { "$max": taken });
                    shown.insert(name, 1);
                }
                NativeAggregate::Sum | NativeAggregate::DecimalSum => {
                    let converted = |input: Bson, to: &str| {
                        Bson::Document(doc! { "$convert": {
                            "input": input, "to": to, "onError": Bson::Null, "onNull": Bson::Null,
                        } })
                    };
                    // Whole numbers that dataman did not write may be doubles, whose sum would be one, too.
                    let whole = match scope.is_adopted() {
                        true => converted(taken, "long"),
                        false => taken,
                    };
                    let of = match kind {
                        NativeAggregate::Sum => whole,
                        _ => Bson::Document(doc! { "$toDecimal": whole }),
                    };
                    let (summed, value) = sum(of);
                    group.insert(name, summed);
                    group.insert(&counter, counted);
                    shown.insert(name, value);
                }
            }
        }
        let mut stages = vec![doc! { "$group": group }];
        if shown.len() > 1 {
            stages.push(doc! { "$project": shown });
        }
        Ok(stages)
    }

    /// The row of no record: counts are zero.
    fn nothing(&self) -> Document {
        let mut row = Document::new();
        for (aggregate, name) in &self.aggregates {
            if native_aggregate(aggregate) == Some(NativeAggregate::Count) {
                row.insert(name, 0_i64);
            }
        }
        row
    }
}

impl Lowered {
    /// What stands for the one group when there are no records.
    pub(super) fn empty_group(&self) -> Option<Document> {
        self.group.as_ref().filter(|group| group.keys.is_empty()).map(Group::nothing)
    }
}

/// What MongoDB would be told, as people are shown it, by the names that its collections' fields have if nobody renamed them.
pub(super) fn shown(select: &Select) -> Option<String> {
    check_parts(select).ok()?;
    let [Source::Collection { target, .. }] = select.source.as_slice() else { return None };
    // What it would be told depends on what the fields are.
    if target.adopted.is_some() {
        return None;
    }
    let lowered = Lowered::over(select, None, &Catalogue::default()).ok()?;
    let known = |expr: &Option<Expr>| match expr {
        Some(Expr::Const(Constant { value: Value::Int8(rows), .. })) => Some(*rows),
        _ => None,
    };
    let window =
        Window { limit: known(&lowered.limit), offset: known(&lowered.offset).unwrap_or(0) };
    let mut command = lowered.command(None, &[], window).ok()?;
    let verb = if command.contains_key("find") { "find" } else { "aggregate" };
    command.insert(verb, layout::collection_name(&target.collection));
    for (expr, name) in [(&lowered.limit, "limit"), (&lowered.offset, "skip")] {
        if let Some(Expr::Param { index, .. }) = expr {
            command.insert(name, format!("${index}"));
        }
    }
    for unseen in ["batchSize", "cursor", "allowDiskUse"] {
        command.remove(unseen);
    }
    Some(command.to_string())
}
