//! The actor tree inside this process: the ordinary ports, except for scripted sources and doubles that record the
//! time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use flyball::actors::Tree;
use flyball::adapters::clock::SystemClock;
use flyball::adapters::kill_file::{Scope, release};
use flyball::app::{Ports, assemble};
use flyball::config::{Settings, Switch};
use flyball::instrument::Metrics;
use flyball::model::{Arrival, Finite, Missing, Sample, ServiceId, Timestamp};
use flyball::ports::journal::Entry;
use flyball::ports::{Answer, Journal, Round, SourceError, TelemetrySource, Template};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::delegating::{Delegating, Differs};

/// Requests per second that one pod carries within the objective, in the settings below.
const PER_POD: f64 = 75.0;

/// Returns settings for `groups` sources with `each` services of three signals; `defaults` is added to those of all.
pub fn settings(
    directory: &Path,
    cluster: &str,
    groups: usize,
    each: usize,
    defaults: &str,
) -> anyhow::Result<Settings> {
    let state = directory.display();
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policies");
    let mut text = format!(
        "state: {state}\npolicies: {}\nlisten: 127.0.0.1:0\ncluster: {{ url: '{cluster}' }}\nsources:\n",
        policies.display()
    );
    for group in 0..groups {
        writeln!(text, "  s{group}: {{ kind: prometheus, url: 'http://127.0.0.1:9', interval: 16s, history: 0s }}")?;
    }
    text.push_str("signals:\n");
    for group in 0..groups {
        for (name, unit, role, top) in [
            ("rps", "per_second", "arrival_rate", "1e6"),
            ("p99", "seconds", "latency", "60.0"),
            ("cpu", "ratio", "cpu", "2.0"),
        ] {
            writeln!(
                text,
                "  {name}_{group}: {{ source: s{group}, query: 'sum by (namespace, service) ({name}{{$selector}})', \
                 samples: '{name}{{$selector}}', labels: [namespace, service], unit: {unit}, role: {role}, \
                 forecast: {}, range: [0, {top}] }}",
                name == "rps"
            )?;
        }
    }
    write!(
        text,
        "defaults: {{ slo: {{ p99: 200ms, error_ratio: 0.01 }}, bounds: {{ min: 2, max: 1000 }}, \
         capacity: {{ per_pod_rate: 100, utilisation: 0.75, start_time: 60s }}, {defaults} }}\nservices:\n"
    )?;
    for group in 0..groups {
        for index in 0..each {
            writeln!(
                text,
                "  - {{ name: bench/{}, signals: [rps_{group}, p99_{group}, cpu_{group}] }}",
                name(group * each + index)
            )?;
        }
    }
    Settings::parse(&text).map_err(|faults| anyhow::anyhow!("{faults}"))
}

/// Returns the name of a service by its number.
pub fn name(index: usize) -> String {
    format!("svc-{index:04}")
}

/// Opens the ordinary ports for these settings, with the switch released and `sources` in place of their own.
pub async fn ports(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    sources: BTreeMap<String, Arc<dyn TelemetrySource>>,
) -> anyhow::Result<Ports> {
    if let Switch::File(path) = &settings.kill_switch {
        release(path, &Scope::All, "score", "a benchmark begins")?;
    }
    let mut ports = Ports::open(settings, Arc::new(SystemClock::start()), metrics).await?;
    ports.sources = sources;
    Ok(ports)
}

/// Runs the tree for a while.
pub async fn run_for(settings: &Settings, ports: Ports, metrics: Arc<Metrics>, span: Duration) -> anyhow::Result<()> {
    let (tree, _control): (Tree, _) = assemble(settings, ports, metrics).await?;
    tokio::time::sleep(span).await;
    tree.stop().await;
    Ok(())
}

/// A source that records when it delivered each answer.
pub struct Source {
    delay: Duration,
    rounds: AtomicU32,
    handed_over: Mutex<Vec<Instant>>,
}

impl Source {
    /// Returns a source that takes `delay` to answer, and whose load needs one more replica each round.
    pub fn rising(delay: Duration) -> Arc<Self> {
        Arc::new(Self { delay, rounds: AtomicU32::new(0), handed_over: Mutex::default() })
    }

    /// Returns when each answer was delivered.
    pub fn handed_over(&self) -> Vec<Instant> {
        self.handed_over.lock().clone()
    }

    fn answer(&self, round: &Round) -> Answer {
        let number = self.rounds.fetch_add(1, Ordering::Relaxed);
        let at = Timestamp::now();
        let row = |template: &Template| {
            let value = match template.signal.as_str().split('_').next() {
                Some("rps") => PER_POD * (f64::from(number) + 1.9),
                Some("p99") => 0.1,
                _ => 0.5,
            };
            let arrival = |place| match (template.members.values(place), Finite::new(value)) {
                (Some(_), Some(value)) => Arrival::Value(Sample { at, value }),
                _ => Arrival::Missing(Missing::NoSeries),
            };
            (0..template.width).map(arrival).collect()
        };
        let arrivals = round.templates.iter().map(row).collect();
        Answer { arrivals, queries: 1, ..Answer::default() }
    }
}

impl TelemetrySource for Source {
    fn read<'a>(&'a self, round: &'a Round) -> BoxFuture<'a, Answer> {
        Box::pin(async {
            tokio::time::sleep(self.delay).await;
            let answer = self.answer(round);
            self.handed_over.lock().push(Instant::now());
            answer
        })
    }

    fn history<'a>(
        &'a self,
        _: &'a Template,
        places: &'a [usize],
        _: Timestamp,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Vec<Option<Finite>>>, SourceError>> {
        Box::pin(async { Ok(vec![Vec::new(); places.len()]) })
    }
}

/// A journal that records when decisions are submitted.
pub struct NotingJournal {
    inner: Arc<dyn Journal>,
    kept: Mutex<Vec<(Instant, ServiceId)>>,
}

impl NotingJournal {
    /// Returns a journal over `inner`.
    pub fn over(inner: Arc<dyn Journal>) -> Arc<Delegating<Self>> {
        Arc::new(Delegating(Self { inner, kept: Mutex::default() }))
    }

    /// Returns when decisions of services for which `counts` is true were submitted.
    pub fn kept(&self, counts: impl Fn(&ServiceId) -> bool) -> Vec<Instant> {
        let kept = self.kept.lock();
        kept.iter().filter(|(_, service)| counts(service)).map(|(at, _)| *at).collect()
    }
}

/// Returns the lateness of decisions, round by round: for each answer of a source, the delay of the decisions that
/// arrived before the next answer.
pub fn lateness(answers: &[Instant], decisions: impl IntoIterator<Item = Instant>) -> Vec<Vec<Duration>> {
    let mut rounds = vec![Vec::new(); answers.len()];
    for at in decisions {
        let Some(round) = answers.partition_point(|answer| *answer <= at).checked_sub(1) else { continue };
        if let (Some(latenesses), Some(answer)) = (rounds.get_mut(round), answers.get(round)) {
            latenesses.push(at - *answer);
        }
    }
    rounds
}

impl Differs for NotingJournal {
    fn below(&self) -> &dyn Journal {
        &*self.inner
    }

    fn submit(&self, entry: Entry) {
        if let Entry::Decision(record) = &entry {
            self.kept.lock().push((Instant::now(), record.id.service.clone()));
        }
        self.inner.submit(entry);
    }
}
