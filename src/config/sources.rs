//! Telemetry sources and signal templates.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::faults::Faults;
use super::query;
use super::tree::{Given, Node, Table};
use super::{SignalTemplate, SourceSettings};
use crate::adapters::prometheus::settings::{Access, PrometheusSettings, can_be_sent};
use crate::model::ids::is_dns_label;
use crate::model::{Role, SignalName, SignalSpec, SourceKind, Unit};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const LONGEST_WINDOW: Duration = Duration::from_hours(24);
/// Range assumed for a query whose text does not show it: the minimum number of scrapes that a rate needs.
const UNTOLD_SCRAPES: u32 = 4;
const FORTNIGHT: Duration = Duration::from_hours(14 * 24);

/// Headers that carry secrets.
const SECRET: &[&str] = &["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// The declarations of a section with free names. A name counts as declared even if its content is faulty, so that one
/// fault does not cause another where the name is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared<T> {
    /// All names.
    pub names: Vec<String>,
    /// The valid ones, by name.
    pub valid: Vec<T>,
}

impl<T> Declared<T> {
    /// Returns the names as texts.
    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

/// Reads `sources`.
pub fn sources(top: &Table<'_>, faults: &mut Faults) -> Declared<SourceSettings> {
    section(top, "sources", "declare at least one telemetry source", faults, source)
}

/// Reads `signals`, each of which queries one of `sources`.
pub fn signals(top: &Table<'_>, sources: &Declared<SourceSettings>, faults: &mut Faults) -> Declared<SignalTemplate> {
    let sources = sources.names();
    section(top, "signals", "declare at least one signal", faults, |name, node, faults| {
        signal(name, node, &sources, faults)
    })
}

fn section<'a, T>(
    top: &Table<'a>,
    key: &str,
    remedy: &str,
    faults: &mut Faults,
    read: impl Fn(&str, &Node<'a>, &mut Faults) -> Option<T>,
) -> Declared<T> {
    let entries = top.read(key, faults, Node::named).required(key, remedy, faults).unwrap_or_default();
    Declared {
        names: entries.iter().map(|(name, _)| (*name).to_owned()).collect(),
        valid: entries.iter().filter_map(|(name, node)| read(name, node, faults)).collect(),
    }
}

fn source(name: &str, node: &Node<'_>, faults: &mut Faults) -> Option<SourceSettings> {
    if !is_dns_label(name) {
        faults.add(&*node.path, "is not a name of a-z, 0-9 and - (at most 63)");
    }
    let table = node
        .table(&["kind", "url", "interval", "timeout", "history", "bearer_token_file", "ca_file", "headers"], faults)?;
    let kind = table.read("kind", faults, |node, faults| node.one_of(&SourceKind::ALL, SourceKind::as_str, faults));
    let kind = kind.required(&table.at("kind"), "known is prometheus", faults);
    let url = table.read("url", faults, base_url);
    let url = url.required(&table.at("url"), "name the base URL, such as http://127.0.0.1:9090", faults);
    let interval = table.read("interval", faults, |node, faults| node.span(SECOND, HOUR, faults));
    let interval = interval.or_default(15 * SECOND);
    let timeout = table.read("timeout", faults, |node, faults| {
        node.span(Duration::from_millis(100), interval.unwrap_or(HOUR), faults)
    });
    let history = table.read("history", faults, |node, faults| node.span(Duration::ZERO, FORTNIGHT, faults));
    let access = access(&table, url.as_deref(), faults);
    let interval = interval?;
    Some(SourceSettings {
        name: name.into(),
        kind: kind?,
        url: url?,
        interval,
        timeout: timeout.or_default(interval.min(PrometheusSettings::TIMEOUT))?,
        history: history.or_default(FORTNIGHT)?,
        access: access?,
    })
}

/// Reads the credentials for a source at `url`.
fn access(table: &Table<'_>, url: Option<&str>, faults: &mut Faults) -> Option<Access> {
    let file =
        |key: &str, faults: &mut Faults| table.read(key, faults, |node, faults| node.text(faults).map(PathBuf::from));
    let (token, ca_file) = (file("bearer_token_file", faults), file("ca_file", faults));
    let headers = table.read("headers", faults, headers).or_default(BTreeMap::new());
    if token != Given::Absent && url.is_some_and(leaves_in_the_clear) {
        faults.add(table.at("bearer_token_file"), "the token would be sent unencrypted; use a url with https://");
    }
    Some(Access { bearer_token_file: token.optional(), ca_file: ca_file.optional(), headers: headers? })
}

fn headers(node: &Node<'_>, faults: &mut Faults) -> Option<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    let before = faults.0.len();
    for (name, value) in node.named(faults)? {
        if SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
            faults.add(value.path, "would put a secret in the settings; put the token in a file: bearer_token_file");
            continue;
        }
        let Some(text) = value.text(faults) else { continue };
        if !can_be_sent(name, text) {
            faults.add(value.path, "cannot be sent: names are letters, digits and -, values one line of ASCII");
        } else if headers.insert(name.to_ascii_lowercase(), text.to_owned()).is_some() {
            // Header names are case-insensitive.
            faults.add(value.path, "is set twice");
        }
    }
    (faults.0.len() == before).then_some(headers)
}

