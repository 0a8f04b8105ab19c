//! Which rows of its partition a call sees from each row.

use std::sync::Arc;

use dataman_pg::expr::{Frame as Clause, FrameBound, FrameExclusion, FrameUnit, SortKey};
use dataman_pg::registry::Implementation;
use dataman_pg::{CallContext, Context, PgError, TypeId, Value, in_range};

use super::super::open::Run;
use super::Partition;

/// A frame, its offsets computed.
pub(super) struct Frame {
    unit: FrameUnit,
    start: Bound,
    end: Bound,
    pub(super) exclude: FrameExclusion,
}

enum Bound {
    First,
    /// Rows or groups from the current one, to the front when negative.
    Offset(i64),
    Range(Box<RangeBound>),
    Current,
    Last,
}

/// The rows of a frame: at most three runs, `from` included, `to` not, some perhaps empty.
pub(super) type Runs = [(usize, usize); 3];

/// One end of a frame of RANGE with an offset: the first group behind those that it passes. As the current group goes on, so
/// does it.
struct RangeBound {
    compare: Implementation,
    types: &'static [TypeId],
    offset: Value,
    subtract: bool,
    less: bool,
    nulls_first: bool,
    is_end: bool,
    context: Arc<Context>,
    /// The place found, and for which group.
    place: usize,
    found_for: Option<usize>,
}

impl Frame {
    /// Computes the offsets.
    ///
    /// # Errors
    /// `22004` and `22013` for NULL and negative ones.
    pub(super) fn new(run: &Run<'_>, clause: &Clause, order: &[SortKey]) -> Result<Self, PgError> {
        Ok(Self {
            unit: clause.unit,
            start: Bound::new(run, clause.unit, &clause.start, order, "starting")?,
            end: Bound::new(run, clause.unit, &clause.end, order, "ending")?,
            exclude: clause.exclude,
        })
    }

    /// Begins another partition.
    pub(super) fn begin(&mut self) {
        for bound in [&mut self.start, &mut self.end] {
            if let Bound::Range(range) = bound {
                (range.place, range.found_for) = (0, None);
            }
        }
    }

    /// Whether all frames of a partition start at its first row.
    pub(super) fn only_grows(&self) -> bool {
        matches!(self.start, Bound::First) && self.exclude == FrameExclusion::Nothing
    }

    /// Whether the frame of each row is found, and may fail, even for a function that does not look at it.
    pub(super) fn is_range(&self) -> bool {
        [&self.start, &self.end].iter().any(|bound| matches!(bound, Bound::Range(_)))
    }

    /// Where the frame of a row starts and ends, before anything is left out of it.
    ///
    /// # Errors
    /// What `in_range` raises.
    pub(super) fn bounds(
        &mut self,
        partition: &Partition,
        row: usize,
        group: usize,
    ) -> Result<(usize, usize), PgError> {
        let (rows, groups) = (partition.len(), partition.starts.len());
        let unit = self.unit;
        let start_of = |group: usize| partition.starts.get(group).copied().unwrap_or(rows);
        let start = match &mut self.start {
            Bound::First => 0,
            Bound::Last => rows,
            Bound::Current if unit == FrameUnit::Rows => row,
            Bound::Current => start_of(group),
            Bound::Offset(offset) if unit == FrameUnit::Rows => moved(row, *offset, rows),
            Bound::Offset(offset) => start_of(moved(group, *offset, groups)),
            Bound::Range(range) => start_of(range.find(partition, group)?),
        };
        let end = match &mut self.end {
            Bound::First => 0,
            Bound::Last => rows,
            Bound::Current if unit == FrameUnit::Rows => row + 1,
            Bound::Current => partition.end_of(group),
            Bound::Offset(offset) if unit == FrameUnit::Rows => {
                moved(row, offset.saturating_add(1), rows)
            }
            Bound::Offset(offset) => start_of(moved(group, offset.saturating_add(1), groups)),
            Bound::Range(range) => start_of(range.find(partition, group)?),
        };
        Ok((start, end.max(start)))
    }

