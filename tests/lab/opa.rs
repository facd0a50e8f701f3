//! The four original rules evaluated by Open Policy Agent, against ours with Rego semantics.

use crate::parity::opa::Opa;
use crate::parity::{ACTIONS, Facts, Outcome, Source, in_rego_reading, ours};

/// Inputs compared.
const INPUTS: usize = 2_400;

#[test]
fn opa_and_flyball_decide_alike() {
    let Some(opa) = Opa::new().unwrap() else { return };
    let mut source = Source::new(4242);
    let inputs: Vec<Facts> = (0..INPUTS).map(|_| source.next()).collect();
    let expected = opa.decide(&inputs).unwrap();
    assert_eq!(expected.len(), INPUTS);
    let set = in_rego_reading().unwrap();
    for (facts, expected) in inputs.iter().zip(&expected) {
        let (spec, features, outlook) = facts.flyball();
        assert_eq!(ours(&set, &spec, &features, &outlook, Facts::now()), *expected, "{facts:?}");
    }
    let share = |outcome| expected.iter().filter(|found| **found == outcome).count() * 100 / INPUTS;
    for outcome in ACTIONS.into_iter().chain([Outcome::Nothing, Outcome::Conflict]) {
        assert!(share(outcome) >= 5, "{outcome:?} is the outcome of {} %", share(outcome));
    }
    let [missing, on_a_bound] = [Facts::lacks_something, Facts::stands_on_a_bound]
        .map(|holds| inputs.iter().filter(|facts| holds(facts)).count());
    assert!(missing > INPUTS / 10 && on_a_bound > INPUTS / 10, "{missing} {on_a_bound}");
}
