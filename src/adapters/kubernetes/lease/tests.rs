//! Candidates around one Lease, in simulated time: tables and random histories.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::candidate::{Candidate, Claim, Record, Step};
use crate::adapters::kubernetes::settings::Timing;
use crate::model::{Epoch, Lead, Now, Timestamp, WRITE_MARGIN};

/// The Lease as the server has it: every write is conditional on the version seen.
#[derive(Debug, Default)]
struct Store {
    version: u64,
    lease: Option<Record>,
}

impl Store {
    fn write(&mut self, claim: &Claim, holder: Option<&str>) -> Option<String> {
        if claim.version != self.lease.as_ref().map(|lease| lease.version.clone()) {
            return None;
        }
        self.version += 1;
        let version = self.version.to_string();
        let duration = if holder.is_some() { Timing::default().duration } else { Duration::from_secs(1) };
        let record = Record { holder: holder.map(str::to_owned), epoch: claim.epoch, duration, version };
        self.lease = Some(record);
        Some(self.version.to_string())
    }

    fn delete(&mut self) {
        self.version += 1;
        self.lease = None;
    }
}

/// A process: a candidate, its own clock, and its current state.
struct Process {
    candidate: Candidate,
    /// Added to the wall clock.
    skew: i64,
    /// Neither sees nor sends anything; keeps its memory.
    paused: bool,
    /// Requests fail, and nothing new is seen.
    cut: bool,
}

struct World {
    at: Duration,
    store: Store,
    processes: Vec<Process>,
}

const STEP: Duration = Duration::from_millis(100);

impl World {
    fn new(count: usize) -> Self {
        let process = |number: usize| Process {
            candidate: Candidate::new(format!("flyball-{number}"), Timing::default(), STEP * number as u32),
            skew: number as i64 * 3_600,
            paused: false,
            cut: false,
        };
        Self { at: Duration::from_secs(1_000), store: Store::default(), processes: (0..count).map(process).collect() }
    }

    fn now(&self, process: usize) -> Now {
        let wall = 1_790_000_000_000 + self.at.as_millis() as i64 + self.processes[process].skew * 1_000;
        Now { wall: Timestamp::from_millisecond(wall).unwrap(), mono: self.at + Duration::from_secs(process as u64) }
    }

    fn lead(&self, process: usize) -> Lead {
        self.processes[process].candidate.lead(self.now(process))
    }

    /// Returns which processes may start a write now, and in which epoch.
    fn writers(&self) -> Vec<(usize, Epoch)> {
        let may = |process: usize| match self.lead(process) {
            Lead::Holds { epoch, left } if left >= WRITE_MARGIN => Some((process, epoch)),
            _ => None,
        };
        (0..self.processes.len()).filter_map(may).collect()
    }

    fn step(&mut self) {
        self.at += STEP;
        for number in 0..self.processes.len() {
            let now = self.now(number);
            let World { store, processes, .. } = self;
            let process = &mut processes[number];
            if process.paused {
                continue;
            }
            if !process.cut {
                process.candidate.saw(store.lease.clone(), store.version, now);
            }
            match process.candidate.next(now) {
                Step::Wait(until) => assert!(until > now.mono, "a wait for what is due: {until:?} at {now:?}"),
                Step::Look | Step::Claim(_) if process.cut => process.candidate.failed(false, now),
                Step::Look => process.candidate.saw(store.lease.clone(), u64::MAX, now),
                Step::Claim(claim) => {
                    let holder = process.candidate.identity().to_owned();
                    match store.write(&claim, Some(&holder)) {
                        Some(version) => process.candidate.granted(&claim, version, now),
                        None => process.candidate.failed(true, now),
                    }
                }
            }
        }
    }

    /// Runs until `holds`, for at most `within`, and returns how long that took.
    fn until(&mut self, within: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.at;
        while !holds(self) {
            assert!(self.at < begin + within, "not within {within:?}: {:?}", self.store.lease);
            self.step();
        }
        self.at.saturating_sub(begin)
    }

    fn run(&mut self, span: Duration) {
        let end = self.at + span;
        while self.at < end {
            self.step();
        }
    }

