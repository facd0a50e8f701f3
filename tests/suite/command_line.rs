//! The program as users type it: every error names the thing, the place and the remedy.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use flyball::demo::kubernetes::call::Verb;
use flyball::demo::kubernetes::objects::Objects;
use flyball::demo::kubernetes::resource::Resource;
use tempfile::TempDir;

use crate::evaluations::wave;
use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;

const EXAMPLE: &str = include_str!("../../docs/flyball.example.yaml");
const POLICIES: [(&str, &str); 2] = [
    ("capacity.rhai", include_str!("../../deploy/policies/capacity.rhai")),
    ("traffic.rhai", include_str!("../../deploy/policies/traffic.rhai")),
];

/// Returns the flyball command in `place`, without the settings of the user who runs the tests.
pub fn command(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FLYBALL_")) {
        command.env_remove(name);
    }
    command.current_dir(place);
    command
}

/// Runs flyball in `place`.
pub fn flyball(place: &Path, arguments: &[&str]) -> Output {
    command(place).args(arguments).output().unwrap()
}

/// A place with files of all kinds, none of them the requested one.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(place.path().join(name), text).unwrap();
    let example = EXAMPLE.replace("listen: 127.0.0.1:9464", "listen: 127.0.0.1:1");
    write("ex.yaml", example.replace("/var/lib/flyball", "state").as_bytes());
    write("approve.yaml", example.replacen("mode: auto", "mode: approve", 1).as_bytes());
    write("file.yaml", example.replace("/var/lib/flyball", "ex.yaml").as_bytes());
    write("denied.yaml", example.replace("/var/lib/flyball", "/sys/kernel/flyball").as_bytes());
    fs::create_dir(place.path().join("demo")).unwrap();
    write("demo/flyball.yaml", example.replace("/var/lib/flyball", ".").as_bytes());
    write("empty.yaml", b"# nothing yet\n");
    write("list.yaml", b"- a\n");
    write("bad.yaml", b"state: [1,\n");
    write("bytes.yaml", b"\xff\xfe");
    fs::create_dir(place.path().join("dir")).unwrap();
    fs::create_dir(place.path().join("broken")).unwrap();
    write("broken/bad.rhai", b"rule(\"x\", #{ priority: 1 }, |s, p| [ when(s.rsp.current > rps(1)) ]);\n");
    place
}

