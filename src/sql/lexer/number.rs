//! Numbers, and names that begin with a digit.

use super::{Kind, Lexer, is_word_byte};

impl Lexer<'_> {
    /// At a digit that does not follow a dot.
    pub(super) fn number(&mut self) -> Kind {
        if let Some(kind) = self.prefixed() {
            return kind;
        }
        self.digits();
        if !is_word_byte(self.peek(0)) {
            if self.peek(0) == b'.' {
                return self.fraction();
            }
            return Kind::Number;
        }
        if self.exponent() {
            return Kind::Number;
        }
        self.word();
        Kind::Name
    }

    /// At the dot of `.5`, or of `1.` and `1.5`.
    pub(super) fn fraction(&mut self) -> Kind {
        self.at += 1;
        self.digits();
        if matches!(self.peek(0), b'e' | b'E') && !self.exponent() {
            // Here the server gives up in the middle of the word.
            self.fault = true;
        }
        Kind::Number
    }

    /// `0x1F` and `0b01`, lower-case prefix only; a name if other letters follow.
    fn prefixed(&mut self) -> Option<Kind> {
        let is_digit: fn(&u8) -> bool = match (self.peek(0), self.peek(1)) {
            (b'0', b'x') => u8::is_ascii_hexdigit,
            (b'0', b'b') => |byte| matches!(byte, b'0' | b'1'),
            _ => return None,
        };
        let digits = self.text[self.at + 2..].iter().take_while(|byte| is_digit(byte)).count();
        if digits > 0 && !is_word_byte(self.peek(2 + digits)) {
            self.at += 2 + digits;
            return Some(Kind::Number);
        }
        self.word();
        Some(Kind::Name)
    }

    fn digits(&mut self) {
        self.at += self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }

    /// Runs over `e5`, `e+5`, `E-5`; stays and says `false` if no digit follows.
    fn exponent(&mut self) -> bool {
        if !matches!(self.peek(0), b'e' | b'E') {
            return false;
        }
        let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
        if !self.peek(1 + sign).is_ascii_digit() {
            return false;
        }
        self.at += 1 + sign;
        self.digits();
        true
    }
}
