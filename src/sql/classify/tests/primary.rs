//! What is for the primary, and why.

use super::*;

#[test]
fn locking_reads() {
    let texts = [
        "select * from t for update",
        "select * from t FOR\nUPDATE",
        "select * from t for/**/update",
        "select * from t for -- x\n update",
        "select * from t for # x\n update",
        "select * from t for share",
        "select * from t for update of t skip locked",
        "select * from t for share nowait",
        "select * from t lock in share mode",
        "(select * from t for update)",
        "(select * from t) for update",
        "select * from (select * from t for share) d",
        "select * from (select * from t lock in share mode) d",
        "with c as (select * from t for update) select * from c",
        "select exists (select 1 from t for update)",
        "select 1 union (select 2 for share)",
        "select substring((select a from t for update) from 1 for 3)",
        "select substring(a from 1 for 3) from t for share",
        "select /*! 1 for update */",
        "select 1 from t /*!50000 for update */",
        "select 1 from t /*! for */ update",
        "select 1.for update",
        "select 1.5for update",
        "select 1e5for update",
        "select 'a'for update",
        "select `a`for update from t",
        "select * from t where a = (select 1)for share",
        "select * from t use index for join (i) for update",
        "explain select * from t for update",
        "select * from a where b in (select c from d where e = 1 lock in share mode)",
    ];
    for text in texts {
        check_writes(&BOTH, &[(text, Reason::LockingRead)]);
    }
}

#[test]
fn functions_that_are_not_harmless() {
    check_writes(
        &BOTH,
        &[
            ("select get_lock('a', 1)", Reason::LockFunction),
            ("do release_lock('a')", Reason::LockFunction),
            ("select GET_LOCK/**/('a', 1)", Reason::LockFunction),
            ("select release_all_locks()", Reason::LockFunction),
            ("select is_free_lock('a') from t", Reason::LockFunction),
            ("select 1 where is_used_lock('a') is null", Reason::LockFunction),
            ("select load_file('/etc/passwd')", Reason::File),
            ("select master_pos_wait('a', 1)", Reason::ServerFunction),
            ("select last_insert_id(5)", Reason::SetsLastInsertId),
            ("select last_insert_id(a + 1) from t", Reason::SetsLastInsertId),
            ("select my_function(1)", Reason::StoredFunction),
            ("select my_function (1)", Reason::StoredFunction),
            ("select my_function/**/(1)", Reason::StoredFunction),
            ("select `my function`(1)", Reason::StoredFunction),
            ("select `now`()", Reason::StoredFunction),
            ("select db.now()", Reason::StoredFunction),
            ("select db . f ()", Reason::StoredFunction),
            ("select `db`.`f`(1)", Reason::StoredFunction),
            ("select 1 order by f(1)", Reason::StoredFunction),
            ("select a from t group by a having f(a)", Reason::StoredFunction),
            ("select a from t join u on f(a)", Reason::StoredFunction),
            ("select concat('a', f('b'))", Reason::StoredFunction),
            ("with c (f) as (select f(1)) select f from c", Reason::StoredFunction),
            ("with c as (select 1) (select 2) order by (1), f(2)", Reason::StoredFunction),
            ("with c as (select 1) select a, f(2) from c", Reason::StoredFunction),
            ("select * from a, b where a.x = f(1)", Reason::StoredFunction),
            ("select * from f(1)", Reason::StoredFunction),
            ("select * from a group by (a), f(b)", Reason::StoredFunction),
            ("select * from a limit 1, f(2)", Reason::StoredFunction),
            ("select count (*) from t", Reason::StoredFunction),
            ("select sum /* x */ (a) from t", Reason::StoredFunction),
            ("select {fn f(1)}", Reason::StoredFunction),
            ("explain analyze select f(1)", Reason::StoredFunction),
            ("explain select f(1)", Reason::StoredFunction),
            ("show tables where f(1)", Reason::StoredFunction),
            ("show variables where f(variable_name)", Reason::StoredFunction),
            ("do f(1)", Reason::StoredFunction),
            ("select 1 /*! , f(1) */", Reason::StoredFunction),
            ("select service_get_read_locks('a', 'b', 1)", Reason::StoredFunction),
            ("select asynchronous_connection_failover_reset()", Reason::StoredFunction),
            ("select group_replication_set_as_primary('x')", Reason::StoredFunction),
        ],
    );
    check_writes(
        &[MYSQL],
        &[
            ("select wait_for_executed_gtid_set('')", Reason::ServerFunction),
            ("select source_pos_wait('a', 1)", Reason::ServerFunction),
            ("select nvl(1, 2)", Reason::StoredFunction),
        ],
    );
    check_writes(
        &[MARIADB],
        &[
            ("select nextval(s)", Reason::Sequence),
            ("select next value for s", Reason::Sequence),
            ("select previous value for s", Reason::Sequence),
            ("select lastval(s)", Reason::Sequence),
            ("select setval(s, 5)", Reason::Sequence),
            ("select s.nextval", Reason::Sequence),
            ("select master_gtid_wait('0-1-1')", Reason::ServerFunction),
            ("select any_value(a) from t", Reason::StoredFunction),
            ("select json_table(1)", Reason::StoredFunction),
            ("select rollup(1)", Reason::StoredFunction),
            ("select account(1), share(2)", Reason::StoredFunction),
        ],
    );
}

