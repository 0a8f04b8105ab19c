//! The information schema: the SQL standard's tables, made of the rows of `pg_catalog`, users' and built-in ones alike.
//!
//! ```text
//!  relation.rs    tables, views, sequences, schemata
//!  column.rs      columns
//!  constraint.rs  constraints, and the columns that they are about
//!  privilege.rs   roles and rights
//! ```

mod column;
mod constraint;
mod privilege;
mod relation;

use std::collections::HashMap;
use std::sync::Arc;

use dataman_pg::catalog::system::{SystemRow, system_relation, system_table};
use dataman_pg::{Context, PgError, TypeId, Value};

use super::database::{Catalog, Table};
use super::row::text;

type Result<T> = std::result::Result<T, PgError>;

/// Who asks, and by which path names are visible: the standard shows people what concerns them.
#[derive(Clone, Copy)]
pub(super) struct Viewer<'a> {
    catalog: &'a Catalog,
    context: &'a Context,
    superuser: bool,
}

/// The rows of a table.
pub(super) fn rows(catalog: &Catalog, name: &str, context: &Context) -> Result<Vec<SystemRow>> {
    let role = catalog.snapshot.role(&context.session.user);
    let superuser = role.is_some_and(|role| role.superuser);
    let viewer = Viewer { catalog, context, superuser };
    match name {
        "tables" => relation::tables(viewer),
        "views" => relation::views(viewer),
        "sequences" => relation::sequences(viewer),
        "schemata" => relation::schemata(viewer),
        "columns" => column::columns(viewer),
        "table_constraints" => constraint::constraints(viewer),
        "check_constraints" => constraint::checks(viewer),
        "key_column_usage" => constraint::keys(viewer),
        "referential_constraints" => constraint::references(viewer),
        "constraint_column_usage" => constraint::columns_used(viewer),
        "constraint_table_usage" => constraint::tables_used(viewer),
        "table_privileges" | "role_table_grants" => privilege::on_tables(viewer, name),
        "enabled_roles" => privilege::enabled_roles(viewer),
        "applicable_roles" => privilege::applicable_roles(viewer),
        "collations" => privilege::collations(viewer),
        "information_schema_catalog_name" => Ok(vec![[viewer.database()].into()]),
        _ => Ok(system_table(&format!("information_schema.{name}")).rows().to_vec()),
    }
}

/// A table of `pg_catalog`, read by the names of its columns.
struct Source {
    table: Arc<Table>,
    places: HashMap<&'static str, usize>,
}

impl Source {
    fn new(catalog: &Catalog, name: &str, context: &Context) -> Result<Self> {
        let relation = system_relation("pg_catalog", name)
            .ok_or_else(|| PgError::internal(format!("{name} is a catalog")))?;
        let columns = relation.columns.iter().enumerate();
        let places = columns.map(|(place, (column, _, _))| (&**column, place)).collect();
        Ok(Self { table: catalog.table("pg_catalog", name, context)?, places })
    }

    fn rows(&self) -> impl Iterator<Item = Line<'_>> {
        self.table.rows().iter().map(|row| Line { source: self, row })
    }

    /// By a column that is an OID.
    fn by(&self, column: &str) -> HashMap<u32, Line<'_>> {
        self.rows().map(|line| (line.oid(column), line)).collect()
    }
}

/// One row of a [`Source`].
#[derive(Clone, Copy)]
struct Line<'a> {
    source: &'a Source,
    row: &'a SystemRow,
}

impl<'a> Line<'a> {
    fn get(&self, column: &str) -> &'a Value {
        static NULL: Value = Value::Null;
        self.source.places.get(column).and_then(|place| self.row.get(*place)).unwrap_or(&NULL)
    }

    fn oid(&self, column: &str) -> u32 {
        if let Value::Oid(oid) = self.get(column) { *oid } else { 0 }
    }

    fn letter(&self, column: &str) -> u8 {
        if let Value::Char(letter) = self.get(column) { *letter } else { 0 }
    }

    fn is(&self, column: &str) -> bool {
        *self.get(column) == Value::Bool(true)
    }

    fn number(&self, column: &str) -> i64 {
        match self.get(column) {
            Value::Int2(number) => i64::from(*number),
            Value::Int4(number) => i64::from(*number),
            Value::Int8(number) => *number,
            _ => -1,
        }
    }

    fn text(&self, column: &str) -> &'a str {
        if let Value::Text(text) = self.get(column) { text } else { "" }
    }

    /// The numbers of an array of `smallint`.
    fn numbers(&self, column: &str) -> Vec<i16> {
        let Value::Array(array) = self.get(column) else { return Vec::new() };
        let number =
            |value: &Value| if let Value::Int2(number) = value { Some(*number) } else { None };
        array.elements.iter().filter_map(number).collect()
    }
}

impl<'a> Viewer<'a> {
    fn source(&self, name: &str) -> Result<Source> {
        Source::new(self.catalog, name, self.context)
    }

    fn database(&self) -> Value {
        text(self.catalog.database.as_str())
    }

    /// Whether the viewer is a role, or may act for it.
    fn is(&self, role: u32) -> bool {
        if self.superuser {
            return true;
        }
        let own = self.catalog.role_oid(&self.context.session.user);
        let owner = self.catalog.content().map(|database| database.owner.as_str());
        own == role || role == DATABASE_OWNER && owner == Some(self.context.session.user.as_str())
    }

    /// The schemas' names by OID.
    fn schemas(&self) -> Result<HashMap<u32, Value>> {
        let schemas = self.source("pg_namespace")?;
        Ok(schemas.rows().map(|line| (line.oid("oid"), line.get("nspname").clone())).collect())
    }

    fn role_name(&self, role: u32) -> Value {
        self.catalog.role_name(role).map_or(Value::Null, Value::text)
    }
}

/// The role that stands for the owner of the session's database.
const DATABASE_OWNER: u32 = 6171;

/// `YES` or `NO`.
fn yes(is: bool) -> Value {
    text(if is { "YES" } else { "NO" })
}

/// A number as the standard's `cardinal_number`.
fn count(number: i64) -> Value {
    i32::try_from(number).map_or(Value::Null, Value::Int4)
}

/// The bits of a number type.
fn precision(ty: TypeId, typmod: i64) -> (Value, Value, Value) {
    let of = |bits: i32, radix: i32, scale: Value| (Value::Int4(bits), Value::Int4(radix), scale);
    match ty {
        TypeId::INT2 => of(16, 2, Value::Int4(0)),
        TypeId::INT4 => of(32, 2, Value::Int4(0)),
        TypeId::INT8 => of(64, 2, Value::Int4(0)),
        TypeId::FLOAT4 => of(24, 2, Value::Null),
        TypeId::FLOAT8 => of(53, 2, Value::Null),
        TypeId::NUMERIC if typmod < 4 => (Value::Null, Value::Int4(10), Value::Null),
        TypeId::NUMERIC => {
            let packed = typmod - 4;
            (count((packed >> 16) & 0xffff), Value::Int4(10), count(packed & 0xffff))
        }
        _ => (Value::Null, Value::Null, Value::Null),
    }
}
