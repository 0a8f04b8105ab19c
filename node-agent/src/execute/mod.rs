//! From a statement's text to its rows: [`bind`] makes of it what a driver takes, [`run`] has it carried out.

pub mod bind;
pub mod run;
mod short;
