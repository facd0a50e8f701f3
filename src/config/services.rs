//! Services, and the defaults that they fall back to key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::SignalTemplate;
use super::faults::Faults;
use super::guards::PartialGuards;
use super::query::is_label;
use super::sources::Declared;
use super::tree::{Given, Node, Table, unknown};
use super::{namespace, object_name};
use crate::model::{
    Bounds, Budgets, CapacitySpec, Mode, ServiceId, ServiceSpec, SignalName, SignalSpec, Slo, TargetKind, TargetRef,
};

const DAY: Duration = Duration::from_hours(24);

/// Keys allowed both in `defaults` and in a service.
const SHARED: &[&str] =
    &["mode", "signals", "slo", "bounds", "budgets", "capacity", "parameters", "allow_lowering", "guards"];

/// The content of a service or of the defaults. Each part may be absent.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Partial {
    mode: Given<Mode>,
    signals: Given<Vec<SignalSpec>>,
    p99: Given<f64>,
    error_ratio: Given<f64>,
    min: Given<u32>,
    max: Given<u32>,
    per_10_min: Given<u32>,
    per_hour: Given<u32>,
    /// `null` switches an inherited capacity off.
    capacity: Given<Option<PartialCapacity>>,
    parameters: BTreeMap<Arc<str>, f64>,
    allow_lowering: Given<bool>,
    guards: PartialGuards,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct PartialCapacity {
    per_pod_rate: Given<f64>,
    utilisation: Given<f64>,
    start_time: Given<Duration>,
}

/// Reads `defaults`.
pub fn defaults(top: &Table<'_>, signals: &Declared<SignalTemplate>, faults: &mut Faults) -> Partial {
    let defaults = top.read("defaults", faults, |node, faults| {
        let table = node.table(SHARED, faults)?;
        let partial = Partial::read(&table, signals, faults);
        check_bounds(&partial, &table, faults);
        Some(partial)
    });
    defaults.optional().unwrap_or_default()
}

/// Reads the list of services over `defaults`: returns each valid service with the path of its key.
pub fn services(
    list: &Node<'_>,
    defaults: &Partial,
    signals: &Declared<SignalTemplate>,
    faults: &mut Faults,
) -> Option<Vec<(String, ServiceSpec)>> {
    let known: Vec<&str> = ["name", "target", "labels"].iter().chain(SHARED).copied().collect();
    let read = |node: Node<'_>, faults: &mut Faults| {
        let table = node.table(&known, faults)?;
        let id = table.read("name", faults, service_id).required(&table.at("name"), "write namespace/name", faults);
        let target = table.read("target", faults, |node, faults| target(node, id.as_ref(), faults));
        Some((node.path, service(&table, id, target, defaults, signals, faults)?))
    };
    Some(list.items(faults)?.into_iter().filter_map(|node| read(node, faults)).collect())
}

/// Reads the `spec` of an object that declares the service `id`. Its target and its series are in its own namespace,
/// whatever is written: an object has no say elsewhere, and sees nothing there. A paused one is observed.
pub fn spec_of_object(
    node: &Node<'_>,
    id: &ServiceId,
    defaults: &Partial,
    signals: &Declared<SignalTemplate>,
    faults: &mut Faults,
) -> Option<ServiceSpec> {
    let known: Vec<&str> = ["target", "labels", "paused"].iter().chain(SHARED).copied().collect();
    let table = node.table(&known, faults)?;
    let target = table.read("target", faults, |node, faults| {
        let table = node.table(&["kind", "name"], faults)?;
        target_of(&table, Given::Absent, Some(id), faults)
    });
    let paused = table.read("paused", faults, Node::flag).or_default(false);
    let spec = service(&table, Some(id.clone()), target, defaults, signals, faults)?;
    if let Some(elsewhere) = spec.labels.get(NAMESPACE).filter(|namespace| ***namespace != *id.namespace()) {
        let message = format!(
            "`{elsewhere}` is another namespace; a ServiceLoop can only read series of its own: {}",
            id.namespace()
        );
        faults.add(format!("{}.{NAMESPACE}", table.at("labels")), message);
        return None;
    }
    Some(if paused? { ServiceSpec { mode: Mode::Observe, ..spec } } else { spec })
}

