//! Every decoder, as a function of bytes that must neither panic nor take time or memory without bound, whatever it is given.
//!
//! The same functions serve two drivers: `tests/faults/decoders.rs` mutates their seeds on every run of the tests, and
//! `sql-tests/fuzz` hands them to libFuzzer, which needs a nightly compiler:
//! `cd sql-tests/fuzz && cargo +nightly fuzz run decoders`.

use bytes::BytesMut;
use dataman_metadata::cluster::ClusterFile;
use dataman_node_protocol::frontend::{take_message, take_opening};
use dataman_node_protocol::query::NodeQuery;
use dataman_pg::eval::Evaluator;
use dataman_pg::expr::Call;
use dataman_pg::io::{binary, text};
use dataman_pg::resolve::{FixedParameters, NoUserTypes, Resolver};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Expr, TypeId, Value};
use dataman_proxy::wire::message::take_frame;
use dataman_proxy::wire::scram::{Exchange, Verifier};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A decoder and where to begin.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What is run.
    pub run: fn(&[u8]),
    /// Valid input, to change.
    pub seeds: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "proxy frames",
        run: proxy_frames,
        seeds: &[
            b"Q\0\0\0\x0bselect\0S\0\0\0\x04",
            b"P\0\0\0\x14s\0SELECT $1\0\0\x01\0\0\0\x17",
            b"B\0\0\0\x19p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0",
            b"D\0\0\0\x07Ss\0E\0\0\0\x0ap\0\0\0\0\x02C\0\0\0\x07Pp\0d\0\0\0\x06ab",
        ],
    },
    Target {
        name: "agent frames",
        run: agent_frames,
        seeds: &[
            b"\0\0\0\x17\0\x03\0\0user\0me\0a\0b\0\0",
            b"\0\0\0\x08\x04\xd2\x16\x2f",
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
            b"B\0\0\0\x19p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0",
            b"P\0\0\0\x14s\0{\"get\":1}\0\0\x01\0\0\0\x17",
        ],
    },
    Target {
        name: "values in binary",
        run: binary_values,
        seeds: &[
            b"\0\0\0\x05",
            b"\0\x02\0\x01\0\0\0\x02\x04\xd2\x16\x2e",
            b"\x01{\"a\": [1, null, {\"b\": 2.50}]}",
            b"\0\0\0\x02\0\0\0\x01\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff",
            b"\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03",
            b"0123456789abcdef",
        ],
    },
    Target {
        name: "values in text",
        run: text_values,
        seeds: &[
            b"-12.50e3",
            b"{{1,NULL},{\"a,b\",\\\"}}",
            b"[2:3]={1,2}",
            b"2024-02-29 23:59:60.123456+05:30 BC",
            b"1 year -2 mons +3 days 04:05:06.789",
            b"P1Y2M3DT4H5M6.7S",
            b"{\"a\": [1, 2.50, \"\\u00e4\\ud83d\\ude00\", null, true]}",
            b"\\xdeadbeef",
            b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            b"January 8, 99 12:30 PM America/New_York",
            b"NaN",
        ],
    },
    Target {
        name: "node queries",
        run: node_queries,
        seeds: &[
            br#"{"filter": {"db": "d", "collection": "t", "filter": [[{"a": ["=", 1]}, "OR", {"b": ["in", [2, 3]]}], "AND", {"c": [">", {"param": 1}]}], "sort": ["a"], "limit": 3}}"#,
            br#"{"get": {"db": "d", "collection": "t", "pkey": {"id": 1}}}"#,
            br#"{"insert": {"db": "d", "collection": "t", "record": {"a": 1, "b": [true, null, "x"]}}}"#,
            br#"{"aggregate": {"source": [{"collection": {"db": "d", "shard_instance": "i", "collection": "t", "alias": "t"}}], "group": [], "fields": [{"expr": {"count": []}, "name": "c"}]}}"#,
            br#"{"sql": {"text": "SELECT 1"}}"#,
        ],
    },
    Target {
        name: "SQL",
        run: sql,
        seeds: &[
            b"SELECT a.*, count(*) FILTER (WHERE b > 1) OVER w FROM t AS a LEFT JOIN u USING (id) WHERE x IN (1, 2) GROUP BY ROLLUP (a) HAVING true WINDOW w AS (PARTITION BY c) ORDER BY 1 DESC NULLS LAST LIMIT 5",
            b"CREATE TABLE s.t (id bigint PRIMARY KEY, v numeric(10,2) DEFAULT 1.5 CHECK (v > 0), UNIQUE (v)) WITH (shard_key = 'id')",
            b"INSERT INTO t (a, b) VALUES ($1, E'\\x41'), (DEFAULT, $tag$ text $tag$) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING *",
            b"WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT CASE WHEN a THEN b ELSE c::int[] END FROM r -- end",
            b"/* a /* nested */ comment */ UPDATE t SET (a, b) = (SELECT 1, 2) WHERE NOT EXISTS (SELECT 1) AND a BETWEEN 1 AND 2",
            b"COPY t (a) FROM STDIN WITH (FORMAT csv, DELIMITER ';'); BEGIN ISOLATION LEVEL SERIALIZABLE; SET x TO 'y'",
        ],
    },
    Target {
        name: "cluster files",
        run: cluster_files,
        seeds: &[b"[[node]]\nname = \"a\"\n[[node.datasource]]\nname = \"s\"\nengine = \"sqlite\"\nurl = \"d\"\n[[datastore]]\nname = \"m\"\nvshards = 16\n[[datastore.shard]]\nprimary = \"a/s\"\n[[database]]\nname = \"d\"\ndatastore = \"m\"\nshard_keys = [\"k\"]\n"],
    },
    Target {
        name: "SCRAM",
        run: scram,
        seeds: &[
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            b"y,,n=,r=abc",
            b"c=biws,r=abcserver,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            b"SCRAM-SHA-256$4096:c2FsdA==$dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=:dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        ],
    },
    Target {
        name: "patterns",
        run: patterns,
        seeds: &[
            b"(a|b)*c+?[[:alpha:]]{2,3}(?=x)\\d\\1\0abcab",
            b"%a_\\%b\0xaab",
            b"^([^a-z]|\\m\\w+\\M)$\0hello",
            b"a#\"%#\"_\0abc",
        ],
    },
    Target {
        name: "templates",
        run: templates,
        seeds: &[
            b"YYYY-MM-DD HH24:MI:SS.US TZ\x002024-02-29 12:34:56.789",
            b"FMDay, FMDDth Month \"of\" Y,YYY\0Monday, 3rd May 2,024",
            b"S9G999D99EEEE PR RN V99\0-1,234.56",
            b"%1$s %2$10I %-5L %%\0x",
        ],
    },
];

