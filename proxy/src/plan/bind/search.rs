//! SEARCH and CYCLE: a recursive table with further columns, written as the manual's chapter 7.8.2 shows how to write them by hand.

use dataman_node_protocol::query::NamedType;
use dataman_pg::types::TypeRef;
use dataman_pg::{PgError, TypeId};

use super::expr::Clause;
use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{
    Alias, CommonTable, Cycle, Expr, ExprKind, FunctionArg, FunctionCall, ObjectName, Query,
    Search, Select, SelectBody, SelectItem, Span, TableRef,
};

/// The names of the two terms where the further columns are computed.
const FIRST: &str = "*TLOCRN*";
const NEXT: &str = "*TROCRN*";
/// The field that counts the steps.
const DEPTH: &str = "*DEPTH*";

/// What SEARCH and CYCLE add to a recursive table.
pub(super) struct Added<'w> {
    search: Option<&'w Search>,
    cycle: Option<&'w Cycle>,
    /// The fields of the columns that are added, in their order.
    pub(super) shapes: Vec<Option<Vec<NamedType>>>,
}

impl Binder<'_> {
    /// Checks the clauses, and appends the columns that they add to those of the table.
    ///
    /// # Errors
    /// `42601`, `42701`, `42804` and `0A000`, as PostgreSQL.
    pub(super) fn search_and_cycle<'w>(
        &mut self,
        table: &'w CommonTable,
        columns: &mut Vec<NamedType>,
        parent: Option<&Scope<'_>>,
    ) -> Result<Option<Added<'w>>> {
        let (search, cycle) = (table.search.as_ref(), table.cycle.as_deref());
        if search.is_none() && cycle.is_none() {
            return Ok(None);
        }
        if let crate::parse::syntax::Statement::Select(select) = table.statement.as_ref()
            && let SelectBody::SetOperation { left, right, .. } = &select.body
        {
            for (side, sqlstate, term) in [("left", "0A000", left), ("right", "42601", right)] {
                if matches!(term.body, SelectBody::SetOperation { .. }) {
                    let message = format!(
                        "with a SEARCH or CYCLE clause, the {side} side of the UNION must be a SELECT"
                    );
                    return Err(PgError::new(sqlstate, message));
                }
            }
        }
        let own = columns.clone();
        let known = |name: &str| own.iter().find(|column| column.name == name);
        let check_columns = |names: &[String], word: &str| -> Result<Vec<NamedType>> {
            let mut found = Vec::new();
            for (place, name) in names.iter().enumerate() {
                let Some(column) = known(name) else {
                    let message = format!("{word} column \"{name}\" not in WITH query column list");
                    return Err(PgError::new("42601", message));
                };
                if names[..place].contains(name) {
                    let message = format!("{word} column \"{name}\" specified more than once");
                    return Err(PgError::new("42701", message));
                }
                found.push(column.clone());
            }
            Ok(found)
        };
        let check_free = |name: &str, what: &str| match known(name) {
            Some(_) => Err(PgError::new(
                "42601",
                format!("{what} column name \"{name}\" already used in WITH query column list"),
            )),
            None => Ok(()),
        };
        let mut shapes = Vec::new();
        let column =
            |name: &str, id: TypeId| NamedType { name: name.to_owned(), ty: TypeRef::plain(id) };
        if let Some(search) = search {
            let found = check_columns(&search.columns, "search");
            let found = self.place(found, search.span)?;
            self.place(check_free(&search.sequence, "search sequence"), search.span)?;
            let depth = search.breadth.then(|| column(DEPTH, TypeId::INT8));
            shapes.push(Some(depth.into_iter().chain(found).collect()));
            let id = if search.breadth { TypeId::RECORD } else { TypeId::RECORD_ARRAY };
            columns.push(column(&search.sequence, id));
        }
        if let Some(cycle) = cycle {
            let found = check_columns(&cycle.columns, "cycle");
            let found = self.place(found, cycle.span)?;
            let ty = self.mark_type(cycle, parent)?;
            self.place(check_free(&cycle.mark, "cycle mark"), cycle.span)?;
            self.place(check_free(&cycle.path, "cycle path"), cycle.span)?;
            let mut alike = vec![(
                "cycle mark column name and cycle path column name are the same",
                cycle.mark == cycle.path,
            )];
            if let Some(search) = search {
                alike.push((
                    "search sequence column name and cycle mark column name are the same",
                    search.sequence == cycle.mark,
                ));
                alike.push((
                    "search sequence column name and cycle path column name are the same",
                    search.sequence == cycle.path,
                ));
            }
            for (place, (message, holds)) in alike.into_iter().enumerate() {
                if holds {
                    let span = if place == 0 {
                        cycle.span
                    } else {
                        search.map_or(cycle.span, |search| search.span)
                    };
                    return Err(self.at(PgError::new("42601", message), span));
                }
            }
            shapes.push(None);
            shapes.push(Some(found));
            columns.push(NamedType { name: cycle.mark.clone(), ty });
            columns.push(column(&cycle.path, TypeId::RECORD_ARRAY));
        }
        Ok(Some(Added { search, cycle, shapes }))
    }

    fn mark_type(&mut self, cycle: &Cycle, parent: Option<&Scope<'_>>) -> Result<TypeRef> {
        let scope = match parent {
            Some(parent) => Scope::child(parent),
            None => Scope::root(),
        };
        let value = self.expr(&value_of(cycle), &scope, Clause::SelectList)?;
        let default = self.expr(&default_of(cycle), &scope, Clause::SelectList)?;
        let ty = self.resolver().common_type(&[value, default], "CYCLE");
        let ty = match ty {
            Err(error) if error.sqlstate() == "42804" => {
                let span = cycle.default.as_ref().map_or(cycle.span, |default| default.span);
                return Err(self.at(error, span));
            }
            other => other?,
        };
        let ty = if ty == TypeId::UNKNOWN { TypeId::TEXT } else { ty };
        self.check_sortable(ty, "an equality operator")?;
        Ok(TypeRef::plain(ty))
    }
}

