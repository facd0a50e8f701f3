//! The only place that writes to targets.
//!
//! A write is a journaled, conditional, expiring intent. Its steps, each a place where the process may die:
//!
//! | step | what | if the process dies right after |
//! |---|---|---|
//! | `admitted` | target free, kill switch, deadline, lease, budgets as last seen | nothing happened |
//! | `prepared` | intent durable; the live read runs meanwhile | settled by reading: abandoned |
//! | `checked` | kill switch (read again); still unchanged, in time and on fresh data; lease; budgets | the same |
//! | `sent` | one PATCH with the resourceVersion of that read | settled by reading: applied or abandoned |
//! | `ended` | outcome durable | nothing is open |
//!
//! Writes run as tracked tasks, at most [`AT_ONCE`] of them and one for each target. No actor's death cancels one.
//! Nothing is ever sent twice: the outcome of an open intent is determined by reading. A read that shows the old value
//! proves nothing while the write may still land ([`LANDS_WITHIN`]): it is repeated after that.

mod answers;
mod state;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::act::{recheck, settle};
use crate::guard::FleetBudget;
use crate::instrument::ProcessMetrics;
use crate::model::{
    ChangeSet, Epoch, Foreseen, Intent, KILL_READ_HOLDS, KillState, LANDS_WITHIN, Lead, Now, Refusal, ServiceId,
    TargetRef, WriteEnd, WriteOutcome, WriteTrace,
};
use crate::ports::journal::Entry;
use crate::ports::{ClusterError, JournalError, Live};

use super::world::Ports;
use answers::{answered, declined, unsent};
use state::State;

/// Writes in flight at once (a small share of what an API server serves).
pub const AT_ONCE: usize = 8;
/// Pause between two attempts to read the outcome of a write.
const SETTLE_PAUSE: Duration = Duration::from_secs(5);
/// How long a shutdown waits for writes in flight: until one whose answer was lost can be settled.
const LONGEST_CLOSE: Duration = LANDS_WITHIN.saturating_add(Duration::from_secs(2));
/// How far back the journal is queried for spent budgets.
const BUDGET_MEMORY: Duration = Duration::from_mins(10);

/// The write gate.
pub struct WriteGate {
    ports: Arc<Ports>,
    metrics: ProcessMetrics,
    state: Mutex<State>,
    permits: Semaphore,
    tasks: TaskTracker,
}

/// How a write ended, and the version of its object then, if it was seen.
struct Ended {
    outcome: WriteOutcome,
    version: Option<u64>,
}

impl Ended {
    fn seen(outcome: WriteOutcome, live: &Live) -> Self {
        Self { outcome, version: live.resource_version.parse().ok() }
    }

    /// Adds to the result why a read was necessary.
    fn after(mut self, doubt: &str) -> Self {
        if let WriteOutcome::Abandoned { reason, .. } = &mut self.outcome {
            *reason = format!("{reason} ({doubt})");
        }
        self
    }
}

/// A write of unknown outcome.
struct Doubt {
    /// By when it has landed, or never will (monotonic).
    landed: Duration,
    /// Why the outcome is unknown.
    reason: String,
}

impl From<WriteOutcome> for Ended {
    fn from(outcome: WriteOutcome) -> Self {
        Self { outcome, version: None }
    }
}

impl WriteGate {
    /// Returns a gate. It refuses writes to targets of open intents until [`WriteGate::settle_open`] has completed,
    /// and, if another process may have written since this one started, all writes until [`WriteGate::take_over`].
    ///
    /// # Errors
    /// When the open intents cannot be read from the journal.
    pub fn new(ports: Arc<Ports>, metrics: ProcessMetrics) -> Result<Self, JournalError> {
        let state = Mutex::new(State::new(ports.budgets));
        let gate = Self { ports, metrics, state, permits: Semaphore::new(AT_ONCE), tasks: TaskTracker::new() };
        if gate.ports.leadership.lead() == Lead::Alone && !gate.ports.journal.is_shared() {
            gate.take_over(Epoch::ALONE)?;
        }
        Ok(gate)
    }

