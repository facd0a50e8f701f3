//! Step limit: how far one write may move the count (INV-06).

use super::case::{Answer, Case, Motion};
use crate::model::action::saturating_replicas;

/// Permits one step up or down from the running count.
pub fn guard(case: &Case<'_>) -> Answer {
    match case.motion {
        Motion::Raise { from } => up(case, from),
        Motion::Lower { from } => down(case, from),
        Motion::Other => Answer::not_replicas(),
        Motion::Still => Answer::still(),
        Motion::Unknown => Answer::unknown(),
    }
}

/// A raise that the confirmed arrival rate needs goes straight there, within a wider limit. Anything wanted beyond that
/// is an ordinary raise. After a tenfold jump of the reading only the multiple applies.
fn up(case: &Case<'_>, from: u32) -> Answer {
    let times = |factor: f64| saturating_replicas(f64::from(from) * factor).max(from.saturating_add(1));
    let params = case.params;
    let doubled = times(params.raise_factor);
    if case.ctx.features.signals.iter().any(|signal| signal.suspect) {
        let why = format!("a reading jumped tenfold: at most {doubled}, {} times {from}", params.raise_factor);
        return Answer::Within { low: 0, high: doubled, why };
    }
    let plain = doubled.max(from.saturating_add(params.raise_at_least));
    let backed = case.needed_now.map(|needed| (needed, needed.min(times(params.backed_raise_factor))));
    let (high, why) = match backed {
        Some((needed, backed)) if backed > plain => (
            backed,
            format!("at most {backed}: arrivals need {needed}, a step {} times {from}", params.backed_raise_factor),
        ),
        _ => {
            (plain, format!("at most {plain}: {} times {from}, or {} more", params.raise_factor, params.raise_at_least))
        }
    };
    Answer::Within { low: 0, high, why }
}

fn down(case: &Case<'_>, from: u32) -> Answer {
    let share = case.params.lower_share;
    let step = saturating_replicas(f64::from(from) * share).max(1);
    let low = from.saturating_sub(step);
    let why = format!("at least {low}: at most {:.0} % of {from}, but at least one, may be removed", share * 100.0);
    Answer::Within { low, high: u32::MAX, why }
}
