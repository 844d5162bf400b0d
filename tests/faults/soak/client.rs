//! A client of the soak: what it does is chosen at random, and it knows what its own rows and session must hold.
//!
//! Only what one session is promised is expected: a new session writes before it reads, so that its reads see all that this
//! client has written before, and a row whose write ended in doubt is read with a lock and written anew.

use std::sync::{Arc, atomic::Ordering};

use mysql_async::{ChangeUserOpts, Conn, prelude::Queryable as _};
use tokio::time::sleep;

use super::world::{Outcome, World};
use crate::random::Random;

/// Rows of `own` that each client has.
pub const KEYS: usize = 4;

pub struct Client {
    pub number: u32,
    pub world: Arc<World>,
    pub random: Random,
    /// What each row may hold: one value, unless a write ended in doubt.
    pub rows: [Vec<u64>; KEYS],
    /// The last value written; all differ.
    pub last: u64,
    /// Rows of `w` that were inserted, and those that may have been.
    pub inserted: Vec<u64>,
    pub in_doubt: Vec<u64>,
}

pub struct Session {
    pub connection: Conn,
    /// What was SET; `None` in a new session.
    pub variables: Option<u64>,
    /// A temporary table was left.
    pub has_table: bool,
    /// Rounds before it ends.
    left: usize,
}

/// How a session begins anew.
#[derive(Debug, Clone, Copy)]
enum Renewal {
    Reset,
    ChangeUser,
}

impl Client {
    pub fn new(number: u32, seed: u64, world: Arc<World>) -> Self {
        Self {
            number,
            world,
            random: Random::new(seed.wrapping_add(u64::from(number) + 1)),
            rows: [const { Vec::new() }; KEYS].map(|_: Vec<u64>| vec![0]),
            last: 0,
            inserted: Vec::new(),
            in_doubt: Vec::new(),
        }
    }

    /// Works until it is told to stop.
    pub async fn run(mut self) -> Self {
        let mut session = None;
        while !self.world.stop.load(Ordering::Relaxed) {
            sleep(self.random.ms(50, 350)).await;
            session = match session {
                Some(session) => self.go_on(session).await,
                None => self.log_in().await.ok(),
            };
            let id = session.as_ref().map_or(0, |session| session.connection.id());
            self.world.ids[self.number as usize].store(id, Ordering::Relaxed);
        }
        if let Some(session) = session {
            let _ = self.world.ask("COM_QUIT", session.connection.disconnect()).await;
        }
        self
    }

    async fn log_in(&mut self) -> Outcome<Session> {
        let connection = self.world.ask("login", Conn::new(self.world.options.clone())).await?;
        self.world.ids[self.number as usize].store(connection.id(), Ordering::Relaxed);
        let left = 10 + self.random.below(150);
        let mut session = Session { connection, variables: None, has_table: false, left };
        self.greet(&mut session).await?;
        Ok(session)
    }

    async fn go_on(&mut self, mut session: Session) -> Option<Session> {
        if session.left == 0 {
            return match self.random.below(4) {
                0 => self.renew(session, Renewal::Reset).await.ok(),
                1 => self.renew(session, Renewal::ChangeUser).await.ok(),
                2 => {
                    let _ = self.world.ask("COM_QUIT", session.connection.disconnect()).await;
                    None
                }
                _ => None,
            };
        }
        session.left -= 1;
        match self.work(&mut session).await {
            Ok(()) => Some(session),
            Err(failure) if failure.ends_connection() => None,
            // Of a list of statements one was not run: what the session holds now is not known.
            Err(_) => self.renew(session, Renewal::Reset).await.ok(),
        }
    }

    async fn renew(&mut self, mut session: Session, how: Renewal) -> Outcome<Session> {
        let (world, connection) = (self.world.clone(), &mut session.connection);
        match how {
            Renewal::Reset => drop(world.ask("COM_RESET_CONNECTION", connection.reset()).await?),
            Renewal::ChangeUser => {
                world.ask("COM_CHANGE_USER", connection.change_user(ChangeUserOpts::default())).await?;
            }
        }
        session.variables = None;
        session.left = 10 + self.random.below(150);
        if std::mem::take(&mut session.has_table) {
            let gone = session.connection.query_drop("SELECT n FROM t").await;
            let code = match gone {
                Err(mysql_async::Error::Server(error)) => error.code,
                Err(_) => 0,
                Ok(()) => 1,
            };
            // 1146: there is no such table.
            if !matches!(code, 0 | 1053 | 1146 | 1317 | 1927) {
                world.wrong(format!("SELECT from a temporary table after {how:?}: {code}"));
            }
        }
        self.check_variables(&mut session).await?;
        self.greet(&mut session).await?;
        Ok(session)
    }

    /// What a session does before it reads.
    async fn greet(&mut self, session: &mut Session) -> Outcome<()> {
        for key in 0..KEYS {
            if self.rows[key].len() > 1 {
                let text =
                    format!("SELECT v FROM own WHERE client = {} AND k = {key} FOR UPDATE", self.number);
                let found: Option<u64> = self.world.first(&mut session.connection, &text).await?;
                let may_be = &self.rows[key];
                match found {
                    Some(value) if may_be.contains(&value) => self.rows[key] = vec![value],
                    _ => {
                        self.world.wrong(format!("{text}: {found:?}, and not one of {may_be:?}"));
                        self.rows[key] = vec![found.unwrap_or_default()];
                    }
                }
                self.write(session, key).await?;
            }
        }
        self.write(session, 0).await
    }

    /// Gives a row a new value.
    pub async fn write(&mut self, session: &mut Session, key: usize) -> Outcome<()> {
        let (number, value) = (self.number, self.next_value());
        let connection = &mut session.connection;
        let done = if self.random.chance(50) {
            let text = "UPDATE own SET v = ? WHERE client = ? AND k = ?";
            self.world.ask(text, connection.exec_drop(text, (value, number, key))).await
        } else {
            let text = format!("UPDATE own SET v = {value} WHERE client = {number} AND k = {key}");
            self.world.run(connection, &text).await
        };
        if done.is_ok() {
            self.world.expect("affected rows of an UPDATE", connection.affected_rows(), 1);
        }
        self.note(&[key], value, &done);
        done
    }

    pub fn next_value(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// What came of writing a value to these rows.
    pub fn note(&mut self, keys: &[usize], value: u64, done: &Outcome<()>) {
        for &key in keys {
            match done {
                Ok(()) => self.rows[key] = vec![value],
                Err(failure) if failure.leaves_in_doubt() => self.rows[key].push(value),
                Err(_) => {}
            }
        }
    }

    /// Reads a row wherever dauphin likes.
    pub async fn read(&mut self, session: &mut Session, key: usize) -> Outcome<()> {
        let number = self.number;
        let connection = &mut session.connection;
        let (text, found) = if self.random.chance(50) {
            let text = "SELECT v FROM own WHERE client = ? AND k = ?".to_owned();
            let found: Option<u64> =
                self.world.ask(&text, connection.exec_first(&text, (number, key))).await?;
            (text, found)
        } else {
            let text = format!("SELECT v FROM own WHERE client = {number} AND k = {key}");
            let found: Option<u64> = self.world.first(connection, &text).await?;
            (text, found)
        };
        if found.is_none_or(|found| self.rows[key] != [found]) {
            let wanted = &self.rows[key];
            self.world.wrong(format!("client {number}, key {key}: {text}: {found:?}, and not {wanted:?}"));
        }
        Ok(())
    }
}
