//! One PostgreSQL endpoint in front of many databases.

pub mod cluster;
pub mod config;
pub mod error;
pub mod merge;
pub mod parse;
pub mod plan;
mod route;
pub mod rows;
pub mod scatter;
pub mod session;
pub mod sqlstate;
pub mod wire;
