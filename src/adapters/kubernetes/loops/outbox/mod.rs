//! What is to be written to the API server, and when: statuses on change, Events at a bounded rate. No I/O.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::{DecisionRecord, ServiceId, Timestamp};
use crate::ports::{News, PolicyFaults, Stop};

use super::event::{Draft, EventReason, Reported};
use super::judge::Judged;
use super::status::{LastStatus, LoopState, Unwritten};

/// Least time between two writes of one status.
const STATUS_PAUSE: Duration = Duration::from_secs(5);
/// Time after which changed numbers of a status are written.
const NUMBERS_PAUSE: Duration = Duration::from_mins(1);
/// The same if the reason itself changed.
const REASON_PAUSE: Duration = Duration::from_secs(10);
/// Least time between two such writes, across all loops: at most twenty a minute, however many loops there are.
const NUMBERS_PACE: Duration = Duration::from_secs(3);
/// Least time between two Events of one loop with one reason, except for planned and completed writes, which budgets bound.
const EVENT_PAUSE: Duration = Duration::from_mins(1);
/// Queued news per loop; a cycle produces one or two.
const MOST_NEWS: usize = 64;
/// Queued Events; beyond that the oldest are dropped.
const MOST_EVENTS: usize = 10_000;
/// Events written in a row while a status waits.
const IN_A_ROW: u32 = 3;

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Writing {
    /// A status.
    Status {
        /// The loop.
        id: ServiceId,
        /// The object.
        uid: String,
        /// Its current content.
        status: Value,
    },
    /// An Event.
    Event {
        /// The loop.
        id: ServiceId,
        /// The object.
        uid: String,
        /// Its content.
        draft: Draft,
        /// When it happened.
        at: Timestamp,
    },
}

/// Everything to be reported about all loops.
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    stirred: Notify,
}

#[derive(Default)]
struct Inner {
    loops: BTreeMap<ServiceId, LoopReport>,
    /// What is wrong with the newest policies; `None` before the first load.
    policies: Option<PolicyFaults>,
    /// Loops with new input.
    stirred: BTreeSet<ServiceId>,
    /// When to check a loop again without new input.
    later: BTreeSet<(Instant, ServiceId)>,
    /// Events to be written, oldest first.
    events: VecDeque<Writing>,
    /// Loops whose status is to be written, in queue order.
    statuses: VecDeque<ServiceId>,
    /// Loops whose status shows outdated numbers, and from when each may be written.
    outdated: BTreeSet<(Instant, ServiceId)>,
    /// Before this, no status is written for its numbers alone.
    numbers_due: Option<Instant>,
    /// Events written since the last status.
    in_a_row: u32,
    /// Whether this process was the reporter at the last check.
    spoke: bool,
}

/// What is to be reported about one loop.
struct LoopReport {
    judged: Judged,
    news: VecDeque<News>,
    record: Option<Arc<DecisionRecord>>,
    quarantined: Option<String>,
    stopped: Option<Stop>,
    reported: Reported,
    last_status: LastStatus,
    /// Version of the object after the last status write.
    written_at: u64,
    /// Before this, no status is written; `None` before the first.
    status_due: Option<Instant>,
    /// Before this, it is not written for its numbers alone; `None` until they change.
    numbers_due: Option<Instant>,
    /// Whether its status is queued.
    is_queued: bool,
    events: BTreeMap<EventReason, Instant>,
    /// When an Event that came too soon may be reported, if its state still holds.
    event_due: Option<Instant>,
}

impl Outbox {
    /// Returns an empty outbox.
    pub(super) fn new() -> Self {
        Self { inner: Mutex::default(), stirred: Notify::new() }
    }

    /// Applies the verdicts on the loops. Loops that are not among them are forgotten.
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

    /// Adds news; news of an unknown loop is dropped.
    pub(super) fn told(&self, service: &ServiceId, news: News) {
        let Inner { loops, stirred, .. } = &mut *self.inner.lock();
        if let Some(report) = loops.get_mut(service) {
            report.put(news);
            stirred.insert(service.clone());
            self.stirred.notify_one();
        }
    }

