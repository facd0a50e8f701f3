//! Who else sets the replicas of a target, and which lever that leaves.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action::{Action, Knob};
use super::spec::Bounds;
use super::target::TargetState;

/// What else scales a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Autoscaling {
    /// Nothing: the replicas are set directly.
    #[default]
    Nobody,
    /// One autoscaler. Its floor is changed and it remains in charge above the floor: a value set on the target itself
    /// would be reverted at its next sync.
    Autoscaler(Autoscaler),
    /// Something that flyball cannot scale alongside: nothing is written.
    Closed {
        /// What, by name.
        why: String,
    },
}

/// An autoscaler as the cluster reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Autoscaler {
    /// Its name, in the namespace of the target.
    pub name: Arc<str>,
    /// Identity across re-creation under the same name.
    pub uid: String,
    /// Replicas below which it never goes (`spec.minReplicas`).
    pub floor: u32,
    /// The floor before flyball first raised it, else the current one. flyball never goes below it.
    pub baseline: u32,
    /// Replicas above which it never goes (`spec.maxReplicas`).
    pub ceiling: u32,
    /// Replicas it has counted.
    pub current: u32,
    /// Replicas it wants.
    pub desired: u32,
    /// The field manager that last set the floor, if the object names one.
    pub owner: Option<Arc<str>>,
    /// Why it does not scale, as it reports; `None` if it does.
    pub trouble: Option<String>,
}

/// What a change of the floor records besides its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FloorOf {
    /// Name of the autoscaler.
    pub autoscaler: Arc<str>,
    /// The floor to which a lowering returns at most.
    pub baseline: u32,
}

/// What is turned to change the replicas of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lever<'a> {
    /// The replicas themselves, or the floor of an autoscaler.
    pub knob: Knob,
    /// Identity of the object that carries it.
    pub uid: &'a str,
    /// Its value.
    pub value: u32,
    /// Desired replicas: what an autoscaler derived from its floor, at least the floor itself.
    pub asked: u32,
    /// The field manager that last set it, if the object names one.
    pub owner: Option<&'a Arc<str>>,
}

impl Lever<'_> {
    /// Returns the counts (lowest, highest) between which `action` changes nothing: above it raises, below it lowers.
    /// `None` for an action that this lever does not serve.
    ///
    /// Replicas that an autoscaler runs above its floor are neither requested nor kept from being removed.
    pub fn rest(&self, action: &Action) -> Option<(u32, u32)> {
        match action {
            Action::ScaleBy { .. } | Action::ScaleTo { .. } => Some((self.value, self.asked)),
            Action::SetAutoscalerFloor { .. } if self.knob == Knob::AutoscalerFloor => Some((self.value, self.value)),
            _ => None,
        }
    }
}

impl Action {
    /// Returns whether anything can carry it out on `target`: so far only actions that set a count. If the target is
    /// unknown, the kind of the action decides.
    pub fn has_lever(&self, target: Option<&TargetState>) -> bool {
        match target {
            Some(target) => target.lever().rest(self).is_some(),
            None => self.knob().sets_count(),
        }
    }
}

/// What an action does to the count of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// More of them.
    Raise {
        /// Currently desired replicas.
        from: u32,
    },
    /// Fewer of them.
    Lower {
        /// Present value of what is turned: the replicas, or the floor of their autoscaler.
        from: u32,
    },
    /// Nothing that has to be turned.
    Still,
    /// The action is not about replicas.
    Other,
    /// Unknown, because the present count is.
    Unknown,
}

impl Motion {
    /// Returns what `action` does to the replicas of `target`.
    pub fn of(action: &Action, target: Option<&TargetState>) -> Self {
        if !action.knob().sets_count() {
            return Self::Other;
        }
        let Some(lever) = target.map(TargetState::lever) else { return Self::Unknown };
        let Some((low, high)) = lever.rest(action) else { return Self::Other };
        match action.wanted_replicas(lever.asked) {
            Some(wanted) if wanted > high => Self::Raise { from: high },
            Some(wanted) if wanted < low => Self::Lower { from: low },
            Some(_) | None => Self::Still,
        }
    }
}

