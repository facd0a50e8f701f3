//! `s.<name>`: the signals of the service.

use std::any::Any;
use std::time::Duration;

use rhai::Engine;

use crate::decide::api::quantity::ScriptResult;
use crate::decide::api::span::parse_span;
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::quantity::{Origin, Quantity, Term, View};
use crate::decide::vocabulary::{RESERVED, Vocabulary};
use crate::model::{SignalName, Unit};

/// `s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service;

/// `s.<name>`: a declared signal. It has no value of its own; its views have.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    name: SignalName,
    unit: Unit,
}

impl Signal {
    fn view(&self, word: &str, unit: Unit, view: View) -> Quantity {
        let term = Term::Signal { name: self.name.clone(), unit: self.unit, view };
        Quantity { label: format!("{}.{word}", self.name).into(), unit, origin: Origin::Measured, term }
    }

    fn ahead(&self, name: &str, span: &str, view: fn(Duration) -> View) -> ScriptResult<Quantity> {
        Ok(self.view(&format!("{name}({span})"), self.unit, view(parse_span(span)?)))
    }

    fn upper95_of_max(&self, span: &str) -> ScriptResult<Quantity> {
        let view = match parse_span(span)?.as_secs() {
            600 => View::Upper95OfMax10,
            1800 => View::Upper95OfMax30,
            _ => {
                let message = "the maximum is forecast over \"10m\" or \"30m\"";
                return Err(format!("upper95_of_max(\"{span}\"): {message}").into());
            }
        };
        Ok(self.view(&format!("upper95_of_max({span})"), self.unit, view))
    }
}

/// Adds the signals of `s` and their views.
pub(crate) fn register(engine: &mut Engine, vocabulary: &Vocabulary) {
    engine.register_type_with_name::<Service>("service");
    engine.register_type_with_name::<Signal>("signal");
    for (name, unit) in vocabulary.iter() {
        if unit == Unit::Flag {
            let flag = Condition::new(name.as_str(), Statement::Signal(name.clone()));
            engine.register_get(name.as_str(), move |_: &mut Service| flag.clone());
        } else {
            let signal = Signal { name: name.clone(), unit };
            engine.register_get(name.as_str(), move |_: &mut Service| signal.clone());
        }
    }
    let known: Vec<&str> = vocabulary.iter().map(|(name, _)| name.as_str()).chain(RESERVED).collect();
    refuse_unknown::<Service>(engine, "signal", &known);
    for (word, view) in [("current", View::Current), ("mean", View::Mean), ("predicted", View::Predicted)] {
        engine.register_get(word, move |signal: &mut Signal| signal.view(word, signal.unit, view));
    }
    engine.register_get("forecast_change", |signal: &mut Signal| {
        signal.view("forecast_change", Unit::Ratio, View::ForecastChange)
    });
    engine.register_fn("at", |signal: Signal, span: &str| signal.ahead("at", span, View::At));
    engine.register_fn("upper95", |signal: Signal, span: &str| signal.ahead("upper95", span, View::Upper95));
    engine.register_fn("upper95_of_max", |signal: Signal, span: &str| signal.upper95_of_max(span));
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
