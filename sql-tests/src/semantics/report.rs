//! Gathering the differences and saying them so that one can be picked and mended.

use std::collections::BTreeMap;

use super::oracle::Answer;

/// How many differences of one subject are shown.
const SHOWN: usize = 4;

/// What was compared, and what differed.
#[derive(Debug, Default)]
pub struct Report {
    compared: BTreeMap<String, usize>,
    refused: BTreeMap<String, usize>,
    differences: BTreeMap<String, Vec<String>>,
}

impl Report {
    /// Compares one case of a subject (a function, a cast, a type). A refusal of ours (`0A000`) is no wrong answer: it is
    /// counted apart.
    pub fn compare(&mut self, subject: &str, case: &str, ours: &Answer, theirs: &Answer) {
        if ours != theirs && matches!(ours, Answer::Error { sqlstate, .. } if sqlstate == "0A000") {
            *self.refused.entry(subject.to_owned()).or_default() += 1;
            return;
        }
        self.count(subject);
        if ours != theirs {
            self.differ(subject, format!("{case}\n      ours {ours}\n    theirs {theirs}"));
        }
    }

    /// Notes that one case was compared.
    pub fn count(&mut self, subject: &str) {
        *self.compared.entry(subject.to_owned()).or_default() += 1;
    }

    /// Notes a difference.
    pub fn differ(&mut self, subject: &str, difference: String) {
        self.differences.entry(subject.to_owned()).or_default().push(difference);
    }

    /// Prints what was compared, and fails if anything differed.
    ///
    /// # Panics
    /// When there are differences: then with those.
    pub fn finish(self, what: &str, seed: u64) {
        let cases: usize = self.compared.values().sum();
        let subjects = self.compared.len();
        eprintln!("{what}: {cases} cases of {subjects} compared, seed {seed}");
        if !self.refused.is_empty() {
            let refused = self.refused.iter().map(|(subject, count)| format!("{subject}: {count}"));
            eprintln!("{what}: refused {}", refused.collect::<Vec<_>>().join(", "));
        }
        if self.differences.is_empty() {
            return;
        }
        let mut text = String::new();
        for (subject, differences) in &self.differences {
            let compared = self.compared.get(subject).copied().unwrap_or(0);
            text += &format!("{subject}: {} of {compared} differ\n", differences.len());
            for difference in differences.iter().take(SHOWN) {
                text += &format!("  {difference}\n");
            }
        }
        let failing: Vec<&str> = self.differences.keys().map(String::as_str).collect();
        panic!("{what}, seed {seed}:\n{text}{} differ: {}", failing.len(), failing.join(", "));
    }
}
