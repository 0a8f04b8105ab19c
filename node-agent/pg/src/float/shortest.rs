//! The shortest decimal that reads back as the same float, as PostgreSQL chooses it among several.

/// Significant digits without trailing zeros, and the exponent of the first one.
pub(super) struct Digits {
    /// The digits.
    pub(super) digits: String,
    /// The power of ten of the first one.
    pub(super) exponent: i32,
}

impl Digits {
    /// Takes Rust's `d.ddde±x` apart.
    pub(super) fn of(scientific: &str) -> Self {
        let (mantissa, exponent) =
            scientific.split_once('e').expect("Rust's {:e} always writes an exponent");
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let trimmed = digits.trim_end_matches('0');
        Self {
            digits: if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() },
            exponent: exponent.parse().expect("Rust's {:e} writes a small exponent"),
        }
    }

    /// Where the value lies exactly between two decimals of this length, PostgreSQL writes the one with the even digit;
    /// Rust writes the upper one.
    fn tie_to_even(self, value: f64) -> Self {
        let Ok(number) = self.digits.parse::<u64>() else { return self };
        if number % 2 == 0 {
            return self;
        }
        let length = self.digits.len();
        let exact = format!("{:.*e}", length + 30, value);
        let exact: Vec<u8> =
            exact.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).collect();
        let below = (number - 1).to_string();
        let tie = exact.starts_with(below.as_bytes())
            && exact.get(length) == Some(&b'5')
            && exact[length + 1..].iter().all(|digit| *digit == b'0');
        if tie { Self { digits: below.trim_end_matches('0').to_owned(), ..self } } else { self }
    }

    /// Whether the decimal is exactly halfway between the float of this odd-bits neighbourhood and the next one: then
    /// reading it back relies on rounding to even, and PostgreSQL asks for one digit more.
    fn is_midpoint(&self, mantissa: u64, binary_exponent: i32) -> bool {
        if mantissa % 2 == 1 {
            return false;
        }
        let Ok(mut value) = self.digits.parse::<u128>() else { return false };
        let length = i32::try_from(self.digits.len()).unwrap_or(i32::MAX);
        let ten = self.exponent - (length - 1);
        // value × 10^ten = odd × 2^two, if it is a binary fraction at all.
        let mut two = ten;
        if ten >= 0 {
            if ten > 25 {
                return false;
            }
            value *= 5_u128.pow(ten.unsigned_abs());
        } else {
            for _ in 0..-ten {
                if value % 5 != 0 {
                    return false;
                }
                value /= 5;
            }
        }
        if value == 0 {
            return false;
        }
        let shift = value.trailing_zeros();
        value >>= shift;
        two += i32::try_from(shift).unwrap_or(0);
        let doubled = u128::from(mantissa) * 2;
        two == binary_exponent - 1 && (value == doubled + 1 || value + 1 == doubled)
    }
}

pub(super) fn shortest_float8(value: f64) -> Digits {
    let magnitude = value.abs();
    let shortest = Digits::of(&format!("{magnitude:e}"));
    let bits = magnitude.to_bits();
    let field = i32::try_from(bits >> 52).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) =
        if field == 0 { (fraction, -1074) } else { (fraction | (1 << 52), field - 1075) };
    if !shortest.is_midpoint(mantissa, exponent) {
        // Short results cannot be ties: the value itself would be shorter.
        return if shortest.digits.len() < 15 { shortest } else { shortest.tie_to_even(magnitude) };
    }
    for precision in shortest.digits.len()..17 {
        let candidate = format!("{magnitude:.precision$e}");
        let digits = Digits::of(&candidate);
        if candidate.parse::<f64>().is_ok_and(|read| read.to_bits() == bits)
            && !digits.is_midpoint(mantissa, exponent)
        {
            return digits;
        }
    }
    shortest
}

pub(super) fn shortest_float4(value: f32) -> Digits {
    let magnitude = value.abs();
    let shortest = Digits::of(&format!("{magnitude:e}"));
    let bits = magnitude.to_bits();
    let field = i32::try_from(bits >> 23).unwrap_or(0);
    let fraction = bits & ((1 << 23) - 1);
    let (mantissa, exponent) =
        if field == 0 { (fraction, -149) } else { (fraction | (1 << 23), field - 150) };
    if !shortest.is_midpoint(u64::from(mantissa), exponent) {
        return if shortest.digits.len() < 6 {
            shortest
        } else {
            shortest.tie_to_even(f64::from(magnitude))
        };
    }
    for precision in shortest.digits.len()..9 {
        let candidate = format!("{magnitude:.precision$e}");
        let digits = Digits::of(&candidate);
        if candidate.parse::<f32>().is_ok_and(|read| read.to_bits() == bits)
            && !digits.is_midpoint(u64::from(mantissa), exponent)
        {
            return digits;
        }
    }
    shortest
}
