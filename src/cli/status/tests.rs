use super::*;
use crate::console::{Glance, Peak};
use crate::model::kill::KillOrder;
use crate::model::{Authority, Finite, GuardName, Lead};
use crate::ports::{Awaited, SourceStatus};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn process() -> Status {
    let order = KillOrder { by: "ops".to_owned(), reason: "drill over".to_owned(), ..KillOrder::default() };
    Status {
        ready: true,
        waiting_for: Vec::new(),
        services_wait_for: Vec::new(),
        revision: Some(crate::model::PolicyRevision::of([("a.rhai", "")])),
        policy_faults: Vec::new(),
        kill: KillState::Readable { order, turned: Some(at(-7200)) },
        lead: Lead::Alone,
        now: at(0),
        uptime: Duration::from_secs(35_820),
        version: "0.1.0".to_owned(),
        state: None,
        settings: None,
        kill_switch: None,
        sources: vec![SourceStatus {
            name: "main".to_owned(),
            services: 2,
            fresh: 1,
            staleness_seconds: Some(4.2),
            error: None,
        }],
    }
}

fn services() -> Vec<ServiceSummary> {
    let glance = Glance {
        at: at(-190),
        what: "held by cooldown".to_owned(),
        why: "12 s since the last raise, 180 s needed; wanted 4 -> 7".to_owned(),
        held_by: Some(GuardName::Cooldown),
    };
    let checkout = ServiceSummary {
        service: "shop/checkout".parse().unwrap(),
        mode: Mode::Auto,
        replicas: Some(7),
        ready: Some(4),
        fresh_signals: (3, 3),
        unanswered_signals: 0,
        last: Some("shop/checkout@1-5".parse().unwrap()),
        sentence: None,
        restarts: 0,
        quarantined: None,
        denied: None,
        stood_down: None,
        no_lever: None,
        undecided: None,
        policy_trouble: None,
        beyond_max: None,
        target_unknown: None,
        load: Finite::new(312.4),
        peak: Some(Peak { within_seconds: 1800, median: 520.4, lower: 480.0, upper: 612.0 }),
        authority: Some(Authority::MayAdd),
        decision: Some(glance),
    };
    let search = ServiceSummary {
        service: "shop/search".parse().unwrap(),
        mode: Mode::Shadow,
        replicas: None,
        ready: None,
        fresh_signals: (0, 2),
        last: None,
        load: None,
        peak: None,
        authority: None,
        decision: None,
        ..checkout.clone()
    };
    vec![checkout, search]
}

fn seen(status: Status, services: Vec<ServiceSummary>) -> Seen {
    let reasons = reasons(&status, &services);
    let health = if reasons.is_empty() { Health::Healthy } else { Health::Degraded };
    let policy = PolicyStatus { in_force: status.revision.clone(), ..PolicyStatus::default() };
    Seen { health, reasons, address: "127.0.0.1:9464".to_owned(), status, policy, services }
}

#[test]
fn a_healthy_one_is_told_in_eighty_columns() {
    let text = table::text(&seen(process(), services()), at(0));
    insta::assert_snapshot!("healthy", text);
    // The text of a decision may be any length.
    assert!(text.lines().all(|line| line.starts_with("  ") || line.chars().count() <= 80), "{text}");
}

#[test]
fn a_degraded_one_says_why_first() {
    let mut status = process();
    status.ready = false;
    status.waiting_for = vec![Awaited::PolicySet];
    status.services_wait_for = vec![
        Awaited::Telemetry { services: 2, error: "no answer within 5 s".to_owned() },
        Awaited::History { services: 1, asked: 0, of: 1 },
    ];
    status.kill =
        KillState::Missing { error: "kill switch state/killswitch.yaml is missing; `flyball resume`".to_owned() };
    status.policy_faults = vec!["capacity.rhai:3:1: unknown word".to_owned(), "again".to_owned()];
    status.lead = Lead::Follows { holder: Some("flyball-1".to_owned()) };
    status.sources[0].error = Some("no answer within 5 s".to_owned());
    let mut services = services();
    (services[0].fresh_signals, services[0].unanswered_signals) = ((0, 3), 3);
    services[1].quarantined = Some("5 failures in 60 s".to_owned());
    insta::assert_snapshot!("degraded", table::text(&seen(status, services), at(0)));
}

/// A service that is only observed needs no switch, and a switch that stops a part says which.
#[test]
fn a_switch_matters_where_something_is_written() {
    let engaged = KillOrder { services: ["shop/checkout".parse().unwrap()].into(), ..KillOrder::default() };
    let elsewhere = KillOrder { services: ["shop/cart".parse().unwrap()].into(), ..KillOrder::default() };
    for (kill, expected) in [
        (KillState::released(), None),
        (KillState::readable(elsewhere), None),
        (KillState::Missing { error: "gone".to_owned() }, Some("the kill switch is missing, so nothing is written")),
        (
            KillState::Unreadable { error: "odd".to_owned() },
            Some("the kill switch cannot be read, so nothing is written"),
        ),
        (KillState::readable(engaged), Some("the kill switch stops shop/checkout")),
    ] {
        let status = Status { kill, ..process() };
        assert_eq!(reasons(&status, &services()).first().map(String::as_str), expected);
        for mode in [Mode::Shadow, Mode::Approve] {
            let quiet = ServiceSummary { mode, ..services().remove(0) };
            assert!(reasons(&status, &[quiet]).is_empty(), "{mode:?} writes nothing");
        }
    }
}

