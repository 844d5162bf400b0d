//! The commands: one table, from which the MySQL port, HTTP, the command line and HELP all answer.

use super::table::Column;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Explains the commands.
    Help,
    /// Shows a table.
    Show(Subject),
    /// Changes something.
    Act(Deed),
}

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of commands says what each is")]
pub enum Subject {
    Servers,
    Lag,
    Sessions,
    Pools,
    Topology,
    FailoverPlan,
    Events,
    Routes,
    Digests,
    Config,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of commands says what each is")]
pub enum Deed {
    SwitchOver,
    FailOver,
    Drain,
    Undrain,
    Pause,
    Resume,
    Kill,
    Reload,
    Shutdown,
}

/// One command.
#[derive(Debug)]
pub struct Command {
    /// Its words.
    pub name: &'static str,
    /// What follows them.
    pub arguments: &'static str,
    /// Where it is under `/api/v1/`: by GET if it shows, by POST if it does.
    pub path: &'static str,
    /// What it does.
    pub verb: Verb,
    /// What it does, in a sentence or two.
    pub help: &'static str,
    /// The columns of its answer.
    pub columns: &'static [Column],
}

const fn column(name: &'static str, meaning: &'static str) -> Column {
    Column { name, meaning }
}

const RESULT: &[Column] = &[column("result", "What was done")];
const LIKE: &str = "[LIKE 'pattern']";

/// Every command there is.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "HELP",
        arguments: "[command]",
        path: "help",
        verb: Verb::Help,
        help: "Lists the commands, or explains one and the columns of its answer",
        columns: &[
            column("name", "A command, or a column of its answer"),
            column("meaning", "What it does, or what is in it"),
        ],
    },
    Command {
        name: "SHOW SERVERS",
        arguments: LIKE,
        path: "servers",
        verb: Verb::Show(Subject::Servers),
        help: "The servers: what each is, whether it takes statements, and why not",
        columns: &[
            column("server", "Its name"),
            column("address", "Where it listens"),
            column("role", "primary, replica, quarantined (was primary or went its own way) or unknown"),
            column("status", "online, suspect (does not answer), drained, out (takes nothing) or unknown"),
            column("reads", "Whether it takes reads as a replica"),
            column("cause", "Why it is not online"),
            column("lag_ms", "How far behind the primary it is, in milliseconds; NULL if that is not known"),
            column("weight", "Its share of the reads"),
            column("zone", "Where it stands, as the config says"),
            column("version", "What it runs"),
            column("read_only", "Its read_only"),
            column("errant", "Transactions that it has and the primary lacks: GTIDs"),
            column("origin", "config (listed there) or discovered (found by [monitor] discover)"),
        ],
    },
    Command {
        name: "SHOW LAG",
        arguments: LIKE,
        path: "lag",
        verb: Verb::Show(Subject::Lag),
        help: "How far behind the primary each server is, and what its replication does",
        columns: &[
            column("server", "Its name"),
            column("role", "primary, replica, quarantined or unknown"),
            column("lag_ms", "How far behind, in milliseconds; NULL if that is not known, 0 for the primary"),
            column("reads", "Whether it takes reads as a replica"),
            column("receiver", "connected, connecting or stopped"),
            column("applying", "Whether it applies what it has received"),
            column("delay_ms", "How long it waits by intention, in milliseconds"),
            column("seconds_behind", "The server's own figure, in seconds"),
            column("silent_ms", "For how long it has heard nothing from its source, in milliseconds"),
        ],
    },
    Command {
        name: "SHOW SESSIONS",
        arguments: LIKE,
        path: "sessions",
        verb: Verb::Show(Subject::Sessions),
        help: "The clients: who they are, what they do, and what they are tied to",
        columns: &[
            column("id", "The connection id that the client sees; for KILL"),
            column("user", "Who it is"),
            column("host", "Where it comes from"),
            column("schema", "Its default schema"),
            column(
                "state",
                "idle, in_transaction (idle, a transaction open), running, waiting_for_primary, \
                 waiting_for_connection, waiting_for_replica, reading_binary_log or closing",
            ),
            column("state_ms", "For how long, in milliseconds"),
            column("age_ms", "How long ago it logged in, in milliseconds"),
            column("pinned", "What ties it to one connection"),
            column("server", "The server it has a connection of, or that runs its statement"),
            column("last_server", "Where its last statement went"),
            column("last_role", "As what that server ran it: primary or replica"),
            column("last_reason", "Why it went there"),
        ],
    },
    Command {
        name: "SHOW POOLS",
        arguments: LIKE,
        path: "pools",
        verb: Verb::Show(Subject::Pools),
        help: "The connections to each server",
        columns: &[
            column("server", "Its name"),
            column("limit", "The most connections"),
            column("open", "Connections that are open or being opened"),
            column("idle", "Of these, idle"),
            column("waiting", "Sessions that wait for one"),
            column("opened", "Connections opened so far"),
            column("waits", "Sessions that have had to wait so far"),
            column("waited_ms", "For how long they waited together, in milliseconds"),
            column("refused", "Those that got none"),
        ],
    },
    Command {
        name: "SHOW TOPOLOGY",
        arguments: LIKE,
        path: "topology",
        verb: Verb::Show(Subject::Topology),
        help: "Who replicates from whom, and how far each has got",
        columns: &[
            column("server", "Its name"),
            column("role", "primary, replica, quarantined or unknown"),
            column("source", "The server it replicates from, by name if it is one of these, else by address"),
            column("identity", "Its server_uuid; on MariaDB its server_id"),
            column("read_only", "Its read_only"),
            column("receiver", "connected, connecting or stopped"),
            column("applying", "Whether it applies what it has received"),
            column("executed", "What it has executed: GTIDs"),
            column("errant", "Transactions that it has and the primary lacks: GTIDs"),
            column("problem", "Why it cannot be watched, or the last error of its replication"),
            column(
                "group",
                "Its state and role in its replication group, as in ONLINE SECONDARY; NULL if it is in none",
            ),
        ],
    },
    Command {
        name: "SHOW FAILOVER PLAN",
        arguments: LIKE,
        path: "failover-plan",
        verb: Verb::Show(Subject::FailoverPlan),
        help: "What a failover would come to now: who would be promoted, how long it would take, what would be lost",
        columns: &[
            column(
                "item",
                "epoch, phase, primary, diagnosis, detail, automatic, candidate, estimate_ms, \
                 transactions_at_risk, at_risk, and any number of obstacle and passed_over",
            ),
            column("value", "Its value"),
        ],
    },
    Command {
        name: "SHOW EVENTS",
        arguments: LIKE,
        path: "events",
        verb: Verb::Show(Subject::Events),
        help: "What happened to the cluster, and why; the latest 1000, the oldest first, those from before a restart too",
        columns: &[
            column("id", "Counts from 1, and on after a restart"),
            column("at", "When: RFC 3339, UTC"),
            column("kind", "A word for scripts"),
            column("server", "Which server, if one"),
            column("message", "What and why, in a sentence"),
        ],
    },
    Command {
        name: "SHOW ROUTES",
        arguments: LIKE,
        path: "routes",
        verb: Verb::Show(Subject::Routes),
        help: "How many statements went to which server, and why",
        columns: &[
            column("server", "Its name"),
            column("role", "As what it ran them: primary or replica"),
            column("reason", "Why they went there; EXPLAIN ROUTE on the client port says the same word"),
            column("statements", "How many since dauphin was started"),
        ],
    },
    Command {
        name: "SHOW DIGESTS",
        arguments: LIKE,
        path: "digests",
        verb: Verb::Show(Subject::Digests),
        help: "The kinds of statement, the most frequent first, and where they went; as many as [admin] digests",
        columns: &[
            column(
                "digest",
                "A number for statements that differ in their literals alone; NULL for all others together",
            ),
            column("statements", "How many since dauphin was started"),
            column("on_primary", "Of these, on the primary"),
            column("on_replicas", "Of these, on replicas"),
            column("last_server", "Where the last one went"),
            column("last_role", "As what that server ran it: primary or replica"),
            column("last_reason", "Why it went there"),
            column("text", "The statement without its literals; NULL if it was not kept"),
        ],
    },
    Command {
        name: "SHOW CONFIG",
        arguments: LIKE,
        path: "config",
        verb: Verb::Show(Subject::Config),
        help: "The options that hold",
        columns: &[
            column("option", "Its path, as in pool.max_age"),
            column("value", "What holds; passwords are not shown"),
            column("given", "Whether the file says so, or it is the default"),
            column("live", "Whether RELOAD can change it; all others need a restart"),
        ],
    },
    Command {
        name: "SWITCHOVER",
        arguments: "[TO server] [FORCE]",
        path: "switchover",
        verb: Verb::Act(Deed::SwitchOver),
        help: "Makes another server the primary, with nobody noticing: the named one or the best. \
               FORCE ends the sessions that would keep it from happening",
        columns: RESULT,
    },
    Command {
        name: "FAILOVER",
        arguments: "[TO server] [FORCE]",
        path: "failover",
        verb: Verb::Act(Deed::FailOver),
        help: "Promotes a replica although, or because, the primary is gone; TO the primary itself: has it take writes again. \
               FORCE: also if transactions are lost by it",
        columns: RESULT,
    },
    Command {
        name: "DRAIN",
        arguments: "server",
        path: "drain",
        verb: Verb::Act(Deed::Drain),
        help: "Takes a server out of rotation until UNDRAIN, a restart of dauphin included: running statements finish, no new \
               ones come",
        columns: RESULT,
    },
    Command {
        name: "UNDRAIN",
        arguments: "server",
        path: "undrain",
        verb: Verb::Act(Deed::Undrain),
        help: "Puts a drained server back into rotation",
        columns: RESULT,
    },
    Command {
        name: "PAUSE",
        arguments: "",
        path: "pause",
        verb: Verb::Act(Deed::Pause),
        help: "Holds new statements for the primary until RESUME, a restart of dauphin included, each for at most \
               [routing] hold_timeout; meanwhile nobody is promoted unless FAILOVER says so",
        columns: RESULT,
    },
    Command {
        name: "RESUME",
        arguments: "",
        path: "resume",
        verb: Verb::Act(Deed::Resume),
        help: "Lets go on what PAUSE held",
        columns: RESULT,
    },
    Command {
        name: "KILL",
        arguments: "[CONNECTION | QUERY] id",
        path: "kill",
        verb: Verb::Act(Deed::Kill),
        help: "Ends a session of SHOW SESSIONS, or with QUERY the statement that it runs",
        columns: RESULT,
    },
    Command {
        name: "RELOAD",
        arguments: "",
        path: "reload",
        verb: Verb::Act(Deed::Reload),
        help: "Reads the config file anew and applies all that has changed, or, if any of it needs a restart, nothing",
        columns: &[
            column("option", "Its path, as in pool.max_age"),
            column("old", "What held before; passwords are not shown"),
            column("new", "What the file says now"),
            column(
                "effect",
                "applied, needs a restart, or not applied (since another option needs a restart)",
            ),
        ],
    },
    Command {
        name: "SHUTDOWN",
        arguments: "",
        path: "shutdown",
        verb: Verb::Act(Deed::Shutdown),
        help: "Stops dauphin as SIGTERM does: no new clients; running statements and open transactions have \
               [listen] drain_timeout to end, then the rest is closed",
        columns: RESULT,
    },
];

impl Command {
    /// The command with its arguments, as one would type it.
    pub fn syntax(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().to_owned()
    }

    /// The command at this path of the HTTP API.
    pub fn at_path(path: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.path == path)
    }

    /// The command of this verb.
    pub fn of(verb: Verb) -> &'static Self {
        COMMANDS.iter().find(|command| command.verb == verb).expect("every verb is in the table")
    }
}
