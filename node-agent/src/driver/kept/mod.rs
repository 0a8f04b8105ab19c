//! Collections whose constraints the agent keeps itself, for engines whose own differ from PostgreSQL's: what MySQL's and
//! MongoDB's drivers share. The engine stores records and finds them by exact keys; what a record must satisfy is computed here.

pub(crate) mod catalogue;
pub(crate) mod constraint;
pub(crate) mod value;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::catalogue::Index;

/// What differs from engine to engine in what an instance keeps of a collection.
pub(crate) trait Store: Debug + Send + Sync + 'static {
    /// The engine, for messages.
    const ENGINE: &'static str;

    /// What identifies a collection in the catalogue.
    type Id: Debug + Clone + Send + Sync;

    /// Where a collection's fields lie.
    type Layout: Debug + Clone + Serialize + DeserializeOwned + Send + Sync;

    /// The indexes of a layout.
    fn indexes(layout: &Self::Layout) -> &[Index];
}
