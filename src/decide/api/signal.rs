//! `s.<name>`: the signals of the service, current, past and forecast.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, FLOAT};

use crate::decide::api::quantity::{ScriptResult, bounded, quantity_in};
use crate::decide::api::span::parse_span;
use crate::decide::fault::{FaultKind, Told};
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::quantity::{Origin, Pods, Quantity, Span, Term, View};
use crate::decide::vocabulary::{LONGEST_HORIZON, REGION, RESERVED, Vocabulary};
use crate::model::explain::did_you_mean;
use crate::model::outlook::quantile_index;
use crate::model::{QUANTILES, SignalName, Unit};

/// Probability of the quantile behind `upper95` and `upper95_of_max`.
const UPPER: f64 = 0.95;

/// `s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service;

/// `s.<name>`: a declared signal. It has no value of its own, only views.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    name: SignalName,
    unit: Unit,
}

/// `s.<name>.over(..)`: the last minutes of a signal.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    signal: Signal,
    span: Arc<str>,
}

/// `s.<name>` where only regions of it are declared.
#[derive(Debug, Clone)]
pub(crate) struct Regional(Arc<str>);

impl Signal {
    fn view(&self, word: &str, unit: Unit, view: View) -> Quantity {
        let term = Term::Signal { name: self.name.clone(), unit: self.unit, view };
        Quantity { label: format!("{}.{word}", self.name).into(), unit, origin: Origin::Measured, term }
    }

    fn at(&self, span: &str) -> ScriptResult<Quantity> {
        let word = format!("at({span})");
        Ok(self.view(&word, self.unit, View::At(ahead(&word, span)?)))
    }

    fn change_at(&self, span: &str) -> ScriptResult<Quantity> {
        let word = format!("change_at({span})");
        Ok(self.view(&word, Unit::Ratio, View::ChangeAt(ahead(&word, span)?)))
    }

    fn quantile(&self, word: &str, level: f64, span: &str) -> ScriptResult<Quantity> {
        Ok(self.view(word, self.unit, View::Quantile(tracked(level)?, ahead(word, span)?)))
    }

    fn quantile_of_max(&self, word: &str, level: f64, span: &str) -> ScriptResult<Quantity> {
        let over = match parse_span(span)?.as_secs() {
            600 => Span::Ten,
            1800 => Span::Thirty,
            _ => return Err(format!("{word}: the maximum is forecast over \"10m\" or \"30m\"").into()),
        };
        Ok(self.view(word, self.unit, View::OfMax(tracked(level)?, over)))
    }

    fn longest_run_above(&self, bound: &Dynamic) -> ScriptResult<Quantity> {
        let bound = quantity_in(bound, self.unit, "longest_run_above: the bound")?;
        bounded([bound.parts()])?;
        let label = format!("{}.longest_run_above({})", self.name, bound.label).into();
        let term = Term::LongestRun { name: self.name.clone(), unit: self.unit, bound: Arc::new(bound) };
        Ok(Quantity { label, unit: Unit::Seconds, origin: Origin::Measured, term })
    }

    /// Returns a window, if it is one of those that are kept.
    fn over(&self, span: &str) -> ScriptResult<Window> {
        match span {
            "1m" | "5m" => Ok(Window { signal: self.clone(), span: span.into() }),
            _ => Err(format!("over(\"{span}\"); known: over(\"1m\").mean and over(\"5m\").p99, .max, .change").into()),
        }
    }
}

impl Window {
    fn view(&self, word: &str) -> ScriptResult<Quantity> {
        let signal = &self.signal;
        let (view, unit) = match (&*self.span, word) {
            ("1m", "mean") => (View::Mean, signal.unit),
            ("5m", "p99") => (View::P99, signal.unit),
            ("5m", "max") => (View::Max, signal.unit),
            ("5m", "change") => (View::Change, Unit::Ratio),
            (span, _) => {
                let there = if span == "1m" { "mean" } else { "p99, max, change" };
                return Err(format!("over(\"{span}\").{word} is not available; known: {there}").into());
            }
        };
        Ok(signal.view(&format!("over({}).{word}", self.span), unit, view))
    }
}

/// Reads how far ahead a view looks.
fn ahead(word: &str, span: &str) -> ScriptResult<Duration> {
    let ahead = parse_span(span)?;
    if ahead > LONGEST_HORIZON {
        let minutes = LONGEST_HORIZON.as_secs() / 60;
        return Err(format!("{word}: the forecast reaches {minutes} minutes ahead").into());
    }
    Ok(ahead)
}

