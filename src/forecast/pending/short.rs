//! Issued forecasts, in as few bits as scoring needs.
//!
//! Scores are means over hundreds of outcomes, in which the rounding of a single one vanishes. The point stays exact
//! because the sign of the error depends on it, and the ends of the interval are rounded outward because coverage
//! depends on them.

use crate::forecast::lanes::smaller;

/// A combined forecast at one horizon or over one window. NaN: no forecast.
#[derive(Debug, Clone, Copy)]
pub struct One {
    /// As bytes, so that the struct has an alignment of two and no padding.
    point: [u8; 4],
    /// Unit of the residual; negative if a change was predicted.
    width: Half,
    /// Ends of the interval, relative to the point.
    low: Half,
    high: Half,
}

impl One {
    /// No forecast.
    pub const NOTHING: Self =
        Self { point: f32::NAN.to_ne_bytes(), width: Half::NOTHING, low: Half::NOTHING, high: Half::NOTHING };

    /// Stores a forecast; `moving` is whether a change was predicted. Rounding does not narrow the interval: otherwise
    /// the zeros of a resting signal would be below a lower end of zero half of the time.
    pub fn of(point: f32, width: f32, [low, high]: [f32; 2], moving: bool) -> Self {
        Self {
            point: point.to_ne_bytes(),
            width: Half::of(if moving { -width } else { width }),
            low: Half::below(low - point),
            high: Half::above(high - point),
        }
    }

    /// Returns the point.
    pub fn point(&self) -> f32 {
        f32::from_ne_bytes(self.point)
    }

    /// Returns the unit of the residual.
    pub fn width(&self) -> f32 {
        self.width.get().abs()
    }

    /// Returns the lower and the upper end of the interval.
    pub fn ends(&self) -> [f32; 2] {
        [self.low, self.high].map(|end| self.point() + end.get())
    }

    /// Returns whether a change was predicted.
    pub fn moving(&self) -> bool {
        self.width.get().is_sign_negative()
    }
}

/// The upper half of an `f32` (bfloat16): a relative error of at most 1/256, or 1/128 when rounded in one direction.
#[derive(Debug, Clone, Copy)]
struct Half(u16);

impl Half {
    const NOTHING: Self = Self((f32::NAN.to_bits() >> 16) as u16);

    fn of(value: f32) -> Self {
        // To nearest.
        Self((value.to_bits().wrapping_add(0x8000) >> 16) as u16)
    }

    /// Rounds down.
    fn below(value: f32) -> Self {
        let bits = value.to_bits();
        // Truncation rounds towards zero: a negative number is moved away from it first.
        let further = if value.is_sign_negative() { 0xFFFF } else { 0 };
        Self((bits.wrapping_add(further) >> 16) as u16)
    }

    /// Rounds up.
    fn above(value: f32) -> Self {
        Self(Self::below(-value).0 ^ 0x8000)
    }

