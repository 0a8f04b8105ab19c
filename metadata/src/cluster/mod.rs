//! The cluster file: what a cluster is to be, as its operator writes it in TOML.
//!
//! [`ClusterFile::parse`] reads and checks one and names every mistake with its line and its remedy.
//! [`ClusterFile::changes_against`] says what to change in the metadata so that it is as the file says, and refuses what
//! would leave data behind. [`ClusterFile::one_machine`] is the file that nobody has to write.

mod apply;
mod parse;
mod section;

use std::path::Path;

use crate::id::{DatabaseId, DatasourceId, DatastoreId, NodeId};
use crate::topology::{Datasource, Engine, Node};

/// The vshards of a datastore whose file names none.
pub const VSHARDS_DEFAULT: u32 = 4_096;

/// The database, and the role that owns it, of the one-machine default; also the owner of a database whose file names
/// none.
pub const DEFAULT_NAME: &str = "dataman";

/// A cluster file that has been read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFile {
    /// The file's name, for messages.
    pub file: String,
    /// The nodes in the file's order, each with the line where it begins.
    pub nodes: Vec<Placed<Node>>,
    /// The datastores in the file's order.
    pub datastores: Vec<Placed<DatastoreEntry>>,
    /// The databases in the file's order.
    pub databases: Vec<Placed<DatabaseEntry>>,
}

/// Something of a cluster file with the line where it begins; none in a file that nobody has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The line, from 1.
    pub line: Option<usize>,
    /// What stands there.
    pub value: T,
}

/// A datastore of a cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatastoreEntry {
    /// Its name.
    pub id: DatastoreId,
    /// The number of vshards.
    pub vshards: u32,
    /// The shards, in their order.
    pub shards: Vec<ShardEntry>,
}

/// A shard of a cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEntry {
    /// The copy that takes writes, as long as the databases do not say otherwise.
    pub primary: DatasourceId,
    /// The copies that the databases themselves keep.
    pub replicas: Vec<DatasourceId>,
}

/// A database of a cluster file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// Its name.
    pub id: DatabaseId,
    /// Where its collections live unless they say otherwise.
    pub datastore: DatastoreId,
    /// Fields that shard any table that has them.
    pub shard_keys: Vec<String>,
    /// The role that owns it.
    pub owner: String,
}

/// A mistake of a cluster file, or a change that it asks for and that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// The line, from 1; none when no line is at fault.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to write or do instead, as a sentence.
    pub remedy: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, problem, remedy } = self;
        f.write_str(file)?;
        if let Some(line) = line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {problem}\n  {remedy}")
    }
}

/// All mistakes of a cluster file, in the order of their lines; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ClusterFileError {
    /// The mistakes.
    pub mistakes: Vec<Mistake>,
}

impl ClusterFile {
    /// Reads and checks a cluster file.
    ///
    /// # Errors
    /// The file cannot be read, or has mistakes.
    pub fn read(path: &Path) -> Result<Self, ClusterFileError> {
        let file = path.display().to_string();
        let failed = |problem: String, remedy: &str| {
            let mistake =
                Mistake { file: file.clone(), line: None, problem, remedy: remedy.to_owned() };
            ClusterFileError { mistakes: vec![mistake] }
        };
        let bytes = std::fs::read(path).map_err(|error| {
            failed(
                format!("cannot be read: {error}"),
                "Give the path of a cluster file that this user may read.",
            )
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| failed(format!("is not UTF-8: {error}"), "Save the file in UTF-8."))?;
        Self::parse(&file, &text)
    }

    /// Makes the default for one machine: a node `local` whose agent runs inside the process, a SQLite folder
    /// `shard0`… for each shard, a datastore `main`, a database `dataman` of the superuser `dataman`, who has no password.
    #[must_use]
    pub fn one_machine(data_dir: &Path, shards: u32) -> Self {
        let id = NodeId::from("local");
        let name = |shard: u32| format!("sqlite{shard}");
        let datasource = |shard: u32| Datasource {
            name: name(shard),
            engine: Engine::Sqlite,
            url: data_dir.join(format!("shard{shard}")).display().to_string(),
        };
        let entry = |shard: u32| ShardEntry {
            primary: DatasourceId { node: id.clone(), name: name(shard) },
            replicas: Vec::new(),
        };
        let datastore = DatastoreEntry {
            id: DatastoreId::from("main"),
            vshards: VSHARDS_DEFAULT.max(shards),
            shards: (0..shards).map(entry).collect(),
        };
        let database = DatabaseEntry {
            id: DatabaseId::from(DEFAULT_NAME),
            datastore: datastore.id.clone(),
            shard_keys: Vec::new(),
            owner: DEFAULT_NAME.to_owned(),
        };
        let node = Node {
            id: id.clone(),
            agent: None,
            agent_password: None,
            agent_ca: None,
            datasources: (0..shards).map(datasource).collect(),
        };
        Self {
            file: "the one-machine default".to_owned(),
            nodes: vec![Placed { line: None, value: node }],
            datastores: vec![Placed { line: None, value: datastore }],
            databases: vec![Placed { line: None, value: database }],
        }
    }

    fn mistake(
        &self,
        line: Option<usize>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Mistake {
        Mistake { file: self.file.clone(), line, problem: problem.into(), remedy: remedy.into() }
    }
}
