//! SET, SHOW, RESET and DISCARD: a transaction's own parameters are the transaction's, all others the session's.

use dataman_pg::PgError;

use crate::error::Error;
use crate::parse::syntax::{self, Setting};
use crate::rows::encode::text_rows;
use crate::session::Session;
use crate::session::dispatch::Started;
use crate::session::portal::Rows;
use crate::session::sequence::SharedTaken;
use crate::session::setting_value::parse_bool;
use crate::session::settings::Scope;
use crate::session::transaction::{Level, Modes, State};
use crate::sqlstate::Report;

impl Session {
    /// SHOW: the parameters of the transaction are the transaction's, all others the session's.
    pub(super) fn show(&self, name: &str) -> Result<(String, String), Error> {
        let in_transaction = self.transaction.state != State::Idle;
        let modes = if in_transaction {
            self.transaction.modes
        } else {
            Modes::from_defaults(self.settings.typed())
        };
        let on_off = |value: bool| if value { "on" } else { "off" }.to_owned();
        Ok(match name.to_ascii_lowercase().as_str() {
            "transaction_isolation" | "transaction isolation level" => {
                ("transaction_isolation".to_owned(), modes.isolation.name().to_owned())
            }
            "transaction_read_only" => {
                ("transaction_read_only".to_owned(), on_off(modes.read_only))
            }
            "transaction_deferrable" => {
                ("transaction_deferrable".to_owned(), on_off(modes.deferrable))
            }
            _ => self.settings.show(name)?,
        })
    }

    pub(super) fn change_setting(&mut self, setting: &Setting) -> Result<Started, Error> {
        match setting {
            Setting::Show(name) if name == "all" => {
                let mut all = self.settings.show_all();
                for (name, value) in &mut all {
                    if name.starts_with("transaction_") {
                        *value = self.show(name)?.1;
                    }
                }
                let rows = all.iter().map(|(name, value)| [Some(&**name), Some(&**value), None]);
                Ok(Started::Rows(Rows::of_batch(text_rows(rows), "SHOW")))
            }
            Setting::Show(name) => {
                let (_, value) = self.show(name)?;
                Ok(Started::Rows(Rows::of_batch(text_rows([[Some(&*value)]]), "SHOW")))
            }
            Setting::Set { name, values, local } => {
                if *local && !self.in_transaction_block() {
                    self.notice(Report::warning(
                        "25P01",
                        "SET LOCAL can only be used in transaction blocks",
                    ));
                    return Ok(Started::Done("SET".to_owned()));
                }
                let scope = if *local { Scope::Local } else { Scope::Session };
                if let Some(modes) = transaction_parameter(name, values.as_deref())? {
                    self.transaction.set_modes(&modes)?;
                } else {
                    self.settings.set(name, values.as_deref(), scope)?;
                }
                Ok(Started::Done("SET".to_owned()))
            }
            Setting::Reset(name) if name == "all" => {
                self.settings.reset_all();
                Ok(Started::Done("RESET".to_owned()))
            }
            Setting::Reset(name) => {
                if name.starts_with("transaction_") {
                    return Err(PgError::new(
                        "55P02",
                        format!("parameter \"{name}\" cannot be reset"),
                    )
                    .into());
                }
                self.settings.reset(name, Scope::Session)?;
                Ok(Started::Done("RESET".to_owned()))
            }
            Setting::Discard(what) => {
                if *what == "ALL" {
                    if self.in_transaction_block() {
                        return Err(PgError::new(
                            "25001",
                            "DISCARD ALL cannot run inside a transaction block",
                        )
                        .into());
                    }
                    self.portals.clear();
                    self.portals.close_all();
                    self.prepared.clear();
                    self.settings.reset_all();
                }
                if matches!(&**what, "ALL" | "SEQUENCES") {
                    self.sequences = SharedTaken::default();
                }
                Ok(Started::Done(format!("DISCARD {what}")))
            }
        }
    }
}

/// The parameters that are the transaction's own, as modes.
fn transaction_parameter(
    name: &str,
    values: Option<&[String]>,
) -> Result<Option<syntax::TransactionModes>, PgError> {
    let name = name.to_ascii_lowercase();
    if !matches!(
        name.as_str(),
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable"
    ) {
        return Ok(None);
    }
    let [value] = values.unwrap_or_default() else {
        return Err(PgError::new("22023", format!("SET {name} takes only one argument")));
    };
    let mut modes = syntax::TransactionModes::default();
    if name == "transaction_isolation" {
        let level = Level::parse(value).ok_or_else(|| {
            PgError::new("22023", format!("invalid value for parameter \"{name}\": \"{value}\""))
                .with_hint("Available values: serializable, repeatable read, read committed, read uncommitted.")
        })?;
        modes.isolation = Some(level.name());
        return Ok(Some(modes));
    }
    let value = parse_bool(value).ok_or_else(|| {
        PgError::new("22023", format!("parameter \"{name}\" requires a Boolean value"))
    })?;
    if name == "transaction_read_only" {
        modes.read_only = Some(value);
    } else {
        modes.deferrable = Some(value);
    }
    Ok(Some(modes))
}
