//! Conditions over adopted collections as filters, and what MongoDB carries out there at all.
//!
//! A field may hold what its column says or anything else, so a filter has two parts: the documents for which the condition is true,
//! were all values as the columns say, **or** those with a value that is not ([`unfit`]). Whoever reads the documents looks at every field
//! that the condition names, and raises what it finds. Where documents do not come back (groups, and sorted rows beyond a LIMIT), the
//! same command looks for an unfit one first ([`strays`]).
//!
//! MongoDB's own filters go into arrays; a column with an array in it is unfit, so nothing depends on that but the test for null,
//! which says so.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::capability::{Capability, Feature};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::catalog;
use dataman_pg::expr::{Aggregate, Call, Constant, Expr, IsTest};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Decimal128, Document, doc};

use super::compare::{Test, point, test};
use super::value::DATES_MS;
use super::{ID, Native, ways};
use crate::driver::mongodb::capability::MongodbCapability;
use crate::driver::mongodb::catalogue::Collection;
use crate::driver::mongodb::condition::{
    NativeAggregate, Scope, constant, flipped, is_relabel, joined, mongo_operator,
    native_aggregate, neither, nothing, opposite, refusal, widened,
};
use crate::driver::sql::native;
use crate::driver::sql::stored::{element_type, family};

/// What MongoDB carries out exactly over adopted collections.
#[derive(Debug, Clone, Copy)]
pub(in crate::driver::mongodb) struct AdoptedCapability;

/// Whether values of a type are compared with constants.
fn is_compared(ty: TypeId) -> bool {
    is_sorted(ty) || matches!(ty, TypeId::FLOAT8 | TypeId::NUMERIC)
}

/// Whether MongoDB sorts and groups them as PostgreSQL does. NaN has another place.
fn is_sorted(ty: TypeId) -> bool {
    matches!(
        ty,
        TypeId::BOOL
            | TypeId::INT2
            | TypeId::INT4
            | TypeId::INT8
            | TypeId::TEXT
            | TypeId::VARCHAR
            | TypeId::TIMESTAMPTZ
            | TypeId::UUID
    )
}

fn is_known(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(_) | Expr::Param { .. })
}

/// A field or an aggregate, through changes of type that change nothing.
pub(in crate::driver::mongodb) fn bare(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Field(_) | Expr::Aggregate(_) => Some(expr),
        Expr::Cast(cast) if is_relabel(cast) => bare(&cast.arg),
        Expr::Call(call) => widened(call).and_then(bare),
        _ => None,
    }
}

/// A field or aggregate compared with something known, the operator turned so that the field is to the left.
fn sides(call: &Call) -> Option<(&'static str, &Expr, &Expr)> {
    let operator = native::comparison(call)?;
    let [left, right] = call.args.as_slice() else { return None };
    let (operator, field, value) = match (bare(left), bare(right)) {
        (Some(field), _) if is_known(right) => (operator, field, right),
        (_, Some(field)) if is_known(left) => (flipped(operator), field, left),
        _ => return None,
    };
    (is_compared(field.type_id()) && is_compared(value.type_id()))
        .then_some((operator, field, value))
}

/// `field = ANY (list)` and `field <> ALL (list)`: the field, the list, and whether it is the latter.
fn list(expr: &Expr) -> Option<(&Expr, &Expr, bool)> {
    let Expr::ArrayOp { operator, all, left, array, .. } = expr else { return None };
    let found = catalog::operator(*operator)?;
    let field = bare(left)?;
    let fits = |ty: TypeId| is_compared(ty) && family(ty) == family(field.type_id());
    let is_listed = match array.as_ref() {
        Expr::Array { elements, .. } => {
            elements.iter().all(|element| is_known(element) && fits(element.type_id()))
        }
        Expr::Const(Constant { value: Value::Array(values), .. }) => fits(values.element_type),
        Expr::Param { ty, .. } => element_type(*ty).is_some_and(fits),
        _ => false,
    };
    let wanted = if *all { "<>" } else { "=" };
    (found.name == wanted && is_compared(field.type_id()) && is_listed)
        .then_some((field, array, *all))
}

