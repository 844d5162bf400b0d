//! Stored programs and compound statements: their bodies hold semicolons that end nothing.

use super::facts::Facts;
use super::prepare;
use super::scan::scan_arguments;
use crate::sql::called::{Called, Kind as CalledKind};
use crate::sql::change::{Change, Code};
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::lexer::{Kind, is_word_byte};
use crate::sql::reason::Reason;
use crate::sql::words::Keyword;

/// CALL: what it does is its procedure's to say; it has perhaps user variables to write its results to.
pub(super) fn call(cursor: &mut Cursor<'_>) -> Facts {
    cursor.advance();
    while cursor.next.is_punctuation(b'.') {
        cursor.advance();
        cursor.advance();
    }
    if !cursor.token.is_name() {
        return Facts::unknown(Reason::Call);
    }
    let mut facts = Facts::write(Reason::Call).changing(Change::StoredCode(Code::UNKNOWN));
    facts.tables_known = false;
    facts.calls.push(called(cursor, CalledKind::Procedure));
    cursor.advance();
    scan_arguments(cursor, &mut facts);
    facts
}

/// The routine whose name is here, as it is written.
pub(super) fn called(cursor: &Cursor<'_>, kind: CalledKind) -> Called {
    let is_qualified = cursor.previous.is_punctuation(b'.');
    let schema = is_qualified.then(|| qualifier(&cursor.text[..cursor.previous.start as usize]));
    Called { kind, schema, name: unquoted(cursor.here()).to_lowercase().into() }
}

/// The name at the end of a text that goes up to a dot; empty, which no schema's name is, if that is not one plain name.
fn qualifier(text: &[u8]) -> Box<str> {
    let text = text.trim_ascii_end();
    let start = match text.split_last() {
        Some((quote @ (b'`' | b'"'), inner)) => inner.iter().rposition(|byte| byte == quote),
        _ => Some(text.iter().rposition(|&byte| !is_word_byte(byte)).map_or(0, |at| at + 1)),
    };
    let Some(start) = start else { return "".into() };
    let before = text[..start].trim_ascii_end().last();
    if matches!(before, Some(b'.' | b'`' | b'"')) {
        return "".into();
    }
    unquoted(&text[start..]).to_lowercase().into()
}

/// A compound statement outside a stored program: to the end of the text, for it is not worth knowing where it ends.
pub(super) fn compound(cursor: &mut Cursor<'_>) -> Facts {
    let start = cursor.token.start as usize;
    while cursor.token.kind != Kind::End {
        cursor.step();
    }
    Facts::unknown(Reason::Compound).running(prepare::hidden_in(&cursor.text[start..]))
}

/// Moves behind the body of a stored program, at whose head the cursor is somewhere; `false` if that is not certain.
///
/// Only BEGIN and CASE open what a lone END closes; `END IF`, `END LOOP` and the like close what is not counted. A
/// body that is one IF or LOOP is cut too short, and its rest is then no known statement. Where a text cannot hold
/// several statements the body goes to its end.
pub(super) fn skip_body(cursor: &mut Cursor<'_>) -> bool {
    let is_alone = !cursor.syntax.multi_statements;
    let mut depth = 0_i64;
    while cursor.token.kind != Kind::End {
        match cursor.token.keyword() {
            _ if depth == 0 && cursor.token.is_end() && !is_alone => return true,
            Keyword::Begin | Keyword::Case => depth += 1,
            Keyword::End => depth -= closes(cursor),
            _ => {}
        }
        cursor.step();
    }
    depth == 0 || is_alone
}

fn closes(cursor: &mut Cursor<'_>) -> i64 {
    match cursor.next.keyword() {
        Keyword::Case => {
            cursor.advance();
            1
        }
        Keyword::If | Keyword::Loop | Keyword::Repeat | Keyword::While | Keyword::For => {
            cursor.advance();
            0
        }
        _ => 1,
    }
}
