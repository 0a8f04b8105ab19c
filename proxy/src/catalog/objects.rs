//! What a session's statements ask about objects: the library's [`Objects`], answered from the metadata.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dataman_metadata::snapshot::Snapshot;
use dataman_pg::catalog::system::{SystemRow, system_table};
use dataman_pg::context::CallContext;
use dataman_pg::objects::Objects;
use dataman_pg::types::TypeRef;
use dataman_pg::value::Array;
use dataman_pg::{Context, PgError, TypeId, Value};

use super::database::{Catalog, Object};
use super::define::{self, Style, function};
use super::row::Maker;
use super::{name, rights, tables};
use crate::cluster::Cluster;
use crate::plan::bind::split_qualified;
use crate::session::Identity;
use crate::session::activity::Asking;
use crate::session::parameters::{
    Kind, LAG_MAX, READ, STATEMENT_MEMORY, TEMPORARY_LIMIT, Unit, find,
};
use crate::session::settings::SettingsView;

type Result<T> = std::result::Result<T, PgError>;

/// dataman's own parameters, and what each does.
const OWN_SETTINGS: &[(&str, &str)] = &[
    (LAG_MAX, "Sets how far behind a replica may be that is read; -1 for no bound."),
    (READ, "Sets which copies of a shard are read."),
    (STATEMENT_MEMORY, "Sets what a statement may hold in memory above the shards."),
    (TEMPORARY_LIMIT, "Sets how much a statement may put aside in temporary files."),
];

/// How many settings a statement may change.
const SETTINGS_MAX: usize = 10_000;

/// One `set_config` that has been called.
#[derive(Debug, Clone)]
pub(crate) struct SettingChange {
    /// The parameter's exact name.
    pub(crate) name: String,
    /// Its value; none resets it.
    pub(crate) value: Option<Vec<String>>,
    /// Until the transaction ends.
    pub(crate) local: bool,
    /// The value as SHOW prints it.
    shown: String,
}

/// What `set_config` has been called with since the session last looked.
#[derive(Debug, Default)]
pub(crate) struct SettingChanges {
    pending: Mutex<Vec<SettingChange>>,
}

impl SettingChanges {
    /// Takes what was set, in order.
    pub(crate) fn take(&self) -> Vec<SettingChange> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SettingChange>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self, name: &str) -> Option<String> {
        let pending = self.lock();
        let found = pending.iter().rev().find(|change| change.name.eq_ignore_ascii_case(name));
        found.map(|change| change.shown.clone())
    }

    fn push(&self, change: SettingChange) -> Result<()> {
        let mut pending = self.lock();
        pending.retain(|known| known.name != change.name || known.local != change.local);
        if pending.len() == SETTINGS_MAX {
            return Err(PgError::new("54000", "a statement sets too many parameters"));
        }
        pending.push(change);
        Ok(())
    }
}

/// The objects as one statement sees them.
pub(crate) struct SessionObjects {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) database: Arc<str>,
    pub(crate) settings: SettingsView,
    pub(crate) changes: Arc<SettingChanges>,
    pub(crate) catalog: OnceLock<Arc<Catalog>>,
    pub(crate) superuser: bool,
}

impl fmt::Debug for SessionObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionObjects").field("database", &self.database).finish_non_exhaustive()
    }
}

fn text_of(args: &[Value], place: usize) -> Result<&str> {
    match args.get(place) {
        Some(Value::Text(text)) => Ok(text),
        other => Err(PgError::internal(format!("text was expected, not {other:?}"))),
    }
}

fn oid_of(args: &[Value], place: usize) -> Result<u32> {
    match args.get(place) {
        Some(Value::Oid(oid)) => Ok(*oid),
        other => Err(PgError::internal(format!("an OID was expected, not {other:?}"))),
    }
}

fn number_of(args: &[Value], place: usize) -> Result<i32> {
    match args.get(place) {
        Some(Value::Int4(number)) => Ok(*number),
        Some(Value::Int2(number)) => Ok(i32::from(*number)),
        other => Err(PgError::internal(format!("a number was expected, not {other:?}"))),
    }
}

fn flag_of(args: &[Value], place: usize) -> bool {
    matches!(args.get(place), Some(Value::Bool(true)))
}

fn maybe(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::text)
}

impl SessionObjects {
    fn catalog(&self) -> &Arc<Catalog> {
        self.catalog.get_or_init(|| self.cluster.catalogs().of(&self.snapshot, &self.database))
    }