/// Returns the position of a tracked quantile.
fn tracked(level: f64) -> ScriptResult<usize> {
    let position = quantile_index(level);
    if QUANTILES.get(position).is_some_and(|tracked| (tracked - level).abs() < 1e-9) {
        return Ok(position);
    }
    let known: Vec<_> = QUANTILES.iter().map(ToString::to_string).collect();
    Err(format!("quantile {level} is not tracked; known: {}", known.join(", ")).into())
}

/// Registers the signals of `s` and their views.
pub(crate) fn register(engine: &mut Engine, vocabulary: &Vocabulary) {
    engine.register_type_with_name::<Service>("service");
    engine.register_type_with_name::<Signal>("signal");
    engine.register_type_with_name::<Window>("window");
    engine.register_type_with_name::<Regional>("signal of regions");
    for (name, unit) in vocabulary.iter() {
        if unit == Unit::Flag {
            let flag = Condition::new(name.as_str(), Statement::Signal(name.clone()));
            engine.register_get(name.as_str(), move |_: &mut Service| flag.clone());
        } else {
            let signal = Signal { name: name.clone(), unit };
            engine.register_get(name.as_str(), move |_: &mut Service| signal.clone());
        }
    }
    register_regions(engine, vocabulary);
    let known: Vec<&str> = vocabulary.iter().map(|(name, _)| name.as_str()).chain(RESERVED).collect();
    let remedy = ", others are declared under `signals` in the settings";
    refuse_unknown::<Service>(engine, "signal", &known, remedy, None);
    register_views(engine);
    register_forecasts(engine);
}

/// Properties of a signal that take no arguments.
pub(in crate::decide) const VIEWS: [&str; 4] = ["current", "mean", "predicted", "forecast_change"];
/// Properties of a window.
pub(in crate::decide) const WINDOW_VIEWS: [&str; 4] = ["mean", "p99", "max", "change"];

fn register_views(engine: &mut Engine) {
    for (word, view) in [("current", View::Current), ("mean", View::Mean), ("predicted", View::Predicted)] {
        engine.register_get(word, move |signal: &mut Signal| signal.view(word, signal.unit, view));
    }
    engine.register_get("forecast_change", |signal: &mut Signal| {
        signal.view("forecast_change", Unit::Ratio, View::ForecastChange)
    });
    engine.register_fn("over", |signal: Signal, span: &str| signal.over(span));
    for word in WINDOW_VIEWS {
        engine.register_get(word, move |window: &mut Window| window.view(word));
    }
    let calls = [
        "at(..)",
        "change_at(..)",
        "upper95(..)",
        "upper95_of_max(..)",
        "quantile(..)",
        "quantile_of_max(..)",
        "longest_run_above(..)",
        "over(..)",
        "region(..)",
    ];
    refuse_unknown::<Signal>(engine, "view of a signal", &[&VIEWS[..], &calls].concat(), "", None);
    refuse_unknown::<Window>(engine, "view of a window", &WINDOW_VIEWS, "", None);
}

fn register_forecasts(engine: &mut Engine) {
    engine.register_fn("at", |signal: Signal, span: &str| signal.at(span));
    engine.register_fn("change_at", |signal: Signal, span: &str| signal.change_at(span));
    engine
        .register_fn("upper95", |signal: Signal, span: &str| signal.quantile(&format!("upper95({span})"), UPPER, span));
    engine.register_fn("upper95_of_max", |signal: Signal, span: &str| {
        signal.quantile_of_max(&format!("upper95_of_max({span})"), UPPER, span)
    });
    engine.register_fn("quantile", |signal: Signal, level: FLOAT, span: &str| {
        signal.quantile(&format!("quantile({level}, {span})"), level, span)
    });
    engine.register_fn("quantile_of_max", |signal: Signal, level: FLOAT, span: &str| {
        signal.quantile_of_max(&format!("quantile_of_max({level}, {span})"), level, span)
    });
    engine.register_fn("longest_run_above", |signal: Signal, bound: Dynamic| signal.longest_run_above(&bound));
    engine.register_fn("needs_replicas", |rate: Quantity| needs_replicas(rate, None));
    engine.register_fn("needs_replicas", |rate: Quantity, per_pod: Dynamic, headroom: Dynamic| {
        let per_pod = quantity_in(&per_pod, Unit::PerSecond, "needs_replicas: the rate of one pod")?;
        let headroom = quantity_in(&headroom, Unit::Count, "needs_replicas: the headroom")?;
        needs_replicas(rate, Some((per_pod, headroom)))
    });
}

