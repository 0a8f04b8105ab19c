//! A template text is cut into patterns and what stands between them.

/// One element of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element<P> {
    /// A template pattern.
    Pattern(Keyword<P>),
    /// A punctuation character outside quotes, where patterns have modifiers.
    Separator(char),
    /// White space outside quotes.
    Space(char),
    /// Any other character, and all within quotes.
    Text(char),
}

/// A pattern as it was found, with its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keyword<P> {
    /// Its spelling: errors name it.
    pub(super) name: &'static str,
    /// What it means.
    pub(super) pattern: P,
    /// `FM` before it: no padding.
    pub(super) is_unpadded: bool,
    /// `TM` before it: the locale's names.
    pub(super) is_localized: bool,
    /// `TH` or `th` behind it.
    pub(super) ordinal: Option<Letters>,
}

/// The case of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters {
    Upper,
    Title,
    Lower,
}

impl Letters {
    /// An English name, written with a capital, in this case.
    pub(super) fn apply(self, name: &str) -> String {
        match self {
            Self::Upper => name.to_ascii_uppercase(),
            Self::Title => name.to_owned(),
            Self::Lower => name.to_ascii_lowercase(),
        }
    }
}

/// Whether patterns have modifiers around them, as those of dates have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modifiers {
    Around,
    None,
}

/// Cuts a template. Of the vocabulary's words that fit, the first one counts.
pub(super) fn parse<P: Copy>(
    template: &str,
    vocabulary: &[(&'static str, P)],
    modifiers: Modifiers,
) -> Vec<Element<P>> {
    let mut elements = Vec::new();
    let mut rest = template;
    let has_modifiers = modifiers == Modifiers::Around;
    while !rest.is_empty() {
        let (mut is_unpadded, mut is_localized) = (false, false);
        if has_modifiers {
            if let Some(after) = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
                (is_unpadded, rest) = (true, after);
            } else if let Some(after) = rest.strip_prefix("TM").or_else(|| rest.strip_prefix("tm"))
            {
                (is_localized, rest) = (true, after);
            }
        }
        if let Some((name, pattern)) = vocabulary.iter().find(|(name, _)| rest.starts_with(name)) {
            rest = &rest[name.len()..];
            let mut ordinal = None;
            if has_modifiers {
                if let Some(after) = rest.strip_prefix("TH") {
                    (ordinal, rest) = (Some(Letters::Upper), after);
                } else if let Some(after) = rest.strip_prefix("th") {
                    (ordinal, rest) = (Some(Letters::Lower), after);
                } else if let Some(after) = rest.strip_prefix("SP") {
                    // Spelled-out numbers: PostgreSQL knows the modifier and does nothing.
                    rest = after;
                }
            }
            let pattern = *pattern;
            elements.push(Element::Pattern(Keyword {
                name,
                pattern,
                is_unpadded,
                is_localized,
                ordinal,
            }));
        } else if let Some(after) = rest.strip_prefix('"') {
            rest = quoted(after, &mut elements);
        } else {
            if rest.starts_with("\\\"") {
                rest = &rest[1..];
            }
            let Some(character) = rest.chars().next() else { break };
            rest = &rest[character.len_utf8()..];
            elements.push(if has_modifiers && is_separator(character) {
                Element::Separator(character)
            } else if is_space(character) {
                Element::Space(character)
            } else {
                Element::Text(character)
            });
        }
    }
    elements
}

/// Takes the text up to the closing quote, and gives what follows it.
fn quoted<'a, P>(text: &'a str, elements: &mut Vec<Element<P>>) -> &'a str {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '"' => break,
            // A backslash at the very end stands for itself.
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        elements.push(Element::Text(literal));
    }
    characters.as_str()
}

/// A printable ASCII character that is no letter, digit or blank.
pub(super) fn is_separator(character: char) -> bool {
    character.is_ascii_punctuation()
}

/// White space as the C locale has it.
pub(crate) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &[(&str, u8)] = &[("DDD", 1), ("DD", 2), ("D", 3)];

    fn check(template: &str, expected: &str) {
        let shown: Vec<String> = parse(template, WORDS, Modifiers::Around)
            .into_iter()
            .map(|element| match element {
                Element::Pattern(keyword) => {
                    let fill = if keyword.is_unpadded { "-" } else { "" };
                    let ordinal = if keyword.ordinal.is_some() { "." } else { "" };
                    format!("{fill}{}{ordinal}", keyword.pattern)
                }
                Element::Separator(c) => format!("s{c}"),
                Element::Space(c) => format!("b{c}"),
                Element::Text(c) => format!("t{c}"),
            })
            .collect();
        assert_eq!(shown.join("|"), expected, "{template}");
    }

    #[test]
    fn templates() {
        check("DDDD", "1|3");
        check("FMDDth/D", "-2.|s/|3");
        check("\"D \\\"x", "tD|t |t\"|tx");
        check("\\\"D", "s\"|3");
        check("FM", "");
        check("é D", "té|b |3");
    }
}