    /// Notes whether the newest policies are active.
    pub(super) fn policies(&self, faults: &PolicyFaults) {
        let Inner { loops, policies, stirred, .. } = &mut *self.inner.lock();
        *policies = Some(faults.clone());
        stirred.extend(loops.keys().cloned());
        self.stirred.notify_one();
    }

    /// Completes when there is new input since the last call.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Returns the next write. Events come first: they report a moment, and a thousand statuses take minutes; but after
    /// every few Events a status gets its turn. A process that does not report (a follower) writes nothing, keeps no
    /// Event for later, and takes the existing status as the last one reported.
    ///
    /// # Errors
    /// Nothing is due: when to check again for deferred writes.
    pub(super) fn next(&self, speaks: bool, now: Instant, wall: Timestamp) -> Result<Writing, Option<Instant>> {
        for id in self.ripe(speaks, now) {
            // Locked per loop: deciders that deliver news wait for one loop at most.
            self.inner.lock().look(id, (speaks, now, wall));
        }
        let mut inner = self.inner.lock();
        if !speaks {
            inner.events.clear();
            inner.statuses.clear();
            inner.outdated.clear();
        }
        let overdue = if inner.in_a_row >= IN_A_ROW { inner.next_status(now, wall) } else { None };
        let writing = overdue.or_else(|| inner.events.pop_front()).or_else(|| inner.next_status(now, wall));
        inner.in_a_row = match &writing {
            Some(Writing::Event { .. }) => inner.in_a_row.saturating_add(1),
            Some(Writing::Status { .. }) | None => 0,
        };
        writing.ok_or_else(|| {
            let numbers = inner.outdated.first().map(|(due, _)| inner.numbers_due.map_or(*due, |pace| pace.max(*due)));
            inner.later.first().map(|(due, _)| *due).into_iter().chain(numbers).min()
        })
    }

    /// Returns the loops to check: all of them when this process starts or stops reporting.
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

    /// Notes that a status was written, which produced this version of the object.
    pub(super) fn wrote(&self, id: &ServiceId, uid: &str, status: Value, version: u64) {
        let loops = &mut self.inner.lock().loops;
        if let Some(report) = loops.get_mut(id).filter(|report| report.judged.uid == uid) {
            report.last_status.wrote(status);
            report.written_at = version;
            report.heed_the_shown();
        }
    }

    /// Notes that a status was not written: it is due again at `due`, even without news.
    pub(super) fn not_written(&self, id: &ServiceId, due: Instant) {
        let Inner { loops, stirred, .. } = &mut *self.inner.lock();
        if let Some(report) = loops.get_mut(id) {
            report.status_due = Some(due);
            stirred.insert(id.clone());
        }
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
        let events =
            drafts.into_iter().map(|draft| Writing::Event { id: id.clone(), uid: uid.clone(), draft, at: wall });
        self.events.extend(events);
        let excess = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..excess);
        let (_, unwritten) = report.status(policies.as_deref(), wall);
        let is_new = unwritten == Unwritten::News;
        let pause = match unwritten {
            Unwritten::Reason => Some(REASON_PAUSE),
            Unwritten::Numbers => Some(NUMBERS_PAUSE),
            Unwritten::News | Unwritten::Nothing => None,
        };
        if let Some(due) = pause.map(|pause| now + pause) {
            let due = report.numbers_due.map_or(due, |before| before.min(due));
            report.numbers_due = Some(due);
            self.outdated.insert((due, id.clone()));
        }
        let waits = report.status_due.filter(|due| is_new && *due > now);
        self.later.extend(report.event_due.into_iter().chain(waits).map(|due| (due, id.clone())));
        if is_new && waits.is_none() && !report.is_queued {
            report.is_queued = true;
            self.statuses.push_back(id);
        }
    }

    /// Returns the first queued status that still says something new, or the one with the oldest numbers.
    fn next_status(&mut self, now: Instant, wall: Timestamp) -> Option<Writing> {
        while let Some(id) = self.statuses.pop_front() {
            let Some(report) = self.loops.get_mut(&id).filter(|report| report.is_queued) else { continue };
            report.is_queued = false;
            let (status, unwritten) = report.status(faults(self.policies.as_ref(), &id).as_deref(), wall);
            if unwritten == Unwritten::News {
                return Some(report.writing(id, status, now));
            }
        }
        if self.numbers_due.is_some_and(|due| due > now) {
            return None;
        }
        while let Some((due, id)) = self.outdated.pop_first() {
            if due > now {
                self.outdated.insert((due, id));
                return None;
            }
            // It was written meanwhile and is due later.
            let Some(report) = self.loops.get_mut(&id).filter(|report| report.numbers_due == Some(due)) else {
                continue;
            };
            let (status, unwritten) = report.status(faults(self.policies.as_ref(), &id).as_deref(), wall);
            report.numbers_due = None;
            if matches!(unwritten, Unwritten::Reason | Unwritten::Numbers) {
                self.numbers_due = Some(now + NUMBERS_PACE);
                return Some(report.writing(id, status, now));
            }
        }
        None
    }
}

