//! Constraints: their names, and what PostgreSQL and the shards ask of them.

use dataman_metadata::check::foreign_key_holds;
use dataman_metadata::schema::{Collection, Constraint, ConstraintKind, Placement, Relation};
use dataman_pg::{PgError, TypeId, catalog};

use super::draft::{Draft, Result};
use super::expression::{Use, columns_in};
use super::name::{choose, joined};
use crate::parse::syntax::{TableConstraint, TableConstraintKind};

impl Draft<'_> {
    /// Whether a constraint of the schema, or of the table that is being made, has that name.
    fn constraint_taken(&self, schema: &str, collection: &Collection, name: &str) -> bool {
        collection.constraint(name).is_some()
            || self.database.schemas.get(schema).is_some_and(|found| {
                found.collections.values().any(|other| other.constraint(name).is_some())
            })
    }

    fn index_taken(&self, schema: &str, table: &str, collection: &Collection, name: &str) -> bool {
        name == table
            || collection.index_names().any(|(index, _)| index == name)
            || self.relation_taken(schema, name)
    }

    /// Adds constraints to a table: the primary key, unique ones, checks and foreign keys in this order, as PostgreSQL does.
    pub(super) fn add_constraints(
        &mut self,
        schema: &str,
        table: &str,
        collection: &mut Collection,
        constraints: &[&TableConstraint],
    ) -> Result<()> {
        let rank = |constraint: &TableConstraint| match constraint.kind {
            TableConstraintKind::Check(..) => 0,
            TableConstraintKind::PrimaryKey(_) => 1,
            TableConstraintKind::Unique { .. } => 2,
            TableConstraintKind::ForeignKey { .. } => 3,
        };
        let mut ordered = constraints.to_vec();
        ordered.sort_by_key(|constraint| rank(constraint));
        for constraint in ordered {
            self.add_constraint(schema, table, collection, constraint)?;
        }
        Ok(())
    }

    /// Adds one constraint; gives its name, or none when it says nothing new.
    pub(super) fn add_constraint(
        &mut self,
        schema: &str,
        table: &str,
        collection: &mut Collection,
        constraint: &TableConstraint,
    ) -> Result<Option<String>> {
        let kind = match &constraint.kind {
            TableConstraintKind::PrimaryKey(columns) => {
                if collection.primary_key().is_some() {
                    return Err(PgError::new(
                        "42P16",
                        format!("multiple primary keys for table \"{table}\" are not allowed"),
                    ));
                }
                self.check_key(collection, columns, "primary key")?;
                for field in &mut collection.fields {
                    field.not_null |= columns.contains(&field.name);
                }
                ConstraintKind::PrimaryKey { fields: columns.clone() }
            }
            TableConstraintKind::Unique { columns, nulls_not_distinct } => {
                self.check_key(collection, columns, "unique")?;
                let same = collection.constraints.iter().any(|known| match &known.kind {
                    ConstraintKind::PrimaryKey { fields } => fields == columns,
                    ConstraintKind::Unique { fields, nulls_not_distinct: known } => {
                        fields == columns && known == nulls_not_distinct
                    }
                    ConstraintKind::Check { .. } | ConstraintKind::ForeignKey { .. } => false,
                });
                // Written twice in one CREATE TABLE, it is one.
                if same && constraint.name.is_none() && collection.id.0 == 0 {
                    return Ok(None);
                }
                ConstraintKind::Unique {
                    fields: columns.clone(),
                    nulls_not_distinct: *nulls_not_distinct,
                }
            }
            TableConstraintKind::Check(expr, text) => {
                self.check_use(expr, Use::Check)?;
                let bound = self.bind(expr, schema, table, collection)?;
                self.condition(bound, "CHECK")?;
                ConstraintKind::Check { expr: text.clone() }
            }
            TableConstraintKind::ForeignKey { .. } => {
                self.foreign_key(schema, table, collection, constraint)?
            }
        };
        let name = self.constraint_name(schema, table, collection, constraint)?;
        let oid = self.oids.object();
        collection.constraints.push(Constraint { name: name.clone(), oid, kind });
        Ok(Some(name))
    }

    fn check_key(&self, collection: &Collection, columns: &[String], what: &str) -> Result<()> {
        for (place, column) in columns.iter().enumerate() {
            let Some(field) = collection.field(column) else {
                return Err(PgError::new(
                    "42703",
                    format!("column \"{column}\" named in key does not exist"),
                ));
            };
            if columns[..place].contains(column) {
                return Err(PgError::new(
                    "42701",
                    format!("column \"{column}\" appears twice in {what} constraint"),
                ));
            }
            self.check_btree(TypeId(field.type_oid))?;
        }
        Ok(())
    }

    /// Whether values of a type can be the keys of an ordinary index.
    pub(super) fn check_btree(&self, ty: TypeId) -> Result<()> {
        let element = catalog::type_by_id(ty)
            .filter(|found| found.category == 'A' && found.element.0 != 0)
            .map_or(ty, |found| found.element);
        let sortable = element.is_user()
            || matches!(element, TypeId::VARCHAR)
            || catalog::operators_named("<")
                .iter()
                .any(|operator| operator.left == element && operator.right == element);
        if sortable {
            return Ok(());
        }
        Err(PgError::new(
            "42704",
            format!(
                "data type {} has no default operator class for access method \"btree\"",
                self.type_text(ty.into())
            ),
        )
        .with_hint(
            "You must specify an operator class for the index or define a default operator class for the data type.",
        ))
    }

    fn constraint_name(
        &self,
        schema: &str,
        table: &str,
        collection: &Collection,
        constraint: &TableConstraint,
    ) -> Result<String> {
        let indexed = matches!(
            constraint.kind,
            TableConstraintKind::PrimaryKey(_) | TableConstraintKind::Unique { .. }
        );
        if let Some(name) = &constraint.name {
            if indexed && self.index_taken(schema, table, collection, name) {
                return Err(PgError::new("42P07", format!("relation \"{name}\" already exists")));
            }
            if collection.constraint(name).is_some() {
                // Twice in one CREATE TABLE, or there already.
                let new = collection.id.0 == 0;
                let check = matches!(constraint.kind, TableConstraintKind::Check(..));
                return Err(PgError::new(
                    "42710",
                    if new && check {
                        format!("check constraint \"{name}\" already exists")
                    } else {
                        format!("constraint \"{name}\" for relation \"{table}\" already exists")
                    },
                ));
            }
            return Ok(name.clone());
        }
        let index = |name: &str| {
            self.index_taken(schema, table, collection, name)
                || self.constraint_taken(schema, collection, name)
        };
        let plain = |name: &str| self.constraint_taken(schema, collection, name);
        Ok(match &constraint.kind {
            TableConstraintKind::PrimaryKey(_) => choose(table, None, "pkey", index),
            TableConstraintKind::Unique { columns, .. } => {
                choose(table, Some(&joined(columns)), "key", index)
            }
            TableConstraintKind::Check(expr, _) => {
                let columns = columns_in(expr);
                let only = if columns.len() == 1 { Some(columns[0].as_str()) } else { None };
                choose(table, only, "check", plain)
            }
            TableConstraintKind::ForeignKey { columns, .. } => {
                choose(table, Some(&joined(columns)), "fkey", plain)
            }
        })
    }

    fn foreign_key(
        &self,
        schema: &str,
        table: &str,
        collection: &Collection,
        constraint: &TableConstraint,
    ) -> Result<ConstraintKind> {
        let TableConstraintKind::ForeignKey {
            columns,
            table: target,
            references,
            on_delete,
            on_update,
        } = &constraint.kind
        else {
            return Err(PgError::internal("a foreign key was expected"));
        };
        let split = self.split(target)?;
        let itself = split.name == table
            && split.schema.is_none_or(|given| given == schema)
            && self.find_relation(target)?.is_none_or(|found| found.schema == schema);
        let (target_schema, target_name, referenced) = if itself {
            (schema.to_owned(), table.to_owned(), collection)
        } else {
            let found = self.relation(target)?;
            let Relation::Collection(referenced) = found.relation else {
                return Err(PgError::new(
                    "42809",
                    format!("referenced relation \"{}\" is not a table", found.name),
                ));
            };
            if referenced.adopted.is_some() {
                return Err(PgError::unsupported(format!(
                    "a foreign key to the adopted table \"{}\" is not supported",
                    found.name
                ))
                .with_hint("The database of the adopted table would have to keep it."));
            }
            (found.schema.to_owned(), found.name.to_owned(), referenced)
        };
        for column in columns {
            if collection.field(column).is_none() {
                return Err(PgError::new(
                    "42703",
                    format!(
                        "column \"{column}\" referenced in foreign key constraint does not exist"
                    ),
                ));
            }
        }
        let references = if references.is_empty() {
            match referenced.primary_key() {
                Some(key) => key.to_vec(),
                None => {
                    return Err(PgError::new(
                        "42704",
                        format!("there is no primary key for referenced table \"{target_name}\""),
                    ));
                }
            }
        } else {
            for column in references {
                if referenced.field(column).is_none() {
                    return Err(PgError::new(
                        "42703",
                        format!(
                            "column \"{column}\" referenced in foreign key constraint does not exist"
                        ),
                    ));
                }
            }
            references.clone()
        };
        for (place, column) in references.iter().enumerate() {
            if references[..place].contains(column) {
                return Err(PgError::new(
                    "42830",
                    "foreign key referenced-columns list must not contain duplicates",
                ));
            }
        }
        if columns.len() != references.len() {
            return Err(PgError::new(
                "42830",
                "number of referencing and referenced columns for foreign key disagree",
            ));
        }
        let mut wanted: Vec<&str> = references.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        let matched = referenced.unique_keys().any(|mut key| {
            key.sort_unstable();
            key == wanted
        });
        if !matched {
            return Err(PgError::new(
                "42830",
                format!(
                    "there is no unique constraint matching given keys for referenced table \"{target_name}\""
                ),
            ));
        }
        let name = self.constraint_name(schema, table, collection, constraint)?;
        for (column, reference) in columns.iter().zip(&references) {
            let (Some(left), Some(right)) = (collection.field(column), referenced.field(reference))
            else {
                continue;
            };
            let (left, right) = (TypeId(left.type_oid), TypeId(right.type_oid));
            if left != right && !comparable(left, right) {
                return Err(PgError::new(
                    "42804",
                    format!("foreign key constraint \"{name}\" cannot be implemented"),
                )
                .with_detail(format!(
                    "Key columns \"{column}\" and \"{reference}\" are of incompatible types: {} and {}.",
                    self.type_text(left.into()),
                    self.type_text(right.into())
                )));
            }
        }
        let pairs: Vec<(&str, &str)> =
            columns.iter().map(String::as_str).zip(references.iter().map(String::as_str)).collect();
        if !foreign_key_holds(collection, referenced, &pairs) {
            return Err(self.apart(&name, collection, &target_name, referenced));
        }
        if *on_delete == "set default" || *on_update == "set default" {
            return Err(PgError::unsupported("a foreign key with SET DEFAULT is not supported")
                .with_hint(
                    "Defaults are kept by dataman, not by the shards: use SET NULL or CASCADE.",
                ));
        }
        if *on_update != "no action" && *on_update != "restrict" {
            let moved = columns.iter().find(|column| collection.shard_key().contains(column));
            if let Some(column) = moved {
                return Err(PgError::unsupported(format!(
                    "ON UPDATE {} on the shard key \"{column}\" is not supported",
                    on_update.to_ascii_uppercase()
                ))
                .with_hint("A changed shard key would move the row to another shard: use ON UPDATE NO ACTION."));
            }
        }
        if matches!(*on_delete, "set null" | "set default") {
            let lost = columns.iter().find(|column| collection.shard_key().contains(column));
            if let Some(column) = lost {
                return Err(PgError::unsupported(format!(
                    "ON DELETE {} on the shard key \"{column}\" is not supported",
                    on_delete.to_ascii_uppercase()
                ))
                .with_hint("A changed shard key would move the row to another shard: use ON DELETE CASCADE or NO ACTION."));
            }
        }
        Ok(ConstraintKind::ForeignKey {
            fields: columns.clone(),
            references: (target_schema, target_name),
            references_fields: references,
            on_delete: (*on_delete).to_owned(),
            on_update: (*on_update).to_owned(),
        })
    }

    /// Why a foreign key cannot be kept by each shard alone.
    fn apart(
        &self,
        name: &str,
        collection: &Collection,
        target: &str,
        referenced: &Collection,
    ) -> PgError {
        let hint = match (&collection.placement, &referenced.placement) {
            _ if collection.datastore != referenced.datastore => {
                "Both tables must live in the same datastore.".to_owned()
            }
            (Placement::Sharded(_), Placement::Sharded(keyspace)) => format!(
                "Let both tables have the same shard key and hash, and let the foreign key contain it: FOREIGN KEY ({0}, …) \
                 REFERENCES {target} ({0}, …). Or make \"{target}\" a reference table.",
                keyspace.fields.join(", ")
            ),
            (Placement::Reference, _) => {
                format!("Make \"{target}\" a reference table too: WITH (placement = 'reference').")
            }
            _ => format!("Make \"{target}\" a reference table: WITH (placement = 'reference')."),
        };
        PgError::unsupported(format!(
            "foreign key constraint \"{name}\" cannot be kept: the rows of \"{target}\" may be on another shard"
        ))
        .with_hint(hint)
    }

    /// Refuses unique keys that the shards can keep neither alone nor together.
    pub(super) fn check_unique_placement(
        &self,
        table: &str,
        collection: &Collection,
    ) -> Result<()> {
        for constraint in &collection.constraints {
            if let Some((fields, what, plain)) = Self::key_of(&constraint.kind) {
                self.check_unique_key(table, collection, what, &fields, plain)?;
            }
        }
        Ok(())
    }
}

