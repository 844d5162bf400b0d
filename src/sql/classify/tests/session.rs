//! What statements change in a session.

use super::*;
use std::time::Duration;

const STORED_CODE: Change = Change::StoredCode(Code::UNKNOWN);

fn lock(name: Option<&str>) -> Change {
    Change::NamedLock(name.map(Box::from))
}

fn check(text: &str, effect: &Effect, reason: Reason, changes: &[Change]) {
    let statement = mysql(text);
    let said = (&statement.effect, statement.reason, &statement.changes[..]);
    assert_eq!(said, (effect, reason, changes), "{text}");
}

fn global(name: &str) -> Change {
    Change::GlobalVariable(name.into())
}

fn changes(text: &str, syntax: &Syntax) -> Vec<Change> {
    classify(text.as_bytes(), syntax).changes
}

#[test]
fn user_variables_have_their_literals() {
    for (text, expected) in [
        ("set @a = 1", vec![variable("a", Some("1"))]),
        ("set @A := -1.5e3", vec![variable("a", Some("-1.5e3"))]),
        ("set @`a b` = 'x''y'", vec![variable("a b", Some("'x''y'"))]),
        ("set @'A' = _utf8mb4 'x'", vec![variable("a", Some("_utf8mb4'x'"))]),
        ("set @a.b = x'00'", vec![variable("a.b", Some("x'00'"))]),
        ("set @a = \"it's\"", vec![variable("a", Some("'it''s'"))]),
        (
            "set @a = NULL, @b = true, @c = 0x1F",
            vec![variable("a", Some("NULL")), variable("b", Some("true")), variable("c", Some("0x1F"))],
        ),
        ("set @a = 'a\\'b'", vec![variable("a", None)]),
        ("set @a = 1 + 1", vec![variable("a", None)]),
        ("set @a = 'x' 'y'", vec![variable("a", None)]),
        ("set @a = 'x' collate utf8mb4_bin", vec![variable("a", None)]),
        ("set @a = uuid(), @b = (1)", vec![variable("a", None), variable("b", None)]),
        ("set @a = @b", vec![variable("a", None)]),
        ("set @a = /*! 5 */", vec![variable("a", Some("5"))]),
        ("/*!40101 set @a = 1 */", vec![variable("a", Some("1"))]),
    ] {
        check(text, &Effect::Session, Reason::Set, &expected);
    }
    assert_eq!(mysql("set @a = @b").needs, Needs::USER_VARIABLES);
    assert_eq!(mysql("set @a = 1").needs, Needs::NONE);
}

