//! The demo without a terminal, as lines of text.

use std::collections::BTreeMap;

use crate::demo::Scores;
use crate::model::{KillState, ServiceId, Timestamp, Unit};
use crate::sim::{BurstState, Score};

use super::json::{self, JsonLine};
use super::model::{Ahead, Event, Halt, LastDecision, ServiceRow, ViewModel};

/// Seconds before a surge at which it is announced.
const SOON: i64 = 3600;

/// Prints moments one after the other: events once, a decision only if it differs from the previous one.
#[derive(Debug, Default)]
pub struct Printer {
    events: u64,
    decisions: BTreeMap<ServiceId, String>,
    faults: Vec<String>,
    run: String,
}

impl Printer {
    /// Returns the moment as lines of text: new events, the state of the run, and one or two lines per service once
    /// they move.
    pub fn text(&mut self, view: &ViewModel) -> Vec<String> {
        let mut lines: Vec<String> = self.news(view).into_iter().map(|event| format!("* {}", told(event))).collect();
        // A plant that waits for the loop repeats the same line.
        let run = run(view);
        if view.halted != Some(Halt::Starting) || run != self.run {
            lines.push(run.clone());
        }
        self.run = run;
        if self.faults != view.policy_faults {
            lines.extend(view.policy_faults.iter().map(|fault| format!("  {}", refused(view, fault))));
            self.faults.clone_from(&view.policy_faults);
        }
        if view.halted == Some(Halt::Starting) {
            return lines;
        }
        for row in &view.services {
            lines.push(service(row));
            lines.extend(self.changed(row).map(|it| format!("    {}  {}: {}", clock(it.at), it.what, it.why)));
        }
        lines
    }

    /// Returns the moment as JSON objects: new events, the run, each service.
    pub fn json(&mut self, view: &ViewModel) -> Vec<JsonLine> {
        let mut lines: Vec<JsonLine> = self.news(view).into_iter().cloned().map(JsonLine::Event).collect();
        lines.extend(json::moment(view));
        lines
    }

    /// Returns the events that were not printed yet, oldest first.
    fn news<'a>(&mut self, view: &'a ViewModel) -> Vec<&'a Event> {
        let news = view.events.iter().rev().filter(|event| event.number > self.events).collect();
        self.events = view.events.first().map_or(self.events, |newest| newest.number);
        news
    }

    fn changed<'a>(&mut self, row: &'a ServiceRow) -> Option<&'a LastDecision> {
        let decision = row.decision.as_ref()?;
        let before = self.decisions.insert(row.service.clone(), decision.what.clone());
        (before.as_ref() != Some(&decision.what)).then_some(decision)
    }
}

fn run(view: &ViewModel) -> String {
    format!(
        "{} at {}x{}; SLO-violation minutes: flyball {:.1}, stock autoscaler {:.1}; kill switch {}; policy {}",
        clock(view.at),
        view.speed,
        view.halted.map_or(String::new(), |halt| format!(" ({})", halted(halt))),
        view.violations.flyball,
        view.violations.stock_autoscaler,
        kill(&view.kill),
        view.revision.as_ref().map_or("none", |revision| revision.as_str()),
    )
}

fn service(row: &ServiceRow) -> String {
    format!(
        "  {} ({}): load {}{}, {}; {} of {} replicas ready; p99 {}",
        row.service,
        row.mode.as_str(),
        load(row.load),
        row.burst.and_then(burst).map_or(String::new(), |burst| format!(" ({burst})")),
        row.ahead.map_or("no forecast".to_owned(), |ahead| format!("in {} min {}", ahead.minutes, expected(&ahead))),
        row.ready,
        row.replicas,
        latency(row),
    )
}

/// Returns why the plant is halted.
pub(super) fn halted(halt: Halt) -> &'static str {
    match halt {
        Halt::Starting => "simulation paused: the loop is reading 14 days of history",
        Halt::Behind => "simulation paused: the loop is behind",
    }
}

/// Returns a refused policy.
pub(super) fn refused(view: &ViewModel, fault: &str) -> String {
    match view.revision {
        Some(_) => format!("policy refused, keeping the last good one: {fault}"),
        None => format!("policy refused, no policy is active: nothing is decided until this is fixed: {fault}"),
    }
}

/// Returns an event with its time and service.
pub(super) fn told(event: &Event) -> String {
    let service = event.service.as_ref().map_or(String::new(), |service| format!("{service} "));
    format!("{} {service}{}", clock(event.at), event.text)
}

/// Returns the state of a surge; `None` while the next one is more than an hour away.
pub(super) fn burst(state: BurstState) -> Option<String> {
    match state {
        BurstState::Due { seconds } if seconds > SOON => None,
        BurstState::Due { seconds } => Some(format!("daily surge in {}", span(seconds))),
        BurstState::On { seconds, recurring: true } => Some(format!("daily surge for {}", span(seconds))),
        BurstState::On { seconds, recurring: false } => Some(format!("flash crowd for {}", span(seconds))),
    }
}

/// Returns a span of plant time: `40 s`, `6 min 05 s`.
pub fn span(seconds: i64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {:02} s", seconds / 60, seconds % 60) }
}

/// Returns the time of the day.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Returns a load, or that it is unknown.
pub(super) fn load(rps: Option<f64>) -> String {
    rps.map_or("unknown".to_owned(), |rps| format!("{rps:.0}/s"))
}

/// Returns a forecast with its interval.
pub(super) fn expected(ahead: &Ahead) -> String {
    format!("{:.0}/s ({:.0} to {:.0})", ahead.point, ahead.lower, ahead.upper)
}

