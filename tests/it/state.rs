//! What a session has set holds on every server that its statements run on.

use mysql_async::{ChangeUserOpts, Conn, prelude::Queryable as _};

use crate::support::{Stage, check, check_apart, check_with};

/// The value of an expression on each server, by hints; the logs say that it was asked there.
async fn everywhere(stage: &mut Stage, client: &mut Conn, expression: &str) -> [Option<String>; 3] {
    let mut values = [const { None }; 3];
    for (node, value) in values.iter_mut().enumerate() {
        let hint = if node == 0 { "primary".to_owned() } else { format!("server=db{}", node + 1) };
        let mark = stage.mark();
        let query = format!("SELECT /* dauphin:{hint} */ {expression} /* {mark} */");
        *value = client.query_first::<Option<String>, _>(query).await.unwrap().flatten();
        let mut expected = [0; 3];
        expected[node] = 1;
        assert_eq!(stage.ran(&mark).await.0, expected, "{hint}: {expression}");
    }
    values
}

async fn check_everywhere(stage: &mut Stage, client: &mut Conn, expression: &str, value: Option<&str>) {
    let values = everywhere(stage, client, expression).await;
    assert_eq!(values, [value; 3].map(|value| value.map(str::to_owned)), "{expression} on db1, db2, db3");
}

#[test]
fn variables_are_the_same_on_every_server() {
    check(async |stage| {
        let mut client = stage.client().await;
        for (set, expression, value) in [
            (
                "SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'",
                "REPLACE(@@sql_mode, 'PIPES_AS_CONCAT', 'P')",
                Some("P,ANSI_QUOTES"),
            ),
            ("SET sql_mode = 'STRICT_ALL_TABLES'", "@@sql_mode", Some("STRICT_ALL_TABLES")),
            ("SET time_zone = '+05:30'", "FROM_UNIXTIME(86400)", Some("1970-01-02 05:30:00")),
            ("SET time_zone = 'Europe/Paris'", "@@time_zone", Some("Europe/Paris")),
            ("SET timestamp = 86400", "UNIX_TIMESTAMP(NOW())", Some("86400")),
            ("SET foreign_key_checks = 0", "@@foreign_key_checks", Some("0")),
            (
                "SET SESSION group_concat_max_len = 5",
                "(SELECT GROUP_CONCAT(c) FROM (SELECT 'abc' AS c UNION SELECT 'def') AS l)",
                Some("abc,d"),
            ),
            ("SET @@session.div_precision_increment = 2", "1 / 3", Some("0.33")),
            ("SET lc_time_names = 'de_DE'", "MONTHNAME('2026-03-01')", Some("März")),
            ("SET default_week_format = 3", "@@default_week_format", Some("3")),
            ("SET @answer = 42", "@answer", Some("42")),
            ("SET @word = 'plain', @other := -1.50", "CONCAT(@word, @other)", Some("plain-1.50")),
            ("SET @nothing = NULL", "@nothing", None),
            ("SET names latin1", "@@character_set_client", Some("latin1")),
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", "@@collation_connection", Some("utf8mb4_bin")),
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", "'a' = 'A'", Some("0")),
            ("SET NAMES utf8mb4", "@@character_set_results", Some("utf8mb4")),
            ("SET sql_select_limit = 3", "@@sql_select_limit", Some("3")),
            ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; DO 1", "1", Some("1")),
        ] {
            client.query_drop(set).await.unwrap_or_else(|error| panic!("{set}: {error}"));
            check_everywhere(stage, &mut client, expression, value).await;
        }
        check_everywhere(stage, &mut client, "CONCAT(@answer, @word)", Some("42plain")).await;
    });
}

#[test]
fn a_variable_with_an_accent_can_be_written() {
    check(async |stage| {
        stage.given("CREATE TABLE t (word VARCHAR(20) CHARACTER SET utf8mb4)").await;
        let mut client = stage.client().await;
        for word in ["später", "élan", "詩"] {
            client.query_drop(format!("SET @word = '{word}'")).await.unwrap();
            client.query_drop("INSERT INTO t VALUES (@word)").await.unwrap();
            let read: Option<String> =
                client.query_first("SELECT word FROM t WHERE HEX(word) = HEX(@word)").await.unwrap();
            assert_eq!(read.as_deref(), Some(word));
        }
    });
}

