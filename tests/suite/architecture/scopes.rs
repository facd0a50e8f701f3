//! First pass: the names in each module. Renames, type aliases, child modules and globs, so that the second pass sees
//! through `use std::time as t; t::Instant::now()`.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, ItemExternCrate, ItemMod, ItemType, ItemUse, Meta, UseTree};

/// A module, from the crate root: `["observe", "grid"]`.
pub type ModulePath = Vec<String>;

/// A name that `use` brings in.
#[derive(Debug, Clone)]
pub struct Import {
    /// Flattened, otherwise as written: `crate::model::Now`.
    pub path: Vec<String>,
    /// Its new name; `None` for a glob.
    pub name: Option<String>,
    /// Line of the last segment.
    pub line: usize,
}

/// Names of one module.
#[derive(Debug, Default)]
pub struct Scope {
    aliases: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    children: BTreeSet<String>,
}

/// Names of all modules of the crate.
#[derive(Debug)]
pub struct Scopes {
    modules: BTreeMap<ModulePath, Scope>,
    tests: BTreeSet<ModulePath>,
    crates: BTreeSet<String>,
}

impl Scopes {
    /// Returns an empty table; `crates` are the dependencies, as paths spell them.
    pub fn new(crates: impl IntoIterator<Item = String>) -> Self {
        let crates = crates.into_iter().chain(["std".to_owned()]).collect();
        Self { modules: BTreeMap::new(), tests: BTreeSet::new(), crates }
    }

    /// Adds the names of the file of `module`.
    pub fn add(&mut self, module: &[String], file: &syn::File) {
        self.modules.entry(module.to_vec()).or_default();
        Collector { scopes: self, module: module.to_vec() }.visit_file(file);
    }

    /// Returns whether a module, or one around it, is declared only for tests.
    pub fn is_test(&self, module: &[String]) -> bool {
        (1..=module.len()).any(|end| self.tests.contains(&module[..end]))
    }

    /// Returns the absolute path (`crate` or the name of a crate first) of a path written in `module`;
    /// `None` when its head is a local name: a type, a variant, a variable.
    pub fn resolve(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        self.follow(module, path, 0)
    }

    fn follow(&self, module: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        const DEEPEST: usize = 8;
        let (head, rest) = path.split_first()?;
        if depth > DEEPEST {
            return None;
        }
        match head.as_str() {
            "crate" | "flyball" => Some(join(&["crate".to_owned()], rest)),
            "self" => Some(join(&absolute(module), rest)),
            "super" => {
                let parent = &module[..module.len().saturating_sub(1)];
                let further = rest.first().is_some_and(|next| next == "super");
                if further { self.follow(parent, rest, depth + 1) } else { Some(join(&absolute(parent), rest)) }
            }
            "core" | "alloc" => Some(join(&["std".to_owned()], rest)),
            _ => self.name(module, head, rest, depth),
        }
    }

    /// Follows a path that starts with a plain name: a child module, an alias, a glob or a crate, in this order.
    fn name(&self, module: &[String], head: &str, rest: &[String], depth: usize) -> Option<Vec<String>> {
        let scope = self.modules.get(module)?;
        if scope.children.contains(head) {
            return Some(join(&absolute(module), &join(&[head.to_owned()], rest)));
        }
        if let Some(target) = scope.aliases.get(head) {
            let whole = join(target, rest);
            let itself = target.first().is_some_and(|first| first == head);
            return if itself { Some(whole) } else { self.follow(module, &whole, depth + 1) };
        }
        let through_glob = scope.globs.iter().find_map(|glob| {
            let target = self.follow(module, glob, depth + 1)?;
            let inside = target.strip_prefix(&["crate".to_owned()][..])?;
            if inside == module || depth > 4 { None } else { self.name(inside, head, rest, depth + 1) }
        });
        through_glob.or_else(|| self.crates.contains(head).then(|| join(&[head.to_owned()], rest)))
    }
}

fn join(head: &[String], rest: &[String]) -> Vec<String> {
    [head, rest].concat()
}

fn absolute(module: &[String]) -> Vec<String> {
    join(&["crate".to_owned()], module)
}

struct Collector<'a> {
    scopes: &'a mut Scopes,
    module: ModulePath,
}

impl Collector<'_> {
    fn scope(&mut self) -> &mut Scope {
        self.scopes.modules.entry(self.module.clone()).or_default()
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        for import in imports(&item.tree) {
            match import.name {
                Some(name) => drop(self.scope().aliases.insert(name, import.path)),
                None => self.scope().globs.push(import.path),
            }
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name).to_string();
        self.scope().aliases.insert(name, vec![item.ident.to_string()]);
    }

    fn visit_item_type(&mut self, item: &'ast ItemType) {
        if let syn::Type::Path(target) = &*item.ty {
            let path = target.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.scope().aliases.insert(item.ident.to_string(), path);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = item.ident.to_string();
        self.scope().children.insert(name.clone());
        self.module.push(name);
        self.scope();
        if item.attrs.iter().any(tests_only) {
            self.scopes.tests.insert(self.module.clone());
        }
        visit::visit_item_mod(self, item);
        self.module.pop();
    }
}

/// Returns the imports of a `use` tree, with groups expanded.
pub fn imports(tree: &UseTree) -> Vec<Import> {
    let mut found = Vec::new();
    flatten(tree, &mut Vec::new(), &mut found);
    found
}

fn flatten(tree: &UseTree, prefix: &mut Vec<String>, found: &mut Vec<Import>) {
    let with = |prefix: &[String], last: &syn::Ident| {
        let last = last.to_string();
        if last == "self" && !prefix.is_empty() { prefix.to_vec() } else { join(prefix, &[last]) }
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|item| flatten(item, prefix, found)),
        UseTree::Name(name) => {
            let path = with(prefix, &name.ident);
            found.push(Import { name: path.last().cloned(), path, line: name.ident.span().start().line });
        }
        UseTree::Rename(name) => {
            let path = with(prefix, &name.ident);
            found.push(Import { name: Some(name.rename.to_string()), path, line: name.ident.span().start().line });
        }
        UseTree::Glob(glob) => {
            let line = glob.star_token.spans[0].start().line;
            found.push(Import { path: prefix.clone(), name: None, line });
        }
    }
}

/// Returns whether an attribute makes its item a test.
pub fn tests_only(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last().map(|segment| segment.ident.to_string());
    match last.as_deref() {
        Some("test") => true,
        Some("cfg") => attribute.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition)),
        _ => false,
    }
}

fn needs_test(condition: &Meta) -> bool {
    let parts = |list: &syn::MetaList| {
        list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated).unwrap_or_default()
    };
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => parts(list).iter().any(needs_test),
        Meta::List(list) if list.path.is_ident("any") => parts(list).iter().all(needs_test),
        Meta::List(_) | Meta::NameValue(_) => false,
    }
}
