//! The wording of records. A change of these texts is a change of what operators see.

use std::sync::Arc;
use std::time::Duration;

use flyball::model::explain::{choice, headline, policy_trouble, sentence, text};
use flyball::model::{
    Action, Autoscaler, Autoscaling, Cause, Choice, DecisionId, DecisionRecord, FloorOf, Impact, Knob, Mode, Refusal,
    Role, TargetReading, WriteOutcome,
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

/// The lowering that this decision rolls back is an earlier one of the same service.
fn undone() -> DecisionRecord {
    let of = records::id("shop/checkout", 3);
    let trace = records::change(&of).trace;
    let (action, why) =
        (Action::ScaleTo { replicas: 7 }, "latency 412 ms, 100 ms forecast without the change, noise 9 ms".into());
    with(applied(), |it| {
        it.proposal.choice = Choice::Undo { of, trace, action, why };
        it.change.as_mut().unwrap().cause = Cause::Undo;
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
        (
            "superseded",
            with(acted(), |it| it.outcome = Some(WriteOutcome::Superseded { found: "5 replicas".to_owned() })),
        ),
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

/// At its bounds nothing is done, although it is not enough.
#[test]
fn what_is_lacking_where_nothing_is_done_is_told() {
    let short = with(records::nothing(id()), |record| {
        let mut outlook = (*record.outlook).clone();
        outlook.capacity.as_mut().unwrap().needed_now = Some(2667);
        record.outlook = outlook.into();
    });
    let told = headline(&short).why;
    assert!(told.starts_with("2667 needed") && told.contains(" running; "), "{told}");
}

/// Why a lowering ends where it does.
#[test]
fn the_floor_that_a_lowering_stops_at_is_told() {
    let lowered = |floor| {
        with(applied(), |record| {
            let mut outlook = (*record.outlook).clone();
            let capacity = outlook.capacity.as_mut().unwrap();
            (capacity.needed_now, capacity.needed_ahead, capacity.floor) = (Some(8), Some(7), Some(floor));
            record.outlook = outlook.into();
            let mut signals = record.signals.to_vec();
            signals[0].role = Some(Role::ArrivalRate);
            record.signals = signals.into();
            let change = record.change.as_mut().unwrap();
            (change.from, change.to) = (16, floor);
        })
    };
    let told = |record: &DecisionRecord| headline(record).why;
    assert!(told(&lowered(12)).ends_with(" needs 8, not below 12 yet"), "{}", told(&lowered(12)));
    assert!(told(&lowered(8)).ends_with(" needs 8"), "{}", told(&lowered(8)));
    let raised = with(lowered(12), |record| record.change.as_mut().unwrap().from = 4);
    assert!(!told(&raised).contains("not below"), "{}", told(&raised));
}

#[test]
fn what_of_the_policies_needs_a_person() {
    let lost = with(records::acted(id()), |it| (it.change, it.outcome) = (None, Some(WriteOutcome::NoLever)));
    let trouble = policy_trouble(&lost).unwrap();
    assert!(trouble.ends_with(", which no adapter supports") && trouble.starts_with("rule "), "{trouble}");
    let trouble = policy_trouble(&records::failed(id())).unwrap();
    assert!(trouble.contains(" failed: "), "{trouble}");
    for well in [applied(), records::held(id()), records::nothing(id()), records::unknown(id())] {
        assert_eq!(policy_trouble(&well), None);
    }
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

/// Only replicas are scaled.
#[test]
fn the_headline_and_the_sentence_say_the_same_was_done() {
    let refused = WriteOutcome::Superseded { found: "another".to_owned() };
    for knob in [Knob::Replicas, Knob::AutoscalerFloor, Knob::Route, Knob::Rollout] {
        for outcome in [None, Some(WriteOutcome::Applied), Some(refused.clone())] {
            let record = with(records::acted(id()), |it| {
                it.change.as_mut().unwrap().knob = knob;
                it.outcome = outcome;
            });
            let (what, whole) = (headline(&record).what, sentence(&record));
            let words = if what.starts_with("did not") { 3 } else { 1 };
            let alike = what.split(' ').zip(whole.split(' ')).take_while(|(short, long)| short == long).count();
            assert!(alike >= words, "{what} / {whole}");
        }
    }
}

#[test]
fn a_record_reads_the_same_after_it_was_stored() {
    let record = applied();
    let stored: DecisionRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(text(&stored), text(&record));
}

/// Records of earlier versions, field manager names and server errors contain arbitrary text: none of it is interpreted
/// by a terminal, and no line of it passes for one of ours.
#[test]
fn nothing_that_a_record_holds_is_obeyed_by_a_terminal() {
    let is_unprintable = |letter: char| letter.is_control() || letter == '\u{202e}';
    for record in [
        applied(),
        with(applied(), of_an_autoscaler),
        undone(),
        records::held(id()),
        records::unknown(id()),
        with(records::failed(id()), |it| it.proposal.rules[0].notes = vec!["as usual".into()]),
        with(records::nothing(id()), |it| {
            it.features = Arc::new(flyball::model::Features {
                target: TargetReading::Unknown { reason: "away".to_owned() },
                ..(*it.features).clone()
            });
        }),
    ] {
        let (whole, lines) = (serde_json::to_value(&record).unwrap(), text(&record).lines().count());
        let (mut places, mut tried) = (Vec::new(), 0);
        strings(&whole, String::new(), &mut places);
        for place in places {
            let mut changed = whole.clone();
            let held = changed.pointer_mut(&place).unwrap();
            *held = format!("{}\u{1b}[2J\u{9b}\u{202e}\nodd", held.as_str().unwrap()).into();
            // Most are from a closed set.
            let Ok(record) = serde_json::from_value::<DecisionRecord>(changed) else { continue };
            tried += 1;
            let (text, short) = (text(&record), headline(&record));
            assert_eq!(text.lines().count(), lines, "{place}: {text:?}");
            for said in
                [text.replace('\n', ""), sentence(&record), short.what, short.why, choice(&record.proposal.choice)]
            {
                assert!(!said.contains(is_unprintable), "{place}: {said:?}");
            }
        }
        assert!(tried > 5, "{tried} of {}", record.id);
    }
}

fn strings(value: &serde_json::Value, place: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(_) => found.push(place),
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(number, one)| strings(one, format!("{place}/{number}"), found));
        }
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, one)| strings(one, format!("{place}/{}", key.replace('/', "~1")), found));
        }
        _ => {}
    }
}

/// What is switched off has no samples either: that is not what anybody has to look for.
#[test]
fn a_service_switched_off_says_so_before_what_its_rules_lack() {
    let off = with(records::unknown(id()), |record| {
        let mut features = (*record.features).clone();
        if let TargetReading::Known { target } = &mut features.target {
            (target.replicas, target.ready) = (0, 0);
        }
        record.features = Arc::new(features);
    });
    assert_eq!(headline(&off).why, "the target has 0 replicas: switched off by someone");
}
