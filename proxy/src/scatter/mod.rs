//! Node queries out, batches back.

pub mod contract;

pub use contract::{Access, Participants, ResultStream, ShardRef};
