//! The port that speaks MySQL's protocol: any client will do.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dauphin_proto::{
    command::Command,
    packet,
    reply::{self, status},
};
use tokio::sync::Semaphore;

use super::{
    Admin, Who,
    chatter::{self, Answer},
    login,
    order::{self, Order},
};
use crate::{
    error::ClientError,
    listener::Listener,
    net::Stream,
    session::{Client, login::LoginError},
};

/// How long an operator may take to log in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts operators for ever.
pub async fn listen(admin: Arc<Admin>, listener: Listener, is_open: bool, places: Arc<Semaphore>) {
    let ids = AtomicU32::new(1);
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let id = ids.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(admit(admin.clone(), stream, id, is_open, places.clone()));
            }
            Err(error) => {
                tracing::warn!(address = listener.address(), %error, "cannot accept an operator");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn admit(admin: Arc<Admin>, stream: Stream, id: u32, is_open: bool, places: Arc<Semaphore>) {
    let mut client = Client::new(stream, DISCARDED);
    let Ok(_place) = places.try_acquire() else {
        let refusal = client.error(ClientError::too_many_connections("limit [admin] max_connections"), 0);
        let _ = tokio::time::timeout(Duration::from_secs(1), refusal).await;
        return;
    };
    let login = tokio::time::timeout(LOGIN_TIMEOUT, login::log_in(&admin, client, id, is_open)).await;
    match login {
        Ok(Ok((client, sequence, who))) => {
            let mut operator = Operator { admin, client, id, who };
            let outcome = operator.run(sequence).await;
            tracing::debug!(by = operator.who.by, ?outcome, "operator has left");
        }
        Ok(Err((mut client, LoginError::Refused(answer, sequence)))) => {
            tracing::warn!(client = client.host, ?answer, "an operator's login was refused");
            let _ = client.error(answer, sequence).await;
        }
        Ok(Err((client, LoginError::Gone(error)))) => {
            tracing::debug!(client = client.host, %error, "an operator has gone during the login");
        }
        Err(_) => tracing::debug!("an operator has not completed the login in time"),
    }
}

struct Operator {
    admin: Arc<Admin>,
    client: Client,
    id: u32,
    who: Who,
}

/// The longest order that is read to its end, in bytes; one longer than [`order::LONGEST`] is refused.
const DISCARDED: usize = 16 << 20;

const STATUS: u16 = status::AUTOCOMMIT;

impl Operator {
    async fn run(&mut self, login_sequence: u8) -> io::Result<()> {
        self.client.ok(STATUS, login_sequence).await?;
        while let Some(mut packet) = self.client.command().await? {
            if packet.is_partial() || packet.payload().len() > order::LONGEST {
                while self.client.more(&mut packet).await?.is_some() {}
                self.client.done(packet);
                self.say(ClientError::packet_too_large()).await?;
                continue;
            }
            let payload = packet.payload().to_vec();
            self.client.done(packet);
            match Command::parse(&payload) {
                Ok(Command::Quit) => return Ok(()),
                Ok(Command::Query(text)) => self.query(&String::from_utf8_lossy(text)).await?,
                Ok(Command::Ping | Command::InitDb(_) | Command::ResetConnection) => self.ok().await?,
                Ok(Command::SetOption(_) | Command::FieldList(_)) => self.end_of_rows().await?,
                Ok(Command::Statistics) => {
                    let text = format!("Sessions: {}", self.admin.context.sessions.len());
                    self.client.send_payload(text.as_bytes(), 1).await.map(drop)?;
                }
                Ok(Command::Prepare(_)) => self.say(ClientError::not_prepared()).await?,
                // These have no answer.
                Ok(Command::CloseStatement(_) | Command::SendLongData(_)) => {}
                Ok(_) => self.say(ClientError::unknown_command()).await?,
                Err(_) => self.say(ClientError::malformed_packet()).await?,
            }
        }
        Ok(())
    }

    async fn query(&mut self, text: &str) -> io::Result<()> {
        match Order::read(text) {
            Some(Ok(order)) => match self.admin.carry_out(&order, &self.who).await {
                Ok(table) => self.rows(&table.names(), &table.texts()).await,
                Err(failure) => self.say(failure.into()).await,
            },
            Some(Err(wrong)) => self.say(ClientError::syntax(&wrong)).await,
            None => match chatter::answer(text, &self.who.user, self.id) {
                Some(Answer::Ok) => self.ok().await,
                Some(Answer::Rows(columns, rows)) => {
                    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
                    self.rows(&columns, &rows).await
                }
                Some(Answer::UnknownVariable(name)) => self.say(ClientError::unknown_variable(&name)).await,
                None => {
                    let shown: String = text.trim().chars().take(80).collect();
                    let wrong =
                        format!("dauphin's admin port does not know {shown:?}: {}", order::hint(text));
                    self.say(ClientError::syntax(&wrong)).await
                }
            },
        }
    }

    async fn rows(&mut self, columns: &[&str], rows: &[Vec<Option<String>>]) -> io::Result<()> {
        let mut out = Vec::new();
        reply::put_result_set(&mut out, 1, columns, rows, STATUS, self.client.dialect());
        self.client.send(&out).await
    }

    async fn ok(&mut self) -> io::Result<()> {
        self.client.ok(STATUS, 1).await
    }

    async fn say(&mut self, error: ClientError) -> io::Result<()> {
        self.client.error(error, 1).await
    }

    /// The end of no rows.
    async fn end_of_rows(&mut self) -> io::Result<()> {
        let dialect = self.client.dialect();
        let mut out = Vec::new();
        packet::put_with(&mut out, 1, |out| reply::put_rows_end(out, STATUS, dialect));
        self.client.send(&out).await
    }
}
