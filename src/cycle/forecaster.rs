//! Keeps the models of a service up to date and reports their forecasts.
//!
//! Learning from history and fitting take longer than a message may: they leave as jobs and return as events. Minutes
//! that end meanwhile are kept, so that nothing is learned twice or lost.

use std::sync::Arc;

use crate::forecast::fit::{FitJob, FitResult};
use crate::forecast::params::ForecastParams;
use crate::forecast::{Forecaster, forecast};
use crate::model::{Features, Fitted, MinuteValue, Outlook, ServiceSpec};
use crate::observe::believe;

use super::observer::Observed;

/// Minutes kept while history is awaited: longer than any warm start takes.
const KEPT_MINUTES: usize = 240;

/// A cycle after the forecast stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessed {
    /// The cycle so far.
    pub observed: Observed,
    /// What is expected.
    pub outlook: Arc<Outlook>,
}

/// Events of a forecaster.
#[derive(Debug, Clone)]
pub enum ForecasterEvent {
    /// A cycle to forecast.
    Observed(Observed),
    /// The past of the forecast signals was read (position in the spec, minutes oldest first).
    HistoryRead(Vec<(usize, Vec<MinuteValue>)>),
    /// A [`WarmJob`] has ended: new models for these signals.
    Warmed {
        /// Positions in the spec.
        signals: Vec<usize>,
        /// The models.
        models: Forecaster,
    },
    /// A [`FitJob`] has ended.
    Fitted(FitResult),
}

impl ForecasterEvent {
    /// Returns the merge with a later cycle that replaces this one before it was taken: each minute ends in exactly one
    /// cycle, and must still be learned.
    #[must_use]
    pub fn followed_by(&self, later: Self) -> Self {
        match (self, later) {
            (Self::Observed(waiting), Self::Observed(mut later)) => {
                let closed = |features: &Features| features.signals.iter().any(|signal| !signal.closed.is_empty());
                if closed(&waiting.features) {
                    let signals = &mut Arc::make_mut(&mut later.features).signals;
                    for (signal, earlier) in signals.iter_mut().zip(&waiting.features.signals) {
                        signal.closed.splice(0..0, earlier.closed.iter().copied());
                    }
                }
                Self::Observed(later)
            }
            (_, later) => later,
        }
    }
}

/// Effects requested by a forecaster.
#[derive(Debug)]
pub enum ForecasterEffect {
    /// Pass the cycle on.
    Assessed(Assessed),
    /// Learn from history, off the loop's threads; answer with `Warmed`.
    Warm(WarmJob),
    /// Fit parameters, off the loop's threads; answer with `Fitted`.
    Fit(FitJob),
    /// Persist the result of a fit.
    Keep(Fitted),
}

/// Learns the past of a service into new models.
#[derive(Debug)]
pub struct WarmJob {
    spec: Arc<ServiceSpec>,
    fresh: Forecaster,
    history: Vec<(usize, Vec<MinuteValue>)>,
}

impl WarmJob {
    /// Runs the job; its time grows with the minutes of history.
    pub fn run(mut self) -> ForecasterEvent {
        for (signal, minutes) in &mut self.history {
            // What would not have been believed live is not learned from history either.
            self.spec.signals.get(*signal).into_iter().for_each(|spec| believe(spec, minutes));
            self.fresh.warm(*signal, minutes);
        }
        let signals = self.history.iter().map(|(signal, _)| *signal).collect();
        ForecasterEvent::Warmed { signals, models: self.fresh }
    }
}

/// The forecaster of one service. Its steps are atomic (see [`crate::forecast`]), so a shell may step it in place.
#[derive(Debug, Clone)]
pub struct ForecasterCore {
    spec: Arc<ServiceSpec>,
    params: Arc<ForecastParams>,
    state: Forecaster,
    /// Minutes that ended since the start, oldest first, for each signal whose history is still to come.
    since_start: Arc<Vec<Option<Vec<MinuteValue>>>>,
}

impl ForecasterCore {
    /// Returns a forecaster that knows only the `fits` of earlier runs. With `expects_history` it keeps ended minutes
    /// until history comes.
    pub fn new(spec: Arc<ServiceSpec>, params: Arc<ForecastParams>, fits: &[Fitted], expects_history: bool) -> Self {
        let awaited = spec.signals.iter().map(|signal| (expects_history && signal.forecast).then(Vec::new));
        let mut state = Forecaster::new(&spec, &params);
        state.resume(&spec, fits);
        Self { since_start: Arc::new(awaited.collect()), state, spec, params }
    }

