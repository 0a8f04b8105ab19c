//! COPY … FROM → how its rows reach the shards.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataman_metadata::id::{DatabaseId, DatastoreId, ShardId};
use dataman_metadata::schema::{FieldDefault, Placement};
use dataman_metadata::snapshot::shard_instance_name;
use dataman_node_protocol::capability::is_exact_tree;
use dataman_node_protocol::node::NodeStatement;
use dataman_node_protocol::query::{self, CopyIn, Insert, NodeQuery};
use dataman_pg::{Expr, PgError, TypeId};

use super::bind::{BoundCopy, CopyColumn};
use super::global::GlobalKeys;
use super::operator::Root;
use super::{Planner, fold, form};
use crate::rows::copy::options::{CopyFormat, CopyOptions};
use crate::scatter::contract::ShardRef;

/// A COPY … FROM.
#[derive(Debug)]
pub(crate) struct CopyPlan {
    /// The format of the data.
    pub(crate) options: CopyOptions,
    /// The table's name, as CONTEXT shows it.
    pub(crate) label: String,
    /// The table's schema.
    pub(crate) schema: String,
    /// The collection's name on the shards, as their CONTEXT shows it.
    pub(crate) physical: String,
    /// The columns of the data.
    pub(crate) columns: Vec<CopyColumn>,
    /// The fields of a row, without rows.
    pub(crate) form: Insert,
    /// Each field's value over the columns of the data.
    pub(crate) values: Vec<Expr>,
    /// How many of them are not generated from others: WHERE is looked at before those are computed.
    pub(crate) plain: usize,
    /// WHERE over a row's fields.
    pub(crate) filter: Option<Expr>,
    /// Whether the data passes as it is: the shards do all the rest.
    pub(crate) passes: bool,
    /// The collection's spread.
    pub(crate) placement: Placement,
    /// Where the shard key's fields stand among the form's fields, which begin with the columns of the data.
    pub(crate) key_places: Vec<usize>,
    /// The datastore.
    pub(crate) datastore: DatastoreId,
    /// The database.
    pub(crate) database: DatabaseId,
    /// How many shards the datastore has.
    pub(crate) shard_count: u32,
    /// Which shards take COPY data; the others get rows.
    pub(crate) takes_copy: Vec<bool>,
    /// The unique keys that no shard alone can keep.
    pub(crate) global: Option<GlobalKeys>,
    /// WHERE as the shards look at it, when the data passes.
    record_filter: Option<Expr>,
    /// The statements, one for each shard, made once.
    pub(crate) statements: BTreeMap<ShardId, Arc<NodeStatement>>,
}

impl Planner<'_> {
    /// Plans a COPY … FROM.
    pub(super) fn copy_in(&mut self, bound: BoundCopy) -> Result<Root, PgError> {
        let BoundCopy { options, table, columns, insert, mut values, plain, mut filter } = bound;
        let collection = &table.collection;
        let datastore = collection.datastore.clone();
        let shard_count = self.shard_count(&datastore);
        for value in values.iter_mut().filter(|value| !matches!(value, Expr::Column { .. })) {
            fold::fold(value, &mut self.parameters);
            dataman_pg::eval::check_computed(value)?;
        }
        if let Some(filter) = &mut filter {
            fold::fold(filter, &mut self.parameters);
        }
        let capabilities: Vec<_> = (0..shard_count)
            .map(|shard| {
                let shard = ShardRef { datastore: datastore.clone(), shard: ShardId(shard) };
                self.context.capabilities.of(&shard)
            })
            .collect();
        let takes_copy: Vec<bool> = capabilities
            .iter()
            .map(|found| found.is_some_and(|capability| capability.takes_sql()))
            .collect();
        let left_out_is_null = collection.fields.iter().all(|field| {
            columns.iter().any(|column| column.name == field.name)
                || matches!(field.default, FieldDefault::None | FieldDefault::Source { .. })
        });
        let filtered_below = filter.as_ref().is_none_or(|filter| {
            !reads_parameters(filter)
                && capabilities
                    .iter()
                    .all(|found| found.is_some_and(|capability| is_exact_tree(capability, filter)))
        });
        let key_places = collection
            .shard_key()
            .iter()
            .map(|key| insert.fields.iter().position(|field| field.name == *key))
            .collect::<Option<Vec<usize>>>();
        // A table's shard key may be left out: then every row fails for its NULL, which shard it is does not matter.
        let (key_places, has_key) = match key_places {
            Some(places) => (places, true),
            None => (Vec::new(), false),
        };
        let key_is_read = key_places.iter().all(|place| *place < columns.len());
        let used = match collection.placement {
            Placement::Single { shard } => vec![shard.0 as usize],
            Placement::Reference | Placement::Sharded(_) => (0..takes_copy.len()).collect(),
        };
        let all_take_copy =
            used.iter().all(|shard| takes_copy.get(*shard).copied().unwrap_or(false));
        let global = self.inserted_keys(&table, &insert)?;
        let passes = all_take_copy
            && global.is_none()
            && left_out_is_null
            && filtered_below
            && key_is_read
            && !columns.is_empty();
        let placement = match &collection.placement {
            Placement::Sharded(_) if !has_key => Placement::Single { shard: ShardId(0) },
            other => other.clone(),
        };
        let record_filter = filter.clone().filter(|_| passes);
        let filter = match filter.filter(|_| !passes) {
            None => None,
            Some(filter) => {
                let over_row = over_row(&filter, &insert, plain);
                dataman_pg::eval::check_computed(&over_row)?;
                Some(over_row)
            }
        };
        Ok(Root::Copy(Box::new(CopyPlan {
            options,
            physical: match &insert.target.adopted {
                Some(adopted) => adopted.name.clone(),
                None => insert.target.collection.clone(),
            },
            label: table.name.clone(),
            schema: table.schema.clone(),
            columns,
            form: insert,
            values,
            plain,
            filter,
            passes,
            placement,
            key_places,
            datastore,
            database: self.context.database.into(),
            shard_count,
            takes_copy,
            global,
            record_filter,
            statements: BTreeMap::new(),
        })))
    }
}

