//! In flight: one action at a time on a target (INV-21), and no lowering while pods are being replaced.

use super::case::{Answer, Case, Motion};

/// Holds while one of our writes is in flight, and holds a lowering during a rollout.
///
/// **Source**: kubernetes/kubernetes#72775 and others: during a rolling update the readings of starting and stopping
/// pods say little about what can be spared.
pub fn guard(case: &Case<'_>) -> Answer {
    if let Some(write) = case.memory.in_flight() {
        return Answer::Hold(format!("change {} ({} to {}) is in flight", write.id, write.knob.as_str(), write.to));
    }
    let rollout = case.ctx.features.target.last().is_some_and(|target| target.rollout);
    match case.motion {
        Motion::Lower { .. } if rollout => Answer::Hold("a rollout is in progress: nothing is lowered".to_owned()),
        _ => Answer::Pass("nothing is in flight".to_owned()),
    }
}
