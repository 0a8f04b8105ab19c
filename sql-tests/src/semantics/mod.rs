//! dataman-pg against a PostgreSQL server: every registered function, cast, input, output and comparison, on extreme and
//! seeded random values.
//!
//! A function that is registered is tested from then on: [`function`] finds its catalog rows, takes arguments from
//! [`pool`], asks the server through [`oracle`] and compares values, SQLSTATEs and messages. What cannot be compared, or
//! not with any arguments, stands in [`exceptions`], each with its reason.

pub mod aggregate;
pub mod cast;
pub mod exceptions;
pub mod function;
pub mod oracle;
pub mod pool;
pub mod report;
pub mod resolution;
pub mod set;
pub mod template;
pub mod value;

/// How much is tried, and the seed that it is drawn with.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// `DATAMAN_TEST_SEED`: the same seed draws the same cases.
    pub seed: u64,
    /// `DATAMAN_TEST_CASES`: the number of cases for each function, cast or type.
    pub cases: usize,
}

impl Effort {
    /// From the environment; else a fixed seed and so many cases that all take less than a minute.
    pub fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let seed = number("DATAMAN_TEST_SEED").unwrap_or(15);
        let cases = number("DATAMAN_TEST_CASES").and_then(|cases| usize::try_from(cases).ok());
        Self { seed, cases: cases.unwrap_or(60) }
    }
}
