//! The budget of the first version, held against what was measured.

use serde::Serialize;

use super::{
    case::Case,
    memory::Memory,
    summary::{CPU, Grid, P99, USER, WAITED, median},
    target::Target,
};
use crate::load::workload::Workload;

/// One promise, and how it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What is limited.
    pub what: String,
    /// The most it may be.
    pub limit: f64,
    /// What it was; `None` if it was not measured.
    pub got: Option<f64>,
    /// Of both.
    pub unit: &'static str,
    /// Why there is no figure, or why it is doubted.
    pub note: String,
    /// How it stands.
    pub verdict: Verdict,
}

/// How a promise stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Kept.
    Within,
    /// Broken.
    Over,
    /// Not measured, or not so that it could be relied on.
    Unknown,
}

/// Less than this, in µs, is no difference between two latencies on a shared machine.
const NOISE_US: f64 = 5.0;

/// The part of its time that a proxy may wait for its core before its latencies are doubted.
const MOST_WAITED: f64 = 0.15;

impl Line {
    fn new(what: impl Into<String>, got: Option<f64>, limit: f64, unit: &'static str) -> Self {
        let verdict = match got {
            None => Verdict::Unknown,
            Some(got) if got <= limit => Verdict::Within,
            Some(_) => Verdict::Over,
        };
        Self { what: what.into(), limit, got, unit, note: "not measured".into(), verdict }
    }

    fn unless(mut self, note: &str) -> Self {
        note.clone_into(&mut self.note);
        self
    }

    /// A figure that settles nothing, for this reason.
    fn doubted(mut self, reason: &str) -> Self {
        self.verdict = Verdict::Unknown;
        if self.got.is_some() {
            reason.clone_into(&mut self.note);
        }
        self
    }
}

/// The whole budget; a ratio is only in it if both of its sides were measured.
pub fn lines(grid: &Grid, memories: &[Memory]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (under, limit) in [(Target::Haproxy, 1.3), (Target::Proxysql, 0.7)] {
        for case in grid.cases().into_iter().filter(|case| grid.cell(*case, under).is_some()) {
            let what = format!("CPU against {}: {}", under.name(), case.name());
            lines.push(Line::new(what, grid.ratio(case, Target::Dauphin, under, CPU), limit, "×"));
        }
    }
    for case in grid.cases().into_iter().filter(|case| grid.cell(*case, Target::Haproxy).is_some()) {
        let what = format!("p99 added, against haproxy's: {}", case.name());
        let line = Line::new(what, added_p99(grid, case), 1.3, "×");
        let line = line.unless("haproxy adds nothing that can be told from noise");
        lines.push(if is_disturbed(grid, case) {
            line.doubted("the proxies waited for a busy core")
        } else {
            line
        });
    }
    lines.extend(statements(grid));
    lines.extend(memory(memories));
    lines
}

/// Whether something else used the proxies' core for so long that latencies say more of it than of them.
fn is_disturbed(grid: &Grid, case: Case) -> bool {
    let waited = |target| grid.cell(case, target).and_then(|cell| cell.median(WAITED)).unwrap_or_default();
    waited(Target::Haproxy).max(waited(Target::Dauphin)) > MOST_WAITED
}

/// What a proxy adds to the p99 of the servers themselves, as a part of what HAProxy adds.
fn added_p99(grid: &Grid, case: Case) -> Option<f64> {
    let samples = |target| grid.cell(case, target).map(|cell| &cell.samples);
    let (direct, haproxy) = (samples(Target::Direct)?, samples(Target::Haproxy)?);
    let rounds = direct.iter().zip(haproxy).zip(samples(Target::Dauphin)?);
    let added = rounds.filter_map(|((direct, haproxy), dauphin)| {
        let (direct, haproxy, dauphin) = (P99(direct)?, P99(haproxy)?, P99(dauphin)?);
        (haproxy - direct > NOISE_US).then(|| (dauphin - direct) / (haproxy - direct))
    });
    median(added.collect())
}

fn statements(grid: &Grid) -> Vec<Line> {
    let mut lines = Vec::new();
    for case in grid.cases() {
        let dauphin = |case| grid.cell(case, Target::Dauphin);
        if case.workload == Workload::TextPointSelect && case.rate.is_none() {
            let user = dauphin(case).and_then(|cell| cell.median(USER));
            let line = Line::new(format!("user-space CPU: {}", case.name()), user, 1.5, "µs");
            // The kernel splits user from system time by sampling: on a contended core it is a guess.
            lines.push(if is_disturbed(grid, case) {
                line.doubted("the proxies waited for a busy core")
            } else {
                line
            });
        }
        if case.workload == Workload::DistinctLiterals {
            let cached = dauphin(Case { workload: Workload::TextPointSelect, ..case });
            let ratio =
                dauphin(case).zip(cached).and_then(|(missed, hit)| super::summary::ratio(missed, hit, CPU));
            lines.push(Line::new(format!("CPU against the cached: {}", case.name()), ratio, 1.5, "×"));
        }
    }
    lines
}

