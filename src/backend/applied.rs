//! How far one server is known to be: from polls, and from waits that ended well.

use std::time::Instant;

use crate::topology::gtid::{Position, Reach, Written};

/// The most sequences that are remembered of one server.
const MOST_SEQUENCES: usize = 256;

/// What is known of one server.
#[derive(Debug, Default)]
pub(super) struct Applied {
    reaches: Vec<Reach>,
    /// When the poll was sent that told of every sequence, if one was.
    complete_at: Option<Instant>,
}

impl Applied {
    fn of(&self, position: &Position) -> Option<&Reach> {
        self.reaches.iter().find(|reach| reach.all_up_to.is_of(position))
    }

    /// Whether it has `position` and all before it.
    pub fn has(&self, position: &Position) -> bool {
        self.of(position).is_some_and(|reach| reach.all_up_to.includes(position))
    }

    /// Whether all transactions of the sequence are there without a gap, so that a wait may ask for all up to one.
    pub fn is_without_gaps(&self, position: &Position) -> bool {
        self.of(position).is_some_and(|reach| reach.all_up_to.sequence == reach.last)
    }

    /// Whether it was asked after `since`, and after it had been written, and did not have it.
    pub fn lacked(&self, written: &Written, since: Instant) -> bool {
        let asked = self.complete_at.is_some_and(|asked_at| asked_at > since.max(written.at));
        let position = &written.position;
        asked && self.of(position).is_none_or(|reach| reach.last < position.sequence)
    }

    /// A wait for `position` has ended well.
    pub fn note(&mut self, position: &Position) {
        let reach =
            Reach { all_up_to: Position { sequence: 0, ..position.clone() }, last: position.sequence };
        let known = self.entry(reach);
        known.all_up_to.sequence = known.all_up_to.sequence.max(position.sequence);
    }

    /// A poll that was sent at `asked_at` told of these sequences, and there are no others. None at all tells nothing:
    /// the server has no GTIDs, or did not say.
    pub fn note_all(&mut self, asked_at: Instant, reaches: Vec<Reach>) {
        if reaches.is_empty() {
            return;
        }
        let all_fit = reaches.len() <= MOST_SEQUENCES;
        self.complete_at = all_fit.then_some(asked_at);
        for reach in reaches.into_iter().take(MOST_SEQUENCES) {
            let sequence = reach.all_up_to.sequence;
            let known = self.entry(reach);
            // A wait may have shown more since the question was sent.
            known.all_up_to.sequence = known.all_up_to.sequence.max(sequence);
        }
    }

    fn entry(&mut self, reach: Reach) -> &mut Reach {
        let index = self.reaches.iter().position(|known| known.all_up_to.is_of(&reach.all_up_to));
        let index = index.unwrap_or_else(|| {
            if self.reaches.len() >= MOST_SEQUENCES {
                self.reaches.clear();
                self.complete_at = None;
            }
            self.reaches.push(reach.clone());
            self.reaches.len() - 1
        });
        let known = &mut self.reaches[index];
        known.last = known.last.max(reach.last);
        known
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topology::{Flavour, gtid::reaches};

    const UUID: &str = "819b2208-0000-0000-0000-00000000000a";

    fn at(sequence: u64) -> Position {
        Position { source: 0x819b_2208_0000_0000_0000_0000_0000_000a, tag: "".into(), sequence }
    }

    fn polled(set: &str, asked_at: Instant) -> Applied {
        let mut applied = Applied::default();
        applied.note_all(asked_at, reaches(Flavour::MySql, &set.replace("A:", &format!("{UUID}:"))));
        applied
    }

    #[test]
    fn it_has_what_polls_and_waits_have_shown() {
        let now = Instant::now();
        let mut applied = polled("A:1-17", now);
        assert!(applied.has(&at(17)) && !applied.has(&at(18)));
        applied.note(&at(20));
        applied.note_all(now, reaches(Flavour::MySql, &format!("{UUID}:1-18")));
        assert!(applied.has(&at(20)), "the wait has shown more than the poll");
        assert!(!applied.has(&Position { tag: "t".into(), ..at(1) }));
        assert!(!Applied::default().has(&at(1)));
    }

    #[test]
    fn what_lies_behind_a_gap_is_neither_had_nor_lacked() {
        let now = Instant::now();
        let applied = polled("A:1-17:19-30", now + Duration::from_secs(1));
        let written = Written { position: at(25), at: now };
        assert!(!applied.has(&at(25)) && !applied.lacked(&written, now));
        assert!(!applied.is_without_gaps(&at(25)) && polled("A:1-30", now).is_without_gaps(&at(25)));
    }

    #[test]
    fn only_a_poll_after_the_write_and_the_term_says_that_it_is_lost() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let written = Written { position: at(40), at: start + second };
        let lacked = |asked_at, since| polled("A:1-30", asked_at).lacked(&written, since);
        assert!(lacked(start + 3 * second, start + 2 * second));
        assert!(!lacked(start + 3 * second, start + 4 * second), "the poll is older than the term");
        assert!(!lacked(start + second / 2, start), "the poll is older than the write");
        assert!(!polled("A:1-40", start + 3 * second).lacked(&written, start));
        let other = "819b2208-0000-0000-0000-00000000000b:1-50";
        assert!(polled(other, start + 3 * second).lacked(&written, start), "it knows nothing of the source");
        assert!(!polled("", start + 3 * second).lacked(&written, start), "it said nothing");
        assert!(!Applied::default().lacked(&written, start), "nobody has asked");
    }
}
