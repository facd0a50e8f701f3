//! The nouns shared by all stages. This module imports nothing else from the crate.
//!
//! In the order in which a sample meets them:
//!
//! | file | nouns |
//! |---|---|
//! | [`ids`] | services, cycles, traces, revisions |
//! | [`time`] | wall and monotonic time in one value, the minute grid |
//! | [`hash`] | a hash that is stable across versions |
//! | [`moment`] | points in time that may precede the start of the process |
//! | [`series`] | finite values, samples, typed absence, readings |
//! | [`signal`] | units, roles and declarations of signals |
//! | [`spec`] | one supervised service: target, bounds, objective, mode |
//! | [`guards`] | times and limits of the guards, as the owner sets them |
//! | [`target`] | the object that is scaled, as the cluster reports it |
//! | [`autoscaling`] | what else scales it, and the remaining lever |
//! | [`features`] | what the observe stage derives per tick |
//! | [`outlook`], `parts` | what the forecast stage expects; the parts of a forecast |
//! | [`action`] | the catalogue of everything flyball may want to do |
//! | [`evidence`] | which signals vouch for an action, and for how long |
//! | [`condition`] | one condition of a rule as it was evaluated |
//! | [`proposal`] | what the policies want, rule by rule |
//! | [`idle`] | why nothing is done |
//! | [`verdict`] | what the guards allow |
//! | [`change`], [`write_outcome`] | the resulting write and its intent; how it ended, and what that costs |
//! | [`foreseen`] | what was expected without the write, to measure it against |
//! | [`effect`] | what the write did |
//! | [`kill`] | the state of the kill switch |
//! | [`leadership`] | which process may write |
//! | [`record`] | one cycle, complete |
//! | [`mask`] | what records do not show |
//! | [`policy_path`] | what a file of a policy set is, by its path |
//! | [`provenance`] | where a policy set comes from |
//! | [`explain`] | a record, for people |
//! | [`build`] | the version of this flyball |

pub mod action;
pub mod autoscaling;
pub mod build;
pub mod change;
pub mod comparison;
pub mod condition;
pub mod controls;
pub mod effect;
pub mod evidence;
pub mod explain;
pub mod features;
pub mod foreseen;
pub mod guards;
pub mod hash;
pub mod idle;
pub mod ids;
pub mod kill;
pub mod leadership;
pub mod mask;
pub mod moment;
pub mod outlook;
mod parts;
pub mod policy_path;
pub mod proposal;
pub mod provenance;
pub mod record;
pub mod series;
pub mod signal;
pub mod smoothing;
pub mod spec;
pub mod target;
pub mod time;
pub mod verdict;
pub mod write_outcome;

pub use action::{Action, ActionClass, Direction, Knob};
pub use autoscaling::{Autoscaler, Autoscaling, FloorOf, Lever, Motion};
pub use change::{Cause, ChangeId, ChangeSet, Intent, Revert, WriteEnd};
pub use comparison::{CandidateDecision, Difference, PolicyComparison};
pub use condition::{Combination, ConditionTrace, Truth, UNDECLARED, UNSEEN_PAST};
pub use effect::{CONVERGE_WITHIN, Convergence, Effect, Impact, Measured};
pub use evidence::Evidence;
pub use features::{Features, MinuteValue, SignalFeatures};
pub use foreseen::{Band, Foreseen};
pub use guards::{GuardParams, ParamFault};
pub use idle::{Idle, Obstacle};
pub use ids::{CycleId, DecisionId, PolicyRevision, ServiceId, TraceId};
pub use kill::{KILL_READ_HOLDS, KillState};
pub use leadership::{Epoch, LANDS_WITHIN, Lead, WRITE_MARGIN};
pub use mask::{MASKED, RecordMask};
pub use moment::Moment;
pub use outlook::{AnomalyKind, Authority, Capacity, HORIZONS, Outlook, QUANTILES, Readiness, SignalOutlook};
pub use proposal::{Choice, Goal, Limit, Proposal, RETURN_FLOOR, RuleOutcome, RuleTrace, UNDO, Vetoed};
pub use provenance::{PROVENANCE_FILE, Provenance};
pub use record::DecisionRecord;
pub use series::{Arrival, Finite, Missing, Reading, Sample};
pub use signal::{Role, SignalName, SignalSpec, SourceKind, Unit};
pub use smoothing::{Fitted, Smoothing};
pub use spec::{Bounds, Budgets, CapacitySpec, Mode, ServiceSpec, Slo};
pub use target::{Stuck, TargetKind, TargetReading, TargetRef, TargetState};
pub use time::{Minute, Now, Timestamp};
pub use verdict::{Finding, GuardFinding, GuardName, Verdict, VerdictKind};
pub use write_outcome::{Reach, Refusal, WriteOutcome, WriteTrace};
