//! What dauphin itself tells a client when something fails: MySQL's own numbers and words where one fits.

use std::borrow::Cow;

use dauphin_proto::reply;

use crate::{backend::connect::ServerError, topology::Flavour};

/// An error for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} ({sqlstate}): {message}")]
pub struct ClientError {
    /// MySQL's number.
    pub code: u16,
    /// MySQL's five characters for it.
    pub sqlstate: &'static str,
    /// What was wrong, and what to do where that is not plain.
    pub message: Cow<'static, str>,
}

/// MySQL ends some sentences that MariaDB leaves open.
fn full_stop(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MySql => ".",
        Flavour::MariaDb => "",
    }
}

impl ClientError {
    fn new(code: u16, sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, sqlstate, message: message.into() }
    }

    /// 1040 ER_CON_COUNT_ERROR
    pub fn too_many_connections(detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Too many connections".to_owned()
        } else {
            format!("Too many connections: {detail}")
        };
        Self::new(1040, "08004", message)
    }

    /// 1043 ER_HANDSHAKE_ERROR
    pub fn bad_handshake() -> Self {
        Self::new(1043, "08S01", "Bad handshake")
    }

    /// 1045 ER_ACCESS_DENIED_ERROR, with the client's own host as a server would have it.
    pub fn access_denied(user: &str, host: &str, with_password: bool) -> Self {
        let used = if with_password { "YES" } else { "NO" };
        Self::new(1045, "28000", format!("Access denied for user '{user}'@'{host}' (using password: {used})"))
    }

    /// 1047 ER_UNKNOWN_COM_ERROR
    pub fn unknown_command() -> Self {
        Self::new(1047, "08S01", "Unknown command")
    }

    /// 1095 ER_KILL_DENIED_ERROR
    pub fn not_owner(id: u64) -> Self {
        Self::new(1095, "HY000", format!("You are not owner of thread {id}"))
    }

    /// 1094 ER_NO_SUCH_THREAD
    pub fn no_such_thread(id: u64) -> Self {
        Self::new(1094, "HY000", format!("Unknown thread id: {id}"))
    }

    /// 1105 ER_UNKNOWN_ERROR, for what an operator asked for and is not done.
    pub fn not_done(why: impl Into<String>) -> Self {
        Self::new(1105, "HY000", why.into())
    }

    /// 1193 ER_UNKNOWN_SYSTEM_VARIABLE
    pub fn unknown_variable(name: &str) -> Self {
        Self::new(1193, "HY000", format!("Unknown system variable '{name}'"))
    }

    /// 1295 ER_UNSUPPORTED_PS
    pub fn not_prepared() -> Self {
        Self::new(1295, "HY000", "This command is not supported in the prepared statement protocol yet")
    }

    /// 1317 ER_QUERY_INTERRUPTED
    pub fn interrupted() -> Self {
        Self::new(1317, "70100", "Query execution was interrupted")
    }

    /// 1421 ER_STMT_HAS_NO_OPEN_CURSOR
    pub fn no_cursor(id: u32, flavour: Flavour) -> Self {
        Self::new(1421, "HY000", format!("The statement ({id}) has no open cursor{}", full_stop(flavour)))
    }

    /// 1153 ER_NET_PACKET_TOO_LARGE
    pub fn packet_too_large() -> Self {
        Self::new(
            1153,
            "08S01",
            "Got a packet bigger than 'max_allowed_packet' bytes (limit [limits] max_command)",
        )
    }

    /// 1156 ER_NET_PACKETS_OUT_OF_ORDER
    pub fn packets_out_of_order() -> Self {
        Self::new(1156, "08S01", "Got packets out of order")
    }

    /// 1159 ER_NET_READ_INTERRUPTED
    pub fn login_timeout() -> Self {
        Self::new(1159, "08S01", "Got timeout reading communication packets (limit [listen] login_timeout)")
    }

    /// 1227 ER_SPECIFIC_ACCESS_DENIED_ERROR
    pub fn not_allowed(why: &str) -> Self {
        Self::new(1227, "42000", format!("Access denied; {why}"))
    }

    /// 1243 ER_UNKNOWN_STMT_HANDLER
    pub fn unknown_statement(id: u32, command: &str) -> Self {
        Self::new(1243, "HY000", format!("Unknown prepared statement handler ({id}) given to {command}"))
    }

    /// 1461 ER_MAX_PREPARED_STMT_COUNT_REACHED
    pub fn too_many_statements(limit: usize) -> Self {
        let message = format!(
            "Can't create more than {limit} prepared statements in a session (limit [cache] prepared_per_session)"
        );
        Self::new(1461, "42000", message)
    }

    /// 1231 ER_WRONG_VALUE_FOR_VAR: a client may not have this character set.
    pub fn not_for_clients(charset: &str) -> Self {
        Self::new(
            1231,
            "42000",
            format!("Variable 'character_set_client' can't be set to the value of '{charset}'"),
        )
    }

    /// 1792 ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
    pub fn read_only_transaction(flavour: Flavour) -> Self {
        let message = format!("Cannot execute statement in a READ ONLY transaction{}", full_stop(flavour));
        Self::new(1792, "25006", message)
    }

    /// 1835 ER_MALFORMED_PACKET
    pub fn malformed_packet() -> Self {
        Self::new(1835, "HY000", "Malformed communication packet.")
    }

    /// 3159 ER_SECURE_TRANSPORT_REQUIRED
    pub fn tls_required() -> Self {
        Self::new(
            3159,
            "08004",
            "Connections using insecure transport are prohibited ([tls.client] mode is required)",
        )
    }

    /// 4031 ER_CLIENT_INTERACTION_TIMEOUT, which MySQL sends before it closes the connection, without being asked.
    pub fn idle_too_long() -> Self {
        let message = "The client was disconnected by the server because of inactivity. See wait_timeout and \
                       interactive_timeout for configuring this behavior.";
        Self::new(4031, "HY000", message)
    }

    /// 9001: ProxySQL's number for "no server in time", which users look for.
    pub fn no_server(cause: impl std::fmt::Display) -> Self {
        Self::new(9001, "HY000", cause.to_string())
    }

    /// 9001 too: no replica is near enough to the primary for a read, and the config forbids anything else.
    pub fn too_stale(limit: &str) -> Self {
        Self::no_server(format!(
            "every replica is further behind than {limit}, and [routing] when_stale is \"error\": try again later, \
             or allow more for the session (ROUTER SET max_replica_lag) or the statement (/* dauphin:max_lag=... */)"
        ))
    }

    /// 1053 ER_SERVER_SHUTDOWN, which drivers take for a lost connection: the session ends after it.
    pub fn lost(detail: impl std::fmt::Display) -> Self {
        Self::new(1053, "08S01", format!("Lost connection to MySQL server during query: {detail}"))
    }

    /// 1064 ER_PARSE_ERROR, for dauphin's own statements.
    pub fn syntax(detail: &str) -> Self {
        Self::new(1064, "42000", detail.to_owned())
    }

    /// 1064 ER_PARSE_ERROR, for a ROUTER SET.
    pub fn unknown_setting(what: &str) -> Self {
        Self::syntax(&format!(
            "ROUTER SET does not know '{what}'; write access_mode = 'read_write' | 'read_only' | 'auto', \
             max_replica_lag = milliseconds | 'off' | 'default', \
             consistency = 'eventual' | 'session' | 'global' | 'default', wait_for_my_writes = 0 | 1 or \
             wait_for_my_writes_timeout = seconds"
        ))
    }

    /// 1064 ER_PARSE_ERROR, for a query attribute of MySQL Router's.
    pub fn unknown_attribute(name: &str, value: &str) -> Self {
        Self::syntax(&format!("Query attribute {name} is unknown, or its value '{value}'"))
    }

    /// Appends the ERR packet's payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut sqlstate = *b"HY000";
        sqlstate.copy_from_slice(self.sqlstate.as_bytes());
        reply::Err { code: self.code, sqlstate, message: self.message.as_bytes() }.put(out);
    }
}

/// What goes to a client as an ERR packet: dauphin's own words or a server's, unchanged.
#[derive(Debug, Clone)]
pub enum Answer {
    /// dauphin's.
    Own(ClientError),
    /// A server's.
    Server(ServerError),
}

impl From<ClientError> for Answer {
    fn from(error: ClientError) -> Self {
        Self::Own(error)
    }
}

impl From<ServerError> for Answer {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

impl Answer {
    /// Appends the ERR packet's payload.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Own(error) => error.put(out),
            Self::Server(error) => {
                reply::Err { code: error.code, sqlstate: error.sqlstate, message: &error.message }.put(out);
            }
        }
    }
}
