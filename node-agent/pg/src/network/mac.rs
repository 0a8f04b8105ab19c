//! MAC addresses as text.

use crate::error::{PgError, Result};

/// The forms of `macaddr` that are tried one after the other: the most digits of a group, and what stands behind each group.
const FORMS: &[(usize, [Option<u8>; 5])] = &[
    (usize::MAX, [Some(b':'); 5]),
    (usize::MAX, [Some(b'-'); 5]),
    (2, [None, None, Some(b':'), None, None]),
    (2, [None, None, Some(b'-'), None, None]),
    (2, [None, Some(b'.'), None, Some(b'.'), None]),
    (2, [None, Some(b'-'), None, Some(b'-'), None]),
    (2, [None; 5]),
];

/// Reads `macaddr`.
///
/// # Errors
/// `22P02`, or `22003` for a group beyond a byte.
pub(crate) fn input_mac(text: &str) -> Result<[u8; 6]> {
    let groups = FORMS
        .iter()
        .find_map(|(most, separators)| scan(text.as_bytes(), *most, separators))
        .ok_or_else(|| PgError::invalid_text("macaddr", text))?;
    let mut mac = [0; 6];
    for (byte, group) in mac.iter_mut().zip(groups) {
        *byte = u8::try_from(group).map_err(|_| {
            PgError::new("22003", format!("invalid octet value in \"macaddr\" value: \"{text}\""))
        })?;
    }
    Ok(mac)
}

/// Six groups with their separators and nothing but blanks behind them.
fn scan(mut rest: &[u8], most: usize, separators: &[Option<u8>; 5]) -> Option<[u32; 6]> {
    let mut groups = [0; 6];
    for (place, group) in groups.iter_mut().enumerate() {
        *group = hexadecimal(&mut rest, most)?;
        if let Some(Some(separator)) = separators.get(place) {
            rest = rest.strip_prefix(&[*separator])?;
        }
    }
    rest.iter().all(|byte| is_space(*byte)).then_some(groups)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A number as C's `scanf` reads it with `%x`: blanks, a sign and `0x` may stand before it.
fn hexadecimal(rest: &mut &[u8], most: usize) -> Option<u32> {
    let start = rest.iter().position(|byte| !is_space(*byte))?;
    let mut field = &rest[start..];
    field = &field[..field.len().min(most)];
    let mut taken = 0;
    let is_negative = match field.first() {
        Some(sign @ (b'-' | b'+')) => {
            taken += 1;
            *sign == b'-'
        }
        _ => false,
    };
    if field[taken..].starts_with(b"0x") || field[taken..].starts_with(b"0X") {
        taken += 2;
    }
    let digits = field[taken..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 {
        return None;
    }
    let text = std::str::from_utf8(&field[taken..taken + digits]).ok()?;
    let number = u64::from_str_radix(text, 16).unwrap_or(u64::MAX);
    let number = if is_negative { number.wrapping_neg() } else { number };
    *rest = &rest[start + taken + digits..];
    // Only the low half is kept.
    u32::try_from(number & u64::from(u32::MAX)).ok()
}

/// Reads `macaddr8`, also from six bytes.
///
/// # Errors
/// `22P02`.
pub(crate) fn input_mac8(text: &str) -> Result<[u8; 8]> {
    let wrong = || PgError::invalid_text("macaddr8", text);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first()
        && is_space(*first)
    {
        rest = after;
    }
    let mut bytes = Vec::with_capacity(8);
    let mut spacer = None;
    // A single character at the end is not looked at.
    while rest.len() >= 2 {
        if bytes.len() == 8 {
            return Err(wrong());
        }
        let mut byte = [0];
        hex::decode_to_slice(&rest[..2], &mut byte).map_err(|_| wrong())?;
        bytes.push(byte[0]);
        rest = &rest[2..];
        if let Some(separator @ (b':' | b'-' | b'.')) = rest.first() {
            if *spacer.get_or_insert(*separator) != *separator {
                return Err(wrong());
            }
            rest = &rest[1..];
        }
        if (bytes.len() == 6 || bytes.len() == 8) && rest.first().is_some_and(|b| is_space(*b)) {
            if !rest.iter().all(|byte| is_space(*byte)) {
                return Err(wrong());
            }
            rest = &[];
        }
    }
    match bytes.as_slice() {
        [a, b, c, d, e, f] => Ok([*a, *b, *c, 0xff, 0xfe, *d, *e, *f]),
        eight => <[u8; 8]>::try_from(eight).map_err(|_| wrong()),
    }
}

/// Writes either kind.
pub(crate) fn output_mac(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    shown.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match input_mac(text) {
            Ok(mac) => output_mac(&mac),
            Err(error) => error.sqlstate().to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn every_form_is_read() {
        for text in [
            "08:00:2b:01:02:03",
            "08-00-2b-01-02-03",
            "08002b:010203",
            "08002b-010203",
            "0800.2b01.0203",
            "0800-2b01-0203",
            "08002b010203",
            "8:0:2b:1:2:3",
        ] {
            check(text, "08:00:2b:01:02:03");
        }
        check("08:00:2b:01:02", "22P02");
        check("100:00:2b:01:02:03", "22003");
        assert_eq!(input_mac8("08-00-2b-01-02-03"), Ok([8, 0, 0x2b, 0xff, 0xfe, 1, 2, 3]));
        assert!(input_mac8("08-00:2b").is_err());
    }
}
