//! Runs PostgreSQL's regression files through dataman and a plain server: `sql-tests/regress` says how.

use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use dataman_sql_tests::engine::Postgres;
use dataman_sql_tests::regress::judge::{Judge, Verdict};
use dataman_sql_tests::regress::{self, Sides};
use dataman_sql_tests::topology::{Running, Topology};

/// Compares dataman with PostgreSQL on PostgreSQL's own regression files.
#[derive(Debug, Parser)]
struct Arguments {
    /// PostgreSQL's folder src/test/regress
    folder: PathBuf,
    /// Names of files in its folder sql, run in this order [default: those of the acceptance list]
    files: Vec<String>,
    /// What stands behind dataman
    #[arg(long, default_value = "pg4")]
    topology: String,
    /// A folder for wrong.txt, open.txt, near.txt, refused.txt, follows.txt and reasons.txt
    #[arg(long)]
    details: Option<PathBuf>,
}

/// The files that are to be right, `test_setup` apart, whose tables they need.
const FILES: &[&str] = &[
    "select",
    "select_distinct",
    "select_having",
    "join",
    "aggregates",
    "groupingsets",
    "window",
    "union",
    "subselect",
    "with",
    "limit",
    "case",
    "numeric",
    "strings",
    "timestamp",
    "json",
    "jsonb",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let topology = Topology::of(&arguments.topology).ok_or("there is no such topology")?;
    let mut files: Vec<String> = vec!["test_setup".to_owned()];
    if arguments.files.is_empty() {
        files.extend(FILES.iter().map(|file| (*file).to_owned()));
    } else {
        files.extend(arguments.files.iter().cloned());
    }
    let server = Postgres::shared();
    server.create_database("regression").await?;
    server.create_database("regression_again").await?;
    let running = Running::start(topology, &["regression".to_owned()]).await?;
    let sides = Sides {
        ours: running.dsn_of("regression"),
        theirs: server.dsn_of("regression"),
        again: server.dsn_of("regression_again"),
    };
    let mut judged = Vec::new();
    let mut judge = Judge::default();
    for file in &files {
        let (folder, file, sides) = (arguments.folder.clone(), file.clone(), sides.clone());
        let run = tokio::task::spawn_blocking(move || {
            regress::run(&folder, &file, &sides, &mut judge).map(|judged| (judged, judge))
        });
        let (of_file, after) = run.await??;
        judged.extend(of_file);
        judge = after;
    }
    if let Some(folder) = &arguments.details {
        std::fs::create_dir_all(folder)?;
        let lists = [
            ("wrong", Verdict::Wrong),
            ("open", Verdict::Open),
            ("near", Verdict::Near),
            ("refused", Verdict::Refused),
            ("follows", Verdict::Follows),
        ];
        for (name, verdict) in lists {
            std::fs::write(folder.join(format!("{name}.txt")), regress::details(&judged, verdict))?;
        }
        std::fs::write(folder.join("reasons.txt"), regress::reasons(&judged))?;
    }
    judged.retain(|one| {
        one.file != "test_setup" || arguments.files.iter().any(|file| file == "test_setup")
    });
    std::io::stdout().write_all(regress::table(&judged).as_bytes())?;
    Ok(())
}
