//! A value that stands still for much longer than it ever did.

/// The longest standstill before counts as one of so many steps at least.
const LEAST: f64 = 15.0;
/// What changed less often tells nothing.
const CHANGES: u32 = 50;
/// What remains of the longest standstill at each change (half-life 1,400 changes).
const KEPT: f64 = 0.9995;

/// For how long the value has not changed, and for how long it has not at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standstill {
    value: f64,
    lasts: f64,
    longest: f64,
    changes: u32,
}

impl Standstill {
    /// Learns the value of a step.
    pub fn learn(&mut self, value: f64) {
        if value == self.value {
            self.lasts += 1.0;
            return;
        }
        self.longest = (KEPT * self.longest).max(self.lasts);
        self.changes = self.changes.saturating_add(1);
        (self.value, self.lasts) = (value, 0.0);
    }

    /// Returns how long `value` stands still beside the longest standstill before, in the step in which that has become
    /// twice as long, and in which it has doubled since: 2, 4, 8 ...; else 0.
    pub fn news(&self, value: f64) -> f64 {
        if value != self.value || self.changes <= CHANGES {
            return 0.0;
        }
        let doublings = |lasts: f64| (lasts / self.longest.max(LEAST)).log2().floor();
        let now = doublings(self.lasts);
        if now >= 1.0 && now > doublings(self.lasts - 1.0) { now.exp2() } else { 0.0 }
    }
}
