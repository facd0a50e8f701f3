//! `s`: the service and its signals.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use rhai::Engine;

use crate::decide::api::condition::Condition;
use crate::decide::api::quantity::{Origin, Quantity, ScriptResult, finite};
use crate::decide::api::span::parse_span;
use crate::decide::api::tick::{Fresh, Target, Tick};
use crate::decide::vocabulary::{RESERVED, Vocabulary};
use crate::model::outlook::quantile_index;
use crate::model::{Capacity, Readiness, SignalName, SignalOutlook, Truth, Unit};

/// Probability of the quantile behind `upper95` and `upper95_of_max`.
const UPPER: f64 = 0.95;

/// `s`.
#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) Arc<Tick>);

/// `s.replicas`.
#[derive(Debug, Clone)]
pub(crate) struct Replicas(Arc<Tick>);

/// `s.capacity`.
#[derive(Debug, Clone)]
pub(crate) struct Sizing(Arc<Tick>);

/// `s.<name>`: a declared signal. It has no value of its own; its views have.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    tick: Arc<Tick>,
    labels: Arc<Labels>,
    position: Option<usize>,
}

/// How the views of a signal are called, made once per policy set.
#[derive(Debug)]
struct Labels {
    name: SignalName,
    unit: Unit,
    alone: Arc<str>,
    current: Arc<str>,
    mean: Arc<str>,
    predicted: Arc<str>,
    forecast_change: Arc<str>,
}

impl Labels {
    fn new(name: &SignalName, unit: Unit) -> Self {
        Self {
            name: name.clone(),
            unit,
            alone: name.as_str().into(),
            current: format!("{name}.current").into(),
            mean: format!("{name}.mean").into(),
            predicted: format!("{name}.predicted").into(),
            forecast_change: format!("{name}.forecast_change").into(),
        }
    }
}

impl Signal {
    fn fresh(&self) -> Result<Fresh<'_>, Arc<str>> {
        let fresh = self.tick.fresh(self.position)?;
        if fresh.view.unit == self.labels.unit {
            return Ok(fresh);
        }
        Err("declared in another unit than the policies were checked with".into())
    }

    /// Returns a view of the signal: what `value` makes of it, with the age of its newest sample.
    fn view(&self, label: Arc<str>, unit: Unit, value: impl FnOnce(&Fresh<'_>) -> Result<f64, Arc<str>>) -> Quantity {
        let fresh = match self.fresh() {
            Ok(fresh) => fresh,
            Err(why) => return Quantity::unknown(label, unit, why),
        };
        match value(&fresh).and_then(finite) {
            Ok(value) => Quantity {
                label: Some(label),
                unit,
                value: Ok(value),
                stamp: Some(fresh.stamp),
                note: Some(fresh.age),
                origin: Origin::Measured,
            },
            Err(why) => Quantity::unknown(label, unit, why),
        }
    }

    fn current(&mut self) -> Quantity {
        self.view(Arc::clone(&self.labels.current), self.labels.unit, |fresh| Ok(fresh.value))
    }

    fn mean(&mut self) -> Quantity {
        self.view(Arc::clone(&self.labels.mean), self.labels.unit, |fresh| {
            fresh.view.mean.map(f64::from).ok_or_else(|| "no sample in the last minute".into())
        })
    }

    fn predicted(&mut self) -> Quantity {
        let lead = self.tick.lead;
        self.view(Arc::clone(&self.labels.predicted), self.labels.unit, |fresh| point(fresh, lead))
    }

    fn forecast_change(&mut self) -> Quantity {
        let lead = self.tick.lead;
        self.view(Arc::clone(&self.labels.forecast_change), Unit::Ratio, |fresh| {
            if fresh.value == 0.0 {
                return Err("a change against zero has no size".into());
            }
            Ok((point(fresh, lead)? - fresh.value) / fresh.value)
        })
    }

    fn at(self, span: &str) -> ScriptResult<Quantity> {
        let ahead = parse_span(span)?;
        let label = format!("{}.at({span})", self.labels.name).into();
        Ok(self.view(label, self.labels.unit, |fresh| point(fresh, ahead)))
    }

    fn upper95(self, span: &str) -> ScriptResult<Quantity> {
        let ahead = parse_span(span)?;
        let label = format!("{}.upper95({span})", self.labels.name).into();
        Ok(self.view(label, self.labels.unit, |fresh| {
            outlook(fresh)?.quantile_at(UPPER, minutes(ahead)).ok_or_else(|| beyond(ahead))
        }))
    }

    fn upper95_of_max(self, span: &str) -> ScriptResult<Quantity> {
        let ahead = parse_span(span)?.as_secs() / 60;
        if ahead != 10 && ahead != 30 {
            return Err(format!("upper95_of_max(\"{span}\"): the maximum is forecast over \"10m\" or \"30m\"").into());
        }
        let label = format!("{}.upper95_of_max({span})", self.labels.name).into();
        Ok(self.view(label, self.labels.unit, |fresh| {
            let outlook = outlook(fresh)?;
            let row = if ahead == 10 { outlook.max_10 } else { outlook.max_30 };
            let value = row.and_then(|row| row.get(quantile_index(UPPER)).copied());
            value.ok_or_else(|| "no forecast of the maximum".into())
        }))
    }
}

