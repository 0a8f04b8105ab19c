//! Every decoder on input that was changed at random. `DATAMAN_TEST_LONG` does much more of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dataman_node_protocol::address::Address;
use dataman_node_protocol::connection::Connection;
use dataman_sql_tests::fuzz::{Random, TARGETS, mutate};
use dataman_sql_tests::raw::frame;
use tokio::io::AsyncWriteExt;

/// How long one input may take: far more than any needs, and far less than for ever.
const INPUT_TIME: Duration = Duration::from_secs(10);

fn rounds(short: usize) -> usize {
    if std::env::var_os("DATAMAN_TEST_LONG").is_some() { short * 200 } else { short }
}

#[test]
fn no_input_breaks_a_decoder() {
    let mut random = Random::from_environment("decoders");
    for target in TARGETS {
        for seed in target.seeds {
            (target.run)(seed);
        }
        // Found input is changed further, so that changes add up.
        let mut pool: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.to_vec()).collect();
        for _ in 0..rounds(1_500) {
            let chosen = random.below(pool.len());
            let input = mutate(&mut random, &pool[chosen], 0);
            let (run, given) = (target.run, input.clone());
            let started = SystemTime::now();
            let outcome = std::panic::catch_unwind(move || run(&given));
            assert!(outcome.is_ok(), "{}: {:?}", target.name, input.escape_ascii().to_string());
            assert!(
                started.elapsed().unwrap_or_default() < INPUT_TIME,
                "{}: takes too long: {:?}",
                target.name,
                input.escape_ascii().to_string()
            );
            if input.len() < 400 && random.below(4) == 0 {
                if pool.len() < 200 {
                    pool.push(input);
                } else {
                    let replaced = random.below(pool.len());
                    pool[replaced] = input;
                }
            }
        }
    }
}

/// A server that lies: the client's side of the protocol takes whatever comes as an error.
#[tokio::test]
async fn no_answer_breaks_the_client() {
    let greeting =
        [frame(b'R', b"\0\0\0\0"), frame(b'S', b"a\0b\0"), frame(b'K', &[0; 8]), frame(b'Z', b"I")]
            .concat();
    let rows = [
        frame(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
        frame(b'D', b"\0\x01\0\0\0\x011"),
        frame(b'D', b"\0\x01\xff\xff\xff\xff"),
        frame(b'C', b"SELECT 2\0"),
        frame(b'Z', b"I"),
    ]
    .concat();
    let failure =
        [frame(b'E', b"SERROR\0C22012\0Mdivision by zero\0\0"), frame(b'Z', b"I")].concat();
    let dialogues = [[greeting.clone(), rows].concat(), [greeting, failure].concat()];
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let url = format!("postgres://u@127.0.0.1:{port}/d?sslmode=disable");
    let address = Arc::new(Address::parse(&url).expect("a URL"));
    let mut random = Random::from_environment("answers");
    for _ in 0..rounds(300) {
        let dialogue = &dialogues[random.below(dialogues.len())];
        let bytes = mutate(&mut random, dialogue, 0);
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("the client");
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            stream
        };
        let client = async {
            if let Ok(mut connection) = Connection::open(Arc::clone(&address)).await {
                let _ = connection.query("SELECT 1").await;
            }
        };
        let both = async { tokio::join!(server, client) };
        tokio::time::timeout(INPUT_TIME, both).await.expect("a client that does not hang");
    }
}
