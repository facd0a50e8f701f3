//! The first hour with flyball: the initial files, and how its state is reported.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::command_line::{command, flyball, run};
use crate::{console, contract_maps, records};

/// The initial files pass the check as they are, and the policies their tests.
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
    let (code, said) = run(&place, "policy check --strict");
    assert_eq!(code, Some(0), "{said}");
}

/// No existing file is overwritten, and a partial init is no init.
#[test]
fn init_overwrites_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mine = place.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("flyball.yaml"), "mine").unwrap();
    let (code, said) = run(&place, "init mine");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was written: mine/flyball.yaml is already there; name another directory"), "{said}");
    assert_eq!(fs::read_to_string(mine.join("flyball.yaml")).unwrap(), "mine");
    assert!(!mine.join("policies").exists());
    fs::create_dir_all(place.path().join("rules/policies")).unwrap();
    fs::write(place.path().join("rules/policies/own.rhai"), "// mine").unwrap();
    let (code, said) = run(&place, "init rules");
    assert!(code == Some(1) && said.contains("rules/policies is already there"), "{said}");
    assert!(!place.path().join("rules/flyball.yaml").exists());
    let output = flyball(place.path(), &["init", "new", "--prometheus", "prometheus:9090"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("nothing was written: the settings would have 1 fault"),
        "{said}"
    );
    assert!(!place.path().join("new").exists());
}

/// The state is a table and an exit code: what is waited for comes first, and no answer is a third result.
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
        assert_eq!(said.contains("- not ready: a first round for 2 services\n"), !ready, "{said}");
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

/// Everything the loop needs is checked, and what is missing is reported with its remedy.
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
        "flyball-state does not exist yet; the first `flyball run` creates it (",
        "policies: revision ",
        "ok    address 127.0.0.1:0 is free\n",
        "note  kill switch ",
        "no service is in `auto`, so this blocks nothing",
        "FAIL  source main",
        "FAIL  API server: ",
        "2 things are missing",
    ]);
    set("mode: shadow", "mode: auto");
    fs::create_dir(path("flyball-state")).unwrap();
    doctor(&[
        "FAIL  kill switch ",
        "is missing; `flyball resume --reason ...`",
        "until this is fixed, NOTHING IS WRITTEN",
        "no journal yet\n",
    ]);
    run(&place, "kill --by ops -r drill");
    doctor(&["note  kill switch is ON and stops everything, by ops: drill\n"]);
    let (_, said) = run(&place, "doctor -o json");
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told["failed"], &told["findings"][0]["level"]), (&2.into(), &"ok".into()), "{said}");
    // A remedy says what to do, a consequence what does not work until then.
    let source = told["findings"].as_array().unwrap().iter().find(|found| found["level"] == "fail").unwrap();
    assert_eq!(source["remedy"], "check its `url` and credentials, and that it is running", "{said}");
    assert_eq!(source["consequence"], "until it answers, its services hold their replicas", "{said}");
    run(&place, "resume -r over");
    fs::write(path("flyball-state/journal.redb"), "no journal").unwrap();
    fs::write(path("policies/odd.rhai"), "rule(").unwrap();
    set("listen: 127.0.0.1:0", &format!("listen: {}", listener.local_addr().unwrap()));
    doctor(&[
        "ok    kill switch is off\n",
        "journal.redb is damaged",
        "policies: 1 fault, the first: odd.rhai:1:",
        "is in use by a process that is not flyball; set `listen` or FLYBALL_LISTEN to a free address",
    ]);
    // Another version counts, too.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let body = "{\"ready\":true,\"waiting_for\":[]}";
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    set("    url: http://127.0.0.1:1\n", "    url: https://127.0.0.1:1\n    ca_file: none.pem\n");
    doctor(&[
        "an older flyball answers there\n",
        "FAIL  source main (https://127.0.0.1:1",
        "none.pem",
        "until this is fixed, `flyball run` does not start\nFAIL  API server: ",
    ]);
    fs::remove_dir_all(path("flyball-state")).unwrap();
    fs::write(path("flyball-state"), "a file").unwrap();
    doctor(&[
        "FAIL  state directory ",
        "is a file; create it with this user as owner, or set `state` or FLYBALL_STATE",
    ]);
}

/// A running flyball, ended with the test.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(place: &Path, line: &str) -> Self {
        let mut command = command(place);
        command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, lines) = channel();
        let (out, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let streams: [Box<dyn std::io::Read + Send>; 2] = [Box::new(out), Box::new(errors)];
        for stream in streams {
            let said = said.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.map(|line| said.send(line)).take_while(Result::is_ok).count()
            });
        }
        Self { child, lines }
    }

    /// Returns its output lines up to the one with `text`.
    fn until(&self, text: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.contains(text)) {
            let line = self.lines.recv_timeout(Duration::from_secs(60));
            lines.push(line.unwrap_or_else(|_| panic!("`{text}` is not in {lines:#?}")));
        }
        lines
    }

    /// Ends it as Ctrl-C does, and returns its exit code.
    fn interrupt(mut self) -> Option<i32> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a place with the settings of `init`, with these changes.
