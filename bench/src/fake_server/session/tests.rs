use super::*;
use crate::{
    load::workload::{Script, Workload},
    response::{Dialect, Expect, Response, Wrong},
};
use dauphin_proto::{
    command::{code, put_command, put_query},
    session_track::{Change, changes},
};

struct Conversation {
    server: Server,
    session: Session,
}

impl Conversation {
    fn with(source: Option<(String, u16)>) -> Self {
        let identity = Identity { port: 3406, source };
        let book = Book::new(&identity.gtid());
        let mut session = Session::greet(1, &mut Vec::new());
        let (mut packet, mut out) = (Vec::new(), Vec::new());
        let login = Login {
            capabilities: offered() & !CapabilityFlags::CLIENT_CONNECT_WITH_DB,
            user: b"app".to_vec(),
            response: vec![1; 32],
            plugin: CACHING_SHA2.into(),
            ..Login::default()
        };
        packet::put_with(&mut packet, 1, |out| login.put(out));
        let server = Server { identity, book };
        session.packet(&server, &packet, &mut out).expect("a login");
        assert_eq!(out[..6], [2, 0, 0, 2, AUTH_MORE_DATA, SHA2_FAST_OK]);
        assert_eq!(out[9..11], [3, 0]);
        Self { server, session }
    }

    fn primary() -> Self {
        Self::with(None)
    }

    fn ask(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let next = self.session.packet(&self.server, packet, &mut out).expect("a command");
        if let Next::Large(large, dialect) = next {
            for piece in self.server.book.sheet(dialect).large(large) {
                (0..piece.times.min(2)).for_each(|_| out.extend_from_slice(&piece.bytes));
            }
        }
        out
    }

    fn query(&mut self, text: &str) -> Vec<u8> {
        let mut packet = Vec::new();
        put_query(&mut packet, text.as_bytes());
        self.ask(&packet)
    }
}

fn check(bytes: Vec<u8>, expect: Expect) -> Result<(), Wrong> {
    check_in(Dialect::New, bytes, expect)
}

fn check_in(dialect: Dialect, mut bytes: Vec<u8>, expect: Expect) -> Result<(), Wrong> {
    let mut response = Response::new(expect, dialect);
    assert!(response.advance(&mut bytes).expect("a valid response"), "the response ends");
    response.verify(&bytes)
}

#[test]
fn every_workload_gets_the_answers_that_it_expects_in_either_dialect() {
    for dialect in [Dialect::New, Dialect::Old] {
        for &workload in <Workload as clap::ValueEnum>::value_variants() {
            converse(workload, dialect);
        }
    }
}

fn converse(workload: Workload, dialect: Dialect) {
    let mut conversation = Conversation::primary();
    conversation.session.deprecate_eof = dialect == Dialect::New;
    let (mut statement, mut packet) = (0, Vec::new());
    if let Some(expect) = workload.preparation(&mut packet) {
        let mut bytes = conversation.ask(&packet);
        let mut response = Response::new(expect, dialect);
        assert!(response.advance(&mut bytes).expect("a valid response"));
        statement = response.statement(&bytes).expect("an id");
    }
    let mut script = Script::new(workload, 3, 16);
    for _ in 0..12 {
        packet.clear();
        let expect = script.next(statement, &mut packet);
        let verdict = check_in(dialect, conversation.ask(&packet), expect);
        assert_eq!(verdict, Ok(()), "{} {dialect:?}", workload.name());
    }
}

#[test]
fn the_piece_of_the_large_result_can_be_repeated() {
    let bytes = Conversation::primary().query(crate::load::workload::GIBIBYTE);
    assert_eq!(check(bytes, Expect::Rows(512)), Ok(()));
}

#[test]
fn questions_are_answered_in_either_dialect() {
    let mut conversation = Conversation::primary();
    for dialect in [Dialect::New, Dialect::Old] {
        conversation.session.deprecate_eof = dialect == Dialect::New;
        assert_eq!(check_in(dialect, conversation.query("SELECT @@version, 1"), Expect::Rows(1)), Ok(()));
        assert_eq!(check_in(dialect, conversation.query("SHOW REPLICA STATUS"), Expect::Rows(0)), Ok(()));
    }
}

#[test]
fn a_replica_refuses_to_write() {
    let mut replica = Conversation::with(Some(("127.0.0.1".into(), 3406)));
    let answer = replica.query("UPDATE bench SET k = 1 WHERE id = 1");
    assert_eq!(check(answer, Expect::Changed { in_transaction: false }), Err(Wrong::Error(1290)));
}

#[test]
fn a_commit_names_its_gtid_if_it_wrote_and_if_that_was_asked_for() {
    let mut conversation = Conversation::primary();
    let gtid = |bytes: &[u8]| {
        let ok = reply::Ok::parse(&bytes[packet::HEADER..]).expect("an OK packet");
        let first = changes(ok.state).next()?.expect("a valid entry").0;
        let Change::Gtids(gtid) = first else { panic!("{first:?}") };
        Some(String::from_utf8_lossy(gtid).into_owned())
    };
    assert_eq!(gtid(&conversation.query("UPDATE bench SET k = 1")), None);
    conversation.query("SET SESSION session_track_gtids = OWN_GTID");
    let own = conversation.server.identity.gtid();
    assert_eq!(gtid(&conversation.query("UPDATE bench SET k = 1")), Some(own.clone()));
    conversation.query("BEGIN");
    assert_eq!(gtid(&conversation.query("UPDATE bench SET k = 1")), None);
    assert_eq!(gtid(&conversation.query("COMMIT")), Some(own));
    conversation.query("BEGIN");
    assert_eq!(gtid(&conversation.query("COMMIT")), None);
}

#[test]
fn a_new_schema_is_reported() {
    let mut packet = Vec::new();
    put_command(&mut packet, code::INIT_DB, b"shop");
    let mut conversation = Conversation::primary();
    for bytes in [conversation.ask(&packet), conversation.query("USE shop")] {
        let ok = reply::Ok::parse(&bytes[packet::HEADER..]).expect("an OK packet");
        let first = changes(ok.state).next().expect("an entry").expect("a valid entry").0;
        assert_eq!(first, Change::Schema(b"shop"));
    }
}
