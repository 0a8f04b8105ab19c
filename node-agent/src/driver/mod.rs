//! The databases: one folder for each, behind the traits of [`contract`].

pub mod contract;
pub mod sql;
