//! The composition root: the only place where adapters meet actors.
//!
//! [`assemble`] builds the loop around given ports; [`Ports::open`] opens the ports that the settings name. `flyball
//! run` and `flyball demo` differ only in the clock and the addresses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwap;
use cpu_time::ThreadTime;
use parking_lot::Mutex;
use tikv_jemalloc_ctl::thread;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::actors::Ports;
use crate::actors::policy_library::InForce;
use crate::actors::write_gate::WriteGate;
use crate::actors::{LoopControl, Roster, SourcePlan, StartedWith, Tree, TreePlan, World};
use crate::adapters::alone::Alone;
use crate::adapters::executor::Pool;
use crate::adapters::kill_file::KillFile;
use crate::adapters::kubernetes::actions::LoopActions;
use crate::adapters::kubernetes::kept_policies::SharedPolicies;
use crate::adapters::kubernetes::kill_map::{self, KillMap};
use crate::adapters::kubernetes::lease::KubernetesLease;
use crate::adapters::kubernetes::loops::ServiceLoops;
use crate::adapters::kubernetes::policy_maps::PolicyMaps;
use crate::adapters::kubernetes::{self, Access, ApiServer, Kubernetes, Timeouts};
use crate::adapters::listed::Listed;
use crate::adapters::policy_dir::PolicyDir;
use crate::adapters::policy_memory::PolicyState;
use crate::adapters::registry;
use crate::adapters::store::RedbJournal;
use crate::config::{self, IntentStore, PolicySource, ServiceSource, Settings, SignalTemplate, Switch};
use crate::console;
use crate::decide::{Deadline, Spent, Vocabulary, VocabularyError};
use crate::guard::FleetLimits;
use crate::instrument::Metrics;
use crate::model::{Role, ServiceId, ServiceSpec};
use crate::ports::services;
use crate::ports::{
    Clock, Control, Journal, KillSwitch, Leadership, PolicyFiles, PolicyMemory, PolicyStore, Services, TelemetrySource,
    Template,
};

