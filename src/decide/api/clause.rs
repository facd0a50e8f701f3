//! Clauses: the elements of a rule's list.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use rhai::{Array, Dynamic, Engine, NativeCallContext, Position};

use crate::decide::api::quantity::{ScriptResult, type_word};
use crate::decide::plan::action::Wanted;
use crate::decide::plan::condition::Condition;
use crate::model::controls::is_unprintable;

/// How deep lists may be nested: a helper function's list inside a rule's list, and some room.
const MAX_NESTING: usize = 4;

/// Longest note, bytes.
const MAX_NOTE: usize = 512;
/// Most notes of a rule.
const MAX_NOTES: usize = 16;

/// One clause of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Clause {
    /// `when` or `unless`.
    Condition { condition: Condition, negated: bool },
    /// What to do, and where the action is written.
    Act(Wanted, Position),
    /// A note by the author.
    Note(Arc<str>),
}

/// A clause as scripts pass it around, with its number in the [`Book`].
#[derive(Debug, Clone)]
pub(crate) struct Written {
    clause: Clause,
    number: usize,
}

/// Every clause that a rule has written, wherever it ended up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Vec<Entry>>>);

/// The word of a clause and its position.
#[derive(Debug)]
struct Entry {
    word: &'static str,
    position: Position,
    file: Option<String>,
}

/// Why a rule is invalid, and where, if not in the rule as a whole.
#[derive(Debug)]
pub(crate) struct Unsound {
    pub(crate) message: String,
    pub(crate) position: Position,
    pub(crate) file: Option<String>,
}

impl Unsound {
    fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: Position::NONE, file: None }
    }
}

impl Book {
    /// Records a clause.
    pub(crate) fn enter(&self, word: &'static str, context: &NativeCallContext<'_>, clause: Clause) -> Written {
        let mut written = self.0.lock();
        let file = context.call_source().map(str::to_owned);
        written.push(Entry { word, position: context.call_position(), file });
        Written { clause, number: written.len() - 1 }
    }

    /// Forgets the clauses of earlier rules.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

/// A rule's list, sorted by kind.
#[derive(Debug, Default)]
struct Clauses {
    conditions: Vec<(Condition, bool)>,
    action: Option<(Wanted, Position)>,
    notes: Vec<Arc<str>>,
    /// Numbers of the clauses in the list.
    listed: BTreeSet<usize>,
}

/// What a rule evaluates to.
#[derive(Debug)]
pub(crate) struct Body {
    /// Conditions and whether they are negated.
    pub(crate) conditions: Vec<(Condition, bool)>,
    pub(crate) action: Wanted,
    /// Position of the action.
    pub(crate) position: Position,
    pub(crate) notes: Vec<Arc<str>>,
}

impl Body {
    /// Reads the list that a rule or limit returned; `book` holds the clauses it wrote.
    ///
    /// # Errors
    /// All problems: elements that are not clauses, an action without a condition (only limits may omit conditions),
    /// not exactly one action, clauses that were written but are not in the list.
    pub(crate) fn read(list: Array, is_limit: bool, book: &Book) -> Result<Self, Vec<Unsound>> {
        let mut clauses = Clauses::default();
        let mut wrong = Vec::new();
        clauses.add(list, MAX_NESTING, &mut wrong);
        let Clauses { conditions, action, notes, listed } = clauses;
        let mut wrong: Vec<_> = wrong.into_iter().map(Unsound::whole).collect();
        let written = book.0.lock();
        let lost = (0..).zip(&*written).filter(|(number, _)| !listed.contains(number)).map(|(_, entry)| Unsound {
            message: format!(
                "{}(..) is not in the list that the rule returns, so it has no effect: add it to the list, or delete \
                 it",
                entry.word
            ),
            position: entry.position,
            file: entry.file.clone(),
        });
        // Neither check makes sense for a list with foreign elements or missing clauses.
        wrong.extend(lost);
        let whole = wrong.is_empty();
        let forbids = action.as_ref().is_some_and(|(action, _)| action.strictest().is_some());
        if whole && conditions.is_empty() && !forbids && !is_limit {
            wrong.push(Unsound::whole("it would always act: add a when(..)"));
        }
        if whole && action.is_none() {
            wrong.push(Unsound::whole(if is_limit {
                "it forbids nothing: add veto(\"lower\", \"why\") or cap(20)"
            } else {
                "it does nothing: add an action, such as scale_by(1.5)"
            }));
        }
        match action {
            Some((action, position)) if wrong.is_empty() => Ok(Self { conditions, action, position, notes }),
            _ => Err(wrong),
        }
    }

