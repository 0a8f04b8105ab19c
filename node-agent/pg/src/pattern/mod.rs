//! Pattern matching: LIKE, SIMILAR TO and POSIX regular expressions (the manual's section 9.7).
//!
//! [`like`] is LIKE and ILIKE. [`similar`] turns SIMILAR TO patterns into regular expressions. [`regex`] is PostgreSQL's
//! dialect of regular expressions with its rules for what matches, and [`regexp`] the functions and operators over it.

pub(crate) mod like;
pub(crate) mod regex;
pub(crate) mod regexp;
pub(crate) mod similar;