    /// Answers with what there is at a place of a table whose key is an OID.
    fn description(
        &self,
        object: u32,
        class: Option<&str>,
        column: i32,
        context: &Context,
    ) -> Result<Value> {
        let class = class.map(tables::catalog_oid);
        let table = self.catalog().table("pg_catalog", "pg_description", context)?;
        let found = table.find(0, &[Value::Oid(object)]).into_iter().find(|row| {
            class.is_none_or(|class| row.get(1) == Some(&Value::Oid(class)))
                && row.get(2) == Some(&Value::Int4(column))
        });
        Ok(found.and_then(|row| row.get(3).cloned()).unwrap_or(Value::Null))
    }

    /// Whether an object that users cannot make is what its bare name means: those of `pg_catalog` are.
    fn built_in_is_visible(&self, table: &str, args: &[Value], context: &Context) -> Result<Value> {
        let oid = oid_of(args, 0)?;
        let table = self.catalog().table("pg_catalog", table, context)?;
        Ok(if table.find(0, &[Value::Oid(oid)]).is_empty() {
            Value::Null
        } else {
            Value::Bool(true)
        })
    }

    fn setting(&self, name: &str, missing_ok: bool) -> Result<Value> {
        if let Some(shown) = self.changes.shown(name) {
            return Ok(Value::text(shown));
        }
        match self.settings.show(name) {
            Ok((_, value)) => Ok(Value::text(value)),
            Err(error) if missing_ok && error.sqlstate() == "42704" => Ok(Value::Null),
            Err(error) => Err(error),
        }
    }

    fn set_config(&self, args: &[Value]) -> Result<Value> {
        let name = match args.first() {
            Some(Value::Text(name)) => name.to_string(),
            _ => return Err(PgError::new("22004", "SET requires parameter name")),
        };
        let local = flag_of(args, 2);
        let (name, value, shown) = match args.get(1) {
            Some(Value::Text(value)) => {
                let values = if name.eq_ignore_ascii_case("search_path") {
                    crate::session::settings::split(value)
                } else {
                    vec![value.to_string()]
                };
                let (name, shown) = self.settings.check(&name, &values)?;
                (name, Some(values), shown)
            }
            _ => {
                let (name, shown) = self.settings.reset_value(&name)?;
                (name, None, shown)
            }
        };
        self.changes.push(SettingChange { name, value, local, shown: shown.clone() })?;
        Ok(Value::text(shown))
    }

    fn view_definition(&self, oid: u32, pretty: bool, context: &Context) -> Result<Value> {
        if let Some((schema, name)) = name::built_in_relation(oid) {
            return Err(PgError::unsupported(format!(
                "the definition of the system's view {schema}.{name} is not known"
            )));
        }
        let Some(Object::View(place)) = self.catalog().object(oid) else { return Ok(Value::Null) };
        let path: Vec<String> = context.session.schemas.clone();
        Ok(maybe(define::view(self.catalog(), place, pretty, &path)?))
    }

    /// The size of a relation: none of a view, and unknown of what shards hold.
    fn size(&self, relation: u32) -> Value {
        match self.catalog().object(relation) {
            Some(Object::View(_)) => Value::Int8(0),
            _ => Value::Null,
        }
    }

    fn answer_about_functions(
        &self,
        asked: &str,
        args: &[Value],
        context: &Context,
    ) -> Result<Value> {
        let (catalog, oid) = (self.catalog(), oid_of(args, 0)?);
        Ok(match asked {
            "pg_get_function_arguments" => maybe(function::declared(oid, catalog, context)),
            "pg_get_function_identity_arguments" => {
                maybe(function::identity(oid, catalog, context))
            }
            "pg_get_function_result" => maybe(function::result(oid, catalog, context)),
            "pg_get_function_arg_default" => maybe(function::default(oid, number_of(args, 1)?)),
            "pg_get_function_sqlbody" => Value::Null,
            _ => {
                let Some((_, name)) = name::function_name(oid) else { return Ok(Value::Null) };
                return Err(PgError::unsupported(format!(
                    "the definition of the system's function {name} is not known"
                )));
            }
        })
    }

