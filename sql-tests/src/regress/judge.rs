//! What the two outputs of one statement say about dataman.

use std::collections::{HashMap, HashSet};

use super::script::MARK;
use super::split::words;

/// What came of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The same output, but for the order of rows that the statement leaves open.
    Right,
    /// PostgreSQL itself gives these rows, as a multiset, when the rows of its tables lie in another order: which of its answers
    /// is right is left open (`row_number()` over ties, `LIMIT` without an order, `array_agg` without one).
    Open,
    /// The same rows or error; the notices, or an error's position, detail or hint, are others.
    Near,
    /// `0A000` where the server answers.
    Refused,
    /// It works on what an earlier statement would have made, which was refused.
    Follows,
    /// A plan was shown: plans are compared with nothing.
    Plan,
    /// Anything else.
    Wrong,
}

/// psql's output for one piece, and the SQLSTATE of its last statement.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// What was printed.
    pub text: String,
    /// psql's `SQLSTATE`.
    pub sqlstate: String,
}

/// What psql printed for the pieces of a script; a piece without a mark was never reached.
#[derive(Debug)]
pub struct Outputs {
    /// The pieces' own outputs.
    pub first: Vec<Option<Output>>,
    /// What the plain server printed for those that it ran again with the rows of their tables in other orders.
    pub reordered: Vec<Vec<Output>>,
    /// What it printed for those that it ran again with the keys of their ORDER BY as further columns.
    pub keyed: Vec<Option<Output>>,
}

/// Takes psql's output apart at the marks.
pub fn outputs(text: &str, count: usize) -> Outputs {
    let mut outputs = Outputs {
        first: vec![None; count],
        reordered: vec![Vec::new(); count],
        keyed: vec![None; count],
    };
    let mut current = String::new();
    for line in text.lines() {
        let Some((before, mark)) = line.split_once(MARK) else {
            current.push_str(line);
            current.push('\n');
            continue;
        };
        current.push_str(before);
        let (number, sqlstate) = mark.split_once(' ').unwrap_or((mark, ""));
        if number == "again" {
            current.clear();
            continue;
        }
        if let Some(number) = number.strip_prefix("reordered") {
            let list = number.parse::<usize>().ok().and_then(|n| outputs.reordered.get_mut(n));
            let output =
                Output { text: std::mem::take(&mut current), sqlstate: sqlstate.to_owned() };
            list.into_iter().for_each(|list| list.push(output.clone()));
            continue;
        }
        if let Some(number) = number.strip_prefix("keyed") {
            let place = number.parse::<usize>().ok().and_then(|n| outputs.keyed.get_mut(n));
            let output =
                Output { text: std::mem::take(&mut current), sqlstate: sqlstate.to_owned() };
            place.into_iter().for_each(|place| *place = Some(output.clone()));
            continue;
        }
        let list = &mut outputs.first;
        if let Some(place) = number.parse::<usize>().ok().and_then(|n| list.get_mut(n)) {
            *place =
                Some(Output { text: std::mem::take(&mut current), sqlstate: sqlstate.to_owned() });
        }
    }
    outputs
}

/// Judges the statements of the files in their order.
#[derive(Debug, Default)]
pub struct Judge {
    /// Names that a refused statement would have made, filled or changed.
    tainted: HashSet<String>,
    /// The tables that views read: writing to a view writes to them.
    views: Vec<(String, Vec<String>)>,
    /// Whether the open transaction failed at dataman by a refusal.
    is_block_lost: bool,
    /// Whether string literals mean something else at the server, since dataman refused to change that.
    is_setting_lost: bool,
}

/// Words of a definition that name nothing.
const NOISE: &[&str] = &[
    "create",
    "table",
    "view",
    "index",
    "function",
    "temp",
    "temporary",
    "or",
    "replace",
    "insert",
    "into",
    "update",
    "delete",
    "from",
    "only",
    "alter",
    "drop",
    "if",
    "exists",
    "not",
    "unique",
    "materialized",
    "type",
    "copy",
    "select",
    "set",
    "truncate",
    "aggregate",
    "operator",
    "on",
    "recursive",
    "domain",
    "sequence",
    "declare",
    "prepare",
    "explain",
    "with",
    "class",
    "cast",
    "cascade",
    "begin",
    "rollback",
    "commit",
    "analyze",
    "vacuum",
    "as",
    "the",
];

