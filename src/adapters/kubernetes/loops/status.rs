//! The `status` of one loop. Pure.

use serde_json::{Map, Value, json};

use crate::model::explain::headline;
use crate::model::{
    Authority, Choice, DecisionRecord, Mode, Role, ServiceId, ServiceSpec, TargetReading, TargetState, Timestamp,
};
use crate::ports::Stop;

use super::judge::{Acceptance, Judged};
use super::object::ACCEPTED;

/// Longest message, bytes: as much as a person reads. The API accepts 32768 in a condition and 1024 in the note of an
/// Event.
const MESSAGE_LIMIT: usize = 1000;

/// The condition about policies.
const POLICY: &str = "PolicyAccepted";
/// The condition about missing data.
const FROZEN: &str = "Frozen";
/// The condition about writes that are stopped until a person intervenes.
const BREAKER: &str = "BreakerOpen";
/// The status fields that follow from the last decision.
const DECIDED: [&str; 5] = ["lastDecision", "replicas", "readyReplicas", "baseline", "forecastAuthority"];

/// A condition, without the time of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// Its type.
    pub(super) kind: &'static str,
    /// Whether it holds.
    pub(super) holds: bool,
    /// Why, in one word.
    pub(super) reason: &'static str,
    /// Why, in a sentence.
    pub(super) message: String,
}

/// What is known about one loop.
pub(super) struct LoopState<'a> {
    /// The verdict on its declaration.
    pub(super) judged: &'a Judged,
    /// Its last decision.
    pub(super) record: Option<&'a DecisionRecord>,
    /// Why it is quarantined, if it is.
    pub(super) quarantined: Option<&'a str>,
    /// Why its writes are stopped until a person intervenes, if they are.
    pub(super) stopped: Option<&'a Stop>,
    /// What is wrong with the newest policies that concern it; `None` before the first load.
    pub(super) policies: Option<&'a [String]>,
}

/// Which part of a status is not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// Something that a person may be waiting for.
    News,
    /// Another reason for the same decision.
    Reason,
    /// The numbers in the reason of the last decision.
    Numbers,
    /// Nothing.
    Nothing,
}

/// The status of one loop as it was last written, or as the object carries it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LastStatus {
    written: Value,
}

impl LastStatus {
    /// Returns the status that an object shows.
    pub(super) fn shown(status: &Value) -> Self {
        Self { written: status.clone() }
    }

    /// Returns the current status, and which part of it is not written yet.
    ///
    /// The numbers of a decision change every time: what was decided is reported at once, its numbers later.
    pub(super) fn next(&self, seen: &LoopState<'_>, now: Timestamp) -> (Value, Unwritten) {
        let LoopState { judged, record, stopped, policies, .. } = *seen;
        let record = record.filter(|_| judged.spec.is_some());
        let conditions = [accepted(judged), capped(judged), ready(seen)];
        let mut status = Map::new();
        status.insert("observedGeneration".to_owned(), json!(judged.generation));
        // A null removes the mode of a spec that is no longer active.
        status.insert("mode".to_owned(), json!(judged.spec.as_ref().map(|spec| spec.mode)));
        match record {
            Some(record) => status.extend(self.decided(record)),
            // Decisions made under a spec that is no longer active are removed with it.
            None if judged.spec.is_none() => status.extend(DECIDED.map(|field| (field.to_owned(), Value::Null))),
            None => {}
        }
        let mut conditions: Vec<Value> =
            conditions.iter().map(|condition| self.dated(condition, judged.generation, now)).collect();
        match record {
            Some(record) => {
                let states = [frozen(record), breaker(stopped)];
                conditions.extend(states.iter().map(|state| self.dated(state, judged.generation, now)));
            }
            // A process without a decision yet keeps what its predecessor reported.
            None if judged.spec.is_some() => {
                conditions.extend([FROZEN, BREAKER].iter().filter_map(|kind| self.shows(kind).cloned()));
            }
            None => {}
        }
        conditions.extend(match policies {
            Some(faults) => Some(self.dated(&policy(faults), judged.generation, now)),
            // The same before the first load of policies.
            None => self.shows(POLICY).cloned(),
        });
        status.insert("conditions".to_owned(), Value::Array(conditions));
        let status = Value::Object(status);
        let (why, before) = (why(&status), why(&self.written));
        let unwritten = if !self.says(&status) {
            Unwritten::News
        } else if without_numbers(why) != without_numbers(before) {
            Unwritten::Reason
        } else if why != before {
            Unwritten::Numbers
        } else {
            Unwritten::Nothing
        };
        (status, unwritten)
    }

    /// Returns whether a status says the same.
    pub(super) fn says(&self, status: &Value) -> bool {
        said(status) == said(&self.written)
    }

    /// Notes what was written.
    pub(super) fn wrote(&mut self, status: Value) {
        self.written = status;
    }

