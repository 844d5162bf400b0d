//! Bringing a backend connection to the session's state: what it lacks is written in front of the command, in one write.

use std::{sync::Arc, time::Duration};

use dauphin_proto::{
    command::{self, Queries},
    response::Shape,
};

use super::lingering::Left;
use crate::{
    backend::{
        Connection, Exchange, State, connect::ServerError, connection::Charsets, exchange::BackendLost,
    },
    topology::{Flavour, gtid::Position},
};

/// What stands in front of a command, and which answers come before the command's own.
#[derive(Debug)]
pub struct CatchUp {
    /// Packets to send first.
    pub bytes: Vec<u8>,
    queries: Queries,
    answers: Vec<Step>,
}

/// ER_QUERY_INTERRUPTED
const QUERY_INTERRUPTED: u16 = 1317;

/// What a server must have applied before a command runs there.
#[derive(Debug)]
pub struct Wait {
    /// As the server is asked for it.
    pub set: String,
    /// What of it is known to be there from then on.
    pub positions: Vec<Position>,
    /// How long that may take.
    pub at_most: Duration,
}

#[derive(Debug, Clone)]
enum Step {
    State(Shape),
    Wait(Vec<Position>),
}

/// Why the command behind a catch-up must not count.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// The connection is lost.
    #[error(transparent)]
    Lost(#[from] BackendLost),
    /// The server cannot take the session's state, for example because the schema is not there.
    #[error(transparent)]
    Refused(ServerError),
    /// The replica does not have what it was to wait for yet.
    #[error("the replica does not have the writes that must be seen yet")]
    Stale {
        /// All answers have been read and the connection has the session's state: only the command's own response follows.
        is_in_step: bool,
    },
    /// KILL QUERY has ended the wait on its server.
    #[error("the wait for the writes that must be seen was interrupted")]
    Interrupted,
}

impl CatchUp {
    /// What `connection` lacks of `wanted`, as [`CatchUp::and_state`].
    pub fn new(connection: &mut Connection, wanted: &Arc<State>) -> Self {
        Self::with(connection.queries()).and_state(connection, wanted)
    }

    /// Nothing yet, for a connection with such queries.
    pub fn with(queries: Queries) -> Self {
        Self { bytes: Vec::new(), queries, answers: Vec::new() }
    }

    /// Lets the server wait, before all else: it may be for the schema that the command needs.
    pub fn behind(mut self, flavour: Flavour, wait: Option<Box<Wait>>) -> Self {
        if let Some(wait) = wait {
            let question = flavour.wait_for(&wait.set, wait.at_most.as_secs_f64());
            self.queries.put(&mut self.bytes, question.as_bytes());
            self.answers.push(Step::Wait(wait.positions));
        }
        self
    }

    /// And then what `connection` lacks of `wanted`.
    ///
    /// The connection is taken to have it from now on: if the answers say otherwise it must be closed, and is, as an
    /// exchange that is dropped.
    pub fn and_state(self, connection: &mut Connection, wanted: &Arc<State>) -> Self {
        let mut catch_up = self;
        connection.prepared.put_closes(&mut catch_up.bytes);
        if State::same(&connection.state, wanted) {
            return catch_up;
        }
        let has = std::mem::replace(&mut connection.state, wanted.clone());
        if let Some(assignments) = assignments(&has, wanted, &connection.charsets, &connection.sql_mode) {
            catch_up.query(&assignments);
        }
        if has.schema != wanted.schema
            && let Some(schema) = &wanted.schema
        {
            command::put_command(&mut catch_up.bytes, command::code::INIT_DB, schema);
            catch_up.answers.push(Step::State(Shape::Status));
        }
        if let Some(on) = wanted.multi_statements.filter(|_| has.multi_statements != wanted.multi_statements)
        {
            let option = u16::from(!on).to_le_bytes();
            command::put_command(&mut catch_up.bytes, command::code::SET_OPTION, &option);
            catch_up.answers.push(Step::State(Shape::Status));
        }
        catch_up
    }

    /// Whether nothing stands in front.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Makes LAST_INSERT_ID() what the session's last insert made it.
    pub fn last_insert_id(&mut self, value: u64) {
        self.query(format!("SET SESSION last_insert_id={value}").as_bytes());
    }

