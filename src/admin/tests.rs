//! What operators see and do, over a control plane that the tests play.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    backend::Fleet,
    config::{AdminRole, Config},
    control::{Action, Phase, Preview, Request, Role, ServerView, View},
    routing::{Epoch, Primary, Published, RoutingTable, Term, balance::Rotation, table::Out},
    topology::{
        flavour::Version,
        report::{Problem, Receiver, Replication, Report, SemiSync},
    },
};

struct Stage {
    admin: Arc<Admin>,
    requests: mpsc::Receiver<Request>,
    fleet: Arc<Fleet>,
    published: Arc<Published>,
    stop: CancellationToken,
}

impl Stage {
    fn new() -> Self {
        let mut config = Config::for_tests(&["db1:3306", "db2:3306", "db3:3306"]);
        for (at, server) in config.servers.iter_mut().enumerate() {
            server.name = format!("db{}", at + 1);
        }
        let (fleet, published) = (Arc::new(Fleet::new(&config).unwrap()), Arc::new(Published::default()));
        let file = ConfigFile::of(config.clone());
        let context = Arc::new(Context::new(config.into(), fleet.clone(), published.clone()).unwrap());
        let ((control, requests), stop) = (Control::new(), CancellationToken::new());
        let level = Box::new(|_: &str| Ok(()));
        let admin = Admin::new(context, control, PathBuf::new(), file, level, stop.clone());
        Self { admin, requests, fleet, published, stop }
    }

    /// db1 is the primary, db2 takes reads, db3 is out.
    fn publish(&self, with_primary: bool) {
        let servers = &self.fleet.servers;
        let term = Term { epoch: Epoch(7), server: servers[0].clone(), ended: CancellationToken::new() };
        let absent = Primary::Absent { cause: "it is gone".to_owned() };
        self.published.publish(RoutingTable {
            epoch: Epoch(7),
            primary: if with_primary { Primary::Serving(term.into()) } else { absent },
            replicas: Rotation::new(vec![servers[1].clone()]),
            out: vec![Out { server: servers[2].clone(), cause: "replication applier stopped" }],
            version: Some(Version::parse("9.7.4")),
        });
    }

    async fn ask(&self, text: &str) -> Result<Table, Failure> {
        let order = Order::read(text).expect("it is a command").map_err(Failure::Wrong)?;
        self.admin.carry_out(&order, &who(AdminRole::Operator)).await
    }

    /// The rows as text, `-` for NULL, with blanks between the values of these columns.
    async fn shown(&self, text: &str, columns: &[&str]) -> Vec<String> {
        let table = self.ask(text).await.unwrap();
        let at = |name: &&str| table.names().iter().position(|known| known == name).unwrap();
        let places: Vec<_> = columns.iter().map(at).collect();
        let row = |row: Vec<Option<String>>| {
            let values = places.iter().map(|at| row[*at].clone().unwrap_or_else(|| "-".to_owned()));
            values.collect::<Vec<_>>().join(" ")
        };
        table.texts().into_iter().map(row).collect()
    }
}

fn who(role: AdminRole) -> Who {
    Who::new("alice", role, "here", "a test")
}

fn report(identity: &str, replicates_from: Option<&str>) -> Report {
    Report {
        version: Version::parse("9.7.4"),
        identity: identity.to_owned(),
        read_only: replicates_from.is_some(),
        super_read_only: replicates_from.is_some(),
        uptime: Duration::from_secs(1_000),
        started: 1_000_000,
        forgets_received: false,
        executed: Default::default(),
        position: format!("{identity}:1-9"),
        purged: Default::default(),
        can_serve_replicas: true,
        semi_sync: SemiSync::default(),
        replication: replicates_from.map(|source| Replication {
            source: source.to_owned(),
            source_address: ("far".to_owned(), 3307),
            tls: true,
            receiver: Receiver::Connected,
            receiver_error: None,
            applying: false,
            applier_error: Some((1062, "Duplicate entry".to_owned())),
            received: Default::default(),
            silent_for: Some(Duration::from_millis(1_500)),
            heartbeat: None,
            delay: Duration::from_secs(60),
            seconds_behind: Some(3),
        }),
        group: None,
        max_connections: 151,
        heartbeat_us: None,
        account: String::new(),
        lacks: Vec::new(),
    }
}

