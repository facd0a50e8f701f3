//! What can be wrong with a policy, and what Rhai's errors mean to its author.

use std::fmt;

use rhai::{Dynamic, EvalAltResult, Position};

use crate::decide::api::quantity::type_word;
use crate::decide::engine::Spent;
use crate::decide::reference::WORDS;
use crate::model::controls::escape_controls;
use crate::model::explain::did_you_mean;

/// Most faults listed of a set: a file of a quarter of a megabyte can have a hundred thousand, in log and status.
pub(super) const MOST_FAULTS: usize = 100;

/// One thing that is wrong with a policy set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct PolicyFault {
    /// Path of the file within the set; empty when it concerns the set as a whole.
    pub file: String,
    /// Line, from 1; `None` when it concerns the file as a whole.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// The rule or limit in which it was found.
    pub within: Option<(RuleKind, String)>,
    /// What is wrong and how to fix it.
    pub message: String,
    /// What it is about, if other faults may follow from that.
    pub kind: Option<Box<FaultKind>>,
}

/// Whether a declaration is a rule or a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    /// Requests an action.
    Rule,
    /// Forbids, and never requests an action.
    Limit,
}

/// What a fault is about: the loader of a set uses this, not the message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A parameter is read that no file declares.
    UnknownParameter,
    /// A document of this name is read that does not exist.
    AbsentDocument(String),
    /// A member of this name is read off a document or a map that does not have it.
    UnknownMember(String),
}

/// Returns the faults of a set in the order of files and lines, as many as are listed: those that were found first,
/// from which others may follow.
pub(super) fn listed(mut faults: Vec<PolicyFault>) -> Vec<PolicyFault> {
    let are_more = faults.len() > MOST_FAULTS;
    faults.truncate(MOST_FAULTS);
    faults.sort();
    if are_more {
        faults.push(PolicyFault::of("", "there are more faults than these: they are listed once these are fixed"));
    }
    faults
}

impl PolicyFault {
    /// Returns a fault at a position of a file.
    pub(super) fn at(file: &str, position: Position, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: position.line(),
            column: position.position(),
            within: None,
            message: message.into(),
            kind: None,
        }
    }

    /// Returns a fault for a script failure at a position of a file.
    pub(super) fn failed(file: &str, position: Position, failure: &Failure) -> Self {
        Self { kind: failure.kind(), ..Self::at(file, position, failure.to_string()) }
    }

    /// Attributes it to a rule or a limit.
    pub(super) fn within(self, kind: RuleKind, name: &str) -> Self {
        Self { within: Some((kind, name.to_owned())), ..self }
    }

    /// Returns a fault of a file as a whole, or of the set if `file` is empty.
    pub fn of(file: &str, message: impl Into<String>) -> Self {
        Self::at(file, Position::NONE, message)
    }

    /// Returns the rule or limit in which it was found, prefixed by which of the two it is.
    pub fn whose(&self) -> Option<String> {
        let word = |kind| match kind {
            RuleKind::Rule => "rule",
            RuleKind::Limit => "limit",
        };
        self.within.as_ref().map(|(kind, name)| format!("{} {}", word(*kind), escape_controls(name)))
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.file.is_empty() { "policy set".into() } else { escape_controls(&self.file) })?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        if let Some(whose) = self.whose() {
            write!(f, ": {whose}")?;
        }
        // Script messages and file names are not ours: escape them.
        write!(f, ": {}", escape_controls(&self.message))
    }
}

/// Why a rule could not be loaded or evaluated. Each text starts with the word that names its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The operation limit.
    #[error("operations: more than {limit} in one evaluation; remove the loop")]
    Operations {
        /// The limit.
        limit: u64,
    },
    /// The deadline of the load.
    #[error("deadline: loading the set took too long")]
    Deadline,
    /// The memory that the load may hold.
    #[error("limit: it uses too much memory")]
    Memory,
    /// A string, array or map grew too large.
    #[error("limit: {0}")]
    TooLarge(String),
    /// Calls nested too deeply.
    #[error("depth: calls are nested too deeply; remove the recursion")]
    TooDeep,
    /// An action outside its range.
    #[error("invalid action: {0}")]
    InvalidAction(String),
    /// A panic inside the engine.
    #[error("panic: the engine failed inside this rule")]
    Panic,
    /// A fault that the loader of the set interprets.
    #[error("{0}")]
    Told(Told),
    /// Anything else that the script did wrong.
    #[error("{0}")]
    Script(String),
}

/// An error of one of our functions, and what it is about. Scripts cannot catch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: FaultKind,
    pub(super) message: String,
}