    fn leader(&self) -> Option<usize> {
        self.writers().first().map(|(process, _)| *process)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two candidates, one of which has held the lease for a while.
fn led() -> (World, usize, usize) {
    let mut world = World::new(2);
    world.until(secs(16), |world| world.leader().is_some());
    world.run(secs(60));
    let leader = world.leader().unwrap();
    (world, leader, 1 - leader)
}

#[test]
fn a_lease_that_nobody_made_is_claimed_after_its_time_by_one() {
    let mut world = World::new(3);
    let took = world.until(secs(16), |world| world.leader().is_some());
    assert!(took >= secs(15), "somebody may have deleted it under its holder: {took:?}");
    let (leader, epoch) = world.writers()[0];
    world.run(secs(600));
    assert_eq!(world.writers(), [(leader, epoch)], "a holder that is well goes on in one term");
    assert_eq!(epoch, Epoch::new(1));
}

#[test]
fn a_holder_that_is_well_renews_in_one_term_whatever_its_times() {
    for (duration, renew_deadline) in [(12, 6), (15, 10), (30, 10), (120, 6), (120, 119)] {
        let timing = Timing { duration: secs(duration), renew_deadline: secs(renew_deadline), ..Timing::default() };
        let mut candidate = Candidate::new("flyball-0".to_owned(), timing, Duration::ZERO);
        let mut now = World::new(1).now(0);
        candidate.saw(None, 1, now);
        let (mut version, mut renewals) = (1, 0);
        while renewals < 10 {
            match candidate.next(now) {
                Step::Wait(until) => now = now.plus(until.saturating_sub(now.mono).max(STEP)),
                Step::Look => panic!("nothing was refused"),
                Step::Claim(claim) => {
                    assert_eq!(
                        (claim.epoch, claim.begins),
                        (Epoch::new(1), version == 1),
                        "{duration} {renew_deadline}"
                    );
                    renewals += u32::from(!claim.begins);
                    version += 1;
                    candidate.granted(&claim, version.to_string(), now);
                }
            }
        }
    }
}

#[test]
fn k1_l2_a_dead_holder_is_followed_within_its_lease_and_a_cut_one_stands_down_before() {
    for cut in [false, true] {
        let (mut world, leader, other) = led();
        world.processes[leader].paused = !cut;
        world.processes[leader].cut = cut;
        let stops = world.until(secs(20), |world| world.leader() != Some(leader));
        let follows = stops + world.until(secs(20), |world| world.leader() == Some(other));
        assert!(stops <= secs(9) + STEP && follows <= secs(16), "{stops:?} {follows:?}");
        assert!(follows >= secs(10), "not before the lease of the old one has run out: {follows:?}");
    }
}

#[test]
fn l2_t2_a_paused_leader_that_wakes_may_not_write_and_learns_who_leads() {
    let (mut world, leader, other) = led();
    let Lead::Holds { epoch: before, .. } = world.lead(leader) else { panic!("leads") };
    world.processes[leader].paused = true;
    world.run(secs(60));
    // It has not run yet: only its clock advanced.
    assert!(world.lead(leader).forbids(before).is_some());
    let Lead::Holds { epoch: after, .. } = world.lead(other) else { panic!("leads") };
    assert_eq!(after, before.next());
    world.processes[leader].paused = false;
    world.step();
    assert_eq!(world.lead(leader), Lead::Follows { holder: Some(format!("flyball-{other}")) });
    assert!(world.lead(other).forbids(before).is_some(), "what the old one decided is not sent by the new one either");
}

#[test]
fn l2_a_lease_deleted_by_hand_ends_its_term_and_begins_a_higher_one() {
    let (mut world, _, _) = led();
    let epoch = world.writers()[0].1;
    world.store.delete();
    world.step();
    assert_eq!(world.leader(), None, "its holder stops at once");
    let took = world.until(secs(20), |world| world.leader().is_some());
    assert!(took >= secs(14), "who was cut off from the deletion still counts on it: {took:?}");
    assert!(world.writers()[0].1 > epoch);
}

#[test]
fn r10_a_lease_that_is_given_up_is_claimed_at_once() {
    let (mut world, leader, other) = led();
    let claim = world.processes[leader].candidate.resign().unwrap();
    assert!(world.store.write(&claim, None).is_some());
    assert_eq!(world.lead(leader), Lead::Follows { holder: None });
    world.processes[leader].paused = true;
    let took = world.until(secs(2), |world| world.leader() == Some(other));
    assert!(took <= STEP, "{took:?}");
}

#[test]
fn l3_a_lease_that_flaps_changes_hands_no_faster_than_it_runs_out() {
    let (mut world, _, _) = led();
    let mut epochs = vec![world.writers()[0].1];
    for round in 0..24 {
        // Every ten seconds one connection is cut or restored.
        let process = &mut world.processes[round % 2];
        process.cut = !process.cut;
        for _ in 0..100 {
            world.step();
            let epoch = world.writers().first().map(|(_, epoch)| *epoch);
            epochs.extend(epoch.filter(|epoch| epochs.last() != Some(epoch)));
        }
    }
    assert!(epochs.is_sorted(), "{epochs:?}");
    assert!(epochs.len() <= 1 + 240 / 10, "{epochs:?}");
}

#[test]
fn what_the_watch_shows_late_does_not_end_a_term() {
    let (mut world, leader, _) = led();
    let old = world.store.lease.clone();
    let version = world.store.version;
    world.run(secs(6));
    assert!(world.store.version > version, "renewed meanwhile");
    let now = world.now(leader);
    world.processes[leader].candidate.saw(old, version, now);
    world.processes[leader].candidate.saw(None, version, now);
    assert!(matches!(world.lead(leader), Lead::Holds { .. }));
}

#[test]
fn a_watch_that_lags_does_not_hide_that_a_claim_met_something_newer() {
    let (mut world, leader, other) = led();
    let old = world.store.lease.clone();
    let version = world.store.version;
    world.run(secs(6));
    assert!(world.store.version > version, "renewed meanwhile");
    // The other candidate's watch has been stalled since, and the lease it shows has expired.
    let candidate = &mut Candidate::new("flyball-9".to_owned(), Timing::default(), Duration::ZERO);
    let mut now = world.now(other);
    candidate.saw(old.clone(), version, now);
    now = now.plus(Timing::default().duration);
    let Step::Claim(claim) = candidate.next(now) else { panic!("{:?}", candidate.next(now)) };
    assert_eq!(world.store.write(&claim, Some("flyball-9")), None, "a conflict");
    candidate.failed(true, now);
    for _ in 0..100 {
        now = now.plus(STEP);
        candidate.saw(old.clone(), version, now);
        match candidate.next(now) {
            Step::Wait(_) => {}
            Step::Look => {
                candidate.looked(world.store.lease.clone(), world.store.version, now);
                assert!(matches!(candidate.next(now), Step::Wait(_)), "the leader renews");
                assert!(matches!(world.lead(leader), Lead::Holds { .. }));
                return;
            }
            Step::Claim(claim) => panic!("claims what it was refused: {claim:?}"),
        }
    }
    panic!("it never looks");
}

#[test]
fn a_wall_clock_that_jumps_ahead_ends_the_right_to_write_and_one_that_jumps_back_does_not_lengthen_it() {
    let (mut world, leader, _) = led();
    world.processes[leader].skew += 3_600;
    assert!(world.lead(leader).may_write().is_err());
    let (mut world, leader, _) = led();
    world.processes[leader].skew -= 3_600;
    world.processes[leader].paused = true;
    world.run(secs(10));
    assert!(world.lead(leader).may_write().is_err());
}

#[derive(Debug, Clone)]
enum Happening {
    Pause(usize),
    Cut(usize),
    Skew(usize, i64),
    Delete,
    Restart(usize),
    Resign(usize),
    Nothing,
}

fn happening() -> impl Strategy<Value = Happening> {
    let process = 0..3_usize;
    prop_oneof![
        process.clone().prop_map(Happening::Pause),
        process.clone().prop_map(Happening::Cut),
        (process.clone(), -5_000..5_000_i64).prop_map(|(process, skew)| Happening::Skew(process, skew)),
        Just(Happening::Delete),
        process.clone().prop_map(Happening::Restart),
        process.prop_map(Happening::Resign),
        Just(Happening::Nothing),
    ]
}

proptest! {
    /// Arbitrary faults of processes, connections, clocks and the Lease itself. Only if the Lease is deleted while no
    /// process remembers it can an epoch recur, and never for the process that had it before.
    #[test]
    fn inv_17_l2_at_most_one_may_write_and_each_epoch_has_one_writer(
        history in prop::collection::vec((happening(), 1..300_u32), 1..40)
    ) {
        let mut world = World::new(3);
        let (mut of_epoch, mut last_of) = (BTreeMap::new(), BTreeMap::new());
        let (mut lives, mut deleted) = (3, false);
        for (happening, steps) in history {
            match happening {
                Happening::Pause(process) => world.processes[process].paused ^= true,
                Happening::Cut(process) => world.processes[process].cut ^= true,
                Happening::Skew(process, skew) => world.processes[process].skew += skew,
                Happening::Delete => {
                    deleted = true;
                    world.store.delete();
                }
                Happening::Restart(process) => {
                    // A restarted container has another name in the Lease.
                    lives += 1;
                    let name = format!("flyball-{process}-{lives}");
                    world.processes[process].candidate = Candidate::new(name, Timing::default(), STEP);
                }
                Happening::Resign(process) => {
                    if let Some(claim) = world.processes[process].candidate.resign() {
                        let _ = world.store.write(&claim, None);
                    }
                }
                Happening::Nothing => {}
            }
            for _ in 0..steps {
                world.step();
                let writers = world.writers();
                prop_assert!(writers.len() <= 1, "{writers:?} at {:?}", world.at);
                for (process, epoch) in writers {
                    let name = world.processes[process].candidate.identity().to_owned();
                    let first = of_epoch.entry(epoch).or_insert_with(|| name.clone());
                    prop_assert!(deleted || *first == name, "{first} and {name} wrote in epoch {epoch}");
                    let last = last_of.insert(name, epoch);
                    prop_assert!(last.is_none_or(|last| last <= epoch), "an epoch came again");
                }
            }
        }
    }
}
