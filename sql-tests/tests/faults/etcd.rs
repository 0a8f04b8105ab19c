//! Metadata in etcd: the stores' conformance, and members that die, freeze and forget.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dataman_metadata::id::Epoch;
use dataman_metadata::sample;
use dataman_metadata::store::etcd::EtcdStore;
use dataman_metadata::store::{Store, StoreError, conformance};
use dataman_metadata::watch::SnapshotWatch;
use dataman_sql_tests::etcd::Etcd;
use serde_json::json;
use tokio::time::timeout;

use crate::encryption::CERTIFICATES;
use crate::setup::{PATIENCE, until};

/// Waits until a watch is at an epoch.
async fn seen(watch: &SnapshotWatch, epoch: Epoch) {
    timeout(PATIENCE, watch.wait_for(epoch)).await.expect("told in time").expect("it lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let etcd = Etcd::start(1).await.expect("etcd starts");
    let count = AtomicU32::new(0);
    conformance::run(|| {
        let url = etcd.url(&format!("c{}", count.fetch_add(1, Ordering::Relaxed)));
        async move { Arc::new(EtcdStore::open(&url).await.expect("opens")) as Arc<dyn Store> }
    })
    .await;
}

/// Members die and freeze one at a time, the leader among them; commits and watchers go on. Then most of them, and it is said.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_members_is_lost() {
    let mut etcd = Etcd::start(3).await.expect("etcd starts");
    let writer = EtcdStore::open(&etcd.url_of(&[0, 1, 2], "c")).await.expect("opens");
    let reader = EtcdStore::open(&etcd.url_of(&[1, 2, 0], "c")).await.expect("opens");
    let watch = SnapshotWatch::start(Arc::new(reader)).await.expect("readable");
    let mut epoch = writer.commit(Epoch(0), &sample::cluster(2)).await.expect("valid").epoch;
    seen(&watch, epoch).await;

    for member in 0..3 {
        etcd.kill(member).expect("killed");
        epoch = writer.commit(epoch, &[]).await.expect("two members are enough").epoch;
        seen(&watch, epoch).await;
        etcd.start_again(member).expect("started");
        etcd.wait(member).await.expect("answers");
    }
    for round in 0..3 {
        let member = if round == 0 { etcd.leader().await.expect("one leads") } else { round };
        etcd.freeze(member).expect("frozen");
        epoch = writer.commit(epoch, &[]).await.expect("two members are enough").epoch;
        seen(&watch, epoch).await;
        let lease = writer.grant_lease("l", "one", Duration::from_secs(30)).await.expect("free");
        writer.renew_lease(&lease, Duration::from_secs(30)).await.expect("holds");
        writer.release_lease(&lease).await.expect("given back");
        etcd.thaw(member).expect("thawed");
        etcd.wait(member).await.expect("answers");
    }

    etcd.kill(0).expect("killed");
    etcd.freeze(1).expect("frozen");
    let failed = writer.commit(epoch, &[]).await.expect_err("one member is not enough");
    let StoreError::Unavailable { place, source, .. } = &failed else { panic!("{failed:?}") };
    for member in 0..3 {
        assert!(place.contains(&etcd.address(member)), "{place}");
        assert!(source.to_string().contains(&etcd.address(member)), "{source}");
    }
    assert_eq!(watch.epoch(), epoch, "the last snapshot stays");
    etcd.start_again(0).expect("started");
    etcd.thaw(1).expect("thawed");
    etcd.wait(0).await.expect("answers");
    // Whether the commit that failed was made after all is open.
    let newest = writer.read().await.expect("answers").epoch;
    assert!(newest == epoch || newest == Epoch(epoch.0 + 1), "{newest} after {epoch}");
    epoch = writer.commit(newest, &[]).await.expect("answers").epoch;
    seen(&watch, epoch).await;
}

