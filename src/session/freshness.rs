//! How fresh a read's data must be: how far its replica may be behind, and whose writes it must see.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use dauphin_proto::{reply::status, response::Shape};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    Session,
    binding::Binding,
    catch_up::{CatchUp, CatchUpError, Wait},
    kill,
    registry::Activity,
    relay,
    route::Role,
    run::{Again, role_of},
};
use crate::{
    backend::{Exchange, Lease, Server},
    config::{Consistency, Routing},
    error::ClientError,
    routing::{
        Epoch,
        decide::{Demand, Reason},
    },
    sql::{self, Effect, LagLimit, Statement},
    topology::gtid::{self, Written},
};

/// How much later than asked for a replica's answer to a wait may come before the replica is passed over.
const ANSWER_GRACE: Duration = Duration::from_millis(100);
/// For how long a read may run that nobody wants any more.
const UNWANTED_FOR: Duration = Duration::from_millis(200);

impl Session {
    /// What the statement demands; `wanted` is what it must see.
    pub(super) fn demand<'a>(&self, statement: &Statement, wanted: &'a [Written]) -> Demand<'a> {
        let Routing { max_replica_lag, when_stale, .. } = self.context.config.routing;
        // What only sets something reads nothing.
        let limit = match statement.effect {
            Effect::Session => LagLimit::Off,
            _ => {
                let of_statement = statement.freshness.as_ref().and_then(|wish| wish.max_lag);
                of_statement.or_else(|| self.hint_stack.max_lag()).unwrap_or(self.wishes.max_lag)
            }
        };
        Demand { limit, cluster_limit: max_replica_lag, when_stale, wanted, patience: self.patience() }
    }

    /// How long a read may wait for what it must see.
    fn patience(&self) -> Duration {
        self.wishes.wait_timeout.unwrap_or(self.context.config.routing.causal_wait)
    }

    /// What a client is told when no replica is near enough and nothing else may serve its read.
    pub(super) fn too_stale(&self, statement: &Statement) -> ClientError {
        let demand = self.demand(statement, &[]);
        ClientError::too_stale(&match (demand.limit, demand.cluster_limit) {
            (LagLimit::AtMost(limit), _) | (_, Some(limit)) => format!("{} ms", limit.as_millis()),
            _ => "[routing] max_replica_lag".to_owned(),
        })
    }

    /// The writes that the statement must see, wherever it runs.
    pub(super) fn wanted(&self, statement: &Statement) -> Cow<'_, [Written]> {
        let reads = match statement.effect {
            Effect::Read | Effect::Begin { .. } => true,
            // A schema must be there.
            Effect::Session => statement.reason == sql::Reason::Use,
            _ => false,
        };
        if !reads {
            return Cow::Borrowed(&[]);
        }
        let wish = statement.freshness.as_deref();
        let level = wish.and_then(|wish| wish.consistency).map(of_hint);
        let level = level.or(self.wishes.consistency).unwrap_or(self.consistency);
        let token = wish.and_then(|wish| wish.causal.as_deref());
        let writes = &self.context.writes;
        let wanted = match (level, token) {
            (Consistency::Global, _) => Cow::Owned(writes.all().into()),
            (Consistency::Session, None) => Cow::Borrowed(self.own_writes.ends()),
            (Consistency::Session, Some(token)) => {
                let mut frontier = writes.of(token);
                frontier.join(&self.own_writes);
                Cow::Owned(frontier.into())
            }
            (Consistency::Eventual, Some(token)) => Cow::Owned(writes.of(token).into()),
            (Consistency::Eventual, None) => Cow::Borrowed(&[][..]),
        };
        match wish.and_then(|wish| wish.min_gtid.as_deref()) {
            Some(gtids) => Cow::Owned(self.with_gtids(&wanted, gtids)),
            None => wanted,
        }
    }

    /// What is wanted, and these transactions; those that cannot be read as the server would write them are nobody's.
    fn with_gtids(&self, wanted: &[Written], gtids: &str) -> Vec<Written> {
        let mut frontier = gtid::Frontier::default();
        wanted.iter().for_each(|written| frontier.note(&written.position, written.at));
        if let Some(more) = gtid::LastWrite::parse(self.flavour(), gtids.as_bytes()) {
            more.positions().for_each(|position| frontier.note(position, Instant::now()));
        }
        frontier.into()
    }

    /// Before a statement: remembers its token, under which its writes are to be found when they are reported, which may
    /// be as late as the commit.
    pub(super) fn note_token(&mut self, statement: &Statement) {
        let in_transaction =
            matches!(self.binding, Binding::Transaction(_)) || relay::has(self.status, status::IN_TRANS);
        if !in_transaction {
            self.tokens.clear();
        }
        let token = statement.freshness.as_ref().and_then(|wish| wish.causal.as_deref());
        if let Some(token) = token.filter(|_| statement.effect != Effect::Read) {
            self.tokens.add(token);
        }
    }

    /// What a replica must wait for before the statement runs there, to be sent in front of it; `None` for nothing.
    pub(super) fn wait_for(
        &mut self,
        lease: Lease,
        wanted: &[Written],
    ) -> Result<(Lease, Option<Box<Wait>>), Again> {
        if role_of(&lease) == Role::Primary || lease.server().has_all(wanted) {
            return Ok((lease, None));
        }
        let missing = self.missing(lease.server(), wanted);
        if missing.is_empty() {
            return Ok((lease, None));
        }
        let at_most = self.patience();
        // A replica that is further behind than that would be waited for in vain.
        if at_most.is_zero() || lease.server().lag().is_some_and(|lag| lag > at_most) {
            self.give_back(lease);
            return Err(Again::OnPrimary(Reason::Stale));
        }
        let positions: Vec<_> = missing.into_iter().map(|written| written.position).collect();
        let primary = self.context.published.load().term().map(|term| term.server.clone());
        // All before it too, which matters where replicas commit out of order; but never numbers that do not exist.
        let with_earlier = |position: &gtid::Position| {
            primary.as_ref().is_some_and(|primary| primary.is_without_gaps(position))
        };
        let set = gtid::wait_set(self.flavour(), &positions, with_earlier);
        Ok((lease, Some(Box::new(Wait { set, positions, at_most }))))
    }

    /// Reads the answers to a catch-up, which begins with a wait if `waits` says how long that may take; `behind` says what
    /// has been sent behind it already.
    ///
    /// # Errors
    /// KILL QUERY has ended the wait. Inside: as [`CatchUp::answers`]. What stands behind it does not count then.
    pub(super) async fn caught_up(
        &self,
        catch_up: CatchUp,
        mut exchange: Exchange,
        waits: Option<Duration>,
        behind: Behind<'_>,
    ) -> Result<Result<Exchange, CatchUpError>, ClientError> {
        match waits {
            None => Ok(catch_up.answers(&mut exchange).await.map(|()| exchange)),
            // Rare, and large: not a part of every session's future.
            Some(at_most) => Box::pin(self.waited(catch_up, exchange, at_most, behind)).await,
        }
    }

    async fn waited(
        &self,
        catch_up: CatchUp,
        mut exchange: Exchange,
        at_most: Duration,
        behind: Behind<'_>,
    ) -> Result<Result<Exchange, CatchUpError>, ClientError> {
        let answers = timeout(at_most + ANSWER_GRACE, catch_up.answers(&mut exchange));
        let answered = self.waits(Activity::WaitingForReplica, std::pin::pin!(answers)).await;
        let stale = match answered {
            Ok(Ok(Ok(()))) => return Ok(Ok(exchange)),
            Ok(Ok(Err(stale @ CatchUpError::Stale { .. }))) => {
                exchange.server().raise_lag(at_most);
                Ok(stale)
            }
            // A KILL that came before the wait had begun is sent to the server, and does not end what stands behind.
            Ok(Ok(Err(CatchUpError::Interrupted))) => Err(ClientError::interrupted()),
            Ok(Ok(Err(error))) => return Ok(Err(error)),
            Ok(Err(_)) => Ok(CatchUpError::Stale { is_in_step: false }),
            Err(interrupted) => Err(interrupted),
        };
        self.registered.entry.ends();
        let is_in_step = matches!(stale, Ok(CatchUpError::Stale { is_in_step: true }));
        match behind {
            Behind::Read(read) => self.end_unwanted(exchange, is_in_step && read.changes.is_empty()),
            Behind::Nothing if is_in_step => {
                if let Ok(lease) = exchange.finish() {
                    lease.release();
                }
            }
            // A wait that is given up ends on its server by itself, where it is bounded too.
            Behind::Nothing | Behind::Prepare => {}
        }
        stale.map(Err)
    }

    /// A read that nobody wants any more stands behind a wait: if it is a short one, its connection is of use again; else
    /// it is ended, and its connection counts until then: no more of them can be at it than the pool has. `is_next`: its
    /// response is the next to come, and leaves the connection as it was.
    fn end_unwanted(&self, mut exchange: Exchange, is_next: bool) {
        let (account, id) = (self.account.clone(), exchange.id());
        tokio::spawn(async move {
            if is_next && let Ok(Ok(())) = timeout(UNWANTED_FOR, exchange.discard(Shape::Query)).await {
                return exchange.finish().into_iter().for_each(Lease::release);
            }
            let server = exchange.server().clone();
            if let Err(why) = kill::end_connection(&server, &account, id).await {
                tracing::debug!(server = %server.name, %why, "a read that nobody wants was not ended");
            }
        });
    }

    /// What `server` is not known to have. What the primary itself turned out to lack, in its own term, was lost with an
    /// earlier primary: it is forgotten, for waiting would be in vain for ever.
    fn missing(&mut self, server: &Server, wanted: &[Written]) -> Vec<Written> {
        let mut missing: Vec<Written> =
            wanted.iter().filter(|written| !server.has_applied(&written.position)).cloned().collect();
        let table = self.context.published.load();
        let Some(term) = table.term() else { return missing };
        let Some(since) = self.context.terms.seen(term.epoch) else { return missing };
        let lost: Vec<Written> =
            missing.extract_if(.., |written| term.server.lacked(written, since)).collect();
        if !lost.is_empty() {
            tracing::warn!(
                primary = %term.server.name,
                lost = gtid::wait_set(self.context.flavour(), lost.iter().map(|lost| &lost.position), |_| false),
                "writes that were acknowledged are not on the primary any more: reads do not wait for them"
            );
            self.own_writes.forget(&lost);
            self.context.writes.forget(&lost);
        }
        missing
    }
}

/// What has been sent behind a wait.
pub(super) enum Behind<'a> {
    Nothing,
    Prepare,
    Read(&'a Statement),
}

/// When each term was first noticed; only the current one is remembered.
#[derive(Debug)]
pub struct Terms(Mutex<(Epoch, Instant)>);

impl Default for Terms {
    fn default() -> Self {
        Self(Mutex::new((Epoch::default(), Instant::now())))
    }
}

impl Terms {
    /// A moment at which the term of `epoch` had begun; `None` if it has ended.
    fn seen(&self, epoch: Epoch) -> Option<Instant> {
        let mut seen = self.0.lock();
        if seen.0 < epoch {
            *seen = (epoch, Instant::now());
        }
        (seen.0 == epoch).then_some(seen.1)
    }
}

/// The level that a hint or ROUTER SET names.
pub(super) fn of_hint(level: sql::Consistency) -> Consistency {
    match level {
        sql::Consistency::Eventual => Consistency::Eventual,
        sql::Consistency::Session => Consistency::Session,
        sql::Consistency::Global => Consistency::Global,
    }
}