    fn get(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// Distance of a model's point from the mix, in units of the width: a sign, four bits of exponent and three of
/// mantissa. A relative error of at most 1/16; for distances below [`NEAR`], 1/16 of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apart(u8);

/// Added before the exponent is taken, so that distances around zero are evenly spaced.
const NEAR: f32 = 1.0 / 512.0;
/// Larger distances are clipped at this, about a hundred widths.
const FURTHEST: f32 = f32::from_bits((NEAREST + 126) << LEFT_OUT) - NEAR;
/// Bits of an `f32` that are dropped, and half of the last one kept.
const LEFT_OUT: u32 = 20;
const HALF: u32 = 1 << (LEFT_OUT - 1);
/// The exponent and mantissa of a distance of zero.
const NEAREST: u32 = NEAR.to_bits() >> LEFT_OUT;
/// Position of the sign in the byte, and how many bits higher it is in an `f32`.
const SIGN: u32 = 1 << 7;
const ABOVE: u32 = 24;

impl Apart {
    /// The model had no forecast: a pattern that encodes no distance.
    pub const MISSING: Self = Self(u8::MAX);

    /// Returns the encoding of a distance; NaN is no forecast. Branch-free and in a number as wide as the distance, so
    /// that several are encoded at once.
    #[inline]
    pub fn code(apart: f32) -> u32 {
        let power = ((smaller(apart.abs(), FURTHEST) + NEAR).to_bits() + HALF) >> LEFT_OUT;
        let kept = (power - NEAREST) | ((apart.to_bits() >> ABOVE) & SIGN);
        if apart.is_nan() { u8::MAX.into() } else { kept }
    }

    /// Stores the encoding.
    #[inline]
    pub fn of(code: u32) -> Self {
        Self(code as u8)
    }

    /// Returns the distance, NaN for none.
    #[inline]
    pub fn get(self) -> f32 {
        DISTANCES[usize::from(self.0)]
    }

    const fn decode(self) -> f32 {
        let kept = self.0 as u32;
        let apart = f32::from_bits(((kept & !SIGN) + NEAREST) << LEFT_OUT) - NEAR;
        let signed = f32::from_bits(apart.to_bits() | ((kept & SIGN) << ABOVE));
        if self.0 == Self::MISSING.0 { f32::NAN } else { signed }
    }

    /// Returns the point that is this many widths from that of the combination.
    #[inline]
    pub fn point(self, mixed: f32, width: f32) -> f32 {
        mixed + width * self.get()
    }
}

/// The distance of each code: reading one is a third of the work of decoding it, lanes or not.
static DISTANCES: [f32; 256] = {
    let (mut distances, mut code) = ([0.0; 256], 0);
    while code < 256 {
        distances[code] = Apart(code as u8).decode();
        code += 1;
    }
    distances
};

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(apart: f32) -> f32 {
        Apart::of(Apart::code(apart)).get()
    }

    #[test]
    fn a_distance_is_kept_to_a_sixteenth_and_what_is_none_stays_none() {
        assert!(kept(f32::NAN).is_nan() && Apart::MISSING.get().is_nan());
        assert_eq!([0.0, -0.0, -1e-9].map(kept), [0.0; 3]);
        for step in -80_i16..46 {
            let apart = 1.1_f32.powi(i32::from(step));
            for signed in [apart, -apart] {
                let got = kept(signed);
                assert!((got - signed).abs() <= (apart + NEAR) / 16.0, "{signed}: {got}");
            }
        }
        for far in [1e3, f32::MAX, f32::INFINITY] {
            let got = [far, -far].map(kept);
            assert!(got[0] > 100.0 && (got[0] + got[1]).abs() < f32::EPSILON, "{got:?}");
        }
    }

    #[test]
    fn the_point_is_kept_as_it_was_said_and_the_ends_nearly() {
        let one = One::of(1000.3, 7.7, [990.1, 1020.9], true);
        assert!(one.point().to_bits() == 1000.3_f32.to_bits() && one.moving());
        let ([low, high], width) = (one.ends(), one.width());
        for (kept, said, from) in [(low, 990.1, 10.2), (high, 1020.9, 20.6), (width, 7.7, 7.7)] {
            assert!((kept - said).abs() <= from / 128.0, "{kept} and not {said}");
        }
        for (point, ends) in [(1.7e-6, [0.0, 2.9e-6]), (-3.3, [-3.4, -3.31]), (7.0, [7.1, 8.3])] {
            let kept = One::of(point, 1.0, ends, false).ends();
            assert!(kept[0] <= ends[0] && kept[1] >= ends[1], "{kept:?} of {ends:?}");
        }
        let still = One::of(5.0, 0.1, [5.0; 2], false);
        assert!(still.ends().iter().all(|end| (end - 5.0).abs() < f32::EPSILON) && !still.moving());
        let nothing = One::NOTHING;
        assert!(nothing.point().is_nan() && nothing.width().is_nan() && !nothing.moving());
        assert!(nothing.ends().iter().all(|end| end.is_nan()));
    }
}