fn changed(changes: &[(&str, &str)]) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    run(&place, "init");
    let path = place.path().join("flyball.yaml");
    let mut settings = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(settings.contains(from), "{from}");
        settings = settings.replace(from, to);
    }
    fs::write(path, settings).unwrap();
    place
}

fn listening(address: std::net::SocketAddr) -> tempfile::TempDir {
    changed(&[("listen: 127.0.0.1:9464", &format!("listen: {address}"))])
}

/// A ConfigMap switch is read before anything is reported about it: what a watch has not shown yet is not missing.
#[tokio::test(flavor = "multi_thread")]
async fn run_says_of_a_switch_in_the_cluster_what_it_reads() {
    let (double, _) = contract_maps::server().await;
    let cluster = format!(
        "listen: 127.0.0.1:0\ncluster: {{ url: {} }}\nkill_switch: configmap\nnamespace: {}",
        double.url(),
        contract_maps::OWN
    );
    let place = changed(&[("listen: 127.0.0.1:9464", &cluster), ("127.0.0.1:9090", "127.0.0.1:1")]);
    let said = || Running::start(place.path(), "run").until("\"starting\"").join("\n");
    let lines = said();
    assert!(
        lines.contains("the kill switch is missing, so NOTHING IS WRITTEN") && lines.contains("does not exist"),
        "{lines}"
    );
    let name = flyball::adapters::kubernetes::kill_map::NAME;
    contract_maps::put(&double, contract_maps::OWN, name, &json!({}), &json!({ "global": "released" }));
    let lines = said();
    assert!(!lines.contains("NOTHING IS WRITTEN"), "{lines}");
}

/// A watched status is polled, even without an answer; the exit code is that of the last poll.
#[tokio::test(flavor = "multi_thread")]
async fn status_is_watched() {
    let server = console::start(console::Loop { ready: true, ..console::Loop::default() }).await;
    let place = listening(server.address);
    let running = Running::start(place.path(), "status -w shop/checkout");
    let lines = running.until("shop/checkout  auto ");
    assert!(lines[0] == "health       healthy" && !lines.join("").contains("shop/search"), "{lines:?}");
    assert_eq!(running.interrupt(), Some(0));
    let running = Running::start(place.path(), "status --watch=500ms -o json");
    for _ in 0..2 {
        running.until("\"health\":\"healthy\"");
    }
    server.stop().await;
    running.until("\"health\":\"unreachable\"");
    assert_eq!(running.interrupt(), Some(2));
    let (code, said) = run(&place, "status --watch=1ms");
    assert!(code == Some(2) && said.contains("it is shorter than 500ms"), "{said}");
}

/// Each decision is printed once as it is recorded, including simultaneous ones, and across a restart.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_followed() {
    let later = Arc::new(Mutex::new(Vec::new()));
    let of =
        |later: &Arc<Mutex<_>>| console::Loop { ready: true, later: Arc::clone(later), ..console::Loop::default() };
    let decide = |numbers: std::ops::RangeInclusive<u32>| {
        let mut later = later.lock().unwrap();
        numbers.for_each(|number| later.insert(0, records::nothing(records::id(console::SERVICE, number))));
    };
    let server = console::start(of(&later)).await;
    let (address, place) = (server.address, listening(server.address));
    let (code, said) = run(&place, "explain shop/checkout@1-1 --follow");
    assert!(code == Some(1) && said.contains("`flyball explain shop/checkout --follow` follows"), "{said}");
    let running = Running::start(place.path(), "explain --follow");
    assert_eq!(running.until("shop/checkout@1-2 ").len(), 2);
    decide(3..=3);
    assert_eq!(running.until("shop/checkout@1-3 ").len(), 1);
    decide(4..=303);
    let lines = running.until("shop/checkout@1-303 ");
    assert!(lines.len() == 300 && lines[0].contains("shop/checkout@1-4 "), "{lines:#?}");
    server.stop().await;
    let lines = running.until("retrying");
    assert!(lines.len() == 1 && lines[0].contains("no flyball answers at "), "{lines:?}");
    let server = console::start_at(address, of(&later)).await;
    running.until("reconnected");
    decide(304..=304);
    assert_eq!(running.until("shop/checkout@1-304 ").len(), 1);
    decide(305..=900);
    let lines = running.until("shop/checkout@1-900 ");
    assert!(lines.len() == 596 && lines[0].contains("shop/checkout@1-305 "), "{lines:#?}");
    assert_eq!(running.interrupt(), Some(0));
    server.stop().await;
}

