//! Metrics as Prometheus reads them: one table says what each is, and where its samples come from.

use std::fmt::Write as _;

use crate::{
    control::{Control, Role as ServerRole, View},
    fault::{ClientFault, Loss, NoConnection},
    metrics::{LATENCY_BOUNDS_US, Retry},
    routing::{RoutingTable, decide::Role},
    session::Context,
};

/// One metric.
pub struct Metric {
    /// Its name, which does not change between releases.
    pub name: &'static str,
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// Its labels, for people.
    pub labels: &'static str,
    /// What it counts, in which unit.
    pub help: &'static str,
    samples: fn(&Sources<'_>, &mut Samples<'_>),
}

/// Where samples come from.
struct Sources<'a> {
    context: &'a Context,
    control: &'a Control,
    view: &'a View,
    table: &'a RoutingTable,
}

/// Where the samples of one metric go.
struct Samples<'a> {
    name: &'static str,
    out: &'a mut String,
}

impl Samples<'_> {
    fn put(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.put_as("", labels, value);
    }

    fn put_as(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let mut line = format!("{}{suffix}", self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(line, "{}{name}=\"{escaped}\"", if at == 0 { '{' } else { ',' });
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{line}{close} {value}");
    }

    /// A sample for each server.
    fn of_servers<V: std::fmt::Display>(
        &mut self,
        from: &Sources<'_>,
        value: impl Fn(&crate::backend::Server) -> V,
    ) {
        for server in from.context.fleet.servers.iter() {
            self.put(&[("server", &server.name)], value(server));
        }
    }
}

macro_rules! metrics {
    ($($kind:ident $name:ident { $($label:ident),* } = $help:literal, $samples:expr;)+) => {
        /// Every metric there is.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: stringify!($name),
            kind: stringify!($kind),
            labels: stringify!($($label),*),
            help: $help,
            samples: $samples,
        },)+];
    };
}

use std::sync::atomic::Ordering::Relaxed;

