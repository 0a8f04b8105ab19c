//! Plans: operators above the shards, and what each shard is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataman_metadata::id::{DatabaseId, DatastoreId, ShardId};
use dataman_metadata::schema::Keyspace;
use dataman_metadata::snapshot::shard_instance_name;
use dataman_node_protocol::node::NodeStatement;
use dataman_node_protocol::query::{NodeQuery, SetOperationKind, Target};
use dataman_pg::expr::{Aggregate, Call, SortKey, Window};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId};

use super::Plan;
use super::form;
use super::global::GlobalKeys;
use super::joining::Joining;
use super::visit::each_query_expr_mut;
use crate::route::prune::KeyRule;

/// What a plan does.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each plan, and it is never moved")]
pub(crate) enum Root {
    /// Returns rows.
    Rows(Operator),
    /// Inserts rows that the proxy computes.
    Insert(Box<InsertPlan>),
    /// Updates or deletes.
    Write(Box<WritePlan>),
    /// Updates or deletes records that are found above the shards.
    Change(Box<ChangePlan>),
    /// Inserts rows that come as COPY data.
    Copy(Box<super::copy::CopyPlan>),
}

/// One step above the shards. Rows flow from the inputs upward.
#[derive(Debug)]
pub(crate) enum Operator {
    /// Rows made of expressions alone.
    Rows {
        /// Rows × columns.
        rows: Vec<Vec<Expr>>,
        /// The columns' types.
        columns: Vec<TypeRef>,
    },
    /// Rows of a table that the proxy makes itself.
    Virtual(VirtualScan),
    /// Node queries, their rows in any order.
    Scan(NodeScan),
    /// Node queries sorted alike, merged into one order.
    Merge {
        /// What the shards are asked.
        scan: NodeScan,
        /// The order: columns of the scan.
        keys: Vec<MergeKey>,
    },
    /// The whole statement on the one shard that its keys decide, if they decide on one; else something else.
    Route {
        /// The statement as one shard runs it; its shards are where all the tables' rules agree.
        whole: NodeScan,
        /// One rule for each use of a sharded collection, and the shards of single ones.
        rules: Vec<ShardRule>,
        /// What is done when they do not agree.
        otherwise: Result<Box<Operator>, PgError>,
    },
    /// Rows for which a condition is true.
    Filter {
        /// Rows in.
        input: Box<Operator>,
        /// The condition over their columns.
        predicate: Expr,
    },
    /// Computed columns.
    Project {
        /// Rows in.
        input: Box<Operator>,
        /// The columns out.
        exprs: Vec<Expr>,
    },
    /// Each row in with every row that a set-returning function gives for it.
    Expand {
        /// Rows in; the function's columns come after theirs.
        input: Box<Operator>,
        /// The call, its arguments over their columns.
        call: Call,
        /// The types of the function's columns.
        columns: Vec<TypeRef>,
        /// A last column counts the function's rows of each row in.
        ordinality: bool,
        /// A row in for which the function gives none stays, filled up with NULLs.
        keeps: bool,
    },
    /// Groups of partial aggregates: the first `keys` columns are the group, the rest partial results.
    Combine {
        /// Rows in.
        input: Box<Operator>,
        /// How many columns are the group's key.
        keys: usize,
        /// The aggregates, and how many columns of partial results each takes.
        aggregates: Vec<Aggregate>,
        /// GROUPING SETS over the key.
        sets: Option<GroupingSets>,
    },
    /// Groups aggregated whole.
    Group {
        /// Rows in.
        input: Box<Operator>,
        /// The group's key.
        keys: Vec<Expr>,
        /// The aggregates over the input's columns.
        aggregates: Vec<Aggregate>,
        /// GROUPING SETS over the key.
        sets: Option<GroupingSets>,
    },
    /// Each row in, with what window calls give for it. The rows come sorted by partition and order.
    Window {
        /// Rows in; a column for each call comes after theirs.
        input: Box<Operator>,
        /// The calls: all of one partition and order.
        calls: Vec<Window>,
    },
    /// The first row of each set of rows that are alike in `keys`; all columns when none.
    Distinct {
        /// Rows in.
        input: Box<Operator>,
        /// The columns to compare.
        keys: Vec<usize>,
    },
    /// All rows in an order.
    Sort {
        /// Rows in.
        input: Box<Operator>,
        /// The order.
        keys: Vec<SortKey>,
    },
    /// Some of the rows.
    Limit {
        /// Rows in.
        input: Box<Operator>,
        /// At most so many; NULL is all.
        limit: Option<Expr>,
        /// After leaving out so many.
        offset: Option<Expr>,
        /// WITH TIES: rows alike in these columns of the last one stay.
        ties: Option<Vec<usize>>,
    },
    /// A join.
    Join {
        /// Left rows.
        left: Box<Operator>,
        /// Right rows.
        right: Box<Operator>,
        /// Which join.
        kind: Joining,
        /// Equal pairs: an expression over the left columns, one over the right columns, of one type.
        equal: Vec<(Expr, Expr)>,
        /// The whole condition over left and right columns, the equal pairs included.
        on: Option<Expr>,
        /// The equal pair whose keys on the right are given to a scan on the left, and the parameter that they are.
        keys: Option<(usize, Expr)>,
    },
    /// A scan on the left of a join in two forms.
    Narrow {
        /// All its rows.
        wide: Box<Operator>,
        /// Those that have one of the keys.
        narrow: Box<Operator>,
        /// The parameter that the keys are; NULL when there are too many.
        param: Expr,
    },
    /// Rows that read nothing of the rows around a query: read once for all of the statement, however often they are asked for.
    Keep {
        /// The number that they are kept under.
        id: usize,
        /// Rows in.
        input: Box<Operator>,
    },
    /// The kept rows whose columns equal some values.
    Lookup {
        /// The number that the index is kept under.
        id: usize,
        /// The rows: an [`Operator::Keep`].
        input: Box<Operator>,
        /// Equal pairs of one type: an expression over the rows, and one over parameters alone. NULL equals nothing.
        keys: Vec<(Expr, Expr)>,
    },
    /// The rows of the first input, or those of the other when it has none.
    OrElse {
        /// The first input.
        input: Box<Operator>,
        /// The other.
        otherwise: Box<Operator>,
    },
    /// The rows of a common table of the plan.
    Table {
        /// Its place in the plan.
        place: usize,
        /// The columns' types.
        columns: Vec<TypeRef>,
        /// It reads the rows around the query that it belongs to.
        is_local: bool,
    },
    /// WITH RECURSIVE: the rows of the first query, then again and again those of the other over the rows that came last.
    Recurse {
        /// The number under which the step finds the rows that came last.
        id: usize,
        /// The rows to begin with.
        first: Box<Operator>,
        /// The rows that follow.
        step: Box<Operator>,
        /// UNION ALL; else a row that was there already is left out.
        all: bool,
    },
    /// In a step of [`Operator::Recurse`], the rows that came last.
    Working {
        /// The number.
        id: usize,
        /// The columns' types.
        columns: Vec<TypeRef>,
    },
    /// Each row in with every row that a query gives for it.
    Apply {
        /// Rows in; the query's columns come after theirs.
        input: Box<Operator>,
        /// The query's place in the plan.
        place: usize,
        /// What it reads of the row in.
        outer: Vec<Expr>,
        /// The types of its columns.
        columns: Vec<TypeRef>,
        /// A condition over both.
        on: Option<Expr>,
        /// A row in for which there is none stays, filled up with NULLs.
        keeps: bool,
    },
    /// All rows of several inputs.
    Append(Vec<Operator>),
    /// What shards whose databases differ answer, each in its way.
    Gather(Gather),
    /// UNION, INTERSECT, EXCEPT of two inputs.
    SetOperation {
        /// Which.
        kind: SetOperationKind,
        /// ALL.
        all: bool,
        /// Left rows.
        left: Box<Operator>,
        /// Right rows.
        right: Box<Operator>,
    },
}

