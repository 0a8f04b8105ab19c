//! Frames that pass as they are: concatenated, or merged by their keys.

use std::cmp::Ordering;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use dataman_node_protocol::node::RowStream;
use dataman_node_protocol::record::{BATCH_BYTES, Batch, Format, Row as WireRow};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, Value, order};
use futures_util::future::{join_all, try_join_all};

use super::rows::{Connections, Row, ValueStream, decode, decode_row};
use crate::error::Error;
use crate::plan::operator::MergeKey;
use crate::scatter::contract::{ResultStream, ShardRef};

/// The streams of one scan.
pub(crate) struct Streams {
    /// Those that are not at their end.
    open: Vec<(ShardRef, Box<dyn RowStream>)>,
    /// Those that are.
    closed: Connections,
    /// The sum of what they report.
    affected: u64,
}

impl Streams {
    pub(crate) fn new(open: Vec<(ShardRef, Box<dyn RowStream>)>) -> Self {
        Self { open, closed: Vec::new(), affected: 0 }
    }

    pub(crate) fn affected(&self) -> u64 {
        self.affected
    }

    fn close(&mut self, place: usize) {
        let (shard, stream) = self.open.remove(place);
        self.affected += stream.end().affected;
        self.closed.push((shard, stream.into_connection()));
    }

    /// The next batch of the first open stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>, Error> {
        while let Some((_, stream)) = self.open.first_mut() {
            match stream.next().await {
                Ok(Some(batch)) => return Ok(Some(batch)),
                Ok(None) => self.close(0),
                Err(error) => {
                    self.close(0);
                    self.drain().await;
                    return Err(error.into());
                }
            }
        }
        Ok(None)
    }

    /// Reads what is left, so that the connections can be used again; what fails then has no one to tell.
    pub(crate) async fn drain(&mut self) {
        join_all(self.open.iter_mut().map(|(_, stream)| read_to_end(stream))).await;
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    pub(crate) fn into_connections(mut self) -> Connections {
        for (shard, stream) in self.open.drain(..) {
            drop(stream);
            self.closed.push((shard, None));
        }
        self.closed
    }
}

async fn read_to_end(stream: &mut Box<dyn RowStream>) {
    while let Ok(Some(_)) = stream.next().await {}
}

/// Rows of several shards in any order, or merged; with a limit.
pub(crate) struct Raw {
    pub(crate) source: RawSource,
    /// The columns that the client sees.
    pub(crate) visible: usize,
    /// The columns that the shards send.
    pub(crate) columns: usize,
    /// Rows to leave out still.
    pub(crate) offset: u64,
    /// Rows to send still; none for all.
    pub(crate) limit: Option<u64>,
    pub(crate) sent: u64,
    /// The count for the tag is what the shards report, not the rows sent.
    pub(crate) reported: bool,
}

/// Where raw rows come from.
pub(crate) enum RawSource {
    /// One stream after the other.
    Concat(Streams),
    /// All at once, in order.
    Sorted(Sorted),
}

#[async_trait]
impl ResultStream for Raw {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if self.limit == Some(0) {
            self.drain().await;
            return Ok(None);
        }
        loop {
            let batch = match &mut self.source {
                RawSource::Concat(streams) => streams.next().await?,
                RawSource::Sorted(sorted) => sorted.next(self.visible, self.columns).await?,
            };
            let Some(batch) = batch else {
                return Ok(None);
            };
            let cut_columns =
                matches!(self.source, RawSource::Concat(_)) && self.visible < self.columns;
            let plenty =
                self.offset == 0 && self.limit.is_none_or(|limit| batch.rows as u64 <= limit);
            let batch = if plenty && !cut_columns { batch } else { self.cut(&batch, cut_columns) };
            if let Some(limit) = &mut self.limit {
                *limit = limit.saturating_sub(batch.rows as u64);
            }
            self.sent += batch.rows as u64;
            if self.limit == Some(0) {
                self.drain().await;
            }
            if batch.rows > 0 {
                return Ok(Some(batch));
            }
            if self.limit == Some(0) {
                return Ok(None);
            }
        }
    }

    fn affected(&self) -> u64 {
        match &self.source {
            RawSource::Concat(streams) if self.reported => streams.affected(),
            _ => self.sent,
        }
    }

    fn into_connections(self: Box<Self>) -> Connections {
        match self.source {
            RawSource::Concat(streams) => streams.into_connections(),
            RawSource::Sorted(sorted) => sorted.into_connections(),
        }
    }
}

