//! The suite that every store is run through. For tests: it panics where a promise is broken.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::change::{Change, Object, ObjectKind};
use crate::id::Epoch;
use crate::lease::LeaseError;
use crate::sample;
use crate::schema::Sequence;
use crate::sequence::SequenceState;
use crate::snapshot::Snapshot;
use crate::store::backup::Backup;
use crate::store::contract::{Store, StoreError};

/// Runs the whole suite; `make` gives an empty store each time.
///
/// # Panics
/// Where a promise of [`Store`] is broken.
pub async fn run<F: Future<Output = Arc<dyn Store>>>(make: impl Fn() -> F) {
    starts_empty(&*make().await).await;
    commits_in_order(&*make().await).await;
    refuses_what_does_not_fit(&*make().await).await;
    one_of_many_wins(make().await).await;
    tells_watchers(make().await).await;
    sequences_follow_their_rules(&*make().await).await;
    sequences_never_repeat(make().await).await;
    leases_have_one_holder(&*make().await).await;
    backups_come_back(&*make().await, &*make().await).await;
    large_changes_are_made_whole(make().await).await;
}

/// A store that nobody has written holds the empty snapshot.
///
/// # Panics
/// When it does not.
pub async fn starts_empty(store: &dyn Store) {
    assert_eq!(*store.read().await.expect("an empty store can be read"), Snapshot::empty());
    assert_eq!(*store.watch().borrow(), Epoch(0));
}

/// Each commit makes the next epoch, which is what a reader sees; a stale one conflicts.
///
/// # Panics
/// When that is not so.
pub async fn commits_in_order(store: &dyn Store) {
    let first = store.commit(Epoch(0), &sample::cluster(4)).await.expect("the sample is valid");
    assert_eq!(first.epoch, Epoch(1));
    assert_eq!(store.read().await.expect("readable"), first);
    let stale = store.commit(Epoch(0), &sample::cluster(4)).await;
    assert!(
        matches!(stale, Err(StoreError::Conflict { expected: Epoch(0), found: Epoch(1) })),
        "{stale:?}"
    );
    let early = store.commit(Epoch(2), &[]).await;
    assert!(
        matches!(early, Err(StoreError::Conflict { expected: Epoch(2), found: Epoch(1) })),
        "{early:?}"
    );

    let mut oids = first.oids();
    let create = sample::create_table(&mut oids, "odd / name % é");
    let second = store.commit(Epoch(1), &[create]).await.expect("a table can be created");
    assert_eq!(store.read().await.expect("readable"), second);
    assert!(second.collection(sample::DATABASE, "public", "odd / name % é").is_some());
    assert_eq!(second.next_oid, first.next_oid + 2);

    let drop = Change::Drop { at: sample::named("odd / name % é"), kind: ObjectKind::Collection };
    let third = store.commit(Epoch(2), &[drop]).await.expect("a table can be dropped");
    assert_eq!(store.read().await.expect("readable"), third);
    assert_eq!(third.databases, first.databases);
    assert_eq!(third.next_oid, second.next_oid, "OIDs are never used again");
}

/// Changes that do not fit leave nothing behind.
///
/// # Panics
/// When they do.
pub async fn refuses_what_does_not_fit(store: &dyn Store) {
    let first = store.commit(Epoch(0), &sample::cluster(2)).await.expect("the sample is valid");
    let mut oids = first.oids();
    let twice = [sample::create_table(&mut oids, "t"), sample::create_table(&mut oids, "t")];
    let refused = store.commit(Epoch(1), &twice).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(store.read().await.expect("readable"), first);
}

/// Of several commits on one epoch exactly one wins.
///
/// # Panics
/// When none or more do.
pub async fn one_of_many_wins(store: Arc<dyn Store>) {
    const TASKS: usize = 8;
    let first = store.commit(Epoch(0), &sample::cluster(2)).await.expect("the sample is valid");
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (store, mut oids) = (store.clone(), first.oids());
        let change = sample::create_table(&mut oids, &format!("t{task}"));
        tasks.spawn(async move { store.commit(Epoch(1), &[change]).await });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results.iter().all(|result| matches!(result, Ok(_) | Err(StoreError::Conflict { .. }))),
        "{results:?}"
    );
    let tables = store.read().await.expect("readable").databases[&sample::DATABASE.into()]
        .collections()
        .count();
    assert_eq!(tables, 1);
}

