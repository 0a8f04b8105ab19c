//! Values to try, by type: what is extreme, what is peculiar, and seeded random ones. All as PostgreSQL's input reads them.

use dataman_pg::{TypeId, catalog};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// The types whose values are tried, other than arrays.
pub const SCALARS: &[TypeId] = &[
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
    TypeId::NAME,
    TypeId::CHAR,
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
    TypeId::OID,
    TypeId::INET,
    TypeId::CIDR,
    TypeId::MACADDR,
    TypeId::MACADDR8,
    TypeId::BIT,
    TypeId::VARBIT,
    TypeId::INT4RANGE,
    TypeId::INT8RANGE,
    TypeId::NUMRANGE,
    TypeId::DATERANGE,
    TypeId::TSRANGE,
    TypeId::TSTZRANGE,
    TypeId::INT4MULTIRANGE,
    TypeId::INT8MULTIRANGE,
    TypeId::NUMMULTIRANGE,
    TypeId::DATEMULTIRANGE,
    TypeId::TSMULTIRANGE,
    TypeId::TSTZMULTIRANGE,
];

const INT2: &[&str] = &["0", "1", "-1", "2", "3", "7", "-10", "100", "32767", "-32768", "32766"];
const INT4: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "-10",
    "100",
    "-128",
    "32767",
    "32768",
    "-32769",
    "46341",
    "65536",
    "2147483647",
    "-2147483648",
    "2147483646",
    "-2147483647",
];
const INT8: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "-10",
    "100",
    "2147483647",
    "2147483648",
    "-2147483649",
    "3037000500",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "-9223372036854775807",
];
const FLOAT4: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "0.5",
    "1.5",
    "2.5",
    "-2.5",
    "3.3",
    "1e10",
    "123456.789",
    "16777217",
    "32767.5",
    "2147483648",
    "1e-5",
    "1e38",
    "3.4028235e38",
    "-3.4028235e38",
    "1e-45",
    "1.1754944e-38",
    "NaN",
    "Infinity",
    "-Infinity",
];
const FLOAT8: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "0.5",
    "1.5",
    "2.5",
    "-2.5",
    "3.3",
    "10",
    "0.30000000000000004",
    "123456789.123456789",
    "9007199254740993",
    "1e15",
    "1e16",
    "1e-4",
    "1e-5",
    "32767.5",
    "-32768.5",
    "2147483647.4",
    "2147483647.5",
    "-2147483648.5",
    "9223372036854775807",
    "9.2233720368547748e18",
    "-9223372036854775808",
    "1e100",
    "-1e300",
    "1.7976931348623157e308",
    "-1.7976931348623157e308",
    "5e-324",
    "2.2250738585072014e-308",
    "3.141592653589793",
    "709.78",
    "-745.2",
    "NaN",
    "Infinity",
    "-Infinity",
];
const NUMERIC: &[&str] = &[
    "0",
    "0.00",
    "1",
    "-1",
    "1.0",
    "1.10",
    "2",
    "3",
    "10",
    "0.1",
    "0.5",
    "1.5",
    "2.5",
    "-2.5",
    "0.05",
    "99.99",
    "-0.001",
    "100",
    "10000",
    "9999",
    "10001.0001",
    "123456789.987654321",
    "32767.5",
    "2147483647.4",
    "2147483647.5",
    "-2147483648.5",
    "9223372036854775807.4",
    "9223372036854775807.5",
    "0.00000000000000000001",
    "-0.0000000000000000000000000000001",
    "123456789012345678901234567890.123456789",
    "99999999999999999999999999999999999999999",
    "1e50",
    "-1e100",
    "1e-100",
    "3.14159265358979323846264338327950288",
    "NaN",
    "Infinity",
    "-Infinity",
];
const TEXT: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "b",
    "abc",
    "ABC",
    "abcabc",
    "Hello World",
    "hello, world",
    "héllo",
    "ÄÖÜß",
    "日本語",
    "😀x",
    "e\u{301}",
    "a%b_c",
    "\\",
    "a\\b",
    "it's",
    "\"q\"",
    "  trim  ",
    "aXbXc",
    "123",
    "-5",
    " 42 ",
    "1.5",
    "1e5",
    "true",
    "f",
    "NaN",
    "\t\n",
    "x",
    "a,b,,c",
    "null",
    "NULL",
    "{1,2}",
    "[1,2]",
    "{\"a\":1}",
    "2024-02-29",
    "12:34:56",
    "1 day",
    "\u{1}",
    "ǅ",
    "İi",
    "%",
    "_",
    "^a.*c$",
    "ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab",
];
const NAME: &[&str] = &["", "a", "abc", "Hello World", "select", "pg_catalog", "héllo", "a_1"];
const CHAR: &[&str] = &["", "a", "A", " ", "\\351", "z", "0", "\\177"];
const BPCHAR: &[&str] = &["", " ", "a", "a ", "a   ", "A", "ab", "b", "é ", "abc  ", "\t", "日本"];
const BYTEA: &[&str] = &[
    "",
    "\\x00",
    "\\xff",
    "\\x616263",
    "\\x61",
    "\\xdeadbeef",
    "\\x0000",
    "abc\\\\d",
    "\\x00ff00ff",
    "\\xe697a5e69cac",
    "\\x000102030405060708090a0b0c0d0e0f",
];
const DATE: &[&str] = &[
    "2000-01-01",
    "1999-12-31",
    "2000-02-29",
    "2024-02-29",
    "2023-12-31",
    "1970-01-01",
    "0001-01-01",
    "0001-12-31 BC",
    "4714-11-24 BC",
    "5874897-12-31",
    "1582-10-15",
    "2024-12-30",
    "2021-01-03",
    "294276-12-31",
    "infinity",
    "-infinity",
];
const TIME: &[&str] = &[
    "00:00:00",
    "24:00:00",
    "23:59:59.999999",
    "12:34:56.789",
    "12:00",
    "00:00:00.000001",
    "01:02:03",
];
const TIMETZ: &[&str] = &[
    "00:00:00+00",
    "24:00:00+00",
    "23:59:59.999999-15:59",
    "12:00:00+05:30",
    "12:34:56.789-08",
    "24:00:00-15:59:59",
    "00:00:00+15:59",
    "06:30:00+00",
    "12:00:00+05:30:15",
];
const TIMESTAMP: &[&str] = &[
    "2000-01-01 00:00:00",
    "1999-12-31 23:59:59.999999",
    "2024-02-29 12:34:56.789012",
    "2024-03-31 00:00:00",
    "2024-01-31 23:59:59",
    "1970-01-01 00:00:00",
    "0001-01-01 00:00:00",
    "0001-12-31 23:59:59 BC",
    "4714-11-24 00:00:00 BC",
    "294276-12-31 23:59:59.999999",
    "2024-03-10 02:30:00",
    "2024-11-03 01:30:00",
    "1900-01-01 00:00:00",
    "2038-01-19 03:14:08",
    "infinity",
    "-infinity",
];
const TIMESTAMPTZ: &[&str] = &[
    "2000-01-01 00:00:00+00",
    "1999-12-31 23:59:59.999999+00",
    "2024-02-29 12:34:56.789012+00",
    "2024-03-31 00:00:00+00",
    "2024-01-31 23:59:59-08",
    "1970-01-01 00:00:00+00",
    "0001-01-01 00:00:00+00",
    "0001-12-31 23:59:59+00 BC",
    "4714-11-24 00:00:00+00 BC",
    "294276-12-31 23:59:59.999999+00",
    "2024-03-10 10:30:00+00",
    "2024-11-03 06:30:00+00",
    "1900-01-01 00:00:00+00",
    "2038-01-19 03:14:08+05:30",
    "infinity",
    "-infinity",
];
const INTERVAL: &[&str] = &[
    "0",
    "1 day",
    "-1 day",
    "1 mon",
    "-1 mon",
    "1 year 2 mons 3 days 04:05:06.789",
    "1 mon -1 day",
    "-1 year 1 day -00:00:01",
    "00:00:00.000001",
    "24:00:00",
    "1 day 25:00:00",
    "30 days",
    "-30 days",
    "720:00:00",
    "12:00:00",
    "1.5 hours",
    "1 week",
    "178000000 years",
    "-178000000 years",
    "2147483647 mons",
    "-2147483648 mons",
    "2147483647 days",
    "-2147483648 days",
    "2562047788:00:54.775807",
    "-2562047788:00:54.775808",
    "1 century",
    "15 mons 40 days 30:00:00",
    "-15 mons -40 days",
];
const UUID: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
];
const JSON: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.0",
    "1.50",
    "1e3",
    "123456789012345678901234567890",
    "\"\"",
    "\"a\"",
    "\"A b\"",
    "[]",
    "{}",
    "[1]",
    "[1, 2, [3, null]]",
    "{\"a\": 1}",
    "{\"a\":1,\"b\":{\"c\":[1,null,\"x\"]}}",
    "{\"b\":1,\"a\":2,\"a\":3}",
    "\"\\u00e9\\n\\\"\"",
    "[{\"a\":1},{\"a\":null}]",
    "{\"aa\":1,\"b\":2,\"\":0}",
    "[\"a\",\"b\",\"a\"]",
    " [ 1 , \"\\u65e5\" ] ",
    "{\"0\":\"zero\",\"-1\":1}",
    "{\"a\":{\"b\":{\"c\":true}}}",
    "[[],{},\"\",0]",
];
const OID: &[&str] = &["0", "1", "1259", "2147483647", "2147483648", "4294967295"];

