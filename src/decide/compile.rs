//! Compiles policy files to a policy set: all of them or none.
//!
//! Each file keeps its own AST and environment and is never merged with another, so helper functions of two files may
//! share a name. The top level of a file runs once and leaves parameters and rules; then every rule is called once and
//! leaves its conditions and its action. After that no script is needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{AST, Engine, Position, Shared};

use crate::decide::api;
use crate::decide::api::clause::{Body, Book};
use crate::decide::build::build;
use crate::decide::cost;
use crate::decide::declare::{Declarations, Imports, load};
use crate::decide::documents::{Documents, name_of};
use crate::decide::engine::{Deadline, MeteredEngine, RULE_OPERATIONS, standard_library};
use crate::decide::fault::{FaultKind, PolicyFault, RuleKind, listed};
use crate::decide::lint::names;
use crate::decide::plan::inputs::Texts;
use crate::decide::plan::parameter::Parameter;
use crate::decide::syntax::syntax_message;
use crate::decide::uncalled;
use crate::decide::vocabulary::Vocabulary;
use crate::model::explain::did_you_mean;
use crate::model::policy_path::{DATA_SUFFIX, is_for_tests, is_provenance};
use crate::model::{Goal, PolicyRevision, Provenance, ServiceSpec, SignalName};

/// Largest file, bytes.
const MAX_FILE: usize = 256 * 1024;
/// Largest set, bytes.
const MAX_SET: usize = 2 * 1024 * 1024;
/// Most files of a set.
const MAX_FILES: usize = 64;
/// Reason for doing nothing if the set gives none.
const OTHERWISE: &str = "no policy matched";

/// One rule of a set, ready to be evaluated.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) priority: i64,
    pub(super) goal: Goal,
    /// Path of its file.
    pub(super) file: Arc<str>,
    pub(super) position: Position,
    pub(super) body: Body,
    /// Positions of the parameters it depends on.
    pub(super) parameters: Vec<usize>,
    pub(super) backed_by_arrivals: bool,
}

impl Rule {
    /// Returns the signals that it reads.
    pub(super) fn signals(&self) -> Vec<SignalName> {
        let mut names = Vec::new();
        self.body.conditions.iter().for_each(|(condition, _)| condition.signals(&mut names));
        self.body.action.sizes().iter().for_each(|size| size.signals(&mut names));
        names
    }

    /// Returns a fault of the rule at a position of its file.
    pub(super) fn fault(&self, position: Position, message: impl Into<String>) -> PolicyFault {
        let kind = if self.is_limit() { RuleKind::Limit } else { RuleKind::Rule };
        PolicyFault::at(&self.file, position, message).within(kind, &self.name)
    }

    /// Returns whether it is a limit: it forbids and never requests an action.
    pub(super) fn is_limit(&self) -> bool {
        self.body.action.strictest().is_some()
    }
}

/// A checked policy set. Shared by all services and threads; holds no script.
#[derive(Debug)]
pub struct PolicySet {
    revision: PolicyRevision,
    provenance: Option<Arc<Provenance>>,
    pub(super) rules: Vec<Rule>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) otherwise: Arc<str>,
    /// Whether two matching rules are an error, as in Rego, rather than a matter of priority.
    pub(super) conflict_is_error: bool,
    pub(super) texts: Texts,
    /// The vocabulary it was compiled with.
    pub(super) words: Vocabulary,
}

impl PolicySet {
    /// Returns the revision of the set's content.
    pub fn revision(&self) -> &PolicyRevision {
        &self.revision
    }

    /// Returns where the set says it comes from, if it does.
    pub fn provenance(&self) -> Option<&Arc<Provenance>> {
        self.provenance.as_ref()
    }

    /// Returns the names of the rules, in path order, then in file order.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// Returns what is wrong with the values that a service sets for the parameters: unknown names, values out of
    /// range. Rules that read such a value fail for this service.
    pub fn faults_of(&self, service: &ServiceSpec) -> Vec<PolicyFault> {
        let known = |name: &str| self.parameters.iter().any(|parameter| &*parameter.name == name);
        let strange = service.parameters.keys().filter(|name| !known(name)).map(|name| {
            let names: Vec<_> = self.parameters.iter().map(|parameter| &*parameter.name).collect();
            let meant = did_you_mean(name, &names);
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("parameter `{name}` of {}: the set has no such parameter; known: {names}{meant}", service.id)
        });
        let wrong = self.parameters.iter().filter_map(|parameter| parameter.value_for(service).err());
        strange.chain(wrong.map(|fault| fault.to_string())).map(|message| PolicyFault::of("", message)).collect()
    }

    /// Returns each rule with the number of operations it takes per decision.
    pub fn costs(&self) -> impl Iterator<Item = (&str, usize)> {
        self.rules.iter().map(|rule| (&*rule.name, cost::of_rule(rule)))
    }

    /// Returns the rules whose action nothing can carry out.
    pub fn without_lever(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|rule| !rule.body.action.has_lever()).map(|rule| &*rule.name)
    }

    /// Returns the parameters that services may set.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
}

