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

async fn last_route(client: &mut Conn) -> Vec<Explained> {
    client.query("SHOW LAST ROUTE").await.unwrap()
}

#[test]
fn what_needs_the_session_s_own_connection_says_so_of_every_other_server() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut client = stage.client().await;
        let all_but = |chosen: &str, reason: &str| {
            let others = ["db1", "db2", "db3"].into_iter().filter(|name| *name != chosen);
            let why = format!("it needs the session's connection to {chosen}");
            let no = others.map(|name| (name.to_owned(), "no".to_owned(), why.clone()));
            let yes = (chosen.to_owned(), "yes".to_owned(), reason.to_owned());
            std::iter::once(yes).chain(no).collect::<Vec<_>>()
        };
        let said = |rows: Vec<Explained>| -> Vec<_> {
            rows.into_iter().map(|(server, chosen, _, why)| (server, chosen, why)).collect()
        };
        client.query_drop("BEGIN").await.unwrap();
        assert_eq!(said(explain(&mut client, "SELECT * FROM t").await), all_but("db1", "in_transaction"));
        client.query_drop("SELECT * FROM t").await.unwrap();
        assert_eq!(said(last_route(&mut client).await), all_but("db1", "in_transaction"));
        client.query_drop("ROLLBACK").await.unwrap();
        // A warning that a replica has.
        client.query_drop("SELECT 1 / 0, CAST('x' AS SIGNED)").await.unwrap();
        let ran = last_route(&mut client).await.swap_remove(0).0;
        assert_ne!(ran, "db1");
        assert_eq!(said(explain(&mut client, "SHOW WARNINGS").await), all_but(&ran, "follow_up"));
        client.query_drop("SHOW WARNINGS").await.unwrap();
        assert_eq!(said(last_route(&mut client).await), all_but(&ran, "follow_up"));
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
            let said = last_route(&mut client).await;
            let ran = stage.ran(&mark).await.0;
            let [(server, chosen, as_role, _), others @ ..] = &said[..] else { panic!("{said:?}") };
            assert_eq!((chosen.as_str(), as_role.as_str()), ("yes", role), "{statement}");
            let why_replica = match role {
                "primary" => "the statement cannot run on a replica now",
                _ => "not its turn",
            };
            for (other, chosen, as_role, why) in others {
                let why_not = match as_role.as_str() {
                    "primary" => "primary: a replica can serve it",
                    _ => why_replica,
                };
                assert!(why == why_not || why.starts_with("not known to have the writes"), "{said:?}");
                assert!(other != server && chosen == "no", "{said:?}");
            }
            assert_eq!(others.len(), 2, "{said:?}");
            let node = ["db1", "db2", "db3"].iter().position(|name| name == server).unwrap();
            assert_eq!(ran[node], 1, "{statement} ran at {ran:?}, and dauphin said {server}");
            assert_eq!(ran.iter().sum::<usize>(), 1);
        }
    });
}
