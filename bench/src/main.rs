//! `dauphin-bench`: what does a proxy cost? A fast fake server, a load generator, and a comparison that uses both.

mod blocking;
mod client;
mod fake_server;
mod idle;
mod limits;
mod load;
mod login;
mod old_dialect;
mod prepare;
mod response;
mod run;
mod slow_reader;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers like a MySQL 9.7 server, as fast as can be, from replies made beforehand
    FakeServer(fake_server::Arguments),
    /// Runs one workload in a closed loop (or at a fixed rate) and checks every answer
    Load(load::Arguments),
    /// Holds logged-in connections open until standard input ends
    Idle(idle::Arguments),
    /// Asks for 1 GiB and reads it slowly
    SlowReader(slow_reader::Arguments),
    /// Creates the tables of the workloads on a real server
    Prepare(prepare::Arguments),
    /// Starts everything and compares the targets, workload by workload
    Run(Box<run::Arguments>),
}

fn main() -> ExitCode {
    limits::raise_open_files();
    let outcome = match Arguments::parse().command {
        Command::FakeServer(arguments) => fake_server::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Idle(arguments) => idle::run(&arguments),
        Command::SlowReader(arguments) => slow_reader::run(&arguments),
        Command::Prepare(arguments) => prepare::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dauphin-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