/// GROUPING SETS: the rows are grouped by each set of keys, those that are not in it being NULL in what comes out.
#[derive(Debug, Clone)]
pub(crate) struct GroupingSets {
    /// For each set, the places of its keys.
    pub(crate) sets: Vec<Vec<usize>>,
    /// For each call of GROUPING, the places of its keys; a column for each comes last.
    pub(crate) calls: Vec<Vec<usize>>,
}

/// What is read of a table that the proxy makes itself.
#[derive(Debug, Clone)]
pub(crate) struct VirtualScan {
    /// The table's schema.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) name: String,
    /// The places of the columns that are read.
    pub(crate) places: Vec<usize>,
    /// Their types.
    pub(crate) types: Vec<TypeRef>,
    /// What is looked up by an index.
    pub(crate) key: Option<VirtualKey>,
}

/// What a column of a table that the proxy makes itself must be.
#[derive(Debug, Clone)]
pub(crate) struct VirtualKey {
    /// The column's place.
    pub(crate) place: usize,
    /// Its value.
    pub(crate) value: Expr,
    /// The value is an array, and the column is one of its elements.
    pub(crate) any: bool,
}

/// One query asked of shards of which not all can carry it out: parts over different shards, whose rows have the same columns.
#[derive(Debug)]
pub(crate) struct Gather {
    /// The parts.
    pub(crate) parts: Vec<Part>,
    /// The order that each part's rows are in, and in which all come out.
    pub(crate) keys: Vec<MergeKey>,
    /// How many of the columns come out.
    pub(crate) visible: usize,
    /// The shards that have rows of the query: a part without one of them is left out.
    pub(crate) shards: ShardRule,
    /// The datastore.
    pub(crate) datastore: DatastoreId,
}

