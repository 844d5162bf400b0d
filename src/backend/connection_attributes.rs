//! Connection attributes: what clients say of themselves as they log in, and servers show in `session_connect_attrs`.
//!
//! A backend connection is logged in with those of its sessions, so only sessions of equal attributes share it. How many
//! sets are told apart is limited: each has connections of its own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use dauphin_proto::field::{Reader, put_lenenc_bytes};
use parking_lot::Mutex;

/// Names a set of attributes; no other set ever gets the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttributeSet(u64);

impl AttributeSet {
    /// No attribute at all.
    pub const NONE: Self = Self(0);
    /// dauphin's own.
    pub const OWN: Self = Self(1);
}

/// A set of attributes; its number holds while somebody has this.
#[derive(Debug)]
pub struct Attributes {
    /// The set's number.
    pub set: AttributeSet,
    /// Names and values, length-encoded, in the client's order.
    pub block: Box<[u8]>,
}

impl Attributes {
    /// The value of the attribute `name`.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let mut reader = Reader::new(&self.block, "connection attributes");
        while let (Ok(found), Ok(value)) = (reader.lenenc_bytes(), reader.lenenc_bytes()) {
            if found == name {
                return Some(value);
            }
        }
        None
    }
}

/// All sets that are known.
#[derive(Debug)]
pub struct AttributeSets {
    none: Arc<Attributes>,
    own: Arc<Attributes>,
    known: Mutex<Known>,
    not_kept: AtomicU64,
}

#[derive(Debug)]
struct Known {
    /// Those of clients; of those that are kept the one used last is the last.
    entries: Vec<Entry>,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    attributes: Arc<Attributes>,
    /// Whether a client with it has logged in: the sets of all others are forgotten with their logins.
    kept: bool,
}

impl Entry {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.attributes) > 1
    }
}

/// How many sets of clients are kept; each is at most as long as a login's attributes, 64 KiB.
const MOST_KEPT: usize = 256;

/// What tells processes of one program apart: with these every process would have connections of its own.
const OF_ONE_PROCESS: [&[u8]; 2] = [b"_pid", b"_thread"];

impl Default for AttributeSets {
    fn default() -> Self {
        let own = [
            ("program_name", "dauphin"),
            ("_client_name", "dauphin"),
            ("_client_version", env!("CARGO_PKG_VERSION")),
        ];
        let mut block = Vec::new();
        for text in own.into_iter().flat_map(|(name, value)| [name, value]) {
            put_lenenc_bytes(&mut block, text.as_bytes());
        }
        let of = |set, block: Vec<u8>| Arc::new(Attributes { set, block: block.into() });
        Self {
            none: of(AttributeSet::NONE, Vec::new()),
            own: of(AttributeSet::OWN, block),
            known: Mutex::new(Known { entries: Vec::new(), last: AttributeSet::OWN.0 }),
            not_kept: AtomicU64::new(0),
        }
    }
}

impl AttributeSets {
    /// The set that a client has sent, which need not have proven yet who it is.
    pub fn of_login(&self, sent: &[u8]) -> Arc<Attributes> {
        let block = shared(sent);
        if block.is_empty() {
            return self.none.clone();
        }
        let mut known = self.known.lock();
        known.entries.retain(|entry| entry.kept || entry.is_in_use());
        if let Some(found) = known.entries.iter().find(|entry| *entry.attributes.block == *block) {
            return found.attributes.clone();
        }
        known.last += 1;
        let attributes = Arc::new(Attributes { set: AttributeSet(known.last), block: block.into() });
        known.entries.push(Entry { attributes: attributes.clone(), kept: false });
        attributes
    }

    /// The client has logged in: the set is kept for those that come after it, in the place of one that no session has.
    /// Where each of them is in use the session gets dauphin's own set.
    pub fn keep(&self, attributes: Arc<Attributes>) -> Arc<Attributes> {
        let mut known = self.known.lock();
        let Some(at) = known.position(attributes.set) else { return attributes };
        if !known.entries[at].kept && !known.make_room() {
            drop(known);
            self.note_not_kept();
            return self.own.clone();
        }
        let at = known.position(attributes.set).expect("it is in use");
        let entry = known.entries.remove(at);
        known.entries.push(Entry { kept: true, ..entry });
        attributes
    }

    /// What a connection of this set is logged in with.
    pub fn get(&self, set: AttributeSet) -> Arc<Attributes> {
        if set == AttributeSet::NONE {
            return self.none.clone();
        }
        let known = self.known.lock();
        let found = known.entries.iter().find(|entry| entry.attributes.set == set);
        found.map_or_else(|| self.own.clone(), |entry| entry.attributes.clone())
    }

