//! Exact arithmetic with PostgreSQL's result scales (the manual's section 9.3).

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{Numeric, Rounding, SCALE_MAX, decimal_digits, divide_rounded, overflows, pow10};
use crate::error::{PgError, Result};

/// The significant digits that a quotient, root or logarithm has at least.
pub(super) const SIGNIFICANT_DIGITS_MIN: i64 = 16;
/// The most digits after the point that such results get.
pub(super) const DISPLAY_SCALE_MAX: i64 = 1000;

/// A finite number: `unscaled × 10^-scale`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finite<'a> {
    pub(super) unscaled: &'a BigInt,
    pub(super) scale: i64,
}

impl Finite<'_> {
    /// PostgreSQL's weight: the exponent, to base 10,000, of the first group of four digits; 0 for zero.
    pub(super) fn weight(&self) -> i64 {
        if self.unscaled.is_zero() { 0 } else { self.leading_place().div_euclid(4) }
    }

    /// The power of ten of the first digit. Not for zero.
    pub(super) fn leading_place(&self) -> i64 {
        decimal_digits(self.unscaled) - self.scale - 1
    }

    /// The first group of four digits, by which PostgreSQL estimates; 0 for zero.
    fn first_group(&self) -> u64 {
        if self.unscaled.is_zero() {
            return 0;
        }
        let wanted = self.leading_place().rem_euclid(4) + 1;
        let digits = decimal_digits(self.unscaled);
        let group = if digits > wanted {
            self.unscaled.magnitude() / pow10(digits - wanted).magnitude()
        } else {
            self.unscaled.magnitude() * pow10(wanted - digits).magnitude()
        };
        group.to_u64().unwrap_or(0)
    }

    /// The sign as -1, 0 or 1.
    pub(super) fn signum(&self) -> i32 {
        match self.unscaled.sign() {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        }
    }
}

