//! The workloads: which statements a client sends, one after the other, and what must come back.

use std::io::Write;

use clap::ValueEnum;
use dauphin_proto::command::{self, code};
use serde::{Deserialize, Serialize};

use crate::response::{Expect, Format};

/// Rows of the table `bench`, with ids from 1.
pub const ROWS: u64 = 10_000;
/// How many different texts a workload sends whose texts are to be remembered.
const TEXTS: u64 = 1000;
const MEBIBYTE: u64 = 1 << 20;

/// A statement whose result is 1 GiB.
pub const GIBIBYTE: &str = "SELECT body FROM bench_body, bench LIMIT 1024";
const PREPARED: &[u8] = b"SELECT id, c FROM bench WHERE id = ?";

/// What a client does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// One row by its primary key; a thousand different texts
    TextPointSelect,
    /// The same with a prepared statement
    PreparedPointSelect,
    /// A hundred rows
    #[value(name = "select-100-rows")]
    #[serde(rename = "select-100-rows")]
    Select100Rows,
    /// One row of 1 MiB
    #[value(name = "row-1mib")]
    #[serde(rename = "row-1mib")]
    Row1Mib,
    /// BEGIN, SELECT, UPDATE, COMMIT; each counts
    Transaction,
    /// Connect, one point select, quit; counts once, from connecting to the row
    ConnectQueryQuit,
    /// One row by its primary key; no two texts are the same
    DistinctLiterals,
}

/// Where a client stands in its workload.
#[derive(Debug, Clone)]
pub struct Script {
    workload: Workload,
    client: u64,
    clients: u64,
    sent: u64,
}

impl Workload {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it must run on a primary.
    pub fn writes(self) -> bool {
        self == Self::Transaction
    }

    /// Whether every statement has a connection of its own.
    pub fn connects_anew(self) -> bool {
        self == Self::ConnectQueryQuit
    }

    /// Appends the command that a client sends once after its login.
    pub fn preparation(self, out: &mut Vec<u8>) -> Option<Expect> {
        (self == Self::PreparedPointSelect).then(|| {
            command::put_command(out, code::STMT_PREPARE, PREPARED);
            Expect::Prepared
        })
    }
}

impl Script {
    /// The script of the client with this number, of so many.
    pub fn new(workload: Workload, client: u64, clients: u64) -> Self {
        Self { workload, client, clients, sent: 0 }
    }

    /// Starts over, as a new session does.
    pub fn restart(&mut self) {
        self.sent = self.sent.next_multiple_of(4);
    }

    /// Appends the next command; `statement` is the id of the prepared one, if there is one.
    pub fn next(&mut self, statement: u32, out: &mut Vec<u8>) -> Expect {
        let sent = self.sent;
        self.sent += 1;
        // A number of its own for each statement of all clients, and a row picked by it.
        let unique = sent * self.clients + self.client;
        let id = unique.wrapping_mul(0x9e37_79b9_7f4a_7c15) % TEXTS + 1;
        match self.workload {
            Workload::TextPointSelect | Workload::ConnectQueryQuit => point(out, id),
            Workload::PreparedPointSelect => execute(out, statement, id),
            Workload::Select100Rows => {
                query(out, format_args!("SELECT id, c FROM bench WHERE id >= {id} ORDER BY id LIMIT 100"));
                Expect::Rows(100)
            }
            Workload::Row1Mib => {
                query(out, format_args!("SELECT body FROM bench_body WHERE id = 1"));
                Expect::Bytes(MEBIBYTE)
            }
            Workload::Transaction => self.transaction(sent % 4, id, out),
            Workload::DistinctLiterals => {
                let high = ROWS + 1 + unique;
                query(out, format_args!("SELECT id, c FROM bench WHERE id = {id} AND id < {high}"));
                Expect::Row { id, format: Format::Text }
            }
        }
    }

    fn transaction(&self, step: u64, id: u64, out: &mut Vec<u8>) -> Expect {
        match step {
            0 => {
                query(out, format_args!("BEGIN"));
                Expect::Ok { in_transaction: true }
            }
            1 => point(out, id),
            2 => {
                // A row of the client's own, so that no one waits for a lock.
                query(out, format_args!("UPDATE bench SET k = k + 1 WHERE id = {}", self.client % ROWS + 1));
                Expect::Changed { in_transaction: true }
            }
            _ => {
                query(out, format_args!("COMMIT"));
                Expect::Ok { in_transaction: false }
            }
        }
    }
}

fn point(out: &mut Vec<u8>, id: u64) -> Expect {
    query(out, format_args!("SELECT id, c FROM bench WHERE id = {id}"));
    Expect::Row { id, format: Format::Text }
}

fn query(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    dauphin_proto::packet::put_with(out, 0, |out| {
        out.push(code::QUERY);
        // Writing to a Vec cannot fail.
        let _ = out.write_fmt(text);
    });
}

fn execute(out: &mut Vec<u8>, statement: u32, id: u64) -> Expect {
    const NO_CURSOR: u8 = 0;
    const LONGLONG: u8 = 8;
    dauphin_proto::packet::put_with(out, 0, |out| {
        out.push(code::STMT_EXECUTE);
        out.extend_from_slice(&statement.to_le_bytes());
        // flags, iteration_count, null_bitmap, new_params_bind_flag, and the type of one parameter
        out.extend_from_slice(&[NO_CURSOR, 1, 0, 0, 0, 0, 1, LONGLONG, 0]);
        out.extend_from_slice(&id.to_le_bytes());
    });
    Expect::Row { id, format: Format::Binary }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn texts(workload: Workload, count: usize) -> Vec<Vec<u8>> {
        let mut scripts: Vec<_> = (0..4).map(|client| Script::new(workload, client, 4)).collect();
        (0..count)
            .map(|i| {
                let mut out = Vec::new();
                scripts[i % 4].next(7, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn distinct_literals_never_repeat_a_text_and_point_selects_do() {
        let distinct: HashSet<_> = texts(Workload::DistinctLiterals, 5000).into_iter().collect();
        assert_eq!(distinct.len(), 5000);
        let repeated: HashSet<_> = texts(Workload::TextPointSelect, 50_000).into_iter().collect();
        assert!((900..=1000).contains(&repeated.len()), "{}", repeated.len());
    }

    #[test]
    fn a_transaction_is_four_statements_and_starts_over_with_a_new_session() {
        let mut script = Script::new(Workload::Transaction, 0, 1);
        let expectations = |script: &mut Script, n: usize| -> Vec<Expect> {
            (0..n).map(|_| script.next(0, &mut Vec::new())).collect()
        };
        let first = expectations(&mut script, 5);
        assert_eq!(first[0], Expect::Ok { in_transaction: true });
        assert_eq!(first[3], Expect::Ok { in_transaction: false });
        assert_eq!(first[4], first[0]);
        script.restart();
        assert_eq!(expectations(&mut script, 1), [first[0]]);
    }
}
