//! WITH RECURSIVE: in which order its tables are made, and where a table may read itself.

use dataman_pg::PgError;

use super::{Binder, Result};
use crate::parse::syntax::{
    CommonTable, Expr, JoinCondition, JoinKind, ObjectName, Query, Select, SelectBody, SelectItem,
    SetOperationKind, Span, Statement, TableRef, With,
};
use crate::parse::walk::{Visitor, walk_expr, walk_select};

/// Where in a recursive query a reference to itself was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where one may stand.
    Term,
    /// Where none may, in PostgreSQL's words.
    Within(&'static str),
}

const SUBQUERY: Place = Place::Within("a subquery");

/// The references to some tables in a tree.
struct References<'n> {
    names: &'n [&'n str],
    found: Vec<(String, Span)>,
}

impl Visitor for References<'_> {
    fn table(&mut self, table: &ObjectName) {
        if let [name] = table.parts.as_slice()
            && self.names.contains(&name.as_str())
        {
            self.found.push((name.clone(), table.span));
        }
    }
}

impl Binder<'_> {
    /// The tables of a WITH RECURSIVE, each behind those that it reads.
    ///
    /// # Errors
    /// `0A000` when two read each other.
    pub(crate) fn recursive_order<'w>(&self, with: &'w With) -> Result<Vec<&'w CommonTable>> {
        let names: Vec<&str> = with.tables.iter().map(|table| table.alias.name.as_str()).collect();
        let mut waiting: Vec<(&CommonTable, Vec<String>)> = with
            .tables
            .iter()
            .map(|table| {
                let mut references = References { names: &names, found: Vec::new() };
                if let Statement::Select(select) = &*table.statement {
                    walk_select(select, &mut references);
                }
                let read = references.found.into_iter().map(|(name, _)| name);
                (table, read.filter(|name| *name != table.alias.name).collect())
            })
            .collect();
        let mut ordered = Vec::new();
        while !waiting.is_empty() {
            let Some(ready) = waiting.iter().position(|(_, read)| read.is_empty()) else {
                let error =
                    PgError::new("0A000", "mutual recursion between WITH items is not implemented");
                return Err(self.at(error, waiting[0].0.span));
            };
            let (table, _) = waiting.remove(ready);
            for (_, read) in &mut waiting {
                read.retain(|name| *name != table.alias.name);
            }
            ordered.push(table);
        }
        Ok(ordered)
    }

    /// Checks that a table which reads itself does so where recursion can be carried out.
    ///
    /// # Errors
    /// `42P19` and `0A000`.
    pub(crate) fn check_recursion(&self, table: &CommonTable, select: &Select) -> Result<()> {
        let name = table.alias.name.as_str();
        let SelectBody::SetOperation { kind: SetOperationKind::Union, left, right, .. } =
            &select.body
        else {
            let error = PgError::new(
                "42P19",
                format!(
                    "recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term"
                ),
            );
            return Err(self.at(error, table.span));
        };
        let mut check = Check { binder: self, name, hidden: Vec::new(), count: 0 };
        if let Some(with) = &select.with {
            check.with(with, SUBQUERY)?;
        }
        check.select(left, Place::Within("its non-recursive term"))?;
        check.count = 0;
        check.select(right, Place::Term)?;
        let around = [
            ("ORDER BY", select.order_by.first().map(|key| key.expr.span)),
            ("OFFSET", select.offset.as_ref().map(|offset| offset.span)),
            ("LIMIT", select.limit.as_ref().map(|limit| limit.span)),
            ("FOR UPDATE/SHARE", select.locks.first().map(|_| Span::default())),
        ];
        for (word, span) in around {
            if let Some(span) = span {
                let error = PgError::new(
                    "0A000",
                    format!("{word} in a recursive query is not implemented"),
                );
                return Err(self.at(error, span));
            }
        }
        Ok(())
    }
}

struct Check<'c> {
    binder: &'c Binder<'c>,
    name: &'c str,
    /// Tables of a WITH inside that have the same name.
    hidden: Vec<String>,
    count: usize,
}