    /// Reads from the journal what earlier processes left: open intents and spent budgets. From here on writes of the
    /// term `epoch` are accepted, except to the targets of these intents.
    ///
    /// # Errors
    /// When the journal cannot be read; nothing is written then.
    pub fn take_over(&self, epoch: Epoch) -> Result<(), JournalError> {
        let (now, journal) = (self.ports.clock.now(), &self.ports.journal);
        // Read before the journal: there, an end is recorded before its target is free.
        let own = self.state.lock().busy();
        let open = journal.open_intents()?;
        let spent: Vec<Intent> =
            journal.remembered_since(now.wall, BUDGET_MEMORY)?.into_iter().chain(open.iter().cloned()).collect();
        let budget = FleetBudget::restore(self.ports.budgets, &spent, now);
        self.state.lock().take_over(epoch, budget, open, &own, now);
        Ok(())
    }

    /// Returns whether it is known what was left before the term `epoch`.
    pub fn has_taken_over(&self, epoch: Epoch) -> bool {
        self.state.lock().has_taken_over(epoch)
    }

    /// Returns the lease state, including whether the predecessor's state has been read.
    pub fn lead(&self) -> Lead {
        let lead = self.ports.leadership.lead();
        match lead.epoch() {
            Some(epoch) if !self.has_taken_over(epoch) => Lead::TakesOver { epoch },
            Some(_) | None => lead,
        }
    }

    /// Returns whether an intent of an earlier run on this target is unsettled.
    pub fn unsettled(&self, target: &TargetRef) -> bool {
        self.state.lock().is_unsettled(target)
    }

    /// Returns whether a write to this target is in flight.
    pub fn is_writing(&self, target: &TargetRef) -> bool {
        self.state.lock().is_busy(target)
    }

    /// Returns how many intents of earlier runs are unsettled.
    pub fn unsettled_intents(&self) -> usize {
        self.state.lock().unsettled.len()
    }

    /// Reports a service's replica count to the budgets, if it is still supervised at that point.
    pub fn seen_replicas(&self, service: &ServiceId, replicas: u32, is_supervised: impl FnOnce() -> bool) {
        let mut state = self.state.lock();
        if is_supervised() {
            state.saw_replicas(service, replicas);
        }
    }

    /// Removes a service that is no longer supervised from the budgets. Called after it was removed.
    pub fn forget_replicas(&self, service: &ServiceId) {
        self.state.lock().forget_replicas(service);
    }

    /// Accepts a change, and what is `foreseen` without it for its intent; `on_end` receives its outcome, exactly once
    /// unless the process ends first.
    pub fn submit(
        self: &Arc<Self>,
        change: ChangeSet,
        foreseen: Foreseen,
        on_end: impl FnOnce(WriteEnd) + Send + 'static,
    ) {
        let gate = self.clone();
        self.tasks.spawn(async move {
            let prepared = AtomicBool::new(false);
            let written = AssertUnwindSafe(gate.write(&change, foreseen, &prepared)).catch_unwind().await;
            let Ended { outcome, version } = match written {
                Ok(ended) => ended,
                Err(_) => gate.failed(&change, prepared.into_inner()).await,
            };
            tracing::info!(
                service = %change.service(), trace = %change.trace, change = %change.id,
                from = change.from, to = change.to, outcome = %outcome, "write finished"
            );
            on_end(WriteEnd { change, outcome, now: gate.ports.clock.now(), version });
        });
    }

    /// Determines the outcome of the open intents of earlier runs, by reading, each separately; `on_end` is called for
    /// each. What could not be made durable stays open, and its target stays blocked.
    pub async fn settle_open<F: Future<Output = ()>>(&self, on_end: impl Fn(WriteEnd) -> F) {
        let earlier = self.state.lock().unsettled.clone();
        let settled = earlier.iter().map(|change| self.settle_earlier(change, &on_end));
        futures::future::join_all(settled).await;
    }

    async fn settle_earlier<F: Future<Output = ()>>(&self, change: &ChangeSet, on_end: impl Fn(WriteEnd) -> F) {
        let landed = self.state.lock().landed;
        let Ended { outcome, version } = self.settle(change, landed).await;
        tracing::info!(service = %change.service(), change = %change.id, outcome = %outcome, "earlier write settled");
        let ended = self.end(change, &outcome).await;
        if self.lasts(ended).await {
            on_end(WriteEnd { change: change.clone(), outcome, now: self.ports.clock.now(), version }).await;
            self.state.lock().unsettled.retain(|open| open.id != change.id);
        }
    }

