//! Texts made to look like reads: not one of them may be called a read.

use super::*;

/// Each is something for the primary on the server under the mode named.
const NEVER_READS: &[&str] = &[
    // Comments that are no comments, and strings that end elsewhere than they seem to.
    "select 1 --for update\n from t for update",
    "select 'a\\'' from t for update -- '",
    "select 'a\\\\' from t for update -- '",
    "select 'it''s' from t for update",
    "select \"a'\" from t for update -- \"'",
    "select `a\\` from t for update -- `",
    "select `a``b` from t for update",
    "select '/*' from t for update -- */'",
    "select /* ' */ 1 from t for update -- '",
    "select 1 /* /* */ from t for update",
    "select 1 /* /*! */ from t for update",
    "select /*! 1 */ from t for update",
    "select 1 /*!50000 for */ update",
    "select 1 /*!50000for update*/",
    "select 1 /*!000000 for update*/",
    "select 1 /*!5000 for update */",
    "select 1 # */\n for update",
    "select 1 -- \\\n for update",
    "select 1 -- /*\n for update",
    "select 1 /* -- */ for update",
    "select 1 /* # */ for update",
    "select 1 --\tx\n for update",
    "select 1 --\n for update",
    "select 1 /**/for/**/update",
    "select 1 /*/ for update -- */ for update",
    "select 1 from t for\x0bupdate",
    "select 1 from t for\x0cupdate",
    "select 1 from t for\r\nupdate",
    // Bytes that one character set has for space and another for a letter.
    "select 1 à\u{a0}into outfile 'x'; delete from t",
    // What follows a number.
    "select 1 from t where a=1for update",
    "select 1 from t where a=0x1 for update",
    "select 1 from t where a=1e1for share",
    "select 1 from t limit 1for update",
    "select 1 from t where a=.5for share",
    "select 1.e5for share",
    // NUL and backslash in code.
    "select 1 -- \0\n for update",
    "select 1 \0 for update",
    "select \\Nfor update",
    "select \\N for share",
    // Optimizer hints have quotes of their own.
    "select /*+ qb_name(`a*/ 1 -- `) */ 2 from t for update",
    // Executable comments.
    "/*!50000 delete from t */",
    "/*! delete */ from t",
    "/*!delete*/ from t",
    "select 1 /*! ; delete from t */",
    "/*!40101 select 1 */; delete from t",
    "select 1 /*! union select f(1) */",
    "select 1 /*! for update",
    "select 1 /*",
    "select 'abc",
    "select `abc",
    "select 1 /*!99999 /* */",
    // Several statements.
    "select 1; delete from t",
    "select 1;;delete from t",
    "select ';'; delete from t",
    "select 1; -- x\n delete from t",
    "(select 1); update t set a = 1",
    "show tables; drop table t",
    "; delete from t",
    "select 1 ;select f()",
    // Places where a call hides.
    "select 1 from t where a = b.f(1)",
    "select 1 from t where a in (f(1))",
    "select 1 from t where a between f(1) and 2",
    "select case when f(1) then 1 end",
    "select case f(1) when 1 then 1 end",
    "select cast(f(1) as char(10))",
    "select interval(f(1), 2)",
    "select now() + interval f(1) day",
    "select 1 limit f(1)",
    "select sum(f(a)) over (order by f(b)) from t",
    "select 1 from t window w as (order by f(a))",
    "select * from t, json_table(f(a), '$[*]' columns (x int path '$.x')) j",
    "select * from json_table('[]', '$' columns (x int path '$')) j, t where f(1)",
    "with a as (select 1), b as (select f(1)) select * from b",
    "with a as (select 1) select 1, (select f(2))",
    "with recursive a as (select 1 union select f(1)) select * from a",
    "select (select f(1))",
    "select ((((f(1)))))",
    "select -f(1)",
    "select not f(1)",
    "select 1 and f(1)",
    "select a->f(1) from t",
    "select 'a' like f(1)",
    "select 'a' 'b', f(1)",
    "select `f` (1)",
    "select $f(1)",
    "select _f(1)",
    "select f1(1), 1f(1)",
    "select é(1)",
    "select t.f(1), t . f(1), `t`.f(1), t.`f`(1)",
    "select {fn f(1)}",
    "select {f (1)}",
    "select count(*), counts(*) from t",
    "select @@global.read_only",
    "select @a:=1",
    "select @`a`:=1",
    "select @'a' /* x */ := 1",
    "select 1 into @a",
    "select 1 INTO\nOUTFILE 'a'",
    "select(1)into@a",
    "select*from`t`for update",
    "select(select 1)for share",
    "select'a'into outfile'x'",
    "select 1 from t lock/**/in/**/share/**/mode",
    "select sql_calc_found_rows get_lock('a', 1)",
    "select 1 order by get_lock('a', 1)",
    "table t for update",
    "(table t) for share",
    "values row(f(1))",
    "explain analyze select get_lock('a', 1)",
    "explain analyze delete from t",
    "explain select 1 into @a",
    "desc update t set a = 1",
    "describe delete from t",
    "explain format=tree delete from t",
    "explain analyze format=tree replace into t values (1)",
    "show tables like 'a' where f(1)",
    "show columns from performance_schema.threads",
    "show create table sys.session",
    "checksum table performance_schema.threads",
    "do get_lock('a', 1)",
    "do (select 1 for update)",
    "help f(1); flush tables",
    "explain route",
    // Verbs that are near to others.
    "selects 1",
    "selectfrom t",
    "select1",
    "withs",
    "showtables",
    "tables t",
];

