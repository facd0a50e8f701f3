//! The first hour with flyball: what is written to start from, and what is told of how it stands.

use std::fs;

use crate::command_line::{flyball, run};

/// What is written to start from passes the check as it is, and its policies their tests.
#[test]
fn what_init_writes_passes_the_check() {
    let place = tempfile::tempdir().unwrap();
    let (code, said) = run(&place, "init");
    assert_eq!(code, Some(0), "{said}");
    for part in
        ["wrote flyball.yaml\n", "wrote policies/capacity_test.rhai\n", "shop/checkout is in shadow", " doctor "]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.lines().all(|line| line.len() <= 120), "{said}");
    let (code, said) = run(&place, "check");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("flyball.yaml: valid; 1 service (1 shadow), 1 signal, 1 source\n"), "{said}");
    let (code, said) = run(&place, "policy test");
    assert_eq!(code, Some(0), "{said}");
}

/// Nothing of anybody is written over, and half a start is none.
#[test]
fn init_overwrites_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mine = place.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("flyball.yaml"), "mine").unwrap();
    let (code, said) = run(&place, "init mine");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was written: mine/flyball.yaml is there already; name another directory"), "{said}");
    assert_eq!(fs::read_to_string(mine.join("flyball.yaml")).unwrap(), "mine");
    assert!(!mine.join("policies").exists());
    fs::create_dir_all(place.path().join("rules/policies")).unwrap();
    fs::write(place.path().join("rules/policies/own.rhai"), "// mine").unwrap();
    let (code, said) = run(&place, "init rules");
    assert!(code == Some(1) && said.contains("rules/policies is there already"), "{said}");
    assert!(!place.path().join("rules/flyball.yaml").exists());
    let output = flyball(place.path(), &["init", "new", "--prometheus", "prometheus:9090"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("nothing was written: the settings would have 1 fault"),
        "{said}"
    );
    assert!(!place.path().join("new").exists());
}