    /// Returns whether an end is durable, once that is known: a failed journal keeps ends, and recovers only after
    /// writing them.
    async fn lasts(&self, ended: Result<(), JournalError>) -> bool {
        match ended {
            Ok(()) => return true,
            Err(JournalError::Contradiction(_) | JournalError::Closed) => return false,
            Err(_) => {}
        }
        let clock = &self.ports.clock;
        while self.ports.journal.health().is_err() {
            clock.sleep_until(clock.now().plus(SETTLE_PAUSE).mono).await;
        }
        true
    }

    /// Waits until everything in flight has ended; new writes are refused. A write whose outcome cannot be read in time
    /// stays open and is settled at the next start, or by the next leader. Returns whether nothing is left.
    pub async fn close(&self) -> bool {
        self.tasks.close();
        self.permits.close();
        let all_ended = tokio::time::timeout(LONGEST_CLOSE, self.tasks.wait()).await.is_ok();
        if !all_ended {
            tracing::warn!(writes = self.tasks.len(), "service stopped while the outcome of a write is unknown");
        }
        all_ended
    }

    /// Sets `prepared` once an intent may exist.
    async fn write(&self, change: &ChangeSet, foreseen: Foreseen, prepared: &AtomicBool) -> Ended {
        if !self.state.lock().claim(change) {
            return self.without_intent(change, WriteOutcome::Refused(Refusal::Busy));
        }
        let ended = self.write_claimed(change, foreseen, prepared).await;
        self.state.lock().release(change);
        ended
    }

    async fn write_claimed(&self, change: &ChangeSet, foreseen: Foreseen, prepared: &AtomicBool) -> Ended {
        let Ports { clock, cluster, journal, .. } = &*self.ports;
        let Ok(permit) = self.permits.acquire().await else {
            return self.without_intent(change, shutting_down());
        };
        // As last seen: this only saves an intent. It is checked again right before the write.
        if let Err(outcome) = self.admit(change) {
            return self.without_intent(change, outcome);
        }
        fail::fail_point!("gate_admitted");
        let intent = Intent::open(change.clone(), clock.now().wall, foreseen);
        // The live read changes nothing and the write is conditional on it: it need not wait for the disk.
        prepared.store(true, Ordering::Relaxed);
        let (durable, live) = futures::join!(journal.append(Entry::Prepared(intent)), cluster.read(change));
        if let Err(error) = durable {
            return self.without_intent(change, WriteOutcome::Refused(Refusal::Journal { error: error.to_string() }));
        }
        fail::fail_point!("gate_prepared");
        let sent = self.send(change, live).await;
        // While its outcome is being read, a write keeps its target blocked but not the slot.
        drop(permit);
        let ended = match sent {
            Ok(ended) => ended,
            Err(Doubt { landed, reason }) => self.settle(change, landed).await.after(&reason),
        };
        fail::fail_point!("gate_sent");
        // If this fails, the journal's health stops all further writes until it has written the end.
        let _ = self.end(change, &ended.outcome).await;
        ended
    }

    fn admit(&self, change: &ChangeSet) -> Result<(), WriteOutcome> {
        let now = self.ports.clock.now();
        permitted(change, &self.ports.kill.seen(), &self.lead(), now)?;
        self.state.lock().affords(change, now).map_err(over_budget)
    }

    /// Steps `checked` and `sent`. A write of unknown outcome is an error.
    async fn send(&self, change: &ChangeSet, live: Result<Live, ClusterError>) -> Result<Ended, Doubt> {
        let live = match live {
            Ok(live) => live,
            Err(error) => return Ok(unsent(&error).into()),
        };
        if let Err(outcome) = self.check(change, &live).await {
            return Ok(outcome.into());
        }
        fail::fail_point!("gate_checked");
        let now = self.ports.clock.now();
        self.metrics.sample_to_write.observe(now.since(change.decided.mono).as_secs_f64());
        match self.ports.cluster.apply(change, &live).await {
            Ok(after) => Ok(Ended::seen(answered(change, &after), &after)),
            Err(ClusterError::Unknown { reason }) => {
                tracing::warn!(service = %change.service(), reason, "write outcome unknown, reading the object");
                Err(Doubt { landed: now.plus(LANDS_WITHIN).mono, reason })
            }
            Err(error) => Ok(declined(&error).into()),
        }
    }

