//! dauphin's own connections, on which it asks servers about themselves.

use std::io;

use dauphin_proto::response::Shape;

use super::{
    account::Account,
    connect::{self, ConnectError, ServerError},
    connection::Connection,
    exchange::{OWN_RESPONSE_LIMIT, Own, read_own},
    profile::Profile,
    server::Server,
};

/// A connection that belongs to no pool and answers one question at a time.
#[derive(Debug)]
pub struct OwnConnection(pub(super) Connection);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection is lost.
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    /// The server answered with an error.
    #[error(transparent)]
    Refused(#[from] ServerError),
}

impl OwnConnection {
    /// Opens one for dauphin's account, unless that has just been refused. Cancel safe.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(server: &Server, account: &Account) -> Result<Self, ConnectError> {
        server.own_refused.may_try()?;
        let opened = Self::open_as(server, account).await;
        server.own_refused.note(&opened, ConnectError::is_of_account);
        opened
    }

    /// Opens one for whatever account. Cancel safe.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open_as(server: &Server, account: &Account) -> Result<Self, ConnectError> {
        Self::open_like(server, account, Profile::own()).await
    }

    /// Opens one for whatever account, logged in as its sessions are. Cancel safe.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open_like(
        server: &Server,
        account: &Account,
        profile: Profile,
    ) -> Result<Self, ConnectError> {
        Ok(Self(connect::connect(server, account, profile).await?))
    }

    /// Its id on its server, as CONNECTION_ID() says.
    pub const fn id(&self) -> u32 {
        self.0.id
    }

    /// Asks with a text statement. Not cancel safe: drop the connection.
    ///
    /// # Errors
    /// The server's error, or the loss of the connection.
    pub async fn ask(&mut self, sql: &str) -> Result<Own, AskError> {
        let mut bytes = Vec::new();
        self.0.queries().put(&mut bytes, sql.as_bytes());
        self.0.stream.send_commands(&bytes).await?;
        self.answer().await
    }

    /// Asks several questions in one write; the answers to those that were answered, up to the loss of the connection.
    /// Not cancel safe: drop the connection.
    pub async fn ask_all(&mut self, questions: &[&str]) -> Vec<Result<Own, AskError>> {
        let mut bytes = Vec::new();
        for question in questions {
            self.0.queries().put(&mut bytes, question.as_bytes());
        }
        if let Err(error) = self.0.stream.send_commands(&bytes).await {
            return vec![Err(error.into())];
        }
        let mut answers = Vec::new();
        for _ in questions {
            let answer = self.answer().await;
            let lost = matches!(answer, Err(AskError::Lost(_)));
            answers.push(answer);
            if lost {
                break;
            }
        }
        answers
    }

    pub(super) async fn answer(&mut self) -> Result<Own, AskError> {
        let Connection { stream, input, .. } = &mut self.0;
        let own = read_own(stream, input, Shape::Query, OWN_RESPONSE_LIMIT).await?;
        match own.error {
            Some(error) => Err(error.into()),
            None => Ok(own),
        }
    }
}