#[test]
fn with_ignore_space_a_built_in_may_stand_apart_from_its_parenthesis() {
    let syntax = Syntax { ignore_space: true, ..MYSQL };
    check_reads(&[syntax], &["select count (*), sum \n (a), now () from t"]);
    check_writes(
        &[syntax],
        &[
            ("select f (1)", Reason::StoredFunction),
            ("select sum /* x */ (a) from t", Reason::StoredFunction),
            ("select sum -- x\n(a) from t", Reason::StoredFunction),
            ("select sum /*! */ (a) from t", Reason::StoredFunction),
        ],
    );
}

#[test]
fn files_and_assignments() {
    check_writes(
        &BOTH,
        &[
            ("select * from t into outfile '/tmp/x'", Reason::File),
            ("select * into outfile '/tmp/x' from t", Reason::File),
            ("select * into dumpfile '/tmp/x' from t", Reason::File),
            ("select * from (select 1) d into outfile 'x'", Reason::File),
            ("select 1 union select 2 into outfile 'x'", Reason::File),
            ("(select 1) into outfile 'x'", Reason::File),
            ("select 1 into @a", Reason::IntoVariable),
            ("select 1, 2 into @a, @b from t", Reason::IntoVariable),
            ("select a into x from t", Reason::IntoVariable),
            ("select @a := 1", Reason::Assignment),
            ("select @a:=@a+1 from t", Reason::Assignment),
            ("do @a := 1", Reason::Assignment),
            ("select * from t procedure analyse()", Reason::Unparsed),
        ],
    );
    check_writes(
        &[MYSQL],
        &[
            ("table t into outfile 'x'", Reason::File),
            ("explain format=json into @a select 1", Reason::IntoVariable),
        ],
    );
}

