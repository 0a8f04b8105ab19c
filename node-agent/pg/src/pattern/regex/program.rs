//! The automaton over a language: all its states at once, so linear in the text.

use super::{Assertion, CharSet, Re, invalid};
use crate::error::Result;
use crate::interrupt;
use std::sync::Arc;

use super::charset::is_word;

/// How many instructions an expression may take; PostgreSQL's bound is alike, in states and arcs.
const INSTRUCTIONS_MAX: usize = 150_000;

/// Characters between two looks whether the statement is over.
const STEPS: usize = 1024;

#[derive(Debug, Clone)]
enum Instruction {
    Set(Arc<CharSet>),
    Split(usize, usize),
    Jump(usize),
    Assert(Assertion),
    Look { ahead: bool, negated: bool, inner: Arc<Program> },
    Match,
}

/// A compiled language.
#[derive(Debug)]
pub(crate) struct Program {
    instructions: Vec<Instruction>,
}

/// Refuses an expression whose bounds multiply to more than is sensible.
///
/// # Errors
/// `2201B`.
pub(super) fn check_size(language: &Re) -> Result<()> {
    match size(language) {
        Some(size) if size <= INSTRUCTIONS_MAX => Ok(()),
        _ => Err(invalid("regular expression is too complex")),
    }
}

fn size(language: &Re) -> Option<usize> {
    match language {
        Re::Empty => Some(1),
        Re::Set(_) | Re::Assert(_) => Some(1),
        Re::Concat(parts) | Re::Alternate(parts) => {
            parts.iter().try_fold(parts.len() * 2, |sum, part| sum.checked_add(size(part)?))
        }
        Re::Repeat(inner, min, max) => {
            let copies = usize::try_from(max.unwrap_or(min + 1).max(1)).ok()?;
            (size(inner)? + 2).checked_mul(copies)
        }
        Re::Look { inner, .. } => size(inner)?.checked_add(1),
    }
}

/// The states that are alive at one place, each once, with the place where its match began.
struct States {
    order: Vec<(usize, usize)>,
    seen: Vec<bool>,
}

impl States {
    fn new(program: &Program) -> Self {
        Self { order: Vec::new(), seen: vec![false; program.instructions.len()] }
    }

    fn clear(&mut self) {
        for (state, _) in self.order.drain(..) {
            self.seen[state] = false;
        }
    }
}

impl Program {
    pub(super) fn new(language: &Re) -> Self {
        let mut program = Self { instructions: Vec::new() };
        program.compile(language);
        program.instructions.push(Instruction::Match);
        program
    }

    fn compile(&mut self, language: &Re) {
        match language {
            Re::Empty => {}
            Re::Set(set) => self.instructions.push(Instruction::Set(set.clone())),
            Re::Concat(parts) => parts.iter().for_each(|part| self.compile(part)),
            Re::Alternate(branches) => {
                let mut jumps = Vec::new();
                for (index, branch) in branches.iter().enumerate() {
                    let split = self.instructions.len();
                    let last = index + 1 == branches.len();
                    if !last {
                        self.instructions.push(Instruction::Split(split + 1, 0));
                    }
                    self.compile(branch);
                    if !last {
                        jumps.push(self.instructions.len());
                        self.instructions.push(Instruction::Jump(0));
                        let next = self.instructions.len();
                        self.instructions[split] = Instruction::Split(split + 1, next);
                    }
                }
                let end = self.instructions.len();
                for jump in jumps {
                    self.instructions[jump] = Instruction::Jump(end);
                }
            }
            Re::Repeat(inner, min, max) => {
                for _ in 0..*min {
                    self.compile(inner);
                }
                match max {
                    None => {
                        let split = self.instructions.len();
                        self.instructions.push(Instruction::Split(split + 1, 0));
                        self.compile(inner);
                        self.instructions.push(Instruction::Jump(split));
                        let end = self.instructions.len();
                        self.instructions[split] = Instruction::Split(split + 1, end);
                    }
                    Some(max) => {
                        let mut splits = Vec::new();
                        for _ in *min..*max {
                            splits.push(self.instructions.len());
                            self.instructions.push(Instruction::Split(0, 0));
                            self.compile(inner);
                        }
                        let end = self.instructions.len();
                        for split in splits {
                            self.instructions[split] = Instruction::Split(split + 1, end);
                        }
                    }
                }
            }
            Re::Assert(assertion) => self.instructions.push(Instruction::Assert(*assertion)),
            Re::Look { ahead, negated, inner } => {
                let inner = Arc::new(Self::new(inner));
                let look = Instruction::Look { ahead: *ahead, negated: *negated, inner };
                self.instructions.push(look);
            }
        }
    }

    /// The latest place up to `limit` where a match that begins at `begin` may end.
    pub(super) fn longest(&self, text: &[u32], begin: usize, limit: usize) -> Option<usize> {
        let mut found = None;
        self.run(text, begin, limit, |end| {
            found = Some(end);
            false
        });
        found
    }

    /// The earliest place from `least` to `limit` where a match that begins at `begin` may end.
    pub(super) fn shortest(
        &self,
        text: &[u32],
        begin: usize,
        least: usize,
        limit: usize,
    ) -> Option<usize> {
        let mut found = None;
        self.run(text, begin, limit, |end| {
            let enough = end >= least;
            if enough {
                found = Some(end);
            }
            enough
        });
        found
    }

