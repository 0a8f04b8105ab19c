//! The parameters of a statement: the client's, and internal ones that the proxy computes once per execution.

use dataman_pg::resolve::ParameterTypes;
use dataman_pg::{Expr, PgError, TypeId};

/// Types of `$1…`, as declared or found out, and the internal parameters behind them.
#[derive(Debug, Default, Clone)]
pub struct Parameters {
    client: Vec<TypeId>,
    used: Vec<bool>,
    internal: Vec<Internal>,
}

/// A parameter that the proxy fills in: its number is the client's count plus its place, from 1.
#[derive(Debug, Clone)]
pub enum Internal {
    /// An expression without fields, computed once per execution: `now() - interval '1 day'`.
    Once(Expr),
    /// The next number of a sequence (`schema`, `name`): computed for each row.
    NextValue(String, String),
    /// What a subquery gives, run first; by its place in the plan's list.
    Subquery(usize, TypeId),
    /// A value that the plan sets as it goes: what a part of it reads of the rows around.
    Outer(TypeId),
    /// The keys of the held side of a join, an array of this type; known when they are.
    Keys(TypeId),
    /// How many rows each shard must send for a LIMIT and an OFFSET: their sum, NULL for no limit.
    RowsNeeded {
        /// LIMIT.
        limit: Expr,
        /// OFFSET.
        offset: Expr,
    },
}

impl Internal {
    /// The parameter's type.
    pub fn type_id(&self) -> TypeId {
        match self {
            Self::Once(expr) => expr.type_id(),
            Self::NextValue(..) | Self::RowsNeeded { .. } => TypeId::INT8,
            Self::Subquery(_, ty) | Self::Outer(ty) | Self::Keys(ty) => *ty,
        }
    }
}

/// Internal parameters are numbered from here while a statement is bound, when the client's count is not yet known.
const INTERNAL_BASE: u16 = 40_000;

impl Parameters {
    pub(crate) fn new(declared: &[TypeId]) -> Self {
        let declared: Vec<TypeId> =
            declared.iter().map(|ty| if ty.0 == 0 { TypeId::UNKNOWN } else { *ty }).collect();
        Self { used: vec![false; declared.len()], client: declared, internal: Vec::new() }
    }

    /// The client's parameter types.
    pub fn client(&self) -> &[TypeId] {
        &self.client
    }

    /// The internal parameters, in order.
    pub fn internal(&self) -> &[Internal] {
        &self.internal
    }

    /// Adds an internal parameter and returns the expression that reads it.
    pub fn add_internal(&mut self, internal: Internal) -> Expr {
        let ty = internal.type_id();
        // The same expression is one parameter: DISTINCT and GROUP BY need their keys to be seen as the same below.
        let same = |other: &Internal| match (&internal, other) {
            (Internal::Once(one), Internal::Once(other)) => one == other,
            _ => false,
        };
        let place = self.internal.iter().position(same).unwrap_or_else(|| {
            self.internal.push(internal.clone());
            self.internal.len() - 1
        });
        let place = u16::try_from(place).unwrap_or(u16::MAX - INTERNAL_BASE);
        Expr::Param { index: INTERNAL_BASE + place, ty }
    }

    /// The place of an internal parameter, if `index` is one's number.
    pub fn internal_place(index: u16) -> Option<usize> {
        index.checked_sub(INTERNAL_BASE).map(usize::from)
    }

    /// The final number of a parameter: internal ones follow the client's.
    pub fn final_index(&self, index: u16) -> u16 {
        match Self::internal_place(index) {
            Some(place) => u16::try_from(self.client.len() + place + 1).unwrap_or(u16::MAX),
            None => index,
        }
    }

    /// Numbers the parameters that internal expressions read.
    pub(crate) fn number_internal(&mut self, number: &mut dyn FnMut(&mut Expr)) {
        for internal in &mut self.internal {
            match internal {
                Internal::Once(expr) => number(expr),
                Internal::RowsNeeded { limit, offset } => {
                    number(limit);
                    number(offset);
                }
                Internal::NextValue(..)
                | Internal::Subquery(..)
                | Internal::Outer(_)
                | Internal::Keys(_) => {}
            }
        }
    }

    /// The types of all parameters: the client's, then the internal ones.
    pub fn all(&self) -> Vec<TypeId> {
        self.client.iter().copied().chain(self.internal.iter().map(Internal::type_id)).collect()
    }

    pub(crate) fn mention(&mut self, index: u16) -> Result<(), PgError> {
        if index == 0 || index >= INTERNAL_BASE {
            return Err(PgError::new("42P02", format!("there is no parameter ${index}")));
        }
        let place = usize::from(index);
        if self.client.len() < place {
            self.client.resize(place, TypeId::UNKNOWN);
            self.used.resize(place, false);
        }
        self.used[place - 1] = true;
        Ok(())
    }

    pub(crate) fn check_decided(&mut self) -> Result<(), PgError> {
        for (place, ty) in self.client.iter().enumerate() {
            if *ty == TypeId::UNKNOWN {
                return Err(PgError::new(
                    "42P18",
                    format!("could not determine data type of parameter ${}", place + 1),
                ));
            }
        }
        Ok(())
    }
}

impl ParameterTypes for Parameters {
    fn get(&self, index: u16) -> TypeId {
        if let Some(place) = Self::internal_place(index) {
            return self.internal.get(place).map_or(TypeId::UNKNOWN, Internal::type_id);
        }
        usize::from(index)
            .checked_sub(1)
            .and_then(|place| self.client.get(place))
            .copied()
            .unwrap_or(TypeId::UNKNOWN)
    }

    fn decide(&mut self, index: u16, ty: TypeId) -> Result<(), PgError> {
        let place = usize::from(index).saturating_sub(1);
        if self.client.len() <= place {
            self.client.resize(place + 1, TypeId::UNKNOWN);
        }
        let before = self.client[place];
        if before != TypeId::UNKNOWN && before != ty {
            return Err(PgError::new(
                "42P08",
                format!("inconsistent types deduced for parameter ${index}"),
            )
            .with_detail(format!(
                "{} versus {}",
                dataman_pg::catalog::format_type(before, -1),
                dataman_pg::catalog::format_type(ty, -1)
            )));
        }
        self.client[place] = ty;
        Ok(())
    }
}