fn reads_parameters(expr: &Expr) -> bool {
    let mut reads = false;
    form::walk(expr, &mut |node| reads |= matches!(node, Expr::Param { .. }));
    reads
}

/// A condition over the record → the same over a row of the form's fields. Fields left out are NULL, and so are generated
/// ones, which are computed later.
fn over_row(filter: &Expr, insert: &Insert, plain: usize) -> Expr {
    form::replace(filter, &mut |node| match node {
        Expr::Field(field) => {
            let place = insert.fields.iter().position(|other| other.name == field.name);
            Some(match place.filter(|place| *place < plain) {
                Some(index) => Expr::Column { index, ty: field.ty },
                None => Expr::null(field.ty),
            })
        }
        _ => None,
    })
}

impl CopyPlan {
    /// The format in which rows that do not pass as they are go to shards that take COPY data.
    pub(crate) fn computed_format(&self) -> query::CopyFormat {
        match self.options.format {
            CopyFormat::Binary => query::CopyFormat::Binary,
            CopyFormat::Text | CopyFormat::Csv => {
                query::CopyFormat::Text { delimiter: "\t".to_owned(), null: "\\N".to_owned() }
            }
        }
    }

    fn passing_format(&self) -> query::CopyFormat {
        let options = &self.options;
        let delimiter = char::from(options.delimiter).to_string();
        let null = options.null.clone();
        match options.format {
            CopyFormat::Text => query::CopyFormat::Text { delimiter, null },
            CopyFormat::Csv => query::CopyFormat::Csv {
                delimiter,
                null,
                quote: char::from(options.quoting.quote).to_string(),
                escape: char::from(options.quoting.escape).to_string(),
                force_not_null: options.force_not_null.clone(),
                force_null: options.force_null.clone(),
            },
            CopyFormat::Binary => query::CopyFormat::Binary,
        }
    }

    /// Gives the parameters in expressions their final numbers.
    pub(super) fn number_parameters(&mut self, number: &mut dyn FnMut(&mut Expr)) {
        self.values.iter_mut().for_each(&mut *number);
        self.filter.iter_mut().for_each(number);
    }

    /// Makes each shard's statement.
    pub(super) fn make_statements(&mut self) {
        for shard in (0..self.shard_count).map(ShardId) {
            let takes_copy = self.takes_copy.get(shard.0 as usize).copied().unwrap_or(false);
            let (mut query, params): (NodeQuery, Vec<TypeId>) = if takes_copy {
                let (fields, format) = if self.passes {
                    let fields = self.columns.iter().map(|column| column.name.clone()).collect();
                    (fields, self.passing_format())
                } else {
                    let fields = self.form.fields.iter().map(|field| field.name.clone()).collect();
                    (fields, self.computed_format())
                };
                let copy = CopyIn {
                    target: self.form.target.clone(),
                    fields,
                    format,
                    filter: self.record_filter.clone(),
                };
                (NodeQuery::Copy(copy), Vec::new())
            } else {
                let params = self.form.fields.iter().map(|field| field.ty.id).collect();
                (NodeQuery::InsertMany(self.form.clone()), params)
            };
            let instance = shard_instance_name(&self.database, shard);
            form::set_instance(&mut query, &self.database.0, &instance);
            self.statements.insert(shard, Arc::new(NodeStatement::new(query, params)));
        }
    }
}
