//! Names: which object one means, where a new one goes, and what PostgreSQL calls what is given no name.

use dataman_metadata::schema::{FoundRelation, Relation};
use dataman_metadata::snapshot::NAME_BYTES_MAX;
use dataman_pg::PgError;

use super::draft::{Draft, Result};
use crate::parse::syntax::{ObjectKind, ObjectName};

/// PostgreSQL's word for a kind of object.
pub(super) fn word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "table",
        ObjectKind::Column => "column",
        ObjectKind::View => "view",
        ObjectKind::Index => "index",
        ObjectKind::Sequence => "sequence",
        ObjectKind::Schema => "schema",
        ObjectKind::Type => "type",
        ObjectKind::Database => "database",
    }
}

/// The word for a relation that was found.
pub(super) fn relation_word(relation: &Relation<'_>) -> &'static str {
    match relation {
        Relation::Collection(_) => "table",
        Relation::View(_) => "view",
        Relation::Sequence(_) => "sequence",
        Relation::Index { .. } => "index",
    }
}

/// Quotes a name where SQL needs it.
pub(super) fn quote(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
        && !crate::parse::is_keyword(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Makes a name of two parts and a label, cut as PostgreSQL cuts: the longer part first.
pub(super) fn make_name(first: &str, second: Option<&str>, label: &str) -> String {
    let overhead = label.len() + 1 + second.map_or(0, |_| 1);
    let available = NAME_BYTES_MAX.saturating_sub(overhead);
    let (mut one, mut two) = (first.len(), second.map_or(0, str::len));
    while one + two > available {
        if one > two {
            one -= 1;
        } else {
            two -= 1;
        }
    }
    let cut = |text: &str, mut length: usize| {
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        text[..length].to_owned()
    };
    let mut name = cut(first, one);
    if let Some(second) = second {
        name.push('_');
        name.push_str(&cut(second, two));
    }
    name.push('_');
    name.push_str(label);
    name
}

/// Finds a name that is free: the label gets a number when it must.
pub(super) fn choose(
    first: &str,
    second: Option<&str>,
    label: &str,
    mut taken: impl FnMut(&str) -> bool,
) -> String {
    let mut number = 0;
    loop {
        let numbered = if number == 0 { label.to_owned() } else { format!("{label}{number}") };
        let name = make_name(first, second, &numbered);
        if !taken(&name) {
            return name;
        }
        number += 1;
    }
}

/// The columns' part of a name.
pub(super) fn joined(columns: &[String]) -> String {
    let mut text = String::new();
    for column in columns {
        if !text.is_empty() {
            text.push('_');
        }
        text.push_str(column);
        if text.len() >= NAME_BYTES_MAX {
            break;
        }
    }
    text
}

/// What a name without its database is.
pub(super) struct Split<'n> {
    pub(super) schema: Option<&'n str>,
    pub(super) name: &'n str,
}

impl<'a> Draft<'a> {
    /// Takes a name apart.
    pub(super) fn split<'n>(&self, name: &'n ObjectName) -> Result<Split<'n>> {
        match name.parts.as_slice() {
            [base] => Ok(Split { schema: None, name: base }),
            [schema, base] => Ok(Split { schema: Some(schema), name: base }),
            [database, schema, base] if *database == self.facts.database => {
                Ok(Split { schema: Some(schema), name: base })
            }
            parts => Err(self.at(
                PgError::unsupported(format!(
                    "cross-database references are not implemented: \"{}\"",
                    parts.join(".")
                )),
                name.span,
            )),
        }
    }

    /// The schema and name of a new object.
    pub(super) fn new_place(&self, name: &ObjectName) -> Result<(String, String)> {
        let split = self.split(name)?;
        let schema = match split.schema {
            Some(schema) => schema,
            None => self
                .facts
                .search_path
                .iter()
                .map(String::as_str)
                .find(|schema| self.database.schemas.contains_key(*schema))
                .ok_or_else(|| {
                    self.at(
                        PgError::new("3F000", "no schema has been selected to create in"),
                        name.span,
                    )
                })?,
        };
        if matches!(schema, "pg_catalog" | "information_schema") {
            let shown = format!("{schema}.{}", split.name);
            return Err(PgError::new("42501", format!("permission denied to create \"{shown}\""))
                .with_detail("System catalog modifications are currently disallowed."));
        }
        if !self.database.schemas.contains_key(schema) {
            let error = PgError::new("3F000", format!("schema \"{schema}\" does not exist"));
            return Err(self.at(error, name.span));
        }
        Ok((schema.to_owned(), split.name.to_owned()))
    }

    /// Finds a relation of any kind.
    pub(super) fn find_relation(&self, name: &ObjectName) -> Result<Option<FoundRelation<'a>>> {
        let split = self.split(name)?;
        Ok(match split.schema {
            Some(schema) => self.database.relation(schema, split.name),
            None => self.database.find_relation(self.facts.search_path, split.name),
        })
    }

    /// Finds a relation of any kind, or says that there is none.
    pub(super) fn relation(&self, name: &ObjectName) -> Result<FoundRelation<'a>> {
        self.find_relation(name)?.ok_or_else(|| {
            let written = name.parts.join(".");
            PgError::new("42P01", format!("relation \"{written}\" does not exist"))
        })
    }

    /// The schema that a name gives and that does not exist.
    pub(super) fn missing_schema(&self, name: &ObjectName) -> Result<Option<String>> {
        let split = self.split(name)?;
        Ok(split
            .schema
            .filter(|schema| {
                !self.database.schemas.contains_key(*schema)
                    && !matches!(*schema, "pg_catalog" | "information_schema")
            })
            .map(str::to_owned))
    }

    /// A relation's name as messages write it: with its schema where the search path does not find it.
    pub(super) fn shown(&self, schema: &str, name: &str) -> String {
        let visible = self
            .database
            .find_relation(self.facts.search_path, name)
            .is_some_and(|found| found.schema == schema);
        if visible { quote(name) } else { format!("{}.{}", quote(schema), quote(name)) }
    }

    /// Refuses a relation's name that is taken. True when it is and IF NOT EXISTS was written: then the notice has been
    /// given.
    pub(super) fn taken(&mut self, schema: &str, name: &str, if_not_exists: bool) -> Result<bool> {
        let Some(content) = self.database.schemas.get(schema) else { return Ok(false) };
        if content.is_free(name) {
            return Ok(false);
        }
        let message = format!("relation \"{name}\" already exists");
        if if_not_exists {
            self.notice("42P07", format!("{message}, skipping"));
            return Ok(true);
        }
        Err(PgError::new("42P07", message))
    }
}
