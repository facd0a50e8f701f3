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

/// Something that a page has its reader do.
#[derive(Debug)]
enum Step {
    /// Save, look at, or run a block: its info string, its text, and the heading above it.
    Block { kind: String, text: String, heading: String },
    /// In this file, change one text to another.
    Edit { from: String, to: String, file: String },
    /// Save the file again as a heading that starts with this word left it.
    Restore { file: String, heading: String },
    /// Copy shipped tests next to the rules.
    Copy,
}

/// Returns what a page has its reader do, in order: its blocks, and what its sentences ask for.
fn steps(page: &str) -> Vec<Step> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    let (mut steps, mut heading) = (Vec::new(), String::new());
    let mut blocks = blocks(page).into_iter();
    for (position, part) in text.split("\n```").enumerate() {
        // Every second part is a block.
        if position % 2 == 1 {
            let (kind, text) = blocks.next().unwrap();
            steps.push(Step::Block { kind, text, heading: heading.clone() });
            continue;
        }
        let mut asked = asked(part);
        asked.sort_by_key(|(at, _)| *at);
        steps.extend(asked.into_iter().map(|(_, step)| step));
        let mut headings = part.lines().filter_map(|line| line.strip_prefix("### "));
        heading = headings.next_back().map_or(heading, ToOwned::to_owned);
    }
    steps
}

/// Returns what sentences ask for, and where in the text.
fn asked(text: &str) -> Vec<(usize, Step)> {
    let text = text.replace('\n', " ");
    let mut steps = Vec::new();
    // "change `a` to `b` in `f`", "change `b` back to `a` in `f`"
    for (at, _) in text.match_indices("hange `") {
        let mut code = text[at..].split('`');
        let mut next = || code.next().unwrap_or_default().to_owned();
        let (_, from, between, to, within, file) = (next(), next(), next(), next(), next(), next());
        assert!(matches!(&*between, " to " | " back to ") && within == " in ", "an edit in {}", &text[at..]);
        steps.push((at, Step::Edit { from, to, file }));
    }
    // "save `f` of step 2 again"
    for (at, _) in text.match_indices("ave `").filter(|(at, _)| text[*at..].contains("` of step ")) {
        let Some((file, rest)) = text[at + 5..].split_once("` of step ") else { continue };
        let Some((step, _)) = rest.split_once(" again").filter(|_| !file.contains('`')) else { continue };
        steps.push((at, Step::Restore { file: file.to_owned(), heading: format!("{step}. ") }));
    }
    steps.extend(text.match_indices("`cp deploy/policies/").map(|(at, _)| (at, Step::Copy)));
    steps
}

/// Runs those commands of a block that need no running flyball, on the files of a reader.
fn run(commands: &str, directory: &Directory) -> usize {
    let root = tempfile::tempdir().unwrap();
    let settings = crate::scenarios::world::settings(&["shop/checkout"], "");
    std::fs::create_dir_all(root.path().join("set/lib")).unwrap();
    std::fs::write(root.path().join("flyball.yaml"), settings.replace("policies: /nowhere", "policies: set")).unwrap();
    directory.texts().for_each(|(name, text)| std::fs::write(root.path().join("set").join(name), text).unwrap());
    let mut ran = 0;
    for arguments in commands.lines().flat_map(self::commands) {
        let alone = ["test", "check", "words", "definitions"].map(Some).contains(&arguments.get(2).map(String::as_str));
        if !alone || arguments.iter().any(|argument| argument == "--watch") {
            continue;
        }
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flyball"));
        let output =
            command.current_dir(root.path()).env_remove("FLYBALL_CONFIG").args(&arguments[1..]).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(output.status.success(), "{arguments:?}: {said}");
        ran += 1;
    }
    ran
}

