//! Clients that write, by the way that sessions go.

use std::{sync::Arc, time::Duration};

use dauphin::routing::{Published, hold::Hold};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::{
    cluster::DAUPHIN,
    model::{Committed, Shared, State, TICK},
};

/// What a writer needs of a dauphin.
#[derive(Debug, Clone)]
pub struct Way {
    pub world: Shared,
    pub published: Arc<Published>,
    pub hold: Arc<Hold>,
    pub hold_timeout: Duration,
    /// For how long its client waits for an answer.
    pub patience: Duration,
}

/// What came back from a server.
#[derive(Debug)]
enum Answer {
    Committed(Committed),
    /// The server said no, and nothing was done.
    Refused(&'static str),
    /// The connection could not be had: nothing was done.
    NotSent,
    /// The connection broke.
    Broken,
}

/// Writes for ever, one statement after another. Cancelling it is the crash of the dauphin in between.
pub async fn write_for_ever(way: Way, pause: u64) {
    loop {
        let pause = way.world.lock().random.ms(1, pause);
        sleep(pause).await;
        way.statement().await;
    }
}

impl Way {
    async fn statement(&self) {
        // As often as a session looks again where a statement that was not sent may go.
        for _ in 0..10 {
            let began = Instant::now();
            let held = self.hold.primary(&self.published).await;
            self.world.lock().checks.held(began.elapsed(), self.hold_timeout, held.is_err());
            let Ok(term) = held else { return };
            let (epoch, at) = (term.epoch.0, term.server.id.0);
            let writing = term.server.begin_writing();
            if !self.published.serves(&term) {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            tokio::spawn(self.clone().deliver(at, epoch, answer));
            let answered = timeout(self.patience, answered);
            let outcome = tokio::select! {
                biased;
                () = term.ended.cancelled() => None,
                answer = answered => answer.ok().and_then(Result::ok),
            };
            drop(writing);
            let mut world = self.world.lock();
            match outcome {
                Some(Answer::Committed(committed)) => {
                    world.checks.acknowledge(epoch, at, committed.tx, committed.replicated);
                    return;
                }
                Some(Answer::Refused(why)) => {
                    world.checks.counts.refused += 1;
                    world.tell(&format!("  db{} refused a write of epoch {epoch}: {why}", at + 1));
                    return;
                }
                Some(Answer::NotSent) => {
                    drop(world);
                    term.server.suspect("not reached");
                }
                Some(Answer::Broken) => {
                    world.checks.counts.unknown += 1;
                    drop(world);
                    term.server.suspect("connection lost");
                    return;
                }
                None => {
                    world.checks.counts.unknown += 1;
                    return;
                }
            }
        }
    }

    /// Brings a statement to a server and its answer back, whether or not its session is still there.
    async fn deliver(self, at: usize, epoch: u64, answer: oneshot::Sender<Answer>) {
        let travel = |most: u64| {
            let mut world = self.world.lock();
            sleep(world.random.ms(0, most))
        };
        let is_cut = || self.world.lock().is_cut(at, DAUPHIN);
        // What is lost is not answered; the session waits until its connection is cut or its client gives up.
        let lost = || sleep(Duration::from_secs(60));
        travel(5).await;
        if is_cut() {
            let arrives_later = self.world.lock().random.chance(50);
            if !arrives_later {
                return lost().await;
            }
            // It is sent again when the network is whole.
            while is_cut() {
                sleep(TICK * 2).await;
            }
        }
        let committed = loop {
            match self.arrive(at, epoch, !answer.is_closed()) {
                Arrival::Begun(committed) => break committed,
                Arrival::Answered(early) => {
                    // The session may have gone.
                    let _ = answer.send(early);
                    return;
                }
                Arrival::Lost => return lost().await,
                Arrival::Waits => sleep(TICK).await,
            }
        };
        let outcome = committed.await;
        // The answer leaves when the server runs, and arrives when the network is whole.
        travel(5).await;
        while self.world.lock().nodes[at].state == State::Hung {
            sleep(TICK).await;
        }
        if is_cut() {
            return lost().await;
        }
        let _ = match outcome {
            Ok(committed) => answer.send(Answer::Committed(committed)),
            Err(_) if self.world.lock().nodes[at].state == (State::Down { refuses: false }) => {
                return lost().await;
            }
            Err(_) => answer.send(Answer::Broken),
        };
    }

    fn arrive(&self, at: usize, epoch: u64, is_awaited: bool) -> Arrival {
        let mut world = self.world.lock();
        if world.nodes[at].state == (State::Down { refuses: false }) {
            return Arrival::Lost;
        }
        let has = world.nodes[at].logged;
        match world.write(at) {
            Some(Ok(committed)) => {
                if is_awaited {
                    world.checks.begin(epoch, at, &has);
                }
                Arrival::Begun(committed)
            }
            Some(Err("gone")) => Arrival::Answered(Answer::NotSent),
            Some(Err(why)) => Arrival::Answered(Answer::Refused(why)),
            None => Arrival::Waits,
        }
    }
}

/// What happens to a statement that gets to its server.
enum Arrival {
    Begun(oneshot::Receiver<Committed>),
    Answered(Answer),
    Lost,
    Waits,
}
