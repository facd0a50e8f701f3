//! The step of a series and its season, as its first stamps tell them.

/// Rows that decide the step. No forecast is made from fewer: what comes later changes nothing that was said before.
const DECIDING: usize = 10;

/// Returns the steps of the season that a series of this step is likely to have: a day, where a day has two steps at
/// least, else a week, else a year.
pub fn usual_season(step: i64) -> Option<u32> {
    // Where it is no whole number of steps, the nearest one drifts least.
    let steps = [86_400, 7 * 86_400, 365 * 86_400 + 21_600].map(|season| (season, (season + step / 2) / step));
    let found = steps.into_iter().find(|(season, _)| 2 * step <= *season);
    found.and_then(|(_, steps)| u32::try_from(steps).ok())
}

/// Lengths that steps usually have, seconds.
const USUAL: [i64; 22] = [
    1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200,
    86_400,
];

/// Returns the differences between the first stamps, least first. Rows of one time, and late ones, do not tell.
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

/// Returns the seconds in a step: what most of these differences are, least first, near enough; else the smallest one,
/// since a longer one holds a gap. Those that are not alike are taken for the nearest usual length. `None` without any.
pub fn step(differences: &[i64]) -> Option<i64> {
    let middle = *differences.get(differences.len() / 2)?;
    let alike = || differences.iter().filter(|difference| 4 * (**difference - middle).abs() <= middle);
    // What most have stands in the middle.
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
            // Stamps that are a little off, with a gap, without one, and of no usual length.
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
