//! Set-returning functions: several of them in step, and those of a SELECT list.
//!
//! `ROWS FROM (f(), g())` and functions beside each other in a SELECT list go in step: the first row of one beside the first
//! row of the other, and NULL where one has ended. That is a full join of their rows by number.

use dataman_node_protocol::query::{self, JoinKind, NamedType, OutputField, Source};
use dataman_pg::expr::{Call, Field, SortKey};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::from::{first_number, function_columns};
use super::scope::FromItem;
use super::{Binder, Result};
use crate::parse::syntax::{self, Alias};
use crate::plan::form::{alias_of, each_child_mut, replace, walk};

impl Binder<'_> {
    /// Makes the call one more source of the query, and gives the column that has its values.
    pub(super) fn set_in_list(&mut self, call: Call, name: &str) -> Result<Expr> {
        if call.ty.id == TypeId::RECORD {
            return self.row_set_in_list(call, name);
        }
        let alias = self.unique_alias(name);
        let ty = call.ty;
        self.listed_sets.push(Source::Function {
            call: Expr::Call(call),
            alias: alias.clone(),
            columns: vec![NamedType { name: name.to_owned(), ty }],
            ordinality: false,
        });
        Ok(Expr::Field(Field { source: alias, name: name.to_owned(), ty }))
    }

    /// The sources for the set-returning functions of a SELECT list. Those that read others' rows come behind them; those that
    /// are nested as deep as each other go in step.
    ///
    /// # Errors
    /// Where a set-returning function may not stand.
    pub(super) fn listed_sources(
        &mut self,
        listed: Vec<Source>,
        fields: &mut [OutputField],
    ) -> Result<Vec<Source>> {
        if self.context.shows && !listed.is_empty() {
            return Err(PgError::unsupported(
                "a definition with a set-returning function in its SELECT list is not written back",
            ));
        }
        check_list(&listed, fields)?;
        let mut levels: Vec<Vec<Source>> = Vec::new();
        let mut depths: Vec<(String, usize)> = Vec::new();
        for source in listed {
            let Source::Function { call, alias, .. } = &source else { continue };
            let mut depth = 0;
            walk(call, &mut |node| {
                if let Expr::Field(field) = node
                    && let Some((_, below)) =
                        depths.iter().find(|(alias, _)| *alias == field.source)
                {
                    depth = depth.max(below + 1);
                }
            });
            depths.push((alias.clone(), depth));
            if levels.len() <= depth {
                levels.resize_with(depth + 1, Vec::new);
            }
            levels[depth].push(source);
        }
        let mut sources: Vec<Source> = Vec::new();
        let mut moved: Vec<(Expr, Expr)> = Vec::new();
        let put = |expr: &Expr, moved: &[(Expr, Expr)]| {
            replace(expr, &mut |node| {
                moved.iter().find(|(from, _)| from == node).map(|(_, to)| to.clone())
            })
        };
        for level in levels {
            let mut level: Vec<Source> = level
                .into_iter()
                .map(|source| match source {
                    Source::Function { call, alias, columns, ordinality } => {
                        let call = put(&call, &moved);
                        Source::Function { call, alias, columns, ordinality }
                    }
                    other => other,
                })
                .collect();
            if level.len() == 1 {
                sources.append(&mut level);
                continue;
            }
            let is_of_rows = |source: &Source| matches!(source, Source::Function { columns, .. } if columns.len() > 1);
            if level.iter().any(is_of_rows) {
                return Err(PgError::unsupported(
                    "a function with several columns beside other set-returning functions of the SELECT list is not supported",
                )
                .with_hint("Write the functions in FROM, as ROWS FROM."));
            }
            let mut calls = Vec::new();
            let mut columns = Vec::new();
            for source in level {
                if let Source::Function { call, alias, columns: own, .. } = source {
                    for column in own {
                        let field = Field {
                            source: alias.clone(),
                            name: column.name.clone(),
                            ty: column.ty,
                        };
                        columns.push(Expr::Field(field));
                        calls.push((call.clone(), column.name));
                    }
                }
            }
            let item = self.rows_from(calls, false, None)?;
            moved.extend(
                columns.into_iter().zip(item.columns.into_iter().map(|column| column.expr)),
            );
            sources.extend(item.source);
        }
        for field in fields {
            if let OutputField::Bound { expr, .. } = field {
                *expr = put(expr, &moved);
            }
        }
        Ok(sources)
    }

    /// Puts set-returning functions of a SELECT list behind what is computed before them: groups, windows, and an order that they
    /// have no part in. What they and the list read of it become the columns of a query of its own.
    pub(super) fn sets_behind(
        &mut self,
        select: query::Select,
        mut sets: Vec<Source>,
        written: &syntax::Query,
        keeps_sort: bool,
    ) -> Result<query::Select> {
        let aliases: Vec<String> =
            sets.iter().filter_map(|set| alias_of(set).map(str::to_owned)).collect();
        let alias = self.unique_alias("rows");
        let mut exports =
            Exports { aliases, alias: alias.clone(), exprs: Vec::new(), refused: false };
        let query::Select { fields, distinct, sort, .. } = select;
        let fields = fields
            .into_iter()
            .map(|field| match field {
                OutputField::Bound { expr, name } => {
                    OutputField::Bound { expr: exports.put(&expr), name }
                }
                named @ OutputField::Named(_) => named,
            })
            .collect();
        let distinct = match distinct {
            query::Distinct::On(keys) => {
                query::Distinct::On(keys.iter().map(|key| exports.put(key)).collect())
            }
            other => other,
        };
        let is_behind = keeps_sort
            || !distinct.is_all()
            || sort.iter().any(|key| exports.reads_sets(&key.expr));
        let (inner_sort, sort) = if is_behind {
            let behind = sort
                .into_iter()
                .map(|key| SortKey { expr: exports.put(&key.expr), ..key })
                .collect();
            (Vec::new(), behind)
        } else {
            (sort, Vec::new())
        };
        for set in &mut sets {
            each_call_mut(set, &mut |call| {
                if let Expr::Call(call) = call {
                    for arg in &mut call.args {
                        *arg = exports.put(arg);
                    }
                }
            });
        }
        if exports.refused {
            return Err(PgError::unsupported(
                "a subquery over a set-returning function of the SELECT list is not supported",
            )
            .with_hint("Write the function in FROM."));
        }
        let columns: Vec<NamedType> = exports
            .exprs
            .iter()
            .enumerate()
            .map(|(place, expr)| NamedType { name: column_name(place), ty: expr.type_ref() })
            .collect();
        let mut inner = query::Select {
            fields: exports
                .exprs
                .into_iter()
                .zip(&columns)
                .map(|(expr, column)| OutputField::Bound { expr, name: column.name.clone() })
                .collect(),
            distinct: query::Distinct::All,
            sort: inner_sort,
            ..select
        };
        self.check_grouping(&mut inner, written)?;
        inner.subqueries = self.subqueries.last_mut().map(std::mem::take).unwrap_or_default();
        self.facts.internal = true;
        let query = Source::Query { query: Box::new(inner), alias, columns, lateral: false };
        Ok(query::Select {
            source: std::iter::once(query).chain(sets).collect(),
            fields,
            distinct,
            sort,
            ..query::Select::default()
        })
    }

    /// Functions in step.
    pub(super) fn rows_from(
        &mut self,
        calls: Vec<(Expr, String)>,
        ordinality: bool,
        alias: Option<&Alias>,
    ) -> Result<FromItem> {
        let given = match alias {
            Some(alias) => alias.clone(),
            None => Alias {
                name: calls.first().map_or_else(String::new, |(_, name)| name.clone()),
                columns: Vec::new(),
            },
        };
        let number = TypeRef::plain(TypeId::INT8);
        let mut joined: Option<Source> = None;
        let mut fields = Vec::new();
        let mut numbers: Vec<Expr> = Vec::new();
        for (call, name) in calls {
            let unique = self.unique_alias(&name);
            let mut columns = function_columns(&call, &name)?;
            let field = |column: &NamedType| {
                let name = column.name.clone();
                Expr::Field(Field { source: unique.clone(), name, ty: column.ty })
            };
            fields.extend(columns.iter().map(|column| OutputField::Bound {
                expr: field(column),
                name: column.name.clone(),
            }));
            let row = NamedType { name: "row number".to_owned(), ty: number };
            let own = field(&row);
            columns.push(row);
            let is_value = match &call {
                Expr::Call(found) => dataman_pg::catalog::function(found.function)
                    .is_some_and(|function| !function.returns_set && function.out.is_empty()),
                _ => true,
            };
            let source = if is_value {
                let value = OutputField::Bound { expr: call, name: columns[0].name.clone() };
                let select = query::Select {
                    fields: vec![value, first_number("row number")],
                    ..query::Select::default()
                };
                let (query, alias) = (Box::new(select), unique.clone());
                Source::Query { query, alias, columns, lateral: true }
            } else {
                Source::Function { call, alias: unique.clone(), columns, ordinality: true }
            };
            joined = Some(match joined {
                None => source,
                Some(left) => {
                    let before = first_of(&numbers);
                    let on = self.resolver().binary("=", before, own.clone())?;
                    let (left, right) = (Box::new(left), Box::new(source));
                    Source::Join { left, right, kind: JoinKind::Full, on: Some(on) }
                }
            });
            numbers.push(own);
        }
        let place = first_of(&numbers);
        if ordinality {
            fields.push(OutputField::Bound { expr: place.clone(), name: "ordinality".to_owned() });
        }
        let select = query::Select {
            source: joined.into_iter().collect(),
            fields,
            sort: vec![SortKey { expr: place, descending: false, nulls_first: false }],
            ..query::Select::default()
        };
        self.derived(select, Some(&given), true)
    }
}

