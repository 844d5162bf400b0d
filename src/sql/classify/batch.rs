//! Several statements in one text: as dangerous as the worst of them, and with the changes of all.

use super::facts::Facts;
use crate::sql::cursor::Cursor;
use crate::sql::needs::Needs;
use crate::sql::reason::Reason;
use crate::sql::statement::{Effect, Statement};
use crate::sql::syntax::Syntax;

/// The statements of a text so far.
#[derive(Default)]
pub(super) struct Batch {
    sum: Option<Facts>,
    statements: u32,
}

impl Batch {
    /// Adds a statement, which is this part of the text.
    pub(super) fn add(&mut self, facts: Facts, part: &[u8], syntax: &Syntax) {
        self.statements = self.statements.saturating_add(1);
        match &mut self.sum {
            None => self.sum = Some(facts),
            Some(sum) => {
                let is_doubtful = sum.changes_syntax && !is_read_alike_everywhere(part, syntax);
                merge(sum, facts, is_doubtful);
            }
        }
    }

    pub(super) fn finish(self, cursor: Cursor<'_>) -> Statement {
        let mut facts = self.sum.unwrap_or_else(|| Facts::read(Reason::Empty));
        if cursor.fault() && !matches!(facts.effect, Effect::Own(_)) {
            facts.give_up(Reason::Ambiguous);
        }
        let (wishes, digest) = cursor.finish();
        Statement {
            hint: wishes.hint,
            freshness: wishes.freshness,
            hint_stack: wishes.hint_stack,
            digest,
            statements: self.statements,
            ..statement(facts)
        }
    }

    /// A text of which nothing can be told.
    pub(super) fn refused(reason: Reason) -> Statement {
        statement(Facts::unknown(reason))
    }
}

fn statement(facts: Facts) -> Statement {
    Statement {
        effect: facts.effect,
        reason: facts.reason,
        needs: facts.needs,
        changes: facts.changes,
        variables: facts.variables,
        tables: facts.tables,
        tables_known: facts.tables_known,
        hint: None,
        freshness: None,
        hint_stack: None,
        statements: 1,
        digest: 0,
        calls: facts.calls,
        as_read: facts.as_read,
        kill: facts.kill,
    }
}

/// `is_doubtful`: an earlier statement may have changed how the server reads this one.
fn merge(sum: &mut Facts, next: Facts, is_doubtful: bool) {
    // What a later statement asks of the previous one, an earlier statement of this text answers.
    sum.needs |= next.needs.without(Needs::FOLLOW_UP);
    sum.needs = sum.needs.without(Needs::ONE_VALUE);
    let is_alike = sum.effect == next.effect && matches!(next.effect, Effect::Read | Effect::Session);
    if !is_alike || is_doubtful {
        sum.effect = Effect::Write;
        sum.reason = Reason::Batch;
    }
    sum.changes.extend(next.changes);
    sum.calls.extend(next.calls);
    sum.as_read = None;
    sum.variables.extend(next.variables);
    sum.tables.extend(next.tables);
    sum.tables_known &= next.tables_known;
    sum.changes_syntax |= next.changes_syntax;
    sum.kill = None;
    if is_doubtful {
        sum.forget();
    }
}

/// Whether bytes mean the same in every `sql_mode` and every character set that a session may have.
fn is_read_alike_everywhere(text: &[u8], syntax: &Syntax) -> bool {
    text.is_ascii() && !text.iter().any(|byte| matches!(byte, b'"' | b'\\')) && !syntax.ignore_space
}
