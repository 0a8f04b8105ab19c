//! From fields of text to a point of the calendar (the manual's appendix B.1, steps 2 and 3).

use super::calendar::{self, DAY_US, EPOCH_JULIAN, Fields, SECOND_US, small};
use super::keyword::{self, Keyword, Unit};
use super::lex::{Kind, Token};
use super::mask::{self, Mask};
use crate::context::{Context, DateOrder};
use crate::error::PgError;
use crate::timezone::abbreviation::{self, Abbreviation};
use crate::timezone::{self, TimeZone};

/// Why a text is no date, time or interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Its form is none of theirs.
    Form,
    /// A part is out of its range.
    Range,
    /// The month or day is out of its range: perhaps the order is another one.
    Order,
    /// A zone's offset is out of its range.
    Displacement,
    /// Another error, raised as it is.
    Raised(PgError),
}

impl Mistake {
    /// The error for an input of a type.
    pub(crate) fn raise(self, text: &str, type_name: &str) -> PgError {
        let range =
            || PgError::new("22008", format!("date/time field value out of range: \"{text}\""));
        match self {
            Self::Form => PgError::new(
                "22007",
                format!("invalid input syntax for type {type_name}: \"{text}\""),
            ),
            Self::Range => range(),
            Self::Order => range().with_hint("Perhaps you need a different \"datestyle\" setting."),
            Self::Displacement => {
                PgError::new("22009", format!("time zone displacement out of range: \"{text}\""))
            }
            Self::Raised(error) => error,
        }
    }
}

type Step<T = ()> = Result<T, Mistake>;

/// What a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A point, with its zone in seconds **west** of UTC.
    Point(Fields, i32),
    /// `epoch`.
    Epoch,
    /// `infinity`.
    Infinity,
    /// `-infinity`.
    MinusInfinity,
}

/// Whether a whole date is read, perhaps with a time, or a time alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    DateTime,
    TimeOnly,
}

/// `am` and `pm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HalfDay {
    Before,
    After,
}

/// A zone that can be resolved only when the date is known.
#[derive(Debug)]
enum LateZone {
    Named(TimeZone),
    Abbreviated(TimeZone, String),
}

struct Reader<'a> {
    context: &'a Context,
    wanted: Wanted,
    fields: Fields,
    /// All that has been read.
    mask: Mask,
    /// The unit that the word before has announced.
    announced: Option<Unit>,
    day_of_year: i32,
    /// Seconds west of UTC.
    zone_s: i32,
    late_zone: Option<LateZone>,
    half_day: Option<HalfDay>,
    before_christ: bool,
    has_month_name: bool,
    is_short_year: bool,
    is_julian: bool,
}

/// Reads a date, perhaps with a time and a zone.
pub(crate) fn date_time(tokens: Vec<Token>, context: &Context) -> Step<Decoded> {
    let mut reader = Reader::new(context, Wanted::DateTime);
    let special = reader.read(tokens)?;
    reader.validate()?;
    reader.apply_half_day()?;
    match special {
        Some(decoded) => Ok(decoded),
        None => reader.finish_date(),
    }
}

/// Reads a time of day, perhaps with a zone; a date only where the zone needs it.
pub(crate) fn time(tokens: Vec<Token>, context: &Context) -> Step<(Fields, i32)> {
    let mut reader = Reader::new(context, Wanted::TimeOnly);
    reader.read(tokens)?;
    reader.validate()?;
    reader.apply_half_day()?;
    reader.finish_time()
}

/// The current transaction's time as fields in the session's zone, and the zone in seconds west.
fn now(context: &Context) -> (Fields, i32) {
    let instant = context.transaction_time_us;
    let offset = context.time_zone.offset_at(instant.div_euclid(SECOND_US));
    (Fields::of_timestamp(instant + i64::from(offset) * SECOND_US), -offset)
}

impl<'a> Reader<'a> {
    fn new(context: &'a Context, wanted: Wanted) -> Self {
        Self {
            context,
            wanted,
            fields: Fields::default(),
            mask: 0,
            announced: None,
            day_of_year: 0,
            zone_s: 0,
            late_zone: None,
            half_day: None,
            before_christ: false,
            has_month_name: false,
            is_short_year: false,
            is_julian: false,
        }
    }

