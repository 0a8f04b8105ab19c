//! dataman's leases on etcd's: whose time etcd counts, so that machines' clocks need not agree.
//!
//! A lease that holds is a key that ends with an etcd lease. Beside it stays the token of the newest grant, so that tokens rise
//! whatever ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::client::{CallError, NOT_FOUND};
use super::message::{
    Compare, KeyValue, LeaseGrantRequest, LeaseRequest, LeaseResponse, Number, Operation, Streamed,
    TxnRequest,
};
use super::{ATTEMPTS_MAX, Shared};
use crate::lease::{Lease, LeaseError, LeaseTime};
use crate::store::contract::StoreError;

const OPERATION: &str = "changing a lease";

/// What is under the key of a lease that holds.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    lease: Lease,
    /// For how many seconds etcd's lease was granted.
    seconds: i64,
}

/// What is under the key of a lease's token.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Token {
    token: u64,
}

impl Shared {
    fn lease_key(&self, name: &str) -> String {
        format!("{}lease/{name}", self.prefix)
    }

    fn token_key(&self, name: &str) -> String {
        format!("{}token/{name}", self.prefix)
    }

    pub(super) async fn grant_lease(
        &self,
        name: &str,
        holder: &str,
        span: Duration,
    ) -> Result<Lease, StoreError> {
        let (lease_key, token_key) = (self.lease_key(name), self.token_key(name));
        for _ in 0..ATTEMPTS_MAX {
            let look = TxnRequest {
                success: vec![Operation::get(lease_key.clone()), Operation::get(token_key.clone())],
                ..TxnRequest::default()
            };
            let found = self.txn(&look, OPERATION).await?;
            let before = found.read(0).map(|found| self.parse::<Held>(found)).transpose()?;
            if let Some(Held { lease: held, .. }) =
                before.filter(|held| held.lease.holder != holder)
            {
                let Lease { holder, expires, .. } = held;
                let name = name.to_owned();
                return Err(LeaseError::Held { name, holder, expires }.into());
            }
            let revision =
                |place| found.read(place).map_or(Number(0), |found: &KeyValue| found.mod_revision);
            let Token { token } =
                found.read(1).map_or(Ok(Token::default()), |found| self.parse(found))?;
            let token = Token { token: token + 1 };
            let lease = Lease {
                name: name.to_owned(),
                holder: holder.to_owned(),
                token: token.token,
                expires: LeaseTime::now().after(span),
                note: String::new(),
            };
            // A lease without length is over when it is granted: only its token counts.
            let hold = if span.is_zero() {
                Operation::delete(lease_key.clone())
            } else {
                self.hold(&lease, span).await?
            };
            let put_token = serde_json::to_string(&token).expect("numbers can be written");
            let change = TxnRequest {
                compare: vec![
                    Compare::unchanged(lease_key.clone(), revision(0)),
                    Compare::unchanged(token_key.clone(), revision(1)),
                ],
                success: vec![hold, Operation::put(token_key.clone(), put_token)],
                failure: Vec::new(),
            };
            if self.txn(&change, OPERATION).await?.succeeded {
                return Ok(lease);
            }
            // What etcd has granted for it ends by itself.
        }
        Err(self.busy(OPERATION))
    }

    /// Asks etcd for a lease, and makes the operation that lets the key end with it.
    async fn hold(&self, lease: &Lease, span: Duration) -> Result<Operation, StoreError> {
        let seconds = seconds(span);
        let request = LeaseGrantRequest { seconds: Number(seconds) };
        let granted: Result<LeaseResponse, _> = self.client.call("/v3/lease/grant", &request).await;
        let granted = granted.map_err(|error| self.failed(OPERATION, error))?;
        let held = Held { lease: lease.clone(), seconds };
        let text = serde_json::to_string(&held).expect("a lease can be written as JSON");
        Ok(Operation::put_with_lease(self.lease_key(&lease.name), text, granted.id))
    }

