//! Rows of a COPY that the proxy computes: defaults of its own, generated columns, WHERE, engines without COPY.

use std::collections::{BTreeSet, HashMap};

use bytes::{BufMut, Bytes};
use dataman_metadata::id::ShardId;
use dataman_metadata::schema::Placement;
use dataman_metadata::sharding::shard_of;
use dataman_pg::eval::Evaluator;
use dataman_pg::value::EnumLabel;
use dataman_pg::{Context, Expr, PgError, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::failure::{Failure, of_column, of_line};
use super::{Feed, Load, PART_BYTES, Record, Step, Stop, check_utf8, part_rows};
use crate::error::Error;
use crate::merge::global::{NewKey, decide, violation};
use crate::merge::open::Run;
use crate::merge::parameters::encode;
use crate::plan::Internal;
use crate::plan::bind::CopyColumn;
use crate::plan::copy::CopyPlan;
use crate::plan::form;
use crate::plan::global::GlobalKeys;
use crate::route::key::key_part;
use crate::rows::copy::options::CopyFormat;
use crate::rows::copy::{binary, csv, shown, text};

/// Rows that are held back at most, until their keys have been looked for.
const HELD_ROWS: usize = 1_000;

/// What a key that has gone to a shard takes up.
const TAKEN_BYTES: usize = 64;

/// Records whose content is kept for CONTEXT.
const SHOWN_RECORDS: usize = 16 * 1024;

/// Computes rows.
pub(super) struct Computer {
    /// Each field of a row: a column of the data as it is, or computed.
    fields: Vec<Source>,
    filter: Option<Evaluator>,
    /// Which columns of the data are needed as values.
    needed: Vec<bool>,
    /// Which of them are only looked at, since their rows may not come to a shard.
    checked: Vec<bool>,
    /// Parameters that are the next numbers of sequences: their places, the sequences' schemas and names.
    numbers: Vec<(usize, String, String)>,
    parameters: Vec<Value>,
    force_null: Vec<bool>,
    force_not_null: Vec<bool>,
    /// The fields of the record at hand, by column.
    record: Vec<Option<Vec<u8>>>,
    columns: Vec<Value>,
    row: Vec<Value>,
}

/// Rows whose keys are looked for before they go to their shards.
#[derive(Default)]
pub(super) struct HeldRows {
    rows: Vec<HeldRow>,
    /// The keys are locked.
    locked: bool,
    /// The keys of rows that have gone: the unique key's place and a hash of the values, with the shard.
    taken: HashMap<(usize, u128), ShardId>,
}

struct HeldRow {
    number: u64,
    content: String,
    record: Vec<Option<Vec<u8>>>,
    row: Vec<Value>,
    shard: ShardId,
}

/// Where a field's value comes from.
enum Source {
    /// A column of the data.
    Column(usize),
    /// An expression over them.
    Computed(Evaluator),
}

impl Computer {
    pub(super) fn new(run: &Run<'_>, copy: &CopyPlan) -> Result<Self, Error> {
        let takes_rows = (0..copy.shard_count as usize)
            .any(|shard| !copy.takes_copy.get(shard).copied().unwrap_or(false));
        let mut needed = vec![takes_rows; copy.columns.len()];
        let mut need = |expr: &Expr| {
            form::walk(expr, &mut |node| {
                if let Expr::Column { index, .. } = node
                    && let Some(needed) = needed.get_mut(*index)
                {
                    *needed = true;
                }
            });
        };
        let mut fields = Vec::with_capacity(copy.values.len());
        for (place, value) in copy.values.iter().enumerate() {
            if let Expr::Column { index, .. } = value {
                fields.push(Source::Column(*index));
                let keys = copy.global.iter().flat_map(|global| &global.keys);
                if copy.key_places.contains(&place)
                    || keys.flat_map(|key| &key.places).any(|found| *found == Some(place))
                {
                    need(value);
                }
                continue;
            }
            need(value);
            fields.push(Source::Computed(Evaluator::compile(value, &|_| None)?));
        }
        let filter = match &copy.filter {
            None => None,
            Some(filter) => {
                // The row's first fields are the columns of the data.
                need(filter);
                Some(Evaluator::compile(filter, &|_| None)?)
            }
        };
        let checked: Vec<bool> = needed.iter().map(|needed| filter.is_some() && !needed).collect();
        if filter.is_some() {
            needed.fill(true);
        }
        let first = run.plan.params.len();
        let numbers = run
            .plan
            .parameters
            .internal()
            .iter()
            .enumerate()
            .filter_map(|(place, internal)| match internal {
                Internal::NextValue(schema, name) => {
                    Some((first + place, schema.clone(), name.clone()))
                }
                _ => None,
            })
            .collect();
        let among = |names: &[String]| -> Vec<bool> {
            copy.columns.iter().map(|column| names.contains(&column.name)).collect()
        };
        Ok(Self {
            fields,
            filter,
            needed,
            checked,
            numbers,
            parameters: run.values.to_vec(),
            force_null: among(&copy.options.force_null),
            force_not_null: among(&copy.options.force_not_null),
            record: Vec::new(),
            columns: Vec::new(),
            row: Vec::new(),
        })
    }

    /// Takes a record apart.
    fn split(&mut self, copy: &CopyPlan, record: Record, line: &[u8]) -> Result<(), Stop> {
        let options = &copy.options;
        let number = record.number;
        self.record.clear();
        let fields = &mut self.record;
        let mut scratch = Vec::new();
        match options.format {
            CopyFormat::Binary => {
                fields.extend(binary::fields(line).map(|field| field.map(<[u8]>::to_vec)));
                return Ok(());
            }
            CopyFormat::Text => {
                let null = options.null.as_bytes();
                text::split_fields(line, options.delimiter, null, &mut scratch, &mut |field| {
                    fields.push(field.map(<[u8]>::to_vec));
                });
            }
            CopyFormat::Csv => {
                let null = options.null.as_bytes();
                let (force_null, force_not_null) = (&self.force_null, &self.force_not_null);
                csv::split_fields(
                    line,
                    options.delimiter,
                    options.quoting,
                    &mut scratch,
                    &mut |field, quoted| {
                        let place = fields.len();
                        let has = |flags: &[bool]| flags.get(place).copied().unwrap_or(false);
                        let is_null = field == null
                            && if quoted { has(force_null) } else { !has(force_not_null) };
                        fields.push((!is_null).then(|| field.to_vec()));
                        true
                    },
                )
                .map_err(|error| of_line(copy, number, line, error))?;
            }
        }
        // A table without columns has empty lines.
        if copy.columns.is_empty() && line.is_empty() {
            fields.clear();
        }
        if fields.len() > copy.columns.len() {
            let error = PgError::new("22P04", "extra data after last expected column");
            return Err(of_line(copy, number, line, error));
        }
        for field in fields.iter().flatten() {
            // Backslashes may have made something that is no text.
            dataman_pg::io::binary::utf8(field)
                .map_err(|error| of_line(copy, number, line, error))?;
        }
        Ok(())
    }

    /// The values of the columns that are needed.
    fn read(
        &mut self,
        copy: &CopyPlan,
        number: u64,
        line: &[u8],
        context: &Context,
    ) -> Result<(), Stop> {
        self.columns.clear();
        for (place, column) in copy.columns.iter().enumerate() {
            let Some(field) = self.record.get(place) else {
                let error =
                    PgError::new("22P04", format!("missing data for column \"{}\"", column.name));
                self.check_before(copy, number, place, context)?;
                return Err(of_line(copy, number, line, error));
            };
            let value = match field {
                Some(field) if self.needed[place] => {
                    match value_of(field, column, copy.options.format, context) {
                        Ok(value) => value,
                        // Nothing is computed of it when it only has to be looked at.
                        Err(error) if error.sqlstate() == "0A000" && self.checked[place] => {
                            Value::Null
                        }
                        Err(error) => {
                            self.check_before(copy, number, place, context)?;
                            return Err(of_column(copy, number, &column.name, field, error));
                        }
                    }
                }
                _ => Value::Null,
            };
            self.columns.push(value);
        }
        Ok(())
    }

    /// Looks at the columns before a wrong one that were not needed so far: the first wrong one counts.
    fn check_before(
        &self,
        copy: &CopyPlan,
        number: u64,
        place: usize,
        context: &Context,
    ) -> Result<(), Stop> {
        for ((column, field), needed) in
            copy.columns.iter().zip(&self.record).zip(&self.needed).take(place)
        {
            if let Some(field) = field
                && !needed
                && let Err(error) = value_of(field, column, copy.options.format, context)
                && error.sqlstate() != "0A000"
            {
                return Err(of_column(copy, number, &column.name, field, error));
            }
        }
        Ok(())
    }

    /// Computes the fields of a row between two places.
    fn compute(&mut self, from: usize, to: usize, context: &Context) -> Result<(), PgError> {
        self.row.truncate(from);
        for field in &self.fields[from..to] {
            let value = match field {
                Source::Column(index) => self.columns[*index].clone(),
                Source::Computed(evaluator) => {
                    evaluator.eval(&self.columns, &self.parameters, context)?
                }
            };
            self.row.push(value);
        }
        Ok(())
    }
}

/// A field's bytes as a value.
fn value_of(
    field: &[u8],
    column: &CopyColumn,
    format: CopyFormat,
    context: &Context,
) -> Result<Value, PgError> {
    if let Some(labels) = &column.labels {
        let label = dataman_pg::io::binary::utf8(field)?;
        let rank = labels.iter().position(|known| known == label).ok_or_else(|| {
            PgError::new(
                "22P02",
                format!("invalid input value for enum {}: \"{label}\"", column.type_name),
            )
        })?;
        return Ok(Value::Enum(EnumLabel {
            enum_type: column.ty.id,
            rank: u32::try_from(rank).unwrap_or(u32::MAX),
            label: label.into(),
        }));
    }
    match format {
        CopyFormat::Binary => dataman_pg::io::binary::decode(field, column.ty),
        CopyFormat::Text | CopyFormat::Csv => {
            dataman_pg::io::text::input(dataman_pg::io::binary::utf8(field)?, column.ty, context)
        }
    }
}

impl Load<'_> {
    /// Computes records and hands them to their shards, as many as there are.
    pub(super) async fn take_computed(&mut self) -> Result<Step, Stop> {
        let Some(mut computer) = self.computer.take() else {
            return Err(Error::from(PgError::internal("nothing computes rows")).into());
        };
        let outcome = self.take_all_computed(&mut computer).await;
        self.computer = Some(computer);
        outcome.map(|()| Step::Read)
    }

    async fn take_all_computed(&mut self, computer: &mut Computer) -> Result<(), Stop> {
        let outcome = self.take_each_computed(computer).await;
        if let Err(Stop::Now(_)) = outcome {
            return outcome;
        }
        // What is wrong with an earlier row counts.
        self.release(computer).await.and(outcome)
    }

    async fn take_each_computed(&mut self, computer: &mut Computer) -> Result<(), Stop> {
        let copy = self.copy;
        let context = std::sync::Arc::clone(self.run.execution.evaluation);
        while let Some(record) = self.next_record()? {
            let number = record.number;
            {
                let buffer = self.records.buffer();
                if copy.options.format != CopyFormat::Binary {
                    check_utf8(copy, buffer, record.start..record.end, number)?;
                }
                let line = &buffer[record.start..record.end];
                computer.split(copy, record, line)?;
                computer.read(copy, number, line, &context)?;
            }
            for (place, schema, name) in &computer.numbers {
                let next = self.run.execution.sequences.next(schema, name, 1).await?;
                if let Some(parameter) = computer.parameters.get_mut(*place) {
                    *parameter = next.first().map_or(Value::Null, |next| Value::Int8(*next));
                }
            }
            let line = &self.records.buffer()[record.start..record.end];
            let at_line = |error| of_line(copy, number, line, error);
            computer.compute(0, copy.plain, &context).map_err(at_line)?;
            if let Some(filter) = &computer.filter
                && !filter.holds(&computer.row, &computer.parameters, &context).map_err(at_line)?
            {
                continue;
            }
            let all = computer.fields.len();
            computer.compute(copy.plain, all, &context).map_err(at_line)?;
            let shard = self.shard_of_row(&computer.row).map_err(at_line)?;
            let content = shown(line);
            self.groups.push(number, line.len());
            if copy.global.is_none() {
                self.put(computer, number, content, shard).await?;
                continue;
            }
            let (record, row) = (computer.record.clone(), computer.row.clone());
            self.held.rows.push(HeldRow { number, content, record, row, shard });
            if self.held.rows.len() >= HELD_ROWS {
                self.release(computer).await?;
            }
        }
        Ok(())
    }

    /// Hands the row at hand to its shard.
    async fn put(
        &mut self,
        computer: &Computer,
        number: u64,
        content: String,
        shard: ShardId,
    ) -> Result<(), Stop> {
        let copy = self.copy;
        if self.feeds.get(shard.0 as usize).is_none_or(Option::is_none) {
            self.open(shard).await?;
        }
        let context = std::sync::Arc::clone(self.run.execution.evaluation);
        let Some(feed) = self.feeds.get_mut(shard.0 as usize).and_then(Option::as_mut) else {
            return Err(Error::from(PgError::internal("a shard that is not there")).into());
        };
        feed.put_row(copy, computer, number, content, &context);
        if feed.rows >= part_rows(copy.form.fields.len()) || feed.data.len() >= PART_BYTES {
            self.send(shard).await?;
        }
        Ok(())
    }

    /// Hands rows to their shards that were held back, up to the first whose key is there already.
    async fn release(&mut self, computer: &mut Computer) -> Result<(), Stop> {
        let rows = std::mem::take(&mut self.held.rows);
        let copy = self.copy;
        let Some(global) = copy.global.as_ref().filter(|_| !rows.is_empty()) else {
            return Ok(());
        };
        let fails = self.keep_keys(global, &rows).await?;
        let mut refused = None;
        for (place, held) in rows.into_iter().enumerate() {
            if let Some((at, key)) = fails
                && at == place
            {
                let context = self.run.execution.evaluation;
                let mut error = violation(global, key, &held.row, context);
                error.context = Some(format!("COPY {}, line {}", copy.label, held.number));
                let line = Some(held.number);
                let failure = Failure { line, late: true, is_doubt: false, error: error.into() };
                refused = Some(Stop::At(Box::new(failure)));
                break;
            }
            computer.record = held.record;
            computer.row = held.row;
            self.put(computer, held.number, held.content, held.shard).await?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Looks for the keys of rows of unique keys over several shards; gives the first row whose key is there, and which key.
    async fn keep_keys(
        &mut self,
        global: &GlobalKeys,
        rows: &[HeldRow],
    ) -> Result<Option<(usize, usize)>, Stop> {
        let mut new = Vec::new();
        for (place, held) in rows.iter().enumerate() {
            for key in 0..global.keys.len() {
                new.extend(NewKey::of(global, key, place, &held.row, held.shard));
            }
        }
        if new.is_empty() {
            return Ok(None);
        }
        let first = global.first();
        if !self.held.locked {
            let participants = &self.run.execution.participants;
            let wrote = global.shards().any(|shard| participants.has_written(&global.shard(shard)));
            if wrote && !participants.is_block() {
                return Err(Error::from(
                    PgError::unsupported(
                        "COPY to a table with a unique key that lacks the shard key, after other writes of the same string or pipeline, is not supported",
                    )
                    .with_hint("Send it by itself."),
                )
                .into());
            }
            // How many rows come is not known: all keys are locked.
            self.run.lock_keys(global, &new, &BTreeSet::new(), true).await?;
            self.held.locked = true;
        }
        // The connections of shards that rows go to are with their tasks.
        let is_open =
            |shard: ShardId| self.feeds.get(shard.0 as usize).is_some_and(Option::is_some);
        let old = self.run.execution.participants.has_old_snapshot();
        let within: BTreeSet<ShardId> =
            [first.shard].into_iter().filter(|shard| !is_open(*shard) && !old).collect();
        let mut found = self.run.look_for_keys(global, &new, &within).await?;
        for new in &new {
            // Rows that went to other shards may not be there yet.
            let other = self.held.taken.get(&(new.key, xxh3_128(&new.bytes)));
            if other.is_some_and(|shard| *shard != new.shard) {
                found.insert((new.key, new.bytes.clone()));
            }
        }
        let fails = decide(global, &new, &found).map_err(Error::from)?.fails;
        self.run.memory.take(new.len() * TAKEN_BYTES, "COPY")?;
        for new in new {
            self.held.taken.entry((new.key, xxh3_128(&new.bytes))).or_insert(new.shard);
        }
        Ok(fails)
    }

    fn shard_of_row(&self, row: &[Value]) -> Result<ShardId, PgError> {
        let Placement::Sharded(keyspace) = &self.copy.placement else {
            return Ok(self.only_shard());
        };
        let mut key = Vec::with_capacity(self.copy.key_places.len());
        for &place in &self.copy.key_places {
            match key_part(&row[place], self.copy.form.fields[place].ty) {
                Some(part) => key.push(part),
                // NULL is refused by whichever shard gets it.
                None => return Ok(ShardId(0)),
            }
        }
        shard_of(keyspace, self.datastore, &key).map_err(|error| {
            PgError::new(
                "23514",
                format!("no shard of relation \"{}\" found for row", self.copy.label),
            )
            .with_detail(format!("{error}."))
        })
    }
}

impl Feed {
    fn put_row(
        &mut self,
        copy: &CopyPlan,
        computer: &Computer,
        number: u64,
        content: String,
        context: &Context,
    ) {
        if self.takes_copy {
            if self.data.is_empty() && self.lines.count() == 0 {
                self.begin(copy);
            }
            self.put_copy(copy, computer, context);
        }
        if self.takes_rows {
            let fields = copy.form.fields.iter();
            let values = computer.row.iter().zip(fields);
            self.values.extend(
                values.map(|(value, field)| -> Option<Bytes> { encode(value, field.ty.id) }),
            );
            self.rows += 1;
        }
        self.lines.push(number);
        if self.shown.len() == SHOWN_RECORDS {
            self.shown.pop_front();
        }
        self.shown.push_back(content);
    }

    /// A row as COPY data: what is not computed keeps the client's bytes.
    fn put_copy(&mut self, copy: &CopyPlan, computer: &Computer, context: &Context) {
        let binary = copy.options.format == CopyFormat::Binary;
        let out = &mut self.data;
        if binary {
            out.put_u16(u16::try_from(computer.fields.len()).unwrap_or(u16::MAX));
        }
        let mut bytes = Vec::new();
        for (place, source) in computer.fields.iter().enumerate() {
            let value: Option<&[u8]> = match source {
                Source::Column(index) => computer.record[*index].as_deref(),
                Source::Computed(_) if computer.row[place].is_null() => None,
                Source::Computed(_) => {
                    let ty = copy.form.fields[place].ty.id;
                    bytes.clear();
                    if binary {
                        dataman_pg::io::binary::encode(&computer.row[place], ty, &mut bytes);
                    } else {
                        dataman_pg::io::text::output(&computer.row[place], ty, context, &mut bytes);
                    }
                    Some(&bytes)
                }
            };
            if binary {
                binary::put_field(value, out);
                continue;
            }
            if place > 0 {
                out.put_u8(b'\t');
            }
            match value {
                None => out.put_slice(b"\\N"),
                Some(value) => text::put_value(value, b'\t', out),
            }
        }
        if !binary {
            out.put_u8(b'\n');
        }
    }

    /// The content of one of the shard's records, by its number.
    pub(super) fn shown_record(&self, record: u64) -> Option<&str> {
        let from_last = usize::try_from(self.lines.count().checked_sub(record)?).ok()?;
        let place = self.shown.len().checked_sub(from_last + 1)?;
        self.shown.get(place).map(String::as_str)
    }
}