/// A watcher sees the newest epoch, and not each one in between.
///
/// # Panics
/// When it does not.
pub async fn tells_watchers(store: Arc<dyn Store>) {
    let mut watch = store.watch();
    store.commit(Epoch(0), &sample::cluster(2)).await.expect("the sample is valid");
    store.commit(Epoch(1), &[]).await.expect("no change is a change of epoch");
    let seen =
        tokio::time::timeout(Duration::from_secs(10), watch.wait_for(|epoch| *epoch >= Epoch(2)))
            .await;
    assert_eq!(*seen.expect("it is told in time").expect("the store lives"), Epoch(2));
}

async fn with_sequence(store: &dyn Store, name: &str, edit: impl FnOnce(&mut Sequence)) {
    let mut before = store.read().await.expect("readable");
    if before.databases.is_empty() {
        before =
            store.commit(before.epoch, &sample::cluster(1)).await.expect("the sample is valid");
    }
    let mut sequence = sample::sequence(&mut before.oids());
    edit(&mut sequence);
    let create = Change::Create { at: sample::named(name), object: Object::Sequence(sequence) };
    store.commit(before.epoch, &[create]).await.expect("a sequence can be created");
}

/// Blocks follow start, increment, bounds and cycle; setval and RESTART move them; renaming does not; dropping forgets.
///
/// # Panics
/// When that is not so.
pub async fn sequences_follow_their_rules(store: &dyn Store) {
    let missing = store.take_sequence_block(&sample::named("none"), 1).await;
    assert!(matches!(missing, Err(StoreError::SequenceMissing(_))), "{missing:?}");

    with_sequence(store, "s", |sequence| {
        (sequence.start, sequence.increment, sequence.max) = (5, 2, 12)
    })
    .await;
    let name = sample::named("s");
    assert_eq!(
        store.read_sequence(&name).await.expect("there"),
        SequenceState { last_value: 5, is_called: false }
    );
    let take = async |count| {
        store
            .take_sequence_block(&name, count)
            .await
            .map(|block| block.values().collect::<Vec<_>>())
    };
    assert_eq!(take(2).await.expect("numbers are left"), [5, 7]);
    assert_eq!(take(9).await.expect("numbers are left"), [9, 11]);
    let exhausted = take(1).await.expect_err("its end is reached");
    assert_eq!(exhausted.to_string(), "nextval: reached maximum value of sequence \"s\" (12)");
    assert_eq!(
        store.read_sequence(&name).await.expect("there"),
        SequenceState { last_value: 11, is_called: true }
    );

    store.set_sequence(&name, 3, false).await.expect("within its bounds");
    assert_eq!(take(1).await.expect("numbers are left"), [3]);
    let outside = store.set_sequence(&name, 13, true).await.expect_err("out of its bounds");
    assert_eq!(outside.to_string(), "setval: value 13 is out of bounds for sequence \"s\" (1..12)");

    let epoch = store.read().await.expect("readable").epoch;
    let rename =
        Change::Rename { at: name.clone(), kind: ObjectKind::Sequence, to: "renamed".to_owned() };
    store.commit(epoch, &[rename]).await.expect("it can be renamed");
    let renamed = sample::named("renamed");
    assert_eq!(store.take_sequence_block(&renamed, 1).await.expect("numbers are left").first, 5);
    assert!(store.read_sequence(&name).await.is_err());

    let epoch = store.read().await.expect("readable").epoch;
    store
        .commit(epoch, &[Change::Drop { at: renamed, kind: ObjectKind::Sequence }])
        .await
        .expect("it can be dropped");
    with_sequence(store, "s", |sequence| (sequence.max, sequence.cycle) = (2, true)).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.extend(take(1).await.expect("it cycles"));
    }
    assert_eq!(seen, [1, 2, 1, 2, 1]);
}

/// Many takers never get the same number.
///
/// # Panics
/// When two do.
pub async fn sequences_never_repeat(store: Arc<dyn Store>) {
    const TASKS: u64 = 4;
    const BLOCKS: u64 = 10;
    const NUMBERS: u64 = 7;
    with_sequence(&*store, "s", |_| ()).await;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..BLOCKS {
                let block = store
                    .take_sequence_block(&sample::named("s"), NUMBERS)
                    .await
                    .expect("numbers are left");
                taken.extend(block.values());
            }
            taken
        });
    }
    let taken = tasks.join_all().await.concat();
    let distinct = taken.iter().collect::<HashSet<_>>();
    assert_eq!(distinct.len(), taken.len());
    let count = i64::try_from(TASKS * BLOCKS * NUMBERS).expect("small");
    assert_eq!(taken.iter().max(), Some(&count));
}

