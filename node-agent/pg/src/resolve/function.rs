//! Functions (the manual's section 10.3).

use super::candidate::Choice;
use super::{CastContext, Pathway, ResolvedFunction, Resolver};
use crate::catalog::{self, Function};
use crate::error::{PgError, Result};
use crate::expr::{Cast, CastMethod, Expr};
use crate::types::{TypeId, TypeRef};
use crate::value::Value;

/// One function as this call could use it.
struct Candidate {
    function: &'static Function,
    /// The declared types in the order of the call's arguments, VARIADIC repeated.
    types: Vec<TypeId>,
    /// How many arguments go into the VARIADIC array; 0 if that is not used.
    gathered: usize,
    /// For each of the call's arguments its place among the function's, if any is named.
    places: Option<Vec<usize>>,
    /// Another function has the same types here, so that neither can be meant.
    is_ambiguous: bool,
}

impl Resolver<'_> {
    /// Resolves a function, aggregate or window function by name. `names` holds `name => value` argument names.
    /// A one-argument call by a type's name is a cast, as in PostgreSQL: then [`Resolver::function_cast`] answers it.
    ///
    /// # Errors
    /// `42883` `function foo(integer) does not exist`; `42725` when not unique.
    pub fn function(
        &mut self,
        name: &str,
        args: Vec<Expr>,
        names: &[Option<String>],
        variadic: bool,
    ) -> Result<ResolvedFunction> {
        let types: Vec<TypeId> = args.iter().map(Expr::type_id).collect();
        let is_named = names.iter().any(Option::is_some);
        let missing = |this: &Self| {
            let signature = this.signature(name, &types, names);
            PgError::new("42883", format!("function {signature} does not exist")).with_hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            )
        };
        let ambiguous = |this: &Self| {
            let signature = this.signature(name, &types, names);
            PgError::new("42725", format!("function {signature} is not unique")).with_hint(
                "Could not choose a best candidate function. You might need to add explicit type casts.",
            )
        };
        let candidates = candidates(name, types.len(), names, !variadic);
        let exact = candidates.iter().find(|candidate| candidate.types == types);
        let chosen = match exact {
            Some(exact) => exact,
            None => {
                if let [arg] = args.as_slice()
                    && !is_named
                    && self.function_cast(name, arg).is_some()
                {
                    return Err(missing(self));
                }
                match self.choose(&types, candidates.iter(), &|c: &Candidate| c.types.clone()) {
                    Choice::One(candidate) => candidate,
                    Choice::None => return Err(missing(self)),
                    Choice::Many => return Err(ambiguous(self)),
                }
            }
        };
        if chosen.is_ambiguous {
            return Err(ambiguous(self));
        }
        self.make_call(chosen, args, types, variadic)
    }

    /// `typename(arg)` as a cast: when no function takes exactly this type, and the cast needs no function.
    pub fn function_cast(&mut self, name: &str, arg: &Expr) -> Option<Expr> {
        let source = arg.type_id();
        let target = match catalog::type_by_name(name) {
            Some(entry) if entry.kind != 'c' => entry.id,
            Some(_) => return None,
            None => self.types.named(name)?,
        };
        let is_exact = |function: &Function| function.args == [source];
        if catalog::functions_named(name).iter().any(is_exact) {
            return None;
        }
        if source != TypeId::UNKNOWN {
            match self.pathway(source, target, CastContext::Explicit)? {
                Pathway::Relabel => {}
                Pathway::InputOutput => {
                    let facts = self.facts(source);
                    let is_row = source == TypeId::RECORD || facts.kind == 'c';
                    if is_row && self.facts(target).category == 'S' {
                        return None;
                    }
                }
                Pathway::Function(_) | Pathway::Array => return None,
            }
        }
        self.cast(arg.clone(), target.into(), CastContext::Explicit).ok()
    }

    fn make_call(
        &mut self,
        chosen: &Candidate,
        args: Vec<Expr>,
        types: Vec<TypeId>,
        variadic: bool,
    ) -> Result<ResolvedFunction> {
        let function = chosen.function;
        // The call's arguments in the function's order; what is left open there takes its default.
        let total = function.args.len().max(args.len());
        let mut slots: Vec<Option<(Expr, TypeId, TypeId)>> = (0..total).map(|_| None).collect();
        for (index, ((arg, actual), declared)) in
            args.into_iter().zip(types).zip(&chosen.types).enumerate()
        {
            let place = chosen.places.as_ref().map_or(index, |places| places[index]);
            slots[place] = Some((arg, actual, *declared));
        }
        let (mut args, mut actual, mut declared) = (Vec::new(), Vec::new(), Vec::new());
        for (place, slot) in slots.into_iter().enumerate() {
            let (arg, from, to) = match slot {
                Some(slot) => slot,
                None => {
                    let ty = function.args[place];
                    let arg = self.default_value(function, place)?;
                    let from = arg.type_id();
                    (arg, from, ty)
                }
            };
            args.push(arg);
            actual.push(from);
            declared.push(to);
        }
        let result = self.settle_polymorphic(&actual, &mut declared, function.result)?;
        let mut args = self.coerce_args(args, &declared)?;
        let mut is_variadic = variadic;
        if variadic && function.variadic == TypeId::ANY {
            let given = args.last().map_or(TypeId::NONE, Expr::type_id);
            if given != TypeId::UNKNOWN && self.facts(given).element == TypeId::NONE {
                return Err(PgError::new("42804", "VARIADIC argument must be an array"));
            }
        }
        if chosen.gathered > 0 && function.variadic != TypeId::ANY {
            let elements = args.split_off(args.len() - chosen.gathered);
            let element = elements.first().map_or(function.variadic, Expr::type_id);
            args.push(Expr::Array { elements, ty: self.array_of(element)? });
            is_variadic = true;
        }
        Ok(ResolvedFunction { function, args, variadic: is_variadic, ty: TypeRef::plain(result) })
    }

    fn default_value(&mut self, function: &'static Function, place: usize) -> Result<Expr> {
        let ty = function.args[place];
        let first = function.args.len() - function.default_values.len();
        let text = place.checked_sub(first).and_then(|index| function.default_values.get(index));
        let Some(text) = text else {
            return Err(PgError::internal(format!("{} has no default at {place}", function.name)));
        };
        let literal = Expr::constant(Value::text(*text), TypeId::UNKNOWN);
        match self.coerce(literal, ty.into(), CastContext::Implicit)? {
            Expr::Const(constant) => Ok(Expr::Const(constant)),
            other => Ok(Expr::Cast(Box::new(Cast {
                arg: other,
                ty: ty.into(),
                method: CastMethod::Relabel,
                explicit: false,
            }))),
        }
    }

    /// A call as error messages show it: `foo(integer, b => text)`.
    fn signature(&self, name: &str, types: &[TypeId], names: &[Option<String>]) -> String {
        let args = types.iter().enumerate().map(|(place, ty)| {
            let ty = self.type_name(*ty);
            match names.get(place).and_then(Option::as_ref) {
                None => ty,
                Some(name) => format!("{name} => {ty}"),
            }
        });
        format!("{name}({})", args.collect::<Vec<_>>().join(", "))
    }
}

