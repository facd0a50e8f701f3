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
use crate::ports::{News, PolicyFaults, Stop};

use super::event::{Draft, Reported};
use super::judge::Judged;
use super::status::{LastStatus, Seen, Unwritten};

/// Least time between two writes of one status.
const STATUS_PAUSE: Duration = Duration::from_secs(5);
/// Time after which the numbers of a status are written anew, where they have changed.
const NUMBERS_PAUSE: Duration = Duration::from_mins(1);
/// The same where the reason has become another one.
const REASON_PAUSE: Duration = Duration::from_secs(10);
/// Least time between two such writes, of all loops: at most twenty in a minute, however many loops there are.
const NUMBERS_PACE: Duration = Duration::from_secs(3);
/// Least time between two Events of one loop with one reason, but for the ends of writes, which budgets bound.
const EVENT_PAUSE: Duration = Duration::from_mins(1);
/// News of one loop that wait; a cycle makes one or two.
const MOST_NEWS: usize = 64;
/// Events that wait; of more the oldest are left out.
const MOST_EVENTS: usize = 10_000;
/// Events written in a row while a status waits.
const IN_A_ROW: u32 = 3;

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
        /// When that was so.
        at: Timestamp,
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
    /// Loops whose status shows other numbers than those of now, and since when each may be written.
    outdated: BTreeSet<(Instant, ServiceId)>,
    /// Before which no status is written for its numbers alone.
    numbers_due: Option<Instant>,
    /// Events written since the last status.
    in_a_row: u32,
    /// Whether this process spoke when it looked last.
    spoke: bool,
}

/// What is to be told of one loop.
struct LoopReport {
    judged: Judged,
    news: VecDeque<News>,
    record: Option<Arc<DecisionRecord>>,
    quarantined: Option<String>,
    stopped: Option<Stop>,
    reported: Reported,
    last_status: LastStatus,
    /// Version of the object that the last write of the status made.
    written_at: u64,
    /// Before which no status is written; `None` before the first.
    status_due: Option<Instant>,
    /// Before which it is not written for its numbers alone; `None` before there are other ones.
    numbers_due: Option<Instant>,
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

    /// Takes in whether the newest policies are active.
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

    /// Returns the next write. Events come first: they tell of a moment, and a thousand statuses take minutes; but now
    /// and then a status has its turn. Who does not speak (a follower) writes nothing, keeps no Event for later, and
    /// takes the status that stands there for what was said last.
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

    /// Notes that a status was not written: it is due again at `due`, without further news.
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

    /// Returns the first status to be written that still says something new, or the one whose numbers are the oldest.
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
            // It was written meanwhile, and is due later.
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

    /// What the object shows since the last write of this process is by somebody else: a former leader that did not
    /// know yet. It is what was said last.
    fn heed_the_shown(&mut self) {
        let shown = &self.judged.status;
        if self.judged.version > self.written_at && !self.last_status.says(shown) {
            self.last_status = LastStatus::shown(shown);
        }
    }

    /// Takes in how it stands, and keeps what is to be told. A decision that plans nothing takes the place of one
    /// before it that waits.
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

    /// Works off what waits and returns the Events that follow. `policies` is what is wrong with the newest ones that
    /// concern it; `None` before the first load.
    fn digest(&mut self, policies: Option<&[String]>, now: Instant) -> Vec<Draft> {
        let former = self.reported.clone();
        let mut drafts: Vec<Draft> = self.reported.accepted(&self.judged.accepted).into_iter().collect();
        drafts.extend(policies.and_then(|faults| self.reported.policies(faults)));
        drafts.extend(self.record.as_ref().and_then(|record| self.reported.frozen(record)));
        drafts.extend(self.reported.stopped(self.stopped.as_ref()));
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

    fn writing(&mut self, id: ServiceId, status: Value, now: Instant) -> Writing {
        (self.status_due, self.numbers_due) = (Some(now + STATUS_PAUSE), Some(now + NUMBERS_PAUSE));
        Writing::Status { uid: self.judged.uid.clone(), id, status }
    }

    fn status(&self, policies: Option<&[String]>, wall: Timestamp) -> (Value, Unwritten) {
        let seen = Seen {
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
