//! Ranges' binary form: a byte of flags, and each bound that there is behind its length.

use super::{Bound, Multirange, Range, Span, normalized};
use crate::error::{PgError, Result};
use crate::io::binary::{self, insufficient};
use crate::types::TypeId;

const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

/// Appends a range.
pub(crate) fn encode(range: &Range, out: &mut Vec<u8>) {
    match &range.span {
        None => out.push(EMPTY),
        Some(span) => encode_span(span, range.element, out),
    }
}

fn encode_span(span: &Span, element: TypeId, out: &mut Vec<u8>) {
    let mut flags = 0;
    for (bound, inclusive, infinite) in [
        (&span.lower, LOWER_INCLUSIVE, LOWER_INFINITE),
        (&span.upper, UPPER_INCLUSIVE, UPPER_INFINITE),
    ] {
        match bound.value {
            None => flags |= infinite,
            Some(_) if bound.inclusive => flags |= inclusive,
            Some(_) => {}
        }
    }
    out.push(flags);
    for value in [&span.lower, &span.upper].into_iter().filter_map(|bound| bound.value.as_ref()) {
        with_length(out, |out| binary::encode(value, element, out));
    }
}

fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = i32::try_from(out.len() - start - 4).expect("a value is shorter than 2 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a multirange: the number of its ranges, each behind its length.
pub(crate) fn encode_multirange(value: &Multirange, out: &mut Vec<u8>) {
    let count = i32::try_from(value.spans.len()).expect("a value is shorter than 2 GiB");
    out.extend_from_slice(&count.to_be_bytes());
    for span in &value.spans {
        with_length(out, |out| encode_span(span, value.element, out));
    }
}

/// So many bytes behind their length.
fn take_field<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let (head, after) = rest.split_first_chunk::<4>().ok_or_else(insufficient)?;
    let length = usize::try_from(i32::from_be_bytes(*head)).map_err(|_| insufficient())?;
    if after.len() < length {
        return Err(insufficient());
    }
    let (field, after) = after.split_at(length);
    *rest = after;
    Ok(field)
}

/// Reads a range.
///
/// # Errors
/// `08P01`, `22P03`, and what the bounds' types say.
pub(crate) fn decode(bytes: &[u8], element: TypeId) -> Result<Range> {
    let (&flags, mut rest) = bytes.split_first().ok_or_else(insufficient)?;
    let mut bound = |inclusive: u8, infinite: u8, is_lower: bool| -> Result<Bound> {
        let value = if flags & (EMPTY | infinite) == 0 {
            Some(binary::decode(take_field(&mut rest)?, element.into())?)
        } else {
            None
        };
        Ok(Bound { value, inclusive: flags & inclusive != 0, is_lower })
    };
    let lower = bound(LOWER_INCLUSIVE, LOWER_INFINITE, true)?;
    let upper = bound(UPPER_INCLUSIVE, UPPER_INFINITE, false)?;
    if !rest.is_empty() {
        return Err(PgError::new("22P03", "incorrect binary data format"));
    }
    let span = if flags & EMPTY == 0 { Span::new(element, lower, upper)? } else { None };
    Ok(Range { element, span })
}

/// Reads a multirange.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_multirange(bytes: &[u8], element: TypeId) -> Result<Multirange> {
    let (head, mut rest) = bytes.split_first_chunk::<4>().ok_or_else(insufficient)?;
    let mut spans = Vec::new();
    for _ in 0..u32::from_be_bytes(*head) {
        spans.extend(decode(take_field(&mut rest)?, element)?.span);
    }
    if !rest.is_empty() {
        return Err(PgError::new("22P03", "incorrect binary data format"));
    }
    Ok(Multirange { element, spans: normalized(element, spans)? })
}
