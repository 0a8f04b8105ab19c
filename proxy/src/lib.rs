//! One PostgreSQL endpoint in front of many databases.

pub mod parse;
