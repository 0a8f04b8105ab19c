//! The parser against PostgreSQL's own: the same statements are accepted and rejected, with the same message and position.
//!
//! The statements are in `syntax/*.sql`, one a line. `reject.sql` holds what PostgreSQL's grammar rejects,
//! `unsupported.sql` what it accepts and dataman refuses; everything else is accepted by both.

use dataman_proxy::parse::parse;
use dataman_proxy::parse::syntax::Statement;
use dataman_sql_tests::engine::Postgres;
use tokio_postgres::error::ErrorPosition;

/// What the files' statements must be to the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Accepted,
    Unsupported,
    Rejected,
}

const FILES: [(&str, &str, Expected); 7] = [
    ("query.sql", include_str!("../syntax/query.sql"), Expected::Accepted),
    ("expression.sql", include_str!("../syntax/expression.sql"), Expected::Accepted),
    ("change.sql", include_str!("../syntax/change.sql"), Expected::Accepted),
    ("define.sql", include_str!("../syntax/define.sql"), Expected::Accepted),
    ("session.sql", include_str!("../syntax/session.sql"), Expected::Accepted),
    ("unsupported.sql", include_str!("../syntax/unsupported.sql"), Expected::Unsupported),
    ("reject.sql", include_str!("../syntax/reject.sql"), Expected::Rejected),
];

/// SQLSTATE, message and position.
type Failure = (String, String, Option<u32>);

/// What the server's parser says. Its grammar runs when a statement is prepared; what it finds out about names and types
/// after that is not asked here.
///
/// Some rules of the grammar are looked at only when a statement is carried out; `run` asks for that, in vain.
async fn server(client: &tokio_postgres::Client, sql: &str, run: bool) -> Option<Failure> {
    let error = match client.prepare(sql).await {
        Err(error) => error,
        Ok(_) if run => client.batch_execute(&format!("{sql}; SELECT 1/0")).await.err()?,
        Ok(_) => return None,
    };
    let error = error.as_db_error().expect("the server answers").clone();
    let position = match error.position() {
        Some(ErrorPosition::Original(position)) => Some(*position),
        _ => None,
    };
    Some((error.code().code().to_owned(), error.message().to_owned(), position))
}

/// Whether the server's failure is its grammar's.
fn is_grammar((code, message, _): &Failure) -> bool {
    code == "42601"
        && ["syntax error", "unterminated", "trailing junk", "zero-length", "invalid Unicode"]
            .iter()
            .any(|start| message.starts_with(start))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grammar_is_postgresqls() {
    let session = Postgres::shared().create_database("syntax").await.expect("a database");
    let mut wrong = Vec::new();
    for (file, text, expected) in FILES {
        for (number, sql) in text.lines().enumerate().filter(|(_, sql)| !sql.starts_with("-- ")) {
            let ours = parse(sql);
            let theirs = server(&session, sql, ours.is_err()).await;
            let complaint = match &ours {
                Err(ours) => {
                    let position =
                        ours.position().and_then(|position| u32::try_from(position).ok());
                    let ours = (ours.sqlstate().to_owned(), ours.message().to_owned(), position);
                    if expected != Expected::Rejected {
                        Some(format!("rejected: {ours:?}; server: {theirs:?}"))
                    } else if theirs.as_ref() != Some(&ours) {
                        Some(format!("ours: {ours:?}; server: {theirs:?}"))
                    } else {
                        None
                    }
                }
                Ok(statements) => {
                    let unsupported = matches!(statements[0].statement, Statement::Unsupported(_));
                    if expected == Expected::Rejected || theirs.as_ref().is_some_and(is_grammar) {
                        Some(format!("accepted; server: {theirs:?}"))
                    } else if unsupported != (expected == Expected::Unsupported) {
                        Some(format!("{:?}", statements[0].statement))
                    } else {
                        None
                    }
                }
            };
            wrong.extend(
                complaint.map(|complaint| format!("{file}:{}: {sql}\n    {complaint}", number + 1)),
            );
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
