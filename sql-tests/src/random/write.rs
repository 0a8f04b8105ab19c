//! Makes INSERT, UPDATE and DELETE.

use super::generator::{Generator, Scope};
use super::kind::Kind;
use super::query::Use;
use super::schema::{TABLES, Table};
use super::tree::{Part, Role, Tree};

impl Generator {
    /// A write, and the table that it changes.
    pub(super) fn write(&mut self) -> (&'static str, usize, Tree) {
        let which = self.below(TABLES.len());
        let with = if self.chance(30) { self.with() } else { None };
        let (kind, tree) = match self.below(10) {
            0..=2 => ("insert", self.insert(&TABLES[which])),
            3 | 4 => ("insert select", self.insert_select(&TABLES[which])),
            5 | 6 => self.update(&TABLES[which]),
            7 => self.update(&TABLES[which]),
            _ => self.delete(&TABLES[which]),
        };
        let tree = match with {
            Some(with) => Tree::plain("").tree(with).tree(tree),
            None => tree,
        };
        (kind, which, tree)
    }

    /// Some columns of a table, the key always among them.
    fn columns(&mut self, table: &Table) -> Vec<(&'static str, Kind)> {
        let mut columns = Vec::new();
        for (place, (name, _, kind)) in table.columns.iter().enumerate() {
            if place < table.key || self.chance(60) {
                columns.push((*name, *kind));
            }
        }
        columns
    }

    fn insert(&mut self, table: &Table) -> Tree {
        let columns = self.columns(table);
        self.scopes.push(Scope::default());
        let rows = (0..1 + self.below(3))
            .map(|_| {
                let values = columns
                    .iter()
                    .enumerate()
                    .map(|(place, (_, kind))| {
                        if place < table.key {
                            self.key_value(*kind)
                        } else if self.chance(12) {
                            Tree::plain("DEFAULT")
                        } else {
                            let depth = if self.chance(70) { 0 } else { 2 };
                            self.expression(*kind, depth)
                        }
                    })
                    .collect();
                let list = Tree::list(columns.len(), ", ", values);
                Tree::plain("(").tree(list).text(")")
            })
            .collect();
        self.scopes.pop();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let tree =
            Tree::plain(format!("INSERT INTO {} ({}) VALUES ", table.name, names.join(", ")))
                .tree(Tree::list(1, ", ", rows));
        let conflict = self.conflict(table);
        let returning = self.returning(table, table.name);
        tree.tree(conflict).tree(returning)
    }

    fn key_value(&mut self, kind: Kind) -> Tree {
        let value = match kind {
            Kind::Text => format!("{}{}", self.pick(&["a", "b", "zz", "A"]), self.below(9)),
            _ => self.below(40).to_string(),
        };
        let part = Part::Value { kind, value: Some(value), parameter: true };
        Tree { role: Role::Expression(kind), parts: vec![part] }
    }

