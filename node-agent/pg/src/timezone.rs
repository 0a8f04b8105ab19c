//! Time zones: names, abbreviations, offsets and POSIX specifications (the manual's section 8.5.3, appendix B.5).

/// A checked `TimeZone` setting.
#[derive(Debug, Clone)]
pub struct TimeZone {
    name: String,
}

impl TimeZone {
    /// UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned() }
    }

    /// The name as `SHOW TimeZone` prints it.
    pub fn name(&self) -> &str {
        &self.name
    }
}
