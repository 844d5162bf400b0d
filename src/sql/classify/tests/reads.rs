//! What a replica may run.

use super::*;

#[test]
fn plain_reads() {
    check_reads(
        &BOTH,
        &[
            "select 1",
            "SELECT * FROM t WHERE id = 1",
            "select a.b, `c d`.e from a, `c d` where a.x = 'it''s' and e like '%\\'x%'",
            "  \t\r\n\x0b\x0cselect 1 ; ",
            "select 1;;;",
            "(select 1)",
            "((select 1) union all (select 2)) order by 1 limit 1",
            "(((select 1)))",
            "select distinct a from t group by a with rollup having count(*) > 1 order by a desc limit 5, 10",
            "select sql_no_cache straight_join high_priority a from t",
            "with c as (select 1) select * from c",
            "with recursive c(n) as (select 1 union all select n + 1 from c where n < 5) select * from c",
            "with a (x, y) as (select 1, 2), b (z) as (select 3) select x, z from a join b on x < z",
            "with a as (select 1) (select * from a) order by 1",
            "select 1 union select 2 except select 3 intersect select 4",
            "select * from (select 1) as d (a)",
            "select * from (select 1) d (a), (select 2) `e` (b)",
            "select * from a join b using (id) left join c on (a.x = c.x) natural join d",
            "select * from a force index (i) use index for order by (j) ignore key (k), b",
            "select * from a partition (p0, p1) where x in (1, 2) and y not in (select y from b)",
            "select exists (select 1 from t), a > all (select b from t), a = any (select c from t)",
            "select row_number() over (partition by a order by b rows between 1 preceding and current row) from t",
            "select sum(a) over w, rank() over (w order by b) from t window w as (partition by c), v as (w)",
            "select count(*), count(distinct a, b), group_concat(a order by b separator ',') from t",
            "select cast(a as char(10) character set utf8mb4), convert(a using utf8mb4), cast(a as decimal(10,2))",
            "select extract(year from d), trim(both 'x' from a), substring(a from 1 for 3), position('a' in b)",
            "select substr(a, 1, 2), mid(a from 2 for share), substring(a from 1 for (select 3))",
            "select if(a, b, c), left(a, 1), right(a, 1), mod(a, 2), repeat('a', 3), replace(a, 'b', 'c')",
            "select insert('abc', 1, 1, 'x'), truncate(1.5, 0), char(65), date(a), time(a), year(a), default(a) from t",
            "select now(), now(6), curdate(), current_timestamp, current_timestamp(3), utc_date(), sysdate()",
            "select date_add(d, interval 1 day), d + interval (1 + 1) hour, timestampdiff(day, a, b) from t",
            "select rand(), uuid(), uuid_short(), sleep(0), benchmark(1, sha2('a', 0)), connection_id(), version()",
            "select user(), current_user(), current_user, session_user(), database(), schema()",
            "select match (a) against ('x' in boolean mode), match(a) against ('y' with query expansion) from t",
            "select json_extract(a, '$.b'), a->'$.b', a->>'$.c', json_arrayagg(a), json_value(a, '$.b') from t",
            "select * from t, json_table(a, '$[*]' columns (id for ordinality, x int path '$.x', nested path '$.n' \
         columns (y varchar(10) path '$.y'))) as jt where jt.x = 1",
            "select st_astext(st_geomfromtext('point(1 1)')), point(1, 1), linestring(point(1,1), point(2,2))",
            "select aes_encrypt('a', 'b'), sha2('a', 256), inet6_aton('::1'), crc32('a')",
            "select case a when 1 then (2) else (3) end, case when (a) then f end from t",
            "select {fn now()}, {d '2020-01-01'}, {ts '2020-01-01 00:00:00'}",
            "select * from {oj a left join b on a.x = b.x}",
            "select _utf8mb4'x', n'y', x'00ff', b'01', 0xff, 0b01, .5, 1., 1.5, 1e5, 1.e3, 1e-5, date'2020-01-01'",
            "select 1a, a1, 1e, t.1e5, t.`1` from t",
            "select `for update`, 'for update', \"lock in share mode\" from `select`",
            "select t.lock, t.update, t.into, t.for, t.procedure from t",
            "select update.a from `update` as `update`",
            "select share, mode, value, names, data, status, role, event, session, function_name from t",
            "select count, now, left_, user, last_insert_id, found_rows, get_lock from t",
            "select 1 -- for update",
            "select 1 # for update",
            "select 1 /* for update */",
            "select 1 --1",
            "select 5--3",
            "select 1 from dual where 1 = 1 limit 1 offset 2",
            "select * from db.t, `db`.`t`, db . t",
            "select 1 as a, 'x' 'y', 2 'b', 3 as \"c\"",
            "select not (1), - (1), ! (1), ~ (1), binary (a), a regexp (b), a like ('x') escape '|', a div (b) from t",
            "select a is null, a between (1) and (2), a in (1), (a, b) = (1, 2), a sounds like (b) from t",
            "select * from t where ? = a limit ?",
            "select @@version, @@sql_mode, @@session.autocommit, @@local.time_zone, @@max_allowed_packet",
            "select @@hostname, @@server_id, @@global.server_id, @@server_uuid, @@port",
            "/* ping */ select 1",
            "/*+ not a hint here */ select /*+ max_execution_time(1000) no_index_merge(t) */ 1",
            "select 1 /*! + 1 */",
            "select 1 /*!50000 + 1 */ /*!999999 for update */",
            "select 1 /*!99999 for update /* nested */ still comment */",
            "/*! select */ 1",
            "select a, b from t1 straight_join t2 join (t3, t4) on t1.a = t2.a and t3.b = t4.b",
            "select avg(a) filter_, std(a), variance(a), bit_or(a), min(a), max(a) from t",
        ],
    );
}

