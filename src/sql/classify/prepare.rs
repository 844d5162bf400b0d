//! PREPARE, EXECUTE and DEALLOCATE PREPARE.

use super::facts::Facts;
use crate::sql::change::{Change, Code};
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
    let runs = if is_literal { hidden_in(cursor.here()) } else { Code::UNKNOWN };
    let mut facts =
        if is_literal { Facts::session(Reason::Prepare) } else { Facts::write(Reason::PrepareHidden) };
    if cursor.token.kind == Kind::UserVariable {
        facts.needs |= Needs::USER_VARIABLES;
    }
    // It is not looked into again when it runs.
    facts.changing(Change::TextPrepare(name)).running(runs)
}

/// What a text that runs unseen may leave, as far as its own words tell, and servers do not report: stored functions and
/// triggers are not looked for.
pub(super) fn hidden_in(text: &[u8]) -> Code {
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    // An escape can be a part of a word.
    let is_unclear = has(b"\\");
    let calls = is_unclear || has(b"call");
    let receives = || [&b":="[..], b"into", b"diagnostics"].into_iter().any(has);
    Code {
        may_lock: is_unclear || has(b"get_lock"),
        may_set: false,
        may_assign: calls || has(b"@") && receives(),
        may_create: calls || has(b"temporary"),
    }
}

/// `EXECUTE name [USING @a, ...]`, and MariaDB's `EXECUTE IMMEDIATE`: of a text that is not known here.
pub(super) fn execute(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    let mut facts = Facts::unknown(Reason::Execute);
    if !(cursor.token.is(Keyword::Immediate) && !cursor.next.is_end() && !cursor.next.is(Keyword::Using)) {
        facts.needs |= Needs::TEXT_PREPARED;
    } else {
        let is_literal = cursor.next.kind == Kind::String;
        facts =
            facts.running(if is_literal { hidden_in(cursor.next.text(cursor.text)) } else { Code::UNKNOWN });
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