impl Numeric {
    /// The number if it is neither NaN nor infinite.
    pub(super) fn finite(&self) -> Option<Finite<'_>> {
        match self {
            Self::Finite { unscaled, scale } => Some(Finite { unscaled, scale: i64::from(*scale) }),
            _ => None,
        }
    }

    /// The sign as -1, 0 or 1; NaN counts as positive, but callers treat it first.
    pub(super) fn signum(&self) -> i32 {
        match self {
            Self::Finite { .. } => self.finite().map_or(0, |number| number.signum()),
            Self::NegativeInfinity => -1,
            Self::NaN | Self::PositiveInfinity => 1,
        }
    }

    fn infinity(sign: i32) -> Self {
        if sign < 0 { Self::NegativeInfinity } else { Self::PositiveInfinity }
    }

    /// `a + b`.
    ///
    /// # Errors
    /// `22003`.
    pub fn add(&self, other: &Self) -> Result<Self> {
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) => add_finite(a, b, false),
            (None, Some(_)) => Ok(self.clone()),
            (Some(_), None) => Ok(other.clone()),
            (None, None) if self == other => Ok(self.clone()),
            (None, None) => Ok(Self::NaN),
        }
    }

    /// `a - b`.
    ///
    /// # Errors
    /// `22003`.
    pub fn subtract(&self, other: &Self) -> Result<Self> {
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) => add_finite(a, b, true),
            _ => self.add(&other.negate()),
        }
    }

    /// `a * b`.
    ///
    /// # Errors
    /// `22003`.
    pub fn multiply(&self, other: &Self) -> Result<Self> {
        let (Some(a), Some(b)) = (self.finite(), other.finite()) else {
            let sign = self.signum() * other.signum();
            return Ok(if self.is_nan() || other.is_nan() || sign == 0 {
                Self::NaN
            } else {
                Self::infinity(sign)
            });
        };
        let product = a.unscaled * b.unscaled;
        let scale = a.scale + b.scale;
        if scale <= SCALE_MAX {
            return Self::checked(product, scale);
        }
        Self::checked(
            divide_rounded(&product, &pow10(scale - SCALE_MAX), Rounding::HalfAway),
            SCALE_MAX,
        )
    }

    /// `a / b` with PostgreSQL's scale: at least 16 significant digits, judged by groups of four digits.
    ///
    /// # Errors
    /// `22012`, `22003`.
    pub fn divide(&self, other: &Self) -> Result<Self> {
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) => {
                if b.unscaled.is_zero() {
                    return Err(PgError::division_by_zero());
                }
                let scale = quotient_scale(a, b);
                Self::checked(quotient(a, b, scale, Rounding::HalfAway), scale)
            }
            _ => self.divide_special(other),
        }
    }

    /// `div(a, b)`: the quotient's integer part.
    ///
    /// # Errors
    /// `22012`, `22003`.
    pub fn divide_truncated(&self, other: &Self) -> Result<Self> {
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) => {
                if b.unscaled.is_zero() {
                    return Err(PgError::division_by_zero());
                }
                Self::checked(quotient(a, b, 0, Rounding::Truncate), 0)
            }
            _ => self.divide_special(other),
        }
    }

    fn divide_special(&self, other: &Self) -> Result<Self> {
        if self.is_nan() || other.is_nan() {
            return Ok(Self::NaN);
        }
        match (self.finite(), other.finite()) {
            (None, None) => Ok(Self::NaN),
            (None, Some(_)) if other.signum() == 0 => Err(PgError::division_by_zero()),
            (None, Some(_)) => Ok(Self::infinity(self.signum() * other.signum())),
            _ => Ok(Self::zero()),
        }
    }

    /// `a % b`, with the sign of `a`.
    ///
    /// # Errors
    /// `22012`.
    pub fn modulo(&self, other: &Self) -> Result<Self> {
        if self.is_nan() || other.is_nan() {
            return Ok(Self::NaN);
        }
        match (self.finite(), other.finite()) {
            (_, Some(b)) if b.unscaled.is_zero() => Err(PgError::division_by_zero()),
            (Some(a), Some(b)) => {
                let (left, right, scale) = aligned(a, b);
                Self::checked(left % right, scale)
            }
            (None, _) => Ok(Self::NaN),
            (Some(_), None) => Ok(self.clone()),
        }
    }

    /// `-a`.
    #[must_use]
    pub fn negate(&self) -> Self {
        match self {
            Self::Finite { unscaled, scale } => Self::Finite { unscaled: -unscaled, scale: *scale },
            Self::NaN => Self::NaN,
            Self::PositiveInfinity => Self::NegativeInfinity,
            Self::NegativeInfinity => Self::PositiveInfinity,
        }
    }

    /// `abs(a)`.
    #[must_use]
    pub fn abs(&self) -> Self {
        if self.signum() < 0 { self.negate() } else { self.clone() }
    }

    /// `round(a, digits)`.
    ///
    /// # Errors
    /// `22003`.
    pub fn round(&self, digits: i32) -> Result<Self> {
        // One digit more than there can be before the point: the highest may round up.
        let digits = i64::from(digits).clamp(-131_073, SCALE_MAX);
        self.clone().rescale(digits, Rounding::HalfAway)
    }

    /// `trunc(a, digits)`.
    ///
    /// # Errors
    /// `22003`.
    pub fn truncate(&self, digits: i32) -> Result<Self> {
        self.clone().rescale(bounded_scale(digits), Rounding::Truncate)
    }

    /// `ceil(a)`.
    ///
    /// # Errors
    /// `22003`.
    pub fn ceil(&self) -> Result<Self> {
        match self.finite() {
            None => Ok(self.clone()),
            Some(a) => Self::checked(a.unscaled.div_ceil(&pow10(a.scale)), 0),
        }
    }

    /// `floor(a)`.
    ///
    /// # Errors
    /// `22003`.
    pub fn floor(&self) -> Result<Self> {
        match self.finite() {
            None => Ok(self.clone()),
            Some(a) => Self::checked(a.unscaled.div_floor(&pow10(a.scale)), 0),
        }
    }

    /// `sqrt(a)`.
    ///
    /// # Errors
    /// `2201F` for a negative number.
    pub fn sqrt(&self) -> Result<Self> {
        if self.is_nan() {
            return Ok(Self::NaN);
        }
        if self.signum() < 0 {
            return Err(PgError::new("2201F", "cannot take square root of a negative number"));
        }
        let Some(a) = self.finite() else { return Ok(self.clone()) };
        let scale = (SIGNIFICANT_DIGITS_MIN - (a.weight() * 2 + 1))
            .max(a.scale)
            .clamp(0, DISPLAY_SCALE_MAX);
        sqrt_finite(a, scale)
    }

    /// The square root of a number that is not negative, to as many digits as the number itself has.
    ///
    /// # Errors
    /// `22003`.
    pub(crate) fn sqrt_at_own_scale(&self) -> Result<Self> {
        self.finite().map_or_else(|| Ok(self.clone()), |a| sqrt_finite(a, a.scale))
    }

    /// `dividend × 10^-scale / divisor` with a quotient's usual scale, of parts that need not fit the format.
    ///
    /// # Errors
    /// `22012`, `22003`.
    pub(crate) fn divide_exact_parts(
        dividend: &BigInt,
        scale: i64,
        divisor: &BigInt,
    ) -> Result<Self> {
        if divisor.is_zero() {
            return Err(PgError::division_by_zero());
        }
        let (a, b) = (Finite { unscaled: dividend, scale }, Finite { unscaled: divisor, scale: 0 });
        let scale = quotient_scale(a, b);
        Self::checked(quotient(a, b, scale, Rounding::HalfAway), scale)
    }

    /// `gcd(a, b)`.
    ///
    /// # Errors
    /// `22003`.
    pub fn gcd(&self, other: &Self) -> Result<Self> {
        let (Some(a), Some(b)) = (self.finite(), other.finite()) else { return Ok(Self::NaN) };
        let (left, right, scale) = aligned(a, b);
        Self::checked(left.gcd(&right), scale)
    }

    /// `lcm(a, b)`.
    ///
    /// # Errors
    /// `22003`.
    pub fn lcm(&self, other: &Self) -> Result<Self> {
        let (Some(a), Some(b)) = (self.finite(), other.finite()) else { return Ok(Self::NaN) };
        let (left, right, scale) = aligned(a, b);
        if left.is_zero() || right.is_zero() {
            return Self::checked(BigInt::zero(), scale);
        }
        Self::checked(left.lcm(&right).abs(), scale)
    }

    /// `factorial(n)`.
    ///
    /// # Errors
    /// `22003` below zero and beyond the format.
    pub fn factorial(n: i64) -> Result<Self> {
        if n < 0 {
            return Err(PgError::new("22003", "factorial of a negative number is undefined"));
        }
        // 32,177! is the greatest that fits.
        if n > 32_177 {
            return Err(overflows());
        }
        let n = n.to_u64().unwrap_or(0);
        Self::checked(product_of_range(1, n.max(1)), 0)
    }

    /// The digits after the point that are needed to show the value; `None` for NaN and infinities.
    pub fn min_scale(&self) -> Option<i32> {
        let Self::Finite { unscaled, scale } = self else { return None };
        if unscaled.is_zero() {
            return Some(0);
        }
        let mut needed = i32::from(*scale);
        let ten = BigInt::from(10);
        let mut rest = unscaled.clone();
        while needed > 0 {
            let (quotient, digit) = rest.div_rem(&ten);
            if !digit.is_zero() {
                break;
            }
            rest = quotient;
            needed -= 1;
        }
        Some(needed)
    }

    /// The nearest integer, a half away from zero, if it fits `i128`; for the casts to integers.
    ///
    /// # Errors
    /// `0A000` for NaN and infinities, which no integer type has; `22003` beyond `i128`.
    pub fn to_integer(&self, type_name: &str) -> Result<i128> {
        let impossible =
            |what: &str| PgError::unsupported(format!("cannot convert {what} to {type_name}"));
        let integer = match self {
            Self::NaN => return Err(impossible("NaN")),
            Self::PositiveInfinity | Self::NegativeInfinity => return Err(impossible("infinity")),
            Self::Finite { unscaled, scale: 0 } => unscaled.to_i128(),
            Self::Finite { unscaled, scale } => {
                divide_rounded(unscaled, &pow10(i64::from(*scale)), Rounding::HalfAway).to_i128()
            }
        };
        integer.ok_or_else(|| PgError::out_of_range(type_name))
    }

    /// The nearest double; infinite beyond its range. For estimates, not for the cast.
    pub(super) fn to_f64_clamped(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

fn sqrt_finite(a: Finite<'_>, scale: i64) -> Result<Numeric> {
    // The root to `scale` digits is the integer root of the number with twice as many, then rounded.
    let shift = scale * 2 - a.scale;
    let (radicand, exact) = if shift >= 0 {
        (a.unscaled * pow10(shift), true)
    } else {
        let (whole, rest) = a.unscaled.div_rem(&pow10(-shift));
        (whole, rest.is_zero())
    };
    let root = radicand.sqrt();
    let rest = radicand - &root * &root;
    // (root + 1/2)² = root² + root + 1/4, so an integer rest above the root rounds up; a fraction below counts from a
    // quarter on, and only a number with more than 2,000 digits after the point has one.
    let up = rest > root || (!exact && rest == root && fraction_is_over_quarter(a, shift));
    Numeric::checked(if up { root + 1 } else { root }, scale)
}

/// The digits that `round` and `trunc` take, kept within what the format can have.
fn bounded_scale(digits: i32) -> i64 {
    i64::from(digits).clamp(-131_072, SCALE_MAX)
}

fn add_finite(a: Finite<'_>, b: Finite<'_>, subtract: bool) -> Result<Numeric> {
    let join = |x: &BigInt, y: &BigInt| if subtract { x - y } else { x + y };
    let (sum, scale) = match a.scale.cmp(&b.scale) {
        std::cmp::Ordering::Equal => (join(a.unscaled, b.unscaled), a.scale),
        std::cmp::Ordering::Less => {
            (join(&(a.unscaled * pow10(b.scale - a.scale)), b.unscaled), b.scale)
        }
        std::cmp::Ordering::Greater => {
            (join(a.unscaled, &(b.unscaled * pow10(a.scale - b.scale))), a.scale)
        }
    };
    Numeric::checked(sum, scale)
}

/// Both numbers as integers at the greater scale.
fn aligned(a: Finite<'_>, b: Finite<'_>) -> (BigInt, BigInt, i64) {
    let scale = a.scale.max(b.scale);
    (a.unscaled * pow10(scale - a.scale), b.unscaled * pow10(scale - b.scale), scale)
}

/// The scale of a quotient: enough for 16 significant digits as PostgreSQL guesses the quotient's weight from the
/// operands' first groups, and not less than either operand's.
pub(super) fn quotient_scale(a: Finite<'_>, b: Finite<'_>) -> i64 {
    let mut weight = a.weight() - b.weight();
    if a.first_group() <= b.first_group() {
        weight -= 1;
    }
    (SIGNIFICANT_DIGITS_MIN - weight * 4).max(a.scale).max(b.scale).clamp(0, DISPLAY_SCALE_MAX)
}

/// `a / b` as an integer at `scale`; `b` is not zero.
pub(super) fn quotient(a: Finite<'_>, b: Finite<'_>, scale: i64, rounding: Rounding) -> BigInt {
    let shift = scale + b.scale - a.scale;
    if shift >= 0 {
        divide_rounded(&(a.unscaled * pow10(shift)), b.unscaled, rounding)
    } else {
        divide_rounded(a.unscaled, &(b.unscaled * pow10(-shift)), rounding)
    }
}

/// Whether the digits cut off by a negative `shift` are worth at least a quarter.
fn fraction_is_over_quarter(a: Finite<'_>, shift: i64) -> bool {
    let unit = pow10(-shift);
    (a.unscaled % &unit) * 4 >= unit
}

/// `from × … × to`, by halves so that the factors stay alike in size.
fn product_of_range(from: u64, to: u64) -> BigInt {
    if to - from < 8 {
        return (from..=to).fold(BigInt::one(), |product, factor| product * factor);
    }
    let middle = from + (to - from) / 2;
    product_of_range(from, middle) * product_of_range(middle + 1, to)
}
