//! `[pool] compression`: what passes between sessions and servers is compressed, and nobody notices.

use bytes::Bytes;
use dauphin_proto::command::code;
use futures_util::{StreamExt as _, stream};
use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::{Flavour, Stage, check_own, check_with, raw::Refusal};

const MIB: usize = 1 << 20;

/// Plays it by zlib and by zstd, which MariaDB does not offer, and without TLS, too.
fn check_compressed(story: impl AsyncFn(&mut Stage, &str) + Sync) {
    for (algorithm, tls) in [("zlib", "preferred"), ("zstd", "required"), ("zstd", "disabled")] {
        let options = format!("pool.compression = \"{algorithm}\"\ntls.server.mode = \"{tls}\"");
        check_with(&options, async |stage| {
            let is_offered = stage.is_mysql() || algorithm == "zlib";
            story(stage, if is_offered { algorithm } else { "none" }).await;
        });
    }
}

/// What the server says of the session's own connection.
async fn status(client: &mut Conn, name: &str) -> String {
    let row: Option<(String, String)> =
        client.query_first(format!("SHOW SESSION STATUS LIKE '{name}'")).await.unwrap();
    row.unwrap_or_default().1
}

#[test]
fn servers_send_less_and_one_that_does_not_offer_it_is_spoken_to_uncompressed() {
    check_compressed(async |stage, algorithm| {
        let mut client = stage.client().await;
        client.query_drop("START TRANSACTION").await.unwrap();
        let is_on = if algorithm == "none" { "OFF" } else { "ON" };
        assert_eq!(status(&mut client, "Compression").await, is_on);
        if stage.is_mysql() {
            assert_eq!(status(&mut client, "Compression_algorithm").await, algorithm);
        }
        let before: usize = status(&mut client, "Bytes_sent").await.parse().unwrap();
        let rows: Vec<String> = client
            .query("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT REPEAT(i, 5000) FROM n")
            .await
            .unwrap();
        let received: usize = rows.iter().map(String::len).sum();
        let sent = status(&mut client, "Bytes_sent").await.parse::<usize>().unwrap() - before;
        assert_eq!(sent < received / 10, algorithm != "none", "{sent} bytes for {received}");

        // Said once of each server, however many connections there are.
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut other = stage.client().await;
            other.query_drop("START TRANSACTION").await.unwrap();
            other.query_drop("SELECT 1").await.unwrap();
            clients.push(other);
        }
        let log = stage.dauphin.log();
        let said = log.lines().filter(|line| line.contains("does not offer this compression"));
        let said = said.filter(|line| line.contains("db1")).count();
        assert_eq!(said, usize::from(algorithm == "none"));
    });
}

#[test]
fn commands_and_results_of_every_size_pass() {
    check_compressed(async |stage, _| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, body LONGTEXT)").await;
        let admin = stage.options("admin", "admin").db_name(Some(stage.schema.clone()));
        let mut client = stage.try_client(admin).await.unwrap();
        // All stories look for their statements in the servers' general logs: such texts would make that take seconds.
        client.query_drop("SET SESSION sql_log_off = ON").await.unwrap();
        // Around a frame of dauphin's, a command that is kept whole, and a packet.
        for length in [0, 1, 49, 50, 64 << 10, MIB - 40, MIB + 1, 16 * MIB - 30, 20 * MIB] {
            for body in [Body::Same, Body::Random] {
                let body = body.of(length);
                let text = format!("SELECT LENGTH('{body}'), '{body}'");
                let got: Option<(usize, String)> = client.query_first(text).await.unwrap();
                assert!(got == Some((length, body)), "{length}");
            }
        }
        let body = Body::Random.of(20 * MIB);
        client.exec_drop("INSERT INTO t VALUES (1, ?)", (&body,)).await.unwrap();
        let back: Option<String> = client.exec_first("SELECT body FROM t WHERE id = ?", (1,)).await.unwrap();
        assert!(back == Some(body), "what was written comes back");
    });
}

#[derive(Clone, Copy)]
enum Body {
    Same,
    Random,
}

impl Body {
    fn of(self, length: usize) -> String {
        match self {
            Self::Same => "x".repeat(length),
            Self::Random => {
                let mut state = 1_u64;
                let mut next = || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    char::from(b' ' + (state >> 58) as u8 + 32)
                };
                (0..length).map(|_| next()).map(|c| if c == '\\' { '/' } else { c }).collect()
            }
        }
    }
}