const INET: &[&str] = &[
    "0.0.0.0/0",
    "0.0.0.0",
    "255.255.255.255",
    "10.1.2.3/8",
    "10.1.2.3",
    "10.0.0.0/8",
    "10.1/16",
    "192.168.1.5/24",
    "192.168.1.255/25",
    "192.168.1.0/31",
    "::/0",
    "::",
    "::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:4f8:3:ba::/64",
    "2001:4f8:3:ba:2e0:81ff:fe22:d1f1/128",
    "::ffff:1.2.3.0/120",
    "::10.2.3.4/24",
    "1:0:0:2:0:0:0:3/10",
    "0:0:0:0:0:0:1:0/127",
    "fe80::/10",
];
const CIDR: &[&str] = &[
    "0.0.0.0/0",
    "10",
    "10.1",
    "128.1",
    "192.168.1",
    "224",
    "225.1",
    "240.0.0.0",
    "10.0.0.0/8",
    "10.64.0.0/10",
    "192.168.1.128/25",
    "192.168.1.5/32",
    "0x0a01",
    "::/0",
    "2001:4f8::/32",
    "2001:4f8:3:ba::/64",
    "::ffff:1.2.3.0/120",
    "::1.2.3.4",
    "0:0:0:1::/64",
    "fe80::/10",
    "1:0:0:2::/100",
    "::1/128",
];
const MACADDR: &[&str] = &[
    "08:00:2b:01:02:03",
    "08-00-2b-01-02-03",
    "08002b:010203",
    "0800.2b01.0203",
    "0800-2b01-0203",
    "08002b010203",
    "00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff",
    "1:2:3:4:5:6",
    "FF:fe:0:1:2:3",
];
const MACADDR8: &[&str] = &[
    "08:00:2b:01:02:03:04:05",
    "08-00-2b-01-02-03",
    "08002b:0102030405",
    "0800.2b01.0203.0405",
    "08002b0102030405",
    "00:00:00:00:00:00:00:00",
    "ff:ff:ff:ff:ff:ff:ff:ff",
    "08:00:2b:ff:fe:01:02:03",
];
const BITS: &[&str] = &[
    "",
    "0",
    "1",
    "10",
    "01",
    "101",
    "1111111",
    "10000000",
    "100000001",
    "B0011",
    "xFf",
    "X",
    "00000000000000000000000000000000",
    "10000000000000000000000000000001",
    "1111111111111111111111111111111111111111111111111111111111111111",
    "10000000000000000000000000000000000000000000000000000000000000001",
];

