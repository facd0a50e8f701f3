//! Faults as shown to people and programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Source;
use crate::cli::{Output, print_finding, terminal};
use crate::decide::{LINTS, Lint, PolicyFault, TestReport};
use crate::model::controls::escape_controls;

/// Columns of a source line that are shown.
const WIDTH: usize = 160;

/// Returns a fault, with its source line and a caret below; in colour on a terminal.
pub fn fault(source: &Source, fault: &PolicyFault, is_warning: bool) -> String {
    painted(source, fault, is_warning, terminal::is_coloured())
}

fn painted(source: &Source, fault: &PolicyFault, is_warning: bool, in_colour: bool) -> String {
    let (strong, plain) = match (in_colour, is_warning) {
        (false, _) => ("", ""),
        (true, false) => ("\x1b[1;31m", "\x1b[0m"),
        (true, true) => ("\x1b[1;33m", "\x1b[0m"),
    };
    // A fault that concerns no single file names only the directory.
    let slash = if fault.file.is_empty() { ": " } else { "/" };
    let directory = source.directory.display().to_string();
    let directory = escape_controls(&directory);
    let mut text = if is_warning {
        format!("{strong}warning:{plain} {directory}{slash}{fault}")
    } else {
        format!("{strong}{directory}{slash}{fault}{plain}")
    };
    if let Some((number, line)) = line(source, fault) {
        // An empty line alone would not show the place. Writing into a String cannot fail.
        let above = number.checked_sub(1).filter(|_| line.is_empty());
        if let Some((number, above)) = above.and_then(|above| Some((above, line_at(text_of(source, fault)?, above)?))) {
            let _ = write!(text, "\n{number:>6} | {}", shown(above));
        }
        let _ = write!(text, "\n{number:>6} | {}", shown(line));
        if let Some(column) = fault.column.filter(|column| *column <= WIDTH) {
            let before: String = line.chars().take(column - 1).collect();
            let under: String = shown(&before).chars().map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
            let _ = write!(text, "\n       | {under}{strong}^{plain}");
        }
    }
    text
}

/// Returns a line made safe for a terminal; tabs stay, so that the caret is in the right place.
fn shown(line: &str) -> String {
    line.split('\t').map(escape_controls).collect::<Vec<_>>().join("\t")
}

/// Returns the line of a fault, and its number. What is missing at the end of a file is reported after its last line.
fn line<'a>(source: &'a Source, fault: &PolicyFault) -> Option<(usize, &'a str)> {
    let number = fault.line?;
    text_of(source, fault).map(|text| (number, line_at(text, number).unwrap_or_default()))
}

fn text_of<'a>(source: &'a Source, fault: &PolicyFault) -> Option<&'a str> {
    source.texts().find(|(path, _)| *path == fault.file).map(|(_, text)| text)
}

/// Returns a line, counted from 1, cut to the shown width.
fn line_at(text: &str, number: usize) -> Option<&str> {
    let line = text.lines().nth(number.checked_sub(1)?)?;
    let end = line.char_indices().nth(WIDTH).map_or(line.len(), |(end, _)| end);
    line.get(..end)
}

/// Returns a fault for programs; `id` is the kind of finding, `None` for a fault that keeps a set from loading.
pub fn json(fault: &PolicyFault, id: Option<&str>) -> Value {
    json!({
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "rule": fault.within.as_ref().map(|(_, name)| name),
        "lint": id,
        "message": fault.message,
    })
}

/// Prints why a set does not load; for programs under the same key as in `policy check`.
pub fn refused(source: &Source, faults: &[PolicyFault], form: Output) -> anyhow::Result<()> {
    match form {
        Output::Text => faults.iter().try_for_each(|found| print_finding(fault(source, found, false)))?,
        Output::Json => {
            print_finding(json!({ "faults": faults.iter().map(|fault| json(fault, None)).collect::<Vec<_>>() }))?;
        }
    }
    Ok(())
}

/// Returns faults and findings as a SARIF 2.1.0 log, which code hosts show next to the lines.
pub fn sarif<'a>(source: &Source, faults: impl Iterator<Item = &'a PolicyFault>, lints: &[Lint]) -> Value {
    let place = |fault: &PolicyFault| {
        let mut place =
            json!({ "artifactLocation": { "uri": source.directory.join(&fault.file).display().to_string() } });
        if let Some(line) = fault.line {
            place["region"] = json!({ "startLine": line, "startColumn": fault.column.unwrap_or(1) });
        }
        json!([{ "physicalLocation": place }])
    };
    let result = |id: &str, level: &str, fault: &PolicyFault| {
        let whose = fault.whose().map_or(String::new(), |whose| format!("{whose}: "));
        let text = format!("{whose}{}", fault.message);
        json!({ "ruleId": id, "level": level, "message": { "text": text }, "locations": place(fault) })
    };
    let refused = faults.map(|fault| result("refused", "error", fault));
    let odd = lints.iter().map(|lint| result(lint.id, "warning", &lint.fault));
    let kinds = [("refused", "the set does not load")].into_iter().chain(LINTS);
    let kinds = kinds.map(|(id, text)| json!({ "id": id, "shortDescription": { "text": text } }));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "flyball", "version": env!("CARGO_PKG_VERSION"), "rules": kinds.collect::<Vec<_>>() } },
            "results": refused.chain(odd).collect::<Vec<_>>(),
        }],
    })
}

