//! What holds of every text.

use proptest::prelude::*;

use super::*;

const PIECES: &[&str] = &[
    "select",
    "from",
    "t",
    "where",
    "a",
    "=",
    "1",
    "'x'",
    "\"y\"",
    "`z`",
    "(",
    ")",
    ",",
    ";",
    "for",
    "update",
    "share",
    "lock in share mode",
    "into",
    "@a",
    "@@b",
    ":=",
    "f(",
    "now()",
    "with",
    "as",
    "union",
    "insert into",
    "values",
    "delete",
    "set",
    "/*",
    "*/",
    "/*!",
    "/*!50000",
    "-- ",
    "#",
    "\n",
    "\\",
    "'",
    "\"",
    "`",
    ".",
    "join",
    "on",
    "limit",
    "order by",
    "group by",
    "table",
    "{",
    "}",
    "substring(",
    "begin",
    "end",
    "case",
    "create procedure p()",
    "é",
    "\0",
    "show",
    "explain",
    "call",
    "last_insert_id(",
    "get_lock(",
    "in",
    "null",
    "-",
    "1e5",
    "x'0",
    "_utf8mb4",
];

fn texts() -> impl Strategy<Value = String> {
    let beginning =
        prop::sample::select(vec!["", "select ", "select 1 ", "(select ", "select * from t where "]);
    let piece = prop::sample::select(PIECES);
    (beginning, prop::collection::vec((piece, prop::bool::ANY), 0..12)).prop_map(|(beginning, pieces)| {
        let spaced = |(piece, space): &(&str, bool)| format!("{piece}{}", if *space { " " } else { "" });
        format!("{beginning}{}", pieces.iter().map(spaced).collect::<String>())
    })
}

/// Texts that are reads on any server.
fn reads() -> impl Strategy<Value = String> {
    let values =
        ["1", "a", "t.`b`", "now()", "concat('x', a)", "(select 2)", "'for update'", "count(*)", "@a", "-.5"];
    let value =
        prop::collection::vec(prop::sample::select(values.to_vec()), 1..4).prop_map(|all| all.join(" , "));
    let tails =
        ["", " from t", " from t, u as v where a = 1", " from (select 1) d limit 1", " from t group by a, b"];
    let tail = prop::sample::select(tails.to_vec());
    let joints = [" union ", " union all ", " union /* x */ "];
    let part = (value, tail).prop_map(|(value, tail)| format!("select {value}{tail}"));
    let joint = prop::sample::select(joints.to_vec());
    (prop::collection::vec(part, 1..3), joint).prop_map(|(parts, joint)| parts.join(joint))
}

fn syntaxes() -> impl Strategy<Value = Syntax> {
    let charset = prop::sample::select(vec![Charset::Utf8, Charset::AsciiSafe, Charset::BackslashTrail]);
    let version = prop::sample::select(vec![0, 50_744, 80_033, 90_704, 110_806]);
    (any::<[bool; 5]>(), charset, version).prop_map(|(flags, charset, version)| Syntax {
        ansi_quotes: flags[0],
        no_backslash_escapes: flags[1],
        ignore_space: flags[2],
        charset,
        flavour: if flags[3] { Flavour::MySql } else { Flavour::MariaDb },
        version,
        multi_statements: flags[4],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, syntax in syntaxes()) {
        classify(&bytes, &syntax);
        normalise(&bytes, &syntax, 1000);
    }

    #[test]
    fn no_pieces_make_it_panic(text in texts(), syntax in syntaxes()) {
        let statement = classify(text.as_bytes(), &syntax);
        normalise(text.as_bytes(), &syntax, 1000);
        // A read changes nothing.
        prop_assert!(!statement.is_read() || statement.changes.is_empty());
    }

    #[test]
    fn space_and_comments_at_the_end_change_nothing(text in texts(), syntax in syntaxes()) {
        let statement = classify(text.as_bytes(), &syntax);
        if statement.reason == Reason::Ambiguous {
            return Ok(());
        }
        for tail in ["\n", " \t", "\n-- x", "\n# y\n", "\n/* z */", "\n;"] {
            let longer = classify(format!("{text}{tail}").as_bytes(), &syntax);
            prop_assert_eq!(&longer.effect, &statement.effect, "{:?}{:?}", text, tail);
            prop_assert_eq!(&longer.changes, &statement.changes);
            prop_assert_eq!(longer.needs, statement.needs);
            prop_assert_eq!(longer.digest, statement.digest, "{:?}{:?}", text, tail);
        }
    }

    #[test]
    fn a_read_in_parentheses_is_a_read(text in reads(), depth in 0_usize..4) {
        let wrapped = format!("{}{text}{}", "(".repeat(depth), ")".repeat(depth));
        for syntax in BOTH {
            prop_assert_eq!(classify(wrapped.as_bytes(), &syntax).effect, Effect::Read, "{:?}", wrapped);
        }
    }

    #[test]
    fn a_read_is_none_with_something_harmful_in_any_place(text in reads(), place: prop::sample::Index) {
        let places: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
        let at = places[place.index(places.len())];
        for harm in [" f(1) ", " for update ", " /*!50000 into @x */ ", " ; delete from t ; ", " @x := 1 "] {
            let harmful = format!("{}{harm}{}", &text[..at], &text[at..]);
            // Inside a string, a name or a comment it would be none.
            let is_inside = text[..at].matches('\'').count() % 2 == 1 || text[..at].ends_with("/*");
            let is_inside = is_inside || text[at..].starts_with(" */");
            let is_alias = text[..at].ends_with(" as") || text[..at].ends_with(['\'', ')', '5', '1']);
            let is_alias = is_alias && harm == " f(1) ";
            prop_assert!(is_inside || is_alias || !mysql(&harmful).is_read(), "{:?}", harmful);
        }
    }

    #[test]
    fn a_lock_clause_at_the_end_makes_it_no_read(text in texts(), syntax in syntaxes()) {
        let locked = classify(format!("{text}\n for update").as_bytes(), &syntax);
        // HELP, DESCRIBE and SHOW take any words.
        let takes_any = |reason| reason == Reason::CatalogRead || reason == Reason::Diagnostics;
        let last = text.rsplit(';').next().unwrap_or_default();
        let last = classify(format!("{last}\n for update").as_bytes(), &syntax);
        let is_harmless = takes_any(locked.reason) || locked.statements > 1 && takes_any(last.reason);
        let is_open = classify(text.as_bytes(), &syntax).reason == Reason::Ambiguous;
        prop_assert!(is_open || is_harmless || !locked.is_read(), "{:?}", text);
    }

    #[test]
    fn what_is_not_a_read_stays_none_with_a_read_behind_it(text in texts(), syntax in syntaxes()) {
        let alone = classify(text.as_bytes(), &syntax);
        if alone.is_read() || matches!(alone.effect, Effect::Own(_)) {
            return Ok(());
        }
        let batch = classify(format!("{text}\n; select 1").as_bytes(), &syntax);
        prop_assert!(!batch.is_read(), "{:?}", text);
    }
}
