//! How far the plant may run ahead of the loop: not at all before the loop has read the history, then a little.

use std::time::Duration;

use crate::demo::view::model::Halt;
use crate::model::Timestamp;
use crate::model::time::elapsed;

/// Real time after which the plant starts even if the loop is not ready: by then it has something to report.
const PATIENCE: Duration = Duration::from_secs(60);

/// The state of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopStand {
    /// It can decide, or reports why it never will.
    pub ready: bool,
    /// Plant time of its last decision.
    pub decided: Option<Timestamp>,
}

/// Holds the plant back.
#[derive(Debug)]
pub struct Leash {
    begun: Timestamp,
    slack: Duration,
    started: bool,
}

impl Leash {
    /// Returns a leash for a plant whose current time is `begun`; a decision may be two of the loop's ticks old. With
    /// ticks on time it is at most one tick old.
    pub fn new(begun: Timestamp, tick: Duration) -> Self {
        Self { begun, slack: tick.saturating_mul(2), started: false }
    }

    /// Returns why the plant has to halt at plant time `now`, `waited` of real time after the start.
    pub fn check(&mut self, stand: LoopStand, now: Timestamp, waited: Duration) -> Option<Halt> {
        self.started |= stand.ready || waited >= PATIENCE;
        if !self.started {
            return Some(Halt::Starting);
        }
        // Before its first decision a loop can be late only with the tick of the start.
        let newest = stand.decided.unwrap_or(self.begun);
        (elapsed(now, newest) > self.slack).then_some(Halt::Behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::clock::ScaledClock;
    use crate::ports::Clock;

    const TICK: Duration = Duration::from_secs(15);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_plant_waits_for_the_start_and_for_a_loop_that_is_behind() {
        let mut leash = Leash::new(at(0), TICK);
        let cases = [
            (false, None, 0, 0, Some(Halt::Starting)),
            (false, Some(0), 0, 59, Some(Halt::Starting)),
            (true, Some(0), 0, 59, None),
            // Once started it never waits for that again.
            (false, Some(0), 30, 61, None),
            (true, Some(0), 31, 61, Some(Halt::Behind)),
            (true, Some(15), 31, 61, None),
            (true, None, 31, 61, Some(Halt::Behind)),
        ];
        for (ready, decided, now, waited, expected) in cases {
            let stand = LoopStand { ready, decided: decided.map(at) };
            let found = leash.check(stand, at(now), Duration::from_secs(waited));
            assert_eq!(found, expected, "{ready} {decided:?} {now} {waited}");
        }
    }

    #[test]
    fn a_loop_that_never_gets_ready_is_not_waited_for_for_ever() {
        let mut leash = Leash::new(at(0), TICK);
        assert_eq!(leash.check(LoopStand { ready: false, decided: Some(at(0)) }, at(0), PATIENCE), None);
    }

    /// A loop that needs two real seconds for each decision, under a clock at 60 times real time: the plant never gets
    /// further ahead than the leash and one step, and continues each time the loop has caught up.
    #[tokio::test(start_paused = true)]
    async fn the_plant_stands_still_until_a_slow_loop_has_caught_up() {
        const STEP: Duration = Duration::from_millis(10);
        let clock = ScaledClock::start(at(0), 60.0).unwrap();
        let mut leash = Leash::new(at(0), TICK);
        let mut decided = at(0);
        let mut halts = 0;
        for step in 1..=1000 {
            tokio::time::sleep(STEP).await;
            if step % 200 == 0 {
                decided = clock.now().wall;
            }
            let now = clock.now().wall;
            match leash.check(LoopStand { ready: true, decided: Some(decided) }, now, Duration::ZERO) {
                Some(_) => clock.hold(),
                None => clock.run_to(Duration::MAX),
            }
            halts += usize::from(leash.check(LoopStand { ready: true, decided: Some(decided) }, now, STEP).is_some());
            let ahead = elapsed(now, decided);
            assert!(ahead <= TICK * 2 + Duration::from_secs(1), "{ahead:?} ahead");
        }
        assert!((600..800).contains(&halts), "halted in {halts} of 1000 steps");
        let moved = clock.now().mono.as_secs();
        assert!((150..=160).contains(&moved), "five decisions let the plant run for {moved} s");
    }
}
