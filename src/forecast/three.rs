//! `f32` without its last eight bits: three bytes each, with a relative error of at most 1/65536.

use super::lanes::zip;

/// Maximum relative rounding error.
pub const ROUNDING: f64 = 1.0 / 65_536.0;

/// A number in three bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Three([u8; 3]);

impl Three {
    /// Zero.
    pub const ZERO: Self = Self([0; 3]);
    /// Not a number.
    pub const NAN: Self = Self::cut(f32::NAN.to_bits());

    const fn cut(bits: u32) -> Self {
        let [_, kept @ ..] = bits.to_le_bytes();
        Self(kept)
    }

    /// Rounds to the nearest value.
    pub const fn of(value: f32) -> Self {
        // Rounding must not turn NaN into a number.
        if value.is_nan() { Self::NAN } else { Self::cut(value.to_bits().saturating_add(0x80)) }
    }

    /// Returns the value.
    pub const fn get(self) -> f32 {
        let Self([low, middle, high]) = self;
        f32::from_le_bytes([0, low, middle, high])
    }
}

/// Numbers in three bytes each, the newest last. Their upper and lower bytes are apart, so that all are read at once.
#[derive(Debug, Clone, Copy)]
pub struct Threes<const N: usize> {
    high: [u16; N],
    low: [u8; N],
}

impl<const N: usize> Threes<N> {
    /// None of them a number.
    pub const NAN: Self = Self { high: [(f32::NAN.to_bits() >> 16) as u16; N], low: [0; N] };

    /// Returns the number at a position.
    pub fn get(&self, at: usize) -> f32 {
        f32::from_bits(u32::from(self.high[at]) << 16 | u32::from(self.low[at]) << 8)
    }

    /// Returns all.
    pub fn all(&self) -> [f32; N] {
        zip(&self.high, &self.low, |high, low| f32::from_bits(u32::from(high) << 16 | u32::from(low) << 8))
    }

    /// Rounds to the nearest value.
    pub fn set(&mut self, at: usize, value: f32) {
        let Three([low, middle, high]) = Three::of(value);
        (self.high[at], self.low[at]) = (u16::from_le_bytes([middle, high]), low);
    }

    /// Appends a number in place of the oldest one.
    pub fn push(&mut self, newest: f32) {
        self.high.copy_within(1.., 0);
        self.low.copy_within(1.., 0);
        self.set(N - 1, newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_kept_like_one() {
        let mut many = Threes::<3>::NAN;
        let values = [1.1, -7e-20, f32::NAN, 1e30];
        values.iter().for_each(|value| many.push(*value));
        let expected = [values[1], values[2], values[3]].map(|value| Three::of(value).get().to_bits());
        assert_eq!(many.all().map(f32::to_bits), expected);
        assert_eq!([0, 1, 2].map(|at| many.get(at).to_bits()), expected);
        assert!(Threes::<2>::NAN.all().iter().all(|value| value.is_nan()));
    }

    #[test]
    fn a_number_is_kept_to_a_small_part_of_it_and_none_stays_none() {
        for step in -300_i16..300 {
            for value in [1.1_f32.powi(step.into()), -(1.1_f32.powi(step.into()))] {
                let kept = Three::of(value).get();
                assert!(f64::from(kept - value).abs() <= ROUNDING * f64::from(value.abs()), "{value}: {kept}");
            }
        }
        assert_eq!([0.0, 1.0, -40_001.0].map(|value| Three::of(value).get()), [0.0, 1.0, -40_001.0]);
        assert!(Three::of(f32::NAN).get().is_nan() && Three::NAN.get().is_nan() && Three::of(-f32::NAN).get().is_nan());
        assert!(Three::ZERO.get() == 0.0 && Three::of(f32::NEG_INFINITY).get() == f32::NEG_INFINITY);
    }
}
