//! Clients that send garbage, stop, do not read, send too much, come in crowds, or leave at any byte.

use std::time::Duration;

use dauphin_proto::{
    CapabilityFlags, auth, command,
    connect::{Greeting, Login},
    packet::{self, HEADER},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::{
    bed::{Bed, MIB, Memory, run},
    scripted::{Act, Answer, Client, Dialect},
};

/// The client's connection ends within a time that no timeout of these tests comes near.
async fn ends(client: &mut Client) {
    timeout(Duration::from_secs(10), async { while client.packet().await.unwrap().is_some() {} })
        .await
        .expect("dauphin ends the connection");
}

/// A login of `app`, as it answers this greeting.
fn login_for(greeting: &[u8]) -> Vec<u8> {
    let greeting = Greeting::parse(&greeting[HEADER..]).unwrap();
    let login = Login {
        capabilities: CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH,
        collation: 45,
        user: b"app".to_vec(),
        response: auth::answer_sha2(&greeting.nonce, b"app"),
        plugin: auth::CACHING_SHA2.into(),
        ..Login::default()
    };
    let (mut payload, mut bytes) = (Vec::new(), Vec::new());
    login.put(&mut payload);
    packet::put(&mut bytes, &payload, 1);
    bytes
}

/// What asks for TLS: the first 32 bytes of a login.
const SSL_REQUEST: &[u8] =
    b"\x20\x00\x00\x01\x0d\xaa\x0f\x00\x00\x00\x00\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[test]
fn garbage_in_place_of_a_login_ends_the_connection_at_once() {
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00\x00\x00\x01",
        b"\x05\x00\x00\x01\x0d\xa6\x03\x00\x00",
        b"\xff\xff\xff\x01garbage",
        // A PROXY header that is none.
        b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n",
        // No TLS behind the request for it.
        &[SSL_REQUEST, b"this is no ClientHello"].concat(),
    ];
    run(async move {
        let bed = Bed::new("listen.proxy_protocol_networks = [\"127.0.0.0/8\"]").await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        for _ in 0..50 {
            for bytes in garbage {
                let mut client = bed.greeted().await;
                client.send(bytes).await;
                ends(&mut client).await;
            }
        }
        bed.has_counted("login_garbage", 300).await;
        memory.has_grown_by_at_most(8 * MIB);
        neighbour.was_answered_promptly().await;
    });
}

