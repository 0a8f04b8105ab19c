//! `anyelement`, `anycompatible` and their kin (the manual's section 38.2.5).
//!
//! There are two families. In the first, all arguments declared `anyelement` must have one type, and `anyarray`, `anyrange`
//! and `anymultirange` are over that type. In the second (`anycompatible…`), the arguments are cast to their common type.

use super::Resolver;
use crate::catalog;
use crate::error::{PgError, Result};
use crate::types::TypeId;

/// What the polymorphic arguments of one call stand for; [`TypeId::NONE`] while not known.
struct Binding {
    element: TypeId,
    array: TypeId,
    range: TypeId,
    multirange: TypeId,
    /// Something of the first family is declared.
    is_used: bool,
    needs_nonarray: bool,
    needs_enum: bool,
    compatible: TypeId,
    compatible_range: TypeId,
    compatible_multirange: TypeId,
    compatible_is_used: bool,
    compatible_needs_nonarray: bool,
}

fn mismatch(message: String) -> PgError {
    PgError::new("42804", message)
}

impl Resolver<'_> {
    /// Whether actual types fit a polymorphic declaration.
    pub(super) fn fits_polymorphic(&self, actual: &[TypeId], declared: &[TypeId]) -> bool {
        self.bind_polymorphic(actual, declared)
            .is_ok_and(|binding| !binding.needs_enum || binding.element != TypeId::NONE)
    }

    /// Decides what a polymorphic declaration stands for in a call: replaces what `declared` leaves open and returns the
    /// concrete type of the result.
    ///
    /// # Errors
    /// `42804` when the arguments are not alike or leave the type open.
    pub(super) fn settle_polymorphic(
        &self,
        actual: &[TypeId],
        declared: &mut [TypeId],
        result: TypeId,
    ) -> Result<TypeId> {
        if !result.is_polymorphic() && !declared.iter().any(|ty| ty.is_polymorphic()) {
            return Ok(result);
        }
        let mut binding = self.bind_polymorphic(actual, declared)?;
        if binding.is_used && binding.element == TypeId::NONE {
            return Err(mismatch(
                "could not determine polymorphic type because input has type unknown".to_owned(),
            ));
        }
        if binding.compatible_is_used && binding.compatible == TypeId::NONE {
            // All are unknown literals: those are text in the end.
            binding.compatible = TypeId::TEXT;
        }
        for (declared, actual) in declared.iter_mut().zip(actual) {
            let is_unknown = *actual == TypeId::UNKNOWN;
            let concrete = match *declared {
                TypeId::ANYELEMENT | TypeId::ANYNONARRAY | TypeId::ANYENUM if is_unknown => {
                    binding.element
                }
                TypeId::ANYARRAY if is_unknown => self.array_for(&binding)?,
                TypeId::ANYRANGE if is_unknown => range_for(&binding)?,
                TypeId::ANYMULTIRANGE if is_unknown => multirange_for(&binding)?,
                TypeId::ANYCOMPATIBLE | TypeId::ANYCOMPATIBLENONARRAY => binding.compatible,
                TypeId::ANYCOMPATIBLEARRAY => self.array_of(binding.compatible)?,
                TypeId::ANYCOMPATIBLERANGE => compatible_range_for(&binding)?,
                TypeId::ANYCOMPATIBLEMULTIRANGE => compatible_multirange_for(&binding)?,
                other => other,
            };
            *declared = concrete;
        }
        match result {
            TypeId::ANYELEMENT | TypeId::ANYNONARRAY | TypeId::ANYENUM => Ok(binding.element),
            TypeId::ANYARRAY => self.array_for(&binding),
            TypeId::ANYRANGE => range_for(&binding),
            TypeId::ANYMULTIRANGE => multirange_for(&binding),
            TypeId::ANYCOMPATIBLE | TypeId::ANYCOMPATIBLENONARRAY => Ok(binding.compatible),
            TypeId::ANYCOMPATIBLEARRAY => self.array_of(binding.compatible),
            TypeId::ANYCOMPATIBLERANGE => compatible_range_for(&binding),
            TypeId::ANYCOMPATIBLEMULTIRANGE => compatible_multirange_for(&binding),
            other => Ok(other),
        }
    }

    fn array_for(&self, binding: &Binding) -> Result<TypeId> {
        if binding.array == TypeId::NONE {
            self.array_of(binding.element)
        } else {
            Ok(binding.array)
        }
    }

    fn bind_polymorphic(&self, actual: &[TypeId], declared: &[TypeId]) -> Result<Binding> {
        let none = TypeId::NONE;
        let mut binding = Binding {
            element: none,
            array: none,
            range: none,
            multirange: none,
            is_used: false,
            needs_nonarray: false,
            needs_enum: false,
            compatible: none,
            compatible_range: none,
            compatible_multirange: none,
            compatible_is_used: false,
            compatible_needs_nonarray: false,
        };
        let mut compatible = Vec::new();
        for (declared, actual) in declared.iter().copied().zip(actual.iter().copied()) {
            match declared {
                TypeId::ANYELEMENT | TypeId::ANYNONARRAY | TypeId::ANYENUM => {
                    binding.is_used = true;
                    binding.needs_nonarray |= declared == TypeId::ANYNONARRAY;
                    binding.needs_enum |= declared == TypeId::ANYENUM;
                    self.bind_one(&mut binding.element, actual, "anyelement")?;
                }
                TypeId::ANYARRAY => {
                    binding.is_used = true;
                    self.bind_one(&mut binding.array, actual, "anyarray")?;
                }
                TypeId::ANYRANGE => {
                    binding.is_used = true;
                    self.bind_one(&mut binding.range, actual, "anyrange")?;
                }
                TypeId::ANYMULTIRANGE => {
                    binding.is_used = true;
                    self.bind_one(&mut binding.multirange, actual, "anymultirange")?;
                }
                TypeId::ANYCOMPATIBLE | TypeId::ANYCOMPATIBLENONARRAY => {
                    binding.compatible_is_used = true;
                    binding.compatible_needs_nonarray |= declared == TypeId::ANYCOMPATIBLENONARRAY;
                    if actual != TypeId::UNKNOWN {
                        compatible.push(actual);
                    }
                }
                TypeId::ANYCOMPATIBLEARRAY => {
                    binding.compatible_is_used = true;
                    if actual != TypeId::UNKNOWN {
                        let element = self.facts(actual).element;
                        if element == none {
                            return Err(self.not_a("anycompatiblearray", "an array", actual));
                        }
                        compatible.push(element);
                    }
                }
                TypeId::ANYCOMPATIBLERANGE => {
                    binding.compatible_is_used = true;
                    self.bind_one(&mut binding.compatible_range, actual, "anycompatiblerange")?;
                }
                TypeId::ANYCOMPATIBLEMULTIRANGE => {
                    binding.compatible_is_used = true;
                    let place = &mut binding.compatible_multirange;
                    self.bind_one(place, actual, "anycompatiblemultirange")?;
                }
                _ => {}
            }
        }
        self.derive_element(&mut binding)?;
        self.derive_compatible(&mut binding, compatible)?;
        Ok(binding)
    }

    /// Takes one argument's type where all of the same declaration must be alike.
    fn bind_one(&self, place: &mut TypeId, actual: TypeId, declared: &str) -> Result<()> {
        if actual == TypeId::UNKNOWN || *place == actual {
            return Ok(());
        }
        if *place != TypeId::NONE {
            let detail = format!("{} versus {}", self.type_name(*place), self.type_name(actual));
            return Err(mismatch(format!("arguments declared \"{declared}\" are not all alike"))
                .with_detail(detail));
        }
        *place = actual;
        Ok(())
    }

    fn not_a(&self, declared: &str, what: &str, actual: TypeId) -> PgError {
        let name = self.type_name(actual);
        mismatch(format!("argument declared {declared} is not {what} but type {name}"))
    }

    /// Makes element, array, range and multirange of the first family agree.
    fn derive_element(&self, binding: &mut Binding) -> Result<()> {
        let none = TypeId::NONE;
        if binding.array != none {
            let element = self.facts(binding.array).element;
            if element == none {
                return Err(self.not_a("anyarray", "an array", binding.array));
            }
            self.agree(&mut binding.element, element, "anyarray")?;
        }
        if binding.range == none && binding.multirange != none {
            binding.range = range_of_multirange(binding.multirange).ok_or_else(|| {
                self.not_a("anymultirange", "a multirange type", binding.multirange)
            })?;
        } else if binding.range != none && binding.multirange != none {
            let range = range_of_multirange(binding.multirange);
            if range != Some(binding.range) {
                return Err(mismatch(
                    "argument declared anymultirange is not consistent with argument declared anyrange"
                        .to_owned(),
                )
                .with_detail(format!(
                    "{} versus {}",
                    self.type_name(binding.multirange),
                    self.type_name(binding.range)
                )));
            }
        }
        if binding.range != none {
            let range = catalog::range(binding.range)
                .ok_or_else(|| self.not_a("anyrange", "a range type", binding.range))?;
            self.agree(&mut binding.element, range.element, "anyrange")?;
        }
        let element = binding.element;
        if element != none {
            if binding.needs_nonarray && self.facts(element).element != none {
                let name = self.type_name(element);
                return Err(mismatch(format!(
                    "type matched to anynonarray is an array type: {name}"
                )));
            }
            if binding.needs_enum && self.facts(element).kind != 'e' {
                let name = self.type_name(element);
                return Err(mismatch(format!(
                    "type matched to anyenum is not an enum type: {name}"
                )));
            }
        }
        Ok(())
    }

    fn agree(&self, place: &mut TypeId, element: TypeId, declared: &str) -> Result<()> {
        if *place != TypeId::NONE && *place != element {
            let message = format!(
                "argument declared {declared} is not consistent with argument declared anyelement"
            );
            let detail = format!("{} versus {}", self.type_name(element), self.type_name(*place));
            return Err(mismatch(message).with_detail(detail));
        }
        *place = element;
        Ok(())
    }

    fn derive_compatible(&self, binding: &mut Binding, mut types: Vec<TypeId>) -> Result<()> {
        let none = TypeId::NONE;
        if binding.compatible_range == none && binding.compatible_multirange != none {
            binding.compatible_range = range_of_multirange(binding.compatible_multirange)
                .ok_or_else(|| {
                    self.not_a(
                        "anycompatiblemultirange",
                        "a multirange type",
                        binding.compatible_multirange,
                    )
                })?;
        }
        let mut range_element = none;
        if binding.compatible_range != none {
            let range = catalog::range(binding.compatible_range).ok_or_else(|| {
                self.not_a("anycompatiblerange", "a range type", binding.compatible_range)
            })?;
            range_element = range.element;
            types.push(range_element);
        }
        if types.is_empty() {
            return Ok(());
        }
        let common = self.common_type_of(&types, "argument")?;
        for ty in &types {
            if !self.can_coerce(*ty, common, super::CastContext::Implicit) {
                return Err(mismatch(format!(
                    "argument types {} and {} cannot be matched",
                    self.type_name(common),
                    self.type_name(*ty)
                )));
            }
        }
        if binding.compatible_needs_nonarray && self.facts(common).element != none {
            let name = self.type_name(common);
            return Err(mismatch(format!(
                "type matched to anycompatiblenonarray is an array type: {name}"
            )));
        }
        if range_element != none && range_element != common {
            return Err(mismatch(format!(
                "anycompatiblerange type {} does not match anycompatible type {}",
                self.type_name(binding.compatible_range),
                self.type_name(common)
            )));
        }
        binding.compatible = common;
        Ok(())
    }
}