#[test]
fn reads_of_mysql_only() {
    check_reads(
        &[MYSQL],
        &[
            "table t",
            "table t order by a limit 1",
            "values row(1, 2), row(3, 4) order by column_0",
            "select * from (values row(1)) as v (a)",
            "with c as (select 1) table c",
            "select * from t, lateral (select t.a) as l (b)",
            "select 1 member of ('[1]'), json_overlaps('[1]', '[1]'), any_value(a), grouping(a) from t",
            "select count(*) from t group by rollup (a, b)",
            "select count(*) from t group by grouping sets ((a), (b))",
            "select string_to_vector('[1]'), uuid_to_bin(uuid()), regexp_like('a', 'b'), gtid_subset('', '')",
            "explain format=tree select 1",
            "explain for schema x select 1",
            "select /*!90704 1 + */ 1 /*!90705 for update */ /*!090705 for update */",
            "select /*M! for update */ 1",
        ],
    );
}

#[test]
fn reads_of_mariadb_only() {
    check_reads(
        &[MARIADB],
        &[
            "values (1, 2), (3, 4)",
            "select * from t for system_time as of timestamp '2020-01-01 00:00:00'",
            "select * from t for system_time between '2020-01-01' and now() as x, u for system_time all",
            "select nvl(a, b), nvl2(a, b, c), to_char(d), add_months(d, 1), uuid_v7(), vec_distance(a, b) from t",
            "select median(a) over (partition by b), percentile_cont(0.5) within group (order by a) over () from t",
            "select column_get(a, 'b' as int), column_json(a), json_detailed(a) from t",
            "select a from t order by a offset 5 rows fetch first 3 rows only",
            "select a from t order by a fetch first 3 rows with ties",
            "select a from t limit rows examined 1000",
            "with recursive c (a, b) as (select 1, 2) cycle a, b restrict select * from c",
            "analyze select 1",
            "analyze format=json select 1",
            "set statement max_statement_time=1 for select 1",
            "select 1 /*!50701 for update */ /*!99999 for update */ /*M!100000 + 1 */ /*M! + 1 */",
            "select window from t window, u",
            "explain extended select 1",
            "explain format=json select 1",
        ],
    );
}

#[test]
fn reads_of_the_catalogue() {
    check_reads(
        &BOTH,
        &[
            "show tables",
            "show index from t",
            "show indexes in t from db",
            "show keys in t where key_name = 'a'",
            "show full tables from db like 'x%'",
            "show databases where `Database` like 'x'",
            "show columns from t from db",
            "show full columns in t",
            "show extended fields from db.t where field = 'a'",
            "show create table db.t",
            "show create view v",
            "show create procedure p",
            "show create user 'a'@'%'",
            "show create user current_user()",
            "show create database if not exists d",
            "show create trigger x",
            "show grants",
            "show grants for 'a'@'localhost' using r",
            "show variables",
            "show session variables like 'a%'",
            "show local variables where variable_name = 'a'",
            "show variables like 'transaction_isolation'",
            "show character set",
            "show charset like 'utf8%'",
            "show collation",
            "show engines",
            "show storage engines",
            "show privileges",
            "show triggers",
            "show table status like 't'",
            "show procedure status where db = database()",
            "show function status",
            "describe t",
            "desc db.t",
            "desc t a",
            "explain t",
            "describe route",
            "explain t 'a%'",
            "explain select * from t",
            "explain (select 1)",
            "explain analyze select * from t",
            "explain with c as (select 1) select * from c",
            "help 'select'",
            "checksum table a, b.c extended",
            "do 1",
            "do sleep(0), 1 + 1",
            "select * from information_schema.tables",
            "select * from INFORMATION_SCHEMA.COLUMNS c join information_schema.`statistics` s using (table_name)",
            "select user, host from mysql.user",
        ],
    );
}

#[test]
fn no_statement_is_a_read() {
    for text in ["", "  ", ";", "/* ping */", "-- x", " ; ; "] {
        let statement = mysql(text);
        assert_eq!((statement.effect, statement.reason), (Effect::Read, Reason::Empty), "{text}");
        assert_eq!(statement.statements, 0);
    }
}

#[test]
fn what_a_read_depends_on_is_told() {
    for (text, needs) in [
        ("select 1", Needs::NONE),
        ("select @a, @`b c`, @'d'", Needs::USER_VARIABLES),
        ("select last_insert_id()", Needs::LAST_INSERT_ID),
        ("select LAST_INSERT_ID ( )", Needs::LAST_INSERT_ID),
        ("select @@last_insert_id, @@session.identity", Needs::LAST_INSERT_ID),
        ("select found_rows()", Needs::FOUND_ROWS),
        ("select row_count(), 1", Needs::ROW_COUNT),
        ("select row_count()", Needs::ROW_COUNT | Needs::ONE_VALUE),
        ("select sql_calc_found_rows * from t limit 1", Needs::ALL_ROWS_COUNT),
        ("select @@warning_count", Needs::DIAGNOSTICS),
        ("select @@error_count + @a", Needs::DIAGNOSTICS | Needs::USER_VARIABLES),
        ("show warnings", Needs::DIAGNOSTICS),
        ("show errors limit 1", Needs::DIAGNOSTICS),
        ("show count(*) warnings", Needs::DIAGNOSTICS),
        ("select last_insert_id from t", Needs::NONE),
        ("select '@a'", Needs::NONE),
        ("select a@b", Needs::USER_VARIABLES),
    ] {
        let statement = mysql(text);
        assert_eq!((statement.effect, statement.needs), (Effect::Read, needs), "{text}");
        assert!(statement.changes.is_empty(), "{text}");
    }
}
