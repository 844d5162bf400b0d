//! What a session remembers of its routing, and the statements that are known without a text.

use std::sync::{Arc, LazyLock};

use dauphin_proto::command::{REFRESH_GRANT, REFRESH_STATUS};

use crate::{
    backend::{Server, ServerId},
    routing::decide::Reason,
    sql::{Change, Charset, Effect, Needs, Reason as Text, Statement},
};

pub use crate::routing::decide::Role;

/// Where the last statement went.
#[derive(Debug, Default)]
pub struct Route {
    /// Of the last statement; `None` if it was sent to no server.
    pub last: Option<Last>,
    /// Who ran the one before it, or an earlier one.
    before: Option<ServerId>,
    /// Where the command that runs now was sent.
    pub sent_to: Option<(ServerId, Role)>,
    /// The number of the packet that ends the login.
    pub login_sequence: u8,
}

/// Where a statement was sent, and why there.
#[derive(Debug)]
pub struct Last {
    /// The server.
    pub server: Arc<Server>,
    /// As what.
    pub role: Role,
    /// Why it.
    pub reason: Reason,
    /// The statement, if it had a text; known once it is done.
    pub statement: Option<Arc<Statement>>,
}

impl Route {
    /// Another statement begins.
    pub fn forget_last(&mut self) {
        if let Some(last) = self.last.take() {
            self.before = Some(last.server.id);
        }
    }

    /// Who ran the last statement that was sent anywhere.
    pub fn last_server(&self) -> Option<ServerId> {
        self.last.as_ref().map(|last| last.server.id).or(self.before)
    }

    /// The last statement is done: what it was is kept for who asks where it went.
    pub fn done(&mut self, statement: Arc<Statement>) {
        if let Some(last) = self.last.as_mut().filter(|last| last.statement.is_none()) {
            last.statement = Some(statement);
        }
    }
}

fn known(effect: Effect, reason: Text, changes: Vec<Change>) -> Arc<Statement> {
    Arc::new(Statement {
        effect,
        reason,
        needs: Needs::NONE,
        changes,
        variables: Vec::new(),
        tables: Vec::new(),
        tables_known: false,
        calls: Vec::new(),
        as_read: None,
        hint: None,
        freshness: None,
        hint_stack: None,
        statements: 1,
        digest: 0,
        kill: None,
    })
}

/// COM_INIT_DB: the server's tracking says which schema.
pub static USE: LazyLock<Arc<Statement>> =
    LazyLock::new(|| known(Effect::Session, Text::Use, vec![Change::SystemVariables]));
/// COM_FIELD_LIST.
pub static FIELD_LIST: LazyLock<Arc<Statement>> =
    LazyLock::new(|| known(Effect::Read, Text::CatalogRead, Vec::new()));
/// COM_REFRESH of these parts: FLUSH.
pub fn refresh(parts: u8) -> Arc<Statement> {
    let all = [(REFRESH_GRANT, Change::GlobalState), (REFRESH_STATUS, Change::SessionRecords)];
    let changes = all.into_iter().filter(|(part, _)| parts & part != 0).map(|(_, change)| change);
    known(Effect::Write, Text::Flush, changes.collect())
}

/// COM_STATISTICS, COM_DEBUG: of one server.
pub static SERVER: LazyLock<Arc<Statement>> =
    LazyLock::new(|| known(Effect::Write, Text::ServerShow, Vec::new()));
/// COM_REGISTER_SLAVE, COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID: what the first has said is of one connection.
pub static BINARY_LOG: LazyLock<Arc<Statement>> =
    LazyLock::new(|| known(Effect::Write, Text::Replication, vec![Change::Unknown]));
/// A command too long to be kept whole.
pub static LONG: LazyLock<Arc<Statement>> =
    LazyLock::new(|| known(Effect::Write, Text::Unparsed, vec![Change::Unknown]));

/// The kind of a collation's character set, by the collation's number in a login.
pub fn charset_of_collation(collation: u8) -> Charset {
    // MySQL manual, INFORMATION_SCHEMA.COLLATIONS: the multi-byte sets in which a second byte may look like ASCII.
    const BACKSLASH_TRAIL: [u8; 13] = [1, 13, 28, 84, 87, 88, 95, 96, 248, 249, 250, 35, 90];
    const UTF8: [u8; 9] = [33, 45, 46, 83, 11, 65, 76, 255, 224];
    match collation {
        _ if BACKSLASH_TRAIL.contains(&collation) => Charset::BackslashTrail,
        _ if UTF8.contains(&collation) || (192..=247).contains(&collation) => Charset::Utf8,
        0 => Charset::Utf8,
        _ => Charset::AsciiSafe,
    }
}
