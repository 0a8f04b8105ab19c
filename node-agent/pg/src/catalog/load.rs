//! `tables.tsv` → the tables in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::{Aggregate, CastEntry, Function, Operator, Order, Range, Type};
use crate::expr::{FunctionId, OperatorId};
use crate::types::TypeId;

/// The catalog, and the ways into it.
pub(super) struct Tables {
    /// By OID.
    pub(super) types: Vec<Type>,
    pub(super) types_by_name: HashMap<&'static str, &'static Type>,
    /// By name, then OID.
    pub(super) functions: Vec<Function>,
    pub(super) functions_by_id: HashMap<u32, usize>,
    /// By name, then OID.
    pub(super) operators: Vec<Operator>,
    pub(super) operators_by_id: HashMap<u32, usize>,
    /// By source and target.
    pub(super) casts: Vec<CastEntry>,
    /// By OID.
    pub(super) aggregates: Vec<Aggregate>,
    /// By OID.
    pub(super) ranges: Vec<Range>,
    /// The types' default B-tree orders.
    pub(super) orders: HashMap<TypeId, Order>,
    /// Family, left type, right type, strategy → operator.
    pub(super) strategies: BTreeMap<(u32, TypeId, TypeId, u8), OperatorId>,
    /// Family, left type, right type → comparison function.
    pub(super) comparisons: BTreeMap<(u32, TypeId, TypeId), FunctionId>,
}

pub(super) static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    load(include_str!("tables.tsv")).expect("the generated catalog is well-formed")
});

/// One line's fields, taken one after the other. `None` anywhere means that the file is not what the generator wrote.
struct Fields {
    rest: std::str::Split<'static, char>,
}

impl Fields {
    fn text(&mut self) -> Option<&'static str> {
        self.rest.next()
    }

    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    fn type_id(&mut self) -> Option<TypeId> {
        self.number().map(TypeId)
    }

    fn function_id(&mut self) -> Option<FunctionId> {
        self.number().map(FunctionId)
    }

    fn operator_id(&mut self) -> Option<OperatorId> {
        self.number().map(OperatorId)
    }

    fn letter(&mut self) -> Option<char> {
        self.text()?.chars().next()
    }

    fn words(&mut self) -> Option<Vec<&'static str>> {
        Some(self.text()?.split(' ').filter(|word| !word.is_empty()).collect())
    }
}

