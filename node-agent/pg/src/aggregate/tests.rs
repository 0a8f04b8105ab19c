//! Every aggregate is computed whole and from the parts of three shards; the values are PostgreSQL's own.

use super::*;
use crate::eval::Evaluator;
use crate::io;

/// Rows are written with blanks between values, NULL as `-`. `types` are the names in `pg_type`.
fn check(name: &str, types: &[&str], rows: &[&str], expected: &str) {
    let context = Context::default();
    let types: Vec<TypeId> = types
        .iter()
        .map(|name| crate::catalog::type_by_name(name).expect("a type of the catalog").id)
        .collect();
    let function = crate::catalog::functions_named(name)
        .iter()
        .find(|function| function.args == types)
        .or_else(|| {
            crate::catalog::functions_named(name).iter().find(|function| {
                let polymorphic = |id: &TypeId| match crate::array::element_type(*id) {
                    Some(_) => TypeId::ANYARRAY,
                    None => TypeId::ANYNONARRAY,
                };
                function.args.len() == types.len()
                    && (matches!(function.args[0], TypeId::ANY | TypeId::ANYELEMENT)
                        || function.args[0] == polymorphic(&types[0]))
            })
        })
        .expect("an aggregate of the catalog");
    let result = if function.result.is_polymorphic() { types[0] } else { function.result };
    let rows: Vec<Vec<Value>> = rows
        .iter()
        .map(|row| {
            let words = row.split(' ').zip(&types);
            words
                .map(|(word, ty)| match word {
                    "-" => Value::Null,
                    word => {
                        io::text::input(word, (*ty).into(), &context).expect("the test's input")
                    }
                })
                .collect()
        })
        .collect();
    let whole = run(function.id, &types, &rows, &context);
    assert_eq!(show(whole, result, &context), expected, "{name} {types:?} whole");
    let Some(split) = split(function.id, &types) else { return };
    let mut combiner = (split.combiner)();
    let columns: Vec<Expr> = types
        .iter()
        .enumerate()
        .map(|(index, ty)| Expr::Column { index, ty: (*ty).into() })
        .collect();
    for shard in 0..3 {
        let own: Vec<&Vec<Value>> = rows.iter().skip(shard).step_by(3).collect();
        let parts = split.partials.iter().map(|partial| {
            let args = (partial.args)(&columns);
            let types: Vec<TypeId> = args.iter().map(Expr::type_id).collect();
            let evaluators: Vec<Evaluator> = args
                .iter()
                .map(|arg| Evaluator::compile(arg, &|_| None).expect("the argument is computed"))
                .collect();
            let rows: Vec<Vec<Value>> = own
                .iter()
                .map(|row| {
                    let values = evaluators.iter().map(|evaluator| {
                        evaluator.eval(row, &[], &context).expect("the argument has a value")
                    });
                    values.collect()
                })
                .collect();
            run(partial.function, &types, &rows, &context).expect("a part has a value")
        });
        let parts: Vec<Value> = parts.collect();
        combiner.combine(&parts).expect("the parts combine");
    }
    assert_eq!(show(combiner.finish(), result, &context), expected, "{name} {types:?} split");
}

fn run(
    function: FunctionId,
    types: &[TypeId],
    rows: &[Vec<Value>],
    context: &Context,
) -> Result<Value> {
    let declared = crate::catalog::function(function).expect("an aggregate of the catalog").result;
    let call = CallContext { context, arguments: types, result: declared, variadic: false };
    let mut state = accumulator(function, types, context).expect("the aggregate is computed");
    for row in rows {
        state.accumulate(&call, row)?;
    }
    state.finish(&call)
}

fn show(value: Result<Value>, ty: TypeId, context: &Context) -> String {
    match value {
        Ok(Value::Null) => "NULL".to_owned(),
        Ok(value) => {
            let mut out = Vec::new();
            io::text::output(&value, ty, context, &mut out);
            String::from_utf8(out).expect("text")
        }
        Err(error) => format!("ERROR {}: {}", error.sqlstate(), error.message()),
    }
}

#[test]
fn counts() {
    check("count", &[], &["", "", ""], "3");
    check("count", &["any"], &[], "0");
    check("regr_count", &["float8", "float8"], &["1 -", "1 2", "- -"], "1");
}

#[test]
fn sums() {
    check("sum", &["int4"], &["2147483647", "-", "1"], "2147483648");
    check("sum", &["int4"], &["-"], "NULL");
    check("sum", &["int8"], &["9223372036854775807", "1"], "9223372036854775808");
    check("sum", &["numeric"], &["1.5", "2.25", "-"], "3.75");
    check("sum", &["numeric"], &["1.5", "inf", "-inf"], "NaN");
    check("sum", &["numeric"], &["1.50", "inf"], "Infinity");
    check("sum", &["float4"], &["0.5", "0.25"], "0.75");
    check("sum", &["float8"], &["1e308", "1"], "1e+308");
}

