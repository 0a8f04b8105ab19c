//! Names → collections and fields; operators, functions and parameters → typed expressions.
//!
//! The binder turns the syntax tree into the internal query form ([`dataman_node_protocol::query`]) with PostgreSQL's
//! rules and PostgreSQL's errors. Views and common tables are put in place where they are read, so that the rest of the
//! planner sees collections, subqueries and expressions only.

mod construct;
mod copy;
mod expr;
mod from;
mod function;
mod group;
mod grouping;
mod missing;
mod name;
mod parameter;
mod predicate;
mod record;
mod recursion;
mod same;
mod scope;
mod search;
mod select;
mod sequence;
mod set;
mod subquery;
mod types;
mod whole;
mod window;
mod write;

use std::collections::{HashMap, HashSet};

use dataman_metadata::schema::{Collection, Database};
use dataman_node_protocol::query::{self, Delete, Insert, Target, Update};
use dataman_pg::resolve::Resolver;
use dataman_pg::{Expr, PgError, TypeId};

use crate::parse::syntax::{ParsedStatement, Span, Statement};
use crate::plan::PlanContext;

pub use copy::{BoundCopy, CopyColumn};
pub(crate) use copy::{copy_out_of_query, copy_out_of_table};
pub use parameter::{Internal, Parameters};
pub(crate) use sequence::split_qualified;
pub use types::SnapshotTypes;
pub(crate) use types::{DatabaseTypes, type_by_name};
pub use write::InsertRows;

pub(crate) use from::adopted_of;
pub(crate) use from::collection_source as source_of;

type Result<T> = std::result::Result<T, PgError>;

/// A statement with everything decided.
#[derive(Debug)]
pub struct Bound {
    /// What it does.
    pub kind: BoundKind,
    /// The collections read and written, by the alias they have in the form.
    pub tables: HashMap<String, Table>,
    /// The types of the client's parameters, then of the internal ones.
    pub parameters: Parameters,
    /// What was met on the way.
    pub facts: Facts,
    /// The statements of WITH that write, in their order.
    pub modifying: Vec<Modifying>,
    /// Common tables of an INSERT, UPDATE or DELETE that are more than a query put in place.
    pub with: Vec<query::CommonTable>,
}

/// A statement of WITH that writes.
#[derive(Debug)]
pub struct Modifying {
    /// Its name as a common table.
    pub name: String,
    /// The columns of its RETURNING.
    pub columns: Vec<query::NamedType>,
    /// What it does.
    pub kind: BoundKind,
}

/// The kinds of bound statement.
#[derive(Debug)]
pub enum BoundKind {
    /// A read.
    Select(Box<query::Select>),
    /// An insert: its rows are computed by the proxy.
    Insert(Box<BoundInsert>),
    /// An update.
    Update(Box<Update>),
    /// A delete.
    Delete(Box<Delete>),
    /// A COPY … FROM.
    Copy(Box<BoundCopy>),
}

/// An insert and where its rows come from.
#[derive(Debug)]
pub struct BoundInsert {
    /// The form; its records are empty until the rows are known.
    pub insert: Insert,
    /// The alias of the target among the tables.
    pub alias: String,
    /// The rows.
    pub rows: InsertRows,
    /// The subqueries that the rows' expressions refer to.
    pub subqueries: Vec<query::Select>,
}

/// A collection as a statement uses it.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub collection: Collection,
}

/// What the planner wants to know without walking the form again.
#[derive(Debug, Default, Clone)]
pub struct Facts {
    /// A volatile function was called (`random()`); it may not be moved or repeated.
    pub volatile: bool,
    /// The statement reads a view: its own text cannot go to a database.
    pub view: bool,
    /// Something in the statement is answered by the proxy itself, so its own text cannot go to a database.
    pub internal: bool,
    /// A sequence function was called.
    pub numbers: bool,
    /// A common table was put in place more than once.
    pub repeated: bool,
    /// The aliases of derived tables that are common tables computed by themselves, with columns that nothing reads.
    pub whole: HashSet<String>,
    /// Where each collection's name stands in the text, with the alias to keep.
    pub names: Vec<NamePlace>,
}

/// A collection's name in the client's text.
#[derive(Debug, Clone)]
pub struct NamePlace {
    /// Where it stands.
    pub span: Span,
    /// The collection.
    pub target: Target,
    /// `AS alias` to add, when the text gives none.
    pub alias: Option<String>,
}

/// Binds a SELECT, INSERT, UPDATE or DELETE.
///
/// # Errors
/// PostgreSQL's, and `0A000` for what dataman does not do.
pub fn bind(
    statement: &ParsedStatement,
    declared: &[TypeId],
    context: &PlanContext<'_>,
) -> Result<Bound> {
    let mut binder = Binder::new(&statement.text, declared, context)?;
    let with = match &statement.statement {
        Statement::Select(select) => select.with.as_ref(),
        Statement::Insert(insert) => insert.with.as_ref(),
        Statement::Update(update) => update.with.as_ref(),
        Statement::Delete(delete) => delete.with.as_ref(),
        _ => None,
    };
    binder.top_with = with.map(std::ptr::from_ref);
    let kind = match &statement.statement {
        Statement::Select(select) => BoundKind::Select(Box::new(binder.top_select(select)?)),
        Statement::Insert(insert) => BoundKind::Insert(Box::new(binder.insert(insert)?)),
        Statement::Update(update) => BoundKind::Update(Box::new(binder.update(update)?)),
        Statement::Delete(delete) => BoundKind::Delete(Box::new(binder.delete(delete)?)),
        Statement::Copy(copy) => BoundKind::Copy(Box::new(binder.copy_in(copy)?)),
        _ => {
            return Err(PgError::internal(
                "only SELECT, INSERT, UPDATE, DELETE and COPY are bound",
            ));
        }
    };
    binder.parameters.check_decided()?;
    Ok(Bound {
        kind,
        tables: binder.tables,
        parameters: binder.parameters,
        facts: binder.facts,
        with: binder.write_with,
        modifying: binder.modifying,
    })
}