impl Raw {
    /// No rows, from no shard.
    pub(crate) fn nothing() -> Self {
        Self {
            source: RawSource::Concat(Streams::new(Vec::new())),
            visible: 0,
            columns: 0,
            offset: 0,
            limit: None,
            sent: 0,
            reported: false,
        }
    }

    async fn drain(&mut self) {
        match &mut self.source {
            RawSource::Concat(streams) => streams.drain().await,
            RawSource::Sorted(sorted) => sorted.drain().await,
        }
    }

    /// A batch without the rows that OFFSET leaves out and LIMIT does not want, and without hidden columns.
    fn cut(&mut self, batch: &Batch, cut_columns: bool) -> Batch {
        let mut frames = BytesMut::with_capacity(batch.frames.len());
        let mut rows = 0;
        for row in batch.iter() {
            if self.offset > 0 {
                self.offset -= 1;
                continue;
            }
            if self.limit.is_some_and(|limit| rows >= limit) {
                break;
            }
            put_row(&row, if cut_columns { self.visible } else { row.len() }, &mut frames);
            rows += 1;
        }
        Batch { frames: frames.freeze(), rows: usize::try_from(rows).unwrap_or(usize::MAX) }
    }
}

/// Appends the first columns of a row as a DataRow.
fn put_row(row: &WireRow, visible: usize, out: &mut BytesMut) {
    let body = row.body();
    let mut end = 0;
    for _ in 0..visible.min(row.len()) {
        let Some(head) = body.get(end..end + 4) else {
            break;
        };
        let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        end += 4 + usize::try_from(length).unwrap_or(0);
    }
    out.put_u8(b'D');
    out.put_u32(u32::try_from(6 + end).unwrap_or(u32::MAX));
    out.put_u16(u16::try_from(visible).unwrap_or(u16::MAX));
    out.extend_from_slice(body.get(..end).unwrap_or_default());
}

/// Streams that are each in order, merged into one order.
pub(crate) struct Sorted {
    heads: Vec<Head>,
    closed: Connections,
    keys: Vec<MergeKey>,
    /// The format of each key's column.
    formats: Vec<Format>,
    context: Arc<Context>,
    started: bool,
}

/// One stream and its first row.
struct Head {
    shard: ShardRef,
    stream: Box<dyn RowStream>,
    rows: std::vec::IntoIter<WireRow>,
    first: Option<(Vec<Value>, WireRow)>,
}

impl Head {
    /// Moves to the next row; false at the end.
    async fn advance(
        &mut self,
        keys: &[MergeKey],
        formats: &[Format],
        context: &Context,
    ) -> Result<bool, Error> {
        loop {
            if let Some(row) = self.rows.next() {
                let values: Vec<Option<&[u8]>> = row.columns().collect();
                let mut key = Vec::with_capacity(keys.len());
                for (merge_key, format) in keys.iter().zip(formats) {
                    let bytes = values.get(merge_key.column).copied().flatten();
                    key.push(decode(bytes, merge_key.ty, *format, context)?);
                }
                self.first = Some((key, row));
                return Ok(true);
            }
            match self.stream.next().await? {
                Some(batch) => self.rows = batch.iter().collect::<Vec<_>>().into_iter(),
                None => {
                    self.first = None;
                    return Ok(false);
                }
            }
        }
    }
}

impl Sorted {
    pub(crate) fn new(
        streams: Vec<(ShardRef, Box<dyn RowStream>)>,
        keys: Vec<MergeKey>,
        formats: Vec<Format>,
        context: Arc<Context>,
    ) -> Self {
        let heads = streams
            .into_iter()
            .map(|(shard, stream)| Head {
                shard,
                stream,
                rows: Vec::new().into_iter(),
                first: None,
            })
            .collect();
        Self { heads, closed: Vec::new(), keys, formats, context, started: false }
    }