#[test]
fn a_session_s_state_goes_along_in_one_write_with_its_reads() {
    check_compressed(async |stage, _| {
        let mut clients = [stage.client().await, stage.client().await];
        for (n, client) in clients.iter_mut().enumerate() {
            client
                .query_drop(format!("SET @x = 'of {n}', SESSION sort_buffer_size = {}", 40_000 + n))
                .await
                .unwrap();
            client.query_drop("SET NAMES latin1").await.unwrap();
        }
        for round in 0..20 {
            for (n, client) in clients.iter_mut().enumerate() {
                let query = "SELECT @x, @@sort_buffer_size, @@character_set_client, DATABASE()";
                let got: Option<(String, usize, String, String)> = client.query_first(query).await.unwrap();
                let expected = (format!("of {n}"), 40_000 + n, "latin1".to_owned(), stage.schema.clone());
                assert_eq!(got, Some(expected), "{round}");
                // Closed on the servers in front of the next command.
                let again: Option<usize> =
                    client.exec_first(format!("SELECT ? + {round}"), (n,)).await.unwrap();
                assert_eq!(again, Some(n + round));
            }
        }
    });
}

#[test]
fn a_clients_file_is_loaded() {
    check_compressed(async |stage, _| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, word VARCHAR(20))").await;
        let mut client = stage.client().await;
        for (from, to) in [(0, 100_000_u32), (0, 0)] {
            let lines: String = (from..to).map(|n| format!("{n}\tword {n}\n")).collect();
            let pieces: Vec<_> =
                lines.as_bytes().chunks(70_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            client.set_infile_handler(async move { Ok(stream::iter(pieces).boxed()) });
            client.query_drop("SELECT 1; LOAD DATA LOCAL INFILE 'lines' INTO TABLE t").await.unwrap();
        }
        client.query_drop("START TRANSACTION").await.unwrap();
        let query = "SELECT COUNT(*), SUM(id) FROM t FOR UPDATE";
        let got: Option<(u32, u64)> = client.query_first(query).await.unwrap();
        assert_eq!(got, Some((100_000, 4_999_950_000)));
    });
}

#[test]
fn an_old_client_s_packets_have_its_own_numbers() {
    check_compressed(async |stage, _| {
        let mut client = stage.raw().await;
        let answer = client.query("SELECT 1 UNION SELECT 2").await.unwrap();
        assert_eq!((answer.columns, answer.rows.len()), (1, 2));
        // Rows that go over several of the server's frames; the client looks at every number.
        let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT REPEAT('x', 3000) FROM n";
        assert_eq!(client.query(rows).await.unwrap().rows.len(), 900);
        let statement = client.prepare("SELECT 1 UNION SELECT 2 UNION SELECT 3").await.unwrap();
        client.execute(statement, 1).await.unwrap();
        for rows in [2, 1] {
            assert_eq!(client.fetch(statement, 2).await.unwrap().rows.len(), rows);
        }
        client.command(code::STATISTICS, b"").await.unwrap();
        assert!(client.packet().await.unwrap().starts_with(b"Uptime"));
    });
}

#[test]
fn a_server_that_takes_no_connections_in_clear_is_spoken_to_compressed() {
    check_own("clear", &[Flavour::MySql], "monitor.interval = \"200ms\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        for node in 0..3 {
            let only = "SET GLOBAL protocol_compression_algorithms = 'zstd'";
            stage.admin(node).await.query_drop(only).await.unwrap();
        }
        stage.dauphin.restart(&[]).await;
        for _ in 0..3 {
            let mut client = stage.client().await;
            let (read, write) = (stage.mark(), stage.mark());
            client.query_drop(format!("SELECT id FROM t /* {read} */")).await.unwrap();
            stage.ran(&read).await.only_on_replicas(1);
            client.query_drop(format!("REPLACE INTO t VALUES (1) /* {write} */")).await.unwrap();
            stage.ran(&write).await.only_on_primary(1);
            client.query_drop("START TRANSACTION").await.unwrap();
            assert_eq!(status(&mut client, "Compression_algorithm").await, "zstd");
        }
        let log = stage.dauphin.log();
        for server in ["db1", "db2", "db3"] {
            let said =
                log.lines().filter(|line| line.contains("takes no uncompressed") && line.contains(server));
            assert_eq!(said.count(), 1, "{server}");
        }
        // A reader of the binary log cannot be given one that is compressed: it hears what the server says.
        let mut reader = stage.raw().await;
        reader.command(code::REGISTER_REPLICA, &[0; 18]).await.unwrap();
        let refusal = reader.answer().await.unwrap_err().downcast::<Refusal>().unwrap();
        assert_eq!(refusal.code, 3922, "{refusal}");
    });
}
