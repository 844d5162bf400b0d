//! Sources, and what comes of them for statements.

use super::*;
use crate::sql::{Change, Effect, Flavour, Reason, Syntax, classify};

fn function(name: &str, body: &str) -> Routine {
    Routine {
        schema: "d".into(),
        name: name.into(),
        is_function: true,
        body: Some(body.into()),
        parameters: vec!["p".into()],
        declared_harmless: true,
        sql_mode: String::new(),
    }
}

fn procedure(name: &str, body: &str) -> Routine {
    Routine { is_function: false, ..function(name, body) }
}

fn view(name: &str, definition: &str) -> View {
    View { schema: "d".into(), name: name.into(), definition: definition.into() }
}

fn trigger(table: &str, body: &str) -> Trigger {
    Trigger { schema: "d".into(), table: table.into(), body: body.into(), sql_mode: String::new() }
}

fn source(routines: Vec<Routine>) -> Source {
    Source { flavour: Flavour::MySql, version: 90_704, routines, views: Vec::new(), triggers: Vec::new() }
}

fn catalogue(source: &Source) -> Catalogue {
    Catalogue::new([source], true, true)
}

const SYNTAX: Syntax = Syntax {
    ansi_quotes: false,
    no_backslash_escapes: false,
    ignore_space: false,
    charset: crate::sql::Charset::Utf8,
    flavour: Flavour::MySql,
    version: 90_704,
    multi_statements: false,
};

fn resolved(catalogue: &Catalogue, text: &str) -> crate::sql::Statement {
    let statement = classify(text.as_bytes(), &SYNTAX);
    catalogue.resolve(&statement, Some("D"), true).unwrap_or(statement)
}

/// Whether each of these, with its parameter `p`, only reads.
fn only_reads(bodies: &[&str]) -> Vec<bool> {
    let check = |body: &&str| {
        let catalogue = catalogue(&source(vec![function("f", body)]));
        resolved(&catalogue, "SELECT f(1)").is_read()
    };
    bodies.iter().map(check).collect()
}

fn may_lock(catalogue: &Catalogue, text: &str) -> bool {
    let is_lock = |change: &Change| matches!(change, Change::StoredCode(code) if code.may_lock);
    resolved(catalogue, text).changes.iter().any(is_lock)
}

#[test]
fn a_body_of_reads_may_run_on_a_replica() {
    let bodies = [
        "RETURN p + 1",
        "RETURN (SELECT COUNT(*) FROM t WHERE a = p)",
        "BEGIN DECLARE x, y INT DEFAULT 0; SELECT COUNT(*), MAX(a) INTO x, y FROM t; RETURN x + y; END",
        "BEGIN DECLARE x INT; SET x = (SELECT 1), p = x; SET x := 2; RETURN x; END",
        "BEGIN DECLARE d BOOL DEFAULT FALSE; DECLARE v INT; DECLARE c CURSOR FOR SELECT a FROM t;
         DECLARE CONTINUE HANDLER FOR NOT FOUND, SQLSTATE VALUE '02000' SET d = TRUE;
         OPEN c; l: LOOP FETCH c INTO v; IF d THEN LEAVE l; END IF; END LOOP l; CLOSE c; RETURN v; END",
        "BEGIN IF p > 1 THEN RETURN CASE WHEN p = 2 THEN 'a' ELSE 'b' END; ELSEIF p THEN RETURN 2; ELSE RETURN 3; END IF; END",
        "BEGIN CASE p WHEN 1 THEN RETURN 1; ELSE BEGIN END; END CASE; RETURN REPLACE('a', 'b', INSERT('a', 1, 1, 'c')); END",
        "BEGIN WHILE p < 3 DO SET p = p + 1; END WHILE; REPEAT SET p = p - 1; UNTIL p < 0 END REPEAT; RETURN p; END",
        "BEGIN IF p IS NULL THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'none'; END IF; RETURN p; END",
        "lbl: BEGIN RETURN EXISTS (SELECT 1 FROM t AS u WHERE u.role = 'x'); END lbl",
    ];
    for (body, reads) in bodies.iter().zip(only_reads(&bodies)) {
        assert!(reads, "{body}");
    }
}

