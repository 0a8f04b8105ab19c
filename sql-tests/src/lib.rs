//! What dataman's end-to-end tests share: servers to compare with, topologies, oracles.

pub mod client;
pub mod corpus;
pub mod dialogue;
pub mod engine;
pub mod etcd;
pub mod failing;
pub mod failing_mariadb;
pub mod fuzz;
pub mod oracle;
pub mod pushdown;
pub mod random;
pub mod raw;
pub mod regress;
pub mod semantics;
pub mod slt;
pub mod topology;
