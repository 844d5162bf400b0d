//! The tables a text names.

use super::*;

#[test]
fn every_table_is_named() {
    for (text, tables) in [
        ("select 1", &[][..]),
        ("select a.b from A", &["a"]),
        ("select * from db.`T`, u v, w as x", &["t", "u", "w"]),
        ("select * from a join b using (x) left join c on a.x = c.x, d", &["a", "b", "c", "d"]),
        ("select * from (a, b), (c join d on (1))", &["a", "b", "c", "d"]),
        ("select * from (select * from a) b, c", &["a", "c"]),
        ("select (select 1 from a) from b where x in (select y from c)", &["a", "b", "c"]),
        ("select * from a use index for order by (i), b", &["a", "b"]),
        ("select * from a force index (i, j), b", &["a", "b"]),
        ("select * from a partition (p), b", &["a", "b"]),
        ("select extract(year from d), substring(e from 1) from a", &["a"]),
        ("select * from dual", &[]),
        ("table a", &["a"]),
        ("(table a) union table b", &["a", "b"]),
        ("with c as (select * from a) select * from c", &["a", "c"]),
        ("insert into A (x) select y from b", &["a", "b"]),
        ("insert into a values (1)", &["a"]),
        ("replace low_priority db.a set x = 1", &["a"]),
        ("update a join b on a.x = b.x set a.y = 1", &["a", "b"]),
        ("delete from a where x in (select y from b)", &["a", "b"]),
        ("delete a from a join b", &["a", "a", "b"]),
        ("describe a", &["a"]),
        ("show create table db.a", &["a"]),
        ("show columns from a", &["a"]),
        ("show index in a", &["a"]),
        ("explain select * from a", &["a"]),
        ("checksum table a, b", &["a", "b"]),
        ("create table a like b", &["a", "b"]),
        ("create temporary table a as select * from b", &["a", "b"]),
        ("alter table a add b int", &["a"]),
        ("handler a open", &["a"]),
        ("select * from {oj a left join b on 1}", &["a", "b"]),
        ("select * from a group by x, y union select * from b", &["a", "b"]),
    ] {
        let statement = mysql(text);
        let named: Vec<&str> = statement.tables.iter().map(AsRef::as_ref).collect();
        assert_eq!(named, tables, "{text}");
        assert!(statement.tables_known, "{text}");
    }
}

#[test]
fn unknown_statements_may_use_any_table() {
    for text in ["call p()", "execute s", "nonsense", "select 'unclosed"] {
        assert!(!mysql(text).tables_known, "{text}");
    }
}

#[test]
fn the_default_schema_may_make_a_table_the_servers_own() {
    for (text, schema, is_of_server) in [
        ("select * from threads", "performance_schema", true),
        ("select * from threads", "shop", false),
        ("select * from threads", "", false),
        ("select * from processlist", "INFORMATION_SCHEMA", true),
        ("select * from tables", "information_schema", false),
        ("select 1", "sys", false),
    ] {
        assert_eq!(mysql(text).depends_on_server(schema), is_of_server, "{text} in {schema}");
    }
}
