//! `param(..)` and `p`.

use std::sync::Arc;

use rhai::{Dynamic, Engine, Map, Position};

use crate::decide::api::fields::Fields;
use crate::decide::api::quantity::{ScriptResult, quantity, quantity_in};
use crate::decide::api::signal::refuse_unknown;
use crate::decide::fault::FaultKind;
use crate::decide::plan::parameter::Parameter;
use crate::decide::plan::quantity::{Origin, Quantity, Term};
use crate::model::SignalName;

/// `p`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Params;

/// Reads the arguments of `param(name, default, options)`, written at a position of a file.
///
/// # Errors
/// When one of them is invalid, or the default is outside the bounds.
pub(crate) fn read(
    name: &str,
    default: &Dynamic,
    options: Map,
    (file, position): (&Arc<str>, Position),
) -> ScriptResult<Parameter> {
    if SignalName::new(name).is_none() {
        return Err(format!("param: `{name}` is not a name (a-z, 0-9, _, a letter first)").into());
    }
    let mut fields = Fields::new("param", &["min", "max", "doc"], options)?;
    let start = quantity(default, "param: the default")?;
    let unit = start.unit;
    let mut bound = |key, open: f64| -> ScriptResult<f64> {
        let Some(value) = fields.optional(key) else { return Ok(open) };
        number(&quantity_in(&value, unit, "param: a bound")?)
    };
    let range = bound("min", f64::MIN)?..=bound("max", f64::MAX)?;
    if range.is_empty() {
        let (low, high) = (unit.show(*range.start()), unit.show(*range.end()));
        return Err(format!("param: min {low} is above max {high}: no value is allowed").into());
    }
    let doc = match fields.optional("doc") {
        Some(text) => text.into_string().map_err(|_| "param: `doc` is not a text")?,
        None => String::new(),
    };
    let default = number(&start)?;
    let parameter = Parameter { name: name.into(), unit, default, range, doc, file: Arc::clone(file), position };
    parameter.check(default).map_err(|fault| format!("param: the default {fault}"))?;
    Ok(parameter)
}

fn number(quantity: &Quantity) -> ScriptResult<f64> {
    match quantity.term {
        Term::Number(number) => Ok(number),
        _ => Err(format!("param: {} is not a plain quantity", quantity.label).into()),
    }
}

/// Registers `p` and its properties.
pub(crate) fn register(engine: &mut Engine, parameters: &[Parameter]) {
    engine.register_type_with_name::<Params>("parameters");
    for parameter in parameters {
        let quantity = Quantity {
            label: format!("p.{}", parameter.name).into(),
            unit: parameter.unit,
            origin: Origin::Set,
            term: Term::Parameter(Arc::clone(&parameter.name)),
        };
        engine.register_get(&*parameter.name, move |_: &mut Params| quantity.clone());
    }
    let known: Vec<&str> = parameters.iter().map(|parameter| &*parameter.name).collect();
    refuse_unknown::<Params>(engine, "parameter", &known, "", Some(FaultKind::UnknownParameter));
}