impl Judge {
    /// Forgets what ends with a session.
    pub fn begin_file(&mut self) {
        self.is_block_lost = false;
        self.is_setting_lost = false;
    }

    /// The verdict on one statement; `reordered` is what the plain server printed with the rows of its tables in other orders,
    /// `keyed` what it printed with the keys of ORDER BY as further columns.
    pub fn judge(
        &mut self,
        statement: &str,
        ours: Option<&Output>,
        theirs: Option<&Output>,
        reordered: &[Output],
        keyed: Option<&Output>,
    ) -> Verdict {
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Verdict::Wrong };
        let mut verdict = self.compare(statement, ours, theirs);
        self.view(statement);
        if verdict == Verdict::Wrong
            && keyed.is_some_and(|keyed| only_ties_differ(ours, theirs, keyed))
        {
            verdict = Verdict::Right;
        }
        if verdict == Verdict::Wrong && is_left_open(ours, theirs, reordered) {
            verdict = Verdict::Open;
        }
        let first = words(statement).next().unwrap_or_default();
        if matches!(first.as_str(), "rollback" | "commit" | "end" | "abort" | "begin" | "start") {
            self.is_block_lost = false;
        }
        if ours.sqlstate == "0A000" {
            self.is_block_lost = true;
        }
        if matches!(verdict, Verdict::Refused | Verdict::Follows) {
            self.taint(statement, &first);
        }
        if first == "set" && statement.to_lowercase().contains("standard_conforming_strings") {
            self.is_setting_lost = verdict == Verdict::Refused;
        } else if first == "reset" {
            self.is_setting_lost = false;
        }
        verdict
    }

    /// Remembers what a view reads.
    fn view(&mut self, statement: &str) {
        let all: Vec<String> = words(statement).collect();
        let is_create = all.first().is_some_and(|word| word == "create");
        if is_create && all.iter().take(5).any(|word| word == "view") {
            let view = all.iter().find(|word| !NOISE.contains(&word.as_str()));
            let read = all.windows(2).filter(|pair| pair[0] == "from");
            let read = read.map(|pair| pair[1].clone()).collect();
            self.views.extend(view.map(|view| (view.clone(), read)));
        }
    }

    fn taint(&mut self, statement: &str, first: &str) {
        const CHANGES: &[&str] = &[
            "create", "insert", "update", "delete", "copy", "alter", "declare", "prepare",
            "truncate", "merge", "drop", "set", "with",
        ];
        // The sequences whose numbers a query takes.
        let all: Vec<String> = words(statement).collect();
        let numbers =
            all.windows(2).filter(|pair| matches!(pair[0].as_str(), "nextval" | "setval"));
        self.tainted.extend(numbers.map(|pair| pair[1].clone()));
        if first == "select" && !words(statement).any(|word| word == "into") {
            return;
        }
        if first == "select" {
            let after = words(statement).skip_while(|word| word != "into").skip(1);
            self.tainted.extend(after.filter(|word| !NOISE.contains(&word.as_str())).take(1));
        } else if CHANGES.contains(&first) {
            let named = words(statement).filter(|word| !NOISE.contains(&word.as_str()));
            // An operator's signs are no words: what it is made of must do.
            self.tainted.extend(named.take(1));
            // Tables that are written to, inherited from or partitioned.
            for (place, word) in all.iter().enumerate() {
                let reached = match word.as_str() {
                    "inherits" => 4,
                    "into" | "update" | "of" => 1,
                    "from" if place > 0 && all[place - 1] == "delete" => 1,
                    _ => 0,
                };
                let named = all[place + 1..].iter().take(reached);
                for (view, tables) in &self.views {
                    if all[place + 1..].iter().take(reached).any(|word| word == view) {
                        self.tainted.extend(tables.iter().cloned());
                    }
                }
                self.tainted.extend(named.filter(|word| !NOISE.contains(&word.as_str())).cloned());
            }
        }
    }

    fn compare(&self, statement: &str, ours: &Output, theirs: &Output) -> Verdict {
        if ours.text == theirs.text || same_rows(statement, &ours.text, &theirs.text) {
            return Verdict::Right;
        }
        if essence(&ours.text) == essence(&theirs.text) && ours.sqlstate == theirs.sqlstate {
            return Verdict::Near;
        }
        if ours.sqlstate == "0A000" {
            return Verdict::Refused;
        }
        if ours.text.contains("QUERY PLAN") && theirs.text.contains("QUERY PLAN") {
            return Verdict::Plan;
        }
        let follows = self.is_setting_lost
            || self.is_block_lost && ours.sqlstate == "25P02"
            || words(statement).any(|word| self.tainted.contains(&word));
        if follows { Verdict::Follows } else { Verdict::Wrong }
    }
}

