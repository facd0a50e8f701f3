//! Conditions whose value is not used. `s.cpu.current > pct(60);` reads like one and does nothing, because its value is
//! dropped; so it is a fault, as is a `when(..)` outside the list, and a call of a function that only builds one. A
//! call with possible side effects, such as `list.push(..)` or a function that declares rules, is not a fault.

use std::collections::BTreeSet;

use rhai::{AST, ASTFlags, ASTNode, Expr, FnCallExpr, FnPtr, Position, Stmt};

use crate::decide::apart::body_of;
use crate::decide::fault::{MOST_FAULTS, PolicyFault};

/// Functions and operators that only build a condition from their arguments.
const CONDITIONS: [&str; 9] = [">", ">=", "<", "<=", "==", "!=", "!", "all", "any"];
/// The same for methods.
const METHODS: [&str; 3] = ["held_for", "or", "region"];
/// Functions called for their effect. A clause that is not in the list is reported where it is made.
const ACTING: [&str; 8] = ["rule", "limit", "param", "otherwise", "conflicts", "when", "unless", "note"];

/// A statement whose value may be dropped.
struct Dropped {
    place: Position,
    /// The statement of a function that contains it, if its value is the function's value when that statement is last.
    root: Option<Position>,
    /// The function of the file that it calls, if any.
    call: Option<String>,
}

/// Returns a fault for each statement of a file whose value is a condition, or part of one, and is dropped.
pub(super) fn dropped(path: &str, ast: &AST) -> Vec<PolicyFault> {
    let own: BTreeSet<_> = ast.iter_functions().map(|function| function.name.to_owned()).collect();
    // Looked up for every statement of the file.
    let top: BTreeSet<_> = ast.statements().iter().map(std::ptr::from_ref).collect();
    let mut found = Vec::new();
    // As many as are listed are enough.
    let mut certain = 0;
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(dropped) = look(path, &top, &own) {
            certain += usize::from(dropped.call.is_none() && dropped.root.is_none());
            found.push(dropped);
        }
        certain <= MOST_FAULTS
    });
    found.retain(|dropped| dropped.call.as_ref().is_none_or(|name| !acts(ast, name, &own, &mut BTreeSet::new())));
    // Analysing a file of many functions is slow, and hardly ever needed.
    if found.iter().any(|dropped| dropped.root.is_some()) {
        let bodies = ast.iter_functions().map(|function| body_of(ast, function.name, function.params.len()));
        let ends: Vec<_> = bodies.filter_map(|body| Some(body.last()?.position())).collect();
        found.retain(|dropped| dropped.root.is_none_or(|root| !ends.contains(&root)));
    }
    let mut places: Vec<_> = found.into_iter().map(|dropped| dropped.place).collect();
    places.sort_unstable();
    places.dedup();
    places.truncate(MOST_FAULTS + 1);
    let message =
        "the value of this expression is discarded and has no effect: put it in when(..) or unless(..), or delete it";
    places.into_iter().map(|position| PolicyFault::at(path, position, message)).collect()
}

