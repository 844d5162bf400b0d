//! Commands and results of more than 16 MiB, and results much larger than what dauphin may hold in memory.

use std::time::Duration;

use dauphin_proto::command::code;
use mysql_async::prelude::Queryable as _;

use crate::support::check_apart;

const MIB: usize = 1 << 20;

#[test]
fn a_result_of_two_hundred_mebibytes_streams_to_a_slow_reader_in_little_memory() {
    check_apart("", async |stage| {
        let mut client = stage.raw().await;
        client.query("SELECT 1").await.unwrap();
        let before = stage.dauphin.resident();
        let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT REPEAT('x', 1048576) FROM n";
        client.command(code::QUERY, rows.as_bytes()).await.unwrap();
        for _ in 0..3 {
            client.packet().await.unwrap(); // the number of columns, the column, EOF
        }
        let (mut received, mut most) = (0, before);
        for row in 0..200 {
            if row % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            received += client.packet().await.unwrap().len();
            most = most.max(stage.dauphin.resident());
        }
        client.packet().await.unwrap();
        assert!(received >= 200 * MIB);
        let grown = (most - before) / MIB as u64;
        assert!(grown < 20, "dauphin has grown by {grown} MiB");
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
    });
}

#[test]
fn a_result_of_more_columns_than_sixteen_bits_count_passes() {
    check_apart("", async |stage| {
        let mut client = stage.raw().await;
        let text = format!("SELECT {}2", "1,".repeat(68_000));
        let answer = client.query(&text).await.unwrap();
        assert_eq!((answer.columns, answer.rows.len(), answer.rows[0].len()), (68_001, 1, 2 * 68_001));
        assert_eq!(client.query("SELECT 1").await.unwrap().rows.len(), 1);
    });
}

#[test]
fn packets_of_more_than_sixteen_mebibytes_pass_in_both_directions() {
    check_apart("", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY, body LONGTEXT)").await;
        let mut client = stage.client().await;
        // One that just fits a packet, and two that do not; 0xffffff is the longest payload of one packet.
        for length in [16 * MIB - 1 - "SELECT LENGTH('')".len() - 1, 16 * MIB, 35 * MIB] {
            let text = format!("SELECT LENGTH('{}')", "x".repeat(length));
            let answer: Option<usize> = client.query_first(text).await.unwrap();
            assert_eq!(answer, Some(length));
        }
        for length in [16 * MIB - 5, 16 * MIB, 35 * MIB] {
            let answer: Option<String> =
                client.query_first(format!("SELECT REPEAT('y', {length})")).await.unwrap();
            assert_eq!(answer.map(|answer| answer.len()), Some(length));
        }
        let body = "z".repeat(20 * MIB);
        client.exec_drop("INSERT INTO t VALUES (1, ?)", (&body,)).await.unwrap();
        let back: Option<String> = client.exec_first("SELECT body FROM t WHERE id = ?", (1,)).await.unwrap();
        assert!(back == Some(body), "what was written comes back");
    });
}

#[test]
fn a_command_over_the_limit_is_refused() {
    check_apart("limits.max_command = \"1MiB\"", async |stage| {
        let mut client = stage.client().await;
        let error = client.query_drop(format!("SELECT LENGTH('{}')", "x".repeat(2 * MIB))).await.unwrap_err();
        if let mysql_async::Error::Server(error) = error {
            assert_eq!((error.code, error.state.as_str()), (1153, "08S01"));
        }
        let mut next = stage.client().await;
        next.query_drop("SELECT 1").await.unwrap();
    });
}
