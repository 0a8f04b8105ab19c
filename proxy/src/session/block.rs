//! BEGIN to COMMIT as the client says them, what a statement begins and ends without being told, and what a failure leaves.

use std::sync::Arc;

use dataman_pg::PgError;

use crate::error::Error;
use crate::parse::syntax::{self, Statement};
use crate::session::Session;
use crate::session::dispatch::{Place, now_us};
use crate::session::prepared::Prepared;
use crate::session::settings::Scope;
use crate::session::transaction::{Modes, State};
use crate::sqlstate::{Report, report};

impl Session {
    /// Whether PostgreSQL would say that the statement is in a transaction block: after BEGIN, or with others in its string.
    pub(crate) fn in_transaction_block(&self) -> bool {
        matches!(self.transaction.state, State::Implicit | State::Open | State::Failed)
    }

    /// BEGIN, COMMIT and their like; gives the tag.
    pub(super) async fn change_transaction(
        &mut self,
        change: &syntax::Transaction,
    ) -> Result<String, Error> {
        use syntax::Transaction as Change;
        match change {
            Change::Begin(modes) => {
                if self.transaction.in_block() {
                    self.notice(Report::warning(
                        "25001",
                        "there is already a transaction in progress",
                    ));
                }
                self.transaction.state = State::Open;
                self.transaction.set_modes(modes)?;
                Ok("BEGIN".to_owned())
            }
            Change::Commit { chain } => {
                let was_failed = self.transaction.state == State::Failed;
                self.end_block("COMMIT", *chain, !was_failed).await?;
                Ok(if was_failed { "ROLLBACK" } else { "COMMIT" }.to_owned())
            }
            Change::Rollback { chain } => {
                self.end_block("ROLLBACK", *chain, false).await?;
                Ok("ROLLBACK".to_owned())
            }
            Change::Savepoint(name) => {
                self.check_block("SAVEPOINT")?;
                self.free_connections().await?;
                let settings = self.settings.save();
                self.transaction.savepoint(name, settings).await?;
                Ok("SAVEPOINT".to_owned())
            }
            Change::Release(name) => {
                self.check_block("RELEASE SAVEPOINT")?;
                self.free_connections().await?;
                self.transaction.release(name).await?;
                self.portals.release_to(self.transaction.savepoint_count());
                Ok("RELEASE".to_owned())
            }
            Change::RollbackTo(name) => {
                self.check_block("ROLLBACK TO SAVEPOINT")?;
                self.free_connections().await?;
                let settings = self.transaction.rollback_to(name).await?;
                self.portals.roll_back_to(self.transaction.savepoint_count());
                self.settings.restore(&settings);
                Ok("ROLLBACK".to_owned())
            }
            Change::Set { modes, session: true } => {
                let mut set = |name: &str, value: Option<String>| match value {
                    Some(value) => self.settings.set(name, Some(&[value]), Scope::Session),
                    None => Ok(()),
                };
                let on_off = |value: bool| if value { "on" } else { "off" }.to_owned();
                set("default_transaction_isolation", modes.isolation.map(str::to_owned))?;
                set("default_transaction_read_only", modes.read_only.map(on_off))?;
                set("default_transaction_deferrable", modes.deferrable.map(on_off))?;
                Ok("SET".to_owned())
            }
            Change::Set { modes, session: false } => {
                if self.in_transaction_block() {
                    self.transaction.set_modes(modes)?;
                } else {
                    self.notice(Report::warning(
                        "25P01",
                        "SET TRANSACTION can only be used in transaction blocks",
                    ));
                }
                Ok("SET".to_owned())
            }
        }
    }

    /// COMMIT or ROLLBACK.
    pub(super) async fn end_block(
        &mut self,
        word: &str,
        chain: bool,
        commit: bool,
    ) -> Result<(), Error> {
        if !self.transaction.in_block() {
            if chain {
                return Err(PgError::new(
                    "25P01",
                    format!("{word} AND CHAIN can only be used in transaction blocks"),
                )
                .into());
            }
            self.notice(Report::warning("25P01", "there is no transaction in progress"));
        }
        let modes = self.transaction.modes;
        if commit {
            self.end_transaction().await?;
        } else {
            self.roll_back().await;
        }
        if chain {
            self.transaction.start(State::Open, modes, self.settings.save(), now_us());
        }
        Ok(())
    }

    pub(super) fn check_block(&self, what: &str) -> Result<(), PgError> {
        if self.transaction.in_block() {
            return Ok(());
        }
        Err(PgError::new("25P01", format!("{what} can only be used in transaction blocks")))
    }

