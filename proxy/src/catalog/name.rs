//! Names and OIDs: what a name means by the search path, and how an OID is written.

use std::collections::HashMap;
use std::sync::LazyLock;

use dataman_metadata::schema::Relation;
use dataman_pg::catalog::system::{CATALOG_SCHEMA, SystemRow, system_relation, system_table};
use dataman_pg::catalog::{self, quote_identifier};
use dataman_pg::types::TypeRef;
use dataman_pg::{Context, PgError, TypeId, Value};

use super::database::{Catalog, Object, Place};
use super::{oid, tables};
use crate::parse::syntax::ExprKind;
use crate::plan::bind::split_qualified;

type Result<T> = std::result::Result<T, PgError>;

/// The schemas in which an unqualified name is looked up: `pg_catalog` is first unless the path says where.
pub(super) fn path(context: &Context) -> Vec<&str> {
    let schemas = &context.session.schemas;
    let implicit = (!schemas.iter().any(|schema| schema == "pg_catalog")).then_some("pg_catalog");
    implicit.into_iter().chain(schemas.iter().map(String::as_str)).collect()
}

/// The rows of a built-in catalog by OID: schema and name.
fn named(table: &str, name: &str, namespace: &str) -> HashMap<u32, (&'static str, String)> {
    let rows = system_table(table);
    let at = [rows.place("oid"), rows.place(name), rows.place(namespace)];
    let row = |row: &SystemRow| match at.map(|place| &row[place]) {
        [Value::Oid(oid), Value::Text(name), Value::Oid(namespace)] => {
            let schema =
                if *namespace == CATALOG_SCHEMA { "pg_catalog" } else { "information_schema" };
            Some((*oid, (schema, name.to_string())))
        }
        _ => None,
    };
    rows.rows().iter().filter_map(row).collect()
}

/// A relation of the system's: schema and name.
pub(super) fn built_in_relation(oid: u32) -> Option<(&'static str, &'static str)> {
    static NAMES: LazyLock<HashMap<u32, (&str, String)>> =
        LazyLock::new(|| named("pg_class", "relname", "relnamespace"));
    if let Some(found) = tables::dataman::relation_by_oid(oid) {
        return Some(("dataman", found));
    }
    NAMES.get(&oid).map(|(schema, name)| (*schema, name.as_str()))
}

/// A type of the system's: schema and `typname`.
pub(super) fn built_in_type(oid: u32) -> Option<(&'static str, &'static str)> {
    static NAMES: LazyLock<HashMap<u32, (&str, String)>> =
        LazyLock::new(|| named("pg_type", "typname", "typnamespace"));
    NAMES.get(&oid).map(|(schema, name)| (*schema, name.as_str()))
}

