//! `inet`, `cidr`, `macaddr`, `macaddr8` (the manual's sections 8.9 and 9.12).

mod functions;
mod mac;
mod mac_functions;
mod text;

use std::cmp::Ordering;

use crate::error::{PgError, Result};
use crate::io::binary::insufficient;

pub(crate) use functions::FUNCTIONS;
pub(crate) use mac::{input_mac, input_mac8, output_mac};
pub(crate) use mac_functions::FUNCTIONS as MAC_FUNCTIONS;
pub(crate) use text::{input, output};

/// A value of `inet` or `cidr`: an address and how many of its bits are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Inet {
    /// Whether it is of IPv6.
    pub is_v6: bool,
    /// The bits of the network part, at most [`Inet::width`].
    pub bits: u8,
    /// The address; that of IPv4 stands in the lower 32 bits.
    pub address: u128,
}

/// The numbers that the binary form uses for the families.
const V4: u8 = 2;
const V6: u8 = 3;

impl Inet {
    /// The bits of an address.
    pub fn width(&self) -> u8 {
        if self.is_v6 { 128 } else { 32 }
    }

    /// All bits of an address.
    fn ones(&self) -> u128 {
        if self.is_v6 { u128::MAX } else { u128::from(u32::MAX) }
    }

    /// The network's first so many bits as a mask.
    fn mask(&self, bits: u8) -> u128 {
        let host = u32::from(self.width().saturating_sub(bits));
        self.ones() & u128::MAX.checked_shl(host).unwrap_or(0)
    }

    /// The address with everything behind the first so many bits zero.
    fn network(&self, bits: u8) -> Self {
        Self { bits, address: self.address & self.mask(bits), ..*self }
    }

    /// Whether the first so many bits are another's.
    fn begins_as(&self, other: &Self, bits: u8) -> bool {
        (self.address ^ other.address) & self.mask(bits) == 0
    }

    /// The order of the default operator class: family, the bits that both networks have, the networks' lengths, the whole
    /// address.
    pub fn compare(&self, other: &Self) -> Ordering {
        if self.is_v6 != other.is_v6 {
            return self.is_v6.cmp(&other.is_v6);
        }
        let mask = self.mask(self.bits.min(other.bits));
        (self.address & mask)
            .cmp(&(other.address & mask))
            .then_with(|| self.bits.cmp(&other.bits))
            .then_with(|| self.address.cmp(&other.address))
    }

    /// Appends bytes in that order: each bit of the network as 1 or 2, 0 behind the last, the address.
    pub fn encode_ordered(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_v6));
        for place in 1..=self.bits {
            let shift = u32::from(self.width() - place);
            out.push(if self.address >> shift & 1 == 1 { 2 } else { 1 });
        }
        out.push(0);
        out.extend_from_slice(&self.address.to_be_bytes());
    }

    /// Appends the binary form.
    pub fn encode(&self, is_cidr: bool, out: &mut Vec<u8>) {
        let bytes = self.address.to_be_bytes();
        let address = if self.is_v6 { &bytes[..] } else { &bytes[12..] };
        let family = if self.is_v6 { V6 } else { V4 };
        out.extend_from_slice(&[family, self.bits, u8::from(is_cidr)]);
        out.extend(u8::try_from(address.len()));
        out.extend_from_slice(address);
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// `22P03` for what is none, `08P01` for what ends too early.
    pub fn decode(bytes: &[u8], is_cidr: bool) -> Result<Self> {
        let name = if is_cidr { "cidr" } else { "inet" };
        let wrong = |what: &str| {
            PgError::new("22P03", format!("invalid {what} in external \"{name}\" value"))
        };
        let (&family, rest) = bytes.split_first().ok_or_else(insufficient)?;
        if family != V4 && family != V6 {
            return Err(wrong("address family"));
        }
        let is_v6 = family == V6;
        let (&bits, rest) = rest.split_first().ok_or_else(insufficient)?;
        let (_, rest) = rest.split_first().ok_or_else(insufficient)?;
        let mut inet = Self { is_v6, bits, address: 0 };
        if bits > inet.width() {
            return Err(wrong("bits"));
        }
        let (&length, rest) = rest.split_first().ok_or_else(insufficient)?;
        if length != inet.width() / 8 {
            return Err(wrong("length"));
        }
        if rest.len() < usize::from(length) {
            return Err(insufficient());
        }
        if rest.len() > usize::from(length) {
            return Err(PgError::new("22P03", "incorrect binary data format"));
        }
        inet.address = rest.iter().fold(0, |address, byte| address << 8 | u128::from(*byte));
        if is_cidr && inet.network(bits) != inet {
            return Err(PgError::new("22P03", "invalid external \"cidr\" value")
                .with_detail("Value has bits set to right of mask."));
        }
        Ok(inet)
    }
}
