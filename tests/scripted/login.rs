//! Logins that go wrong: clients that are slow, or speak something else; servers that do.

use std::time::Duration;

use dauphin_proto::{packet, reply::marker, reply::status};
use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Client, Dialect, Greet, House, run};

async fn impatient() -> House {
    House::with(1, |config| config.listen.login_timeout = Duration::from_millis(150)).await
}

#[test]
fn a_client_that_does_not_log_in_in_time_is_sent_away() {
    run(async {
        let house = impatient().await;
        let mut client = Client::dial(&house.address).await.unwrap();
        assert!(client.packet().await.unwrap().is_some(), "it is greeted");
        client.ends().await;
        assert_eq!(house.context.sessions.len(), 0);
    });
}

#[test]
fn a_client_that_sends_half_a_login_is_sent_away_in_time() {
    run(async {
        let house = impatient().await;
        let mut client = Client::dial(&house.address).await.unwrap();
        client.packet().await.unwrap();
        client.send(b"\x40\x00\x00\x01\x0d\xa6").await;
        client.ends().await;
    });
}

#[test]
fn a_garbage_login_is_refused_without_asking_a_server() {
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00\x00\x00\x01",
        b"\x05\x00\x00\x01\x0d\xa6\x03\x00\x00",
        b"\xff\xff\xff\x01garbage",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for login in garbage {
        run(async move {
            let house = impatient().await;
            let mut client = Client::dial(&house.address).await.unwrap();
            client.packet().await.unwrap();
            client.send(login).await;
            client.ends().await;
            assert_eq!(house.servers.iter().map(|server| server.open()).sum::<usize>(), 0);
            assert_eq!(house.context.sessions.len(), 0);
        });
    }
}

#[test]
fn a_login_in_the_wrong_order_is_refused() {
    run(async {
        let house = House::new(1).await;
        let mut client = Client::dial(&house.address).await.unwrap();
        client.packet().await.unwrap();
        let mut bytes = Vec::new();
        packet::put(&mut bytes, b"\x0d\xa6", 1);
        client.send(&bytes).await;
        let refusal = client.packet().await.unwrap().expect("an answer");
        assert_eq!((refusal[3], refusal[4], &refusal[5..7]), (2, marker::ERR, &1043u16.to_le_bytes()[..]));
        client.ends().await;
    });
}

#[test]
fn clients_that_leave_during_their_login_leave_nothing_behind() {
    run(async {
        let house = House::new(1).await;
        for bytes in [&b""[..], b"\x20\x00", b"\x20\x00\x00\x01\x85\xa6"] {
            let mut client = Client::dial(&house.address).await.unwrap();
            client.packet().await.unwrap();
            client.send(bytes).await;
            client.stream.shutdown().await.unwrap();
            client.ends().await;
        }
        assert_eq!(house.context.sessions.len(), 0);
        assert_eq!(house.client().await.query("SELECT 1").await, Answer::one("db02"));
    });
}

#[test]
fn a_server_that_wants_the_password_itself_gets_it_under_its_key() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.replica().greet(Greet::Full);
        assert_eq!(client.query("SELECT 1").await, Answer::one("db02"));
    });
}

#[test]
fn a_replica_that_cannot_be_logged_in_to_is_passed_over() {
    for how in [Greet::Silent, Greet::Garbage, Greet::TooMany, Greet::Closed] {
        run(async move {
            let house =
                House::with(1, |config| config.pool.connect_timeout = Duration::from_millis(150)).await;
            let mut client = house.client().await;
            house.replica().greet(how);
            assert_eq!(client.query("SELECT 1").await, Answer::one("db01"), "{how:?}");
        });
    }
}

#[test]
fn a_primary_that_cannot_be_logged_in_to_for_a_moment_is_waited_for() {
    for how in [Greet::Silent, Greet::Garbage, Greet::Closed] {
        run(async move {
            let house =
                House::with(1, |config| config.pool.connect_timeout = Duration::from_millis(150)).await;
            let mut client = house.client().await;
            house.primary().greet(how);
            assert_eq!(
                client.query("INSERT INTO t VALUES (1)").await,
                Answer::Ok(status::AUTOCOMMIT),
                "{how:?}"
            );
            assert_eq!(house.count("INSERT"), 1, "{how:?}");
        });
    }
}

#[test]
fn a_primary_that_has_too_many_connections_says_so_to_the_client() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.primary().greet(Greet::TooMany);
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await.code(), Some(1040));
        assert_eq!(client.query("INSERT INTO t VALUES (2)").await, Answer::Ok(status::AUTOCOMMIT));
    });
}

#[test]
fn an_old_client_logs_in_and_is_served() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client_of(Dialect::Old).await;
        assert_eq!(client.query("SELECT 1").await, Answer::one("db02"));
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await, Answer::Ok(status::AUTOCOMMIT));
    });
}
