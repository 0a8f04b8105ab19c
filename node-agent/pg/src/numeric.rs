//! `numeric`: unbounded decimal numbers with a display scale (the manual's section 8.1.2).

use num_bigint::BigInt;

/// A `numeric` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numeric {
    /// `unscaled × 10^-scale`, shown with exactly `scale` digits after the point.
    Finite {
        /// All digits as an integer.
        unscaled: BigInt,
        /// Digits after the decimal point, 0..=16383.
        scale: u16,
    },
    /// `NaN`: equal to itself and greater than everything.
    NaN,
    /// `Infinity`.
    PositiveInfinity,
    /// `-Infinity`.
    NegativeInfinity,
}
