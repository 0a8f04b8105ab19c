//! Clients that break the protocol: the connection gets PostgreSQL's answer, and nobody else notices.

use dataman_sql_tests::fuzz::{Random, mutate};
use dataman_sql_tests::raw::{RawClient, extended, frame, query, startup};
use dataman_sql_tests::topology::{Running, Topology};

use crate::setup::{DATABASE, connect};

/// What is sent, and the error that must come: severity, SQLSTATE and the start of the message; none where the server just
/// closes.
type Case = (&'static str, Vec<u8>, Option<(&'static str, &'static str, &'static str)>);

/// Where PostgreSQL closes the connection without a word, and dataman says why first.
const SILENT: [&str; 6] = [
    "a length of zero",
    "a length of 4 GB",
    "another protocol",
    "a negative length",
    "a length below four",
    "a Sync of 2 GB",
];

/// Before the session begins.
fn openings() -> Vec<Case> {
    let fatal = |message| Some(("FATAL", "08P01", message));
    let length = "invalid length of startup packet";
    let layout = "invalid startup packet layout: expected terminator as last byte";
    vec![
        ("a length of zero", vec![0, 0, 0, 0, 0, 0, 0, 0], fatal(length)),
        ("a length of 4 GB", vec![255; 8], fatal(length)),
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), fatal(length)),
        ("no parameters", vec![0, 0, 0, 8, 0, 3, 0, 0], fatal(layout)),
        ("no end", [&[0, 0, 0, 13, 0, 3, 0, 0][..], b"user\0"].concat(), fatal(layout)),
        (
            "more after the end",
            [&[0, 0, 0, 16, 0, 3, 0, 0][..], b"a\0b\0\0xyz"].concat(),
            fatal(layout),
        ),
        (
            "no user",
            startup(&[("database", DATABASE)]),
            Some(("FATAL", "28000", "no PostgreSQL user name specified in startup packet")),
        ),
        (
            "a version to come",
            vec![0, 0, 0, 9, 0, 9, 0, 0, 0],
            Some(("FATAL", "0A000", "unsupported frontend protocol 9.0")),
        ),
        ("TLS asked for twice", [[0, 0, 0, 8, 4, 210, 22, 47]; 3].concat(), None),
        ("a cancel request that is cut", vec![0, 0, 0, 8, 4, 210, 22, 46], None),
        ("half a head", vec![0, 0, 0], None),
        ("half a packet", vec![0, 0, 1, 0, 0, 3, 0, 0, b'u'], None),
    ]
}

