//! User variables and the signs of system variables.

use super::{Kind, Lexer};

impl Lexer<'_> {
    /// At an `@`.
    pub(super) fn variable(&mut self) -> Kind {
        self.at += 1;
        match self.peek(0) {
            b'@' => {
                self.at += 1;
                return Kind::SystemVariable;
            }
            b'`' => _ = self.quoted_name(b'`'),
            b'"' if self.syntax.ansi_quotes => _ = self.quoted_name(b'"'),
            quote @ (b'\'' | b'"') => _ = self.string(quote),
            _ => self.bare_variable(),
        }
        Kind::UserVariable
    }

    /// Letters, digits, `.`, `_` and `$`; which other bytes are letters depends on the character set.
    fn bare_variable(&mut self) {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$');
        self.at += self.text[self.at..].iter().take_while(|byte| is_part(byte)).count();
        self.fault |= self.peek(0) >= 0x80;
    }
}
