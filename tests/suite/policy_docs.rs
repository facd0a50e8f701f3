//! Every piece of policy on the pages of docs is loaded, tested, or refused with the words that stand below it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use flyball::decide::{Deadline, Vocabulary, compile, lint, reference, run_tests};

/// A fenced block: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => (),
        }
    }
    blocks
}

/// Goes through a page as a reader does: each block replaces the file it names. Returns how many were loaded.
fn read(page: &str) -> usize {
    let words = Vocabulary::of([]).unwrap();
    let never: Deadline = Arc::new(|| None);
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut loaded = 0;
    let blocks = blocks(page);
    for (position, (kind, text)) in blocks.iter().enumerate() {
        let path = || text.lines().next().unwrap().trim_start_matches("// ").to_owned();
        if kind == "rhai refused" {
            let faults = compile([(path().as_str(), text.as_str())], &words, &never).expect_err(text);
            let (next, expected) = &blocks[position + 1];
            assert_eq!(next, "text", "{page}: what is refused is followed by the fault");
            assert!(faults[0].to_string().starts_with(expected.trim_end()), "{page}: {}\n{expected}", faults[0]);
        } else if let Some(path) = kind.strip_prefix("json ") {
            files.insert(path.to_owned(), text.clone());
        } else if kind == "rhai" {
            files.insert(path(), text.clone());
            // A page shows the rules before their tests: until then the old tests do not count.
            let is_test = path().ends_with("_test.rhai");
            let tests = |name: &str| name.ends_with("_test.rhai");
            let now: Vec<_> = files.iter().filter(|(name, _)| is_test || !tests(name)).collect();
            let texts = || now.iter().map(|(name, text)| (name.as_str(), text.as_str()));
            let set = compile(texts(), &words, &never).unwrap_or_else(|faults| panic!("{page}: {faults:#?}\n{text}"));
            let set = Arc::new(set);
            if is_test {
                let report = run_tests(&set, &words, texts(), &|_| true, &|| never.clone()).unwrap();
                let failures: Vec<_> = report.failures().map(ToString::to_string).collect();
                assert_eq!(failures, Vec::<String>::new(), "{page}");
                assert!(!report.tests.is_empty());
                let found: Vec<_> = lint(&set, texts()).iter().map(|found| found.fault.to_string()).collect();
                assert_eq!(found, Vec::<String>::new(), "{page}: what a guide shows has nothing odd");
            }
            loaded += 1;
        }
    }
    loaded
}

#[test]
fn the_policy_guide_works_as_it_is_written() {
    assert_eq!(read("policy-guide.md"), 11);
}

#[test]
fn the_page_for_those_who_come_from_rego_works_as_it_is_written() {
    assert_eq!(read("coming-from-rego.md"), 1);
}

/// `just bless` writes the page anew.
#[test]
fn the_page_is_the_one_in_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/policies.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == reference(), "docs/reference/policies.md is not what the reference says: run `just bless`");
}

/// The commands of a line of a shell, without its comment; those of flyball alone.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split("&&").flat_map(|part| part.split(['|', '>']));
    let words = |part: &str| part.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    parts.map(words).filter(|words| words.first().is_some_and(|first| first == "flyball")).collect()
}

#[test]
fn every_command_of_the_pages_is_one_that_flyball_takes() {
    let mut taken = 0;
    for page in ["policy-guide.md", "cluster.md", "operations.md", "forecasting.md"] {
        for (_, text) in blocks(page).iter().filter(|(kind, _)| kind == "sh") {
            for command in text.lines().flat_map(commands) {
                let parsed = flyball::cli::Cli::try_parse_from(&command);
                assert!(parsed.is_ok(), "{page}: {command:?}: {}", parsed.unwrap_err());
                taken += 1;
            }
        }
    }
    assert!(taken >= 18, "{taken} commands were found");
}
