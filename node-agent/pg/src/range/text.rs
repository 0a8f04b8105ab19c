//! `[1,5)` and `{[1,5),[7,9)}`.

use super::{Bound, Multirange, Range, Span, normalized};
use crate::context::Context;
use crate::error::{PgError, Result};
use crate::types::TypeId;

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t'..='\r')
}

fn malformed(kind: &str, text: &str, detail: &'static str) -> PgError {
    PgError::new("22P02", format!("malformed {kind} literal: \"{text}\"")).with_detail(detail)
}

const EMPTY: &str = "empty";

fn begins_with_empty(text: &str) -> bool {
    text.as_bytes().get(..EMPTY.len()).is_some_and(|word| word.eq_ignore_ascii_case(b"empty"))
}

/// Reads a range over elements of a type.
///
/// # Errors
/// `22P02`, what the elements' input says, and what [`Span::new`] says.
pub(crate) fn input(text: &str, element: TypeId, context: &Context) -> Result<Range> {
    let wrong = |detail| malformed("range", text, detail);
    let trimmed = text.trim_start_matches(is_space);
    if begins_with_empty(trimmed) {
        if trimmed[EMPTY.len()..].chars().all(is_space) {
            return Ok(Range { element, span: None });
        }
        return Err(wrong("Junk after \"empty\" key word."));
    }
    let mut letters = trimmed.chars().peekable();
    let lower_inclusive = match letters.next() {
        Some('[') => true,
        Some('(') => false,
        _ => return Err(wrong("Missing left parenthesis or bracket.")),
    };
    let lower = bound_text(&mut letters).ok_or_else(|| wrong("Unexpected end of input."))?;
    if letters.next() != Some(',') {
        return Err(wrong("Missing comma after lower bound."));
    }
    let upper = bound_text(&mut letters).ok_or_else(|| wrong("Unexpected end of input."))?;
    let upper_inclusive = match letters.next() {
        Some(']') => true,
        Some(')') => false,
        _ => return Err(wrong("Too many commas.")),
    };
    if !letters.all(is_space) {
        return Err(wrong("Junk after right parenthesis or bracket."));
    }
    let read = |bound: Option<String>, inclusive, is_lower| {
        let read = |text: String| crate::io::text::input(&text, element.into(), context);
        Ok(Bound { value: bound.map(read).transpose()?, inclusive, is_lower })
    };
    let lower = read(lower, lower_inclusive, true)?;
    let upper = read(upper, upper_inclusive, false)?;
    Ok(Range { element, span: Span::new(element, lower, upper)? })
}

/// A bound without its quotes; `Some(None)` where there is none, `None` at the end of the text.
fn bound_text(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Option<String>> {
    let is_end = |letter: &char| matches!(letter, ',' | ')' | ']');
    if letters.peek().is_some_and(is_end) {
        return Some(None);
    }
    let mut text = String::new();
    let mut is_quoted = false;
    while is_quoted || !letters.peek().is_some_and(is_end) {
        match letters.next()? {
            '\\' => text.push(letters.next()?),
            '"' if !is_quoted => is_quoted = true,
            '"' if letters.peek() == Some(&'"') => {
                letters.next();
                text.push('"');
            }
            '"' => is_quoted = false,
            other => text.push(other),
        }
    }
    Some(Some(text))
}

/// Where the reading of a multirange is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Before,
    Within,
    Escaped,
    Quoted,
    QuotedEscaped,
    After,
}

/// Reads a multirange over elements of a type.
///
/// # Errors
/// As [`input`].
pub(crate) fn input_multirange(
    text: &str,
    element: TypeId,
    context: &Context,
) -> Result<Multirange> {
    let wrong = |detail| malformed("multirange", text, detail);
    let Some(body) = text.trim_start_matches(is_space).strip_prefix('{') else {
        return Err(wrong("Missing left brace."));
    };
    let mut state = State::Before;
    let mut start = 0;
    let mut has_any = false;
    let mut spans = Vec::new();
    let mut letters = body.char_indices().peekable();
    let end = loop {
        let Some((place, letter)) = letters.next() else {
            return Err(wrong("Unexpected end of input."));
        };
        // Blanks mean nothing anywhere here, not even behind a backslash.
        if is_space(letter) {
            continue;
        }
        state = match (state, letter) {
            (State::Before, '[' | '(') => {
                start = place;
                State::Within
            }
            (State::Before, '}') if !has_any => break place,
            (State::Before, _) if begins_with_empty(&body[place..]) => {
                has_any = true;
                letters.nth(EMPTY.len() - 2);
                State::After
            }
            (State::Before, _) => return Err(wrong("Expected range start.")),
            (State::Within, ']' | ')') => {
                has_any = true;
                spans.extend(input(&body[start..=place], element, context)?.span);
                State::After
            }
            (State::Within, '"') => State::Quoted,
            (State::Within, '\\') => State::Escaped,
            (State::Escaped, _) => State::Within,
            (State::Quoted, '"') => match letters.next_if(|(_, letter)| *letter == '"') {
                Some(_) => State::Quoted,
                None => State::Within,
            },
            (State::Quoted, '\\') => State::QuotedEscaped,
            (State::QuotedEscaped, _) => State::Quoted,
            (State::After, ',') => State::Before,
            (State::After, '}') => break place,
            (State::After, _) => return Err(wrong("Expected comma or end of multirange.")),
            (state @ (State::Within | State::Quoted), _) => state,
        };
    };
    if !body[end + 1..].chars().all(is_space) {
        return Err(wrong("Junk after closing right brace."));
    }
    Ok(Multirange { element, spans: normalized(element, spans)? })
}

/// Appends a range's text.
pub(crate) fn output(range: &Range, context: &Context, out: &mut Vec<u8>) {
    match &range.span {
        None => out.extend_from_slice(EMPTY.as_bytes()),
        Some(span) => output_span(span, range.element, context, out),
    }
}

/// Appends a multirange's text.
pub(crate) fn output_multirange(value: &Multirange, context: &Context, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, span) in value.spans.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        output_span(span, value.element, context, out);
    }
    out.push(b'}');
}

fn output_span(span: &Span, element: TypeId, context: &Context, out: &mut Vec<u8>) {
    out.push(if span.lower.inclusive { b'[' } else { b'(' });
    output_bound(&span.lower, element, context, out);
    out.push(b',');
    output_bound(&span.upper, element, context, out);
    out.push(if span.upper.inclusive { b']' } else { b')' });
}

fn output_bound(bound: &Bound, element: TypeId, context: &Context, out: &mut Vec<u8>) {
    let Some(value) = &bound.value else { return };
    let mut text = Vec::new();
    crate::io::text::output(value, element, context, &mut text);
    let is_plain = !text.is_empty()
        && !text.iter().any(|byte| {
            matches!(byte, b'"' | b'\\' | b'(' | b')' | b'[' | b']' | b',' | b' ' | b'\t'..=b'\r')
        });
    if is_plain {
        out.extend_from_slice(&text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}
