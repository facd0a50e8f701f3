//! Label matchers, to the extent grouped queries use them: `=`, `!=`, and `=~`, `!~` with literal alternatives. Any
//! other regular expression is refused, never guessed.

use std::collections::BTreeSet;
use std::str::FromStr;

/// Matchers that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Matcher {
    label: String,
    values: BTreeSet<String>,
    negated: bool,
}

/// Why matchers are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorFault {
    /// Not `label operator "value"`.
    #[error("`{0}` is not a label matcher, expected label=\"value\" with one of = != =~ !~")]
    Malformed(String),
    /// A regular expression beyond alternatives.
    #[error("`{0}` is not understood by the demo endpoint, expected plain texts separated by |")]
    Pattern(String),
}

impl Selector {
    /// Returns whether the service `name` of `namespace` is selected. Labels that services do not have count as empty,
    /// as in Prometheus.
    pub fn matches(&self, namespace: &str, name: &str) -> bool {
        self.matchers.iter().all(|matcher| {
            let value = match matcher.label.as_str() {
                "namespace" => namespace,
                "service" => name,
                _ => "",
            };
            matcher.values.contains(value) != matcher.negated
        })
    }
}

impl FromStr for Selector {
    type Err = SelectorFault;

    fn from_str(text: &str) -> Result<Self, SelectorFault> {
        let mut matchers = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (matcher, after) = matcher(rest)?;
            matchers.push(matcher);
            rest = match after.trim_start() {
                "" => "",
                more => more.strip_prefix(',').ok_or_else(|| malformed(more))?.trim_start(),
            };
        }
        Ok(Self { matchers })
    }
}

/// Parses one matcher from the front of `text`.
fn matcher(text: &str) -> Result<(Matcher, &str), SelectorFault> {
    let end = text.find(['=', '!']).ok_or_else(|| malformed(text))?;
    let (label, rest) = text.split_at(end);
    let label = label.trim();
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if label.is_empty() || !label.chars().all(word) {
        return Err(malformed(text));
    }
    // Longer operators first: two of them start with `=`.
    let operators = [("=~", false, true), ("!~", true, true), ("!=", true, false), ("=", false, false)];
    let (rest, negated, pattern) = operators
        .into_iter()
        .find_map(|(operator, negated, pattern)| Some((rest.strip_prefix(operator)?, negated, pattern)))
        .ok_or_else(|| malformed(text))?;
    let (value, after) = quoted(rest.trim_start()).ok_or_else(|| malformed(text))?;
    let values = if pattern { alternatives(&value)? } else { BTreeSet::from([value]) };
    Ok((Matcher { label: label.to_owned(), values, negated }, after))
}

/// Parses a double-quoted text with its escapes; returns it and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut letters = text.strip_prefix('"')?.char_indices();
    let mut value = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return text.get(at + 2..).map(|after| (value, after)),
            '\\' => match letters.next()?.1 {
                escaped @ ('"' | '\\') => value.push(escaped),
                _ => return None,
            },
            _ => value.push(letter),
        }
    }
    None
}

/// Returns the literals between `|`; `\-` and the like stand for the character itself.
fn alternatives(pattern: &str) -> Result<BTreeSet<String>, SelectorFault> {
    let fault = || SelectorFault::Pattern(cut(pattern));
    let inner = pattern.strip_prefix("(?:").or_else(|| pattern.strip_prefix('('));
    let inner = inner.and_then(|inner| inner.strip_suffix(')')).unwrap_or(pattern);
    let plain = |text: &str| {
        let mut out = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => out.push(letters.next().filter(char::is_ascii_punctuation).ok_or_else(fault)?),
                '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return Err(fault()),
                _ => out.push(letter),
            }
        }
        Ok(out)
    };
    inner.split('|').map(plain).collect()
}

fn malformed(text: &str) -> SelectorFault {
    SelectorFault::Malformed(cut(text))
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_matchers_must_hold() {
        for (text, expected) in [
            ("", "a/x a/y b/x"),
            (r#"namespace="a""#, "a/x a/y"),
            (r#"namespace="a",service="x","#, "a/x"),
            (r#"namespace="a", service!="x""#, "a/y"),
            (r#"service=~"x|z""#, "a/x b/x"),
            (r#"service=~"(?:x|y)",namespace=~"b""#, "b/x"),
            (r#"service!~"x|z""#, "a/y"),
            (r#"job="""#, "a/x a/y b/x"),
            (r#"job="api""#, ""),
        ] {
            let selector: Selector = text.parse().unwrap();
            let fleet = [("a", "x"), ("a", "y"), ("b", "x")];
            let selected: Vec<String> = fleet
                .iter()
                .filter(|(namespace, name)| selector.matches(namespace, name))
                .map(|(namespace, name)| format!("{namespace}/{name}"))
                .collect();
            assert_eq!(selected.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn an_escaped_sign_stands_for_itself() {
        let selector: Selector = r#"service=~"shop\\-a|b""#.parse().unwrap();
        assert!(selector.matches("n", "shop-a") && selector.matches("n", "b") && !selector.matches("n", "shop"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [r#"service=~"x.*""#, r#"service=~"[ab]""#, r#"service=~"\\d""#] {
            assert!(matches!(text.parse::<Selector>(), Err(SelectorFault::Pattern(_))), "{text}");
        }
        for text in ["service", "=\"x\"", "service=x", "service=\"x", "a=\"b\" c=\"d\"", "a~\"b\"", "a-b=\"c\""] {
            assert!(matches!(text.parse::<Selector>(), Err(SelectorFault::Malformed(_))), "{text}");
        }
    }
}
