//! Which parts of a date or time have been read: a set of bits.

pub(crate) type Mask = u32;

pub(crate) const SPECIAL: Mask = 1 << 0;
pub(crate) const MONTH: Mask = 1 << 1;
pub(crate) const YEAR: Mask = 1 << 2;
pub(crate) const DAY: Mask = 1 << 3;
pub(crate) const ZONE: Mask = 1 << 5;
/// A zone's daylight-saving time, or the word `dst`.
pub(crate) const DAYLIGHT: Mask = 1 << 6;
pub(crate) const DYNAMIC_ZONE: Mask = 1 << 7;
pub(crate) const HALF_DAY: Mask = 1 << 9;
pub(crate) const HOUR: Mask = 1 << 10;
pub(crate) const MINUTE: Mask = 1 << 11;
pub(crate) const SECOND: Mask = 1 << 12;
pub(crate) const MILLISECOND: Mask = 1 << 13;
pub(crate) const MICROSECOND: Mask = 1 << 14;
pub(crate) const DAY_OF_YEAR: Mask = 1 << 15;
pub(crate) const WEEKDAY: Mask = 1 << 16;
pub(crate) const ERA: Mask = 1 << 18;
pub(crate) const WEEK: Mask = 1 << 24;
pub(crate) const DECADE: Mask = 1 << 25;
pub(crate) const CENTURY: Mask = 1 << 26;
pub(crate) const MILLENNIUM: Mask = 1 << 27;
pub(crate) const DAYLIGHT_WORD: Mask = 1 << 28;

pub(crate) const ALL_SECONDS: Mask = SECOND | MILLISECOND | MICROSECOND;
pub(crate) const DATE: Mask = YEAR | MONTH | DAY;
pub(crate) const TIME: Mask = HOUR | MINUTE | ALL_SECONDS;
