//! What is shown: rows in the order of the commands' columns, from what is known at this moment.

use std::sync::Arc;

use super::{Admin, command::Subject, table::Value};
use crate::{
    backend::{Server, ServerId},
    control::{Role, ServerView, View},
    metrics::Place,
    routing::RoutingTable,
    topology::report::{Receiver, Replication, Report},
};

type Row = Vec<Value>;

/// One server and all that is known of it.
struct Known<'a> {
    server: &'a Arc<Server>,
    is_listed: bool,
    view: Option<&'a ServerView>,
    table: &'a RoutingTable,
}

impl Known<'_> {
    fn role(&self) -> &'static str {
        match self.view {
            Some(view) => view.role.label(),
            None if self.is_primary() => Role::Primary.label(),
            None if self.table.replicas.find(self.server.id).is_some() => Role::Replica.label(),
            None => Role::Unknown.label(),
        }
    }

    fn is_primary(&self) -> bool {
        self.table.term().is_some_and(|term| term.server.id == self.server.id)
    }

    fn takes_reads(&self) -> bool {
        !self.server.is_suspect() && self.table.replicas.find(self.server.id).is_some()
    }

    /// A word, and why it is not the best one.
    fn status(&self) -> (&'static str, Option<String>) {
        let out = self.table.out.iter().find(|out| out.server.id == self.server.id);
        let cause = || {
            let of_view = self.view.and_then(|view| view.out.clone());
            of_view.or_else(|| out.map(|out| out.cause.to_string()))
        };
        if self.view.is_some_and(|view| view.drained) {
            ("drained", cause().or_else(|| Some("an operator has drained it".to_owned())))
        } else if self.server.is_suspect() {
            ("suspect", cause().or_else(|| Some("it does not answer".to_owned())))
        } else if self.is_primary() || self.takes_reads() {
            ("online", None)
        } else if let Some(cause) = cause() {
            ("out", Some(cause))
        } else {
            ("unknown", None)
        }
    }

    fn report(&self) -> Option<&Report> {
        Some(self.view?.report.as_ref()?.as_ref().ok()?)
    }

    fn replication(&self) -> Option<&Replication> {
        self.report()?.replication.as_ref()
    }

    fn errant(&self) -> Option<&str> {
        self.view.map(|view| view.errant.as_str()).filter(|errant| !errant.is_empty())
    }

    fn receiver(&self) -> Option<&'static str> {
        self.replication().map(|replication| match replication.receiver {
            Receiver::Connected => "connected",
            Receiver::Connecting => "connecting",
            Receiver::Stopped => "stopped",
        })
    }
}

impl Admin {
    pub(super) fn show(&self, subject: Subject) -> Vec<Row> {
        match subject {
            Subject::Servers => self.of_each_server(server),
            Subject::Lag => self.of_each_server(lag),
            Subject::Topology => self.topology(),
            Subject::Sessions => self.sessions(),
            Subject::Pools => self.pools(),
            Subject::FailoverPlan => failover_plan(&self.control.view.load()),
            Subject::Events => self.events(),
            Subject::Routes => self.routes(),
            Subject::Digests => self.digests(),
            Subject::Config => self.options(),
        }
    }

