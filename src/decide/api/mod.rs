//! The policy language: script functions that build the trees of [`plan`](crate::decide::plan).
//!
//! A rule's control flow cannot depend on data: numbers reach scripts only as quantities and flags only as conditions,
//! neither of which turns into a bool, a number or a text. So a rule is called once, at load, and what it returns is
//! the rule from then on. No script runs in a decision.
//!
//! | file | words of the language |
//! |---|---|
//! | [`quantity`] | `pct ms secs mins rps usd_per_hour`, `> >= < <=`, `max min + - *`, `.or(..)` |
//! | [`signal`] | `s.<name>`, its views and windows, declared flags, regions, `.needs_replicas(..)` |
//! | [`target`] | `s.replicas`, `s.capacity`, `s.rollout` and the other flags of the target |
//! | [`params`] | `param`, `p` |
//! | [`condition`] | `all any ! .or(..) .held_for(..)` |
//! | [`clause`] | `when unless note` |
//! | [`action`] | `scale_by scale_to ..`: the catalogue |
//! | [`span`] | `"2m"` |
//! | [`fields`] | `#{ .. }` |

use rhai::Engine;

use crate::decide::plan::condition::Condition;
use crate::decide::plan::parameter::Parameter;
use crate::decide::plan::quantity::Quantity;
use crate::decide::vocabulary::Vocabulary;

pub(crate) mod action;
pub(crate) mod clause;
pub(crate) mod condition;
pub(crate) mod fields;
pub(crate) mod params;
pub(crate) mod quantity;
pub(crate) mod signal;
pub(crate) mod span;
pub(crate) mod target;

/// Registers the whole language of rules; every clause is recorded in `book`.
pub(crate) fn register(engine: &mut Engine, vocabulary: &Vocabulary, parameters: &[Parameter], book: &clause::Book) {
    quantity::register_units(engine);
    quantity::register_operators(engine);
    signal::register(engine, vocabulary);
    target::register(engine);
    params::register(engine, parameters);
    condition::register(engine);
    clause::register(engine, book);
    action::register(engine, book);
    condition::refuse_comparisons::<Quantity>(engine, "a quantity");
    condition::refuse_comparisons::<Condition>(engine, "a condition");
    condition::refuse_comparisons::<signal::Signal>(engine, "a signal without a view (.current, .mean, .predicted)");
    condition::refuse_comparisons::<signal::Window>(engine, "a window without a view (.mean, .p99, .max, .change)");
    condition::refuse_comparisons::<signal::Regional>(engine, "a signal without a region");
    condition::refuse_comparisons::<signal::Service>(engine, "the service");
    condition::refuse_comparisons::<target::Replicas>(engine, "replicas without .current or .ready");
    condition::refuse_comparisons::<target::Sizing>(engine, "capacity without .needed_now, .needed_ahead or .floor");
    condition::refuse_comparisons::<params::Params>(engine, "the parameters");
    condition::refuse_comparisons::<clause::Written>(engine, "a clause");
}
