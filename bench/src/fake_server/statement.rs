//! What a statement asks for, told by its text: just enough to answer it plausibly.

/// What a statement wants to be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// One row, with this id.
    Point(u64),
    /// A hundred rows.
    Hundred,
    /// One row of 1 MiB.
    Mebibyte,
    /// 1 GiB in rows of 4 KiB.
    Gibibyte,
    /// A transaction starts.
    Begin,
    /// A transaction ends.
    End,
    /// One row is changed.
    Write,
    /// Expressions and variables, or SHOW: see [`super::question`].
    Question,
    /// Another schema.
    Use,
    /// OK.
    Other,
}

impl Statement {
    /// Reads a statement's text.
    pub fn read(text: &[u8]) -> Self {
        if let Some(rest) = text.strip_prefix(b"SELECT id, c FROM bench WHERE id ") {
            return if rest.ends_with(b" LIMIT 100") {
                Self::Hundred
            } else {
                Self::Point(first_number(rest))
            };
        }
        let text = without_comments(text);
        let word_ends = text.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
        match text[..word_ends].to_ascii_uppercase().as_slice() {
            b"SELECT" | b"WITH" => Self::read_select(text),
            b"BEGIN" => Self::Begin,
            b"START" if contains(text, b"TRANSACTION") => Self::Begin,
            b"COMMIT" | b"ROLLBACK" => Self::End,
            b"INSERT" | b"UPDATE" | b"DELETE" | b"REPLACE" => Self::Write,
            b"SHOW" => Self::Question,
            b"USE" => Self::Use,
            _ => Self::Other,
        }
    }

    fn read_select(text: &[u8]) -> Self {
        if text.starts_with(b"SELECT body FROM") {
            return if text.ends_with(b" LIMIT 1024") { Self::Gibibyte } else { Self::Mebibyte };
        }
        let asks_itself = [b"@@".as_slice(), b"performance_schema", b"information_schema", b"mysql."];
        if !contains(text, b" FROM ") || asks_itself.iter().any(|mark| contains(text, mark)) {
            return Self::Question;
        }
        if text.ends_with(b" LIMIT 100") { Self::Hundred } else { Self::Point(first_number(text)) }
    }
}

/// The text from its first word on.
pub fn without_comments(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let Some(comment) = text.strip_prefix(b"/*") else { return text };
        let Some(end) = comment.windows(2).position(|pair| pair == b"*/") else { return text };
        text = &comment[end + 2..];
    }
}

/// Whether `part` occurs in `text`, in small or large letters.
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

fn first_number(text: &[u8]) -> u64 {
    let digits =
        text.iter().skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        for (text, want) in [
            ("SELECT id, c FROM bench WHERE id = 4711", Statement::Point(4711)),
            ("SELECT id, c FROM bench WHERE id = 17 AND id < 90000", Statement::Point(17)),
            ("SELECT id, c FROM bench WHERE id = ?", Statement::Point(0)),
            ("SELECT id, c FROM bench WHERE id >= 5 ORDER BY id LIMIT 100", Statement::Hundred),
            ("/* dauphin: primary */ select c from other limit 1", Statement::Point(1)),
            ("SELECT body FROM bench_body WHERE id = 1", Statement::Mebibyte),
            (crate::load::workload::GIBIBYTE, Statement::Gibibyte),
            ("BEGIN", Statement::Begin),
            ("start transaction read only", Statement::Begin),
            ("COMMIT", Statement::End),
            ("UPDATE bench SET k = k + 1 WHERE id = 5", Statement::Write),
            ("SELECT @@global.read_only, @@version", Statement::Question),
            ("SELECT 1", Statement::Question),
            ("SHOW REPLICA STATUS", Statement::Question),
            ("USE shop", Statement::Use),
            ("SET NAMES utf8mb4", Statement::Other),
            ("", Statement::Other),
        ] {
            assert_eq!(Statement::read(text.as_bytes()), want, "{text}");
        }
    }
}
