//! RENAME of tables, views, sequences, indexes, columns and constraints.

use dataman_metadata::change::{Change, Object, ObjectKind as Kind};
use dataman_metadata::schema::{Collection, ConstraintKind, FieldDefault, Placement, Relation};
use dataman_metadata::snapshot::physical_name;
use dataman_node_protocol::definition::AlterStep;
use dataman_pg::PgError;

use super::alter::{Altered, column_of};
use super::column::check_column_name;
use super::draft::{Draft, Result};
use super::expression::renamed;
use super::import::refuse_adopted;
use crate::parse::syntax::ObjectKind;

impl Draft<'_> {
    pub(super) fn rename_relation(
        &mut self,
        schema: &str,
        name: &str,
        relation: Relation<'_>,
        to: &str,
    ) -> Result<()> {
        self.taken(schema, to, false)?;
        let at = self.place(schema, name);
        let to = to.to_owned();
        match relation {
            Relation::Collection(collection) => {
                self.must_own(&collection.owner, ObjectKind::Table, name)?;
                refuse_adopted(collection, name, "ALTER TABLE")?;
                self.no_view_reads(schema, name)?;
                let mut changed = collection.clone();
                let follow = |parts: &mut Vec<String>| {
                    let place = parts.len().wrapping_sub(2);
                    match parts.get_mut(place) {
                        Some(table) if *table == name => {
                            table.clone_from(&to);
                            true
                        }
                        _ => false,
                    }
                };
                rename_in_texts(&mut changed, &follow);
                let mut shape = self.shape(schema, &to, &changed)?;
                shape.target.collection = physical_name(schema, &to);
                // A foreign key to itself names the new table.
                for constraint in &mut shape.constraints {
                    if let dataman_node_protocol::definition::ConstraintKind::ForeignKey {
                        references,
                        references_label,
                        ..
                    } = &mut constraint.kind
                        && *references == physical_name(schema, name)
                    {
                        references.clone_from(&shape.target.collection);
                        references_label.clone_from(&to);
                    }
                }
                let step = AlterStep::RenameCollection { from: physical_name(schema, name) };
                self.alter_step(&changed, step, shape);
                self.change(Change::Replace {
                    at: at.clone(),
                    object: Object::Collection(changed),
                });
                self.change(Change::Rename { at, kind: Kind::Collection, to });
            }
            Relation::View(view) => {
                self.must_own(&view.owner, ObjectKind::View, name)?;
                self.no_view_reads(schema, name)?;
                self.change(Change::Rename { at, kind: Kind::View, to });
            }
            Relation::Sequence(_) => self.change(Change::Rename { at, kind: Kind::Sequence, to }),
            Relation::Index { .. } => {
                return Err(PgError::unsupported("renaming an index is not supported")
                    .with_hint("Create an index under the new name and drop the old one."));
            }
        }
        Ok(())
    }

    /// A view keeps its query as text: what it names must keep its name.
    fn no_view_reads(&self, schema: &str, name: &str) -> Result<()> {
        for (view_schema, content) in &self.database.schemas {
            for (view, found) in &content.views {
                if found.depends.iter().any(|on| on.0 == schema && on.1 == name) {
                    return Err(PgError::unsupported(format!(
                        "renaming {} is not supported while view {} reads it",
                        self.shown(schema, name),
                        self.shown(view_schema, view)
                    ))
                    .with_hint("Drop the view, and create it again after the change."));
                }
            }
        }
        Ok(())
    }

    pub(super) fn rename_column(
        &mut self,
        table: &mut Altered,
        from: &str,
        to: &str,
    ) -> Result<()> {
        if table.collection.field(from).is_none() {
            return Err(PgError::new("42703", format!("column \"{from}\" does not exist")));
        }
        column_of(table, from)?;
        check_column_name(to)?;
        if table.collection.field(to).is_some() {
            return Err(PgError::new(
                "42701",
                format!("column \"{to}\" of relation \"{}\" already exists", table.name),
            ));
        }
        let mut next = table.collection.clone();
        rename_field(&mut next, from, to);
        // A foreign key to itself names the column on both sides.
        let itself = (table.schema.clone(), table.name.clone());
        rename_references(&mut next, &itself, from, to);
        let broken = self.broken_views(&table.schema, &table.name, &next);
        if let Some((schema, view)) = broken.first() {
            return Err(PgError::unsupported(format!(
                "renaming column \"{from}\" is not supported while view {} reads it",
                self.shown(schema, view)
            ))
            .with_hint("Drop the view, and create it again after the change."));
        }
        table.collection = next;
        self.altered_step(
            table,
            AlterStep::RenameField { from: from.to_owned(), to: to.to_owned() },
        )?;
        let others: Vec<(String, String, Collection)> = self
            .database
            .collections()
            .filter(|(schema, name, _)| (*schema, *name) != (itself.0.as_str(), itself.1.as_str()))
            .map(|(schema, name, found)| (schema.to_owned(), name.to_owned(), found.clone()))
            .collect();
        for (schema, name, mut other) in others {
            if rename_references(&mut other, &itself, from, to) {
                let at = self.place(&schema, &name);
                self.change(Change::Replace { at, object: Object::Collection(other) });
            }
        }
        let sequences: Vec<_> = self
            .database
            .schemas
            .iter()
            .flat_map(|(schema, content)| {
                content.sequences.iter().map(move |(name, found)| (schema, name, found))
            })
            .filter(|(_, _, found)| {
                found.owned_by.as_ref().is_some_and(|owner| {
                    owner.0 == itself.0 && owner.1 == itself.1 && owner.2 == from
                })
            })
            .map(|(schema, name, found)| (schema.clone(), name.clone(), found.clone()))
            .collect();
        for (schema, name, mut sequence) in sequences {
            sequence.owned_by = Some((itself.0.clone(), itself.1.clone(), to.to_owned()));
            let at = self.place(&schema, &name);
            self.change(Change::Replace { at, object: Object::Sequence(sequence) });
        }
        Ok(())
    }

    pub(super) fn rename_constraint(
        &mut self,
        table: &mut Altered,
        from: &str,
        to: &str,
    ) -> Result<()> {
        let Some(constraint) = table.collection.constraint(from) else {
            return Err(PgError::new(
                "42704",
                format!("constraint \"{from}\" for table \"{}\" does not exist", table.name),
            ));
        };
        if constraint.kind.has_index() {
            self.taken(&table.schema, to, false)?;
        }
        if table.collection.constraint(to).is_some() {
            return Err(PgError::new(
                "42710",
                format!("constraint \"{to}\" for relation \"{}\" already exists", table.name),
            ));
        }
        for constraint in &mut table.collection.constraints {
            if constraint.name == from {
                to.clone_into(&mut constraint.name);
            }
        }
        self.altered_step(
            table,
            AlterStep::RenameConstraint { from: from.to_owned(), to: to.to_owned() },
        )
    }
}

