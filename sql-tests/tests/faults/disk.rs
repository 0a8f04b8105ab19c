//! A disk that is full: files that cannot grow.

use dataman_sql_tests::client::{Outcome, Protocol, run};
use dataman_sql_tests::topology::{Launch, Running, cluster_file};

use crate::setup::{DATABASE, connect};

/// How large a file may become, in the shell's blocks of 512 bytes: enough to start, and for a few hundred rows.
const FILE_BLOCKS_MAX: u32 = 2_000;

/// Rows of one statement.
const ROWS: usize = 100;

/// Runs the program with a limit on its files. The signal that would end it is ignored, as a full disk sends none either.
fn limited() -> Vec<String> {
    let script = format!("trap '' XFSZ; ulimit -f {FILE_BLOCKS_MAX}; exec \"$@\"");
    ["sh", "-c", &script, "sh"].into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn full_for_sqlite() {
    let databases = [DATABASE.to_owned()];
    let datasources: Vec<(&str, String)> =
        (0..4).map(|shard| ("sqlite", format!("{{folder}}/shard{shard}"))).collect();
    let mut launch = Launch::up(cluster_file(&datasources, &databases), &databases);
    launch.wrapper = limited();
    let mut dataman = Running::launch(launch).await.expect("dataman starts");
    let session = connect(&dataman).await;
    session
        .batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, pad text) WITH (shard_key = 'id')")
        .await
        .expect("a table");
    let pad = "x".repeat(1000);
    let insert = |first: usize| {
        let rows: Vec<String> =
            (first..first + ROWS).map(|id| format!("({id}, '{pad}')")).collect();
        format!("INSERT INTO t VALUES {}", rows.join(", "))
    };
    let mut acknowledged = 0;
    let refusal = loop {
        match run(&session, &insert(acknowledged), Protocol::Simple).await {
            Outcome::Rows(_) => acknowledged += ROWS,
            failure => break failure,
        }
        assert!(acknowledged < 1_000_000, "the disk is never full");
    };
    assert!(acknowledged > 0, "{refusal:?}");
    // No space left, or the operating system's word that the file cannot grow.
    let code = refusal.sqlstate().unwrap_or_default().to_owned();
    assert!(["53100", "58030", "40003"].contains(&code.as_str()), "{refusal:?}");

    // What was acknowledged is there; of the refused statement nothing, unless its commit had begun.
    let count = async |session: &dataman_sql_tests::engine::Session| -> usize {
        let row = session.query_one("SELECT count(*) FROM t", &[]).await.expect("reads go on");
        usize::try_from(row.get::<_, i64>(0)).expect("a count")
    };
    let found = count(&session).await;
    if code == "40003" {
        assert!((acknowledged..=acknowledged + ROWS).contains(&found), "{found} rows");
    } else {
        assert_eq!(found, acknowledged, "{refusal:?}");
    }
    session.query("SELECT * FROM t ORDER BY id LIMIT 5", &[]).await.expect("reads go on");
    assert!(dataman.is_running(), "{}", dataman.log());
    assert!(!dataman.log().contains("panicked"), "{}", dataman.log());

    // With room again everything goes on.
    dataman.kill().expect("killed");
    dataman.launch_mut().wrapper.clear();
    dataman.restart(DATABASE).await.expect("dataman starts again");
    let session = connect(&dataman).await;
    assert_eq!(count(&session).await, found);
    let more = run(&session, &insert(1_000_000), Protocol::Extended).await;
    assert!(matches!(more, Outcome::Rows(_)), "{more:?}");
    assert_eq!(count(&session).await, found + ROWS);
}
