//! One seed's story: a cluster, a dauphin that may crash, what goes wrong and when, and how it must end.

use std::{sync::Arc, time::Duration};

use dauphin::{
    backend::Fleet,
    config::Config,
    control::{Action, Control},
    failover::{
        Controller, Parts, Settings,
        journal::{Journal, Record},
    },
    monitor::Observations,
    routing::{Primary, Published, hold::Hold},
    topology::{Flavour, dialect::SourceSettings, report::Receiver},
};
use parking_lot::Mutex;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

use tokio_util::sync::CancellationToken;

use crate::{
    checks::{Checks, Counts},
    cluster::{DAUPHIN, FakeCluster, watch},
    model::{MOST, Setup, Shared, State, TICK, World},
    random::Random,
    writers::{Way, write_for_ever},
};

/// A transaction waits this long for acknowledgements: for ever.
const FOR_EVER: Duration = Duration::from_millis(u32::MAX as u64);
/// Within which time all must be well once nothing goes wrong any more.
const TO_HEAL: Duration = Duration::from_secs(40);

/// Whom a fault strikes.
#[derive(Debug, Clone, Copy)]
enum Whom {
    /// Whoever is the primary then.
    Primary,
    /// This one, whatever it is then.
    Server(usize),
}

/// What goes wrong, or is asked for.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Crash {
        whom: Whom,
        refuses: bool,
        back_after: Duration,
    },
    CrashAll {
        back_after: Duration,
    },
    Hang {
        whom: Whom,
        lasts: Duration,
    },
    Leave {
        whom: Whom,
        lingers: Duration,
        back_after: Duration,
    },
    CutFromDauphin {
        whom: Whom,
        lasts: Duration,
    },
    CutFromReplicas {
        whom: Whom,
        lasts: Duration,
    },
    CutPair {
        one: usize,
        other: usize,
        lasts: Duration,
    },
    CutOff {
        whom: Whom,
        lasts: Duration,
    },
    AppliesSlowly {
        whom: Whom,
        lasts: Duration,
    },
    ReceivesSlowly {
        whom: Whom,
        lasts: Duration,
    },
    ApplierStops {
        whom: Whom,
        lasts: Duration,
    },
    CloseByHand {
        whom: Whom,
        lasts: Duration,
    },
    OpenByHand {
        whom: Whom,
        lasts: Duration,
    },
    Rival {
        lasts: Duration,
    },
    DauphinCrashes {
        for_: Duration,
    },
    /// As by SIGTERM.
    DauphinStops {
        for_: Duration,
    },
    /// After the next so many statements of its control plane.
    DauphinCrashesAtAct {
        acts: u64,
    },
    SwitchOver {
        to: Option<usize>,
        force: bool,
    },
    FailOver {
        to: Option<usize>,
        force: bool,
    },
    Drain {
        server: usize,
        lasts: Duration,
    },
    Pause {
        lasts: Duration,
    },
}

/// What a seed stands for.
#[derive(Debug, Clone)]
struct Plan {
    setup: Setup,
    class: Class,
    faults: Vec<(Duration, Fault)>,
    writers: usize,
    pause: u64,
    config: String,
    interval: Duration,
    at_most: Duration,
    hold_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing goes wrong; operators do planned things. No statement may fail.
    Calm,
    /// One thing goes wrong.
    Single,
    /// Many things go wrong at once.
    Wild,
}

/// How a story ended.
#[derive(Debug)]
pub struct Outcome {
    pub counts: Counts,
    pub broken: Vec<String>,
    pub plan: String,
    pub trace: Vec<String>,
}

/// Seeds from here on make things go wrong together that are dangerous together, and seldom meet by chance.
pub const PERILOUS: u64 = 1_000_000;

fn plan(seed: u64) -> (Plan, Random) {
    let (mut plan, mut random) = plan_by_chance(seed);
    if seed >= PERILOUS {
        plan.class = Class::Wild;
        (plan.setup.refused, plan.setup.lost) = (0, 0);
        plan.setup.servers = 3;
        plan.setup.semi_sync =
            (!random.chance(10)).then_some(SourceSettings { wait_for: 1, timeout: FOR_EVER });
        plan.writers = 2 + random.below(3);
        plan.pause = 40;
        plan.faults = perilous(&mut random);
    }
    (plan, random)
}

