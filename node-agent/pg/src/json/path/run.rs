//! A path followed through a document.
//!
//! Items are handed on as they are found, so that a question for existence ends with the first one. What fails is *soft*
//! where PostgreSQL can keep silent about it or takes it for unknown, and *hard* else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use super::{Arithmetic, Comparison, Expr, Method, Path, Sign, Step, parse};
use crate::arguments::{boolean, jsonb, text};
use crate::error::{PgError, Result};
use crate::float;
use crate::json::Jsonb;
use crate::pattern::regexp;
use crate::registry::{Entry, entry};
use crate::value::{Numeric, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("jsonb_path_exists", |_, args| exists(args)),
    entry("jsonb_path_exists_tz", |_, args| exists(args)),
    entry("jsonb_path_exists_opr", |_, args| exists(args)),
    entry("jsonb_path_match", |_, args| matches(args)),
    entry("jsonb_path_match_tz", |_, args| matches(args)),
    entry("jsonb_path_match_opr", |_, args| matches(args)),
    entry("jsonb_path_query_array", |_, args| array(args)),
    entry("jsonb_path_query_array_tz", |_, args| array(args)),
    entry("jsonb_path_query_first", |_, args| first(args)),
    entry("jsonb_path_query_first_tz", |_, args| first(args)),
];

/// Paths that were read already; when full, it is emptied.
static PATHS: LazyLock<Mutex<HashMap<Arc<str>, Arc<Path>>>> = LazyLock::new(Mutex::default);
const PATHS_MAX: usize = 128;

fn path(text: &str) -> Result<Arc<Path>> {
    let mut known = PATHS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(path) = known.get(text) {
        return Ok(Arc::clone(path));
    }
    let path = Arc::new(parse::parse(text)?);
    if known.len() >= PATHS_MAX {
        known.clear();
    }
    known.insert(text.into(), Arc::clone(&path));
    Ok(path)
}

/// Why a path found nothing more.
enum Fail {
    Soft(PgError),
    Hard(PgError),
}

impl Fail {
    fn soft(sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Soft(PgError::new(sqlstate, message))
    }
}

/// Whether more items are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

type Found = Result<Flow, Fail>;
/// Takes an item.
type Sink<'s> = &'s mut dyn FnMut(&Jsonb) -> Found;

/// One call: the document, the variables, and whether it keeps silent about soft errors.
struct Call<'a> {
    run: Run<'a>,
    path: Arc<Path>,
    is_silent: bool,
}

impl<'a> Call<'a> {
    /// The operators `@?` and `@@` have two arguments and keep silent.
    fn new(args: &'a [Value]) -> Result<Self> {
        let path = path(text(args, 1)?)?;
        let (variables, is_silent) = match args.len() {
            2 => (None, true),
            _ => (Some(jsonb(args, 2)?), boolean(args, 3)?),
        };
        if variables.is_some_and(|variables| !matches!(variables, Jsonb::Object(_))) {
            return Err(PgError::new("22023", "\"vars\" argument is not an object").with_detail(
                "Jsonpath parameters should be encoded as key-value pairs of \"vars\" object.",
            ));
        }
        let run = Run { root: jsonb(args, 0)?, variables, is_strict: path.is_strict };
        Ok(Self { run, path, is_silent })
    }

    /// Hands on every item; false when a soft error that is kept silent ended it.
    fn each(&self, sink: Sink<'_>) -> Result<bool> {
        self.told(self.run.expr(&self.path.expr, self.scope(), sink)).map(|end| end.is_some())
    }

    fn scope(&self) -> Scope<'_> {
        let (ignores, raises) = (!self.path.is_strict, !self.is_silent);
        Scope { current: self.run.root, ignores, size: None, raises }
    }

    /// What the caller hears of a result: nothing of a soft error that is kept silent.
    fn told<T>(&self, result: Result<T, Fail>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Fail::Soft(_)) if self.is_silent => Ok(None),
            Err(Fail::Soft(error) | Fail::Hard(error)) => Err(error),
        }
    }

    fn all(&self) -> Result<Vec<Jsonb>> {
        let mut found = Vec::new();
        self.each(&mut |item| {
            found.push(item.clone());
            Ok(Flow::On)
        })?;
        Ok(found)
    }
}

