//! The command line: arguments, config, runtimes, signals.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use dauphin::{
    admin::{Admin, SetLogLevel, command_line},
    backend::Fleet,
    config::{Config, ConfigFile, LogFormat},
    control::{Control, Request},
    failover, grants,
    listener::Listener,
    monitor,
    routing::Published,
    session::Context,
    topology::Flavour,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

/// A read/write-splitting proxy for MySQL and MariaDB.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The config file; see config/dauphin.toml for every option.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Lists every mistake in a config file, each with its line, cause and remedy.
    Check {
        /// The config file.
        file: PathBuf,
    },
    /// Prints the SQL that creates dauphin's own account, with the least privileges it needs.
    Grants {
        /// Whose SQL.
        #[arg(long, value_enum, default_value = "mysql")]
        flavour: GrantsFor,
        /// The account's name.
        #[arg(long, default_value = "dauphin")]
        user: String,
        /// Where dauphin connects from.
        #[arg(long, default_value = "%")]
        host: String,
        /// Only what watching takes: without the privileges for failover and switchover.
        #[arg(long)]
        watch_only: bool,
    },
    #[command(flatten)]
    Running(command_line::Request),
}

#[derive(Clone, Copy, ValueEnum)]
enum GrantsFor {
    Mysql,
    Mariadb,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.command, arguments.config) {
        (Some(Command::Check { file }), _) => return check(&file),
        (Some(Command::Grants { flavour, user, host, watch_only }), _) => {
            let flavour = match flavour {
                GrantsFor::Mysql => Flavour::MySql,
                GrantsFor::Mariadb => Flavour::MariaDb,
            };
            print!("{}", grants::statements(flavour, &user, &host, !watch_only));
            Ok(())
        }
        (Some(Command::Running(request)), _) => request.run(),
        (None, Some(file)) => serve(&file),
        (None, None) => Err(anyhow::anyhow!(
            "no config: run dauphin --config FILE (config/minimal.toml is a start), or dauphin --help"
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dauphin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &std::path::Path) -> ExitCode {
    match Config::check(file) {
        Ok(config) => {
            for warning in config.warnings() {
                println!("warning: {warning}");
            }
            println!("{}: no mistakes", file.display());
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            eprintln!("{mistakes}");
            ExitCode::FAILURE
        }
    }
}

fn serve(file: &std::path::Path) -> anyhow::Result<()> {
    let config_file = ConfigFile::load(file)?;
    let config = Arc::new(config_file.config.clone());
    let set_log_level = log_to_stderr(&config)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    raise_file_limit();
    let fleet = Arc::new(Fleet::new(&config)?);
    let published = Arc::new(Published::default());
    let context = Arc::new(Context::new(config.clone(), fleet.clone(), published.clone())?);
    let (control, requests) = Control::new();
    let stop_watching = CancellationToken::new();
    let (watching, controller) = watch(&context, control.clone(), requests, stop_watching.clone())?;
    let stop = CancellationToken::new();
    let admin = Admin::new(
        context.clone(),
        control.clone(),
        file.to_owned(),
        config_file,
        set_log_level,
        stop.clone(),
    );
    let listening = {
        let _inside = watching.enter();
        admin.listen()?
    };
    watching.spawn(admin.serve(listening));
    let outcome =
        data_runtime(config.threads.data_threads())?.block_on(serve_clients(context, &control, stop));
    stop_watching.cancel();
    watching.block_on(end_controller(controller));
    control.events.written(Duration::from_secs(1));
    // Its tasks are dropped, which removes the files of sockets.
    watching.shutdown_timeout(Duration::from_millis(500));
    outcome
}

/// The control plane has a runtime and a thread of its own: load on the data path cannot make a server look dead.
fn watch(
    context: &Arc<Context>,
    control: Arc<Control>,
    requests: mpsc::Receiver<Request>,
    stop: CancellationToken,
) -> anyhow::Result<(tokio::runtime::Runtime, JoinHandle<()>)> {
    let journal = failover::open_journal(&context.config.failover.state_file);
    keep_events(&control, &context.config.failover.state_file, journal.as_ref().err());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("dauphin-control")
        .enable_all()
        .build()
        .context("starting the control thread")?;
    let (config, account) = (context.config.clone(), context.own_account().clone());
    let parts = failover::Parts {
        fleet: context.fleet.clone(),
        published: context.published.clone(),
        control,
        requests,
        journal,
        settings: failover::Settings::new(&config, &account),
        stop,
    };
    let code = monitor::code::Parts {
        fleet: context.fleet.clone(),
        account: account.clone(),
        published: context.published.clone(),
        known: context.code.clone(),
    };
    runtime.spawn(monitor::code::watch(code, config.monitor.clone()));
    let controller = runtime.spawn(async move { failover::run(&config, &account, parts).await });
    Ok((runtime, controller))
}

/// The events outlive dauphin beside the state file, which is then this dauphin's alone.
fn keep_events(control: &Control, state_file: &std::path::Path, no_state_file: Option<&String>) {
    let path = state_file.with_extension("events.jsonl");
    let kept = match no_state_file {
        Some(cause) => Err(cause.clone()),
        None => control.events.keep_in(&path).map_err(|error| error.to_string()),
    };
    if let Err(cause) = kept {
        tracing::warn!(
            path = %path.display(),
            cause,
            "a restart will forget what SHOW EVENTS shows: let dauphin read and write the directory of [failover] state_file, \
             or name another"
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    control.events.record("started", None, format!("dauphin {version} was started"));
}

/// A change of the primary that is under way ends, or is undone: the next start would do so, but until then nobody might be
/// able to write. Bounded; a second signal ends the waiting.
async fn end_controller(controller: JoinHandle<()>) {
    const AT_MOST: Duration = Duration::from_secs(10);
    tokio::select! {
        ended = tokio::time::timeout(AT_MOST, controller) => if ended.is_err() {
            tracing::warn!(?AT_MOST, "stopping in the middle of a change of the primary: the next start goes on with it");
        },
        _ = stop_signal() => {}
    }
}

fn data_runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("dauphin-data")
        .enable_all()
        .build()
        .context("starting the data threads")
}

/// Serves until a signal or an operator asks it to stop.
async fn serve_clients(
    context: Arc<Context>,
    control: &Control,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listen = &context.config.listen;
    let listeners: Vec<Listener> = listen
        .addresses
        .iter()
        .map(|address| Listener::bind(address, listen.backlog))
        .collect::<anyhow::Result<_>>()?;
    wait_for_first_table(&context).await;
    let (sessions, accepting) = (TaskTracker::new(), TaskTracker::new());
    for listener in listeners {
        tracing::info!(address = listener.address(), version = context.version(), "listening for clients");
        accepting.spawn(listener.run(context.clone(), sessions.clone(), stop.clone()));
    }
    let fleet = context.fleet.clone();
    let tidying = tokio::spawn(async move { fleet.keep_tidy().await });
    tokio::select! {
        signalled = stop_signal() => {
            signalled?;
            control.events.record("shutdown", None, "stopping: a signal asks for it (SIGTERM or SIGINT)");
        }
        () = stop.cancelled() => {}
    }
    stop.cancel();
    tidying.abort();
    accepting.close();
    accepting.wait().await;
    drain(&context, &sessions).await;
    Ok(())
}

/// Lets running statements and open transactions end, for a bounded time, and closes all other sessions at once; then
/// the rest. A second signal ends the waiting.
async fn drain(context: &Context, sessions: &TaskTracker) {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    sessions.close();
    context.sessions.close_logins();
    let at_most = context.drain_timeout();
    tracing::info!(
        sessions = context.sessions.len(),
        ?at_most,
        "stopping: no new clients; running statements and open transactions may end"
    );
    let ended = async {
        loop {
            context.sessions.close_idle();
            if tokio::time::timeout(LOOK_EVERY, sessions.wait()).await.is_ok() {
                return;
            }
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(at_most, ended) => if ended.is_ok() { return },
        _ = stop_signal() => {}
    }
    tracing::warn!(sessions = context.sessions.len(), "stopping: the sessions that are left are closed");
    context.sessions.close_all();
    let _ = tokio::time::timeout(Duration::from_secs(5), sessions.wait()).await;
}

/// Clients are greeted with the servers' version: it is worth a moment's wait.
async fn wait_for_first_table(context: &Context) {
    let mut changes = context.published.changes();
    let first = async {
        while context.published.load().version.is_none() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(5), first).await.is_err() {
        tracing::warn!(
            "not all servers have answered yet; clients are greeted as by MySQL 8.0.0 until one does"
        );
    }
    // What stored code does is better known before somebody calls it; who does earlier may be pinned for nothing.
    _ = tokio::time::timeout(Duration::from_secs(2), context.code.first_read()).await;
}

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

/// Each client and each backend connection takes a file descriptor.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised; see `ulimit -n`");
    }
}

/// Answers what changes the level later.
fn log_to_stderr(config: &Config) -> anyhow::Result<SetLogLevel> {
    let filter = |level: &str| EnvFilter::try_new(level);
    let (filtering, handle) = reload::Layer::new(filter(&config.log.level).context("[log] level")?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log.format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Human => lines.with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(filtering).with(lines).init();
    Ok(Box::new(move |level| {
        let filter = filter(level).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    }))
}
