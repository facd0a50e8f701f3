//! All that a policy can see of a service in one cycle, in a form that scripts can hold.

use std::sync::Arc;
use std::time::Duration;

use crate::decide::api::quantity::Stamp;
use crate::decide::vocabulary::Vocabulary;
use crate::model::outlook::HorizonPoint;
use crate::model::{
    Bounds, Capacity, Features, Finite, HORIZONS, Minute, Now, Outlook, QUANTILES, Readiness, Reading, Role, Sample,
    ServiceSpec, SignalFeatures, SignalName, SignalOutlook, SignalSpec, TargetReading, Timestamp, Unit,
};

/// Horizon of `.predicted` where no lead time is known.
const DEFAULT_LEAD: Duration = Duration::from_mins(10);
/// Interval of values that the cluster reports, where a service declares no signal.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);
/// Ages below this many seconds are shown from a table.
const AGES: u64 = 180;

/// Texts that are the same in every decision, made once per policy set.
#[derive(Debug)]
pub(crate) struct Texts {
    ages: Vec<Arc<str>>,
    not_declared: Arc<str>,
}

impl Texts {
    /// Makes the texts.
    pub(crate) fn new() -> Self {
        Self {
            ages: (0..AGES).map(|seconds| format!("{seconds} s old").into()).collect(),
            not_declared: "not declared by this service".into(),
        }
    }

    fn age(&self, age: Duration) -> Arc<str> {
        let seconds = age.as_secs();
        let known = usize::try_from(seconds).ok().and_then(|seconds| self.ages.get(seconds));
        known.map_or_else(|| format!("{seconds} s old").into(), Arc::clone)
    }
}

/// One signal of the service.
#[derive(Debug)]
pub(crate) struct View {
    name: SignalName,
    pub(crate) unit: Unit,
    interval: Duration,
    reading: Reading,
    pub(crate) mean: Option<Finite>,
    pub(crate) outlook: Option<SignalOutlook>,
}

impl View {
    fn of(spec: &SignalSpec, features: &SignalFeatures, outlook: Option<&SignalOutlook>) -> Self {
        Self {
            name: spec.name.clone(),
            unit: spec.unit,
            interval: spec.scrape_interval,
            reading: features.reading.clone(),
            mean: features.mean_1m,
            outlook: outlook.map(visible),
        }
    }
}

/// Copies what policies can read of a forecast.
fn visible(outlook: &SignalOutlook) -> SignalOutlook {
    SignalOutlook {
        readiness: outlook.readiness,
        points: outlook.points.clone(),
        max_10: outlook.max_10,
        max_30: outlook.max_30,
        ..SignalOutlook::not_ready(outlook.origin, 0, 0)
    }
}

/// A signal that may be acted on.
pub(crate) struct Fresh<'a> {
    pub(crate) view: &'a View,
    pub(crate) value: f64,
    pub(crate) stamp: Stamp,
    pub(crate) age: Arc<str>,
}

/// What the cluster says of the target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) replicas: u32,
    pub(crate) ready: u32,
    pub(crate) rollout: bool,
}

/// One service in one cycle.
#[derive(Debug)]
pub(crate) struct Tick {
    views: Vec<View>,
    pub(crate) target: Result<Target, Arc<str>>,
    pub(crate) bounds: Bounds,
    pub(crate) capacity: Option<Capacity>,
    /// Position of the arrival rate.
    arrivals: Option<usize>,
    /// How far ahead `.predicted` looks.
    pub(crate) lead: Duration,
    pub(crate) now: Timestamp,
    /// Longest scrape interval of the service.
    pub(crate) interval: Duration,
    texts: Arc<Texts>,
}

impl Tick {
    /// Returns what policies can see of a service.
    pub(crate) fn new(
        spec: &ServiceSpec,
        features: &Features,
        outlook: &Outlook,
        now: Now,
        texts: &Arc<Texts>,
    ) -> Self {
        let forecasts = outlook.signals.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let signals = spec.signals.iter().zip(&features.signals).zip(forecasts);
        Self {
            views: signals.map(|((spec, features), outlook)| View::of(spec, features, outlook)).collect(),
            target: target(&features.target),
            bounds: spec.bounds,
            arrivals: spec.role(Role::ArrivalRate),
            lead: outlook.capacity.as_ref().map_or(DEFAULT_LEAD, |capacity| capacity.lead_time),
            capacity: outlook.capacity.clone(),
            now: now.wall,
            interval: spec.signals.iter().map(|signal| signal.scrape_interval).max().unwrap_or(DEFAULT_INTERVAL),
            texts: Arc::clone(texts),
        }
    }

