//! The words of dates, times and intervals (the manual's appendices B.1 and B.2, section 8.5.1.4).

/// A unit of time, or a part that `extract` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Julian,
    Zone,
    ZoneHour,
    ZoneMinute,
    /// ISO 8601's `T`.
    Time,
}

/// What a word means where a date or time is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Infinity,
    MinusInfinity,
    Epoch,
    Now,
    Today,
    Tomorrow,
    Yesterday,
    AllBalls,
    /// `at`, `on`.
    Ignored,
    Month(i32),
    /// Sunday is 0.
    Weekday(i32),
    Am,
    Pm,
    Ad,
    Bc,
    /// `dst`: an hour more than the zone before it.
    Daylight,
    Unit(Unit),
    /// ISO 8601's `T`: a time follows.
    IsoTime,
}

/// PostgreSQL compares the first ten letters.
fn cut(word: &str) -> &str {
    word.get(..10).unwrap_or(word)
}

/// Finds a word in lower case.
pub(crate) fn find(word: &str) -> Option<Keyword> {
    let month = |names: &[&str]| names.contains(&word);
    Some(match cut(word) {
        "-infinity" => Keyword::MinusInfinity,
        "infinity" => Keyword::Infinity,
        "epoch" => Keyword::Epoch,
        "now" => Keyword::Now,
        "today" => Keyword::Today,
        "tomorrow" => Keyword::Tomorrow,
        "yesterday" => Keyword::Yesterday,
        "allballs" => Keyword::AllBalls,
        "at" | "on" => Keyword::Ignored,
        "ad" => Keyword::Ad,
        "bc" => Keyword::Bc,
        "am" => Keyword::Am,
        "pm" => Keyword::Pm,
        "dst" => Keyword::Daylight,
        "t" => Keyword::IsoTime,
        "d" => Keyword::Unit(Unit::Day),
        "dow" => Keyword::Unit(Unit::DayOfWeek),
        "doy" => Keyword::Unit(Unit::DayOfYear),
        "h" => Keyword::Unit(Unit::Hour),
        "isodow" => Keyword::Unit(Unit::IsoDayOfWeek),
        "isoyear" => Keyword::Unit(Unit::IsoYear),
        "j" | "jd" | "julian" => Keyword::Unit(Unit::Julian),
        "m" => Keyword::Unit(Unit::Month),
        "mm" => Keyword::Unit(Unit::Minute),
        "s" => Keyword::Unit(Unit::Second),
        "y" => Keyword::Unit(Unit::Year),
        "sun" | "sunday" => Keyword::Weekday(0),
        "mon" | "monday" => Keyword::Weekday(1),
        "tue" | "tues" | "tuesday" => Keyword::Weekday(2),
        "wed" | "weds" | "wednesday" => Keyword::Weekday(3),
        "thu" | "thur" | "thurs" | "thursday" => Keyword::Weekday(4),
        "fri" | "friday" => Keyword::Weekday(5),
        "sat" | "saturday" => Keyword::Weekday(6),
        _ => {
            let number = MONTH_WORDS.iter().position(|names| month(names))?;
            Keyword::Month(i32::try_from(number).ok()? + 1)
        }
    })
}

const MONTH_WORDS: [&[&str]; 12] = [
    &["jan", "january"],
    &["feb", "february"],
    &["mar", "march"],
    &["apr", "april"],
    &["may"],
    &["jun", "june"],
    &["jul", "july"],
    &["aug", "august"],
    &["sep", "sept", "september"],
    &["oct", "october"],
    &["nov", "november"],
    &["dec", "december"],
];

/// What a word means where an interval is read or a part is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitWord {
    Unit(Unit),
    /// `ago`: the whole is negative.
    Ago,
}

/// Finds a unit's word in lower case.
pub(crate) fn find_unit(word: &str) -> Option<UnitWord> {
    Some(UnitWord::Unit(match cut(word) {
        "ago" => return Some(UnitWord::Ago),
        "c" | "cent" | "centuries" | "century" => Unit::Century,
        "d" | "day" | "days" => Unit::Day,
        "dec" | "decade" | "decades" | "decs" => Unit::Decade,
        "h" | "hour" | "hours" | "hr" | "hrs" => Unit::Hour,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "microsecon" | "us" | "usec" | "usecond" | "useconds" | "usecs" => Unit::Microsecond,
        "mil" | "millennia" | "millennium" | "mils" => Unit::Millennium,
        "millisecon" | "ms" | "msec" | "msecond" | "mseconds" | "msecs" => Unit::Millisecond,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "qtr" | "quarter" => Unit::Quarter,
        "s" | "sec" | "second" | "seconds" | "secs" => Unit::Second,
        "timezone" => Unit::Zone,
        "timezone_h" => Unit::ZoneHour,
        "timezone_m" => Unit::ZoneMinute,
        "w" | "week" | "weeks" => Unit::Week,
        "y" | "year" | "years" | "yr" | "yrs" => Unit::Year,
        _ => return None,
    }))
}
