//! FROM: sources joined above the shards.
//!
//! Inner joins and comma lists are one graph: its conditions are those of WHERE and of every ON, and its sources are joined in
//! the order that keeps what comes in between small. Sources whose rows meet on one shard go down as one scan
//! ([`super::fragment`]); outer joins stay where they are written, each side being such a graph by itself.

use std::collections::{BTreeMap, BTreeSet};

use dataman_node_protocol::query::{JoinKind, NamedType, OutputField, Select, Source};
use dataman_pg::expr::{Call, Cast, CastMethod, Field};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, Value, catalog, eval};

use super::Planner;
use super::apply::{equality, has_applied, has_subquery};
use super::condition::{self, Fields};
use super::derived::push_into;
use super::distribution::conjuncts;
use super::form::{alias_of, each_own_source, for_each_expr, for_each_select, replace, walk};
use super::joining::Joining;
use super::operator::{ApplyKind, Operator, VirtualKey, VirtualScan};
use super::select::Result;
use super::semi::Semi;
use super::split::{check_decodable, named};

/// How many times fewer rows than a part's a subquery must have to be joined with it before others are.
const RESTRICTING: f64 = 8.0;

/// Where the columns of rows come from: source and field by place.
#[derive(Clone, Default)]
pub(super) struct Columns {
    places: BTreeMap<(String, String), usize>,
    pub(super) width: usize,
}

impl Columns {
    pub(super) fn add(&mut self, alias: &str, columns: &[NamedType]) {
        for column in columns {
            self.places.insert((alias.to_owned(), column.name.clone()), self.width);
            self.width += 1;
        }
    }

    pub(super) fn append(&mut self, other: Columns) {
        for (name, place) in other.places {
            self.places.insert(name, self.width + place);
        }
        self.width += other.width;
    }

    pub(super) fn has(&self, field: &Field) -> bool {
        self.places.contains_key(&(field.source.clone(), field.name.clone()))
    }

    /// An expression over the columns.
    pub(super) fn bind(&self, expr: &Expr) -> Result<Expr> {
        let mut missing = None;
        let bound = replace(expr, &mut |node| match node {
            Expr::Field(field) => {
                match self.places.get(&(field.source.clone(), field.name.clone())) {
                    Some(index) => Some(Expr::Column { index: *index, ty: field.ty }),
                    None => {
                        missing = Some(field.clone());
                        None
                    }
                }
            }
            _ => None,
        });
        if missing.is_some() {
            return Err(PgError::unsupported(
                "an expression that looks at rows of other sources is not supported here yet",
            )
            .with_hint("Write it as a join."));
        }
        eval::check_computed_around(&bound)
            .or_else(|error| if is_relational(&bound) { Ok(()) } else { Err(error) })?;
        Ok(bound)
    }
}

/// Whether it matters how many rows a part has: not where there is one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Needed,
    Unneeded,
}

/// Sources joined so far.
struct Joined {
    operator: Operator,
    columns: Columns,
    /// How many rows it may give.
    rows: f64,
    /// Which sources, by place.
    leaves: BTreeSet<usize>,
}

impl Default for Joined {
    /// One row of no sources.
    fn default() -> Self {
        Self {
            operator: Operator::Rows { rows: vec![Vec::new()], columns: Vec::new() },
            columns: Columns::default(),
            rows: 1.0,
            leaves: BTreeSet::new(),
        }
    }
}

fn is_relational(expr: &Expr) -> bool {
    let mut found = false;
    walk(expr, &mut |node| {
        found |= matches!(node, Expr::Aggregate(_) | Expr::Window(_) | Expr::Grouping(_))
    });
    found
}

