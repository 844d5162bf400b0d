//! PREPARE, EXECUTE and DEALLOCATE PREPARE.

use super::facts::Facts;
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::lexer::Kind;
use crate::sql::needs::Needs;
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// `PREPARE name FROM 'text'`; from anything else the text is hidden.
pub(super) fn prepare(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let Some(name) = cursor.folded_name() else { return Facts::unknown(Reason::Unparsed) };
    let is_literal =
        cursor.accept(Keyword::From) && cursor.token.kind == Kind::String && cursor.next.is_end();
    let may_lock = !is_literal || may_lock(cursor.here());
    let mut facts =
        if is_literal { Facts::session(Reason::Prepare) } else { Facts::write(Reason::PrepareHidden) };
    if cursor.token.kind == Kind::UserVariable {
        facts.needs |= Needs::USER_VARIABLES;
    }
    let facts = facts.changing(Change::TextPrepare(name));
    // It is not looked into again when it runs.
    if may_lock { facts.changing(Change::NamedLock(None)) } else { facts }
}

/// Whether a text that runs unseen may take a named lock, as far as its own words tell: stored code that it calls is not
/// looked for.
pub(super) fn may_lock(text: &[u8]) -> bool {
    const WORD: &[u8] = b"get_lock";
    text.contains(&b'\\') || text.windows(WORD.len()).any(|word| word.eq_ignore_ascii_case(WORD))
}

/// `EXECUTE name [USING @a, ...]`, and MariaDB's `EXECUTE IMMEDIATE`: of a text that is not known here.
pub(super) fn execute(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let mut facts = Facts::unknown(Reason::Execute);
    if !(cursor.token.is(Keyword::Immediate) && !cursor.next.is_end() && !cursor.next.is(Keyword::Using)) {
        facts.needs |= Needs::TEXT_PREPARED;
    } else if cursor.next.kind != Kind::String || may_lock(cursor.next.text(cursor.text)) {
        facts = facts.changing(Change::NamedLock(None));
    }
    while !cursor.token.is_end() {
        if cursor.token.kind == Kind::UserVariable {
            facts.needs |= Needs::USER_VARIABLES;
        }
        cursor.advance();
    }
    facts
}

/// `DEALLOCATE PREPARE name`, `DROP PREPARE name`.
pub(super) fn deallocate(cursor: &mut Cursor<'_>) -> Facts {
    cursor.accept(Keyword::Deallocate);
    cursor.accept(Keyword::Prepare);
    match cursor.folded_name() {
        Some(name) => Facts::session(Reason::Deallocate).changing(Change::TextDeallocate(name)),
        None => Facts::unknown(Reason::Unparsed),
    }
}