const JSONPATH: &[&str] = &[
    "$",
    "strict $",
    "$.a",
    "strict $.a",
    "$.b.c[0]",
    "$[*]",
    "strict $[*]",
    "$.*",
    "$.**",
    "$.**{1}",
    "$.**{last}",
    "$.**{1 to 2}.a",
    "$[0]",
    "$[last]",
    "$[1 to last]",
    "strict $[5]",
    "$[0, 2]",
    "$[*] ? (@ > 1)",
    "$.a ? (@ == 1 || @ == 2)",
    "$ ? (exists(@.a))",
    "$ ? (!(@.a > 1) && @.b != null)",
    "$.a == 1",
    "$.a > 1 && $.b < 2",
    "($.a > 1) is unknown",
    "$.a + 1",
    "-$.a",
    "$.a * 2 - $[0] / 0",
    "$.size()",
    "$[*].type()",
    "$.a.abs()",
    "$[*].double()",
    "$.floor()",
    "$.ceiling() % 2",
    "$ starts with \"a\"",
    "$[*] like_regex \"^a.*\" flag \"i\"",
    "$v",
    "$.a == $v",
    "$ ? (@ like_regex \"A\" flag \"q\")",
    "\"text\"",
    "1.50",
    "null",
    "true",
    "$.\"a b\".c",
    "$.aa ? (@ > 0).b",
];

