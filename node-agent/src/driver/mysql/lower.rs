//! Selects as MySQL's SQL.
//!
//! Only what MySQL does with exactly PostgreSQL's meaning on the forms of [`super::layout`] is written; what a plain select
//! shows beyond that is computed by the driver over the fields. Texts are for sessions with ANSI_QUOTES and
//! NO_BACKSLASH_ESCAPES, so names and strings are quoted as in standard SQL.

use std::collections::HashMap;
use std::sync::Arc;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{
    Condition, Distinct, JoinKind, Lock, OutputField, Select, Source, Target,
};
use dataman_pg::catalog;
use dataman_pg::eval::{self, Evaluator};
use dataman_pg::expr::{Aggregate, Call, Cast, CastMethod, Constant, Expr, Field, IsTest, SortKey};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use mysql_async::Value as Raw;

use super::adopted;
use super::catalogue::{Catalogue, Collection};
use super::connect::SORTED_BYTES_MAX;
use super::layout::{self, Column, Form, form, quoted};
use super::value;
use crate::driver::sql::stored::{self, family};
use crate::driver::sql::{literal, native};

/// A lowered select.
#[derive(Debug)]
pub(super) struct Lowered {
    /// The text, with what is known only at execution between its parts.
    pub(super) parts: Vec<Part>,
    /// Columns that come first and are looked at only: the lengths of sort keys.
    pub(super) guards: usize,
    /// What each column of the result is.
    pub(super) outputs: Vec<Output>,
    /// The types of the columns after the guards.
    pub(super) types: Vec<TypeId>,
    /// The collection whose records are locked without waiting, as users know it.
    pub(super) nowait: Option<String>,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// As it is.
    Text(String),
    /// A parameter.
    Param {
        /// Its number, from 1.
        index: u16,
        /// In the form that compares.
        key: bool,
    },
    /// The elements of a parameter that is an array, in parentheses.
    List {
        /// Its number, from 1.
        index: u16,
    },
    /// LIMIT and OFFSET.
    Limit {
        /// The rows at most.
        limit: Option<Expr>,
        /// The rows to leave out.
        offset: Option<Expr>,
        /// The driver leaves them out itself: MariaDB forgets the OFFSET of a DISTINCT or a group over what it knows beforehand.
        skips: bool,
    },
}

/// One column of the result.
#[derive(Debug)]
pub(super) enum Output {
    /// The column at a place after the guards.
    Column(usize),
    /// Computed over the columns after the guards.
    Computed(Box<Evaluator>),
}

/// Whether MySQL carries out one node of an expression exactly, its arguments being carried out.
pub(super) fn is_native(expr: &Expr) -> bool {
    match expr {
        Expr::Const(constant) => layout::check_stored(constant.ty.id).is_ok(),
        Expr::Param { ty, .. } => layout::check_stored(*ty).is_ok(),
        Expr::Field(field) => layout::check_stored(field.ty.id).is_ok(),
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) => true,
        Expr::Case { ty, .. } | Expr::Coalesce { ty, .. } => {
            matches!(form(ty.id), Form::Integer | Form::Text)
        }
        Expr::Is { arg, .. } => {
            arg.type_id() != TypeId::RECORD && !matches!(**arg, Expr::Array { .. })
        }
        // Only as the list of an IN; elsewhere the driver makes it of its elements.
        Expr::Array { elements, .. } => elements.iter().all(is_comparable),
        Expr::Call(call) => comparison(call).is_some() || widened(call).is_some(),
        Expr::Cast(cast) => is_relabel(cast),
        Expr::Distinct { call, .. } => comparison(call) == Some("="),
        Expr::ArrayOp { .. } => list(expr).is_some(),
        Expr::Aggregate(aggregate) => native_aggregate(aggregate).is_some(),
        _ => false,
    }
}

/// Whether MySQL gives the value of an expression.
fn is_given(expr: &Expr) -> bool {
    !matches!(expr, Expr::Array { .. }) && is_native_tree(expr)
}

/// The whole of an expression.
fn is_native_tree(expr: &Expr) -> bool {
    let mut native = is_native(expr);
    if native {
        expr.for_each_child(&mut |child| native = native && is_native_tree(child));
    }
    native
}

/// The operator of a comparison that MySQL does as PostgreSQL.
fn comparison(call: &Call) -> Option<&'static str> {
    let name = native::comparison(call)?;
    call.args.iter().all(is_comparable).then_some(name)
}

