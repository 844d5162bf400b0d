//! A server that speaks the protocol over TCP and does as its script says.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use dauphin::net::tls::PasswordKey;
use dauphin_proto::{
    CapabilityFlags, auth,
    command::Command,
    connect::{AUTH_MORE_DATA, Greeting, Login, NONCE},
    packet::{self, HEADER, Header, MAX_PAYLOAD},
    reply::{marker, status},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    answer,
    script::{Act, Greet, Step},
};

/// Opens once, for all who wait at it.
pub type Gate = CancellationToken;

/// A scripted server. Its listener and connections end with the test's runtime.
#[derive(Debug, Clone)]
pub struct FakeServer {
    /// Its name: also what its SELECTs answer.
    pub name: &'static str,
    /// Where it listens.
    pub address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    is_replica: bool,
    read_only: AtomicBool,
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    /// Behind which [`Greet::Held`] waits.
    door: Gate,
}

#[derive(Debug, Default)]
struct Inner {
    once: Vec<(String, VecDeque<Act>)>,
    always: Vec<(String, Act)>,
    greetings: VecDeque<Greet>,
    greet_all: Option<Greet>,
    connections: Vec<Seen>,
    said: Vec<(usize, String)>,
}

/// What the server saw of one connection.
#[derive(Debug)]
struct Seen {
    user: String,
    /// Who ended it: `Some(true)` for the peer.
    ended_by_peer: Option<bool>,
    control: mpsc::UnboundedSender<Act>,
}

/// The user of dauphin's own questions, whose connections are not scripted.
const OWN: &str = "dauphin";

/// What dauphin says on every new connection.
const SET_UP: [&str; 2] = ["SET SESSION session_track", "SELECT @@character_set_client"];

impl FakeServer {
    /// A server that is ready to be connected to.
    pub async fn start(name: &'static str, read_only: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (inner, changed, door) = (Mutex::default(), watch::Sender::new(0), Gate::new());
        let shared =
            Shared { name, is_replica: read_only, read_only: read_only.into(), inner, changed, door };
        let shared = Arc::new(shared);
        tokio::spawn(accept(listener, shared.clone()));
        Self { name, address, shared }
    }

    /// What it says of itself from now on; what it does with writes is the script's.
    pub fn set_read_only(&self, read_only: bool) {
        self.shared.read_only.store(read_only, Ordering::Relaxed);
    }

    /// The next statement that begins with `text` is answered so; several calls make a queue.
    pub fn on(&self, text: &str, act: Act) {
        let mut inner = self.shared.inner.lock();
        match inner.once.iter_mut().find(|(known, _)| known == text) {
            Some((_, queue)) => queue.push_back(act),
            None => inner.once.push((text.to_owned(), [act].into())),
        }
    }

    /// Every statement that begins with `text` is answered so.
    pub fn always(&self, text: &str, act: Act) {
        self.shared.inner.lock().always.push((text.to_owned(), act));
    }

    /// The next connection is met so; several calls make a queue.
    pub fn greet(&self, how: Greet) {
        self.shared.inner.lock().greetings.push_back(how);
    }

    /// Every connection is met so from now on, dauphin's own too.
    pub fn greet_all(&self, how: Greet) {
        self.shared.inner.lock().greet_all = Some(how);
    }

    /// Those that are held may log in.
    pub fn let_in(&self) {
        self.shared.door.cancel();
    }

    /// Does something on connection `id` while that waits for a command.
    pub fn interrupt(&self, id: usize, act: Act) {
        let _ = self.shared.inner.lock().connections[id].control.send(act);
    }

    /// How often a statement that begins with `text` has come.
    pub fn count(&self, text: &str) -> usize {
        self.shared.inner.lock().said.iter().filter(|(_, said)| said.starts_with(text)).count()
    }

    /// The connection that the last statement beginning with `text` came on; waits for one.
    pub async fn heard(&self, text: &str) -> usize {
        self.wait_for(|inner| {
            inner.said.iter().rev().find(|(_, said)| said.starts_with(text)).map(|(id, _)| *id)
        })
        .await
    }

