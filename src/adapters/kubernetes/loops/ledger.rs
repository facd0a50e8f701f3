//! What is to be written to the API server, and when: statuses on change, Events at a bounded pace. No I/O.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::{DecisionRecord, ServiceId, Timestamp};
use crate::ports::services::{News, PolicyFaults};

use super::event::{Draft, Told};
use super::judge::Judged;
use super::standing::{Seen, Standing};

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
        /// The whole status.
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
pub(super) struct Ledger {
    loops: Mutex<BTreeMap<ServiceId, Account>>,
    /// What is wrong with the newest policies; `None` before the first load.
    policies: Mutex<Option<PolicyFaults>>,
    stirred: Notify,
}

/// What is to be told of one loop.
struct Account {
    judged: Judged,
    news: VecDeque<News>,
    record: Option<Arc<DecisionRecord>>,
    quarantined: Option<String>,
    told: Told,
    standing: Standing,
    /// Before which no status is written; `None` before the first.
    status_due: Option<Instant>,
    events: BTreeMap<&'static str, Instant>,
    /// When an Event that came too soon may be told, if what it tells still stands.
    event_due: Option<Instant>,
}

impl Ledger {
    /// Returns a ledger of nothing.
    pub(super) fn new() -> Self {
        Self { loops: Mutex::default(), policies: Mutex::default(), stirred: Notify::new() }
    }

    /// Takes in how the loops were judged. Those that are not among them are forgotten.
    pub(super) fn judged(&self, judged: BTreeMap<ServiceId, Judged>) {
        let mut loops = self.loops.lock();
        loops.retain(|id, account| judged.get(id).is_some_and(|judged| judged.uid == account.judged.uid));
        for (id, judged) in judged {
            match loops.entry(id) {
                Entry::Occupied(mut account) => account.get_mut().judged = judged,
                Entry::Vacant(free) => drop(free.insert(Account::new(judged))),
            }
        }
        self.stirred.notify_one();
    }

    /// Takes in news; of a loop that is not known they are dropped.
    pub(super) fn told(&self, service: &ServiceId, news: News) {
        if let Some(account) = self.loops.lock().get_mut(service) {
            account.put(news);
            self.stirred.notify_one();
        }
    }

    /// Takes in whether the newest policies are in force.
    pub(super) fn policies(&self, faults: &PolicyFaults) {
        *self.policies.lock() = Some(faults.clone());
        self.stirred.notify_one();
    }

    /// Completes when something came in since the last time.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Returns what is to be written now, and when to look again for what has to wait. Who does not speak (a follower)
    /// writes nothing, keeps no Event for later, and takes the status that stands there for what was said last.
    pub(super) fn due(&self, speaks: bool, now: Instant, wall: Timestamp) -> (Vec<Writing>, Option<Instant>) {
        let (mut writings, mut later) = (Vec::new(), None::<Instant>);
        let policies = self.policies.lock().clone();
        for (id, account) in self.loops.lock().iter_mut() {
            let uid = account.judged.uid.clone();
            let policies = policies.as_ref().map(|faults| faults.of(id.namespace()));
            let drafts = account.digest(policies.as_deref(), now);
            if !speaks {
                account.standing = Standing::shown(&account.judged.status);
                continue;
            }
            later = later.into_iter().chain(account.event_due).min();
            writings.extend(drafts.into_iter().map(|draft| Writing::Event { id: id.clone(), uid: uid.clone(), draft }));
            let Some(status) = account.status(policies.as_deref(), wall) else { continue };
            let waits = account.status_due.filter(|due| *due > now);
            let Some(due) = waits else {
                account.status_due = Some(now + STATUS_PAUSE);
                writings.push(Writing::Status { id: id.clone(), uid, status });
                continue;
            };
            later = later.into_iter().chain([due]).min();
        }
        (writings, later)
    }

    /// Notes that a status was written.
    pub(super) fn wrote(&self, id: &ServiceId, uid: &str, status: Value) {
        if let Some(account) = self.loops.lock().get_mut(id).filter(|account| account.judged.uid == uid) {
            account.standing.wrote(status);
        }
    }
}

impl Account {
    fn new(judged: Judged) -> Self {
        Self {
            standing: Standing::shown(&judged.status),
            judged,
            news: VecDeque::new(),
            record: None,
            quarantined: None,
            told: Told::default(),
            status_due: None,
            events: BTreeMap::new(),
            event_due: None,
        }
    }

    /// A decision that plans nothing takes the place of one before it that waits.
    fn put(&mut self, news: News) {
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
        let former = self.told.clone();
        let mut drafts: Vec<Draft> = self.told.accepted(&self.judged.accepted).into_iter().collect();
        drafts.extend(policies.and_then(|faults| self.told.policies(faults)));
        for news in std::mem::take(&mut self.news) {
            drafts.extend(self.told.event(&news));
            match news {
                News::Decided(record) => self.record = Some(record),
                News::Quarantined(reason) => self.quarantined = reason,
                News::WriteEnded { change, outcome } => {
                    let ours = self.record.as_mut().filter(|record| record.id == change.decision);
                    if let Some(record) = ours {
                        Arc::make_mut(record).outcome = Some(outcome);
                    }
                }
                News::Measured { .. } => {}
            }
        }
        self.event_due = None;
        drafts.retain(|draft| {
            let Some(due) = self.is_due_later(draft, now) else { return true };
            // A state that changes so soon after it was told is told later, if it still stands.
            self.told.untold(draft.matter, &former);
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
        self.standing.next(&seen, wall)
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

    fn account() -> Account {
        Account::new(Judged {
            uid: "uid".to_owned(),
            generation: 1,
            spec: None,
            accepted: Acceptance::Valid,
            cut: None,
            status: Value::Null,
        })
    }

    #[test]
    fn x5_a_hold_soon_after_another_is_told_later_if_it_still_stands() {
        let (mut account, begin) = (account(), Instant::now());
        let mut events = |guard, second: u64| {
            account.put(held_by(guard, u32::try_from(second).unwrap()));
            account.digest(None, begin + Duration::from_secs(second)).len()
        };
        assert_eq!(events(GuardName::Cooldown, 1), 1);
        assert_eq!((5..61).map(|second| events(GuardName::Convergence, second)).sum::<usize>(), 0);
        assert_eq!((61..200).map(|second| events(GuardName::Convergence, second)).sum::<usize>(), 1);
    }

    #[test]
    fn a_state_that_changes_too_soon_is_told_later_and_no_other_is_told_again() {
        let (mut account, begin) = (account(), Instant::now());
        let invalid = |fault: &str| Acceptance::Invalid(vec![fault.to_owned()]);
        let mut events = |accepted, policies: &[&str], second: u64| {
            account.put(held_by(GuardName::Cooldown, u32::try_from(second).unwrap()));
            account.judged.accepted = accepted;
            let policies: Vec<_> = policies.iter().map(|fault| (*fault).to_owned()).collect();
            let drafts = account.digest(Some(&policies), begin + Duration::from_secs(second));
            let notes = drafts.into_iter().map(|draft| draft.reason);
            (notes.collect::<Vec<_>>(), account.event_due.map(|due| due.saturating_duration_since(begin).as_secs()))
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
