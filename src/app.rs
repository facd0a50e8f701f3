//! The composition root: the only place where adapters meet actors.
//!
//! [`assemble`] puts the loop together around given ports; [`Ports::open`] opens the ports that the settings
//! name. `flyball run` and `flyball demo` differ in nothing but the clock and the addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::actors::service::Service;
use crate::actors::source::Route;
use crate::actors::write_gate::WriteGate;
use crate::actors::{LoopControl, SourcePlan, Tree, TreePlan, World};
use crate::adapters::executor::Pool;
use crate::adapters::kill_file::KillFile;
use crate::adapters::kubernetes::{self, Access, Kubernetes, Timeouts};
use crate::adapters::policy_dir::PolicyDir;
use crate::adapters::registry;
use crate::adapters::store::{RedbJournal, StoreSettings};
use crate::config::{Settings, SignalTemplate};
use crate::console;
use crate::cycle::stages::{Deadline, FleetLimits, GuardParams, Vocabulary};
use crate::instrument::Metrics;
use crate::model::{ServiceId, ServiceSpec, SignalName};
use crate::ports::{
    Clock, Cluster, Control, Executor, Journal, KillSwitch, PolicyStore, Round, TelemetrySource, Template,
};

/// How long the scripts of a policy set may run at its load: an edit is in force within a second, or refused.
const POLICY_LOAD: Duration = Duration::from_millis(500);
/// Where a pod finds the token of its account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The world as the loop meets it.
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Targets.
    pub cluster: Arc<dyn Cluster>,
    /// Durable memory.
    pub journal: Arc<dyn Journal>,
    /// The kill switch.
    pub kill: Arc<dyn KillSwitch>,
    /// Policy sets.
    pub policies: Arc<dyn PolicyStore>,
    /// Long work.
    pub executor: Arc<dyn Executor>,
    /// Makes the deadline of one load of a policy set.
    pub deadline: fn() -> Deadline,
    /// What the namespaces and the fleet may spend on writes.
    pub budgets: FleetLimits,
    /// Telemetry, by the name of the source in the settings.
    pub sources: BTreeMap<String, Arc<dyn TelemetrySource>>,
}

impl Ports {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// When something cannot be opened: the journal, the policy directory, the way to the API server.
    pub async fn open(settings: &Settings, clock: Arc<dyn Clock>, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let targets: Vec<_> = settings.services.iter().map(|service| service.target.clone()).collect();
        let client = kubernetes::connect(&access(settings), Timeouts::default()).await?;
        let cluster = Kubernetes::start(client, targets, Timeouts::default());
        std::fs::create_dir_all(&settings.state)
            .with_context(|| format!("cannot make the state directory {}", settings.state.display()))?;
        let file = settings.state.join("journal.redb");
        let journal = RedbJournal::open(&file, StoreSettings::default(), metrics.journal())?;
        let mut sources: BTreeMap<String, Arc<dyn TelemetrySource>> = BTreeMap::new();
        for source in &settings.sources {
            let opened = registry::telemetry_source(&source.kind, &source.url, source.timeout);
            let opened =
                opened.with_context(|| format!("source {}: no adapter of kind {}", source.name, source.kind))?;
            sources.insert(source.name.to_string(), opened.with_context(|| format!("source {}", source.name))?);
        }
        Ok(Self {
            clock,
            cluster: Arc::new(cluster),
            journal: Arc::new(journal),
            kill: Arc::new(KillFile::open(&settings.kill_switch)),
            policies: Arc::new(PolicyDir::open(&settings.policies)),
            executor: Arc::new(Pool::for_this_machine()),
            deadline,
            budgets: FleetLimits::default(),
            sources,
        })
    }
}

/// A running loop.
pub struct Running {
    tree: Tree,
    stop_console: CancellationToken,
    console: tokio::task::JoinHandle<std::io::Result<()>>,
    /// Snapshots.
    pub control: Arc<LoopControl>,
    /// Where the console listens.
    pub address: SocketAddr,
}

impl Running {
    /// Starts the loop and its console at the address that the settings name.
    ///
    /// # Errors
    /// When the address is taken or an actor cannot be started.
    pub async fn start(settings: &Settings, ports: Ports, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}; set `listen` to a free address", settings.listen))?;
        Self::start_at(listener, settings, ports, metrics).await
    }

    /// Starts the loop, and its console at an address that was taken before.
    ///
    /// # Errors
    /// When an actor cannot be started.
    pub async fn start_at(
        listener: TcpListener,
        settings: &Settings,
        ports: Ports,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let (tree, control) = assemble(settings, ports, metrics.clone()).await?;
        let stop_console = CancellationToken::new();
        let router = console::router(control.clone() as Arc<dyn Control>, metrics);
        let console = tokio::spawn(console::serve(listener, router, stop_console.clone()));
        Ok(Self { tree, stop_console, console, control, address })
    }

    /// Stops deciding, waits for writes under way, then closes the console.
    pub async fn stop(self) {
        self.tree.stop().await;
        self.stop_console.cancel();
        if let Ok(Err(error)) = self.console.await {
            tracing::warn!(%error, "console ended with an error");
        }
    }
}

