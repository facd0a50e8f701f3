//! Reads an order from the file. An unreadable file is an error that names the place, and counts as engaged.

use std::io;
use std::path::{Path, PathBuf};

use crate::adapters::whole_file::read_limited;
use crate::model::KillState;
use crate::model::controls::escape_controls;
use crate::model::kill::KillOrder;

/// Largest file read.
const SIZE_LIMIT: u64 = 64 * 1024;
/// Longest unparsable text that is still taken for a damaged order.
const LITTER_LIMIT: usize = 1024;
/// All keys of an order.
const KEYS: [&str; 5] = ["all", "services", "classes", "by", "reason"];
/// The keys that never occur in the settings: they distinguish a faulty order from other mappings.
const TELLING: [&str; 2] = ["all", "classes"];

/// Reads the state of the switch now.
pub fn read_state(path: &Path) -> KillState {
    match read_order(path) {
        Ok(order) => KillState::readable(order),
        Err(error @ KillFileError::Missing { .. }) => KillState::Missing { error: error.to_string() },
        Err(error) => KillState::Unreadable { error: error.to_string() },
    }
}

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KillFileError {
    /// The file does not exist.
    #[error("kill switch {path} is missing; `flyball resume --reason ...` creates one that stops nothing")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be opened, read or written.
    #[error("kill switch {path} cannot be {doing}{}", remedy(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is malformed.
    #[error("kill switch {path} {fault}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// Another program's file, which is left unchanged.
    #[error(
        "{path} is not a kill switch: it {fault}; nothing was changed. Name the switch with --file or `kill_switch`; \
         if this is a damaged switch, move it away: a missing switch stops everything"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        fault: String,
    },
    /// No reason was given, so nobody would later know why.
    #[error("changing the kill switch requires a reason, as in --reason 'load test over'")]
    NoReason,
}

/// Returns the remedy for a file system failure, if it is obvious.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => {
            " (its directory does not exist: check the path; `flyball run` creates the state directory, and a flyball \
             without its switch writes nothing)"
        }
        io::ErrorKind::PermissionDenied => " (run this as the user that flyball runs as)",
        _ => "",
    }
}

/// Reads the order in the file.
pub(super) fn read_order(path: &Path) -> Result<KillOrder, KillFileError> {
    let malformed = |fault: String| KillFileError::Malformed { path: path.to_owned(), fault };
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KillFileError::Missing { path: path.to_owned() },
        io::ErrorKind::InvalidInput => malformed("is not a file".to_owned()),
        io::ErrorKind::FileTooLarge => malformed(format!("is larger than {SIZE_LIMIT} bytes")),
        _ => KillFileError::Io { path: path.to_owned(), doing: "read", source },
    };
    let bytes = read_limited(path, SIZE_LIMIT).map_err(failed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("is not UTF-8".to_owned()))?;
    if text.trim().is_empty() {
        return Err(malformed("is empty, expected an order such as {\"all\": false}".to_owned()));
    }
    // An error may repeat what the file holds.
    parse(text).map_err(|error| malformed(format!("is not a valid order: {}", escape_controls(&error))))
}

/// Refuses to replace an existing file that is clearly something else: the settings, the journal, a policy. A damaged
/// order may be replaced, and so may an unreadable file: it counts as engaged, and people must be able to change it.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), KillFileError> {
    let foreign = |fault: String| Err(KillFileError::Foreign { path: path.to_owned(), fault });
    if path.extension().is_some_and(|ending| ending == "rhai") {
        return foreign("is named like a policy".to_owned());
    }
    let bytes = match read_limited(path, SIZE_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::InvalidInput if path.is_dir() => foreign("is a directory, expected a file".to_owned()),
                io::ErrorKind::InvalidInput => foreign("is a pipe or a device, expected a file".to_owned()),
                io::ErrorKind::FileTooLarge => foreign(format!("is larger than {SIZE_LIMIT} bytes")),
                _ => Ok(()),
            };
        }
    };
    let Ok(text) = std::str::from_utf8(&bytes) else { return foreign("is not UTF-8".to_owned()) };
    match serde_saphyr::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(entries)) => {
            let other = entries.keys().find(|key| !KEYS.contains(&key.as_str()));
            match other.filter(|_| !TELLING.iter().any(|key| entries.contains_key(*key))) {
                Some(key) => foreign(format!("has the key `{}`, which is not part of an order", escape_controls(key))),
                None => Ok(()),
            }
        }
        _ if text.trim().len() > LITTER_LIMIT => foreign("contains a long text that is not an order".to_owned()),
        _ => Ok(()),
    }
}

