//! User variables that only their connection knows: asked for, to be carried to others as literals.

use dauphin_proto::response::Shape;

use super::Session;
use crate::{
    backend::{Lease, State},
    sql::Change,
};

impl Session {
    /// Asks the connection for the values of these, whose names are ASCII; one that cannot be carried is NULL from here on.
    /// `None` if the connection is lost.
    pub(super) async fn carry_user_variables(&mut self, lease: Lease, names: Vec<Box<str>>) -> Option<Lease> {
        // Numbers have the collation of bytes, and texts never.
        let literal = |name: &str| {
            let variable = format!("@`{}`", name.replace('`', "``"));
            let text = format!("CONCAT('_',CHARSET({variable}),' X''',HEX({variable}),'''')");
            format!("IF(COLLATION({variable})='binary',{variable},{text})")
        };
        let literals: Vec<_> = names.iter().map(|name| literal(name)).collect();
        let mut bytes = Vec::new();
        lease.queries().put(&mut bytes, format!("SELECT {}", literals.join(",")).as_bytes());
        let mut exchange = lease.send(&bytes).await.ok()?;
        let answer = exchange.own_response(Shape::Query).await.ok()?;
        let values = answer.rows.into_iter().next().unwrap_or_default();
        for (name, value) in names.into_iter().zip(values) {
            let value = value.filter(|value| is_literal(value));
            let value = value.and_then(|value| String::from_utf8(value).ok());
            let value: Box<str> = value.unwrap_or("NULL".into()).into();
            self.pins
                .learn(&[Change::UserVariable { name: name.clone(), value: Some(value.clone()) }], false);
            State::change(&mut self.state, |state| drop(state.user_variables.insert(name, value)));
        }
        exchange.finish().ok()
    }
}

/// Whether it is a number or a text with its character set: bytes may be anything, and results may be asked for in a
/// character set of wide characters.
fn is_literal(value: &[u8]) -> bool {
    match value {
        [b'_', text @ ..] => text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '),
        [b'-' | b'0'..=b'9', ..] => value.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_a_number_or_names_its_character_set() {
        for (value, expected) in [
            (&b"-12.5e+20"[..], true),
            (b"_utf8mb4 X'6162'", true),
            (b"", false),
            (b"abc", false),
            (b"1, @x := 2", false),
            (b"_\0u\0t\0f\08", false),
        ] {
            assert_eq!(is_literal(value), expected, "{value:?}");
        }
    }
}
