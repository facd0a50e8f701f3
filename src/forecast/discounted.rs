//! Means in which old values count less.

/// Discounted means of `N` parallel streams; early values count equally.
#[derive(Debug, Clone, Copy)]
pub struct Discounted<const N: usize> {
    mean: [f32; N],
    weight: [f32; N],
}

impl<const N: usize> Discounted<N> {
    /// Means without any values.
    pub const NOTHING: Self = Self { mean: [0.0; N], weight: [0.0; N] };

    /// Adds one value to each stream; earlier weights shrink by `keep` (below 1). Non-finite values are skipped.
    pub fn add(&mut self, values: &[f32; N], keep: f32) {
        for ((mean, weight), value) in self.mean.iter_mut().zip(&mut self.weight).zip(values) {
            let next = *weight * keep + 1.0;
            let moved = *mean + (*value - *mean) / next;
            (*weight, *mean) = if value.is_finite() { (next, moved) } else { (*weight, *mean) };
        }
    }

    /// Multiplies the means.
    pub fn scale(&mut self, factor: f64) {
        self.mean.iter_mut().for_each(|mean| *mean *= factor as f32);
    }

    /// Returns the means.
    pub fn means(&self) -> &[f32; N] {
        &self.mean
    }

    /// Returns the discounted numbers of values.
    pub fn weights(&self) -> &[f32; N] {
        &self.weight
    }
}

impl Discounted<1> {
    /// Returns the mean of the single stream.
    pub fn mean(self) -> f64 {
        let [mean] = self.mean;
        f64::from(mean)
    }

    /// Returns the discounted number of its values.
    pub fn weight(self) -> f64 {
        let [weight] = self.weight;
        f64::from(weight)
    }
}

/// Returns the factor by which weights shrink each minute for a half-life in minutes.
pub fn keep(half_life_minutes: f64) -> f32 {
    0.5_f64.powf(1.0 / half_life_minutes) as f32
}
