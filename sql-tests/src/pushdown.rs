//! What an engine claims to carry out exactly, asked of it and of PostgreSQL: the same node query on the same records.
//!
//! Every type gets a collection of extreme and random values. Asked are sorting, grouping, comparing, set operations and
//! lists per type, then every function and aggregate of the catalog that the engine's capability calls exact.

use std::sync::Arc;

use bytes::Bytes;
use dataman_node_agent::driver::conformance::Probe;
use dataman_node_protocol::capability::is_exact_tree;
use dataman_node_protocol::definition::{CollectionShape, Definition, FieldShape};
use dataman_node_protocol::node::{Node, StatementContext};
use dataman_node_protocol::query::{
    Condition, Insert, NamedType, NodeQuery, OutputField, Records, Select, SetOperation,
    SetOperationKind, SortKey, Source, Target,
};
use dataman_node_protocol::record::Format;
use dataman_pg::catalog::{self, Function, Operator};
use dataman_pg::expr::{Aggregate, Call, Field};
use dataman_pg::types::TypeRef;
use dataman_pg::value::Value;
use dataman_pg::{Context, Expr, TypeId, io};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::semantics::oracle::Answer;
use crate::semantics::report::Report;
use crate::semantics::{Effort, exceptions, pool};

/// Records of each collection, two NULLs among them.
const RECORDS: usize = 32;

/// Functions by `prosrc` of which the library's answer differs from the server's in a way that is known.
const KNOWN: &[(&str, &str)] = &[
    (
        "char_bpchar",
        "\"char\" holds any byte, and PostgreSQL makes text of it that is no UTF-8; here that is an error",
    ),
    ("in_range_date_interval", "which of two errors comes first"),
    ("interval_scale", "the text about a modifier that no type has"),
    ("length_in_encoding", "knows UTF8 only"),
    ("numeric_float4", "the text in the message of an underflow"),
    ("substring(text,text,text)", "an invalid escape with a NULL text: which of both comes first"),
];

/// Array types that are tried beside the scalars.
const ARRAYS: &[TypeId] = &[
    TypeId::INT4_ARRAY,
    TypeId::TEXT_ARRAY,
    TypeId::NUMERIC_ARRAY,
    TypeId::FLOAT8_ARRAY,
    TypeId::DATE_ARRAY,
    TypeId::BOOL_ARRAY,
];

/// Two nodes with the same records.
pub struct Pair {
    theirs: Probe,
    ours: Probe,
    types: Vec<TypeId>,
    rng: StdRng,
    /// What differed.
    pub report: Report,
}

fn v(ty: TypeId) -> Expr {
    field("t", "v", ty)
}

fn field(source: &str, name: &str, ty: TypeId) -> Expr {
    Expr::Field(Field { source: source.to_owned(), name: name.to_owned(), ty: ty.into() })
}

fn id() -> Expr {
    field("t", "id", TypeId::INT4)
}

fn output(expr: Expr) -> OutputField {
    OutputField::Bound { expr, name: "x".to_owned() }
}

fn ascending(expr: Expr) -> SortKey {
    SortKey { expr, descending: false, nulls_first: false }
}

fn collection(ty: TypeId) -> String {
    format!("v{}", ty.0)
}

fn operator_call(found: &Operator, left: Expr, right: Expr) -> Call {
    Call {
        function: found.function,
        operator: Some(found.id),
        args: vec![left, right],
        variadic: false,
        ty: found.result.into(),
    }
}

fn aggregate(name: &str, args: Vec<Expr>, distinct: bool) -> Expr {
    let found = catalog::functions_named(name)
        .iter()
        .find(|found| found.kind == 'a' && found.args.len() == args.len())
        .expect("the aggregate exists");
    Expr::Aggregate(Box::new(Aggregate {
        function: found.id,
        args,
        distinct,
        order_by: Vec::new(),
        filter: None,
        ty: found.result.into(),
    }))
}