/// Returns the faults of the newest policies that concern a loop.
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
            stopped: None,
            reported: Reported::default(),
            written_at: 0,
            status_due: None,
            numbers_due: None,
            is_queued: false,
            events: BTreeMap::new(),
            event_due: None,
        }
    }

    fn take(&mut self, judged: Judged) {
        self.judged = judged;
        self.heed_the_shown();
    }

    /// A status that changed since this process's last write comes from another process: a former leader not yet aware
    /// that it lost the lease. It counts as the last one reported.
    fn heed_the_shown(&mut self) {
        let shown = &self.judged.status;
        if self.judged.version > self.written_at && !self.last_status.says(shown) {
            self.last_status = LastStatus::shown(shown);
        }
    }

    /// Adds news to be reported. A decision that plans nothing replaces a waiting one that also plans nothing.
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
            News::Stopped(stop) => self.stopped.clone_from(stop),
            News::Measured { .. } | News::Edited(_) => {}
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

    /// Processes waiting news and returns the resulting Events. `policies` are the faults of the newest policies that
    /// concern the loop; `None` before the first load.
    fn digest(&mut self, policies: Option<&[String]>, now: Instant) -> Vec<Draft> {
        let former = self.reported.clone();
        let mut drafts: Vec<Draft> = self.reported.accepted(&self.judged.accepted).into_iter().collect();
        drafts.extend(policies.and_then(|faults| self.reported.policies(faults)));
        drafts.extend(self.record.as_ref().and_then(|record| self.reported.frozen(record)));
        drafts.extend(self.record.as_ref().and_then(|record| self.reported.rules(record)));
        drafts.extend(self.reported.stopped(self.stopped.as_ref()));
        drafts.extend(std::mem::take(&mut self.news).iter().filter_map(|news| self.reported.event(news)));
        self.event_due = None;
        drafts.retain(|draft| {
            let Some(due) = self.is_due_later(draft, now) else { return true };
            // A state that changes this soon after its report is reported later, if it still holds.
            self.reported.retract(draft.subject, &former);
            self.event_due = self.event_due.into_iter().chain([due]).min();
            false
        });
        drafts
    }

    /// Returns when an Event may be reported, if not now; otherwise notes the report.
    fn is_due_later(&mut self, draft: &Draft, now: Instant) -> Option<Instant> {
        let due = self.events.get(&draft.reason).map(|last| *last + EVENT_PAUSE);
        let later = due.filter(|due| *due > now && !draft.reason.is_bounded_by_budgets());
        if later.is_none() {
            self.events.insert(draft.reason, now);
        }
        later
    }

    fn writing(&mut self, id: ServiceId, status: Value, now: Instant) -> Writing {
        (self.status_due, self.numbers_due) = (Some(now + STATUS_PAUSE), Some(now + NUMBERS_PAUSE));
        Writing::Status { uid: self.judged.uid.clone(), id, status }
    }

    fn status(&self, policies: Option<&[String]>, wall: Timestamp) -> (Value, Unwritten) {
        let seen = LoopState {
            judged: &self.judged,
            record: self.record.as_deref(),
            quarantined: self.quarantined.as_deref(),
            stopped: self.stopped.as_ref(),
            policies,
        };
        self.last_status.next(&seen, wall)
    }
}

#[cfg(test)]
mod tests;