impl Planner<'_> {
    /// FROM and the conditions on it. Returns the conditions that are still to be applied.
    pub(super) fn sources(
        &mut self,
        select: &Select,
        conditions: Vec<Expr>,
        mut semis: Vec<Semi>,
    ) -> Result<(Operator, Columns, Vec<Expr>)> {
        let mut wanted = condition::read_beside_filter(select);
        semis.iter().for_each(|semi| wanted.extend(semi.outer()));
        // What reads no row and differs from row to row counts once for each row of all sources.
        let (mut last, mut open): (Vec<Expr>, Vec<Expr>) = conditions
            .into_iter()
            .partition(|condition| condition::is_volatile(condition) && is_fieldless(condition));
        let sources: Vec<&Source> = select.source.iter().collect();
        let count = if semis.is_empty() { Count::Unneeded } else { Count::Needed };
        let mut joined = self.joined(&sources, select, &wanted, &mut open, &mut semis, count)?;
        for semi in semis {
            joined = self.semi_join(joined, semi, select)?;
        }
        open.append(&mut last);
        Ok((joined.operator, joined.columns, open))
    }

    /// Sources that are joined by inner joins, in the order that keeps what comes in between small. Takes the conditions that
    /// it applies out of `open`.
    fn joined(
        &mut self,
        sources: &[&Source],
        select: &Select,
        wanted: &Fields,
        open: &mut Vec<Expr>,
        semis: &mut Vec<Semi>,
        count: Count,
    ) -> Result<Joined> {
        let mut leaves: Vec<&Source> = Vec::new();
        // As in PostgreSQL, what ON says is asked before what WHERE says.
        let mut asked = Vec::new();
        for source in sources {
            flatten(source, &mut leaves, &mut asked, open);
        }
        asked.append(open);
        *open = asked;
        let needs: Vec<BTreeSet<usize>> = needs(&leaves);
        let implied = condition::implied(open);
        open.extend(implied.iter().cloned());
        let (alone, mut waiting): (Vec<usize>, Vec<usize>) =
            (0..leaves.len()).partition(|place| needs[*place].is_empty());
        let mut parts: Vec<Joined> = Vec::new();
        let groups = self.fragments(&leaves, &alone, open);
        let count = if groups.len() > 1 { Count::Needed } else { count };
        for group in groups {
            parts.extend(self.parts(&group, &leaves, select, wanted, open, count)?);
        }
        open.retain(|condition| !implied.contains(condition));
        if parts.len() + waiting.len() > 1 {
            for part in &mut parts {
                self.filter_part(part, open)?;
            }
        }
        for part in &mut parts {
            self.restrict(part, semis, select)?;
        }
        while parts.len() > 1 || (!waiting.is_empty() && !parts.is_empty()) {
            let linked = self.next_pair(&parts, open, true);
            let ready = waiting
                .iter()
                .position(|leaf| parts.iter().any(|part| needs[*leaf].is_subset(&part.leaves)));
            let pair = match (linked, ready) {
                (Some(pair), _) => pair,
                (None, Some(place)) => {
                    let leaf = waiting.remove(place);
                    let part = parts
                        .iter()
                        .position(|part| needs[leaf].is_subset(&part.leaves))
                        .ok_or_else(|| PgError::internal("a source's left side is not there"))?;
                    let Joined { operator, columns, rows, leaves: mut held } = parts.remove(part);
                    let left = (operator, columns);
                    let (operator, columns) =
                        self.lateral(left, leaves[leaf], select, &[], Unmatched::Dropped)?;
                    held.insert(leaf);
                    let mut joined = Joined { operator, columns, rows, leaves: held };
                    if parts.len() + waiting.len() > 0 {
                        self.filter_part(&mut joined, open)?;
                    }
                    parts.insert(part, joined);
                    continue;
                }
                (None, None) => self
                    .next_pair(&parts, open, false)
                    .ok_or_else(|| PgError::internal("sources cannot be joined"))?,
            };
            let (one, other) = pair;
            let right = parts.remove(one.max(other));
            let left = parts.remove(one.min(other));
            let joined = self.join_parts(left, right, open)?;
            parts.insert(one.min(other), joined);
        }
        Ok(parts.pop().unwrap_or_default())
    }

    /// The sources of a group: as one scan where that is possible.
    fn parts(
        &mut self,
        group: &[usize],
        leaves: &[&Source],
        select: &Select,
        wanted: &Fields,
        open: &mut Vec<Expr>,
        count: Count,
    ) -> Result<Vec<Joined>> {
        let sources: Vec<&Source> = group.iter().map(|leaf| leaves[*leaf]).collect();
        let is_plain = matches!(
            sources.as_slice(),
            [Source::Collection { .. } | Source::Query { .. } | Source::Values { .. }]
                | [Source::Function { .. } | Source::CommonTable { .. } | Source::Virtual { .. }]
        );
        if !is_plain
            && let Some((operator, columns, rows)) = self.fragment(&sources, wanted, open, count)
        {
            return Ok(vec![Joined {
                operator,
                columns,
                rows,
                leaves: group.iter().copied().collect(),
            }]);
        }
        let mut parts = Vec::new();
        for leaf in group {
            let rows = match count {
                Count::Needed => self.source_rows(leaves[*leaf], &open.iter().collect::<Vec<_>>()),
                Count::Unneeded => 1.0,
            };
            let (operator, columns) = self.source(leaves[*leaf], select, wanted, open)?;
            parts.push(Joined { operator, columns, rows, leaves: BTreeSet::from([*leaf]) });
        }
        Ok(parts)
    }

    /// Applies the conditions that read one part alone.
    fn filter_part(&self, part: &mut Joined, open: &mut Vec<Expr>) -> Result<()> {
        let own =
            take(open, |condition| covered(condition, &part.columns) && self.is_own(condition));
        if own.is_empty() {
            return Ok(());
        }
        let predicate = part.columns.bind(&all_of(own))?;
        let input = std::mem::replace(&mut part.operator, Operator::Append(Vec::new()));
        part.operator = Operator::Filter { input: Box::new(input), predicate };
        Ok(())
    }

    /// The two parts to join next: those that give the fewest rows, of those that a condition links when `linked`.
    fn next_pair(&self, parts: &[Joined], open: &[Expr], linked: bool) -> Option<(usize, usize)> {
        let mut best: Option<(bool, f64, (usize, usize))> = None;
        for one in 0..parts.len() {
            for other in one + 1..parts.len() {
                let both = |condition: &&Expr| {
                    let (mut left, mut right, mut all) = (false, false, true);
                    walk(condition, &mut |node| {
                        if let Expr::Field(field) = node {
                            let (in_left, in_right) =
                                (parts[one].columns.has(field), parts[other].columns.has(field));
                            left |= in_left;
                            right |= in_right;
                            all &= in_left || in_right;
                        }
                    });
                    left && right && all && self.is_own(condition)
                };
                let on: Vec<&Expr> = open.iter().filter(both).collect();
                let equal = on.iter().any(|condition| equality(condition).is_some());
                if linked && !equal {
                    continue;
                }
                let rows = self.joined_rows(parts[one].rows, parts[other].rows, &on);
                // A condition that is no equality is better than none.
                let bare = on.is_empty();
                if best
                    .as_ref()
                    .is_none_or(|(known_bare, known, _)| (bare, rows) < (*known_bare, *known))
                {
                    best = Some((bare, rows, (one, other)));
                }
            }
        }
        best.map(|(_, _, pair)| pair)
    }

    /// An inner join of two parts: the one with fewer rows is held.
    fn join_parts(&mut self, one: Joined, other: Joined, open: &mut Vec<Expr>) -> Result<Joined> {
        let (left, right) = if one.rows < other.rows { (other, one) } else { (one, other) };
        let mut columns = Columns::default();
        columns.append(left.columns);
        let left_width = columns.width;
        columns.append(right.columns);
        let on: Vec<Expr> =
            take(open, |condition| covered(condition, &columns) && self.is_own(condition));
        let rows = self.joined_rows(left.rows, right.rows, &on.iter().collect::<Vec<_>>());
        let operator =
            join(left.operator, right.operator, Joining::Inner, &on, &columns, left_width)?;
        let operator = self.narrowed(operator, left.rows, right.rows);
        let mut leaves = left.leaves;
        leaves.extend(right.leaves);
        Ok(Joined { operator, columns, rows, leaves })
    }

    /// Applies the joins with subqueries that leave few rows of a part, before it is joined with others.
    fn restrict(
        &mut self,
        part: &mut Joined,
        semis: &mut Vec<Semi>,
        select: &Select,
    ) -> Result<()> {
        for semi in std::mem::take(semis) {
            let covers = semi.outer().iter().all(|field| part.columns.places.contains_key(field));
            let few = semi.kind == Joining::Semi
                && self.source_rows(&semi.source, &[]) * RESTRICTING < part.rows;
            if !covers || !few {
                semis.push(semi);
                continue;
            }
            let taken = std::mem::take(part);
            *part = self.semi_join(taken, semi, select)?;
        }
        Ok(())
    }

    /// Rows that have a partner among those of a subquery, or have none. The side with fewer rows is held.
    fn semi_join(&mut self, part: Joined, semi: Semi, select: &Select) -> Result<Joined> {
        let Semi { kind, source, on } = semi;
        let inner_rows = self.source_rows(&source, &[]);
        let (inner, inner_columns) =
            self.source(&source, select, &Fields::new(), &mut Vec::new())?;
        let links = on.iter().any(|condition| equality(condition).is_some());
        let turned = match kind {
            Joining::Semi if links && part.rows < inner_rows => Some(Joining::RightSemi),
            Joining::Anti if links && part.rows < inner_rows => Some(Joining::RightAnti),
            _ => None,
        };
        let rows = (part.rows / 2.0).max(1.0);
        let mut both = Columns::default();
        let operator = match turned {
            Some(kind) => {
                both.append(inner_columns);
                let width = both.width;
                both.append(part.columns.clone());
                let join = join(inner, part.operator, kind, &on, &both, width)?;
                self.narrowed(join, inner_rows, part.rows)
            }
            None => {
                both.append(part.columns.clone());
                let width = both.width;
                both.append(inner_columns);
                let join = join(part.operator, inner, kind, &on, &both, width)?;
                self.narrowed(join, part.rows, inner_rows)
            }
        };
        Ok(Joined { operator, columns: part.columns, rows, leaves: part.leaves })
    }

    /// One source; takes the conditions it can apply itself out of `open`.
    fn source(
        &mut self,
        source: &Source,
        select: &Select,
        wanted: &Fields,
        open: &mut Vec<Expr>,
    ) -> Result<(Operator, Columns)> {
        let mut columns = Columns::default();
        match source {
            Source::Collection { alias, fields, .. } => {
                self.collection(source, (alias, fields), wanted, open)
            }
            Source::Query { query, alias, columns: names, .. } => {
                columns.add(alias, names);
                for (place, column) in names.iter().enumerate() {
                    if !is_row_of_one_shape(query, place) {
                        check_decodable(column.ty)?;
                    }
                }
                let mut query = query.as_ref().clone();
                let kept = std::mem::take(open).into_iter().filter(|condition| {
                    !(self.is_own(condition)
                        && covered(condition, &columns)
                        && push_into(&mut query, alias, names, condition))
                });
                *open = kept.collect();
                Ok((self.select(query, None)?, columns))
            }
            Source::Values { rows, alias, columns: names } => {
                columns.add(alias, names);
                let empty = Columns::default();
                let rows = rows
                    .iter()
                    .map(|row| row.iter().map(|expr| empty.bind(expr)).collect::<Result<Vec<_>>>())
                    .collect::<Result<_>>()?;
                Ok((
                    Operator::Rows { rows, columns: names.iter().map(|name| name.ty).collect() },
                    columns,
                ))
            }
            Source::Virtual { schema, name, alias, columns: names } => {
                Ok(self.virtual_scan((schema, name), alias, names, wanted, open))
            }
            Source::Function { .. } => {
                let nothing = Operator::Rows { rows: vec![Vec::new()], columns: Vec::new() };
                expand((nothing, columns), source, Unmatched::Dropped)
            }
            Source::CommonTable { name, alias, columns: names } => {
                columns.add(alias, names);
                Ok((self.common_table(name)?, columns))
            }
            Source::Join { left, right, kind, on } => {
                self.outer_join((left, right), *kind, on.as_ref(), select, wanted, open)
            }
        }
    }

    /// An outer join. Conditions of WHERE go to the side whose rows all stay, those of ON to the other one.
    fn outer_join(
        &mut self,
        (left, right): (&Source, &Source),
        kind: JoinKind,
        on: Option<&Expr>,
        select: &Select,
        wanted: &Fields,
        open: &mut Vec<Expr>,
    ) -> Result<(Operator, Columns)> {
        let mut own = Vec::new();
        if let Some(on) = on {
            conjuncts(on, &mut own);
        }
        let mut own: Vec<Expr> = own.into_iter().cloned().collect();
        // What is left of the conditions that a side is given is read above it, and so is what the other side is given.
        let with = |conditions: &[Expr]| {
            let mut wanted = wanted.clone();
            conditions.iter().for_each(|condition| condition::read(condition, &mut wanted));
            wanted
        };
        let (by_on, by_where) = (with(&own), with(open));
        let mut by_all = by_on.clone();
        by_all.extend(by_where.iter().cloned());
        let implied = match kind {
            JoinKind::Left | JoinKind::Inner => condition::implied_across(&own, open, right),
            JoinKind::Right => condition::implied_across(&own, open, left),
            JoinKind::Full => Vec::new(),
        };
        own.extend(implied.iter().cloned());
        let mut none = Vec::new();
        let few = &mut Vec::new();
        let one = match kind {
            JoinKind::Left | JoinKind::Inner => {
                self.joined(&[left], select, &by_on, open, few, Count::Needed)?
            }
            JoinKind::Right => {
                self.joined(&[left], select, &by_where, &mut own, few, Count::Needed)?
            }
            JoinKind::Full => {
                self.joined(&[left], select, &by_all, &mut none, few, Count::Needed)?
            }
        };
        let mut one = one;
        if kind == JoinKind::Full {
            self.apply_rest(&mut one, &mut none)?;
        }
        if reads_left(right, &one.columns) {
            own.retain(|condition| !implied.contains(condition));
            let left = (one.operator, one.columns);
            return self.lateral(left, right, select, &own, Unmatched::Kept);
        }
        let mut other = match kind {
            JoinKind::Left | JoinKind::Inner => {
                self.joined(&[right], select, &by_where, &mut own, few, Count::Needed)?
            }
            JoinKind::Right => self.joined(&[right], select, &by_on, open, few, Count::Needed)?,
            JoinKind::Full => {
                self.joined(&[right], select, &by_all, &mut none, few, Count::Needed)?
            }
        };
        if kind == JoinKind::Full {
            self.apply_rest(&mut other, &mut none)?;
        }
        own.retain(|condition| !implied.contains(condition));
        // What is joined inside a side stays inside it: a condition of its own joins may not be left for later.
        let (one, other, kind) = match kind {
            JoinKind::Left if other.rows > one.rows => (other, one, JoinKind::Right),
            JoinKind::Right if one.rows < other.rows => (other, one, JoinKind::Left),
            kind => (one, other, kind),
        };
        let mut columns = Columns::default();
        columns.append(one.columns);
        let left_width = columns.width;
        columns.append(other.columns);
        let on = take(&mut own, |condition| covered(condition, &columns));
        if !own.is_empty() {
            return Err(PgError::unsupported(
                "a join condition that looks at other rows is not supported yet",
            ));
        }
        let operator = join(one.operator, other.operator, kind.into(), &on, &columns, left_width)?;
        Ok((self.narrowed(operator, one.rows, other.rows), columns))
    }

    /// A table that the proxy makes itself: the columns that the query reads, and one condition by which rows are looked up.
    /// All conditions stay open.
    fn virtual_scan(
        &self,
        (schema, name): (&str, &str),
        alias: &str,
        names: &[NamedType],
        wanted: &Fields,
        open: &[Expr],
    ) -> (Operator, Columns) {
        let used = used(alias, names, wanted, open);
        let places: Vec<usize> =
            (0..names.len()).filter(|place| used.contains(&names[*place])).collect();
        let mut columns = Columns::default();
        columns.add(alias, &used);
        let key = open.iter().find_map(|condition| {
            let (field, value) = equal_to_fixed(condition)
                .map(|(field, value)| (field, value.clone()))
                .or_else(|| condition::matches_whole(condition))?;
            if field.source != alias || field.ty.id != value.type_id() {
                return None;
            }
            let place = names.iter().position(|name| name.name == field.name)?;
            Some(VirtualKey { place, value, any: false })
        });
        let scan = VirtualScan {
            schema: schema.to_owned(),
            name: name.to_owned(),
            places,
            types: used.iter().map(|column| column.ty).collect(),
            key,
        };
        (Operator::Virtual(scan), columns)
    }

    /// Applies conditions to a part at once.
    fn apply_rest(&self, part: &mut Joined, rest: &mut Vec<Expr>) -> Result<()> {
        for condition in rest.drain(..) {
            let predicate = part.columns.bind(&condition)?;
            let input = std::mem::replace(&mut part.operator, Operator::Append(Vec::new()));
            part.operator = Operator::Filter { input: Box::new(input), predicate };
        }
        Ok(())
    }

    /// Whether a condition reads nothing but fields: neither the rows around nor a subquery.
    pub(super) fn is_own(&self, condition: &Expr) -> bool {
        !self.reads_outer(condition) && !has_subquery(condition)
    }

    /// A source that reads columns to its left: each row of `left` with the rows that the source has for it.
    fn lateral(
        &mut self,
        left: (Operator, Columns),
        source: &Source,
        select: &Select,
        on: &[Expr],
        unmatched: Unmatched,
    ) -> Result<(Operator, Columns)> {
        if matches!(source, Source::Function { .. }) && on.iter().all(is_true) {
            return expand(left, source, unmatched);
        }
        let (input, mut columns) = left;
        let mut fields = Vec::new();
        let mut names: Vec<(String, Vec<NamedType>)> = Vec::new();
        each_own_source(source, &mut |source| {
            if let (Some(alias), Some(given)) = (alias_of(source), columns_of(source)) {
                let used: Vec<NamedType> =
                    given.iter().filter(|name| reads(select, alias, &name.name)).cloned().collect();
                fields.extend(used.iter().map(|column| {
                    Expr::Field(Field {
                        source: alias.to_owned(),
                        name: column.name.clone(),
                        ty: column.ty,
                    })
                }));
                names.push((alias.to_owned(), used));
            }
        });
        for field in &fields {
            check_decodable(field.type_ref())?;
        }
        if fields.is_empty() {
            fields.push(Expr::constant(Value::Bool(true), dataman_pg::TypeId::BOOL));
            names.push((String::new(), Vec::new()));
        }
        let types: Vec<TypeRef> = fields.iter().map(Expr::type_ref).collect();
        let inner =
            Select { source: vec![source.clone()], fields: named(&fields), ..Select::default() };
        let (place, read) = self.apply(inner, ApplyKind::Rows, &[])?;
        let outer = read.iter().map(|expr| columns.bind(expr)).collect::<Result<Vec<_>>>()?;
        let width = columns.width;
        for (alias, used) in &names {
            columns.add(alias, used);
        }
        columns.width = width + types.len();
        let on = on.iter().map(|condition| columns.bind(condition)).collect::<Result<Vec<_>>>()?;
        let operator = Operator::Apply {
            input: Box::new(input),
            place,
            outer,
            columns: types,
            on: (!on.is_empty()).then(|| all_of(on)),
            keeps: unmatched == Unmatched::Kept,
        };
        Ok((operator, columns))
    }
}