fn range_of_multirange(multirange: TypeId) -> Option<TypeId> {
    catalog::ranges().iter().find(|range| range.multirange == multirange).map(|range| range.id)
}

fn undetermined(declared: &str) -> PgError {
    mismatch(format!(
        "could not determine polymorphic type {declared} because input has type unknown"
    ))
}

fn range_for(binding: &Binding) -> Result<TypeId> {
    if binding.range == TypeId::NONE { Err(undetermined("anyrange")) } else { Ok(binding.range) }
}

fn multirange_for(binding: &Binding) -> Result<TypeId> {
    if binding.multirange != TypeId::NONE {
        return Ok(binding.multirange);
    }
    let range = catalog::range(binding.range);
    range.map(|range| range.multirange).ok_or_else(|| undetermined("anymultirange"))
}

fn compatible_range_for(binding: &Binding) -> Result<TypeId> {
    if binding.compatible_range == TypeId::NONE {
        return Err(undetermined("anycompatiblerange"));
    }
    Ok(binding.compatible_range)
}

fn compatible_multirange_for(binding: &Binding) -> Result<TypeId> {
    if binding.compatible_multirange != TypeId::NONE {
        return Ok(binding.compatible_multirange);
    }
    let range = catalog::range(binding.compatible_range);
    range.map(|range| range.multirange).ok_or_else(|| undetermined("anycompatiblemultirange"))
}