impl Check<'_> {
    fn reference(&mut self, span: Span, place: Place) -> Result<()> {
        let name = self.name;
        let message = match place {
            Place::Within(place) => {
                format!("recursive reference to query \"{name}\" must not appear within {place}")
            }
            Place::Term => {
                self.count += 1;
                if self.count == 1 {
                    return Ok(());
                }
                format!("recursive reference to query \"{name}\" must not appear more than once")
            }
        };
        Err(self.binder.at(PgError::new("42P19", message), span))
    }

    fn with(&mut self, with: &With, place: Place) -> Result<()> {
        if with.recursive {
            self.hidden.extend(with.tables.iter().map(|table| table.alias.name.clone()));
        }
        for table in &with.tables {
            if let Statement::Select(select) = &*table.statement {
                self.select(select, place)?;
            }
            if !with.recursive {
                self.hidden.push(table.alias.name.clone());
            }
        }
        Ok(())
    }

    fn select(&mut self, select: &Select, place: Place) -> Result<()> {
        let hidden = self.hidden.len();
        if let Some(with) = &select.with {
            self.with(with, place)?;
        }
        match &select.body {
            SelectBody::Query(query) => self.query(query, place)?,
            SelectBody::Values(rows) => self.exprs(rows.iter().flatten())?,
            SelectBody::SetOperation { kind, all, left, right } => {
                let within = |word| if place == Place::Term { Place::Within(word) } else { place };
                let (left_place, right_place) = match (kind, all) {
                    (SetOperationKind::Union, _) | (SetOperationKind::Intersect, false) => {
                        (place, place)
                    }
                    (SetOperationKind::Intersect, true) => {
                        (within("INTERSECT"), within("INTERSECT"))
                    }
                    (SetOperationKind::Except, false) => (place, within("EXCEPT")),
                    (SetOperationKind::Except, true) => (within("EXCEPT"), within("EXCEPT")),
                };
                self.select(left, left_place)?;
                self.select(right, right_place)?;
            }
        }
        self.exprs(select.order_by.iter().map(|key| &key.expr))?;
        self.exprs(select.offset.iter().chain(&select.limit))?;
        self.hidden.truncate(hidden);
        Ok(())
    }

    fn query(&mut self, query: &Query, place: Place) -> Result<()> {
        self.exprs(query.items.iter().filter_map(|item| match item {
            SelectItem::Expr { expr, .. } => Some(expr),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(_) => None,
        }))?;
        for table in &query.from {
            self.table(table, place)?;
        }
        self.exprs(query.filter.iter().chain(&query.having))
    }

    fn table(&mut self, table: &TableRef, place: Place) -> Result<()> {
        match table {
            TableRef::Table { name, .. } => match name.parts.as_slice() {
                [only] if only == self.name && !self.hidden.contains(only) => {
                    self.reference(name.span, place)
                }
                _ => Ok(()),
            },
            TableRef::Subquery { query, .. } => self.select(query, place),
            TableRef::Function { calls, .. } => {
                self.exprs(calls.iter().flat_map(|call| &call.args).map(|arg| &arg.value))
            }
            TableRef::Join { left, right, kind, condition, .. } => {
                let outer =
                    if place == Place::Term { Place::Within("an outer join") } else { place };
                let (left_place, right_place) = match kind {
                    JoinKind::Cross | JoinKind::Inner => (place, place),
                    JoinKind::Left => (place, outer),
                    JoinKind::Right => (outer, place),
                    JoinKind::Full => (outer, outer),
                };
                self.table(left, left_place)?;
                self.table(right, right_place)?;
                match condition {
                    JoinCondition::On(condition) => self.exprs([condition]),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Expressions read tables in subqueries only.
    fn exprs<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Result<()> {
        if self.hidden.iter().any(|hidden| hidden == self.name) {
            return Ok(());
        }
        let names = [self.name];
        let mut references = References { names: &names, found: Vec::new() };
        for expr in exprs {
            walk_expr(expr, &mut references);
        }
        match references.found.first() {
            Some((_, span)) => self.reference(*span, SUBQUERY),
            None => Ok(()),
        }
    }
}
