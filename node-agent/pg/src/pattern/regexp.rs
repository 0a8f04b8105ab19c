//! The functions and operators over regular expressions (the manual's section 9.7.3).

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex};

pub(crate) use super::regex::Flags;
use super::regex::{Regex, Span, set_option};
use crate::arguments::{int4, text};
use crate::context::CallContext;
use crate::error::{PgError, Result};
use crate::registry::{Entry, entry};
use crate::types::TypeId;
use crate::value::{Array, Value};

pub(crate) const FUNCTIONS: &[Entry] = &[
    entry("textregexeq", |_, args| matches(args, Case::Counts).map(Value::Bool)),
    entry("textregexne", |_, args| matches(args, Case::Counts).map(|found| Value::Bool(!found))),
    entry("nameregexeq", |_, args| matches(args, Case::Counts).map(Value::Bool)),
    entry("nameregexne", |_, args| matches(args, Case::Counts).map(|found| Value::Bool(!found))),
    entry("texticregexeq", |_, args| matches(args, Case::Ignored).map(Value::Bool)),
    entry("texticregexne", |_, args| matches(args, Case::Ignored).map(|found| Value::Bool(!found))),
    entry("nameicregexeq", |_, args| matches(args, Case::Ignored).map(Value::Bool)),
    entry("nameicregexne", |_, args| matches(args, Case::Ignored).map(|found| Value::Bool(!found))),
    entry("textregexsubstr", |_, args| substring(text(args, 0)?, text(args, 1)?)),
    entry("regexp_like", regexp_like),
    entry("regexp_like_no_flags", regexp_like),
    entry("regexp_match", regexp_match),
    entry("regexp_match_no_flags", regexp_match),
    entry("regexp_split_to_array", regexp_split),
    entry("regexp_split_to_array_no_flags", regexp_split),
    entry("regexp_count", regexp_count),
    entry("regexp_count_no_flags", regexp_count),
    entry("regexp_count_no_start", regexp_count),
    entry("regexp_instr", regexp_instr),
    entry("regexp_instr_no_subexpr", regexp_instr),
    entry("regexp_instr_no_flags", regexp_instr),
    entry("regexp_instr_no_endoption", regexp_instr),
    entry("regexp_instr_no_n", regexp_instr),
    entry("regexp_instr_no_start", regexp_instr),
    entry("regexp_substr", regexp_substr),
    entry("regexp_substr_no_subexpr", regexp_substr),
    entry("regexp_substr_no_flags", regexp_substr),
    entry("regexp_substr_no_n", regexp_substr),
    entry("regexp_substr_no_start", regexp_substr),
    entry("textregexreplace_noopt", |_, args| replace(args, 1, 1, Flags::default())),
    entry("textregexreplace", regexp_replace_flags),
    entry("textregexreplace_extended", regexp_replace_extended),
    entry("textregexreplace_extended_no_flags", regexp_replace_extended),
    entry("textregexreplace_extended_no_n", regexp_replace_extended),
];

/// How many compiled patterns are kept; when full, the one unused for longest makes place.
const CACHED_PATTERNS: NonZeroUsize = NonZeroUsize::new(128).expect("not zero");

/// Longer patterns are compiled each time, so that the cache stays small.
const CACHED_PATTERN_BYTES_MAX: usize = 4_096;

type Cache = Vec<(u64, Arc<str>, Flags, Arc<Regex>)>;

static CACHE: LazyLock<Mutex<(u64, Cache)>> = LazyLock::new(|| Mutex::new((0, Vec::new())));

/// Compiles a pattern, or finds it compiled.
fn compile(pattern: &str, flags: Flags) -> Result<Arc<Regex>> {
    if pattern.len() > CACHED_PATTERN_BYTES_MAX {
        return Regex::new(pattern, flags).map(Arc::new);
    }
    if let Ok(mut cache) = CACHE.lock() {
        let (clock, entries) = &mut *cache;
        *clock += 1;
        let found = entries.iter_mut().find(|(_, text, f, _)| **text == *pattern && *f == flags);
        if let Some((used, _, _, regex)) = found {
            *used = *clock;
            return Ok(regex.clone());
        }
    }
    let regex = Arc::new(Regex::new(pattern, flags)?);
    if let Ok(mut cache) = CACHE.lock() {
        let (clock, entries) = &mut *cache;
        if entries.len() >= CACHED_PATTERNS.get()
            && let Some(oldest) = (0..entries.len()).min_by_key(|index| entries[*index].0)
        {
            entries.swap_remove(oldest);
        }
        entries.push((*clock, Arc::from(pattern), flags, regex.clone()));
    }
    Ok(regex)
}

