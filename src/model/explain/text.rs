//! Everything in a record, laid out for a terminal.

use std::fmt::{self, Write};

use crate::model::condition::ConditionTrace;
use crate::model::controls::escape_controls;
use crate::model::outlook::{AnomalyKind, ForecastFlag, HorizonPoint, Parts, Transform, quantile_index};
use crate::model::proposal::Goal;
use crate::model::{
    Autoscaler, Autoscaling, Capacity, Choice, DecisionRecord, Effect, Features, Finding, Outlook, Proposal, Readiness,
    Reading, RuleTrace, SignalFeatures, SignalOutlook, TargetReading, Truth, Unit, Verdict,
};

use super::{alone, counted, sentence, span};

/// Returns the sentence, then every signal, forecast, rule, condition and guard with its numbers.
pub fn text(record: &DecisionRecord) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut out, record);
    out
}

/// Returns the choice and its rule, on one line.
pub fn choice(choice: &Choice) -> String {
    let words = match choice {
        Choice::Act { rule, action, .. } => format!("{action} (rule {rule})"),
        Choice::Undo { action, why, .. } => format!("{action}, to undo an earlier decision: {why}"),
        Choice::Nothing(why) => format!("nothing: {why}"),
    };
    escape_controls(&words).into_owned()
}

/// Returns every rule with its conditions and their numbers.
pub fn rules(proposal: &Proposal) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = proposal.rules.iter().try_for_each(|traced| rule(&mut out, traced));
    out
}

fn write(out: &mut String, record: &DecisionRecord) -> fmt::Result {
    writeln!(out, "{}\n", sentence(record))?;
    line(out, &format!("decision  {} at {}", record.id, record.at))?;
    let revision = record.proposal.revision.as_ref().map_or("none", |revision| revision.as_str());
    let from = record.provenance.as_ref().map_or_else(String::new, |from| format!(" ({from})"));
    let mode = record.mode.as_str();
    line(out, &format!("mode      {mode}; policy {revision}{from}; trace {}", record.trace))?;
    if let Some(candidate) = &record.candidate {
        line(out, &format!("candidate policy {} wanted: {}", candidate.revision, choice(&candidate.choice)))?;
    }
    line(out, &format!("target    {}", target(&record.features.target)))?;
    if let Choice::Undo { of, trace, .. } = &record.proposal.choice {
        line(out, &format!("undo of   {of}; trace {trace}"))?;
    }
    signals(out, record, &record.features)?;
    outlook(out, record, &record.outlook)?;
    record.outlook.capacity.iter().try_for_each(|needed| capacity(out, needed))?;
    record.proposal.rules.iter().try_for_each(|traced| rule(out, traced))?;
    guards(out, &record.verdict)?;
    ending(out, record)
}

/// Writes text as a single line, whatever foreign text it contains.
fn line(out: &mut String, text: &str) -> fmt::Result {
    writeln!(out, "{}", escape_controls(text))
}

fn target(reading: &TargetReading) -> String {
    let state = reading.last().map_or_else(String::new, |target| {
        let rollout = if target.rollout { ", rollout in progress" } else { "" };
        let owner = target.owner.as_ref().map_or_else(String::new, |owner| format!(", set by {owner}"));
        let stuck = target.stuck.as_ref();
        let stuck = stuck.map_or_else(String::new, |stuck| format!(", {} cannot start: {}", stuck.pods, stuck.why));
        let replicas = counted(target.replicas as usize, "replica");
        let autoscaling = autoscaling(&target.autoscaling);
        format!("{replicas}, {} ready{rollout}{owner}{stuck}{autoscaling}", target.ready)
    });
    match reading {
        TargetReading::Known { .. } => state,
        TargetReading::Outdated { silence, .. } => format!("{state}; not updated for {}", span(*silence)),
        TargetReading::Unknown { reason } => format!("unknown: {reason}"),
    }
}

