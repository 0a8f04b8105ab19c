//! FROM: tables, subqueries, functions and joins.

use dataman_pg::PgError;

use super::cursor::{CHAIN_MAX, Parser, Result, too_deep};
use super::expr::expr;
use super::keyword::Category;
use super::lexer::TokenKind;
use super::syntax::{
    Alias, DefinedColumn, Expr, ExprKind, FunctionCall, JoinCondition, JoinKind, ObjectName,
    Select, SelectBody, TableRef,
};

/// What stands in parentheses in FROM.
enum Inside {
    Select(Box<Select>),
    Join(TableRef),
}

impl Parser<'_> {
    /// Takes tables with commas between them.
    pub(super) fn table_refs(&mut self) -> Result<Vec<TableRef>> {
        self.list(Self::table_ref)
    }

    /// Takes a table with what is joined to it.
    fn table_ref(&mut self) -> Result<TableRef> {
        self.nested(|parser| {
            let left = parser.table_primary()?;
            parser.joins(left)
        })
    }

    fn joins(&mut self, mut left: TableRef) -> Result<TableRef> {
        for _ in 0..CHAIN_MAX {
            if !self.at_join() {
                return Ok(left);
            }
            left = self.join(left)?;
        }
        Err(too_deep())
    }

    fn at_join(&self) -> bool {
        matches!(self.word(), "join" | "inner" | "left" | "right" | "full" | "cross" | "natural")
    }

    /// Takes one join to what stands left of it.
    fn join(&mut self, left: TableRef) -> Result<TableRef> {
        let left = Box::new(left);
        if self.accept("cross") {
            self.expect("join")?;
            let right = Box::new(self.table_primary()?);
            return Ok(TableRef::Join {
                left,
                right,
                kind: JoinKind::Cross,
                condition: JoinCondition::None,
                alias: None,
            });
        }
        let natural = self.accept("natural");
        let kind = match self.word() {
            "left" => JoinKind::Left,
            "right" => JoinKind::Right,
            "full" => JoinKind::Full,
            _ => JoinKind::Inner,
        };
        if kind != JoinKind::Inner {
            self.advance();
            self.accept("outer");
        } else {
            self.accept("inner");
        }
        self.expect("join")?;
        let mut right = self.table_primary()?;
        if natural {
            let right = Box::new(right);
            return Ok(TableRef::Join {
                left,
                right,
                kind,
                condition: JoinCondition::Natural,
                alias: None,
            });
        }
        // `a JOIN b JOIN c ON … ON …`: what comes before the condition belongs to the right side.
        if self.at_join() {
            right = self.nested(|parser| {
                while parser.at_join() {
                    right = parser.join(right)?;
                }
                Ok(right)
            })?;
        }
        let condition = if self.accept("using") {
            let columns = self.names()?;
            let alias = if self.accept("as") { Some(self.name()?) } else { None };
            JoinCondition::Using(columns, alias)
        } else {
            self.expect("on")?;
            JoinCondition::On(self.expr()?)
        };
        Ok(TableRef::Join { left, right: Box::new(right), kind, condition, alias: None })
    }

    fn table_primary(&mut self) -> Result<TableRef> {
        let start = self.at;
        let lateral = self.accept("lateral");
        if self.is_symbol('(') {
            if lateral && !self.parens_lead_to_select() {
                self.advance();
                return Err(self.error());
            }
            return match self.inside()? {
                Inside::Select(query) => self.subquery(query, lateral, start),
                Inside::Join(join) => self.aliased_join(join),
            };
        }
        if self.is("xmltable") && self.is_symbol_at(1, '(') {
            return self.refuse("XMLTABLE", "Keep documents as json or jsonb.");
        }
        if self.are(&["rows", "from"]) && self.is_symbol_at(2, '(') {
            self.at += 2;
            let calls = self.parenthesized(|parser| {
                let call = parser.table_function()?;
                if parser.is("as") {
                    return parser.refuse(
                        "a column definition list",
                        "Use a function that returns named columns.",
                    );
                }
                Ok(call)
            })?;
            return self.function_table(calls, lateral);
        }
        if lateral || self.at_table_function() {
            let calls = vec![self.table_function()?];
            return self.function_table(calls, lateral);
        }
        let (name, only) = self.relation()?;
        let alias = self.alias()?;
        if self.is("tablesample") {
            return self.refuse("TABLESAMPLE", "Filter with random() < fraction.");
        }
        Ok(TableRef::Table { name, alias, only })
    }

    /// Takes a query or a join in parentheses.
    fn inside(&mut self) -> Result<Inside> {
        self.nested(|parser| {
            let start = parser.at;
            parser.expect_symbol('(')?;
            let found = if parser.at_select() {
                Inside::Select(Box::new(parser.select()?))
            } else if parser.is_symbol('(') && parser.parens_lead_to_select() {
                match parser.inside()? {
                    Inside::Select(query) if parser.is_symbol(')') => Inside::Select(query),
                    Inside::Select(query) if parser.at_select_rest() => {
                        Inside::Select(Box::new(parser.select_from(*query)?))
                    }
                    Inside::Select(query) => {
                        let left = parser.subquery(query, false, start + 1)?;
                        Inside::Join(parser.joins(left)?)
                    }
                    Inside::Join(join) => {
                        let left = parser.aliased_join(join)?;
                        Inside::Join(parser.joins(left)?)
                    }
                }
            } else {
                Inside::Join(parser.table_ref()?)
            };
            // Only a join may stand in parentheses.
            if matches!(&found, Inside::Join(table) if !matches!(table, TableRef::Join { .. })) {
                return Err(parser.error());
            }
            parser.expect_symbol(')')?;
            Ok(found)
        })
    }

    fn aliased_join(&mut self, mut join: TableRef) -> Result<TableRef> {
        if let Some(given) = self.alias()?
            && let TableRef::Join { alias, .. } = &mut join
        {
            *alias = Some(given);
        }
        Ok(join)
    }

    fn subquery(&mut self, query: Box<Select>, lateral: bool, start: usize) -> Result<TableRef> {
        let alias = self.alias()?;
        if alias.is_none() {
            let what =
                if matches!(query.body, SelectBody::Values(_)) { "VALUES" } else { "subquery" };
            let example = if what == "VALUES" { "VALUES" } else { "SELECT" };
            let place = if lateral { start + 1 } else { start };
            return self
                .fail(place, "42601", format!("{what} in FROM must have an alias"))
                .map_err(|error: PgError| {
                    error.with_hint(format!("For example, FROM ({example} ...) [AS] foo."))
                });
        }
        Ok(TableRef::Subquery { query, alias, lateral })
    }

    fn function_table(&mut self, calls: Vec<FunctionCall>, lateral: bool) -> Result<TableRef> {
        let mut ordinality = false;
        if self.are(&["with", "ordinality"]) {
            self.at += 2;
            ordinality = true;
        }
        let opens = |parser: &Self, ahead| {
            parser.is_symbol_at(ahead, '(')
                && parser.is_name_at(ahead + 1)
                && !matches!(parser.peek_at(ahead + 2), TokenKind::Symbol(',' | ')'))
        };
        let named = usize::from(self.is("as"));
        if named == 1 && opens(self, 1) {
            self.advance();
            let definition = Some(self.definition_list()?);
            return Ok(TableRef::Function { calls, ordinality, alias: None, definition, lateral });
        }
        if self.is_name_at(named) && opens(self, named + 1) {
            self.accept("as");
            let alias = Some(Alias { name: self.name()?, columns: vec![] });
            let definition = Some(self.definition_list()?);
            return Ok(TableRef::Function { calls, ordinality, alias, definition, lateral });
        }
        let alias = self.alias()?;
        Ok(TableRef::Function { calls, ordinality, alias, definition: None, lateral })
    }

    /// Takes a column definition list: names with their types.
    fn definition_list(&mut self) -> Result<Vec<DefinedColumn>> {
        self.parenthesized(|parser| {
            let span = parser.span();
            let name = parser.name()?;
            let ty = parser.type_name()?;
            if parser.is("collate") {
                return parser.refuse("COLLATE in a column definition list", "Leave it out.");
            }
            Ok(DefinedColumn { name, ty, span })
        })
    }

    /// Whether a function call begins here: a name with an opening parenthesis behind it, or a form with its own grammar.
    fn at_table_function(&self) -> bool {
        let mut ahead = 1;
        let column_name = match self.peek() {
            TokenKind::Word(_, Some(keyword)) => match keyword.category {
                Category::Reserved => {
                    return matches!(
                        self.word(),
                        "current_catalog"
                            | "current_date"
                            | "current_role"
                            | "current_time"
                            | "current_timestamp"
                            | "current_user"
                            | "localtime"
                            | "localtimestamp"
                            | "session_user"
                            | "user"
                            | "cast"
                    );
                }
                Category::FunctionOrType => return true,
                Category::ColumnName => true,
                Category::Unreserved => false,
            },
            TokenKind::Word(..) | TokenKind::Quoted(_) => false,
            _ => return false,
        };
        while self.is_symbol_at(ahead, '.') {
            ahead += 2;
        }
        self.is_symbol_at(ahead, '(')
            && (!column_name
                || ahead > 1
                || matches!(
                    self.word(),
                    "coalesce"
                        | "extract"
                        | "greatest"
                        | "least"
                        | "normalize"
                        | "nullif"
                        | "overlay"
                        | "position"
                        | "substring"
                        | "treat"
                        | "trim"
                ))
    }

    /// Takes a function call in FROM.
    fn table_function(&mut self) -> Result<FunctionCall> {
        match self.table_function_value()?.kind {
            ExprKind::Function(call) => Ok(*call),
            _ => self.refuse(
                "this expression as a table",
                "Write it as a subquery: (SELECT …) AS name.",
            ),
        }
    }

    /// Takes `func_expr_windowless`: a call, or a form with its own grammar.
    pub(super) fn table_function_value(&mut self) -> Result<Expr> {
        let start = self.at;
        let own_grammar = match self.peek() {
            TokenKind::Word(_, Some(keyword)) => {
                matches!(keyword.category, Category::Reserved | Category::ColumnName)
                    && !self.is_symbol_at(1, '.')
                    || self.are(&["collation", "for"])
                    || self.is("current_schema") && !self.is_symbol_at(1, '(')
            }
            _ => false,
        };
        if own_grammar {
            let place = self.at;
            let value = self.word_primary()?;
            return match value.kind {
                ExprKind::Function(_)
                | ExprKind::Coalesce(_)
                | ExprKind::NullIf(..)
                | ExprKind::Extreme(..)
                | ExprKind::Special(..)
                | ExprKind::Cast { .. } => Ok(value),
                _ => Err(self.error_at(place)),
            };
        }
        let first = self.label()?;
        let mut parts = vec![first];
        while self.accept_symbol('.') {
            parts.push(self.label()?);
        }
        let name = self.function_name(parts, start)?;
        if !self.is_symbol('(') {
            return Err(self.error());
        }
        let span = name.span;
        let call = self.application(name)?;
        Ok(expr(ExprKind::Function(Box::new(call)), span))
    }

    /// Takes a table's name, with `ONLY` or `*`.
    pub(super) fn relation(&mut self) -> Result<(ObjectName, bool)> {
        if self.accept("only") {
            if self.accept_symbol('(') {
                let name = self.object_name()?;
                self.expect_symbol(')')?;
                return Ok((name, true));
            }
            return Ok((self.object_name()?, true));
        }
        let name = self.object_name()?;
        self.accept_symbol('*');
        Ok((name, false))
    }

    /// Takes `[AS] name [(columns)]`, if there is one.
    pub(super) fn alias(&mut self) -> Result<Option<Alias>> {
        if !self.accept("as") && !self.is_name_at(0) {
            return Ok(None);
        }
        let name = self.name()?;
        let columns = if self.is_symbol('(') { self.names()? } else { vec![] };
        Ok(Some(Alias { name, columns }))
    }
}
