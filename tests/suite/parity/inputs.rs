//! Inputs of the four rules: drawn at random, expressed both as Rego input and as features and outlook.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use flyball::model::outlook::HorizonPoint;
use flyball::model::{
    Bounds, Budgets, Features, Finite, GuardParams, HORIZONS, Minute, Missing, Mode, Now, Outlook, Readiness, Reading,
    Sample, ServiceId, ServiceSpec, SignalFeatures, SignalName, SignalOutlook, SignalSpec, Slo, TargetKind,
    TargetReading, TargetRef, TargetState, Timestamp, Unit,
};
use regorus::Value;

const SIGNALS: [(&str, Unit); 10] = [
    ("p99", Unit::Seconds),
    ("cpu", Unit::Ratio),
    ("rps", Unit::PerSecond),
    ("errors", Unit::Ratio),
    ("p99_region_a", Unit::Seconds),
    ("capacity_available_region_b", Unit::Flag),
    ("maintenance_region_a", Unit::Flag),
    ("emergency", Unit::Flag),
    ("cost_optimization", Unit::Flag),
    ("throttle_available", Unit::Flag),
];

/// One input, in the units of the Rego rules; `None` is missing.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Milliseconds.
    pub p99_ahead: Option<f64>,
    /// Percent.
    pub cpu: Option<f64>,
    /// Requests a second; a multiple of 200, so that changes are exact.
    pub rps: Option<f64>,
    /// Percent; known only with `rps`.
    pub change: Option<f64>,
    /// Percent.
    pub errors_ahead: Option<f64>,
    /// Milliseconds.
    pub region_a: Option<f64>,
    /// Milliseconds; known only with `region_a`.
    pub region_a_ahead: Option<f64>,
    /// Room in region B.
    pub capacity_b: Option<bool>,
    /// Region A is in maintenance.
    pub maintenance_a: Option<bool>,
    /// An emergency is on.
    pub emergency: Option<bool>,
    /// The owner wants to save.
    pub saving: Option<bool>,
    /// There is something to throttle with.
    pub throttle: Option<bool>,
    /// Whether it can be scaled up, and whether it is at its minimum: both follow from the target.
    pub target: Option<(bool, bool)>,
}

impl Facts {
    /// Returns the time of all inputs.
    pub fn now() -> Now {
        Now { wall: Timestamp::UNIX_EPOCH + Duration::from_secs(1_700_000_000), mono: Duration::from_secs(1000) }
    }

    /// Returns whether any field is missing.
    pub fn lacks_something(&self) -> bool {
        let numbers =
            [self.p99_ahead, self.cpu, self.rps, self.change, self.errors_ahead, self.region_a, self.region_a_ahead];
        numbers.contains(&None) || self.flags().contains(&None) || self.target.is_none()
    }

    /// Returns whether a value is exactly on the bound of a rule.
    pub fn stands_on_a_bound(&self) -> bool {
        [
            (self.p99_ahead, 200.0),
            (self.cpu, 60.0),
            (self.cpu, 20.0),
            (self.rps, 1000.0),
            (self.change, 20.0),
            (self.change, -15.0),
            (self.errors_ahead, 5.0),
            (self.region_a, 200.0),
            (self.region_a_ahead, 250.0),
        ]
        .into_iter()
        .any(|(value, bound)| value == Some(bound))
    }

    fn flags(&self) -> [Option<bool>; 5] {
        [self.capacity_b, self.maintenance_a, self.emergency, self.saving, self.throttle]
    }

