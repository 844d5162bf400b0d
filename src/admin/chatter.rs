//! What MySQL clients say by themselves: they set what they want set, and ask who the server is.

use std::borrow::Cow;

/// The version that clients are told: they decide by it what they may say.
pub const VERSION: &str = concat!("8.0.36-dauphin-", env!("CARGO_PKG_VERSION"));

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// That it is done; nothing was, since nothing here depends on it.
    Ok,
    /// Columns and rows.
    Rows(Vec<String>, Vec<Vec<Option<String>>>),
    /// There is no such variable.
    UnknownVariable(String),
}

/// The variables that clients and drivers are known to ask for when they connect.
const VARIABLES: &[(&str, &str)] = &[
    ("auto_increment_increment", "1"),
    ("autocommit", "1"),
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_database", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("character_set_server", "utf8mb4"),
    ("collation_connection", "utf8mb4_general_ci"),
    ("collation_database", "utf8mb4_general_ci"),
    ("collation_server", "utf8mb4_general_ci"),
    ("init_connect", ""),
    ("interactive_timeout", "28800"),
    ("license", "Apache-2.0"),
    ("lower_case_table_names", "0"),
    ("max_allowed_packet", "67108864"),
    ("net_write_timeout", "60"),
    ("performance_schema", "0"),
    ("port", "6032"),
    ("protocol_version", "10"),
    ("read_only", "0"),
    ("session_track_gtids", "OFF"),
    ("sql_mode", ""),
    ("system_time_zone", "UTC"),
    ("time_zone", "SYSTEM"),
    ("transaction_isolation", "REPEATABLE-READ"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("transaction_read_only", "0"),
    ("tx_read_only", "0"),
    ("version", VERSION),
    ("version_comment", "dauphin admin: HELP lists the commands"),
    ("version_compile_os", "Linux"),
    ("wait_timeout", "28800"),
];

/// What a client that says this without being asked wants to hear; `None` if it is nothing of the kind.
pub fn answer(text: &str, user: &str, id: u32) -> Option<Answer> {
    let text = without_comments(text);
    let text = text.trim().trim_end_matches(';').trim();
    let mut words = text.split_whitespace().map(str::to_ascii_uppercase);
    match (words.next().as_deref()?, words.next().as_deref().unwrap_or_default()) {
        ("SET" | "USE" | "BEGIN" | "COMMIT" | "ROLLBACK" | "START", _) => Some(Answer::Ok),
        ("SELECT", _) => select(text[6..].trim(), user, id),
        ("SHOW", "VARIABLES" | "SESSION" | "GLOBAL" | "STATUS") => Some(show_variables(text)),
        ("SHOW", "WARNINGS" | "ERRORS") => Some(empty(&["Level", "Code", "Message"])),
        ("SHOW", "DATABASES" | "SCHEMAS") => Some(empty(&["Database"])),
        ("SHOW", "TABLES" | "FULL") => Some(empty(&["Tables"])),
        ("SHOW", "COLLATION") => Some(Answer::Rows(
            ["Collation", "Charset", "Id", "Default", "Compiled", "Sortlen"].map(Into::into).into(),
            vec![
                ["utf8mb4_general_ci", "utf8mb4", "45", "", "Yes", "1"].map(|text| Some(text.into())).into(),
            ],
        )),
        ("SHOW", "CHARACTER" | "CHARSET") => Some(Answer::Rows(
            ["Charset", "Description", "Default collation", "Maxlen"].map(Into::into).into(),
            vec![
                ["utf8mb4", "UTF-8 Unicode", "utf8mb4_general_ci", "4"].map(|text| Some(text.into())).into(),
            ],
        )),
        ("SHOW", "ENGINES" | "PLUGINS" | "PROCEDURE" | "FUNCTION") => Some(empty(&["Name"])),
        _ => None,
    }
}

fn empty(columns: &[&str]) -> Answer {
    Answer::Rows(columns.iter().map(|name| (*name).to_owned()).collect(), Vec::new())
}

/// One row of expressions that can be told without a server; `None` if one cannot.
fn select(list: &str, user: &str, id: u32) -> Option<Answer> {
    let list = match list.to_ascii_uppercase().find(" LIMIT ") {
        Some(at) => &list[..at],
        None => list,
    };
    let (mut columns, mut row) = (Vec::new(), Vec::new());
    for item in list.split(',').map(str::trim) {
        let (expression, alias) = alias(item);
        let value = match value(expression, user, id)? {
            Ok(value) => value,
            Err(unknown) => return Some(Answer::UnknownVariable(unknown)),
        };
        columns.push(alias.to_owned());
        row.push(value);
    }
    Some(Answer::Rows(columns, vec![row]))
}

/// `expression AS name`, `expression name`
fn alias(item: &str) -> (&str, &str) {
    let Some((expression, rest)) = item.split_once(char::is_whitespace) else { return (item, item) };
    let rest = rest.trim();
    let name = match rest.split_once(char::is_whitespace) {
        Some((keyword, name)) if keyword.eq_ignore_ascii_case("AS") => name.trim(),
        _ => rest,
    };
    (expression, name.trim_matches(['`', '\'', '"']))
}

/// `None`: not an expression that is known here; an error: a variable that is not.
fn value(expression: &str, user: &str, id: u32) -> Option<Result<Option<String>, String>> {
    if let Some(name) = expression.strip_prefix("@@") {
        let name = name.to_ascii_lowercase();
        let name = ["session.", "global.", "local."]
            .iter()
            .find_map(|scope| name.strip_prefix(scope))
            .unwrap_or(&name)
            .trim_matches('`');
        return Some(match VARIABLES.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(Some((*value).to_owned())),
            // Clients that find no socket stay with TCP.
            None if name == "socket" => Ok(None),
            None => Err(name.to_owned()),
        });
    }
    let known: Option<Cow<'_, str>> = match expression.to_ascii_uppercase().as_str() {
        "DATABASE()" | "SCHEMA()" | "NULL" => None,
        "VERSION()" => Some(VERSION.into()),
        "USER()" | "CURRENT_USER()" | "CURRENT_USER" => Some(user.into()),
        "CONNECTION_ID()" => Some(id.to_string().into()),
        // The mysql client asks whether the server has dollar quoting.
        "$$" => return None,
        number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(number.to_owned().into())
        }
        _ => return None,
    };
    Some(Ok(known.map(Cow::into_owned)))
}

