//! Query attributes: where the text begins behind them, and what those of MySQL Router wish.

use dauphin_proto::{
    attributes::{Attribute, Attributes, Value},
    command::Queries,
};

use super::{Session, Wishes, client::Packet};
use crate::{
    error::ClientError,
    sql::{Setting, setting},
};

/// MySQL Router's attributes; all others are for servers only.
const PREFIX: &[u8] = b"router.";

impl Session {
    /// Finds the text of a COM_QUERY, which goes on with its attributes as it came. Those of MySQL Router hold for this one
    /// statement: what the session wishes is put aside until [`Self::forget_attributes`].
    ///
    /// # Errors
    /// What to tell the client: nothing is to be sent.
    pub(super) fn attributes(&mut self, packet: &mut Packet) -> Result<(), ClientError> {
        if self.profile.queries() == Queries::Plain {
            return Ok(());
        }
        let (attributes, text_at) = match Attributes::of_query(packet.payload()) {
            Ok(found) => found,
            // Longer than what is kept: it goes to the primary unread.
            Err(_) if packet.is_partial() => return Ok(()),
            Err(_) => return Err(ClientError::malformed_packet()),
        };
        let mut wished = None;
        for attribute in attributes.iter().filter(is_for_router) {
            let wishes = wished.get_or_insert_with(|| Box::new(self.wishes.clone()));
            self.wish(&attribute, wishes)?;
        }
        packet.text_at = text_at;
        self.wishes_aside = wished.map(|mut wishes| {
            std::mem::swap(&mut self.wishes, &mut *wishes);
            wishes
        });
        Ok(())
    }

    /// The statement is done.
    pub(super) fn forget_attributes(&mut self) {
        if let Some(wishes) = self.wishes_aside.take() {
            self.wishes = *wishes;
        }
    }

    fn wish(&self, attribute: &Attribute<'_>, wishes: &mut Wishes) -> Result<(), ClientError> {
        let value = match attribute.value {
            Value::Null => return Ok(()),
            Value::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
            Value::Fixed(number) => {
                number.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)).to_string()
            }
        };
        let name = String::from_utf8_lossy(attribute.name);
        match setting(&name[PREFIX.len()..], &value) {
            // As in MySQL Router ROUTER SET has the last word.
            Setting::AccessMode(_) if self.wishes.access_mode.is_some() => Ok(()),
            setting => wishes
                .set(&setting, self.consistency)
                .map_err(|_| ClientError::unknown_attribute(&name, &value)),
        }
    }
}

fn is_for_router(attribute: &Attribute<'_>) -> bool {
    attribute.name.split_at_checked(PREFIX.len()).is_some_and(|(head, _)| head.eq_ignore_ascii_case(PREFIX))
}
