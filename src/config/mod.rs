//! Settings: one YAML file, validated as a whole. Every fault is listed at once with the path of its key.
//!
//! | file | duty |
//! |---|---|
//! | [`load`] | the only file with I/O: reads the file and the overrides from the environment |
//! | `tree` | a cursor over the parsed file that notes faults with their paths |
//! | `sources` | telemetry sources and signal templates |
//! | `services` | services and the defaults they fall back to |
//! | [`declarations`] | services declared elsewhere, by the same rules |
//! | `forecast`, `events` | when a forecast may be used, and known future events |
//! | `records` | what decision records hide |
//! | `leadership` | several processes of which one writes |
//! | `places` | what is in a file or in the Kubernetes API, as the settings choose |
//! | `guards` | the times and limits of the guards of a service |
//! | `validate` | checks across services: duplicates, indistinguishable series |
//! | `query` | textual checks of grouped queries |
//! | `durations` | `15s`, `1h30m`, `14d` |
//! | `faults` | the faults and their text |
//!
//! `docs/flyball.example.yaml` shows every key. Imported by `app` and `cli` only.

mod declarations;
mod durations;
mod events;
mod faults;
mod forecast;
mod guards;
mod leadership;
pub mod load;
mod places;
mod query;
mod records;
mod services;
mod sources;
mod tree;
mod validate;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use declarations::Declarations;
pub use durations::parse as parse_span;
pub use faults::{Fault, Faults};
pub use leadership::{LeaseSettings, volatile};
pub use load::{ConfigError, Terminal, check_state, kill_switch_of, listen_of, load, part_of, terminal, user};
pub use places::{IntentStore, PolicySource, ServiceSource, Switch};
pub use services::TimedParameter;
pub use tree::unknown;

use crate::adapters::prometheus::settings::Access;
use crate::adapters::store::settings::{LEAST_AGE, LEAST_RECORDS, MOST_AGE, StoreSettings};
use crate::forecast::params::ForecastParams;
use crate::model::ids::{is_dns_label, is_dns_subdomain};
use crate::model::{RecordMask, ServiceSpec, SignalSpec, SourceKind, hash};
use tree::{Given, Node, Table};

/// Everything configured before the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Hash of the parsed content, excluding values that the environment overrides: any change except to comments
    /// changes it.
    pub revision: String,
    /// Where the console listens.
    pub listen: SocketAddr,
    /// Directory of the journal.
    pub state: PathBuf,
    /// How much the journal keeps.
    pub journal: StoreSettings,
    /// Where policies come from.
    pub policies: PolicySource,
    /// How long a changed policy set is the candidate before it becomes active.
    pub policy_shadow: Duration,
    /// Where the kill switch is.
    pub kill_switch: Switch,
    /// flyball's own namespace, which holds its ConfigMaps; `None` means that of its account.
    pub namespace: Option<String>,
    /// The lease by which one of several processes writes; `None` means a single process.
    pub leadership: Option<LeaseSettings>,
    /// Where intents and their outcomes are kept.
    pub intents: IntentStore,
    /// Name of this process as shown to others: the pod's, or `flyball`.
    pub instance: String,
    /// The Kubernetes API; `None` means kubeconfig, or the account of the pod.
    pub cluster: Option<ClusterSettings>,
    /// Telemetry sources, by name.
    pub sources: Vec<SourceSettings>,
    /// Signal templates, by name.
    pub signals: Vec<SignalTemplate>,
    /// When a forecast may be used; the same for all services.
    pub forecast: ForecastParams,
    /// What decision records hide.
    pub mask: RecordMask,
    /// Where services are declared.
    pub services: ServiceSource,
    /// Parameters written as durations.
    pub timed_parameters: Vec<TimedParameter>,
}

/// A Kubernetes API that is accessed without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Its base URL, without a trailing slash.
    pub url: String,
}

/// One telemetry source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: SourceKind,
    /// Its base URL, without credentials or a trailing slash.
    pub url: String,
    /// Time between two rounds of queries: the tick of the services that use it.
    pub interval: Duration,
    /// How long one query may take; at most the interval, which bounds the whole round.
    pub timeout: Duration,
    /// How much history the warm start reads.
    pub history: Duration,
    /// The credentials for queries.
    pub access: Access,
}

/// A signal, and the grouped query that returns it for all services at once.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalTemplate {
    /// The declaration that services refer to.
    pub spec: SignalSpec,
    /// The source that is queried.
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
/// The default address of the console.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// Returns the hash of parsed settings.
fn revision(tree: &Value) -> String {
    format!("{:016x}", hash::more(hash::NOTHING, tree.to_string().as_bytes()))
}

/// The value used instead of a list: services are declared by `ServiceLoop` objects.
const SERVICE_LOOPS: &str = "serviceloops";

