//! The values in a SET.

use super::facts::Facts;
use super::scan::scan_value;
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::lexer::{Kind, Token};
use crate::sql::words::Keyword;

/// Moves over the value of a system variable: the server will tell what came of it.
pub(super) fn variable_value(cursor: &mut Cursor<'_>, facts: &mut Facts) {
    scan_value(cursor, facts);
}

/// Moves over the value of a user variable; its SQL text if it is one literal that means the same under every
/// `sql_mode`.
pub(super) fn user_value(cursor: &mut Cursor<'_>, facts: &mut Facts) -> Option<Box<str>> {
    let sign = match cursor.token.kind {
        Kind::Punctuation(sign @ (b'-' | b'+')) if cursor.next.kind == Kind::Number => {
            cursor.advance();
            Some(char::from(sign))
        }
        _ => None,
    };
    let introducer = introducer(cursor);
    let literal = literal(&cursor.token, cursor.here());
    let is_whole = cursor.next.is_end() || cursor.next.is_punctuation(b',');
    let value = literal.filter(|_| is_whole).map(|literal| {
        let parts = [introducer.as_deref().unwrap_or(""), &literal];
        sign.into_iter().chain(parts.iter().flat_map(|part| part.chars())).collect::<String>().into()
    });
    scan_value(cursor, facts);
    value
}

/// `_utf8mb4` before a string.
fn introducer(cursor: &mut Cursor<'_>) -> Option<String> {
    let is_introducer = cursor.token.kind == Kind::Word
        && cursor.here().first() == Some(&b'_')
        && cursor.next.kind == Kind::String;
    is_introducer.then(|| {
        let name = unquoted(cursor.here());
        cursor.advance();
        name
    })
}

fn literal(token: &Token, text: &[u8]) -> Option<String> {
    match token.kind {
        Kind::Number => Some(unquoted(text)),
        Kind::String => string(text),
        Kind::Word => {
            let constants = [Keyword::Null, Keyword::True, Keyword::False];
            constants.contains(&token.keyword()).then(|| unquoted(text))
        }
        _ => None,
    }
}

/// A string in single quotes; none if it has a backslash, which `NO_BACKSLASH_ESCAPES` reads otherwise, or bytes that
/// are not UTF-8.
fn string(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('\\'))?;
    if text.starts_with('"') {
        return Some(format!("'{}'", unquoted(text.as_bytes()).replace('\'', "''")));
    }
    Some(text.to_owned())
}
