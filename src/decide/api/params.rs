//! `p`: the parameters of a policy set, with the values of one service.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rhai::{Dynamic, Engine, Map};

use crate::decide::api::fields::Fields;
use crate::decide::api::quantity::{Quantity, ScriptResult, quantity, quantity_in};
use crate::decide::api::signal::refuse_unknown;
use crate::model::{ServiceSpec, SignalName, Unit};

/// One `param(..)` of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name, as `p.<name>` and in `spec.parameters`.
    pub name: Arc<str>,
    /// Unit of its values.
    pub unit: Unit,
    /// Value where a service gives none, base unit.
    pub default: f64,
    /// Permitted values, base unit.
    pub range: RangeInclusive<f64>,
    /// What it is for.
    pub doc: String,
}

impl Parameter {
    /// Reads the arguments of `param(name, default, options)`.
    pub(crate) fn read(name: &str, default: &Dynamic, options: Map) -> ScriptResult<Self> {
        if SignalName::new(name).is_none() {
            return Err(format!("param: `{name}` is not a name (a-z, 0-9, _, a letter first)").into());
        }
        let mut fields = Fields::new("param", &["min", "max", "doc"], options)?;
        let start = quantity(default, "param: the default")?;
        let unit = start.unit;
        let mut bound = |key, open: f64| -> ScriptResult<f64> {
            let Some(value) = fields.optional(key) else { return Ok(open) };
            Ok(quantity_in(&value, unit, "param: a bound")?.value.unwrap_or(open))
        };
        let range = bound("min", f64::MIN)?..=bound("max", f64::MAX)?;
        let doc = match fields.optional("doc") {
            Some(text) => text.into_string().map_err(|_| "param: `doc` is not a text")?,
            None => String::new(),
        };
        let default = start.value.map_err(|why| why.to_string())?;
        let parameter = Self { name: name.into(), unit, default, range, doc };
        parameter.check(default).map_err(|fault| format!("param: the default {fault}"))?;
        Ok(parameter)
    }

    fn check(&self, value: f64) -> Result<f64, String> {
        if value.is_finite() && self.range.contains(&value) {
            return Ok(value);
        }
        let show = |value: f64| self.unit.show(value);
        Err(format!("{} is not between {} and {}", show(value), show(*self.range.start()), show(*self.range.end())))
    }

    /// Returns the value for a service.
    ///
    /// # Errors
    /// When the service's own value is outside the range.
    pub(crate) fn value_for(&self, spec: &ServiceSpec) -> Result<f64, Arc<str>> {
        let Some(value) = spec.parameters.get(&self.name) else { return Ok(self.default) };
        self.check(*value).map_err(|fault| {
            format!("parameter `{}` of {}: {fault}; correct it in the service's parameters", self.name, spec.id).into()
        })
    }
}

/// `p`: values in the order of the set's parameters.
#[derive(Debug, Clone)]
pub(crate) struct Params(Arc<[Result<f64, Arc<str>>]>);

impl Params {
    /// Binds the parameters of a set to one service.
    pub(crate) fn bind(parameters: &[Parameter], spec: &ServiceSpec) -> Self {
        Self(parameters.iter().map(|parameter| parameter.value_for(spec)).collect())
    }

    /// Returns the parameters at their defaults.
    pub(crate) fn defaults(parameters: &[Parameter]) -> Self {
        Self(parameters.iter().map(|parameter| Ok(parameter.default)).collect())
    }
}

/// Adds `p` and what is read from it.
pub(crate) fn register(engine: &mut Engine, parameters: &[Parameter]) {
    engine.register_type_with_name::<Params>("parameters");
    for (position, parameter) in parameters.iter().enumerate() {
        let (unit, label) = (parameter.unit, Arc::from(format!("p.{}", parameter.name)));
        engine.register_get(&*parameter.name, move |params: &mut Params| -> ScriptResult<Quantity> {
            let value = params.0.get(position).cloned().unwrap_or(Err("not bound".into()));
            let value = value.map_err(|fault| fault.to_string())?;
            Ok(Quantity { label: Some(Arc::clone(&label)), ..Quantity::set(value, unit)? })
        });
    }
    let known: Vec<&str> = parameters.iter().map(|parameter| &*parameter.name).collect();
    refuse_unknown::<Params>(engine, "parameter", &known);
}
