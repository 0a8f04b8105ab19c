//! Values' input and output, in PostgreSQL's text and binary forms.

pub mod binary;
pub mod plain;
pub mod record;
pub(crate) mod send;
pub mod text;