/// Each is a way to lose what was acknowledged, or to have two primaries.
fn perilous(random: &mut Random) -> Vec<(Duration, Fault)> {
    let lasts = random.ms(2000, 8000);
    let at = random.ms(2000, 3000);
    let soon = at + random.ms(0, 300);
    let dies = random.of(&[
        Fault::Crash { whom: Whom::Primary, refuses: true, back_after: lasts },
        Fault::Crash { whom: Whom::Primary, refuses: false, back_after: lasts },
        Fault::CutOff { whom: Whom::Primary, lasts },
        Fault::Hang { whom: Whom::Primary, lasts },
    ]);
    let (one, other) = random.of(&[(1, 2), (2, 1)]);
    let slow = Duration::from_secs(6);
    match random.below(5) {
        // The one that acknowledged goes together with the primary; the other lacks what it had.
        0 => vec![
            (Duration::from_millis(1500), Fault::ReceivesSlowly { whom: Whom::Server(one), lasts: slow }),
            (at, Fault::Crash { whom: Whom::Server(other), refuses: true, back_after: lasts }),
            (soon, dies),
        ],
        1 => vec![
            (Duration::from_millis(1500), Fault::CutPair { one: 0, other: one, lasts: slow }),
            (at, dies),
            (soon, Fault::CutFromDauphin { whom: Whom::Server(other), lasts }),
        ],
        // All have received it and nobody has applied it.
        2 => vec![
            (Duration::from_millis(1500), Fault::AppliesSlowly { whom: Whom::Server(one), lasts: slow }),
            (Duration::from_millis(1500), Fault::AppliesSlowly { whom: Whom::Server(other), lasts: slow }),
            (at, dies),
        ],
        // dauphin is told to stop in the middle of a planned change.
        3 => {
            let stops = at + random.ms(0, 150);
            let mut faults = vec![
                (at, Fault::SwitchOver { to: None, force: false }),
                (stops, Fault::DauphinStops { for_: lasts }),
            ];
            if random.chance(50) {
                let slow = Fault::AppliesSlowly { whom: Whom::Server(1), lasts: slow };
                faults.insert(0, (at - Duration::from_millis(500), slow));
            }
            faults
        }
        // It is replaced and goes on, or dauphin crashes in the middle of that.
        _ => vec![
            (at, dies),
            (at, Fault::DauphinCrashesAtAct { acts: 1 + random.next() % 30 }),
            (soon + Duration::from_secs(2), Fault::FailOver { to: None, force: false }),
        ],
    }
}

