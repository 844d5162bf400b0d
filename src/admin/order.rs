//! An order: a command with its arguments, read from a text or from a JSON object.

use serde::Deserialize;

use super::command::{COMMANDS, Command, Deed, Verb};
use crate::config::suggest::nearest;

/// A command with its arguments.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which.
    pub command: &'static Command,
    /// What it is told.
    pub arguments: Arguments,
}

/// What a command may be told, by the names that HTTP has for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arguments {
    /// LIKE: rows with such a value only.
    pub like: Option<String>,
    /// HELP: on this command.
    pub topic: Option<String>,
    /// Which server.
    #[serde(alias = "to")]
    pub server: Option<String>,
    /// FORCE.
    pub force: bool,
    /// KILL: which session.
    pub id: Option<u64>,
    /// KILL: only its statement.
    pub query: bool,
}

/// The longest text that is an order, in bytes.
pub const LONGEST: usize = 4_096;

impl Order {
    /// Reads what an operator has typed; `None` if it is none of the commands.
    ///
    /// # Errors
    /// It is one, and its arguments are wrong: what is wrong and how it is written.
    pub fn read(text: &str) -> Option<Result<Self, String>> {
        let words = words(text);
        let is_named = |command: &&Command| {
            let name: Vec<_> = command.name.split(' ').collect();
            words.len() >= name.len() && name.iter().zip(&words).all(|(name, word)| word.is(name))
        };
        let command = COMMANDS.iter().find(is_named)?;
        let rest = &words[command.name.split(' ').count()..];
        let wrong = |what| format!("{what}; write {}", command.syntax());
        Some(
            Arguments::read(command, rest).map_err(wrong).and_then(|arguments| Self::new(command, arguments)),
        )
    }

    /// An order with these arguments.
    ///
    /// # Errors
    /// The command needs others, or takes no such.
    pub fn new(command: &'static Command, arguments: Arguments) -> Result<Self, String> {
        let Arguments { like, topic, server, force, id, query } = &arguments;
        let takes_server = matches!(
            command.verb,
            Verb::Act(Deed::SwitchOver | Deed::FailOver | Deed::Drain | Deed::Undrain)
        );
        let takes_force = matches!(command.verb, Verb::Act(Deed::SwitchOver | Deed::FailOver));
        let is_kill = command.verb == Verb::Act(Deed::Kill);
        let needs_server = matches!(command.verb, Verb::Act(Deed::Drain | Deed::Undrain));
        let wrong = [
            (needs_server && server.is_none(), "names no server"),
            (is_kill && id.is_none(), "names no id of a session"),
            (server.is_some() && !takes_server, "takes no server"),
            (*force && !takes_force, "takes no FORCE"),
            ((id.is_some() || *query) && !is_kill, "takes no id"),
            (like.is_some() && !matches!(command.verb, Verb::Show(_)), "takes no LIKE"),
            (topic.is_some() && command.verb != Verb::Help, "takes no topic"),
        ];
        match wrong.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, what)) => Err(format!("{} {what}; write {}", command.name, command.syntax())),
            None => Ok(Self { command, arguments }),
        }
    }
}

impl Arguments {
    fn read(command: &Command, words: &[Word]) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut words = words.iter();
        if command.verb == Verb::Help {
            let topic: Vec<_> = words.map(|word| word.text.as_str()).collect();
            arguments.topic = Some(topic.join(" ")).filter(|topic| !topic.is_empty());
            return Ok(arguments);
        }
        let bare_server = matches!(command.verb, Verb::Act(Deed::Drain | Deed::Undrain));
        let is_kill = command.verb == Verb::Act(Deed::Kill);
        while let Some(word) = words.next() {
            let mut next =
                |what| words.next().map(|word| word.text.clone()).ok_or(format!("{what} is missing"));
            if word.is("LIKE") && arguments.like.is_none() {
                arguments.like = Some(next("the pattern")?);
            } else if word.is("TO") && arguments.server.is_none() && !bare_server {
                arguments.server = Some(next("the server")?);
            } else if word.is("FORCE") && !arguments.force {
                arguments.force = true;
            } else if is_kill && word.is("QUERY") && arguments.id.is_none() {
                arguments.query = true;
            } else if is_kill && word.is("CONNECTION") && arguments.id.is_none() {
            } else if is_kill && arguments.id.is_none() {
                let id = word.text.parse().map_err(|_| format!("{:?} is not an id", word.text))?;
                arguments.id = Some(id);
            } else if bare_server && arguments.server.is_none() {
                arguments.server = Some(word.text.clone());
            } else {
                return Err(format!("{:?} is not expected here", word.text));
            }
        }
        Ok(arguments)
    }
}

