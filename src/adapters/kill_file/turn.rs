//! Turns the kill switch: replaces the order in the file, whole or not at all, one process at a time.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::adapters::whole_file::{directory_of, replace};
use crate::model::kill::KillOrder;
use crate::model::{ActionClass, ServiceId};

use super::order::{KillFileError, read_order};

/// What is stopped or let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// The writes for one service.
    Service(ServiceId),
    /// The writes of one class.
    Class(ActionClass),
}

/// Stops what `scope` names, on top of what is stopped already. If that cannot be read it counts as everything.
///
/// # Errors
/// `NoReason`; `Io` when the file cannot be written.
pub fn engage(path: &Path, scope: &Scope, by: &str, reason: &str) -> Result<(), KillFileError> {
    rewrite(path, by, reason, |order| {
        let mut order = order.unwrap_or_else(|_| KillOrder { all: true, ..KillOrder::default() });
        match scope {
            Scope::All => order.all = true,
            Scope::Service(service) => drop(order.services.insert(service.clone())),
            Scope::Class(class) => drop(order.classes.insert(*class)),
        }
        Ok(order)
    })
}

/// Lets go what `scope` names; everything, if it is [`Scope::All`] (this also mends or makes the file).
///
/// # Errors
/// `NoReason`; `Missing`, `Io`, `Malformed` when a part is to be let go of an order that cannot be read; `Io`
/// when the file cannot be written.
pub fn release(path: &Path, scope: &Scope, by: &str, reason: &str) -> Result<(), KillFileError> {
    rewrite(path, by, reason, |order| {
        if *scope == Scope::All {
            return Ok(KillOrder::default());
        }
        let mut order = order?;
        match scope {
            Scope::All => {}
            Scope::Service(service) => drop(order.services.remove(service)),
            Scope::Class(class) => drop(order.classes.remove(class)),
        }
        Ok(order)
    })
}

/// Replaces the order in the file by what `change` makes of it; one process at a time.
fn rewrite(
    path: &Path,
    by: &str,
    reason: &str,
    change: impl FnOnce(Result<KillOrder, KillFileError>) -> Result<KillOrder, KillFileError>,
) -> Result<(), KillFileError> {
    if reason.trim().is_empty() {
        return Err(KillFileError::NoReason);
    }
    if path.is_dir() {
        return Err(KillFileError::Malformed {
            path: path.to_owned(),
            fault: "is a directory, expected a file".to_owned(),
        });
    }
    let failed = |source| KillFileError::Io { path: path.to_owned(), doing: "written", source };
    let lock = beside(path, "lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let order = KillOrder { by: by.to_owned(), reason: reason.to_owned(), ..change(read_order(path))? };
    let mut text = serde_json::to_vec_pretty(&order).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    replace(path, &beside(path, "new"), &text).map_err(failed)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory_of(path).join(format!(".{name}.{ending}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::adapters::kill_file::{place, read_state};
    use crate::model::KillState;

    fn service() -> ServiceId {
        "shop/checkout".parse().unwrap()
    }

    fn order(path: &Path) -> KillOrder {
        match read_state(path) {
            KillState::Readable { order } => order,
            KillState::Unreadable { error } => panic!("{error}"),
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
        release(&path, &Scope::Service(service()), "me", "mended").unwrap();
        assert!(order(&path).services.is_empty() && !order(&path).classes.is_empty());
        engage(&path, &Scope::All, "me", "everything is odd").unwrap();
        assert!(read_state(&path).stops_all());
        release(&path, &Scope::All, "me", "all is well").unwrap();
        assert_eq!(order(&path), KillOrder { by: "me".into(), reason: "all is well".into(), ..KillOrder::default() });
    }

    #[test]
    fn a_broken_order_is_never_loosened_by_a_part() {
        let (_directory, path) = place();
        fs::write(&path, "{").unwrap();
        assert!(release(&path, &Scope::Service(service()), "me", "mended").is_err());
        engage(&path, &Scope::Service(service()), "me", "odd latency").unwrap();
        assert!(read_state(&path).stops_all());
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
        check(&path, "kill.json is a directory, expected a file");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