/// Returns whether requests to `url` can be read in transit: sent to another machine without TLS.
fn leaves_in_the_clear(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let Some(uri) = uri.filter(|uri| uri.scheme_str() == Some("http")) else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads a base URL. The message never repeats a URL with credentials.
pub fn base_url(node: &Node<'_>, faults: &mut Faults) -> Option<String> {
    let text = node.text(faults)?;
    if text.contains('@') {
        return node.refuse("contains credentials, which would end up in logs; write the URL without them", faults);
    }
    let uri: Option<Uri> = text.parse().ok();
    let well_formed = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if well_formed {
        Some(text.trim_end_matches('/').to_owned())
    } else {
        node.refuse(&format!("`{text}` is not a base URL of the form http://host:port or https://host/path"), faults)
    }
}

fn signal(name: &str, node: &Node<'_>, sources: &[&str], faults: &mut Faults) -> Option<SignalTemplate> {
    const KEYS: &[&str] =
        &["source", "query", "samples", "labels", "unit", "role", "forecast", "range", "scrape_interval", "window"];
    let parsed_name = SignalName::new(name);
    if parsed_name.is_none() {
        faults.add(&*node.path, "is not a valid name for policies (a-z, 0-9 and _, a letter first, at most 63)");
    }
    let table = node.table(KEYS, faults)?;
    let text = |key: &str, remedy: &str, faults: &mut Faults| {
        table.read(key, faults, Node::text).required(&table.at(key), remedy, faults)
    };
    let source = table.read("source", faults, |node, faults| node.name_among(sources, faults));
    let source = source.required(&table.at("source"), "name one of the sources", faults);
    let query = text("query", "write a grouped query with $selector", faults);
    let samples = text("samples", "write the selector of the raw series that the query reads", faults);
    let labels = table.read("labels", faults, label_names);
    let labels = labels.required(&table.at("labels"), "list the labels that the query groups by", faults);
    let unit = table.read("unit", faults, |node, faults| node.one_of(&Unit::ALL, Unit::as_str, faults));
    let unit = unit.required(&table.at("unit"), &format!("one of {}", Unit::ALL.map(Unit::as_str).join(", ")), faults);
    let role = table.read("role", faults, |node, faults| node.one_of(&Role::ALL, Role::as_str, faults));
    let forecast = table.read("forecast", faults, Node::flag).or_default(false);
    let range = table.read("range", faults, plausible_range);
    let range = range.required(
        &table.at("range"),
        "set the lowest and highest plausible value in base units, such as [0, 10000]",
        faults,
    );
    let scrape = table.read("scrape_interval", faults, |node, faults| node.span(SECOND, HOUR, faults));
    let scrape_interval = scrape.or_default(15 * SECOND);
    let told = query.and_then(query::window);
    let window = table.read("window", faults, |node, faults| node.span(Duration::ZERO, LONGEST_WINDOW, faults));
    let window = window.or_default(told.unwrap_or_else(|| UNTOLD_SCRAPES * scrape_interval.unwrap_or_default()));
    check_texts(&table, query, samples, labels.as_deref(), faults);
    let role = role.optional();
    check_unit(&table, role, unit, faults);
    Some(SignalTemplate {
        source: source?.into(),
        query: query?.into(),
        samples: samples?.into(),
        labels: labels?,
        spec: SignalSpec {
            name: parsed_name?,
            unit: unit?,
            role,
            range: range?,
            forecast: forecast?,
            scrape_interval: scrape_interval?,
            window: window?,
        },
    })
}

fn label_names(node: &Node<'_>, faults: &mut Faults) -> Option<Vec<Arc<str>>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let items = node.items(faults)?;
    if items.is_empty() {
        return node.refuse("is empty; list the labels that the query groups by", faults);
    }
    for item in &items {
        let name = item.text(faults)?;
        if !query::is_label(name) {
            return item.refuse(&format!("`{name}` is not a label name"), faults);
        }
        if names.iter().any(|known| &**known == name) {
            return item.refuse(&format!("`{name}` is listed twice"), faults);
        }
        names.push(name.into());
    }
    Some(names)
}

fn plausible_range(node: &Node<'_>, faults: &mut Faults) -> Option<(f64, f64)> {
    let items = node.items(faults)?;
    let [least, most] = items.as_slice() else {
        return node.refuse(&format!("has {} values, expected two: [lowest, highest]", items.len()), faults);
    };
    let (least, most) = (least.number(f64::MIN, f64::MAX, faults)?, most.number(f64::MIN, f64::MAX, faults)?);
    if least < most {
        Some((least, most))
    } else {
        node.refuse(&format!("the lowest value {least} is not below the highest {most}"), faults)
    }
}

fn check_texts(
    table: &Table<'_>,
    query: Option<&str>,
    samples: Option<&str>,
    labels: Option<&[Arc<str>]>,
    faults: &mut Faults,
) {
    let labels: Vec<&str> = labels.unwrap_or_default().iter().map(|label| &**label).collect();
    for message in query.map(|query| query::faults_of_query(query, &labels)).unwrap_or_default() {
        faults.add(table.at("query"), message);
    }
    for message in samples.map(query::faults_of_samples).unwrap_or_default() {
        faults.add(table.at("samples"), message);
    }
}

/// A role implies a unit: a latency in requests per second would be compared with an objective in seconds.
fn check_unit(table: &Table<'_>, role: Option<Role>, unit: Option<Unit>, faults: &mut Faults) {
    let (Some(role), Some(unit)) = (role, unit) else { return };
    let (expected, word) = match role {
        Role::ArrivalRate => (Unit::PerSecond, "per_second"),
        Role::Latency => (Unit::Seconds, "seconds"),
        Role::Cpu | Role::ErrorRatio => (Unit::Ratio, "ratio"),
    };
    if unit != expected {
        faults.add(table.at("unit"), format!("does not fit the role; expected {word}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Faults, Node, headers};
    use crate::config::Settings;

    const EXAMPLE: &str = include_str!("../../docs/flyball.example.yaml");

    #[test]
    fn a_source_is_asked_with_a_token_from_a_file_and_never_in_the_clear() {
        let source = |more: &str| EXAMPLE.replacen("url: http://127.0.0.1:9090", more, 1);
        let settings = Settings::parse(&source(
            "url: https://mimir:9009\n    bearer_token_file: token\n    ca_file: /etc/ca.pem\n    headers: { X-Scope-OrgID: shop }",
        ));
        let access = settings.unwrap().sources[0].access.clone();
        assert_eq!(access.bearer_token_file.as_deref(), Some(Path::new("token")));
        assert_eq!(access.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(access.headers["x-scope-orgid"], "shop");
        let headers = |headers: &str| format!("url: https://mimir:9009\n    headers: {{ {headers} }}");
        let token = |url: &str| format!("url: {url}\n    bearer_token_file: token");
        assert!(Settings::parse(&source(&token("http://127.0.0.1:9090"))).is_ok(), "it does not leave the machine");
        for (more, expected) in [
            (
                token("http://mimir:9009"),
                "sources.main.bearer_token_file: the token would be sent unencrypted; use a url with https://",
            ),
            (
                token("http://127.attacker.example"),
                "sources.main.bearer_token_file: the token would be sent unencrypted; use a url with https://",
            ),
            (
                headers("Authorization: Basic x"),
                "sources.main.headers.Authorization: would put a secret in the settings; put the token in a file: \
                 bearer_token_file",
            ),
            (
                headers("'a b': x"),
                "sources.main.headers.a b: cannot be sent: names are letters, digits and -, values one line of ASCII",
            ),
            (headers("tenant: a, Tenant: b"), "sources.main.headers.tenant: is set twice"),
        ] {
            let faults = Settings::parse(&source(&more)).unwrap_err().0;
            assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
    }

    #[test]
    fn every_header_at_fault_is_told() {
        let tree = serde_json::json!({ "Cookie": "a", "X-Scope": "x", "x-scope": "y", "X Y": "z", "X-N": 7 });
        let mut faults = Faults::default();
        assert_eq!(headers(&Node::at("headers", &tree), &mut faults), None);
        let paths: Vec<&str> = faults.0.iter().map(|fault| &*fault.path).collect();
        assert_eq!(paths, ["headers.Cookie", "headers.X Y", "headers.X-N", "headers.x-scope"]);
    }
}
