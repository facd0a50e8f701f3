//! The live view of the demo: a pure function from a moment to a frame, readable from 80x24 up.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, Wrap};

use crate::model::ServiceId;
use crate::sim::BurstState;

use super::lines::{burst, clock, expected, halted, kill, latency, load, refused};
use super::model::{Event, EventKind, ServiceRow, ViewModel};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of the table: title and width. The last one takes the rest.
const COLUMNS: [(&str, Constraint); 6] = [
    ("service", Constraint::Length(13)),
    ("load", Constraint::Length(7)),
    ("when new pods serve", Constraint::Length(21)),
    ("ready", Constraint::Length(5)),
    ("p99 of objective", Constraint::Length(17)),
    ("by minute", Constraint::Min(4)),
];

/// Height at which each decision gets two lines.
const TALL: u16 = 32;
/// Width below which a line omits what the rest of the screen also shows.
const WIDE: u16 = 100;

/// Draws the moment.
pub fn render(frame: &mut Frame<'_>, view: &ViewModel) {
    let services = view.services.len() as u16;
    let faults = view.policy_faults.len().min(3) as u16;
    let lines = if frame.area().height < TALL { 1 } else { 2 };
    let [head, table, decisions, events, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(services.saturating_add(3)),
        Constraint::Length(services.saturating_mul(lines).saturating_add(faults).saturating_add(2)),
        Constraint::Min(3),
        Constraint::Length(4),
    ])
    .areas(frame.area());
    frame.render_widget(fitted(header(view), head.width), head);
    draw_table(frame, table, view);
    draw_decisions(frame, decisions, view, lines > 1);
    draw_events(frame, events, view, lines > 1);
    frame.render_widget(fitted(footer(view), foot.width), foot);
}

/// Truncates every line that is too long, and marks it as truncated.
fn fitted(text: Text<'static>, width: u16) -> Text<'static> {
    text.lines.into_iter().map(|line| fit(line, usize::from(width))).collect()
}

fn fit(line: Line<'static>, width: usize) -> Line<'static> {
    if line.width() <= width {
        return line;
    }
    let mut left = width.saturating_sub(1);
    let mut spans = Vec::new();
    for span in line.spans {
        let kept: String = span.content.chars().take(left).collect();
        left = left.saturating_sub(kept.chars().count());
        spans.push(Span::styled(kept, span.style));
    }
    spans.push(Span::raw("…"));
    Line::from(spans)
}

/// Returns the short name of a service if there is little room.
fn called(service: &ServiceId, wide: bool) -> &str {
    if wide { service.as_str() } else { service.name() }
}

fn header(view: &ViewModel) -> Text<'static> {
    let stopped = !matches!(kill(&view.kill).as_str(), "off");
    let revision = view.revision.as_ref().map_or("none", |revision| revision.as_str());
    let first = Line::from(vec![
        " flyball demo ".bold(),
        Span::raw(format!(" {}, {}x   kill switch ", view.at.strftime("%Y-%m-%d %H:%M:%S"), view.speed)),
        Span::styled(kill(&view.kill), if stopped { alarm() } else { calm() }),
        Span::raw(format!("   policy {revision}")),
    ]);
    let second = Line::from(vec![
        Span::raw(" minutes outside the objective:  "),
        Span::styled(format!("flyball {:.1}", view.violations.flyball), Modifier::BOLD),
        Span::raw(format!("   stock autoscaler, same load, {:.1}", view.violations.stock_autoscaler)),
    ]);
    Text::from(vec![first, second, next(view)])
}

/// Returns what to watch for.
fn next(view: &ViewModel) -> Line<'static> {
    if let Some(halt) = view.halted {
        return Line::styled(format!(" {}", halted(halt)), alarm());
    }
    let surges: Vec<Span<'static>> = view
        .services
        .iter()
        .filter_map(|row| {
            let state = row.burst?;
            Some(Span::styled(format!(" {}: {} ", row.service, burst(state)?), surge(state)))
        })
        .collect();
    Line::from(surges)
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
        Cell::from(load(row.load)),
        Cell::from(ahead),
        Cell::from(format!("{}/{}", row.ready, row.replicas)).style(if starting { busy() } else { Style::new() }),
        Cell::from(latency(row)).style(if late { alarm() } else { calm() }),
        Cell::from(Line::from(sparkline(row, width))),
    ])
}

