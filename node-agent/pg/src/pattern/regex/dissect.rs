//! Which text a match and its groups get.
//!
//! The whole comes first: the earliest start, then the longest end (or the shortest, if the expression prefers that).
//! Then each part divides its text among its children: a concatenation gives its first child as much (or as little) as
//! it can, an alternation takes the first branch that fits, an iteration fills its rounds from the left. A choice that
//! leads nowhere further down is taken back.

use super::parse::SHORTER;
use super::{Part, PartKind, Regex, Span};
use crate::error::{PgError, Result};

/// How many divisions are tried before giving up. Only back-references come near.
const STEPS_MAX: usize = 5_000_000;

/// Finds the first match at or after `from`.
pub(super) fn find(regex: &Regex, text: &[u32], from: usize) -> Result<Option<Vec<Span>>> {
    let program = regex.tree.program();
    let spans = vec![None; regex.groups + 1];
    let mut dissection = Dissection { text, spans, ignore_case: regex.ignore_case, steps: 0 };
    if !regex.has_backrefs {
        let Some(begin) = program.first_start(text, from) else { return Ok(None) };
        return Ok(dissection.match_at(regex, begin)?.then_some(dissection.spans));
    }
    let mut next = from;
    while let Some(first_end) = program.first_end(text, next) {
        for begin in next..=first_end {
            if dissection.match_at(regex, begin)? {
                return Ok(Some(dissection.spans));
            }
        }
        next = first_end + 1;
        // PostgreSQL gives up here too, without a look at the place after the last character.
        if next >= text.len() {
            break;
        }
    }
    Ok(None)
}

struct Dissection<'a> {
    text: &'a [u32],
    spans: Vec<Span>,
    ignore_case: bool,
    steps: usize,
}

