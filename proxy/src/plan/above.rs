//! A query carried out by the proxy over scans of the shards.

use std::collections::BTreeMap;

use dataman_metadata::schema::Placement;
use dataman_node_protocol::query::{
    Condition, Distinct, JoinKind, NamedType, OutputField, Select, SetOperation, SetOperationKind,
    Source,
};
use dataman_pg::expr::{Aggregate, Call, Field, SortKey};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, Value, catalog, eval};

use super::Planner;
use super::apply::{equality, has_applied, has_subquery};
use super::distribution::{conjuncts, filter_conjuncts};
use super::form::{alias_of, each_own_source, for_each_expr, for_each_select, replace, walk};
use super::operator::{ApplyKind, Operator, ShardRule, VirtualScan};
use super::select::{First, Result, output_exprs};
use super::split::{
    aggregates_of, check_accumulated, check_decodable, grouped_tail, grouping_sets, named,
};

/// What comes after the rows of a query are there, over their columns.
pub(super) struct Tail {
    pub(super) having: Option<Expr>,
    pub(super) fields: Vec<Expr>,
    pub(super) distinct: TailDistinct,
    /// Over the rows in, or `Expr::Column` over the fields for set operations.
    pub(super) sort: Vec<SortKey>,
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
    pub(super) with_ties: bool,
}

/// DISTINCT of a tail.
pub(super) enum TailDistinct {
    All,
    Rows,
    On(Vec<Expr>),
}

/// Where the columns of rows come from: source and field by place.
#[derive(Default)]
struct Columns {
    places: BTreeMap<(String, String), usize>,
    width: usize,
}

impl Columns {
    fn add(&mut self, alias: &str, columns: &[NamedType]) {
        for column in columns {
            self.places.insert((alias.to_owned(), column.name.clone()), self.width);
            self.width += 1;
        }
    }

    fn append(&mut self, other: Columns) {
        for (name, place) in other.places {
            self.places.insert(name, self.width + place);
        }
        self.width += other.width;
    }

    fn has(&self, field: &Field) -> bool {
        self.places.contains_key(&(field.source.clone(), field.name.clone()))
    }

    /// An expression over the columns.
    fn bind(&self, expr: &Expr) -> Result<Expr> {
        let mut missing = None;
        let bound = replace(expr, &mut |node| match node {
            Expr::Field(field) => {
                match self.places.get(&(field.source.clone(), field.name.clone())) {
                    Some(index) => Some(Expr::Column { index: *index, ty: field.ty }),
                    None => {
                        missing = Some(field.clone());
                        None
                    }
                }
            }
            _ => None,
        });
        if missing.is_some() {
            return Err(PgError::unsupported(
                "an expression that looks at rows of other sources is not supported here yet",
            )
            .with_hint("Write it as a join."));
        }
        eval::check_computed_around(&bound)
            .or_else(|error| if is_relational(&bound) { Ok(()) } else { Err(error) })?;
        Ok(bound)
    }
}

fn is_relational(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| {
        found |= matches!(node, Expr::Aggregate(_) | Expr::Window(_) | Expr::Grouping(_))
    });
    found
}

