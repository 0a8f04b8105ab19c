//! Bit strings, `bit(n)` and `varbit(n)` (the manual's sections 8.10 and 9.6).

use std::sync::Arc;

use crate::arguments::{arg, boolean, count, int4, int8};
use crate::error::{PgError, Result};
use crate::io::binary::insufficient;
use crate::registry::{Entry, entry};
use crate::value::Value;

/// The bits that one string holds at most.
const BITS_MAX: usize = 0x7fff_fff8;

/// A bit string: its bits from the highest of the first byte on; those behind the last are zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bits {
    // The order of the fields is that of comparison.
    bytes: Arc<[u8]>,
    length: usize,
}

impl Bits {
    /// Puts bits together.
    pub fn from_bits(bits: impl IntoIterator<Item = bool>) -> Self {
        let mut bytes = Vec::new();
        let mut length = 0;
        for bit in bits {
            if length % 8 == 0 {
                bytes.push(0);
            }
            if bit && let Some(last) = bytes.last_mut() {
                *last |= 0x80 >> (length % 8);
            }
            length += 1;
        }
        Self { bytes: bytes.into(), length }
    }

    /// How many there are.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The bytes that hold them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bits in their order.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.length).map(|place| self.bit(place))
    }

    fn bit(&self, place: usize) -> bool {
        self.bytes.get(place / 8).is_some_and(|byte| byte << (place % 8) & 0x80 != 0)
    }

    /// So many bits from the start; zeros where there are none.
    fn resized(&self, length: usize) -> Self {
        if length == self.length {
            return self.clone();
        }
        Self::from_bits((0..length).map(|place| place < self.length && self.bit(place)))
    }

    /// The bits from one place to another.
    fn part(&self, from: usize, to: usize) -> Self {
        Self::from_bits((from..to.min(self.length)).map(|place| self.bit(place)))
    }

    /// Appends the binary form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let length = i32::try_from(self.length).unwrap_or(i32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }

    /// Reads the binary form; `typmod` is the type's length, if it has one.
    ///
    /// # Errors
    /// `22P03`, `08P01`, `22026`, `22001`.
    pub fn decode(bytes: &[u8], typmod: i32, is_varying: bool) -> Result<Self> {
        let (head, rest) = bytes.split_first_chunk::<4>().ok_or_else(insufficient)?;
        let length = usize::try_from(i32::from_be_bytes(*head))
            .map_err(|_| PgError::new("22P03", "invalid length in external bit string"))?;
        check_length(length, typmod, is_varying)?;
        let wanted = length.div_ceil(8);
        if rest.len() < wanted {
            return Err(insufficient());
        }
        if rest.len() > wanted {
            return Err(PgError::new("22P03", "incorrect binary data format"));
        }
        let whole = Self { bytes: rest.into(), length: wanted * 8 };
        Ok(whole.resized(length))
    }
}

fn check_length(length: usize, typmod: i32, is_varying: bool) -> Result<()> {
    let Some(wanted) = usize::try_from(typmod).ok().filter(|wanted| *wanted > 0) else {
        return Ok(());
    };
    match is_varying {
        true if length > wanted => Err(too_long(typmod)),
        false if length != wanted => Err(other_length(length, typmod)),
        _ => Ok(()),
    }
}

fn too_long(typmod: i32) -> PgError {
    PgError::new("22001", format!("bit string too long for type bit varying({typmod})"))
}

fn other_length(length: usize, typmod: i32) -> PgError {
    PgError::new("22026", format!("bit string length {length} does not match type bit({typmod})"))
}

/// Reads a bit string: binary digits behind an optional `b`, hexadecimal ones behind an `x`.
///
/// # Errors
/// `22P02`, `22026`, `22001`.
pub(crate) fn input(text: &str, typmod: i32, is_varying: bool) -> Result<Bits> {
    let (digits, is_hex) = match text.as_bytes().first() {
        Some(b'b' | b'B') => (&text[1..], false),
        Some(b'x' | b'X') => (&text[1..], true),
        _ => (text, false),
    };
    let length = if is_hex { digits.len().saturating_mul(4) } else { digits.len() };
    if length > BITS_MAX {
        return Err(too_many());
    }
    check_length(length, typmod, is_varying)?;
    let mut bits = Vec::with_capacity(length);
    for digit in digits.chars() {
        if is_hex {
            let value = digit.to_digit(16).ok_or_else(|| {
                let message = format!("\"{digit}\" is not a valid hexadecimal digit");
                PgError::new("22P02", message)
            })?;
            bits.extend((0..4).map(|place| value >> (3 - place) & 1 == 1));
        } else {
            match digit {
                '0' | '1' => bits.push(digit == '1'),
                _ => {
                    let message = format!("\"{digit}\" is not a valid binary digit");
                    return Err(PgError::new("22P02", message));
                }
            }
        }
    }
    Ok(Bits::from_bits(bits))
}

