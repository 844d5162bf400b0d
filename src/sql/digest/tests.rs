use super::*;
use crate::sql::classify;

fn normal(text: &str) -> String {
    normalise(text.as_bytes(), &Syntax { version: 90_704, ..Syntax::default() }, 10_000)
}

fn digest(text: &str) -> u64 {
    classify(text.as_bytes(), &Syntax { version: 90_704, ..Syntax::default() }).digest
}

#[test]
fn data_spacing_and_comments_do_not_count() {
    for (one, other) in [
        ("select a from t where id = 1", "SELECT  a /* c */ FROM t WHERE id=2 -- x"),
        ("select * from t where a in (1)", "select * from t where a in (1,2,-3, 'x')"),
        ("insert into t values (1,'a')", "insert into t values (1,'a'),(2,'b'), (3,NULL);"),
        ("insert into t values (1,null),(2,3)", "insert into t values (-1, default)"),
        ("select `a` from `t`", "select a from t;"),
        ("select 'a' 'b'", "select 'c'"),
        ("select ? from t limit ?, ?", "select 1 from t limit 5, 10"),
        ("select * from t where (a,b) in ((1,2),(3,4))", "select * from t where (a,b) in ((1,2))"),
        ("select -1", "select 1"),
    ] {
        assert_eq!(normal(one), normal(other));
        assert_eq!(digest(one), digest(other), "{one} | {other}");
    }
}

#[test]
fn everything_else_counts() {
    let texts = [
        "select a from t where id = 1",
        "select b from t where id = 1",
        "select a from u where id = 1",
        "select a from t where id > 1",
        "select a from t where id = 1 for update",
        "select a from t where id = x - 1",
        "select a from t where id = x + 1",
        "select f(1)",
        "select f(1, 2)",
        "select f((1), a)",
        "select @a",
        "select @@a",
        "select 1; select 1",
        "select 1, a",
        "select (1), (a)",
    ];
    for (place, one) in texts.iter().enumerate() {
        for other in &texts[place + 1..] {
            assert_ne!(digest(one), digest(other), "{one} | {other}");
        }
    }
}

#[test]
fn the_normalised_text_can_be_read() {
    assert_eq!(normal("SELECT a.b, COUNT(*) FROM t WHERE x IN (1,2) AND y=-5 LIMIT 10"), {
        "select a.b, count(*) from t where x in(?, ...) and y = ? limit ?"
    });
    assert_eq!(normal("insert into t (a) values (1),(2);"), "insert into t(a) values(?)");
}

#[test]
fn the_digest_is_the_same_in_every_release() {
    assert_eq!(format!("{:016x}", digest("select a from t where id = 1")), "89ac1ee53f02e68e");
}
