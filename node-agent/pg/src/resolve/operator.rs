//! Operators (the manual's section 10.2).

use super::candidate::Choice;
use super::{CastContext, Resolver};
use crate::catalog::{self, Operator};
use crate::error::{PgError, Result};
use crate::expr::{Call, Expr};
use crate::types::{TypeId, TypeRef};

impl Resolver<'_> {
    /// Resolves a binary operator and makes the call.
    ///
    /// # Errors
    /// `42883` `operator does not exist: text = integer` with PostgreSQL's hint; `42725` when not unique.
    pub fn binary(&mut self, operator: &str, left: Expr, right: Expr) -> Result<Expr> {
        let types = [left.type_id(), right.type_id()];
        let operator = self.find_binary(operator, types[0], types[1])?;
        self.call_operator(
            operator,
            vec![left, right],
            &types,
            &mut [operator.left, operator.right],
        )
    }

    /// Resolves a prefix operator and makes the call.
    ///
    /// # Errors
    /// As [`Resolver::binary`].
    pub fn prefix(&mut self, operator: &str, arg: Expr) -> Result<Expr> {
        let types = [arg.type_id()];
        let operator = self.find_prefix(operator, types[0])?;
        self.call_operator(operator, vec![arg], &types, &mut [operator.right])
    }

    /// Resolves `left op ANY|ALL (array)`.
    ///
    /// # Errors
    /// As [`Resolver::binary`]; `42809` when the right side is no array.
    pub fn array_operator(
        &mut self,
        operator: &str,
        left: Expr,
        array: Expr,
        all: bool,
    ) -> Result<Expr> {
        let wrong = |message: &'static str| PgError::new("42809", message);
        let (left_type, array_type) = (left.type_id(), array.type_id());
        let element = match array_type {
            TypeId::UNKNOWN => TypeId::UNKNOWN,
            other => self.facts(other).element,
        };
        if element == TypeId::NONE {
            return Err(wrong("op ANY/ALL (array) requires array on right side"));
        }
        let operator = self.find_binary(operator, left_type, element)?;
        let mut declared = [operator.left, operator.right];
        let result =
            self.settle_polymorphic(&[left_type, element], &mut declared, operator.result)?;
        if result != TypeId::BOOL {
            return Err(wrong("op ANY/ALL (array) requires operator to yield boolean"));
        }
        if catalog::function(operator.function).is_some_and(|function| function.returns_set) {
            return Err(wrong("op ANY/ALL (array) requires operator not to return a set"));
        }
        let left = self.coerce(left, declared[0].into(), CastContext::Implicit)?;
        // An element of an `anyelement` operator is any as it is, and so is the array.
        let array = if declared[1].is_polymorphic() {
            array
        } else {
            let wanted = self.array_of(declared[1])?;
            self.coerce(array, wanted.into(), CastContext::Implicit)?
        };
        Ok(Expr::ArrayOp {
            function: operator.function,
            operator: operator.id,
            all,
            left: Box::new(left),
            array: Box::new(array),
        })
    }

    /// Finds the operator for two types, without making a call.
    ///
    /// # Errors
    /// As [`Resolver::binary`].
    pub fn find_binary(
        &self,
        name: &str,
        left: TypeId,
        right: TypeId,
    ) -> Result<&'static Operator> {
        let candidates = catalog::operators_named(name);
        // An unknown literal beside a known type is first taken for that type.
        let (exact_left, exact_right) = match (left, right) {
            (TypeId::UNKNOWN, right) => (right, right),
            (left, TypeId::UNKNOWN) => (left, left),
            both => both,
        };
        let exact = candidates.iter().find(|o| o.left == exact_left && o.right == exact_right);
        if let Some(exact) = exact {
            return Ok(exact);
        }
        let binary = candidates.iter().filter(|o| o.left != TypeId::NONE);
        let choice = self.choose(&[left, right], binary, &|o: &Operator| vec![o.left, o.right]);
        let signature = || format!("{} {name} {}", self.type_name(left), self.type_name(right));
        match choice {
            Choice::One(operator) => Ok(operator),
            Choice::Many => Err(not_unique(&signature())),
            Choice::None => Err(missing(&signature()).with_hint(
                "No operator matches the given name and argument types. You might need to add explicit type casts.",
            )),
        }
    }

    /// Finds the prefix operator for a type, without making a call.
    ///
    /// # Errors
    /// As [`Resolver::binary`].
    pub fn find_prefix(&self, name: &str, arg: TypeId) -> Result<&'static Operator> {
        let prefix = || catalog::operators_named(name).iter().filter(|o| o.left == TypeId::NONE);
        if let Some(exact) = prefix().find(|o| o.right == arg) {
            return Ok(exact);
        }
        let signature = || format!("{name} {}", self.type_name(arg));
        match self.choose(&[arg], prefix(), &|o: &Operator| vec![o.right]) {
            Choice::One(operator) => Ok(operator),
            Choice::Many => Err(not_unique(&signature())),
            Choice::None => Err(missing(&signature()).with_hint(
                "No operator matches the given name and argument type. You might need to add an explicit type cast.",
            )),
        }
    }

    /// Makes the call of an operator that is already decided, as for ORDER BY … USING and DISTINCT's equality.
    ///
    /// # Errors
    /// When the operands do not fit it after all.
    pub fn call(&mut self, operator: &'static Operator, args: Vec<Expr>) -> Result<Expr> {
        let types: Vec<TypeId> = args.iter().map(Expr::type_id).collect();
        let mut declared = match operator.left {
            TypeId::NONE => vec![operator.right],
            left => vec![left, operator.right],
        };
        self.call_operator(operator, args, &types, &mut declared)
    }

    fn call_operator(
        &mut self,
        operator: &'static Operator,
        args: Vec<Expr>,
        types: &[TypeId],
        declared: &mut [TypeId],
    ) -> Result<Expr> {
        let ty = TypeRef::plain(self.settle_polymorphic(types, declared, operator.result)?);
        let args = self.coerce_args(args, declared)?;
        Ok(Expr::Call(Call {
            function: operator.function,
            operator: Some(operator.id),
            args,
            variadic: false,
            ty,
        }))
    }

    /// Casts the arguments of a call to their declared types.
    pub(super) fn coerce_args(
        &mut self,
        args: Vec<Expr>,
        declared: &[TypeId],
    ) -> Result<Vec<Expr>> {
        args.into_iter()
            .zip(declared)
            .map(|(arg, ty)| self.coerce(arg, (*ty).into(), CastContext::Implicit))
            .collect()
    }
}

fn missing(signature: &str) -> PgError {
    PgError::new("42883", format!("operator does not exist: {signature}"))
}

fn not_unique(signature: &str) -> PgError {
    PgError::new("42725", format!("operator is not unique: {signature}")).with_hint(
        "Could not choose a best candidate operator. You might need to add explicit type casts.",
    )
}
