//! SIMILAR TO (the manual's section 9.7.2): its patterns become regular expressions.

use crate::arguments::{is_null, text};
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("similar_to_escape_1", |_, args| to_regex(text(args, 0)?, "\\").map(Value::text)),
    entry("similar_to_escape_2", |_, args| {
        to_regex(text(args, 0)?, text(args, 1)?).map(Value::text)
    }),
    entry("similar_escape", |_, args| {
        if is_null(args, 0) {
            return Ok(Value::Null);
        }
        let escape = if is_null(args, 1) { "\\" } else { text(args, 1)? };
        to_regex(text(args, 0)?, escape).map(Value::text)
    }),
    entry("substring(text,text,text)", |_, args| {
        let pattern = to_regex(text(args, 1)?, text(args, 2)?)?;
        super::regexp::substring(text(args, 0)?, &pattern)
    }),
];

/// Turns a SIMILAR TO pattern into a regular expression over the whole text. Two escaped double quotes mark the part
/// that `substring` gives; the quantifiers around them make the first part match as little as it can.
fn to_regex(pattern: &str, escape: &str) -> Result<String> {
    let mut escape_characters = escape.chars();
    let escape = escape_characters.next();
    if escape_characters.next().is_some() {
        return Err(PgError::new("22025", "invalid escape string")
            .with_hint("Escape string must be empty or one character."));
    }
    let mut out = String::with_capacity(pattern.len() + 16);
    out.push_str("^(?:");
    let mut after_escape = false;
    let mut quotes = 0;
    // Brackets that are open, and whether a closing one would still be literal: right at the start or after the caret.
    let mut open_brackets = 0_u32;
    let mut from_bracket = 0;
    for character in pattern.chars() {
        if after_escape {
            after_escape = false;
            if character == '"' && open_brackets == 0 {
                match quotes {
                    0 => out.push_str("){1,1}?("),
                    1 => out.push_str("){1,1}(?:"),
                    _ => {
                        return Err(PgError::new(
                            "2200C",
                            "SQL regular expression may not contain more than two escape-double-quote separators",
                        ));
                    }
                }
                quotes += 1;
            } else {
                out.push('\\');
                out.push(character);
                from_bracket = 3;
            }
        } else if Some(character) == escape {
            after_escape = true;
        } else if open_brackets > 0 {
            if character == '\\' {
                out.push('\\');
            }
            out.push(character);
            match character {
                ']' if from_bracket > 2 => open_brackets -= 1,
                '[' => open_brackets += 1,
                _ => {}
            }
            from_bracket = if character == '^' { from_bracket + 1 } else { 3 };
        } else {
            match character {
                '[' => {
                    out.push('[');
                    open_brackets = 1;
                    from_bracket = 1;
                }
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '\\' | '.' | '^' | '$' => {
                    out.push('\\');
                    out.push(character);
                }
                other => out.push(other),
            }
        }
    }
    out.push_str(")$");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn patterns_as_the_server_rewrites_them() {
        check(
            "similar_to_escape_1",
            &["t:a[b%_]c%_(d|e).^$\\"],
            "^(?:a[b%_]c.*.(?:d|e)\\.\\^\\$)$",
        );
        check("similar_to_escape_1", &["t:[^]%]%"], "^(?:[^]%].*)$");
        check("similar_to_escape_1", &["t:[[:alpha:]%]%"], "^(?:[[:alpha:]%].*)$");
        check("similar_to_escape_1", &["t:[a[b]%"], "^(?:[a[b]%)$");
        check("similar_to_escape_2", &["t:a#\"b#\"c", "t:#"], "^(?:a){1,1}?(b){1,1}(?:c)$");
        check("similar_to_escape_2", &["t:[a#]%]%", "t:#"], "^(?:[a\\]%].*)$");
        check("similar_to_escape_2", &["t:[#[:x]%]", "t:#"], "^(?:[\\[:x].*])$");
        check("similar_to_escape_2", &["t:a", "t:ab"], "ERROR 22025: invalid escape string");
    }

    #[test]
    fn substrings() {
        check("substring(text,text,text)", &["t:foobar", "t:%#\"o_b#\"%", "t:#"], "oob");
        check("substring(text,text,text)", &["t:foobar", "t:#\"o_b#\"%", "t:#"], "NULL");
        check("substring(text,text,text)", &["t:abcdefg", "t:a#\"%#\"g", "t:#"], "bcdef");
    }
}