#[test]
fn a_set_of_session_state_is_told_from_one_that_is_more() {
    for (text, expected) in [
        ("set autocommit = 0", vec![Change::SystemVariables]),
        ("SET @@autocommit=0, sql_mode='ANSI'", vec![Change::SystemVariables]),
        ("set session sql_mode = concat(@@sql_mode, ',ansi')", vec![Change::SystemVariables]),
        ("set @@session.time_zone := '+00:00'", vec![Change::SystemVariables]),
        ("set local max_execution_time = default", vec![Change::SystemVariables]),
        ("set names utf8mb4 collate utf8mb4_bin", vec![Change::SystemVariables, Change::Names]),
        (
            "set names latin1, character_set_results = utf8mb4",
            vec![Change::SystemVariables, Change::SystemVariables],
        ),
        ("set character set utf8mb4", vec![Change::SystemVariables]),
        ("set charset 'utf8mb4'", vec![Change::SystemVariables]),
        (
            "set @a = 1, names utf8mb4, sql_mode = ''",
            vec![variable("a", Some("1")), Change::SystemVariables, Change::Names, Change::SystemVariables],
        ),
        ("set transaction isolation level read committed", vec![Change::TransactionOnce]),
        ("set session transaction read only", vec![Change::SystemVariables]),
        ("set @@transaction_isolation = 'serializable'", vec![Change::TransactionOnce]),
        ("set transaction_isolation = 'serializable'", vec![Change::SystemVariables]),
        ("set @@session.transaction_isolation = 'serializable'", vec![Change::SystemVariables]),
        ("set last_insert_id = 5", vec![Change::LastInsertId, Change::SystemVariables]),
        ("set insert_id = 5", vec![Change::LastInsertId, Change::SystemVariables]),
        ("set timestamp = 1", vec![Change::SystemVariables]),
    ] {
        check(text, &Effect::Session, Reason::Set, &expected);
    }
    check("set role none", &Effect::Session, Reason::SetRole, &[Change::Role]);
    check("set role 'a'@'%', b", &Effect::Session, Reason::SetRole, &[Change::Role]);
    check("use db", &Effect::Session, Reason::Use, &[Change::Schema("db".into())]);
    check("use `My``Db`;", &Effect::Session, Reason::Use, &[Change::Schema("My`Db".into())]);
    for (text, reason, expected) in [
        ("set global A = 1", Reason::SetGlobal, vec![global("a")]),
        ("set @@global.a = 1", Reason::SetGlobal, vec![global("a")]),
        ("set persist a = 1", Reason::SetGlobal, vec![global("a")]),
        ("set @@persist_only.a = 1", Reason::SetGlobal, vec![global("a")]),
        (
            "set @@global.max_join_size = 1",
            Reason::SetGlobal,
            vec![global("max_join_size"), global("sql_big_selects")],
        ),
        (
            "set global transaction read only",
            Reason::SetGlobal,
            vec![global("transaction_isolation"), global("transaction_read_only")],
        ),
        ("grant select on *.* to a", Reason::Account, vec![Change::GlobalState]),
        ("set password = 'x'", Reason::Account, vec![Change::GlobalState]),
        ("flush local privileges, status", Reason::Flush, vec![Change::GlobalState, Change::SessionRecords]),
        (
            "set @a = 1, global b = 2, session c = 3",
            Reason::SetGlobal,
            vec![variable("a", Some("1")), global("b"), Change::SystemVariables],
        ),
        ("set @a = (select max(id) from t)", Reason::SetFromQuery, vec![variable("a", None)]),
        ("set sql_mode = (select a from t)", Reason::SetFromQuery, vec![Change::SystemVariables]),
        ("set @a = f(1)", Reason::StoredFunction, vec![STORED_CODE, variable("a", None)]),
        ("set @a = get_lock('x', 1)", Reason::LockFunction, vec![lock(Some("x")), variable("a", None)]),
        (
            "set @a = last_insert_id(5)",
            Reason::SetsLastInsertId,
            vec![Change::LastInsertId, variable("a", None)],
        ),
        ("set @a = (@b := 1)", Reason::Assignment, vec![variable("b", None), variable("a", None)]),
        ("set @a", Reason::Unparsed, vec![Change::Unknown]),
        ("set a", Reason::Unparsed, vec![Change::Unknown]),
        ("set", Reason::Unparsed, vec![Change::Unknown]),
        ("use", Reason::Unparsed, vec![Change::Unknown]),
    ] {
        check(text, &Effect::Write, reason, &expected);
    }
}

#[test]
fn transactions_begin_and_end() {
    let begin = |access, consistent_snapshot| Effect::Begin { access, consistent_snapshot };
    for (text, effect) in [
        ("begin", begin(Access::Unspecified, false)),
        ("BEGIN WORK;", begin(Access::Unspecified, false)),
        ("start transaction", begin(Access::Unspecified, false)),
        ("start /*! transaction */ read only", begin(Access::ReadOnly, false)),
        ("start transaction read write", begin(Access::ReadWrite, false)),
        ("start transaction with consistent snapshot", begin(Access::Unspecified, true)),
        ("start transaction with consistent snapshot, read only", begin(Access::ReadOnly, true)),
        ("start transaction read only, with consistent snapshot", begin(Access::ReadOnly, true)),
    ] {
        check(text, &effect, Reason::Begin, &[]);
    }
    let end = |end, chain, release| Effect::End { end, chain, release };
    for (text, effect) in [
        ("commit", end(End::Commit, false, false)),
        ("commit work", end(End::Commit, false, false)),
        ("rollback", end(End::Rollback, false, false)),
        ("commit and chain", end(End::Commit, true, false)),
        ("rollback and no chain release", end(End::Rollback, false, true)),
        ("commit and chain no release", end(End::Commit, true, false)),
        ("commit release", end(End::Commit, false, true)),
    ] {
        check(text, &effect, Reason::End, &[]);
    }
    for text in ["start transaction nonsense", "begin 1", "commit 2"] {
        check(text, &Effect::Write, Reason::Unparsed, &[Change::Unknown]);
    }
}

