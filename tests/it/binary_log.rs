//! The primary's binary log, read through dauphin by the servers' own tools.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use mysql_async::{Row, prelude::Queryable as _};

use crate::support::{Stage, check_apart, eventually};

/// mysqlbinlog, reading this file from dauphin; what it prints.
fn reader(stage: &Stage, user: &str, arguments: &[&str]) -> (Child, Arc<Mutex<String>>) {
    let (program, plain) = if stage.is_mysql() {
        ("mysqlbinlog", "--ssl-mode=PREFERRED")
    } else {
        ("mariadb-binlog", "--skip-ssl-verify-server-cert")
    };
    let mut child = Command::new("docker")
        .args(["run", "--rm", "--network", "host", "--entrypoint", program, &stage.flavour.image()])
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
    for stream in streams {
        let said = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                *said.lock().unwrap() += &(String::from_utf8_lossy(&line) + "\n");
            }
        });
    }
    (child, said)
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
    check_apart("", async |stage| {
        let (user, file) = prepared(stage).await;
        let table = format!("t_{}", stage.mark());
        let mut client = stage.client().await;
        client.query_drop(format!("CREATE TABLE {table} (id INT PRIMARY KEY, filler TEXT)")).await.unwrap();
        // Events larger than every buffer on the way.
        client
            .query_drop(format!("INSERT INTO {table} VALUES (1, REPEAT('x', 60000)), (2, 'last one')"))
            .await
            .unwrap();
        let (mut child, said) = reader(stage, &user, &["--verbose", "--to-last-log", &file]);
        let status = child.wait().unwrap();
        eventually(5, "all of it is printed", async || said.lock().unwrap().contains("@2='last one'")).await;
        let said = said.lock().unwrap().clone();
        assert!(status.success(), "{said}");
        assert!(said.contains(&format!("CREATE TABLE {table} ")), "{said}");

        let (mut refused, said) = reader(stage, "app", &[&file]);
        assert!(!refused.wait().unwrap().success());
        eventually(5, "why", async || said.lock().unwrap().contains("ccess denied")).await;
    });
}

#[test]
fn a_reader_that_follows_it_holds_up_neither_a_stop_nor_others() {
    check_apart("", async |stage| {
        let (user, file) = prepared(stage).await;
        let (mut child, said) = reader(stage, &user, &["--stop-never", &file]);
        let table = format!("t_{}", stage.mark());
        stage.client().await.query_drop(format!("CREATE TABLE {table} (id INT PRIMARY KEY)")).await.unwrap();
        eventually(20, "it comes", async || said.lock().unwrap().contains(&format!("CREATE TABLE {table} ")))
            .await;
        stage.dauphin.terminate();
        assert!(stage.dauphin.ended(Duration::from_secs(5)).await, "the drain timeout is 10 s");
        child.wait().unwrap();
    });
}