    fn answer_definition(&self, asked: &str, args: &[Value], context: &Context) -> Result<Value> {
        let catalog = self.catalog();
        let style = |pretty| Style { context, pretty };
        Ok(match asked {
            "pg_get_indexdef" => {
                maybe(define::index_in(catalog, oid_of(args, 0)?, None, style(false))?)
            }
            "pg_get_indexdef_ext" => {
                let column = usize::try_from(number_of(args, 1)?).ok().filter(|place| *place > 0);
                let style = style(flag_of(args, 2));
                maybe(define::index_in(catalog, oid_of(args, 0)?, column, style)?)
            }
            "pg_get_constraintdef" | "pg_get_constraintdef_ext" => {
                let oid = oid_of(args, 0)?;
                match define::constraint(catalog, oid, style(flag_of(args, 1)))? {
                    Some(text) => Value::text(text),
                    None => self.built_in_constraint(oid),
                }
            }
            "pg_get_expr" | "pg_get_expr_ext" => {
                maybe(define::node(catalog, text_of(args, 0)?, style(flag_of(args, 2)))?)
            }
            "pg_get_viewdef" => self.view_definition(oid_of(args, 0)?, false, context)?,
            "pg_get_viewdef_ext" | "pg_get_viewdef_wrap" => {
                let pretty = flag_of(args, 1) || asked == "pg_get_viewdef_wrap";
                self.view_definition(oid_of(args, 0)?, pretty, context)?
            }
            "pg_get_viewdef_name" | "pg_get_viewdef_name_ext" => {
                let name = text_of(args, 0)?;
                let oid = dataman_pg::io::text::input(name, TypeId::REGCLASS.into(), context)?;
                self.view_definition(oid_of(&[oid], 0)?, flag_of(args, 1), context)?
            }
            _ => Value::Null,
        })
    }

    /// What is built in keeps a check's definition as text.
    fn built_in_constraint(&self, oid: u32) -> Value {
        let table = system_table("pg_constraint");
        let at = ["oid", "conbin"].map(|column| table.place(column));
        let found = table.rows().iter().find(|row| row[at[0]] == Value::Oid(oid));
        found.map_or(Value::Null, |row| row[at[1]].clone())
    }

    fn find_optional(&self, ty: TypeId, args: &[Value], context: &Context) -> Result<Value> {
        let name = text_of(args, 0)?;
        if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
            let oid = dataman_pg::io::text::input(name, TypeId::OID.into(), context)?;
            return Ok(oid);
        }
        Ok(match self.catalog().find(ty, name, context) {
            Ok(Some(oid)) => Value::Oid(oid),
            Ok(None) => Value::Null,
            Err(error) if matches!(error.sqlstate(), "42725" | "3F000") => Value::Null,
            Err(error) => return Err(error),
        })
    }
}

impl Objects for SessionObjects {
    fn name_of(&self, ty: TypeId, oid: u32, context: &Context) -> Option<String> {
        self.catalog().written(ty, oid, context)
    }

    fn find(&self, ty: TypeId, name: &str, context: &Context) -> Result<Option<u32>> {
        self.catalog().find(ty, name, context)
    }

