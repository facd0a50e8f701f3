//! Planted breaches: the checker finds each, at its line, and does not flag innocent code.

use super::judge::Rule;
use super::{Source, check};

fn crates() -> Vec<String> {
    ["tokio", "jiff", "serde", "rand", "tracing", "kube"].map(str::to_owned).to_vec()
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: format!("//! Planted.\n{text}") }
}

/// Returns `line: what: rule` of each finding in one planted file (line 2 is the first of `text`).
fn found(path: &str, text: &str) -> Vec<(usize, String, Rule)> {
    let directory = path.rsplit_once('/').map_or("src", |(directory, _)| directory);
    let mut sources = vec![source(path, text)];
    if directory != "src" && !path.ends_with("/mod.rs") {
        sources.push(source(&format!("{directory}/mod.rs"), ""));
    }
    check(&sources, &crates()).into_iter().map(|finding| (finding.line, finding.what, finding.rule)).collect()
}

fn assert_breach(path: &str, text: &str, what: &str, rule: Rule) {
    let findings = found(path, text);
    assert!(
        findings.iter().any(|(_, found, broken)| found == what && *broken == rule),
        "{path}: {text}\nfound {findings:?}, expected {what} to break {rule:?}"
    );
}

#[test]
fn a_layer_breach_is_found_in_every_form() {
    let forms = [
        ("use crate::guard::Chain;", "crate::guard::Chain"),
        ("use crate::{model::Now, guard::{self, Chain}};", "crate::guard"),
        ("use crate::guard as g;", "crate::guard"),
        ("use crate::guard::*;", "crate::guard"),
        ("pub use crate::guard::Chain as Link;", "crate::guard::Chain"),
        ("use crate as root; fn f() { root::guard::chain(); }", "crate::guard::chain"),
        ("fn f(x: crate::guard::Chain) {}", "crate::guard::Chain"),
        ("fn f() -> Vec<Option<crate::guard::Chain>> { Vec::new() }", "crate::guard::Chain"),
        ("fn f() { let g = crate::guard::chain(); }", "crate::guard::chain"),
        ("fn f(x: X) { match x { crate::guard::Kind::A => {} } }", "crate::guard::Kind::A"),
        ("impl crate::guard::Guard for X {}", "crate::guard::Guard"),
        ("fn f() { vec![1, crate::guard::two()]; }", "crate::guard::two"),
        ("macro_rules! m { () => { $crate::guard::chain() }; }", "crate::guard::chain"),
        ("macro_rules! m { () => { use crate::{guard::Chain}; }; }", "crate::guard::Chain"),
        ("#[derive(crate::guard::Derive)] struct X;", "crate::guard::Derive"),
        ("struct X { #[serde(with = \"crate::guard::text\")] y: u8 }", "crate::guard::text"),
        ("fn f() { <crate::guard::Chain as Default>::default(); }", "crate::guard::Chain"),
        ("mod inner { use super::super::guard; }", "crate::guard"),
        ("#[cfg(test)] mod tests { use crate::guard::Chain; }", "crate::guard::Chain"),
        ("fn f() { use crate::guard::chain; }", "crate::guard::chain"),
        ("fn f() { flyball::guard::chain(); }", "crate::guard::chain"),
        ("const X: u8 = crate::stray();", "crate::stray"),
    ];
    for (text, what) in forms {
        assert_breach("src/observe/mod.rs", text, what, Rule::Layer);
    }
}

#[test]
fn super_is_resolved_to_the_absolute_module() {
    assert_breach("src/observe/grid.rs", "use super::super::guard::Chain;", "crate::guard::Chain", Rule::Layer);
    assert_breach("src/observe/grid.rs", "use super::super::guard;", "super::super::guard", Rule::SuperSuper);
    assert_breach("src/observe/mod.rs", "use super::guard;", "crate::guard", Rule::Layer);
    assert_breach("src/adapters/store/mod.rs", "use super::{super::cycle::Core};", "crate::cycle::Core", Rule::Layer);
    assert_eq!(found("src/observe/grid.rs", "use super::Observer; use self::cell::Cell; mod cell {}"), []);
}

