//! How unusual the newest value is against the forecast of the minute before.
//!
//! The scale is a heavy-tailed one (lightly clipped residuals, a floor that keeps quiet signals from
//! shrinking it to nothing); the robust scale that the models clip by would cry at every bump. The score is a
//! monotone map of an unbounded ratio, so that a larger surprise always scores higher.

/// Share of a new squared residual in the scale (half-life a day), once there were as many.
const GAIN: f64 = 0.0005;
/// Residuals enter the scale up to this many of it.
const CLIP: f64 = 6.0;
/// Share of the usual height of the signal below which the scale does not fall.
const FLOOR: f64 = 0.01;
/// Surprise, in scales, that scores one half.
const HALF: f64 = 5.0;
/// Residuals before there is a score.
const ENOUGH: u32 = 30;

/// Scale of the one-minute residuals of a signal, and how unusual the newest one was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surprise {
    variance: f64,
    seen: u32,
    newest: Option<f64>,
}

impl Surprise {
    /// Learns the residual of a closed minute; `None` for a gap. `height` is the usual height of the signal.
    pub fn learn(&mut self, residual: Option<f64>, height: f64) {
        self.newest = residual.and_then(|residual| self.score(residual, height));
        let Some(residual) = residual else { return };
        let clipped = self.scale(height).map_or(residual.abs(), |scale| residual.abs().min(CLIP * scale));
        self.seen = self.seen.saturating_add(1);
        self.variance += GAIN.max(1.0 / f64::from(self.seen)) * (clipped * clipped - self.variance);
    }

    /// Returns the score of the newest closed minute.
    pub fn newest(&self) -> Option<f64> {
        self.newest
    }

    /// Returns how unusual `residual` is, 0 to 1; `None` before enough residuals.
    pub fn score(&self, residual: f64, height: f64) -> Option<f64> {
        let surprise = residual.abs() / self.scale(height)?;
        Some(surprise / (surprise + HALF))
    }

    fn scale(&self, height: f64) -> Option<f64> {
        (self.seen >= ENOUGH).then(|| self.variance.sqrt().max(FLOOR * height).max(1e-12))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_surprise_scores_higher_without_end() {
        let mut surprise = Surprise::default();
        assert_eq!(surprise.score(1.0, 100.0), None);
        for minute in 0..100 {
            surprise.learn(Some(if minute % 2 == 0 { 2.0 } else { -2.0 }), 100.0);
        }
        let scores = [0.0, 2.0, 10.0, 100.0, 1e30].map(|residual| surprise.score(residual, 100.0).unwrap());
        assert!(scores.windows(2).all(|pair| pair[0] < pair[1]), "{scores:?}");
        assert!((scores[2] - 0.5).abs() < 1e-9 && scores[4] <= 1.0);
    }

    #[test]
    fn a_signal_that_never_moves_does_not_shrink_the_scale_to_nothing() {
        let mut surprise = Surprise::default();
        for _ in 0..100 {
            surprise.learn(Some(0.0), 100.0);
        }
        assert!(surprise.score(0.5, 100.0).unwrap() < 0.1);
        surprise.learn(None, 100.0);
        assert_eq!(surprise.newest(), None);
    }
}
