//! The step and the season of a series, derived from its first timestamps.

/// Rows that determine the step. No forecast is made from fewer: later rows do not change earlier forecasts.
const DECIDING: usize = 10;

/// Returns the likely season of a series with this step, in steps: a day if it has at least two steps, else a week,
/// else a year.
pub fn usual_season(step: i64) -> Option<u32> {
    // If it is not a whole number of steps, the nearest one drifts least.
    let steps = [86_400, 7 * 86_400, 365 * 86_400 + 21_600].map(|season| (season, (season + step / 2) / step));
    let found = steps.into_iter().find(|(season, _)| 2 * step <= *season);
    found.and_then(|(_, steps)| u32::try_from(steps).ok())
}

/// Common step lengths, seconds.
const USUAL: [i64; 22] = [
    1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200,
    86_400,
];

/// Returns the differences between the first timestamps, in rising order. Rows of equal time, and late ones, do not
/// count.
pub fn differences(stamps: impl Iterator<Item = i64>) -> Vec<i64> {
    let (mut newest, mut differences) = (None, Vec::new());
    for at in stamps {
        let difference = newest.map_or(0, |newest| at - newest);
        newest = newest.max(Some(at));
        if difference > 0 {
            differences.push(difference);
        }
        if differences.len() == DECIDING - 1 {
            break;
        }
    }
    differences.sort_unstable();
    differences
}

/// Returns the seconds per step, from differences in rising order: the value that most of them share approximately;
/// else the smallest, since a longer one contains a gap. Unequal ones are taken for the nearest common length. `None`
/// without any.
pub fn step(differences: &[i64]) -> Option<i64> {
    let middle = *differences.get(differences.len() / 2)?;
    let alike = || differences.iter().filter(|difference| 4 * (**difference - middle).abs() <= middle);
    // A majority value is in the middle.
    let most = 2 * alike().count() > differences.len();
    let likely = if most { middle } else { *differences.first()? };
    let regular = if most {
        alike().all(|difference| *difference == middle)
    } else {
        differences.iter().all(|difference| difference % likely == 0)
    };
    let near = USUAL.into_iter().min_by_key(|usual| (usual - likely).abs());
    let near = near.filter(|usual| !regular && 10 * (usual - likely).abs() <= likely);
    Some(near.unwrap_or(likely))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_what_most_of_the_first_rows_have_and_none_of_the_later_ones() {
        let step = |apart: &[i64]| {
            let mut at = 0;
            let stamps = apart.iter().map(|difference| {
                at += difference;
                at
            });
            step(&differences([0].into_iter().chain(stamps)))
        };
        for (differences, expected) in [
            (&[][..], None),
            (&[0, 0], None),
            (&[300, 900], Some(300)),
            (&[840, 600, 600, 1200, 600], Some(600)),
            (&[600, 1500, 600, 900, 300, 1500], Some(300)),
            (&[900, 60, 60, 60, 60, 60, 0, -60, 120, 60, 60], Some(60)),
            (&[60, 60, 60, 60, 60, 60, 60, 60, 60, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5], Some(60)),
            // Timestamps that are slightly off, with a gap, without one, and of no common length.
            (&[301, 299, 298, 602, 300, 301, 299], Some(300)),
            (&[320, 262, 311, 285, 333, 301, 270, 318, 296], Some(300)),
            (&[298, 601], Some(300)),
            (&[420, 420, 420], Some(420)),
            (&[419, 422, 420], Some(420)),
        ] {
            assert_eq!(step(differences), expected, "{differences:?}");
        }
    }
}
