//! A compiled expression's elements and what each computes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::Outside;
use super::array::{self, Subscript};
use super::cast::CastStep;
use crate::comparison::Test;
use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::expr::IsTest;
use crate::order::compare;
use crate::registry::Implementation;
use crate::types::TypeId;
use crate::value::Value;

/// What an expression is computed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) row: &'a [Value],
    pub(super) params: &'a [Value],
    pub(super) context: &'a Context,
}

/// One element of a compiled expression.
#[derive(Debug)]
pub(super) enum Node {
    Const(Value),
    Column(usize),
    /// From 0.
    Param(usize),
    Call(Box<CallNode>),
    /// A comparison of two values of one type, without the detour over a function.
    Compare {
        test: Test,
        operands: Box<[Node; 2]>,
    },
    Cast {
        arg: Box<Node>,
        step: CastStep,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Is {
        arg: Box<Node>,
        test: IsTest,
        negated: bool,
    },
    Distinct {
        equality: Box<Equality>,
        negated: bool,
    },
    NullIf {
        equality: Box<Equality>,
        value: Box<Node>,
    },
    Case {
        branches: Vec<(Node, Node)>,
        otherwise: Box<Node>,
    },
    Coalesce(Vec<Node>),
    Extreme {
        greatest: bool,
        args: Vec<Node>,
    },
    Array {
        element_type: TypeId,
        elements: Vec<Node>,
        /// The elements are arrays and make a further dimension.
        nested: bool,
    },
    Row(Vec<(TypeId, Node)>),
    RowCompare {
        test: Test,
        fields: Vec<(Node, Option<Node>)>,
    },
    ArrayOp {
        all: bool,
        operator: Box<ElementTest>,
        left: Box<Node>,
        array: Box<Node>,
    },
    Subscript {
        array: Box<Node>,
        subscripts: Vec<Subscript>,
        is_jsonb: bool,
    },
    /// Computed elsewhere.
    Outside(Arc<dyn Outside>),
}

/// A function's call.
#[derive(Debug)]
pub(super) struct CallNode {
    pub(super) implementation: Implementation,
    pub(super) strict: bool,
    pub(super) args: Vec<Node>,
    pub(super) types: Vec<TypeId>,
    pub(super) result: TypeId,
    pub(super) variadic: bool,
}

/// The equality of IS DISTINCT FROM and NULLIF, and its operands.
#[derive(Debug)]
pub(super) struct Equality {
    pub(super) function: Function,
    pub(super) operands: [Node; 2],
}

/// A function over two values.
#[derive(Debug)]
pub(super) enum Function {
    Test(Test),
    Other { implementation: Implementation, types: [TypeId; 2], strict: bool, result: TypeId },
}

/// The operator of ANY and ALL.
#[derive(Debug)]
pub(super) struct ElementTest {
    pub(super) function: Function,
    /// For `= ANY` of a long constant array: its elements in order, without NULLs, and whether there were any.
    pub(super) sorted: Option<(Vec<Value>, bool)>,
}

impl CallNode {
    fn eval(&self, input: &Input<'_>) -> Result<Value> {
        // Most functions take one or two values: those need no allocation.
        match self.args.as_slice() {
            [] => self.call(&[], input),
            [only] => self.call(&[only.eval(input)?], input),
            [first, second] => self.call(&[first.eval(input)?, second.eval(input)?], input),
            [first, second, third] => {
                self.call(&[first.eval(input)?, second.eval(input)?, third.eval(input)?], input)
            }
            many => {
                let args = many.iter().map(|arg| arg.eval(input)).collect::<Result<Vec<_>>>()?;
                self.call(&args, input)
            }
        }
    }

    fn call(&self, args: &[Value], input: &Input<'_>) -> Result<Value> {
        if self.strict && args.iter().any(Value::is_null) {
            return Ok(Value::Null);
        }
        let call = CallContext {
            context: input.context,
            arguments: &self.types,
            result: self.result,
            variadic: self.variadic,
        };
        (self.implementation)(&call, args)
    }
}

impl Function {
    fn call(&self, left: &Value, right: &Value, context: &Context) -> Result<Value> {
        match self {
            _ if self.is_strict() && (left.is_null() || right.is_null()) => Ok(Value::Null),
            Self::Test(test) => Ok(Value::Bool(test.holds(compare(left, right)))),
            Self::Other { implementation, types, result, .. } => {
                let call =
                    CallContext { context, arguments: types, result: *result, variadic: false };
                implementation(&call, &[left.clone(), right.clone()])
            }
        }
    }

