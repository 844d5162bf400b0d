//! User variables whose values were computed: read once from the connection that has them, and the same everywhere.

use mysql_async::{Conn, Row, prelude::Queryable as _};

use crate::support::{Stage, check, check_with};

/// All that a client can tell of `@a`: its column's type, length and collation, its bytes, and whether it is `expression`.
async fn told(client: &mut Conn, comment: &str, expression: &str) -> String {
    let plain = format!("SELECT /* {comment} */ @a");
    let mut result = client.query_iter(plain).await.unwrap();
    let column = result.columns().unwrap()[0].clone();
    let value: Vec<Row> = result.collect().await.unwrap();
    drop(result);
    let more = format!(
        "SELECT /* {comment} */ HEX(@a), HEX(CAST(@a AS BINARY)), COLLATION(@a), COERCIBILITY(@a), @a <=> ({expression})"
    );
    let more: Row = client.query_first(more).await.unwrap().unwrap();
    let kind = (column.column_type(), column.flags(), column.column_length(), column.character_set());
    format!("{kind:?} {} decimals: {:?} and {:?}", column.decimals(), value[0], more)
}

const EXPRESSIONS: [&str; 40] = [
    "5 + 0",
    "-7 - 0",
    "1 = 1",
    "CAST(5 AS UNSIGNED)",
    "CAST(18446744073709551615 AS UNSIGNED)",
    "CAST(-9223372036854775808 AS SIGNED)",
    "1.50 + 0",
    "-0.5 * 1",
    "CAST(1 AS DECIMAL(30,0))",
    "CAST(1 AS DECIMAL(20,10))",
    "99999999999999999999999 + 0",
    "0.1e0 + 0.2e0",
    "1e15 * 1",
    "-0e0 * 1",
    "5e-324 * 1",
    "-5.671741443455534e-125 * 1",
    "-1.7976931348623157e308 * 1",
    "CAST(1.1 AS FLOAT)",
    "CONCAT('später', '🐬')",
    "'später'",
    "'it''s \\\\ \"so\"'",
    "CONCAT('')",
    "_latin1 x'E9' COLLATE latin1_bin",
    "CONVERT('x' USING utf16)",
    "CONVERT('詩' USING gbk)",
    "CONVERT('ö' USING latin2)",
    "CONVERT('a' USING ascii)",
    "_utf8mb4'a' COLLATE utf8mb4_unicode_ci",
    "x'00FF27'",
    "CONCAT('a', CHAR(0))",
    "DATE'2024-01-01'",
    "CAST('10:11:12.5' AS TIME(1))",
    "JSON_OBJECT('a', 1)",
    "REPEAT('x', 2000)",
    "CAST(NULL AS SIGNED)",
    "NULL + 0e0",
    "CAST(NULL AS DECIMAL(10, 2))",
    "CONVERT(NULL USING latin1)",
    "(SELECT n FROM t WHERE id = 1)",
    "(SELECT word FROM t WHERE id = 2)",
];

const TABLE: &str = "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT UNSIGNED, word VARCHAR(20) CHARACTER SET latin1);; \
     INSERT INTO t VALUES (1, 18, 'one'), (2, 20, 'two'), (3, 30, 'three')";

#[test]
fn a_computed_value_keeps_its_type_on_every_server() {
    check(async |stage| {
        stage.given(TABLE).await;
        let schema = stage.schema.clone();
        for expression in EXPRESSIONS {
            let direct = stage.admin(0).await;
            direct.query_drop(format!("USE {schema}")).await.unwrap();
            direct.query_drop(format!("SET @a = {expression}")).await.unwrap();
            let expected = told(direct, "direct", expression).await;
            let mut client = stage.client().await;
            client.query_drop(format!("SET @a = {expression}")).await.unwrap();
            for (node, hint) in [(1, "server=db2"), (2, "server=db3"), (0, "primary")] {
                let mark = stage.mark();
                let comment = format!("dauphin:{hint} */ /* {mark}");
                assert_eq!(told(&mut client, &comment, expression).await, expected, "{expression} at {hint}");
                let mut ran = [0; 3];
                ran[node] = 2;
                assert_eq!(stage.ran(&mark).await.0, ran, "{expression} at {hint}");
            }
        }
    });
}