#[test]
fn a_clock_read_is_found_in_every_form() {
    let forms = [
        ("fn f() { std::time::Instant::now(); }", "std::time::Instant::now"),
        ("use std::time::{Duration, Instant};", "std::time::Instant"),
        ("use std::time as t; fn f() { t::SystemTime::now(); }", "std::time::SystemTime::now"),
        ("use std::time; fn f() { time::Instant::now(); }", "std::time::Instant::now"),
        ("use std as s; use s::time as t; fn f() { t::Instant::now(); }", "std::time::Instant::now"),
        ("use core::time as t; type T = t::Instant;", "std::time::Instant"),
        ("extern crate std as s; fn f() { s::time::Instant::now(); }", "std::time::Instant::now"),
        ("fn f() { ::std::time::Instant::now(); }", "std::time::Instant::now"),
        ("use std::time::*;", "std::time::*"),
        ("use crate::model::Timestamp; fn f() { Timestamp::now(); }", "crate::model::Timestamp::now"),
        ("use crate::model::Timestamp as T; fn f() { T::now(); }", "crate::model::Timestamp::now"),
        ("use crate::model::*; fn f() { Timestamp::now(); }", "Timestamp::now"),
        ("type T = jiff::Timestamp; fn f() { T::now(); }", "jiff::Timestamp::now"),
        ("fn f() { <jiff::Timestamp>::now(); }", "jiff::Timestamp::now"),
        ("fn f() { let read = jiff::Zoned::now; }", "jiff::Zoned::now"),
        ("fn f() { format!(\"{}\", jiff::Timestamp::now()); }", "jiff::Timestamp::now"),
        ("mod inner { use super::*; fn f() { t::Instant::now(); } } use std::time as t;", "std::time::Instant::now"),
    ];
    for stage in ["model", "observe", "forecast", "decide", "guard", "act", "verify", "cycle", "sim"] {
        for (text, what) in forms {
            assert_breach(&format!("src/{stage}/mod.rs"), text, what, Rule::Purity);
        }
    }
}

#[test]
fn the_rest_of_the_world_is_banned_from_pure_modules() {
    let forms = [
        ("async fn f() {}", "async fn"),
        ("fn f() { let x = async { 1 }; }", "async block"),
        ("fn f() { g(async || 1); }", "async closure"),
        ("fn f() { select! { x = y.await => {} } }", "await"),
        ("use tokio::sync::mpsc;", "tokio::sync::mpsc"),
        ("fn f() { tokio::spawn(x); }", "tokio::spawn"),
        ("#[tokio::main] fn f() {}", "tokio::main"),
        ("use kube::Api;", "kube::Api"),
        ("fn f() { rand::random(); }", "rand::random"),
        ("use std::env;", "std::env"),
        ("fn f() { std::fs::read(\"x\"); }", "std::fs::read"),
        ("use std::net::TcpStream;", "std::net::TcpStream"),
        ("use std::collections::{BTreeMap, HashMap};", "std::collections::HashMap"),
        ("fn f(x: std::collections::HashSet<u8>) {}", "std::collections::HashSet"),
        ("use std::collections::*;", "std::collections::*"),
        ("fn f() { std::thread::sleep(d); }", "std::thread::sleep"),
        ("fn f() { println!(\"x\"); }", "println!"),
        ("fn f() { std::eprintln!(\"x\"); }", "eprintln!"),
        ("fn f() { assert!({ dbg!(1); true }); }", "dbg!"),
    ];
    for (text, what) in forms {
        assert_breach("src/guard/mod.rs", text, what, Rule::Purity);
    }
    for module in ["guard", "cycle", "sim"] {
        assert_breach(&format!("src/{module}/mod.rs"), "use tracing::info;", "tracing::info", Rule::Purity);
    }
}

