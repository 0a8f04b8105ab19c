//! What is decided about one statement over one snapshot.

use std::sync::Arc;

use dataman_metadata::change::{Change, ObjectName as Place};
use dataman_metadata::id::{DatabaseId, DatastoreId, ShardId};
use dataman_metadata::schema::{Collection, Database, Placement};
use dataman_metadata::snapshot::{OidAllocator, Snapshot, shard_instance_name};
use dataman_node_protocol::definition::Definition;
use dataman_pg::PgError;

use super::Facts;
use super::global::{MadeKey, Pending};
use crate::parse::syntax::{Define, ObjectKind, Span};
use crate::plan::PlanContext;
use crate::scatter::contract::{Capabilities, ShardRef};
use crate::sqlstate::{Report, Severity};

pub(super) type Result<T> = std::result::Result<T, PgError>;

/// When a definition is carried out on a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// Before anything else, in no transaction: namespaces.
    First,
    /// Before the metadata, in one transaction a shard.
    Before,
    /// In one transaction a shard, which commits after the metadata.
    Around,
    /// After the metadata.
    After,
}

/// One definition for one shard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) when: When,
    pub(super) shard: ShardRef,
    pub(super) definition: Definition,
}

/// All that a statement does.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) steps: Vec<Step>,
    pub(super) changes: Vec<Change>,
    /// Sequences to set after everything else: the value that the next number is.
    pub(super) restarts: Vec<(Place, i64)>,
    pub(super) notices: Vec<Report>,
    pub(super) tag: String,
    pub(super) fill: Option<String>,
    /// Unique keys over several shards that are made for rows that are there.
    pub(super) made: Vec<MadeKey>,
    /// What the metadata says meanwhile.
    pub(super) pending: Option<Pending>,
}