/// The extreme and peculiar values of a type; none for a type whose values are not tried.
pub fn fixed(ty: TypeId) -> Vec<String> {
    let texts = match ty {
        TypeId::BOOL => &["t", "f"][..],
        TypeId::INT2 => INT2,
        TypeId::INT4 => INT4,
        TypeId::INT8 => INT8,
        TypeId::FLOAT4 => FLOAT4,
        TypeId::FLOAT8 => FLOAT8,
        TypeId::NUMERIC => NUMERIC,
        TypeId::TEXT | TypeId::VARCHAR => TEXT,
        TypeId::BPCHAR => BPCHAR,
        TypeId::NAME => NAME,
        TypeId::CHAR => CHAR,
        TypeId::BYTEA => BYTEA,
        TypeId::DATE => DATE,
        TypeId::TIME => TIME,
        TypeId::TIMETZ => TIMETZ,
        TypeId::TIMESTAMP => TIMESTAMP,
        TypeId::TIMESTAMPTZ => TIMESTAMPTZ,
        TypeId::INTERVAL => INTERVAL,
        TypeId::UUID => UUID,
        TypeId::JSON | TypeId::JSONB => JSON,
        TypeId::OID => OID,
        TypeId::JSONPATH => JSONPATH,
        TypeId::INET => INET,
        TypeId::CIDR => CIDR,
        TypeId::MACADDR => MACADDR,
        TypeId::MACADDR8 => MACADDR8,
        TypeId::BIT | TypeId::VARBIT => BITS,
        other => match range_of(other) {
            Some((element, is_multirange)) => return fixed_ranges(element, is_multirange),
            None => return fixed_arrays(other),
        },
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The element type of a range or multirange type, and whether it is the latter.
fn range_of(ty: TypeId) -> Option<(TypeId, bool)> {
    catalog::ranges().iter().find_map(|range| {
        let is_multirange = range.multirange == ty;
        (range.id == ty || is_multirange).then_some((range.element, is_multirange))
    })
}

fn fixed_ranges(element: TypeId, is_multirange: bool) -> Vec<String> {
    let (a, b, c, d) = match element {
        TypeId::NUMERIC => ("-1.5", "0", "1.10", "100"),
        TypeId::DATE => ("1999-12-31", "2000-01-01", "2000-01-02", "2024-02-29"),
        TypeId::TIMESTAMP => {
            ("1999-12-31 23:59:59", "2000-01-01", "2000-01-01 00:00:01", "infinity")
        }
        TypeId::TIMESTAMPTZ => {
            ("1999-12-31 23:59:59+00", "2000-01-01+02", "2000-01-01 00:00:01+00", "infinity")
        }
        _ => ("-1", "0", "1", "5"),
    };
    let ranges = [
        "empty".to_owned(),
        "(,)".to_owned(),
        format!("[{a},)"),
        format!("(,{b}]"),
        format!("({a},{b})"),
        format!("[{a},{b}]"),
        format!("[{b},{c})"),
        format!("({b},{c}]"),
        format!("[{c},{d}]"),
        format!("({c},{d})"),
        format!("[{b},{b}]"),
        format!("[\"{b}\",{d})"),
        format!("({a},{c}]"),
    ];
    if !is_multirange {
        return ranges.to_vec();
    }
    let mut texts = vec!["{}".to_owned()];
    texts.extend(ranges.iter().map(|range| format!("{{{range}}}")));
    for (first, second) in [(4, 9), (4, 6), (5, 8), (3, 8), (10, 9), (4, 10), (0, 8), (6, 5)] {
        texts.push(format!("{{{}, {}}}", ranges[first], ranges[second]));
    }
    texts.push(format!("{{{},{},{}}}", ranges[9], ranges[4], ranges[10]));
    texts
}

fn random_range(element: TypeId, rng: &mut StdRng) -> String {
    let mut bound = || match rng.random_range(0..6) {
        0 => String::new(),
        1 => quote_element(&any(element, rng)),
        _ => match element {
            TypeId::NUMERIC => format!("{}", f64::from(rng.random_range(-20..20)) / 4.0),
            TypeId::DATE => format!("2000-01-{:02}", rng.random_range(1..20)),
            TypeId::TIMESTAMP | TypeId::TIMESTAMPTZ => {
                format!("2000-01-01 00:00:{:02}", rng.random_range(0..20))
            }
            _ => rng.random_range(-10..10).to_string(),
        },
    };
    let (lower, upper) = (bound(), bound());
    let (open, close) = (["[", "("], ["]", ")"]);
    format!("{}{lower},{upper}{}", open[rng.random_range(0..2)], close[rng.random_range(0..2)])
}

fn fixed_arrays(ty: TypeId) -> Vec<String> {
    let Some(element) = element(ty) else { return Vec::new() };
    let values = fixed(element);
    let value = |index: usize| quote_element(&values[index % values.len()]);
    let (a, b, c, d) = (value(0), value(1), value(2), value(values.len() - 1));
    vec![
        "{}".to_owned(),
        "{NULL}".to_owned(),
        format!("{{{a}}}"),
        format!("{{{b}}}"),
        format!("{{{a},{b}}}"),
        format!("{{{b},{a},{b}}}"),
        format!("{{{a},NULL,{c}}}"),
        format!("{{{c},{d},{a},NULL,{d}}}"),
        format!("[0:1]={{{a},{b}}}"),
        format!("[-2:-2]={{{d}}}"),
        format!("{{{{{a},{b}}},{{{c},{d}}}}}"),
        format!("{{{{{a}}},{{NULL}}}}"),
        format!("[2:2][5:6]={{{{{c},{a}}}}}"),
    ]
}

/// The element's type of an array type.
fn element(ty: TypeId) -> Option<TypeId> {
    let element = catalog::type_by_id(ty)?.element;
    SCALARS.contains(&element).then_some(element)
}

fn quote_element(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A random value of a type.
pub fn random(ty: TypeId, rng: &mut StdRng) -> String {
    match ty {
        TypeId::BOOL => ["t", "f"][rng.random_range(0..2)].to_owned(),
        TypeId::INT2 => rng.random::<i16>().to_string(),
        TypeId::INT4 => spread(rng, 31).to_string(),
        TypeId::INT8 => spread(rng, 63).to_string(),
        TypeId::FLOAT4 => match f32::from_bits(rng.random()) {
            value if value.is_finite() => format!("{value:e}"),
            _ => format!("{}", rng.random_range(-1000.0_f32..1000.0)),
        },
        TypeId::FLOAT8 => match (rng.random_range(0..3), f64::from_bits(rng.random())) {
            (0, value) if value.is_finite() => format!("{value:e}"),
            (1, _) => format!("{}", rng.random_range(-1000.0_f64..1000.0)),
            _ => format!("{}", (rng.random_range(-1e6_f64..1e6)).round() / 100.0),
        },
        TypeId::NUMERIC => random_numeric(rng),
        TypeId::TEXT | TypeId::VARCHAR => random_text(rng),
        TypeId::BPCHAR => random_text(rng) + &" ".repeat(rng.random_range(0..3)),
        TypeId::NAME => random_text(rng).chars().take(15).collect(),
        TypeId::CHAR => char::from(rng.random_range(b'!'..b'[')).to_string(),
        TypeId::BYTEA => {
            let bytes: Vec<u8> = (0..rng.random_range(0..20)).map(|_| rng.random()).collect();
            bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
        }
        TypeId::DATE => random_date(rng),
        TypeId::TIME => random_time(rng),
        TypeId::TIMETZ => random_time(rng) + &random_zone(rng),
        TypeId::TIMESTAMP => format!("{} {}", random_date(rng), random_time(rng)),
        TypeId::TIMESTAMPTZ => {
            format!("{} {}{}", random_date(rng), random_time(rng), random_zone(rng))
        }
        TypeId::INTERVAL => format!(
            "{} mons {} days {}{}",
            rng.random_range(-500..500),
            rng.random_range(-500..500),
            ["", "-"][rng.random_range(0..2)],
            random_time(rng)
        ),
        TypeId::UUID => format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            rng.random::<u32>(),
            rng.random::<u16>(),
            rng.random::<u16>(),
            rng.random::<u16>(),
            rng.random::<u64>() >> 16
        ),
        TypeId::JSON | TypeId::JSONB => random_json(rng, 3),
        TypeId::OID => rng.random::<u32>().to_string(),
        TypeId::JSONPATH => random_path(rng),
        TypeId::INET | TypeId::CIDR => {
            let is_v6 = rng.random_range(0..3) == 0;
            let width: u32 = if is_v6 { 128 } else { 32 };
            let bits = rng.random_range(0..=width);
            let address = rng.random::<u128>() >> (128 - width);
            let host = width - bits;
            let network = address.checked_shr(host).and_then(|a| a.checked_shl(host)).unwrap_or(0);
            let address = if ty == TypeId::CIDR { network } else { address };
            match u32::try_from(address) {
                Ok(short) if !is_v6 => format!("{}/{bits}", std::net::Ipv4Addr::from(short)),
                _ => format!("{}/{bits}", std::net::Ipv6Addr::from(address)),
            }
        }
        TypeId::MACADDR | TypeId::MACADDR8 => {
            let count = if ty == TypeId::MACADDR { 6 } else { 8 };
            let bytes: Vec<String> =
                (0..count).map(|_| format!("{:02x}", rng.random::<u8>())).collect();
            bytes.join(":")
        }
        TypeId::BIT | TypeId::VARBIT => {
            (0..rng.random_range(0..40)).map(|_| if rng.random() { '1' } else { '0' }).collect()
        }
        other if let Some((element, is_multirange)) = range_of(other) => {
            if !is_multirange {
                return random_range(element, rng);
            }
            let ranges: Vec<String> =
                (0..rng.random_range(0..4)).map(|_| random_range(element, rng)).collect();
            format!("{{{}}}", ranges.join(","))
        }
        other => match element(other) {
            None => String::new(),
            Some(element) => {
                let elements: Vec<String> = (0..rng.random_range(0..6))
                    .map(|_| match rng.random_range(0..6) {
                        0 => "NULL".to_owned(),
                        _ => quote_element(&any(element, rng)),
                    })
                    .collect();
                format!("{{{}}}", elements.join(","))
            }
        },
    }
}

/// A value of a type, mostly a peculiar one.
pub fn any(ty: TypeId, rng: &mut StdRng) -> String {
    let values = fixed(ty);
    match values.choose(rng) {
        Some(value) if rng.random_range(0..10) < 7 => value.clone(),
        _ => random(ty, rng),
    }
}

/// An integer of any magnitude of up to so many bits.
fn spread(rng: &mut StdRng, bits: u32) -> i64 {
    let magnitude = rng.next_u64() >> (64 - rng.random_range(1..=bits));
    let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
    if rng.random() { magnitude } else { -magnitude }
}

fn random_numeric(rng: &mut StdRng) -> String {
    let mut digits = |most: usize| -> String {
        (0..rng.random_range(0..=most)).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect()
    };
    let (whole, fraction) = (digits(25), digits(20));
    let sign = ["", "-"][rng.random_range(0..2)];
    match fraction.is_empty() {
        true => format!("{sign}0{whole}"),
        false => format!("{sign}0{whole}.{fraction}"),
    }
}

fn random_text(rng: &mut StdRng) -> String {
    const LETTERS: &[char] = &[
        'a', 'b', 'c', 'A', 'B', 'x', '0', '1', ' ', '%', '_', '.', 'é', 'ß', '日', '\\', '\'',
        '"', '*', '(',
    ];
    (0..rng.random_range(0..12)).map(|_| LETTERS[rng.random_range(0..LETTERS.len())]).collect()
}

fn random_date(rng: &mut StdRng) -> String {
    let year = match rng.random_range(0..4) {
        0 => rng.random_range(1..9999),
        _ => rng.random_range(1950..2050),
    };
    format!("{year:04}-{:02}-{:02}", rng.random_range(1..=12), rng.random_range(1..=28))
}

fn random_time(rng: &mut StdRng) -> String {
    let (hour, minute) = (rng.random_range(0..24), rng.random_range(0..60));
    let second = rng.random_range(0..60);
    match rng.random_range(0..2) {
        0 => format!("{hour:02}:{minute:02}:{second:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}.{:06}", rng.random_range(0..1_000_000)),
    }
}

fn random_zone(rng: &mut StdRng) -> String {
    let sign = ["+", "-"][rng.random_range(0..2)];
    format!("{sign}{:02}:{:02}", rng.random_range(0..15), [0, 0, 0, 30, 45][rng.random_range(0..5)])
}

/// A path, mostly one that random documents have something for.
fn random_path(rng: &mut StdRng) -> String {
    let mode = ["", "", "lax ", "strict "][rng.random_range(0..4)];
    let path = match rng.random_range(0..3) {
        0 => path_predicate(rng, 1),
        _ => path_value(rng, 1),
    };
    format!("{mode}{path}")
}

fn path_value(rng: &mut StdRng, depth: u32) -> String {
    let base = if depth == 0 { "@" } else { "$" };
    match rng.random_range(0..10) {
        0 => {
            ["1", "2.50", "\"a\"", "null", "true", "$v", "\"\""][rng.random_range(0..7)].to_owned()
        }
        1 => {
            let operator = ["+", "-", "*", "/", "%"][rng.random_range(0..5)];
            format!("{} {operator} {}", path_steps(base, rng, depth), path_steps(base, rng, depth))
        }
        2 => format!("-{}", path_steps(base, rng, depth)),
        _ => path_steps(base, rng, depth),
    }
}

fn path_steps(base: &str, rng: &mut StdRng, depth: u32) -> String {
    let mut path = base.to_owned();
    for _ in 0..rng.random_range(0..4) {
        path += &match rng.random_range(0..9) {
            0 | 1 => [".a", ".b", ".c", ".\"é\"", ".aa"][rng.random_range(0..5)].to_owned(),
            2 => "[*]".to_owned(),
            3 => ["[0]", "[1]", "[last]", "[0 to 1]", "[-1]", "[0,1]"][rng.random_range(0..6)]
                .to_owned(),
            4 => ".*".to_owned(),
            5 => [".**", ".**{1}", ".**{0 to 1}", ".**{last}"][rng.random_range(0..4)].to_owned(),
            6 => [".size()", ".type()", ".abs()", ".double()", ".floor()"][rng.random_range(0..5)]
                .to_owned(),
            _ if depth == 0 => String::new(),
            _ => format!(" ? ({})", path_predicate(rng, depth - 1)),
        };
    }
    path
}

fn path_predicate(rng: &mut StdRng, depth: u32) -> String {
    let (left, right) = (path_value(rng, depth), path_value(rng, depth));
    let simple = match rng.random_range(0..8) {
        0 => format!("exists({left})"),
        1 => format!("{left} starts with \"a\""),
        2 => format!("{left} like_regex \"[a-c]\""),
        _ => {
            let operator = ["==", "!=", "<", "<=", ">", ">="][rng.random_range(0..6)];
            format!("{left} {operator} {right}")
        }
    };
    match rng.random_range(0..8) {
        0 => format!("!({simple})"),
        1 => format!("({simple}) is unknown"),
        2 => format!("{simple} && {right} == 1"),
        3 => format!("{simple} || {left} > 0"),
        _ => simple,
    }
}

fn random_json(rng: &mut StdRng, depth: u32) -> String {
    let kinds = if depth == 0 { 4 } else { 6 };
    match rng.random_range(0..kinds) {
        0 => ["null", "true", "false"][rng.random_range(0..3)].to_owned(),
        1 => spread(rng, 40).to_string(),
        2 => format!("{}", rng.random_range(-1000..1000) as f64 / 100.0),
        3 => {
            let text: String = random_text(rng).chars().filter(|c| !"\"\\".contains(*c)).collect();
            format!("\"{text}\"")
        }
        4 => {
            let items: Vec<String> =
                (0..rng.random_range(0..4)).map(|_| random_json(rng, depth - 1)).collect();
            format!("[{}]", items.join(", "))
        }
        _ => {
            let items: Vec<String> = (0..rng.random_range(0..4))
                .map(|_| {
                    let key = ["a", "b", "c", "aa", "é", ""][rng.random_range(0..6)];
                    format!("\"{key}\": {}", random_json(rng, depth - 1))
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}