/// What becomes of a row for which a function gives no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unmatched {
    Dropped,
    Kept,
}

/// Whether a source, or a query inside it, reads columns to its left.
fn reads_left(source: &Source, left: &Columns) -> bool {
    let mut reads = false;
    let alone = Select { source: vec![source.clone()], ..Select::default() };
    for_each_select(&alone, &mut |inner| {
        for_each_expr(inner, &mut |expr| {
            walk(expr, &mut |node| reads |= matches!(node, Expr::Field(field) if left.has(field)));
        });
    });
    reads
}

/// The columns that a source has; a join has none of its own.
pub(super) fn columns_of(source: &Source) -> Option<&[NamedType]> {
    match source {
        Source::Collection { fields, .. } => Some(fields),
        Source::Query { columns, .. }
        | Source::CommonTable { columns, .. }
        | Source::Values { columns, .. }
        | Source::Function { columns, .. }
        | Source::Virtual { columns, .. } => Some(columns),
        Source::Join { .. } => None,
    }
}

/// Computes what has subqueries among some expressions as further columns, to which the expressions then refer.
pub(super) fn computed_below(input: Operator, exprs: Vec<&mut Expr>) -> Operator {
    let types = input.columns();
    let mut columns: Vec<Expr> =
        types.iter().enumerate().map(|(index, ty)| Expr::Column { index, ty: *ty }).collect();
    for expr in exprs.into_iter().filter(|expr| has_applied(expr)) {
        let ty = expr.type_ref();
        let index = columns.iter().position(|known| known == expr).unwrap_or_else(|| {
            columns.push(expr.clone());
            columns.len() - 1
        });
        *expr = Expr::Column { index, ty };
    }
    if columns.len() == types.len() {
        return input;
    }
    Operator::Project { input: Box::new(input), exprs: columns }
}