/// `0A000` for a unique key that lacks the shard key.
pub(super) fn unique_without_key(table: &str, what: &str, missing: &str) -> PgError {
    PgError::unsupported(format!(
        "{what} constraint on table \"{table}\" must include the shard key"
    ))
    .with_detail(format!(
        "{what} constraint on table \"{table}\" lacks column \"{missing}\" which is part of the shard key."
    ))
    .with_hint(format!(
        "Add \"{missing}\" to the constraint, or keep the table on one shard: WITH (placement = 'single')."
    ))
}

/// Whether a foreign key may compare two types.
fn comparable(left: TypeId, right: TypeId) -> bool {
    let family = |ty: TypeId| match ty {
        TypeId::INT2 | TypeId::INT4 | TypeId::INT8 => 1,
        TypeId::FLOAT4 | TypeId::FLOAT8 => 2,
        TypeId::TEXT | TypeId::VARCHAR => 3,
        TypeId::DATE | TypeId::TIMESTAMP | TypeId::TIMESTAMPTZ => 4,
        _ => 0,
    };
    let direct = family(left) != 0 && family(left) == family(right);
    // The key side may be cast to the referenced side without loss.
    let integer = |ty| family(ty) == 1;
    direct
        || (integer(left) && matches!(right, TypeId::NUMERIC | TypeId::FLOAT4 | TypeId::FLOAT8))
        || (left == TypeId::NUMERIC && family(right) == 2)
        || (left == TypeId::BPCHAR && family(right) == 3)
}