/// Whether another order of the tables' rows could be the reason why the two differ.
pub fn may_be_open(ours: &Output, theirs: &Output) -> bool {
    theirs.sqlstate == "00000"
        && ours.sqlstate == theirs.sqlstate
        && ours.text != theirs.text
        && ours.text.lines().count() == theirs.text.lines().count()
        && heading(&ours.text) == heading(&theirs.text)
}

/// Whether PostgreSQL itself gives the rows that dataman gives, as a multiset, when the rows of its tables lie in another
/// order; and, where these are the rows that it gave at first, whether it also puts each where dataman does, or among the
/// rows that change places with it.
fn is_left_open(ours: &Output, theirs: &Output, reordered: &[Output]) -> bool {
    if !may_be_open(ours, theirs) {
        return false;
    }
    let mut given: Vec<Vec<String>> = vec![cells(&theirs.text)];
    let answered = reordered.iter().filter(|one| one.sqlstate == theirs.sqlstate);
    given.extend(answered.map(|one| cells(&one.text)));
    let ours = cells(&ours.text);
    if sorted(&ours) != sorted(&given[0]) {
        return given.iter().any(|rows| sorted(rows) == sorted(&ours));
    }
    given.retain(|rows| sorted(rows) == sorted(&ours));
    stand_among_peers(&ours, &given)
}

/// Whether the rows are the same but for the order of those whose keys are equal. `keyed` has the plain server's rows in its
/// order, their keys behind their own columns.
fn only_ties_differ(ours: &Output, theirs: &Output, keyed: &Output) -> bool {
    if keyed.sqlstate != "00000" || !may_be_open(ours, theirs) {
        return false;
    }
    let lines = |output: &Output| -> Vec<String> {
        let trimmed = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join("|");
        output.text.lines().map(trimmed).collect()
    };
    let (ours, theirs, keyed) = (lines(ours), lines(theirs), lines(keyed));
    let width = |lines: &[String]| lines.first().map_or(0, |line| line.split('|').count());
    let own = width(&theirs);
    let count = theirs.len();
    if ours.len() != count || keyed.len() != count || width(&keyed) <= own {
        return false;
    }
    let split = |line: &String| -> (String, String) {
        let parts: Vec<&str> = line.split('|').collect();
        let at = own.min(parts.len());
        (parts[..at].join("|"), parts[at..].join("|"))
    };
    let keyed: Vec<(String, String)> = keyed.iter().map(split).collect();
    // The heading, the line below it, the rows, and their number.
    let body = 2..count.saturating_sub(2);
    let same = |place: usize| keyed[place].0 == theirs[place];
    if !body.clone().all(same) {
        return false;
    }
    let mut start = body.start;
    while start < body.end {
        let tied = keyed[start..body.end].iter().take_while(|row| row.1 == keyed[start].1).count();
        let end = start + tied;
        if sorted(&ours[start..end]) != sorted(&theirs[start..end]) {
            return false;
        }
        start = end;
    }
    ours[body.end.min(count)..] == theirs[body.end.min(count)..]
}

/// The lines without the widths of columns.
fn cells(text: &str) -> Vec<String> {
    let trimmed =
        |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join("|").replace('-', "");
    text.lines().map(trimmed).collect()
}

fn sorted(lines: &[String]) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.sort_unstable();
    lines
}