/// Whether MongoDB carries out one node of an expression exactly over adopted collections, its arguments being carried out.
pub(in crate::driver::mongodb) fn is_native(expr: &Expr) -> bool {
    match expr {
        Expr::Field(_) | Expr::And(_) | Expr::Or(_) | Expr::Not(_) => true,
        Expr::Const(_) | Expr::Param { .. } => {
            is_compared(element_type(expr.type_id()).unwrap_or(expr.type_id()))
        }
        Expr::Is { arg, test, .. } => match test {
            IsTest::Null | IsTest::Unknown => bare(arg).is_some(),
            IsTest::True | IsTest::False => true,
        },
        Expr::Array { elements, .. } => elements.iter().all(is_known),
        Expr::Call(call) => sides(call).is_some() || widened(call).and_then(bare).is_some(),
        Expr::Cast(cast) => is_relabel(cast) && bare(&cast.arg).is_some(),
        Expr::Distinct { call, .. } => sides(call).is_some_and(|(operator, ..)| operator == "="),
        Expr::ArrayOp { .. } => list(expr).is_some(),
        Expr::Aggregate(aggregate) => is_native_aggregate(aggregate),
        _ => false,
    }
}

fn is_native_aggregate(aggregate: &Aggregate) -> bool {
    let Some(kind) = native_aggregate(aggregate) else { return false };
    let is_taken = |arg: &Expr| match kind {
        NativeAggregate::Count => true,
        _ => is_sorted(arg.type_id()) && bare(arg).is_some(),
    };
    aggregate.filter.is_none() && aggregate.args.iter().all(is_taken)
}

/// The whole of an expression.
pub(in crate::driver::mongodb) fn is_native_tree(expr: &Expr) -> bool {
    let mut native = is_native(expr);
    if native {
        expr.for_each_child(&mut |child| native = native && is_native_tree(child));
    }
    native
}

impl Capability for AdoptedCapability {
    fn engine(&self) -> &'static str {
        MongodbCapability.engine()
    }

    fn statement_text(&self, query: &NodeQuery) -> Option<String> {
        MongodbCapability.statement_text(query)
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        is_native(expr)
    }

    fn is_exact_in_write(&self, expr: &Expr) -> bool {
        MongodbCapability.is_exact_in_write(expr)
    }

    fn sorts_exactly(&self, ty: TypeId) -> bool {
        is_sorted(ty)
    }

    fn supports(&self, feature: Feature) -> bool {
        matches!(feature, Feature::Group | Feature::Sort | Feature::Returning)
    }

    fn stores(&self, ty: TypeRef) -> Result<(), String> {
        MongodbCapability.stores(ty)
    }
}

/// The BSON types that a column does not take, as `$type` names them. `_id` is never an array, and without that its index serves.
fn strangers(native: Native, path: &str) -> Vec<Bson> {
    let own: &[&str] = match native {
        Native::Bool => &["bool"],
        Native::Integer | Native::Double => &["int", "long", "double"],
        Native::Decimal => &["int", "long", "decimal"],
        Native::Text => &["string"],
        Native::Date => &["date"],
        Native::ObjectId => &["objectId"],
        Native::Uuid | Native::Bytes => &["binData"],
        Native::Document => return Vec::new(),
    };
    let all = [
        "double",
        "string",
        "object",
        "array",
        "binData",
        "objectId",
        "bool",
        "date",
        "regex",
        "dbPointer",
        "javascript",
        "symbol",
        "javascriptWithScope",
        "int",
        "timestamp",
        "long",
        "decimal",
        "minKey",
        "maxKey",
    ];
    let strangers = all.into_iter().filter(|name| !own.contains(name));
    strangers.filter(|name| path != ID || *name != "array").map(Bson::from).collect()
}

