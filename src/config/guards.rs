//! `guards` of a service: how patient its loop is, and how far one step goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::faults::Faults;
use super::tree::Node;
use crate::model::GuardParams;

type Field<T> = (&'static str, fn(&mut GuardParams) -> &mut T);

const SPANS: [Field<Duration>; 8] = [
    ("raise_cooldown", |guards| &mut guards.raise_cooldown),
    ("backed_raise_cooldown", |guards| &mut guards.backed_raise_cooldown),
    ("lower_cooldown", |guards| &mut guards.lower_cooldown),
    ("reversal_lock", |guards| &mut guards.reversal_lock),
    ("other_cooldown", |guards| &mut guards.other_cooldown),
    ("stabilisation", |guards| &mut guards.stabilisation),
    ("window_gap", |guards| &mut guards.window_gap),
    ("human_hold", |guards| &mut guards.human_hold),
];
const NUMBERS: [Field<f64>; 3] = [
    ("raise_factor", |guards| &mut guards.raise_factor),
    ("backed_raise_factor", |guards| &mut guards.backed_raise_factor),
    ("lower_share", |guards| &mut guards.lower_share),
];
const COUNTS: [Field<u32>; 1] = [("raise_at_least", |guards| &mut guards.raise_at_least)];

/// The guards section of a service or of the defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartialGuards {
    spans: BTreeMap<&'static str, Duration>,
    numbers: BTreeMap<&'static str, f64>,
    counts: BTreeMap<&'static str, u32>,
}

impl PartialGuards {
    /// Reads the section; every value outside its range is a fault at its key.
    pub fn read(node: &Node<'_>, faults: &mut Faults) -> Option<Self> {
        let names = SPANS.map(|(name, _)| name).into_iter().chain(NUMBERS.map(|(name, _)| name));
        let known: Vec<&str> = names.chain(COUNTS.map(|(name, _)| name)).collect();
        let table = node.table(&known, faults)?;
        let mut given = Self::default();
        for (name, _) in SPANS {
            let span = table.read(name, faults, |node, faults| node.span(Duration::ZERO, Duration::MAX, faults));
            given.spans.extend(span.optional().map(|span| (name, span)));
        }
        for (name, _) in NUMBERS {
            let number = table.read(name, faults, |node, faults| node.number(f64::MIN, f64::MAX, faults));
            given.numbers.extend(number.optional().map(|number| (name, number)));
        }
        for (name, _) in COUNTS {
            let count = table.read(name, faults, |node, faults| node.count(0, faults));
            given.counts.extend(count.optional().map(|count| (name, count)));
        }
        for fault in given.build().validated().err().unwrap_or_default() {
            faults.add(table.at(fault.field), fault.to_string());
        }
        Some(given)
    }

    /// Returns this, with missing values taken from `defaults`.
    #[must_use]
    pub fn over(self, mut defaults: Self) -> Self {
        defaults.spans.extend(self.spans);
        defaults.numbers.extend(self.numbers);
        defaults.counts.extend(self.counts);
        defaults
    }

    /// Returns the parameters; missing values have their defaults.
    pub fn build(&self) -> GuardParams {
        let mut guards = GuardParams::default();
        set(&mut guards, &SPANS, &self.spans);
        set(&mut guards, &NUMBERS, &self.numbers);
        set(&mut guards, &COUNTS, &self.counts);
        guards
    }
}

fn set<T: Copy>(guards: &mut GuardParams, fields: &[Field<T>], given: &BTreeMap<&'static str, T>) {
    for (name, field) in fields {
        if let Some(value) = given.get(name) {
            *field(guards) = *value;
        }
    }
}