    /// Reports the ends of matches that begin at `begin`, in order, until told to stop.
    fn run(&self, text: &[u32], begin: usize, limit: usize, mut ends: impl FnMut(usize) -> bool) {
        let mut current = States::new(self);
        let mut next = States::new(self);
        let mut pending = Vec::new();
        let mut matched = self.add(&mut current, &mut pending, (0, begin), text, begin).is_some();
        let mut at = begin;
        loop {
            if (at - begin).is_multiple_of(STEPS) && interrupt::is_over() {
                return;
            }
            if matched && ends(at) {
                return;
            }
            if at >= limit || current.order.is_empty() {
                return;
            }
            matched = false;
            for index in 0..current.order.len() {
                let (state, start) = current.order[index];
                if self.accepts(state, text[at]) {
                    let reached =
                        self.add(&mut next, &mut pending, (state + 1, start), text, at + 1);
                    matched |= reached.is_some();
                }
            }
            std::mem::swap(&mut current, &mut next);
            next.clear();
            at += 1;
        }
    }

    /// Where the first match at or after `from` begins.
    pub(super) fn first_start(&self, text: &[u32], from: usize) -> Option<usize> {
        let mut current = States::new(self);
        let mut next = States::new(self);
        let mut pending = Vec::new();
        let mut found: Option<usize> = None;
        let mut at = from;
        loop {
            if (at - from).is_multiple_of(STEPS) && interrupt::is_over() {
                return None;
            }
            // A new beginning comes after all older ones, so that each state keeps its earliest.
            if found.is_none()
                && let Some(start) = self.add(&mut current, &mut pending, (0, at), text, at)
            {
                found = Some(start);
            }
            if let Some(found) = found
                && current.order.iter().all(|(_, start)| *start >= found)
            {
                return Some(found);
            }
            if at >= text.len() {
                return found;
            }
            for index in 0..current.order.len() {
                let (state, start) = current.order[index];
                if self.accepts(state, text[at]) {
                    let reached =
                        self.add(&mut next, &mut pending, (state + 1, start), text, at + 1);
                    if let Some(start) = reached {
                        found = Some(found.map_or(start, |found: usize| found.min(start)));
                    }
                }
            }
            std::mem::swap(&mut current, &mut next);
            next.clear();
            at += 1;
        }
    }

    /// The first place where a match that begins at or after `from` may end.
    pub(super) fn first_end(&self, text: &[u32], from: usize) -> Option<usize> {
        let mut current = States::new(self);
        let mut next = States::new(self);
        let mut pending = Vec::new();
        let mut matched = false;
        for at in from..=text.len() {
            if (at - from).is_multiple_of(STEPS) && interrupt::is_over() {
                return None;
            }
            matched |= self.add(&mut current, &mut pending, (0, at), text, at).is_some();
            if matched {
                return Some(at);
            }
            let Some(&character) = text.get(at) else { break };
            for index in 0..current.order.len() {
                let (state, start) = current.order[index];
                if self.accepts(state, character) {
                    let place = (state + 1, start);
                    matched |= self.add(&mut next, &mut pending, place, text, at + 1).is_some();
                }
            }
            std::mem::swap(&mut current, &mut next);
            next.clear();
        }
        None
    }

    /// Whether a match, from anywhere at or before it, ends at `end`.
    fn ends_at(&self, text: &[u32], end: usize) -> bool {
        (0..=end).any(|begin| self.shortest(text, begin, end, end).is_some())
    }

    fn accepts(&self, state: usize, character: u32) -> bool {
        matches!(&self.instructions[state], Instruction::Set(set) if set.contains(character))
    }

    /// Adds a state and all that it leads to without reading; the match's start if that includes the end.
    fn add(
        &self,
        states: &mut States,
        pending: &mut Vec<usize>,
        (state, start): (usize, usize),
        text: &[u32],
        at: usize,
    ) -> Option<usize> {
        let mut matched = None;
        pending.push(state);
        while let Some(state) = pending.pop() {
            if states.seen[state] {
                continue;
            }
            states.seen[state] = true;
            states.order.push((state, start));
            match &self.instructions[state] {
                Instruction::Set(_) => {}
                Instruction::Split(first, second) => pending.extend([*second, *first]),
                Instruction::Jump(target) => pending.push(*target),
                Instruction::Assert(assertion) => {
                    if holds(*assertion, text, at) {
                        pending.push(state + 1);
                    }
                }
                Instruction::Look { ahead, negated, inner } => {
                    let found = match ahead {
                        true => inner.shortest(text, at, at, text.len()).is_some(),
                        false => inner.ends_at(text, at),
                    };
                    if found != *negated {
                        pending.push(state + 1);
                    }
                }
                Instruction::Match => matched = Some(start),
            }
        }
        matched
    }
}

fn holds(assertion: Assertion, text: &[u32], at: usize) -> bool {
    let newline = u32::from('\n');
    let before = at.checked_sub(1).map(|before| text[before]);
    let after = text.get(at).copied();
    let word_before = before.is_some_and(is_word);
    let word_after = after.is_some_and(is_word);
    match assertion {
        Assertion::TextStart => before.is_none(),
        Assertion::TextEnd => after.is_none(),
        Assertion::LineStart => before.is_none_or(|before| before == newline),
        Assertion::LineEnd => after.is_none_or(|after| after == newline),
        Assertion::WordStart => !word_before && word_after,
        Assertion::WordEnd => word_before && !word_after,
        Assertion::WordBoundary => word_before != word_after,
        Assertion::NoWordBoundary => word_before == word_after,
    }
}
