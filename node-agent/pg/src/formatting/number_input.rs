//! `to_number`.

use super::number::{NumberPattern, Picture, SignPlace};
use super::template::Element;
use crate::error::{PgError, Result};
use crate::value::Numeric;

/// Reads a number by a template that is not empty.
pub(super) fn to_number(input: &str, template: &str) -> Result<Numeric> {
    let picture = Picture::parse(template)?;
    if picture.is_scientific {
        return Err(PgError::new("0A000", "\"EEEE\" not supported for input"));
    }
    if picture.is_roman {
        return Err(PgError::new("0A000", "\"RN\" not supported for input"));
    }
    let mut reader = Reader {
        input: input.as_bytes(),
        at: 0,
        sign: b' ',
        digits: String::new(),
        before: 0,
        behind: 0,
        has_point: false,
    };
    for element in &picture.elements {
        if reader.is_at_end() {
            break;
        }
        match element {
            Element::Pattern(keyword) => reader.pattern(keyword.pattern, &picture),
            Element::Separator(_) | Element::Space(_) | Element::Text(_) => reader.skip_one(),
        }
    }
    let digits = reader.digits.strip_suffix('.').unwrap_or(&reader.digits);
    let number = Numeric::parse(&format!("{}{digits}", char::from(reader.sign)))?;
    let precision = picture.before + picture.shifted + reader.behind;
    let packed = (precision << 16) | reader.behind;
    let number =
        number.fit(i32::try_from(packed).map_or(i32::MAX, |packed| packed.wrapping_add(4)))?;
    if !picture.is_shifted {
        return Ok(number);
    }
    let places = i64::try_from(picture.shifted).unwrap_or(i64::MAX);
    number.multiply(&Numeric::from(10).power(&Numeric::from(-places))?)
}

/// The text as it is consumed, byte by byte where characters do not matter.
struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    /// `+`, `-`, or a blank for none.
    sign: u8,
    /// The digits and the point that were found.
    digits: String,
    before: usize,
    behind: usize,
    has_point: bool,
}

impl Reader<'_> {
    fn is_at_end(&self) -> bool {
        self.at >= self.input.len()
    }

    fn byte(&self) -> u8 {
        self.input.get(self.at).copied().unwrap_or(0)
    }

    /// Goes on by a character.
    fn skip_one(&mut self) {
        self.at += match self.byte() {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
    }

    /// Goes on by so many characters that cannot belong to a number.
    fn skip_others(&mut self, count: usize) {
        for _ in 0..count {
            if self.is_at_end() || b"0123456789.,+-".contains(&self.byte()) {
                break;
            }
            self.skip_one();
        }
    }

    fn pattern(&mut self, pattern: NumberPattern, picture: &Picture) {
        match pattern {
            NumberPattern::Digit | NumberPattern::Zero | NumberPattern::Point => {
                self.digit(pattern, picture);
                self.at += 1;
            }
            // With FM a separator in the text takes the place of a digit, as in PostgreSQL.
            NumberPattern::Comma | NumberPattern::Group
                if !picture.is_unpadded && self.byte() == b',' =>
            {
                self.at += 1;
            }
            NumberPattern::Symbol => self.skip_others(1),
            NumberPattern::Ordinal(_) if !picture.has_point => self.skip_others(2),
            NumberPattern::Minus => self.sign_or_other(b"-"),
            NumberPattern::Plus => self.sign_or_other(b"+"),
            NumberPattern::PlusMinus => self.sign_or_other(b"+-"),
            _ => {}
        }
    }

    fn sign_or_other(&mut self, signs: &[u8]) {
        if signs.contains(&self.byte()) {
            self.sign = self.byte();
            self.at += 1;
        } else {
            self.skip_others(1);
        }
    }

    fn digit(&mut self, pattern: NumberPattern, picture: &Picture) {
        if self.byte() == b' ' {
            self.at += 1;
        }
        if self.is_at_end() {
            return;
        }
        let is_first = self.sign == b' ' && self.before + self.behind == 0;
        if is_first && pattern != NumberPattern::Point {
            self.sign_before(picture);
        }
        if self.is_at_end() {
            return;
        }
        let mut is_read = false;
        if self.byte().is_ascii_digit() {
            if self.has_point && self.behind == picture.behind {
                return;
            }
            self.digits.push(char::from(self.byte()));
            if self.has_point {
                self.behind += 1
            } else {
                self.before += 1
            }
            is_read = true;
        } else if picture.has_point && !self.has_point && self.byte() == b'.' {
            self.digits.push('.');
            (self.has_point, is_read) = (true, true);
        }
        if self.sign == b' ' && self.before + self.behind > 0 {
            self.sign_behind(is_read, picture);
        }
    }

    fn sign_before(&mut self, picture: &Picture) {
        let is_anywhere = picture.sign != Some(SignPlace::Before);
        match self.byte() {
            sign @ (b'-' | b'+') => {
                self.sign = sign;
                self.at += 1;
            }
            b'<' if is_anywhere && picture.has_brackets => {
                self.sign = b'-';
                self.at += 1;
            }
            _ => {}
        }
    }

    /// A sign that follows a digit: of `S` the next byte, of the others in a digit's place. The caller goes on by one byte afterwards.
    fn sign_behind(&mut self, is_read: bool, picture: &Picture) {
        let next = self.input.get(self.at + 1).copied();
        match (picture.sign, next) {
            (Some(_), Some(sign @ (b'-' | b'+'))) if is_read => {
                self.sign = sign;
                self.at += 1;
            }
            (None, _) if !is_read && (picture.has_plus || picture.has_minus) => {
                if matches!(self.byte(), b'-' | b'+') {
                    self.sign = self.byte();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn numbers() {
        check("numeric_to_number", &["t:12,454.8-", "t:99G999D9S"], "-12454.8");
        check("numeric_to_number", &["t:<12>", "t:99PR"], "-12");
        check("numeric_to_number", &["t:$1,234", "t:L9,999"], "1234");
        check("numeric_to_number", &["t:5-", "t:99"], "5");
        check("numeric_to_number", &["t:1", "t:"], "NULL");
        check("numeric_to_number", &["t:1", "t:RN"], "ERROR 0A000: \"RN\" not supported for input");
        check(
            "numeric_to_number",
            &["t:x", "t:9"],
            "ERROR 22P02: invalid input syntax for type numeric: \" \"",
        );
    }
}
