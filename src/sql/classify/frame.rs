//! What the scan must know of the parenthesis it is in.

/// One level of parentheses; the statement itself is the outermost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frame {
    pub(super) from: From,
    pub(super) with: With,
    /// A query's own level: FROM names tables here, and FOR may lock.
    pub(super) is_query: bool,
    /// The arguments of SUBSTRING and its like, where `FOR` is one of the commas.
    pub(super) is_substring: bool,
}

/// Where we are in a list of tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum From {
    /// Not in one.
    #[default]
    No,
    /// The next name is a table.
    Expected,
    /// Behind a table: a comma or a JOIN brings the next.
    Named,
}

/// Where we are in the list of common table expressions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum With {
    /// Not in one.
    #[default]
    No,
    /// The next name is one's name.
    Expected,
    /// Behind the name; a comma after its body brings the next.
    Named,
}

impl Frame {
    pub(super) fn query() -> Self {
        Self { is_query: true, ..Self::default() }
    }

    /// The first name is a table, as behind UPDATE or SHOW COLUMNS FROM.
    pub(super) fn tables() -> Self {
        Self { from: From::Expected, is_query: true, ..Self::default() }
    }

    /// The list of tables is over, if there was one.
    pub(super) fn leave_lists(&mut self) {
        self.from = From::No;
        self.with = With::No;
    }
}