    /// What numbers may assume has been read: where only a time is wanted, the date counts as known.
    fn known(&self) -> Mask {
        match self.wanted {
            Wanted::DateTime => self.mask,
            Wanted::TimeOnly => self.mask | mask::DATE,
        }
    }

    fn has(&self, wanted: Mask) -> bool {
        self.mask & wanted == wanted
    }

    fn read(&mut self, tokens: Vec<Token>) -> Step<Option<Decoded>> {
        let mut special = None;
        let kinds: Vec<Kind> = tokens.iter().map(|token| token.kind).collect();
        for (place, token) in tokens.iter().enumerate() {
            let read = match token.kind {
                Kind::Date => self.date_token(place, token, &kinds)?,
                Kind::Time => self.time_token(&token.text)?,
                Kind::Zone => {
                    self.zone_s = displacement(&token.text)?;
                    mask::ZONE
                }
                Kind::Number => self.number_token(place, token, &kinds)?,
                Kind::Word | Kind::Special => {
                    match self.word(&token.text, kinds.get(place + 1), &mut special)? {
                        Some(read) => read,
                        None => continue,
                    }
                }
            };
            if self.mask & read != 0 {
                return Err(Mistake::Form);
            }
            self.mask |= read;
        }
        Ok(special)
    }

    fn date_token(&mut self, place: usize, token: &Token, kinds: &[Kind]) -> Step<Mask> {
        let text = token.text.as_str();
        match self.wanted {
            Wanted::DateTime => {
                if self.announced == Some(Unit::Julian) {
                    let (day, rest) = leading_int(text)?;
                    self.announced = None;
                    self.set_julian(day)?;
                    self.zone_s = displacement(rest)?;
                    return Ok(mask::DATE | mask::TIME | mask::ZONE);
                }
                if self.announced.is_none() && !self.has(mask::MONTH | mask::DAY) {
                    return self.date(text);
                }
                if token.starts_with_digit() || self.announced.is_some() {
                    match self.announced.take() {
                        None | Some(Unit::Time) => {}
                        Some(_) => return Err(Mistake::Form),
                    }
                    return self.joined_time_and_zone(text, self.mask);
                }
            }
            Wanted::TimeOnly => {
                let is_first_of_date = place == 0
                    && kinds.len() >= 2
                    && (kinds.last() == Some(&Kind::Date) || kinds[1] == Kind::Time);
                if is_first_of_date {
                    return self.date(text);
                }
                if token.starts_with_digit() {
                    return self.joined_time_and_zone(text, self.known());
                }
            }
        }
        match timezone::named(text) {
            Some(zone) => {
                self.late_zone = Some(LateZone::Named(zone));
                Ok(mask::ZONE)
            }
            None => Err(Mistake::Raised(PgError::new(
                "22023",
                format!("time zone \"{text}\" not recognized"),
            ))),
        }
    }

    /// `hhmmss-zz`.
    fn joined_time_and_zone(&mut self, text: &str, known: Mask) -> Step<Mask> {
        if self.has(mask::TIME) {
            return Err(Mistake::Form);
        }
        let at = text.find('-').ok_or(Mistake::Form)?;
        self.zone_s = displacement(&text[at..])?;
        Ok(self.joined_number(&text[..at], known)? | mask::ZONE)
    }

    fn time_token(&mut self, text: &str) -> Step<Mask> {
        if self.wanted == Wanted::DateTime {
            match self.announced.take() {
                None | Some(Unit::Time) => {}
                Some(_) => return Err(Mistake::Form),
            }
        }
        let time = clock(text, Short::HoursMinutes)?;
        self.fields.hour = i32::try_from(time.hour).map_err(|_| Mistake::Range)?;
        self.fields.minute = time.minute;
        self.fields.second = time.second;
        self.fields.micros = small(time.micros);
        if self.wanted == Wanted::DateTime && self.fields.time_overflows() {
            return Err(Mistake::Range);
        }
        Ok(mask::TIME)
    }