    fn of_each_server(&self, row: impl Fn(&Known<'_>) -> Row) -> Vec<Row> {
        let (view, table) = (self.control.view.load(), self.context.published.load());
        let known = |server| Known {
            server,
            is_listed: server.id.0 < self.context.config.servers.len(),
            view: view.servers.iter().find(|view| view.name == server.name),
            table: &table,
        };
        self.context.fleet.servers.iter().map(|server| row(&known(server))).collect()
    }

    fn topology(&self) -> Vec<Row> {
        let view = self.control.view.load();
        self.of_each_server(|known| {
            let report = known.report();
            let source = known.replication().map(|replication| name_of_source(&view, replication));
            let error = known.replication().and_then(|replication| {
                let errors = [&replication.applier_error, &replication.receiver_error];
                errors.into_iter().flatten().next().map(|(number, text)| format!("{number}: {text}"))
            });
            let problem = match known.view.and_then(|view| view.report.as_ref()) {
                Some(Err(problem)) => Some(problem.to_string()),
                _ => error,
            };
            vec![
                known.server.name.clone().into(),
                known.role().into(),
                source.into(),
                report.map(|report| report.identity.clone()).into(),
                report.map(|report| report.read_only).into(),
                known.receiver().into(),
                known.replication().map(|replication| replication.applying).into(),
                report.map(|report| report.position.clone()).into(),
                known.errant().into(),
                problem.into(),
                report.and_then(|report| Some(report.group.as_ref()?.label())).into(),
            ]
        })
    }

    fn server_name(&self, id: ServerId) -> Value {
        self.context.fleet.servers.get(id.0).map(|server| server.name.clone()).into()
    }

    fn place(&self, place: Option<Place>) -> [Value; 3] {
        match place {
            Some(place) => {
                [self.server_name(place.server()), place.role().label().into(), place.reason().into()]
            }
            None => [Value::Null, Value::Null, Value::Null],
        }
    }

    fn sessions(&self) -> Vec<Row> {
        let row = |entry: &Arc<crate::session::registry::Entry>| {
            let seen = entry.snapshot();
            let server = entry.running().map(|running| running.server).or(seen.bound);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let [last_server, last_role, last_reason] = self.place(seen.last);
            vec![
                entry.id.into(),
                entry.account().map(|account| account.name().into_owned()).into(),
                entry.host.clone().into(),
                seen.schema.as_deref().map(text).into(),
                seen.activity.label().into(),
                seen.lasting.into(),
                seen.age.into(),
                seen.pinned.into(),
                server.map(|server| self.server_name(server)).unwrap_or(Value::Null),
                last_server,
                last_role,
                last_reason,
            ]
        };
        self.context.sessions.all().iter().map(row).collect()
    }

    fn pools(&self) -> Vec<Row> {
        let row = |server: &Arc<Server>| {
            let usage = server.pool.usage();
            vec![
                server.name.clone().into(),
                usage.limit.into(),
                usage.open.into(),
                usage.idle.into(),
                usage.waiting.into(),
                usage.opened.into(),
                usage.waits.into(),
                usage.waited.into(),
                usage.refused.into(),
            ]
        };
        self.context.fleet.servers.iter().map(row).collect()
    }

    fn events(&self) -> Vec<Row> {
        let row = |event: crate::control::Event| {
            vec![
                event.id.into(),
                humantime::format_rfc3339_millis(event.at).to_string().into(),
                event.kind.into_owned().into(),
                event.server.into(),
                event.message.into(),
            ]
        };
        self.control.events.all().into_iter().map(row).collect()
    }

    fn routes(&self) -> Vec<Row> {
        let row = |routed: crate::metrics::Routed| {
            vec![
                self.server_name(routed.server),
                routed.role.label().into(),
                routed.reason.into(),
                routed.statements.into(),
            ]
        };
        self.context.metrics.routed().into_iter().map(row).collect()
    }

    fn digests(&self) -> Vec<Row> {
        let (digests, others) = self.context.metrics.digests();
        let row = |digest: crate::metrics::Digest| {
            let mut row: Row = vec![
                format!("{:016x}", digest.digest).into(),
                (digest.on_primary + digest.on_replicas).into(),
                digest.on_primary.into(),
                digest.on_replicas.into(),
            ];
            row.extend(self.place(digest.last));
            row.push(digest.text.into());
            row
        };
        let mut rows: Vec<_> = digests.into_iter().map(row).collect();
        if others > 0 {
            rows.push([Value::Null, others.into()].into_iter().chain((0..6).map(|_| Value::Null)).collect());
        }
        rows
    }

    fn options(&self) -> Vec<Row> {
        let row = |given: crate::config::Given| {
            vec![given.path.into(), given.value.into(), given.by_file.into(), given.live.into()]
        };
        self.config.load().given().into_iter().map(row).collect()
    }
}

fn server(known: &Known<'_>) -> Row {
    let (status, cause) = known.status();
    let report = known.report();
    vec![
        known.server.name.clone().into(),
        known.server.address.to_string().into(),
        known.role().into(),
        status.into(),
        known.takes_reads().into(),
        cause.into(),
        known.view.and_then(|view| view.lag).into(),
        known.server.weight.into(),
        known.server.zone.clone().into(),
        report.map(|report| report.version.text.clone()).into(),
        report.map(|report| report.read_only).into(),
        known.errant().into(),
        if known.is_listed { "config" } else { "discovered" }.into(),
    ]
}

fn lag(known: &Known<'_>) -> Row {
    let replication = known.replication();
    vec![
        known.server.name.clone().into(),
        known.role().into(),
        known.view.and_then(|view| view.lag).into(),
        known.takes_reads().into(),
        known.receiver().into(),
        replication.map(|replication| replication.applying).into(),
        replication.map(|replication| replication.delay).into(),
        replication.and_then(|replication| replication.seconds_behind).into(),
        replication.and_then(|replication| replication.silent_for).into(),
    ]
}

/// The source by its name, if it is one of the servers; else where it is.
fn name_of_source(view: &View, replication: &Replication) -> String {
    let is_source = |server: &&ServerView| {
        let report = server.report.as_ref().and_then(|report| report.as_ref().ok());
        !replication.source.is_empty() && report.is_some_and(|report| report.identity == replication.source)
    };
    let named = view.servers.iter().find(is_source).map(|server| server.name.clone());
    let (host, port) = &replication.source_address;
    named.unwrap_or_else(|| format!("{host}:{port}"))
}

fn failover_plan(view: &View) -> Vec<Row> {
    let preview = &view.preview;
    let automatic = match &view.automatic {
        Ok(()) => "yes".to_owned(),
        Err(why) => format!("no: {why}"),
    };
    let mut rows: Vec<(&str, Value)> = vec![
        ("epoch", view.epoch.into()),
        ("phase", view.phase.label().into()),
        ("primary", view.primary.clone().into()),
        ("diagnosis", view.diagnosis.into()),
        ("detail", view.diagnosis_detail.clone().into()),
        ("automatic", automatic.into()),
        ("candidate", preview.candidate.clone().into()),
        ("estimate_ms", preview.estimate.into()),
        ("transactions_at_risk", preview.transactions_at_risk.into()),
        ("at_risk", preview.at_risk.clone().into()),
    ];
    rows.extend(preview.obstacles.iter().map(|obstacle| ("obstacle", obstacle.clone().into())));
    let passed_over = preview.passed_over.iter();
    rows.extend(passed_over.map(|(server, why)| ("passed_over", format!("{server}: {why}").into())));
    rows.into_iter().map(|(item, value)| vec![item.into(), value]).collect()
}
