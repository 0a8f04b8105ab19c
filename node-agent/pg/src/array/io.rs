//! Arrays in text (`[2:3]={"a b",NULL}`) and in binary.

use super::{DIMENSIONS_MAX, ELEMENTS_MAX};
use crate::context::Context;
use crate::error::{PgError, Result};
use crate::types::{TypeId, TypeRef};
use crate::value::{Array, Dimension, Value};

/// Appends the text form. Elements are separated by a comma, as for every type but `box`.
pub fn output(array: &Array, context: &Context, out: &mut Vec<u8>) {
    if array.dimensions.is_empty() {
        return out.extend_from_slice(b"{}");
    }
    if array.dimensions.iter().any(|dimension| dimension.lower != 1) {
        for dimension in &array.dimensions {
            let upper = i64::from(dimension.lower) + i64::from(dimension.length) - 1;
            out.extend_from_slice(format!("[{}:{upper}]", dimension.lower).as_bytes());
        }
        out.push(b'=');
    }
    let mut elements = array.elements.iter();
    write_level(&array.dimensions, &mut elements, array.element_type, context, out);
}

fn write_level(
    dimensions: &[Dimension],
    elements: &mut std::slice::Iter<'_, Value>,
    element_type: TypeId,
    context: &Context,
    out: &mut Vec<u8>,
) {
    let Some((first, inner)) = dimensions.split_first() else {
        match elements.next() {
            None | Some(Value::Null) => out.extend_from_slice(b"NULL"),
            Some(element) => write_element(element, element_type, context, out),
        }
        return;
    };
    out.push(b'{');
    for index in 0..first.length {
        if index > 0 {
            out.push(b',');
        }
        write_level(inner, elements, element_type, context, out);
    }
    out.push(b'}');
}

fn write_element(element: &Value, ty: TypeId, context: &Context, out: &mut Vec<u8>) {
    let start = out.len();
    crate::io::text::output(element, ty, context, out);
    let text = &out[start..];
    let is_special =
        |byte: &u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(*byte);
    if !text.is_empty() && !text.eq_ignore_ascii_case(b"null") && !text.iter().any(is_special) {
        return;
    }
    let text = out.split_off(start);
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Reads the text form of an array of `element`s; the modifier goes to each element's input.
///
/// # Errors
/// `22P02` `malformed array literal: "…"` with PostgreSQL's detail; `54000` and `2202E` for impossible dimensions; what
/// the element's input raises.
pub fn input(text: &str, element: TypeRef, context: &Context) -> Result<Value> {
    let malformed = || PgError::new("22P02", format!("malformed array literal: \"{text}\""));
    let (mut dimensions, body) = read_dimensions(text)?;
    if dimensions.is_empty() {
        if !body.starts_with('{') {
            return Err(malformed()
                .with_detail("Array value must start with \"{\" or dimension information."));
        }
        dimensions =
            measure(body)?.into_iter().map(|length| Dimension { length, lower: 1 }).collect();
    } else {
        let mismatch =
            || malformed().with_detail("Specified array dimensions do not match array contents.");
        let measured = measure(body)?;
        if measured.len() != dimensions.len() {
            return Err(mismatch());
        }
        if measured.iter().zip(&dimensions).any(|(length, declared)| *length != declared.length) {
            return Err(mismatch());
        }
    }
    let count = count_elements(&dimensions)?;
    check_bounds(&dimensions)?;
    if count == 0 {
        return Ok(Value::Array(std::sync::Arc::new(Array::vector(element.id, Vec::new()))));
    }
    let elements = read_elements(body, &dimensions, count, text, &mut |item| {
        crate::io::text::input(item, element, context)
    })?;
    Ok(Value::Array(std::sync::Arc::new(Array { element_type: element.id, dimensions, elements })))
}

/// The number of elements of the given dimensions.
///
/// # Errors
/// `54000` beyond [`ELEMENTS_MAX`].
pub(super) fn count_elements(dimensions: &[Dimension]) -> Result<usize> {
    if dimensions.is_empty() {
        return Ok(0);
    }
    dimensions
        .iter()
        .try_fold(1_usize, |count, dimension| {
            count.checked_mul(usize::try_from(dimension.length).ok()?)
        })
        .filter(|count| *count <= ELEMENTS_MAX)
        .ok_or_else(|| {
            PgError::new(
                "54000",
                format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})"),
            )
        })
}

/// Checks that every upper bound fits an `integer`.
pub(super) fn check_bounds(dimensions: &[Dimension]) -> Result<()> {
    match dimensions.iter().find(|d| d.lower.checked_add(d.length).is_none()) {
        Some(dimension) => Err(PgError::new(
            "54000",
            format!("array lower bound is too large: {}", dimension.lower),
        )),
        None => Ok(()),
    }
}

