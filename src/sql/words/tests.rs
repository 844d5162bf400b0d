use super::*;

fn call(word: &str, flavour: Flavour, version: u32, gap: Gap) -> Call {
    let syntax = Syntax { flavour, version, ..Syntax::default() };
    lookup(word.as_bytes()).map_or(Call::Stored, |word| word.call(&syntax, gap))
}

#[test]
fn a_word_is_found_in_any_case() {
    for word in ["select", "SELECT", "SeLeCt"] {
        assert_eq!(lookup(word.as_bytes()).map(|word| word.keyword), Some(Keyword::Select));
    }
    assert!(lookup(b"").is_none());
    assert!(lookup(b"selec").is_none());
    assert!(lookup(b"an_identifier_of_some_length").is_none());
}

#[test]
fn every_known_word_is_found_by_its_own_text() {
    let groups = builtins::GROUPS.iter().chain(grammar::GROUPS);
    let names = groups.flat_map(|group| group.names.split_ascii_whitespace());
    for name in names.chain(Keyword::NAMES.iter().map(|(_, text)| *text)) {
        assert_eq!(lookup(name.as_bytes()).map(|word| word.text), Some(name));
    }
}

#[test]
fn a_function_is_built_in_only_where_the_server_has_it() {
    let mysql = |word, version| call(word, Flavour::MySql, version, Gap::None);
    let mariadb = |word, version| call(word, Flavour::MariaDb, version, Gap::None);
    assert_eq!(mysql("CONCAT", 90_704), Call::Harmless);
    assert_eq!(mysql("uuid_to_bin", 90_704), Call::Harmless);
    assert_eq!(mysql("uuid_to_bin", 50_744), Call::Stored);
    assert_eq!(mariadb("uuid_to_bin", 110_806), Call::Stored);
    assert_eq!(mariadb("nvl", 110_806), Call::Harmless);
    assert_eq!(mysql("nvl", 90_704), Call::Stored);
    assert_eq!(mysql("md5", 90_400), Call::Harmless);
    assert_eq!(mysql("md5", 90_600), Call::Stored);
    assert_eq!(mariadb("md5", 110_806), Call::Harmless);
    assert_eq!(mysql("my_function", 90_704), Call::Stored);
    assert_eq!(mysql("get_lock", 90_704), Call::Impure(Impure::NamedLock));
}

#[test]
fn white_space_before_the_parenthesis_turns_some_built_ins_into_stored_functions() {
    assert_eq!(call("count", Flavour::MySql, 90_704, Gap::Space), Call::Stored);
    assert_eq!(call("concat", Flavour::MySql, 90_704, Gap::Space), Call::Harmless);
    assert_eq!(call("substring", Flavour::MySql, 90_704, Gap::Space), Call::Stored);
    assert_eq!(call("rank", Flavour::MariaDb, 110_806, Gap::Space), Call::Stored);
    let syntax = Syntax { ignore_space: true, version: 90_704, ..Syntax::default() };
    assert_eq!(lookup(b"count").map(|word| word.call(&syntax, Gap::Space)), Some(Call::Harmless));
    assert_eq!(lookup(b"count").map(|word| word.call(&syntax, Gap::Comment)), Some(Call::Stored));
}