impl Pair {
    /// Fills both nodes.
    ///
    /// # Panics
    /// When a node does not take the records.
    pub async fn open(theirs: Arc<dyn Node>, ours: Arc<dyn Node>, effort: Effort) -> Self {
        let settings = [("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")];
        let settings: Vec<(String, String)> =
            settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let context =
            StatementContext { settings: Arc::new(settings), ..StatementContext::default() };
        let probe = |node| Probe {
            node,
            instance: "dbshard_pushdown_0".to_owned(),
            context: context.clone(),
        };
        let mut pair = Self {
            theirs: probe(theirs),
            ours: probe(ours),
            types: Vec::new(),
            rng: StdRng::seed_from_u64(effort.seed),
            report: Report::default(),
        };
        let shard_instance = pair.ours.instance.clone();
        pair.both(NodeQuery::Define(Definition::DropInstance {
            shard_instance: shard_instance.clone(),
        }))
        .await;
        pair.both(NodeQuery::Define(Definition::CreateInstance { shard_instance })).await;
        for ty in pool::SCALARS.iter().chain(ARRAYS) {
            if pair.ours.node.capability().stores((*ty).into()).is_ok() {
                pair.fill(*ty).await;
            }
        }
        pair
    }

    async fn both(&self, query: NodeQuery) {
        for probe in [&self.theirs, &self.ours] {
            probe.ask(query.clone()).await.expect("both nodes take it");
        }
    }

    async fn fill(&mut self, ty: TypeId) {
        let mut values: Vec<Value> = Vec::new();
        for attempt in 0..RECORDS * 3 {
            let text = if attempt < RECORDS {
                pool::any(ty, &mut self.rng)
            } else {
                pool::random(ty, &mut self.rng)
            };
            if let Ok(value) = io::text::input(&text, ty.into(), &Context::default())
                && values.len() < RECORDS - 2
            {
                values.push(value);
            }
        }
        if values.is_empty() {
            return;
        }
        values.extend([Value::Null, Value::Null]);
        let target = self.ours.target(&collection(ty));
        let fields = [("id", TypeId::INT4), ("v", ty)];
        self.both(NodeQuery::Define(Definition::CreateCollection(CollectionShape {
            target: target.clone(),
            label: collection(ty),
            fields: fields
                .iter()
                .map(|(name, ty)| FieldShape {
                    name: (*name).to_owned(),
                    ty: (*ty).into(),
                    enum_labels: None,
                    not_null: false,
                })
                .collect(),
            constraints: Vec::new(),
            indexes: Vec::new(),
        })))
        .await;
        let rows = values.into_iter().enumerate().map(|(place, value)| {
            let place = i32::try_from(place).expect("few records");
            vec![Expr::constant(Value::Int4(place), TypeId::INT4), Expr::constant(value, ty)]
        });
        self.both(NodeQuery::InsertMany(Insert {
            target,
            fields: fields
                .iter()
                .map(|(name, ty)| NamedType { name: (*name).to_owned(), ty: (*ty).into() })
                .collect(),
            records: Records::Values(rows.collect()),
            conflict: None,
            returning: Vec::new(),
            alias: "t".to_owned(),
            subqueries: Vec::new(),
        }))
        .await;
        self.types.push(ty);
    }

    fn source(&self, ty: TypeId, alias: &str) -> Source {
        Source::Collection {
            target: Target { ..self.ours.target(&collection(ty)) },
            alias: alias.to_owned(),
            fields: [("id", TypeId::INT4), ("v", ty)]
                .iter()
                .map(|(name, ty)| NamedType { name: (*name).to_owned(), ty: (*ty).into() })
                .collect(),
        }
    }

    fn select(&self, ty: TypeId, fields: Vec<Expr>) -> Select {
        Select {
            source: vec![self.source(ty, "t")],
            fields: fields.into_iter().map(output).collect(),
            ..Select::default()
        }
    }

