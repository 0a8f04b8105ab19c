//! Walks over syntax trees: which columns, tables and calls stand in them.

use super::syntax::{
    Distinct, Expr, ExprKind, FunctionCall, GroupItem, JoinCondition, ObjectName, OrderBy, Over,
    Quantified, Query, Select, SelectBody, SelectItem, Statement, Subscript, TableRef, WindowSpec,
    With,
};

/// What is told of the parts of a tree.
pub(crate) trait Visitor {
    /// An expression, before its parts.
    fn expr(&mut self, _expr: &Expr) {}
    /// A table that is no common table of the query.
    fn table(&mut self, _name: &ObjectName) {}
    /// A query within an expression.
    fn subquery(&mut self, _select: &Select) {}
}

/// Walks over an expression.
pub(crate) fn walk_expr(expr: &Expr, visitor: &mut dyn Visitor) {
    Walk { visitor, common: vec![] }.expr(expr);
}

/// Walks over a query.
pub(crate) fn walk_select(select: &Select, visitor: &mut dyn Visitor) {
    Walk { visitor, common: vec![] }.select(select);
}

struct Walk<'v> {
    visitor: &'v mut dyn Visitor,
    /// The common tables in sight.
    common: Vec<String>,
}

impl Walk<'_> {
    fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        self.visitor.expr(expr);
        match &expr.kind {
            ExprKind::Null
            | ExprKind::Bool(_)
            | ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::BitString(_)
            | ExprKind::TypedString(..)
            | ExprKind::Param(_)
            | ExprKind::Column(_)
            | ExprKind::WholeRow(_)
            | ExprKind::Default
            | ExprKind::Special(..) => {}
            ExprKind::Binary { left, right, .. } | ExprKind::Distinct { left, right, .. } => {
                self.exprs([&**left, &**right]);
            }
            ExprKind::And(left, right)
            | ExprKind::Or(left, right)
            | ExprKind::NullIf(left, right) => {
                self.exprs([&**left, &**right]);
            }
            ExprKind::Prefix { arg, .. }
            | ExprKind::Not(arg)
            | ExprKind::Is { arg, .. }
            | ExprKind::Cast { arg, .. }
            | ExprKind::FieldOf(arg, _)
            | ExprKind::Expand(arg)
            | ExprKind::Collate(arg, _) => self.expr(arg),
            ExprKind::Between { arg, low, high, .. } => self.exprs([&**arg, &**low, &**high]),
            ExprKind::InList { arg, list, .. } => {
                self.expr(arg);
                self.exprs(list);
            }
            ExprKind::InSubquery { arg, query, .. } => {
                self.expr(arg);
                self.subquery(query);
            }
            ExprKind::Like { arg, pattern, escape, .. } => {
                self.exprs([&**arg, &**pattern]);
                self.exprs(escape.as_deref());
            }
            ExprKind::Quantified { left, right, .. } => {
                self.expr(left);
                match &**right {
                    Quantified::Array(array) => self.expr(array),
                    Quantified::Subquery(query) => self.subquery(query),
                }
            }
            ExprKind::Subquery(query)
            | ExprKind::Exists(query)
            | ExprKind::ArraySubquery(query) => {
                self.subquery(query);
            }
            ExprKind::Array(list)
            | ExprKind::Row(list)
            | ExprKind::NamedRow(_, list)
            | ExprKind::Coalesce(list)
            | ExprKind::Extreme(_, list)
            | ExprKind::Grouping(list) => self.exprs(list),
            ExprKind::Subscript { array, subscripts } => {
                self.expr(array);
                for subscript in subscripts {
                    match subscript {
                        Subscript::Index(index) => self.expr(index),
                        Subscript::Slice(low, high) => {
                            self.exprs(low);
                            self.exprs(high);
                        }
                    }
                }
            }
            ExprKind::Function(call) => self.call(call),
            ExprKind::Case { operand, branches, otherwise } => {
                self.exprs(operand.as_deref());
                for (when, then) in branches {
                    self.exprs([when, then]);
                }
                self.exprs(otherwise.as_deref());
            }
        }
    }

    fn call(&mut self, call: &FunctionCall) {
        self.exprs(call.args.iter().map(|arg| &arg.value));
        self.order_by(&call.order_by);
        self.order_by(&call.within_group);
        self.exprs(&call.filter);
        if let Some(Over::Spec(spec)) = &call.over {
            self.window(spec);
        }
    }

    fn window(&mut self, spec: &WindowSpec) {
        use crate::parse::syntax::FrameBound::{Following, Preceding};
        self.exprs(&spec.partition_by);
        self.order_by(&spec.order_by);
        if let Some(frame) = &spec.frame {
            for bound in [&frame.start, &frame.end] {
                if let Preceding(offset) | Following(offset) = bound {
                    self.expr(offset);
                }
            }
        }
    }

    fn order_by(&mut self, keys: &[OrderBy]) {
        self.exprs(keys.iter().map(|key| &key.expr));
    }

    fn subquery(&mut self, select: &Select) {
        self.visitor.subquery(select);
        self.select(select);
    }

    fn select(&mut self, select: &Select) {
        let before = self.common.len();
        if let Some(with) = &select.with {
            self.with(with);
        }
        match &select.body {
            SelectBody::Query(query) => self.query(query),
            SelectBody::Values(rows) => rows.iter().for_each(|row| self.exprs(row)),
            SelectBody::SetOperation { left, right, .. } => {
                self.select(left);
                self.select(right);
            }
        }
        self.order_by(&select.order_by);
        self.exprs(&select.limit);
        self.exprs(&select.offset);
        self.common.truncate(before);
    }

    fn with(&mut self, with: &With) {
        if with.recursive {
            self.common.extend(with.tables.iter().map(|table| table.alias.name.clone()));
        }
        for table in &with.tables {
            if let Statement::Select(select) = &*table.statement {
                self.select(select);
            }
            self.common.push(table.alias.name.clone());
        }
    }

    fn query(&mut self, query: &Query) {
        if let Some(Distinct::On(keys)) = &query.distinct {
            self.exprs(keys);
        }
        for item in &query.items {
            if let SelectItem::Expr { expr, .. } = item {
                self.expr(expr);
            }
        }
        query.from.iter().for_each(|table| self.table_ref(table));
        self.exprs(&query.filter);
        for item in query.group_by.iter().flatten() {
            match item {
                GroupItem::Expr(expr) => self.expr(expr),
                GroupItem::Rollup(sets) | GroupItem::Cube(sets) | GroupItem::Sets(sets) => {
                    self.exprs(sets.iter().flatten());
                }
            }
        }
        self.exprs(&query.having);
        query.windows.iter().for_each(|(_, spec)| self.window(spec));
    }

    fn table_ref(&mut self, table: &TableRef) {
        match table {
            TableRef::Table { name, .. } => {
                let common = name.parts.len() == 1 && self.common.contains(&name.parts[0]);
                if !common {
                    self.visitor.table(name);
                }
            }
            TableRef::Subquery { query, .. } => self.select(query),
            TableRef::Function { calls, .. } => calls.iter().for_each(|call| self.call(call)),
            TableRef::Join { left, right, condition, .. } => {
                self.table_ref(left);
                self.table_ref(right);
                if let JoinCondition::On(condition) = condition {
                    self.expr(condition);
                }
            }
        }
    }
}
