//! What `s` says of the target and of its capacity: replicas, flags, counts sized by the arrival rate.

use std::sync::Arc;

use rhai::Engine;

use crate::decide::api::condition::Condition;
use crate::decide::api::quantity::{Origin, Quantity};
use crate::decide::api::signal::{Service, refuse_unknown};
use crate::decide::api::tick::{Target, Tick};
use crate::model::{Capacity, Truth, Unit};

/// `s.replicas`.
#[derive(Debug, Clone)]
pub(crate) struct Replicas(Arc<Tick>);

/// `s.capacity`.
#[derive(Debug, Clone)]
pub(crate) struct Sizing(Arc<Tick>);

type Count = fn(Target) -> u32;
type Flag = fn(&Tick, Target) -> bool;
type Need = fn(&Capacity) -> Option<u32>;

/// Adds the views of the target and of the capacity.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Replicas>("replicas");
    engine.register_type_with_name::<Sizing>("capacity");
    register_target(engine);
    register_sizing(engine);
}

fn register_target(engine: &mut Engine) {
    engine.register_get("replicas", |service: &mut Service| Replicas(Arc::clone(&service.0)));
    let counts: [(&str, Count); 2] = [("current", |target| target.replicas), ("ready", |target| target.ready)];
    for (name, read) in counts {
        let label: Arc<str> = format!("replicas.{name}").into();
        engine.register_get(name, move |replicas: &mut Replicas| count_of_target(&replicas.0, &label, read));
    }
    refuse_unknown::<Replicas>(engine, "count of replicas", &["current", "ready"]);
    let flags: [(&str, Flag); 4] = [
        ("rollout", |_, target| target.rollout),
        ("can_scale_up", |tick, target| target.replicas < tick.bounds.max),
        ("at_min_replicas", |tick, target| target.replicas <= tick.bounds.min),
        ("at_max_replicas", |tick, target| target.replicas >= tick.bounds.max),
    ];
    for (name, read) in flags {
        let text: Arc<str> = name.into();
        engine.register_get(name, move |service: &mut Service| {
            let tick = &service.0;
            let (holds, note) = match &tick.target {
                Ok(target) => (Truth::of(read(tick, *target)), None),
                Err(why) => (Truth::Unknown, Some(Arc::clone(why))),
            };
            Condition::flag(Arc::clone(&text), holds, note, Some(tick.stamp()))
        });
    }
}

fn count_of_target(tick: &Tick, label: &Arc<str>, read: Count) -> Quantity {
    match &tick.target {
        Ok(target) => Quantity {
            label: Some(Arc::clone(label)),
            unit: Unit::Count,
            value: Ok(f64::from(read(*target))),
            note: None,
            stamp: Some(tick.stamp()),
            origin: Origin::Measured,
        },
        Err(why) => Quantity::unknown(Arc::clone(label), Unit::Count, Arc::clone(why)),
    }
}

fn register_sizing(engine: &mut Engine) {
    engine.register_get("capacity", |service: &mut Service| Sizing(Arc::clone(&service.0)));
    let counts: [(&str, Need, &'static str); 3] = [
        ("needed_now", |capacity| capacity.needed_now, "the arrival rate is not known"),
        ("needed_ahead", |capacity| capacity.needed_ahead, "the forecast may not add capacity yet"),
        ("floor", |capacity| capacity.floor, "no forecast that may let capacity go"),
    ];
    for (name, read, absent) in counts {
        let label: Arc<str> = format!("capacity.{name}").into();
        engine.register_get(name, move |sizing: &mut Sizing| sized(&sizing.0, &label, read, absent));
    }
    refuse_unknown::<Sizing>(engine, "view of the capacity", &["needed_now", "needed_ahead", "floor"]);
}

/// Returns a replica count made from the arrival rate. None is known without a fresh arrival rate: a raise
/// needs fresh data of its own.
fn sized(tick: &Tick, label: &Arc<str>, read: Need, absent: &'static str) -> Quantity {
    let value = match (&tick.capacity, tick.arrivals()) {
        (None, _) => Err("the service declares no capacity".into()),
        (Some(_), Err(why)) => Err(why),
        (Some(capacity), Ok(fresh)) => match read(capacity) {
            Some(replicas) => Ok((f64::from(replicas), fresh)),
            None => Err(absent.into()),
        },
    };
    match value {
        Ok((replicas, fresh)) => Quantity {
            label: Some(Arc::clone(label)),
            unit: Unit::Count,
            value: Ok(replicas),
            note: Some(fresh.age),
            stamp: Some(fresh.stamp),
            origin: Origin::Arrivals,
        },
        Err(why) => Quantity { origin: Origin::Arrivals, ..Quantity::unknown(Arc::clone(label), Unit::Count, why) },
    }
}