#[test]
fn what_differs_from_server_to_server() {
    check_writes(
        &BOTH,
        &[
            ("select @@gtid_executed", Reason::ServerVariable),
            ("select @@global.gtid_executed", Reason::ServerVariable),
            ("select @@read_only, @@super_read_only", Reason::ServerVariable),
            ("select @@global.max_connections", Reason::ServerVariable),
            ("select @@GLOBAL . `max_connections`", Reason::ServerVariable),
            ("select @@innodb_read_only", Reason::ServerVariable),
            ("select @@pseudo_thread_id", Reason::ServerVariable),
            ("select @@log_bin", Reason::ServerVariable),
            ("select @@datadir", Reason::ServerVariable),
            ("show variables like 'secure_file_priv'", Reason::ServerShow),
            ("select * from performance_schema.threads", Reason::ServerTable),
            ("select * from `Performance_Schema`.threads", Reason::ServerTable),
            ("select * from t, sys.session", Reason::ServerTable),
            ("select * from information_schema.processlist", Reason::ServerTable),
            ("select * from information_schema.events", Reason::ServerTable),
            ("select * from information_schema.column_statistics", Reason::ServerTable),
            ("select * from mysql.event", Reason::ServerTable),
            ("show events", Reason::ServerShow),
            ("show create event e", Reason::ServerShow),
            ("select * from information_schema.innodb_trx", Reason::ServerTable),
            ("select * from information_schema . INNODB_METRICS", Reason::ServerTable),
            ("select * from information_schema.profiling", Reason::ServerTable),
            ("select 1 from (select * from information_schema.global_status) d", Reason::ServerTable),
            ("select * from mysql.gtid_executed", Reason::ServerTable),
            ("select * from mysql.slow_log", Reason::ServerTable),
            ("show status", Reason::ServerShow),
            ("show global status like 'x'", Reason::ServerShow),
            ("show global variables", Reason::ServerShow),
            ("show variables like 'read_only'", Reason::ServerShow),
            ("show session variables where variable_name in ('a', 'GTID_EXECUTED')", Reason::ServerShow),
            ("show processlist", Reason::ServerShow),
            ("show full processlist", Reason::ServerShow),
            ("show binary log status", Reason::ServerShow),
            ("show binary logs", Reason::ServerShow),
            ("show binlog events in 'x'", Reason::ServerShow),
            ("show master status", Reason::ServerShow),
            ("show replicas", Reason::ServerShow),
            ("show replica status for channel 'x'", Reason::ServerShow),
            ("show slave hosts", Reason::ServerShow),
            ("show all slaves status", Reason::ServerShow),
            ("show engine innodb status", Reason::ServerShow),
            ("show open tables", Reason::ServerShow),
            ("show profile", Reason::ServerShow),
            ("show profiles", Reason::ServerShow),
            ("show plugins", Reason::ServerShow),
            ("show", Reason::ServerShow),
            ("show something new", Reason::ServerShow),
            ("explain for connection 5", Reason::ExplainWrite),
            ("explain format=json for connection 5", Reason::ExplainWrite),
        ],
    );
}

#[test]
fn data_changes_and_definitions() {
    check_writes(
        &BOTH,
        &[
            ("insert into t values (1)", Reason::DataChange),
            ("/* x */ INSERT IGNORE t set a = 1", Reason::DataChange),
            ("insert into t select * from u on duplicate key update a = values(a)", Reason::DataChange),
            ("replace into t values (1)", Reason::DataChange),
            ("update t set a = 1", Reason::DataChange),
            ("delete from t", Reason::DataChange),
            ("delete a, b from a join b", Reason::DataChange),
            ("truncate t", Reason::DataChange),
            ("truncate table t", Reason::DataChange),
            ("with c as (select 1) update t join c set a = 1", Reason::DataChange),
            ("with c as (select 1) delete from t where a in (select * from c)", Reason::DataChange),
            ("load data infile 'x' into table t", Reason::Load),
            ("load data local infile 'x' into table t (a, @b) set c = @b", Reason::Load),
            ("load xml infile 'x' into table t", Reason::Load),
            ("import table from 'x'", Reason::Load),
            ("create table t (a int default (uuid()), key k (a))", Reason::Definition),
            ("create table t as select 1", Reason::Definition),
            ("create or replace view v as select 1", Reason::Definition),
            ("alter table t add column a int", Reason::Definition),
            ("drop table if exists t", Reason::Definition),
            ("rename table a to b", Reason::Definition),
            ("create index i on t (a)", Reason::Definition),
            ("create procedure p() begin select 1; select 2; end", Reason::Definition),
            ("create definer = `a`@`%` trigger x before insert on t for each row begin set @a = 1; end", {
                Reason::Definition
            }),
            ("create user a", Reason::Account),
            ("alter user a identified by 'x'", Reason::Account),
            ("drop user a", Reason::Account),
            ("drop role r", Reason::Account),
            ("rename user a to b", Reason::Account),
            ("grant select on *.* to a", Reason::Account),
            ("revoke all on db.* from a", Reason::Account),
            ("set password = 'x'", Reason::Account),
            ("set password for a = 'x'", Reason::Account),
            ("set default role all to a", Reason::Account),
            ("explain update t set a = 1", Reason::ExplainWrite),
            ("explain insert into t values (1)", Reason::ExplainWrite),
            ("explain delete from t", Reason::ExplainWrite),
            ("explain analyze update t set a = 1", Reason::ExplainWrite),
        ],
    );
    check_writes(
        &[MARIADB],
        &[
            ("insert into t values (1) returning id", Reason::DataChange),
            ("create sequence s", Reason::Definition),
        ],
    );
}