/// What some shards do of a query, and what is done above them.
#[derive(Debug)]
pub(crate) struct Part {
    /// The shards.
    pub(crate) shards: Vec<ShardId>,
    /// Their rows.
    pub(crate) operator: Operator,
}

/// One key of a merge of sorted streams.
#[derive(Debug, Clone)]
pub(crate) struct MergeKey {
    /// The column of the scan that holds it.
    pub(crate) column: usize,
    /// Its type.
    pub(crate) ty: TypeRef,
    /// DESC.
    pub(crate) descending: bool,
    /// NULLS FIRST.
    pub(crate) nulls_first: bool,
}

/// What some shards of a datastore are asked.
#[derive(Debug)]
pub(crate) struct NodeScan {
    /// The query; the shard instance is filled in for each shard.
    pub(crate) query: NodeQuery,
    /// For PostgreSQL shards, the client's own text with places for names, when it can go down as it is.
    pub(crate) text: Option<TextTemplate>,
    /// The columns that come back, hidden ones last.
    pub(crate) columns: Vec<TypeRef>,
    /// How many of them the client sees.
    pub(crate) visible: usize,
    /// Which shards.
    pub(crate) shards: ShardRule,
    /// Of these only some; all when none are named.
    pub(crate) among: Option<Vec<ShardId>>,
    /// The datastore.
    pub(crate) datastore: DatastoreId,
    /// The database, for the instances' names.
    pub(crate) database: DatabaseId,
    /// Which shards are PostgreSQL, by place: they can take `text`.
    pub(crate) takes_sql: Vec<bool>,
    /// The statements, one for each shard, made once.
    pub(crate) statements: BTreeMap<ShardId, Arc<NodeStatement>>,
}

/// The client's text cut at its collections' names.
#[derive(Debug, Clone)]
pub(crate) struct TextTemplate {
    /// Text pieces; between two of them stands a name.
    pub(crate) pieces: Vec<String>,
    /// The names: physical collection and the alias to add.
    pub(crate) names: Vec<(Target, Option<String>)>,
}

/// Which shards of a datastore hold what a query asks for.
#[derive(Debug, Clone)]
pub(crate) enum ShardRule {
    /// All of them.
    All,
    /// This one.
    One(ShardId),
    /// Any one: every shard has a copy.
    Any,
    /// Those that the keys say.
    Keys {
        /// The keyspace.
        keyspace: Keyspace,
        /// The fields' types.
        types: Vec<TypeRef>,
        /// The keys.
        rule: KeyRule,
    },
}

/// A common table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: String,
    /// Its rows.
    pub(crate) operator: Operator,
    /// They are read again by each that reads them, not kept: there is only one reader, or they differ by the rows around.
    pub(crate) streams: bool,
}

