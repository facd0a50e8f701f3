//! Gathers what the views show from the running loop and from the plant.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::demo::PlantSnapshot;
use crate::demo::view::model::{Ahead, Hints, LastDecision, ServiceRow, ViewModel, Violations};
use crate::model::{Outlook, Role, ServiceId, Timestamp, explain};
use crate::ports::{Control, ServiceSnapshot};
use crate::sim::Score;

use super::Plant;
use super::directory::Directory;

/// Minutes of load shown behind a service.
const LOADS: usize = 60;

/// Gathers moments.
pub struct Moments {
    control: Arc<dyn Control>,
    speed: f64,
    address: SocketAddr,
    hints: Hints,
    loads: parking_lot::Mutex<Loads>,
}

/// Load of each service by minute of the plant.
#[derive(Default)]
struct Loads(std::collections::BTreeMap<ServiceId, std::collections::VecDeque<(i64, f64)>>);

impl Moments {
    /// Returns a gatherer for one demo.
    pub fn new(control: Arc<dyn Control>, directory: &Directory, speed: f64, address: SocketAddr) -> Self {
        let config = directory.settings();
        let hints = Hints {
            policy: directory.policies().join("capacity.rhai").display().to_string(),
            kill: format!("flyball kill --config {}", config.display()),
            resume: format!("flyball resume --reason '...' --config {}", config.display()),
        };
        Self { control, speed, address, hints, loads: parking_lot::Mutex::default() }
    }

    /// Returns what is said before the first moment.
    pub fn hello(&self) -> Vec<String> {
        vec![
            format!(
                "flyball demo: three services, {} s of their time each second; no cluster, no other server",
                self.speed
            ),
            "in about 10 s shop/checkout meets its daily surge; watch it get its replicas before".to_owned(),
            format!("edit   {}", self.hints.policy),
            format!("stop   {}   (in a second terminal)", self.hints.kill),
            format!("go on  {}", self.hints.resume),
            format!("look   http://{}/api/v1/services", self.address),
        ]
    }

    /// Returns the moment at plant time `at`.
    pub fn now(&self, plant: &Plant, at: Timestamp, halted: bool) -> ViewModel {
        let status = self.control.status();
        let scores = plant.demo.scores();
        let minutes =
            |scores: &std::collections::BTreeMap<ServiceId, Score>| Score::sum(scores.values()).slo_violation_minutes;
        ViewModel {
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
            services: self.rows(&plant.demo.snapshot(), at),
            hints: self.hints.clone(),
        }
    }

    fn rows(&self, plant: &[PlantSnapshot], at: Timestamp) -> Vec<ServiceRow> {
        let snapshots = self.control.services();
        let row = |seen: &PlantSnapshot| {
            let snapshot = snapshots.iter().find(|snapshot| snapshot.service == seen.service)?;
            let loads = self.loads.lock().seen(&seen.service, at, seen.rps);
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
        decision: snapshot.last.as_ref().map(|last| LastDecision { at: last.at, text: explain::sentence(last) }),
        loads,
    }
}

fn ahead(snapshot: &ServiceSnapshot, outlook: &Outlook) -> Option<Ahead> {
    let position = snapshot.signals.iter().position(|signal| signal.role == Some(Role::ArrivalRate))?;
    let signal = outlook.signals.get(position)?.as_ref()?;
    Ahead::of(signal, outlook.capacity.as_ref()?.lead_time)
}
