//! How a statement that was carried out is answered.

use dataman_node_protocol::query::NodeQuery;

/// The command tag that answers a query.
pub fn command_tag(query: &NodeQuery, affected: u64) -> String {
    match query {
        NodeQuery::Get(_) | NodeQuery::Filter(_) | NodeQuery::Aggregate(_) => {
            format!("SELECT {affected}")
        }
        NodeQuery::Set(_) | NodeQuery::Insert(_) | NodeQuery::InsertMany(_) => {
            format!("INSERT 0 {affected}")
        }
        NodeQuery::Update(_) => format!("UPDATE {affected}"),
        NodeQuery::Delete(_) => format!("DELETE {affected}"),
        NodeQuery::Copy(_) => format!("COPY {affected}"),
        NodeQuery::Define(_) => "DEFINE".to_owned(),
        NodeQuery::Inspect(_) => format!("INSPECT {affected}"),
        NodeQuery::Sql(sql) => sql_tag(&sql.text, affected),
    }
}

/// The tag of SQL text, by its first word; what counts nothing bears no count.
fn sql_tag(text: &str, affected: u64) -> String {
    let word: String = text
        .trim_start()
        .trim_start_matches('(')
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_uppercase();
    match word.as_str() {
        "INSERT" => format!("INSERT 0 {affected}"),
        "UPDATE" | "DELETE" | "MERGE" | "COPY" => format!("{word} {affected}"),
        "SELECT" | "WITH" | "VALUES" | "TABLE" => format!("SELECT {affected}"),
        _ if affected > 0 => format!("{word} {affected}"),
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let check = |text: &str, expected: &str| assert_eq!(sql_tag(text, 2), expected);
        check("select 1", "SELECT 2");
        check("  (VALUES (1))", "SELECT 2");
        check("insert into t", "INSERT 0 2");
        check("WITH x AS (SELECT 1) SELECT 1", "SELECT 2");
        check("copy t to stdout", "COPY 2");
    }
}
