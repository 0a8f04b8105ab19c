//! Makes queries: select lists, FROM, groups, set operations, WITH.

use super::generator::{Column, Common, Generator, Scope};
use super::kind::Kind;
use super::schema::TABLES;
use super::tree::{Part, Role, Tree};

/// A query with the names and types of its columns.
pub(super) struct Made {
    pub(super) tree: Tree,
    pub(super) columns: Vec<(String, Kind)>,
}

/// What a query is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The statement itself.
    Whole,
    /// A table in FROM or WITH: its columns have names.
    Table,
    /// A member of a set operation or the right side of IN: rows are compared.
    Compared,
}

impl Generator {
    /// The statement of a client: a query with all that may be around it.
    pub(super) fn whole_query(&mut self) -> Tree {
        let with = self.with();
        let made = self.query(None, Use::Whole, 3);
        match with {
            Some(with) => Tree::new(made.tree.role.clone()).tree(with).tree(made.tree),
            None => made.tree,
        }
    }

    /// WITH and its names, sometimes.
    pub(super) fn with(&mut self) -> Option<Tree> {
        if !self.chance(16) {
            return None;
        }
        let mut recursive = false;
        let mut members = Vec::new();
        for _ in 0..1 + self.below(2) {
            let name = self.name("w");
            let (tree, columns) = if self.chance(35) {
                recursive = true;
                self.recursive(&name)
            } else {
                let made = self.query(None, Use::Table, 2);
                (made.tree, made.columns)
            };
            let how = self.pick(&["", "", " MATERIALIZED", " NOT MATERIALIZED"]);
            let how = if recursive { "" } else { how };
            let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            let head = format!("{name} ({}) AS{how} (", names.join(", "));
            members.push(Tree::plain(head).tree(tree).text(")"));
            self.commons.push(Common { name, columns });
        }
        let head = if recursive { "WITH RECURSIVE " } else { "WITH " };
        Some(Tree::optional(head, Tree::list(1, ", ", members)).text(" "))
    }

    fn recursive(&mut self, name: &str) -> (Tree, Vec<(String, Kind)>) {
        let columns = vec![("i".to_owned(), Kind::Int4), ("x".to_owned(), Kind::Text)];
        let word = self.pick(&["UNION ALL", "UNION"]);
        let tree = match self.below(4) {
            0 => Tree::plain(format!(
                "VALUES (1, 'a') {word} SELECT i + 1, x || 'b' FROM {name} WHERE i < 5"
            )),
            1 => {
                // Along the rows of a table, as a tree of parents and children.
                let table = self.pick(&["a", "c"]);
                let text = if table == "a" { "q.s" } else { "q.v::text" };
                Tree::plain(format!(
                    "SELECT q.id, coalesce({text}, '') FROM {table} AS q WHERE q.k = {} UNION SELECT q.id, coalesce({text}, '') FROM {name} AS p JOIN {table} AS q ON q.k = p.i % 6",
                    self.below(6)
                ))
            }
            2 => Tree::plain(format!(
                "SELECT k, s FROM r WHERE k < 3 {word} SELECT p.i + 2, g.s FROM {name} AS p, g WHERE g.k = p.i AND p.i < 9"
            )),
            _ => {
                let first = self.query(Some(&[Kind::Int4, Kind::Text]), Use::Compared, 1);
                Tree::plain("(").tree(first.tree).text(format!(
                    ") {word} SELECT i / 2, left(x, 1) FROM {name} WHERE i > 1 AND i < 1000"
                ))
            }
        };
        (tree, columns)
    }

    /// A query; of columns of the types that are asked for.
    pub(super) fn query(&mut self, want: Option<&[Kind]>, usage: Use, depth: usize) -> Made {
        let draw = self.below(100);
        let compound = if usage == Use::Whole { draw < 14 } else { draw < 8 };
        if depth > 0 && self.queries > 0 && compound {
            return self.set_operation(want, usage, depth);
        }
        if usage != Use::Compared && draw > 96 {
            return self.values(want);
        }
        self.select(want, usage, depth)
    }

    fn wanted(&mut self, want: Option<&[Kind]>, ordered: bool) -> Vec<Kind> {
        match want {
            Some(kinds) => kinds.to_vec(),
            None => (0..1 + self.below(3))
                .map(|_| if ordered { self.ordered_kind() } else { self.kind() })
                .collect(),
        }
    }