/// Keys of which an order must have at least one: a truncated file releases nothing.
const SUBJECTS: [&str; 3] = ["all", "services", "classes"];

/// Parses an order. YAML is converted through JSON values, whose types are strict: `"no"` is a string, never false.
fn parse(text: &str) -> Result<KillOrder, String> {
    let braced = text.trim_start().starts_with('{');
    let json = if braced { serde_json::from_str(text).map(Some) } else { Ok(None) };
    let whole = |value: &serde_json::Value, order: KillOrder| {
        let named = SUBJECTS.iter().any(|subject| value.get(subject).is_some());
        named
            .then_some(order)
            .ok_or_else(|| format!("it has none of {}; `all: false` stops nothing", SUBJECTS.join(", ")))
    };
    if let Ok(Some(order)) = json {
        let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return whole(&value, order);
    }
    let strict = serde_saphyr::options! { strict_booleans: true };
    match (serde_saphyr::from_str_with_options::<serde_json::Value>(text, strict), json) {
        (Ok(value), _) if value.is_object() => {
            let order = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
            whole(&value, order)
        }
        (_, Err(json)) => Err(json.to_string()),
        (Ok(_), Ok(_)) => Err("expected fields such as all, services, classes, by, reason".to_owned()),
        (Err(yaml), Ok(_)) => Err(yaml.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::adapters::kill_file::place;

    #[test]
    fn the_keys_that_tell_an_order_from_another_file_are_its_own() {
        let order = serde_json::to_value(KillOrder::default()).unwrap();
        let keys: std::collections::BTreeSet<&str> = order.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, KEYS.into_iter().collect());
    }

    #[test]
    fn what_cannot_be_read_counts_as_engaged_and_says_why() {
        let check = |text: &[u8], expected: &str| {
            let (_directory, path) = place();
            fs::write(&path, text).unwrap();
            let KillState::Unreadable { error } = read_state(&path) else { panic!("readable: {text:?}") };
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "is empty");
        check(b" \n\n", "is empty");
        check(b"{\"all\": tr", "is not a valid order");
        check(b"{\"all\": \"no\"}", "is not a valid order");
        check(b"{\"everything\": true}", "is not a valid order");
        check(b"all: perhaps", "is not a valid order");
        check(b"all: no", "is not a valid order");
        check(b"all: 'false'", "is not a valid order");
        check(b"all: true\nall: false\n", "is not a valid order");
        check(b"{\"all\": true, \"all\": false}", "is not a valid order");
        check(b"# nothing but a comment\n", "is not a valid order");
        check(b"null", "is not a valid order");
        for cut in ["{}", "by: ops\n", "by: ops\nreason: drill\n", "{\"by\": \"ops\"}"] {
            check(
                cut.as_bytes(),
                "is not a valid order: it has none of all, services, classes; `all: false` stops nothing",
            );
        }
        check(b"{\"\\u001b[2J\\nx\": 1}", "unknown field `\\u{1b}[2J\\nx`");
        check(b"[]", "is not a valid order");
        // The file does not decide when it was changed.
        check(b"all: false\nturned: 2026-03-03T12:00:00Z\n", "unknown field `turned`");
        check(b"services: [Not A Service]", "is not a valid order");
        check(b"{\"all\": \xff}", "is not UTF-8");
        check(&vec![b' '; 70_000], "is larger than 65536 bytes");
        let (directory, path) = place();
        let KillState::Missing { error } = read_state(&path) else { panic!() };
        assert!(error.contains("is missing; `flyball resume"), "{error}");
        let KillState::Unreadable { error } = read_state(directory.path()) else { panic!() };
        assert!(error.contains("is not a file"), "{error}");
    }

    #[test]
    fn json_and_yaml_are_read() {
        let (_directory, path) = place();
        for text in ["services: []\n", "{\"classes\": []}", "all: false\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_state(&path), KillState::released(), "{text}");
        }
        let (_directory, path) = place();
        for text in ["{\"all\": true, \"by\": \"me\"}", "all: true\nby: me\n", "{all: true, by: me}"] {
            fs::write(&path, text).unwrap();
            let expected = KillOrder { all: true, by: "me".to_owned(), ..KillOrder::default() };
            assert_eq!(read_state(&path), KillState::readable(expected), "{text}");
        }
    }
}
