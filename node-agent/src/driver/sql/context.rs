//! A statement's settings, for drivers that compute with dataman-pg.

use std::time::Duration;

use dataman_node_protocol::node::StatementContext;
use dataman_pg::Context;
use dataman_pg::context::{ByteaOutput, DateOrder, DateOutput, DateStyle, IntervalStyle};
use dataman_pg::timezone::TimeZone;

/// What functions may know, from what came with the statement.
///
/// The settings come in the canonical form in which SHOW prints them; the proxy has checked them.
pub(crate) fn context_of(statement: &StatementContext) -> Context {
    let mut context = Context {
        transaction_time_us: statement.transaction_time_us,
        statement_time_us: statement.transaction_time_us,
        clock_time_us: statement.transaction_time_us,
        ..Context::default()
    };
    for (name, value) in statement.settings.iter() {
        match name.to_ascii_lowercase().as_str() {
            "timezone" => {
                if let Ok(zone) = TimeZone::parse(value) {
                    context.time_zone = zone;
                }
            }
            "datestyle" => context.date_style = date_style(value),
            "intervalstyle" => {
                context.interval_style = match value.to_ascii_lowercase().as_str() {
                    "postgres_verbose" => IntervalStyle::PostgresVerbose,
                    "sql_standard" => IntervalStyle::SqlStandard,
                    "iso_8601" => IntervalStyle::Iso8601,
                    _ => IntervalStyle::Postgres,
                };
            }
            "extra_float_digits" => context.extra_float_digits = value.parse().unwrap_or(1),
            "bytea_output" => {
                context.bytea_output = if value.eq_ignore_ascii_case("escape") {
                    ByteaOutput::Escape
                } else {
                    ByteaOutput::Hex
                };
            }
            _ => {}
        }
    }
    context
}

fn date_style(value: &str) -> DateStyle {
    let mut style = DateStyle::default();
    for word in value.split(',') {
        match word.trim().to_ascii_lowercase().as_str() {
            "iso" => style.output = DateOutput::Iso,
            "sql" => style.output = DateOutput::Sql,
            "postgres" => style.output = DateOutput::Postgres,
            "german" => style.output = DateOutput::German,
            "ymd" => style.order = DateOrder::Ymd,
            "dmy" => style.order = DateOrder::Dmy,
            "mdy" => style.order = DateOrder::Mdy,
            _ => {}
        }
    }
    style
}

/// The session's `lock_timeout`, in SHOW's form: `250ms`, `5s`, `2min`.
pub(crate) fn lock_timeout(context: &StatementContext) -> Option<Duration> {
    let (_, value) =
        context.settings.iter().find(|(name, _)| name.eq_ignore_ascii_case("lock_timeout"))?;
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = value[..digits].parse().ok()?;
    let unit_ms = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    (number > 0).then(|| Duration::from_millis(number.saturating_mul(unit_ms)))
}
