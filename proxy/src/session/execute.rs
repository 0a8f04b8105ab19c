//! PREPARE and EXECUTE in SQL: declared types, and arguments that are expressions.

use std::sync::Arc;

use bytes::Bytes;
use dataman_node_protocol::node::Parameters;
use dataman_node_protocol::record::Format;
use dataman_pg::resolve::{CastContext, Resolver};
use dataman_pg::{PgError, TypeId};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::parse::syntax::{self, ParsedStatement, Statement};
use crate::plan;
use crate::session::Session;
use crate::session::prepared::Prepared;

impl Session {
    /// The arguments of EXECUTE, as parameters in binary: their values are those of a SELECT that casts each to its type.
    pub(super) async fn arguments(
        &mut self,
        name: &str,
        named: &Prepared,
        args: &[syntax::Expr],
        token: &CancellationToken,
    ) -> Result<Parameters, Error> {
        if args.len() != named.params.len() {
            return Err(PgError::new(
                "42601",
                format!("wrong number of parameters for prepared statement \"{name}\""),
            )
            .with_detail(format!(
                "Expected {} parameters but got {}.",
                named.params.len(),
                args.len()
            ))
            .into());
        }
        if args.is_empty() {
            return Ok(Parameters::default());
        }
        for (place, (arg, ty)) in args.iter().zip(&named.params).enumerate() {
            self.check_argument(place + 1, arg, *ty)?;
        }
        let items = args
            .iter()
            .zip(&named.params)
            .map(|(arg, ty)| {
                item(syntax::Expr {
                    kind: syntax::ExprKind::Cast { arg: Box::new(arg.clone()), ty: type_name(*ty) },
                    span: arg.span,
                })
            })
            .collect();
        let statement = select_of(format!("EXECUTE {name} {args:?}"), items);
        let prepared = Arc::new(self.describe(Some(Arc::new(statement)), &[])?);
        let formats = vec![Format::Binary; args.len()];
        let parameters = Parameters::default();
        let (mut rows, _) = self.start_plan(&prepared, &parameters, &formats, token, None).await?;
        let mut values = Vec::new();
        while let Some(batch) = rows.next(0).await? {
            for row in batch.iter() {
                values = row.columns().map(|value| value.map(Bytes::copy_from_slice)).collect();
            }
        }
        self.transaction.give_back(rows.take_connections());
        Ok(Parameters { formats: vec![Format::Binary; values.len()], values })
    }

    /// An argument becomes its parameter's type as an assigned value does, not as an explicit cast would make it.
    fn check_argument(
        &mut self,
        number: usize,
        arg: &syntax::Expr,
        ty: TypeId,
    ) -> Result<(), Error> {
        if matches!(arg.kind, syntax::ExprKind::String(_) | syntax::ExprKind::Null) {
            return Ok(());
        }
        let statement = select_of(format!("EXECUTE argument {arg:?}"), vec![item(arg.clone())]);
        let described = self.describe(Some(Arc::new(statement)), &[])?;
        let found = described.columns.as_ref().and_then(|columns| columns.first());
        let Some(found) = found.map(|column| column.ty.id) else { return Ok(()) };
        let snapshot = self.snapshot();
        let Some(database) = snapshot.database(&self.identity.database) else { return Ok(()) };
        let types = plan::bind::SnapshotTypes::new(database);
        let mut params = plan::Parameters::default();
        let resolver = Resolver { params: &mut params, types: &types };
        if found == ty || resolver.can_coerce(found, ty, CastContext::Assignment) {
            return Ok(());
        }
        Err(PgError::new(
            "42804",
            format!(
                "parameter ${number} of type {} cannot be coerced to the expected type {}",
                resolver.type_name(found),
                resolver.type_name(ty)
            ),
        )
        .with_hint("You will need to rewrite or cast the expression.")
        .into())
    }

    /// The type that PREPARE declares for a parameter.
    pub(super) fn declared_type(&self, name: &syntax::TypeName) -> Result<TypeId, PgError> {
        let unqualified = name.name.parts.last().map_or("", String::as_str);
        if unqualified == "unknown" && name.array_dimensions == 0 {
            return Ok(TypeId(0));
        }
        let snapshot = self.snapshot();
        let database = snapshot.database(&self.identity.database).ok_or_else(|| {
            PgError::new("3D000", format!("database \"{}\" does not exist", self.identity.database))
        })?;
        plan::bind::type_by_name(name, &self.schemas(), database).map(|ty| ty.id)
    }
}

fn item(expr: syntax::Expr) -> syntax::SelectItem {
    syntax::SelectItem::Expr { expr, alias: None }
}

/// A SELECT of expressions. The values are in the tree, not in the text, so the text must tell them apart in the plan cache.
fn select_of(text: String, items: Vec<syntax::SelectItem>) -> ParsedStatement {
    let query = syntax::Query { items, ..syntax::Query::default() };
    let select = syntax::Select {
        with: None,
        body: syntax::SelectBody::Query(Box::new(query)),
        order_by: Vec::new(),
        limit: None,
        with_ties: false,
        offset: None,
        locks: Vec::new(),
    };
    ParsedStatement { text, offset: 0, statement: Statement::Select(Box::new(select)) }
}

/// A type's name, for a cast to it.
fn type_name(ty: TypeId) -> syntax::TypeName {
    let name = dataman_pg::catalog::type_by_id(ty).map_or("unknown", |ty| ty.name);
    syntax::TypeName {
        name: syntax::ObjectName {
            parts: vec!["pg_catalog".to_owned(), name.to_owned()],
            ..syntax::ObjectName::default()
        },
        ..syntax::TypeName::default()
    }
}
