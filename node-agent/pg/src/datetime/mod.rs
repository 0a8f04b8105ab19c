//! `date`, `time`, `timetz`, `timestamp`, `timestamptz` (the manual's sections 8.5, 9.9, appendix B).
//!
//! Text is cut into fields by [`lex`], whose meaning [`decode`] finds with the words of [`keyword`]; [`io`] joins them
//! to values and writes values, [`wire`] does the binary forms. The functions are in the files below these.

pub(crate) mod calendar;
pub(crate) mod names;

pub(crate) mod decode;
pub(crate) mod io;
pub(crate) mod keyword;
pub(crate) mod lex;
pub(crate) mod mask;
pub(crate) mod wire;

pub(crate) mod arguments;
pub(crate) mod arithmetic;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod make;
pub(crate) mod part;
pub(crate) mod trunc;
