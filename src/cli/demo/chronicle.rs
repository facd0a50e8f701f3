//! Detects what happens from one moment to the next: writes, surges, the kill switch, policies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::demo::PlantSnapshot;
use crate::demo::view::lines::span;
use crate::demo::view::model::{Event, EventKind};
use crate::model::{
    ChangeSet, DecisionId, DecisionRecord, KillState, PolicyRevision, ServiceId, Timestamp, WriteOutcome, explain,
};
use crate::ports::{Awaited, Status};
use crate::sim::BurstState;

/// Events kept.
const KEPT: usize = 60;

/// Seconds before a surge in which a raise is reported as one for it.
const HOUR: i64 = 3600;

/// The events so far.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// Newest first.
    events: VecDeque<Event>,
    count: u64,
    told: BTreeSet<DecisionId>,
    /// The last headline of each service, if its change was not written.
    unwritten: BTreeMap<ServiceId, Option<String>>,
    bursts: BTreeMap<ServiceId, bool>,
    kill: Option<KillState>,
    revision: Option<PolicyRevision>,
    faults: Vec<String>,
    /// What the loop lacks; `None` until it was ready once.
    lacking: Option<Vec<Awaited>>,
}

impl Chronicle {
    /// Returns the newest events, newest first.
    pub fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }

    /// Notes that these policies are not the shipped ones, which explains other surprises.
    pub fn own_policies(&mut self, at: Timestamp, names: &[String]) {
        let text = format!(
            "using edited policies found here, not the shipped ones: {}; remove them to start from scratch",
            names.join(", ")
        );
        self.add(at, EventKind::Policy, None, text);
    }

    /// Adds the events of a moment; `records` are the newest decisions, newest first.
    pub fn note(&mut self, at: Timestamp, status: &Status, records: &[DecisionRecord], plant: &[PlantSnapshot]) {
        let told = self.count;
        for record in records.iter().rev() {
            self.note_write(at, record, plant);
        }
        for seen in plant {
            self.note_burst(at, seen);
        }
        self.note_kill(at, &status.kill);
        self.note_policy(at, status);
        self.note_trouble(at, status);
        self.put_in_order(told);
    }

    /// Sorts the events after the first `told` ones by time: they were collected source by source.
    fn put_in_order(&mut self, told: u64) {
        let news = self.events.partition_point(|event| event.number > told);
        let news = &mut self.events.make_contiguous()[..news];
        news.sort_by_key(|event| std::cmp::Reverse(event.at));
        for (event, number) in news.iter_mut().zip((0..=self.count).rev()) {
            event.number = number;
        }
    }

    fn add(&mut self, at: Timestamp, kind: EventKind, service: Option<&ServiceId>, text: String) {
        self.count += 1;
        self.events.push_front(Event { number: self.count, at, kind, service: service.cloned(), text });
        self.events.truncate(KEPT);
    }

    fn note_write(&mut self, at: Timestamp, record: &DecisionRecord, plant: &[PlantSnapshot]) {
        let (Some(change), Some(outcome)) = (&record.change, &record.outcome) else { return };
        if !self.told.insert(record.id.clone()) {
            return;
        }
        let kind = kind(change, outcome);
        let explain::Headline { what, why } = explain::headline(record);
        // A write that did not happen is retried each tick; only the first is news.
        let unwritten = matches!(kind, EventKind::Failed | EventKind::Held).then(|| what.clone());
        let before = self.unwritten.insert(record.id.service.clone(), unwritten.clone());
        if unwritten.is_some() && before == Some(unwritten) {
            return;
        }
        let burst = plant.iter().find(|seen| seen.service == record.id.service).and_then(|seen| seen.burst);
        let since = at.duration_since(record.at).as_secs();
        let ahead = burst.filter(|_| kind == EventKind::Raised).and_then(|burst| seconds_ahead(burst, since));
        let before = ahead.map_or_else(String::new, |ahead| format!(", {} before its daily surge", span(ahead)));
        self.add(record.at, kind, Some(&record.id.service), format!("{what}{before}: {why}"));
    }

    fn note_burst(&mut self, at: Timestamp, seen: &PlantSnapshot) {
        let since = match seen.burst {
            Some(BurstState::On { seconds, .. }) => Some(Duration::from_secs(seconds.unsigned_abs())),
            _ => None,
        };
        let on = since.is_some();
        // It may have started well before this moment was observed.
        let at = since.and_then(|since| at.checked_sub(since).ok()).unwrap_or(at);
        let before = self.bursts.insert(seen.service.clone(), on).unwrap_or(on);
        let text = match seen.burst {
            Some(BurstState::On { recurring: true, .. }) if !before => "daily surge starts: three times the load",
            Some(BurstState::On { recurring: false, .. }) if !before => {
                "flash crowd starts: three times the load, never seen before"
            }
            _ if before && !on => "surge over",
            _ => return,
        };
        self.add(at, EventKind::Surge, Some(&seen.service), text.to_owned());
    }

    fn note_kill(&mut self, at: Timestamp, kill: &KillState) {
        // A file that was only touched is not news.
        let order = match kill {
            KillState::Readable { order, .. } => KillState::readable(order.clone()),
            other => other.clone(),
        };
        if self.kill.as_ref() == Some(&order) {
            return;
        }
        let first = self.kill.replace(order).is_none();
        let text = match kill {
            KillState::Missing { error } | KillState::Unreadable { error } => {
                format!("kill switch treated as engaged: {error}")
            }
            KillState::Readable { order, .. } => {
                let stopped = order.stopped();
                if first && stopped.is_none() {
                    return;
                }
                let what = stopped.map_or("released".to_owned(), |stopped| format!("engaged for {stopped}"));
                format!("kill switch {what} {}", order.given())
            }
        };
        self.add(at, EventKind::KillSwitch, None, text);
    }

    /// A full disk, a silent source: each is news once, and so is its end.
    fn note_trouble(&mut self, at: Timestamp, status: &Status) {
        if status.ready && self.lacking.is_none() {
            self.lacking = Some(Vec::new());
        }
        let Some(before) = self.lacking.take() else { return };
        let news = status.waiting_for.iter().filter(|what| !before.iter().any(|known| known.is_same(what)));
        let news: Vec<String> = news.map(|what| format!("not ready: {what}")).collect();
        for text in news {
            self.add(at, EventKind::Trouble, None, text);
        }
        if status.ready && !before.is_empty() {
            self.add(at, EventKind::Trouble, None, "ready again".to_owned());
        }
        self.lacking = Some(status.waiting_for.clone());
    }

    fn note_policy(&mut self, at: Timestamp, status: &Status) {
        if let Some(fault) = status.policy_faults.first()
            && self.faults != status.policy_faults
        {
            let more = status.policy_faults.len() - 1;
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            self.add(at, EventKind::PolicyRefused, None, format!("policy refused: {fault}{more}"));
        }
        self.faults.clone_from(&status.policy_faults);
        if let Some(revision) = &status.revision
            && self.revision.as_ref() != Some(revision)
            && let Some(before) = self.revision.replace(revision.clone())
        {
            self.add(at, EventKind::Policy, None, format!("policy {revision} active, was {before}"));
        }
    }
}

