//! An expression's text → its language and its tree of parts.
//!
//! A part is more than a plain language when a group, a back-reference or a clash of preferences is in it. How a branch
//! is split into such parts decides which texts groups get, so it follows PostgreSQL's own way: what stands before such an
//! atom is one plain part, then the atom, then the rest of the branch.

use std::sync::Arc;

use super::charset::{CharSet, class};
use super::{Assertion, Flags, Part, PartKind, Re, invalid};
use crate::error::{PgError, Result};

/// Prefers the longest text.
pub(super) const LONGER: u8 = 1;
/// Prefers the shortest text.
pub(super) const SHORTER: u8 = 2;
/// Both preferences are somewhere below.
const MIXED: u8 = 4;
/// A group is somewhere below.
const CAPTURES: u8 = 8;
/// A back-reference is somewhere below.
const BACKREFS: u8 = 16;

/// The highest repetition count.
const REPETITIONS_MAX: u32 = 255;

/// The deepest nesting of groups and of parts that follow each other.
const NESTING_MAX: usize = 200;

/// What a part's flags mean to the part around it: preferences stay behind, but their clash is told.
fn seen_from_above(flags: u8) -> u8 {
    let clash = if flags & LONGER != 0 && flags & SHORTER != 0 { MIXED } else { 0 };
    (flags & !(LONGER | SHORTER)) | clash
}

fn preference(flags: u8) -> u8 {
    flags & (LONGER | SHORTER)
}

/// The flags of two things together; the first one's preference counts if it has one.
fn combine(first: u8, second: u8) -> u8 {
    let preferred = match preference(first) {
        0 => preference(second),
        preferred => preferred,
    };
    seen_from_above(first | second) | preferred
}

fn is_messy(flags: u8) -> bool {
    flags & (MIXED | CAPTURES | BACKREFS) != 0
}

pub(super) struct Parsed {
    pub(super) tree: Part,
    pub(super) groups: usize,
    pub(super) has_backrefs: bool,
    pub(super) ignore_case: bool,
}