impl Planner<'_> {
    /// Plans a select above the shards.
    ///
    /// # Errors
    /// `0A000` for what the proxy does not compute.
    pub(super) fn above(&mut self, mut select: Select) -> Result<Operator> {
        if !select.with.is_empty() {
            return self.with_common_tables(select);
        }
        if !select.subqueries.is_empty() {
            self.run_subqueries_first(&mut select, First::All)?;
            self.apply_subqueries(&mut select)?;
        }
        if select.lock.is_some() {
            return Err(PgError::unsupported(
                "FOR UPDATE and its like is only supported on one shard",
            )
            .with_hint("Fix the shard key to one value."));
        }
        if !select.union.is_empty() {
            return self.set_operations(select);
        }
        let mut conditions = Vec::new();
        filter_conjuncts(select.filter.as_ref(), &mut conditions);
        let conditions: Vec<Expr> = conditions.into_iter().cloned().collect();
        if let Some(operator) = self.grouped_lookup(&select, &conditions)? {
            return Ok(operator);
        }
        let (mut input, columns, mut left) = self.sources(&select, conditions)?;
        // What reads the rows around comes after what does not, and subqueries, which cost most, come last.
        let plain = take(&mut left, |condition| self.is_own(condition));
        let outer = take(&mut left, |condition| !has_subquery(condition));
        let outer = (!outer.is_empty()).then(|| all_of(outer));
        for condition in plain.into_iter().chain(outer).chain(left) {
            let predicate = columns.bind(&condition)?;
            input = Operator::Filter { input: Box::new(input), predicate };
        }
        let Some(group) = select.group.clone() else {
            return self.rows(input, &columns, &select);
        };
        let aggregates = aggregates_of(&select);
        let mut keys = group.iter().map(|key| columns.bind(key)).collect::<Result<Vec<_>>>()?;
        let mut calls: Vec<Aggregate> = Vec::new();
        for call in &aggregates {
            let mut moved: Aggregate = call.clone();
            for arg in &mut moved.args {
                *arg = columns.bind(arg)?;
            }
            if let Some(filter) = &mut moved.filter {
                *filter = columns.bind(filter)?;
            }
            for key in &mut moved.order_by {
                key.expr = columns.bind(&key.expr)?;
            }
            check_accumulated(&moved)?;
            if let Some(filter) =
                moved.filter.as_ref().filter(|_| moved.args.iter().any(has_applied))
            {
                // Below the aggregate its arguments are still computed for the rows of its filter only.
                for arg in &mut moved.args {
                    *arg = Expr::Case {
                        ty: arg.type_ref(),
                        otherwise: Box::new(Expr::null(arg.type_ref())),
                        branches: vec![(filter.clone(), arg.clone())],
                    };
                }
            }
            calls.push(moved);
        }
        let mut inner: Vec<&mut Expr> = keys.iter_mut().collect();
        for call in &mut calls {
            inner.extend(&mut call.args);
            inner.extend(&mut call.filter);
            inner.extend(call.order_by.iter_mut().map(|key| &mut key.expr));
        }
        let input = computed_below(input, inner);
        let sets = grouping_sets(&select, &group);
        let grouped = Operator::Group { input: Box::new(input), keys, aggregates: calls, sets };
        grouped_tail(grouped, &select, &group, &aggregates)
    }

    fn rows(&mut self, input: Operator, columns: &Columns, select: &Select) -> Result<Operator> {
        let bind = |expr: &Expr| columns.bind(expr);
        let distinct = match &select.distinct {
            Distinct::All => TailDistinct::All,
            Distinct::Distinct => TailDistinct::Rows,
            Distinct::On(on) => TailDistinct::On(on.iter().map(bind).collect::<Result<_>>()?),
        };
        tail(
            input,
            Tail {
                having: None,
                fields: output_exprs(select).iter().map(bind).collect::<Result<_>>()?,
                distinct,
                sort: select
                    .sort
                    .iter()
                    .map(|key| Ok(SortKey { expr: bind(&key.expr)?, ..key.clone() }))
                    .collect::<Result<_>>()?,
                limit: select.limit.clone(),
                offset: select.offset.clone(),
                with_ties: select.with_ties,
            },
        )
    }

    /// FROM: each source by itself, joined above. Returns the conditions that are still to be applied.
    fn sources(
        &mut self,
        select: &Select,
        conditions: Vec<Expr>,
    ) -> Result<(Operator, Columns, Vec<Expr>)> {
        let mut open = conditions;
        let mut joined: Option<(Operator, Columns)> = None;
        for source in &select.source {
            if let Some(left) = joined.take_if(|(_, columns)| reads_left(source, columns)) {
                joined = Some(self.lateral(left, source, select, &[], Unmatched::Dropped)?);
                continue;
            }
            let (right, right_columns) = self.source(source, select, &mut open)?;
            joined = Some(match joined {
                None => (right, right_columns),
                Some((left, left_columns)) => {
                    let mut both = Columns::default();
                    both.append(left_columns);
                    let left_width = both.width;
                    both.append(right_columns);
                    let on: Vec<Expr> = take(&mut open, |condition| {
                        covered(condition, &both) && self.is_own(condition)
                    });
                    (join(left, right, JoinKind::Inner, &on, &both, left_width)?, both)
                }
            });
        }
        let (operator, columns) = joined.unwrap_or_else(|| {
            (Operator::Rows { rows: vec![Vec::new()], columns: Vec::new() }, Columns::default())
        });
        Ok((operator, columns, open))
    }

    /// One source; takes the conditions it can apply itself out of `open`.
    fn source(
        &mut self,
        source: &Source,
        select: &Select,
        open: &mut Vec<Expr>,
    ) -> Result<(Operator, Columns)> {
        let mut columns = Columns::default();
        match source {
            Source::Collection { alias, fields, .. } => {
                columns.add(alias, fields);
                // Only the fields that the query reads come up.
                let used: Vec<NamedType> = fields
                    .iter()
                    .filter(|field| reads(select, alias, &field.name))
                    .cloned()
                    .collect();
                let used =
                    if used.is_empty() { fields.iter().take(1).cloned().collect() } else { used };
                let datastore = self
                    .tables
                    .get(alias)
                    .map(|table| table.collection.datastore.clone())
                    .ok_or_else(|| PgError::internal("a source is not known"))?;
                let pushed = take(open, |condition| {
                    self.is_own(condition)
                        && covered(condition, &columns)
                        && self.exact(condition, &datastore)
                });
                let mut columns = Columns::default();
                columns.add(alias, &used);
                for column in &used {
                    check_decodable(column.ty)?;
                }
                let node = Select {
                    source: vec![source.clone()],
                    filter: (!pushed.is_empty()).then(|| Condition::Expr(all_of(pushed))),
                    fields: used
                        .iter()
                        .map(|column| OutputField::Bound {
                            expr: Expr::Field(Field {
                                source: alias.clone(),
                                name: column.name.clone(),
                                ty: column.ty,
                            }),
                            name: column.name.clone(),
                        })
                        .collect(),
                    ..Select::default()
                };
                let rule = match self.tables.get(alias).map(|table| &table.collection.placement) {
                    Some(Placement::Reference) => ShardRule::Any,
                    Some(Placement::Single { shard }) => ShardRule::One(*shard),
                    _ => self.prune(&node),
                };
                Ok((Operator::Scan(self.scan(node, rule, &datastore, None)), columns))
            }
            Source::Query { query, alias, columns: names, .. } => {
                columns.add(alias, names);
                for column in names {
                    check_decodable(column.ty)?;
                }
                Ok((self.select(query.as_ref().clone(), None)?, columns))
            }
            Source::Values { rows, alias, columns: names } => {
                columns.add(alias, names);
                let empty = Columns::default();
                let rows = rows
                    .iter()
                    .map(|row| row.iter().map(|expr| empty.bind(expr)).collect::<Result<Vec<_>>>())
                    .collect::<Result<_>>()?;
                Ok((
                    Operator::Rows { rows, columns: names.iter().map(|name| name.ty).collect() },
                    columns,
                ))
            }
            Source::Virtual { schema, name, alias, columns: names } => {
                Ok(self.virtual_scan((schema, name), alias, names, select, open))
            }
            Source::Function { .. } => {
                let nothing = Operator::Rows { rows: vec![Vec::new()], columns: Vec::new() };
                expand((nothing, columns), source, Unmatched::Dropped)
            }
            Source::CommonTable { name, alias, columns: names } => {
                columns.add(alias, names);
                Ok((self.common_table(name)?, columns))
            }
            Source::Join { left, right, kind, on } => {
                let mut own = Vec::new();
                if let Some(on) = on {
                    conjuncts(on, &mut own);
                }
                let mut own: Vec<Expr> = own.into_iter().cloned().collect();
                // Conditions of an inner join and of WHERE may be applied early; those of an outer join only where they
                // cannot drop a row that the join keeps.
                let mut none = Vec::new();
                let (left_operator, left_columns) = match kind {
                    JoinKind::Inner => {
                        let mut both: Vec<Expr> =
                            own.iter().cloned().chain(open.drain(..)).collect();
                        let result = self.source(left, select, &mut both)?;
                        own = both;
                        result
                    }
                    JoinKind::Left => self.source(left, select, open)?,
                    JoinKind::Right => self.source(left, select, &mut own)?,
                    JoinKind::Full => self.source(left, select, &mut none)?,
                };
                if reads_left(right, &left_columns) {
                    let left = (left_operator, left_columns);
                    if *kind == JoinKind::Inner {
                        open.append(&mut own);
                        return self.lateral(left, right, select, &[], Unmatched::Dropped);
                    }
                    return self.lateral(left, right, select, &own, Unmatched::Kept);
                }
                let (right_operator, right_columns) = match kind {
                    JoinKind::Inner | JoinKind::Left => self.source(right, select, &mut own)?,
                    JoinKind::Right => self.source(right, select, open)?,
                    JoinKind::Full => self.source(right, select, &mut none)?,
                };
                columns.append(left_columns);
                let left_width = columns.width;
                columns.append(right_columns);
                let on = take(&mut own, |condition| {
                    covered(condition, &columns)
                        && (*kind != JoinKind::Inner || self.is_own(condition))
                });
                if *kind == JoinKind::Inner {
                    open.append(&mut own);
                } else if !own.is_empty() {
                    return Err(PgError::unsupported(
                        "a join condition that looks at other rows is not supported yet",
                    ));
                }
                Ok((
                    join(left_operator, right_operator, *kind, &on, &columns, left_width)?,
                    columns,
                ))
            }
        }
    }

    /// Whether a condition reads nothing but fields: neither the rows around nor a subquery.
    fn is_own(&self, condition: &Expr) -> bool {
        !self.reads_outer(condition) && !has_subquery(condition)
    }

    /// A source that reads columns to its left: each row of `left` with the rows that the source has for it.
    fn lateral(
        &mut self,
        left: (Operator, Columns),
        source: &Source,
        select: &Select,
        on: &[Expr],
        unmatched: Unmatched,
    ) -> Result<(Operator, Columns)> {
        if matches!(source, Source::Function { .. }) && on.iter().all(is_true) {
            return expand(left, source, unmatched);
        }
        let (input, mut columns) = left;
        let mut fields = Vec::new();
        let mut names: Vec<(String, Vec<NamedType>)> = Vec::new();
        each_own_source(source, &mut |source| {
            if let (Some(alias), Some(given)) = (alias_of(source), columns_of(source)) {
                let used: Vec<NamedType> =
                    given.iter().filter(|name| reads(select, alias, &name.name)).cloned().collect();
                fields.extend(used.iter().map(|column| {
                    Expr::Field(Field {
                        source: alias.to_owned(),
                        name: column.name.clone(),
                        ty: column.ty,
                    })
                }));
                names.push((alias.to_owned(), used));
            }
        });
        for field in &fields {
            check_decodable(field.type_ref())?;
        }
        if fields.is_empty() {
            fields.push(Expr::constant(Value::Bool(true), dataman_pg::TypeId::BOOL));
            names.push((String::new(), Vec::new()));
        }
        let types: Vec<TypeRef> = fields.iter().map(Expr::type_ref).collect();
        let inner =
            Select { source: vec![source.clone()], fields: named(&fields), ..Select::default() };
        let (place, read) = self.apply(inner, ApplyKind::Rows, &[])?;
        let outer = read.iter().map(|expr| columns.bind(expr)).collect::<Result<Vec<_>>>()?;
        let width = columns.width;
        for (alias, used) in &names {
            columns.add(alias, used);
        }
        columns.width = width + types.len();
        let on = on.iter().map(|condition| columns.bind(condition)).collect::<Result<Vec<_>>>()?;
        let operator = Operator::Apply {
            input: Box::new(input),
            place,
            outer,
            columns: types,
            on: (!on.is_empty()).then(|| all_of(on)),
            keeps: unmatched == Unmatched::Kept,
        };
        Ok((operator, columns))
    }

    /// A table that the proxy makes itself: the columns that the query reads, and one condition by which rows are looked up.
    /// All conditions stay open.
    fn virtual_scan(
        &self,
        (schema, name): (&str, &str),
        alias: &str,
        names: &[NamedType],
        select: &Select,
        open: &[Expr],
    ) -> (Operator, Columns) {
        let places: Vec<usize> =
            (0..names.len()).filter(|place| reads(select, alias, &names[*place].name)).collect();
        let used: Vec<NamedType> = places.iter().map(|place| names[*place].clone()).collect();
        let mut columns = Columns::default();
        columns.add(alias, &used);
        let key = open.iter().find_map(|condition| {
            let (field, value) = equal_to_fixed(condition)?;
            if field.source != alias || field.ty.id != value.type_id() {
                return None;
            }
            let place = names.iter().position(|name| name.name == field.name)?;
            Some((place, value.clone()))
        });
        let scan = VirtualScan {
            schema: schema.to_owned(),
            name: name.to_owned(),
            places,
            types: used.iter().map(|column| column.ty).collect(),
            key,
        };
        (Operator::Virtual(scan), columns)
    }

    /// UNION, INTERSECT and EXCEPT, left to right.
    fn set_operations(&mut self, mut select: Select) -> Result<Operator> {
        let operations: Vec<SetOperation> = std::mem::take(&mut select.union);
        let sort = std::mem::take(&mut select.sort);
        let (limit, offset) = (select.limit.take(), select.offset.take());
        let with_ties = std::mem::take(&mut select.with_ties);
        let mut left = self.select(select, None)?;
        for operation in operations {
            let right = self.select(*operation.query, None)?;
            for column in left.columns() {
                check_decodable(column)?;
            }
            left = if operation.kind == SetOperationKind::Union && operation.all {
                match left {
                    Operator::Append(mut inputs) => {
                        inputs.push(right);
                        Operator::Append(inputs)
                    }
                    other => Operator::Append(vec![other, right]),
                }
            } else {
                Operator::SetOperation {
                    kind: operation.kind,
                    all: operation.all,
                    left: Box::new(left),
                    right: Box::new(right),
                }
            };
        }
        let fields = left
            .columns()
            .into_iter()
            .enumerate()
            .map(|(index, ty)| Expr::Column { index, ty })
            .collect();
        tail(
            left,
            Tail {
                having: None,
                fields,
                distinct: TailDistinct::All,
                sort,
                limit,
                offset,
                with_ties,
            },
        )
    }
}

