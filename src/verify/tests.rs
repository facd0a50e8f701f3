//! Tables: convergence first, then impact.

use super::*;
use crate::model::outlook::{HorizonPoint, SignalOutlook};
use crate::model::{
    Bounds, CycleId, DecisionId, Finite, HORIZONS, Measured, Minute, Missing, Mode, Reading, Revert, Sample,
    SignalFeatures, SignalName, SignalSpec, Slo, TargetState, Timestamp, Unit, WriteOutcome,
};

fn start() -> Now {
    Now { wall: Timestamp::from_second(1_700_000_000).unwrap(), mono: Duration::from_secs(100) }
}

fn at(seconds: u64) -> Now {
    start().plus(Duration::from_secs(seconds))
}

fn signal(name: &str, unit: Unit, role: Role) -> SignalSpec {
    let scrape_interval = Duration::from_secs(15);
    let name = SignalName::new(name).unwrap();
    SignalSpec {
        name,
        unit,
        role: Some(role),
        range: (0.0, 1e9),
        forecast: true,
        scrape_interval,
        window: Duration::ZERO,
    }
}

fn spec() -> ServiceSpec {
    ServiceSpec {
        signals: vec![signal("rps", Unit::PerSecond, Role::ArrivalRate), signal("p99", Unit::Seconds, Role::Latency)],
        slo: Slo { p99: 0.3, error_ratio: 0.01 },
        mode: Mode::Auto,
        bounds: Bounds { min: 1, max: 20 },
        allow_lowering: true,
        ..ServiceSpec::blank("shop/checkout".parse().unwrap())
    }
}

fn change(from: u32, to: u32) -> ChangeSet {
    let decision = DecisionId { service: spec().id, cycle: CycleId { run: 1, seq: 1 } };
    ChangeSet { uid: "u1".to_owned(), ..ChangeSet::of_replicas(decision, from, to, start()) }
}

/// A flat forecast whose quantiles span `width` around the point, tail to tail.
fn flat(point: f64, width: f64) -> SignalOutlook {
    let mut outlook = SignalOutlook::not_ready(Minute::of(start().wall), 0, 0);
    let quantiles = crate::model::QUANTILES.map(|level| point + (level - 0.5) * width);
    outlook.points = HORIZONS.iter().map(|minutes| HorizonPoint { minutes: *minutes, point, quantiles }).collect();
    outlook
}

fn foreseen(latency: Option<SignalOutlook>, before: f64) -> Foreseen {
    let outlook = Outlook { signals: vec![Some(flat(100.0, 20.0)), latency], capacity: None };
    foresee(&outlook, &seen(known(4, 4), 100.0, Some(before)), &spec())
}

fn pending(change: ChangeSet, latency: Option<SignalOutlook>) -> Pending {
    let applied = Moment::now(start());
    Pending::new(change, applied, applied, foreseen(latency, 0.1), start()).unwrap()
}

fn known(replicas: u32, ready: u32) -> TargetReading {
    TargetReading::Known { target: TargetState { ready, ..TargetState::calm("u1", replicas) } }
}

fn seen(target: TargetReading, load: f64, latency: Option<f64>) -> Features {
    let signals = [Some(load), latency].map(|value| {
        let value = value.and_then(Finite::new);
        let reading = match value {
            Some(value) => {
                Reading::Fresh { sample: Sample { at: start().wall, value }, staleness: Duration::from_secs(1) }
            }
            None => Reading::Absent { missing: Missing::NoSeries },
        };
        SignalFeatures { mean_1m: value, confirmed: value, ..SignalFeatures::of(reading) }
    });
    Features { signals: signals.into(), target }
}

/// Observes each target in turn, 15 s apart; returns the effect and when it came.
fn watch(pending: &mut Pending, targets: &[TargetReading]) -> Option<(u64, Effect)> {
    targets.iter().zip((15..).step_by(15)).find_map(|(target, seconds)| {
        let features = seen(target.clone(), 100.0, Some(0.1));
        assess(pending, &spec(), &features, at(seconds)).map(|effect| (seconds, effect))
    })
}

#[test]
fn a_target_overtaken_or_gone_is_no_longer_measured() {
    let recreated = TargetState { uid: "u2".to_owned(), ..known(6, 6).known().unwrap().clone() };
    let lost = TargetReading::Unknown { reason: "deleted".to_owned() };
    for (targets, after) in [
        (vec![known(4, 4), known(5, 4)], 30),
        (vec![known(6, 4), known(4, 4)], 30),
        (vec![known(4, 4), lost], 30),
        (vec![TargetReading::Known { target: recreated }], 15),
        (vec![known(4, 4); 20], 300),
    ] {
        let (seconds, effect) = watch(&mut pending(change(4, 6), None), &targets).unwrap();
        assert_eq!((effect.convergence, effect.impact), (Convergence::Overtaken, Impact::Inconclusive), "{targets:?}");
        assert_eq!(seconds, after, "{}", effect.why);
    }
}

