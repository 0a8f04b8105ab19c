//! Expressions in SQLite's words.
//!
//! An expression is lowered in one of two forms ([`form`]):
//! - *native* where SQLite's own operator means exactly PostgreSQL's on the [`stored`] forms: comparisons within a family,
//!   AND, OR, NOT, IS, CASE, COALESCE, IN over listed values, subqueries;
//! - *computed*: the whole expression travels as JSON to the registered function `dm`, which evaluates it with dataman-pg
//!   over the fields, parameters and aggregates in it: `dm('{"call":…}', "@t"."a", ?1)`; a deeply nested one stays with the
//!   statement and is named by a number.
//!
//! Aggregates are registered functions over dataman-pg's accumulators, one name for each aggregate and argument types
//! ([`aggregate_name`]), so that a name alone says what to register.

use std::sync::atomic::{AtomicU64, Ordering};

use dataman_node_protocol::NodeError;
use dataman_pg::expr::{
    Aggregate, Call, CastMethod, Constant, Expr, FrameUnit, FunctionId, IsTest, OperatorId,
    RowField, SubqueryKind, Window,
};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use dataman_pg::{Context, aggregate, catalog, eval};

use super::expr::two;
use super::stored::{self, FIRST_USER_TYPE, Family, family};
use super::{Lowering, literal};

/// How one node of an expression is carried out in SQLite, its arguments being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By SQLite's own operator.
    Native,
    /// By dataman-pg inside SQLite.
    Computed,
    /// Not at all.
    None,
}

/// Deeper expressions are named by number instead of written out: JSON that is read back may not nest without bound. The
/// others are written, so that an expression in a query is the same text as in an index.
const WRITTEN_DEPTH: usize = 16;

fn depth(expr: &Expr) -> usize {
    let mut deepest = 0;
    expr.for_each_child(&mut |child| deepest = deepest.max(depth(child)));
    deepest + 1
}

/// Functions whose answer is the session's or its clock's, which the agent does not know, or which act.
const SESSION_FUNCTIONS: &[&str] = &[
    "current_user",
    "session_user",
    "current_database",
    "current_schema",
    "current_schemas",
    "pg_backend_pid",
    "version",
    "current_setting",
    "set_config",
    "statement_timestamp",
    "clock_timestamp",
    "timeofday",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "enum_first",
    "enum_last",
    "enum_range",
];

/// Functions on stored forms that change the type and not the stored form.
const STORED_ALIKE: &[&str] = &["int48", "int28", "i2toi4", "ftod"];

/// Native window functions whose meaning is the same.
const WINDOW_FUNCTIONS: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "first_value",
    "last_value",
    "count",
];

/// Says how one node is carried out.
pub fn form(expr: &Expr) -> Form {
    match expr {
        Expr::Const(constant) => native_if(stored::check_stored(constant.ty.id).is_ok()),
        Expr::Param { ty, .. } => native_if(stored::check_stored(*ty).is_ok()),
        Expr::Field(field) => native_if(stored::check_stored(field.ty.id).is_ok()),
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) | Expr::Case { .. } | Expr::Coalesce { .. } => {
            Form::Native
        }
        Expr::Is { arg, .. } if arg.type_id() != TypeId::RECORD => Form::Native,
        Expr::Call(call) if comparison(call).is_some() || is_stored_alike(call) => Form::Native,
        Expr::Cast(cast) if is_relabel(cast.arg.type_id(), cast.ty.id, cast.method) => Form::Native,
        Expr::Distinct { call, .. } if comparison(call) == Some("=") => Form::Native,
        Expr::ArrayOp { .. } if list_test(expr).is_some() => Form::Native,
        Expr::RowCompare { operator, fields } if is_native_row(operator, fields) => Form::Native,
        // There is no stored form for arrays of enums.
        Expr::Aggregate(aggregate)
            if aggregate.ty.id.is_user()
                && aggregate.args.iter().all(|arg| arg.type_id() != aggregate.ty.id) =>
        {
            Form::None
        }
        Expr::Aggregate(aggregate) => native_if(is_aggregate_exact(aggregate)),
        Expr::Window(window) => native_if(is_window_exact(window)),
        Expr::Subquery { kind, ty, .. } => native_if(match kind {
            SubqueryKind::Scalar => stored::check_stored(ty.id).is_ok(),
            SubqueryKind::Exists => true,
            SubqueryKind::Array => false,
            SubqueryKind::Compare { all, left, operators } => {
                let wanted = if *all { "<>" } else { "=" };
                (left.len() == 1 || !*all)
                    && left.len() == operators.len()
                    && left.iter().zip(operators).all(|(left, id)| {
                        operator_family(*id).is_some_and(|(name, own)| {
                            name == wanted && family(left.type_id()) == Some(own)
                        })
                    })
            }
        }),
        Expr::Column { .. } | Expr::Row(_) => Form::None,
        _ if is_computed_node(expr) => Form::Computed,
        _ => Form::None,
    }
}

