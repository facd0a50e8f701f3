//! Functions that no rule calls. What rules read is checked where each rule is built; an unknown name read only by an
//! uncalled function would surface only with the first rule that calls it.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Engine, Expr, FnPtr, Position, Stmt};

use crate::decide::apart::body_of;
use crate::decide::api::signal::{VIEWS, WINDOW_VIEWS};
use crate::decide::api::target::{COUNTS, NEEDS};
use crate::decide::compile::parse;
use crate::decide::fault::PolicyFault;
use crate::decide::vocabulary::{REGION, RESERVED, Vocabulary};
use crate::model::explain::did_you_mean;

/// What functions call the service by convention, as rules do.
const SERVICE: &str = "s";
/// A function of a file.
struct Function {
    name: String,
    calls: BTreeSet<String>,
    /// What it reads from its argument `s`, and where.
    reads: Vec<(String, Position)>,
}

/// Returns a fault for each undeclared name that is read from the service in code that no rule reaches.
pub(super) fn find(scripts: &[(&str, &str)], engine: &Engine, vocabulary: &Vocabulary) -> Vec<PolicyFault> {
    let signals = || vocabulary.iter().map(|(name, _)| name.as_str());
    let bases = signals().filter_map(|name| Some(name.split_once(REGION)?.0));
    // A function may also name a signal, a window or a target `s`.
    let views = [&VIEWS[..], &WINDOW_VIEWS, &COUNTS, &NEEDS].concat();
    let known: BTreeSet<&str> = signals().chain(bases).chain(RESERVED).chain(views).collect();
    // Analysing files is slow, and hardly ever needed.
    if scripts.iter().all(|(_, text)| named(text).all(|name| known.contains(name))) {
        return Vec::new();
    }
    let asts: Vec<_> =
        scripts.iter().filter_map(|(path, text)| Some((*path, parse(engine, path, text).ok()?))).collect();
    let functions: Vec<(&str, Function)> =
        asts.iter().flat_map(|(path, ast)| functions_of(ast).into_iter().map(|function| (*path, function))).collect();
    let reached = reached(&asts, &functions);
    let there: Vec<&str> = signals().chain(RESERVED).collect();
    let mut faults = Vec::new();
    for (path, function) in functions.iter().filter(|(_, function)| !reached.contains(&function.name)) {
        for (name, position) in function.reads.iter().filter(|(name, _)| !known.contains(name.as_str())) {
            let meant = did_you_mean(name, &there);
            let message = format!(
                "unknown signal `{name}` in function `{}`, which no rule calls; known: {}, others are declared under \
                 `signals` in the settings{meant}; use `s` only for the service",
                function.name,
                there.join(", ")
            );
            faults.push(PolicyFault::at(path, *position, message));
        }
    }
    faults
}

/// Returns the names that follow an `s.` in a text, comments included.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.match_indices("s.").filter_map(move |(at, found)| {
        let (before, after) = (text.get(..at)?, text.get(at.saturating_add(found.len())..)?);
        let end = after.find(|letter| !is_part(letter)).unwrap_or(after.len());
        (!before.ends_with(is_part)).then(|| after.get(..end))?.filter(|name| !name.is_empty())
    })
}

/// Returns the names of the functions called from the top level of a file, including rule bodies, and by those
/// functions.
fn reached(asts: &[(&str, AST)], functions: &[(&str, Function)]) -> BTreeSet<String> {
    let mut by_name: BTreeMap<&str, Vec<&Function>> = BTreeMap::new();
    for (_, function) in functions {
        by_name.entry(&function.name).or_default().push(function);
    }
    let mut open: Vec<String> =
        asts.iter().flat_map(|(_, ast)| ast.statements()).flat_map(|statement| look(statement).0).collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = open.pop() {
        let called = by_name.get(name.as_str()).into_iter().flatten();
        let further: Vec<String> = called.flat_map(|function| function.calls.iter().cloned()).collect();
        if reached.insert(name) {
            open.extend(further);
        }
    }
    reached
}

fn functions_of(ast: &AST) -> Vec<Function> {
    let function = |name: &str, arguments: &[&str]| {
        let (mut calls, mut reads) = (BTreeSet::new(), Vec::new());
        for statement in body_of(ast, name, arguments.len()) {
            let (called, read) = look(&statement);
            calls.extend(called);
            reads.extend(read.into_iter().filter(|_| arguments.contains(&SERVICE)));
        }
        Function { name: name.to_owned(), calls, reads }
    };
    ast.iter_functions().map(|declared| function(declared.name, &declared.params)).collect()
}

/// Returns the functions that a statement calls, and what it reads from `s`.
fn look(statement: &Stmt) -> (BTreeSet<String>, Vec<(String, Position)>) {
    let (mut calls, mut reads) = (BTreeSet::new(), Vec::new());
    statement.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(
                ASTNode::Stmt(Stmt::FnCall(call, _)) | ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)),
            ) => drop(calls.insert(call.name.to_string())),
            // A function as a value: the body of a rule is one.
            Some(ASTNode::Expr(Expr::DynamicConstant(value, _))) => {
                calls.extend(value.read_lock::<FnPtr>().map(|pointer| pointer.fn_name().to_owned()));
            }
            // Passed by name.
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) => drop(calls.insert(variable.1.to_string())),
            Some(ASTNode::Expr(Expr::Dot(pair, ..))) => {
                let is_service = matches!(&pair.lhs, Expr::Variable(variable, ..) if variable.1 == SERVICE);
                reads.extend(property(&pair.rhs).filter(|_| is_service));
            }
            _ => {}
        }
        true
    });
    (calls, reads)
}

/// Returns the first property after a dot.
fn property(expression: &Expr) -> Option<(String, Position)> {
    match expression {
        Expr::Property(property, position) => Some((property.2.to_string(), *position)),
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => property(&pair.lhs),
        _ => None,
    }
}
