//! Changes the kill switch: replaces the order in the file atomically, one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::adapters::whole_file::{directory_of, replace, share};
use crate::model::kill::KillOrder;
use crate::model::{ActionClass, ServiceId};

use super::order::{KillFileError, read_order, refuse_foreign};

/// What is stopped or released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// The writes for one service.
    Service(ServiceId),
    /// The writes of one class.
    Class(ActionClass),
}

/// How the switch was engaged.
#[derive(Debug)]
pub enum Engaged {
    /// The file holds this order now.
    Written(KillOrder),
    /// It could not be written and was removed: a missing switch stops everything, but gives no reason.
    Removed(KillFileError),
}

/// Stops what `scope` names, on top of what is already stopped. If the existing order cannot be read it counts as a
/// stop of everything, and the reason says so. To stop everything when the file cannot be written (the disk is full),
/// the file is removed.
///
/// # Errors
/// `NoReason`; `Foreign` when the file is clearly something else; `Io` when it cannot be written, or cannot be removed
/// if it has to be.
pub fn engage(path: &Path, scope: &Scope, by: &str, reason: &str) -> Result<Engaged, KillFileError> {
    let engaged = rewrite(path, reason, |order| {
        let mut order = order.unwrap_or_else(|_| {
            let reason = format!("{reason} (the switch could not be read, so everything is stopped)");
            given(KillOrder { all: true, ..KillOrder::default() }, by, &reason)
        });
        match scope {
            Scope::All => return Ok(given(KillOrder { all: true, ..order }, by, reason)),
            Scope::Service(service) => drop(order.services.insert(service.clone())),
            Scope::Class(class) => drop(order.classes.insert(*class)),
        }
        // The person who stopped everything remains the one to ask.
        Ok(if order.all { order } else { given(order, by, reason) })
    });
    match engaged {
        Err(error @ KillFileError::Io { .. }) if *scope == Scope::All && removed(path) => Ok(Engaged::Removed(error)),
        written => written.map(Engaged::Written),
    }
}

/// Releases what `scope` names; everything for [`Scope::All`], which also repairs or creates the file. Returns the
/// resulting order: who stopped the rest, and why, is unchanged.
///
/// # Errors
/// `NoReason`; `Foreign` when the file is clearly something else; `Missing`, `Io`, `Malformed` when part of an
/// unreadable order is to be released; `Io` when the file cannot be written.
pub fn release(path: &Path, scope: &Scope, by: &str, reason: &str) -> Result<KillOrder, KillFileError> {
    rewrite(path, reason, |order| {
        if *scope == Scope::All {
            return Ok(given(KillOrder::default(), by, reason));
        }
        let mut order = order?;
        match scope {
            Scope::All => {}
            Scope::Service(service) => drop(order.services.remove(service)),
            Scope::Class(class) => drop(order.classes.remove(class)),
        }
        Ok(if order.stopped().is_some() { order } else { given(order, by, reason) })
    })
}

/// Returns the order with its author and reason.
fn given(order: KillOrder, by: &str, reason: &str) -> KillOrder {
    KillOrder { by: by.to_owned(), reason: reason.to_owned(), ..order }
}

/// Replaces the order in the file with the result of `change`; one process at a time.
fn rewrite(
    path: &Path,
    reason: &str,
    change: impl FnOnce(Result<KillOrder, KillFileError>) -> Result<KillOrder, KillFileError>,
) -> Result<KillOrder, KillFileError> {
    if reason.trim().is_empty() {
        return Err(KillFileError::NoReason);
    }
    refuse_foreign(path)?;
    let failed = |source| KillFileError::Io { path: path.to_owned(), doing: "written", source };
    // Unlocked when it is closed, at the end of this function.
    let lock = open_lock(&beside(path, "lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let order = change(read_order(path))?;
    let mut text = serde_json::to_vec_pretty(&order).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    replace(path, &beside(path, "new"), &text).map_err(failed)?;
    Ok(order)
}

/// Opens the lock file, which is locked during a change; creates it if it does not exist. It is opened read-only, so
/// every user who may change the switch can lock it, no matter who created it.
fn open_lock(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            share(&lock, path, path);
            Ok(lock)
        }
        opened => opened,
    }
}