#[test]
fn averages() {
    check("avg", &["int4"], &["1", "2", "2"], "1.6666666666666667");
    check("avg", &["int2"], &["1", "-", "2"], "1.5000000000000000");
    check("avg", &["int8"], &["-"], "NULL");
    check("avg", &["numeric"], &["1.00", "2.5"], "1.7500000000000000");
    check("avg", &["numeric"], &["NaN", "2.5"], "NaN");
    check("avg", &["float4"], &["0.5", "0.25", "0"], "0.25");
}

#[test]
fn variances() {
    check("var_pop", &["int4"], &["1", "2", "4"], "1.5555555555555556");
    check("var_samp", &["int4"], &["1", "2", "4"], "2.3333333333333333");
    check("stddev", &["int4"], &["1", "2", "4"], "1.5275252316519467");
    check("stddev_pop", &["numeric"], &["1.5", "2", "-"], "0.25000000000000000000");
    check("variance", &["int4"], &["7"], "NULL");
    check("var_pop", &["int4"], &["7"], "0");
    check("var_pop", &["numeric"], &["7", "inf"], "NaN");
    check("var_pop", &["float8"], &["1", "2", "4"], "1.5555555555555556");
    check(
        "variance",
        &["int8"],
        &["9223372036854775807", "-9223372036854775808"],
        "170141183460469231713240559642174554113",
    );
}

#[test]
fn extremes() {
    check("max", &["text"], &["a", "ab", "-"], "ab");
    check("min", &["numeric"], &["NaN", "2", "10"], "2");
    check("max", &["float8"], &["nan", "inf"], "NaN");
    check("min", &["int4"], &[], "NULL");
}

#[test]
fn truth_and_bits() {
    check("bool_and", &["bool"], &["t", "-", "f"], "f");
    check("every", &["bool"], &["t", "-"], "t");
    check("bool_or", &["bool"], &["f", "t"], "t");
    check("bit_and", &["int4"], &["7", "12"], "4");
    check("bit_or", &["int8"], &["1", "12"], "13");
    check("bit_xor", &["int2"], &["7", "12", "-"], "11");
    check("bit_xor", &["int2"], &["-"], "NULL");
}

#[test]
fn regressions() {
    let rows = ["1 2", "2 4", "4 5", "- 1"];
    check("regr_avgx", &["float8", "float8"], &rows, "3.6666666666666665");
    let rows = ["1 2", "2 4", "3 9", "- 1"];
    check("covar_pop", &["float8", "float8"], &rows, "2.3333333333333335");
    check("regr_slope", &["float8", "float8"], &["1 2", "2 4", "3 6", "4 8"], "0.5");
    check("regr_r2", &["float8", "float8"], &["1 2", "1 3"], "1");
    check("corr", &["float8", "float8"], &["1 2", "1 3"], "NULL");
}

#[test]
fn collections() {
    check("string_agg", &["text", "text"], &["a ,", "- ,", "b ;", "c -"], "a;bc");
    check("string_agg", &["bytea", "bytea"], &["a ,", "b ;"], "\\x613b62");
    check("string_agg", &["text", "text"], &["- ,"], "NULL");
    check("array_agg", &["int4"], &["1", "-"], "{1,NULL}");
    check("array_agg", &["_int4"], &["{1,2}", "{3,4}"], "{{1,2},{3,4}}");
    check(
        "array_agg",
        &["_int4"],
        &["{1,2}", "{3}"],
        "ERROR 2202E: cannot accumulate arrays of different dimensionality",
    );
    check("array_agg", &["_int4"], &["{}"], "ERROR 2202E: cannot accumulate empty arrays");
}

#[test]
fn documents() {
    check("json_agg", &["int4"], &["1", "-", "3"], "[1, null, 3]");
    check("json_agg", &["_int4"], &["{1,2}", "{3}"], "[[1,2], \n [3]]");
    check("json_agg", &["int4"], &[], "NULL");
    check("jsonb_agg", &["text"], &["a", "-"], "[\"a\", null]");
    check(
        "json_object_agg",
        &["text", "int4"],
        &["a 1", "b -", "a 2"],
        "{ \"a\" : 1, \"b\" : null, \"a\" : 2 }",
    );
    check("jsonb_object_agg", &["text", "int4"], &["b 1", "a -", "b 2"], "{\"a\": null, \"b\": 2}");
    check(
        "json_object_agg",
        &["text", "int4"],
        &["- 1"],
        "ERROR 22023: field name must not be null",
    );
}
