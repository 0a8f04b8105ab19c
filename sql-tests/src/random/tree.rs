//! Statements as trees that can be made smaller: what a part is says what may take its place.

use super::kind::Kind;

/// What a tree stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Role {
    /// Words that belong together.
    Plain,
    /// An expression of a type: one inside of the same type may stand for it, or a literal.
    Expression(Kind),
    /// A query whose columns are of these types: one inside with the same may stand for it.
    Query(Vec<Kind>),
    /// A member of FROM: one inside may stand for it.
    Relation,
    /// May be left out.
    Optional,
    /// Members with something between them, of which some may be left out.
    List {
        /// So many stay.
        least: usize,
        /// What stands between two.
        glue: &'static str,
    },
    /// The select list: a list that [`Part::Places`] counts.
    Items,
    /// ORDER BY of the whole statement: by that many leading columns, or by all. May be left out.
    Order(Option<usize>),
}

/// One part of a tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// Words.
    Text(String),
    /// A tree.
    Tree(Tree),
    /// A value: a literal, or a parameter where the statement has parameters.
    Value {
        /// Its type.
        kind: Kind,
        /// Its text; none for NULL.
        value: Option<String>,
        /// Whether it may be sent apart from the statement.
        parameter: bool,
    },
    /// `1, 2, …`: the places of all columns of the select list of the same query.
    Places,
    /// The tree among this tree's parts that has this number, once more.
    Copy(usize),
}

/// A statement, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    /// What it stands for.
    pub(super) role: Role,
    /// In the order in which they are written.
    pub(super) parts: Vec<Part>,
}

/// A parameter's type and value.
pub(super) type Parameter = (Kind, Option<String>);

impl Tree {
    pub(super) fn new(role: Role) -> Self {
        Self { role, parts: Vec::new() }
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::new(Role::Plain).text(text)
    }

    pub(super) fn expression(kind: Kind, text: impl Into<String>) -> Self {
        Self::new(Role::Expression(kind)).text(text)
    }

    #[must_use]
    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    #[must_use]
    pub(super) fn tree(mut self, tree: Self) -> Self {
        self.parts.push(Part::Tree(tree));
        self
    }

    /// A list of trees.
    pub(super) fn list(least: usize, glue: &'static str, members: Vec<Self>) -> Self {
        let parts = members.into_iter().map(Part::Tree).collect();
        Self { role: Role::List { least, glue }, parts }
    }

    /// Text, then a tree, that may be left out together.
    pub(super) fn optional(before: &str, tree: Self) -> Self {
        Self::new(Role::Optional).text(before).tree(tree)
    }

