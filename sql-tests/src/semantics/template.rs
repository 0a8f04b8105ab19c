//! Templates for the formatting functions, drawn from the pattern vocabularies, and texts that nearly fit them.

use dataman_pg::TypeId;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::pool;

const DATE_PATTERNS: &[&str] = &[
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "Day", "Dy", "D",
    "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "FX", "HH24", "HH12", "HH", "IDDD", "ID", "IW",
    "IYYY", "IYY", "IY", "I", "J", "MI", "MM", "MONTH", "MON", "MS", "Month", "Mon", "OF", "P.M.",
    "PM", "Q", "RM", "SSSSS", "SSSS", "SS", "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY", "YYYY",
    "YYY", "YY", "Y", "a.d.", "am", "bc", "cc", "day", "ddd", "dd", "dy", "d", "ff3", "fx", "hh24",
    "hh", "iddd", "iw", "iyyy", "j", "mi", "mm", "month", "mon", "ms", "of", "p.m.", "q", "rm",
    "ssss", "ss", "tzh", "tz", "us", "ww", "w", "y,yyy", "yyyy", "yy", "y",
];

/// Patterns that go together often.
const DATE_PARTS: &[&str] = &[
    "YYYY", "MM", "DD", "HH24", "MI", "SS", "MS", "US", "Mon", "Month", "DDD", "HH12", "AM", "YY",
    "FMMM", "FMDD", "FMYYYY", "IYYY", "IW", "ID", "BC", "TZH", "TZM", "Day", "J", "CC", "FF3",
    "WW",
];

const NUMBER_PATTERNS: &[&str] = &[
    "9", "9", "9", "9", "9", "9", "0", "0", "0", ".", "D", ",", "G", "FM", "S", "MI", "PL", "SG",
    "PR", "TH", "th", "V", "L", "RN", "rn", "B", "SP", "C",
];

const BETWEEN: &[&str] =
    &[" ", "-", "/", ":", ".", ",", "  ", "T", "\"of\"", "x", "é", "\"\\\"q\"", "\\\"", "\\", "7"];

/// Arguments that belong together, for the functions that take a template; sometimes none, for any to be drawn.
pub fn arguments(source: &str, rng: &mut StdRng) -> Option<Vec<Option<String>>> {
    let first = match source {
        "timestamp_to_char" => TypeId::TIMESTAMP,
        "timestamptz_to_char" => TypeId::TIMESTAMPTZ,
        "interval_to_char" => TypeId::INTERVAL,
        "int4_to_char" => TypeId::INT4,
        "int8_to_char" => TypeId::INT8,
        "float4_to_char" => TypeId::FLOAT4,
        "float8_to_char" => TypeId::FLOAT8,
        "numeric_to_char" => TypeId::NUMERIC,
        "to_date" | "to_timestamp" | "numeric_to_number" => TypeId::TEXT,
        _ => return None,
    };
    if rng.random_range(0..10) == 0 {
        return None;
    }
    let (value, template) = match source {
        "to_date" | "to_timestamp" => dated(rng),
        "numeric_to_number" => numbered(rng),
        _ if source.starts_with("timestamp") || source.starts_with("interval") => {
            (pool::any(first, rng), date_template(rng))
        }
        _ => (number(first, rng), number_template(rng)),
    };
    Some(vec![Some(value), Some(template)])
}

/// A number, often one that a template of few digits shows.
fn number(ty: TypeId, rng: &mut StdRng) -> String {
    match rng.random_range(0..3) {
        0 => pool::any(ty, rng),
        1 => rng.random_range(-1200_i32..1200).to_string(),
        _ if matches!(ty, TypeId::INT4 | TypeId::INT8) => rng.random_range(-9..99999).to_string(),
        _ => {
            let digits = rng.random_range(0..5);
            format!("{:.digits$}", rng.random_range(-200.0_f64..200.0))
        }
    }
}

fn date_template(rng: &mut StdRng) -> String {
    let mut template = String::new();
    for _ in 0..rng.random_range(1..5) {
        if rng.random_range(0..3) == 0 {
            template += BETWEEN.choose(rng).unwrap_or(&" ");
        }
        if rng.random_range(0..4) == 0 {
            template += ["FM", "fm", "TM", "tm"].choose(rng).unwrap_or(&"FM");
        }
        template += DATE_PATTERNS.choose(rng).unwrap_or(&"YYYY");
        if rng.random_range(0..6) == 0 {
            template += ["TH", "th", "SP"].choose(rng).unwrap_or(&"th");
        }
    }
    template
}

fn number_template(rng: &mut StdRng) -> String {
    let mut template = String::new();
    if rng.random_range(0..6) == 0 {
        template += "FM";
    }
    // Mostly digits and a few others, because few others go together.
    let others = rng.random_range(0..4);
    let mut parts: Vec<&str> = Vec::new();
    for _ in 0..rng.random_range(0..6) {
        parts.push(["9", "9", "0"].choose(rng).unwrap_or(&"9"));
    }
    if rng.random_range(0..2) == 0 {
        parts.push([".", "D", "V"].choose(rng).unwrap_or(&"."));
        for _ in 0..rng.random_range(0..4) {
            parts.push(["9", "9", "0"].choose(rng).unwrap_or(&"9"));
        }
    }
    for _ in 0..others {
        let place = rng.random_range(0..=parts.len());
        let what = match rng.random_range(0..4) {
            0 => BETWEEN.choose(rng),
            _ => NUMBER_PATTERNS.choose(rng),
        };
        parts.insert(place, what.unwrap_or(&"9"));
    }
    if rng.random_range(0..8) == 0 {
        parts.push("EEEE");
    }
    template + &parts.concat()
}

