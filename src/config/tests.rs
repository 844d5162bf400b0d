//! What a file becomes, or what is said of it. The parsers of single values are tested beside them.

mod mistakes;
mod sample;
mod secrets;
mod valid;

use super::{Config, ConfigErrors};

/// The shortest file without mistakes; sections may follow.
const START: &str = "servers = [\"db1:3306\"]\naccount = { user = \"dauphin\", password = \"pw\" }\n";

/// Reads `START` and then `text`, whose first line is line 3; only the variable `SET` is set.
fn read(text: &str) -> Result<Config, ConfigErrors> {
    read_alone(&format!("{START}{text}"))
}

fn read_alone(text: &str) -> Result<Config, ConfigErrors> {
    let environment = |name: &str| (name == "SET").then(|| "from the environment".into());
    Config::read_file("dauphin.toml".as_ref(), text, &environment)
}

fn valid(text: &str) -> Config {
    read(text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// What is said of `START` and `text`, a line per mistake, without the file's name.
fn said_of(text: &str) -> Vec<String> {
    lines(read(text))
}

fn lines(result: Result<Config, ConfigErrors>) -> Vec<String> {
    let Err(errors) = result else { return Vec::new() };
    let line = |line: &str| line.strip_prefix("dauphin.toml:").expect("each line names the file").to_owned();
    errors.to_string().lines().map(line).collect()
}