fn kind(change: &ChangeSet, outcome: &WriteOutcome) -> EventKind {
    match outcome {
        WriteOutcome::Applied | WriteOutcome::AlreadyThere if change.to > change.from => EventKind::Raised,
        WriteOutcome::Applied | WriteOutcome::AlreadyThere => EventKind::Lowered,
        WriteOutcome::Refused(refusal) if refusal.is_own() => EventKind::Held,
        _ => EventKind::Failed,
    }
}

/// Returns how long before a daily surge in this state something happened that is `since` seconds ago; `None` if it was
/// not in the hour before.
fn seconds_ahead(burst: BurstState, since: i64) -> Option<i64> {
    let until = match burst {
        BurstState::Due { seconds } => seconds,
        BurstState::On { seconds, recurring: true } => -seconds,
        BurstState::On { recurring: false, .. } => return None,
    };
    Some(until + since).filter(|ahead| (1..=HOUR).contains(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kill::KillOrder;
    use crate::model::{CycleId, Now, Refusal};
    use crate::ports::StaleWatch;

    #[test]
    fn a_turn_of_the_kill_switch_is_told_with_what_it_stops() {
        let (mut chronicle, at) = (Chronicle::default(), "2026-03-03T00:00:00Z".parse().unwrap());
        let order = |all, service: Option<&str>| KillOrder {
            all,
            services: service.into_iter().map(|id| id.parse().unwrap()).collect(),
            by: "ops".to_owned(),
            reason: "drill".to_owned(),
            ..KillOrder::default()
        };
        for (order, expected) in [
            (order(false, Some("shop/checkout")), "kill switch engaged for shop/checkout by ops: drill"),
            (order(true, Some("shop/checkout")), "kill switch engaged for everything by ops: drill"),
            (order(false, None), "kill switch released by ops: drill"),
        ] {
            chronicle.note_kill(at, &KillState::readable(order));
            assert_eq!(chronicle.events()[0].text, expected);
        }
        let touched = KillState::Readable { order: order(false, None), turned: Some(at) };
        chronicle.note_kill(at, &touched);
        assert_eq!(chronicle.events().len(), 3, "a touched file is no news");
    }

    /// Events are dated when they happened, not when they were observed.
    #[test]
    fn a_surge_stands_where_it_began() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let seen = |burst| PlantSnapshot {
            service: "shop/checkout".parse().unwrap(),
            rps: 1.0,
            pods: crate::sim::PodCounts { replicas: 2, ready: 2 },
            p99: 0.1,
            burst: Some(burst),
        };
        let mut chronicle = Chronicle::default();
        chronicle.note_burst(at(0), &seen(BurstState::Due { seconds: 20 }));
        let told = chronicle.count;
        chronicle.add(at(45), EventKind::Raised, None, "scaled 2 -> 4".to_owned());
        chronicle.note_burst(at(60), &seen(BurstState::On { seconds: 40, recurring: true }));
        chronicle.put_in_order(told);
        let events = chronicle.events().into_iter().map(|event| (event.number, event.at, event.kind));
        assert_eq!(events.collect::<Vec<_>>(), [(2, at(45), EventKind::Raised), (1, at(20), EventKind::Surge)]);
    }

    /// A spent fleet budget is the guard's answer, not a fault.
    #[test]
    fn what_the_write_gate_holds_back_is_no_failure() {
        let at: Timestamp = "2026-03-03T00:00:00Z".parse().unwrap();
        let change = |from, to| {
            let decision = DecisionId { service: "shop/checkout".parse().unwrap(), cycle: CycleId { run: 1, seq: 1 } };
            let now = Now { wall: at, mono: Duration::ZERO };
            ChangeSet::of_replicas(decision, from, to, now)
        };
        let reason = || "6 actions a minute".to_owned();
        let refused = WriteOutcome::Refused;
        for (outcome, expected) in [
            (WriteOutcome::Applied, EventKind::Raised),
            (WriteOutcome::AlreadyThere, EventKind::Raised),
            (refused(Refusal::Budget { reason: reason() }), EventKind::Held),
            (refused(Refusal::KillSwitch { reason: reason() }), EventKind::Held),
            (refused(Refusal::Leadership { reason: reason() }), EventKind::Held),
            (refused(Refusal::Busy), EventKind::Held),
            (refused(Refusal::Journal { error: reason() }), EventKind::Failed),
            (WriteOutcome::unavailable(reason()), EventKind::Failed),
            (WriteOutcome::Rejected { reason: reason(), did_nothing: true }, EventKind::Failed),
        ] {
            assert_eq!(kind(&change(4, 6), &outcome), expected, "{outcome:?}");
        }
        assert_eq!(kind(&change(6, 4), &WriteOutcome::Applied), EventKind::Lowered);
    }

    /// The plant is observed some time after a write, possibly during the surge.
    #[test]
    fn how_long_before_a_surge_a_raise_was_is_counted_from_the_raise() {
        for (burst, ahead) in [
            (BurstState::Due { seconds: 390 }, Some(400)),
            (BurstState::On { seconds: 4, recurring: true }, Some(6)),
            (BurstState::On { seconds: 40, recurring: true }, None),
            (BurstState::On { seconds: 4, recurring: false }, None),
            (BurstState::Due { seconds: 2 * HOUR }, None),
        ] {
            assert_eq!(seconds_ahead(burst, 10), ahead, "{burst:?}");
        }
    }

    #[test]
    fn what_the_loop_lacks_is_told_once_it_was_ready() {
        let (mut chronicle, at) = (Chronicle::default(), "2026-03-03T00:00:00Z".parse().unwrap());
        let mut note = |waiting_for: &[Awaited]| {
            let status = Status {
                ready: waiting_for.is_empty(),
                waiting_for: waiting_for.to_vec(),
                services_wait_for: Vec::new(),
                revision: None,
                policy_faults: Vec::new(),
                kill: KillState::released(),
                lead: crate::model::Lead::Alone,
                now: at,
                uptime: std::time::Duration::ZERO,
                version: String::new(),
                state: None,
                settings: None,
                kill_switch: None,
                sources: Vec::new(),
            };
            chronicle.note_trouble(at, &status);
            chronicle.events().first().map(|event| event.text.clone())
        };
        assert_eq!(note(&[Awaited::FirstRound { services: 3 }]), None, "a start lacks much");
        assert_eq!(note(&[]), None);
        let full = [Awaited::Journal { error: "journal j.redb cannot be written: No space left".to_owned() }];
        assert_eq!(note(&full).as_deref(), Some("not ready: journal j.redb cannot be written: No space left"));
        note(&full);
        assert_eq!(note(&[]).as_deref(), Some("ready again"));
        let silent = |seconds| {
            let why = StaleWatch { silent_seconds: Some(seconds), trouble: None };
            [Awaited::Watch { of: "Deployments in shop".to_owned(), why }]
        };
        note(&silent(121));
        note(&silent(122));
        assert_eq!(chronicle.events().len(), 3, "each is told once");
    }
}
