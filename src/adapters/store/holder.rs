//! Which process holds the lock of a file: the kernel knows, so nothing needs to be written down that could become
//! stale.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

/// Where Linux lists the locks of files.
const LOCKS: &str = "/proc/locks";

/// Returns the id of the process that holds the lock of the file at `path`; `None` if the system does not say, such as
/// for a process in another container.
pub(super) fn holder(path: &Path) -> Option<u32> {
    let file = fs::metadata(path).ok()?;
    let place = format!("{:02x}:{:02x}:{}", major(file.dev()), minor(file.dev()), file.ino());
    holder_in(&fs::read_to_string(LOCKS).ok()?, &place)
}

/// Reads it from a list of locks; `place` is the device and inode as listed there.
fn holder_in(locks: &str, place: &str) -> Option<u32> {
    let lock = locks.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
    let mut held = lock.filter_map(|fields| match fields[..] {
        // A waiting process has an arrow where the kind is.
        ["FLOCK", _, _, process, at, ..] if at == place => process.parse().ok().filter(|process| *process > 0),
        _ => None,
    });
    held.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_holds_a_lock_is_found() {
        let locks = "1: -> FLOCK  ADVISORY  WRITE 7 fe:00:12 0 EOF\n2: OFDLCK ADVISORY  WRITE -1 fe:00:12 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 42 fe:00:12 0 EOF\n4: FLOCK  ADVISORY  WRITE 0 fe:00:13 0 EOF\n5: POSIX\n";
        for (place, expected) in [("fe:00:12", Some(42)), ("fe:00:13", None), ("fe:00:1", None)] {
            assert_eq!(holder_in(locks, place), expected, "{place}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(holder(file.path()), None);
        file.as_file().lock().unwrap();
        // Some sandboxes list no locks, and some file systems list another device; a wrong process is never reported.
        let found = holder(file.path());
        assert!([None, Some(std::process::id())].contains(&found), "{found:?}");
    }
}
