//! The four stages: what each reads from the ports, and where its effects go.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cycle::{
    ActuatorCore, ActuatorEffect, ActuatorEvent, Decided, DeciderCore, DeciderEvent, ForecasterCore, ForecasterEffect,
    ForecasterEvent, Inputs, Observed, ObserverCore, RoundArrived,
};
use crate::instrument::{self, ActorRole};
use crate::model::record::SignalLabel;
use crate::model::{AnomalyKind, ChangeSet, Foreseen, Lead, Measured, Outlook, ServiceSpec, SignalOutlook, explain};
use crate::ports::journal::Entry;
use crate::ports::{News, Urgency};

use super::slot::{Committed, Service, Share};
use super::stage::Stage;
use super::standing::{Declared, Standing};
use crate::actors::inbox::Inbox;

pub(super) struct ObserverStage;

impl Stage for ObserverStage {
    type Item = Share;
    type Core = ObserverCore;
    type Effects = Observed;
    const ROLE: ActorRole = ActorRole::Observer;
    const TIMED: instrument::Stage = instrument::Stage::Observe;

    fn inbox(service: &Service) -> &Inbox<Share> {
        &service.rounds
    }

    fn core(service: &Service) -> &Committed<ObserverCore> {
        &service.observer
    }

    fn declared(core: &mut ObserverCore, spec: &Arc<ServiceSpec>) {
        core.declared(spec);
    }

    fn step(core: &mut ObserverCore, share: &Share, by: &Declared, service: &Service) -> Observed {
        let target = service.world.ports.cluster.observed(&by.spec.target);
        if let Some(state) = target.known() {
            service.world.gate.seen_replicas(&service.id, state.replicas, || !service.is_retired());
        }
        let observed = core.step(&RoundArrived { arrivals: share.arrivals.clone(), target, now: share.now });
        let features = service.world.mask.believed(&labels(service), &observed.features);
        Observed { features, ..observed }
    }

    fn perform(observed: Observed, service: &Arc<Service>) {
        let shown = service.world.mask.features(&labels(service), &observed.features);
        service.update_view(|view| view.features = Some(shown));
        let event = ForecasterEvent::Observed(observed);
        service.put::<ForecasterStage>(service.forecasts.put_merged(event, ForecasterEvent::followed_by));
    }
}

/// Returns the signal labels needed for masking; empty if nothing is masked.
fn labels(service: &Service) -> Vec<SignalLabel> {
    if service.world.mask.is_empty() { Vec::new() } else { SignalLabel::of(&service.spec()) }
}

pub(super) struct ForecasterStage;

impl Stage for ForecasterStage {
    type Item = ForecasterEvent;
    type Core = ForecasterCore;
    type Effects = Vec<ForecasterEffect>;
    const ROLE: ActorRole = ActorRole::Forecaster;
    const TIMED: instrument::Stage = instrument::Stage::Forecast;

    fn inbox(service: &Service) -> &Inbox<ForecasterEvent> {
        &service.forecasts
    }

    fn core(service: &Service) -> &Committed<ForecasterCore> {
        &service.forecaster
    }

    fn declared(core: &mut ForecasterCore, spec: &Arc<ServiceSpec>) {
        core.declared(spec);
    }

    fn step(
        core: &mut ForecasterCore,
        event: &ForecasterEvent,
        _: &Declared,
        service: &Service,
    ) -> Vec<ForecasterEffect> {
        let effects = core.step(event);
        if matches!(event, ForecasterEvent::Warmed { .. }) {
            service.history_settled();
        }
        effects
    }

    /// A service whose history cannot be learned starts cold.
    fn skipped(event: &ForecasterEvent, service: &Service) {
        if matches!(event, ForecasterEvent::HistoryRead(_) | ForecasterEvent::Warmed { .. }) {
            service.history_settled();
        }
    }

    fn perform(effects: Vec<ForecasterEffect>, service: &Arc<Service>) {
        for effect in effects {
            match effect {
                ForecasterEffect::Assessed(assessed) => {
                    let shown = service.world.mask.outlook(&labels(service), &assessed.outlook);
                    let mut before = None;
                    service.update_view(|view| before = view.outlook.replace(shown.clone()));
                    tell_alarms(service, before.as_deref(), &shown);
                    service.metrics.forecast(&assessed.outlook);
                    service.assessed(assessed);
                }
                ForecasterEffect::Warm(job) => {
                    in_pool(service, Urgency::Awaited, move || job.run(), Service::history_settled);
                }
                ForecasterEffect::Fit(job) => {
                    let urgency = Urgency::Fit(job.authority);
                    in_pool(service, urgency, move || ForecasterEvent::Fitted(job.run()), |_| {});
                }
                ForecasterEffect::Keep(fit) => service.world.ports.journal.submit(Entry::Fitted(fit)),
            }
        }
    }
}

