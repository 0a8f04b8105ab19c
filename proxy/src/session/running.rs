//! The statement that a session runs, as others see it: cancelling it, and why.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use dataman_pg::interrupt::{self, Watch};
use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// How long a cancelled statement may take to notice, before it is dropped.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Why a statement is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client asked for it.
    User,
    /// `statement_timeout`.
    Timeout,
    /// The client is gone.
    Gone,
    /// The proxy goes down.
    ShuttingDown,
}

impl Reason {
    /// What the client is told.
    pub fn error(self) -> Error {
        match self {
            Self::User => Error::Cancelled,
            Self::Timeout => Error::StatementTimeout,
            Self::Gone => Error::Client(std::io::ErrorKind::ConnectionAborted.into()),
            Self::ShuttingDown => Error::ShuttingDown,
        }
    }
}

/// The statement that a session runs. Shared with whoever may cancel it.
#[derive(Debug, Default)]
pub struct Running {
    current: Mutex<Current>,
    /// Wakes the session while its statement passes, or while it waits for its client.
    session: AtomicWaker,
    /// The proxy goes down: the session ends when its client waits for nothing.
    closing: AtomicBool,
}

/// When a statement is over.
struct End {
    token: CancellationToken,
    deadline: Option<Instant>,
    /// It was the time that a computation ended for.
    expired: AtomicBool,
}

impl Watch for End {
    fn is_over(&self) -> bool {
        if self.token.is_cancelled() {
            return true;
        }
        let expired = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if expired {
            self.expired.store(true, Ordering::Relaxed);
        }
        expired
    }
}

#[derive(Debug, Default)]
struct Current {
    token: Option<CancellationToken>,
    /// A statement passes: it has no token, and is told by [`Running::poll_stop`].
    passes: bool,
    reason: Option<Reason>,
}

impl Running {
    /// Cancels the statement that runs; nothing happens when none does.
    pub fn cancel(&self, reason: Reason) {
        let mut current = self.lock();
        if let Some(token) = current.token.clone() {
            current.reason.get_or_insert(reason);
            drop(current);
            token.cancel();
        } else if current.passes {
            current.reason.get_or_insert(reason);
            drop(current);
            self.session.wake();
        }
    }

    /// A statement begins that passes.
    pub fn begin_pass(&self) {
        *self.lock() = Current { token: None, passes: true, reason: None };
    }

    /// The statement that passed has ended.
    pub fn end_pass(&self) {
        self.lock().passes = false;
    }

    /// Whether the statement that passes is to stop.
    pub fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        self.session.register(context.waker());
        match self.lock().reason {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        }
    }

    /// Ends the session as soon as no statement runs.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.session.wake();
    }

    /// Whether the session is to end.
    pub fn poll_close(&self, context: &mut Context<'_>) -> Poll<()> {
        self.session.register(context.waker());
        match self.closing.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a statement until it is done, cancelled or too slow. A cancelled one gets the time to end by itself, and
    /// is dropped when it does not.
    ///
    /// # Errors
    /// Why it was dropped. Failures of the work itself are in its own output; [`Running::explain`] gives those that come
    /// from cancelling their reason.
    pub async fn watch<T>(
        &self,
        token: &CancellationToken,
        time: Option<Duration>,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Error> {
        *self.lock() = Current { token: Some(token.clone()), passes: false, reason: None };
        let deadline = time.map(|time| Instant::now() + time);
        let end = Arc::new(End { token: token.clone(), deadline, expired: AtomicBool::new(false) });
        let watch: Arc<dyn Watch> = Arc::clone(&end) as Arc<dyn Watch>;
        // A call that computes for long does not let the other branches be polled: it looks at the end itself.
        let mut work = poll_fn(|context| interrupt::within(&watch, || work.as_mut().poll(context)));
        let expire = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // The work comes first: what is done is done, even when it is cancelled at the same moment. The other branches lose
        // nothing when they are dropped.
        let outcome = tokio::select! {
            biased;
            output = &mut work => Ok(output),
            () = expire => {
                self.cancel(Reason::Timeout);
                timeout(CANCEL_GRACE, &mut work).await.map_err(|_| self.reason().error())
            }
            () = token.cancelled() => {
                timeout(CANCEL_GRACE, &mut work).await.map_err(|_| self.reason().error())
            }
        };
        if end.expired.load(Ordering::Relaxed) {
            self.cancel(Reason::Timeout);
        }
        self.lock().token = None;
        outcome
    }

    /// Why the last statement was cancelled.
    pub fn reason(&self) -> Reason {
        self.lock().reason.unwrap_or(Reason::User)
    }

    /// Gives a failure that comes from cancelling its reason.
    pub fn explain(&self, error: Error) -> Error {
        use dataman_node_protocol::NodeErrorKind;
        let reason = self.lock().reason;
        match (&error, reason) {
            (Error::Cancelled, Some(reason)) => reason.error(),
            (Error::Statement(error), Some(reason)) if error.sqlstate() == "57014" => {
                reason.error()
            }
            (Error::Node(node), Some(reason))
                if node.kind == NodeErrorKind::Cancelled || node.sqlstate == "57014" =>
            {
                reason.error()
            }
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_statement_ends_by_the_first_that_comes() {
        let running = Running::default();
        let token = CancellationToken::new();
        let done = running.watch(&token, None, pin!(async { 7 })).await;
        assert_eq!(done.unwrap(), 7);

        let slow =
            running.watch(&token, Some(Duration::from_millis(1)), pin!(token.cancelled())).await;
        assert!(slow.is_ok(), "the work noticed in time");
        assert_eq!(running.reason(), Reason::Timeout);
        assert!(matches!(running.explain(Error::Cancelled), Error::StatementTimeout));

        let token = CancellationToken::new();
        let noticed = pin!(token.cancelled());
        let (outcome, ()) = tokio::join!(running.watch(&token, None, noticed), async {
            running.cancel(Reason::User)
        },);
        assert!(outcome.is_ok());
        assert!(matches!(running.explain(Error::Cancelled), Error::Cancelled));
        running.cancel(Reason::User);
    }
}
