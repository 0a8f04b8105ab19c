//! The header line of text and csv.

use dataman_pg::PgError;

/// Checks the fields of a header line (HEADER MATCH) against the columns' names. `null` is what NULL looks like.
///
/// # Errors
/// `22P04`, naming the first field that is another.
pub fn check_header(
    fields: &[Option<Vec<u8>>],
    columns: &[&str],
    null: &str,
) -> Result<(), PgError> {
    if fields.len() != columns.len() {
        return Err(PgError::new(
            "22P04",
            format!(
                "wrong number of fields in header line: got {}, expected {}",
                fields.len(),
                columns.len()
            ),
        ));
    }
    for (place, (field, column)) in fields.iter().zip(columns).enumerate() {
        let place = place + 1;
        let Some(field) = field else {
            return Err(PgError::new(
                "22P04",
                format!(
                    "column name mismatch in header line field {place}: got null value (\"{null}\"), expected \"{column}\""
                ),
            ));
        };
        if field != column.as_bytes() {
            let found = String::from_utf8_lossy(field);
            return Err(PgError::new(
                "22P04",
                format!(
                    "column name mismatch in header line field {place}: got \"{found}\", expected \"{column}\""
                ),
            ));
        }
    }
    Ok(())
}