fn exists(args: &[Value]) -> Result<Value> {
    let call = Call::new(args)?;
    let found = call.told(call.run.finds(&call.path.expr, call.scope()))?;
    Ok(found.map_or(Value::Null, Value::Bool))
}

fn matches(args: &[Value]) -> Result<Value> {
    let call = Call::new(args)?;
    match call.all()?.as_slice() {
        [Jsonb::Bool(value)] => Ok(Value::Bool(*value)),
        [Jsonb::Null] => Ok(Value::Null),
        _ if call.is_silent => Ok(Value::Null),
        _ => Err(PgError::new("22038", "single boolean result is expected")),
    }
}

fn array(args: &[Value]) -> Result<Value> {
    Ok(Value::Jsonb(Jsonb::Array(Call::new(args)?.all()?).into()))
}

fn first(args: &[Value]) -> Result<Value> {
    let found = Call::new(args)?.all()?;
    Ok(found.into_iter().next().map_or(Value::Null, |item| Value::Jsonb(item.into())))
}

/// The items that a path finds, for `jsonb_path_query`.
pub(crate) fn query(args: &[Value]) -> Result<Vec<Value>> {
    let found = Call::new(args)?.all()?;
    Ok(found.into_iter().map(|item| Value::Jsonb(item.into())).collect())
}

/// What does not change while a path is followed.
struct Run<'a> {
    root: &'a Jsonb,
    variables: Option<&'a Jsonb>,
    is_strict: bool,
}

/// What surrounds an expression.
#[derive(Clone, Copy)]
struct Scope<'a> {
    /// `@`.
    current: &'a Jsonb,
    /// Whether a document of another structure is no error.
    ignores: bool,
    /// The size of the array whose subscripts are computed.
    size: Option<usize>,
    /// Whether a soft error ends the call.
    raises: bool,
}

