//! Powers, exponentials and logarithms with PostgreSQL's result scales.
//!
//! PostgreSQL chooses the scale first, by an estimate of the result's size, and then computes to a few guard digits
//! more. The same scales are chosen here; the value is computed in binary fixed point with at least twenty decimal
//! guard digits and rounded once.

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::arithmetic::{DISPLAY_SCALE_MAX, Finite, SIGNIFICANT_DIGITS_MIN, quotient};
use super::{Numeric, Rounding, decimal_digits, divide_rounded, overflows, pow10};
use crate::error::{PgError, Result};

/// The base-10 logarithm of e, to as many digits as PostgreSQL's estimates take.
#[expect(clippy::approx_constant, reason = "the estimate must come out as PostgreSQL's does")]
const LOG10_E: f64 = 0.434_294_481_903_252;
/// `exp`'s argument beyond which the result is zero or an overflow.
const EXPONENT_MAX: f64 = 6000.0;
/// Decimal digits computed beyond those shown.
const GUARD_DIGITS: i64 = 20;

impl Numeric {
    /// `exp(a)`.
    ///
    /// # Errors
    /// `22003`.
    pub fn exp(&self) -> Result<Self> {
        let Some(a) = self.finite() else {
            return Ok(if *self == Self::NegativeInfinity { Self::zero() } else { self.clone() });
        };
        let estimate = self.to_f64_clamped();
        let places = (estimate * LOG10_E).clamp(-2000.0, 2000.0);
        let scale =
            (SIGNIFICANT_DIGITS_MIN - whole(places)).max(a.scale).clamp(0, DISPLAY_SCALE_MAX);
        exp_finite(a, estimate, scale)
    }

    /// `ln(a)`.
    ///
    /// # Errors
    /// `2201E` for zero and below.
    pub fn ln(&self) -> Result<Self> {
        check_logarithm(self)?;
        let Some(a) = self.finite() else { return Ok(self.clone()) };
        let scale =
            (SIGNIFICANT_DIGITS_MIN - logarithm_place(a)).max(a.scale).clamp(0, DISPLAY_SCALE_MAX);
        Self::checked(ln_rounded(a, scale), scale)
    }

    /// `log(base, a)`.
    ///
    /// # Errors
    /// `2201E` for zero and below, `22012` for the base 1.
    pub fn log(base: &Self, number: &Self) -> Result<Self> {
        if base.is_nan() || number.is_nan() {
            return Ok(Self::NaN);
        }
        if base.finite().is_none() || number.finite().is_none() {
            // With an infinite operand, signs are looked at before zeros.
            if base.signum() < 0 || number.signum() < 0 {
                return Err(logarithm_of_negative());
            }
        }
        check_logarithm(base)?;
        check_logarithm(number)?;
        let (b, a) = match (base.finite(), number.finite()) {
            (Some(b), Some(a)) => (b, a),
            (None, None) => return Ok(Self::NaN),
            (None, Some(_)) => return Ok(Self::zero()),
            (Some(_), None) => return Ok(Self::PositiveInfinity),
        };
        let base_place = logarithm_place(b);
        let number_place = logarithm_place(a);
        let scale = (SIGNIFICANT_DIGITS_MIN - (number_place - base_place))
            .max(b.scale)
            .max(a.scale)
            .clamp(0, DISPLAY_SCALE_MAX);
        // Enough digits of both logarithms that the quotient is right to `scale` and the guard digits.
        let digits = scale + number_place.abs() + base_place.abs() * 2 + GUARD_DIGITS;
        let ln_base = ln_rounded(b, digits);
        if ln_base.is_zero() {
            return Err(PgError::division_by_zero());
        }
        let ln_number = ln_rounded(a, digits);
        let ratio = quotient(
            Finite { unscaled: &ln_number, scale: digits },
            Finite { unscaled: &ln_base, scale: digits },
            scale,
            Rounding::HalfAway,
        );
        Self::checked(ratio, scale)
    }

