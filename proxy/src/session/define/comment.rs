//! COMMENT ON.

use dataman_metadata::change::{Change, Object};
use dataman_metadata::schema::Relation;
use dataman_pg::PgError;

use super::draft::{Draft, Result};
use super::name::word;
use crate::parse::syntax::{ObjectKind, ObjectName};

impl Draft<'_> {
    pub(super) fn comment(
        &mut self,
        kind: ObjectKind,
        name: &ObjectName,
        text: Option<&str>,
    ) -> Result<()> {
        self.tag("COMMENT");
        // An empty comment is none.
        let comment = text.filter(|text| !text.is_empty()).map(str::to_owned);
        match kind {
            ObjectKind::Schema => {
                let schema = name.last().to_owned();
                if !self.database.schemas.contains_key(&schema) {
                    return Err(PgError::new(
                        "3F000",
                        format!("schema \"{schema}\" does not exist"),
                    ));
                }
                let database = self.database.id.clone();
                self.change(Change::CommentSchema { database, schema, comment });
                return Ok(());
            }
            ObjectKind::Column => return self.comment_column(name, comment),
            ObjectKind::Type | ObjectKind::Database => {
                return Err(PgError::unsupported(format!(
                    "COMMENT ON {} is not supported",
                    word(kind).to_ascii_uppercase()
                ))
                .with_hint("Comment on schemas, tables, columns, views, indexes and sequences."));
            }
            ObjectKind::Table | ObjectKind::View | ObjectKind::Index | ObjectKind::Sequence => {}
        }
        let found = self.relation(name)?;
        let (schema, base) = (found.schema, found.name);
        let (at, object) = match (kind, found.relation) {
            (ObjectKind::Table, Relation::Collection(collection)) => {
                self.must_own(&collection.owner, kind, base)?;
                let mut changed = collection.clone();
                changed.comment = comment;
                (base, Object::Collection(changed))
            }
            (ObjectKind::View, Relation::View(view)) => {
                self.must_own(&view.owner, kind, base)?;
                let mut changed = view.clone();
                changed.comment = comment;
                (base, Object::View(changed))
            }
            (ObjectKind::Sequence, Relation::Sequence(sequence)) => {
                let mut changed = sequence.clone();
                changed.comment = comment;
                (base, Object::Sequence(changed))
            }
            (ObjectKind::Index, Relation::Index { collection: table, .. }) => {
                let Some(collection) = self.database.collection(schema, table) else {
                    return Err(PgError::internal("an index has no table"));
                };
                self.must_own(&collection.owner, kind, base)?;
                let mut changed = collection.clone();
                match changed.indexes.iter_mut().find(|index| index.name == base) {
                    Some(index) => index.comment = comment,
                    None => {
                        return Err(PgError::unsupported(
                            "a comment on a constraint's index is not supported",
                        )
                        .with_hint("Comment on the table."));
                    }
                }
                (table, Object::Collection(changed))
            }
            _ => {
                let article = if kind == ObjectKind::Index { "an" } else { "a" };
                return Err(PgError::new(
                    "42809",
                    format!("\"{base}\" is not {article} {}", word(kind)),
                ));
            }
        };
        let at = self.place(schema, at);
        self.change(Change::Replace { at, object });
        Ok(())
    }

    fn comment_column(&mut self, name: &ObjectName, comment: Option<String>) -> Result<()> {
        let Some((column, table)) = name.parts.split_last().filter(|(_, table)| !table.is_empty())
        else {
            return Err(PgError::new("42601", "column name must be qualified"));
        };
        let table = ObjectName { parts: table.to_vec(), span: name.span };
        let found = self.relation(&table)?;
        let Relation::Collection(collection) = found.relation else {
            return Err(PgError::unsupported(format!(
                "a comment on a column of \"{}\" is not supported",
                found.name
            ))
            .with_hint("Only tables' columns bear comments."));
        };
        self.must_own(&collection.owner, ObjectKind::Table, found.name)?;
        let mut changed = collection.clone();
        let Some(field) = changed.fields.iter_mut().find(|field| field.name == *column) else {
            return Err(PgError::new(
                "42703",
                format!("column \"{column}\" of relation \"{}\" does not exist", found.name),
            ));
        };
        field.comment = comment;
        let at = self.place(found.schema, found.name);
        self.change(Change::Replace { at, object: Object::Collection(changed) });
        Ok(())
    }
}