    fn number_token(&mut self, place: usize, token: &Token, kinds: &[Kind]) -> Step<Mask> {
        let text = token.text.as_str();
        if let Some(unit) = self.announced {
            let read = self.labelled_number(unit, text)?;
            self.announced = None;
            return Ok(read);
        }
        let point = text.find('.');
        match self.wanted {
            Wanted::DateTime => match point {
                Some(_) if self.mask & mask::DATE == 0 => self.date(text),
                Some(at) if at > 2 => self.joined_number(text, self.mask),
                _ if text.len() >= 6
                    && (self.mask & mask::DATE == 0 || self.mask & mask::TIME == 0) =>
                {
                    self.joined_number(text, self.mask)
                }
                _ => self.single_number(text, self.mask, self.has_month_name),
            },
            Wanted::TimeOnly => match point {
                Some(_) if place == 0 && kinds.len() >= 2 && kinds.last() == Some(&Kind::Date) => {
                    self.date(text)
                }
                Some(at) if at > 2 => self.joined_number(text, self.known()),
                Some(_) => Err(Mistake::Form),
                None if text.len() > 4 => self.joined_number(text, self.known()),
                None => self.single_number(text, self.known(), false),
            },
        }
    }

    /// A number behind a word that says what it is: `y2001`, `J2451187.5`, `T040506`.
    fn labelled_number(&mut self, unit: Unit, text: &str) -> Step<Mask> {
        let (value, rest) = leading_int(text)?;
        let may_have_fraction = matches!(unit, Unit::Julian | Unit::Time | Unit::Second);
        if !(rest.is_empty() || rest.starts_with('.') && may_have_fraction) {
            return Err(Mistake::Form);
        }
        let fields = &mut self.fields;
        Ok(match unit {
            Unit::Year => {
                fields.year = value;
                mask::YEAR
            }
            // After an hour, `m` is minutes.
            Unit::Month if self.mask & mask::MONTH != 0 && self.mask & mask::HOUR != 0 => {
                fields.minute = value;
                mask::MINUTE
            }
            Unit::Month => {
                fields.month = value;
                mask::MONTH
            }
            Unit::Day => {
                fields.day = value;
                mask::DAY
            }
            Unit::Hour => {
                fields.hour = value;
                mask::HOUR
            }
            Unit::Minute => {
                fields.minute = value;
                mask::MINUTE
            }
            Unit::Second => {
                fields.second = value;
                if rest.is_empty() {
                    mask::SECOND
                } else {
                    fields.micros = small(fraction_us(rest)?);
                    mask::ALL_SECONDS
                }
            }
            Unit::Julian => {
                self.set_julian(value)?;
                if rest.is_empty() {
                    mask::DATE
                } else {
                    #[expect(clippy::cast_precision_loss, reason = "exact: below 2^53")]
                    let micros = fraction(rest)? * DAY_US as f64;
                    #[expect(clippy::cast_possible_truncation, reason = "less than a day")]
                    let time = Fields::of_time(micros as i64);
                    self.fields.hour = time.hour;
                    self.fields.minute = time.minute;
                    self.fields.second = time.second;
                    self.fields.micros = time.micros;
                    mask::DATE | mask::TIME
                }
            }
            Unit::Time => {
                let read = self.joined_number(text, self.mask | mask::DATE)?;
                if read != mask::TIME {
                    return Err(Mistake::Form);
                }
                read
            }
            _ => return Err(Mistake::Form),
        })
    }

    fn set_julian(&mut self, day: i32) -> Step {
        if day < 0 {
            return Err(Mistake::Range);
        }
        self.set_date(i64::from(day) - EPOCH_JULIAN);
        self.is_julian = true;
        Ok(())
    }

    fn set_date(&mut self, days: i64) {
        (self.fields.year, self.fields.month, self.fields.day) = calendar::date_of(days);
    }

