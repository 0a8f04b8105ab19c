//! CREATE TABLE and ALTER TABLE.

use super::cursor::{Parser, Result};
use super::define::define;
use super::lexer::TokenKind;
use super::syntax::{
    AlterAction, ColumnDefinition, CreateTable, Define, ObjectName, SequenceOptions, Statement,
    TableConstraint, TableConstraintKind,
};

/// The clauses between the columns of CREATE TABLE and its AS.
type Options = Vec<(String, String)>;

impl Parser<'_> {
    /// Takes `CREATE [TEMPORARY] TABLE … AS`, for EXPLAIN.
    pub(super) fn create_table_as(&mut self) -> Result<Statement> {
        self.expect("create")?;
        if self.is("materialized") {
            return self.refuse("materialized views", "Use a view or a table.");
        }
        if matches!(self.word(), "local" | "global") {
            self.advance();
        }
        let temporary = matches!(self.word(), "temp" | "temporary");
        if temporary || self.is("unlogged") {
            self.advance();
        }
        self.expect("table")?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.object_name()?;
        let columns = if self.is_symbol('(') { self.names()? } else { vec![] };
        let options = self.table_options()?;
        self.table_as(name, if_not_exists, temporary, columns, options)
    }

    /// Takes CREATE TABLE from TABLE on.
    pub(super) fn create_table(&mut self, temporary: bool) -> Result<Statement> {
        self.expect("table")?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.object_name()?;
        if self.are(&["partition", "of"]) {
            return self.refuse(
                "PARTITION OF",
                "Spread a table over shards with WITH (shard_key = '…'); partitions are not needed.",
            );
        }
        if self.is("of") {
            return self.refuse("CREATE TABLE … OF", "Name the columns.");
        }
        if self.is_symbol('(') && self.only_names_in_parens() {
            let columns = self.names()?;
            let options = self.table_options()?;
            return self.table_as(name, if_not_exists, temporary, columns, options);
        }
        if !self.is_symbol('(') {
            let options = self.table_options()?;
            return self.table_as(name, if_not_exists, temporary, vec![], options);
        }
        self.advance();
        let mut columns = Vec::new();
        let mut constraints = Vec::new();
        if !self.is_symbol(')') {
            self.list(|parser| {
                if parser.is("like") {
                    return parser.refuse("CREATE TABLE … (LIKE …)", "Name the columns.");
                }
                if parser.at_table_constraint() {
                    constraints.push(parser.table_constraint()?);
                } else {
                    columns.push(parser.column_definition(name.last())?);
                }
                Ok(())
            })?;
        }
        self.expect_symbol(')')?;
        if self.is("inherits") {
            return self.refuse("INHERITS", "Name the columns.");
        }
        if self.is("partition") {
            return self
                .refuse("PARTITION BY", "Spread the table over shards: WITH (shard_key = '…').");
        }
        let options = self.table_options()?;
        define(Define::CreateTable(CreateTable {
            name,
            if_not_exists,
            temporary,
            columns,
            constraints,
            options,
        }))
    }

    /// Whether the parentheses begin with a name that has no type: the columns of CREATE TABLE AS.
    fn only_names_in_parens(&self) -> bool {
        self.is_name_at(1) && (self.is_symbol_at(2, ',') || self.is_symbol_at(2, ')'))
    }

    fn table_options(&mut self) -> Result<Options> {
        if self.accept("using") {
            let method = self.name()?;
            if method != "heap" {
                return self.refuse("an access method", "Leave USING out.");
            }
        }
        let mut options = vec![];
        if self.accept("with") {
            options = self.storage_options()?;
        } else if self.is("without") {
            self.advance();
            self.expect("oids")?;
        }
        if self.are(&["on", "commit"]) {
            return self.refuse("ON COMMIT", "Delete the rows, or drop the table, yourself.");
        }
        if self.is("tablespace") {
            return self
                .refuse("TABLESPACE", "Name where the table lives: WITH (datastore = '…').");
        }
        Ok(options)
    }

    fn table_as(
        &mut self,
        name: ObjectName,
        if_not_exists: bool,
        temporary: bool,
        columns: Vec<String>,
        options: Options,
    ) -> Result<Statement> {
        self.expect("as")?;
        if self.is("execute") {
            return self.refuse("CREATE TABLE AS EXECUTE", "Write the query itself.");
        }
        let query = Box::new(self.select()?);
        let mut no_data = false;
        if self.accept("with") {
            no_data = self.accept("no");
            self.expect("data")?;
        }
        if temporary {
            return self.refuse(
                "CREATE TEMPORARY TABLE AS",
                "Create an ordinary table and drop it after use.",
            );
        }
        define(Define::CreateTableAs { name, if_not_exists, columns, options, query, no_data })
    }

    fn at_table_constraint(&self) -> bool {
        match self.word() {
            "constraint" | "check" | "unique" | "primary" | "foreign" => true,
            "exclude" => self.word_at(1) == "using" || self.is_symbol_at(1, '('),
            _ => false,
        }
    }

    fn column_definition(&mut self, table: &str) -> Result<ColumnDefinition> {
        let name = self.name()?;
        let ty = self.type_name()?;
        let mut column = ColumnDefinition {
            name,
            ty,
            collation: None,
            not_null: None,
            default: None,
            identity: None,
            generated: None,
            constraints: vec![],
        };
        if self.is("compression") {
            return self.refuse("COMPRESSION", "Leave it out.");
        }
        if self.is("options") {
            return self.refuse("OPTIONS of a column", "Leave them out.");
        }
        loop {
            let start = self.at;
            let name = if self.accept("constraint") { Some(self.name()?) } else { None };
            if !self.column_qualifier(&mut column, name, table, start)? {
                if self.at != start {
                    return Err(self.error());
                }
                return Ok(column);
            }
        }
    }

    /// Takes one qualifier of a column; false when there is none.
    fn column_qualifier(
        &mut self,
        column: &mut ColumnDefinition,
        name: Option<String>,
        table: &str,
        start: usize,
    ) -> Result<bool> {
        let place = self.at;
        let of = format!("column \"{}\" of table \"{table}\"", column.name);
        let kind = match self.word() {
            "not" if self.word_at(1) == "deferrable" && name.is_none() => {
                self.at += 2;
                return self.constraint_attribute_allowed(column, start);
            }
            "not" => {
                self.advance();
                self.expect("null")?;
                if column.not_null == Some(false) {
                    return self.fail(
                        place,
                        "42601",
                        format!("conflicting NULL/NOT NULL declarations for {of}"),
                    );
                }
                column.not_null = Some(true);
                return Ok(true);
            }
            "null" => {
                self.advance();
                if column.not_null == Some(true) {
                    return self.fail(
                        place,
                        "42601",
                        format!("conflicting NULL/NOT NULL declarations for {of}"),
                    );
                }
                column.not_null = Some(false);
                return Ok(true);
            }
            "default" => {
                self.advance();
                let start = self.at;
                let value = self.restricted_expr()?;
                if column.default.is_some() {
                    return self.fail(
                        place,
                        "42601",
                        format!("multiple default values specified for {of}"),
                    );
                }
                column.default = Some((value, self.text_from(start)));
                return self.only_one_source(column, &of, place);
            }
            "generated" => {
                self.generated(column, &of, place)?;
                return self.only_one_source(column, &of, place);
            }
            "collate" if name.is_none() => {
                self.advance();
                let collation = self.object_name()?;
                if column.collation.replace(collation).is_some() {
                    return self.fail(place, "42601", "multiple COLLATE clauses not allowed");
                }
                return Ok(true);
            }
            "initially" if name.is_none() => {
                self.advance();
                self.initially()?;
                return self.constraint_attribute_allowed(column, start);
            }
            "deferrable" if name.is_none() => {
                return self
                    .refuse("DEFERRABLE", "Constraints are checked at the end of each statement.");
            }
            "unique" => {
                self.advance();
                let nulls_not_distinct = self.nulls_not_distinct()?;
                self.index_parameters()?;
                TableConstraintKind::Unique {
                    columns: vec![column.name.clone()],
                    nulls_not_distinct,
                }
            }
            "primary" => {
                self.advance();
                self.expect("key")?;
                self.index_parameters()?;
                TableConstraintKind::PrimaryKey(vec![column.name.clone()])
            }
            "check" => self.check()?,
            "references" => self.references(vec![column.name.clone()])?,
            _ => return Ok(false),
        };
        column.constraints.push(TableConstraint { name, kind });
        Ok(true)
    }

    /// An attribute of a constraint may follow one only.
    fn constraint_attribute_allowed(
        &self,
        column: &ColumnDefinition,
        start: usize,
    ) -> Result<bool> {
        if column.constraints.is_empty() {
            return self.fail(start, "42601", "misplaced NOT DEFERRABLE clause");
        }
        Ok(true)
    }

    fn only_one_source(&self, column: &ColumnDefinition, of: &str, place: usize) -> Result<bool> {
        let both = match (&column.default, &column.identity, &column.generated) {
            (Some(_), Some(_), _) => "both default and identity",
            (Some(_), _, Some(_)) => "both default and generation expression",
            (_, Some(_), Some(_)) => "both identity and generation expression",
            _ => return Ok(true),
        };
        self.fail(place, "42601", format!("{both} specified for {of}"))
    }

    /// `GENERATED ALWAYS | BY DEFAULT AS IDENTITY [(…)]`, `GENERATED ALWAYS AS (…) STORED`.
    fn generated(&mut self, column: &mut ColumnDefinition, of: &str, place: usize) -> Result<()> {
        self.expect("generated")?;
        let when = self.at;
        let always = self.accept("always");
        if !always {
            self.expect_all(&["by", "default"])?;
        }
        self.expect("as")?;
        if self.accept("identity") {
            let options = if self.accept_symbol('(') {
                let start = self.at;
                let options = self.sequence_options(false)?;
                if self.at == start {
                    return Err(self.error());
                }
                self.expect_symbol(')')?;
                options
            } else {
                SequenceOptions::default()
            };
            if column.identity.replace((always, options)).is_some() {
                return self.fail(
                    place,
                    "42601",
                    format!("multiple identity specifications for {of}"),
                );
            }
            return Ok(());
        }
        let (value, text) = self.parenthesized_expr()?;
        self.expect("stored")?;
        if !always {
            return self.fail(
                when,
                "42601",
                "for a generated column, GENERATED ALWAYS must be specified",
            );
        }
        if column.generated.replace((value, text)).is_some() {
            return self.fail(
                place,
                "42601",
                format!("multiple generation clauses specified for {of}"),
            );
        }
        Ok(())
    }

    /// Takes an expression in parentheses; its text is without them.
    fn parenthesized_expr(&mut self) -> Result<(super::syntax::Expr, String)> {
        self.expect_symbol('(')?;
        let start = self.at;
        let value = self.expr()?;
        let text = self.text_from(start);
        self.expect_symbol(')')?;
        Ok((value, text))
    }

    fn check(&mut self) -> Result<TableConstraintKind> {
        self.expect("check")?;
        let (condition, text) = self.parenthesized_expr()?;
        if self.are(&["no", "inherit"]) {
            return self.refuse("NO INHERIT", "Leave it out: tables do not inherit.");
        }
        Ok(TableConstraintKind::Check(condition, text))
    }

    /// What may follow UNIQUE and PRIMARY KEY.
    fn index_parameters(&mut self) -> Result<()> {
        if self.is("include") {
            return self
                .refuse("INCLUDE of a constraint", "Create an index with INCLUDE beside it.");
        }
        if self.is("with") && self.is_symbol_at(1, '(') {
            return self.refuse("storage parameters of a constraint", "Leave WITH out.");
        }
        if self.are(&["using", "index"]) {
            return self.refuse("USING INDEX", "Leave it out: the constraint makes its own index.");
        }
        Ok(())
    }

    fn initially(&mut self) -> Result<()> {
        if self.is("deferred") {
            return self.refuse(
                "INITIALLY DEFERRED",
                "Constraints are checked at the end of each statement.",
            );
        }
        self.expect("immediate")
    }

    fn references(&mut self, columns: Vec<String>) -> Result<TableConstraintKind> {
        self.expect("references")?;
        let table = self.object_name()?;
        let references = if self.is_symbol('(') { self.names()? } else { vec![] };
        if self.accept("match") {
            match self.word() {
                "simple" => self.advance(),
                "full" | "partial" => {
                    return self.refuse("MATCH FULL and MATCH PARTIAL", "Use MATCH SIMPLE.");
                }
                _ => return Err(self.error()),
            }
        }
        let mut on_delete = None;
        let mut on_update = None;
        while self.is("on") {
            self.advance();
            let place = match self.word() {
                "delete" => &mut on_delete,
                "update" => &mut on_update,
                _ => return Err(self.error()),
            };
            if place.is_some() {
                return Err(self.error());
            }
            self.advance();
            *place = Some(self.key_action()?);
        }
        Ok(TableConstraintKind::ForeignKey {
            columns,
            table,
            references,
            on_delete: on_delete.unwrap_or("no action"),
            on_update: on_update.unwrap_or("no action"),
        })
    }

    fn key_action(&mut self) -> Result<&'static str> {
        let word = self.word();
        self.advance();
        match word {
            "no" => {
                self.expect("action")?;
                Ok("no action")
            }
            "restrict" => Ok("restrict"),
            "cascade" => Ok("cascade"),
            "set" => {
                let action = match self.word() {
                    "null" => "set null",
                    "default" => "set default",
                    _ => return Err(self.error()),
                };
                self.advance();
                if self.is_symbol('(') {
                    return self.refuse(
                        "SET NULL and SET DEFAULT of some columns",
                        "Leave the column list out.",
                    );
                }
                Ok(action)
            }
            _ => {
                self.at -= 1;
                Err(self.error())
            }
        }
    }

    fn table_constraint(&mut self) -> Result<TableConstraint> {
        let name = if self.accept("constraint") { Some(self.name()?) } else { None };
        let kind = match self.word() {
            "check" => self.check()?,
            "unique" => {
                self.advance();
                let nulls_not_distinct = self.nulls_not_distinct()?;
                if self.are(&["using", "index"]) {
                    return self.refuse(
                        "USING INDEX",
                        "Name the columns: the constraint makes its own index.",
                    );
                }
                let columns = self.names()?;
                self.index_parameters()?;
                TableConstraintKind::Unique { columns, nulls_not_distinct }
            }
            "primary" => {
                self.advance();
                self.expect("key")?;
                if self.are(&["using", "index"]) {
                    return self.refuse(
                        "USING INDEX",
                        "Name the columns: the constraint makes its own index.",
                    );
                }
                let columns = self.names()?;
                self.index_parameters()?;
                TableConstraintKind::PrimaryKey(columns)
            }
            "foreign" => {
                self.advance();
                self.expect("key")?;
                let columns = self.names()?;
                self.references(columns)?
            }
            "exclude" => {
                return self.refuse("EXCLUDE", "Check it in the application, or use UNIQUE.");
            }
            _ => return Err(self.error()),
        };
        loop {
            match self.word() {
                "not" => {
                    self.advance();
                    match self.word() {
                        "deferrable" => self.advance(),
                        "valid" => {
                            return self
                                .refuse("NOT VALID", "Leave it out: existing rows are checked.");
                        }
                        _ => return Err(self.error()),
                    }
                }
                "deferrable" => {
                    return self.refuse(
                        "DEFERRABLE",
                        "Constraints are checked at the end of each statement.",
                    );
                }
                "initially" => {
                    self.advance();
                    self.initially()?;
                }
                _ => return Ok(TableConstraint { name, kind }),
            }
        }
    }

    /// Takes ALTER TABLE from TABLE on.
    pub(super) fn alter_table(&mut self) -> Result<Statement> {
        self.expect("table")?;
        if self.are(&["all", "in"]) {
            return self.refuse(
                "ALTER TABLE ALL IN TABLESPACE",
                "Tablespaces belong to the databases themselves.",
            );
        }
        let if_exists = self.if_exists();
        let (name, _) = self.relation()?;
        let actions = match self.word() {
            "rename" => vec![self.rename()?],
            "set" if self.word_at(1) == "schema" => {
                self.at += 2;
                vec![AlterAction::SetSchema(self.name()?)]
            }
            _ => self.list(|parser| parser.alter_action(name.last()))?,
        };
        define(Define::AlterTable { name, if_exists, actions })
    }

    fn rename(&mut self) -> Result<AlterAction> {
        self.expect("rename")?;
        if self.accept("to") {
            return Ok(AlterAction::RenameTable(self.name()?));
        }
        if self.accept("constraint") {
            let from = self.name()?;
            self.expect("to")?;
            return Ok(AlterAction::RenameConstraint { from, to: self.name()? });
        }
        self.accept("column");
        let from = self.name()?;
        self.expect("to")?;
        Ok(AlterAction::RenameColumn { from, to: self.name()? })
    }

    fn alter_action(&mut self, table: &str) -> Result<AlterAction> {
        match self.word() {
            "add" => {
                self.advance();
                if self.at_table_constraint() {
                    return Ok(AlterAction::AddConstraint(self.table_constraint()?));
                }
                self.accept("column");
                let if_not_exists = self.if_not_exists()?;
                let column = Box::new(self.column_definition(table)?);
                Ok(AlterAction::AddColumn { if_not_exists, column })
            }
            "drop" => {
                self.advance();
                if self.accept("constraint") {
                    let if_exists = self.if_exists();
                    let name = self.name()?;
                    let cascade = self.cascade();
                    return Ok(AlterAction::DropConstraint { name, if_exists, cascade });
                }
                self.accept("column");
                let if_exists = self.if_exists();
                let name = self.name()?;
                let cascade = self.cascade();
                Ok(AlterAction::DropColumn { name, if_exists, cascade })
            }
            "alter" => {
                self.advance();
                if self.is("constraint") {
                    return self
                        .refuse("ALTER CONSTRAINT", "Drop the constraint and add it again.");
                }
                self.accept("column");
                if matches!(self.peek(), TokenKind::Integer(_)) {
                    return self
                        .refuse("SET STATISTICS", "The databases keep their own statistics.");
                }
                let name = self.name()?;
                self.alter_column(name)
            }
            "owner" => {
                self.advance();
                self.expect("to")?;
                Ok(AlterAction::OwnerTo(self.role_name()?))
            }
            "validate" => self.refuse("VALIDATE CONSTRAINT", "Constraints are always valid."),
            "attach" | "detach" => {
                self.refuse("partitions", "Spread the table over shards: WITH (shard_key = '…').")
            }
            "inherit" | "no" => self.refuse("INHERIT", "Tables do not inherit."),
            "cluster" => self.refuse("CLUSTER ON", "Run it on the databases themselves."),
            "enable" | "disable" | "force" => {
                self.refuse("ENABLE and DISABLE", "There are no triggers, rules and row security.")
            }
            "of" => self.refuse("ALTER TABLE … OF", "Name the columns."),
            "replica" => self.refuse("REPLICA IDENTITY", "Set it on the databases themselves."),
            "set" | "reset" => self.refuse(
                "ALTER TABLE … SET",
                "Placement, shard key and storage are decided when the table is created.",
            ),
            _ => Err(self.error()),
        }
    }

    fn alter_column(&mut self, name: String) -> Result<AlterAction> {
        let data_type = self.accept_all(&["set", "data"]);
        if data_type || self.is("type") {
            self.expect("type")?;
            let ty = self.type_name()?;
            if self.is("collate") {
                return self.refuse("COLLATE in ALTER COLUMN TYPE", "Leave it out.");
            }
            let using = if self.accept("using") { Some(self.expr()?) } else { None };
            return Ok(AlterAction::SetType { name, ty, using });
        }
        match self.word() {
            "set" => {
                self.advance();
                if self.accept("default") {
                    let start = self.at;
                    let value = self.expr()?;
                    return Ok(AlterAction::SetDefault {
                        name,
                        default: Some((value, self.text_from(start))),
                    });
                }
                if self.accept("not") {
                    self.expect("null")?;
                    return Ok(AlterAction::SetNotNull { name, not_null: true });
                }
                match self.word() {
                    "statistics" | "storage" | "compression" | "generated" | "increment"
                    | "start" | "maxvalue" | "minvalue" | "cache" | "cycle" | "no" | "restart" => {
                        let what =
                            format!("ALTER COLUMN … SET {}", self.word().to_ascii_uppercase());
                        self.refuse(&what, "Create the column anew.")
                    }
                    _ if self.is_symbol('(') => {
                        self.refuse("options of a column", "Leave them out.")
                    }
                    _ => Err(self.error()),
                }
            }
            "drop" => {
                self.advance();
                if self.accept("default") {
                    return Ok(AlterAction::SetDefault { name, default: None });
                }
                if self.accept("not") {
                    self.expect("null")?;
                    return Ok(AlterAction::SetNotNull { name, not_null: false });
                }
                match self.word() {
                    "identity" | "expression" => {
                        self.refuse("DROP IDENTITY and DROP EXPRESSION", "Create the column anew.")
                    }
                    _ => Err(self.error()),
                }
            }
            "add" => self.refuse("ADD GENERATED", "Create the column anew, as an identity column."),
            "reset" | "restart" | "options" => {
                self.refuse("this change of a column", "Create the column anew.")
            }
            _ => Err(self.error()),
        }
    }
}