#[test]
fn what_stays_with_a_connection_is_told() {
    let temporary = |name: &str| vec![Change::CreateTemporaryTable(name.into())];
    let dropped = |names: &[&str], temporary_only| {
        let names = names.iter().map(|name| (*name).into()).collect();
        vec![Change::DropTables { names, temporary_only }]
    };
    for (text, expected) in [
        ("create temporary table T (a int)", temporary("t")),
        ("create temporary table if not exists db.`T` like u", temporary("t")),
        ("create temporary table t as select @a", temporary("t")),
        ("create /*! temporary */ table t (a int)", temporary("t")),
        ("create or replace temporary table t (a int)", temporary("t")),
        ("create table t (a int)", vec![]),
        ("drop temporary table if exists a, b.c", dropped(&["a", "c"], true)),
        ("drop tables A, `b`", dropped(&["a", "b"], false)),
        (
            "rename table a to b, db.c to db.d",
            vec![
                Change::RenameTables(vec![("a".into(), "b".into()), ("c".into(), "d".into())]),
                Change::DefinesCode,
            ],
        ),
        ("alter table a rename b", vec![Change::RenameTables(vec![("a".into(), "b".into())])]),
        (
            "alter table a add x int, rename to db.b",
            vec![Change::RenameTables(vec![("a".into(), "b".into())])],
        ),
        ("alter table a rename column x to y, rename index i to j", vec![]),
        ("lock tables a read, b write", vec![Change::LockTables]),
        ("unlock tables", vec![Change::UnlockTables]),
        ("lock instance for backup", vec![Change::LockInstance]),
        ("unlock instance", vec![Change::UnlockInstance]),
        ("flush tables with read lock", vec![Change::GlobalReadLock]),
        ("flush local tables with read lock", vec![Change::GlobalReadLock]),
        ("flush tables a, b with read lock", vec![Change::LockTables]),
        ("flush table a for export", vec![Change::LockTables]),
        ("flush tables", vec![]),
        ("select get_lock('a', 1)", vec![lock(Some("a"))]),
        ("select get_lock('It''s Flyway:1/2-3_$', 1)", vec![lock(Some("It's Flyway:1/2-3_$"))]),
        ("select get_lock(\"a's\", 1), GET_LOCK ('b', 1)", vec![lock(Some("a's")), lock(Some("b"))]),
        ("select get_lock(/* why */ 'a' , 1)", vec![lock(Some("a"))]),
        ("insert into t values (get_lock('a', 1))", vec![lock(Some("a"))]),
        ("select get_lock(concat('a', 'b'), get_lock('c', 0))", vec![lock(None), lock(Some("c"))]),
        ("select get_lock('a\\nb', 1)", vec![lock(None)]),
        ("select get_lock('a' 'b', 1)", vec![lock(None)]),
        ("select get_lock('a' collate utf8mb4_bin, 1)", vec![lock(None)]),
        ("select get_lock(_utf16'a', 1), get_lock(n'a', 1), get_lock(x'61', 1)", vec![lock(None); 3]),
        ("select get_lock('é', 1), get_lock('a@b', 1), get_lock('{a}', 1)", vec![lock(None); 3]),
        ("select get_lock('', 1), get_lock(1, 1), get_lock(@a, 1), get_lock(?, ?)", vec![lock(None); 4]),
        ("select get_lock(name, 1) from t", vec![lock(None)]),
        ("select get_lock('a'", vec![lock(None)]),
        ("select get_lock()", vec![lock(None)]),
        ("do release_lock('a')", vec![Change::ReleaseNamedLock]),
        ("select release_all_locks()", vec![Change::ReleaseAllNamedLocks]),
        ("handler t open", vec![Change::HandlerOpen("t".into())]),
        ("handler db.t open as H", vec![Change::HandlerOpen("h".into())]),
        ("handler h close", vec![Change::HandlerClose("h".into())]),
        ("handler h read next", vec![]),
        ("xa begin 'x'", vec![Change::Xa(XaStep::Start)]),
        ("xa end 'x'", vec![Change::Xa(XaStep::End)]),
        ("xa prepare 'x'", vec![Change::Xa(XaStep::Prepare)]),
        ("xa commit 'x' one phase", vec![Change::Xa(XaStep::Finish)]),
        ("xa rollback 'x'", vec![Change::Xa(XaStep::Finish)]),
        ("insert into t (a, b) values (1, 2)", vec![]),
        ("insert into t values (last_insert_id(5))", vec![Change::LastInsertId]),
        ("update t set a = last_insert_id(a + 1)", vec![Change::LastInsertId]),
        ("update t set a = f(1)", vec![STORED_CODE]),
        ("update t set a = (@v := a + 1)", vec![variable("v", None)]),
        ("select 1, 2 into @a, @B", vec![variable("a", None), variable("b", None)]),
        ("explain format=json into @a select 1", vec![variable("a", None)]),
        ("load data infile 'x' into table t (a, @b)", vec![variable("b", None)]),
        ("call p(1, @a)", vec![STORED_CODE, variable("a", None)]),
        ("call p(get_lock('a', 1))", vec![STORED_CODE, Change::NamedLock(Some("a".into()))]),
        ("execute s", vec![Change::Unknown]),
    ] {
        assert_eq!(changes(text, &MYSQL), expected, "{text}");
    }
}

