//! Trigonometry in degrees, exact at the angles where people expect it.
//!
//! PostgreSQL reduces the angle to the first quadrant and scales the C library's results so that `sind(30)` is 0.5 and
//! `tand(45)` is 1 without an error in the last place. The same steps are taken here, in the same order of rounding.

use std::hint::black_box;

/// One degree in radians.
pub(super) const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

/// The sine up to 30 degrees.
fn sin_to_30(x: f64) -> f64 {
    ((x * RADIANS_PER_DEGREE).sin() / (black_box(30.0) * RADIANS_PER_DEGREE).sin()) / 2.0
}

/// The cosine up to 60 degrees.
fn cos_to_60(x: f64) -> f64 {
    let distance = 1.0 - (x * RADIANS_PER_DEGREE).cos();
    1.0 - (distance / (1.0 - (black_box(60.0) * RADIANS_PER_DEGREE).cos())) / 2.0
}

/// The sine within the first quadrant.
fn sin_quadrant(x: f64) -> f64 {
    if x <= 30.0 { sin_to_30(x) } else { cos_to_60(90.0 - x) }
}

/// The cosine within the first quadrant.
fn cos_quadrant(x: f64) -> f64 {
    if x <= 60.0 { cos_to_60(x) } else { sin_to_30(90.0 - x) }
}

/// An angle within the first quadrant, and the signs that sine and cosine get.
struct Reduced {
    angle: f64,
    sin_sign: f64,
    cos_sign: f64,
}

fn reduce(angle: f64) -> Reduced {
    let mut reduced = Reduced { angle: angle % 360.0, sin_sign: 1.0, cos_sign: 1.0 };
    if reduced.angle < 0.0 {
        reduced.angle = -reduced.angle;
        reduced.sin_sign = -1.0;
    }
    if reduced.angle > 180.0 {
        reduced.angle = 360.0 - reduced.angle;
        reduced.sin_sign = -reduced.sin_sign;
    }
    if reduced.angle > 90.0 {
        reduced.angle = 180.0 - reduced.angle;
        reduced.cos_sign = -1.0;
    }
    reduced
}

/// `sind`.
pub(super) fn sin(x: f64) -> f64 {
    let Reduced { angle, sin_sign, .. } = reduce(x);
    sin_sign * sin_quadrant(angle)
}

/// `cosd`.
pub(super) fn cos(x: f64) -> f64 {
    let Reduced { angle, cos_sign, .. } = reduce(x);
    cos_sign * cos_quadrant(angle)
}

/// `tand`.
pub(super) fn tan(x: f64) -> f64 {
    let Reduced { angle, sin_sign, cos_sign } = reduce(x);
    let tan_45 = sin_quadrant(45.0) / cos_quadrant(45.0);
    let tan = (sin_quadrant(angle) / cos_quadrant(angle)) / tan_45;
    without_negative_zero(sin_sign * cos_sign * tan)
}

/// `cotd`.
pub(super) fn cot(x: f64) -> f64 {
    let Reduced { angle, sin_sign, cos_sign } = reduce(x);
    let cot_45 = cos_quadrant(45.0) / sin_quadrant(45.0);
    let cot = (cos_quadrant(angle) / sin_quadrant(angle)) / cot_45;
    without_negative_zero(sin_sign * cos_sign * cot)
}

fn without_negative_zero(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x }
}

fn asin_quadrant(x: f64) -> f64 {
    if x <= 0.5 {
        (x.asin() / black_box(0.5_f64).asin()) * 30.0
    } else {
        90.0 - (x.acos() / black_box(0.5_f64).acos()) * 60.0
    }
}

fn acos_quadrant(x: f64) -> f64 {
    if x <= 0.5 {
        90.0 - (x.asin() / black_box(0.5_f64).asin()) * 30.0
    } else {
        (x.acos() / black_box(0.5_f64).acos()) * 60.0
    }
}

/// `asind`, over -1..=1.
pub(super) fn asin(x: f64) -> f64 {
    if x >= 0.0 { asin_quadrant(x) } else { -asin_quadrant(-x) }
}

/// `acosd`, over -1..=1.
pub(super) fn acos(x: f64) -> f64 {
    if x >= 0.0 { acos_quadrant(x) } else { 90.0 + asin_quadrant(-x) }
}

/// `atand`.
pub(super) fn atan(x: f64) -> f64 {
    (x.atan() / black_box(1.0_f64).atan()) * 45.0
}

/// `atan2d`.
pub(super) fn atan2(y: f64, x: f64) -> f64 {
    (y.atan2(x) / black_box(1.0_f64).atan()) * 45.0
}
