//! Holds what a script got through dauphin against the direct run, and where its steps ran against where they may.

use std::{collections::HashMap, fmt, ops::AddAssign};

use anyhow::Result;

use crate::{
    answer::Answer,
    script::{Command, Place, Script, Step},
    session::{Played, side_by_side},
    witness::Witness,
};

/// What a run comes to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    pub steps: usize,
    /// Steps that may run on replicas, and how many of them ran nowhere else.
    pub replica_safe: usize,
    pub on_replicas: usize,
    pub violations: Vec<String>,
    pub wrong_answers: Vec<String>,
    /// Replica-safe steps that the primary had to serve: no mistake, but there should be few.
    pub on_primary: Vec<String>,
}

impl Verdict {
    /// Judges one run of a script.
    pub fn of(script: &Script, direct: &[Played], through: &[Played], witness: &Witness) -> Result<Self> {
        let mut verdict = Self::default();
        let mut before: HashMap<&str, usize> = HashMap::new();
        for (step, direct, through) in side_by_side(script, direct, through)? {
            verdict.steps += 1;
            let name = format!("{}:{} {}", script.name, step.line, step.text());
            if let Some(difference) = difference(step, &direct.answer, &through.answer) {
                verdict.wrong_answers.push(format!("{name}\n{difference}"));
            }
            let ran = witness.ran(through);
            if let Some(why) = violation(step, through, &ran, before.get(&step.session[..])) {
                verdict.violations.push(format!("{name}\n    {why}, it ran on {}", Nodes(&ran)));
            }
            if step.place == Place::Replica && !ran.is_empty() {
                verdict.replica_safe += 1;
                if ran.contains(&0) {
                    let reason = through.reason.as_deref().unwrap_or_default();
                    verdict.on_primary.push(format!("{name} {reason}"));
                } else {
                    verdict.on_replicas += 1;
                }
            }
            if let Some(last) = ran.last() {
                before.insert(&step.session, *last);
            }
        }
        Ok(verdict)
    }
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.replica_safe += other.replica_safe;
        self.on_replicas += other.on_replicas;
        self.violations.extend(other.violations);
        self.wrong_answers.extend(other.wrong_answers);
        self.on_primary.extend(other.on_primary);
    }
}

/// The lines in which two answers differ; `None` if nothing that matters does.
fn difference(step: &Step, direct: &Answer, through: &Answer) -> Option<String> {
    let comparable = |answer: &Answer| {
        let answer = if step.is_volatile { answer.without_rows() } else { answer.clone() };
        if step.is_unordered { answer.sorted() } else { answer }
    };
    let (direct, through) = (comparable(direct), comparable(through));
    if direct == through {
        return None;
    }
    let lines = |answer: &Answer, who| -> String {
        answer.lines.iter().map(|line| format!("    {who}: {line}\n")).collect()
    };
    Some(lines(&direct, "direct ") + &lines(&through, "dauphin"))
}

/// What is wrong with where a step ran.
fn violation(step: &Step, through: &Played, ran: &[usize], before: Option<&usize>) -> Option<&'static str> {
    let Command::Query(text) = &step.command else {
        return misplaced(step, ran, before);
    };
    // What cannot be parsed is not logged; each statement of a batch is.
    let is_logged = !through.answer.is_error() && matches!(step.place, Place::Replica | Place::Primary);
    if is_logged && ran.is_empty() {
        return Some("no server has logged it");
    }
    // A read whose replica is waited for in vain runs there too, sooner or later, for nobody; the primary answers it.
    let waited_in_vain = step.place == Place::Replica && ran.contains(&0) && ran.len() == 2;
    let may_repeat = waited_in_vain || matches!(step.place, Place::Any | Place::Healed);
    if ran.len() > 1 && !may_repeat && !text.contains(&b';') {
        return Some("it ran more than once");
    }
    misplaced(step, ran, before)
}

fn misplaced(step: &Step, ran: &[usize], before: Option<&usize>) -> Option<&'static str> {
    match step.place {
        Place::Primary if ran.iter().any(|node| *node != 0) => Some("it may run on the primary only"),
        Place::Healed if ran.last().is_some_and(|last| *last != 0) => {
            Some("the primary must have the last word")
        }
        Place::Same if before.is_some_and(|before| ran.iter().any(|node| node != before)) => {
            Some("it belongs where the step before it ran")
        }
        _ => None,
    }
}

struct Nodes<'a>(&'a [usize]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<_> = self.0.iter().map(|node| crate::cluster::NODES[*node]).collect();
        f.write_str(&names.join(", "))
    }
}
