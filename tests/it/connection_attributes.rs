//! Connection attributes: servers see the client's own, on every connection that works for it.

use std::collections::HashSet;

use dauphin_proto::{command::code, field::put_lenenc_bytes};

use crate::support::{Stage, check, raw::Raw};

const ATTRIBUTES: &str = "SELECT GROUP_CONCAT(attr_name, '=', attr_value ORDER BY ordinal_position) \
    FROM performance_schema.session_connect_attrs WHERE processlist_id = CONNECTION_ID()";
/// Who is asked: whichever server runs such a transaction.
const ON_A_REPLICA: &str = "START TRANSACTION READ ONLY";
const ON_THE_PRIMARY: &str = "START TRANSACTION READ WRITE";

/// A shop's or another program's, run by the process of this number.
fn attributes(program: &str, process: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for text in ["_client_name", "story", "_pid", process, "program_name", program] {
        put_lenenc_bytes(&mut block, text.as_bytes());
    }
    block
}

fn sent(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_lenenc_bytes(&mut out, block);
    out
}

async fn client(stage: &Stage, attributes: Vec<u8>) -> Raw {
    Raw::connect_saying(stage.dauphin.address, "app", "app", Some(&stage.schema), attributes).await.unwrap()
}

/// What a server of each role shows of the client's connection; `None` for no attribute at all.
async fn shown(stage: &mut Stage, client: &mut Raw) -> [Option<String>; 2] {
    let mut shown = [None, None];
    for (shown, begin) in shown.iter_mut().zip([ON_THE_PRIMARY, ON_A_REPLICA]) {
        let mark = stage.mark();
        client.query(begin).await.unwrap();
        let answer = client.query(&format!("{ATTRIBUTES} /* {mark} */")).await.unwrap();
        client.query("COMMIT").await.unwrap();
        let ran = stage.ran(&mark).await;
        assert_eq!(ran.on_primary(), usize::from(begin == ON_THE_PRIMARY), "{ran}");
        let row = &answer.rows[0];
        *shown = (row[0] != 0xfb).then(|| String::from_utf8_lossy(&row[1..]).into_owned());
    }
    shown
}

fn both(attributes: &str) -> [Option<String>; 2] {
    [Some(attributes.to_owned()), Some(attributes.to_owned())]
}

const SHOP: &str = "_client_name=story,program_name=shop";
const BLOG: &str = "_client_name=story,program_name=blog";

#[test]
fn every_server_shows_the_client_s_own() {
    check(async |stage| {
        let (mut shop, mut blog) =
            (client(stage, attributes("shop", "1")).await, client(stage, attributes("blog", "1")).await);
        for _ in 0..3 {
            assert_eq!(shown(stage, &mut shop).await, both(SHOP));
            assert_eq!(shown(stage, &mut blog).await, both(BLOG));
        }
    });
}

#[test]
fn a_client_finds_its_own_by_the_number_of_its_connection() {
    check(async |stage| {
        let mut shop = client(stage, attributes("shop", "1")).await;
        for question in ["SHOW VARIABLES LIKE 'pseudo_thread_id'", "SELECT '', @@pseudo_thread_id"] {
            for _ in 0..3 {
                let row = shop.query(question).await.unwrap().rows.remove(0);
                let row = String::from_utf8_lossy(&row);
                let number = row.rsplit(|other: char| !other.is_ascii_digit()).next().unwrap();
                let by_number = ATTRIBUTES.replace("CONNECTION_ID()", number);
                let found = shop.query(&by_number.replace("session_c", "session_account_c")).await.unwrap();
                assert_eq!(found.rows[0][1..], *SHOP.as_bytes(), "{question}");
            }
        }
    });
}

#[test]
fn of_a_client_that_says_nothing_servers_show_nothing() {
    check(async |stage| {
        let mut silent = stage.raw().await;
        assert_eq!(shown(stage, &mut silent).await, [None, None]);
        let mut empty = client(stage, Vec::new()).await;
        assert_eq!(shown(stage, &mut empty).await, [None, None]);
    });
}

/// The connections on the primary that so many processes of the program have had, one after the other.
async fn connections(stage: &Stage, program: &str, processes: usize) -> HashSet<Vec<u8>> {
    let mut seen = HashSet::new();
    for process in 0..processes {
        let mut client = client(stage, attributes(program, &process.to_string())).await;
        client.query(ON_THE_PRIMARY).await.unwrap();
        seen.extend(client.query("SELECT CONNECTION_ID() + 0").await.unwrap().rows);
        client.query("COMMIT").await.unwrap();
    }
    seen
}

#[test]
fn processes_of_one_program_share_connections_and_programs_do_not() {
    check(async |stage| {
        let shop = connections(stage, "shop", 8).await;
        let blog = connections(stage, "blog", 8).await;
        assert!(shop.len() < 8 && blog.len() < 8, "{} and {} connections", shop.len(), blog.len());
        assert!(shop.is_disjoint(&blog));
    });
}

#[test]
fn a_change_of_user_brings_its_own() {
    check(async |stage| {
        let schema = stage.schema.clone();
        let mut client = client(stage, attributes("shop", "1")).await;
        assert_eq!(shown(stage, &mut client).await, both(SHOP));
        let block = sent(&attributes("blog", "1"));
        client.change_user_saying("app", "app", &schema, &block).await.unwrap();
        assert_eq!(shown(stage, &mut client).await, both(BLOG));
        client.command(code::RESET_CONNECTION, b"").await.unwrap();
        client.answer().await.unwrap();
        assert_eq!(shown(stage, &mut client).await, both(BLOG), "COM_RESET_CONNECTION leaves them");
        client.change_user_saying("app", "app", &schema, &sent(b"")).await.unwrap();
        assert_eq!(shown(stage, &mut client).await, [None, None]);
        let refused = client.change_user_saying("app", "app", &schema, b"\x09").await;
        assert!(refused.is_err(), "attributes that are cut off");
    });
}