    /// What needs an answer comes first, so that ages are judged right before the write (INV-02, INV-03). The budgets
    /// of namespace and fleet are charged last: an unsent change costs nothing, and one without effect is refunded when
    /// it ends.
    async fn check(&self, change: &ChangeSet, live: &Live) -> Result<(), WriteOutcome> {
        // Real time, like connection timeouts: the loop's clock may run faster.
        let asked = Instant::now();
        let kill = self.ports.kill.read().await;
        let now = self.ports.clock.now();
        permitted(change, &kill, &self.lead(), now)?;
        if let Some(found) = &live.displaced {
            return Err(WriteOutcome::Superseded { found: found.clone() });
        }
        recheck(change, &live.uid, live.value, now)?;
        if asked.elapsed() > KILL_READ_HOLDS {
            let reason = format!("read more than {} ms before the write", KILL_READ_HOLDS.as_millis());
            return Err(WriteOutcome::Refused(Refusal::KillSwitch { reason }));
        }
        self.state.lock().charge(change, now).map_err(over_budget)
    }

    /// Reads until the outcome of a change that may land until `landed` is known. The target stays blocked meanwhile.
    async fn settle(&self, change: &ChangeSet, landed: Duration) -> Ended {
        let clock = &self.ports.clock;
        loop {
            let asked = clock.now();
            let ended = match self.ports.cluster.read(change).await {
                Ok(live) => Ended::seen(settle(change, Some((&live.uid, live.value))), &live),
                Err(ClusterError::NotFound { .. }) => settle(change, None).into(),
                Err(error) => {
                    tracing::warn!(service = %change.service(), %error, "cannot read the outcome of a write");
                    clock.sleep_until(clock.now().plus(SETTLE_PAUSE).mono).await;
                    continue;
                }
            };
            if ended.outcome == WriteOutcome::Applied || asked.mono >= landed {
                return ended;
            }
            clock.sleep_until(landed).await;
        }
    }

    /// Step `ended`. A change known to have had no effect is refunded, now that it is settled.
    async fn end(&self, change: &ChangeSet, outcome: &WriteOutcome) -> Result<(), JournalError> {
        if !outcome.is_charged() {
            self.state.lock().refund(change);
        }
        let at = self.ports.clock.now().wall;
        let entry = Entry::Ended { change: change.id.clone(), at, outcome: outcome.clone() };
        let ended = self.ports.journal.append(entry).await;
        if let Err(error) = &ended {
            tracing::error!(service = %change.service(), change = %change.id, %error, "write outcome not recorded");
        }
        fail::fail_point!("gate_ended");
        ended
    }

    /// A write that panicked has an unknown outcome if an intent may exist: it is settled by reading, with its target
    /// blocked meanwhile, and permanently if that panics too.
    async fn failed(&self, change: &ChangeSet, prepared: bool) -> Ended {
        const REASON: &str = "the write gate failed";
        let landed = self.ports.clock.now().plus(LANDS_WITHIN).mono;
        let settled = async {
            let ended = self.settle(change, landed).await;
            let _ = self.end(change, &ended.outcome).await;
            ended
        };
        let ended = if prepared {
            AssertUnwindSafe(settled).catch_unwind().await.unwrap_or_else(|_| {
                self.state.lock().unsettled.push(change.clone());
                WriteOutcome::Abandoned { reason: REASON.to_owned(), trace: WriteTrace::MayHave }.into()
            })
        } else {
            WriteOutcome::unsent(REASON).into()
        };
        self.state.lock().release(change);
        ended
    }

    fn without_intent(&self, change: &ChangeSet, outcome: WriteOutcome) -> Ended {
        let entry = Entry::Outcome { decision: change.decision.clone(), outcome: outcome.clone() };
        self.ports.journal.submit(entry);
        outcome.into()
    }
}

/// The checks made at admission, and again right before the write.
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

fn over_budget(reason: String) -> WriteOutcome {
    WriteOutcome::Refused(Refusal::Budget { reason })
}

fn shutting_down() -> WriteOutcome {
    WriteOutcome::unsent("flyball is shutting down")
}
