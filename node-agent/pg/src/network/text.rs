//! Addresses as text.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Inet;
use crate::error::{PgError, Result};

/// Reads `inet`, or `cidr`, which may leave out trailing octets and has nothing behind its network part.
///
/// # Errors
/// `22P02`.
pub(crate) fn input(text: &str, is_cidr: bool) -> Result<Inet> {
    let inet = match text.contains(':') {
        true => v6(text),
        false if is_cidr => cidr_v4(text),
        false => v4(text),
    };
    let name = if is_cidr { "cidr" } else { "inet" };
    let inet = inet.ok_or_else(|| PgError::invalid_text(name, text))?;
    if is_cidr && inet.network(inet.bits) != inet {
        return Err(PgError::new("22P02", format!("invalid cidr value: \"{text}\""))
            .with_detail("Value has bits set to right of mask."));
    }
    Ok(inet)
}

fn of_v4(octets: &[u8], bits: u8) -> Inet {
    let mut whole = [0; 4];
    for (place, octet) in whole.iter_mut().zip(octets) {
        *place = *octet;
    }
    Inet { is_v6: false, bits, address: u128::from(u32::from_be_bytes(whole)) }
}

/// Digits without a sign; zeros may lead.
fn number(text: &str, most: u32) -> Option<u8> {
    let digits = text.trim_start_matches('0');
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) || digits.len() > 3 {
        return None;
    }
    let number = if digits.is_empty() { 0 } else { digits.parse::<u32>().ok()? };
    (number <= most).then(|| u8::try_from(number).ok()).flatten()
}

/// The octets between dots, and the number behind a slash.
fn octets(text: &str) -> Option<(Vec<u8>, Option<u8>)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(number(bits, 32)?)),
        None => (text, None),
    };
    let octets = address.split('.').map(|octet| number(octet, 255)).collect::<Option<Vec<u8>>>()?;
    (octets.len() <= 4).then_some((octets, bits))
}

fn v4(text: &str) -> Option<Inet> {
    // A dot may stand behind the last octet.
    let (octets, bits) = match text.split_once('/') {
        Some((address, bits)) => {
            octets(&format!("{}/{bits}", address.strip_suffix('.').unwrap_or(address)))?
        }
        None => octets(text.strip_suffix('.').unwrap_or(text))?,
    };
    let bits = match bits {
        None if octets.len() == 4 => 32,
        None => return None,
        Some(bits) if usize::from(bits / 8) > octets.len() => return None,
        Some(bits) => bits,
    };
    Some(of_v4(&octets, bits))
}

fn cidr_v4(text: &str) -> Option<Inet> {
    let (mut octets, bits) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => hex_octets(hex)?,
        _ => octets(text)?,
    };
    let written = u8::try_from(octets.len() * 8).ok()?;
    let first = *octets.first()?;
    let bits = match bits {
        Some(bits) => bits,
        // The width of the address's class, or of what is written if that is more.
        None => match first {
            240.. => 32,
            224 if written == 8 => 4,
            224..=239 => written.max(8),
            192..=223 => written.max(24),
            128..=191 => written.max(16),
            _ => written.max(8),
        },
    };
    octets.resize(4, 0);
    Some(of_v4(&octets, bits))
}

fn hex_octets(text: &str) -> Option<(Vec<u8>, Option<u8>)> {
    let (digits, bits) = match text.split_once('/') {
        Some((digits, bits)) => (digits, Some(number(bits, 32)?)),
        None => (text, None),
    };
    let digits = if digits.len() % 2 == 1 { format!("{digits}0") } else { digits.to_owned() };
    let octets = hex::decode(digits).ok()?;
    (octets.len() <= 4).then_some((octets, bits))
}

fn v6(text: &str) -> Option<Inet> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => {
            if bits.len() > 1 && bits.starts_with('0') {
                return None;
            }
            (address, number(bits, 128)?)
        }
        None => (text, 128),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    Some(Inet { is_v6: true, bits, address: u128::from(address) })
}

/// Writes an address: `inet` with the network's bits where they are not all, `cidr` always.
pub(crate) fn output(inet: &Inet, is_cidr: bool) -> String {
    let mut text = host(inet);
    if is_cidr || inet.bits < inet.width() {
        text.push_str(&format!("/{}", inet.bits));
    }
    text
}

/// The address without its network's bits.
pub(super) fn host(inet: &Inet) -> String {
    if !inet.is_v6 {
        let address = u32::try_from(inet.address).unwrap_or(0);
        return Ipv4Addr::from(address).to_string();
    }
    let words = Ipv6Addr::from(inet.address).segments();
    let (start, length) = longest_zeros(&words);
    let has_v4 = start == 0
        && (length == 6 || length == 7 && words[7] != 1 || length == 5 && words[5] == 0xffff);
    let mut text = String::new();
    for (place, word) in words.iter().enumerate() {
        if length > 0 && (start..start + length).contains(&place) {
            if place == start {
                text.push(':');
            }
            continue;
        }
        if place > 0 {
            text.push(':');
        }
        if has_v4 && place == 6 {
            let low = u32::try_from(inet.address & u128::from(u32::MAX)).unwrap_or(0);
            text.push_str(&Ipv4Addr::from(low).to_string());
            return text;
        }
        text.push_str(&format!("{word:x}"));
    }
    if length > 0 && start + length == words.len() {
        text.push(':');
    }
    text
}

