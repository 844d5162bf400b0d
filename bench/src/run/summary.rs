//! From rounds to figures: medians, spreads, and ratios taken round by round.

use serde::Serialize;

use super::{
    case::{Case, Sample},
    process::Cpu,
    target::Target,
};

/// All rounds of one case on one target.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// What was measured.
    pub case: Case,
    /// On what.
    pub target: Target,
    /// In the order of the rounds.
    pub samples: Vec<Sample>,
}

/// All measurements.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Grid {
    /// Cases in order, and targets in order within each.
    pub cells: Vec<Cell>,
}

impl Grid {
    /// Adds a round's sample to its cell.
    pub fn add(&mut self, case: Case, target: Target, sample: Sample) {
        match self.cells.iter_mut().find(|cell| cell.case == case && cell.target == target) {
            Some(cell) => cell.samples.push(sample),
            None => self.cells.push(Cell { case, target, samples: vec![sample] }),
        }
    }

    /// Puts targets in order within each case; cases stay as they came.
    pub fn sort_by_target(&mut self) {
        let cases = self.cases();
        let place = |case| cases.iter().position(|known| *known == case);
        self.cells.sort_by_key(|cell| (place(cell.case), cell.target));
    }

    /// The cases, each once, in order.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for cell in &self.cells {
            if !cases.contains(&cell.case) {
                cases.push(cell.case);
            }
        }
        cases
    }

    /// The cell of a case on a target.
    pub fn cell(&self, case: Case, target: Target) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.case == case && cell.target == target)
    }

    /// The median over the rounds of a figure on one target divided by the same on another.
    pub fn ratio(&self, case: Case, over: Target, under: Target, figure: Figure) -> Option<f64> {
        let (over, under) = (self.cell(case, over)?, self.cell(case, under)?);
        ratio(over, under, figure)
    }
}

/// Something read off a sample.
pub type Figure = fn(&Sample) -> Option<f64>;

/// Processor time per answer in µs.
pub const CPU: Figure = |sample| sample.cpu_us(Cpu::total);
/// The part of it in user space.
pub const USER: Figure = |sample| sample.cpu_us(|cpu| cpu.user);
/// The part of it in the kernel.
pub const SYSTEM: Figure = |sample| sample.cpu_us(|cpu| cpu.system);
/// The part of its time that the proxy waited for its core, which others were using.
pub const WAITED: Figure = |sample| Some(sample.cpu?.waited.as_secs_f64() / sample.seconds);
/// Answers a second.
pub const QPS: Figure = |sample| answered(sample, sample.outcome.qps);
/// Latency in µs that half of the answers keep.
pub const P50: Figure = |sample| answered(sample, sample.outcome.latency_us.p50);
/// Latency in µs that 95 % keep.
pub const P95: Figure = |sample| answered(sample, sample.outcome.latency_us.p95);
/// Latency in µs that 99 % keep.
pub const P99: Figure = |sample| answered(sample, sample.outcome.latency_us.p99);
/// Latency in µs that 99.9 % keep.
pub const P999: Figure = |sample| answered(sample, sample.outcome.latency_us.p999);

/// Nothing can be said of a round without an answer.
fn answered(sample: &Sample, value: f64) -> Option<f64> {
    (sample.outcome.qps > 0.0).then_some(value)
}

impl Cell {
    /// The median over the rounds.
    pub fn median(&self, figure: Figure) -> Option<f64> {
        median(self.samples.iter().filter_map(figure).collect())
    }

    /// Largest minus smallest, as a part of the median.
    pub fn spread(&self, figure: Figure) -> Option<f64> {
        let values: Vec<f64> = self.samples.iter().filter_map(figure).collect();
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        Some((most - least) / median(values)?)
    }

    /// Errors of all rounds.
    pub fn errors(&self) -> u64 {
        self.samples.iter().flat_map(|sample| sample.outcome.errors.values()).sum()
    }
}

/// The median of the ratios of each round's figures.
pub fn ratio(over: &Cell, under: &Cell, figure: Figure) -> Option<f64> {
    let pairs = over.samples.iter().zip(&under.samples);
    median(
        pairs.filter_map(|(a, b)| Some(figure(a)? / figure(b)?)).filter(|ratio| ratio.is_finite()).collect(),
    )
}

/// The middle value, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::load::{Latency, Outcome, workload::Workload};
    use std::time::Duration;

    pub fn case(workload: Workload) -> Case {
        Case { workload, connections: 16, rate: None }
    }

    pub fn sample(cpu_us_per_answer: f64, p99: f64) -> Sample {
        let half = Duration::from_secs_f64(cpu_us_per_answer * 1000.0 / 2.0 / 1e6);
        let latency_us = Latency { p99, ..Latency::default() };
        let outcome = Outcome { answers: 1000, qps: 1000.0, latency_us, ..Outcome::default() };
        Sample { outcome, seconds: 1.0, cpu: Some(Cpu { user: half, system: half, waited: Duration::ZERO }) }
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 9.0, 2.0]), Some(3.0));
    }

    #[test]
    fn ratios_compare_rounds_that_ran_one_after_the_other() {
        let mut grid = Grid::default();
        let case = case(Workload::TextPointSelect);
        // The machine was slow in the second round: for both.
        for (dauphin, haproxy) in [(6.0, 5.0), (12.0, 10.0), (6.6, 5.5)] {
            grid.add(case, Target::Dauphin, sample(dauphin, 100.0));
            grid.add(case, Target::Haproxy, sample(haproxy, 100.0));
        }
        let ratio = grid.ratio(case, Target::Dauphin, Target::Haproxy, CPU).expect("both were measured");
        assert!((ratio - 1.2).abs() < 1e-9, "{ratio}");
        let cell = grid.cell(case, Target::Haproxy).expect("a cell");
        assert!((cell.median(CPU).expect("samples") - 5.5).abs() < 1e-9);
        assert!((cell.median(USER).expect("samples") - 2.75).abs() < 1e-9);
        assert!((cell.spread(CPU).expect("samples") - 5.0 / 5.5).abs() < 1e-9);
        assert_eq!(grid.ratio(case, Target::Proxysql, Target::Haproxy, CPU), None);
    }
}