pub(super) fn too_many_dimensions(count: usize) -> PgError {
    PgError::new(
        "54000",
        format!(
            "number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})"
        ),
    )
}

/// Reads the `[m:n]…=` prefix, if any, and returns the rest from its brace.
fn read_dimensions(text: &str) -> Result<(Vec<Dimension>, &str)> {
    let malformed = |detail: &'static str| {
        PgError::new("22P02", format!("malformed array literal: \"{text}\"")).with_detail(detail)
    };
    let mut rest = skip_spaces(text);
    let mut dimensions = Vec::new();
    while let Some(inner) = rest.strip_prefix('[') {
        if dimensions.len() >= DIMENSIONS_MAX {
            return Err(too_many_dimensions(dimensions.len() + 1));
        }
        let (first, after) = split_number(inner);
        if first.is_empty() {
            return Err(malformed("\"[\" must introduce explicitly-specified array dimensions."));
        }
        let (lower, upper, after) = match after.strip_prefix(':') {
            Some(inner) => {
                let (second, after) = split_number(inner);
                if second.is_empty() {
                    return Err(malformed("Missing array dimension value."));
                }
                (lenient_integer(first), lenient_integer(second), after)
            }
            None => (1, lenient_integer(first), after),
        };
        rest = after
            .strip_prefix(']')
            .ok_or_else(|| malformed("Missing \"]\" after array dimensions."))?;
        rest = skip_spaces(rest);
        if upper < lower {
            return Err(PgError::new("2202E", "upper bound cannot be less than lower bound"));
        }
        let length = i64::from(upper) - i64::from(lower) + 1;
        let length = i32::try_from(length).map_err(|_| {
            PgError::new(
                "54000",
                format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})"),
            )
        })?;
        dimensions.push(Dimension { length, lower });
    }
    if dimensions.is_empty() {
        return Ok((dimensions, rest));
    }
    let rest =
        rest.strip_prefix('=').ok_or_else(|| malformed("Missing \"=\" after array dimensions."))?;
    let rest = skip_spaces(rest);
    if !rest.starts_with('{') {
        return Err(malformed("Array contents must start with \"{\"."));
    }
    Ok((dimensions, rest))
}

fn skip_spaces(text: &str) -> &str {
    text.trim_start_matches(|character: char| u8::try_from(character).is_ok_and(is_space))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && !matches!(character, '-' | '+'))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// C's `atoi`: a sign, then digits up to the first other character; out of range is held at the ends.
fn lenient_integer(text: &str) -> i32 {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = digits
        .bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1 << 40));
    let value = if negative { -magnitude } else { magnitude };
    i32::try_from(value).unwrap_or(if negative { i32::MIN } else { i32::MAX })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    NoLevel,
    LevelStarted,
    ElementStarted,
    QuotedElementStarted,
    QuotedElementCompleted,
    ElementDelimited,
    LevelCompleted,
    LevelDelimited,
}

