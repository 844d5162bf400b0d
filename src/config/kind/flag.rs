//! Yes or no.

use super::Kind;
use crate::config::written::Written;

/// `true` or `false`.
pub(in crate::config) fn flag() -> Flag {
    Flag
}

pub(in crate::config) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn read(&self, written: &Written<'_>) -> Option<bool> {
        match written.flag() {
            Some(flag) => Some(flag),
            None => written.not_a("true or false", "write true or false, without quotes"),
        }
    }

    fn range(&self) -> String {
        "true or false".to_owned()
    }
}