fn service(
    table: &Table<'_>,
    id: Option<ServiceId>,
    target: Given<TargetRef>,
    defaults: &Partial,
    signals: &Declared<SignalTemplate>,
    faults: &mut Faults,
) -> Option<ServiceSpec> {
    let labels = table.read("labels", faults, labels);
    let own = Partial::read(table, signals, faults);
    let bounds_of_its_own = own.min != Given::Absent || own.max != Given::Absent;
    let all = own.over(defaults);
    if bounds_of_its_own {
        check_bounds(&all, table, faults);
    }
    let capacity = capacity(all.capacity, table, faults);
    let missing = "set it here or in defaults";
    let signals = all.signals.required(&table.at("signals"), missing, faults);
    let p99 = all.p99.required(&table.at("slo.p99"), missing, faults);
    let error_ratio = all.error_ratio.required(&table.at("slo.error_ratio"), missing, faults);
    let min = all.min.required(&table.at("bounds.min"), missing, faults);
    let max = all.max.required(&table.at("bounds.max"), missing, faults);
    if capacity == Given::Faulty {
        return None;
    }
    let id = id?;
    let budgets = Budgets::default();
    Some(ServiceSpec {
        target: target.or_default(target_named(TargetKind::Deployment, id.namespace(), id.name()))?,
        labels: labels.or_default(labels_of(&id))?,
        signals: signals?,
        slo: Slo { p99: p99?, error_ratio: error_ratio? },
        parameters: all.parameters.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        mode: all.mode.or_default(Mode::default())?,
        bounds: Bounds { min: min?, max: max? },
        budgets: Budgets {
            per_10_min: all.per_10_min.or_default(budgets.per_10_min)?,
            per_hour: all.per_hour.or_default(budgets.per_hour)?,
        },
        capacity: capacity.optional(),
        allow_lowering: all.allow_lowering.or_default(false)?,
        guards: all.guards.build(),
        id,
    })
}

impl Partial {
    fn read(table: &Table<'_>, declared: &Declared<SignalTemplate>, faults: &mut Faults) -> Self {
        let mut partial = Self {
            mode: table.read("mode", faults, |node, faults| node.one_of(&Mode::ALL, Mode::as_str, faults)),
            signals: table.read("signals", faults, |node, faults| signals(node, declared, faults)),
            allow_lowering: table.read("allow_lowering", faults, Node::flag),
            parameters: table.read("parameters", faults, parameters).optional().unwrap_or_default(),
            guards: table.read("guards", faults, PartialGuards::read).optional().unwrap_or_default(),
            ..Self::default()
        };
        if let Some(slo) = sub_table(table, "slo", &["p99", "error_ratio"], faults) {
            partial.p99 = slo.read("p99", faults, |node, faults| {
                node.span(Duration::from_millis(1), DAY, faults).map(|span| span.as_secs_f64())
            });
            partial.error_ratio = slo.read("error_ratio", faults, |node, faults| node.number(0.0, 1.0, faults));
        }
        if let Some(bounds) = sub_table(table, "bounds", &["min", "max"], faults) {
            partial.min = bounds.read("min", faults, |node, faults| node.count(1, faults));
            partial.max = bounds.read("max", faults, |node, faults| node.count(1, faults));
        }
        if let Some(budgets) = sub_table(table, "budgets", &["per_10_min", "per_hour"], faults) {
            // The defaults are the most that INV-04 allows.
            let most = Budgets::default();
            partial.per_10_min =
                budgets.read("per_10_min", faults, |node, faults| node.count_to(most.per_10_min, faults));
            partial.per_hour = budgets.read("per_hour", faults, |node, faults| node.count_to(most.per_hour, faults));
        }
        partial.capacity = if table.is_null("capacity") {
            Given::Is(None)
        } else {
            table.read("capacity", faults, |node, faults| PartialCapacity::read(node, faults).map(Some))
        };
        partial
    }

