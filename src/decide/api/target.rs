//! What `s` says about the target and its capacity: replicas, flags, counts sized by the arrival rate.

use rhai::Engine;

use crate::decide::api::signal::{Service, refuse_unknown};
use crate::decide::plan::condition::{Condition, Statement, TargetFlag};
use crate::decide::plan::quantity::{Count, Need, Origin, Quantity, Term};
use crate::model::Unit;

/// `s.replicas`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replicas;

/// `s.capacity`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizing;

/// Properties of the replicas, and of the capacity.
pub(in crate::decide) const COUNTS: [&str; 2] = ["current", "ready"];
/// See [`COUNTS`].
pub(in crate::decide) const NEEDS: [&str; 3] = ["needed_now", "needed_ahead", "floor"];

/// Registers the views of the target and of the capacity.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Replicas>("replicas");
    engine.register_type_with_name::<Sizing>("capacity");
    engine.register_get("replicas", |_: &mut Service| Replicas);
    engine.register_get("capacity", |_: &mut Service| Sizing);
    for (word, count) in [("current", Count::Current), ("ready", Count::Ready)] {
        let quantity = count_of("replicas", word, Origin::Measured, Term::Replicas(count));
        engine.register_get(word, move |_: &mut Replicas| quantity.clone());
    }
    for (word, need) in [("needed_now", Need::Now), ("needed_ahead", Need::Ahead), ("floor", Need::Floor)] {
        let quantity = count_of("capacity", word, Origin::Arrivals, Term::Capacity(need));
        engine.register_get(word, move |_: &mut Sizing| quantity.clone());
    }
    for (word, flag) in [
        ("rollout", TargetFlag::Rollout),
        ("can_scale_up", TargetFlag::CanScaleUp),
        ("at_min_replicas", TargetFlag::AtMinReplicas),
        ("at_max_replicas", TargetFlag::AtMaxReplicas),
    ] {
        let condition = Condition::new(word, Statement::Target(flag));
        engine.register_get(word, move |_: &mut Service| condition.clone());
    }
    refuse_unknown::<Replicas>(engine, "count of replicas", &COUNTS, "", None);
    refuse_unknown::<Sizing>(engine, "view of the capacity", &NEEDS, "", None);
}

fn count_of(owner: &str, word: &str, origin: Origin, term: Term) -> Quantity {
    Quantity { label: format!("{owner}.{word}").into(), unit: Unit::Count, origin, term }
}
