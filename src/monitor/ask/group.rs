//! What a member of a replication group says of the group and of itself.

use super::{Pairs, text};
use crate::{
    backend::Own,
    topology::{Flavour, Gtids, group::GroupMember},
};

/// The server's place in its group: `answer` has the members as it sees them, if the account may ask. A server that is
/// set up to be a member is one, whether or not it has joined.
pub(super) fn member(settings: &Pairs, answer: Option<&Own>, identity: &str) -> Option<GroupMember> {
    let is_set_up = settings.get("group_replication_group_name").is_some_and(|name| !name.is_empty());
    let Some(answer) = answer else { return is_set_up.then(GroupMember::default) };
    let value = |row, name| text(answer, row, name).unwrap_or_default();
    let rows = 0..answer.rows.len();
    let itself = rows.clone().find(|&row| value(row, "MEMBER_ID").eq_ignore_ascii_case(identity));
    let Some(itself) = itself else {
        return is_set_up.then(|| GroupMember { state: "OFFLINE".to_owned(), ..GroupMember::default() });
    };
    let is_seen = |row: &usize| matches!(value(*row, "MEMBER_STATE").as_str(), "ONLINE" | "RECOVERING");
    let state = value(itself, "MEMBER_STATE");
    Some(GroupMember {
        is_primary: value(itself, "MEMBER_ROLE") == "PRIMARY" && state == "ONLINE",
        has_majority: rows.clone().filter(is_seen).count() * 2 > rows.len(),
        single_primary: settings.is_on("group_replication_single_primary_mode"),
        received: Gtids::parse(Flavour::MySql, &value(itself, "RECEIVED_TRANSACTION_SET"))
            .unwrap_or_default(),
        weight: settings.number("group_replication_member_weight"),
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tests::answer, *};

    fn settings() -> Pairs {
        let of = |rows: &[&[&str]]| answer(&["Variable_name", "Value"], rows);
        Pairs::new(&[&of(&[
            &["group_replication_group_name", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"],
            &["group_replication_single_primary_mode", "ON"],
            &["group_replication_member_weight", "50"],
        ])])
    }

    const COLUMNS: [&str; 4] = ["MEMBER_ID", "MEMBER_STATE", "MEMBER_ROLE", "RECEIVED_TRANSACTION_SET"];

    #[test]
    fn a_member_without_a_majority_is_known_as_such() {
        let seen: &[&[&str]] = &[
            &["a", "ONLINE", "PRIMARY", ""],
            &["b", "UNREACHABLE", "SECONDARY", ""],
            &["c", "UNREACHABLE", "SECONDARY", ""],
        ];
        let alone = member(&settings(), Some(&answer(&COLUMNS, seen)), "a").unwrap();
        assert!(alone.is_primary && !alone.has_majority && !alone.leads());
        let all = answer(&COLUMNS, &[&["a", "ONLINE", "PRIMARY", ""], &["b", "ONLINE", "SECONDARY", ""]]);
        assert!(member(&settings(), Some(&all), "A").unwrap().leads());
    }

    #[test]
    fn a_server_that_is_set_up_to_be_a_member_is_one_before_it_has_joined() {
        let nobody = answer(&COLUMNS, &[]);
        assert_eq!(member(&settings(), Some(&nobody), "a").unwrap().state, "OFFLINE");
        assert_eq!(member(&settings(), None, "a").unwrap().state, "", "it may not be looked at");
        assert_eq!(member(&Pairs::new(&[]), Some(&nobody), "a"), None);
        assert_eq!(member(&Pairs::new(&[]), None, "a"), None);
    }
}
