//! dataman's own syntax tree: what the rest of the proxy knows of SQL text.
//!
//! Names are folded already (`Foo` → `foo`, `"Foo"` → `Foo`). A [`Span`] is a range of bytes in the statement's text, so that
//! a name can be replaced where the client wrote it and an error can point at it.
//!
//! - [`statement`]: a statement, what is kept with it, and names
//! - [`query`], [`expr`]: SELECT; expressions and type names
//! - [`change`]: INSERT, UPDATE, DELETE
//! - [`define`]: CREATE, ALTER, DROP
//! - [`session`], [`copy`]: transactions, settings, EXPLAIN; COPY, VACUUM and ANALYZE

pub mod change;
pub mod copy;
pub mod define;
pub mod expr;
pub mod query;
pub mod session;
pub mod statement;

pub use change::*;
pub use copy::*;
pub use define::*;
pub use expr::*;
pub use query::*;
pub use session::*;
pub use statement::*;