fn plan_by_chance(seed: u64) -> (Plan, Random) {
    let mut random = Random::new(seed);
    let class = match random.below(100) {
        0..10 => Class::Calm,
        10..30 => Class::Single,
        _ => Class::Wild,
    };
    let servers = random.of(&[2, 3, 3, 3, 3, 3, 3, 4, 4, 5]);
    let flavour = random.of(&[Flavour::MySql, Flavour::MySql, Flavour::MariaDb]);
    let wait_for = if servers > 3 && flavour == Flavour::MySql { random.of(&[1, 2]) } else { 1 };
    let semi_sync = match random.below(10) {
        0 => None,
        1 => Some(SourceSettings { wait_for, timeout: random.ms(200, 3000) }),
        _ => Some(SourceSettings { wait_for, timeout: FOR_EVER }),
    };
    let calm = class == Class::Calm;
    let setup = Setup {
        servers,
        flavour,
        semi_sync,
        read_only_persisted: random.chance(70),
        // Of its own chance: the stories of old seeds stay as they were.
        relay_lost_by_restart: flavour == Flavour::MariaDb || Random::new(!seed).chance(20),
        net_timeout: random.of(&[Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(60)]),
        travel: random.of(&[2, 10, 30]),
        refused: if class == Class::Wild { random.of(&[0, 0, 0, 2]) } else { 0 },
        lost: if class == Class::Wild { random.of(&[0, 0, 0, 2]) } else { 0 },
    };
    let hold_timeout = random.ms(1500, 4000);
    let config = format!(
        "failover = {{ hang_timeout = \"{}ms\", leaving_timeout = \"{}ms\", isolated_timeout = \"{}ms\", \
         apply_timeout = \"{}ms\", drain_timeout = \"1s\", quiet_time = \"{}ms\" }}",
        random.ms(800, 1500).as_millis(),
        random.ms(300, 1000).as_millis(),
        random.ms(1000, 3000).as_millis(),
        random.ms(1000, 4000).as_millis(),
        random.of(&[0, 500, 2000]),
    );
    let spread = random.of(&[1500, 4000, 8000]);
    let many = match class {
        Class::Calm => 1 + random.below(3),
        Class::Single => 1,
        Class::Wild => 2 + random.below(6),
    };
    let mut faults: Vec<(Duration, Fault)> = (0..many)
        .map(|_| {
            let at = random.ms(1500, 1500 + spread);
            (at, fault(&mut random, servers, class))
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    let plan = Plan {
        setup,
        class,
        faults,
        writers: 1 + random.below(4),
        pause: random.of(&[40, 150]),
        config,
        interval: if calm { Duration::from_millis(200) } else { random.ms(100, 250) },
        at_most: random.ms(300, 1000),
        hold_timeout,
    };
    (plan, random)
}

fn fault(random: &mut Random, servers: usize, class: Class) -> Fault {
    let lasts = if random.chance(70) { random.ms(50, 3000) } else { random.ms(3000, 8000) };
    let whom = if random.chance(60) { Whom::Primary } else { Whom::Server(random.below(servers)) };
    let to = random.chance(50).then(|| random.below(servers));
    let planned = [
        Fault::SwitchOver { to, force: random.chance(20) },
        Fault::SwitchOver { to: None, force: false },
        Fault::Drain { server: random.below(servers), lasts },
        Fault::Pause { lasts: lasts.min(Duration::from_millis(1000)) },
    ];
    if class == Class::Calm {
        return random.of(&planned);
    }
    let faults = [
        Fault::Crash { whom, refuses: true, back_after: lasts },
        Fault::Crash { whom, refuses: true, back_after: lasts },
        Fault::Crash { whom, refuses: false, back_after: lasts },
        Fault::Hang { whom, lasts },
        Fault::Hang { whom, lasts },
        Fault::Leave { whom, lingers: random.ms(100, 3000), back_after: lasts },
        Fault::CutFromDauphin { whom, lasts },
        Fault::CutFromReplicas { whom, lasts },
        Fault::CutPair { one: random.below(servers), other: random.below(servers), lasts },
        Fault::CutOff { whom, lasts },
    ];
    if class == Class::Single {
        return random.of(&faults);
    }
    let others = [
        Fault::CrashAll { back_after: lasts },
        Fault::AppliesSlowly { whom, lasts },
        Fault::ReceivesSlowly { whom, lasts },
        Fault::ApplierStops { whom, lasts },
        Fault::CloseByHand { whom, lasts },
        Fault::OpenByHand { whom, lasts },
        Fault::Rival { lasts },
        Fault::DauphinCrashes { for_: lasts },
        Fault::DauphinCrashesAtAct { acts: 1 + random.next() % 20 },
        Fault::DauphinCrashesAtAct { acts: 1 + random.next() % 20 },
        Fault::FailOver { to, force: false },
        Fault::FailOver { to, force: random.chance(50) },
    ];
    match random.below(10) {
        0..5 => random.of(&faults),
        5..9 => random.of(&others),
        _ => random.of(&planned),
    }
}

/// A dauphin as long as it runs.
struct Dauphin {
    published: Arc<Published>,
    control: Arc<Control>,
    stop: CancellationToken,
    controller: AbortHandle,
    tasks: JoinSet<()>,
}

struct Story {
    plan: Plan,
    config: Config,
    world: Shared,
    journal: Arc<Mutex<Record>>,
    dauphin: Option<Dauphin>,
    generation: u64,
    /// For how long at most nobody may be able to write, if only one thing goes wrong that ends quickly.
    longest_gap: Option<Duration>,
    /// When the dauphin that crashed starts again.
    back_at: Option<Instant>,
    /// Until when one that was told to stop may take, and for how long it is away then.
    stopping: Option<(Instant, Duration)>,
    /// No server and no network fails.
    is_sound: bool,
    /// The generation in which operators last looked whether something is paused or drained yet.
    reminded: u64,
    closed_by_hand: bool,
}

/// Plays one seed.
pub fn play(seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (plan, random) = plan(seed);
        let mut checks = Checks::default();
        checks.counts.seeds = 1;
        checks.strict = plan.setup.semi_sync.as_ref().is_some_and(|settings| settings.timeout == FOR_EVER);
        let shown = format!("{plan:#?}");
        let is_sound = plan.faults.iter().all(|(_, fault)| {
            matches!(
                fault,
                Fault::SwitchOver { .. } | Fault::DauphinStops { .. } | Fault::AppliesSlowly { .. }
            )
        });
        let world: Shared = Arc::new(Mutex::new(World::new(plan.setup.clone(), random, checks)));
        let mut story = Story {
            config: config(&plan),
            longest_gap: longest_gap(&plan),
            plan,
            world,
            journal: Arc::default(),
            dauphin: None,
            generation: 0,
            back_at: None,
            stopping: None,
            is_sound,
            reminded: 0,
            closed_by_hand: false,
        };
        story.run().await;
        if let Some(dauphin) = &mut story.dauphin {
            dauphin.tasks.abort_all();
        }
        let mut world = story.world.lock();
        let checks = &mut world.checks;
        Outcome {
            counts: checks.counts,
            broken: std::mem::take(&mut checks.broken),
            plan: shown,
            trace: std::mem::take(&mut checks.trace),
        }
    })
}

