//! Which aggregates split, into what, and what combines the parts.

use super::{Combiner, Partial, Split, count, extreme, logic, moments, regression, sum};
use crate::catalog::{self, Function};
use crate::expr::{Call, Cast, CastMethod, Expr, FunctionId};
use crate::types::{TypeId, TypeRef};

/// How an aggregate splits.
pub(super) fn split(aggregate: &'static Function, args: &[TypeId]) -> Option<Split> {
    let own = |ty: TypeId| Partial { function: aggregate.id, args: same, ty: TypeRef::plain(ty) };
    let made = |partials: Vec<Partial>, combiner: fn() -> Box<dyn Combiner>| {
        Some(Split { partials, combiner })
    };
    match (aggregate.name, aggregate.args) {
        ("count" | "regr_count", _) => {
            made(vec![own(TypeId::INT8)], || Box::new(count::Count::default()))
        }
        ("sum", [TypeId::INT2 | TypeId::INT4]) => {
            made(vec![own(TypeId::INT8)], || Box::new(sum::ShortSum::default()))
        }
        ("sum", [TypeId::INT8 | TypeId::NUMERIC]) => {
            made(vec![own(TypeId::NUMERIC)], || Box::new(sum::NumericSum::sum()))
        }
        ("sum", [TypeId::FLOAT4]) => {
            made(vec![own(TypeId::FLOAT4)], || Box::new(sum::SingleSum::default()))
        }
        ("sum", [TypeId::FLOAT8]) => {
            made(vec![own(TypeId::FLOAT8)], || Box::new(sum::DoubleSum::default()))
        }
        ("sum", [TypeId::INTERVAL]) => {
            sum::IntervalSum::sum()?;
            made(vec![own(TypeId::INTERVAL)], || {
                Box::new(sum::IntervalSum::sum().expect("it was made when the aggregate was split"))
            })
        }
        ("avg", [ty @ (TypeId::INT2 | TypeId::INT4 | TypeId::INT8 | TypeId::NUMERIC)]) => {
            made(vec![partial("sum", &[*ty], same)?, count_of(same)?], || {
                Box::new(sum::NumericSum::average())
            })
        }
        ("avg", [TypeId::INTERVAL]) => {
            sum::IntervalSum::average()?;
            made(vec![partial("sum", &[TypeId::INTERVAL], same)?, count_of(same)?], || {
                Box::new(
                    sum::IntervalSum::average().expect("it was made when the aggregate was split"),
                )
            })
        }
        (name, [TypeId::FLOAT4 | TypeId::FLOAT8]) if moments::Statistic::named(name).is_some() => {
            let statistic = moments::Statistic::named(name)?;
            let mut partials = vec![count_of(same)?, partial("sum", &[TypeId::FLOAT8], as_double)?];
            if statistic != moments::Statistic::Average {
                let pair = [TypeId::FLOAT8, TypeId::FLOAT8];
                partials.push(partial("regr_sxx", &pair, as_double_twice)?);
            }
            made(partials, float_moments(statistic))
        }
        // Squares of numeric could be rounded or too large where they are computed as values.
        (name, [ty @ (TypeId::INT2 | TypeId::INT4 | TypeId::INT8)])
            if moments::Statistic::named(name).is_some() =>
        {
            let statistic = moments::Statistic::named(name)?;
            let partials = vec![
                count_of(same)?,
                partial("sum", &[*ty], same)?,
                partial("sum", &[TypeId::NUMERIC], squared)?,
            ];
            made(partials, numeric_moments(statistic))
        }
        (name, [TypeId::FLOAT8, TypeId::FLOAT8]) => {
            let combiner = regression_combiner(regression::Statistic::named(name)?);
            let pair = [TypeId::FLOAT8, TypeId::FLOAT8];
            let names =
                ["regr_count", "regr_avgx", "regr_sxx", "regr_avgy", "regr_syy", "regr_sxy"];
            let partials =
                names.iter().map(|name| partial(name, &pair, same)).collect::<Option<_>>()?;
            made(partials, combiner)
        }
        ("min", [_]) if extreme::is_ordered(*args.first()?) => {
            made(vec![own(result(aggregate, args)?)], || Box::new(extreme::Extreme::least()))
        }
        ("max", [_]) if extreme::is_ordered(*args.first()?) => {
            made(vec![own(result(aggregate, args)?)], || Box::new(extreme::Extreme::greatest()))
        }
        (name, [TypeId::BOOL | TypeId::INT2 | TypeId::INT4 | TypeId::INT8]) => {
            made(vec![own(aggregate.result)], logic_combiner(name)?)
        }
        _ => None,
    }
}

