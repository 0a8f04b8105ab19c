//! COPY … FROM: rows of the client's data to their shards, while they come.
//!
//! ```text
//! CopyClient ─▶ records ─┬─ as they are, by the key's bytes alone ──┐          ┌─▶ shard 0's task ─▶ COPY
//!                        └─ fields ─▶ values ─▶ row ─▶ WHERE ───────┴─ parts ──┼─▶ shard 1's task ─▶ COPY, or INSERT
//!                                                                   (bounded)  └─▶ …
//! ```
//! - [`key`]: the shard of a raw record. [`compute`]: rows that need defaults, or go to engines without COPY.
//! - [`feed`]: the tasks. [`places`]: a shard's line numbers → the client's.
//! - [`failure`]: which failure is told, and its CONTEXT.
//!
//! **Failures** are told as a single PostgreSQL would: of all that is wrong, what comes first. So when something is found to be
//! wrong at a line, here or by a shard, all lines before it go to their shards, which end the copy; of their failures the first
//! one counts. Nothing is committed then.

mod compute;
mod failure;
mod feed;
mod key;
mod places;

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dataman_metadata::id::ShardId;
use dataman_metadata::schema::Placement;
use dataman_metadata::topology::Datastore;
use dataman_pg::PgError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::compute::{Computer, HeldRows};
use self::failure::{Failure, of_line, of_line_bare};
use self::feed::{Done, PARTS_WAITING, Part, Shard};
use self::key::{Destination, Router};
use self::places::{Groups, LineMap};
use super::Execution;
use super::open::Run;
use crate::error::Error;
use crate::plan::copy::CopyPlan;
use crate::plan::{Plan, Root};
use crate::rows::copy::binary::{self, Tuples};
use crate::rows::copy::header::check_header;
use crate::rows::copy::lines::{LineEnd, Lines};
use crate::rows::copy::options::{CopyFormat, Encoding, Header};
use crate::rows::copy::{csv, text};
use crate::scatter::contract::{Access, CopyClient, CopyEvent, ShardRef};

/// Bytes that are gathered for a shard before they are handed on.
const PART_BYTES: usize = 64 * 1024;

/// Rows that are gathered for a shard before they are handed on.
const PART_ROWS: usize = 1_000;

/// Parameters that one statement can have in PostgreSQL's protocol.
const PARAMETERS_MAX: usize = 65_535;

/// Carries out a COPY … FROM; gives how many rows were taken.
///
/// # Errors
/// PostgreSQL's, with CONTEXT. What was written is then to be rolled back.
pub async fn copy_in<'a>(
    plan: &'a Arc<Plan>,
    execution: Execution<'a>,
    source: &mut dyn CopyClient,
) -> Result<u64, Error> {
    let Root::Copy(copy) = &plan.root else {
        return Err(PgError::internal("the plan is no COPY").into());
    };
    let cancel = execution.cancel;
    let mut run = Run::new(plan, execution);
    run.compute_parameters().await?;
    let mut load = Load::new(run, copy)?;
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Now(Error::Cancelled)),
        outcome = load.load(source) => outcome,
    };
    load.finish(outcome, source).await
}

/// Why reading has ended before the data has.
pub(super) enum Stop {
    /// Something is wrong at a line.
    At(Box<Failure>),
    /// A shard has failed.
    Shard,
    /// The statement is over, whatever the shards say.
    Now(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Now(error)
    }
}

/// A record within [`Records::buffer`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) start: usize,
    /// Where its content ends.
    pub(super) end: usize,
    /// Where what goes to a shard ends: the line end is part of it.
    next: usize,
    pub(super) number: u64,
    backslash: bool,
    newlines: u32,
    returns: u32,
}

/// The client's data, cut into records.
enum Records {
    Lines(Lines),
    Tuples(Tuples),
}

impl Records {
    fn buffer(&self) -> &[u8] {
        match self {
            Self::Lines(lines) => lines.buffer(),
            Self::Tuples(tuples) => tuples.buffer(),
        }
    }

