//! Functions that Rust computes in another way than the C library that PostgreSQL's servers run on: the same method
//! here, so that the last digit agrees.

use std::f64::consts::LN_2;

/// Above it, a number and its square plus one have the same root as far as doubles go: 2^28.
const LARGE: f64 = 268_435_456.0;

/// The inverse hyperbolic sine.
pub(super) fn asinh(x: f64) -> f64 {
    let magnitude = x.abs();
    if !x.is_finite() || magnitude < 1.0 / LARGE {
        return x;
    }
    let result = if magnitude > LARGE {
        magnitude.ln() + LN_2
    } else if magnitude > 2.0 {
        (2.0 * magnitude + 1.0 / ((x * x + 1.0).sqrt() + magnitude)).ln()
    } else {
        let square = x * x;
        (magnitude + square / (1.0 + (1.0 + square).sqrt())).ln_1p()
    };
    result.copysign(x)
}

/// The inverse hyperbolic cosine of a number from 1 on.
pub(super) fn acosh(x: f64) -> f64 {
    if x > LARGE {
        x.ln() + if x.is_finite() { LN_2 } else { 0.0 }
    } else if x > 2.0 {
        (2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt())).ln()
    } else {
        let above = x - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    }
}

/// The inverse hyperbolic tangent of a number within -1..1.
pub(super) fn atanh(x: f64) -> f64 {
    let magnitude = x.abs();
    if magnitude < 1.0 / LARGE {
        return x;
    }
    let twice = magnitude + magnitude;
    let result = if magnitude < 0.5 {
        0.5 * (twice + twice * magnitude / (1.0 - magnitude)).ln_1p()
    } else {
        0.5 * (twice / (1.0 - magnitude)).ln_1p()
    };
    result.copysign(x)
}

/// Factors for the exponent's rest modulo 3: the cube root of 2 to the powers -2 to 2.
const CUBE_ROOT_FACTORS: [f64; 5] = [
    1.0 / 1.587_401_051_968_199_5,
    1.0 / 1.259_921_049_894_873_2,
    1.0,
    1.259_921_049_894_873_2,
    1.587_401_051_968_199_5,
];

/// Coefficients of the first approximation on 0.5..1, the highest power first.
const CUBE_ROOT_SERIES: [f64; 7] = [
    -0.145_263_899_385_486_37,
    0.784_932_344_976_639_2,
    -1.834_692_774_836_130_8,
    2.446_931_225_635_344_4,
    -2.114_994_941_673_713,
    1.508_191_937_815_849,
    0.354_895_765_043_919_84,
];

/// The cube root: a polynomial approximation and one step of Halley's method.
pub(super) fn cbrt(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    // |x| = mantissa × 2^exponent with the mantissa within 0.5..1.
    let scaled = if x.is_subnormal() { x.abs() * 2.0_f64.powi(54) } else { x.abs() };
    let bits = scaled.to_bits();
    let field = i32::try_from(bits >> 52).unwrap_or(0);
    let exponent = field - 1022 - if x.is_subnormal() { 54 } else { 0 };
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1022 << 52));
    let [highest, rest @ ..] = CUBE_ROOT_SERIES;
    let guess = rest.iter().fold(highest, |sum, coefficient| sum * mantissa + coefficient);
    let cube = guess * guess * guess;
    let factor = CUBE_ROOT_FACTORS[usize::try_from(2 + exponent % 3).unwrap_or(2)];
    let root = guess * (cube + 2.0 * mantissa) / (2.0 * cube + mantissa) * factor;
    (root * 2.0_f64.powi(exponent / 3)).copysign(x)
}
