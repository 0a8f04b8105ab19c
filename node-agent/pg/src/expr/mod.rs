//! Bound expressions: every name, operator, function and cast decided, every type known.

mod frame;
mod wire;

use serde::{Deserialize, Serialize};

use crate::types::{TypeId, TypeRef};
use crate::value::Value;

pub use frame::{Frame, FrameBound, FrameExclusion, FrameUnit};

/// A `pg_proc` OID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FunctionId(pub u32);

/// A `pg_operator` OID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperatorId(pub u32);

/// A bound scalar expression.
///
/// It is what the binder makes of SQL, what travels inside the internal query form, what drivers lower to their
/// database's language and what [`crate::eval`] computes. Implicit casts are explicit here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// A constant. NULL has a type too.
    Const(Constant),
    /// A parameter of the statement, from 1.
    Param {
        /// Its number: `$1` is 1.
        index: u16,
        /// Its type.
        #[serde(rename = "type")]
        ty: TypeId,
    },
    /// A field of a collection or derived table below, by name.
    Field(Field),
    /// A value of the input row by its place, from 0: only above the shards, where rows have no names.
    Column {
        /// The place in the input row.
        index: usize,
        /// Its type.
        #[serde(rename = "type")]
        ty: TypeRef,
    },
    /// A function or operator.
    Call(Call),
    /// A change of type that is not a function call.
    Cast(Box<Cast>),
    /// `a AND b AND …`, three-valued.
    And(Vec<Expr>),
    /// `a OR b OR …`, three-valued.
    Or(Vec<Expr>),
    /// `NOT a`.
    Not(Box<Expr>),
    /// `a IS [NOT] NULL|TRUE|FALSE|UNKNOWN`.
    Is {
        /// What is tested.
        arg: Box<Expr>,
        /// The test.
        test: IsTest,
        /// `IS NOT`.
        negated: bool,
    },
    /// `a IS [NOT] DISTINCT FROM b`; `call` is the equality operator over both.
    Distinct {
        /// The equality call; its two arguments are the operands.
        call: Box<Call>,
        /// `IS NOT DISTINCT FROM`.
        negated: bool,
    },
    /// `NULLIF(a, b)`; `call` is the equality operator; the result is its first argument, of type `ty`.
    NullIf {
        /// The equality call.
        call: Box<Call>,
        /// The first operand before any cast for the comparison.
        value: Box<Expr>,
    },
    /// `CASE`; an operand has already been turned into equality tests.
    Case {
        /// Condition and result, in order.
        branches: Vec<(Expr, Expr)>,
        /// The ELSE result; a NULL constant if there was none.
        otherwise: Box<Expr>,
        /// The result's type.
        #[serde(rename = "type")]
        ty: TypeRef,
    },
    /// `COALESCE(…)`, arguments of one type.
    Coalesce {
        /// The arguments.
        args: Vec<Expr>,
        /// Their common type.
        #[serde(rename = "type")]
        ty: TypeRef,
    },
    /// `GREATEST(…)` or `LEAST(…)`, arguments of one type.
    Extreme {
        /// GREATEST, else LEAST.
        greatest: bool,
        /// The arguments.
        args: Vec<Expr>,
        /// Their common type.
        #[serde(rename = "type")]
        ty: TypeRef,
    },
    /// `ARRAY[…]`; a nested `ARRAY` makes a further dimension.
    Array {
        /// The elements, or the sub-arrays.
        elements: Vec<Expr>,
        /// The array's type.
        #[serde(rename = "type")]
        ty: TypeId,
    },
    /// `ROW(…)`.
    Row(Vec<Expr>),
    /// Row comparison `(a, b) < (c, d)` and its like, decided field by field.
    RowCompare {
        /// `=`, `<>`, `<`, `<=`, `>`, `>=`.
        operator: String,
        /// For each field, the equality and (for `<` and its like) the strict and the final comparison calls.
        fields: Vec<RowField>,
    },
    /// `left op ANY (array)` or `left op ALL (array)`; also `IN (list)`, as `= ANY (ARRAY[…])` when types agree.
    ArrayOp {
        /// The operator's function over left and one element.
        function: FunctionId,
        /// The operator.
        operator: OperatorId,
        /// ALL, else ANY.
        all: bool,
        /// The left operand.
        left: Box<Expr>,
        /// The array.
        array: Box<Expr>,
    },
    /// `a[i]`, `a[i][j]`, `a[i:j]`.
    Subscript {
        /// The array (or jsonb).
        array: Box<Expr>,
        /// The subscripts in order.
        subscripts: Vec<SubscriptIndex>,
        /// The result's type.
        #[serde(rename = "type")]
        ty: TypeId,
    },
    /// An aggregate. Only where the query form allows it: never inside a filter.
    Aggregate(Box<Aggregate>),
    /// A window function.
    Window(Box<Window>),
    /// `GROUPING(…)` over group keys: a bit for each, the last one lowest, set where the row's grouping set leaves the key out.
    Grouping(Vec<Expr>),
    /// A subquery of the enclosing query, by its place in that query's list of subqueries.
    Subquery {
        /// The place in the list.
        index: usize,
        /// How its rows become a value.
        kind: SubqueryKind,
        /// The type of the value.
        #[serde(rename = "type")]
        ty: TypeRef,
        /// What it reads of the rows around it, where it is carried out apart from them: `index` is then a place in the
        /// plan. Nothing that travels has any.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        outer: Vec<Expr>,
    },
}

