//! What is said of mistaken files.

use super::super::{Config, options};
use super::{START, lines, read_alone, said_of};

/// Each text follows `START`; each is one mistake.
#[test]
fn a_mistake_has_its_line_place_cause_and_remedy() {
    for (text, said) in [
        (
            "[pool]\nmax_age = \"5 parsecs\"",
            r#"4: [pool] max_age: "5 parsecs" is not a duration; write for example "30m" or "1h""#,
        ),
        (
            "[pool]\nmax_age = 300",
            r#"4: [pool] max_age: 300 is a number, not a duration; write the unit too, for example "300s" or "300ms""#,
        ),
        (
            "[pool]\nmax_age = \"31d\"",
            r#"4: [pool] max_age: "31d" is out of range; write a value from "1s" to "30d""#,
        ),
        ("[pool]\nmax_aeg = \"1h\"", "4: [pool] max_aeg: is not an option; did you mean max_age?"),
        (
            "[pool]\nconsistency = \"session\"",
            "4: [pool] consistency: is not an option; it belongs under [routing]",
        ),
        ("max_age = \"1h\"", "3: max_age: is not an option; it belongs under [pool]"),
        ("[poool]\nmax_age = 1", "3: poool: is not an option; did you mean [pool]?"),
        ("[tls.clients]", "3: [tls] clients: is not an option; did you mean [tls.client]?"),
        (
            "[pool]\ncompression = \"zlip\"",
            r#"4: [pool] compression: "zlip" is not known here; did you mean "zlib"? Write "off", "zlib" or "zstd""#,
        ),
        ("pool = 5", "3: pool: is a number, but names a section; write [pool] on a line of its own"),
        ("[[pool]]", "3: pool: is a list, but names a section; write [pool] on a line of its own"),
        (
            "[admin]\naddress = \"0.0.0.0:6032\"",
            "4: [admin] address: 0.0.0.0:6032 is open to other machines, and there is no password; give one of \
             password, password_file and password_env, or listen on 127.0.0.1",
        ),
        (
            "[admin]\nhttp_address = [\"127.0.0.1:6080\", \"[::]:6080\"]\npassword = \"pw\"\n\
             [tls.client]\nmode = \"disabled\"",
            "4: [admin] http_address: [::]:6080 is open to other machines, and [tls.client] mode is \"disabled\"; \
             write [tls.client] mode = \"preferred\", or require_tls = false, or listen on 127.0.0.1",
        ),
        (
            "[admin]\naddress = \"0.0.0.0:6032\"\npassword = \"pw\"\n[[admin.users]]\nname = \"watcher\"\npassword = \"\"",
            "4: [admin] address: 0.0.0.0:6032 is open to other machines, and the password of \"watcher\" is empty; give \
             every one of [[admin.users]] a password, or listen on 127.0.0.1",
        ),
        (
            "[[admin.users]]\nname = \"admin\"\npassword = \"pw\"",
            "4: [[admin.users]] name: \"admin\" is the user of [admin] already; give it another name, or name another \
             user in [admin]",
        ),
        (
            "[[admin.users]]\nname = \"a\"",
            "3: [[admin.users]] password: is missing; give one of password, password_file and password_env",
        ),
        (
            "[[admin.users]]\nname = \"a\"\npassword = \"pw\"\nrole = \"veiwer\"",
            r#"6: [[admin.users]] role: "veiwer" is not known here; did you mean "viewer"? Write "operator" or "viewer""#,
        ),
        (
            "[admin]\nusers = [{ name = \"a\", password = \"pw\" }, { name = \"a\", password = \"pw\" }]",
            "4: [[admin.users]] name: \"a\" is named twice; keep one of the two",
        ),
        ("[threads]\ndata = -1", "4: [threads] data: -1 is out of range; write a number from 0 to 1024"),
        (
            "[threads]\ndata = 99999999999999999999",
            "4: [threads] data: 9223372036854775807 is out of range; write a number from 0 to 1024",
        ),
        (
            "[threads]\ndata = \"all\"",
            "4: [threads] data: \"all\" is not a whole number; write a number from 0 to 1024",
        ),
        (
            "[routing]\nretry_reads = \"yes\"",
            "4: [routing] retry_reads: \"yes\" is not true or false; write true or false, without quotes",
        ),
        (
            "[routing]\nconsistency = \"sesion\"",
            r#"4: [routing] consistency: "sesion" is not known here; did you mean "session"? Write "eventual", "session" or "global""#,
        ),
        (
            "[limits]\nresult_buffer = \"16KB\"",
            r#"4: [limits] result_buffer: "16KB" is not a size; write "16KiB""#,
        ),
        (
            "[limits]\nmax_command = \"2GiB\"",
            r#"4: [limits] max_command: "2GiB" is out of range; write a value from "1KiB" to "1GiB""#,
        ),
        (
            "[cache]\nmax_text = \"16MiB\"\nclassification_bytes = \"1MiB\"",
            "4: [cache] max_text: is more than classification_bytes, the room for all texts; lower max_text or raise classification_bytes",
        ),
        ("[log]\nlevel = \"inof\"", r#"4: [log] level: "inof" is not a log level; did you mean "info"?"#),
        (
            "[listen]\naddress = [\n\"0.0.0.0:1\",\n\"0.0.0.0:1\",\n]",
            r#"6: [listen] address: "0.0.0.0:1" is named twice; keep one of the two"#,
        ),
        ("[listen]\naddress = []", "4: [listen] address: is empty; name at least one address"),
        (
            "[auth]\nonly_configured = true",
            "4: [auth] only_configured: there are no users, so nobody could log in; add [[users]], or write only_configured = false",
        ),
        (
            "[tls.server]\nmode = \"verify-ca\"",
            r#"4: [tls.server] mode: there is no ca to verify with; add ca = "ca.pem" or ca = "system""#,
        ),
        (
            "[tls.server]\nca = \"system\"",
            r#"4: [tls.server] ca: the mode verifies nothing; write mode = "verify-ca" or "verify-identity", or leave out ca"#,
        ),
        (
            "[tls.server]\nmode = \"verify-ca\"\nca = \"/none\"",
            r#"5: [tls.server] ca: "/none" cannot be read: No such file or directory (os error 2); check the path and the file's permissions"#,
        ),
        (
            "[tls.client]\ncertificate = \"/etc/passwd\"",
            "4: [tls.client] certificate: is given without key; add key, or leave out both",
        ),
        ("[[users]]\nname = \"\"\npassword = \"\"", "4: [[users]] name: is empty; write 1 to 128 characters"),
        (
            "[pool]\nmax_age = 1h",
            "4: string values must be quoted; put text in quotes, as in max_age = \"1h\"",
        ),
        ("[pool]\nmax_age = \"1h\"\nmax_age = \"1h\"", "5: duplicate key; keep one of the two"),
    ] {
        assert_eq!(said_of(text), [said], "{text}");
    }
}

#[test]
fn a_file_that_lacks_everything_is_told_what_it_needs() {
    assert_eq!(
        lines(read_alone("")),
        [
            " [account] user: is missing; add for example user = \"dauphin\"",
            " [account] password: is missing; give one of password, password_file and password_env",
            " servers: is missing; write for example servers = [\"db1:3306\", \"db2:3306\"]",
        ]
    );
}

#[test]
fn servers_and_users_are_unlike_each_other() {
    let text = "
        servers = [\"db1:3306\", \"DB1:3306\", { address = \"db2:3306\", name = \"db1:3306\", weight = 1001 }]
        users = [{ name = \"a\", password = 1 }, { name = \"a\", password = \"\" }]
        account = { user = \"dauphin\", password = \"pw\" }";
    assert_eq!(
        lines(read_alone(text)),
        [
            "2: [[servers]] weight: 1001 is out of range; write a number from 0 to 1000",
            "2: servers: db1:3306 is named twice; keep one of the two",
            "2: servers: two servers have the name \"db1:3306\"; give each its own name",
            "3: [[users]] password: is not text; put the password in quotes",
            "3: [[users]] name: \"a\" is named twice; keep one of the two",
        ]
    );
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_their_lines() {
    let text = "[monitor]\ninterval = 1\n[log]\nformat = 1\n[pool]\nlinger = \"\"\nmax_age = 1h\nidle = 1\n[auth]\nrecheck = \"1w\"";
    let numbers: Vec<String> =
        said_of(text).iter().map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(numbers, ["4", "6", "8", "9", "10", "12"]);
}

#[test]
fn what_is_not_toml_is_not_blamed_for_what_it_lacks() {
    for (text, said) in [
        (
            "servers = [\"db1:3306\"]\n[account]\nuser \"x\"",
            "3: key with no value; write it as in max_age = \"1h\"",
        ),
        (
            "servers = [\"db1:3306\"\n\n[account]\nuser = \"x\"\npassword = \"x\"",
            "3: a [ or { above this line is never closed; close it, or put commas between its members",
        ),
        ("servers = [\"db1:3306\"", "1: unclosed array; put ] after the last member of the list"),
    ] {
        assert_eq!(lines(read_alone(text)), [said], "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let errors = Config::load("/nonexistent/dauphin.toml").expect_err("there is no such file");
    assert_eq!(
        errors.to_string(),
        "/nonexistent/dauphin.toml: cannot be read: No such file or directory (os error 2); check the path and the file's permissions"
    );
}

#[test]
fn each_option_is_told_when_it_has_the_wrong_type() {
    for option in options().iter().filter(|option| !option.path.contains("[]") && option.path.contains('.')) {
        let text = if option.path.starts_with("account.") {
            format!("servers = [\"db1:3306\"]\n{} = 1979-05-27", option.path)
        } else {
            format!("{START}{} = 1979-05-27", option.path)
        };
        let said = lines(read_alone(&text));
        let key = option.path.rsplit('.').next().unwrap_or_default();
        assert!(said.iter().any(|line| line.contains(&format!("] {key}: is"))), "{}: {said:?}", option.path);
    }
}

/// Whatever befalls a file, reading it ends in a `Config` or in a list of mistakes, and never in a panic.
#[test]
fn a_mangled_file_never_panics() {
    const SAMPLE: &str = include_str!("../../../config/dauphin.toml");
    let options: Vec<&str> = SAMPLE.lines().filter(|line| !line.starts_with("# ")).collect();
    let sample = options.join("\n").replace("\n#", "\n");
    for (at, found) in sample.match_indices(['[', ']', '"', '=', '\n', '.', ',']) {
        let (before, after) = (&sample[..at], &sample[at + found.len()..]);
        for mangled in [before.to_owned(), format!("{before}{after}"), format!("{before}[{after}")] {
            if let Err(errors) = read_alone(&mangled) {
                assert!(!errors.mistakes().is_empty(), "{mangled}");
            }
        }
    }
}