/// SHOW VARIABLES, with LIKE or `= 'name'` on the name.
fn show_variables(text: &str) -> Answer {
    let quoted: Vec<_> = text.split('\'').skip(1).step_by(2).map(str::to_ascii_lowercase).collect();
    let is_meant = |name: &str| {
        quoted.is_empty()
            || quoted.iter().any(|meant| match meant.strip_suffix('%') {
                Some(start) => name.starts_with(start),
                None => *meant == name,
            })
    };
    let is_status = text.to_ascii_uppercase().contains("STATUS");
    let known = VARIABLES.iter().filter(|(name, _)| !is_status && is_meant(name));
    let rows = known.map(|(name, value)| vec![Some((*name).to_owned()), Some((*value).to_owned())]);
    Answer::Rows(["Variable_name", "Value"].map(Into::into).into(), rows.collect())
}

fn without_comments(text: &str) -> Cow<'_, str> {
    let Some((before, rest)) = text.split_once("/*") else { return text.into() };
    let after = rest.split_once("*/").map_or("", |(_, after)| after);
    Cow::Owned(format!("{before} {}", without_comments(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (Vec<String>, Vec<Option<String>>) {
        match answer(text, "admin", 7) {
            Some(Answer::Rows(columns, mut rows)) => (columns, rows.pop().unwrap_or_default()),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_clients_ask_when_they_connect_is_answered() {
        // The mysql client; mysql_async; Connector/J (shortened); dauphin itself.
        assert_eq!(rows("select @@version_comment limit 1").0, ["@@version_comment"]);
        assert_eq!(
            rows("SELECT @@max_allowed_packet,@@wait_timeout,@@socket").1,
            [Some("67108864".to_owned()), Some("28800".to_owned()), None]
        );
        assert_eq!(
            rows(
                "/* mysql-connector */SELECT @@session.auto_increment_increment AS auto_increment_increment, @@sql_mode AS `m`"
            ),
            (
                vec!["auto_increment_increment".to_owned(), "m".to_owned()],
                vec![Some("1".to_owned()), Some(String::new())]
            )
        );
        assert_eq!(rows("SELECT CONNECTION_ID(), USER(), 1").1.len(), 3);
        assert_eq!(
            rows("SHOW VARIABLES LIKE 'sql_mode'").1,
            [Some("sql_mode".to_owned()), Some(String::new())]
        );
        assert_eq!(rows("SHOW WARNINGS").1, []);
        for text in ["SET NAMES utf8mb4", "set autocommit=1", "USE x", "COMMIT", "SET a=1, b=2;"] {
            assert_eq!(answer(text, "admin", 7), Some(Answer::Ok), "{text}");
        }
    }

    #[test]
    fn what_is_no_chatter_is_not_answered() {
        for text in
            ["SELECT * FROM t", "select $$", "SELECT now()", "DELETE FROM t", "", "SHOW SERVRES", "/*"]
        {
            assert_eq!(answer(text, "admin", 7), None, "{text}");
        }
        assert_eq!(
            answer("SELECT @@nonsense", "admin", 7),
            Some(Answer::UnknownVariable("nonsense".to_owned()))
        );
    }
}