    fn decided(&self, record: &DecisionRecord) -> Map<String, Value> {
        let headline = headline(record);
        let same = self.written.pointer("/lastDecision/action").and_then(Value::as_str) == Some(&headline.what)
            && without_numbers(why(&self.written)) == without_numbers(cut(&headline.why));
        let since = self.written.pointer("/lastDecision/since").filter(|_| same).cloned();
        let mut fields = Map::new();
        // A null removes what the previous decision had.
        let decision = json!({
            "id": record.id,
            "rule": record.proposal.choice.rule(),
            "policyRevision": record.proposal.revision,
            "action": headline.what,
            "why": cut(&headline.why),
            "since": since.unwrap_or_else(|| json!(seconds(record.at))),
        });
        fields.insert("lastDecision".to_owned(), decision);
        // What is no longer known is not shown.
        let target = record.features.target.known();
        fields.insert("replicas".to_owned(), json!(target.map(|target| target.replicas)));
        fields.insert("readyReplicas".to_owned(), json!(target.map(|target| target.ready)));
        let autoscaler = target.and_then(TargetState::autoscaler);
        fields.insert("baseline".to_owned(), json!(autoscaler.map(|autoscaler| autoscaler.baseline)));
        fields.insert("forecastAuthority".to_owned(), json!(forecast_authority(record).as_str()));
        fields
    }

    fn shows(&self, kind: &str) -> Option<&Value> {
        self.written.get("conditions")?.as_array()?.iter().find(|one| one["type"] == kind)
    }

    /// Returns a condition with the time of its last change.
    fn dated(&self, condition: &Condition, generation: i64, now: Timestamp) -> Value {
        let before = self.shows(condition.kind);
        let status = if condition.holds { "True" } else { "False" };
        let since =
            before.filter(|before| before["status"] == status).map(|before| before["lastTransitionTime"].clone());
        json!({
            "type": condition.kind,
            "status": status,
            "reason": condition.reason,
            "message": cut(&condition.message),
            "observedGeneration": generation,
            "lastTransitionTime": since.unwrap_or_else(|| json!(seconds(now))),
        })
    }
}

fn why(status: &Value) -> &str {
    status.pointer("/lastDecision/why").and_then(Value::as_str).unwrap_or_default()
}

/// Returns a reason without its numbers.
fn without_numbers(why: &str) -> String {
    why.chars().filter(|one| !one.is_ascii_digit() && !matches!(one, '.' | '+' | '-')).collect()
}

/// Returns the part of a status whose change is written at once: all but the reason and numbers, which change with
/// every cycle.
fn said(status: &Value) -> Value {
    let mut said = status.clone();
    if let Some(decision) = said.get_mut("lastDecision").and_then(Value::as_object_mut) {
        for number in ["id", "why", "since"] {
            decision.remove(number);
        }
        decision.retain(|_, value| !value.is_null());
    }
    if let Some(status) = said.as_object_mut() {
        status.retain(|_, value| !value.is_null());
    }
    said
}

fn accepted(judged: &Judged) -> Condition {
    let (holds, reason) = match &judged.accepted {
        Acceptance::Valid => (true, "Valid"),
        Acceptance::Invalid(_) => (false, "Invalid"),
        Acceptance::Collision(_) => (false, "Collision"),
    };
    let message = judged.refusal().unwrap_or_else(|| "the spec is active".to_owned());
    Condition { kind: ACCEPTED, holds, reason, message }
}

fn capped(judged: &Judged) -> Condition {
    let (holds, reason) = if judged.cut.is_some() { (true, "PlatformBound") } else { (false, "InsideBound") };
    let message = judged.cut.clone().unwrap_or_else(|| "the PlatformBound limits nothing".to_owned());
    Condition { kind: "Capped", holds, reason, message }
}

/// Returns the condition on whether the newest policies are active.
fn policy(faults: &[String]) -> Condition {
    if faults.is_empty() {
        let message = "the newest policies are active".to_owned();
        return Condition { kind: POLICY, holds: true, reason: "InForce", message };
    }
    let message = format!("{}; the last good policies remain active", faults.join("; "));
    Condition { kind: POLICY, holds: false, reason: "Refused", message }
}

/// Returns the condition on whether data needed for decisions is missing, so that the service is held.
fn frozen(record: &DecisionRecord) -> Condition {
    let (reason, message) = match freeze(record) {
        None => {
            let message = "the target is seen and every signal is fresh".to_owned();
            return Condition { kind: FROZEN, holds: false, reason: "Fresh", message };
        }
        Some(Freeze::Target) => ("TargetOutdated", "the target was last seen too long ago".to_owned()),
        Some(Freeze::Signals(silent)) => ("SignalsMissing", no_value(&silent)),
    };
    Condition { kind: FROZEN, holds: true, reason, message }
}

