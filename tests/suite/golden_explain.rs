//! How a record reads. A change of these texts is a change of what operators see.

use std::time::Duration;

use flyball::model::explain::{headline, sentence, text};
use flyball::model::{Action, Choice, DecisionId, DecisionRecord, Impact, Knob, Mode, Refusal, WriteOutcome};

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

#[test]
fn sentences() {
    let acted = || records::acted(id());
    let refused =
        WriteOutcome::Refused(Refusal::KillSwitch { reason: "engaged for everything by ops: drill".to_owned() });
    let cases = [
        ("applied and measured", applied()),
        ("under way", acted()),
        (
            "superseded",
            with(acted(), |it| it.outcome = Some(WriteOutcome::Superseded { found: "5 replicas".to_owned() })),
        ),
        ("refused at the gate", with(acted(), |it| it.outcome = Some(refused))),
        ("another knob", with(applied(), |it| it.change.as_mut().unwrap().knob = Knob::AutoscalerFloor)),
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
