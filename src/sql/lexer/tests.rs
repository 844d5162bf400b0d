use super::*;
use crate::sql::syntax::Flavour;

const MYSQL: Syntax = Syntax {
    ansi_quotes: false,
    no_backslash_escapes: false,
    ignore_space: false,
    charset: Charset::Utf8,
    flavour: Flavour::MySql,
    version: 90_704,
    multi_statements: true,
};

/// The tokens of a text, a letter for the kind of each, and whether the text was doubtful.
fn tokens(text: &str, syntax: Syntax) -> (Vec<String>, bool) {
    let mut lexer = Lexer::new(text.as_bytes(), syntax);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next();
        let kind = match token.kind {
            Kind::End => return (tokens, lexer.fault()),
            Kind::Word => 'w',
            Kind::Name => 'n',
            Kind::String => 's',
            Kind::Number => '0',
            Kind::UserVariable => 'u',
            Kind::SystemVariable => 'v',
            Kind::Assign => ':',
            Kind::Punctuation(_) => 'p',
        };
        tokens.push(format!("{kind}{}", String::from_utf8_lossy(token.text(text.as_bytes()))));
    }
}

fn check(text: &str, expected: &str) {
    let (tokens, fault) = tokens(text, MYSQL);
    assert_eq!(tokens.join(" "), expected, "{text}");
    assert!(!fault, "{text}");
}

#[test]
fn numbers_end_where_the_server_ends_them() {
    check("1 1.5 .5 1. 1e5 1e+5 1.e5 .5e-3", "01 01.5 0.5 01. 01e5 01e+5 01.e5 0.5e-3");
    check("1.for", "01. wfor");
    check("1.5for", "01.5 wfor");
    check("1e5for", "01e5 wfor");
    check("1for", "n1for");
    check("1e", "n1e");
    check("1e+x", "n1e p+ wx");
    check("0x1f 0b01 0xg 0b2 0x", "00x1f 00b01 n0xg n0b2 n0x");
    check("a.1e5", "na p. n1e5");
    check("a.5", "na p. n5");
}

#[test]
fn names_next_to_a_dot_are_no_keywords() {
    check("t.for", "nt p. nfor");
    check("for.t", "nfor p. nt");
    check("t. for", "wt p. wfor");
    check("t .for", "wt p. nfor");
    check("`a``b`.c", "n`a``b` p. nc");
}

#[test]
fn variables_are_one_token() {
    check("@a @a.b @'a b' @\"c\" @`d` @", "u@a u@a.b u@'a b' u@\"c\" u@`d` u@");
    check("@@a @@session.b @a:=1", "v@@ wa v@@ nsession p. nb u@a ::= 01");
}

#[test]
fn strings_follow_the_mode() {
    check("'a''b' 'a\\'b' \"c\"\"d\" n'e' x'0f' b'01'", "s'a''b' s'a\\'b' s\"c\"\"d\" sn'e' sx'0f' sb'01'");
    let plain = Syntax { no_backslash_escapes: true, ..MYSQL };
    assert_eq!(tokens("'a\\' b", plain).0, ["s'a\\'", "wb"]);
    let ansi = Syntax { ansi_quotes: true, ..MYSQL };
    assert_eq!(tokens("\"a\\\" b", ansi).0, ["n\"a\\\"", "wb"]);
}

#[test]
fn comments_are_space_unless_they_are_code() {
    check("a/* b */c # d\ne -- f\ng --h", "wa wc we wg p- p- wh");
    check("a /*! b */ c /*!90704 d */ /*!90705 e */ /*!090704 f */", "wa wb wc wd wf");
    check("/*!50000 a /* b */ c */ d", "wa wc wd");
    check("/*!99999 a /* b */ c */ d", "wd");
    check("/*M! a */ b", "wb");
    let mariadb = Syntax { flavour: Flavour::MariaDb, version: 110_806, ..MYSQL };
    assert_eq!(
        tokens("/*M! a */ /*!50701 b */ /*!100000 c */ /*M!50701 d */", mariadb).0,
        ["wa", "wc", "wd"]
    );
}

#[test]
fn what_can_be_read_in_two_ways_is_doubtful() {
    for text in [
        "'a",
        "`a",
        "\"a",
        "/* a",
        "/*! a",
        "a\0",
        "-- \0",
        "\\N",
        "x'0",
        "x'zz'",
        "1.ex",
        "@é",
        "/*! ; */",
        "/*+ `a */",
        "/*!99999 /* a */",
        "`a\0`",
    ] {
        assert!(tokens(text, MYSQL).1, "{text:?}");
    }
}