#[test]
fn not_one_is_called_a_read() {
    let modes = [
        MYSQL,
        MARIADB,
        Syntax { version: 0, ..MYSQL },
        Syntax { multi_statements: false, ..MYSQL },
        Syntax { charset: Charset::AsciiSafe, ..MARIADB },
        Syntax { charset: Charset::BackslashTrail, ..MYSQL },
    ];
    let known_table = "explain route";
    for syntax in modes {
        for text in NEVER_READS.iter().filter(|text| **text != known_table) {
            let statement = classify(text.as_bytes(), &syntax);
            assert!(!statement.is_read(), "{text:?} {syntax:?}");
        }
    }
}

#[test]
fn sql_mode_changes_where_strings_end() {
    let ansi = Syntax { ansi_quotes: true, ..MYSQL };
    let plain = Syntax { no_backslash_escapes: true, ..MYSQL };
    for (text, under_default, under_ansi, under_plain) in [
        // A backslash at the end of a string.
        ("select '\\' for update -- '", true, true, false),
        ("select '\\'' for update -- '", false, false, true),
        // In ANSI_QUOTES double quotes are names, without escapes.
        ("select \"\\\" for update -- \"", true, false, false),
        ("select \"a\\\" -- \" for update", false, true, true),
        // A quoted name may be called.
        ("select \"f\"(1)", true, false, true),
        ("select @\"a\", \"b\" from \"t\"", true, true, true),
    ] {
        let reads = [MYSQL, ansi, plain].map(|syntax| classify(text.as_bytes(), &syntax).is_read());
        assert_eq!(reads, [under_default, under_ansi, under_plain], "{text}");
    }
}

#[test]
fn bytes_that_are_not_of_the_character_set_are_not_trusted_outside_strings() {
    let latin1 = Syntax { charset: Charset::AsciiSafe, ..MYSQL };
    let gbk = Syntax { charset: Charset::BackslashTrail, ..MYSQL };
    for (text, in_utf8, in_latin1, in_gbk) in [
        (&b"select 1"[..], true, true, true),
        ("select 'é'".as_bytes(), true, true, false),
        ("select é from t".as_bytes(), true, false, false),
        ("select `é` from t".as_bytes(), true, false, false),
        ("select @é".as_bytes(), false, false, false),
        ("select 1 /* é */ -- é".as_bytes(), true, true, false),
        (b"select '\xff'", true, true, false),
        (b"select \xff from t", false, false, false),
        (b"select `a\xc3` -- ` for update", false, false, false),
        (b"select 1 from t for\xa0update", false, false, false),
        (b"select '\xbf\\' for update -- '", true, true, false),
    ] {
        let reads = [MYSQL, latin1, gbk].map(|syntax| classify(text, &syntax).is_read());
        let text = String::from_utf8_lossy(text);
        assert_eq!(reads, [in_utf8, in_latin1, in_gbk], "{text}");
    }
    let refused = classify("select 'é'".as_bytes(), &gbk);
    assert_eq!((refused.reason, refused.changes), (Reason::EncodingUnsafe, vec![Change::Unknown]));
}

#[test]
fn version_comments_that_servers_read_differently_are_not_trusted() {
    let old = Syntax { version: 80_033, ..MYSQL };
    let unknown = Syntax { version: 0, ..MYSQL };
    for (text, by_new, by_old, by_unknown) in [
        ("select 1 /*!50000 + 1 */", true, true, false),
        ("select 1 /*! + 1 */", true, true, true),
        ("select 1 /*!80034 + 1 */", true, true, false),
        ("select 1 /*!800000 + 1 */", true, false, false),
        ("select 1 /*!050000 + 1 */", true, true, false),
    ] {
        let reads = [MYSQL, old, unknown].map(|syntax| classify(text.as_bytes(), &syntax).is_read());
        assert_eq!(reads, [by_new, by_old, by_unknown], "{text}");
    }
}

#[test]
fn what_decides_may_be_the_last_of_very_many_tokens() {
    let mut text = String::from("select * from t where a in (0");
    for number in 1..200_000 {
        text.push_str(&format!(",{number}"));
    }
    text.push(')');
    assert!(mysql(&text).is_read());
    assert!(!mysql(&format!("{text} for update")).is_read());
    assert!(!mysql(&format!("{text}; delete from t")).is_read());
}

#[test]
fn time_is_linear_in_length() {
    for piece in [
        "show variables like 'a';",
        "set names a;",
        "/*+ x */",
        "/*!99999 /* */ */",
        "-",
        "@",
        "'a'",
        "(",
        "f(",
    ] {
        let text = format!("select 1;{}", piece.repeat(200_000 / piece.len()));
        let start = std::time::Instant::now();
        mysql(&text);
        // Quadratic work would take minutes.
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{piece}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = |depth: usize| format!("{}select 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(mysql(&deep(100_000)).is_read());
    assert!(mysql(&format!("select {}1{}", "abs(".repeat(50_000), ")".repeat(50_000))).is_read());
    assert!(!mysql(&"/*!".repeat(50_000)).is_read());
    assert!(!mysql(&"/*!99999 /*".repeat(50_000)).is_read());
}
