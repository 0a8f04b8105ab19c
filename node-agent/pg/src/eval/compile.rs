//! Expression → node: looks up every function, and refuses what is not computed here by name.

use super::Outsides;
use super::array::Subscript;
use super::cast::CastStep;
use super::node::{CallNode, ElementTest, Equality, Function, Node};
use crate::catalog;
use crate::comparison::{self, Test, has_values};
use crate::error::{PgError, Result};
use crate::expr::{Call, Expr, Field, FunctionId, OperatorId, SubscriptIndex};
use crate::order::compare;
use crate::registry;
use crate::types::TypeId;
use crate::value::Value;

/// From how many elements on a constant array is searched in order.
const SORTED_FROM: usize = 9;

/// Where an expression finds what is not in it.
pub(super) struct Surroundings<'a> {
    /// A field's place in the row.
    pub(super) field: &'a dyn Fn(&Field) -> Option<usize>,
    /// What gives a subquery's value.
    pub(super) outside: &'a Outsides<'a>,
}

type Place<'a> = &'a Surroundings<'a>;

/// The refusal of something that is not computed here.
pub(super) fn not_computed(what: &str) -> PgError {
    PgError::unsupported(format!("{what} is not computed by dataman yet"))
}

pub(super) fn compile(expr: &Expr, place: Place<'_>) -> Result<Node> {
    let all = |exprs: &[Expr]| {
        exprs.iter().map(|expr| compile(expr, place)).collect::<Result<Vec<Node>>>()
    };
    let boxed = |expr: &Expr| compile(expr, place).map(Box::new);
    Ok(match expr {
        Expr::Const(constant) => {
            check_type(constant.ty.id)?;
            Node::Const(constant.value.clone())
        }
        Expr::Param { index, ty } => {
            check_type(*ty)?;
            let index = usize::from(*index).checked_sub(1);
            Node::Param(index.ok_or_else(|| PgError::new("42P02", "there is no parameter $0"))?)
        }
        Expr::Field(field) => {
            check_type(field.ty.id)?;
            let place = (place.field)(field).ok_or_else(|| {
                PgError::internal(format!("the row has no field {}.{}", field.source, field.name))
            })?;
            Node::Column(place)
        }
        Expr::Column { index, ty } => {
            check_type(ty.id)?;
            Node::Column(*index)
        }
        Expr::Call(call) => compile_call(call, place)?,
        Expr::Cast(cast) => {
            let step = CastStep::compile(cast.arg.type_id(), cast.ty, cast.method, cast.explicit)?;
            Node::Cast { arg: boxed(&cast.arg)?, step }
        }
        Expr::And(args) => Node::And(all(args)?),
        Expr::Or(args) => Node::Or(all(args)?),
        Expr::Not(arg) => Node::Not(boxed(arg)?),
        Expr::Is { arg, test, negated } => {
            Node::Is { arg: boxed(arg)?, test: *test, negated: *negated }
        }
        Expr::Distinct { call, negated } => {
            Node::Distinct { equality: Box::new(equality(call, place)?), negated: *negated }
        }
        Expr::NullIf { call, value } => {
            Node::NullIf { equality: Box::new(equality(call, place)?), value: boxed(value)? }
        }
        Expr::Case { branches, otherwise, .. } => {
            let branches = branches
                .iter()
                .map(|(condition, result)| {
                    Ok((compile(condition, place)?, compile(result, place)?))
                })
                .collect::<Result<_>>()?;
            Node::Case { branches, otherwise: boxed(otherwise)? }
        }
        Expr::Coalesce { args, .. } => Node::Coalesce(all(args)?),
        Expr::Extreme { greatest, args, ty } => {
            check_type(ty.id)?;
            Node::Extreme { greatest: *greatest, args: all(args)? }
        }
        Expr::Array { elements, ty } => {
            check_type(*ty)?;
            let nested = elements.first().is_some_and(|element| element.type_id() == *ty);
            let element_type = match catalog::type_by_id(*ty) {
                Some(entry) => entry.element,
                None => user_element(elements),
            };
            Node::Array { element_type, elements: all(elements)?, nested }
        }
        Expr::Row(fields) => Node::Row(
            fields
                .iter()
                .map(|field| Ok((field.type_id(), compile(field, place)?)))
                .collect::<Result<_>>()?,
        ),
        Expr::RowCompare { operator, fields } => {
            let fields = fields
                .iter()
                .map(|field| {
                    let compare = field.compare.as_ref().map(|call| compile_call(call, place));
                    Ok((compile_call(&field.equal, place)?, compare.transpose()?))
                })
                .collect::<Result<_>>()?;
            Node::RowCompare { test: row_test(operator)?, fields }
        }
        Expr::ArrayOp { function, operator, all, left, array } => {
            let types = [left.type_id(), element_type(array)];
            let function = binary_function(*function, Some(*operator), types)?;
            let (left, array) = (boxed(left)?, boxed(array)?);
            let sorted = sorted_elements(&function, *all, &array);
            let operator = Box::new(ElementTest { function, sorted });
            Node::ArrayOp { all: *all, operator, left, array }
        }
        Expr::Subscript { array, subscripts, ty } => {
            check_type(*ty)?;
            let is_jsonb = array.type_id() == TypeId::JSONB;
            let subscripts = subscripts
                .iter()
                .map(|subscript| compile_subscript(subscript, place))
                .collect::<Result<_>>()?;
            Node::Subscript { array: boxed(array)?, subscripts, is_jsonb }
        }
        Expr::Aggregate(_) => return Err(not_scalar("an aggregate")),
        Expr::Window(_) => return Err(not_scalar("a window function")),
        Expr::Grouping(_) => return Err(not_scalar("GROUPING")),
        Expr::Subquery { .. } => {
            Node::Outside((place.outside)(expr)?.ok_or_else(|| not_scalar("a subquery"))?)
        }
    })
}