    /// Waits until a statement that begins with `text` has come `times` times.
    pub async fn heard_times(&self, text: &str, times: usize) {
        self.wait_for(|inner| {
            (inner.said.iter().filter(|(_, said)| said.starts_with(text)).count() >= times).then_some(())
        })
        .await;
    }

    /// Waits until connection `id` has ended; whether the peer ended it.
    pub async fn ended(&self, id: usize) -> bool {
        self.wait_for(|inner| inner.connections[id].ended_by_peer).await
    }

    /// How many connections of clients are open.
    pub fn open(&self) -> usize {
        let inner = self.shared.inner.lock();
        inner
            .connections
            .iter()
            .filter(|seen| seen.user != OWN && !seen.user.is_empty() && seen.ended_by_peer.is_none())
            .count()
    }

    async fn wait_for<T>(&self, mut find: impl FnMut(&Inner) -> Option<T>) -> T {
        let mut changes = self.shared.changed.subscribe();
        loop {
            if let Some(found) = find(&self.shared.inner.lock()) {
                return found;
            }
            changes.changed().await.expect("the server outlives those who wait");
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a socket takes options");
        let (control, orders) = mpsc::unbounded_channel();
        let (id, greet) = {
            let mut inner = shared.inner.lock();
            inner.connections.push(Seen { user: String::new(), ended_by_peer: None, control });
            (
                inner.connections.len() - 1,
                inner.greetings.pop_front().or(inner.greet_all).unwrap_or(Greet::Fast),
            )
        };
        let peer = Peer {
            shared: shared.clone(),
            id,
            stream,
            input: Vec::new(),
            held_back: Vec::new(),
            in_transaction: false,
            texts: Vec::new(),
        };
        tokio::spawn(async move {
            let shared = peer.shared.clone();
            let ended = peer.serve(greet, orders).await;
            let by_peer = !matches!(ended, Ok(Ended::ByScript));
            shared.note(|inner| inner.connections[id].ended_by_peer = Some(by_peer));
        });
    }
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock());
        self.changed.send_modify(|count| *count += 1);
    }

    /// Scripts are for what clients say, not for dauphin's own questions.
    fn act_for(&self, id: usize, said: &str) -> Act {
        let mut inner = self.inner.lock();
        if inner.connections[id].user == OWN || SET_UP.iter().any(|text| said.starts_with(text)) {
            return Act::usual();
        }
        let once =
            inner.once.iter_mut().find(|(text, queue)| said.starts_with(text.as_str()) && !queue.is_empty());
        if let Some(act) = once.and_then(|(_, queue)| queue.pop_front()) {
            return act;
        }
        let always = inner.always.iter().find(|(text, _)| said.starts_with(text.as_str()));
        always.map_or_else(Act::usual, |(_, act)| act.clone())
    }
}

enum Ended {
    ByPeer,
    ByScript,
}

struct Peer {
    shared: Arc<Shared>,
    id: usize,
    stream: TcpStream,
    input: Vec<u8>,
    held_back: Vec<u8>,
    in_transaction: bool,
    /// Texts of prepared statements; the id is the index plus one.
    texts: Vec<String>,
}

const NONCE_USED: [u8; NONCE] = *b"abcdefghijklmnopqrst";

