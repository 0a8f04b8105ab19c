//! `extract` and `date_part` (the manual's section 9.9.1).

use num_bigint::BigInt;

use super::arguments::{date, interval, time, timestamp, timetz};
use super::calendar::{
    self, DAY_US, EPOCH_JULIAN, Fields, SECOND_US, UNIX_EPOCH_DAYS, is_infinite,
};
use super::convert::{date_to_timestamp, to_local};
use super::keyword::{self, Keyword, Unit, UnitWord};
use crate::arguments::text;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::interval::output::IntervalFields;
use crate::registry::{Entry, entry};
use crate::value::{Interval, Numeric, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("extract_date", |_, args| {
        let part = Part::named(text(args, 0)?, "date");
        of_date(&part, date(args, 1)?)?.exact()
    }),
    entry("date_part(text,date)", |_, args| {
        let part = Part::named(text(args, 0)?, "timestamp without time zone");
        of_timestamp(&part, date_to_timestamp(date(args, 1)?)?, None)?.float()
    }),
    entry("extract_time", |_, args| time_part(args)?.exact()),
    entry("time_part", |_, args| time_part(args)?.float()),
    entry("extract_timetz", |_, args| timetz_part(args)?.exact()),
    entry("timetz_part", |_, args| timetz_part(args)?.float()),
    entry("extract_timestamp", |_, args| timestamp_part(args)?.exact()),
    entry("timestamp_part", |_, args| timestamp_part(args)?.float()),
    entry("extract_timestamptz", |call, args| timestamptz_part(call, args)?.exact()),
    entry("timestamptz_part", |call, args| timestamptz_part(call, args)?.float()),
    entry("extract_interval", |_, args| interval_part(args)?.exact()),
    entry("interval_part", |_, args| interval_part(args)?.float()),
];

/// A part's value, in the forms of both functions.
enum Answer {
    /// NULL: an infinite value has no such part.
    None,
    Whole(i64),
    /// So many millionths, or thousandths: the places that `extract` shows.
    Fraction(i64, u16),
    /// Days and microseconds of the day, for Julian days.
    Julian(i64, i64),
    /// Microseconds since 1970.
    Epoch(i64),
    /// Microseconds since midnight at a zone so many seconds west of UTC, as seconds at UTC.
    ClockEpoch(i64, i32),
    /// Intervals' seconds: calculated with the mean length of years.
    Span(Interval),
    /// An infinity.
    Infinite(bool),
}

