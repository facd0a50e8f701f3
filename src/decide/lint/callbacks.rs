//! Errors that nobody sees: the engine goes on when the function that orders a list fails.

use super::Lint;
use crate::decide::fault::PolicyFault;

/// What orders a list, up to its arguments.
const ORDERING: &str = ".sort(";

/// Returns every `throw` in a function that orders a list.
pub(super) fn unseen_errors(path: &str, text: &str) -> Vec<Lint> {
    let code = code(text);
    let calls = code.match_indices(ORDERING).map(|(at, call)| at.saturating_add(call.len()));
    let throws = calls.filter_map(|start| Some(start.saturating_add(throw(arguments(code.get(start..)?))?)));
    throws.map(|at| lint(path, text, at)).collect()
}

/// Returns where the word `throw` stands first.
fn throw(code: &str) -> Option<usize> {
    const WORD: &str = "throw";
    let part_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |at: usize| {
        let before = code.get(..at).is_none_or(|before| !before.ends_with(part_of_name));
        let after = code.get(at.saturating_add(WORD.len())..).is_none_or(|after| !after.starts_with(part_of_name));
        before && after
    };
    code.match_indices(WORD).map(|(at, _)| at).find(|at| alone(*at))
}

fn lint(path: &str, text: &str, at: usize) -> Lint {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
    let message =
        "an error in a function that orders a list is not seen, and the list is in any order: check it before";
    let fault = PolicyFault { line: Some(line), column: Some(column), ..PolicyFault::of(path, message) };
    Lint { fault, id: "unseen-error" }
}

/// Returns what stands before the parenthesis that ends a call.
fn arguments(rest: &str) -> &str {
    let mut depth = 1_usize;
    for (at, letter) in rest.char_indices() {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => (),
        }
        if depth == 0 {
            return rest.get(..at).unwrap_or_default();
        }
    }
    rest
}

/// Returns a text of the same length in which comments and plain strings are blank.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end.saturating_add(2))
        } else if next == '"' {
            string(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        } else {
            out.push_str(&" ".repeat(skipped));
            rest = rest.get(skipped..).unwrap_or_default();
        }
    }
    out
}

/// Returns the length of the string that a text begins with, quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.saturating_add(1),
            _ => (),
        }
    }
    text.len()
}
