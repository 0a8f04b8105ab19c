//! Which of several operators or functions fits best (the manual's sections 10.2 and 10.3, steps "look for the best match").

use super::{CastContext, Resolver};
use crate::types::TypeId;

/// What the search came to.
pub(super) enum Choice<T> {
    One(T),
    None,
    Many,
}

impl Resolver<'_> {
    /// Picks the candidate that fits the arguments. `types_of` gives a candidate's declared types, as many as there are
    /// arguments.
    pub(super) fn choose<'c, T: ?Sized>(
        &self,
        args: &[TypeId],
        candidates: impl Iterator<Item = &'c T>,
        types_of: &dyn Fn(&T) -> Vec<TypeId>,
    ) -> Choice<&'c T> {
        let fitting: Vec<(Vec<TypeId>, &T)> = candidates
            .map(|candidate| (types_of(candidate), candidate))
            .filter(|(types, _)| self.can_coerce_all(args, types, CastContext::Implicit))
            .collect();
        match fitting.as_slice() {
            [] => Choice::None,
            [(_, only)] => Choice::One(only),
            _ => self.best(args, fitting).map_or(Choice::Many, Choice::One),
        }
    }

    fn best<'c, T: ?Sized>(
        &self,
        args: &[TypeId],
        candidates: Vec<(Vec<TypeId>, &'c T)>,
    ) -> Option<&'c T> {
        let is_known = |arg: &TypeId| *arg != TypeId::UNKNOWN;
        // Most exact matches.
        let candidates = most(candidates, |types| {
            args.iter().zip(types).filter(|(arg, ty)| is_known(arg) && arg == ty).count()
        });
        if let [(_, only)] = candidates.as_slice() {
            return Some(only);
        }
        // Most exact matches or preferred types of the argument's category.
        let candidates = most(candidates, |types| {
            let fits = |arg: &TypeId, ty: &TypeId| {
                let facts = self.facts(*ty);
                arg == ty || (facts.preferred && facts.category == self.facts(*arg).category)
            };
            args.iter().zip(types).filter(|(arg, ty)| is_known(arg) && fits(arg, ty)).count()
        });
        if let [(_, only)] = candidates.as_slice() {
            return Some(only);
        }
        let unknowns = args.iter().filter(|arg| !is_known(arg)).count();
        if unknowns == 0 {
            return None;
        }
        let candidates = self.by_category(args, candidates);
        if let [(_, only)] = candidates.as_slice() {
            return Some(only);
        }
        // All known arguments of one type: take the unknown ones for the same.
        let mut known = args.iter().copied().filter(is_known);
        let first = known.next()?;
        if known.any(|arg| arg != first) {
            return None;
        }
        let alike = vec![first; args.len()];
        let mut fitting = candidates
            .iter()
            .filter(|(types, _)| self.can_coerce_all(&alike, types, CastContext::Implicit));
        match (fitting.next(), fitting.next()) {
            (Some((_, only)), None) => Some(only),
            _ => None,
        }
    }

    /// Gives each unknown argument the category that the candidates agree on, or strings if any takes one there, and
    /// keeps the candidates that fit; all of them if that decides nothing.
    fn by_category<'c, T: ?Sized>(
        &self,
        args: &[TypeId],
        candidates: Vec<(Vec<TypeId>, &'c T)>,
    ) -> Vec<(Vec<TypeId>, &'c T)> {
        let mut slots = Vec::with_capacity(args.len());
        for (place, arg) in args.iter().enumerate() {
            if *arg != TypeId::UNKNOWN {
                slots.push(None);
                continue;
            }
            let mut category = None;
            let mut has_preferred = false;
            let mut conflict = false;
            for (types, _) in &candidates {
                let facts = self.facts(types[place]);
                match category {
                    None => (category, has_preferred) = (Some(facts.category), facts.preferred),
                    Some(same) if same == facts.category => has_preferred |= facts.preferred,
                    Some(_) if facts.category == 'S' => {
                        (category, has_preferred) = (Some('S'), facts.preferred);
                    }
                    Some(_) => conflict = true,
                }
            }
            if conflict && category != Some('S') {
                return candidates;
            }
            slots.push(category.map(|category| (category, has_preferred)));
        }
        let fits = |types: &[TypeId]| {
            types.iter().zip(&slots).all(|(ty, slot)| {
                let facts = self.facts(*ty);
                slot.is_none_or(|(category, has_preferred)| {
                    facts.category == category && (facts.preferred || !has_preferred)
                })
            })
        };
        let kept: Vec<_> = candidates
            .iter()
            .filter(|(types, _)| fits(types))
            .map(|(t, c)| (t.clone(), *c))
            .collect();
        if kept.is_empty() { candidates } else { kept }
    }
}

/// The candidates with the highest count.
fn most<T: ?Sized>(
    candidates: Vec<(Vec<TypeId>, &T)>,
    count: impl Fn(&[TypeId]) -> usize,
) -> Vec<(Vec<TypeId>, &T)> {
    let highest = candidates.iter().map(|(types, _)| count(types)).max().unwrap_or(0);
    candidates.into_iter().filter(|(types, _)| count(types) == highest).collect()
}
