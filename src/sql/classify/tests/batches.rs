//! Several statements in one text.

use super::*;

#[test]
fn a_batch_is_as_dangerous_as_its_worst_part() {
    for (text, effect, reason, statements) in [
        ("select 1; select 2", Effect::Read, Reason::PlainRead, 2),
        ("select 1;", Effect::Read, Reason::PlainRead, 1),
        ("; ; select 1 ; ;", Effect::Read, Reason::PlainRead, 1),
        ("set @a = 1; use db", Effect::Session, Reason::Set, 2),
        ("set @a = 1; select @a", Effect::Write, Reason::Batch, 2),
        ("select 1; begin", Effect::Write, Reason::Batch, 2),
        ("begin; insert into t values (1); commit", Effect::Write, Reason::Batch, 3),
        ("select 1; delete from t", Effect::Write, Reason::Batch, 2),
        ("delete from t; select 1; select 2", Effect::Write, Reason::Batch, 3),
    ] {
        let statement = mysql(text);
        let said = (statement.effect, statement.reason, statement.statements);
        assert_eq!(said, (effect, reason, statements), "{text}");
    }
}

#[test]
fn the_changes_of_all_parts_count() {
    let statement = mysql("use a; set @b = 1; create temporary table c (d int); select @e");
    assert_eq!(
        statement.changes,
        [Change::Schema("a".into()), variable("b", Some("1")), Change::CreateTemporaryTable("c".into()),]
    );
    assert_eq!(statement.needs, Needs::USER_VARIABLES);
}

#[test]
fn a_batch_asks_only_its_first_statement_of_the_one_before() {
    assert_eq!(mysql("select found_rows(); select row_count()").needs, Needs::FOUND_ROWS);
    assert_eq!(mysql("insert into t values (1); select row_count(), last_insert_id()").needs, {
        Needs::LAST_INSERT_ID
    });
}

#[test]
fn a_body_is_one_statement() {
    for text in [
        "create procedure p() begin select 1; select 2; end",
        "create procedure p() begin if a then select 1; end if; case a when 1 then select 1; end case; end;",
        "create function f() returns int begin declare x int; set x = case 1 when 1 then 2 end; return x; end",
        "create procedure p() a: begin loop leave a; end loop; begin select 1; end; end a",
        "create event e on schedule every 1 day do begin delete from t; delete from u; end",
        "create definer=current_user() trigger t before insert on u for each row begin set new.a = 1; end",
    ] {
        let statement = mysql(text);
        assert_eq!((statement.statements, statement.reason), (1, Reason::Definition), "{text}");
        assert_eq!(statement.changes, [Change::DefinesCode], "{text}");
    }
}

#[test]
fn what_follows_a_body_counts() {
    let statement = mysql("create procedure p() begin select 1; end; create temporary table t (a int)");
    assert_eq!(statement.statements, 2);
    assert_eq!(statement.changes, [Change::DefinesCode, Change::CreateTemporaryTable("t".into())]);
    let uncertain = mysql("create procedure p() begin select 1; set @a = 2");
    assert_eq!(uncertain.changes, [Change::DefinesCode, Change::Unknown]);
    let alone = Syntax { multi_statements: false, ..MYSQL };
    let text = "create procedure p() if 1 then select 1; end if";
    assert_eq!(classify(text.as_bytes(), &alone).changes, [Change::DefinesCode]);
    let cut_short = mysql("create procedure p() if 1 then select 1; end if; set @a = 2");
    assert!(cut_short.changes.contains(&Change::Unknown));
}

#[test]
fn after_a_change_of_how_texts_are_read_only_plain_ones_are_trusted() {
    for (text, is_session) in [
        ("set names utf8mb4; set @a = 'x'", true),
        ("set sql_mode = 'ansi_quotes'; set @a = \"x\"", false),
        ("set sql_mode = ''; set @a = '\\\\'", false),
        ("set names latin1; set @a = 'é'", false),
        ("set time_zone = '+00:00'; set @a = \"x\"", true),
    ] {
        let statement = mysql(text);
        assert_eq!(statement.effect == Effect::Session, is_session, "{text}");
        assert_eq!(!statement.changes.contains(&Change::Unknown), is_session, "{text}");
    }
}