/// Puts the loop together around its ports and starts it.
///
/// # Errors
/// When the journal cannot be read or an actor cannot be started.
pub async fn assemble(
    settings: &Settings,
    ports: Ports,
    metrics: Arc<Metrics>,
) -> anyhow::Result<(Tree, Arc<LoopControl>)> {
    let Ports { clock, cluster, journal, kill, policies, executor, deadline, budgets, sources } = ports;
    let process = metrics.process();
    let gate = WriteGate::new(clock.clone(), cluster.clone(), journal.clone(), kill.clone(), process.clone(), budgets)?;
    let world = Arc::new(World {
        clock,
        cluster,
        journal,
        kill,
        executor,
        gate: Arc::new(gate),
        policy: Arc::default(),
        metrics,
        process,
        deadline,
        guard: Arc::new(GuardParams::default()),
        forecast: Arc::new(settings.forecast),
    });
    let services = services(settings, &world)?;
    let plans = sources
        .into_iter()
        .filter_map(|(name, source)| plan(settings, &services, &name, source))
        .map(Arc::new)
        .collect();
    let vocabulary = Vocabulary::of(&settings.services)?;
    let plan = TreePlan {
        world: world.clone(),
        services: services.clone(),
        sources: plans,
        policies,
        vocabulary: Arc::new(vocabulary),
    };
    let tree = Tree::start(plan).await?;
    let control = Arc::new(LoopControl::new(world, &services, tree.progress()));
    Ok((tree, control))
}

/// Makes the state slots, each with the writes it still has to remember.
fn services(settings: &Settings, world: &Arc<World>) -> anyhow::Result<Vec<Arc<Service>>> {
    let mut remembered: BTreeMap<ServiceId, Vec<_>> = BTreeMap::new();
    let applied = world.journal.applied_since(world.clock.now().wall, world.guard.memory_span())?;
    for intent in applied.into_iter().chain(world.journal.open_intents()?) {
        remembered.entry(intent.change.service().clone()).or_default().push(intent);
    }
    let slots = settings.services.iter().map(|spec| {
        let intents = remembered.remove(&spec.id).unwrap_or_default();
        Arc::new(Service::new(Arc::new(spec.clone()), world.clone(), &intents, histories(settings, spec)))
    });
    Ok(slots.collect())
}

/// Returns from how many sources the past of a service is read.
fn histories(settings: &Settings, spec: &ServiceSpec) -> usize {
    let forecast = |name: &SignalName| spec.signals.iter().any(|signal| signal.forecast && signal.name == *name);
    let asked =
        |source: &str| settings.signals.iter().any(|asked| &*asked.source == source && forecast(&asked.spec.name));
    settings.sources.iter().filter(|source| !source.history.is_zero() && asked(&source.name)).count()
}

fn access(settings: &Settings) -> Access {
    match &settings.cluster {
        Some(cluster) => Access::Url(cluster.url.clone()),
        None if std::path::Path::new(POD_TOKEN).exists() => Access::InCluster,
        None => Access::Kubeconfig { path: None, context: None },
    }
}

/// Returns a deadline that ends the load of a policy set after [`POLICY_LOAD`].
pub fn deadline() -> Deadline {
    let end = Instant::now() + POLICY_LOAD;
    Arc::new(move || Instant::now() >= end)
}

/// Groups what all services ask of one source into one template for each signal.
fn plan(
    settings: &Settings,
    services: &[Arc<Service>],
    name: &str,
    source: Arc<dyn TelemetrySource>,
) -> Option<SourcePlan> {
    let declared = settings.sources.iter().find(|declared| &*declared.name == name)?;
    let signals: Vec<&SignalTemplate> = settings.signals.iter().filter(|signal| &*signal.source == name).collect();
    let routes: Vec<Route> = services
        .iter()
        .enumerate()
        .map(|(place, service)| Route { service: service.clone(), place, signals: positions(&service.spec, &signals) })
        .filter(|route| !route.signals.is_empty())
        .collect();
    let templates = signals.iter().enumerate().map(|(position, signal)| {
        let members = routes.iter().filter(|route| route.signals.iter().any(|(template, _)| *template == position));
        template(signal, members, services.len())
    });
    let round = Round { templates: templates.collect(), deadline: declared.interval };
    let (interval, history) = (declared.interval, declared.history);
    Some(SourcePlan { name: name.to_owned(), source, interval, history, round, routes })
}

fn positions(spec: &ServiceSpec, signals: &[&SignalTemplate]) -> Vec<(usize, usize)> {
    let position = |(template, signal): (usize, &&SignalTemplate)| Some((template, spec.signal(&signal.spec.name)?));
    signals.iter().enumerate().filter_map(position).collect()
}

fn template<'a>(signal: &SignalTemplate, members: impl Iterator<Item = &'a Route>, width: usize) -> Template {
    let values = |route: &Route| {
        let value = |label| route.service.spec.labels.get(label).cloned().unwrap_or_default();
        (signal.labels.iter().map(value).collect(), route.place)
    };
    Template {
        signal: signal.spec.name.clone(),
        query: signal.query.clone(),
        samples: signal.samples.clone(),
        labels: signal.labels.clone(),
        members: Arc::new(members.map(values).collect()),
        width,
    }
}
