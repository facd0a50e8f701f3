//! Signals to the processes of a test.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a process may take to stop.
const STILL: Duration = Duration::from_secs(10);

/// Sends a process a signal by its name, such as `TERM`. After `STOP` it is stopped when this returns: the kernel stops
/// threads one by one, and those on other cores may run a little longer.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to process {pid}");
    if name == "STOP" {
        let end = Instant::now() + STILL;
        while !stands_still(pid) {
            assert!(Instant::now() < end, "process {pid} goes on after STOP");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Returns whether every thread of a process is stopped.
fn stands_still(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    threads.flatten().all(|thread| {
        // The state follows the program name in parentheses; a missing file means that the thread has ended.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with(['T', 't', 'Z', 'X']))
    })
}
