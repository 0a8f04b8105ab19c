//! What functions and the `reg…` types ask about the objects of a database (the manual's sections 8.19 and 9.26): names,
//! definitions, rights, sizes, settings. The answers are not here: who knows the objects gives them.

use std::fmt::Debug;

use crate::arguments::{arg, text};
use crate::catalog::{self, system::SystemRow};
use crate::context::{CallContext, Context};
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::Value;

/// Who knows the objects of a database.
pub trait Objects: Debug + Send + Sync {
    /// How a `reg…` type writes an OID; `None` where there is no such object.
    fn name_of(&self, ty: TypeId, oid: u32, context: &Context) -> Option<String>;

    /// What a name means to a `reg…` type; `None` where there is no such object.
    ///
    /// # Errors
    /// `42601`, `42602` for what is no name; `42725` for one that means several; `3F000` for a missing schema.
    fn find(&self, ty: TypeId, name: &str, context: &Context) -> Result<Option<u32>>;

    /// Answers a function, which is named by its `pg_proc.prosrc`; those of one kind of right by `has_…_privilege`.
    ///
    /// # Errors
    /// PostgreSQL's.
    fn answer(&self, asked: &str, args: &[Value], call: &CallContext<'_>) -> Result<Value>;

    /// The rows of a table made of the objects; with a key, at least those whose column at a place is equal to one of different values.
    ///
    /// # Errors
    /// What making them raises.
    fn scan(
        &self,
        schema: &str,
        name: &str,
        key: Option<(usize, &[Value])>,
        context: &Context,
    ) -> Result<Vec<SystemRow>>;

    /// Answers a set-returning function.
    ///
    /// # Errors
    /// PostgreSQL's.
    fn rows(&self, asked: &str, args: &[Value], call: &CallContext<'_>) -> Result<Vec<Vec<Value>>>;
}

/// Functions that need an answer.
macro_rules! asked {
    ($($source:literal)*) => {
        &[$(entry($source, |call, args| objects(call.context)?.answer($source, args, call)),)*]
    };
}

/// The forms of `has_…_privilege` for one kind of object.
macro_rules! rights {
    ($($name:literal: $($form:literal)*;)*) => {
        &[$($(entry(concat!($name, "_", $form), |call, args| {
            objects(call.context)?.answer($name, args, call)
        }),)*)*]
    };
}

pub(crate) const FUNCTIONS: &[Entry] = asked! {
    "pg_get_indexdef" "pg_get_indexdef_ext" "pg_get_constraintdef" "pg_get_constraintdef_ext"
    "pg_get_expr" "pg_get_expr_ext" "pg_get_userbyid" "pg_get_serial_sequence"
    "pg_get_viewdef" "pg_get_viewdef_ext" "pg_get_viewdef_wrap" "pg_get_viewdef_name" "pg_get_viewdef_name_ext"
    "pg_get_functiondef" "pg_get_function_arguments" "pg_get_function_identity_arguments"
    "pg_get_function_result" "pg_get_function_arg_default" "pg_get_function_sqlbody"
    "pg_get_ruledef" "pg_get_ruledef_ext" "pg_get_triggerdef" "pg_get_triggerdef_ext"
    "pg_get_statisticsobjdef" "pg_get_statisticsobjdef_columns" "pg_get_statisticsobjdef_expressions"
    "pg_get_partkeydef" "pg_get_partition_constraintdef" "pg_get_replica_identity_index"
    "obj_description(oid)" "obj_description(oid,name)" "col_description(oid,int4)" "shobj_description(oid,name)"
    "pg_table_is_visible" "pg_type_is_visible" "pg_function_is_visible" "pg_operator_is_visible"
    "pg_opclass_is_visible" "pg_opfamily_is_visible" "pg_collation_is_visible" "pg_conversion_is_visible"
    "pg_statistics_obj_is_visible" "pg_ts_config_is_visible" "pg_ts_dict_is_visible"
    "pg_ts_parser_is_visible" "pg_ts_template_is_visible"
    "to_regclass" "to_regcollation" "to_regnamespace" "to_regoper" "to_regoperator" "to_regproc"
    "to_regprocedure" "to_regrole" "to_regtype"
    "show_config_by_name" "show_config_by_name_missing_ok" "set_config_by_name"
    "pg_relation_size" "pg_relation_size(regclass)" "pg_table_size" "pg_indexes_size" "pg_total_relation_size"
    "pg_database_size_name" "pg_database_size_oid" "pg_tablespace_size_name" "pg_tablespace_size_oid"
    "pg_tablespace_location" "pg_partition_root" "pg_relation_filenode" "pg_relation_filepath" "pg_filenode_relation"
    "pg_relation_is_publishable" "pg_relation_is_updatable" "pg_column_is_updatable" "pg_sequence_last_value"
    "pg_cancel_backend" "pg_terminate_backend" "pg_postmaster_start_time" "pg_conf_load_time" "pg_collation_for" "pg_describe_object"
    "row_security_active" "row_security_active_name" "acldefault_sql"
    "pg_current_xact_id" "pg_current_xact_id_if_assigned" "inet_client_addr" "inet_client_port"
    "inet_server_addr" "inet_server_port"
};

pub(crate) const FURTHER: &[Entry] = &[
    // Unlike a literal's, this text is always a name.
    entry("text_regclass", |call, args| {
        let (written, context) = (text(args, 0)?, call.context);
        let found = objects(context)?.find(TypeId::REGCLASS, written, context)?;
        found.map(Value::Oid).ok_or_else(|| missing(TypeId::REGCLASS, written))
    }),
    // Advisory locks are refused: there are none to give up.
    entry("pg_advisory_unlock_all", |_, _| Ok(Value::Text("".into()))),
    entry("pg_my_temp_schema", |_, _| Ok(Value::Oid(0))),
    entry("pg_is_other_temp_schema", |_, _| Ok(Value::Bool(false))),
    entry("pg_is_in_recovery", |_, _| Ok(Value::Bool(false))),
    entry("pg_trigger_depth", |_, _| Ok(Value::Int4(0))),
    entry("pg_jit_available", |_, _| Ok(Value::Bool(false))),
    entry("pg_encoding_max_length_sql", |_, args| {
        let place = usize::try_from(arg::<i32>(args, 0)?).unwrap_or(usize::MAX);
        Ok(ENCODINGS.get(place).map_or(Value::Null, |(_, length)| Value::Int4(*length)))
    }),
    entry("oidvectortypes", |call, args| {
        let mut names = Vec::new();
        for oid in crate::arguments::array(args, 0)?.elements.iter() {
            let name = match objects(call.context) {
                Ok(objects) => objects.answer("format_type", &[oid.clone(), Value::Null], call)?,
                Err(_) => Value::Null,
            };
            names.push(match name {
                Value::Text(name) => name.to_string(),
                _ => catalog::format_type(TypeId(arg(std::slice::from_ref(oid), 0)?), -1),
            });
        }
        Ok(Value::text(names.join(", ")))
    }),
];

pub(crate) const RIGHTS: &[Entry] = rights! {
    "has_table_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_sequence_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_any_column_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_column_privilege": "name_name_name" "name_name_attnum" "name_id_name" "name_id_attnum" "id_name_name"
        "id_name_attnum" "id_id_name" "id_id_attnum" "name_name" "name_attnum" "id_name" "id_attnum";
    "has_database_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_foreign_data_wrapper_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_function_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_language_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_schema_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_server_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_tablespace_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_type_privilege": "name_name" "name" "name_id" "id" "id_name" "id_id";
    "has_parameter_privilege": "name_name" "name" "id_name";
    "pg_has_role": "name_name" "name" "name_id" "id" "id_name" "id_id";
};

/// PostgreSQL's encodings by number, with the bytes of their longest character.
const ENCODINGS: &[(&str, i32)] = &[
    ("SQL_ASCII", 1),
    ("EUC_JP", 3),
    ("EUC_CN", 3),
    ("EUC_KR", 3),
    ("EUC_TW", 4),
    ("EUC_JIS_2004", 3),
    ("UTF8", 4),
    ("MULE_INTERNAL", 4),
    ("LATIN1", 1),
    ("LATIN2", 1),
    ("LATIN3", 1),
    ("LATIN4", 1),
    ("LATIN5", 1),
    ("LATIN6", 1),
    ("LATIN7", 1),
    ("LATIN8", 1),
    ("LATIN9", 1),
    ("LATIN10", 1),
    ("WIN1256", 1),
    ("WIN1258", 1),
    ("WIN866", 1),
    ("WIN874", 1),
    ("KOI8R", 1),
    ("WIN1251", 1),
    ("WIN1252", 1),
    ("ISO_8859_5", 1),
    ("ISO_8859_6", 1),
    ("ISO_8859_7", 1),
    ("ISO_8859_8", 1),
    ("WIN1250", 1),
    ("WIN1253", 1),
    ("WIN1254", 1),
    ("WIN1255", 1),
    ("WIN1257", 1),
    ("KOI8U", 1),
    ("SJIS", 2),
    ("BIG5", 2),
    ("GBK", 2),
    ("UHC", 2),
    ("GB18030", 4),
    ("JOHAB", 3),
    ("SHIFT_JIS_2004", 2),
];

/// The objects, where they are known.
pub(crate) fn objects(context: &Context) -> Result<&dyn Objects> {
    match &context.objects {
        Some(objects) => Ok(objects.as_ref()),
        None => Err(PgError::unsupported("the database's objects are not known here")),
    }
}

/// How a `reg…` type writes an OID; `None` writes the number.
pub(crate) fn name_of(ty: TypeId, oid: u32, context: &Context) -> Option<String> {
    if oid == 0 {
        return Some("-".to_owned());
    }
    if let Some(objects) = &context.objects {
        return objects.name_of(ty, oid, context);
    }
    match ty {
        TypeId::REGTYPE => {
            catalog::type_by_id(TypeId(oid)).map(|found| catalog::format_type(found.id, -1))
        }
        _ => None,
    }
}

/// Reads a `reg…` type: a number, `-` for none, or a name.
pub(crate) fn find(ty: TypeId, written: &str, context: &Context) -> Result<u32> {
    if written == "-" {
        return Ok(0);
    }
    if !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit()) {
        return super::io::plain::input_oid(written);
    }
    let found = objects(context)?.find(ty, written, context)?;
    found.ok_or_else(|| missing(ty, written))
}

/// The error for a name that means nothing.
fn missing(ty: TypeId, written: &str) -> PgError {
    let unquoted = || -> String {
        let mut quoted = false;
        let mut out = String::new();
        for letter in written.chars() {
            match letter {
                '"' => quoted = !quoted,
                _ if quoted => out.push(letter),
                _ => out.push(letter.to_ascii_lowercase()),
            }
        }
        out
    };
    match ty {
        TypeId::REGCLASS => {
            PgError::new("42P01", format!("relation \"{}\" does not exist", unquoted()))
        }
        TypeId::REGTYPE => PgError::new("42704", format!("type \"{written}\" does not exist")),
        TypeId::REGPROC | TypeId::REGPROCEDURE => {
            PgError::new("42883", format!("function \"{written}\" does not exist"))
        }
        TypeId::REGOPER | TypeId::REGOPERATOR => {
            PgError::new("42883", format!("operator does not exist: {written}"))
        }
        TypeId::REGNAMESPACE => {
            PgError::new("3F000", format!("schema \"{}\" does not exist", unquoted()))
        }
        TypeId::REGROLE => PgError::new("42704", format!("role \"{}\" does not exist", unquoted())),
        TypeId::REGCOLLATION => PgError::new(
            "42704",
            format!("collation \"{}\" for encoding \"UTF8\" does not exist", unquoted()),
        ),
        TypeId::REGCONFIG => PgError::new(
            "42704",
            format!("text search configuration \"{}\" does not exist", unquoted()),
        ),
        _ => PgError::new(
            "42704",
            format!("text search dictionary \"{}\" does not exist", unquoted()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn encodings() {
        check("pg_encoding_max_length_sql", &["i:6"], "4");
    }

    #[test]
    fn nobody_knows_the_objects() {
        check(
            "pg_get_userbyid",
            &["i:1"],
            "ERROR 0A000: the database's objects are not known here",
        );
    }
}