/// The sentence of the guard that holds is not all there is to report.
#[test]
fn writes_that_come_to_nothing_and_targets_that_are_not_there_are_trouble() {
    let mut services = services();
    services[0].denied = Some("the last 4 writes failed: not allowed".to_owned());
    let denied = "shop/checkout: the last 4 writes failed: not allowed";
    assert_eq!(reasons(&process(), &services), [denied]);
    services[0].denied = None;
    services[0].target_unknown = Some("Deployment shop/checkout does not exist".to_owned());
    let gone =
        "the target of shop/checkout is unknown, so flyball does nothing: Deployment shop/checkout does not exist";
    assert_eq!(reasons(&process(), &services), [gone]);
    let why = crate::ports::StaleWatch { silent_seconds: Some(130), trouble: None };
    let of = "Deployments".to_owned();
    let silent = Status { services_wait_for: vec![Awaited::Watch { of, why }], ..process() };
    assert_eq!(reasons(&silent, &services).len(), 1, "a watch that stands still is told once");
    services[0].last = None;
    assert!(reasons(&process(), &services).is_empty(), "it has not decided yet");
    services[1].policy_trouble = Some("rule shed asks to restart pods, which no adapter supports".to_owned());
    assert_eq!(
        reasons(&process(), &services),
        ["shop/search: rule shed asks to restart pods, which no adapter supports"]
    );
}

/// Without it no loop writes, however healthy everything else is.
#[test]
fn a_bound_that_is_missing_is_trouble() {
    let why = "no PlatformBound named flyball exists; apply deploy/base/bound.yaml".to_owned();
    let mut status = Status { services_wait_for: vec![Awaited::Bound { why }], ..process() };
    let told = "services wait: no PlatformBound named flyball exists; apply deploy/base/bound.yaml; nothing is written until this is fixed";
    assert_eq!(reasons(&status, &services()), [told]);
    let why = crate::ports::StaleWatch { silent_seconds: Some(130), trouble: None };
    status.waiting_for = vec![Awaited::Watch { of: "PlatformBound".to_owned(), why }];
    let silent = "not ready: watch of PlatformBound: silent for 130 s";
    assert_eq!(reasons(&status, &services()), [silent], "a watch that stands still is told once");
}

/// At its bound it does what it may; whether that is enough is for people to decide.
#[test]
fn a_service_that_needs_more_than_its_max_is_trouble() {
    let mut services = services();
    services[0].beyond_max = Some("needs 2667 replicas, but its max is 40".to_owned());
    assert_eq!(reasons(&process(), &services), ["shop/checkout needs 2667 replicas, but its max is 40"]);
}

/// A holding guard is not trouble; a service without any data is.
#[test]
fn services_that_see_nothing_are_trouble() {
    let mut services = services();
    assert!(reasons(&process(), &services).is_empty());
    services[0].fresh_signals = (0, 3);
    let silent = "shop/checkout has no fresh signal, so it holds its replicas";
    assert_eq!(reasons(&process(), &services), [silent]);
    // The failing source of another service hides nothing about this one.
    let mut status = process();
    status.sources[0].error = Some("no answer within 5 s".to_owned());
    status.services_wait_for = vec![Awaited::Telemetry { services: 1, error: "no answer within 5 s".to_owned() }];
    assert_eq!(reasons(&status, &services), ["source main: no answer within 5 s", silent]);
    services[0].unanswered_signals = 3;
    assert_eq!(reasons(&status, &services), ["source main: no answer within 5 s"]);
}

/// Nothing that stops the writes of a service for good is healthy.
#[test]
fn a_service_that_is_not_written_or_misses_its_objective_undecided_is_trouble() {
    let mut services = services();
    services[0].stood_down = Some("two writes were reverted within an hour".to_owned());
    let stood_down = "shop/checkout is not written: two writes were reverted within an hour";
    assert_eq!(reasons(&process(), &services), [stood_down]);
    services[0].stood_down = None;
    services[0].no_lever = Some("HPA a and HPA b scale it".to_owned());
    let closed = "shop/checkout is not written, its target is scaled by others: HPA a and HPA b scale it";
    assert_eq!(reasons(&process(), &services), [closed]);
    services[0].mode = Mode::Shadow;
    assert!(reasons(&process(), &services).is_empty(), "nothing is written anyway");
    services[0].undecided = Some("misses its objective and nothing is done: odd".to_owned());
    assert_eq!(reasons(&process(), &services), ["shop/checkout misses its objective and nothing is done: odd"]);
}
