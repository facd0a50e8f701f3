//! How much values usually deviate.

/// Weight of a new squared deviation (half-life 1,400 steps), once there were as many.
const GAIN: f64 = 0.0005;
/// A deviation is clipped at this many scales.
const CLIP: f64 = 6.0;
/// Deviations before the scale is used.
const ENOUGH: u32 = 30;

/// Root of a mean square with heavy tails: deviations are lightly clipped, whereas the robust scale used for clipping
/// in the models would shrink on a quiet signal and alarm at every bump.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scale {
    root: f32,
    seen: u32,
}

impl Scale {
    /// Returns the scale, at least `floor`.
    pub fn get(self, floor: f64) -> f64 {
        f64::from(self.root).max(floor).max(1e-12)
    }

    /// Returns whether enough was learned.
    pub fn ready(self) -> bool {
        self.seen >= ENOUGH
    }

    /// Learns one deviation.
    pub fn learn(&mut self, deviation: f64, floor: f64) {
        let clip = if self.ready() { CLIP * self.get(floor) } else { f64::INFINITY };
        self.seen = self.seen.saturating_add(1);
        let square = f64::from(self.root).powi(2);
        self.root = (square + gain(self.seen) * (deviation.abs().min(clip).powi(2) - square)).sqrt() as f32;
    }
}

/// Mean and deviation of all values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    mean: f64,
    square: f64,
    seen: u32,
}

impl Spread {
    /// Learns one value.
    pub fn learn(&mut self, value: f64) {
        self.seen = self.seen.saturating_add(1);
        let gain = gain(self.seen);
        self.mean += gain * (value - self.mean);
        self.square += gain * ((value - self.mean).powi(2) - self.square);
    }

    /// Returns the absolute mean.
    pub fn height(&self) -> f64 {
        self.mean.abs()
    }

    /// Returns the standard deviation.
    pub fn deviation(&self) -> f64 {
        self.square.sqrt()
    }

    /// Returns whether no value but the newest was learned.
    pub fn begins(&self) -> bool {
        self.seen == 1
    }
}

fn gain(seen: u32) -> f64 {
    GAIN.max(1.0 / f64::from(seen))
}
