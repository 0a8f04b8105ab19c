//! Types' names as SQL writes them.

use crate::types::TypeId;

/// A type's name as SQL writes it (`character varying(10)`, `integer[]`); `???` for a type that the catalog does not
/// have, as the user's own.
pub fn format_type(id: TypeId, typmod: i32) -> String {
    let Some(entry) = super::type_by_id(id) else { return "???".to_owned() };
    // `int2vector` has elements, too, but is not the array type of its element's type.
    if entry.element.0 != 0 && super::type_by_id(entry.element).is_some_and(|e| e.array == id) {
        return format_type(entry.element, typmod) + "[]";
    }
    let length = |name: &str| {
        if typmod > 4 { format!("{name}({})", typmod - 4) } else { name.to_owned() }
    };
    let precision = |name: &str, zone: &str| {
        if typmod >= 0 { format!("{name}({typmod}){zone}") } else { format!("{name}{zone}") }
    };
    match id {
        TypeId::BOOL => "boolean".to_owned(),
        TypeId::CHAR => "\"char\"".to_owned(),
        TypeId::INT2 => "smallint".to_owned(),
        TypeId::INT4 => "integer".to_owned(),
        TypeId::INT8 => "bigint".to_owned(),
        TypeId::FLOAT4 => "real".to_owned(),
        TypeId::FLOAT8 => "double precision".to_owned(),
        TypeId::BPCHAR => length("character"),
        TypeId::VARCHAR => length("character varying"),
        TypeId::NUMERIC if typmod >= 4 => {
            let (precision, scale) = ((typmod - 4) >> 16 & 0xffff, (typmod - 4) & 0x7ff);
            // The scale is signed, in eleven bits.
            let scale = (scale ^ 1024) - 1024;
            format!("numeric({precision},{scale})")
        }
        TypeId::TIME => precision("time", " without time zone"),
        TypeId::TIMETZ => precision("time", " with time zone"),
        TypeId::TIMESTAMP => precision("timestamp", " without time zone"),
        TypeId::TIMESTAMPTZ => precision("timestamp", " with time zone"),
        TypeId::INTERVAL if typmod >= 0 => format_interval(typmod),
        _ => match entry.name {
            "bit" if typmod >= 0 => format!("bit({typmod})"),
            "varbit" if typmod >= 0 => format!("bit varying({typmod})"),
            "varbit" => "bit varying".to_owned(),
            // Keywords, but of these types.
            name @ ("bit" | "interval" | "numeric") => name.to_owned(),
            name => quote_identifier(name),
        },
    }
}

/// `interval` with its fields and digits.
fn format_interval(typmod: i32) -> String {
    const YEAR: i32 = 1 << 2;
    const MONTH: i32 = 1 << 1;
    const DAY: i32 = 1 << 3;
    const HOUR: i32 = 1 << 10;
    const MINUTE: i32 = 1 << 11;
    const SECOND: i32 = 1 << 12;
    let fields = match (typmod >> 16) & 0x7fff {
        YEAR => " year",
        MONTH => " month",
        DAY => " day",
        HOUR => " hour",
        MINUTE => " minute",
        SECOND => " second",
        f if f == YEAR | MONTH => " year to month",
        f if f == DAY | HOUR => " day to hour",
        f if f == DAY | HOUR | MINUTE => " day to minute",
        f if f == DAY | HOUR | MINUTE | SECOND => " day to second",
        f if f == HOUR | MINUTE => " hour to minute",
        f if f == HOUR | MINUTE | SECOND => " hour to second",
        f if f == MINUTE | SECOND => " minute to second",
        _ => "",
    };
    match typmod & 0xffff {
        0xffff => format!("interval{fields}"),
        digits => format!("interval{fields}({digits})"),
    }
}

/// Writes an identifier as `quote_ident` does: in double quotes unless it is a plain lower-case word that is no keyword.
pub fn quote_identifier(name: &str) -> String {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && KEYWORDS.binary_search(&name).is_err() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// PostgreSQL 15's keywords that are not of the unreserved class: `quote_ident` puts them in quotes.
const KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_types() {
        let check = |id: u32, typmod: i32, expected: &str| {
            assert_eq!(format_type(TypeId(id), typmod), expected);
        };
        check(23, -1, "integer");
        check(1007, -1, "integer[]");
        check(18, -1, "\"char\"");
        check(1002, -1, "\"char\"[]");
        check(19, -1, "name");
        check(22, -1, "int2vector");
        check(1043, 14, "character varying(10)");
        check(1015, 14, "character varying(10)[]");
        check(1042, -1, "character");
        check(1700, ((5 << 16) | 2) + 4, "numeric(5,2)");
        check(1700, ((5 << 16) | (-2 & 0x7ff)) + 4, "numeric(5,-2)");
        check(1184, 3, "timestamp(3) with time zone");
        check(1083, -1, "time without time zone");
        check(1186, (0x1c00 << 16) | 3, "interval hour to second(3)");
        check(1186, (0x7fff << 16) | 2, "interval(2)");
        check(2276, -1, "\"any\"");
        check(1562, -1, "bit varying");
        check(1700, -1, "numeric");
        check(1186, -1, "interval");
        check(1560, -1, "bit");
        check(99_999, -1, "???");
    }

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted());
        assert_eq!(quote_identifier("select"), "\"select\"");
        assert_eq!(quote_identifier("a_1"), "a_1");
        assert_eq!(quote_identifier("A\"b"), "\"A\"\"b\"");
        assert_eq!(quote_identifier("value"), "value");
    }
}
