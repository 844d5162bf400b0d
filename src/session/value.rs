//! The value of a user variable as a literal of the same type, character set and collation, whatever the `sql_mode` and the
//! character sets of the session that reads it. Pure.

use std::fmt::Write as _;

use crate::{backend::ColumnType, topology::Flavour};

/// The types that user variables have (seen on MySQL 9.7 and MariaDB 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// BIGINT.
    Signed,
    /// BIGINT UNSIGNED.
    Unsigned,
    /// DECIMAL.
    Decimal,
    /// DOUBLE.
    Double,
    /// A string, of bytes or of characters; times, JSON and so on become one.
    Text,
    /// That of a variable that was never set, or of a string.
    Unset,
}

/// What has been found out about a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is none: the variable was never set, which its column shows.
    Unset,
    /// Its literal.
    Literal(String),
    /// This must be asked of the server, whose answer is given to [`Found::answered`].
    Ask(Question),
}

/// What there is to ask before a literal is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// All digits of a number.
    Digits,
    /// Whether the server takes this literal for these bytes.
    IsTaken {
        /// The literal.
        literal: String,
        /// The bytes in hexadecimal digits.
        hex: String,
    },
}

impl Kind {
    /// The type of a column that is a user variable; `None` if no literal has it, like MariaDB's POINT.
    pub fn of(column: ColumnType) -> Option<Self> {
        // MySQL manual, "Column Definition": enum_field_types.
        match column.code {
            8 if column.is_unsigned => Some(Self::Unsigned),
            8 => Some(Self::Signed),
            246 => Some(Self::Decimal),
            5 => Some(Self::Double),
            // As of a VARCHAR on MySQL, and of a length that no string has on MariaDB.
            253 => Some(Self::Unset),
            251 if column.length == 1 << 24 => Some(Self::Unset),
            249..=252 => Some(Self::Text),
            _ => None,
        }
    }

    /// The literal of a value as its bytes were given; `None` if there is none.
    pub fn literal(self, flavour: Flavour, collation: &[u8], value: Option<&[u8]>) -> Option<Found> {
        if self == Self::Unset && value.is_none() {
            return Some(Found::Unset);
        }
        if matches!(self, Self::Text | Self::Unset) {
            let collation = String::from_utf8(narrow(collation)).ok().filter(|name| is_word(name))?;
            return text(&collation, value);
        }
        let Some(value) = value else { return Some(Found::Literal(self.null().to_owned())) };
        // MySQL writes 22 characters of a DOUBLE at most, which may not be all its digits; in JSON it writes all.
        if self == Self::Double && flavour == Flavour::MySql {
            return Some(Found::Ask(Question::Digits));
        }
        self.number(value).map(Found::Literal)
    }

    fn null(self) -> &'static str {
        match self {
            Self::Signed => "CAST(NULL AS SIGNED)",
            Self::Unsigned => "CAST(NULL AS UNSIGNED)",
            Self::Decimal => "CAST(NULL AS DECIMAL)",
            Self::Double => "(NULL+0E0)",
            Self::Text | Self::Unset => "NULL",
        }
    }

    /// The literal of a number from the server's digits.
    fn number(self, digits: &[u8]) -> Option<String> {
        let digits = String::from_utf8(narrow(digits)).ok().filter(|digits| is_number(digits))?;
        Some(match self {
            Self::Unsigned => format!("CAST({digits} AS UNSIGNED)"),
            Self::Decimal if !digits.contains('.') => format!("{digits}."),
            Self::Double if !digits.contains(['e', 'E']) => format!("{digits}E0"),
            _ => digits,
        })
    }
}

impl Question {
    /// What to select, of the variable `variable`.
    pub fn expression(&self, variable: &str) -> String {
        match self {
            Self::Digits => format!("JSON_ARRAY({variable})"),
            Self::IsTaken { literal, hex } => format!("CAST({literal} AS BINARY)=X'{hex}'"),
        }
    }

    /// The literal, now that the server has answered; `None` if there is none.
    pub fn answered(self, answer: &[u8]) -> Option<String> {
        let answer = narrow(answer);
        match self {
            Self::Digits => Kind::Double.number(answer.strip_prefix(b"[")?.strip_suffix(b"]")?),
            Self::IsTaken { literal, .. } => (answer == b"1").then_some(literal),
        }
    }
}

/// ASCII text that may have come in a character set of wide characters: `character_set_results` may be one, and a number
/// keeps the one that it was assigned under.
pub fn narrow(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|&byte| byte != 0).collect()
}

