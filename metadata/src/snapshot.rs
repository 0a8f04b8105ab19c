//! All metadata, checked and immutable, at one epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{DatabaseId, DatastoreId, Epoch, NodeId};
use crate::schema::{Database, Role};
use crate::topology::{Datastore, Node};

/// All metadata at one epoch. Shared as `Arc<Snapshot>`; a statement sees one from bind to commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The revision.
    pub epoch: Epoch,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Datastores by name.
    pub datastores: BTreeMap<DatastoreId, Datastore>,
    /// Databases by name.
    pub databases: BTreeMap<DatabaseId, Database>,
    /// Roles by name.
    pub roles: BTreeMap<String, Role>,
    /// The OID that the next object gets.
    pub next_oid: u32,
}