fn view() -> View {
    let server = |name: &str, role, report| ServerView {
        name: name.to_owned(),
        address: format!("{name}:3306"),
        role,
        out: None,
        lag: None,
        errant: String::new(),
        report,
        drained: false,
    };
    let gone = Some(Err(Problem::Gone("connection refused".to_owned())));
    View {
        epoch: 7,
        phase: Phase::SwitchingOver,
        primary: Some("db1".to_owned()),
        diagnosis: "healthy",
        servers: vec![
            ServerView {
                lag: Some(Duration::ZERO),
                ..server("db1", Role::Primary, Some(Ok(report("a", None).into())))
            },
            ServerView {
                lag: Some(Duration::from_millis(2_500)),
                drained: true,
                ..server("db2", Role::Replica, Some(Ok(report("b", Some("a")).into())))
            },
            ServerView {
                out: Some("it went its own way".to_owned()),
                errant: "c:1-2".to_owned(),
                ..server("db3", Role::Quarantined, gone)
            },
        ],
        preview: Preview {
            candidate: Some("db2".to_owned()),
            estimate: Some(Duration::from_millis(1_200)),
            transactions_at_risk: 4,
            at_risk: "a:6-9".to_owned(),
            obstacles: vec!["db2 is behind".to_owned()],
            passed_over: vec![("db3".to_owned(), "errant transactions".to_owned())],
        },
        automatic: Ok(()),
        ..View::default()
    }
}

#[tokio::test]
async fn servers_are_shown_before_the_control_plane_has_said_anything() {
    let stage = Stage::new();
    let columns = ["server", "role", "status", "reads", "cause"];
    let unknown: Vec<_> = (1..=3).map(|at| format!("db{at} unknown unknown no -")).collect();
    assert_eq!(stage.shown("SHOW SERVERS", &columns).await, unknown);
    stage.publish(true);
    assert_eq!(
        stage.shown("SHOW SERVERS", &columns).await,
        [
            "db1 primary online no -",
            "db2 replica online yes -",
            "db3 unknown out no replication applier stopped"
        ]
    );
    stage.fleet.servers[1].suspect("a test");
    assert_eq!(
        stage.shown("SHOW SERVERS LIKE 'db2'", &columns).await,
        ["db2 replica suspect no it does not answer"]
    );
}