/// The literal of a string in the character set of `collation`.
fn text(collation: &str, value: Option<&[u8]>) -> Option<Found> {
    let charset = collation.split('_').next().unwrap_or_default();
    let is_binary = charset == "binary";
    let Some(value) = value else {
        let typed = format!("CONVERT(NULL USING {charset}) COLLATE {collation}");
        return Some(Found::Literal(if is_binary { "NULL".to_owned() } else { typed }));
    };
    let hex = hex(value);
    if is_binary {
        return Some(Found::Literal(format!("_binary X'{hex}'")));
    }
    let literal = format!("_{charset} X'{hex}' COLLATE {collation}");
    let is_valid = match charset {
        "utf8mb4" => std::str::from_utf8(value).is_ok(),
        "utf8mb3" | "utf8" => {
            std::str::from_utf8(value).is_ok_and(|text| text.chars().all(|c| c < '\u{10000}'))
        }
        "latin1" => true,
        "ascii" => value.is_ascii(),
        _ => false,
    };
    // A literal that is not well-formed in its character set is refused, and a session must never carry one.
    let question = |literal| Found::Ask(Question::IsTaken { literal, hex });
    Some(if is_valid { Found::Literal(literal) } else { question(literal) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_number(digits: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    digits.bytes().any(|byte| byte.is_ascii_digit()) && digits.bytes().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, collation: &str, value: Option<&[u8]>, expected: &str) {
        let found = kind.literal(Flavour::MariaDb, collation.as_bytes(), value);
        assert_eq!(found, Some(Found::Literal(expected.to_owned())), "{kind:?} {collation} {value:?}");
    }

    #[test]
    fn numbers_keep_their_types() {
        for (kind, digits, expected) in [
            (Kind::Signed, "-9223372036854775808", "-9223372036854775808"),
            (Kind::Unsigned, "5", "CAST(5 AS UNSIGNED)"),
            (Kind::Decimal, "1.50", "1.50"),
            (Kind::Decimal, "1", "1."),
            (Kind::Double, "1.5", "1.5E0"),
            (Kind::Double, "-0", "-0E0"),
            (Kind::Double, "1.7976931348623157e308", "1.7976931348623157e308"),
        ] {
            check(kind, "binary", Some(digits.as_bytes()), expected);
        }
        // As a connection whose character set is UTF-16 gives it.
        check(Kind::Decimal, "binary", Some(b"\x001\x00.\x005"), "1.5");
    }

    #[test]
    fn null_keeps_its_type() {
        check(Kind::Signed, "binary", None, "CAST(NULL AS SIGNED)");
        check(Kind::Double, "binary", None, "(NULL+0E0)");
        check(Kind::Text, "binary", None, "NULL");
        assert_eq!(Kind::Unset.literal(Flavour::MySql, b"binary", None), Some(Found::Unset));
        check(Kind::Unset, "latin1_bin", Some(b"a"), "_latin1 X'61' COLLATE latin1_bin");
        check(Kind::Text, "latin1_bin", None, "CONVERT(NULL USING latin1) COLLATE latin1_bin");
    }

    #[test]
    fn texts_keep_their_bytes_and_collations() {
        check(Kind::Text, "binary", Some(b"\x00\xff'"), "_binary X'00FF27'");
        check(Kind::Text, "latin1_bin", Some(b"\xe9"), "_latin1 X'E9' COLLATE latin1_bin");
        let dolphin = "_utf8mb4 X'F09F90AC' COLLATE utf8mb4_0900_ai_ci";
        check(Kind::Text, "utf8mb4_0900_ai_ci", Some("🐬".as_bytes()), dolphin);
        check(
            Kind::Text,
            "\0u\0t\0f\x008\0m\0b\x004\0_\0b\0i\0n",
            Some(b""),
            "_utf8mb4 X'' COLLATE utf8mb4_bin",
        );
    }

    #[test]
    fn what_may_not_be_well_formed_is_for_the_server_to_say() {
        for (collation, value) in [
            ("utf8mb4_bin", &b"\xff"[..]),
            ("utf8mb3_bin", "🐬".as_bytes()),
            ("ascii_bin", b"\x80"),
            ("gbk_chinese_ci", b"\xe9"),
        ] {
            let found = Kind::Text.literal(Flavour::MySql, collation.as_bytes(), Some(value));
            let Some(Found::Ask(question)) = found else { panic!("{collation}: {found:?}") };
            let charset = collation.split('_').next().unwrap();
            let literal = format!("_{charset} X'{}' COLLATE {collation}", hex(value));
            let expected = format!("CAST({literal} AS BINARY)=X'{}'", hex(value));
            assert_eq!(question.expression("@`a`"), expected);
            assert_eq!(question.clone().answered(b"0"), None);
            assert_eq!(question.answered(b"\x001"), Some(literal));
        }
    }

    #[test]
    fn mysql_is_asked_for_all_digits_of_a_double() {
        let found = Kind::Double.literal(Flavour::MySql, b"binary", Some(b"-5.67174144345553e-125"));
        assert_eq!(found, Some(Found::Ask(Question::Digits)));
        assert_eq!(Question::Digits.expression("@`a`"), "JSON_ARRAY(@`a`)");
        let digits = Question::Digits.answered(b"[-5.671741443455534e-125]");
        assert_eq!(digits.as_deref(), Some("-5.671741443455534e-125"));
        assert_eq!(Question::Digits.answered(b"[1.0]").as_deref(), Some("1.0E0"));
    }

    #[test]
    fn what_is_no_value_of_its_type_has_no_literal() {
        assert_eq!(Kind::Signed.literal(Flavour::MySql, b"binary", Some(b"1);DROP")), None);
        assert_eq!(Kind::Signed.literal(Flavour::MySql, b"binary", Some(b"")), None);
        assert_eq!(Kind::Text.literal(Flavour::MySql, b"a b", Some(b"x")), None);
        let column = |code| ColumnType { code, ..ColumnType::default() };
        assert_eq!(Kind::of(column(255)), None);
        assert_eq!(Kind::of(ColumnType { is_unsigned: true, ..column(8) }), Some(Kind::Unsigned));
        assert_eq!(Kind::of(ColumnType { length: (1 << 24) - 1, ..column(251) }), Some(Kind::Text));
        assert_eq!(Kind::of(ColumnType { length: 1 << 24, ..column(251) }), Some(Kind::Unset));
        assert_eq!(Kind::of(column(253)), Some(Kind::Unset));
    }
}