/// Runs a job off the loop's threads and passes its result to the forecaster; `failed` is called for a job without one.
fn in_pool(
    service: &Arc<Service>,
    urgency: Urgency,
    job: impl FnOnce() -> ForecasterEvent + Send + 'static,
    failed: impl FnOnce(&Service) + Send + 'static,
) {
    let (owner, yielded) = (service.clone(), Arc::new(AtomicBool::new(false)));
    let told = yielded.clone();
    let ended = service.world.ports.executor.run(
        urgency,
        Box::new(move || {
            let event = job();
            told.store(true, Ordering::Release);
            owner.put::<ForecasterStage>(owner.forecasts.put_fact(event));
        }),
    );
    let owner = service.clone();
    tokio::spawn(async move {
        ended.await;
        if !yielded.load(Ordering::Acquire) {
            failed(&owner);
        }
    });
}

pub(super) struct DeciderStage;

impl Stage for DeciderStage {
    type Item = DeciderEvent;
    type Core = DeciderCore;
    type Effects = Option<Decided>;
    const ROLE: ActorRole = ActorRole::Decider;
    const TIMED: instrument::Stage = instrument::Stage::Decide;

    fn inbox(service: &Service) -> &Inbox<DeciderEvent> {
        &service.decisions
    }

    fn core(service: &Service) -> &Committed<DeciderCore> {
        &service.decider
    }

    fn declared(core: &mut DeciderCore, spec: &Arc<ServiceSpec>) {
        core.declared(spec);
    }

    fn step(core: &mut DeciderCore, event: &DeciderEvent, by: &Declared, service: &Service) -> Option<Decided> {
        let world = &service.world;
        let (sets, kill) = (world.policy.of(&service.id), world.ports.kill.seen());
        let (lead, hold, unbounded) = (lead(service), service.hold(), world.ports.services.unbounded());
        let inputs = Inputs {
            policy: sets.in_force.as_deref(),
            candidate: sets.candidate.as_deref(),
            kill: &kill,
            lead: &lead,
            mask: &world.mask,
            hold: hold.as_deref(),
            unbounded: unbounded.as_deref(),
            withdrawn: matches!(by.standing, Standing::Withdrawn { .. }),
        };
        core.step(event, inputs)
    }

    /// An end that could not be processed is remembered to the extent that the next writes depend on it.
    fn skipped(event: &DeciderEvent, service: &Service) {
        if let DeciderEvent::WriteEnded(end) = event {
            Self::core(service).step(&service.spec(), Self::declared, |core| core.let_go(end));
        }
    }

    fn perform(decided: Option<Decided>, service: &Arc<Service>) {
        let Some(decided) = decided else { return };
        match decided.record.change.clone() {
            Some(change) => handed_on(&change, service, || hand_on(decided, service)),
            None => hand_on(decided, service),
        }
    }
}

/// Reports a decision, and passes it to the actuator last.
fn hand_on(decided: Decided, service: &Arc<Service>) {
    service.world.process.cycles.inc();
    service.metrics.decided(&decided.record.proposal, &decided.record.verdict);
    service.metrics.denied(service.denied().is_some());
    service.stood_down(decided.stood_down.clone());
    service.metrics.policy_trouble(explain::policy_trouble(&decided.record).is_some());
    let needed = decided.record.outlook.capacity.as_ref().and_then(|capacity| capacity.needed_now);
    service.metrics.replicas(needed, decided.record.features.target.bounds(service.spec().bounds).max);
    if let Some(candidate) = &decided.record.candidate {
        let record = &decided.record;
        service.world.policy.compared(&record.id, &record.proposal.choice, candidate);
    }
    service.update_view(|view| view.record = Some(decided.record.clone()));
    if let Some(edit) = &decided.edited {
        service.tell(News::Edited(edit.clone()));
    }
    service.tell(News::Decided(decided.record.clone()));
    if decided.keep {
        // A decision that ended where it was planned is counted once, however long it stays the same.
        decided.record.outcome.iter().for_each(|outcome| service.metrics.wrote(outcome));
        service.world.ports.journal.submit(Entry::Decision(decided.record.clone()));
    }
    // What looks like a revert to a follower the leader has seen, and may have done itself.
    let speaks = service.world.gate.lead().speaks();
    if let Some((change, revert)) = decided.reverted.clone().filter(|_| speaks) {
        service.world.ports.journal.submit(Entry::Reverted { change, revert });
    }
    // A change must not be replaced by a later cycle, so a decision that carries one is a fact.
    let carries_change = decided.record.change.is_some();
    let event = ActuatorEvent::Decided(decided);
    let inbox = &service.actions;
    let put = if carries_change { inbox.put_fact(event) } else { inbox.put_latest(event) };
    service.put::<ActuatorStage>(put);
    if service.is_retired() {
        service.settle_unbegun();
    }
}

/// Runs the `work` that passes a change on. If it dies, the change ends unsent before the supervisor learns of it:
/// nothing else would inform the decider, which waits for that end.
fn handed_on(change: &ChangeSet, service: &Service, work: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        service.never_sent(change, "its stage failed before passing it on");
        resume_unwind(panic);
    }
}

/// Returns the lease state for a decision in progress. Read in this order: a term that has started has already informed
/// the service, and what is still queued is unknown to this decision.
fn lead(service: &Service) -> Lead {
    as_known(service.world.gate.lead(), &service.decisions)
}