impl Run<'_> {
    fn expr(&self, expr: &Expr, scope: Scope<'_>, sink: Sink<'_>) -> Found {
        match expr {
            Expr::Null => sink(&Jsonb::Null),
            Expr::Bool(value) => sink(&Jsonb::Bool(*value)),
            Expr::Number(number) => sink(&Jsonb::Number(number.clone())),
            Expr::String(string) => sink(&Jsonb::String(string.clone())),
            Expr::Variable(name) => sink(self.variable(name)?),
            Expr::Root => sink(self.root),
            Expr::Current => sink(scope.current),
            Expr::Last => {
                let size = scope.size.unwrap_or_default();
                let last = i64::try_from(size).unwrap_or(i64::MAX) - 1;
                sink(&Jsonb::Number(Numeric::from(last)))
            }
            Expr::Steps(base, steps) => self.expr(base, scope, &mut |item| {
                self.steps(steps, item, scope, !self.is_strict, sink)
            }),
            Expr::Sign(sign, operand) => {
                for item in self.unwrapped(operand, scope)? {
                    let Jsonb::Number(number) = item else {
                        let message = format!(
                            "operand of unary jsonpath operator {} is not a numeric value",
                            sign.symbol()
                        );
                        return Err(Fail::soft("2203B", message));
                    };
                    let signed = if *sign == Sign::Minus { number.negate() } else { number };
                    if sink(&Jsonb::Number(signed))? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::On)
            }
            Expr::Arithmetic(operation, left, right) => {
                let value = self.arithmetic(*operation, left, right, scope)?;
                sink(&Jsonb::Number(value))
            }
            predicate => match self.truth(predicate, scope)? {
                None => sink(&Jsonb::Null),
                Some(value) => sink(&Jsonb::Bool(value)),
            },
        }
    }

    fn variable(&self, name: &str) -> Result<&Jsonb, Fail> {
        self.variables.and_then(|variables| variables.member(name)).ok_or_else(|| {
            let message = format!("could not find jsonpath variable \"{name}\"");
            Fail::Hard(PgError::new("42704", message))
        })
    }

    /// All items of an expression; in lax mode the elements of arrays.
    fn unwrapped(&self, expr: &Expr, scope: Scope<'_>) -> Result<Vec<Jsonb>, Fail> {
        let mut items = Vec::new();
        self.expr(expr, scope, &mut |item| {
            match item {
                Jsonb::Array(elements) if !self.is_strict => items.extend(elements.iter().cloned()),
                other => items.push(other.clone()),
            }
            Ok(Flow::On)
        })?;
        Ok(items)
    }

    /// Whether there is an item. Strictly, an error behind the first one counts as well.
    fn finds(&self, expr: &Expr, scope: Scope<'_>) -> Result<bool, Fail> {
        if let (Expr::Sign(_, operand), false) = (expr, self.is_strict) {
            // What is no number is passed over where only existence counts.
            let items = self.unwrapped(operand, scope)?;
            return Ok(items.iter().any(|item| matches!(item, Jsonb::Number(_))));
        }
        let after_first = if self.is_strict { Flow::On } else { Flow::Stop };
        let mut found = false;
        self.expr(expr, scope, &mut |_| {
            found = true;
            Ok(after_first)
        })?;
        Ok(found)
    }

    fn arithmetic(
        &self,
        operation: Arithmetic,
        left: &Expr,
        right: &Expr,
        scope: Scope<'_>,
    ) -> Result<Numeric, Fail> {
        let (left, right) = (self.unwrapped(left, scope)?, self.unwrapped(right, scope)?);
        let single = |items: &[Jsonb], side: &str| match items {
            [Jsonb::Number(number)] => Ok(number.clone()),
            _ => {
                let symbol = operation.symbol();
                let message = format!(
                    "{side} operand of jsonpath operator {symbol} is not a single numeric value"
                );
                Err(Fail::soft("22038", message))
            }
        };
        let (left, right) = (single(&left, "left")?, single(&right, "right")?);
        match operation {
            Arithmetic::Add => left.add(&right),
            Arithmetic::Subtract => left.subtract(&right),
            Arithmetic::Multiply => left.multiply(&right),
            Arithmetic::Divide => left.divide(&right),
            Arithmetic::Modulo => left.modulo(&right),
        }
        .map_err(Fail::Soft)
    }

    /// Follows the steps from an item. `unwraps`: a step that wants no array takes its elements.
    fn steps(
        &self,
        steps: &[Step],
        item: &Jsonb,
        scope: Scope<'_>,
        unwraps: bool,
        sink: Sink<'_>,
    ) -> Found {
        let Some((step, rest)) = steps.split_first() else { return sink(item) };
        let wants_no_array = match step {
            Step::Key(_) | Step::AnyKey | Step::Filter(_) => true,
            Step::Method(method) => !matches!(method, Method::Size | Method::Type),
            _ => false,
        };
        if let (Jsonb::Array(elements), true, true) = (item, wants_no_array, unwraps) {
            return self.each(elements, |element| self.steps(steps, element, scope, false, sink));
        }
        let mut next = |item: &Jsonb| self.steps(rest, item, scope, !self.is_strict, sink);
        match step {
            Step::Key(key) => match (item, item.member(key)) {
                (_, Some(member)) => next(member),
                _ if scope.ignores => Ok(Flow::On),
                (Jsonb::Object(_), None) => {
                    let message = format!("JSON object does not contain key \"{key}\"");
                    Err(Fail::soft("2203A", message))
                }
                _ => Err(Fail::soft(
                    "2203A",
                    "jsonpath member accessor can only be applied to an object",
                )),
            },
            Step::AnyKey => match item {
                Jsonb::Object(members) => self.each(members, |(_, member)| next(member)),
                _ if scope.ignores => Ok(Flow::On),
                _ => Err(Fail::soft(
                    "2203C",
                    "jsonpath wildcard member accessor can only be applied to an object",
                )),
            },
            Step::AnyElement => match item {
                Jsonb::Array(elements) => self.each(elements, next),
                _ if !self.is_strict => next(item),
                _ if scope.ignores => Ok(Flow::On),
                _ => Err(Fail::soft(
                    "22039",
                    "jsonpath wildcard array accessor can only be applied to an array",
                )),
            },
            Step::Subscripts(subscripts) => self.subscripts(subscripts, item, scope, &mut next),
            Step::Below { first, last } => {
                let scope = Scope { ignores: true, ..scope };
                let mut next = |item: &Jsonb| self.steps(rest, item, scope, !self.is_strict, sink);
                if *first == 0 {
                    let is_container = matches!(item, Jsonb::Array(_) | Jsonb::Object(_));
                    match next(item) {
                        // What lies below decides, as in PostgreSQL.
                        Err(Fail::Soft(_)) if is_container && !scope.raises => {}
                        Ok(Flow::On) => {}
                        end => return end,
                    }
                }
                self.below(item, 1, (*first, *last), &mut next)
            }
            Step::Method(method) => self.method(*method, item, scope, &mut next),
            Step::Filter(condition) => {
                let inside = Scope { current: item, ..scope };
                match self.truth(condition, inside)? {
                    Some(true) => next(item),
                    _ => Ok(Flow::On),
                }
            }
        }
    }

    fn each<'i, T>(&self, items: &'i [T], mut visit: impl FnMut(&'i T) -> Found) -> Found {
        for item in items {
            if visit(item)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::On)
    }

    /// What lies so many levels below an item; of both bounds `last`, the leaves.
    fn below(&self, item: &Jsonb, level: u32, bounds: (u32, u32), next: Sink<'_>) -> Found {
        let mut visit = |child: &Jsonb| {
            let is_container = matches!(child, Jsonb::Array(_) | Jsonb::Object(_));
            let is_leaf_wanted = bounds == (u32::MAX, u32::MAX) && !is_container;
            if (level >= bounds.0 || is_leaf_wanted) && next(child)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            if is_container && level < bounds.1 {
                return self.below(child, level + 1, bounds, next);
            }
            Ok(Flow::On)
        };
        match item {
            Jsonb::Array(elements) => self.each(elements, visit),
            Jsonb::Object(members) => self.each(members, |(_, member)| visit(member)),
            _ => Ok(Flow::On),
        }
    }

    fn subscripts(
        &self,
        subscripts: &[(Expr, Option<Expr>)],
        item: &Jsonb,
        scope: Scope<'_>,
        next: Sink<'_>,
    ) -> Found {
        // Laxly, what is no array is one of one element.
        let elements = match item {
            Jsonb::Array(elements) => &elements[..],
            _ if !self.is_strict => std::slice::from_ref(item),
            _ if scope.ignores => return Ok(Flow::On),
            _ => {
                let message = "jsonpath array accessor can only be applied to an array";
                return Err(Fail::soft("22039", message));
            }
        };
        let inside = Scope { size: Some(elements.len()), ..scope };
        let size = i64::try_from(elements.len()).unwrap_or(i64::MAX);
        for (from, to) in subscripts {
            let from = self.subscript(from, inside)?;
            let to = to.as_ref().map_or(Ok(from), |to| self.subscript(to, inside))?;
            if !scope.ignores && (from < 0 || from > to || to >= size) {
                return Err(Fail::soft("22033", "jsonpath array subscript is out of bounds"));
            }
            for place in from.max(0)..=to.min(size - 1) {
                let element = usize::try_from(place).ok().and_then(|place| elements.get(place));
                if let Some(element) = element
                    && next(element)? == Flow::Stop
                {
                    return Ok(Flow::Stop);
                }
            }
        }
        Ok(Flow::On)
    }

    fn subscript(&self, expr: &Expr, scope: Scope<'_>) -> Result<i64, Fail> {
        let mut items = Vec::new();
        self.expr(expr, scope, &mut |item| {
            items.push(item.clone());
            Ok(Flow::On)
        })?;
        let [Jsonb::Number(number)] = items.as_slice() else {
            let message = "jsonpath array subscript is not a single numeric value";
            return Err(Fail::soft("22033", message));
        };
        let whole = number.truncate(0).and_then(|number| number.to_integer("integer"));
        whole
            .ok()
            .and_then(|whole| i32::try_from(whole).ok())
            .map(i64::from)
            .ok_or_else(|| Fail::soft("22033", "jsonpath array subscript is out of integer range"))
    }

    fn method(&self, method: Method, item: &Jsonb, scope: Scope<'_>, next: Sink<'_>) -> Found {
        let name = method.name();
        match method {
            Method::Type => {
                let name = match item {
                    Jsonb::Null => "null",
                    Jsonb::Bool(_) => "boolean",
                    Jsonb::Number(_) => "number",
                    Jsonb::String(_) => "string",
                    Jsonb::Array(_) => "array",
                    Jsonb::Object(_) => "object",
                };
                next(&Jsonb::String(name.into()))
            }
            Method::Size => {
                let size = match item {
                    Jsonb::Array(elements) => elements.len(),
                    _ if !self.is_strict => 1,
                    _ if scope.ignores => return Ok(Flow::On),
                    _ => {
                        let message =
                            "jsonpath item method .size() can only be applied to an array";
                        return Err(Fail::soft("22039", message));
                    }
                };
                let size = i64::try_from(size).unwrap_or(i64::MAX);
                next(&Jsonb::Number(Numeric::from(size)))
            }
            Method::Double => next(&Jsonb::Number(double(item)?)),
            Method::Abs | Method::Ceiling | Method::Floor => {
                let Jsonb::Number(number) = item else {
                    let message = format!(
                        "jsonpath item method .{name}() can only be applied to a numeric value"
                    );
                    return Err(Fail::soft("22036", message));
                };
                let value = match method {
                    Method::Ceiling => number.ceil(),
                    Method::Floor => number.floor(),
                    _ => Ok(number.abs()),
                };
                next(&Jsonb::Number(value.map_err(Fail::Soft)?))
            }
        }
    }

    /// A predicate; `None` is unknown.
    fn truth(&self, predicate: &Expr, scope: Scope<'_>) -> Result<Option<bool>, Fail> {
        match predicate {
            Expr::And(left, right) => {
                let left = self.truth(left, scope)?;
                if left == Some(false) {
                    return Ok(left);
                }
                let right = self.truth(right, scope)?;
                Ok(if right == Some(true) { left } else { right })
            }
            Expr::Or(left, right) => {
                let left = self.truth(left, scope)?;
                if left == Some(true) {
                    return Ok(left);
                }
                let right = self.truth(right, scope)?;
                Ok(if right == Some(false) { left } else { right })
            }
            Expr::Not(inner) => Ok(self.truth(inner, scope)?.map(|value| !value)),
            Expr::IsUnknown(inner) => Ok(Some(self.truth(inner, scope)?.is_none())),
            Expr::Exists(inner) => match self.finds(inner, Scope { raises: false, ..scope }) {
                Ok(found) => Ok(Some(found)),
                Err(Fail::Soft(_)) => Ok(None),
                Err(hard) => Err(hard),
            },
            Expr::Compare(comparison, left, right) => {
                let right = self.operands(right, true, scope);
                self.any(left, right, scope, |left, right| Ok(compare(*comparison, left, right)))
            }
            Expr::StartsWith(whole, initial) => {
                let initial = self.operands(initial, false, scope);
                self.any(whole, initial, scope, |whole, initial| {
                    Ok(match (whole, initial) {
                        (Jsonb::String(whole), Jsonb::String(initial)) => {
                            Some(whole.starts_with(&**initial))
                        }
                        _ => None,
                    })
                })
            }
            Expr::LikeRegex { value, pattern, flags } => {
                self.any(value, Ok(Some(vec![Jsonb::Null])), scope, |value, _| match value {
                    Jsonb::String(text) => {
                        like_regex(text, pattern, flags).map(Some).map_err(Fail::Hard)
                    }
                    _ => Ok(None),
                })
            }
            // A value where the grammar has none.
            _ => Err(Fail::Hard(PgError::internal("a value stands for a predicate"))),
        }
    }

    /// The items of a predicate's operand; `None` when they are unknown.
    fn operands(
        &self,
        expr: &Expr,
        unwraps: bool,
        scope: Scope<'_>,
    ) -> Result<Option<Vec<Jsonb>>, Fail> {
        let scope = Scope { raises: false, ..scope };
        let items = if unwraps {
            self.unwrapped(expr, scope)
        } else {
            let mut items = Vec::new();
            self.expr(expr, scope, &mut |item| {
                items.push(item.clone());
                Ok(Flow::On)
            })
            .map(|_| items)
        };
        match items {
            Ok(items) => Ok(Some(items)),
            Err(Fail::Soft(_)) => Ok(None),
            Err(hard) => Err(hard),
        }
    }

    /// Whether a test holds for any pair. Laxly the first that it holds for decides, strictly the first unknown.
    fn any(
        &self,
        left: &Expr,
        right: Result<Option<Vec<Jsonb>>, Fail>,
        scope: Scope<'_>,
        test: impl Fn(&Jsonb, &Jsonb) -> Result<Option<bool>, Fail>,
    ) -> Result<Option<bool>, Fail> {
        let Some(left) = self.operands(left, true, scope)? else { return Ok(None) };
        let Some(right) = right? else { return Ok(None) };
        let (mut holds, mut is_unknown) = (false, false);
        for left in &left {
            for right in &right {
                match test(left, right)? {
                    None if self.is_strict => return Ok(None),
                    None => is_unknown = true,
                    Some(true) if !self.is_strict => return Ok(Some(true)),
                    Some(true) => holds = true,
                    Some(false) => {}
                }
            }
        }
        Ok(if holds {
            Some(true)
        } else if is_unknown {
            None
        } else {
            Some(false)
        })
    }
}

