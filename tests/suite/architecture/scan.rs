//! Second pass: checks every path, macro, await and unwrap of a file against the rules.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Local, Macro, Meta};

use super::judge::{Judge, Rule};
use super::rules;
use super::scopes::{Scopes, imports, tests_only};

/// Walks one file.
pub struct Scanner<'a> {
    scopes: &'a Scopes,
    judge: &'a mut Judge,
    module: Vec<String>,
    in_test: bool,
    excused: bool,
}

impl<'a> Scanner<'a> {
    /// Returns a walker over the file of `module`.
    pub fn new(scopes: &'a Scopes, judge: &'a mut Judge, module: &[String]) -> Self {
        let in_test = scopes.is_test(module) || module.iter().any(|part| part == "tests");
        Self { scopes, judge, module: module.to_vec(), in_test, excused: false }
    }

    fn path(&mut self, path: &[String], external: bool, line: usize) {
        if path.len() > 1 && path[0] == "super" && path[1] == "super" {
            self.judge.find(line, &path.join("::"), Rule::SuperSuper, "name it from the crate root");
        }
        let resolved = if external { Some(path.to_vec()) } else { self.scopes.resolve(&self.module, path) };
        match resolved {
            Some(absolute) => self.judge.path(&absolute, self.in_test, line),
            None => self.judge.call(path, self.in_test, line),
        }
    }

    fn call(&mut self, path: &[String], line: usize) {
        self.judge.call(path, self.in_test, line);
    }

    fn banned_in_pure(&mut self, what: &str, span: Span) {
        self.judge.async_code(what, self.in_test, span.start().line);
    }

    fn macro_name(&mut self, name: &str, line: usize) {
        self.judge.macro_name(name, self.in_test, self.excused, line);
    }

    fn method(&mut self, name: &str, line: usize) {
        if !self.in_test && !self.excused && rules::UNWRAPS.contains(&name) {
            self.judge.find(line, &format!(".{name}()"), Rule::Panics, "return an error or a typed absence");
        }
    }

    /// Runs `walk` for something that carries `attributes`.
    fn under(&mut self, attributes: &[Attribute], walk: impl FnOnce(&mut Self)) {
        let before = (self.in_test, self.excused);
        self.in_test |= attributes.iter().any(tests_only);
        self.excused |= attributes.iter().any(excuses_panics);
        walk(self);
        (self.in_test, self.excused) = before;
    }