/// A query that reads the rows around it.
#[derive(Debug)]
pub(crate) struct Apply {
    /// What it does; it reads shards below [`Operator::Keep`] only.
    pub(crate) operator: Operator,
    /// The parameters that stand for what it reads of a row around, in the order of the readings.
    pub(crate) params: Vec<Expr>,
    /// What becomes of its rows.
    pub(crate) kind: ApplyKind,
    /// The same readings give the same rows.
    pub(crate) caches: bool,
}

/// What becomes of the rows of a query that reads the rows around it.
#[derive(Debug, Clone)]
pub(crate) enum ApplyKind {
    /// The one value of its one row.
    Scalar,
    /// Whether there is a row.
    Exists,
    /// All values, as an array of this element type; and the array's type.
    Array(TypeId, TypeId),
    /// Compared with values of the row around.
    Compare {
        /// ALL, else ANY.
        all: bool,
        /// The comparison, over the values and then the query's columns.
        test: Expr,
        /// It is `= ANY` or `<> ALL` of values of one type, found by hash.
        hashes: bool,
    },
    /// They are the rows of a source in FROM.
    Rows,
}

/// A query run before the statement; its result is an internal parameter.
#[derive(Debug)]
pub(crate) struct SubPlan {
    /// What it does.
    pub(crate) operator: Operator,
    /// What becomes of its rows.
    pub(crate) kind: SubPlanKind,
    /// Conditions that are the same for all rows: unless all are true, nothing reads its result, and it does not run.
    pub(crate) when: Vec<Expr>,
}

/// What becomes of a subplan's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubPlanKind {
    /// The one value of its one row.
    Scalar,
    /// Whether there is a row.
    Exists,
    /// All values as an array of this element type.
    Array(TypeId),
}

/// An INSERT.
#[derive(Debug)]
pub(crate) struct InsertPlan {
    /// The form without rows; one row's shape stands in its fields.
    pub(crate) form: dataman_node_protocol::query::Insert,
    /// The rows.
    pub(crate) rows: InsertSource,
    /// The collection's spread.
    pub(crate) placement: dataman_metadata::schema::Placement,
    /// Where the shard key's fields stand among the form's fields, by place in the key.
    pub(crate) key_places: Vec<usize>,
    /// The datastore.
    pub(crate) datastore: DatastoreId,
    /// The database.
    pub(crate) database: DatabaseId,
    /// How many shards the datastore has.
    pub(crate) shard_count: u32,
    /// The statements, one for each shard, made once; for a full batch and any other number of rows alike.
    pub(crate) statements: BTreeMap<ShardId, Arc<NodeStatement>>,
    /// The names and NOT NULL of the key's fields, for the error of a missing key.
    pub(crate) label: String,
    /// The unique keys that no shard alone can keep.
    pub(crate) global: Option<GlobalKeys>,
}

/// Where an INSERT's rows come from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each plan, and it is never moved")]
pub(crate) enum InsertSource {
    /// Rows × fields of expressions.
    Values(Vec<Vec<Expr>>),
    /// A query, and each field's value over its columns.
    Query {
        /// The query.
        operator: Operator,
        /// The fields' values.
        fields: Vec<Expr>,
    },
}

/// An UPDATE or DELETE.
#[derive(Debug)]
pub(crate) struct WritePlan {
    /// The scan that changes and returns.
    pub(crate) scan: NodeScan,
    /// The rules that must agree on one shard for the statement to be right, when it is right on one shard only; and what is done
    /// when they do not.
    pub(crate) agree: Option<Agree>,
    /// The same change goes to every copy; one of them answers.
    pub(crate) copies: bool,
}

/// The rules that must agree on one shard, and what is done when they do not.
pub(crate) type Agree = (Vec<ShardRule>, Result<Box<ChangePlan>, PgError>);

