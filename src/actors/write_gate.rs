//! The only place that writes to targets.
//!
//! A write is a journaled, conditional, expiring intent. Its steps, each a place where the process may die:
//!
//! | step | what | if the process dies right after |
//! |---|---|---|
//! | `admitted` | lever, target free, kill switch, deadline, lease | nothing happened |
//! | `prepared` | intent durable; the live read is made meanwhile | settled by reading: abandoned |
//! | `checked` | kill switch (read anew); unchanged, in time and on fresh data still; lease; budgets | the same |
//! | `sent` | one PATCH with the resourceVersion of that read | settled by reading: applied or abandoned |
//! | `ended` | outcome durable | nothing is open |
//!
//! Writes run as tracked tasks, at most [`AT_ONCE`] of them and one for each target. No actor's death cancels
//! one. Nothing is ever sent twice: what became of an open intent is found out by reading. A read that shows the
//! old value proves nothing while the write may still land ([`WRITE_MARGIN`]): it is made again after that.

use std::collections::{BTreeMap, btree_map};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::cycle::stages::{FleetBudget, FleetLimits, recheck, settle};
use crate::instrument::ProcessMetrics;
use crate::model::{
    ChangeId, ChangeSet, Epoch, Foreseen, Intent, KillState, Lead, Now, Refusal, ServiceId, TargetRef, WRITE_MARGIN,
    WriteOutcome,
};
use crate::ports::journal::Entry;
use crate::ports::{Clock, Cluster, ClusterError, Journal, JournalError, KillSwitch, Leadership, Live};

/// Writes under way at once (a small share of what an API server serves).
pub const AT_ONCE: usize = 8;
/// Pause between two attempts to read what became of a write.
const SETTLE_PAUSE: Duration = Duration::from_secs(5);
/// How long a shutdown waits for writes under way.
const LONGEST_CLOSE: Duration = Duration::from_secs(10);
/// How far back the journal is asked for what the budgets have spent.
const BUDGET_MEMORY: Duration = Duration::from_mins(10);

/// The write gate.
pub struct WriteGate {
    clock: Arc<dyn Clock>,
    cluster: Arc<dyn Cluster>,
    journal: Arc<dyn Journal>,
    kill: Arc<dyn KillSwitch>,
    leadership: Arc<dyn Leadership>,
    metrics: ProcessMetrics,
    limits: FleetLimits,
    /// The term for which it is known what the one before it left.
    taken_over: Mutex<Option<Epoch>>,
    budget: Mutex<FleetBudget>,
    replicas: Mutex<Totals>,
    /// Targets with a write under way, and which.
    busy: Mutex<BTreeMap<TargetRef, ChangeId>>,
    /// Changes of earlier runs that are not settled.
    unsettled: Mutex<Vec<ChangeSet>>,
    /// When all that earlier runs have sent has landed, or never will (monotonic).
    landed: Mutex<Duration>,
    permits: Semaphore,
    tasks: TaskTracker,
}

/// Replicas of the fleet, as last seen.
#[derive(Debug, Default)]
struct Totals {
    of: BTreeMap<ServiceId, u32>,
    sum: u32,
}

impl Totals {
    fn set(&mut self, service: &ServiceId, replicas: u32) {
        let before = match self.of.get_mut(service) {
            Some(known) => std::mem::replace(known, replicas),
            None => self.of.insert(service.clone(), replicas).unwrap_or(0),
        };
        self.sum = self.sum.saturating_sub(before).saturating_add(replicas);
    }

    fn forget(&mut self, service: &ServiceId) {
        self.sum = self.sum.saturating_sub(self.of.remove(service).unwrap_or(0));
    }
}

impl WriteGate {
    /// Returns a gate. It refuses writes to targets of open intents until [`WriteGate::settle_open`] is through, and all
    /// writes until [`WriteGate::take_over`] where another process may have written since this one started.
    ///
    /// # Errors
    /// When the journal cannot tell which intents are open.
    pub fn new(
        clock: Arc<dyn Clock>,
        cluster: Arc<dyn Cluster>,
        journal: Arc<dyn Journal>,
        kill: Arc<dyn KillSwitch>,
        leadership: Arc<dyn Leadership>,
        metrics: ProcessMetrics,
        limits: FleetLimits,
    ) -> Result<Self, JournalError> {
        let gate = Self {
            budget: Mutex::new(FleetBudget::restore(limits, &[], clock.now())),
            clock,
            cluster,
            journal,
            kill,
            leadership,
            metrics,
            limits,
            taken_over: Mutex::default(),
            replicas: Mutex::default(),
            busy: Mutex::default(),
            unsettled: Mutex::default(),
            landed: Mutex::default(),
            permits: Semaphore::new(AT_ONCE),
            tasks: TaskTracker::new(),
        };
        if gate.leadership.lead() == Lead::Alone && !gate.journal.is_shared() {
            gate.take_over(Epoch::ALONE)?;
        }
        Ok(gate)
    }

