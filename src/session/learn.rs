//! What a server says that a statement has changed, taken into the session's state; and what of it the client hears.

use std::sync::Arc;

use dauphin_proto::{
    ProtocolError,
    session_track::{Change, changes},
};

use crate::{
    backend::{State, state::is_on},
    topology::{Flavour, gtid::LastWrite},
};

/// What the client asked its server to report, by the `session_track_*` variables; the servers report more to dauphin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracks {
    /// Names of variables, `*` for all.
    variables: Vec<Box<[u8]>>,
    schema: bool,
    state: bool,
    gtids: bool,
}

impl Default for Tracks {
    fn default() -> Self {
        // The servers' defaults; MySQL manual, "Server System Variables", session_track_*.
        let names: [&[u8]; 5] = [
            b"time_zone",
            b"autocommit",
            b"character_set_client",
            b"character_set_results",
            b"character_set_connection",
        ];
        Self { variables: names.map(Into::into).into(), schema: true, state: false, gtids: false }
    }
}

impl Tracks {
    /// Takes a `session_track_*` variable that the client has set.
    fn set(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"session_track_system_variables" => {
                let names = value
                    .split(|&byte| byte == b',')
                    .map(|name| name.trim_ascii().to_ascii_lowercase().into());
                self.variables = names.collect();
            }
            b"session_track_schema" => self.schema = is_on(value),
            b"session_track_state_change" => self.state = is_on(value),
            b"session_track_gtids" => self.gtids = !value.eq_ignore_ascii_case(b"OFF"),
            _ => {}
        }
    }

    fn wants(&self, change: &Change<'_>) -> bool {
        match change {
            Change::SystemVariable(name, _) => {
                self.variables.iter().any(|wanted| **wanted == *b"*" || wanted.eq_ignore_ascii_case(name))
            }
            Change::Schema(_) => self.schema,
            Change::AnyState => self.state,
            Change::Gtids(_) => self.gtids,
            Change::TransactionCharacteristics(_) | Change::TransactionState(_) | Change::Other(_) => true,
        }
    }

    /// Appends what the client wants to hear of `block`.
    ///
    /// # Errors
    /// The block is malformed.
    pub fn filter(&self, block: &[u8], out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        // In the order of their names, as from a server that tracks no others; in front of the rest.
        let mut variables = Vec::new();
        let mut others = Vec::new();
        for change in changes(block) {
            let (change, entry) = change?;
            match change {
                _ if !self.wants(&change) => {}
                Change::SystemVariable(name, value) => variables.push((name, value)),
                _ => others.extend_from_slice(entry),
            }
        }
        variables.sort_unstable();
        for (name, value) in variables {
            // One entry may hold several variables: each wanted one gets an entry of its own.
            let mut pair = Vec::new();
            dauphin_proto::field::put_lenenc_bytes(&mut pair, name);
            dauphin_proto::field::put_lenenc_bytes(&mut pair, value);
            out.push(0);
            dauphin_proto::field::put_lenenc_bytes(out, &pair);
        }
        out.append(&mut others);
        Ok(())
    }
}

/// What one statement's reports amount to.
#[derive(Debug, Default)]
pub struct Reported {
    /// "Something has changed", without saying what.
    pub any_state: bool,
    /// A variable or the schema was named.
    pub named: bool,
    /// The transactions that the latest packet said were written, until somebody takes it.
    pub last_write: Option<LastWrite>,
    /// Variables that cannot be set again elsewhere to the same effect.
    pub not_carried: Vec<String>,
    /// The variables that were named.
    pub variables: Vec<Box<str>>,
    /// The client has changed what its connection reports.
    pub tracking_lost: bool,
}

/// Variables that follow others, or say what happened rather than what was set: nothing to carry.
const FOLLOWING: [&str; 8] = [
    "last_insert_id",
    "identity",
    "character_set_database",
    "collation_database",
    "last_gtid",
    "in_transaction",
    "warning_count",
    "error_count",
];

/// Variables that act once, or whose value is not the one to set.
const NOT_CARRIED: [&str; 11] = [
    "insert_id",
    "gtid_next",
    "rand_seed1",
    "rand_seed2",
    "pseudo_thread_id",
    "pseudo_replica_mode",
    "gtid_seq_no",
    "skip_replication",
    // The next event of the binary log takes these.
    "original_commit_timestamp",
    "original_server_version",
    "immediate_server_version",
];

/// Whether a variable acts once, or has a value that is not the one to set, so that only its own connection has it.
pub fn is_not_carried(name: &str) -> bool {
    NOT_CARRIED.contains(&name)
}

