//! PREPARE and EXECUTE in SQL: declared types, and arguments that are expressions.

use std::sync::Arc;

use bytes::Bytes;
use dataman_node_protocol::node::Parameters;
use dataman_node_protocol::record::Format;
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
        let items = args
            .iter()
            .zip(&named.params)
            .map(|(arg, ty)| syntax::SelectItem::Expr {
                expr: syntax::Expr {
                    kind: syntax::ExprKind::Cast { arg: Box::new(arg.clone()), ty: type_name(*ty) },
                    span: arg.span,
                },
                alias: None,
            })
            .collect();
        let select = syntax::Select {
            with: None,
            body: syntax::SelectBody::Query(Box::new(syntax::Query {
                items,
                ..syntax::Query::default()
            })),
            order_by: Vec::new(),
            limit: None,
            with_ties: false,
            offset: None,
            locks: Vec::new(),
        };
        // The values are in the tree, not in the text, so the plan must not be found by its text.
        let statement = ParsedStatement {
            text: format!("EXECUTE {name} {args:?}"),
            offset: 0,
            statement: Statement::Select(Box::new(select)),
        };
        let prepared = Arc::new(self.describe(Some(Arc::new(statement)), &[])?);
        let formats = vec![Format::Binary; args.len()];
        let mut rows = self.start_plan(&prepared, &Parameters::default(), &formats, token).await?;
        let mut values = Vec::new();
        while let Some(batch) = rows.next(0).await? {
            for row in batch.iter() {
                values = row.columns().map(|value| value.map(Bytes::copy_from_slice)).collect();
            }
        }
        self.transaction.give_back(rows.take_connections());
        Ok(Parameters { formats: vec![Format::Binary; values.len()], values })
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
