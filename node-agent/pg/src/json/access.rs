//! Looking into `json` and `jsonb`: members, paths, lengths, kinds, containment (the manual's section 9.16).

use std::cmp::Ordering;

use super::Jsonb;
use super::parse::{Scalar, Sink, Strings, parse};
use crate::arguments::{array, int4, jsonb, text};
use crate::error::{PgError, Result};
use crate::order;
use crate::registry::{Entry, entry};
use crate::value::{Array, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("json_object_field", |_, args| json_get(args, &[Step::Key(text(args, 1)?)], Form::Json)),
    entry("json_object_field_text", |_, args| {
        json_get(args, &[Step::Key(text(args, 1)?)], Form::Text)
    }),
    entry("json_array_element", |_, args| {
        json_get(args, &[Step::Index(int4(args, 1)?)], Form::Json)
    }),
    entry("json_array_element_text", |_, args| {
        json_get(args, &[Step::Index(int4(args, 1)?)], Form::Text)
    }),
    entry("json_extract_path", |_, args| json_extract(args, Form::Json)),
    entry("json_extract_path_text", |_, args| json_extract(args, Form::Text)),
    entry("json_array_length", |_, args| {
        // PostgreSQL reads strings here without resolving their escapes.
        let node = read(text(args, 0)?, Strings::Checked)?;
        match node.content {
            Content::Array(elements) => Ok(crate::arguments::count(elements.len())),
            Content::Object(_) => Err(no_array("a non-array")),
            Content::Scalar(..) => Err(no_array("a scalar")),
        }
    }),
    entry("json_typeof", |_, args| {
        let node = read(text(args, 0)?, Strings::Checked)?;
        Ok(Value::text(match node.content {
            Content::Object(_) => "object",
            Content::Array(_) => "array",
            Content::Scalar(Scalar::String, _) => "string",
            Content::Scalar(Scalar::Number, _) => "number",
            Content::Scalar(Scalar::True | Scalar::False, _) => "boolean",
            Content::Scalar(Scalar::Null, _) => "null",
        }))
    }),
    entry("json_strip_nulls", |_, args| {
        let source = text(args, 0)?;
        let mut out = Vec::with_capacity(source.len());
        write_without_nulls(source, &read(source, Strings::Decoded)?, &mut out);
        Ok(Value::Json(String::from_utf8(out).expect("json is written from strings").into()))
    }),
    entry("jsonb_object_field", |_, args| {
        Ok(give(jsonb(args, 0)?.member(text(args, 1)?), Form::Json))
    }),
    entry("jsonb_object_field_text", |_, args| {
        Ok(give(jsonb(args, 0)?.member(text(args, 1)?), Form::Text))
    }),
    entry("jsonb_array_element", |_, args| {
        Ok(give(element_at_top(jsonb(args, 0)?, int4(args, 1)?), Form::Json))
    }),
    entry("jsonb_array_element_text", |_, args| {
        Ok(give(element_at_top(jsonb(args, 0)?, int4(args, 1)?), Form::Text))
    }),
    entry("jsonb_extract_path", |_, args| jsonb_extract(args, Form::Json)),
    entry("jsonb_extract_path_text", |_, args| jsonb_extract(args, Form::Text)),
    entry("jsonb_array_length", |_, args| match jsonb(args, 0)? {
        Jsonb::Array(elements) => Ok(crate::arguments::count(elements.len())),
        Jsonb::Object(_) => Err(no_array("a non-array")),
        _ => Err(no_array("a scalar")),
    }),
    entry("jsonb_typeof", |_, args| {
        Ok(Value::text(match jsonb(args, 0)? {
            Jsonb::Null => "null",
            Jsonb::Bool(_) => "boolean",
            Jsonb::Number(_) => "number",
            Jsonb::String(_) => "string",
            Jsonb::Array(_) => "array",
            Jsonb::Object(_) => "object",
        }))
    }),
    entry("jsonb_exists", |_, args| Ok(Value::Bool(exists(jsonb(args, 0)?, text(args, 1)?)))),
    entry("jsonb_exists_any", |_, args| {
        let value = jsonb(args, 0)?;
        Ok(Value::Bool(keys(array(args, 1)?).any(|key| exists(value, key))))
    }),
    entry("jsonb_exists_all", |_, args| {
        let value = jsonb(args, 0)?;
        Ok(Value::Bool(keys(array(args, 1)?).all(|key| exists(value, key))))
    }),
    entry("jsonb_contains", |_, args| {
        Ok(Value::Bool(contains_at_top(jsonb(args, 0)?, jsonb(args, 1)?)))
    }),
    entry("jsonb_contained", |_, args| {
        Ok(Value::Bool(contains_at_top(jsonb(args, 1)?, jsonb(args, 0)?)))
    }),
];

