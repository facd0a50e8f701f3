//! Seeded numbers addressed by position. A stateful generator would have to run from the start to know what happened
//! last Tuesday; this one can be queried directly.

use crate::model::hash;

/// A source of numbers that depend only on seed, stream and index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    key: u64,
}

impl Noise {
    /// Returns the numbers of `stream` under `seed`.
    pub fn new(seed: u64, stream: &str) -> Self {
        Self { key: mix(seed ^ mix(hash::more(hash::NOTHING, stream.as_bytes()))) }
    }

    /// Returns a number at `index` with mean 0, standard deviation 1 and absolute value at most 3.5: the sum of four
    /// uniform ones (Irwin-Hall), close enough to normal but without the tails.
    pub fn normal(self, index: i64) -> f64 {
        let bits = mix(self.key ^ mix(index as u64));
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
        (sum as f64 / 65_535.0 - 2.0) * 3.0_f64.sqrt()
    }

    /// Returns a smooth path through normal numbers `step` apart, at `position` (same unit).
    pub fn path(self, position: i64, step: i64) -> f64 {
        let index = position.div_euclid(step);
        let share = position.rem_euclid(step) as f64 / step as f64;
        let (left, right) = (self.normal(index), self.normal(index.saturating_add(1)));
        left + (right - left) * share
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_mean_zero_and_deviation_one() {
        let noise = Noise::new(7, "a");
        let n = 20_000;
        let mean = (0..n).map(|index| noise.normal(index)).sum::<f64>() / n as f64;
        let square = (0..n).map(|index| noise.normal(index).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((square - 1.0).abs() < 0.03, "{square}");
    }

    #[test]
    fn seed_and_stream_tell_numbers_apart_and_nothing_else_does() {
        assert_eq!(Noise::new(7, "a").normal(-3).to_bits(), Noise::new(7, "a").normal(-3).to_bits());
        assert_ne!(Noise::new(7, "a").normal(5).to_bits(), Noise::new(8, "a").normal(5).to_bits());
        assert_ne!(Noise::new(7, "a").normal(5).to_bits(), Noise::new(7, "b").normal(5).to_bits());
    }

    #[test]
    fn a_path_meets_its_numbers_and_is_continuous_between() {
        let noise = Noise::new(1, "path");
        assert_eq!(noise.path(-600, 300).to_bits(), noise.normal(-2).to_bits());
        let middle = f64::midpoint(noise.normal(0), noise.normal(1));
        assert!((noise.path(150, 300) - middle).abs() < 1e-12);
    }
}
