//! The output of a demo: redrawn in a terminal, or line by line.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};

use crate::demo::Scores;
use crate::demo::view::ViewModel;
use crate::demo::view::{json, lines, terminal as picture};

use super::Output;
use crate::cli::{print_line, terminal};

/// Time between two frames in a terminal, and between two groups of lines.
const REDRAW: Duration = Duration::from_millis(100);
const LINES: Duration = Duration::from_secs(1);

/// Columns and rows that the live view needs.
const LEAST: (u16, u16) = (60, 20);

/// Returns why this terminal cannot show the live view, if so: it does not support it, or is too small (some report a
/// zero size).
pub fn cramped() -> Option<String> {
    if !terminal::is_drawn_on() {
        return Some(
            "the terminal cannot draw the dashboard (TERM=dumb): printing lines instead; Ctrl-C stops the demo"
                .to_owned(),
        );
    }
    let (columns, rows) = ratatui::crossterm::terminal::size().unwrap_or_default();
    has_no_room(columns, rows)
}

fn has_no_room(columns: u16, rows: u16) -> Option<String> {
    let (least_columns, least_rows) = LEAST;
    (columns < least_columns || rows < least_rows).then(|| {
        format!(
            "the terminal is {columns} x {rows}: printing lines instead of the dashboard, which needs {least_columns} \
             x {least_rows}; Ctrl-C stops the demo"
        )
    })
}

/// An output for moments.
pub struct Screen {
    terminal: Option<DefaultTerminal>,
    output: Output,
    printer: lines::Printer,
    shown: Option<Instant>,
}

impl Screen {
    /// Takes over the terminal.
    pub fn terminal() -> anyhow::Result<Self> {
        let terminal =
            ratatui::try_init().context("cannot draw on this terminal; pipe the output to get plain lines")?;
        let mut screen = Self::lines(Output::Text);
        screen.terminal = Some(terminal);
        Ok(screen)
    }

    /// Prints lines.
    pub fn lines(output: Output) -> Self {
        Self { terminal: None, output, printer: lines::Printer::default(), shown: None }
    }

    /// Announces what is about to happen; a terminal shows it in its footer.
    pub fn hello(&self, hello: &[String]) -> anyhow::Result<()> {
        if self.terminal.is_none() && self.output == Output::Text {
            hello.iter().try_for_each(print_line)?;
        }
        Ok(())
    }

    /// Shows a moment if one is due; breaks when the user quits.
    pub fn show(&mut self, moment: impl FnOnce() -> anyhow::Result<ViewModel>) -> anyhow::Result<ControlFlow<()>> {
        let pause = if self.terminal.is_some() { REDRAW } else { LINES };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return Ok(ControlFlow::Continue(()));
        }
        self.shown = Some(Instant::now());
        let moment = moment()?;
        match (&mut self.terminal, self.output) {
            (Some(terminal), _) => {
                terminal.draw(|frame| picture::render(frame, &moment))?;
                return seen_enough();
            }
            (None, Output::Text) => self.printer.text(&moment).iter().try_for_each(print_line)?,
            (None, Output::Json) => {
                for line in self.printer.json(&moment) {
                    print_line(serde_json::to_string(&line)?)?;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Restores the terminal.
    pub fn close(&mut self) {
        if self.terminal.take().is_some() {
            ratatui::restore();
        }
    }

    /// Prints the cost of the run next to the stock autoscaler's, and the command to look back.
    pub fn summary(&self, scores: &Scores, explain: &str) -> anyhow::Result<()> {
        match self.output {
            Output::Text => {
                lines::text_summary(scores).iter().try_for_each(print_line)?;
                print_line(format!("to review a decision: {explain}"))?;
            }
            Output::Json => {
                json::summary(scores)
                    .iter()
                    .try_for_each(|line| anyhow::Ok(print_line(serde_json::to_string(line)?)?))?;
            }
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

/// Checks for q, Escape or Ctrl-C without blocking.
fn seen_enough() -> anyhow::Result<ControlFlow<()>> {
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_needs_room() {
        for (columns, rows, room) in [(0, 0, false), (80, 19, false), (59, 40, false), (60, 20, true), (80, 24, true)] {
            assert_eq!(has_no_room(columns, rows).is_none(), room, "{columns} x {rows}");
        }
        assert!(has_no_room(80, 10).unwrap().starts_with("the terminal is 80 x 10: printing lines"));
    }
}
