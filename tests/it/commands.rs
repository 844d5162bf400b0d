//! Ways in and commands that few clients use: the Unix socket, LOAD DATA LOCAL INFILE, COM_FIELD_LIST,
//! COM_SET_OPTION, COM_DEBUG, COM_REFRESH.

use std::{net::SocketAddr, process::Command, time::Duration};

use bytes::Bytes;
use dauphin_proto::{
    CapabilityFlags,
    command::{self, code},
    reply::{marker, status},
};
use futures_util::{StreamExt as _, stream};
use mysql_async::{OptsBuilder, prelude::Queryable as _};

use crate::support::{
    Stage, check, check_with,
    raw::{Raw, Refusal},
};

#[test]
fn clients_come_in_by_the_unix_socket() {
    check_with("listen.address = [\"127.0.0.1:0\", \"{directory}/sock\"]", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let socket = stage.dauphin.directory().join("sock");
        let options = OptsBuilder::default()
            .socket(socket.to_str())
            .user(Some("app"))
            .pass(Some("app"))
            .db_name(Some(&stage.schema));
        let (read, write) = (stage.mark(), stage.mark());
        let mut client = stage.try_client(options.clone()).await.unwrap();
        client.query_drop(format!("INSERT INTO t VALUES (7) /* {write} */")).await.unwrap();
        assert_eq!(client.query_first("SELECT id FROM t").await.unwrap(), Some(7));
        stage.ran(&write).await.only_on_primary(1);
        stage.cluster.replicated().await.unwrap();
        let mut client = stage.try_client(options).await.unwrap();
        let got: Option<u32> = client.query_first(format!("SELECT id FROM t /* {read} */")).await.unwrap();
        assert_eq!(got, Some(7));
        stage.ran(&read).await.only_on_replicas(1);
    });
}

/// As on a server, for whoever asks for it.
#[test]
fn tls_is_spoken_on_the_unix_socket_too() {
    check_with("listen.address = [\"127.0.0.1:0\", \"{directory}/sock\"]", async |stage| {
        let (program, with_tls, without): (_, &[&str], _) = if stage.is_mysql() {
            ("mysql", &["--ssl-mode=REQUIRED"], "--ssl-mode=DISABLED")
        } else {
            ("mariadb", &["--ssl", "--skip-ssl-verify-server-cert"], "--skip-ssl")
        };
        let volume = format!("{}:/dauphin", stage.dauphin.directory().display());
        let status = |tls: &[&str]| {
            let client = Command::new("docker")
                // MySQL 9.7 asks to be told that the client has commands of its own.
                .args(["run", "--rm", "--network", "none", "--entrypoint", program, "--volume", &volume])
                .args([
                    &stage.flavour.image(),
                    "--socket=/dauphin/sock",
                    "-uapp",
                    "-papp",
                    "--loose-commands",
                    "-e\\s",
                ])
                .args(tls)
                .output()
                .unwrap();
            let (said, errors) =
                (String::from_utf8_lossy(&client.stdout), String::from_utf8_lossy(&client.stderr));
            assert!(client.status.success() && said.contains("UNIX socket"), "{said}{errors}");
            said.lines().find(|line| line.starts_with("SSL:")).unwrap_or_default().to_owned()
        };
        let line = status(with_tls);
        assert!(line.contains("Cipher in use is TLS"), "{line}");
        let line = status(&[without]);
        assert!(line.contains("Not in use"), "{line}");
    });
}

#[test]
fn a_clients_file_goes_to_the_primary_and_the_session_reads_it_back() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, word VARCHAR(20))").await;
        let mut client = stage.client().await;
        let (load, read) = (stage.mark(), stage.mark());
        // More than one packet, and none at all.
        for (from, to) in [(0, 100_000_u32), (0, 0)] {
            let lines: String = (from..to).map(|n| format!("{n}\tword {n}\n")).collect();
            let pieces: Vec<_> =
                lines.as_bytes().chunks(70_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            client.set_infile_handler(async move { Ok(stream::iter(pieces).boxed()) });
            let text = format!("LOAD DATA LOCAL INFILE 'lines' INTO TABLE t /* {load} */");
            client.query_drop(text).await.unwrap();
            assert_eq!(client.affected_rows(), u64::from(to - from));
        }
        stage.cluster.replicated().await.unwrap();
        // Until dauphin has seen that they have caught up: whoever was far behind at the last poll is not waited for.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let got: Option<(u32, u64)> =
            client.query_first(format!("SELECT COUNT(*), SUM(id) FROM t /* {read} */")).await.unwrap();
        assert_eq!(got, Some((100_000, 4_999_950_000)));
        stage.ran(&load).await.only_on_primary(2);
        stage.ran(&read).await.only_on_replicas(1);
    });
}

