//! Names that a file declares: unused ones, and those that already mean something else. Found in the text, where
//! closures and strings are as visible as code.

use std::collections::{BTreeMap, BTreeSet};

use super::Lint;
use crate::decide::fault::PolicyFault;
use crate::decide::library::LIBRARY;
use crate::decide::reference::WORDS;

/// A word of a policy, and where it starts.
struct Word<'a> {
    text: &'a str,
    line: usize,
    column: usize,
}

/// Returns the names that a file declares but does not use. A leading `_` marks this as intended.
pub(super) fn unused(path: &str, text: &str) -> Vec<Lint> {
    let Text { words, .. } = read(text);
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    words.iter().for_each(|word| *uses.entry(word.text).or_default() += 1);
    let declared = words.windows(2).filter_map(|pair| {
        let [keyword, name] = pair else { return None };
        let what = match keyword.text {
            "let" => "variable",
            "const" => "constant",
            "as" => "import",
            // Other files use it.
            "fn" if !path.starts_with(LIBRARY) => "function",
            _ => return None,
        };
        (uses.get(name.text) == Some(&1) && !name.text.starts_with('_')).then_some((what, name))
    });
    let found = declared.map(|(what, name)| {
        let message = format!("{what} `{}` is not used: delete it", name.text);
        let (line, column) = (Some(name.line), Some(name.column));
        Lint { fault: PolicyFault { line, column, ..PolicyFault::of(path, message) }, id: "unused-name" }
    });
    found.collect()
}

/// Most variables of a file, in all its functions.
const MAX_VARIABLES: usize = 1024;
/// Words that a rule's list and its conditions are made of, and units: nothing else may have such a name. A variable
/// may share the name of any other word; a function would shadow it.
const CLAUSES: [&str; 26] = [
    "when",
    "unless",
    "note",
    "all",
    "any",
    "held_for",
    "pct",
    "ms",
    "secs",
    "mins",
    "rps",
    "usd_per_hour",
    "scale_by",
    "scale_to",
    "autoscaler_floor",
    "shift",
    "throttle",
    "resize",
    "rollback",
    "promote",
    "abort",
    "restart",
    "webhook",
    "veto",
    "cap",
    "needs_replicas",
];
/// Calls a function value: a word of the script language, not of policies.
const CALL: &str = "call";

/// Returns a fault for each function, variable or import of a file that is named like a word of the language, or one
/// fault for more variables than the parser, which takes quadratic time for them, may be given.
pub(in crate::decide) fn taken(path: &str, text: &str) -> Vec<PolicyFault> {
    let Text { words, .. } = read(text);
    let variables = words.iter().filter(|word| matches!(word.text, "let" | "const")).count();
    if variables > MAX_VARIABLES {
        let message = format!("limit: it declares {variables} variables, the limit is {MAX_VARIABLES}");
        return vec![PolicyFault::of(path, message)];
    }
    let called = called();
    let found = words.windows(2).filter_map(|pair| {
        let [keyword, name] = pair else { return None };
        let what = match keyword.text {
            "fn" => "function",
            "let" | "const" => "variable",
            "as" => "import",
            _ => return None,
        };
        let is_taken =
            CLAUSES.contains(&name.text) || (what == "function" && (name.text == CALL || called.contains(name.text)));
        is_taken.then(|| PolicyFault {
            line: Some(name.line),
            column: Some(name.column),
            ..PolicyFault::of(path, format!("`{}` is a reserved word: give the {what} another name", name.text))
        })
    });
    found.collect()
}

/// Returns the functions that the examples of the reference call.
fn called() -> BTreeSet<&'static str> {
    let is_outside = |letter: char| !letter.is_alphanumeric() && letter != '_';
    let before = |example: &'static str| example.match_indices('(').filter_map(|(at, _)| example.get(..at));
    WORDS.iter().flat_map(|word| before(word.example)).filter_map(|text| text.rsplit(is_outside).next()).collect()
}

/// Returns line and column of the comment that a text leaves open, judging by its text alone.
pub(in crate::decide) fn unclosed(text: &str) -> Option<(usize, usize)> {
    read(text).unclosed
}

/// Contents of a text.
struct Text<'a> {
    words: Vec<Word<'a>>,
    /// Line and column of the comment that is open at its end.
    unclosed: Option<(usize, usize)>,
}

/// Reads the words outside comments (which may nest) and plain strings; backquoted strings may hold code.
fn read(text: &str) -> Text<'_> {
    let mut words = Vec::new();
    let (mut in_string, mut depth, mut begun) = (false, 0_usize, (1, 1));
    for (line, content) in (1..).zip(text.lines()) {
        let mut rest = content;
        while let Some(next) = rest.chars().next() {
            let column = content.len().saturating_sub(rest.len()).saturating_add(1);
            let word = rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default();
            let step = match next {
                _ if !in_string && rest.starts_with("/*") => {
                    begun = if depth == 0 { (line, column) } else { begun };
                    depth = depth.saturating_add(1);
                    2
                }
                _ if depth > 0 && rest.starts_with("*/") => {
                    depth = depth.saturating_sub(1);
                    2
                }
                _ if depth > 0 => next.len_utf8(),
                '\\' if in_string => 2,
                '"' => {
                    in_string = !in_string;
                    1
                }
                _ if in_string => next.len_utf8(),
                _ if rest.starts_with("//") => rest.len(),
                _ if !word.is_empty() => {
                    words.push(Word { text: word, line, column });
                    word.len()
                }
                _ => next.len_utf8(),
            };
            rest = rest.get(step..).unwrap_or_default();
        }
    }
    Text { words, unclosed: (depth > 0).then_some(begun) }
}
