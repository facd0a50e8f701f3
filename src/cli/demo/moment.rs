//! Collects what the views show from the running loop and from the plant.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::cli::quoted;
use crate::demo::PlantSnapshot;
use crate::demo::view::model::{Ahead, Halt, Hints, LastDecision, ServiceRow, ViewModel, Violations};
use crate::model::{DecisionRecord, Outlook, Role, ServiceId, Timestamp, explain};
use crate::ports::{Control, ServiceSnapshot};
use crate::sim::Score;
use crate::sim::scenario::SURGE_AFTER;

use super::Plant;
use super::chronicle::Chronicle;
use super::directory::Directory;
use super::leash::LoopStand;

/// Minutes of load history shown per service.
const LOADS: usize = 60;

/// Decisions checked for events: more than all services can make between two moments.
const RECENT: usize = 50;

/// Collects moments.
pub struct Moments {
    control: Arc<dyn Control>,
    speed: f64,
    address: SocketAddr,
    hints: Hints,
    loads: Loads,
    chronicle: Chronicle,
}

/// Load of each service by minute of the plant.
#[derive(Default)]
struct Loads(std::collections::BTreeMap<ServiceId, std::collections::VecDeque<(i64, f64)>>);

impl Moments {
    /// Returns a collector for one demo.
    pub fn new(
        control: Arc<dyn Control>,
        directory: &Directory,
        begun: Timestamp,
        speed: f64,
        address: SocketAddr,
    ) -> Self {
        let mut chronicle = Chronicle::default();
        let own = directory.own_policies();
        if !own.is_empty() {
            chronicle.own_policies(begun, &own);
        }
        Self { control, speed, address, hints: hints(directory), loads: Loads::default(), chronicle }
    }

    /// Returns the state of the loop.
    pub fn stand(&self) -> LoopStand {
        let status = self.control.status();
        let services = self.control.services(None, usize::MAX);
        let decided = services.iter().filter_map(|service| service.last.as_ref().map(|it| it.at)).max();
        // A refused first policy is not worth waiting for: it is shown.
        LoopStand { ready: status.ready || !status.policy_faults.is_empty(), decided }
    }

    /// Returns the lines printed before the first moment.
    pub fn hello(&self) -> Vec<String> {
        vec![
            format!(
                "flyball demo: three services, {} simulated seconds per real second; no cluster, no other server",
                self.speed
            ),
            format!(
                "{:.0} s after the start shop/checkout's daily surge arrives; watch its replicas go up beforehand",
                SURGE_AFTER as f64 / self.speed
            ),
            format!("edit   {}   (active within a second)", self.hints.policy),
            format!("stop   {}   (in a second terminal)", self.hints.kill),
            format!("resume {}", self.hints.resume),
            format!("why    {}", self.hints.explain),
            format!("look   http://{}/api/v1/services", self.address),
        ]
    }

    /// Returns the command that shows past decisions.
    pub fn look_back(&self) -> &str {
        &self.hints.explain
    }

    /// Returns the moment at plant time `at`.
    pub fn now(&mut self, plant: &Plant, at: Timestamp, halted: Option<Halt>) -> anyhow::Result<ViewModel> {
        let status = self.control.status();
        let seen = plant.demo.snapshot();
        self.chronicle.note(at, &status, &self.control.decisions(None, None, RECENT)?, &seen);
        let scores = plant.demo.scores();
        let minutes =
            |scores: &std::collections::BTreeMap<ServiceId, Score>| Score::sum(scores.values()).slo_violation_minutes;
        Ok(ViewModel {
            at,
            speed: self.speed,
            halted,
            violations: Violations {
                flyball: minutes(&scores.flyball),
                stock_autoscaler: minutes(&scores.stock_autoscaler),
            },
            kill: status.kill,
            revision: status.revision,
            policy_faults: status.policy_faults,
            services: self.rows(&seen, at),
            events: self.chronicle.events(),
            hints: self.hints.clone(),
        })
    }

    fn rows(&mut self, plant: &[PlantSnapshot], at: Timestamp) -> Vec<ServiceRow> {
        let snapshots = self.control.services(None, usize::MAX);
        let row = |seen: &PlantSnapshot| {
            let snapshot = snapshots.iter().find(|snapshot| snapshot.service == seen.service)?;
            let loads = self.loads.seen(&seen.service, at, seen.rps);
            Some(service_row(snapshot, seen, loads))
        };
        plant.iter().filter_map(row).collect()
    }
}

impl Loads {
    fn seen(&mut self, service: &ServiceId, at: Timestamp, rps: f64) -> Vec<f64> {
        let minute = at.as_second().div_euclid(60);
        let loads = self.0.entry(service.clone()).or_default();
        if loads.back().is_none_or(|(last, _)| *last < minute) {
            loads.push_back((minute, rps));
        }
        if loads.len() > LOADS {
            loads.pop_front();
        }
        loads.iter().map(|(_, rps)| *rps).collect()
    }
}

fn service_row(snapshot: &ServiceSnapshot, plant: &PlantSnapshot, loads: Vec<f64>) -> ServiceRow {
    let fresh = |role| {
        let position = snapshot.signals.iter().position(|signal| signal.role == Some(role))?;
        Some(snapshot.features.as_ref()?.signals.get(position)?.reading.fresh()?.get())
    };
    ServiceRow {
        service: plant.service.clone(),
        mode: snapshot.mode,
        load: fresh(Role::ArrivalRate),
        ahead: snapshot.outlook.as_deref().and_then(|outlook| ahead(snapshot, outlook)),
        replicas: plant.pods.replicas,
        ready: plant.pods.ready,
        p99: fresh(Role::Latency),
        slo_p99: snapshot.slo.p99,
        decision: snapshot.last.as_deref().map(decision),
        loads,
        burst: plant.burst,
    }
}

fn decision(record: &DecisionRecord) -> LastDecision {
    let explain::Headline { what, why } = explain::headline(record);
    LastDecision { at: record.at, what, why }
}

/// Returns the available commands, ready to type in a second terminal in the same directory.
fn hints(directory: &Directory) -> Hints {
    let flyball = std::env::current_exe().map_or("flyball".to_owned(), |path| near(&path));
    let config =
        if directory.is_found_unnamed() { String::new() } else { format!(" --config {}", near(&directory.settings())) };
    Hints {
        policy: near(&directory.policies().join("capacity.rhai")),
        kill: format!("{flyball} kill{config}"),
        resume: format!("{flyball} resume --reason ok{config}"),
        explain: format!("{flyball} explain shop/checkout{config}"),
    }
}

/// Returns a path as typed here.
fn near(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        // A bare program name is looked up in the search path.
        Ok(name) if name.components().count() == 1 => quoted(format_args!("./{}", name.display())),
        Ok(within) => quoted(within.display()),
        Err(_) => quoted(path.display()),
    }
}

fn ahead(snapshot: &ServiceSnapshot, outlook: &Outlook) -> Option<Ahead> {
    let position = snapshot.signals.iter().position(|signal| signal.role == Some(Role::ArrivalRate))?;
    let signal = outlook.signals.get(position)?.as_ref()?;
    Ahead::of(signal, outlook.capacity.as_ref()?.lead_time)
}