    /// Learns from the journal what earlier processes left: open intents, what the budgets have spent. From here on
    /// writes of the term `epoch` are taken, but for the targets of these intents.
    ///
    /// # Errors
    /// When the journal cannot tell; nothing is written then.
    pub fn take_over(&self, epoch: Epoch) -> Result<(), JournalError> {
        let now = self.clock.now();
        // What this process has under way it settles itself. Asked before the journal: there an end stands before its target
        // is free.
        let own = self.busy.lock().clone();
        let open = self.journal.open_intents()?;
        let spent: Vec<Intent> =
            self.journal.applied_since(now.wall, BUDGET_MEMORY)?.into_iter().chain(open.iter().cloned()).collect();
        *self.budget.lock() = FleetBudget::restore(self.limits, &spent, now);
        let open = open.into_iter().map(|intent| intent.change);
        *self.unsettled.lock() = open.filter(|change| own.get(&change.target) != Some(&change.id)).collect();
        *self.landed.lock() = now.plus(WRITE_MARGIN).mono;
        *self.taken_over.lock() = Some(epoch);
        Ok(())
    }

    /// Tells whether it is known what was left before the term `epoch`.
    pub fn has_taken_over(&self, epoch: Epoch) -> bool {
        *self.taken_over.lock() == Some(epoch)
    }

    /// Returns how this process stands to the lease, and whether it knows by now what its predecessor left.
    pub fn lead(&self) -> Lead {
        let lead = self.leadership.lead();
        match lead.epoch() {
            Some(epoch) if !self.has_taken_over(epoch) => Lead::TakesOver { epoch },
            Some(_) | None => lead,
        }
    }

    /// Tells whether an intent of an earlier run on this target is not settled.
    pub fn unsettled(&self, target: &TargetRef) -> bool {
        self.unsettled.lock().iter().any(|change| change.target == *target)
    }

    /// Tells whether a write to this target is under way.
    pub fn is_writing(&self, target: &TargetRef) -> bool {
        self.busy.lock().contains_key(target)
    }

    /// Returns how many intents of earlier runs are not settled.
    pub fn unsettled_intents(&self) -> usize {
        self.unsettled.lock().len()
    }

    /// Tells the budgets how many replicas a service has.
    pub fn seen_replicas(&self, service: &ServiceId, replicas: u32) {
        self.replicas.lock().set(service, replicas);
    }

    /// Tells the budgets that a service is supervised no more.
    pub fn forget_replicas(&self, service: &ServiceId) {
        self.replicas.lock().forget(service);
    }

    /// Takes a change, and what is `foreseen` without it for its intent; `on_end` hears its outcome, exactly once unless
    /// the process ends first.
    pub fn submit(
        self: &Arc<Self>,
        change: ChangeSet,
        foreseen: Foreseen,
        on_end: impl FnOnce(&ChangeSet, &WriteOutcome, Now) + Send + 'static,
    ) {
        let gate = self.clone();
        self.tasks.spawn(async move {
            let prepared = AtomicBool::new(false);
            let written = AssertUnwindSafe(gate.write(&change, foreseen, &prepared)).catch_unwind().await;
            let outcome = match written {
                Ok(outcome) => outcome,
                Err(_) => gate.failed(&change, prepared.into_inner()).await,
            };
            tracing::info!(
                service = %change.service(), trace = %change.trace, change = %change.id,
                from = change.from, to = change.to, outcome = %outcome, "write ended"
            );
            on_end(&change, &outcome, gate.clock.now());
        });
    }

    /// Finds out what became of the open intents of earlier runs, by reading, each by itself; `on_end` hears of
    /// each. What could not be made durable stays open, and its target stays shut.
    pub async fn settle_open(&self, on_end: impl Fn(&ChangeSet, &WriteOutcome, Now)) {
        let earlier = self.unsettled.lock().clone();
        let settled = earlier.iter().map(|change| self.settle_earlier(change, &on_end));
        futures::future::join_all(settled).await;
    }

    async fn settle_earlier(&self, change: &ChangeSet, on_end: impl Fn(&ChangeSet, &WriteOutcome, Now)) {
        let landed = *self.landed.lock();
        let outcome = self.settle(change, landed).await;
        tracing::info!(service = %change.service(), change = %change.id, outcome = %outcome, "earlier write settled");
        if self.end(change, &outcome).await.is_ok() {
            on_end(change, &outcome, self.clock.now());
            self.unsettled.lock().retain(|open| open.id != change.id);
        }
    }

