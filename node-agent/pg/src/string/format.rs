//! Text made of several values: `concat`, `concat_ws`, `format` (the manual's section 9.4.1), `quote_…`.

use crate::arguments::{is_null, text, variadic};
use crate::catalog::quote_identifier;
use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::string::cast::{output_text, to_text};
use crate::types::TypeId;
use crate::value::Value;

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("text_concat", |call, args| join(call, args, 0, "")),
    entry("text_concat_ws", |call, args| match is_null(args, 0) {
        true => Ok(Value::Null),
        false => join(call, args, 1, text(args, 0)?),
    }),
    entry("text_format", format),
    entry("text_format_nv", format),
    entry("quote_ident", |_, args| Ok(Value::text(quote_identifier(text(args, 0)?)))),
    entry("quote_literal", |_, args| Ok(Value::text(quote_literal(text(args, 0)?)))),
    entry("quote_nullable", |_, args| match is_null(args, 0) {
        true => Ok(Value::text("NULL")),
        false => Ok(Value::text(quote_literal(text(args, 0)?))),
    }),
    entry("quote_literal(anyelement)", |call, args| {
        Ok(Value::text(quote_literal(&to_text(&args[0], call.arguments[0], call.context)?)))
    }),
    entry("quote_nullable(anyelement)", |call, args| match is_null(args, 0) {
        true => Ok(Value::text("NULL")),
        false => {
            Ok(Value::text(quote_literal(&to_text(&args[0], call.arguments[0], call.context)?)))
        }
    }),
];

/// A text as an SQL literal; with the `E''` form when it holds a backslash.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        true => format!("E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

fn join(call: &CallContext<'_>, args: &[Value], first: usize, separator: &str) -> Result<Value> {
    let Some(values) = variadic(call, args, first)? else { return Ok(Value::Null) };
    let mut joined = String::new();
    let mut empty = true;
    for (ty, value) in values {
        if value.is_null() {
            continue;
        }
        if !empty {
            joined.push_str(separator);
        }
        empty = false;
        joined.push_str(&output_text(value, ty, call.context)?);
    }
    Ok(Value::text(joined))
}

fn format(call: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    if is_null(args, 0) {
        return Ok(Value::Null);
    }
    // A NULL array after VARIADIC stands for no arguments.
    let values = if args.len() > 1 { variadic(call, args, 1)? } else { None };
    let mut arguments =
        Arguments { values: values.unwrap_or_default(), next: 0, context: call.context };
    let mut out = String::new();
    let mut rest = text(args, 0)?;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let mut specifier = Specifier { rest: &rest[at + 1..] };
        if specifier.peek()? == '%' {
            out.push('%');
        } else {
            specifier.write(&mut arguments, &mut out)?;
        }
        let last = specifier.peek()?;
        rest = &specifier.rest[last.len_utf8()..];
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

struct Arguments<'a> {
    values: Vec<(TypeId, &'a Value)>,
    next: usize,
    context: &'a Context,
}

impl<'a> Arguments<'a> {
    /// The argument at a position from 1, or the next one.
    fn take(&mut self, position: Option<i32>) -> Result<(TypeId, &'a Value)> {
        let index = match position {
            Some(position) => usize::try_from(position - 1).unwrap_or(usize::MAX),
            None => self.next,
        };
        let found = self.values.get(index).copied();
        self.next = index.saturating_add(1);
        found.ok_or_else(|| PgError::new("22023", "too few arguments for format()"))
    }
}

/// What follows a `%`: `[position$][-][width]type`.
struct Specifier<'a> {
    rest: &'a str,
}