    fn answer(&self, asked: &str, args: &[Value], call: &CallContext<'_>) -> Result<Value> {
        let context = call.context;
        let catalog = self.catalog();
        if asked.starts_with("has_") || asked == "pg_has_role" {
            return rights::has(catalog, asked, args, call.arguments, context);
        }
        if asked.starts_with("pg_get_function") {
            return self.answer_about_functions(asked, args, context);
        }
        if matches!(asked, "pg_get_expr" | "pg_get_expr_ext")
            || asked.starts_with("pg_get_indexdef")
            || asked.starts_with("pg_get_constraintdef")
            || asked.starts_with("pg_get_viewdef")
        {
            return self.answer_definition(asked, args, context);
        }
        Ok(match asked {
            "format_type" => {
                let oid = oid_of(args, 0)?;
                let typmod = match args.get(1) {
                    Some(Value::Int4(typmod)) => *typmod,
                    _ => -1,
                };
                let found = catalog.format_type(TypeRef { id: TypeId(oid), typmod }, context);
                Value::text(found.unwrap_or_else(|| "???".to_owned()))
            }
            "pg_get_userbyid" => {
                let oid = oid_of(args, 0)?;
                Value::text(
                    catalog.role_name(oid).unwrap_or_else(|| format!("unknown (OID={oid})")),
                )
            }
            "pg_get_serial_sequence" => self.serial_sequence(args, context)?,
            "obj_description(oid)" => {
                let object = oid_of(args, 0)?;
                self.description(object, None, 0, context)?
            }
            "obj_description(oid,name)" => {
                self.description(oid_of(args, 0)?, Some(text_of(args, 1)?), 0, context)?
            }
            "col_description(oid,int4)" => {
                self.description(oid_of(args, 0)?, Some("pg_class"), number_of(args, 1)?, context)?
            }
            "shobj_description(oid,name)" => Value::Null,
            "pg_table_is_visible" => catalog
                .relation_is_visible(oid_of(args, 0)?, context)
                .map_or(Value::Null, Value::Bool),
            "pg_type_is_visible" => {
                catalog.type_is_visible(oid_of(args, 0)?, context).map_or(Value::Null, Value::Bool)
            }
            "pg_function_is_visible" => match name::function_name(oid_of(args, 0)?) {
                None => Value::Null,
                Some((schema, _)) => Value::Bool(name::path(context).contains(&schema)),
            },
            "pg_operator_is_visible" => self.built_in_is_visible("pg_operator", args, context)?,
            "pg_opclass_is_visible" => self.built_in_is_visible("pg_opclass", args, context)?,
            "pg_opfamily_is_visible" => self.built_in_is_visible("pg_opfamily", args, context)?,
            "pg_collation_is_visible" => self.built_in_is_visible("pg_collation", args, context)?,
            "pg_conversion_is_visible" => {
                self.built_in_is_visible("pg_conversion", args, context)?
            }
            "pg_ts_config_is_visible" => self.built_in_is_visible("pg_ts_config", args, context)?,
            "pg_ts_dict_is_visible" => self.built_in_is_visible("pg_ts_dict", args, context)?,
            "pg_ts_parser_is_visible" => self.built_in_is_visible("pg_ts_parser", args, context)?,
            "pg_ts_template_is_visible" => {
                self.built_in_is_visible("pg_ts_template", args, context)?
            }
            "to_regclass" => self.find_optional(TypeId::REGCLASS, args, context)?,
            "to_regcollation" => self.find_optional(TypeId::REGCOLLATION, args, context)?,
            "to_regnamespace" => self.find_optional(TypeId::REGNAMESPACE, args, context)?,
            "to_regoper" => self.find_optional(TypeId::REGOPER, args, context)?,
            "to_regoperator" => self.find_optional(TypeId::REGOPERATOR, args, context)?,
            "to_regproc" => self.find_optional(TypeId::REGPROC, args, context)?,
            "to_regprocedure" => self.find_optional(TypeId::REGPROCEDURE, args, context)?,
            "to_regrole" => self.find_optional(TypeId::REGROLE, args, context)?,
            "to_regtype" => self.find_optional(TypeId::REGTYPE, args, context)?,
            "show_config_by_name" => self.setting(text_of(args, 0)?, false)?,
            "show_config_by_name_missing_ok" => {
                self.setting(text_of(args, 0)?, flag_of(args, 1))?
            }
            "set_config_by_name" => self.set_config(args)?,
            "pg_relation_is_updatable" => {
                // Tables take INSERT, UPDATE and DELETE; views none.
                let is_table = matches!(catalog.object(oid_of(args, 0)?), Some(Object::Table(_)));
                Value::Int4(if is_table { 28 } else { 0 })
            }
            "pg_column_is_updatable" => {
                Value::Bool(matches!(catalog.object(oid_of(args, 0)?), Some(Object::Table(_))))
            }
            "pg_relation_is_publishable" => {
                Value::Bool(matches!(catalog.object(oid_of(args, 0)?), Some(Object::Table(_))))
            }
            "pg_tablespace_location" => Value::text(""),
            "pg_partition_root" => Value::Null,
            "acldefault_sql" => rights::by_default(catalog, args)?,
            "pg_relation_filenode" | "pg_relation_filepath" | "pg_filenode_relation" => Value::Null,
            "pg_relation_size"
            | "pg_relation_size(regclass)"
            | "pg_table_size"
            | "pg_indexes_size"
            | "pg_total_relation_size" => self.size(oid_of(args, 0)?),
            // The shards know how much they hold.
            "pg_database_size_name" | "pg_database_size_oid" => Value::Null,
            "pg_tablespace_size_name" | "pg_tablespace_size_oid" => Value::Null,
            "pg_cancel_backend" | "pg_terminate_backend" => self.stop(asked, args, context)?,
            "pg_postmaster_start_time" | "pg_conf_load_time" => {
                Value::TimestampTz(self.cluster.started_us())
            }
            "pg_collation_for" => match call.arguments.first() {
                Some(ty) if tables::type_shape(*ty).collation != 0 => Value::text("\"default\""),
                _ => Value::Null,
            },
            "row_security_active" | "row_security_active_name" => Value::Bool(false),
            "inet_client_addr" | "inet_client_port" | "inet_server_addr" | "inet_server_port" => {
                Value::Null
            }
            _ if asked.starts_with("pg_get_") => Value::Null,
            _ => {
                return Err(PgError::unsupported(format!("the function {asked} is not supported"))
                    .with_hint("It asks about one server; behind dataman there are several."));
            }
        })
    }

