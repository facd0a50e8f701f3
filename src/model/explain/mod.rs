//! A record as people read it: a sentence first, then every condition, guard and number.
//!
//! The sentence answers what an operator asks at three in the morning: what was done and why, or why nothing was done
//! and how close it was. The text answers everything else.

mod course;
mod headline;
mod sentence;
mod text;
mod whatif;

pub use headline::{Headline, headline};
pub use sentence::{policy_trouble, sentence, undecided};
pub use text::{choice, explained, parts, remarks, rules, text, transforms, worth};
pub use whatif::{Flip, flips};

use std::time::Duration;

use super::change::ChangeSet;
use super::condition::{Comparison, ConditionTrace, Truth};
use super::controls::escape_controls;
use super::mask::MASKED;
use super::signal::Scale;
use super::target::TargetState;

/// Returns a number with its noun: `1 service`, `3 services`, `2 classes`.
pub fn counted(number: usize, noun: &str) -> String {
    let ending = match number {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {noun}{ending}")
}

/// Returns a span in readable form: `12 ms`, `150 s`, from ten minutes on `12 min`, from an hour on in its two largest
/// units: `9 h 57 min`, `3 d 4 h`.
pub fn span(span: Duration) -> String {
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {part}"),
    };
    match span.as_secs() {
        0 if !span.is_zero() => format!("{} ms", span.as_millis()),
        seconds @ 0..600 => format!("{seconds} s"),
        seconds @ 600..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        seconds => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// Returns the entry of `known` that `word` most likely meant, if one is close.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    const NEAR: usize = 3;
    let distance = |candidate: &&'a str| strsim::osa_distance(word, candidate);
    known.iter().copied().min_by_key(distance).filter(|candidate| distance(candidate) <= NEAR.min(word.len()))
}

/// Returns the end of a message about an unknown word: which of `known` was likely meant, if one is close.
pub fn did_you_mean(word: &str, known: &[&str]) -> String {
    nearest(word, known).map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"))
}

/// Returns whose floor a change moves.
fn floor_of(change: &ChangeSet) -> String {
    change
        .floor
        .as_ref()
        .map_or("the autoscaler floor".to_owned(), |floor| format!("the floor of HPA {}", floor.autoscaler))
}

/// Returns the lever that scales a target, if that is not its own replicas: `the floor of HPA checkout `.
fn lever(target: &TargetState) -> String {
    target.autoscaler().map_or_else(String::new, |one| format!("the floor of HPA {} ", one.name))
}

/// Returns a clause with its numbers: `p99.predicted 186 ms > 200 ms, short by 14 ms`; for a combination, with its
/// parts.
pub fn clause(condition: &ConditionTrace) -> String {
    let parts: Vec<_> = condition.parts().iter().map(clause).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) };
    format!("{}{parts}", alone(condition))
}

/// Returns the same without the parts of a combination.
fn alone(condition: &ConditionTrace) -> String {
    let scale = scale(condition);
    let show = |value| scale.show(value);
    let unless = if condition.negated { "unless " } else { "" };
    let numbers = match (condition.value, condition.comparison, condition.bound) {
        (Some(value), Some(comparison), Some(bound)) => {
            format!(" {} {} {}{}", show(value), comparison.as_str(), show(bound), distance(condition))
        }
        (value, Some(comparison), bound) if is_masked(condition) => {
            let show = |value: Option<f64>| value.map_or_else(|| MASKED.to_owned(), show);
            format!(" {} {} {}", show(value), comparison.as_str(), show(bound))
        }
        (None, Some(comparison), Some(bound)) => format!(" {} {}: value unknown", comparison.as_str(), show(bound)),
        _ if condition.stated() == Truth::True => " (yes)".to_owned(),
        _ => String::new(),
    };
    let held = condition.held_for.map_or_else(String::new, |held| {
        format!(", held for {} of more than {}", span(held.so_far), span(held.needed))
    });
    let hidden = condition.comparison.is_some() && is_masked(condition);
    // The note of a combination repeats those of its parts.
    let note = condition.note.as_ref().filter(|_| condition.parts.is_none() && !hidden);
    let note = note.map_or_else(String::new, |note| format!(" ({note})"));
    escape_controls(&format!("{unless}{}{numbers}{held}{note}", condition.text)).into_owned()
}

