//! How a record reads. A change of these texts is a change of what operators see.

use std::sync::Arc;
use std::time::Duration;

use flyball::model::explain::{headline, sentence, text};
use flyball::model::{
    Action, Autoscaler, Autoscaling, Choice, DecisionId, DecisionRecord, FloorOf, Impact, Knob, Mode, Refusal,
    TargetReading, WriteOutcome,
};

use crate::records;

fn id() -> DecisionId {
    records::id("shop/checkout", 5)
}

fn applied() -> DecisionRecord {
    let mut record = records::acted(id());
    record.outcome = Some(WriteOutcome::Applied);
    record.effect = Some(records::effect(Impact::Helped));
    record
}

/// The lowering that this decision takes back is another one of the same service.
fn undone() -> DecisionRecord {
    let of = records::id("shop/checkout", 3);
    let trace = records::change(&of).trace;
    let (action, why) =
        (Action::ScaleTo { replicas: 7 }, "latency 412 ms, 100 ms foreseen without it, noise 9 ms".into());
    with(applied(), |it| {
        it.proposal.choice = Choice::Undo { of, trace, action, why };
        "undo".clone_into(&mut it.change.as_mut().unwrap().rule);
        it.effect = None;
    })
}

fn with(mut record: DecisionRecord, alter: impl FnOnce(&mut DecisionRecord)) -> DecisionRecord {
    alter(&mut record);
    record
}

/// Lets an autoscaler scale the target of a record, and the change move its floor.
fn of_an_autoscaler(record: &mut DecisionRecord) {
    let floor = record.change.as_ref().map_or(4, |change| change.from);
    let autoscaler = Autoscaler {
        name: "checkout".into(),
        uid: "uid-hpa".to_owned(),
        floor,
        baseline: 2,
        ceiling: 20,
        current: floor,
        desired: floor,
        owner: Some("flyball".into()),
        trouble: None,
    };
    if let Some(change) = &mut record.change {
        change.knob = Knob::AutoscalerFloor;
        change.floor = Some(FloorOf { autoscaler: autoscaler.name.clone(), baseline: autoscaler.baseline });
    }
    if let TargetReading::Known { target } = &mut Arc::make_mut(&mut record.features).target {
        target.autoscaling = Autoscaling::Autoscaler(autoscaler);
    }
}

#[test]
fn sentences() {
    let acted = || records::acted(id());
    let refused =
        WriteOutcome::Refused(Refusal::KillSwitch { reason: "engaged for everything by ops: drill".to_owned() });
    let cases = vec![
        ("applied and measured", applied()),
        ("under way", acted()),
        ("superseded", with(acted(), |it| it.outcome = Some(WriteOutcome::superseded("5 replicas".to_owned())))),
        ("refused at the gate", with(acted(), |it| it.outcome = Some(refused))),
        ("a floor", with(applied(), of_an_autoscaler)),
        (
            "a floor, held",
            with(records::held(id()), |it| {
                of_an_autoscaler(it);
                it.change = None;
            }),
        ),
        ("another knob", with(applied(), |it| it.change.as_mut().unwrap().knob = Knob::Rate)),
        ("undone", undone()),
        (
            "undo held",
            with(undone(), |it| (it.verdict, it.change, it.outcome) = (records::held(id()).verdict, None, None)),
        ),
        (
            "stale",
            with(acted(), |it| {
                let (fresh_for, age) = (Duration::from_secs(9), Duration::from_millis(11_200));
                it.outcome = Some(WriteOutcome::Stale { fresh_for, age });
            }),
        ),
        ("held", records::held(id())),
        ("held in shadow", with(records::held(id()), |it| it.mode = Mode::Shadow)),
        ("shadow", records::shadow(id())),
        ("no lever", with(acted(), |it| (it.change, it.outcome) = (None, Some(WriteOutcome::NoLever)))),
        ("no change", with(acted(), |it| it.change = None)),
        ("nothing", records::nothing(id())),
        ("unknown", records::unknown(id())),
        ("rule error", records::failed(id())),
        ("no policy asked", with(records::nothing(id()), |it| it.proposal.rules.clear())),
    ];
    let lines: Vec<String> = cases.iter().map(|(name, record)| format!("{name}:\n  {}", sentence(record))).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let headlines = cases.iter().map(|(name, record)| (name, headline(record)));
    let lines: Vec<String> = headlines.map(|(name, short)| format!("{name}: {}: {}", short.what, short.why)).collect();
    insta::assert_snapshot!("headlines", lines.join("\n"));
}

#[test]
fn texts() {
    for (name, record) in [
        ("acted", applied()),
        ("floor", with(applied(), of_an_autoscaler)),
        ("undone", undone()),
        ("held", records::held(id())),
        ("shadow", records::shadow(id())),
        ("nothing", records::nothing(id())),
        ("unknown", records::unknown(id())),
        ("error", records::failed(id())),
    ] {
        let text = text(&record);
        assert_eq!(text.lines().next(), Some(sentence(&record).as_str()), "the sentence comes first");
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn a_record_reads_the_same_after_it_was_stored() {
    let record = applied();
    let stored: DecisionRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(text(&stored), text(&record));
}
