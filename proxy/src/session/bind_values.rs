//! The end of a Bind message, from the parameters' formats on: what a statement that passes reads of it, and how the row of an
//! INSERT is put into one.

use bytes::{BufMut, BytesMut};
use dataman_node_protocol::record::Format;
use dataman_pg::context::Context;
use dataman_pg::types::TypeRef;
use dataman_pg::{TypeId, Value};

use crate::merge::{decode, encode};
use crate::plan::pass::RowField;

/// The end of a Bind message, checked as a whole and read where needed.
pub(super) struct Values<'a> {
    body: &'a [u8],
    count: usize,
    /// Where the first value's length stands.
    first: usize,
    formats: &'a [u8],
    result_formats: &'a [u8],
}

impl<'a> Values<'a> {
    /// Checks that the message is whole and that its counts fit; the ordinary way says what is wrong with others.
    pub(super) fn parse(body: &'a [u8], params: usize, columns: usize) -> Option<Self> {
        let mut at = 0;
        let formats = codes(body, &mut at)?;
        let count = short(body, &mut at)?;
        if count != params || (formats.len() > 2 && formats.len() != 2 * count) {
            return None;
        }
        let first = at;
        for _ in 0..count {
            value(body, &mut at)?;
        }
        let result_formats = codes(body, &mut at)?;
        let fits = result_formats.len() <= 2 || result_formats.len() == 2 * columns;
        (fits && at == body.len()).then_some(Self { body, count, first, formats, result_formats })
    }

    /// A parameter and its format.
    pub(super) fn get(&self, place: usize) -> Option<(Option<&'a [u8]>, Format)> {
        if place >= self.count {
            return None;
        }
        let mut at = self.first;
        for _ in 0..place {
            value(self.body, &mut at)?;
        }
        Some((value(self.body, &mut at)?, format_at(self.formats, place)))
    }

    /// All parameters, read.
    fn decoded(&self, types: &[TypeId], evaluation: &Context) -> Option<Vec<Value>> {
        let decoded = |(place, ty): (usize, &TypeId)| {
            let (bytes, format) = self.get(place)?;
            decode(bytes, TypeRef::plain(*ty), format, evaluation).ok()
        };
        types.iter().enumerate().map(decoded).collect()
    }

    /// The format of all result columns, when they have one.
    pub(super) fn one_result_format(&self) -> Option<Format> {
        (self.result_formats.len() <= 2).then(|| format_at(self.result_formats, 0))
    }

    pub(super) fn result_formats(&self, columns: usize) -> Vec<Format> {
        (0..columns).map(|place| format_at(self.result_formats, place)).collect()
    }
}

/// A counted list of format codes, all of which are 0 or 1: its bytes.
fn codes<'a>(body: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let count = short(body, at)?;
    let codes = body.get(*at..*at + 2 * count)?;
    *at += 2 * count;
    codes.chunks_exact(2).all(|code| matches!(code, [0, 0 | 1])).then_some(codes)
}

fn format_at(codes: &[u8], place: usize) -> Format {
    let code = if codes.len() == 2 { codes.get(1) } else { codes.get(2 * place + 1) };
    if code == Some(&1) { Format::Binary } else { Format::Text }
}

fn short(body: &[u8], at: &mut usize) -> Option<usize> {
    let bytes = body.get(*at..*at + 2)?;
    *at += 2;
    Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

/// A value, none inside for NULL.
fn value<'a>(body: &'a [u8], at: &mut usize) -> Option<Option<&'a [u8]>> {
    let head = body.get(*at..*at + 4)?;
    *at += 4;
    let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if length == -1 {
        return Some(None);
    }
    let length = usize::try_from(length).ok()?;
    let bytes = body.get(*at..at.checked_add(length)?)?;
    *at += length;
    Some(Some(bytes))
}

/// Puts the end of a Bind message whose parameters are the fields of a row; none when one of them cannot be computed, of
/// which the ordinary way tells.
pub(super) fn put_row(
    fields: &[RowField],
    values: &Values<'_>,
    types: &[TypeId],
    evaluation: &Context,
    out: &mut BytesMut,
) -> Option<()> {
    let is_binary = |field: &RowField| match field {
        RowField::Param(place) => values.get(*place).map(|(_, format)| format == Format::Binary),
        RowField::Always(_) | RowField::Computed(..) => Some(true),
    };
    let count = u16::try_from(fields.len()).ok()?;
    out.put_u16(count);
    for field in fields {
        out.put_u16(u16::from(is_binary(field)?));
    }
    out.put_u16(count);
    let mut params: Option<Vec<Value>> = None;
    for field in fields {
        match field {
            RowField::Param(place) => put_value(values.get(*place)?.0, out)?,
            RowField::Always(value) => put_value(value.as_deref(), out)?,
            RowField::Computed(evaluator, ty) => {
                let params = match &mut params {
                    Some(params) => params,
                    None => params.insert(values.decoded(types, evaluation)?),
                };
                let value = evaluator.eval(&[], params, evaluation).ok()?;
                put_value(encode(&value, *ty).as_deref(), out)?;
            }
        }
    }
    out.put_u16(u16::try_from(values.result_formats.len() / 2).ok()?);
    out.put_slice(values.result_formats);
    Some(())
}

fn put_value(value: Option<&[u8]>, out: &mut BytesMut) -> Option<()> {
    match value {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).ok()?);
            out.put_slice(bytes);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], params: usize, columns: usize, expected: Option<&str>) {
        let found = Values::parse(body, params, columns).map(|values| {
            let params: Vec<_> = (0..params).map(|place| values.get(place).unwrap()).collect();
            format!("{params:?} {:?}", values.result_formats(columns))
        });
        assert_eq!(found.as_deref(), expected, "{body:?}");
    }

    #[test]
    fn the_end_of_bind_is_read() {
        check(b"\0\0\0\0\0\0", 0, 1, Some("[] [Text]"));
        check(
            b"\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01",
            2,
            2,
            Some("[(Some([120]), Binary), (None, Binary)] [Binary, Binary]"),
        );
        check(
            b"\0\x02\0\0\0\x01\0\x02\0\0\0\0\0\0\0\x01y\0\x02\0\x01\0\0",
            2,
            2,
            Some("[(Some([]), Text), (Some([121]), Binary)] [Binary, Text]"),
        );
    }

    #[test]
    fn what_does_not_fit_goes_the_ordinary_way() {
        check(b"\0\0\0\x01\0\0\0\x01x\0\0", 0, 1, None);
        check(b"\0\0\0\x01\0\0\0\x02x\0\0", 1, 1, None);
        check(b"\0\x01\0\x02\0\x01\0\0\0\x01x\0\0", 1, 1, None);
        check(b"\0\x02\0\0\0\0\0\x01\0\0\0\x01x\0\0", 1, 1, None);
        check(b"\0\0\0\x01\0\0\0\x01x\0\x02\0\0\0\0", 1, 1, None);
        check(b"\0\0\0\x01\0\0\0\x01x\0\0!", 1, 1, None);
        check(b"\0\0\0\x01\x80\0\0\0x\0\0", 1, 1, None);
        check(b"\xff\xff", 1, 1, None);
        check(b"", 0, 0, None);
    }
}
