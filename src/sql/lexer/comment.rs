//! White space and comments, and comments that are code.

use super::{Gap, Lexer};
use crate::sql::syntax::Flavour;

impl Lexer<'_> {
    /// Moves to the next byte that belongs to a token, and says over what.
    pub(super) fn skip_space(&mut self) -> Gap {
        let mut gap = Gap::None;
        loop {
            match self.peek(0) {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                    self.at += 1;
                    if gap == Gap::None {
                        gap = Gap::Space;
                    }
                    continue;
                }
                b'#' => self.line_comment(1),
                b'-' if self.is_dash_comment() => self.line_comment(2),
                b'/' if self.peek(1) == b'*' => self.block_comment(),
                b'*' if self.in_executable_comment && self.peek(1) == b'/' => {
                    self.in_executable_comment = false;
                    self.at += 2;
                }
                _ => return gap,
            }
            gap = Gap::Comment;
        }
    }

    /// `--` begins a comment only before white space, a control character or the end.
    fn is_dash_comment(&self) -> bool {
        let after = self.peek(2);
        self.peek(1) == b'-' && (after == b' ' || after.is_ascii_control())
    }

    fn line_comment(&mut self, marker: usize) {
        let body = &self.text[self.at + marker..];
        let length = body.iter().position(|&byte| byte == b'\n').unwrap_or(body.len());
        let body = &body[..length];
        self.at += marker + length;
        // The server ends the comment at a NUL and goes on to read code.
        self.fault |= body.contains(&0);
        self.offer_hint(body);
    }

    fn block_comment(&mut self) {
        if self.peek(2) == b'!' {
            self.at += 3;
            self.executable_comment(false);
        } else if self.is_mariadb() && self.peek(2) == b'M' && self.peek(3) == b'!' {
            self.at += 4;
            self.executable_comment(true);
        } else {
            self.plain_comment();
        }
    }

    fn plain_comment(&mut self) {
        let start = self.at + 2;
        self.at = start;
        self.fault |= !self.move_behind(b"*/");
        let body = &self.text[start..self.at.saturating_sub(2).max(start)];
        if body.first() == Some(&b'+') {
            self.fault |= has_open_quote(body);
        } else {
            self.offer_hint(body);
        }
    }

    /// Behind `/*!`: code if the version that follows, if any, is not above the server's.
    fn executable_comment(&mut self, mariadb_only: bool) {
        let digits = (0..6).take_while(|&ahead| self.peek(ahead).is_ascii_digit()).count();
        if digits < 5 {
            self.in_executable_comment = true;
            return;
        }
        let is_code = self.is_code(self.version(digits), mariadb_only);
        // MySQL 9 takes six digits for the version; older ones take five, and the sixth for code.
        let five_digits_only = !self.is_mariadb() && self.syntax.version < 90_000;
        if digits == 6 && five_digits_only {
            self.fault |= is_code != self.is_code(self.version(5), mariadb_only);
        }
        self.fault |= self.syntax.version == 0;
        self.at += digits;
        if is_code {
            self.in_executable_comment = true;
        } else {
            self.skip_disabled_comment();
        }
    }

    fn is_code(&self, version: u32, mariadb_only: bool) -> bool {
        // MariaDB leaves out what is meant for MySQL 5.7 and later.
        let for_mysql = self.is_mariadb() && !mariadb_only && (50_700..=99_999).contains(&version);
        self.syntax.version == 0 || (version <= self.syntax.version && !for_mysql)
    }

    fn version(&self, digits: usize) -> u32 {
        (0..digits).fold(0, |version, ahead| version * 10 + u32::from(self.peek(ahead) - b'0'))
    }

    /// A version comment that is not code may hold one level of comments.
    fn skip_disabled_comment(&mut self) {
        while self.at < self.text.len() {
            if self.starts_with(b"*/") {
                self.at += 2;
                return;
            }
            if self.starts_with(b"/*") {
                self.at += 2;
                self.fault |= !self.move_behind(b"*/");
            } else {
                self.at += 1;
            }
        }
        self.fault = true;
    }

    fn is_mariadb(&self) -> bool {
        self.syntax.flavour == Flavour::MariaDb
    }
}

/// The server reads an optimizer hint with a lexer of its own, to which a quoted name may hold the comment's end.
fn has_open_quote(hint: &[u8]) -> bool {
    [b'`', b'"', b'\''].iter().any(|quote| hint.iter().filter(|byte| *byte == quote).count() % 2 == 1)
}