/// The state of deciding.
pub(super) struct Draft<'a> {
    pub(super) snapshot: &'a Arc<Snapshot>,
    pub(super) database: &'a Database,
    pub(super) facts: &'a Facts<'a>,
    pub(super) capabilities: &'a dyn Capabilities,
    pub(super) text: &'a str,
    pub(super) oids: OidAllocator,
    pub(super) work: Work,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        snapshot: &'a Arc<Snapshot>,
        facts: &'a Facts<'a>,
        capabilities: &'a dyn Capabilities,
        text: &'a str,
    ) -> Result<Self> {
        let database = snapshot.database(facts.database).ok_or_else(|| {
            PgError::new("3D000", format!("database \"{}\" does not exist", facts.database))
        })?;
        Ok(Self {
            snapshot,
            database,
            facts,
            capabilities,
            text,
            oids: snapshot.oids(),
            work: Work {
                steps: vec![],
                changes: vec![],
                restarts: vec![],
                notices: vec![],
                tag: String::new(),
                fill: None,
                made: vec![],
                pending: None,
            },
        })
    }

    pub(super) fn into_work(self) -> Work {
        self.work
    }

    pub(super) fn define(&mut self, define: &Define) -> Result<()> {
        match define {
            Define::CreateTable(create) => self.create_table(create),
            Define::CreateTableAs { name, if_not_exists, columns, options, query, no_data } => {
                self.create_table_as(name, *if_not_exists, columns, options, query, *no_data)
            }
            Define::AlterTable { name, if_exists, actions } => {
                self.alter_table(name, *if_exists, actions)
            }
            Define::Drop { kind, names, if_exists, cascade } => {
                self.drop_objects(*kind, names, *if_exists, *cascade)
            }
            Define::CreateIndex(create) => self.create_index(create),
            Define::CreateSchema { name, if_not_exists } => {
                self.create_schema(name, *if_not_exists)
            }
            Define::CreateSequence { name, if_not_exists, options } => {
                self.create_sequence(name, *if_not_exists, options)
            }
            Define::AlterSequence { name, if_exists, options } => {
                self.alter_sequence(name, *if_exists, options)
            }
            Define::CreateView { name, or_replace, columns, query, text } => {
                self.create_view(name, *or_replace, columns, query, text)
            }
            Define::CreateEnum { name, labels } => self.create_enum(name, labels),
            Define::Truncate { names, restart_identity, cascade } => {
                self.truncate(names, *restart_identity, *cascade)
            }
            Define::Maintain { vacuum, options, tables } => self.maintain(*vacuum, options, tables),
            Define::Comment { kind, name, text } => self.comment(*kind, name, text.as_deref()),
            Define::CreateDatabase { name, options } => self.create_database(name, options),
            Define::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists),
            Define::Role { create, name, password, superuser, login } => {
                self.role(*create, name, password.as_ref(), *superuser, *login)
            }
            Define::DropRole { names, if_exists } => self.drop_roles(names, *if_exists),
            Define::SessionDefaults { of, change } => self.session_defaults(of, change),
            Define::ImportSchema(_) => Err(PgError::internal("an import has nothing to import")),
        }
    }

    /// What the planner may look at.
    pub(super) fn plan_context(&self) -> PlanContext<'a> {
        PlanContext {
            snapshot: self.snapshot,
            database: self.facts.database,
            user: self.facts.user,
            search_path: self.facts.search_path,
            context: self.facts.context,
            capabilities: self.capabilities,
            shows: false,
        }
    }

    pub(super) fn tag(&mut self, tag: &str) {
        self.work.tag = tag.to_owned();
    }

    pub(super) fn notice(&mut self, sqlstate: &str, message: impl Into<String>) {
        self.work.notices.push(Report::new(Severity::Notice, sqlstate, message));
    }

    pub(super) fn change(&mut self, change: Change) {
        self.work.changes.push(change);
    }

    pub(super) fn step(&mut self, when: When, shard: ShardRef, definition: Definition) {
        self.work.steps.push(Step { when, shard, definition });
    }

    /// The place of an object in the session's database.
    pub(super) fn place(&self, schema: &str, name: &str) -> Place {
        Place::new(&self.database.id, schema, name)
    }

    /// The shards that have a collection's table. A sharded one is made on all, also where no vshard is at the moment.
    pub(super) fn shards_with(&self, collection: &Collection) -> Vec<ShardRef> {
        match &collection.placement {
            Placement::Single { shard } => {
                vec![ShardRef { datastore: collection.datastore.clone(), shard: *shard }]
            }
            Placement::Sharded(_) | Placement::Reference => self.shards_of(&collection.datastore),
        }
    }

    /// All shards of a datastore.
    pub(super) fn shards_of(&self, datastore: &DatastoreId) -> Vec<ShardRef> {
        let Some(found) = self.snapshot.datastores.get(datastore) else { return vec![] };
        found.shard_ids().map(|shard| ShardRef { datastore: datastore.clone(), shard }).collect()
    }

    /// The namespace of the session's database on a shard.
    pub(super) fn instance(&self, shard: ShardId) -> String {
        instance_of(&self.database.id, shard)
    }

    /// Gives an error the place in the statement that it is about.
    pub(super) fn at(&self, error: PgError, span: Span) -> PgError {
        if span.end == 0 {
            return error;
        }
        let before = self.text.get(..span.start).map_or(0, |before| before.chars().count());
        error.at(before + 1)
    }

    /// Refuses what only a superuser may do.
    pub(super) fn must_be_superuser(&self, message: &'static str) -> Result<()> {
        if self.facts.superuser { Ok(()) } else { Err(PgError::new("42501", message)) }
    }

    /// Refuses a change of what belongs to another role.
    pub(super) fn must_own(&self, owner: &str, kind: ObjectKind, name: &str) -> Result<()> {
        if self.facts.superuser || owner == self.facts.user {
            return Ok(());
        }
        let word = super::name::word(kind);
        Err(PgError::new("42501", format!("must be owner of {word} {name}")))
    }
}

pub(super) fn instance_of(database: &DatabaseId, shard: ShardId) -> String {
    shard_instance_name(database, shard)
}
