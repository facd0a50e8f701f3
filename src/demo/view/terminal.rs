//! The live view of the demo: a pure function from a moment to a frame.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, Wrap};

use super::lines::{clock, expected, kill, latency, load};
use super::model::{ServiceRow, ViewModel};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of the table: title and width. The last one takes what is left.
const COLUMNS: [(&str, Constraint); 7] = [
    ("service", Constraint::Length(16)),
    ("mode", Constraint::Length(7)),
    ("load", Constraint::Length(8)),
    ("when new pods would be ready", Constraint::Length(29)),
    ("ready", Constraint::Length(8)),
    ("p99", Constraint::Length(17)),
    ("load so far", Constraint::Min(10)),
];

/// Draws the moment.
pub fn render(frame: &mut Frame<'_>, view: &ViewModel) {
    let services = view.services.len() as u16;
    let [head, table, decisions, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(services.saturating_add(3)),
        Constraint::Min(4),
        Constraint::Length(2),
    ])
    .areas(frame.area());
    frame.render_widget(header(view), head);
    draw_table(frame, table, view);
    frame.render_widget(last_decisions(view), decisions);
    frame.render_widget(footer(view), foot);
}

fn header(view: &ViewModel) -> Text<'static> {
    let stopped = !matches!(kill(&view.kill).as_str(), "off");
    let revision = view.revision.as_ref().map_or("none", |revision| revision.as_str());
    let mut first = vec![
        " flyball ".bold(),
        Span::raw(format!(" plant {}  {}x  kill switch ", view.at.strftime("%Y-%m-%d %H:%M:%S UTC"), view.speed)),
        Span::styled(kill(&view.kill), if stopped { alarm() } else { calm() }),
        Span::raw(format!("  policy {revision}")),
    ];
    if view.halted {
        first.push(Span::styled("  plant halted: the loop is behind", alarm()));
    }
    let second = Line::from(vec![
        Span::raw(" SLO violated  "),
        Span::styled(format!("flyball {:.1} min", view.violations.flyball), Modifier::BOLD),
        Span::raw(format!("   stock autoscaler, same plant and seed, {:.1} min", view.violations.stock_autoscaler)),
    ]);
    Text::from(vec![Line::from(first), second])
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, view: &ViewModel) {
    let fixed: u16 = COLUMNS.iter().map(|(_, width)| if let Constraint::Length(n) = width { n + 1 } else { 0 }).sum();
    let left = usize::from(area.width.saturating_sub(fixed + 2));
    let rows = view.services.iter().map(|row| table_row(row, left));
    let titles = Row::new(COLUMNS.map(|(title, _)| title)).style(Modifier::DIM);
    let table = Table::new(rows, COLUMNS.map(|(_, width)| width)).header(titles).block(Block::bordered());
    frame.render_widget(table, area);
}

fn table_row(row: &ServiceRow, width: usize) -> Row<'static> {
    let ahead = row.ahead.map_or("no forecast".to_owned(), |ahead| expected(&ahead));
    let late = row.p99.is_some_and(|p99| p99 > row.slo_p99);
    let starting = row.ready < row.replicas;
    Row::new([
        Cell::from(row.service.to_string()),
        Cell::from(row.mode.as_str()),
        Cell::from(load(row.load)),
        Cell::from(ahead),
        Cell::from(format!("{}/{}", row.ready, row.replicas)).style(if starting { busy() } else { Style::new() }),
        Cell::from(latency(row)).style(if late { alarm() } else { calm() }),
        Cell::from(bars(&row.loads, width)),
    ])
}

/// Returns the newest `width` values as bars from zero to the highest of them.
fn bars(values: &[f64], width: usize) -> String {
    let newest = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let highest = newest.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let height = if highest > 0.0 { value / highest * (BARS.len() - 1) as f64 } else { 0.0 };
        BARS.get(height.round() as usize).copied().unwrap_or(' ')
    };
    newest.iter().map(bar).collect()
}