impl Specifier<'_> {
    fn peek(&self) -> Result<char> {
        self.rest.chars().next().ok_or_else(|| {
            PgError::new("22023", "unterminated format() type specifier")
                .with_hint("For a single \"%\" use \"%%\".")
        })
    }

    fn skip(&mut self) -> Result<()> {
        self.rest = &self.rest[1..];
        self.peek().map(|_| ())
    }

    fn number(&mut self) -> Result<Option<i32>> {
        let mut number: Option<i32> = None;
        while let Some(digit) = self.peek()?.to_digit(10) {
            let value = number.unwrap_or(0).checked_mul(10);
            let value = value.and_then(|value| value.checked_add(i32::try_from(digit).ok()?));
            number = Some(value.ok_or_else(|| PgError::new("22003", "number is out of range"))?);
            self.skip()?;
        }
        Ok(number)
    }

    fn position(number: i32) -> Result<i32> {
        match number {
            0 => Err(PgError::new(
                "22023",
                "format specifies argument 0, but arguments are numbered from 1",
            )),
            number => Ok(number),
        }
    }

    /// Writes the value; `rest` is at the type letter afterwards.
    fn write(&mut self, arguments: &mut Arguments<'_>, out: &mut String) -> Result<()> {
        let mut position = None;
        let mut width = 0;
        let mut width_argument = None;
        let mut left = false;
        let first = self.number()?;
        let mut more = true;
        if let Some(number) = first {
            if self.peek()? == '$' {
                position = Some(Self::position(number)?);
                self.skip()?;
            } else {
                width = number;
                more = false;
            }
        }
        if more {
            while self.peek()? == '-' {
                left = true;
                self.skip()?;
            }
            if self.peek()? == '*' {
                self.skip()?;
                let number = self.number()?;
                if let Some(number) = number {
                    if self.peek()? != '$' {
                        return Err(PgError::new(
                            "22023",
                            "width argument position must be ended by \"$\"",
                        ));
                    }
                    width_argument = Some(Some(Self::position(number)?));
                    self.skip()?;
                } else {
                    width_argument = Some(None);
                }
            } else {
                width = self.number()?.unwrap_or(0);
            }
        }
        let letter = self.peek()?;
        if !matches!(letter, 's' | 'I' | 'L') {
            let message = format!("unrecognized format() type specifier \"{letter}\"");
            return Err(PgError::new("22023", message).with_hint("For a single \"%\" use \"%%\"."));
        }
        if let Some(position) = width_argument {
            width = read_width(arguments.take(position)?, arguments.context)?;
        }
        let (ty, value) = arguments.take(position)?;
        let shown = match (letter, value) {
            ('s', Value::Null) => String::new(),
            ('L', Value::Null) => "NULL".to_owned(),
            (_, Value::Null) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(PgError::new("22004", message));
            }
            (letter, value) => {
                let text = output_text(value, ty, arguments.context)?;
                match letter {
                    'I' => quote_identifier(&text),
                    'L' => quote_literal(&text),
                    _ => text.to_string(),
                }
            }
        };
        append_aligned(&shown, width, left, out)
    }
}

fn read_width((ty, value): (TypeId, &Value), context: &Context) -> Result<i32> {
    match value {
        Value::Null => Ok(0),
        Value::Int4(width) => Ok(*width),
        Value::Int2(width) => Ok(i32::from(*width)),
        other => crate::integer::input_int4(&output_text(other, ty, context)?),
    }
}

fn append_aligned(shown: &str, width: i32, left: bool, out: &mut String) -> Result<()> {
    let left = left || width < 0;
    if width == i32::MIN {
        return Err(PgError::new("22003", "number is out of range"));
    }
    let missing = (width.unsigned_abs() as usize).saturating_sub(shown.chars().count());
    // The bound of PostgreSQL's string buffers.
    if missing.saturating_add(out.len()) >= super::VALUE_BYTES_MAX {
        return Err(PgError::new("54000", "out of memory").with_detail(format!(
            "Cannot enlarge string buffer containing {} bytes by {missing} more bytes.",
            out.len()
        )));
    }
    let blanks = std::iter::repeat_n(' ', missing);
    if left {
        out.push_str(shown);
        out.extend(blanks);
    } else {
        out.extend(blanks);
        out.push_str(shown);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn joined() {
        check("text_concat", &["t:a", "n", "b:true", "i:1"], "at1");
        check("text_concat_ws", &["t:,", "t:a", "n", "i:2"], "a,2");
        check("text_concat_ws", &["n", "t:a"], "NULL");
    }

    #[test]
    fn formatted() {
        check("text_format", &["t:Hello %s, %1$s %%", "t:World"], "Hello World, World %");
        check(
            "text_format",
            &["t:|%10s|%-10s|%*s|", "t:a", "t:b", "i:-3", "t:c"],
            "|         a|b         |c  |",
        );
        check(
            "text_format",
            &["t:%I %L %L", "t:Foo bar", "t:O'R\\", "n"],
            "\"Foo bar\" E'O''R\\\\' NULL",
        );
        check("text_format", &["t:%*s", "i:2147483647", "t:"], "ERROR 54000: out of memory");
        check("text_format", &["t:%s"], "ERROR 22023: too few arguments for format()");
        check("text_format", &["t:%"], "ERROR 22023: unterminated format() type specifier");
        check("text_format", &["t:%1"], "ERROR 22023: unterminated format() type specifier");
        check(
            "text_format",
            &["t:%d", "i:1"],
            "ERROR 22023: unrecognized format() type specifier \"d\"",
        );
        check(
            "text_format",
            &["t:%0$s", "i:1"],
            "ERROR 22023: format specifies argument 0, but arguments are numbered from 1",
        );
        check("text_format", &["t:%2$s %s", "i:1", "i:2", "i:3"], "2 3");
    }

    #[test]
    fn quoted() {
        check("quote_ident", &["t:foo_1"], "foo_1");
        check("quote_ident", &["t:select"], "\"select\"");
        check("quote_ident", &["t:a\"b"], "\"a\"\"b\"");
        check("quote_literal(anyelement)", &["b:true"], "'true'");
    }
}
