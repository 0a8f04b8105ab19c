//! Ending a computation from outside: a cancel or a timeout of the statement that it belongs to.
//!
//! Most calls are short, and whoever makes them looks between two. The few that can be long look themselves: [`is_over`] ends
//! their loops, and [`check`] then says why there is no result.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::{PgError, Result};

/// Knows whether a statement is over.
pub trait Watch: Send + Sync {
    /// Whether nobody waits for it any more.
    fn is_over(&self) -> bool;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Watch>>> = const { RefCell::new(None) };
}

/// Puts back what was watched before.
struct Before(Option<Arc<dyn Watch>>);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Computes something that ends early when `watch` says so.
pub fn within<T>(watch: &Arc<dyn Watch>, compute: impl FnOnce() -> T) -> T {
    let _before = Before(CURRENT.replace(Some(Arc::clone(watch))));
    compute()
}

/// Whether the statement that is computed for is over: a long loop ends, whatever its result.
pub(crate) fn is_over() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|watch| watch.is_over()))
}

/// Says so.
///
/// # Errors
/// `57014`.
pub(crate) fn check() -> Result<()> {
    if is_over() {
        return Err(PgError::new("57014", "canceling statement due to user request"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(bool);

    impl Watch for Always {
        fn is_over(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn a_computation_ends_when_its_statement_does() {
        let watch = |over: bool| -> Arc<dyn Watch> { Arc::new(Always(over)) };
        assert!(check().is_ok());
        within(&watch(true), || {
            assert_eq!(check().expect_err("over").sqlstate(), "57014");
            within(&watch(false), || assert!(check().is_ok()));
            assert!(is_over());
        });
        assert!(!is_over());
    }
}
