//! Makes foreign text safe to show: in a terminal, a control character can hide or forge the text around it.

use std::borrow::Cow;

/// Returns whether a character changes how a terminal or page shows the rest: controls, and marks that change the
/// writing direction.
pub fn is_unprintable(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns text with such characters escaped as in source code (`\n`, `\u{1b}`).
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unprintable(letter) { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        for (text, shown) in [
            ("p99 über 200 ms", "p99 über 200 ms"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("one\nFAILED two\r", "one\\nFAILED two\\r"),
            ("a\u{9b}31mb\u{7f}", "a\\u{9b}31mb\\u{7f}"),
            ("user\u{202e}txt.exe\u{2066}", "user\\u{202e}txt.exe\\u{2066}"),
        ] {
            assert_eq!(escape_controls(text), shown);
            assert_eq!(text.contains(is_unprintable), text != shown);
        }
    }
}
