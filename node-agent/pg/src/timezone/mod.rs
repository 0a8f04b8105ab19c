//! Time zones: names, abbreviations, offsets and POSIX specifications (the manual's section 8.5.3, appendix B.5).
//!
//! Zone rules come from the IANA database that is compiled in. Instants and local times are seconds since
//! 2000-01-01 00:00:00, PostgreSQL's epoch.

pub(crate) mod abbreviation;

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZoneDatabase};

use crate::error::{PgError, Result};

/// A checked `TimeZone` setting.
#[derive(Debug, Clone)]
pub struct TimeZone {
    name: Arc<str>,
    rules: Rules,
}

#[derive(Debug, Clone)]
enum Rules {
    /// One offset for ever, in seconds east of UTC.
    Fixed { offset_s: i32, abbreviation: Arc<str> },
    /// Offsets by the database's rules.
    Changing(jiff::tz::TimeZone),
    /// Offsets by a specification's rules, with its abbreviations.
    Specified { rules: jiff::tz::TimeZone, standard: Arc<str>, daylight: Arc<str> },
}

/// The Unix time of 2000-01-01 00:00:00 UTC, in seconds.
const EPOCH_S: i64 = 946_684_800;
/// The seconds of 400 Gregorian years, after which the calendar, and so every zone's last rule, repeats.
const CYCLE_S: i64 = 146_097 * 86_400;
/// No zone had rules before this time (year 1000): its local mean time counts.
const FIRST_S: i64 = -31_556_908_800;
/// After this time (year 8000) only the last rule counts.
const LAST_S: i64 = 189_345_513_600;

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl TimeZone {
    /// UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".into(), rules: Rules::Fixed { offset_s: 0, abbreviation: "UTC".into() } }
    }

    /// The name as `SHOW TimeZone` prints it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks a value for the setting `TimeZone`: a zone's name, a number of hours, a POSIX specification or
    /// `INTERVAL '…'`.
    ///
    /// # Errors
    /// `22023` for what PostgreSQL does not take as a zone.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            let message = format!("invalid value for parameter \"TimeZone\": \"{text}\"");
            PgError::new("22023", message)
        };
        if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("interval")) {
            return Self::of_interval(&text[8..], &invalid);
        }
        if let Ok(hours) = text.trim_start().parse::<f64>() {
            let offset = -hours * 3600.0;
            if !offset.is_finite() || offset.abs() > 1e9 {
                return Err(invalid().with_detail("UTC timezone offset is out of range."));
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked above")]
            return Self::west_of_utc(offset as i64)
                .ok_or_else(|| invalid().with_detail("UTC timezone offset is out of range."));
        }
        let zone = named(text).ok_or_else(invalid)?;
        // PostgreSQL looks for leap seconds in the database by asking for the seconds of its own epoch.
        if zone.offset_at(0) % 60 != 0 || text.to_ascii_lowercase().starts_with("right/") {
            let message = format!("time zone \"{text}\" appears to use leap seconds");
            return Err(PgError::new("22023", message)
                .with_detail("PostgreSQL does not support leap seconds."));
        }
        Ok(zone)
    }

    fn of_interval(text: &str, invalid: &dyn Fn() -> PgError) -> Result<Self> {
        let text = text.trim_start().strip_prefix('\'').ok_or_else(invalid)?;
        let text = text.strip_suffix('\'').ok_or_else(invalid)?;
        let interval = crate::interval::input(text, -1, crate::context::IntervalStyle::Postgres)?;
        if interval.months != 0 {
            return Err(invalid().with_detail("Cannot specify months in time zone interval."));
        }
        if interval.days != 0 {
            return Err(invalid().with_detail("Cannot specify days in time zone interval."));
        }
        Self::west_of_utc(-(interval.time_us / 1_000_000))
            .ok_or_else(|| invalid().with_detail("UTC timezone offset is out of range."))
    }

    /// The zone that is always so many seconds **west** of UTC, named as PostgreSQL names it.
    pub(crate) fn west_of_utc(west_s: i64) -> Option<Self> {
        let distance = west_s.abs();
        let mut shown = format!("{:02}", distance / 3600);
        if distance % 3600 != 0 {
            let _ = write!(shown, ":{:02}", distance / 60 % 60);
            if distance % 60 != 0 {
                let _ = write!(shown, ":{:02}", distance % 60);
            }
        }
        let (name, other) = if west_s > 0 { ('-', '+') } else { ('+', '-') };
        named(&format!("<{name}{shown}>{other}{shown}"))
    }

    /// The offset at an instant, in seconds east of UTC.
    pub fn offset_at(&self, instant_s: i64) -> i32 {
        match &self.rules {
            Rules::Fixed { offset_s, .. } => *offset_s,
            Rules::Changing(zone) => zone.to_offset(timestamp(instant_s)).seconds(),
            Rules::Specified { rules: zone, .. } => {
                zone.to_offset(timestamp(recurring(instant_s))).seconds()
            }
        }
    }

    /// The offset that a local time is taken to mean, in seconds east of UTC: in a gap the one before it, where the
    /// clock is set back the one after.
    pub fn offset_of_local(&self, local_s: i64) -> i32 {
        match &self.rules {
            Rules::Fixed { offset_s, .. } => *offset_s,
            Rules::Changing(zone) | Rules::Specified { rules: zone, .. } => {
                let is_specified = matches!(self.rules, Rules::Specified { .. });
                let local_s = if is_specified { recurring(local_s) } else { local_s };
                let local = Offset::UTC.to_datetime(timestamp(local_s));
                match zone.to_ambiguous_timestamp(local).offset() {
                    AmbiguousOffset::Unambiguous { offset } => offset,
                    AmbiguousOffset::Gap { before, .. } => before,
                    AmbiguousOffset::Fold { after, .. } => after,
                }
                .seconds()
            }
        }
    }

    /// The abbreviation in use at an instant (`CET`, `+03`).
    pub fn abbreviation_at(&self, instant_s: i64) -> String {
        match &self.rules {
            Rules::Fixed { abbreviation, .. } => abbreviation.to_string(),
            Rules::Changing(zone) => {
                zone.to_offset_info(timestamp(instant_s)).abbreviation().to_owned()
            }
            Rules::Specified { rules, standard, daylight } => {
                let instant = timestamp(recurring(instant_s));
                let is_daylight = rules.to_offset_info(instant).dst().is_dst();
                if is_daylight { daylight.to_string() } else { standard.to_string() }
            }
        }
    }

    /// The offset, if the zone never had another one.
    pub(crate) fn only_offset(&self) -> Option<i32> {
        match &self.rules {
            Rules::Fixed { offset_s, .. } => Some(*offset_s),
            Rules::Changing(zone) | Rules::Specified { rules: zone, .. } => {
                let first = self.offset_at(FIRST_S);
                let mut changes = zone.following(timestamp(FIRST_S)).take(500);
                changes.all(|change| change.offset().seconds() == first).then_some(first)
            }
        }
    }

    /// What the zone meant by an abbreviation at an instant: its latest meaning until then, or else its first one.
    fn meaning_of(&self, abbreviation: &str, instant_s: i64) -> Option<i32> {
        let Rules::Changing(zone) = &self.rules else { return None };
        // The changes until the instant include one at the instant itself.
        let after = timestamp(instant_s.saturating_add(1));
        let means = |change: &jiff::tz::TimeZoneTransition<'_>| {
            change.abbreviation().eq_ignore_ascii_case(abbreviation)
        };
        zone.preceding(after)
            .take(500)
            .find(means)
            .or_else(|| zone.following(timestamp(instant_s)).take(500).find(means))
            .map(|change| change.offset().seconds())
    }

    /// The offset of a local time written with one of the zone's abbreviations.
    pub(crate) fn offset_of_abbreviation(&self, abbreviation: &str, local_s: i64) -> i32 {
        let usual = self.offset_of_local(local_s);
        let instant_s = local_s.saturating_sub(i64::from(usual));
        self.meaning_of(abbreviation, instant_s).unwrap_or(usual)
    }

    /// The offset at an instant that one of the zone's abbreviations means.
    pub(crate) fn offset_of_abbreviation_at(&self, abbreviation: &str, instant_s: i64) -> i32 {
        self.meaning_of(abbreviation, instant_s).unwrap_or_else(|| self.offset_at(instant_s))
    }
}