/// Writes the digits.
pub(crate) fn output(bits: &Bits) -> String {
    bits.iter().map(|bit| if bit { '1' } else { '0' }).collect()
}

fn too_many() -> PgError {
    PgError::new("54000", format!("bit string length exceeds the maximum allowed ({BITS_MAX})"))
}

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("bit_and", |_, args| bitwise(args, "AND", |left, right| left & right)),
    entry("bit_or", |_, args| bitwise(args, "OR", |left, right| left | right)),
    entry("bitxor", |_, args| bitwise(args, "XOR", |left, right| left ^ right)),
    entry("bitnot", |_, args| Ok(made(bits(args, 0)?.iter().map(|bit| !bit)))),
    entry("bitshiftleft", |_, args| shift(bits(args, 0)?, i64::from(int4(args, 1)?))),
    entry("bitshiftright", |_, args| shift(bits(args, 0)?, -i64::from(int4(args, 1)?))),
    entry("bitcat", |_, args| {
        let (left, right) = (bits(args, 0)?, bits(args, 1)?);
        Ok(made(left.iter().chain(right.iter())))
    }),
    entry("bitsubstr", |_, args| {
        substring(bits(args, 0)?, int4(args, 1)?, Some(int4(args, 2)?)).map(Value::Bits)
    }),
    entry("bitsubstr_no_len", |_, args| {
        substring(bits(args, 0)?, int4(args, 1)?, None).map(Value::Bits)
    }),
    entry("bitoverlay", |_, args| {
        overlay(bits(args, 0)?, bits(args, 1)?, int4(args, 2)?, int4(args, 3)?)
    }),
    entry("bitoverlay_no_len", |_, args| {
        let replacement = bits(args, 1)?;
        let length = i32::try_from(replacement.length).unwrap_or(i32::MAX);
        overlay(bits(args, 0)?, replacement, int4(args, 2)?, length)
    }),
    entry("bitlength", |_, args| Ok(count(bits(args, 0)?.length))),
    entry("bitoctetlength", |_, args| Ok(count(bits(args, 0)?.bytes.len()))),
    entry("bit_bit_count", |_, args| {
        let ones: i64 = bits(args, 0)?.bytes.iter().map(|byte| i64::from(byte.count_ones())).sum();
        Ok(Value::Int8(ones))
    }),
    entry("bitposition", |_, args| Ok(position(bits(args, 0)?, bits(args, 1)?))),
    entry("bitgetbit", |_, args| {
        let source = bits(args, 0)?;
        let place = checked_place(source, int4(args, 1)?)?;
        Ok(Value::Int4(i32::from(source.bit(place))))
    }),
    entry("bitsetbit", |_, args| {
        let source = bits(args, 0)?;
        let place = checked_place(source, int4(args, 1)?)?;
        let new = match int4(args, 2)? {
            0 => false,
            1 => true,
            _ => return Err(PgError::new("22023", "new bit must be 0 or 1")),
        };
        Ok(made(source.iter().enumerate().map(|(at, bit)| if at == place { new } else { bit })))
    }),
    entry("bitfromint4", |_, args| from_integer(i64::from(int4(args, 0)?), int4(args, 1)?)),
    entry("bitfromint8", |_, args| from_integer(int8(args, 0)?, int4(args, 1)?)),
    entry("bittoint4", |_, args| {
        let number =
            to_integer(bits(args, 0)?, 32).ok_or_else(|| PgError::out_of_range("integer"))?;
        let low = u32::try_from(number).map_err(|_| PgError::out_of_range("integer"))?;
        Ok(Value::Int4(low.cast_signed()))
    }),
    entry("bittoint8", |_, args| {
        let number =
            to_integer(bits(args, 0)?, 64).ok_or_else(|| PgError::out_of_range("bigint"))?;
        Ok(Value::Int8(number.cast_signed()))
    }),
    entry("bit", |_, args| fit(args, false)),
    entry("varbit", |_, args| fit(args, true)),
];

fn bits(args: &[Value], place: usize) -> Result<&Bits> {
    arg(args, place)
}

fn made(bits: impl Iterator<Item = bool>) -> Value {
    Value::Bits(Bits::from_bits(bits))
}

/// Joins two strings of one length bit by bit.
///
/// # Errors
/// `22026`.
pub(crate) fn bitwise(
    args: &[Value],
    name: &str,
    operation: fn(bool, bool) -> bool,
) -> Result<Value> {
    let (left, right) = (bits(args, 0)?, bits(args, 1)?);
    if left.length != right.length {
        let message = format!("cannot {name} bit strings of different sizes");
        return Err(PgError::new("22026", message));
    }
    Ok(made(left.iter().zip(right.iter()).map(|(left, right)| operation(left, right))))
}

