//! Window calls: what they may stand beside, the window that they name or spell out, and its frame.

use dataman_pg::expr::{Frame, FrameBound, FrameExclusion, FrameUnit, SortKey, Window};
use dataman_pg::resolve::{CastContext, ResolvedFunction};
use dataman_pg::types::TypeRef;
use dataman_pg::{Expr, PgError, TypeId, in_range};

use super::expr::Clause;
use super::scope::Scope;
use super::{Binder, Result};
use crate::parse::syntax::{self, FunctionCall, Over, WindowSpec};
use crate::plan::form::walk;

impl Binder<'_> {
    pub(super) fn window(
        &mut self,
        call: &FunctionCall,
        found: ResolvedFunction,
        over: &Over,
        scope: &Scope<'_>,
        clause: Clause,
    ) -> Result<Expr> {
        if clause == Clause::AggregateArgument {
            return Err(PgError::new(
                "42803",
                "aggregate function calls cannot contain window function calls",
            ));
        }
        if let Some(word) = clause.refuses_windows() {
            return Err(PgError::new(
                "42P20",
                format!("window functions are not allowed in {word}"),
            ));
        }
        let name = found.function.name;
        if dataman_pg::aggregate::is_ordered_set(found.function.id) {
            let message = format!("OVER is not supported for ordered-set aggregate {name}");
            return Err(PgError::new("0A000", message));
        }
        if call.distinct {
            return Err(PgError::new("0A000", "DISTINCT is not implemented for window functions"));
        }
        if !call.order_by.is_empty() {
            return Err(PgError::new(
                "0A000",
                "aggregate ORDER BY is not implemented for window functions",
            ));
        }
        if call.filter.is_some() && found.function.kind != 'a' {
            return Err(PgError::new(
                "0A000",
                "FILTER is not implemented for non-aggregate window functions",
            ));
        }
        let mut nested = false;
        for arg in &found.args {
            walk(arg, &mut |node| nested |= matches!(node, Expr::Window(_)));
        }
        if nested {
            return Err(PgError::new("42P20", "window function calls cannot be nested"));
        }
        let spec = self.window_spec(over)?;
        let mut partition_by = Vec::new();
        for expr in &spec.partition_by {
            let bound = self.expr(expr, scope, Clause::Window)?;
            let bound = self.decided(bound)?;
            self.check_sortable(bound.type_id(), "an equality operator")?;
            partition_by.push(bound);
        }
        let order_by = self.sort_keys(&spec.order_by, scope, Clause::Window)?;
        let filter = match &call.filter {
            None => None,
            Some(filter) => {
                let bound = self.expr(filter, scope, Clause::Filter)?;
                Some(self.resolver().to_boolean(bound, "FILTER")?)
            }
        };
        let frame =
            spec.frame.as_ref().map(|frame| self.frame(frame, &order_by, scope)).transpose()?;
        Ok(Expr::Window(Box::new(Window {
            function: found.function.id,
            args: found.args,
            filter,
            partition_by,
            order_by,
            frame,
            ty: found.ty,
        })))
    }

    /// A key of which nothing decides the type is text.
    pub(super) fn decided(&mut self, expr: Expr) -> Result<Expr> {
        if expr.type_id() != TypeId::UNKNOWN {
            return Ok(expr);
        }
        self.resolver().cast(expr, TypeRef::plain(TypeId::TEXT), CastContext::Implicit)
    }

    /// A window with what it takes from the named one it extends.
    fn window_spec(&self, over: &Over) -> Result<WindowSpec> {
        let all = self.named_windows.len();
        match over {
            Over::Name(name) => self.named_window(name, all),
            Over::Spec(spec) => self.extended_window(spec, all, true),
        }
    }

    /// Finds the mistakes of a window of the WINDOW clause, whether it is used or not.
    pub(super) fn check_named_window(&mut self, place: usize, scope: &Scope<'_>) -> Result<()> {
        let Some((_, spec)) = self.named_windows.get(place).cloned() else { return Ok(()) };
        let spec = self.extended_window(&spec, place, false)?;
        for expr in &spec.partition_by {
            let bound = self.expr(expr, scope, Clause::Window)?;
            let bound = self.decided(bound)?;
            self.check_sortable(bound.type_id(), "an equality operator")?;
        }
        let order_by = self.sort_keys(&spec.order_by, scope, Clause::Window)?;
        if let Some(frame) = &spec.frame {
            self.frame(frame, &order_by, scope)?;
        }
        Ok(())
    }

    /// A window of the WINDOW clause: one of the first `before`, since each may extend those ahead of it only.
    fn named_window(&self, name: &str, before: usize) -> Result<WindowSpec> {
        let known = self.named_windows.iter().take(before);
        let (place, (_, spec)) = known
            .enumerate()
            .find(|(_, (known, _))| known == name)
            .ok_or_else(|| PgError::new("42704", format!("window \"{name}\" does not exist")))?;
        self.extended_window(spec, place, false)
    }

    fn extended_window(
        &self,
        spec: &WindowSpec,
        before: usize,
        is_over: bool,
    ) -> Result<WindowSpec> {
        let Some(base) = &spec.base else {
            return Ok(spec.clone());
        };
        let found = self.named_window(base, before)?;
        if !spec.partition_by.is_empty() {
            return Err(PgError::new(
                "42P20",
                format!("cannot override PARTITION BY clause of window \"{base}\""),
            ));
        }
        if !spec.order_by.is_empty() && !found.order_by.is_empty() {
            return Err(PgError::new(
                "42P20",
                format!("cannot override ORDER BY clause of window \"{base}\""),
            ));
        }
        if found.frame.is_some() {
            let error = PgError::new(
                "42P20",
                format!("cannot copy window \"{base}\" because it has a frame clause"),
            );
            let adds_nothing = is_over && spec.order_by.is_empty() && spec.frame.is_none();
            return Err(if adds_nothing {
                error.with_hint("Omit the parentheses in this OVER clause.")
            } else {
                error
            });
        }
        Ok(WindowSpec {
            base: None,
            partition_by: found.partition_by,
            order_by: if spec.order_by.is_empty() { found.order_by } else { spec.order_by.clone() },
            frame: spec.frame.clone(),
        })
    }

    fn frame(
        &mut self,
        frame: &syntax::Frame,
        order_by: &[SortKey],
        scope: &Scope<'_>,
    ) -> Result<Frame> {
        use syntax::FrameBound as Written;
        let unit = match frame.unit {
            "ROWS" => FrameUnit::Rows,
            "GROUPS" => FrameUnit::Groups,
            _ => FrameUnit::Range,
        };
        let has_offset = [&frame.start, &frame.end]
            .iter()
            .any(|bound| matches!(bound, Written::Preceding(_) | Written::Following(_)));
        if unit == FrameUnit::Range && has_offset && order_by.len() != 1 {
            return Err(PgError::new(
                "42P20",
                "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
            ));
        }
        if unit == FrameUnit::Groups && order_by.is_empty() {
            return Err(PgError::new("42P20", "GROUPS mode requires an ORDER BY clause"));
        }
        let key = order_by.first().map(|key| key.expr.type_id());
        let mut bound = |bound: &Written| -> Result<FrameBound> {
            Ok(match bound {
                Written::UnboundedPreceding => FrameBound::UnboundedPreceding,
                Written::Preceding(expr) => {
                    FrameBound::Preceding(self.frame_offset(expr, unit, key, scope)?)
                }
                Written::CurrentRow => FrameBound::CurrentRow,
                Written::Following(expr) => {
                    FrameBound::Following(self.frame_offset(expr, unit, key, scope)?)
                }
                Written::UnboundedFollowing => FrameBound::UnboundedFollowing,
            })
        };
        Ok(Frame {
            unit,
            start: bound(&frame.start)?,
            end: bound(&frame.end)?,
            exclude: match frame.exclude {
                Some("CURRENT ROW") => FrameExclusion::CurrentRow,
                Some("GROUP") => FrameExclusion::Group,
                Some("TIES") => FrameExclusion::Ties,
                _ => FrameExclusion::Nothing,
            },
        })
    }

    /// An offset: a `bigint`, or for RANGE what `in_range` takes for the order's key.
    fn frame_offset(
        &mut self,
        written: &syntax::Expr,
        unit: FrameUnit,
        key: Option<TypeId>,
        scope: &Scope<'_>,
    ) -> Result<Expr> {
        let word = unit.word();
        let mut offset = self.expr(written, scope, Clause::FrameOffset(word))?;
        let ty = match (unit, key) {
            (FrameUnit::Range, Some(key)) => {
                let ty = self.range_offset_type(key, offset.type_id());
                self.place(ty, written.span)?
            }
            _ => TypeId::INT8,
        };
        offset = self.resolver().to_type(offset, ty, word)?;
        let mut reads = false;
        walk(&offset, &mut |node| reads |= matches!(node, Expr::Field(_)));
        if reads {
            let error =
                PgError::new("42P10", format!("argument of {word} must not contain variables"));
            return Err(self.at(error, written.span));
        }
        Ok(offset)
    }

    /// The type that an offset of RANGE is taken as, over a key of some type.
    fn range_offset_type(&mut self, key: TypeId, offset: TypeId) -> Result<TypeId> {
        let takes: Vec<TypeId> =
            in_range::functions(key).filter_map(|function| function.args.get(2).copied()).collect();
        let name = self.type_name(key);
        if takes.is_empty() {
            let message = format!(
                "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {name}"
            );
            return Err(PgError::new("0A000", message));
        }
        let preferred = if offset == TypeId::UNKNOWN { key } else { offset };
        let fitting: Vec<TypeId> = takes
            .into_iter()
            .filter(|ty| self.resolver().can_coerce(offset, *ty, CastContext::Implicit))
            .collect();
        let pair = format!("column type {name} and offset type {}", self.type_name(offset));
        match fitting.as_slice() {
            [] => Err(PgError::new(
                "0A000",
                format!("RANGE with offset PRECEDING/FOLLOWING is not supported for {pair}"),
            )
            .with_hint("Cast the offset value to an appropriate type.")),
            [one] => Ok(*one),
            several if several.contains(&preferred) => Ok(preferred),
            _ => Err(PgError::new(
                "0A000",
                format!(
                    "RANGE with offset PRECEDING/FOLLOWING has multiple interpretations for {pair}"
                ),
            )
            .with_hint("Cast the offset value to the exact intended type.")),
        }
    }
}