/// Longest time that a changed policy set may be the candidate.
const LONGEST_SHADOW: Duration = Duration::from_hours(7 * 24);

/// The value used instead of a directory: policies are labelled ConfigMaps.
const CONFIG_MAPS: &str = "configmaps";

/// The value used instead of a file: the kill switch is a ConfigMap.
const CONFIG_MAP: &str = "configmap";

/// Top-level keys of the file.
const KEYS: &[&str] = &[
    "state",
    "journal",
    "listen",
    "policies",
    "policy_shadow",
    "kill_switch",
    "cluster",
    "namespace",
    "leadership",
    "intents",
    "sources",
    "signals",
    "forecast",
    "records",
    "defaults",
    "services",
];

/// The message for a file without content, or with something other than settings.
const NOTHING: &str = "the file is empty, expected keys such as state, policies, sources, signals, services; \
 docs/flyball.example.yaml shows all keys";
const NO_KEYS: &str = "is not a mapping of keys, expected state, policies, sources, signals, services; \
 docs/flyball.example.yaml shows all keys";

impl Settings {
    /// Returns the services in the order of the file; none if `ServiceLoop` objects declare them.
    pub fn listed(&self) -> &[ServiceSpec] {
        match &self.services {
            ServiceSource::Listed(services) => services,
            ServiceSource::ServiceLoops(_) => &[],
        }
    }

    /// Returns how objects that declare services are parsed; `None` if the file lists the services.
    pub fn declarations(&self) -> Option<&Declarations> {
        match &self.services {
            ServiceSource::Listed(_) => None,
            ServiceSource::ServiceLoops(declarations) => Some(declarations),
        }
    }

    /// Returns the settings that `text` (YAML) describes. Paths stay as written.
    ///
    /// # Errors
    /// All faults, in the order of the sections; a text that is not YAML is one fault.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        Self::from_tree(&parse_yaml(text)?)
    }

    fn from_tree(value: &Value) -> Result<Self, Faults> {
        match Self::part_of_tree(value) {
            (Some(settings), faults) if faults.0.is_empty() => Ok(settings),
            (_, faults) => Err(faults),
        }
    }

    /// Parses as much of the settings as possible, and returns all faults.
    fn part_of_tree(value: &Value) -> (Option<Self>, Faults) {
        let mut faults = Faults::default();
        if !value.is_object() {
            faults.add("", if value.is_null() { NOTHING } else { NO_KEYS });
            return (None, faults);
        }
        let settings = Node::top(value).table(KEYS, &mut faults).and_then(|top| Self::read(&top, &mut faults));
        if let Some(why) = settings.as_ref().and_then(|settings| settings.unfit_for_auto(None)) {
            faults.add("leadership", why);
        }
        (settings.map(|settings| Self { revision: revision(value), ..settings }), faults)
    }

    fn read(top: &Table<'_>, faults: &mut Faults) -> Option<Self> {
        let state = path_of(top, "state", faults);
        let state = state.required("state", "set the directory of the journal", faults);
        let journal = top.read("journal", faults, journal_settings).or_default(StoreSettings::default());
        let listen = top.read("listen", faults, listen_address).or_default(LISTEN);
        let policies = path_of(top, "policies", faults);
        let policies = policies.required("policies", "set the directory of the policies", faults);
        let shadow = |node: &Node<'_>, faults: &mut Faults| node.span(Duration::ZERO, LONGEST_SHADOW, faults);
        let policy_shadow = top.read("policy_shadow", faults, shadow).or_default(Duration::ZERO);
        let beside_state = state.as_ref().map(|state| state.join(KILL_SWITCH));
        let kill_switch = path_of(top, "kill_switch", faults).optional().or(beside_state);
        let cluster = top.read("cluster", faults, cluster_settings);
        let namespace = top.read("namespace", faults, namespace).optional();
        let leadership = top.read("leadership", faults, leadership::lease);
        let intents = top.read("intents", faults, leadership::intents).or_default(IntentStore::Journal);
        let sources = sources::sources(top, faults);
        let signals = sources::signals(top, &sources, faults);
        let forecast = forecast::params(top, &sources, faults);
        let mask = records::mask(top, &signals, faults);
        let defaults = services::defaults(top, &signals, faults);
        let services = top.read("services", faults, |node, faults| {
            if node.is(SERVICE_LOOPS) {
                Some(None)
            } else {
                services::services(node, &defaults, &signals, faults).map(Some)
            }
        });
        let remedy = "list the services, or write `serviceloops` to watch ServiceLoop objects";
        let services = services.required("services", remedy, faults).unwrap_or_default();
        validate::services(services.as_deref().unwrap_or_default(), &signals, faults);
        // A faulty service is missing from the list, but its name is not mistyped.
        if let (Some(services), Some(forecast), true) = (&services, &forecast, faults.0.is_empty()) {
            validate::events(&forecast.events, services, faults);
        }
        let services = match services {
            Some(services) => ServiceSource::Listed(services.into_iter().map(|(_, spec)| spec).collect()),
            None => ServiceSource::ServiceLoops(Arc::new(Declarations::new(defaults, signals.clone()))),
        };
        Some(Self {
            revision: String::new(),
            listen: listen?,
            state: state?,
            journal: journal?,
            policies: policy_source(policies?),
            policy_shadow: policy_shadow?,
            kill_switch: switch(kill_switch?, namespace.as_deref()),
            namespace,
            leadership: leadership.optional(),
            intents: intents?,
            instance: "flyball".to_owned(),
            cluster: cluster.optional(),
            sources: sources.valid,
            signals: signals.valid,
            forecast: forecast?,
            mask: mask?,
            services,
            timed_parameters: services::timed_parameters(top),
        })
    }
}