fn autoscaling(autoscaling: &Autoscaling) -> String {
    match autoscaling {
        Autoscaling::Nobody => String::new(),
        Autoscaling::Closed { why } => format!("; not scalable by flyball: {why}"),
        Autoscaling::Autoscaler(one) => {
            let Autoscaler { name, floor, baseline, ceiling, current, desired, .. } = one;
            let owner = one.owner.as_ref().map_or_else(String::new, |owner| format!(", set by {owner}"));
            let trouble = one.trouble.as_ref().map_or_else(String::new, |why| format!(", not scaling: {why}"));
            format!(
                "; scaled by HPA {name}: floor {floor} (before flyball {baseline}{owner}), ceiling {ceiling}, \
                 {current} current, {desired} desired{trouble}"
            )
        }
    }
}

fn signals(out: &mut String, record: &DecisionRecord, features: &Features) -> fmt::Result {
    if !features.signals.is_empty() {
        writeln!(out, "\nsignals")?;
    }
    for (label, signal) in record.signals.iter().zip(&features.signals) {
        let (name, reading) = (escape_controls(label.name.as_str()), reading(label.unit, signal));
        writeln!(out, "  {name:<10} {}", escape_controls(&reading))?;
    }
    Ok(())
}

fn reading(unit: Unit, signal: &SignalFeatures) -> String {
    let (sample, staleness) = match &signal.reading {
        Reading::Fresh { sample, staleness } | Reading::Stale { sample, staleness } => (sample, Some(*staleness)),
        Reading::Gap { last, .. } => (last, None),
        Reading::Absent { .. } => return signal.reading.to_string(),
    };
    let value = unit.show(sample.value.get());
    let latest = match staleness {
        Some(staleness) if signal.reading.fresh().is_some() => format!("{value}, {} old", span(staleness)),
        Some(_) => format!("{value}, {}", signal.reading),
        None => format!("{}; last {value} at {}", signal.reading, sample.at),
    };
    let windows = [("1 min mean", signal.mean_1m), ("5 min p99", signal.p99_5m), ("5 min max", signal.max_5m)];
    let windows = windows.iter().filter_map(|(name, value)| Some(format!("{name} {}", unit.show((*value)?.get()))));
    let change = signal.change_5m.map(|change| format!("{:+.1} % in 5 min", change.get() * 100.0));
    let suspect = signal.suspect.then(|| "suspect: more than ten times the previous value".to_owned());
    [latest].into_iter().chain(windows).chain(change).chain(suspect).collect::<Vec<_>>().join("; ")
}

fn outlook(out: &mut String, record: &DecisionRecord, outlook: &Outlook) -> fmt::Result {
    let forecasts = record.signals.iter().zip(&outlook.signals);
    for (label, signal) in forecasts.filter_map(|(label, signal)| Some((label, signal.as_ref()?))) {
        writeln!(out, "\nforecast of {} from {}", escape_controls(label.name.as_str()), signal.origin.start())?;
        match signal.readiness {
            Readiness::NotReady { have, need } => writeln!(out, "  not ready: {have} of {need} minutes seen")?,
            Readiness::Ready => forecast(out, label.unit, signal)?,
        }
    }
    Ok(())
}

fn forecast(out: &mut String, unit: Unit, signal: &SignalOutlook) -> fmt::Result {
    let model = escape_controls(signal.model.as_deref().unwrap_or("none"));
    write!(out, "  model {model}, {}", worth(signal))?;
    signal.anomaly.iter().try_for_each(|anomaly| write!(out, ", anomaly {anomaly:.2}"))?;
    signal.anomaly_kind.iter().try_for_each(|kind| write!(out, " ({})", unusual(*kind)))?;
    write!(out, "{}", if signal.alarm { ", an alarm" } else { "" })?;
    remarks(signal).try_for_each(|remark| write!(out, ", {remark}"))?;
    let losses = signal.scores.iter().map(|score| match score.loss {
        Some(loss) => format!("{} {} ({:.0} %)", score.model, unit.show(loss), score.share * 100.0),
        None => format!("{} unscored", score.model),
    });
    let losses = losses.collect::<Vec<_>>().join(", ");
    writeln!(out, "\n  mean error (weight in the forecast): {}", escape_controls(&losses))?;
    signal.points.iter().try_for_each(|at| point(out, unit, at))?;
    for (minutes, made_of) in explained(signal) {
        let largest = made_of.named().iter().fold(0.0, |largest: f64, (_, part)| largest.max(part.abs()));
        let scale = unit.alike(&[largest]);
        writeln!(out, "  parts at {minutes:>2} min: {}", parts(&made_of, |part| scale.show(part)))?;
    }
    let forms = transforms(signal);
    if forms.is_empty() { Ok(()) } else { writeln!(out, "  transform: {forms}") }
}

