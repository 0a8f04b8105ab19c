//! CREATE and ALTER SEQUENCE.

use dataman_metadata::change::{Change, Object};
use dataman_metadata::schema::{Relation, Sequence};
use dataman_pg::{PgError, TypeId, catalog};

use super::draft::{Draft, Result};
use super::name::relation_word;
use crate::parse::syntax::{ObjectName, SequenceOptions};

/// A name that messages show with its alternatives: `42809 "t" is not a sequence`.
fn not_a_sequence(name: &str) -> PgError {
    PgError::new("42809", format!("\"{name}\" is not a sequence"))
}

fn invalid(message: String) -> PgError {
    PgError::new("22023", message)
}

/// The bounds of a sequence's type.
fn bounds(ty: TypeId) -> (i64, i64) {
    match ty {
        TypeId::INT2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        TypeId::INT4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

impl Draft<'_> {
    pub(super) fn create_sequence(
        &mut self,
        name: &ObjectName,
        if_not_exists: bool,
        options: &SequenceOptions,
    ) -> Result<()> {
        self.tag("CREATE SEQUENCE");
        let (schema, name) = self.new_place(name)?;
        if self.taken(&schema, &name, if_not_exists)? {
            return Ok(());
        }
        let mut sequence = self.new_sequence(options)?;
        if let Some(Some(owner)) = &options.owned_by {
            sequence.owned_by = Some(self.sequence_owner(&schema, owner)?);
        }
        let at = self.place(&schema, &name);
        self.change(Change::Create { at, object: Object::Sequence(sequence) });
        Ok(())
    }

    /// Makes a sequence of its options.
    pub(super) fn new_sequence(&mut self, options: &SequenceOptions) -> Result<Sequence> {
        let blank = Sequence {
            oid: self.oids.object(),
            type_oid: TypeId::INT8.0,
            start: 0,
            increment: 1,
            min: 0,
            max: 0,
            cycle: false,
            cache: 1,
            owned_by: None,
            comment: None,
        };
        self.apply_options(blank, options, true)
    }

    fn apply_options(
        &self,
        mut sequence: Sequence,
        options: &SequenceOptions,
        new: bool,
    ) -> Result<Sequence> {
        let mut reset = (new, new);
        if let Some(ty) = &options.ty {
            let before = TypeId(sequence.type_oid);
            let ty = self.type_ref(ty)?.id;
            if !matches!(ty, TypeId::INT2 | TypeId::INT4 | TypeId::INT8) {
                return Err(invalid(
                    "sequence type must be smallint, integer, or bigint".to_owned(),
                ));
            }
            if !new {
                // A bound that was the old type's own becomes the new one's.
                let (low, high) = bounds(before);
                reset = (sequence.min == low, sequence.max == high);
            }
            sequence.type_oid = ty.0;
        }
        let ty = TypeId(sequence.type_oid);
        if let Some(increment) = options.increment {
            if increment == 0 {
                return Err(invalid("INCREMENT must not be zero".to_owned()));
            }
            sequence.increment = increment;
        }
        if let Some(cycle) = options.cycle {
            sequence.cycle = cycle;
        }
        let (low, high) = bounds(ty);
        let up = sequence.increment > 0;
        sequence.max = match options.max {
            Some(Some(max)) => max,
            Some(None) => {
                if up {
                    high
                } else {
                    -1
                }
            }
            None if reset.1 => {
                if up || !new {
                    high
                } else {
                    -1
                }
            }
            None => sequence.max,
        };
        let out = |word: &str, value: i64| {
            let ty = catalog::format_type(ty, -1);
            invalid(format!("{word} ({value}) is out of range for sequence data type {ty}"))
        };
        if sequence.max < low || sequence.max > high {
            return Err(out("MAXVALUE", sequence.max));
        }
        sequence.min = match options.min {
            Some(Some(min)) => min,
            Some(None) => {
                if up {
                    1
                } else {
                    low
                }
            }
            None if reset.0 => {
                if up && new {
                    1
                } else {
                    low
                }
            }
            None => sequence.min,
        };
        if sequence.min < low || sequence.min > high {
            return Err(out("MINVALUE", sequence.min));
        }
        if sequence.min >= sequence.max {
            return Err(invalid(format!(
                "MINVALUE ({}) must be less than MAXVALUE ({})",
                sequence.min, sequence.max
            )));
        }
        sequence.start = match options.start {
            Some(start) => start,
            None if new => {
                if up {
                    sequence.min
                } else {
                    sequence.max
                }
            }
            None => sequence.start,
        };
        if sequence.start < sequence.min {
            return Err(invalid(format!(
                "START value ({}) cannot be less than MINVALUE ({})",
                sequence.start, sequence.min
            )));
        }
        if sequence.start > sequence.max {
            return Err(invalid(format!(
                "START value ({}) cannot be greater than MAXVALUE ({})",
                sequence.start, sequence.max
            )));
        }
        if let Some(Some(restart)) = options.restart {
            if restart < sequence.min {
                return Err(invalid(format!(
                    "RESTART value ({restart}) cannot be less than MINVALUE ({})",
                    sequence.min
                )));
            }
            if restart > sequence.max {
                return Err(invalid(format!(
                    "RESTART value ({restart}) cannot be greater than MAXVALUE ({})",
                    sequence.max
                )));
            }
        }
        if let Some(cache) = options.cache {
            if cache <= 0 {
                return Err(invalid(format!("CACHE ({cache}) must be greater than zero")));
            }
            sequence.cache = cache;
        }
        Ok(sequence)
    }

    /// The column of OWNED BY.
    fn sequence_owner(&self, schema: &str, owner: &ObjectName) -> Result<(String, String, String)> {
        let Some((column, table)) = owner.parts.split_last().filter(|(_, table)| !table.is_empty())
        else {
            return Err(PgError::new("42601", "invalid OWNED BY option")
                .with_hint("Specify OWNED BY table.column or OWNED BY NONE."));
        };
        let table = ObjectName { parts: table.to_vec(), span: owner.span };
        let found = self.relation(&table)?;
        let Relation::Collection(collection) = found.relation else {
            return Err(PgError::new(
                "42809",
                format!("sequence cannot be owned by relation \"{}\"", found.name),
            )
            .with_detail(format!(
                "This operation is not supported for {}s.",
                relation_word(&found.relation).replace("index", "indexe")
            )));
        };
        if found.schema != schema {
            return Err(PgError::new(
                "55000",
                "sequence must be in same schema as table it is linked to",
            ));
        }
        if collection.field(column).is_none() {
            return Err(PgError::new(
                "42703",
                format!("column \"{column}\" of relation \"{}\" does not exist", found.name),
            ));
        }
        Ok((found.schema.to_owned(), found.name.to_owned(), column.clone()))
    }

    pub(super) fn alter_sequence(
        &mut self,
        name: &ObjectName,
        if_exists: bool,
        options: &SequenceOptions,
    ) -> Result<()> {
        self.tag("ALTER SEQUENCE");
        let Some(found) = self.find_relation(name)? else {
            let written = name.parts.join(".");
            if if_exists {
                self.notice(
                    "00000",
                    format!("relation \"{}\" does not exist, skipping", name.last()),
                );
                return Ok(());
            }
            return Err(PgError::new("42P01", format!("relation \"{written}\" does not exist")));
        };
        let Relation::Sequence(sequence) = found.relation else {
            return Err(not_a_sequence(found.name));
        };
        if self.database.collections().any(|(_, _, collection)| {
            collection.fields.iter().any(|field| {
                super::shape::is_identity(field)
                    && self
                        .sequence_of(field)
                        .is_some_and(|(schema, name)| schema == found.schema && name == found.name)
            })
        }) && options.owned_by.is_some()
        {
            let detail = format!(
                "Sequence \"{}\" is linked to table \"{}\".",
                found.name,
                sequence.owned_by.as_ref().map_or("", |owner| owner.1.as_str())
            );
            return Err(PgError::unsupported("cannot change ownership of identity sequence")
                .with_detail(detail));
        }
        let mut changed = self.apply_options(sequence.clone(), options, false)?;
        match &options.owned_by {
            Some(Some(owner)) => changed.owned_by = Some(self.sequence_owner(found.schema, owner)?),
            Some(None) => changed.owned_by = None,
            None => {}
        }
        let at = self.place(found.schema, found.name);
        if let Some(restart) = options.restart {
            self.work.restarts.push((at.clone(), restart.unwrap_or(changed.start)));
        }
        self.change(Change::Replace { at, object: Object::Sequence(changed) });
        Ok(())
    }
}
