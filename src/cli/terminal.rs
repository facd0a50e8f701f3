//! What the terminal takes: whether it is drawn on, and in colour.

use std::io::IsTerminal as _;

use crate::config::{Terminal, terminal};

/// Tells whether the standard output is a terminal that moves its cursor: not where `TERM` says `dumb`.
pub fn is_drawn_on() -> bool {
    std::io::stdout().is_terminal() && !terminal().is_dumb
}

/// Tells whether the standard output is in colour: on a terminal that is drawn on, unless `NO_COLOR` says otherwise.
pub fn is_coloured() -> bool {
    coloured(std::io::stdout().is_terminal(), terminal())
}

fn coloured(is_terminal: bool, terminal: Terminal) -> bool {
    is_terminal && !terminal.is_dumb && !terminal.no_colour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_needs_a_terminal_that_has_it_and_nobody_who_does_not_want_it() {
        let coloured = |is_terminal, is_dumb, no_colour| coloured(is_terminal, Terminal { is_dumb, no_colour });
        assert!(coloured(true, false, false));
        for (is_terminal, is_dumb, no_colour) in [(false, false, false), (true, true, false), (true, false, true)] {
            assert!(!coloured(is_terminal, is_dumb, no_colour), "{is_terminal} {is_dumb} {no_colour}");
        }
    }
}