fn last_decisions(view: &ViewModel) -> Paragraph<'static> {
    let faults = view
        .policy_faults
        .iter()
        .map(|fault| Line::styled(format!("policy refused, the last good one stays: {fault}"), alarm()));
    let decisions = view.services.iter().map(|row| match &row.decision {
        Some(decision) => Line::from(vec![
            Span::raw(format!("{} ", clock(decision.at))),
            Span::styled(row.service.to_string(), Modifier::BOLD),
            Span::raw(format!("  {}", decision.text)),
        ]),
        None => Line::from(format!("         {}  nothing decided yet", row.service)),
    });
    let lines: Vec<Line<'static>> = faults.chain(decisions).collect();
    Paragraph::new(lines).wrap(Wrap { trim: false }).block(Block::bordered().title(" last decisions and why "))
}

fn footer(view: &ViewModel) -> Text<'static> {
    let hints = &view.hints;
    Text::from(vec![
        Line::from(format!(" change a rule: edit {} (in force within a second)   quit: q or Ctrl-C", hints.policy)),
        Line::from(format!(" from a second terminal, stop all writes: {}   go on: {}", hints.kill, hints.resume)),
    ])
    .style(Modifier::DIM)
}

fn alarm() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

fn busy() -> Style {
    Style::new().fg(Color::Yellow)
}

fn calm() -> Style {
    Style::new().fg(Color::Green)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    use super::*;
    use crate::demo::view::model::samples::moment;
    use crate::model::KillState;

    fn draw(view: &ViewModel, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| render(frame, view)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn rows(buffer: &Buffer) -> Vec<String> {
        let width = usize::from(buffer.area.width);
        let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
        buffer.content.chunks(width).map(|cells| row(cells).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_moment_fills_the_screen() {
        let screen = rows(&draw(&moment(), 112, 14)).join("\n");
        insta::assert_snapshot!(screen, @r"
         flyball  plant 2026-03-03 11:59:15 UTC  60x  kill switch off  policy 205881a3d12b
         SLO violated  flyball 0.2 min   stock autoscaler, same plant and seed, 2.5 min
        ┌──────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
        │service          mode    load     when new pods would be ready  ready    p99               load so far        │
        │shop/catalog     shadow  unknown  no forecast                   9/9      unknown of 200 ms ▆▇▇█▇              │
        │shop/checkout    auto    404/s    607/s (485 to 809)            7/12     131 ms of 200 ms  ▆▇▇█▇              │
        │shop/search      auto    931/s    1396/s (1117 to 1862)         16/16    612 ms of 200 ms  ▆▇▇█▇              │
        └──────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
        ┌ last decisions and why ──────────────────────────────────────────────────────────────────────────────────────┐
        │         shop/catalog  nothing decided yet                                                                    │
        │11:59:00 shop/checkout  scale to 12: capacity needs 12 at the lead time, 7 are there                          │
        └──────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
         change a rule: edit demo/policies/ (in force within a second)   quit: q or Ctrl-C
         from a second terminal, stop all writes: flyball kill   go on: flyball resume
        ");
    }

    #[test]
    fn what_stands_in_the_way_is_shown_in_red() {
        let mut view = moment();
        view.halted = true;
        view.policy_faults = vec!["capacity.rhai:3:5: unknown signal `rsp`".to_owned()];
        view.kill = KillState::Unreadable { error: "no such file".to_owned() };
        let buffer = draw(&view, 130, 16);
        let red: String =
            buffer.content.iter().filter(|cell| cell.fg == Color::Red).map(ratatui::buffer::Cell::symbol).collect();
        for part in ["ENGAGED (unreadable: no such file)", "plant halted", "policy refused", "612 ms of 200 ms"] {
            assert!(red.contains(part), "{part} is not red: {red}");
        }
    }

    #[test]
    fn any_size_of_terminal_is_survived() {
        for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 80)] {
            draw(&moment(), width, height);
        }
    }

    #[test]
    fn bars_stand_on_zero_and_show_the_newest() {
        assert_eq!(bars(&[9.0, 0.0, 50.0, 100.0], 3), "▁▅█");
        assert_eq!(bars(&[0.0, 0.0], 8), "▁▁");
        assert_eq!(bars(&[], 8), "");
        assert_eq!(bars(&[1.0], 0), "");
    }
}
