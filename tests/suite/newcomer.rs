//! The first hour with flyball: what is written to start from, and what is told of how it stands.

use std::fs;

use crate::command_line::{flyball, run};
use crate::console;

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

/// How it stands is a table and an exit code: what is waited for stands first, and nobody who answers is a third thing.
#[tokio::test(flavor = "multi_thread")]
async fn status_tells_how_the_running_one_stands() {
    let place = tempfile::tempdir().unwrap();
    run(&place, "init");
    let settings = fs::read_to_string(place.path().join("flyball.yaml")).unwrap();
    let listen = |address: &str| {
        let text = settings.replace("listen: 127.0.0.1:9464", &format!("listen: {address}"));
        fs::write(place.path().join("flyball.yaml"), text).unwrap();
    };
    for (ready, code, health) in [(true, 0, "health       healthy\n"), (false, 1, "health       DEGRADED\n")] {
        let server = console::start(console::Loop { ready, ..console::Loop::default() }).await;
        listen(&server.address.to_string());
        let (found, said) = run(&place, "status");
        assert_eq!(found, Some(code), "{said}");
        for part in [health, "kill switch  off\n", "2 services: 2 auto\n", "\nshop/checkout  auto "] {
            assert!(said.contains(part), "`{part}` is not in\n{said}");
        }
        assert_eq!(said.contains("- not ready: waits for source prometheus: not answered yet\n"), !ready, "{said}");
        let (_, said) = run(&place, "status shop/checkout -o json");
        let told: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&told["status"]["uptime_seconds"], told["services"].as_array().unwrap().len()), (&3.0.into(), 1));
        assert_eq!(told["services"][0]["decision"]["what"], "scaling 4 -> 7");
    }
    listen("127.0.0.1:1");
    let (code, said) = run(&place, "status");
    assert!(code == Some(2) && said.contains("no flyball answers at 127.0.0.1:1"), "{said}");
    let (code, said) = run(&place, "status -o json");
    assert!(code == Some(2) && said.starts_with("{\"address\":\"127.0.0.1:1\",\"health\":\"unreachable\""), "{said}");
    let (code, said) = run(&place, "status shop/nobody");
    assert!(code == Some(2) && said.contains("no service `shop/nobody`"), "{said}");
}
