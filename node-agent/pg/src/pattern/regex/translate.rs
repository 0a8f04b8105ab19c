//! A plain language in the regex crate's syntax, for the question whether there is a match at all.

use std::fmt::Write;

use super::{Assertion, CharSet, Re};

/// Longer translations are left to our own automaton.
const TRANSLATION_BYTES_MAX: usize = 20_000;

/// Writes the language, every character by its code; `None` for what that crate does not have or means differently.
pub(super) fn translate(language: &Re) -> Option<String> {
    let mut out = String::new();
    write(language, &mut out)?;
    Some(out)
}

fn write(language: &Re, out: &mut String) -> Option<()> {
    if out.len() > TRANSLATION_BYTES_MAX {
        return None;
    }
    match language {
        Re::Empty => out.push_str("(?:)"),
        Re::Set(set) => write_set(set, out)?,
        Re::Concat(parts) => {
            for part in parts {
                write(part, out)?;
            }
        }
        Re::Alternate(branches) => {
            out.push_str("(?:");
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write(branch, out)?;
            }
            out.push(')');
        }
        Re::Repeat(inner, min, max) => {
            out.push_str("(?:");
            write(inner, out)?;
            out.push(')');
            match max {
                Some(max) => write!(out, "{{{min},{max}}}").ok()?,
                None => write!(out, "{{{min},}}").ok()?,
            }
        }
        Re::Assert(Assertion::TextStart) => out.push_str("\\A"),
        Re::Assert(Assertion::TextEnd) => out.push_str("\\z"),
        Re::Assert(_) | Re::Look { .. } => return None,
    }
    Some(())
}

fn write_set(set: &CharSet, out: &mut String) -> Option<()> {
    if set.ranges().is_empty() {
        return None;
    }
    out.push('[');
    for &(first, last) in set.ranges() {
        // A range that begins or ends outside of Unicode's characters is never written.
        char::from_u32(first)?;
        char::from_u32(last)?;
        write!(out, "\\x{{{first:x}}}-\\x{{{last:x}}}").ok()?;
    }
    out.push(']');
    Some(())
}
