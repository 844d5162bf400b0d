//! The model as the controller sees it: statements that travel, are lost, come late, or are refused; and polls.

use std::{sync::Arc, time::Duration};

use dauphin::{
    backend::Fleet,
    failover::cluster::{Act, ActError, Cluster},
    monitor::{Observation, Observations},
    topology::{
        Flavour, Gtids,
        dialect::SourceSettings,
        report::{Problem, Report},
    },
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::model::{MOST, Shared, State, TICK};

/// The place after the last server's.
pub const DAUPHIN: usize = MOST;
/// As long as the real one gives a statement that only sets something.
const SHORT: Duration = Duration::from_secs(2);

/// One dauphin's way to the servers.
#[derive(Debug, Clone)]
pub struct FakeCluster {
    pub world: Shared,
    /// Which dauphin.
    pub owner: u64,
}

#[derive(Debug, Clone)]
enum Statement {
    Claim,
    Yield,
    CutClients,
    AdmitClients,
    Close(Duration),
    Open,
    StopReceiving,
    StopReplication,
    StartReceiving,
    StartReplication,
    ForgetSource,
    ChangeSource(usize),
    SemiSource(Option<SourceSettings>),
    SemiReplica(bool),
    Apply(Gtids, Duration),
}

/// How a message fared.
enum Travel {
    Arrived,
    Refused,
    Lost,
}

impl FakeCluster {
    /// From dauphin to a server or back.
    async fn travel(&self, at: usize) -> Travel {
        let time = {
            let mut world = self.world.lock();
            let travel = world.setup.travel;
            world.random.ms(0, travel)
        };
        sleep(time).await;
        let world = self.world.lock();
        match world.nodes[at].state {
            _ if world.is_cut(at, DAUPHIN) => Travel::Lost,
            State::Down { refuses: true } | State::Leaving => Travel::Refused,
            State::Down { refuses: false } => Travel::Lost,
            State::Up | State::Hung => Travel::Arrived,
        }
    }

    /// Until a server goes on; `false` if it went instead.
    async fn goes_on(&self, at: usize) -> bool {
        loop {
            match self.world.lock().nodes[at].state {
                State::Up => return true,
                State::Hung => {}
                State::Leaving | State::Down { .. } => return false,
            }
            sleep(TICK).await;
        }
    }

    async fn ask(&self, at: usize) -> Result<Report, Problem> {
        let gone = || {
            let is_leaving = self.world.lock().nodes[at].state == State::Leaving;
            Err(if is_leaving {
                Problem::Closed("the server closed the connection".to_owned())
            } else {
                Problem::Gone("refused".to_owned())
            })
        };
        match self.travel(at).await {
            Travel::Arrived => {}
            Travel::Refused => return gone(),
            Travel::Lost => std::future::pending().await,
        }
        if !self.goes_on(at).await {
            return gone();
        }
        let report = self.world.lock().report(at);
        match self.travel(at).await {
            Travel::Arrived => Ok(report),
            Travel::Refused => gone(),
            Travel::Lost => std::future::pending().await,
        }
    }

    /// Sends a statement, which is carried out if it gets there, whether or not anybody waits for its answer.
    async fn run(&self, at: usize, statement: Statement) -> Result<(), ActError> {
        let (answer, answered) = oneshot::channel();
        let server = self.clone();
        tokio::spawn(async move { server.carry_out(at, statement, answer).await });
        answered.await.unwrap_or_else(|_| Err(ActError::Unreachable("connection reset".to_owned())))
    }

    async fn carry_out(
        &self,
        at: usize,
        statement: Statement,
        answer: oneshot::Sender<Result<(), ActError>>,
    ) {
        // As long as whoever asked waits at most; then he has given up by himself.
        let for_ever = || sleep(Duration::from_secs(60));
        let is_lost = |world: &mut crate::model::World| {
            let lost = world.setup.lost;
            world.random.chance(lost)
        };
        match self.travel(at).await {
            Travel::Arrived if is_lost(&mut self.world.lock()) => return for_ever().await,
            Travel::Arrived => {}
            Travel::Refused => return,
            Travel::Lost => return for_ever().await,
        }
        if !self.goes_on(at).await {
            return;
        }
        if answer.is_closed() && self.world.lock().random.chance(50) {
            // The server finds its client gone before it reads the statement.
            return;
        }
        let done = self.at_server(at, statement).await;
        self.count();
        match self.travel(at).await {
            Travel::Arrived if is_lost(&mut self.world.lock()) => for_ever().await,
            Travel::Arrived => {
                // Whoever asked may have gone.
                let _ = answer.send(done);
            }
            Travel::Refused => {}
            Travel::Lost => for_ever().await,
        }
    }

    fn count(&self) {
        let mut world = self.world.lock();
        world.acts += 1;
        if world.crash_at_act.is_some_and(|at| world.acts >= at) {
            world.crash_at_act = None;
            world.crash_now.notify_one();
        }
    }

    async fn at_server(&self, at: usize, statement: Statement) -> Result<(), ActError> {
        {
            let mut world = self.world.lock();
            let refused = world.setup.refused;
            if world.random.chance(refused) {
                let statement = format!("{statement:?}");
                return Err(ActError::Refused { statement, error: "1205 at random".to_owned() });
            }
            if !matches!(statement, Statement::Claim | Statement::Yield) {
                world.tell(&format!("  db{}: {statement:?}", at + 1));
            }
        }
        let now = Instant::now();
        match statement {
            Statement::Apply(gtids, at_most) => return self.wait_applied(at, &gtids, now + at_most).await,
            Statement::Close(at_most) => return self.close(at, now + at_most).await,
            _ => {}
        }
        let mut world = self.world.lock();
        let setup = world.setup.clone();
        let flavour = setup.flavour;
        let node = &mut world.nodes[at];
        match statement {
            Statement::Claim => match node.claimed_by {
                // That of a dauphin before this one has gone with its connection.
                Some(owner) if owner > self.owner => return Err(ActError::Claimed),
                _ => node.claimed_by = Some(self.owner),
            },
            Statement::Yield => {
                if node.claimed_by == Some(self.owner) {
                    node.claimed_by = None;
                }
            }
            Statement::CutClients => {
                node.cut_clients(flavour);
                node.offline = flavour == Flavour::MySql;
            }
            Statement::AdmitClients => node.offline = false,
            Statement::Open => (node.read_only, node.super_read_only) = (false, false),
            Statement::StopReceiving => node.stop_receiving(),
            Statement::StopReplication => node.stop_replication(),
            Statement::StartReceiving => node.start_receiving(now, &setup),
            Statement::StartReplication => node.start_replication(now, &setup),
            Statement::ForgetSource => node.forget_source(),
            Statement::ChangeSource(source) => node.change_source(source),
            Statement::SemiSource(settings) => node.set_semi_source(settings.as_ref()),
            Statement::SemiReplica(enabled) => node.semi_replica = enabled,
            Statement::Apply(..) | Statement::Close(_) => {}
        }
        Ok(())
    }

    async fn wait_applied(&self, at: usize, gtids: &Gtids, until: Instant) -> Result<(), ActError> {
        loop {
            {
                let world = self.world.lock();
                if !matches!(world.nodes[at].state, State::Up | State::Hung) {
                    return Err(ActError::Unreachable("connection reset".to_owned()));
                }
                if world.nodes[at].state == State::Up && world.has_applied(at, gtids) {
                    return Ok(());
                }
            }
            if Instant::now() >= until {
                return Err(ActError::NotApplied);
            }
            sleep(TICK).await;
        }
    }

    /// Waits for the commits under way; new ones wait behind.
    async fn close(&self, at: usize, until: Instant) -> Result<(), ActError> {
        loop {
            {
                let mut world = self.world.lock();
                let node = &mut world.nodes[at];
                match node.state {
                    State::Up if node.waiting.is_empty() => {
                        (node.read_only, node.super_read_only) = (true, true);
                        node.closing = false;
                        return Ok(());
                    }
                    State::Up => node.closing = true,
                    State::Hung => {}
                    State::Leaving | State::Down { .. } => {
                        return Err(ActError::Unreachable("connection reset".to_owned()));
                    }
                }
                if Instant::now() >= until {
                    node.closing = false;
                    let statement = "SET GLOBAL super_read_only".to_owned();
                    return Err(ActError::Refused { statement, error: "1205".to_owned() });
                }
            }
            sleep(TICK).await;
        }
    }

    /// The same statements in the same order as the real one sends.
    fn statements(&self, act: Act) -> (Duration, Vec<Statement>) {
        let flavour = self.world.lock().setup.flavour;
        match act {
            Act::Claim => (SHORT, vec![Statement::Claim]),
            Act::Yield => (SHORT, vec![Statement::Yield]),
            Act::Fence => {
                let mut statements = vec![Statement::CutClients];
                if flavour == Flavour::MySql {
                    statements.push(Statement::SemiSource(None));
                }
                statements.push(Statement::Close(Duration::from_secs(1)));
                statements.push(Statement::AdmitClients);
                (SHORT, statements)
            }
            Act::Close { at_most } => {
                (at_most + SHORT, vec![Statement::Close(at_most.max(Duration::from_secs(1)))])
            }
            Act::Open => (SHORT, vec![Statement::AdmitClients, Statement::Open]),
            Act::StopReceiving => (SHORT, vec![Statement::StopReceiving]),
            Act::StartReceiving => (SHORT, vec![Statement::StartReceiving]),
            Act::Apply { gtids, at_most } => (at_most + SHORT, vec![Statement::Apply(gtids, at_most)]),
            Act::Crown(settings) => (
                SHORT * 2,
                vec![
                    Statement::StopReplication,
                    Statement::ForgetSource,
                    Statement::SemiReplica(false),
                    Statement::SemiSource(settings),
                ],
            ),
            Act::Lead { .. } => panic!("the model has no replication groups"),
            Act::SemiSync(settings) => (SHORT, vec![Statement::SemiSource(settings)]),
            Act::Follow(follow) => {
                let source = follow.host.trim_start_matches("db").parse::<usize>().expect("a name") - 1;
                (
                    SHORT * 2,
                    vec![
                        Statement::SemiReplica(follow.acknowledge),
                        Statement::AdmitClients,
                        Statement::StopReplication,
                        Statement::ChangeSource(source),
                        Statement::StartReplication,
                        Statement::SemiSource(None),
                    ],
                )
            }
        }
    }
}

impl Cluster for FakeCluster {
    async fn report(&self, server: usize) -> Result<Report, Problem> {
        let asked = timeout(SHORT, self.ask(server));
        asked.await.unwrap_or_else(|_| Err(Problem::Silent("no answer in time".to_owned())))
    }

    async fn act(&self, server: usize, act: Act) -> Result<(), ActError> {
        let (at_most, statements) = self.statements(act);
        let done = timeout(at_most, async {
            for statement in statements {
                self.run(server, statement).await?;
            }
            Ok(())
        });
        done.await.unwrap_or_else(|_| Err(ActError::Unreachable("no answer in time".to_owned())))
    }

    async fn keep_warm(&self) {}
}

/// Asks one server again and again, as the monitor does.
pub async fn watch(
    cluster: FakeCluster,
    at: usize,
    fleet: Arc<Fleet>,
    observations: Arc<Observations>,
    interval: Duration,
    at_most: Duration,
) {
    const RECONNECT: Duration = Duration::from_millis(100);
    const SOON: Duration = Duration::from_millis(50);
    let server = fleet.servers[at].clone();
    loop {
        let asked_at = Instant::now();
        let report = timeout(at_most, cluster.ask(at))
            .await
            .unwrap_or_else(|_| Err(Problem::Silent("no answer within [monitor] timeout".to_owned())));
        let recovered = match &report {
            Ok(_) => server.trust(),
            Err(problem) => {
                server.suspect(&problem.to_string());
                false
            }
        };
        let pause = if report.is_ok() { interval } else { RECONNECT };
        let answered_at = Instant::now();
        observations.put(Observation { server: at, asked_at, answered_at, recovered, report });
        let until = asked_at + pause;
        let soon = until.min(Instant::now() + SOON);
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(until) => {}
            () = server.suspected() => tokio::time::sleep_until(soon).await,
            () = observations.poked(at) => {}
        }
    }
}