/// Whether a column of a query is a row whose fields are the same for every record, so that they can be compared.
fn is_row_of_one_shape(query: &Select, place: usize) -> bool {
    let Some(OutputField::Bound { expr, .. }) = query.fields.get(place) else { return false };
    let is_of_query = |field: &Field| {
        query
            .source
            .iter()
            .any(|source| matches!(source, Source::Query { alias, .. } if *alias == field.source))
    };
    query.union.is_empty()
        && match expr {
            Expr::Row(fields) => {
                fields.iter().all(|field| check_decodable(field.type_ref()).is_ok())
            }
            Expr::Field(field) => field.ty.id == dataman_pg::TypeId::RECORD && is_of_query(field),
            _ => false,
        }
}

fn is_true(condition: &Expr) -> bool {
    matches!(condition, Expr::Const(constant) if constant.value == Value::Bool(true))
}

/// Each row of `left` with the rows that a function gives for it.
fn expand(
    (mut input, mut columns): (Operator, Columns),
    source: &Source,
    unmatched: Unmatched,
) -> Result<(Operator, Columns)> {
    let Source::Function { call: Expr::Call(call), alias, columns: names, ordinality } = source
    else {
        return Err(PgError::unsupported("an expression that is no call in FROM is not supported"));
    };
    if !dataman_pg::set::is_computed(call.function) {
        let name = catalog::function(call.function).map_or("?", |function| function.name);
        return Err(PgError::unsupported(format!(
            "the function {name} in FROM is not supported here yet"
        )));
    }
    let mut args = call.args.iter().map(|arg| columns.bind(arg)).collect::<Result<Vec<_>>>()?;
    input = computed_below(input, args.iter_mut().collect());
    columns.width = input.columns().len();
    columns.add(alias, names);
    let given = names.len() - usize::from(*ordinality);
    let operator = Operator::Expand {
        input: Box::new(input),
        call: Call { args, ..call.clone() },
        columns: names[..given].iter().map(|name| name.ty).collect(),
        ordinality: *ordinality,
        keeps: unmatched == Unmatched::Kept,
    };
    Ok((operator, columns))
}