    /// The statement in SQL with its literals in it.
    pub(super) fn sql(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, &mut None);
        out
    }

    /// The statement in SQL with `$1` and so on, and what they stand for.
    pub(super) fn sql_with_parameters(&self) -> (String, Vec<Parameter>) {
        let (mut out, mut parameters) = (String::new(), Some(Vec::new()));
        self.write(&mut out, 0, &mut parameters);
        (out, parameters.unwrap_or_default())
    }

    fn items(&self) -> Option<usize> {
        self.parts.iter().find_map(|part| match part {
            Part::Tree(tree) if tree.role == Role::Items => Some(tree.parts.len()),
            _ => None,
        })
    }

    fn write(&self, out: &mut String, places: usize, parameters: &mut Option<Vec<Parameter>>) {
        let places = self.items().unwrap_or(places);
        let glue = match self.role {
            Role::List { glue, .. } => glue,
            Role::Items => ", ",
            _ => "",
        };
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                out.push_str(glue);
            }
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Tree(tree) => tree.write(out, places, parameters),
                Part::Value { kind, value, parameter } => match parameters {
                    // Without its length a char(n) would not be padded.
                    Some(list) if *parameter && *kind != Kind::Char => {
                        list.push((*kind, value.clone()));
                        out.push_str(&format!("${}", list.len()));
                        if kind.oid() == 0 {
                            out.push_str(&format!("::{}", kind.sql()));
                        }
                    }
                    _ => out.push_str(&kind.literal(value.as_deref())),
                },
                Part::Places => {
                    let list: Vec<String> = (1..=places).map(|place| place.to_string()).collect();
                    out.push_str(&list.join(", "));
                }
                Part::Copy(which) => {
                    let trees = self.parts.iter().filter_map(|part| match part {
                        Part::Tree(tree) => Some(tree),
                        _ => None,
                    });
                    if let Some(tree) = trees.into_iter().nth(*which) {
                        // A parameter named twice would be two parameters, which no ORDER BY sees as the same.
                        tree.write(out, places, &mut None);
                    }
                }
            }
        }
    }

    /// The order that the whole statement asks for.
    pub(super) fn order(&self) -> Option<Option<usize>> {
        if let Role::Order(by) = &self.role {
            return Some(*by);
        }
        // What a subquery orders says nothing; those stand in parentheses, that is in trees of their own.
        self.parts.iter().find_map(|part| match part {
            Part::Tree(tree) if matches!(tree.role, Role::Order(_) | Role::Query(_)) => {
                tree.order()
            }
            _ => None,
        })
    }

    /// The same tree with one thing less, in every way, large steps first.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut found = Vec::new();
        self.collect(&mut |tree| found.push(tree));
        found.sort_by_key(Self::weight);
        found
    }

    fn weight(&self) -> usize {
        1 + self.parts.iter().fold(0, |sum, part| {
            sum + match part {
                Part::Tree(tree) => tree.weight(),
                Part::Text(text) => 1 + text.len() / 16,
                _ => 1,
            }
        })
    }

    fn collect(&self, give: &mut dyn FnMut(Self)) {
        match &self.role {
            Role::Optional | Role::Order(_) if !self.parts.is_empty() => {
                give(Self::new(Role::Plain));
            }
            Role::List { least, .. } if self.parts.len() > *least => {
                for place in 0..self.parts.len() {
                    let mut less = self.clone();
                    less.parts.remove(place);
                    give(less);
                }
            }
            Role::Items if self.parts.len() > 1 => {
                for place in 0..self.parts.len() {
                    let mut less = self.clone();
                    less.parts.remove(place);
                    give(less);
                }
            }
            Role::Expression(_) | Role::Query(_) | Role::Relation => {
                let mut inner = Vec::new();
                self.inside(&self.role, &mut inner);
                for tree in inner {
                    give(tree.clone());
                }
                if let Role::Expression(kind) = self.role
                    && self.weight() > 3
                {
                    let value = Some(kind.values()[0].to_owned());
                    let value = Part::Value { kind, value, parameter: false };
                    give(Self { role: self.role.clone(), parts: vec![value] });
                }
            }
            _ => {}
        }
        for (place, part) in self.parts.iter().enumerate() {
            if let Part::Tree(tree) = part {
                tree.collect(&mut |smaller| {
                    let mut whole = self.clone();
                    whole.parts[place] = Part::Tree(smaller);
                    give(whole);
                });
            }
        }
    }

    fn inside<'t>(&'t self, role: &Role, found: &mut Vec<&'t Self>) {
        for part in &self.parts {
            if let Part::Tree(tree) = part {
                if tree.role == *role {
                    found.push(tree);
                } else {
                    tree.inside(role, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> Tree {
        let column = |name: &str| Part::Tree(Tree::expression(Kind::Int4, name));
        let items = Tree { role: Role::Items, parts: vec![column("a"), column("b")] };
        let mut order = Tree::new(Role::Order(None)).text(" ORDER BY ");
        order.parts.push(Part::Places);
        Tree::new(Role::Query(vec![Kind::Int4; 2]))
            .text("SELECT ")
            .tree(items)
            .text(" FROM t")
            .tree(Tree::optional(" WHERE ", Tree::expression(Kind::Bool, "a > 1")))
            .tree(order)
    }

    #[test]
    fn is_made_smaller() {
        let found: Vec<String> = query().smaller().iter().map(Tree::sql).collect();
        let expected = [
            "SELECT a, b FROM t ORDER BY 1, 2",
            "SELECT b FROM t WHERE a > 1 ORDER BY 1",
            "SELECT a FROM t WHERE a > 1 ORDER BY 1",
            "SELECT a, b FROM t WHERE a > 1",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(expected.iter().all(|text| found.iter().any(|one| one == text)), "{found:?}");
        assert_eq!(query().order(), Some(None));
    }

    #[test]
    fn values_become_parameters() {
        let value = |value: &str, parameter| Part::Value {
            kind: Kind::Int4,
            value: Some(value.to_owned()),
            parameter,
        };
        let parts = vec![value("1", true), Part::Text(" + ".to_owned()), value("2", false)];
        let tree = Tree { role: Role::Plain, parts };
        assert_eq!(tree.sql(), "1 + 2");
        let (sql, parameters) = tree.sql_with_parameters();
        assert_eq!(sql, "$1 + 2");
        assert_eq!(parameters, [(Kind::Int4, Some("1".to_owned()))]);
    }
}
