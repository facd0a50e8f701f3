//! The state of the kill switch. An unreadable switch counts as engaged.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action::ActionClass;
use super::controls::escape_controls;
use super::ids::ServiceId;
use super::time::Timestamp;

/// How long before a write is handed to its connection the last read of the switch may have started: the half second
/// that a read may take, plus a margin. A connection that must first be opened for the write adds its own limit; both
/// together are a second (INV-08).
pub const KILL_READ_HOLDS: Duration = Duration::from_millis(550);

/// Who stopped what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KillOrder {
    /// Every write is stopped.
    #[serde(default)]
    pub all: bool,
    /// Writes for these services are stopped.
    #[serde(default)]
    pub services: BTreeSet<ServiceId>,
    /// Writes of these classes are stopped.
    #[serde(default)]
    pub classes: BTreeSet<ActionClass>,
    /// Who gave the order.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl KillOrder {
    /// Returns what is stopped, in words; `None` if nothing is.
    pub fn stopped(&self) -> Option<String> {
        if self.all {
            return Some("everything".to_owned());
        }
        let services = self.services.iter().map(ServiceId::to_string);
        let classes = self.classes.iter().map(|class| format!("class {}", class.as_str()));
        let parts: Vec<_> = services.chain(classes).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Returns who gave the order and why, in words.
    pub fn given(&self) -> String {
        format!("by {}: {}", show(&self.by), show(&self.reason))
    }
}

/// The kill switch as it was last read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum KillState {
    /// Readable; stops what the order names (an order that names nothing stops nothing).
    Readable {
        /// The order.
        order: KillOrder,
        /// When it was last changed, if its storage records it: informational, not part of the order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turned: Option<Timestamp>,
    },
    /// The switch is missing: stops everything.
    Missing {
        /// Where it should be, and what to do.
        error: String,
    },
    /// Unreadable or malformed: stops everything.
    Unreadable {
        /// What was wrong.
        error: String,
    },
}

impl KillState {
    /// Returns a switch that stops nothing.
    pub fn released() -> Self {
        Self::readable(KillOrder::default())
    }

    /// Returns a switch with this order, changed at an unknown time.
    pub fn readable(order: KillOrder) -> Self {
        Self::Readable { order, turned: None }
    }

    /// Returns why a write of `class` for `service` is stopped; `None` if it is not.
    pub fn stops(&self, service: &ServiceId, class: ActionClass) -> Option<String> {
        match self {
            Self::Missing { error } | Self::Unreadable { error } => {
                Some(format!("state unknown, treated as engaged: {error}"))
            }
            Self::Readable { order, .. } => {
                let scope = if order.all {
                    "everything".to_owned()
                } else if order.services.contains(service) {
                    service.to_string()
                } else if order.classes.contains(&class) {
                    format!("class {}", class.as_str())
                } else {
                    return None;
                };
                Some(format!("engaged for {scope} {}", order.given()))
            }
        }
    }

    /// Returns whether every write is stopped.
    pub fn stops_all(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Unreadable { .. } => true,
            Self::Readable { order, .. } => order.all,
        }
    }
}

/// Returns untrusted text as one line without control characters.
fn show(text: &str) -> Cow<'_, str> {
    if text.is_empty() { "(not given)".into() } else { escape_controls(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_why_are_one_line_that_no_terminal_obeys() {
        let order = KillOrder {
            by: "me\u{9b}31m".to_owned(),
            reason: "x \u{1b}]0;pwned\u{7}\nhealth       healthy".to_owned(),
            ..KillOrder::default()
        };
        assert_eq!(order.given(), "by me\\u{9b}31m: x \\u{1b}]0;pwned\\u{7}\\nhealth       healthy");
    }

    #[test]
    fn the_switch_stops_what_it_names_and_unknown_stops_all() {
        let service: ServiceId = "shop/checkout".parse().unwrap();
        let other: ServiceId = "shop/search".parse().unwrap();
        let order = KillOrder {
            services: [service.clone()].into(),
            classes: [ActionClass::Rollout].into(),
            ..KillOrder::default()
        };
        let state = KillState::readable(order);
        assert!(state.stops(&service, ActionClass::Scale).is_some());
        assert!(state.stops(&other, ActionClass::Scale).is_none());
        assert!(state.stops(&other, ActionClass::Rollout).is_some());
        assert!(KillState::released().stops(&service, ActionClass::Scale).is_none());
        for unknown in [
            KillState::Unreadable { error: "is empty".to_owned() },
            KillState::Missing { error: "no such file".to_owned() },
        ] {
            assert!(unknown.stops(&other, ActionClass::Scale).is_some() && unknown.stops_all());
        }
        assert!(!KillState::released().stops_all());
    }
}
