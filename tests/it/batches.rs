//! Several statements in one text: as dangerous as the worst of them, and one answer for each.

use dauphin_proto::reply::status;
use mysql_async::prelude::Queryable as _;

use crate::support::{check, raw::Refusal};

#[test]
fn a_batch_of_reads_and_writes_goes_to_the_primary_whole() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mark = stage.mark();
        let mut client = stage.client().await;
        let batch = format!(
            "SELECT 1 /* {mark} */; INSERT INTO t VALUES (1) /* {mark} */; SELECT id FROM t /* {mark} */"
        );
        let mut answers = client.query_iter(batch).await.unwrap();
        assert_eq!(answers.collect::<u32>().await.unwrap(), [1]);
        assert_eq!(answers.affected_rows(), 1);
        assert_eq!(answers.collect::<u32>().await.unwrap(), [0; 0]);
        assert_eq!(answers.collect::<u32>().await.unwrap(), [1]);
        answers.drop_result().await.unwrap();
        let ran = stage.ran(&mark).await;
        assert!(ran.on_primary() > 0 && ran.on_replicas() == 0, "{ran}");
    });
}

#[test]
fn a_batch_that_begins_a_transaction_leaves_it_open() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let inside = stage.mark();
        let mut client = stage.client().await;
        client.query_drop("SELECT 1; START TRANSACTION; INSERT INTO t VALUES (1)").await.unwrap();
        let count: Option<u32> =
            client.query_first(format!("SELECT COUNT(*) FROM t /* {inside} */")).await.unwrap();
        assert_eq!(count, Some(1));
        client.query_drop("ROLLBACK").await.unwrap();
        let count: Option<u32> = client.query_first("SELECT COUNT(*) FROM t").await.unwrap();
        assert_eq!(count, Some(0));
        stage.ran(&inside).await.only_on_primary(1);
    });
}

#[test]
fn what_a_batch_has_set_holds_afterwards() {
    check(async |stage| {
        let mut client = stage.client().await;
        client.query_drop("SET @a = 1; SET time_zone = '+03:00'; SET @b = @a + 1").await.unwrap();
        for _ in 0..4 {
            let set: Option<(u32, u32, String)> =
                client.query_first("SELECT @a, @b, @@time_zone").await.unwrap();
            assert_eq!(set, Some((1, 2, "+03:00".to_owned())));
        }
    });
}

#[test]
fn a_batch_that_fails_half_way_has_done_its_first_half() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.raw().await;
        let batch = "INSERT INTO t VALUES (1); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)";
        let first = client.query(batch).await.unwrap();
        assert_ne!(first.status & status::MORE_RESULTS, 0, "more answers follow");
        let refusal = client.answer().await.unwrap_err().downcast::<Refusal>().unwrap();
        assert_eq!((refusal.code, refusal.sqlstate.as_str()), (1062, "23000"), "{refusal}");
        let rows = client.query("SELECT id FROM t").await.unwrap().rows;
        assert_eq!(rows, [b"\x011"], "one row, whose only value is 1");
    });
}