/// Finds the lengths of the dimensions from the braces, and checks everything about the form but the elements
/// themselves. No dimensions for the empty array.
fn measure(contents: &str) -> Result<Vec<i32>> {
    let body = contents.as_bytes();
    // Here PostgreSQL quotes the contents without the dimensions before them.
    let malformed = |detail: String| {
        PgError::new("22P02", format!("malformed array literal: \"{contents}\""))
            .with_detail(detail)
    };
    let unexpected = |character: char| malformed(format!("Unexpected \"{character}\" character."));
    let unexpected_end = || malformed("Unexpected end of input.".to_owned());
    let unexpected_element = || malformed("Unexpected array element.".to_owned());

    let mut counted = [0_i32; DIMENSIONS_MAX];
    let mut lengths = [1_i32; DIMENSIONS_MAX + 1];
    let mut lengths_before = [0_i32; DIMENSIONS_MAX + 1];
    let (mut level, mut dimensions) = (0_usize, 0_usize);
    let mut state = State::NoLevel;
    let mut quoted = false;
    let mut empty = true;
    let mut at = 0;
    let mut finished = false;
    while !finished {
        loop {
            if matches!(state, State::ElementStarted | State::QuotedElementStarted) {
                empty = false;
            }
            let Some(&byte) = body.get(at) else { return Err(unexpected_end()) };
            let mut item_done = false;
            match byte {
                b'\\' => {
                    match state {
                        State::LevelStarted | State::ElementDelimited => {
                            state = State::ElementStarted
                        }
                        State::ElementStarted | State::QuotedElementStarted => {}
                        _ => return Err(unexpected('\\')),
                    }
                    at += 1;
                    if at >= body.len() {
                        return Err(unexpected_end());
                    }
                }
                b'"' => match state {
                    State::LevelStarted | State::ElementDelimited => {
                        quoted = true;
                        state = State::QuotedElementStarted;
                    }
                    State::QuotedElementStarted => {
                        quoted = false;
                        state = State::QuotedElementCompleted;
                    }
                    _ => return Err(unexpected_element()),
                },
                b'{' if !quoted => {
                    if !matches!(
                        state,
                        State::NoLevel | State::LevelStarted | State::LevelDelimited
                    ) {
                        return Err(unexpected('{'));
                    }
                    state = State::LevelStarted;
                    if level >= DIMENSIONS_MAX {
                        return Err(too_many_dimensions(level + 1));
                    }
                    counted[level] = 0;
                    level += 1;
                    dimensions = dimensions.max(level);
                }
                b'}' if !quoted => {
                    let allowed = matches!(
                        state,
                        State::ElementStarted
                            | State::QuotedElementCompleted
                            | State::LevelCompleted
                    ) || (level == 1 && state == State::LevelStarted);
                    if !allowed {
                        return Err(unexpected('}'));
                    }
                    state = State::LevelCompleted;
                    if level == 0 {
                        return Err(malformed("Unmatched \"}\" character.".to_owned()));
                    }
                    level -= 1;
                    if lengths_before[level] != 0 && lengths[level] != lengths_before[level] {
                        return Err(malformed(
                            "Multidimensional arrays must have sub-arrays with matching dimensions."
                                .to_owned(),
                        ));
                    }
                    lengths_before[level] = lengths[level];
                    lengths[level] = 1;
                    if level == 0 {
                        finished = true;
                        item_done = true;
                    } else {
                        counted[level - 1] += 1;
                    }
                }
                b',' if !quoted => {
                    if !matches!(
                        state,
                        State::ElementStarted
                            | State::QuotedElementCompleted
                            | State::LevelCompleted
                    ) {
                        return Err(unexpected(','));
                    }
                    state = if state == State::LevelCompleted {
                        State::LevelDelimited
                    } else {
                        State::ElementDelimited
                    };
                    item_done = true;
                    lengths[level - 1] += 1;
                }
                byte if !quoted && !is_space(byte) => {
                    if !matches!(
                        state,
                        State::LevelStarted | State::ElementStarted | State::ElementDelimited
                    ) {
                        return Err(unexpected_element());
                    }
                    state = State::ElementStarted;
                }
                _ => {}
            }
            if item_done {
                break;
            }
            at += 1;
        }
        counted[dimensions - 1] += 1;
        at += 1;
    }
    if !body[at..].iter().all(|byte| is_space(*byte)) {
        return Err(malformed("Junk after closing right brace.".to_owned()));
    }
    Ok(if empty { Vec::new() } else { counted[..dimensions].to_vec() })
}

/// Reads the elements of a body that [`measure`] has accepted.
fn read_elements(
    body: &str,
    dimensions: &[Dimension],
    count: usize,
    text: &str,
    read: &mut dyn FnMut(&str) -> Result<Value>,
) -> Result<Vec<Value>> {
    let malformed = || PgError::new("22P02", format!("malformed array literal: \"{text}\""));
    let bytes = body.as_bytes();
    let mut elements = vec![Value::Null; count];
    let mut index = [0_usize; DIMENSIONS_MAX];
    let mut level = 0;
    let mut at = 0;
    let mut quoted = false;
    let mut finished = false;
    let mut item: Vec<u8> = Vec::new();
    let offset = |index: &[usize; DIMENSIONS_MAX]| {
        dimensions.iter().zip(index).fold(0_usize, |offset, (dimension, index)| {
            offset * usize::try_from(dimension.length).unwrap_or(0) + index
        })
    };
    while !finished {
        item.clear();
        // How much of the item counts: blanks after its last other character do not.
        let mut item_end = 0;
        let mut leading = true;
        let mut escaped = false;
        let mut place = None;
        loop {
            let &byte = bytes.get(at).ok_or_else(malformed)?;
            at += 1;
            match byte {
                b'\\' => {
                    item.push(*bytes.get(at).ok_or_else(malformed)?);
                    at += 1;
                    leading = false;
                    item_end = item.len();
                    escaped = true;
                }
                b'"' => {
                    quoted = !quoted;
                    if quoted {
                        leading = false;
                    } else {
                        item_end = item.len();
                    }
                    escaped = true;
                }
                _ if quoted => item.push(byte),
                b'{' => {
                    if level >= dimensions.len() {
                        return Err(malformed());
                    }
                    index[level] = 0;
                    level += 1;
                }
                b'}' => {
                    if level == 0 {
                        return Err(malformed());
                    }
                    place.get_or_insert_with(|| offset(&index));
                    level -= 1;
                    index[level] = 0;
                    if level == 0 {
                        finished = true;
                        break;
                    }
                    index[level - 1] += 1;
                }
                b',' => {
                    place.get_or_insert_with(|| offset(&index));
                    index[dimensions.len() - 1] += 1;
                    break;
                }
                _ if is_space(byte) => {
                    if !leading {
                        item.push(byte);
                    }
                }
                _ => {
                    item.push(byte);
                    leading = false;
                    item_end = item.len();
                }
            }
        }
        item.truncate(item_end);
        let place = place.filter(|place| *place < count).ok_or_else(malformed)?;
        let content =
            std::str::from_utf8(&item).expect("an escape takes whole characters apart never");
        elements[place] = if !escaped && content.eq_ignore_ascii_case("null") {
            Value::Null
        } else {
            read(content)?
        };
    }
    Ok(elements)
}