/// HAVING, the fields, DISTINCT, ORDER BY and LIMIT over the rows of an operator.
///
/// # Errors
/// `0A000` for what the proxy does not compute.
pub(super) fn tail(input: Operator, tail: Tail) -> Result<Operator> {
    let Tail { having, fields, distinct, sort, limit, offset, with_ties } = tail;
    let mut operator = input;
    if let Some(having) = having {
        eval::check_computed_around(&having)?;
        operator = Operator::Filter { input: Box::new(operator), predicate: having };
    }
    let visible = fields.len();
    let mut exprs = fields;
    let mut column_of = |expr: &Expr| -> usize {
        exprs.iter().position(|known| known == expr).unwrap_or_else(|| {
            exprs.push(expr.clone());
            exprs.len() - 1
        })
    };
    let keys: Vec<SortKey> = sort
        .iter()
        .map(|key| SortKey {
            expr: Expr::Column { index: column_of(&key.expr), ty: key.expr.type_ref() },
            ..key.clone()
        })
        .collect();
    let on: Option<Vec<usize>> = match &distinct {
        TailDistinct::On(on) => Some(on.iter().map(&mut column_of).collect()),
        _ => None,
    };
    let operator = super::window::compute(operator, &mut exprs)?;
    for expr in &exprs {
        eval::check_computed_around(expr)?;
    }
    let mut operator = operator;
    let identity = exprs
        .iter()
        .enumerate()
        .all(|(place, expr)| matches!(expr, Expr::Column { index, .. } if *index == place))
        && operator.columns().len() == exprs.len();
    let total = exprs.len();
    let types: Vec<_> = exprs.iter().map(Expr::type_ref).collect();
    if !identity {
        operator = Operator::Project { input: Box::new(operator), exprs };
    }
    if matches!(distinct, TailDistinct::Rows) {
        operator = Operator::Distinct { input: Box::new(operator), keys: (0..visible).collect() };
    }
    let ties = with_ties.then(|| {
        keys.iter()
            .filter_map(|key| match key.expr {
                Expr::Column { index, .. } => Some(index),
                _ => None,
            })
            .collect()
    });
    if !keys.is_empty() {
        operator = Operator::Sort { input: Box::new(operator), keys };
    }
    if let Some(keys) = on {
        operator = Operator::Distinct { input: Box::new(operator), keys };
    }
    if limit.is_some() || offset.is_some() {
        for expr in limit.iter().chain(&offset) {
            eval::check_computed_around(expr)?;
        }
        operator = Operator::Limit { input: Box::new(operator), limit, offset, ties };
    }
    if total > visible {
        let exprs = types[..visible]
            .iter()
            .enumerate()
            .map(|(index, ty)| Expr::Column { index, ty: *ty })
            .collect();
        operator = Operator::Project { input: Box::new(operator), exprs };
    }
    Ok(operator)
}