/// Whether each row stands within the places that it, and the rows whose places overlap with its, have in the given orders.
fn stand_among_peers(rows: &[String], given: &[Vec<String>]) -> bool {
    let places = |rows: &[String]| -> HashMap<(String, usize), usize> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let numbered = rows.iter().enumerate().map(|(place, row)| {
            let occurrence = seen.entry(row).or_default();
            *occurrence += 1;
            ((row.clone(), *occurrence), place)
        });
        numbered.collect()
    };
    let mut ranges: HashMap<(String, usize), (usize, usize)> = HashMap::new();
    for rows in given {
        for (row, place) in places(rows) {
            let range = ranges.entry(row).or_insert((place, place));
            *range = (range.0.min(place), range.1.max(place));
        }
    }
    // The block of places that overlapping ranges make together, by its last place.
    let mut sorted: Vec<(usize, usize)> = ranges.values().copied().collect();
    sorted.sort_unstable();
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    for (first, last) in sorted {
        match blocks.last_mut() {
            Some(block) if first <= block.1 => block.1 = block.1.max(last),
            _ => blocks.push((first, last)),
        }
    }
    let block_of = |place: usize| blocks.partition_point(|(_, last)| *last < place);
    places(rows).iter().all(|(row, place)| {
        ranges.get(row).is_some_and(|(first, _)| block_of(*first) == block_of(*place))
    })
}

/// The names of psql's columns, without their widths.
fn heading(text: &str) -> Vec<&str> {
    text.lines().next().unwrap_or_default().split('|').map(str::trim).collect()
}

/// Whether the rows are the same in another order, and the statement asks for none.
fn same_rows(statement: &str, ours: &str, theirs: &str) -> bool {
    let mut depth = 0_i32;
    let mut outer = String::new();
    for letter in statement.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => outer.push(letter),
            _ => {}
        }
    }
    let outer: Vec<String> = words(&outer).collect();
    if outer.windows(2).any(|pair| pair[0] == "order" && pair[1] == "by") {
        return false;
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<String>>();
    sorted(&lines(ours)) == sorted(&lines(theirs))
}

/// The rows, tags and error messages: no notices, positions, details, hints.
fn essence(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut is_caret_next = false;
    for line in text.lines() {
        let secondary =
            ["NOTICE:", "WARNING:", "DETAIL:", "HINT:", "CONTEXT:", "LINE ", "drop cascades to "];
        if std::mem::take(&mut is_caret_next) && line.trim() == "^" {
            continue;
        }
        if secondary.iter().any(|start| strip_place(line).starts_with(start)) {
            is_caret_next = line.starts_with("LINE ");
            continue;
        }
        lines.push(strip_place(line));
    }
    lines.join("\n")
}

