//! Node scans → shards; pure.

pub(crate) mod key;
pub(crate) mod prune;