    /// Returns why an element does not belong in the list of a rule; `None` if it does. Positions count from 0.
    pub(crate) fn misplaced(element: Dynamic, position: usize) -> Option<String> {
        let mut clauses = Clauses::default();
        if !element.is_array() {
            return clauses.add_one(element, position).err();
        }
        let mut wrong = Vec::new();
        clauses.add(element.into_array().unwrap_or_default(), MAX_NESTING, &mut wrong);
        wrong.into_iter().next()
    }
}

impl Clauses {
    /// Adds a list, and appends to `wrong` what does not belong there.
    fn add(&mut self, list: Array, nesting: usize, wrong: &mut Vec<String>) {
        for (position, element) in list.into_iter().enumerate() {
            match nesting.checked_sub(1) {
                _ if !element.is_array() => wrong.extend(self.add_one(element, position).err()),
                Some(deeper) => self.add(element.into_array().unwrap_or_default(), deeper, wrong),
                None => wrong.push("its lists are nested too deeply".to_owned()),
            }
        }
    }

    fn add_one(&mut self, element: Dynamic, position: usize) -> Result<(), String> {
        let word = type_word(&element);
        let written = element.try_cast::<Written>();
        self.listed.extend(written.as_ref().map(|written| written.number));
        match written.map(|written| written.clause) {
            Some(Clause::Condition { condition, negated }) => self.conditions.push((condition, negated)),
            Some(Clause::Note(text)) if self.notes.len() < MAX_NOTES => self.notes.push(text),
            Some(Clause::Note(_)) => {
                return Err(format!(
                    "it has more than {MAX_NOTES} notes, which are written to every record: merge some"
                ));
            }
            Some(Clause::Act(wanted, at)) if self.action.is_none() => self.action = Some((wanted, at)),
            Some(Clause::Act(..)) => {
                return Err("it has two actions, a rule has one: split it into two rules".to_owned());
            }
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

fn note(text: &str) -> ScriptResult<Clause> {
    if text.trim().is_empty() || text.len() > MAX_NOTE {
        let length = text.len();
        return Err(format!(
            "note: it has {length} bytes, expected 1 to {MAX_NOTE}, since it is written to every record"
        )
        .into());
    }
    if text.contains(is_unprintable) {
        return Err(
            "note: it contains a line break or another control character, expected one line of plain text".into()
        );
    }
    Ok(Clause::Note(text.into()))
}

/// Registers the clauses that are not actions.
pub(crate) fn register(engine: &mut Engine, book: &Book) {
    engine.register_type_with_name::<Written>("clause");
    for (word, negated) in [("when", false), ("unless", true)] {
        let book = book.clone();
        engine.register_fn(word, move |context: NativeCallContext, condition: Condition| {
            book.enter(word, &context, Clause::Condition { condition, negated })
        });
    }
    let book = book.clone();
    engine.register_fn("note", move |context: NativeCallContext, text: &str| -> ScriptResult<Written> {
        Ok(book.enter("note", &context, note(text)?))
    });
    for name in ["param", "rule", "limit", "otherwise"] {
        let refuse = move || -> ScriptResult<Written> {
            Err(format!("{name}(..) belongs at the top level of the file, not in a rule").into())
        };
        engine.register_fn(name, move |_: Dynamic| refuse());
        engine.register_fn(name, move |_: Dynamic, _: Dynamic| refuse());
        engine.register_fn(name, move |_: Dynamic, _: Dynamic, _: Dynamic| refuse());
    }
}