/// A typed constant. Travels as its type and PostgreSQL's text form at ISO, UTC; what that text does not hold (an enum
/// label's rank, the types of a row's fields) goes beside it.
#[derive(Debug, Clone)]
pub struct Constant {
    /// The value; may be NULL.
    pub value: Value,
    /// Its type.
    pub ty: TypeRef,
}

impl PartialEq for Constant {
    /// Whether both are written alike: a NaN is the same constant as another.
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.value, &other.value) {
            (Value::Float8(one), Value::Float8(other)) => one.to_bits() == other.to_bits(),
            (Value::Float4(one), Value::Float4(other)) => one.to_bits() == other.to_bits(),
            (one, other) => one == other,
        };
        same && self.ty == other.ty
    }
}

/// A field by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The source's alias within the query; unique among all sources in scope, also of outer queries.
    pub source: String,
    /// The field.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: TypeRef,
}

/// A call of a function, by its own name or as an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The function that computes it.
    pub function: FunctionId,
    /// The operator it was written as, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operator: Option<OperatorId>,
    /// The arguments, already of the declared types.
    pub args: Vec<Expr>,
    /// The last argument is an array that stands for VARIADIC arguments.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub variadic: bool,
    /// The result's type, concrete also for polymorphic functions.
    #[serde(rename = "type")]
    pub ty: TypeRef,
}

/// A change of type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cast {
    /// What is changed.
    pub arg: Expr,
    /// The new type and modifier.
    #[serde(rename = "type")]
    pub ty: TypeRef,
    /// How.
    pub method: CastMethod,
    /// Written by the user as `CAST` or `::`: lengths are then cut silently, as PostgreSQL does.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub explicit: bool,
}

/// How a cast is done (`pg_cast.castmethod`, and the length coercion that may follow).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastMethod {
    /// The representation stays.
    Relabel,
    /// By a `pg_cast` function.
    Function(FunctionId),
    /// Through text: output of the one type, input of the other.
    InputOutput,
    /// The same type, made to fit the modifier (`varchar(n)`, `numeric(p,s)`, `timestamp(p)`, …).
    Length,
    /// Element by element over an array.
    Array,
}

/// What `IS` tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsTest {
    /// `IS NULL`.
    Null,
    /// `IS TRUE`.
    True,
    /// `IS FALSE`.
    False,
    /// `IS UNKNOWN`.
    Unknown,
}

/// One field of a row comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowField {
    /// The equality call over both sides.
    pub equal: Call,
    /// The comparison call (`<` for `<` and `<=`, `>` for `>` and `>=`); none for `=` and `<>`.
    pub compare: Option<Call>,
}

/// One subscript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptIndex {
    /// `[i]`.
    At(Expr),
    /// `[i:j]`, either end open.
    Slice(Option<Expr>, Option<Expr>),
}

/// An aggregate call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The aggregate's `pg_proc` entry.
    pub function: FunctionId,
    /// The arguments; none for `count(*)`.
    pub args: Vec<Expr>,
    /// `DISTINCT`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub distinct: bool,
    /// `ORDER BY` within the call (or `WITHIN GROUP`).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub order_by: Vec<SortKey>,
    /// `FILTER (WHERE …)`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub filter: Option<Expr>,
    /// The result's type.
    #[serde(rename = "type")]
    pub ty: TypeRef,
}

