//! A client that asks for 1 GiB and takes its time: what must the proxy keep for it meanwhile?

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{blocking::Connection, load::workload, login::Credentials};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to connect to
    #[arg(long)]
    target: String,
    #[command(flatten)]
    credentials: Credentials,
    /// How long to be slow for; the connection is closed then
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Bytes read a second, in pieces of 64 KiB
    #[arg(long, default_value_t = 20 << 20)]
    bytes_per_second: u32,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    const PIECE: usize = 64 * 1024;
    let mut connection = Connection::open(&arguments.target, &arguments.credentials)?;
    println!("ready");
    std::io::stdout().flush()?;
    connection.send(workload::GIBIBYTE)?;
    let mut buffer = vec![0; PIECE];
    let start = Instant::now();
    let mut total = 0u64;
    while start.elapsed() < Duration::from_secs_f64(arguments.seconds) {
        let n = connection.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        total += n as u64;
        std::thread::sleep(Duration::from_secs_f64(n as f64 / f64::from(arguments.bytes_per_second)));
    }
    println!("{total}");
    Ok(())
}