impl From<Told> for Box<EvalAltResult> {
    fn from(told: Told) -> Self {
        EvalAltResult::ErrorRuntime(Dynamic::from(told), Position::NONE).into()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Failure {
    /// Returns whether a limit was exhausted, rather than one place being wrong: then the rest is not checked.
    pub(super) fn ends_all(&self) -> bool {
        !matches!(self, Self::Script(_) | Self::Told(_) | Self::InvalidAction(_))
    }

    fn kind(&self) -> Option<Box<FaultKind>> {
        match self {
            Self::Told(told) => Some(told.kind.clone().into()),
            _ => None,
        }
    }
}

impl From<Spent> for Failure {
    fn from(spent: Spent) -> Self {
        match spent {
            Spent::Time => Self::Deadline,
            Spent::Memory => Self::Memory,
        }
    }
}

/// Returns the error with which a native function aborts an evaluation that is over its limits, as the meter does.
pub(super) fn terminated(spent: Spent) -> EvalAltResult {
    EvalAltResult::ErrorTerminated(Dynamic::from(spent), Position::NONE)
}

/// Returns what an error of the engine means, and where it arose (the innermost known place).
pub(super) fn explain(error: &EvalAltResult, operations: u64) -> (Failure, Position) {
    let (failure, position, _) = explain_with_file(error, operations);
    (failure, position)
}

/// Like `explain`, with the file where the error arose if that is a library.
pub(super) fn explain_with_file(error: &EvalAltResult, operations: u64) -> (Failure, Position, Option<String>) {
    let (mut inner, mut position, mut file) = (error, error.position(), None);
    loop {
        let cause = match inner {
            EvalAltResult::ErrorInFunctionCall(_, source, cause, _) => {
                file = (!source.is_empty()).then(|| source.clone());
                cause
            }
            EvalAltResult::ErrorInModule(_, cause, _) => cause,
            _ => break,
        };
        inner = cause;
        position = inner.position().or_else(position);
    }
    let failure = match inner {
        EvalAltResult::ErrorTooManyOperations(_) => Failure::Operations { limit: operations },
        // The meter names what is used up, except for the operations that it counts itself.
        EvalAltResult::ErrorTerminated(token, _) => {
            token.clone().try_cast::<Spent>().map_or(Failure::Operations { limit: operations }, Failure::from)
        }
        EvalAltResult::ErrorSystem(..) => Failure::Panic,
        EvalAltResult::ErrorStackOverflow(_) => Failure::TooDeep,
        EvalAltResult::ErrorDataTooLarge(what, _) => Failure::TooLarge(too_large(what).to_owned()),
        EvalAltResult::ErrorTooManyVariables(_) => Failure::TooLarge("too many variables".to_owned()),
        EvalAltResult::ErrorTooManyModules(_) => Failure::TooLarge("too many imports".to_owned()),
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            let message = format!("{}{UNNAMED}", no_member(name));
            Failure::Told(Told { kind: FaultKind::UnknownMember(name.clone()), message })
        }
        EvalAltResult::ErrorRuntime(value, _) => {
            let told = value.clone().try_cast();
            told.map_or_else(|| Failure::Script(script_message(inner)), Failure::Told)
        }
        other => Failure::Script(script_message(other)),
    };
    (failure, position, file)
}

/// Returns what grew too large, from the engine's name for it.
fn too_large(what: &str) -> &'static str {
    match what.to_lowercase() {
        what if what.contains("string") => "a string grew too long",
        what if what.contains("map") => "a map grew too large",
        _ => "an array grew too large",
    }
}

/// Returns the start of the message about a missing member.
pub(super) fn no_member(name: &str) -> String {
    format!("it has no `{name}`")
}

/// End of the message about a missing member if the existing members are unknown.
pub(super) const UNNAMED: &str = ": check the content of the document or map";
/// Why a function, named or anonymous, sees only its own variables.
pub(super) const CAPTURED: &str =
    "it would be shared between services; pass it as an argument, or use param(..) or a function of the file";

/// Keywords that policies lack, and what to use instead.
pub(super) const DISABLED: [(&str, &str); 8] = [
    ("eval", "write the code itself"),
    ("export", "every function of a file below lib/ is public"),
    ("switch", "list conditions in when(..), any([..]) or all([..])"),
    ("curry", "limits would not apply to captured values; pass it where the function is called"),
    ("Fn", "name the function itself, or write |x| .."),
    ("try", "an error ends the rule and is shown"),
    ("print", "use note(\"..\")"),
    ("debug", "use note(\"..\")"),
];

