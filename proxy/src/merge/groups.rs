//! Groups found by hash, however many.
//!
//! ```text
//!  rows ──key──▶ a group that is there: its state takes the row
//!           └──▶ a new one: there is room ──▶ it is made
//!                           there is none ──▶ the row is put aside, in parts by the key's hash
//!  the end:  the groups in memory come out; then each part is grouped in the same way
//! ```
//!
//! The groups come out in the order in which they were first met.

use std::borrow::Cow;

use async_trait::async_trait;
use dataman_pg::{PgError, Value};

use super::distinct::put_key_bytes;
use super::keys::{KEY_BYTES, KeyTable};
use super::memory::{Account, Memory, row_bytes};
use super::pace::Pace;
use super::partition::{Partition, Partitions};
use super::rows::{BATCH_ROWS, Connections, Row, ValueStream};
use super::sorter::{Sorted, Sorter};
use crate::error::Error;
use crate::plan::operator::GroupingSets;

/// What the operator is called where it has no more room.
pub(super) const WHAT: &str = "grouping";

/// What a group's state holds, roughly, for each aggregate.
const STATE_BYTES: usize = 128;

/// What is computed for each group.
pub(super) trait Aggregation: Send {
    /// A group's state, which does not grow much with its rows.
    type State: Send;

    /// How many aggregates there are.
    fn count(&self) -> usize;

    /// A new group's state.
    fn fresh(&self) -> Result<Self::State, PgError>;

    /// The key of a row.
    fn key<'r>(&self, row: &'r [Value]) -> Result<Cow<'r, [Value]>, Error>;

    /// Appends the bytes that tell a row's group from the others.
    fn put_key(&self, row: &[Value], bytes: &mut Vec<u8>) -> Result<(), Error> {
        put_key_bytes(self.key(row)?.iter(), bytes);
        Ok(())
    }

    /// Takes a row of a group; gives how many bytes more the state holds.
    fn take(&mut self, state: &mut Self::State, row: &[Value]) -> Result<usize, Error>;

    /// Appends the aggregates' values.
    fn finish(&self, state: Self::State, row: &mut Row) -> Result<(), Error>;
}

/// The sets by which rows are grouped, and the bytes that tell a set's groups apart.
#[derive(Debug, Clone)]
pub(super) struct Sets(Option<GroupingSets>);

impl Sets {
    pub(super) fn new(sets: Option<&GroupingSets>) -> Self {
        Self(sets.cloned())
    }

    /// Whether there is one set, of all keys.
    pub(super) fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    /// How many sets each row is grouped by.
    pub(super) fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |sets| sets.sets.len())
    }

    /// Whether a set has no keys, so that its group is there without a row.
    pub(super) fn is_empty(&self, set: usize, keys: usize) -> bool {
        self.0.as_ref().map_or(keys == 0, |sets| sets.sets[set].is_empty())
    }

    /// The bytes of a row's group.
    pub(super) fn put_key(&self, set: usize, key: &[Value], bytes: &mut Vec<u8>) {
        bytes.clear();
        match &self.0 {
            None => put_key_bytes(key.iter(), bytes),
            Some(sets) => {
                bytes.extend_from_slice(&set.to_be_bytes());
                let chosen = sets.sets.get(set).into_iter().flatten();
                put_key_bytes(chosen.filter_map(|place| key.get(*place)), bytes);
            }
        }
    }

    /// The set that the bytes of a group are of.
    pub(super) fn set_of(&self, bytes: &[u8]) -> usize {
        let number = bytes.get(..size_of::<usize>()).and_then(|bytes| bytes.try_into().ok());
        if self.is_plain() { 0 } else { number.map_or(0, usize::from_be_bytes) }
    }

    /// The key that comes out: what is not in the set is NULL.
    pub(super) fn shown(&self, set: usize, key: &[Value]) -> Row {
        let mut key = key.to_vec();
        if let Some(chosen) = self.0.as_ref().and_then(|sets| sets.sets.get(set)) {
            for (place, value) in key.iter_mut().enumerate() {
                if !chosen.contains(&place) {
                    *value = Value::Null;
                }
            }
        }
        key
    }

    /// Appends the values of the calls of GROUPING.
    pub(super) fn put_calls(&self, set: usize, row: &mut Row) {
        let Some(sets) = &self.0 else { return };
        let chosen = sets.sets.get(set);
        for call in &sets.calls {
            let is_left_out = |place: &usize| !chosen.is_some_and(|set| set.contains(place));
            let bits =
                call.iter().fold(0, |bits, place| (bits << 1) | i32::from(is_left_out(place)));
            row.push(Value::Int4(bits));
        }
    }
}

