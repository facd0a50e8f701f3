//! What is to be written to the API server, and when: statuses on change, Events at a bounded pace. No I/O.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::{DecisionRecord, ServiceId, Timestamp};
use crate::ports::services::{News, PolicyFaults};

use super::event::{Draft, Reported};
use super::judge::Judged;
use super::status::{LastStatus, Seen};

/// Least time between two writes of one status.
const STATUS_PAUSE: Duration = Duration::from_secs(5);
/// Least time between two Events of one loop with one reason, but for the ends of writes, which budgets bound.
const EVENT_PAUSE: Duration = Duration::from_mins(1);
/// News of one loop that wait; a cycle makes one or two.
const MOST_NEWS: usize = 64;

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Writing {
    /// A status.
    Status {
        /// Of which loop.
        id: ServiceId,
        /// Of which object.
        uid: String,
        /// What it says, as of now.
        status: Value,
    },
    /// An Event.
    Event {
        /// Of which loop.
        id: ServiceId,
        /// Of which object.
        uid: String,
        /// What it says.
        draft: Draft,
    },
}

/// Everything that is to be told of all loops.
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    stirred: Notify,
}

#[derive(Default)]
struct Inner {
    loops: BTreeMap<ServiceId, LoopReport>,
    /// What is wrong with the newest policies; `None` before the first load.
    policies: Option<PolicyFaults>,
    /// Loops of which something came in.
    stirred: BTreeSet<ServiceId>,
    /// When to look at a loop again without anything coming in.
    later: BTreeSet<(Instant, ServiceId)>,
    /// Events to be written, oldest first.
    events: VecDeque<Writing>,
    /// Loops whose status is to be written, in the order in which that became so.
    statuses: VecDeque<ServiceId>,
    /// Whether this process spoke when it looked last.
    spoke: bool,
}

/// What is to be told of one loop.
struct LoopReport {
    judged: Judged,
    news: VecDeque<News>,
    record: Option<Arc<DecisionRecord>>,
    quarantined: Option<String>,
    reported: Reported,
    last_status: LastStatus,
    /// Version of the object that the last write of the status made.
    written_at: u64,
    /// Before which no status is written; `None` before the first.
    status_due: Option<Instant>,
    /// Whether its status is among those to be written.
    is_queued: bool,
    events: BTreeMap<&'static str, Instant>,
    /// When an Event that came too soon may be told, if what it tells still stands.
    event_due: Option<Instant>,
}

impl Outbox {
    /// Returns an empty outbox.
    pub(super) fn new() -> Self {
        Self { inner: Mutex::default(), stirred: Notify::new() }
    }

    /// Takes in how the loops were judged. Those that are not among them are forgotten.
    pub(super) fn judged(&self, judged: BTreeMap<ServiceId, Judged>) {
        let Inner { loops, stirred, .. } = &mut *self.inner.lock();
        loops.retain(|id, report| judged.get(id).is_some_and(|judged| judged.uid == report.judged.uid));
        for (id, judged) in judged {
            match loops.entry(id) {
                Entry::Occupied(mut report) => {
                    if report.get().judged != judged {
                        stirred.insert(report.key().clone());
                        report.get_mut().take(judged);
                    }
                }
                Entry::Vacant(free) => {
                    stirred.insert(free.key().clone());
                    free.insert(LoopReport::new(judged));
                }
            }
        }
        self.stirred.notify_one();
    }

    /// Takes in news; of a loop that is not known they are dropped.
    pub(super) fn told(&self, service: &ServiceId, news: News) {
        let Inner { loops, stirred, .. } = &mut *self.inner.lock();
        if let Some(report) = loops.get_mut(service) {
            report.put(news);
            stirred.insert(service.clone());
            self.stirred.notify_one();
        }
    }