/// Appends the binary form.
pub fn encode(array: &Array, out: &mut Vec<u8>) {
    let dimension_count = i32::try_from(array.dimensions.len()).expect("at most six dimensions");
    out.extend_from_slice(&dimension_count.to_be_bytes());
    let has_null = array.elements.iter().any(Value::is_null);
    out.extend_from_slice(&i32::from(has_null).to_be_bytes());
    out.extend_from_slice(&array.element_type.0.to_be_bytes());
    for dimension in &array.dimensions {
        out.extend_from_slice(&dimension.length.to_be_bytes());
        out.extend_from_slice(&dimension.lower.to_be_bytes());
    }
    for element in &array.elements {
        if element.is_null() {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        crate::io::binary::encode(element, array.element_type, out);
        let length = i32::try_from(out.len() - start - 4).expect("a value is shorter than 2 GiB");
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// Reads the binary form of an array of `element`s.
///
/// # Errors
/// `22P03` for a malformed header, `42804` for another element type, `08P01` for too few bytes, `54000` for impossible
/// dimensions; what the element's binary input raises.
pub fn decode(bytes: &[u8], element: TypeRef) -> Result<Value> {
    let mut rest = bytes;
    let dimension_count = take_integer(&mut rest)?;
    if dimension_count < 0 {
        return Err(invalid_binary(format!("invalid number of dimensions: {dimension_count}")));
    }
    let dimension_count = usize::try_from(dimension_count).unwrap_or(usize::MAX);
    if dimension_count > DIMENSIONS_MAX {
        return Err(too_many_dimensions(dimension_count));
    }
    if !matches!(take_integer(&mut rest)?, 0 | 1) {
        return Err(invalid_binary("invalid array flags"));
    }
    let element_type = TypeId(take_integer(&mut rest)?.cast_unsigned());
    if element_type != element.id {
        let name = |id: TypeId| crate::catalog::format_type(id, -1);
        return Err(PgError::new(
            "42804",
            format!(
                "binary data has array element type {} ({}) instead of expected {} ({})",
                element_type.0,
                name(element_type),
                element.id.0,
                name(element.id)
            ),
        ));
    }
    let mut dimensions = Vec::with_capacity(dimension_count);
    for _ in 0..dimension_count {
        let length = take_integer(&mut rest)?;
        let lower = take_integer(&mut rest)?;
        dimensions.push(Dimension { length, lower });
    }
    let count = count_elements(&dimensions)?;
    check_bounds(&dimensions)?;
    // Four bytes at least for each element: a count beyond that is refused before anything is allocated for it.
    if count > rest.len() / 4 {
        return Err(PgError::new("08P01", "insufficient data left in message"));
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        let length = take_integer(&mut rest)?;
        if length == -1 {
            elements.push(Value::Null);
            continue;
        }
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= rest.len())
            .ok_or_else(|| invalid_binary("insufficient data left in message"))?;
        let (value, after) = rest.split_at(length);
        elements.push(crate::io::binary::decode(value, element)?);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(invalid_binary("incorrect binary data format"));
    }
    if count == 0 {
        dimensions.clear();
    }
    Ok(Value::Array(std::sync::Arc::new(Array { element_type, dimensions, elements })))
}

fn take_integer(rest: &mut &[u8]) -> Result<i32> {
    let (head, tail) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| PgError::new("08P01", "insufficient data left in message"))?;
    *rest = tail;
    Ok(i32::from_be_bytes(*head))
}

fn invalid_binary(message: impl Into<std::borrow::Cow<'static, str>>) -> PgError {
    PgError::new("22P03", message)
}
