//! The stabilisation window: the largest need of the last minutes, and whether they were observed without a gap.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Now;

/// Largest need over a sliding time, on the monotonic clock. That clock stops while the machine sleeps, so a gap on
/// either clock counts. Only values that can still become the largest are kept, so the size depends on the shape of the
/// load and not on the length of the tick.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Start of the time without a gap.
    since: Option<Duration>,
    /// When the last need was added.
    last: Option<Now>,
    /// Times and needs: times ascending, needs descending.
    peaks: VecDeque<(Duration, u32)>,
}

impl Window {
    /// Adds the need of this cycle. A silence longer than `gap` restarts the window.
    pub fn push(&mut self, now: Now, need: u32, span: Duration, gap: Duration) {
        if self.last.is_some_and(|last| now.since_reading(last) > gap) {
            self.reset();
        }
        self.last = Some(now);
        let now = now.mono;
        self.since.get_or_insert(now);
        while self.peaks.back().is_some_and(|(_, smaller)| *smaller <= need) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((now, need));
        while self.peaks.front().is_some_and(|(at, _)| now.saturating_sub(*at) > span) {
            self.peaks.pop_front();
        }
    }

    /// Clears the window: flyball cannot vouch for what it missed.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns how long the need has been observed without a gap.
    pub fn seen(&self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Returns the largest need of the window; `None` when it is empty.
    pub fn peak(&self) -> Option<u32> {
        self.peaks.front().map(|(_, need)| *need)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_mins(5);
    const GAP: Duration = Duration::from_mins(1);

    fn at_second(second: u64) -> Now {
        Now { wall: crate::model::Timestamp::UNIX_EPOCH, mono: Duration::ZERO }.plus(Duration::from_secs(second))
    }

    fn window(needs: &[(u64, u32)]) -> Window {
        let mut window = Window::default();
        for (at, need) in needs {
            window.push(at_second(*at), *need, SPAN, GAP);
        }
        window
    }

    #[test]
    fn the_peak_leaves_after_the_span_and_not_before() {
        let steps: Vec<(u64, u32)> = (0..=10).map(|step| (step * 30, if step == 0 { 9 } else { 4 })).collect();
        assert_eq!(window(&steps).peak(), Some(9));
        let later: Vec<(u64, u32)> = steps.into_iter().chain([(301, 4)]).collect();
        assert_eq!(window(&later).peak(), Some(4));
        assert_eq!(window(&later).seen(Duration::from_secs(301)), Duration::from_secs(301));
    }

    #[test]
    fn a_gap_starts_it_anew() {
        let window = window(&[(0, 9), (60, 4), (121, 3)]);
        assert_eq!(window.seen(Duration::from_secs(121)), Duration::ZERO);
        assert_eq!(window.peak(), Some(3));
    }

    #[test]
    fn a_machine_that_slept_is_a_gap_and_a_clock_set_back_is_none() {
        for (wall, seen) in [(8 * 3600, 0), (61, 0), (60, 315), (0, 315), (-3600, 315)] {
            let mut window = window(&[(0, 4), (60, 4), (120, 4), (180, 4), (240, 4), (300, 4)]);
            let woke = Now { mono: Duration::from_secs(315), ..at_second(300) };
            let wall = woke.wall.checked_add(jiff::SignedDuration::from_secs(wall)).unwrap();
            window.push(Now { wall, ..woke }, 3, SPAN, GAP);
            assert_eq!(window.seen(woke.mono), Duration::from_secs(seen), "{wall}");
        }
    }
}