/// Returns the load by minute, with the minutes of a surge in its colour.
fn sparkline(row: &ServiceRow, width: usize) -> Vec<Span<'static>> {
    let bars = bars(&row.loads, width);
    let count = bars.chars().count();
    let (within, style) = match row.burst {
        Some(state @ BurstState::On { seconds, .. }) => ((seconds / 60 + 1) as usize, surge(state)),
        _ => (0, Style::new()),
    };
    let before: String = bars.chars().take(count.saturating_sub(within)).collect();
    let during: String = bars.chars().skip(count.saturating_sub(within)).collect();
    vec![Span::raw(before), Span::styled(during, style)]
}

/// Returns the newest `width` values as bars from zero to their maximum.
fn bars(values: &[f64], width: usize) -> String {
    let newest = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let highest = newest.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let height = if highest > 0.0 { value / highest * (BARS.len() - 1) as f64 } else { 0.0 };
        BARS.get(height.round() as usize).copied().unwrap_or(' ')
    };
    newest.iter().map(bar).collect()
}

fn draw_decisions(frame: &mut Frame<'_>, area: Rect, view: &ViewModel, two_lines: bool) {
    let wide = two_lines || area.width >= WIDE;
    let longest = view.services.iter().map(|row| called(&row.service, wide).len()).max().unwrap_or(0);
    let faults = view.policy_faults.iter().take(3).map(|fault| Line::styled(refused(view, fault), alarm()));
    let decisions = view.services.iter().flat_map(|row| {
        let service = Span::styled(format!("{:<longest$} ", called(&row.service, wide)), Modifier::BOLD);
        let at = row.decision.as_ref().map_or(String::new(), |it| clock(it.at));
        let at = Span::raw(if wide { format!("{at:8} ") } else { String::new() });
        let Some(it) = &row.decision else {
            return vec![Line::from(vec![at, service, Span::raw("nothing decided yet")])];
        };
        let what = vec![at, service, Span::styled(it.what.clone(), Modifier::BOLD)];
        if two_lines {
            vec![Line::from(what), Line::from(format!("{:9}{:longest$} {}", "", "", it.why))]
        } else {
            vec![Line::from([what, vec![Span::raw(format!(": {}", it.why))]].concat())]
        }
    });
    let block = Block::bordered().title(" last decisions and why ");
    let text = fitted(faults.chain(decisions).collect(), block.inner(area).width);
    frame.render_widget(Paragraph::new(text).block(block), area);
}

/// Draws the events; on a small screen each gets one line, so that more of them fit.
fn draw_events(frame: &mut Frame<'_>, area: Rect, view: &ViewModel, wrapped: bool) {
    let wide = wrapped || area.width >= WIDE;
    let text: Text<'static> = view.events.iter().map(|event| event_line(event, wide)).collect();
    let block = Block::bordered().title(" what happened, newest first ");
    let events = if wrapped {
        Paragraph::new(text).wrap(Wrap { trim: false })
    } else {
        Paragraph::new(fitted(text, block.inner(area).width))
    };
    frame.render_widget(events.block(block), area);
}

fn event_line(event: &Event, wide: bool) -> Line<'static> {
    let mut spans = vec![Span::raw(format!("{} ", clock(event.at)))];
    let name = |service: &ServiceId| Span::styled(format!("{} ", called(service, wide)), Modifier::BOLD);
    spans.extend(event.service.as_ref().map(name));
    let style = match event.kind {
        EventKind::Raised | EventKind::Policy => calm(),
        EventKind::Lowered | EventKind::Held => Style::new(),
        EventKind::Failed | EventKind::PolicyRefused | EventKind::KillSwitch | EventKind::Trouble => alarm(),
        EventKind::Surge => crowd(),
    };
    spans.push(Span::styled(event.text.clone(), style));
    Line::from(spans)
}

fn footer(view: &ViewModel) -> Text<'static> {
    let hints = &view.hints;
    let line = |key: &'static str, text: String| Line::from(vec![Span::styled(key, Modifier::BOLD), Span::raw(text)]);
    Text::from(vec![
        line(" edit    ", format!("{}   (active within a second)", hints.policy)),
        line(" stop    ", format!("{}   (in a second terminal)", hints.kill)),
        line(" resume  ", hints.resume.clone()),
        line(" quit    ", format!("q    why: {}", hints.explain)),
    ])
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

fn crowd() -> Style {
    Style::new().fg(Color::Magenta).add_modifier(Modifier::BOLD)
}

