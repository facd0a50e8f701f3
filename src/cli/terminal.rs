//! The capabilities of the terminal: cursor control and colour.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use crate::config::{Terminal, terminal};
use crate::model::controls::is_unprintable;

/// Returns whether standard output is a terminal with cursor control: not if `TERM` is `dumb`.
pub fn is_drawn_on() -> bool {
    std::io::stdout().is_terminal() && !terminal().is_dumb
}

/// Returns whether standard output is in colour: on a terminal with cursor control, unless `NO_COLOR` is set.
pub fn is_coloured() -> bool {
    coloured(std::io::stdout().is_terminal(), terminal())
}

fn coloured(is_terminal: bool, terminal: Terminal) -> bool {
    is_terminal && !terminal.is_dumb && !terminal.no_colour
}

/// Clears the terminal, for output that is refreshed in place.
pub fn clear() -> std::io::Result<()> {
    use std::io::Write as _;
    // Home, and clear what is below.
    writeln!(std::io::stdout().lock(), "\u{1b}[H\u{1b}[2J\u{1b}[H")
}

/// Returns text that a terminal shows but does not obey: of all control characters in it, only newlines, tabs and
/// colours are kept. The others are escaped as in JSON, so that a line for programs keeps its meaning.
pub fn safe(text: &str) -> Cow<'_, str> {
    let kept = |letter: char| matches!(letter, '\n' | '\t');
    if !text.contains(|letter: char| is_unprintable(letter) && !kept(letter)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let colour = colour(rest);
        if colour > 0 {
            out.push_str(rest.get(..colour).unwrap_or_default());
        } else if is_unprintable(letter) && !kept(letter) {
            // Writing into a String does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
        rest = rest.get(colour.max(letter.len_utf8())..).unwrap_or_default();
    }
    Cow::Owned(out)
}

/// Returns the length of the colour escape sequence at the start of a text; 0 if there is none.
fn colour(text: &str) -> usize {
    let Some(order) = text.strip_prefix("\x1b[") else { return 0 };
    let end = order.find(|letter: char| !letter.is_ascii_digit() && letter != ';').unwrap_or(order.len());
    if order.get(end..).is_some_and(|end| end.starts_with('m')) { end + 3 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Including those in a record of an earlier version, the name of a field manager or the answer of a server.
    #[test]
    fn what_a_terminal_would_obey_is_spelled_out_and_colours_stay() {
        for (text, shown) in [
            ("one\n\ttwo über", "one\n\ttwo über"),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
            ("\x1b[2Jgone\x1b]0;title\x07", "\\u001b[2Jgone\\u001b]0;title\\u0007"),
            ("a\rb\u{9b}31mc\u{7f}", "a\\u000db\\u009b31mc\\u007f"),
            ("\x1b[31", "\\u001b[31"),
            ("user\u{202e}txt", "user\\u202etxt"),
        ] {
            assert_eq!(safe(text), shown);
        }
        let json = serde_json::json!({ "why": "a\u{9b}b" }).to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe(&json)).unwrap()["why"], "a\u{9b}b");
    }

    #[test]
    fn colour_needs_a_terminal_that_has_it_and_nobody_who_does_not_want_it() {
        let coloured = |is_terminal, is_dumb, no_colour| coloured(is_terminal, Terminal { is_dumb, no_colour });
        assert!(coloured(true, false, false));
        for (is_terminal, is_dumb, no_colour) in [(false, false, false), (true, true, false), (true, false, true)] {
            assert!(!coloured(is_terminal, is_dumb, no_colour), "{is_terminal} {is_dumb} {no_colour}");
        }
    }
}
