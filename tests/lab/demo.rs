//! `flyball demo` as a newcomer starts it: a separate process, in real time, judged by its output, its API double, and
//! what a second process does to it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process;

/// How long a demo may take to read its history and reach its surge, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest time from a saved file to its effect.
const SECOND: Duration = Duration::from_secs(1);

/// A running demo, whose output is read line by line. Killed on drop.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    directory: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        // Fine if another test of this process has already installed it; HTTP clients need it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = TempDir::new().unwrap();
        // Nothing watches, and a busy machine reads history for longer than the minute that such a demo lasts.
        let limit: &[&str] = if arguments.contains(&"--for") { &[] } else { &["--for", "5m"] };
        let mut child = flyball(&directory)
            .args(["demo", "--output", "json", "--directory"])
            .arg(directory.path().join("demo"))
            .args(arguments)
            .args(limit)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let output = child.stdout.take().unwrap();
        // Ends with the process, whose exit closes the pipe.
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|l| sender.send(l))
        });
        Self { child, lines, directory }
    }

    /// Returns the next object; `None` at the end of the output.
    fn next(&self) -> Option<Value> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// Returns all objects up to and including the first that `wanted` accepts.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let (start, mut seen) = (Instant::now(), Vec::new());
        loop {
            assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            seen.push(self.next().unwrap_or_else(|| panic!("the output ended before: {what}")));
            if seen.last().is_some_and(&wanted) {
                return seen;
            }
        }
    }

    fn until_it_moves(&self) {
        self.until("the plant moves", |line| line["type"] == "run" && line["halted"].is_null());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("demo").join(name)
    }

    /// Returns a value of the settings that the demo wrote.
    fn setting(&self, before: &str, after: &str) -> String {
        let text = std::fs::read_to_string(self.path("flyball.yaml")).unwrap();
        let start = text.find(before).unwrap_or_else(|| panic!("no `{before}` in\n{text}")) + before.len();
        text[start..].split(after).next().unwrap().to_owned()
    }

    /// Runs `flyball` with these arguments as a second process.
    fn ask(&self, arguments: &[&str]) -> Output {
        let config = self.path("flyball.yaml");
        flyball(&self.directory).args(arguments).arg("--config").arg(config).output().unwrap()
    }

    async fn status(&self) -> Value {
        get(&format!("http://{}/api/v1/status", self.setting("listen: ", "\n"))).await
    }

    /// Returns the replicas that the API double holds for each service.
    async fn wanted(&self) -> Vec<u64> {
        let cluster = self.setting("cluster: { url: \"", "\"");
        let list = get(&format!("{cluster}/apis/apps/v1/namespaces/shop/deployments")).await;
        list["items"].as_array().unwrap().iter().map(|item| item["spec"]["replicas"].as_u64().unwrap()).collect()
    }

    /// Ends it by a signal and returns its remaining output.
    fn end_by(mut self, signal: &str) -> Vec<Value> {
        process::signal(self.child.id(), signal);
        self.end()
    }

    /// Waits for its end and returns its remaining output.
    fn end(&mut self) -> Vec<Value> {
        let rest: Vec<Value> = std::iter::from_fn(|| self.next()).collect();
        let status = self.child.wait().unwrap();
        let said = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        assert!(status.success() && said.is_empty(), "ended with {status}: {said}");
        rest
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn flyball(directory: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    command.current_dir(directory.path()).stdin(Stdio::null());
    command.env_remove("FLYBALL_CONFIG").env_remove("FLYBALL_LISTEN").env_remove("FLYBALL_STATE");
    command
}

async fn get(url: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    client.get(url).send().await.unwrap().json().await.unwrap()
}

/// Polls `probe` without pause until it yields a value, and returns it with the time taken.
async fn timed<T>(within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> Option<(T, Duration)> {
    let start = Instant::now();
    while start.elapsed() < within {
        if let Some(value) = probe().await {
            return Some((value, start.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

fn is_event(line: &Value, kind: &str, service: &str) -> bool {
    line["type"] == "event" && line["kind"] == kind && line["service"] == service
}

/// Checks that only the last line is the summary, in exactly the documented form.
fn is_summed_up(lines: &[Value]) -> (f64, f64) {
    let (last, before) = lines.split_last().expect("a summary");
    assert!(before.iter().all(|line| line["type"] != "summary"), "a summary that is not the last line");
    let keys = |value: &Value| value.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    assert_eq!(last["type"], "summary");
    assert_eq!(keys(last), ["flyball", "stock_autoscaler", "type"]);
    for side in ["flyball", "stock_autoscaler"] {
        assert_eq!(keys(&last[side]), ["actions", "replica_hours", "slo_violation_minutes"]);
        assert!(
            last[side]["actions"].is_u64() && last[side]["replica_hours"].as_f64().is_some_and(|hours| hours > 0.0)
        );
    }
    let minutes = |side: &str| last[side]["slo_violation_minutes"].as_f64().unwrap();
    (minutes("flyball"), minutes("stock_autoscaler"))
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_come_before_the_surge_and_the_summary_last() {
    let demo = Demo::start(&["--for", "300"]);
    let mut lines = demo.until("the surge begins", |line| is_event(line, "surge", "shop/checkout"));
    let raised = lines.iter().position(|line| is_event(line, "raised", "shop/checkout"));
    let raised = raised.expect("a raise before the surge");
    assert!(lines[raised]["at"].as_str() < lines.last().unwrap()["at"].as_str(), "{}", lines[raised]);
    assert!(lines[raised]["text"].as_str().unwrap().contains("before its daily surge"), "{}", lines[raised]);
    let checkout = |line: &&Value| line["type"] == "service" && line["service"] == "shop/checkout";
    let replicas = |line: &Value| line["replicas"].as_u64().unwrap();
    let before = lines[..raised].iter().find(checkout).map(replicas).unwrap();
    let after = lines[raised..].iter().rfind(checkout).map(replicas).unwrap();
    assert!(after > before, "{before} replicas before the raise, {after} after it");
    assert!(lines[raised..].iter().filter(checkout).all(|line| line["forecast"]["point"].is_f64()));
    lines
        .extend(demo.until("the surge is there", |line| line["at"].as_str().is_some_and(|at| at > "2026-03-03T12:06")));
    lines.extend(demo.end_by("TERM"));
    let (flyball, stock) = is_summed_up(&lines);
    assert!(flyball < stock, "{flyball} minutes outside the objective, the stock autoscaler {stock}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_and_by_an_interrupt() {
    let mut demo = Demo::start(&["--for", "2"]);
    is_summed_up(&demo.end());
    let demo = Demo::start(&[]);
    demo.next().expect("a first line");
    is_summed_up(&demo.end_by("INT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_demos_run_at_once_but_not_in_one_directory() {
    let (first, second) = (Demo::start(&[]), Demo::start(&[]));
    first.next().expect("a first line");
    second.next().expect("a first line");
    assert_ne!(first.setting("listen: ", "\n"), second.setting("listen: ", "\n"));
    let directory = first.path("");
    let again = flyball(&first.directory).args(["demo", "--for", "1", "--directory"]).arg(&directory).output().unwrap();
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(!again.status.success() && again.stdout.is_empty());
    assert!(said.contains("a demo is already running in") && said.contains("--directory"), "{said}");
    assert!(first.status().await["waiting_for"].is_array(), "the first one goes on");
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("letter"), "dear").unwrap();
    let foreign = flyball(&home).args(["demo", "--for", "1", "--directory"]).arg(home.path()).output().unwrap();
    let said = String::from_utf8(foreign.stderr).unwrap();
    assert!(!foreign.status.success() && said.contains("not the directory of an earlier demo"), "{said}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "a directory that is not a demo's was touched");
    is_summed_up(&first.end_by("TERM"));
    is_summed_up(&second.end_by("TERM"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_policy_acts_and_a_broken_one_changes_nothing() {
    let demo = Demo::start(&[]);
    demo.until_it_moves();
    let before = demo.status().await["revision"].clone();
    let policy = "rule(\"twenty\", #{ priority: 900, goal: \"protect\" }, |s, p| [\n    \
                  when(s.replicas.current < 20),\n    scale_to(20),\n]);\n";
    std::fs::write(demo.path("policies/own.rhai"), policy).unwrap();
    let changed = timed(PATIENCE, async || {
        let revision = demo.status().await["revision"].clone();
        (revision != before).then_some(revision)
    });
    let (revision, took) = changed.await.expect("the edit comes into force");
    assert!(took <= SECOND, "the edit came into force after {took:?}");
    timed(PATIENCE, async || demo.wanted().await.iter().all(|wanted| *wanted == 20).then_some(()))
        .await
        .expect("the rule acts");

    std::fs::write(demo.path("policies/own.rhai"), policy.replace("s.replicas.current < 20", "s.rsp.current < 20"))
        .unwrap();
    let refused = timed(PATIENCE, async || {
        let status = demo.status().await;
        Some(status["policy_faults"][0].as_str()?.to_owned()).filter(|_| status["revision"] == revision)
    });
    let (fault, took) = refused.await.expect("the edit is refused");
    assert!(took <= SECOND, "the edit was refused after {took:?}");
    assert!(fault.starts_with("own.rhai:2:") && fault.contains("rule twenty") && fault.contains("rsp"), "{fault}");
    let seen = demo.until("the view tells it", |line| line["type"] == "event" && line["kind"] == "policy_refused");
    assert!(seen.last().unwrap()["text"].as_str().unwrap().contains(&fault));
    let run = demo.until("the next moment", |line| line["type"] == "run");
    assert_eq!(run.last().unwrap()["policy_faults"][0], *fault);
    assert_eq!(run.last().unwrap()["policy"], revision);
    assert_eq!(demo.wanted().await, [20, 20, 20]);
    let checked = demo.ask(&["policy", "check"]);
    assert!(!checked.status.success());
    assert!(String::from_utf8(checked.stdout).unwrap().contains(&fault), "the command says the same");
    is_summed_up(&demo.end_by("TERM"));
}

/// The tools that inspect a live service.
#[tokio::test(flavor = "multi_thread")]
async fn policies_are_tried_on_a_live_service() {
    let demo = Demo::start(&[]);
    demo.until_it_moves();
    let ask = |arguments: &[&str], code: i32| {
        let output = demo.ask(arguments);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    };
    let rate = timed(PATIENCE, async || {
        let signals = ask(&["policy", "signals", "--service", "shop/checkout"], 0);
        let rate = signals.lines().find(|line| line.starts_with("rps ")).unwrap();
        // Its history is learned while it is already moving.
        rate.contains("; expected ").then(|| rate.to_owned())
    });
    let (rate, _) = rate.await.expect("a forecast");
    assert!(rate.contains("/s; expected ") && rate.contains(" in 30 min"), "{rate}");
    assert!(ask(&["policy", "signals"], 0).contains("maintenance                  a flag"));
    let evaluated = ask(&["policy", "eval", "shop/checkout", "--explain"], 0);
    assert!(evaluated.contains("\nrule scale_up (priority 300, protect): "), "{evaluated}");
    let what_if = ask(&["policy", "whatif", "shop/checkout", "--rule", "scale_up"], 0);
    assert!(what_if.contains("\nscale_up does not match; it takes all of these:\n"), "{what_if}");
    assert!(what_if.contains("p99.predicted ") && what_if.contains(": above 200 ms, "), "{what_if}");
    assert!(ask(&["policy", "whatif", "shop/checkout", "--rule", "no"], 2).contains("known: "));
    let bench = ask(&["policy", "bench", "shop/checkout"], 0);
    assert!(bench.contains(" us per decision (p99 ") && bench.contains(" us  scale_up ("), "{bench}");
    ask(&["policy", "bench", "shop/checkout", "--most", "0.001"], 1);
    is_summed_up(&demo.end_by("TERM"));
}

/// The last chapter of the policy guide, as typed.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_stands_beside_is_promoted_and_rolled_back_within_a_second() {
    let demo = Demo::start(&["--policy-shadow", "10h"]);
    demo.until_it_moves();
    let said = |output: Output| String::from_utf8(output.stdout).unwrap();
    let before = demo.status().await["revision"].clone();
    let policy = "rule(\"twenty\", #{ priority: 900, goal: \"protect\" }, |s, p| [\n    \
                  when(s.replicas.current < 20),\n    scale_to(20),\n]);\n";
    std::fs::write(demo.path("policies/REVISION"), "commit: 3f2a9c1\nauthor: Ann Lee\n").unwrap();
    std::fs::write(demo.path("policies/own.rhai"), policy).unwrap();
    let beside = timed(PATIENCE, async || {
        let told = said(demo.ask(&["policy", "diff"]));
        Some(told).filter(|told| told.contains("candidate  scale to 20 (rule twenty)"))
    });
    let (told, _) = beside.await.expect("the edit stands beside and wants something else");
    assert!(told.contains("\nsince it became the candidate: "), "{told}");
    assert_eq!(demo.status().await["revision"], before);
    let status = said(demo.ask(&["policy", "status"]));
    assert!(
        status.contains(&format!("active      {}", before.as_str().unwrap())) && status.contains("candidate "),
        "{status}"
    );
    assert!(status.contains(" (commit 3f2a9c1 by Ann Lee): active in "), "{status}");

    let promoted = demo.ask(&["policy", "promote", "--reason", "the drill"]);
    assert!(promoted.status.success(), "{}", String::from_utf8_lossy(&promoted.stderr));
    assert_ne!(demo.status().await["revision"], before);
    let asked = Instant::now();
    let back = demo.ask(&["policy", "rollback", "--reason", "the drill"]);
    let took = asked.elapsed();
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    assert_eq!(demo.status().await["revision"], before);
    assert!(took <= SECOND, "the rollback took {took:?}");
    let status = said(demo.ask(&["policy", "status"]));
    assert!(status.contains("rolled back "), "{status}");
    let none = demo.ask(&["policy", "rollback", "-o", "json"]);
    assert!(!none.status.success());
    let none: serde_json::Value = serde_json::from_str(&said(none)).unwrap();
    assert!(none["done"] == false && none["words"].as_str().unwrap().contains("nothing to roll back to"), "{none}");
    is_summed_up(&demo.end_by("TERM"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_stops_the_writes_within_a_second_and_lets_them_go_on() {
    // Steps of one pod every three real seconds, for each of three services: about one write per second.
    let policy = "rule(\"climb\", #{ priority: 900, goal: \"protect\" }, |s, p| [\n    \
                  when(s.replicas.current < 40),\n    scale_by(1.1),\n]);\n";
    let demo = Demo::start(&[]);
    demo.next().expect("a first line");
    std::fs::write(demo.path("policies/own.rhai"), policy).unwrap();
    demo.until("a first raise", |line| line["type"] == "event" && line["kind"] == "raised");
    let asked = Instant::now();
    let killed = demo.ask(&["kill", "--reason", "drill"]);
    assert!(killed.status.success(), "{}", String::from_utf8_lossy(&killed.stderr));
    tokio::time::sleep(SECOND.saturating_sub(asked.elapsed())).await;
    let stopped = demo.wanted().await;
    let held = |line: &Value| line["type"] == "service" && line["decision"]["what"] == "held by kill_switch";
    demo.until("the view says what holds", held);
    tokio::time::sleep(SECOND * 8).await;
    assert_eq!(demo.wanted().await, stopped, "written while the kill switch was engaged");

    let resumed = demo.ask(&["resume", "--reason", "drill over"]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    timed(PATIENCE, async || (demo.wanted().await != stopped).then_some(())).await.expect("writes go on");
    let explained = demo.ask(&["explain", "shop/checkout"]);
    let said = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.status.success() && said.contains("rule climb"), "{said}");
    is_summed_up(&demo.end_by("TERM"));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_highest_speed_the_plant_still_waits_for_the_loop() {
    let demo = Demo::start(&["--speed", "600"]);
    let lines =
        demo.until("an hour after the surge", |line| line["at"].as_str().is_some_and(|at| at > "2026-03-03T13:00"));
    let seconds = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    let raised = lines.iter().position(|line| is_event(line, "raised", "shop/checkout")).expect("a raise");
    let surge = lines.iter().position(|line| is_event(line, "surge", "shop/checkout")).expect("the surge");
    assert!(seconds(&lines[raised]["at"]) < seconds(&lines[surge]["at"]), "{} {}", lines[raised], lines[surge]);
    // Two ticks, plus what the plant moves between two polls.
    let decided = lines.iter().filter(|line| line["decision"].is_object());
    let ahead = decided.map(|line| seconds(&line["at"]) - seconds(&line["decision"]["at"])).max().unwrap();
    assert!(ahead <= 60, "the plant was {ahead} s ahead of a decision");
    is_summed_up(&demo.end_by("TERM"));
}
