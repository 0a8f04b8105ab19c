//! Sequence functions, and the names of sequences as `regclass` reads them.

use dataman_metadata::schema::{FieldDefault, Schema};
use dataman_pg::expr::Call;
use dataman_pg::{Expr, PgError, TypeId, Value, catalog};

use super::expr::Clause;
use super::parameter::Internal;
use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self, ExprKind, FunctionCall};

impl Binder<'_> {
    /// `nextval`, `currval`, `lastval` and `setval`. Where the proxy computes rows it calls them row by row; a shard never does.
    pub(super) fn sequence_function(
        &mut self,
        name: &str,
        call: &FunctionCall,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        let computed_here = match clause {
            Clause::SelectList | Clause::Values => true,
            Clause::Definition => scope.is_empty(),
            _ => false,
        };
        if !computed_here {
            return Err(PgError::unsupported(format!("{name} is not supported here")).with_hint(
                "Call it in a select list or in VALUES, or make the sequence the column's default.",
            ));
        }
        self.facts.internal = true;
        self.facts.volatile = true;
        // The other arguments are resolved beside a name that stands for any sequence.
        let mut given = Vec::new();
        for (place, arg) in call.args.iter().enumerate() {
            given.push(match place {
                0 => Expr::null(TypeId::REGCLASS),
                _ => self.expr(&arg.value, scope, clause)?,
            });
        }
        let names = vec![None; given.len()];
        let mut args = match self.resolver().function(name, given, &names, false) {
            Ok(found) => found.args,
            Err(error) if error.sqlstate() == "42883" => {
                return Err(self.no_function(call, scope, clause));
            }
            Err(error) => return Err(error),
        };
        if let Some(first) = call.args.first() {
            let Some((schema, sequence)) = self.sequence_argument(&first.value, scope, clause)?
            else {
                return Ok(Expr::null(TypeId::INT8));
            };
            if name == "nextval" && clause == Clause::Definition && !self.inserting {
                return Ok(self.parameters.add_internal(Internal::NextValue(schema, sequence)));
            }
            args[0] = Expr::constant(Value::text(written(&schema, &sequence)), TypeId::TEXT);
        }
        self.facts.numbers = true;
        sequence_call(name, args)
    }

    /// The next number of a sequence, for a column's default.
    pub(super) fn next_number(&mut self, schema: &str, name: &str) -> Result<Expr> {
        self.facts.internal = true;
        if !self.inserting {
            let internal = Internal::NextValue(schema.to_owned(), name.to_owned());
            return Ok(self.parameters.add_internal(internal));
        }
        self.facts.numbers = true;
        let name = Expr::constant(Value::text(written(schema, name)), TypeId::TEXT);
        sequence_call("nextval", vec![name])
    }

    /// The sequence that an argument names; none when it is NULL.
    fn sequence_argument(
        &mut self,
        arg: &syntax::Expr,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Option<(String, String)>> {
        let text = match &arg.kind {
            ExprKind::Cast { arg, ty }
                if ty.array_dimensions == 0
                    && matches!(ty.name.last(), "regclass" | "text" | "varchar") =>
            {
                return self.sequence_argument(arg, scope, clause);
            }
            ExprKind::TypedString(_, text) | ExprKind::String(text) => Some(text.clone()),
            _ => match self.expr(arg, scope, clause)? {
                Expr::Const(constant) => match constant.value {
                    Value::Text(text) => Some(text.to_string()),
                    Value::Null => None,
                    _ => return Err(only_constant()),
                },
                _ => return Err(only_constant()),
            },
        };
        let Some(text) = text else { return Ok(None) };
        let found = self.sequence(&text);
        self.place(found, arg.span).map(Some)
    }

    /// `pg_get_serial_sequence(table, column)`.
    pub(super) fn serial_sequence(
        &mut self,
        call: &FunctionCall,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Option<String>> {
        let mut texts = Vec::new();
        for arg in &call.args {
            let ExprKind::String(text) = &arg.value.kind else {
                let bound = self.expr(&arg.value, scope, clause)?;
                match bound {
                    Expr::Const(constant) if constant.value.is_null() => return Ok(None),
                    Expr::Const(constant) => match &constant.value {
                        Value::Text(text) => texts.push(text.to_string()),
                        _ => return Err(self.no_function(call, scope, clause)),
                    },
                    _ => {
                        return Err(PgError::unsupported(
                            "pg_get_serial_sequence of anything but constants is not supported",
                        ));
                    }
                }
                continue;
            };
            texts.push(text.clone());
        }
        let [table, column] = texts.as_slice() else { return Ok(None) };
        let parts = split_qualified(table)?;
        let (schema, table) =
            self.in_path(table, &parts, &|schema, name| schema.collections.contains_key(name))?;
        let found = self.database.schemas.get(&schema);
        let collection = found.and_then(|found| found.collections.get(&table));
        let Some(field) = collection.and_then(|collection| collection.field(column)) else {
            return Err(PgError::new(
                "42703",
                format!("column \"{column}\" of relation \"{table}\" does not exist"),
            ));
        };
        if let FieldDefault::Serial(sequence) | FieldDefault::Identity { sequence, .. } =
            &field.default
        {
            let (schema, name) = sequence.split_once('.').unwrap_or(("public", sequence));
            return Ok(Some(written(schema, name)));
        }
        let owner = (schema.clone(), table, column.clone());
        Ok(found.and_then(|found| {
            let mut owned = found.sequences.iter();
            let (name, _) =
                owned.find(|(_, sequence)| sequence.owned_by.as_ref() == Some(&owner))?;
            Some(written(&schema, name))
        }))
    }

    /// The schema and name of a sequence given as text, as `regclass` reads it.
    fn sequence(&self, text: &str) -> Result<(String, String)> {
        let parts = split_qualified(text)?;
        let is_relation = |schema: &Schema, name: &str| {
            schema.sequences.contains_key(name)
                || schema.collections.contains_key(name)
                || schema.views.contains_key(name)
        };
        let (schema, name) = self.in_path(text, &parts, &is_relation)?;
        let is_sequence = self
            .database
            .schemas
            .get(&schema)
            .is_some_and(|found| found.sequences.contains_key(&name));
        if is_sequence {
            return Ok((schema, name));
        }
        Err(PgError::new("42809", format!("\"{name}\" is not a sequence")))
    }

    /// Finds a name with or without its schema.
    fn in_path(
        &self,
        text: &str,
        parts: &[String],
        is_there: &dyn Fn(&Schema, &str) -> bool,
    ) -> Result<(String, String)> {
        let has = |schema: &str, name: &str| {
            self.database.schemas.get(schema).is_some_and(|found| is_there(found, name))
        };
        let missing =
            || PgError::new("42P01", format!("relation \"{}\" does not exist", text.trim()));
        match parts {
            [name] => self
                .context
                .search_path
                .iter()
                .find(|schema| has(schema, name))
                .map(|schema| (schema.clone(), name.clone()))
                .ok_or_else(missing),
            [schema, _] if !self.database.schemas.contains_key(schema) => {
                Err(PgError::new("3F000", format!("schema \"{schema}\" does not exist")))
            }
            [schema, name] if has(schema, name) => Ok((schema.clone(), name.clone())),
            _ => Err(missing()),
        }
    }
}

fn only_constant() -> PgError {
    PgError::unsupported("a sequence that is not named by a constant is not supported")
        .with_hint("Write the sequence's name into the statement.")
}

fn sequence_call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let function = catalog::functions_named(name)
        .iter()
        .find(|function| function.args.len() == args.len())
        .ok_or_else(|| PgError::internal("a sequence function is not in the catalog"))?;
    Ok(Expr::Call(Call {
        function: function.id,
        operator: None,
        args,
        variadic: false,
        ty: TypeId::INT8.into(),
    }))
}

/// A sequence's name as it stands in the argument of a bound call.
pub(crate) fn written(schema: &str, name: &str) -> String {
    let quote = dataman_pg::string::quote_identifier;
    format!("{}.{}", quote(schema), quote(name))
}

/// Splits `schema.name` with quotes as identifiers are read.
pub(crate) fn split_qualified(text: &str) -> Result<Vec<String>> {
    let invalid = || PgError::new("42602", "invalid name syntax");
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let mut part = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut characters = quoted.char_indices().peekable();
            let end = loop {
                match characters.next() {
                    Some((at, '"')) => match characters.peek() {
                        Some((_, '"')) => {
                            characters.next();
                            part.push('"');
                        }
                        _ => break at + 1,
                    },
                    Some((_, character)) => part.push(character),
                    None => return Err(invalid()),
                }
            };
            rest = &quoted[end..];
        } else {
            let end =
                rest.find(|c: char| c == '.' || c.is_ascii_whitespace()).unwrap_or(rest.len());
            part.push_str(&rest[..end].to_ascii_lowercase());
            rest = &rest[end..];
        }
        if part.is_empty() {
            return Err(invalid());
        }
        parts.push(part);
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}