/// An UPDATE or DELETE whose records are found above the shards, and changed one by one on them.
#[derive(Debug)]
pub(crate) struct ChangePlan {
    /// Finds the records. Its columns are the parameters of `query`, then those that only `returning` reads.
    pub(crate) find: Operator,
    /// Other sources may name a record more than once.
    pub(crate) has_sources: bool,
    /// Changes one record, if it still is as it was found. Its parameters are its own.
    pub(crate) query: NodeQuery,
    /// The parameters' types.
    pub(crate) params: Vec<TypeId>,
    /// How many of the first columns are the record's key.
    pub(crate) keys: usize,
    /// Their types.
    pub(crate) key_types: Vec<TypeRef>,
    /// Which of them are the shard key, in its order.
    pub(crate) shard_key: Vec<usize>,
    /// What a shard returns of a changed record.
    pub(crate) given: Vec<TypeRef>,
    /// RETURNING, over those and then the columns of `find`.
    pub(crate) returning: Vec<Expr>,
    /// The unique keys that it adds to, and that no shard alone can keep; their places are columns of `find`.
    pub(crate) global: Option<GlobalKeys>,
    /// The collection's spread.
    pub(crate) placement: dataman_metadata::schema::Placement,
    /// How many shards the datastore has.
    pub(crate) shard_count: u32,
    /// The datastore.
    pub(crate) datastore: DatastoreId,
    /// The database.
    pub(crate) database: DatabaseId,
    /// The statements, one for each shard, made once.
    pub(crate) statements: BTreeMap<ShardId, Arc<NodeStatement>>,
}

/// A statement of WITH that writes, done before the statement itself.
#[derive(Debug)]
pub(crate) struct First {
    /// What it does.
    pub(crate) root: Root,
    /// The common table that its RETURNING fills.
    pub(crate) table: usize,
    /// The columns of it.
    pub(crate) columns: Vec<TypeRef>,
    /// All in binary.
    pub(crate) formats: dataman_node_protocol::node::ResultFormats,
}

impl ChangePlan {
    fn each_expr_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        self.find.each_expr_mut(visit);
        self.returning.iter_mut().for_each(visit);
    }

    fn make_statements(&mut self) {
        for shard in (0..self.shard_count).map(ShardId) {
            let mut query = self.query.clone();
            let instance = shard_instance_name(&self.database, shard);
            form::set_instance(&mut query, &self.database.0, &instance);
            self.statements.insert(shard, Arc::new(node_statement(query, &self.params)));
        }
    }
}

impl Root {
    /// The change that finds its records above the shards, of a write that may need one.
    fn change_mut(&mut self) -> Option<&mut ChangePlan> {
        match self {
            Self::Change(change) => Some(change),
            Self::Write(write) => write.agree.as_mut()?.1.as_mut().ok().map(AsMut::as_mut),
            Self::Rows(_) | Self::Insert(_) | Self::Copy(_) => None,
        }
    }

    /// The same.
    pub(crate) fn change(&self) -> Option<&ChangePlan> {
        match self {
            Self::Change(change) => Some(change),
            Self::Write(write) => write.agree.as_ref()?.1.as_ref().ok().map(AsRef::as_ref),
            Self::Rows(_) | Self::Insert(_) | Self::Copy(_) => None,
        }
    }
}

impl Operator {
    /// Whether it merges what the shards answer to one query.
    pub(crate) fn merges(&self) -> bool {
        match self {
            Self::Scan(_) | Self::Merge { .. } | Self::Route { .. } => true,
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Expand { input, .. }
            | Self::Combine { input, .. }
            | Self::Group { input, .. }
            | Self::Window { input, .. }
            | Self::Distinct { input, .. }
            | Self::Sort { input, .. }
            | Self::Limit { input, .. } => input.merges(),
            Self::Gather(gather) => gather.parts.iter().all(|part| part.operator.merges()),
            _ => false,
        }
    }

