//! Every policy snippet in the docs is loaded, tested, or refused with the message below it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use flyball::decide::{Deadline, Vocabulary, compile, lint, reference, run_tests};

/// A fenced block: its info string and its text.
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

/// What a demo starts with.
const DEMO: [(&str, &str); 2] = [
    ("capacity.rhai", include_str!("../../deploy/policies/capacity.rhai")),
    ("traffic.rhai", include_str!("../../deploy/policies/traffic.rhai")),
];

/// The shipped files that a page has its reader copy into the demo: name and text. A shell would expand `*` and `{a,b}`
/// in it.
fn copied(page: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs").join(page)).unwrap();
    let command = text.split('`').find(|code| code.starts_with("cp deploy/policies/")).expect("a command that copies");
    let list = format!("for file in {}; do echo $file; done", command.split_whitespace().nth(1).unwrap());
    let listed = std::process::Command::new("bash").current_dir(root).args(["-c", &list]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let file = |path: &str| {
        let name = path.rsplit('/').next().unwrap().to_owned();
        (name, std::fs::read_to_string(root.join(path)).unwrap())
    };
    listed.lines().map(file).collect()
}

/// The files of a reader: what is saved stays.
struct Directory(BTreeMap<String, String>);

impl Directory {
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Loads the set as a running flyball does. Returns the failing tests, and the condition coverage.
    fn load(&self, page: &str) -> (Vec<String>, f64) {
        let (words, never) = (Vocabulary::of([]).unwrap(), Arc::new(|| None) as Deadline);
        let set = compile(self.texts(), &words, &never).unwrap_or_else(|faults| panic!("{page}: {faults:#?}"));
        let set = Arc::new(set);
        if self.0.keys().any(|path| path.ends_with("_test.rhai")) {
            let found: Vec<_> = lint(&set, self.texts()).iter().map(|found| found.fault.to_string()).collect();
            assert_eq!(found, Vec::<String>::new(), "{page}: what a guide shows has nothing odd");
        }
        let report = run_tests(&set, &words, self.texts(), &|_| true, &|| never.clone()).unwrap();
        (report.failures().map(ToString::to_string).collect(), report.coverage.share())
    }
}

/// Follows a page as a reader would: each block is saved as the file it names, next to the existing ones. A set whose
/// tests fail is followed by fitting tests, and the text above says that it is refused. Returns how many blocks were
/// saved.
fn read(page: &str, files: &[(&str, &str)], least_coverage: f64) -> usize {
    let (words, never) = (Vocabulary::of([]).unwrap(), Arc::new(|| None) as Deadline);
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let mut directory = Directory(files.iter().map(own).collect());
    let (mut saved, mut refused) = (0, Vec::new());
    let blocks = blocks(page);
    for (position, (kind, text)) in blocks.iter().enumerate() {
        let path = text.lines().next().unwrap().trim_start_matches("// ");
        if kind == "rhai refused" {
            let faults = compile([(path, text.as_str())], &words, &never).expect_err(text);
            let (next, expected) = &blocks[position + 1];
            assert_eq!(next, "text", "{page}: what is refused is followed by the fault");
            assert!(faults[0].to_string().starts_with(expected.trim_end()), "{page}: {}\n{expected}", faults[0]);
            continue;
        }
        let path = match kind.strip_prefix("json ") {
            Some(path) => path,
            None if kind == "rhai" => path,
            None => continue,
        };
        let is_test = path.ends_with("_test.rhai");
        assert!(refused.is_empty() || is_test, "{page}: {path} is saved beside tests that fail: {refused:#?}");
        directory.0.insert(path.to_owned(), text.clone());
        let (failures, coverage) = directory.load(page);
        assert!(failures.is_empty() || !is_test, "{page}: {failures:#?}");
        // As with the page's `--fail-under`.
        assert!(!is_test || coverage >= least_coverage, "{page}: behind {path} the tests see {coverage}");
        refused = failures;
        saved += usize::from(kind == "rhai");
    }
    assert!(refused.is_empty(), "{page}: {refused:#?}");
    saved
}

#[test]
fn the_policy_guide_works_as_it_is_written() {
    assert_eq!(read("policy-guide.md", &DEMO, 0.45), 11);
    let copied = copied("policy-guide.md");
    let copied = copied.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let files: Vec<_> = DEMO.into_iter().chain(copied).collect();
    assert!(files.len() > DEMO.len(), "{files:?}");
    assert_eq!(read("policy-guide.md", &files, 1.0), 11);
}

#[test]
fn the_page_for_those_who_come_from_rego_works_as_it_is_written() {
    assert_eq!(read("coming-from-rego.md", &[], 1.0), 1);
}

/// `just bless` regenerates the page.
#[test]
fn the_page_is_the_one_in_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/policies.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page == reference(), "docs/reference/policies.md is not what the reference says: run `just bless`");
}

/// The flyball commands in a shell line, without its comment.
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