    fn values(&mut self, want: Option<&[Kind]>) -> Made {
        let kinds = self.wanted(want, true);
        let rows = (0..1 + self.below(4))
            .map(|_| {
                let values = kinds
                    .iter()
                    .map(|kind| {
                        // Of a type that no other row changes.
                        let value = self.value(*kind);
                        Tree::plain("CAST(").tree(value).text(format!(" AS {})", kind.sql()))
                    })
                    .collect();
                let list = Tree::list(kinds.len(), ", ", values);
                Tree::plain("(").tree(list).text(")")
            })
            .collect();
        let columns = (1..=kinds.len()).map(|place| format!("column{place}"));
        let columns = columns.zip(kinds.iter().copied()).collect();
        let tree = Tree::new(Role::Query(kinds)).text("VALUES ").tree(Tree::list(1, ", ", rows));
        Made { tree, columns }
    }

    fn set_operation(&mut self, want: Option<&[Kind]>, usage: Use, depth: usize) -> Made {
        self.queries -= 1;
        let mut kinds = self.wanted(want, true);
        for kind in &mut kinds {
            if *kind == Kind::Json {
                *kind = Kind::Text;
            }
        }
        if want.is_some_and(|want| want.contains(&Kind::Json)) {
            return self.select(want, usage, depth);
        }
        let side = |this: &mut Self| {
            let made = this.query(Some(&kinds), Use::Compared, depth - 1);
            (Tree::plain("(").tree(made.tree).text(")"), made.columns)
        };
        let (left, columns) = side(self);
        let (right, _) = side(self);
        let word = self.pick(&[
            "UNION",
            "UNION ALL",
            "UNION ALL",
            "INTERSECT",
            "INTERSECT ALL",
            "EXCEPT",
            "EXCEPT ALL",
        ]);
        let mut tree =
            Tree::new(Role::Query(kinds.clone())).tree(left).text(format!(" {word} ")).tree(right);
        if usage == Use::Whole && self.chance(55) || self.chance(20) {
            tree = tree.tree(self.total_order(kinds.len(), false));
        }
        Made { tree, columns }
    }

