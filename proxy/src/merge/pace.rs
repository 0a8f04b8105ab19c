//! Long work in pieces, so that the other sessions of the thread, and a cancel, have their turn.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// The longest time that an operator computes without a pause.
const TURN: Duration = Duration::from_micros(500);

/// Steps between two looks at the clock.
const STEPS: u32 = 64;

/// A watch over a loop that may be long.
#[derive(Debug)]
pub(crate) struct Pace {
    steps: u32,
    since: Instant,
    cancel: CancellationToken,
}

impl Pace {
    /// For work that `cancel` ends.
    pub(crate) fn new(cancel: &CancellationToken) -> Self {
        Self { steps: 0, since: Instant::now(), cancel: cancel.clone() }
    }

    /// Counts one step; whether it is time for [`Pace::rest`].
    pub(crate) fn is_due(&mut self) -> bool {
        self.steps += 1;
        if self.steps < STEPS {
            return false;
        }
        self.steps = 0;
        self.since.elapsed() >= TURN
    }

    /// Lets others have their turn.
    ///
    /// # Errors
    /// The statement is cancelled.
    pub(crate) async fn rest(&mut self) -> Result<(), Error> {
        tokio::task::yield_now().await;
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        self.since = Instant::now();
        Ok(())
    }

    /// Counts one step, and rests when it is time to.
    ///
    /// # Errors
    /// The statement is cancelled.
    pub(crate) async fn step(&mut self) -> Result<(), Error> {
        if self.is_due() { self.rest().await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancel_ends_a_long_loop() {
        let cancel = CancellationToken::new();
        let mut pace = Pace::new(&cancel);
        for _ in 0..1000 {
            pace.step().await.expect("nobody has cancelled");
        }
        cancel.cancel();
        let endless = async { while pace.step().await.is_ok() {} };
        endless.await;
        assert!(matches!(pace.rest().await, Err(Error::Cancelled)));
    }
}