    /// Returns this, with missing values taken from `defaults`; parameters are merged by name.
    fn over(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        let mut parameters = defaults.parameters;
        parameters.extend(self.parameters);
        let capacity = match (self.capacity, defaults.capacity) {
            (Given::Is(Some(own)), Given::Is(Some(default))) => Given::Is(Some(own.over(default))),
            (own, default) => own.or(default),
        };
        Self {
            mode: self.mode.or(defaults.mode),
            signals: self.signals.or(defaults.signals),
            p99: self.p99.or(defaults.p99),
            error_ratio: self.error_ratio.or(defaults.error_ratio),
            min: self.min.or(defaults.min),
            max: self.max.or(defaults.max),
            per_10_min: self.per_10_min.or(defaults.per_10_min),
            per_hour: self.per_hour.or(defaults.per_hour),
            capacity,
            parameters,
            allow_lowering: self.allow_lowering.or(defaults.allow_lowering),
            guards: self.guards.over(defaults.guards),
        }
    }
}

impl PartialCapacity {
    fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        let table = node.table(&["per_pod_rate", "utilisation", "start_time"], faults)?;
        Some(Self {
            per_pod_rate: table.read("per_pod_rate", faults, |node, faults| node.number(0.001, 1e9, faults)),
            utilisation: table.read("utilisation", faults, |node, faults| node.number(0.05, 1.0, faults)),
            start_time: table.read("start_time", faults, |node, faults| node.span(Duration::ZERO, DAY, faults)),
        })
    }

    fn over(self, defaults: Self) -> Self {
        Self {
            per_pod_rate: self.per_pod_rate.or(defaults.per_pod_rate),
            utilisation: self.utilisation.or(defaults.utilisation),
            start_time: self.start_time.or(defaults.start_time),
        }
    }
}

fn sub_table<'a>(table: &Table<'a>, key: &str, known: &[&str], faults: &mut Faults) -> Option<Table<'a>> {
    table.read(key, faults, |node, faults| node.table(known, faults)).optional()
}

pub(super) fn service_id(node: &Node<'_>, faults: &mut Faults) -> Option<ServiceId> {
    let text = node.text(faults)?;
    let refused = format!("`{text}` is not namespace/name, each of a-z, 0-9 and - (at most 63)");
    text.parse().ok().or_else(|| node.refuse(&refused, faults))
}

fn target(node: &Node<'_>, service: Option<&ServiceId>, faults: &mut Faults) -> Option<TargetRef> {
    let table = node.table(&["kind", "namespace", "name"], faults)?;
    let namespace = table.read("namespace", faults, namespace);
    target_of(&table, namespace, service, faults)
}

fn target_of(
    table: &Table<'_>,
    namespace: Given<String>,
    service: Option<&ServiceId>,
    faults: &mut Faults,
) -> Option<TargetRef> {
    let kind = table.read("kind", faults, |node, faults| node.one_of(&TargetKind::ALL, TargetKind::as_str, faults));
    let name = table.read("name", faults, object_name);
    let namespace = namespace.or_default(service.map_or("", ServiceId::namespace).to_owned())?;
    let name = name.or_default(service.map_or("", ServiceId::name).to_owned())?;
    Some(target_named(kind.or_default(TargetKind::Deployment)?, namespace, name))
}

fn target_named(kind: TargetKind, namespace: impl Into<String>, name: impl Into<String>) -> TargetRef {
    TargetRef { kind, namespace: namespace.into(), name: name.into() }
}

fn labels(node: &Node<'_>, faults: &mut Faults) -> Option<BTreeMap<Arc<str>, Arc<str>>> {
    let mut found = BTreeMap::new();
    for (name, value) in node.named(faults)? {
        if !is_label(name) {
            faults.add(&*value.path, format!("`{name}` is not a label name"));
        }
        if let Some(text) = value.text(faults) {
            found.insert(name.into(), text.into());
        }
    }
    Some(found)
}

/// The label that distinguishes series by namespace.
const NAMESPACE: &str = "namespace";

fn labels_of(id: &ServiceId) -> BTreeMap<Arc<str>, Arc<str>> {
    [(NAMESPACE, id.namespace()), ("service", id.name())]
        .into_iter()
        .map(|(label, value)| (Arc::from(label), Arc::from(value)))
        .collect()
}