/// The columns that are computed before set-returning functions.
struct Exports {
    /// The functions' aliases.
    aliases: Vec<String>,
    /// The alias of the query that computes the columns.
    alias: String,
    exprs: Vec<Expr>,
    refused: bool,
}

impl Exports {
    fn reads_sets(&self, expr: &Expr) -> bool {
        let mut found = false;
        walk(expr, &mut |node| {
            found |= matches!(node, Expr::Field(field) if self.aliases.contains(&field.source));
        });
        found
    }

    /// The expression with its largest parts that read no set as columns.
    fn put(&mut self, expr: &Expr) -> Expr {
        if matches!(expr, Expr::Const(_) | Expr::Param { .. }) {
            return expr.clone();
        }
        if !self.reads_sets(expr) {
            let place = self.exprs.iter().position(|known| known == expr).unwrap_or_else(|| {
                self.exprs.push(expr.clone());
                self.exprs.len() - 1
            });
            return Expr::Field(Field {
                source: self.alias.clone(),
                name: column_name(place),
                ty: expr.type_ref(),
            });
        }
        self.refused |= matches!(
            expr,
            Expr::Subquery { .. } | Expr::Aggregate(_) | Expr::Window(_) | Expr::Grouping(_)
        );
        let mut copy = expr.clone();
        each_child_mut(&mut copy, &mut |child| *child = self.put(child));
        copy
    }
}

