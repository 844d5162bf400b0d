//! The rounds of each fault, one line each: medians, and the worst where only the worst matters.

use std::{collections::BTreeMap, time::Duration};

use crate::round::Round;

const HEAD: &str = "\
| fault | rounds | write gap ms: median (worst) | of one client | read gap ms: median (worst) | errors | lost | twice | missed | late | two writable ms | new primary | left out |
|---|---|---|---|---|---|---|---|---|---|---|---|---|";

pub fn head() -> &'static str {
    HEAD
}

/// One line of the table.
pub fn line(fault: &str, rounds: &[Round]) -> String {
    let ms = |figure: fn(&Round) -> Duration| {
        let mut figures: Vec<_> = rounds.iter().map(|round| figure(round).as_millis()).collect();
        figures.sort_unstable();
        (median(&figures), figures.last().copied().unwrap_or_default())
    };
    let sum = |figure: fn(&Round) -> usize| rounds.iter().map(figure).sum::<usize>();
    let mut errors: Vec<_> = rounds.iter().map(|round| round.findings.error_count() as u128).collect();
    errors.sort_unstable();
    let (write, worst_write) = ms(|round| round.findings.write_gap);
    let (client, worst_client) = ms(|round| round.findings.client_write_gap);
    let (read, worst_read) = ms(|round| round.findings.read_gap);
    let (_, both) = ms(|round| round.both_writable);
    let mut primaries: BTreeMap<&str, usize> = BTreeMap::new();
    for round in rounds {
        *primaries.entry(round.primary).or_default() += 1;
    }
    let primaries: Vec<_> = primaries.iter().map(|(name, count)| format!("{name} {count}")).collect();
    format!(
        "| {fault} | {} | {write} ({worst_write}) | {client} ({worst_client}) | {read} ({worst_read}) | {} | {} | {} | {} | {} | {both} | {} | {} |",
        rounds.len(),
        median(&errors),
        sum(|round| round.findings.lost),
        sum(|round| round.findings.twice),
        sum(|round| round.findings.missed),
        sum(|round| round.findings.late),
        primaries.join(", "),
        rounds.iter().filter(|round| !round.left_out.is_empty()).count(),
    )
}

/// Of all rounds, how often each error was seen.
pub fn errors(rounds: &[Round]) -> String {
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    for (error, count) in rounds.iter().flat_map(|round| &round.findings.errors) {
        *all.entry(error).or_default() += count;
    }
    all.iter().map(|(error, count)| format!("    {count} x {error}\n")).collect()
}

fn median(sorted: &[u128]) -> u128 {
    match sorted {
        [] => 0,
        [.., _] if sorted.len() % 2 == 1 => sorted[sorted.len() / 2],
        _ => (sorted[sorted.len() / 2 - 1] + sorted[sorted.len() / 2]) / 2,
    }
}