/// Returns the results of tests as a `JUnit` document.
pub fn junit(report: &TestReport) -> String {
    let failures = report.failures().count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"policies\" tests=\"{}\" failures=\"{failures}\">\n",
        report.tests.len()
    );
    for test in &report.tests {
        let (name, file) = (escaped(&test.name), escaped(&test.file));
        let _ = match &test.failure {
            None => writeln!(text, "    <testcase classname=\"{file}\" name=\"{name}\"/>"),
            Some(failure) => {
                let failure = escaped(&failure.to_string());
                writeln!(
                    text,
                    "    <testcase classname=\"{file}\" name=\"{name}\"><failure message=\"{failure}\"/></testcase>"
                )
            }
        };
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Returns a `JUnit` document for a set, or its tests, that do not load: one failure that lists every fault.
pub fn junit_refused(faults: &[PolicyFault]) -> String {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"policies\" tests=\"1\" failures=\"1\">\n    \
         <testcase classname=\"policies\" name=\"the set and its tests load\"><failure message=\"{}\"/></testcase>\n  \
         </testsuite>\n</testsuites>\n",
        escaped(&faults.join("; "))
    )
}

/// Returns text escaped for an attribute; characters that XML cannot represent are dropped.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            control if control.is_control() => (),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::decide::{RuleKind, Vocabulary};
    use crate::ports::PolicyFile;

    #[test]
    fn a_fault_behind_the_last_line_is_shown_there() {
        let file = PolicyFile { path: "t.rhai".to_owned(), text: "rule(\n".into() };
        let vocabulary = Vocabulary::of([]).unwrap();
        let source = Source { directory: PathBuf::from("set"), files: vec![file], vocabulary, settings: None };
        let fault = |line, column| PolicyFault { line: Some(line), column, ..PolicyFault::of("t.rhai", "incomplete") };
        let behind = "set/t.rhai:2:1: incomplete\n     1 | rule(\n     2 | \n       | ^";
        assert_eq!(painted(&source, &fault(2, Some(1)), false, false), behind);
        let after = "set/t.rhai:1:6: incomplete\n     1 | rule(\n       |      ^";
        assert_eq!(painted(&source, &fault(1, Some(6)), false, false), after);
    }

    /// A terminal must not obey the content of a policy.
    #[test]
    fn control_characters_of_a_policy_are_spelled_out() {
        let text = "let a = \"\u{1b}[2J\"; throw a;\n".into();
        let file = PolicyFile { path: "t\n.rhai".to_owned(), text };
        let vocabulary = Vocabulary::of([]).unwrap();
        let source = Source { directory: PathBuf::from("s\u{9b}t"), files: vec![file], vocabulary, settings: None };
        let fault = PolicyFault {
            line: Some(1),
            column: Some(17),
            ..PolicyFault::of("t\n.rhai", "\u{1b}[2J\nok: all is well")
        };
        let expected = "s\\u{9b}t/t\\n.rhai:1:17: \\u{1b}[2J\\nok: all is well\n     \
                        1 | let a = \"\\u{1b}[2J\"; throw a;\n       | \u{20}                    ^";
        assert_eq!(painted(&source, &fault, false, false), expected);
    }

    #[test]
    fn a_fault_is_shown_in_colour_with_a_caret_under_its_column() {
        let file = PolicyFile { path: "t.rhai".to_owned(), text: "one\n\twhen(x)\n".into() };
        let vocabulary = Vocabulary::of([]).unwrap();
        let source = Source { directory: PathBuf::from("set"), files: vec![file], vocabulary, settings: None };
        let (line, column, within) = (Some(2), Some(7), Some((RuleKind::Rule, "r".to_owned())));
        let fault = PolicyFault { line, column, within, ..PolicyFault::of("t.rhai", "unknown name `x`") };
        let plain = "set/t.rhai:2:7: rule r: unknown name `x`\n     2 | \twhen(x)\n       | \t     ^";
        assert_eq!(painted(&source, &fault, false, false), plain);
        let (red, yellow, end) = ("\x1b[1;31m", "\x1b[1;33m", "\x1b[0m");
        let (head, tail) = plain.split_once('\n').unwrap();
        let caret = |colour: &str| tail.replace('^', &format!("{colour}^{end}"));
        assert_eq!(painted(&source, &fault, false, true), format!("{red}{head}{end}\n{}", caret(red)));
        assert_eq!(painted(&source, &fault, true, true), format!("{yellow}warning:{end} {head}\n{}", caret(yellow)));
    }
}
