//! Expressions as MongoDB's filters and aggregation expressions, where these mean what PostgreSQL does.
//!
//! A filter of MongoDB holds or does not; SQL's conditions may also be NULL. So a condition is written as the filter of the
//! documents for which it is true, and NOT as the filter of those for which its operand is *false*: `a < 5` is false where
//! `a >= 5`, and neither where `a` is missing. What filters cannot say (two fields compared, CASE) is an `$expr`, in which null
//! stands for NULL and every operator is told what to do with it.

use dataman_node_protocol::NodeError;
use dataman_pg::catalog;
use dataman_pg::expr::{Aggregate, Call, Cast, CastMethod, Constant, Expr, Field, IsTest};
use dataman_pg::types::TypeId;
use dataman_pg::value::Value;
use mongodb::bson::{Bson, Document, doc};

use super::catalogue::{Catalogue, Collection};
use super::layout::{self, Form, general_form, is_ordered};
use super::value;
use crate::driver::sql::native;
use crate::driver::sql::stored::{self, family};

/// What an expression is written over.
pub(super) struct Scope<'a> {
    /// The collection; none where only the shape of the text matters.
    pub(super) collection: Option<&'a Collection>,
    /// What the instance holds.
    pub(super) catalogue: Option<&'a Catalogue>,
    /// The values of the parameters.
    pub(super) params: &'a [Value],
    /// Expressions that the documents hold already, and where.
    pub(super) known: &'a [(Expr, String)],
}

/// Whether MongoDB carries out one node of an expression exactly, its arguments being carried out.
pub(super) fn is_native(expr: &Expr) -> bool {
    match expr {
        Expr::Const(constant) => layout::check_stored(constant.ty.id).is_ok(),
        Expr::Param { ty, .. } => layout::check_stored(*ty).is_ok(),
        Expr::Field(field) => layout::check_stored(field.ty.id).is_ok(),
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) => true,
        Expr::Case { ty, .. } | Expr::Coalesce { ty, .. } => is_ordered(general_form(ty.id)),
        Expr::Is { arg, .. } => {
            arg.type_id() != TypeId::RECORD && !matches!(**arg, Expr::Array { .. })
        }
        // Only as the list of an IN.
        Expr::Array { elements, .. } => elements.iter().all(|element| is_comparable(element, true)),
        Expr::Call(call) => comparison(call).is_some() || widened(call).is_some(),
        Expr::Cast(cast) => is_relabel(cast),
        Expr::Distinct { call, .. } => comparison(call) == Some("="),
        Expr::ArrayOp { .. } => list(expr).is_some(),
        Expr::Aggregate(aggregate) => native_aggregate(aggregate).is_some(),
        _ => false,
    }
}

/// The whole of an expression.
pub(super) fn is_native_tree(expr: &Expr) -> bool {
    let mut native = is_native(expr);
    if native {
        expr.for_each_child(&mut |child| native = native && is_native_tree(child));
    }
    native
}

/// Whether MongoDB gives the value of an expression.
pub(super) fn is_given(expr: &Expr) -> bool {
    !matches!(expr, Expr::Array { .. }) && is_native_tree(expr)
}

/// The operator of a comparison that MongoDB does as PostgreSQL.
fn comparison(call: &Call) -> Option<&'static str> {
    let name = native::comparison(call)?;
    let is_equality = matches!(name, "=" | "<>");
    call.args.iter().all(|arg| is_comparable(arg, is_equality)).then_some(name)
}

fn is_comparable(expr: &Expr, is_equality: bool) -> bool {
    match general_form(expr.type_id()) {
        form if is_ordered(form) => true,
        Form::Double | Form::Bytes => is_equality,
        _ => false,
    }
}

/// A whole number that becomes a wider one.
pub(super) fn widened(call: &Call) -> Option<&Expr> {
    let [arg] = call.args.as_slice() else { return None };
    let found = catalog::function(call.function)?;
    (call.operator.is_none() && matches!(found.source, "int48" | "int28" | "i2toi4")).then_some(arg)
}