    /// Makes the connection's last statement like the session's, which left no warnings: it had so many rows, or was
    /// none that has rows.
    pub fn like_previous(&mut self, flavour: Flavour, left: Left) {
        if flavour == Flavour::MariaDb {
            self.forget_warnings();
        }
        const MOST: u64 = 100_000;
        const TEN: &str = "(SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 1 UNION ALL \
             SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 1 UNION ALL SELECT 1)";
        let text = match left {
            Left::Changed(_) => "DO 0".to_owned(),
            Left::Rows(0) => "SELECT 1 FROM DUAL WHERE FALSE".to_owned(),
            Left::Rows(1) => "SELECT 1".to_owned(),
            Left::Rows(rows) => {
                let rows = rows.min(MOST);
                let digits = (rows - 1).checked_ilog10().unwrap_or_default() + 1;
                let tables: Vec<_> = (0..digits).map(|at| format!("{TEN} t{at}")).collect();
                format!("SELECT 1 FROM {} LIMIT {rows}", tables.join(","))
            }
        };
        self.query(text.as_bytes());
    }

    /// Makes MariaDB forget what an older statement has left: there only one that uses a table does.
    pub fn forget_warnings(&mut self) {
        self.query(b"SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE 0");
    }

    /// Makes the connection's last command a COM_PING, which leaves only ROW_COUNT() different.
    pub fn ping(&mut self) {
        command::put_command(&mut self.bytes, command::code::PING, b"");
        self.answers.push(Step::State(Shape::Status));
    }

    /// Switches tracking on again, after the session has set its own.
    pub fn tracking(&mut self, flavour: Flavour) {
        self.query(flavour.tracking().as_bytes());
    }

    fn query(&mut self, text: &[u8]) {
        self.queries.put(&mut self.bytes, text);
        self.answers.push(Step::State(Shape::Query));
    }

    /// Reads the answers that come before the command's own. Not cancel safe: drop the exchange.
    ///
    /// # Errors
    /// See [`CatchUpError`]; the exchange is of no use then, unless the error says so.
    pub async fn answers(self, exchange: &mut Exchange) -> Result<(), CatchUpError> {
        let mut is_stale = false;
        for step in self.answers {
            let shape = if let Step::State(shape) = &step { *shape } else { Shape::Query };
            let answer = exchange.own_response(shape).await?;
            if let Step::Wait(positions) = step {
                if answer.error.as_ref().is_some_and(|error| error.code == QUERY_INTERRUPTED) {
                    return Err(CatchUpError::Interrupted);
                }
                is_stale = answer.first_value() != Some(b"0");
                if !is_stale {
                    positions.iter().for_each(|position| exchange.server().note_applied(position));
                }
            } else if let Some(error) = answer.error {
                // What the state lacks there may be among what it does not have yet.
                let stale = CatchUpError::Stale { is_in_step: false };
                return Err(if is_stale { stale } else { CatchUpError::Refused(error) });
            }
        }
        if is_stale { Err(CatchUpError::Stale { is_in_step: true }) } else { Ok(()) }
    }
}

/// One SET for all variables that differ.
fn assignments(has: &State, wanted: &State, charsets: &Charsets, sql_mode: &[u8]) -> Option<Vec<u8>> {
    let mut set = Assignments { text: Vec::new(), backslash_escapes: backslash_escapes(has) };
    set.names(Names::of(has, charsets), &Names::of(wanted, charsets));
    let is_other = |name: &str| !Charsets::NAMES.contains(&name);
    for name in wanted.variables.keys().filter(|name| is_other(name)) {
        let value = wanted.variable(name);
        if has.variable(name) != value {
            set.variable(name, value);
        }
    }
    let is_unset = |name: &str| is_other(name) && !wanted.variables.contains_key(name);
    for name in has.variables.keys().filter(|name| is_unset(name)) {
        set.variable(name, Some(sql_mode).filter(|_| **name == *"sql_mode"));
    }
    for (name, value) in &wanted.user_variables {
        if has.user_variables.get(name) != Some(value) {
            set.user_variable(name, value);
        }
    }
    for name in has.user_variables.keys().filter(|name| !wanted.user_variables.contains_key(*name)) {
        set.user_variable(name, "NULL");
    }
    (!set.text.is_empty()).then_some(set.text)
}