/// Runs the target that the first byte chooses over the rest: what libFuzzer calls.
pub fn run_any(data: &[u8]) {
    if let Some((choice, rest)) = data.split_first() {
        (TARGETS[usize::from(*choice) % TARGETS.len()].run)(rest);
    }
}

fn proxy_frames(data: &[u8]) {
    let mut input = BytesMut::from(data);
    while let Ok(Some(frame)) = take_frame(&mut input) {
        // A frame is a part of what came, and so is everything that is read from it.
        assert!(frame.body.len() < data.len());
        let _ = frame.decode();
    }
    assert!(
        input.capacity() <= 2 * data.len() + 64,
        "nothing is allocated for what is only promised"
    );
}

fn agent_frames(data: &[u8]) {
    let _ = take_opening(&mut BytesMut::from(data));
    let mut input = BytesMut::from(data);
    while let Ok(Some(_)) = take_message(&mut input) {}
    assert!(
        input.capacity() <= 2 * data.len() + 64,
        "nothing is allocated for what is only promised"
    );
}

/// The types that values travel in.
const TYPES: &[TypeId] = &[
    TypeId::BOOL,
    TypeId::INT2,
    TypeId::INT4,
    TypeId::INT8,
    TypeId::FLOAT4,
    TypeId::FLOAT8,
    TypeId::NUMERIC,
    TypeId::TEXT,
    TypeId::VARCHAR,
    TypeId::BPCHAR,
    TypeId::BYTEA,
    TypeId::DATE,
    TypeId::TIME,
    TypeId::TIMETZ,
    TypeId::TIMESTAMP,
    TypeId::TIMESTAMPTZ,
    TypeId::INTERVAL,
    TypeId::UUID,
    TypeId::JSON,
    TypeId::JSONB,
    TypeId::INT4_ARRAY,
    TypeId::TEXT_ARRAY,
    TypeId::NUMERIC_ARRAY,
    TypeId::TIMESTAMPTZ_ARRAY,
    TypeId::INTERVAL_ARRAY,
    TypeId::JSONB_ARRAY,
];

