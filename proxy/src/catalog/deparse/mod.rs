//! Bound expressions and queries as PostgreSQL writes them back: for definitions of defaults, checks, indexes and views.
//!
//! PostgreSQL keeps trees and writes text from them, in two styles: with parentheses around every operation, and `pretty`,
//! with those that are needed. Casts that nobody wrote are left out where the text means the same without them.

mod query;

use dataman_pg::expr::{
    Aggregate, Call, Cast, CastMethod, Constant, Field, Frame, FrameBound, IsTest, SortKey,
    SubqueryKind, SubscriptIndex, Window,
};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Expr, TypeId, Value, catalog};

use super::database::Catalog;
use dataman_pg::catalog::quote_identifier;

/// The width of one step of indentation.
const STEP: usize = 4;

/// What writes.
pub(super) struct Deparser<'a> {
    catalog: &'a Catalog,
    context: &'a Context,
    /// Parentheses only where they are needed.
    pretty: bool,
    /// Whether columns are written with their table.
    qualified: bool,
    indent: usize,
    /// How much further in CASE stands: in a query, beyond its list of columns.
    case_steps: usize,
    out: String,
    /// Something is not written as PostgreSQL would, for all that is known.
    unsure: bool,
    /// The aliases of the queries around, as they are bound and as they are written, innermost last.
    aliases: Vec<Vec<(String, String)>>,
    /// The subqueries of the queries around, innermost last.
    subqueries: Vec<&'a [dataman_node_protocol::query::Select]>,
}

/// What an expression stands in, as far as parentheses depend on it.
#[derive(Debug, Clone, Copy)]
enum Parent<'e> {
    /// Something that has its own parentheses or brackets.
    Closed,
    /// A cast.
    Cast,
    /// AND, OR or NOT.
    Bool(BoolKind),
    /// An operator, whose first argument this is or is not.
    Operator(&'e str, bool),
    /// Anything else.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BoolKind {
    And,
    Or,
    Not,
}

impl<'a> Deparser<'a> {
    pub(super) fn new(catalog: &'a Catalog, context: &'a Context, pretty: bool) -> Self {
        Self {
            catalog,
            context,
            pretty,
            qualified: false,
            indent: 0,
            case_steps: 0,
            out: String::new(),
            unsure: false,
            aliases: Vec::new(),
            subqueries: Vec::new(),
        }
    }

    /// An expression by itself; casts at its top that nobody wrote are left out. `None` where PostgreSQL's text is not sure.
    pub(super) fn expression(mut self, expr: &'a Expr) -> Option<String> {
        self.expr(expr, false);
        (!self.unsure).then_some(self.out)
    }