    fn scan(
        &self,
        schema: &str,
        table: &str,
        key: Option<(usize, &[Value])>,
        context: &Context,
    ) -> Result<Vec<SystemRow>> {
        super::answered::check(schema, table)?;
        if let "pg_authid" | "pg_shadow" = table {
            let user = self.snapshot.role(&context.session.user);
            if !user.is_some_and(|user| user.superuser) {
                let kind = if table == "pg_authid" { "table" } else { "view" };
                return Err(PgError::new("42501", format!("permission denied for {kind} {table}")));
            }
        }
        if let Some(rows) = self.moving(schema, table, context) {
            return Ok(rows);
        }
        let found = self.catalog().table(schema, table, context)?;
        Ok(match key {
            Some((place, values)) => found.find(place, values),
            None => found.rows().to_vec(),
        })
    }

    fn rows(
        &self,
        asked: &str,
        args: &[Value],
        _call: &CallContext<'_>,
    ) -> Result<Vec<Vec<Value>>> {
        Ok(match asked {
            // No table is a partition, or has any.
            "pg_partition_ancestors" | "pg_partition_tree" => Vec::new(),
            "show_all_settings" => self.settings_rows().iter().map(|row| row.to_vec()).collect(),
            "aclexplode" => rights::exploded(self.catalog(), args)?,
            _ => {
                return Err(PgError::unsupported(format!("the function {asked} is not supported")));
            }
        })
    }
}

impl SessionObjects {
    /// Tables that change without a change of the metadata.
    fn moving(&self, schema: &str, table: &str, context: &Context) -> Option<Vec<SystemRow>> {
        let asking = Asking { user: &context.session.user, superuser: self.superuser };
        let activity = self.cluster.activity();
        match (schema, table) {
            ("pg_catalog", "pg_settings") => Some(self.settings_rows()),
            ("pg_catalog", "pg_stat_activity") => {
                Some(activity.postgres_rows(asking, &|identity| self.oids_of(identity)))
            }
            ("dataman", "sessions") => Some(activity.session_rows(asking)),
            ("dataman", "statements") => Some(activity.statement_rows(asking)),
            ("dataman", "refusals") => Some(activity.refusal_rows(asking)),
            ("dataman", "replicas") => {
                Some(tables::dataman::replica_rows(&self.snapshot, self.cluster.replicas()))
            }
            _ => None,
        }
    }

    /// `pg_cancel_backend(pid)`, `pg_terminate_backend(pid, timeout)`.
    fn stop(&self, asked: &str, args: &[Value], context: &Context) -> Result<Value> {
        let process_id = number_of(args, 0)?;
        match args.get(1) {
            None | Some(Value::Int8(0)) => {}
            Some(Value::Int8(..0)) => {
                return Err(PgError::new("22003", "\"timeout\" must not be negative"));
            }
            _ => {
                return Err(PgError::unsupported(
                    "waiting until a session has ended is not supported",
                )
                .with_hint("Leave the timeout out."));
            }
        }
        let asking = Asking { user: &context.session.user, superuser: self.superuser };
        let terminates = asked == "pg_terminate_backend";
        self.cluster.activity().stop(process_id, terminates, asking).map(Value::Bool)
    }

    /// The OIDs of a session's database and role.
    fn oids_of(&self, identity: &Identity) -> (Value, Value) {
        let database = self.snapshot.database(&identity.database);
        let role = self.snapshot.role(&identity.user);
        (
            database.map_or(Value::Null, |found| Value::Oid(found.oid.0)),
            role.map_or(Value::Null, |found| Value::Oid(found.oid.0)),
        )
    }

