//! Node queries out, batches back.

pub mod contract;
pub(crate) mod shard;

pub use contract::{Access, Participants, ResultStream, ShardRef};
