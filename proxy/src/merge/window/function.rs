//! The window functions, and what they share with aggregates: arguments, filter and frame.

use dataman_pg::expr::{Frame as Clause, Window as WindowCall};
use dataman_pg::{PgError, Value, catalog};

use super::super::open::{Compiled, Run};
use super::super::pace::Pace;
use super::Partition;
use super::aggregate::Aggregate;
use super::frame::Frame;
use crate::error::Error;

/// One call.
pub(super) struct Call {
    function: Function,
    args: Vec<Compiled>,
    frame: Frame,
}

enum Function {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumulativeDistribution,
    Ntile(Option<Buckets>),
    /// The value so many rows before the current one, or behind it.
    Shifted {
        is_behind: bool,
    },
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(Box<Aggregate>),
}

/// Where `ntile` is in its partition.
struct Buckets {
    /// The bucket of the row before, and how many rows it has.
    bucket: i64,
    filled: i64,
    /// How many a bucket takes, and how many buckets from the first on take one of the rows that are left over.
    size: i64,
    left_over: i64,
}

impl Call {
    pub(super) fn new(run: &Run<'_>, call: &WindowCall) -> Result<Self, PgError> {
        let unsaid = Clause::unsaid();
        let frame = call.frame.as_ref().unwrap_or(&unsaid);
        let frame = Frame::new(run, frame, &call.order_by)?;
        let args = call.args.iter().map(|arg| run.compiled(arg)).collect::<Result<_, _>>()?;
        let found = catalog::function(call.function);
        let function = match found.map_or("", |function| function.name) {
            _ if found.is_some_and(|function| function.kind == 'a') => {
                Function::Aggregate(Box::new(Aggregate::new(run, call, &frame)?))
            }
            "row_number" => Function::RowNumber,
            "rank" => Function::Rank,
            "dense_rank" => Function::DenseRank,
            "percent_rank" => Function::PercentRank,
            "cume_dist" => Function::CumulativeDistribution,
            "ntile" => Function::Ntile(None),
            "lag" => Function::Shifted { is_behind: false },
            "lead" => Function::Shifted { is_behind: true },
            "first_value" => Function::FirstValue,
            "last_value" => Function::LastValue,
            "nth_value" => Function::NthValue,
            _ => {
                return Err(PgError::internal("a plan has a window function that is not computed"));
            }
        };
        Ok(Self { function, args, frame })
    }

    /// Begins another partition.
    pub(super) fn begin(&mut self) -> Result<(), PgError> {
        self.frame.begin();
        match &mut self.function {
            Function::Ntile(buckets) => *buckets = None,
            Function::Aggregate(aggregate) => aggregate.begin()?,
            _ => {}
        }
        Ok(())
    }

    /// The call's value for a row of a group; rows come one after the other.
    pub(super) async fn value(
        &mut self,
        partition: &mut Partition,
        row: usize,
        group: usize,
        pace: &mut Pace,
    ) -> Result<Value, Error> {
        if self.frame.is_range() {
            self.frame.bounds(partition, row, group)?;
        }
        let rows = partition.len();
        let first_peer = partition.starts.get(group).copied().unwrap_or(0);
        Ok(match &mut self.function {
            Function::RowNumber => count(row + 1),
            Function::Rank => count(first_peer + 1),
            Function::DenseRank => count(group + 1),
            Function::PercentRank if rows <= 1 => Value::Float8(0.0),
            Function::PercentRank => Value::Float8(float(first_peer) / float(rows - 1)),
            Function::CumulativeDistribution => {
                Value::Float8(float(partition.end_of(group)) / float(rows))
            }
            Function::Ntile(buckets) => {
                partition.rows.load(row).await?;
                let argument = self.args.first();
                let count = argument.map(|arg| arg.eval(partition.rows.row(row)));
                Buckets::next(buckets, rows, || count.unwrap_or(Ok(Value::Null)))?
            }
            Function::Shifted { is_behind } => {
                let is_behind = *is_behind;
                shifted(&self.args, partition, row, is_behind).await?
            }
            Function::FirstValue => {
                let runs = self.frame.runs(partition, row, group)?;
                let place = runs.iter().find(|(from, to)| from < to).map(|(from, _)| *from);
                argument_at(&self.args, partition, place).await?
            }
            Function::LastValue => {
                let runs = self.frame.runs(partition, row, group)?;
                let place = runs.iter().rev().find(|(from, to)| from < to).map(|(_, to)| to - 1);
                argument_at(&self.args, partition, place).await?
            }
            Function::NthValue => {
                partition.rows.load(row).await?;
                let wanted = match self.args.get(1) {
                    Some(wanted) => wanted.eval(partition.rows.row(row))?,
                    None => Value::Null,
                };
                let Value::Int4(wanted) = wanted else { return Ok(Value::Null) };
                let Some(mut left) = usize::try_from(wanted).ok().and_then(|n| n.checked_sub(1))
                else {
                    return Err(PgError::new(
                        "22016",
                        "argument of nth_value must be greater than zero",
                    )
                    .into());
                };
                let mut place = None;
                for (from, to) in self.frame.runs(partition, row, group)? {
                    if left < to - from {
                        place = Some(from + left);
                        break;
                    }
                    left -= to - from;
                }
                argument_at(&self.args, partition, place).await?
            }
            Function::Aggregate(aggregate) => {
                aggregate.value(&self.args, &mut self.frame, partition, (row, group), pace).await?
            }
        })
    }
}