#[test]
fn a_value_that_cannot_be_computed_twice_is_the_same_on_every_server() {
    check(async |stage| {
        let mut client = stage.client().await;
        client.query_drop("SET @id = UUID()").await.unwrap();
        let first: Option<String> = client.query_first("SELECT @id").await.unwrap();
        for _ in 0..6 {
            let again: Option<String> = client.query_first("SELECT @id").await.unwrap();
            assert_eq!(again, first);
        }
    });
}

#[test]
fn a_variable_that_a_select_assigns_is_seen_by_the_next_reads() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY);; INSERT INTO t VALUES (1), (2), (3)").await;
        let mut client = stage.client().await;
        client.query_drop("SELECT MAX(id) INTO @most FROM t").await.unwrap();
        for _ in 0..4 {
            let most: Option<u32> = client.query_first("SELECT @most").await.unwrap();
            assert_eq!(most, Some(3));
        }
    });
}

#[test]
fn the_schema_is_the_same_on_every_server() {
    check(async |stage| {
        let other = format!("{}_other", stage.schema);
        stage.given(&format!("CREATE DATABASE {other}")).await;
        let (schema, mut client) = (stage.schema.clone(), stage.client().await);
        check_everywhere(stage, &mut client, "DATABASE()", Some(&schema)).await;
        client.query_drop(format!("USE {other}")).await.unwrap();
        check_everywhere(stage, &mut client, "DATABASE()", Some(&other)).await;
        let error = crate::support::server_error(client.query_drop("USE app_is_not_there").await);
        assert_eq!(error.code, 1049);
        check_everywhere(stage, &mut client, "DATABASE()", Some(&other)).await;
    });
}

#[test]
fn a_set_that_fails_changes_nothing() {
    check(async |stage| {
        let mut client = stage.client().await;
        client.query_drop("SET @kept = 'yes', time_zone = '+01:00'").await.unwrap();
        let error = crate::support::server_error(
            client.query_drop("SET @kept = 'no', time_zone = 'Nowhere/Land'").await,
        );
        assert_eq!(error.code, 1298);
        check_everywhere(stage, &mut client, "CONCAT(@kept, @@time_zone)", Some("yes+01:00")).await;
    });
}

#[test]
fn one_sessions_state_is_never_anothers() {
    check(async |stage| {
        let mut first = stage.client().await;
        let mut second = stage.client().await;
        first.query_drop("SET @mine = 1, time_zone = '+09:00', sql_mode = 'ANSI'").await.unwrap();
        check_everywhere(stage, &mut first, "CONCAT(@mine, @@time_zone)", Some("1+09:00")).await;
        first.disconnect().await.unwrap();
        check_everywhere(stage, &mut second, "@mine", None).await;
        check_everywhere(stage, &mut second, "@@time_zone", Some("SYSTEM")).await;
        check_everywhere(stage, &mut second, "@@sql_mode LIKE '%ANSI%'", Some("0")).await;
    });
}

/// Each variable in its turn: one session sets it to what it is anyway, the next one is lent the same connection. MySQL takes
/// DEFAULT for OFF in some.
#[test]
fn what_a_session_has_set_is_the_default_again_for_the_next_one() {
    // The last is another one for each name of a MariaDB replication source.
    const NOT_COMPARED: [&str; 5] =
        ["timestamp", "pseudo_thread_id", "rand_seed1", "rand_seed2", "max_relay_log_size"];
    check_with("pool.max_connections_per_server = 1", async |stage| {
        let mut direct = Conn::new(stage.cluster.primary().options("app", "app")).await.unwrap();
        let variables: Vec<(String, String)> = direct.query("SHOW SESSION VARIABLES").await.unwrap();
        let (mut compared, mut differ) = (0, Vec::new());
        for (name, _) in variables {
            // What dauphin tracks is its own affair.
            if NOT_COMPARED.contains(&&*name) || name.starts_with("session_track_") {
                continue;
            }
            let asked = format!("SELECT /* dauphin:primary */ CAST(@@SESSION.{name} AS CHAR)");
            let mut setter = stage.client().await;
            if setter.query_drop(format!("SET SESSION {name} = @@SESSION.{name}")).await.is_err() {
                continue; // no session has its own
            }
            let set: Result<Option<Option<String>>, _> = setter.query_first(&asked).await;
            setter.disconnect().await.unwrap();
            let mut next = stage.client().await;
            let found: Option<Option<String>> = next.query_first(&asked).await.unwrap();
            next.disconnect().await.unwrap();
            let expected: Option<Option<String>> = direct.query_first(&asked).await.unwrap();
            if set.as_ref().ok() != Some(&expected) || found != expected {
                differ.push(format!("{name}: {expected:?}; who set it has {set:?}, who came next {found:?}"));
            }
            compared += 1;
        }
        assert!(differ.is_empty(), "{}", differ.join("\n"));
        assert!(compared > 100, "only {compared} could be set");
    });
}