/// Returns p99 and its objective.
pub(super) fn latency(row: &ServiceRow) -> String {
    let now = row.p99.map_or("unknown".to_owned(), |p99| Unit::Seconds.show(p99));
    format!("{now} of {}", Unit::Seconds.show(row.slo_p99))
}

/// Returns what the kill switch stops.
pub(super) fn kill(state: &KillState) -> String {
    match state {
        KillState::Missing { error } => format!("ENGAGED (missing: {error})"),
        KillState::Unreadable { error } => format!("ENGAGED (unreadable: {error})"),
        KillState::Readable { order, .. } if order.all => "ENGAGED".to_owned(),
        KillState::Readable { order, .. } => {
            order.stopped().map_or("off".to_owned(), |stopped| format!("engaged for {stopped}"))
        }
    }
}

/// Returns the cost of a run as lines of text: one per service and controller, then the sums.
pub fn text_summary(scores: &Scores) -> Vec<String> {
    let line = |service: &str, under: &str, minutes: &str, hours: &str, actions: &str| {
        format!("{service:<16} {under:<17} {minutes:>17} {hours:>14} {actions:>8}")
    };
    let row = |service: &str, under: &str, score: &Score| {
        let (minutes, hours) = (format!("{:.2}", score.slo_violation_minutes), format!("{:.2}", score.replica_hours));
        line(service, under, &minutes, &hours, &score.actions.to_string())
    };
    let mut lines = vec![line("service", "under", "SLO-violation min", "replica-hours", "actions")];
    for (service, score) in &scores.flyball {
        lines.push(row(service.as_str(), "flyball", score));
        lines.extend(scores.stock_autoscaler.get(service).map(|stock| row("", "stock autoscaler", stock)));
    }
    let (flyball, stock) = scores.sums();
    lines.push(row("all", "flyball", &flyball));
    lines.push(row("", "stock autoscaler", &stock));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::view::model::samples::moment;

    #[test]
    fn a_moment_reads_as_lines() {
        let revision = moment().revision.unwrap();
        let expected = format!(
            "* 11:59:00 shop/checkout scaled 7 -> 12: up to 701/s within 10 min need 12, now 404/s need 7
11:59:15 at 60x; SLO-violation minutes: flyball 0.2, stock autoscaler 2.5; kill switch off; policy {revision}
  shop/catalog (shadow): load unknown, no forecast; 9 of 9 replicas ready; p99 unknown of 200 ms
  shop/checkout (auto): load 404/s (daily surge in 45 s), in 1.5 min 607/s (485 to 809); 7 of 12 replicas ready; p99 131 ms of 200 ms
    11:59:00  scaled 7 -> 12: up to 701/s within 10 min need 12, now 404/s need 7
  shop/search (auto): load 931/s, in 1.5 min 1396/s (1117 to 1862); 16 of 16 replicas ready; p99 612 ms of 200 ms"
        );
        let mut printer = Printer::default();
        assert_eq!(printer.text(&moment()).join("\n"), expected);
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let mut printer = Printer::default();
        let mut view = moment();
        view.policy_faults = vec!["capacity.rhai:3:5: unknown signal `rsp`".to_owned()];
        assert!(refused(&view, "x").contains("keeping the last good one"));
        assert!(!refused(&ViewModel { revision: None, ..moment() }, "x").contains("keeping the last good one"));
        assert_eq!(printer.text(&view).len(), 7);
        assert_eq!(printer.text(&view).len(), 4, "the run and three services");
        let last = view.services[1].decision.as_mut().unwrap();
        last.what = "held by cooldown".to_owned();
        assert_eq!(printer.text(&view).len(), 5);
        let newer = Event { number: 2, ..view.events[0].clone() };
        view.events.insert(0, newer);
        assert_eq!(printer.text(&view).len(), 5);
        view.halted = Some(Halt::Starting);
        assert_eq!(printer.text(&view).len(), 1);
        assert_eq!(printer.text(&view).len(), 0);
        let mut printer = Printer::default();
        view.halted = None;
        assert_eq!(printer.json(&view).len(), 6);
        assert_eq!(printer.json(&view).len(), 4);
    }

    fn scores(flyball: Score, stock: Score) -> Scores {
        let one = |score| [(ServiceId::new("shop", "checkout").unwrap(), score)].into();
        Scores { flyball: one(flyball), stock_autoscaler: one(stock) }
    }

    #[test]
    fn the_summary_sets_both_controllers_side_by_side() {
        let flyball = Score { slo_violation_minutes: 0.5, replica_hours: 31.25, actions: 9 };
        let stock = Score { slo_violation_minutes: 3.25, replica_hours: 33.0, actions: 17 };
        insta::assert_snapshot!(text_summary(&scores(flyball, stock)).join("\n"), @r"
        service          under             SLO-violation min  replica-hours  actions
        shop/checkout    flyball                        0.50          31.25        9
                         stock autoscaler               3.25          33.00       17
        all              flyball                        0.50          31.25        9
                         stock autoscaler               3.25          33.00       17
        ");
    }

    #[test]
    fn what_stands_in_the_way_is_said() {
        let mut view = moment();
        view.halted = Some(Halt::Behind);
        view.policy_faults = vec!["capacity.rhai:3:5: unknown signal `rsp`".to_owned()];
        view.kill = KillState::Unreadable { error: "no such file".to_owned() };
        let lines = Printer::default().text(&view);
        assert!(
            lines[1].contains("paused: the loop is behind") && lines[1].contains("ENGAGED (unreadable: no such file)")
        );
        assert_eq!(lines[2], "  policy refused, keeping the last good one: capacity.rhai:3:5: unknown signal `rsp`");
    }
}