    /// A word; `None` if it says nothing.
    fn word(
        &mut self,
        text: &str,
        next: Option<&Kind>,
        special: &mut Option<Decoded>,
    ) -> Step<Option<Mask>> {
        if let Some(found) = abbreviation::find(text) {
            return Ok(Some(match found {
                Abbreviation::Fixed { offset_s, daylight } => {
                    self.zone_s = -offset_s;
                    if daylight { mask::ZONE | mask::DAYLIGHT } else { mask::ZONE }
                }
                Abbreviation::InZone(name) => {
                    let zone = timezone::named(name).ok_or(Mistake::Form)?;
                    self.late_zone = Some(LateZone::Abbreviated(zone, text.to_owned()));
                    mask::ZONE | mask::DYNAMIC_ZONE
                }
            }));
        }
        let Some(keyword) = keyword::find(text) else {
            let zone = timezone::named(text).ok_or(Mistake::Form)?;
            self.late_zone = Some(LateZone::Named(zone));
            return Ok(Some(mask::ZONE));
        };
        let is_date = self.wanted == Wanted::DateTime;
        Ok(Some(match keyword {
            Keyword::Ignored => return Ok(None),
            Keyword::AllBalls => {
                let Fields { year, month, day, .. } = self.fields;
                self.fields = Fields { year, month, day, ..Fields::default() };
                if is_date {
                    self.zone_s = 0;
                    *special = None;
                }
                mask::TIME | mask::ZONE
            }
            Keyword::Now => {
                let (fields, zone_s) = now(self.context);
                if is_date {
                    self.fields = fields;
                    self.zone_s = zone_s;
                    *special = None;
                    mask::DATE | mask::TIME | mask::ZONE
                } else {
                    let Fields { year, month, day, .. } = self.fields;
                    self.fields = Fields { year, month, day, ..fields };
                    mask::TIME
                }
            }
            Keyword::Today | Keyword::Tomorrow | Keyword::Yesterday if is_date => {
                let days = match keyword {
                    Keyword::Tomorrow => 1,
                    Keyword::Yesterday => -1,
                    _ => 0,
                };
                self.set_date(now(self.context).0.days() + days);
                *special = None;
                mask::DATE
            }
            Keyword::Epoch if is_date => {
                *special = Some(Decoded::Epoch);
                mask::SPECIAL
            }
            Keyword::Infinity if is_date => {
                *special = Some(Decoded::Infinity);
                mask::SPECIAL
            }
            Keyword::MinusInfinity if is_date => {
                *special = Some(Decoded::MinusInfinity);
                mask::SPECIAL
            }
            Keyword::Month(number) if is_date => {
                // A number that was taken for the month was the day.
                let was_day = self.mask & mask::MONTH != 0
                    && !self.has_month_name
                    && self.mask & mask::DAY == 0
                    && (1..=31).contains(&self.fields.month);
                if was_day {
                    self.fields.day = self.fields.month;
                }
                self.has_month_name = true;
                self.fields.month = number;
                if was_day { mask::DAY } else { mask::MONTH }
            }
            Keyword::Weekday(_) if is_date => mask::WEEKDAY,
            Keyword::Daylight => {
                self.zone_s -= 3600;
                mask::DAYLIGHT | mask::DAYLIGHT_WORD
            }
            Keyword::Am => {
                self.half_day = Some(HalfDay::Before);
                mask::HALF_DAY
            }
            Keyword::Pm => {
                self.half_day = Some(HalfDay::After);
                mask::HALF_DAY
            }
            Keyword::Ad => {
                self.before_christ = false;
                mask::ERA
            }
            Keyword::Bc => {
                self.before_christ = true;
                mask::ERA
            }
            Keyword::Unit(unit) => {
                self.announced = Some(unit);
                0
            }
            Keyword::IsoTime => {
                if is_date && !self.has(mask::DATE) {
                    return Err(Mistake::Form);
                }
                if !matches!(next, Some(Kind::Number | Kind::Time | Kind::Date)) {
                    return Err(Mistake::Form);
                }
                self.announced = Some(Unit::Time);
                0
            }
            _ => return Err(Mistake::Form),
        }))
    }

