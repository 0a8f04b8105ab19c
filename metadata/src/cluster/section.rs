//! The tables of a cluster file, each value with its line; and what was probably meant by what is not known.

use std::cmp::Reverse;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::Mistake;

/// How messages call what stands outside of all tables.
pub(super) const FILE_TITLE: &str = "the file";

/// Reads a file and gathers its mistakes.
pub(super) struct Parser<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    pub(super) mistakes: Vec<Mistake>,
}

/// One `[[…]]` of the file.
pub(super) struct Section<'a> {
    /// How it is written, `[[node]]`.
    pub(super) title: &'static str,
    pub(super) line: usize,
    pub(super) entries: Vec<Entry<'a>>,
}

pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) line: usize,
    pub(super) value: &'a DeValue<'a>,
    pub(super) value_span: Range<usize>,
}

/// A text with the line that it stands in.
pub(super) struct Text {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Parser<'_> {
    /// Reads a table and names the keys that it cannot have.
    pub(super) fn section<'t>(
        &mut self,
        title: &'static str,
        line: usize,
        table: &'t DeTable<'t>,
        known: &[&str],
    ) -> Section<'t> {
        let mut entries = Vec::new();
        for (key, value) in table {
            let line = self.line(&key.span());
            let key: &str = key.get_ref();
            if known.contains(&key) {
                entries.push(Entry { key, line, value: value.get_ref(), value_span: value.span() });
                continue;
            }
            let remedy = match nearest(key, known) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("It can have: {}.", known.join(", ")),
            };
            self.add(line, format!("{title} cannot have the key \"{key}\""), remedy);
        }
        Section { title, line, entries }
    }

    /// The tables of an array `[[…]]`. The file must have each of its own.
    pub(super) fn sections<'t>(
        &mut self,
        parent: &Section<'t>,
        key: &str,
        title: &'static str,
        known: &[&str],
    ) -> Vec<Section<'t>> {
        let Some(entry) = parent.entry(key) else {
            if parent.title == FILE_TITLE {
                self.add(
                    None,
                    format!("has no {title}"),
                    format!("Add a {title} with its `name`."),
                );
            }
            return Vec::new();
        };
        let DeValue::Array(tables) = entry.value else {
            self.add(
                entry.line,
                format!("\"{key}\" is not a list"),
                format!("Write {title} with two brackets."),
            );
            return Vec::new();
        };
        let mut sections = Vec::new();
        for table in tables.iter() {
            let line = self.line(&table.span());
            match table.get_ref() {
                DeValue::Table(table) => sections.push(self.section(title, line, table, known)),
                _ => self.add(
                    line,
                    format!("\"{key}\" holds what is not a table"),
                    format!("Write {title}."),
                ),
            }
        }
        sections
    }

    pub(super) fn name(&mut self, section: &Section<'_>) -> Option<Text> {
        let name = self.required_text(section, "name", "name = \"…\"")?;
        if name.text.is_empty() || name.text.contains('/') || name.text.contains(char::is_control) {
            let problem = format!("\"{}\" cannot be a name", name.text.escape_debug());
            self.add(
                name.line,
                problem,
                "Write a name of at least one letter and without a slash.",
            );
            return None;
        }
        Some(name)
    }

    pub(super) fn required_text(
        &mut self,
        section: &Section<'_>,
        key: &str,
        example: &str,
    ) -> Option<Text> {
        if section.entry(key).is_none() {
            self.add(
                section.line,
                format!("{} has no \"{key}\"", section.title),
                format!("Add `{example}`."),
            );
        }
        self.text(section, key)
    }

    pub(super) fn text(&mut self, section: &Section<'_>, key: &str) -> Option<Text> {
        let entry = section.entry(key)?;
        if let DeValue::String(text) = entry.value {
            return Some(Text { line: entry.line, text: text.clone().into_owned() });
        }
        self.add(
            entry.line,
            format!("\"{key}\" is not a text"),
            format!("Write `{key} = \"…\"`, in double quotes."),
        );
        None
    }

    pub(super) fn texts(&mut self, section: &Section<'_>, key: &str) -> Vec<String> {
        let Some(entry) = section.entry(key) else { return Vec::new() };
        let texts = match entry.value {
            DeValue::Array(values) => values
                .iter()
                .map(|value| match value.get_ref() {
                    DeValue::String(text) if !text.is_empty() => Some(text.clone().into_owned()),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        if texts.is_none() {
            let problem = format!("\"{key}\" is not a list of names");
            self.add(entry.line, problem, format!("Write `{key} = [\"tenant_id\"]`."));
        }
        texts.unwrap_or_default()
    }

    pub(super) fn duplicate(&mut self, name: &Text, kind: &str, other: Option<usize>) {
        let other = other.map_or(String::new(), |line| format!(" (the first is in line {line})"));
        let problem = format!("{kind} \"{}\" is there twice{other}", name.text);
        self.add(name.line, problem, format!("Give each {kind} a name of its own."));
    }

    pub(super) fn add(
        &mut self,
        line: impl Into<Option<usize>>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (line, problem, remedy) = (line.into(), problem.into(), remedy.into());
        self.mistakes.push(Mistake { file: self.file.to_owned(), line, problem, remedy });
    }

    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.as_bytes()[..span.start.min(self.text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }
}

impl<'a> Section<'a> {
    pub(super) fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// The candidate that was probably meant.
pub(super) fn nearest<'c>(given: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let given = given.to_lowercase();
    let rated = candidates.iter().map(|candidate| {
        let alike =
            given.chars().zip(candidate.chars()).take_while(|(one, other)| one == other).count();
        (distance(&given, candidate), Reverse(alike), *candidate)
    });
    let (distance, _, candidate) = rated.min()?;
    let close = distance <= candidate.len().div_ceil(3)
        || (given.len() > 3 && candidate.starts_with(&given));
    (close || given.starts_with(candidate)).then_some(candidate)
}

/// How many letters must be changed, added or left out to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other = other.chars().collect::<Vec<_>>();
    let mut row = (0..=other.len()).collect::<Vec<_>>();
    for (place, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (column, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