/// Returns how many pods a rate needs.
fn needs_replicas(rate: Quantity, given: Option<(Quantity, Quantity)>) -> ScriptResult<Quantity> {
    if rate.unit != Unit::PerSecond {
        return Err(format!("needs_replicas: {} is {}, expected a rate", rate.label, rate.unit.word()).into());
    }
    let mut label = format!("{}.needs_replicas()", rate.label);
    let mut parts = vec![rate.parts()];
    if let Some((per_pod, headroom)) = &given {
        label = format!("{}.needs_replicas({}, {})", rate.label, per_pod.label, headroom.label);
        let written = |quantity: &Quantity| match quantity.term {
            Term::Number(number) => Some(number),
            _ => None,
        };
        Pods::check(written(per_pod), written(headroom)).map_err(|why| format!("needs_replicas: {why}"))?;
        parts.extend([per_pod.parts(), headroom.parts()]);
    }
    bounded(parts)?;
    // Not `Arrivals`: only what the capacity model itself sized may jump straight to the needed count.
    let origin = rate.origin.min(Origin::Measured);
    Ok(Quantity { label: label.into(), unit: Unit::Count, origin, term: Term::Pods(Arc::new(Pods { rate, given })) })
}

/// Registers `.region(..)`: an alias of the signal `<name>_region_<region>`.
fn register_regions(engine: &mut Engine, vocabulary: &Vocabulary) {
    let known: Arc<BTreeMap<SignalName, Unit>> =
        Arc::new(vocabulary.iter().map(|(name, unit)| (name.clone(), unit)).collect());
    let in_region = move |base: &str, region: &str| -> ScriptResult<(SignalName, Unit)> {
        let name = format!("{base}{REGION}{}", region.to_lowercase());
        let found = SignalName::new(&name).and_then(|name| Some((*known.get(&name)?, name)));
        match found {
            Some((unit, name)) => Ok((name, unit)),
            None => Err(format!(
                "unknown signal `{name}`, which region(\"{region}\") of {base} refers to: declare it under \
                     `signals` in the settings"
            )
            .into()),
        }
    };
    let resolve = in_region.clone();
    engine.register_fn("region", move |signal: Signal, region: &str| -> ScriptResult<Dynamic> {
        resolve(signal.name.as_str(), region).map(named)
    });
    let resolve = in_region.clone();
    engine.register_fn("region", move |signal: Regional, region: &str| -> ScriptResult<Dynamic> {
        resolve(&signal.0, region).map(named)
    });
    engine.register_fn("region", move |flag: Condition, region: &str| -> ScriptResult<Dynamic> {
        let (Statement::Signal(name), None) = (&flag.statement, &flag.held) else {
            return Err(format!("{} is not a declared flag: it has no regions", flag.text).into());
        };
        in_region(name.as_str(), region).map(named)
    });
    let bases = vocabulary.iter().filter_map(|(name, _)| name.as_str().split_once(REGION).map(|(base, _)| base));
    let bases = bases.filter(|base| !RESERVED.contains(base));
    for base in bases.filter(|base| SignalName::new(base).is_none_or(|name| vocabulary.unit(&name).is_none())) {
        let regional = Regional(base.into());
        engine.register_get(base, move |_: &mut Service| regional.clone());
    }
    refuse_unknown::<Regional>(engine, "view of a signal that is declared for regions only", &["region(..)"], "", None);
}

/// Returns a declared signal or flag as scripts see it.
fn named((name, unit): (SignalName, Unit)) -> Dynamic {
    if unit == Unit::Flag {
        Dynamic::from(Condition::new(name.as_str(), Statement::Signal(name.clone())))
    } else {
        Dynamic::from(Signal { name, unit })
    }
}

/// Makes every other property of a type an error that lists the existing ones and says what else to do.
pub(crate) fn refuse_unknown<T: Any + Clone + Send + Sync>(
    engine: &mut Engine,
    what: &'static str,
    known: &[&str],
    remedy: &'static str,
    kind: Option<FaultKind>,
) {
    let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    engine.register_indexer_get(move |_: &mut T, name: &str| -> ScriptResult<Dynamic> {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        if known.contains(&name) {
            return Err(format!("access a {what} with a dot: write .{name} instead of [\"{name}\"]").into());
        }
        let meant = did_you_mean(name, &known);
        let all = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("unknown {what} `{name}`; known: {all}{remedy}{meant}");
        Err(match kind.clone() {
            Some(kind) => Told { kind, message }.into(),
            None => message.into(),
        })
    });
}