    fn constant(&mut self, ty: TypeId) -> Expr {
        for _ in 0..20 {
            let text = pool::any(ty, &mut self.rng);
            if let Ok(value) = io::text::input(&text, ty.into(), &Context::default()) {
                return Expr::constant(value, ty);
            }
        }
        Expr::null(ty)
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        is_exact_tree(self.ours.node.capability(), expr)
    }

    async fn answer(probe: &Probe, select: &Select) -> Result<Vec<String>, Answer> {
        let query = NodeQuery::Filter(select.clone());
        let answer = probe.ask_with(query, Vec::new(), &[], Format::Text).await;
        answer
            .map(|(rows, _)| rows.iter().map(|row| show(row)).collect())
            .map_err(|error| Answer::Error { sqlstate: error.sqlstate, message: error.message })
    }

    /// Asks both and compares whole answers.
    async fn compare(&mut self, subject: &str, select: Select) -> bool {
        let theirs = Self::answer(&self.theirs, &select).await;
        let ours = Self::answer(&self.ours, &select).await;
        self.report.count(subject);
        let failed = theirs.is_err() || ours.is_err();
        if theirs != ours && !failed {
            let (Ok(theirs), Ok(ours)) = (&theirs, &ours) else { return true };
            let place = theirs.iter().zip(ours).position(|(theirs, ours)| theirs != ours);
            let at = place.unwrap_or(theirs.len().min(ours.len()));
            let line = |rows: &[String]| rows.get(at).cloned().unwrap_or_default();
            self.report.differ(
                subject,
                format!("row {at}\n      ours {}\n    theirs {}", line(ours), line(theirs)),
            );
        }
        failed
    }

    /// Asks record by record, where one fails.
    async fn compare_each(&mut self, subject: &str, select: Select) {
        if !self.compare(subject, select.clone()).await {
            return;
        }
        let equal = equality(TypeId::INT4);
        for place in 0..RECORDS {
            let place = i32::try_from(place).expect("few records");
            let mut one = select.clone();
            let wanted = Expr::constant(Value::Int4(place), TypeId::INT4);
            one.filter = Some(Condition::Expr(Expr::Call(operator_call(equal, id(), wanted))));
            let to_answer = |answer: Result<Vec<String>, Answer>| match answer {
                Ok(rows) => Answer::Value(rows.join("\n")),
                Err(error) => error,
            };
            let theirs = to_answer(Self::answer(&self.theirs, &one).await);
            let ours = to_answer(Self::answer(&self.ours, &one).await);
            if ours != theirs {
                one.fields = vec![output(v(TypeId::TEXT))];
                let shown = select.fields.iter().map(|field| format!("{field:?}"));
                let case = shown.collect::<Vec<_>>().join(", ");
                let case: String = case.chars().take(600).collect();
                self.report.compare(subject, &format!("id {place}: {case}"), &ours, &theirs);
            }
        }
    }

    /// Compares what every type does: sorting, grouping, comparing, set operations.
    pub async fn compare_types(&mut self) {
        for ty in self.types.clone() {
            let name = catalog::format_type(ty, -1);
            self.compare(&format!("read {name}"), {
                let mut select = self.select(ty, vec![id(), v(ty)]);
                select.sort = vec![ascending(id())];
                select
            })
            .await;
            if self.ours.node.capability().sorts_exactly(ty) {
                self.compare_order(ty, &name).await;
            }
        }
        for found in catalog::operators() {
            if ["=", "<>", "<", "<=", ">", ">="].contains(&found.name)
                && self.types.contains(&found.left)
                && (self.types.contains(&found.right))
            {
                self.compare_operator(found, found.left, found.right).await;
            }
        }
        for ty in self.types.clone().into_iter().filter(|ty| ARRAYS.contains(ty)) {
            for found in catalog::operators()
                .iter()
                .filter(|found| found.left == TypeId::ANYARRAY && found.right == TypeId::ANYARRAY)
            {
                self.compare_operator(found, ty, ty).await;
            }
        }
    }

