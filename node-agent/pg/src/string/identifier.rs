//! `parse_ident`: a qualified name in its parts (the manual's section 9.4).

use crate::arguments::{boolean, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::{Array, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[entry("parse_ident", parse_ident)];

fn parse_ident(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (name, strict) = (text(args, 0)?, boolean(args, 1)?);
    let invalid = || PgError::new("22023", format!("string is not a valid identifier: \"{name}\""));
    let mut parts = Vec::new();
    let mut rest = name.trim_start_matches(is_blank);
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) = quoted_part(quoted)
                .ok_or_else(|| invalid().with_detail("String has unclosed double quotes."))?;
            if part.is_empty() {
                return Err(invalid().with_detail("Quoted identifier must not be empty."));
            }
            parts.push(Value::text(part));
            rest = after;
        } else if rest.starts_with(starts_identifier) {
            let end = rest.find(|c| !continues_identifier(c)).unwrap_or(rest.len());
            parts.push(Value::text(rest[..end].to_ascii_lowercase()));
            rest = &rest[end..];
        } else if rest.starts_with('.') {
            return Err(invalid().with_detail("No valid identifier before \".\"."));
        } else if parts.is_empty() {
            return Err(invalid());
        } else {
            return Err(invalid().with_detail("No valid identifier after \".\"."));
        }
        rest = rest.trim_start_matches(is_blank);
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start_matches(is_blank),
            None if rest.is_empty() || !strict => break,
            None => return Err(invalid()),
        }
    }
    Ok(Value::Array(Array::vector(TypeId::TEXT, parts).into()))
}

/// The text up to the closing quote, doubled quotes being one, and what follows.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return Some((part, after)),
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

fn starts_identifier(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || !character.is_ascii()
}

fn continues_identifier(character: char) -> bool {
    starts_identifier(character) || character.is_ascii_digit() || character == '$'
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn parts() {
        check("parse_ident", &["t:Foo.\"Bar\"\"x\" . b$1", "b:true"], "{foo,\"Bar\\\"x\",b$1}");
        check("parse_ident", &["t:foo()", "b:false"], "{foo}");
        check(
            "parse_ident",
            &["t:foo()", "b:true"],
            "ERROR 22023: string is not a valid identifier: \"foo()\"",
        );
    }
}