/// A field, and what reads no row that it must be equal to.
fn equal_to_fixed(condition: &Expr) -> Option<(&Field, &Expr)> {
    let Expr::Call(call) = condition else { return None };
    if catalog::operator(call.operator?)?.name != "=" {
        return None;
    }
    let is_fixed = |expr: &Expr| matches!(expr, Expr::Const(_) | Expr::Param { .. });
    match call.args.as_slice() {
        [Expr::Field(field), value] if is_fixed(value) => Some((field, value)),
        [value, Expr::Field(field)] if is_fixed(value) => Some((field, value)),
        _ => None,
    }
}

/// What becomes of a row for which a function gives no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unmatched {
    Dropped,
    Kept,
}

/// Whether a source, or a query inside it, reads columns to its left.
fn reads_left(source: &Source, left: &Columns) -> bool {
    let mut reads = false;
    let alone = Select { source: vec![source.clone()], ..Select::default() };
    for_each_select(&alone, &mut |inner| {
        for_each_expr(inner, &mut |expr| {
            walk(expr, &mut |node| reads |= matches!(node, Expr::Field(field) if left.has(field)));
        });
    });
    reads
}

/// The columns that a source has; a join has none of its own.
fn columns_of(source: &Source) -> Option<&[NamedType]> {
    match source {
        Source::Collection { fields, .. } => Some(fields),
        Source::Query { columns, .. }
        | Source::CommonTable { columns, .. }
        | Source::Values { columns, .. }
        | Source::Function { columns, .. }
        | Source::Virtual { columns, .. } => Some(columns),
        Source::Join { .. } => None,
    }
}