#[test]
fn prepared_texts_have_names() {
    let prepare = [Change::TextPrepare("s".into())];
    check("prepare S from 'select 1'", &Effect::Session, Reason::Prepare, &prepare);
    let and_lock = [Change::TextPrepare("s".into()), lock(None)];
    let leaving = |code| [&and_lock[..], &[Change::StoredCode(Code { may_lock: false, ..code })]].concat();
    check("prepare `s` from @a", &Effect::Write, Reason::PrepareHidden, &leaving(Code::UNKNOWN));
    check("prepare s from 'select Get_Lock(?, 1)'", &Effect::Session, Reason::Prepare, &and_lock);
    let unclear = Code { may_set: false, ..Code::UNKNOWN };
    check("prepare s from 'select GET\\_LOCK(?, 1)'", &Effect::Session, Reason::Prepare, &leaving(unclear));
    let runs = |code| [prepare[0].clone(), Change::StoredCode(code)];
    let assigns = Code { may_assign: true, ..Code::NOTHING };
    for text in ["prepare s from 'select 1 Into @a'", "prepare s from 'do (@a:=1)'"] {
        check(text, &Effect::Session, Reason::Prepare, &runs(assigns));
    }
    check("prepare s from 'select @a'", &Effect::Session, Reason::Prepare, &prepare);
    let creates = Code { may_create: true, ..Code::NOTHING };
    let text = "prepare s from 'create Temporary table t select 1'";
    check(text, &Effect::Session, Reason::Prepare, &runs(creates));
    let calls = Code { may_assign: true, ..creates };
    check("prepare s from 'call p()'", &Effect::Session, Reason::Prepare, &runs(calls));
    let deallocate = [Change::TextDeallocate("s".into())];
    check("deallocate prepare s", &Effect::Session, Reason::Deallocate, &deallocate);
    check("drop prepare s", &Effect::Session, Reason::Deallocate, &deallocate);
    assert_eq!(mysql("execute s using @a").needs, Needs::TEXT_PREPARED | Needs::USER_VARIABLES);
    assert_eq!(mysql("execute s").needs, Needs::TEXT_PREPARED);
}

#[test]
fn diagnostics_are_read_into_variables() {
    let statement = mysql("get diagnostics condition 1 @a = message_text, @b = mysql_errno");
    assert_eq!(statement.effect, Effect::Session);
    assert_eq!(statement.needs, Needs::DIAGNOSTICS);
    assert_eq!(statement.changes, [variable("a", None), variable("b", None)]);
}

#[test]
fn kill_names_its_thread() {
    let kill = |query_only, id| Some(Kill { query_only, id });
    for (text, expected) in [
        ("kill 5", kill(false, Some(5))),
        ("kill connection 5;", kill(false, Some(5))),
        ("KILL QUERY 77", kill(true, Some(77))),
        ("kill @a", kill(false, None)),
        ("kill query @a + @b", kill(true, None)),
        ("kill connection (select 5)", kill(false, None)),
        ("kill connection_id()", kill(false, None)),
        ("kill 5 + 5", kill(false, None)),
        ("kill 99999999999999999999999", kill(false, None)),
    ] {
        assert_eq!(mysql(text).kill, expected, "{text}");
    }
    for (text, expected) in [
        ("kill hard query 77", kill(true, Some(77))),
        ("kill soft 77", kill(false, Some(77))),
        ("kill soft connection @a", kill(false, None)),
        ("kill query id 77", None),
        ("kill hard query id @a", None),
        ("kill user a", None),
        ("kill query user a", None),
    ] {
        assert_eq!(mariadb(text).kill, expected, "{text}");
    }
    assert_eq!(mysql("kill query @a").needs, Needs::USER_VARIABLES);
}

