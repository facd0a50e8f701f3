//! The functions of test files.

use std::collections::BTreeSet;
use std::sync::Arc;

use rhai::{Dynamic, Engine, FnPtr, Map, NativeCallContext};

use super::decision::Decisions;
use super::given::{Given, start};
use super::replay::Replay;
use super::timeline::Timeline;
use super::{Bench, Body, INTERVAL};
use crate::decide::api::quantity::{ScriptResult, register_units};
use crate::decide::evaluate::Decider;
use crate::model::SignalName;

/// Registers all of them.
pub(super) fn register(engine: &mut Engine, bench: &Arc<Bench>) {
    register_units(engine);
    engine.register_type_with_name::<Given>("given");
    engine.register_type_with_name::<Timeline>("timeline");
    engine.register_type_with_name::<Decisions>("decision");
    let of = Arc::clone(bench);
    engine.register_fn("test", move |context: NativeCallContext, name: &str, body: FnPtr| {
        of.declare(&context, name, Body::Script(body));
    });
    let of = Arc::clone(bench);
    engine.register_fn(
        "test_replay",
        move |context: NativeCallContext, path: &str, options: Map| -> ScriptResult<()> {
            let replay = Replay::read(&of, path, options)?;
            let name = replay.name();
            of.declare(&context, &name, Body::Replay(replay));
            Ok(())
        },
    );
    let of = Arc::clone(bench);
    engine.register_fn("given", move |facts: Map| Given::of(&of, facts));
    let of = Arc::clone(bench);
    engine.register_fn("timeline", move |step: &str| Timeline::every(&of, step));
    let of = Arc::clone(bench);
    engine.register_fn("for_each_signal", move |context: NativeCallContext, body: FnPtr| -> ScriptResult<()> {
        for signal in signals(&of) {
            let _: Dynamic = body.call_within_context(&context, (signal.as_str().to_owned(),))?;
        }
        Ok(())
    });
    register_given(engine, bench);
    register_timeline(engine);
    register_expectations(engine);
}

/// Returns every signal that some rule of the set reads.
fn signals(bench: &Bench) -> BTreeSet<SignalName> {
    bench.set.rules.iter().flat_map(crate::decide::compile::Rule::signals).collect()
}

fn register_given(engine: &mut Engine, bench: &Arc<Bench>) {
    engine.register_fn(
        "set",
        |context: NativeCallContext, given: Given, key: &str, value: Dynamic| -> ScriptResult<Given> {
            let mut given = given.changed(context.call_position());
            given.set(key, &value)?;
            Ok(given)
        },
    );
    engine.register_fn("without", |context: NativeCallContext, given: Given, key: &str| -> ScriptResult<Given> {
        let mut given = given.changed(context.call_position());
        given.lose(key)?;
        Ok(given)
    });
    let of = Arc::clone(bench);
    engine.register_fn("decide", move |given: Given| -> ScriptResult<Decisions> {
        given.used();
        let mut made = Decisions::none(&of);
        made.add(given.decide(&mut Decider::new(), INTERVAL, start())?);
        Ok(made)
    });
}

fn register_timeline(engine: &mut Engine) {
    engine.register_fn("set", |timeline: Timeline, key: &str, value: Dynamic| timeline.set(key, &value));
    engine.register_fn("set", |timeline: Timeline, facts: Map| timeline.give(&facts));
    engine.register_fn("without", |timeline: Timeline, key: &str| timeline.lose(key));
    engine.register_fn("run", |timeline: Timeline, span: &str| timeline.run(span));
}

fn register_expectations(engine: &mut Engine) {
    engine.register_fn("expect", |made: Decisions, rule: &str| made.looked_at().acts_by(rule));
    engine.register_fn("expect_stands", |made: Decisions, limit: &str| made.looked_at().expect_stands(limit));
    engine.register_fn("expect_none", |made: Decisions| made.looked_at().expect_none());
    engine.register_fn("expect_action", |made: Decisions, words: &str| made.looked_at().expect_action(words));
    for word in ["matched", "not_matched", "unknown", "error"] {
        engine.register_fn(format!("expect_{word}"), move |made: Decisions, rule: &str| {
            made.looked_at().expect_outcome(rule, word)
        });
    }
    engine.register_fn("expect_no_rule_reading", |made: Decisions, signal: &str| {
        made.looked_at().expect_no_rule_reading(signal)
    });
    engine.register_fn("because", |made: Decisions, text: &str| made.looked_at().because(text));
    engine.register_fn("margin_at_least", |made: Decisions, least: Dynamic| made.looked_at().margin_at_least(&least));
}