impl Peer {
    async fn serve(mut self, greet: Greet, mut orders: mpsc::UnboundedReceiver<Act>) -> io::Result<Ended> {
        if let Some(ended) = self.meet(greet).await? {
            return Ok(ended);
        }
        loop {
            let packet = tokio::select! {
                biased;
                order = orders.recv() => {
                    let order = order.expect("the log keeps the sender");
                    match self.perform(&order, "", &[]).await? {
                        Some(ended) => return Ok(ended),
                        None => continue,
                    }
                }
                packet = read_packet(&mut self.stream, &mut self.input) => packet?,
            };
            let Some(packet) = packet else { return Ok(Ended::ByPeer) };
            let said = self.label(&packet[HEADER..]);
            self.shared.note(|inner| inner.said.push((self.id, said.clone())));
            if said == "COM_QUIT" {
                return Ok(Ended::ByPeer);
            }
            if ["COM_STMT_CLOSE", "COM_STMT_SEND_LONG_DATA"].iter().any(|silent| said.starts_with(silent)) {
                continue;
            }
            let act = self.shared.act_for(self.id, &said);
            if let Some(ended) = self.perform(&act, &said, &packet[HEADER..]).await? {
                return Ok(ended);
            }
        }
    }

    async fn meet(&mut self, greet: Greet) -> io::Result<Option<Ended>> {
        match greet {
            Greet::Fast | Greet::Full => {}
            Greet::Held => {
                self.shared.note(|inner| inner.said.push((self.id, "(connects)".to_owned())));
                self.shared.door.cancelled().await;
            }
            Greet::Silent => return self.until_gone().await.map(Some),
            Greet::Closed => return Ok(Some(Ended::ByScript)),
            Greet::Half => {
                self.write(b"\x4a\x00\x00\x00\x0a8.4.9").await?;
                return self.until_gone().await.map(Some);
            }
            Greet::Huge => {
                self.write(b"\xff\xff\xff\x00\x0a").await?;
                self.write(&vec![b'x'; 16 << 20]).await?;
                return self.until_gone().await.map(Some);
            }
            Greet::Garbage => {
                self.write(b"\x05\x00\x00\x00HTTP/1.1 200 OK\r\n").await?;
                return self.until_gone().await.map(Some);
            }
            Greet::TooMany => {
                self.say(0, b"\xff\x10\x04Too many connections").await?;
                return Ok(Some(Ended::ByScript));
            }
        }
        let mut payload = Vec::new();
        let greeting = Greeting {
            version: "8.4.9-scripted".into(),
            connection_id: 1000 + self.id as u32,
            nonce: NONCE_USED,
            capabilities: CapabilityFlags::all() - CapabilityFlags::CLIENT_SSL,
            extended: 0,
            collation: 255,
            status: status::AUTOCOMMIT,
            plugin: auth::CACHING_SHA2.into(),
        };
        greeting.put(&mut payload);
        self.say(0, &payload).await?;
        let Some(packet) = self.read().await? else { return Ok(Some(Ended::ByPeer)) };
        let login = Login::parse(&packet[HEADER..]).map_err(io::Error::other)?;
        let user = String::from_utf8_lossy(&login.user).into_owned();
        let mut sequence = 2;
        if greet == Greet::Full {
            sequence = self.full_exchange(&user).await?;
        } else {
            self.say(2, &[AUTH_MORE_DATA, auth::SHA2_FAST_OK]).await?;
        }
        self.say(sequence + 1, &answer::ok_payload(marker::OK, status::AUTOCOMMIT, b"", b"")).await?;
        self.shared.note(|inner| inner.connections[self.id].user = user);
        Ok(None)
    }

    /// Takes the password under RSA; it is the user's name.
    async fn full_exchange(&mut self, user: &str) -> io::Result<u8> {
        let broken = || io::Error::other("the full exchange is broken");
        let key = tokio::task::spawn_blocking(|| PasswordKey::generate().expect("randomness")).await?;
        self.say(2, &[AUTH_MORE_DATA, auth::SHA2_FULL]).await?;
        let asked = self.read().await?.ok_or_else(broken)?;
        assert_eq!(asked[HEADER..], [auth::SHA2_REQUEST_KEY]);
        self.say(4, &[&[AUTH_MORE_DATA], key.public_pem().as_bytes()].concat()).await?;
        let hidden = self.read().await?.ok_or_else(broken)?;
        let mut password = key.decrypt(&hidden[HEADER..]).ok_or_else(broken)?;
        auth::xor_with_nonce(&mut password, &NONCE_USED);
        assert_eq!(password.strip_suffix(&[0]), Some(user.as_bytes()));
        Ok(5)
    }

