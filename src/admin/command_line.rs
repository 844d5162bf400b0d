//! The command line's orders: each is sent to a running dauphin's admin port, and its table printed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::order;
use crate::{
    backend::{
        Account, Pool, Server, ServerId,
        exchange::Own,
        own::{AskError, OwnConnection},
        pool::Limits,
        tls::Tls,
    },
    config::{self, Config, ListenAddress, ServerAddress, ServerTls},
};

/// What the command line can ask of a running dauphin.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "which dauphin is meant is said once, in `Running`")]
pub enum Request {
    /// Shows the servers of a running dauphin, and what a failover would come to.
    Status {
        #[command(flatten)]
        of: Running,
    },
    /// Shows a table of a running dauphin: servers, lag, sessions, pools, topology, failover-plan, events, routes,
    /// digests or config.
    Show {
        /// Which table.
        table: String,
        /// Only rows with a value like this: % is any text, _ any character.
        #[arg(long, value_name = "PATTERN")]
        like: Option<String>,
        #[command(flatten)]
        of: Running,
    },
    /// Makes another server the primary, with nobody noticing.
    Switchover {
        /// Which; without it, the best.
        #[arg(long, value_name = "SERVER")]
        to: Option<String>,
        /// End the sessions that would keep it from happening.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        of: Running,
    },
    /// Promotes a replica although, or because, the primary is gone.
    Failover {
        /// Which; without it, the best.
        #[arg(long, value_name = "SERVER")]
        to: Option<String>,
        /// Also if transactions are lost by it.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        of: Running,
    },
    /// Takes a server out of rotation: running statements finish, no new ones come.
    Drain {
        /// Which.
        server: String,
        #[command(flatten)]
        of: Running,
    },
    /// Puts a drained server back into rotation.
    Undrain {
        /// Which.
        server: String,
        #[command(flatten)]
        of: Running,
    },
    /// Holds new statements for the primary.
    Pause {
        #[command(flatten)]
        of: Running,
    },
    /// Lets go on what was paused.
    Resume {
        #[command(flatten)]
        of: Running,
    },
    /// Ends a session, or the statement that it runs.
    Kill {
        /// The session's id, as `dauphin show sessions` has it.
        id: u64,
        /// Only its statement.
        #[arg(long)]
        query: bool,
        #[command(flatten)]
        of: Running,
    },
    /// Makes a running dauphin read its config file anew.
    Reload {
        #[command(flatten)]
        of: Running,
    },
    /// Stops a running dauphin: open transactions have [listen] drain_timeout to end.
    Shutdown {
        #[command(flatten)]
        of: Running,
    },
    /// Sends any command to the admin port, as in: dauphin admin HELP SHOW SERVERS.
    Admin {
        /// Its words.
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        of: Running,
    },
}

/// Which dauphin, who asks, and how the answer is shown.
#[derive(Debug, Clone, Args)]
pub struct Running {
    /// The running dauphin's config file, for the address, user and password of [admin].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin port; without it and --config, 127.0.0.1:6032.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    address: Option<ServerAddress>,
    /// The operators' user.
    #[arg(long, default_value = "admin", conflicts_with = "config")]
    user: String,
    /// A file that holds the password; without it and --config, the variable DAUPHIN_ADMIN_PASSWORD.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    password_file: Option<PathBuf>,
    /// Print JSON: a list of objects, every value as text.
    #[arg(long)]
    json: bool,
}

