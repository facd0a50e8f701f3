//! A value that stands still for much longer than it ever did.

/// The longest standstill before counts as one of so many steps at least.
const LEAST: f32 = 15.0;
/// What changed less often tells nothing.
const CHANGES: u32 = 50;
/// Days after which half of the longest standstill remains: a service that rests each weekend did so a week ago.
const HALF_LIFE_DAYS: f64 = 14.0;
/// How many times the longest one before a standstill counts at most, unless it is a rest.
const MOST: f32 = 2.0;

/// For how long the value has not changed, and for how long it has not at most.
#[derive(Debug, Clone, Copy)]
pub struct Standstill {
    /// What remains of the longest one at each step.
    kept: f32,
    changes: u32,
    value: f64,
    /// Where the signal stood for as long as ever, the last time it did; NaN before.
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
        // A rest comes again at its value. What stands still elsewhere may be a fault, and must not teach that faults
        // are usual.
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

    /// Returns how long `value` stands still beside the longest standstill before, in the step in which that has become
    /// twice as long, and in which it has doubled since: 2, 4, 8 ...; else 0.
    pub fn news(&self, value: f64) -> f64 {
        if value != self.value || !self.judges() {
            return 0.0;
        }
        let doublings = |lasts: f32| (lasts / self.longest.max(LEAST)).log2().floor();
        let now = doublings(self.lasts);
        if now >= 1.0 && now > doublings(self.lasts - 1.0) { now.exp2().into() } else { 0.0 }
    }
}