    async fn compare_order(&mut self, ty: TypeId, name: &str) {
        for (descending, nulls_first) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let mut select = self.select(ty, vec![id(), v(ty)]);
            let key = SortKey { expr: v(ty), descending, nulls_first };
            select.sort = vec![key, ascending(id())];
            self.compare(&format!("sort {name}"), select).await;
        }
        let first = aggregate_of("min", TypeId::INT4, id());
        let mut select =
            self.select(ty, vec![aggregate("count", Vec::new(), false), first.clone()]);
        select.group = Some(vec![v(ty)]);
        select.sort = vec![ascending(first)];
        self.compare(&format!("group {name}"), select).await;
        let mut select = self.select(ty, vec![aggregate("count", vec![v(ty)], true)]);
        select.group = Some(Vec::new());
        self.compare(&format!("distinct {name}"), select).await;

        let less = operator_named("<", TypeId::INT4);
        for kind in [SetOperationKind::Union, SetOperationKind::Intersect, SetOperationKind::Except]
        {
            for all in [false, true] {
                let part = |from: i32, to: i32| {
                    let bound = |n| Expr::constant(Value::Int4(n), TypeId::INT4);
                    let call = |left, right| Expr::Call(operator_call(less, left, right));
                    let mut part = self.select(ty, vec![v(ty)]);
                    part.filter = Some(Condition::All(vec![
                        Condition::Expr(call(bound(from), id())),
                        Condition::Expr(call(id(), bound(to))),
                    ]));
                    part
                };
                let mut set = part(-1, 20);
                set.union = vec![SetOperation { kind, all, query: Box::new(part(8, 99)) }];
                let select = Select {
                    source: vec![Source::Query {
                        query: Box::new(set),
                        alias: "s".to_owned(),
                        columns: vec![NamedType { name: "v".to_owned(), ty: ty.into() }],
                        lateral: false,
                    }],
                    fields: vec![
                        output(aggregate("count", Vec::new(), false)),
                        output(aggregate("count", vec![field("s", "v", ty)], false)),
                    ],
                    group: Some(Vec::new()),
                    ..Select::default()
                };
                self.compare(&format!("{kind:?} {all} {name}"), select).await;
            }
        }
    }

    async fn compare_operator(&mut self, found: &Operator, left: TypeId, right: TypeId) {
        let subject = format!(
            "{} {} {}",
            catalog::format_type(left, -1),
            found.name,
            catalog::format_type(right, -1)
        );
        let joined = operator_call(found, field("a", "v", left), field("b", "v", right));
        if !self.is_exact(&Expr::Call(joined.clone())) {
            return;
        }
        // Each with each.
        let select = Select {
            source: vec![self.source(left, "a"), self.source(right, "b")],
            filter: Some(Condition::Expr(Expr::Call(joined.clone()))),
            fields: vec![
                output(field("a", "id", TypeId::INT4)),
                output(field("b", "id", TypeId::INT4)),
            ],
            sort: vec![
                ascending(field("a", "id", TypeId::INT4)),
                ascending(field("b", "id", TypeId::INT4)),
            ],
            ..Select::default()
        };
        self.compare(&subject, select.clone()).await;
        if found.name == "=" {
            for negated in [false, true] {
                let mut select = select.clone();
                let test = Expr::Distinct { call: Box::new(joined.clone()), negated };
                if self.is_exact(&test) {
                    select.filter = Some(Condition::Expr(test));
                    self.compare(&format!("{subject} (IS DISTINCT)"), select).await;
                }
            }
        }
        // With constants, and lists of them.
        let constants: Vec<Expr> = (0..4).map(|_| self.constant(right)).collect();
        let mut fields = vec![id()];
        for constant in &constants {
            fields.push(Expr::Call(operator_call(found, v(left), constant.clone())));
        }
        if ["=", "<>"].contains(&found.name)
            && let Some(array) = catalog::type_by_id(right).map(|found| found.array)
            && array.0 != 0
        {
            let mut elements = constants;
            elements.push(v(right));
            for count in [0, 2, 4] {
                let test = |elements: &[Expr], all| Expr::ArrayOp {
                    function: found.function,
                    operator: found.id,
                    all,
                    left: Box::new(v(left)),
                    array: Box::new(Expr::Array { elements: elements.to_vec(), ty: array }),
                };
                fields.push(test(&elements[..count], false));
                fields.push(test(&elements[..count], true));
            }
        }
        fields.retain(|expr| self.is_exact(expr));
        let mut select = self.select(left, fields);
        select.sort = vec![ascending(id())];
        self.compare_each(&subject, select).await;
    }

    /// Compares every function that is claimed; `only` restricts it to sources that contain the text.
    pub async fn compare_functions(&mut self, effort: Effort, only: Option<&str>) {
        for found in catalog::functions() {
            if found.kind != 'f'
                || found.returns_set
                || found.volatility == 'v'
                || found.args.is_empty()
                || found.variadic != TypeId(0)
                || exceptions::skipped(found.source).is_some()
                || KNOWN.iter().any(|(source, _)| *source == found.source)
                || only.is_some_and(|only| !found.source.contains(only))
                || !found.args.iter().all(|ty| self.types.contains(ty))
            {
                continue;
            }
            for round in 0..effort.cases.div_ceil(20) {
                if !self.compare_function(found, round).await {
                    break;
                }
            }
        }
    }

    async fn compare_function(&mut self, found: &Function, round: usize) -> bool {
        let field_at = round % found.args.len();
        let mut args = Vec::new();
        for (place, ty) in found.args.iter().enumerate() {
            let suggested = exceptions::suggested(found.source, place, *ty);
            args.push(match suggested.and_then(|texts| texts.choose(&mut self.rng)) {
                Some(text) => match io::text::input(text, (*ty).into(), &Context::default()) {
                    Ok(value) => Expr::constant(value, *ty),
                    Err(_) => return false,
                },
                None if place == field_at => v(*ty),
                None => self.constant(*ty),
            });
        }
        let call = Expr::Call(Call {
            function: found.id,
            operator: None,
            args,
            variadic: false,
            ty: TypeRef::plain(found.result),
        });
        if !self.is_exact(&call) {
            return false;
        }
        let types: Vec<String> =
            found.args.iter().map(|ty| catalog::format_type(*ty, -1)).collect();
        let subject = format!("{}({})", found.source, types.join(","));
        let mut select = self.select(found.args[field_at], vec![id(), call]);
        select.sort = vec![ascending(id())];
        self.compare_each(&subject, select).await;
        true
    }

    /// Compares every aggregate that is claimed.
    pub async fn compare_aggregates(&mut self, only: Option<&str>) {
        for found in catalog::functions().iter().filter(|found| found.kind == 'a') {
            if only.is_some_and(|only| !found.name.contains(only)) || found.args.is_empty() {
                continue;
            }
            for first in self.types.clone() {
                let mut args = vec![v(first)];
                if !(found.args[0] == first || self.polymorphic(found.args[0], first)) {
                    continue;
                }
                let mut fits = true;
                for ty in &found.args[1..] {
                    fits &= self.types.contains(ty);
                    if fits {
                        args.push(self.constant(*ty));
                    }
                }
                if fits {
                    self.compare_aggregate(found, args).await;
                }
            }
        }
    }

    fn polymorphic(&self, declared: TypeId, actual: TypeId) -> bool {
        match declared {
            TypeId::ANY | TypeId::ANYELEMENT => true,
            TypeId::ANYNONARRAY => !ARRAYS.contains(&actual),
            TypeId::ANYARRAY => ARRAYS.contains(&actual),
            _ => false,
        }
    }

    async fn compare_aggregate(&mut self, found: &Function, args: Vec<Expr>) {
        let first = args[0].type_id();
        let result = match found.result {
            TypeId::ANYELEMENT | TypeId::ANYNONARRAY => first,
            TypeId::ANYARRAY if ARRAYS.contains(&first) => first,
            TypeId::ANYARRAY => match catalog::type_by_id(first) {
                Some(found) => found.array,
                None => return,
            },
            other => other,
        };
        let make = |distinct: bool, filtered: bool, ordered: bool| {
            Expr::Aggregate(Box::new(Aggregate {
                function: found.id,
                args: args.clone(),
                distinct,
                order_by: if ordered {
                    vec![SortKey { descending: filtered, ..ascending(id()) }]
                } else {
                    Vec::new()
                },
                filter: filtered.then(|| {
                    let bound = Expr::constant(Value::Int4(9), TypeId::INT4);
                    Expr::Call(operator_call(operator_named("<", TypeId::INT4), id(), bound))
                }),
                ty: result.into(),
            }))
        };
        let subject = format!("{}({})", found.name, catalog::format_type(first, -1));
        for (distinct, filtered, ordered) in
            [(false, false, true), (false, true, true), (true, false, false), (true, true, false)]
        {
            let call = make(distinct, filtered, ordered);
            // Which of several equal values stands for them is open.
            if distinct
                && !matches!(
                    first,
                    TypeId::INT4 | TypeId::INT8 | TypeId::TEXT | TypeId::BOOL | TypeId::DATE
                )
            {
                continue;
            }
            if !self.is_exact(&call) {
                continue;
            }
            let mut select = self.select(first, vec![call.clone()]);
            select.group = Some(Vec::new());
            self.whole(&subject, select.clone()).await;
            let none = Expr::constant(Value::Bool(false), TypeId::BOOL);
            select.filter = Some(Condition::Expr(none));
            self.whole(&format!("{subject} of nothing"), select.clone()).await;
            // In two groups.
            select.filter = None;
            let key = Expr::Call(operator_call(
                operator_named("<", TypeId::INT4),
                id(),
                Expr::constant(Value::Int4(self.rng.random_range(1..30)), TypeId::INT4),
            ));
            select.group = Some(vec![key.clone()]);
            select.sort = vec![ascending(key)];
            self.whole(&format!("{subject} in groups"), select).await;
        }
    }

    /// Compares answers, failures included.
    async fn whole(&mut self, subject: &str, select: Select) {
        let to_answer = |answer: Result<Vec<String>, Answer>| match answer {
            Ok(rows) => Answer::Value(rows.join("\n")),
            Err(error) => error,
        };
        let theirs = to_answer(Self::answer(&self.theirs, &select).await);
        let ours = to_answer(Self::answer(&self.ours, &select).await);
        self.report.compare(subject, subject, &ours, &theirs);
    }
}

fn aggregate_of(name: &str, ty: TypeId, arg: Expr) -> Expr {
    let found = catalog::functions_named(name)
        .iter()
        .find(|found| found.kind == 'a' && found.args == [ty])
        .expect("the aggregate exists");
    Expr::Aggregate(Box::new(Aggregate {
        function: found.id,
        args: vec![arg],
        distinct: false,
        order_by: Vec::new(),
        filter: None,
        ty: found.result.into(),
    }))
}

fn operator_named(name: &str, ty: TypeId) -> &'static Operator {
    catalog::operators_named(name)
        .iter()
        .find(|found| found.left == ty && found.right == ty)
        .expect("the operator exists")
}

fn equality(ty: TypeId) -> &'static Operator {
    operator_named("=", ty)
}

fn show(row: &[Option<Bytes>]) -> String {
    let text = |value: &Option<Bytes>| match value {
        None => "NULL".to_owned(),
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    };
    row.iter().map(text).collect::<Vec<_>>().join(" | ")
}
