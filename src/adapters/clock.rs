//! Clocks: the system clock, and one that runs faster and waits where it is told to (the demo). Both follow tokio's
//! time, so tests can pause it.

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

/// A clock that runs `speed` times as fast as tokio's, starts at a given wall-clock time, and stands still at a limit.
///
/// Time is always computed from when the clock last began to run, never step by step, so it does not drift. A clone is
/// the same clock.
#[derive(Debug, Clone)]
pub struct ScaledClock {
    origin: Timestamp,
    speed: f64,
    pace: Arc<watch::Sender<Pace>>,
}

/// Since when the clock runs, what it showed at that moment, and where it stands still.
#[derive(Debug, Clone, Copy)]
struct Pace {
    since: Instant,
    shown: Duration,
    limit: Duration,
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
        let pace = Pace { since: Instant::now(), shown: Duration::ZERO, limit: Duration::MAX };
        Ok(Self { origin, speed, pace: Arc::new(watch::Sender::new(pace)) })
    }

    /// Stops the clock. No-op if it is already stopped.
    pub fn hold(&self) {
        self.run_to(Duration::ZERO);
    }

    /// Lets the clock run until it shows `limit`, where it stands still; it is never set back. A clock that stood
    /// continues from there.
    pub fn run_to(&self, limit: Duration) {
        let now = Instant::now();
        self.pace.send_if_modified(|pace| {
            let shown = self.shown(*pace, now);
            let (stood, limit) = (shown == pace.limit, limit.max(shown));
            let resumes = stood && limit > shown;
            *pace = if resumes { Pace { since: now, shown, limit } } else { Pace { limit, ..*pace } };
            // Sleepers of a running clock need not know its limit: they look at the clock when they wake.
            resumes
        });
    }

    fn shown(&self, pace: Pace, now: Instant) -> Duration {
        let passed = scale(now.saturating_duration_since(pace.since), self.speed);
        pace.shown.saturating_add(passed).min(pace.limit)
    }

    /// Waits until the clock shows `mono`, however often it stands still.
    async fn wait_for(self, mono: Duration) {
        let mut paces = self.pace.subscribe();
        loop {
            let pace = *paces.borrow_and_update();
            let shown = self.shown(pace, Instant::now());
            let missing = mono.saturating_sub(shown);
            if missing.is_zero() {
                return;
            }
            let stands = shown == pace.limit;
            let wait = if stands { Duration::MAX } else { scale(missing, 1.0 / self.speed) };
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
        clock.run_to(Duration::MAX);
        clock.run_to(Duration::MAX);
        let released = Instant::now();
        sleeper.await.unwrap();
        let expected = SECOND * 6;
        assert!((expected..=expected + Duration::from_millis(2)).contains(&released.elapsed()));
        assert!(clock.now().mono >= SECOND * 100);
    }

    /// As under a plant that is late: the clock waits for it, and then neither jumps nor lets a sleeper oversleep.
    #[tokio::test(start_paused = true)]
    async fn a_clock_stands_at_its_limit_and_continues_from_there() {
        let clock = clock(10.0);
        clock.run_to(SECOND * 30);
        let sleeper = tokio::spawn(clock.sleep_until(SECOND * 60));
        tokio::time::sleep(SECOND * 1000).await;
        assert_eq!(clock.now().mono, SECOND * 30);
        clock.run_to(SECOND * 20);
        assert_eq!(clock.now().mono, SECOND * 30, "set back");
        clock.run_to(SECOND * 70);
        tokio::time::sleep(SECOND * 2).await;
        assert_eq!(clock.now().mono, SECOND * 50);
        assert!(!sleeper.is_finished());
        tokio::time::sleep(SECOND * 1 + Duration::from_millis(2)).await;
        assert!(sleeper.is_finished());
        tokio::time::sleep(SECOND * 1000).await;
        assert_eq!(clock.now().mono, SECOND * 70);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_moved_in_time_changes_nothing() {
        let clock = clock(7.0);
        for step in 1..=1000_u32 {
            clock.run_to(clock.now().mono + SECOND * 10);
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(clock.now().mono, Duration::from_millis(70) * step);
        }
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
