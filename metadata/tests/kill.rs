//! Kills writers of the embedded store with SIGKILL, again and again, and looks that nothing that they were answered is
//! lost.

#![cfg(all(unix, feature = "embedded"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dataman_metadata::id::Epoch;
use dataman_metadata::store::embedded::EmbeddedStore;
use dataman_metadata::store::{Store, StoreError};
use dataman_metadata::watch::SnapshotWatch;
use dataman_metadata::{change, sample};

const FILE_VARIABLE: &str = "DATAMAN_TEST_KILL_FILE";
const NAME_VARIABLE: &str = "DATAMAN_TEST_KILL_NAME";
const ROUNDS: u32 = 8;
const WRITERS: u32 = 2;

/// What the killed process runs; a test only by its form. It writes a line for each answer: `table NAME`, `block FIRST
/// COUNT`.
#[tokio::test]
async fn writer_process() {
    let (Ok(file), Ok(name)) = (std::env::var(FILE_VARIABLE), std::env::var(NAME_VARIABLE)) else {
        return;
    };
    let store = Arc::new(EmbeddedStore::open(Path::new(&file)).await.unwrap());
    let watch = SnapshotWatch::start(store.clone()).await.unwrap();
    let mut out = std::io::stdout();
    for number in 0_u64.. {
        // Two writers without a pause can keep each other out for longer than a store waits: then nothing was done.
        let block = loop {
            match store.take_sequence_block(&sample::named("numbers"), 3).await {
                Ok(block) => break block,
                Err(StoreError::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        writeln!(out, "block {} {}", block.first, block.count).unwrap();
        let table = format!("t_{name}_{number}");
        loop {
            let before = watch.snapshot();
            let create = sample::create_table(&mut before.oids(), &table);
            match store.commit(before.epoch, &[create]).await {
                Ok(after) => watch.offer(&after),
                // The watch may not have seen the other writer's commit yet.
                Err(StoreError::Conflict { found, .. }) => {
                    watch.wait_for(found).await.unwrap();
                    continue;
                }
                Err(StoreError::Unavailable { .. }) => continue,
                Err(error) => panic!("{error}"),
            }
            break;
        }
        writeln!(out, "table {table}").unwrap();
        out.flush().unwrap();
    }
}

fn start_writer(file: &Path, name: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "writer_process", "--nocapture", "--quiet"]);
    command
        .env(FILE_VARIABLE, file)
        .env(NAME_VARIABLE, name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metadata.sqlite");
    let store = EmbeddedStore::open(&file).await.unwrap();
    let first = store.commit(Epoch(0), &sample::cluster(4)).await.unwrap();
    let object = change::Object::Sequence(sample::sequence(&mut first.oids()));
    let create = change::Change::Create { at: sample::named("numbers"), object };
    store.commit(Epoch(1), &[create]).await.unwrap();

    let (mut tables, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let mut writers = (0..WRITERS)
            .map(|writer| start_writer(&file, &format!("{round}_{writer}")))
            .collect::<Vec<_>>();
        // They are let run at least until each has been answered once, and then for a different while each round.
        let mut readers = writers
            .iter_mut()
            .map(|writer| BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap))
            .collect::<Vec<_>>();
        let mut lines = Vec::new();
        for reader in &mut readers {
            while !lines.last().is_some_and(|line: &String| line.starts_with("table")) {
                lines.push(reader.next().expect("a writer runs until it is killed"));
            }
            lines.push(String::new());
        }
        tokio::time::sleep(Duration::from_millis(u64::from(rand::random::<u8>()) / 2)).await;
        for writer in &mut writers {
            writer.kill().unwrap();
            writer.wait().unwrap();
        }
        lines.extend(readers.into_iter().flatten());

        for line in lines {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["table", table] => {
                    assert!(tables.insert((*table).to_owned()), "{table} was created twice")
                }
                // The last line of a killed process may be cut off; its number then only looks smaller.
                ["block", first, "3"] => {
                    let first: i64 = first.parse().unwrap();
                    for number in first..first + 3 {
                        assert!(numbers.insert(number), "{number} was handed out twice");
                    }
                }
                _ => {}
            }
        }
        let fresh = EmbeddedStore::open(&file).await.unwrap();
        let snapshot = fresh.read().await.unwrap();
        snapshot.check().unwrap();
        assert_eq!(store.read().await.unwrap(), snapshot);
        let found = snapshot.database(sample::DATABASE).unwrap().collections();
        let found = found.map(|(_, name, _)| name.to_owned()).collect::<BTreeSet<_>>();
        assert!(
            tables.is_subset(&found),
            "lost: {:?}",
            tables.difference(&found).collect::<Vec<_>>()
        );
        // A writer has at most one commit under way when it is killed.
        let unanswered = found.len() - tables.len();
        assert!(
            unanswered <= usize::try_from((round + 1) * WRITERS).unwrap(),
            "{unanswered} unanswered commits"
        );
        assert_eq!(usize::try_from(snapshot.epoch.0).unwrap(), found.len() + 2);
    }
    println!("{} tables, {} numbers over {ROUNDS} rounds", tables.len(), numbers.len());
}
