//! `flyball policy check` and `test` as programs: exit codes and output formats.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const RULE: &str = "rule(\"r\", #{ priority: 1, goal: \"protect\" }, |s, p| [\n    when(s.cpu.current > pct(60)),\n    restart(),\n]);\n";
const TEST: &str = "test(\"acts\", || given(#{ \"cpu.current\": pct(70) }).decide().expect(\"r\"));\n";

/// Runs `flyball policy` over a directory of these files, away from any settings.
fn flyball(files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join("set").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let output = run(directory.path(), arguments);
    let code = output.status.code();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (code, text, directory)
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.current_dir(directory).env_remove("FLYBALL_CONFIG").arg("policy").args(arguments);
    command.output().unwrap()
}

/// A gate reports its findings by exit code, even if `| head` or a pager is gone; without findings it ends as by
/// SIGPIPE.
#[test]
fn a_finding_is_the_exit_code_also_where_nobody_reads_it() {
    let failing = TEST.replace("70", "10");
    let faulty = RULE.replace("current", "curent");
    for (files, arguments, expected) in [
        (&[("t.rhai", RULE), ("t_test.rhai", TEST)][..], &["test", "set"][..], 0),
        (&[("t.rhai", RULE), ("t_test.rhai", &failing)], &["test", "set"], 1),
        (&[("t.rhai", RULE), ("t_test.rhai", &failing)], &["test", "set", "-o", "json"], 1),
        (&[("t.rhai", RULE), ("t_test.rhai", TEST)], &["test", "set", "--fail-under", "1"], 1),
        (&[("t.rhai", &faulty)], &["check", "set"], 1),
        (&[("t.rhai", &faulty)], &["test", "set"], 2),
        (&[("t.rhai", RULE)], &["words"], 141),
    ] {
        let (_, _, directory) = flyball(files, &["words"]);
        for errors_are_read in [true, false] {
            let unread = || {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                writer
            };
            let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
            command.current_dir(directory.path()).env_remove("FLYBALL_CONFIG").arg("policy").args(arguments);
            command.stdout(unread());
            if !errors_are_read {
                command.stderr(unread());
            }
            let code = command.output().unwrap().status.code();
            assert_eq!(code, Some(expected), "{arguments:?}, errors read: {errors_are_read}");
        }
    }
}