#[test]
fn a_login_that_stops_anywhere_ends_with_login_timeout() {
    let begun: [&[u8]; 6] = [
        b"",
        b"\x40\x00",
        b"\x40\x00\x00\x01\x0d\xa6",
        b"PROXY TCP4 192.0.2.9",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0",
        &[SSL_REQUEST, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"].concat(),
    ];
    run(async move {
        let options = "listen.login_timeout = \"500ms\"\nlisten.proxy_protocol_networks = [\"127.0.0.0/8\"]";
        let bed = Bed::new(options).await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        let mut clients = Vec::new();
        for _ in 0..20 {
            for bytes in begun {
                let mut client = bed.greeted().await;
                client.send(bytes).await;
                clients.push(client);
            }
            // Asked for its password, and silent.
            let mut client = Client::dial(&bed.address()).await.unwrap();
            let mut login = login_for(&client.packet().await.unwrap().expect("a greeting"));
            let of_the_proof = login.windows(32).position(|part| part == &login_proof(&login)[..]).unwrap();
            login[of_the_proof] ^= 1;
            client.send(&login).await;
            clients.push(client);
        }
        for client in &mut clients {
            ends(client).await;
        }
        bed.has_counted("login_timeout", 140).await;
        memory.has_grown_by_at_most(16 * MIB);
        neighbour.was_answered_promptly().await;
    });
}

/// The proof in a login, which is all that it has of 32 bytes with a length in front.
fn login_proof(login: &[u8]) -> Vec<u8> {
    Login::parse(&login[HEADER..]).unwrap().response
}

#[test]
fn garbage_after_the_login_ends_the_session_at_once() {
    let garbage: [&[u8]; 4] = [
        // A number that is not 0; no command at all; a COM_STMT_EXECUTE and a COM_CHANGE_USER that are cut short.
        b"\x09\x00\x00\x05\x03SELECT 1",
        b"\x00\x00\x00\x00",
        b"\x02\x00\x00\x00\x17\x01",
        b"\x03\x00\x00\x00\x11ap",
    ];
    run(async move {
        let bed = Bed::new("").await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        for _ in 0..20 {
            for bytes in garbage {
                let mut client = bed.client().await;
                client.send(bytes).await;
                ends(&mut client).await;
            }
        }
        bed.has_counted("garbage", 80).await;
        memory.has_grown_by_at_most(8 * MIB);
        neighbour.was_answered_promptly().await;
    });
}

#[test]
fn a_command_or_a_file_that_stops_half_way_ends_with_client_timeout_and_gives_its_place_back() {
    run(async {
        let bed = Bed::new("limits.client_timeout = \"500ms\"").await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        let long = [b"\xff\xff\xff\x00\x03INSERT INTO t VALUES ('", &[b'x'; 2 << 20][..]].concat();
        bed.primary.always("LOAD DATA", Act::local_infile("rows.csv"));
        let mut clients = Vec::new();
        for _ in 0..10 {
            for bytes in [b"\x10\x00", &b"\x10\x00\x00\x00\x03SELECT"[..], &long] {
                let mut client = bed.client().await;
                client.send(bytes).await;
                clients.push(client);
            }
            let mut client = bed.client().await;
            client.ask("LOAD DATA LOCAL INFILE 'rows.csv' INTO TABLE t").await;
            client.packet().await.unwrap().expect("the request for the file");
            client.send(b"\x20\x00\x00\x02half").await;
            clients.push(client);
        }
        for client in &mut clients {
            ends(client).await;
        }
        bed.has_counted("stalled", 40).await;
        neighbour.was_answered_promptly().await;
        bed.eventually("all places are given back", async || bed.lent().await == 0).await;
        memory.has_grown_by_at_most(40 * MIB);
    });
}

#[test]
fn a_client_that_does_not_read_ends_with_client_timeout_and_gives_its_place_back() {
    run(async {
        let bed = Bed::new("limits.client_timeout = \"500ms\"").await;
        let (neighbour, mut memory) = (bed.neighbour().await, Memory::of(&bed));
        bed.replica.always("SELECT a FROM endless", Act::endless_rows());
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = bed.client().await;
            client.ask("SELECT a FROM endless").await;
            clients.push(client);
        }
        bed.eventually("all of them are sent away", async || {
            memory.look();
            bed.faults("not_reading").await == 8
        })
        .await;
        neighbour.was_answered_promptly().await;
        bed.eventually("all places are given back", async || bed.lent().await == 0).await;
        memory.has_grown_by_at_most(16 * MIB);
    });
}

#[test]
fn a_client_that_has_asked_its_server_for_more_time_has_more() {
    run(async {
        let bed = Bed::new("limits.client_timeout = \"300ms\"").await;
        let reported = crate::scripted::answer::variable("net_read_timeout", "30");
        let set = Act::bytes(crate::scripted::answer::ok_with(&reported));
        [&bed.primary, &bed.replica].iter().for_each(|server| server.always("SET net_read", set.clone()));
        let (mut patient, mut other) = (bed.client().await, bed.client().await);
        patient.query("SET net_read_timeout = 30").await;
        for client in [&mut patient, &mut other] {
            client.send(b"\x09\x00\x00\x00\x03SEL").await;
        }
        ends(&mut other).await;
        bed.has_counted("stalled", 1).await;
        patient.send(b"ECT 1").await;
        assert!(matches!(patient.answer().await, Answer::Rows(_)));
    });
}

/// Sends a command of packets of 16 MiB without an end, until dauphin ends the connection; answers how much it has taken.
async fn pour(bed: &Bed, first: &[u8], memory: &mut Memory<'_>) -> u64 {
    let client = bed.client().await;
    let (mut sent, mut stream) = (0, client.stream);
    let body = vec![b'x'; 1 << 20];
    let mut head = [b"\xff\xff\xff\x00", first].concat();
    for sequence in 1.. {
        let mut left = packet::MAX_PAYLOAD + HEADER - head.len();
        if stream.write_all(&head).await.is_err() {
            break;
        }
        while left > 0 {
            let Ok(n) = stream.write(&body[..left.min(body.len())]).await else { return sent };
            (left, sent) = (left - n, sent + n as u64);
        }
        memory.look();
        head = vec![0xff, 0xff, 0xff, sequence];
    }
    sent
}