/// Returns whether numbers of a known condition are masked.
fn is_masked(condition: &ConditionTrace) -> bool {
    condition.note.as_deref() == Some(MASKED) && condition.holds != Truth::Unknown
}

/// Returns the scale for the numbers of a condition.
fn scale(condition: &ConditionTrace) -> Scale {
    let numbers: Vec<f64> = condition.value.into_iter().chain(condition.bound).collect();
    condition.unit.alike(&numbers)
}

fn distance(condition: &ConditionTrace) -> String {
    let (Some(margin), Some(comparison)) = (condition.margin, condition.comparison) else { return String::new() };
    let by = scale(condition).show_difference(margin.abs());
    match comparison {
        _ if margin < 0.0 => format!(", short by {by}"),
        _ if margin == 0.0 => ", exactly at it".to_owned(),
        Comparison::Above | Comparison::AtLeast => format!(" ({by} over)"),
        Comparison::Below | Comparison::AtMost => format!(" ({by} under)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unit;

    /// Both sides of a comparison in the same unit and digits, and different values look different.
    #[test]
    fn what_is_compared_is_shown_alike() {
        let said = |unit: Unit, value: f64, bound: f64| {
            let condition = ConditionTrace {
                text: "x".into(),
                unit,
                value: Some(value),
                comparison: Some(Comparison::Above),
                bound: Some(bound),
                margin: Some(value - bound),
                note: None,
                negated: false,
                held_for: None,
                holds: Truth::of(value > bound),
                parts: None,
            };
            clause(&condition)
        };
        for (unit, value, bound, expected) in [
            (Unit::Seconds, 0.0, 120.0, "x 0 s > 120 s, short by 120 s"),
            (Unit::Seconds, 0.186, 0.2, "x 186 ms > 200 ms, short by 14 ms"),
            (Unit::Seconds, 0.9, 1.2, "x 0.90 s > 1.20 s, short by 0.30 s"),
            (Unit::Seconds, 45.0, 30.0, "x 45.0 s > 30.0 s (15.0 s over)"),
            (Unit::Seconds, 0.2004, 0.2, "x 200.4 ms > 200.0 ms (0.4 ms over)"),
            (Unit::Seconds, 121.4, 121.3, "x 121.4 s > 121.3 s (0.1 s over)"),
            (Unit::Seconds, 1800.0, 0.1, "x 1800.0 s > 0.1 s (1799.9 s over)"),
            (Unit::Ratio, 0.6004, 0.6, "x 60.04 % > 60.00 % (0.04 points over)"),
            (Unit::Ratio, 0.6, 0.6, "x 60.0 % > 60.0 %, exactly at it"),
            (Unit::PerSecond, 1000.0, 0.5, "x 1000.0/s > 0.5/s (999.5/s over)"),
            (Unit::Count, 3.5, 3.0, "x 3.5 > 3 (0.5 over)"),
            (Unit::Count, 4.0, 3.0, "x 4 > 3 (1 over)"),
            (Unit::UsdPerHour, 0.75, 0.5, "x $0.75/h > $0.50/h ($0.25/h over)"),
        ] {
            assert_eq!(said(unit, value, bound), expected);
        }
    }

    #[test]
    fn a_span_is_said_as_people_say_it() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (599, "599 s"),
            (719, "11 min"),
            (3_600, "1 h"),
            (35_820, "9 h 57 min"),
            (86_400, "1 d"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(span(Duration::from_millis(12)), "12 ms");
    }
}
