//! Columns: `ColumnDefinition` → `Field`, with the sequence that SERIAL and IDENTITY bring.

use dataman_metadata::change::{Change, Object};
use dataman_metadata::schema::{Collection, Field, FieldDefault, Sequence};
use dataman_pg::types::TypeRef;
use dataman_pg::{PgError, TypeId};

use super::draft::{Draft, Result};
use super::expression::Use;
use super::name::choose;
use crate::parse::syntax::{ColumnDefinition, SequenceOptions, Span, TypeName};
use crate::plan::bind::type_by_name;

/// The names that every table of PostgreSQL has columns of.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"];

/// The integer type of a SERIAL.
fn serial_type(ty: &TypeName) -> Option<TypeId> {
    let [name] = ty.name.parts.as_slice() else { return None };
    match name.as_str() {
        "serial" | "serial4" => Some(TypeId::INT4),
        "bigserial" | "serial8" => Some(TypeId::INT8),
        "smallserial" | "serial2" => Some(TypeId::INT2),
        _ => None,
    }
}

/// Refuses a name that a column cannot have.
pub(super) fn check_column_name(name: &str) -> Result<()> {
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(PgError::new(
            "42701",
            format!("column name \"{name}\" conflicts with a system column name"),
        ));
    }
    Ok(())
}

