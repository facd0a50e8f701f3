//! The directory of a demo: what an operator would have under `/etc` and `/var/lib`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::adapters::kill_file::{self, Scope};
use crate::demo::prometheus::queries::{LABELS, QUERIES, SAMPLES};

/// The shipped policies that the demo starts with.
const POLICIES: [(&str, &str); 2] = [
    ("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai")),
    ("traffic.rhai", include_str!("../../../deploy/policies/traffic.rhai")),
];

/// A prepared directory.
pub struct Directory(PathBuf);

impl Directory {
    /// Writes the settings, releases the kill switch, and forgets the journal of an earlier demo. Policies that
    /// are there are kept: they may have been edited.
    pub fn prepare(path: &Path, prometheus: &str, kubernetes: &str) -> anyhow::Result<Self> {
        let wanted = || format!("cannot prepare {}; name another with --directory", path.display());
        let directory = Self(std::path::absolute(path).with_context(wanted)?);
        let path = &directory.0;
        fs::create_dir_all(directory.policies()).with_context(wanted)?;
        for (name, text) in POLICIES {
            let file = directory.policies().join(name);
            if !file.exists() {
                fs::write(&file, text).with_context(wanted)?;
            }
        }
        let journal = path.join("journal.redb");
        if journal.exists() {
            fs::remove_file(&journal).with_context(wanted)?;
        }
        fs::write(directory.settings(), directory.settings_text(prometheus, kubernetes)).with_context(wanted)?;
        kill_file::release(&path.join("killswitch.yaml"), &Scope::All, "flyball demo", "the demo begins")?;
        Ok(directory)
    }

    /// Returns the settings file.
    pub fn settings(&self) -> PathBuf {
        self.0.join("flyball.yaml")
    }

    /// Returns the directory of the policies.
    pub fn policies(&self) -> PathBuf {
        self.0.join("policies")
    }

    /// Returns the log file.
    pub fn log(&self) -> PathBuf {
        self.0.join("flyball.log")
    }

    fn settings_text(&self, prometheus: &str, kubernetes: &str) -> String {
        let state = self.0.display();
        let policies = self.policies();
        let policies = policies.display();
        let mut text = format!(
            "# Settings of a demo, written anew at each start of `flyball demo`.\n\
             state: {state}\npolicies: {policies}\nlisten: 127.0.0.1:9464\n\
             cluster: {{ url: \"{kubernetes}\" }}\n\
             sources:\n  plant: {{ kind: prometheus, url: \"{prometheus}\", interval: 15s, timeout: 5s, history: 14d }}\n\
             signals:\n"
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

/// Returns the word that serde writes for a unit variant.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