impl Answer {
    fn exact(self) -> Result<Value> {
        let fixed = |unscaled: BigInt, scale: u16| {
            Numeric::checked(unscaled, i64::from(scale)).map(Value::Numeric)
        };
        match self {
            Self::None => Ok(Value::Null),
            Self::Whole(value) => fixed(value.into(), 0),
            Self::Fraction(value, scale) => fixed(value.into(), scale),
            Self::Epoch(micros) => match i64::try_from(since_1970(micros)) {
                Ok(since) => fixed(since.into(), 6),
                // At the end of time PostgreSQL divides, by the digits that a quotient has, and so rounds.
                Err(_) => {
                    let since = Numeric::checked(since_1970(micros), 0)?;
                    let seconds = since.divide(&Numeric::from(SECOND_US))?;
                    seconds.round(6).map(Value::Numeric)
                }
            },
            Self::ClockEpoch(micros, west_s) => {
                fixed((micros + i64::from(west_s) * SECOND_US).into(), 6)
            }
            Self::Julian(days, micros) => {
                let number = |value: i64| Numeric::checked(value.into(), 0);
                let of_day = number(micros)?.divide(&number(DAY_US)?)?;
                number(days)?.add(&of_day).map(Value::Numeric)
            }
            Self::Span(span) => {
                let quarters = 1_461 * i64::from(span.months / 12)
                    + 120 * i64::from(span.months % 12)
                    + 4 * i64::from(span.days);
                let seconds = BigInt::from(quarters) * 21_600;
                fixed(seconds * SECOND_US + span.time_us, 6)
            }
            Self::Infinite(true) => Ok(Value::Numeric(Numeric::NegativeInfinity)),
            Self::Infinite(false) => Ok(Value::Numeric(Numeric::PositiveInfinity)),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the answer is a double")]
    fn float(self) -> Result<Value> {
        Ok(Value::Float8(match self {
            Self::None => return Ok(Value::Null),
            Self::Whole(value) => value as f64,
            // Thousandths come from whole seconds and their fraction, as two doubles.
            Self::Fraction(value, 3) => {
                (value / SECOND_US) as f64 * 1000.0 + (value % SECOND_US) as f64 / 1000.0
            }
            Self::Fraction(value, _) => {
                (value / SECOND_US) as f64 + (value % SECOND_US) as f64 / 1_000_000.0
            }
            Self::Epoch(micros) => match micros.checked_sub(UNIX_EPOCH_DAYS * DAY_US) {
                Some(since) => since as f64 / 1_000_000.0,
                None => (micros as f64 - (UNIX_EPOCH_DAYS * DAY_US) as f64) / 1_000_000.0,
            },
            Self::ClockEpoch(micros, west_s) => micros as f64 / 1_000_000.0 + f64::from(west_s),
            Self::Julian(days, micros) => {
                let seconds = (micros / SECOND_US) as f64;
                let fraction = (micros % SECOND_US) as f64 / 1_000_000.0;
                days as f64 + (seconds + fraction) / 86_400.0
            }
            Self::Span(span) => {
                let seconds = span.time_us as f64 / 1_000_000.0
                    + 365.25 * 86_400.0 * f64::from(span.months / 12)
                    + 30.0 * 86_400.0 * f64::from(span.months % 12);
                seconds + 86_400.0 * f64::from(span.days)
            }
            Self::Infinite(true) => f64::NEG_INFINITY,
            Self::Infinite(false) => f64::INFINITY,
        }))
    }
}

fn since_1970(micros: i64) -> BigInt {
    BigInt::from(micros) - UNIX_EPOCH_DAYS * DAY_US
}

/// A part's name, and the type that is asked for it.
pub(crate) struct Part<'a> {
    name: String,
    type_name: &'a str,
    meaning: Meaning,
}

/// What a part's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Unit(Unit),
    Epoch,
    /// Another special word, such as `now`.
    Reserved,
    Unknown,
}

impl<'a> Part<'a> {
    /// Reads a part's name for `extract`.
    fn named(name: &str, type_name: &'a str) -> Self {
        let mut part = Self::of_unit(name, type_name);
        if part.meaning == Meaning::Unknown && keyword::find_unit(&part.name).is_none() {
            part.meaning = match keyword::find(&part.name) {
                Some(Keyword::Unit(unit)) => Meaning::Unit(unit),
                Some(Keyword::Epoch) => Meaning::Epoch,
                Some(
                    Keyword::Infinity
                    | Keyword::MinusInfinity
                    | Keyword::Now
                    | Keyword::Today
                    | Keyword::Tomorrow
                    | Keyword::Yesterday
                    | Keyword::AllBalls,
                ) => Meaning::Reserved,
                _ => Meaning::Unknown,
            };
        }
        part
    }

    /// Reads a part's name for `date_trunc`, which knows the intervals' units only.
    pub(crate) fn of_unit(name: &str, type_name: &'a str) -> Self {
        let lower = name.to_ascii_lowercase();
        let name = crate::io::plain::cut_name(&lower).to_owned();
        let meaning = match keyword::find_unit(&name) {
            Some(UnitWord::Unit(unit)) => Meaning::Unit(unit),
            _ => Meaning::Unknown,
        };
        Self { name, type_name, meaning }
    }

    /// The unit.
    ///
    /// # Errors
    /// `22023` for a name that is none.
    pub(crate) fn unit(&self) -> Result<Unit> {
        match self.meaning {
            Meaning::Unit(unit) => Ok(unit),
            _ => Err(self.not_recognized()),
        }
    }

    fn not_recognized(&self) -> PgError {
        let Self { name, type_name, .. } = self;
        PgError::new("22023", format!("unit \"{name}\" not recognized for type {type_name}"))
    }

    /// The error for a unit that the type does not have.
    pub(crate) fn not_supported(&self) -> PgError {
        let Self { name, type_name, .. } = self;
        PgError::unsupported(format!("unit \"{name}\" not supported for type {type_name}"))
    }
}