#[test]
fn what_goes_wrong_names_the_thing_the_place_and_the_remedy() {
    let place = place();
    let cases: &[(&str, i32, &[&str])] = &[
        ("check", 1, &["no settings file", "flyball.yaml", "--config FILE", "flyball demo"]),
        ("check -c none.yaml", 1, &["settings file none.yaml", "name another with --config FILE", "No such file"]),
        ("check -c dir", 1, &["settings file dir (name the file in it"]),
        (
            "check -c bytes.yaml",
            1,
            &["settings file bytes.yaml (settings are YAML in UTF-8): line 1 has a byte that is not UTF-8"],
        ),
        ("check -c /dev/zero", 1, &["settings file /dev/zero", "it is not a regular file"]),
        ("kill -c /dev/zero", 1, &["settings file /dev/zero", "it is not a regular file"]),
        ("kill -c bad.yaml", 1, &["NOTHING WAS STOPPED; name the switch with --file FILE", "line 1, column 8"]),
        ("kill", 1, &["NOTHING WAS STOPPED; name the switch with --file FILE", "no settings file"]),
        ("resume -r ok -c bad.yaml", 1, &["NOTHING WAS RELEASED; name the switch with --file FILE"]),
        ("check -c empty.yaml", 1, &["empty.yaml has 1 fault", "the file is empty", "docs/flyball.example.yaml"]),
        ("check -c list.yaml", 1, &["list.yaml has 1 fault", "not a mapping of keys", "docs/flyball.example.yaml"]),
        (
            "check -c bad.yaml",
            1,
            &["bad.yaml has 1 fault", "line 1, column 8: is not valid YAML: unclosed bracket '['\n"],
        ),
        ("check -c ex.yaml", 1, &["1 source\n", "policies does not exist; create it", "deploy/policies"]),
        (
            "check -c approve.yaml",
            1,
            &["1 source\nnote: approval is not implemented yet, so 1 service in `approve` will see"],
        ),
        (
            "check -o json -c approve.yaml",
            1,
            &["\"notes\":[\"approval is not implemented yet, so 1 service in `approve` will"],
        ),
        ("policy check none -c ex.yaml", 2, &["directory none does not exist; create it", "deploy/policies"]),
        ("policy check dir -c ex.yaml", 2, &["no *.rhai file in dir", "deploy/policies"]),
        ("policy check ex.yaml -c ex.yaml", 2, &["ex.yaml is a file, expected a directory"]),
        ("policy check broken -c ex.yaml", 1, &["broken/bad.rhai:1:", "a running flyball keeps its last good set"]),
        ("explain nonsense -c ex.yaml", 1, &["no service `nonsense`", "expected one of shop/checkout, shop/search"]),
        ("explain shop/nobody -c ex.yaml", 1, &["no service `shop/nobody`", "expected one of shop/checkout"]),
        ("explain shop/search -n 0", 2, &["'0' for '--last <LAST>'", "1..=500"]),
        ("run -c none.yaml", 1, &["settings file none.yaml", "--config FILE"]),
        ("kill -c ex.yaml", 1, &["state/killswitch.yaml cannot be written", "its directory does not exist"]),
        ("kill shop/nobody -c ex.yaml", 1, &["nothing was changed", "no service `shop/nobody`"]),
        ("kill Shop/x", 2, &["`Shop/x` is not of the form namespace/name"]),
        ("kill --class foo", 2, &["`foo` is not a class, expected one of scale, traffic, rollout, external"]),
        ("kill --file dir", 1, &["dir is not a kill switch: it is a directory, expected a file"]),
        ("resume --file k.yaml", 2, &["--reason <REASON>"]),
        ("resume --file k.yaml --reason=", 1, &["changing the kill switch requires a reason", "as in --reason"]),
        ("demo --speed 0", 2, &["0 is out of range, expected 0.1 to 600"]),
        ("demo --speed fast", 2, &["`fast` is not a number, expected 0.1 to 600"]),
        ("demo --for 0", 2, &["'0' for '--for <TIME>': it is shorter than 1s"]),
        ("demo --for 200ms", 2, &["'200ms' for '--for <TIME>': it is shorter than 1s"]),
        ("demo --for soon", 2, &["it is not a duration with a unit, such as 15s or 1h30m"]),
        ("demo --for -1m", 2, &["'-1m' for '--for <TIME>': it is negative"]),
        (
            "policy status -c ex.yaml",
            2,
            &["no flyball answers at 127.0.0.1:1: Connection refused (os error 111); start `flyball run`"],
        ),
        ("policy status -c demo/flyball.yaml", 2, &["Connection refused (os error 111); start `flyball demo`"]),
        ("check -c file.yaml", 1, &["`state` is the file ", "ex.yaml, name a directory"]),
        ("run -c file.yaml", 1, &["`state` is the file ", "ex.yaml, name a directory"]),
        ("run -c denied.yaml", 1, &["cannot create the state directory", "set `state` or FLYBALL_STATE", "(os error "]),
        ("demo -d dir/../ex.yaml", 1, &["ex.yaml", "name another directory with --directory"]),
        ("frobnicate", 2, &["unrecognized subcommand 'frobnicate'", "--help"]),
    ];
    for (line, code, parts) in cases {
        let arguments: Vec<&str> = line.split(' ').collect();
        let output = flyball(place.path(), &arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(*code), "flyball {line}: {said}");
        for part in *parts {
            assert!(said.contains(part), "flyball {line}: `{part}` is not in\n{said}");
        }
    }
}

/// A place with these settings and the shipped policies.
fn shipped(settings: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("flyball.yaml"), settings).unwrap();
    fs::create_dir(place.path().join("policies")).unwrap();
    for (name, text) in POLICIES {
        fs::write(place.path().join("policies").join(name), text).unwrap();
    }
    place
}

