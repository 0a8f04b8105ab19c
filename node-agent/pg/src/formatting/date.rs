//! The template patterns of dates and times (the manual's table 9.27).

use super::template::Letters;

/// What a pattern of a date stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DatePattern {
    /// `A.D.`, `B.C.`, `AD`, `BC`.
    Era(Letters, Dots),
    /// `A.M.`, `P.M.`, `AM`, `PM`.
    HalfDay(Letters, Dots),
    Century,
    /// `DAY`.
    Weekday(Letters),
    /// `DY`.
    WeekdayShort(Letters),
    /// `DDD`.
    DayOfYear,
    /// `DD`.
    Day,
    /// `D`: from 1, Sunday.
    WeekdayNumber,
    /// `FF1` to `FF6`.
    Fraction(u8),
    /// `FX`: from here on the input must have the template's widths.
    Exact,
    /// `HH24`.
    Hour,
    /// `HH12`, `HH`.
    HourOfHalf,
    /// `IDDD`.
    IsoDayOfYear,
    /// `ID`: from 1, Monday.
    IsoWeekday,
    /// `IW`.
    IsoWeek,
    /// `IYYY` and with fewer digits.
    IsoYear(u8),
    /// `J`.
    Julian,
    Minute,
    /// `MM`.
    MonthNumber,
    /// `MONTH`.
    Month(Letters),
    /// `MON`.
    MonthShort(Letters),
    Millisecond,
    Microsecond,
    /// `OF`.
    Offset,
    Quarter,
    /// `RM`.
    MonthRoman(Letters),
    /// `SSSS`, `SSSSS`.
    SecondOfDay,
    Second,
    /// `TZH`.
    ZoneHour,
    /// `TZM`.
    ZoneMinute,
    /// `TZ`.
    Zone(Letters),
    /// `WW`.
    Week,
    /// `W`.
    WeekOfMonth,
    /// `Y,YYY`.
    YearWithComma,
    /// `YYYY` and with fewer digits.
    Year(u8),
}

/// Whether an abbreviation has points in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dots {
    With,
    Without,
}

/// Which calendar a pattern of a date belongs to; one template must not mix them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Convention {
    Gregorian,
    IsoWeek,
}

impl DatePattern {
    /// Whether input for this pattern begins with a digit: then the number before it has a fixed width.
    pub(super) fn is_digits(self) -> bool {
        !matches!(
            self,
            Self::Era(..)
                | Self::HalfDay(..)
                | Self::Weekday(_)
                | Self::WeekdayShort(_)
                | Self::Exact
                | Self::Month(_)
                | Self::MonthShort(_)
                | Self::Offset
                | Self::MonthRoman(_)
                | Self::ZoneHour
                | Self::Zone(_)
        )
    }

    /// The calendar that this pattern is of, if it is of one alone.
    pub(super) fn convention(self) -> Option<Convention> {
        match self {
            Self::DayOfYear
            | Self::Day
            | Self::WeekdayNumber
            | Self::MonthNumber
            | Self::Month(_)
            | Self::MonthShort(_)
            | Self::MonthRoman(_)
            | Self::Week
            | Self::WeekOfMonth
            | Self::YearWithComma
            | Self::Year(_) => Some(Convention::Gregorian),
            Self::IsoDayOfYear | Self::IsoWeekday | Self::IsoWeek | Self::IsoYear(_) => {
                Some(Convention::IsoWeek)
            }
            _ => None,
        }
    }
}

use DatePattern as P;
use Dots::{With, Without};
use Letters::{Lower, Title, Upper};