/// Returns the condition on whether writes are stopped until a person intervenes.
fn breaker(stopped: Option<&Stop>) -> Condition {
    let (holds, reason, message) = match stopped {
        None => (false, "Closed", "writes are not stopped"),
        Some(Stop::StoodDown(why)) => (true, "StoodDown", why.as_str()),
        Some(Stop::Refused(why)) => (true, "WritesRefused", why.as_str()),
    };
    Condition { kind: BREAKER, holds, reason, message: message.to_owned() }
}

/// Which data needed for decisions is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Freeze {
    /// The view of its target is not current.
    Target,
    /// These signals have no fresh value.
    Signals(Vec<String>),
}

/// Returns which data needed for decisions is missing, if any. No decision depends on CPU.
pub(super) fn freeze(record: &DecisionRecord) -> Option<Freeze> {
    if matches!(record.features.target, TargetReading::Outdated { .. }) {
        return Some(Freeze::Target);
    }
    let signals = record.signals.iter().zip(&record.features.signals);
    let silent = signals.filter(|(label, signal)| label.role != Some(Role::Cpu) && !signal.reading.is_known());
    let silent: Vec<String> = silent.map(|(label, _)| label.name.to_string()).collect();
    (!silent.is_empty()).then_some(Freeze::Signals(silent))
}

/// Returns the message that these signals have no fresh value.
pub(super) fn no_value(silent: &[String]) -> String {
    format!("no fresh value of {}", silent.join(", "))
}

/// Returns why the target is not known, by its name.
fn unknown(spec: &ServiceSpec, reading: &TargetReading) -> String {
    let target = spec.target.to_string();
    match reading {
        TargetReading::Unknown { reason } if reason.contains(&target) => reason.clone(),
        TargetReading::Unknown { reason } => format!("{target}: {reason}"),
        TargetReading::Known { .. } | TargetReading::Outdated { .. } => format!("{target} was last seen too long ago"),
    }
}

/// Returns the condition on whether the loop has what it needs to decide.
fn ready(seen: &LoopState<'_>) -> Condition {
    let LoopState { judged, record, quarantined, stopped, .. } = *seen;
    let condition = |holds, reason, message: String| Condition { kind: "Ready", holds, reason, message };
    let Some(spec) = &judged.spec else {
        return match &judged.accepted {
            Acceptance::Collision(faults) => condition(false, "Collision", faults.join("; ")),
            _ => condition(false, "NoSpec", "no valid spec seen since flyball started".to_owned()),
        };
    };
    if let Some(reason) = quarantined {
        return condition(false, "Quarantined", reason.to_owned());
    }
    if let Some(why) = &judged.unbounded {
        return condition(false, "Unbounded", why.clone());
    }
    let Some(record) = record else {
        return condition(false, "Starting", "no telemetry has arrived yet".to_owned());
    };
    let Some(target) = record.features.target.known() else {
        return condition(false, "TargetUnknown", unknown(spec, &record.features.target));
    };
    if let Some(why) = target.closed() {
        return condition(false, "ScaledByOthers", why.to_owned());
    }
    if let Some(Stop::StoodDown(why)) = stopped {
        return condition(false, "StoodDown", why.clone());
    }
    if let Some(Freeze::Signals(silent)) = freeze(record) {
        return condition(false, "SignalsMissing", no_value(&silent));
    }
    match &record.proposal.choice {
        _ if judged.paused => condition(true, "Paused", "paused: observed; no decisions".to_owned()),
        _ if record.mode == Mode::Observe => condition(true, "Observing", "observed; no decisions".to_owned()),
        Choice::Nothing(why) if why.conflict => condition(false, "RulesConflict", why.to_string()),
        Choice::Nothing(why) if record.proposal.rules.is_empty() => condition(false, "Waiting", why.to_string()),
        _ => condition(true, "Deciding", "deciding on fresh data".to_owned()),
    }
}

/// Returns how far the forecast of the arrival rate is trusted.
fn forecast_authority(record: &DecisionRecord) -> Authority {
    let position = record.signals.iter().position(|signal| signal.role == Some(Role::ArrivalRate));
    let signal = position.and_then(|position| record.outlook.signals.get(position)?.as_ref());
    signal.map_or(Authority::ReactiveOnly, |signal| signal.authority)
}

/// Returns the beginning of a text, up to the message limit.
pub(super) fn cut(text: &str) -> &str {
    text.split_at(text.floor_char_boundary(MESSAGE_LIMIT)).0
}

/// Returns a time as the API writes it: whole seconds.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// Returns the reference to a loop that Events carry.
pub(super) fn reference(id: &ServiceId, uid: &str) -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "ServiceLoop",
        "namespace": id.namespace(), "name": id.name(), "uid": uid,
    })
}
