//! Tells statements apart by their first words.

use super::facts::Facts;
use super::frame::Frame;
use super::scan::scan;
use super::{
    account, change, definition, diagnostics, explain, flush, kill, lock, own, prepare, program, set, show,
    transaction, xa,
};
use crate::sql::change::Change;
use crate::sql::cursor::Cursor;
use crate::sql::reason::Reason;
use crate::sql::syntax::Flavour;
use crate::sql::words::Keyword;

/// Reads one statement; what is left of it afterwards says nothing more.
pub(super) fn statement(cursor: &mut Cursor<'_>) -> Facts {
    if cursor.token.is_punctuation(b'(') {
        return query(cursor);
    }
    match cursor.token.keyword() {
        Keyword::Select | Keyword::With | Keyword::Table | Keyword::Values => query(cursor),
        Keyword::Insert | Keyword::Replace => change::insert(cursor),
        Keyword::Update => change::update(cursor),
        Keyword::Delete => change::delete(cursor),
        Keyword::Truncate => definition::truncate(cursor),
        Keyword::Call => program::call(cursor),
        Keyword::Load => change::load(cursor),
        Keyword::Import => Facts::write(Reason::Load),
        Keyword::Do => expressions(cursor, Reason::Do),
        Keyword::Begin => transaction::begin(cursor),
        Keyword::Start => transaction::start(cursor),
        Keyword::Commit | Keyword::Rollback => transaction::end(cursor),
        Keyword::Savepoint | Keyword::Release => Facts::write(Reason::Savepoint),
        Keyword::Set => set::set(cursor),
        Keyword::Use => set::use_schema(cursor),
        Keyword::Show => show::show(cursor),
        Keyword::Desc | Keyword::Describe | Keyword::Explain => explain::explain(cursor),
        Keyword::Help => Facts::read(Reason::CatalogRead),
        Keyword::Checksum => show::checksum(cursor),
        Keyword::Analyze => explain::analyze(cursor),
        _ => rarer(cursor),
    }
}

/// A read, until the walk through it finds something against it.
pub(super) fn query(cursor: &mut Cursor<'_>) -> Facts {
    let mut facts = Facts::read(Reason::PlainRead);
    scan(cursor, &mut facts, Frame::query());
    if !facts.has_query {
        facts.give_up(Reason::Unparsed);
    }
    facts
}

fn expressions(cursor: &mut Cursor<'_>, reason: Reason) -> Facts {
    cursor.advance();
    let mut facts = Facts::read(reason);
    scan(cursor, &mut facts, Frame::default());
    facts
}

fn rarer(cursor: &mut Cursor<'_>) -> Facts {
    match cursor.token.keyword() {
        Keyword::Create => definition::create(cursor),
        Keyword::Alter => definition::alter(cursor),
        Keyword::Drop => definition::drop(cursor),
        Keyword::Rename => definition::rename(cursor),
        Keyword::Grant | Keyword::Revoke => account::change(cursor),
        Keyword::Execute => prepare::execute(cursor),
        Keyword::Prepare => prepare::prepare(cursor),
        Keyword::Deallocate => prepare::deallocate(cursor),
        Keyword::Lock => lock::lock(cursor),
        Keyword::Unlock => lock::unlock(cursor),
        Keyword::Backup => lock::backup(cursor),
        Keyword::Handler => lock::handler(cursor),
        Keyword::Flush => flush::flush(cursor),
        Keyword::Reset => flush::reset(cursor),
        Keyword::Purge => Facts::write(Reason::Flush),
        Keyword::Xa => xa::xa(cursor),
        Keyword::Kill => kill::kill(cursor),
        Keyword::Optimize | Keyword::Repair | Keyword::Check | Keyword::Cache => {
            Facts::write(Reason::Maintenance)
        }
        Keyword::Get => diagnostics::get(cursor),
        Keyword::Signal | Keyword::Resignal => Facts::write(Reason::Signal),
        Keyword::Stop | Keyword::Change | Keyword::Binlog => Facts::write(Reason::Replication),
        Keyword::Install | Keyword::Uninstall | Keyword::Shutdown | Keyword::Restart | Keyword::Clone => {
            Facts::write(Reason::Server)
        }
        Keyword::If
        | Keyword::Case
        | Keyword::Loop
        | Keyword::Repeat
        | Keyword::While
        | Keyword::For
        | Keyword::Declare => program::compound(cursor),
        Keyword::Router => own::router(cursor),
        _ => Facts::unknown(Reason::Unparsed),
    }
}

/// The statement behind `SET STATEMENT ... FOR`, `EXPLAIN` or `ANALYZE`.
pub(super) fn is_query(cursor: &Cursor<'_>) -> bool {
    let begins =
        matches!(cursor.token.keyword(), Keyword::Select | Keyword::With | Keyword::Table | Keyword::Values);
    begins || cursor.token.is_punctuation(b'(')
}

pub(super) fn is_mariadb(cursor: &Cursor<'_>) -> bool {
    cursor.syntax.flavour == Flavour::MariaDb
}

/// Something this reader did not expect stands where the statement should end.
pub(super) fn expect_end(cursor: &Cursor<'_>, facts: &mut Facts) {
    if !cursor.token.is_end() {
        facts.give_up(Reason::Unparsed);
    }
}

/// A write of this reason that changes one thing.
pub(super) fn write_changing(reason: Reason, change: Change) -> Facts {
    Facts::write(reason).changing(change)
}
