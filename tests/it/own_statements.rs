//! What dauphin answers itself on the client port: EXPLAIN ROUTE and SHOW LAST ROUTE.

use mysql_async::{Conn, prelude::Queryable as _};

use crate::support::check;

type Explained = (String, String, String, String);

async fn explain(client: &mut Conn, statement: &str) -> Vec<Explained> {
    client.query(format!("EXPLAIN ROUTE {statement}")).await.unwrap()
}

#[test]
fn explain_route_says_where_a_statement_would_go_and_runs_nothing() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (mark, mut client) = (stage.mark(), stage.client().await);
        for (statement, role, reason) in [
            ("SELECT * FROM t", "replica", "plain_read"),
            ("SELECT * FROM t FOR UPDATE", "primary", "locking_read"),
            ("INSERT INTO t VALUES (1)", "primary", "data_change"),
            ("/* dauphin:primary */ SELECT 1", "primary", "hint"),
        ] {
            let rows = explain(&mut client, &format!("{statement} /* {mark} */")).await;
            assert_eq!(rows.len(), 3, "{statement}: {rows:?}");
            let chosen: Vec<_> = rows.iter().filter(|(_, chosen, ..)| chosen == "yes").collect();
            let [(server, _, as_role, why)] = chosen[..] else { panic!("{statement}: {rows:?}") };
            assert_eq!((as_role.as_str(), why.as_str()), (role, reason), "{statement}");
            assert_eq!(server == "db1", role == "primary", "{statement}: {rows:?}");
        }
        assert_eq!(stage.ran(&mark).await.0, [0, 0, 0]);
        assert_eq!(client.query_first::<u32, _>("SELECT COUNT(*) FROM t").await.unwrap(), Some(0));
    });
}

#[test]
fn show_last_route_names_the_server_that_ran_the_last_statement() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        for (statement, role) in
            [("SELECT id FROM t", "replica"), ("DELETE FROM t", "primary"), ("SELECT id FROM t", "replica")]
        {
            let mark = stage.mark();
            client.query_drop(format!("{statement} /* {mark} */")).await.unwrap();
            let said: Vec<(String, String, String)> = client.query("SHOW LAST ROUTE").await.unwrap();
            let ran = stage.ran(&mark).await.0;
            let [(server, as_role, _)] = &said[..] else { panic!("{said:?}") };
            assert_eq!(as_role, role, "{statement}");
            let node = ["db1", "db2", "db3"].iter().position(|name| name == server).unwrap();
            assert_eq!(ran[node], 1, "{statement} ran at {ran:?}, and dauphin said {server}");
            assert_eq!(ran.iter().sum::<usize>(), 1);
        }
    });
}
