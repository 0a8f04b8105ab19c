//! Names of relations → what they are.

use dataman_metadata::schema::{Collection, View};
use dataman_node_protocol::query::NamedType;
use dataman_pg::PgError;

use super::{Binder, Result};
use crate::parse::syntax::ObjectName;

/// A relation of the session's database.
pub(crate) enum Relation<'a> {
    /// A table.
    Collection(&'a Collection),
    /// A view.
    View(&'a View),
    /// A table that the proxy makes itself, and its columns.
    Virtual(Vec<NamedType>),
}

/// A relation with its full name.
pub(crate) struct Found<'a> {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) relation: Relation<'a>,
}

pub(crate) use dataman_metadata::snapshot::physical_name;

impl<'a> Binder<'a> {
    /// Finds a table or view by the search path.
    pub(crate) fn relation(&self, name: &ObjectName) -> Result<Found<'a>> {
        let (schema, base) = match name.parts.as_slice() {
            [base] => (None, base),
            [schema, base] => (Some(schema), base),
            [database, schema, base] if *database == self.context.database => (Some(schema), base),
            _ => {
                let error = PgError::unsupported(format!(
                    "cross-database references are not implemented: \"{}\"",
                    name.parts.join(".")
                ));
                return Err(self.at(error, name.span));
            }
        };
        let within = |schema: &String| -> Option<Found<'a>> {
            if let Some(columns) = crate::catalog::columns(schema, base) {
                let relation = Relation::Virtual(columns);
                return Some(Found { schema: schema.clone(), name: base.clone(), relation });
            }
            let found = self.database.schemas.get(schema)?;
            let relation = match found.collections.get(base) {
                Some(collection) => Relation::Collection(collection),
                None => Relation::View(found.views.get(base)?),
            };
            Some(Found { schema: schema.clone(), name: base.clone(), relation })
        };
        let found = match schema {
            Some(schema) => within(schema),
            // The system's catalogs come first, unless the path says where.
            None if base.starts_with("pg_")
                && !self.context.search_path.iter().any(|schema| schema == "pg_catalog") =>
            {
                within(&"pg_catalog".to_owned())
                    .or_else(|| self.context.search_path.iter().find_map(within))
            }
            None => self.context.search_path.iter().find_map(within),
        };
        if let Some(found) = found {
            return Ok(found);
        }
        let catalog = |schema: &str| crate::catalog::is_schema(schema);
        let missing = match schema {
            Some(schema) if !catalog(schema) && !self.database.schemas.contains_key(schema) => {
                PgError::new("42P01", format!("relation \"{schema}.{base}\" does not exist"))
            }
            Some(schema) => match self.wrong_kind(schema, base) {
                Some(error) => error,
                None => {
                    PgError::new("42P01", format!("relation \"{schema}.{base}\" does not exist"))
                }
            },
            None => {
                let other = self
                    .context
                    .search_path
                    .iter()
                    .find_map(|schema| self.wrong_kind(schema, base));
                match other {
                    Some(error) => error,
                    None => PgError::new("42P01", format!("relation \"{base}\" does not exist")),
                }
            }
        };
        Err(self.at(missing, name.span))
    }

    fn wrong_kind(&self, schema: &str, base: &str) -> Option<PgError> {
        let schema = self.database.schemas.get(schema)?;
        if schema.sequences.contains_key(base) {
            return Some(
                PgError::unsupported(format!(
                    "reading the sequence \"{base}\" as a table is not supported"
                ))
                .with_hint(
                    "Use nextval, or ask for the sequence's settings in dataman's metadata.",
                ),
            );
        }
        schema
            .collections
            .values()
            .any(|collection| collection.indexes.iter().any(|index| index.name == base))
            .then(|| {
                PgError::new("42809", format!("cannot open relation \"{base}\""))
                    .with_detail("This operation is not supported for indexes.")
            })
    }
}

/// The refusal to write to a table that the proxy makes itself.
pub(super) fn system_catalog(name: &str) -> PgError {
    PgError::new("42501", format!("permission denied: \"{name}\" is a system catalog"))
}