/// The same moment of the calendar, moved by whole cycles to where the database's years reach.
fn timestamp(epoch_s: i64) -> Timestamp {
    let seconds = if epoch_s > LAST_S {
        LAST_S - CYCLE_S + (epoch_s - LAST_S) % CYCLE_S
    } else {
        epoch_s.max(FIRST_S)
    };
    Timestamp::from_second(seconds + EPOCH_S).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The same moment of the calendar for a specification, whose rules hold for all the past too.
fn recurring(epoch_s: i64) -> i64 {
    if epoch_s >= FIRST_S {
        return epoch_s;
    }
    FIRST_S + epoch_s.saturating_sub(FIRST_S).rem_euclid(CYCLE_S)
}

/// A zone by its name in any case, or by a POSIX specification; `None` for neither.
pub(crate) fn named(name: &str) -> Option<TimeZone> {
    if name.len() > 255 {
        return None;
    }
    let fixed_utc = |name: &str| TimeZone {
        name: name.into(),
        rules: Rules::Fixed { offset_s: 0, abbreviation: "UTC".into() },
    };
    if name.eq_ignore_ascii_case("UTC") {
        return Some(fixed_utc("UTC"));
    }
    if name.eq_ignore_ascii_case("GMT") {
        let rules = Rules::Fixed { offset_s: 0, abbreviation: "GMT".into() };
        return Some(TimeZone { name: "GMT".into(), rules });
    }
    let lower = name.to_ascii_lowercase();
    let (prefix, plain) = match lower.strip_prefix("posix/") {
        Some(plain) => ("posix/", plain),
        None => ("", lower.strip_prefix("right/").unwrap_or(&lower)),
    };
    match DATABASE.get(plain) {
        Ok(zone) => {
            let name = zone.iana_name().unwrap_or(plain);
            let name = format!("{prefix}{name}").into();
            Some(TimeZone { name, rules: Rules::Changing(zone) })
        }
        Err(_) => posix(&name.to_ascii_uppercase()),
    }
}

/// `EST5`, `<+02>-2`, `CET-1CEST,M3.5.0,M10.5.0/3`: offsets in it count westwards.
fn posix(specification: &str) -> Option<TimeZone> {
    let (standard, rest) = zone_name(specification)?;
    let (west_s, rest) = posix_offset(rest)?;
    let name: Arc<str> = specification.into();
    if rest.is_empty() {
        let rules = Rules::Fixed { offset_s: -west_s, abbreviation: standard.into() };
        return Some(TimeZone { name, rules });
    }
    let (daylight, rest) = zone_name(rest)?;
    if daylight.is_empty() {
        return None;
    }
    let (daylight_west_s, rest) = match rest.chars().next() {
        None | Some(',') => (west_s - 3600, rest),
        Some(_) => posix_offset(rest)?,
    };
    let rules = if rest.is_empty() { ",M3.2.0,M11.1.0" } else { rest };
    let offset = |west_s: i32| {
        let sign = if west_s < 0 { "-" } else { "" };
        let distance = west_s.abs();
        format!("{sign}{}:{:02}:{:02}", distance / 3600, distance / 60 % 60, distance % 60)
    };
    // The names may be any, which the rules' reader does not take.
    let written = format!("STD{}DST{}{rules}", offset(west_s), offset(daylight_west_s));
    let rules = Rules::Specified {
        rules: jiff::tz::TimeZone::posix(&written).ok()?,
        standard: standard.into(),
        daylight: daylight.into(),
    };
    Some(TimeZone { name, rules })
}

/// The name at the start of a specification, and the rest.
fn zone_name(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('<') {
        return quoted.split_once('>');
    }
    let end = text
        .find(|c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | '+'))
        .unwrap_or(text.len());
    Some(text.split_at(end))
}

