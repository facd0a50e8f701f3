//! One signal: classifies each arrival, tracks its age, computes its features.

use std::time::Duration;

use crate::model::time::elapsed;
use crate::model::{Arrival, Finite, Missing, Now, Reading, Sample, SignalFeatures, SignalSpec, Timestamp};

use super::minutes::{Minutes, mean};
use super::outage::Outage;
use super::rise::{self, Rising, carried_on};
use super::window::{Mark, Window};
use super::{MAX_AHEAD, before};

const MINUTE: Duration = Duration::from_mins(1);
const FIVE_MINUTES: Duration = Duration::from_mins(5);
const SIX_MINUTES: Duration = Duration::from_mins(6);

/// What is remembered about one signal.
#[derive(Debug, Clone)]
pub(super) struct Track {
    window: Window,
    minutes: Minutes,
    /// The newest sample that could be read.
    last: Option<Sample>,
    /// Monotonic time at which the newest sample was first seen.
    received: Duration,
    /// Why the last round that queried it gave nothing usable.
    missing: Option<Missing>,
    outage: Outage,
}

impl Default for Track {
    fn default() -> Self {
        Self {
            window: Window::default(),
            minutes: Minutes::default(),
            last: None,
            received: Duration::ZERO,
            missing: Some(Missing::NotAsked),
            outage: Outage::default(),
        }
    }
}

impl Track {
    /// Accepts one arrival (`None`: not queried) and returns the features at `now`.
    pub(super) fn observe(&mut self, spec: &SignalSpec, arrival: Option<&Arrival>, now: Now) -> SignalFeatures {
        let horizon = now.wall.checked_add(MAX_AHEAD).unwrap_or(Timestamp::MAX);
        self.window.forget_after(horizon, spec.unit);
        if let Some(arrival) = arrival {
            self.missing = self.admit(spec, arrival, now).err();
        }
        self.last = self.window.readable().next().or(self.last);

        let limit = spec.max_staleness();
        if arrival.is_some() {
            self.follow_outage(limit, now);
        }
        let closed = self.minutes.close(&self.window, limit, now);
        self.window.evict(span(spec).max(rise::SPAN));
        let reading = self.reading(spec, now);
        let whole = |span: Duration| self.outage.refilled(self.window.newest(), span).is_ok();
        let five = self.recent(FIVE_MINUTES, limit, now);
        let rising = self.rising(spec, &reading);
        SignalFeatures {
            mean_1m: mean(self.recent(MINUTE, limit, now)).filter(|_| whole(MINUTE)),
            p99_5m: p99(five.clone().map(|sample| sample.value.get())).filter(|_| whole(FIVE_MINUTES)),
            change_5m: self.change(limit, now).filter(|_| whole(SIX_MINUTES)),
            max_5m: five.map(|sample| sample.value).reduce(|most, value| if value > most { value } else { most }),
            confirmed: self.confirmed(spec, &reading),
            rising: rising.map(|rising| rising.now),
            slope: rising.and_then(|rising| rising.slope),
            suspect: matches!(self.window.unconfirmed(), Some((Mark::Risen, _))),
            provisional: self.minutes.provisional(&self.window),
            closed,
            reading,
        }
    }

    fn admit(&mut self, spec: &SignalSpec, arrival: &Arrival, now: Now) -> Result<(), Missing> {
        let sample = match arrival {
            Arrival::Value(sample) => *sample,
            Arrival::Missing(missing) => return Err(missing.clone()),
        };
        let ahead = elapsed(sample.at, now.wall);
        if ahead > MAX_AHEAD {
            return Err(Missing::FromTheFuture { ahead });
        }
        if !(spec.range.0..=spec.range.1).contains(&sample.value.get()) {
            return Err(Missing::OutOfRange { value: sample.value });
        }
        if self.window.insert(sample, span(spec), spec.unit) {
            self.received = now.mono;
        }
        Ok(())
    }

    /// Notes whether the source is down or returns nothing fresh. A series that does not exist is not an outage.
    fn follow_outage(&mut self, limit: Duration, now: Now) {
        match (&self.missing, self.window.newest()) {
            (Some(Missing::SourceDown { .. }), _) => self.outage.missed(self.last.map_or(now.wall, |last| last.at)),
            (None, Some(newest)) if self.staleness(newest, now) > limit => self.outage.missed(now.wall),
            (None, Some(newest)) => self.outage.seen(newest.at, limit),
            _ => {}
        }
    }

