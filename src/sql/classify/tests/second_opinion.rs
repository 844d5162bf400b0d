//! A parser's opinion of what the walk calls a read.
//!
//! sqlparser does not decide at run time: it gives up on much that servers accept, and it reads comments, strings and
//! `sql_mode` in its own way, so it could neither prove a text harmless nor save a read. Here it is a witness: where
//! it understands a text that the walk calls a read, it must see a query, without locks and without INTO.

use sqlparser::ast::{Query, SetExpr, Statement as Parsed};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use super::*;

fn is_plain(query: &Query) -> bool {
    let no_dml = !matches!(*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_));
    let into = matches!(&*query.body, SetExpr::Select(select) if select.into.is_some());
    no_dml && !into && query.locks.is_empty()
}

#[test]
fn the_parser_sees_no_write_where_the_walk_sees_a_read() {
    let verbs =
        ["select", "insert into t", "update t set a =", "delete from t where", "with c as (select 1) select"];
    let values =
        ["1", "a", "(select 1)", "count(*)", "'for update'", "@a", "`b`", "now()", "(select 1 for update)"];
    let tails = [
        "",
        " for update",
        " from t",
        " from t for update",
        " from t lock in share mode",
        " into @a",
        " limit 1",
    ];
    let mut agreed = 0;
    for verb in verbs {
        for value in values {
            for tail in tails {
                let text = format!("{verb} {value}{tail}");
                let Ok(parsed) = Parser::parse_sql(&MySqlDialect {}, &text) else { continue };
                let is_read = mysql(&text).is_read();
                let is_plain =
                    parsed.iter().all(|one| matches!(one, Parsed::Query(query) if is_plain(query)));
                assert!(!is_read || is_plain, "{text}");
                agreed += usize::from(is_read);
            }
        }
    }
    assert!(agreed > 20, "{agreed}");
}
