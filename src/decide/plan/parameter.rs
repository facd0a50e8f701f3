//! Parameters: numbers of a policy set that each service may set for itself.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rhai::Position;

use crate::model::{MASKED, ServiceSpec, Unit};

/// One `param(..)` of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name, as `p.<name>` and in `spec.parameters`.
    pub name: Arc<str>,
    /// Unit of its values.
    pub unit: Unit,
    /// Value if a service gives none, base unit.
    pub default: f64,
    /// Permitted values, base unit.
    pub range: RangeInclusive<f64>,
    /// What it is for.
    pub doc: String,
    /// Path of the file that declares it.
    pub(crate) file: Arc<str>,
    /// Where in the file.
    pub(crate) position: Position,
}

impl Parameter {
    /// Returns `value` if it is permitted.
    ///
    /// # Errors
    /// When it is outside the range or not finite.
    pub(crate) fn check(&self, value: f64) -> Result<f64, String> {
        if value.is_finite() && self.range.contains(&value) {
            return Ok(value);
        }
        let [value, low, high] = [value, *self.range.start(), *self.range.end()].map(|number| self.unit.show(number));
        Err(match (*self.range.start() <= f64::MIN, *self.range.end() >= f64::MAX) {
            (false, false) => format!("{value} is not between {low} and {high}"),
            (false, true) => format!("{value} is below {low}"),
            (true, false) => format!("{value} is above {high}"),
            (true, true) => format!("{value} is not a finite number"),
        })
    }

    /// Returns the value for a service. In a declaration as shown, it may be masked.
    ///
    /// # Errors
    /// When the service's own value is not permitted, or not shown.
    pub(crate) fn value_for(&self, spec: &ServiceSpec) -> Result<f64, Arc<str>> {
        let Some(value) = spec.parameters.get(&self.name) else { return Ok(self.default) };
        let Some(value) = *value else {
            return Err(format!("parameter `{}` of {}: its value is {MASKED}", self.name, spec.id).into());
        };
        self.check(value).map_err(|fault| {
            format!("parameter `{}` of {}: {fault}; fix it in the service's parameters", self.name, spec.id).into()
        })
    }
}