/// Shifts to the left, or by a negative distance to the right; the length stays.
fn shift(source: &Bits, distance: i64) -> Result<Value> {
    let length = i64::try_from(source.length).unwrap_or(i64::MAX);
    let at = |place: i64| {
        let from = place.saturating_add(distance);
        usize::try_from(from).is_ok_and(|from| from < source.length && source.bit(from))
    };
    Ok(made((0..length).map(at)))
}

fn substring(source: &Bits, start: i32, length: Option<i32>) -> Result<Bits> {
    let first = usize::try_from(start.max(1) - 1).unwrap_or(0);
    let end = match length {
        None => source.length,
        Some(..0) => {
            return Err(PgError::new("22011", "negative substring length not allowed"));
        }
        Some(length) => match start.checked_add(length) {
            None => source.length,
            Some(end) => usize::try_from(end.saturating_sub(1)).unwrap_or(0),
        },
    };
    Ok(source.part(first, end))
}

fn overlay(source: &Bits, replacement: &Bits, start: i32, length: i32) -> Result<Value> {
    if start <= 0 {
        return Err(PgError::new("22011", "negative substring length not allowed"));
    }
    let end = start.checked_add(length).ok_or_else(|| PgError::out_of_range("integer"))?;
    let before = substring(source, 1, Some(start - 1))?;
    let after = substring(source, end, None)?;
    Ok(made(before.iter().chain(replacement.iter()).chain(after.iter())))
}

fn position(source: &Bits, wanted: &Bits) -> Value {
    if source.length == 0 || wanted.length > source.length {
        return Value::Int4(0);
    }
    let found = (0..=source.length - wanted.length)
        .find(|start| (0..wanted.length).all(|at| source.bit(start + at) == wanted.bit(at)));
    count(found.map_or(0, |start| start + 1))
}

fn checked_place(source: &Bits, place: i32) -> Result<usize> {
    usize::try_from(place).ok().filter(|at| *at < source.length).ok_or_else(|| {
        let last = i64::try_from(source.length).unwrap_or(i64::MAX) - 1;
        PgError::new("2202E", format!("bit index {place} out of valid range (0..{last})"))
    })
}

/// The low bits of a number, its sign in front where more are wanted.
fn from_integer(number: i64, length: i32) -> Result<Value> {
    let length = usize::try_from(length).ok().filter(|length| (1..=BITS_MAX).contains(length));
    let length = length.unwrap_or(1);
    Ok(made((0..length).rev().map(|place| number >> place.min(63) & 1 == 1)))
}

fn to_integer(source: &Bits, most: usize) -> Option<u64> {
    (source.length <= most)
        .then(|| source.iter().fold(0, |number, bit| number << 1 | u64::from(bit)))
}

/// Makes a string fit its type's length: an explicit cast cuts or fills, any other fails.
fn fit(args: &[Value], is_varying: bool) -> Result<Value> {
    let (source, typmod, is_explicit) = (bits(args, 0)?, int4(args, 1)?, boolean(args, 2)?);
    let wanted = usize::try_from(typmod).unwrap_or(0);
    if wanted == 0 || wanted == source.length || is_varying && wanted > source.length {
        return Ok(Value::Bits(source.clone()));
    }
    match (is_explicit, is_varying) {
        (true, _) => Ok(Value::Bits(source.resized(wanted))),
        (false, true) => Err(too_long(typmod)),
        (false, false) => Err(other_length(source.length, typmod)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, operation: fn(&Bits) -> Result<Value>, expected: &str) {
        let source = input(text, -1, true).expect("bits");
        let shown = match operation(&source) {
            Ok(Value::Bits(bits)) => output(&bits),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.message().to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn strings_of_bits() {
        check("xF0a", |bits| Ok(Value::Bits(bits.clone())), "111100001010");
        check("B101", |bits| shift(bits, 1), "010");
        check("101", |bits| shift(bits, -1), "010");
        check("101", |bits| substring(bits, 2, None).map(Value::Bits), "01");
        check("10100", |bits| Ok(position(bits, &Bits::from_bits([false, false]))), "Int4(4)");
        check("", |_| from_integer(-2, 4), "1110");
        check("", |_| from_integer(-1, 70), &"1".repeat(70));
        assert!(Bits::from_bits([true]) < Bits::from_bits([true, false]));
        assert!(Bits::from_bits([true]) > Bits::from_bits([false, true, true]));
        let error = input("12", -1, false).expect_err("2 is no digit");
        assert_eq!(error.message(), "\"2\" is not a valid binary digit");
    }
}