/// A join above the shards; equal pairs of its condition are looked up by hash.
pub(super) fn join(
    left: Operator,
    right: Operator,
    kind: Joining,
    on: &[Expr],
    columns: &Columns,
    left_width: usize,
) -> Result<Operator> {
    let bound = on.iter().map(|condition| columns.bind(condition)).collect::<Result<Vec<_>>>()?;
    let side = |expr: &Expr| -> Option<bool> {
        let (mut in_left, mut in_right) = (false, false);
        walk(expr, &mut |node| {
            if let Expr::Column { index, .. } = node {
                if *index < left_width { in_left = true } else { in_right = true }
            }
        });
        match (in_left, in_right) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    };
    let to_right = |expr: &Expr| {
        replace(expr, &mut |node| match node {
            Expr::Column { index, ty } => Some(Expr::Column { index: index - left_width, ty: *ty }),
            _ => None,
        })
    };
    let mut equal = Vec::new();
    for condition in bound.iter().filter(|condition| !has_subquery(condition)) {
        if let Some(call) = equality(condition)
            && let [one, other] = call.args.as_slice()
            && let Some((one, other)) = of_one_type(one, other)
        {
            let (one, other) = (&one, &other);
            match (side(one), side(other)) {
                (Some(true), Some(false)) => equal.push((one.clone(), to_right(other))),
                (Some(false), Some(true)) => equal.push((other.clone(), to_right(one))),
                _ => {}
            }
        }
    }
    let on = (!bound.is_empty()).then(|| all_of(bound));
    let (left, right) = (Box::new(left), Box::new(right));
    Ok(Operator::Join { left, right, kind, equal, on, keys: None })
}