    fn fill(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Lines(lines) => lines.fill(),
            Self::Tuples(tuples) => tuples.fill(),
        }
    }

    fn complete(&mut self) {
        match self {
            Self::Lines(lines) => lines.complete(),
            Self::Tuples(tuples) => tuples.complete(),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Lines(lines) => lines.number(),
            Self::Tuples(tuples) => tuples.number(),
        }
    }

    fn next(&mut self, copy: &CopyPlan) -> Result<Option<Record>, Stop> {
        match self {
            Self::Lines(lines) => match lines.next_line() {
                Ok(None) => Ok(None),
                Ok(Some(line)) => Ok(Some(Record {
                    start: line.start,
                    end: line.end,
                    // What stands after the end marker is no data.
                    next: if lines.has_ended() { line.end } else { line.next },
                    number: line.number,
                    backslash: line.backslash,
                    newlines: line.newlines,
                    returns: line.returns,
                })),
                Err(failed) => {
                    let (start, end) = lines.partial();
                    check_utf8(copy, lines.buffer(), start..end, failed.number)?;
                    Err(of_line_bare(copy, failed.number, failed.error))
                }
            },
            Self::Tuples(tuples) => match tuples.next_tuple() {
                Ok(None) => Ok(None),
                Ok(Some(tuple)) => Ok(Some(Record {
                    start: tuple.start,
                    end: tuple.next,
                    next: tuple.next,
                    number: tuple.number,
                    backslash: false,
                    newlines: 0,
                    returns: 0,
                })),
                Err(failed) => Err(failure::of_tuple(copy, failed)),
            },
        }
    }
}

/// What goes to one shard, or to all shards that hold a copy.
struct Feed {
    /// The shards' tasks, and whether each takes COPY data.
    targets: Vec<(mpsc::Sender<Part>, bool)>,
    /// COPY data that waits to be handed on.
    data: BytesMut,
    /// Rows that wait to be handed on.
    values: Vec<Option<Bytes>>,
    rows: usize,
    /// Rows that have been handed on.
    rows_before: u64,
    takes_copy: bool,
    takes_rows: bool,
    lines: LineMap,
    /// The line end that the shards have met.
    line_end: LineEnd,
    /// The newest records as CONTEXT shows them, where the shards get them in another form.
    shown: std::collections::VecDeque<String>,
}

/// A COPY under way.
struct Load<'a> {
    run: Run<'a>,
    copy: &'a CopyPlan,
    datastore: &'a Datastore,
    records: Records,
    router: Option<Router<'a>>,
    computer: Option<Computer>,
    held: HeldRows,
    /// By the shard's place; all copies of a reference collection are one feed.
    feeds: Vec<Option<Feed>>,
    tasks: JoinSet<Done>,
    stop: CancellationToken,
    groups: Groups,
    /// The first record that should have been refused by its shard.
    doubtful: Option<Box<Failure>>,
    /// A record whose shard does not take part yet.
    pending: Option<(Record, ShardId)>,
    header_is_due: bool,
    encoding_buffer: Vec<u8>,
}

/// What is to be done before more records can be taken.
enum Step {
    Read,
    Open(ShardId),
    Send(ShardId),
}

impl<'a> Load<'a> {
    fn new(run: Run<'a>, copy: &'a CopyPlan) -> Result<Self, Error> {
        let datastore = run
            .plan
            .snapshot
            .datastores
            .get(&copy.datastore)
            .ok_or_else(|| PgError::internal("the datastore of a plan is not there"))?;
        let router = match &copy.placement {
            Placement::Sharded(keyspace) if copy.passes => {
                Some(Router::new(copy, keyspace, datastore))
            }
            _ => None,
        };
        let computer = if copy.passes { None } else { Some(Computer::new(&run, copy)?) };
        let records = match copy.options.format {
            CopyFormat::Binary => Records::Tuples(Tuples::new(copy.columns.len())),
            _ => Records::Lines(Lines::new(copy.options.quoting())),
        };
        let shards = usize::try_from(copy.shard_count).unwrap_or(0).max(1);
        Ok(Self {
            datastore,
            records,
            router,
            computer,
            held: HeldRows::default(),
            feeds: (0..shards).map(|_| None).collect(),
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
            groups: Groups::default(),
            doubtful: None,
            pending: None,
            header_is_due: copy.options.header != Header::None,
            encoding_buffer: Vec::new(),
            run,
            copy,
        })
    }

