//! CREATE, ALTER and DROP, TRUNCATE and COMMENT; tables are in `define_table`.

use super::cursor::{Parser, Result};
use super::expr::expr;
use super::lexer::TokenKind;
use super::syntax::{
    CreateIndex, Define, ExprKind, ImportSchema, ImportedTables, ObjectKind, ObjectName, OrderBy,
    RoleName, SequenceOptions, SessionsOf, Statement,
};

/// Makes the statement.
pub(super) fn define(define: Define) -> Result<Statement> {
    Ok(Statement::Define(Box::new(define)))
}

impl Parser<'_> {
    /// Takes CREATE.
    pub(super) fn create(&mut self) -> Result<Statement> {
        self.expect("create")?;
        let or_replace = self.accept("or");
        if or_replace {
            self.expect("replace")?;
        }
        let mut temporary = false;
        if matches!(self.word(), "local" | "global")
            && matches!(self.word_at(1), "temp" | "temporary")
        {
            self.advance();
        }
        if matches!(self.word(), "temp" | "temporary") {
            self.advance();
            temporary = true;
        }
        let unlogged = !temporary && self.accept("unlogged");
        if unlogged && !matches!(self.word(), "table" | "sequence") {
            return Err(self.error());
        }
        if unlogged {
            return self.refuse("UNLOGGED", "Leave it out: every table is durable.");
        }
        if temporary && !matches!(self.word(), "table" | "sequence" | "view" | "recursive") {
            return Err(self.error());
        }
        if or_replace {
            return match self.word() {
                "view" | "recursive" => self.create_view(true, temporary),
                "aggregate" | "function" | "language" | "procedural" | "procedure" | "rule"
                | "transform" | "trigger" | "trusted" | "constraint" => {
                    self.unsupported_object("CREATE OR REPLACE")
                }
                _ => Err(self.error()),
            };
        }
        match self.word() {
            "table" => self.create_table(temporary),
            "sequence" => self.create_sequence(temporary),
            "view" | "recursive" => self.create_view(false, temporary),
            "unique" | "index" => self.create_index(),
            "schema" => self.create_schema(),
            "type" => self.create_type(),
            "database" => self.create_database(),
            "user" if self.word_at(1) == "mapping" => self.unsupported_object("CREATE"),
            "role" | "user" | "group" => self.role(true),
            _ => self.unsupported_object("CREATE"),
        }
    }

    /// Takes ALTER.
    pub(super) fn alter(&mut self) -> Result<Statement> {
        self.expect("alter")?;
        match self.word() {
            "table" => self.alter_table(),
            "sequence" => self.alter_sequence(),
            "user" if self.word_at(1) == "mapping" => self.unsupported_object("ALTER"),
            "role" | "user" | "group" => self.role(false),
            "index" => self.refuse("ALTER INDEX", "Drop the index and create it again."),
            "view" => self.refuse(
                "ALTER VIEW",
                "Use CREATE OR REPLACE VIEW, or drop it and create it again.",
            ),
            "schema" => self.refuse("ALTER SCHEMA", "Create the schema under its final name."),
            "type" => self.refuse("ALTER TYPE", "Drop the type and create it again."),
            "database" => self.alter_database(),
            _ => self.unsupported_object("ALTER"),
        }
    }

    /// Takes DROP.
    pub(super) fn drop_statement(&mut self) -> Result<Statement> {
        self.expect("drop")?;
        let kind = match self.word() {
            "table" => ObjectKind::Table,
            "view" => ObjectKind::View,
            "index" => ObjectKind::Index,
            "sequence" => ObjectKind::Sequence,
            "schema" => ObjectKind::Schema,
            "type" => ObjectKind::Type,
            "database" => return self.drop_database(),
            "user" if self.word_at(1) == "mapping" => return self.unsupported_object("DROP"),
            "role" | "user" | "group" => {
                self.advance();
                let if_exists = self.if_exists();
                let names = self.list(Self::role_name)?;
                return define(Define::DropRole { names, if_exists });
            }
            _ => return self.unsupported_object("DROP"),
        };
        self.advance();
        if kind == ObjectKind::Index {
            self.accept("concurrently");
        }
        let if_exists = self.if_exists();
        let names = self.list(|parser| match kind {
            ObjectKind::Schema => {
                let span = parser.span();
                Ok(ObjectName { parts: vec![parser.name()?], span })
            }
            ObjectKind::Type => Ok(parser.type_name()?.name),
            _ => parser.object_name(),
        })?;
        let cascade = self.cascade();
        define(Define::Drop { kind, names, if_exists, cascade })
    }

    fn drop_database(&mut self) -> Result<Statement> {
        self.expect("database")?;
        let if_exists = self.if_exists();
        let name = self.name()?;
        let with = self.accept("with");
        if with || self.is_symbol('(') {
            self.parenthesized(|parser| parser.expect("force"))?;
            return self.refuse(
                "DROP DATABASE … WITH (FORCE)",
                "Close the sessions of the database first.",
            );
        }
        define(Define::DropDatabase { name, if_exists })
    }

    /// Takes IMPORT FOREIGN SCHEMA.
    pub(super) fn import_schema(&mut self) -> Result<Statement> {
        self.expect("import")?;
        self.expect("foreign")?;
        self.expect("schema")?;
        let schema = self.name()?;
        let tables = if self.accept("limit") {
            self.expect("to")?;
            ImportedTables::Only(self.imported_tables()?)
        } else if self.accept("except") {
            ImportedTables::Except(self.imported_tables()?)
        } else {
            ImportedTables::All
        };
        self.expect("from")?;
        self.expect("server")?;
        let server = self.name()?;
        self.expect("into")?;
        let into = self.name()?;
        let mut options = Vec::new();
        if self.accept("options") {
            options = self.parenthesized(|parser| Ok((parser.label()?, parser.string()?)))?;
        }
        define(Define::ImportSchema(ImportSchema { schema, tables, server, into, options }))
    }

    /// Tables that IMPORT names; their schema is known.
    fn imported_tables(&mut self) -> Result<Vec<String>> {
        let names = self.parenthesized(Self::object_name)?;
        Ok(names.into_iter().map(|name| name.last().to_owned()).collect())
    }

    /// Takes TRUNCATE.
    pub(super) fn truncate(&mut self) -> Result<Statement> {
        self.expect("truncate")?;
        self.accept("table");
        let names = self.list(|parser| Ok(parser.relation()?.0))?;
        let restart_identity = self.accept("restart");
        if restart_identity || self.accept("continue") {
            self.expect("identity")?;
        }
        let cascade = self.cascade();
        define(Define::Truncate { names, restart_identity, cascade })
    }

    /// Takes COMMENT ON.
    pub(super) fn comment(&mut self) -> Result<Statement> {
        self.expect_all(&["comment", "on"])?;
        let kind = match self.word() {
            "table" => ObjectKind::Table,
            "column" => ObjectKind::Column,
            "view" => ObjectKind::View,
            "index" => ObjectKind::Index,
            "sequence" => ObjectKind::Sequence,
            "schema" => ObjectKind::Schema,
            "type" => ObjectKind::Type,
            "database" => ObjectKind::Database,
            "constraint" => return self.refuse("COMMENT ON CONSTRAINT", "Comment on the table."),
            "role" => return self.refuse("COMMENT ON ROLE", "Roles bear no comments."),
            _ => return self.unsupported_object("COMMENT ON"),
        };
        self.advance();
        let name =
            if kind == ObjectKind::Type { self.type_name()?.name } else { self.object_name()? };
        self.expect("is")?;
        let text = if self.accept("null") { None } else { Some(self.string()?) };
        define(Define::Comment { kind, name, text })
    }

    fn create_schema(&mut self) -> Result<Statement> {
        self.expect("schema")?;
        let if_not_exists = self.if_not_exists()?;
        if self.is("authorization") {
            return self
                .refuse("CREATE SCHEMA AUTHORIZATION", "Give the schema a name of its own.");
        }
        let name = self.name()?;
        if self.is("authorization") {
            return self.refuse("CREATE SCHEMA AUTHORIZATION", "Leave AUTHORIZATION out.");
        }
        if matches!(self.word(), "create" | "grant") {
            return self.refuse(
                "CREATE SCHEMA with its elements",
                "Create them by statements of their own.",
            );
        }
        define(Define::CreateSchema { name, if_not_exists })
    }

    fn create_sequence(&mut self, temporary: bool) -> Result<Statement> {
        self.expect("sequence")?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.object_name()?;
        let options = self.sequence_options(false)?;
        if temporary {
            return self.refuse(
                "CREATE TEMPORARY SEQUENCE",
                "Create an ordinary sequence and drop it after use.",
            );
        }
        define(Define::CreateSequence { name, if_not_exists, options })
    }

    fn alter_sequence(&mut self) -> Result<Statement> {
        self.expect("sequence")?;
        let if_exists = self.if_exists();
        let name = self.object_name()?;
        if matches!(self.word(), "rename" | "owner" | "set") {
            return self.refuse(
                "ALTER SEQUENCE … RENAME, OWNER or SET",
                "Drop the sequence and create it again.",
            );
        }
        let start = self.at;
        let options = self.sequence_options(true)?;
        if self.at == start {
            return Err(self.error());
        }
        define(Define::AlterSequence { name, if_exists, options })
    }

    /// Takes the options of a sequence.
    pub(super) fn sequence_options(&mut self, alter: bool) -> Result<SequenceOptions> {
        let mut options = SequenceOptions::default();
        let _ = alter;
        loop {
            let place = self.at;
            let twice = match self.word() {
                "as" => {
                    self.advance();
                    let ty = self.simple_type_name()?;
                    options.ty.replace(ty).is_some()
                }
                "cache" => {
                    self.advance();
                    let value = self.big_integer()?;
                    options.cache.replace(value).is_some()
                }
                "cycle" => {
                    self.advance();
                    options.cycle.replace(true).is_some()
                }
                "increment" => {
                    self.advance();
                    self.accept("by");
                    let value = self.big_integer()?;
                    options.increment.replace(value).is_some()
                }
                "maxvalue" => {
                    self.advance();
                    let value = self.big_integer()?;
                    options.max.replace(Some(value)).is_some()
                }
                "minvalue" => {
                    self.advance();
                    let value = self.big_integer()?;
                    options.min.replace(Some(value)).is_some()
                }
                "no" => {
                    self.advance();
                    let twice = match self.word() {
                        "maxvalue" => options.max.replace(None).is_some(),
                        "minvalue" => options.min.replace(None).is_some(),
                        "cycle" => options.cycle.replace(false).is_some(),
                        _ => return Err(self.error()),
                    };
                    self.advance();
                    twice
                }
                "owned" => {
                    self.advance();
                    self.expect("by")?;
                    let owner = if self.is("none") && !self.is_symbol_at(1, '.') {
                        self.advance();
                        None
                    } else {
                        Some(self.object_name()?)
                    };
                    options.owned_by.replace(owner).is_some()
                }
                "start" => {
                    self.advance();
                    self.accept("with");
                    let value = self.big_integer()?;
                    options.start.replace(value).is_some()
                }
                "restart" => {
                    self.advance();
                    let with = self.accept("with");
                    let number = matches!(
                        self.peek(),
                        TokenKind::Integer(_) | TokenKind::Number(_) | TokenKind::Symbol('+' | '-')
                    );
                    let value = if with || number { Some(self.big_integer()?) } else { None };
                    options.restart.replace(value).is_some()
                }
                "sequence" if self.word_at(1) == "name" => {
                    return self
                        .refuse("SEQUENCE NAME", "Let the sequence get its name by itself.");
                }
                _ => return Ok(options),
            };
            if twice {
                return self.fail(place, "42601", "conflicting or redundant options");
            }
        }
    }

    fn big_integer(&mut self) -> Result<i64> {
        let place = self.at;
        let text = self.signed_number()?;
        if let Ok(value) = text.parse() {
            return Ok(value);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return self.fail(
                place,
                "22003",
                format!("value \"{text}\" is out of range for type bigint"),
            );
        }
        self.fail(place, "22P02", format!("invalid input syntax for type bigint: \"{text}\""))
    }

    fn create_view(&mut self, or_replace: bool, temporary: bool) -> Result<Statement> {
        let recursive = self.accept("recursive");
        self.expect("view")?;
        let name = self.object_name()?;
        let columns = if self.is_symbol('(') { self.names()? } else { vec![] };
        if recursive && columns.is_empty() {
            return Err(self.error());
        }
        if self.accept("with") {
            self.storage_options()?;
            return self.refuse("CREATE VIEW … WITH", "Leave the options out.");
        }
        self.expect("as")?;
        let start = self.at;
        let query = Box::new(self.select()?);
        let text = self.text_from(start);
        if self.accept("with") {
            if matches!(self.word(), "cascaded" | "local") {
                self.advance();
            }
            self.expect_all(&["check", "option"])?;
            return self.refuse("WITH CHECK OPTION", "Put a CHECK constraint on the table.");
        }
        if temporary {
            return self
                .refuse("CREATE TEMPORARY VIEW", "Create an ordinary view and drop it after use.");
        }
        if recursive {
            return self
                .refuse("CREATE RECURSIVE VIEW", "Write the WITH RECURSIVE in the view's query.");
        }
        define(Define::CreateView { name, or_replace, columns, query, text })
    }

    fn create_type(&mut self) -> Result<Statement> {
        self.expect("type")?;
        let name = self.object_name()?;
        if self.at_end() {
            return self.refuse("a shell type", "Use CREATE TYPE … AS ENUM.");
        }
        if self.is_symbol('(') {
            return self.refuse("CREATE TYPE of a base type", "Use CREATE TYPE … AS ENUM.");
        }
        self.expect("as")?;
        if self.is_symbol('(') {
            return self
                .refuse("CREATE TYPE of a composite type", "Use separate columns, or jsonb.");
        }
        if self.is("range") {
            return self
                .refuse("CREATE TYPE AS RANGE", "Use two columns, or a range type of PostgreSQL.");
        }
        self.expect("enum")?;
        self.expect_symbol('(')?;
        let labels = if self.is_symbol(')') { vec![] } else { self.list(Self::string)? };
        self.expect_symbol(')')?;
        define(Define::CreateEnum { name, labels })
    }

    fn create_database(&mut self) -> Result<Statement> {
        self.expect("database")?;
        let name = self.name()?;
        self.accept("with");
        let mut options = Vec::new();
        while !self.at_end() {
            let option = if self.are(&["connection", "limit"]) {
                self.at += 2;
                "connection_limit".to_owned()
            } else {
                match self.peek() {
                    TokenKind::Word(_, None) | TokenKind::Quoted(_) => self.label()?,
                    TokenKind::Word(word, _)
                        if matches!(
                            word.as_str(),
                            "encoding" | "location" | "owner" | "tablespace" | "template"
                        ) =>
                    {
                        self.label()?
                    }
                    _ => return Err(self.error()),
                }
            };
            self.accept_symbol('=');
            let value =
                if self.accept("default") { "default".to_owned() } else { self.setting_value()? };
            options.push((option, value));
        }
        define(Define::CreateDatabase { name, options })
    }

    /// Takes the name of a role.
    pub(super) fn role_name(&mut self) -> Result<String> {
        let place = self.at;
        match self.word() {
            "public" => return self.fail(place, "42939", "role name \"public\" is reserved"),
            "none" => return self.fail(place, "42939", "role name \"none\" is reserved"),
            "current_user" | "current_role" | "session_user" => {
                return self
                    .refuse("a role named by CURRENT_USER or its like", "Write the role's name.");
            }
            _ => {}
        }
        self.non_reserved_word()
    }

    /// Takes ALTER DATABASE.
    fn alter_database(&mut self) -> Result<Statement> {
        self.expect("database")?;
        let name = self.name()?;
        if matches!(self.word(), "set" | "reset") && self.word_at(1) != "tablespace" {
            let (of, change) = (SessionsOf::Database(name), self.defaults_change()?);
            return define(Define::SessionDefaults { of, change });
        }
        self.refuse(
            "ALTER DATABASE other than SET and RESET",
            "Change the database in the cluster file.",
        )
    }

    /// Whether ALTER ROLE goes on with ALL, or a role and SET, RESET or IN DATABASE.
    fn is_defaults_of_role(&self) -> bool {
        self.is("all") || matches!(self.word_at(1), "set" | "reset" | "in")
    }

    /// Takes the rest of ALTER ROLE … SET and RESET.
    fn role_defaults(&mut self) -> Result<Statement> {
        let role = match self.word() {
            "all" => {
                self.advance();
                None
            }
            "current_user" | "current_role" | "session_user" => {
                self.advance();
                Some(RoleName::Current)
            }
            // No role has this name, which is what the server says.
            "public" => Some(RoleName::Named(self.non_reserved_word()?)),
            _ => Some(RoleName::Named(self.role_name()?)),
        };
        let database = match self.accept("in") {
            true => {
                self.expect("database")?;
                Some(self.name()?)
            }
            false => None,
        };
        let change = self.defaults_change()?;
        define(Define::SessionDefaults { of: SessionsOf::Role { role, database }, change })
    }

    fn role(&mut self, create: bool) -> Result<Statement> {
        let (user, group) = (self.is("user"), self.is("group"));
        self.advance();
        if !create && !group && self.is_defaults_of_role() {
            return self.role_defaults();
        }
        let name = self.role_name()?;
        if !create && self.is("rename") {
            return self.refuse("ALTER ROLE … RENAME", "Create a role with the name.");
        }
        if !create && matches!(self.word(), "add" | "drop") {
            return self.refuse("membership of roles", "Privileges are not kept yet.");
        }
        self.accept("with");
        let mut password = None;
        let mut superuser = None;
        let mut login = if create && user { Some(true) } else { None };
        let mut login_given = false;
        while !self.at_end() {
            let place = self.at;
            let word = self.word();
            self.advance();
            let twice = match word {
                "password" | "encrypted" => {
                    if word == "encrypted" {
                        self.expect("password")?;
                    }
                    let value = if word == "password" && self.accept("null") {
                        None
                    } else {
                        Some(self.string()?)
                    };
                    password.replace(value).is_some()
                }
                "superuser" | "nosuperuser" => superuser.replace(word == "superuser").is_some(),
                "login" | "nologin" => {
                    login = Some(word == "login");
                    std::mem::replace(&mut login_given, true)
                }
                // These hold anyway.
                "inherit" | "nocreatedb" | "nocreaterole" | "noreplication" | "nobypassrls" => {
                    false
                }
                "noinherit" | "createdb" | "createrole" | "replication" | "bypassrls" => {
                    let what = word.to_ascii_uppercase();
                    return self.refuse(&what, "Privileges are not kept yet: use SUPERUSER.");
                }
                "connection" | "valid" | "sysid" | "admin" | "role" | "in" | "user"
                | "unencrypted" => {
                    return self
                        .refuse("this attribute of a role", "Use LOGIN, SUPERUSER and PASSWORD.");
                }
                _ => {
                    return match &self.tokens[place].kind {
                        TokenKind::Word(word, None) => {
                            let message = format!("unrecognized role option \"{word}\"");
                            self.fail(place, "42601", message)
                        }
                        _ => Err(self.error_at(place)),
                    };
                }
            };
            if twice {
                return self.fail(place, "42601", "conflicting or redundant options");
            }
        }
        define(Define::Role { create, name, password, superuser, login })
    }

    fn create_index(&mut self) -> Result<Statement> {
        let unique = self.accept("unique");
        self.expect("index")?;
        let concurrently = self.accept("concurrently");
        let if_not_exists = self.if_not_exists()?;
        let name = if self.is("on") && !if_not_exists { None } else { Some(self.name()?) };
        self.expect("on")?;
        let (table, only) = self.relation()?;
        if only {
            return self.refuse("CREATE INDEX ON ONLY", "Leave ONLY out.");
        }
        let method = if self.accept("using") { self.name()? } else { "btree".to_owned() };
        let keys = self.parenthesized(Self::index_key)?;
        let include = if self.accept("include") { self.parenthesized(Self::name)? } else { vec![] };
        let nulls_not_distinct = self.nulls_not_distinct()?;
        if self.accept("with") {
            self.storage_options()?;
            return self.refuse("CREATE INDEX … WITH", "Leave the storage parameters out.");
        }
        if self.is("tablespace") {
            return self.refuse("TABLESPACE", "Tablespaces belong to the databases themselves.");
        }
        let filter = if self.accept("where") {
            let start = self.at;
            let filter = self.expr()?;
            Some((filter, self.text_from(start)))
        } else {
            None
        };
        define(Define::CreateIndex(CreateIndex {
            name,
            table,
            unique,
            if_not_exists,
            concurrently,
            method,
            keys,
            include,
            nulls_not_distinct,
            filter,
        }))
    }

    /// Takes `NULLS [NOT] DISTINCT`.
    pub(super) fn nulls_not_distinct(&mut self) -> Result<bool> {
        if !self.is("nulls") || !matches!(self.word_at(1), "not" | "distinct") {
            return Ok(false);
        }
        self.advance();
        let not = self.accept("not");
        self.expect("distinct")?;
        Ok(not)
    }

    fn index_key(&mut self) -> Result<(OrderBy, String)> {
        let start = self.at;
        let paren = self.is_symbol('(');
        let mut key = self.index_key_expr()?;
        let mut text = self.text_from(start);
        if paren {
            // The parentheses are not part of it.
            text = text[1..text.len() - 1].trim().to_owned();
        }
        if self.is("collate") {
            let span = self.span();
            self.advance();
            let collation = self.object_name()?;
            key = expr(ExprKind::Collate(Box::new(key), collation), span);
            text = self.text_from(start);
        }
        if self.is_name_at(0) && !(self.is("nulls") && matches!(self.word_at(1), "first" | "last"))
        {
            return self.refuse("an operator class", "Leave it out: the type's own order is used.");
        }
        Ok((self.order_of(key)?, text))
    }

    /// Takes storage parameters or options in parentheses: names in lower case, values as text, `true` where none is given.
    pub(super) fn storage_options(&mut self) -> Result<Vec<(String, String)>> {
        self.parenthesized(|parser| {
            let mut name = parser.label()?;
            if parser.accept_symbol('.') {
                name = format!("{name}.{}", parser.label()?);
            }
            let value = if parser.accept_symbol('=') {
                parser.definition_value()?
            } else {
                "true".to_owned()
            };
            Ok((name, value))
        })
    }

    fn definition_value(&mut self) -> Result<String> {
        match self.peek() {
            TokenKind::String(_) => self.string(),
            TokenKind::Symbol('+' | '-') | TokenKind::Integer(_) | TokenKind::Number(_) => {
                self.signed_number()
            }
            TokenKind::Word(..) | TokenKind::Quoted(_) => self.label(),
            _ => Err(self.error()),
        }
    }
}
