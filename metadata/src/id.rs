//! Identifiers: newtypes, never bare integers.

use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

number_id! {
    /// The revision of the metadata.
    Epoch(u64);
    /// A shard of a datastore, from 0.
    ShardId(u32);
    /// A fixed slot of the key space, from 0.
    VshardId(u32);
    /// A collection; also its OID in `pg_class`. From 16384 on, never used again.
    CollectionId(u32);
    /// Any other object with an OID: sequence, view, index, constraint, type, schema.
    ObjectId(u32);
}

macro_rules! name_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }
    )*};
}

name_id! {
    /// A storage node, by its name in the cluster file.
    NodeId;
    /// A datastore, by its name.
    DatastoreId;
    /// A database, by its name.
    DatabaseId;
}

/// A datasource: `node/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DatasourceId {
    /// The node.
    pub node: NodeId,
    /// Its name on the node.
    pub name: String,
}

impl std::fmt::Display for DatasourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.node, self.name)
    }
}