/// Returns the points whose parts are known: minutes ahead, and the parts.
pub fn explained(signal: &SignalOutlook) -> impl Iterator<Item = (u16, Parts)> {
    [(1, signal.parts), (10, signal.parts_10)].into_iter().filter_map(|(minutes, parts)| Some((minutes, parts?)))
}

/// Returns the parts of a point, in the order in which they are added: `level 312.4/s, trend +9.5/s, day -20.0/s`.
pub fn parts(parts: &Parts, show: impl Fn(f64) -> String) -> String {
    parts.named().map(|(name, value)| part(name, value, &show)).join(", ")
}

/// Returns one part.
pub(super) fn part(name: &str, value: f64, show: impl Fn(f64) -> String) -> String {
    let zero = show(0.0);
    match show(value) {
        // What rounds to zero has no sign.
        text if text == zero || text == show(-0.0) => format!("{name} {zero}"),
        text if value > 0.0 && name != "level" => format!("{name} +{text}"),
        text => format!("{name} {text}"),
    }
}

/// Returns the forms of the signal that the forecast is based on, by share: `plain 75 %, ratio to the mean day 25 %`.
pub fn transforms(signal: &SignalOutlook) -> String {
    let share = |form: Transform| {
        let models = signal.scores.iter().filter(|score| score.transform == form);
        (form, models.map(|score| score.share).sum::<f64>())
    };
    let told = Transform::ALL.map(share).into_iter().filter(|(_, share)| *share >= 0.005);
    let told: Vec<String> = told.map(|(form, share)| format!("{} {:.0} %", form.as_str(), share * 100.0)).collect();
    told.join(", ")
}

/// Returns what a forecast may be used for, and why: its performance so far.
pub fn worth(signal: &SignalOutlook) -> String {
    let skill = |skill: f64, rule: &str| format!("skill {skill:+.2} against {rule}");
    let persistence = signal.skill.map(|known| skill(known.vs_persistence, "persistence"));
    let naive = signal.skill.and_then(|known| Some(skill(known.vs_seasonal_naive?, "seasonal naive")));
    let held = signal.coverage.map(|coverage| {
        format!("95 % interval covered {:.1} % of {:.0}", coverage.realised * 100.0, coverage.outcomes)
    });
    let authority = format!("authority {}", signal.authority.as_str());
    [Some(authority), persistence, naive, held].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns what a reader of a forecast should know.
pub fn remarks(signal: &SignalOutlook) -> impl Iterator<Item = &'static str> {
    signal.flags.iter().map(|flag| remark(*flag))
}

fn unusual(kind: AnomalyKind) -> &'static str {
    match kind {
        AnomalyKind::Point => "one value far from its forecast",
        AnomalyKind::LevelShift => "the level has shifted",
        AnomalyKind::Frozen => "the value is frozen",
    }
}

fn remark(flag: ForecastFlag) -> &'static str {
    match flag {
        ForecastFlag::Cold => "less than two days of history",
        ForecastFlag::Gap => "the newest minutes are missing",
        ForecastFlag::LevelShift => "level just reset after a lasting shift",
        ForecastFlag::Clipped => "newest value clipped as an outlier",
        ForecastFlag::Event => "includes a known event",
    }
}

fn point(out: &mut String, unit: Unit, at: &HorizonPoint) -> fmt::Result {
    let [low, high] = [0.025, 0.975].map(|level| at.quantiles.get(quantile_index(level)).copied().unwrap_or(f64::NAN));
    let [middle, low, high] = [at.point, low, high].map(|value| unit.show(value));
    writeln!(out, "  in {:>2} min  {middle} (95 %: {low} to {high})", at.minutes)
}

