//! COPY: the table, its columns and the options.

use dataman_metadata::schema::{Field as Column, FieldDefault, SourceDefault};
use dataman_node_protocol::query::{CopyIn, Insert, NamedType, Records};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::expr::Clause;
use super::from::{collection_item, target_of};
use super::name::{Relation, system_catalog};
use super::scope::Scope;
use super::{Binder, Result, Table};
use crate::parse::syntax::{self, CopyWhat, ObjectName, Span};
use crate::rows::copy::options::{Columns, CopyOptions, Direction};

/// A COPY … FROM with everything decided.
#[derive(Debug)]
pub struct BoundCopy {
    /// The format of the data.
    pub options: CopyOptions,
    /// The table.
    pub table: Table,
    /// The columns that the data has.
    pub columns: Vec<CopyColumn>,
    /// The form of an insert of the rows.
    pub insert: Insert,
    /// The value of each of the form's fields over the columns of the data.
    pub values: Vec<Expr>,
    /// How many of them are not generated from others.
    pub plain: usize,
    /// WHERE, over the record as source [`CopyIn::RECORD`].
    pub filter: Option<Expr>,
}

/// A column of COPY data.
#[derive(Debug, Clone)]
pub struct CopyColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TypeRef,
    /// The labels, when the type is an enum.
    pub labels: Option<Vec<String>>,
    /// The enum's name.
    pub type_name: String,
}

impl Binder<'_> {
    /// Binds a COPY … FROM.
    pub(crate) fn copy_in(&mut self, copy: &syntax::Copy) -> Result<BoundCopy> {
        let CopyWhat::Table { name, columns } = &copy.what else {
            return Err(PgError::internal("only a table is copied into"));
        };
        let table = self.copied_table(name, Direction::In)?;
        let mut scope = Scope::root();
        scope.push(collection_item(&table, CopyIn::RECORD, &table.name));
        let filter = match &copy.filter {
            None => None,
            Some(filter) => {
                let bound = self.expr(filter, &scope, Clause::CopyWhere)?;
                if self.subqueries.last().is_some_and(|found| !found.is_empty()) {
                    let error =
                        PgError::unsupported("cannot use subquery in COPY FROM WHERE condition");
                    return Err(self.at(error, filter.span));
                }
                let bound = self.resolver().to_boolean(bound, "WHERE");
                Some(self.place(bound, filter.span)?)
            }
        };
        let options = self.copy_options(copy, Direction::In)?;
        let read = self.copied_columns(&table, columns)?;
        check_referenced(&table, &read, &options.force_not_null, "FORCE_NOT_NULL")?;
        check_referenced(&table, &read, &options.force_null, "FORCE_NULL")?;
        let mut fields: Vec<Column> = read.clone();
        let mut rows = vec![Vec::new()];
        for (index, column) in read.iter().enumerate() {
            rows[0].push(Expr::Column { index, ty: type_of(column) });
        }
        for column in &table.collection.fields {
            if fields.iter().any(|field| field.name == column.name)
                || matches!(
                    column.default,
                    FieldDefault::None | FieldDefault::Generated(_) | FieldDefault::Source { .. }
                )
            {
                continue;
            }
            let value = self.default_of(column)?;
            rows[0].push(value);
            fields.push(column.clone());
        }
        let plain = fields.len();
        self.generated_columns(&table, &mut fields, &mut rows)?;
        let columns = read.iter().map(|column| self.copy_column(column)).collect();
        Ok(BoundCopy {
            options,
            columns,
            insert: Insert {
                target: target_of(&table),
                fields: fields
                    .iter()
                    .map(|field| NamedType { name: field.name.clone(), ty: type_of(field) })
                    .collect(),
                records: Records::Parameters,
                conflict: None,
                returning: Vec::new(),
                alias: String::new(),
                subqueries: Vec::new(),
            },
            values: rows.pop().unwrap_or_default(),
            plain,
            filter,
            table,
        })
    }

    /// Finds what a COPY … TO of a table reads: its name with its schema, and its columns.
    fn copied_out(&mut self, copy: &syntax::Copy) -> Result<(Table, Vec<Column>, CopyOptions)> {
        let CopyWhat::Table { name, columns } = &copy.what else {
            return Err(PgError::internal("a query has no table"));
        };
        let table = self.copied_table(name, Direction::Out)?;
        let options = self.copy_options(copy, Direction::Out)?;
        let read = self.copied_columns(&table, columns)?;
        if let Columns::Named(names) = &options.force_quote {
            check_referenced(&table, &read, names, "FORCE_QUOTE")?;
        }
        Ok((table, read, options))
    }

    fn copy_options(&self, copy: &syntax::Copy, direction: Direction) -> Result<CopyOptions> {
        let position =
            |span: Span| self.text.get(..span.start).map_or(0, |before| before.chars().count()) + 1;
        CopyOptions::read(&copy.options, direction, &|option| position(option.span))
    }

    /// The table that is copied.
    fn copied_table(&self, name: &ObjectName, direction: Direction) -> Result<Table> {
        // PostgreSQL gives no position here.
        let unplaced = ObjectName { span: Span::default(), ..name.clone() };
        let found = self.relation(&unplaced)?;
        match (found.relation, direction) {
            (Relation::Collection(collection), _) => {
                Ok(Table { schema: found.schema, name: found.name, collection: collection.clone() })
            }
            (Relation::Virtual(_), Direction::In) => Err(system_catalog(&found.name)),
            (Relation::Virtual(_), Direction::Out) => Err(PgError::unsupported(format!(
                "copying the system catalog \"{}\" is not supported",
                found.name
            ))
            .with_hint("Try the COPY (SELECT ...) TO variant.")),
            (Relation::View(_), Direction::In) => {
                Err(PgError::new("42809", format!("cannot copy to view \"{}\"", found.name))
                    .with_hint(
                        "To enable copying to a view, provide an INSTEAD OF INSERT trigger.",
                    ))
            }
            (Relation::View(_), Direction::Out) => {
                Err(PgError::new("42809", format!("cannot copy from view \"{}\"", found.name))
                    .with_hint("Try the COPY (SELECT ...) TO variant."))
            }
        }
    }

    fn copied_columns(&self, table: &Table, names: &[String]) -> Result<Vec<Column>> {
        if names.is_empty() {
            let all = table.collection.fields.iter();
            return Ok(all.filter(|column| !is_generated(column)).cloned().collect());
        }
        let mut columns: Vec<Column> = Vec::new();
        for name in names {
            let column = find(table, name)?;
            if is_generated(column) {
                return Err(PgError::new(
                    "42P10",
                    format!("column \"{name}\" is a generated column"),
                )
                .with_detail("Generated columns cannot be used in COPY."));
            }
            if columns.iter().any(|other| other.name == *name) {
                return Err(PgError::new(
                    "42701",
                    format!("column \"{name}\" specified more than once"),
                ));
            }
            columns.push(column.clone());
        }
        Ok(columns)
    }

    fn copy_column(&self, column: &Column) -> CopyColumn {
        let found = self.database.enum_by_oid(column.type_oid);
        let found = found.filter(|(_, _, found)| found.oid.0 == column.type_oid);
        CopyColumn {
            name: column.name.clone(),
            ty: type_of(column),
            labels: found.map(|(_, _, found)| found.labels.clone()),
            type_name: found.map(|(_, name, _)| name.to_owned()).unwrap_or_default(),
        }
    }
}