/// The filters of documents in which a field is not of its column's BSON types.
pub(in crate::driver::mongodb) fn unfit(path: &str, native: Native) -> Vec<Document> {
    let mut filters: Vec<Document> =
        ways(path).map(|way| doc! { way: { "$type": "array" } }).collect();
    let strangers = strangers(native, path);
    if !strangers.is_empty() {
        filters.push(doc! { path: { "$type": strangers } });
    }
    if native == Native::Uuid {
        // Binaries are ordered by their lengths, then by their subtypes.
        let uuid = |byte: u8| Binary { subtype: BinarySubtype::Uuid, bytes: vec![byte; 16] };
        filters.push(doc! { path: { "$lt": uuid(0) } });
        filters.push(doc! { path: { "$gt": uuid(0xff) } });
    }
    filters
}

/// The same with the values of these BSON types that the column does not hold.
fn unfit_values(path: &str, native: Native, ty: TypeId) -> Vec<Document> {
    let mut filters = unfit(path, native);
    match native {
        Native::Integer => {
            let bounds = match ty {
                TypeId::INT2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
                TypeId::INT4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
                _ => (i64::MIN, i64::MAX),
            };
            filters.push(doc! { path: { "$lt": bounds.0 } });
            filters.push(doc! { path: { "$gt": bounds.1 } });
            filters.push(doc! { path: f64::NAN });
            let value = format!("${path}");
            filters.push(doc! { "$expr": { "$cond": [
                { "$eq": [{ "$type": &value }, "double"] },
                { "$ne": [{ "$trunc": &value }, &value] },
                false,
            ] } });
        }
        Native::Date => {
            let value = doc! { "$toLong": format!("${path}") };
            filters.push(doc! { "$expr": { "$cond": [
                { "$eq": [{ "$type": format!("${path}") }, "date"] },
                { "$or": [{ "$lt": [value.clone(), DATES_MS.0] }, { "$gt": [value, DATES_MS.1] }] },
                false,
            ] } });
        }
        _ => {}
    }
    filters
}

/// How closely documents are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver::mongodb) enum Look {
    /// By the BSON types: numbers compare and sort as numbers, whether the column holds them or not.
    Types,
    /// By the values, too: whatever is counted or added up.
    Values,
}

/// The filter of documents in which one of these fields, by their places, is unfit; none when no value could be.
pub(in crate::driver::mongodb) fn strays(
    collection: &Collection,
    places: &[usize],
    look: Look,
) -> Option<Document> {
    let adopted = super::of(collection)?;
    let each = places.iter().flat_map(|place| {
        let path = &collection.layout.fields[*place].path;
        let native = adopted.natives[*place];
        match look {
            Look::Types => unfit(path, native),
            Look::Values => unfit_values(path, native, collection.shape.fields[*place].ty.id),
        }
    });
    let filters: Vec<Document> = each.collect();
    (!filters.is_empty()).then(|| joined("$or", filters))
}

/// The places of the fields that an expression reads, each once.
pub(in crate::driver::mongodb) fn places_of(
    expr: &Expr,
    collection: &Collection,
    places: &mut Vec<usize>,
) {
    if let Expr::Field(field) = expr
        && let Some(place) = collection.place(&field.name)
        && !places.contains(&place)
    {
        places.push(place);
    }
    expr.for_each_child(&mut |child| places_of(child, collection, places));
}

/// A field or aggregate as the documents hold it.
struct Operand {
    path: String,
    native: Native,
}

impl Operand {
    fn may_be_nan(&self) -> bool {
        matches!(self.native, Native::Double | Native::Decimal)
    }

    /// The filter of the documents in which it is NULL.
    fn null(&self) -> Document {
        // In an array MongoDB would find a null, too.
        doc! { &self.path: { "$eq": Bson::Null, "$not": { "$type": "array" } } }
    }