impl Dissection<'_> {
    /// Finds the match that begins at a place: the ends that the language allows are tried in order of preference.
    fn match_at(&mut self, regex: &Regex, begin: usize) -> Result<bool> {
        let tree = &regex.tree;
        let shorter = tree.flags & SHORTER != 0;
        let (mut least, mut limit) = (begin, self.text.len());
        loop {
            let end = match shorter {
                true => tree.program().shortest(self.text, begin, least, limit),
                false => tree.program().longest(self.text, begin, limit),
            };
            let Some(end) = end else { return Ok(false) };
            self.spans.fill(None);
            let is_plain = regex.groups == 0 && !regex.has_backrefs;
            if is_plain || self.dissect(tree, begin, end)? {
                self.spans[0] = Some((begin, end));
                return Ok(true);
            }
            match shorter {
                true if end == limit => return Ok(false),
                true => least = end + 1,
                false if end == begin => return Ok(false),
                false => limit = end - 1,
            }
        }
    }

    fn dissect(&mut self, part: &Part, begin: usize, end: usize) -> Result<bool> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(PgError::new(
                "54000",
                "regular expression with back-references takes too long to match",
            ));
        }
        let done = match part.kind {
            PartKind::Plain => true,
            PartKind::Backref { group, min, max } => self.backref(group, min, max, begin, end),
            PartKind::Concat => self.concat(part, begin, end)?,
            PartKind::Alternate => self.alternate(part, begin, end)?,
            PartKind::Iterate { min, max } => match part.children[0].flags & SHORTER {
                0 => self.iterate_longest(part, min, max, begin, end)?,
                _ => self.iterate_shortest(part, min, max, begin, end)?,
            },
            PartKind::Capture => self.dissect(&part.children[0], begin, end)?,
        };
        if done && part.group > 0 {
            self.spans[part.group] = Some((begin, end));
        }
        Ok(done)
    }

    /// Whether the part's language has exactly this text.
    fn fits(&self, part: &Part, begin: usize, end: usize) -> bool {
        part.program().shortest(self.text, begin, end, end).is_some()
    }

    fn forget(&mut self, part: &Part) {
        if part.group > 0 {
            self.spans[part.group] = None;
        }
        part.children.iter().for_each(|child| self.forget(child));
    }

    fn backref(&self, group: usize, min: u32, max: Option<u32>, begin: usize, end: usize) -> bool {
        let Some((first, last)) = self.spans[group] else { return false };
        let referenced = &self.text[first..last];
        let length = end - begin;
        if referenced.is_empty() {
            return length == 0;
        }
        if length == 0 {
            return min == 0;
        }
        let rounds = length / referenced.len();
        let in_bounds = u32::try_from(rounds)
            .is_ok_and(|rounds| rounds >= min && max.is_none_or(|max| rounds <= max));
        length.is_multiple_of(referenced.len())
            && in_bounds
            && self.text[begin..end]
                .chunks(referenced.len())
                .all(|chunk| self.is_same(chunk, referenced))
    }

    fn is_same(&self, left: &[u32], right: &[u32]) -> bool {
        if !self.ignore_case {
            return left == right;
        }
        let fold = |code: &u32| match char::from_u32(*code) {
            Some(letter) => u32::from(letter.to_ascii_lowercase()),
            None => *code,
        };
        left.iter().map(fold).eq(right.iter().map(fold))
    }

    fn concat(&mut self, part: &Part, begin: usize, end: usize) -> Result<bool> {
        let [left, right] = part.children.as_slice() else {
            return Err(PgError::internal("a concatenation has two children"));
        };
        let shorter = left.flags & SHORTER != 0;
        let mut middle = match shorter {
            true => left.program().shortest(self.text, begin, begin, end),
            false => left.program().longest(self.text, begin, end),
        };
        while let Some(place) = middle {
            if self.fits(right, place, end) && self.dissect(left, begin, place)? {
                if self.dissect(right, place, end)? {
                    return Ok(true);
                }
                self.forget(left);
            }
            middle = match shorter {
                true if place == end => None,
                true => left.program().shortest(self.text, begin, place + 1, end),
                false if place == begin => None,
                false => left.program().longest(self.text, begin, place - 1),
            };
        }
        Ok(false)
    }

    fn alternate(&mut self, part: &Part, begin: usize, end: usize) -> Result<bool> {
        for branch in &part.children {
            if self.fits(branch, begin, end) && self.dissect(branch, begin, end)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The least and the most rounds that an iteration over a text may take, if it takes any.
    fn rounds(min: u32, max: Option<u32>, length: usize) -> (usize, usize) {
        let min = usize::try_from(min).unwrap_or(usize::MAX).max(1);
        let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        // Rounds are not empty, unless it takes empty ones to make enough.
        (min, length.min(max).max(min))
    }

    /// Checks the rounds that have not been checked: `None` if all hold, else the one that does not.
    fn verify(
        &mut self,
        child: &Part,
        ends: &[usize],
        verified: &mut usize,
    ) -> Result<Option<usize>> {
        for round in *verified + 1..ends.len() {
            self.forget(child);
            if !self.dissect(child, ends[round - 1], ends[round])? {
                return Ok(Some(round));
            }
            *verified = round;
        }
        Ok(None)
    }

    fn iterate_longest(
        &mut self,
        part: &Part,
        min: u32,
        max: Option<u32>,
        begin: usize,
        end: usize,
    ) -> Result<bool> {
        let child = &part.children[0];
        let no_round = min == 0 && begin == end;
        let (min, max) = Self::rounds(min, max, end - begin);
        let mut ends = vec![begin];
        let mut verified = 0;
        let mut limit = end;
        let mut round = 1;
        while round > 0 {
            ends.truncate(round);
            let reached = child.program().longest(self.text, ends[round - 1], limit);
            verified = verified.min(round - 1);
            match reached {
                None => round -= 1,
                Some(reached) => {
                    ends.push(reached);
                    let empty = reached == ends[round - 1];
                    if reached != end {
                        if round >= max {
                            round -= 1;
                        } else if !(empty && (round >= min || min - round < end - reached)) {
                            round += 1;
                            limit = end;
                            continue;
                        }
                    } else if round >= min {
                        match self.verify(child, &ends, &mut verified)? {
                            None => return Ok(true),
                            Some(failed) => round = failed,
                        }
                    }
                }
            }
            // A shorter text for this round, or for one before it.
            while round > 0 {
                let before = ends[round - 1];
                if ends[round] > before {
                    limit = ends[round] - 1;
                    if limit > before || (round < min && min - round >= end - before) {
                        break;
                    }
                }
                round -= 1;
            }
        }
        // A round over nothing is better than none, but none will do.
        Ok(no_round)
    }

    fn iterate_shortest(
        &mut self,
        part: &Part,
        min: u32,
        max: Option<u32>,
        begin: usize,
        end: usize,
    ) -> Result<bool> {
        let child = &part.children[0];
        // Without a text to divide, the shortest is no round at all.
        if min == 0 && begin == end {
            return Ok(true);
        }
        let (min, max) = Self::rounds(min, max, end - begin);
        let mut ends = vec![begin];
        let mut verified = 0;
        let mut limit = begin;
        let mut round = 1;
        while round > 0 {
            ends.truncate(round);
            let before = ends[round - 1];
            if limit == before && limit != end && (round >= min || min - round < end - limit) {
                limit += 1;
            }
            if round >= max {
                limit = end;
            }
            let reached = child.program().shortest(self.text, before, limit, end);
            verified = verified.min(round - 1);
            match reached {
                None => round -= 1,
                Some(reached) => {
                    ends.push(reached);
                    if reached != end {
                        if round >= max {
                            round -= 1;
                        } else {
                            round += 1;
                            limit = reached;
                            continue;
                        }
                    } else if round >= min {
                        match self.verify(child, &ends, &mut verified)? {
                            None => return Ok(true),
                            Some(failed) => round = failed,
                        }
                    }
                }
            }
            // A longer text for this round, or for one before it.
            while round > 0 {
                if ends[round] < end {
                    limit = ends[round] + 1;
                    break;
                }
                round -= 1;
            }
        }
        Ok(false)
    }
}