    fn is_strict(&self) -> bool {
        match self {
            Self::Test(_) => true,
            Self::Other { strict, .. } => *strict,
        }
    }
}

impl Node {
    pub(super) fn eval(&self, input: &Input<'_>) -> Result<Value> {
        match self {
            Self::Const(_) | Self::Column(_) | Self::Param(_) => {
                self.get(input).map(Cow::into_owned)
            }
            Self::Call(call) => call.eval(input),
            Self::Compare { test, operands } => {
                let (left, right) = (operands[0].get(input)?, operands[1].get(input)?);
                if left.is_null() || right.is_null() {
                    return Ok(Value::Null);
                }
                Ok(Value::Bool(test.holds(compare(&left, &right))))
            }
            Self::Cast { arg, step } => step.apply(arg.eval(input)?, input.context),
            Self::And(args) => junction(args, input, false),
            Self::Or(args) => junction(args, input, true),
            Self::Not(arg) => Ok(match truth(&*arg.get(input)?)? {
                None => Value::Null,
                Some(truth) => Value::Bool(!truth),
            }),
            Self::Is { arg, test, negated } => is(&*arg.get(input)?, *test, *negated),
            Self::Distinct { equality, negated } => {
                let (left, right) =
                    (equality.operands[0].get(input)?, equality.operands[1].get(input)?);
                let distinct = match (left.is_null(), right.is_null()) {
                    (true, true) => false,
                    (false, false) => {
                        let equal = equality.function.call(&left, &right, input.context)?;
                        truth(&equal)? != Some(true)
                    }
                    _ => true,
                };
                Ok(Value::Bool(distinct != *negated))
            }
            Self::NullIf { equality, value } => {
                let (left, right) =
                    (equality.operands[0].get(input)?, equality.operands[1].get(input)?);
                if !left.is_null() && !right.is_null() {
                    let equal = equality.function.call(&left, &right, input.context)?;
                    if truth(&equal)? == Some(true) {
                        return Ok(Value::Null);
                    }
                }
                value.eval(input)
            }
            Self::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    if truth(&*condition.get(input)?)? == Some(true) {
                        return result.eval(input);
                    }
                }
                otherwise.eval(input)
            }
            Self::Coalesce(args) => {
                for arg in args {
                    let value = arg.get(input)?;
                    if !value.is_null() {
                        return Ok(value.into_owned());
                    }
                }
                Ok(Value::Null)
            }
            Self::Extreme { greatest, args } => extreme(*greatest, args, input),
            Self::Array { element_type, elements, nested } => {
                let values = elements.iter().map(|element| element.eval(input));
                let values = values.collect::<Result<Vec<_>>>()?;
                array::construct(*element_type, values, *nested)
            }
            Self::Row(fields) => {
                let fields = fields.iter().map(|(ty, node)| Ok((*ty, node.eval(input)?)));
                Ok(Value::Record(Arc::new(fields.collect::<Result<Vec<_>>>()?.into())))
            }
            Self::RowCompare { test, fields } => row_compare(*test, fields, input),
            Self::ArrayOp { all, operator, left, array } => {
                let (left, array) = (left.get(input)?, array.get(input)?);
                operator.eval(*all, &left, &array, input.context)
            }
            Self::Subscript { array, subscripts, is_jsonb } => {
                let container = array.get(input)?;
                array::subscript(&container, subscripts, *is_jsonb, input)
            }
            Self::Outside(outside) => outside.value(input.row, input.params, input.context),
        }
    }

    /// The value, without a copy where it stands in the row already.
    pub(super) fn get<'a>(&'a self, input: &Input<'a>) -> Result<Cow<'a, Value>> {
        match self {
            Self::Const(value) => Ok(Cow::Borrowed(value)),
            Self::Column(place) => input
                .row
                .get(*place)
                .map(Cow::Borrowed)
                .ok_or_else(|| PgError::internal(format!("the row has no column {place}"))),
            Self::Param(place) => input.params.get(*place).map(Cow::Borrowed).ok_or_else(|| {
                PgError::new("42P02", format!("there is no parameter ${}", place + 1))
            }),
            _ => self.eval(input).map(Cow::Owned),
        }
    }
}

