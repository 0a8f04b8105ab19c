//! Rows held to be read by their place.

use super::memory::Account;
use super::open::Run;
use super::rows::Row;
use crate::error::Error;

/// Rows by their place, in the order in which they came.
pub(crate) struct Store {
    what: &'static str,
    account: Account,
    rows: Vec<Row>,
}

impl Store {
    /// A store for the operator that is called `what`.
    pub(crate) fn new(run: &Run<'_>, what: &'static str) -> Self {
        Self { what, account: run.memory.account(), rows: Vec::new() }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Appends a row.
    ///
    /// # Errors
    /// `53200`.
    pub(crate) async fn push(&mut self, row: Row) -> Result<(), Error> {
        self.account.take_row(&row, self.what)?;
        self.rows.push(row);
        Ok(())
    }

    /// Makes sure that [`Store::row`] finds the row at a place, until another one is asked for.
    ///
    /// # Errors
    /// None yet.
    pub(crate) async fn load(&mut self, _place: usize) -> Result<(), Error> {
        Ok(())
    }

    /// The row at a place that was loaded.
    pub(crate) fn row(&self, place: usize) -> &Row {
        &self.rows[place]
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.account.clear();
    }
}