/// Follows a page as a reader would: each block is saved as the file it names, next to the existing ones, and each edit
/// is made. What the page says is refused is saved too. A set whose tests fail is followed by fitting tests, and the
/// text above says that it is refused. Returns how many rules and tests were saved, and how many commands ran.
fn read(page: &str, files: &[(&str, &str)], least_coverage: f64) -> (usize, usize) {
    let (words, never) = (Vocabulary::of([]).unwrap(), Arc::new(|| None) as Deadline);
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let mut directory = Directory(files.iter().map(own).collect());
    let (mut saved, mut ran, mut least_coverage) = (0, 0, least_coverage);
    // Tests that fail, and the file with the fault that the page shows.
    let (mut refused, mut faulty) = (Vec::new(), None::<String>);
    let mut left: BTreeMap<(String, String), String> = BTreeMap::new();
    let steps = steps(page);
    for (position, step) in steps.iter().enumerate() {
        let (path, text) = match step {
            Step::Block { kind, text, .. } if kind == "sh" => {
                ran += run(text, &directory);
                continue;
            }
            Step::Block { kind, text, .. } if kind == "rhai refused" => {
                let path = text.lines().next().unwrap().trim_start_matches("// ");
                let faults = compile([(path, text.as_str())], &words, &never).expect_err(text);
                let Some(Step::Block { kind, text: expected, .. }) = steps.get(position + 1) else {
                    panic!("{page}: what is refused is followed by the fault");
                };
                assert_eq!(kind, "text", "{page}: what is refused is followed by the fault");
                assert!(faults[0].to_string().starts_with(expected.trim_end()), "{page}: {}\n{expected}", faults[0]);
                directory.0.insert(path.to_owned(), text.clone());
                faulty = Some(path.to_owned());
                continue;
            }
            Step::Block { kind, text, heading } => {
                let first = text.lines().next().unwrap().trim_start_matches("// ");
                let Some(path) = kind.strip_prefix("json ").or((kind == "rhai").then_some(first)) else { continue };
                left.insert((heading.clone(), path.to_owned()), text.clone());
                saved += usize::from(kind == "rhai");
                (path.to_owned(), text.clone())
            }
            Step::Edit { from, to, file } => {
                let text = directory.0.get(file).unwrap_or_else(|| panic!("{page}: {step:?}, and no such file"));
                assert_eq!(text.matches(from).count(), 1, "{page}: {step:?} in\n{text}");
                (file.clone(), text.replace(from, to))
            }
            Step::Restore { file, heading } => {
                let found = left.iter().find(|((above, name), _)| above.starts_with(heading) && name == file);
                (file.clone(), found.unwrap_or_else(|| panic!("{page}: {step:?}")).1.clone())
            }
            Step::Copy => {
                directory.0.extend(copied(page));
                least_coverage = 1.0;
                let (failures, coverage) = directory.load(page);
                assert_eq!((failures, coverage), (Vec::new(), 1.0), "{page}: with the copied tests");
                continue;
            }
        };
        assert!(
            faulty.take().is_none_or(|faulty| faulty == path),
            "{page}: {path} is saved beside a file that does not load"
        );
        let is_test = path.ends_with("_test.rhai");
        assert!(refused.is_empty() || is_test, "{page}: {path} is saved beside tests that fail: {refused:#?}");
        directory.0.insert(path.clone(), text);
        let (failures, coverage) = directory.load(page);
        let may_fail = matches!(step, Step::Block { .. }) && !is_test;
        assert!(failures.is_empty() || may_fail, "{page}: {step:?}: {failures:#?}");
        // As with the page's `--fail-under`.
        assert!(!is_test || coverage >= least_coverage, "{page}: behind {path} the tests see {coverage}");
        refused = failures;
    }
    assert!(refused.is_empty() && faulty.is_none(), "{page}: {faulty:?} {refused:#?}");
    (saved, ran)
}

#[test]
fn the_policy_guide_works_as_it_is_written() {
    assert_eq!(read("policy-guide.md", &DEMO, 0.5), (11, 3));
    assert!(steps("policy-guide.md").iter().any(|step| matches!(step, Step::Copy)), "the shipped tests are copied");
}

#[test]
fn the_page_for_those_who_come_from_rego_works_as_it_is_written() {
    assert_eq!(read("coming-from-rego.md", &[], 1.0).0, 1);
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
