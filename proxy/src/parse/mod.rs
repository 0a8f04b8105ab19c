//! SQL text → syntax tree; the home of sqlparser's types.

pub mod syntax;