/// Changes the names in the texts that a table keeps.
fn rename_in_texts(collection: &mut Collection, change: &dyn Fn(&mut Vec<String>) -> bool) {
    for constraint in &mut collection.constraints {
        if let ConstraintKind::Check { expr } = &mut constraint.kind {
            *expr = renamed(expr, change);
        }
    }
    for field in &mut collection.fields {
        if let FieldDefault::Generated(text) = &mut field.default {
            *text = renamed(text, change);
        }
    }
    let fields: Vec<String> = collection.fields.iter().map(|field| field.name.clone()).collect();
    for index in &mut collection.indexes {
        for key in &mut index.keys {
            if !fields.contains(&key.expr) {
                key.expr = renamed(&key.expr, change);
            }
        }
        if let Some(filter) = &mut index.filter {
            *filter = renamed(filter, change);
        }
    }
}

fn rename_field(collection: &mut Collection, from: &str, to: &str) {
    let follow = |parts: &mut Vec<String>| match parts.last_mut() {
        Some(column) if column == from => {
            to.clone_into(column);
            true
        }
        _ => false,
    };
    rename_in_texts(collection, &follow);
    let rename = |names: &mut Vec<String>| {
        for name in names.iter_mut().filter(|name| *name == from) {
            to.clone_into(name);
        }
    };
    for field in collection.fields.iter_mut().filter(|field| field.name == from) {
        to.clone_into(&mut field.name);
    }
    for constraint in &mut collection.constraints {
        match &mut constraint.kind {
            ConstraintKind::PrimaryKey { fields }
            | ConstraintKind::Unique { fields, .. }
            | ConstraintKind::ForeignKey { fields, .. } => rename(fields),
            ConstraintKind::Check { .. } => {}
        }
    }
    for index in &mut collection.indexes {
        for key in index.keys.iter_mut().filter(|key| key.expr == from) {
            to.clone_into(&mut key.expr);
        }
        rename(&mut index.include);
    }
    if let Placement::Sharded(keyspace) = &mut collection.placement {
        rename(&mut keyspace.fields);
    }
}

/// Renames a column in the foreign keys that refer to it; whether there was one.
fn rename_references(
    collection: &mut Collection,
    table: &(String, String),
    from: &str,
    to: &str,
) -> bool {
    let mut changed = false;
    for constraint in &mut collection.constraints {
        if let ConstraintKind::ForeignKey { references, references_fields, .. } =
            &mut constraint.kind
            && references == table
        {
            for field in references_fields.iter_mut().filter(|field| *field == from) {
                to.clone_into(field);
                changed = true;
            }
        }
    }
    changed
}