impl Draft<'_> {
    /// The type that a name means, with a span for its errors.
    pub(super) fn type_ref(&self, ty: &TypeName) -> Result<TypeRef> {
        type_by_name(ty, self.facts.search_path, self.database)
            .map_err(|error| self.at(error, ty.name.span))
    }

    /// Adds a column to a table that is being made or changed. Its constraints are added later, when all columns are known;
    /// so is the check of what its default and generation are.
    pub(super) fn add_column(
        &mut self,
        schema: &str,
        table: &str,
        collection: &mut Collection,
        column: &ColumnDefinition,
    ) -> Result<()> {
        let name = &column.name;
        check_column_name(name)?;
        let serial = serial_type(&column.ty);
        let of = format!("column \"{name}\" of table \"{table}\"");
        let ty = match serial {
            Some(_) if column.ty.array_dimensions > 0 => {
                return Err(self.at(
                    PgError::unsupported("array of serial is not implemented"),
                    column.ty.name.span,
                ));
            }
            Some(ty) => TypeRef::plain(ty),
            None => self.type_ref(&column.ty)?,
        };
        if matches!(ty.id, TypeId::UNKNOWN | TypeId::RECORD) || column.ty.name.last() == "void" {
            return Err(PgError::new(
                "42P16",
                format!("column \"{name}\" has pseudo-type {}", column.ty.name.last()),
            ));
        }
        self.check_collation(column)?;
        if serial.is_some() {
            if column.not_null == Some(false) {
                return Err(PgError::new(
                    "42601",
                    format!("conflicting NULL/NOT NULL declarations for {of}"),
                ));
            }
            if column.default.is_some() {
                return Err(PgError::new(
                    "42601",
                    format!("multiple default values specified for {of}"),
                ));
            }
            if column.identity.is_some() {
                return Err(PgError::new(
                    "42601",
                    format!("both default and identity specified for {of}"),
                ));
            }
        }
        if column.identity.is_some() {
            if !matches!(ty.id, TypeId::INT2 | TypeId::INT4 | TypeId::INT8) {
                return Err(PgError::new(
                    "22023",
                    "identity column type must be smallint, integer, or bigint",
                ));
            }
            if column.not_null == Some(false) {
                return Err(PgError::new(
                    "42601",
                    format!("conflicting NULL/NOT NULL declarations for {of}"),
                ));
            }
        }
        if collection.field(name).is_some() {
            return Err(PgError::new(
                "42701",
                format!("column \"{name}\" specified more than once"),
            ));
        }
        let none = SequenceOptions::default();
        let sequence = match (&column.identity, serial) {
            (Some((_, options)), _) => Some(options),
            (None, Some(_)) => Some(&none),
            (None, None) => None,
        };
        let sequence = match sequence {
            Some(options) => Some(self.own_sequence(schema, table, name, ty.id, options)?),
            None => None,
        };
        let default = match (sequence, &column.identity) {
            (Some(sequence), Some((always, _))) => {
                FieldDefault::Identity { sequence, always: *always }
            }
            (Some(sequence), None) => FieldDefault::Serial(sequence),
            (None, _) => match (&column.default, &column.generated) {
                (Some((_, text)), _) => FieldDefault::Expr(text.clone()),
                (None, Some((_, text))) => FieldDefault::Generated(text.clone()),
                (None, None) => FieldDefault::None,
            },
        };
        let number = collection.next_field_number;
        collection.next_field_number = number.saturating_add(1);
        collection.fields.push(Field {
            name: name.clone(),
            number,
            type_oid: ty.id.0,
            typmod: ty.typmod,
            not_null: column.not_null == Some(true)
                || column.identity.is_some()
                || serial.is_some(),
            default,
            comment: None,
        });
        Ok(())
    }

    /// Checks a column's default and generation, when all columns are known.
    pub(super) fn check_column(
        &self,
        schema: &str,
        table: &str,
        collection: &Collection,
        column: &ColumnDefinition,
    ) -> Result<()> {
        let Some(field) = collection.field(&column.name) else { return Ok(()) };
        if let Some((expr, _)) = &column.default {
            self.check_default(expr, field)?;
        }
        let Some((expr, _)) = &column.generated else { return Ok(()) };
        self.check_use(expr, Use::Generated)?;
        for name in super::expression::columns_in(expr) {
            let other = collection.field(&name);
            if other.is_some_and(|other| matches!(other.default, FieldDefault::Generated(_))) {
                return Err(PgError::new(
                    "42P17",
                    format!(
                        "cannot use generated column \"{name}\" in column generation expression"
                    ),
                )
                .with_detail("A generated column cannot reference another generated column."));
            }
        }
        let bound = self.bind(expr, schema, table, collection)?;
        if !super::expression::is_immutable(&bound) {
            return Err(PgError::new("42P17", "generation expression is not immutable"));
        }
        let ty = bound.type_id();
        crate::plan::bind::assign_to_column(bound, field, &self.plan_context()).map_err(
            |error| {
                if error.sqlstate() != "42804" {
                    return error;
                }
                PgError::new(
                    "42804",
                    format!(
                        "column \"{}\" is of type {} but default expression is of type {}",
                        field.name,
                        self.type_text(TypeId(field.type_oid).into()),
                        self.type_text(ty.into())
                    ),
                )
                .with_hint("You will need to rewrite or cast the expression.")
            },
        )?;
        Ok(())
    }

    /// dataman sorts text by its bytes: only collations that do the same are taken.
    fn check_collation(&self, column: &ColumnDefinition) -> Result<()> {
        let Some(collation) = &column.collation else { return Ok(()) };
        if matches!(collation.last(), "C" | "POSIX" | "default" | "ucs_basic") {
            return Ok(());
        }
        Err(self.at(
            PgError::unsupported(format!("collation \"{}\" is not supported", collation.last()))
                .with_hint("Text is sorted by its bytes, as with COLLATE \"C\"."),
            collation.span,
        ))
    }

    /// Makes the sequence of a SERIAL or IDENTITY column; gives its path.
    fn own_sequence(
        &mut self,
        schema: &str,
        table: &str,
        column: &str,
        ty: TypeId,
        options: &SequenceOptions,
    ) -> Result<String> {
        let name = choose(table, Some(column), "seq", |name| self.relation_taken(schema, name));
        let mut options = options.clone();
        if options.ty.is_none() {
            let type_name = match ty {
                TypeId::INT2 => "int2",
                TypeId::INT4 => "int4",
                _ => "int8",
            };
            options.ty = Some(TypeName {
                name: crate::parse::syntax::ObjectName {
                    parts: vec![type_name.to_owned()],
                    span: Span::default(),
                },
                ..TypeName::default()
            });
        }
        let mut sequence: Sequence = self.new_sequence(&options)?;
        sequence.owned_by = Some((schema.to_owned(), table.to_owned(), column.to_owned()));
        let at = self.place(schema, &name);
        self.change(Change::Create { at, object: Object::Sequence(sequence) });
        Ok(format!("{schema}.{name}"))
    }

    /// Whether a relation of that name is there, or is being made.
    pub(super) fn relation_taken(&self, schema: &str, name: &str) -> bool {
        let there = self.database.schemas.get(schema).is_some_and(|found| !found.is_free(name));
        there
            || self.work.changes.iter().any(|change| {
                matches!(change, Change::Create { at, .. } if at.schema == schema && at.name == name)
            })
    }
}
