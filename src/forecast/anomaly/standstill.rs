//! A value that is unchanged for much longer than ever before.

/// The longest earlier standstill counts as at least this many steps.
const LEAST: f32 = 15.0;
/// With fewer changes than this there is no evidence.
const CHANGES: u32 = 50;
/// Days after which half of the longest standstill remains: a service that rests each weekend did so a week ago.
const HALF_LIFE_DAYS: f64 = 14.0;
/// A standstill counts as at most this many times the longest earlier one, unless it is a rest.
const MOST: f32 = 2.0;

/// How long the value has been unchanged, and the longest that it ever was.
#[derive(Debug, Clone, Copy)]
pub struct Standstill {
    /// Share of the longest one that remains after each step.
    kept: f32,
    changes: u32,
    value: f64,
    /// The value of the last standstill that was as long as any before; NaN before.
    rest: f64,
    lasts: f32,
    longest: f32,
}

impl Standstill {
    /// Returns the state before any step of `step_seconds`.
    pub fn new(step_seconds: u32) -> Self {
        let steps = HALF_LIFE_DAYS * 86_400.0 / f64::from(step_seconds.max(1));
        Self {
            kept: 0.5_f64.powf(1.0 / steps) as f32,
            changes: 0,
            value: 0.0,
            rest: f64::NAN,
            lasts: 0.0,
            longest: 0.0,
        }
    }

    /// Learns the value of a step.
    pub fn learn(&mut self, value: f64) {
        self.longest *= self.kept;
        if value == self.value {
            self.lasts += 1.0;
            return;
        }
        let known = self.longest.max(LEAST);
        // A rest recurs at its value. A standstill elsewhere may be a fault, and must not teach that faults are usual.
        let is_usual = self.value == self.rest || !self.judges();
        let most = if is_usual { self.lasts } else { MOST * known };
        self.longest = self.longest.max(self.lasts.min(most));
        if self.lasts >= known {
            self.rest = self.value;
        }
        self.changes = self.changes.saturating_add(1);
        (self.value, self.lasts) = (value, 0.0);
    }

    /// Returns for how many steps the value has not changed.
    pub fn lasts(&self) -> f32 {
        self.lasts
    }

    fn judges(&self) -> bool {
        self.changes > CHANGES
    }

    /// Returns the ratio of `value`'s standstill to the longest earlier one, in the step in which it reaches two and in
    /// those in which it has doubled since: 2, 4, 8 ...; otherwise 0.
    pub fn news(&self, value: f64) -> f64 {
        if value != self.value || !self.judges() {
            return 0.0;
        }
        let doublings = |lasts: f32| (lasts / self.longest.max(LEAST)).log2().floor();
        let now = doublings(self.lasts);
        if now >= 1.0 && now > doublings(self.lasts - 1.0) { now.exp2().into() } else { 0.0 }
    }
}