/// A text for `to_number` and its template.
fn numbered(rng: &mut StdRng) -> (String, String) {
    let template = number_template(rng);
    let whole = rng.random_range(0..100_000).to_string();
    let mut text = match rng.random_range(0..4) {
        0 => whole,
        1 => format!("{whole}.{}", rng.random_range(0..1000)),
        2 => format!("{},{}.{}", rng.random_range(0..10), rng.random_range(0..1000), 5),
        _ => pool::any(TypeId::TEXT, rng),
    };
    let sign = ["", "", "-", "+", "<", " ", " -", "$"].choose(rng).unwrap_or(&"");
    let behind = ["", "", "-", "+", ">", " ", "th", " -"].choose(rng).unwrap_or(&"");
    text = format!("{sign}{text}{behind}");
    (text, template)
}

/// A text for `to_date` and `to_timestamp`, and its template.
fn dated(rng: &mut StdRng) -> (String, String) {
    let (mut text, mut template) = (String::new(), String::new());
    let is_usual = rng.random_range(0..3) > 0;
    for place in 0..rng.random_range(1..6) {
        if place > 0 && rng.random_range(0..5) > 0 {
            let between = BETWEEN.choose(rng).unwrap_or(&" ");
            template += between;
            text += match rng.random_range(0..4) {
                0 => BETWEEN.choose(rng).unwrap_or(&" "),
                _ => between.trim_matches('"'),
            };
        }
        if rng.random_range(0..8) == 0 {
            template += ["FM", "TM", "FX"].choose(rng).unwrap_or(&"FM");
        }
        let pattern = if is_usual { DATE_PARTS } else { DATE_PATTERNS }.choose(rng);
        let pattern = pattern.copied().unwrap_or("YYYY");
        template += pattern;
        text += &value_for(pattern, rng);
        if rng.random_range(0..12) == 0 {
            template += "th";
            text += ["th", "", "st"].choose(rng).unwrap_or(&"th");
        }
    }
    (text, template)
}

/// What might stand for a pattern in a text.
fn value_for(pattern: &str, rng: &mut StdRng) -> String {
    let number = |range: std::ops::Range<i32>, width: usize, rng: &mut StdRng| {
        let value = rng.random_range(range);
        match rng.random_range(0..8) {
            0 => value.to_string(),
            1 => format!(" {value}"),
            _ => format!("{value:0width$}"),
        }
    };
    if rng.random_range(0..25) == 0 {
        return ["", "0", "-1", "99999999999", "x", " ", "é", "7", "-", "00"]
            .choose(rng)
            .map_or_else(String::new, |text| (*text).to_owned());
    }
    let pattern = pattern.trim_start_matches("FM").to_ascii_uppercase();
    match pattern.as_str() {
        "YYYY" | "IYYY" => number(1900..2100, 4, rng),
        "YYY" | "IYY" => number(0..1000, 3, rng),
        "YY" | "IY" => number(0..100, 2, rng),
        "Y" | "I" | "W" | "Q" => number(0..10, 1, rng),
        "Y,YYY" => format!("{},{:03}", rng.random_range(0..4), rng.random_range(0..1000)),
        "MM" => number(0..14, 2, rng),
        "DD" => number(0..33, 2, rng),
        "D" | "ID" => number(0..9, 1, rng),
        "DDD" | "IDDD" => number(0..370, 3, rng),
        "HH24" => number(0..26, 2, rng),
        "HH" | "HH12" => number(0..14, 2, rng),
        "MI" | "SS" => number(0..62, 2, rng),
        "MS" | "FF3" => number(0..1000, 3, rng),
        "US" | "FF6" => number(0..1_000_000, 6, rng),
        "FF1" => number(0..10, 1, rng),
        "FF2" => number(0..100, 2, rng),
        "FF4" => number(0..10_000, 4, rng),
        "FF5" => number(0..100_000, 5, rng),
        "SSSS" => number(0..90_000, 4, rng),
        "SSSSS" => number(0..90_000, 5, rng),
        "WW" | "IW" => number(0..55, 2, rng),
        "CC" => number(0..23, 2, rng),
        "J" => number(0..5_000_000, 7, rng),
        "TZH" => {
            ["+", "-", "", " "].choose(rng).unwrap_or(&"").to_string() + &number(0..17, 2, rng)
        }
        "TZM" => number(0..61, 2, rng),
        "MONTH" => one_of(&["January", "may", "SEPTEMBER", "Decembe", "March"], rng),
        "MON" => one_of(&["Jan", "may", "SEP", "De", "Marc"], rng),
        "DAY" => one_of(&["Sunday", "monday", "SATURDAY", "Wednes", "Friday"], rng),
        "DY" => one_of(&["Sun", "mon", "SAT", "We", "Fri"], rng),
        "RM" => one_of(&["I", "vii", "XII", "iv", "XX", "M"], rng),
        "AM" | "PM" => one_of(&["AM", "pm", "Pm", "A.M.", "x"], rng),
        "A.M." | "P.M." => one_of(&["A.M.", "p.m.", "PM", "x"], rng),
        "AD" | "BC" => one_of(&["AD", "bc", "B.C.", "x"], rng),
        "A.D." | "B.C." => one_of(&["A.D.", "b.c.", "BC"], rng),
        _ => one_of(&["", "x", "1"], rng),
    }
}

fn one_of(values: &[&str], rng: &mut StdRng) -> String {
    values.choose(rng).map_or_else(String::new, |value| (*value).to_owned())
}