    fn insert_select(&mut self, table: &Table) -> Tree {
        let columns = self.columns(table);
        let kinds: Vec<Kind> = columns.iter().map(|(_, kind)| *kind).collect();
        self.scopes.push(Scope::default());
        let from = self.from(1);
        let condition = self.condition(2);
        let mut items = Tree::new(Role::Plain);
        for (place, kind) in kinds.iter().enumerate() {
            if place > 0 {
                items = items.text(", ");
            }
            let item = self.expression(*kind, 2);
            let item = self.canonical(*kind, item).1;
            let item = if place < table.key {
                let other = match kind {
                    Kind::Text => "'none'".to_owned(),
                    _ => self.below(40).to_string(),
                };
                Tree::plain("coalesce(").tree(item).text(format!(", {other})"))
            } else if *kind == Kind::Json {
                Tree::plain("(").tree(item).text(")::json")
            } else {
                item
            };
            items = items.tree(item);
        }
        self.scopes.pop();
        // One row for each key, decided by the order.
        let key: Vec<String> = (1..=table.key).map(|place| place.to_string()).collect();
        let order: Vec<String> = kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| kind.is_ordered())
            .map(|(place, _)| (place + 1).to_string())
            .collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut order = order.join(", ");
        if kinds.contains(&Kind::Json) {
            // Rows that differ in what has no order only: none of them stays.
            order = String::from("1");
        }
        let head = format!("INSERT INTO {} ({}) ", table.name, names.join(", "));
        let tree = if kinds.contains(&Kind::Json) {
            Tree::plain(head).text("SELECT ").tree(items)
        } else {
            Tree::plain(head).text(format!("SELECT DISTINCT ON ({}) ", key.join(", "))).tree(items)
        };
        let mut tree = tree.tree(from).tree(Tree::optional(" WHERE ", condition));
        if !kinds.contains(&Kind::Json) {
            tree = tree.text(format!(" ORDER BY {order}"));
        }
        let conflict =
            if kinds.contains(&Kind::Json) { Tree::plain("") } else { self.conflict(table) };
        let returning = self.returning(table, table.name);
        tree.tree(conflict).tree(returning)
    }

    fn conflict(&mut self, table: &Table) -> Tree {
        let key = table.key_names().join(", ");
        match self.below(4) {
            0 => Tree::optional(" ON CONFLICT DO NOTHING", Tree::plain("")),
            1 => Tree::optional(&format!(" ON CONFLICT ({key}) DO NOTHING"), Tree::plain("")),
            2 => {
                let (name, _, kind) =
                    table.columns[table.key + self.below(table.columns.len() - table.key)];
                self.scopes.push(Scope::default());
                let named = |(name, _, kind): &(&str, &str, Kind)| ((*name).to_owned(), *kind);
                let columns: Vec<(String, Kind)> = table.columns.iter().map(named).collect();
                self.add(table.name, &columns, Some(table.key));
                self.add("excluded", &columns, Some(table.key));
                let value = self.expression(kind, 2);
                let condition = if self.chance(30) {
                    Tree::optional(" WHERE ", self.condition(1))
                } else {
                    Tree::plain("")
                };
                self.scopes.pop();
                Tree::optional(&format!(" ON CONFLICT ({key}) DO UPDATE SET {name} = "), value)
                    .tree(condition)
            }
            _ => Tree::plain(""),
        }
    }

    fn returning(&mut self, table: &Table, alias: &str) -> Tree {
        if !self.chance(45) {
            return Tree::plain("");
        }
        if self.chance(20) {
            return Tree::optional(" RETURNING ", Tree::plain(format!("{alias}.*")));
        }
        self.scopes.push(Scope::default());
        let columns: Vec<(String, Kind)> =
            table.columns.iter().map(|(name, _, kind)| ((*name).to_owned(), *kind)).collect();
        self.add(alias, &columns, Some(table.key));
        let queries = std::mem::replace(&mut self.queries, 0);
        let items = (0..1 + self.below(3))
            .map(|_| {
                let kind = self.kind();
                self.expression(kind, 2)
            })
            .collect();
        self.queries = queries;
        self.scopes.pop();
        Tree::optional(" RETURNING ", Tree::list(1, ", ", items))
    }

    /// Another table, joined by its key so that each row meets one row at most: its FROM text and the condition.
    fn partner(&mut self, alias: &str) -> (String, String, &'static Table) {
        let table = &TABLES[self.pick(&[0, 1, 2, 3, 4, 5])];
        let other = self.name("t");
        let own = self.scope().columns.clone();
        let mut members = Vec::new();
        for (name, _, kind) in &table.columns[..table.key] {
            let kinds: &[Kind] = match kind {
                Kind::Text => &[Kind::Text, Kind::Varchar, Kind::Char],
                _ => &[Kind::Int4, Kind::Int8, Kind::Int2],
            };
            let able: Vec<&str> = own
                .iter()
                .filter(|column| kinds.contains(&column.kind))
                .map(|column| column.text.as_str())
                .collect();
            let side =
                if able.is_empty() { "NULL".to_owned() } else { self.pick(&able).to_owned() };
            members.push(format!("{other}.{name} = {side}"));
        }
        let _ = alias;
        let columns: Vec<(String, Kind)> =
            table.columns.iter().map(|(name, _, kind)| ((*name).to_owned(), *kind)).collect();
        self.add(&other, &columns, Some(table.key));
        (format!("{} AS {other}", table.name), members.join(" AND "), table)
    }

    fn update(&mut self, table: &'static Table) -> (&'static str, Tree) {
        let alias = self.name("t");
        let columns: Vec<(String, Kind)> =
            table.columns.iter().map(|(name, _, kind)| ((*name).to_owned(), *kind)).collect();
        self.scopes.push(Scope::default());
        self.add(&alias, &columns, Some(table.key));
        let partner = if self.chance(40) { Some(self.partner(&alias)) } else { None };
        let mut sets = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..1 + self.below(2) {
            // The key, now and then: most of its changes are refused or not unique.
            let from = if self.chance(6) { 0 } else { table.key };
            let place = from + self.below(table.columns.len() - from);
            if taken.contains(&place) {
                continue;
            }
            taken.push(place);
            let (name, _, kind) = table.columns[place];
            let value = self.expression(kind, 3);
            sets.push(Tree::plain(format!("{name} = ")).tree(value));
        }
        if self.queries > 0 && self.chance(10) && taken.len() == 1 {
            let (name, _, kind) = table.columns[taken[0]];
            let made = self.query(Some(&[kind]), Use::Compared, 1);
            let alias = self.name("q");
            if kind.is_ordered() {
                sets = vec![
                    Tree::plain(format!("({name}) = ROW((SELECT * FROM ("))
                        .tree(made.tree)
                        .text(format!(") AS {alias} ORDER BY 1 LIMIT 1))")),
                ];
            }
        }
        let mut tree = Tree::plain(format!("UPDATE {} AS {alias} SET ", table.name))
            .tree(Tree::list(1, ", ", sets));
        let mut kind = "update";
        if let Some((from, joined, _)) = partner {
            kind = "update from";
            tree = tree.text(format!(" FROM {from} WHERE {joined}"));
            if self.chance(60) {
                tree = tree.tree(Tree::optional(" AND ", self.condition(2)));
            }
        } else if self.chance(80) {
            tree = tree.tree(Tree::optional(" WHERE ", self.condition(3)));
        }
        self.scopes.pop();
        let returning = self.returning(table, &alias);
        (kind, tree.tree(returning))
    }

    fn delete(&mut self, table: &'static Table) -> (&'static str, Tree) {
        let alias = self.name("t");
        let columns: Vec<(String, Kind)> =
            table.columns.iter().map(|(name, _, kind)| ((*name).to_owned(), *kind)).collect();
        self.scopes.push(Scope::default());
        self.add(&alias, &columns, Some(table.key));
        let mut tree = Tree::plain(format!("DELETE FROM {} AS {alias}", table.name));
        let mut kind = "delete";
        if self.chance(45) {
            kind = "delete using";
            if self.chance(50) {
                let (from, joined, _) = self.partner(&alias);
                tree = tree.text(format!(" USING {from} WHERE {joined}"));
            } else {
                let own = std::mem::take(&mut self.scope().columns);
                let using = self.relation(1, false);
                self.scope().columns.extend(own);
                tree = tree.text(" USING ").tree(using).text(" WHERE ").tree(self.condition(2));
            }
            if self.chance(60) {
                tree = tree.tree(Tree::optional(" AND ", self.condition(2)));
            }
        } else {
            // Not all rows, mostly.
            tree = tree.text(" WHERE ").tree(self.condition(3));
        }
        self.scopes.pop();
        let returning = self.returning(table, &alias);
        (kind, tree.tree(returning))
    }

    /// A statement in which some rows may raise an error, one only.
    pub(super) fn raising(&mut self) -> Tree {
        self.queries = 0;
        self.scopes.push(Scope::default());
        let table = &TABLES[self.below(TABLES.len())];
        let alias = self.name("t");
        let columns: Vec<(String, Kind)> =
            table.columns.iter().map(|(name, _, kind)| ((*name).to_owned(), *kind)).collect();
        self.add(&alias, &columns, Some(table.key));
        let template = self.pick(super::template::RAISING);
        let raising = self.template(Kind::Text, template, 1);
        self.scopes.pop();
        let from = format!(" FROM {} AS {alias}", table.name);
        match self.below(5) {
            0 if !template.contains("OVER") => {
                Tree::plain("SELECT count(").tree(raising).text(format!("){from}"))
            }
            1 if !template.contains("OVER") => {
                Tree::plain(format!("SELECT 1{from} WHERE ")).tree(raising).text(" IS NULL")
            }
            _ => Tree::plain("SELECT ").tree(raising).text(from),
        }
    }
}