/// In a session; what ends it is FATAL, and after any other error a Sync brings it back.
fn messages() -> Vec<Case> {
    let error = |message| Some(("ERROR", "08P01", message));
    let fatal = |message| Some(("FATAL", "08P01", message));
    let parse = |body: &[u8]| frame(b'P', body);
    let bind = |body: &[u8]| [frame(b'P', b"s\0SELECT $1::int4\0\0\0"), frame(b'B', body)].concat();
    let short = "insufficient data left in message";
    vec![
        ("an unknown type", frame(b'u', b""), fatal("invalid frontend message type 117")),
        ("a zero type", frame(0, b""), fatal("invalid frontend message type 0")),
        (
            "a password out of place",
            frame(b'p', b"secret\0"),
            fatal("invalid frontend message type 112"),
        ),
        ("a negative length", b"Q\xff\xff\xff\xff".to_vec(), fatal("invalid message length")),
        ("a length below four", b"S\0\0\0\x03".to_vec(), fatal("invalid message length")),
        ("a Sync of 2 GB", b"S\x7f\xff\xff\xff".to_vec(), fatal("invalid message length")),
        ("a Query without its end", frame(b'Q', b"SELECT 1"), error("invalid string in message")),
        (
            "a Query with more",
            frame(b'Q', b"SELECT 1\0SELECT 2\0"),
            error("invalid message format"),
        ),
        ("an empty Parse", parse(b""), error("invalid string in message")),
        ("a Parse with more types than sent", parse(b"\0SELECT 1\0\x7f\xff"), error(short)),
        ("a Parse with a negative count", parse(b"\0SELECT 1\0\xff\xff"), error("")),
        (
            "a Bind with fewer values",
            bind(b"\0s\0\0\0\0\0\0\0"),
            error("bind message supplies 0 parameters, but prepared statement \"s\" requires 1"),
        ),
        (
            "a Bind with more values",
            bind(b"\0s\0\0\0\0\x02\0\0\0\x011\0\0\0\x012\0\0"),
            error("bind message supplies 2 parameters, but prepared statement \"s\" requires 1"),
        ),
        (
            "a Bind with formats that do not match",
            bind(b"\0s\0\0\x02\0\0\0\0\0\x01\0\0\0\x011\0\0"),
            error("bind message has 2 parameter formats but 1 parameters"),
        ),
        (
            "a Bind with result formats that do not match",
            bind(b"\0s\0\0\0\0\x01\0\0\0\x011\0\x02\0\0\0\0"),
            error("bind message has 2 result formats but query has 1 columns"),
        ),
        (
            "a Bind with a format that is none",
            bind(b"\0s\0\0\x01\0\x07\0\x01\0\0\0\x011\0\0"),
            Some(("ERROR", "22023", "unsupported format code: 7")),
        ),
        (
            "a Bind with a length past the end",
            bind(b"\0s\0\0\0\0\x01\x7f\xff\xff\xff1"),
            error(short),
        ),
        ("a Bind with a length below -1", bind(b"\0s\0\0\0\0\x01\xff\xff\xff\xfe1\0\0"), error("")),
        (
            "a text with a zero byte",
            [
                frame(b'P', b"s\0SELECT $1::text\0\0\0"),
                frame(b'B', b"\0s\0\0\0\0\x01\0\0\0\x03a\0b\0\0"),
            ]
            .concat(),
            Some(("ERROR", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00")),
        ),
        (
            "a binary value that is too short",
            bind(b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x02ab\0\0"),
            error("insufficient data left in message"),
        ),
        (
            "a binary value that is too long",
            bind(b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x05abcde\0\0"),
            Some(("ERROR", "22P03", "incorrect binary data format in bind parameter 1")),
        ),
        (
            "a Bind without its statement",
            frame(b'B', b"\0nothing\0\0\0\0\0\0\0"),
            Some(("ERROR", "26000", "prepared statement \"nothing\" does not exist")),
        ),
        (
            "an Execute before Bind",
            frame(b'E', b"nothing\0\0\0\0\0"),
            Some(("ERROR", "34000", "portal \"nothing\" does not exist")),
        ),
        ("an Execute that is cut", frame(b'E', b"\0\0\0"), error(short)),
        (
            "a Describe of something else",
            frame(b'D', b"X\0"),
            error("invalid DESCRIBE message subtype 88"),
        ),
        (
            "a Close of something else",
            frame(b'C', b"X\0"),
            error("invalid CLOSE message subtype 88"),
        ),
        (
            "text that is not UTF-8",
            frame(b'Q', b"SELECT '\xc3\x28'\0"),
            Some(("ERROR", "22021", "invalid byte sequence for encoding \"UTF8\": 0xc3 0x28")),
        ),
        (
            "a name that is not UTF-8",
            frame(b'P', b"\xff\0SELECT 1\0\0\0"),
            Some(("ERROR", "22021", "invalid byte sequence for encoding \"UTF8\": 0xff")),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_dialogues() {
    let postgres = dataman_sql_tests::engine::Postgres::shared();
    let _ = postgres.create_database(DATABASE).await;
    let mut dataman =
        Running::start(Topology::Sqlite1, &[DATABASE.to_owned()]).await.expect("dataman starts");
    let mut failures = Vec::new();
    for (port, user) in [(postgres.port(), "postgres"), (dataman.port(), "dataman")] {
        let silent = |what: &str| user == "postgres" && SILENT.contains(&what);
        for (what, bytes, expected) in openings() {
            let expected = expected.filter(|_| !silent(what));
            let mut client = RawClient::open(port).await.expect("somebody listens");
            client.send(&bytes).await.expect("sent");
            client.finish().await.expect("the own side is closed");
            let mut found = None;
            if what != "TLS asked for twice" {
                while let Some(answer) = client.answer().await.expect("an answer or the end") {
                    if answer.kind == b'E' {
                        found = Some((answer.field('S'), answer.field('C'), answer.field('M')));
                    }
                }
            }
            failures.extend(difference(&format!("{user}: {what}"), found, expected));
        }
        for (what, bytes, expected) in messages() {
            let expected = expected.filter(|_| !silent(what));
            let mut client = RawClient::open(port).await.expect("somebody listens");
            client.send(&startup(&[("user", user), ("database", DATABASE)])).await.expect("sent");
            client.rest().await.expect("ready");
            client.send(&[bytes, frame(b'S', b"")].concat()).await.expect("sent");
            let (answers, _) = client.rest().await.expect("answers");
            let error = answers.iter().find(|answer| answer.kind == b'E');
            let found =
                error.map(|answer| (answer.field('S'), answer.field('C'), answer.field('M')));
            let is_fatal =
                silent(what) || found.as_ref().is_some_and(|(severity, _, _)| severity == "FATAL");
            failures.extend(difference(&format!("{user}: {what}"), found, expected));
            let ready = answers.last().is_some_and(|answer| answer.kind == b'Z');
            if ready == is_fatal {
                failures.push(format!("{user}: {what}: ready after it: {ready}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(dataman.is_running() && !dataman.log().contains("panicked"), "{}", dataman.log());
}

fn difference(
    what: &str,
    found: Option<(String, String, String)>,
    expected: Option<(&str, &str, &str)>,
) -> Option<String> {
    let matches = match (&found, expected) {
        (None, None) => true,
        (Some((severity, code, message)), Some(expected)) => {
            severity == expected.0 && code == expected.1 && message.starts_with(expected.2)
        }
        _ => false,
    };
    (!matches).then(|| format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Valid dialogues with some bytes changed: whatever comes back, the program stays, and others are served as before.
#[tokio::test(flavor = "multi_thread")]
async fn mutated_dialogues() {
    let mut dataman =
        Running::start(Topology::Sqlite4, &[DATABASE.to_owned()]).await.expect("dataman starts");
    let session = connect(&dataman).await;
    session
        .batch_execute("CREATE TABLE t (id bigint PRIMARY KEY, v text) WITH (shard_key = 'id'); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
        .await
        .expect("rows");
    let begin = startup(&[("user", "dataman"), ("database", DATABASE)]);
    let dialogues = [
        [
            begin.clone(),
            query("SELECT * FROM t"),
            query("BEGIN; INSERT INTO t VALUES (7, 'x'); ROLLBACK"),
        ]
        .concat(),
        [
            begin.clone(),
            extended("SELECT id, v FROM t WHERE id = 1"),
            extended("SELECT count(*) FROM t"),
        ]
        .concat(),
        [
            begin.clone(),
            frame(b'P', b"s\0SELECT v FROM t WHERE id = $1\0\0\x01\0\0\0\x14"),
            frame(b'D', b"Ss\0"),
            frame(b'B', b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x01\0\x01\0\x01"),
            frame(b'E', b"p\0\0\0\0\x01"),
            frame(b'H', b""),
            frame(b'C', b"Pp\0"),
            frame(b'S', b""),
        ]
        .concat(),
        [
            begin,
            query("COPY t FROM STDIN"),
            frame(b'd', b"9\tz\n"),
            frame(b'f', b"no\0"),
            query("SELECT 1"),
        ]
        .concat(),
    ];
    let mut random = Random::from_environment("wire");
    let count = if std::env::var_os("DATAMAN_TEST_LONG").is_some() { 20_000 } else { 300 };
    for _ in 0..count {
        let dialogue = &dialogues[random.below(dialogues.len())];
        // Mostly after the startup packet, so that most sessions begin.
        let bytes = mutate(&mut random, dialogue, 45);
        let mut client = RawClient::open(dataman.port()).await.expect("somebody listens");
        // The server may have closed before all was sent.
        let _ = client.send(&bytes).await;
        let _ = client.finish().await;
        client.closed().await.expect("the server closes when the client does");
    }
    assert!(dataman.is_running(), "{}", dataman.log());
    assert!(!dataman.log().contains("panicked"), "{}", dataman.log());
    session.query("SELECT * FROM t", &[]).await.expect("others are served");
}