    /// Takes the data to its end.
    async fn load(&mut self, source: &mut dyn CopyClient) -> Result<(), Stop> {
        let binary = self.copy.options.format == CopyFormat::Binary;
        source.begin(binary, self.copy.columns.len()).await?;
        loop {
            self.take_all().await?;
            if let Some(done) = self.tasks.try_join_next() {
                self.early(done);
                return Err(Stop::Shard);
            }
            let event = match self.copy.options.encoding {
                Encoding::Utf8 => source.next(self.records.fill()).await,
                Encoding::Latin1 => {
                    let event = source.next(&mut self.encoding_buffer).await;
                    let filled = self.records.fill();
                    for byte in self.encoding_buffer.drain(..) {
                        let mut utf8 = [0; 2];
                        filled
                            .extend_from_slice(char::from(byte).encode_utf8(&mut utf8).as_bytes());
                    }
                    event
                }
            };
            match event {
                Ok(CopyEvent::Data) => {}
                Ok(CopyEvent::Done) => {
                    self.records.complete();
                    // What was held back for want of its end is taken now.
                    return self.take_all().await;
                }
                Err(Error::Statement(error)) => {
                    self.take_all().await?;
                    return Err(of_line_bare(self.copy, self.records.number(), error));
                }
                Err(error) => return Err(error.into()),
                Ok(CopyEvent::Failed(reason)) => {
                    self.take_all().await?;
                    let error = PgError::new("57014", format!("COPY from stdin failed: {reason}"));
                    return Err(of_line_bare(self.copy, self.records.number(), error));
                }
            }
        }
    }

    /// Hands on all records that there are.
    async fn take_all(&mut self) -> Result<(), Stop> {
        loop {
            let step =
                if self.copy.passes { self.take_passing()? } else { self.take_computed().await? };
            match step {
                Step::Read => return Ok(()),
                Step::Open(shard) => self.open(shard).await?,
                Step::Send(shard) => self.send(shard).await?,
            }
        }
    }

    /// Hands raw records to their shards, until something must be waited for.
    fn take_passing(&mut self) -> Result<Step, Stop> {
        loop {
            let (record, shard) = match self.pending.take() {
                Some(pending) => pending,
                None => {
                    let Some(record) = self.next_record()? else { return Ok(Step::Read) };
                    let shard = self.shard_of_raw(record)?;
                    (record, shard)
                }
            };
            let place = shard.0 as usize;
            let Some(feed) = self.feeds.get_mut(place).and_then(Option::as_mut) else {
                self.pending = Some((record, shard));
                return Ok(Step::Open(shard));
            };
            let bytes = &self.records.buffer()[record.start..record.next];
            if feed.data.is_empty() && feed.lines.count() == 0 {
                feed.begin(self.copy);
            }
            feed.data.extend_from_slice(bytes);
            feed.count_lines(record, &self.records);
            self.groups.push(record.number, record.end - record.start);
            if feed.data.len() >= PART_BYTES {
                return Ok(Step::Send(shard));
            }
        }
    }

    /// The next record that is no header.
    fn next_record(&mut self) -> Result<Option<Record>, Stop> {
        while let Some(record) = self.records.next(self.copy)? {
            if !self.header_is_due {
                return Ok(Some(record));
            }
            self.header_is_due = false;
            check_utf8(self.copy, self.records.buffer(), record.start..record.end, record.number)?;
            if self.copy.options.header == Header::Match {
                self.match_header(record)?;
            }
        }
        Ok(None)
    }

    fn match_header(&self, record: Record) -> Result<(), Stop> {
        let line = &self.records.buffer()[record.start..record.end];
        let options = &self.copy.options;
        let null = options.null.as_bytes();
        let mut scratch = Vec::new();
        let mut fields: Vec<Option<Vec<u8>>> = Vec::new();
        let split = match options.quoting() {
            Some(quoting) => csv::split_fields(
                line,
                options.delimiter,
                quoting,
                &mut scratch,
                &mut |field, quoted| {
                    fields.push((quoted || field != null).then(|| field.to_vec()));
                    true
                },
            ),
            None => {
                text::split_fields(line, options.delimiter, null, &mut scratch, &mut |field| {
                    fields.push(field.map(<[u8]>::to_vec));
                });
                Ok(())
            }
        };
        let columns: Vec<&str> = self.copy.columns.iter().map(|one| one.name.as_str()).collect();
        split
            .and_then(|()| check_header(&fields, &columns, &options.null))
            .map_err(|error| of_line(self.copy, record.number, line, error))
    }

    fn shard_of_raw(&mut self, record: Record) -> Result<ShardId, Stop> {
        let Some(router) = &mut self.router else { return Ok(self.only_shard()) };
        let line = &self.records.buffer()[record.start..record.end];
        match router.of_record(line, record.backslash, self.run.execution.evaluation) {
            Ok(Destination::Shard(shard)) => Ok(shard),
            Ok(Destination::Doubtful(reason)) => {
                if let Some(reason) = reason
                    && self.doubtful.is_none()
                    && let Stop::At(failure) = of_line(self.copy, record.number, line, reason)
                {
                    self.doubtful = Some(Box::new(Failure { is_doubt: true, ..*failure }));
                }
                Ok(ShardId(0))
            }
            Err(error) => Err(of_line(self.copy, record.number, line, error)),
        }
    }

