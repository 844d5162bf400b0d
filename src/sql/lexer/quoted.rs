//! Strings and quoted names.

use super::{Kind, Lexer};

impl Lexer<'_> {
    /// At the opening quote of a string.
    pub(super) fn string(&mut self, quote: u8) -> Kind {
        self.at += 1;
        let escapes = !self.syntax.no_backslash_escapes;
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.iter().position(|&byte| byte == quote || byte == b'\\') else {
                return self.unclosed(Kind::String);
            };
            self.at += length + 1;
            if rest[length] == b'\\' {
                self.at = (self.at + usize::from(escapes)).min(self.text.len());
            } else if self.peek(0) == quote {
                self.at += 1;
            } else {
                return Kind::String;
            }
        }
    }

    /// At the `N` of `N'text'`.
    pub(super) fn national_string(&mut self) -> Kind {
        self.at += 1;
        self.string(b'\'')
    }

    /// At the letter of `x'0a'` or `b'01'`: no escapes, and only digits are allowed inside.
    pub(super) fn bit_string(&mut self) -> Kind {
        let start = self.at + 2;
        self.at = start;
        if !self.move_behind(b"'") {
            return self.unclosed(Kind::String);
        }
        self.fault |= !self.text[start..self.at - 1].iter().all(u8::is_ascii_hexdigit);
        Kind::String
    }

    /// At the opening quote of a name; backslashes mean nothing here, in any mode.
    pub(super) fn quoted_name(&mut self, quote: u8) -> Kind {
        let start = self.at + 1;
        self.at = start;
        loop {
            if !self.move_behind(&[quote]) {
                return self.unclosed(Kind::Name);
            }
            if self.peek(0) != quote {
                break;
            }
            self.at += 1;
        }
        let name = &self.text[start..self.at - 1];
        // The server ends an unquoted read at a NUL, and steps over what a lead byte announces.
        self.fault |= name.contains(&0);
        self.check_encoding(name);
        Kind::Name
    }

    fn unclosed(&mut self, kind: Kind) -> Kind {
        self.at = self.text.len();
        self.fault = true;
        kind
    }
}