#[test]
fn replicas_that_do_not_come_are_reported_at_the_deadline() {
    let silent = TargetReading::Outdated { target: known(6, 5).last().unwrap().clone(), silence: CONVERGE_WITHIN };
    let targets: Vec<TargetReading> = std::iter::repeat_n(known(6, 5), 19).chain([silent]).collect();
    let (seconds, effect) = watch(&mut pending(change(4, 6), None), &targets).unwrap();
    assert_eq!((seconds, effect.convergence), (300, Convergence::NotConverged { ready: 5 }));
    assert_eq!(effect.why, "5 of 6 replicas ready after 300 s");
}

#[test]
fn a_change_is_measured_after_its_window_and_not_before() {
    for (from, to, window) in [(4, 6, 120), (6, 4, 300)] {
        let mut pending = pending(change(from, to), Some(flat(0.1, 0.01)));
        let targets: Vec<TargetReading> = [known(from, from), known(to, to.min(from))]
            .into_iter()
            .chain(std::iter::repeat_n(known(to, to), 40))
            .collect();
        let (seconds, effect) = watch(&mut pending, &targets).unwrap();
        let Convergence::Converged { after } = effect.convergence else { panic!("{effect:?}") };
        assert_eq!(seconds - after.as_secs(), window);
        assert_eq!(effect.impact, Impact::Neutral);
    }
}

#[test]
fn what_comes_next_ends_the_measurement() {
    let targets = [known(6, 6), known(6, 6), known(8, 6)];
    let (_, effect) = watch(&mut pending(change(4, 6), None), &targets).unwrap();
    let converged = Convergence::Converged { after: Duration::from_secs(15) };
    assert_eq!((effect.convergence, effect.impact), (converged, Impact::Inconclusive));
    assert_eq!(effect.why, "converged, then set to 8, although 6 was written before its effect was measured");
}

/// Converges immediately and measures at the end of the window.
fn effect(from: u32, to: u32, latency: Option<SignalOutlook>, before: f64, after: (f64, Option<f64>)) -> Effect {
    let decided = Moment::now(start());
    let mut pending = Pending::new(change(from, to), decided, decided, foreseen(latency, before), start()).unwrap();
    let (load, measured) = after;
    assert_eq!(assess(&mut pending, &spec(), &seen(known(to, to), 100.0, Some(before)), at(15)), None);
    assess(&mut pending, &spec(), &seen(known(to, to), load, measured), at(315)).unwrap()
}

#[test]
fn against_the_forecast_made_at_decision_time() {
    // Half the width of the 50 % interval, the noise, is 0.25 of the whole width.
    for (width, measured, expected) in [
        (0.08, 0.15, Impact::Helped),
        (0.08, 0.165, Impact::Neutral),
        (0.08, 0.255, Impact::Neutral),
        (0.08, 0.265, Impact::Hurt),
        (0.0, 0.19, Impact::Neutral),
        (0.0, 0.184, Impact::Helped),
        (0.0, 0.216, Impact::Hurt),
    ] {
        let effect = effect(4, 6, Some(flat(0.2, width)), 0.2, (100.0, Some(measured)));
        assert_eq!(effect.impact, expected, "{width} {measured}: {}", effect.why);
        assert_eq!((effect.expected_latency, effect.measured_latency), (Some(0.2), Some(measured)));
    }
    let effect = effect(4, 6, Some(flat(0.2, 0.08)), 0.2, (100.0, Some(0.1)));
    assert_eq!(effect.why, "latency 100 ms, 200 ms forecast without the change, noise 20 ms");
}

#[test]
fn a_lowering_hurts_only_where_it_broke_the_objective() {
    // The objective is 300 ms, the forecast without the lowering was 200 ms.
    for (measured, expected) in [
        (0.1, Impact::Helped),
        (0.21, Impact::Neutral),
        (0.29, Impact::Neutral),
        (0.3, Impact::Neutral),
        (0.31, Impact::Hurt),
    ] {
        let effect = effect(6, 4, Some(flat(0.2, 0.01)), 0.2, (100.0, Some(measured)));
        assert_eq!(effect.impact, expected, "{measured}: {}", effect.why);
    }
    let effect = effect(6, 4, Some(flat(0.2, 0.01)), 0.2, (100.0, Some(0.29)));
    assert_eq!(
        effect.why,
        "latency 290 ms, 200 ms forecast without the change, noise 3 ms, within the objective of 300 ms"
    );
    // A broken objective that was forecast without the lowering is not its fault.
    let effect = self::effect(6, 4, Some(flat(0.4, 0.01)), 0.4, (100.0, Some(0.4)));
    assert_eq!(effect.impact, Impact::Neutral, "{}", effect.why);
}