/// What somebody who typed this has probably meant.
pub fn hint(text: &str) -> String {
    let words = words(text);
    let tables = || COMMANDS.iter().filter_map(|command| command.name.strip_prefix("SHOW "));
    let typed = |from: usize, count: usize| {
        let words: Vec<_> = words.iter().skip(from).take(count).map(|word| word.text.as_str()).collect();
        words.join(" ")
    };
    if words.first().is_some_and(|word| word.is("SHOW")) {
        let guess = (1..=2).rev().find_map(|count| nearest(&typed(1, count), tables()));
        return match guess {
            Some(table) => format!("did you mean SHOW {table}? HELP lists the commands"),
            None => format!("SHOW knows {}", tables().collect::<Vec<_>>().join(", ")),
        };
    }
    let guess = (1..=3.min(words.len())).rev().find_map(|count| {
        let of_length = COMMANDS.iter().filter(|command| command.name.split(' ').count() == count);
        nearest(&typed(0, count), of_length.map(|command| command.name))
    });
    match guess {
        Some(name) => format!("did you mean {name}? HELP lists the commands"),
        None => "HELP lists the commands".to_owned(),
    }
}

/// One word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(keyword)
    }
}

/// The words of a text, without comments and the semicolons at its end; quotes of any kind hold a word together.
fn words(text: &str) -> Vec<Word> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix('#').or_else(|| rest.strip_prefix("-- ")) {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if matches!(first, '\'' | '"' | '`') {
            let (word, after) = rest[1..].split_once(first).unwrap_or((&rest[1..], ""));
            words.push(Word { text: word.to_owned(), quoted: true });
            rest = after;
        } else {
            let is_end = |c: char| c.is_whitespace() || matches!(c, ';' | '\'' | '"' | '`');
            let end = rest.find(is_end).unwrap_or(rest.len());
            if end > 0 {
                words.push(Word { text: rest[..end].to_owned(), quoted: false });
            }
            rest = rest[end..].trim_start_matches(';');
        }
        rest = rest.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Order {
        Order::read(text).unwrap().unwrap()
    }

    #[test]
    fn a_command_is_read_in_any_case_with_semicolon_and_comments() {
        for text in ["SHOW SERVERS", "show servers;", "/* app */ Show\n servers ;; ", "-- a\nshow servers"] {
            assert_eq!(order(text).command.name, "SHOW SERVERS", "{text}");
        }
    }

    #[test]
    fn every_command_is_reached_by_its_own_name_and_path() {
        for command in COMMANDS {
            let text = match command.verb {
                Verb::Act(Deed::Drain | Deed::Undrain) => format!("{} db1", command.name),
                Verb::Act(Deed::Kill) => format!("{} 7", command.name),
                _ => command.name.to_owned(),
            };
            assert_eq!(order(&text).command.name, command.name);
            assert_eq!(Command::at_path(command.path).map(|found| found.name), Some(command.name));
            assert!(!command.columns.is_empty());
        }
    }

    #[test]
    fn arguments_are_read() {
        let arguments = |text| order(text).arguments;
        assert_eq!(arguments("show servers like 'db%'").like.as_deref(), Some("db%"));
        assert_eq!(arguments("switchover to db2 force").server.as_deref(), Some("db2"));
        assert!(arguments("FAILOVER FORCE TO `db 3`").force);
        assert_eq!(arguments("FAILOVER FORCE TO `db 3`").server.as_deref(), Some("db 3"));
        assert_eq!(arguments("drain 'to'").server.as_deref(), Some("to"));
        assert_eq!((arguments("kill query 7").id, arguments("kill query 7").query), (Some(7), true));
        assert_eq!((arguments("kill connection 7").id, arguments("KILL 7").query), (Some(7), false));
        assert_eq!(arguments("help show servers;").topic.as_deref(), Some("show servers"));
    }

    #[test]
    fn wrong_arguments_say_what_is_wrong_and_how_it_is_written() {
        for (text, said) in [
            ("drain", "DRAIN names no server; write DRAIN server"),
            ("kill", "KILL names no id of a session; write KILL [CONNECTION | QUERY] id"),
            ("kill me", "\"me\" is not an id; write KILL [CONNECTION | QUERY] id"),
            ("pause now", "\"now\" is not expected here; write PAUSE"),
            ("switchover to", "the server is missing; write SWITCHOVER [TO server] [FORCE]"),
            ("show servers force", "SHOW SERVERS takes no FORCE; write SHOW SERVERS [LIKE 'pattern']"),
        ] {
            assert_eq!(Order::read(text).unwrap().unwrap_err(), said, "{text}");
        }
    }

    #[test]
    fn an_unknown_command_gets_a_hint() {
        for text in ["SHOW SERVRES", "shwo servers", "show server", ""] {
            assert!(Order::read(text).is_none(), "{text}");
        }
        assert_eq!(hint("SHOW SERVRES"), "did you mean SHOW SERVERS? HELP lists the commands");
        assert_eq!(hint("show falover plan"), "did you mean SHOW FAILOVER PLAN? HELP lists the commands");
        assert!(hint("show nothing").starts_with("SHOW knows SERVERS, LAG,"));
        assert_eq!(hint("switchover2 to db1"), "did you mean SWITCHOVER? HELP lists the commands");
        assert_eq!(hint("make coffee"), "HELP lists the commands");
    }
}