/// A window function call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The function or aggregate.
    pub function: FunctionId,
    /// The arguments.
    pub args: Vec<Expr>,
    /// `FILTER (WHERE …)`, for aggregates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub filter: Option<Expr>,
    /// `PARTITION BY`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub partition_by: Vec<Expr>,
    /// `ORDER BY`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub order_by: Vec<SortKey>,
    /// The frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub frame: Option<Frame>,
    /// The result's type.
    #[serde(rename = "type")]
    pub ty: TypeRef,
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortKey {
    /// What is ordered by.
    pub expr: Expr,
    /// `DESC`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub descending: bool,
    /// `NULLS FIRST`; already decided (PostgreSQL: last for ASC, first for DESC).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub nulls_first: bool,
}

/// How a subquery's rows become a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubqueryKind {
    /// The one value of its one row; NULL for none; `21000` for more.
    Scalar,
    /// `EXISTS (…)`.
    Exists,
    /// `ARRAY(…)`.
    Array,
    /// `left op ANY (…)` / `IN`, or `ALL`; one comparison per column, combined as a row comparison.
    Compare {
        /// ALL, else ANY.
        all: bool,
        /// The left operands, one for each column.
        left: Vec<Expr>,
        /// The operator for each column.
        operators: Vec<OperatorId>,
    },
}

impl Expr {
    /// A constant.
    pub fn constant(value: Value, ty: impl Into<TypeRef>) -> Self {
        Self::Const(Constant { value, ty: ty.into() })
    }

    /// The NULL of a type.
    pub fn null(ty: impl Into<TypeRef>) -> Self {
        Self::constant(Value::Null, ty)
    }

    /// The type and modifier of the expression's value.
    pub fn type_ref(&self) -> TypeRef {
        match self {
            Self::Const(constant) => constant.ty,
            Self::Param { ty, .. } | Self::Array { ty, .. } | Self::Subscript { ty, .. } => {
                TypeRef::plain(*ty)
            }
            Self::Field(field) => field.ty,
            Self::Column { ty, .. }
            | Self::Case { ty, .. }
            | Self::Coalesce { ty, .. }
            | Self::Extreme { ty, .. }
            | Self::Subquery { ty, .. } => *ty,
            Self::Call(call) => call.ty,
            Self::Cast(cast) => cast.ty,
            Self::NullIf { value, .. } => value.type_ref(),
            Self::Aggregate(aggregate) => aggregate.ty,
            Self::Window(window) => window.ty,
            Self::Grouping(_) => TypeRef::plain(TypeId::INT4),
            Self::Row(_) => TypeRef::plain(TypeId::RECORD),
            Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::Is { .. }
            | Self::Distinct { .. }
            | Self::RowCompare { .. }
            | Self::ArrayOp { .. } => TypeRef::plain(TypeId::BOOL),
        }
    }

    /// The type of the expression's value.
    pub fn type_id(&self) -> TypeId {
        self.type_ref().id
    }