/// Reads `expression` on replicas, again and again, and only there.
async fn check_on_replicas(stage: &mut Stage, client: &mut Conn, expression: &str, expected: Option<&str>) {
    let mark = stage.mark();
    for _ in 0..4 {
        let value: Option<String> = client
            .query_first::<Option<String>, _>(format!("SELECT {expression} /* {mark} */"))
            .await
            .unwrap()
            .flatten();
        assert_eq!(value.as_deref(), expected, "{expression}");
    }
    stage.ran(&mark).await.only_on_replicas(4);
}

#[test]
fn whatever_computes_a_value_leaves_the_session_free() {
    check(async |stage| {
        stage.given(TABLE).await;
        let mut client = stage.client().await;
        client
            .query_drop("CREATE PROCEDURE gives(IN a INT, INOUT b INT, OUT c VARCHAR(20)) BEGIN SET b = b + a; SET c = 'c'; END")
            .await
            .unwrap();
        client.query_drop("SET @id = UUID()").await.unwrap();
        let id: String = client.query_first("SELECT @id").await.unwrap().unwrap();
        check_on_replicas(stage, &mut client, "@id", Some(&id)).await;
        client.query_drop("SELECT MAX(id), 'x' INTO @most, @x FROM t").await.unwrap();
        check_on_replicas(stage, &mut client, "CONCAT(@most, @x)", Some("3x")).await;
        client.query_drop("SELECT @row := 0, @row := @row + 1").await.unwrap();
        check_on_replicas(stage, &mut client, "@row", Some("1")).await;
        client.exec_drop("SET @given = ?", ("später",)).await.unwrap();
        check_on_replicas(stage, &mut client, "@given", Some("später")).await;
        client.query_drop("SET @b = 10").await.unwrap();
        client.query_drop("CALL gives(5, @b, @c)").await.unwrap();
        check_on_replicas(stage, &mut client, "CONCAT(@b, @c)", Some("15c")).await;
        client
            .query_drop("SET @next = @row + 1, @last = (SELECT word FROM t WHERE id = @most)")
            .await
            .unwrap();
        check_on_replicas(stage, &mut client, "CONCAT(@next, @last, @id)", Some(&format!("2three{id}")))
            .await;
        client.query_drop("SELECT id FROM t WHERE id < 0 INTO @row").await.unwrap();
        check_on_replicas(stage, &mut client, "@row", Some("1")).await;
        let explained: Vec<Row> = {
            client.query_drop("SET @id = UUID()").await.unwrap();
            client.query("EXPLAIN ROUTE SELECT @id").await.unwrap()
        };
        assert_eq!(explained[0].get::<String, _>("role").unwrap(), "replica");
    });
}

#[test]
fn what_the_statement_left_can_be_asked_for_first() {
    check(async |stage| {
        stage.given(TABLE).await;
        stage.given("CREATE TABLE i (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 41").await;
        let mut client = stage.client().await;
        client.query_drop("SELECT CAST('12x' AS SIGNED), RAND() INTO @n, @r").await.unwrap();
        for _ in 0..2 {
            let codes: Vec<u16> =
                client.query_map("SHOW WARNINGS", |row: Row| row.get(1).unwrap()).await.unwrap();
            assert_eq!(codes, [1292]);
        }
        check_on_replicas(stage, &mut client, "@n", Some("12")).await;
        client.query_drop("SELECT id INTO @x FROM t WHERE id = 3").await.unwrap();
        let both: Option<(u32, i64)> = client.query_first("SELECT @x, ROW_COUNT()").await.unwrap();
        assert_eq!(both, Some((3, 1)));
        client.query_drop("SELECT SQL_CALC_FOUND_ROWS id INTO @x FROM t ORDER BY id LIMIT 1").await.unwrap();
        let found: Option<u32> = client.query_first("SELECT FOUND_ROWS()").await.unwrap();
        assert_eq!(found, Some(3));
        check_on_replicas(stage, &mut client, "@x", Some("1")).await;
        client.query_drop("INSERT INTO i VALUES (NULL)").await.unwrap();
        client.query_drop("SET @id = LAST_INSERT_ID(), @uuid = UUID()").await.unwrap();
        check_on_replicas(stage, &mut client, "@id", Some("41")).await;
        let id: Option<u64> = client.query_first("SELECT LAST_INSERT_ID() + @id").await.unwrap();
        assert_eq!(id, Some(82));
    });
}