/// What only the set reveals about the settings: a mask that hides nothing, a time instead of a number.
#[test]
fn settings_that_do_not_fit_the_policies_fail_the_check() {
    for (from, to, expected) in [
        (
            "parameters: []",
            "parameters: [p99_mx]",
            "records.mask.parameters: unknown parameter `p99_mx`; did you mean `p99_max`?",
        ),
        (
            "up_factor: 1.5 }",
            "up_factor: 1500ms }",
            "defaults.parameters.up_factor: up_factor is a plain number, `1500ms` is a time",
        ),
        (
            "parameters: { p99_max: 400ms }",
            "parameters: { p99_max: 400ms, up_factor: 2s }",
            "services[1].parameters.up_factor: up_factor is a plain number, `2s` is a time",
        ),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let place = shipped(&EXAMPLE.replacen(from, to, 1));
        for command in ["check", "policy check policies"] {
            let (code, said) = run(&place, command);
            assert!(code == Some(1) && said.contains(expected), "{command}, {to}: {said}");
            assert!(said.contains("1 fault in the parameters in the settings"), "{said}");
        }
    }
}

/// The steps of the README: the example next to the shipped policies is valid as is.
#[test]
fn the_example_with_the_shipped_policies_passes_the_check() {
    let place = shipped(EXAMPLE);
    let output = flyball(place.path(), &["check"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("flyball.yaml: valid; 2 services (1 auto, 1 shadow), 3 signals, 1 source\n"), "{said}");
    assert!(said.contains("policies: valid; revision"), "{said}");
}

/// A switch is engaged and released with the commands that the program itself prints.
#[test]
fn a_kill_switch_is_turned_and_released() {
    let place = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let output = flyball(place.path(), arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(said(&["resume", "--file", "k.yaml", "--reason", "start"]).contains("released for everything"));
    let engaged = said(&["kill", "--file", "k.yaml", "shop/checkout"]);
    assert!(engaged.contains("engaged for shop/checkout (k.yaml)"), "{engaged}");
    assert!(engaged.contains(" resume shop/checkout --reason '...' --file k.yaml"), "{engaged}");
    assert!(fs::read_to_string(place.path().join("k.yaml")).unwrap().contains("shop/checkout"));
    // One name and one reason cover everything that is stopped, and a replaced one is reported.
    let second = said(&["kill", "--file", "k.yaml", "shop/search", "--by", "ops", "-r", "drill"]);
    let replaced = "shop/checkout remains stopped; its reason is replaced by this one (was: by ";
    assert!(second.contains(replaced) && second.contains(": stopped from the command line)"), "{second}");
    let third = said(&["kill", "--file", "k.yaml", "--class", "scale", "--by", "ops", "-r", "drill"]);
    assert!(!third.contains("stays stopped"), "{third}");
    said(&["resume", "--file", "k.yaml", "--class", "scale", "-r", "ok"]);
    let released = said(&["resume", "shop/search", "--file", "k.yaml", "-r", "ok"]);
    assert!(released.contains("still stopped: shop/checkout, by "), "{released}");
    let released = said(&["resume", "shop/checkout", "--file", "k.yaml", "-r", "ok"]);
    assert!(released.contains("released for shop/checkout; nothing is stopped"), "{released}");
}

/// Runs flyball with these words, separated by spaces, and returns its exit code and all its output.
pub fn run(place: &TempDir, line: &str) -> (Option<i32>, String) {
    let output = flyball(place.path(), &line.split(' ').collect::<Vec<_>>());
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

/// What is still stopped is reported, with a working way back, and is not a success.
#[test]
fn a_service_that_is_still_stopped_is_not_told_to_be_released() {
    let place = tempfile::tempdir().unwrap();
    run(&place, "kill --file k.yaml --by ops -r drill");
    let (code, said) = run(&place, "resume shop/checkout --file k.yaml -r ok");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("STILL STOPPED: everything, by ops: drill\nto release: "), "{said}");
    assert!(said.contains(" resume --reason '...' --file k.yaml\n") && !said.contains("released"), "{said}");
    run(&place, "resume --file k.yaml -r over");
    run(&place, "kill --class scale --file k.yaml --by ops -r drill");
    let (code, said) = run(&place, "resume shop/checkout --file k.yaml -r ok");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(" resume --class scale --reason '...' --file k.yaml\n"), "{said}");
}

/// A single service cannot be stopped if it is unknown what is stopped already.
#[test]
fn a_kill_switch_that_cannot_be_read_stops_everything_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("garbled.yaml"), "all: perhaps\n").unwrap();
    for file in ["missing.yaml", "garbled.yaml"] {
        let (code, said) = run(&place, &format!("kill shop/checkout --file {file} --by me -r drill"));
        assert_eq!(code, Some(0), "{said}");
        let expected = "everything is stopped, by me: drill (the switch could not be read, so everything is stopped)\n";
        assert!(said.contains(expected), "{said}");
        assert!(said.contains(&format!(" resume --reason '...' --file {file}\n")), "{said}");
    }
}

