//! From a statement's text to what a driver takes: [`bind`]; and to the tag that answers it: [`run`].

pub mod bind;
pub mod run;
mod short;