/// Whether what the variable switches on is recorded in the connection that it is set on.
pub fn records(name: &str) -> bool {
    matches!(name, "profiling" | "optimizer_trace")
}

/// Whether it is switched on.
pub fn is_recording(state: &State) -> bool {
    state.variable("profiling").is_some_and(is_on)
        || state.variable("optimizer_trace").is_some_and(|flags| flags.starts_with(b"enabled=on"))
}

/// Whether there is nothing to carry: it follows others, or dauphin keeps it apart.
pub fn is_following(name: &str) -> bool {
    FOLLOWING.contains(&name) || name.starts_with("session_track_")
}

impl Reported {
    /// Takes a block into `state` and `tracks`.
    ///
    /// # Errors
    /// The block is malformed.
    pub fn take(
        &mut self,
        block: &[u8],
        flavour: Flavour,
        state: &mut Arc<State>,
        tracks: &mut Tracks,
    ) -> Result<(), ProtocolError> {
        for change in changes(block) {
            let change = change?.0;
            tracing::trace!(%change, "reported");
            match change {
                Change::SystemVariable(name, value) => self.variable(name, value, flavour, state, tracks),
                Change::Schema(name) => {
                    self.named = true;
                    let schema = Some(name).filter(|name| !name.is_empty()).map(Into::into);
                    if state.schema != schema {
                        State::change(state, |state| state.schema = schema);
                    }
                }
                Change::AnyState => self.any_state = true,
                Change::Gtids(gtids) => self.write(flavour, gtids),
                Change::TransactionCharacteristics(_) | Change::TransactionState(_) | Change::Other(_) => {}
            }
        }
        Ok(())
    }

    fn variable(
        &mut self,
        name: &[u8],
        value: &[u8],
        flavour: Flavour,
        state: &mut Arc<State>,
        tracks: &mut Tracks,
    ) {
        let Ok(name) = std::str::from_utf8(name) else { return };
        if name == "last_gtid" {
            return self.write(flavour, value);
        }
        self.named = true;
        if name.starts_with("session_track_") {
            tracks.set(name.as_bytes(), value);
            self.tracking_lost = true;
            return;
        }
        self.variables.push(name.into());
        if name == "timestamp" || flavour == Flavour::MariaDb && name == "autocommit" {
            // Said with an old value, or of other variables too: where it was set by name it is asked for.
        } else if NOT_CARRIED.contains(&name) {
            self.not_carried.push(name.to_owned());
        } else if !FOLLOWING.contains(&name) && state.variable(name) != Some(value) {
            State::change(state, |state| {
                state.variables.insert(name.into(), value.into());
            });
        }
    }

    fn write(&mut self, flavour: Flavour, gtids: &[u8]) {
        if let Some(write) = LastWrite::parse(flavour, gtids) {
            self.last_write = Some(write);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] =
        b"\x00\x10\x08sql_mode\x06ANSI,X\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test\x02\x011";

    #[test]
    fn reports_go_into_the_state() {
        let (mut state, mut tracks, mut reported) = (Arc::default(), Tracks::default(), Reported::default());
        reported.take(BLOCK, Flavour::MySql, &mut state, &mut tracks).unwrap();
        assert_eq!(state.variable("sql_mode"), Some(&b"ANSI,X"[..]));
        assert!(!state.autocommit());
        assert_eq!(state.schema.as_deref(), Some(&b"test"[..]));
        assert!(reported.any_state && reported.named && !reported.tracking_lost);
    }

    #[test]
    fn the_client_hears_what_it_asked_for() {
        let mut out = Vec::new();
        Tracks::default().filter(BLOCK, &mut out).unwrap();
        assert_eq!(out, b"\x00\x0f\x0aautocommit\x03OFF\x01\x05\x04test");
        // Variables come in the order of their names.
        let mut all = Tracks::default();
        all.set(b"session_track_system_variables", b"*");
        all.set(b"session_track_state_change", b"ON");
        out.clear();
        all.filter(BLOCK, &mut out).unwrap();
        let sorted = b"\x00\x0f\x0aautocommit\x03OFF\x00\x10\x08sql_mode\x06ANSI,X\x01\x05\x04test\x02\x011";
        assert_eq!(out, sorted);
    }

    #[test]
    fn mariadb_s_last_gtid_is_the_last_write() {
        let (mut state, mut tracks, mut reported) = (Arc::default(), Tracks::default(), Reported::default());
        reported.take(b"\x00\x11\x09last_gtid\x060-1-20", Flavour::MariaDb, &mut state, &mut tracks).unwrap();
        assert_eq!(reported.last_write.unwrap().last.sequence, 20);
        assert!(state.variables.is_empty());
    }
}