/// Two sides of an equality as values of one type: integers of different widths are widened.
fn of_one_type(one: &Expr, other: &Expr) -> Option<(Expr, Expr)> {
    if one.type_id() == other.type_id() {
        return Some((one.clone(), other.clone()));
    }
    let widened = |expr: &Expr| match expr.type_id() {
        TypeId::INT8 => Some(expr.clone()),
        ty @ (TypeId::INT2 | TypeId::INT4) => {
            let function = catalog::cast(ty, TypeId::INT8)?.function;
            Some(Expr::Cast(Box::new(Cast {
                arg: expr.clone(),
                ty: TypeId::INT8.into(),
                method: CastMethod::Function(function),
                explicit: false,
            })))
        }
        _ => None,
    };
    Some((widened(one)?, widened(other)?))
}

pub(super) fn all_of(mut conditions: Vec<Expr>) -> Expr {
    if conditions.len() == 1 { conditions.remove(0) } else { Expr::And(conditions) }
}

/// Takes the conditions that pass out of a list.
pub(super) fn take(open: &mut Vec<Expr>, pass: impl Fn(&Expr) -> bool) -> Vec<Expr> {
    let (taken, rest) = std::mem::take(open).into_iter().partition(|condition| pass(condition));
    *open = rest;
    taken
}

