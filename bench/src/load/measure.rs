//! What a run came to: how many answers, how late, how many wrong and why.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::response::Wrong;

/// Latencies from 100 ns to a minute, to three digits.
const SHORTEST_NS: u64 = 100;
const LONGEST_NS: u64 = 60_000_000_000;

/// Counts while a run lasts.
#[derive(Debug)]
pub struct Measure {
    latency_ns: Histogram<u64>,
    answers: u64,
    errors: BTreeMap<String, u64>,
}

/// A run's outcome, as it is printed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Right answers, the warm-up's among them.
    pub answers: u64,
    /// Right answers a second, after the warm-up.
    pub qps: f64,
    /// From sending (or, at a fixed rate, from when it was due) to the last byte, after the warm-up.
    pub latency_us: Latency,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Latency {
    #[allow(missing_docs)]
    pub p50: f64,
    #[allow(missing_docs)]
    pub p95: f64,
    #[allow(missing_docs)]
    pub p99: f64,
    #[allow(missing_docs)]
    pub p999: f64,
    /// The slowest answer.
    pub max: f64,
    #[allow(missing_docs)]
    pub mean: f64,
}

impl Measure {
    /// Nothing yet.
    pub fn new() -> Self {
        let latency_ns = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, 3).expect("fixed, valid bounds");
        Self { latency_ns, answers: 0, errors: BTreeMap::new() }
    }

    /// A right answer during the warm-up: counted, not timed.
    pub fn warm_up_answer(&mut self) {
        self.answers += 1;
    }

    /// A right answer.
    pub fn answer(&mut self, latency: Duration) {
        self.answers += 1;
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// A wrong answer.
    pub fn wrong(&mut self, wrong: &Wrong) {
        self.error(match wrong {
            Wrong::Error(code) => format!("error {code}"),
            Wrong::Answer(what) => (*what).to_owned(),
        });
    }

    /// No answer, for this reason.
    pub fn error(&mut self, reason: String) {
        *self.errors.entry(reason).or_default() += 1;
    }

    /// How often anything went wrong.
    pub fn errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The outcome of what was timed, over this long.
    pub fn outcome(&self, timed: Duration) -> Outcome {
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |percentile| us(self.latency_ns.value_at_percentile(percentile));
        Outcome {
            answers: self.answers,
            qps: self.latency_ns.len() as f64 / timed.as_secs_f64(),
            latency_us: Latency {
                p50: at(50.0),
                p95: at(95.0),
                p99: at(99.0),
                p999: at(99.9),
                max: us(self.latency_ns.max()),
                mean: self.latency_ns.mean() / 1000.0,
            },
            errors: self.errors.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut measure = Measure::new();
        for us in 1..=1000 {
            measure.answer(Duration::from_micros(us));
        }
        let outcome = measure.outcome(Duration::from_secs(2));
        assert_eq!((outcome.answers, outcome.qps), (1000, 500.0));
        for (got, want) in [
            (outcome.latency_us.p50, 500.0),
            (outcome.latency_us.p95, 950.0),
            (outcome.latency_us.p99, 990.0),
            (outcome.latency_us.p999, 999.0),
            (outcome.latency_us.max, 1000.0),
        ] {
            assert!((got - want).abs() < want * 0.002, "{got} is not {want}");
        }
    }

    #[test]
    fn the_warm_up_counts_as_work_but_not_as_speed() {
        let mut measure = Measure::new();
        measure.warm_up_answer();
        measure.answer(Duration::from_micros(5));
        let outcome = measure.outcome(Duration::from_secs(1));
        assert_eq!((outcome.answers, outcome.qps), (2, 1.0));
    }

    #[test]
    fn an_endless_wait_is_the_longest_latency_and_errors_are_counted_by_kind() {
        let mut measure = Measure::new();
        measure.answer(Duration::from_secs(3600));
        measure.wrong(&Wrong::Error(1290));
        measure.wrong(&Wrong::Error(1290));
        measure.wrong(&Wrong::Answer("not one row"));
        let outcome = measure.outcome(Duration::from_secs(1));
        assert!(outcome.latency_us.max >= 59_000_000.0);
        assert_eq!(outcome.errors["error 1290"], 2);
        assert_eq!(measure.errors(), 3);
    }
}
