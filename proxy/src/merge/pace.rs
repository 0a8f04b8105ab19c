//! Long work in pieces, so that the other sessions of the thread, and a cancel, have their turn.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time that an operator computes without a pause.
const TURN: Duration = Duration::from_micros(500);

/// Steps between two looks at the clock.
const STEPS: u32 = 64;

/// A watch over a loop that may be long.
#[derive(Debug)]
pub(crate) struct Pace {
    steps: u32,
    since: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { steps: 0, since: Instant::now() }
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

    /// Lets others have their turn; a statement that is cancelled ends here.
    pub(crate) async fn rest(&mut self) {
        tokio::task::yield_now().await;
        self.since = Instant::now();
    }

    /// Counts one step, and rests when it is time to.
    pub(crate) async fn step(&mut self) {
        if self.is_due() {
            self.rest().await;
        }
    }
}