    /// Takes in whether the newest policies are in force.
    pub(super) fn policies(&self, faults: &PolicyFaults) {
        let Inner { loops, policies, stirred, .. } = &mut *self.inner.lock();
        *policies = Some(faults.clone());
        stirred.extend(loops.keys().cloned());
        self.stirred.notify_one();
    }

    /// Completes when something came in since the last time.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Returns the next write. Events come first: they tell of a moment, and a thousand statuses take minutes. Who does not
    /// speak (a follower) writes nothing, keeps no Event for later, and takes the status that stands there for what was
    /// said last.
    ///
    /// # Errors
    /// Nothing is to be written: when to look again for what has to wait.
    pub(super) fn next(&self, speaks: bool, now: Instant, wall: Timestamp) -> Result<Writing, Option<Instant>> {
        for id in self.ripe(speaks, now) {
            // The lock is taken for each: deciders, who bring news, wait for one loop at most.
            self.inner.lock().look(id, (speaks, now, wall));
        }
        let mut inner = self.inner.lock();
        if !speaks {
            inner.events.clear();
            inner.statuses.clear();
        }
        let event = inner.events.pop_front();
        event.or_else(|| inner.next_status(now, wall)).ok_or_else(|| inner.later.first().map(|(due, _)| *due))
    }

    /// Returns the loops that are to be looked at: all of them when this process begins or ceases to speak.
    fn ripe(&self, speaks: bool, now: Instant) -> BTreeSet<ServiceId> {
        let mut inner = self.inner.lock();
        let mut ripe = std::mem::take(&mut inner.stirred);
        while let Some((due, id)) = inner.later.pop_first() {
            if due > now {
                inner.later.insert((due, id));
                break;
            }
            ripe.insert(id);
        }
        if std::mem::replace(&mut inner.spoke, speaks) != speaks {
            ripe = inner.loops.keys().cloned().collect();
        }
        ripe
    }

    /// Notes that a status was written, which made this version of the object.
    pub(super) fn wrote(&self, id: &ServiceId, uid: &str, status: Value, version: u64) {
        let loops = &mut self.inner.lock().loops;
        if let Some(report) = loops.get_mut(id).filter(|report| report.judged.uid == uid) {
            report.last_status.wrote(status);
            report.written_at = version;
            report.heed_the_shown();
        }
    }

    /// Notes that a status was not written: it is due again, without further news.
    pub(super) fn not_written(&self, id: &ServiceId) {
        self.inner.lock().stirred.insert(id.clone());
    }
}

impl Inner {
    fn look(&mut self, id: ServiceId, (speaks, now, wall): (bool, Instant, Timestamp)) {
        let Some(report) = self.loops.get_mut(&id) else { return };
        let policies = faults(self.policies.as_ref(), &id);
        let drafts = report.digest(policies.as_deref(), now);
        if !speaks {
            report.last_status = LastStatus::shown(&report.judged.status);
            report.is_queued = false;
            return;
        }
        let uid = &report.judged.uid;
        self.events.extend(drafts.into_iter().map(|draft| Writing::Event { id: id.clone(), uid: uid.clone(), draft }));
        let is_new = report.status(policies.as_deref(), wall).is_some();
        let waits = report.status_due.filter(|due| is_new && *due > now);
        self.later.extend(report.event_due.into_iter().chain(waits).map(|due| (due, id.clone())));
        if is_new && waits.is_none() && !report.is_queued {
            report.is_queued = true;
            self.statuses.push_back(id);
        }
    }

    /// Returns the first status to be written that still says something new.
    fn next_status(&mut self, now: Instant, wall: Timestamp) -> Option<Writing> {
        while let Some(id) = self.statuses.pop_front() {
            let Some(report) = self.loops.get_mut(&id).filter(|report| report.is_queued) else { continue };
            report.is_queued = false;
            if let Some(status) = report.status(faults(self.policies.as_ref(), &id).as_deref(), wall) {
                report.status_due = Some(now + STATUS_PAUSE);
                return Some(Writing::Status { uid: report.judged.uid.clone(), id, status });
            }
        }
        None
    }
}