/// Whether dataman-pg computes this node over the fields and parameters of one record.
pub(crate) fn is_computed(expr: &Expr) -> bool {
    match expr {
        Expr::Aggregate(_) | Expr::Window(_) | Expr::Subquery { .. } | Expr::Column { .. } => false,
        Expr::Const(_) | Expr::Param { .. } | Expr::Field(_) => form(expr) == Form::Native,
        // Rows exist only on the way to the function that takes them.
        Expr::Row(_) => true,
        _ => is_computed_node(expr),
    }
}

fn native_if(yes: bool) -> Form {
    if yes { Form::Native } else { Form::None }
}

/// Whether dataman-pg computes this node over arguments that have a stored form.
fn is_computed_node(expr: &Expr) -> bool {
    if acts_on_session(expr) || stored::check_stored(expr.type_id()).is_err() {
        return false;
    }
    let mut shallow = expr.clone();
    let mut storable = true;
    let mut index = 0;
    shallow.for_each_child_mut(&mut |child| {
        // Rows exist only on the way to the function that takes them.
        if matches!(child, Expr::Row(_)) {
            return;
        }
        storable &= stored::check_stored(child.type_id()).is_ok();
        if !matches!(child, Expr::Const(_)) {
            *child = Expr::Column { index, ty: child.type_ref() };
            index += 1;
        }
    });
    storable && eval::check_computed(&shallow).is_ok()
}

fn acts_on_session(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => catalog::function(call.function)
            .is_none_or(|found| SESSION_FUNCTIONS.contains(&found.name)),
        // The labels of enums are the proxy's.
        Expr::Cast(cast) => cast.ty.id.is_user(),
        _ => false,
    }
}

fn is_volatile(expr: &Expr) -> bool {
    let mut volatile = match expr {
        Expr::Call(call) => {
            catalog::function(call.function).is_none_or(|found| found.volatility == 'v')
        }
        _ => false,
    };
    expr.for_each_child(&mut |child| volatile = volatile || is_volatile(child));
    volatile
}

/// The operator's name and the family that both its operands belong to.
fn operator_family(operator: OperatorId) -> Option<(&'static str, Family)> {
    let found = catalog::operator(operator)?;
    let name = ["=", "<>", "<", "<=", ">", ">="].into_iter().find(|name| *name == found.name)?;
    match (family_declared(found.left)?, family_declared(found.right)?) {
        (left, right) if left == right => Some((name, left)),
        _ => None,
    }
}

/// The family of an operator's declared operand.
fn family_declared(ty: TypeId) -> Option<Family> {
    family(ty)
}

/// The native comparison that a call is, if it is one.
pub(crate) fn comparison(call: &Call) -> Option<&'static str> {
    let found = catalog::operator(call.operator?)?;
    let name = ["=", "<>", "<", "<=", ">", ">="].into_iter().find(|name| *name == found.name)?;
    let (left, right) = two(&call.args).ok()?;
    // The operator's own types decide that it is the type's B-tree comparison; polymorphic ones (arrays, enums) by the
    // types of their operands.
    let declared =
        |ty: TypeId| matches!(ty, TypeId::ANYARRAY | TypeId::ANYENUM) || family(ty).is_some();
    if !declared(found.left) || !declared(found.right) {
        return None;
    }
    (family(left.type_id())? == family(right.type_id())?).then_some(name)
}

fn is_stored_alike(call: &Call) -> bool {
    call.operator.is_none()
        && call.args.len() == 1
        && catalog::function(call.function)
            .is_some_and(|found| STORED_ALIKE.contains(&found.source))
}

