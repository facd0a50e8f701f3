//! What a rule wants done, and by how much. Its size is known only when the inputs are.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::plan::inputs::Inputs;
use crate::decide::plan::quantity::{Origin, Quantity};
use crate::model::action::saturating_replicas;
use crate::model::{Action, Limit, Vetoed};

/// Factors of `scale_by` and `resize`.
const FACTOR: RangeInclusive<f64> = 0.1..=10.0;
/// Replica counts; zero means that an operator switched the service off, which is not ours to undo.
const REPLICAS: RangeInclusive<f64> = 1.0..=100_000.0;
/// Shares of traffic.
const SHARE: RangeInclusive<f64> = 0.01..=1.0;

/// An action whose sizes may depend on the inputs.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    ScaleBy(Quantity),
    ScaleTo(Quantity),
    AutoscalerFloor(Quantity),
    Shift {
        from: String,
        to: String,
        step: Quantity,
        limit: Quantity,
    },
    Throttle {
        to: Quantity,
        ttl: Duration,
    },
    Resize {
        cpu: Quantity,
        memory: Quantity,
    },
    /// An action without a size.
    Fixed(Action),
    /// No action: forbids one.
    Veto {
        what: Vetoed,
        why: Arc<str>,
    },
    /// No action: forbids raises beyond a count.
    Cap(Quantity),
}

/// What a rule amounts to for given inputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Aim {
    Act(Action),
    Forbid(Limit),
}

/// Why an action cannot be taken.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// Its size is not known.
    Unknown(Arc<str>),
    /// Its size is outside its range.
    Invalid(String),
}

impl Wanted {
    /// Returns the action, or what is forbidden.
    ///
    /// # Errors
    /// When a size is unknown or outside its range; nothing is clamped silently.
    pub(crate) fn aim(&self, inputs: &Inputs<'_>) -> Result<Aim, Refused> {
        let size = |what, quantity, range| within(what, quantity, &range, inputs);
        // Fractions are rounded up.
        let replicas = |what, quantity| size(what, quantity, REPLICAS).map(|count| saturating_replicas(count.ceil()));
        Ok(Aim::Act(match self {
            Self::ScaleBy(factor) => Action::ScaleBy { factor: size("scale_by", factor, FACTOR)? },
            Self::ScaleTo(count) => Action::ScaleTo { replicas: replicas("scale_to", count)? },
            Self::AutoscalerFloor(count) => {
                Action::SetAutoscalerFloor { replicas: replicas("autoscaler_floor", count)? }
            }
            Self::Shift { from, to, step, limit } => {
                let step = size("shift: step", step, SHARE)?;
                let limit = size("shift: limit", limit, step..=1.0)?;
                Action::ShiftTraffic { from: from.clone(), to: to.clone(), step, limit }
            }
            Self::Throttle { to, ttl } => Action::Throttle { to: size("throttle: to", to, SHARE)?, ttl: *ttl },
            Self::Resize { cpu, memory } => Action::Resize {
                cpu: size("resize: cpu", cpu, FACTOR)?,
                memory: size("resize: memory", memory, FACTOR)?,
            },
            Self::Fixed(action) => action.clone(),
            Self::Veto { what, why } => {
                return Ok(Aim::Forbid(Limit::Veto { what: *what, why: Arc::clone(why) }));
            }
            Self::Cap(count) => return Ok(Aim::Forbid(Limit::Cap { replicas: Some(replicas("cap", count)?) })),
        }))
    }

    /// Returns the strictest limit that it can be while its size is unknown; `None` for an action.
    pub(crate) fn strictest(&self) -> Option<Limit> {
        match self {
            Self::Veto { what, why } => Some(Limit::Veto { what: *what, why: Arc::clone(why) }),
            Self::Cap(_) => Some(Limit::Cap { replicas: None }),
            _ => None,
        }
    }

    /// Returns whether anything can carry it out: so far only actions that set a count. A limit needs no lever.
    pub(crate) fn has_lever(&self) -> bool {
        !matches!(self, Self::Shift { .. } | Self::Throttle { .. } | Self::Resize { .. } | Self::Fixed(_))
    }

    /// Returns the quantities that determine its size.
    pub(crate) fn sizes(&self) -> Vec<&Quantity> {
        match self {
            Self::ScaleBy(size) | Self::ScaleTo(size) | Self::AutoscalerFloor(size) | Self::Cap(size) => vec![size],
            Self::Shift { step, limit, .. } => vec![step, limit],
            Self::Throttle { to, .. } => vec![to],
            Self::Resize { cpu, memory } => vec![cpu, memory],
            Self::Fixed(_) | Self::Veto { .. } => Vec::new(),
        }
    }

    /// Returns whether its size derives from the arrival rate.
    pub(crate) fn backed_by_arrivals(&self) -> bool {
        self.sizes().iter().any(|size| size.origin == Origin::Arrivals)
    }
}

fn within(what: &str, size: &Quantity, range: &RangeInclusive<f64>, inputs: &Inputs<'_>) -> Result<f64, Refused> {
    let value = match size.value(inputs).number {
        Ok(value) => value,
        Err(why) => return Err(Refused::Unknown(format!("{what}: {} is unknown: {why}", size.label).into())),
    };
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (size.unit.show(*range.start()), size.unit.show(*range.end()));
    Err(Refused::Invalid(format!("{what}: {} is not between {low} and {high}", size.unit.show(value))))
}