/// Whether a pattern matches anywhere in a text.
pub(crate) fn is_match(source: &str, pattern: &str, flags: Flags) -> Result<bool> {
    compile(pattern, flags)?.is_match(source)
}

enum Case {
    Counts,
    Ignored,
}

fn matches(args: &[Value], case: Case) -> Result<bool> {
    let flags = Flags { ignore_case: matches!(case, Case::Ignored), ..Flags::default() };
    compile(text(args, 1)?, flags)?.is_match(text(args, 0)?)
}

/// `substring(text FROM pattern)`: the first group's text if there is one, else the whole match.
pub(super) fn substring(source: &str, pattern: &str) -> Result<Value> {
    let regex = compile(pattern, Flags::default())?;
    let characters = characters(source);
    let Some(spans) = regex.find(&characters, 0)? else { return Ok(Value::Null) };
    Ok(slice(source, &characters, spans[usize::from(regex.groups > 0)]))
}

fn characters(source: &str) -> Vec<u32> {
    source.chars().map(u32::from).collect()
}

/// The text of a span; NULL for a group that took no part.
fn slice(source: &str, characters: &[u32], span: Span) -> Value {
    match span {
        Some((start, end)) => Value::text(cut(source, characters, start, end)),
        None => Value::Null,
    }
}

fn cut<'a>(source: &'a str, characters: &[u32], start: usize, end: usize) -> &'a str {
    if source.len() == characters.len() {
        return &source[start..end];
    }
    let from = crate::string::offset_of(source, start);
    let rest = &source[from..];
    &rest[..crate::string::offset_of(rest, end - start)]
}

/// A flags argument: the options and whether `g` is among them.
fn read_flags(letters: &str) -> Result<(Flags, bool)> {
    let mut flags = Flags::default();
    let mut global = false;
    for letter in letters.chars() {
        if letter == 'g' {
            global = true;
        } else if !set_option(&mut flags, letter)? {
            return Err(invalid_option(letter));
        }
    }
    Ok((flags, global))
}

fn invalid_option(letter: char) -> PgError {
    PgError::new("22023", format!("invalid regular expression option: \"{letter}\""))
}

/// The flags argument at `index`, if it is given, of a function that has no use for `g`.
fn flags_without_global(args: &[Value], index: usize, function: &str) -> Result<Flags> {
    if args.len() <= index {
        return Ok(Flags::default());
    }
    let (flags, global) = read_flags(text(args, index)?)?;
    if global {
        let message = format!("{function} does not support the \"global\" option");
        return Err(PgError::new("22023", message));
    }
    Ok(flags)
}

fn invalid_parameter(name: &str, value: i32) -> PgError {
    PgError::new("22023", format!("invalid value for parameter \"{name}\": {value}"))
}

/// A count from 1 at `index`, or 1 if it is not given.
fn positive(args: &[Value], index: usize, name: &str) -> Result<usize> {
    if args.len() <= index {
        return Ok(1);
    }
    let value = int4(args, index)?;
    usize::try_from(value).ok().filter(|v| *v > 0).ok_or_else(|| invalid_parameter(name, value))
}

fn not_negative(args: &[Value], index: usize, name: &str) -> Result<usize> {
    if args.len() <= index {
        return Ok(0);
    }
    let value = int4(args, index)?;
    usize::try_from(value).map_err(|_| invalid_parameter(name, value))
}