fn types() -> impl Iterator<Item = TypeRef> {
    let with_modifier = [
        TypeRef { id: TypeId::NUMERIC, typmod: ((5 << 16) | 2) + 4 },
        TypeRef { id: TypeId::VARCHAR, typmod: 7 },
        TypeRef { id: TypeId::BPCHAR, typmod: 7 },
        TypeRef { id: TypeId::TIMESTAMP, typmod: 3 },
    ];
    TYPES.iter().map(|ty| TypeRef::plain(*ty)).chain(with_modifier)
}

fn binary_values(data: &[u8]) {
    for ty in types() {
        let Ok(value) = binary::decode(data, ty) else { continue };
        // What is written is read as the same; it is not always what came, since there are several ways to write a value.
        let mut out = Vec::new();
        binary::encode(&value, ty.id, &mut out);
        let again = binary::decode(&out, TypeRef::plain(ty.id));
        assert!(
            again.as_ref().is_ok_and(|again| same(again, &value)),
            "{value:?} of type {} becomes {again:?}",
            ty.id.0
        );
    }
}

fn text_values(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    if input.contains('\0') {
        // Refused by whoever takes text from outside.
        return;
    }
    let context = Context::default();
    for ty in types() {
        let Ok(value) = text::input(input, ty, &context) else { continue };
        let mut out = Vec::new();
        text::output(&value, ty.id, &context, &mut out);
        let written = String::from_utf8(out).expect("text output is UTF-8");
        let again = text::input(&written, TypeRef::plain(ty.id), &context);
        assert!(
            again.as_ref().is_ok_and(|again| same(again, &value)),
            "{input:?} of type {} is {value:?}, written {written:?}, read {again:?}",
            ty.id.0
        );
        let mut bytes = Vec::new();
        binary::encode(&value, ty.id, &mut bytes);
        let again = binary::decode(&bytes, TypeRef::plain(ty.id));
        assert!(
            again.as_ref().is_ok_and(|again| same(again, &value)),
            "{input:?} of type {} is {value:?}, in binary {bytes:?}, read {again:?}",
            ty.id.0
        );
    }
}

/// Alike to the last digit: by their text, since NaN equals nothing.
fn same(one: &Value, other: &Value) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

fn node_queries(data: &[u8]) {
    let Ok(query) = serde_json::from_slice::<NodeQuery>(data) else { return };
    let text = serde_json::to_string(&query).expect("what was read can be written");
    let again: NodeQuery = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&again).expect("written"), text);
}

fn sql(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let _ = dataman_proxy::parse::parse(input);
    let _ = dataman_proxy::parse::parse_expression(input);
}

fn cluster_files(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    match ClusterFile::parse("c.toml", input) {
        Ok(_) => {}
        Err(error) => assert!(error.to_string().starts_with("c.toml:")),
    }
}

fn scram(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    if let Some(verifier) = Verifier::parse(input) {
        assert!(Verifier::parse(&verifier.to_string()) == Some(verifier));
    }
    let known = "SCRAM-SHA-256$1:c2FsdA==$dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=:dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let verifier = Verifier::parse(known).expect("a verifier");
    let _ = Exchange::begin(verifier.clone(), input);
    let (exchange, _) = Exchange::begin(verifier, "n,,n=,r=abc").expect("a first message");
    assert!(exchange.finish(input).is_err(), "nobody knows this password");
}