#[test]
fn all_else_stays_on_the_primary() {
    let bodies = [
        "BEGIN INSERT INTO t VALUES (1); RETURN 1; END",
        "BEGIN IF p THEN DELETE FROM t; END IF; RETURN 1; END",
        "BEGIN SET @x = 1; RETURN 1; END",
        "RETURN @x",
        "RETURN @@server_id",
        "BEGIN SELECT 1 INTO @x; RETURN 1; END",
        "BEGIN SELECT 1 INTO OUTFILE '/tmp/x'; RETURN 1; END",
        "BEGIN SET sql_mode = ''; RETURN 1; END",
        "BEGIN DECLARE x INT; SET x = 1, SESSION sql_mode = ''; RETURN 1; END",
        "BEGIN DECLARE x INT; SELECT a INTO x FROM t FOR UPDATE; RETURN x; END",
        "RETURN GET_LOCK('a', 0)",
        "RETURN LAST_INSERT_ID()",
        "RETURN other(1)",
        "RETURN (SELECT COUNT(*) FROM performance_schema.threads)",
        "BEGIN CREATE TEMPORARY TABLE x (a INT); RETURN 1; END",
        "BEGIN CALL q(); RETURN 1; END",
        "BEGIN TRUNCATE TABLE t; RETURN 1; END",
        "BEGIN FLUSH TABLES; RETURN 1; END",
        "BEGIN RETURN 1; /*! INSERT INTO t VALUES (1); */ END",
    ];
    for (body, reads) in bodies.iter().zip(only_reads(&bodies)) {
        assert!(!reads, "{body}");
    }
}

#[test]
fn a_declaration_is_needed_too_and_a_body_in_sql() {
    for of_nobody in [
        Routine { declared_harmless: false, ..function("f", "RETURN 1") },
        Routine { body: None, ..function("f", "") },
        Routine { sql_mode: "PIPES_AS_CONCAT,ORACLE".into(), ..function("f", "RETURN 1") },
        Routine { schema: "sys".into(), ..function("f", "RETURN 1") },
    ] {
        let catalogue = catalogue(&source(vec![of_nobody]));
        assert!(!resolved(&catalogue, "SELECT d.f(1), sys.f(1)").is_read());
        assert!(!resolved(&catalogue, "SELECT f(1)").is_read());
    }
}

#[test]
fn the_sql_mode_of_a_routine_is_how_it_is_read() {
    let body = r"RETURN '\' /*' + GET_LOCK('a', 0) /* */";
    let locks = |sql_mode: &str| {
        let routine = Routine { sql_mode: sql_mode.into(), ..procedure("q", body) };
        may_lock(&catalogue(&source(vec![routine])), "CALL q()")
    };
    assert!(locks(""));
    assert!(!locks("ANSI_QUOTES,NO_BACKSLASH_ESCAPES"), "it is in a comment");
}

