//! Settings: one YAML file, validated whole. Every fault is listed at once with the path of its key.
//!
//! | file | duty |
//! |---|---|
//! | [`load`] | the one file with I/O: reads the file and the overrides from the environment |
//! | `tree` | a cursor over the parsed file that notes faults with their paths |
//! | `sources` | telemetry sources and signal templates |
//! | `services` | services and the defaults they fall back to |
//! | `forecast` | when a forecast may speak |
//! | `validate` | what only shows between services: duplicates, series that are not told apart |
//! | `query` | textual checks of grouped queries |
//! | `durations` | `15s`, `1h30m`, `14d` |
//! | `faults` | the faults and their text |
//!
//! `docs/flyball.example.yaml` shows every key. Imported by `app` and `cli` only.

mod durations;
mod faults;
mod forecast;
pub mod load;
mod query;
mod services;
mod sources;
mod tree;
mod validate;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use faults::{Fault, Faults};
pub use load::{ConfigError, kill_switch_of, load};

use crate::forecast::params::ForecastParams;
use crate::model::{ServiceSpec, SignalSpec};
use tree::{Given, Node, Table};

/// Everything that flyball is told before it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the console listens.
    pub listen: SocketAddr,
    /// Directory of the journal.
    pub state: PathBuf,
    /// Directory of the policies.
    pub policies: PathBuf,
    /// File of the kill switch.
    pub kill_switch: PathBuf,
    /// The Kubernetes API; `None` means kubeconfig, or the account of the pod.
    pub cluster: Option<ClusterSettings>,
    /// Telemetry sources, by name.
    pub sources: Vec<SourceSettings>,
    /// Signal templates, by name.
    pub signals: Vec<SignalTemplate>,
    /// When a forecast may speak; the same for all services.
    pub forecast: ForecastParams,
    /// Services, in the order of the file.
    pub services: Vec<ServiceSpec>,
}

/// A Kubernetes API that is reached without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Its base URL, without a slash at the end.
    pub url: String,
}

/// One telemetry source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind, a row of the registry of adapters.
    pub kind: String,
    /// Its base URL, without credentials and without a slash at the end.
    pub url: String,
    /// Time between two rounds of queries: the tick of the services that use it.
    pub interval: Duration,
    /// How long one query may take; at most the interval, which bounds the whole round.
    pub timeout: Duration,
    /// How far back the warm start reads.
    pub history: Duration,
}

/// A signal, and the grouped query that yields it for all services at once.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalTemplate {
    /// The declaration that services refer to.
    pub spec: SignalSpec,
    /// The source that is asked.
    pub source: Arc<str>,
    /// The query, with `$selector`.
    pub query: Arc<str>,
    /// The selector of the raw series behind it, with `$selector`.
    pub samples: Arc<str>,
    /// Labels of the answer that name a service.
    pub labels: Vec<Arc<str>>,
}

/// File of the kill switch in `state`, unless the settings name another.
const KILL_SWITCH: &str = "killswitch.yaml";

/// Keys at the top of the file.
const KEYS: &[&str] = &[
    "state",
    "listen",
    "policies",
    "kill_switch",
    "cluster",
    "sources",
    "signals",
    "forecast",
    "defaults",
    "services",
];

impl Settings {
    /// Returns the settings that `text` (YAML) describes. Paths stay as written.
    ///
    /// # Errors
    /// All faults, in the order of the sections; a text that is not YAML is one fault.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        Self::from_tree(&parse_yaml(text)?)
    }

    fn from_tree(value: &Value) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let settings = Node::top(value).table(KEYS, &mut faults).and_then(|top| Self::read(&top, &mut faults));
        match settings {
            Some(settings) if faults.0.is_empty() => Ok(settings),
            _ => Err(faults),
        }
    }

    fn read(top: &Table<'_>, faults: &mut Faults) -> Option<Self> {
        let state = path_of(top, "state", faults);
        let state = state.required("state", "name the directory of the journal", faults);
        let listen = top.read("listen", faults, listen_address).or_default(SocketAddr::from(([127, 0, 0, 1], 9464)));
        let policies = path_of(top, "policies", faults);
        let policies = policies.required("policies", "name the directory of the policies", faults);
        let beside_state = state.as_ref().map(|state| state.join(KILL_SWITCH));
        let kill_switch = path_of(top, "kill_switch", faults).optional().or(beside_state);
        let cluster = top.read("cluster", faults, cluster_settings);
        let sources = sources::sources(top, faults);
        let signals = sources::signals(top, &sources, faults);
        let forecast = forecast::params(top, &sources, faults);
        let services = services::services(top, &signals, faults);
        validate::services(&services, &signals, faults);
        Some(Self {
            listen: listen?,
            state: state?,
            policies: policies?,
            kill_switch: kill_switch?,
            cluster: cluster.optional(),
            sources: sources.valid,
            signals: signals.valid,
            forecast: forecast?,
            services: services.into_iter().map(|(_, spec)| spec).collect(),
        })
    }
}

/// Returns the tree of a YAML text.
fn parse_yaml(text: &str) -> Result<Value, Faults> {
    // The parser's own limits end at some ten thousand services.
    let options = serde_saphyr::options! {
        // A namespace `n` is a name, not "false".
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_nodes: 10_000_000, max_events: 40_000_000 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let mut faults = Faults::default();
        let place = error.location().map(|at| format!("line {}, column {}", at.line(), at.column()));
        faults.add(place.unwrap_or_default(), format!("is not valid YAML: {}", error.without_snippet()));
        faults
    })
}

fn path_of(top: &Table<'_>, key: &str, faults: &mut Faults) -> Given<PathBuf> {
    top.read(key, faults, |node, faults| node.text(faults).map(PathBuf::from))
}

fn listen_address(node: &Node<'_>, faults: &mut Faults) -> Option<SocketAddr> {
    let text = node.text(faults)?;
    let refused = format!("`{text}` is not address:port, such as 127.0.0.1:9464");
    text.parse().ok().or_else(|| node.refuse(&refused, faults))
}

fn cluster_settings(node: &Node<'_>, faults: &mut Faults) -> Option<ClusterSettings> {
    let table = node.table(&["url"], faults)?;
    let url = table.read("url", faults, sources::base_url);
    let url = url.required(&table.at("url"), "name it, or leave `cluster` out to use the kubeconfig", faults)?;
    Some(ClusterSettings { url })
}
