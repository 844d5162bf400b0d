//! How a server reads a text: what of the session's state changes the meaning of the bytes.

/// What of a session's state and of its server changes how a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Syntax {
    /// `sql_mode` has `ANSI_QUOTES`: double quotes enclose names.
    pub ansi_quotes: bool,
    /// `sql_mode` has `NO_BACKSLASH_ESCAPES`: a backslash in a string is a backslash.
    pub no_backslash_escapes: bool,
    /// `sql_mode` has `IGNORE_SPACE`: `COUNT (*)` calls the built-in `COUNT`.
    pub ignore_space: bool,
    /// How `character_set_client` encodes what is not ASCII.
    pub charset: Charset,
    /// Whose dialect it is.
    pub flavour: Flavour,
    /// The server's version as executable comments write it (`90704`, `110809`); 0 if it is not known.
    pub version: u32,
    /// Whether the server takes several statements in one text.
    pub multi_statements: bool,
}

impl Default for Syntax {
    fn default() -> Self {
        Self {
            ansi_quotes: false,
            no_backslash_escapes: false,
            ignore_space: false,
            charset: Charset::Utf8,
            flavour: Flavour::MySql,
            version: 0,
            multi_statements: false,
        }
    }
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// MySQL and what behaves like it.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What the client's character set means for a reader of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// `utf8mb4`, `utf8mb3`, `ascii`: a byte below 0x80 is always that ASCII character.
    Utf8,
    /// The same holds, but what bytes above 0x7F mean outside strings is not known here (`latin1`, `euckr` ...).
    AsciiSafe,
    /// A byte that looks like ASCII, such as the backslash, may be the second half of a character (`sjis`, `gbk` ...).
    BackslashTrail,
}

impl Charset {
    /// The kind of a character set, by the name that `character_set_client` has; an unknown one is the worst kind.
    pub fn of(name: &str) -> Self {
        const UTF8: [&str; 5] = ["utf8mb4", "utf8mb3", "utf8", "ascii", "us_ascii"];
        const ASCII_SAFE: [&str; 28] = [
            "latin1", "latin2", "latin5", "latin7", "binary", "cp1250", "cp1251", "cp1256", "cp1257",
            "cp850", "cp852", "cp866", "koi8r", "koi8u", "greek", "hebrew", "tis620", "armscii8", "geostd8",
            "macce", "macroman", "keybcs2", "dec8", "hp8", "euckr", "gb2312", "ujis", "eucjpms",
        ];
        if UTF8.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            Self::Utf8
        } else if ASCII_SAFE.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            Self::AsciiSafe
        } else {
            Self::BackslashTrail
        }
    }
}
