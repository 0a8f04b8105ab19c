//! Text to arrays and back: `split_part`, `string_to_array`, `array_to_string`.

use crate::arguments::{array, int4, is_null, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::{Array, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("split_part", split_part),
    entry("text_to_array", |_, args| text_to_array(args)),
    entry("text_to_array_null", |_, args| text_to_array(args)),
    entry("array_to_text", |call, args| array_to_text(call, args, None)),
    entry("array_to_text_null", |call, args| {
        if is_null(args, 0) || is_null(args, 1) {
            return Ok(Value::Null);
        }
        let null = if is_null(args, 2) { None } else { Some(text(args, 2)?) };
        array_to_text(call, args, null)
    }),
];

fn split_part(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let (source, separator, field) = (text(args, 0)?, text(args, 1)?, int4(args, 2)?);
    let index = match usize::try_from(field.unsigned_abs()) {
        Ok(0) => return Err(PgError::new("22023", "field position must not be zero")),
        Ok(field) => field - 1,
        Err(_) => usize::MAX,
    };
    let found = if source.is_empty() {
        None
    } else if separator.is_empty() {
        (index == 0).then_some(source)
    } else if field > 0 {
        source.split(separator).nth(index)
    } else {
        // Overlapping separators are found from the left, also when fields count from the right.
        let fields: Vec<&str> = source.split(separator).collect();
        fields.iter().rev().nth(index).copied()
    };
    Ok(Value::text(found.unwrap_or("")))
}

fn text_to_array(args: &[Value]) -> Result<Value> {
    let fields = fields(args)?;
    Ok(fields
        .map_or(Value::Null, |fields| Value::Array(Array::vector(TypeId::TEXT, fields).into())))
}

/// The fields of a text, NULL for those that are the third argument; `None` for a text that is NULL.
pub(crate) fn fields(args: &[Value]) -> Result<Option<Vec<Value>>> {
    if is_null(args, 0) {
        return Ok(None);
    }
    let fields = split(text(args, 0)?, if is_null(args, 1) { None } else { Some(text(args, 1)?) });
    let null = if is_null(args, 2) { None } else { Some(text(args, 2)?) };
    let value = |field| if Some(field) == null { Value::Null } else { Value::text(field) };
    Ok(Some(fields.into_iter().map(value).collect()))
}

/// The fields of a text: by character without a separator, the whole with an empty one, none for an empty text.
fn split<'a>(source: &'a str, separator: Option<&str>) -> Vec<&'a str> {
    match separator {
        _ if source.is_empty() => Vec::new(),
        None => source
            .char_indices()
            .map(|(start, character)| &source[start..start + character.len_utf8()])
            .collect(),
        Some("") => vec![source],
        Some(separator) => source.split(separator).collect(),
    }
}

fn array_to_text(call: &CallContext<'_>, args: &[Value], null: Option<&str>) -> Result<Value> {
    let array = array(args, 0)?;
    let separator = text(args, 1)?;
    let mut joined = String::new();
    let mut first = true;
    for element in &array.elements {
        let shown = match element {
            Value::Null => match null {
                Some(null) => std::borrow::Cow::Borrowed(null),
                None => continue,
            },
            element => {
                let text = super::cast::output_text(element, array.element_type, call.context)?;
                std::borrow::Cow::Owned(text.to_string())
            }
        };
        if !first {
            joined.push_str(separator);
        }
        first = false;
        joined.push_str(&shown);
    }
    Ok(Value::text(joined))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn splitting() {
        check("split_part", &["t:abc~@~def~@~ghi", "t:~@~", "i:2"], "def");
        check("split_part", &["t:a,b,c", "t:,", "i:-1"], "c");
        check("split_part", &["t:a,b", "t:", "i:-1"], "a,b");
        check("split_part", &["t:aaa", "t:aa", "i:-1"], "a");
        check("split_part", &["t:a", "t:,", "i:0"], "ERROR 22023: field position must not be zero");
        check("text_to_array", &["t:xx~~yy~~zz", "t:~~"], "{xx,yy,zz}");
        check("text_to_array", &["t:abc", "n"], "{a,b,c}");
        check("text_to_array", &["t:", "t:,"], "{}");
        check("text_to_array_null", &["t:a,,b", "t:,", "t:"], "{a,NULL,b}");
        check("array_to_text", &["T:{a,NULL,b}", "t:-"], "a-b");
        check("array_to_text_null", &["T:{{a,NULL},{b,c}}", "t:-", "t:*"], "a-*-b-c");
    }
}