/// Whether the operand has a form that compares: a value whose form has a column beside it is a field, or known.
fn is_comparable(expr: &Expr) -> bool {
    match form(expr.type_id()) {
        Form::Integer | Form::Text | Form::Bytes | Form::Fixed => true,
        Form::Keyed => matches!(expr, Expr::Field(_) | Expr::Const(_) | Expr::Param { .. }),
        Form::Opaque => false,
    }
}

/// A whole number that becomes a wider one.
fn widened(call: &Call) -> Option<&Expr> {
    let [arg] = call.args.as_slice() else { return None };
    let found = catalog::function(call.function)?;
    (call.operator.is_none() && matches!(found.source, "int48" | "int28" | "i2toi4")).then_some(arg)
}

fn is_relabel(cast: &Cast) -> bool {
    let (from, to) = (cast.arg.type_id(), cast.ty.id);
    match cast.method {
        CastMethod::Relabel => {
            let is_text = |ty| form(ty) == Form::Text;
            is_text(from) && is_text(to) || from == to && form(from) != Form::Keyed
        }
        CastMethod::Function(function) => catalog::function(function)
            .is_some_and(|found| matches!(found.source, "int48" | "int28" | "i2toi4")),
        _ => false,
    }
}

/// `left = ANY (list)` and `left <> ALL (list)`; answers whether it is the latter.
fn list(expr: &Expr) -> Option<bool> {
    let Expr::ArrayOp { operator, all, left, array, .. } = expr else { return None };
    let found = catalog::operator(*operator)?;
    let own = family(left.type_id())?;
    if found.name != if *all { "<>" } else { "=" } || !is_comparable(left) {
        return None;
    }
    let of_family = |ty: TypeId| family(ty) == Some(own);
    let fits = match array.as_ref() {
        Expr::Array { elements, .. } => {
            elements.iter().all(|element| of_family(element.type_id()) && is_comparable(element))
        }
        Expr::Const(Constant { value: Value::Array(values), .. }) => of_family(values.element_type),
        Expr::Param { ty, .. } => stored::element_type(*ty).is_some_and(of_family),
        _ => false,
    };
    fits.then_some(*all)
}

/// An aggregate of MySQL's that means the same.
fn native_aggregate(aggregate: &Aggregate) -> Option<&'static str> {
    let is_array = |expr: &Expr| matches!(expr, Expr::Array { .. });
    if !aggregate.order_by.is_empty() || aggregate.args.iter().any(is_array) {
        return None;
    }
    let found = catalog::function(aggregate.function)?;
    let argument = aggregate.args.first().map(Expr::type_id);
    let whole = |ty| matches!(form(ty), Form::Integer | Form::Fixed);
    if aggregate.distinct && !argument.is_some_and(whole) {
        return None;
    }
    match (found.name, argument) {
        ("count", _) => Some("count"),
        ("min", Some(ty)) if whole(ty) || form(ty) == Form::Text => Some("min"),
        ("max", Some(ty)) if whole(ty) || form(ty) == Form::Text => Some("max"),
        ("sum", Some(TypeId::INT2 | TypeId::INT4 | TypeId::INT8)) => Some("sum"),
        ("bool_and" | "every", Some(TypeId::BOOL)) => Some("min"),
        ("bool_or", Some(TypeId::BOOL)) => Some("max"),
        _ => None,
    }
}