impl Added<'_> {
    /// The query with the further columns.
    pub(super) fn rewritten(
        &self,
        name: &str,
        select: &Select,
        columns: &[NamedType],
    ) -> std::result::Result<Select, (PgError, Span)> {
        let SelectBody::SetOperation { kind, all, left, right } = &select.body else {
            return Err((PgError::internal("a recursive table is a UNION"), Span::default()));
        };
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let first = self.first(left, &names);
        let next = self.next(name, right, &names)?;
        Ok(Select {
            body: SelectBody::SetOperation {
                kind: *kind,
                all: *all,
                left: Box::new(first),
                right: Box::new(next),
            },
            ..select.clone()
        })
    }

    /// The rows that recursion begins with.
    fn first(&self, left: &Select, names: &[String]) -> Select {
        let mut items: Vec<SelectItem> =
            names.iter().map(|name| item(column(FIRST, name), name)).collect();
        if let Some(search) = self.search {
            let mut fields: Vec<Expr> =
                search.columns.iter().map(|name| column(FIRST, name)).collect();
            let sequence = if search.breadth {
                fields.insert(0, typed("int8", "0"));
                level(search, fields)
            } else {
                written(ExprKind::Array(vec![level(search, fields)]))
            };
            items.push(item(sequence, &search.sequence));
        }
        if let Some(cycle) = self.cycle {
            let never = written(ExprKind::Bool(false));
            items.push(item(mark(cycle, never), &cycle.mark));
            items.push(item(step(cycle, FIRST), &cycle.path));
        }
        over(items, left.clone(), FIRST, names.to_vec(), None)
    }

    /// The rows that follow from those of the step before.
    fn next(
        &self,
        name: &str,
        right: &Select,
        names: &[String],
    ) -> std::result::Result<Select, (PgError, Span)> {
        let mut term = right.clone();
        let is_hidden = right
            .with
            .as_ref()
            .is_some_and(|with| with.tables.iter().any(|table| table.alias.name == name));
        let reference = match &mut term.body {
            SelectBody::Query(query) if !is_hidden => query
                .from
                .iter()
                .find_map(|table| reference(table, name))
                .map(|found| (query, found)),
            _ => None,
        };
        let Some((query, alias)) = reference else {
            let message = format!(
                "with a SEARCH or CYCLE clause, the recursive reference to WITH query \"{name}\" must be at the top level of its right-hand SELECT"
            );
            return Err((PgError::new("0A000", message), Span::default()));
        };
        let mut all = names.to_vec();
        let search = self.search.map(|search| &search.sequence);
        let cycle = self.cycle.iter().flat_map(|cycle| [&cycle.mark, &cycle.path]);
        for added in search.into_iter().chain(cycle) {
            query.items.push(item(column(&alias, added), added));
            all.push(added.clone());
        }
        let mut items: Vec<SelectItem> =
            names.iter().map(|name| item(column(NEXT, name), name)).collect();
        if let Some(search) = self.search {
            let own = column(NEXT, &search.sequence);
            let mut fields: Vec<Expr> =
                search.columns.iter().map(|name| column(NEXT, name)).collect();
            let sequence = if search.breadth {
                let depth = written(ExprKind::FieldOf(Box::new(own), DEPTH.to_owned()));
                fields.insert(0, binary("+", depth, typed("int8", "1")));
                level(search, fields)
            } else {
                let here = written(ExprKind::Array(vec![level(search, fields)]));
                function("array_cat", vec![own, here])
            };
            items.push(item(sequence, &search.sequence));
        }
        let mut filter = None;
        if let Some(cycle) = self.cycle {
            let path = column(NEXT, &cycle.path);
            let met = written(ExprKind::Quantified {
                operator: "=".to_owned(),
                left: Box::new(row(cycle, NEXT)),
                right: Box::new(crate::parse::syntax::Quantified::Array(path.clone())),
                all: false,
            });
            items.push(item(mark(cycle, met), &cycle.mark));
            items.push(item(function("array_cat", vec![path, step(cycle, NEXT)]), &cycle.path));
            filter = Some(binary("<>", column(NEXT, &cycle.mark), value_of(cycle)));
        }
        Ok(over(items, term, NEXT, all, filter))
    }
}

