//! The minute grid of one signal: aligned to the wall clock, each minute closed once, gaps explicit.

use std::time::Duration;

use crate::model::{Finite, Minute, MinuteValue, Now, Sample};

use super::before;
use super::window::Window;

/// Most gaps in one result; after a longer silence the grid jumps to the present.
const MAX_GAPS: u8 = 60;

/// The position in the grid.
#[derive(Debug, Clone, Default)]
pub(super) struct Minutes {
    /// The running minute; `None` before the first fresh sample.
    running: Option<Minute>,
}

impl Minutes {
    /// Closes the minutes that have ended, oldest first. `grace` is the age at which a sample no longer counts as
    /// fresh: once it has passed since the end of a minute, that minute closes without a later sample.
    pub(super) fn close(&mut self, window: &Window, grace: Duration, now: Now) -> Vec<MinuteValue> {
        let mut closed = Vec::new();
        let oldest_open = Minute::of(before(now.wall, grace));
        let newest = window.newest().map(|sample| Minute::of(sample.at));
        let put_back = |running: &Minute| *running > Minute::of(now.wall).plus(MAX_GAPS.into());
        if self.running.as_ref().is_some_and(put_back) {
            self.running = None;
        }
        let Some(mut minute) = self.running.or(newest.filter(|newest| *newest >= oldest_open)) else {
            return closed;
        };
        let end = newest.unwrap_or(oldest_open).max(oldest_open);
        let mut gaps: u8 = 0;
        while minute < end {
            let value = mean_of(window, minute);
            if value.is_none() && gaps == MAX_GAPS {
                minute = next_filled(window, minute).unwrap_or(end).min(end);
                continue;
            }
            gaps += u8::from(value.is_none());
            closed.push(MinuteValue { minute, value });
            minute = minute.plus(1);
        }
        self.running = Some(minute);
        closed
    }

    /// Returns the running minute, from the samples so far.
    pub(super) fn provisional(&self, window: &Window) -> Option<MinuteValue> {
        let minute = self.running?;
        mean_of(window, minute).map(|value| MinuteValue { minute, value: Some(value) })
    }
}

fn mean_of(window: &Window, minute: Minute) -> Option<Finite> {
    mean(window.accepted().filter(|sample| Minute::of(sample.at) == minute))
}

fn next_filled(window: &Window, after: Minute) -> Option<Minute> {
    window.accepted().map(|sample| Minute::of(sample.at)).find(|minute| *minute > after)
}

/// Returns the mean of the values; `None` if there are none.
pub(super) fn mean(samples: impl Iterator<Item = Sample>) -> Option<Finite> {
    let (sum, count) =
        samples.fold((0.0, 0_u32), |(sum, count), sample| (sum + sample.value.get(), count.saturating_add(1)));
    (count > 0).then(|| Finite::new(sum / f64::from(count))).flatten()
}
