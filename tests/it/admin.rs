//! The operators' side: the admin port with real clients, HTTP, and the command line.

use std::{
    net::SocketAddr,
    process::{Command, Output},
    time::{Duration, Instant},
};

use mysql_async::{Conn, OptsBuilder, Row, SslOpts, prelude::Queryable as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Flavour, check, check_with, dauphin::BINARY, eventually, server_error};

const PASSWORD: &str = "admin.password = \"it's secret\"\n";

fn options(address: SocketAddr, password: &str) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some("admin"))
        .pass(Some(password))
        .prefer_socket(false)
}

/// A column of the rows for which another has this value.
async fn column(
    operator: &mut Conn,
    command: &str,
    wanted: &str,
    key: &str,
    value: &str,
) -> Vec<Option<String>> {
    let rows: Vec<Row> = operator.query(command).await.unwrap();
    let of = |row: &Row, name: &str| row.get::<Option<String>, _>(name).expect("the column is there");
    rows.iter().filter(|row| of(row, key).as_deref() == Some(value)).map(|row| of(row, wanted)).collect()
}

/// One request; the status and the body.
async fn http(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    http(address, "GET", path, "", "").await
}

/// The client that comes with the servers.
fn client(flavour: Flavour, address: SocketAddr, arguments: &[&str]) -> Output {
    let (program, plain) = match flavour {
        Flavour::MySql => ("mysql", "--ssl-mode=PREFERRED"),
        Flavour::MariaDb => ("mariadb", "--skip-ssl-verify-server-cert"),
    };
    Command::new("docker")
        .args(["run", "--rm", "--network", "host", "--entrypoint", program, &flavour.image()])
        .args(["-h", "127.0.0.1", "-P", &address.port().to_string(), "-uadmin", plain])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_servers_own_clients_log_in_and_see_the_servers() {
    check_with(PASSWORD, async |stage| {
        let address = stage.dauphin.admin;
        let flavour = stage.flavour;
        let run = |arguments: &[&str]| client(flavour, address, arguments);
        let shown = run(&["-pit's secret", "-N", "-e", "show servers like 'db1'"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let values: Vec<_> = shown.trim_end().split('\t').collect();
        assert_eq!(
            (values[0], values[2], values[3], values[4]),
            ("db1", "primary", "online", "no"),
            "{shown}"
        );
        // Without TLS, and by the other method.
        let plain = if stage.is_mysql() { "--ssl-mode=DISABLED" } else { "--skip-ssl" };
        let method = if stage.is_mysql() { plain } else { "--default-auth=mysql_native_password" };
        let shown = run(&["-pit's secret", plain, method, "-N", "-e", "show servers"]);
        assert_eq!(String::from_utf8_lossy(&shown.stdout).lines().count(), 3, "{shown:?}");
        for wrong in ["-pwrong", "--skip-password"] {
            let refused = run(&[wrong, "-e", "show servers"]);
            assert!(String::from_utf8_lossy(&refused.stderr).contains("ERROR 1045 (28000)"), "{refused:?}");
        }
        let mistyped = run(&["-pit's secret", "-e", "SHOW SERVRES"]);
        let said = String::from_utf8_lossy(&mistyped.stderr).into_owned();
        assert!(said.contains("ERROR 1064 (42000)") && said.contains("did you mean SHOW SERVERS?"), "{said}");
    });
}

#[test]
fn a_driver_logs_in_pings_and_reads_every_table() {
    check_with(PASSWORD, async |stage| {
        let mut operator = Conn::new(options(stage.dauphin.admin, "it's secret")).await.unwrap();
        operator.ping().await.unwrap();
        let commands: Vec<Row> = operator.query("HELP").await.unwrap();
        let names = commands.iter().map(|row| row.get::<String, _>("name").unwrap());
        let shows: Vec<_> =
            names.filter_map(|name| Some(name.strip_suffix(" [LIKE 'pattern']")?.to_owned())).collect();
        assert_eq!(shows.len(), 10, "{shows:?}");
        for show in shows {
            operator.query_drop(&show).await.unwrap_or_else(|error| panic!("{show}: {error}"));
            let columns: Vec<Row> = operator.query(format!("HELP {show}")).await.unwrap();
            assert!(columns.len() > 3 || show == "SHOW FAILOVER PLAN", "{show}");
        }
        operator.reset().await.unwrap();
        for user in ["root", "admin"] {
            let wrong = options(stage.dauphin.admin, "it's not").user(Some(user));
            assert_eq!(server_error(Conn::new(wrong).await).code, 1045);
        }
        // The servers' accounts are not known here, nor the operators' there.
        let refused = stage.try_client(stage.options("admin", "it's secret")).await;
        assert_eq!(server_error(refused).code, 1045);
    });
}

#[test]
fn statements_are_counted_where_the_servers_ran_them() {
    check(async |stage| {
        stage.given("CREATE TABLE counted (id INT PRIMARY KEY)").await;
        let (mark, mut client, mut operator) =
            (stage.mark(), stage.client().await, stage.dauphin.operator().await);
        for id in 0..3 {
            client.query_drop(format!("INSERT INTO counted VALUES ({id}) /* {mark} */")).await.unwrap();
        }
        for id in 0..5 {
            client.query_drop(format!("SELECT /* {mark} */ id FROM counted WHERE id = {id}")).await.unwrap();
        }
        for id in 0..2 {
            client.exec_drop("SELECT id FROM counted WHERE id > ?", (id,)).await.unwrap();
        }
        let ran = stage.ran(&mark).await;
        let rows: Vec<Row> = operator.query("SHOW DIGESTS LIKE '%counted%'").await.unwrap();
        let of = |start: &str| {
            let row = rows.iter().find(|row| row.get::<String, _>("text").unwrap().starts_with(start));
            let row = row.unwrap_or_else(|| panic!("{start}: {rows:?}"));
            let number = |name: &str| row.get::<usize, _>(name).unwrap();
            let reason = row.get::<String, _>("last_reason").unwrap();
            (number("statements"), number("on_primary"), number("on_replicas"), reason)
        };
        assert_eq!(of("insert into counted"), (3, 3, 0, "data_change".to_owned()));
        let (statements, on_primary, on_replicas, _) = of("select id from counted where id =");
        assert_eq!(statements, 5);
        assert_eq!((on_primary + 3, on_replicas), (ran.on_primary(), ran.on_replicas()));
        // Preparing is not executing, and the text of what is executed is known all the same.
        assert_eq!(of("select id from counted where id >").0, 2);
        let inserts = column(&mut operator, "SHOW ROUTES", "statements", "reason", "data_change").await;
        assert_eq!(inserts, [Some("3".to_owned())]);
        let text: Vec<Row> = operator.query("SHOW DIGESTS").await.unwrap();
        assert!(!format!("{text:?}").contains(&mark), "comments may hold data");
        let (status, metrics) = get(stage.dauphin.http, "/metrics").await;
        assert_eq!(status, 200);
        let line = "dauphin_statements_total{server=\"db1\",role=\"primary\",reason=\"data_change\"} 3";
        assert!(metrics.contains(line), "{metrics}");
    });
}

/// The client has its answer a moment before its session is done with the statement.
async fn shows(operator: &mut Conn, client: &Conn, wanted: &str, value: Option<&str>) {
    let (id, expected) = (client.id().to_string(), [value.map(str::to_owned)]);
    eventually(5, &format!("its {wanted} is {value:?}"), async || {
        column(operator, "SHOW SESSIONS", wanted, "id", &id).await == expected
    })
    .await;
}

#[test]
fn sessions_are_shown_with_what_they_do() {
    check(async |stage| {
        let mut operator = stage.dauphin.operator().await;
        let (mut idle, mut open, mut pinned) =
            (stage.client().await, stage.client().await, stage.client().await);
        let mut running = stage.client().await;
        idle.query_drop("USE information_schema").await.unwrap();
        open.query_drop("BEGIN").await.unwrap();
        pinned.query_drop("CREATE TEMPORARY TABLE t (id INT)").await.unwrap();
        let running_id = running.id();
        let sleeping = tokio::spawn(async move { running.query_drop("SELECT SLEEP(2)").await });
        let show = format!("SHOW SESSIONS LIKE '{running_id}'");
        eventually(5, "it runs", async || {
            let state = column(&mut operator, &show, "state", "id", &running_id.to_string()).await;
            state == [Some("running".to_owned())]
        })
        .await;
        let schema = stage.schema.clone();
        for (client, wanted, value) in [
            (&idle, "state", Some("idle")),
            (&idle, "schema", Some("information_schema")),
            (&idle, "server", None),
            (&idle, "user", Some("app")),
            (&idle, "host", Some("127.0.0.1")),
            (&open, "state", Some("in_transaction")),
            (&open, "server", Some("db1")),
            (&open, "schema", Some(schema.as_str())),
            (&open, "last_reason", Some("begin")),
            (&pinned, "pinned", Some("temporary_table")),
            (&pinned, "last_role", Some("primary")),
        ] {
            shows(&mut operator, client, wanted, value).await;
        }
        open.query_drop("COMMIT").await.unwrap();
        shows(&mut operator, &open, "state", Some("idle")).await;
        sleeping.await.unwrap().unwrap();
        let id = idle.id().to_string();
        drop(idle);
        eventually(5, "it is shown no more", async || {
            column(&mut operator, "SHOW SESSIONS", "state", "id", &id).await.is_empty()
        })
        .await;
    });
}

#[test]
fn an_operator_ends_queries_and_sessions_also_when_every_connection_is_in_use() {
    check_with(
        "listen.max_connections = 2\npool.max_connections_per_server = 1\npool.wait_timeout = \"20s\"\n",
        async |stage| {
            let mut operator = stage.dauphin.operator().await;
            let (mut victim, mut waiting) = (stage.client().await, stage.client().await);
            assert_eq!(server_error(stage.try_client(stage.options("app", "app")).await).code, 1040);
            let id = victim.id();
            let sleeping = tokio::spawn(async move {
                let outcome = victim.query_drop("DO SLEEP(20) /* dauphin:primary */").await;
                (outcome, victim)
            });
            eventually(5, "it runs", async || {
                let pools = column(&mut operator, "SHOW POOLS", "idle", "server", "db1").await;
                let shown = format!("SHOW SESSIONS LIKE '{id}'");
                let running = column(&mut operator, &shown, "state", "id", &id.to_string()).await;
                pools == [Some("0".to_owned())] && running == [Some("running".to_owned())]
            })
            .await;
            let waiter = waiting.id();
            let waiting =
                tokio::spawn(async move { waiting.query_drop("SELECT 1 /* dauphin:primary */").await });
            eventually(5, "it waits", async || {
                let state = column(&mut operator, "SHOW SESSIONS", "state", "id", &waiter.to_string()).await;
                state == [Some("waiting_for_connection".to_owned())]
            })
            .await;
            let start = Instant::now();
            operator.query_drop(format!("KILL QUERY {id}")).await.unwrap();
            let (outcome, mut victim) =
                timeout(Duration::from_secs(5), sleeping).await.expect("it ends").unwrap();
            assert!(start.elapsed() < Duration::from_secs(5));
            // What SLEEP says of it differs.
            if let Err(error) = outcome {
                assert_eq!(server_error::<()>(Err(error)).code, 1317);
            }
            waiting.await.unwrap().unwrap();
            victim.query_drop("SELECT 1").await.unwrap();
            operator.query_drop(format!("KILL {id}")).await.unwrap();
            let ended =
                timeout(Duration::from_secs(5), victim.query_drop("SELECT 1")).await.expect("it ends");
            assert!(ended.is_err());
            assert_eq!(server_error(operator.query_drop(format!("KILL {id}")).await).code, 1094);
            let events = column(&mut operator, "SHOW EVENTS", "message", "kind", "killed").await;
            assert_eq!(events.len(), 2, "{events:?}");
        },
    );
}

#[test]
fn reload_applies_all_or_nothing_and_says_which() {
    check_with("listen.max_connections = 1", async |stage| {
        let mut operator = stage.dauphin.operator().await;
        let file = stage.dauphin.config();
        let before = std::fs::read_to_string(&file).unwrap();
        let reload = async |operator: &mut Conn| {
            let rows: Vec<(String, Option<String>, Option<String>, String)> =
                operator.query("RELOAD").await.unwrap();
            rows.into_iter()
                .map(|(option, _, new, effect)| (option, new.unwrap_or_default(), effect))
                .collect::<Vec<_>>()
        };
        assert_eq!(reload(&mut operator).await, []);
        let live = before.replace("max_connections = 1", "max_connections = 2");
        std::fs::write(&file, format!("pool.linger = \"2s\"\n{live}")).unwrap();
        let _only = stage.client().await;
        let told =
            |option: &str, new: &str, effect: &str| (option.to_owned(), new.to_owned(), effect.to_owned());
        assert_eq!(
            reload(&mut operator).await,
            [
                told("listen.max_connections", "2", "not applied"),
                told("pool.linger", "\"2s\"", "needs a restart")
            ]
        );
        assert_eq!(server_error(stage.try_client(stage.options("app", "app")).await).code, 1040);
        std::fs::write(&file, live.replace("info,dauphin=debug", "warn")).unwrap();
        assert_eq!(
            reload(&mut operator).await,
            [told("listen.max_connections", "2", "applied"), told("log.level", "\"warn\"", "applied")]
        );
        let second = stage.client().await;
        let log = stage.dauphin.log();
        drop(second);
        assert_eq!(server_error(operator.query_drop("DRAIN nobody").await).code, 1064);
        assert_eq!(stage.dauphin.log(), log, "nothing is logged at the new level");
        assert_eq!(reload(&mut operator).await, []);
        let holds = column(&mut operator, "SHOW CONFIG", "value", "option", "listen.max_connections").await;
        assert_eq!(holds, [Some("2".to_owned())]);
        std::fs::write(&file, format!("colour = \"blue\"\n{live}")).unwrap();
        let error = server_error(operator.query_drop("RELOAD").await);
        assert!(error.message.contains("nothing was applied") && error.message.contains("colour"), "{error}");
    });
}

#[test]
fn shutdown_lets_open_transactions_end_and_nothing_new_begin() {
    check(async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let (mut open, mut idle) = (stage.client().await, stage.client().await);
        // Nobody waits for one that never logs in.
        let _silent = TcpStream::connect(stage.dauphin.address).await.unwrap();
        open.query_drop("BEGIN").await.unwrap();
        open.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        assert_eq!(get(stage.dauphin.http, "/readyz").await.0, 200);
        let answer: Option<String> = stage.dauphin.operator().await.query_first("SHUTDOWN").await.unwrap();
        assert!(answer.unwrap().contains("2 sessions"));
        // What it says before it is closed is still answered.
        eventually(5, "a session that does nothing is closed", async || {
            idle.query_drop("SELECT 1").await.is_err()
        })
        .await;
        assert!(Conn::new(stage.options("app", "app")).await.is_err(), "nobody is let in");
        assert_eq!(get(stage.dauphin.http, "/readyz").await, (503, "dauphin is stopping\n".to_owned()));
        assert_eq!(get(stage.dauphin.http, "/healthz").await, (200, "ok\n".to_owned()));
        open.query_drop("INSERT INTO t VALUES (2)").await.unwrap();
        open.query_drop("COMMIT").await.unwrap();
        assert!(stage.dauphin.ended(Duration::from_secs(5)).await);
        let schema = stage.schema.clone();
        let rows: Option<usize> =
            stage.admin(0).await.query_first(format!("SELECT COUNT(*) FROM {schema}.t")).await.unwrap();
        assert_eq!(rows, Some(2));
    });
}

#[test]
fn shutdown_waits_no_longer_than_it_may() {
    check_with("listen.drain_timeout = \"500ms\"", async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let mut open = stage.client().await;
        open.query_drop("BEGIN").await.unwrap();
        open.query_drop("INSERT INTO t VALUES (1)").await.unwrap();
        let start = Instant::now();
        let output = Command::new(&*BINARY)
            .args(["shutdown", "--address", &stage.dauphin.admin.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(stage.dauphin.ended(Duration::from_secs(5)).await);
        assert!(start.elapsed() >= Duration::from_millis(500));
        assert!(open.query_drop("COMMIT").await.is_err());
        let schema = stage.schema.clone();
        let rows: Option<usize> =
            stage.admin(0).await.query_first(format!("SELECT COUNT(*) FROM {schema}.t")).await.unwrap();
        assert_eq!(rows, Some(0));
    });
}

#[test]
fn a_signal_stops_as_shutdown_does_and_a_second_one_at_once() {
    check(async |stage| {
        let mut open = stage.client().await;
        open.query_drop("BEGIN").await.unwrap();
        stage.dauphin.terminate();
        eventually(5, "it says that it stops", async || {
            get(stage.dauphin.http, "/readyz").await == (503, "dauphin is stopping\n".to_owned())
        })
        .await;
        open.query_drop("SELECT 1").await.unwrap();
        stage.dauphin.terminate();
        assert!(stage.dauphin.ended(Duration::from_secs(5)).await);
        assert!(open.query_drop("SELECT 1").await.is_err());
    });
}

#[test]
fn http_answers_the_same_and_is_careful_whom() {
    check_with(PASSWORD, async |stage| {
        let address = stage.dauphin.http;
        let basic = "Authorization: Basic YWRtaW46aXQncyBzZWNyZXQ=\r\n";
        let json = format!("{basic}Content-Type: application/json\r\n");
        assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
        let (status, ready) = get(address, "/readyz").await;
        assert_eq!((status, ready.as_str()), (200, "primary db1, 2 servers take reads\n"));
        for path in ["/metrics", "/api/v1/servers"] {
            assert_eq!(get(address, path).await.0, 401, "{path}");
        }
        let (status, servers) = http(address, "GET", "/api/v1/servers", basic, "").await;
        let servers: serde_json::Value = serde_json::from_str(&servers).unwrap();
        assert_eq!(status, 200);
        assert_eq!(servers[0]["server"], "db1");
        assert_eq!((&servers[0]["role"], &servers[0]["reads"]), (&"primary".into(), &false.into()));
        for path in [
            "lag",
            "sessions",
            "pools",
            "topology",
            "failover-plan",
            "events",
            "routes",
            "digests",
            "config",
            "help",
        ] {
            let (status, body) = http(address, "GET", &format!("/api/v1/{path}"), basic, "").await;
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(status == 200 && body.is_array(), "{path}: {status} {body}");
        }
        let client = stage.client().await;
        let kill = format!("{{\"id\": {}}}", client.id());
        for (method, path, headers, body, expected) in [
            ("POST", "/api/v1/kill", basic, kill.as_str(), 415),
            ("POST", "/api/v1/kill", "Content-Type: application/json\r\n", &kill, 401),
            ("POST", "/api/v1/kill", &format!("{json}Origin: http://evil.example\r\n"), &kill, 403),
            ("GET", "/api/v1/kill", basic, "", 405),
            ("POST", "/api/v1/servers", &json, "{}", 405),
            ("POST", "/api/v1/kill", &json, "{\"id\": 4000000000}", 404),
            ("POST", "/api/v1/kill", &json, "{\"ids\": 1}", 400),
            ("POST", "/api/v1/drain", &json, "{\"server\": \"nobody\"}", 400),
            ("GET", "/api/v1/nothing", basic, "", 404),
            ("GET", "/", basic, "", 404),
        ] {
            let (status, said) = http(address, method, path, headers, body).await;
            assert_eq!(status, expected, "{method} {path} {headers}: {said}");
        }
        assert_eq!(http(address, "POST", "/api/v1/kill", &json, &kill).await.0, 200);
        let mut client = client;
        assert!(client.query_drop("SELECT 1").await.is_err());
    });
}

const WATCHER: &str = "admin.users = [{ name = \"watcher\", password = \"look\", role = \"viewer\" }, { name = \"anna\", password = \"steer\" }]\n";

#[test]
fn each_user_logs_in_a_viewer_only_looks_and_the_trail_names_who_asked() {
    check_with(&format!("{PASSWORD}{WATCHER}"), async |stage| {
        let as_user = |user, password| options(stage.dauphin.admin, password).user(Some(user));
        let mut watcher = Conn::new(as_user("watcher", "look")).await.unwrap();
        let mut anna = Conn::new(as_user("anna", "steer")).await.unwrap();
        for (user, password) in
            [("watcher", "steer"), ("anna", ""), ("watcher", "it's secret"), ("bob", "look")]
        {
            assert_eq!(server_error(Conn::new(as_user(user, password)).await).code, 1045, "{user}");
        }
        watcher.query_drop("SHOW SERVERS").await.unwrap();
        watcher.query_drop("HELP DRAIN").await.unwrap();
        let victim = stage.client().await;
        let kill = format!("KILL {}", victim.id());
        for order in [
            "DRAIN db2",
            "UNDRAIN db2",
            "PAUSE",
            "RESUME",
            "SWITCHOVER",
            "FAILOVER",
            &kill,
            "RELOAD",
            "SHUTDOWN",
        ] {
            let refused = server_error(watcher.query_drop(order).await);
            assert_eq!((refused.code, refused.state.as_str()), (1227, "42000"), "{order}");
            assert!(refused.message.contains("takes the role operator"), "{refused}");
        }
        let address = stage.dauphin.http;
        let basic = "Authorization: Basic d2F0Y2hlcjpsb29r\r\nContent-Type: application/json\r\n";
        assert_eq!(http(address, "GET", "/api/v1/servers", basic, "").await.0, 200);
        assert_eq!(http(address, "GET", "/metrics", basic, "").await.0, 200);
        let (status, said) = http(address, "POST", "/api/v1/pause", basic, "{}").await;
        assert!(status == 403 && said.contains("takes the role operator"), "{status} {said}");
        assert!(column(&mut watcher, "SHOW EVENTS", "message", "kind", "paused").await.is_empty());
        anna.query_drop("DRAIN db2").await.unwrap();
        anna.query_drop("UNDRAIN db2").await.unwrap();
        let by_anna = "Authorization: Basic YW5uYTpzdGVlcg==\r\nContent-Type: application/json\r\n";
        assert_eq!(http(address, "POST", "/api/v1/drain", by_anna, "{\"server\":\"db2\"}").await.0, 200);
        assert_eq!(http(address, "POST", "/api/v1/undrain", by_anna, "{\"server\":\"db2\"}").await.0, 200);
        let told = column(&mut watcher, "SHOW EVENTS", "message", "kind", "drained").await;
        let by = |way: &str| {
            let by = format!("anna@127.0.0.1 by {way}");
            told.iter().flatten().filter(|message| message.contains(&by)).count()
        };
        assert_eq!((told.len(), by("MySQL protocol"), by("HTTP")), (2, 1, 1), "{told:?}");
        let mut victim = victim;
        victim.query_drop("SELECT 1").await.expect("nobody killed it");
        let user: Option<String> = watcher.query_first("SELECT USER()").await.unwrap();
        assert_eq!(user.as_deref(), Some("watcher"));
    });
}

#[test]
fn without_a_password_only_names_of_this_machine_are_served() {
    check(async |stage| {
        let address = stage.dauphin.http;
        assert_eq!(get(address, "/api/v1/servers").await.0, 200);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let rebound = "GET /api/v1/servers HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
        stream.write_all(rebound.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    });
}

#[test]
fn other_machines_need_tls() {
    let options_of_dauphin =
        format!("{PASSWORD}admin.address = \"0.0.0.0:0\"\nadmin.http_address = \"0.0.0.0:0\"\n");
    check_with(&options_of_dauphin, async |stage| {
        // The address at which a server sees this machine.
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect((stage.cluster.primary().address(), 9)).unwrap();
        let far = SocketAddr::new(socket.local_addr().unwrap().ip(), stage.dauphin.admin.port());
        let plain = Conn::new(options(far, "it's secret")).await;
        assert_eq!(server_error(plain).code, 3159);
        let tls = SslOpts::default().with_danger_accept_invalid_certs(true);
        let mut operator = Conn::new(options(far, "it's secret").ssl_opts(Some(tls))).await.unwrap();
        operator.query_drop("SHOW SERVERS").await.unwrap();
        // HTTP without TLS gets no answer at all.
        let far = SocketAddr::new(far.ip(), stage.dauphin.http.port());
        let mut stream = TcpStream::connect(far).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("it ends");
        assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    });
}

#[test]
fn the_command_line_shows_and_orders() {
    check_with(PASSWORD, async |stage| {
        // The file leaves the port to the system, which --config cannot know.
        let password = stage.dauphin.config().with_file_name("password");
        std::fs::write(&password, "it's secret\n").unwrap();
        let address = stage.dauphin.admin.to_string();
        let run = |arguments: &[&str]| {
            let to = ["--address", &address, "--password-file", password.to_str().unwrap()];
            Command::new(&*BINARY).args(arguments).args(to).output().unwrap()
        };
        let status = run(&["status"]);
        let shown = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(
            status.status.success() && shown.contains("db1") && shown.contains("candidate"),
            "{status:?}"
        );
        let json = run(&["show", "pools", "--like", "db2", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json.as_array().unwrap().len(), 1);
        let mut client = stage.client().await;
        assert!(run(&["kill", &client.id().to_string()]).status.success());
        assert!(client.query_drop("SELECT 1").await.is_err());
        let refused = run(&["drain", "nobody"]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("there is no server \"nobody\"; the servers are db1, db2, db3"), "{said}");
        std::fs::write(&password, "wrong").unwrap();
        let refused = run(&["status"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("Access denied"), "{refused:?}");
    });
}

#[test]
fn a_door_that_is_open_to_others_is_a_mistake_in_the_config() {
    let file = crate::support::dauphin::new_directory().join("open.toml");
    let text = "servers = [\"db1:3306\"]\naccount = { user = \"u\", password = \"p\" }\n[admin]\naddress = \"0.0.0.0:6032\"\n";
    std::fs::write(&file, text).unwrap();
    for arguments in [["check", file.to_str().unwrap()], ["--config", file.to_str().unwrap()]] {
        let output = Command::new(&*BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("[admin] address: 0.0.0.0:6032 is open to other machines"), "{said}");
    }
}