/// Returns what is wrong with the newest policies that concern a loop.
fn faults(policies: Option<&PolicyFaults>, id: &ServiceId) -> Option<Vec<String>> {
    policies.map(|faults| faults.of(id.namespace()))
}

impl LoopReport {
    fn new(judged: Judged) -> Self {
        Self {
            last_status: LastStatus::shown(&judged.status),
            judged,
            news: VecDeque::new(),
            record: None,
            quarantined: None,
            reported: Reported::default(),
            written_at: 0,
            status_due: None,
            is_queued: false,
            events: BTreeMap::new(),
            event_due: None,
        }
    }

    fn take(&mut self, judged: Judged) {
        self.judged = judged;
        self.heed_the_shown();
    }

    /// What the object shows since the last write of this process is by somebody else: a former leader that did not know
    /// yet. It is what was said last.
    fn heed_the_shown(&mut self) {
        let shown = &self.judged.status;
        if self.judged.version > self.written_at && !self.last_status.says(shown) {
            self.last_status = LastStatus::shown(shown);
        }
    }

    /// Takes in how it stands, and keeps what is to be told. A decision that plans nothing takes the place of one before
    /// it that waits.
    fn put(&mut self, news: News) {
        match &news {
            News::Decided(record) => self.record = Some(record.clone()),
            News::Quarantined(reason) => self.quarantined.clone_from(reason),
            News::WriteEnded { change, outcome } => {
                let ours = self.record.as_mut().filter(|record| record.id == change.decision);
                if let Some(record) = ours {
                    Arc::make_mut(record).outcome = Some(outcome.clone());
                }
            }
            News::Measured { .. } => {}
        }
        let quiet = |news: &News| matches!(news, News::Decided(record) if record.change.is_none());
        if quiet(&news) && self.news.back().is_some_and(quiet) {
            self.news.pop_back();
        }
        if self.news.len() >= MOST_NEWS {
            self.news.pop_front();
        }
        self.news.push_back(news);
    }

    /// Works off what waits and returns the Events that follow. `policies` is what is wrong with the newest ones that
    /// concern it; `None` before the first load.
    fn digest(&mut self, policies: Option<&[String]>, now: Instant) -> Vec<Draft> {
        let former = self.reported.clone();
        let mut drafts: Vec<Draft> = self.reported.accepted(&self.judged.accepted).into_iter().collect();
        drafts.extend(policies.and_then(|faults| self.reported.policies(faults)));
        drafts.extend(std::mem::take(&mut self.news).iter().filter_map(|news| self.reported.event(news)));
        self.event_due = None;
        drafts.retain(|draft| {
            let Some(due) = self.is_due_later(draft, now) else { return true };
            // A state that changes so soon after it was told is told later, if it still stands.
            self.reported.retract(draft.subject, &former);
            self.event_due = self.event_due.into_iter().chain([due]).min();
            false
        });
        drafts
    }

    /// Returns when an Event may be told, if that is not now; else notes that it is told.
    fn is_due_later(&mut self, draft: &Draft, now: Instant) -> Option<Instant> {
        let bounded_elsewhere = matches!(draft.reason, "ActionPlanned" | "ActionApplied" | "ActionUndone");
        let due = self.events.get(draft.reason).map(|last| *last + EVENT_PAUSE);
        let later = due.filter(|due| *due > now && !bounded_elsewhere);
        if later.is_none() {
            self.events.insert(draft.reason, now);
        }
        later
    }

