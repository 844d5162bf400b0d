//! The client goes at some point: what it held on a server is closed, and nobody else gets it.

use dauphin_proto::{command, reply::status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Act, Answer, Client, FakeServer, Gate, House, answer, run};

/// The next session's statement runs on another connection than `held`, which dauphin closes.
async fn is_closed_and_not_reused(house: &House, server: &FakeServer, held: usize) {
    assert!(server.ended(held).await, "dauphin closes it");
    let mut next = house.client().await;
    assert_eq!(next.query("UPDATE after SET a = 1").await, Answer::Ok(status::AUTOCOMMIT));
    assert_ne!((house.primary().heard("UPDATE after").await, &server.name), (held, &house.primary().name));
}

async fn in_a_transaction(house: &House) -> (Client, usize) {
    let mut client = house.client().await;
    client.query("BEGIN").await;
    let held = house.primary().heard("BEGIN").await;
    (client, held)
}

#[test]
fn a_client_that_goes_with_a_transaction_open_rolls_it_back() {
    run(async {
        let house = House::new(1).await;
        let (client, held) = in_a_transaction(&house).await;
        drop(client);
        is_closed_and_not_reused(&house, house.primary(), held).await;
    });
}

#[test]
fn a_client_that_resets_its_connection_with_a_transaction_open_rolls_it_back() {
    run(async {
        let house = House::new(1).await;
        let (client, held) = in_a_transaction(&house).await;
        socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        is_closed_and_not_reused(&house, house.primary(), held).await;
    });
}

#[test]
fn a_client_that_quits_with_a_transaction_open_rolls_it_back() {
    run(async {
        let house = House::new(1).await;
        let (mut client, held) = in_a_transaction(&house).await;
        let mut quit = Vec::new();
        command::put_command(&mut quit, command::code::QUIT, b"");
        client.send(&quit).await;
        client.ends().await;
        is_closed_and_not_reused(&house, house.primary(), held).await;
    });
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_command_of_a_transaction_rolls_it_back() {
    run(async {
        let house = House::new(1).await;
        let (mut client, held) = in_a_transaction(&house).await;
        client.send(b"\x30\x00\x00\x00\x03INSERT INTO").await;
        drop(client);
        is_closed_and_not_reused(&house, house.primary(), held).await;
        assert_eq!(house.count("INSERT"), 0);
    });
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_streamed_command_does_not_have_it_executed() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let mut long = Vec::new();
        command::put_query(&mut long, &[b"INSERT INTO t VALUES ('".to_vec(), vec![b'x'; 3 << 20]].concat());
        client.send(&long[..2 << 20]).await;
        drop(client);
        let mut next = house.client().await;
        assert_eq!(next.query("UPDATE t SET a = 1").await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.count("INSERT"), 0);
    });
}

#[test]
fn a_client_that_goes_while_its_transaction_s_answer_is_awaited_rolls_it_back() {
    run(async {
        let house = House::new(1).await;
        let (mut client, held) = in_a_transaction(&house).await;
        let gate = Gate::new();
        house.primary().on("INSERT", Act::wait(&gate).then(Act::bytes(answer::ok(status::IN_TRANS))));
        client.ask("INSERT INTO t VALUES (1)").await;
        house.primary().heard("INSERT").await;
        drop(client);
        gate.cancel();
        is_closed_and_not_reused(&house, house.primary(), held).await;
    });
}

#[test]
fn a_client_that_goes_while_rows_come_closes_their_connection() {
    run(async {
        let house = House::new(1).await;
        let (mut client, held) = in_a_transaction(&house).await;
        // More than sockets and buffers hold, so that dauphin is still writing when the client goes.
        let value = "x".repeat(64 << 20);
        house.primary().on("SELECT", Act::bytes(answer::rows(&["c"], &[&[value.as_str()]])));
        client.ask("SELECT a FROM t").await;
        client.stream.read_exact(&mut [0; 100]).await.unwrap();
        drop(client);
        is_closed_and_not_reused(&house, house.primary(), held).await;
    });
}

#[test]
fn a_client_that_goes_while_a_replica_s_rows_come_closes_their_connection() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let value = "x".repeat(64 << 20);
        house.replica().on("SELECT", Act::bytes(answer::rows(&["c"], &[&[value.as_str()]])));
        client.ask("SELECT a FROM t").await;
        client.stream.read_exact(&mut [0; 100]).await.unwrap();
        let held = house.replica().heard("SELECT a").await;
        drop(client);
        assert!(house.replica().ended(held).await);
        assert_eq!(house.client().await.query("SELECT 1").await, Answer::one("db02"));
    });
}

#[test]
fn a_client_that_goes_with_a_lock_frees_it() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        client.query("SELECT GET_LOCK('a', 1)").await;
        let held = house.primary().heard("SELECT GET_LOCK").await;
        drop(client);
        is_closed_and_not_reused(&house, house.primary(), held).await;
    });
}

#[test]
fn a_client_that_goes_with_a_cursor_open_closes_it() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        let id = client.prepare("SELECT a FROM t").await;
        client.execute(id, 1).await;
        let held = house.replica().heard("COM_STMT_EXECUTE").await;
        drop(client);
        assert!(house.replica().ended(held).await);
    });
}

#[test]
fn a_client_that_goes_while_its_file_is_wanted_closes_the_connection() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.primary().on("LOAD DATA", Act::local_infile("rows.csv"));
        client.ask("LOAD DATA LOCAL INFILE 'rows.csv' INTO TABLE t").await;
        let request = client.packet().await.unwrap().expect("the request for the file");
        assert_eq!(&request[4..], b"\xfbrows.csv");
        client.send(b"\x05\x00\x00\x02a,b\n\n\x20\x00\x00\x03half").await;
        let held = house.primary().heard("LOAD DATA").await;
        drop(client);
        is_closed_and_not_reused(&house, house.primary(), held).await;
    });
}

#[test]
fn a_client_that_sends_its_whole_file_gets_its_answer() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        house.primary().on("LOAD DATA", Act::local_infile("rows.csv"));
        client.ask("LOAD DATA LOCAL INFILE 'rows.csv' INTO TABLE t").await;
        client.packet().await.unwrap();
        client.send(b"\x05\x00\x00\x02a,b\n\n\x00\x00\x00\x03").await;
        assert_eq!(client.answer().await, Answer::Ok(status::AUTOCOMMIT));
    });
}

#[test]
fn a_client_that_goes_with_nothing_open_leaves_its_connection_to_the_next() {
    run(async {
        let house = House::new(1).await;
        let mut client = house.client().await;
        client.query("UPDATE t SET a = 1").await;
        let used = house.primary().heard("UPDATE t").await;
        client.stream.shutdown().await.unwrap();
        client.ends().await;
        assert_eq!(house.client().await.query("UPDATE u SET a = 1").await, Answer::Ok(status::AUTOCOMMIT));
        assert_eq!(house.primary().heard("UPDATE u").await, used);
    });
}

#[test]
fn a_client_that_goes_while_it_waits_for_a_connection_gives_up_its_place() {
    run(async {
        let house = House::with(1, |config| config.pool.max_connections_per_user = 1).await;
        let (holder, held) = in_a_transaction(&house).await;
        let mut waiting = house.client().await;
        waiting.ask("UPDATE t SET a = 1").await;
        drop(waiting);
        let mut next = house.client().await;
        next.ask("UPDATE u SET a = 1").await;
        drop(holder);
        assert!(house.primary().ended(held).await);
        assert_eq!(next.answer().await, Answer::Ok(status::AUTOCOMMIT));
    });
}
