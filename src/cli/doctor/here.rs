//! What this machine needs: the state directory, the policies, the address, the kill switch.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use serde::Deserialize;

use super::{DOES_NOT_START, Findings, NOTHING_IS_WRITTEN};
use crate::adapters::store::JournalReader;
use crate::app::deadline;
use crate::cli::policy::Source;
use crate::cli::running::Running;
use crate::config::{PolicySource, Settings, Switch};
use crate::decide::compile;
use crate::model::KillState;
use crate::model::explain::counted;
use crate::ports::{JournalError, journal::holder_in_words};

/// Least free space for the journal: that of its default number of records, plus a page or two.
const LEAST_ROOM: u64 = 100 << 20;

/// Checks the directory of the journal, and the journal in it.
pub(super) fn state(settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    let (state, remedy) =
        (settings.state.as_path(), "create it with this user as owner, or set `state` or FLYBALL_STATE");
    if state.exists() && !state.is_dir() {
        return findings.bad(format!("state directory {}: is a file", state.display()), remedy);
    }
    let there = existing(state);
    if let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
        return findings.bad(
            format!("state directory {}: {} cannot be written: {error}", state.display(), there.display()),
            remedy,
        );
    }
    // Not every file system reports it.
    let room = statvfs(there).ok().map(|of| of.f_bavail.saturating_mul(of.f_frsize));
    let free = room.map(|room| format!("{} free", size(room)));
    if let Some(room) = room.filter(|room| *room < LEAST_ROOM) {
        let what =
            format!("state directory {}: {} free, the journal needs {}", state.display(), size(room), size(LEAST_ROOM));
        return findings.bad(what, "free some space: on a full disk flyball writes nothing to the cluster");
    }
    if there != state {
        let free = free.map_or_else(String::new, |free| format!(" ({free})"));
        return findings.good(format!(
            "state directory {} does not exist yet; the first `flyball run` creates it{free}",
            state.display()
        ));
    }
    let free = free.map_or_else(String::new, |free| format!(", {free}"));
    let free = format!("state directory {} is writable{free}", state.display());
    match JournalReader::open(&settings.journal_file()) {
        Ok(_) => findings.good(format!("{free}; the journal is intact and readable by this version")),
        Err(JournalError::Missing { .. }) => findings.good(format!("{free}; no journal yet")),
        Err(JournalError::InUse { holder, .. }) => {
            findings.good(format!("{free}; the journal is in use by {}", holder_in_words(holder)))
        }
        Err(error @ JournalError::WrongVersion { .. }) => {
            findings.bad(error, "run the version that wrote it, or move it away to start from scratch")
        }
        // It names its remedy.
        Err(error) => findings.bad_until_fixed(error, None, DOES_NOT_START),
    }
}

/// Returns the directory, or its nearest existing ancestor.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"))
}

/// Returns a human-readable number of bytes.
fn size(bytes: u64) -> String {
    const GIB: f64 = 1_073_741_824.0;
    const MIB: f64 = 1_048_576.0;
    let bytes = bytes as f64;
    if bytes >= GIB { format!("{:.1} GiB", bytes / GIB) } else { format!("{:.0} MiB", bytes / MIB) }
}

/// Reads and compiles the policies.
pub(super) fn policies(settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    let PolicySource::Directory(directory) = &settings.policies else {
        return findings.note("policies come from ConfigMaps: `flyball status` shows the active revision");
    };
    let source = match Source::of(settings, None) {
        Ok(source) => source,
        Err(error) => {
            let consequence = "flyball decides nothing without policies";
            return findings.bad_until_fixed(format!("{error:#}"), None, consequence);
        }
    };
    let place = directory.display();
    match compile(source.texts(), &source.vocabulary, &deadline()) {
        Ok(set) => findings.good(format!(
            "policies {place}: revision {}, {}",
            set.revision(),
            counted(set.rules().count(), "rule")
        )),
        Err(faults) => {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            let what = format!("policies {place}: {}, the first: {first}", counted(faults.len(), "fault"));
            findings.bad(what, "`flyball check` lists them all")
        }
    }
}

/// The part of a status that every version reports.
#[derive(Debug, Deserialize)]
struct Answering {
    #[serde(rename = "ready")]
    _ready: bool,
    version: Option<String>,
}

/// Checks whether the address is free, or a flyball already answers there.
pub(super) async fn listen(settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    let address = settings.listen;
    let running = Running::of(settings)?;
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => findings.good(format!("address {address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match running.ask_any::<Answering>("status").await {
            Ok(_) if running.stranger().await.is_some() => findings.bad(
                format!("address {address} is in use by another flyball, which runs with different settings"),
                "set `listen` or FLYBALL_LISTEN to a free address",
            ),
            Ok(Answering { version: Some(version), .. }) => {
                findings.good(format!("address {address}: flyball {version} answers there"))
            }
            Ok(_) => findings.good(format!("address {address}: an older flyball answers there")),
            Err(_) => findings.bad(
                format!("address {address} is in use by a process that is not flyball"),
                "set `listen` or FLYBALL_LISTEN to a free address",
            ),
        },
        Err(error) => findings
            .bad(format!("address {address}: {error}"), "set `listen` or FLYBALL_LISTEN to an address of this machine"),
    }
}

/// Reports what the switch permits. A missing one is a fault only if something would be written.
pub(super) fn kill_switch(settings: &Settings, state: &KillState, findings: &mut Findings) -> anyhow::Result<()> {
    match state {
        KillState::Missing { error } if !settings.may_be_auto() => {
            findings.note(format!("{error}; no service is in `auto`, so this blocks nothing"))
        }
        KillState::Missing { error } => findings.bad_until_fixed(error, None, NOTHING_IS_WRITTEN),
        KillState::Unreadable { error } => {
            let remedy = if let Switch::ConfigMap { .. } = settings.kill_switch {
                "make sure it is readable and `global` is `engaged` or `released`: `kubectl edit configmap \
                 flyball-killswitch` in flyball's namespace"
            } else {
                "fix it; `flyball resume --reason ...` rewrites it"
            };
            findings.bad_until_fixed(error, Some(remedy), NOTHING_IS_WRITTEN)
        }
        KillState::Readable { order, .. } => match order.stopped() {
            None => findings.good("kill switch is off"),
            Some(stopped) => findings.note(format!("kill switch is ON and stops {stopped}, {}", order.given())),
        },
    }
}