/// Returns the statement at the end of a path if only its value could matter and that value is not used.
fn look(path: &[ASTNode<'_>], top: &BTreeSet<*const Stmt>, own: &BTreeSet<String>) -> Option<Dropped> {
    let (ASTNode::Stmt(root), ASTNode::Stmt(statement)) = (path.first()?, path.last()?) else { return None };
    let at_top = top.contains(&std::ptr::from_ref(*root));
    let mut call = None;
    if !states(statement) {
        let called = called(statement)?;
        let name = called.name.as_str();
        // The top level calls functions for their effect; library functions are all called for their result.
        if at_top || (called.namespace.is_empty() && !own.contains(name)) {
            return None;
        }
        call = called.namespace.is_empty().then(|| name.to_owned());
    }
    let place = statement.position();
    match is_taken(path) {
        Some(true) => None,
        Some(false) => Some(Dropped { place, root: None, call }),
        None => Some(Dropped { place, root: (!at_top).then(|| root.position()), call }),
    }
}

/// Returns whether the value of the node at the end of a path is used; `None` if it is the value of the statement that
/// the path starts with.
fn is_taken(path: &[ASTNode<'_>]) -> Option<bool> {
    for pair in path.windows(2).rev() {
        let [parent, node] = pair else { continue };
        let ends = |block: &[Stmt]| {
            let last = block.last();
            matches!((node, last), (ASTNode::Stmt(statement), Some(last)) if std::ptr::eq(*statement, last))
        };
        let passed_on = match (parent, node) {
            (ASTNode::Stmt(Stmt::Block(block)) | ASTNode::Expr(Expr::Stmt(block)), _) => ends(block.statements()),
            (ASTNode::Stmt(Stmt::If(flow, _)), ASTNode::Stmt(_)) => {
                ends(flow.body.statements()) || ends(flow.branch.statements())
            }
            (ASTNode::Stmt(Stmt::While(..) | Stmt::Do(..) | Stmt::For(..)), ASTNode::Stmt(_)) => false,
            (ASTNode::Stmt(Stmt::Expr(_) | Stmt::Switch(..)), _) => true,
            _ => return Some(true),
        };
        if !passed_on {
            return Some(false);
        }
    }
    None
}

/// Returns whether a function of the file does anything besides returning a value: it declares, makes clauses or
/// throws.
fn acts(ast: &AST, name: &str, own: &BTreeSet<String>, seen: &mut BTreeSet<String>) -> bool {
    if !seen.insert(name.to_owned()) {
        return false;
    }
    let mut function = ast.clone_functions_only();
    function.retain_functions(|_, _, other, _| other == name);
    let (mut acts_itself, mut calls) = (false, Vec::new());
    function.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Return(_, flags, _))) => acts_itself |= flags.intersects(ASTFlags::BREAK),
            Some(
                ASTNode::Stmt(Stmt::FnCall(call, _)) | ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)),
            ) => {
                acts_itself |= ACTING.contains(&call.name.as_str());
                calls.push(call.name.to_string());
            }
            // A closure.
            Some(ASTNode::Expr(Expr::DynamicConstant(value, _))) => {
                let pointer = value.read_lock::<FnPtr>();
                calls.extend(pointer.map(|pointer| pointer.fn_name().to_owned()));
            }
            _ => {}
        }
        true
    });
    acts_itself || calls.iter().any(|called| own.contains(called) && acts(ast, called, own, seen))
}

/// Returns whether a statement only states a condition, or something one can be built from.
fn states(statement: &Stmt) -> bool {
    match statement {
        Stmt::FnCall(call, _) => is_condition(call),
        Stmt::Expr(expression) => match &**expression {
            Expr::FnCall(call, _) => is_condition(call),
            Expr::Dot(pair, ..) => ends_in_condition(&pair.rhs),
            Expr::Array(..) | Expr::Map(..) | Expr::Variable(..) => true,
            _ => false,
        },
        _ => false,
    }
}

/// Returns the call that a statement consists of.
fn called(statement: &Stmt) -> Option<&FnCallExpr> {
    match statement {
        Stmt::FnCall(call, _) => Some(call),
        Stmt::Expr(expression) => match &**expression {
            Expr::FnCall(call, _) => Some(call),
            _ => None,
        },
        _ => None,
    }
}

fn ends_in_condition(expression: &Expr) -> bool {
    match expression {
        Expr::Property(..) => true,
        Expr::MethodCall(call, _) => METHODS.contains(&call.name.as_str()),
        Expr::Dot(pair, ..) => ends_in_condition(&pair.rhs),
        _ => false,
    }
}

fn is_condition(call: &FnCallExpr) -> bool {
    call.namespace.is_empty() && CONDITIONS.contains(&call.name.as_str())
}
