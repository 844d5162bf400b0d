//! Where passwords come from, and that they show nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::{Config, Secret};
use super::{lines, read_alone, said_of, valid};

const PASSWORD: &str = "hunter2";

#[test]
fn a_password_comes_from_the_file_another_file_or_the_environment() {
    let directory = Directory::new("ways");
    let file = directory.write("password", "from a file\n", 0o600);
    let users = format!(
        "[[users]]\nname = \"a\"\npassword = \"from the config\"\n\
         [[users]]\nname = \"b\"\npassword_file = {file:?}\n\
         [[users]]\nname = \"c\"\npassword_env = \"SET\""
    );
    let config = valid(&users);
    let passwords: Vec<&[u8]> = config.users.iter().map(|user| user.password.reveal()).collect();
    assert_eq!(passwords, [b"from the config".as_slice(), b"from a file", b"from the environment"]);
}

#[test]
fn a_path_starts_from_the_directory_of_the_config_file() {
    let directory = Directory::new("relative");
    directory.write("password", PASSWORD, 0o600);
    let text =
        "servers = [\"db1:3306\", \"db2:3306\"]\naccount = { user = \"u\", password_file = \"password\" }";
    let config = Config::load(directory.write("dauphin.toml", text, 0o644)).expect("it loads");
    assert_eq!(config.account.password.reveal(), PASSWORD.as_bytes());
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn a_password_that_anyone_can_read_is_warned_of() {
    let directory = Directory::new("modes");
    let file = directory.write("password", PASSWORD, 0o604);
    let config = valid(&format!("[[users]]\nname = \"a\"\npassword_file = {file:?}"));
    assert!(config.warnings().iter().any(|warning| warning.contains("password and anyone")));

    let text = format!("servers = [\"db1:3306\"]\naccount = {{ user = \"u\", password = {PASSWORD:?} }}");
    for (mode, warned) in [(0o644, true), (0o640, false)] {
        let config = Config::check(directory.write("dauphin.toml", &text, mode)).expect("it loads");
        assert_eq!(config.warnings().iter().any(|warning| warning.contains("anyone")), warned, "{mode:o}");
    }
}

#[test]
fn exactly_one_way_is_given_and_it_works() {
    let directory = Directory::new("wrong");
    let empty = directory.write("empty", "\n", 0o600);
    let two_lines = directory.write("two", "a\nb\n", 0o600);
    let huge = directory.write("huge", &"x".repeat(10_000), 0o600);
    for (given, said) in [
        (
            "",
            "3: [[users]] password: is missing; give one of password, password_file and password_env"
                .to_owned(),
        ),
        ("password = 5", "5: [[users]] password: is not text; put the password in quotes".to_owned()),
        (
            "password_env = \"SET\"\npassword = \"x\"",
            "5: [[users]] password_env: password is given too; keep one of them".to_owned(),
        ),
        (
            "password_env = \"UNSET\"",
            "5: [[users]] password_env: UNSET is not set; set this environment variable".to_owned(),
        ),
        (
            "password_file = \"/none\"",
            "5: [[users]] password_file: \"/none\" cannot be read: No such file or directory (os error 2); \
             check the path and the file's permissions"
                .to_owned(),
        ),
        (
            &format!("password_file = {empty:?}"),
            format!("5: [[users]] password_file: {empty:?} is empty; write the password into the file"),
        ),
        (
            &format!("password_file = {two_lines:?}"),
            "5: [[users]] password_file: holds a line break or a zero byte; keep the password on one line"
                .to_owned(),
        ),
        (
            &format!("password_file = {huge:?}"),
            "5: [[users]] password_file: is longer than 4096 bytes; use a shorter password".to_owned(),
        ),
    ] {
        assert_eq!(said_of(&format!("[[users]]\nname = \"a\"\n{given}")), [said], "{given}");
    }
}

#[test]
fn a_secret_shows_as_stars() {
    let secret = Secret::new(PASSWORD);
    assert_eq!((secret.to_string(), format!("{secret:?}")), ("***".to_owned(), "***".to_owned()));
    let config = valid(&format!("[[users]]\nname = \"a\"\npassword = {PASSWORD:?}"));
    assert!(!format!("{config:?}").contains(PASSWORD));
}

/// Files with the password in the wrong place or form.
#[test]
fn a_mistake_never_shows_the_password() {
    for text in [
        "[account]\nuser = \"u\"\npassword = hunter2",
        "[account]\nuser = \"u\"\npassword \"hunter2\"",
        "[account]\nuser = \"u\"\npassword = [\"hunter2\"]",
        "[account]\nuser = \"u\"\npassword = { is = \"hunter2\" }",
        "[account]\nuser = \"u\"\npassword = \"\"\"hunter2\n\"\"\"",
        "[account]\nuser = \"u\"\npassword_env = \"hunter2\"",
        "[account]\nuser = \"u\"\npass = \"hunter2\"",
        "account = \"hunter2\"",
        "users = [\"hunter2\"]",
        "users = \"hunter2\"",
        "servers = [\"db1:3306\"\n[account]\nuser = \"u\"\npassword = \"hunter2\"",
        "servers = [\"\"\"db1:3306\"\n[account]\nuser = \"u\"\npassword = \"hunter2\"",
        "log.level = \"\"\"info\"\n[account]\nuser = \"u\"\npassword = \"hunter2\"\n\"\"\"",
        "account = { user = \"u\"\nservers = [\"db1:3306\"]\npassword = \"hunter2\"",
    ] {
        let said = lines_of(text);
        assert!(!said.is_empty() && !said.iter().any(|line| line.contains(PASSWORD)), "{text}: {said:?}");
    }
}

fn lines_of(text: &str) -> Vec<String> {
    lines(read_alone(text))
}

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dauphin-config-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a temporary file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its permissions");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