fn not_scalar(what: &str) -> PgError {
    PgError::unsupported(format!("{what} cannot be computed over one row alone"))
}

pub(super) fn check_type(ty: TypeId) -> Result<()> {
    if has_values(ty) {
        return Ok(());
    }
    let name = catalog::format_type(ty, -1);
    Err(PgError::unsupported(format!("values of type {name} are not computed with by dataman yet")))
}

/// The type of the elements of a user's array: what the elements are, or what they are arrays of.
fn user_element(elements: &[Expr]) -> TypeId {
    match elements.first() {
        Some(Expr::Array { elements, ty }) if ty.is_user() => user_element(elements),
        Some(first) => first.type_id(),
        None => TypeId::UNKNOWN,
    }
}

fn element_type(array: &Expr) -> TypeId {
    match catalog::type_by_id(array.type_id()) {
        Some(entry) => entry.element,
        None => match array {
            Expr::Array { elements, .. } => user_element(elements),
            _ => TypeId::UNKNOWN,
        },
    }
}

fn compile_call(call: &Call, place: Place<'_>) -> Result<Node> {
    let Some(function) = catalog::function(call.function) else {
        return Err(not_computed(&format!("function {}", call.function.0)));
    };
    let types: Vec<TypeId> = call.args.iter().map(Expr::type_id).collect();
    let refused = || not_computed(&describe(call.function, call.operator, &types));
    if function.kind != 'f' || function.returns_set || !types.iter().all(|ty| has_values(*ty)) {
        return Err(refused());
    }
    let mut args = call.args.iter().map(|arg| compile(arg, place)).collect::<Result<Vec<_>>>()?;
    if let (Some(test), 2) = (test_of(function.source, &types), args.len())
        && let (Some(right), Some(left)) = (args.pop(), args.pop())
    {
        return Ok(Node::Compare { test, operands: Box::new([left, right]) });
    }
    Ok(Node::Call(Box::new(CallNode {
        implementation: registry::find(function.source).ok_or_else(refused)?,
        strict: function.strict,
        args,
        types,
        result: call.ty.id,
        variadic: call.variadic,
    })))
}

/// The test that a function is, where it cannot fail: rows may turn out not to be comparable.
fn test_of(source: &str, types: &[TypeId]) -> Option<comparison::Test> {
    if types.contains(&TypeId::RECORD) {
        return None;
    }
    comparison::test_of(source)
}

/// A function or operator as a refusal names it.
fn describe(function: FunctionId, operator: Option<OperatorId>, types: &[TypeId]) -> String {
    let names: Vec<String> = types.iter().map(|ty| catalog::format_type(*ty, -1)).collect();
    match (operator.and_then(catalog::operator), names.as_slice()) {
        (Some(operator), [arg]) => format!("operator {} {arg}", operator.name),
        (Some(operator), [left, right]) => format!("operator {left} {} {right}", operator.name),
        _ => {
            let name = catalog::function(function).map_or("?", |function| function.name);
            format!("function {name}({})", names.join(", "))
        }
    }
}

fn binary_function(
    id: FunctionId,
    operator: Option<OperatorId>,
    types: [TypeId; 2],
) -> Result<Function> {
    let refused = || not_computed(&describe(id, operator, &types));
    let function = catalog::function(id).ok_or_else(refused)?;
    if !types.iter().all(|ty| has_values(*ty)) {
        return Err(refused());
    }
    if let Some(test) = test_of(function.source, &types) {
        return Ok(Function::Test(test));
    }
    Ok(Function::Other {
        implementation: registry::find(function.source).ok_or_else(refused)?,
        types,
        strict: function.strict,
        result: function.result,
    })
}

fn equality(call: &Call, place: Place<'_>) -> Result<Equality> {
    let [left, right] = call.args.as_slice() else {
        return Err(PgError::internal("an equality takes two values"));
    };
    let types = [left.type_id(), right.type_id()];
    Ok(Equality {
        function: binary_function(call.function, call.operator, types)?,
        operands: [compile(left, place)?, compile(right, place)?],
    })
}

fn row_test(operator: &str) -> Result<Test> {
    Ok(match operator {
        "=" => Test::Equal,
        "<>" => Test::NotEqual,
        "<" => Test::Less,
        "<=" => Test::LessEqual,
        ">=" => Test::GreaterEqual,
        ">" => Test::Greater,
        other => return Err(not_computed(&format!("row comparison with operator {other}"))),
    })
}

fn sorted_elements(function: &Function, all: bool, array: &Node) -> Option<(Vec<Value>, bool)> {
    let (Function::Test(Test::Equal), false, Node::Const(Value::Array(array))) =
        (function, all, array)
    else {
        return None;
    };
    if array.elements.len() < SORTED_FROM {
        return None;
    }
    let (nulls, mut sorted): (Vec<Value>, Vec<Value>) =
        array.elements.iter().cloned().partition(Value::is_null);
    sorted.sort_by(compare);
    Some((sorted, !nulls.is_empty()))
}

fn compile_subscript(subscript: &SubscriptIndex, place: Place<'_>) -> Result<Subscript> {
    let end = |expr: &Option<Expr>| expr.as_ref().map(|expr| compile(expr, place)).transpose();
    Ok(match subscript {
        SubscriptIndex::At(at) => Subscript::At(compile(at, place)?),
        SubscriptIndex::Slice(from, to) => Subscript::Slice(end(from)?, end(to)?),
    })
}