/// What a COPY … TO of a table comes to: the query that reads it, the columns' names, and the options.
///
/// # Errors
/// PostgreSQL's.
pub(crate) fn copy_out_of_table(
    copy: &syntax::Copy,
    text: &str,
    context: &crate::plan::PlanContext<'_>,
) -> Result<(String, Vec<String>, CopyOptions)> {
    let mut binder = Binder::new(text, &[], context)?;
    let (table, columns, options) = binder.copied_out(copy)?;
    let quoted = dataman_node_protocol::context::quote_identifier;
    let names: Vec<String> = columns.into_iter().map(|column| column.name).collect();
    let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let query = format!(
        "SELECT {} FROM {}.{}",
        list.join(", "),
        quoted(&table.schema),
        quoted(&table.name)
    );
    Ok((query, names, options))
}

/// The options of a COPY of a query, whose columns are known.
///
/// # Errors
/// PostgreSQL's.
pub(crate) fn copy_out_of_query(
    copy: &syntax::Copy,
    text: &str,
    columns: &[String],
) -> Result<CopyOptions> {
    let position =
        |span: Span| text.get(..span.start).map_or(0, |before| before.chars().count()) + 1;
    let options =
        CopyOptions::read(&copy.options, Direction::Out, &|option| position(option.span))?;
    if let Columns::Named(names) = &options.force_quote
        && let Some(name) = names.iter().find(|name| !columns.contains(name))
    {
        return Err(PgError::new("42703", format!("column \"{name}\" does not exist")));
    }
    Ok(options)
}

fn type_of(column: &Column) -> TypeRef {
    TypeRef { id: TypeId(column.type_oid), typmod: column.typmod }
}

fn is_generated(column: &Column) -> bool {
    matches!(
        column.default,
        FieldDefault::Generated(_) | FieldDefault::Source { kind: SourceDefault::Generated, .. }
    )
}

fn find<'t>(table: &'t Table, name: &str) -> Result<&'t Column> {
    table.collection.field(name).ok_or_else(|| {
        PgError::new(
            "42703",
            format!("column \"{name}\" of relation \"{}\" does not exist", table.name),
        )
    })
}

/// Checks that the columns of an option are among those that are copied.
fn check_referenced(table: &Table, read: &[Column], names: &[String], option: &str) -> Result<()> {
    for (place, name) in names.iter().enumerate() {
        let column = find(table, name)?;
        if is_generated(column) {
            return Err(PgError::new("42P10", format!("column \"{name}\" is a generated column"))
                .with_detail("Generated columns cannot be used in COPY."));
        }
        if names[..place].contains(name) {
            return Err(PgError::new(
                "42701",
                format!("column \"{name}\" specified more than once"),
            ));
        }
    }
    match names.iter().find(|name| read.iter().all(|column| column.name != **name)) {
        None => Ok(()),
        Some(name) => {
            Err(PgError::new("42P10", format!("{option} column \"{name}\" not referenced by COPY")))
        }
    }
}
