//! How far replicas are behind, from what servers say they have executed: nothing need be written for it, and no two
//! clocks are compared.
//!
//! Every poll of the primary is a sample: at this moment of dauphin's own clock it had this set. A replica that lacks a
//! transaction is behind since that was committed, which was between the last poll of the primary without it and the
//! first with it. An idle primary adds nothing, so nobody falls behind; a replica that stopped applying falls behind
//! with the primary's next write, whatever its own clock and threads say.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Gtids;

/// How many steps are remembered. When there are more, the older ones are joined in pairs: all time since the start of
/// the term stays in reach, further back in coarser steps.
const MOST_STEPS: usize = 512;

/// How often a replica must be above the limit before it takes no reads, and below half of it before it does again.
const POLLS_TO_LEAVE: u8 = 2;
const POLLS_TO_RETURN: u8 = 4;

/// What one primary had when.
#[derive(Debug, Default)]
pub struct Lags(Option<History>);

#[derive(Debug)]
struct History {
    /// The first sample: nothing is known of when its transactions were committed, but that it was earlier.
    first: Gtids,
    first_at: Instant,
    /// What it has grown by, oldest first.
    steps: VecDeque<Step>,
    /// The latest sample, and when the primary was last asked.
    newest: Gtids,
    newest_at: Instant,
}

/// Transactions that were committed between two polls of the primary.
#[derive(Debug)]
struct Step {
    /// When the primary was asked and had none of them yet.
    after: Instant,
    /// When it was asked and had them all.
    until: Instant,
    transactions: Gtids,
}

impl Lags {
    /// The primary said that it has executed `executed`; `asked_at` is when the question was sent.
    ///
    /// A set that is not at least the one before is of another server or of a rebuilt one: everything begins anew.
    pub fn note_primary(&mut self, asked_at: Instant, executed: &Gtids) {
        match &mut self.0 {
            Some(history) if history.newest == *executed => history.newest_at = asked_at,
            Some(history) if executed.covers(&history.newest) => history.grow(asked_at, executed),
            _ => {
                self.0 = Some(History {
                    first: executed.clone(),
                    first_at: asked_at,
                    steps: VecDeque::new(),
                    newest: executed.clone(),
                    newest_at: asked_at,
                });
            }
        }
    }

    /// How far a server that has executed `executed` at `now` is behind the primary; `None` if the primary has not been
    /// asked yet.
    ///
    /// Right to the time between two polls of the primary: where several transactions came between two polls they are
    /// taken to have come evenly, and a single one right behind the earlier poll, which makes the lag rather too long.
    /// Of what was committed before the first sample it is the least that is sure. While the primary cannot be asked it
    /// is what is known: a server that has all that the primary was seen to have is not behind.
    pub fn of(&self, executed: &Gtids, now: Instant) -> Option<Duration> {
        let history = self.0.as_ref()?;
        if executed.covers(&history.newest) {
            return Some(Duration::ZERO);
        }
        let since = if executed.covers(&history.first) {
            let step = history.steps.iter().find(|step| !executed.covers(&step.transactions));
            step.map_or(history.newest_at, |step| step.first_missing(executed))
        } else {
            history.first_at
        };
        Some(now.saturating_duration_since(since))
    }

    /// The same, if it is known: a server that lacks what was committed before the first sample is behind for longer, and
    /// only what is `said` of it tells how long, by its heartbeat or by itself.
    pub fn known(&self, executed: &Gtids, now: Instant, said: Option<Duration>) -> Option<Duration> {
        let least = self.of(executed, now)?;
        let is_exact = self.0.as_ref().is_some_and(|history| executed.covers(&history.first));
        if is_exact { Some(least) } else { said.map(|said| said.max(least)) }
    }

    /// Forgets everything: another server is primary.
    pub fn reset(&mut self) {
        self.0 = None;
    }
}

impl History {
    fn grow(&mut self, asked_at: Instant, executed: &Gtids) {
        let transactions = executed.minus(&self.newest);
        self.steps.push_back(Step { after: self.newest_at, until: asked_at, transactions });
        self.newest = executed.clone();
        self.newest_at = asked_at;
        if self.steps.len() > MOST_STEPS {
            self.join_older();
        }
    }

    /// Joins the older half in pairs.
    fn join_older(&mut self) {
        let newer = self.steps.split_off(MOST_STEPS / 2);
        let mut older = std::mem::take(&mut self.steps).into_iter();
        while let Some(mut step) = older.next() {
            if let Some(next) = older.next() {
                step.transactions = step.transactions.union(&next.transactions);
                step.until = next.until;
            }
            self.steps.push_back(step);
        }
        self.steps.extend(newer);
    }
}

impl Step {
    /// When the first transaction that is not in `executed` was committed, if they came evenly.
    fn first_missing(&self, executed: &Gtids) -> Instant {
        let all = self.transactions.count().max(1);
        let present = all.saturating_sub(executed.lacks(&self.transactions).max(1));
        let span = self.until.saturating_duration_since(self.after);
        self.after + span.mul_f64(present as f64 / all as f64)
    }
}

/// Whether one replica is near enough to the primary to take reads under the cluster's limit: it leaves when it was above
/// the limit twice in a row, and returns when it was below half of it four times.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fitness {
    behind: bool,
    /// How often in a row it has been seen on the other side.
    streak: u8,
}

impl Fitness {
    /// Takes in the lag at one more poll and answers whether it may take reads. A lag that is not known changes nothing:
    /// the replica is as good as it was. Without a limit (`max`) every replica is.
    pub fn judge(&mut self, lag: Option<Duration>, max: Option<Duration>) -> bool {
        let Some(max) = max else {
            *self = Self::default();
            return true;
        };
        let Some(lag) = lag else { return !self.behind };
        let (on_the_other_side, enough) = match self.behind {
            false => (lag > max, POLLS_TO_LEAVE),
            true => (lag < max / 2, POLLS_TO_RETURN),
        };
        self.streak = if on_the_other_side { self.streak + 1 } else { 0 };
        if self.streak >= enough {
            *self = Self { behind: !self.behind, streak: 0 };
        }
        !self.behind
    }
}

#[cfg(test)]
mod tests;
