//! What definitions leave to be done when their transaction ends, and what it had done before them.

use dataman_node_protocol::NodeError;
use mongodb::bson::{Document, doc};

use crate::driver::mongodb::connect::Server;
use crate::driver::mongodb::error::classify;

/// What a definition leaves to be done when its transaction ends.
#[derive(Debug, Default)]
pub(in crate::driver::mongodb) struct Leftover {
    /// What undoes it, in order.
    pub(in crate::driver::mongodb) undo: Vec<Chore>,
    /// What finishes it, in order.
    pub(in crate::driver::mongodb) finish: Vec<Chore>,
    /// What removes its parts that were made in the transaction, if it was undone within it.
    pub(in crate::driver::mongodb) orphans: Vec<Chore>,
    /// The collections that the transaction itself has read or written for it.
    pub(in crate::driver::mongodb) touched: Vec<String>,
    /// The collections that it has made.
    pub(in crate::driver::mongodb) created: Vec<String>,
}

/// Something that is done outside of transactions.
#[derive(Debug, Clone)]
pub(in crate::driver::mongodb) enum Chore {
    /// Removes a collection.
    DropCollection {
        /// Its database.
        database: String,
        /// Its name.
        collection: String,
    },
    /// Removes an index.
    DropIndex {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// The index.
        index: String,
    },
    /// Makes an index that nothing depends on.
    MakeIndex {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// The index, as `createIndexes` takes it.
        index: Document,
    },
    /// Removes a field from all documents.
    Unset {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
        /// The field.
        path: String,
    },
}

impl Chore {
    /// Does it.
    ///
    /// # Errors
    /// MongoDB's.
    pub(in crate::driver::mongodb) async fn run(self, server: &Server) -> Result<(), NodeError> {
        let (database, command) = match self {
            Self::DropCollection { database, collection } => {
                (database, doc! { "drop": collection })
            }
            Self::DropIndex { database, collection, index } => {
                (database, doc! { "dropIndexes": collection, "index": index })
            }
            Self::MakeIndex { database, collection, index } => {
                (database, doc! { "createIndexes": collection, "indexes": [index] })
            }
            Self::Unset { database, collection, path } => {
                let has = doc! { &path: { "$exists": true } };
                let unset = doc! { "$unset": { path: "" } };
                let update = doc! { "q": has, "u": unset, "multi": true };
                (database, doc! { "update": collection, "updates": [update] })
            }
        };
        let answer = server.client().database(&database).run_command(command).await;
        answer.map(|_| ()).map_err(classify)
    }
}

/// What a transaction did before a definition.
#[derive(Debug, Default)]
pub(in crate::driver::mongodb) struct Past {
    /// The collections that it has read or written.
    pub(in crate::driver::mongodb) touched: Vec<String>,
    /// The collections that it has made.
    pub(in crate::driver::mongodb) created: Vec<String>,
    /// The fields that are removed when it ends, each with its collection.
    pub(in crate::driver::mongodb) doomed: Vec<String>,
}

impl Past {
    /// What definitions left, and what was read or written.
    pub(in crate::driver::mongodb) fn new(touched: &[String], leftovers: &[Leftover]) -> Self {
        let mut past = Self { touched: touched.to_vec(), ..Self::default() };
        for leftover in leftovers {
            past.created.extend(leftover.created.iter().cloned());
            for chore in leftover.finish.iter().chain(&leftover.undo) {
                if let Chore::Unset { database, collection, path } = chore {
                    past.doomed.push(format!("{database}.{collection} {path}"));
                }
            }
        }
        past
    }
}