/// Computes what has subqueries among some expressions as further columns, to which the expressions then refer.
fn computed_below(input: Operator, exprs: Vec<&mut Expr>) -> Operator {
    let types = input.columns();
    let mut columns: Vec<Expr> =
        types.iter().enumerate().map(|(index, ty)| Expr::Column { index, ty: *ty }).collect();
    for expr in exprs.into_iter().filter(|expr| has_applied(expr)) {
        let ty = expr.type_ref();
        let index = columns.iter().position(|known| known == expr).unwrap_or_else(|| {
            columns.push(expr.clone());
            columns.len() - 1
        });
        *expr = Expr::Column { index, ty };
    }
    if columns.len() == types.len() {
        return input;
    }
    Operator::Project { input: Box::new(input), exprs: columns }
}

fn is_true(condition: &Expr) -> bool {
    matches!(condition, Expr::Const(constant) if constant.value == Value::Bool(true))
}

/// Each row of `left` with the rows that a function gives for it.
fn expand(
    (mut input, mut columns): (Operator, Columns),
    source: &Source,
    unmatched: Unmatched,
) -> Result<(Operator, Columns)> {
    let Source::Function { call: Expr::Call(call), alias, columns: names, ordinality } = source
    else {
        return Err(PgError::unsupported("an expression that is no call in FROM is not supported"));
    };
    if !dataman_pg::set::is_computed(call.function) {
        let name = catalog::function(call.function).map_or("?", |function| function.name);
        return Err(PgError::unsupported(format!(
            "the function {name} in FROM is not supported here yet"
        )));
    }
    let mut args = call.args.iter().map(|arg| columns.bind(arg)).collect::<Result<Vec<_>>>()?;
    input = computed_below(input, args.iter_mut().collect());
    columns.width = input.columns().len();
    columns.add(alias, names);
    let given = names.len() - usize::from(*ordinality);
    let operator = Operator::Expand {
        input: Box::new(input),
        call: Call { args, ..call.clone() },
        columns: names[..given].iter().map(|name| name.ty).collect(),
        ordinality: *ordinality,
        keeps: unmatched == Unmatched::Kept,
    };
    Ok((operator, columns))
}

