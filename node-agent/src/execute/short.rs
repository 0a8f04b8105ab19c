//! The short form, which people type: bare field names and literals.
//!
//! ```json
//! {"filter": {"collection": "orders", "filter": [{"tenant_id": ["=", 7]}, "AND", {"total": [">", {"param": 1}]}],
//!             "fields": ["id", "total"], "sort": ["total"], "sort_reverse": [true], "limit": 10}}
//! {"aggregate": {"collection": "orders", "fields": ["tenant_id"], "aggregation_fields": {"total": ["sum"], "*": ["count"]}}}
//! {"get": {"collection": "orders", "pkey": {"id": 1}}}
//! {"set": {"collection": "orders", "record": {"id": 1, "total": 5}}}
//! {"insert_many": {"collection": "orders", "records": [{"id": 1}, {"id": 2}]}}
//! {"update": {"collection": "orders", "record": {"total": 5}, "filter": {"id": ["=", 1]}}}
//! {"delete": {"collection": "orders", "filter": {"id": ["=", 1]}}}
//! ```
//!
//! A literal takes the type of the field that it meets, as a literal in quotes does in SQL.

use dataman_node_protocol::NodeError;
use dataman_node_protocol::query::{
    Condition, Conflict, Delete, Insert, NamedType, NodeQuery, OutputField, Records, Select,
    SortKey, Source, Target, Update,
};
use dataman_pg::PgError;
use dataman_pg::expr::{Aggregate, Expr, Field, IsTest};
use dataman_pg::resolve::{CastContext, ParameterTypes, Resolver, UserType, UserTypes};
use dataman_pg::types::{TypeId, TypeRef};
use dataman_pg::value::Value;
use serde_json::{Map, Value as Json};

use crate::driver::contract::InspectedCollection;

/// The alias of the one collection.
const ALIAS: &str = "t";

/// A query of the short form, not bound yet.
pub(super) struct ShortQuery {
    /// What it is about.
    pub(super) target: Target,
    function: String,
    args: Map<String, Json>,
}