#[test]
fn what_is_called_counts() {
    let catalogue = catalogue(&Source {
        triggers: vec![trigger("noted", "BEGIN SET NEW.a = d.deep(1); END")],
        views: vec![
            view("below", "select `d`.`noted`.`a` AS `a` from `d`.`noted`"),
            view("above", "select a from below"),
        ],
        ..source(vec![
            function("deep", "RETURN GET_LOCK(CONCAT('a', 'b'), 0)"),
            function("middle", "RETURN `deep`(p)"),
            procedure("outer", "BEGIN IF p THEN CALL `D`.inner; END IF; END"),
            procedure("inner", "DO middle(1)"),
            procedure("around", "CALL around(middle(2))"),
            procedure("writes", "INSERT INTO noted VALUES (1)"),
            procedure("through_view", "UPDATE above SET a = 1"),
            procedure("elsewhere", "INSERT INTO t SELECT 1"),
            procedure("dynamic", "BEGIN PREPARE s FROM p; EXECUTE s; END"),
            procedure(
                "plain",
                "BEGIN SELECT 'get_lock(1)' /* get_lock(1) */, get_lock FROM t; SET p = 1; END",
            ),
            function("reads", "RETURN (SELECT MAX(a) FROM secret)"),
            function("reads_more", "RETURN reads(1) + (SELECT 1 FROM more)"),
        ])
    });
    for text in [
        "SELECT middle(1)",
        "CALL outer(1)",
        "CALL around(1)",
        "CALL dynamic('x')",
        "CALL writes()",
        "CALL through_view()",
        "UPDATE above SET a = 1",
        "CALL nowhere()",
        "INSERT INTO noted VALUES (1)",
        "SELECT other.f()",
    ] {
        assert!(may_lock(&catalogue, text), "{text}");
    }
    for text in [
        "CALL plain(1)",
        "CALL elsewhere()",
        "SELECT reads_more(1)",
        "INSERT INTO t VALUES (1)",
        "SELECT * FROM noted",
    ] {
        assert!(!may_lock(&catalogue, text), "{text}");
    }
    let reads = resolved(&catalogue, "SELECT reads_more(1) FROM t");
    assert_eq!((reads.effect, reads.reason), (Effect::Read, Reason::HarmlessFunction));
    assert_eq!(reads.changes, []);
    let mut tables = reads.tables;
    tables.sort();
    assert_eq!(tables, ["more", "secret", "t"].map(Box::from));
}

#[test]
fn what_servers_do_not_report_is_told_from_the_body() {
    for (body, may_assign, may_create) in [
        ("SELECT a INTO @x FROM t", true, false),
        ("SELECT a, b INTO p, @x FROM t", true, false),
        ("UPDATE t SET a = (@x := 1)", true, false),
        ("CALL other(1, @x)", true, false),
        ("GET DIAGNOSTICS @x = NUMBER", true, false),
        ("GET CURRENT DIAGNOSTICS CONDITION 1 @x = RETURNED_SQLSTATE", true, false),
        ("SET @x = 1", false, false),
        ("IF @x IS NULL THEN INSERT INTO d.t VALUES (@x, 1); END IF", false, false),
        ("INSERT INTO t SELECT a, @x INTO p FROM u", false, false),
        ("CALL other(1); INSERT INTO t (a, b) VALUES (1, @x)", false, false),
        ("CREATE TEMPORARY TABLE x SELECT 1", false, true),
        ("CREATE OR REPLACE TEMPORARY TABLE x SELECT 1", false, true),
        ("DROP TEMPORARY TABLE IF EXISTS x", false, false),
        ("BEGIN PREPARE s FROM p; EXECUTE s; END", true, true),
    ] {
        let body = format!("BEGIN {body}; END");
        let catalogue = catalogue(&source(vec![procedure("inner", &body), procedure("q", "CALL inner(p)")]));
        let code = resolved(&catalogue, "CALL q(1)").changes.into_iter().find_map(|change| match change {
            Change::StoredCode(code) => Some(code),
            _ => None,
        });
        let told = code.map(|code| (code.may_assign, code.may_create));
        assert_eq!(told, Some((may_assign, may_create)), "{body}");
    }
}

#[test]
fn views_are_seen_through() {
    let catalogue = catalogue(&Source {
        views: vec![
            view("plain", "select `d`.`t`.`a` AS `a`,`reads`(1) AS `b` from `d`.`t`"),
            view("writer", "select `writes`() AS `n`"),
            view("over", "select `d`.`writer`.`n` AS `n` from `d`.`writer`"),
            view("locker", "select get_lock('a',0) AS `n`"),
        ],
        ..source(vec![
            function("reads", "RETURN 1"),
            function("through", "RETURN (SELECT MAX(n) FROM over)"),
            Routine {
                schema: "elsewhere".into(),
                ..function("writes", "BEGIN DELETE FROM t; RETURN 1; END")
            },
        ])
    });
    let reason = |text: &str| {
        let statement = resolved(&catalogue, text);
        (statement.effect, statement.reason)
    };
    assert_eq!(reason("SELECT * FROM plain"), (Effect::Read, Reason::PlainRead));
    assert_eq!(reason("SELECT * FROM d.Writer"), (Effect::Write, Reason::ViewOverFunction));
    assert_eq!(reason("SELECT 1 FROM t, (SELECT n FROM over) x"), (Effect::Write, Reason::ViewOverFunction));
    assert_eq!(reason("SELECT through(1)"), (Effect::Write, Reason::StoredFunction));
    assert!(may_lock(&catalogue, "SELECT * FROM locker"));
    assert!(!may_lock(&catalogue, "SELECT * FROM writer"));
}