/// How much CPU time the scripts of a policy set may take to load: an edit is active within a second, or refused.
const POLICY_LOAD: Duration = Duration::from_millis(500);
/// How long that may take if the CPU is short, as in a pod that is throttled at startup.
const POLICY_LOAD_AT_MOST: Duration = Duration::from_secs(10);
/// How many bytes the scripts of a policy set may hold while loading: many times what the largest sensible set needs.
const POLICY_MEMORY: i64 = 128 << 20;
/// Where a pod finds its service account token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl Ports {
    /// Opens what the settings name. Dropping the future before it completes claims nothing.
    ///
    /// # Errors
    /// When something cannot be opened: the journal, the policy directory, the connection to the API server.
    pub async fn open(settings: &Settings, clock: Arc<dyn Clock>, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let server = kubernetes::connect(&access(settings), Timeouts::default()).await?;
        let cluster = Kubernetes::start(&server);
        if let Some(why) = settings.unfit_for_auto(volatile_state(settings).as_deref()) {
            anyhow::bail!("a service may be in mode `auto`: {why}");
        }
        config::check_state(settings)?;
        std::fs::create_dir_all(&settings.state).with_context(|| {
            let state = settings.state.display();
            format!(
                "cannot create the state directory {state}; create it with this user as owner, or set `state` or \
             FLYBALL_STATE"
            )
        })?;
        let file = settings.journal_file();
        let journal = journal(settings, &file, &server, metrics)?;
        let mut sources: BTreeMap<String, Arc<dyn TelemetrySource>> = BTreeMap::new();
        for source in &settings.sources {
            let opened = registry::telemetry_source(source.kind, &source.url, source.timeout, &source.access);
            sources.insert(source.name.to_string(), opened.with_context(|| format!("source {}", source.name))?);
        }
        let (policies, policy_memory) = (policies(settings, &server).await, policy_memory(settings, &server).await);
        // Last: it competes for the lease from here on; if startup is abandoned earlier, there is nothing to release.
        let leadership = leadership(settings, &server);
        Ok(Self {
            clock,
            cluster: Arc::new(cluster),
            journal,
            kill: kill_switch(settings, &server),
            services: supervised(settings, &server, &leadership),
            leadership,
            policies,
            policy_memory,
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

    /// Starts the loop, and its console on an address that is already bound.
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

    /// Completes when the loop ends unexpectedly.
    pub async fn ended(&mut self) {
        self.tree.ended().await;
    }

    /// Stops deciding, waits for writes in flight, then closes the console.
    pub async fn stop(self) {
        self.tree.stop().await;
        self.stop_console.cancel();
        if let Ok(Err(error)) = self.console.await {
            tracing::warn!(%error, "console server failed");
        }
    }
}

/// Builds the loop around its ports and starts it.
///
/// # Errors
/// When the journal cannot be read or an actor cannot be started.
pub async fn assemble(
    settings: &Settings,
    ports: Ports,
    metrics: Arc<Metrics>,
) -> anyhow::Result<(Tree, Arc<LoopControl>)> {
    let process = metrics.process();
    let ports = Arc::new(ports);
    let gate = WriteGate::new(ports.clone(), process.clone())?;
    let world = Arc::new(World {
        ports,
        gate: Arc::new(gate),
        policy: InForce::staged(settings.policy_shadow),
        metrics,
        process,
        mask: settings.mask.clone(),
        forecast: Arc::new(settings.forecast.clone()),
    });
    let sources = &world.ports.sources;
    let plans = sources.iter().filter_map(|(name, source)| plan(settings, name, source.clone())).map(Arc::new);
    let roster = Arc::new(Roster::new(world.clone(), plans.collect()));
    // Services known by now take part in the first round; an unreadable journal prevents flyball from starting.
    let declared = world.ports.services.watch().borrow().clone();
    if let Some(error) = declared.and_then(|declared| roster.follow(&declared).owed) {
        return Err(error.into());
    }
    let plan = TreePlan { world: world.clone(), roster: roster.clone(), vocabulary: Arc::new(vocabulary(settings)?) };
    let tree = Tree::start(plan).await?;
    let kill_switch = match &settings.kill_switch {
        Switch::File(path) => path.display().to_string(),
        Switch::ConfigMap { .. } => format!("the ConfigMap {}", kill_map::NAME),
    };
    let started_with = StartedWith { state: settings.place(), settings: settings.revision.clone(), kill_switch };
    Ok((tree, Arc::new(LoopControl::new(world, roster, started_with))))
}

/// Returns what policies may name: every signal that the settings declare, whether or not a service has it yet.
///
/// # Errors
/// When a name is reserved by flyball.
pub fn vocabulary(settings: &Settings) -> Result<Vocabulary, VocabularyError> {
    Vocabulary::of_signals(settings.signals.iter().map(|signal| &signal.spec))
}

fn own_namespace<'a>(settings: &'a Settings, server: &'a ApiServer) -> &'a str {
    settings.namespace.as_deref().unwrap_or_else(|| server.default_namespace())
}

/// Returns where policies come from: a directory, or ConfigMaps.
async fn policies(settings: &Settings, server: &ApiServer) -> Arc<dyn PolicyStore> {
    match &settings.policies {
        PolicySource::Directory(directory) => Arc::new(PolicyDir::open(directory)),
        PolicySource::ConfigMaps => Arc::new(PolicyMaps::start(server, own_namespace(settings, server)).await),
    }
}

/// Returns the policy memory: files in the state directory, and, with several processes, a copy in the API.
async fn policy_memory(settings: &Settings, server: &ApiServer) -> Arc<dyn PolicyMemory> {
    let local = Arc::new(PolicyState::open(&settings.state));
    if settings.leadership.is_none() {
        return local;
    }
    Arc::new(SharedPolicies::over(local, server, own_namespace(settings, server)).await)
}

/// Returns the policies that the ConfigMaps hold now.
///
/// # Errors
/// When the connection to the API server cannot be opened.
pub async fn policies_of_cluster(settings: &Settings) -> anyhow::Result<Arc<PolicyFiles>> {
    let server = kubernetes::connect(&access(settings), Timeouts::default()).await?;
    let maps = PolicyMaps::start(&server, own_namespace(settings, &server)).await;
    Ok(maps.watch().borrow().clone())
}

/// Returns the kill switch: a file, or the ConfigMap in flyball's own namespace.
fn kill_switch(settings: &Settings, server: &ApiServer) -> Arc<dyn KillSwitch> {
    match &settings.kill_switch {
        Switch::File(path) => Arc::new(KillFile::open(path)),
        Switch::ConfigMap { .. } => Arc::new(KillMap::start(server, own_namespace(settings, server))),
    }
}

/// Opens the journal; intents go to the API if the settings say so.
fn journal(
    settings: &Settings,
    file: &std::path::Path,
    server: &ApiServer,
    metrics: &Metrics,
) -> anyhow::Result<Arc<dyn Journal>> {
    if settings.intents == IntentStore::Journal {
        return Ok(Arc::new(RedbJournal::open(file, settings.journal, metrics.journal())?));
    }
    // The second of its start distinguishes a process from all earlier ones.
    let run = u32::try_from(crate::model::Timestamp::now().as_second()).unwrap_or(u32::MAX);
    let local = Arc::new(RedbJournal::open_as_run(file, settings.journal, metrics.journal(), run)?);
    Ok(Arc::new(LoopActions::over(local, server)))
}

/// Returns which process may write: this one, or the lease holder.
fn leadership(settings: &Settings, server: &ApiServer) -> Arc<dyn Leadership> {
    let Some(lease) = &settings.leadership else { return Arc::new(Alone::default()) };
    let own = own_namespace(settings, server);
    Arc::new(KubernetesLease::start(server, own, &lease.name, &settings.instance, lease.timing))
}

/// Returns why the state directory does not outlive the pod; irrelevant outside a pod.
pub fn volatile_state(settings: &Settings) -> Option<String> {
    if !std::path::Path::new(POD_TOKEN).exists() {
        return None;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    config::volatile(&mounts, &settings.state.display().to_string())
}

/// Returns which services are supervised: those in the settings, or those that a `ServiceLoop` declares.
fn supervised(settings: &Settings, server: &ApiServer, leadership: &Arc<dyn Leadership>) -> Arc<dyn Services> {
    match &settings.services {
        ServiceSource::Listed(services) => Arc::new(Listed::new(services.iter().cloned())),
        ServiceSource::ServiceLoops(declarations) => {
            let (leadership, instance) = (leadership.clone(), settings.instance.clone());
            Arc::new(ServiceLoops::start(server, declarations.clone(), leadership, instance))
        }
    }
}

impl services::Declarations for config::Declarations {
    fn read(&self, id: &ServiceId, spec: &serde_json::Value) -> Result<ServiceSpec, Vec<String>> {
        self.read(id, spec).map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
    }

    fn collisions(&self, services: &[ServiceSpec]) -> Vec<Vec<String>> {
        self.collisions(services)
    }
}

/// Returns how the API server is found.
pub fn access(settings: &Settings) -> Access {
    match &settings.cluster {
        Some(cluster) => Access::Url(cluster.url.clone()),
        None if std::path::Path::new(POD_TOKEN).exists() => Access::InCluster,
        None => Access::Kubeconfig { path: None, context: None },
    }
}

/// Returns a deadline that aborts the load of a policy set on this thread after [`POLICY_LOAD`] of its CPU time (a busy
/// machine makes no policy bad), or when the thread holds [`POLICY_MEMORY`] more than now.
pub fn deadline() -> Deadline {
    let (cpu, begun) = (|| ThreadTime::try_now().map(|time| time.as_duration()).ok(), Instant::now());
    let (over, before) = (within(cpu, move || begun.elapsed()), held());
    Arc::new(move || {
        let more = held().zip(before).map(|(now, before)| now.wrapping_sub(before) as i64);
        // If the allocator does not report it, the engine's limits have to do.
        if more.is_some_and(|more| more > POLICY_MEMORY) { Some(Spent::Memory) } else { over().then_some(Spent::Time) }
    })
}

/// Returns how many bytes this thread has allocated and not freed, modulo 2^64: threads may free each other's memory.
fn held() -> Option<u64> {
    let (allocated, freed) = (thread::allocatedp::read().ok()?, thread::deallocatedp::read().ok()?);
    Some(allocated.get().wrapping_sub(freed.get()))
}

/// The same by the CPU time of the calling thread, which may be unknown, and the time since now.
fn within(
    cpu: impl Fn() -> Option<Duration> + Send + Sync + 'static,
    elapsed: impl Fn() -> Duration + Send + Sync + 'static,
) -> impl Fn() -> bool + Send + Sync {
    let begun = cpu();
    move || {
        let spent = cpu().zip(begun).map(|(now, begun)| now.saturating_sub(begun));
        spent.is_none_or(|spent| spent >= POLICY_LOAD) || elapsed() >= POLICY_LOAD_AT_MOST
    }
}

/// Returns what one source can be asked.
fn plan(settings: &Settings, name: &str, source: Arc<dyn TelemetrySource>) -> Option<SourcePlan> {
    let declared = settings.sources.iter().find(|declared| &*declared.name == name)?;
    let mut signals: Vec<_> = settings.signals.iter().filter(|signal| &*signal.source == name).collect();
    // The signal that services are scaled by is queried first: slower queries may use up the time of a round.
    signals.sort_by_key(|signal| signal.spec.role != Some(Role::ArrivalRate));
    Some(SourcePlan {
        name: name.to_owned(),
        seed: SourcePlan::seed(&settings.instance, name),
        source,
        interval: declared.interval,
        history: declared.history,
        questions: signals.into_iter().map(question).collect(),
        routes: ArcSwap::default(),
        reading_past: tokio::sync::Mutex::default(),
        last_tick: Mutex::default(),
    })
}

/// Returns the query of a signal template, without services yet.
pub fn question(signal: &SignalTemplate) -> Template {
    Template {
        signal: signal.spec.name.clone(),
        query: signal.query.clone(),
        samples: signal.samples.clone(),
        labels: signal.labels.clone(),
        members: Arc::default(),
        width: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_set_may_wait_for_the_cpu_and_may_not_use_it_up() {
        let clocks = Arc::new(parking_lot::Mutex::new((Some(Duration::from_secs(70)), Duration::ZERO)));
        let (cpu, elapsed) = (clocks.clone(), clocks.clone());
        let expired = within(move || cpu.lock().0, move || elapsed.lock().1);
        for (cpu, elapsed, ends) in [
            (Some(70_000), 0, false),
            (Some(70_499), 9_999, false),
            (Some(70_500), 600, true),
            (Some(70_000), 10_000, true),
            (None, 0, true),
        ] {
            *clocks.lock() = (cpu.map(Duration::from_millis), Duration::from_millis(elapsed));
            assert_eq!(expired(), ends, "{cpu:?} {elapsed}");
        }
    }
}