    /// The shard of everything; copies of a reference collection count as the first.
    fn only_shard(&self) -> ShardId {
        match self.copy.placement {
            Placement::Single { shard } => shard,
            Placement::Reference | Placement::Sharded(_) => ShardId(0),
        }
    }

    /// Lets a shard take part.
    async fn open(&mut self, shard: ShardId) -> Result<(), Stop> {
        let shards: Vec<ShardId> = match self.copy.placement {
            Placement::Reference => (0..self.copy.shard_count).map(ShardId).collect(),
            _ => vec![shard],
        };
        let datastore = &self.copy.datastore;
        let references: Vec<ShardRef> = shards
            .iter()
            .map(|shard| ShardRef { datastore: datastore.clone(), shard: *shard })
            .collect();
        let execution = &mut self.run.execution;
        execution.participants.enlist(&references, Access::WriteTogether).await?;
        if let Some(global) = &self.copy.global {
            for reference in &references {
                self.run.hold_all_keys(global, reference.shard).await?;
            }
        }
        let execution = &mut self.run.execution;
        let mut feed = Feed {
            targets: Vec::new(),
            data: BytesMut::new(),
            values: Vec::new(),
            rows: 0,
            rows_before: 0,
            takes_copy: false,
            takes_rows: false,
            lines: LineMap::default(),
            line_end: LineEnd::Unknown,
            shown: std::collections::VecDeque::new(),
        };
        for reference in references {
            let connection = execution.participants.take(&reference).await?;
            let statement =
                self.copy.statements.get(&reference.shard).map(Arc::clone).ok_or_else(|| {
                    Error::from(PgError::internal("a plan has no statement for a shard"))
                })?;
            let takes_copy =
                self.copy.takes_copy.get(reference.shard.0 as usize).copied().unwrap_or(false);
            let (sender, parts) = mpsc::channel(PARTS_WAITING);
            feed.takes_copy |= takes_copy;
            feed.takes_rows |= !takes_copy;
            feed.targets.push((sender, takes_copy));
            let task = Shard {
                shard: reference,
                connection,
                statement,
                context: execution.context.clone(),
                takes_copy,
                parts,
                stop: self.stop.clone(),
            };
            self.tasks.spawn(task.run());
        }
        if let Some(slot) = self.feeds.get_mut(shard.0 as usize) {
            *slot = Some(feed);
        }
        Ok(())
    }

    /// Hands on what has been gathered for a shard.
    async fn send(&mut self, shard: ShardId) -> Result<(), Stop> {
        let Some(feed) = self.feeds.get_mut(shard.0 as usize).and_then(Option::as_mut) else {
            return Ok(());
        };
        feed.send().await
    }

    /// Keeps the end of a task that ended while reading went on; only a failed one does.
    fn early(&mut self, done: Result<Done, tokio::task::JoinError>) {
        if let Ok(done) = done {
            let failure = self.note(done);
            if let Err(failure) = failure {
                self.keep(*failure);
            }
        }
    }

    /// Keeps the failure that comes first.
    fn keep(&mut self, failure: Failure) {
        let is_first = self.doubtful.as_ref().is_none_or(|known| {
            known.is_doubt || failure.order(&self.groups) < known.order(&self.groups)
        });
        if is_first {
            self.doubtful = Some(Box::new(failure));
        }
    }

    /// Gives a shard's connection back; its rows, or its failure in the client's words.
    fn note(&mut self, done: Done) -> Result<(ShardId, u64), Box<Failure>> {
        let shard = done.shard.shard;
        self.run.execution.participants.give(&done.shard, done.connection);
        let place = match self.copy.placement {
            Placement::Reference => 0,
            _ => shard.0 as usize,
        };
        done.outcome.map(|rows| (shard, rows)).map_err(|error| {
            let feed = self.feeds.get(place).and_then(Option::as_ref);
            Box::new(failure::of_shard(self.copy, feed, error))
        })
    }