#[tokio::test]
async fn what_the_control_plane_says_is_shown() {
    let stage = Stage::new();
    stage.publish(true);
    stage.admin.control.view.store(view().into());
    assert_eq!(
        stage
            .shown("SHOW SERVERS", &["server", "role", "status", "cause", "lag_ms", "version", "errant"])
            .await,
        [
            "db1 primary online - 0 9.7.4 -",
            "db2 replica drained an operator has drained it 2500 9.7.4 -",
            "db3 quarantined out it went its own way - - c:1-2",
        ]
    );
    let columns = ["server", "lag_ms", "receiver", "applying", "delay_ms", "seconds_behind", "silent_ms"];
    assert_eq!(
        stage.shown("SHOW LAG", &columns).await,
        ["db1 0 - - - - -", "db2 2500 connected no 60000 3 1500", "db3 - - - - - -"]
    );
    let columns = ["server", "source", "identity", "read_only", "executed", "problem"];
    assert_eq!(
        stage.shown("SHOW TOPOLOGY", &columns).await,
        ["db1 - a no a:1-9 -", "db2 db1 b yes b:1-9 1062: Duplicate entry", "db3 - - - - connection refused",]
    );
    assert_eq!(
        stage.shown("SHOW FAILOVER PLAN", &["item", "value"]).await,
        [
            "epoch 7",
            "phase switching_over",
            "primary db1",
            "diagnosis healthy",
            "detail ",
            "automatic yes",
            "candidate db2",
            "estimate_ms 1200",
            "transactions_at_risk 4",
            "at_risk a:6-9",
            "obstacle db2 is behind",
            "passed_over db3: errant transactions",
        ]
    );
    let metrics = prometheus::text(&stage.admin.context, &stage.admin.control);
    for line in [
        "dauphin_replica_lag_seconds{server=\"db2\"} 2.5",
        "dauphin_replica_lag_known{server=\"db3\"} 0",
        "dauphin_server_quarantined{server=\"db3\"} 1",
        "dauphin_failover_candidate{server=\"db2\"} 1",
        "dauphin_failover_estimate_seconds 1.2",
        "dauphin_failover_transactions_at_risk 4",
        "dauphin_primary_up 1",
        "dauphin_epoch 7",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn orders_reach_the_control_plane_and_its_answer_comes_back() {
    let mut stage = Stage::new();
    let action = |to: &str, force| Action::SwitchOver { to: Some(to.to_owned()), force };
    for (text, expected) in [
        ("SWITCHOVER TO DB2 FORCE", action("db2", true)),
        ("switchover to 'db3:3306';", action("db3", false)),
        ("FAILOVER", Action::FailOver { to: None, force: false }),
        ("DRAIN db3", Action::Drain("db3".to_owned())),
        ("UNDRAIN db3", Action::Undrain("db3".to_owned())),
        ("PAUSE", Action::Pause),
        ("RESUME", Action::Resume),
    ] {
        let admin = stage.admin.clone();
        let order = Order::read(text).unwrap().unwrap();
        let asked = tokio::spawn(async move { admin.carry_out(&order, &who(AdminRole::Operator)).await });
        let request = stage.requests.recv().await.unwrap();
        assert_eq!((&request.action, request.by.as_str()), (&expected, "alice@here by a test"), "{text}");
        let is_drain = matches!(expected, Action::Drain(_));
        let answer = if is_drain { Err("it is the last one".to_owned()) } else { Ok("done".to_owned()) };
        request.answer.send(answer).unwrap();
        let answer = asked.await.unwrap().map(|table| table.texts());
        if is_drain {
            assert_eq!(answer, Err(Failure::NotDone("it is the last one".to_owned())));
        } else {
            assert_eq!(answer, Ok(vec![vec![Some("done".to_owned())]]));
        }
    }
    let unknown = stage.ask("DRAIN db9").await.unwrap_err();
    assert_eq!(
        unknown,
        Failure::Wrong("there is no server \"db9\"; the servers are db1, db2, db3".to_owned())
    );
    assert_eq!(stage.ask("KILL 5").await.unwrap_err(), Failure::NoSession(5));
}

#[tokio::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let mut stage = Stage::new();
    for command in COMMANDS {
        let arguments = match command.name {
            "DRAIN" | "UNDRAIN" => " db2",
            "KILL" => " 5",
            _ => "",
        };
        let order = Order::read(&format!("{}{arguments}", command.name)).unwrap().unwrap();
        let outcome = stage.admin.carry_out(&order, &who(AdminRole::Viewer)).await;
        if matches!(command.verb, Verb::Act(_)) {
            let said = format!(
                "{} takes the role operator, and \"alice\" is a viewer, who may SHOW and HELP ([[admin.users]] role)",
                command.name
            );
            assert_eq!(outcome.map(|table| table.texts()), Err(Failure::NotAllowed(said)));
        } else {
            assert!(outcome.is_ok(), "{}", command.name);
        }
    }
    assert!(stage.requests.try_recv().is_err() && !stage.stop.is_cancelled());
    let told = stage.shown("HELP DRAIN", &["name", "meaning"]).await;
    assert!(told.contains(&"(role) takes the role operator".to_owned()), "{told:?}");
}

#[tokio::test]
async fn ready_is_whoever_has_a_primary_or_reads() {
    let stage = Stage::new();
    assert_eq!(stage.admin.ready(), Err("no server takes reads or writes".to_owned()));
    stage.publish(true);
    assert_eq!(stage.admin.ready(), Ok("primary db1, 1 servers take reads".to_owned()));
    stage.publish(false);
    assert_eq!(stage.admin.ready(), Ok("no primary; 1 servers take reads".to_owned()));
    stage.fleet.servers[1].suspect("a test");
    assert!(stage.admin.ready().is_err());
    stage.publish(true);
    assert!(stage.admin.ready().is_ok());
    stage.stop.cancel();
    assert_eq!(stage.admin.ready(), Err("dauphin is stopping".to_owned()));
}