/// Rows, grouped.
pub(super) struct Groups<A: Aggregation> {
    aggregation: A,
    sets: Sets,
    memory: Memory,
    account: Account,
    pace: Pace,
    keys: KeyTable,
    groups: Vec<Group<A::State>>,
    /// Where the rows are that belong to no group in memory.
    parts: Option<Partitions>,
    depth: u32,
    /// The rows taken, each counted once for each set.
    number: u64,
    bytes: Vec<u8>,
}

struct Group<S> {
    set: usize,
    /// The number of its first row.
    number: u64,
    key: Row,
    state: S,
}

impl<A: Aggregation> Groups<A> {
    /// No rows yet. The group of everything, and of each empty set, is there without one.
    pub(super) fn new(
        aggregation: A,
        sets: Sets,
        keys: usize,
        memory: &Memory,
    ) -> Result<Self, Error> {
        let mut groups = Self {
            aggregation,
            sets,
            memory: memory.clone(),
            account: memory.account(),
            pace: memory.pace(),
            keys: KeyTable::default(),
            groups: Vec::new(),
            parts: None,
            depth: 0,
            number: 0,
            bytes: Vec::new(),
        };
        let nothing = vec![Value::Null; keys];
        for set in 0..groups.sets.count() {
            if groups.sets.is_empty(set, keys) {
                groups.sets.put_key(set, &nothing, &mut groups.bytes);
                groups.find_or_make(set, &nothing)?;
            }
        }
        Ok(groups)
    }

    /// Takes a row.
    pub(super) async fn push(&mut self, row: &Row) -> Result<(), Error> {
        self.pace.step().await?;
        if self.sets.is_plain() {
            self.bytes.clear();
            self.aggregation.put_key(row, &mut self.bytes)?;
            if let Some(place) = self.keys.find(&self.bytes) {
                self.number += 1;
                return self.take(place, row);
            }
        }
        let key = self.aggregation.key(row)?;
        for set in 0..self.sets.count() {
            self.number += 1;
            self.sets.put_key(set, &key, &mut self.bytes);
            match self.find_or_make(set, &key)? {
                Some(place) => self.take(place, row)?,
                None => {
                    let parts = self
                        .parts
                        .get_or_insert_with(|| Partitions::new(&self.memory, WHAT, self.depth));
                    parts.push_numbered(&mut self.bytes, self.number, row).await?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, place: usize, row: &Row) -> Result<(), Error> {
        let grown = self.aggregation.take(&mut self.groups[place].state, row)?;
        if grown > 0 {
            self.account.take(grown, "an aggregate")?;
        }
        Ok(())
    }

    /// The place of the group whose bytes are in hand; none when it is not there and there is no room for it.
    fn find_or_make(&mut self, set: usize, key: &[Value]) -> Result<Option<usize>, Error> {
        if let Some(place) = self.keys.find(&self.bytes) {
            return Ok(Some(place));
        }
        // Once a group has been put aside, those that come after it are too: they come out after it.
        if self.parts.is_some() {
            return Ok(None);
        }
        let bytes = self.bytes.len()
            + KEY_BYTES
            + row_bytes(key)
            + STATE_BYTES * (1 + self.aggregation.count());
        if !self.account.has_room(bytes) {
            if !self.groups.is_empty() {
                return Ok(None);
            }
            self.account.overdraw(bytes);
        }
        let (place, _) = self.keys.insert(&self.bytes);
        let state = self.aggregation.fresh()?;
        let key = self.sets.shown(set, key);
        self.groups.push(Group { set, number: self.number, key, state });
        Ok(Some(place))
    }

    /// All groups.
    pub(super) fn finish(mut self) -> Grouped<A> {
        let ready = std::mem::take(&mut self.groups).into_iter();
        self.keys.clear();
        Grouped { groups: self, ready, late: None }
    }

    fn row(&self, group: Group<A::State>) -> Result<Row, Error> {
        let mut row = group.key;
        self.aggregation.finish(group.state, &mut row)?;
        self.sets.put_calls(group.set, &mut row);
        Ok(row)
    }

    /// Groups what was put aside.
    async fn of_parts(&mut self, parts: Partitions) -> Result<Sorted, Error> {
        let mut sorter = Sorter::new(&self.memory, WHAT);
        let mut todo: Vec<Partition> = parts.finish().await?;
        while let Some(part) = todo.pop() {
            self.depth = part.depth;
            let mut reader = part.reader();
            while let Some(entry) = reader.next().await? {
                self.pace.step().await?;
                let (bytes, number) = entry.key.split_at(entry.key.len().saturating_sub(8));
                self.number = number.try_into().map_or(0, u64::from_be_bytes);
                self.bytes.clear();
                self.bytes.extend_from_slice(bytes);
                let set = self.sets.set_of(bytes);
                let key = self.aggregation.key(&entry.row)?;
                match self.find_or_make(set, &key)? {
                    Some(place) => self.take(place, &entry.row)?,
                    None => {
                        self.parts
                            .get_or_insert_with(|| Partitions::new(&self.memory, WHAT, self.depth))
                            .push_by(bytes, &entry.key, &entry.row)
                            .await?;
                    }
                }
            }
            for group in std::mem::take(&mut self.groups) {
                self.pace.step().await?;
                let number = group.number.to_be_bytes();
                let row = self.row(group)?;
                sorter.push(&number, row).await?;
            }
            self.keys.clear();
            self.account.clear();
            if let Some(parts) = self.parts.take() {
                todo.extend(parts.finish().await?);
            }
        }
        sorter.finish().await
    }
}

/// Groups as they come out.
pub(super) struct Grouped<A: Aggregation> {
    groups: Groups<A>,
    ready: std::vec::IntoIter<Group<A::State>>,
    late: Option<Sorted>,
}

#[async_trait]
impl<A: Aggregation> ValueStream for Grouped<A> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS {
            let Some(group) = self.ready.next() else { break };
            rows.push(self.groups.row(group)?);
            self.groups.pace.step().await?;
        }
        if !rows.is_empty() {
            return Ok(Some(rows));
        }
        if let Some(parts) = self.groups.parts.take() {
            self.groups.account.clear();
            self.late = Some(self.groups.of_parts(parts).await?);
        }
        match &mut self.late {
            Some(late) => late.batch(&mut self.groups.pace).await,
            None => Ok(None),
        }
    }

    async fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::testing::{memory, read};

    /// The sum and the number of the second column by the first one.
    struct Sum;

    impl Aggregation for Sum {
        type State = (i64, i64);

        fn count(&self) -> usize {
            2
        }

        fn fresh(&self) -> Result<Self::State, PgError> {
            Ok((0, 0))
        }

        fn key<'r>(&self, row: &'r [Value]) -> Result<Cow<'r, [Value]>, Error> {
            Ok(Cow::Borrowed(&row[..1]))
        }