/// psql puts the script's name and line before messages.
pub fn strip_place(line: &str) -> &str {
    match line.strip_prefix("psql:") {
        Some(rest) => rest.split_once(": ").map_or(line, |(_, message)| message),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(statement: &str, ours: (&str, &str), theirs: (&str, &str), expected: Verdict) {
        let output = |(text, sqlstate): (&str, &str)| Output {
            text: text.to_owned(),
            sqlstate: sqlstate.to_owned(),
        };
        let (ours, theirs) = (output(ours), output(theirs));
        let judged = Judge::default().judge(statement, Some(&ours), Some(&theirs), &[], None);
        assert_eq!(judged, expected);
    }

    #[test]
    fn verdicts() {
        check("select a from t;", ("1\n2\n", "00000"), ("2\n1\n", "00000"), Verdict::Right);
        check(
            "select a from t order by a;",
            ("1\n2\n", "00000"),
            ("2\n1\n", "00000"),
            Verdict::Wrong,
        );
        check("select a;", ("ERROR:  no\n", "0A000"), ("1\n", "00000"), Verdict::Refused);
        check(
            "select a;",
            ("ERROR:  no\n", "42703"),
            ("ERROR:  no\nLINE 1: select a\n   ^\n", "42703"),
            Verdict::Near,
        );
        check("select a;", ("ERROR:  no\n", "42703"), ("ERROR:  none\n", "42703"), Verdict::Wrong);
    }

    #[test]
    fn what_follows_a_refusal_is_no_mistake() {
        let refused = Output { text: "ERROR:  no\n".to_owned(), sqlstate: "0A000".to_owned() };
        let made = Output { text: "CREATE TABLE\n".to_owned(), sqlstate: "00000".to_owned() };
        let missing = Output { text: "ERROR:  none\n".to_owned(), sqlstate: "42P01".to_owned() };
        let mut judge = Judge::default();
        assert_eq!(
            judge.judge("create table tt (a point);", Some(&refused), Some(&made), &[], None),
            Verdict::Refused
        );
        let mut later = |text| judge.judge(text, Some(&missing), Some(&made), &[], None);
        assert_eq!(later("select a from tt;"), Verdict::Follows);
        assert_eq!(later("select a from uu;"), Verdict::Wrong);
    }

    #[test]
    fn ties_may_stand_in_any_order() {
        let printed = |heading: &str, rows: &[&str]| {
            let rows: String = rows.iter().map(|row| format!(" {row}\n")).collect();
            let text = format!(" {heading} \n---+---\n{rows}(3 rows)\n\n");
            Output { text, sqlstate: "00000".to_owned() }
        };
        let keyed = printed("a | n | k", &["1 | 1 | 5", "2 | 2 | 5", "9 | 3 | 6"]);
        let judged = |ours: &[&str]| {
            let theirs = printed("a | n", &["1 | 1", "2 | 2", "9 | 3"]);
            let ours = printed("a | n", ours);
            let statement = "select a, n from t order by k;";
            Judge::default().judge(statement, Some(&ours), Some(&theirs), &[], Some(&keyed))
        };
        assert_eq!(judged(&["2 | 2", "1 | 1", "9 | 3"]), Verdict::Right);
        assert_eq!(judged(&["2 | 2", "9 | 3", "1 | 1"]), Verdict::Wrong);
        assert_eq!(judged(&["2 | 2", "1 | 2", "9 | 3"]), Verdict::Wrong);
    }

    #[test]
    fn writing_through_a_view_taints_its_tables() {
        let refused = Output { text: "ERROR:  no\n".to_owned(), sqlstate: "0A000".to_owned() };
        let made = Output { text: "CREATE VIEW\n".to_owned(), sqlstate: "00000".to_owned() };
        let row = Output { text: "1\n".to_owned(), sqlstate: "00000".to_owned() };
        let mut judge = Judge::default();
        judge.judge("create view v as select * from tt;", Some(&made), Some(&made), &[], None);
        judge.judge("insert into v values (1);", Some(&refused), Some(&made), &[], None);
        judge.judge("select 1 where nextval('ss') > 0;", Some(&refused), Some(&row), &[], None);
        let mut later = |text| judge.judge(text, Some(&made), Some(&row), &[], None);
        assert_eq!(later("select * from tt;"), Verdict::Follows);
        assert_eq!(later("select nextval('ss');"), Verdict::Follows);
        assert_eq!(later("select * from uu;"), Verdict::Wrong);
    }

    #[test]
    fn what_the_order_of_rows_decides_is_open() {
        let printed = |rows: &[&str]| {
            let rows: String = rows.iter().map(|row| format!(" {row}\n")).collect();
            let text = format!(" a | n \n---+---\n{rows}(3 rows)\n");
            Some(Output { text, sqlstate: "00000".to_owned() })
        };
        let judged = |ours: &[&str], reordered: &[&str]| {
            let theirs = printed(&["1 | 1", "2 | 2", "9 | 3"]);
            let reordered: Vec<Output> = printed(reordered).into_iter().collect();
            let statement = "select a, n order by a;";
            let ours = printed(ours);
            Judge::default().judge(statement, ours.as_ref(), theirs.as_ref(), &reordered, None)
        };
        // Other rows, which PostgreSQL gives too, or does not.
        let other = ["1 | 2", "2 | 1", "9 | 3"];
        assert_eq!(judged(&other, &other), Verdict::Open);
        assert_eq!(judged(&other, &["1 | 1", "2 | 2", "9 | 3"]), Verdict::Wrong);
        assert_eq!(judged(&["1 | 2", "2 | 7", "9 | 3"], &other), Verdict::Wrong);
        // The same rows elsewhere: among their peers, or not.
        let turned = ["2 | 2", "1 | 1", "9 | 3"];
        assert_eq!(judged(&turned, &turned), Verdict::Open);
        assert_eq!(judged(&["2 | 2", "9 | 3", "1 | 1"], &turned), Verdict::Wrong);
    }
}