    /// Ends the copy on all shards, whatever came of reading.
    async fn finish(
        mut self,
        outcome: Result<(), Stop>,
        source: &mut dyn CopyClient,
    ) -> Result<u64, Error> {
        let mut now = None;
        match outcome {
            Ok(()) | Err(Stop::Shard) => {}
            Err(Stop::At(failure)) => self.keep(*failure),
            Err(Stop::Now(error)) => now = Some(error),
        }
        let cancel = self.run.execution.cancel;
        if now.is_none() {
            let ended = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::Cancelled),
                () = source.gone() => {
                    Err(Error::Client(std::io::ErrorKind::ConnectionAborted.into()))
                }
                rows = self.end_all() => Ok(rows),
            };
            match ended {
                Ok(rows) => {
                    return match self.doubtful.take() {
                        None => Ok(rows),
                        Some(failure) => Err(failure.error),
                    };
                }
                Err(error) => now = Some(error),
            }
        }
        self.stop.cancel();
        self.feeds.clear();
        while let Some(done) = self.tasks.join_next().await {
            if let Ok(done) = done {
                // Why they stopped is known.
                let _ = self.note(done);
            }
        }
        Err(now.unwrap_or(Error::Cancelled))
    }

    /// Hands on all that is left, and waits for the shards; gives how many rows they took.
    async fn end_all(&mut self) -> u64 {
        for feed in self.feeds.iter_mut().flatten() {
            // A shard that takes no more has failed: its task says why.
            let _ = feed.send().await;
            feed.targets.clear();
        }
        let copies = matches!(self.copy.placement, Placement::Reference);
        let mut rows = 0;
        while let Some(done) = self.tasks.join_next().await {
            let Ok(done) = done else { continue };
            match self.note(done) {
                Ok((shard, count)) if !copies || shard == ShardId(0) => rows += count,
                Ok(_) => {}
                Err(failure) => self.keep(*failure),
            }
        }
        rows
    }
}

impl Feed {
    /// What stands before the first record.
    fn begin(&mut self, copy: &CopyPlan) {
        self.data.reserve(PART_BYTES + PART_BYTES / 4);
        if copy.options.format == CopyFormat::Binary {
            self.data.extend_from_slice(binary::HEADER);
        }
    }

    /// Notes the shard's line numbers of a record that passes as it is.
    fn count_lines(&mut self, record: Record, records: &Records) {
        // Newlines within quotes count, by the line end known when they are met: the shard's first record may be another than
        // the client's.
        let within = match self.line_end {
            LineEnd::Newline => record.newlines,
            _ => record.returns,
        };
        for _ in 0..within {
            self.lines.push(record.number);
        }
        self.lines.push(record.number);
        if self.line_end == LineEnd::Unknown
            && let Records::Lines(lines) = records
        {
            self.line_end = lines.line_end();
        }
    }

    /// Hands on what has been gathered.
    async fn send(&mut self) -> Result<(), Stop> {
        if !self.data.is_empty() {
            let data = self.data.split().freeze();
            self.data.reserve(PART_BYTES + PART_BYTES / 4);
            if self.takes_copy {
                self.send_to(Part::Data(data), true).await?;
            }
        }
        if self.rows > 0 {
            let values = std::mem::take(&mut self.values);
            let before = self.rows_before;
            self.rows_before += u64::try_from(self.rows).unwrap_or(0);
            self.rows = 0;
            self.send_to(Part::Rows { values, before }, false).await?;
        }
        Ok(())
    }

    async fn send_to(&self, part: Part, copies: bool) -> Result<(), Stop> {
        for (target, _) in self.targets.iter().filter(|(_, takes_copy)| *takes_copy == copies) {
            target.send(part.clone()).await.map_err(|_| Stop::Shard)?;
        }
        Ok(())
    }
}

/// Checks that a record is UTF-8. As in PostgreSQL, the bytes shown may be those of the line end and beyond.
fn check_utf8(
    copy: &CopyPlan,
    buffer: &[u8],
    place: Range<usize>,
    number: u64,
) -> Result<(), Stop> {
    let start = place.start;
    let line = &buffer[place];
    let valid = match std::str::from_utf8(line) {
        Ok(_) => line.len(),
        Err(error) => error.valid_up_to(),
    };
    let wrong = match memchr::memchr(0, &line[..valid]) {
        Some(zero) => &line[zero..=zero],
        None if valid == line.len() => return Ok(()),
        None => &buffer[start + valid..],
    };
    match dataman_pg::io::binary::utf8(wrong) {
        Ok(_) => Ok(()),
        Err(error) => Err(of_line_bare(copy, number, error)),
    }
}

/// How many rows are gathered at most for an insert of so many fields.
fn part_rows(width: usize) -> usize {
    PARAMETERS_MAX.checked_div(width).map_or(1, |rows| rows.clamp(1, PART_ROWS))
}
