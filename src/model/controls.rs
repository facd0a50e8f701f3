//! Text of others that is safe to show: in a terminal, a control character can hide or forge what stands around it.

use std::borrow::Cow;

/// Tells whether a letter changes how a terminal or a page shows the rest: controls, and the marks that turn the
/// direction of writing round.
pub fn is_unprintable(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns text in which such letters stand as they are written in source text (`\n`, `\u{1b}`).
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
