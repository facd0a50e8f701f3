//! Layers and purity: parses every path of every file under `src/` and enforces the table of [`rules::LAYERS`]. The
//! checker itself is tested on planted sources below.

mod judge;
#[cfg(test)]
mod planted;
mod rules;
mod scan;
mod scopes;

use std::fs;
use std::path::{Path, PathBuf};

use judge::{Finding, Judge, Rule};
use scan::Scanner;
use scopes::Scopes;
use syn::visit::Visit;

/// A source file: its path from the root of the repository, and its text.
struct Source {
    path: String,
    text: String,
}

/// Returns the module of a file, from the crate root; `src/lib.rs` is the root itself.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    inner.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
}

/// Returns all breaches in `sources`; `crates` are the dependencies, as paths spell them.
fn check(sources: &[Source], crates: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut scopes = Scopes::new(crates.iter().cloned());
    let mut files = Vec::new();
    for source in sources {
        match syn::parse_file(&source.text) {
            Ok(file) => {
                scopes.add(&module_of(&source.path), &file);
                files.push((source, file));
            }
            Err(error) => {
                let mut judge = Judge::new(&source.path, &[]);
                judge.find(error.span().start().line, "syntax", Rule::Unseen, &error.to_string());
                findings.extend(judge.finish());
            }
        }
    }
    for (source, file) in &files {
        let module = module_of(&source.path);
        let mut judge = Judge::new(&source.path, &module);
        Scanner::new(&scopes, &mut judge, &module).visit_file(file);
        findings.extend(judge.finish());
    }
    findings.extend(undocumented(sources));
    findings
}

/// Returns the directories below `src/` without a `mod.rs` that starts with its documentation.
fn undocumented(sources: &[Source]) -> Vec<Finding> {
    let mut directories: Vec<&str> =
        sources.iter().filter_map(|source| source.path.rsplit_once('/')).map(|(directory, _)| directory).collect();
    directories.sort_unstable();
    directories.dedup();
    let documented = |directory: &str| {
        let wanted = format!("{directory}/mod.rs");
        sources.iter().any(|source| source.path == wanted && source.text.starts_with("//!"))
    };
    directories
        .into_iter()
        .filter(|directory| *directory != "src" && !documented(directory))
        .map(|directory| Finding {
            file: format!("{directory}/mod.rs"),
            line: 1,
            what: directory.to_owned(),
            rule: Rule::ModuleDoc,
            why: "a directory has a mod.rs that starts with `//!`".to_owned(),
        })
        .collect()
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources_below(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("src can be listed") {
        let path = entry.expect("an entry of src can be read").path();
        if path.is_dir() {
            sources_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file can be read");
            let from_root = path.strip_prefix(repository()).expect("the file lies in the repository");
            found.push(Source { path: from_root.display().to_string(), text });
        }
    }
}

/// Returns the names of the dependencies in `Cargo.toml`, as paths spell them.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml can be read");
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or_default();
    let names = section.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_alphabetic()));
    names.filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().replace('-', "_")).collect()
}

/// Permission to import a missing module would hide that it is not needed.
#[test]
fn every_row_of_the_table_names_modules_that_exist() {
    let named = rules::LAYERS.iter().flat_map(|layer| layer.may.iter().chain([&layer.module]));
    for path in named.filter(|path| !path.contains('*')) {
        let place = repository().join("src").join(path.replace("::", "/"));
        assert!(place.is_dir() || place.with_extension("rs").is_file(), "{path}");
    }
}

#[test]
fn the_source_keeps_its_layers() {
    let mut sources = Vec::new();
    sources_below(&repository().join("src"), &mut sources);
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(sources.len() > 40, "only {} files found below src", sources.len());
    let crates = dependencies();
    assert!(crates.iter().any(|name| name == "tokio"), "dependencies not found in Cargo.toml: {crates:?}");

    let findings = check(&sources, &crates);
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} breaches\n{}", findings.len(), list.join("\n"));
}
