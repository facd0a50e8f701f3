//! Arithmetic on parallel lanes: one per horizon, or per window.
//!
//! A branch-free closure over the lanes is vectorized: no lane waits for another, and a choice computes both sides and
//! selects one.

/// Applies `f` to the lanes of two arrays.
#[inline]
pub fn zip<A: Copy, B: Copy, R: Copy + Default, const N: usize>(
    one: &[A; N],
    other: &[B; N],
    f: impl Fn(A, B) -> R,
) -> [R; N] {
    let mut lanes = [R::default(); N];
    for (lane, (one, other)) in lanes.iter_mut().zip(one.iter().zip(other)) {
        *lane = f(*one, *other);
    }
    lanes
}

/// Applies `f` to the lanes of three arrays.
#[inline]
pub fn zip3<A: Copy, B: Copy, C: Copy, R: Copy + Default, const N: usize>(
    one: &[A; N],
    other: &[B; N],
    third: &[C; N],
    f: impl Fn(A, B, C) -> R,
) -> [R; N] {
    let mut lanes = [R::default(); N];
    for (lane, (one, (other, third))) in lanes.iter_mut().zip(one.iter().zip(other.iter().zip(third))) {
        *lane = f(*one, *other, *third);
    }
    lanes
}

/// Returns the larger of two numbers, the second if either is NaN: a single instruction, unlike `f32::max`.
#[inline]
pub fn larger<T: PartialOrd>(one: T, other: T) -> T {
    if one > other { one } else { other }
}

/// Returns the smaller of two numbers, the second if either is NaN.
#[inline]
pub fn smaller<T: PartialOrd>(one: T, other: T) -> T {
    if one < other { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_meet_their_own_and_what_is_none_passes_or_not_by_its_place() {
        assert_eq!(zip(&[1, 2], &[10, 20], |one, other| one + other), [11, 22]);
        assert_eq!(zip3(&[true, false], &[1, 2], &[3, 4], |pick, one, other| if pick { one } else { other }), [1, 4]);
        assert_eq!(
            (larger(1.0, 2.0), larger(f32::NAN, 2.0), smaller(1.0, 2.0), smaller(f32::NAN, 2.0)),
            (2.0, 2.0, 1.0, 2.0)
        );
        assert!(larger(2.0, f32::NAN).is_nan() && smaller(2.0, f32::NAN).is_nan());
    }
}