/// Compiles and checks a set of files, given as path and text. `expired` aborts it by returning what is used up; it is
/// checked before each file, while it is parsed, and every 64 operations.
///
/// # Errors
/// All faults found, in the order of files and lines; there is no set then.
pub fn compile<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    vocabulary: &Vocabulary,
    expired: &Deadline,
) -> Result<PolicySet, Vec<PolicyFault>> {
    let files: Vec<_> = files.into_iter().collect();
    let origins = files.iter().filter(|(path, _)| is_provenance(path)).map(|(_, text)| *text);
    let provenance = Provenance::read(origins).map(Arc::new);
    let mut sources: Vec<_> = files.into_iter().filter(|(path, _)| is_source(path)).collect();
    sources.sort_unstable();
    let too_large = check_sizes(&sources);
    if !too_large.is_empty() {
        return Err(too_large);
    }
    let (data, scripts): (Vec<_>, Vec<_>) = sources.iter().copied().partition(|(path, _)| path.ends_with(DATA_SUFFIX));
    let (documents, odd) = Documents::read(&data);
    let library = standard_library(&documents);
    let Declarations { rules, parameters, otherwise, conflicts, imports, mut faults, .. } =
        load(&scripts, &library, expired);
    let book = Book::default();
    let with = |imports: &Imports| {
        MeteredEngine::new(&library, RULE_OPERATIONS, expired, |engine| {
            api::register(engine, vocabulary, &parameters, &book);
            for (name, module) in imports {
                engine.register_static_module(name.as_str(), Shared::clone(module));
            }
        })
    };
    let plain = with(&Imports::new());
    // Import names belong to a file, static modules to an engine: each file with imports has its own engine.
    let importing: BTreeMap<_, _> = imports.iter().map(|(file, imports)| (Arc::clone(file), with(imports))).collect();
    // If a file did not load, a missing parameter may have been declared there.
    let complete = faults.is_empty() && odd.is_empty();
    let texts = Texts::new();
    let mut built = Vec::new();
    for declared in rules {
        let engine = importing.get(&declared.file).unwrap_or(&plain);
        match build(declared, engine, &book, &parameters, &texts) {
            Ok(rule) => built.push(rule),
            Err(wrong) => {
                faults.extend(
                    wrong
                        .into_iter()
                        .filter(|wrong| complete || wrong.kind.as_deref() != Some(&FaultKind::UnknownParameter)),
                );
            }
        }
    }
    // That a faulty document is not found is a consequence of its fault.
    let is_odd = |name: &str| odd.iter().any(|odd| name_of(&odd.file) == name);
    faults.retain(|fault| !matches!(fault.kind.as_deref(), Some(FaultKind::AbsentDocument(name)) if is_odd(name)));
    faults.extend(odd);
    faults.iter_mut().for_each(|fault| documents.name_members(fault, &scripts));
    if faults.is_empty() {
        faults.extend(uncalled::find(&scripts, plain.fresh(), vocabulary));
    }
    faults.extend(check_set(&built, faults.is_empty()));
    faults.extend(cost::too_dear(&built));
    if !faults.is_empty() {
        return Err(listed(faults));
    }
    let otherwise = otherwise.map_or_else(|| OTHERWISE.into(), |(text, _)| text);
    Ok(PolicySet {
        revision: PolicyRevision::of(sources),
        provenance,
        rules: built,
        parameters,
        otherwise,
        conflict_is_error: conflicts,
        texts,
        words: vocabulary.clone(),
    })
}

/// Returns a text without the byte order mark that some editors put in front.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Parses a file of a set.
///
/// # Errors
/// Names that are words of the language, syntax errors, or an unclosed comment.
pub(super) fn parse(engine: &Engine, path: &str, text: &str) -> Result<AST, Vec<PolicyFault>> {
    let taken = names::taken(path, text);
    if !taken.is_empty() {
        return Err(taken);
    }
    let mut ast = engine.compile(unmarked(text)).map_err(|error| {
        let position = error.position();
        vec![PolicyFault::at(path, position, syntax_message(error.err_type(), unmarked(text), position))]
    })?;
    // The engine treats the end of the text as the end of a comment, and so drops every rule that follows. Outside a
    // comment, `*/` is a syntax error.
    let ends_in_comment = text.contains("/*") && engine.compile(format!("{}\n*/", unmarked(text))).is_ok();
    if ends_in_comment {
        let (line, column) = names::unclosed(text).unzip();
        let message = "this comment is not closed, so everything after it is ignored: end it with `*/`";
        return Err(vec![PolicyFault { line, column, ..PolicyFault::of(path, message) }]);
    }
    ast.set_source(path);
    Ok(ast)
}

/// Returns whether a file of a set holds code (rules or a library) rather than data.
pub(super) fn is_source(path: &str) -> bool {
    !is_for_tests(path) && !is_provenance(path)
}

/// Reports that a set is empty, unless its rules just did not load.
fn check_set(rules: &[Rule], complete: bool) -> Option<PolicyFault> {
    let empty = complete && rules.is_empty();
    empty.then(|| PolicyFault::of("", "it has no rules; a policy set that never acts is refused, stop flyball instead"))
}

fn check_sizes(sources: &[(&str, &str)]) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    if sources.len() > MAX_FILES {
        faults.push(PolicyFault::of("", format!("it has {} files, the limit is {MAX_FILES}", sources.len())));
    }
    // In path order, so that two of one name are neighbours.
    for pair in sources.windows(2) {
        if let [(path, _), (next, _)] = pair
            && path == next
        {
            let message = "the set has two files with this name: rename one, and update its imports";
            faults.push(PolicyFault::of(path, message));
        }
    }
    for (path, text) in sources {
        if text.len() > MAX_FILE {
            faults.push(PolicyFault::of(path, format!("it has {} bytes, the limit is {MAX_FILE}", text.len())));
        }
    }
    let total: usize = sources.iter().map(|(_, text)| text.len()).sum();
    if total > MAX_SET {
        faults.push(PolicyFault::of("", format!("it has {total} bytes, the limit is {MAX_SET}")));
    }
    faults
}