/// Every spelling. Of words that begin alike the longer one stands first.
pub(super) const VOCABULARY: &[(&str, DatePattern)] = &[
    ("A.D.", P::Era(Upper, With)),
    ("A.M.", P::HalfDay(Upper, With)),
    ("AD", P::Era(Upper, Without)),
    ("AM", P::HalfDay(Upper, Without)),
    ("B.C.", P::Era(Upper, With)),
    ("BC", P::Era(Upper, Without)),
    ("CC", P::Century),
    ("DAY", P::Weekday(Upper)),
    ("DDD", P::DayOfYear),
    ("DD", P::Day),
    ("DY", P::WeekdayShort(Upper)),
    ("Day", P::Weekday(Title)),
    ("Dy", P::WeekdayShort(Title)),
    ("D", P::WeekdayNumber),
    ("FF1", P::Fraction(1)),
    ("FF2", P::Fraction(2)),
    ("FF3", P::Fraction(3)),
    ("FF4", P::Fraction(4)),
    ("FF5", P::Fraction(5)),
    ("FF6", P::Fraction(6)),
    ("FX", P::Exact),
    ("HH24", P::Hour),
    ("HH12", P::HourOfHalf),
    ("HH", P::HourOfHalf),
    ("IDDD", P::IsoDayOfYear),
    ("ID", P::IsoWeekday),
    ("IW", P::IsoWeek),
    ("IYYY", P::IsoYear(4)),
    ("IYY", P::IsoYear(3)),
    ("IY", P::IsoYear(2)),
    ("I", P::IsoYear(1)),
    ("J", P::Julian),
    ("MI", P::Minute),
    ("MM", P::MonthNumber),
    ("MONTH", P::Month(Upper)),
    ("MON", P::MonthShort(Upper)),
    ("MS", P::Millisecond),
    ("Month", P::Month(Title)),
    ("Mon", P::MonthShort(Title)),
    ("OF", P::Offset),
    ("P.M.", P::HalfDay(Upper, With)),
    ("PM", P::HalfDay(Upper, Without)),
    ("Q", P::Quarter),
    ("RM", P::MonthRoman(Upper)),
    ("SSSSS", P::SecondOfDay),
    ("SSSS", P::SecondOfDay),
    ("SS", P::Second),
    ("TZH", P::ZoneHour),
    ("TZM", P::ZoneMinute),
    ("TZ", P::Zone(Upper)),
    ("US", P::Microsecond),
    ("WW", P::Week),
    ("W", P::WeekOfMonth),
    ("Y,YYY", P::YearWithComma),
    ("YYYY", P::Year(4)),
    ("YYY", P::Year(3)),
    ("YY", P::Year(2)),
    ("Y", P::Year(1)),
    ("a.d.", P::Era(Lower, With)),
    ("a.m.", P::HalfDay(Lower, With)),
    ("ad", P::Era(Lower, Without)),
    ("am", P::HalfDay(Lower, Without)),
    ("b.c.", P::Era(Lower, With)),
    ("bc", P::Era(Lower, Without)),
    ("cc", P::Century),
    ("day", P::Weekday(Lower)),
    ("ddd", P::DayOfYear),
    ("dd", P::Day),
    ("dy", P::WeekdayShort(Lower)),
    ("d", P::WeekdayNumber),
    ("ff1", P::Fraction(1)),
    ("ff2", P::Fraction(2)),
    ("ff3", P::Fraction(3)),
    ("ff4", P::Fraction(4)),
    ("ff5", P::Fraction(5)),
    ("ff6", P::Fraction(6)),
    ("fx", P::Exact),
    ("hh24", P::Hour),
    ("hh12", P::HourOfHalf),
    ("hh", P::HourOfHalf),
    ("iddd", P::IsoDayOfYear),
    ("id", P::IsoWeekday),
    ("iw", P::IsoWeek),
    ("iyyy", P::IsoYear(4)),
    ("iyy", P::IsoYear(3)),
    ("iy", P::IsoYear(2)),
    ("i", P::IsoYear(1)),
    ("j", P::Julian),
    ("mi", P::Minute),
    ("mm", P::MonthNumber),
    ("month", P::Month(Lower)),
    ("mon", P::MonthShort(Lower)),
    ("ms", P::Millisecond),
    ("of", P::Offset),
    ("p.m.", P::HalfDay(Lower, With)),
    ("pm", P::HalfDay(Lower, Without)),
    ("q", P::Quarter),
    ("rm", P::MonthRoman(Lower)),
    ("sssss", P::SecondOfDay),
    ("ssss", P::SecondOfDay),
    ("ss", P::Second),
    ("tzh", P::ZoneHour),
    ("tzm", P::ZoneMinute),
    ("tz", P::Zone(Lower)),
    ("us", P::Microsecond),
    ("ww", P::Week),
    ("w", P::WeekOfMonth),
    ("y,yyy", P::YearWithComma),
    ("yyyy", P::Year(4)),
    ("yyy", P::Year(3)),
    ("yy", P::Year(2)),
    ("y", P::Year(1)),
];

/// The Roman numerals of the months.
pub(super) const ROMAN_MONTHS: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