    /// Waits until what is under way has ended; new writes are not taken. A write whose fate cannot be read in
    /// time stays open and is settled at the next start, or by who leads next. Tells whether nothing is left.
    pub async fn close(&self) -> bool {
        self.tasks.close();
        self.permits.close();
        let all_ended = tokio::time::timeout(LONGEST_CLOSE, self.tasks.wait()).await.is_ok();
        if !all_ended {
            tracing::warn!(writes = self.tasks.len(), "ended with writes whose fate is unknown");
        }
        all_ended
    }

    /// Notes in `prepared` that an intent may exist from here on.
    async fn write(&self, change: &ChangeSet, foreseen: Foreseen, prepared: &AtomicBool) -> WriteOutcome {
        if !self.cluster.has_lever(&change.target, change.knob) {
            return self.without_intent(change, WriteOutcome::NoLever);
        }
        if self.unsettled(&change.target) || !self.claim(change) {
            return self.without_intent(change, WriteOutcome::Refused(Refusal::Busy));
        }
        let outcome = self.write_claimed(change, foreseen, prepared).await;
        self.release(change);
        outcome
    }

    /// Takes the target for a change, unless another one has it.
    fn claim(&self, change: &ChangeSet) -> bool {
        match self.busy.lock().entry(change.target.clone()) {
            btree_map::Entry::Vacant(free) => {
                free.insert(change.id.clone());
                true
            }
            btree_map::Entry::Occupied(_) => false,
        }
    }

    /// Frees the target of a change, if that is what has it.
    fn release(&self, change: &ChangeSet) {
        let mut busy = self.busy.lock();
        if busy.get(&change.target) == Some(&change.id) {
            busy.remove(&change.target);
        }
    }

    async fn write_claimed(&self, change: &ChangeSet, foreseen: Foreseen, prepared: &AtomicBool) -> WriteOutcome {
        let Ok(permit) = self.permits.acquire().await else {
            return self.without_intent(change, shutting_down());
        };
        // As last seen: this only spares an intent. Right before the write it is read anew.
        if let Err(outcome) = permitted(change, &self.kill.seen(), &self.lead(), self.clock.now()) {
            return self.without_intent(change, outcome);
        }
        fail::fail_point!("gate_admitted");
        let intent = Intent::open(change.clone(), self.clock.now().wall, foreseen);
        // The live read changes nothing and the write is conditional on it: it need not wait for the disk.
        prepared.store(true, Ordering::Relaxed);
        let (durable, live) = futures::join!(self.journal.append(Entry::Prepared(intent)), self.cluster.read(change));
        if let Err(error) = durable {
            return self.without_intent(change, WriteOutcome::Refused(Refusal::Journal { error: error.to_string() }));
        }
        fail::fail_point!("gate_prepared");
        let sent = self.send(change, live).await;
        // Whoever has to read what became of its write keeps its target shut, and nobody else waiting.
        drop(permit);
        let outcome = match sent {
            Ok(outcome) => outcome,
            Err(landed) => self.settle(change, landed).await,
        };
        fail::fail_point!("gate_sent");
        // Where this fails the intent stays open, and the journal's health stops all further writes.
        let _ = self.end(change, &outcome).await;
        outcome
    }

    /// Charges the budgets of namespace and fleet, right before the write: what is not sent costs nothing.
    fn charge(&self, change: &ChangeSet, now: Now) -> Result<(), WriteOutcome> {
        let total = self.replicas.lock().sum;
        let charged = self.budget.lock().charge(change, total, now);
        charged.map_err(|reason| WriteOutcome::Refused(Refusal::Budget { reason }))
    }

    /// Steps `checked` and `sent`. A write of unknown fate is an error: the time by which it has landed.
    async fn send(&self, change: &ChangeSet, live: Result<Live, ClusterError>) -> Result<WriteOutcome, Duration> {
        let live = match live {
            Ok(live) => live,
            Err(error) => return Ok(unsent(&error)),
        };
        if let Err(outcome) = self.check(change, &live).await {
            return Ok(outcome);
        }
        fail::fail_point!("gate_checked");
        let now = self.clock.now();
        self.metrics.sample_to_write.observe(now.since(change.decided.mono).as_secs_f64());
        match self.cluster.apply(change, &live).await {
            Ok(after) => Ok(answered(change, &after)),
            Err(ClusterError::Unknown { reason }) => {
                tracing::warn!(service = %change.service(), reason, "outcome of a write unknown, reading");
                Err(now.plus(WRITE_MARGIN).mono)
            }
            Err(error) => Ok(unsent(&error)),
        }
    }