    /// Returns the position of a signal, if the service declares it.
    pub(crate) fn position(&self, name: &SignalName) -> Option<usize> {
        self.views.iter().position(|view| view.name == *name)
    }

    /// Returns the signal at a position, or why it may not be acted on.
    pub(crate) fn fresh(&self, position: Option<usize>) -> Result<Fresh<'_>, Arc<str>> {
        let Some(view) = position.and_then(|position| self.views.get(position)) else {
            return Err(Arc::clone(&self.texts.not_declared));
        };
        match &view.reading {
            Reading::Fresh { sample, staleness } => Ok(Fresh {
                view,
                value: sample.value.get(),
                stamp: Stamp { at: sample.at, interval: view.interval },
                age: self.texts.age(*staleness),
            }),
            other => Err(other.to_string().into()),
        }
    }

    /// Returns the arrival rate, or why it may not be acted on.
    pub(crate) fn arrivals(&self) -> Result<Fresh<'_>, Arc<str>> {
        self.fresh(self.arrivals)
    }

    /// Returns the stamp of what the cluster reports.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { at: self.now, interval: self.interval }
    }

    /// Returns a service of which everything is known.
    pub(crate) fn all_known(vocabulary: &Vocabulary, texts: &Arc<Texts>) -> Self {
        let one = Finite::new(1.0).unwrap_or(Finite::ZERO);
        let now = Timestamp::UNIX_EPOCH;
        let view = |(name, unit): (&SignalName, Unit)| View {
            name: name.clone(),
            unit,
            interval: DEFAULT_INTERVAL,
            reading: Reading::Fresh { sample: Sample { at: now, value: one }, staleness: Duration::ZERO },
            mean: Some(one),
            outlook: Some(flat_outlook()),
        };
        Self {
            views: vocabulary.iter().map(view).collect(),
            target: Ok(Target { replicas: 1, ready: 1, rollout: false }),
            bounds: Bounds { min: 1, max: 2 },
            capacity: Some(Capacity {
                per_pod: 1.0,
                lead_time: DEFAULT_LEAD,
                needed_now: Some(1),
                needed_ahead: Some(1),
                floor: Some(1),
            }),
            arrivals: Some(0),
            lead: DEFAULT_LEAD,
            now,
            interval: DEFAULT_INTERVAL,
            texts: Arc::clone(texts),
        }
    }

    /// Returns a service of which nothing is known.
    pub(crate) fn all_unknown(texts: &Arc<Texts>) -> Self {
        Self {
            views: Vec::new(),
            target: Err("not seen".into()),
            bounds: Bounds { min: 1, max: 2 },
            capacity: None,
            arrivals: None,
            lead: DEFAULT_LEAD,
            now: Timestamp::UNIX_EPOCH,
            interval: DEFAULT_INTERVAL,
            texts: Arc::clone(texts),
        }
    }
}

fn target(reading: &TargetReading) -> Result<Target, Arc<str>> {
    match reading {
        TargetReading::Known { target } => {
            Ok(Target { replicas: target.replicas, ready: target.ready, rollout: target.rollout })
        }
        TargetReading::Outdated { silence, .. } => {
            Err(format!("the view of the cluster is silent for {} s", silence.as_secs()).into())
        }
        TargetReading::Unknown { reason } => Err(reason.as_str().into()),
    }
}

fn flat_outlook() -> SignalOutlook {
    let row = [1.0; QUANTILES.len()];
    let points =
        HORIZONS.iter().map(|minutes| HorizonPoint { minutes: *minutes, point: 1.0, quantiles: row }).collect();
    let blank = SignalOutlook::not_ready(Minute(0), 0, 0);
    SignalOutlook { readiness: Readiness::Ready, points, max_10: Some(row), max_30: Some(row), ..blank }
}