/// Parses an expression with its prefixes (`***=`, `(?i)`, …).
pub(super) fn parse(pattern: &str, flags: Flags) -> Result<Parsed> {
    let mut parser = Parser {
        pattern: pattern.chars().map(u32::from).collect(),
        at: 0,
        flags,
        token: Token::End,
        in_bound: false,
        groups: Vec::new(),
        has_backrefs: false,
        depth: 0,
    };
    parser.read_prefixes()?;
    if parser.flags.literal {
        return Ok(parser.literal());
    }
    parser.advance()?;
    let tree = parser.alternatives(Stop::End, Within::Main)?;
    if parser.token != Token::End {
        return Err(invalid("parentheses () not balanced"));
    }
    Ok(Parsed {
        tree,
        groups: parser.groups.len(),
        has_backrefs: parser.has_backrefs,
        ignore_case: parser.flags.ignore_case,
    })
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    End,
    Plain(u32),
    Class {
        ranges: Vec<(u32, u32)>,
        complement: bool,
    },
    Any,
    Bracket {
        negated: bool,
    },
    Open {
        captures: bool,
    },
    Close,
    Look {
        ahead: bool,
        negated: bool,
    },
    Bar,
    Star {
        prefers: u8,
    },
    Plus {
        prefers: u8,
    },
    Question {
        prefers: u8,
    },
    BoundStart,
    BoundEnd {
        prefers: u8,
    },
    Digit(u32),
    Comma,
    Assert(Assertion),
    /// `^` and `$`.
    Anchor {
        start: bool,
    },
    Backref(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Close,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Main,
    /// In a lookahead or lookbehind: nothing captures, nothing refers back.
    Look,
}

struct Parser {
    pattern: Vec<u32>,
    at: usize,
    flags: Flags,
    token: Token,
    /// Between braces.
    in_bound: bool,
    /// The groups' languages, once they are closed.
    groups: Vec<Option<Arc<Re>>>,
    has_backrefs: bool,
    depth: usize,
}

impl Parser {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.pattern.get(self.at + ahead).and_then(|code| char::from_u32(*code))
    }

    fn read_prefixes(&mut self) -> Result<()> {
        if self.flags.literal {
            return Ok(());
        }
        let starts_with_stars = (0..3).all(|index| self.peek(index) == Some('*'));
        if starts_with_stars && let Some(director) = self.peek(3) {
            match director {
                '=' => {
                    self.flags = Flags {
                        literal: true,
                        expanded: false,
                        newline_stops: false,
                        newline_anchors: false,
                        ..self.flags
                    };
                    self.at = 4;
                    return Ok(());
                }
                ':' => self.at = 4,
                '?' => return Err(invalid("invalid regexp (reg version 0.8)")),
                _ => return Err(invalid("quantifier operand invalid")),
            }
        }
        let has_options = self.peek(0) == Some('(')
            && self.peek(1) == Some('?')
            && self.peek(2).is_some_and(|letter| letter.is_ascii_alphabetic());
        if !has_options {
            return Ok(());
        }
        self.at += 2;
        while let Some(letter) = self.peek(0).filter(char::is_ascii_alphabetic) {
            self.at += 1;
            if !set_option(&mut self.flags, letter)? {
                return Err(invalid("invalid embedded option"));
            }
        }
        if self.peek(0) != Some(')') {
            return Err(invalid("invalid embedded option"));
        }
        self.at += 1;
        if self.flags.literal {
            self.flags.expanded = false;
            self.flags.newline_stops = false;
            self.flags.newline_anchors = false;
        }
        Ok(())
    }

    fn literal(&self) -> Parsed {
        let characters = self.pattern[self.at..].iter();
        let language = Re::Concat(characters.map(|code| self.character(*code)).collect());
        let tree = Part::new(PartKind::Plain, 0, Arc::new(language), Vec::new());
        Parsed { tree, groups: 0, has_backrefs: false, ignore_case: false }
    }

    // ---- the reading of tokens ----

    fn advance(&mut self) -> Result<()> {
        self.token = self.next_token()?;
        Ok(())
    }

    fn next_token(&mut self) -> Result<Token> {
        loop {
            if self.flags.expanded {
                self.skip_blanks();
            }
            let Some(&code) = self.pattern.get(self.at) else {
                return match self.in_bound {
                    true => Err(invalid("braces {} not balanced")),
                    false => Ok(Token::End),
                };
            };
            self.at += 1;
            let character = char::from_u32(code).unwrap_or('\u{fffd}');
            if self.in_bound {
                return self.bound_token(character);
            }
            return Ok(match character {
                '|' => Token::Bar,
                '*' => Token::Star { prefers: self.greediness() },
                '+' => Token::Plus { prefers: self.greediness() },
                '?' => Token::Question { prefers: self.greediness() },
                '{' => {
                    if self.flags.expanded {
                        self.skip_blanks();
                    }
                    if self.peek(0).is_some_and(|next| next.is_ascii_digit()) {
                        self.in_bound = true;
                        Token::BoundStart
                    } else {
                        Token::Plain(code)
                    }
                }
                '(' if self.peek(0) == Some('?') => {
                    self.at += 1;
                    let Some(kind) = self.peek(0) else {
                        return Err(invalid("quantifier operand invalid"));
                    };
                    self.at += 1;
                    match kind {
                        ':' => Token::Open { captures: false },
                        '#' => {
                            while self.peek(0).is_some_and(|character| character != ')') {
                                self.at += 1;
                            }
                            self.at = (self.at + 1).min(self.pattern.len());
                            continue;
                        }
                        '=' => Token::Look { ahead: true, negated: false },
                        '!' => Token::Look { ahead: true, negated: true },
                        '<' => {
                            let kind = self.peek(0);
                            self.at += 1;
                            match kind {
                                Some('=') => Token::Look { ahead: false, negated: false },
                                Some('!') => Token::Look { ahead: false, negated: true },
                                _ => return Err(invalid("quantifier operand invalid")),
                            }
                        }
                        _ => return Err(invalid("quantifier operand invalid")),
                    }
                }
                '(' => Token::Open { captures: true },
                ')' => Token::Close,
                '[' => self.bracket_start(),
                '.' => Token::Any,
                '^' => Token::Anchor { start: true },
                '$' => Token::Anchor { start: false },
                '\\' => self.escape()?,
                _ => Token::Plain(code),
            });
        }
    }

    fn bound_token(&mut self, character: char) -> Result<Token> {
        match character {
            '0'..='9' => Ok(Token::Digit(u32::from(character) - u32::from('0'))),
            ',' => Ok(Token::Comma),
            '}' => {
                self.in_bound = false;
                Ok(Token::BoundEnd { prefers: self.greediness() })
            }
            _ => Err(invalid("invalid repetition count(s)")),
        }
    }

    fn greediness(&mut self) -> u8 {
        if self.peek(0) == Some('?') {
            self.at += 1;
            SHORTER
        } else {
            LONGER
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            while self.peek(0).is_some_and(is_space) {
                self.at += 1;
            }
            if self.peek(0) != Some('#') {
                return;
            }
            while self.peek(0).is_some_and(|character| character != '\n') {
                self.at += 1;
            }
        }
    }

    /// `[`, `[^`, or one of the old spellings of a word's start and end.
    fn bracket_start(&mut self) -> Token {
        let spelled = |wanted: &str| {
            wanted.chars().enumerate().all(|(index, character)| self.peek(index) == Some(character))
        };
        let old = [("[:<:]]", Assertion::WordStart), ("[:>:]]", Assertion::WordEnd)];
        if let Some((spelling, assertion)) = old.into_iter().find(|(wanted, _)| spelled(wanted)) {
            self.at += spelling.len();
            return Token::Assert(assertion);
        }
        let negated = self.peek(0) == Some('^');
        self.at += usize::from(negated);
        Token::Bracket { negated }
    }

    fn escape(&mut self) -> Result<Token> {
        let bad = || invalid("invalid escape \\ sequence");
        let code = *self.pattern.get(self.at).ok_or_else(bad)?;
        self.at += 1;
        let shorthand = |name: &str, complement: bool| Token::Class {
            ranges: class(name).unwrap_or_default(),
            complement,
        };
        let plain = |character: char| Token::Plain(u32::from(character));
        let character = char::from_u32(code).unwrap_or('\u{fffd}');
        Ok(match character {
            character if !character.is_ascii_alphanumeric() => Token::Plain(code),
            'a' => plain('\u{7}'),
            'A' => Token::Assert(Assertion::TextStart),
            'b' => plain('\u{8}'),
            'B' => plain('\\'),
            'c' => {
                let control = *self.pattern.get(self.at).ok_or_else(bad)?;
                self.at += 1;
                Token::Plain(control & 0o37)
            }
            'd' => shorthand("digit", false),
            'D' => shorthand("digit", true),
            'e' => plain('\u{1b}'),
            'f' => plain('\u{c}'),
            'm' => Token::Assert(Assertion::WordStart),
            'M' => Token::Assert(Assertion::WordEnd),
            'n' => plain('\n'),
            'r' => plain('\r'),
            's' => shorthand("space", false),
            'S' => shorthand("space", true),
            't' => plain('\t'),
            'u' => Token::Plain(self.digits(16, 4, 4)?),
            'U' => Token::Plain(self.digits(16, 8, 8)?),
            'v' => plain('\u{b}'),
            'w' => shorthand("word", false),
            'W' => shorthand("word", true),
            'x' => Token::Plain(self.digits(16, 1, 255)?),
            'y' => Token::Assert(Assertion::WordBoundary),
            'Y' => Token::Assert(Assertion::NoWordBoundary),
            'Z' => Token::Assert(Assertion::TextEnd),
            '1'..='9' => {
                let start = self.at - 1;
                self.at = start;
                let number = self.digits(10, 1, 255)?;
                let number = usize::try_from(number).unwrap_or(usize::MAX);
                // One digit is always a reference, more only if so many groups have begun.
                if self.at == start + 1 || number <= self.groups.len() {
                    Token::Backref(number)
                } else {
                    self.at = start;
                    self.octal()?
                }
            }
            '0' => {
                self.at -= 1;
                self.octal()?
            }
            _ => return Err(bad()),
        })
    }

    fn octal(&mut self) -> Result<Token> {
        let code = self.digits(8, 1, 3)?;
        if code > 0xff {
            self.at -= 1;
            return Ok(Token::Plain(code >> 3));
        }
        Ok(Token::Plain(code))
    }

    fn digits(&mut self, base: u32, least: usize, most: usize) -> Result<u32> {
        let mut value: u32 = 0;
        let mut count = 0;
        while count < most
            && let Some(digit) = self.peek(0).and_then(|character| character.to_digit(base))
        {
            value = value.saturating_mul(base).saturating_add(digit);
            self.at += 1;
            count += 1;
        }
        if count < least || value > 0x7fff_fffe {
            return Err(invalid("invalid escape \\ sequence"));
        }
        Ok(value)
    }

    // ---- the parts ----

    fn character(&self, code: u32) -> Arc<Re> {
        self.set(CharSet::single(code))
    }

    /// A set as it is written; in the other case too, if case does not count.
    fn set(&self, set: CharSet) -> Arc<Re> {
        let set = if self.flags.ignore_case { set.fold() } else { set };
        Arc::new(Re::Set(Arc::new(set)))
    }

    fn alternatives(&mut self, stop: Stop, within: Within) -> Result<Part> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(invalid("regular expression is too complex"));
        }
        let mut branches = vec![self.branch(stop, within)?];
        while self.token == Token::Bar {
            self.advance()?;
            branches.push(self.branch(stop, within)?);
        }
        self.depth -= 1;
        if branches.len() == 1 {
            return Ok(branches.swap_remove(0));
        }
        let flags = branches
            .iter()
            .fold(LONGER, |flags, branch| flags | seen_from_above(flags | branch.flags));
        let languages = branches.iter().map(|branch| branch.language.clone()).collect();
        let language = Arc::new(Re::Alternate(languages));
        Ok(match is_messy(flags) {
            true => Part::new(PartKind::Alternate, flags, language, branches),
            false => Part::new(PartKind::Plain, flags, language, Vec::new()),
        })
    }

    fn at_branch_end(&self, stop: Stop) -> bool {
        match self.token {
            Token::Bar | Token::End => true,
            Token::Close => stop == Stop::Close,
            _ => false,
        }
    }

    fn branch(&mut self, stop: Stop, within: Within) -> Result<Part> {
        let mut prefix = Prefix { languages: Vec::new(), flags: 0, vacuous: true };
        while !self.at_branch_end(stop) {
            if let Some(part) = self.quantified_atom(stop, within, &mut prefix)? {
                return Ok(part);
            }
            prefix.vacuous = false;
        }
        Ok(prefix.into_part())
    }

    /// Reads an atom and its quantifier. A plain one joins the prefix; else the part that holds the prefix, the atom and
    /// the rest of the branch is the answer.
    fn quantified_atom(
        &mut self,
        stop: Stop,
        within: Within,
        prefix: &mut Prefix,
    ) -> Result<Option<Part>> {
        let atom = match self.token.clone() {
            Token::Anchor { start } => {
                let assertion = match (start, self.flags.newline_anchors) {
                    (true, true) => Assertion::LineStart,
                    (true, false) => Assertion::TextStart,
                    (false, true) => Assertion::LineEnd,
                    (false, false) => Assertion::TextEnd,
                };
                return self.constraint(Re::Assert(assertion), prefix);
            }
            Token::Assert(assertion) => return self.constraint(Re::Assert(assertion), prefix),
            Token::Look { ahead, negated } => {
                self.advance()?;
                let inner = self.alternatives(Stop::Close, Within::Look)?.language;
                if self.token != Token::Close {
                    return Err(invalid("parentheses () not balanced"));
                }
                return self.constraint(Re::Look { ahead, negated, inner }, prefix);
            }
            Token::Star { .. }
            | Token::Plus { .. }
            | Token::Question { .. }
            | Token::BoundStart => return Err(invalid("quantifier operand invalid")),
            Token::Close => return Err(invalid("parentheses () not balanced")),
            Token::Open { captures } => {
                let group = (captures && within == Within::Main).then(|| {
                    self.groups.push(None);
                    self.groups.len()
                });
                self.advance()?;
                let inner = self.alternatives(Stop::Close, within)?;
                if self.token != Token::Close {
                    return Err(invalid("parentheses () not balanced"));
                }
                self.advance()?;
                match group {
                    None => Atom { part: inner, kind: AtomKind::Plain },
                    Some(group) => {
                        Atom { part: self.capture(inner, group), kind: AtomKind::Capturing }
                    }
                }
            }
            Token::Backref(group) => {
                let bad = || invalid("invalid backreference number");
                let referenced = match within {
                    Within::Look => None,
                    Within::Main => self.groups.get(group.wrapping_sub(1)).cloned().flatten(),
                };
                let language = Arc::new(without_constraints(&*referenced.ok_or_else(bad)?));
                self.has_backrefs = true;
                self.advance()?;
                let kind = PartKind::Backref { group, min: 1, max: Some(1) };
                let part = Part::new(kind, BACKREFS, language, Vec::new());
                Atom { part, kind: AtomKind::Backref }
            }
            Token::Bracket { negated } => {
                let set = self.bracket(negated)?;
                self.advance()?;
                Atom::plain(Arc::new(Re::Set(Arc::new(set))))
            }
            Token::Class { ranges, complement } => {
                self.advance()?;
                let set = CharSet::new(ranges);
                let set = if complement { set.complement() } else { set };
                Atom::plain(Arc::new(Re::Set(Arc::new(set))))
            }
            Token::Any => {
                self.advance()?;
                let all = CharSet::all();
                let set = if self.flags.newline_stops { all.without_newline() } else { all };
                Atom::plain(Arc::new(Re::Set(Arc::new(set))))
            }
            Token::Plain(code) => {
                self.advance()?;
                Atom::plain(self.character(code))
            }
            token @ (Token::End
            | Token::Bar
            | Token::BoundEnd { .. }
            | Token::Digit(_)
            | Token::Comma) => {
                return Err(PgError::internal(format!("no atom starts with {token:?}")));
            }
        };
        let (min, max, prefers) = self.quantifier()?;
        if max == Some(0) {
            return Ok(None);
        }

        let flags = prefix.flags | prefers | atom.part.flags;
        if atom.kind == AtomKind::Plain && !is_messy(seen_from_above(flags)) {
            prefix.languages.push(repeat(&atom.part.language, min, max));
            prefix.flags = flags;
            return Ok(None);
        }
        self.messy_atom(stop, within, prefix, atom, (min, max, prefers)).map(Some)
    }

    fn constraint(&mut self, constraint: Re, prefix: &mut Prefix) -> Result<Option<Part>> {
        prefix.languages.push(Arc::new(constraint));
        self.advance()?;
        Ok(None)
    }

    fn capture(&mut self, inner: Part, group: usize) -> Part {
        let mut part = match inner.group {
            0 => inner,
            _ => {
                let language = inner.language.clone();
                Part::new(PartKind::Capture, inner.flags, language, vec![inner])
            }
        };
        part.flags |= CAPTURES;
        part.group = group;
        self.groups[group - 1] = Some(part.language.clone());
        part
    }

    /// Puts together the prefix, the quantified atom and the rest of the branch, which is read here.
    fn messy_atom(
        &mut self,
        stop: Stop,
        within: Within,
        prefix: &mut Prefix,
        atom: Atom,
        (min, max, prefers): (u32, Option<u32>, u8),
    ) -> Result<Part> {
        let mut flags = combine(prefers, atom.part.flags);
        let atom = quantify(atom, min, max, prefers);
        let prefix =
            std::mem::replace(prefix, Prefix { languages: Vec::new(), flags: 0, vacuous: true });
        let vacuous = prefix.vacuous;
        let prefix = prefix.into_part();
        let mut whole_flags = prefix.flags;
        if self.at_branch_end(stop) {
            whole_flags |= combine(whole_flags, atom.flags);
            if vacuous {
                return Ok(atom);
            }
            let language = concat([&prefix.language, &atom.language]);
            return Ok(Part::new(PartKind::Concat, whole_flags, language, vec![prefix, atom]));
        }
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(invalid("regular expression is too complex"));
        }
        let rest = self.branch(stop, within)?;
        self.depth -= 1;
        flags |= combine(flags, rest.flags);
        whole_flags |= combine(whole_flags, flags);
        let language = concat([&atom.language, &rest.language]);
        if vacuous {
            return Ok(Part::new(PartKind::Concat, whole_flags, language, vec![atom, rest]));
        }
        let both_plain = atom.kind == PartKind::Plain
            && atom.group == 0
            && rest.kind == PartKind::Plain
            && rest.group == 0;
        let tail = if both_plain && !is_messy(seen_from_above(atom.flags | rest.flags)) {
            let flags = combine(atom.flags, rest.flags);
            Part::new(PartKind::Plain, flags, language, Vec::new())
        } else {
            Part::new(PartKind::Concat, flags, language, vec![atom, rest])
        };
        let language = concat([&prefix.language, &tail.language]);
        Ok(Part::new(PartKind::Concat, whole_flags, language, vec![prefix, tail]))
    }

    /// The bounds and the preference of the quantifier at the current token, if there is one.
    fn quantifier(&mut self) -> Result<(u32, Option<u32>, u8)> {
        let found = match self.token {
            Token::Star { prefers } => (0, None, prefers),
            Token::Plus { prefers } => (1, None, prefers),
            Token::Question { prefers } => (0, Some(1), prefers),
            Token::BoundStart => {
                self.advance()?;
                let bad = || invalid("invalid repetition count(s)");
                let min = self.number()?;
                let mut max = Some(min);
                let has_range = self.token == Token::Comma;
                if has_range {
                    self.advance()?;
                    max = match self.token {
                        Token::Digit(_) => Some(self.number()?),
                        _ => None,
                    };
                    if max.is_some_and(|max| min > max) {
                        return Err(bad());
                    }
                }
                let Token::BoundEnd { prefers } = self.token else { return Err(bad()) };
                (min, max, if has_range { prefers } else { 0 })
            }
            _ => return Ok((1, Some(1), 0)),
        };
        self.advance()?;
        Ok(found)
    }

    fn number(&mut self) -> Result<u32> {
        let mut number = 0;
        while let Token::Digit(digit) = self.token {
            number = number * 10 + digit;
            if number > REPETITIONS_MAX {
                return Err(invalid("invalid repetition count(s)"));
            }
            self.advance()?;
        }
        Ok(number)
    }

    // ---- brackets ----

    /// Reads a bracket expression from after its `[` or `[^` to after its `]`.
    fn bracket(&mut self, negated: bool) -> Result<CharSet> {
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            let item = self.bracket_item(first)?;
            first = false;
            let start = match item {
                Item::End => break,
                Item::RangeSign => return Err(invalid("invalid character range")),
                Item::Class(class) => {
                    ranges.extend(class);
                    continue;
                }
                Item::Character(code) => code,
            };
            let saved = self.at;
            if self.bracket_item(false)? != Item::RangeSign {
                self.at = saved;
                ranges.push((start, start));
                continue;
            }
            let end = match self.bracket_item(false)? {
                Item::Character(code) => code,
                Item::RangeSign => u32::from('-'),
                Item::End | Item::Class(_) => return Err(invalid("invalid character range")),
            };
            if start > end {
                return Err(invalid("invalid character range"));
            }
            ranges.push((start, end));
        }
        let set = CharSet::new(ranges);
        let set = if self.flags.ignore_case { set.fold() } else { set };
        Ok(match negated {
            false => set,
            true if self.flags.newline_stops => set.complement().without_newline(),
            true => set.complement(),
        })
    }

    fn bracket_item(&mut self, first: bool) -> Result<Item> {
        let unbalanced = || invalid("brackets [] not balanced");
        let code = *self.pattern.get(self.at).ok_or_else(unbalanced)?;
        self.at += 1;
        let character = char::from_u32(code).unwrap_or('\u{fffd}');
        match character {
            '\\' => match self.escape()? {
                Token::Plain(code) => Ok(Item::Character(code)),
                Token::Class { ranges, complement: false } => Ok(Item::Class(ranges)),
                Token::Class { ranges, complement: true } => {
                    Ok(Item::Class(CharSet::new(ranges).complement().ranges().to_vec()))
                }
                _ => Err(invalid("invalid escape \\ sequence")),
            },
            '-' if first || self.peek(0) == Some(']') => Ok(Item::Character(code)),
            '-' => Ok(Item::RangeSign),
            ']' if first => Ok(Item::Character(code)),
            ']' => Ok(Item::End),
            '[' => {
                let Some(kind @ ('.' | '=' | ':')) = self.peek(0) else {
                    return match self.at < self.pattern.len() {
                        true => Ok(Item::Character(code)),
                        false => Err(unbalanced()),
                    };
                };
                self.at += 1;
                let name = self.bracket_name(kind)?;
                if kind == ':' {
                    let bad = || invalid("invalid character class");
                    let ranges = match (name.as_str(), self.flags.ignore_case) {
                        ("upper" | "lower", true) => class("alpha"),
                        (name, _) => class(name),
                    };
                    return ranges.map(Item::Class).ok_or_else(bad);
                }
                let mut characters = name.chars();
                match (characters.next(), characters.next()) {
                    (Some(only), None) if kind == '.' => Ok(Item::Character(u32::from(only))),
                    (Some(only), None) => Ok(Item::Class(vec![(u32::from(only), u32::from(only))])),
                    (Some(_), Some(_))
                        if name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') =>
                    {
                        Err(PgError::unsupported(format!(
                            "the collating element \"{name}\" in a regular expression is not read here"
                        )))
                    }
                    _ => Err(invalid("invalid collating element")),
                }
            }
            _ => Ok(Item::Character(code)),
        }
    }

    /// The text up to `.]`, `=]` or `:]`.
    fn bracket_name(&mut self, kind: char) -> Result<String> {
        let mut name = String::new();
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(found), Some(']')) if found == kind => {
                    self.at += 2;
                    return Ok(name);
                }
                (Some(character), _) => {
                    name.push(character);
                    self.at += 1;
                }
                (None, _) => return Err(invalid("brackets [] not balanced")),
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Item {
    Character(u32),
    Class(Vec<(u32, u32)>),
    RangeSign,
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AtomKind {
    /// Also a group that does not capture, whatever is in it.
    Plain,
    Capturing,
    Backref,
}

struct Atom {
    part: Part,
    kind: AtomKind,
}

impl Atom {
    fn plain(language: Arc<Re>) -> Self {
        Self { part: Part::new(PartKind::Plain, 0, language, Vec::new()), kind: AtomKind::Plain }
    }
}

/// What has been read of a branch and is plain so far.
struct Prefix {
    languages: Vec<Arc<Re>>,
    flags: u8,
    /// Nothing has been read, not even something empty.
    vacuous: bool,
}

impl Prefix {
    fn into_part(self) -> Part {
        let mut languages = self.languages;
        let language = match languages.len() {
            0 => Arc::new(Re::Empty),
            1 => languages.swap_remove(0),
            _ => Arc::new(Re::Concat(languages)),
        };
        Part::new(PartKind::Plain, self.flags, language, Vec::new())
    }
}

fn concat(parts: [&Arc<Re>; 2]) -> Arc<Re> {
    Arc::new(Re::Concat(parts.into_iter().cloned().collect()))
}

fn repeat(language: &Arc<Re>, min: u32, max: Option<u32>) -> Arc<Re> {
    match (min, max) {
        (1, Some(1)) => language.clone(),
        (0, Some(0)) => Arc::new(Re::Empty),
        _ => Arc::new(Re::Repeat(language.clone(), min, max)),
    }
}

/// Builds what stands for the atom and its quantifier.
fn quantify(Atom { part: atom, kind }: Atom, min: u32, max: Option<u32>, prefers: u8) -> Part {
    let language = repeat(&atom.language, min, max);
    if let PartKind::Backref { group, .. } = atom.kind
        && kind == AtomKind::Backref
    {
        let flags = atom.flags | combine(prefers, atom.flags);
        return Part::new(PartKind::Backref { group, min, max }, flags, language, Vec::new());
    }
    let own = atom.flags & (LONGER | SHORTER | MIXED);
    if min == 1 && max == Some(1) && (prefers == 0 || own == 0 || prefers == own) {
        return atom;
    }
    let flags = combine(prefers, atom.flags);
    if atom.flags & (CAPTURES | BACKREFS) == 0 {
        return Part::new(PartKind::Plain, flags, language, Vec::new());
    }
    if min > 0 && atom.flags & BACKREFS == 0 {
        // Only the last round's groups count: the rounds before it are plain.
        let before = repeat(&atom.language, min - 1, max.map(|max| max - 1));
        let before = Part::new(PartKind::Plain, preference(flags), before, Vec::new());
        return Part::new(PartKind::Concat, flags, language, vec![before, atom]);
    }
    Part::new(PartKind::Iterate { min, max }, flags, language, vec![atom])
}

/// A language without its constraints: a superset, for what a back-reference may match.
fn without_constraints(language: &Re) -> Re {
    let strip =
        |parts: &[Arc<Re>]| parts.iter().map(|part| Arc::new(without_constraints(part))).collect();
    match language {
        Re::Assert(_) | Re::Look { .. } | Re::Empty => Re::Empty,
        Re::Set(set) => Re::Set(set.clone()),
        Re::Concat(parts) => Re::Concat(strip(parts)),
        Re::Alternate(parts) => Re::Alternate(strip(parts)),
        Re::Repeat(inner, min, max) => Re::Repeat(Arc::new(without_constraints(inner)), *min, *max),
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

/// Sets the option that a letter stands for; false if there is no such letter.
///
/// # Errors
/// `0A000` for the older dialects.
pub(crate) fn set_option(flags: &mut Flags, letter: char) -> Result<bool> {
    match letter {
        'b' | 'e' => {
            return Err(PgError::unsupported(
                "basic and extended regular expressions (options b and e) are not read here",
            ));
        }
        'c' => flags.ignore_case = false,
        'i' => flags.ignore_case = true,
        'm' | 'n' => {
            flags.newline_stops = true;
            flags.newline_anchors = true;
        }
        'p' => {
            flags.newline_stops = true;
            flags.newline_anchors = false;
        }
        'q' => flags.literal = true,
        's' => {
            flags.newline_stops = false;
            flags.newline_anchors = false;
        }
        't' => flags.expanded = false,
        'w' => {
            flags.newline_stops = false;
            flags.newline_anchors = true;
        }
        'x' => flags.expanded = true,
        _ => return Ok(false),
    }
    Ok(true)
}
