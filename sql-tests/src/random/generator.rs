//! Makes expressions: the scopes that are visible, and what may stand where.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::kind::Kind;
use super::template::{AGGREGATES, EXPRESSIONS, OF_ANY, OF_ORDERED};
use super::tree::{Part, Role, Tree};

/// Something that an expression can name.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// How it is written.
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// What one query's expressions can name.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<Column>,
    /// What makes a row's place certain among all rows, but for rows that are the same.
    pub(super) order: Vec<String>,
    /// Inside of aggregates these stand for `columns`; set where aggregates may stand.
    pub(super) grouped: Option<Vec<Column>>,
    /// A relation may have rows that are the same.
    pub(super) repeats: bool,
    /// A window call has given every row a place: of rows that are the same, one or the other.
    pub(super) placed: bool,
    /// Window calls may stand here.
    pub(super) windows: bool,
    /// Those of `columns` that queries inside may name; all of them when none.
    pub(super) inside: Option<Vec<Column>>,
}

/// A name of WITH.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) name: String,
    pub(super) columns: Vec<(String, Kind)>,
}

/// Makes statements.
pub(super) struct Generator {
    pub(super) rng: StdRng,
    /// The query's own scope is the last one.
    pub(super) scopes: Vec<Scope>,
    pub(super) commons: Vec<Common>,
    pub(super) names: usize,
    /// How many queries may still be made for this statement.
    pub(super) queries: usize,
    /// How many expressions may still be made of others.
    pub(super) size: usize,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            scopes: Vec::new(),
            commons: Vec::new(),
            names: 0,
            queries: 0,
            size: 0,
        }
    }

    /// Forgets the last statement.
    pub(super) fn begin(&mut self) {
        self.scopes.clear();
        self.commons.clear();
        self.names = 0;
        self.queries = self.pick(&[1, 2, 3, 5]);
        self.size = self.pick(&[4, 10, 25]);
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.rng.random_range(0..bound)
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn kind(&mut self) -> Kind {
        self.pick(&Kind::CHOICE)
    }

    pub(super) fn ordered_kind(&mut self) -> Kind {
        loop {
            let kind = self.kind();
            if kind.is_ordered() {
                return kind;
            }
        }
    }

    /// A name that the statement does not have yet.
    pub(super) fn name(&mut self, letter: &str) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    pub(super) fn scope(&mut self) -> &mut Scope {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    /// A value of a type.
    pub(super) fn value(&mut self, kind: Kind) -> Tree {
        let value = if self.chance(10) { None } else { Some(self.pick(kind.values()).to_owned()) };
        let parts = vec![Part::Value { kind, value, parameter: true }];
        Tree { role: Role::Expression(kind), parts }
    }

    /// A column of the type, of this query or one around it.
    fn column(&mut self, kind: Kind) -> Option<String> {
        let last = self.scopes.len().saturating_sub(1);
        let outer = last > 0 && self.chance(25);
        let place = if outer { self.below(last) } else { last };
        let scope = self.scopes.get(place)?;
        let columns = if outer { scope.inside.as_ref() } else { None };
        let columns: Vec<&Column> =
            columns.unwrap_or(&scope.columns).iter().filter(|column| column.kind == kind).collect();
        if columns.is_empty() {
            return None;
        }
        let which = self.rng.random_range(0..columns.len());
        Some(columns[which].text.clone())
    }

    /// A column or a value.
    pub(super) fn leaf(&mut self, kind: Kind) -> Tree {
        if self.chance(85)
            && let Some(column) = self.column(kind)
        {
            return Tree::expression(kind, column);
        }
        self.value(kind)
    }

    /// Any expression of a type.
    pub(super) fn expression(&mut self, kind: Kind, depth: usize) -> Tree {
        if depth == 0 || self.size == 0 {
            return self.leaf(kind);
        }
        let grouped = self.scopes.last().is_some_and(|scope| scope.grouped.is_some());
        let windows = self.scopes.last().is_some_and(|scope| scope.windows);
        let draw = self.below(100);
        if grouped
            && draw < 45
            && let Some(call) = self.aggregate(kind)
        {
            return call;
        }
        if windows
            && draw < 50
            && let Some(call) = self.window_call(kind)
        {
            return call;
        }
        if draw < 58 {
            return self.leaf(kind);
        }
        if draw < 64 && self.queries > 0 {
            return self.scalar_query(kind);
        }
        if kind == Kind::Bool && draw < 74 && self.queries > 0 {
            return self.query_condition();
        }
        self.size -= 1;
        let own = EXPRESSIONS.iter().find(|(of, _)| *of == kind).map_or(&[][..], |(_, all)| *all);
        let any = self.below(own.len() + 3);
        let template = match own.get(any) {
            Some(template) => *template,
            None if kind.is_ordered() && self.chance(40) => self.pick(OF_ORDERED),
            None => self.pick(OF_ANY),
        };
        self.template(kind, template, depth)
    }

    /// An expression from a template.
    pub(super) fn template(&mut self, kind: Kind, template: &str, depth: usize) -> Tree {
        let mut tree = Tree::new(Role::Expression(kind));
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            // A brace that opens no place is a text's own.
            let Some((code, behind)) = after.split_once('}') else { break };
            let (name, inside) = match code.strip_suffix('0') {
                Some(name) if Kind::of(name).is_some() => (name, 0),
                _ => (code, depth.saturating_sub(1)),
            };
            let part = match name {
                "T" => Some(Part::Tree(self.expression(kind, inside))),
                "small" => Some(Part::Text(self.below(10).to_string())),
                "op" => {
                    Some(Part::Text(self.pick(&["=", "=", "<>", "<", "<=", ">", ">="]).to_owned()))
                }
                "=0" => Some(Part::Copy(0)),
                name => Kind::of(name).map(|kind| Part::Tree(self.expression(kind, inside))),
            };
            match part {
                Some(part) => {
                    tree.parts.push(Part::Text(before.to_owned()));
                    tree.parts.push(part);
                    rest = behind;
                }
                None => {
                    tree.parts.push(Part::Text(format!("{before}{{")));
                    rest = after;
                }
            }
        }
        tree.text(rest)
    }

    /// The same value in one form only: values that are equal may look different (`0` and `0.0`), and of those either may stand
    /// for a group.
    pub(super) fn canonical(&mut self, kind: Kind, tree: Tree) -> (Kind, Tree) {
        // Not as expressions: what is inside may not take their place.
        let around = |before: &str, after: &str| Tree::plain(before).tree(tree.clone()).text(after);
        match kind {
            Kind::Numeric => (kind, around("trim_scale(", ")")),
            Kind::Interval => (kind, around("justify_interval(", ")")),
            Kind::Json => (Kind::Text, around("(", ")::text")),
            _ => (kind, tree),
        }
    }

    /// An expression to group, order or compare rows by.
    pub(super) fn key(&mut self, depth: usize) -> (Kind, Tree) {
        let kind = self.ordered_kind();
        let tree = self.expression(kind, depth);
        self.canonical(kind, tree)
    }

    /// A key that names a column; none when it happens not to.
    pub(super) fn column_key(&mut self, depth: usize) -> Option<(Kind, Tree)> {
        let (kind, tree) = self.key(depth);
        // A bare number would be a place in the select list.
        tree.sql().contains('.').then_some((kind, tree))
    }

    /// A condition.
    pub(super) fn condition(&mut self, depth: usize) -> Tree {
        self.expression(Kind::Bool, depth)
    }

    /// Inside of an aggregate: the rows' own columns, and nothing of the queries around.
    fn inside_aggregate<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        let mut scope = std::mem::take(self.scope());
        let columns = scope.grouped.clone().unwrap_or_else(|| scope.columns.clone());
        let kept = std::mem::take(&mut self.scopes);
        let queries = std::mem::replace(&mut self.queries, 0);
        self.scopes = vec![Scope { columns, ..Scope::default() }];
        let made = make(self);
        self.scopes = kept;
        self.queries = queries;
        std::mem::swap(self.scope(), &mut scope);
        made
    }

    /// An aggregate call of a type.
    pub(super) fn aggregate(&mut self, kind: Kind) -> Option<Tree> {
        let able: Vec<&str> =
            AGGREGATES.iter().filter(|(of, _)| *of == kind).map(|(_, text)| *text).collect();
        let extreme = kind.has_extremes() && (able.is_empty() || self.chance(25));
        let text = if extreme {
            self.pick(&["max({T})", "min({T})"])
        } else if able.is_empty() {
            return None;
        } else {
            self.pick(&able)
        };
        let filter = self.chance(15) && !text.contains(":") && !text.contains("scale(");
        let filter = filter && !text.contains("round(");
        let call = self.inside_aggregate(|this| {
            let mut call = this.template(kind, text, 2);
            if filter {
                let condition = this.condition(1);
                call = call.tree(Tree::optional(" FILTER (WHERE ", condition.text(")")));
            }
            call
        });
        Some(if extreme { self.canonical(kind, call).1 } else { call })
    }

    /// A window call's own parts: nothing of the queries around, no window inside.
    pub(super) fn inside_window<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        let windows = std::mem::replace(&mut self.scope().windows, false);
        let queries = std::mem::replace(&mut self.queries, 0);
        let made = make(self);
        self.scope().windows = windows;
        self.queries = queries;
        made
    }
}