    /// A date of two or three fields with delimiters.
    fn date(&mut self, text: &str) -> Step<Mask> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() && parts.len() < 25 {
            rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
            let first = rest.chars().next().ok_or(Mistake::Form)?;
            let is_digits = first.is_ascii_digit();
            let end = rest
                .find(
                    |c: char| {
                        if is_digits { !c.is_ascii_digit() } else { !c.is_ascii_alphabetic() }
                    },
                )
                .unwrap_or(rest.len());
            parts.push(&rest[..end]);
            // The character behind a part is skipped whatever it is.
            rest = rest.get(end + 1..).unwrap_or("");
        }
        let mut known = self.mask;
        let mut read = 0;
        let mut has_month_name = false;
        let mut numbers = Vec::new();
        for part in parts {
            if !part.starts_with(|c: char| c.is_ascii_alphabetic()) {
                numbers.push(part);
                continue;
            }
            match keyword::find(part) {
                Some(Keyword::Ignored) => {}
                Some(Keyword::Month(number)) => {
                    self.fields.month = number;
                    has_month_name = true;
                    if known & mask::MONTH != 0 {
                        return Err(Mistake::Form);
                    }
                    known |= mask::MONTH;
                    read |= mask::MONTH;
                }
                _ => return Err(Mistake::Form),
            }
        }
        for number in numbers {
            let one = self.single_number(number, known, has_month_name)?;
            if known & one != 0 {
                return Err(Mistake::Form);
            }
            known |= one;
            read |= one;
        }
        if known & !(mask::DAY_OF_YEAR | mask::ZONE) != mask::DATE {
            return Err(Mistake::Form);
        }
        Ok(read)
    }

    /// A number by itself: what it is depends on what is known.
    fn single_number(&mut self, text: &str, known: Mask, has_month_name: bool) -> Step<Mask> {
        let (value, rest) = leading_int(text)?;
        let length = text.len();
        let digits = length - rest.len();
        if digits == 0 {
            return Err(Mistake::Form);
        }
        if rest.starts_with('.') {
            if digits > 2 {
                return self.joined_number(text, known | mask::DATE);
            }
            self.fields.micros = small(fraction_us(rest)?);
        } else if !rest.is_empty() {
            return Err(Mistake::Form);
        }
        if length == 3 && known & mask::DATE == mask::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(mask::DAY_OF_YEAR | mask::MONTH | mask::DAY);
        }
        let order = self.context.date_style.order;
        let is_year = length >= 3 || order == DateOrder::Ymd;
        const YEAR_MONTH: Mask = mask::YEAR | mask::MONTH;
        const MONTH_DAY: Mask = mask::MONTH | mask::DAY;
        let read = match known & mask::DATE {
            0 if is_year => mask::YEAR,
            0 if order == DateOrder::Dmy => mask::DAY,
            0 | mask::YEAR | mask::DAY => mask::MONTH,
            mask::MONTH if has_month_name && is_year => mask::YEAR,
            mask::MONTH => mask::DAY,
            YEAR_MONTH if has_month_name && length >= 3 && self.is_short_year => {
                // What was taken for the year was the day.
                self.fields.day = self.fields.year;
                self.fields.year = value;
                self.is_short_year = false;
                return Ok(mask::DAY);
            }
            YEAR_MONTH => mask::DAY,
            MONTH_DAY => mask::YEAR,
            mask::DATE => return self.joined_number(text, known),
            _ => return Err(Mistake::Form),
        };
        match read {
            mask::YEAR => {
                self.fields.year = value;
                self.is_short_year = length <= 2;
            }
            mask::MONTH => self.fields.month = value,
            _ => self.fields.day = value,
        }
        Ok(read)
    }

    /// `yyyymmdd`, `hhmmss`, `hhmm`, the times perhaps with a fraction.
    fn joined_number(&mut self, text: &str, known: Mask) -> Step<Mask> {
        let mut digits = text;
        if let Some(at) = text.find('.') {
            self.fields.micros = small(fraction_us(&text[at..])?);
            digits = &text[..at];
        } else if known & mask::DATE != mask::DATE && text.len() >= 6 {
            let (rest, day) = text.split_at(text.len() - 2);
            let (year, month) = rest.split_at(rest.len() - 2);
            self.fields.day = wrapped_int(day);
            self.fields.month = wrapped_int(month);
            self.fields.year = wrapped_int(year);
            if year.len() == 2 {
                self.is_short_year = true;
            }
            return Ok(mask::DATE);
        }
        if known & mask::TIME != mask::TIME && matches!(digits.len(), 4 | 6) {
            self.fields.hour = wrapped_int(&digits[..2]);
            self.fields.minute = wrapped_int(&digits[2..4]);
            self.fields.second = wrapped_int(&digits[4..]);
            return Ok(mask::TIME);
        }
        Err(Mistake::Form)
    }

    /// Checks year, month and day, and resolves what they depend on.
    fn validate(&mut self) -> Step {
        let fields = &mut self.fields;
        if self.mask & mask::YEAR != 0 && !self.is_julian {
            if self.before_christ {
                if fields.year <= 0 {
                    return Err(Mistake::Range);
                }
                fields.year = 1 - fields.year;
            } else if self.is_short_year {
                match fields.year {
                    ..0 => return Err(Mistake::Range),
                    0..70 => fields.year += 2000,
                    70..100 => fields.year += 1900,
                    _ => {}
                }
            } else if fields.year <= 0 {
                return Err(Mistake::Range);
            }
        }
        if self.mask & mask::DAY_OF_YEAR != 0 {
            let days = calendar::days_of(fields.year, 1, 1) + i64::from(self.day_of_year) - 1;
            self.set_date(days);
        }
        let fields = &self.fields;
        if self.mask & mask::MONTH != 0 && !(1..=12).contains(&fields.month) {
            return Err(Mistake::Order);
        }
        if self.mask & mask::DAY != 0 && !(1..=31).contains(&fields.day) {
            return Err(Mistake::Order);
        }
        if self.has(mask::DATE) && fields.day > calendar::month_days(fields.year, fields.month) {
            return Err(Mistake::Range);
        }
        Ok(())
    }

    fn apply_half_day(&mut self) -> Step {
        if self.half_day.is_some() && self.fields.hour > 12 {
            return Err(Mistake::Range);
        }
        match self.half_day {
            Some(HalfDay::Before) if self.fields.hour == 12 => self.fields.hour = 0,
            Some(HalfDay::After) if self.fields.hour != 12 => self.fields.hour += 12,
            _ => {}
        }
        Ok(())
    }

    fn finish_date(mut self) -> Step<Decoded> {
        if !self.has(mask::DATE) {
            return Err(Mistake::Form);
        }
        let has_daylight_word = self.mask & mask::DAYLIGHT_WORD != 0;
        if let Some(zone) = &self.late_zone {
            if has_daylight_word {
                return Err(Mistake::Form);
            }
            self.zone_s = zone.west_of(&self.fields);
        }
        if self.mask & mask::ZONE == 0 {
            if has_daylight_word {
                return Err(Mistake::Form);
            }
            self.zone_s = west_of(&self.context.time_zone, &self.fields);
        }
        Ok(Decoded::Point(self.fields, self.zone_s))
    }

    fn finish_time(mut self) -> Step<(Fields, i32)> {
        if self.fields.time_overflows() {
            return Err(Mistake::Range);
        }
        if !self.has(mask::TIME) {
            return Err(Mistake::Form);
        }
        let has_daylight_word = self.mask & mask::DAYLIGHT_WORD != 0;
        if has_daylight_word && (self.late_zone.is_some() || self.mask & mask::ZONE == 0) {
            return Err(Mistake::Form);
        }
        match &self.late_zone {
            Some(LateZone::Named(zone)) => {
                self.zone_s = match zone.only_offset() {
                    Some(offset) => -offset,
                    None if self.has(mask::DATE) => west_of(zone, &self.fields),
                    None => return Err(Mistake::Form),
                };
            }
            Some(zone) => self.zone_s = zone.west_of(&self.with_date()?),
            None => {}
        }
        if self.mask & mask::ZONE == 0 {
            self.zone_s = west_of(&self.context.time_zone, &self.with_date()?);
        }
        Ok((self.fields, self.zone_s))
    }

    /// The time on the date that was given, or on today's if none was.
    fn with_date(&self) -> Step<Fields> {
        if self.has(mask::DATE) {
            return Ok(self.fields);
        }
        if self.mask & mask::DATE != 0 {
            return Err(Mistake::Form);
        }
        let Fields { year, month, day, .. } = now(self.context).0;
        Ok(Fields { year, month, day, ..self.fields })
    }
}

