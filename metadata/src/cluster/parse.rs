//! TOML → [`ClusterFile`], with every mistake named.

use std::collections::HashMap;

use toml::de::{DeTable, DeValue};

use super::section::{FILE_TITLE, Parser, Section, Text, nearest};
use super::{
    ClusterFile, ClusterFileError, DEFAULT_NAME, DatabaseEntry, DatastoreEntry, Placed, ShardEntry,
    VSHARDS_DEFAULT,
};
use crate::check::VSHARDS_MAX;
use crate::id::{DatabaseId, DatasourceId, DatastoreId, NodeId};
use crate::snapshot::Snapshot;
use crate::topology::{Datasource, Engine, Node};

impl ClusterFile {
    /// Parses and checks a cluster file; `file` names it in messages.
    ///
    /// # Errors
    /// All mistakes that it has.
    pub fn parse(file: &str, text: &str) -> Result<Self, ClusterFileError> {
        let mut parser = Parser { file, text, mistakes: Vec::new() };
        let parsed = parser.file();
        let mut mistakes = parser.mistakes;
        let Some(parsed) = parsed.filter(|_| mistakes.is_empty()) else {
            mistakes.sort_by_key(|mistake| mistake.line);
            return Err(ClusterFileError { mistakes });
        };
        // Whatever rule is left is one of the metadata's.
        parsed.changes_against(&Snapshot::empty())?;
        Ok(parsed)
    }
}

const FILE_KEYS: &[&str] = &["node", "datastore", "database"];
const NODE_KEYS: &[&str] = &["name", "agent", "agent_password", "agent_ca", "datasource"];
const DATASOURCE_KEYS: &[&str] = &["name", "engine", "url"];
const DATASTORE_KEYS: &[&str] = &["name", "vshards", "replication", "shard"];
const SHARD_KEYS: &[&str] = &["primary", "replicas"];
const DATABASE_KEYS: &[&str] = &["name", "datastore", "shard_keys", "owner"];
const ENGINES: &[&str] = &["postgres", "sqlite", "mysql", "mongodb"];

/// A datasource of the file, and where it is.
#[derive(Clone)]
struct Place {
    id: DatasourceId,
    url: String,
    engine: Engine,
}