#[test]
fn everything_else() {
    check_writes(
        &BOTH,
        &[
            ("call p()", Reason::Call),
            ("call db.p(1, @a)", Reason::Call),
            ("execute s", Reason::Execute),
            ("execute s using @a", Reason::Execute),
            ("prepare s from @a", Reason::PrepareHidden),
            ("flush tables", Reason::Flush),
            ("flush privileges", Reason::Flush),
            ("flush local status", Reason::Flush),
            ("reset query cache", Reason::Flush),
            ("purge binary logs to 'x'", Reason::Flush),
            ("analyze table t", Reason::Maintenance),
            ("analyze no_write_to_binlog table t", Reason::Maintenance),
            ("optimize table t", Reason::Maintenance),
            ("repair table t", Reason::Maintenance),
            ("check table t", Reason::Maintenance),
            ("cache index t in c", Reason::Maintenance),
            ("load index into cache t", Reason::Maintenance),
            ("lock tables t read", Reason::Lock),
            ("unlock tables", Reason::Lock),
            ("lock instance for backup", Reason::Lock),
            ("handler t open", Reason::Handler),
            ("handler t read first", Reason::Handler),
            ("xa start 'a'", Reason::Xa),
            ("xa recover", Reason::Xa),
            ("savepoint a", Reason::Savepoint),
            ("release savepoint a", Reason::Savepoint),
            ("rollback to a", Reason::Savepoint),
            ("rollback work to savepoint a", Reason::Savepoint),
            ("kill 5", Reason::Kill),
            ("signal sqlstate '45000'", Reason::Signal),
            ("start replica", Reason::Replication),
            ("stop slave", Reason::Replication),
            ("change replication source to source_host = 'x'", Reason::Replication),
            ("binlog 'abc'", Reason::Replication),
            ("install plugin a soname 'b'", Reason::Server),
            ("shutdown", Reason::Server),
            ("set resource group rg", Reason::Server),
            ("nonsense", Reason::Unparsed),
            ("(nonsense)", Reason::Unparsed),
            ("'select'", Reason::Unparsed),
            ("`select` 1", Reason::Unparsed),
            ("select.1", Reason::Unparsed),
            ("1", Reason::Unparsed),
            ("with c as (select 1) insert into t select * from c", Reason::Unparsed),
        ],
    );
    check_writes(
        &[MARIADB],
        &[
            ("begin not atomic select 1; end", Reason::Compound),
            ("if 1 then select 1; end if", Reason::Compound),
            ("while 1 do select 1; end while", Reason::Compound),
            ("execute immediate 'select 1'", Reason::Execute),
            ("backup stage start", Reason::Lock),
            ("set statement max_statement_time=1 for update t set a = 1", Reason::DataChange),
            ("set statement sql_mode=f(1) for select 1", Reason::Unparsed),
            ("set statement max_statement_time=1 for select 1 for update", Reason::LockingRead),
            ("analyze update t set a = 1", Reason::Maintenance),
        ],
    );
}

#[test]
fn what_returns_rows_instead_of_an_insert_s_id_is_asked_for_it() {
    for text in [
        "insert into t values (1) returning id",
        "replace t set a = 1 returning *",
        "delete from t where a = 1 returning b",
    ] {
        let statement = classify(text.as_bytes(), &MARIADB);
        assert_eq!(
            (statement.needs, statement.changes),
            (Needs::LAST_INSERT_ID, vec![Change::LastInsertId]),
            "{text}"
        );
    }
    for text in ["insert into t values (`returning`)", "select json_value(a, '$' returning signed) from t"] {
        let statement = classify(text.as_bytes(), &MYSQL);
        assert_eq!((statement.needs, statement.changes), (Needs::NONE, vec![]), "{text}");
    }
}