    /// `pg_settings`: the parameters that dataman knows, with PostgreSQL's words about them.
    fn settings_rows(&self) -> Vec<SystemRow> {
        let table = system_table("pg_settings");
        let at = ["name", "setting", "source", "reset_val"].map(|column| table.place(column));
        let mut rows = Vec::new();
        for row in table.rows() {
            let Value::Text(name) = &row[at[0]] else { continue };
            let Some((setting, initial, source)) = self.settings.raw(name) else { continue };
            let mut row = row.to_vec();
            row[at[1]] = Value::text(setting);
            row[at[2]] = Value::text(source);
            row[at[3]] = Value::text(initial);
            rows.push(row.into());
        }
        rows.extend(self.own_settings_rows());
        rows
    }

    /// dataman's own parameters, as PostgreSQL shows those of an extension.
    fn own_settings_rows(&self) -> Vec<SystemRow> {
        let maker = Maker::new(
            "pg_settings",
            [
                "name",
                "setting",
                "unit",
                "short_desc",
                "vartype",
                "source",
                "min_val",
                "max_val",
                "enumvals",
                "boot_val",
                "reset_val",
            ],
            &[
                ("category", Value::text("Customized Options")),
                ("context", Value::text("user")),
                ("pending_restart", Value::Bool(false)),
            ],
        );
        let row = |(name, about): &(&str, &str)| {
            let parameter = find(name)?;
            let (setting, initial, source) = self.settings.raw(name)?;
            let number = |number: i64| Value::text(number.to_string());
            let (unit, vartype, min, max, choices) = match parameter.kind {
                Kind::Integer(min, max, unit) => {
                    let unit = match unit {
                        Unit::Milliseconds => Value::text("ms"),
                        Unit::Kilobytes => Value::text("kB"),
                        _ => Value::Null,
                    };
                    (unit, "integer", number(min), number(max), Value::Null)
                }
                Kind::Choice(choices) => {
                    let choices = choices.iter().map(|choice| Value::text(*choice)).collect();
                    let choices = Array::vector(TypeId::TEXT, choices);
                    (Value::Null, "enum", Value::Null, Value::Null, Value::Array(choices.into()))
                }
                Kind::Bool | Kind::Real(..) | Kind::Text => {
                    (Value::Null, "string", Value::Null, Value::Null, Value::Null)
                }
            };
            Some(maker.row([
                Value::text(*name),
                Value::text(setting),
                unit,
                Value::text(*about),
                Value::text(vartype),
                Value::text(source),
                min,
                max,
                choices,
                Value::text(parameter.default),
                Value::text(initial),
            ]))
        };
        OWN_SETTINGS.iter().filter_map(row).collect()
    }

    /// `pg_get_serial_sequence(table, column)`.
    fn serial_sequence(&self, args: &[Value], context: &Context) -> Result<Value> {
        use dataman_metadata::schema::FieldDefault;
        let (table, column) = (text_of(args, 0)?, text_of(args, 1)?);
        let catalog = self.catalog();
        let parts = split_qualified(table)?;
        let found = catalog.find_relation(&parts, context)?.ok_or_else(|| {
            PgError::new("42P01", format!("relation \"{}\" does not exist", parts.join(".")))
        })?;
        let missing = || {
            let name = parts.last().map_or("", String::as_str);
            PgError::new(
                "42703",
                format!("column \"{column}\" of relation \"{name}\" does not exist"),
            )
        };
        let columns = tables::columns_of(catalog, found);
        let field = columns.iter().find(|one| one.name == column).ok_or_else(missing)?;
        let written = |schema: &str, name: &str| {
            let quote = dataman_pg::catalog::quote_identifier;
            Value::text(format!("{}.{}", quote(schema), quote(name)))
        };
        if let FieldDefault::Serial(path) | FieldDefault::Identity { sequence: path, .. } =
            &field.default
            && let Some((schema, name, _)) =
                catalog.content().and_then(|content| content.sequence_at(path))
        {
            return Ok(written(schema, name));
        }
        let Some((schema, name)) = catalog.relation_name(found) else { return Ok(Value::Null) };
        let owner = (schema, name, column.to_owned());
        let owned = catalog
            .sequences()
            .find(|(_, _, _, sequence)| sequence.owned_by.as_ref() == Some(&owner));
        Ok(owned.map_or(Value::Null, |(_, schema, name, _)| written(schema, name)))
    }
}