#[test]
fn an_old_client_s_file_is_loaded_behind_another_result() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.raw_with(CapabilityFlags::CLIENT_LOCAL_FILES).await.unwrap();
        let batch = "SELECT 1; LOAD DATA LOCAL INFILE 'lines' INTO TABLE t; SELECT 2";
        let first = client.query(batch).await.unwrap();
        assert!(first.status & status::MORE_RESULTS != 0);
        assert_eq!(client.packet().await.unwrap()[0], marker::LOCAL_INFILE);
        // The client got an EOF packet more than the server has sent, and each knows its own numbers only.
        for piece in [&b"1\n2\n"[..], b"3\n", b""] {
            client.reply(piece).await.unwrap();
        }
        client.answer().await.unwrap();
        assert_eq!(client.answer().await.unwrap().rows, [b"\x012"]);
        assert_eq!(client.query("SELECT COUNT(*) FROM t FOR UPDATE").await.unwrap().rows, [b"\x013"]);
    });
}

#[test]
fn com_field_list_is_answered_by_a_replica_as_a_server_does() {
    check(async |stage| {
        let table = stage.mark();
        stage.given(&format!("CREATE TABLE {table} (id INT DEFAULT 5, word VARCHAR(9), note TEXT)")).await;
        let mut direct = direct(stage, "app").await;
        let mut client = stage.raw().await;
        for argument in [format!("{table}\0%"), format!("{table}\0wor%"), "not_there\0".to_owned()] {
            let (theirs, ours) =
                (field_list(&mut direct, &argument).await, field_list(&mut client, &argument).await);
            assert_eq!(ours, theirs, "{argument:?}");
        }
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
        let mut ran = [0; 3];
        for (node, ran) in ran.iter_mut().enumerate() {
            let query = format!(
                "SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Field List' AND argument LIKE '{table}%'"
            );
            *ran = stage.admin(node).await.query_first::<usize, _>(query).await.unwrap().unwrap();
        }
        // The primary was asked directly, twice.
        assert_eq!((ran[0], ran[1] + ran[2]), (2, 2));
    });
}

#[test]
fn com_set_option_allows_and_forbids_batches_on_primary_and_replica() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        // The raw client's login allows batches; 1 forbids them, and 2 is unknown.
        for (options, is_allowed) in [(&[2_u16][..], true), (&[1], false), (&[1, 0], true)] {
            for is_write in [true, false] {
                let mark = stage.mark();
                // The transaction stays on the server of its first read.
                let (first, batch) = if is_write {
                    (vec![], format!("INSERT INTO t VALUES (1) /* {mark} */; DELETE FROM t"))
                } else {
                    let read = format!("SELECT 1 /* {mark} */");
                    (
                        vec!["START TRANSACTION READ ONLY".to_owned(), read],
                        "SELECT COUNT(*) FROM t; SELECT 2".to_owned(),
                    )
                };
                let mut answers = Vec::new();
                for mut client in [direct(stage, "app").await, stage.raw().await] {
                    let mut set = Vec::new();
                    for option in options {
                        client.command(code::SET_OPTION, &option.to_le_bytes()).await.unwrap();
                        set.push(client.packet().await.unwrap());
                    }
                    for statement in &first {
                        client.query(statement).await.unwrap();
                    }
                    answers.push((set, all(&mut client, &batch).await));
                }
                assert_eq!(answers[1], answers[0], "{options:?}");
                let (set, results) = &answers[1];
                assert_eq!(set.last().unwrap()[0] == marker::EOF, options != [2]);
                assert_eq!((results.len(), results[0].is_ok()), (1 + usize::from(is_allowed), is_allowed));
                let ran = stage.ran(&mark).await;
                if !is_write {
                    assert_eq!((ran.on_primary(), ran.on_replicas()), (1, 1), "directly, and by dauphin");
                } else if is_allowed {
                    // MySQL does not log what it cannot parse.
                    ran.only_on_primary(2);
                }
            }
        }
    });
}