/// Reads a query's outer shape.
pub(super) fn parse(text: &str) -> Result<ShortQuery, NodeError> {
    let query: Map<String, Json> =
        serde_json::from_str(text).map_err(|error| wrong(format!("it is not JSON: {error}")))?;
    let mut entries = query.into_iter();
    let (Some((function, args)), None) = (entries.next(), entries.next()) else {
        return Err(wrong("it is an object with one key, the function"));
    };
    const FUNCTIONS: &[&str] =
        &["get", "set", "insert", "insert_many", "update", "delete", "filter", "aggregate"];
    if !FUNCTIONS.contains(&function.as_str()) {
        // What these take is the bound form only, and says itself what is wrong with it.
        let whole = Json::Object(Map::from_iter([(function.clone(), args)]));
        return Err(wrong(match serde_json::from_value::<NodeQuery>(whole) {
            Err(error) => error.to_string(),
            Ok(_) => format!("\"{function}\" has no short form"),
        }));
    }
    let Json::Object(args) = args else {
        return Err(wrong(format!("the arguments of \"{function}\" are an object")));
    };
    if !args.contains_key("collection") {
        let whole = Json::Object(Map::from_iter([(function.clone(), Json::Object(args))]));
        return Err(wrong(match serde_json::from_value::<NodeQuery>(whole) {
            Err(error) => error.to_string(),
            Ok(_) => format!("\"{function}\" needs a \"collection\""),
        }));
    }
    let target: Target = serde_json::from_value(Json::Object(
        args.iter()
            .filter(|(name, _)| ["db", "shard_instance", "collection"].contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    ))
    .map_err(|error| wrong(error.to_string()))?;
    Ok(ShortQuery { target, function, args })
}

fn wrong(reason: impl std::fmt::Display) -> NodeError {
    NodeError::statement("42601", format!("invalid dataman query: {reason}")).with_hint(
        "A query looks like {\"filter\": {\"collection\": \"t\", \"filter\": {\"a\": [\"=\", 1]}, \"limit\": 10}}.",
    )
}

impl ShortQuery {
    /// Binds to a collection's fields. Returns the query and the types of its parameters.
    pub(super) fn bind(
        self,
        target: Target,
        collection: &InspectedCollection,
        declared: &[TypeId],
    ) -> Result<(NodeQuery, Vec<TypeId>), NodeError> {
        let mut binder =
            Binder { collection, target, params: Declared(declared.to_vec()), args: self.args };
        for known in ["collection", "db", "shard_instance"] {
            binder.args.shift_remove(known);
        }
        let query = match self.function.as_str() {
            "get" => NodeQuery::Filter(binder.get()?),
            "filter" => NodeQuery::Filter(binder.filter()?),
            "aggregate" => NodeQuery::Aggregate(binder.aggregate()?),
            "set" => NodeQuery::Insert(binder.set()?),
            "insert" => NodeQuery::Insert(binder.insert("record")?),
            "insert_many" => NodeQuery::InsertMany(binder.insert("records")?),
            "update" => NodeQuery::Update(binder.update()?),
            _ => NodeQuery::Delete(binder.delete()?),
        };
        if let Some(unknown) = binder.args.keys().next() {
            return Err(wrong(format!("\"{}\" has no argument \"{unknown}\"", self.function)));
        }
        Ok((query, binder.params.0))
    }
}

/// The parameters' types: declared, or those of the fields they meet.
struct Declared(Vec<TypeId>);

impl ParameterTypes for Declared {
    fn get(&self, index: u16) -> TypeId {
        let place = usize::from(index).wrapping_sub(1);
        match self.0.get(place) {
            Some(TypeId(0)) | None => TypeId::UNKNOWN,
            Some(ty) => *ty,
        }
    }

    fn decide(&mut self, index: u16, ty: TypeId) -> Result<(), PgError> {
        let known = self.get(index);
        if known != TypeId::UNKNOWN && known != ty {
            return Err(PgError::new("42P08", format!("parameter ${index} has two types")));
        }
        let place = usize::from(index).wrapping_sub(1);
        if self.0.len() <= place {
            self.0.resize(usize::from(index), TypeId::UNKNOWN);
        }
        self.0[place] = ty;
        Ok(())
    }
}

/// The enums of a collection's fields.
struct Enums<'a>(&'a InspectedCollection);

impl UserTypes for Enums<'_> {
    fn describe(&self, id: TypeId) -> Option<UserType> {
        let field = self.0.fields.iter().find(|field| field.ty.id == id)?;
        let (name, labels) = field.enum_labels.as_ref()?;
        Some(UserType {
            name: name.clone(),
            element: None,
            array: None,
            labels: labels.iter().map(|label| label.as_str().into()).collect(),
        })
    }
}

struct Binder<'a> {
    collection: &'a InspectedCollection,
    target: Target,
    params: Declared,
    /// What has not been read yet.
    args: Map<String, Json>,
}