#[test]
fn a_packet_that_goes_on_for_a_gibibyte_streams_in_little_memory_and_ends_there() {
    run(async {
        let bed = Bed::new("").await;
        let (neighbour, mut memory) = (bed.neighbour().await, Memory::of(&bed));
        bed.primary.always("INSERT INTO long", Act::take_rest());
        let taken = pour(&bed, b"\x03INSERT INTO long VALUES ('", &mut memory).await;
        assert!(taken > 1000 * MIB, "{} MiB", taken / MIB);
        bed.has_counted("too_large", 1).await;
        neighbour.was_answered_promptly().await;
        bed.eventually("its place is given back", async || bed.lent().await == 0).await;
        memory.has_grown_by_at_most(8 * MIB);
    });
}

#[test]
fn a_command_without_an_end_that_no_server_gets_ends_at_the_limit_too() {
    run(async {
        let bed = Bed::new("limits.max_command = \"64MiB\"").await;
        let (neighbour, mut memory) = (bed.neighbour().await, Memory::of(&bed));
        // COM_PING; long data for a statement that there is not; a text that its server has stopped reading.
        bed.primary.always("INSERT INTO short", Act::close());
        for first in [&b"\x0e"[..], b"\x18\x09\0\0\0\0\0", b"\x03INSERT INTO short VALUES ('"] {
            let taken = pour(&bed, first, &mut memory).await;
            assert!(taken < 100 * MIB, "{} MiB", taken / MIB);
        }
        bed.has_counted("too_large", 3).await;
        neighbour.was_answered_promptly().await;
        memory.has_grown_by_at_most(8 * MIB);
    });
}

#[test]
fn ten_thousand_connections_without_a_login_harm_no_session() {
    run(async {
        let (_, most) = rlimit::Resource::NOFILE.get().unwrap();
        rlimit::increase_nofile_limit(u64::MAX).unwrap();
        assert!(most > 10_100, "this test needs 10,100 open files here and in dauphin; see `ulimit -Hn`");
        let bed = Bed::new("listen.login_timeout = \"50s\"").await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        let mut crowd: Vec<TcpStream> = Vec::new();
        for _ in 0..10_000 {
            crowd.push(TcpStream::connect(bed.dauphin.address).await.unwrap());
        }
        bed.eventually("there is no room for more", async || {
            bed.count("dauphin_clients_refused_total").await > 0
        })
        .await;
        assert!(Client::log_in(&bed.address(), Dialect::New).await.is_err(), "one more is refused");
        neighbour.was_answered_promptly().await;
        memory.has_grown_by_at_most(160 * MIB);
        drop(crowd);
        bed.eventually("there is room again", async || {
            Client::log_in(&bed.address(), Dialect::New).await.is_ok()
        })
        .await;
        bed.eventually("they are counted", async || bed.faults("login_gone").await >= 9_990).await;
    });
}

#[test]
fn a_client_that_leaves_at_any_byte_leaves_nothing_behind() {
    run(async {
        let bed = Bed::new("").await;
        let (neighbour, memory) = (bed.neighbour().await, Memory::of(&bed));
        let mut query = Vec::new();
        command::put_query(&mut query, b"INSERT INTO t VALUES (1)");
        let mut at = 0;
        loop {
            let mut client = Client::dial(&bed.address()).await.unwrap();
            let greeting = client.packet().await.unwrap().expect("a greeting");
            let bytes = [login_for(&greeting), query.clone()].concat();
            if at > bytes.len() {
                break;
            }
            client.send(&bytes[..at]).await;
            if at % 2 == 0 {
                socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            at += 1;
        }
        let all = at as u64 + 1;
        bed.eventually("all of them are counted", async || {
            bed.faults("login_gone").await + bed.faults("gone").await == all
        })
        .await;
        neighbour.was_answered_promptly().await;
        bed.eventually("all places are given back", async || bed.lent().await == 0).await;
        bed.eventually("no session is left", async || bed.count("dauphin_clients").await <= 1).await;
        memory.has_grown_by_at_most(8 * MIB);
    });
}
