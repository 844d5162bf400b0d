//! A script: steps as text, one paragraph each, with where each may run. README.md describes the format.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cluster::Flavour;

/// What one session after the other is to do.
pub struct Script {
    /// Its file's name without the ending.
    pub name: String,
    pub steps: Vec<Step>,
}

/// One command of one session.
#[derive(Debug, Clone)]
pub struct Step {
    pub line: usize,
    pub session: String,
    pub place: Place,
    /// What differs from run to run: rows are counted and not compared.
    pub is_volatile: bool,
    /// The server gives the rows in no certain order.
    pub is_unordered: bool,
    pub command: Command,
    /// A word in its text that no other step has.
    pub mark: String,
}

/// Where a step may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A replica should serve it, and the primary may.
    Replica,
    Primary,
    /// On the primary at last: a replica may have been asked before, and have refused it as a write.
    Healed,
    /// Where the session's step before it ran.
    Same,
    Any,
}

/// What is sent.
#[derive(Debug, Clone)]
pub enum Command {
    Query(Vec<u8>),
    /// The handle's name, and the text.
    Prepare(String, Vec<u8>),
    Execute {
        handle: String,
        cursor: bool,
        parameters: Vec<Parameter>,
    },
    /// How many rows.
    Fetch(String, u32),
    /// A piece of a parameter.
    LongData(String, u16, Vec<u8>),
    ResetStatement(String),
    Close(String),
    InitDb(Vec<u8>),
    FieldList(Vec<u8>),
    SetOption(u16),
    Ping,
    Statistics,
    ResetConnection,
    /// The user, whose password is the same word, and the schema.
    ChangeUser(String, String),
    /// COM_QUIT; the session's next step logs in anew.
    Quit,
}

/// A value for COM_STMT_EXECUTE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    /// It was sent with COM_STMT_SEND_LONG_DATA.
    Long,
}

impl Script {
    /// Reads a file; the steps are those for `flavour`.
    pub fn read(file: &Path, flavour: Flavour) -> Result<Self> {
        let name = file.file_stem().and_then(|name| name.to_str()).context("a script's name")?.to_owned();
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let number: String = name.chars().take_while(|c| *c != '-').collect();
        let schema = schema(&name);
        let mut steps = Vec::new();
        for (line, text) in paragraphs(&text) {
            // Digits and letters only: it stands in comments and, where {mark} says so, in names and strings.
            let mark = format!("m{number}x{line}x");
            let text = text.replace("{schema}", &schema);
            let step = Step::parse(line, &text, &mark, flavour);
            steps.extend(step.with_context(|| format!("{}:{line}", file.display()))?);
        }
        Ok(Self { name, steps })
    }

    /// The schema in which its sessions begin.
    pub fn schema(&self) -> String {
        schema(&self.name)
    }
}

fn schema(name: &str) -> String {
    format!("app_r{}", name.replace('-', "_"))
}

/// The number of its first line and the text of each paragraph; a line that is indented goes on with the one before.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match paragraphs.last_mut() {
            Some((_, paragraph)) if line.starts_with(' ') => {
                paragraph.push('\n');
                paragraph.push_str(line.trim());
            }
            _ => paragraphs.push((index + 1, line.to_owned())),
        }
    }
    paragraphs
}