    /// The types of the rows that come out.
    pub(crate) fn columns(&self) -> Vec<TypeRef> {
        match self {
            Self::Rows { columns, .. }
            | Self::Table { columns, .. }
            | Self::Working { columns, .. } => columns.clone(),
            Self::Recurse { first, .. } => first.columns(),
            Self::Virtual(scan) => scan.types.clone(),
            Self::Scan(scan) | Self::Merge { scan, .. } | Self::Route { whole: scan, .. } => {
                scan.columns[..scan.visible].to_vec()
            }
            Self::Filter { input, .. }
            | Self::Distinct { input, .. }
            | Self::Sort { input, .. }
            | Self::Keep { input, .. }
            | Self::Lookup { input, .. }
            | Self::OrElse { input, .. }
            | Self::Limit { input, .. } => input.columns(),
            Self::Narrow { wide, .. } => wide.columns(),
            Self::Apply { input, columns, .. } => {
                let mut all = input.columns();
                all.extend(columns);
                all
            }
            Self::Project { exprs, .. } => exprs.iter().map(Expr::type_ref).collect(),
            Self::Expand { input, columns, ordinality, .. } => {
                let mut all = input.columns();
                all.extend(columns);
                all.extend(ordinality.then(|| TypeRef::plain(TypeId::INT8)));
                all
            }
            Self::Combine { input, keys, aggregates, sets } => {
                let mut columns = input.columns();
                columns.truncate(*keys);
                columns.extend(aggregates.iter().map(|aggregate| aggregate.ty));
                columns.extend(grouping_columns(sets.as_ref()));
                columns
            }
            Self::Group { keys, aggregates, sets, .. } => keys
                .iter()
                .map(Expr::type_ref)
                .chain(aggregates.iter().map(|aggregate| aggregate.ty))
                .chain(grouping_columns(sets.as_ref()))
                .collect(),
            Self::Window { input, calls } => {
                let mut columns = input.columns();
                columns.extend(calls.iter().map(|call| call.ty));
                columns
            }
            Self::Join { left, right, kind, .. } => {
                let mut columns = if kind.gives_left() { left.columns() } else { Vec::new() };
                if kind.gives_right() {
                    columns.extend(right.columns());
                }
                columns
            }
            Self::Append(inputs) => inputs.first().map(Self::columns).unwrap_or_default(),
            Self::Gather(gather) => {
                let first = gather.parts.first();
                let mut columns = first.map(|part| part.operator.columns()).unwrap_or_default();
                columns.truncate(gather.visible);
                columns
            }
            Self::SetOperation { left, .. } => left.columns(),
        }
    }
}

fn grouping_columns(sets: Option<&GroupingSets>) -> impl Iterator<Item = TypeRef> {
    sets.into_iter().flat_map(|sets| &sets.calls).map(|_| TypeRef::plain(TypeId::INT4))
}

impl NodeScan {
    /// Whether a shard may be asked.
    pub(crate) fn asks(&self, shard: ShardId) -> bool {
        self.among.as_ref().is_none_or(|among| among.contains(&shard))
    }

    /// The statement for one shard.
    fn statement(&self, shard: ShardId, params: &[TypeId]) -> NodeStatement {
        let instance = shard_instance_name(&self.database, shard);
        let as_text = self.takes_sql.get(shard.0 as usize).copied().unwrap_or(false);
        let query = match &self.text {
            Some(text) if as_text => NodeQuery::Sql(dataman_node_protocol::query::SqlText {
                text: text.fill(&instance),
                params: params.to_vec(),
                writes: !matches!(self.query, NodeQuery::Filter(_) | NodeQuery::Aggregate(_)),
            }),
            _ => {
                let mut query = self.query.clone();
                form::set_instance(&mut query, &self.database.0, &instance);
                query
            }
        };
        node_statement(query, params)
    }
}

/// A query ready to be sent.
pub(crate) fn node_statement(query: NodeQuery, params: &[TypeId]) -> NodeStatement {
    NodeStatement::new(query, params.to_vec())
}

