//! DROP TABLE, VIEW, INDEX, SEQUENCE, SCHEMA and TYPE, and what depends on what.

use dataman_metadata::change::{Change, Object, ObjectKind as Kind};
use dataman_metadata::schema::{Collection, ConstraintKind, FieldDefault, Relation};
use dataman_metadata::snapshot::physical_name;
use dataman_node_protocol::definition::{AlterStep, Definition};
use dataman_pg::PgError;

use super::draft::{Draft, Result, When};
use super::expression::sequences_of;
use super::import::refuse_adopted;
use super::name::{relation_word, word};
use crate::parse::syntax::{ObjectKind, ObjectName};

/// An object that goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Table(String, String),
    View(String, String),
    Sequence(String, String),
    Type(String, String),
    /// A schema; what is in it goes with it.
    Schema(String),
    /// A foreign key: schema, table and constraint.
    Constraint(String, String, String),
    /// The default of a column: schema, table and column.
    Default(String, String, String),
    /// A column: schema, table and column.
    Column(String, String, String),
}

impl Draft<'_> {
    pub(super) fn drop_objects(
        &mut self,
        kind: ObjectKind,
        names: &[ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        self.tag(match kind {
            ObjectKind::Table => "DROP TABLE",
            ObjectKind::View => "DROP VIEW",
            ObjectKind::Index => "DROP INDEX",
            ObjectKind::Sequence => "DROP SEQUENCE",
            ObjectKind::Schema => "DROP SCHEMA",
            ObjectKind::Type => "DROP TYPE",
            ObjectKind::Column | ObjectKind::Database => "DROP",
        });
        let mut targets = Vec::new();
        for name in names {
            let found = match kind {
                ObjectKind::Schema => self.schema_to_drop(name, if_exists)?,
                ObjectKind::Type => self.type_to_drop(name, if_exists)?,
                ObjectKind::Index => {
                    self.drop_index(name, if_exists)?;
                    None
                }
                _ => self.relation_to_drop(kind, name, if_exists)?,
            };
            targets.extend(found.filter(|found| !targets.contains(found)));
        }
        self.drop_targets(targets, cascade)
    }

    fn relation_to_drop(
        &mut self,
        kind: ObjectKind,
        name: &ObjectName,
        if_exists: bool,
    ) -> Result<Option<Target>> {
        let Some(found) = self.find_relation(name)? else {
            if let Some(schema) = self.missing_schema(name)? {
                return self.absent(
                    if_exists,
                    "3F000",
                    format!("schema \"{schema}\" does not exist"),
                );
            }
            let message = match kind {
                ObjectKind::Sequence | ObjectKind::View | ObjectKind::Table | ObjectKind::Index => {
                    format!("{} \"{}\" does not exist", word(kind), name.last())
                }
                _ => format!("relation \"{}\" does not exist", name.parts.join(".")),
            };
            return self.absent(if_exists, "42P01", message);
        };
        let (schema, base) = (found.schema.to_owned(), found.name.to_owned());
        let (owner, target) = match (kind, found.relation) {
            (ObjectKind::Table, Relation::Collection(collection)) => {
                (Some(&collection.owner), Target::Table(schema, base.clone()))
            }
            (ObjectKind::View, Relation::View(view)) => {
                (Some(&view.owner), Target::View(schema, base.clone()))
            }
            (ObjectKind::Sequence, Relation::Sequence(_)) => {
                (None, Target::Sequence(schema, base.clone()))
            }
            (_, relation) => return Err(wrong_kind(kind, &base, &relation)),
        };
        if let Some(owner) = owner {
            self.must_own(owner, kind, &base)?;
        }
        Ok(Some(target))
    }

    /// What is not there: an error, or a notice.
    fn absent(
        &mut self,
        if_exists: bool,
        sqlstate: &'static str,
        message: String,
    ) -> Result<Option<Target>> {
        if !if_exists {
            return Err(PgError::new(sqlstate, message));
        }
        self.notice("00000", format!("{message}, skipping"));
        Ok(None)
    }

    fn schema_to_drop(&mut self, name: &ObjectName, if_exists: bool) -> Result<Option<Target>> {
        let base = name.last();
        if !self.database.schemas.contains_key(base) {
            if matches!(base, "pg_catalog" | "information_schema") {
                return Err(PgError::new(
                    "2BP01",
                    format!(
                        "cannot drop schema {base} because it is required by the database system"
                    ),
                ));
            }
            return self.absent(if_exists, "3F000", format!("schema \"{base}\" does not exist"));
        }
        Ok(Some(Target::Schema(base.to_owned())))
    }

    fn type_to_drop(&mut self, name: &ObjectName, if_exists: bool) -> Result<Option<Target>> {
        let split = self.split(name)?;
        let found = match split.schema {
            Some(schema) => self.database.enum_type(schema, split.name).map(|_| schema.to_owned()),
            None => self
                .database
                .find_enum(self.facts.search_path, split.name)
                .map(|(schema, _)| schema.to_owned()),
        };
        match found {
            Some(schema) => Ok(Some(Target::Type(schema, split.name.to_owned()))),
            None if split.schema.is_none_or(|schema| schema == "pg_catalog")
                && let Some(found) = dataman_pg::catalog::type_by_name(split.name) =>
            {
                let shown = dataman_pg::catalog::format_type(found.id, -1);
                let why = "because it is required by the database system";
                Err(PgError::new("2BP01", format!("cannot drop type {shown} {why}")))
            }
            None => {
                if let Some(schema) = self.missing_schema(name)? {
                    return self.absent(
                        if_exists,
                        "3F000",
                        format!("schema \"{schema}\" does not exist"),
                    );
                }
                let message = format!("type \"{}\" does not exist", name.parts.join("."));
                self.absent(if_exists, "42704", message)
            }
        }
    }

    /// What goes when an object goes, one step further; each with whether it is part of the object and goes silently.
    fn dependents(&self, target: &Target) -> Vec<(Target, bool)> {
        let mut found = Vec::new();
        match target {
            Target::Table(schema, name) => {
                self.views_on(schema, name, &mut found);
                for (other_schema, other, collection) in self.database.collections() {
                    if (other_schema, other) == (schema.as_str(), name.as_str()) {
                        continue;
                    }
                    for constraint in &collection.constraints {
                        if let ConstraintKind::ForeignKey { references, .. } = &constraint.kind
                            && references.0 == *schema
                            && references.1 == *name
                        {
                            let target = Target::Constraint(
                                other_schema.to_owned(),
                                other.to_owned(),
                                constraint.name.clone(),
                            );
                            found.push((target, false));
                        }
                    }
                }
                for (sequence_schema, content) in &self.database.schemas {
                    for (sequence, owned) in &content.sequences {
                        if owned
                            .owned_by
                            .as_ref()
                            .is_some_and(|owner| owner.0 == *schema && owner.1 == *name)
                        {
                            found.push((
                                Target::Sequence(sequence_schema.clone(), sequence.clone()),
                                true,
                            ));
                        }
                    }
                }
            }
            Target::View(schema, name) => self.views_on(schema, name, &mut found),
            Target::Sequence(schema, name) => {
                for (table_schema, table, collection) in self.database.collections() {
                    for field in &collection.fields {
                        let uses = match &field.default {
                            FieldDefault::Serial(_) => {
                                self.sequence_of(field) == Some((schema.clone(), name.clone()))
                            }
                            FieldDefault::Expr(text) => sequences_of(text)
                                .iter()
                                .any(|used| used == name || *used == format!("{schema}.{name}")),
                            FieldDefault::None
                            | FieldDefault::Identity { .. }
                            | FieldDefault::Generated(_)
                            | FieldDefault::Source { .. } => false,
                        };
                        if uses {
                            found.push((
                                Target::Default(
                                    table_schema.to_owned(),
                                    table.to_owned(),
                                    field.name.clone(),
                                ),
                                false,
                            ));
                        }
                    }
                }
            }
            Target::Type(schema, name) => {
                let Some(of) = self.database.enum_type(schema, name) else { return found };
                for (table_schema, table, collection) in self.database.collections() {
                    for field in &collection.fields {
                        if field.type_oid == of.oid.0 || field.type_oid == of.array_oid.0 {
                            found.push((
                                Target::Column(
                                    table_schema.to_owned(),
                                    table.to_owned(),
                                    field.name.clone(),
                                ),
                                false,
                            ));
                        }
                    }
                }
            }
            Target::Schema(schema) => {
                let Some(content) = self.database.schemas.get(schema) else { return found };
                let named = |name: &String| (schema.clone(), name.clone());
                for name in content.enums.keys() {
                    let (schema, name) = named(name);
                    found.push((Target::Type(schema, name), false));
                }
                for name in content.collections.keys() {
                    let (schema, name) = named(name);
                    found.push((Target::Table(schema, name), false));
                }
                for (name, sequence) in &content.sequences {
                    // One that a table owns goes with the table.
                    let (schema, name) = named(name);
                    let owned = sequence.owned_by.is_some();
                    found.push((Target::Sequence(schema, name), owned));
                }
                for name in content.views.keys() {
                    let (schema, name) = named(name);
                    found.push((Target::View(schema, name), false));
                }
            }
            Target::Constraint(..) | Target::Default(..) | Target::Column(..) => {}
        }
        found
    }

    fn views_on(&self, schema: &str, name: &str, found: &mut Vec<(Target, bool)>) {
        for (view_schema, content) in &self.database.schemas {
            for (view, view_content) in &content.views {
                if view_content.depends.iter().any(|on| on.0 == schema && on.1 == name) {
                    found.push((Target::View(view_schema.clone(), view.clone()), false));
                }
            }
        }
    }

    /// An object as messages name it.
    fn describe(&self, target: &Target) -> String {
        let of = |schema: &String, table: &String| format!("table {}", self.shown(schema, table));
        match target {
            Target::Table(schema, name) => format!("table {}", self.shown(schema, name)),
            Target::View(schema, name) => format!("view {}", self.shown(schema, name)),
            Target::Sequence(schema, name) => format!("sequence {}", self.shown(schema, name)),
            Target::Type(schema, name) => {
                let visible = self
                    .database
                    .find_enum(self.facts.search_path, name)
                    .is_some_and(|(found, _)| found == schema);
                let name = super::name::quote(name);
                if visible {
                    format!("type {name}")
                } else {
                    format!("type {}.{name}", super::name::quote(schema))
                }
            }
            Target::Schema(schema) => format!("schema {}", super::name::quote(schema)),
            Target::Constraint(schema, table, name) => {
                format!("constraint {} on {}", super::name::quote(name), of(schema, table))
            }
            Target::Default(schema, table, column) => {
                format!(
                    "default value for column {} of {}",
                    super::name::quote(column),
                    of(schema, table)
                )
            }
            Target::Column(schema, table, column) => {
                format!("column {} of {}", super::name::quote(column), of(schema, table))
            }
        }
    }

    fn drop_targets(&mut self, wanted: Vec<Target>, cascade: bool) -> Result<()> {
        for target in &wanted {
            self.check_not_required(target)?;
        }
        let mut going = wanted.clone();
        let mut details = Vec::new();
        let mut cascaded = Vec::new();
        let mut place = 0;
        while place < going.len() {
            let target = going[place].clone();
            place += 1;
            for (dependent, silent) in self.dependents(&target) {
                if going.contains(&dependent) || self.goes_with(&dependent, &going) {
                    continue;
                }
                if !silent {
                    details.push(format!(
                        "{} depends on {}",
                        self.describe(&dependent),
                        self.describe(&target)
                    ));
                    cascaded.push(self.describe(&dependent));
                }
                going.push(dependent);
            }
        }
        // Owned sequences are found after what depends on them: a default of the same table goes with it.
        if !details.is_empty() && !cascade {
            let what = match wanted.as_slice() {
                [one] => {
                    format!("cannot drop {} because other objects depend on it", self.describe(one))
                }
                _ => {
                    "cannot drop desired object(s) because other objects depend on them".to_owned()
                }
            };
            let hint = "Use DROP ... CASCADE to drop the dependent objects too.";
            return Err(PgError::new("2BP01", what)
                .with_detail(details.join("\n"))
                .with_hint(hint));
        }
        match cascaded.as_slice() {
            [] => {}
            [one] => self.notice("00000", format!("drop cascades to {one}")),
            many => {
                let lines: Vec<String> =
                    many.iter().map(|one| format!("drop cascades to {one}")).collect();
                let mut report = crate::sqlstate::Report::new(
                    crate::sqlstate::Severity::Notice,
                    "00000",
                    format!("drop cascades to {} other objects", many.len()),
                );
                report.detail = Some(lines.join("\n"));
                self.work.notices.push(report);
            }
        }
        self.drop_all(&going)
    }

    /// Whether an object is part of a table that goes.
    fn goes_with(&self, target: &Target, going: &[Target]) -> bool {
        match target {
            Target::Constraint(schema, table, _)
            | Target::Default(schema, table, _)
            | Target::Column(schema, table, _) => {
                going.contains(&Target::Table(schema.clone(), table.clone()))
            }
            _ => false,
        }
    }

    /// Refuses to drop alone what belongs to something else.
    fn check_not_required(&self, target: &Target) -> Result<()> {
        let Target::Sequence(schema, name) = target else { return Ok(()) };
        for (table_schema, table, collection) in self.database.collections() {
            for field in &collection.fields {
                if super::shape::is_identity(field)
                    && self.sequence_of(field) == Some((schema.clone(), name.clone()))
                {
                    let column = format!(
                        "column {} of table {}",
                        super::name::quote(&field.name),
                        self.shown(table_schema, table)
                    );
                    return Err(PgError::new(
                        "2BP01",
                        format!(
                            "cannot drop {} because {column} requires it",
                            self.describe(target)
                        ),
                    )
                    .with_hint(format!("You can drop {column} instead.")));
                }
            }
        }
        Ok(())
    }

    fn drop_all(&mut self, going: &[Target]) -> Result<()> {
        let mut tables = Vec::new();
        let mut changed: Vec<(String, String, Collection)> = Vec::new();
        for target in going {
            match target {
                Target::Table(schema, name) => tables.push((schema.clone(), name.clone())),
                Target::View(schema, name) => {
                    let at = self.place(schema, name);
                    self.change(Change::Drop { at, kind: Kind::View });
                }
                Target::Sequence(schema, name) => {
                    let at = self.place(schema, name);
                    self.change(Change::Drop { at, kind: Kind::Sequence });
                }
                Target::Type(schema, name) => {
                    let at = self.place(schema, name);
                    self.change(Change::Drop { at, kind: Kind::Enum });
                    let physical = physical_name(schema, name);
                    for datastore in self.snapshot.datastores.keys() {
                        for shard in self.shards_of(datastore) {
                            let definition = Definition::DropEnum {
                                shard_instance: self.instance(shard.shard),
                                name: physical.clone(),
                            };
                            if self.has_tables(datastore) {
                                self.step(When::After, shard, definition);
                            }
                        }
                    }
                }
                Target::Column(schema, table, column) => {
                    return Err(PgError::unsupported(format!(
                        "dropping a type together with column \"{column}\" of table {} is not supported",
                        self.shown(schema, table)
                    ))
                    .with_hint("Drop the column first."));
                }
                Target::Constraint(schema, table, _) | Target::Default(schema, table, _) => {
                    if self.goes_with(target, going) {
                        continue;
                    }
                    let known = changed.iter().position(|(known_schema, known, _)| {
                        known_schema == schema && known == table
                    });
                    let place = match known {
                        Some(place) => place,
                        None => {
                            let Some(found) = self.database.collection(schema, table) else {
                                continue;
                            };
                            changed.push((schema.clone(), table.clone(), found.clone()));
                            changed.len() - 1
                        }
                    };
                    let collection = &mut changed[place].2;
                    match target {
                        Target::Constraint(_, _, name) if collection.adopted.is_some() => {
                            // The database of the table goes on keeping it.
                            collection.constraints.retain(|constraint| constraint.name != *name);
                        }
                        Target::Constraint(_, _, name) => {
                            collection.constraints.retain(|constraint| constraint.name != *name);
                            let to = self.shape(schema, table, collection)?;
                            let step = AlterStep::DropConstraint { name: name.clone() };
                            let collection = collection.clone();
                            self.alter_step(&collection, step, to);
                        }
                        Target::Default(_, _, column) => {
                            if let Some(field) =
                                collection.fields.iter_mut().find(|field| field.name == *column)
                            {
                                field.default = FieldDefault::None;
                            }
                        }
                        _ => {}
                    }
                }
                Target::Schema(_) => {}
            }
        }
        for (schema, table, collection) in changed {
            let at = self.place(&schema, &table);
            self.change(Change::Replace { at, object: Object::Collection(collection) });
        }
        self.drop_tables(tables)?;
        for target in going {
            if let Target::Schema(schema) = target {
                let database = self.database.id.clone();
                self.change(Change::DropSchema { database, schema: schema.clone() });
            }
        }
        Ok(())
    }

    /// Whether the session's database has tables in a datastore.
    fn has_tables(&self, datastore: &dataman_metadata::id::DatastoreId) -> bool {
        self.database.datastore == *datastore
            || self
                .database
                .collections()
                .any(|(_, _, collection)| collection.datastore == *datastore)
    }

    /// Drops tables: those that refer to others first.
    fn drop_tables(&mut self, mut tables: Vec<(String, String)>) -> Result<()> {
        for (schema, name) in &tables {
            let at = self.place(schema, name);
            self.change(Change::Drop { at, kind: Kind::Collection });
        }
        let refers = |draft: &Self, from: &(String, String), to: &(String, String)| {
            from != to
                && draft.database.collection(&from.0, &from.1).is_some_and(|collection| {
                    collection.constraints.iter().any(|constraint| {
                        matches!(&constraint.kind, ConstraintKind::ForeignKey { references, .. } if references == to)
                    })
                })
        };
        while !tables.is_empty() {
            let free = tables
                .iter()
                .position(|table| !tables.iter().any(|other| refers(self, other, table)));
            let place = match free {
                Some(place) => place,
                None => {
                    self.untie(&tables)?;
                    0
                }
            };
            let (schema, name) = tables.remove(place);
            let Some(collection) = self.database.collection(&schema, &name) else { continue };
            let is_adopted = collection.adopted.is_some();
            for shard in self.shards_with(collection) {
                let target = self.target(&schema, &name, &shard);
                // The table of another owner stays.
                let definition = match is_adopted {
                    true => Definition::Release(target),
                    false => Definition::DropCollection(target),
                };
                self.step(When::After, shard, definition);
            }
        }
        Ok(())
    }

    /// Drops the foreign keys of tables that refer to each other.
    fn untie(&mut self, tables: &[(String, String)]) -> Result<()> {
        for (schema, name) in tables {
            let Some(found) = self.database.collection(schema, name) else { continue };
            if found.adopted.is_some() {
                continue;
            }
            let mut collection = found.clone();
            for constraint in &found.constraints {
                if !matches!(constraint.kind, ConstraintKind::ForeignKey { .. }) {
                    continue;
                }
                collection.constraints.retain(|known| known.name != constraint.name);
                let to = self.shape(schema, name, &collection)?;
                for shard in self.shards_with(found) {
                    let mut to = to.clone();
                    to.target = self.target(schema, name, &shard);
                    let step = AlterStep::DropConstraint { name: constraint.name.clone() };
                    self.step(When::After, shard, Definition::AlterCollection { step, to });
                }
            }
        }
        Ok(())
    }

    fn drop_index(&mut self, name: &ObjectName, if_exists: bool) -> Result<()> {
        let Some(found) = self.find_relation(name)? else {
            if let Some(schema) = self.missing_schema(name)? {
                self.absent(if_exists, "3F000", format!("schema \"{schema}\" does not exist"))?;
                return Ok(());
            }
            self.absent(if_exists, "42704", format!("index \"{}\" does not exist", name.last()))?;
            return Ok(());
        };
        let Relation::Index { collection: table, .. } = found.relation else {
            return Err(wrong_kind(ObjectKind::Index, found.name, &found.relation));
        };
        let (schema, table) = (found.schema.to_owned(), table.to_owned());
        let Some(collection) = self.database.collection(&schema, &table) else { return Ok(()) };
        self.must_own(&collection.owner, ObjectKind::Index, found.name)?;
        refuse_adopted(collection, &table, "DROP INDEX")?;
        if collection.constraint(found.name).is_some() {
            let constraint = format!(
                "constraint {} on table {}",
                super::name::quote(found.name),
                self.shown(&schema, &table)
            );
            return Err(PgError::new(
                "2BP01",
                format!(
                    "cannot drop index {} because {constraint} requires it",
                    super::name::quote(found.name)
                ),
            )
            .with_hint(format!("You can drop {constraint} instead.")));
        }
        // Several indexes of one table may go at once.
        let mut changed = self.pending(&schema, &table).unwrap_or_else(|| collection.clone());
        changed.indexes.retain(|index| index.name != found.name);
        let physical = physical_name(&schema, found.name);
        for shard in self.shards_with(collection) {
            let target = self.target(&schema, &table, &shard);
            self.step(When::After, shard, Definition::DropIndex { target, name: physical.clone() });
        }
        let at = self.place(&schema, &table);
        self.change(Change::Replace { at, object: Object::Collection(changed) });
        Ok(())
    }

    /// A table as the changes up to here leave it.
    fn pending(&self, schema: &str, table: &str) -> Option<Collection> {
        self.work.changes.iter().rev().find_map(|change| match change {
            Change::Replace { at, object: Object::Collection(collection) }
                if at.schema == schema && at.name == table =>
            {
                Some(collection.clone())
            }
            _ => None,
        })
    }
}

/// `42809` for an object of another kind.
fn wrong_kind(kind: ObjectKind, name: &str, relation: &Relation<'_>) -> PgError {
    let article = if kind == ObjectKind::Index { "an" } else { "a" };
    let error = PgError::new("42809", format!("\"{name}\" is not {article} {}", word(kind)));
    let found = relation_word(relation);
    let article = if found == "index" { "an" } else { "a" };
    error.with_hint(format!("Use DROP {} to remove {article} {found}.", found.to_ascii_uppercase()))
}
