//! Clocks: the system clock, and one that runs faster and can be held (the demo). Both follow tokio's time, so tests
//! can pause it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::{Now, Timestamp};
use crate::ports::Clock;

/// Highest speed: one day per second.
const SPEED_LIMIT: f64 = 86_400.0;

/// The system clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Returns a clock whose monotonic time starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), mono: self.start.elapsed() }
    }

    fn sleep_until(&self, mono: Duration) -> BoxFuture<'static, ()> {
        let until = self.start.checked_add(mono);
        Box::pin(async move {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                // More than the machine can represent.
                None => std::future::pending().await,
            }
        })
    }
}

/// A speed that a clock cannot have.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("speed {0} of the clock, expected a number above 0 and at most {SPEED_LIMIT}")]
pub struct SpeedError(f64);

/// A clock that runs `speed` times as fast as tokio's, starts at a given wall-clock time, and can be held.
///
/// Time is always computed from the last hold or release, never step by step, so it does not drift. A clone is the same
/// clock.
#[derive(Debug, Clone)]
pub struct ScaledClock {
    origin: Timestamp,
    speed: f64,
    pace: Arc<watch::Sender<Pace>>,
}

/// Since when the clock runs or is held, and what it showed at that moment.
#[derive(Debug, Clone, Copy)]
struct Pace {
    since: Instant,
    shown: Duration,
    held: bool,
}

impl ScaledClock {
    /// Returns a running clock that shows `origin` now. With speed 1 it is the clock of tests in paused time.
    ///
    /// # Errors
    /// When `speed` is not a number above 0 and at most 86,400.
    pub fn start(origin: Timestamp, speed: f64) -> Result<Self, SpeedError> {
        if !(speed > 0.0 && speed <= SPEED_LIMIT) {
            return Err(SpeedError(speed));
        }
        let pace = Pace { since: Instant::now(), shown: Duration::ZERO, held: false };
        Ok(Self { origin, speed, pace: Arc::new(watch::Sender::new(pace)) })
    }

    /// Stops the clock. No-op if it is already stopped.
    pub fn hold(&self) {
        self.set_held(true);
    }

    /// Resumes the clock from where it stopped. No-op if it runs.
    pub fn release(&self) {
        self.set_held(false);
    }

    fn set_held(&self, held: bool) {
        let now = Instant::now();
        self.pace.send_if_modified(|pace| {
            let changes = pace.held != held;
            if changes {
                *pace = Pace { since: now, shown: self.shown(*pace, now), held };
            }
            changes
        });
    }

    fn shown(&self, pace: Pace, now: Instant) -> Duration {
        if pace.held {
            return pace.shown;
        }
        let passed = scale(now.saturating_duration_since(pace.since), self.speed);
        pace.shown.saturating_add(passed)
    }

    /// Waits until the clock shows `mono`, across any number of holds.
    async fn wait_for(self, mono: Duration) {
        let mut paces = self.pace.subscribe();
        loop {
            let pace = *paces.borrow_and_update();
            let missing = mono.saturating_sub(self.shown(pace, Instant::now()));
            if missing.is_zero() {
                return;
            }
            let wait = if pace.held { Duration::MAX } else { scale(missing, 1.0 / self.speed) };
            // Rounded up: a timer that fires too early would be set again and again.
            let wait = wait.saturating_add(Duration::from_nanos(1));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // The sender is part of `self`, so it cannot be dropped.
                _ = paces.changed() => {}
            }
        }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Now {
        let mono = self.shown(*self.pace.borrow(), Instant::now());
        Now { wall: self.origin.checked_add(mono).unwrap_or(Timestamp::MAX), mono }
    }

    fn sleep_until(&self, mono: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.clone().wait_for(mono))
    }
}

/// Returns `span` times `factor`, saturating.
fn scale(span: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(span.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock(speed: f64) -> ScaledClock {
        ScaledClock::start(Timestamp::UNIX_EPOCH, speed).unwrap()
    }

    #[test]
    fn an_impossible_speed_is_refused() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert!(ScaledClock::start(Timestamp::UNIX_EPOCH, speed).is_err(), "{speed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_sleeps_to_the_moment() {
        let clock = SystemClock::start();
        clock.sleep_until(SECOND * 5).await;
        assert_eq!(clock.now().mono, SECOND * 5);
        assert!(crate::model::time::elapsed(Timestamp::now(), clock.now().wall) < SECOND);
        assert!(tokio::time::timeout(SECOND, clock.sleep_until(Duration::MAX)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_scaled_clock_shows_origin_plus_scaled_time() {
        let clock = clock(60.0);
        tokio::time::sleep(SECOND * 10).await;
        let now = clock.now();
        assert_eq!((now.mono, now.wall.as_second()), (SECOND * 600, 600));
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_ticks_do_not_drift() {
        let clock = clock(60.0);
        let start = Instant::now();
        for tick in 1..=10_000 {
            clock.sleep_until(SECOND * 15 * tick).await;
        }
        let late = clock.now().mono.saturating_sub(SECOND * 150_000);
        assert!(late <= Duration::from_millis(120), "{late:?} late: more than two ticks of tokio's timer");
        let expected = SECOND * 2_500;
        assert!((expected..=expected + Duration::from_millis(2)).contains(&start.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_clock_stands_and_its_sleepers_with_it() {
        let clock = clock(10.0);
        let sleeper = tokio::spawn(clock.sleep_until(SECOND * 100));
        tokio::time::sleep(SECOND * 4).await;
        clock.hold();
        clock.hold();
        tokio::time::sleep(SECOND * 1000).await;
        assert_eq!(clock.now().mono, SECOND * 40);
        assert!(!sleeper.is_finished());
        clock.release();
        clock.release();
        let released = Instant::now();
        sleeper.await.unwrap();
        let expected = SECOND * 6;
        assert!((expected..=expected + Duration::from_millis(2)).contains(&released.elapsed()));
        assert!(clock.now().mono >= SECOND * 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_has_passed_needs_no_sleep_even_while_held() {
        let clock = clock(1.0);
        tokio::time::sleep(SECOND * 2).await;
        clock.hold();
        clock.sleep_until(SECOND).await;
        assert_eq!(clock.now().mono, SECOND * 2);
    }
}