impl Parser<'_> {
    fn file(&mut self) -> Option<ClusterFile> {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map(|span| self.line(&span));
                let problem = format!("is not TOML: {}", error.message());
                let remedy = "Correct the line; strings stand in double quotes, and each node, datastore and \
                              database begins with [[node]], [[datastore]] or [[database]].";
                self.add(line, problem, remedy);
                return None;
            }
        };
        let root = self.section(FILE_TITLE, 1, table.get_ref(), FILE_KEYS);
        let nodes = self.nodes(&root);
        let datastores = self.datastores(&root, &nodes);
        let databases = self.databases(&root, &datastores);
        Some(ClusterFile { file: self.file.to_owned(), nodes, datastores, databases })
    }

    fn nodes(&mut self, root: &Section<'_>) -> Vec<Placed<Node>> {
        let mut nodes: Vec<Placed<Node>> = Vec::new();
        for section in self.sections(root, "node", "[[node]]", NODE_KEYS) {
            let Some(name) = self.name(&section) else { continue };
            if let Some(other) = nodes.iter().find(|other| other.value.id.0 == name.text) {
                self.duplicate(&name, "node", other.line);
            }
            let mut datasources: Vec<Datasource> = Vec::new();
            for section in
                self.sections(&section, "datasource", "[[node.datasource]]", DATASOURCE_KEYS)
            {
                let Some(datasource) = self.datasource(&section) else { continue };
                if datasources.iter().any(|other| other.name == datasource.name) {
                    let problem = format!(
                        "node \"{}\" has two datasources \"{}\"",
                        name.text, datasource.name
                    );
                    self.add(
                        section.line,
                        problem,
                        "Give each datasource of a node a name of its own.",
                    );
                }
                datasources.push(datasource);
            }
            let agent = self.text(&section, "agent").map(|agent| {
                if !is_address(&agent.text) {
                    let problem = format!("agent \"{}\" is not an address", agent.text);
                    let remedy = "Write `agent = \"HOST:PORT\"`, or leave it out for an agent inside `dataman up`.";
                    self.add(agent.line, problem, remedy);
                }
                agent.text
            });
            let mut guard = |key: &str| {
                let found = self.text(&section, key)?;
                if agent.is_none() {
                    let problem = format!("{key} is for a node whose agent has an address");
                    self.add(found.line, problem, "Add `agent = \"HOST:PORT\"`, or leave it out.");
                }
                Some(found.text)
            };
            let (agent_password, agent_ca) = (guard("agent_password"), guard("agent_ca"));
            let id = NodeId(name.text);
            let node = Node { id, agent, agent_password, agent_ca, datasources };
            nodes.push(Placed { line: Some(section.line), value: node });
        }
        nodes
    }

    fn datasource(&mut self, section: &Section<'_>) -> Option<Datasource> {
        let name = self.name(section);
        let engine = self.required_text(section, "engine", "engine = \"postgres\"");
        let url =
            self.required_text(section, "url", "url = \"postgres://user@host:5432/database\"");
        let engine = self.engine(&engine?)?;
        let (name, url) = (name?, url?);
        self.check_url(engine, &url);
        Some(Datasource { name: name.text, engine, url: url.text })
    }

    fn engine(&mut self, engine: &Text) -> Option<Engine> {
        match engine.text.as_str() {
            "postgres" => Some(Engine::Postgres),
            "sqlite" => Some(Engine::Sqlite),
            "mysql" => Some(Engine::Mysql),
            "mongodb" => Some(Engine::Mongodb),
            other => {
                let remedy = match nearest(other, ENGINES) {
                    Some(near) => format!("Did you mean \"{near}\"?"),
                    None => "Use \"postgres\", \"mysql\", \"mongodb\" or \"sqlite\".".to_owned(),
                };
                self.add(engine.line, format!("unknown engine \"{other}\""), remedy);
                None
            }
        }
    }

    fn check_url(&mut self, engine: Engine, url: &Text) {
        let text = url.text.as_str();
        // What stands in ${…} is known only where the agent runs.
        if text.matches("${").count()
            != text.split("${").skip(1).filter(|rest| rest.contains('}')).count()
        {
            self.add(
                url.line,
                format!("url \"{text}\" has \"${{\" without \"}}\""),
                "Write ${NAME} for a variable.",
            );
            return;
        }
        if text.is_empty() {
            self.add(url.line, "the url is empty", "Say where the database is.");
            return;
        }
        if text.starts_with("${") {
            return;
        }
        match engine {
            Engine::Postgres => {
                let rest = ["postgres://", "postgresql://"]
                    .iter()
                    .find_map(|scheme| text.strip_prefix(scheme));
                if rest.is_none_or(str::is_empty) {
                    let problem = format!(
                        "url \"{}\" is not one of engine \"postgres\"",
                        without_password(text)
                    );
                    self.add(
                        url.line,
                        problem,
                        "Write `url = \"postgres://user:password@host:5432/database\"`.",
                    );
                }
            }
            Engine::Sqlite => {
                if text.contains("://") || text.starts_with("file:") {
                    let problem = format!(
                        "url \"{}\" is not one of engine \"sqlite\"",
                        without_password(text)
                    );
                    self.add(
                        url.line,
                        problem,
                        "Write the path of a folder, `url = \"./data/shard0\"`.",
                    );
                }
            }
            Engine::Mysql => {
                let rest =
                    ["mysql://", "mariadb://"].iter().find_map(|scheme| text.strip_prefix(scheme));
                if rest.is_none_or(str::is_empty) {
                    let problem = format!(
                        "url \"{}\" is not one of engine \"mysql\"",
                        without_password(text)
                    );
                    self.add(
                        url.line,
                        problem,
                        "Write `url = \"mysql://user:password@host:3306/\"`.",
                    );
                }
            }
            Engine::Mongodb => {
                if text.strip_prefix("mongodb://").is_none_or(str::is_empty) {
                    let problem = format!(
                        "url \"{}\" is not one of engine \"mongodb\"",
                        without_password(text)
                    );
                    self.add(
                        url.line,
                        problem,
                        "Write `url = \"mongodb://user:password@host:27017/?replicaSet=name\"`.",
                    );
                }
            }
        }
    }

    fn datastores(
        &mut self,
        root: &Section<'_>,
        nodes: &[Placed<Node>],
    ) -> Vec<Placed<DatastoreEntry>> {
        let known = nodes.iter().flat_map(|node| {
            let node = &node.value;
            node.datasources.iter().map(|datasource| {
                let id = DatasourceId { node: node.id.clone(), name: datasource.name.clone() };
                let (url, engine) = (datasource.url.clone(), datasource.engine);
                (id.to_string(), Place { id, url, engine })
            })
        });
        let known = known.collect::<HashMap<_, _>>();
        let mut instances = HashMap::new();
        let mut datastores: Vec<Placed<DatastoreEntry>> = Vec::new();
        for section in self.sections(root, "datastore", "[[datastore]]", DATASTORE_KEYS) {
            let Some(name) = self.name(&section) else { continue };
            if let Some(other) = datastores.iter().find(|other| other.value.id.0 == name.text) {
                self.duplicate(&name, "datastore", other.line);
                continue;
            }
            self.check_replication(&section);
            let shards = self.sections(&section, "shard", "[[datastore.shard]]", SHARD_KEYS);
            let mut entries = Vec::new();
            for (place, shard) in shards.iter().enumerate() {
                let Some((primary, replicas)) = self.copies(shard, &known) else { continue };
                for copy in std::iter::once(&primary).chain(&replicas) {
                    // The same place under two names is still the same place, and the shards' tables would mix.
                    let instance = (copy.id.node.clone(), copy.url.clone(), place);
                    if let Some(other) = instances.insert(instance, name.text.clone()) {
                        let problem = format!(
                            "shard {place} is where shard {place} of datastore \"{other}\" is: their tables would mix"
                        );
                        self.add(
                            shard.line,
                            problem,
                            "Give each datastore databases or folders of its own.",
                        );
                    }
                }
                let replicas = replicas.into_iter().map(|replica| replica.id).collect();
                entries.push(ShardEntry { primary: primary.id, replicas });
            }
            if shards.is_empty() {
                let problem = format!("datastore \"{}\" has no shards", name.text);
                self.add(
                    section.line,
                    problem,
                    "Add a [[datastore.shard]] with `primary = \"NODE/DATASOURCE\"`.",
                );
            }
            let vshards = self.vshards(&section, shards.len());
            let value = DatastoreEntry { id: DatastoreId(name.text), vshards, shards: entries };
            datastores.push(Placed { line: Some(section.line), value });
        }
        datastores
    }

    /// A shard's primary and its replicas.
    fn copies(
        &mut self,
        shard: &Section<'_>,
        known: &HashMap<String, Place>,
    ) -> Option<(Place, Vec<Place>)> {
        let replicas = self.texts(shard, "replicas");
        let primary = self.required_text(shard, "primary", "primary = \"NODE/DATASOURCE\"")?;
        let primary = self.copy("primary", primary, known)?;
        let line = shard.entry("replicas").map_or(shard.line, |entry| entry.line);
        let mut copies = Vec::new();
        for text in replicas {
            let Some(replica) = self.copy("replica", Text { line, text }, known) else { continue };
            if replica.engine != primary.engine {
                let problem = format!(
                    "replica \"{}\" is of another engine than its primary, which cannot copy to it",
                    replica.id
                );
                self.add(line, problem, "Name datasources of one engine.");
            } else if let Some((problem, remedy)) = unread(replica.engine) {
                self.add(line, problem.to_owned(), remedy);
            } else if replica.id == primary.id
                || copies.iter().any(|other: &Place| other.id == replica.id)
            {
                let problem = format!("\"{}\" is there twice as a copy of the shard", replica.id);
                self.add(line, problem, "Name each datasource once.");
            } else {
                copies.push(replica);
            }
        }
        Some((primary, copies))
    }

    /// The datasource that a copy names.
    fn copy(&mut self, what: &str, text: Text, known: &HashMap<String, Place>) -> Option<Place> {
        if let Some(found) = known.get(&text.text) {
            return Some(found.clone());
        }
        let problem = format!("{what} \"{}\" names no datasource of this file", text.text);
        let names = known.keys().map(String::as_str).collect::<Vec<_>>();
        let remedy = match nearest(&text.text, &names) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => {
                "Write NODE/DATASOURCE as [[node]] and [[node.datasource]] name them.".to_owned()
            }
        };
        self.add(text.line, problem, remedy);
        None
    }

    fn check_replication(&mut self, section: &Section<'_>) {
        let Some(replication) = self.text(section, "replication") else { return };
        match replication.text.as_str() {
            "native" => {}
            "dataman" => {
                let problem = "replication \"dataman\" is not supported yet";
                self.add(replication.line, problem, "Leave `replication` out.");
            }
            other => {
                let problem = format!("unknown replication \"{other}\"");
                self.add(replication.line, problem, "Write \"native\", or leave it out.");
            }
        }
    }

    fn vshards(&mut self, section: &Section<'_>, shards: usize) -> u32 {
        let least = u32::try_from(shards).unwrap_or(u32::MAX).max(1);
        let Some(entry) = section.entry("vshards") else {
            if least > VSHARDS_DEFAULT {
                let problem = format!(
                    "{shards} shards are more than the {VSHARDS_DEFAULT} vshards that are the default"
                );
                self.add(
                    section.line,
                    problem,
                    format!("Write `vshards = N` with N up to {VSHARDS_MAX}."),
                );
            }
            return VSHARDS_DEFAULT;
        };
        let number = match entry.value {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let vshards = number.and_then(|number| u32::try_from(number).ok());
        match vshards.filter(|vshards| (least..=VSHARDS_MAX).contains(vshards)) {
            Some(vshards) => vshards,
            None => {
                let given = self.text[entry.value_span.clone()].to_owned();
                let problem =
                    format!("vshards {given} is not a number from {least} to {VSHARDS_MAX}");
                let remedy = "Write `vshards = 4096`, or leave it out; it needs at least one for each shard.";
                self.add(entry.line, problem, remedy);
                VSHARDS_DEFAULT
            }
        }
    }

    fn databases(
        &mut self,
        root: &Section<'_>,
        datastores: &[Placed<DatastoreEntry>],
    ) -> Vec<Placed<DatabaseEntry>> {
        let mut databases: Vec<Placed<DatabaseEntry>> = Vec::new();
        for section in self.sections(root, "database", "[[database]]", DATABASE_KEYS) {
            let Some(name) = self.name(&section) else { continue };
            if let Some(other) = databases.iter().find(|other| other.value.id.0 == name.text) {
                self.duplicate(&name, "database", other.line);
            }
            let names = datastores
                .iter()
                .map(|datastore| datastore.value.id.0.as_str())
                .collect::<Vec<_>>();
            let example = format!("datastore = \"{}\"", names.first().unwrap_or(&"NAME"));
            let Some(datastore) = self.required_text(&section, "datastore", &example) else {
                continue;
            };
            if !names.contains(&datastore.text.as_str()) {
                let problem = format!(
                    "database \"{}\" names the datastore \"{}\", which the file does not have",
                    name.text, datastore.text
                );
                let remedy = match nearest(&datastore.text, &names) {
                    Some(near) => format!("Did you mean \"{near}\"?"),
                    None => format!("Add a [[datastore]] with `name = \"{}\"`.", datastore.text),
                };
                self.add(datastore.line, problem, remedy);
            }
            let shard_keys = self.texts(&section, "shard_keys");
            let owner =
                self.text(&section, "owner").map_or(DEFAULT_NAME.to_owned(), |owner| owner.text);
            let datastore = DatastoreId(datastore.text);
            let value = DatabaseEntry { id: DatabaseId(name.text), datastore, shard_keys, owner };
            databases.push(Placed { line: Some(section.line), value });
        }
        databases
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host_is_plain = !host.is_empty()
            && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
        host_is_plain && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// A url for a message: what stands between the scheme's `//` and the host is left out.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

/// Why copies of an engine are not read, and what to do instead.
fn unread(engine: Engine) -> Option<(&'static str, &'static str)> {
    match engine {
        Engine::Postgres | Engine::Mysql => None,
        Engine::Mongodb => Some((
            "the secondaries of a MongoDB are not read: no test has shown yet that a session would see its own writes there",
            "Leave `replicas` out and name the replica set in the primary's url, `?replicaSet=rs0`: the client finds the primary.",
        )),
        Engine::Sqlite => Some((
            "a SQLite file has no replicas",
            "Leave `replicas` out; the primary alone is used.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"[[node]]
name = "a"
agent = "10.0.0.1:7433"
[[node.datasource]]
name = "main"
engine = "postgres"
url = "postgres://user:secret@127.0.0.1:5432/app"

[[node]]
name = "b"
[[node.datasource]]
name = "main"
engine = "sqlite"
url = "./data"

[[datastore]]
name = "hot"
vshards = 1024
replication = "native"
[[datastore.shard]]
primary = "a/main"
replicas = []
[[datastore.shard]]
primary = "b/main"

[[database]]
name = "shop"
datastore = "hot"
shard_keys = ["tenant_id"]
"#;

    #[test]
    fn a_good_file() {
        let file = ClusterFile::parse("c.toml", GOOD).unwrap();
        assert_eq!(file.nodes[0].value.agent.as_deref(), Some("10.0.0.1:7433"));
        assert_eq!(file.nodes.iter().map(|node| node.line).collect::<Vec<_>>(), [Some(1), Some(9)]);
        assert_eq!(file.datastores[0].line, Some(16));
        let primaries = file.datastores[0]
            .value
            .shards
            .iter()
            .map(|shard| shard.primary.to_string())
            .collect::<Vec<_>>();
        assert_eq!(primaries, ["a/main", "b/main"]);
        assert_eq!(file.datastores[0].value.vshards, 1024);
        assert_eq!(file.databases[0].value.shard_keys, ["tenant_id"]);
        assert_eq!(file.databases[0].value.owner, "dataman");
        let snapshot = Snapshot::empty();
        snapshot.apply(&file.changes_against(&snapshot).unwrap()).unwrap();
    }

    /// Replaces a line of the good file and expects this message.
    fn check(replaced: &str, by: &str, expected: &str) {
        assert_eq!(GOOD.matches(replaced).count(), 1, "{replaced} is not in the file once");
        let error = ClusterFile::parse("c.toml", &GOOD.replace(replaced, by)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn mistakes() {
        check(
            "vshards = 1024",
            "vshard = 1024",
            "c.toml:18: [[datastore]] cannot have the key \"vshard\"\n  Did you mean \"vshards\"?",
        );
        check(
            "agent = \"10.0.0.1:7433\"",
            "color = \"red\"",
            "c.toml:3: [[node]] cannot have the key \"color\"\n  It can have: name, agent, agent_password, agent_ca, datasource.",
        );
        check(
            "engine = \"postgres\"",
            "engine = \"postgresql\"",
            "c.toml:6: unknown engine \"postgresql\"\n  Did you mean \"postgres\"?\n\
             c.toml:21: primary \"a/main\" names no datasource of this file\n  Did you mean \"b/main\"?",
        );
        check(
            "engine = \"sqlite\"",
            "engine = \"oracle\"",
            "c.toml:13: unknown engine \"oracle\"\n  Use \"postgres\", \"mysql\", \"mongodb\" or \"sqlite\".\n\
             c.toml:24: primary \"b/main\" names no datasource of this file\n  Did you mean \"a/main\"?",
        );
        check(
            "name = \"b\"",
            "name = \"a\"",
            "c.toml:10: node \"a\" is there twice (the first is in line 1)\n  Give each node a name of its own.\n\
             c.toml:24: primary \"b/main\" names no datasource of this file\n  Did you mean \"a/main\"?",
        );
        check(
            "primary = \"b/main\"",
            "primary = \"somewhere\"",
            "c.toml:24: primary \"somewhere\" names no datasource of this file\n  \
             Write NODE/DATASOURCE as [[node]] and [[node.datasource]] name them.",
        );
        check(
            "datastore = \"hot\"\n",
            "",
            "c.toml:26: [[database]] has no \"datastore\"\n  Add `datastore = \"hot\"`.",
        );
        check(
            "datastore = \"hot\"",
            "datastore = \"cold\"",
            "c.toml:28: database \"shop\" names the datastore \"cold\", which the file does not have\n  \
             Add a [[datastore]] with `name = \"cold\"`.",
        );
        check(
            "vshards = 1024",
            "vshards = 65537",
            "c.toml:18: vshards 65537 is not a number from 2 to 65536\n  \
             Write `vshards = 4096`, or leave it out; it needs at least one for each shard.",
        );
        check(
            "replicas = []",
            "replicas = [\"b/main\"]",
            "c.toml:22: replica \"b/main\" is of another engine than its primary, which cannot copy to it\n  \
             Name datasources of one engine.",
        );
        check(
            "primary = \"b/main\"\n",
            "primary = \"b/main\"\nreplicas = [\"b/main\"]\n",
            "c.toml:25: a SQLite file has no replicas\n  Leave `replicas` out; the primary alone is used.",
        );
        check(
            "replicas = []",
            "replicas = [\"b/man\"]",
            "c.toml:22: replica \"b/man\" names no datasource of this file\n  Did you mean \"b/main\"?",
        );
        check(
            "replication = \"native\"",
            "replication = \"dataman\"",
            "c.toml:19: replication \"dataman\" is not supported yet\n  Leave `replication` out.",
        );
        check(
            "url = \"./data\"",
            "url = \"postgres://u:hidden@h/d\"",
            "c.toml:14: url \"postgres://…@h/d\" is not one of engine \"sqlite\"\n  \
             Write the path of a folder, `url = \"./data/shard0\"`.",
        );
        check(
            "postgres://user:secret@127.0.0.1:5432/app",
            "127.0.0.1:5432",
            "c.toml:7: url \"127.0.0.1:5432\" is not one of engine \"postgres\"\n  \
             Write `url = \"postgres://user:password@host:5432/database\"`.",
        );
        check(
            "10.0.0.1:7433",
            "10.0.0.1",
            "c.toml:3: agent \"10.0.0.1\" is not an address\n  \
             Write `agent = \"HOST:PORT\"`, or leave it out for an agent inside `dataman up`.",
        );
        check(
            "shard_keys = [\"tenant_id\"]",
            "shard_keys = \"tenant_id\"",
            "c.toml:29: \"shard_keys\" is not a list of names\n  Write `shard_keys = [\"tenant_id\"]`.",
        );
        check(
            "[[database]]",
            "[database]",
            "c.toml:26: \"database\" is not a list\n  Write [[database]] with two brackets.",
        );
        check(
            "name = \"shop\"",
            "name = 5",
            "c.toml:27: \"name\" is not a text\n  Write `name = \"…\"`, in double quotes.",
        );
        check(
            "name = \"shop\"",
            "name = \"a/b\"",
            "c.toml:27: \"a/b\" cannot be a name\n  Write a name of at least one letter and without a slash.",
        );
    }

    #[test]
    fn mistakes_of_a_whole_file() {
        let check = |text: &str, expected: &str| {
            let error = ClusterFile::parse("c.toml", text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "c.toml: has no [[node]]\n  Add a [[node]] with its `name`.");
        check("[[node]]\nname = a\n", "c.toml:2: is not TOML: ");
        let cut = &GOOD[..GOOD.find("[[datastore.shard]]").unwrap()];
        check(cut, "c.toml:16: datastore \"hot\" has no shards\n  Add a [[datastore.shard]] with");
        let again = GOOD[GOOD.find("[[datastore]]").unwrap()..GOOD.find("[[database]]").unwrap()]
            .replace("hot", "cold");
        check(
            &format!("{GOOD}{again}"),
            "c.toml:34: shard 0 is where shard 0 of datastore \"hot\" is: their tables would mix",
        );
    }

    #[test]
    fn reading_a_file_that_is_not_there() {
        let error =
            ClusterFile::read(std::path::Path::new("/nowhere/c.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/c.toml: cannot be read: "), "{error}");
    }
}
