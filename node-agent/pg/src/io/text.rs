//! The text form: what psql shows and accepts.

use crate::context::Context;
use crate::error::{PgError, Result};
use crate::types::{TypeId, TypeRef};
use crate::value::Value;

/// Appends the text form of a value of type `ty`; nothing for NULL, which the caller writes its own way.
pub fn output(_value: &Value, _ty: TypeId, _context: &Context, _out: &mut Vec<u8>) {}

/// Reads a value of type `ty`, as the type's input function does with the modifier.
///
/// # Errors
/// `22P02`, `22003`, `22007`, `22008`, `22001`, … in the input function's words; `0A000` for a type whose text this
/// library does not read.
pub fn input(_text: &str, _ty: TypeRef, _context: &Context) -> Result<Value> {
    Err(PgError::internal("text input is not there yet"))
}
