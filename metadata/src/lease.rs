//! Who may act until when. Pure: the time is passed in.
//!
//! A lease is permission that ends by itself. Each grant carries a fencing token higher than every earlier one of the
//! same name, so that whoever keeps the token of the newest grant can refuse what an earlier holder still sends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time as the store counts it: milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseTime(pub u64);

impl LeaseTime {
    /// The time that the machine's clock shows. A clock set back lengthens leases, one set forward ends them early; the
    /// fencing token keeps both harmless.
    #[must_use]
    pub fn now() -> Self {
        let since =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The time so much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A lease as it was granted or renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What it is permission for: `node/a`.
    pub name: String,
    /// Who has it; different for each process.
    pub holder: String,
    /// Higher than that of every earlier grant of this name.
    pub token: u64,
    /// Until when; not at this moment any more.
    pub expires: LeaseTime,
    /// What its holder wants others to know: see [`LeaseState::annotate`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Why a lease was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else has it.
    #[error("the lease \"{name}\" is held by \"{holder}\"")]
    Held {
        /// Which.
        name: String,
        /// By whom.
        holder: String,
        /// Until when.
        expires: LeaseTime,
    },
    /// It has expired, been given back or been granted anew since. The holder must stop acting and may ask for it again.
    #[error("the lease \"{name}\" with token {token} is over")]
    Over {
        /// Which.
        name: String,
        /// The token that is over.
        token: u64,
    },
}

/// One lease name's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseState {
    /// The token of the newest grant; 0 before the first.
    pub token: u64,
    /// The newest grant, until it is given back.
    pub lease: Option<Lease>,
}

impl LeaseState {
    /// Grants the lease when it is free. The one who holds it may take it anew, which outdates his earlier token: that is
    /// how a process that has restarted under the same name goes on.
    ///
    /// # Errors
    /// Somebody else has it.
    pub fn grant(
        &mut self,
        name: &str,
        holder: &str,
        now: LeaseTime,
        span: Duration,
    ) -> Result<Lease, LeaseError> {
        if let Some(held) = self.held(now)
            && held.holder != holder
        {
            let (holder, expires) = (held.holder.clone(), held.expires);
            return Err(LeaseError::Held { name: name.to_owned(), holder, expires });
        }
        self.token += 1;
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let (token, expires, note) = (self.token, now.after(span), String::new());
        let lease = Lease { name, holder, token, expires, note };
        self.lease = Some(lease.clone());
        Ok(lease)
    }

    /// Extends the lease. Its end never moves back.
    ///
    /// # Errors
    /// It is over: expired, given back, or granted anew.
    pub fn renew(
        &mut self,
        lease: &Lease,
        now: LeaseTime,
        span: Duration,
    ) -> Result<Lease, LeaseError> {
        let over = LeaseError::Over { name: lease.name.clone(), token: lease.token };
        let Some(held) =
            self.lease.as_mut().filter(|held| held.token == lease.token && now < held.expires)
        else {
            return Err(over);
        };
        held.expires = held.expires.max(now.after(span));
        Ok(held.clone())
    }

    /// Sets what the lease's holder wants others to know.
    ///
    /// # Errors
    /// It is over: expired, given back, or granted anew.
    pub fn annotate(
        &mut self,
        lease: &Lease,
        now: LeaseTime,
        note: &str,
    ) -> Result<(), LeaseError> {
        match &mut self.lease {
            Some(held) if held.token == lease.token && now < held.expires => {
                note.clone_into(&mut held.note);
                Ok(())
            }
            _ => Err(LeaseError::Over { name: lease.name.clone(), token: lease.token }),
        }
    }

    /// Gives the lease back. One that is over already stays so.
    pub fn release(&mut self, lease: &Lease) {
        if self.lease.as_ref().is_some_and(|held| held.token == lease.token) {
            self.lease = None;
        }
    }

    /// The lease that holds at this time.
    #[must_use]
    pub fn held(&self, now: LeaseTime) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| now < lease.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_millis(100);

    #[test]
    fn one_holder_at_a_time() {
        let mut state = LeaseState::default();
        let first = state.grant("n", "one", LeaseTime(0), SPAN).unwrap();
        assert_eq!((first.token, first.expires), (1, LeaseTime(100)));
        let refused = state.grant("n", "two", LeaseTime(99), SPAN);
        assert!(matches!(refused, Err(LeaseError::Held { expires: LeaseTime(100), .. })));
        let second = state.grant("n", "two", LeaseTime(100), SPAN).unwrap();
        assert_eq!(second.token, 2);
        assert!(state.renew(&first, LeaseTime(101), SPAN).is_err());
        state.release(&first);
        assert_eq!(state.held(LeaseTime(150)), Some(&second));
    }

    #[test]
    fn renewing() {
        let mut state = LeaseState::default();
        let lease = state.grant("n", "one", LeaseTime(0), SPAN).unwrap();
        assert_eq!(state.renew(&lease, LeaseTime(50), SPAN).unwrap().expires, LeaseTime(150));
        assert_eq!(
            state.renew(&lease, LeaseTime(60), Duration::ZERO).unwrap().expires,
            LeaseTime(150)
        );
        assert!(state.renew(&lease, LeaseTime(150), SPAN).is_err());
    }

    #[test]
    fn notes() {
        let mut state = LeaseState::default();
        let first = state.grant("n", "one", LeaseTime(0), SPAN).unwrap();
        state.annotate(&first, LeaseTime(50), "here").unwrap();
        let renewed = state.renew(&first, LeaseTime(60), SPAN).unwrap();
        assert_eq!(renewed.note, "here");
        assert!(state.annotate(&first, LeaseTime(160), "late").is_err());
        let second = state.grant("n", "two", LeaseTime(160), SPAN).unwrap();
        assert_eq!(second.note, "");
        assert!(state.annotate(&first, LeaseTime(161), "late").is_err());
    }

    #[test]
    fn taking_anew_and_giving_back() {
        let mut state = LeaseState::default();
        let first = state.grant("n", "one", LeaseTime(0), SPAN).unwrap();
        let second = state.grant("n", "one", LeaseTime(10), SPAN).unwrap();
        assert_eq!(second.token, 2);
        assert!(state.renew(&first, LeaseTime(20), SPAN).is_err());
        state.release(&second);
        assert_eq!(state.held(LeaseTime(20)), None);
        assert_eq!(state.grant("n", "two", LeaseTime(21), SPAN).unwrap().token, 3);
    }
}