/// A full disk: a missing switch stops everything, so removing it does.
#[test]
fn on_a_full_disk_kill_stops_everything_or_says_how() {
    let place = tempfile::tempdir().unwrap();
    run(&place, "resume --file k.yaml -r start");
    let full = || std::os::unix::fs::symlink("/dev/full", place.path().join(".k.yaml.new")).unwrap();
    full();
    let (code, said) = run(&place, "kill shop/checkout --file k.yaml");
    assert_eq!(code, Some(1), "{said}");
    let expected = "NOTHING WAS STOPPED; `rm k.yaml` stops everything: kill switch k.yaml cannot be written: No space";
    assert!(said.contains(expected), "{said}");
    full();
    let (code, said) = run(&place, "kill --file k.yaml");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("everything is stopped: kill switch k.yaml cannot be written: No space left"), "{said}");
    assert!(!place.path().join("k.yaml").exists() && !place.path().join(".k.yaml.new").is_symlink());
}

/// Instructions for changing a ConfigMap use the given namespace, scope and reason.
#[test]
fn a_kill_switch_in_the_cluster_is_turned_by_the_words_that_are_printed() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("c.yaml"), "kill_switch: configmap\nnamespace: platform\n").unwrap();
    let patch = |line: &str, data: &str| {
        let (code, said) = run(&place, line);
        assert_eq!(code, Some(1), "{said}");
        let expected = format!("kubectl -n platform patch configmap flyball-killswitch --type merge -p '{data}'");
        assert!(said.contains(&expected), "{said}");
    };
    patch("kill -c c.yaml --by me -r it's", r#"{"data":{"by":"me","global":"engaged","reason":"it'\''s"}}"#);
    patch(
        "resume shop/checkout -c c.yaml --by me -r ok",
        r#"{"data":{"by":"me","reason":"ok","service.shop.checkout":"released"}}"#,
    );
    patch(
        "kill --class scale -c c.yaml --by me -r ok",
        r#"{"data":{"by":"me","class.scale":"engaged","reason":"ok"}}"#,
    );
}