/// Calls a function of the library with texts.
fn call(name: &str, args: &[&str]) {
    let text = |text: &&str| Expr::constant(Value::text(*text), TypeId::TEXT);
    call_with(name, args.iter().map(text).collect());
}

/// Calls a function of the library.
fn call_with(name: &str, args: Vec<Expr>) {
    let mut params = FixedParameters::default();
    let mut resolver = Resolver { params: &mut params, types: &NoUserTypes };
    let Ok(found) = resolver.function(name, args, &[], false) else { return };
    let call = Expr::Call(Call {
        function: found.function.id,
        operator: None,
        args: found.args,
        variadic: found.variadic,
        ty: found.ty,
    });
    if let Ok(evaluator) = Evaluator::compile(&call, &|_| None) {
        let _ = evaluator.eval(&[], &[], &Context::default());
    }
}

/// The two texts of a target's input: before and after its first zero byte.
fn two_texts(data: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(data).ok()?.split_once('\0')
}

fn patterns(data: &[u8]) {
    let Some((pattern, subject)) = two_texts(data) else { return };
    for name in ["textregexeq", "texticregexeq", "textlike", "texticlike", "regexp_match"] {
        call(name, &[subject, pattern]);
    }
    call("similar_to_escape", &[pattern]);
    call("regexp_replace", &[subject, pattern, "[\\1\\&]", "gi"]);
    call("substring", &[subject, pattern, "#"]);
}

fn templates(data: &[u8]) {
    let Some((template, subject)) = two_texts(data) else { return };
    for name in ["to_date", "to_timestamp", "to_number"] {
        call(name, &[subject, template]);
    }
    call("format", &[template, subject]);
    for ty in [TypeId::NUMERIC, TypeId::FLOAT8, TypeId::TIMESTAMPTZ, TypeId::INTERVAL] {
        if let Ok(value) = text::input(subject, TypeRef::plain(ty), &Context::default()) {
            let template = Expr::constant(Value::text(template), TypeId::TEXT);
            call_with("to_char", vec![Expr::constant(value, ty), template]);
        }
    }
}

/// Numbers from a seed that is printed, so that a failure can be had again: `DATAMAN_TEST_SEED` gives it.
#[derive(Debug)]
pub struct Random(StdRng);

impl Random {
    /// Begins with the seed of the environment, or another one each time.
    pub fn from_environment(what: &str) -> Self {
        let given = std::env::var("DATAMAN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(rand::random::<u64>);
        eprintln!("{what}: DATAMAN_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.random_range(0..bound)
    }

    fn byte(&mut self) -> u8 {
        /// Bytes at which decoders decide.
        const INTERESTING: &[u8] =
            b"\0\x01\x7f\x80\xff\"'\\{}[](),.:;+-*/%$#@! \n\t0195aeEnNPzZ\xc3\xa4\xe2\xf0";
        match self.below(3) {
            0 => self.0.random(),
            _ => INTERESTING[self.below(INTERESTING.len())],
        }
    }
}

/// Changes some bytes of an input at or after `from`: others, more, fewer, repeated, or its end cut off.
pub fn mutate(random: &mut Random, input: &[u8], from: usize) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(6) {
        let from = from.min(bytes.len());
        let at = from + random.below(bytes.len() - from + 1);
        match random.below(7) {
            0 | 1 => {
                let byte = random.byte();
                match bytes.get_mut(at) {
                    Some(place) => *place = byte,
                    None => bytes.push(byte),
                }
            }
            2 => bytes.insert(at, random.byte()),
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            4 => {
                let end = at + random.below(bytes.len() - at + 1).min(40);
                let part = bytes[at..end].to_vec();
                for _ in 0..=random.below(3) {
                    bytes.splice(at..at, part.iter().copied());
                }
            }
            5 => bytes.truncate(at),
            _ => {
                let number = [u32::MAX, 0x7fff_ffff, 0, 1 << 20][random.below(4)].to_be_bytes();
                for (place, byte) in bytes.iter_mut().skip(at).zip(number) {
                    *place = byte;
                }
            }
        }
    }
    bytes
}
