//! PostgreSQL's own regression files through dataman and through a plain server, statement by statement.
//!
//! The files are not part of this repository: `./sql-tests/regress FOLDER` is given PostgreSQL's `src/test/regress`. Each file
//! is cut into statements ([`split`]), psql runs them with a mark after each ([`script`]), and what the two sides printed is
//! compared ([`judge`]) with each other, not with the files that PostgreSQL expects.

pub mod judge;
pub mod script;
pub mod split;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};

use judge::{Judge, Output, Outputs, Verdict};
use script::Side;
use split::Piece;

/// One judged statement.
#[derive(Debug)]
pub struct Judged {
    /// The file that it is of.
    pub file: String,
    /// Its text.
    pub statement: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What dataman printed.
    pub ours: Option<Output>,
    /// What the plain server printed.
    pub theirs: Option<Output>,
}

/// Where the two sides listen.
#[derive(Debug, Clone)]
pub struct Sides {
    /// dataman's connection string.
    pub ours: String,
    /// The plain server's.
    pub theirs: String,
    /// Another database of the plain server, in which statements are run again with rows in other orders.
    pub again: String,
}

/// Runs one file on both sides. Later files find what earlier ones left, and `judge` what was refused there.
///
/// # Errors
/// The file cannot be read, or psql not be run.
pub fn run(
    folder: &Path,
    file: &str,
    sides: &Sides,
    judge: &mut Judge,
) -> std::io::Result<Vec<Judged>> {
    let text = std::fs::read_to_string(folder.join("sql").join(format!("{file}.sql")))?;
    let pieces = split::split(&text);
    let output = |dsn: &str, side: Side, again: &HashSet<usize>| -> std::io::Result<Outputs> {
        let script = script::script(&pieces, side, again);
        Ok(judge::outputs(&psql(folder, dsn, &script)?, pieces.len()))
    };
    let ours = output(&sides.ours, Side::Dataman, &HashSet::new())?;
    let theirs = output(&sides.theirs, Side::Plain, &HashSet::new())?;
    // Where the two differ, a second plain server says what the order of rows decides.
    let differ = ours.first.iter().zip(&theirs.first).enumerate();
    let differ = differ.filter_map(|(number, sides)| match sides {
        (Some(ours), Some(theirs)) if judge::may_be_open(ours, theirs) => Some(number),
        _ => None,
    });
    let Outputs { reordered, keyed, .. } = output(&sides.again, Side::Plain, &differ.collect())?;
    judge.begin_file();
    let mut judged = Vec::new();
    for (number, piece) in pieces.into_iter().enumerate() {
        let Piece::Statement(statement) = piece else { continue };
        let (ours, other) = (ours.first[number].clone(), reordered[number].as_slice());
        let theirs = theirs.first[number].clone();
        let keyed = keyed[number].as_ref();
        let verdict = judge.judge(&statement, ours.as_ref(), theirs.as_ref(), other, keyed);
        judged.push(Judged { file: file.to_owned(), statement, verdict, ours, theirs });
    }
    Ok(judged)
}

/// Runs psql as PostgreSQL's own test driver does.
fn psql(folder: &Path, dsn: &str, script: &str) -> std::io::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), script)?;
    let output = Command::new("sh")
        .args(["-c", "exec psql -X -q -d \"$1\" -v HIDE_TABLEAM=on -v HIDE_TOAST_COMPRESSION=on -f \"$2\" 2>&1", "sh", dsn])
        .arg(file.path())
        .env("PG_ABS_SRCDIR", folder)
        .env("PG_LIBDIR", "/nonexistent")
        .env("PG_DLSUFFIX", ".so")
        .env("PGTZ", "PST8PDT")
        .env("PGDATESTYLE", "Postgres, MDY")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Where the script lies and its lines differ from side to side.
    let place = format!("psql:{}:", file.path().display());
    Ok(text
        .lines()
        .map(|line| match line.strip_prefix(&place).and_then(|rest| rest.split_once(": ")) {
            Some((_, message)) => format!("{message}\n"),
            None => format!("{line}\n"),
        })
        .collect())
}

/// How many statements of each file got which verdict.
pub fn table(judged: &[Judged]) -> String {
    let mut files: BTreeMap<&str, [usize; 7]> = BTreeMap::new();
    for one in judged {
        files.entry(&one.file).or_default()[one.verdict as usize] += 1;
    }
    let mut out = format!(
        "{:<20} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}\n",
        "file", "right", "open", "near", "refused", "follows", "plan", "wrong"
    );
    let mut total = [0; 7];
    let mut line = |name: &str, counts: &[usize; 7]| {
        out.push_str(&format!("{name:<20}"));
        for count in counts {
            out.push_str(&format!(" {count:>7}"));
        }
        out.push('\n');
    };
    for (name, counts) in &files {
        line(name, counts);
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    line("all", &total);
    out
}

/// The reasons of the refusals, the most frequent first, each with a statement that it was given for.
pub fn reasons(judged: &[Judged]) -> String {
    let mut reasons: BTreeMap<String, (usize, &Judged)> = BTreeMap::new();
    for one in judged.iter().filter(|one| one.verdict == Verdict::Refused) {
        let text = one.ours.as_ref().map_or("", |output| output.text.as_str());
        let reason = text.lines().find(|line| line.starts_with("ERROR")).unwrap_or("?").to_owned();
        reasons.entry(reason).or_insert((0, one)).0 += 1;
    }
    let mut sorted: Vec<_> = reasons.into_iter().collect();
    sorted.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let mut out = String::new();
    for (reason, (count, example)) in sorted {
        let statement = example.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = statement.chars().take(160).collect();
        out.push_str(&format!("{count:>5}  {reason}\n         {}: {shown}\n", example.file));
    }
    out
}

/// Every statement of one verdict with both outputs.
pub fn details(judged: &[Judged], verdict: Verdict) -> String {
    let mut out = String::new();
    let show = |output: &Option<Output>| {
        output.as_ref().map_or("(never reached)".to_owned(), |output| {
            format!("[{}]\n{}", output.sqlstate, output.text.trim_end())
        })
    };
    for one in judged.iter().filter(|one| one.verdict == verdict) {
        out.push_str(&format!(
            "#### {}\n{}\n---- dataman {}\n---- postgresql {}\n\n",
            one.file,
            one.statement.trim(),
            show(&one.ours),
            show(&one.theirs)
        ));
    }
    out
}