#[test]
fn what_is_not_known_is_assumed_to_do_anything() {
    let known = source(vec![function("f", "RETURN 1"), procedure("q", "DO 1")]);
    let statement = classify(b"CALL q()", &SYNTAX);
    for (catalogue, fresh) in [
        (Catalogue::default(), true),
        (Catalogue::new([&known], false, true), true),
        (catalogue(&known), false),
    ] {
        let resolved = catalogue.resolve(&statement, Some("d"), fresh).unwrap();
        assert_eq!(resolved.changes, [Change::StoredCode(Code::UNKNOWN)]);
    }
    let everywhere = catalogue(&known);
    assert!(resolved(&everywhere, "SELECT f(1)").is_read());
    assert!(
        !resolved(&Catalogue::new([&known], true, false), "SELECT f(1)").is_read(),
        "a server is not read"
    );
    assert!(!resolved(&everywhere, "SELECT built_in_later(1)").is_read());
    assert!(!may_lock(&everywhere, "SELECT built_in_later(1)"));
    let statement = classify(b"SELECT f(1)", &SYNTAX);
    assert!(!everywhere.resolve(&statement, None, true).unwrap().is_read(), "no schema is chosen");
}

#[test]
fn servers_that_differ_are_taken_together() {
    let reads = source(vec![function("f", "RETURN 1"), function("new", "RETURN 1")]);
    let writes = source(vec![function("f", "BEGIN DELETE FROM t; RETURN GET_LOCK('a', 0); END")]);
    for both in [[&reads, &writes], [&writes, &reads]] {
        let catalogue = Catalogue::new(both, true, true);
        assert!(!resolved(&catalogue, "SELECT f(1)").is_read());
        assert!(may_lock(&catalogue, "SELECT f(1)"));
        assert!(!resolved(&catalogue, "SELECT new(1)").is_read(), "one server does not have it");
    }
    assert!(resolved(&Catalogue::new([&reads, &reads], true, true), "SELECT f(1), new(1)").is_read());
}

#[tokio::test(start_paused = true)]
async fn a_change_is_waited_for_until_the_servers_were_asked_again() {
    let known = std::sync::Arc::new(KnownCode::default());
    assert!(known.is_fresh().await, "nobody reads: nothing is worth waiting for");
    known.is_as_of(known.begins_to_read());
    assert!(known.is_fresh().await);
    let began_before = known.begins_to_read();
    let changing = known.changing();
    assert!(!known.is_fresh().await, "it is being changed");
    drop(changing);
    known.is_as_of(began_before);
    assert!(!known.is_fresh().await, "what was asked before says nothing");
    let (fresh, ()) = tokio::join!(known.is_fresh(), async {
        known.wanted().await;
        known.is_as_of(known.begins_to_read());
    });
    assert!(fresh);
}

#[test]
fn a_write_may_run_anything_by_a_trigger_while_nobody_knows_what_has_changed() {
    let catalogue = catalogue(&source(Vec::new()));
    let statement = classify(b"INSERT INTO t VALUES (1)", &SYNTAX);
    assert!(catalogue.resolve(&statement, Some("d"), true).is_none());
    let resolved = catalogue.resolve(&statement, Some("d"), false).unwrap();
    assert!(resolved.changes.contains(&Change::StoredCode(Code::UNKNOWN)));
}