/// Binds an expression over the fields of one collection, which the expression names as source `alias`: for CHECK,
/// DEFAULT, generated columns and indexes. `clause` is PostgreSQL's word for where it stands (`CHECK`, `DEFAULT`, …).
///
/// # Errors
/// As [`bind`].
pub fn bind_over_collection(
    expr: &crate::parse::syntax::Expr,
    text: &str,
    table: Option<(&Table, &str)>,
    context: &PlanContext<'_>,
) -> Result<Expr> {
    let mut binder = Binder::new(text, &[], context)?;
    let mut scope = scope::Scope::root();
    if let Some((table, alias)) = table {
        scope.push(from::collection_item(table, alias, &table.name));
    }
    binder.expr(expr, &scope, expr::Clause::Definition)
}

/// Casts a bound expression to a column's type as an assignment does.
///
/// # Errors
/// `42804` `column "a" is of type integer but expression is of type text`.
pub fn assign_to_column(
    expr: Expr,
    column: &dataman_metadata::schema::Field,
    context: &PlanContext<'_>,
) -> Result<Expr> {
    Binder::new("", &[], context)?.assign(expr, column)
}

pub(crate) struct Binder<'a> {
    text: &'a str,
    context: &'a PlanContext<'a>,
    database: &'a Database,
    types: SnapshotTypes<'a>,
    parameters: Parameters,
    aliases: HashSet<String>,
    tables: HashMap<String, Table>,
    facts: Facts,
    common_tables: Vec<from::CommonTableDefinition>,
    /// Subqueries of the query being bound, innermost last.
    subqueries: Vec<Vec<query::Select>>,
    view_depth: usize,
    /// The tables of WITHs around that cannot be read yet.
    future: Vec<String>,
    /// The form's names of the recursive tables whose recursive term is being bound.
    recursing: Vec<String>,
    /// The items of FROM of the query being bound and of those around it, innermost last, for error messages.
    range: Vec<Vec<missing::RangeEntry>>,
    /// The statement is an INSERT.
    inserting: bool,
    /// The next query bound leaves its untyped literals as they are.
    keep_unknown: bool,
    /// A row is compared with the row of a subquery.
    compares_rows: bool,
    /// The WITH of the statement itself, where alone a common table may write.
    top_with: Option<*const crate::parse::syntax::With>,
    /// The common tables that write.
    modifying: Vec<Modifying>,
    /// Common tables of an INSERT, UPDATE or DELETE.
    write_with: Vec<query::CommonTable>,
    /// The set-returning functions of the SELECT list being bound, as sources.
    listed_sets: Vec<query::Source>,
    /// The sources of which is to be seen whether an outer join found a row.
    present: Vec<String>,
    /// What is known of the fields of row values.
    shapes: record::Shapes,
    /// The select list or HAVING of a query with GROUP BY is being bound.
    is_grouped: bool,
    /// The windows that the query being bound names.
    named_windows: Vec<(String, crate::parse::syntax::WindowSpec)>,
}

/// How deep views may refer to views.
const VIEW_DEPTH_MAX: usize = 64;

impl<'a> Binder<'a> {
    fn new(text: &'a str, declared: &[TypeId], context: &'a PlanContext<'a>) -> Result<Self> {
        let database =
            context.snapshot.databases.get(&context.database.into()).ok_or_else(|| {
                PgError::new("3D000", format!("database \"{}\" does not exist", context.database))
            })?;
        Ok(Self {
            text,
            context,
            database,
            types: SnapshotTypes::new(database).shown(context.shows),
            parameters: Parameters::new(declared),
            aliases: HashSet::new(),
            tables: HashMap::new(),
            facts: Facts::default(),
            common_tables: Vec::new(),
            subqueries: vec![Vec::new()],
            view_depth: 0,
            future: Vec::new(),
            recursing: Vec::new(),
            range: vec![Vec::new()],
            keep_unknown: false,
            compares_rows: false,
            inserting: false,
            is_grouped: false,
            named_windows: Vec::new(),
            listed_sets: Vec::new(),
            present: Vec::new(),
            shapes: record::Shapes::default(),
            write_with: Vec::new(),
            top_with: None,
            modifying: Vec::new(),
        })
    }

    fn resolver(&mut self) -> Resolver<'_> {
        Resolver { params: &mut self.parameters, types: &self.types }
    }

    /// Gives an error the place in the text that it is about, unless it has one.
    fn place<T>(&self, result: Result<T>, span: Span) -> Result<T> {
        result.map_err(|error| self.at(error, span))
    }

    fn at(&self, error: PgError, span: Span) -> PgError {
        if error.position().is_some() || span == Span::default() || self.view_depth > 0 {
            return error;
        }
        let characters = self.text.get(..span.start).map_or(0, |before| before.chars().count());
        error.at(characters + 1)
    }

    /// A name for a source that no other source of the statement has.
    fn unique_alias(&mut self, wanted: &str) -> String {
        let mut alias = wanted.to_owned();
        let mut number = 1;
        while !self.aliases.insert(alias.clone()) {
            // What is written back has names of its own, made from those that were given.
            let separator = if self.context.shows { crate::plan::SHOWN_ALIAS } else { '_' };
            alias = format!("{wanted}{separator}{number}");
            number += 1;
        }
        alias
    }
}