impl Request {
    /// The commands for the admin port, and for which dauphin.
    fn commands(self) -> (Vec<String>, Running) {
        let to_server = |name: &str, to: Option<String>, force: bool| {
            let to = to.map(|server| format!(" TO {}", quoted(&server))).unwrap_or_default();
            format!("{name}{to}{}", if force { " FORCE" } else { "" })
        };
        let (command, of) = match self {
            Self::Status { of } => return (vec!["SHOW SERVERS".into(), "SHOW FAILOVER PLAN".into()], of),
            Self::Show { table, like, of } => {
                let like = like.map(|pattern| format!(" LIKE {}", quoted(&pattern))).unwrap_or_default();
                (format!("SHOW {}{like}", table.replace(['-', '_'], " ")), of)
            }
            Self::Switchover { to, force, of } => (to_server("SWITCHOVER", to, force), of),
            Self::Failover { to, force, of } => (to_server("FAILOVER", to, force), of),
            Self::Drain { server, of } => (format!("DRAIN {}", quoted(&server)), of),
            Self::Undrain { server, of } => (format!("UNDRAIN {}", quoted(&server)), of),
            Self::Pause { of } => ("PAUSE".into(), of),
            Self::Resume { of } => ("RESUME".into(), of),
            Self::Kill { id, query, of } => (format!("KILL {}{id}", if query { "QUERY " } else { "" }), of),
            Self::Reload { of } => ("RELOAD".into(), of),
            Self::Shutdown { of } => ("SHUTDOWN".into(), of),
            Self::Admin { words, of } => (words.join(" "), of),
        };
        (vec![command], of)
    }

    /// Asks, and prints the answers.
    ///
    /// # Errors
    /// dauphin cannot be reached, or did not do it, and why.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (commands, of) = self.commands();
        runtime.block_on(async {
            let mut connection = of.connect().await?;
            for command in commands {
                anyhow::ensure!(command.len() <= order::LONGEST, "the command is too long");
                let answer = match connection.ask(&command).await {
                    Ok(answer) => answer,
                    Err(AskError::Refused(error)) => {
                        anyhow::bail!("{}", String::from_utf8_lossy(&error.message))
                    }
                    Err(error) => return Err(error).context(command),
                };
                print!("{}", if of.json { as_json(&answer) } else { as_table(&answer) });
            }
            Ok(())
        })
    }
}

fn quoted(word: &str) -> String {
    let quote = ['\'', '"', '`'].into_iter().find(|quote| !word.contains(*quote)).unwrap_or('\'');
    format!("{quote}{word}{quote}")
}

impl Running {
    async fn connect(&self) -> anyhow::Result<OwnConnection> {
        let (address, account) = self.found()?;
        let name = address.to_string();
        let config = config::Server {
            name: name.clone(),
            address,
            weight: 0,
            max_connections: 1,
            zone: None,
            priority: 0,
            replication_address: None,
            compression: None,
        };
        let limits = Limits {
            per_server: 1,
            per_user: 1,
            waiting: 0,
            wait_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            max_age: Duration::ZERO,
        };
        // As MySQL's own clients: under TLS where it is offered.
        let tls = Tls::new(&ServerTls::Preferred)?;
        let (pool, patience) = (Pool::new(limits), Duration::from_secs(10));
        let off = config::Compression::Off;
        let server = Arc::new(Server::new(ServerId(0), &config, pool, tls, patience, off, Arc::default()));
        OwnConnection::open(&server, &account)
            .await
            .with_context(|| format!("dauphin's admin port at {name}; --address or --config say where it is"))
    }

    fn found(&self) -> anyhow::Result<(ServerAddress, Account)> {
        if let Some(file) = &self.config {
            let admin = Config::load(file)?.admin;
            let address = admin.addresses.first().context("[admin] address is empty")?;
            let password = admin.password.as_ref().map(|secret| secret.reveal()).unwrap_or_default();
            return Ok((reachable(address)?, Account::with_password(admin.user.as_bytes(), password)));
        }
        let password = match &self.password_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                zeroize::Zeroizing::new(text)
            }
            None => zeroize::Zeroizing::new(std::env::var("DAUPHIN_ADMIN_PASSWORD").unwrap_or_default()),
        };
        let address = match &self.address {
            Some(address) => address.clone(),
            None => "127.0.0.1:6032".parse()?,
        };
        let password = password.trim_end_matches(['\r', '\n']).as_bytes();
        Ok((address, Account::with_password(self.user.as_bytes(), password)))
    }
}

