//! UPDATE … FROM and DELETE … USING.
//!
//! SQLite's own UPDATE … FROM returns nothing of the sources, and DELETE … USING does not exist. So a joined write has two
//! steps: a query picks the records with what is to be written and returned, then each record is written by its rowid,
//! the picked values being parameters. A record that several rows of the sources match is written once, for the first.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{
    Condition, Delete, NamedType, NodeQuery, OutputField, Select, Source, Target, Update,
};
use dataman_pg::catalog;
use dataman_pg::expr::{Call, Expr, Field};
use dataman_pg::types::{TypeId, TypeRef};

use crate::driver::sql::{Dialect, Lowered, default_alias, lower_with_expressions, reads_source};

/// The two texts of a joined write.
pub(super) struct Joined {
    /// The query: the rowid first, then the values that the other text takes after the statement's own parameters.
    pub(super) pick: Lowered,
    /// The write of one record; the rowid is the last of its parameters.
    pub(super) write: Lowered,
}

/// Splits an update with sources. `parameters` are the statement's own.
///
/// # Errors
/// `0A000` for a subquery in RETURNING.
pub(super) fn update(update: &Update, parameters: usize) -> Result<Joined, NodeError> {
    let mut plan = Plan::new(&update.alias, &update.source, parameters);
    let record_op = update
        .record_op
        .iter()
        .map(|(field, value)| (field.clone(), plan.pick(value.clone())))
        .collect();
    let returning = plan.returning(&update.returning)?;
    let filter = Some(plan.by_rowid()?);
    let write = NodeQuery::Update(Update {
        record_op,
        source: Vec::new(),
        filter,
        returning,
        ..update.clone()
    });
    plan.finish(&update.target, update.filter.as_ref(), &update.subqueries, &write)
}

/// Splits a delete with sources.
///
/// # Errors
/// As [`update`].
pub(super) fn delete(delete: &Delete, parameters: usize) -> Result<Joined, NodeError> {
    let mut plan = Plan::new(&delete.alias, &delete.source, parameters);
    let returning = plan.returning(&delete.returning)?;
    let filter = Some(plan.by_rowid()?);
    let write =
        NodeQuery::Delete(Delete { source: Vec::new(), filter, returning, ..delete.clone() });
    plan.finish(&delete.target, delete.filter.as_ref(), &delete.subqueries, &write)
}

struct Plan<'q> {
    alias: &'q str,
    sources: &'q [Source],
    parameters: usize,
    picked: Vec<Expr>,
}

impl<'q> Plan<'q> {
    fn new(alias: &'q str, sources: &'q [Source], parameters: usize) -> Self {
        Self { alias: default_alias(alias), sources, parameters, picked: Vec::new() }
    }

    /// Has a value picked by the query; what stands for it in the write.
    fn pick(&mut self, value: Expr) -> Expr {
        let ty = value.type_id();
        let place = match self.picked.iter().position(|picked| *picked == value) {
            Some(place) => place,
            None => {
                self.picked.push(value);
                self.picked.len() - 1
            }
        };
        parameter(self.parameters + place + 1, ty)
    }

    fn returning(&mut self, fields: &[OutputField]) -> Result<Vec<OutputField>, NodeError> {
        let mut fields = fields.to_vec();
        for field in &mut fields {
            if let OutputField::Bound { expr, .. } = field {
                if has_subquery(expr) {
                    return Err(NodeError::unsupported(
                        "SQLite returns no subquery from a joined write",
                    ));
                }
                self.replace(expr);
            }
        }
        Ok(fields)
    }

    fn replace(&mut self, expr: &mut Expr) {
        if matches!(expr, Expr::Field(_)) && reads_source(expr, self.sources) {
            *expr = self.pick(expr.clone());
            return;
        }
        expr.for_each_child_mut(&mut |child| self.replace(child));
    }

    fn rowid(&self) -> Expr {
        Expr::Field(Field {
            source: self.alias.to_owned(),
            name: "rowid".to_owned(),
            ty: TypeRef::plain(TypeId::INT8),
        })
    }

    /// The rowid is the last parameter, after all that is picked.
    fn by_rowid(&self) -> Result<Condition, NodeError> {
        let equal = catalog::operators_named("=")
            .iter()
            .find(|found| found.left == TypeId::INT8 && found.right == TypeId::INT8)
            .ok_or_else(|| NodeError::unsupported("the operator = of bigint is not known"))?;
        let place = self.parameters + self.picked.len() + 1;
        Ok(Condition::Expr(Expr::Call(Call {
            function: equal.function,
            operator: Some(equal.id),
            args: vec![self.rowid(), parameter(place, TypeId::INT8)],
            variadic: false,
            ty: TypeRef::plain(TypeId::BOOL),
        })))
    }

    fn finish(
        self,
        target: &Target,
        filter: Option<&Condition>,
        subqueries: &[Select],
        write: &NodeQuery,
    ) -> Result<Joined, NodeError> {
        let mut source = vec![Source::Collection {
            target: target.clone(),
            alias: self.alias.to_owned(),
            fields: vec![NamedType { name: "rowid".to_owned(), ty: TypeRef::plain(TypeId::INT8) }],
        }];
        source.extend(self.sources.iter().cloned());
        let rowid = self.rowid();
        let pick = NodeQuery::Filter(Select {
            source,
            filter: filter.cloned(),
            fields: std::iter::once(rowid)
                .chain(self.picked)
                .map(|expr| OutputField::Bound { expr, name: "picked".to_owned() })
                .collect(),
            subqueries: subqueries.to_vec(),
            ..Select::default()
        });
        Ok(Joined {
            pick: lower_with_expressions(&pick, Dialect::Sqlite, 0)?,
            write: lower_with_expressions(write, Dialect::Sqlite, 0)?,
        })
    }
}

fn parameter(place: usize, ty: TypeId) -> Expr {
    Expr::Param { index: u16::try_from(place).unwrap_or(u16::MAX), ty }
}

fn has_subquery(expr: &Expr) -> bool {
    let mut found = matches!(expr, Expr::Subquery { .. });
    expr.for_each_child(&mut |child| found = found || has_subquery(child));
    found
}