    /// The rows of a row's frame, in order.
    ///
    /// # Errors
    /// As of [`Frame::bounds`].
    pub(super) fn runs(
        &mut self,
        partition: &Partition,
        row: usize,
        group: usize,
    ) -> Result<Runs, PgError> {
        let (start, end) = self.bounds(partition, row, group)?;
        let peers =
            || (partition.starts.get(group).copied().unwrap_or(row), partition.end_of(group));
        // What is left out: at most the rows from `out.0` to `out.3`, but for those from `out.1` to `out.2`.
        let out = match self.exclude {
            FrameExclusion::Nothing => return Ok([(start, end), (end, end), (end, end)]),
            FrameExclusion::CurrentRow => (row, row + 1, row + 1, row + 1),
            FrameExclusion::Group => {
                let (first, last) = peers();
                (first, last, last, last)
            }
            FrameExclusion::Ties => {
                let (first, last) = peers();
                (first, row, row + 1, last)
            }
        };
        let within = |from: usize, to: usize| {
            let from = from.clamp(start, end);
            (from, to.clamp(from, end))
        };
        Ok([within(start, out.0), within(out.1, out.2), within(out.3, end)])
    }
}

/// A place moved by an offset, within `0..=count`.
fn moved(place: usize, offset: i64, count: usize) -> usize {
    let by = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    if offset < 0 { place.saturating_sub(by) } else { place.saturating_add(by).min(count) }
}

impl Bound {
    fn new(
        run: &Run<'_>,
        unit: FrameUnit,
        bound: &FrameBound,
        order: &[SortKey],
        word: &str,
    ) -> Result<Self, PgError> {
        let (offset, is_preceding) = match bound {
            FrameBound::UnboundedPreceding => return Ok(Self::First),
            FrameBound::CurrentRow => return Ok(Self::Current),
            FrameBound::UnboundedFollowing => return Ok(Self::Last),
            FrameBound::Preceding(offset) => (offset, true),
            FrameBound::Following(offset) => (offset, false),
        };
        let value = run.value(offset)?;
        if value.is_null() {
            return Err(PgError::new("22004", format!("frame {word} offset must not be null")));
        }
        if unit != FrameUnit::Range {
            return match value {
                Value::Int8(0..) if is_preceding => Ok(Self::Offset(match value {
                    Value::Int8(by) => -by,
                    _ => 0,
                })),
                Value::Int8(by @ 0..) => Ok(Self::Offset(by)),
                Value::Int8(_) => {
                    Err(PgError::new("22013", format!("frame {word} offset must not be negative")))
                }
                _ => Err(PgError::internal("a frame's offset is bigint")),
            };
        }
        let missing = || PgError::internal("a plan has a frame that is not computed here");
        let key = order.first().ok_or_else(missing)?;
        let function =
            in_range::function(key.expr.type_id(), offset.type_id()).ok_or_else(missing)?;
        let is_end = word == "ending";
        // Under a descending order both the direction and the comparison turn round.
        Ok(Self::Range(Box::new(RangeBound {
            compare: dataman_pg::registry::find(function.source).ok_or_else(missing)?,
            types: function.args,
            offset: value,
            subtract: is_preceding != key.descending,
            less: is_end != key.descending,
            nulls_first: key.nulls_first,
            is_end,
            context: Arc::clone(run.context()),
            place: 0,
            found_for: None,
        })))
    }
}

impl RangeBound {
    /// The first group that the bound of a group's rows does not pass.
    fn find(&mut self, partition: &Partition, group: usize) -> Result<usize, PgError> {
        if self.found_for == Some(group) {
            return Ok(self.place);
        }
        let current = partition.keys.get(group).unwrap_or(&Value::Null);
        while let Some(key) = partition.keys.get(self.place) {
            let passes = match (key.is_null(), current.is_null()) {
                (false, false) => self.is_within(key, current)? == self.is_end,
                // NULLs are alike, and apart from all others on the side where the order has them.
                (is_null, current_is_null) if self.is_end => {
                    if self.nulls_first {
                        is_null
                    } else {
                        current_is_null
                    }
                }
                (is_null, current_is_null) if self.nulls_first => is_null && !current_is_null,
                (is_null, current_is_null) => !is_null && current_is_null,
            };
            if !passes {
                break;
            }
            self.place += 1;
        }
        self.found_for = Some(group);
        Ok(self.place)
    }

    fn is_within(&self, value: &Value, base: &Value) -> Result<bool, PgError> {
        let call = CallContext {
            context: &self.context,
            arguments: self.types,
            result: TypeId::BOOL,
            variadic: false,
        };
        let args = [
            value.clone(),
            base.clone(),
            self.offset.clone(),
            Value::Bool(self.subtract),
            Value::Bool(self.less),
        ];
        Ok(matches!((self.compare)(&call, &args)?, Value::Bool(true)))
    }
}