    /// How many sessions have got dauphin's set since there were too many others.
    pub fn not_kept(&self) -> u64 {
        self.not_kept.load(Relaxed)
    }

    fn note_not_kept(&self) {
        if self.not_kept.fetch_add(1, Relaxed) == 0 {
            tracing::warn!(
                limit = MOST_KEPT,
                "sessions have too many different connection attributes: servers see dauphin's for some (said once; \
                 dauphin_attributes_not_passed_on_total counts them)"
            );
        }
    }
}

impl Known {
    fn position(&self, set: AttributeSet) -> Option<usize> {
        self.entries.iter().position(|entry| entry.attributes.set == set)
    }

    /// Whether one more can be kept; forgets the one for it that has not been used for the longest time.
    fn make_room(&mut self) -> bool {
        if self.entries.iter().filter(|entry| entry.kept).count() < MOST_KEPT {
            return true;
        }
        let unused = self.entries.iter().position(|entry| entry.kept && !entry.is_in_use());
        unused.map(|at| self.entries.remove(at)).is_some()
    }
}

/// The attributes that sessions share, as far as servers read them: to an empty name, or where a text is cut off.
fn shared(sent: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(sent, "connection attributes");
    let mut block = Vec::new();
    while let (Ok(name), Ok(value)) = (reader.lenenc_bytes(), reader.lenenc_bytes()) {
        if name.is_empty() {
            break;
        }
        if !OF_ONE_PROCESS.contains(&name) {
            put_lenenc_bytes(&mut block, name);
            put_lenenc_bytes(&mut block, value);
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<u8> {
        let mut block = Vec::new();
        [b"program_name", name.as_bytes()].iter().for_each(|text| put_lenenc_bytes(&mut block, text));
        block
    }

    #[test]
    fn what_tells_processes_apart_is_left_out_and_what_servers_do_not_read_too() {
        let check = |sent: &[u8], expected: &[u8]| assert_eq!(shared(sent), expected, "{sent:?}");
        check(b"\x01a\x01b\x04_pid\x0212\x01a\x01c\x07_thread\x019", b"\x01a\x01b\x01a\x01c");
        check(b"\x01a\0\x01b\x01c", b"\x01a\0\x01b\x01c");
        for broken in [
            &b"\0\x01x\x01b\x01c"[..],
            b"\xfb\x01x\x01b\x01c",
            b"\x01x\xfb\x01b\x01c",
            b"\x01x",
            b"\x09x",
            b"\xfc\x01",
        ] {
            check(&[b"\x01a\x01b", broken].concat(), b"\x01a\x01b");
        }
        check(b"\x04_pid\x0212", b"");
    }

    #[test]
    fn equal_attributes_have_one_number_for_as_long_as_they_are_kept() {
        let sets = AttributeSets::default();
        let shop = sets.keep(sets.of_login(&named("shop")));
        assert_eq!(sets.of_login(&named("shop")).set, shop.set);
        assert_ne!(sets.of_login(&named("blog")).set, shop.set);
        assert_eq!(sets.of_login(b"").set, AttributeSet::NONE);
        assert_eq!(*sets.get(shop.set).block, *named("shop"));
        assert_eq!(sets.get(AttributeSet::OWN).set, AttributeSet::OWN);
        assert!(sets.get(AttributeSet::NONE).block.is_empty());
    }

    #[test]
    fn the_sets_of_logins_that_fail_leave_nothing() {
        let sets = AttributeSets::default();
        let shop = sets.keep(sets.of_login(&named("shop"))).set;
        (0..3 * MOST_KEPT).for_each(|n| drop(sets.of_login(&named(&n.to_string()))));
        assert_eq!(sets.of_login(&named("shop")).set, shop);
        assert!(sets.known.lock().entries.len() <= 2);
    }

    #[test]
    fn one_that_no_session_has_makes_room_and_where_all_are_in_use_a_session_gets_dauphins() {
        let sets = AttributeSets::default();
        let login = |n: usize| sets.keep(sets.of_login(&named(&n.to_string())));
        let mut sessions: Vec<_> = (0..MOST_KEPT).map(login).collect();
        assert_eq!(login(MOST_KEPT).set, AttributeSet::OWN);
        assert_eq!(sets.not_kept(), 1);
        assert_eq!(login(3).set, sessions[3].set, "one that is known already");
        let (fifth, sixth) = (sessions[5].set, sessions[6].set);
        sessions.drain(5..7);
        let newcomer = login(MOST_KEPT);
        assert_eq!(*newcomer.block, *named(&MOST_KEPT.to_string()));
        assert_eq!(login(6).set, sixth);
        assert_ne!(login(5).set, fifth, "the one that was not used for longer has gone");
        assert_eq!(sets.known.lock().entries.iter().filter(|entry| entry.kept).count(), MOST_KEPT);
    }
}
