//! INSERT, UPDATE and DELETE.

use super::cursor::{Parser, Result};
use super::syntax::{
    Assignment, Delete, Expr, Insert, InsertSource, OnConflict, SelectBody, SelectItem, Statement,
    Update, With,
};

impl Parser<'_> {
    /// Takes SELECT, INSERT, UPDATE or DELETE (`PreparableStmt`).
    pub(super) fn preparable(&mut self) -> Result<Statement> {
        let start = self.at;
        let with = if self.is("with") { Some(self.with()?) } else { None };
        match self.word() {
            "insert" => self.insert(with),
            "update" => self.update(with),
            "delete" => self.delete(with),
            "merge" => self.refuse("MERGE", "Use INSERT … ON CONFLICT, or UPDATE and INSERT."),
            "select" | "values" | "table" => {
                let select = self.nested(|parser| parser.select_after_with(with, start))?;
                Ok(Statement::Select(Box::new(select)))
            }
            _ if self.is_symbol('(') => {
                let select = self.nested(|parser| parser.select_after_with(with, start))?;
                Ok(Statement::Select(Box::new(select)))
            }
            _ => Err(self.error()),
        }
    }

    fn insert(&mut self, with: Option<With>) -> Result<Statement> {
        self.expect_all(&["insert", "into"])?;
        let table = self.object_name()?;
        let alias = if self.accept("as") { Some(self.name()?) } else { None };
        let mut insert = Insert {
            with,
            table,
            alias,
            columns: None,
            overriding: None,
            source: InsertSource::Defaults,
            conflict: None,
            returning: vec![],
        };
        if self.accept("default") {
            self.expect("values")?;
        } else {
            if self.is_symbol('(') && !self.parens_lead_to_select() {
                insert.columns = Some(self.parenthesized(|parser| {
                    let name = parser.name()?;
                    if parser.is_symbol('[') || parser.is_symbol('.') {
                        return parser
                            .refuse("INSERT into a part of a column", "Give the whole value.");
                    }
                    Ok(name)
                })?);
            }
            if self.accept("overriding") {
                insert.overriding = Some(match self.word() {
                    "system" => true,
                    "user" => false,
                    _ => return Err(self.error()),
                });
                self.advance();
                self.expect("value")?;
            }
            let select = self.select()?;
            let bare = select.with.is_none()
                && select.order_by.is_empty()
                && select.limit.is_none()
                && select.offset.is_none()
                && select.locks.is_empty();
            insert.source = match select.body {
                SelectBody::Values(rows) if bare => InsertSource::Values(rows),
                _ => InsertSource::Query(Box::new(select)),
            };
        }
        if self.is("on") {
            insert.conflict = Some(self.on_conflict()?);
        }
        insert.returning = self.returning()?;
        Ok(Statement::Insert(Box::new(insert)))
    }

    fn on_conflict(&mut self) -> Result<OnConflict> {
        let start = self.at;
        self.expect_all(&["on", "conflict"])?;
        let mut conflict =
            OnConflict { columns: vec![], index_filter: None, constraint: None, update: None };
        if self.is_symbol('(') {
            conflict.columns = self.parenthesized(|parser| {
                let place = parser.at;
                let key = parser.index_key_expr()?;
                if parser.is("collate") {
                    return parser.refuse("COLLATE in ON CONFLICT", "Name the columns alone.");
                }
                if matches!(parser.word(), "asc" | "desc") {
                    return parser.fail(
                        place,
                        "42P10",
                        "ASC/DESC is not allowed in ON CONFLICT clause",
                    );
                }
                if parser.is("nulls") {
                    return parser.fail(
                        place,
                        "42P10",
                        "NULLS FIRST/LAST is not allowed in ON CONFLICT clause",
                    );
                }
                if parser.is_name_at(0) {
                    return parser
                        .refuse("an operator class in ON CONFLICT", "Name the columns alone.");
                }
                Ok(key)
            })?;
            if self.accept("where") {
                conflict.index_filter = Some(self.expr()?);
            }
        } else if self.accept_all(&["on", "constraint"]) {
            conflict.constraint = Some(self.name()?);
        }
        self.expect("do")?;
        if self.accept("nothing") {
            return Ok(conflict);
        }
        self.expect_all(&["update", "set"])?;
        let set = self.assignments()?;
        let filter = if self.accept("where") { Some(self.expr()?) } else { None };
        if conflict.columns.is_empty() && conflict.constraint.is_none() {
            return self
                .fail(
                    start,
                    "42601",
                    "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                )
                .map_err(|error| error.with_hint("For example, ON CONFLICT (column_name)."));
        }
        conflict.update = Some((set, filter));
        Ok(conflict)
    }

    /// Takes the key of an index: a column, a function call or an expression in parentheses.
    pub(super) fn index_key_expr(&mut self) -> Result<Expr> {
        use super::expr::expr;
        use super::syntax::ExprKind;

        if self.accept_symbol('(') {
            let key = self.expr()?;
            self.expect_symbol(')')?;
            return Ok(key);
        }
        if self.is_name_at(0) && !self.is_symbol_at(1, '(') && !self.is_symbol_at(1, '.') {
            let span = self.span();
            let name = self.name()?;
            return Ok(expr(ExprKind::Column(vec![name]), span));
        }
        self.table_function_value()
    }

    fn assignments(&mut self) -> Result<Vec<Assignment>> {
        self.list(|parser| {
            if parser.is_symbol('(') {
                let names = parser.parenthesized(|parser| {
                    let name = parser.name()?;
                    if parser.is_symbol('[') || parser.is_symbol('.') {
                        return parser.refuse(
                            "a part of a column in a row assignment",
                            "Assign it by itself.",
                        );
                    }
                    Ok(name)
                })?;
                parser.expect_symbol('=')?;
                let value = parser.expr()?;
                return Ok(Assignment::Row { names, value });
            }
            let span = parser.span();
            let name = parser.name()?;
            let subscripts = parser.subscripts()?;
            if parser.is_symbol('.') {
                return parser.refuse(
                    "assignment to a field of a column",
                    "Write the column without its table's name, or assign the whole value.",
                );
            }
            parser.expect_symbol('=')?;
            let value = parser.expr()?;
            Ok(Assignment::Column { name, subscripts, value, span })
        })
    }

    fn update(&mut self, with: Option<With>) -> Result<Statement> {
        self.expect("update")?;
        let (table, only) = self.relation()?;
        let alias = self.target_alias()?;
        self.expect("set")?;
        let set = self.assignments()?;
        let from = if self.accept("from") { self.table_refs()? } else { vec![] };
        let filter = self.filter()?;
        let returning = self.returning()?;
        Ok(Statement::Update(Box::new(Update {
            with,
            table,
            only,
            alias,
            set,
            from,
            filter,
            returning,
        })))
    }

    fn delete(&mut self, with: Option<With>) -> Result<Statement> {
        self.expect_all(&["delete", "from"])?;
        let (table, only) = self.relation()?;
        let alias = self.target_alias()?;
        let using = if self.accept("using") { self.table_refs()? } else { vec![] };
        let filter = self.filter()?;
        let returning = self.returning()?;
        Ok(Statement::Delete(Box::new(Delete {
            with,
            table,
            only,
            alias,
            using,
            filter,
            returning,
        })))
    }

    fn target_alias(&mut self) -> Result<Option<String>> {
        if self.accept("as") {
            return Ok(Some(self.name()?));
        }
        if self.is_name_at(0) && !self.is("set") {
            return Ok(Some(self.name()?));
        }
        Ok(None)
    }

    fn filter(&mut self) -> Result<Option<Expr>> {
        if !self.accept("where") {
            return Ok(None);
        }
        if self.are(&["current", "of"]) {
            return self.refuse("WHERE CURRENT OF", "Name the row by its primary key.");
        }
        Ok(Some(self.expr()?))
    }

    fn returning(&mut self) -> Result<Vec<SelectItem>> {
        if self.accept("returning") { self.list(Self::select_item) } else { Ok(vec![]) }
    }
}