fn is_relabel(from: TypeId, to: TypeId, method: CastMethod) -> bool {
    let text = |ty| family(ty) == Some(Family::Text);
    match method {
        CastMethod::Relabel => {
            from == to
                || (text(from) || from == TypeId::UNKNOWN) && (text(to) || to == TypeId::BPCHAR)
        }
        CastMethod::Function(function) => {
            catalog::function(function).is_some_and(|found| STORED_ALIKE.contains(&found.source))
        }
        _ => false,
    }
}

/// `left = ANY (ARRAY[…])` and `left <> ALL (ARRAY[…])`: an IN list.
fn list_test(expr: &Expr) -> Option<bool> {
    let Expr::ArrayOp { operator, all, left, array, .. } = expr else {
        return None;
    };
    let found = catalog::operator(*operator)?;
    if found.name != if *all { "<>" } else { "=" } {
        return None;
    }
    let own = family(left.type_id())?;
    let element = match array.as_ref() {
        Expr::Array { elements, .. } => {
            if elements.iter().any(|element| family(element.type_id()) != Some(own)) {
                return None;
            }
            own
        }
        Expr::Const(Constant { value: Value::Array(values), .. }) => family(values.element_type)?,
        Expr::Param { ty, .. } => {
            let element = family(stored::element_type(*ty)?)?;
            if !matches!(element, Family::Integer | Family::Text) {
                return None;
            }
            element
        }
        _ => return None,
    };
    (element == own).then_some(*all)
}

fn is_native_row(operator: &str, fields: &[RowField]) -> bool {
    matches!(operator, "=" | "<>" | "<" | "<=" | ">" | ">=")
        && !fields.is_empty()
        && fields.iter().all(|field| {
            comparison(&field.equal).is_some()
                && field.compare.as_ref().is_none_or(|compare| comparison(compare).is_some())
        })
}

/// Aggregates that SQLite computes as PostgreSQL does, on stored forms without several forms of one value.
fn native_aggregate(aggregate: &Aggregate) -> Option<&'static str> {
    let found = catalog::function(aggregate.function)?;
    match found.name {
        "count" => Some("count"),
        "min" | "max" if is_one_form(aggregate.args.first()?.type_id()) => {
            Some(if found.name == "min" { "min" } else { "max" })
        }
        _ => None,
    }
}

/// Types of which equal values are alike, so it does not matter which of them an extreme is.
fn is_one_form(ty: TypeId) -> bool {
    matches!(family(ty), Some(Family::Integer | Family::Text))
        || matches!(
            ty,
            TypeId::BOOL
                | TypeId::OID
                | TypeId::CHAR
                | TypeId::BYTEA
                | TypeId::UUID
                | TypeId::DATE
                | TypeId::TIME
                | TypeId::TIMETZ
                | TypeId::TIMESTAMP
                | TypeId::TIMESTAMPTZ
        )
        || ty.0 >= FIRST_USER_TYPE
}

fn is_aggregate_exact(aggregate: &Aggregate) -> bool {
    if dataman_pg::aggregate::is_ordered_set(aggregate.function) {
        return false;
    }
    if aggregate.args.iter().any(|arg| stored::check_stored(arg.type_id()).is_err())
        || stored::check_stored(aggregate.ty.id).is_err()
        || aggregate.distinct && (aggregate.args.len() != 1 || !is_distinct_exact(aggregate))
        || aggregate.order_by.iter().any(|key| family(key.expr.type_id()).is_none())
    {
        return false;
    }
    // The arguments may be any expression here; the ORDER BY of an ordered-set aggregate is one of its inputs.
    let found = catalog::function(aggregate.function);
    let takes = found.map_or(0, |found| found.args.len());
    if takes != aggregate.args.len() {
        return false;
    }
    native_aggregate(aggregate).is_some() || {
        let types: Vec<TypeId> = aggregate.args.iter().map(Expr::type_id).collect();
        aggregate::accumulator(aggregate.function, &types, &Context::default()).is_some()
    }
}

/// Which of several equal values (`1.0`, `1.00`) DISTINCT hands to the aggregate matters to all but `count`.
fn is_distinct_exact(aggregate: &Aggregate) -> bool {
    let ty = aggregate.args[0].type_id();
    let counts = catalog::function(aggregate.function).is_some_and(|found| found.name == "count");
    if counts { family(ty).is_some() } else { is_one_form(ty) }
}

