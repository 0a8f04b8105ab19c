//! The template patterns of numbers (the manual's tables 9.29, 9.30), and what a whole template asks for.

use super::template::{Element, Letters, Modifiers, parse};
use crate::error::{PgError, Result};

/// What a pattern of a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberPattern {
    /// `,`.
    Comma,
    /// `.` and `D`: the C locale has the point for both.
    Point,
    /// `0`.
    Zero,
    /// `9`.
    Digit,
    /// `B`.
    Blank,
    /// `C`, known and without meaning.
    Currency,
    /// `EEEE`.
    Exponent,
    /// `FM`.
    Fill,
    /// `G`.
    Group,
    /// `L`.
    Symbol,
    /// `MI`.
    Minus,
    /// `PL`.
    Plus,
    /// `PR`.
    Brackets,
    /// `RN`.
    Roman(Letters),
    /// `SG`.
    PlusMinus,
    /// `SP`, known and without meaning.
    Spelled,
    /// `S`.
    Sign,
    /// `TH`.
    Ordinal(Letters),
    /// `V`.
    Shift,
}

use Letters::{Lower, Upper};
use NumberPattern as P;

/// Every spelling.
const VOCABULARY: &[(&str, NumberPattern)] = &[
    (",", P::Comma),
    (".", P::Point),
    ("0", P::Zero),
    ("9", P::Digit),
    ("B", P::Blank),
    ("C", P::Currency),
    ("D", P::Point),
    ("EEEE", P::Exponent),
    ("FM", P::Fill),
    ("G", P::Group),
    ("L", P::Symbol),
    ("MI", P::Minus),
    ("PL", P::Plus),
    ("PR", P::Brackets),
    ("RN", P::Roman(Upper)),
    ("SG", P::PlusMinus),
    ("SP", P::Spelled),
    ("S", P::Sign),
    ("TH", P::Ordinal(Upper)),
    ("V", P::Shift),
    ("b", P::Blank),
    ("c", P::Currency),
    ("d", P::Point),
    ("eeee", P::Exponent),
    ("fm", P::Fill),
    ("g", P::Group),
    ("l", P::Symbol),
    ("mi", P::Minus),
    ("pl", P::Plus),
    ("pr", P::Brackets),
    ("rn", P::Roman(Lower)),
    ("sg", P::PlusMinus),
    ("sp", P::Spelled),
    ("s", P::Sign),
    ("th", P::Ordinal(Lower)),
    ("v", P::Shift),
];

/// Where the sign of `S` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignPlace {
    Before,
    Behind,
}

/// What a template asks for as a whole, and its elements.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    pub(super) elements: Vec<Element<NumberPattern>>,
    /// Digits before the point.
    pub(super) before: usize,
    /// Digits behind the point.
    pub(super) behind: usize,
    /// Digits behind `V`.
    pub(super) shifted: usize,
    /// Before which of the digits the first `0` stands, and behind which the last.
    pub(super) first_zero: Option<usize>,
    pub(super) last_zero: usize,
    /// `S`, and behind how many digits before the point it stands.
    pub(super) sign: Option<SignPlace>,
    pub(super) sign_position: usize,
    pub(super) is_unpadded: bool,
    pub(super) is_blank: bool,
    pub(super) has_point: bool,
    pub(super) has_brackets: bool,
    pub(super) has_minus: bool,
    pub(super) has_plus: bool,
    pub(super) is_roman: bool,
    pub(super) is_shifted: bool,
    pub(super) is_scientific: bool,
}

impl Picture {
    /// Reads a template.
    ///
    /// # Errors
    /// `42601` for patterns that do not go together.
    pub(super) fn parse(template: &str) -> Result<Self> {
        let mut picture =
            Self { elements: parse(template, VOCABULARY, Modifiers::None), ..Self::default() };
        for place in 0..picture.elements.len() {
            if let Element::Pattern(keyword) = picture.elements[place] {
                picture.add(keyword.pattern)?;
            }
        }
        Ok(picture)
    }

    /// Without the signs and digits that Roman numerals have no use for.
    pub(super) fn into_roman(self) -> Self {
        let Self { elements, is_unpadded, .. } = self;
        Self { elements, is_unpadded, is_roman: true, ..Self::default() }
    }

    fn add(&mut self, pattern: NumberPattern) -> Result<()> {
        if self.is_scientific && pattern != P::Exponent {
            return refuse("\"EEEE\" must be the last pattern used");
        }
        match pattern {
            P::Digit if self.has_brackets => return refuse("\"9\" must be ahead of \"PR\""),
            P::Digit if self.is_shifted => self.shifted += 1,
            P::Digit if self.has_point => self.behind += 1,
            P::Digit => self.before += 1,
            P::Zero if self.has_brackets => return refuse("\"0\" must be ahead of \"PR\""),
            P::Zero => {
                if !self.has_point {
                    self.first_zero.get_or_insert(self.before);
                    self.before += 1;
                } else {
                    self.behind += 1;
                }
                self.last_zero = self.before + self.behind;
            }
            P::Blank => {
                self.is_blank |= self.before == 0 && self.behind == 0 && self.first_zero.is_none();
            }
            P::Point if self.has_point => return refuse("multiple decimal points"),
            P::Point if self.is_shifted => {
                return refuse("cannot use \"V\" and decimal point together");
            }
            P::Point => self.has_point = true,
            P::Fill => self.is_unpadded = true,
            P::Sign => {
                if self.sign.is_some() {
                    return refuse("cannot use \"S\" twice");
                }
                if self.has_plus || self.has_minus || self.has_brackets {
                    return refuse("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together");
                }
                if self.has_point {
                    self.sign = Some(SignPlace::Behind);
                } else {
                    self.sign = Some(SignPlace::Before);
                    self.sign_position = self.before;
                }
            }
            P::Minus if self.sign.is_some() => {
                return refuse("cannot use \"S\" and \"MI\" together");
            }
            P::Minus => self.has_minus = true,
            P::Plus if self.sign.is_some() => {
                return refuse("cannot use \"S\" and \"PL\" together");
            }
            P::Plus => self.has_plus = true,
            P::PlusMinus if self.sign.is_some() => {
                return refuse("cannot use \"S\" and \"SG\" together");
            }
            P::PlusMinus => (self.has_minus, self.has_plus) = (true, true),
            P::Brackets => {
                if self.sign.is_some() || self.has_plus || self.has_minus {
                    return refuse("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together");
                }
                self.has_brackets = true;
            }
            P::Roman(_) => self.is_roman = true,
            P::Shift if self.has_point => {
                return refuse("cannot use \"V\" and decimal point together");
            }
            P::Shift => self.is_shifted = true,
            P::Exponent => return self.add_exponent(),
            P::Comma | P::Group | P::Symbol | P::Currency | P::Spelled | P::Ordinal(_) => {}
        }
        Ok(())
    }

    fn add_exponent(&mut self) -> Result<()> {
        if self.is_scientific {
            return refuse("cannot use \"EEEE\" twice");
        }
        let is_busy = self.is_blank
            || self.is_unpadded
            || self.sign.is_some()
            || self.has_brackets
            || self.has_minus
            || self.has_plus
            || self.is_roman
            || self.is_shifted;
        if is_busy {
            let error = PgError::new("42601", "\"EEEE\" is incompatible with other formats");
            return Err(error.with_detail(
                "\"EEEE\" may only be used together with digit and decimal point patterns.",
            ));
        }
        self.is_scientific = true;
        Ok(())
    }
}

fn refuse(message: &'static str) -> Result<()> {
    Err(PgError::new("42601", message))
}
