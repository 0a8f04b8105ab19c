//! Values' input and output, in PostgreSQL's text and binary forms.

pub mod binary;
pub mod kept;
pub mod plain;
pub mod record;
pub(crate) mod send;
pub mod text;

use crate::catalog;
use crate::types::TypeId;

/// Whether values of a type, or of the types that a pseudo-type stands for, are computed with here at all.
pub fn is_known(ty: TypeId) -> bool {
    crate::comparison::has_values(ty)
}

/// Whether values of a type, as a server sends them, can be read here, so that they can be compared and computed with.
pub fn is_read(ty: TypeId) -> bool {
    let is_plain = catalog::type_by_id(ty).is_some_and(|entry| entry.kind != 'p');
    let is_alias = ty.is_oid() && ty != TypeId::OID;
    ty.is_user() || is_plain && !is_alias && crate::comparison::has_values(ty)
}
