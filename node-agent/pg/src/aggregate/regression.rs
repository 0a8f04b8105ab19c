//! The two-argument statistics: `covar_*`, `corr`, `regr_*`. The dependent value comes first.

use super::{Accumulator, Combiner};
use crate::arguments::arg;
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::float::nearest_double;
use crate::value::Value;

/// What is asked of the state.
#[derive(Debug, Clone, Copy)]
pub(super) enum Statistic {
    CovariancePopulation,
    CovarianceSample,
    Correlation,
    SquaresX,
    SquaresY,
    Products,
    AverageX,
    AverageY,
    Determination,
    Slope,
    Intercept,
}

impl Statistic {
    /// The statistic that an aggregate of this name gives.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "covar_pop" => Self::CovariancePopulation,
            "covar_samp" => Self::CovarianceSample,
            "corr" => Self::Correlation,
            "regr_sxx" => Self::SquaresX,
            "regr_syy" => Self::SquaresY,
            "regr_sxy" => Self::Products,
            "regr_avgx" => Self::AverageX,
            "regr_avgy" => Self::AverageY,
            "regr_r2" => Self::Determination,
            "regr_slope" => Self::Slope,
            "regr_intercept" => Self::Intercept,
            _ => return None,
        })
    }
}

/// Counts, sums, and sums of squared distances and of products, by Youngs and Cramer's method.
#[derive(Debug)]
pub(super) struct Regression {
    statistic: Statistic,
    count: f64,
    x: f64,
    xx: f64,
    y: f64,
    yy: f64,
    xy: f64,
}

impl Regression {
    pub(super) fn new(statistic: Statistic) -> Self {
        Self { statistic, count: 0.0, x: 0.0, xx: 0.0, y: 0.0, yy: 0.0, xy: 0.0 }
    }

    fn value(&self) -> Value {
        let Self { count, x, xx, y, yy, xy, .. } = *self;
        if count < 1.0 {
            return Value::Null;
        }
        let value = match self.statistic {
            Statistic::CovariancePopulation => Some(xy / count),
            Statistic::CovarianceSample => (count >= 2.0).then(|| xy / (count - 1.0)),
            Statistic::Correlation => (xx != 0.0 && yy != 0.0).then(|| xy / (xx * yy).sqrt()),
            Statistic::SquaresX => Some(xx),
            Statistic::SquaresY => Some(yy),
            Statistic::Products => Some(xy),
            Statistic::AverageX => Some(x / count),
            Statistic::AverageY => Some(y / count),
            Statistic::Determination if xx == 0.0 => None,
            Statistic::Determination if yy == 0.0 => Some(1.0),
            Statistic::Determination => Some((xy * xy) / (xx * yy)),
            Statistic::Slope => (xx != 0.0).then(|| xy / xx),
            Statistic::Intercept => (xx != 0.0).then(|| (y - x * xy / xx) / count),
        };
        value.map_or(Value::Null, Value::Float8)
    }
}

fn overflow() -> PgError {
    PgError::new("22003", "value out of range: overflow")
}

impl Accumulator for Regression {
    fn accumulate(&mut self, _: &CallContext<'_>, args: &[Value]) -> Result<()> {
        let [Value::Float8(y), Value::Float8(x)] = *args else { return Ok(()) };
        let before = (self.count, self.x, self.y);
        self.count += 1.0;
        self.x += x;
        self.y += y;
        if before.0 > 0.0 {
            let distance_x = x * self.count - self.x;
            let distance_y = y * self.count - self.y;
            let scale = 1.0 / (self.count * before.0);
            self.xx += distance_x * distance_x * scale;
            self.yy += distance_y * distance_y * scale;
            self.xy += distance_x * distance_y * scale;
            let state = [self.x, self.xx, self.y, self.yy, self.xy];
            if state.into_iter().any(f64::is_infinite) {
                let finite =
                    |before: f64, value: f64| !before.is_infinite() && !value.is_infinite();
                let x_finite = finite(before.1, x);
                let y_finite = finite(before.2, y);
                if ((self.x.is_infinite() || self.xx.is_infinite()) && x_finite)
                    || ((self.y.is_infinite() || self.yy.is_infinite()) && y_finite)
                    || (self.xy.is_infinite() && x_finite && y_finite)
                {
                    return Err(overflow());
                }
                for square in [&mut self.xx, &mut self.yy, &mut self.xy] {
                    if square.is_infinite() {
                        *square = f64::NAN;
                    }
                }
            }
        } else {
            if !x.is_finite() {
                self.xx = f64::NAN;
                self.xy = f64::NAN;
            }
            if !y.is_finite() {
                self.yy = f64::NAN;
                self.xy = f64::NAN;
            }
        }
        Ok(())
    }

    fn finish(&self, _: &CallContext<'_>) -> Result<Value> {
        Ok(self.value())
    }
}

impl Combiner for Regression {
    /// Takes `regr_count`, `regr_avgx`, `regr_sxx`, `regr_avgy`, `regr_syy`, `regr_sxy`.
    fn combine(&mut self, partials: &[Value]) -> Result<()> {
        let count = nearest_double(arg::<i64>(partials, 0)?);
        if count == 0.0 {
            return Ok(());
        }
        let part = |place| arg::<f64>(partials, place);
        let (average_x, xx, average_y, yy, xy) = (part(1)?, part(2)?, part(3)?, part(4)?, part(5)?);
        if self.count == 0.0 {
            self.count = count;
            (self.x, self.xx) = (average_x * count, xx);
            (self.y, self.yy) = (average_y * count, yy);
            self.xy = xy;
            return Ok(());
        }
        let total = self.count + count;
        let distance_x = self.x / self.count - average_x;
        let distance_y = self.y / self.count - average_y;
        let weight = self.count * count;
        let joined = |own: f64, other: f64, square: f64| {
            let joined = own + other + weight * square / total;
            let overflows = joined.is_infinite() && !own.is_infinite() && !other.is_infinite();
            if overflows { Err(overflow()) } else { Ok(joined) }
        };
        self.xx = joined(self.xx, xx, distance_x * distance_x)?;
        self.yy = joined(self.yy, yy, distance_y * distance_y)?;
        self.xy = joined(self.xy, xy, distance_x * distance_y)?;
        self.x = crate::float::add(self.x, average_x * count)?;
        self.y = crate::float::add(self.y, average_y * count)?;
        self.count = total;
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        Ok(self.value())
    }
}
