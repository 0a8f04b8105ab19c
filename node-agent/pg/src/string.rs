//! Text: functions, operators, casts and length coercions (the manual's sections 8.3 and 9.4), in the C locale.

use crate::error::{PgError, Result};

/// Reads bytes from the wire as text.
///
/// # Errors
/// `22021` `invalid byte sequence for encoding "UTF8": 0x…` for bytes that are not UTF-8 and for a zero byte.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let bad = &bytes[error.valid_up_to()..];
        invalid_sequence(bad)
    })?;
    match text.as_bytes().contains(&0) {
        true => Err(invalid_sequence(&[0])),
        false => Ok(text),
    }
}

/// The error for bytes that start with a sequence that is not UTF-8; it shows as many as the first byte asks for.
fn invalid_sequence(bad: &[u8]) -> PgError {
    let wanted = match bad.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    };
    let shown: Vec<String> = bad.iter().take(wanted).map(|byte| format!("0x{byte:02x}")).collect();
    PgError::new(
        "22021",
        format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")),
    )
}