/// A path printed for pasting is one word to a shell, whatever the file name.
#[test]
fn the_way_back_that_is_printed_works_for_a_file_with_a_space() {
    let place = tempfile::tempdir().unwrap();
    flyball(place.path(), &["resume", "--file", "my $switch's.yaml", "-r", "start"]);
    let output = flyball(place.path(), &["kill", "--file", "my $switch's.yaml"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let way_back = said.lines().find_map(|line| line.strip_prefix("to resume: ")).unwrap_or_else(|| panic!("{said}"));
    let output = Command::new("sh").args(["-c", way_back]).current_dir(place.path()).output().unwrap();
    assert!(output.status.success(), "{way_back}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "the switch and its lock");
}

/// Root with a strict umask changes the switch of a flyball that runs as another user.
#[test]
fn a_switch_that_root_turned_is_read_and_turned_by_others() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let place = tempfile::tempdir().unwrap();
    // Only root may give files away; for other users only the modes can be checked.
    let is_root = chown(place.path(), Some(12_345), Some(12_345)).is_ok();
    let other = if is_root { 12_345 } else { fs::metadata(place.path()).unwrap().uid() };
    let turned = |line: &str| {
        let flyball = format!("umask 077; exec {} {line} --file k.yaml -r drill", env!("CARGO_BIN_EXE_flyball"));
        let output = Command::new("sh").args(["-c", &flyball]).current_dir(place.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        [".k.yaml.lock", "k.yaml"].map(|name| {
            let file = fs::metadata(place.path().join(name)).unwrap();
            (file.uid(), file.mode() & 0o777)
        })
    };
    assert_eq!(turned("resume"), [(other, 0o644); 2]);
    fs::set_permissions(place.path().join("k.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(turned("kill"), [(other, 0o644), (other, 0o640)], "as it was");
}

/// What is done is done, whether or not the output is read: a script uses the exit code.
#[test]
fn a_switch_that_was_turned_is_a_success_also_where_that_cannot_be_said() {
    let place = tempfile::tempdir().unwrap();
    for line in ["resume --file k.yaml -r start", "kill --file k.yaml -r drill", "resume --file k.yaml -r over"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(place.path()).args(line.split(' ')).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}: {said}");
        assert!(said.contains("kill switch ") && said.contains("output lost: No space left"), "{line}: {said}");
    }
}

/// The port in the settings belongs to another program.
#[test]
fn what_is_no_flyball_is_not_taken_for_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nNo.\n");
        }
    });
    let example = EXAMPLE.replace("listen: 127.0.0.1:9464", &format!("listen: {address}"));
    let place = shipped(&example.replace("/var/lib/flyball", "state"));
    let (code, said) = run(&place, "status");
    let expected =
        format!("the process listening at {address} is not flyball: stop it, or set `listen` or FLYBALL_LISTEN");
    assert!(code == Some(2) && said.contains(&expected), "{said}");
    fs::create_dir(place.path().join("state")).unwrap();
    let (code, said) = run(&place, "kill -r drill");
    assert!(
        code == Some(0)
            && said.contains("is not flyball; for any flyball that reads this switch, no such write will start"),
        "{said}"
    );
}

