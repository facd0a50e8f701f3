//! Label matchers that narrow a template to some services.

use std::fmt::Write as _;
use std::sync::Arc;

/// Placeholder for the matchers in a template.
const PLACE: &str = "$selector";

/// Returns the text for all services: without matchers.
pub(super) fn whole(text: &str) -> String {
    text.replace("$selector,", "").replace(PLACE, "")
}

/// Returns the text narrowed by `matchers`.
pub(super) fn narrowed(text: &str, matchers: &str) -> String {
    text.replace(PLACE, matchers)
}

/// Returns matchers that admit each of `members`: the values of each label as one anchored alternation. They may admit
/// more (the namespace of one member with the name of another), so answers are still looked up by label.
pub(super) fn matchers(labels: &[Arc<str>], members: &[&[Arc<str>]]) -> String {
    let mut text = String::new();
    for (position, label) in labels.iter().enumerate() {
        let mut values: Vec<&str> =
            members.iter().filter_map(|member| member.get(position)).map(AsRef::as_ref).collect();
        values.sort_unstable();
        values.dedup();
        if position > 0 {
            text.push(',');
        }
        let (operator, pattern) = match values.as_slice() {
            [only] => ("=", (*only).to_owned()),
            several => ("=~", several.iter().map(|value| escaped(value)).collect::<Vec<_>>().join("|")),
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{label}{operator}\"{}\"", quoted(&pattern));
    }
    text
}

/// Returns a regular expression (RE2) that matches only `value`.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        if matches!(letter, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// Returns `text` escaped for a double-quoted PromQL string.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(members: &[&[&str]], expected: &str) {
        let members: Vec<Vec<Arc<str>>> =
            members.iter().map(|values| values.iter().map(|value| Arc::from(*value)).collect()).collect();
        let members: Vec<&[Arc<str>]> = members.iter().map(Vec::as_slice).collect();
        let labels: Vec<Arc<str>> = ["namespace", "service"].map(Arc::from).into();
        assert_eq!(matchers(&labels, &members), expected);
    }

    #[test]
    fn matchers_are_quoted_and_escaped() {
        check(&[&["shop", "cart"]], r#"namespace="shop",service="cart""#);
        check(&[&["shop", "b"], &["shop", "a"]], r#"namespace="shop",service=~"a|b""#);
        check(&[&["a.b", "x"], &["c|d", "x"]], r#"namespace=~"a\\.b|c\\|d",service="x""#);
        check(&[&["shop", r#"x"} or vector(1) #"#]], r#"namespace="shop",service="x\"} or vector(1) #""#);
        check(&[&["shop", "a\\b\nc"]], r#"namespace="shop",service="a\\b\nc""#);
        check(&[&["shop", ".*"], &["shop", "$^"]], r#"namespace="shop",service=~"\\$\\^|\\.\\*""#);
    }

    #[test]
    fn the_place_of_the_matchers_may_be_anywhere() {
        let cases = [
            (r"sum by (service) (rate(hits{$selector}[1m]))", r"sum by (service) (rate(hits{}[1m]))"),
            (r#"hits{job="a",$selector}"#, r#"hits{job="a",}"#),
            (r#"hits{$selector,job="a"}"#, r#"hits{job="a"}"#),
            ("a{$selector} / b{$selector}", "a{} / b{}"),
        ];
        for (text, expected) in cases {
            assert_eq!(whole(text), expected);
        }
        assert_eq!(narrowed("a{$selector} / b{$selector}", "x=\"1\""), "a{x=\"1\"} / b{x=\"1\"}");
    }
}
