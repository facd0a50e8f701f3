//! Forecasts between the loop's horizons, for series with steps longer than its minutes.

use std::array::from_fn;

use super::Series;
use crate::model::outlook::{HorizonPoint, SignalOutlook};

/// Steps of up to this many seconds use the line: noise is as large as the bend between two horizons.
const LINE_SECONDS: u32 = 300;
/// Seasons per week.
const WEEK: usize = 7;

/// Returns `outlook` with points at these horizons too: between two of the loop's, thirty minutes are a line, but ten
/// hours are half a day. The line is bent as the signal was between the two a season ago and a week ago, if both agree,
/// by the smaller of the two: noise seldom agrees. `None` if there is nothing to add: with short steps the line is as
/// good.
pub fn between(series: &Series, outlook: &SignalOutlook, horizons: &[u16]) -> Option<SignalOutlook> {
    let is_known = |horizon: u16| outlook.points.iter().any(|point| point.minutes == horizon);
    if series.step_seconds <= LINE_SECONDS || horizons.iter().all(|horizon| is_known(*horizon)) {
        return None;
    }
    let origin = usize::try_from(outlook.origin.0.checked_sub(series.first.0)?).ok()?;
    let season = series.season.max(1) as usize;
    // The value this many seasons earlier, known at the origin.
    let ago = |seasons: usize, horizon: u16| {
        let (due, lag) = (origin + usize::from(horizon), seasons * season);
        series.get(due.checked_sub(lag)?).filter(|_| due <= origin + lag)
    };
    let mut all = outlook.clone();
    for horizon in horizons {
        let at = all.points.partition_point(|point| point.minutes < *horizon);
        let Some((left, right)) = at.checked_sub(1).and_then(|left| all.points.get(left).zip(all.points.get(at)))
        else {
            continue;
        };
        if right.minutes == *horizon {
            continue;
        }
        let (from, to) = (f64::from(left.minutes), f64::from(right.minutes));
        let on = (f64::from(*horizon) - from) / (to - from);
        let line = |left: f64, right: f64| left * (1.0 - on) + right * on;
        let bend = |seasons: usize| {
            let ([left, right], here) = ([left, right].map(|at| ago(seasons, at.minutes)), ago(seasons, *horizon));
            Some(here? - line(left?, right?))
        };
        let days = usize::from(right.minutes).div_ceil(season).max(1);
        let bent = match (bend(days), bend(WEEK * days.div_ceil(WEEK))) {
            (Some(day), Some(week)) if day * week > 0.0 => day.abs().min(week.abs()).copysign(day),
            _ => 0.0,
        };
        let least = series.range.0.min(left.quantiles[0]).min(right.quantiles[0]);
        let value = |left: f64, right: f64| (line(left, right) + bent).max(least);
        let point = HorizonPoint {
            minutes: *horizon,
            point: value(left.point, right.point),
            quantiles: from_fn(|level| value(left.quantiles[level], right.quantiles[level])),
        };
        all.points.insert(at, point);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::evaluate::{Forecast, Online};
    use crate::forecast::tests::Noise;
    use crate::forecast::zone::Zone;
    use crate::model::Minute;

    #[test]
    fn hours_between_two_horizons_follow_the_day() {
        let mut noise = Noise::new(51);
        let of_day = |hour: i64| 100.0 - 60.0 * (std::f64::consts::TAU * (hour % 24) as f64 / 24.0).cos();
        let values: Vec<_> = (0..28 * 24).map(|hour| Some(of_day(hour) * (1.0 + 0.02 * noise.normal()))).collect();
        let first = Minute(500_000);
        let series = Series { first, values, season: 24, step_seconds: 3600, zone: Zone::UTC, range: (0.0, 1e9) };
        let horizons = [7, 13, 25];
        let mut online = Online::new(&series).unwrap();
        let (mut line, mut bent, mut inside, mut count) = (0.0, 0.0, 0, 0);
        for (origin, value) in series.values.iter().enumerate() {
            let outlook = online.step(series.step(origin), *value).cloned().unwrap();
            if origin < 14 * 24 || origin + 25 >= series.values.len() {
                continue;
            }
            let whole = between(&series, &outlook, &horizons).unwrap();
            assert!(whole.points.iter().filter(|point| outlook.points.contains(point)).count() == 8);
            for (at, ahead) in horizons.iter().enumerate() {
                let actual = series.get(origin + usize::from(*ahead)).unwrap();
                let said =
                    |outlook: &SignalOutlook| Forecast::of(outlook, &horizons).unwrap().points[at].map(f64::from);
                let ([straight, ..], [point, low, high]) = (said(&outlook), said(&whole));
                line += (straight - actual).abs();
                bent += (point - actual).abs();
                inside += usize::from((low..=high).contains(&actual));
                count += 1;
            }
        }
        assert!(bent < 0.4 * line, "{bent}, and {line} along straight lines");
        assert!(inside * 100 > count * 85, "{inside} of {count} inside");
        let minutes = Series { step_seconds: 60, ..series };
        let outlook = online.step(minutes.step(28 * 24), Some(100.0)).unwrap();
        assert!(between(&minutes, outlook, &horizons).is_none(), "the loop goes by straight lines");
    }
}