/// The name by which a FROM can call the table that reads itself.
fn reference(table: &TableRef, name: &str) -> Option<String> {
    match table {
        TableRef::Table { name: found, alias, .. } => {
            let is_it = matches!(found.parts.as_slice(), [only] if only == name);
            is_it
                .then(|| alias.as_ref().map_or_else(|| name.to_owned(), |alias| alias.name.clone()))
        }
        TableRef::Join { left, right, alias: None, .. } => {
            reference(left, name).or_else(|| reference(right, name))
        }
        _ => None,
    }
}

fn value_of(cycle: &Cycle) -> Expr {
    cycle.value.clone().unwrap_or_else(|| written(ExprKind::Bool(true)))
}

fn default_of(cycle: &Cycle) -> Expr {
    cycle.default.clone().unwrap_or_else(|| written(ExprKind::Bool(false)))
}

fn mark(cycle: &Cycle, when: Expr) -> Expr {
    written(ExprKind::Case {
        operand: None,
        branches: vec![(when, value_of(cycle))],
        otherwise: Some(Box::new(default_of(cycle))),
    })
}

fn row(cycle: &Cycle, table: &str) -> Expr {
    let fields = cycle.columns.iter().map(|name| column(table, name)).collect();
    written(ExprKind::NamedRow(cycle.columns.clone(), fields))
}

fn level(search: &Search, fields: Vec<Expr>) -> Expr {
    let mut names = search.columns.clone();
    if search.breadth {
        names.insert(0, DEPTH.to_owned());
    }
    written(ExprKind::NamedRow(names, fields))
}

fn step(cycle: &Cycle, table: &str) -> Expr {
    written(ExprKind::Array(vec![row(cycle, table)]))
}

fn over(
    items: Vec<SelectItem>,
    query: Select,
    name: &str,
    columns: Vec<String>,
    filter: Option<Expr>,
) -> Select {
    let from = TableRef::Subquery {
        query: Box::new(query),
        alias: Some(Alias { name: name.to_owned(), columns }),
        lateral: false,
    };
    Select {
        with: None,
        body: SelectBody::Query(Box::new(Query {
            items,
            from: vec![from],
            filter,
            ..Query::default()
        })),
        order_by: Vec::new(),
        limit: None,
        with_ties: false,
        offset: None,
        locks: Vec::new(),
    }
}

fn written(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn column(table: &str, name: &str) -> Expr {
    written(ExprKind::Column(vec![table.to_owned(), name.to_owned()]))
}

fn binary(operator: &str, left: Expr, right: Expr) -> Expr {
    let (left, right) = (Box::new(left), Box::new(right));
    written(ExprKind::Binary { operator: operator.to_owned(), left, right })
}

fn typed(ty: &str, text: &str) -> Expr {
    let name = ObjectName { parts: vec![ty.to_owned()], span: Span::default() };
    let ty = crate::parse::syntax::TypeName { name, ..Default::default() };
    written(ExprKind::TypedString(ty, text.to_owned()))
}

fn function(name: &str, args: Vec<Expr>) -> Expr {
    let parts = vec!["pg_catalog".to_owned(), name.to_owned()];
    let arg = |value| FunctionArg { name: None, value };
    written(ExprKind::Function(Box::new(FunctionCall {
        name: ObjectName { parts, span: Span::default() },
        args: args.into_iter().map(arg).collect(),
        ..FunctionCall::default()
    })))
}

fn item(expr: Expr, name: &str) -> SelectItem {
    SelectItem::Expr { expr, alias: Some(name.to_owned()) }
}