/// The text of a select as people are shown it, by the names that its collections' columns have if nobody renamed them.
pub(super) fn shown(select: &Select) -> Option<String> {
    let lowered = Lowering::new(None).select(select).ok()?;
    let mut out = String::new();
    for part in &lowered.parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Param { index, .. } => out.push_str(&format!("${index}")),
            Part::List { index } => out.push_str(&format!("(${index})")),
            Part::Limit { limit, offset, .. } => {
                for (word, rows) in [(" LIMIT ", limit), (" OFFSET ", offset)] {
                    match rows {
                        Some(Expr::Param { index, .. }) => out.push_str(&format!("{word}${index}")),
                        Some(Expr::Const(Constant { value: Value::Int8(rows), .. })) => {
                            out.push_str(&format!("{word}{rows}"));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    Some(out)
}

/// Lowers a select over an instance's collections.
///
/// # Errors
/// `42P01` for a collection that is not there; `0A000` for what MySQL does not carry out exactly.
pub(super) fn select(select: &Select, catalogue: &Catalogue) -> Result<Lowered, NodeError> {
    Lowering::new(Some(catalogue)).select(select)
}

/// Lowers the search of a write: the record's number and all its fields, locked. Answers also the conditions that the driver has
/// to look at itself.
///
/// # Errors
/// As [`select`].
pub(super) fn search<'q>(
    collection: &Arc<Collection>,
    alias: &'q str,
    filter: Option<&'q Condition>,
    catalogue: &Catalogue,
) -> Result<(Vec<Part>, Vec<&'q Expr>), NodeError> {
    let mut conjuncts = Vec::new();
    if let Some(filter) = filter {
        flatten(filter, &mut conjuncts)?;
    }
    let own = adopted::of(collection);
    let (natives, residual): (Vec<&Expr>, Vec<&Expr>) = conjuncts.into_iter().partition(|expr| {
        if own.is_some() { adopted::is_native_tree(expr) } else { is_native_tree(expr) }
    });
    let mut lowering = Lowering::new(Some(catalogue));
    lowering.tables.insert(alias.to_owned(), Some(Arc::clone(collection)));
    match own {
        None => lowering.push(&format!("SELECT {}", qualified(alias, layout::ROW))),
        Some(_) => lowering.push("SELECT 0"),
    }
    for (place, column) in collection.layout.columns.iter().enumerate() {
        let name = qualified(alias, &column.name);
        let read = own.map_or_else(|| name.clone(), |own| own.read(place, &name));
        lowering.push(&format!(", {read}"));
    }
    lowering.push(&format!(" FROM {} AS {}", collection.table(), alias_name(alias)));
    for (place, condition) in natives.into_iter().enumerate() {
        lowering.push(if place == 0 { " WHERE " } else { " AND " });
        lowering.expr(condition)?;
    }
    lowering.push(" FOR UPDATE");
    Ok((lowering.parts, residual))
}

/// The conditions that must all hold.
fn flatten<'q>(condition: &'q Condition, out: &mut Vec<&'q Expr>) -> Result<(), NodeError> {
    match condition {
        Condition::Expr(Expr::And(parts)) => out.extend(parts),
        Condition::Expr(expr) => out.push(expr),
        Condition::All(parts) => {
            for part in parts {
                flatten(part, out)?;
            }
        }
        Condition::Any(_) | Condition::Test { .. } => {
            return Err(unbound());
        }
    }
    Ok(())
}

/// A condition as one expression.
pub(super) fn bound(condition: Condition) -> Result<Condition, NodeError> {
    fn expr(condition: Condition) -> Result<Expr, NodeError> {
        let each = |parts: Vec<Condition>| parts.into_iter().map(expr).collect::<Result<_, _>>();
        Ok(match condition {
            Condition::Expr(expr) => expr,
            Condition::All(parts) => Expr::And(each(parts)?),
            Condition::Any(parts) => Expr::Or(each(parts)?),
            Condition::Test { .. } => return Err(unbound()),
        })
    }
    expr(condition).map(Condition::Expr)
}

fn unbound() -> NodeError {
    NodeError::unsupported("a short-form filter has to be bound first")
}

/// An alias bears a sign that no table's name begins with.
fn alias_name(alias: &str) -> String {
    quoted(&format!("@{}", layout::column_name(alias)))
}

fn qualified(alias: &str, column: &str) -> String {
    format!("{}.{}", alias_name(alias), quoted(column))
}

fn not_carried_out(what: &str) -> NodeError {
    NodeError::unsupported(format!("MySQL does not carry out {what} exactly"))
}

struct Lowering<'c> {
    parts: Vec<Part>,
    catalogue: Option<&'c Catalogue>,
    /// The collections by alias; none where the catalogue is not known.
    tables: HashMap<String, Option<Arc<Collection>>>,
    /// A source may be without a record: its fields may be NULL whatever they are declared.
    has_outer_join: bool,
}

impl<'c> Lowering<'c> {
    fn new(catalogue: Option<&'c Catalogue>) -> Self {
        Self { parts: Vec::new(), catalogue, tables: HashMap::new(), has_outer_join: false }
    }

    fn push(&mut self, text: &str) {
        if let Some(Part::Text(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Text(text.to_owned()));
        }
    }

    fn gather(&mut self, source: &Source) -> Result<(), NodeError> {
        match source {
            Source::Collection { target, alias, .. } => {
                let found = match self.catalogue {
                    Some(catalogue) => Some(Arc::clone(catalogue.get(&target.collection)?)),
                    None => None,
                };
                self.tables.insert(alias.clone(), found);
                Ok(())
            }
            Source::Join { left, right, kind, .. } => {
                self.has_outer_join |= *kind != JoinKind::Inner;
                self.gather(left)?;
                self.gather(right)
            }
            _ => Err(not_carried_out("a query in FROM")),
        }
    }

    fn select(mut self, select: &Select) -> Result<Lowered, NodeError> {
        let lacking = [
            (select.grouping_sets.is_some(), "GROUPING SETS"),
            (!select.union.is_empty(), "set operations"),
            (!select.with.is_empty(), "WITH"),
            (!select.subqueries.is_empty(), "subqueries"),
            (select.with_ties, "WITH TIES"),
            (matches!(select.distinct, Distinct::On(_)), "DISTINCT ON"),
        ];
        if let Some((_, what)) = lacking.into_iter().find(|(lacks, _)| *lacks) {
            return Err(not_carried_out(what));
        }
        for source in &select.source {
            self.gather(source)?;
        }
        let is_plain = select.group.is_none() && select.distinct.is_all();
        let guards: Vec<&SortKey> = select
            .sort
            .iter()
            .filter(|key| !matches!(form(key.expr.type_id()), Form::Integer | Form::Fixed))
            .collect();
        if !guards.is_empty() && !is_plain {
            return Err(not_carried_out("an order of groups by texts"));
        }
        self.push("SELECT ");
        if !select.distinct.is_all() {
            self.push("DISTINCT ");
        }
        let mut is_first = true;
        for key in &guards {
            self.comma(&mut is_first);
            self.push("OCTET_LENGTH(");
            self.key(&key.expr)?;
            self.push(")");
        }
        let fields = select.fields.iter().map(|field| match field {
            OutputField::Bound { expr, .. } => Ok(expr),
            OutputField::Named(_) => {
                Err(NodeError::unsupported("a short-form query has to be bound first"))
            }
        });
        let fields: Vec<&Expr> = fields.collect::<Result<_, _>>()?;
        // What is computed here takes its parts from columns after those that MySQL gives whole.
        let mut columns: Vec<Expr> =
            fields.iter().filter(|expr| is_given(expr)).map(|expr| (*expr).clone()).collect();
        let mut outputs = Vec::new();
        for expr in fields {
            if is_given(expr) {
                let place = outputs.iter().filter(|o| matches!(o, Output::Column(_))).count();
                outputs.push(Output::Column(place));
                continue;
            }
            let mut computed = expr.clone();
            place_given(&mut computed, &mut columns);
            if !select.distinct.is_all() || eval::check_computed(&computed).is_err() {
                return Err(refusal(expr));
            }
            let evaluator = match self.catalogue {
                Some(catalogue) => catalogue.compile(&computed, &|_| None)?,
                None => Evaluator::compile(&computed, &|_| None)?,
            };
            outputs.push(Output::Computed(Box::new(evaluator)));
        }
        for column in &columns {
            self.comma(&mut is_first);
            self.expr(column)?;
        }
        let types = columns.iter().map(Expr::type_id).collect();
        if is_first {
            self.push("1");
        }
        self.from(select)?;
        if let Some(keys) = &select.group {
            for (place, key) in keys.iter().enumerate() {
                self.push(if place == 0 { " GROUP BY " } else { ", " });
                match key {
                    // It would be taken for a column's place.
                    Expr::Const(_) | Expr::Param { .. } => self.push("abs(1)"),
                    key => self.key(key)?,
                }
            }
        }
        match &select.having {
            Some(having) => {
                self.push(" HAVING ");
                self.expr(having)?;
            }
            // Without an aggregate MySQL would take it for a query of records.
            None if select.group.as_ref().is_some_and(Vec::is_empty) => {
                self.push(" HAVING count(*) >= 0");
            }
            None => {}
        }
        self.order(&select.sort)?;
        if select.limit.is_some() || select.offset.is_some() {
            let (limit, offset) = (select.limit.clone(), select.offset.clone());
            self.parts.push(Part::Limit { limit, offset, skips: !is_plain });
        }
        if let Some(lock) = &select.lock {
            self.lock(lock)?;
        }
        let is_nowait = |lock: &&Lock| {
            lock.wait.as_deref().is_some_and(|wait| wait.eq_ignore_ascii_case("NOWAIT"))
        };
        let nowait = select.lock.as_ref().filter(is_nowait).map(|_| {
            let known = self.tables.values().flatten().next();
            known.map_or_else(String::new, |collection| collection.shape.label.clone())
        });
        Ok(Lowered { parts: self.parts, guards: guards.len(), outputs, types, nowait })
    }

    fn comma(&mut self, is_first: &mut bool) {
        if !std::mem::replace(is_first, false) {
            self.push(", ");
        }
    }

    fn from(&mut self, select: &Select) -> Result<(), NodeError> {
        for (place, source) in select.source.iter().enumerate() {
            self.push(if place == 0 { " FROM " } else { " CROSS JOIN " });
            self.source(source, place > 0)?;
        }
        if let Some(filter) = &select.filter {
            self.push(if select.source.is_empty() { " FROM DUAL WHERE " } else { " WHERE " });
            self.condition(filter)?;
        }
        Ok(())
    }

    fn source(&mut self, source: &Source, is_inner: bool) -> Result<(), NodeError> {
        match source {
            Source::Collection { target, alias, .. } => {
                let table = match self.tables.get(alias) {
                    Some(Some(collection)) => collection.table(),
                    _ => default_table(target),
                };
                self.push(&format!("{table} AS {}", alias_name(alias)));
            }
            Source::Join { left, right, kind, on } => {
                if is_inner {
                    self.push("(");
                }
                self.source(left, false)?;
                self.push(match kind {
                    JoinKind::Inner => " JOIN ",
                    JoinKind::Left => " LEFT JOIN ",
                    JoinKind::Right => " RIGHT JOIN ",
                    JoinKind::Full => return Err(not_carried_out("a full join")),
                });
                self.source(right, true)?;
                self.push(" ON ");
                match on {
                    Some(on) => self.expr(on)?,
                    None => self.push("1"),
                }
                if is_inner {
                    self.push(")");
                }
            }
            _ => return Err(not_carried_out("a query in FROM")),
        }
        Ok(())
    }

    fn condition(&mut self, condition: &Condition) -> Result<(), NodeError> {
        let (parts, word, empty) = match condition {
            Condition::Expr(expr) => return self.expr(expr),
            Condition::Test { .. } => return Err(unbound()),
            Condition::All(parts) => (parts, " AND ", "1"),
            Condition::Any(parts) => (parts, " OR ", "0"),
        };
        self.joined(parts, word, empty, &mut |lowering, part| lowering.condition(part))
    }

    /// `(a AND b AND …)`.
    fn joined<T>(
        &mut self,
        parts: &[T],
        word: &str,
        empty: &str,
        write: &mut dyn FnMut(&mut Self, &T) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        if parts.is_empty() {
            self.push(empty);
        }
        for (place, part) in parts.iter().enumerate() {
            self.push(if place == 0 { "(" } else { word });
            write(self, part)?;
        }
        if !parts.is_empty() {
            self.push(")");
        }
        Ok(())
    }

    /// The keys of an ORDER BY. MySQL has NULL before everything; PostgreSQL says where it is.
    fn order(&mut self, keys: &[SortKey]) -> Result<(), NodeError> {
        let mut is_first = true;
        // A constant orders nothing, and would be taken for a column's place.
        for key in
            keys.iter().filter(|key| !matches!(key.expr, Expr::Const(_) | Expr::Param { .. }))
        {
            if is_first {
                self.push(" ORDER BY ");
            }
            let is_native_place = key.nulls_first != key.descending;
            if !is_native_place && self.may_be_null(&key.expr) {
                self.comma(&mut is_first);
                self.push("(");
                self.key(&key.expr)?;
                self.push(if key.nulls_first { ") IS NULL DESC" } else { ") IS NULL" });
            }
            self.comma(&mut is_first);
            self.key(&key.expr)?;
            if key.descending {
                self.push(" DESC");
            }
        }
        Ok(())
    }

    fn may_be_null(&self, expr: &Expr) -> bool {
        let Expr::Field(field) = expr else { return true };
        let Some(Some(collection)) = self.tables.get(&field.source) else { return true };
        let refused = collection.place(&field.name).map(|place| collection.not_null[place]);
        self.has_outer_join || refused != Some(true)
    }

    fn lock(&mut self, lock: &Lock) -> Result<(), NodeError> {
        let wait = lock.wait.as_deref().map(str::to_ascii_uppercase);
        let strength = lock.strength.to_ascii_uppercase();
        // MariaDB knows FOR SHARE by its old name only, MySQL's old name takes no NOWAIT: then the stronger lock serves both.
        let shares = matches!(strength.as_str(), "SHARE" | "KEY SHARE") && wait.is_none();
        self.push(if shares { " LOCK IN SHARE MODE" } else { " FOR UPDATE" });
        match wait.as_deref() {
            None => {}
            Some("NOWAIT") => self.push(" NOWAIT"),
            Some("SKIP LOCKED") => self.push(" SKIP LOCKED"),
            Some(_) => return Err(NodeError::unsupported("an unknown way to wait for a lock")),
        }
        Ok(())
    }

    /// An expression in the form from which its exact value comes.
    fn expr(&mut self, expr: &Expr) -> Result<(), NodeError> {
        match expr {
            Expr::Const(constant) => self.constant(constant, false)?,
            Expr::Param { index, .. } => self.parts.push(Part::Param { index: *index, key: false }),
            Expr::Field(field) => self.field(field, false)?,
            Expr::And(args) => self.joined(args, " AND ", "1", &mut |l, arg| l.expr(arg))?,
            Expr::Or(args) => self.joined(args, " OR ", "0", &mut |l, arg| l.expr(arg))?,
            Expr::Not(arg) => {
                self.push("(NOT ");
                self.expr(arg)?;
                self.push(")");
            }
            Expr::Is { arg, test, negated } => {
                self.push("((");
                self.expr(arg)?;
                self.push(if *negated { ") IS NOT " } else { ") IS " });
                self.push(match test {
                    IsTest::Null | IsTest::Unknown => "NULL)",
                    IsTest::True => "TRUE)",
                    IsTest::False => "FALSE)",
                });
            }
            Expr::Case { branches, otherwise, .. } => {
                self.push("(CASE");
                for (condition, result) in branches {
                    self.push(" WHEN ");
                    self.expr(condition)?;
                    self.push(" THEN ");
                    self.expr(result)?;
                }
                self.push(" ELSE ");
                self.expr(otherwise)?;
                self.push(" END)");
            }
            Expr::Coalesce { args, .. } => {
                self.push("COALESCE");
                self.joined(args, ", ", "(NULL)", &mut |l, arg| l.expr(arg))?;
            }
            Expr::Call(call) => match (comparison(call), widened(call)) {
                (Some(operator), _) => self.compare(operator, &call.args)?,
                (None, Some(arg)) => self.expr(arg)?,
                (None, None) => return Err(refusal(expr)),
            },
            Expr::Cast(cast) if is_relabel(cast) => self.expr(&cast.arg)?,
            Expr::Distinct { call, negated } => {
                self.push(if *negated { "(" } else { "(NOT " });
                self.compare("<=>", &call.args)?;
                self.push(")");
            }
            Expr::ArrayOp { left, array, .. } => {
                let all = list(expr).ok_or_else(|| refusal(expr))?;
                self.push("(");
                self.key(left)?;
                self.push(if all { " NOT IN " } else { " IN " });
                self.list_elements(array)?;
                self.push(")");
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            _ => return Err(refusal(expr)),
        }
        Ok(())
    }

    /// An expression in the form that compares.
    fn key(&mut self, expr: &Expr) -> Result<(), NodeError> {
        match expr {
            Expr::Const(constant) => self.constant(constant, true),
            Expr::Param { index, ty } => {
                self.parts.push(Part::Param { index: *index, key: form(*ty) == Form::Keyed });
                Ok(())
            }
            Expr::Field(field) => self.field(field, true),
            Expr::Cast(cast) if is_relabel(cast) => self.key(&cast.arg),
            expr if is_comparable(expr) => self.expr(expr),
            expr => Err(refusal(expr)),
        }
    }

    fn compare(&mut self, operator: &str, args: &[Expr]) -> Result<(), NodeError> {
        let [left, right] = args else {
            return Err(NodeError::unsupported("a comparison has two operands"));
        };
        // Beside the comparison by bytes the column's own, which holds where that does, and which its indexes serve.
        let column = match (operator, right) {
            ("=", Expr::Const(_) | Expr::Param { .. }) => self.adopted_text(left),
            _ => None,
        };
        if let Some(column) = &column {
            self.push(&format!("({column} = "));
            self.key(right)?;
            self.push(" AND ");
        }
        self.push("(");
        self.key(left)?;
        self.push(&format!(" {operator} "));
        self.key(right)?;
        self.push(if column.is_some() { "))" } else { ")" });
        Ok(())
    }

    /// The column of an adopted table's text, as it is.
    fn adopted_text(&self, expr: &Expr) -> Option<String> {
        let field = match expr {
            Expr::Field(field) => field,
            Expr::Cast(cast) if is_relabel(cast) => return self.adopted_text(&cast.arg),
            _ => return None,
        };
        let collection = self.tables.get(&field.source)?.as_ref()?;
        let place = collection.place(&field.name)?;
        adopted::of(collection)?
            .is_text(place)
            .then(|| qualified(&field.source, &collection.layout.columns[place].name))
    }

    fn list_elements(&mut self, array: &Expr) -> Result<(), NodeError> {
        match array {
            Expr::Param { index, .. } => self.parts.push(Part::List { index: *index }),
            Expr::Array { elements, .. } if !elements.is_empty() => {
                self.joined(elements, ", ", "", &mut |l, element| l.key(element))?;
            }
            Expr::Const(Constant { value: Value::Array(values), .. })
                if !values.elements.is_empty() =>
            {
                let ty = TypeRef::plain(values.element_type);
                self.joined(&values.elements, ", ", "", &mut |l, value| {
                    l.constant(&Constant { value: value.clone(), ty }, true)
                })?;
            }
            _ => self.push(EMPTY_LIST),
        }
        Ok(())
    }

    fn constant(&mut self, constant: &Constant, key: bool) -> Result<(), NodeError> {
        let mut value = constant.value.clone();
        if let (Value::Text(text), true) = (&constant.value, constant.ty.id.is_user()) {
            match self.catalogue {
                Some(catalogue) => value = catalogue.label(constant.ty.id, text)?,
                None => return Err(NodeError::unsupported("the labels of an enum are not known")),
            }
        }
        let text = if key && form(constant.ty.id) == Form::Keyed {
            literal_of(&value::key(&value), false)
        } else {
            literal_of(&value::exact(&value)?, is_text(constant.ty.id))
        };
        self.push(&text);
        Ok(())
    }

    fn field(&mut self, field: &Field, key: bool) -> Result<(), NodeError> {
        if let Some(Some(collection)) = self.tables.get(&field.source)
            && let Some(own) = adopted::of(collection)
            && let Some(place) = collection.place(&field.name)
        {
            let name = qualified(&field.source, &collection.layout.columns[place].name);
            let text = if key { own.compared(place, &name) } else { own.read(place, &name) };
            self.push(&text);
            return Ok(());
        }
        let column = match self.tables.get(&field.source) {
            Some(Some(collection)) => match collection.column(&field.name) {
                Some(column) => column.clone(),
                None => {
                    return Err(NodeError::statement(
                        "42703",
                        format!("column \"{}\" does not exist", field.name),
                    ));
                }
            },
            _ => Column::new(&field.name, field.ty.id),
        };
        let name = if key { column.key() } else { column.name };
        self.push(&qualified(&field.source, &name));
        Ok(())
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<(), NodeError> {
        let Some(name) = native_aggregate(aggregate) else {
            return Err(refusal(&Expr::Aggregate(Box::new(aggregate.clone()))));
        };
        self.push(name);
        self.push("(");
        if aggregate.distinct {
            self.push("DISTINCT ");
        }
        if let Some(filter) = &aggregate.filter {
            self.push("CASE WHEN ");
            self.expr(filter)?;
            self.push(" THEN ");
        }
        match (aggregate.args.first(), &aggregate.filter) {
            (Some(arg), _) => self.expr(arg)?,
            (None, Some(_)) => self.push("1"),
            (None, None) => self.push("*"),
        }
        self.push(if aggregate.filter.is_some() { " END)" } else { ")" });
        Ok(())
    }
}

/// Elements of a list that are parameters of a prepared text, which takes 65,535; in a longer list they are written out.
const LIST_MAX: usize = 4096;

/// A list without elements: nothing is in it, not even NULL.
const EMPTY_LIST: &str = "(SELECT 1 FROM DUAL WHERE FALSE)";

fn default_table(target: &Target) -> String {
    if let Some(adopted) = &target.adopted {
        return format!("{}.{}", quoted(&adopted.namespace), quoted(&adopted.name));
    }
    let instance = layout::instance_name(&target.shard_instance);
    format!("{}.{}", quoted(&instance), quoted(&layout::table_name(&target.collection)))
}

fn is_text(ty: TypeId) -> bool {
    matches!(form(ty), Form::Text | Form::Keyed | Form::Opaque)
}

/// A form as a literal.
fn literal_of(raw: &Raw, is_text: bool) -> String {
    match raw {
        Raw::Int(value) => value.to_string(),
        Raw::Bytes(bytes) if is_text => literal(&String::from_utf8_lossy(bytes)),
        Raw::Bytes(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}'")
        }
        _ => "NULL".to_owned(),
    }
}

/// Puts columns in the place of what MySQL gives.
fn place_given(expr: &mut Expr, columns: &mut Vec<Expr>) {
    if matches!(expr, Expr::Const(_) | Expr::Param { .. }) {
        return;
    }
    if is_given(expr) {
        let index = columns.iter().position(|known| known == expr).unwrap_or_else(|| {
            columns.push(expr.clone());
            columns.len() - 1
        });
        *expr = Expr::Column { index, ty: expr.type_ref() };
        return;
    }
    expr.for_each_child_mut(&mut |child| place_given(child, columns));
}

fn refusal(expr: &Expr) -> NodeError {
    let name = |function| catalog::function(function).map_or("", |found| found.name);
    not_carried_out(&match expr {
        Expr::Call(call) => format!("function {}", name(call.function)),
        Expr::Aggregate(aggregate) => format!("aggregate {}", name(aggregate.function)),
        Expr::Window(window) => format!("window function {}", name(window.function)),
        _ => format!("an expression of type {}", catalog::format_type(expr.type_id(), -1)),
    })
}

/// A text for one execution.
pub(super) struct Rendered {
    /// The text.
    pub(super) text: String,
    /// Its parameters.
    pub(super) values: Vec<Raw>,
    /// How many of the first rows are left out.
    pub(super) skipped: u64,
}

/// Puts the text together for one execution.
///
/// # Errors
/// What evaluating LIMIT raises; `2201W` and `2201X` for negative ones.
pub(super) fn render(parts: &[Part], params: &[Value]) -> Result<Rendered, NodeError> {
    let mut text = String::new();
    let mut values = Vec::new();
    let mut skipped = 0;
    let param = |index: u16| {
        usize::from(index)
            .checked_sub(1)
            .and_then(|place| params.get(place))
            .ok_or_else(|| NodeError::statement("42P02", format!("there is no parameter ${index}")))
    };
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::Param { index, key } => {
                let value = param(*index)?;
                values.push(if *key { value::key(value) } else { value::exact(value)? });
                text.push('?');
            }
            Part::List { index } => match param(*index)? {
                Value::Array(array) if array.elements.is_empty() => text.push_str(EMPTY_LIST),
                Value::Array(array) => {
                    let keyed = form(array.element_type) == Form::Keyed;
                    let form =
                        |value| if keyed { Ok(value::key(value)) } else { value::exact(value) };
                    if array.elements.len() > LIST_MAX {
                        let is_text = is_text(array.element_type) && !keyed;
                        for (place, element) in array.elements.iter().enumerate() {
                            text.push_str(if place == 0 { "(" } else { ", " });
                            text.push_str(&literal_of(&form(element)?, is_text));
                        }
                        text.push(')');
                        continue;
                    }
                    // Few lengths, so that few texts are prepared: the last one fills up.
                    let length = array.elements.len().next_power_of_two();
                    let last = array.elements.len() - 1;
                    for place in 0..length {
                        text.push_str(if place == 0 { "(?" } else { ", ?" });
                        values.push(form(&array.elements[place.min(last)])?);
                    }
                    text.push(')');
                }
                _ => text.push_str("(NULL)"),
            },
            Part::Limit { limit, offset, skips } => {
                let rows = |expr: &Option<Expr>| -> Result<Option<i64>, NodeError> {
                    let Some(expr) = expr else { return Ok(None) };
                    let evaluator = Evaluator::compile(expr, &|_| None)?;
                    Ok(match evaluator.eval(&[], params, &dataman_pg::Context::default())? {
                        Value::Int8(rows) => Some(rows),
                        _ => None,
                    })
                };
                let (limit, offset) = (rows(limit)?, rows(offset)?.unwrap_or(0));
                if offset < 0 {
                    return Err(NodeError::statement("2201X", "OFFSET must not be negative"));
                }
                if limit.is_some_and(|limit| limit < 0) {
                    return Err(NodeError::statement("2201W", "LIMIT must not be negative"));
                }
                let offset = u64::try_from(offset).unwrap_or_default();
                let limit = limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(u64::MAX);
                if *skips {
                    skipped = offset;
                    let read = if limit == 0 { 0 } else { limit.saturating_add(offset) };
                    text.push_str(&format!(" LIMIT {read}"));
                    continue;
                }
                text.push_str(&format!(" LIMIT {limit}"));
                if offset > 0 {
                    text.push_str(&format!(" OFFSET {offset}"));
                }
            }
        }
    }
    Ok(Rendered { text, values, skipped })
}

/// Looks at the lengths of a row's sort keys: MySQL sorted by no more than its first bytes.
///
/// # Errors
/// `54000` when one is longer.
pub(super) fn check_sorted(guards: &[Raw]) -> Result<(), NodeError> {
    let is_long = |raw: &Raw| matches!(raw, Raw::Int(length) if *length > SORTED_BYTES_MAX);
    if !guards.iter().any(is_long) {
        return Ok(());
    }
    Err(NodeError::statement("54000", "a value is too long to be sorted by MySQL")
        .with_detail(format!("MySQL sorts by the first {SORTED_BYTES_MAX} bytes of a value.")))
}
