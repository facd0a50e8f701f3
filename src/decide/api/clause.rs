//! Clauses: what the list of a rule is made of.

use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, Position};

use crate::decide::api::quantity::type_word;
use crate::decide::plan::action::Wanted;
use crate::decide::plan::condition::Condition;

/// How deep lists may be nested: a helper function's list inside a rule's list, and some room.
const MAX_NESTING: usize = 4;

/// One clause of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Clause {
    /// `when` or `unless`.
    Condition { condition: Condition, negated: bool },
    /// What to do, and where that stands.
    Act(Wanted, Position),
    /// Words of the author.
    Note(Arc<str>),
}

/// A rule's list, sorted by kind.
#[derive(Debug, Default)]
struct Clauses {
    conditions: Vec<(Condition, bool)>,
    action: Option<(Wanted, Position)>,
    notes: Vec<Arc<str>>,
}

/// What a rule comes to.
#[derive(Debug)]
pub(crate) struct Body {
    /// Conditions and whether they are negated.
    pub(crate) conditions: Vec<(Condition, bool)>,
    pub(crate) action: Wanted,
    /// Where the action stands.
    pub(crate) position: Position,
    pub(crate) notes: Vec<Arc<str>>,
}

impl Body {
    /// Reads what a rule returned.
    ///
    /// # Errors
    /// When it holds something else than clauses, no condition, or not exactly one action.
    pub(crate) fn read(list: Array) -> Result<Self, String> {
        let mut clauses = Clauses::default();
        clauses.add(list, MAX_NESTING)?;
        let Clauses { conditions, action, notes } = clauses;
        if conditions.is_empty() {
            return Err("it would always act: add a when(..)".to_owned());
        }
        let (action, position) = action.ok_or("it does nothing: add an action, such as scale_by(1.5)")?;
        Ok(Self { conditions, action, position, notes })
    }
}

impl Clauses {
    fn add(&mut self, list: Array, nesting: usize) -> Result<(), String> {
        for (position, element) in list.into_iter().enumerate() {
            if element.is_array() {
                let deeper = nesting.checked_sub(1).ok_or("its lists are nested too deeply")?;
                self.add(element.into_array().unwrap_or_default(), deeper)?;
                continue;
            }
            self.add_one(element, position)?;
        }
        Ok(())
    }

    fn add_one(&mut self, element: Dynamic, position: usize) -> Result<(), String> {
        let word = type_word(&element);
        match element.try_cast::<Clause>() {
            Some(Clause::Condition { condition, negated }) => self.conditions.push((condition, negated)),
            Some(Clause::Note(text)) => self.notes.push(text),
            Some(Clause::Act(wanted, at)) if self.action.is_none() => self.action = Some((wanted, at)),
            Some(Clause::Act(..)) => return Err("it has two actions, a rule has one: make two rules".to_owned()),
            None => {
                let number = position.saturating_add(1);
                return Err(format!(
                    "element {number} is {word}, expected when(..), unless(..), note(..) or an action"
                ));
            }
        }
        Ok(())
    }
}

/// Adds the clauses that are no actions.
pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Clause>("clause");
    engine.register_fn("when", |condition: Condition| Clause::Condition { condition, negated: false });
    engine.register_fn("unless", |condition: Condition| Clause::Condition { condition, negated: true });
    engine.register_fn("note", |text: &str| Clause::Note(text.into()));
    for name in ["param", "rule", "limit", "otherwise"] {
        let refuse = move || -> Result<Clause, Box<EvalAltResult>> {
            Err(format!("{name}(..) belongs to the top level of the file, not into a rule").into())
        };
        engine.register_fn(name, move |_: Dynamic| refuse());
        engine.register_fn(name, move |_: Dynamic, _: Dynamic| refuse());
        engine.register_fn(name, move |_: Dynamic, _: Dynamic, _: Dynamic| refuse());
    }
}