fn column_name(place: usize) -> String {
    format!("column{}", place + 1)
}

/// Calls `visit` on the calls of a set, alone or in step.
fn each_call_mut(source: &mut Source, visit: &mut dyn FnMut(&mut Expr)) {
    match source {
        Source::Function { call, .. } => visit(call),
        Source::Join { left, right, .. } => {
            each_call_mut(left, visit);
            each_call_mut(right, visit);
        }
        Source::Query { query, .. } => {
            query.source.iter_mut().for_each(|source| each_call_mut(source, visit));
        }
        Source::Collection { .. }
        | Source::CommonTable { .. }
        | Source::Values { .. }
        | Source::Virtual { .. } => {}
    }
}

/// The number of a row that has ended in some of the functions.
fn first_of(numbers: &[Expr]) -> Expr {
    match numbers {
        [only] => only.clone(),
        several => Expr::Coalesce { args: several.to_vec(), ty: TypeRef::plain(TypeId::INT8) },
    }
}

/// Refuses set-returning functions where only some of an expression is computed.
fn check_list(listed: &[Source], fields: &[OutputField]) -> Result<()> {
    let aliases: Vec<&str> = listed.iter().filter_map(alias_of).collect();
    for field in fields {
        if let OutputField::Bound { expr, .. } = field {
            check_place(expr, &aliases)?;
        }
    }
    Ok(())
}

/// Where only some of an expression is computed, no set may be.
fn check_place(expr: &Expr, aliases: &[&str]) -> Result<()> {
    let word = match expr {
        Expr::Case { .. } => Some("CASE"),
        Expr::Coalesce { .. } => Some("COALESCE"),
        _ => None,
    };
    let mut result = Ok(());
    if let Some(word) = word {
        let mut found = false;
        walk(expr, &mut |node| {
            found |= matches!(node, Expr::Field(field) if aliases.contains(&field.source.as_str()));
        });
        if found {
            let message = format!("set-returning functions are not allowed in {word}");
            return Err(PgError::new("0A000", message).with_hint(
                "You might be able to move the set-returning function into a LATERAL FROM item.",
            ));
        }
    }
    expr.for_each_child(&mut |child| {
        if result.is_ok() {
            result = check_place(child, aliases);
        }
    });
    result
}