    /// Reads a lease that holds, if it is still this grant.
    async fn held(&self, lease: &Lease) -> Result<(KeyValue, Held), StoreError> {
        let over = LeaseError::Over { name: lease.name.clone(), token: lease.token };
        let (_, found) = self.get(self.lease_key(&lease.name), OPERATION).await?;
        let Some(found) = found else { return Err(over.into()) };
        let held: Held = self.parse(&found)?;
        if held.lease.token == lease.token { Ok((found, held)) } else { Err(over.into()) }
    }

    pub(super) async fn renew_lease(
        &self,
        lease: &Lease,
        span: Duration,
    ) -> Result<Lease, StoreError> {
        let over = || LeaseError::Over { name: lease.name.clone(), token: lease.token };
        for _ in 0..ATTEMPTS_MAX {
            let (found, Held { lease: mut held, seconds: granted }) = self.held(lease).await?;
            let expires = LeaseTime::now().after(span);
            if seconds(span) <= granted {
                let request = LeaseRequest { id: found.lease };
                let kept: Result<Streamed<LeaseResponse>, _> =
                    self.client.call("/v3/lease/keepalive", &request).await;
                let kept = kept.map_err(|error| self.failed(OPERATION, error))?;
                if kept.result.is_none_or(|kept| kept.seconds <= Number(0)) {
                    return Err(over().into());
                }
                held.expires = held.expires.max(expires);
                return Ok(held);
            }
            // Longer than it was granted for: the key moves to a new one.
            held.expires = held.expires.max(expires);
            let change = TxnRequest {
                compare: vec![Compare::unchanged(found.key.0.clone(), found.mod_revision)],
                success: vec![self.hold(&held, span).await?],
                failure: Vec::new(),
            };
            if self.txn(&change, OPERATION).await?.succeeded {
                self.revoke(found.lease).await?;
                return Ok(held);
            }
        }
        Err(self.busy(OPERATION))
    }

    pub(super) async fn annotate_lease(&self, lease: &Lease, note: &str) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let (found, mut held) = self.held(lease).await?;
            held.lease.note = note.to_owned();
            let text = serde_json::to_string(&held).expect("a lease can be written as JSON");
            let change = TxnRequest {
                compare: vec![Compare::unchanged(found.key.0.clone(), found.mod_revision)],
                success: vec![Operation::put_with_lease(found.key.0, text, found.lease)],
                failure: Vec::new(),
            };
            if self.txn(&change, OPERATION).await?.succeeded {
                return Ok(());
            }
        }
        Err(self.busy(OPERATION))
    }

    pub(super) async fn release_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        let found = match self.held(lease).await {
            Ok((found, _)) => found,
            Err(StoreError::Lease(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let change = TxnRequest {
            compare: vec![Compare::unchanged(found.key.0.clone(), found.mod_revision)],
            success: vec![Operation::delete(found.key.0)],
            failure: Vec::new(),
        };
        self.txn(&change, OPERATION).await?;
        self.revoke(found.lease).await
    }

    async fn revoke(&self, id: Number) -> Result<(), StoreError> {
        let request = LeaseRequest { id };
        match self.client.call::<serde_json::Value>("/v3/lease/revoke", &request).await {
            Ok(_) | Err(CallError::Refused { code: NOT_FOUND, .. }) => Ok(()),
            Err(error) => Err(self.failed(OPERATION, error)),
        }
    }

    pub(super) async fn leases(&self, prefix: &str) -> Result<Vec<Lease>, StoreError> {
        let all = format!("{}lease/", self.prefix);
        let found = self.read_all(&all, Number(0)).await;
        let (_, found) = found.map_err(|error| self.failed("reading leases", error))?;
        let held = found
            .iter()
            .filter(|found| found.key.0[all.len()..].starts_with(prefix))
            .map(|found| Ok(self.parse::<Held>(found)?.lease));
        held.collect()
    }
}

/// etcd counts whole seconds, and gives two at least.
fn seconds(span: Duration) -> i64 {
    let rounded_up = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    i64::try_from(rounded_up).unwrap_or(i64::MAX).clamp(1, 9_000_000)
}
