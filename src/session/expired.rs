//! Sessions whose account's password has expired. Servers let such a client in, if it can be told so, and refuse nearly
//! everything until it has changed its password; the session is bound to the one connection on which it can. What the new
//! password is dauphin does not know: the session stays there to its end.

use std::io;

use dauphin_proto::{
    command::{self, Command},
    response::Shape,
};

use super::{Session, SessionError, binding::Binding, client::Packet, route, run::Failure};
use crate::{
    backend::{BackendLost, Lease},
    error::{Answer, ClientError},
    sql::Needs,
    topology::Flavour,
};

impl Session {
    /// Binds the session to the connection of a login with an expired password, if it was one.
    pub(super) fn bind_expired(&mut self, lease: Option<Lease>) {
        let Some(lease) = lease else { return };
        tracing::info!(
            session = self.registered.entry.id, user = %self.account.name(), server = %lease.server().name,
            "the password has expired: the session can do nothing before it has changed it"
        );
        self.pins.expired_password();
        self.binding = Binding::Pinned(lease);
    }

    /// The first connection that the session needs finds the password expired.
    ///
    /// # Errors
    /// What the client is to be told.
    pub(super) async fn find_expired(&mut self) -> Result<(), Answer> {
        let schema = self.state.schema.clone();
        let (account, lease) =
            self.context.bind_expired(&self.account, self.profile, schema.as_deref()).await?;
        self.account = account;
        self.registered.entry.set_account(self.account.clone());
        self.bind_expired(lease);
        Ok(())
    }

    /// Whether the password had not been changed before the last command.
    pub(super) fn is_expired(&self) -> bool {
        self.binding.lease().is_some_and(Lease::is_expired)
    }

    /// Sets the connection up if the password has been changed; else runs a command that dauphin would not ask a server
    /// about, which refuses it. Answers whether it has run the command.
    pub(super) async fn with_expired_password(&mut self, packet: &mut Packet) -> Result<bool, SessionError> {
        let mut statement = route::SERVER.clone();
        match Command::parse(packet.payload()) {
            Err(_)
            | Ok(Command::Quit | Command::Ping | Command::CloseStatement(_) | Command::SendLongData(_)) => {
                return Ok(false);
            }
            Ok(Command::Query(_)) if !packet.is_partial() => {
                if let Err(error) = self.attributes(packet) {
                    self.say(error).await?;
                    return Ok(true);
                }
                self.forget_attributes();
                statement = self.context.classifications.classify(packet.text(), &self.syntax());
                // It asks for what the last statement has left there.
                if statement.needs.intersects(Needs::FOLLOW_UP) {
                    return Ok(false);
                }
            }
            Ok(_) => {}
        }
        self.set_up_changed().await?;
        let asks_a_server = match Command::parse(packet.payload()) {
            Ok(Command::Query(_)) => statement.kill.is_none(),
            Ok(
                Command::ProcessKill(_)
                | Command::SetOption(_)
                | Command::ResetConnection
                | Command::ChangeUser(_)
                | Command::ResetStatement(_)
                | Command::Fetch(_)
                | Command::RegisterReplica
                | Command::DumpBinaryLog
                | Command::Other(_),
            ) => false,
            _ => true,
        };
        if asks_a_server || !self.is_expired() {
            return Ok(false);
        }
        self.run_known(packet, &statement).await?;
        Ok(true)
    }

    async fn set_up_changed(&mut self) -> Result<(), SessionError> {
        let Some(lease) = self.binding.take() else { return Ok(()) };
        let flavour = self.flavour();
        match lease.set_up(flavour).await {
            Ok(lease) => {
                self.binding = Binding::Pinned(lease);
                Ok(())
            }
            Err(lost) => self.lose_expired(&lost).await,
        }
    }

    async fn lose_expired(&mut self, lost: &BackendLost) -> Result<(), SessionError> {
        self.tell(Err::<(), _>(Failure::Fatal(ClientError::lost(lost.to_string()), None))).await
    }

    /// COM_RESET_CONNECTION of a session that has changed its expired password: on its one connection.
    pub(super) async fn reset_after_change(&mut self) -> Result<(), SessionError> {
        let Some(lease) = self.binding.take() else { return Err(SessionError::Ended("connection lost")) };
        let mut lease = match reset(lease, self.flavour()).await {
            Ok(lease) => lease,
            Err(lost) => return self.lose_expired(&lost).await,
        };
        self.profile = self.profile.after_reset(self.flavour());
        self.reset(self.state.schema.as_deref().map(<[u8]>::to_vec));
        lease.connection().reset(self.state.clone());
        self.take_server_charsets();
        self.pins.expired_password();
        self.binding = Binding::Pinned(lease);
        Ok(self.say_ok().await?)
    }
}

async fn reset(lease: Lease, flavour: Flavour) -> Result<Lease, BackendLost> {
    let mut bytes = Vec::new();
    command::put_command(&mut bytes, command::code::RESET_CONNECTION, b"");
    let mut exchange = lease.send(&bytes).await?;
    let answer = exchange.own_response(Shape::Status).await?;
    if let Some(error) = answer.error {
        return Err(exchange.lost(io::Error::other(error)));
    }
    exchange.finish()?.set_up(flavour).await
}