#[test]
fn own_statements_are_not_for_servers() {
    let own = |statement| Effect::Own(statement);
    let router = |setting| Effect::Own(OwnStatement::RouterSet(setting));
    for (text, effect) in [
        ("explain route select 1", own(OwnStatement::ExplainRoute { offset: 13 })),
        ("EXPLAIN  ROUTE /* x */ (select 1); delete from t", own(OwnStatement::ExplainRoute { offset: 14 })),
        ("show last route", own(OwnStatement::LastRoute)),
        ("router set access_mode = 'read_only'", router(Setting::AccessMode(Some(Access::ReadOnly)))),
        ("router set access_mode='read_write'", router(Setting::AccessMode(Some(Access::ReadWrite)))),
        ("router set access_mode = 'auto'", router(Setting::AccessMode(None))),
        ("ROUTER SET wait_for_my_writes=0", router(Setting::WaitForMyWrites(false))),
        ("router set wait_for_my_writes_timeout = 3", {
            router(Setting::WaitForMyWritesTimeout(Duration::from_secs(3)))
        }),
        ("router set trace=1", router(Setting::Trace(true))),
        ("router set max_replica_lag = 500", {
            router(Setting::MaxReplicaLag(LagLimit::AtMost(Duration::from_millis(500))))
        }),
        ("router set max_replica_lag = '2s'", {
            router(Setting::MaxReplicaLag(LagLimit::AtMost(Duration::from_secs(2))))
        }),
        ("router set max_replica_lag = off", router(Setting::MaxReplicaLag(LagLimit::Off))),
        ("router set max_replica_lag = default", router(Setting::MaxReplicaLag(LagLimit::Cluster))),
        ("router set max_replica_lag = 'soon'", router(Setting::Wrong("soon".into()))),
        ("router set consistency = 'global'", router(Setting::Consistency(Some(Consistency::Global)))),
        ("router set consistency = default", router(Setting::Consistency(None))),
        ("router set consistency = 'strict'", router(Setting::Wrong("strict".into()))),
        ("router set access_mode = 'x'", router(Setting::Wrong("x".into()))),
        ("router set nonsense = 1", router(Setting::Wrong("nonsense".into()))),
    ] {
        check(text, &effect, Reason::Own, &[]);
    }
    assert!(mysql("explain route").is_read());
    assert!(!mysql("router").is_read());
}

#[test]
fn whoever_asks_what_a_connection_has_counted_is_known() {
    for syntax in &BOTH {
        for (text, expected) in [
            ("show status", true),
            ("SHOW SESSION STATUS LIKE 'Handler%'", true),
            ("show local status where variable_name = 'Last_query_cost'", true),
            ("flush status", true),
            ("flush local status", true),
            ("select * from performance_schema.session_status", true),
            ("show global status like 'Handler%'", false),
            ("show status like 'Ssl_cipher'", false),
            ("show session status like \"wsrep%\"", false),
            ("show table status", false),
            ("show replica status", false),
            ("flush tables", false),
            ("select * from performance_schema.global_status", false),
        ] {
            assert_eq!(changes(text, syntax).contains(&Change::SessionRecords), expected, "{text}");
        }
    }
}

#[test]
fn the_plain_question_for_the_connection_s_id_is_told_from_others() {
    for syntax in &BOTH {
        let asks = |text: &str| classify(text.as_bytes(), syntax).needs.contains(Needs::ONE_VALUE);
        for text in [
            "select connection_id()",
            " SELECT CONNECTION_ID ( ) ;",
            "/* a */ select -- b\n connection_id(/* c */) # d",
            "/* dauphin:primary */ select connection_id()",
            "select connection_id() id",
            "select connection_id() as `my id` from dual limit 1",
            "select connection_id() 'id' limit 1;",
            "select connection_id() as status",
            "select row_count()",
            "SELECT Row_Count() AS n FROM DUAL",
        ] {
            assert!(asks(text), "{text}");
        }
        for text in [
            "select connection_id",
            "select row_count() + 1",
            "select row_count(), 1",
            "select row_count(); select row_count()",
            "select connection_id() + 1",
            "select -connection_id()",
            "select (connection_id())",
            "select connection_id(), 1",
            "select connection_id() limit 0",
            "select connection_id() limit 1, 1",
            "select connection_id() limit 10",
            "select connection_id() from t",
            "select connection_id() from dual where 1",
            "select connection_id() union select 2",
            "select connection_id() as",
            "select connection_id() id id",
            "select connection_id() into @a",
            "select connection_id() for update",
            "select distinct connection_id()",
            "select `connection_id`()",
            "select a.connection_id()",
            "select 'connection_id' ()",
            "explain select connection_id()",
            "do connection_id()",
            "select 1; select connection_id()",
            "select connection_id(); select 1",
            "select connection_id(); select connection_id()",
        ] {
            assert!(!asks(text), "{text}");
        }
    }
}
