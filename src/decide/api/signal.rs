//! `s.<name>`: the signals of the service.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use rhai::Engine;

use crate::decide::api::condition::Condition;
use crate::decide::api::quantity::{Origin, Quantity, ScriptResult, finite};
use crate::decide::api::span::parse_span;
use crate::decide::api::tick::{Fresh, Tick};
use crate::decide::vocabulary::{RESERVED, Vocabulary};
use crate::model::outlook::quantile_index;
use crate::model::{Readiness, SignalName, SignalOutlook, Truth, Unit};

/// Probability of the quantile behind `upper95` and `upper95_of_max`.
const UPPER: f64 = 0.95;

/// `s`.
#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) Arc<Tick>);

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

/// Adds the signals of `s` and their views.
pub(crate) fn register(engine: &mut Engine, vocabulary: &Vocabulary) {
    engine.register_type_with_name::<Service>("service");
    engine.register_type_with_name::<Signal>("signal");
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
    let known: Vec<&str> = vocabulary.iter().map(|(name, _)| name.as_str()).chain(RESERVED).collect();
    refuse_unknown::<Service>(engine, "signal", &known);
    engine.register_get("current", Signal::current);
    engine.register_get("mean", Signal::mean);
    engine.register_get("predicted", Signal::predicted);
    engine.register_get("forecast_change", Signal::forecast_change);
    engine.register_fn("at", Signal::at);
    engine.register_fn("upper95", Signal::upper95);
    engine.register_fn("upper95_of_max", Signal::upper95_of_max);
    let views = ["current", "mean", "predicted", "forecast_change", "at(..)", "upper95(..)", "upper95_of_max(..)"];
    refuse_unknown::<Signal>(engine, "view of a signal", &views);
}

/// Answers every other property of a type with an error that lists what there is.
pub(crate) fn refuse_unknown<T: Any + Clone + Send + Sync>(engine: &mut Engine, what: &'static str, known: &[&str]) {
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