/// Removes the file and returns whether it is gone. If its directory does not exist, the path is probably mistyped.
fn removed(path: &Path) -> bool {
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::NotFound && directory_of(path).is_dir(),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory_of(path).join(format!(".{name}.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kill_file::{place, read_state};
    use crate::model::KillState;

    fn service() -> ServiceId {
        "shop/checkout".parse().unwrap()
    }

    fn order(path: &Path) -> KillOrder {
        match read_state(path) {
            KillState::Readable { order, .. } => order,
            KillState::Missing { error } | KillState::Unreadable { error } => panic!("{error}"),
        }
    }

    #[test]
    fn engaging_adds_and_releasing_takes_away() {
        let (_directory, path) = place();
        release(&path, &Scope::All, "me", "first start").unwrap();
        assert_eq!(read_state(&path).stops(&service(), ActionClass::Scale), None);
        engage(&path, &Scope::Service(service()), "me", "odd latency").unwrap();
        engage(&path, &Scope::Class(ActionClass::Traffic), "you", "provider trouble").unwrap();
        let found = order(&path);
        assert_eq!((found.services.len(), found.classes.len(), found.all), (1, 1, false));
        assert_eq!((found.by.as_str(), found.reason.as_str()), ("you", "provider trouble"));
        let left = release(&path, &Scope::Service(service()), "me", "mended").unwrap();
        assert_eq!((left.stopped().as_deref(), left.by.as_str()), (Some("class traffic"), "you"));
        assert_eq!(order(&path), left);
        engage(&path, &Scope::All, "me", "everything is odd").unwrap();
        assert!(read_state(&path).stops_all());
        release(&path, &Scope::All, "me", "all is well").unwrap();
        assert_eq!(order(&path), KillOrder { by: "me".into(), reason: "all is well".into(), ..KillOrder::default() });
    }

    /// Anyone who finds everything stopped needs to know who did it and why.
    #[test]
    fn a_standing_stop_of_everything_keeps_who_and_why() {
        let (_directory, path) = place();
        engage(&path, &Scope::All, "ops", "drill").unwrap();
        let left = release(&path, &Scope::Service(service()), "me", "ok").unwrap();
        assert_eq!((left.stopped().as_deref(), left.given().as_str()), (Some("everything"), "by ops: drill"));
        engage(&path, &Scope::Service(service()), "me", "odd latency").unwrap();
        assert_eq!(order(&path).given(), "by ops: drill");
        engage(&path, &Scope::All, "you", "not a drill").unwrap();
        assert_eq!(order(&path).given(), "by you: not a drill");
    }

    /// A missing switch counts as engaged, and a full disk still permits removal.
    #[test]
    fn on_a_full_disk_everything_is_stopped_by_removing_the_file() {
        let (directory, path) = place();
        release(&path, &Scope::All, "me", "first start").unwrap();
        let full = || std::os::unix::fs::symlink("/dev/full", beside(&path, "new")).unwrap();
        full();
        assert!(engage(&path, &Scope::Service(service()), "me", "odd latency").is_err());
        assert_eq!(order(&path).stopped(), None);
        full();
        assert!(matches!(engage(&path, &Scope::All, "me", "drill").unwrap(), Engaged::Removed(_)));
        assert!(read_state(&path).stops_all() && !path.exists());
        full();
        assert!(matches!(engage(&path, &Scope::All, "me", "again").unwrap(), Engaged::Removed(_)));
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), [".kill.json.lock"], "no half of a file is left");
    }

    #[test]
    fn a_broken_order_is_never_loosened_by_a_part() {
        let (_directory, path) = place();
        fs::write(&path, "{").unwrap();
        assert!(release(&path, &Scope::Service(service()), "me", "mended").is_err());
        engage(&path, &Scope::Service(service()), "me", "odd latency").unwrap();
        assert!(read_state(&path).stops_all());
        let said = "by me: odd latency (the switch could not be read, so everything is stopped)";
        assert_eq!(order(&path).given(), said);
    }

    /// A mistyped path must not destroy the journal, the settings or a policy.
    #[test]
    fn a_file_of_somebody_else_is_neither_replaced_nor_removed() {
        let policy = "// Adds replicas.\n".repeat(80);
        let settings = include_bytes!("../../../docs/flyball.example.yaml");
        let own: [(&str, &[u8], &str); 6] = [
            ("journal.redb", b"redb\x1a\x0a\xa9\x0d\x0a\0\0", "is not UTF-8"),
            ("large.redb", &b" ".repeat(70_000), "is larger than 65536 bytes"),
            ("flyball.yaml", settings, "has the key `"),
            (
                "small.yaml",
                b"services: []\nstate: /var/lib/flyball\n",
                "has the key `state`, which is not part of an order",
            ),
            ("own.rhai", b"// mine\n", "is named like a policy"),
            ("policy.txt", policy.as_bytes(), "contains a long text that is not an order"),
        ];
        for (name, bytes, expected) in own {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            // Not even if nothing can be written.
            std::os::unix::fs::symlink("/dev/full", beside(&path, "new")).unwrap();
            let turned = [
                engage(&path, &Scope::All, "me", "drill").map(drop),
                engage(&path, &Scope::Service(service()), "me", "drill").map(drop),
                release(&path, &Scope::All, "me", "over").map(drop),
            ];
            for turned in turned {
                let error = turned.unwrap_err().to_string();
                assert!(error.contains(&format!("{name} is not a kill switch: it {expected}")), "{error}");
            }
            assert_eq!(fs::read(&path).unwrap(), bytes, "{name}");
        }
    }

    #[test]
    fn an_order_that_went_bad_can_be_turned() {
        for bad in ["", "{", "all: perhaps\n", "all: true\nturned: today\n", "stop!\n", "\0\0\0", "# soon\n", "[]"] {
            let (_directory, path) = place();
            fs::write(&path, bad).unwrap();
            engage(&path, &Scope::All, "me", "drill").unwrap();
            assert_eq!(order(&path).given(), "by me: drill", "{bad}");
            fs::write(&path, bad).unwrap();
            release(&path, &Scope::All, "me", "over").unwrap();
            assert_eq!(order(&path).stopped(), None, "{bad}");
        }
    }

    #[test]
    fn a_reason_is_needed() {
        let (_directory, path) = place();
        assert!(matches!(release(&path, &Scope::All, "me", " "), Err(KillFileError::NoReason)));
        assert!(matches!(engage(&path, &Scope::All, "me", ""), Err(KillFileError::NoReason)));
        assert!(!path.exists());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let check = |path: &Path, expected: &str| {
            let error = engage(path, &Scope::All, "me", "test").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(Path::new("/nonexistent/kill.json"), "/nonexistent/kill.json cannot be written (its directory");
        let (directory, path) = place();
        fs::create_dir(&path).unwrap();
        check(&path, "kill.json is not a kill switch: it is a directory, expected a file; nothing was changed");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
