//! The tables that the workloads use, made on a real server.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{blocking::Connection, load::workload::ROWS, login::Credentials, response::Expect};

const ROWS_PER_INSERT: u64 = 1000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The primary
    #[arg(long)]
    target: String,
    /// Replicas to wait for
    #[arg(long, value_delimiter = ',')]
    replicas: Vec<String>,
    #[command(flatten)]
    credentials: Credentials,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    tables(&arguments.target, &arguments.replicas, &arguments.credentials)
}

/// Makes the tables on the primary and waits for the replicas to have them.
pub fn tables(primary: &str, replicas: &[String], credentials: &Credentials) -> Result<()> {
    let mut connection = Connection::open(primary, credentials)?;
    connection.execute("DROP TABLE IF EXISTS bench")?;
    connection.execute("DROP TABLE IF EXISTS bench_body")?;
    connection.execute("CREATE TABLE bench (id BIGINT PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL)")?;
    connection.execute("CREATE TABLE bench_body (id BIGINT PRIMARY KEY, body LONGTEXT NOT NULL)")?;
    for first in (1..=ROWS).step_by(ROWS_PER_INSERT as usize) {
        connection.execute(&insert(first))?;
    }
    connection.execute("INSERT INTO bench_body VALUES (1, REPEAT('x', 1048576))")?;
    replicas.iter().try_for_each(|replica| wait_for(replica, credentials))
}

fn insert(first: u64) -> String {
    let mut text = String::from("INSERT INTO bench VALUES ");
    for id in first..first + ROWS_PER_INSERT {
        let comma = if id == first { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}({id},0,'{id:0120}')");
    }
    text
}

/// Until the last thing that was written is there.
fn wait_for(replica: &str, credentials: &Credentials) -> Result<()> {
    let start = Instant::now();
    loop {
        let found = Connection::open(replica, credentials)?
            .ask("SELECT id FROM bench_body WHERE id = 1", Expect::Rows(1));
        match found {
            Err(error) if start.elapsed() > Duration::from_secs(30) => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
            Ok(()) => return Ok(()),
        }
    }
}