    /// Calls `visit` on this expression's direct children, in order. Subqueries and sort keys within aggregates and
    /// windows count as children's places, the subquery's own body does not.
    pub fn for_each_child<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Self::Const(_) | Self::Param { .. } | Self::Field(_) | Self::Column { .. } => {}
            Self::Call(call) => call.args.iter().for_each(visit),
            Self::Cast(cast) => visit(&cast.arg),
            Self::And(args) | Self::Or(args) | Self::Row(args) | Self::Grouping(args) => {
                args.iter().for_each(visit);
            }
            Self::Coalesce { args, .. } | Self::Extreme { args, .. } => args.iter().for_each(visit),
            Self::Array { elements, .. } => elements.iter().for_each(visit),
            Self::Not(arg) | Self::Is { arg, .. } => visit(arg),
            Self::Distinct { call, .. } => call.args.iter().for_each(visit),
            Self::NullIf { call, value } => {
                visit(value);
                call.args.iter().for_each(visit);
            }
            Self::Case { branches, otherwise, .. } => {
                for (condition, result) in branches {
                    visit(condition);
                    visit(result);
                }
                visit(otherwise);
            }
            Self::RowCompare { fields, .. } => {
                for field in fields {
                    field.equal.args.iter().for_each(&mut *visit);
                }
            }
            Self::ArrayOp { left, array, .. } => {
                visit(left);
                visit(array);
            }
            Self::Subscript { array, subscripts, .. } => {
                visit(array);
                for subscript in subscripts {
                    match subscript {
                        SubscriptIndex::At(at) => visit(at),
                        SubscriptIndex::Slice(from, to) => {
                            from.iter().for_each(&mut *visit);
                            to.iter().for_each(&mut *visit);
                        }
                    }
                }
            }
            Self::Aggregate(aggregate) => {
                aggregate.args.iter().for_each(&mut *visit);
                aggregate.order_by.iter().for_each(|key| visit(&key.expr));
                aggregate.filter.iter().for_each(visit);
            }
            Self::Window(window) => {
                window.args.iter().for_each(&mut *visit);
                window.filter.iter().for_each(&mut *visit);
                window.partition_by.iter().for_each(&mut *visit);
                window.order_by.iter().for_each(|key| visit(&key.expr));
                window.frame.iter().flat_map(Frame::offsets).for_each(visit);
            }
            Self::Subquery { kind, outer, .. } => {
                if let SubqueryKind::Compare { left, .. } = kind {
                    left.iter().for_each(&mut *visit);
                }
                outer.iter().for_each(visit);
            }
        }
    }

    /// Calls `visit` on this expression's direct children so that they can be replaced. Both calls of a row comparison's
    /// field are visited, since each holds its own copy of the operands.
    pub fn for_each_child_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match self {
            Self::Const(_) | Self::Param { .. } | Self::Field(_) | Self::Column { .. } => {}
            Self::Call(call) => call.args.iter_mut().for_each(visit),
            Self::Cast(cast) => visit(&mut cast.arg),
            Self::And(args) | Self::Or(args) | Self::Row(args) | Self::Grouping(args) => {
                args.iter_mut().for_each(visit);
            }
            Self::Coalesce { args, .. } | Self::Extreme { args, .. } => {
                args.iter_mut().for_each(visit);
            }
            Self::Array { elements, .. } => elements.iter_mut().for_each(visit),
            Self::Not(arg) | Self::Is { arg, .. } => visit(arg),
            Self::Distinct { call, .. } => call.args.iter_mut().for_each(visit),
            Self::NullIf { call, value } => {
                visit(value);
                call.args.iter_mut().for_each(visit);
            }
            Self::Case { branches, otherwise, .. } => {
                for (condition, result) in branches {
                    visit(condition);
                    visit(result);
                }
                visit(otherwise);
            }
            Self::RowCompare { fields, .. } => {
                for field in fields {
                    field.equal.args.iter_mut().for_each(&mut *visit);
                    if let Some(compare) = &mut field.compare {
                        compare.args.iter_mut().for_each(&mut *visit);
                    }
                }
            }
            Self::ArrayOp { left, array, .. } => {
                visit(left);
                visit(array);
            }
            Self::Subscript { array, subscripts, .. } => {
                visit(array);
                for subscript in subscripts {
                    match subscript {
                        SubscriptIndex::At(at) => visit(at),
                        SubscriptIndex::Slice(from, to) => {
                            from.iter_mut().for_each(&mut *visit);
                            to.iter_mut().for_each(&mut *visit);
                        }
                    }
                }
            }
            Self::Aggregate(aggregate) => {
                aggregate.args.iter_mut().for_each(&mut *visit);
                aggregate.order_by.iter_mut().for_each(|key| visit(&mut key.expr));
                aggregate.filter.iter_mut().for_each(visit);
            }
            Self::Window(window) => {
                window.args.iter_mut().for_each(&mut *visit);
                window.filter.iter_mut().for_each(&mut *visit);
                window.partition_by.iter_mut().for_each(&mut *visit);
                window.order_by.iter_mut().for_each(|key| visit(&mut key.expr));
                window.frame.iter_mut().flat_map(Frame::offsets_mut).for_each(visit);
            }
            Self::Subquery { kind, outer, .. } => {
                if let SubqueryKind::Compare { left, .. } = kind {
                    left.iter_mut().for_each(&mut *visit);
                }
                outer.iter_mut().for_each(visit);
            }
        }
    }
}
