//! COPY data ↔ fields: text, csv and binary, over arbitrary boundaries of messages.
//!
//! ```text
//! in    bytes ─▶ Lines / Tuples (where a record ends) ─▶ raw record ─▶ a shard, as it is
//!                                                              └─▶ text / csv (its fields) ─▶ values
//! out   DataRow ─▶ CopyOut ─▶ CopyData
//! ```
//! - [`options`]: what the statement says about the format
//! - [`lines`], [`binary`]: where records end
//! - [`text`], [`csv`]: the fields of a line, and lines of fields
//! - [`header`]: the header line
//! - [`out`]: rows → CopyData

pub mod binary;
pub mod csv;
pub mod header;
pub mod lines;
pub mod options;
pub mod out;
pub mod text;

/// The longest record that is taken in, in bytes: it is held until its end has come.
pub const RECORD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How much of a value or line CONTEXT shows, in bytes.
const SHOWN_BYTES_MAX: usize = 100;

/// A value or line as CONTEXT shows it: cut when it is long.
pub fn shown(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_BYTES_MAX {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut end = SHOWN_BYTES_MAX;
    // No character is cut in two.
    while end > 0 && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    format!("{}...", String::from_utf8_lossy(&bytes[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut() {
        let check = |text: String, expected: &str| assert_eq!(shown(text.as_bytes()), expected);
        check("abc".to_owned(), "abc");
        check("x".repeat(100), &"x".repeat(100));
        check("x".repeat(101), &format!("{}...", "x".repeat(100)));
        check(format!("{}ä", "x".repeat(99)), &format!("{}...", "x".repeat(99)));
    }
}
