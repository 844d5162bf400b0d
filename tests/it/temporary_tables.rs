//! A temporary table is on one connection: what uses it goes there, all else is as before.

use mysql_async::prelude::Queryable as _;

use crate::support::check;

#[test]
fn a_temporary_table_keeps_its_statements_on_the_primary_until_it_is_dropped() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (of_it, others, after) = (stage.mark(), stage.mark(), stage.mark());
        let mut client = stage.client().await;
        client.query_drop("CREATE TEMPORARY TABLE scratch (id INT)").await.unwrap();
        client.query_drop("INSERT INTO scratch VALUES (1), (2)").await.unwrap();
        for _ in 0..4 {
            let count: Option<u32> =
                client.query_first(format!("SELECT COUNT(*) FROM scratch /* {of_it} */")).await.unwrap();
            assert_eq!(count, Some(2));
            client.query_drop(format!("SELECT COUNT(*) FROM t /* {others} */")).await.unwrap();
        }
        client.query_drop("DROP TEMPORARY TABLE scratch").await.unwrap();
        let error = crate::support::server_error(
            client.query_drop(format!("SELECT * FROM scratch /* {after} */")).await,
        );
        assert_eq!((error.code, error.state.as_str()), (1146, "42S02"));
        stage.ran(&of_it).await.only_on_primary(4);
        stage.ran(&others).await.only_on_replicas(4);
        stage.ran(&after).await.only_on_replicas(1);
    });
}

#[test]
fn a_temporary_table_hides_a_real_one_of_its_name() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1)").await;
        let schema = stage.schema.clone();
        let mut client = stage.client().await;
        client.query_drop("CREATE TEMPORARY TABLE t (id INT)").await.unwrap();
        for name in ["t", "`t`", &format!("{schema}.t")] {
            let count: Option<u32> =
                client.query_first(format!("SELECT COUNT(*) FROM {name}")).await.unwrap();
            assert_eq!(count, Some(0), "{name}");
        }
        let (_, definition): (String, String) =
            client.query_first("SHOW CREATE TABLE t").await.unwrap().unwrap();
        assert!(definition.contains("TEMPORARY"), "{definition}");
        client.query_drop("DROP TABLE t").await.unwrap();
        let count: Option<u32> = client.query_first("SELECT COUNT(*) FROM t").await.unwrap();
        assert_eq!(count, Some(1), "the real one is there again");
    });
}

#[test]
fn a_session_that_ends_takes_its_temporary_tables_along() {
    check(async |stage| {
        for _ in 0..3 {
            let mut client = stage.client().await;
            client.query_drop("CREATE TEMPORARY TABLE scratch (id INT)").await.unwrap();
            client.disconnect().await.unwrap();
        }
    });
}