        fn take(&mut self, state: &mut Self::State, row: &[Value]) -> Result<usize, Error> {
            let Value::Int8(number) = row[1] else { return Ok(0) };
            *state = (state.0 + number, state.1 + 1);
            Ok(0)
        }

        fn finish(&self, state: Self::State, row: &mut Row) -> Result<(), Error> {
            row.extend([Value::Int8(state.0), Value::Int8(state.1)]);
            Ok(())
        }
    }

    /// With little memory the same groups come in the same order.
    async fn check(count: i64, different: i64, sets: Option<&GroupingSets>, bytes: usize) {
        let mut all = Vec::new();
        for bytes in [1 << 28, bytes] {
            let (memory, _folder) = memory(bytes);
            let mut groups =
                Groups::new(Sum, Sets::new(sets), 1, &memory).expect("there are groups");
            for number in 0..count {
                let key = (number * 7919) % different;
                let key = if key == 5 { Value::Null } else { Value::Int8(key) };
                groups.push(&vec![key, Value::Int8(number)]).await.expect("there is room");
            }
            let mut grouped = groups.finish();
            all.push(read(&mut grouped).await);
            drop(grouped);
            assert_eq!(memory.temporary().written() > 0, bytes < 1 << 28);
            assert_eq!(memory.used(), 0);
        }
        assert!(!all[0].is_empty() && all[0] == all[1]);
    }

    #[tokio::test]
    async fn groups_are_the_same_in_memory_and_in_files() {
        check(20_000, 3000, None, 256 * 1024).await;
        check(30_000, 20_000, None, 64 * 1024).await;
        let sets = GroupingSets { sets: vec![vec![0], Vec::new(), vec![0]], calls: vec![vec![0]] };
        check(5000, 4000, Some(&sets), 64 * 1024).await;
    }
}