    /// The filter of the documents for which a comparison is true.
    fn filter(&self, test: Test) -> Document {
        let path = &self.path;
        match test {
            Test::Never => nothing(),
            Test::Always => doc! { path: { "$ne": Bson::Null } },
            Test::Compare(operator, value) if is_nan(&value) => match operator {
                // NaN equals itself and is above everything.
                "=" | ">=" => doc! { path: { "$in": nans() } },
                ">" => nothing(),
                "<=" => doc! { path: { "$ne": Bson::Null } },
                _ => {
                    let mut without = nans();
                    without.push(Bson::Null);
                    doc! { path: { "$nin": without } }
                }
            },
            Test::Compare("<>", value) => doc! { path: { "$nin": [value, Bson::Null] } },
            Test::Compare(operator @ (">" | ">="), value) if self.may_be_nan() => {
                let above = doc! { path: { mongo_operator(operator): value } };
                joined("$or", vec![above, doc! { path: { "$in": nans() } }])
            }
            Test::Compare(operator @ ("<" | "<="), value) if self.may_be_nan() => {
                doc! { path: { mongo_operator(operator): value, "$nin": nans() } }
            }
            Test::Compare(operator, value) => doc! { path: { mongo_operator(operator): value } },
        }
    }

    /// The same as an expression over the value `$$a`, which is not null.
    fn expression(&self, test: Test) -> Bson {
        let is_nan_value = || doc! { "$in": ["$$a", { "$literal": nans() }] };
        let compared = |operator: &str, value: Bson| {
            doc! { mongo_operator(operator): ["$$a", { "$literal": value }] }
        };
        Bson::Document(match test {
            Test::Never => return Bson::Boolean(false),
            Test::Always => return Bson::Boolean(true),
            Test::Compare(operator, value) if is_nan(&value) => match operator {
                "=" | ">=" => is_nan_value(),
                ">" => return Bson::Boolean(false),
                "<=" => return Bson::Boolean(true),
                _ => doc! { "$not": [is_nan_value()] },
            },
            Test::Compare(operator @ (">" | ">="), value) if self.may_be_nan() => {
                doc! { "$or": [compared(operator, value), is_nan_value()] }
            }
            Test::Compare(operator @ ("<" | "<="), value) if self.may_be_nan() => {
                doc! { "$and": [compared(operator, value), { "$not": [is_nan_value()] }] }
            }
            Test::Compare(operator, value) => compared(operator, value),
        })
    }
}

/// Not a number, as a double and as a decimal.
fn nans() -> Vec<Bson> {
    let decimal = "NaN".parse::<Decimal128>().map(Bson::Decimal128);
    std::iter::once(Bson::Double(f64::NAN)).chain(decimal).collect()
}

fn is_nan(value: &Bson) -> bool {
    match value {
        Bson::Double(value) => value.is_nan(),
        Bson::Decimal128(value) => value.to_string() == "NaN",
        _ => false,
    }
}