    /// Reads the tokens of a macro call: paths, names of macros, awaits and unwraps, at any depth.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            at = match &trees[at] {
                TokenTree::Ident(_) => self.token_path(&trees, at),
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    at + 1
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
            };
        }
    }

    /// Reads the path that starts at `from`, with its surroundings; returns the position after it.
    fn token_path(&mut self, trees: &[TokenTree], from: usize) -> usize {
        let TokenTree::Ident(first) = &trees[from] else { return from + 1 };
        let line = first.span().start().line;
        let mut path = vec![first.to_string()];
        let mut at = from + 1;
        while is_colons(trees, at) {
            match trees.get(at + 2) {
                Some(TokenTree::Ident(next)) => path.push(next.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.token_group(&path, group);
                    break;
                }
                _ => break,
            }
            at += 3;
        }
        let after_dot = from > 0 && is_punct(&trees[from - 1], '.');
        if is_bang(trees, at) {
            self.macro_name(path.last().map_or("", String::as_str), line);
        } else if after_dot {
            if path[0] == "await" {
                self.banned_in_pure("await", first.span());
            }
            self.method(&path[0], line);
        } else if path[0] == "async" {
            self.banned_in_pure("async", first.span());
        }
        if path.len() > 1 && !after_dot {
            let external = from > 2 && is_colons(trees, from - 2) && !matches!(trees[from - 3], TokenTree::Ident(_));
            self.path(&path, external, line);
        }
        at
    }

    fn token_group(&mut self, prefix: &[String], group: &proc_macro2::Group) {
        let text = format!("{}::{group}", prefix.join("::"));
        if let Ok(tree) = syn::parse_str::<syn::UseTree>(&text) {
            let line = group.span_open().start().line;
            for import in imports(&tree) {
                self.path(&import.path, false, line);
            }
        }
    }

    /// Reads an attribute: its tokens, and paths in its strings (`#[serde(with = "crate::x")]`).
    fn attribute(&mut self, attribute: &Attribute) {
        if attribute.path().is_ident("path") {
            let line = attribute.span().start().line;
            self.judge.find(line, "#[path]", Rule::Unseen, "put the file where its module says");
        }
        let name = segments(attribute.path());
        if name.len() > 1 {
            self.path(&name, attribute.path().leading_colon.is_some(), attribute.span().start().line);
        }
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
            self.strings(list.tokens.clone());
        }
    }

    fn strings(&mut self, tokens: TokenStream) {
        for tree in tokens {
            match tree {
                TokenTree::Group(group) => self.strings(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let inner = text.trim_matches('"');
                    if let Ok(path) = syn::parse_str::<syn::Path>(inner)
                        && path.segments.len() > 1
                    {
                        self.path(&segments(&path), path.leading_colon.is_some(), literal.span().start().line);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Scanner<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = item_attributes(item).to_vec();
        self.under(&attributes, |scanner| visit::visit_item(scanner, item));
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(function) => function.attrs.clone(),
            syn::ImplItem::Const(constant) => constant.attrs.clone(),
            _ => Vec::new(),
        };
        self.under(&attributes, |scanner| visit::visit_impl_item(scanner, item));
    }

    fn visit_local(&mut self, local: &'ast Local) {
        self.under(&local.attrs, |scanner| visit::visit_local(scanner, local));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        for import in imports(&item.tree) {
            self.path(&import.path, item.leading_colon.is_some(), import.line);
            if import.name.is_none()
                && let Some(absolute) = self.scopes.resolve(&self.module, &import.path)
            {
                self.judge.glob(&absolute, self.in_test, import.line);
            }
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.path(&[item.ident.to_string()], true, item.ident.span().start().line);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written = segments(path);
        if written.len() > 1 {
            self.path(&written, path.leading_colon.is_some(), path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, expression: &'ast syn::ExprPath) {
        if let Some(qualified) = &expression.qself
            && let syn::Type::Path(inner) = &*qualified.ty
        {
            let called = [segments(&inner.path), segments(&expression.path)].concat();
            self.path(&called, inner.path.leading_colon.is_some(), expression.span().start().line);
            self.call(&called, expression.span().start().line);
        }
        visit::visit_expr_path(self, expression);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let Some(keyword) = &signature.asyncness {
            self.banned_in_pure("async fn", keyword.span);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, expression: &'ast syn::ExprAsync) {
        self.banned_in_pure("async block", expression.async_token.span);
        visit::visit_expr_async(self, expression);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        if let Some(keyword) = &closure.asyncness {
            self.banned_in_pure("async closure", keyword.span);
        }
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.banned_in_pure("await", expression.await_token.span);
        visit::visit_expr_await(self, expression);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.method(&call.method.to_string(), call.method.span().start().line);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        let written = segments(&call.path);
        self.macro_name(written.last().map_or("", String::as_str), call.path.span().start().line);
        if written.len() > 1 {
            self.path(&written, call.path.leading_colon.is_some(), call.path.span().start().line);
        }
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if !attribute.path().is_ident("doc") {
            self.attribute(attribute);
        }
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn is_punct(tree: &TokenTree, sign: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_colons(trees: &[TokenTree], at: usize) -> bool {
    trees.get(at..at + 2).is_some_and(|pair| pair.iter().all(|tree| is_punct(tree, ':')))
}

/// Returns whether `!` and the arguments of a macro are at `at` (and not `!=`).
fn is_bang(trees: &[TokenTree], at: usize) -> bool {
    trees.get(at).is_some_and(|tree| is_punct(tree, '!')) && matches!(trees.get(at + 1), Some(TokenTree::Group(_)))
}

/// Returns whether an attribute excuses a panic with a reason: `#[expect(clippy::expect_used, reason = "...")]`.
fn excuses_panics(attribute: &Attribute) -> bool {
    let text = match &attribute.meta {
        Meta::List(list) if list.path.is_ident("expect") => list.tokens.to_string().replace(' ', ""),
        _ => return false,
    };
    let named = ["unwrap_used", "expect_used", "panic", "unreachable"];
    text.contains("reason=") && named.iter().any(|lint| text.contains(&format!("clippy::{lint}")))
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
