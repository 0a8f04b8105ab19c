//! Sets of characters. Classes, and what counts as the same letter in another case, are those of the C locale: ASCII's.

/// A set of code points, as sorted ranges that neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CharSet {
    ranges: Vec<(u32, u32)>,
    /// The members below 128, one bit each.
    ascii: u128,
}

/// The last code point.
const LAST: u32 = 0x10_ffff;

impl CharSet {
    /// A set from ranges in any order.
    pub(crate) fn new(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => joined.push((first, last)),
            }
        }
        let ascii = (0..128)
            .filter(|code| joined.iter().any(|(first, last)| (first..=last).contains(&code)))
            .fold(0, |bits, code| bits | 1 << code);
        Self { ranges: joined, ascii }
    }

    /// One character.
    pub(crate) fn single(code: u32) -> Self {
        Self::new(vec![(code, code)])
    }

    /// Every character.
    pub(crate) fn all() -> Self {
        Self::new(vec![(0, LAST)])
    }

    /// Every other character.
    pub(crate) fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for &(first, last) in &self.ranges {
            if next < first {
                ranges.push((next, (first - 1).min(LAST)));
            }
            next = last.saturating_add(1);
        }
        if next <= LAST {
            ranges.push((next, LAST));
        }
        Self::new(ranges)
    }

    /// This set without a newline.
    pub(crate) fn without_newline(&self) -> Self {
        let newline = u32::from('\n');
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        for &(first, last) in &self.ranges {
            if !(first..=last).contains(&newline) {
                ranges.push((first, last));
                continue;
            }
            if first < newline {
                ranges.push((first, newline - 1));
            }
            if newline < last {
                ranges.push((newline + 1, last));
            }
        }
        Self::new(ranges)
    }

    /// This set with the letters' other cases.
    pub(crate) fn fold(&self) -> Self {
        let mut ranges = self.ranges.clone();
        for (first, last, other) in [(b'a', b'z', b'A'), (b'A', b'Z', b'a')] {
            let (first, last, other) = (u32::from(first), u32::from(last), u32::from(other));
            for &(start, end) in &self.ranges {
                let (low, high) = (start.max(first), end.min(last));
                if low <= high {
                    ranges.push((low - first + other, high - first + other));
                }
            }
        }
        Self::new(ranges)
    }

    pub(crate) fn contains(&self, code: u32) -> bool {
        if code < 128 {
            return self.ascii >> code & 1 == 1;
        }
        self.ranges
            .binary_search_by(|(first, last)| {
                if code < *first {
                    std::cmp::Ordering::Greater
                } else if code > *last {
                    std::cmp::Ordering::Less
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_ok()
    }

    pub(crate) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }
}

/// The ranges of a character class by name.
pub(crate) fn class(name: &str) -> Option<Vec<(u32, u32)>> {
    let range = |first: char, last: char| (u32::from(first), u32::from(last));
    Some(match name {
        "alnum" => vec![range('0', '9'), range('A', 'Z'), range('a', 'z')],
        "word" => vec![range('0', '9'), range('A', 'Z'), range('a', 'z'), range('_', '_')],
        "alpha" => vec![range('A', 'Z'), range('a', 'z')],
        "ascii" => vec![(0, 127)],
        "blank" => vec![range('\t', '\t'), range(' ', ' ')],
        "cntrl" => vec![(0, 31), (127, 127)],
        "digit" => vec![range('0', '9')],
        "graph" => vec![range('!', '~')],
        "lower" => vec![range('a', 'z')],
        "print" => vec![range(' ', '~')],
        "punct" => vec![range('!', '/'), range(':', '@'), range('[', '`'), range('{', '~')],
        "space" => vec![(9, 13), range(' ', ' ')],
        "upper" => vec![range('A', 'Z')],
        "xdigit" => vec![range('0', '9'), range('A', 'F'), range('a', 'f')],
        _ => return None,
    })
}

/// Whether the character belongs to words, for the constraints on word boundaries.
pub(crate) fn is_word(code: u32) -> bool {
    u8::try_from(code).is_ok_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