metrics! {
    gauge dauphin_build_info { version } = "1; says which dauphin this is.", |_, samples| {
        samples.put(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    };
    counter dauphin_statements_total { server, role, reason } =
        "Statements sent to servers: as what each server ran them, and why they went there.", |from, samples| {
        for routed in from.context.metrics.routed() {
            let server = &from.context.fleet.servers[routed.server.0].name;
            let labels = [("server", server.as_str()), ("role", routed.role.label()), ("reason", routed.reason)];
            samples.put(&labels, routed.statements);
        }
    };
    histogram dauphin_statement_duration_seconds { server, role, le } =
        "From a command's arrival to the last byte of its answer, in seconds, with all waits and repetitions.",
        latencies;
    counter dauphin_client_bytes_total { direction } =
        "Bytes of commands received from clients, and of results sent to them.", |from, samples| {
        let (received, sent) = from.context.metrics.bytes();
        samples.put(&[("direction", "received")], received);
        samples.put(&[("direction", "sent")], sent);
    };
    gauge dauphin_clients {} = "Clients that are connected, those that log in among them.", |from, samples| {
        samples.put(&[], from.context.sessions.clients());
    };
    gauge dauphin_sessions { state } = "Sessions, by what they do.", |from, samples| {
        let mut counts = std::collections::BTreeMap::new();
        for entry in from.context.sessions.all() {
            *counts.entry(entry.snapshot().activity.label()).or_insert(0_u64) += 1;
        }
        for activity in crate::session::registry::Activity::ALL {
            let count = counts.get(activity.label()).copied().unwrap_or_default();
            samples.put(&[("state", activity.label())], count);
        }
    };
    counter dauphin_clients_accepted_total {} = "Clients that were let in.", |from, samples| {
        samples.put(&[], from.context.metrics.clients_accepted.load(Relaxed));
    };
    counter dauphin_clients_refused_total {} =
        "Clients that were refused since there were [listen] max_connections.", |from, samples| {
        samples.put(&[], from.context.metrics.clients_refused.load(Relaxed));
    };
    counter dauphin_logins_failed_total {} = "Logins that were refused or not completed in time.", |from, samples| {
        samples.put(&[], from.context.metrics.logins_failed.load(Relaxed));
    };
    counter dauphin_attributes_not_passed_on_total {} =
        "Sessions whose connections have dauphin's connection attributes, since too many different sets were in use.", |from, samples| {
        samples.put(&[], from.context.fleet.attributes.not_kept());
    };
    counter dauphin_clients_failed_total { cause } =
        "Clients that went, or were sent away, without a COM_QUIT, by cause: docs/bad-peers.md.", |from, samples| {
        for cause in ClientFault::ALL {
            let count = from.context.metrics.client_faults[cause as usize].load(Relaxed);
            samples.put(&[("cause", cause.label())], count);
        }
    };
    gauge dauphin_held_statements {} = "Statements that wait for a primary.", |from, samples| {
        samples.put(&[], from.context.hold.waiting());
    };
    counter dauphin_held_statements_total {} = "Statements that have had to wait for a primary.", |from, samples| {
        samples.put(&[], from.context.hold.totals().0);
    };
    counter dauphin_held_statements_failed_total {} = "Statements that waited for a primary in vain.", |from, samples| {
        samples.put(&[], from.context.hold.totals().1);
    };
    counter dauphin_retries_total { cause } = "Further attempts at statements, by cause.", |from, samples| {
        for cause in Retry::ALL {
            let count = from.context.metrics.retries[cause as usize].load(Relaxed);
            samples.put(&[("cause", cause.label())], count);
        }
    };
    counter dauphin_connections_lost_total { server, cause } =
        "Connections to the server that were lost while a statement ran on them: closed, or closed by dauphin for garbage.", |from, samples| {
        for server in from.context.fleet.servers.iter() {
            for cause in Loss::ALL {
                let count = from.context.metrics.lost[server.id.0][cause as usize].load(Relaxed);
                samples.put(&[("server", &server.name), ("cause", cause.label())], count);
            }
        }
    };
    counter dauphin_connects_failed_total { server, cause } =
        "Connections to the server that could not be opened, dauphin's own among them, by cause: docs/bad-peers.md.", |from, samples| {
        for server in from.context.fleet.servers.iter() {
            for cause in NoConnection::ALL {
                let count = server.no_connection[cause as usize].load(Relaxed);
                samples.put(&[("server", &server.name), ("cause", cause.label())], count);
            }
        }
    };
    gauge dauphin_pool_connections { server, state } =
        "Connections to the server: idle, or lent to sessions.", |from, samples| {
        for server in from.context.fleet.servers.iter() {
            let usage = server.pool.usage();
            samples.put(&[("server", &server.name), ("state", "idle")], usage.idle);
            samples.put(&[("server", &server.name), ("state", "lent")], usage.open - usage.idle);
        }
    };
    gauge dauphin_pool_limit { server } = "The most connections to the server.", |from, samples| {
        samples.of_servers(from, |server| server.pool.usage().limit);
    };
    gauge dauphin_pool_waiting { server } = "Sessions that wait for a connection to the server.", |from, samples| {
        samples.of_servers(from, |server| server.pool.usage().waiting);
    };
    counter dauphin_pool_opened_total { server } = "Connections opened to the server.", |from, samples| {
        samples.of_servers(from, |server| server.pool.usage().opened);
    };
    counter dauphin_pool_waits_total { server } =
        "Times that a session had to wait for a connection to the server.", |from, samples| {
        samples.of_servers(from, |server| server.pool.usage().waits);
    };
    counter dauphin_pool_wait_seconds_total { server } =
        "For how long sessions waited for connections to the server, together, in seconds.", |from, samples| {
        samples.of_servers(from, |server| server.pool.usage().waited.as_secs_f64());
    };
    counter dauphin_pool_refused_total { server } =
        "Times that a session got no connection to the server for a limit of the pool.", |from, samples| {
        samples.of_servers(from, |server| server.pool.usage().refused);
    };
    gauge dauphin_classifications {} = "Texts whose classification is remembered.", |from, samples| {
        samples.put(&[], from.context.classifications.entries());
    };
    gauge dauphin_classification_bytes {} = "About how much memory they take, in bytes.", |from, samples| {
        samples.put(&[], from.context.classifications.bytes());
    };
    gauge dauphin_epoch {} = "The epoch of the current or last term; each new primary has a higher one.", |from, samples| {
        samples.put(&[], from.table.epoch.0.max(from.view.epoch));
    };
    gauge dauphin_primary_up {} = "1 if there is a primary that takes writes, else 0.", |from, samples| {
        let is_up = from.table.term().is_some_and(|term| !term.server.is_suspect());
        samples.put(&[], u8::from(is_up));
    };
    gauge dauphin_server_primary { server } = "1 for the primary, 0 for the others.", |from, samples| {
        let primary = from.table.term().map(|term| term.server.id);
        samples.of_servers(from, |server| u8::from(primary == Some(server.id)));
    };
    gauge dauphin_server_reads { server } = "1 if the server takes reads as a replica, else 0.", |from, samples| {
        let takes = |server: &crate::backend::Server| {
            !server.is_suspect() && from.table.replicas.find(server.id).is_some()
        };
        samples.of_servers(from, |server| u8::from(takes(server)));
    };
    gauge dauphin_server_quarantined { server } =
        "1 if the server was primary before, or went its own way, and takes nothing; else 0.", |from, samples| {
        for server in &from.view.servers {
            let is_so = server.role == ServerRole::Quarantined;
            samples.put(&[("server", &server.name)], u8::from(is_so));
        }
    };
    gauge dauphin_replica_lag_seconds { server } =
        "How far the server is behind the primary, in seconds; no sample while that is not known.", |from, samples| {
        for server in &from.view.servers {
            if let Some(lag) = server.lag {
                samples.put(&[("server", &server.name)], lag.as_secs_f64());
            }
        }
    };
    gauge dauphin_replica_lag_known { server } = "1 if the server's lag is known, else 0.", |from, samples| {
        for server in &from.view.servers {
            samples.put(&[("server", &server.name)], u8::from(server.lag.is_some()));
        }
    };
    gauge dauphin_heartbeat_age_seconds {} =
        "How long ago the last heartbeat was sent that the primary has written, in seconds; no sample if there is none.", |from, samples| {
        if let Some(age) = from.view.heartbeat_age {
            samples.put(&[], age.as_secs_f64());
        }
    };
    gauge dauphin_diagnosis { diagnosis } = "1; says what dauphin makes of the cluster.", |from, samples| {
        samples.put(&[("diagnosis", from.view.diagnosis)], 1);
    };
    gauge dauphin_phase { phase } = "1; says what dauphin does: watching, failing_over or switching_over.", |from, samples| {
        samples.put(&[("phase", from.view.phase.label())], 1);
    };
    gauge dauphin_failover_automatic {} = "1 if dauphin fails over by itself, else 0.", |from, samples| {
        samples.put(&[], u8::from(from.view.automatic.is_ok()));
    };
    gauge dauphin_failover_candidate { server } =
        "1 for who would be promoted if the primary died now, 0 for the others.", |from, samples| {
        let candidate = from.view.preview.candidate.as_deref();
        samples.of_servers(from, |server| u8::from(candidate == Some(&*server.name)));
    };
    gauge dauphin_failover_estimate_seconds {} =
        "How long a failover would take now, in seconds; no sample if there is no candidate.", |from, samples| {
        if let Some(estimate) = from.view.preview.estimate {
            samples.put(&[], estimate.as_secs_f64());
        }
    };
    gauge dauphin_failover_transactions_at_risk {} =
        "Transactions that the candidate does not have yet.", |from, samples| {
        samples.put(&[], from.view.preview.transactions_at_risk);
    };
    gauge dauphin_failover_obstacles {} =
        "What stands in the way of a failover, or makes it worse than it should be.", |from, samples| {
        samples.put(&[], from.view.preview.obstacles.len());
    };
    counter dauphin_events_total { kind } = "What happened to the cluster, by kind, as in SHOW EVENTS.", |from, samples| {
        for (kind, count) in from.control.events.counts() {
            samples.put(&[("kind", kind)], count);
        }
    };
}

fn latencies(from: &Sources<'_>, samples: &mut Samples<'_>) {
    for server in from.context.fleet.servers.iter() {
        for role in [Role::Primary, Role::Replica] {
            let latency = from.context.metrics.latency(server.id, role);
            if latency.buckets.iter().all(|count| *count == 0) {
                continue;
            }
            let labels = [("server", server.name.as_str()), ("role", role.label())];
            let mut below = 0;
            for (at, count) in latency.buckets.iter().enumerate() {
                below += count;
                let bound = LATENCY_BOUNDS_US.get(at).map(|bound| *bound as f64 / 1e6);
                let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
                samples.put_as("_bucket", &[labels[0], labels[1], ("le", &bound)], below);
            }
            samples.put_as("_sum", &labels, latency.sum_us as f64 / 1e6);
            samples.put_as("_count", &labels, below);
        }
    }
}

/// All metrics in Prometheus' text format, version 0.0.4.
pub fn text(context: &Context, control: &Control) -> String {
    let (view, table) = (control.view.load(), context.published.load());
    let from = Sources { context, control, view: &view, table: &table };
    let mut out = String::new();
    for metric in METRICS {
        let _ =
            writeln!(out, "# HELP {} {}\n# TYPE {} {}", metric.name, metric.help, metric.name, metric.kind);
        (metric.samples)(&from, &mut Samples { name: metric.name, out: &mut out });
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{backend::Fleet, config::Config, routing::Published};

    const DOCUMENTED: &str = include_str!("../../docs/METRICS.md");

    #[test]
    fn the_document_says_what_the_code_says() {
        let documented: Vec<_> = DOCUMENTED.lines().filter(|line| line.starts_with("| `")).collect();
        let row = |metric: &Metric| {
            let labels = metric.labels.split(',').map(str::trim).filter(|label| !label.is_empty());
            let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), metric.help)
        };
        let rows: Vec<_> = METRICS.iter().map(row).collect();
        assert_eq!(documented, rows, "docs/METRICS.md should be\n{}", rows.join("\n"));
    }

    #[test]
    fn alerts_and_dashboard_use_metrics_that_there_are() {
        for file in [include_str!("../../config/alerts.yml"), include_str!("../../config/grafana.json")] {
            let words = file.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let names: Vec<_> = words.filter(|word| word.starts_with("dauphin_")).collect();
            assert!(names.len() >= 10, "{names:?}");
            for name in names {
                let name = name.strip_suffix("_bucket").unwrap_or(name);
                assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
            }
        }
    }

    #[test]
    fn every_metric_is_shown_and_labels_are_escaped() {
        let mut config = Config::for_tests(&["db1:3306", "db2:3306"]);
        config.servers[0].name = "d\"b\\1".to_owned();
        let fleet = Arc::new(Fleet::new(&config).unwrap());
        let context = Context::new(config.into(), fleet, Arc::new(Published::default())).unwrap();
        let (control, _requests) = Control::new();
        control.events.record("test", None, "a test");
        let text = text(&context, &control);
        for metric in METRICS {
            assert!(text.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind)), "{}", metric.name);
            assert_eq!(metric.kind == "counter", metric.name.ends_with("_total"), "{}", metric.name);
        }
        assert!(text.contains("dauphin_pool_limit{server=\"d\\\"b\\\\1\"} 500\n"), "{text}");
        assert!(text.contains("dauphin_events_total{kind=\"test\"} 1\n"), "{text}");
        assert!(text.contains("dauphin_primary_up 0\n"), "{text}");
    }
}