/// A join above the shards; equal pairs of its condition are looked up by hash.
fn join(
    left: Operator,
    right: Operator,
    kind: JoinKind,
    on: &[Expr],
    columns: &Columns,
    left_width: usize,
) -> Result<Operator> {
    let bound = on.iter().map(|condition| columns.bind(condition)).collect::<Result<Vec<_>>>()?;
    let side = |expr: &Expr| -> Option<bool> {
        let (mut in_left, mut in_right) = (false, false);
        walk(expr, &mut |node| {
            if let Expr::Column { index, .. } = node {
                if *index < left_width { in_left = true } else { in_right = true }
            }
        });
        match (in_left, in_right) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    };
    let to_right = |expr: &Expr| {
        replace(expr, &mut |node| match node {
            Expr::Column { index, ty } => Some(Expr::Column { index: index - left_width, ty: *ty }),
            _ => None,
        })
    };
    let mut equal = Vec::new();
    for condition in bound.iter().filter(|condition| !has_subquery(condition)) {
        if let Some(call) = equality(condition)
            && let [one, other] = call.args.as_slice()
            && one.type_id() == other.type_id()
        {
            match (side(one), side(other)) {
                (Some(true), Some(false)) => equal.push((one.clone(), to_right(other))),
                (Some(false), Some(true)) => equal.push((other.clone(), to_right(one))),
                _ => {}
            }
        }
    }
    let on = (!bound.is_empty()).then(|| all_of(bound));
    Ok(Operator::Join { left: Box::new(left), right: Box::new(right), kind, equal, on })
}

pub(super) fn all_of(mut conditions: Vec<Expr>) -> Expr {
    if conditions.len() == 1 { conditions.remove(0) } else { Expr::And(conditions) }
}

/// Takes the conditions that pass out of a list.
fn take(open: &mut Vec<Expr>, pass: impl Fn(&Expr) -> bool) -> Vec<Expr> {
    let (taken, rest) = std::mem::take(open).into_iter().partition(|condition| pass(condition));
    *open = rest;
    taken
}

/// Whether a condition reads columns of these sources only.
fn covered(condition: &Expr, columns: &Columns) -> bool {
    let mut covered = true;
    walk(condition, &mut |node| {
        if let Expr::Field(field) = node {
            covered &= columns.has(field);
        }
    });
    covered
}

/// Whether a select's own expressions, or those of selects inside it, read a field.
fn reads(select: &Select, alias: &str, name: &str) -> bool {
    let mut found = false;
    super::form::for_each_select(select, &mut |inner| {
        super::form::for_each_expr(inner, &mut |expr| {
            walk(expr, &mut |node| {
                if let Expr::Field(field) = node {
                    found |= field.source == alias && field.name == name;
                }
            });
        });
    });
    found
}
