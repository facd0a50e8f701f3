//! Conditions that nobody takes. `s.cpu.current > pct(60);` reads like one and says nothing, because its value is dropped; so
//! it is a fault, as is a `when(..)` outside of the list. What may do something else, such as `list.push(..)`, is none.

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use crate::decide::apart::body_of;
use crate::decide::fault::PolicyFault;

/// Functions and operators that only make a condition of what they are given.
const CONDITIONS: [&str; 9] = [">", ">=", "<", "<=", "==", "!=", "!", "all", "any"];
/// The same, of what follows a value.
const METHODS: [&str; 3] = ["held_for", "or", "region"];

/// Returns a fault for each statement of a file whose value is a condition, or what one is made of, and dropped.
pub(super) fn dropped(path: &str, ast: &AST) -> Vec<PolicyFault> {
    let mut places: Vec<Position> = ast.statements().iter().filter_map(alone).collect();
    let mut in_functions = false;
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        in_functions |= matches!(path, [ASTNode::Stmt(statement)] if alone(statement).is_some());
        places.extend(path.last().into_iter().flat_map(within));
        true
    });
    // To take a file of many functions apart is slow, and hardly ever needed.
    let functions = ast.iter_functions().filter(|_| in_functions);
    functions.for_each(|function| places.extend(before_last(&body_of(ast, function.name, function.params.len()))));
    places.sort_unstable();
    places.dedup();
    let message = "what is stated here is dropped, so it says nothing: list it in when(..) or unless(..), or delete it";
    places.into_iter().map(|position| PolicyFault::at(path, position, None, message)).collect()
}

/// Returns where such statements stand in the blocks of a node; what a block ends with is its value, but that of a loop.
fn within(node: &ASTNode<'_>) -> Vec<Position> {
    let whole = |block: &[Stmt]| block.iter().filter_map(alone).collect();
    match node {
        ASTNode::Stmt(Stmt::Block(block)) | ASTNode::Expr(Expr::Stmt(block)) => before_last(block.statements()),
        ASTNode::Stmt(Stmt::If(flow, _)) => {
            [before_last(flow.body.statements()), before_last(flow.branch.statements())].concat()
        }
        ASTNode::Stmt(Stmt::While(flow, _) | Stmt::Do(flow, ..)) => whole(flow.body.statements()),
        ASTNode::Stmt(Stmt::For(parts, _)) => whole(parts.2.body.statements()),
        _ => Vec::new(),
    }
}

/// Returns where such statements stand before the last, which is the value of the whole.
fn before_last(block: &[Stmt]) -> Vec<Position> {
    block.split_last().map_or_else(Vec::new, |(_, before)| before.iter().filter_map(alone).collect())
}

/// Returns where a statement stands that only states a condition.
fn alone(statement: &Stmt) -> Option<Position> {
    let is_condition = match statement {
        Stmt::FnCall(call, _) => is_condition(call),
        Stmt::Expr(expression) => states(expression),
        _ => false,
    };
    is_condition.then(|| statement.position())
}

fn states(expression: &Expr) -> bool {
    match expression {
        Expr::FnCall(call, _) => is_condition(call),
        Expr::Dot(pair, ..) => ends_in_condition(&pair.rhs),
        _ => false,
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