/// However many there are: page by page, each decision once, without fetching whole records individually.
#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_told_back_to_a_moment() {
    let later = (3..=1001).rev().map(|number| records::nothing(records::id(console::SERVICE, number))).collect();
    let pages = Arc::new(AtomicUsize::new(0));
    let control = console::Loop {
        ready: true,
        later: Arc::new(Mutex::new(later)),
        pages: Arc::clone(&pages),
        ..console::Loop::default()
    };
    let server = console::start(control).await;
    let place = listening(server.address);
    for (line, expected, asked) in [
        ("explain --brief --since 1h", 1..=1001, 3),
        ("explain --brief --since 1s", 4..=1001, 2),
        ("explain shop/checkout -b -s 1h -n 3", 999..=1001, 1),
        ("explain shop/checkout -s 1h -o json", 1..=1001, 11),
        ("explain shop/checkout -n 250 -o json", 752..=1001, 3),
    ] {
        pages.store(0, Relaxed);
        let (code, said) = run(&place, line);
        let mut told: Vec<&str> = said.lines().collect();
        if line.ends_with("json") {
            told.reverse();
        }
        assert_eq!((code, told.len(), pages.load(Relaxed)), (Some(0), expected.clone().count(), asked), "{line}");
        for (number, told) in expected.zip(told) {
            let end = if line.ends_with("json") { '"' } else { ' ' };
            assert!(told.contains(&format!("shop/checkout@1-{number}{end}")), "{line}: {told}");
        }
    }
    server.stop().await;
}

/// A program gets JSON whatever is wrong.
#[test]
fn check_and_doctor_tell_a_program_whatever_is_wrong() {
    let told = |place: &tempfile::TempDir, line: &str| -> Vec<Value> {
        let output = flyball(place.path(), &line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let has = |fault: &Value, part: &str| assert!(fault.as_str().is_some_and(|fault| fault.contains(part)), "{fault}");
    let empty = tempfile::tempdir().unwrap();
    let none = told(&empty, "check -o json");
    assert_eq!((&none[0]["settings"], &none[0]["valid"]), (&Value::Null, &false.into()));
    has(&none[0]["faults"][0]["message"], "no settings file");
    has(&told(&empty, "doctor -o json")[0]["findings"][0]["what"], "no settings file");
    let place = changed(&[("policies: policies", "policies: elsewhere")]);
    let both = told(&place, "check -o json");
    assert_eq!((both.len(), &both[0]["valid"], &both[1]["revision"]), (2, &true.into(), &Value::Null));
    has(&both[1]["faults"][0]["message"], "elsewhere does not exist");
    let place = changed(&[("mode: shadow", "mode: sideways")]);
    has(&told(&place, "check -o json")[0]["faults"][0]["message"], "sideways");
    let doctor = told(&place, "doctor -o json");
    assert_eq!((&doctor[0]["failed"], &doctor[0]["findings"][0]["level"]), (&1.into(), &"fail".into()));
}

/// Startup reports that nothing is written because the switch is missing, and a second process is told which one has
/// the journal.
#[test]
fn run_says_that_the_switch_is_missing_and_who_has_the_journal() {
    let place = tempfile::tempdir().unwrap();
    run(&place, "init");
    let settings = fs::read_to_string(place.path().join("flyball.yaml")).unwrap();
    let settings =
        settings.replace("listen: 127.0.0.1:9464", "listen: 127.0.0.1:0\ncluster: { url: http://127.0.0.1:1 }");
    fs::write(place.path().join("flyball.yaml"), settings.replace("127.0.0.1:9090", "127.0.0.1:1")).unwrap();
    let running = Running::start(place.path(), "run");
    let lines = running.until("\"starting\"").join("\n");
    assert!(lines.contains("the kill switch is missing, so NOTHING IS WRITTEN"), "{lines}");
    assert!(lines.contains("`flyball resume --reason ...` creates one"), "{lines}");
    assert!(!lines.contains("\"Actor\""), "spans of a library are no one's business: {lines}");
    let (code, said) = run(&place, "run");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("journal.redb is in use by "), "{said}");
    let holder = if tells_holders(place.path()) {
        format!("in use by process {};", running.child.id())
    } else {
        "in use by another process;".to_owned()
    };
    assert!(said.contains(&holder), "no `{holder}` in {said}");
}

/// Returns whether the system reports the holder of a file lock in this directory. Not every system does, and for some
/// file systems the kernel reports another device.
fn tells_holders(directory: &Path) -> bool {
    let file = fs::File::create(directory.join("probe")).unwrap();
    file.lock().unwrap();
    let (device, inode) = file.metadata().map(|file| (file.dev(), file.ino())).unwrap();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let held = format!(" {} {major:02x}:{minor:02x}:{inode} ", std::process::id());
    fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.contains(&held))
}

/// Help lists the environment variables, and version output identifies the build for fault reports.
#[test]
fn help_names_the_environment_and_version_the_commit() {
    let place = tempfile::tempdir().unwrap();
    let (_, said) = run(&place, "--help");
    for name in ["CONFIG", "LOG", "LISTEN", "STATE", "LEADERSHIP", "INTENTS"] {
        assert!(said.contains(&format!("  FLYBALL_{name} ")), "{name}: {said}");
    }
    let (_, said) = run(&place, "--version");
    assert_eq!(said, format!("flyball {}\n", flyball::model::build::FULL));
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
