//! From a text to what it does: `mod` splits it into statements, `verb` tells them apart, each kind has its own file,
//! and `scan` walks through whatever may hold an expression.

mod account;
mod batch;
mod body;
mod body_reads;
mod change;
mod definition;
mod diagnostics;
mod explain;
mod facts;
mod flush;
mod frame;
mod kill;
mod lock;
mod own;
mod prepare;
mod program;
mod scan;
mod scan_from;
mod scan_word;
mod server_state;
mod set;
mod set_value;
mod show;
mod transaction;
mod verb;
mod xa;

#[cfg(test)]
mod tests;

pub use self::body::{Body, Program, Reads, read_body};
pub use self::own::setting;

use self::batch::Batch;
use super::cursor::Cursor;
use super::needs::Needs;
use super::reason::Reason;
use super::statement::{Effect, Statement};
use super::syntax::{Charset, Syntax};

/// What `text` does when a server reads it under `syntax`.
///
/// Takes time linear in the text's length and never panics. Only a text that was understood to its end is called a
/// read.
pub fn classify(text: &[u8], syntax: &Syntax) -> Statement {
    if syntax.charset == Charset::BackslashTrail && !text.is_ascii() {
        return Batch::refused(Reason::EncodingUnsafe);
    }
    let mut cursor = Cursor::new(text, syntax);
    let mut batch = Batch::default();
    loop {
        while cursor.accept_punctuation(b';') {}
        if cursor.token.is_end() {
            return batch.finish(cursor);
        }
        let start = cursor.token.start as usize;
        let mut facts = verb::statement(&mut cursor);
        cursor.skip_statement();
        let part = &text[start..cursor.token.start as usize];
        if facts.effect == Effect::Read && own::asks_for_one_value(part, syntax) {
            facts.needs |= Needs::ONE_VALUE;
        }
        batch.add(facts, part, syntax);
    }
}