fn load(text: &'static str) -> Option<Tables> {
    let mut types = Vec::new();
    let mut functions = Vec::new();
    let mut operators = Vec::new();
    let mut casts = Vec::new();
    let mut aggregates = Vec::new();
    let mut ranges = Vec::new();
    let mut classes = Vec::new();
    let mut strategies = BTreeMap::new();
    let mut comparisons = BTreeMap::new();
    for line in text.lines() {
        let mut fields = Fields { rest: line.split('\t') };
        match fields.text()? {
            "type" => types.push(read_type(&mut fields)?),
            "function" => functions.push(read_function(&mut fields)?),
            "operator" => operators.push(Operator {
                id: fields.operator_id()?,
                name: fields.text()?,
                left: fields.type_id()?,
                right: fields.type_id()?,
                result: fields.type_id()?,
                function: fields.function_id()?,
                commutator: fields.operator_id()?,
                negator: fields.operator_id()?,
            }),
            "cast" => casts.push(CastEntry {
                source: fields.type_id()?,
                target: fields.type_id()?,
                function: fields.function_id()?,
                context: fields.letter()?,
                method: fields.letter()?,
            }),
            "aggregate" => aggregates.push(Aggregate {
                id: fields.function_id()?,
                kind: fields.letter()?,
                direct_args: fields.number()?,
                transition: fields.function_id()?,
                final_function: fields.function_id()?,
                combine: fields.function_id()?,
                sort_operator: fields.operator_id()?,
                state: fields.type_id()?,
                initial: fields.text()?.strip_prefix('='),
            }),
            "range" => ranges.push(Range {
                id: fields.type_id()?,
                element: fields.type_id()?,
                multirange: fields.type_id()?,
            }),
            "order" => classes.push((fields.type_id()?, fields.number::<u32>()?)),
            "strategy" => {
                let key =
                    (fields.number()?, fields.type_id()?, fields.type_id()?, fields.number()?);
                strategies.insert(key, fields.operator_id()?);
            }
            "comparison" => {
                let key = (fields.number()?, fields.type_id()?, fields.type_id()?);
                comparisons.insert(key, fields.function_id()?);
            }
            _ => return None,
        }
    }
    types.sort_by_key(|t: &Type| t.id);
    functions.sort_by_key(|f: &Function| (f.name, f.id));
    operators.sort_by_key(|o: &Operator| (o.name, o.id));
    casts.sort_by_key(|c: &CastEntry| (c.source, c.target));
    aggregates.sort_by_key(|a: &Aggregate| a.id);
    ranges.sort_by_key(|r: &Range| r.id);
    // The map by name refers to rows that live as long as the program.
    let types_by_name = types.iter().map(|t| (t.name, &*Box::leak(Box::new(*t)))).collect();
    let functions_by_id = functions.iter().enumerate().map(|(place, f)| (f.id.0, place)).collect();
    let operators_by_id = operators.iter().enumerate().map(|(place, o)| (o.id.0, place)).collect();
    let orders = classes
        .into_iter()
        .filter_map(|(input, family)| {
            let operator = |strategy| strategies.get(&(family, input, input, strategy)).copied();
            let order = Order {
                family,
                input,
                less: operator(1)?,
                less_equal: operator(2)?,
                equal: operator(3)?,
                greater_equal: operator(4)?,
                greater: operator(5)?,
                compare: *comparisons.get(&(family, input, input))?,
            };
            Some((input, order))
        })
        .collect();
    Some(Tables {
        types,
        types_by_name,
        functions,
        functions_by_id,
        operators,
        operators_by_id,
        casts,
        aggregates,
        ranges,
        orders,
        strategies,
        comparisons,
    })
}

fn read_type(fields: &mut Fields) -> Option<Type> {
    Some(Type {
        id: fields.type_id()?,
        name: fields.text()?,
        length: fields.number()?,
        kind: fields.letter()?,
        category: fields.letter()?,
        preferred: fields.text()? == "1",
        element: fields.type_id()?,
        array: fields.type_id()?,
    })
}

fn read_function(fields: &mut Fields) -> Option<Function> {
    let id = fields.function_id()?;
    let name = fields.text()?;
    let source = match fields.text()? {
        "=" => name,
        source => source,
    };
    let args = fields.words()?.into_iter().map(|oid| oid.parse().ok().map(TypeId));
    let args = args.collect::<Option<Vec<_>>>()?.leak();
    let arg_names = fields.words()?;
    let arg_names = arg_names.into_iter().map(|name| if name == "-" { "" } else { name });
    let arg_names = arg_names.collect::<Vec<_>>().leak();
    let default_values = fields.words()?.leak();
    let variadic = fields.type_id()?;
    let result = fields.type_id()?;
    let [returns_set, strict, kind, volatility] = <[&str; 4]>::try_from(fields.words()?).ok()?;
    let out = fields.words()?.into_iter().map(|column| {
        let (name, oid) = column.rsplit_once(':')?;
        Some((name, TypeId(oid.parse().ok()?)))
    });
    Some(Function {
        id,
        name,
        source,
        args,
        arg_names,
        defaults: u8::try_from(default_values.len()).ok()?,
        default_values,
        variadic,
        result,
        returns_set: returns_set == "1",
        strict: strict == "1",
        kind: kind.chars().next()?,
        volatility: volatility.chars().next()?,
        out: out.collect::<Option<Vec<_>>>()?.leak(),
    })
}
