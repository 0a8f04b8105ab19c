//! `date`, `time`, `timetz`, `timestamp`, `timestamptz` (the manual's sections 8.5, 9.9, appendix B).

pub(crate) mod calendar;
pub(crate) mod decode;
pub(crate) mod io;
pub(crate) mod keyword;
pub(crate) mod lex;
pub(crate) mod mask;
pub(crate) mod names;
pub(crate) mod wire;