    fn status(&self, policies: Option<&[String]>, wall: Timestamp) -> Option<Value> {
        let seen = Seen {
            judged: &self.judged,
            record: self.record.as_deref(),
            quarantined: self.quarantined.as_deref(),
            policies,
        };
        self.last_status.next(&seen, wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kubernetes::loops::judge::Acceptance;
    use crate::model::{
        Choice, CycleId, DecisionId, Features, GuardName, Mode, Proposal, TargetReading, TraceId, Verdict, VerdictKind,
    };

    fn held_by(guard: GuardName, seq: u32) -> News {
        let id = DecisionId { service: "shop/checkout".parse().unwrap(), cycle: CycleId { run: 1, seq } };
        let target = TargetReading::Unknown { reason: "not yet".to_owned() };
        News::Decided(Arc::new(DecisionRecord {
            trace: TraceId::derive(&id.service, id.cycle, Timestamp::UNIX_EPOCH),
            id,
            at: Timestamp::UNIX_EPOCH,
            mode: Mode::Auto,
            signals: Arc::default(),
            features: Arc::new(Features { signals: Vec::new(), target }),
            outlook: Arc::default(),
            proposal: Proposal { revision: None, rules: Vec::new(), choice: Choice::Nothing { reason: "calm".into() } },
            provenance: None,
            candidate: None,
            verdict: Verdict { kind: VerdictKind::Hold, decided_by: Some(guard), ..Verdict::idle() },
            change: None,
            outcome: None,
            effect: None,
        }))
    }

    fn report() -> LoopReport {
        LoopReport::new(judged(1))
    }

    fn judged(version: u64) -> Judged {
        Judged {
            uid: "uid".to_owned(),
            version,
            generation: 1,
            spec: None,
            accepted: Acceptance::Valid,
            cut: None,
            status: Value::Null,
        }
    }

    /// An outbox of these loops, told as far as it goes.
    fn outbox(names: [&str; 3], now: Instant) -> Outbox {
        let outbox = Outbox::new();
        let id = |name: &str| format!("shop/{name}").parse::<ServiceId>().unwrap();
        outbox.judged(names.into_iter().map(|name| (id(name), judged(1))).collect());
        for _ in names {
            let writing = outbox.next(true, now, Timestamp::UNIX_EPOCH);
            let Ok(Writing::Status { id, uid, status }) = writing else { panic!("{writing:?}") };
            outbox.wrote(&id, &uid, status, 1);
        }
        assert_eq!(outbox.next(true, now, Timestamp::UNIX_EPOCH), Err(None));
        outbox
    }

    #[test]
    fn only_loops_of_which_something_came_in_or_is_due_are_looked_at() {
        let begin = Instant::now();
        let outbox = outbox(["checkout", "search", "cart"], begin);
        let checkout: ServiceId = "shop/checkout".parse().unwrap();
        let ripe = |second: u64| Vec::from_iter(outbox.ripe(true, begin + Duration::from_secs(second)));
        assert_eq!(ripe(0), []);
        outbox.told(&checkout, held_by(GuardName::Cooldown, 1));
        let next = || outbox.next(true, begin + Duration::from_secs(1), Timestamp::UNIX_EPOCH);
        assert!(matches!(next(), Ok(Writing::Event { .. })));
        assert_eq!(next(), Err(Some(begin + STATUS_PAUSE)), "its status was written a moment ago");
        assert_eq!(ripe(2), []);
        assert_eq!(ripe(5), [checkout]);
        assert_eq!(ripe(60), []);
        outbox.policies(&PolicyFaults::default());
        assert_eq!(ripe(61).len(), 3, "policies concern all");
        assert_eq!(outbox.ripe(false, begin).len(), 3, "so does the loss of the lease");
    }

    #[test]
    fn only_what_was_shown_after_the_last_write_is_by_somebody_else() {
        let outbox = outbox(["checkout", "search", "cart"], Instant::now());
        let checkout: ServiceId = "shop/checkout".parse().unwrap();
        let shows = |version| {
            let loops = BTreeMap::from([(checkout.clone(), judged(version))]);
            outbox.judged(loops);
            outbox.next(true, Instant::now() + STATUS_PAUSE, Timestamp::UNIX_EPOCH).is_ok()
        };
        assert!(!shows(1), "a watch that lags");
        assert!(shows(2));
    }

    #[test]
    fn an_event_does_not_wait_for_the_statuses_of_others_and_each_loop_has_its_turn() {
        let (outbox, begin) = (Outbox::new(), Instant::now());
        let id = |name: &str| format!("shop/{name}").parse::<ServiceId>().unwrap();
        outbox.judged(["cart", "checkout", "search"].into_iter().map(|name| (id(name), judged(1))).collect());
        let next = |second| {
            let now = begin + Duration::from_secs(second);
            match outbox.next(true, now, Timestamp::UNIX_EPOCH).unwrap() {
                Writing::Event { id, .. } => format!("event of {}", id.name()),
                Writing::Status { id, uid, status } => {
                    outbox.wrote(&id, &uid, status, 1);
                    format!("status of {}", id.name())
                }
            }
        };
        assert_eq!(next(0), "status of cart");
        outbox.told(&id("cart"), held_by(GuardName::Cooldown, 1));
        assert_eq!(next(10), "event of cart");
        assert_eq!(next(10), "status of checkout");
        assert_eq!(next(10), "status of search");
        assert_eq!(next(10), "status of cart");
        outbox.told(&id("search"), held_by(GuardName::Cooldown, 2));
        let as_follower = outbox.next(false, begin, Timestamp::UNIX_EPOCH);
        assert_eq!(as_follower, Err(None), "a follower writes nothing, not even what waited");
    }

    #[test]
    fn x5_a_hold_soon_after_another_is_told_later_if_it_still_stands() {
        let (mut report, begin) = (report(), Instant::now());
        let mut events = |guard, second: u64| {
            report.put(held_by(guard, u32::try_from(second).unwrap()));
            report.digest(None, begin + Duration::from_secs(second)).len()
        };
        assert_eq!(events(GuardName::Cooldown, 1), 1);
        assert_eq!((5..61).map(|second| events(GuardName::Convergence, second)).sum::<usize>(), 0);
        assert_eq!((61..200).map(|second| events(GuardName::Convergence, second)).sum::<usize>(), 1);
    }

    #[test]
    fn a_state_that_changes_too_soon_is_told_later_and_no_other_is_told_again() {
        let (mut report, begin) = (report(), Instant::now());
        let invalid = |fault: &str| Acceptance::Invalid(vec![fault.to_owned()]);
        let mut events = |accepted, policies: &[&str], second: u64| {
            report.put(held_by(GuardName::Cooldown, u32::try_from(second).unwrap()));
            report.judged.accepted = accepted;
            let policies: Vec<_> = policies.iter().map(|fault| (*fault).to_owned()).collect();
            let drafts = report.digest(Some(&policies), begin + Duration::from_secs(second));
            let notes = drafts.into_iter().map(|draft| draft.reason);
            (notes.collect::<Vec<_>>(), report.event_due.map(|due| due.saturating_duration_since(begin).as_secs()))
        };
        let (no_policies, refused, blocked) = (&[][..], "PolicyRefused", "ActionBlocked");
        assert_eq!(events(Acceptance::Valid, no_policies, 0), (vec![blocked], None));
        assert_eq!(events(invalid("a"), &["one"], 70), (vec!["SpecInvalid", refused], None));
        assert_eq!(events(invalid("b"), &["two"], 75), (vec![], Some(130)), "and no hold again");
        assert_eq!(events(invalid("b"), &["two"], 129), (vec![], Some(130)));
        assert_eq!(events(invalid("b"), &["two"], 130), (vec!["SpecInvalid", refused], None), "what stands");
        assert_eq!(events(invalid("c"), &["two"], 140), (vec![], Some(190)));
        assert_eq!(events(invalid("b"), &["two"], 190), (vec![], None), "what stands no more is not told");
    }
}