/// The functions of a name that could take so many arguments. Of two with the same types, one without VARIADIC goes first.
fn candidates(
    name: &str,
    count: usize,
    names: &[Option<String>],
    expand_variadic: bool,
) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for function in catalog::functions_named(name) {
        let Some(new) = candidate(function, count, names, expand_variadic) else { continue };
        let same = candidates.iter_mut().find(|old| old.types == new.types);
        match same {
            None => candidates.push(new),
            Some(old) if new.gathered > 0 && old.gathered == 0 => {}
            Some(old) if new.gathered == 0 && old.gathered > 0 => *old = new,
            Some(old) => old.is_ambiguous = true,
        }
    }
    candidates
}

fn candidate(
    function: &'static Function,
    count: usize,
    names: &[Option<String>],
    expand_variadic: bool,
) -> Option<Candidate> {
    let declared = function.args.len();
    let is_variadic = function.variadic != TypeId::NONE && expand_variadic;
    if names.iter().any(Option::is_some) {
        if is_variadic {
            return None;
        }
        let places = match_names(function, count, names)?;
        let types = places.iter().map(|place| function.args[*place]).collect();
        return Some(Candidate {
            function,
            types,
            gathered: 0,
            places: Some(places),
            is_ambiguous: false,
        });
    }
    let defaults = usize::from(function.defaults);
    let fits = if count < declared {
        count + defaults >= declared
    } else {
        count == declared || is_variadic
    };
    if !fits {
        return None;
    }
    let mut types: Vec<TypeId> = function.args.iter().copied().take(count).collect();
    let mut gathered = 0;
    if is_variadic && count >= declared {
        gathered = count - declared + 1;
        types.truncate(declared - 1);
        types.resize(count, function.variadic);
    }
    Some(Candidate { function, types, gathered, places: None, is_ambiguous: false })
}

/// The place of each of the call's arguments among the function's: by position, then by name; the others have defaults.
fn match_names(
    function: &'static Function,
    count: usize,
    names: &[Option<String>],
) -> Option<Vec<usize>> {
    let declared = function.args.len();
    if count > declared {
        return None;
    }
    let mut places = Vec::with_capacity(count);
    for index in 0..count {
        let place = match names.get(index).and_then(Option::as_ref) {
            None => index,
            Some(name) => function.arg_names.iter().position(|own| own == name)?,
        };
        if places.contains(&place) {
            return None;
        }
        places.push(place);
    }
    let first_default = declared - usize::from(function.defaults);
    (0..first_default).all(|place| places.contains(&place)).then_some(places)
}