    /// Notes that PostgreSQL may write it in another way.
    fn unsure(&mut self) {
        self.unsure = true;
    }

    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A keyword that begins a line.
    fn line(&mut self, word: &str, plus: usize) {
        while self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push('\n');
        for _ in 0..self.indent + plus {
            self.out.push(' ');
        }
        self.push(word);
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.push(", ");
            }
            each(self, item);
        }
    }

    /// In parentheses unless pretty.
    fn wrapped(&mut self, inside: impl FnOnce(&mut Self)) {
        if !self.pretty {
            self.push("(");
        }
        inside(self);
        if !self.pretty {
            self.push(")");
        }
    }

    /// An expression within another; pretty has parentheses here, where they are needed.
    fn inner(&mut self, expr: &'a Expr, implicit: bool, parent: Parent<'_>) {
        let needed = self.pretty && !is_simple(expr, parent);
        if needed {
            self.push("(");
        }
        self.expr(expr, implicit);
        if needed {
            self.push(")");
        }
    }

    fn type_name(&self, ty: TypeRef) -> String {
        // `character` alone would be one of one character.
        if ty.id == TypeId::BPCHAR && ty.typmod < 0 {
            return "bpchar".to_owned();
        }
        self.catalog.format_type(ty, self.context).unwrap_or_else(|| "???".to_owned())
    }

    /// An expression; `implicit` shows casts that nobody wrote.
    fn expr(&mut self, expr: &'a Expr, implicit: bool) {
        match expr {
            Expr::Const(constant) => self.constant(constant, true),
            Expr::Param { index, .. } => self.push(&format!("${index}")),
            Expr::Field(field) => self.field(field),
            Expr::Column { index, .. } => self.push(&format!("{}", index + 1)),
            Expr::Call(call) => self.call(call),
            Expr::Cast(cast) => self.cast(cast, implicit),
            Expr::And(args) => self.boolean(" AND ", args, BoolKind::And),
            Expr::Or(args) => self.boolean(" OR ", args, BoolKind::Or),
            Expr::Not(arg) => match &**arg {
                Expr::Subquery { kind: SubqueryKind::Compare { .. }, .. } => self.wrapped(|own| {
                    own.push("NOT ");
                    own.inner(arg, false, Parent::Bool(BoolKind::Not));
                }),
                _ => self.wrapped(|own| {
                    own.push("NOT ");
                    own.inner(arg, false, Parent::Bool(BoolKind::Not));
                }),
            },
            Expr::Is { arg, test, negated } => self.wrapped(|own| {
                own.inner(arg, true, Parent::Other);
                own.push(match (test, negated) {
                    (IsTest::Null, false) => " IS NULL",
                    (IsTest::Null, true) => " IS NOT NULL",
                    (IsTest::True, false) => " IS TRUE",
                    (IsTest::True, true) => " IS NOT TRUE",
                    (IsTest::False, false) => " IS FALSE",
                    (IsTest::False, true) => " IS NOT FALSE",
                    (IsTest::Unknown, false) => " IS UNKNOWN",
                    (IsTest::Unknown, true) => " IS NOT UNKNOWN",
                });
            }),
            Expr::Distinct { call, negated } => {
                if let [left, right] = call.args.as_slice() {
                    let open = |own: &mut Self| {
                        own.inner(left, true, Parent::Other);
                        own.push(" IS DISTINCT FROM ");
                        own.inner(right, true, Parent::Other);
                    };
                    if *negated {
                        self.wrapped(|own| {
                            own.push("NOT ");
                            if own.pretty {
                                own.push("(");
                                open(own);
                                own.push(")");
                            } else {
                                own.wrapped(open);
                            }
                        });
                    } else {
                        self.wrapped(open);
                    }
                }
            }
            Expr::NullIf { call, .. } => {
                self.push("NULLIF(");
                self.list(&call.args, |own, arg| own.expr(arg, true));
                self.push(")");
            }
            Expr::Case { branches, otherwise, .. } => self.case(branches, otherwise),
            Expr::Coalesce { args, .. } => self.function("COALESCE", args),
            Expr::Extreme { greatest, args, .. } => {
                self.function(if *greatest { "GREATEST" } else { "LEAST" }, args);
            }
            Expr::Array { elements, ty } => {
                self.push("ARRAY[");
                self.list(elements, |own, element| own.expr(element, true));
                self.push("]");
                if elements.is_empty() {
                    let name = self.type_name(TypeRef::plain(*ty));
                    self.push(&format!("::{name}"));
                }
            }
            Expr::Row(args) => self.function("ROW", args),
            Expr::RowCompare { operator, fields } => {
                let side = |own: &mut Self, place: usize| {
                    own.push("ROW(");
                    own.list(fields, |own, field| {
                        if let Some(arg) = field.equal.args.get(place) {
                            own.expr(arg, true);
                        }
                    });
                    own.push(")");
                };
                self.wrapped(|own| {
                    side(own, 0);
                    own.push(&format!(" {operator} "));
                    side(own, 1);
                });
            }
            Expr::ArrayOp { operator, all, left, array, .. } => self.wrapped(|own| {
                own.inner(left, true, Parent::Other);
                let name = catalog::operator(*operator).map_or("?", |found| found.name);
                own.push(&format!(" {name} {} (", if *all { "ALL" } else { "ANY" }));
                own.inner(array, true, Parent::Other);
                own.push(")");
            }),
            Expr::Subscript { array, subscripts, .. } => {
                let bare = matches!(**array, Expr::Field(_));
                if !bare {
                    self.push("(");
                }
                self.expr(array, true);
                if !bare {
                    self.push(")");
                }
                for subscript in subscripts {
                    self.push("[");
                    match subscript {
                        SubscriptIndex::At(at) => self.expr(at, false),
                        SubscriptIndex::Slice(from, to) => {
                            if let Some(from) = from {
                                self.expr(from, false);
                            }
                            self.push(":");
                            if let Some(to) = to {
                                self.expr(to, false);
                            }
                        }
                    }
                    self.push("]");
                }
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Window(window) => self.window(window),
            Expr::Subquery { index, kind, .. } => self.subquery(*index, kind),
            Expr::Grouping(_) => self.unsure(),
        }
    }

    fn field(&mut self, field: &Field) {
        if self.qualified {
            let shown = self.shown_alias(&field.source);
            self.push(&quote_identifier(&shown));
            self.push(".");
        }
        self.push(&quote_identifier(&field.name));
    }

    /// A constant; `typed` says its type where the text alone would mean another.
    fn constant(&mut self, constant: &Constant, typed: bool) {
        let label = |own: &mut Self| {
            if typed {
                let name = own.type_name(TypeRef::plain(constant.ty.id));
                own.push(&format!("::{name}"));
            }
        };
        if constant.value.is_null() {
            self.push("NULL");
            return label(self);
        }
        let mut bytes = Vec::new();
        dataman_pg::io::text::output(&constant.value, constant.ty.id, self.context, &mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match constant.ty.id {
            TypeId::BOOL => self.push(if text == "t" { "true" } else { "false" }),
            TypeId::INT4 if !text.starts_with('-') => self.push(&text),
            TypeId::NUMERIC
                if text.starts_with(|letter: char| letter.is_ascii_digit())
                    && text.contains(['.', 'e', 'E']) =>
            {
                self.push(&text);
            }
            TypeId::UNKNOWN => self.push(&quoted(&text)),
            _ => {
                self.push(&quoted(&text));
                label(self);
            }
        }
    }

    fn function(&mut self, name: &str, args: &'a [Expr]) {
        self.push(name);
        self.push("(");
        self.list(args, |own, arg| own.expr(arg, true));
        self.push(")");
    }

    fn boolean(&mut self, word: &str, args: &'a [Expr], kind: BoolKind) {
        self.wrapped(|own| {
            for (place, arg) in args.iter().enumerate() {
                if place > 0 {
                    own.push(word);
                }
                own.inner(arg, false, Parent::Bool(kind));
            }
        });
    }

    fn call(&mut self, call: &'a Call) {
        if let Some(operator) = call.operator.and_then(catalog::operator) {
            return self.wrapped(|own| match call.args.as_slice() {
                [left, right] => {
                    own.inner(left, true, Parent::Operator(operator.name, true));
                    own.push(&format!(" {} ", operator.name));
                    own.inner(right, true, Parent::Operator(operator.name, false));
                }
                args => {
                    own.push(&format!("{} ", operator.name));
                    for arg in args {
                        own.inner(arg, true, Parent::Operator(operator.name, false));
                    }
                }
            });
        }
        let Some(function) = catalog::function(call.function) else {
            return self.function("?", &call.args);
        };
        match (function.name, call.args.as_slice()) {
            ("timezone", [zone, time]) => self.wrapped(|own| {
                own.inner(time, true, Parent::Cast);
                own.push(" AT TIME ZONE ");
                own.inner(zone, true, Parent::Cast);
            }),
            ("extract", [Expr::Const(Constant { value: Value::Text(part), .. }), from]) => {
                self.push(&format!("EXTRACT({part} FROM "));
                self.expr(from, false);
                self.push(")");
            }
            ("position", [text, part]) => {
                self.push("POSITION((");
                self.expr(part, false);
                self.push(") IN (");
                self.expr(text, false);
                self.push("))");
            }
            ("nextval", [Expr::Const(Constant { value: Value::Text(name), .. })]) => {
                let name = self.sequence(name);
                self.push(&format!("nextval({}::regclass)", quoted(&name)));
            }
            _ => {
                self.push(&quote_identifier(function.name));
                self.push("(");
                let last = call.args.len().wrapping_sub(1);
                for (place, arg) in call.args.iter().enumerate() {
                    if place > 0 {
                        self.push(", ");
                    }
                    if call.variadic && place == last {
                        self.push("VARIADIC ");
                    }
                    self.expr(arg, true);
                }
                self.push(")");
            }
        }
    }

    /// A sequence's name as `regclass` writes it here.
    fn sequence(&self, name: &str) -> String {
        let parts = crate::plan::bind::split_qualified(name).unwrap_or_default();
        let found = match parts.as_slice() {
            [schema, base] => self.catalog.relation_in(schema, base),
            _ => None,
        };
        found
            .and_then(|oid| self.catalog.written_relation(oid, self.context))
            .unwrap_or_else(|| name.to_owned())
    }

    fn cast(&mut self, cast: &'a Cast, implicit: bool) {
        // A literal whose input depends on settings is read when it runs; here it is a constant.
        if let (Expr::Const(constant), CastMethod::InputOutput) = (&cast.arg, cast.method)
            && constant.ty.id == TypeId::UNKNOWN
            && let Value::Text(text) = &constant.value
            && let Ok(value) =
                dataman_pg::io::text::input(text, TypeRef::plain(cast.ty.id), self.context)
        {
            return self.constant(&Constant { value, ty: TypeRef::plain(cast.ty.id) }, true);
        }
        if let Expr::Const(Constant { value: Value::Text(word), ty }) = &cast.arg
            && ty.id == TypeId::NONE
        {
            return self.push(word);
        }
        if !cast.explicit && !implicit {
            return self.expr(&cast.arg, implicit);
        }
        // The length of a value follows the change of its type in one cast.
        let arg = match (&cast.arg, cast.method) {
            (Expr::Cast(inner), CastMethod::Length) if inner.ty.id == cast.ty.id => &inner.arg,
            (arg, _) => arg,
        };
        let name = self.type_name(cast.ty);
        match arg {
            Expr::Const(constant) if constant.ty.id == cast.ty.id && !constant.value.is_null() => {
                self.constant_text(constant);
            }
            Expr::Const(constant) if constant.value.is_null() => self.push("NULL"),
            arg => self.wrapped(|own| own.inner(arg, false, Parent::Cast)),
        }
        self.push(&format!("::{name}"));
    }

    /// A constant without its type.
    fn constant_text(&mut self, constant: &Constant) {
        self.constant(constant, false);
    }

    fn case(&mut self, branches: &'a [(Expr, Expr)], otherwise: &'a Expr) {
        let before = self.indent;
        self.indent += self.case_steps;
        self.line("CASE", 0);
        self.indent += STEP;
        for (condition, result) in branches {
            self.line("WHEN ", 0);
            self.expr(condition, false);
            self.push(" THEN ");
            self.expr(result, true);
        }
        self.line("ELSE ", 0);
        self.expr(otherwise, true);
        self.indent -= STEP;
        self.line("END", 0);
        self.indent = before;
    }

    fn aggregate(&mut self, aggregate: &'a Aggregate) {
        let found = catalog::function(aggregate.function);
        self.push(&quote_identifier(found.map_or("?", |found| found.name)));
        self.push("(");
        if aggregate.distinct {
            self.push("DISTINCT ");
        }
        let ordered = catalog::aggregate(aggregate.function).is_some_and(|one| one.kind != 'n');
        if aggregate.args.is_empty() && !ordered {
            self.push("*");
        }
        self.list(&aggregate.args, |own, arg| own.expr(arg, true));
        if ordered {
            self.push(") WITHIN GROUP (ORDER BY ");
            self.sort_keys(&aggregate.order_by);
        } else if !aggregate.order_by.is_empty() {
            self.push(" ORDER BY ");
            self.sort_keys(&aggregate.order_by);
        }
        if let Some(filter) = &aggregate.filter {
            self.push(") FILTER (WHERE ");
            self.expr(filter, false);
        }
        self.push(")");
    }

    fn window(&mut self, window: &'a Window) {
        let found = catalog::function(window.function);
        self.push(&quote_identifier(found.map_or("?", |found| found.name)));
        self.push("(");
        if window.args.is_empty() && found.is_some_and(|found| found.kind == 'a') {
            self.push("*");
        }
        self.list(&window.args, |own, arg| own.expr(arg, true));
        if let Some(filter) = &window.filter {
            self.push(") FILTER (WHERE ");
            self.expr(filter, false);
        }
        self.push(") OVER (");
        let mut separator = "";
        if !window.partition_by.is_empty() {
            self.push("PARTITION BY ");
            self.list(&window.partition_by, |own, arg| own.key(arg));
            separator = " ";
        }
        if !window.order_by.is_empty() {
            self.push(separator);
            self.push("ORDER BY ");
            self.sort_keys(&window.order_by);
            separator = " ";
        }
        if let Some(frame) = &window.frame {
            self.push(separator);
            self.frame(frame);
        }
        self.push(")");
    }

    fn frame(&mut self, frame: &'a Frame) {
        self.push(frame.unit.word());
        self.push(" BETWEEN ");
        self.bound(&frame.start);
        self.push(" AND ");
        self.bound(&frame.end);
        if let Some(words) = frame.exclude.words() {
            self.push(" EXCLUDE ");
            self.push(words);
        }
    }

    fn bound(&mut self, bound: &'a FrameBound) {
        if let Some(offset) = bound.offset() {
            self.expr(offset, false);
            self.push(" ");
        }
        self.push(match bound {
            FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING",
            FrameBound::Preceding(_) => "PRECEDING",
            FrameBound::CurrentRow => "CURRENT ROW",
            FrameBound::Following(_) => "FOLLOWING",
            FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING",
        });
    }

    fn sort_keys(&mut self, keys: &'a [SortKey]) {
        self.list(keys, |own, key| {
            own.key(&key.expr);
            own.direction(key);
        });
    }

    /// An expression that rows are sorted or grouped by: what is not a column stands in parentheses.
    fn key(&mut self, expr: &'a Expr) {
        let is_call = match expr {
            Expr::Call(call) => call.operator.is_none(),
            Expr::Cast(cast) => matches!(cast.method, CastMethod::Function(_) | CastMethod::Length),
            other => matches!(other, Expr::Aggregate(_) | Expr::Window(_)),
        };
        match expr {
            Expr::Field(_) | Expr::Column { .. } => self.expr(expr, true),
            Expr::Const(_) => self.unsure(),
            _ if is_call || self.pretty => {
                self.push("(");
                self.expr(expr, true);
                self.push(")");
            }
            _ => self.expr(expr, true),
        }
    }

    fn direction(&mut self, key: &SortKey) {
        if key.descending {
            self.push(" DESC");
        }
        match (key.descending, key.nulls_first) {
            (true, false) => self.push(" NULLS LAST"),
            (false, true) => self.push(" NULLS FIRST"),
            _ => {}
        }
    }

    fn subquery(&mut self, index: usize, kind: &'a SubqueryKind) {
        let Some(select) = self.subqueries.last().and_then(|list| list.get(index)) else {
            return self.unsure();
        };
        let select: &'a _ = select;
        match kind {
            SubqueryKind::Scalar => {
                self.push("( ");
                self.nested(select);
                self.push(")");
            }
            SubqueryKind::Exists => self.wrapped_always(|own| {
                own.push("EXISTS ( ");
                own.nested(select);
                own.push(")");
            }),
            SubqueryKind::Array => {
                self.push("ARRAY( ");
                self.nested(select);
                self.push(")");
            }
            SubqueryKind::Compare { all, left, operators } => self.wrapped_always(|own| {
                let row = left.len() > 1;
                if row {
                    own.push("(");
                }
                own.list(left, |own, arg| own.expr(arg, true));
                if row {
                    own.push(")");
                }
                let name = operators
                    .first()
                    .and_then(|operator| catalog::operator(*operator))
                    .map_or("?", |found| found.name);
                own.push(&match (name, all) {
                    ("=", false) => " IN ( ".to_owned(),
                    (name, false) => format!(" {name} ANY ( "),
                    (name, true) => format!(" {name} ALL ( "),
                });
                own.nested(select);
                own.push(")");
            }),
        }
    }

    fn wrapped_always(&mut self, inside: impl FnOnce(&mut Self)) {
        self.push("(");
        inside(self);
        self.push(")");
    }
}

/// A literal with its quotes doubled.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The operators whose precedence PostgreSQL trusts.
fn level(operator: &str) -> Option<u8> {
    match operator {
        "+" | "-" => Some(0),
        "*" | "/" | "%" => Some(1),
        _ => None,
    }
}

/// Whether pretty writes an expression without parentheses within another.
fn is_simple(expr: &Expr, parent: Parent<'_>) -> bool {
    match expr {
        Expr::Const(_)
        | Expr::Param { .. }
        | Expr::Field(_)
        | Expr::Column { .. }
        | Expr::Subscript { .. }
        | Expr::Array { .. }
        | Expr::Row(_)
        | Expr::Coalesce { .. }
        | Expr::Extreme { .. }
        | Expr::NullIf { .. }
        | Expr::Aggregate(_)
        | Expr::Window(_)
        | Expr::Case { .. } => true,
        Expr::Cast(cast) => match cast.method {
            CastMethod::Function(_) | CastMethod::Length => true,
            _ => is_simple(&cast.arg, Parent::Cast),
        },
        Expr::Call(call) => match call.operator.and_then(catalog::operator) {
            None => true,
            Some(operator) => match parent {
                Parent::Operator(outer, first) if call.args.len() == 2 => {
                    match (level(operator.name), level(outer)) {
                        (Some(own), Some(outer)) => own > outer || (own == outer && first),
                        _ => false,
                    }
                }
                other => is_loose(other),
            },
        },
        Expr::Is { .. } | Expr::Distinct { negated: false, .. } | Expr::Subquery { .. } => {
            is_loose(parent)
        }
        Expr::And(_) => {
            matches!(parent, Parent::Closed | Parent::Bool(BoolKind::And | BoolKind::Or))
        }
        Expr::Not(_) | Expr::Distinct { negated: true, .. } => {
            matches!(parent, Parent::Closed | Parent::Bool(BoolKind::And | BoolKind::Or))
        }
        Expr::Or(_) => matches!(parent, Parent::Closed | Parent::Bool(BoolKind::Or)),
        _ => false,
    }
}

/// Whether what binds looser than any operation may stand here bare.
fn is_loose(parent: Parent<'_>) -> bool {
    matches!(parent, Parent::Closed | Parent::Bool(_))
}