impl LateZone {
    fn west_of(&self, fields: &Fields) -> i32 {
        match self {
            Self::Named(zone) => west_of(zone, fields),
            Self::Abbreviated(..) if !calendar::is_countable(fields.year, fields.month) => 0,
            Self::Abbreviated(zone, word) => -zone.offset_of_abbreviation(word, fields.local_s()),
        }
    }
}

/// The zone of a local time in seconds west of UTC.
pub(crate) fn west_of(zone: &TimeZone, fields: &Fields) -> i32 {
    if calendar::is_countable(fields.year, fields.month) {
        -zone.offset_of_local(fields.local_s())
    } else {
        0
    }
}

/// The integer at the start of a text (0 if there is none) and the rest, as C's `strtol` reads it.
fn leading_int(text: &str) -> Step<(i32, &str)> {
    let (value, rest) = leading_int8(text)?;
    i32::try_from(value).map(|value| (value, rest)).map_err(|_| Mistake::Range)
}

/// As [`leading_int`], for `bigint`.
pub(crate) fn leading_int8(text: &str) -> Step<(i64, &str)> {
    let signed = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = signed.find(|c: char| !c.is_ascii_digit()).unwrap_or(signed.len());
    if digits == 0 {
        return Ok((0, text));
    }
    let end = text.len() - signed.len() + digits;
    let value = text[..end].parse().map_err(|_| Mistake::Range)?;
    Ok((value, &text[end..]))
}