impl Step {
    /// `None` if it is for the other flavour.
    fn parse(line: usize, paragraph: &str, mark: &str, flavour: Flavour) -> Result<Option<Self>> {
        let (head, text) = paragraph.split_once(": ").context("a step is `where: what`")?;
        let mut words = head.split(' ');
        let first = words.next().unwrap_or_default();
        let (session, place) = first.split_once('.').unwrap_or(("a", first));
        let place = match place {
            "replica" => Place::Replica,
            "primary" => Place::Primary,
            "healed" => Place::Healed,
            "same" => Place::Same,
            "any" => Place::Any,
            other => bail!("'{other}' is not replica, primary, healed, same or any"),
        };
        let (mut is_volatile, mut is_unordered, mut has_escapes, mut is_wanted) = (false, false, false, true);
        for word in words {
            match word {
                "volatile" => is_volatile = true,
                "unordered" => is_unordered = true,
                "escapes" => has_escapes = true,
                "mysql" => is_wanted &= flavour == Flavour::MySql,
                "mariadb" => is_wanted &= flavour == Flavour::MariaDb,
                other => bail!("what is '{other}'?"),
            }
        }
        if !is_wanted {
            return Ok(None);
        }
        let command = match text.strip_prefix('!') {
            Some(command) => Command::parse(command, mark)?,
            None => Command::Query(marked(text, mark, has_escapes)?),
        };
        let (session, mark) = (session.to_owned(), mark.to_owned());
        Ok(Some(Self { line, session, place, is_volatile, is_unordered, command, mark }))
    }

    /// For a report, on one line.
    pub fn text(&self) -> String {
        match &self.command {
            Command::Query(text) => String::from_utf8_lossy(text).replace('\n', " "),
            other => format!("{other:?}"),
        }
    }
}

/// The text with the mark where it says, or in a comment at its end.
fn marked(text: &str, mark: &str, has_escapes: bool) -> Result<Vec<u8>> {
    let text =
        if text.contains("{mark}") { text.replace("{mark}", mark) } else { format!("{text} /* {mark} */") };
    if has_escapes { unescaped(&text) } else { Ok(text.into_bytes()) }
}

/// `\xHH` becomes that byte; all other backslashes stay.
fn unescaped(text: &str) -> Result<Vec<u8>> {
    let mut pieces = text.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).context("two digits after \\x")?;
        bytes.push(u8::from_str_radix(digits, 16)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(bytes)
}

impl Command {
    fn parse(text: &str, mark: &str) -> Result<Self> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (handle, argument) = rest.split_once(' ').unwrap_or((rest, ""));
        let handle = handle.to_owned();
        Ok(match name {
            "prepare" => Self::Prepare(handle, marked(argument, mark, false)?),
            "execute" => Self::Execute { handle, cursor: false, parameters: parameters(argument)? },
            "open" => Self::Execute { handle, cursor: true, parameters: parameters(argument)? },
            "fetch" => Self::Fetch(handle, argument.parse()?),
            "long_data" => {
                let (number, piece) =
                    argument.split_once(' ').context("a parameter's number and its text")?;
                Self::LongData(handle, number.parse()?, piece.into())
            }
            "reset" => Self::ResetStatement(handle),
            "close" => Self::Close(handle),
            "init_db" => Self::InitDb(rest.into()),
            "field_list" => Self::FieldList(rest.into()),
            "set_option" => Self::SetOption(rest.parse()?),
            "ping" => Self::Ping,
            "statistics" => Self::Statistics,
            "reset_connection" => Self::ResetConnection,
            "change_user" => Self::ChangeUser(handle, argument.to_owned()),
            "quit" => Self::Quit,
            other => bail!("no command is called '{other}'"),
        })
    }
}

/// `NULL`, `LONG`, numbers and quoted texts, separated by spaces; a text has no quote in it.
fn parameters(mut text: &str) -> Result<Vec<Parameter>> {
    let mut parameters = Vec::new();
    while !text.is_empty() {
        let (value, rest) = if let Some(quoted) = text.strip_prefix('\'') {
            let (value, rest) = quoted.split_once('\'').context("a quote that ends the text")?;
            (Parameter::Text(value.into()), rest)
        } else {
            let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
            let value = match word {
                "NULL" => Parameter::Null,
                "LONG" => Parameter::Long,
                number => Parameter::Integer(number.parse().with_context(|| number.to_owned())?),
            };
            (value, rest)
        };
        parameters.push(value);
        text = rest.trim_start();
    }
    ensure!(parameters.len() <= 8, "at most eight parameters");
    Ok(parameters)
}
