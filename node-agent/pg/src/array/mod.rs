//! Arrays (the manual's sections 8.15 and 9.19): shape, input and output. Elements are read and written by [`crate::io`].

mod io;

pub use io::{decode, encode, input, output};

/// The most dimensions an array has (`MAXDIM`).
pub const DIMENSIONS_MAX: usize = 6;

/// The most elements an array has (`MaxArraySize`).
pub const ELEMENTS_MAX: usize = 0x3fff_ffff / 8;