/// The first argument over a row; NULL over none.
async fn argument_at(
    args: &[Compiled],
    partition: &mut Partition,
    place: Option<usize>,
) -> Result<Value, Error> {
    let (Some(place), Some(arg)) = (place, args.first()) else {
        return Ok(Value::Null);
    };
    partition.rows.load(place).await?;
    Ok(arg.eval(partition.rows.row(place))?)
}

/// `lag` and `lead`.
async fn shifted(
    args: &[Compiled],
    partition: &mut Partition,
    row: usize,
    is_behind: bool,
) -> Result<Value, Error> {
    partition.rows.load(row).await?;
    let offset = match args.get(1).map(|arg| arg.eval(partition.rows.row(row))) {
        None => 1,
        Some(value) => match value? {
            Value::Int4(offset) => i64::from(offset),
            _ => return Ok(Value::Null),
        },
    };
    let offset = if is_behind { offset } else { -offset };
    let place = i64::try_from(row)
        .ok()
        .and_then(|row| row.checked_add(offset))
        .and_then(|place| usize::try_from(place).ok())
        .filter(|place| *place < partition.len());
    match (place, args.get(2)) {
        (None, Some(otherwise)) => Ok(otherwise.eval(partition.rows.row(row))?),
        (place, _) => argument_at(args, partition, place).await,
    }
}

fn count(rows: usize) -> Value {
    Value::Int8(i64::try_from(rows).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "PostgreSQL divides counts as doubles, too")]
fn float(rows: usize) -> f64 {
    rows as f64
}

impl Buckets {
    /// The next row's bucket. The first rows' argument that is not NULL decides for the whole partition.
    fn next(
        buckets: &mut Option<Self>,
        rows: usize,
        argument: impl FnOnce() -> Result<Value, PgError>,
    ) -> Result<Value, PgError> {
        let own = match buckets {
            Some(own) => own,
            None => {
                let Value::Int4(count) = argument()? else { return Ok(Value::Null) };
                if count <= 0 {
                    return Err(PgError::new(
                        "22014",
                        "argument of ntile must be greater than zero",
                    ));
                }
                let rows = i64::try_from(rows).unwrap_or(i64::MAX);
                let (size, left_over) = (rows / i64::from(count), rows % i64::from(count));
                let (size, left_over) = match (size, left_over) {
                    (0, _) => (1, 0),
                    (size, 0) => (size, 0),
                    (size, left_over) => (size + 1, left_over),
                };
                buckets.insert(Self { bucket: 1, filled: 0, size, left_over })
            }
        };
        own.filled += 1;
        if own.filled > own.size {
            if own.left_over != 0 && own.bucket == own.left_over {
                own.left_over = 0;
                own.size -= 1;
            }
            own.bucket += 1;
            own.filled = 1;
        }
        i32::try_from(own.bucket)
            .map(Value::Int4)
            .map_err(|_| PgError::internal("a bucket's number is an integer"))
    }
}