/// A `boolean`; `None` for NULL.
fn truth(value: &Value) -> Result<Option<bool>> {
    match value {
        Value::Bool(truth) => Ok(Some(*truth)),
        Value::Null => Ok(None),
        other => Err(PgError::internal(format!("{other:?} is no boolean"))),
    }
}

/// AND, decided by the first false; OR, decided by the first true. What comes after that is not evaluated.
fn junction(args: &[Node], input: &Input<'_>, decisive: bool) -> Result<Value> {
    let mut is_null = false;
    for arg in args {
        match truth(&*arg.get(input)?)? {
            None => is_null = true,
            Some(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
            Some(_) => {}
        }
    }
    Ok(if is_null { Value::Null } else { Value::Bool(!decisive) })
}

fn is(value: &Value, test: IsTest, negated: bool) -> Result<Value> {
    let holds = match test {
        // A row IS NULL when all its fields are, and IS NOT NULL when none is.
        IsTest::Null => {
            if let Value::Record(fields) = value {
                let all = fields.iter().all(|(_, field)| field.is_null() != negated);
                return Ok(Value::Bool(all));
            }
            value.is_null()
        }
        IsTest::Unknown => value.is_null(),
        IsTest::True => truth(value)? == Some(true),
        IsTest::False => truth(value)? == Some(false),
    };
    Ok(Value::Bool(holds != negated))
}

/// The greatest or least value that is not NULL; of equal ones the first.
fn extreme(greatest: bool, args: &[Node], input: &Input<'_>) -> Result<Value> {
    let mut best: Option<Cow<'_, Value>> = None;
    for arg in args {
        let value = arg.get(input)?;
        if value.is_null() {
            continue;
        }
        let is_better = best.as_ref().is_none_or(|best| {
            let wanted = if greatest { Ordering::Greater } else { Ordering::Less };
            compare(&value, best) == wanted
        });
        if is_better {
            best = Some(value);
        }
    }
    Ok(best.map_or(Value::Null, Cow::into_owned))
}

/// Row comparison: equality is an AND over the fields; an order is decided by the first fields that differ.
fn row_compare(test: Test, fields: &[(Node, Option<Node>)], input: &Input<'_>) -> Result<Value> {
    let mut is_null = false;
    for (equal, comparison) in fields {
        let equal = truth(&equal.eval(input)?)?;
        match (test, equal) {
            (_, Some(true)) => {}
            (Test::Equal | Test::NotEqual, None) => is_null = true,
            (Test::Equal, Some(false)) => return Ok(Value::Bool(false)),
            (Test::NotEqual, Some(false)) => return Ok(Value::Bool(true)),
            (_, None) => return Ok(Value::Null),
            (_, Some(false)) => {
                let comparison = comparison
                    .as_ref()
                    .ok_or_else(|| PgError::internal("a row comparison lacks its operator"))?;
                return comparison.eval(input);
            }
        }
    }
    Ok(if is_null { Value::Null } else { Value::Bool(test.holds(Ordering::Equal)) })
}

impl ElementTest {
    fn eval(&self, all: bool, left: &Value, array: &Value, context: &Context) -> Result<Value> {
        let elements = match array {
            Value::Null => return Ok(Value::Null),
            Value::Array(array) => &array.elements,
            other => return Err(PgError::internal(format!("{other:?} is no array"))),
        };
        if elements.is_empty() {
            return Ok(Value::Bool(all));
        }
        if left.is_null() && self.function.is_strict() {
            return Ok(Value::Null);
        }
        if let Some((sorted, has_null)) = &self.sorted {
            let found = sorted.binary_search_by(|element| compare(element, left)).is_ok();
            return Ok(if found || !has_null { Value::Bool(found) } else { Value::Null });
        }
        let mut is_null = false;
        for element in elements {
            match truth(&self.function.call(left, element, context)?)? {
                None => is_null = true,
                Some(truth) if truth != all => return Ok(Value::Bool(truth)),
                Some(_) => {}
            }
        }
        Ok(if is_null { Value::Null } else { Value::Bool(all) })
    }
}
