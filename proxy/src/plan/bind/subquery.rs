//! Subqueries in expressions, ANY and ALL over them, and rows compared.

use std::cmp::Ordering;

use dataman_node_protocol::query::{NamedType, OutputField, Select, Source};
use dataman_pg::expr::{Field, RowField, SubqueryKind};
use dataman_pg::resolve::CastContext;
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::expr::{Clause, conjunction, row_fields};
use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self};
use crate::plan::form::{output_columns, walk};

impl Binder<'_> {
    /// Binds a subquery in an expression; [`Binder::keep_subquery`] puts it in its place.
    pub(super) fn subquery(
        &mut self,
        query: &syntax::Select,
        scope: &Scope<'_>,
    ) -> Result<(usize, Select)> {
        let windows = std::mem::take(&mut self.named_windows);
        let is_grouped = std::mem::take(&mut self.is_grouped);
        let bound = self.select(query, Some(scope));
        self.named_windows = windows;
        self.is_grouped = is_grouped;
        let bound = bound?;
        let index = self.subqueries.last().map_or(0, Vec::len);
        Ok((index, bound))
    }

    /// Puts a subquery in its place, unless the clause names one again that is there already; answers the place.
    pub(super) fn keep_subquery(&mut self, index: usize, select: Select, clause: Clause) -> usize {
        if let Some(known) = self.same_subquery(&select, clause) {
            self.forget(&select);
            return known;
        }
        if let Some(list) = self.subqueries.last_mut() {
            debug_assert_eq!(index, list.len(), "subqueries are kept in the order they are bound");
            list.push(select);
        }
        index
    }

    pub(super) fn quantified_subquery(
        &mut self,
        operator: &str,
        left: &syntax::Expr,
        query: &syntax::Select,
        all: bool,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let mut left = match row_fields(left) {
            Some(fields) => self.expanded(fields, scope, clause)?,
            None => vec![self.expr(left, scope, clause)?],
        };
        let (index, mut select) = self.subquery(query, scope)?;
        let columns = output_columns(&select);
        match columns.len().cmp(&left.len()) {
            Ordering::Less => {
                return Err(PgError::new("42601", "subquery has too few columns"));
            }
            Ordering::Greater => {
                return Err(PgError::new("42601", "subquery has too many columns"));
            }
            Ordering::Equal => {}
        }
        let mut operators = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let probe = Expr::Column { index: place, ty: column.ty };
            let Expr::Call(call) = self.resolver().binary(operator, left[place].clone(), probe)?
            else {
                return Err(PgError::internal("an operator is a call"));
            };
            if call.ty.id != TypeId::BOOL {
                return Err(PgError::new(
                    "42804",
                    format!(
                        "row comparison operator must yield type boolean, not type {}",
                        self.type_name(call.ty.id)
                    ),
                ));
            }
            let [one, other] = <[Expr; 2]>::try_from(call.args)
                .map_err(|_| PgError::internal("a comparison has two operands"))?;
            left[place] = one;
            if let Some(function) = call.operator {
                operators.push(function);
            }
            // A cast that the comparison needs on the subquery's side is made inside the subquery.
            let target = other.type_ref();
            if !matches!(other, Expr::Column { .. }) {
                self.retype_output(&mut select, place, target)?;
            }
        }
        let index = self.keep_subquery(index, select, clause);
        Ok(Expr::Subquery {
            index,
            kind: SubqueryKind::Compare { all, left, operators },
            ty: TypeRef::plain(TypeId::BOOL),
            outer: Vec::new(),
        })
    }

    pub(super) fn retype_output(
        &mut self,
        select: &mut Select,
        place: usize,
        target: TypeRef,
    ) -> Result<()> {
        if !select.union.is_empty() || !select.distinct.is_all() {
            self.put_inside(select);
        }
        if let Some(OutputField::Bound { expr, .. }) = select.fields.get_mut(place) {
            let taken = std::mem::replace(expr, Expr::null(TypeId::UNKNOWN));
            *expr = self.resolver().cast(taken, target, CastContext::Implicit)?;
        }
        Ok(())
    }

    /// Makes a query one that reads all columns of it.
    fn put_inside(&mut self, select: &mut Select) {
        let alias = self.unique_alias("unnamed_subquery");
        let mut outer = Select::default();
        let mut columns = Vec::new();
        for (place, column) in output_columns(select).iter().enumerate() {
            let name = format!("column{}", place + 1);
            let field = Field { source: alias.clone(), name: name.clone(), ty: column.ty };
            columns.push(NamedType { name, ty: column.ty });
            let name = column.name.clone();
            outer.fields.push(OutputField::Bound { expr: Expr::Field(field), name });
        }
        let query = Box::new(std::mem::take(select));
        outer.source.push(Source::Query { query, alias, columns, lateral: false });
        *select = outer;
    }

    pub(super) fn row_compare(
        &mut self,
        operator: &str,
        left: &[syntax::Expr],
        right: &[syntax::Expr],
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let left = self.expanded(left, scope, clause)?;
        let right = self.expanded(right, scope, clause)?;
        self.compare_rows(operator, left, right)
    }

    /// Compares two rows that have been bound.
    pub(super) fn compare_rows(
        &mut self,
        operator: &str,
        left: Vec<Expr>,
        right: Vec<Expr>,
    ) -> Result<Expr> {
        if left.len() != right.len() {
            return Err(PgError::new("42601", "unequal number of entries in row expressions"));
        }
        if left.is_empty() {
            return Err(PgError::new("0A000", "cannot compare rows of zero length"));
        }
        self.compare_bound(operator, left, right)
    }

    /// `ROW(…) op (SELECT …)`: whether the one row of the subquery compares so; NULL where it has none. The comparison is made
    /// inside the subquery, over its row.
    pub(super) fn row_compare_subquery(
        &mut self,
        operator: &str,
        left: &[syntax::Expr],
        query: &syntax::Select,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let before = self.subqueries.last().map_or(0, Vec::len);
        let left = self.expanded(left, scope, clause)?;
        let mut moves = !self.context.shows;
        moves &= self.subqueries.last().map_or(0, Vec::len) == before;
        for field in &left {
            walk(field, &mut |node| {
                // An aggregate of columns is known in there by them.
                let mut reads = false;
                if let Expr::Aggregate(_) | Expr::Grouping(_) = node {
                    walk(node, &mut |part| reads |= matches!(part, Expr::Field(_)));
                }
                moves &= match node {
                    Expr::Aggregate(_) | Expr::Grouping(_) => reads,
                    Expr::Window(_) => false,
                    _ => true,
                };
            });
        }
        self.compares_rows = true;
        if !moves {
            return Err(PgError::unsupported(
                "comparing a row that has a subquery or an aggregate with the row of a subquery is not supported",
            )
            .with_hint("Compare each field with a subquery of its own."));
        }
        let (index, select) = self.subquery(query, scope)?;
        let alias = self.unique_alias("row");
        let columns = numbered(output_columns(&select));
        match columns.len().cmp(&left.len()) {
            Ordering::Less => return Err(PgError::new("42601", "subquery has too few columns")),
            Ordering::Greater => {
                return Err(PgError::new("42601", "subquery has too many columns"));
            }
            Ordering::Equal => {}
        }
        let right = columns.iter().map(|column| {
            let (source, name) = (alias.clone(), column.name.clone());
            Expr::Field(Field { source, name, ty: column.ty })
        });
        let compared = self.compare_bound(operator, left, right.collect())?;
        let whole = Select {
            source: vec![Source::Query { query: Box::new(select), alias, columns, lateral: false }],
            fields: vec![OutputField::Bound { expr: compared, name: "?column?".to_owned() }],
            ..Select::default()
        };
        let index = self.keep_subquery(index, whole, clause);
        let ty = TypeRef::plain(TypeId::BOOL);
        Ok(Expr::Subquery { index, kind: SubqueryKind::Scalar, ty, outer: Vec::new() })
    }

    fn compare_bound(&mut self, operator: &str, left: Vec<Expr>, right: Vec<Expr>) -> Result<Expr> {
        if !matches!(operator, "=" | "<>" | "<" | "<=" | ">" | ">=") {
            for (one, other) in left.into_iter().zip(right) {
                self.resolver().binary(operator, one, other)?;
            }
            return Err(not_a_row_operator(operator));
        }
        let mut fields = Vec::new();
        for (one, other) in left.into_iter().zip(right) {
            let call = |bound: Expr| match bound {
                Expr::Call(call) => Ok(call),
                _ => Err(PgError::internal("an operator is a call")),
            };
            let equal = call(self.resolver().binary("=", one.clone(), other.clone())?)?;
            let compare = match operator {
                "<" | "<=" => Some(call(self.resolver().binary("<", one, other)?)?),
                ">" | ">=" => Some(call(self.resolver().binary(">", one, other)?)?),
                _ => None,
            };
            fields.push(RowField { equal, compare });
        }
        // Equality of rows is a conjunction; so it can prune shards and use indexes.
        match operator {
            "=" => {
                Ok(conjunction(fields.into_iter().map(|field| Expr::Call(field.equal)).collect()))
            }
            "<>" => Ok(Expr::Not(Box::new(conjunction(
                fields.into_iter().map(|field| Expr::Call(field.equal)).collect(),
            )))),
            _ => Ok(Expr::RowCompare { operator: operator.to_owned(), fields }),
        }
    }
}

fn not_a_row_operator(operator: &str) -> PgError {
    PgError::new(
        "0A000",
        format!("could not determine interpretation of row comparison operator {operator}"),
    )
    .with_hint("Row comparison operators must be associated with btree operator families.")
}

/// Names may repeat in a subquery; as columns of a source they are told apart by number.
pub(super) fn numbered(columns: Vec<NamedType>) -> Vec<NamedType> {
    let number = |(number, column): (usize, NamedType)| NamedType {
        name: format!("{}_{number}", column.name),
        ..column
    };
    columns.into_iter().enumerate().map(number).collect()
}