#[test]
fn an_idle_session_leaves_its_connection_to_others() {
    let options = "pool.max_connections_per_server = 1\npool.wait_timeout = \"2s\"\npool.linger = \"100ms\"";
    check_with(options, async |stage| {
        let (mut first, mut second) = (stage.client().await, stage.client().await);
        for _ in 0..3 {
            first.query_drop("SET @id = UUID()").await.unwrap();
            second.query_drop("SELECT 1 /* dauphin:primary */").await.unwrap();
            let id: String = first.query_first("SELECT @id").await.unwrap().unwrap();
            let again: Option<String> = first.query_first("SELECT @id /* dauphin:primary */").await.unwrap();
            assert_eq!(again, Some(id));
            let others: Option<Option<String>> =
                second.query_first("SELECT @id /* dauphin:primary */").await.unwrap();
            assert_eq!(others, Some(None), "another session does not see it");
        }
    });
}

#[test]
fn a_value_that_is_too_large_stays_where_it_is_until_it_is_set_anew() {
    check_with("limits.state_bytes = \"4KiB\"", async |stage| {
        let mut client = stage.client().await;
        client.query_drop("SET @long = REPEAT('x', 5000), @short = UUID()").await.unwrap();
        for _ in 0..2 {
            let mark = stage.mark();
            let length: Option<u32> =
                client.query_first(format!("SELECT LENGTH(@long) /* {mark} */")).await.unwrap();
            assert_eq!(length, Some(5000));
            stage.ran(&mark).await.only_on_primary(1);
        }
        client.query_drop("SET @long = CONCAT('sh', 'ort')").await.unwrap();
        check_on_replicas(stage, &mut client, "CONCAT(@long, LENGTH(@short))", Some("short36")).await;
    });
}

#[test]
fn what_the_session_has_set_does_not_damage_the_value() {
    check(async |stage| {
        let values = "CONCAT(@text, ',', @real, ',', @decimal, ',', @whole)";
        for (set, unset) in [
            ("character_set_results = utf16", "character_set_results = utf8mb4"),
            ("NAMES utf8mb4, character_set_results = NULL", "character_set_results = utf8mb4"),
            ("sql_select_limit = 0", "sql_select_limit = DEFAULT"),
            ("sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "sql_mode = DEFAULT"),
        ] {
            let mut client = stage.client().await;
            client.query_drop(format!("SET {set}")).await.unwrap();
            client
                .query_drop(
                    r"SET @text = CONCAT('ä', 'b\c'), @real = 1e-5 * 1, @decimal = 1.50 + 0, @whole = -7 + 0",
                )
                .await
                .unwrap();
            // Before this it is carried.
            client.query_drop(format!("SET {unset}")).await.unwrap();
            let text = if set.contains("NO_BACKSLASH") { r"äb\c" } else { "äbc" };
            check_on_replicas(stage, &mut client, values, Some(&format!("{text},0.00001,1.50,-7"))).await;
        }
    });
}

#[test]
fn a_read_only_transaction_on_a_replica_leaves_its_values() {
    check(async |stage| {
        stage.given(TABLE).await;
        let mut client = stage.client().await;
        let mark = stage.mark();
        client.query_drop("START TRANSACTION READ ONLY").await.unwrap();
        client.query_drop(format!("SELECT @sum := SUM(n) FROM t /* {mark} */")).await.unwrap();
        client.query_drop("COMMIT").await.unwrap();
        stage.ran(&mark).await.only_on_replicas(1);
        check_on_replicas(stage, &mut client, "@sum", Some("68")).await;
    });
}

#[test]
fn what_a_statement_has_assigned_before_it_failed_holds() {
    check(async |stage| {
        stage.given(TABLE).await;
        let schema = stage.schema.clone();
        let failing = "SELECT @seen := id, EXP(IF(id < 3, 1, 10000)) FROM t ORDER BY id";
        let mut client = stage.client().await;
        let direct = stage.admin(0).await;
        direct.query_drop(format!("USE {schema}")).await.unwrap();
        let mut seen = Vec::new();
        for conn in [direct, &mut client] {
            conn.query_drop("SET @seen = 0").await.unwrap();
            conn.query_drop(failing).await.unwrap_err();
            seen.push(conn.query_first::<Option<String>, _>("SELECT @seen").await.unwrap().flatten());
        }
        assert_eq!(seen[0], seen[1]);
        assert_ne!(seen[0].as_deref(), Some("0"), "it did assign something");
        check_on_replicas(stage, &mut client, "@seen", seen[0].as_deref()).await;
    });
}