#[test]
fn against_the_objective_where_latency_is_not_forecast() {
    for (from, to, before, measured, expected) in [
        (4, 6, 0.5, 0.2, Impact::Helped),
        (4, 6, 0.2, 0.2, Impact::Neutral),
        (4, 6, 0.2, 0.5, Impact::Inconclusive),
        (6, 4, 0.2, 0.5, Impact::Hurt),
        (6, 4, 0.2, 0.25, Impact::Neutral),
        (6, 4, 0.5, 0.5, Impact::Inconclusive),
        (6, 4, 0.5, 0.2, Impact::Neutral),
    ] {
        let effect = effect(from, to, None, before, (100.0, Some(measured)));
        assert_eq!(effect.impact, expected, "{from} to {to}, {before} {measured}: {}", effect.why);
    }
}

#[test]
fn what_cannot_be_compared_is_inconclusive() {
    let forecast = || Some(flat(0.2, 0.08));
    let surge = effect(6, 4, forecast(), 0.2, (130.0, Some(0.9)));
    assert_eq!(surge.impact, Impact::Inconclusive);
    assert_eq!(surge.why, "the load of 130.0/s left the forecast interval 90.5/s to 109.5/s");
    assert_eq!(effect(6, 4, forecast(), 0.2, (100.0, None)).impact, Impact::Inconclusive);
}

#[test]
fn only_a_lowering_that_hurt_is_undone() {
    for (from, to, measured, undo) in [(6, 4, 0.9, true), (6, 4, 0.2, false), (4, 6, 0.9, false)] {
        let effect = effect(from, to, Some(flat(0.2, 0.08)), 0.2, (100.0, Some(measured)));
        assert_eq!(advise_undo(&effect, &change(from, to)), undo, "{}", effect.why);
    }
}

/// The process that wrote is gone; its clock counted from its own start and means nothing here.
#[test]
fn a_measurement_that_was_under_way_is_taken_up_again_within_what_was_foreseen() {
    let applied = |seconds: u64| {
        let ended = Some((at(seconds).wall, WriteOutcome::Applied));
        Intent { ended, ..Intent::open(change(6, 4), start().wall, foreseen(Some(flat(0.2, 0.01)), 0.2)) }
    };
    let restarted = |seconds: u64| Now { wall: at(seconds).wall, mono: Duration::from_secs(3) };
    let measured = Some(Measured { at: at(60).wall, effect: effect(6, 4, None, 0.2, (100.0, Some(0.2))) });
    let revert = Revert { at: at(60).wall, from: 4, to: 6, by: None };
    for (intent, seconds, resumes) in [
        (applied(5), 60, true),
        (applied(5), 1200, true),
        (applied(5), 1201, false),
        (Intent { measured, ..applied(5) }, 60, false),
        (Intent { reverted: Some(revert), ..applied(5) }, 60, false),
        (Intent { ended: None, ..applied(5) }, 60, false),
        (Intent { ended: Some((at(5).wall, WriteOutcome::Expired)), ..applied(5) }, 60, false),
    ] {
        assert_eq!(Pending::resumed(&intent, restarted(seconds)).is_some(), resumes, "{seconds} s: {intent:?}");
    }
    let begun = restarted(600);
    let mut pending = Pending::resumed(&applied(5), begun).unwrap();
    let later = |seconds| begun.plus(Duration::from_secs(seconds));
    let unseen = seen(TargetReading::Unknown { reason: "not listed yet".to_owned() }, 100.0, None);
    assert_eq!(assess(&mut pending, &spec(), &unseen, later(5)), None, "nothing is seen before it was listed");
    let mut look =
        |latency, seconds| assess(&mut pending, &spec(), &seen(known(4, 4), 100.0, Some(latency)), later(seconds));
    assert_eq!((look(0.9, 15), look(0.9, 314)), (None, None), "its window begins anew");
    let effect = look(0.9, 315).unwrap();
    assert_eq!((effect.impact, effect.expected_latency), (Impact::Hurt, Some(0.2)));
    assert_eq!(effect.convergence, Convergence::Converged { after: Duration::from_secs(610) });
}