fn double(item: &Jsonb) -> Result<Numeric, Fail> {
    let finite = |text: &str| float::input_float8(text).ok().filter(|value| value.is_finite());
    let refused =
        |what: &str| Fail::soft("22036", what.replace('%', "jsonpath item method .double()"));
    match item {
        Jsonb::Number(number) => {
            finite(&number.to_string()).map(|_| number.clone()).ok_or_else(|| {
                refused("numeric argument of % is out of range for type double precision")
            })
        }
        Jsonb::String(text) => {
            let value = finite(text).and_then(|value| Numeric::from_float(value, 15).ok());
            value.ok_or_else(|| {
                refused("string argument of % is not a valid representation of a double precision number")
            })
        }
        _ => Err(refused("% can only be applied to a string or numeric value")),
    }
}

/// Values of different kinds are not comparable, but for null, which differs from everything.
fn compare(comparison: Comparison, left: &Jsonb, right: &Jsonb) -> Option<bool> {
    let ordering = match (left, right) {
        (Jsonb::Null, Jsonb::Null) => std::cmp::Ordering::Equal,
        (Jsonb::Null, _) | (_, Jsonb::Null) => return Some(comparison == Comparison::NotEqual),
        (Jsonb::Bool(left), Jsonb::Bool(right)) => left.cmp(right),
        (Jsonb::Number(left), Jsonb::Number(right)) => left.compare(right),
        (Jsonb::String(left), Jsonb::String(right)) => left.as_bytes().cmp(right.as_bytes()),
        _ => return None,
    };
    Some(match comparison {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterEqual => ordering.is_ge(),
    })
}