#[test]
fn com_debug_is_answered_by_the_primary_as_it_does() {
    check(async |stage| {
        for (user, may) in [("app", false), ("admin", true)] {
            let mut direct = direct(stage, user).await;
            let mut client =
                Raw::connect(stage.dauphin.address, user, user, Some(&stage.schema)).await.unwrap();
            let before = logged(stage, "Debug").await;
            let mut answers = Vec::new();
            for client in [&mut direct, &mut client] {
                client.command(code::DEBUG, b"").await.unwrap();
                answers.push(client.packet().await.unwrap());
                assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
            }
            assert_eq!((answers[1][0] == marker::EOF, &answers[1]), (may, &answers[0]), "{user}");
            let after = logged(stage, "Debug").await;
            // What is denied is not logged.
            let on_primary = if may { 2 } else { 0 };
            assert_eq!(after, [before[0] + on_primary, before[1], before[2]], "{user}");
        }
    });
}

/// REFRESH_LOG, by which tools for MariaDB flush logs.
const LOGS: u8 = 2;

#[test]
fn com_refresh_is_answered_by_the_primary_as_it_does() {
    check(async |stage| {
        for (user, may) in [("app", false), ("admin", !stage.is_mysql())] {
            let mut direct = direct(stage, user).await;
            let mut client =
                Raw::connect(stage.dauphin.address, user, user, Some(&stage.schema)).await.unwrap();
            let before = logged(stage, "Refresh").await;
            for parts in [command::REFRESH_GRANT, LOGS] {
                let mut answers = Vec::new();
                for client in [&mut direct, &mut client] {
                    client.command(code::REFRESH, &[parts]).await.unwrap();
                    answers.push(client.packet().await.unwrap());
                    assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
                }
                assert_eq!((answers[1][0] == marker::OK, &answers[1]), (may, &answers[0]), "{user}");
            }
            let after = logged(stage, "Refresh").await;
            let on_primary = if may { 4 } else { 0 };
            assert_eq!(after, [before[0] + on_primary, before[1], before[2]], "{user}");
        }
    });
}

/// How often each server was sent a command of this name.
async fn logged(stage: &mut Stage, command: &str) -> [usize; 3] {
    let mut counts = [0; 3];
    for (node, count) in counts.iter_mut().enumerate() {
        let query = format!("SELECT COUNT(*) FROM mysql.general_log WHERE command_type = '{command}'");
        *count = stage.admin(node).await.query_first(query).await.unwrap().unwrap();
    }
    counts
}

/// A client of the primary itself, whose password is the user's name.
async fn direct(stage: &Stage, user: &str) -> Raw {
    let address = SocketAddr::new(stage.cluster.primary().address(), 3306);
    Raw::connect(address, user, user, Some(&stage.schema)).await.unwrap()
}

/// The rows of each statement of a batch, up to the first that is refused.
async fn all(client: &mut Raw, batch: &str) -> Vec<Result<Vec<Vec<u8>>, Refusal>> {
    client.command(code::QUERY, batch.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    loop {
        let answer = client.answer().await;
        let has_more = answer.as_ref().is_ok_and(|answer| answer.status & status::MORE_RESULTS != 0);
        answers.push(match answer {
            Ok(answer) => Ok(answer.rows),
            Err(error) => Err(error.downcast().expect("the server refuses")),
        });
        if !has_more {
            return answers;
        }
    }
}

/// Payloads up to the one that ends the answer.
async fn field_list(client: &mut Raw, argument: &str) -> Vec<Vec<u8>> {
    client.command(code::FIELD_LIST, argument.as_bytes()).await.unwrap();
    let mut payloads = Vec::new();
    loop {
        let payload = client.packet().await.unwrap();
        let ends = payload[0] == marker::ERR || payload[0] == marker::EOF && payload.len() < 9;
        payloads.push(payload);
        if ends {
            return payloads;
        }
    }
}
