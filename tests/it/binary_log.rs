//! The primary's binary log, read through dauphin by the servers' own tools.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use dauphin_proto::{command::code, reply::marker};
use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Stage, check_apart, eventually, raw::Raw};

/// mysqlbinlog at work.
struct Reader {
    child: Child,
    said: Arc<Mutex<String>>,
    listeners: Vec<JoinHandle<()>>,
}

impl Reader {
    fn has_said(&self, what: &str) -> bool {
        self.said.lock().unwrap().contains(what)
    }

    /// Waits for its end: whether it went well, and all that it has said.
    fn end(mut self) -> (bool, String) {
        let status = self.child.wait().unwrap();
        self.listeners.into_iter().for_each(|listener| listener.join().unwrap());
        (status.success(), self.said.lock().unwrap().clone())
    }
}

/// mysqlbinlog, reading this file from dauphin; it finds the directory `kept` as /kept.
fn reader(stage: &Stage, kept: &Path, user: &str, arguments: &[&str]) -> Reader {
    let (program, plain) = if stage.is_mysql() {
        ("mysqlbinlog", "--ssl-mode=PREFERRED")
    } else {
        ("mariadb-binlog", "--skip-ssl-verify-server-cert")
    };
    let mut child = Command::new("docker")
        .args(["run", "--rm", "--network", "host", "--entrypoint", program])
        .args(["--volume", &format!("{}:/kept", kept.display()), &stage.flavour.image()])
        .args(["-h", "127.0.0.1", "-P", &stage.dauphin.address.port().to_string()])
        .args(["-u", user, "-pbinlog", plain, "--read-from-remote-server"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = Arc::new(Mutex::new(String::new()));
    let streams: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    let listeners = streams.into_iter().map(|stream| {
        let said = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                *said.lock().unwrap() += &(String::from_utf8_lossy(&line) + "\n");
            }
        })
    });
    Reader { child, listeners: listeners.collect(), said }
}

/// An account that may read the binary log, and the log's first file on the primary.
async fn prepared(stage: &mut Stage) -> (String, String) {
    let user = format!("it_{}", stage.mark());
    stage
        .given(&format!(
            "CREATE USER {user}@'%' IDENTIFIED BY 'binlog';; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}@'%'"
        ))
        .await;
    let logs: Vec<Row> = stage.admin(0).await.query("SHOW BINARY LOGS").await.unwrap();
    (user, logs[0].get(0).unwrap())
}

#[test]
fn the_tools_of_the_servers_read_it_to_its_end() {
    is_read_to_its_end("");
}

#[test]
fn a_reader_gets_an_uncompressed_connection_where_others_are_compressed() {
    is_read_to_its_end("pool.compression = \"zlib\"");
}

fn is_read_to_its_end(options: &str) {
    check_apart(options, async |stage| {
        let (user, file) = prepared(stage).await;
        let table = format!("t_{}", stage.mark());
        let mut client = stage.client().await;
        client.query_drop(format!("CREATE TABLE {table} (id INT PRIMARY KEY, filler TEXT)")).await.unwrap();
        // Events larger than every buffer on the way.
        client
            .query_drop(format!("INSERT INTO {table} VALUES (1, REPEAT('x', 60000)), (2, 'last one')"))
            .await
            .unwrap();
        // In a file: of what a container prints last Docker may drop some on a loaded machine.
        let kept = std::env::temp_dir().join(&user);
        std::fs::create_dir(&kept).unwrap();
        let plain = ["--verbose", "--to-last-log", "--result-file=/kept/log", &file];
        // Compressed, nothing may be held back for more to come.
        let compressed = [&plain[..], &["--compression-algorithms=zlib"]].concat();
        for arguments in [&plain[..], &compressed[..]] {
            let (went_well, said) = reader(stage, &kept, &user, arguments).end();
            let log =
                String::from_utf8_lossy(&std::fs::read(kept.join("log")).unwrap_or_default()).into_owned();
            for expected in ["@2='last one'", &format!("CREATE TABLE {table} ")] {
                assert!(
                    went_well && log.contains(expected),
                    "{arguments:?}: {expected} is not in it: {said}"
                );
            }
            if !stage.is_mysql() {
                break;
            }
        }
        std::fs::remove_dir_all(&kept).unwrap();

        let (went_well, said) = reader(stage, &std::env::temp_dir(), "app", &[&file]).end();
        assert!(!went_well && said.contains("ccess denied"), "{said}");
    });
}

#[test]
fn a_replica_takes_what_it_has_set_along_to_an_uncompressed_connection() {
    check_apart("pool.compression = \"zlib\"", async |stage| {
        let (user, _) = prepared(stage).await;
        let logs: Vec<Row> = stage.admin(0).await.query("SHOW BINARY LOGS").await.unwrap();
        let file: String = logs.last().unwrap().get(0).unwrap();
        let mut replica = Raw::connect(stage.dauphin.address, &user, "binlog", None).await.unwrap();
        // Values that only the connection knows. Without one of these MySQL refuses to send a log with checksums.
        let set = "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @source_binlog_checksum = @@GLOBAL.binlog_checksum";
        replica.query(set).await.unwrap();
        replica.query("SET @mariadb_slave_capability = 4").await.unwrap();
        let is_compressed = "SHOW SESSION STATUS LIKE 'Compression'";
        assert_eq!(replica.query(is_compressed).await.unwrap().rows, [b"\x0bCompression\x02ON"]);

        let id = 4711_u32.to_le_bytes();
        // No host, user or password; a port, a rank, the source's id.
        replica.command(code::REGISTER_REPLICA, &[&id[..], &[0; 13]].concat()).await.unwrap();
        replica.answer().await.unwrap();
        assert_eq!(replica.query(is_compressed).await.unwrap().rows, [b"\x0bCompression\x03OFF"]);
        let registered = if stage.is_mysql() { "SHOW REPLICAS" } else { "SHOW SLAVE HOSTS" };
        let registered: Vec<Row> = stage.admin(0).await.query(registered).await.unwrap();
        assert!(registered.iter().any(|row| row.get(0) == Some(4711_u32)));

        // From its beginning to its end, and no further.
        let from = [&4_u32.to_le_bytes()[..], &1_u16.to_le_bytes(), &id, file.as_bytes()].concat();
        replica.command(code::BINLOG_DUMP, &from).await.unwrap();
        let mut events = 0;
        loop {
            match replica.packet().await.unwrap()[0] {
                marker::OK => events += 1,
                first => break assert_eq!(first, marker::EOF, "after {events} events"),
            }
        }
        assert!(events > 2, "{events} events");
    });
}

#[test]
fn a_reader_that_follows_it_holds_up_neither_a_stop_nor_others() {
    check_apart("", async |stage| {
        let (user, file) = prepared(stage).await;
        let reader = reader(stage, &std::env::temp_dir(), &user, &["--stop-never", &file]);
        let table = format!("t_{}", stage.mark());
        stage.client().await.query_drop(format!("CREATE TABLE {table} (id INT PRIMARY KEY)")).await.unwrap();
        eventually(20, "it comes", async || reader.has_said(&format!("CREATE TABLE {table} "))).await;
        stage.dauphin.terminate();
        assert!(stage.dauphin.ended(Duration::from_secs(5)).await, "the drain timeout is 10 s");
        reader.end();
    });
}
