//! Window calls with every frame.

use super::generator::Generator;
use super::kind::Kind;
use super::template::{WINDOW_AGGREGATES, WINDOW_FUNCTIONS, WINDOW_RANKS};
use super::tree::{Role, Tree};

/// What a window's order must say for its call to be decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// All rows' places.
    Total,
    /// Nothing: rows that are peers count alike.
    Nothing,
}

impl Generator {
    /// A window call of a type.
    pub(super) fn window_call(&mut self, kind: Kind) -> Option<Tree> {
        let of = |all: &'static [(Kind, &'static str)]| {
            all.iter().filter(move |(of, _)| *of == kind).map(|(_, text)| *text)
        };
        let aggregates: Vec<&str> = of(WINDOW_AGGREGATES).collect();
        let ordered: Vec<&str> = of(WINDOW_FUNCTIONS).collect();
        let ranks: Vec<&str> = of(WINDOW_RANKS).collect();
        let draw = self.below(10);
        let (text, needs) = if draw < 5 && !aggregates.is_empty() {
            (self.pick(&aggregates), Needs::Nothing)
        } else if draw < 6 && !ranks.is_empty() {
            (self.pick(&ranks), Needs::Nothing)
        } else if !ordered.is_empty() && self.may_place() {
            self.scope().placed = true;
            (self.pick(&ordered), Needs::Total)
        } else {
            return None;
        };
        let wrapped = text.strip_prefix("trim_scale(").and_then(|rest| rest.strip_suffix(')'));
        Some(self.inside_window(|this| {
            let mut call = Tree::new(Role::Expression(kind));
            if wrapped.is_some() {
                call = call.text("trim_scale(");
            }
            call = call.tree(this.template(kind, wrapped.unwrap_or(text), 2));
            let aggregate = needs == Needs::Nothing && !text.ends_with("()") || text == "count(*)";
            if aggregate && this.chance(12) {
                let condition = this.condition(1);
                call = call.tree(Tree::optional(" FILTER (WHERE ", condition.text(")")));
            }
            let over = this.over(needs);
            call = call.text(" OVER (").tree(over).text(")");
            if wrapped.is_some() {
                call = call.text(")");
            }
            call
        }))
    }

    /// Whether the order of rows that are the same is not seen: one call may tell them apart, not two.
    fn may_place(&mut self) -> bool {
        let scope = self.scope();
        !scope.repeats || !scope.placed
    }

    fn over(&mut self, needs: Needs) -> Tree {
        let mut over = Tree::plain("");
        if self.chance(55) {
            let keys = (0..1 + self.below(2)).map(|_| self.key(1).1).collect();
            over = over.tree(Tree::optional("PARTITION BY ", Tree::list(1, ", ", keys)));
        }
        let direction =
            |this: &mut Self| this.pick(&["", "", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST"]);
        if needs == Needs::Total {
            let mut order = Tree::plain(" ORDER BY ");
            if self.chance(60) {
                let way = direction(self);
                let (_, key) = self.key(1);
                order = order.tree(Tree::new(Role::Optional).tree(key).text(format!("{way}, ")));
            }
            let all = self.scope().order.clone();
            let all = if all.is_empty() { "1".to_owned() } else { all.join(", ") };
            over = over.tree(order.text(all));
            return if self.chance(60) {
                let frame = self.frame(&["ROWS", "ROWS", "GROUPS"]);
                over.tree(frame)
            } else {
                over
            };
        }
        let draw = self.below(10);
        if draw < 2 {
            return over;
        }
        if draw < 5 {
            // RANGE with offsets: one key that offsets can be added to.
            let (kind, offsets): (Kind, &[&str]) = self.pick(&[
                (Kind::Int4, &["1", "2", "0", "100"][..]),
                (Kind::Int8, &["1", "3"][..]),
                (Kind::Numeric, &["1.5", "0", "10"][..]),
                (Kind::Date, &["'1 day'::interval", "'1 year'::interval"][..]),
                (Kind::Timestamp, &["'1 month'::interval", "'12:00:00'::interval"][..]),
                (Kind::Float8, &["0.5", "2"][..]),
            ]);
            let key = self.expression(kind, 1);
            let way = self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
            let frame = self.frame_of("RANGE", offsets);
            return over.text(" ORDER BY ").tree(key).text(way).tree(frame);
        }
        let count = 1 + self.below(2);
        let keys: Vec<Tree> = (0..count)
            .map(|_| {
                let way = direction(self);
                Tree::plain("").tree(self.key(1).1).text(way)
            })
            .collect();
        let over = over.text(" ORDER BY ").tree(Tree::list(1, ", ", keys));
        if self.chance(60) {
            let frame = self.frame(&["RANGE", "GROUPS"]);
            return over.tree(frame);
        }
        over
    }

    /// A frame of one of the modes; RANGE here has no offsets.
    fn frame(&mut self, modes: &[&'static str]) -> Tree {
        let mode = self.pick(modes);
        let offsets: &[&str] = if mode == "RANGE" { &[] } else { &["0", "1", "2", "3"] };
        self.frame_of(mode, offsets)
    }

    fn frame_of(&mut self, mode: &str, offsets: &[&str]) -> Tree {
        let bound = |this: &mut Self, from: usize| -> (usize, String) {
            // In the order in which a frame's start may not be behind its end.
            let place = from + this.below(5 - from);
            let text = match place {
                0 => "UNBOUNDED PRECEDING".to_owned(),
                1 if !offsets.is_empty() => format!("{} PRECEDING", this.pick(offsets)),
                3 if !offsets.is_empty() => format!("{} FOLLOWING", this.pick(offsets)),
                4 => "UNBOUNDED FOLLOWING".to_owned(),
                _ => "CURRENT ROW".to_owned(),
            };
            let place = if text == "CURRENT ROW" { 2 } else { place };
            (place, text)
        };
        let (place, start) = loop {
            let (place, start) = bound(self, 0);
            if place < 4 {
                break (place, start);
            }
        };
        let frame = if place < 3 && self.chance(30) {
            format!(" {mode} {start}")
        } else {
            let (_, end) = loop {
                let (end, text) = bound(self, place);
                if end > 0 && end >= place {
                    break (end, text);
                }
            };
            format!(" {mode} BETWEEN {start} AND {end}")
        };
        let exclude = if self.chance(25) {
            format!(" EXCLUDE {}", self.pick(&["GROUP", "TIES", "NO OTHERS", "CURRENT ROW"]))
        } else {
            String::new()
        };
        Tree::optional(&format!("{frame}{exclude}"), Tree::plain(""))
    }
}
