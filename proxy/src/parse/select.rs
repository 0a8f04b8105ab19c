//! SELECT, VALUES, TABLE, set operations and WITH.

use super::cursor::{CHAIN_MAX, Parser, Result, too_deep};
use super::expr::expr;
use super::lexer::TokenKind;
use super::syntax::{
    Alias, CommonTable, Cycle, Distinct, Expr, ExprKind, GroupItem, LockClause, ObjectName,
    OrderBy, Query, Search, Select, SelectBody, SelectItem, SetOperationKind, TableRef, With,
};

/// What may follow the body of a query.
#[derive(Default)]
struct Tail {
    order_by: Vec<OrderBy>,
    limit: Option<Expr>,
    /// A LIMIT was written, also when it is none.
    limited: bool,
    with_ties: bool,
    offset: Option<Expr>,
    locks: Vec<LockClause>,
}

/// A query that is nothing but its body.
fn only(body: SelectBody) -> Select {
    Select {
        with: None,
        body,
        order_by: vec![],
        limit: None,
        with_ties: false,
        offset: None,
        locks: vec![],
    }
}

impl Parser<'_> {
    /// Takes a query, in parentheses or not.
    pub(super) fn select(&mut self) -> Result<Select> {
        self.nested(|parser| {
            let start = parser.at;
            let with = if parser.is("with") { Some(parser.with()?) } else { None };
            parser.select_after_with(with, start)
        })
    }

    /// Goes on with a query whose WITH has been taken.
    pub(super) fn select_after_with(
        &mut self,
        with: Option<With>,
        with_place: usize,
    ) -> Result<Select> {
        let left = self.select_operand()?;
        let mut select = self.set_operations(left, 0)?;
        self.tail(&mut select)?;
        if with.is_some() {
            if select.with.is_some() {
                return self.fail(with_place, "42601", "multiple WITH clauses not allowed");
            }
            select.with = with;
        }
        Ok(select)
    }

    /// Goes on with a query whose first operand has been taken.
    pub(super) fn select_from(&mut self, left: Select) -> Result<Select> {
        let mut select = self.set_operations(left, 0)?;
        self.tail(&mut select)?;
        Ok(select)
    }

    fn set_operations(&mut self, mut left: Select, least: u8) -> Result<Select> {
        for _ in 0..CHAIN_MAX {
            let (kind, binds) = match self.word() {
                "union" => (SetOperationKind::Union, 0),
                "except" => (SetOperationKind::Except, 0),
                "intersect" => (SetOperationKind::Intersect, 1),
                _ => return Ok(left),
            };
            if binds < least {
                return Ok(left);
            }
            self.advance();
            let all = self.accept("all");
            if !all {
                self.accept("distinct");
            }
            let right = self.select_operand()?;
            let right = self.set_operations(right, binds + 1)?;
            left = only(SelectBody::SetOperation {
                kind,
                all,
                left: Box::new(left),
                right: Box::new(right),
            });
        }
        Err(too_deep())
    }

    fn select_operand(&mut self) -> Result<Select> {
        match self.word() {
            "select" => Ok(only(SelectBody::Query(Box::new(self.query()?)))),
            "values" => {
                self.advance();
                let rows = self.list(|parser| parser.parenthesized(Parser::expr))?;
                Ok(only(SelectBody::Values(rows)))
            }
            "table" => {
                self.advance();
                let span = self.span();
                let (name, only_this) = self.relation()?;
                Ok(only(SelectBody::Query(Box::new(Query {
                    items: vec![SelectItem::Wildcard(span)],
                    from: vec![TableRef::Table { name, alias: None, only: only_this }],
                    ..Query::default()
                }))))
            }
            _ if self.is_symbol('(') => self.nested(|parser| {
                parser.advance();
                let select = parser.select()?;
                parser.expect_symbol(')')?;
                Ok(select)
            }),
            _ => Err(self.error()),
        }
    }

    /// Takes ORDER BY, LIMIT and what else may stand at the end, into the query that it ends.
    fn tail(&mut self, select: &mut Select) -> Result<()> {
        let start = self.at;
        let order_by = self.order_by()?;
        let mut tail = Tail { order_by, ..Tail::default() };
        let locks_first = self.is("for");
        if locks_first {
            self.locks(&mut tail)?;
        }
        let limit_place = self.at;
        if self.offset(&mut tail)? {
            self.limit(&mut tail)?;
        } else if self.limit(&mut tail)? {
            self.offset(&mut tail)?;
        }
        if !locks_first && self.is("for") {
            self.locks(&mut tail)?;
        }
        if !tail.order_by.is_empty() {
            if !select.order_by.is_empty() {
                return self.fail(start + 2, "42601", "multiple ORDER BY clauses not allowed");
            }
            select.order_by = tail.order_by;
        }
        select.locks.extend(tail.locks);
        if tail.offset.is_some() {
            if select.offset.is_some() {
                return self.fail(limit_place + 1, "42601", "multiple OFFSET clauses not allowed");
            }
            select.offset = tail.offset;
        }
        if tail.limited {
            if select.limit.is_some() {
                return self.fail(limit_place + 1, "42601", "multiple LIMIT clauses not allowed");
            }
            select.limit = tail.limit;
            select.with_ties = tail.with_ties;
        }
        if tail.with_ties && select.order_by.is_empty() {
            return self.fail_plain("WITH TIES cannot be specified without ORDER BY clause");
        }
        if select.with_ties
            && select.locks.iter().any(|lock| lock.wait.as_deref() == Some("SKIP LOCKED"))
        {
            return self.fail_plain("SKIP LOCKED and WITH TIES options cannot be used together");
        }
        Ok(())
    }

    fn fail_plain<T>(&self, message: &'static str) -> Result<T> {
        Err(dataman_pg::PgError::new("42601", message))
    }

    fn offset(&mut self, tail: &mut Tail) -> Result<bool> {
        if !self.accept("offset") {
            return Ok(false);
        }
        tail.offset = Some(self.expr()?);
        if matches!(self.word(), "row" | "rows") {
            self.advance();
        }
        Ok(true)
    }

    fn limit(&mut self, tail: &mut Tail) -> Result<bool> {
        if self.accept("limit") {
            tail.limited = true;
            if self.accept("all") {
                return Ok(true);
            }
            let place = self.at - 1;
            let limit = self.expr()?;
            if self.is_symbol(',') {
                self.advance();
                self.expr()?;
                return self
                    .fail(place, "42601", "LIMIT #,# syntax is not supported")
                    .map_err(|error| error.with_hint("Use separate LIMIT and OFFSET clauses."));
            }
            if !matches!(limit.kind, ExprKind::Null) {
                tail.limit = Some(limit);
            }
            return Ok(true);
        }
        if !self.accept("fetch") {
            return Ok(false);
        }
        tail.limited = true;
        if !matches!(self.word(), "first" | "next") {
            return Err(self.error());
        }
        self.advance();
        let span = self.span();
        tail.limit = Some(if matches!(self.word(), "row" | "rows") {
            expr(ExprKind::Number("1".to_owned()), span)
        } else if matches!(self.peek(), TokenKind::Symbol('+' | '-')) {
            let text = self.signed_number()?;
            match text.strip_prefix('-') {
                Some(digits) => {
                    let arg = Box::new(expr(ExprKind::Number(digits.to_owned()), span));
                    expr(ExprKind::Prefix { operator: "-".to_owned(), arg }, span)
                }
                None => expr(ExprKind::Number(text), span),
            }
        } else {
            self.primary_expr()?
        });
        if !matches!(self.word(), "row" | "rows") {
            return Err(self.error());
        }
        self.advance();
        if self.accept_all(&["with", "ties"]) {
            tail.with_ties = true;
        } else {
            self.expect("only")?;
        }
        Ok(true)
    }

    fn locks(&mut self, tail: &mut Tail) -> Result<()> {
        if self.accept_all(&["for", "read", "only"]) {
            return Ok(());
        }
        while self.accept("for") {
            let strength = match self.word() {
                "update" => "UPDATE",
                "share" => "SHARE",
                "no" => {
                    self.advance();
                    self.expect("key")?;
                    "NO KEY UPDATE"
                }
                "key" => {
                    self.advance();
                    "KEY SHARE"
                }
                _ => return Err(self.error()),
            };
            self.expect(if strength.ends_with("UPDATE") { "update" } else { "share" })?;
            let mut of = Vec::new();
            if self.accept("of") {
                of = self.list(|parser| {
                    let name = parser.object_name()?;
                    Ok(name.parts.join("."))
                })?;
            }
            let wait = if self.accept("nowait") {
                Some("NOWAIT".to_owned())
            } else if self.accept("skip") {
                self.expect("locked")?;
                Some("SKIP LOCKED".to_owned())
            } else {
                None
            };
            tail.locks.push(LockClause { strength: strength.to_owned(), of, wait });
        }
        Ok(())
    }

    /// Takes ORDER BY, if there is one.
    pub(super) fn order_by(&mut self) -> Result<Vec<OrderBy>> {
        if !self.accept("order") {
            return Ok(vec![]);
        }
        self.expect("by")?;
        self.list(|parser| {
            let expr = parser.expr()?;
            let mut descending = false;
            if parser.accept("using") {
                match parser.peek() {
                    TokenKind::Symbol('<') => {}
                    TokenKind::Symbol('>') => descending = true,
                    TokenKind::Operator(_)
                    | TokenKind::Symbol('=' | '+' | '-' | '*' | '/' | '%' | '^') => {
                        return parser.refuse(
                            "ORDER BY … USING another operator than < or >",
                            "Use ASC or DESC.",
                        );
                    }
                    TokenKind::Word(word, _) if word == "operator" => {
                        return parser.refuse("ORDER BY … USING OPERATOR", "Use ASC or DESC.");
                    }
                    _ => return Err(parser.error()),
                }
                parser.advance();
                let nulls_first = parser.nulls_order()?;
                return Ok(OrderBy { expr, descending, nulls_first });
            }
            parser.order_of(expr)
        })
    }

    /// Takes ASC or DESC and NULLS FIRST or LAST after a sort key.
    pub(super) fn order_of(&mut self, expr: Expr) -> Result<OrderBy> {
        let descending = self.accept("desc");
        if !descending {
            self.accept("asc");
        }
        let nulls_first = self.nulls_order()?;
        Ok(OrderBy { expr, descending, nulls_first })
    }

    fn nulls_order(&mut self) -> Result<Option<bool>> {
        if !(self.is("nulls") && matches!(self.word_at(1), "first" | "last")) {
            return Ok(None);
        }
        self.advance();
        let first = self.is("first");
        self.advance();
        Ok(Some(first))
    }

    /// Takes WITH.
    pub(super) fn with(&mut self) -> Result<With> {
        self.expect("with")?;
        let recursive = self.accept("recursive");
        let tables = self.list(|parser| {
            let start = parser.at;
            let name = parser.name()?;
            let span = parser.span_from(start);
            let columns = if parser.is_symbol('(') { parser.names()? } else { vec![] };
            parser.expect("as")?;
            let materialized = if parser.accept("materialized") {
                Some(true)
            } else if parser.accept("not") {
                parser.expect("materialized")?;
                Some(false)
            } else {
                None
            };
            parser.expect_symbol('(')?;
            let statement = parser.nested(Parser::preparable)?;
            parser.expect_symbol(')')?;
            let search = if parser.is("search") { Some(parser.search()?) } else { None };
            let cycle = if parser.is("cycle") { Some(Box::new(parser.cycle()?)) } else { None };
            Ok(CommonTable {
                alias: Alias { name, columns },
                span,
                materialized,
                statement: Box::new(statement),
                search,
                cycle,
            })
        })?;
        Ok(With { recursive, tables })
    }

    fn search(&mut self) -> Result<Search> {
        let start = self.at;
        self.expect("search")?;
        let breadth = self.accept("breadth");
        if !breadth {
            self.expect("depth")?;
        }
        self.expect("first")?;
        self.expect("by")?;
        let columns = self.list(Parser::name)?;
        self.expect("set")?;
        let sequence = self.name()?;
        Ok(Search { breadth, columns, sequence, span: self.span_from(start) })
    }

    fn cycle(&mut self) -> Result<Cycle> {
        let start = self.at;
        self.expect("cycle")?;
        let columns = self.list(Parser::name)?;
        self.expect("set")?;
        let mark = self.name()?;
        let (value, default) = if self.accept("to") {
            let value = self.literal()?;
            self.expect("default")?;
            (Some(value), Some(self.literal()?))
        } else {
            (None, None)
        };
        self.expect("using")?;
        let path = self.name()?;
        Ok(Cycle { columns, mark, value, default, path, span: self.span_from(start) })
    }

    /// Takes a constant: no expression made of several.
    fn literal(&mut self) -> Result<Expr> {
        let start = self.at;
        let literal = self.primary_expr()?;
        match literal.kind {
            ExprKind::Null
            | ExprKind::Bool(_)
            | ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::BitString(_)
            | ExprKind::TypedString(..) => Ok(literal),
            _ => {
                self.at = start;
                Err(self.error())
            }
        }
    }

    fn query(&mut self) -> Result<Query> {
        self.expect("select")?;
        let mut query = Query::default();
        if self.accept("distinct") {
            query.distinct = Some(if self.accept("on") {
                Distinct::On(self.parenthesized(Self::expr)?)
            } else {
                Distinct::Rows
            });
            query.items = self.list(Self::select_item)?;
        } else {
            self.accept("all");
            if !self.at_query_clause() {
                query.items = self.list(Self::select_item)?;
            }
        }
        if self.is("into") {
            return self.refuse("SELECT INTO", "Use CREATE TABLE … AS SELECT.");
        }
        if self.accept("from") {
            query.from = self.table_refs()?;
        }
        if self.accept("where") {
            query.filter = Some(self.expr()?);
        }
        if self.accept("group") {
            self.expect("by")?;
            query.group_distinct = self.accept("distinct");
            if !query.group_distinct {
                self.accept("all");
            }
            query.group_by = Some(self.group_by()?);
        }
        if self.accept("having") {
            query.having = Some(self.expr()?);
        }
        if self.accept("window") {
            query.windows = self.list(|parser| {
                let name = parser.name()?;
                parser.expect("as")?;
                Ok((name, parser.window_spec()?))
            })?;
        }
        Ok(query)
    }

    /// Whether the select list is over, or empty.
    fn at_query_clause(&self) -> bool {
        if matches!(self.peek(), TokenKind::End | TokenKind::Symbol(';' | ')')) {
            return true;
        }
        match self.word() {
            "from" | "where" | "group" | "having" | "window" | "union" | "intersect" | "except"
            | "order" | "limit" | "offset" | "fetch" | "for" | "into" => true,
            // CREATE TABLE … AS SELECT WITH NO DATA
            "with" | "on" | "returning" => true,
            _ => false,
        }
    }

    /// Takes one item of a select list or RETURNING.
    pub(super) fn select_item(&mut self) -> Result<SelectItem> {
        if self.is_symbol('*') {
            let span = self.span();
            self.advance();
            return Ok(SelectItem::Wildcard(span));
        }
        if let Some(name) = self.qualified_wildcard() {
            return Ok(SelectItem::QualifiedWildcard(name));
        }
        let expr = self.expr()?;
        let alias = if self.accept("as") { Some(self.label()?) } else { self.bare_label() };
        Ok(SelectItem::Expr { expr, alias })
    }

    /// Takes `t.*`, unless it is an operand.
    fn qualified_wildcard(&mut self) -> Option<ObjectName> {
        let start = self.at;
        if !self.is_name_at(0) {
            return None;
        }
        let mut parts = vec![self.name().ok()?];
        while self.accept_symbol('.') {
            if self.is_symbol('*') {
                let mut span = self.span_from(start);
                span.end = self.span_of(self.at - 2).end;
                self.advance();
                if self.at_infix() || parts.len() > 3 {
                    break;
                }
                return Some(ObjectName { parts, span });
            }
            match self.label() {
                Ok(part) => parts.push(part),
                Err(_) => break,
            }
        }
        self.at = start;
        None
    }

    fn group_by(&mut self) -> Result<Vec<GroupItem>> {
        let mut items = Vec::new();
        for item in self.list(Self::group_items)? {
            items.extend(item);
        }
        Ok(items)
    }

    /// Takes one element of GROUP BY: none for `()`, several for `(a, b)`.
    fn group_items(&mut self) -> Result<Vec<GroupItem>> {
        self.nested(|parser| {
            if parser.is_symbol('(') && parser.is_symbol_at(1, ')') {
                parser.at += 2;
                return Ok(vec![]);
            }
            let called = parser.is_symbol_at(1, '(');
            match parser.word() {
                "rollup" if called => {
                    parser.advance();
                    Ok(vec![GroupItem::Rollup(parser.parenthesized(Self::group_set)?)])
                }
                "cube" if called => {
                    parser.advance();
                    Ok(vec![GroupItem::Cube(parser.parenthesized(Self::group_set)?)])
                }
                "grouping" if parser.word_at(1) == "sets" => {
                    parser.at += 2;
                    let start = parser.at;
                    let mut sets = Vec::new();
                    for part in parser.parenthesized(|parser| parser.grouping_sets(start))? {
                        sets.extend(part);
                    }
                    Ok(vec![GroupItem::Sets(sets)])
                }
                _ => Ok(parser.group_set()?.into_iter().map(GroupItem::Expr).collect()),
            }
        })
    }

    /// Takes an expression, or the members of a row in parentheses.
    fn group_set(&mut self) -> Result<Vec<Expr>> {
        let row = self.is_symbol('(');
        let expr = self.expr()?;
        match expr.kind {
            ExprKind::Row(members) if row => Ok(members),
            _ => Ok(vec![expr]),
        }
    }

    /// Takes one member of GROUPING SETS, as the sets that it stands for.
    fn grouping_sets(&mut self, start: usize) -> Result<Vec<Vec<Expr>>> {
        const SETS_MAX: usize = 4096;
        if !matches!(self.word(), "rollup" | "cube" | "grouping") {
            if self.is_symbol('(') && self.is_symbol_at(1, ')') {
                self.at += 2;
                return Ok(vec![vec![]]);
            }
            return Ok(vec![self.group_set()?]);
        }
        let mut sets = Vec::new();
        for item in self.group_items()? {
            match item {
                GroupItem::Expr(expr) => sets.push(vec![expr]),
                GroupItem::Sets(inner) => sets.extend(inner),
                GroupItem::Rollup(parts) => {
                    for length in (0..=parts.len()).rev() {
                        sets.push(parts[..length].concat());
                    }
                }
                GroupItem::Cube(parts) => {
                    if parts.len() > 12 {
                        return self.fail(start, "54011", "CUBE is limited to 12 elements");
                    }
                    for mask in 0..1_usize << parts.len() {
                        let chosen = parts.iter().enumerate();
                        sets.push(
                            chosen
                                .filter(|(place, _)| mask >> (parts.len() - 1 - place) & 1 == 0)
                                .flat_map(|(_, part)| part.clone())
                                .collect(),
                        );
                    }
                }
            }
        }
        if sets.len() > SETS_MAX {
            return self.fail(
                start,
                "54001",
                format!("too many grouping sets present (maximum {SETS_MAX})"),
            );
        }
        Ok(sets)
    }
}