impl TextTemplate {
    /// The text with the names of one shard's instance.
    fn fill(&self, instance: &str) -> String {
        let mut text = String::new();
        for (place, piece) in self.pieces.iter().enumerate() {
            text.push_str(piece);
            if let Some((target, alias)) = self.names.get(place) {
                let (namespace, name) = match &target.adopted {
                    Some(adopted) => (adopted.namespace.as_str(), &adopted.name),
                    None => (instance, &target.collection),
                };
                text.push_str(&quoted(namespace));
                text.push('.');
                text.push_str(&quoted(name));
                if let Some(alias) = alias {
                    text.push_str(" AS ");
                    text.push_str(&quoted(alias));
                }
            }
        }
        text
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Gives internal parameters their final numbers, behind the client's.
pub(super) fn number_parameters(plan: &mut Plan) {
    let parameters = plan.parameters.clone();
    let mut number = |expr: &mut Expr| {
        form::each_node_mut(expr, &mut |node| {
            if let Expr::Param { index, .. } = node {
                *index = parameters.final_index(*index);
            }
        });
    };
    for subplan in &mut plan.subplans {
        subplan.operator.each_expr_mut(&mut number);
        subplan.when.iter_mut().for_each(&mut number);
    }
    for table in &mut plan.tables {
        table.operator.each_expr_mut(&mut number);
    }
    for apply in &mut plan.applies {
        apply.operator.each_expr_mut(&mut number);
        apply.params.iter_mut().for_each(&mut number);
        if let ApplyKind::Compare { test, .. } = &mut apply.kind {
            number(test);
        }
    }
    let firsts = plan.first.iter_mut().map(|first| &mut first.root);
    for root in firsts.chain(std::iter::once(&mut plan.root)) {
        number_root(root, &mut number);
    }
    plan.parameters.number_internal(&mut number);
}

fn number_root(root: &mut Root, mut number: &mut dyn FnMut(&mut Expr)) {
    match root {
        Root::Rows(operator) => operator.each_expr_mut(&mut number),
        Root::Insert(insert) => {
            match &mut insert.rows {
                InsertSource::Values(rows) => rows.iter_mut().flatten().for_each(&mut number),
                InsertSource::Query { operator, fields } => {
                    operator.each_expr_mut(&mut number);
                    fields.iter_mut().for_each(&mut number);
                }
            }
            let mut query = NodeQuery::InsertMany(insert.form.clone());
            each_query_expr_mut(&mut query, &mut number);
            if let NodeQuery::InsertMany(form) = query {
                insert.form = form;
            }
        }
        Root::Write(write) => {
            write.scan.each_expr_mut(&mut number);
            if let Some((rules, _)) = &mut write.agree {
                rules.iter_mut().for_each(|rule| rule.each_expr_mut(&mut number));
            }
        }
        Root::Copy(copy) => copy.number_parameters(&mut number),
        Root::Change(_) => {}
    }
    if let Some(change) = root.change_mut() {
        change.each_expr_mut(&mut number);
    }
}

/// Makes each shard's statement of each scan.
pub(super) fn make_statements(plan: &mut Plan) {
    let params = plan.parameters.all();
    let snapshot = Arc::clone(&plan.snapshot);
    let mut make = |scan: &mut NodeScan| {
        let count = snapshot
            .datastores
            .get(&scan.datastore)
            .map_or(0, dataman_metadata::topology::Datastore::shard_count);
        let shards: Vec<ShardId> = match &scan.shards {
            ShardRule::One(shard) => vec![*shard],
            ShardRule::Any => vec![ShardId(0)],
            ShardRule::All | ShardRule::Keys { .. } => (0..count).map(ShardId).collect(),
        };
        for shard in shards.into_iter().filter(|shard| scan.asks(*shard)).collect::<Vec<_>>() {
            let statement = scan.statement(shard, &params);
            scan.statements.insert(shard, Arc::new(statement));
        }
    };
    for subplan in &mut plan.subplans {
        subplan.operator.each_scan_mut(&mut make);
    }
    for table in &mut plan.tables {
        table.operator.each_scan_mut(&mut make);
    }
    for apply in &mut plan.applies {
        apply.operator.each_scan_mut(&mut make);
    }
    let firsts = plan.first.iter_mut().map(|first| &mut first.root);
    for root in firsts.chain(std::iter::once(&mut plan.root)) {
        make_root(root, &mut make);
    }
}

fn make_root(root: &mut Root, mut make: &mut dyn FnMut(&mut NodeScan)) {
    if let Some(change) = root.change_mut() {
        change.find.each_scan_mut(&mut make);
        change.make_statements();
    }
    match root {
        Root::Change(_) => {}
        Root::Rows(operator) => operator.each_scan_mut(&mut make),
        Root::Write(write) => make(&mut write.scan),
        Root::Copy(copy) => copy.make_statements(),
        Root::Insert(insert) => {
            if let InsertSource::Query { operator, .. } = &mut insert.rows {
                operator.each_scan_mut(&mut make);
            }
            for shard in (0..insert.shard_count).map(ShardId) {
                let mut query = NodeQuery::InsertMany(insert.form.clone());
                form::set_instance(
                    &mut query,
                    &insert.database.0,
                    &shard_instance_name(&insert.database, shard),
                );
                let row: Vec<TypeId> = insert.form.fields.iter().map(|field| field.ty.id).collect();
                insert.statements.insert(shard, Arc::new(node_statement(query, &row)));
            }
        }
    }
}