/// The result's type of `min` and `max`: the argument's, where it is declared polymorphic.
fn result(aggregate: &Function, args: &[TypeId]) -> Option<TypeId> {
    match aggregate.result {
        TypeId::ANYARRAY | TypeId::ANYENUM => args.first().copied(),
        ty => Some(ty),
    }
}

fn partial(name: &str, types: &[TypeId], args: fn(&[Expr]) -> Vec<Expr>) -> Option<Partial> {
    let function = catalog::functions_named(name).iter().find(|function| function.args == types)?;
    Some(Partial { function: function.id, args, ty: TypeRef::plain(function.result) })
}

fn count_of(args: fn(&[Expr]) -> Vec<Expr>) -> Option<Partial> {
    partial("count", &[TypeId::ANY], args)
}

fn same(args: &[Expr]) -> Vec<Expr> {
    args.to_vec()
}

/// The argument as `double precision`.
fn as_double(args: &[Expr]) -> Vec<Expr> {
    args.first().map(|arg| converted(arg, TypeId::FLOAT8)).into_iter().collect()
}

fn as_double_twice(args: &[Expr]) -> Vec<Expr> {
    let double = as_double(args);
    double.iter().chain(&double).cloned().collect()
}

/// The argument's square, as `numeric`, which cannot overflow as the integers can.
fn squared(args: &[Expr]) -> Vec<Expr> {
    let Some(arg) = args.first() else { return Vec::new() };
    let number = converted(arg, TypeId::NUMERIC);
    let multiply = catalog::operators_named("*")
        .iter()
        .find(|operator| operator.left == TypeId::NUMERIC && operator.right == TypeId::NUMERIC);
    let Some(multiply) = multiply else { return Vec::new() };
    vec![Expr::Call(Call {
        function: multiply.function,
        operator: Some(multiply.id),
        args: vec![number.clone(), number],
        variadic: false,
        ty: TypeRef::plain(TypeId::NUMERIC),
    })]
}

fn converted(arg: &Expr, target: TypeId) -> Expr {
    let source = arg.type_id();
    match catalog::cast(source, target) {
        Some(cast) if source != target && cast.function != FunctionId(0) => {
            Expr::Cast(Box::new(Cast {
                arg: arg.clone(),
                ty: TypeRef::plain(target),
                method: CastMethod::Function(cast.function),
                explicit: false,
            }))
        }
        _ => arg.clone(),
    }
}

fn logic_combiner(name: &str) -> Option<fn() -> Box<dyn Combiner>> {
    macro_rules! combiner {
        ($name:literal) => {
            || Box::new(logic::Logic::named($name).expect("it is one of the names"))
        };
    }
    Some(match name {
        "bool_and" | "every" | "bit_and" => combiner!("bit_and"),
        "bool_or" | "bit_or" => combiner!("bit_or"),
        "bit_xor" => combiner!("bit_xor"),
        _ => return None,
    })
}

/// One function for each statistic: a combiner is made by a plain function.
macro_rules! by_statistic {
    ($function:ident, $module:ident, $state:ident, $($statistic:ident),*) => {
        fn $function(statistic: $module::Statistic) -> fn() -> Box<dyn Combiner> {
            match statistic {
                $($module::Statistic::$statistic => {
                    || Box::new($module::$state::new($module::Statistic::$statistic))
                })*
            }
        }
    };
}

by_statistic!(
    float_moments,
    moments,
    FloatMoments,
    Average,
    VariancePopulation,
    VarianceSample,
    DeviationPopulation,
    DeviationSample
);
by_statistic!(
    numeric_moments,
    moments,
    NumericMoments,
    Average,
    VariancePopulation,
    VarianceSample,
    DeviationPopulation,
    DeviationSample
);
by_statistic!(
    regression_combiner,
    regression,
    Regression,
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
    Intercept
);