impl Scope<'_> {
    /// Whether it is over an adopted collection.
    pub(in crate::driver::mongodb) fn is_adopted(&self) -> bool {
        self.collection.and_then(super::of).is_some()
    }

    /// The filter of the documents for which a condition is true, or of those for which it is false; with `guarded`, also of those that
    /// hold a value which no condition can judge.
    ///
    /// # Errors
    /// `0A000` for what is not [`is_native_tree`].
    pub(in crate::driver::mongodb) fn adopted_filter(
        &self,
        expr: &Expr,
        wanted: bool,
        guarded: bool,
    ) -> Result<Document, NodeError> {
        let each = |args: &[Expr]| {
            let each = args.iter().map(|arg| self.adopted_filter(arg, wanted, guarded));
            each.collect::<Result<Vec<_>, _>>()
        };
        Ok(match expr {
            Expr::And(args) => joined(if wanted { "$and" } else { "$or" }, each(args)?),
            Expr::Or(args) => joined(if wanted { "$or" } else { "$and" }, each(args)?),
            Expr::Not(arg) => self.adopted_filter(arg, !wanted, guarded)?,
            leaf => {
                let holds = self.leaf(leaf, wanted)?;
                let Some(collection) = self.collection.filter(|_| guarded) else {
                    return Ok(holds);
                };
                let mut places = Vec::new();
                places_of(leaf, collection, &mut places);
                let mut either = vec![holds];
                for place in places {
                    let native = super::of(collection).map(|adopted| adopted.natives[place]);
                    let path = &collection.layout.fields[place].path;
                    either.extend(native.map(|native| unfit(path, native)).unwrap_or_default());
                }
                joined("$or", either)
            }
        })
    }

    fn leaf(&self, expr: &Expr, wanted: bool) -> Result<Document, NodeError> {
        let refused = || refusal(expr);
        Ok(match expr {
            Expr::Const(_) | Expr::Param { .. } => match self.given(expr)? {
                Some(Value::Bool(value)) => constant(value == wanted),
                _ => nothing(),
            },
            Expr::Is { arg, test, negated } => {
                let holds = match test {
                    IsTest::Null | IsTest::Unknown => self.operand(arg).ok_or_else(refused)?.null(),
                    IsTest::True => self.adopted_filter(arg, true, false)?,
                    IsTest::False => self.adopted_filter(arg, false, false)?,
                };
                if wanted != *negated { holds } else { neither(holds) }
            }
            Expr::Call(call) if sides(call).is_some() => {
                let Some((operator, field, value)) = sides(call) else { return Err(refused()) };
                let operand = self.operand(field).ok_or_else(refused)?;
                let operator = if wanted { operator } else { opposite(operator) };
                match self.given(value)? {
                    None => nothing(),
                    Some(value) => {
                        let point = point(&value, operand.native).ok_or_else(refused)?;
                        operand.filter(test(operator, point))
                    }
                }
            }
            Expr::Distinct { call, negated } => {
                let (_, field, value) = sides(call).ok_or_else(refused)?;
                let operand = self.operand(field).ok_or_else(refused)?;
                let alike = match self.given(value)? {
                    None => operand.null(),
                    Some(value) => {
                        let point = point(&value, operand.native).ok_or_else(refused)?;
                        operand.filter(test("=", point))
                    }
                };
                if wanted == *negated { alike } else { neither(alike) }
            }
            Expr::ArrayOp { .. } => {
                let (field, array, all) = list(expr).ok_or_else(refused)?;
                let operand = self.operand(field).ok_or_else(refused)?;
                let Some(listed) = self.listed(array, &operand)? else { return Ok(nothing()) };
                let path = &operand.path;
                // Whether the documents wanted are those that have one of the elements.
                match (wanted != all, listed.is_empty) {
                    (true, _) => doc! { path: { "$in": listed.values } },
                    (false, true) => Document::new(),
                    // With a NULL among them nobody knows that it is not one of them.
                    (false, false) if listed.has_null => nothing(),
                    (false, false) => {
                        let mut values = listed.values;
                        values.push(Bson::Null);
                        doc! { path: { "$nin": values } }
                    }
                }
            }
            // A boolean.
            expr => doc! { self.operand(expr).ok_or_else(refused)?.path: wanted },
        })
    }

    /// An aggregation expression for a comparison with something known; none for other expressions.
    pub(in crate::driver::mongodb) fn adopted_value(
        &self,
        expr: &Expr,
    ) -> Result<Option<Bson>, NodeError> {
        let refused = || refusal(expr);
        let over = |operand: &Operand, otherwise: Bson, missing: Bson| {
            let value = doc! { "$ifNull": [format!("${}", operand.path), Bson::Null] };
            Bson::Document(doc! { "$let": { "vars": { "a": value }, "in": {
                "$cond": [{ "$eq": ["$$a", Bson::Null] }, missing, otherwise],
            } } })
        };
        Ok(Some(match expr {
            Expr::Call(call) => {
                let Some((operator, field, value)) = sides(call) else { return Ok(None) };
                let operand = self.operand(field).ok_or_else(refused)?;
                match self.given(value)? {
                    None => Bson::Null,
                    Some(value) => {
                        let point = point(&value, operand.native).ok_or_else(refused)?;
                        over(&operand, operand.expression(test(operator, point)), Bson::Null)
                    }
                }
            }
            Expr::Distinct { call, negated } => {
                let (_, field, value) = sides(call).ok_or_else(refused)?;
                let operand = self.operand(field).ok_or_else(refused)?;
                let alike = match self.given(value)? {
                    None => over(&operand, Bson::Boolean(false), Bson::Boolean(true)),
                    Some(value) => {
                        let point = point(&value, operand.native).ok_or_else(refused)?;
                        let alike = operand.expression(test("=", point));
                        over(&operand, alike, Bson::Boolean(false))
                    }
                };
                if *negated { alike } else { Bson::Document(doc! { "$not": [alike] }) }
            }
            Expr::ArrayOp { .. } => {
                let (field, array, all) = list(expr).ok_or_else(refused)?;
                let operand = self.operand(field).ok_or_else(refused)?;
                let Some(listed) = self.listed(array, &operand)? else {
                    return Ok(Some(Bson::Null));
                };
                if listed.is_empty {
                    return Ok(Some(Bson::Boolean(all)));
                }
                let otherwise = if listed.has_null { Bson::Null } else { Bson::Boolean(all) };
                let is_in = doc! { "$in": ["$$a", { "$literal": listed.values }] };
                let found = doc! { "$cond": [is_in, !all, otherwise] };
                over(&operand, Bson::Document(found), Bson::Null)
            }
            _ => return Ok(None),
        }))
    }

    fn operand(&self, expr: &Expr) -> Option<Operand> {
        let expr = bare(expr)?;
        Some(Operand { path: self.path(expr)?, native: self.native_of(expr)? })
    }

    /// What a field or aggregate is in documents.
    pub(in crate::driver::mongodb) fn native_of(&self, expr: &Expr) -> Option<Native> {
        native_of(expr, self.collection?)
    }

    /// The value of a constant or parameter; none for NULL.
    fn given(&self, expr: &Expr) -> Result<Option<Value>, NodeError> {
        let value = match expr {
            Expr::Const(constant) => Some(constant.value.clone()),
            Expr::Param { index, .. } => self.param(*index)?.cloned(),
            _ => return Err(refusal(expr)),
        };
        Ok(value.filter(|value| !value.is_null()))
    }

    /// The elements of a list that the field can hold; none when the list itself is NULL.
    fn listed(&self, array: &Expr, operand: &Operand) -> Result<Option<Listed>, NodeError> {
        let elements: Vec<Value> = match array {
            Expr::Array { elements, .. } => {
                let known =
                    elements.iter().map(|element| Ok(self.given(element)?.unwrap_or(Value::Null)));
                known.collect::<Result<_, NodeError>>()?
            }
            array => match self.given(array)? {
                Some(Value::Array(values)) => values.elements.clone(),
                _ => return Ok(None),
            },
        };
        let mut listed =
            Listed { values: Vec::new(), has_null: false, is_empty: elements.is_empty() };
        for element in &elements {
            if element.is_null() {
                listed.has_null = true;
                continue;
            }
            let point = point(element, operand.native).ok_or_else(|| refusal(array))?;
            match test("=", point) {
                Test::Compare(_, value) if is_nan(&value) => listed.values.extend(nans()),
                Test::Compare(_, value) => listed.values.push(value),
                Test::Always | Test::Never => {}
            }
        }
        Ok(Some(listed))
    }
}

/// What a field, or the least or greatest of one, is in documents.
pub(in crate::driver::mongodb) fn native_of(
    expr: &Expr,
    collection: &Collection,
) -> Option<Native> {
    let adopted = super::of(collection)?;
    match bare(expr)? {
        Expr::Field(field) => collection.place(&field.name).map(|place| adopted.natives[place]),
        Expr::Aggregate(aggregate) => match native_aggregate(aggregate)? {
            NativeAggregate::Count | NativeAggregate::Sum => Some(Native::Integer),
            NativeAggregate::DecimalSum => Some(Native::Decimal),
            NativeAggregate::Min | NativeAggregate::Max => {
                native_of(aggregate.args.first()?, collection)
            }
        },
        _ => None,
    }
}

/// The elements of a list.
struct Listed {
    /// Those that the field can hold.
    values: Vec<Bson>,
    has_null: bool,
    is_empty: bool,
}
