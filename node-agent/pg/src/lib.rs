//! PostgreSQL's semantics in Rust, exact, without IO.
//!
//! The library has two halves.
//!
//! *What exists*: [`catalog`] holds tables generated from a PostgreSQL 15 server's own `pg_type`, `pg_operator`,
//! `pg_cast`, `pg_proc` and `pg_aggregate`, and [`resolve`] the documented rules (the manual's chapter 10) by which
//! PostgreSQL decides which operator, function or cast an expression means. With these a binder types any built-in,
//! also one that nothing here computes.
//!
//! *What is computed*: [`value::Value`] and its [`io`] in text and binary, [`order`] (comparison, hash and
//! order-preserving bytes), and one file a family of functions. Every implementation is registered in
//! [`registry`] under the name of the C function that PostgreSQL itself would call (`pg_proc.prosrc`), so a cast, an
//! operator and a function that share an implementation in PostgreSQL share it here. [`eval`] compiles a bound
//! [`expr::Expr`] to an evaluator over these.
//!
//! [`set`] has the functions that give rows, and [`aggregate`] those over rows.
//!
//! To add a function: write it in its family's file, add its `prosrc` to that file's `FUNCTIONS` table, and the
//! differential test (`sql-tests/tests/semantics.rs`) compares it with the server on random and extreme arguments.

pub mod aggregate;
mod arguments;
pub mod array;
mod bits;
mod boolean;
mod bytea;
pub mod catalog;
mod comparison;
pub mod context;
pub(crate) mod datetime;
mod enumeration;
pub mod error;
pub mod eval;
pub mod expr;
pub mod float;
mod formatting;
mod hashing;
pub mod in_range;
pub mod integer;
pub mod internal;
pub mod interrupt;
pub(crate) mod interval;
pub mod io;
pub mod json;
mod network;
pub mod numeric;
pub mod objects;
pub mod order;
mod pattern;
mod range;
pub mod registry;
pub mod resolve;
pub mod sequence;
pub mod set;
pub mod string;
pub mod system;
#[cfg(test)]
mod testing;
pub mod timezone;
pub mod types;
mod uuid;
pub mod value;

pub use context::{CallContext, Context};
pub use error::{PgError, Result};
pub use expr::Expr;
pub use types::{TypeId, TypeRef};
pub use value::Value;