/// Calls `visit` with each match from a place on, until it says that it has enough. After an empty match the search
/// goes on one character further.
fn each_match(
    regex: &Regex,
    characters: &[u32],
    from: usize,
    visit: &mut dyn FnMut(&[Span]) -> Enough,
) -> Result<()> {
    let mut from = from;
    while from <= characters.len() {
        let Some(spans) = regex.find(characters, from)? else { return Ok(()) };
        if visit(&spans) == Enough::Yes {
            return Ok(());
        }
        let Some((start, end)) = spans[0] else { return Ok(()) };
        from = end + usize::from(start == end);
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Enough {
    Yes,
    No,
}

fn regexp_like(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let flags = flags_without_global(args, 2, "regexp_like()")?;
    compile(text(args, 1)?, flags)?.is_match(text(args, 0)?).map(Value::Bool)
}

fn regexp_match(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let flags = flags_without_global(args, 2, "regexp_match()").map_err(with_matches_hint)?;
    let source = text(args, 0)?;
    let regex = compile(text(args, 1)?, flags)?;
    let characters = characters(source);
    let Some(spans) = regex.find(&characters, 0)? else { return Ok(Value::Null) };
    let wanted = if regex.groups > 0 { &spans[1..] } else { &spans[..] };
    let texts = wanted.iter().map(|span| slice(source, &characters, *span)).collect();
    Ok(Value::Array(Array::vector(TypeId::TEXT, texts).into()))
}

fn with_matches_hint(error: PgError) -> PgError {
    if error.message().contains("\"global\"") {
        return error.with_hint("Use the regexp_matches function instead.");
    }
    error
}

/// Every match, or the first one without the flag `g`, as the texts of its groups or of the whole.
pub(crate) fn matches_of(args: &[Value]) -> Result<Vec<Value>> {
    let (flags, global) = match args.get(2) {
        None => (Flags::default(), false),
        Some(_) => read_flags(text(args, 2)?)?,
    };
    let source = text(args, 0)?;
    let regex = compile(text(args, 1)?, flags)?;
    let characters = characters(source);
    let mut found = Vec::new();
    each_match(&regex, &characters, 0, &mut |spans| {
        let wanted = if regex.groups > 0 { &spans[1..] } else { spans };
        let texts = wanted.iter().map(|span| slice(source, &characters, *span)).collect();
        found.push(Value::Array(Array::vector(TypeId::TEXT, texts).into()));
        if global { Enough::No } else { Enough::Yes }
    })?;
    Ok(found)
}

fn regexp_split(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let pieces = pieces(args, "regexp_split_to_array()")?;
    Ok(Value::Array(Array::vector(TypeId::TEXT, pieces).into()))
}

/// The texts between matches, for the function of that name.
pub(crate) fn pieces(args: &[Value], function: &str) -> Result<Vec<Value>> {
    let flags = flags_without_global(args, 2, function)?;
    let source = text(args, 0)?;
    let regex = compile(text(args, 1)?, flags)?;
    let characters = characters(source);
    let mut pieces = Vec::new();
    let mut piece_start = 0;
    let mut last_end = 0;
    each_match(&regex, &characters, 0, &mut |spans| {
        if let Some((start, end)) = spans[0] {
            // An empty match at either end of the text, or right after a match, splits nothing off.
            if start < characters.len() && end > last_end {
                pieces.push(Value::text(cut(source, &characters, piece_start, start)));
                piece_start = end;
            }
            last_end = end;
        }
        Enough::No
    })?;
    pieces.push(Value::text(cut(source, &characters, piece_start, characters.len())));
    Ok(pieces)
}

fn regexp_count(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let start = positive(args, 2, "start")?;
    let flags = flags_without_global(args, 3, "regexp_count()")?;
    let regex = compile(text(args, 1)?, flags)?;
    let characters = characters(text(args, 0)?);
    let mut count = 0_i32;
    each_match(&regex, &characters, start - 1, &mut |_| {
        count += 1;
        Enough::No
    })?;
    Ok(Value::Int4(count))
}

/// The span of a group (0: the whole) of the n-th match.
fn nth_match(
    regex: &Regex,
    characters: &[u32],
    from: usize,
    n: usize,
    group: usize,
) -> Result<Span> {
    if group > regex.groups {
        return Ok(None);
    }
    let mut left = n;
    let mut found = None;
    each_match(regex, characters, from, &mut |spans| {
        left -= 1;
        if left > 0 {
            return Enough::No;
        }
        found = spans[group];
        Enough::Yes
    })?;
    Ok(found)
}

fn regexp_instr(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let start = positive(args, 2, "start")?;
    let n = positive(args, 3, "n")?;
    let at_end = match args.get(4) {
        None => false,
        Some(_) => match int4(args, 4)? {
            0 => false,
            1 => true,
            other => return Err(invalid_parameter("endoption", other)),
        },
    };
    let group = not_negative(args, 6, "subexpr")?;
    let flags = flags_without_global(args, 5, "regexp_instr()")?;
    let regex = compile(text(args, 1)?, flags)?;
    let characters = characters(text(args, 0)?);
    let span = nth_match(&regex, &characters, start - 1, n, group)?;
    let place = span.map_or(0, |(from, to)| if at_end { to + 1 } else { from + 1 });
    Ok(crate::arguments::count(place))
}

fn regexp_substr(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let start = positive(args, 2, "start")?;
    let n = positive(args, 3, "n")?;
    let group = not_negative(args, 5, "subexpr")?;
    let flags = flags_without_global(args, 4, "regexp_substr()")?;
    let source = text(args, 0)?;
    let regex = compile(text(args, 1)?, flags)?;
    let characters = characters(source);
    let span = nth_match(&regex, &characters, start - 1, n, group)?;
    Ok(slice(source, &characters, span))
}

fn regexp_replace_flags(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let letters = text(args, 3)?;
    // A digit is most likely meant as the start of the six-argument form.
    if let Some(digit) = letters.chars().next().filter(char::is_ascii_digit) {
        return Err(invalid_option(digit).with_hint(
            "If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.",
        ));
    }
    let (flags, global) = read_flags(letters)?;
    replace(args, 1, if global { 0 } else { 1 }, flags)
}

fn regexp_replace_extended(_: &CallContext<'_>, args: &[Value]) -> Result<Value> {
    let start = positive(args, 3, "start")?;
    let n = match args.len() {
        0..=4 => 1,
        _ => not_negative(args, 4, "n")?,
    };
    let (flags, _) = if args.len() > 5 { read_flags(text(args, 5)?)? } else { Default::default() };
    replace(args, start, n, flags)
}

/// Replaces the n-th match from a character on, or all for 0.
fn replace(args: &[Value], start: usize, n: usize, flags: Flags) -> Result<Value> {
    let (source, replacement) = (text(args, 0)?, text(args, 2)?);
    let regex = compile(text(args, 1)?, flags)?;
    let characters = characters(source);
    let mut out = String::new();
    let mut copied = 0;
    let mut count = 0;
    each_match(&regex, &characters, start - 1, &mut |spans| {
        count += 1;
        if n > 0 && count != n {
            return Enough::No;
        }
        let Some((from, to)) = spans[0] else { return Enough::Yes };
        out.push_str(cut(source, &characters, copied, from));
        substitute(replacement, source, &characters, spans, &mut out);
        copied = to;
        if n > 0 { Enough::Yes } else { Enough::No }
    })?;
    out.push_str(cut(source, &characters, copied, characters.len()));
    Ok(Value::text(out))
}

/// Appends a replacement: `\1` … `\9` are groups, `\&` is the whole match, `\\` a backslash.
fn substitute(
    replacement: &str,
    source: &str,
    characters: &[u32],
    spans: &[Span],
    out: &mut String,
) {
    let mut rest = replacement;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let group = match rest.chars().next() {
            Some(digit @ '1'..='9') => usize::try_from(u32::from(digit) - u32::from('0')).ok(),
            Some('&') => Some(0),
            Some('\\') => {
                out.push('\\');
                rest = &rest[1..];
                continue;
            }
            // Any other backslash stands for itself.
            _ => None,
        };
        let Some(group) = group else {
            out.push('\\');
            continue;
        };
        rest = &rest[1..];
        if let Some(Some((start, end))) = spans.get(group) {
            out.push_str(cut(source, characters, *start, *end));
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn matching() {
        check("textregexeq", &["t:abcd", "t:a.*d"], "true");
        check("textregexeq", &["t:žluť", "t:^\\w+$"], "false");
        check("texticregexeq", &["t:ABC", "t:b"], "true");
        check("textregexeq", &["t:a\nb", "t:^b"], "false");
        check("regexp_like", &["t:a\nb", "t:^b", "t:n"], "true");
        check("textregexeq", &["t:pg_class", "t:^(pg_class)$"], "true");
        check("textregexeq", &["t:abab", "t:^(ab)\\1$"], "true");
        check("textregexeq", &["t:foo bar", "t:\\mbar\\M"], "true");
        check("textregexeq", &["t:a.b", "t:***=a.b"], "true");
        check("textregexeq", &["t:AB", "t:(?ix) a  b # comment"], "true");
    }

    #[test]
    fn the_longest_text_wins_not_the_first_branch() {
        check("textregexsubstr", &["t:foobar", "t:foo|foobar"], "foobar");
        check("textregexsubstr", &["t:foobar", "t:o(.)b"], "o");
        check("textregexsubstr", &["t:XY1234Z", "t:Y*([0-9]{1,3})"], "123");
        check("textregexsubstr", &["t:XY1234Z", "t:Y*?([0-9]{1,3})"], "1");
        check(
            "regexp_match_no_flags",
            &["t:abcd0123", "t:(?:(.*?)(\\d+)(.*)){1,1}"],
            "{abcd,0123,\"\"}",
        );
        check("regexp_match_no_flags", &["t:", "t:(b*)*"], "{\"\"}");
        check("regexp_match_no_flags", &["t:xyz", "t:(x)|(y)"], "{x,NULL}");
        check(
            "regexp_match",
            &["t:a", "t:a", "t:g"],
            "ERROR 22023: regexp_match() does not support the \"global\" option",
        );
    }

    #[test]
    fn replacing_and_splitting() {
        check("textregexreplace_noopt", &["t:foobarbaz", "t:b..", "t:X"], "fooXbaz");
        check(
            "textregexreplace",
            &["t:foobarbaz", "t:b(..)", "t:X\\1Y\\&\\\\\\q", "t:g"],
            "fooXarYbar\\\\qXazYbaz\\\\q",
        );
        check("textregexreplace", &["t:abc", "t:x*", "t:-", "t:g"], "-a-b-c-");
        check(
            "textregexreplace_extended_no_flags",
            &["t:A PostgreSQL function", "t:a|e|i|o|u", "t:X", "i:1", "i:3"],
            "A PostgreSQL fXnction",
        );
        check(
            "regexp_split_to_array_no_flags",
            &["t:hello world", "t:\\s*"],
            "{h,e,l,l,o,w,o,r,l,d}",
        );
        check("regexp_count_no_start", &["t:123456789012", "t:\\d{3}"], "4");
        check(
            "regexp_instr",
            &["t:ABCDEFGHI", "t:(c..)(...)", "i:1", "i:1", "i:0", "t:i", "i:2"],
            "6",
        );
        check("regexp_substr_no_n", &["t:ABCDEF", "t:.", "i:3"], "C");
        check(
            "textregexreplace",
            &["t:a", "t:a", "t:b", "t:1"],
            "ERROR 22023: invalid regular expression option: \"1\"",
        );
    }

    #[test]
    fn errors_as_postgres_says_them() {
        let bad = |pattern: &str, reason: &str| {
            let expected = format!("ERROR 2201B: invalid regular expression: {reason}");
            check("textregexeq", &["t:", &format!("t:{pattern}")], &expected);
        };
        bad("a**", "quantifier operand invalid");
        bad("(", "parentheses () not balanced");
        bad(")", "parentheses () not balanced");
        bad("a{3,2}", "invalid repetition count(s)");
        bad("a{1", "braces {} not balanced");
        bad("[a", "brackets [] not balanced");
        bad("[b-a]", "invalid character range");
        bad("\\q", "invalid escape \\ sequence");
        bad("(a\\1)", "invalid backreference number");
        bad("[[:foo:]]", "invalid character class");
        bad("(?z)a", "invalid embedded option");
        bad("((((a{250}){250}){250}){250})", "regular expression is too complex");
    }
}
