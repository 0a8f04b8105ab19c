//! Expressions in PostgreSQL's words. SQLite's are in [`super::native`].

use dataman_node_protocol::NodeError;
use dataman_pg::catalog;
use dataman_pg::expr::{
    Aggregate, Call, Cast, CastMethod, Constant, Expr, Frame, FrameBound, IsTest, OperatorId,
    SortKey, SubqueryKind, SubscriptIndex, Window,
};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;

use super::{Dialect, Lowering, Qualifier, literal, push_quoted};

/// Aggregates whose ORDER BY stands in WITHIN GROUP.
const WITHIN_GROUP: &[&str] = &[
    "percentile_cont",
    "percentile_disc",
    "mode",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
];

impl<'q> Lowering<'q> {
    /// Writes one expression, in parentheses where it needs them.
    pub(crate) fn expr(&mut self, expr: &'q Expr) -> Result<(), NodeError> {
        if self.dialect == Dialect::Sqlite {
            return self.native(expr);
        }
        match expr {
            Expr::Const(constant) => self.constant(constant),
            Expr::Param { index, ty } => {
                self.push(&format!("${index}"));
                self.typed(TypeRef::plain(*ty));
                self.by_bytes(*ty);
            }
            Expr::Field(field) => {
                self.field(&field.source, &field.name);
                if self.is_collated(&field.source, &field.name) {
                    self.push(" COLLATE \"C\"");
                }
            }
            Expr::Column { .. } => {
                return Err(NodeError::unsupported("a column by place has no name in SQL"));
            }
            Expr::Call(call) => self.call(call)?,
            Expr::Cast(cast) => self.cast(cast)?,
            Expr::And(args) => self.connective(args, " AND ", "true")?,
            Expr::Or(args) => self.connective(args, " OR ", "false")?,
            Expr::Not(arg) => {
                self.push("(NOT ");
                self.expr(arg)?;
                self.push(")");
            }
            Expr::Is { arg, test, negated } => {
                self.push("(");
                self.expr(arg)?;
                self.push(if *negated { " IS NOT " } else { " IS " });
                self.push(match test {
                    IsTest::Null => "NULL",
                    IsTest::True => "TRUE",
                    IsTest::False => "FALSE",
                    IsTest::Unknown => "UNKNOWN",
                });
                self.push(")");
            }
            Expr::Distinct { call, negated } => {
                let (left, right) = two(&call.args)?;
                self.push("(");
                self.expr(left)?;
                self.push(if *negated { " IS NOT DISTINCT FROM " } else { " IS DISTINCT FROM " });
                self.expr(right)?;
                self.push(")");
            }
            Expr::NullIf { call, value } => {
                let (_, right) = two(&call.args)?;
                self.push("NULLIF(");
                self.expr(value)?;
                self.push(", ");
                self.expr(right)?;
                self.push(")");
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
            Expr::Coalesce { args, .. } => self.function_like("COALESCE", args)?,
            Expr::Extreme { greatest, args, .. } => {
                self.function_like(if *greatest { "GREATEST" } else { "LEAST" }, args)?;
            }
            Expr::Array { elements, ty } => {
                self.push("ARRAY[");
                self.list(elements, ", ", |lowering, element| lowering.expr(element))?;
                self.push("]");
                self.typed(TypeRef::plain(*ty));
            }
            Expr::Row(args) => self.function_like("ROW", args)?,
            Expr::RowCompare { operator, fields } => {
                if !matches!(operator.as_str(), "=" | "<>" | "<" | "<=" | ">" | ">=") {
                    return Err(NodeError::unsupported("row comparison by an unknown operator"));
                }
                self.push("(ROW(");
                self.list(fields, ", ", |l, field| l.expr(two(&field.equal.args)?.0))?;
                self.push(&format!(") {operator} ROW("));
                self.list(fields, ", ", |l, field| l.expr(two(&field.equal.args)?.1))?;
                self.push("))");
            }
            Expr::ArrayOp { operator, all, left, array, .. } => {
                self.push("(");
                self.expr(left)?;
                self.operator(*operator)?;
                self.push(if *all { "ALL (" } else { "ANY (" });
                self.expr(array)?;
                self.push("))");
            }
            Expr::Subscript { array, subscripts, .. } => {
                self.push("((");
                self.expr(array)?;
                self.push(")");
                for subscript in subscripts {
                    self.push("[");
                    match subscript {
                        SubscriptIndex::At(at) => self.expr(at)?,
                        SubscriptIndex::Slice(from, to) => {
                            if let Some(from) = from {
                                self.expr(from)?;
                            }
                            self.push(":");
                            if let Some(to) = to {
                                self.expr(to)?;
                            }
                        }
                    }
                    self.push("]");
                }
                self.push(")");
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            Expr::Window(window) => self.window(window)?,
            Expr::Grouping(keys) => {
                self.push("GROUPING(");
                self.list(keys, ", ", |lowering, key| lowering.expr(key))?;
                self.push(")");
            }
            Expr::Subquery { index, kind, .. } => self.subquery(*index, kind)?,
        }
        Ok(())
    }

    /// Whether a field's own collation is not that by bytes. What an insert proposes is read as `excluded`.
    fn is_collated(&self, source: &str, name: &str) -> bool {
        let is_read = |alias: &str| alias == source || source == "excluded";
        self.collated.iter().any(|(alias, field)| is_read(alias) && field == name)
    }

    /// Writes `=` of such a field and a value as the database's own index has it: of a collation that tells all texts apart,
    /// texts are equal when their bytes are.
    fn collated_equality(&mut self, call: &'q Call) -> Result<bool, NodeError> {
        let is_value = |expr: &Expr| match expr {
            Expr::Param { ty, .. } => matches!(*ty, TypeId::TEXT | TypeId::VARCHAR),
            Expr::Const(constant) => matches!(constant.ty.id, TypeId::TEXT | TypeId::VARCHAR),
            _ => false,
        };
        let (Some(operator), [left, right]) = (call.operator, call.args.as_slice()) else {
            return Ok(false);
        };
        let is_equality =
            catalog::function(call.function).is_some_and(|found| found.source == "texteq");
        let field = match left {
            Expr::Field(field) => field,
            Expr::Cast(cast) if cast.method == CastMethod::Relabel => match &cast.arg {
                Expr::Field(field) => field,
                _ => return Ok(false),
            },
            _ => return Ok(false),
        };
        if !is_equality || !is_value(right) || !self.is_collated(&field.source, &field.name) {
            return Ok(false);
        }
        self.push("(");
        self.field(&field.source, &field.name);
        self.operator(operator)?;
        match right {
            Expr::Param { index, ty } => {
                self.push(&format!("${index}"));
                self.typed(TypeRef::plain(*ty));
            }
            Expr::Const(constant) => {
                let mark = self.out.len();
                self.constant(constant);
                let written = self.out.split_off(mark);
                self.push(written.strip_suffix(" COLLATE \"C\"").unwrap_or(&written));
            }
            _ => {}
        }
        self.push(")");
        Ok(true)
    }

    /// A field of a source in scope.
    pub(super) fn field(&mut self, source: &str, name: &str) {
        let qualifier = self.qualifiers.iter().rev().find(|(alias, _)| alias == source);
        match qualifier.map(|(_, qualifier)| qualifier.clone()) {
            Some(Qualifier::Bare) => {}
            Some(Qualifier::As(text)) => {
                self.push(&text);
                self.push(".");
            }
            None => {
                self.alias(source);
                self.push(".");
            }
        }
        self.name(name);
    }

    fn constant(&mut self, constant: &Constant) {
        match &constant.value {
            Value::Null => self.push("NULL"),
            Value::Bool(true) => return self.push("true"),
            Value::Bool(false) => return self.push("false"),
            value => {
                let mut text = Vec::new();
                let context = dataman_pg::Context::default();
                dataman_pg::io::text::output(value, constant.ty.id, &context, &mut text);
                let text = literal(&String::from_utf8_lossy(&text));
                self.push(&text);
            }
        }
        self.typed(constant.ty);
        self.by_bytes(constant.ty.id);
    }

    /// `::type`; nothing for a user's own type, whose name is not known here and follows from where the value stands.
    fn typed(&mut self, ty: TypeRef) {
        if let Some(name) = type_name(ty) {
            self.push("::");
            self.push(&name);
        }
    }

    fn call(&mut self, call: &'q Call) -> Result<(), NodeError> {
        if !self.collated.is_empty() && self.collated_equality(call)? {
            return Ok(());
        }
        if let Some(operator) = call.operator {
            self.push("(");
            match call.args.as_slice() {
                [arg] => {
                    self.operator(operator)?;
                    self.expr(arg)?;
                }
                [left, right] => {
                    self.expr(left)?;
                    self.operator(operator)?;
                    self.expr(right)?;
                }
                _ => return Err(NodeError::unsupported("an operator has one or two operands")),
            }
            self.push(")");
            return Ok(());
        }
        self.function_name(call.function.0)?;
        self.push("(");
        let last = call.args.len().saturating_sub(1);
        self.list(call.args.iter().enumerate(), ", ", |lowering, (place, arg)| {
            if call.variadic && place == last {
                lowering.push("VARIADIC ");
            }
            lowering.expr(arg)
        })?;
        self.push(")");
        Ok(())
    }

    pub(super) fn function_name(&mut self, function: u32) -> Result<(), NodeError> {
        let function = catalog::function(dataman_pg::expr::FunctionId(function))
            .ok_or_else(|| NodeError::unsupported(format!("function {function} is not known")))?;
        if dataman_pg::internal::is_internal(function.id) {
            return Err(NodeError::unsupported(format!("SQL has no function {}", function.name)));
        }
        self.push("pg_catalog.");
        push_quoted(&mut self.out, function.name);
        Ok(())
    }

    fn operator(&mut self, operator: OperatorId) -> Result<(), NodeError> {
        let found = catalog::operator(operator).ok_or_else(|| {
            NodeError::unsupported(format!("operator {} is not known", operator.0))
        })?;
        self.push(&format!(" OPERATOR(pg_catalog.{}) ", found.name));
        Ok(())
    }

    fn cast(&mut self, cast: &'q Cast) -> Result<(), NodeError> {
        // A length demanded by an assignment refuses what is too long; `::` would cut it.
        if cast.method == CastMethod::Length && !cast.explicit {
            let function = match cast.ty.id {
                TypeId::VARCHAR => Some("varchar"),
                TypeId::BPCHAR => Some("bpchar"),
                TypeId::BIT => Some("bit"),
                TypeId::VARBIT => Some("varbit"),
                _ => None,
            };
            if let Some(function) = function {
                self.push(&format!("pg_catalog.\"{function}\"("));
                self.expr(&cast.arg)?;
                self.push(&format!(", {}, false)", cast.ty.typmod));
                self.typed(cast.ty);
                return Ok(());
            }
        }
        self.push("(");
        self.expr(&cast.arg)?;
        self.push(")");
        self.typed(cast.ty);
        self.by_bytes(cast.ty.id);
        Ok(())
    }

    /// Text compares by its bytes, whatever the database's collation: fields say so themselves, values do here.
    fn by_bytes(&mut self, ty: TypeId) {
        if matches!(ty, TypeId::TEXT | TypeId::VARCHAR | TypeId::BPCHAR) {
            self.push(" COLLATE \"C\"");
        }
    }

    pub(super) fn connective(
        &mut self,
        args: &'q [Expr],
        word: &str,
        empty: &str,
    ) -> Result<(), NodeError> {
        self.joined(args, word, empty, &mut |lowering, arg| lowering.expr(arg))
    }

    /// `(a AND b AND …)`; a long list as a balanced tree, for databases bound the depth of an expression.
    pub(super) fn joined<T>(
        &mut self,
        parts: &'q [T],
        word: &str,
        empty: &str,
        write: &mut dyn FnMut(&mut Self, &'q T) -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        const FLAT: usize = 64;
        if parts.is_empty() {
            self.push(empty);
            return Ok(());
        }
        self.push("(");
        if parts.len() <= FLAT {
            self.list(parts, word, write)?;
        } else {
            let (left, right) = parts.split_at(parts.len() / 2);
            self.joined(left, word, empty, write)?;
            self.push(word);
            self.joined(right, word, empty, write)?;
        }
        self.push(")");
        Ok(())
    }

    pub(super) fn function_like(&mut self, name: &str, args: &'q [Expr]) -> Result<(), NodeError> {
        self.push(name);
        self.push("(");
        self.list(args, ", ", |lowering, arg| lowering.expr(arg))?;
        self.push(")");
        Ok(())
    }

    fn aggregate(&mut self, aggregate: &'q Aggregate) -> Result<(), NodeError> {
        self.function_name(aggregate.function.0)?;
        let name = catalog::function(aggregate.function).map_or("", |function| function.name);
        let within = WITHIN_GROUP.contains(&name) && !aggregate.order_by.is_empty();
        self.push("(");
        if aggregate.distinct {
            self.push("DISTINCT ");
        }
        if aggregate.args.is_empty() && name == "count" {
            self.push("*");
        }
        self.list(&aggregate.args, ", ", |lowering, arg| lowering.expr(arg))?;
        if !aggregate.order_by.is_empty() {
            self.push(if within { ") WITHIN GROUP (ORDER BY " } else { " ORDER BY " });
            self.sort_keys(&aggregate.order_by)?;
        }
        self.push(")");
        self.aggregate_filter(aggregate.filter.as_ref())
    }

    pub(super) fn aggregate_filter(&mut self, filter: Option<&'q Expr>) -> Result<(), NodeError> {
        if let Some(filter) = filter {
            self.push(" FILTER (WHERE ");
            self.expr(filter)?;
            self.push(")");
        }
        Ok(())
    }

    fn window(&mut self, window: &'q Window) -> Result<(), NodeError> {
        self.function_name(window.function.0)?;
        self.push("(");
        let name = catalog::function(window.function).map_or("", |function| function.name);
        if window.args.is_empty() && name == "count" {
            self.push("*");
        }
        self.list(&window.args, ", ", |lowering, arg| lowering.expr(arg))?;
        self.push(")");
        self.over(window)
    }

    /// The part of a window call after its arguments.
    pub(super) fn over(&mut self, window: &'q Window) -> Result<(), NodeError> {
        self.aggregate_filter(window.filter.as_ref())?;
        self.push(" OVER (");
        if !window.partition_by.is_empty() {
            self.push("PARTITION BY ");
            self.list(&window.partition_by, ", ", |lowering, key| lowering.collated(key))?;
        }
        if !window.order_by.is_empty() {
            self.push(" ORDER BY ");
            self.sort_keys(&window.order_by)?;
        }
        if let Some(frame) = &window.frame {
            self.frame(frame)?;
        }
        self.push(")");
        Ok(())
    }

    fn frame(&mut self, frame: &'q Frame) -> Result<(), NodeError> {
        self.push(&format!(" {} BETWEEN ", frame.unit.word()));
        self.frame_bound(&frame.start)?;
        self.push(" AND ");
        self.frame_bound(&frame.end)?;
        if let Some(words) = frame.exclude.words() {
            self.push(&format!(" EXCLUDE {words}"));
        }
        Ok(())
    }

    fn frame_bound(&mut self, bound: &'q FrameBound) -> Result<(), NodeError> {
        match bound.offset() {
            // A plain number, which every database takes.
            Some(Expr::Const(Constant { value: Value::Int8(rows), .. })) => {
                self.push(&format!("{rows} "));
            }
            Some(offset) => {
                self.push("(");
                self.expr(offset)?;
                self.push(") ");
            }
            None => {}
        }
        self.push(bound.words());
        Ok(())
    }

    /// The keys of an ORDER BY, NULLs' place always written out.
    pub(super) fn sort_keys(&mut self, keys: &'q [SortKey]) -> Result<(), NodeError> {
        self.list(keys, ", ", |lowering, key| {
            lowering.collated(&key.expr)?;
            lowering.push(if key.descending { " DESC" } else { " ASC" });
            lowering.push(if key.nulls_first { " NULLS FIRST" } else { " NULLS LAST" });
            Ok(())
        })
    }

    fn subquery(&mut self, index: usize, kind: &'q SubqueryKind) -> Result<(), NodeError> {
        let query = self.subquery_at(index)?;
        match kind {
            SubqueryKind::Scalar => self.push("("),
            SubqueryKind::Exists => self.push("EXISTS ("),
            SubqueryKind::Array => self.push("ARRAY("),
            SubqueryKind::Compare { all, left, operators } => {
                let (Some(operator), false) = (operators.first(), left.is_empty()) else {
                    return Err(NodeError::unsupported(
                        "a comparison with a subquery has operands",
                    ));
                };
                let name = |id: &OperatorId| catalog::operator(*id).map(|found| found.name);
                if operators.iter().any(|other| name(other) != name(operator)) {
                    return Err(NodeError::unsupported("a row comparison by different operators"));
                }
                self.push("(");
                if let [left] = left.as_slice() {
                    self.expr(left)?;
                } else {
                    self.function_like("ROW", left)?;
                }
                self.operator(*operator)?;
                self.push(if *all { "ALL (" } else { "ANY (" });
                self.select(query, &[])?;
                self.push("))");
                return Ok(());
            }
        }
        self.select(query, &[])?;
        self.push(")");
        Ok(())
    }

    /// The enclosing query's subquery at a place.
    pub(super) fn subquery_at(
        &self,
        index: usize,
    ) -> Result<&'q dataman_node_protocol::query::Select, NodeError> {
        self.subqueries
            .last()
            .and_then(|list| list.get(index))
            .ok_or_else(|| NodeError::unsupported("the query has no such subquery"))
    }
}

/// The two operands of a comparison.
pub(super) fn two(args: &[Expr]) -> Result<(&Expr, &Expr), NodeError> {
    match args {
        [left, right] => Ok((left, right)),
        _ => Err(NodeError::unsupported("a comparison has two operands")),
    }
}

/// A type as PostgreSQL's SQL names it, schema and all; `None` for one that the catalog does not hold.
pub(super) fn type_name(ty: TypeRef) -> Option<String> {
    let found = catalog::type_by_id(ty.id)?;
    if ty.typmod >= 0 {
        return Some(catalog::format_type(ty.id, ty.typmod));
    }
    let mut name = String::from("pg_catalog.");
    push_quoted(&mut name, found.name);
    Some(name)
}
