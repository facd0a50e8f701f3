//! Consecutive decisions: what holds, for how long, and the outcome.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rhai::{Dynamic, Shared};

use super::Bench;
use super::decision::Decisions;
use super::given::{Given, start};
use crate::decide::api::quantity::ScriptResult;
use crate::decide::api::span::parse_span;
use crate::decide::evaluate::Decider;
use crate::decide::fault::terminated;
use crate::model::Now;

/// Most decisions of one run: a day at four per minute.
const MAX_STEPS: u64 = 5_760;

/// A service over time; copies share their state.
#[derive(Clone)]
pub(super) struct Timeline(Shared<Mutex<Past>>);

struct Past {
    bench: Arc<Bench>,
    given: Given,
    decider: Decider,
    step: Duration,
    /// When the next decision is due.
    next: Now,
}

impl Timeline {
    /// Returns a service about which nothing is known, decided every `step`.
    pub(super) fn every(bench: &Arc<Bench>, step: &str) -> ScriptResult<Self> {
        let past = Past {
            bench: Arc::clone(bench),
            given: Given::nothing(bench),
            decider: Decider::new(),
            step: parse_span(step)?,
            next: start(),
        };
        Ok(Self(Shared::new(Mutex::new(past))))
    }

    /// States a fact from now on.
    pub(super) fn set(&self, key: &str, value: &Dynamic) -> ScriptResult<Self> {
        self.0.lock().given.set(key, value)?;
        Ok(self.clone())
    }

    /// States all of these facts from now on.
    pub(super) fn give(&self, facts: &rhai::Map) -> ScriptResult<Self> {
        for (key, value) in facts {
            self.0.lock().given.set(key, value)?;
        }
        Ok(self.clone())
    }

    /// Makes a fact unknown from now on.
    pub(super) fn lose(&self, key: &str) -> ScriptResult<Self> {
        self.0.lock().given.lose(key)?;
        Ok(self.clone())
    }

    /// Lets time pass and returns the decisions made; the first run starts with one immediately.
    pub(super) fn run(&self, span: &str) -> ScriptResult<Decisions> {
        let span = parse_span(span)?;
        let mut past = self.0.lock();
        let steps = span.as_secs() / past.step.as_secs().max(1);
        if steps > MAX_STEPS {
            return Err(format!("run(\"{}\") takes {steps} decisions, the limit is {MAX_STEPS}", span.as_secs()).into());
        }
        let first = u64::from(past.next == start());
        let mut made = Decisions::none(&past.bench);
        for _ in 0..steps.saturating_add(first) {
            let Past { bench, given, decider, step, next } = &mut *past;
            // One call of a script makes thousands of decisions: its engine cannot check the clock meanwhile.
            if let Some(spent) = bench.spent() {
                return Err(terminated(spent).into());
            }
            made.add(given.decide(decider, *step, *next)?);
            *next = next.plus(*step);
        }
        made.some()
    }
}