/// Whether a condition reads columns of these sources only.
pub(super) fn covered(condition: &Expr, columns: &Columns) -> bool {
    let mut covered = true;
    walk(condition, &mut |node| {
        if let Expr::Field(field) = node {
            covered &= columns.has(field);
        }
    });
    covered
}

/// Whether a select's own expressions, or those of selects inside it, read a field.
fn reads(select: &Select, alias: &str, name: &str) -> bool {
    let mut found = false;
    super::form::for_each_select(select, &mut |inner| {
        super::form::for_each_expr(inner, &mut |expr| {
            walk(expr, &mut |node| {
                if let Expr::Field(field) = node {
                    found |= field.source == alias && field.name == name;
                }
            });
        });
    });
    found
}

/// The sources of inner joins, whose conditions are added to `on_conditions`. An outer join is an inner one where these or `open`
/// leave out what it would add.
fn flatten<'s>(
    source: &'s Source,
    leaves: &mut Vec<&'s Source>,
    on_conditions: &mut Vec<Expr>,
    open: &[Expr],
) {
    if let Source::Join { left, right, kind, on } = source {
        let rejects = |source: &Source| {
            condition::rejects_nulls(open, source)
                || condition::rejects_nulls(on_conditions, source)
        };
        let is_inner = match kind {
            JoinKind::Inner => true,
            JoinKind::Left => rejects(right),
            JoinKind::Right => rejects(left),
            JoinKind::Full => rejects(left) && rejects(right),
        };
        if is_inner {
            let mut own = Vec::new();
            if let Some(on) = on {
                conjuncts(on, &mut own);
            }
            let mut known = open.to_vec();
            known.extend(own.iter().map(|condition| (*condition).clone()));
            flatten(left, leaves, on_conditions, &known);
            flatten(right, leaves, on_conditions, &known);
            on_conditions.extend(own.into_iter().cloned());
            return;
        }
    }
    leaves.push(source);
}