impl Binder<'_> {
    fn resolve<T>(
        &mut self,
        act: impl FnOnce(&mut Resolver<'_>) -> Result<T, PgError>,
    ) -> Result<T, NodeError> {
        let types = Enums(self.collection);
        let mut resolver = Resolver { params: &mut self.params, types: &types };
        act(&mut resolver).map_err(NodeError::from)
    }

    fn take(&mut self, name: &str) -> Option<Json> {
        self.args.shift_remove(name).filter(|value| !value.is_null())
    }

    fn field_type(&self, name: &str) -> Result<TypeRef, NodeError> {
        let found = self.collection.fields.iter().find(|field| field.name == name);
        found.map(|field| field.ty).ok_or_else(|| {
            NodeError::statement(
                "42703",
                format!("collection \"{}\" has no field \"{name}\"", self.collection.collection),
            )
        })
    }

    fn field(&self, name: &str) -> Result<Expr, NodeError> {
        let ty = self.field_type(name)?;
        Ok(Expr::Field(Field { source: ALIAS.to_owned(), name: name.to_owned(), ty }))
    }

    /// A literal or `{"param": n}`, of no type yet.
    fn operand(&mut self, operand: &Json, ty: TypeId) -> Result<Expr, NodeError> {
        let text = match operand {
            Json::Null => return Ok(Expr::null(TypeId::UNKNOWN)),
            Json::Bool(value) => value.to_string(),
            Json::Number(number) => number.to_string(),
            Json::String(text) => text.clone(),
            Json::Object(map) if map.len() == 1 && map.contains_key("param") => {
                let index = map["param"].as_u64().and_then(|index| u16::try_from(index).ok());
                let index = index
                    .filter(|index| *index > 0)
                    .ok_or_else(|| wrong("a parameter is {\"param\": n} with n from 1 to 65535"))?;
                if self.params.get(index) == TypeId::UNKNOWN {
                    self.params.decide(index, ty).map_err(NodeError::from)?;
                }
                return Ok(Expr::Param { index, ty: self.params.get(index) });
            }
            Json::Object(_) | Json::Array(_) if matches!(ty, TypeId::JSON | TypeId::JSONB) => {
                operand.to_string()
            }
            Json::Object(_) | Json::Array(_) => {
                return Err(wrong("a literal is a number, a string, a boolean or null"));
            }
        };
        Ok(Expr::constant(Value::Text(text.into()), TypeId::UNKNOWN))
    }

    fn condition(&mut self, condition: &Condition) -> Result<Expr, NodeError> {
        Ok(match condition {
            Condition::Expr(expr) => expr.clone(),
            Condition::All(parts) => {
                Expr::And(parts.iter().map(|part| self.condition(part)).collect::<Result<_, _>>()?)
            }
            Condition::Any(parts) => {
                Expr::Or(parts.iter().map(|part| self.condition(part)).collect::<Result<_, _>>()?)
            }
            Condition::Test { field, operator, operand } => self.test(field, operator, operand)?,
        })
    }

    fn test(&mut self, name: &str, operator: &str, operand: &Json) -> Result<Expr, NodeError> {
        let field = self.field(name)?;
        let ty = field.type_id();
        let symbol = match operator.to_ascii_lowercase().as_str() {
            "=" => "=",
            "!=" | "<>" => "<>",
            "<" => "<",
            "<=" => "<=",
            ">" => ">",
            ">=" => ">=",
            "like" => "~~",
            "not like" => "!~~",
            "ilike" => "~~*",
            "not ilike" => "!~~*",
            word @ ("is null" | "is not null") => {
                let negated = word == "is not null";
                return Ok(Expr::Is { arg: Box::new(field), test: IsTest::Null, negated });
            }
            word @ ("in" | "not in") => {
                let Json::Array(values) = operand else {
                    return Err(wrong(format!("\"{word}\" takes a list of literals")));
                };
                let symbol = if word == "in" { "=" } else { "<>" };
                let tests = values
                    .iter()
                    .map(|value| self.test(name, symbol, value))
                    .collect::<Result<Vec<_>, _>>()?;
                return Ok(if word == "in" { Expr::Or(tests) } else { Expr::And(tests) });
            }
            _ => {
                return Err(wrong(format!("the operator \"{operator}\" is not known")).with_hint(
                    "The operators are =, !=, <, <=, >, >=, in, not in, like, not like, ilike, not ilike, is null, is not null.",
                ));
            }
        };
        let operand = self.operand(operand, ty)?;
        self.resolve(|resolver| resolver.binary(symbol, field, operand))
    }

    fn filter_arg(&mut self) -> Result<Option<Condition>, NodeError> {
        let Some(filter) = self.take("filter") else { return Ok(None) };
        let condition: Condition =
            serde_json::from_value(filter).map_err(|error| wrong(error.to_string()))?;
        Ok(Some(Condition::Expr(self.condition(&condition)?)))
    }

    /// The names listed under an argument; all fields when it is left out.
    fn names(&mut self, arg: &str) -> Result<Vec<String>, NodeError> {
        match self.take(arg) {
            None => Ok(self.collection.fields.iter().map(|field| field.name.clone()).collect()),
            Some(Json::Array(names)) => names
                .into_iter()
                .map(|name| match name {
                    Json::String(name) => Ok(name),
                    _ => Err(wrong(format!("\"{arg}\" is a list of fields' names"))),
                })
                .collect(),
            Some(_) => Err(wrong(format!("\"{arg}\" is a list of fields' names"))),
        }
    }

    fn outputs(&self, names: &[String]) -> Result<Vec<OutputField>, NodeError> {
        names
            .iter()
            .map(|name| Ok(OutputField::Bound { expr: self.field(name)?, name: name.clone() }))
            .collect()
    }

    fn source(&self) -> Source {
        let fields = self.collection.fields.iter();
        Source::Collection {
            target: self.target.clone(),
            alias: ALIAS.to_owned(),
            fields: fields
                .map(|field| NamedType { name: field.name.clone(), ty: field.ty })
                .collect(),
        }
    }

    fn sort(&mut self) -> Result<Vec<SortKey>, NodeError> {
        let names = match self.args.contains_key("sort") {
            true => self.names("sort")?,
            false => Vec::new(),
        };
        let reverse = match self.take("sort_reverse") {
            None => Vec::new(),
            Some(Json::Bool(reverse)) => vec![reverse; names.len()],
            Some(Json::Array(each)) if each.iter().all(Json::is_boolean) => {
                each.iter().filter_map(Json::as_bool).collect()
            }
            Some(_) => return Err(wrong("\"sort_reverse\" is a boolean or a list of booleans")),
        };
        if !reverse.is_empty() && reverse.len() != names.len() {
            return Err(wrong("\"sort_reverse\" has one boolean for each field of \"sort\""));
        }
        names
            .iter()
            .enumerate()
            .map(|(place, name)| {
                let descending = reverse.get(place).copied().unwrap_or(false);
                Ok(SortKey { expr: self.field(name)?, descending, nulls_first: descending })
            })
            .collect()
    }

    fn count(&mut self, name: &str) -> Result<Option<Expr>, NodeError> {
        match self.take(name) {
            None => Ok(None),
            Some(count @ Json::Object(_)) => self.operand(&count, TypeId::INT8).map(Some),
            Some(count) => match count.as_i64().filter(|count| *count >= 0) {
                Some(count) => Ok(Some(Expr::constant(Value::Int8(count), TypeId::INT8))),
                None => Err(wrong(format!("\"{name}\" is a number that is not negative"))),
            },
        }
    }

    fn filter(&mut self) -> Result<Select, NodeError> {
        let names = self.names("fields")?;
        Ok(Select {
            source: vec![self.source()],
            filter: self.filter_arg()?,
            fields: self.outputs(&names)?,
            sort: self.sort()?,
            limit: self.count("limit")?,
            offset: self.count("offset")?,
            ..Select::default()
        })
    }

    fn aggregate(&mut self) -> Result<Select, NodeError> {
        let keys = match self.args.contains_key("fields") {
            true => self.names("fields")?,
            false => Vec::new(),
        };
        let mut fields = self.outputs(&keys)?;
        let Some(Json::Object(aggregations)) = self.take("aggregation_fields") else {
            return Err(wrong(
                "\"aggregation_fields\" is an object: field (or \"*\") → list of aggregates",
            ));
        };
        for (name, functions) in aggregations {
            let Json::Array(functions) = functions else {
                return Err(wrong(
                    "\"aggregation_fields\" has a list of aggregates for each field",
                ));
            };
            for function in functions {
                let Json::String(function) = function else {
                    return Err(wrong("an aggregate is named by a string"));
                };
                fields.push(self.aggregation(&name, &function)?);
            }
        }
        let group = keys.iter().map(|name| self.field(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Select {
            source: vec![self.source()],
            filter: self.filter_arg()?,
            group: Some(group),
            fields,
            sort: self.sort()?,
            limit: self.count("limit")?,
            offset: self.count("offset")?,
            ..Select::default()
        })
    }

    fn aggregation(&mut self, name: &str, function: &str) -> Result<OutputField, NodeError> {
        let args = if name == "*" { Vec::new() } else { vec![self.field(name)?] };
        let names = vec![None; args.len()];
        let found = self.resolve(|resolver| resolver.function(function, args, &names, false))?;
        if found.function.kind != 'a' {
            return Err(wrong(format!("\"{function}\" is not an aggregate")));
        }
        let name = match name {
            "*" => function.to_owned(),
            field => format!("{function}_{field}"),
        };
        let expr = Expr::Aggregate(Box::new(Aggregate {
            function: found.function.id,
            args: found.args,
            distinct: false,
            order_by: Vec::new(),
            filter: None,
            ty: found.ty,
        }));
        Ok(OutputField::Bound { expr, name })
    }

    fn get(&mut self) -> Result<Select, NodeError> {
        let names = self.names("fields")?;
        let Some(Json::Object(key)) = self.take("pkey") else {
            return Err(wrong("\"pkey\" is an object: field → literal"));
        };
        if let Some(missing) =
            self.collection.primary_key.iter().find(|field| !key.contains_key(*field))
        {
            return Err(wrong(format!("\"pkey\" lacks \"{missing}\" of the primary key")));
        }
        if key.is_empty() {
            return Err(wrong("\"pkey\" is empty"));
        }
        let tests = key
            .iter()
            .map(|(field, value)| self.test(field, "=", value))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Select {
            source: vec![self.source()],
            filter: Some(Condition::Expr(Expr::And(tests))),
            fields: self.outputs(&names)?,
            ..Select::default()
        })
    }

    /// A value to be stored in a field.
    fn assigned(&mut self, name: &str, value: &Json) -> Result<Expr, NodeError> {
        let ty = self.field_type(name)?;
        let operand = self.operand(value, ty.id)?;
        self.resolve(|resolver| resolver.cast(operand, ty, CastContext::Assignment))
    }

    fn insert(&mut self, arg: &str) -> Result<Insert, NodeError> {
        let records = match self.take(arg) {
            Some(Json::Object(record)) => vec![record],
            Some(Json::Array(records)) if arg == "records" => records
                .into_iter()
                .map(|record| match record {
                    Json::Object(record) => Ok(record),
                    _ => Err(wrong("a record is an object: field → literal")),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(wrong(format!("\"{arg}\" is missing or of the wrong kind"))),
        };
        let mut names: Vec<String> = Vec::new();
        for name in records.iter().flat_map(Map::keys) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let mut rows = Vec::with_capacity(records.len());
        for record in &records {
            let row = names
                .iter()
                .map(|name| self.assigned(name, record.get(name).unwrap_or(&Json::Null)))
                .collect::<Result<Vec<_>, _>>()?;
            rows.push(row);
        }
        let fields = names
            .into_iter()
            .map(|name| Ok(NamedType { ty: self.field_type(&name)?, name }))
            .collect::<Result<_, NodeError>>()?;
        Ok(Insert {
            target: self.target.clone(),
            fields,
            records: Records::Values(rows),
            conflict: None,
            returning: self.returning()?,
            alias: ALIAS.to_owned(),
            subqueries: Vec::new(),
        })
    }

    fn returning(&mut self) -> Result<Vec<OutputField>, NodeError> {
        match self.args.contains_key("returning") {
            true => {
                let names = self.names("returning")?;
                self.outputs(&names)
            }
            false => Ok(Vec::new()),
        }
    }

    fn set(&mut self) -> Result<Insert, NodeError> {
        let mut insert = self.insert("record")?;
        let key = &self.collection.primary_key;
        let has = |name: &String| insert.fields.iter().any(|field| field.name == *name);
        if key.is_empty() || !key.iter().all(has) {
            return Err(wrong("\"set\" needs every field of the primary key in its record"));
        }
        let set: Vec<(String, Expr)> = insert
            .fields
            .iter()
            .filter(|field| !key.contains(&field.name))
            .map(|field| {
                let source = "excluded".to_owned();
                let proposed = Field { source, name: field.name.clone(), ty: field.ty };
                (field.name.clone(), Expr::Field(proposed))
            })
            .collect();
        let nothing = set.is_empty();
        let (fields, constraint, filter) = (key.clone(), None, None);
        insert.conflict = Some(Conflict { fields, constraint, set, nothing, filter });
        Ok(insert)
    }

    fn update(&mut self) -> Result<Update, NodeError> {
        let Some(Json::Object(record)) = self.take("record") else {
            return Err(wrong("\"record\" is an object: field → literal"));
        };
        let record_op = record
            .iter()
            .map(|(name, value)| Ok((name.clone(), self.assigned(name, value)?)))
            .collect::<Result<Vec<_>, NodeError>>()?;
        if record_op.is_empty() {
            return Err(wrong("\"record\" is empty"));
        }
        Ok(Update {
            target: self.target.clone(),
            alias: ALIAS.to_owned(),
            record_op,
            record: Map::new(),
            source: Vec::new(),
            filter: self.filter_arg()?,
            returning: self.returning()?,
            subqueries: Vec::new(),
        })
    }

    fn delete(&mut self) -> Result<Delete, NodeError> {
        Ok(Delete {
            target: self.target.clone(),
            alias: ALIAS.to_owned(),
            source: Vec::new(),
            filter: self.filter_arg()?,
            returning: self.returning()?,
            subqueries: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::sql::{Dialect, lower};
    use dataman_node_protocol::definition::FieldShape;

    fn check(text: &str, expected: &str) {
        let field = |name: &str, ty: TypeId| FieldShape {
            name: name.to_owned(),
            ty: ty.into(),
            enum_labels: None,
            not_null: false,
        };
        let collection = InspectedCollection {
            collection: "c".to_owned(),
            fields: vec![field("a", TypeId::INT4), field("b", TypeId::TEXT)],
            primary_key: vec!["a".to_owned()],
        };
        let bound = parse(text).and_then(|short| {
            let target = Target { shard_instance: "i".to_owned(), ..short.target.clone() };
            short.bind(target, &collection, &[])
        });
        let found = match bound {
            Ok((query, _)) => lower(&query, Dialect::Postgres, 0).unwrap(),
            Err(error) => error.message,
        };
        // The qualifications are the lowering's own.
        let found = found.replace("pg_catalog.", "").replace("OPERATOR", "");
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn failures() {
        check(
            "{",
            "invalid dataman query: it is not JSON: EOF while parsing an object at line 1 column 1",
        );
        check("{}", "invalid dataman query: it is an object with one key, the function");
        check(r#"{"filter": {}}"#, "invalid dataman query: \"filter\" needs a \"collection\"");
        check(
            r#"{"filter": {"collection": "c", "filter": {"x": ["=", 1]}}}"#,
            "collection \"c\" has no field \"x\"",
        );
        check(
            r#"{"filter": {"collection": "c", "filter": {"a": ["~", 1]}}}"#,
            "invalid dataman query: the operator \"~\" is not known",
        );
        check(
            r#"{"filter": {"collection": "c", "filter": {"a": ["=", "x"]}}}"#,
            "invalid input syntax for type integer: \"x\"",
        );
        check(
            r#"{"filter": {"collection": "c", "colour": 1}}"#,
            "invalid dataman query: \"filter\" has no argument \"colour\"",
        );
        check(
            r#"{"get": {"collection": "c", "pkey": {"b": 1}}}"#,
            "invalid dataman query: \"pkey\" lacks \"a\" of the primary key",
        );
        check(
            r#"{"paint": {"collection": "c"}}"#,
            "invalid dataman query: unknown variant `paint`, expected one of `get`, `set`, `insert`, `insert_many`, `update`, `delete`, `filter`, `aggregate`, `copy`, `sql`, `define`, `inspect`",
        );
    }
}
