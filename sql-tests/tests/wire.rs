//! The dialogues of `wire/*.txt`, with dataman and, where they are not dataman's own, with a PostgreSQL.
//!
//! `DATAMAN_BLESS=1` writes down what PostgreSQL answers (dataman, for its own dialogues) in place of the expected lines.

use std::path::Path;

use dataman_sql_tests::dialogue::{Server, hold, parse, record};
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::topology::{Running, Topology};

#[tokio::test]
async fn dialogues() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("wire");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of dialogues")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().replace('-', "_");
    let databases: Vec<String> = files.iter().map(|path| name(path)).collect();
    let dataman = Running::start(Topology::Sqlite4, &databases).await.expect("dataman starts");
    let postgres = Postgres::start().expect("a PostgreSQL server");
    let bless = std::env::var_os("DATAMAN_BLESS").is_some();
    let mut failures = Vec::new();
    for path in &files {
        let database = name(path);
        postgres.create_database(&database).await.expect("a database");
        let own =
            Server { port: dataman.port(), user: "dataman".to_owned(), database: database.clone() };
        let other = Server { port: postgres.port(), user: "postgres".to_owned(), database };
        let text = std::fs::read_to_string(path).expect("a readable file");
        let mut blessed: String =
            text.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
        for dialogue in parse(&text) {
            if bless {
                let server = if dialogue.dataman_only { &own } else { &other };
                blessed.push_str(&format!("\n\n{}", record(&dialogue, server).unwrap().trim()));
                continue;
            }
            for (server, side) in [(&own, "dataman"), (&other, "postgres")] {
                if side == "postgres" && dialogue.dataman_only {
                    continue;
                }
                if let Err(failure) = hold(&dialogue, server) {
                    failures.push(format!("{} with {side}: {failure}", path.display()));
                }
            }
        }
        if bless {
            std::fs::write(path, format!("{}\n", blessed.trim_start())).expect("written");
        }
    }
    assert!(failures.is_empty(), "{}\n{}", failures.join("\n"), dataman.log());
}