    /// Returns the input as the Rego rules read it.
    pub fn rego(&self) -> Value {
        let mut fields: BTreeMap<Value, Value> = BTreeMap::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(Value::from(name), value);
            }
        };
        add("service_name", Some(Value::from("checkout")));
        for (name, number) in [
            ("predicted_p99_latency", self.p99_ahead),
            ("current_cpu_utilization", self.cpu),
            ("current_requests_per_second", self.rps),
            ("forecasted_requests_increase_percent", self.change),
            ("predicted_requests_decrease_percent", self.change),
            ("predicted_error_rate", self.errors_ahead),
            ("current_p99_latency_region_A", self.region_a),
            ("predicted_p99_latency_region_A", self.region_a_ahead),
        ] {
            // Whole numbers as such: JSON documents mix both.
            let number =
                number.map(|value| if value.fract() == 0.0 { Value::from(value as i64) } else { Value::from(value) });
            add(name, number);
        }
        for (name, flag) in [
            ("region_B_capacity_available", self.capacity_b),
            ("maintenance_mode_region_A", self.maintenance_a),
            ("global_emergency_mode", self.emergency),
            ("cost_optimization_enabled", self.saving),
            ("throttling_strategy_available", self.throttle),
            ("can_scale_up", self.target.map(|(can, _)| can)),
            ("minimum_replicas_reached", self.target.map(|(_, least)| least)),
        ] {
            add(name, flag.map(Value::from));
        }
        Value::from(fields)
    }

    /// Returns the input as our stages pass it on.
    pub fn flyball(&self) -> (ServiceSpec, Features, Outlook) {
        let flag = |flag: Option<bool>| (flag.map(f64::from), None);
        let ratio = |percent: f64| percent * 0.01;
        let seconds = |milliseconds: f64| milliseconds * 0.001;
        let ahead = self.rps.zip(self.change).map(|(rps, change)| rps + rps * change / 100.0);
        let [capacity_b, maintenance_a, emergency, saving, throttle] = self.flags().map(flag);
        let signals = [
            (self.p99_ahead.map(|_| 0.1), self.p99_ahead.map(seconds)),
            (self.cpu.map(ratio), None),
            (self.rps, ahead),
            (self.errors_ahead.map(|_| 0.0), self.errors_ahead.map(ratio)),
            (self.region_a.map(seconds), self.region_a_ahead.map(seconds)),
            capacity_b,
            maintenance_a,
            emergency,
            saving,
            throttle,
        ];
        let target = match self.target {
            // Below, at or above the bounds, so that both flags have the wanted value.
            Some((can_scale_up, at_min)) => {
                let (replicas, bounds) = match (can_scale_up, at_min) {
                    (true, false) => (5, Bounds { min: 2, max: 20 }),
                    (true, true) => (2, Bounds { min: 2, max: 20 }),
                    (false, false) => (20, Bounds { min: 2, max: 20 }),
                    (false, true) => (3, Bounds { min: 3, max: 3 }),
                };
                let target = TargetState::calm("u", replicas);
                (TargetReading::Known { target }, bounds)
            }
            None => (TargetReading::Unknown { reason: "not seen".to_owned() }, Bounds { min: 2, max: 20 }),
        };
        let spec = ServiceSpec { bounds: target.1, ..SPEC.clone() };
        let features = Features { signals: signals.iter().map(|(now, _)| seen(*now)).collect(), target: target.0 };
        let signals = signals.iter().map(|(_, ahead)| ahead.map(expected)).collect();
        (spec, features, Outlook { signals, capacity: None })
    }
}

static SPEC: LazyLock<ServiceSpec> = LazyLock::new(|| ServiceSpec {
    id: ServiceId::new("shop", "checkout").expect("a name"),
    target: TargetRef { kind: TargetKind::Deployment, namespace: "shop".to_owned(), name: "checkout".to_owned() },
    signals: SIGNALS
        .map(|(name, unit)| SignalSpec {
            name: SignalName::new(name).expect("a name"),
            unit,
            role: None,
            range: (0.0, 1e9),
            forecast: unit != Unit::Flag,
            scrape_interval: Duration::from_secs(15),
            window: Duration::ZERO,
        })
        .to_vec(),
    labels: BTreeMap::new(),
    slo: Slo { p99: 0.2, error_ratio: 0.01 },
    parameters: BTreeMap::new(),
    mode: Mode::Shadow,
    bounds: Bounds { min: 2, max: 20 },
    budgets: Budgets::default(),
    capacity: None,
    allow_lowering: true,
    guards: GuardParams::default(),
});

fn seen(value: Option<f64>) -> SignalFeatures {
    let value = value.and_then(Finite::new);
    let sample = value.map(|value| Sample { at: Facts::now().wall, value });
    let reading = match sample {
        Some(sample) => Reading::Fresh { sample, staleness: Duration::ZERO },
        None => Reading::Absent { missing: Missing::NoSeries },
    };
    SignalFeatures { mean_1m: value, ..SignalFeatures::of(reading) }
}

