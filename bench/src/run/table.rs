//! The figures, for people.

use super::{
    budget::{Line, Verdict},
    case::Case,
    memory::Memory,
    summary::{CPU, Cell, Figure, Grid, P50, P95, P99, P999, QPS, SYSTEM, USER, WAITED},
    target::Target,
};

/// Prints a case's table as soon as it is known.
pub fn print_case(grid: &Grid, case: Case) {
    println!("\n{}", case.name());
    println!(
        "  {:9} {:>8} {:>8} {:>8} {:>8} {:>8}   {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "",
        "per s",
        "p50 µs",
        "p95",
        "p99",
        "p99.9",
        "CPU µs",
        "user",
        "system",
        "spread",
        "waited",
        "errors"
    );
    for cell in grid.cells.iter().filter(|cell| cell.case == case) {
        print_cell(cell);
    }
    for under in [Target::Haproxy, Target::Proxysql, Target::Direct] {
        print_ratios(grid, case, under);
    }
}

fn print_cell(cell: &Cell) {
    let spread = cell.spread(CPU).or_else(|| cell.spread(QPS));
    println!(
        "  {:9} {} {} {} {} {}   {} {} {} {:>7} {:>7} {:>7}",
        cell.target.name(),
        number(cell.median(QPS), 8, 0),
        number(cell.median(P50), 8, 0),
        number(cell.median(P95), 8, 0),
        number(cell.median(P99), 8, 0),
        number(cell.median(P999), 8, 0),
        number(cell.median(CPU), 7, 2),
        number(cell.median(USER), 7, 2),
        number(cell.median(SYSTEM), 7, 2),
        percent(spread),
        percent(cell.median(WAITED)),
        cell.errors(),
    );
    let mut kinds: Vec<&String> =
        cell.samples.iter().flat_map(|sample| sample.outcome.errors.keys()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        println!("            ! {kind}");
    }
}

fn print_ratios(grid: &Grid, case: Case, under: Target) {
    let figures: [(&str, Figure); 4] = [("CPU", CPU), ("per s", QPS), ("p50", P50), ("p99", P99)];
    let ratios: Vec<String> = figures
        .into_iter()
        .filter_map(|(name, figure)| {
            let ratio = grid.ratio(case, Target::Dauphin, under, figure)?;
            Some(format!("{name} {ratio:.2}"))
        })
        .collect();
    if !ratios.is_empty() {
        println!("  dauphin / {}: {}", under.name(), ratios.join(", "));
    }
}

/// Prints what the proxies hold.
pub fn print_memory(memories: &[Memory]) {
    if memories.is_empty() {
        return;
    }
    println!("\nresident memory of a fresh process");
    for memory in memories {
        let idle: Vec<String> = memory
            .idle
            .iter()
            .map(|(sessions, kib)| format!("{sessions} idle sessions {:.1} MiB", *kib as f64 / 1024.0))
            .collect();
        println!(
            "  {:9} at rest {:.1} MiB, {}; per idle session {} KiB; CPU while idle {:.1} ms/s; slow reader of 1 GiB +{:.1} MiB",
            memory.target.name(),
            memory.rest_kib as f64 / 1024.0,
            idle.join(", "),
            number(memory.per_idle_kib(), 0, 1),
            memory.idle_cpu_ms,
            memory.slow_reader_kib as f64 / 1024.0,
        );
    }
}

/// Prints the budget, line by line.
pub fn print_budget(lines: &[Line]) {
    println!("\nbudget of the first version");
    for line in lines {
        let mark = match line.verdict {
            Verdict::Within => "OK  ",
            Verdict::Over => "OVER",
            Verdict::Unknown => "?   ",
        };
        let got = match (line.got, line.verdict) {
            (None, _) => line.note.clone(),
            (Some(got), Verdict::Unknown) => format!("{got:.2} {}, but {}", line.unit, line.note),
            (Some(got), _) => format!("{got:.2} {}", line.unit),
        };
        println!("  {mark} {:68} {got} (at most {} {})", line.what, line.limit, line.unit);
    }
}

fn number(value: Option<f64>, width: usize, digits: usize) -> String {
    value.map_or_else(|| format!("{:>width$}", "-"), |value| format!("{value:>width$.digits$}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.0} %", value * 100.0))
}