fn as_known(lead: Lead, facts: &Inbox<DeciderEvent>) -> Lead {
    match lead {
        Lead::Holds { epoch, .. } if facts.has_handover() => Lead::TakesOver { epoch },
        lead => lead,
    }
}

pub(super) struct ActuatorStage;

impl Stage for ActuatorStage {
    type Item = ActuatorEvent;
    type Core = ActuatorCore;
    type Effects = Vec<ActuatorEffect>;
    const ROLE: ActorRole = ActorRole::Actuator;
    const TIMED: instrument::Stage = instrument::Stage::Act;

    fn inbox(service: &Service) -> &Inbox<ActuatorEvent> {
        &service.actions
    }

    fn core(service: &Service) -> &Committed<ActuatorCore> {
        &service.actuator
    }

    fn declared(core: &mut ActuatorCore, spec: &Arc<ServiceSpec>) {
        core.declared(spec);
    }

    fn step(core: &mut ActuatorCore, event: &ActuatorEvent, _: &Declared, _: &Service) -> Vec<ActuatorEffect> {
        core.step(event)
    }

    /// A change that never reached the gate has ended.
    fn skipped(event: &ActuatorEvent, service: &Service) {
        if let ActuatorEvent::Decided(decided) = event
            && let Some(change) = &decided.record.change
        {
            service.never_sent(change, "its actuator skipped it");
        }
    }

    fn perform(mut effects: Vec<ActuatorEffect>, service: &Arc<Service>) {
        // A failure to report a measurement must not cost a write.
        effects.sort_by_key(|effect| !matches!(effect, ActuatorEffect::Write { .. }));
        for effect in effects {
            match effect {
                ActuatorEffect::Write { change, foreseen } => {
                    handed_on(&change.clone(), service, || submit(change, foreseen, service));
                }
                ActuatorEffect::Measured { change, effect, now } => {
                    service.metrics.measured(effect.impact);
                    let effect = service.world.mask.effect(&labels(service), effect);
                    service.tell(News::Measured { decision: change.decision.clone(), effect: effect.clone() });
                    // The leader measures it too, and it is kept once.
                    if service.world.gate.lead().speaks() {
                        let measured = Measured { at: now.wall, effect: effect.clone() };
                        service.world.ports.journal.submit(Entry::Measured { change: change.id.clone(), measured });
                    }
                    let event = DeciderEvent::Measured { change, effect, now };
                    service.put::<DeciderStage>(service.decisions.put_fact(event));
                }
            }
        }
    }
}

/// Submits a change to the write gate, which informs the service how it ends.
fn submit(change: ChangeSet, foreseen: Foreseen, service: &Arc<Service>) {
    if service.is_retired() {
        return service.retired_before(&change);
    }
    let owner = service.clone();
    let foreseen = service.world.mask.foreseen(&labels(service), foreseen);
    service.world.gate.submit(change, foreseen, move |end| owner.write_ended(end));
}

/// Reports signals that raise an alarm which they did not raise in the cycle before.
fn tell_alarms(service: &Service, before: Option<&Outlook>, now: &Outlook) {
    let alarm = |outlook: &Option<SignalOutlook>| outlook.as_ref().is_some_and(|signal| signal.alarm);
    for (position, outlook) in now.signals.iter().enumerate().filter(|(_, outlook)| alarm(outlook)) {
        let told = before.and_then(|before| before.signals.get(position)).is_some_and(alarm);
        let (spec, Some(outlook)) = (service.spec(), outlook) else { continue };
        let Some(signal) = spec.signals.get(position).filter(|_| !told) else { continue };
        let (name, kind) = (&signal.name, outlook.anomaly_kind.map_or("unknown", AnomalyKind::as_str));
        tracing::info!(service = %service.id, signal = %name, kind, score = outlook.anomaly, "anomaly detected");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{CycleId, DecisionId, Epoch, Now, Timestamp, WriteEnd, WriteOutcome};

    fn change(now: Now) -> ChangeSet {
        let decision = DecisionId { service: "shop/checkout".parse().unwrap(), cycle: CycleId { run: 1, seq: 7 } };
        ChangeSet::of_replicas(decision, 4, 6, now)
    }

    #[test]
    fn only_what_a_predecessor_left_and_is_not_heard_yet_is_a_takeover() {
        let holds = || Lead::Holds { epoch: Epoch::new(3), left: Duration::from_secs(15) };
        let now = Now { wall: Timestamp::UNIX_EPOCH, mono: Duration::ZERO };
        let inbox = Inbox::default();
        let end = WriteEnd { change: change(now), outcome: WriteOutcome::Applied, now, version: None };
        let _ = inbox.put_fact(DeciderEvent::WriteEnded(Arc::new(end)));
        assert_eq!(as_known(holds(), &inbox), holds(), "the end of a write is none");
        let _ = inbox.put_handover(DeciderEvent::TookOver { intents: Arc::default(), now });
        assert_eq!(as_known(holds(), &inbox), Lead::TakesOver { epoch: Epoch::new(3) });
        assert_eq!(as_known(Lead::Alone, &inbox), Lead::Alone);
    }
}