/// Returns the declared signals that a list names, in its order. A faulty declared signal is left out: its fault is
/// noted at its declaration.
fn signals(node: &Node<'_>, declared: &Declared<SignalTemplate>, faults: &mut Faults) -> Option<Vec<SignalSpec>> {
    let items = node.items(faults)?;
    if items.is_empty() {
        return node.refuse("is empty; name at least one signal", faults);
    }
    let mut found: Vec<SignalSpec> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for item in &items {
        let Some(name) = item.text(faults) else { continue };
        if !declared.names.iter().any(|known| known == name) {
            item.refuse::<()>(&unknown("signal", name, &declared.names()), faults);
        } else if !seen.insert(name) {
            item.refuse::<()>(&format!("`{name}` is listed twice"), faults);
            continue;
        }
        found.extend(declared.valid.iter().map(|signal| &signal.spec).find(|spec| spec.name.as_str() == name).cloned());
    }
    for (index, signal) in found.iter().enumerate() {
        let same_role = |other: &&SignalSpec| signal.role.is_some() && other.role == signal.role;
        if let Some(other) = found.iter().take(index).find(same_role).filter(|other| other.name != signal.name) {
            node.refuse::<()>(
                &format!("`{}` and `{}` have the same role; keep only one", other.name, signal.name),
                faults,
            );
        }
    }
    Some(found)
}

fn parameters(node: &Node<'_>, faults: &mut Faults) -> Option<BTreeMap<Arc<str>, f64>> {
    let mut found = BTreeMap::new();
    for (name, value) in node.named(faults)? {
        if SignalName::new(name).is_none() {
            faults.add(&*value.path, "is not a valid name for policies (a-z, 0-9 and _, a letter first)");
        }
        if let Some(quantity) = value.quantity(faults) {
            found.insert(name.into(), quantity);
        }
    }
    Some(found)
}

/// A parameter written as a duration: only the policy set says what its unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedParameter {
    /// The key, from the top of the file.
    pub path: String,
    /// Its name.
    pub name: Arc<str>,
    /// The duration as written.
    pub text: String,
}

/// Returns the parameters of the defaults and of every service. Faulty ones are noted where they are parsed.
pub fn timed_parameters(top: &Table<'_>) -> Vec<TimedParameter> {
    let mut noted = Faults::default();
    let defaults = top.read("defaults", &mut noted, |node, _| Some(node.clone())).optional();
    let services = top.read("services", &mut noted, Node::items).optional().unwrap_or_default();
    let places = defaults.iter().chain(&services).filter_map(|node| node.inside("parameters"));
    let parameters = places.filter_map(|node| node.named(&mut Faults::default())).flatten();
    let timed = parameters.filter_map(|(name, node)| {
        let text = node.text(&mut Faults::default())?.to_owned();
        Some(TimedParameter { path: node.path, name: name.into(), text })
    });
    timed.collect()
}

fn check_bounds(partial: &Partial, table: &Table<'_>, faults: &mut Faults) {
    if let (Given::Is(min), Given::Is(max)) = (&partial.min, &partial.max)
        && min > max
    {
        faults.add(table.at("bounds.min"), format!("{min} is above max {max}; lower min or raise max"));
    }
}

/// Returns the capacity if it is complete.
fn capacity(given: Given<Option<PartialCapacity>>, table: &Table<'_>, faults: &mut Faults) -> Given<CapacitySpec> {
    let partial = match given {
        Given::Absent | Given::Is(None) => return Given::Absent,
        Given::Faulty => return Given::Faulty,
        Given::Is(Some(partial)) => partial,
    };
    let missing = "set it here or in defaults, or write `capacity: null`";
    let per_pod_rate = partial.per_pod_rate.required(&table.at("capacity.per_pod_rate"), missing, faults);
    let utilisation = partial.utilisation.required(&table.at("capacity.utilisation"), missing, faults);
    let start_time = partial.start_time.required(&table.at("capacity.start_time"), missing, faults);
    match (per_pod_rate, utilisation, start_time) {
        (Some(per_pod_rate), Some(utilisation), Some(start_time)) => {
            Given::Is(CapacitySpec { per_pod_rate, utilisation, start_time })
        }
        _ => Given::Faulty,
    }
}