/// Fixing faults one at a time means waiting for each: policies are checked even if the settings are faulty, and files
/// that may exist where flyball runs are only noted.
#[test]
fn a_check_goes_on_behind_the_first_fault() {
    let keys = "    kind: prometheus\n    ca_file: ca.pem\n    bearer_token_file: token";
    let example = EXAMPLE.replacen("    kind: prometheus", keys, 1).replace("/var/lib/flyball", "state");
    let place = shipped(&example);
    let (code, said) = run(&place, "check");
    assert_eq!(code, Some(0), "{said}");
    for (key, file) in [("ca_file", "ca.pem"), ("bearer_token_file", "token")] {
        assert!(said.contains(&format!("note: sources.main.{key}: no file ")) && said.contains(file), "{said}");
    }
    fs::write(place.path().join("flyball.yaml"), EXAMPLE.replacen("mode: shadow", "mode: Auto", 1)).unwrap();
    fs::write(place.path().join("policies/bad.rhai"), "rule(").unwrap();
    let (code, said) = run(&place, "check");
    assert!(code == Some(1) && said.contains("unknown value `Auto`") && said.contains("bad.rhai:1:"), "{said}");
    let output = flyball(place.path(), &["check", "-o", "json"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.lines().count() == 2 && told.contains("\"valid\":false") && told.contains("bad.rhai"), "{told}");
}

/// A pipe without a writer would block the start, and with it signal handling.
#[test]
fn certificates_that_are_no_file_are_refused() {
    let example = EXAMPLE.replace("listen: 127.0.0.1:9464", "listen: 127.0.0.1:0").replace("/var/lib/flyball", "state");
    let place = shipped(&example.replacen("    kind: prometheus", "    kind: prometheus\n    ca_file: ca.pem", 1));
    assert!(Command::new("mkfifo").arg(place.path().join("ca.pem")).status().unwrap().success());
    let mut child = command(place.path()).arg("run").stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(ended.is_some_and(|status| status.code() == Some(1)), "{ended:?}: {said}");
    assert!(said.contains("ca.pem") && said.contains("it is not a file"), "{said}");
}

/// A container sets no USER and has no user names.
#[test]
fn who_turns_the_switch_is_told_also_without_a_user() {
    let place = tempfile::tempdir().unwrap();
    let kill = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flyball"));
        command.env_clear().envs(variables.iter().copied()).current_dir(place.path());
        assert!(command.args(["kill", "--file", "k.yaml"]).output().unwrap().status.success());
        fs::read_to_string(place.path().join("k.yaml")).unwrap()
    };
    assert!(kill(&[("USER", "ada"), ("LOGNAME", "root")]).contains(r#""by": "ada""#));
    assert!(kill(&[("USER", ""), ("LOGNAME", "grace")]).contains(r#""by": "grace""#));
    assert!(kill(&[]).contains(r#""by": "uid "#));
}

/// The forecast of a file is drawn and printed; for a service the running flyball is queried.
#[test]
fn a_forecast_is_drawn_and_told() {
    let place = place();
    fs::write(place.path().join("wave.csv"), wave(3020)).unwrap();
    let output = flyball(
        place.path(),
        &["forecast", "--input", "wave.csv", "--horizon", "12", "--plot", "wave.svg", "--output", "json"],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let foreseen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ahead: Vec<_> = foreseen["points"].as_array().unwrap().iter().map(|point| point["steps"].clone()).collect();
    assert_eq!(ahead, [1, 2, 3, 5, 10, 12]);
    let last = &foreseen["points"][5];
    assert_eq!((&last["seconds_ahead"], &last["at"]), (&3600.into(), &"2023-11-25T10:50:00Z".into()));
    assert_eq!((&foreseen["step_seconds"], foreseen["past"].as_array().unwrap().len()), (&300.into(), 120));
    assert_eq!(foreseen["points"][0].get("minutes"), None, "a step of five minutes is none of one");
    let (code, said) = run(&place, "forecast --input wave.csv --horizon 12 -o table");
    assert!(code == Some(0) && said.contains("2023-11-25 10:50Z      +1 h "), "{said}");
    let mut piped = command(place.path());
    piped
        .args(["forecast", "--input", "-", "-o", "json"])
        .stdin(fs::File::open(place.path().join("wave.csv")).unwrap());
    let piped: serde_json::Value = serde_json::from_slice(&piped.output().unwrap().stdout).unwrap();
    assert_eq!(piped["points"][0], foreseen["points"][0]);
    fs::create_dir(place.path().join("several")).unwrap();
    fs::write(place.path().join("several/below.csv"), "0,-1\n60,2\n120,x\n").unwrap();
    fs::copy(place.path().join("wave.csv"), place.path().join("several/wave.csv")).unwrap();
    let (code, said) = run(&place, "forecast evaluate --input several");
    let left_out = "SKIPPED, 1 of 2 files, not included in any of these figures:\n  several/below.csv: line 3, column 2: `x` is not";
    assert!(code == Some(1) && said.contains(left_out) && said.contains("\nmase    mean absolute error"), "{said}");
    fs::remove_file(place.path().join("several/below.csv")).unwrap();
    assert_eq!(run(&place, "forecast evaluate --input several").0, Some(0));
    fs::write(place.path().join("several/wave.csv"), "0,-1\n").unwrap();
    assert_eq!(run(&place, "forecast evaluate --input several").0, Some(2));
    let drawn = fs::read_to_string(place.path().join("wave.svg")).unwrap();
    assert!(drawn.contains("<circle") && drawn.contains(">day<"), "the shift is marked, the parts are drawn");
    for (line, part) in [
        ("forecast --service shop/checkout -c ex.yaml", "flyball explain shop/checkout"),
        ("forecast --service shop/nobody -c ex.yaml", "no service `shop/nobody`"),
        ("forecast", "Usage"),
        ("anomalies evaluate --input none.csv", "cannot read none.csv"),
        ("anomalies evaluate --input dir", "dir contains no .csv file"),
        ("anomalies evaluate --input wave.csv --labels list.yaml", "list.yaml: does not have the form"),
    ] {
        let output = flyball(place.path(), &line.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "flyball {line}: `{part}` is not in\n{said}");
    }
}

/// Returns settings with which `flyball run` waits at startup for the API server at `url`.
fn waiting(url: &str) -> String {
    let example = EXAMPLE.replace("listen: 127.0.0.1:9464", "listen: 127.0.0.1:0").replace("/var/lib/flyball", "state");
    let example = example.replace("\npolicies: policies\n", "\npolicies: configmaps\n");
    let (before, cluster) = example.split_once("\ncluster:\n").unwrap();
    format!("{before}\ncluster: {{ url: '{url}' }}\n{}", cluster.split_once('\n').unwrap().1)
}

/// Sends SIGTERM and returns the exit status and the output, within two seconds.
fn terminated(mut child: Child) -> (std::process::ExitStatus, String) {
    let sent = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let end = Instant::now() + Duration::from_secs(2);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it did not end within two seconds");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    if let Some(mut log) = child.stderr.take() {
        log.read_to_string(&mut said).unwrap();
    }
    (status, said)
}

/// As the first process of a container, an unhandled SIGTERM is ignored; elsewhere it kills.
#[test]
fn a_stop_during_a_start_that_waits_ends_it_at_once_and_cleanly() {
    let (place, silent) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let settings = waiting(&format!("http://{}", silent.local_addr().unwrap()));
    fs::write(place.path().join("flyball.yaml"), settings).unwrap();
    let child = command(place.path()).arg("run").stderr(Stdio::piped()).spawn().unwrap();
    // It sends a request that is never answered.
    let _asked = silent.accept().unwrap();
    let (status, said) = terminated(child);
    assert_eq!(status.code(), Some(0), "{status}: {said}");
}

/// Startup waits for the policies while the API server would grant it the lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_start_leaves_no_lease_behind() {
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    double.faults().order_of(Resource::ConfigMaps, Verb::List, 100, Fault::HoldAnswer);
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("flyball.yaml"), waiting(&double.url())).unwrap();
    let child = command(place.path()).arg("run").stderr(Stdio::piped()).spawn().unwrap();
    double.faults().wait_for_requests(Verb::List, 1).await;
    // Time enough to claim it.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let (status, said) = tokio::task::spawn_blocking(move || terminated(child)).await.unwrap();
    assert_eq!(status.code(), Some(0), "{status}: {said}");
    let leases = double.objects().list(Resource::Leases, None, None, usize::MAX);
    let held =
        |lease: &serde_json::Value| lease["spec"]["holderIdentity"].as_str().is_some_and(|name| !name.is_empty());
    assert!(!leases.items.iter().any(|lease| held(lease)), "{:?}", leases.items);
}

/// A full disk, or a reader that is gone: what cannot be logged is lost and counted, and the loop continues.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let example = EXAMPLE.replace("listen: 127.0.0.1:9464", &format!("listen: 127.0.0.1:{port}"));
    let place = shipped(&example.replace("/var/lib/flyball", "state"));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = command(place.path()).arg("run").stderr(full).spawn().unwrap();
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok().map(|_| answer)
    };
    let end = Instant::now() + Duration::from_secs(20);
    let page = loop {
        assert_eq!(child.try_wait().unwrap(), None, "it ended");
        match get("/metrics") {
            Some(page) => break page,
            None if Instant::now() > end => panic!("it does not listen"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let lost = page.lines().find_map(|line| line.strip_prefix("flyball_lost_log_lines_total "));
    assert!(lost.is_some_and(|lost| lost.parse::<u64>().unwrap() > 0), "{lost:?}");
    assert_eq!(terminated(child).0.code(), Some(0));
}