fn capacity(out: &mut String, capacity: &Capacity) -> fmt::Result {
    let show = |replicas: Option<u32>| replicas.map_or("unknown".to_owned(), |replicas| replicas.to_string());
    writeln!(out, "\ncapacity")?;
    writeln!(out, "  one pod carries {:.1}/s, a new one takes {}", capacity.per_pod, span(capacity.lead_time))?;
    writeln!(
        out,
        "  replicas needed now {}, for the next {} {}; floor {}",
        show(capacity.needed_now),
        span(capacity.lasts),
        show(capacity.needed_ahead),
        show(capacity.floor)
    )
}

fn rule(out: &mut String, rule: &RuleTrace) -> fmt::Result {
    let mut head = match &rule.limit {
        Some(limit) => {
            let stands = if rule.standing().is_some() { "stands" } else { "does not apply" };
            format!("limit {} ({}): {stands}; {limit}", rule.rule, rule.outcome.as_str())
        }
        None => asking(rule),
    };
    if let Some(message) = rule.outcome.failure() {
        write!(head, ": {message}")?;
    }
    if let Some(action) = &rule.action {
        let able = if action.has_lever(None) { "" } else { ", which no adapter supports" };
        write!(head, "; to {action}{able}")?;
    }
    writeln!(
        out,
        "\n{}{}",
        escape_controls(&head),
        if rule.backed_by_arrivals { ", sized by the arrival rate" } else { "" }
    )?;
    rule.conditions.iter().try_for_each(|traced| condition(out, traced, 2))?;
    rule.notes.iter().try_for_each(|note| line(out, &format!("  note {note}")))
}

/// Writes a condition and, indented below it, its parts.
fn condition(out: &mut String, traced: &ConditionTrace, indent: usize) -> fmt::Result {
    let mark = match traced.holds {
        Truth::True => "yes",
        Truth::False => "no",
        Truth::Unknown => "?",
    };
    writeln!(out, "{:indent$}{mark:<3}  {}", "", alone(traced))?;
    traced.parts().iter().try_for_each(|part| condition(out, part, indent.saturating_add(2)))
}

fn asking(rule: &RuleTrace) -> String {
    let goal = match rule.goal {
        Goal::Cost => "cost",
        Goal::Protect => "protect",
    };
    format!("rule {} (priority {}, {goal}): {}", rule.rule, rule.priority, rule.outcome.as_str())
}

fn guards(out: &mut String, verdict: &Verdict) -> fmt::Result {
    if verdict.findings.is_empty() {
        return Ok(());
    }
    let by = verdict.decided_by.map_or(String::new(), |guard| format!(" by {}", guard.as_str()));
    writeln!(out, "\nguards: {}{by}", verdict.kind.as_str())?;
    for found in &verdict.findings {
        let finding = match found.finding {
            Finding::Pass => "pass".to_owned(),
            Finding::Clamp { from, to } => format!("{from} -> {to}"),
            Finding::Hold => "hold".to_owned(),
            Finding::Reject => "reject".to_owned(),
        };
        writeln!(out, "  {finding:<8} {:<14} {}", found.guard.as_str(), escape_controls(&found.why))?;
    }
    Ok(())
}

fn ending(out: &mut String, record: &DecisionRecord) -> fmt::Result {
    if let Some(change) = &record.change {
        let (knob, from, to) = (change.knob.as_str(), change.from, change.to);
        let of = change.floor.as_ref().map_or_else(String::new, |floor| format!(" of HPA {}", floor.autoscaler));
        let change =
            format!("change    {} {knob}{of} {from} -> {to} (id {}, uid {})", change.target, change.id, change.uid);
        writeln!(out)?;
        line(out, &change)?;
    }
    let outcome = record.outcome.as_ref().map(|outcome| format!("outcome   {outcome}"));
    outcome.into_iter().chain(record.effect.as_ref().map(measured)).try_for_each(|text| line(out, &text))
}

fn measured(effect: &Effect) -> String {
    let show = |latency: Option<f64>| latency.map_or("unknown".to_owned(), |latency| Unit::Seconds.show(latency));
    let (expected, found) = (show(effect.expected_latency), show(effect.measured_latency));
    let impact = effect.impact.as_str();
    format!("effect    {impact}: latency {found}, {expected} expected without the change; {}", effect.why)
}
