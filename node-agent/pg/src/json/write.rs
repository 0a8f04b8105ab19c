//! JSON written as PostgreSQL writes it.

use std::io::Write;

use super::Jsonb;

/// Appends the text form of `jsonb`: one blank after a colon and after a comma.
pub fn write_jsonb(value: &Jsonb, out: &mut Vec<u8>) {
    match value {
        Jsonb::Null => out.extend_from_slice(b"null"),
        Jsonb::Bool(true) => out.extend_from_slice(b"true"),
        Jsonb::Bool(false) => out.extend_from_slice(b"false"),
        Jsonb::Number(number) => {
            write!(out, "{number}").expect("writing to memory cannot fail");
        }
        Jsonb::String(text) => escape_string(text, out),
        Jsonb::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                write_jsonb(element, out);
            }
            out.push(b']');
        }
        Jsonb::Object(members) => {
            out.push(b'{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                escape_string(key, out);
                out.extend_from_slice(b": ");
                write_jsonb(member, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a JSON string literal: quotes around it, and escapes only where JSON demands them.
pub fn escape_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
