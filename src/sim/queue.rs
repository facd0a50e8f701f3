//! Latency of a pod by its utilisation: a queue with Poisson arrivals, exponential service and `k` workers
//! (M/M/k), tabulated once.

/// Points of the table.
const POINTS: usize = 4000;

/// Median and 99th percentile of the time in the system over utilisation.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueTable {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl QueueTable {
    /// Returns the table for pods with `workers` (at least 1) that take `service_time` seconds per request on average.
    pub fn new(workers: u32, service_time: f64) -> Self {
        let queue = Queue { workers: f64::from(workers.max(1)), service_time };
        let column = |share: f64| (0..POINTS).map(|i| queue.quantile(i as f64 / POINTS as f64, share)).collect();
        Self { p50: column(0.5), p99: column(0.99) }
    }

    /// Returns the median latency in seconds at `utilisation` (0 to 1; outside, the nearest tabulated one).
    pub fn p50(&self, utilisation: f64) -> f64 {
        look_up(&self.p50, utilisation)
    }

    /// Returns the 99th percentile of the latency in seconds at `utilisation`.
    pub fn p99(&self, utilisation: f64) -> f64 {
        look_up(&self.p99, utilisation)
    }
}

fn look_up(column: &[f64], utilisation: f64) -> f64 {
    let position = utilisation.clamp(0.0, 1.0) * POINTS as f64;
    let index = (position as usize).min(column.len().saturating_sub(2));
    match column.get(index..index + 2) {
        Some([left, right]) => left + (right - left) * (position - index as f64).min(1.0),
        _ => 0.0,
    }
}

struct Queue {
    workers: f64,
    service_time: f64,
}

impl Queue {
    /// Returns the probability that a request has to wait (Erlang C), from the Erlang B recursion.
    fn waits(&self, utilisation: f64) -> f64 {
        let offered = self.workers * utilisation;
        let mut blocked = 1.0;
        let mut worker = 1.0;
        while worker <= self.workers {
            blocked = offered * blocked / (worker + offered * blocked);
            worker += 1.0;
        }
        blocked / (1.0 - utilisation * (1.0 - blocked))
    }

    /// Returns the probability that a request takes longer than `t` seconds.
    fn tail(&self, utilisation: f64, waits: f64, t: f64) -> f64 {
        let served = 1.0 / self.service_time;
        let drained = self.workers * served * (1.0 - utilisation);
        let alone = (-served * t).exp();
        // The exponents are equal at utilisation 1 - 1/k, where the limit applies.
        let queued = if (drained / served - 1.0).abs() < 1e-6 {
            alone * (1.0 + served * t)
        } else {
            (drained * alone - served * (-drained * t).exp()) / (drained - served)
        };
        (1.0 - waits) * alone + waits * queued
    }

    /// Returns the latency that a `share` of the requests stays below, by bisection.
    fn quantile(&self, utilisation: f64, share: f64) -> f64 {
        let waits = self.waits(utilisation);
        let (mut low, mut high) = (0.0, self.service_time);
        while self.tail(utilisation, waits, high) > 1.0 - share {
            high *= 2.0;
        }
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if self.tail(utilisation, waits, middle) > 1.0 - share {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_the_values_of_an_independent_computation() {
        let table = QueueTable::new(2, 0.020);
        for (utilisation, milliseconds) in [(0.5, 113.3), (0.6, 131.4), (0.7, 165.3), (0.8, 238.7), (0.9, 466.9)] {
            let p99 = table.p99(utilisation) * 1000.0;
            assert!((p99 - milliseconds).abs() < 0.06, "{utilisation}: {p99} is not {milliseconds}");
        }
        // The knee for a p99 of 200 ms.
        assert!(table.p99(0.757) < 0.2 && table.p99(0.7595) > 0.2);
    }

    #[test]
    fn an_idle_pod_takes_its_service_time() {
        let table = QueueTable::new(2, 0.020);
        assert!((table.p50(0.0) - 0.020 * 2.0_f64.ln()).abs() < 1e-6);
        assert!((table.p99(0.0) - 0.020 * 100.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn latency_never_falls_with_utilisation() {
        let table = QueueTable::new(4, 0.040);
        for column in [&table.p50, &table.p99] {
            assert!(column.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9));
        }
        assert!(table.p99(2.0).is_finite() && table.p99(-1.0).to_bits() == table.p99(0.0).to_bits());
    }
}