/// A match by the flags of XQuery: without `s` a point matches no newline.
pub(super) fn like_regex(text: &str, pattern: &str, flags: &str) -> Result<bool> {
    let is_literal = flags.contains('q');
    let flags = regexp::Flags {
        ignore_case: flags.contains('i'),
        newline_stops: !is_literal && !flags.contains('s'),
        newline_anchors: !is_literal && flags.contains('m'),
        literal: is_literal,
        ..regexp::Flags::default()
    };
    regexp::is_match(text, pattern, flags)
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn paths() {
        let document = "j:{\"a\": [1, 2, {\"b\": \"x\"}], \"c\": null}";
        let all = |path: &str, expected: &str| {
            let path = format!("t:{path}");
            check(
                "jsonb_path_query_array",
                &[document, &path, "j:{\"v\": 2}", "b:false"],
                expected,
            );
        };
        all("$.a[*] ? (@ >= $v)", "[2]");
        all("$.a[last].b", "[\"x\"]");
        all("$.**.b", "[\"x\", \"x\"]");
        all("$.a.size() + 1", "[4]");
        all(
            "strict $.a.b",
            "ERROR 2203A: jsonpath member accessor can only be applied to an object",
        );
        all("$.a[0] / 0", "ERROR 22012: division by zero");
        all("$.a[*].type()", "[\"number\", \"number\", \"object\"]");
        all("$.c == null && exists($.a)", "[true]");
        all("$.x starts with \"a\"", "[false]");
    }

    #[test]
    fn answers() {
        check("jsonb_path_exists_opr", &["j:{\"a\": 1}", "t:$.a ? (@ > 1)"], "false");
        check("jsonb_path_match_opr", &["j:{\"a\": 1}", "t:$.a == 1"], "true");
        check("jsonb_path_match_opr", &["j:{\"a\": 1}", "t:$.a"], "NULL");
    }
}
