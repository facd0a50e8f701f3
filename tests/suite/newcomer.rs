//! The first hour with flyball: what is written to start from, and what is told of how it stands.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
        assert_eq!(said.contains("- not ready: source prometheus: not answered yet\n"), !ready, "{said}");
        let (_, said) = run(&place, "status shop/checkout -o json");
        let told: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&told["status"]["uptime_seconds"], told["services"].as_array().unwrap().len()), (&3.0.into(), 1));
        assert_eq!(told["services"][0]["decision"]["what"], "scaling 4 -> 7");
    }
    let server = console::start(console::Loop { ready: true, ..console::Loop::default() }).await;
    listen(&server.address.to_string());
    let (code, said) = run(&place, "explain --brief");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 2), "{said}");
    assert!(lines[0].starts_with("2027-01-15 08:00:0") && lines[0].contains("Z  shop/checkout@1-1 "), "{said}");
    assert!(lines[0].contains("  scaling 4 -> 7 ") && lines[1].contains("  no action "), "the newest last: {said}");
    let (code, said) = run(&place, "explain shop/checkout -b -n 1 -s 10m -o json");
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["id"]), (Some(0), &"shop/checkout@1-2".into()), "ten minutes before the clock of the loop");
    let (_, said) = run(&place, "explain shop/checkout -o json");
    assert!(said.contains("\"lead_time_seconds\":45.0") && !said.contains("nanos"), "{said}");
    listen("127.0.0.1:1");
    let (code, said) = run(&place, "status");
    assert!(code == Some(2) && said.contains("no flyball answers at 127.0.0.1:1"), "{said}");
    let (code, said) = run(&place, "status -o json");
    assert!(code == Some(2) && said.starts_with("{\"address\":\"127.0.0.1:1\",\"health\":\"unreachable\""), "{said}");
    let (code, said) = run(&place, "status shop/nobody");
    assert!(code == Some(2) && said.contains("no service `shop/nobody`"), "{said}");
}

/// Each thing that the loop needs is looked at, and what is missing comes with its remedy.
#[test]
fn doctor_looks_at_all_that_the_loop_needs() {
    let place = tempfile::tempdir().unwrap();
    run(&place, "init");
    let path = |name: &str| place.path().join(name);
    let set = |from: &str, to: &str| {
        let settings = fs::read_to_string(path("flyball.yaml")).unwrap();
        assert!(settings.contains(from), "{from}");
        fs::write(path("flyball.yaml"), settings.replace(from, to)).unwrap();
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    set("listen: 127.0.0.1:9464", "listen: 127.0.0.1:0\ncluster: { url: http://127.0.0.1:1 }");
    set("http://127.0.0.1:9090", "http://127.0.0.1:1");
    let doctor = |parts: &[&str]| {
        let (code, said) = run(&place, "doctor");
        assert_eq!(code, Some(1), "{said}");
        for part in parts {
            assert!(said.contains(part), "`{part}` is not in\n{said}");
        }
    };
    doctor(&[
        "flyball-state is made by the first `flyball run` (",
        "policies: revision ",
        "ok    address 127.0.0.1:0 is free\n",
        "note  kill switch ",
        "no service is in `auto`, so nothing is missed",
        "FAIL  source main",
        "FAIL  API server: ",
        "2 things are missing",
    ]);
    set("mode: shadow", "mode: auto");
    fs::create_dir(path("flyball-state")).unwrap();
    doctor(&[
        "FAIL  kill switch ",
        "is missing; `flyball resume --reason ...`",
        "until then NOTHING IS WRITTEN",
        "no journal yet\n",
    ]);
    run(&place, "kill --by ops -r drill");
    doctor(&["note  kill switch is ON and stops everything, by ops: drill\n"]);
    let (_, said) = run(&place, "doctor -o json");
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told["failed"], &told["findings"][0]["level"]), (&2.into(), &"ok".into()), "{said}");
    run(&place, "resume -r over");
    fs::write(path("flyball-state/journal.redb"), "no journal").unwrap();
    fs::write(path("policies/odd.rhai"), "rule(").unwrap();
    set("listen: 127.0.0.1:0", &format!("listen: {}", listener.local_addr().unwrap()));
    doctor(&[
        "ok    kill switch is off\n",
        "journal.redb is damaged",
        "policies: 1 fault, the first: odd.rhai:1:",
        "is taken by something that is no flyball; set `listen` or FLYBALL_LISTEN to a free one",
    ]);
    fs::remove_dir_all(path("flyball-state")).unwrap();
    fs::write(path("flyball-state"), "a file").unwrap();
    doctor(&["FAIL  state directory ", "is a file; make it for this user, or set `state` or FLYBALL_STATE"]);
}

/// A `flyball run`, ended with the test.
struct Running(Child);

impl Running {
    fn start(place: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
        command.current_dir(place).arg("run").env_remove("FLYBALL_CONFIG").stderr(Stdio::piped()).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Returns the lines of its log up to the one with `text`; all, if none has it.
    fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in BufReader::new(self.0.stderr.as_mut().unwrap()).lines().map_while(Result::ok) {
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains(text)) {
                break;
            }
        }
        lines
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// That nothing is written for want of a switch is said at the start, and who has the journal to whoever comes second.
#[test]
fn run_says_that_the_switch_is_missing_and_who_has_the_journal() {
    let place = tempfile::tempdir().unwrap();
    run(&place, "init");
    let settings = fs::read_to_string(place.path().join("flyball.yaml")).unwrap();
    let settings =
        settings.replace("listen: 127.0.0.1:9464", "listen: 127.0.0.1:0\ncluster: { url: http://127.0.0.1:1 }");
    fs::write(place.path().join("flyball.yaml"), settings.replace("127.0.0.1:9090", "127.0.0.1:1")).unwrap();
    let mut running = Running::start(place.path());
    let lines = running.until("\"starting\"").join("\n");
    assert!(lines.contains("no kill switch, so NOTHING IS WRITTEN"), "{lines}");
    assert!(lines.contains("`flyball resume --reason ...` makes one"), "{lines}");
    assert!(!lines.contains("\"Actor\""), "spans of a library are no one's business: {lines}");
    let (code, said) = run(&place, "run");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("journal.redb is in use by "), "{said}");
    if Path::new("/proc/locks").exists() {
        assert!(said.contains(&format!("in use by process {};", running.0.id())), "{said}");
    }
}

/// Whoever asks for help finds the variables, and whoever reports a fault what they run.
#[test]
fn help_names_the_environment_and_version_the_commit() {
    let place = tempfile::tempdir().unwrap();
    let (_, said) = run(&place, "--help");
    for name in ["CONFIG", "LOG", "LISTEN", "STATE", "LEADERSHIP", "INTENTS"] {
        assert!(said.contains(&format!("  FLYBALL_{name} ")), "{name}: {said}");
    }
    let (_, said) = run(&place, "--version");
    assert_eq!(said, format!("flyball {}\n", flyball::model::build::FULL));
    let (code, said) = run(&place, "check -o json");
    assert!(code == Some(1) && said.contains("no settings file"), "{said}");
    run(&place, "init");
    let (code, said) = run(&place, "check -o json");
    let told: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (code, &told[0]["valid"], &told[1]["faults"]),
        (Some(0), &true.into(), &serde_json::json!([])),
        "{said}"
    );
    fs::write(place.path().join("flyball.yaml"), "state: [\n").unwrap();
    let (code, said) = run(&place, "check -o json");
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["valid"]), (Some(1), &false.into()), "{said}");
    assert!(told["faults"][0]["message"].as_str().unwrap().contains("is not valid YAML"), "{said}");
}
