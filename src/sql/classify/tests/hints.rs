//! Hints reach the statement, and move nothing by themselves.

use super::*;
use std::time::Duration;

#[test]
fn the_first_hint_wins() {
    for (text, hint) in [
        ("/* dauphin:primary */ select 1", Some(Hint::Primary)),
        ("select /* dauphin:replica */ 1", Some(Hint::Replica)),
        ("select 1 /* dauphin:server=db2 */", Some(Hint::Server("db2".into()))),
        ("select 1 -- maxscale route to master", Some(Hint::Primary)),
        ("select 1 # maxscale route to slave", Some(Hint::Replica)),
        ("/*FORCE_SLAVE*/ select 1", Some(Hint::Replica)),
        ("select /*FORCE_SLAVE*/ 1", None),
        ("select /*master*/ 1", Some(Hint::Primary)),
        ("/* x */ /* dauphin:replica */ select 1 /* dauphin:primary */", Some(Hint::Replica)),
        ("select '/* dauphin:primary */'", None),
        ("select 1 /*! dauphin */", None),
        ("select /*+ dauphin:primary */ 1", None),
        ("select 1", None),
    ] {
        assert_eq!(mysql(text).hint, hint, "{text}");
    }
}

#[test]
fn how_fresh_is_said_beside_where() {
    let statement =
        mysql("/* dauphin:replica */ select /* dauphin:max_lag=500 */ 1 -- dauphin:causal=user:42");
    assert_eq!(statement.hint, Some(Hint::Replica));
    let freshness = statement.freshness.unwrap();
    assert_eq!(freshness.max_lag, Some(LagLimit::AtMost(Duration::from_millis(500))));
    assert_eq!((freshness.consistency, freshness.causal.as_deref()), (None, Some("user:42")));
    assert_eq!(mysql("select '/* dauphin:max_lag=500 */'").freshness, None);
}

#[test]
fn a_replica_hint_makes_no_read_of_a_write() {
    let statement = mysql("/* dauphin:replica */ delete from t");
    assert_eq!((statement.effect, statement.hint), (Effect::Write, Some(Hint::Replica)));
}
