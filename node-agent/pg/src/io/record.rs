//! Row values' output: `(1,"a b",)`.

use crate::context::Context;
use crate::error::Result;
use crate::io::binary::insufficient;
use crate::types::TypeId;
use crate::value::Value;

/// Appends the text form: fields between commas, quoted where they would be misread, nothing for NULL.
pub fn output(fields: &[(TypeId, Value)], context: &Context, out: &mut Vec<u8>) {
    out.push(b'(');
    for (place, (ty, value)) in fields.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        if value.is_null() {
            continue;
        }
        let mut field = Vec::new();
        super::text::output(value, *ty, context, &mut field);
        let plain = !field.is_empty()
            && !field.iter().any(|byte| {
                matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r')
            });
        if plain {
            out.extend_from_slice(&field);
            continue;
        }
        out.push(b'"');
        for byte in field {
            if matches!(byte, b'"' | b'\\') {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    }
    out.push(b')');
}

/// Appends the binary form: the number of fields, then type, length and value of each.
pub fn encode(fields: &[(TypeId, Value)], out: &mut Vec<u8>) {
    let count = i32::try_from(fields.len()).expect("a row has at most 1,664 fields");
    out.extend_from_slice(&count.to_be_bytes());
    for (ty, value) in fields {
        out.extend_from_slice(&ty.0.to_be_bytes());
        if value.is_null() {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        super::binary::encode(value, *ty, out);
        let length = i32::try_from(out.len() - start - 4).expect("a value is shorter than 2 GiB");
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// Reads the binary form; the fields' types stand in it.
///
/// # Errors
/// `08P01` for what ends too early, `0A000` for a field of a type that is not read here, and what the fields' types say.
pub fn decode(bytes: &[u8]) -> Result<Vec<(TypeId, Value)>> {
    let (count, mut rest) = take_number(bytes)?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let (oid, after) = take_number(rest)?;
        let (length, after) = take_number(after)?;
        let ty = TypeId(oid);
        let Ok(length) = usize::try_from(length.cast_signed()) else {
            fields.push((ty, Value::Null));
            rest = after;
            continue;
        };
        if after.len() < length {
            return Err(insufficient());
        }
        let (field, after) = after.split_at(length);
        fields.push((ty, super::binary::decode(field, ty.into())?));
        rest = after;
    }
    Ok(fields)
}

fn take_number(bytes: &[u8]) -> Result<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or_else(insufficient)?;
    Ok((u32::from_be_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[(TypeId, Value)], expected: &str) {
        let mut out = Vec::new();
        output(fields, &Context::default(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn fields_are_quoted_where_needed() {
        let text = |text: &str| (TypeId::TEXT, Value::text(text));
        check(&[], "()");
        check(&[(TypeId::INT4, Value::Int4(1)), (TypeId::INT4, Value::Null)], "(1,)");
        check(&[text("a b"), text("")], "(\"a b\",\"\")");
        check(&[text("a\"b\\")], "(\"a\"\"b\\\\\")");
    }

    #[test]
    fn the_binary_form_is_read_back() {
        let fields = vec![(TypeId::INT4, Value::Int4(7)), (TypeId::TEXT, Value::Null)];
        let mut bytes = Vec::new();
        encode(&fields, &mut bytes);
        assert_eq!(decode(&bytes), Ok(fields));
        assert!(decode(&bytes[..7]).is_err());
    }
}
