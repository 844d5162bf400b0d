//! Who gives orders: what the audit trail says of them, and what they may do.

use super::{Failure, command::Verb, order::Order};
use crate::config::AdminRole;

/// Somebody who has logged in.
#[derive(Debug, Clone)]
pub struct Who {
    /// The user's name.
    pub user: String,
    /// Who, from where and how, for the audit trail.
    pub by: String,
    role: AdminRole,
}

impl Who {
    /// The user of this name and role, from this host, who came by `way`, as in `HTTP`.
    pub fn new(user: &str, role: AdminRole, host: &str, way: &str) -> Self {
        Self { user: user.to_owned(), by: format!("{user}@{host} by {way}"), role }
    }

    /// Whether they may give this order.
    ///
    /// # Errors
    /// They may not: which role it takes.
    pub(super) fn may(&self, order: &Order) -> Result<(), Failure> {
        match (takes(order.command.verb), self.role) {
            (AdminRole::Viewer, _) | (AdminRole::Operator, AdminRole::Operator) => Ok(()),
            (AdminRole::Operator, AdminRole::Viewer) => {
                tracing::warn!(
                    order = order.command.name,
                    by = self.by,
                    "an order was refused: it takes the role operator"
                );
                let (command, user) = (order.command.name, &self.user);
                Err(Failure::NotAllowed(format!(
                    "{command} takes the role operator, and {user:?} is a viewer, who may SHOW and HELP \
                     ([[admin.users]] role)"
                )))
            }
        }
    }
}

/// The least role that a command takes.
pub(super) const fn takes(verb: Verb) -> AdminRole {
    match verb {
        Verb::Help | Verb::Show(_) => AdminRole::Viewer,
        Verb::Act(_) => AdminRole::Operator,
    }
}