/// The text that gives one session variable this value, on a new connection.
pub(super) fn setting(name: &str, value: &[u8]) -> Vec<u8> {
    let mut set = Assignments { text: Vec::new(), backslash_escapes: true };
    set.variable(name, Some(value));
    set.text
}

fn backslash_escapes(state: &State) -> bool {
    let mode = state.variable("sql_mode").unwrap_or_default();
    !String::from_utf8_lossy(mode).contains("NO_BACKSLASH_ESCAPES")
}

/// The character sets of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Names<'a> {
    client: &'a [u8],
    connection: &'a [u8],
    results: &'a [u8],
    collation: &'a [u8],
    /// Of results, if SET NAMES or the login has set it.
    results_collation: Option<&'a [u8]>,
}

impl<'a> Names<'a> {
    fn of(state: &'a State, login: &'a Charsets) -> Self {
        let [client, connection, results, collation] =
            Charsets::NAMES.map(|name| state.variable(name).or_else(|| login.get(name)).unwrap_or_default());
        let of_login = (!state.variables.contains_key("character_set_results")).then_some(&*login.values[3]);
        let results_collation =
            state.results_collation.as_deref().or(of_login).filter(|name| !name.is_empty());
        Self { client, connection, results, collation, results_collation }
    }
}

/// Variables that MySQL switches off where they are set to DEFAULT, whatever their global value is (seen on 9.7; it does so
/// with no other variable, and MariaDB 11.8 with none).
const MISTAKEN_DEFAULTS: [&str; 2] = ["foreign_key_checks", "unique_checks"];

/// Variables whose NULL is reported as an empty text, which they do not take or which is something else.
const REPORTED_EMPTY: [&str; 7] = [
    "character_set_results",
    "default_tmp_storage_engine",
    "enforce_storage_engine",
    "external_table_secondary_storage_engine",
    "external_table_storage_engine",
    "innodb_ft_user_stopword_table",
    "innodb_tmpdir",
];

struct Assignments {
    text: Vec<u8>,
    /// Whether the connection reads a backslash as an escape when it reads this.
    backslash_escapes: bool,
}

impl Assignments {
    fn separate(&mut self) {
        self.text.extend_from_slice(if self.text.is_empty() { b"SET " } else { b"," });
    }

    fn names<'a>(&mut self, has: Names<'a>, wanted: &Names<'a>) {
        let mut now = has;
        if (now.results, now.results_collation) != (wanted.results, wanted.results_collation) {
            if let Some(collation) = wanted.results_collation {
                self.separate();
                self.text.extend_from_slice(b"NAMES ");
                self.quoted(wanted.results);
                self.text.extend_from_slice(b" COLLATE ");
                self.quoted(collation);
                let set = wanted.results;
                now =
                    Names { client: set, connection: set, results: set, collation, results_collation: None };
            } else {
                self.variable("character_set_results", Some(wanted.results));
            }
        }
        if now.client != wanted.client {
            self.variable("character_set_client", Some(wanted.client));
        }
        // Setting the one resets the other.
        let connection = now.connection != wanted.connection;
        if connection {
            self.variable("character_set_connection", Some(wanted.connection));
        }
        if connection || now.collation != wanted.collation {
            self.variable("collation_connection", Some(wanted.collation));
        }
    }

    /// `None` for the server's default.
    fn variable(&mut self, name: &str, value: Option<&[u8]>) {
        self.separate();
        self.text.extend_from_slice(b"SESSION ");
        self.text.extend_from_slice(name.as_bytes());
        self.text.push(b'=');
        match value {
            None if MISTAKEN_DEFAULTS.contains(&name) => {
                self.text.extend_from_slice(b"@@GLOBAL.");
                self.text.extend_from_slice(name.as_bytes());
            }
            None => self.text.extend_from_slice(b"DEFAULT"),
            Some(b"") if REPORTED_EMPTY.contains(&name) => self.text.extend_from_slice(b"NULL"),
            Some(number) if is_number(number) => self.text.extend_from_slice(number),
            Some(text) => self.quoted(text),
        }
    }

    fn user_variable(&mut self, name: &str, literal: &str) {
        self.separate();
        self.text.extend_from_slice(b"@`");
        self.text.extend_from_slice(name.replace('`', "``").as_bytes());
        self.text.extend_from_slice(b"`:=");
        self.text.extend_from_slice(literal.as_bytes());
    }

    fn quoted(&mut self, text: &[u8]) {
        self.text.push(b'\'');
        for &byte in text {
            match byte {
                b'\'' => self.text.extend_from_slice(b"''"),
                b'\\' if self.backslash_escapes => self.text.extend_from_slice(b"\\\\"),
                other => self.text.push(other),
            }
        }
        self.text.push(b'\'');
    }
}

fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &b"0"[..]),
    };
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(variables: &[(&str, &str)], user: &[(&str, &str)]) -> State {
        let mut state = State::default();
        state.variables =
            variables.iter().map(|(name, value)| ((*name).into(), value.as_bytes().into())).collect();
        state.user_variables = user.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        state
    }

    fn check(has: &State, wanted: &State, expected: &str) {
        let charsets = Charsets {
            values: ["utf8mb4", "utf8mb4", "utf8mb4", "utf8mb4_general_ci"].map(|v| v.as_bytes().into()),
        };
        let text = assignments(has, wanted, &charsets, b"STRICT_TRANS_TABLES").unwrap_or_default();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn only_what_differs_is_set_and_what_is_too_much_goes_back() {
        let fresh = state(&[], &[]);
        let a = state(&[("sql_mode", "ANSI"), ("sort_buffer_size", "262144")], &[("x", "_utf8mb4'1'")]);
        check(&fresh, &a, "SET SESSION sort_buffer_size=262144,SESSION sql_mode='ANSI',@`x`:=_utf8mb4'1'");
        check(&a, &a.clone(), "");
        check(
            &a,
            &fresh,
            "SET SESSION sort_buffer_size=DEFAULT,SESSION sql_mode='STRICT_TRANS_TABLES',@`x`:=NULL",
        );
        let unchecked = state(&[("foreign_key_checks", "OFF")], &[]);
        check(&unchecked, &fresh, "SET SESSION foreign_key_checks=@@GLOBAL.foreign_key_checks");
    }

    #[test]
    fn character_sets_go_back_to_the_login_s() {
        let latin = state(&[("character_set_client", "latin1"), ("character_set_results", "")], &[]);
        check(
            &state(&[], &[]),
            &latin,
            "SET SESSION character_set_results=NULL,SESSION character_set_client='latin1'",
        );
        check(&latin, &state(&[], &[]), "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'");
    }

    #[test]
    fn a_collation_of_results_is_set_by_set_names() {
        let set = |collation: &str| {
            let mut names = state(
                &[
                    ("character_set_client", "utf8mb4"),
                    ("character_set_connection", "utf8mb4"),
                    ("character_set_results", "utf8mb4"),
                    ("collation_connection", "utf8mb4_bin"),
                ],
                &[],
            );
            names.results_collation = Some(collation.as_bytes().into());
            names
        };
        let (fresh, names) = (state(&[], &[]), set("utf8mb4_bin"));
        check(&fresh, &names, "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'");
        check(&names, &fresh, "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'");
        check(
            &fresh,
            &set("utf8mb4_unicode_ci"),
            "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci',SESSION collation_connection='utf8mb4_bin'",
        );
        let mut plain = names.clone();
        plain.results_collation = None;
        check(
            &fresh,
            &plain,
            "SET SESSION character_set_results='utf8mb4',SESSION collation_connection='utf8mb4_bin'",
        );
    }

    #[test]
    fn values_are_quoted_as_the_connection_reads_them() {
        check(&state(&[], &[]), &state(&[("init", r"a'\b")], &[]), r"SET SESSION init='a''\\b'");
        let plain = state(&[("sql_mode", "NO_BACKSLASH_ESCAPES")], &[]);
        let mut wanted = plain.clone();
        wanted.variables.insert("init".into(), (*br"a'\b").into());
        check(&plain, &wanted, r"SET SESSION init='a''\b'");
    }

    #[test]
    fn a_number_is_told_from_a_text() {
        for (text, number) in [
            ("10", true),
            ("-1", true),
            ("10.000000", true),
            ("", false),
            ("+00:00", false),
            ("1.", false),
            ("ON", false),
        ] {
            assert_eq!(is_number(text.as_bytes()), number, "{text}");
        }
    }
}