fn no_array(what: &str) -> PgError {
    PgError::new("22023", format!("cannot get array length of {what}"))
}

/// Whether a value is wanted as JSON or as text (`->>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Text,
}

/// The texts of an array, without its NULLs.
pub(super) fn keys(array: &Array) -> impl Iterator<Item = &str> {
    array.elements.iter().filter_map(|element| match element {
        Value::Text(text) => Some(&**text),
        _ => None,
    })
}

/// A path element as a place in an array, read as C's `strtol` reads it.
pub(crate) fn path_index(text: &str) -> Option<i32> {
    let digits = text.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

// ---- json, by its text ----

/// A parsed `json` value with its place in the text.
pub(crate) struct Node {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    /// A scalar, with a string's content.
    Scalar(Scalar, String),
    Array(Vec<Node>),
    /// Members as they come, keys repeated too.
    Object(Vec<(String, Node)>),
}

pub(crate) fn read(source: &str, strings: Strings) -> Result<Node> {
    #[derive(Default)]
    struct Builder {
        open: Vec<Node>,
        keys: Vec<String>,
        done: Option<Node>,
    }
    impl Builder {
        fn put(&mut self, node: Node) {
            match self.open.last_mut().map(|parent| &mut parent.content) {
                Some(Content::Array(elements)) => elements.push(node),
                Some(Content::Object(members)) => {
                    let key = self.keys.pop().expect("the parser gives a key before its value");
                    members.push((key, node));
                }
                Some(Content::Scalar(..)) | None => self.done = Some(node),
            }
        }
        fn close(&mut self, end: usize) {
            if let Some(mut node) = self.open.pop() {
                node.end = end;
                self.put(node);
            }
        }
    }
    impl Sink for Builder {
        fn object_start(&mut self, start: usize) {
            self.open.push(Node { start, end: start, content: Content::Object(Vec::new()) });
        }
        fn key(&mut self, key: &str) {
            self.keys.push(key.to_owned());
        }
        fn object_end(&mut self, end: usize) {
            self.close(end);
        }
        fn array_start(&mut self, start: usize) {
            self.open.push(Node { start, end: start, content: Content::Array(Vec::new()) });
        }
        fn array_end(&mut self, end: usize) {
            self.close(end);
        }
        fn scalar(&mut self, kind: Scalar, start: usize, end: usize, string: &str) -> Result<()> {
            self.put(Node { start, end, content: Content::Scalar(kind, string.to_owned()) });
            Ok(())
        }
    }
    let mut builder = Builder::default();
    parse(source, strings, &mut builder)?;
    Ok(builder.done.expect("a text that parses holds one value"))
}

enum Step<'a> {
    /// A member by key.
    Key(&'a str),
    /// An element by place; negative from the end.
    Index(i32),
    /// Whichever the value at hand asks for.
    Either(&'a str),
}

/// The last value that the path leads to: of repeated keys every one is followed.
fn follow<'a>(node: &'a Node, path: &[Step<'_>]) -> Option<&'a Node> {
    let Some((step, rest)) = path.split_first() else { return Some(node) };
    match (&node.content, step) {
        (Content::Object(members), Step::Key(wanted) | Step::Either(wanted)) => members
            .iter()
            .rev()
            .filter(|(key, _)| key == wanted)
            .find_map(|(_, member)| follow(member, rest)),
        (Content::Array(elements), Step::Index(_) | Step::Either(_)) => {
            let index = match step {
                Step::Index(index) => *index,
                Step::Key(text) | Step::Either(text) => path_index(text)?,
            };
            follow(elements.get(place(index, elements.len())?)?, rest)
        }
        _ => None,
    }
}

/// An index as a place from the start; negative ones count from the end.
pub(crate) fn place(index: i32, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn json_get(args: &[Value], path: &[Step<'_>], form: Form) -> Result<Value> {
    let source = text(args, 0)?;
    let root = read(source, Strings::Decoded)?;
    Ok(follow(&root, path).map_or(Value::Null, |node| shown(source, node, form)))
}

fn shown(source: &str, node: &Node, form: Form) -> Value {
    let given = &source[node.start..node.end];
    match (form, &node.content) {
        (Form::Json, _) => Value::Json(given.into()),
        (Form::Text, Content::Scalar(Scalar::Null, _)) => Value::Null,
        (Form::Text, Content::Scalar(Scalar::String, string)) => Value::text(string.as_str()),
        (Form::Text, _) => Value::text(given),
    }
}

/// The elements of a `json` array, for the function of that name.
pub(crate) fn json_elements(source: &str, form: Form, name: &str) -> Result<Vec<Value>> {
    let strings = if form == Form::Text { Strings::Decoded } else { Strings::Checked };
    let refused = |what: &str| Err(PgError::new("22023", format!("cannot call {name} on {what}")));
    match &read(source, strings)?.content {
        Content::Array(elements) => {
            Ok(elements.iter().map(|node| shown(source, node, form)).collect())
        }
        Content::Object(_) => refused("a non-array"),
        Content::Scalar(..) => refused("a scalar"),
    }
}

/// The members of a `json` object as they come, keys repeated too.
pub(crate) fn json_members(source: &str, form: Form) -> Result<Vec<(String, Value)>> {
    let refused = |what: &str| Err(PgError::new("22023", format!("cannot deconstruct {what}")));
    match read(source, Strings::Decoded)?.content {
        Content::Object(members) => {
            let member = |(key, node): (String, Node)| (key, shown(source, &node, form));
            Ok(members.into_iter().map(member).collect())
        }
        Content::Array(_) => refused("an array as an object"),
        Content::Scalar(..) => refused("a scalar"),
    }
}

/// The keys of a `json` object as they come.
pub(crate) fn json_keys(source: &str) -> Result<Vec<Value>> {
    let refused =
        |what: &str| Err(PgError::new("22023", format!("cannot call json_object_keys on {what}")));
    match read(source, Strings::Decoded)?.content {
        Content::Object(members) => {
            Ok(members.into_iter().map(|(key, _)| Value::text(key)).collect())
        }
        Content::Array(_) => refused("an array"),
        Content::Scalar(..) => refused("a scalar"),
    }
}

fn json_extract(args: &[Value], form: Form) -> Result<Value> {
    let path = array(args, 1)?;
    if path.elements.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let path: Vec<Step<'_>> = keys(path).map(Step::Either).collect();
    json_get(args, &path, form)
}

fn write_without_nulls(source: &str, node: &Node, out: &mut Vec<u8>) {
    match &node.content {
        Content::Scalar(Scalar::String, string) => super::escape_string(string, out),
        Content::Scalar(..) => out.extend_from_slice(&source.as_bytes()[node.start..node.end]),
        Content::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_without_nulls(source, element, out);
            }
            out.push(b']');
        }
        Content::Object(members) => {
            out.push(b'{');
            let mut first = true;
            for (key, member) in members {
                if matches!(member.content, Content::Scalar(Scalar::Null, _)) {
                    continue;
                }
                if !first {
                    out.push(b',');
                }
                first = false;
                super::escape_string(key, out);
                out.push(b':');
                write_without_nulls(source, member, out);
            }
            out.push(b'}');
        }
    }
}

// ---- jsonb ----

fn element(value: &Jsonb, index: i32) -> Option<&Jsonb> {
    let Jsonb::Array(elements) = value else { return None };
    elements.get(place(index, elements.len())?)
}

/// A scalar by itself is kept as an array of one, and `->` shows it.
fn element_at_top(value: &Jsonb, index: i32) -> Option<&Jsonb> {
    match value {
        Jsonb::Array(_) | Jsonb::Object(_) => element(value, index),
        scalar => matches!(index, 0 | -1).then_some(scalar),
    }
}

/// A `jsonb` value as JSON or as text; NULL for none, and for JSON's null as text.
pub(crate) fn give(found: Option<&Jsonb>, form: Form) -> Value {
    match (found, form) {
        (None, _) | (Some(Jsonb::Null), Form::Text) => Value::Null,
        (Some(found), Form::Json) => Value::Jsonb(found.clone().into()),
        (Some(Jsonb::String(string)), Form::Text) => Value::Text(string.clone()),
        (Some(found), Form::Text) => Value::text(found.to_text()),
    }
}

fn jsonb_extract(args: &[Value], form: Form) -> Result<Value> {
    let path = array(args, 1)?;
    if path.elements.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let mut found = Some(jsonb(args, 0)?);
    for step in keys(path) {
        found = found.and_then(|value| match value {
            Jsonb::Object(_) => value.member(step),
            Jsonb::Array(_) => element(value, path_index(step)?),
            _ => None,
        });
    }
    Ok(give(found, form))
}

fn exists(value: &Jsonb, key: &str) -> bool {
    let is_key = |value: &Jsonb| matches!(value, Jsonb::String(string) if **string == *key);
    match value {
        Jsonb::Object(_) => value.member(key).is_some(),
        Jsonb::Array(elements) => elements.iter().any(is_key),
        scalar => is_key(scalar),
    }
}

/// `@>`: at the top, and only there, an array contains a scalar that is one of its elements.
fn contains_at_top(value: &Jsonb, part: &Jsonb) -> bool {
    match (value, part) {
        (Jsonb::Array(elements), scalar) if is_scalar(scalar) => {
            elements.iter().any(|element| is_same_scalar(element, scalar))
        }
        _ => contains(value, part),
    }
}

fn is_scalar(value: &Jsonb) -> bool {
    !matches!(value, Jsonb::Array(_) | Jsonb::Object(_))
}

fn is_same_scalar(left: &Jsonb, right: &Jsonb) -> bool {
    match (left, right) {
        (Jsonb::Number(left), Jsonb::Number(right)) => {
            let (left, right) = (Value::Numeric(left.clone()), Value::Numeric(right.clone()));
            order::compare(&left, &right) == Ordering::Equal
        }
        (left, right) => is_scalar(left) && left == right,
    }
}

fn contains(value: &Jsonb, part: &Jsonb) -> bool {
    match (value, part) {
        (Jsonb::Object(_), Jsonb::Object(members)) => members
            .iter()
            .all(|(key, part)| value.member(key).is_some_and(|value| contains(value, part))),
        (Jsonb::Array(elements), Jsonb::Array(parts)) => {
            parts.iter().all(|part| elements.iter().any(|element| contains(element, part)))
        }
        (value, part) => is_same_scalar(value, part),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn json_keeps_its_text() {
        check("json_object_field", &["J: {\"a\" : [1, 2 ] } ", "t:a"], "[1, 2 ]");
        check("json_extract_path", &["J: {\"a\" : [1, 2 ] } ", "T:{}"], "{\"a\" : [1, 2 ] }");
        check("json_extract_path", &["J:{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "T:{a,b}"], "1");
        check("json_extract_path", &["J:[1,[2,3]]", "T:{\" 1\",-1}"], "3");
        check("json_array_element", &["J:[1,2]", "i:-1"], "2");
        check("json_array_element", &["J:{}", "i:0"], "NULL");
        check("json_object_field_text", &["J:{\"a\":null}", "t:a"], "NULL");
        check("json_object_field_text", &["J:{\"a\":\"\\u0041\"}", "t:a"], "A");
        check("json_extract_path_text", &["J:\"x\"", "T:{}"], "x");
        check(
            "json_strip_nulls",
            &["J:{\"a\": 1, \"b\": null, \"c\": [null, {\"d\": null, \"e\": \"\\u0041\"}]}"],
            "{\"a\":1,\"c\":[null,{\"e\":\"A\"}]}",
        );
        check("json_typeof", &["J:\"\\u0000\""], "string");
        check(
            "json_array_length",
            &["J:{}"],
            "ERROR 22023: cannot get array length of a non-array",
        );
    }

    #[test]
    fn jsonb_members() {
        check("jsonb_object_field", &["j:{\"a\":{\"b\":1}}", "t:a"], "{\"b\": 1}");
        check("jsonb_array_element_text", &["j:[1,\"x\"]", "i:-1"], "x");
        check("jsonb_array_element", &["j:\"x\"", "i:-1"], "\"x\"");
        check("jsonb_array_element_text", &["j:[1]", "i:-2147483648"], "NULL");
        check("jsonb_extract_path", &["j:{\"a\":[1,2]}", "T:{a,-1}"], "2");
        check("jsonb_extract_path", &["j:1", "T:{a}"], "NULL");
        check("jsonb_typeof", &["j:1"], "number");
    }

    #[test]
    fn containment() {
        check("jsonb_contains", &["j:[\"foo\",\"bar\"]", "j:\"bar\""], "true");
        check("jsonb_contains", &["j:\"bar\"", "j:[\"bar\"]"], "false");
        check("jsonb_contains", &["j:[[1,2]]", "j:[1]"], "false");
        check("jsonb_contains", &["j:[[1,2],3]", "j:[[2]]"], "true");
        check("jsonb_contains", &["j:{\"a\":[1.0]}", "j:{\"a\":[1]}"], "true");
        check("jsonb_contains", &["j:{\"a\":[1]}", "j:{\"a\":1}"], "false");
        check("jsonb_contained", &["j:{}", "j:{\"a\":1}"], "true");
        check("jsonb_exists", &["j:\"a\"", "t:a"], "true");
        check("jsonb_exists_any", &["j:[\"a\"]", "T:{NULL,a}"], "true");
        check("jsonb_exists_all", &["j:[\"a\"]", "T:{}"], "true");
    }
}