fn is_window_exact(window: &Window) -> bool {
    let Some(found) = catalog::function(window.function) else {
        return false;
    };
    // An offset of RANGE is arithmetic of the key's type, and one that is negative an error with PostgreSQL's words.
    let is_frame_exact = window.frame.as_ref().is_none_or(|frame| {
        frame.offsets().all(|offset| {
            frame.unit != FrameUnit::Range
                && matches!(offset, Expr::Const(Constant { value: Value::Int8(0..), .. }))
        })
    });
    WINDOW_FUNCTIONS.contains(&found.name)
        && window.args.iter().all(|arg| stored::check_stored(arg.type_id()).is_ok())
        && window.partition_by.iter().all(|key| family(key.type_id()).is_some())
        && window.order_by.iter().all(|key| family(key.expr.type_id()).is_some())
        && is_frame_exact
        && stored::check_stored(window.ty.id).is_ok()
}

/// The name under which an aggregate is registered: it says which function over which types with which result.
pub fn aggregate_name(function: FunctionId, args: &[TypeId], result: TypeId) -> String {
    let mut name = format!("dm_a_{}_{}", function.0, result.0);
    for arg in args {
        name.push('_');
        name.push_str(&arg.0.to_string());
    }
    name
}

/// Reads [`aggregate_name`] back.
pub fn parse_aggregate_name(name: &str) -> Option<(FunctionId, TypeId, Vec<TypeId>)> {
    let mut numbers = name.strip_prefix("dm_a_")?.split('_').map(str::parse::<u32>);
    let function = FunctionId(numbers.next()?.ok()?);
    let result = TypeId(numbers.next()?.ok()?);
    let args = numbers.map(|number| number.ok().map(TypeId)).collect::<Option<Vec<_>>>()?;
    Some((function, result, args))
}

impl<'q> Lowering<'q> {
    /// Writes an expression for SQLite.
    pub(super) fn native(&mut self, expr: &'q Expr) -> Result<(), NodeError> {
        match form(expr) {
            Form::Native => self.native_node(expr),
            Form::Computed => self.computed(expr),
            Form::None => Err(refusal(expr)),
        }
    }

    fn native_node(&mut self, expr: &'q Expr) -> Result<(), NodeError> {
        match expr {
            Expr::Const(constant) => self.native_constant(constant)?,
            Expr::Param { index, .. } => self.push(&format!("?{index}")),
            Expr::Field(field) => self.field(&field.source, &field.name),
            Expr::And(args) => self.connective(args, " AND ", "1")?,
            Expr::Or(args) => self.connective(args, " OR ", "0")?,
            Expr::Not(arg) => {
                self.push("(NOT ");
                self.native(arg)?;
                self.push(")");
            }
            Expr::Is { arg, test, negated } => {
                self.push("((");
                self.native(arg)?;
                self.push(if *negated { ") IS NOT " } else { ") IS " });
                self.push(match test {
                    IsTest::Null | IsTest::Unknown => "NULL)",
                    IsTest::True => "1)",
                    IsTest::False => "0)",
                });
            }
            Expr::Case { branches, otherwise, .. } => {
                self.push("(CASE");
                for (condition, result) in branches {
                    self.push(" WHEN ");
                    self.native(condition)?;
                    self.push(" THEN ");
                    self.native(result)?;
                }
                self.push(" ELSE ");
                self.native(otherwise)?;
                self.push(" END)");
            }
            Expr::Coalesce { args, .. } => match args.as_slice() {
                [arg] => self.native(arg)?,
                args => self.function_like("coalesce", args)?,
            },
            Expr::Call(call) => match comparison(call) {
                Some(operator) => self.compare(operator, &call.args)?,
                None => self.native(&call.args[0])?,
            },
            Expr::Cast(cast) => self.native(&cast.arg)?,
            Expr::Distinct { call, negated } => {
                self.compare(if *negated { "IS" } else { "IS NOT" }, &call.args)?;
            }
            Expr::ArrayOp { all, left, array, .. } => self.in_list(*all, left, array)?,
            Expr::RowCompare { operator, fields } => {
                self.push("((");
                self.list(fields, ", ", |l, field| {
                    let (left, _) = two(&field.equal.args)?;
                    l.collated(left)
                })?;
                self.push(&format!(") {operator} ("));
                self.list(fields, ", ", |l, field| l.native(two(&field.equal.args)?.1))?;
                self.push("))");
            }
            Expr::Aggregate(aggregate) => self.native_aggregate(aggregate)?,
            Expr::Window(window) => {
                let name = catalog::function(window.function).map_or("", |found| found.name);
                self.push(name);
                self.push("(");
                if window.args.is_empty() && name == "count" {
                    self.push("*");
                }
                self.list(&window.args, ", ", |l, arg| l.native(arg))?;
                self.push(")");
                self.over(window)?;
            }
            Expr::Subquery { index, kind, .. } => self.native_subquery(*index, kind)?,
            _ => return Err(refusal(expr)),
        }
        Ok(())
    }