/// A primary that crashes or hangs must be replaced within this time: noticed, and a moment for the rest.
fn longest_gap(plan: &Plan) -> Option<Duration> {
    let noticed = match plan.faults[..] {
        [(_, Fault::Crash { whom: Whom::Primary, refuses: true, .. })] => Duration::from_millis(300),
        // The longest [failover] hang_timeout, after the longest [monitor] interval and timeout.
        [(_, Fault::Crash { whom: Whom::Primary, .. } | Fault::Hang { whom: Whom::Primary, .. })] => {
            Duration::from_millis(1500 + 250 + 1000)
        }
        _ => return None,
    };
    (plan.class == Class::Single).then_some(noticed + Duration::from_millis(3500))
}

fn config(plan: &Plan) -> Config {
    let servers: Vec<_> = (1..=plan.setup.servers).map(|n| format!("\"db{n}:3306\"")).collect();
    Config::from_text(&format!(
        "servers = [{}]\naccount = {{ user = \"dauphin\", password = \"dauphin\" }}\n\
         listen.address = \"127.0.0.1:0\"\ntls.client.mode = \"disabled\"\ntls.server.mode = \"disabled\"\n{}",
        servers.join(", "),
        plan.config
    ))
    .unwrap_or_else(|errors| panic!("{errors}"))
}

