//! The process beside a database that carries out dataman's queries in the database's own language.

pub mod driver;