fn minutes(span: Duration) -> f64 {
    span.as_secs_f64() / 60.0
}

fn beyond(ahead: Duration) -> Arc<str> {
    format!("no forecast {} s ahead", ahead.as_secs()).into()
}

fn outlook<'a>(fresh: &'a Fresh<'_>) -> Result<&'a SignalOutlook, Arc<str>> {
    let Some(outlook) = &fresh.view.outlook else { return Err("not forecast".into()) };
    match outlook.readiness {
        Readiness::Ready => Ok(outlook),
        Readiness::NotReady { have, need } => Err(format!("no forecast yet: {have} of {need} minutes seen").into()),
    }
}

fn point(fresh: &Fresh<'_>, ahead: Duration) -> Result<f64, Arc<str>> {
    outlook(fresh)?.point_at(minutes(ahead)).ok_or_else(|| beyond(ahead))
}

/// Adds `s` and everything that is read from it.
pub(crate) fn register(engine: &mut Engine, vocabulary: &Vocabulary) {
    engine.register_type_with_name::<Service>("service");
    engine.register_type_with_name::<Signal>("signal");
    engine.register_type_with_name::<Replicas>("replicas");
    engine.register_type_with_name::<Sizing>("capacity");
    for (name, unit) in vocabulary.iter() {
        let labels = Arc::new(Labels::new(name, unit));
        if unit == Unit::Flag {
            engine.register_get(name.as_str(), move |service: &mut Service| flag(service, &labels));
        } else {
            engine.register_get(name.as_str(), move |service: &mut Service| Signal {
                tick: Arc::clone(&service.0),
                labels: Arc::clone(&labels),
                position: service.0.position(&labels.name),
            });
        }
    }
    let mut known: Vec<String> = vocabulary.iter().map(|(name, _)| name.to_string()).collect();
    known.extend(RESERVED.map(str::to_owned));
    refuse_unknown::<Service>(engine, "signal", known);
    engine.register_get("current", Signal::current);
    engine.register_get("mean", Signal::mean);
    engine.register_get("predicted", Signal::predicted);
    engine.register_get("forecast_change", Signal::forecast_change);
    engine.register_fn("at", Signal::at);
    engine.register_fn("upper95", Signal::upper95);
    engine.register_fn("upper95_of_max", Signal::upper95_of_max);
    let views = ["current", "mean", "predicted", "forecast_change", "at(..)", "upper95(..)", "upper95_of_max(..)"];
    refuse_unknown::<Signal>(engine, "view of a signal", views.map(str::to_owned).to_vec());
    register_target(engine);
    register_sizing(engine);
}

/// Answers every other property of a type with an error that lists what there is.
pub(crate) fn refuse_unknown<T: Any + Clone + Send + Sync>(
    engine: &mut Engine,
    what: &'static str,
    known: Vec<String>,
) {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    engine.register_indexer_get(move |_: &mut T, name: &str| -> ScriptResult<rhai::Dynamic> {
        Err(format!("unknown {what} `{name}`: there is {known}").into())
    });
}

fn flag(service: &Service, labels: &Labels) -> Condition {
    let text = Arc::clone(&labels.alone);
    match service.0.fresh(service.0.position(&labels.name)) {
        Ok(fresh) => Condition::flag(text, Truth::of(fresh.value != 0.0), Some(fresh.age), Some(fresh.stamp)),
        Err(why) => Condition::flag(text, Truth::Unknown, Some(why), None),
    }
}

fn register_target(engine: &mut Engine) {
    engine.register_get("replicas", |service: &mut Service| Replicas(Arc::clone(&service.0)));
    for (name, read) in [("current", (|target| target.replicas) as fn(Target) -> u32), ("ready", |target| target.ready)]
    {
        let label: Arc<str> = format!("replicas.{name}").into();
        engine.register_get(name, move |replicas: &mut Replicas| count_of_target(&replicas.0, &label, read));
    }
    refuse_unknown::<Replicas>(engine, "count of replicas", vec!["current".to_owned(), "ready".to_owned()]);
    let flags: [(&str, fn(&Tick, Target) -> bool); 4] = [
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

fn count_of_target(tick: &Tick, label: &Arc<str>, read: fn(Target) -> u32) -> Quantity {
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
    let counts: [(&str, fn(&Capacity) -> Option<u32>, &'static str); 3] = [
        ("needed_now", |capacity| capacity.needed_now, "the arrival rate is not known"),
        ("needed_ahead", |capacity| capacity.needed_ahead, "the forecast may not add capacity yet"),
        ("floor", |capacity| capacity.floor, "no forecast that may let capacity go"),
    ];
    for (name, read, absent) in counts {
        let label: Arc<str> = format!("capacity.{name}").into();
        engine.register_get(name, move |sizing: &mut Sizing| sized(&sizing.0, &label, read, absent));
    }
    let known = ["needed_now", "needed_ahead", "floor"];
    refuse_unknown::<Sizing>(engine, "view of the capacity", known.map(str::to_owned).to_vec());
}

/// Returns a replica count made from the arrival rate. None is known without a fresh arrival rate: a raise
/// needs fresh data of its own.
fn sized(tick: &Tick, label: &Arc<str>, read: fn(&Capacity) -> Option<u32>, absent: &'static str) -> Quantity {
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
