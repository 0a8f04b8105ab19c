//! Casts among the text types and their length coercions (the manual's section 8.3).

use std::sync::Arc;

use super::trim_blanks;
use crate::arguments::{boolean, int4, text};
use crate::context::Context;
use crate::error::{PgError, Result};
use crate::io::plain;
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("booltext", |_, args| Ok(Value::text(if boolean(args, 0)? { "true" } else { "false" }))),
    entry("bpchar", |_, args| {
        plain::fit_bpchar(shared(args)?, int4(args, 1)?, boolean(args, 2)?).map(Value::Bpchar)
    }),
    entry("varchar", |_, args| {
        plain::fit_varchar(shared(args)?, int4(args, 1)?, boolean(args, 2)?).map(Value::Text)
    }),
    entry("text_name", |_, args| Ok(Value::text(plain::cut_name(text(args, 0)?)))),
    entry("bpchar_name", |_, args| Ok(Value::text(trim_blanks(plain::cut_name(text(args, 0)?))))),
    entry("name_text", |_, args| Ok(Value::text(text(args, 0)?))),
    entry("name_bpchar", |_, args| Ok(Value::Bpchar(Arc::from(text(args, 0)?)))),
    entry("text_char", |_, args| Ok(Value::Char(plain::input_char(text(args, 0)?)))),
    entry("char_text", |_, args| Ok(Value::text(char_text(single_byte(args)?)))),
    // A byte that is no ASCII would go out as it is, which is no UTF-8: PostgreSQL's client conversion refuses it too.
    entry("char_bpchar", |_, args| {
        let byte = single_byte(args)?;
        crate::io::binary::utf8(&[byte]).map(|text| Value::Bpchar(Arc::from(text)))
    }),
    entry("chartoi4", |_, args| Ok(Value::Int4(i32::from(single_byte(args)?.cast_signed())))),
    entry("i4tochar", |_, args| {
        let byte = i8::try_from(int4(args, 0)?).map_err(|_| PgError::out_of_range("\"char\""))?;
        Ok(Value::Char(byte.cast_unsigned()))
    }),
    entry("textanycat(text,anynonarray)", |call, args| {
        let right = to_text(&args[1], call.arguments[1], call.context)?;
        Ok(Value::text(format!("{}{right}", text(args, 0)?)))
    }),
    entry("anytextcat(anynonarray,text)", |call, args| {
        let left = to_text(&args[0], call.arguments[0], call.context)?;
        Ok(Value::text(format!("{left}{}", text(args, 1)?)))
    }),
    entry("text_larger", |_, args| Ok(args[usize::from(text(args, 0)? <= text(args, 1)?)].clone())),
    entry(
        "text_smaller",
        |_, args| Ok(args[usize::from(text(args, 0)? >= text(args, 1)?)].clone()),
    ),
    entry("bpchar_larger", |_, args| {
        let (left, right) = (trim_blanks(text(args, 0)?), trim_blanks(text(args, 1)?));
        Ok(args[usize::from(left < right)].clone())
    }),
    entry("bpchar_smaller", |_, args| {
        let (left, right) = (trim_blanks(text(args, 0)?), trim_blanks(text(args, 1)?));
        Ok(args[usize::from(left > right)].clone())
    }),
];

/// What `value::text` gives: as the output function, but for booleans, `char(n)` and `"char"`.
pub(crate) fn to_text(value: &Value, ty: TypeId, context: &Context) -> Result<Arc<str>> {
    match value {
        Value::Text(text) | Value::Json(text) => Ok(text.clone()),
        Value::Bpchar(text) => Ok(Arc::from(trim_blanks(text))),
        Value::Bool(true) => Ok(Arc::from("true")),
        Value::Bool(false) => Ok(Arc::from("false")),
        Value::Char(byte) => Ok(Arc::from(char_text(*byte))),
        other => output_text(other, ty, context),
    }
}

/// What the type's output function gives, as text.
pub(crate) fn output_text(value: &Value, ty: TypeId, context: &Context) -> Result<Arc<str>> {
    if let Value::Text(text) | Value::Bpchar(text) | Value::Json(text) = value {
        return Ok(text.clone());
    }
    let mut out = Vec::new();
    crate::io::text::output(value, ty, context, &mut out);
    crate::io::binary::utf8(&out).map(Arc::from)
}

fn single_byte(args: &[Value]) -> Result<u8> {
    match args.first() {
        Some(Value::Char(byte)) => Ok(*byte),
        other => Err(PgError::internal(format!("argument 1 is no \"char\": {other:?}"))),
    }
}

fn shared(args: &[Value]) -> Result<&Arc<str>> {
    match args.first() {
        Some(Value::Text(text) | Value::Bpchar(text)) => Ok(text),
        other => Err(PgError::internal(format!("argument 1 is no text: {other:?}"))),
    }
}

fn char_text(byte: u8) -> String {
    let mut out = Vec::new();
    plain::output_char(byte, &mut out);
    String::from_utf8(out).expect("\"char\" is written in ASCII")
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn lengths() {
        check("bpchar", &["c:ab", "i:7", "b:false"], "ab ");
        check("bpchar", &["c:abcd", "i:7", "b:true"], "abc");
        check("bpchar", &["c:abc  ", "i:7", "b:false"], "abc");
        check(
            "bpchar",
            &["c:abcd", "i:7", "b:false"],
            "ERROR 22001: value too long for type character(3)",
        );
        check("varchar", &["t:žluť", "i:6", "b:true"], "žl");
        check(
            "varchar",
            &["t:žluť", "i:6", "b:false"],
            "ERROR 22001: value too long for type character varying(2)",
        );
        check("varchar", &["t:ab ", "i:6", "b:false"], "ab");
    }

    #[test]
    fn text_of_other_types() {
        check("textanycat(text,anynonarray)", &["t:a", "b:true"], "atrue");
        check("anytextcat(anynonarray,text)", &["c:a  ", "t:b"], "ab");
        check("i4tochar", &["i:200"], "ERROR 22003: \"char\" out of range");
    }
}
