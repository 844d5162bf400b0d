//! Plays a script against a server or a dauphin: what each step was answered with, and when.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use dauphin_proto::{
    CapabilityFlags,
    command::{Queries, code},
};

use crate::{
    answer::{Answer, Dialect},
    raw::{Raw, Refusal},
    script::{Command, Parameter, Script, Step},
};

/// One step's answer, and the time that it took.
pub struct Played {
    pub answer: Answer,
    /// Since 1970; the servers' logs go by the same clock.
    pub began: Duration,
    pub ended: Duration,
    /// The word by which the servers' logs know what ran; `None` where they log no text for it.
    pub mark: Option<String>,
    /// dauphin's own word for why it ran there; asked for only where somebody wants to know.
    pub reason: Option<String>,
}

struct Session {
    raw: Raw,
    dialect: Dialect,
    /// By the name in the script: the server's number and the mark of its text.
    handles: HashMap<String, (u32, String)>,
}

/// Plays all steps, each session with a connection of its own.
///
/// With `is_asked` dauphin is asked after each step why it ran where it did, which is a command more in the session.
pub async fn play(
    script: &Script,
    address: SocketAddr,
    dialect: Dialect,
    is_asked: bool,
) -> Result<Vec<Played>> {
    let mut sessions: HashMap<&str, Session> = HashMap::new();
    let mut played = Vec::new();
    for step in &script.steps {
        if !sessions.contains_key(&step.session[..]) {
            let user = if step.session == "admin" { "admin" } else { "app" };
            let session = Session::open(address, user, &script.schema(), dialect).await;
            sessions.insert(&step.session, session.with_context(|| format!("line {}: login", step.line))?);
        }
        if let Command::Quit = step.command {
            let mut session = sessions.remove(&step.session[..]).context("it was opened")?;
            session.raw.command(code::QUIT, b"").await?;
            session.raw.packet().await.err().context("a server has no answer to COM_QUIT")?;
            let now = now();
            played.push(Played {
                answer: Answer::default(),
                began: now,
                ended: now,
                mark: None,
                reason: None,
            });
            continue;
        }
        let session = sessions.get_mut(&step.session[..]).context("it was opened")?;
        let began = now();
        let mut answer =
            session.play(step).await.with_context(|| format!("line {}: {}", step.line, step.text()))?;
        let ended = now();
        answer.forget_ids(&session.ids());
        let reason = if is_asked { session.reason().await.ok().flatten() } else { None };
        played.push(Played { answer, began, ended, mark: session.mark(step), reason });
    }
    Ok(played)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970")
}

impl Session {
    async fn open(address: SocketAddr, user: &str, schema: &str, dialect: Dialect) -> Result<Self> {
        let wanted = match dialect {
            Dialect::Eof => CapabilityFlags::empty(),
            // As libmysqlclient, where the server offers both.
            Dialect::Ok => CapabilityFlags::CLIENT_DEPRECATE_EOF | CapabilityFlags::CLIENT_QUERY_ATTRIBUTES,
        };
        let raw = Raw::connect_with(address, user, user, Some(schema), wanted).await?;
        Ok(Self { raw, dialect, handles: HashMap::new() })
    }

    /// The mark of what a step has a server run.
    fn mark(&self, step: &Step) -> Option<String> {
        match &step.command {
            Command::Query(_) => Some(step.mark.clone()),
            Command::Execute { handle, .. } => self.handles.get(handle).map(|(_, mark)| mark.clone()),
            _ => None,
        }
    }