/// A part of the time of day.
fn of_clock(unit: Unit, fields: &Fields) -> Option<Answer> {
    let micros = i64::from(fields.second) * SECOND_US + i64::from(fields.micros);
    Some(match unit {
        Unit::Microsecond => Answer::Whole(micros),
        Unit::Millisecond => Answer::Fraction(micros, 3),
        Unit::Second => Answer::Fraction(micros, 6),
        Unit::Minute => Answer::Whole(fields.minute.into()),
        Unit::Hour => Answer::Whole(fields.hour.into()),
        _ => return None,
    })
}

/// A part of a zone in seconds west of UTC.
fn of_zone(unit: Unit, west_s: i32) -> Option<Answer> {
    let east_s = -i64::from(west_s);
    Some(Answer::Whole(match unit {
        Unit::Zone => east_s,
        Unit::ZoneHour => east_s / 3600,
        Unit::ZoneMinute => east_s / 60 % 60,
        _ => return None,
    }))
}

/// The ISO year and week of a day.
pub(crate) fn iso_week(days: i64) -> (i32, i32) {
    // A week belongs to the year that its Thursday belongs to.
    let thursday = days - (i64::from(calendar::weekday(days)) + 6) % 7 + 3;
    let (year, ..) = calendar::date_of(thursday);
    let week = (thursday - calendar::days_of(year, 1, 1)) / 7 + 1;
    (year, calendar::small(week))
}

/// A year as it is shown: there is no year 0.
fn shown_year(year: i32) -> i64 {
    if year > 0 { year.into() } else { i64::from(year) - 1 }
}

/// A part of the date.
fn of_calendar(unit: Unit, fields: &Fields) -> Option<Answer> {
    let days = fields.days();
    let year = i64::from(fields.year);
    let rounded = |size: i64| {
        if year > 0 { (year + size - 1) / size } else { -((size - 1 - (year - 1)) / size) }
    };
    Some(Answer::Whole(match unit {
        Unit::Day => fields.day.into(),
        Unit::Month => fields.month.into(),
        Unit::Quarter => i64::from((fields.month - 1) / 3 + 1),
        Unit::Week => iso_week(days).1.into(),
        Unit::Year => shown_year(fields.year),
        Unit::Decade if year >= 0 => year / 10,
        Unit::Decade => -((8 - (year - 1)) / 10),
        Unit::Century => rounded(100),
        Unit::Millennium => rounded(1000),
        Unit::IsoYear => shown_year(iso_week(days).0),
        Unit::DayOfWeek => calendar::weekday(days).into(),
        Unit::IsoDayOfWeek => i64::from((calendar::weekday(days) + 6) % 7 + 1),
        Unit::DayOfYear => days - calendar::days_of(fields.year, 1, 1) + 1,
        _ => return None,
    }))
}

/// Whether a part goes on and on, so that an infinite value has it.
fn is_monotonic(meaning: Meaning) -> bool {
    matches!(
        meaning,
        Meaning::Epoch
            | Meaning::Unit(
                Unit::Year
                    | Unit::Decade
                    | Unit::Century
                    | Unit::Millennium
                    | Unit::Julian
                    | Unit::IsoYear
            )
    )
}

fn of_date(part: &Part<'_>, days: i32) -> Result<Answer> {
    let fields = {
        let (year, month, day) = calendar::date_of(i64::from(days));
        Fields { year, month, day, ..Fields::default() }
    };
    if part.meaning == Meaning::Unknown {
        return Err(part.not_recognized());
    }
    if matches!(days, i32::MIN | i32::MAX) {
        if is_monotonic(part.meaning) {
            return Ok(Answer::Infinite(days == i32::MIN));
        }
        let has_part = matches!(part.meaning, Meaning::Unit(unit) if of_calendar(unit, &Fields::default()).is_some());
        return if has_part { Ok(Answer::None) } else { Err(part.not_supported()) };
    }
    match part.meaning {
        Meaning::Unit(Unit::Julian) => Ok(Answer::Whole(i64::from(days) + EPOCH_JULIAN)),
        Meaning::Unit(unit) => of_calendar(unit, &fields).ok_or_else(|| part.not_supported()),
        Meaning::Epoch => Ok(Answer::Whole((i64::from(days) - UNIX_EPOCH_DAYS) * 86_400)),
        _ => Err(part.not_supported()),
    }
}

fn timestamp_part(args: &[Value]) -> Result<Answer> {
    let part = Part::named(text(args, 0)?, "timestamp without time zone");
    of_timestamp(&part, timestamp(args, 1)?, None)
}