/// Digits as C's `atoi` reads them: what is too long is cut to 32 bits.
fn wrapped_int(digits: &str) -> i32 {
    if digits.is_empty() {
        return 0;
    }
    let value = digits.parse::<i64>().unwrap_or(i64::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "what PostgreSQL does; checked later")]
    let cut = value as i32;
    cut
}

/// The fraction that begins with a point; the point alone is 0.
pub(crate) fn fraction(text: &str) -> Step<f64> {
    if text == "." {
        return Ok(0.0);
    }
    let is_plain = text.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    if !is_plain {
        return Err(Mistake::Form);
    }
    text.parse().map_err(|_| Mistake::Form)
}

/// The fraction of a second in microseconds, rounded.
pub(crate) fn fraction_us(text: &str) -> Step<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
    let micros = (fraction(text)? * 1_000_000.0).round_ties_even() as i64;
    Ok(micros)
}

/// What two numbers with a colon are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    HoursMinutes,
    MinutesSeconds,
}

/// `hh:mm`, `hh:mm:ss` or `mm:ss.f`.
pub(crate) struct Clock {
    pub(crate) hour: i64,
    pub(crate) minute: i32,
    pub(crate) second: i32,
    pub(crate) micros: i64,
}

/// Reads a time with colons.
pub(crate) fn clock(text: &str, short: Short) -> Step<Clock> {
    let (hour, rest) = leading_int8(text)?;
    let rest = rest.strip_prefix(':').ok_or(Mistake::Form)?;
    let (minute, rest) = leading_int(rest)?;
    let mut clock = Clock { hour, minute, second: 0, micros: 0 };
    let shift = |clock: &mut Clock| {
        clock.second = clock.minute;
        clock.minute = i32::try_from(clock.hour).map_err(|_| Mistake::Range)?;
        clock.hour = 0;
        Ok(())
    };
    if rest.is_empty() {
        if short == Short::MinutesSeconds {
            shift(&mut clock)?;
        }
    } else if rest.starts_with('.') {
        clock.micros = fraction_us(rest)?;
        shift(&mut clock)?;
    } else {
        let rest = rest.strip_prefix(':').ok_or(Mistake::Form)?;
        let (second, rest) = leading_int(rest)?;
        clock.second = second;
        if rest.starts_with('.') {
            clock.micros = fraction_us(rest)?;
        } else if !rest.is_empty() {
            return Err(Mistake::Form);
        }
    }
    let is_clock = clock.hour >= 0
        && (0..60).contains(&clock.minute)
        && (0..=60).contains(&clock.second)
        && (0..=1_000_000).contains(&clock.micros);
    if is_clock { Ok(clock) } else { Err(Mistake::Range) }
}

/// `+hh`, `-hhmm`, `+hh:mm:ss`, in seconds **west** of UTC.
pub(crate) fn displacement(text: &str) -> Step<i32> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(Mistake::Form),
    };
    let number = |text| leading_int(text).map_err(|_| Mistake::Displacement);
    let (mut hours, mut rest) = number(&text[1..])?;
    let (mut minutes, mut seconds) = (0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        (minutes, rest) = number(after)?;
        if let Some(after) = rest.strip_prefix(':') {
            (seconds, rest) = number(after)?;
        }
    } else if rest.is_empty() && text.len() > 3 {
        minutes = hours % 100;
        hours /= 100;
    }
    let is_one =
        (0..=15).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    if !is_one {
        return Err(Mistake::Displacement);
    }
    if !rest.is_empty() {
        return Err(Mistake::Form);
    }
    Ok(-sign * (hours * 3600 + minutes * 60 + seconds))
}