/// Where the first longest run of at least two zero words is, and its length.
fn longest_zeros(words: &[u16]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut place = 0;
    while place < words.len() {
        let length = words[place..].iter().take_while(|word| **word == 0).count();
        if length > best.1 && length > 1 {
            best = (place, length);
        }
        place += length.max(1);
    }
    best
}

/// A network as short as it can be: without the octets that its bits do not reach.
pub(super) fn abbreviated(cidr: &Inet) -> String {
    if cidr.is_v6 {
        return abbreviated_v6(cidr);
    }
    let network = cidr.network(cidr.bits);
    let address = u32::try_from(network.address).unwrap_or(0);
    let octets = address.to_be_bytes();
    let count = usize::from(cidr.bits.div_ceil(8)).max(1);
    let shown: Vec<String> = octets.iter().take(count).map(u8::to_string).collect();
    format!("{}/{}", shown.join("."), cidr.bits)
}

fn abbreviated_v6(cidr: &Inet) -> String {
    if cidr.bits == 0 {
        return "::/0".to_owned();
    }
    let words = Ipv6Addr::from(cidr.network(cidr.bits).address).segments();
    let count = usize::from(cidr.bits.div_ceil(16)).max(2);
    let words = &words[..count];
    let (start, length) = longest_run(words);
    let bytes = cidr.network(cidr.bits).address.to_be_bytes();
    let has_v4 = length != count
        && start == 0
        && (length == 6
            || length == 5 && words.get(5) == Some(&0xffff)
            || length == 7 && bytes[14] != 0 && bytes[15] != 1);
    let mut text = String::new();
    for (place, word) in words.iter().enumerate() {
        if length > 0 && (start..start + length).contains(&place) {
            if place == start {
                text.push(':');
            }
            if place == count - 1 {
                text.push(':');
            }
            continue;
        }
        let [high, low] = word.to_be_bytes();
        if has_v4 && place > 5 {
            text.push(if place == 6 { ':' } else { '.' });
            text.push_str(&high.to_string());
            if place != 7 || cidr.bits > 120 {
                text.push_str(&format!(".{low}"));
            }
            continue;
        }
        if !text.is_empty() {
            text.push(':');
        }
        text.push_str(&format!("{word:x}"));
    }
    format!("{text}/{}", cidr.bits)
}

/// The run of zero words that is shortened, of any length. A run that is no longer than an earlier one is not forgotten when it
/// ends: the next one goes on counting from it, as PostgreSQL's does.
fn longest_run(words: &[u16]) -> (usize, usize) {
    let (mut best, mut current) = ((0, 0), (0, 0));
    for (place, word) in words.iter().enumerate() {
        if *word == 0 {
            if current.1 == 0 {
                current.0 = place;
            }
            current.1 += 1;
        } else if best.1 < current.1 {
            best = current;
            current.1 = 0;
        }
    }
    if best.1 < current.1 { current } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_cidr: bool, expected: &str) {
        let shown = match input(text, is_cidr) {
            Ok(inet) => output(&inet, is_cidr),
            Err(error) => error.message().to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn addresses() {
        check("192.168.1.5/24", false, "192.168.1.5/24");
        check("192.168.1.5/32", false, "192.168.1.5");
        check("10.1", false, "invalid input syntax for type inet: \"10.1\"");
        check("10.1/16", false, "10.1.0.0/16");
        check("1.2.3.4.", false, "1.2.3.4");
        check("10.1", true, "10.1.0.0/16");
        check("192.168.1.5/24", true, "invalid cidr value: \"192.168.1.5/24\"");
        check("0xc0a8", true, "192.168.0.0/24");
        check("::ffff:1.2.3.4/128", true, "::ffff:1.2.3.4/128");
        check("2001:4f8:3:ba::/64", true, "2001:4f8:3:ba::/64");
        check("1:0:0:2:0:0:0:3", false, "1:0:0:2::3");
        check("::1", false, "::1");
        check("::", false, "::");
    }

    #[test]
    fn networks_are_shortened() {
        let check = |text: &str, expected: &str| {
            assert_eq!(abbreviated(&input(text, true).expect("a network")), expected, "{text}");
        };
        check("10.0.0.0/8", "10/8");
        check("0.0.0.0/0", "0/0");
        check("10.64.0.0/10", "10.64/10");
        check("::/0", "::/0");
        check("2001:4f8::/32", "2001:4f8/32");
    }
}
