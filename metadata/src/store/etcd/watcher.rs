//! Tells of each newer epoch, whoever committed it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::http::Connection;
use super::message::{Number, Streamed, Text, WatchCreate, WatchRequest, WatchResponse};
use super::{Shared, raise};
use crate::id::Epoch;
use crate::store::documents::{self, META_KEY};

/// How often the epoch is asked for beside the watch: a member that is cut off from the others keeps its watches open and
/// tells nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long to wait before the next member is asked for a watch.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Watches for ever, from the revision at which the epoch was read last.
pub(super) async fn watch(shared: Arc<Shared>, epoch: Arc<watch::Sender<Epoch>>, mut seen: Number) {
    let mut member = shared.client.preferred();
    let mut failing = false;
    loop {
        let key = Text(shared.object_key(META_KEY));
        let start_revision = Number(seen.0 + 1);
        let create_request = WatchCreate { key, start_revision };
        let request = WatchRequest { create_request };
        let ended = match shared.client.stream(member, "/v3/watch", &request).await {
            Ok(stream) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("the metadata is watched again");
                }
                follow(&shared, &epoch, stream, &mut seen).await
            }
            Err(error) => error,
        };
        if !failing {
            failing = true;
            tracing::warn!(error = %ended, "the metadata's watch ended; another member is asked");
        }
        // Not a loop that asks without a pause when each member refuses.
        sleep(RETRY_PAUSE).await;
        look(&shared, &epoch, &mut seen).await;
        member = (member + 1) % shared.client.members();
    }
}

/// Asks for the epoch; whether it is newer than the watch has told.
async fn look(shared: &Shared, epoch: &watch::Sender<Epoch>, seen: &mut Number) -> bool {
    match shared.read_epoch().await {
        Ok((newest, revision)) => {
            let newer = newest > *epoch.borrow();
            raise(epoch, newest);
            // What was compacted away meanwhile need not be watched any more.
            *seen = (*seen).max(revision);
            newer
        }
        Err(_) => false,
    }
}

/// Reads a watch to its end; says why it ended.
async fn follow(
    shared: &Shared,
    epoch: &watch::Sender<Epoch>,
    mut stream: Connection,
    seen: &mut Number,
) -> String {
    let mut read = Vec::new();
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both branches lose nothing when they are dropped: `line` keeps what has come.
        let line = tokio::select! {
            line = stream.line(&mut read) => line,
            _ = looks.tick() => {
                let mut looked_at = *seen;
                if look(shared, epoch, &mut looked_at).await {
                    // The watch may tell in this moment; if it does not, its member is behind.
                    let told = tokio::time::timeout(RETRY_PAUSE, stream.line(&mut read)).await;
                    match told {
                        Ok(line) => line,
                        Err(_) => {
                            *seen = looked_at;
                            return "its member is behind the others".to_owned();
                        }
                    }
                } else {
                    continue;
                }
            }
        };
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => return "its member closed it".to_owned(),
            Err(error) => return error.to_string(),
        };
        let told = match serde_json::from_slice::<Streamed<WatchResponse>>(&line) {
            Ok(Streamed { result: Some(told), .. }) => told,
            Ok(Streamed { error, .. }) => {
                shared.client.forget_token();
                return error
                    .map_or_else(|| "its member ended it".to_owned(), |error| error.to_string());
            }
            Err(error) => return format!("what it tells cannot be read: {error}"),
        };
        for event in &told.events {
            *seen = (*seen).max(event.kv.mod_revision);
            // A document that is removed has no value: nobody removes this one.
            match documents::decode_epoch(&shared.place, &event.kv.value.0) {
                Ok(newest) => raise(epoch, newest),
                Err(error) => tracing::warn!(%error, "what the watch tells cannot be read"),
            }
        }
        if told.canceled {
            shared.client.forget_token();
            // The caller looks at what is newest, which is what was missed.
            return match told.compact_revision {
                Number(0) => format!("its member ended it: {}", told.cancel_reason),
                Number(oldest) => format!("revisions before {oldest} have been compacted away"),
            };
        }
    }
}