fn timestamptz_part(call: &CallContext<'_>, args: &[Value]) -> Result<Answer> {
    let part = Part::named(text(args, 0)?, "timestamp with time zone");
    of_timestamp(&part, timestamp(args, 1)?, Some(call))
}

/// `zoned` gives the session's zone for an instant.
fn of_timestamp(part: &Part<'_>, micros: i64, zoned: Option<&CallContext<'_>>) -> Result<Answer> {
    if part.meaning == Meaning::Unknown {
        return Err(part.not_recognized());
    }
    if is_infinite(micros) {
        if is_monotonic(part.meaning) {
            return Ok(Answer::Infinite(micros == i64::MIN));
        }
        let nothing = Fields { month: 1, ..Fields::default() };
        let has_part = matches!(part.meaning, Meaning::Unit(unit)
            if of_clock(unit, &nothing).is_some()
                || of_calendar(unit, &nothing).is_some()
                || zoned.is_some() && of_zone(unit, 0).is_some());
        return if has_part { Ok(Answer::None) } else { Err(part.not_supported()) };
    }
    let unit = match part.meaning {
        Meaning::Unit(unit) => unit,
        Meaning::Epoch => return Ok(Answer::Epoch(micros)),
        _ => return Err(part.not_supported()),
    };
    let local = zoned.map_or(micros, |call| to_local(micros, call.context));
    if unit == Unit::Julian {
        let days = local.div_euclid(DAY_US) + EPOCH_JULIAN;
        return Ok(Answer::Julian(days, local.rem_euclid(DAY_US)));
    }
    let fields = Fields::of_timestamp(local);
    let zone = zoned.and_then(|_| {
        let east_s = (local - micros) / SECOND_US;
        of_zone(unit, calendar::small(-east_s))
    });
    zone.or_else(|| of_clock(unit, &fields))
        .or_else(|| of_calendar(unit, &fields))
        .ok_or_else(|| part.not_supported())
}

fn time_part(args: &[Value]) -> Result<Answer> {
    let part = Part::named(text(args, 0)?, "time without time zone");
    let micros = time(args, 1)?;
    match part.meaning {
        Meaning::Unit(unit) => {
            of_clock(unit, &Fields::of_time(micros)).ok_or_else(|| part.not_supported())
        }
        Meaning::Epoch => Ok(Answer::Fraction(micros, 6)),
        _ => Err(part.not_recognized()),
    }
}

fn timetz_part(args: &[Value]) -> Result<Answer> {
    let part = Part::named(text(args, 0)?, "time with time zone");
    let value = timetz(args, 1)?;
    match part.meaning {
        Meaning::Unit(unit) => of_zone(unit, value.zone_s)
            .or_else(|| of_clock(unit, &Fields::of_time(value.time_us)))
            .ok_or_else(|| part.not_supported()),
        Meaning::Epoch => Ok(Answer::ClockEpoch(value.time_us, value.zone_s)),
        _ => Err(part.not_recognized()),
    }
}

fn interval_part(args: &[Value]) -> Result<Answer> {
    let part = Part::named(text(args, 0)?, "interval");
    let value = interval(args, 1)?;
    let unit = match part.meaning {
        Meaning::Unit(unit) => unit,
        Meaning::Epoch => return Ok(Answer::Span(value)),
        _ => return Err(part.not_recognized()),
    };
    let fields = IntervalFields::from(value);
    let micros = i64::from(fields.seconds) * SECOND_US + i64::from(fields.micros);
    Ok(match unit {
        Unit::Microsecond => Answer::Whole(micros),
        Unit::Millisecond => Answer::Fraction(micros, 3),
        Unit::Second => Answer::Fraction(micros, 6),
        Unit::Minute => Answer::Whole(fields.minutes.into()),
        Unit::Hour => Answer::Whole(fields.hours),
        Unit::Day => Answer::Whole(fields.days),
        Unit::Month => Answer::Whole(fields.months.into()),
        Unit::Quarter => Answer::Whole(i64::from(fields.months / 3 + 1)),
        Unit::Year => Answer::Whole(fields.years.into()),
        Unit::Decade => Answer::Whole(i64::from(fields.years / 10)),
        Unit::Century => Answer::Whole(i64::from(fields.years / 100)),
        Unit::Millennium => Answer::Whole(i64::from(fields.years / 1000)),
        _ => return Err(part.not_supported()),
    })
}
