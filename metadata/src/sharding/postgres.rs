//! PostgreSQL's partition hash: the extended hash functions of the types' default hash operator classes under the seed
//! that partitioning uses, combined over the key's columns.
//!
//! The bytes are hashed by Bob Jenkins' lookup3 (public domain, 2006) as PostgreSQL 15 initialises it; text is hashed as
//! with a deterministic collation. `tests/make_postgres_vectors.sh` takes vectors from a server.

use super::key::KeyPart;

/// The seed of all hash partitioning.
const PARTITION_SEED: u64 = 0x7A5B_2236_7996_DCFD;

/// Hashes a key of a hash-partitioned table. Its remainder by the modulus names the partition.
pub(super) fn partition_hash(key: &[KeyPart]) -> u64 {
    key.iter().fold(0, |row, part| combine(row, hash_part(part, PARTITION_SEED)))
}

fn combine(row: u64, part: u64) -> u64 {
    row ^ part.wrapping_add(0x49A0_F4DD_15E5_A8E3).wrapping_add(row << 54).wrapping_add(row >> 7)
}

fn hash_part(part: &KeyPart, seed: u64) -> u64 {
    match part {
        KeyPart::Bool(value) => hash_word(u32::from(*value), seed),
        KeyPart::Int(value)
        | KeyPart::Time(value)
        | KeyPart::Timestamp(value)
        | KeyPart::Timestamptz(value) => hash_integer(*value, seed),
        KeyPart::Date(value) => hash_integer(i64::from(*value), seed),
        KeyPart::Text(value) => hash_bytes(value.as_bytes(), seed),
        KeyPart::Bytes(value) => hash_bytes(value, seed),
        KeyPart::Uuid(value) => hash_bytes(value, seed),
        KeyPart::Numeric(value) => hash_numeric(value, seed),
    }
}

/// All integer types hash alike: the upper half is folded into the lower so that a small value's upper half vanishes.
fn hash_integer(value: i64, seed: u64) -> u64 {
    let (low, high) = halves(value.cast_unsigned());
    hash_word(low ^ if value < 0 { !high } else { high }, seed)
}

/// Digits to the base 10,000 without zeros at either end, with their weight; the sign is not part of it.
fn hash_numeric(text: &str, seed: u64) -> u64 {
    let digits = text.trim_start_matches('-');
    if digits.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return seed;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let aligned = format!(
        "{}{whole}{fraction}{}",
        "0".repeat((4 - whole.len() % 4) % 4),
        "0".repeat((4 - fraction.len() % 4) % 4)
    );
    let group = |group: &[u8]| {
        group
            .iter()
            .fold(0_u16, |value, digit| value * 10 + u16::from(digit.wrapping_sub(b'0').min(9)))
    };
    let groups = aligned.as_bytes().chunks(4).map(group).collect::<Vec<_>>();
    let Some(first) = groups.iter().position(|group| *group != 0) else {
        return seed.wrapping_sub(1);
    };
    let last = groups.iter().rposition(|group| *group != 0).unwrap_or(first);
    let weight = whole.len().div_ceil(4) as i64 - 1 - first as i64;
    let bytes =
        groups[first..=last].iter().flat_map(|group| group.to_le_bytes()).collect::<Vec<_>>();
    hash_bytes(&bytes, seed) ^ weight.cast_unsigned()
}

fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & 0xFFFF_FFFF).expect("masked to 32 bits");
    let high = u32::try_from(value >> 32).expect("shifted to 32 bits");
    (low, high)
}

/// The three words of lookup3's state.
struct State {
    a: u32,
    b: u32,
    c: u32,
}

impl State {
    fn new(length: usize, seed: u64) -> Self {
        let (length, _) = halves(length as u64);
        let start = 0x9E37_79B9_u32.wrapping_add(length).wrapping_add(3_923_095);
        let mut state = Self { a: start, b: start, c: start };
        if seed != 0 {
            let (low, high) = halves(seed);
            state.a = state.a.wrapping_add(high);
            state.b = state.b.wrapping_add(low);
            state.mix();
        }
        state
    }

    fn mix(&mut self) {
        let Self { a, b, c } = self;
        let step = |x: &mut u32, y: &mut u32, z: &mut u32, turn: u32| {
            *x = x.wrapping_sub(*z) ^ z.rotate_left(turn);
            *z = z.wrapping_add(*y);
        };
        step(a, b, c, 4);
        step(b, c, a, 6);
        step(c, a, b, 8);
        step(a, b, c, 16);
        step(b, c, a, 19);
        step(c, a, b, 4);
    }

    fn finish(mut self) -> u64 {
        let Self { a, b, c } = &mut self;
        let step =
            |x: &mut u32, y: &u32, turn: u32| *x = (*x ^ *y).wrapping_sub(y.rotate_left(turn));
        step(c, b, 14);
        step(a, c, 11);
        step(b, a, 25);
        step(c, b, 16);
        step(a, c, 4);
        step(b, a, 14);
        step(c, b, 24);
        (u64::from(self.b) << 32) | u64::from(self.c)
    }
}

fn hash_word(word: u32, seed: u64) -> u64 {
    let mut state = State::new(4, seed);
    state.a = state.a.wrapping_add(word);
    state.finish()
}

fn hash_bytes(bytes: &[u8], seed: u64) -> u64 {
    let mut state = State::new(bytes.len(), seed);
    let word =
        |bytes: &[u8]| bytes.iter().rev().fold(0, |word: u32, byte| (word << 8) | u32::from(*byte));
    let (chunks, rest) = bytes.as_chunks::<12>();
    for chunk in chunks {
        state.a = state.a.wrapping_add(word(&chunk[..4]));
        state.b = state.b.wrapping_add(word(&chunk[4..8]));
        state.c = state.c.wrapping_add(word(&chunk[8..]));
        state.mix();
    }
    let part = |from: usize, to: usize| word(&rest[rest.len().min(from)..rest.len().min(to)]);
    state.a = state.a.wrapping_add(part(0, 4));
    state.b = state.b.wrapping_add(part(4, 8));
    // The lowest byte of the last word is left to the length.
    state.c = state.c.wrapping_add(part(8, 11) << 8);
    state.finish()
}
