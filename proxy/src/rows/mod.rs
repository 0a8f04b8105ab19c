//! Rows → what the client sees: descriptions, encoded values, command tags.
//!
//! - [`copy`]: COPY data
//! - [`describe`]: columns → RowDescription
//! - [`encode`]: rows that the proxy makes itself → DataRow
//! - [`tag`]: the words of CommandComplete

pub mod copy;
pub mod describe;
pub mod encode;
pub mod tag;