fn surge(state: BurstState) -> Style {
    match state {
        BurstState::Due { .. } => busy().add_modifier(Modifier::BOLD),
        BurstState::On { .. } => crowd(),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    use super::*;
    use crate::demo::view::model::Halt;
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
        let screen = rows(&draw(&moment(), 100, 24)).join("\n");
        insta::assert_snapshot!(screen, @"
         flyball demo  2026-03-03 11:59:15, 60x   kill switch off   policy 205881a3d12b
         minutes outside the objective:  flyball 0.2   stock autoscaler, same load, 2.5
         shop/checkout: daily surge in 45 s
        ┌──────────────────────────────────────────────────────────────────────────────────────────────────┐
        │service       load    when new pods serve   ready p99 of objective  by minute                     │
        │shop/catalog  unknown no forecast           9/9   unknown of 200 ms ▆▇▇█▇                         │
        │shop/checkout 404/s   607/s (485 to 809)    7/12  131 ms of 200 ms  ▆▇▇█▇                         │
        │shop/search   931/s   1396/s (1117 to 1862) 16/16 612 ms of 200 ms  ▆▇▇█▇                         │
        └──────────────────────────────────────────────────────────────────────────────────────────────────┘
        ┌ last decisions and why ──────────────────────────────────────────────────────────────────────────┐
        │         shop/catalog  nothing decided yet                                                        │
        │11:59:00 shop/checkout scaled 7 -> 12: up to 701/s within 10 min need 12, now 404/s need 7        │
        │         shop/search   nothing decided yet                                                        │
        └──────────────────────────────────────────────────────────────────────────────────────────────────┘
        ┌ what happened, newest first ─────────────────────────────────────────────────────────────────────┐
        │11:59:00 shop/checkout scaled 7 -> 12: up to 701/s within 10 min need 12, now 404/s need 7        │
        │                                                                                                  │
        │                                                                                                  │
        │                                                                                                  │
        └──────────────────────────────────────────────────────────────────────────────────────────────────┘
         edit    demo/policies/capacity.rhai   (active within a second)
         stop    flyball kill   (in a second terminal)
         resume  flyball resume --reason ok
         quit    q    why: flyball explain shop/checkout
        ");
    }

    #[test]
    fn the_smallest_usual_terminal_has_room_for_all_of_it() {
        let mut view = moment();
        view.services[1].burst = Some(BurstState::On { seconds: 61, recurring: true });
        let buffer = draw(&view, 80, 24);
        let screen = rows(&buffer).join("\n");
        for part in [
            "404/s",
            "607/s (485 to 809)",
            "7/12",
            "612 ms of 200 ms",
            "scaled 7 -> 12",
            "daily surge for 1 min 01 s",
            "demo/policies/capacity.rhai",
            "flyball kill",
            "flyball resume",
            "quit    q",
            "checkout scaled 7 -> 12: up to 701/s within 10 min need 12, now 404/s need 7",
        ] {
            assert!(screen.contains(part), "{part} is not on it:\n{screen}");
        }
        let marked = buffer.content.iter().filter(|cell| cell.fg == Color::Magenta && "▆▇█".contains(cell.symbol()));
        assert_eq!(marked.count(), 2, "minutes of the surge");
    }

    #[test]
    fn a_line_that_is_cut_shows_it() {
        let mut view = moment();
        view.events[0].text = "long ".repeat(40);
        view.hints.policy = "deep/".repeat(20);
        let screen = rows(&draw(&view, 80, 24));
        assert_eq!(screen.iter().filter(|row| row.contains('…')).count(), 2, "{}", screen.join("\n"));
        assert!(screen.iter().all(|row| row.chars().count() <= 80));
        // With enough room nothing is truncated.
        let screen = rows(&draw(&view, 200, 50)).join("\n");
        assert!(!screen.contains('…') && screen.contains(view.hints.policy.as_str()), "{screen}");
    }

    #[test]
    fn what_stands_in_the_way_is_shown_in_red() {
        let mut view = moment();
        view.halted = Some(Halt::Behind);
        view.policy_faults = vec!["capacity.rhai:3:5: unknown signal `rsp`".to_owned()];
        view.kill = KillState::Unreadable { error: "no such file".to_owned() };
        let buffer = draw(&view, 130, 24);
        let red: String =
            buffer.content.iter().filter(|cell| cell.fg == Color::Red).map(ratatui::buffer::Cell::symbol).collect();
        for part in ["ENGAGED (unreadable: no such file)", "simulation paused", "policy refused", "612 ms of 200 ms"] {
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