    /// Frees the connections of all shards that take part from portals that were left in the middle.
    pub(super) async fn free_connections(&mut self) -> Result<(), Error> {
        let shards: Vec<_> = self.transaction.participants.keys().cloned().collect();
        for shard in &shards {
            let connections = self.portals.drain(shard).await?;
            self.transaction.give_back(connections);
        }
        Ok(())
    }

    /// Starts a transaction when none is there.
    pub(super) fn begin_statement(&mut self, place: Place) {
        if self.transaction.state == State::Idle {
            let state = if place == Place::Only { State::Statement } else { State::Implicit };
            let modes = Modes::from_defaults(self.settings.typed());
            self.transaction.start(state, modes, self.settings.save(), now_us());
        }
    }

    /// Commits after a statement that was its own transaction, or the last of its string.
    pub(super) async fn finish_statement(&mut self, place: Place) -> Result<(), Error> {
        self.adopt_settings()?;
        if self.transaction.is_implicit() && place != Place::Middle {
            self.end_transaction().await?;
        }
        Ok(())
    }

    /// Commits, wherever the transaction came from.
    pub(super) async fn end_transaction(&mut self) -> Result<(), Error> {
        // Portals end with their transaction. One that still reads from a shard that was written is read to its end, since
        // the commit needs its connection; others let go of their shards, which then only roll back.
        let written: Vec<_> = self.transaction.written().cloned().collect();
        for shard in &written {
            let connections = self.portals.skip(shard).await?;
            self.transaction.give_back(connections);
        }
        self.portals.clear_for_commit();
        self.transaction.forget_unread();
        match self.transaction.commit().await {
            Ok(()) => {
                self.settings.end_local();
                Ok(())
            }
            Err(error) => {
                let layers = self.transaction.settings.clone();
                self.settings.restore(&layers);
                Err(error)
            }
        }
    }

    pub(super) async fn roll_back(&mut self) {
        self.portals.clear();
        let layers = self.transaction.settings.clone();
        self.settings.restore(&layers);
        self.transaction.rollback().await;
    }

    /// After a failure: a block is failed, anything else rolled back. Gives the failure back, with its reason if it was a
    /// cancel.
    pub(crate) async fn fail(&mut self, error: Error) -> Error {
        self.forget_settings();
        let error = self.running.explain(error);
        let portals = &self.portals;
        self.transaction.mark_lost(|shard| portals.holds(shard));
        match self.transaction.state {
            State::Idle => {}
            State::Statement | State::Implicit => self.roll_back().await,
            State::Open | State::Failed => {
                self.transaction.state = State::Failed;
                // As in PostgreSQL the settings go back at once, not with the ROLLBACK that is to come.
                let layers = self.transaction.innermost_settings().clone();
                self.settings.restore(&layers);
            }
        }
        let told = report(&error);
        self.doing.failed(&told.sqlstate, &told.message, self.status());
        error
    }

    /// Others are shown that a statement begins; `text` is no more of it than is kept.
    pub(super) fn show_begin(&self, text: Arc<str>) {
        let is_open = matches!(self.transaction.state, State::Open | State::Failed);
        self.doing.begin(text, is_open.then_some(self.transaction.started_us));
    }

    /// # Errors
    /// `25P02` in a failed transaction, but for what ends it.
    pub(super) fn check_not_failed(&self, statement: &Statement) -> Result<(), PgError> {
        use syntax::Transaction as Change;
        if self.transaction.state != State::Failed
            || matches!(
                statement,
                Statement::Transaction(
                    Change::Commit { .. } | Change::Rollback { .. } | Change::RollbackTo(_)
                )
            )
        {
            return Ok(());
        }
        Err(PgError::new(
            "25P02",
            "current transaction is aborted, commands ignored until end of transaction block",
        ))
    }

    pub(super) fn check_not_failed_for(&self, prepared: &Prepared) -> Result<(), PgError> {
        match &prepared.statement {
            Some(statement) => self.check_not_failed(&statement.statement),
            None => Ok(()),
        }
    }

    /// # Errors
    /// `25006` in a read-only transaction.
    pub(crate) fn check_read_write(&self, command: &str) -> Result<(), PgError> {
        if !self.transaction.modes.read_only {
            return Ok(());
        }
        Err(PgError::new("25006", format!("cannot execute {command} in a read-only transaction")))
    }
}