/// Whether a cast changes nothing of what MongoDB holds, but for the width of a whole number.
pub(super) fn is_relabel(cast: &Cast) -> bool {
    let (from, to) = (cast.arg.type_id(), cast.ty.id);
    match cast.method {
        CastMethod::Relabel => {
            let is_text = |ty| general_form(ty) == Form::Text;
            is_text(from) && is_text(to) || from == to && is_ordered(general_form(from))
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
    if found.name != if *all { "<>" } else { "=" } || !is_comparable(left, true) {
        return None;
    }
    let of_family = |ty: TypeId| family(ty) == Some(own);
    let fits = match array.as_ref() {
        Expr::Array { elements, .. } => elements.iter().all(|element| {
            of_family(element.type_id()) && matches!(element, Expr::Const(_) | Expr::Param { .. })
        }),
        Expr::Const(Constant { value: Value::Array(values), .. }) => of_family(values.element_type),
        Expr::Param { ty, .. } => stored::element_type(*ty).is_some_and(of_family),
        _ => false,
    };
    fits.then_some(*all)
}

/// The aggregates that MongoDB computes as PostgreSQL does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NativeAggregate {
    /// `count`.
    Count,
    /// The least one.
    Min,
    /// The greatest one.
    Max,
    /// The sum of whole numbers that no int8 overflows by.
    Sum,
    /// The sum of int8, which is a numeric.
    DecimalSum,
}

/// An aggregate of MongoDB's that means the same.
pub(super) fn native_aggregate(aggregate: &Aggregate) -> Option<NativeAggregate> {
    let is_array = |expr: &Expr| matches!(expr, Expr::Array { .. });
    if aggregate.distinct
        || !aggregate.order_by.is_empty()
        || aggregate.args.iter().any(is_array)
        || aggregate.args.len() > 1
    {
        return None;
    }
    let found = catalog::function(aggregate.function)?;
    let argument = aggregate.args.first().map(Expr::type_id);
    let is_ordered = |ty| is_ordered(general_form(ty));
    match (found.name, argument) {
        ("count", _) => Some(NativeAggregate::Count),
        ("min", Some(ty)) if is_ordered(ty) => Some(NativeAggregate::Min),
        ("max", Some(ty)) if is_ordered(ty) => Some(NativeAggregate::Max),
        ("sum", Some(TypeId::INT2 | TypeId::INT4)) => Some(NativeAggregate::Sum),
        ("sum", Some(TypeId::INT8)) => Some(NativeAggregate::DecimalSum),
        ("bool_and" | "every", Some(TypeId::BOOL)) => Some(NativeAggregate::Min),
        ("bool_or", Some(TypeId::BOOL)) => Some(NativeAggregate::Max),
        _ => None,
    }
}

/// The filter of no document.
pub(super) fn nothing() -> Document {
    doc! { "_id": { "$in": [] } }
}

/// The filter of every document, or of none.
pub(super) fn constant(holds: bool) -> Document {
    if holds { Document::new() } else { nothing() }
}

/// The filter of the documents that another one leaves.
pub(super) fn neither(filter: Document) -> Document {
    doc! { "$nor": [filter] }
}

/// Filters joined by `$and` or `$or`.
pub(super) fn joined(word: &str, filters: Vec<Document>) -> Document {
    match (word, filters.len()) {
        ("$and", 0) => Document::new(),
        (_, 0) => nothing(),
        (_, 1) => filters.into_iter().next().unwrap_or_default(),
        _ => {
            let filters: Vec<Bson> = filters.into_iter().map(Bson::Document).collect();
            let mut out = Document::new();
            out.insert(word, filters);
            out
        }
    }
}

/// The refusal of an expression.
pub(super) fn refusal(expr: &Expr) -> NodeError {
    let name = |function| catalog::function(function).map_or("", |found| found.name);
    not_carried_out(&match expr {
        Expr::Call(call) => format!("function {}", name(call.function)),
        Expr::Aggregate(aggregate) => format!("aggregate {}", name(aggregate.function)),
        Expr::Window(window) => format!("window function {}", name(window.function)),
        _ => format!("an expression of type {}", catalog::format_type(expr.type_id(), -1)),
    })
}

/// `0A000` naming what MongoDB lacks.
pub(super) fn not_carried_out(what: &str) -> NodeError {
    NodeError::unsupported(format!("MongoDB does not carry out {what} exactly"))
}

/// The operator that is true where the other one is false.
pub(super) fn opposite(operator: &str) -> &'static str {
    match operator {
        "=" => "<>",
        "<>" => "=",
        "<" => ">=",
        "<=" => ">",
        ">" => "<=",
        _ => "<",
    }
}

