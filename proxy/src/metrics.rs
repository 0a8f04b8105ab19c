//! What a proxy counts, as Prometheus reads it: `GET /metrics` where `--metrics` says. Agents answer in the same way.
//!
//! Numbers only, and the names of datastores and datasources: no statement, user or address. Labels come from the metadata.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use dataman_metadata::member::{MemberKind, NodeState};
use dataman_metadata::replica::ReplicaRole;
use dataman_node_protocol::metrics::Page;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::cluster::Cluster;

/// How many ask at a time; others wait to be accepted.
const CLIENTS_MAX: usize = 8;

/// How long one may take from its connection to the last byte.
const CLIENT_TIME: Duration = Duration::from_secs(5);

/// The bytes that are read of a request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Answers whoever asks a proxy. Ends never.
pub async fn serve(cluster: &Cluster, listener: TcpListener) {
    serve_pages(listener, async || text(cluster)).await;
}

/// Answers whoever asks, with what `text` gives each time. Ends never.
pub async fn serve_pages(listener: TcpListener, text: impl AsyncFn() -> String) {
    let mut answering = FuturesUnordered::new();
    loop {
        // Both branches lose nothing when they are dropped: answers go on in their set.
        tokio::select! {
            accepted = listener.accept(), if answering.len() < CLIENTS_MAX => match accepted {
                Ok((socket, _)) => answering.push(answer(&text, socket)),
                Err(error) => {
                    tracing::warn!(%error, "a client of the metrics could not be accepted");
                    tokio::time::sleep(CLIENT_TIME / 10).await;
                }
            },
            Some(()) = answering.next(), if !answering.is_empty() => {}
        }
    }
}

async fn answer(text: &impl AsyncFn() -> String, socket: TcpStream) {
    let service = service_fn(async |request: Request<Incoming>| {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => (StatusCode::OK, text().await),
            _ => (StatusCode::NOT_FOUND, "only GET /metrics is answered\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    // Whether it was heard is the other side's concern.
    let _ = timeout(CLIENT_TIME, connection).await;
}

/// The metrics as text.
fn text(cluster: &Cluster) -> String {
    let mut page = Page::default();
    let activity = cluster.activity();
    let counts = activity.counts();
    page.family("dataman_sessions", "gauge", "Clients that are connected.");
    page.sample("dataman_sessions", &[], activity.session_count());
    page.family("dataman_statements_total", "counter", "Statements that have ended.");
    for (outcome, count) in [("ok", counts.ended), ("failed", counts.failed)] {
        page.sample("dataman_statements_total", &[("outcome", outcome)], count);
    }
    page.family("dataman_statement_seconds_total", "counter", "Time that statements took.");
    page.sample("dataman_statement_seconds_total", &[], counts.seconds);
    page.family("dataman_refusals_total", "counter", "Statements that dataman does not support.");
    page.sample("dataman_refusals_total", &[], counts.refused);
    let snapshot = cluster.snapshot();
    page.family("dataman_epoch", "gauge", "The epoch of the metadata that this proxy has.");
    page.sample("dataman_epoch", &[], snapshot.epoch.0);
    let members = cluster.members();
    page.family("dataman_node_out", "gauge", "Whether shards are on a node whose agent is gone.");
    for node in snapshot.nodes.values() {
        let its = members.iter().find(|one| one.kind == MemberKind::Node && one.name == node.id.0);
        let is_out = NodeState::of(&snapshot, node, its) == NodeState::Out;
        page.sample("dataman_node_out", &[("node", &node.id.0)], u8::from(is_out));
    }
    page.family("dataman_copy_reachable", "gauge", "Whether a copy of a shard answers.");
    page.family(
        "dataman_copy_primary",
        "gauge",
        "Whether a copy of a shard says it is the primary.",
    );
    page.family("dataman_copy_lag_seconds", "gauge", "How far a copy is behind at most.");
    page.family("dataman_copy_lag_bytes", "gauge", "How far a copy is behind, in its log.");
    for datastore in snapshot.datastores.values() {
        for shard in datastore.shard_ids() {
            let Some(copies) = datastore.shard(shard) else { continue };
            if copies.replicas.is_empty() {
                continue;
            }
            for (copy, _) in copies.copies() {
                let seen = cluster.replicas().shown(copies, copy);
                let (number, name) = (shard.0.to_string(), copy.to_string());
                let labels =
                    [("datastore", &*datastore.id.0), ("shard", &number), ("datasource", &name)];
                let is_there = u8::from(seen.reachable == Some(true));
                page.sample("dataman_copy_reachable", &labels, is_there);
                let is_primary = u8::from(seen.role == Some(ReplicaRole::Primary));
                page.sample("dataman_copy_primary", &labels, is_primary);
                if let Some(lag) = seen.lag {
                    page.sample("dataman_copy_lag_seconds", &labels, lag.as_secs_f64());
                }
                if let Some(bytes) = seen.lag_bytes {
                    page.sample("dataman_copy_lag_bytes", &labels, bytes);
                }
            }
        }
    }
    page.finish()
}