    async fn perform(&mut self, act: &Act, said: &str, payload: &[u8]) -> io::Result<Option<Ended>> {
        for step in &act.0 {
            match step {
                Step::Usual => {
                    let answer = self.usual(said, payload);
                    self.write(&answer).await?;
                }
                Step::Bytes(bytes) => self.write(bytes).await?,
                Step::Trickle(bytes) => {
                    for byte in bytes {
                        self.write(&[*byte]).await?;
                        give_a_turn().await;
                    }
                }
                Step::Pause => give_a_turn().await,
                Step::WithTheNext(bytes) => self.held_back.extend_from_slice(bytes),
                Step::Wait(gate) => gate.cancelled().await,
                Step::TakeFile => loop {
                    let Some(packet) = self.read().await? else { return Ok(Some(Ended::ByPeer)) };
                    if packet.len() == HEADER {
                        let mut out = Vec::new();
                        let payload = answer::ok_payload(marker::OK, status::AUTOCOMMIT, b"", b"");
                        packet::put(&mut out, &payload, packet[3].wrapping_add(1));
                        self.write(&out).await?;
                        break;
                    }
                },
                Step::Endless(bytes) => loop {
                    self.write(bytes).await?;
                },
                Step::LongestPackets(packets) => {
                    let body = vec![b'x'; MAX_PAYLOAD];
                    for sequence in 3..3 + packets {
                        self.write(&[0xff, 0xff, 0xff, sequence]).await?;
                        if sequence == 3 {
                            // A value of 1 TiB: the row ends with none of these packets.
                            let length = [&[0xfe][..], &(1_u64 << 40).to_le_bytes()].concat();
                            self.write(&length).await?;
                            self.write(&body[length.len()..]).await?;
                        } else {
                            self.write(&body).await?;
                        }
                    }
                }
                Step::TakeRest => {
                    let mut left = 0;
                    loop {
                        if left == 0 && self.input.len() >= HEADER {
                            left = HEADER + Header::peek(&self.input).expect("four bytes").length;
                            if left < HEADER + MAX_PAYLOAD {
                                break;
                            }
                        }
                        let n = left.min(self.input.len());
                        self.input.drain(..n);
                        left -= n;
                        if self.input.len() < HEADER && self.stream.read_buf(&mut self.input).await? == 0 {
                            return Ok(Some(Ended::ByPeer));
                        }
                    }
                }
                Step::Never => return self.until_gone().await.map(Some),
                Step::Close => return Ok(Some(Ended::ByScript)),
                Step::Reset => {
                    socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO))?;
                    return Ok(Some(Ended::ByScript));
                }
            }
        }
        Ok(None)
    }

    /// What a healthy server says to it.
    fn usual(&mut self, said: &str, payload: &[u8]) -> Vec<u8> {
        let now = status::AUTOCOMMIT | if self.in_transaction { status::IN_TRANS } else { 0 };
        let read_only = if self.shared.read_only.load(Ordering::Relaxed) { "1" } else { "0" };
        let one = |value: &str| answer::packets(&answer::row_payloads(&["c"], &[&[value]], now));
        let starts = |text: &str| said.starts_with(text);
        if starts("SELECT VERSION()") {
            one("8.4.9-scripted")
        } else if starts("SELECT @@character_set_client") {
            let [set, collation] = ["utf8mb4", "utf8mb4_general_ci"];
            let values = [set, set, set, collation, set, set, set, collation, "STRICT_TRANS_TABLES"];
            answer::rows(&["a", "b", "c", "d", "e", "f", "g", "h", "i"], &[&values])
        } else if starts("SELECT @@global.server_uuid") {
            let identity = format!("00000000-0000-0000-0000-0000000000{}", &self.shared.name[2..]);
            answer::rows(&["identity", "executed", "position", "purged"], &[&[&identity, "", "", ""]])
        } else if starts("SHOW GLOBAL VARIABLES") {
            answer::rows(
                &["Variable_name", "Value"],
                &[&["read_only", read_only], &["super_read_only", read_only]],
            )
        } else if starts("SHOW GLOBAL STATUS") {
            answer::rows(&["Variable_name", "Value"], &[&["Uptime", "1000"]])
        } else if starts("SHOW REPLICA STATUS") {
            let columns = ["Replica_IO_Running", "Replica_SQL_Running"];
            let status: &[&[&str]] = if self.shared.is_replica { &[&["Yes", "Yes"]] } else { &[] };
            answer::rows(&columns, status)
        } else if starts("SELECT WAIT_FOR_EXECUTED_GTID_SET") {
            one("0")
        } else if starts("SELECT LAST_INSERT_ID()") {
            one("7")
        } else if starts("SELECT") || starts("SHOW") {
            one(self.shared.name)
        } else if let Some(text) = said.strip_prefix("COM_STMT_PREPARE ") {
            self.texts.push(text.to_owned());
            let columns = u16::from(text.starts_with("SELECT"));
            answer::prepared(self.texts.len() as u32, text.matches('?').count() as u16, columns)
        } else if let Some(text) = said.strip_prefix("COM_STMT_EXECUTE ") {
            match (payload[5], text.starts_with("SELECT")) {
                (0, true) => answer::binary_rows(self.shared.name, now),
                (_, true) => answer::cursor_opened(),
                (_, false) => answer::ok(now),
            }
        } else if starts("COM_STMT_FETCH") {
            answer::fetched(&[self.shared.name], false)
        } else {
            let begins = starts("BEGIN") || starts("START TRANSACTION");
            self.in_transaction = begins || self.in_transaction && !(starts("COMMIT") || starts("ROLLBACK"));
            answer::ok(status::AUTOCOMMIT | if self.in_transaction { status::IN_TRANS } else { 0 })
        }
    }

    fn label(&self, payload: &[u8]) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let of = |id: u32| {
            self.texts.get(id as usize - 1).cloned().unwrap_or_else(|| format!("(unknown statement {id})"))
        };
        match Command::parse(payload).expect("dauphin sends well-formed commands") {
            Command::Query(query) => text(query),
            Command::Quit => "COM_QUIT".into(),
            Command::InitDb(schema) => format!("COM_INIT_DB {}", text(schema)),
            Command::Prepare(query) => format!("COM_STMT_PREPARE {}", text(query)),
            Command::Execute(id) => format!("COM_STMT_EXECUTE {}", of(id)),
            Command::Fetch(id) => format!("COM_STMT_FETCH {}", of(id)),
            Command::CloseStatement(id) => format!("COM_STMT_CLOSE {}", of(id)),
            Command::SendLongData(id) => format!("COM_STMT_SEND_LONG_DATA {}", of(id)),
            other => format!("{other:?}"),
        }
    }

    async fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        read_packet(&mut self.stream, &mut self.input).await
    }

    async fn say(&mut self, sequence: u8, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        packet::put(&mut out, payload, sequence);
        self.write(&out).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.held_back.is_empty() {
            return self.stream.write_all(bytes).await;
        }
        self.held_back.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.held_back);
        self.stream.write_all(&all).await
    }

    async fn until_gone(&mut self) -> io::Result<Ended> {
        let mut scratch = [0; 4096];
        while self.stream.read(&mut scratch).await? > 0 {}
        Ok(Ended::ByPeer)
    }
}

/// Lets the runtime look at its sockets and run whoever has become ready.
async fn give_a_turn() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

/// One whole packet, header included; `None` at the end of the stream. Cancel safe.
async fn read_packet(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(packet) = packet::whole(input) {
            let packet = packet.to_vec();
            input.drain(..packet.len());
            return Ok(Some(packet));
        }
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}