    fn compare(&mut self, operator: &str, args: &'q [Expr]) -> Result<(), NodeError> {
        let (left, right) = two(args)?;
        self.push("(");
        self.collated(left)?;
        self.push(&format!(" {operator} "));
        self.native(right)?;
        self.push(")");
        Ok(())
    }

    /// A literal where SQLite reads it exactly, else a computed constant.
    fn native_constant(&mut self, constant: &Constant) -> Result<(), NodeError> {
        if constant.ty.id.0 >= FIRST_USER_TYPE
            && let Value::Text(label) = &constant.value
        {
            // The rank of a label is known where the enum is: in the file.
            let text = format!("dm_enum({}, {})", constant.ty.id.0, literal(label));
            self.push(&text);
            return Ok(());
        }
        match stored::store(&constant.value)?.literal() {
            Some(text) => self.push(&text),
            None => self.call_computed(&Expr::Const(constant.clone()), &[])?,
        }
        Ok(())
    }

    fn in_list(&mut self, all: bool, left: &'q Expr, array: &'q Expr) -> Result<(), NodeError> {
        self.push("(");
        self.collated(left)?;
        self.push(if all { " NOT IN (" } else { " IN (" });
        match array {
            Expr::Array { elements, .. } => {
                self.list(elements, ", ", |lowering, element| lowering.native(element))?;
            }
            Expr::Const(Constant { value: Value::Array(values), .. }) => {
                self.list(&values.elements, ", ", |lowering, value| {
                    let ty = TypeRef::plain(values.element_type);
                    lowering.native_constant(&Constant { value: value.clone(), ty })
                })?;
            }
            // SQLite turns the JSON list into a table, whose integers and texts are stored forms.
            Expr::Param { index, .. } => {
                self.push(&format!("SELECT value FROM json_each(dm_elements(?{index}))"));
            }
            _ => return Err(refusal(array)),
        }
        self.push("))");
        Ok(())
    }

    fn native_aggregate(&mut self, aggregate: &'q Aggregate) -> Result<(), NodeError> {
        match native_aggregate(aggregate) {
            Some(name) => self.push(name),
            None => {
                let types: Vec<TypeId> = aggregate.args.iter().map(Expr::type_id).collect();
                self.push(&aggregate_name(aggregate.function, &types, aggregate.ty.id));
            }
        }
        self.push("(");
        if aggregate.distinct {
            self.push("DISTINCT ");
        }
        if aggregate.args.is_empty() {
            if native_aggregate(aggregate).is_some() {
                self.push("*");
            }
        } else {
            self.list(&aggregate.args, ", ", |lowering, arg| lowering.collated(arg))?;
        }
        if !aggregate.order_by.is_empty() {
            self.push(" ORDER BY ");
            self.sort_keys(&aggregate.order_by)?;
        } else if aggregate.distinct && native_aggregate(aggregate).is_none() {
            // PostgreSQL sorts in order to find what is distinct, and the aggregate sees that order.
            self.push(" ORDER BY ");
            self.collated(&aggregate.args[0])?;
            self.push(" ASC NULLS LAST");
        }
        self.push(")");
        self.aggregate_filter(aggregate.filter.as_ref())
    }