    /// Switches to a declaration with the same signals, target and labels.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.spec = spec.clone();
    }

    /// Processes one event.
    pub fn step(&mut self, event: &ForecasterEvent) -> Vec<ForecasterEffect> {
        match event {
            ForecasterEvent::Observed(observed) => self.assess(observed),
            ForecasterEvent::HistoryRead(history) => {
                let (spec, fresh) = (self.spec.clone(), self.state.anew(&self.spec, &self.params));
                vec![ForecasterEffect::Warm(WarmJob { spec, fresh, history: history.clone() })]
            }
            ForecasterEvent::Warmed { signals, models } => {
                self.adopt(signals, models.clone());
                Vec::new()
            }
            ForecasterEvent::Fitted(result) => {
                let signal = self.spec.signals.get(result.signal).filter(|_| self.state.install(*result));
                let kept = signal.map(|signal| Fitted {
                    service: self.spec.id.clone(),
                    signal: signal.name.clone(),
                    issued: result.issued,
                    smoothing: result.smoothing,
                });
                kept.map(ForecasterEffect::Keep).into_iter().collect()
            }
        }
    }

    fn assess(&mut self, observed: &Observed) -> Vec<ForecasterEffect> {
        self.keep_closed(observed);
        let outlook = forecast(&mut self.state, &self.spec, &self.params, &observed.features, observed.now);
        let assessed = Assessed { observed: observed.clone(), outlook: Arc::new(outlook) };
        let mut effects = vec![ForecasterEffect::Assessed(assessed)];
        effects.extend(self.state.next_fit(observed.now).map(ForecasterEffect::Fit));
        effects
    }

    fn keep_closed(&mut self, observed: &Observed) {
        let signals = self.since_start.iter().zip(&observed.features.signals);
        if !signals.into_iter().any(|(kept, signal)| kept.is_some() && !signal.closed.is_empty()) {
            return;
        }
        for (kept, signal) in Arc::make_mut(&mut self.since_start).iter_mut().zip(&observed.features.signals) {
            let Some(kept) = kept else { continue };
            kept.extend(&signal.closed);
            let surplus = kept.len().saturating_sub(KEPT_MINUTES);
            kept.drain(..surplus);
        }
    }

    /// Takes over warm models and lets them learn the minutes that ended while they were made. `warm` ignores minutes
    /// already in the history.
    fn adopt(&mut self, signals: &[usize], mut models: Forecaster) {
        for signal in signals {
            if let Some(minutes) = Arc::make_mut(&mut self.since_start).get_mut(*signal).and_then(Option::take) {
                models.warm(*signal, &minutes);
            }
            self.state.replace(*signal, &models);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{
        CycleId, Finite, Minute, Missing, Now, Reading, ServiceId, SignalFeatures, TargetReading, TraceId,
    };

    fn observed(seq: u32, closed: &[i64]) -> ForecasterEvent {
        let now = Now { wall: Minute(100).start(), mono: Duration::ZERO };
        let minute = |minute: &i64| MinuteValue { minute: Minute(*minute), value: Finite::new(1.0) };
        let reading = Reading::Absent { missing: Missing::NoSeries };
        let signal = SignalFeatures { closed: closed.iter().map(minute).collect(), ..SignalFeatures::of(reading) };
        let features =
            Arc::new(Features { signals: vec![signal], target: TargetReading::Unknown { reason: String::new() } });
        let cycle = CycleId { run: 1, seq };
        let trace = TraceId::derive(&ServiceId::new("shop", "cart").unwrap(), cycle, now.wall);
        ForecasterEvent::Observed(Observed { cycle, trace, now, features })
    }

    #[test]
    fn a_cycle_that_replaces_one_learns_its_minutes_too() {
        for (waiting, later, expected) in
            [(&[][..], &[7][..], &[7][..]), (&[7], &[], &[7]), (&[5, 6], &[7], &[5, 6, 7]), (&[], &[], &[])]
        {
            let ForecasterEvent::Observed(both) = observed(1, waiting).followed_by(observed(2, later)) else {
                panic!("a cycle")
            };
            let minutes: Vec<i64> = both.features.signals[0].closed.iter().map(|closed| closed.minute.0).collect();
            assert_eq!((both.cycle, &*minutes), (CycleId { run: 1, seq: 2 }, expected));
        }
    }
}
