//! A set-returning function in a SELECT list: the rows of FROM, each with every row of the function.

use dataman_node_protocol::query::{NamedType, OutputField, Source};
use dataman_pg::expr::{Call, Field};
use dataman_pg::{Expr, PgError, TypeId};

use super::{Binder, Result};
use crate::parse::syntax;
use crate::plan::form::walk;

impl Binder<'_> {
    /// Makes the call one more source of the query, and gives the column that has its values.
    pub(super) fn set_in_list(&mut self, call: Call, name: &str) -> Result<Expr> {
        if call.ty.id == TypeId::RECORD {
            return Err(PgError::unsupported(format!(
                "the function {name} with several columns is only supported in FROM"
            )));
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
}

/// Refuses a SELECT list whose set-returning functions mean more than one further source: several that go in step, and
/// those beside groups and windows, which are computed before.
pub(super) fn check_list(
    listed: &[Source],
    query: &syntax::Query,
    fields: &[OutputField],
) -> Result<()> {
    let [Source::Function { alias, .. }] = listed else {
        return if listed.is_empty() {
            Ok(())
        } else {
            Err(PgError::unsupported(
                "several set-returning functions in a SELECT list are not supported",
            )
            .with_hint("Write them in FROM."))
        };
    };
    let mut is_grouped = query.group_by.is_some() || query.having.is_some();
    for field in fields {
        let OutputField::Bound { expr, .. } = field else { continue };
        walk(expr, &mut |node| {
            is_grouped |= matches!(node, Expr::Aggregate(_) | Expr::Window(_));
        });
        check_place(expr, alias)?;
    }
    if is_grouped {
        return Err(PgError::unsupported(
            "a set-returning function in a SELECT list with aggregates or windows is not supported",
        )
        .with_hint("Write it in FROM."));
    }
    Ok(())
}

/// Where only some of an expression is computed, no set may be.
fn check_place(expr: &Expr, alias: &str) -> Result<()> {
    let word = match expr {
        Expr::Case { .. } => Some("CASE"),
        Expr::Coalesce { .. } => Some("COALESCE"),
        _ => None,
    };
    let mut result = Ok(());
    if let Some(word) = word {
        let mut found = false;
        walk(expr, &mut |node| {
            found |= matches!(node, Expr::Field(field) if field.source == alias)
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
            result = check_place(child, alias);
        }
    });
    result
}