    /// ORDER BY all columns, with LIMIT and OFFSET sometimes; with a select list that may get shorter, or without.
    fn total_order(&mut self, columns: usize, list: bool) -> Tree {
        let mut order = Tree::new(Role::Order(None)).text(" ORDER BY ");
        if self.chance(40) {
            let way = self.pick(&[" DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            let place = 1 + self.below(columns);
            order = order.tree(Tree::optional(&format!("{place}{way}, "), Tree::plain("")));
        }
        if list {
            order.parts.push(Part::Places);
        } else {
            let places: Vec<String> = (1..=columns).map(|place| place.to_string()).collect();
            order = order.text(places.join(", "));
        }
        if self.chance(50) {
            let rows = self.below(9);
            let limit = match self.below(3) {
                0 => format!(" FETCH FIRST {rows} ROWS ONLY"),
                _ => format!(" LIMIT {rows}"),
            };
            order = order.tree(Tree::optional(&limit, Tree::plain("")));
        }
        if self.chance(25) {
            let offset = format!(" OFFSET {}", self.below(5));
            order = order.tree(Tree::optional(&offset, Tree::plain("")));
        }
        order
    }

    fn select(&mut self, want: Option<&[Kind]>, usage: Use, depth: usize) -> Made {
        self.queries = self.queries.saturating_sub(1);
        self.scopes.push(Scope::default());
        let from = (!self.chance(4)).then(|| self.from(depth));
        let condition = if from.is_some() && self.chance(60) {
            let members = (0..1 + self.below(2)).map(|_| self.condition(2)).collect();
            Some(Tree::optional(" WHERE ", Tree::list(1, " AND ", members)))
        } else {
            None
        };
        let group = if self.chance(32) { self.group() } else { None };
        let windows = self.chance(22);
        self.scope().windows = windows;
        // Rows that are compared, ordered or made distinct must not have two forms of equal values.
        let style = self.below(100);
        let distinct = usage != Use::Table && style < 12;
        let canonical = usage == Use::Compared || style < 70;
        let kinds = self.wanted(want, canonical);
        let mut columns = Vec::new();
        let mut items = Tree::new(Role::Items);
        for (place, kind) in kinds.iter().enumerate() {
            let mut item = self.expression(*kind, 3);
            let mut kind = *kind;
            if canonical {
                let (made, tree) = self.canonical(kind, item);
                (kind, item) =
                    if want.is_some() && made != kind { (kind, tree) } else { (made, tree) };
            }
            let name = format!("c{}", place + 1);
            if usage == Use::Table || self.chance(40) {
                item = Tree::plain("").tree(item).text(format!(" AS {name}"));
            }
            columns.push((name, kind));
            items.parts.push(Part::Tree(item));
        }
        let having = if group.is_some() && self.chance(30) {
            self.scope().windows = false;
            Some(Tree::optional(" HAVING ", self.condition(2)))
        } else {
            None
        };
        let mut tree =
            Tree::new(Role::Query(columns.iter().map(|(_, kind)| *kind).collect())).text("SELECT ");
        let on = distinct && self.chance(30);
        if on {
            tree = tree.text("DISTINCT ON (1) ");
        } else if distinct {
            tree = tree.tree(Tree::optional("DISTINCT ", Tree::plain("")));
        }
        tree = tree.tree(items);
        for part in [from, condition, group, having].into_iter().flatten() {
            tree = tree.tree(part);
        }
        let wants_order = match usage {
            Use::Whole => style < 60,
            _ => style < 25,
        };
        if on {
            // Which row of its group stays is decided by all columns.
            tree = tree.text(" ORDER BY ");
            tree.parts.push(Part::Places);
            if usage == Use::Whole {
                tree = tree.tree(Tree::new(Role::Order(None)));
            }
        } else if canonical && wants_order {
            tree = if !distinct && self.chance(25) {
                tree.tree(self.partial_order())
            } else {
                tree.tree(self.total_order(columns.len(), true))
            };
        }
        self.scopes.pop();
        Made { tree, columns }
    }

    /// ORDER BY the first column only: what follows it is open, but for WITH TIES.
    fn partial_order(&mut self) -> Tree {
        let way = self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        let order = Tree::new(Role::Order(Some(1))).text(format!(" ORDER BY 1{way}"));
        if self.chance(60) {
            let ties = format!(" FETCH FIRST {} ROWS WITH TIES", 1 + self.below(6));
            return order.tree(Tree::optional(&ties, Tree::plain("")));
        }
        order
    }

    /// GROUP BY; from here on the scope has the keys only, and aggregates.
    fn group(&mut self) -> Option<Tree> {
        let mut keys = Vec::new();
        for _ in 0..self.below(4) {
            keys.extend(self.column_key(1));
        }
        let texts: Vec<String> = keys.iter().map(|(_, tree)| tree.sql()).collect();
        let columns: Vec<Column> = keys
            .iter()
            .zip(&texts)
            .map(|((kind, _), text)| Column { text: text.clone(), kind: *kind })
            .collect();
        let own = keys.iter().all(|(_, tree)| self.is_own(tree));
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let scope = self.scope();
        let rows = std::mem::take(&mut scope.columns);
        scope.grouped = Some(rows);
        scope.inside =
            Some(columns.iter().filter(|column| is_name(&column.text)).cloned().collect());
        scope.columns = columns;
        scope.order = texts.clone();
        if texts.is_empty() {
            return Some(Tree::plain(""));
        }
        let list = texts.join(", ");
        let outer = self.scopes.len() > 1 && !own;
        let sets = match self.below(12) {
            _ if outer => return Some(Tree::plain(format!(" GROUP BY {list}"))),
            0 => format!("ROLLUP ({list})"),
            1 => format!("CUBE ({list})"),
            2 => format!("GROUPING SETS (({list}), ())"),
            3 => format!("GROUPING SETS ({list}, (), ({}))", texts[0]),
            4 if texts.len() > 1 => format!("{}, ROLLUP ({})", texts[0], texts[1..].join(", ")),
            5 if texts.len() > 1 => {
                format!("GROUPING SETS (ROLLUP ({list}), ({}))", texts[1])
            }
            _ => return Some(Tree::plain(format!(" GROUP BY {list}"))),
        };
        let grouping = Column { text: format!("grouping({list})"), kind: Kind::Int4 };
        self.scope().columns.push(grouping);
        self.scope().order.push(format!("grouping({list})"));
        Some(Tree::plain(format!(" GROUP BY {sets}")))
    }

    /// Whether an expression names nothing of the queries around.
    fn is_own(&self, tree: &Tree) -> bool {
        let text = tree.sql();
        let around = self.scopes.iter().rev().skip(1).flat_map(|scope| &scope.columns);
        around.into_iter().all(|column| !text.contains(&column.text))
    }

    /// FROM: the scope gets the columns of what is in it.
    pub(super) fn from(&mut self, depth: usize) -> Tree {
        let mut chains = Vec::new();
        let count = if self.chance(10) { 2 } else { 1 };
        let mut columns = Vec::new();
        for number in 0..count {
            // What stands before the comma is not seen in the conditions of joins behind it.
            columns.append(&mut self.scope().columns);
            let joins = if number > 0 { 0 } else { self.pick(&[0, 0, 0, 1, 1, 1, 2, 2, 3]) };
            chains.push(self.chain(joins, depth));
        }
        self.scope().columns.extend(columns);
        Tree::plain(" FROM ").tree(Tree::list(1, ", ", chains))
    }

    fn chain(&mut self, joins: usize, depth: usize) -> Tree {
        let mut chain = self.relation(depth, false);
        for _ in 0..joins {
            chain = self.join(chain, depth);
        }
        chain
    }

    fn join(&mut self, left: Tree, depth: usize) -> Tree {
        let before = self.scope().columns.clone();
        let word = self.pick(&[
            "JOIN",
            "JOIN",
            "JOIN",
            "LEFT JOIN",
            "LEFT JOIN",
            "RIGHT JOIN",
            "FULL JOIN",
            "CROSS JOIN",
        ]);
        let lateral = matches!(word, "JOIN" | "LEFT JOIN" | "CROSS JOIN") && self.chance(10);
        let right = self.relation(depth, lateral);
        let after = self.scope().columns.split_off(before.len());
        let role = Role::Relation;
        // Columns of one name and type on both sides, for USING.
        let names = |columns: &[Column]| -> Vec<(String, Kind)> {
            let name = |column: &Column| {
                let name = column.text.split_once('.')?.1;
                Some((name.to_owned(), column.kind))
            };
            columns.iter().filter_map(name).collect()
        };
        let (ours, theirs) = (names(&before), names(&after));
        let once = |name: &str, all: &[(String, Kind)]| {
            all.iter().filter(|(other, _)| other == name).count() == 1
        };
        let shared: Vec<(String, Kind)> = ours
            .iter()
            .filter(|column| {
                theirs.contains(column) && once(&column.0, &ours) && once(&column.0, &theirs)
            })
            .filter(|(_, kind)| kind.is_ordered())
            .cloned()
            .collect();
        let tree = if word == "CROSS JOIN" {
            Tree::new(role).tree(left).text(" CROSS JOIN ").tree(right)
        } else if !shared.is_empty() && self.chance(22) {
            let count = 1 + self.below(shared.len().min(2));
            let chosen = &shared[..count];
            let list: Vec<&str> = chosen.iter().map(|(name, _)| name.as_str()).collect();
            let tree = if count == shared.len() && self.chance(30) {
                Tree::new(role).tree(left).text(format!(" NATURAL {word} ")).tree(right)
            } else {
                let using = format!(" USING ({})", list.join(", "));
                Tree::new(role).tree(left).text(format!(" {word} ")).tree(right).text(using)
            };
            for (name, kind) in chosen {
                self.scope().columns.push(Column { text: name.clone(), kind: *kind });
            }
            tree
        } else {
            let condition = self.join_condition(&before, &after, word);
            Tree::new(role)
                .tree(left)
                .text(format!(" {word} "))
                .tree(right)
                .text(" ON ")
                .tree(condition)
        };
        let mut columns = before;
        columns.append(&mut self.scope().columns);
        columns.extend(after);
        self.scope().columns = columns;
        tree
    }

    fn join_condition(&mut self, before: &[Column], after: &[Column], word: &str) -> Tree {
        let pairs: Vec<(&Column, &Column)> = before
            .iter()
            .flat_map(|ours| after.iter().map(move |theirs| (ours, theirs)))
            .filter(|(ours, theirs)| ours.kind == theirs.kind && ours.kind.is_ordered())
            .collect();
        let mut members = Vec::new();
        let draw = self.below(10);
        if !pairs.is_empty() && draw < 8 {
            for _ in 0..1 + self.below(2) {
                let (ours, theirs) = pairs[self.below(pairs.len())];
                let equal = self.chance(85) || word == "FULL JOIN";
                let operator = if equal { "=" } else { self.pick(&["<", ">=", "<>"]) };
                let text = format!("{} {operator} {}", ours.text, theirs.text);
                members.push(Tree::expression(Kind::Bool, text));
            }
        }
        if members.is_empty() || self.chance(30) {
            let kept = std::mem::take(&mut self.scope().columns);
            self.scope().columns = before.iter().chain(after).cloned().collect();
            members.push(self.condition(1));
            self.scope().columns = kept;
        }
        Tree::list(1, " AND ", members)
    }

    /// One member of FROM: the scope gets its columns.
    pub(super) fn relation(&mut self, depth: usize, lateral: bool) -> Tree {
        let draw = if lateral { 60 + self.below(26) } else { self.below(100) };
        let alias = self.name("t");
        if draw < 60 || (depth == 0 || self.queries == 0) && draw < 78 {
            let able = self.commons.len();
            if able > 0 && self.chance(60) {
                let which = self.below(able);
                let common = self.commons[which].clone();
                return self.named(&alias, &common.name, &common.columns, None);
            }
            let table = &TABLES[self.pick(&[0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])];
            let columns: Vec<(String, Kind)> =
                table.columns.iter().map(|(name, _, kind)| ((*name).to_owned(), *kind)).collect();
            return self.named(&alias, table.name, &columns, Some(table.key));
        }
        if draw < 78 {
            // What is beside it in FROM is seen by LATERAL only.
            let kept = if lateral {
                None
            } else {
                let scope = self.scope();
                Some((std::mem::take(&mut scope.columns), std::mem::take(&mut scope.order)))
            };
            let made = self.query(None, Use::Table, depth - 1);
            if let Some((columns, order)) = kept {
                self.scope().columns = columns;
                self.scope().order = order;
            }
            let text = if lateral { "LATERAL (" } else { "(" };
            let tree =
                Tree::new(Role::Relation).text(text).tree(made.tree).text(format!(") AS {alias}"));
            self.add(&alias, &made.columns, None);
            return tree;
        }
        let argument = |this: &mut Self, kind: Kind| {
            if lateral { this.leaf(kind) } else { this.value(kind) }
        };
        match self.pick(&[0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 4]) {
            0 | 1 => {
                let (from, to) = (self.below(4), 3 + self.below(6));
                let from = if lateral {
                    Tree::plain("least(").tree(argument(self, Kind::Int4)).text(", 6)")
                } else {
                    Tree::plain(from.to_string())
                };
                self.add(&alias, &[("x".to_owned(), Kind::Int4)], None);
                Tree::new(Role::Relation)
                    .text("generate_series(greatest(")
                    .tree(from)
                    .text(format!(", 0), {to}) AS {alias}(x)"))
            }
            2 => {
                let array = argument(self, Kind::Ints);
                let columns = [("x".to_owned(), Kind::Int4), ("o".to_owned(), Kind::Int8)];
                self.add(&alias, &columns, None);
                let tree = Tree::new(Role::Relation).text("unnest(").tree(array);
                tree.text(format!(") WITH ORDINALITY AS {alias}(x, o)"))
            }
            3 => {
                let array = argument(self, Kind::Texts);
                self.add(&alias, &[("x".to_owned(), Kind::Text)], None);
                let tree = Tree::new(Role::Relation).text("unnest(").tree(array);
                tree.text(format!(") AS {alias}(x)"))
            }
            4 => {
                let (ints, texts) = (argument(self, Kind::Ints), argument(self, Kind::Texts));
                let columns = [("x".to_owned(), Kind::Int4), ("y".to_owned(), Kind::Text)];
                self.add(&alias, &columns, None);
                let tree = Tree::new(Role::Relation).text("ROWS FROM (unnest(").tree(ints);
                tree.text("), unnest(").tree(texts).text(format!(")) AS {alias}(x, y)"))
            }
            _ => {
                let kinds: Vec<Kind> = (0..2).map(|_| self.ordered_kind()).collect();
                let made = self.values(Some(&kinds));
                let columns: Vec<(String, Kind)> =
                    ["x", "y"].iter().map(|name| (*name).to_owned()).zip(kinds).collect();
                self.add(&alias, &columns, None);
                Tree::new(Role::Relation)
                    .text("(")
                    .tree(made.tree)
                    .text(format!(") AS {alias}(x, y)"))
            }
        }
    }

    fn named(
        &mut self,
        alias: &str,
        table: &str,
        columns: &[(String, Kind)],
        key: Option<usize>,
    ) -> Tree {
        self.add(alias, columns, key);
        Tree::new(Role::Relation).text(format!("{table} AS {alias}"))
    }

    /// Adds a relation's columns to the scope.
    pub(super) fn add(&mut self, alias: &str, columns: &[(String, Kind)], key: Option<usize>) {
        self.scope().repeats |= key.is_none();
        for (place, (name, kind)) in columns.iter().enumerate() {
            let column = Column { text: format!("{alias}.{name}"), kind: *kind };
            let decides = key.is_none_or(|key| place < key);
            if decides {
                let text = match kind {
                    Kind::Json => format!("{}::text", column.text),
                    Kind::Numeric | Kind::Interval => format!("{0}, {0}::text", column.text),
                    _ => column.text.clone(),
                };
                self.scope().order.push(text);
            }
            self.scope().columns.push(column);
        }
    }

    /// `(SELECT …)` as a value.
    pub(super) fn scalar_query(&mut self, kind: Kind) -> Tree {
        let role = Role::Expression(kind);
        if kind == Kind::Ints && self.chance(50) {
            let made = self.query(Some(&[Kind::Int4]), Use::Compared, 1);
            let sorted = Tree::new(role).text("ARRAY(SELECT * FROM (").tree(made.tree);
            let name = self.name("q");
            return sorted.text(format!(") AS {name} ORDER BY 1)"));
        }
        if kind.is_ordered() && self.chance(45) {
            // One row of several, decided by its one column.
            let made = self.query(Some(&[kind]), Use::Compared, 1);
            let name = self.name("q");
            return Tree::new(role)
                .text("(SELECT * FROM (")
                .tree(made.tree)
                .text(format!(") AS {name} ORDER BY 1 LIMIT 1)"));
        }
        // One group.
        self.queries = self.queries.saturating_sub(1);
        self.scopes.push(Scope::default());
        let from = self.from(1);
        let condition = self.condition(2);
        let item = self.aggregate(kind);
        self.scopes.pop();
        let Some(item) = item else { return self.leaf(kind) };
        Tree::new(role)
            .text("(SELECT ")
            .tree(item)
            .tree(from)
            .tree(Tree::optional(" WHERE ", condition))
            .text(")")
    }

    /// A condition about a query.
    pub(super) fn query_condition(&mut self) -> Tree {
        let role = Role::Expression(Kind::Bool);
        let compared = |this: &mut Self, count: usize| -> (Vec<Kind>, Vec<Tree>, Tree) {
            let kinds: Vec<Kind> = (0..count).map(|_| this.ordered_kind()).collect();
            let sides = kinds.iter().map(|kind| this.expression(*kind, 1)).collect();
            let made = this.query(Some(&kinds), Use::Compared, 1);
            // One that may have many rows is planned otherwise than a short list.
            let tree = if this.below(2) == 0 {
                let name = this.name("q");
                Tree::new(Role::Query(kinds.clone()))
                    .text("SELECT * FROM (")
                    .tree(made.tree)
                    .text(format!(") AS {name} LIMIT 100000"))
            } else {
                made.tree
            };
            (kinds, sides, tree)
        };
        match self.below(9) {
            0..=2 => {
                let made = self.query(None, Use::Table, 1);
                let word = self.pick(&["EXISTS (", "EXISTS (", "NOT EXISTS ("]);
                Tree::new(role).text(word).tree(made.tree).text(")")
            }
            3..=5 => {
                let (_, mut sides, query) = compared(self, 1);
                let word = self.pick(&[" IN (", " IN (", " NOT IN ("]);
                let side = sides.remove(0);
                Tree::new(role).text("(").tree(side).text(word).tree(query).text("))")
            }
            6 => {
                let (_, mut sides, query) = compared(self, 1);
                let operator = self.pick(&["=", "<>", "<", ">="]);
                let word = self.pick(&["ANY", "ALL", "SOME"]);
                let side = sides.remove(0);
                Tree::new(role)
                    .text("(")
                    .tree(side)
                    .text(format!(" {operator} {word} ("))
                    .tree(query)
                    .text("))")
            }
            7 => {
                let (_, sides, query) = compared(self, 2);
                let word = self.pick(&[" IN (", " NOT IN ("]);
                let list = Tree::list(2, ", ", sides);
                Tree::new(role).text("((").tree(list).text(")").text(word).tree(query).text("))")
            }
            _ => {
                let (_, sides, query) = compared(self, 2);
                let operator = self.pick(&["=", "<", ">=", "<>"]);
                let name = self.name("q");
                let list = Tree::list(2, ", ", sides);
                Tree::new(role)
                    .text("((")
                    .tree(list)
                    .text(format!(") {operator} (SELECT * FROM ("))
                    .tree(query)
                    .text(format!(") AS {name} ORDER BY 1, 2 LIMIT 1))"))
            }
        }
    }
}