/// A watcher whose member was away while revisions went and were compacted goes on with what is newest.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_after_compaction() {
    let mut etcd = Etcd::start(1).await.expect("etcd starts");
    let relay = crate::relay::Relay::start(&etcd.address(0)).await;
    let writer = EtcdStore::open(&etcd.url("c")).await.expect("opens");
    let url = format!("etcd://{}?cluster=c", relay.address());
    let reader: Arc<dyn Store> = Arc::new(EtcdStore::open(&url).await.expect("opens"));
    let watch = SnapshotWatch::start(reader).await.expect("readable");
    let mut epoch = writer.commit(Epoch(0), &sample::cluster(2)).await.expect("valid").epoch;
    seen(&watch, epoch).await;
    relay.cut();
    for _ in 0..5 {
        epoch = writer.commit(epoch, &[]).await.expect("answers").epoch;
    }
    let key = STANDARD.encode("/dataman/c/object/meta");
    let range = etcd.post(0, "/v3/kv/range", json!({ "key": key })).await.expect("answers");
    let revision = range["header"]["revision"].clone();
    let compact = json!({ "revision": revision, "physical": true });
    etcd.post(0, "/v3/kv/compaction", compact).await.expect("compacts");
    assert!(watch.epoch() < epoch);
    relay.mend();
    seen(&watch, epoch).await;
    epoch = writer.commit(epoch, &[]).await.expect("answers").epoch;
    seen(&watch, epoch).await;
    // And after the member itself was away.
    etcd.kill(0).expect("killed");
    etcd.start_again(0).expect("started");
    etcd.wait(0).await.expect("answers");
    epoch = writer.commit(epoch, &[]).await.expect("answers").epoch;
    seen(&watch, epoch).await;
}

/// A lease of a holder who is gone ends by etcd's time.
#[tokio::test(flavor = "multi_thread")]
async fn leases_end_by_themselves() {
    let etcd = Etcd::start(1).await.expect("etcd starts");
    let store = EtcdStore::open(&etcd.url("c")).await.expect("opens");
    let span = Duration::from_secs(2);
    let lease = store.grant_lease("node/a", "one", span).await.expect("it is free");
    assert!(store.grant_lease("node/a", "two", span).await.is_err());
    until("the lease ends", async || store.leases("").await.expect("answers").is_empty()).await;
    let over = store.renew_lease(&lease, span).await;
    assert!(matches!(over, Err(StoreError::Lease(_))), "{over:?}");
    let second = store.grant_lease("node/a", "two", span).await.expect("it is free");
    assert!(second.token > lease.token);
}

/// TLS both ways, a user with a password, and what is said when one of them is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn encryption_and_passwords() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("sh")
        .args(["-c", CERTIFICATES])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let arguments = ["--cert-file", &file("server.crt"), "--key-file", &file("server.key")];
    let etcd = Etcd::start_with(1, "https", &arguments.map(str::to_owned)).await.expect("starts");
    let address = etcd.address(0).replace("127.0.0.1", "localhost");
    let ca = file("ca.crt");
    let url = |login: &str, options: &str| format!("etcd://{login}{address}?cluster=c{options}");
    let with_ca = format!("&ca={ca}");
    until("etcd answers", async || EtcdStore::open(&url("", &with_ca)).await.is_ok()).await;
    let store = EtcdStore::open(&url("", &with_ca)).await.expect("opens");
    let first = store.commit(Epoch(0), &sample::cluster(2)).await.expect("valid");
    // Users are made as an operator makes them, through the same gateway.
    for (path, request) in [
        ("/v3/auth/user/add", json!({"name": "root", "password": "secret word"})),
        ("/v3/auth/user/grant", json!({"user": "root", "role": "root"})),
        ("/v3/auth/enable", json!({})),
    ] {
        let output = Command::new("curl")
            .args(["-sS", "--fail", "--cacert", &ca, &format!("https://{address}{path}"), "-d"])
            .arg(request.to_string())
            .output()
            .expect("curl is there");
        assert!(output.status.success(), "{path}: {output:?}");
    }
    let known = EtcdStore::open(&url("root:secret%20word@", &with_ca)).await.expect("let in");
    assert_eq!(known.read().await.expect("readable"), first);
    known.commit(Epoch(1), &[]).await.expect("may write");

    let check = async |login: &str, options: &str, expected: &str| {
        let error = EtcdStore::open(&url(login, options)).await.expect_err("refused");
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error}: {}", cause.unwrap_or_default());
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("secret") && !text.contains("wrong"), "{text}");
    };
    check("root:wrong@", &with_ca, "authentication failed, invalid user ID or password").await;
    check("", &with_ca, "user name is empty").await;
    check("", "", "connection closed before message completed").await;
    let other = file("server.crt");
    check("root:secret%20word@", &format!("&ca={other}"), "invalid peer certificate").await;
}