/// A set whose tests do not load, or fail, is refused by a running flyball.
#[test]
fn check_looks_at_the_tests_too() {
    let unreadable = [("t.rhai", RULE), ("t_test.rhai", "test(\"acts\", || {\n")];
    for arguments in [&["check", "set"][..], &["check", "set", "--strict"]] {
        let (code, text, _directory) = flyball(&unreadable, arguments);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("set/t_test.rhai:") && !text.contains("valid"), "{text}");
        assert!(text.ends_with("1 fault; a running flyball keeps its last good set\n"), "{text}");
    }
    let failing = [("t.rhai", RULE), ("t_test.rhai", &TEST.replace("70", "10"))];
    let (code, text, _directory) = flyball(&failing, &["check", "set"]);
    assert!(code == Some(0) && text.contains("; 1 test not run"), "{text}");
    let (code, text, _directory) = flyball(&failing, &["check", "set", "--strict"]);
    assert!(code == Some(1) && text.contains("set/t_test.rhai:1:") && text.contains("(test `acts`)"), "{text}");
    let (code, text, _directory) = flyball(&[("t.rhai", RULE), ("t_test.rhai", TEST)], &["check", "set", "--strict"]);
    assert!(code == Some(0) && text.contains("; 1 test passed"), "{text}");
    let (_, text, _directory) = flyball(&failing, &["check", "set", "-o", "json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["tests"], &json["tests_ran"]), (&1.into(), &false.into()));
}

/// A test that expects nothing cannot fail, so it is no gate.
#[test]
fn a_test_without_an_expectation_is_found() {
    let idle = format!("{TEST}test(\"idle\", || {{ given(#{{}}).decide(); }});\ntest(\"empty\", || {{ }});\n");
    let files = [("t.rhai", RULE), ("t_test.rhai", &*idle)];
    let (code, text, _directory) = flyball(&files, &["check", "set", "--strict"]);
    assert_eq!(code, Some(1), "{text}");
    for (line, name) in [(2, "idle"), (3, "empty")] {
        let finding = format!("warning: set/t_test.rhai:{line}:1: test `{name}` expects nothing");
        assert!(text.contains(&finding), "{text}");
    }
    assert!(text.contains("; 2 warnings; 3 tests passed"), "{text}");
    let (code, text, _directory) = flyball(&files, &["test", "set"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("ok     t_test.rhai: empty (it expects nothing)\n"), "{text}");
    assert!(text.contains("r: when(cpu.current > 60.0 %) was never false, unknown"), "{text}");
    let (_, text, _directory) = flyball(&files, &["test", "set", "-o", "json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!([0, 1, 2].map(|test| json["tests"][test]["expects"].clone()), [true, false, false]);
}

#[test]
fn a_fault_is_shown_with_its_line_and_a_caret() {
    let faulty = RULE.replace("current", "curent");
    let (code, text, _directory) = flyball(&[("t.rhai", &faulty)], &["check", "set"]);
    assert_eq!(code, Some(1), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("set/t.rhai:2:15: rule r: unknown view of a signal `curent`"), "{text}");
    assert!(lines[0].ends_with("; did you mean `current`?"), "{text}");
    assert_eq!(lines[1..3], ["     2 |     when(s.cpu.curent > pct(60)),", "       |               ^"]);
    assert_eq!(lines[3], "1 fault; a running flyball keeps its last good set");
}

#[test]
fn strict_fails_on_warnings_too() {
    let odd = format!("let unused = 1;\n{RULE}");
    for (arguments, expected) in [(&["check", "set"][..], 0), (&["check", "set", "--strict"][..], 1)] {
        let (code, text, _directory) = flyball(&[("t.rhai", &odd)], arguments);
        assert_eq!(code, Some(expected), "{text}");
        assert!(text.starts_with("warning: set/t.rhai:1:5: variable `unused` is not used"), "{text}");
        assert!(text.contains("set: valid; revision ") && text.contains("; 1 warning"), "{text}");
    }
    let (code, text, _directory) = flyball(&[("t.rhai", RULE)], &["check", "set", "--strict"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn check_says_where_a_set_comes_from() {
    let files = [("t.rhai", RULE), ("REVISION", "commit: 3f2a9c1\nauthor: Ann Lee\n")];
    let (code, text, _directory) = flyball(&files, &["check", "set"]);
    assert!(code == Some(0) && text.contains(" (commit 3f2a9c1 by Ann Lee), rules r"), "{text}");
    let (_, text, _directory) = flyball(&files, &["check", "set", "-o", "json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["provenance"]["author"][0], "Ann Lee");
    let (_, plain, _directory) = flyball(&[("t.rhai", RULE)], &["check", "set"]);
    let revision = |text: &str| text.split("revision ").nth(1).unwrap()[..12].to_owned();
    let (_, text, _directory) = flyball(&files, &["check", "set"]);
    assert_eq!(revision(&plain), revision(&text), "the content alone is the revision");
}

#[test]
fn check_speaks_json_and_sarif() {
    let odd = format!("let unused = 1;\n{RULE}");
    let (_, text, _directory) = flyball(&[("t.rhai", &odd)], &["check", "set", "-o", "json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["rules"][0], &json["warnings"][0]["lint"]), (&"r".into(), &"unused-name".into()));
    let faulty = RULE.replace("current", "curent");
    let (code, text, _directory) = flyball(&[("t.rhai", &faulty)], &["check", "set", "-o", "sarif"]);
    assert_eq!(code, Some(1));
    let sarif: Value = serde_json::from_str(&text).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!((&sarif["version"], &result["level"]), (&"2.1.0".into(), &"error".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "set/t.rhai");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&2.into(), &15.into()));
}

#[test]
fn test_says_by_its_exit_code_how_it_went() {
    let failing = TEST.replace("70", "50");
    for (files, arguments, expected, words) in [
        (&[("t.rhai", RULE), ("t_test.rhai", TEST)][..], &["test", "set"][..], 0, "1 passed, 0 failed"),
        (
            &[("t.rhai", RULE), ("t_test.rhai", &failing)],
            &["test", "set"],
            1,
            "; r: cpu.current 50.0 % > 60.0 %, short by 10.0 points",
        ),
        (
            &[("t.rhai", RULE), ("t_test.rhai", &failing)],
            &["test", "set", "--run", "other"],
            2,
            "no test name contains `other`",
        ),
        (
            &[("t.rhai", RULE), ("t_test.rhai", TEST)],
            &["test", "set", "--fail-under", "1"],
            1,
            "r: when(cpu.current > 60.0 %) was never false, unknown",
        ),
        (
            &[("t.rhai", RULE), ("t_test.rhai", TEST)],
            &["test", "set", "--fail-under", "0.3"],
            0,
            "condition coverage 33.3 %",
        ),
        (
            &[("t.rhai", RULE), ("t_test.rhai", TEST)],
            &["test", "set", "--fail-under", "2"],
            2,
            "2 is not between 0 and 1",
        ),
        (&[("t.rhai", RULE), ("t_test.rhai", "test(")], &["test", "set"], 2, "no test ran"),
        (&[("t.rhai", "rule("), ("t_test.rhai", TEST)], &["test", "set"], 2, "no test ran"),
        (&[("t.rhai", RULE)], &["test", "set"], 2, "no test ran: tests belong in files that end in _test.rhai"),
    ] {
        let (code, text, _directory) = flyball(files, arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

/// A gate that could not check anything is not a gate that found something; and none is silent.
#[test]
fn gates_say_why_they_fail_and_whether_they_ran() {
    let files = [("t.rhai", RULE), ("t_test.rhai", TEST)];
    for (arguments, expected, words) in [
        (&["test", "set", "--fail-under", "1"][..], 1, "flyball: coverage 33.3 % is below --fail-under 100 %\n"),
        (&["test", "set", "--run", "zzz"], 2, "flyball: no test name contains `zzz`; the tests are `acts`\n"),
        (&["test", "nowhere"], 2, "nowhere does not exist"),
        (&["test", "set", "--junit", "no/junit.xml"], 2, "no/junit.xml cannot be written"),
        (&["check", "nowhere"], 2, "nowhere does not exist"),
        (&["diff"], 2, "no settings file"),
        (&["bench", "nope/nope"], 2, "no settings file"),
    ] {
        let (code, text, _directory) = flyball(&files, arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

/// Requested JSON is JSON even for bad news; messages for people go to the other stream.
#[test]
fn json_is_json_whatever_happens() {
    for (rule, part, faults) in [("rule(", "acts", 1), (RULE, "zzz", 0)] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("t.rhai"), rule).unwrap();
        fs::write(directory.path().join("t_test.rhai"), TEST).unwrap();
        let output = run(directory.path(), &["test", ".", "--run", part, "-o", "json"]);
        assert_eq!(output.status.code(), Some(2));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["faults"].as_array().map_or(0, Vec::len), faults, "{json}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn test_writes_junit_and_json() {
    let tests = format!("{TEST}test(\"<no> & \\\"never\\\"\", || given(#{{}}).decide().expect(\"r\"));");
    let (code, text, directory) =
        flyball(&[("t.rhai", RULE), ("t_test.rhai", &tests)], &["test", "set", "--junit", "junit.xml", "-o", "json"]);
    assert_eq!(code, Some(1), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["tests"][0]["failure"], &json["tests"][1]["failure"]["line"]), (&Value::Null, &2.into()));
    assert_eq!(json["conditions"][0]["unknown"], true);
    let junit = fs::read_to_string(directory.path().join("junit.xml")).unwrap();
    assert!(junit.contains("<testsuite name=\"policies\" tests=\"2\" failures=\"1\">"), "{junit}");
    assert!(junit.contains("name=\"&lt;no&gt; &amp; &quot;never&quot;\"><failure message=\"t_test.rhai:2:"), "{junit}");
}

/// What records mask no command shows either, according to its own settings.
#[test]
fn what_is_masked_is_not_told_when_it_is_decided_once_more() {
    let rule = "param(\"secret\", rps(9), #{ doc: \"x\" });\n\
        rule(\"r\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.rps.current > p.secret), restart()]);\n";
    let (_, _, directory) = flyball(&[("t.rhai", rule)], &["words"]);
    let text = crate::scenarios::world::settings(&["shop/checkout"], ", parameters: { secret: 47.11 }");
    let text = text.replace("policies: /nowhere", "policies: set");
    let settings = format!("{text}\nrecords: {{ mask: {{ parameters: [secret] }} }}\n");
    fs::write(directory.path().join("flyball.yaml"), settings).unwrap();
    let record = crate::records::acted(crate::records::id("shop/checkout", 1));
    fs::write(directory.path().join("then.json"), serde_json::to_string(&record).unwrap()).unwrap();
    for arguments in [&["eval", "--explain"][..], &["eval", "-o", "json"], &["whatif"], &["whatif", "-o", "json"]] {
        let output = run(directory.path(), &[arguments, &["--input", "then.json"]].concat());
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(output.status.success() && said.contains("rps.current"), "{arguments:?}: {said}");
        assert!(!said.contains("47.1"), "{arguments:?}: {said}");
    }
}

/// A report of an earlier run would remain, and be read as this one's.
#[test]
fn what_does_not_load_is_a_failure_in_junit_too() {
    let faulty = RULE.replace("current", "curent");
    for (files, fault) in [
        (&[("t.rhai", faulty.as_str()), ("t_test.rhai", TEST)][..], "unknown view of a signal"),
        (&[("t.rhai", RULE), ("t_test.rhai", "test(\"acts\", || {\n")], "t_test.rhai:2"),
        (&[("t_test.rhai", "")], "is empty"),
    ] {
        let (_, _, directory) = flyball(files, &["words"]);
        let report = directory.path().join("junit.xml");
        fs::write(&report, "<testsuites/>").unwrap();
        let output = run(directory.path(), &["test", "set", "--junit", "junit.xml"]);
        assert_eq!(output.status.code(), Some(2));
        let junit = fs::read_to_string(report).unwrap();
        let one = "tests=\"1\" failures=\"1\"";
        assert!(junit.contains(one) && junit.contains("<failure message=\"") && junit.contains(fault), "{junit}");
    }
}

#[test]
fn names_of_tests_are_spelled_out_where_none_matches() {
    let tests = TEST.replace("acts", "a\\x1b[2Jcts");
    let (code, text, _directory) =
        flyball(&[("t.rhai", RULE), ("t_test.rhai", &tests)], &["test", "set", "--run", "zzz"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("a\\u{1b}[2Jcts") && !text.contains('\u{1b}'), "{text}");
}

/// The first run, an edit that breaks a test, another that fixes it: each is tested when saved.
#[test]
fn test_watches_the_files() {
    use std::io::{BufRead, BufReader};
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("t.rhai"), RULE).unwrap();
    fs::write(directory.path().join("t_test.rhai"), TEST).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.current_dir(directory.path()).env_remove("FLYBALL_CONFIG").args(["policy", "test", ".", "--watch"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut summary = || lines.find(|line| line.contains(" passed, ")).unwrap();
    assert_eq!(summary(), "1 passed, 0 failed");
    fs::write(directory.path().join("t_test.rhai"), TEST.replace("70", "50")).unwrap();
    assert_eq!(summary(), "0 passed, 1 failed");
    fs::write(directory.path().join("t_test.rhai"), TEST).unwrap();
    assert_eq!(summary(), "1 passed, 0 failed");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A watching program reads one document after another.
#[test]
fn test_watches_the_files_in_json() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("t.rhai"), RULE).unwrap();
    fs::write(directory.path().join("t_test.rhai"), TEST).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    let arguments = ["policy", "test", ".", "--watch", "-o", "json"];
    command.current_dir(directory.path()).env_remove("FLYBALL_CONFIG").args(arguments);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let documents = serde_json::Deserializer::from_reader(child.stdout.take().unwrap());
    let mut documents = documents.into_iter::<serde_json::Value>();
    assert!(documents.next().unwrap().unwrap().is_object());
    fs::write(directory.path().join("t_test.rhai"), TEST.replace("70", "50")).unwrap();
    let second = documents.next().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(second.unwrap().is_object());
}

/// The shipped set passes its own tests with every condition seen in every state, and has no findings.
#[test]
fn the_shipped_set_is_what_it_asks_of_others() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies");
    let shipped = shipped.to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["test", shipped, "--fail-under", "1"][..], &["check", shipped, "--strict"], &["words"]] {
        let output = run(directory.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// What flyball declares itself has a range and, if the settings give no source, no data; an undeclared name does not
/// load, wherever a set is read.
#[test]
fn what_rules_may_name_is_declared() {
    let odd = RULE.replace("cpu.current > pct(60)", "cpux.current > pct(60)");
    let standard = RULE.replace("s.cpu.current > pct(60)", "s.emergency");
    let (_, _, directory) = flyball(&[("t.rhai", &standard)], &["words"]);
    let example = include_str!("../../docs/flyball.example.yaml").replace("/var/lib/flyball", "state");
    // Parameters of the shipped set.
    let example = example.lines().filter(|line| !line.trim_start().starts_with("parameters: {")).collect::<Vec<_>>();
    fs::write(directory.path().join("flyball.yaml"), example.join("\n")).unwrap();
    let said = |arguments: &[&str]| {
        let output = run(directory.path(), arguments);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code(), said)
    };
    let (code, listed) = said(&["signals"]);
    assert_eq!(code, Some(0), "{listed}");
    let emergency =
        "a flag, off or on; standard (an incident is being handled), no data: not configured in the settings";
    for (name, expected) in [
        ("emergency ", emergency),
        ("errors ", "a share, 0.0 % to 100.0 %"),
        ("p99 ", "a time, 0 ms to 120.00 s"),
        ("cpu ", "a share, 0.0 % or more; standard (CPU usage relative to the pods' request), no data"),
    ] {
        assert!(listed.lines().any(|line| line.starts_with(name) && line.contains(expected)), "{name}: {listed}");
    }
    let (code, checked) = said(&["check", "set", "--strict"]);
    assert_eq!(code, Some(0), "{checked}");
    let note = "note: rule r stays unknown: the settings do not configure the standard signal emergency\n";
    assert!(checked.contains(note), "{checked}");
    let json: Value = serde_json::from_str(&said(&["check", "set", "-o", "json"]).1).unwrap();
    assert_eq!(json["unmeasured"]["r"][0], "emergency");
    fs::write(directory.path().join("set/t.rhai"), odd).unwrap();
    for (arguments, expected) in [(&["check", "set"][..], 1), (&["test", "set"], 2)] {
        let (code, refused) = said(arguments);
        assert_eq!(code, Some(expected), "{refused}");
        let fault = "t.rhai:2:11: rule r: unknown signal `cpux`; known: ";
        assert!(
            refused.contains(fault)
                && refused.contains("others are declared under `signals` in the settings; did you mean `cpu`?"),
            "{refused}"
        );
        assert!(refused.contains("    when(s.cpux.current > pct(60)),\n       |           ^"), "{refused}");
    }
}