    /// What needs an answer comes first, so that ages are judged right before the write (INV-02, INV-03).
    async fn check(&self, change: &ChangeSet, live: &Live) -> Result<(), WriteOutcome> {
        let kill = self.kill.read().await;
        let now = self.clock.now();
        permitted(change, &kill, &self.lead(), now)?;
        if let Some(found) = &live.displaced {
            return Err(WriteOutcome::Superseded { found: found.clone() });
        }
        recheck(change, &live.uid, live.value, now)?;
        self.charge(change, now)
    }

    /// Reads until it is known what became of a change that can land until `landed`. The target stays shut
    /// meanwhile.
    async fn settle(&self, change: &ChangeSet, landed: Duration) -> WriteOutcome {
        loop {
            let asked = self.clock.now();
            let outcome = match self.cluster.read(change).await {
                Ok(live) => settle(change, Some((&live.uid, live.value))),
                Err(ClusterError::NotFound { .. }) => settle(change, None),
                Err(error) => {
                    tracing::warn!(service = %change.service(), %error, "cannot read what became of a write");
                    self.clock.sleep_until(self.clock.now().plus(SETTLE_PAUSE).mono).await;
                    continue;
                }
            };
            if outcome == WriteOutcome::Applied || asked.mono >= landed {
                return outcome;
            }
            self.clock.sleep_until(landed).await;
        }
    }

    /// Step `ended`.
    async fn end(&self, change: &ChangeSet, outcome: &WriteOutcome) -> Result<(), JournalError> {
        let at = self.clock.now().wall;
        let entry = Entry::Ended { change: change.id.clone(), at, outcome: outcome.clone() };
        let ended = self.journal.append(entry).await;
        if let Err(error) = &ended {
            tracing::error!(service = %change.service(), change = %change.id, %error, "outcome not recorded");
        }
        fail::fail_point!("gate_ended");
        ended
    }

    /// A write that panicked is one of unknown fate where an intent may exist: settled by reading, its target shut meanwhile,
    /// and for good where that panics too.
    async fn failed(&self, change: &ChangeSet, prepared: bool) -> WriteOutcome {
        let abandoned = || WriteOutcome::Abandoned { reason: "the write gate failed".to_owned() };
        let landed = self.clock.now().plus(WRITE_MARGIN).mono;
        let settled = async {
            let outcome = self.settle(change, landed).await;
            let _ = self.end(change, &outcome).await;
            outcome
        };
        let outcome = if prepared {
            AssertUnwindSafe(settled).catch_unwind().await.unwrap_or_else(|_| {
                self.unsettled.lock().push(change.clone());
                abandoned()
            })
        } else {
            abandoned()
        };
        self.release(change);
        outcome
    }

    fn without_intent(&self, change: &ChangeSet, outcome: WriteOutcome) -> WriteOutcome {
        self.journal.submit(Entry::Outcome { decision: change.decision.clone(), outcome: outcome.clone() });
        outcome
    }
}

/// The checks that are made first, and again right before the write.
///
/// **Invariants**: INV-03, INV-08, INV-09, INV-17.
fn permitted(change: &ChangeSet, kill: &KillState, lead: &Lead, now: Now) -> Result<(), WriteOutcome> {
    if change.expired(now) {
        return Err(WriteOutcome::Expired);
    }
    if let Some(reason) = kill.stops(change.service(), change.class) {
        return Err(WriteOutcome::Refused(Refusal::KillSwitch { reason }));
    }
    match lead.forbids(change.epoch) {
        Some(reason) => Err(WriteOutcome::Refused(Refusal::Leadership { reason })),
        None => Ok(()),
    }
}

/// What a failed read, or a write that the server says it did not do, means.
fn unsent(error: &ClusterError) -> WriteOutcome {
    match error {
        ClusterError::NotFound { .. } | ClusterError::Conflict { .. } => {
            WriteOutcome::Superseded { found: error.to_string() }
        }
        ClusterError::Forbidden { .. } | ClusterError::Denied { .. } => {
            WriteOutcome::Rejected { reason: error.to_string() }
        }
        ClusterError::NoLever { .. } => WriteOutcome::NoLever,
        ClusterError::Unknown { .. } | ClusterError::Unavailable { .. } => {
            WriteOutcome::Refused(Refusal::Unreachable { reason: error.to_string() })
        }
    }
}

/// What the server's answer to a write means; an admission hook may have changed our value.
fn answered(change: &ChangeSet, after: &Live) -> WriteOutcome {
    if after.value == change.to {
        WriteOutcome::Applied
    } else {
        WriteOutcome::Rejected { reason: format!("the server made {} of {}", after.value, change.to) }
    }
}

fn shutting_down() -> WriteOutcome {
    WriteOutcome::Abandoned { reason: "flyball is shutting down".to_owned() }
}
