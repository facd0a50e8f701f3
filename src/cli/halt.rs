//! Named stops for the kill tests (feature `failpoints`): the process reports where it is, and halts.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops a process and exits once all its threads are stopped: until then a thread on another core keeps running.
const STOP: &str =
    "kill -s STOP \"$0\"; while grep -L '^State:.T' /proc/\"$0\"/task/*/status | grep -q .; do sleep 0.01; done";

/// Arms the fail point `name`: a thread that reaches it reports so and blocks. With the prefix `stop:` the whole
/// process is stopped there, once, and continues on SIGCONT.
pub fn arm(name: &str) -> anyhow::Result<()> {
    let (name, stops) = name.strip_prefix("stop:").map_or((name, false), |name| (name, true));
    let (point, passed) = (name.to_owned(), AtomicBool::new(false));
    let halt = move || {
        if passed.swap(stops, Ordering::AcqRel) {
            return;
        }
        eprintln!("halted at {point}");
        if stops {
            let process = std::process::id().to_string();
            // Its exit is seen once this process continues.
            let stopped = Command::new("sh").args(["-c", STOP, &process]).status();
            eprintln!("goes on at {point}: {stopped:?}");
            return;
        }
        loop {
            std::thread::park();
        }
    };
    fail::cfg_callback(name, halt).map_err(|error| anyhow::anyhow!("fail point {name}: {error}"))
}