/// A thing of a kind that users cannot make: schema and name.
fn built_in_other(ty: TypeId, oid: u32) -> Option<(&'static str, &'static str)> {
    type Names = HashMap<u32, (&'static str, String)>;
    static COLLATIONS: LazyLock<Names> =
        LazyLock::new(|| named("pg_collation", "collname", "collnamespace"));
    static CONFIGURATIONS: LazyLock<Names> =
        LazyLock::new(|| named("pg_ts_config", "cfgname", "cfgnamespace"));
    static DICTIONARIES: LazyLock<Names> =
        LazyLock::new(|| named("pg_ts_dict", "dictname", "dictnamespace"));
    let names = match ty {
        TypeId::REGCOLLATION => &COLLATIONS,
        TypeId::REGCONFIG => &CONFIGURATIONS,
        TypeId::REGDICTIONARY => &DICTIONARIES,
        _ => return None,
    };
    names.get(&oid).map(|(schema, name)| (*schema, name.as_str()))
}

/// Functions by OID, those of the information schema too.
pub(super) fn function_name(oid: u32) -> Option<(&'static str, &'static str)> {
    static NAMES: LazyLock<HashMap<u32, (&str, String)>> =
        LazyLock::new(|| named("pg_proc", "proname", "pronamespace"));
    NAMES.get(&oid).map(|(schema, name)| (*schema, name.as_str()))
}

impl Catalog {
    /// A relation's schema and name.
    pub(super) fn relation_name(&self, oid: u32) -> Option<(String, String)> {
        if let Some((schema, name)) = built_in_relation(oid) {
            return Some((schema.to_owned(), name.to_owned()));
        }
        match self.object(oid)? {
            Object::Table(place) | Object::View(place) | Object::Sequence(place) => {
                Some(place.clone())
            }
            Object::Index(place, number) => {
                let index = self.collection(place)?.indexes.get(*number)?;
                Some((place.0.clone(), index.name.clone()))
            }
            Object::ConstraintIndex(place, number) => {
                let constraint = self.collection(place)?.constraints.get(*number)?;
                Some((place.0.clone(), constraint.name.clone()))
            }
            _ => None,
        }
    }

    /// A relation of one schema.
    pub(super) fn relation_in(&self, schema: &str, name: &str) -> Option<u32> {
        if super::is_schema(schema) {
            if let Some(found) = super::relation(schema, name) {
                return Some(found.oid);
            }
            return built_in_index(schema, name);
        }
        let found = self.content()?.relation(schema, name)?;
        Some(match found.relation {
            Relation::Collection(table) => table.id.0,
            Relation::View(view) => view.oid.0,
            Relation::Sequence(sequence) => sequence.oid.0,
            Relation::Index { oid, .. } => oid.0,
        })
    }

    /// What the parts of a relation's name mean.
    pub(super) fn find_relation(&self, parts: &[String], context: &Context) -> Result<Option<u32>> {
        match parts {
            [name] => Ok(path(context).into_iter().find_map(|one| self.relation_in(one, name))),
            [schema, name] => Ok(self.relation_in(schema, name)),
            [database, schema, name] if *database == self.database => {
                Ok(self.relation_in(schema, name))
            }
            _ => Err(PgError::unsupported(format!(
                "cross-database references are not implemented: \"{}\"",
                parts.join(".")
            ))),
        }
    }

    /// Whether a relation is what its bare name means; `None` where there is none.
    pub(super) fn relation_is_visible(&self, oid: u32, context: &Context) -> Option<bool> {
        let (_, name) = self.relation_name(oid)?;
        let first = path(context).into_iter().find_map(|one| self.relation_in(one, &name));
        Some(first == Some(oid))
    }

    /// A relation's name, with its schema where the bare name does not mean it.
    pub(super) fn written_relation(&self, oid: u32, context: &Context) -> Option<String> {
        let (schema, name) = self.relation_name(oid)?;
        Some(match self.relation_is_visible(oid, context) {
            Some(true) => quote_identifier(&name),
            _ => format!("{}.{}", quote_identifier(&schema), quote_identifier(&name)),
        })
    }

    /// A schema's OID.
    pub(super) fn schema_oid(&self, name: &str) -> Option<u32> {
        match name {
            "pg_catalog" => Some(CATALOG_SCHEMA),
            "pg_toast" => Some(99),
            "information_schema" => Some(information_schema()),
            "dataman" => Some(tables::dataman::SCHEMA_OID),
            _ => self.content()?.schemas.get(name).map(|schema| schema.oid.0),
        }
    }

    /// A schema's name.
    pub(super) fn schema_name(&self, oid: u32) -> Option<String> {
        Some(match oid {
            CATALOG_SCHEMA => "pg_catalog".to_owned(),
            99 => "pg_toast".to_owned(),
            tables::dataman::SCHEMA_OID => "dataman".to_owned(),
            oid if oid == information_schema() => "information_schema".to_owned(),
            oid => match self.object(oid)? {
                Object::Schema(name) => name.clone(),
                _ => return None,
            },
        })
    }

    /// A role's name.
    pub(super) fn role_name(&self, oid: u32) -> Option<String> {
        if oid == super::database::FIRST_ROLE {
            return Some(self.first_role().to_owned());
        }
        let mut roles = self.snapshot.roles.values();
        if let Some(found) = roles.find(|role| role.oid.0 == oid) {
            return Some(found.name.clone());
        }
        let rows = system_table("pg_authid");
        let at = [rows.place("oid"), rows.place("rolname")];
        let found = rows.rows().iter().find(|row| row[at[0]] == Value::Oid(oid))?;
        match &found[at[1]] {
            Value::Text(name) => Some(name.to_string()),
            _ => None,
        }
    }

    /// A role's OID, those that PostgreSQL has from the start too.
    pub(super) fn find_role(&self, name: &str) -> Option<u32> {
        if self.snapshot.role(name).is_some() {
            return Some(self.role_oid(name));
        }
        let rows = system_table("pg_authid");
        let at = [rows.place("oid"), rows.place("rolname")];
        let found = rows.rows().iter().find(|row| row[at[1]] == Value::text(name))?;
        match &found[at[0]] {
            Value::Oid(oid) => Some(*oid),
            _ => None,
        }
    }

    /// A user's type: its schema, name, and whether it is an array of it.
    fn user_type(&self, oid: u32) -> Option<(&Place, bool)> {
        match self.object(oid)? {
            Object::Enum(place) | Object::RowType(place) => Some((place, false)),
            Object::EnumArray(place) | Object::RowArray(place) => Some((place, true)),
            _ => None,
        }
    }

    /// A type of one schema by its `typname`.
    fn type_in(&self, schema: &str, name: &str) -> Option<u32> {
        if schema == "pg_catalog" {
            return catalog::type_by_name(name).map(|found| found.id.0);
        }
        if schema == "information_schema" {
            let types = system_table("pg_type");
            let at = ["oid", "typname", "typnamespace"].map(|column| types.place(column));
            let found = types.rows().iter().find(|row| {
                row[at[1]] == Value::text(name) && row[at[2]] == Value::Oid(information_schema())
            })?;
            return match &found[at[0]] {
                Value::Oid(oid) => Some(*oid),
                _ => None,
            };
        }
        let content = self.content()?.schemas.get(schema)?;
        let relation = |name: &str| {
            let table = content.collections.get(name).map(|table| table.id.0);
            table.or_else(|| content.views.get(name).map(|view| view.oid.0))
        };
        if let Some(found) = content.enums.get(name) {
            return Some(found.oid.0);
        }
        if let Some(found) = relation(name) {
            return Some(oid::row_type(found));
        }
        let element = name.strip_prefix('_')?;
        match content.enums.get(element) {
            Some(found) => Some(found.array_oid.0),
            None => relation(element).map(oid::row_array),
        }
    }

    /// Whether a type is what its bare name means.
    pub(super) fn type_is_visible(&self, oid: u32, context: &Context) -> Option<bool> {
        let (_, name) = self.type_name(oid)?;
        let first = path(context).into_iter().find_map(|one| self.type_in(one, &name));
        Some(first == Some(oid))
    }

    /// A type's schema and `typname`.
    pub(super) fn type_name(&self, oid: u32) -> Option<(String, String)> {
        if let Some((schema, name)) = built_in_type(oid) {
            return Some((schema.to_owned(), name.to_owned()));
        }
        let (place, is_array) = self.user_type(oid)?;
        let name = if is_array { tables::array_name(&place.1) } else { place.1.clone() };
        Some((place.0.clone(), name))
    }

    /// `format_type`: `None` for a type that does not exist.
    pub(super) fn format_type(&self, ty: TypeRef, context: &Context) -> Option<String> {
        if catalog::type_by_id(ty.id).is_some() {
            return Some(catalog::format_type(ty.id, ty.typmod));
        }
        if let Some((_, true)) = self.user_type(ty.id.0) {
            let element = match self.object(ty.id.0)? {
                Object::EnumArray(place) => self.content()?.enum_type(&place.0, &place.1)?.oid.0,
                Object::RowArray(place) => oid::row_type(self.relation_in(&place.0, &place.1)?),
                _ => return None,
            };
            return Some(format!("{}[]", self.format_type(TypeId(element).into(), context)?));
        }
        let (schema, name) = self.type_name(ty.id.0)?;
        Some(match self.type_is_visible(ty.id.0, context) {
            Some(true) => quote_identifier(&name),
            _ => format!("{}.{}", quote_identifier(&schema), quote_identifier(&name)),
        })
    }

    /// How a `reg…` type writes an OID.
    pub(super) fn written(&self, ty: TypeId, oid: u32, context: &Context) -> Option<String> {
        match ty {
            TypeId::REGCLASS => self.written_relation(oid, context),
            TypeId::REGTYPE => self.format_type(TypeId(oid).into(), context),
            TypeId::REGNAMESPACE => self.schema_name(oid).map(|name| quote_identifier(&name)),
            TypeId::REGROLE => self.role_name(oid).map(|name| quote_identifier(&name)),
            TypeId::REGPROC => {
                let (schema, name) = function_name(oid)?;
                let alone = schema == "pg_catalog" && catalog::functions_named(name).len() == 1;
                let name = quote_identifier(name);
                Some(if alone { name } else { format!("{schema}.{name}") })
            }
            TypeId::REGPROCEDURE => {
                let (schema, name) = function_name(oid)?;
                let found = catalog::function(dataman_pg::expr::FunctionId(oid))?;
                let args: Vec<String> = found
                    .args
                    .iter()
                    .map(|ty| self.format_type((*ty).into(), context).unwrap_or_default())
                    .collect();
                let name = quote_identifier(name);
                let args = args.join(",");
                Some(if schema == "pg_catalog" {
                    format!("{name}({args})")
                } else {
                    format!("{schema}.{name}({args})")
                })
            }
            TypeId::REGOPER => {
                let found = catalog::operator(dataman_pg::expr::OperatorId(oid))?;
                let alone = catalog::operators_named(found.name).len() == 1;
                Some(if alone {
                    found.name.to_owned()
                } else {
                    format!("pg_catalog.{}", found.name)
                })
            }
            TypeId::REGOPERATOR => {
                let found = catalog::operator(dataman_pg::expr::OperatorId(oid))?;
                let side = |ty: TypeId| match ty {
                    TypeId::NONE => "NONE".to_owned(),
                    ty => self.format_type(ty.into(), context).unwrap_or_default(),
                };
                Some(format!("{}({},{})", found.name, side(found.left), side(found.right)))
            }
            other => {
                let (schema, name) = built_in_other(other, oid)?;
                let name = quote_identifier(name);
                Some(if schema == "pg_catalog" { name } else { format!("{schema}.{name}") })
            }
        }
    }

    /// What a name means to a `reg…` type.
    pub(super) fn find(&self, ty: TypeId, name: &str, context: &Context) -> Result<Option<u32>> {
        match ty {
            TypeId::REGCLASS => self.find_relation(&split_qualified(name)?, context),
            TypeId::REGTYPE => self.find_type(name, context),
            TypeId::REGNAMESPACE => match split_qualified(name)?.as_slice() {
                [one] => Ok(self.schema_oid(one)),
                _ => Err(PgError::new("42602", "invalid name syntax")),
            },
            TypeId::REGROLE => match split_qualified(name)?.as_slice() {
                [one] => Ok(self.find_role(one)),
                _ => Err(PgError::new("42602", "invalid name syntax")),
            },
            TypeId::REGPROC => {
                let parts = split_qualified(name)?;
                let [.., base] = parts.as_slice() else { return Ok(None) };
                if matches!(parts.as_slice(), [schema, _] if schema != "pg_catalog") {
                    return Ok(None);
                }
                match catalog::functions_named(base) {
                    [] => Ok(None),
                    [one] => Ok(Some(one.id.0)),
                    _ => Err(PgError::new(
                        "42725",
                        format!("more than one function named \"{name}\""),
                    )),
                }
            }
            TypeId::REGPROCEDURE => {
                let (base, types) = self.name_and_types(name, context, "a left parenthesis")?;
                let [.., base] = base.as_slice() else { return Ok(None) };
                let found = catalog::functions_named(base)
                    .iter()
                    .find(|function| function.args == types.as_slice());
                Ok(found.map(|function| function.id.0))
            }
            TypeId::REGOPER => {
                let base = name.strip_prefix("pg_catalog.").unwrap_or(name);
                match catalog::operators_named(base) {
                    [] => Ok(None),
                    [one] => Ok(Some(one.id.0)),
                    _ => Err(PgError::new("42725", format!("more than one operator named {name}"))),
                }
            }
            TypeId::REGOPERATOR => {
                let Some((base, rest)) = name.split_once('(') else {
                    return Err(PgError::new("22P02", "expected a left parenthesis"));
                };
                let base = base.trim();
                let base = base.strip_prefix("pg_catalog.").unwrap_or(base);
                let (_, types) =
                    self.name_and_types(&format!("x({rest}"), context, "a left parenthesis")?;
                let [left, right] = types.as_slice() else { return Ok(None) };
                let found = catalog::operators_named(base)
                    .iter()
                    .find(|operator| operator.left == *left && operator.right == *right);
                Ok(found.map(|operator| operator.id.0))
            }
            other => {
                let parts = split_qualified(name)?;
                let (schema, base) = match parts.as_slice() {
                    [base] => ("pg_catalog", base),
                    [schema, base] => (schema.as_str(), base),
                    _ => return Ok(None),
                };
                let (table, column) = match other {
                    TypeId::REGCOLLATION => ("pg_collation", "collname"),
                    TypeId::REGCONFIG => ("pg_ts_config", "cfgname"),
                    _ => ("pg_ts_dict", "dictname"),
                };
                if schema != "pg_catalog" {
                    return Ok(None);
                }
                let rows = system_table(table);
                let at = [rows.place("oid"), rows.place(column)];
                let mut rows = rows.rows().iter();
                let found = rows.find(|row| row[at[1]] == Value::text(base.as_str()));
                Ok(found.and_then(|row| match &row[at[0]] {
                    Value::Oid(oid) => Some(*oid),
                    _ => None,
                }))
            }
        }
    }

    /// A type as SQL writes it.
    fn find_type(&self, written: &str, context: &Context) -> Result<Option<u32>> {
        let invalid = || PgError::new("42601", format!("invalid type name \"{written}\""));
        let parsed = crate::parse::parse_expression(&format!("NULL::{written}"));
        let ExprKind::Cast { ty: name, .. } = parsed.map_err(|_| invalid())?.kind else {
            return Err(invalid());
        };
        let schemas = &context.session.schemas;
        let Some(content) = self.content() else { return Ok(None) };
        match crate::plan::bind::type_by_name(&name, schemas, content) {
            Ok(found) => Ok(Some(found.id.0)),
            Err(error) if matches!(error.sqlstate(), "42704" | "0A000") => {
                let found = match name.name.parts.as_slice() {
                    _ if name.array_dimensions > 0 => None,
                    [base] => path(context).into_iter().find_map(|one| self.type_in(one, base)),
                    [schema, base] => self.type_in(schema, base),
                    _ => None,
                };
                Ok(found)
            }
            Err(error) => Err(error),
        }
    }

    /// `name(type, type)`.
    fn name_and_types(
        &self,
        written: &str,
        context: &Context,
        missing: &str,
    ) -> Result<(Vec<String>, Vec<TypeId>)> {
        let invalid = || PgError::new("22P02", format!("expected {missing}"));
        let (name, rest) = written.split_once('(').ok_or_else(invalid)?;
        let inside = rest
            .trim_end()
            .strip_suffix(')')
            .ok_or_else(|| PgError::new("22P02", "expected a right parenthesis"))?;
        let mut types = Vec::new();
        for one in inside.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            if one.eq_ignore_ascii_case("none") {
                types.push(TypeId::NONE);
                continue;
            }
            let found = self
                .find_type(one, context)?
                .ok_or_else(|| PgError::new("42704", format!("type \"{one}\" does not exist")))?;
            types.push(TypeId(found));
        }
        Ok((split_qualified(name)?, types))
    }
}

/// The OID of `information_schema`.
pub(super) fn information_schema() -> u32 {
    static OID: LazyLock<u32> = LazyLock::new(|| {
        let rows = system_table("pg_namespace");
        let at = [rows.place("oid"), rows.place("nspname")];
        let found = rows.rows().iter().find(|row| row[at[1]] == Value::text("information_schema"));
        match found.map(|row| &row[at[0]]) {
            Some(Value::Oid(oid)) => *oid,
            _ => 0,
        }
    });
    *OID
}

/// An index of the system's.
fn built_in_index(schema: &str, name: &str) -> Option<u32> {
    static INDEXES: LazyLock<HashMap<String, u32>> = LazyLock::new(|| {
        let names = named("pg_class", "relname", "relnamespace").into_iter();
        names
            .filter(|(_, (schema, name))| {
                *schema == "pg_catalog" && system_relation(schema, name).is_none()
            })
            .map(|(oid, (_, name))| (name, oid))
            .collect()
    });
    if schema == "pg_catalog" { INDEXES.get(name).copied() } else { None }
}