impl TargetState {
    /// Returns the autoscaler whose floor is moved, if the target has one.
    pub fn autoscaler(&self) -> Option<&Autoscaler> {
        match &self.autoscaling {
            Autoscaling::Autoscaler(autoscaler) => Some(autoscaler),
            Autoscaling::Nobody | Autoscaling::Closed { .. } => None,
        }
    }

    /// Returns who else scales the target so that no lever is left, if so.
    pub fn closed(&self) -> Option<&str> {
        match &self.autoscaling {
            Autoscaling::Closed { why } => Some(why),
            Autoscaling::Nobody | Autoscaling::Autoscaler(_) => None,
        }
    }

    /// Returns what is turned to change the replicas.
    pub fn lever(&self) -> Lever<'_> {
        match self.autoscaler() {
            Some(one) => Lever {
                knob: Knob::AutoscalerFloor,
                uid: &one.uid,
                value: one.floor,
                asked: self.replicas.max(one.floor),
                owner: one.owner.as_ref(),
            },
            None => Lever {
                knob: Knob::Replicas,
                uid: &self.uid,
                value: self.replicas,
                asked: self.replicas,
                owner: self.owner.as_ref(),
            },
        }
    }

    /// Returns the desired replicas, as set by whatever scales the target.
    pub fn asked(&self) -> u32 {
        self.lever().asked
    }

    /// Returns the bounds of the owner inside those of the autoscaler: not below its baseline, not above its ceiling.
    pub fn bounds(&self, bounds: Bounds) -> Bounds {
        self.autoscaler()
            .map_or(bounds, |one| Bounds { min: bounds.min.max(one.baseline), max: bounds.max.min(one.ceiling) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(replicas: u32, floor: Option<u32>) -> TargetState {
        let autoscaler = |floor| Autoscaler {
            name: "hpa".into(),
            uid: "h".to_owned(),
            floor,
            baseline: 2,
            ceiling: 12,
            current: replicas,
            desired: replicas,
            owner: None,
            trouble: None,
        };
        TargetState {
            autoscaling: floor.map_or(Autoscaling::Nobody, |floor| Autoscaling::Autoscaler(autoscaler(floor))),
            ..TargetState::calm("u", replicas)
        }
    }

    #[test]
    fn the_lever_is_what_stands_on_the_target() {
        let (alone, behind, ahead) = (target(5, None), target(5, Some(3)), target(5, Some(8)));
        let shown = |target: &TargetState| {
            let lever = target.lever();
            (lever.knob, lever.uid.to_owned(), lever.value, lever.asked)
        };
        assert_eq!(shown(&alone), (Knob::Replicas, "u".to_owned(), 5, 5));
        assert_eq!(shown(&behind), (Knob::AutoscalerFloor, "h".to_owned(), 3, 5));
        // It was raised, and the autoscaler has not synced since.
        assert_eq!(shown(&ahead), (Knob::AutoscalerFloor, "h".to_owned(), 8, 8));
        let by = Action::ScaleBy { factor: 2.0 };
        let floor = Action::SetAutoscalerFloor { replicas: 4 };
        let rests = |target: &TargetState| (target.lever().rest(&by), target.lever().rest(&floor));
        assert_eq!(rests(&alone), (Some((5, 5)), None));
        assert_eq!(rests(&behind), (Some((3, 5)), Some((3, 3))));
    }

    #[test]
    fn bounds_lie_inside_those_of_the_autoscaler() {
        let bounds = |min, max| Bounds { min, max };
        assert_eq!(target(5, None).bounds(bounds(1, 20)), bounds(1, 20));
        assert_eq!(target(5, Some(3)).bounds(bounds(1, 20)), bounds(2, 12));
        assert_eq!(target(5, Some(3)).bounds(bounds(4, 9)), bounds(4, 9));
    }
}