/// Returns the tree of a YAML text.
fn parse_yaml(text: &str) -> Result<Value, Faults> {
    // The parser's default limits are reached at some ten thousand services.
    let options = serde_saphyr::options! {
        // A namespace `n` is a name, not "false".
        strict_booleans: true,
        budget: serde_saphyr::budget! { max_nodes: 10_000_000, max_events: 40_000_000 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let mut faults = Faults::default();
        let place = error.location().map(|at| format!("line {}, column {}", at.line(), at.column()));
        let place = place.unwrap_or_default();
        let said = error.without_snippet().to_string();
        // The parser repeats the place at the end of its message, along with options for its callers.
        let what = said.strip_suffix(&format!(" at {place}")).unwrap_or(&said);
        let what = what.split_once(", set ").map_or(what, |(what, _)| what);
        let what = match what.replace(" rejected by the configured policy", "") {
            // The parser tells its callers which of its functions to use.
            what if what.contains("from_str_multiple") => "it has several documents, keep one".to_owned(),
            what => what,
        };
        faults.add(place, format!("is not valid YAML: {what}"));
        faults
    })
}

fn path_of(top: &Table<'_>, key: &str, faults: &mut Faults) -> Given<PathBuf> {
    top.read(key, faults, |node, faults| node.text(faults).map(PathBuf::from))
}

fn policy_source(written: PathBuf) -> PolicySource {
    if written == Path::new(CONFIG_MAPS) { PolicySource::ConfigMaps } else { PolicySource::Directory(written) }
}

fn switch(written: PathBuf, namespace: Option<&str>) -> Switch {
    if written == Path::new(CONFIG_MAP) {
        Switch::ConfigMap { namespace: namespace.map(str::to_owned) }
    } else {
        Switch::File(written)
    }
}

fn listen_address(node: &Node<'_>, faults: &mut Faults) -> Option<SocketAddr> {
    let text = node.text(faults)?;
    let refused = format!("`{text}` is not address:port, such as 127.0.0.1:9464");
    text.parse().ok().or_else(|| node.refuse(&refused, faults))
}

fn journal_settings(node: &Node<'_>, faults: &mut Faults) -> Option<StoreSettings> {
    let table = node.table(&["max_records", "max_age"], faults)?;
    let standard = StoreSettings::default();
    let records = table.read("max_records", faults, |node, faults| node.count(LEAST_RECORDS, faults));
    let age = table.read("max_age", faults, |node, faults| node.span(LEAST_AGE, MOST_AGE, faults));
    let (records, age) = (records.or_default(standard.max_records()), age.or_default(standard.max_age()));
    StoreSettings::new(records?, age?)
}

/// Reads the name of a namespace.
fn namespace(node: &Node<'_>, faults: &mut Faults) -> Option<String> {
    let text = node.text(faults)?;
    let refused = format!("`{text}` is not a namespace: a-z, 0-9 and - (at most 63)");
    is_dns_label(text).then(|| text.to_owned()).or_else(|| node.refuse(&refused, faults))
}

/// Reads the name of an object of the Kubernetes API, a DNS subdomain.
fn object_name(node: &Node<'_>, faults: &mut Faults) -> Option<String> {
    let text = node.text(faults)?;
    let refused = format!("`{text}` is not the name of an object: a-z, 0-9, - and dots (at most 253)");
    is_dns_subdomain(text).then(|| text.to_owned()).or_else(|| node.refuse(&refused, faults))
}

fn cluster_settings(node: &Node<'_>, faults: &mut Faults) -> Option<ClusterSettings> {
    let table = node.table(&["url"], faults)?;
    let url = table.read("url", faults, sources::base_url);
    let url = url.required(&table.at("url"), "set it, or omit `cluster` to use the kubeconfig", faults)?;
    Some(ClusterSettings { url })
}
