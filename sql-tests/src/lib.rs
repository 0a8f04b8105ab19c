//! What dataman's end-to-end tests share: servers to compare with, topologies, oracles.

pub mod engine;
pub mod semantics;
