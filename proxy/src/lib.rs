//! One PostgreSQL endpoint in front of many databases.

pub mod error;
pub mod merge;
pub mod parse;
pub mod plan;
mod route;
pub mod scatter;
