//! Where a normalised text goes: into a hash or into a string.

/// Takes a normalised text piece by piece.
pub(in super::super) trait Sink: Default {
    /// A place to go back to.
    type Mark: Copy;
    /// What comes of it.
    type Output;

    fn mark(&self) -> Self::Mark;
    fn rewind(&mut self, mark: Self::Mark);
    fn word(&mut self, word: &[u8]);
    fn punctuation(&mut self, byte: u8);
    /// `?`.
    fn literal(&mut self);
    /// `, ...`.
    fn more(&mut self);
    fn finish(self) -> Self::Output;
}

/// A hash that is the same in every process and release.
#[derive(Default)]
pub(in super::super) struct Hash(u64);

impl Hash {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Sink for Hash {
    type Mark = u64;
    type Output = u64;

    fn mark(&self) -> u64 {
        self.0
    }

    fn rewind(&mut self, mark: u64) {
        self.0 = mark;
    }

    fn word(&mut self, word: &[u8]) {
        let (chunks, rest) = word.as_chunks::<8>();
        for chunk in chunks {
            self.mix(u64::from_le_bytes(*chunk));
        }
        self.mix(packed(rest) | (word.len() as u64) << 56);
    }

    fn punctuation(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn literal(&mut self) {
        self.mix(u64::from(b'?'));
    }

    fn more(&mut self) {
        self.mix(0x2e_2e2e);
    }

    fn finish(self) -> u64 {
        let hash = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ (hash >> 33)
    }
}

/// Fewer than eight bytes as one number, another for each content of the same length.
fn packed(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 24
        }
        _ => bytes.iter().fold(0, |packed, &byte| (packed << 8) | u64::from(byte)),
    }
}

/// The normalised text itself.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    fn space_before(&mut self, byte: u8) {
        let tight = matches!(byte, b',' | b')' | b'.' | b';' | b'(');
        if !self.0.is_empty() && !tight && !self.0.ends_with(['(', '.', '@']) {
            self.0.push(' ');
        }
    }
}

impl Sink for Text {
    type Mark = usize;
    type Output = String;

    fn mark(&self) -> usize {
        self.0.len()
    }

    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }

    fn word(&mut self, word: &[u8]) {
        self.space_before(b'a');
        self.0.push_str(&String::from_utf8_lossy(word));
    }

    fn punctuation(&mut self, byte: u8) {
        // A word and a parenthesis may be a call or not: only what was read says so, so both look the same.
        self.space_before(byte);
        self.0.push(if byte.is_ascii() { char::from(byte) } else { '\u{fffd}' });
    }

    fn literal(&mut self) {
        self.word(b"?");
    }

    fn more(&mut self) {
        self.0.push_str(", ...");
    }

    fn finish(self) -> String {
        self.0
    }
}
