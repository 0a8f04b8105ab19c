//! What the two outputs of one statement say about dataman.

use std::collections::HashSet;

use super::script::MARK;
use super::split::words;

/// What came of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The same output, but for the order of rows that the statement leaves open.
    Right,
    /// PostgreSQL itself answers otherwise when the rows of its tables lie in another order, and as many rows: which of them
    /// are right is left open (`row_number()` over ties, `LIMIT` without an order, `array_agg` without one).
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
}

/// Takes psql's output apart at the marks.
pub fn outputs(text: &str, count: usize) -> Outputs {
    let mut outputs = Outputs { first: vec![None; count], reordered: vec![Vec::new(); count] };
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
    /// The tables that refused views would have read: writing to such a view writes to them.
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

    /// The verdict on one statement; `reordered` is what the plain server printed with the rows of its tables in other orders.
    pub fn judge(
        &mut self,
        statement: &str,
        ours: Option<&Output>,
        theirs: Option<&Output>,
        reordered: &[Output],
    ) -> Verdict {
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Verdict::Wrong };
        let mut verdict = self.compare(statement, ours, theirs);
        if verdict == Verdict::Wrong
            && reordered.iter().any(|reordered| is_left_open(ours, theirs, reordered))
        {
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

    fn taint(&mut self, statement: &str, first: &str) {
        const CHANGES: &[&str] = &[
            "create", "insert", "update", "delete", "copy", "alter", "declare", "prepare",
            "truncate", "merge", "drop", "set", "with",
        ];
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
            let all: Vec<String> = words(statement).collect();
            if first == "create" && all.iter().take(4).any(|word| word == "view") {
                let view = all.iter().find(|word| !NOISE.contains(&word.as_str()));
                let read = all.windows(2).filter(|pair| pair[0] == "from");
                let read = read.map(|pair| pair[1].clone()).collect();
                self.views.extend(view.map(|view| (view.clone(), read)));
            }
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

/// Whether PostgreSQL gives as many rows, and other ones, when the rows of its tables lie in another order.
fn is_left_open(ours: &Output, theirs: &Output, reordered: &Output) -> bool {
    let alike = |other: &Output| {
        other.sqlstate == theirs.sqlstate
            && other.text.lines().count() == theirs.text.lines().count()
            && other.text.lines().last() == theirs.text.lines().last()
    };
    theirs.sqlstate == "00000"
        && theirs.text != reordered.text
        && alike(ours)
        && alike(reordered)
        && heading(&ours.text) == heading(&theirs.text)
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
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    sorted(ours) == sorted(theirs)
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
        assert_eq!(Judge::default().judge(statement, Some(&ours), Some(&theirs), &[]), expected);
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
            judge.judge("create table tt (a point);", Some(&refused), Some(&made), &[]),
            Verdict::Refused
        );
        let mut later = |text| judge.judge(text, Some(&missing), Some(&made), &[]);
        assert_eq!(later("select a from tt;"), Verdict::Follows);
        assert_eq!(later("select a from uu;"), Verdict::Wrong);
    }

    #[test]
    fn what_the_order_of_rows_decides_is_open() {
        let printed = |rows: &str| {
            let text = format!(" a | n \n---+---\n{rows}(2 rows)\n");
            Some(Output { text, sqlstate: "00000".to_owned() })
        };
        let (one, other) = (printed(" 1 | 1\n 2 | 2\n"), printed(" 1 | 2\n 2 | 1\n"));
        let judged = |ours: &Option<Output>, reordered: &Option<Output>| {
            let reordered: Vec<Output> = reordered.iter().cloned().collect();
            Judge::default().judge(
                "select a, n order by a;",
                ours.as_ref(),
                one.as_ref(),
                &reordered,
            )
        };
        assert_eq!(judged(&other, &other), Verdict::Open);
        assert_eq!(judged(&other, &one), Verdict::Wrong);
        assert_eq!(judged(&printed(" 1 | 3\n"), &other), Verdict::Wrong);
    }
}
