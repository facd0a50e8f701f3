//! The directory of a demo: what an operator would keep under `/etc` and `/var/lib`.

use std::fmt::Write as _;
use std::fs;
use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::adapters::kill_file::{self, Scope};
use crate::cli::usual_settings;
use crate::demo::prometheus::queries::{LABELS, QUERIES, SAMPLES};

/// The shipped policies that the demo starts with.
const POLICIES: [(&str, &str); 2] = [
    ("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai")),
    ("traffic.rhai", include_str!("../../../deploy/policies/traffic.rhai")),
];

/// Marks the directory of a demo, and is locked while it runs.
const LOCK: &str = ".demo.lock";

/// The default port of the console.
const USUAL_PORT: u16 = 9464;

/// A prepared directory, exclusive to this demo until it is dropped.
pub struct Directory {
    path: PathBuf,
    listener: TcpListener,
    _lock: File,
}

impl Directory {
    /// Writes the settings, releases the kill switch, and deletes the journal of an earlier demo. Existing policies are
    /// kept: they may have been edited. A directory that is in use, or does not belong to a demo, is left unchanged.
    pub fn prepare(path: &Path, prometheus: &str, kubernetes: &str, policy_shadow: Duration) -> anyhow::Result<Self> {
        let wanted = || format!("cannot prepare {}; name another directory with --directory", path.display());
        let path = std::path::absolute(path).with_context(wanted)?;
        let foreign = fs::read_dir(&path).is_ok_and(|mut files| files.next().is_some()) && !path.join(LOCK).exists();
        if foreign {
            bail!(
                "{} is not empty and not the directory of an earlier demo; name another directory with --directory",
                path.display()
            );
        }
        fs::create_dir_all(path.join("policies")).with_context(wanted)?;
        let lock = File::create(path.join(LOCK)).with_context(wanted)?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            bail!(
                "a demo is already running in {}; stop it, or name another directory with --directory",
                path.display()
            );
        }
        let listener = free_port().context("no free loopback port for the console")?;
        let directory = Self { path, listener, _lock: lock };
        directory.forget_journal()?;
        for (name, text) in POLICIES {
            let file = directory.policies().join(name);
            if !file.exists() {
                fs::write(&file, text).with_context(wanted)?;
            }
        }
        let listen = directory.listener.local_addr()?;
        let text = directory.settings_text(prometheus, kubernetes, listen, policy_shadow);
        fs::write(directory.settings(), text).with_context(wanted)?;
        let kill_switch = directory.path.join("killswitch.yaml");
        kill_file::release(&kill_switch, &Scope::All, "flyball demo", "demo start")?;
        Ok(directory)
    }

    /// Deletes the state of an earlier demo: this one starts at the same plant time again, with the existing policies.
    fn forget_journal(&self) -> anyhow::Result<()> {
        for name in ["policies.json", "policy-order.json"] {
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {name}"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let journal = self.path.join("journal.redb");
        let Ok(file) = File::open(&journal) else { return Ok(()) };
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            bail!(
                "journal {} is in use by another process; stop it, or name another directory with --directory",
                journal.display()
            );
        }
        fs::remove_file(&journal).with_context(|| format!("cannot remove {}", journal.display()))
    }

    /// Returns the names of policies that differ from the shipped ones, in order.
    pub fn own_policies(&self) -> Vec<String> {
        let shipped = |name: &str, text: &str| POLICIES.contains(&(name, text));
        let files = fs::read_dir(self.policies()).into_iter().flatten().flatten();
        let scripts = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "rhai"));
        let own = scripts.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            (!shipped(&name, &text)).then_some(name)
        });
        let mut own: Vec<String> = own.collect();
        own.sort();
        own
    }

    /// Returns whether commands started here find its settings without an option.
    pub fn is_found_unnamed(&self) -> bool {
        usual_settings().and_then(|path| std::path::absolute(path).ok()) == Some(self.settings())
    }

    /// Returns the settings file.
    pub fn settings(&self) -> PathBuf {
        self.path.join("flyball.yaml")
    }

    /// Returns the directory of the policies.
    pub fn policies(&self) -> PathBuf {
        self.path.join("policies")
    }

    /// Returns the port reserved for the console, which the settings name.
    pub fn listener(&self) -> std::io::Result<TcpListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Returns the log file.
    pub fn log(&self) -> PathBuf {
        self.path.join("flyball.log")
    }

    fn settings_text(&self, prometheus: &str, kubernetes: &str, listen: SocketAddr, policy_shadow: Duration) -> String {
        let (state, policies) = (quoted(&self.path), quoted(&self.policies()));
        let mut text = format!(
            "# Settings of a demo, rewritten at each start of `flyball demo`.\n\
             state: {state}\npolicies: {policies}\npolicy_shadow: {}s\nlisten: {listen}\n\
             cluster: {{ url: \"{kubernetes}\" }}\n\
             sources:\n  plant: {{ kind: prometheus, url: \"{prometheus}\", interval: 15s, timeout: 5s, history: 14d }}\n\
             signals:\n",
            policy_shadow.as_secs_f64()
        );
        for row in &QUERIES {
            let role = row.role.map(|role| format!("    role: {}\n", word(&role))).unwrap_or_default();
            let (low, high) = row.range;
            let _ = write!(
                text,
                "  {}:\n    source: plant\n    query: '{}'\n    samples: '{SAMPLES}'\n    labels: [{}]\n    \
                 unit: {}\n{role}    forecast: {}\n    range: [{low:?}, {high:?}]\n",
                row.name,
                row.query.replace('\'', "''"),
                LABELS.join(", "),
                word(&row.unit),
                row.forecast,
            );
        }
        let names: Vec<&str> = QUERIES.iter().map(|row| row.name).collect();
        let _ = write!(
            text,
            "defaults:\n  mode: auto\n  allow_lowering: true\n  signals: [{}]\n  slo: {{ p99: 200ms, error_ratio: 0.01 }}\n  \
             bounds: {{ min: 2, max: 40 }}\n  capacity: {{ per_pod_rate: 100, utilisation: 0.75, start_time: 60s }}\n\
             services:\n  - name: shop/catalog\n  - name: shop/checkout\n  - name: shop/search\n",
            names.join(", ")
        );
        text
    }
}

/// Returns a path quoted for YAML, whatever it contains: ` #` starts a comment, `: ` a mapping.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// Takes the default port if it is free, otherwise any free one.
fn free_port() -> std::io::Result<TcpListener> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    bind(USUAL_PORT).or_else(|_| bind(0))
}

/// Returns the serde name of a unit variant.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_settings_of_a_demo_name_its_directory_whatever_it_is_called() {
        for name in ["a #b", "x: y", "it's \"so\"", "- [1]", "new\nline", "plain"] {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join(name);
            let directory =
                Directory::prepare(&path, "http://127.0.0.1:1", "http://127.0.0.1:2", Duration::ZERO).unwrap();
            let settings = config::load(&directory.settings()).unwrap();
            let policies = config::PolicySource::Directory(path.join("policies"));
            assert_eq!((settings.state, settings.policies), (path, policies), "{name}");
        }
    }
}
