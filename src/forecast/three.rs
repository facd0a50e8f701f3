//! `f32` without its last eight bits: three bytes each, with a relative error of at most 1/65536.

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

#[cfg(test)]
mod tests {
    use super::*;

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