/// The operator with its sides changed.
pub(super) fn flipped(operator: &str) -> &'static str {
    match operator {
        "=" => "=",
        "<>" => "<>",
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        _ => "<=",
    }
}

/// MongoDB's operator.
pub(super) fn mongo_operator(operator: &str) -> &'static str {
    match operator {
        "=" => "$eq",
        "<>" => "$ne",
        "<" => "$lt",
        "<=" => "$lte",
        ">" => "$gt",
        _ => "$gte",
    }
}

/// The elements of a list, none standing for NULL; no list at all when it is NULL itself.
type Elements = Option<Vec<Option<Bson>>>;

/// A field's path, an operator, and what the field is compared with: none for NULL.
type Operands = Option<(String, &'static str, Option<Bson>)>;

impl Scope<'_> {
    /// The filter of the documents for which a condition is true, or of those for which it is false.
    ///
    /// # Errors
    /// `0A000` for what is not [`is_native_tree`].
    pub(super) fn filter(&self, expr: &Expr, wanted: bool) -> Result<Document, NodeError> {
        if self.is_adopted() {
            return self.adopted_filter(expr, wanted, self.known.is_empty());
        }
        let each = |args: &[Expr]| {
            args.iter().map(|arg| self.filter(arg, wanted)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match expr {
            Expr::Const(_) | Expr::Param { .. } => match self.known_value(expr)? {
                Some(Bson::Boolean(value)) => constant(value == wanted),
                _ => nothing(),
            },
            Expr::Field(_) => match self.path(expr) {
                Some(path) => doc! { path: wanted },
                None => self.by_expression(expr, wanted)?,
            },
            Expr::And(args) => joined(if wanted { "$and" } else { "$or" }, each(args)?),
            Expr::Or(args) => joined(if wanted { "$or" } else { "$and" }, each(args)?),
            Expr::Not(arg) => self.filter(arg, !wanted)?,
            Expr::Is { arg, test, negated } => {
                let holds = match test {
                    IsTest::Null | IsTest::Unknown => match self.path(arg) {
                        Some(path) => doc! { path: Bson::Null },
                        None => doc! { "$expr": { "$eq": [self.value(arg)?, Bson::Null] } },
                    },
                    IsTest::True => self.filter(arg, true)?,
                    IsTest::False => self.filter(arg, false)?,
                };
                if wanted != *negated { holds } else { neither(holds) }
            }
            Expr::Call(call) => match comparison(call) {
                Some(operator) => {
                    let operator = if wanted { operator } else { opposite(operator) };
                    match self.simple_comparison(operator, &call.args)? {
                        Some(filter) => filter,
                        None => self.by_expression(expr, wanted)?,
                    }
                }
                None => self.by_expression(expr, wanted)?,
            },
            Expr::Distinct { call, negated } => {
                let alike = match self.operands("=", &call.args)? {
                    Some((path, _, value)) => {
                        doc! { path: { "$eq": value.unwrap_or(Bson::Null) } }
                    }
                    None => {
                        let sides = call.args.iter().map(|arg| self.value(arg));
                        doc! { "$expr": { "$eq": sides.collect::<Result<Vec<_>, _>>()? } }
                    }
                };
                if wanted == *negated { alike } else { neither(alike) }
            }
            Expr::ArrayOp { left, array, .. } => {
                let Some(all) = list(expr) else { return Err(refusal(expr)) };
                let Some(path) = self.path(left) else {
                    return self.by_expression(expr, wanted);
                };
                let Some(elements) = self.elements(array)? else { return Ok(nothing()) };
                // Whether the documents wanted are those that have one of the elements.
                let is_in = wanted != all;
                let has_null = elements.iter().any(Option::is_none);
                let is_empty = elements.is_empty();
                let mut values: Vec<Bson> = elements.into_iter().flatten().collect();
                match (is_in, is_empty) {
                    (true, _) => doc! { path: { "$in": values } },
                    (false, true) => Document::new(),
                    // With a NULL among them nobody knows that it is not one of them.
                    (false, false) if has_null => nothing(),
                    (false, false) => {
                        values.push(Bson::Null);
                        doc! { path: { "$nin": values } }
                    }
                }
            }
            _ => self.by_expression(expr, wanted)?,
        })
    }

    fn by_expression(&self, expr: &Expr, wanted: bool) -> Result<Document, NodeError> {
        Ok(doc! { "$expr": { "$eq": [self.value(expr)?, wanted] } })
    }

    /// A field compared with something known; the operator is turned so that the field is to the left.
    fn operands(&self, operator: &'static str, args: &[Expr]) -> Result<Operands, NodeError> {
        let [left, right] = args else { return Ok(None) };
        let is_known = |expr: &Expr| matches!(expr, Expr::Const(_) | Expr::Param { .. });
        Ok(match (self.path(left), self.path(right)) {
            (Some(path), _) if is_known(right) => Some((path, operator, self.known_value(right)?)),
            (_, Some(path)) if is_known(left) => {
                Some((path, flipped(operator), self.known_value(left)?))
            }
            _ => None,
        })
    }

    fn simple_comparison(
        &self,
        operator: &'static str,
        args: &[Expr],
    ) -> Result<Option<Document>, NodeError> {
        let Some((path, operator, value)) = self.operands(operator, args)? else {
            return Ok(None);
        };
        let Some(value) = value else { return Ok(Some(nothing())) };
        Ok(Some(match operator {
            // A document without the field is not equal to anything.
            "<>" => doc! { path: { "$nin": [value, Bson::Null] } },
            operator => doc! { path: { mongo_operator(operator): value } },
        }))
    }

    /// The path of a field, through changes of type that change nothing.
    pub(super) fn path(&self, expr: &Expr) -> Option<String> {
        if let Some((_, path)) = self.known.iter().find(|(known, _)| known == expr) {
            return Some(path.clone());
        }
        match expr {
            Expr::Field(field) => self.field_path(field),
            Expr::Cast(cast) if is_relabel(cast) => self.path(&cast.arg),
            Expr::Call(call) => widened(call).and_then(|arg| self.path(arg)),
            _ => None,
        }
    }

    fn field_path(&self, field: &Field) -> Option<String> {
        match self.collection {
            Some(collection) => collection.field(&field.name).map(|place| place.path.clone()),
            None => Some(layout::path(&field.name)),
        }
    }

    /// The BSON of a constant or parameter; none for NULL.
    fn known_value(&self, expr: &Expr) -> Result<Option<Bson>, NodeError> {
        match expr {
            Expr::Const(Constant { value, ty }) => self.constant(value, ty.id),
            Expr::Param { index, ty } => match self.param(*index)? {
                Some(value) => value::comparable(value, *ty),
                None => Ok(Some(Bson::String(format!("${index}")))),
            },
            expr => Err(refusal(expr)),
        }
    }

    fn constant(&self, value: &Value, ty: TypeId) -> Result<Option<Bson>, NodeError> {
        match (value, self.catalogue) {
            (Value::Text(text), Some(catalogue)) if ty.is_user() => {
                value::comparable(&catalogue.label(ty, text)?, ty)
            }
            _ => value::comparable(value, ty),
        }
    }

    /// The value of a parameter; none where only the shape of the text matters.
    pub(super) fn param(&self, index: u16) -> Result<Option<&Value>, NodeError> {
        if self.collection.is_none() {
            return Ok(None);
        }
        let place = usize::from(index).checked_sub(1);
        let found = place.and_then(|place| self.params.get(place));
        found
            .map(Some)
            .ok_or_else(|| NodeError::statement("42P02", format!("there is no parameter ${index}")))
    }

    fn elements(&self, array: &Expr) -> Result<Elements, NodeError> {
        let of = |value: &Value| -> Result<Elements, NodeError> {
            match value {
                Value::Array(values) => {
                    let ty = values.element_type;
                    let elements = values.elements.iter().map(|value| self.constant(value, ty));
                    elements.collect::<Result<_, _>>().map(Some)
                }
                _ => Ok(None),
            }
        };
        match array {
            Expr::Array { elements, .. } => {
                let elements = elements.iter().map(|element| self.known_value(element));
                elements.collect::<Result<_, _>>().map(Some)
            }
            Expr::Const(constant) => of(&constant.value),
            Expr::Param { index, .. } => match self.param(*index)? {
                Some(value) => of(value),
                None => Ok(Some(vec![Some(Bson::String(format!("${index}")))])),
            },
            expr => Err(refusal(expr)),
        }
    }

    /// An aggregation expression that gives an expression's value, null for NULL and never missing.
    ///
    /// # Errors
    /// `0A000` for what is not [`is_native_tree`].
    pub(super) fn value(&self, expr: &Expr) -> Result<Bson, NodeError> {
        if let Some(path) = self.path(expr) {
            return Ok(bson(doc! { "$ifNull": [format!("${path}"), Bson::Null] }));
        }
        if self.is_adopted()
            && let Some(value) = self.adopted_value(expr)?
        {
            return Ok(value);
        }
        let each = |args: &[Expr]| {
            args.iter().map(|arg| self.value(arg)).collect::<Result<Vec<Bson>, _>>()
        };
        Ok(match expr {
            Expr::Const(_) | Expr::Param { .. } => match self.known_value(expr)? {
                Some(value) => bson(doc! { "$literal": value }),
                None => Bson::Null,
            },
            Expr::And(args) | Expr::Or(args) => {
                let decides = matches!(expr, Expr::Or(_));
                bson(doc! { "$let": { "vars": { "a": each(args)? }, "in": { "$switch": {
                    "branches": [
                        { "case": { "$in": [decides, "$$a"] }, "then": decides },
                        { "case": { "$in": [Bson::Null, "$$a"] }, "then": Bson::Null },
                    ],
                    "default": !decides,
                } } } })
            }
            Expr::Not(arg) => bson(doc! { "$let": { "vars": { "a": self.value(arg)? }, "in": {
                "$cond": [{ "$eq": ["$$a", Bson::Null] }, Bson::Null, { "$not": ["$$a"] }],
            } } }),
            Expr::Is { arg, test, negated } => {
                let other = match test {
                    IsTest::Null | IsTest::Unknown => Bson::Null,
                    IsTest::True => Bson::Boolean(true),
                    IsTest::False => Bson::Boolean(false),
                };
                let operator = if *negated { "$ne" } else { "$eq" };
                bson(doc! { operator: [self.value(arg)?, other] })
            }
            Expr::Case { branches, otherwise, .. } => {
                let mut written = Vec::new();
                for (condition, result) in branches {
                    let holds = doc! { "$eq": [self.value(condition)?, true] };
                    written.push(bson(doc! { "case": holds, "then": self.value(result)? }));
                }
                let otherwise = self.value(otherwise)?;
                bson(doc! { "$switch": { "branches": written, "default": otherwise } })
            }
            Expr::Coalesce { args, .. } => {
                let mut args = each(args)?;
                args.push(Bson::Null);
                bson(doc! { "$ifNull": args })
            }
            Expr::Call(call) => match (comparison(call), widened(call)) {
                (Some(operator), _) => {
                    let [left, right] = call.args.as_slice() else { return Err(refusal(expr)) };
                    let (left, right) = (self.value(left)?, self.value(right)?);
                    bson(doc! { "$let": { "vars": { "a": left, "b": right }, "in": { "$cond": [
                        { "$or": [
                            { "$eq": ["$$a", Bson::Null] },
                            { "$eq": ["$$b", Bson::Null] },
                        ] },
                        Bson::Null,
                        { mongo_operator(operator): ["$$a", "$$b"] },
                    ] } } })
                }
                (None, Some(arg)) => self.value(arg)?,
                (None, None) => return Err(refusal(expr)),
            },
            Expr::Cast(cast) if is_relabel(cast) => self.value(&cast.arg)?,
            Expr::Distinct { call, negated } => {
                let operator = if *negated { "$eq" } else { "$ne" };
                bson(doc! { operator: each(&call.args)? })
            }
            Expr::ArrayOp { left, array, .. } => {
                let Some(all) = list(expr) else { return Err(refusal(expr)) };
                let Some(elements) = self.elements(array)? else { return Ok(Bson::Null) };
                if elements.is_empty() {
                    return Ok(Bson::Boolean(all));
                }
                let has_null = elements.iter().any(Option::is_none);
                let values: Vec<Bson> = elements.into_iter().flatten().collect();
                let otherwise = if has_null { Bson::Null } else { Bson::Boolean(all) };
                bson(doc! { "$let": { "vars": { "a": self.value(left)? }, "in": { "$switch": {
                    "branches": [
                        { "case": { "$eq": ["$$a", Bson::Null] }, "then": Bson::Null },
                        { "case": { "$in": ["$$a", { "$literal": values }] }, "then": !all },
                    ],
                    "default": otherwise,
                } } } })
            }
            expr => return Err(refusal(expr)),
        })
    }
}

/// A document as a value.
fn bson(document: Document) -> Bson {
    Bson::Document(document)
}
