//! What a client has set: part of it goes to the database, part is between proxy and agent.

use std::sync::Arc;
use std::time::Duration;

use dataman_node_protocol::NodeError;
use dataman_node_protocol::node::StatementContext;

/// The settings that values depend on, in the order in which they travel.
const VALUE_SETTINGS: &[(&str, &str)] = &[
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
];

/// Settings that clients send and that change nothing here, with the value that `SHOW` answers.
const FIXED: &[(&str, &str)] = &[
    ("server_version", "15.0"),
    ("server_version_num", "150000"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("application_name", ""),
    ("client_min_messages", "notice"),
];

/// A session's settings.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Those that were set, with names as in [`VALUE_SETTINGS`]. Replaced as a whole, so that who saw them last knows them
    /// again by their address.
    values: Arc<Vec<(String, String)>>,
    /// What [`Settings::reset`] goes back to: those of the startup packet.
    startup: Arc<Vec<(String, String)>>,
    epoch: u64,
    transaction_time_us: i64,
    time_left_ms: Option<u64>,
}

impl Settings {
    /// What a driver is told with a statement.
    pub(super) fn context(&self) -> StatementContext {
        StatementContext {
            epoch: self.epoch,
            settings: Arc::clone(&self.values),
            transaction_time_us: self.transaction_time_us,
            time_left_ms: self.time_left_ms,
        }
    }

    /// Takes what is set now for what `RESET` goes back to.
    pub(super) fn startup_is_over(&mut self) {
        self.startup = Arc::clone(&self.values);
    }

    /// How long the next statement may take.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.time_left_ms.map(Duration::from_millis)
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), NodeError> {
        let number = |text: &str| {
            text.parse::<i64>().map_err(|_| {
                NodeError::statement(
                    "22023",
                    format!("invalid value for parameter \"{name}\": \"{text}\""),
                )
            })
        };
        let count = |text: &str| Ok::<_, NodeError>(u64::try_from(number(text)?).unwrap_or(0));
        match name.to_ascii_lowercase().as_str() {
            "dataman.epoch" => self.epoch = count(value)?,
            "dataman.transaction_time_us" => self.transaction_time_us = number(value)?,
            "dataman.time_left_ms" => self.time_left_ms = Some(count(value)?),
            "client_encoding"
                if !matches!(value.to_ascii_uppercase().as_str(), "UTF8" | "UTF-8" | "UNICODE") =>
            {
                return Err(NodeError::statement("0A000", "a node agent speaks UTF8 only"));
            }
            lower => {
                if FIXED.iter().any(|(known, _)| *known == lower) {
                    return Ok(());
                }
                let known = value_setting(name)?;
                let values = Arc::make_mut(&mut self.values);
                values.retain(|(set, _)| set != known);
                values.push((known.to_owned(), value.to_owned()));
                let place =
                    |name: &str| VALUE_SETTINGS.iter().position(|(known, _)| *known == name);
                values.sort_by_key(|(name, _)| place(name));
            }
        }
        Ok(())
    }

    /// Goes back to the startup's; all of them when no name is given.
    pub(super) fn reset(&mut self, name: Option<&str>) -> Result<(), NodeError> {
        let Some(name) = name else {
            *self = Self {
                values: Arc::clone(&self.startup),
                startup: Arc::clone(&self.startup),
                ..Self::default()
            };
            return Ok(());
        };
        match name.to_ascii_lowercase().as_str() {
            "dataman.epoch" => self.epoch = 0,
            "dataman.transaction_time_us" => self.transaction_time_us = 0,
            "dataman.time_left_ms" => self.time_left_ms = None,
            lower if FIXED.iter().any(|(known, _)| *known == lower) => {}
            _ => {
                let known = value_setting(name)?;
                Arc::make_mut(&mut self.values).retain(|(set, _)| set != known);
                if let Some((_, value)) = self.startup.iter().find(|(set, _)| set == known).cloned()
                {
                    self.set(known, &value)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn show(&self, name: &str) -> Result<String, NodeError> {
        let lower = name.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "dataman.epoch" => self.epoch.to_string(),
            "dataman.transaction_time_us" => self.transaction_time_us.to_string(),
            "dataman.time_left_ms" => self.time_left_ms.unwrap_or_default().to_string(),
            _ => match FIXED.iter().find(|(known, _)| *known == lower) {
                Some((_, value)) => (*value).to_owned(),
                None => {
                    let known = value_setting(name)?;
                    let set = self.values.iter().find(|(set, _)| set == known);
                    let default = VALUE_SETTINGS.iter().find(|(name, _)| *name == known);
                    set.map(|(_, value)| value.as_str())
                        .or(default.map(|(_, value)| *value))
                        .unwrap_or_default()
                        .to_owned()
                }
            },
        })
    }

    /// What the server reports at the start.
    pub(super) fn reported(&self) -> Vec<(&'static str, String)> {
        let names = VALUE_SETTINGS.iter().chain(FIXED).map(|(name, _)| *name);
        names.map(|name| (name, self.show(name).unwrap_or_default())).collect()
    }
}

/// A setting's name as it travels.
fn value_setting(name: &str) -> Result<&'static str, NodeError> {
    let mut known = VALUE_SETTINGS.iter().map(|(known, _)| *known);
    known.find(|known| known.eq_ignore_ascii_case(name)).ok_or_else(|| {
        NodeError::statement("42704", format!("unrecognized configuration parameter \"{name}\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_reset() {
        let mut settings = Settings::default();
        settings.set("timezone", "Asia/Tokyo").unwrap();
        settings.startup_is_over();
        settings.set("TIMEZONE", "UTC").unwrap();
        settings.set("bytea_output", "escape").unwrap();
        settings.set("dataman.epoch", "7").unwrap();
        let shown =
            |settings: &Settings| format!("{:?} {}", settings.values, settings.context().epoch);
        assert_eq!(shown(&settings), r#"[("TimeZone", "UTC"), ("bytea_output", "escape")] 7"#);
        settings.reset(Some("bytea_output")).unwrap();
        settings.reset(Some("TimeZone")).unwrap();
        assert_eq!(shown(&settings), r#"[("TimeZone", "Asia/Tokyo")] 7"#);
        settings.reset(None).unwrap();
        assert_eq!(shown(&settings), r#"[("TimeZone", "Asia/Tokyo")] 0"#);
        assert_eq!(settings.show("datestyle").unwrap(), "ISO, MDY");
        assert_eq!(settings.set("work_mem", "1").unwrap_err().sqlstate, "42704");
        assert_eq!(settings.set("client_encoding", "LATIN1").unwrap_err().sqlstate, "0A000");
    }
}
