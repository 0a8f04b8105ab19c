//! CREATE SCHEMA and CREATE TYPE … AS ENUM.

use dataman_metadata::change::{Change, Object};
use dataman_metadata::schema::{EnumType, Schema};
use dataman_pg::PgError;

use super::draft::{Draft, Result};
use crate::parse::syntax::ObjectName;

/// The longest label of an enum, in bytes.
const LABEL_BYTES_MAX: usize = 63;

impl Draft<'_> {
    pub(super) fn create_schema(&mut self, name: &str, if_not_exists: bool) -> Result<()> {
        self.tag("CREATE SCHEMA");
        if name.starts_with("pg_") {
            return Err(PgError::new("42939", format!("unacceptable schema name \"{name}\""))
                .with_detail("The prefix \"pg_\" is reserved for system schemas."));
        }
        if self.database.schemas.contains_key(name) || name == "information_schema" {
            let message = format!("schema \"{name}\" already exists");
            if if_not_exists {
                self.notice("42P06", format!("{message}, skipping"));
                return Ok(());
            }
            return Err(PgError::new("42P06", message));
        }
        let content = Schema { oid: self.oids.object(), ..Schema::default() };
        let database = self.database.id.clone();
        self.change(Change::CreateSchema { database, schema: name.to_owned(), content });
        Ok(())
    }

    pub(super) fn create_enum(&mut self, name: &ObjectName, labels: &[String]) -> Result<()> {
        self.tag("CREATE TYPE");
        let (schema, name) = self.new_place(name)?;
        let taken = self.database.schemas.get(&schema).is_some_and(|content| {
            content.enums.contains_key(&name)
                || content.collections.contains_key(&name)
                || content.views.contains_key(&name)
        });
        if taken {
            return Err(PgError::new("42710", format!("type \"{name}\" already exists")));
        }
        let oid = self.oids.object();
        for (place, label) in labels.iter().enumerate() {
            if label.len() > LABEL_BYTES_MAX {
                return Err(PgError::new("42602", format!("invalid enum label \"{label}\""))
                    .with_detail("Labels must be 63 bytes or less."));
            }
            if labels[..place].contains(label) {
                // PostgreSQL lets the unique index of its catalog find it.
                return Err(PgError::new(
                    "23505",
                    "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"",
                )
                .with_detail(format!(
                    "Key (enumtypid, enumlabel)=({oid}, {label}) already exists."
                )));
            }
        }
        let object = EnumType { oid, array_oid: self.oids.object(), labels: labels.to_vec() };
        let at = self.place(&schema, &name);
        self.change(Change::Create { at, object: Object::Enum(object) });
        Ok(())
    }
}