#[test]
fn code_that_panics_is_found_outside_tests() {
    let forms = [
        ("fn f() { x.unwrap(); }", ".unwrap()"),
        ("fn f() { x.expect(\"y\"); }", ".expect()"),
        ("fn f() { panic!(\"x\"); }", "panic!"),
        ("fn f() { todo!(); }", "todo!"),
        ("fn f() { println!(\"{}\", x.unwrap()); }", ".unwrap()"),
        ("#[cfg(not(test))] fn f() { x.unwrap(); }", ".unwrap()"),
        ("#[cfg(any(test, unix))] fn f() { x.unwrap(); }", ".unwrap()"),
        ("#[expect(clippy::unwrap_used)] fn f() { x.unwrap(); }", ".unwrap()"),
    ];
    for (text, what) in forms {
        assert_breach("src/adapters/mod.rs", text, what, Rule::Panics);
    }
    let fine = [
        "#[cfg(test)] mod tests { fn f() { x.unwrap(); } }",
        "#[cfg(all(test, unix))] fn f() { panic!(); }",
        "#[test] fn f() { x.expect(\"y\"); }",
        "#[expect(clippy::expect_used, reason = \"checked above\")] fn f() { x.expect(\"y\"); }",
        "fn f() { x.unwrap_or(1); if a != b {} debug_assert!(c); }",
    ];
    for text in fine {
        assert_eq!(found("src/adapters/mod.rs", text), [], "{text}");
    }
    assert_eq!(found("src/adapters/tests.rs", "fn f() { x.unwrap(); }"), []);
}

#[test]
fn one_place_each_for_composition_settings_and_environment() {
    let both = "use crate::adapters::clock; use crate::actors::Root;";
    let met = found("src/cli/mod.rs", &format!("{both} use crate::ports::Clock;"));
    assert_eq!(met, [(2, "crate::actors::Root".to_owned(), Rule::Meeting)]);
    assert_eq!(found("src/app.rs", both), []);

    assert_breach("src/actors/mod.rs", "use crate::config::Settings;", "crate::config::Settings", Rule::Layer);
    assert_breach("src/config/mod.rs", "use crate::guard::Chain;", "crate::guard::Chain", Rule::Layer);
    let params = "use crate::forecast::params::Params; use crate::adapters::prometheus::settings::Limits;";
    assert_eq!(found("src/config/mod.rs", params), []);
    assert_breach("src/config/validate.rs", "use std::fs;", "std::fs", Rule::OneFile);
    assert_eq!(found("src/config/load.rs", "use std::fs; fn f() { std::env::var(\"X\"); }"), []);
    assert_breach("src/console/mod.rs", "fn f() { std::env::var(\"X\"); }", "std::env::var", Rule::Environment);
}

#[test]
fn what_the_test_cannot_see_is_a_breach() {
    assert_breach("src/act/mod.rs", "#[path = \"x.rs\"] mod y;", "#[path]", Rule::Unseen);
    assert_breach("src/act/mod.rs", "include!(\"x.rs\");", "include!", Rule::Unseen);
    assert_breach("src/act/mod.rs", "fn f( {", "syntax", Rule::Unseen);
    assert_breach("src/novel/mod.rs", "", "novel", Rule::Layer);
    let bare = [Source { path: "src/act/kinds/scale.rs".to_owned(), text: String::new() }];
    assert_eq!(check(&bare, &crates()).first().map(|finding| finding.rule), Some(Rule::ModuleDoc));
    let undocumented = [Source { path: "src/act/mod.rs".to_owned(), text: "pub mod kinds;".to_owned() }];
    assert_eq!(check(&undocumented, &crates()).first().map(|finding| finding.rule), Some(Rule::ModuleDoc));
}

#[test]
fn a_finding_names_file_line_path_and_rule() {
    let text = "use crate::model::Now;\n\nfn late(now: Now) {\n    crate::guard::chain();\n}\n";
    let findings = check(&[source("src/observe/mod.rs", text)], &crates());
    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["src/observe/mod.rs:5: crate::guard::chain breaks Layer: `observe` may import model"]);
}

#[test]
fn innocent_code_is_left_alone() {
    let text = "
        // use crate::guard::Chain;
        use std::collections::BTreeMap;
        use std::time::Duration;
        use crate::model::{Now, time::Minute};
        /// Not [`crate::guard::Chain`], only a link to it.
        pub fn f(now: Now) -> Option<Duration> {
            let text = \"crate::guard::chain\";
            let instant = now.mono;
            Mode::Auto.then(|| Duration::from_secs(1))
        }";
    assert_eq!(found("src/verify/mod.rs", text), []);
    // A function with the name of its module.
    assert_eq!(found("src/verify/mod.rs", "mod tell; use tell::tell; fn f() { tell::other(); }"), []);
}