/// A field, and what reads no row that it must be equal to.
fn equal_to_fixed(condition: &Expr) -> Option<(&Field, &Expr)> {
    let Expr::Call(call) = condition else { return None };
    if catalog::operator(call.operator?)?.name != "=" {
        return None;
    }
    let is_fixed = |expr: &Expr| matches!(expr, Expr::Const(_) | Expr::Param { .. });
    match call.args.as_slice() {
        [Expr::Field(field), value] if is_fixed(value) => Some((field, value)),
        [value, Expr::Field(field)] if is_fixed(value) => Some((field, value)),
        _ => None,
    }
}

/// For each source the others whose columns it reads.
fn needs(leaves: &[&Source]) -> Vec<BTreeSet<usize>> {
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, leaf) in leaves.iter().enumerate() {
        each_own_source(leaf, &mut |source| {
            owners.extend(alias_of(source).map(|alias| (alias, place)));
        });
    }
    leaves
        .iter()
        .enumerate()
        .map(|(place, leaf)| {
            let mut needs = BTreeSet::new();
            if matches!(
                leaf,
                Source::Collection { .. } | Source::CommonTable { .. } | Source::Virtual { .. }
            ) {
                return needs;
            }
            let alone = Select { source: vec![(*leaf).clone()], ..Select::default() };
            for_each_select(&alone, &mut |inner| {
                for_each_expr(inner, &mut |expr| {
                    walk(expr, &mut |node| {
                        if let Expr::Field(field) = node
                            && let Some(owner) = owners.get(field.source.as_str())
                            && *owner != place
                        {
                            needs.insert(*owner);
                        }
                    });
                });
            });
            needs
        })
        .collect()
}

fn is_fieldless(condition: &Expr) -> bool {
    let mut fieldless = true;
    walk(condition, &mut |node| fieldless &= !matches!(node, Expr::Field(_)));
    fieldless
}

/// The fields of a source that are read above, or by conditions that are still open.
pub(super) fn used(
    alias: &str,
    fields: &[NamedType],
    wanted: &Fields,
    open: &[Expr],
) -> Vec<NamedType> {
    let mut read = Fields::new();
    open.iter().for_each(|condition| condition::read(condition, &mut read));
    fields
        .iter()
        .filter(|field| {
            let key = (alias.to_owned(), field.name.clone());
            wanted.contains(&key) || read.contains(&key)
        })
        .cloned()
        .collect()
}

/// Output fields for columns of a source.
pub(super) fn fields_of(alias: &str, columns: &[NamedType]) -> Vec<OutputField> {
    columns
        .iter()
        .map(|column| OutputField::Bound {
            expr: Expr::Field(Field {
                source: alias.to_owned(),
                name: column.name.clone(),
                ty: column.ty,
            }),
            name: column.name.clone(),
        })
        .collect()
}