    /// `power(a, b)`.
    ///
    /// # Errors
    /// `2201F` for zero to a negative power and a negative number to a fraction, `22003`.
    pub fn power(&self, exponent: &Self) -> Result<Self> {
        let one = || Ok(Self::from(1));
        if self.is_nan() || exponent.is_nan() {
            let is_one = !self.is_nan() && self.compare(&Self::from(1)).is_eq();
            let to_zero = !exponent.is_nan() && exponent.signum() == 0;
            return if is_one || to_zero { one() } else { Ok(Self::NaN) };
        }
        let sign = self.signum();
        let exponent_sign = exponent.signum();
        if sign == 0 && exponent_sign < 0 {
            return Err(PgError::new("2201F", "zero raised to a negative power is undefined"));
        }
        if sign < 0 && exponent.finite().is_some_and(|e| !is_integral(e)) {
            return Err(PgError::new(
                "2201F",
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        match (self.finite(), exponent.finite()) {
            (Some(a), Some(e)) => power_finite(a, e),
            (Some(_), None) => {
                let magnitude = self.abs().compare(&Self::from(1));
                if self.compare(&Self::from(1)).is_eq() || (sign < 0 && magnitude.is_eq()) {
                    one()
                } else if sign == 0 || magnitude.is_gt() != (exponent_sign > 0) {
                    Ok(Self::zero())
                } else {
                    Ok(Self::PositiveInfinity)
                }
            }
            (None, _) if exponent_sign == 0 => one(),
            (None, _) if exponent_sign < 0 => Ok(Self::zero()),
            (None, None) => Ok(Self::PositiveInfinity),
            (None, Some(e)) => Ok(if sign < 0 && is_odd(e) {
                Self::NegativeInfinity
            } else {
                Self::PositiveInfinity
            }),
        }
    }
}

fn logarithm_of_negative() -> PgError {
    PgError::new("2201E", "cannot take logarithm of a negative number")
}

fn check_logarithm(number: &Numeric) -> Result<()> {
    match number.signum() {
        sign if sign < 0 => Err(logarithm_of_negative()),
        0 => Err(PgError::new("2201E", "cannot take logarithm of zero")),
        _ => Ok(()),
    }
}

/// A double's integer part, as C's cast takes it. The callers' doubles are small.
#[expect(clippy::cast_possible_truncation, reason = "cutting the fraction off is what is wanted")]
fn whole(value: f64) -> i64 {
    value as i64
}

fn is_integral(number: Finite<'_>) -> bool {
    number.unscaled.is_multiple_of(&pow10(number.scale))
}

fn is_odd(number: Finite<'_>) -> bool {
    is_integral(number) && (number.unscaled / pow10(number.scale)).is_odd()
}

/// The power of ten of `ln(number)`'s first digit, as PostgreSQL estimates it; the number is positive.
fn logarithm_place(number: Finite<'_>) -> i64 {
    let one = pow10(number.scale);
    let tenth = Finite { unscaled: &(number.unscaled * 10), scale: number.scale };
    if *tenth.unscaled >= &one * 9 && *tenth.unscaled <= &one * 11 {
        // Near one the logarithm is about the distance from one.
        let distance = number.unscaled - &one;
        return if distance.is_zero() {
            0
        } else {
            Finite { unscaled: &distance, scale: number.scale }.leading_place()
        };
    }
    let (groups, weight) = groups_of(number);
    let mut leading = f64::from(groups.first().copied().unwrap_or(0));
    let mut place = weight * 4;
    if let Some(second) = groups.get(1) {
        leading = leading * 10_000.0 + f64::from(*second);
        place -= 4;
    }
    #[expect(clippy::cast_precision_loss, reason = "places are far below 2^53")]
    let estimate = leading.ln() + place as f64 * std::f64::consts::LN_10;
    whole(estimate.abs().log10())
}

fn groups_of(number: Finite<'_>) -> (Vec<u16>, i64) {
    let scale = u16::try_from(number.scale).expect("the scale of a numeric is below 16,384");
    let (groups, weight) = crate::io::binary::base_10000(number.unscaled.magnitude(), scale);
    (groups, i64::from(weight))
}

fn exp_finite(a: Finite<'_>, estimate: f64, scale: i64) -> Result<Numeric> {
    if estimate.abs() >= EXPONENT_MAX {
        if estimate > 0.0 {
            return Err(overflows());
        }
        return Numeric::checked(BigInt::zero(), scale);
    }
    let integer_digits = whole((estimate * LOG10_E).max(0.0)) + 2;
    let bits = bits_for(scale + integer_digits + GUARD_DIGITS);
    let argument = to_fixed(a, bits + 16);
    Numeric::checked(exp_rounded(&argument, bits, scale), scale)
}

/// `base^exponent` with PostgreSQL's scale; special cases have been answered, zero to a negative power refused.
fn power_finite(base: Finite<'_>, exponent: Finite<'_>) -> Result<Numeric> {
    if is_integral(exponent)
        && let Some(times) = (exponent.unscaled / pow10(exponent.scale)).to_i32()
    {
        let scale = SIGNIFICANT_DIGITS_MIN.max(base.scale).min(DISPLAY_SCALE_MAX);
        return power_integer(base, times, scale);
    }
    if base.unscaled.is_zero() {
        return Numeric::checked(BigInt::zero(), SIGNIFICANT_DIGITS_MIN);
    }
    let negative = base.signum() < 0 && is_odd(exponent);
    let magnitude = base.unscaled.abs();
    let base = Finite { unscaled: &magnitude, scale: base.scale };
    let ln_place = logarithm_place(base);
    // exponent × ln(base), roughly, says how large the result is.
    let rough_digits = (8 - ln_place).max(0);
    let product = divide_rounded(
        &(ln_rounded(base, rough_digits) * exponent.unscaled),
        &pow10(exponent.scale),
        Rounding::HalfAway,
    );
    let estimate = scaled_to_f64(&product, rough_digits);
    if estimate.abs() > EXPONENT_MAX / 3.0 * 3.01 {
        if estimate > 0.0 {
            return Err(overflows());
        }
        return Numeric::checked(BigInt::zero(), DISPLAY_SCALE_MAX);
    }
    let places = whole(estimate * LOG10_E);
    let scale = (SIGNIFICANT_DIGITS_MIN - places)
        .max(base.scale)
        .max(exponent.scale)
        .clamp(0, DISPLAY_SCALE_MAX);
    let digits = scale + places.max(0) + 8 + GUARD_DIGITS;
    let exponent_digits = (decimal_digits(exponent.unscaled) - exponent.scale).max(0);
    let ln_base = ln_rounded(base, digits + exponent_digits);
    let argument = ln_base * exponent.unscaled;
    let argument =
        divide_rounded(&argument, &pow10(exponent.scale + exponent_digits), Rounding::HalfAway);
    let argument = Finite { unscaled: &argument, scale: digits };
    if estimate.abs() >= EXPONENT_MAX {
        if estimate > 0.0 {
            return Err(overflows());
        }
        return Numeric::checked(BigInt::zero(), scale);
    }
    let integer_digits = places.max(0) + 2;
    let bits = bits_for(scale + integer_digits + GUARD_DIGITS);
    let result = exp_rounded(&to_fixed(argument, bits + 16), bits, scale);
    Numeric::checked(if negative { -result } else { result }, scale)
}

/// `value × 10^-scale` as a double.
fn scaled_to_f64(value: &BigInt, scale: i64) -> f64 {
    format!("{value}e{}", -scale).parse().unwrap_or(f64::NAN)
}

/// Repeated squaring, keeping more digits than the result shows.
fn power_integer(base: Finite<'_>, times: i32, scale: i64) -> Result<Numeric> {
    let one = Finite { unscaled: &BigInt::one(), scale: 0 };
    let rounded = |unscaled: &BigInt, from: i64| {
        quotient(Finite { unscaled, scale: from }, one, scale, Rounding::HalfAway)
    };
    match times {
        0 => return Numeric::checked(pow10(scale), scale),
        1 => return Numeric::checked(rounded(base.unscaled, base.scale), scale),
        -1 => {
            if base.unscaled.is_zero() {
                return Err(PgError::division_by_zero());
            }
            return Numeric::checked(quotient(one, base, scale, Rounding::HalfAway), scale);
        }
        2 => {
            let square = base.unscaled * base.unscaled;
            return Numeric::checked(rounded(&square, base.scale * 2), scale);
        }
        _ => {}
    }
    if base.unscaled.is_zero() {
        return Numeric::checked(BigInt::zero(), scale);
    }
    let (groups, weight) = groups_of(base);
    let mut leading = f64::from(groups.first().copied().unwrap_or(0));
    let mut place = weight * 4;
    for group in groups.iter().take(4).skip(1) {
        leading = leading * 10_000.0 + f64::from(*group);
        place -= 4;
    }
    #[expect(clippy::cast_precision_loss, reason = "places are far below 2^53")]
    let places = f64::from(times) * (leading.log10() + place as f64);
    if places > 3.0 * 32_767.0 * 4.0 {
        return Err(overflows());
    }
    #[expect(clippy::cast_precision_loss, reason = "scales are at most 1,000")]
    let underflows = places + 1.0 < -(scale as f64);
    if underflows {
        return Numeric::checked(BigInt::zero(), scale);
    }
    let significant = (1 + scale + whole(places)).max(1) + GUARD_DIGITS + 12;
    let mut result = (BigInt::one(), 0_i64);
    let mut square = (base.unscaled.clone(), base.scale);
    let mut remaining = times.unsigned_abs();
    let shorten = |(value, scale): (BigInt, i64)| {
        let excess = decimal_digits(&value) - significant;
        if excess > 0 {
            (divide_rounded(&value, &pow10(excess), Rounding::HalfAway), scale - excess)
        } else {
            (value, scale)
        }
    };
    let too_large = |(value, scale): &(BigInt, i64)| decimal_digits(value) - scale > 131_073;
    loop {
        if remaining & 1 == 1 {
            result = shorten((&result.0 * &square.0, result.1 + square.1));
        }
        remaining >>= 1;
        if too_large(&result) || (remaining > 0 && too_large(&square)) {
            if times > 0 {
                return Err(overflows());
            }
            return Numeric::checked(BigInt::zero(), scale);
        }
        if remaining == 0 {
            break;
        }
        square = shorten((&square.0 * &square.0, square.1 * 2));
    }
    let (value, from) = result;
    let value = if times < 0 {
        quotient(one, Finite { unscaled: &value, scale: from }, scale, Rounding::HalfAway)
    } else {
        rounded(&value, from)
    };
    Numeric::checked(value, scale)
}

/// The bits of a fixed-point fraction that hold so many decimal digits.
fn bits_for(digits: i64) -> u64 {
    u64::try_from(digits.max(1)).unwrap_or(1) * 3322 / 1000 + 64
}

/// The number as binary fixed point.
fn to_fixed(number: Finite<'_>, bits: u64) -> BigInt {
    let shifted: BigInt = number.unscaled << bits;
    if number.scale >= 0 { shifted / pow10(number.scale) } else { shifted * pow10(-number.scale) }
}

/// `value × 2^-bits` as an integer at a decimal scale, rounded half away from zero.
fn from_fixed(value: &BigInt, bits: u64, scale: i64) -> BigInt {
    divide_rounded(&(value * pow10(scale)), &(BigInt::one() << bits), Rounding::HalfAway)
}

/// `2 atanh(y)`, all in fixed point, for a small `y`.
fn twice_atanh(y: &BigInt, bits: u64) -> BigInt {
    let square: BigInt = (y * y) >> bits;
    let mut power = y.clone();
    let mut sum = y.clone();
    let mut divisor = 3_u64;
    loop {
        power = (power * &square) >> bits;
        let term = &power / divisor;
        if term.is_zero() {
            return sum << 1_u32;
        }
        sum += term;
        divisor += 2;
    }
}

fn ln_two(bits: u64) -> BigInt {
    // ln 2 = 2 atanh(1/3)
    let guarded = bits + 32;
    let third: BigInt = (BigInt::one() << guarded) / 3;
    let mut power = third.clone();
    let mut sum = third;
    let mut divisor = 3_u64;
    while !power.is_zero() {
        power /= 9;
        sum += &power / divisor;
        divisor += 2;
    }
    sum >> 31_u32
}

/// `ln(number)` as an integer at a decimal scale; the number is positive.
fn ln_rounded(number: Finite<'_>, scale: i64) -> BigInt {
    let halvings = 12_u32;
    let bits = bits_for(scale + GUARD_DIGITS) + u64::from(halvings) + 32;
    // number = fraction × 2^exponent with the fraction within [1/√2, √2] or so.
    let denominator = pow10(number.scale.max(0));
    let numerator = number.unscaled * pow10((-number.scale).max(0));
    let exponent = i64::try_from(numerator.bits()).unwrap_or(0)
        - i64::try_from(denominator.bits()).unwrap_or(0);
    let shift = i64::try_from(bits).unwrap_or(i64::MAX) - exponent;
    let fraction = if shift >= 0 {
        (numerator << shift.unsigned_abs()) / &denominator
    } else {
        numerator / (denominator << shift.unsigned_abs())
    };
    // Each square root halves the logarithm, so that the series needs few terms.
    let one = BigInt::one() << bits;
    let mut root = fraction;
    for _ in 0..halvings {
        root = (root << bits).sqrt();
    }
    let y = ((&root - &one) << bits) / (&root + &one);
    let logarithm = (twice_atanh(&y, bits) << halvings) + ln_two(bits) * exponent;
    from_fixed(&logarithm, bits, scale)
}

/// `e^argument` as an integer at a decimal scale; the argument has 16 bits more than `bits`.
fn exp_rounded(argument: &BigInt, bits: u64, scale: i64) -> BigInt {
    let halvings = 16_u32;
    let wide = bits + 16;
    let ln2 = ln_two(wide);
    let (exponent, rest) = argument.div_mod_floor(&ln2);
    let exponent = exponent.to_i64().unwrap_or(0);
    // e^rest = (e^(rest / 2^halvings))^(2^halvings)
    let inner = wide + u64::from(halvings) * 2;
    let small = rest << (inner - wide - u64::from(halvings));
    let one = BigInt::one() << inner;
    let mut term = one.clone();
    let mut sum = one;
    let mut divisor = 1_u64;
    loop {
        term = ((term * &small) >> inner) / divisor;
        if term.is_zero() {
            break;
        }
        sum += &term;
        divisor += 1;
    }
    for _ in 0..halvings {
        sum = (&sum * &sum) >> inner;
    }
    debug_assert_eq!(sum.sign(), Sign::Plus);
    if exponent >= 0 {
        from_fixed(&(sum << exponent.unsigned_abs()), inner, scale)
    } else {
        from_fixed(&sum, inner + exponent.unsigned_abs(), scale)
    }
}
