//! `pg_attribute` and `pg_attrdef`: columns and their defaults.

use dataman_metadata::schema::{FieldDefault, SourceDefault};
use dataman_pg::catalog::system::SystemRow;
use dataman_pg::types::TypeRef;
use dataman_pg::{TypeId, Value};

use super::super::database::{Catalog, Object, indexes_of};
use super::super::row::{Maker, letter, text};
use super::super::{define, oid};
use super::type_shape;

/// A column as the catalogs see it.
#[derive(Debug, Clone)]
pub(in super::super) struct ColumnView {
    pub(in super::super) number: i16,
    pub(in super::super) name: String,
    pub(in super::super) ty: TypeRef,
    pub(in super::super) not_null: bool,
    pub(in super::super) default: FieldDefault,
}

impl ColumnView {
    fn plain(number: usize, name: &str, ty: TypeRef) -> Self {
        Self {
            number: i16::try_from(number).unwrap_or(i16::MAX),
            name: name.to_owned(),
            ty,
            not_null: false,
            default: FieldDefault::None,
        }
    }

    /// Whether `pg_attrdef` has a row for it.
    pub(in super::super) fn has_default(&self) -> bool {
        define::has_default(&self.default, self.ty.typmod)
    }
}

/// The columns of a user's relation, by its OID.
pub(in super::super) fn columns_of(catalog: &Catalog, relation: u32) -> Vec<ColumnView> {
    match catalog.object(relation) {
        Some(Object::Table(place)) => {
            let fields = catalog.collection(place).map_or(&[][..], |table| &table.fields);
            fields
                .iter()
                .map(|field| ColumnView {
                    number: field.number,
                    name: field.name.clone(),
                    ty: TypeRef { id: TypeId(field.type_oid), typmod: field.typmod },
                    not_null: field.not_null,
                    default: field.default.clone(),
                })
                .collect()
        }
        Some(Object::View(place)) => define::view_columns(catalog, place)
            .iter()
            .enumerate()
            .map(|(number, (name, ty))| ColumnView::plain(number + 1, name, *ty))
            .collect(),
        Some(Object::Sequence(_)) => {
            let columns = [
                ("last_value", TypeId::INT8),
                ("log_cnt", TypeId::INT8),
                ("is_called", TypeId::BOOL),
            ];
            let columns = columns.into_iter().enumerate();
            columns
                .map(|(number, (name, ty))| ColumnView {
                    not_null: true,
                    ..ColumnView::plain(number + 1, name, ty.into())
                })
                .collect()
        }
        Some(Object::Index(place, _) | Object::ConstraintIndex(place, _)) => {
            let Some(table) = catalog.collection(place) else { return Vec::new() };
            let Some(index) = indexes_of(table).find(|index| index.oid == relation) else {
                return Vec::new();
            };
            define::index_columns(catalog, place, table, &index)
                .iter()
                .enumerate()
                .map(|(number, (name, ty))| ColumnView::plain(number + 1, name, *ty))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The columns that every table has, with their types.
const SYSTEM: [(i16, &str, TypeId); 6] = [
    (-6, "tableoid", TypeId::OID),
    (-5, "cmax", TypeId(29)),
    (-4, "xmax", TypeId::XID),
    (-3, "cmin", TypeId(29)),
    (-2, "xmin", TypeId::XID),
    (-1, "ctid", TypeId(27)),
];

type Attributes = Maker<15>;

fn maker() -> Attributes {
    Maker::new(
        "pg_attribute",
        [
            "attrelid",
            "attname",
            "atttypid",
            "attlen",
            "attnum",
            "attndims",
            "atttypmod",
            "attbyval",
            "attalign",
            "attstorage",
            "attnotnull",
            "atthasdef",
            "attcollation",
            "attidentity",
            "attstattarget",
        ],
        &[
            ("attcacheoff", Value::Int4(-1)),
            ("attcompression", letter(0)),
            ("atthasmissing", Value::Bool(false)),
            ("attgenerated", letter(0)),
            ("attisdropped", Value::Bool(false)),
            ("attislocal", Value::Bool(true)),
            ("attinhcount", Value::Int4(0)),
        ],
    )
}

/// The rows of every user's relation.
pub(super) fn attributes(catalog: &Catalog) -> Vec<SystemRow> {
    let mut rows = Vec::new();
    let maker = maker();
    let tables = catalog.collections().map(|(_, _, _, table)| table);
    for table in tables {
        rows.extend(relation_attributes(catalog, &maker, table.id.0, true));
        for index in indexes_of(table) {
            rows.extend(relation_attributes(catalog, &maker, index.oid, false));
        }
    }
    for (_, _, _, view) in catalog.views() {
        rows.extend(relation_attributes(catalog, &maker, view.oid.0, false));
    }
    for (_, _, _, sequence) in catalog.sequences() {
        rows.extend(relation_attributes(catalog, &maker, sequence.oid.0, true));
    }
    rows
}

fn relation_attributes(
    catalog: &Catalog,
    maker: &Attributes,
    relation: u32,
    stored: bool,
) -> Vec<SystemRow> {
    let mut rows = Vec::new();
    if stored {
        for (number, name, ty) in SYSTEM {
            let column =
                ColumnView { number, not_null: true, ..ColumnView::plain(0, name, ty.into()) };
            rows.push(attribute(catalog, maker, relation, &column));
        }
    }
    rows.extend(
        columns_of(catalog, relation)
            .iter()
            .map(|column| attribute(catalog, maker, relation, column)),
    );
    rows
}

fn attribute(
    catalog: &Catalog,
    maker: &Attributes,
    relation: u32,
    column: &ColumnView,
) -> SystemRow {
    let shape = type_shape_of(catalog, column.ty.id);
    let identity = match column.default {
        FieldDefault::Identity { always: true, .. }
        | FieldDefault::Source { kind: SourceDefault::IdentityAlways, .. } => b'a',
        FieldDefault::Identity { always: false, .. }
        | FieldDefault::Source { kind: SourceDefault::IdentityByDefault, .. } => b'd',
        _ => 0,
    };
    let row = maker.row([
        Value::Oid(relation),
        text(column.name.as_str()),
        Value::Oid(column.ty.id.0),
        Value::Int2(shape.length),
        Value::Int2(column.number),
        Value::Int4(i32::from(is_array(catalog, column.ty.id))),
        Value::Int4(column.ty.typmod),
        Value::Bool(shape.by_value),
        letter(shape.align),
        letter(shape.storage),
        Value::Bool(column.not_null),
        Value::Bool(column.has_default()),
        Value::Oid(shape.collation),
        letter(identity),
        // Nobody gathers statistics of the server's own columns.
        Value::Int4(if column.number < 0 { 0 } else { -1 }),
    ]);
    if matches!(
        column.default,
        FieldDefault::Generated(_) | FieldDefault::Source { kind: SourceDefault::Generated, .. }
    ) {
        let mut row = row.to_vec();
        let relation = dataman_pg::catalog::system::system_relation("pg_catalog", "pg_attribute");
        let place = relation.and_then(|found| {
            found.columns.iter().position(|(name, _, _)| &**name == "attgenerated")
        });
        if let Some(generated) = place.and_then(|place| row.get_mut(place)) {
            *generated = letter(b's');
        }
        return row.into();
    }
    row
}

/// The shape of a column's type.
fn type_shape_of(catalog: &Catalog, id: TypeId) -> super::TypeShape {
    match catalog.object(id.0) {
        Some(Object::EnumArray(_) | Object::RowArray(_)) => type_shape(TypeId::INT4_ARRAY),
        _ => type_shape(id),
    }
}

fn is_array(catalog: &Catalog, id: TypeId) -> bool {
    dataman_pg::array::element_type(id).is_some()
        || matches!(catalog.object(id.0), Some(Object::EnumArray(_) | Object::RowArray(_)))
}

/// `pg_attrdef`.
pub(super) fn defaults(catalog: &Catalog) -> Vec<SystemRow> {
    let maker = Maker::new("pg_attrdef", ["oid", "adrelid", "adnum", "adbin"], &[]);
    let mut rows = Vec::new();
    for (_, _, _, table) in catalog.collections() {
        for field in &table.fields {
            if !define::has_default(&field.default, field.typmod) {
                continue;
            }
            rows.push(maker.row([
                Value::Oid(oid::default(table.id.0, field.number)),
                Value::Oid(table.id.0),
                Value::Int2(field.number),
                text(define::default_node(table.id.0, field.number)),
            ]));
        }
    }
    rows
}
