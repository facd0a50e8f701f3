//! Checks the clauses of a rule one by one. The engine stops a rule at its first error; the author needs to see all of
//! them.

use rhai::{AST, ASTNode, Array, Dynamic, Expr, Position, Scope, Shared, Stmt};

use crate::decide::api::clause::{Body, Book};
use crate::decide::api::params::Params;
use crate::decide::api::signal::Service;
use crate::decide::declare::Declared;
use crate::decide::engine::{MeteredEngine, RULE_OPERATIONS, guarded};
use crate::decide::fault::{Failure, explain_with_file};

/// Most clauses that are checked individually.
const MOST: usize = 64;

/// What is wrong with one clause, where, and in which file if that is a library.
pub(super) type Wrong = (Failure, Position, Option<String>);

/// Returns what is wrong with each clause of the list that a rule ends with; empty if the rule does not end with a
/// list. After a clause that exceeds its limits, the remaining ones are not checked.
pub(super) fn each(declared: &Declared, engine: &MeteredEngine, book: &Book) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (number, clause) in clauses(declared).unwrap_or_default().into_iter().enumerate() {
        book.clear();
        let engine = engine.fresh();
        let mut scope = arguments(declared);
        match guarded(|| engine.eval_ast_with_scope::<Array>(&mut scope, &clause)) {
            Ok(list) => found.extend(
                list.into_iter()
                    .filter_map(|element| Body::misplaced(element, number))
                    .map(|message| (Failure::Script(message), Position::NONE, None)),
            ),
            Err(error) => {
                let (failure, position, file) = explain_with_file(&error, RULE_OPERATIONS);
                let ends = failure.ends_all();
                found.push((failure, position, file));
                if ends {
                    break;
                }
            }
        }
    }
    found
}

/// Returns where a rule uses up its operations. The engine says only where the function with the loop is called, which
/// for the rule itself is nowhere in a file: so its statements run once more, without the function around them.
pub(super) fn place_of(declared: &Declared, engine: &MeteredEngine) -> Option<Position> {
    let statements = body_of(&declared.ast, declared.body.fn_name(), 2);
    let script = AST::new_with_source(statements, Shared::clone(declared.ast.shared_lib()), &*declared.file);
    let engine = engine.fresh();
    let error = guarded(|| engine.eval_ast_with_scope::<Dynamic>(&mut arguments(declared), &script)).err()?;
    let (failure, position, _) = explain_with_file(&error, RULE_OPERATIONS);
    (matches!(failure, Failure::Operations { .. }) && !position.is_none()).then_some(position)
}

/// Returns the service and the parameters under the names that the rule gives them.
fn arguments(declared: &Declared) -> Scope<'static> {
    let mut scope = Scope::new();
    let function = declared.ast.iter_functions().find(|function| function.name == declared.body.fn_name());
    if let Some([service, parameters]) = function.as_ref().map(|function| function.params.as_slice()) {
        scope.push((*service).to_owned(), Service);
        scope.push((*parameters).to_owned(), Params);
    }
    scope
}

/// Returns a script for each element of the list that builds it alone, after the statements before the list.
fn clauses(declared: &Declared) -> Option<Vec<AST>> {
    let statements = body_of(&declared.ast, declared.body.fn_name(), 2);
    let (last, before) = statements.split_last()?;
    let (Stmt::Expr(list) | Stmt::Return(Some(list), ..)) = last else { return None };
    let Expr::Array(elements, position) = &**list else { return None };
    let alone = |element: &Expr| {
        let list = Expr::Array([element.clone()].into_iter().collect(), *position);
        let script = before.iter().cloned().chain([Stmt::Expr(Box::new(list))]);
        AST::new_with_source(script, Shared::clone(declared.ast.shared_lib()), &*declared.file)
    };
    Some(elements.iter().take(MOST).map(alone).collect())
}

/// Returns the statements of a function.
pub(super) fn body_of(ast: &AST, name: &str, arguments: usize) -> Vec<Stmt> {
    let mut function = ast.clone_functions_only();
    function.retain_functions(|_, _, other, count| other == name && count == arguments);
    let mut statements = Vec::new();
    function.walk(&mut |path: &[ASTNode<'_>]| {
        if let [ASTNode::Stmt(statement)] = path {
            statements.push((*statement).clone());
        }
        true
    });
    statements
}