    /// Moves a stream to its next row; false at its end.
    async fn advance(&mut self, place: usize) -> Result<bool, Error> {
        self.heads[place].advance(&self.keys, &self.formats, &self.context).await
    }

    fn close(&mut self, place: usize) {
        let head = self.heads.remove(place);
        self.closed.push((head.shard, head.stream.into_connection()));
    }

    /// The next rows in order, the visible columns of each.
    async fn next(&mut self, visible: usize, columns: usize) -> Result<Option<Batch>, Error> {
        match self.next_inner(visible, columns).await {
            Ok(batch) => Ok(batch),
            Err(error) => {
                self.drain().await;
                Err(error)
            }
        }
    }

    async fn next_inner(&mut self, visible: usize, columns: usize) -> Result<Option<Batch>, Error> {
        if !self.started {
            self.started = true;
            // All at once: a shard that fails is not noticed only after one that takes long.
            let (keys, formats, context) = (&self.keys, &self.formats, &self.context);
            let first = self.heads.iter_mut().map(|head| head.advance(keys, formats, context));
            let has_rows = try_join_all(first).await?;
            for place in (0..has_rows.len()).rev().filter(|place| !has_rows[*place]) {
                self.close(place);
            }
        }
        let mut frames = BytesMut::new();
        let mut rows = 0;
        while frames.len() < BATCH_BYTES {
            let Some(place) = self.least() else {
                break;
            };
            if let Some((_, row)) = &self.heads[place].first {
                put_row(row, visible.min(columns), &mut frames);
                rows += 1;
            }
            if !self.advance(place).await? {
                self.close(place);
            }
        }
        Ok((rows > 0).then(|| Batch { frames: frames.freeze(), rows }))
    }

    /// The stream whose first row comes first; of equal ones the first stream's.
    fn least(&self) -> Option<usize> {
        let mut least: Option<usize> = None;
        for (place, head) in self.heads.iter().enumerate() {
            let Some((key, _)) = &head.first else {
                continue;
            };
            let smaller = match least.and_then(|least| self.heads[least].first.as_ref()) {
                None => true,
                Some((other, _)) => compare_keys(key, other, &self.keys) == Ordering::Less,
            };
            if smaller {
                least = Some(place);
            }
        }
        least
    }

    async fn drain(&mut self) {
        join_all(self.heads.iter_mut().map(|head| read_to_end(&mut head.stream))).await;
        while !self.heads.is_empty() {
            self.close(0);
        }
    }

    fn into_connections(mut self) -> Connections {
        for head in self.heads.drain(..) {
            self.closed.push((head.shard, None));
        }
        self.closed
    }
}

/// The order of two rows by their keys.
fn compare_keys(left: &[Value], right: &[Value], keys: &[MergeKey]) -> Ordering {
    for ((one, other), key) in left.iter().zip(right).zip(keys) {
        let ordering = compare_nullable(one, other, key.descending, key.nulls_first);
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

/// The order of two values under DESC and NULLS FIRST.
pub(crate) fn compare_nullable(
    one: &Value,
    other: &Value,
    descending: bool,
    nulls_first: bool,
) -> Ordering {
    match (one.is_null(), other.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, false) => {
            let ordering = order::compare(one, other);
            if descending { ordering.reverse() } else { ordering }
        }
    }
}

/// Raw rows as values: what operators above take.
pub(crate) struct Decoded {
    pub(crate) raw: Raw,
    pub(crate) types: Vec<TypeRef>,
    pub(crate) context: Arc<Context>,
}

#[async_trait]
impl ValueStream for Decoded {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        let Some(batch) = self.raw.next().await? else {
            return Ok(None);
        };
        let mut rows = Vec::with_capacity(batch.rows);
        for row in batch.iter() {
            rows.push(decode_row(&row, &self.types, &self.context)?);
        }
        Ok(Some(rows))
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.raw.drain().await;
        Ok(())
    }

    fn into_connections(self: Box<Self>) -> Connections {
        Box::new(self.raw).into_connections()
    }
}