fn script_message(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorRuntime(value, _) if value.is_string() => value.to_string(),
        // Spelled out, it would name types by their place in our source.
        EvalAltResult::ErrorRuntime(value, _) if value.is_map() || value.is_array() || value.is_variant() => {
            format!("it throws {}: throw a text that says what is wrong", type_word(value))
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => unknown_name(name),
        EvalAltResult::ErrorModuleNotFound(name, _) => {
            format!("no library `{name}`: import a file of the set below lib/, as in import \"lib/slo\" as slo")
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => unknown_function(signature),
        EvalAltResult::ErrorMismatchDataType(wanted, found, _) => match plain_type(found).as_str() {
            "condition" => {
                format!("a condition is not a {wanted}: list it in when(..), combine with all([..]), any([..]) or !")
            }
            found => format!("expected {wanted}, found {found}"),
        },
        EvalAltResult::ErrorMismatchOutputType(_, found, _) => {
            format!("the rule's body is a {}, expected a list of clauses [when(..), .., an action]", plain_type(found))
        }
        EvalAltResult::ErrorDotExpr(text, _) => text.clone(),
        other => {
            let mut plain = other.to_string();
            if let Some(end) = plain.rfind(" (line ") {
                plain.truncate(end);
            }
            plain
        }
    }
}

pub(super) fn unknown_name(name: &str) -> String {
    if matches!(name, "S" | "P") {
        return format!("unknown name `{name}`: did you mean `{}`?", name.to_lowercase());
    }
    if matches!(name, "s" | "p") {
        return format!(
            "`{name}` exists only inside a rule: rule(\"name\", #{{ .. }}, |s, p| [..]); pass it to a function as an \
             argument"
        );
    }
    if name == "not" {
        return "unknown name `not`: write unless(..), or `!` before the condition".to_owned();
    }
    if name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        return format!(
            "unknown name `{name}`: functions do not see the constants of their file, write a function instead"
        );
    }
    format!("unknown name `{name}`: a signal is read as `s.{name}`, a parameter as `p.{name}`")
}

/// Returns a type as policies know it; the engine reports some of ours by their Rust path.
fn plain_type(name: &str) -> String {
    name.rsplit("::").next().unwrap_or(name).to_lowercase()
}

/// Returns whether the signature is that of a method on this type.
fn of(signature: &str, type_name: &str) -> bool {
    let argument = signature.split_once('(').map_or("", |(_, arguments)| arguments);
    argument.strip_prefix(type_name).is_some_and(|rest| rest.starts_with([',', ')']))
}

/// Returns a signature with the types as policies know them.
fn plain_signature(signature: &str) -> String {
    signature.replace("&str | ImmutableString | String", "text")
}

fn unknown_function(signature: &str) -> String {
    // The engine's name for an anonymous function means nothing to its author.
    if let Some((_, arguments)) = signature.split_once(' ').filter(|_| signature.starts_with("anon$")) {
        let arguments = plain_signature(arguments);
        return format!("no function with parameters {arguments}: a rule takes |s, p| [..], a test || ..");
    }
    let signature = plain_signature(signature);
    let name = signature.split([' ', '(']).next().unwrap_or(&signature);
    let expects = name.starts_with("expect") || name == "because" || name == "margin_at_least";
    let hint = match name {
        "run" if of(&signature, "given") => ": time passes in a timeline(..); given(..) takes .decide()",
        "decide" if of(&signature, "timeline") => ": let time pass, timeline(..).run(\"1m\")",
        _ if expects && of(&signature, "given") => ": decide first, given(..).decide()",
        _ if expects && of(&signature, "timeline") => ": decide first, timeline(..).run(\"1m\")",
        "-" => ": write the sign inside, as in pct(-15)",
        "when" | "unless" => ": it takes a condition, such as s.cpu.current > pct(60), or a flag",
        "all" | "any" => ": it takes a list of conditions",
        "held_for" if !of(&signature, "condition") => {
            ": it follows a condition in parentheses, (s.cpu.current > pct(60)).held_for(\"2m\")"
        }
        _ => return format!("no function `{signature}`{}", spelling(name)),
    };
    format!("no function `{signature}`{hint}")
}

/// Returns how the function of this name is called, or which one has a similar name.
fn spelling(name: &str) -> String {
    let called = || WORDS.iter().flat_map(|word| calls(word.example));
    if let Some((_, call)) = called().find(|(known, _)| *known == name) {
        return format!(": it is called as `{call}`");
    }
    let names: Vec<&str> = called().map(|(known, _)| known).collect();
    did_you_mean(name, &names)
}

/// Returns the calls in an example, each with the name of the callee.
fn calls(example: &str) -> impl Iterator<Item = (&str, &str)> {
    example.match_indices('(').filter_map(|(open, _)| {
        let named = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let (before, after) = (&example[..open], &example[open..]);
        let begin = before.trim_end_matches(named).len();
        let mut depth = 0;
        let closes = |letter: char| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            depth == 0
        };
        let end = open + after.find(closes)? + 1;
        (begin < open).then(|| (&example[begin..open], &example[begin..end]))
    })
}