    fn native_subquery(&mut self, index: usize, kind: &'q SubqueryKind) -> Result<(), NodeError> {
        let query = self.subquery_at(index)?;
        match kind {
            SubqueryKind::Exists => {
                self.push("EXISTS (");
                self.select(query, &[])?;
                self.push(")");
            }
            SubqueryKind::Scalar => {
                // One group of everything has one row; all else is counted, for SQLite would take the first row.
                if query.group.as_ref().is_some_and(Vec::is_empty) && query.union.is_empty() {
                    self.push("(");
                    self.select(query, &[])?;
                    self.push(")");
                } else {
                    self.push("(SELECT dm_one(\"dm_value\") FROM (");
                    self.select(query, &["dm_value"])?;
                    self.push("))");
                }
            }
            SubqueryKind::Compare { all, left, .. } => {
                self.push("(");
                if let [left] = left.as_slice() {
                    self.collated(left)?;
                } else {
                    self.push("(");
                    self.list(left, ", ", |lowering, left| lowering.collated(left))?;
                    self.push(")");
                }
                self.push(if *all { " NOT IN (" } else { " IN (" });
                self.select(query, &[])?;
                self.push("))");
            }
            SubqueryKind::Array => {
                return Err(NodeError::unsupported("SQLite makes no array of a subquery's rows"));
            }
        }
        Ok(())
    }

    /// Writes a call of `dm` that evaluates the expression; what the evaluator does not take is lowered as an argument.
    fn computed(&mut self, expr: &'q Expr) -> Result<(), NodeError> {
        let mut args: Vec<&'q Expr> = Vec::new();
        collect_arguments(expr, &mut args);
        let mut body = expr.clone();
        place_arguments(&mut body, &args);
        if eval::check_computed(&body).is_err() {
            return Err(refusal(expr));
        }
        self.call_computed(&body, &args)
    }

    fn call_computed(&mut self, body: &Expr, args: &[&'q Expr]) -> Result<(), NodeError> {
        let json = if depth(body) > WRITTEN_DEPTH {
            let known = self.expressions.iter().find(|(_, known)| known == body);
            let name = known.map(|(name, _)| name.clone()).unwrap_or_else(|| {
                static NEXT: AtomicU64 = AtomicU64::new(1);
                format!("#{}", NEXT.fetch_add(1, Ordering::Relaxed))
            });
            self.expressions.push((name.clone(), body.clone()));
            name
        } else {
            serde_json::to_string(body).map_err(|error| {
                NodeError::statement("XX000", format!("an expression cannot be written: {error}"))
            })?
        };
        self.push(if is_volatile(body) { "dm_volatile(" } else { "dm(" });
        self.push(&literal(&json));
        for arg in args {
            self.push(", ");
            self.native(arg)?;
        }
        self.push(")");
        Ok(())
    }
}

/// Whether the evaluator is handed this node's value instead of the node.
fn is_argument(expr: &Expr) -> bool {
    match expr {
        Expr::Const(constant) => constant.ty.id.0 >= FIRST_USER_TYPE,
        Expr::Field(_)
        | Expr::Param { .. }
        | Expr::Aggregate(_)
        | Expr::Window(_)
        | Expr::Subquery { .. } => true,
        _ => false,
    }
}

fn collect_arguments<'q>(expr: &'q Expr, args: &mut Vec<&'q Expr>) {
    if is_argument(expr) {
        if !args.contains(&expr) {
            args.push(expr);
        }
        return;
    }
    expr.for_each_child(&mut |child| collect_arguments(child, args));
}

fn place_arguments(expr: &mut Expr, args: &[&Expr]) {
    if is_argument(expr) {
        if let Some(index) = args.iter().position(|arg| *arg == &*expr) {
            *expr = Expr::Column { index, ty: expr.type_ref() };
        }
        return;
    }
    expr.for_each_child_mut(&mut |child| place_arguments(child, args));
}

fn refusal(expr: &Expr) -> NodeError {
    let what = match expr {
        Expr::Call(call) => catalog::function(call.function)
            .map_or_else(|| "a function".to_owned(), |found| format!("function {}", found.name)),
        Expr::Cast(cast) => format!(
            "the cast from {} to {}",
            catalog::format_type(cast.arg.type_id(), -1),
            catalog::format_type(cast.ty.id, -1)
        ),
        Expr::Aggregate(aggregate) => catalog::function(aggregate.function)
            .map_or_else(|| "an aggregate".to_owned(), |found| format!("aggregate {}", found.name)),
        Expr::Window(window) => catalog::function(window.function).map_or_else(
            || "a window function".to_owned(),
            |found| format!("window function {}", found.name),
        ),
        _ => format!("an expression of type {}", catalog::format_type(expr.type_id(), -1)),
    };
    NodeError::unsupported(format!("SQLite does not compute {what}"))
}