    async fn play(&mut self, step: &Step) -> Result<Answer> {
        match &step.command {
            Command::Query(text) => self.ask(code::QUERY, text).await,
            Command::Prepare(handle, text) => {
                self.raw.command(code::STMT_PREPARE, text).await?;
                let mut answer = Answer::default();
                match answer.prepared(&mut self.raw, self.dialect).await? {
                    Some(id) => _ = self.handles.insert(handle.clone(), (id, step.mark.clone())),
                    None => _ = self.handles.remove(handle),
                }
                Ok(answer)
            }
            Command::Execute { handle, cursor, parameters } => {
                let argument = execution(self.id(handle), *cursor, parameters, self.raw.queries);
                self.ask(code::STMT_EXECUTE, &argument).await
            }
            Command::Fetch(handle, rows) => {
                let argument = [self.id(handle).to_le_bytes(), rows.to_le_bytes()].concat();
                self.ask(code::STMT_FETCH, &argument).await
            }
            Command::LongData(handle, number, piece) => {
                let argument = [&self.id(handle).to_le_bytes()[..], &number.to_le_bytes(), piece].concat();
                self.ask(code::STMT_SEND_LONG_DATA, &argument).await
            }
            Command::ResetStatement(handle) => {
                self.ask(code::STMT_RESET, &self.id(handle).to_le_bytes()).await
            }
            Command::Close(handle) => self.ask(code::STMT_CLOSE, &self.id(handle).to_le_bytes()).await,
            Command::InitDb(schema) => self.ask(code::INIT_DB, schema).await,
            Command::FieldList(table) => self.ask(code::FIELD_LIST, &[table, &[0][..]].concat()).await,
            Command::SetOption(option) => self.ask(code::SET_OPTION, &option.to_le_bytes()).await,
            Command::Ping => self.ask(code::PING, b"").await,
            Command::Statistics => self.ask(code::STATISTICS, b"").await,
            Command::ResetConnection => self.ask(code::RESET_CONNECTION, b"").await,
            Command::ChangeUser(user, schema) => {
                let line = match self.raw.change_user(user, user, schema).await {
                    Ok(()) => "ok".to_owned(),
                    Err(error) => format!("error {}", error.downcast::<Refusal>()?),
                };
                Ok(Answer { lines: vec![line] })
            }
            Command::Quit => unreachable!("play() ends sessions"),
        }
    }

    async fn reason(&mut self) -> Result<Option<String>> {
        let mut answer = self.ask(code::QUERY, b"SHOW LAST ROUTE").await?;
        Ok(answer.lines.extract_if(.., |line| line.starts_with("row")).next())
    }

    fn ids(&self) -> Vec<u32> {
        self.handles.values().map(|(id, _)| *id).collect()
    }

    /// One that no server gives to a statement stands for a name that the session has not prepared.
    fn id(&self, handle: &str) -> u32 {
        self.handles.get(handle).map_or(1_000_000, |(id, _)| *id)
    }

    async fn ask(&mut self, command: u8, argument: &[u8]) -> Result<Answer> {
        if (command, self.raw.queries) == (code::QUERY, Queries::WithAttributes) {
            self.raw.command(command, &[&[0, 1], argument].concat()).await?;
        } else {
            self.raw.command(command, argument).await?;
        }
        Answer::read(&mut self.raw, self.dialect, command).await
    }
}

/// COM_STMT_EXECUTE's argument: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html
fn execution(id: u32, cursor: bool, parameters: &[Parameter], queries: Queries) -> Vec<u8> {
    const LONGLONG: u16 = 0x08;
    const VAR_STRING: u16 = 0xfd;
    const BLOB: u16 = 0xfc;
    let mut argument = id.to_le_bytes().to_vec();
    argument.push(u8::from(cursor));
    argument.extend(1_u32.to_le_bytes());
    if parameters.is_empty() {
        return argument;
    }
    let is_named = queries == Queries::WithAttributes;
    if is_named {
        argument.push(u8::try_from(parameters.len()).expect("a few parameters"));
    }
    let nulls = parameters.iter().enumerate().filter(|(_, value)| **value == Parameter::Null);
    argument.push(nulls.fold(0, |bits, (number, _)| bits | 1 << number));
    argument.push(1); // the types follow
    for value in parameters {
        let kind = match value {
            Parameter::Integer(_) => LONGLONG,
            Parameter::Long => BLOB,
            Parameter::Null | Parameter::Text(_) => VAR_STRING,
        };
        argument.extend(kind.to_le_bytes());
        argument.extend(is_named.then_some(0)); // no name
    }
    for value in parameters {
        match value {
            Parameter::Integer(number) => argument.extend(number.to_le_bytes()),
            Parameter::Text(text) => {
                argument.push(u8::try_from(text.len()).ok().filter(|n| *n < 0xfb).expect("a short text"));
                argument.extend(text);
            }
            Parameter::Null | Parameter::Long => {}
        }
    }
    argument
}

/// Two runs of a script have as many answers.
pub fn side_by_side<'a>(
    script: &'a Script,
    direct: &'a [Played],
    through: &'a [Played],
) -> Result<impl Iterator<Item = (&'a Step, &'a Played, &'a Played)>> {
    ensure!(script.steps.len() == direct.len() && direct.len() == through.len(), "every step has an answer");
    Ok(script.steps.iter().zip(direct).zip(through).map(|((step, direct), through)| (step, direct, through)))
}
