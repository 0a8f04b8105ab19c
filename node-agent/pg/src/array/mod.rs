//! Arrays (the manual's sections 8.15 and 9.19): shape, input and output. Elements are read and written by [`crate::io`].

use crate::types::TypeId;

pub(crate) mod assign;
mod functions;
mod io;

pub(crate) use functions::FUNCTIONS;
pub use io::{decode, encode, input, output};

/// The most dimensions an array has (`MAXDIM`).
pub const DIMENSIONS_MAX: usize = 6;

/// The most elements an array has (`MaxArraySize`).
pub const ELEMENTS_MAX: usize = 0x3fff_ffff / 8;

/// The element type of a built-in array type.
pub fn element_type(array: TypeId) -> Option<TypeId> {
    let element = crate::catalog::type_by_id(array)?.element;
    // `int2vector` and its like have elements too, but are not their elements' array types.
    (crate::catalog::type_by_id(element)?.array == array).then_some(element)
}