#[test]
fn results_in_a_wide_character_set_change_no_other_state() {
    check(async |stage| {
        let mut client = stage.client().await;
        client.query_drop("SET character_set_results = utf16").await.unwrap();
        client.query_drop("SET time_zone = 'Europe/Paris', SESSION default_week_format = 3").await.unwrap();
        client.query_drop("SET character_set_results = utf8mb4").await.unwrap();
        check_everywhere(stage, &mut client, "@@time_zone", Some("Europe/Paris")).await;
        check_everywhere(stage, &mut client, "@@default_week_format", Some("3")).await;
    });
}

#[test]
fn a_global_default_holds_for_who_logs_in_after_it() {
    check_apart("", async |stage| {
        let mut before = stage.client().await;
        check_everywhere(stage, &mut before, "@@default_week_format", Some("0")).await;
        let mut admin = stage.try_client(stage.options("admin", "admin")).await.unwrap();
        admin.query_drop("SET GLOBAL default_week_format = 5").await.unwrap();
        let mut after = stage.client().await;
        check_everywhere(stage, &mut after, "@@default_week_format", Some("5")).await;
        // A reset is as good as a login.
        after.query_drop("SET default_week_format = 3").await.unwrap();
        assert!(after.reset().await.unwrap());
        check_everywhere(stage, &mut after, "@@default_week_format", Some("5")).await;
        assert!(before.reset().await.unwrap());
        check_everywhere(stage, &mut before, "@@default_week_format", Some("5")).await;
        before.change_user(ChangeUserOpts::default()).await.unwrap();
        check_everywhere(stage, &mut before, "@@default_week_format", Some("5")).await;
        admin.query_drop("SET GLOBAL default_week_format = DEFAULT").await.unwrap();
        let mut last = stage.client().await;
        check_everywhere(stage, &mut last, "@@default_week_format", Some("0")).await;
    });
}

/// `sql_big_selects` is worked out from another variable at the login; the others are of kinds of their own: of the primary alone,
/// settable with a privilege alone, of routing's concern.
#[test]
fn what_follows_a_global_variable_holds_too_and_others_do_no_harm() {
    check_apart("", async |stage| {
        let mut admin = stage.try_client(stage.options("admin", "admin")).await.unwrap();
        for set in ["max_join_size = 10000", "max_connections = 300", "auto_increment_increment = 2"] {
            admin.query_drop(format!("SET GLOBAL {set}")).await.unwrap();
        }
        let mut client = stage.client().await;
        check_everywhere(stage, &mut client, "@@sql_big_selects", Some("0")).await;
        check_everywhere(stage, &mut client, "@@max_join_size", Some("10000")).await;
        assert_eq!(client.query_first("SELECT @@max_connections").await.unwrap(), Some(300));
        for set in ["max_join_size = DEFAULT", "auto_increment_increment = DEFAULT", "autocommit = 0"] {
            admin.query_drop(format!("SET GLOBAL {set}")).await.unwrap();
        }
        client.change_user(ChangeUserOpts::default()).await.unwrap();
        for _ in 0..4 {
            let asked = "SELECT @@autocommit, @@sql_big_selects";
            assert_eq!(client.query_first(asked).await.unwrap(), Some((0, 1)));
        }
        admin.query_drop("SET GLOBAL autocommit = 1").await.unwrap();
        client.change_user(ChangeUserOpts::default()).await.unwrap();
        check_everywhere(stage, &mut client, "@@autocommit", Some("1")).await;
    });
}
