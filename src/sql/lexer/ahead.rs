//! Looking at bytes near the reader.

use super::{Lexer, is_word_byte};

impl Lexer<'_> {
    /// The byte `ahead` of the reader, or a NUL past the end, as the server's own buffer has it.
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn starts_with(&self, text: &[u8]) -> bool {
        self.text[self.at..].starts_with(text)
    }

    /// Whether a name ends right before the reader, so that a dot here separates and does not begin a number.
    pub(super) fn is_after_word(&self) -> bool {
        self.at > 0 && (is_word_byte(self.text[self.at - 1]) || self.text[self.at - 1] == b'`')
    }

    /// Moves behind the first `needle` from the reader on; to the end, and `false`, if there is none.
    pub(super) fn move_behind(&mut self, needle: &[u8]) -> bool {
        let rest = &self.text[self.at..];
        let mut from = 0;
        while let Some(offset) = rest[from..].iter().position(|&byte| byte == needle[0]) {
            from += offset;
            if rest[from..].starts_with(needle) {
                self.at += from + needle.len();
                return true;
            }
            from += 1;
        }
        self.at = self.text.len();
        false
    }
}