/// How to reach from this machine what listens there.
fn reachable(address: &ListenAddress) -> anyhow::Result<ServerAddress> {
    Ok(match address {
        ListenAddress::Unix(path) => ServerAddress::Unix(path.clone()),
        ListenAddress::Tcp(address) => {
            let mut address = *address;
            anyhow::ensure!(
                address.port() != 0,
                "[admin] address leaves the port to the system: give --address"
            );
            if address.ip().is_unspecified() {
                address.set_ip(if address.is_ipv6() {
                    std::net::Ipv6Addr::LOCALHOST.into()
                } else {
                    std::net::Ipv4Addr::LOCALHOST.into()
                });
            }
            address.to_string().parse()?
        }
    })
}

fn texts(answer: &Own) -> impl Iterator<Item = Vec<Option<String>>> + '_ {
    let text =
        |value: &Option<Vec<u8>>| value.as_deref().map(|text| String::from_utf8_lossy(text).into_owned());
    answer.rows.iter().map(move |row| row.iter().map(text).collect())
}

fn as_json(answer: &Own) -> String {
    let object = |row: Vec<Option<String>>| -> serde_json::Value {
        let members = answer.columns.iter().cloned().zip(row.into_iter().map(Into::into));
        serde_json::Value::Object(members.collect())
    };
    format!("{}\n", serde_json::Value::Array(texts(answer).map(object).collect()))
}

/// Columns side by side; a single value, such as what was done, by itself.
fn as_table(answer: &Own) -> String {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    let rows: Vec<Vec<String>> = texts(answer).map(|row| row.into_iter().map(shown).collect()).collect();
    if let ([only], [name]) = (&rows[..], &answer.columns[..])
        && name == "result"
    {
        return format!("{}\n", only.join(""));
    }
    let width = |at: usize| {
        let values = rows.iter().filter_map(|row| row.get(at)).chain(answer.columns.get(at));
        values.map(|value| value.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..answer.columns.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(value, &width)| format!("{value:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let lines: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{}{lines}\n", line(&answer.columns), line(&rule))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::admin::{command::COMMANDS, order::Order};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        request: Request,
    }

    fn commands(line: &str) -> Vec<String> {
        let words = std::iter::once("dauphin").chain(line.split(' '));
        Line::try_parse_from(words).unwrap().request.commands().0
    }

    #[test]
    fn an_order_on_the_command_line_is_one_of_the_admin_port_s() {
        for (line, command) in [
            ("switchover --to db2 --force", "SWITCHOVER TO 'db2' FORCE"),
            ("failover", "FAILOVER"),
            ("drain db2", "DRAIN 'db2'"),
            ("kill --query 7", "KILL QUERY 7"),
            ("show failover-plan", "SHOW failover plan"),
            ("show servers --like db%", "SHOW servers LIKE 'db%'"),
            ("admin help show servers", "help show servers"),
        ] {
            assert_eq!(commands(line), [command], "{line}");
        }
    }

    #[test]
    fn every_command_can_be_given_on_the_command_line() {
        for command in COMMANDS {
            let line = match command.name.split_once(' ') {
                Some((_, table)) => format!("show {}", table.replace(' ', "-").to_lowercase()),
                None if command.name == "HELP" => "admin help".to_owned(),
                None => match command.arguments {
                    "server" => format!("{} db1", command.name.to_lowercase()),
                    "[CONNECTION | QUERY] id" => "kill 7".to_owned(),
                    _ => command.name.to_lowercase(),
                },
            };
            let sent = commands(&line);
            assert_eq!(Order::read(&sent[0]).unwrap().unwrap().command.name, command.name, "{line}");
        }
    }

    #[test]
    fn an_answer_is_printed_as_a_table_or_as_json() {
        let row = vec![Some(b"db1".to_vec()), None];
        let answer =
            Own { columns: vec!["server".into(), "lag_ms".into()], rows: vec![row], ..Own::default() };
        assert_eq!(as_table(&answer), "server  lag_ms\n------  ------\ndb1     NULL\n\n");
        assert_eq!(as_json(&answer), "[{\"lag_ms\":null,\"server\":\"db1\"}]\n");
    }
}