fn expected(value: f64) -> SignalOutlook {
    let points = HORIZONS.map(|minutes| HorizonPoint { minutes, point: value, quantiles: [value; 11] });
    let start = SignalOutlook::not_ready(Minute::of(Facts::now().wall), 0, 0);
    SignalOutlook { readiness: Readiness::Ready, points: points.to_vec(), ..start }
}

/// Draws inputs, deterministic for a seed.
pub struct Source(u64);

impl Source {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number from 0 to below 1 (splitmix64).
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.draw() < probability
    }

    /// Returns a value on a grid of quarters from `low` to `high`; occasionally one of the bounds exactly.
    fn value(&mut self, low: f64, high: f64, bounds: &[f64]) -> f64 {
        if self.chance(0.05) {
            let position = (self.draw() * bounds.len() as f64) as usize;
            return bounds[position];
        }
        ((low + self.draw() * (high - low)) * 4.0).round() / 4.0
    }

    /// Returns a value above `bound` if wanted and with some luck, else an arbitrary one.
    fn above(&mut self, wanted: bool, bound: f64, high: f64) -> f64 {
        if wanted && self.chance(0.93) {
            self.value(bound + 0.25, high, &[bound])
        } else {
            self.value(0.0, high, &[bound])
        }
    }

    fn flag(&mut self, wanted: Option<bool>) -> bool {
        match wanted {
            Some(wanted) if self.chance(0.93) => wanted,
            _ => self.chance(0.5),
        }
    }

    /// Returns the next input: one of the four rules is favoured in most of them, so that each is the outcome often
    /// enough; in every second input each field is missing with a probability of 5 %.
    pub fn next(&mut self) -> Facts {
        let favoured = (self.draw() * 5.0) as u8;
        let [up, shift, down, throttle] = [0, 1, 2, 3].map(|rule| favoured == rule);
        let cpu = match () {
            () if up => self.above(true, 60.0, 100.0),
            () if down && self.chance(0.93) => self.value(0.0, 19.75, &[20.0]),
            () => self.value(0.0, 100.0, &[20.0, 60.0]),
        };
        let change = match () {
            () if up && self.chance(0.93) => self.value(20.25, 90.0, &[20.0]),
            () if down && self.chance(0.93) => self.value(-80.0, -15.25, &[-15.0]),
            () => self.value(-60.0, 60.0, &[20.0, -15.0]),
        };
        let busy = if throttle && self.chance(0.93) { 6.0 } else { 1.0 };
        let rps = (busy + (self.draw() * (11.0 - busy)).floor()) * 200.0;
        let mut facts = Facts {
            p99_ahead: Some(self.above(up, 200.0, 500.0)),
            cpu: Some(cpu),
            rps: Some(rps),
            change: Some(change),
            errors_ahead: Some(self.above(throttle, 5.0, 15.0)),
            region_a: Some(self.above(shift, 200.0, 500.0)),
            region_a_ahead: Some(self.above(shift, 250.0, 500.0)),
            capacity_b: Some(self.flag(shift.then_some(true))),
            maintenance_a: Some(self.flag(shift.then_some(false))),
            emergency: Some(self.flag(shift.then_some(false))),
            saving: Some(self.flag(down.then_some(true))),
            throttle: Some(self.flag(throttle.then_some(true))),
            target: Some((self.flag(up.then_some(true)), self.flag(down.then_some(false)))),
        };
        if self.chance(0.5) {
            self.lose(&mut facts);
        }
        facts
    }

    fn lose(&mut self, facts: &mut Facts) {
        const MISSING: f64 = 0.05;
        for number in [
            &mut facts.p99_ahead,
            &mut facts.cpu,
            &mut facts.rps,
            &mut facts.change,
            &mut facts.errors_ahead,
            &mut facts.region_a,
            &mut facts.region_a_ahead,
        ] {
            *number = number.filter(|_| !self.chance(MISSING));
        }
        // A forecast is never known for an unknown signal.
        facts.change = facts.change.filter(|_| facts.rps.is_some());
        facts.region_a_ahead = facts.region_a_ahead.filter(|_| facts.region_a.is_some());
        for flag in [
            &mut facts.capacity_b,
            &mut facts.maintenance_a,
            &mut facts.emergency,
            &mut facts.saving,
            &mut facts.throttle,
        ] {
            *flag = flag.filter(|_| !self.chance(MISSING));
        }
        facts.target = facts.target.filter(|_| !self.chance(MISSING));
    }
}