    fn reading(&self, spec: &SignalSpec, now: Now) -> Reading {
        let missing = match (&self.missing, self.window.newest(), self.window.unconfirmed()) {
            (Some(missing), _, _) => missing.clone(),
            (None, Some(newest), Some((Mark::Dropped, seen))) => Missing::UnconfirmedDrop { value: newest.value, seen },
            (None, Some(sample), _) => {
                let staleness = self.staleness(sample, now);
                if staleness > spec.max_staleness() {
                    return Reading::Stale { sample, staleness };
                }
                match self.outage.refilled(Some(sample), spec.window) {
                    Ok(()) => return Reading::Fresh { sample, staleness },
                    Err(refilling) => refilling,
                }
            }
            // All samples were dropped when the wall clock was set back.
            (None, None, _) => {
                self.last.map_or(Missing::NotAsked, |last| Missing::FromTheFuture { ahead: elapsed(last.at, now.wall) })
            }
        };
        match self.last {
            Some(last) => Reading::Gap { last, missing },
            None => Reading::Absent { missing },
        }
    }

    fn staleness(&self, newest: Sample, now: Now) -> Duration {
        elapsed(now.wall, newest.at).max(now.since(self.received))
    }

    /// Returns the newest sample's time if the signal is fresh: where the windows of the features end.
    fn anchor(&self, limit: Duration, now: Now) -> Option<Timestamp> {
        let newest = self.window.newest()?;
        (self.staleness(newest, now) <= limit).then_some(newest.at)
    }

    /// Returns the accepted samples of the last `span` up to the newest; none if the signal is not fresh.
    fn recent(&self, span: Duration, limit: Duration, now: Now) -> impl Iterator<Item = Sample> + Clone {
        let from = self.anchor(limit, now).map_or(Timestamp::MAX, |newest| before(newest, span));
        self.window.accepted().filter(move |sample| sample.at > from)
    }

    fn change(&self, limit: Duration, now: Now) -> Option<Finite> {
        let newest = self.anchor(limit, now)?;
        let (from, to) = (before(newest, SIX_MINUTES), before(newest, FIVE_MINUTES));
        let earlier = mean(self.window.accepted().filter(|sample| sample.at > from && sample.at <= to))?.get();
        let latest = mean(self.recent(MINUTE, limit, now))?.get();
        (earlier > 0.0).then(|| Finite::new((latest - earlier) / earlier)).flatten()
    }

    /// Returns the smaller of the two newest samples, if at most one scrape is missing between them. The age of the
    /// second does not matter: with a source that publishes late it often exceeds the limit for the newest.
    fn confirmed(&self, spec: &SignalSpec, reading: &Reading) -> Option<Finite> {
        let Reading::Fresh { sample: newest, .. } = reading else { return None };
        let second = self.window.readable().nth(1)?;
        let smaller = if newest.value < second.value { newest.value } else { second.value };
        (elapsed(newest.at, second.at) <= spec.scrape_interval.saturating_mul(2)).then_some(smaller)
    }

    fn rising(&self, spec: &SignalSpec, reading: &Reading) -> Option<Rising> {
        let Reading::Fresh { staleness, .. } = reading else { return None };
        // An unconfirmed value is not extrapolated.
        let believed = self.window.unconfirmed().is_none();
        believed.then(|| carried_on(self.window.readable(), *staleness, spec)).flatten()
    }
}

/// Returns how late a sample may be: six minutes for the change over five, and more if a slow source keeps minutes open
/// longer. Samples that arrived in time are kept longer, to tell a rise from what was usual before it.
fn span(spec: &SignalSpec) -> Duration {
    SIX_MINUTES.max(spec.max_staleness().saturating_add(2 * MINUTE))
}

/// Returns the 99th percentile by nearest rank.
fn p99(values: impl Iterator<Item = f64>) -> Option<Finite> {
    let mut values: Vec<f64> = values.collect();
    let rank = (values.len() * 99).div_ceil(100).checked_sub(1)?;
    let (_, value, _) = values.select_nth_unstable_by(rank, f64::total_cmp);
    Finite::new(*value)
}
