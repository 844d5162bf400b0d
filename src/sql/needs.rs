//! What a statement depends on that lives in the session's connections.

use std::ops::{BitOr, BitOrAssign};

/// A set of things that a statement reads from the state of the connection it runs on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Needs(u8);

impl Needs {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It reads a user variable, `@x`.
    pub const USER_VARIABLES: Self = Self(1);
    /// It reads the last insert's id: `LAST_INSERT_ID()`, `@@last_insert_id`, `@@identity`, `@@insert_id`.
    pub const LAST_INSERT_ID: Self = Self(1 << 1);
    /// It reads the previous statement's warnings or errors.
    pub const DIAGNOSTICS: Self = Self(1 << 2);
    /// It reads the previous statement's `FOUND_ROWS()`.
    pub const FOUND_ROWS: Self = Self(1 << 3);
    /// It reads the previous statement's `ROW_COUNT()`.
    pub const ROW_COUNT: Self = Self(1 << 4);
    /// It runs a statement prepared with `PREPARE`.
    pub const TEXT_PREPARED: Self = Self(1 << 5);
    /// It has `SQL_CALC_FOUND_ROWS`: the next `FOUND_ROWS()` must run where this ran.
    pub const ALL_ROWS_COUNT: Self = Self(1 << 6);
    /// It is `SELECT CONNECTION_ID()` or `SELECT ROW_COUNT()` and no more: the session knows better than the connection.
    pub const ONE_VALUE: Self = Self(1 << 7);

    /// What depends on the previous statement alone, and so must run where that ran.
    pub const FOLLOW_UP: Self = Self(Self::DIAGNOSTICS.0 | Self::FOUND_ROWS.0 | Self::ROW_COUNT.0);

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether anything of `other` is in it.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What of `other` is in it.
    pub const fn of(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// All of it but `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Needs {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl std::fmt::Debug for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const NAMES: [&str; 8] = [
            "USER_VARIABLES",
            "LAST_INSERT_ID",
            "DIAGNOSTICS",
            "FOUND_ROWS",
            "ROW_COUNT",
            "TEXT_PREPARED",
            "ALL_ROWS_COUNT",
            "ONE_VALUE",
        ];
        let set = NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        f.debug_set().entries(set.map(|(_, name)| name)).finish()
    }
}
