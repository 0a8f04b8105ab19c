//! The binary form: what drivers ask for.

use crate::error::{PgError, Result};
use crate::types::{TypeId, TypeRef};
use crate::value::Value;

/// Appends the binary form of a value of type `ty` (without a length); nothing for NULL.
pub fn encode(_value: &Value, _ty: TypeId, _out: &mut Vec<u8>) {}

/// Reads the binary form of a value of type `ty`.
///
/// # Errors
/// `22P03` or `08P01` for bytes that are not of the type's form; `0A000` for a type that this library does not read.
pub fn decode(_bytes: &[u8], _ty: TypeRef) -> Result<Value> {
    Err(PgError::internal("binary input is not there yet"))
}
