//! The words of CommandComplete.

/// The tag of a planned statement: its word and the number of rows. `INSERT` is followed by an OID that is always 0.
pub fn counted(word: &str, rows: u64) -> String {
    match word {
        "INSERT" => format!("INSERT 0 {rows}"),
        word => format!("{word} {rows}"),
    }
}

/// The command as messages name it: `cannot execute INSERT in a read-only transaction`.
pub fn command(word: &str) -> &str {
    word.split(' ').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_postgresqls() {
        assert_eq!(counted("INSERT 0", 2), "INSERT 0 2");
        assert_eq!(counted("INSERT", 2), "INSERT 0 2");
        assert_eq!(counted("SELECT", 0), "SELECT 0");
        assert_eq!(command("INSERT 0"), "INSERT");
    }
}