/// A lease has one holder at a time and its tokens rise.
///
/// # Panics
/// When that is not so.
pub async fn leases_have_one_holder(store: &dyn Store) {
    const LONG: Duration = Duration::from_secs(3600);
    let first = store.grant_lease("node/a", "one", LONG).await.expect("it is free");
    let held = store.grant_lease("node/a", "two", LONG).await;
    assert!(matches!(held, Err(StoreError::Lease(LeaseError::Held { .. }))), "{held:?}");
    let other = store.grant_lease("node/b", "two", LONG).await.expect("it is free");
    store.grant_lease("proxy/a", "two", LONG).await.expect("it is free");
    assert_eq!(store.leases("node/").await.expect("readable"), [first.clone(), other]);

    store.annotate_lease(&first, "here").await.expect("it holds");
    let noted = store.leases("node/a").await.expect("readable");
    assert_eq!(noted.iter().map(|lease| lease.note.as_str()).collect::<Vec<_>>(), ["here"]);

    let renewed = store.renew_lease(&first, LONG * 2).await.expect("it holds");
    assert!(renewed.expires > first.expires && renewed.token == first.token);
    store.release_lease(&first).await.expect("it can be given back");
    store.release_lease(&first).await.expect("twice is no error");
    let over = store.renew_lease(&first, LONG).await;
    assert!(matches!(over, Err(StoreError::Lease(LeaseError::Over { .. }))), "{over:?}");
    let over = store.annotate_lease(&first, "late").await;
    assert!(matches!(over, Err(StoreError::Lease(LeaseError::Over { .. }))), "{over:?}");

    let second = store.grant_lease("node/a", "two", Duration::ZERO).await.expect("it is free");
    assert!(second.token > first.token);
    let third = store.grant_lease("node/a", "three", LONG).await.expect("the second has expired");
    assert!(third.token > second.token);
}

/// What was backed up is what is there after restoring, in the same store or another one, under a newer epoch.
///
/// # Panics
/// When that is not so.
pub async fn backups_come_back(store: &dyn Store, other: &dyn Store) {
    with_sequence(store, "s", |_| ()).await;
    let name = sample::named("s");
    store.take_sequence_block(&name, 5).await.expect("numbers are left");
    let backup = store.backup().await.expect("readable");
    let before = store.read().await.expect("readable");
    assert_eq!(backup.snapshot, before);

    let drop = Change::Drop { at: name.clone(), kind: ObjectKind::Sequence };
    store.commit(before.epoch, &[drop]).await.expect("it can be dropped");
    with_sequence(store, "later", |_| ()).await;
    let later = sample::named("later");
    store.take_sequence_block(&later, 2).await.expect("numbers are left");
    let changed = store.read().await.expect("readable");
    let stale = store.restore(before.epoch, &backup).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    let restored = store.restore(changed.epoch, &backup).await.expect("it is the newest epoch");
    assert_eq!(store.read().await.expect("readable"), restored);
    assert!(restored.epoch > changed.epoch && restored.next_oid == changed.next_oid);
    assert_eq!(restored.databases, before.databases);
    assert!(store.read_sequence(&later).await.is_err());

    let text = backup.to_text();
    let read = Backup::from_text("here", &text).expect("it was written so");
    assert_eq!(read, backup);
    let moved = other.restore(Epoch(0), &read).await.expect("an empty store takes it");
    assert!(moved.epoch > before.epoch);
    for store in [store, other] {
        let block = store.take_sequence_block(&name, 1).await.expect("numbers are left");
        assert_eq!(block.first, 6, "numbers go on after the last one backed up");
    }
}

/// A change of hundreds of objects and some megabytes is made as a whole, and so is its undoing.
///
/// # Panics
/// When it is not.
pub async fn large_changes_are_made_whole(store: Arc<dyn Store>) {
    const TABLES: usize = 300;
    let first = store.commit(Epoch(0), &sample::cluster(2)).await.expect("the sample is valid");
    let mut oids = first.oids();
    let create = |number: usize, oids: &mut crate::snapshot::OidAllocator| {
        let mut table = sample::sharded_table(oids, &format!("t{number}"));
        table.comment = Some("\"long\" ".repeat(1000));
        let (at, object) = (sample::named(&format!("t{number}")), Object::Collection(table));
        Change::Create { at, object }
    };
    let changes = (0..TABLES).map(|number| create(number, &mut oids)).collect::<Vec<_>>();
    let second = store.commit(Epoch(1), &changes).await.expect("any size can be made");
    assert_eq!(store.read().await.expect("readable"), second);
    let stale = store.commit(Epoch(1), &changes).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    let drops = (0..TABLES).map(|number| Change::Drop {
        at: sample::named(&format!("t{number}")),
        kind: ObjectKind::Collection,
    });
    let drops = drops.collect::<Vec<_>>();
    let third = store.commit(Epoch(2), &drops).await.expect("they can be dropped");
    assert_eq!(third.databases, first.databases);
    assert_eq!(store.read().await.expect("readable"), third);
}