fn memory(memories: &[Memory]) -> Vec<Line> {
    let dauphin = memories.iter().find(|memory| memory.target == Target::Dauphin);
    let mib = |kib: u64| kib as f64 / 1024.0;
    vec![
        Line::new("resident memory at rest", dauphin.map(|memory| mib(memory.rest_kib)), 15.0, "MiB"),
        Line::new("resident memory per idle session", dauphin.and_then(Memory::per_idle_kib), 16.0, "KiB"),
        Line::new(
            "1 GiB result, slow reader",
            dauphin.map(|memory| mib(memory.slow_reader_kib)),
            20.0,
            "MiB",
        ),
        Line::new("two data threads against one (at least 1.7)", None, 1.7, "×")
            .unless("not measured: the load needs cores of its own beside the two"),
        Line::new("work per tick while sessions are held", None, 0.0, "").unless("not measured here"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{
        process::Cpu,
        summary::tests::{case, sample},
    };

    fn line<'a>(lines: &'a [Line], start: &str) -> &'a Line {
        lines.iter().find(|line| line.what.starts_with(start)).expect(start)
    }

    #[test]
    fn what_is_over_the_limit_is_said_to_be() {
        let (cached, distinct) = (case(Workload::TextPointSelect), case(Workload::DistinctLiterals));
        let mut grid = Grid::default();
        grid.add(cached, Target::Direct, sample(0.0, 100.0));
        grid.add(cached, Target::Haproxy, sample(5.0, 150.0));
        grid.add(cached, Target::Dauphin, sample(6.0, 160.0));
        grid.add(distinct, Target::Haproxy, sample(5.0, 150.0));
        grid.add(distinct, Target::Dauphin, sample(9.6, 160.0));
        let lines = lines(&grid, &[]);
        for (start, got, verdict) in [
            ("CPU against haproxy: text-point-select", Some(1.2), Verdict::Within),
            ("CPU against haproxy: distinct-literals", Some(1.92), Verdict::Over),
            ("p99 added, against haproxy's: text-point-select", Some(1.2), Verdict::Within),
            ("p99 added, against haproxy's: distinct-literals", None, Verdict::Unknown),
            ("user-space CPU", Some(3.0), Verdict::Over),
            ("CPU against the cached", Some(1.6), Verdict::Over),
            ("resident memory at rest", None, Verdict::Unknown),
        ] {
            let line = line(&lines, start);
            assert_eq!(line.verdict, verdict, "{start}");
            let rounded = |value: Option<f64>| value.map(|value| (value * 1e6).round());
            assert_eq!(rounded(line.got), rounded(got), "{start}");
        }
    }

    #[test]
    fn memory_is_counted_per_session() {
        let memory = Memory {
            target: Target::Dauphin,
            rest_kib: 10 * 1024,
            idle: vec![(1000, 20 * 1024), (10_000, 10 * 1024 + 170_000)],
            idle_cpu_ms: 0.0,
            slow_reader_kib: 512,
        };
        let lines = lines(&Grid::default(), &[memory]);
        assert_eq!(line(&lines, "resident memory per idle").got, Some(17.0));
        assert_eq!(line(&lines, "resident memory per idle").verdict, Verdict::Over);
        assert_eq!(line(&lines, "1 GiB result").got, Some(0.5));
    }
    #[test]
    fn latencies_are_doubted_when_the_proxies_waited_for_their_core() {
        let case = case(Workload::TextPointSelect);
        let mut grid = Grid::default();
        let mut waiting = sample(6.0, 160.0);
        waiting.cpu = waiting.cpu.map(|cpu| Cpu { waited: std::time::Duration::from_millis(300), ..cpu });
        grid.add(case, Target::Direct, sample(0.0, 100.0));
        grid.add(case, Target::Haproxy, sample(5.0, 150.0));
        grid.add(case, Target::Dauphin, waiting);
        let lines = lines(&grid, &[]);
        let p99 = line(&lines, "p99 added");
        assert_eq!((p99.verdict, p99.got.is_some()), (Verdict::Unknown, true));
        assert_eq!(line(&lines, "CPU against haproxy").verdict, Verdict::Within);
    }
}
