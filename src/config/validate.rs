//! Checks that need more than one key: services that collide, and a service whose keys do not fit together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::SignalTemplate;
use super::faults::Faults;
use super::sources::Declared;
use super::tree::unknown;
use crate::forecast::params::Event;
use crate::model::{Role, ServiceSpec};

/// Notes services that collide with an earlier one, and services that lack what their keys need. `services` come with
/// the path of their key.
pub fn services(services: &[(String, ServiceSpec)], signals: &Declared<SignalTemplate>, faults: &mut Faults) {
    let mut names = BTreeMap::new();
    let mut targets = BTreeMap::new();
    let mut members = BTreeMap::new();
    // A faulty signal is noted at its declaration; that services then lack it is not another fault.
    let all_signals_valid = signals.valid.len() == signals.names.len();
    for (path, spec) in services {
        if let Some(first) = earlier(&mut names, &spec.id, path) {
            faults.add(format!("{path}.name"), format!("`{}` is already {first}; rename or remove one", spec.id));
            continue;
        }
        if let Some(first) = earlier(&mut targets, &spec.target, path) {
            let message = format!("{} is already the target of {first}; two loops would fight over it", spec.target);
            faults.add(format!("{path}.target"), message);
        }
        if all_signals_valid && spec.capacity.is_some() && spec.role(Role::ArrivalRate).is_none() {
            let message = "needs a signal with the role arrival_rate; add one to signals, or write `capacity: null`";
            faults.add(format!("{path}.capacity"), message);
        }
        for signal in spec.signals.iter().filter_map(|own| signals.valid.iter().find(|known| known.spec == *own)) {
            series(path, spec, signal, &mut members, faults);
        }
    }
}

/// Notes events for services that do not exist: they would silently have no effect.
pub fn events(events: &[Event], services: &[(String, ServiceSpec)], faults: &mut Faults) {
    let known: Vec<&str> = services.iter().map(|(_, spec)| spec.id.as_str()).collect();
    for (index, event) in events.iter().enumerate() {
        for (position, service) in event.services.iter().enumerate() {
            if !known.contains(&service.as_str()) {
                let path = format!("forecast.events[{index}].services[{position}]");
                faults.add(path, unknown("service", service.as_str(), &known));
            }
        }
    }
}

/// Notes a signal whose series cannot be attributed to this service alone.
fn series<'a>(
    path: &'a str,
    spec: &'a ServiceSpec,
    signal: &'a SignalTemplate,
    members: &mut BTreeMap<(&'a str, Vec<&'a str>), &'a str>,
    faults: &mut Faults,
) {
    let name = signal.spec.name.as_str();
    let mut values = Vec::new();
    for label in &signal.labels {
        let Some(value) = spec.labels.get(label) else {
            let message = format!("is missing, and signal `{name}` groups by it; set its value for this service");
            return faults.add(format!("{path}.labels.{label}"), message);
        };
        values.push(&**value);
    }
    let shown = values.join(", ");
    if let Some(first) = earlier(members, (name, values), path) {
        let message =
            format!("signal `{name}` has the same label values ({shown}) for {first}; both would read the same series");
        faults.add(format!("{path}.labels"), message);
    }
}

/// Returns the path where `key` was seen before, or remembers `path` for it.
fn earlier<'a, K: Ord>(seen: &mut BTreeMap<K, &'a str>, key: K, path: &'a str) -> Option<&'a str> {
    match seen.entry(key) {
        Entry::Occupied(first) => Some(first.get()),
        Entry::Vacant(free) => {
            free.insert(path);
            None
        }
    }
}
