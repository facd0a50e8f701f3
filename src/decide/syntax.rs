//! What a syntax error means to the author of a policy: what the parser reports, and what was likely meant.

use rhai::{LexError, ParseErrorType, Position};

use crate::decide::engine::MAX_FUNCTIONS;
use crate::decide::fault::{CAPTURED, DISABLED, unknown_name};

/// Splits a text at a position.
fn split_at(text: &str, position: Position) -> Option<(&str, &str)> {
    let above = position.line()?.checked_sub(1)?;
    let begin: usize = text.split_inclusive('\n').take(above).map(str::len).sum();
    let column = position.position()?.checked_sub(1)?;
    let line = text.get(begin..)?;
    let offset = line.char_indices().nth(column).map_or(line.len(), |(offset, _)| offset);
    text.split_at_checked(begin.saturating_add(offset))
}

/// Returns what to write instead where the parser stopped, if that can be told from the text around it.
fn misspelt(text: &str, position: Position) -> Option<String> {
    let (before, rest) = split_at(text, position)?;
    let (before, is_part) = (before.trim_end(), |letter: char| letter.is_alphanumeric() || letter == '_');
    let (word, rest) = rest.split_at(rest.find(|letter| !is_part(letter)).unwrap_or(rest.len()));
    if word == "and" {
        return Some("`and` does not combine conditions: write all([a, b]), or list each in a when(..)".to_owned());
    }
    if word == "or" {
        return Some("`or` does not combine conditions: write any([a, b])".to_owned());
    }
    if !word.is_empty() && before.ends_with('{') && rest.trim_start().starts_with(':') {
        return Some("a map is written #{ .. }, with a `#`".to_owned());
    }
    let before = before.strip_suffix('%')?.trim_end();
    let number = &before[before.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.').len()..];
    (!number.is_empty()).then(|| format!("`%` after a number is not a unit: write pct({number})"))
}

/// Returns the message of a syntax error at a position of a text.
pub(super) fn syntax_message(error: &ParseErrorType, text: &str, position: Position) -> String {
    // The deadline has passed.
    if let ParseErrorType::BadInput(LexError::Runtime(why)) = error {
        return why.clone();
    }
    if let Some(remedy) = misspelt(text, position) {
        return remedy;
    }
    if let ParseErrorType::VariableUndefined(name) = error {
        let is_whole = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        let declared = |keyword: &str| text.split(&format!("{keyword} {name}")).skip(1).any(is_whole);
        if declared("let") || declared("const") || declared("for") {
            return format!("`{name}` is declared outside the function: {CAPTURED}");
        }
        return unknown_name(name);
    }
    if let ParseErrorType::ModuleUndefined(name) = error {
        return format!("no import named `{name}`: import \"lib/..\" as {name}");
    }
    if matches!(error, ParseErrorType::TooManyFunctions) {
        return format!("limit: more than {MAX_FUNCTIONS} functions in one file");
    }
    let after_dot = matches!(error, ParseErrorType::PropertyExpected);
    let said = error.to_string();
    if said.starts_with("Invalid character") || said.starts_with("Invalid string") {
        return format!("{said}: a text stands in \"double quotes\"");
    }
    if said.contains("'#' is a reserved") {
        return "a comment begins with //".to_owned();
    }
    for (keyword, remedy) in DISABLED {
        // After a dot the parser only reports a missing name.
        if said.contains(&format!("'{keyword}' is ")) || (after_dot && text.contains(&format!(".{keyword}"))) {
            return format!("`{keyword}` is not available in policies: {remedy}");
        }
    }
    said
}