impl Story {
    async fn run(&mut self) {
        let world = self.world.clone();
        let physics = tokio::spawn(async move {
            loop {
                sleep(TICK).await;
                world.lock().tick();
            }
        });
        self.start_dauphin();
        let faults = std::mem::take(&mut self.plan.faults);
        let mut undo: Vec<(Instant, Undo)> = Vec::new();
        let began = self.world.lock().began;
        let mut faults = faults.into_iter().map(|(at, fault)| (began + at, fault)).peekable();
        while faults.peek().is_some() || !undo.is_empty() {
            self.dauphin_may_crash_or_start();
            let now = Instant::now();
            while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= now) {
                self.strike(fault, &mut undo);
            }
            let due: Vec<_> = undo.extract_if(.., |(at, _)| *at <= now).collect();
            due.into_iter().for_each(|(_, what)| self.undo(what));
            sleep(Duration::from_millis(7)).await;
        }
        self.heal().await;
        physics.abort();
    }

    fn start_dauphin(&mut self) {
        self.generation += 1;
        self.back_at = None;
        self.world.lock().tell("dauphin starts");
        let fleet = Arc::new(Fleet::new(&self.config).expect("a fleet"));
        let published = Arc::new(Published::default());
        let (control, requests) = Control::new();
        let stop = CancellationToken::new();
        let settings = Settings {
            failover: self.config.failover.clone(),
            primary_reads: self.config.routing.primary_reads,
            max_replica_lag: self.config.routing.max_replica_lag,
            replication_addresses: (1..=self.plan.setup.servers).map(|n| (format!("db{n}"), 3306)).collect(),
            login: None,
            places: vec![(None, 100); self.plan.setup.servers],
        };
        let parts = Parts {
            fleet: fleet.clone(),
            published: published.clone(),
            control: control.clone(),
            requests,
            journal: Ok(Journal::kept_by(self.journal.clone())),
            settings,
            stop: stop.clone(),
        };
        let cluster = FakeCluster { world: self.world.clone(), owner: self.generation };
        let observations = Arc::new(Observations::new(fleet.servers.len()));
        let mut tasks = JoinSet::new();
        for at in 0..fleet.servers.len() {
            let (interval, at_most) = (self.plan.interval, self.plan.at_most);
            tasks.spawn(watch(cluster.clone(), at, fleet.clone(), observations.clone(), interval, at_most));
        }
        tasks.spawn(look_on(self.world.clone(), published.clone(), self.journal.clone()));
        let controller = tasks.spawn(Controller::new(parts, cluster).run(observations));
        let hold = Arc::new(Hold::new(100, self.plan.hold_timeout));
        for writer in 0..self.plan.writers {
            let is_patient = writer % 2 == 1 && self.plan.class == Class::Wild;
            let way = Way {
                world: self.world.clone(),
                published: published.clone(),
                hold: hold.clone(),
                hold_timeout: self.plan.hold_timeout,
                patience: Duration::from_secs(if is_patient { 20 } else { 2 }),
            };
            tasks.spawn(write_for_ever(way, self.plan.pause));
        }
        self.dauphin = Some(Dauphin { published, control, stop, controller, tasks });
    }

    fn crash_dauphin(&mut self, for_: Duration) {
        let Some(mut dauphin) = self.dauphin.take() else { return };
        dauphin.tasks.abort_all();
        self.count_events(&dauphin);
        let mut world = self.world.lock();
        world.tell("dauphin crashes");
        world.checks.counts.crashes_of_dauphin += 1;
        world.crash_at_act = None;
        let owner = self.generation;
        // Its connections end with it.
        world.nodes.iter_mut().filter(|node| node.claimed_by == Some(owner)).for_each(|node| {
            node.claimed_by = None;
        });
        drop(world);
        self.stopping = None;
        self.back_at = Some(Instant::now() + for_);
    }

    fn count_events(&self, dauphin: &Dauphin) {
        let counts = dauphin.control.events.counts();
        let of = |kind: &str| counts.get(kind).copied().unwrap_or_default();
        let mut world = self.world.lock();
        let sums = &mut world.checks.counts;
        sums.terms += of("term_began");
        sums.failovers += of("failover_done");
        sums.switchovers += of("switchover_done");
        sums.resumed += of("going_on") + of("backing_out");
        sums.quarantined += of("quarantined");
        sums.rejoined += of("rejoined");
        for event in dauphin.control.events.all() {
            let line = format!("    event {} {}: {}", event.id, event.kind, event.message);
            world.checks.trace.push(line);
        }
    }

    fn dauphin_may_crash_or_start(&mut self) {
        let crash_now = self.world.lock().crash_now.clone();
        if futures_util::FutureExt::now_or_never(crash_now.notified()).is_some() {
            let for_ = self.world.lock().random.ms(50, 2000);
            self.crash_dauphin(for_);
        }
        self.dauphin_may_have_stopped();
        if self.back_at.is_some_and(|at| at <= Instant::now()) {
            self.start_dauphin();
        }
    }

    fn dauphin_may_have_stopped(&mut self) {
        let (Some((until, for_)), Some(dauphin)) = (self.stopping, &self.dauphin) else { return };
        let has_ended = dauphin.controller.is_finished();
        if !has_ended && Instant::now() < until {
            return;
        }
        if self.is_sound {
            let operation = self.journal.lock().operation.clone();
            let mut world = self.world.lock();
            let writable = world.nodes.iter().filter(|node| node.takes_writes()).count();
            if !has_ended || operation.is_some() || writable != 1 {
                world.checks.fail(format!(
                    "dauphin has stopped (ended: {has_ended}), {operation:?} has not ended, {writable} servers take writes"
                ));
            }
        }
        self.crash_dauphin(for_);
    }

    /// The server whose term it is, or whoever takes writes.
    fn primary(&self) -> usize {
        let published = self.dauphin.as_ref().and_then(|dauphin| match &dauphin.published.load().primary {
            Primary::Serving(term) => Some(term.server.id.0),
            _ => None,
        });
        let world = self.world.lock();
        published.or_else(|| world.nodes.iter().position(|node| !node.read_only)).unwrap_or_default()
    }

    fn whom(&self, whom: Whom) -> usize {
        match whom {
            Whom::Primary => self.primary(),
            Whom::Server(at) => at,
        }
    }

    fn strike(&mut self, fault: Fault, undo: &mut Vec<(Instant, Undo)>) {
        let now = Instant::now();
        let primary = self.primary();
        self.world.lock().tell(&format!("{fault:?} (db{} is the primary)", primary + 1));
        let servers = self.plan.setup.servers;
        let cut = |at: usize, others: &mut dyn Iterator<Item = usize>| {
            let mut world = self.world.lock();
            let others: Vec<_> = others.filter(|&other| other != at).collect();
            others.iter().for_each(|&other| world.cut[at][other] = true);
            Undo::Mend(at, others)
        };
        match fault {
            Fault::Crash { whom, refuses, back_after } => {
                let at = self.whom(whom);
                self.world.lock().crash(at, refuses);
                undo.push((now + back_after, Undo::Restart(at)));
            }
            Fault::CrashAll { back_after } => {
                for at in 0..servers {
                    let mut world = self.world.lock();
                    world.crash(at, true);
                    let more = world.random.ms(0, 1000);
                    undo.push((now + back_after + more, Undo::Restart(at)));
                }
            }
            Fault::Hang { whom, lasts } => {
                let at = self.whom(whom);
                let mut world = self.world.lock();
                if world.nodes[at].state == State::Up {
                    world.nodes[at].state = State::Hung;
                    undo.push((now + lasts, Undo::GoOn(at)));
                }
            }
            Fault::Leave { whom, lingers, back_after } => {
                let at = self.whom(whom);
                let mut world = self.world.lock();
                if world.nodes[at].state == State::Up {
                    world.nodes[at].state = State::Leaving;
                    undo.push((now + lingers, Undo::Leave(at)));
                    undo.push((now + lingers + back_after, Undo::Restart(at)));
                }
            }
            Fault::CutFromDauphin { whom, lasts } => {
                undo.push((now + lasts, cut(self.whom(whom), &mut [DAUPHIN].into_iter())));
            }
            Fault::CutFromReplicas { whom, lasts } => {
                undo.push((now + lasts, cut(self.whom(whom), &mut (0..servers))));
            }
            Fault::CutPair { one, other, lasts } => {
                undo.push((now + lasts, cut(one, &mut [other].into_iter())));
            }
            Fault::CutOff { whom, lasts } => {
                undo.push((now + lasts, cut(self.whom(whom), &mut (0..=MOST))));
            }
            Fault::AppliesSlowly { whom, lasts } => {
                let at = self.whom(whom);
                self.world.lock().nodes[at].applies = 2;
                undo.push((now + lasts, Undo::Speed(at)));
            }
            Fault::ReceivesSlowly { whom, lasts } => {
                let at = self.whom(whom);
                self.world.lock().nodes[at].receives = 3;
                undo.push((now + lasts, Undo::Speed(at)));
            }
            Fault::ApplierStops { whom, lasts } => {
                let at = self.whom(whom);
                let mut world = self.world.lock();
                world.nodes[at].applier_error = world.nodes[at].source.is_some();
                undo.push((now + lasts, Undo::StartReceiving(at)));
            }
            Fault::CloseByHand { whom, lasts } => {
                self.closed_by_hand = true;
                let at = self.whom(whom);
                let mut world = self.world.lock();
                if world.nodes[at].is_running() && world.nodes[at].waiting.is_empty() {
                    (world.nodes[at].read_only, world.nodes[at].super_read_only) = (true, true);
                    undo.push((now + lasts, Undo::ReopenIfPrimary));
                }
            }
            Fault::OpenByHand { whom, lasts } => {
                let at = self.whom(whom);
                let mut world = self.world.lock();
                if world.nodes[at].is_running() && world.nodes[at].source.is_some() {
                    (world.nodes[at].read_only, world.nodes[at].super_read_only) = (false, false);
                    undo.push((now + lasts, Undo::CloseIfReplica(at)));
                }
            }
            Fault::Rival { lasts } => {
                let mut world = self.world.lock();
                for at in 0..servers {
                    if world.nodes[at].claimed_by.is_none() && world.random.chance(70) {
                        world.nodes[at].claimed_by = Some(u64::MAX);
                    }
                }
                undo.push((now + lasts, Undo::RivalLeaves));
            }
            Fault::DauphinCrashes { for_ } => self.crash_dauphin(for_),
            Fault::DauphinStops { for_ } => {
                // As long as main waits for the controller.
                const AT_MOST: Duration = Duration::from_secs(10);
                if let Some(dauphin) = &self.dauphin {
                    dauphin.stop.cancel();
                    self.stopping = Some((now + AT_MOST, for_));
                }
            }
            Fault::DauphinCrashesAtAct { acts } => {
                let mut world = self.world.lock();
                world.crash_at_act = Some(world.acts + acts);
            }
            Fault::SwitchOver { to, force } => self.ask(Action::SwitchOver { to: to.map(name), force }),
            Fault::FailOver { to, force } => self.ask(Action::FailOver { to: to.map(name), force }),
            Fault::Drain { server, lasts } => {
                self.ask(Action::Drain(name(server)));
                undo.push((now + lasts, Undo::Undrain(server)));
            }
            Fault::Pause { lasts } => {
                self.ask(Action::Pause);
                undo.push((now + lasts, Undo::Resume));
            }
        }
    }

    fn undo(&mut self, what: Undo) {
        self.world.lock().tell(&format!("  over: {what:?}"));
        let now = Instant::now();
        let diagnosis = self.diagnosis();
        let primary = self.topology_primary();
        match what {
            Undo::Restart(at) => self.world.lock().restart(at),
            Undo::GoOn(at) => {
                let mut world = self.world.lock();
                if world.nodes[at].state == State::Hung {
                    world.nodes[at].state = State::Up;
                }
            }
            Undo::Leave(at) => {
                let mut world = self.world.lock();
                if world.nodes[at].state == State::Leaving {
                    world.crash(at, true);
                }
            }
            Undo::Mend(at, others) => {
                let mut world = self.world.lock();
                others.iter().for_each(|&other| world.cut[at][other] = false);
            }
            Undo::Speed(at) => {
                let mut world = self.world.lock();
                (world.nodes[at].applies, world.nodes[at].receives) = (100, 100);
            }
            Undo::StartReceiving(at) => {
                let mut world = self.world.lock();
                let setup = world.setup.clone();
                if world.nodes[at].applier_error {
                    world.nodes[at].start_replication(now, &setup);
                }
            }
            Undo::ReopenIfPrimary => {
                // What the diagnosis tells the operator to do.
                if let (Some(at), "primary_read_only") = (primary, diagnosis) {
                    let mut world = self.world.lock();
                    (world.nodes[at].read_only, world.nodes[at].super_read_only) = (false, false);
                }
            }
            Undo::CloseIfReplica(at) => {
                let mut world = self.world.lock();
                if world.nodes[at].source.is_some() && primary != Some(at) {
                    (world.nodes[at].read_only, world.nodes[at].super_read_only) = (true, true);
                }
            }
            Undo::RivalLeaves => {
                let mut world = self.world.lock();
                for node in &mut world.nodes {
                    node.claimed_by = node.claimed_by.filter(|owner| *owner != u64::MAX);
                }
            }
            Undo::Undrain(at) => self.ask(Action::Undrain(name(at))),
            Undo::Resume => self.ask(Action::Resume),
        }
    }

    fn diagnosis(&self) -> &'static str {
        self.dauphin.as_ref().map_or("", |dauphin| dauphin.control.view.load().diagnosis)
    }

    fn topology_primary(&self) -> Option<usize> {
        let dauphin = self.dauphin.as_ref()?;
        let view = dauphin.control.view.load();
        view.servers.iter().position(|server| server.role == dauphin::control::Role::Primary)
    }

    /// Asks as an operator does.
    fn ask(&mut self, action: Action) {
        let Some(dauphin) = &mut self.dauphin else { return };
        let (control, world) = (dauphin.control.clone(), self.world.clone());
        let may_lose = matches!(action, Action::FailOver { force: true, .. });
        dauphin.tasks.spawn(async move {
            if may_lose {
                let mut world = world.lock();
                world.checks.forcing = true;
                world.checks.forgiven = world.checks.published;
            }
            let began = Instant::now();
            let answer = control.ask(action.clone(), "the simulation").await;
            let mut world = world.lock();
            if may_lose {
                world.checks.forcing = false;
            }
            let ms = began.elapsed().as_millis();
            world.tell(&format!("{action:?} was answered after {ms} ms: {answer:?}"));
            if ms > 120_000 {
                world.checks.fail(format!("{action:?} was answered after {ms} ms"));
            }
        });
    }

    /// An order that dauphin was not there to be given outlives it, until operators see what holds.
    fn take_orders_back(&mut self) {
        if self.dauphin.is_none() || self.reminded == self.generation {
            return;
        }
        self.reminded = self.generation;
        let record = self.journal.lock().clone();
        if record.paused {
            self.ask(Action::Resume);
        }
        record.drained.into_iter().for_each(|server| self.ask(Action::Undrain(server)));
    }

    /// Nothing goes wrong any more: what must become well, within which time.
    async fn heal(&mut self) {
        {
            let mut world = self.world.lock();
            world.tell("nothing goes wrong any more");
            (world.crash_at_act, world.setup.refused, world.setup.lost) = (None, 0, 0);
        }
        let began = Instant::now();
        let mut well_since: Option<(Instant, u64)> = None;
        let mut why = String::new();
        while began.elapsed() < TO_HEAL {
            self.dauphin_may_crash_or_start();
            self.take_orders_back();
            if self.closed_by_hand && began.elapsed() > TO_HEAL / 2 {
                // Whoever closed it and could not find out then whether it is the primary still.
                self.closed_by_hand = false;
                self.undo(Undo::ReopenIfPrimary);
            }
            if self.dauphin.is_some() {
                match self.is_well() {
                    Ok(()) => {
                        let acknowledged = self.world.lock().checks.counts.acknowledged;
                        let (since, then) = *well_since.get_or_insert((Instant::now(), acknowledged));
                        if since.elapsed() > Duration::from_millis(500) && acknowledged > then + 2 {
                            break;
                        }
                    }
                    Err(cause) => (well_since, why) = (None, cause),
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        let dauphin = self.dauphin.take();
        if let Some(mut dauphin) = dauphin {
            dauphin.tasks.abort_all();
            self.count_events(&dauphin);
            self.dauphin = Some(dauphin);
        }
        self.finish();
        let is_well = well_since.is_some_and(|(since, then)| {
            since.elapsed() > Duration::from_millis(500)
                && self.world.lock().checks.counts.acknowledged > then
        });
        if is_well {
            return;
        }
        if well_since.is_some() {
            "all seems well and no write is acknowledged".clone_into(&mut why);
        }
        let state = format!("{}: {why}", self.diagnosis());
        self.world.lock().checks.fail(format!("not well after {} s: {state}", TO_HEAL.as_secs()));
    }

    /// Whether the cluster is as it should be; if not, why.
    fn is_well(&self) -> Result<(), String> {
        let Some(dauphin) = &self.dauphin else { return Err("dauphin does not run".to_owned()) };
        let primary = match &dauphin.published.load().primary {
            Primary::Serving(term) => term.server.id.0,
            Primary::Held { .. } => return Err("statements are held".to_owned()),
            Primary::Absent { cause } => return Err(cause.clone()),
        };
        let world = self.world.lock();
        let writable: Vec<_> =
            (0..world.nodes.len()).filter(|&at| world.nodes[at].takes_writes()).map(name).collect();
        if writable != [name(primary)] {
            return Err(format!("{writable:?} are writable, and {} serves", name(primary)));
        }
        let record = self.journal.lock();
        if record.operation.is_some() {
            return Err("an operation has not ended".to_owned());
        }
        let quarantined = |at: usize| record.quarantined.iter().any(|(server, _)| *server == server_name(at));
        let mut acknowledging = 0;
        for at in (0..world.nodes.len()).filter(|&at| at != primary) {
            let node = &world.nodes[at];
            if quarantined(at) {
                if world.nodes[primary].logged.covers(&world.has(at)) {
                    return Err(format!("{} is quarantined and has nothing of its own", name(at)));
                }
                continue;
            }
            if node.source != Some(primary) || node.receiver != Receiver::Connected || !node.applying {
                return Err(format!("{} does not replicate from {}", name(at), name(primary)));
            }
            acknowledging += usize::from(node.semi_replica);
        }
        let wanted =
            self.plan.setup.semi_sync.as_ref().map_or(usize::MAX, |settings| settings.wait_for as usize);
        if acknowledging >= wanted && !world.nodes[primary].semi_source {
            return Err(format!("commits on {} do not wait for replicas", name(primary)));
        }
        Ok(())
    }

    /// What must hold in the end.
    fn finish(&self) {
        let mut world = self.world.lock();
        let published = self.dauphin.as_ref().and_then(|dauphin| match &dauphin.published.load().primary {
            Primary::Serving(term) => Some((term.server.id.0, term.epoch.0)),
            _ => None,
        });
        if let Some((primary, epoch)) = published {
            let has = world.nodes[primary].logged;
            world.checks.must_have(primary, &has, "is the last primary", epoch);
        }
        let gap = world.checks.longest_gap;
        if let Some(most) = self.longest_gap.filter(|most| gap > *most) {
            let message = format!("nobody could write for {} ms, not {}", gap.as_millis(), most.as_millis());
            world.checks.fail(message);
        }
        let (calm, counts) = (self.plan.class == Class::Calm, world.checks.counts);
        if calm && counts.refused + counts.unknown > 0 {
            let message = format!(
                "without any fault {} writes were refused and {} broken",
                counts.refused, counts.unknown
            );
            world.checks.fail(message);
        }
    }
}

/// What is over.
#[derive(Debug)]
enum Undo {
    Restart(usize),
    GoOn(usize),
    Leave(usize),
    Mend(usize, Vec<usize>),
    Speed(usize),
    StartReceiving(usize),
    ReopenIfPrimary,
    CloseIfReplica(usize),
    RivalLeaves,
    Undrain(usize),
    Resume,
}

fn name(at: usize) -> String {
    format!("db{}:3306", at + 1)
}

fn server_name(at: usize) -> String {
    name(at)
}

/// Sees every table that is published.
async fn look_on(world: Shared, published: Arc<Published>, journal: Arc<Mutex<Record>>) {
    let mut changes = published.changes();
    while changes.changed().await.is_ok() {
        {
            let table = published.load();
            if table.epoch.0 == 0 {
                // Somebody was woken; this is the table of before anything is known.
                continue;
            }
            let serving = match &table.primary {
                Primary::Serving(term) => Some(term.server.clone()),
                _ => None,
            };
            let quarantined = serving.as_ref().is_some_and(|server| {
                journal.lock().quarantined.iter().any(|(quarantined, _)| *quarantined == server.name)
            });
            let mut world = world.lock();
            let serving = serving.map(|server| server.id.0);
            let told = serving.map_or("nobody".to_owned(), name);
            world.tell(&format!("epoch {}: {told} serves", table.epoch.0));
            world.checks.publish(table.epoch.0, serving, quarantined);
        }
    }
}
