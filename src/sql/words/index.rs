//! From the bytes of a word to what is known of it, without allocation: one hash, seldom more than one comparison.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::keyword::Keyword;
use super::{Word, builtins, grammar, impure};

const SLOTS: usize = 8192;

struct Index {
    words: Vec<Word>,
    /// 1 + the place of a word in `words`; 0 for an empty slot.
    slots: Vec<u16>,
}

static INDEX: LazyLock<Index> = LazyLock::new(Index::build);

/// What is known of `word`, in any case of its letters.
pub(in super::super) fn lookup(word: &[u8]) -> Option<&'static Word> {
    let index = &*INDEX;
    let mut slot = hash(word) % SLOTS;
    loop {
        let place = usize::from(index.slots[slot]).checked_sub(1)?;
        let known = &index.words[place];
        if known.text.as_bytes().eq_ignore_ascii_case(word) {
            return Some(known);
        }
        slot = (slot + 1) % SLOTS;
    }
}

impl Index {
    fn build() -> Self {
        let words: Vec<Word> = all_words().into_values().collect();
        let mut slots = vec![0; SLOTS];
        for (place, word) in words.iter().enumerate() {
            let mut slot = hash(word.text.as_bytes()) % SLOTS;
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = u16::try_from(place + 1).expect("there are fewer words than slots");
        }
        Self { words, slots }
    }
}

fn all_words() -> BTreeMap<&'static str, Word> {
    let mut words = BTreeMap::new();
    for &(keyword, text) in Keyword::NAMES {
        entry(&mut words, text).keyword = keyword;
    }
    for group in builtins::GROUPS.iter().chain(grammar::GROUPS) {
        for text in group.names.split_ascii_whitespace() {
            let word = entry(&mut words, text);
            for (known, since) in word.since.iter_mut().zip(group.since) {
                *known = (*known).min(since);
            }
        }
    }
    for (flavour, names) in builtins::GLUED.iter().enumerate() {
        for text in names.split_ascii_whitespace() {
            entry(&mut words, text).glued[flavour] = true;
        }
    }
    for (text, version) in builtins::RETIRED {
        entry(&mut words, text).retired = Some(version);
    }
    for &(text, what) in impure::FUNCTIONS {
        entry(&mut words, text).impure = Some(what);
    }
    for text in grammar::NEVER_IN_A_READ.split_ascii_whitespace() {
        entry(&mut words, text).suspicious = true;
    }
    words
}

fn entry<'a>(words: &'a mut BTreeMap<&'static str, Word>, text: &'static str) -> &'a mut Word {
    let blank = Word {
        text,
        keyword: Keyword::None,
        impure: None,
        suspicious: false,
        since: [u32::MAX; 2],
        retired: None,
        glued: [false; 2],
    };
    words.entry(text).or_insert(blank)
}

/// Of the length and of the first and last eight bytes, blind to the case of ASCII letters.
fn hash(word: &[u8]) -> usize {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let (first, last) = match (word.first_chunk::<8>(), word.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (short(word), 0),
    };
    let mixed = (first | FOLD).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (last | FOLD).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
        ^ (word.len() as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
    ((mixed ^ (mixed >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

/// Fewer than eight bytes as one number.
fn short(word: &[u8]) -> u64 {
    match (word.first_chunk::<4>(), word.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => word.iter().fold(0, |bytes, &byte| (bytes << 8) | u64::from(byte)),
    }
}
