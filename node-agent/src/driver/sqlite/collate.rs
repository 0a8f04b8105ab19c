//! The collations under which stored forms compare as PostgreSQL's values do.

use std::cmp::Ordering;

use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Interval;
use dataman_pg::{Context, catalog, io, order};
use rusqlite::Connection;

use crate::driver::sql::stored::{ARRAY, INTERVAL, JSONB, NUMERIC, parse_interval};

/// Registers all of them.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_collation(NUMERIC, compare_numeric)?;
    connection.create_collation(INTERVAL, compare_interval)?;
    connection.create_collation(JSONB, |left, right| {
        compare_values(left, right, left, right, TypeId::JSONB)
    })?;
    connection.create_collation(ARRAY, compare_array)?;
    Ok(())
}

/// Compares decimal texts as numbers: `-Infinity`, the finite ones, `Infinity`, `NaN`.
pub(super) fn compare_numeric(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let rank = |text: &str| match text.as_bytes().first() {
        Some(b'N') => 3,
        Some(b'I') => 2,
        Some(b'-') if text.as_bytes().get(1) == Some(&b'I') => 0,
        _ => 1,
    };
    match rank(left).cmp(&rank(right)) {
        Ordering::Equal if rank(left) == 1 => {}
        decided => return decided,
    }
    let (left_negative, left_digits) = sign(left);
    let (right_negative, right_digits) = sign(right);
    match (left_negative, right_negative) {
        (true, true) => compare_digits(right_digits, left_digits),
        (false, false) => compare_digits(left_digits, right_digits),
        // A zero bears no sign in PostgreSQL's text form.
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    }
}

fn compare_digits(left: &str, right: &str) -> Ordering {
    let split = |text: &'_ str| -> (usize, usize) {
        let point = text.find('.').unwrap_or(text.len());
        let zeros = text.as_bytes()[..point].iter().take_while(|digit| **digit == b'0').count();
        (zeros, point)
    };
    let ((left_from, left_point), (right_from, right_point)) = (split(left), split(right));
    let (left_whole, right_whole) = (&left[left_from..left_point], &right[right_from..right_point]);
    left_whole
        .len()
        .cmp(&right_whole.len())
        .then_with(|| left_whole.as_bytes().cmp(right_whole.as_bytes()))
        .then_with(|| {
            let fraction = |text: &str, point: usize| -> Vec<u8> {
                text.as_bytes().get(point + 1..).unwrap_or_default().to_vec()
            };
            let (mut left, mut right) = (fraction(left, left_point), fraction(right, right_point));
            let length = left.len().max(right.len());
            left.resize(length, b'0');
            right.resize(length, b'0');
            left.cmp(&right)
        })
}

/// Compares by estimated length: a month has 30 days, a day 24 hours.
fn compare_interval(left: &str, right: &str) -> Ordering {
    match (parse_interval(left), parse_interval(right)) {
        (Some(left), Some(right)) => span(left).cmp(&span(right)),
        _ => left.cmp(right),
    }
}

fn span(interval: Interval) -> i128 {
    const DAY_US: i128 = 86_400_000_000;
    i128::from(interval.time_us)
        + (i128::from(interval.months) * 30 + i128::from(interval.days)) * DAY_US
}

fn compare_array(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let parts = |text: &'_ str| -> Option<(u32, usize)> {
        let (element, _) = text.split_once(':')?;
        Some((element.parse().ok()?, element.len() + 1))
    };
    match (parts(left), parts(right)) {
        (Some((element, left_from)), Some((other, right_from))) if element == other => {
            match catalog::type_by_id(TypeId(element)) {
                Some(found) => compare_values(
                    left,
                    right,
                    &left[left_from..],
                    &right[right_from..],
                    found.array,
                ),
                None => left.cmp(right),
            }
        }
        _ => left.cmp(right),
    }
}

/// Compares by reading both. Texts that cannot be read (a damaged file) still have an order: that of their bytes.
fn compare_values(
    left: &str,
    right: &str,
    left_text: &str,
    right_text: &str,
    ty: TypeId,
) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let read = |text| io::text::input(text, TypeRef::plain(ty), &Context::default());
    match (read(left_text), read(right_text)) {
        (Ok(left), Ok(right)) => order::compare(&left, &right),
        _ => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_numbers() {
        let ascending = [
            "-Infinity",
            "-100.5",
            "-100.49",
            "-9",
            "-0.10",
            "0",
            "0.001",
            "0.01",
            "0.1",
            "1",
            "1.0000001",
            "9",
            "10",
            "99999999999999999999",
            "Infinity",
            "NaN",
        ];
        for (place, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare_numeric(left, right), place.cmp(&other), "{left} {right}");
            }
        }
        let check = |left, right| assert_eq!(compare_numeric(left, right), Ordering::Equal);
        check("1", "1.000");
        check("-2.50", "-2.5");
        check("0", "0.00");
        check("NaN", "NaN");
    }

    #[test]
    fn intervals_compare_by_length() {
        let check = |left, right, expected| assert_eq!(compare_interval(left, right), expected);
        check("1 0 0", "0 30 0", Ordering::Equal);
        check("0 1 0", "0 0 86400000000", Ordering::Equal);
        check("0 0 1", "0 0 2", Ordering::Less);
        check("2147483647 0 0", "0 2147483647 0", Ordering::Greater);
    }
}
