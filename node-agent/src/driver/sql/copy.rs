//! COPY … FROM STDIN, for PostgreSQL.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{CopyFormat, CopyIn};

use super::{Dialect, Lowering};

/// Lowers a copy to its statement's text.
pub(super) fn copy_in(copy: &CopyIn) -> Result<String, NodeError> {
    let mut lowering = Lowering::new(Dialect::Postgres).with_bare(CopyIn::RECORD);
    lowering.push("COPY ");
    lowering.collection(&copy.target);
    lowering.names(" (", &copy.fields)?;
    lowering.push(" FROM STDIN (");
    match &copy.format {
        CopyFormat::Text { delimiter, null } => {
            lowering.push("FORMAT text");
            lowering.option("DELIMITER", delimiter);
            lowering.option("NULL", null);
        }
        CopyFormat::Csv { delimiter, null, quote, escape, force_not_null, force_null } => {
            lowering.push("FORMAT csv");
            lowering.option("DELIMITER", delimiter);
            lowering.option("NULL", null);
            lowering.option("QUOTE", quote);
            lowering.option("ESCAPE", escape);
            lowering.names(", FORCE_NOT_NULL (", force_not_null)?;
            lowering.names(", FORCE_NULL (", force_null)?;
        }
        CopyFormat::Binary => lowering.push("FORMAT binary"),
    }
    lowering.push(")");
    if let Some(filter) = &copy.filter {
        lowering.push(" WHERE ");
        lowering.expr(filter)?;
    }
    Ok(lowering.out)
}

impl Lowering<'_> {
    /// Names between parentheses, if there are any.
    fn names(&mut self, before: &str, names: &[String]) -> Result<(), NodeError> {
        if names.is_empty() {
            return Ok(());
        }
        self.push(before);
        self.list(names, ", ", |lowering, name| {
            lowering.name(name);
            Ok(())
        })?;
        self.push(")");
        Ok(())
    }

    /// An option whose value is a string, in the form that needs no setting to be read right.
    fn option(&mut self, name: &str, value: &str) {
        let text = dataman_node_protocol::context::quote_literal(value);
        self.push(&format!(", {name} {text}"));
    }
}

#[cfg(test)]
mod tests {
    use dataman_node_protocol::query::NodeQuery;

    use crate::driver::sql::{Dialect, lower};

    fn check(query: &str, expected: &str) {
        let query: NodeQuery = serde_json::from_str(query).expect("the test's query is one");
        assert_eq!(lower(&query, Dialect::Postgres, 0).expect("it is lowered"), expected);
    }

    #[test]
    fn copies() {
        check(
            r#"{"copy": {"shard_instance": "i", "collection": "T", "fields": ["a", "B"], "format": "binary"}}"#,
            r#"COPY "i"."T" ("a", "B") FROM STDIN (FORMAT binary)"#,
        );
        check(
            r#"{"copy": {"shard_instance": "i", "collection": "T", "fields": [],
                "format": {"text": {"delimiter": "|", "null": "\\N"}},
                "filter": {"is": {"arg": {"field": {"source": "record", "name": "a", "type": "int4"}}, "test": "null", "negated": false}}}}"#,
            r#"COPY "i"."T" FROM STDIN (FORMAT text, DELIMITER '|', NULL E'\\N') WHERE ("a" IS NULL)"#,
        );
        check(
            r#"{"copy": {"shard_instance": "i", "collection": "T", "fields": ["a"],
                "format": {"csv": {"delimiter": ",", "null": "", "quote": "'", "escape": "\"", "force_null": ["a"]}}}}"#,
            r#"COPY "i"."T" ("a") FROM STDIN (FORMAT csv, DELIMITER ',', NULL '', QUOTE '''', ESCAPE '"', FORCE_NULL ("a"))"#,
        );
    }
}