/// `[+-]hh[:mm[:ss]]` at the start of a specification in seconds, and the rest.
fn posix_offset(text: &str) -> Option<(i32, &str)> {
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (hours, mut rest) = number(text, 167)?;
    let mut seconds = hours * 3600;
    if let Some(after) = rest.strip_prefix(':') {
        let (minutes, after) = number(after, 59)?;
        seconds += minutes * 60;
        rest = after;
        if let Some(after) = rest.strip_prefix(':') {
            let (more, after) = number(after, 60)?;
            seconds += more;
            rest = after;
        }
    }
    Some((sign * seconds, rest))
}

/// A number of digits at the start of a text, not above `max`, and the rest.
fn number(text: &str, max: i32) -> Option<(i32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    digits.parse().ok().filter(|value| *value <= max).map(|value| (value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name as shown, and the offset on 2024-07-01 12:00:00 UTC.
    fn check(text: &str, expected: &str) {
        let answer = match TimeZone::parse(text) {
            Ok(zone) => format!("{} {}", zone.name(), zone.offset_at(773_150_400)),
            Err(error) => format!("{}: {}", error.sqlstate(), error.message()),
        };
        assert_eq!(answer, expected, "for {text}");
    }

    #[test]
    fn settings_are_named_as_postgresql_names_them() {
        check("utc", "UTC 0");
        check("america/new_york", "America/New_York -14400");
        check("est", "EST -18000");
        check("5.5", "<+05:30>-05:30 19800");
        check("-5.5", "<-05:30>+05:30 -19800");
        check("+02", "<+02>-02 7200");
        check("-3:30", "-3:30 12600");
        check("foo5", "FOO5 -18000");
        check("foo5bar", "FOO5BAR -14400");
        check("foo5bar6,M3.2.0/3,M11.1.0", "FOO5BAR6,M3.2.0/3,M11.1.0 -21600");
        check("interval '3:30'", "<+03:30>-03:30 12600");
        check("PST", "22023: invalid value for parameter \"TimeZone\": \"PST\"");
        check("168", "22023: invalid value for parameter \"TimeZone\": \"168\"");
        check("foo168", "22023: invalid value for parameter \"TimeZone\": \"foo168\"");
        check("<abc>-3:30:15", "22023: time zone \"<abc>-3:30:15\" appears to use leap seconds");
    }

    #[test]
    fn gaps_take_the_offset_before_and_folds_the_one_after() {
        let zone = TimeZone::parse("America/New_York").expect("a zone");
        // 2024-03-10 02:30 does not exist; 2024-11-03 01:30 exists twice.
        assert_eq!(zone.offset_of_local(763_353_000), -18_000);
        assert_eq!(zone.offset_of_local(783_912_600), -18_000);
        assert_eq!(zone.offset_of_local(773_150_400), -14_400);
        // Far beyond the database's years the last rule goes on.
        assert_eq!(zone.offset_of_local(773_150_400 + 500 * CYCLE_S), -14_400);
        assert_eq!(zone.offset_at(-200_000_000_000), -17_762);
    }
}
