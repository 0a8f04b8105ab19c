//! Definitions: what `{"define": …}` asks of a shard instance.
//!
//! A definition is complete in itself: the agent needs no other knowledge of the schema to carry it out. Every one can be
//! repeated without harm (`create` of what is there in the same shape, `drop` of what is not), so that a change that was
//! cut short half-way over the shards is finished by sending it again.

use serde::{Deserialize, Serialize};

use dataman_pg::Expr;
use dataman_pg::types::TypeRef;

use crate::query::Target;

/// One change to one shard instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    /// Makes the namespace of a shard: a PostgreSQL schema, a SQLite file.
    CreateInstance {
        /// `dbshard_<database>_<shard>`.
        shard_instance: String,
    },
    /// Removes the namespace with all that is in it.
    DropInstance {
        /// Which.
        shard_instance: String,
    },
    /// Makes an enum type.
    CreateEnum {
        /// Where.
        shard_instance: String,
        /// Its physical name.
        name: String,
        /// Its labels in order.
        labels: Vec<String>,
    },
    /// Removes an enum type.
    DropEnum {
        /// Where.
        shard_instance: String,
        /// Its physical name.
        name: String,
    },
    /// Makes a collection with its constraints and indexes.
    CreateCollection(CollectionShape),
    /// Removes a collection.
    DropCollection(Target),
    /// Makes a collection from `from`'s shape into `to`'s: fields and constraints added, dropped, renamed or changed.
    AlterCollection {
        /// The step, decided by the proxy.
        step: AlterStep,
        /// The whole shape after the step, for engines that rebuild.
        to: CollectionShape,
    },
    /// Makes an index.
    CreateIndex {
        /// The collection.
        target: Target,
        /// The index.
        index: IndexShape,
    },
    /// Removes an index.
    DropIndex {
        /// The collection.
        target: Target,
        /// The index's physical name.
        name: String,
    },
    /// Takes over a table that is there: its records stay where they are and as they are. Engines that keep a catalogue write it there.
    Adopt {
        /// The collection that it becomes.
        shape: CollectionShape,
        /// The table, as an inspection found it.
        found: Box<crate::inspect::FoundTable>,
    },
    /// Forgets a collection that was taken over; its records stay.
    Release(Target),
    /// Empties collections, all in one go (they may refer to each other).
    Truncate(Vec<Target>),
    /// Notes, in the transaction of some work, that it was done: fails with `23505` when that is noted already. Notes of a day ago go.
    Note {
        /// Where.
        shard_instance: String,
        /// What the work is called; no other work ever is.
        work: String,
        /// Work whose notes stay however old they are.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keep: Vec<String>,
    },
    /// Cleans up collections and gathers statistics: not within a transaction, if it is a vacuum.
    Maintain(Maintenance),
}

/// What is done to keep collections in shape.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Clean up.
    pub vacuum: bool,
    /// Gather statistics.
    pub analyze: bool,
    /// PostgreSQL's options besides, each as it stands in parentheses; other engines have nothing of the sort.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The collections.
    pub targets: Vec<MaintenanceTarget>,
}

/// A collection to be kept in shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaintenanceTarget {
    /// The collection.
    #[serde(flatten)]
    pub target: Target,
    /// The fields to gather statistics of; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// One step of ALTER TABLE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlterStep {
    /// `RENAME TO`.
    RenameCollection {
        /// The name before.
        from: String,
    },
    /// `ADD COLUMN`; existing records get `fill`.
    AddField {
        /// The field, as it is in the shape after the step.
        name: String,
        /// A constant for existing records; NULL for none.
        fill: Expr,
    },
    /// `DROP COLUMN`.
    DropField {
        /// Which.
        name: String,
    },
    /// `RENAME COLUMN`.
    RenameField {
        /// The name before.
        from: String,
        /// The name after.
        to: String,
    },
    /// `ALTER COLUMN … TYPE`; `using` converts, over the old record as source `old`.
    FieldType {
        /// Which.
        name: String,
        /// The conversion.
        using: Expr,
    },
    /// `SET NOT NULL` (checked against existing records).
    SetNotNull {
        /// Which.
        name: String,
    },
    /// `DROP NOT NULL`.
    DropNotNull {
        /// Which.
        name: String,
    },
    /// `ADD CONSTRAINT` (checked against existing records).
    AddConstraint {
        /// Its name in the shape after the step.
        name: String,
    },
    /// `DROP CONSTRAINT`.
    DropConstraint {
        /// Its name.
        name: String,
    },
    /// `RENAME CONSTRAINT`.
    RenameConstraint {
        /// The name before.
        from: String,
        /// The name after.
        to: String,
    },
}

/// The shape of a collection on one shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionShape {
    /// Where, and the physical name.
    pub target: Target,
    /// The name that error messages use.
    pub label: String,
    /// The fields in order.
    pub fields: Vec<FieldShape>,
    /// The constraints in the order of their making.
    pub constraints: Vec<ConstraintShape>,
    /// The indexes that are not constraints'.
    #[serde(default)]
    pub indexes: Vec<IndexShape>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldShape {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: TypeRef,
    /// For an enum: the physical name and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enum_labels: Option<(String, Vec<String>)>,
    /// `NOT NULL`.
    pub not_null: bool,
}

/// One constraint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConstraintShape {
    /// Its name.
    pub name: String,
    /// What it demands.
    pub kind: ConstraintKind,
}

/// What a constraint demands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// `PRIMARY KEY`.
    PrimaryKey {
        /// Its fields.
        fields: Vec<String>,
    },
    /// `UNIQUE`.
    Unique {
        /// Its fields.
        fields: Vec<String>,
        /// `NULLS NOT DISTINCT`.
        #[serde(default)]
        nulls_not_distinct: bool,
    },
    /// `CHECK`: the expression over the record as source `record`; only FALSE fails.
    Check {
        /// The condition.
        expr: Expr,
    },
    /// `FOREIGN KEY`, to a collection of the same instance.
    ForeignKey {
        /// The referring fields.
        fields: Vec<String>,
        /// The physical name of the collection referred to.
        references: String,
        /// Its name in error messages.
        references_label: String,
        /// The fields referred to.
        references_fields: Vec<String>,
        /// `ON DELETE`.
        on_delete: ForeignKeyAction,
        /// `ON UPDATE`.
        on_update: ForeignKeyAction,
    },
}

/// What happens to referring records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignKeyAction {
    /// `NO ACTION`.
    #[default]
    NoAction,
    /// `RESTRICT`.
    Restrict,
    /// `CASCADE`.
    Cascade,
    /// `SET NULL`.
    SetNull,
    /// `SET DEFAULT`: refused unless the default is a constant.
    SetDefault,
}

/// One index that is not a constraint's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexShape {
    /// Its physical name.
    pub name: String,
    /// `UNIQUE`.
    pub unique: bool,
    /// `NULLS NOT DISTINCT`.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    /// `btree` and its like; only PostgreSQL looks at it.
    pub method: String,
    /// The keys: expressions over the record as source `record`.
    pub keys: Vec<crate::query::SortKey>,
    /// `INCLUDE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// A partial index's condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expr>,
}
