//! The scenario by mysql_async: query_* is the text protocol, exec_* the binary one. An example of the workspace, so that
//! the driver is the one that tests/it has built already.

use std::{fmt::Debug, path::Path, process::ExitCode};

use mysql_async::{
    BinaryProtocol, ChangeUserOpts, Column, Conn, Opts, OptsBuilder, Params, Pool, QueryResult, Row, SslOpts,
    TextProtocol, TxOpts, Value, consts::ColumnFlags, prelude::*,
};

const USAGE: &str = "usage: run HOST PORT USER PASSWORD SCHEMA [tls|plain]";
/// Longer values are printed as length and checksum.
const LONG: usize = 700;

struct Scenario {
    opts: OptsBuilder,
    schema: String,
    other: String,
    user: String,
    password: String,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (names, tls) = match &arguments[..] {
        [names @ .., last] if names.len() == 5 && (last == "tls" || last == "plain") => {
            (names, last == "tls")
        }
        names if names.len() == 5 => (names, false),
        _ => anyhow::bail!(USAGE),
    };
    let [host, port, user, password, schema] = names else { anyhow::bail!(USAGE) };
    let security = tls.then(|| SslOpts::default().with_danger_accept_invalid_certs(true));
    let opts = OptsBuilder::default()
        .ip_or_hostname(host.as_str())
        .tcp_port(port.parse()?)
        .user(Some(user))
        .pass(Some(password))
        .ssl_opts(security)
        .prefer_socket(false);
    let scenario = Scenario {
        opts,
        schema: schema.clone(),
        other: format!("{schema}_other"),
        user: user.clone(),
        password: password.clone(),
    };
    scenario.play().await
}

impl Scenario {
    fn within(&self) -> OptsBuilder {
        self.opts.clone().db_name(Some(&self.schema))
    }

    async fn play(&self) -> anyhow::Result<()> {
        let mut conn = self.connecting().await?;
        let statements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/shared/statements");
        for (step, sql) in self.statements(&statements)? {
            query(&mut conn, &step, &sql).await;
        }
        self.prepared(&mut conn).await?;
        self.transactions(&mut conn).await?;
        self.resets(&mut conn).await?;
        self.options().await?;
        self.large(&mut conn).await;
        self.pooled().await?;
        self.read_your_writes(&mut conn).await?;
        for schema in [&self.schema, &self.other] {
            query(&mut conn, "drop schemas", &format!("DROP DATABASE {schema}")).await;
        }
        Ok(conn.disconnect().await?)
    }

    async fn connecting(&self) -> anyhow::Result<Conn> {
        let mut fresh = Conn::new(self.opts.clone()).await?;
        for schema in [&self.schema, &self.other] {
            // Unprinted: an earlier run may have been cut off.
            fresh.query_drop(format!("DROP DATABASE IF EXISTS {schema}")).await?;
            query(&mut fresh, "schemas", &format!("CREATE DATABASE {schema} CHARACTER SET utf8mb4")).await;
        }
        query(&mut fresh, "no schema yet", "SHOW TABLES").await;
        fresh.disconnect().await?;
        let wrong = self.within().pass(Some("wrong"));
        say("wrong password", "", attempt(Conn::new(wrong).await));
        let unknown = self.opts.clone().db_name(Some("no_such_schema_here"));
        say("unknown schema", "", attempt(Conn::new(unknown).await));
        let mut conn = Conn::new(self.within()).await?;
        query(
            &mut conn,
            "connect",
            "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@character_set_client",
        )
        .await;
        Ok(conn)
    }

    /// `(step, statement)` in order: `-- name` begins a step, `;` at a line's end ends a statement.
    fn statements(&self, folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
        let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        files.sort_by_key(std::fs::DirEntry::file_name);
        let (mut all, mut step) = (Vec::new(), String::new());
        for file in files {
            let text = std::fs::read_to_string(file.path())?;
            let text = text.replace("{schema}", &self.schema).replace("{other}", &self.other);
            for statement in text.split(";\n") {
                let mut statement = statement.trim();
                if let Some((heading, rest)) =
                    statement.strip_prefix("-- ").and_then(|rest| rest.split_once('\n'))
                {
                    step = heading.to_owned();
                    statement = rest.trim();
                }
                if !statement.is_empty() {
                    all.push((step.clone(), statement.to_owned()));
                }
            }
        }
        Ok(all)
    }

    async fn prepared(&self, conn: &mut Conn) -> anyhow::Result<()> {
        let echo = "SELECT ?, ?, ?, ?, ?, ?";
        let many: [Vec<Value>; 3] = [
            vec![
                1.into(),
                (-1.5).into(),
                "text 🐬".into(),
                vec![0u8, 255, 39, 92].into(),
                Value::NULL,
                true.into(),
            ],
            vec![
                i64::MIN.into(),
                1e300.into(),
                "".into(),
                Vec::<u8>::new().into(),
                Value::NULL,
                false.into(),
            ],
            vec![
                u64::MAX.into(),
                0.1.into(),
                "ü".repeat(300).into(),
                pattern(256).into(),
                "x".into(),
                2.into(),
            ],
        ];
        for values in many {
            exec(conn, "prepared, many types", echo, values).await;
        }
        exec(
            conn,
            "prepared, every column type",
            "SELECT * FROM types WHERE id >= ? ORDER BY id",
            vec![0.into()],
        )
        .await;
        let moments = vec![
            Value::Date(2024, 2, 29, 0, 0, 0, 0),
            Value::Date(2024, 2, 29, 23, 59, 59, 999_999),
            Value::Time(true, 1, 1, 0, 0, 500_000),
        ];
        let sql = "SELECT CAST(? AS DATE), CAST(? AS DATETIME(6)), CAST(? AS TIME(3))";
        exec(conn, "prepared, moments", sql, moments).await;
        for name in ["prepared 0", "prepared 1", "prepared 1", "prepared 2"] {
            let values = vec![name.into(), 9.into()];
            exec(conn, "prepared insert", "INSERT INTO people (name, age) VALUES (?, ?)", values).await;
        }
        let count = "SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE ?";
        exec(conn, "prepared insert", count, vec!["prepared%".into()]).await;
        for sql in ["SELEC ?", "SELECT * FROM no_such_table WHERE id = ?", "SELECT CAST(? AS SIGNED)"] {
            exec(conn, "prepared errors", sql, vec!["abc".into()]).await;
        }
        query(conn, "prepared errors", "SHOW WARNINGS").await;
        let (one, two) = (conn.prep("SELECT ? + 1").await?, conn.prep("SELECT ? + 2").await?);
        for (statement, value) in [(&one, 1), (&two, 2), (&one, 3)] {
            let got: Result<Vec<i64>, _> = conn.exec(statement, (value,)).await;
            say("two handles", &value.to_string(), got);
        }
        conn.close(one).await?;
        say("two handles", "one closed", conn.exec::<i64, _, _>(&two, (5,)).await);
        for n in 0..50 {
            let got: Option<i64> = conn.exec_first(format!("SELECT {n} + ?"), (n,)).await?;
            anyhow::ensure!(got == Some(2 * n), "{got:?} for {n}");
        }
        let names = params! { "low" => 1, "high" => 3 };
        let named: Result<Vec<String>, _> =
            conn.exec("SELECT name FROM people WHERE id BETWEEN :low AND :high ORDER BY id", names).await;
        say("named parameters", "", named);
        let rows = (0..5).map(|n| (format!("batch {n}"), n));
        say("batch", "", conn.exec_batch("INSERT INTO people (name, age) VALUES (?, ?)", rows).await);
        query(conn, "batch", "SELECT name, age FROM people WHERE name LIKE 'batch%' ORDER BY name").await;
        Ok(())
    }

    async fn transactions(&self, conn: &mut Conn) -> anyhow::Result<()> {
        let mut transaction = conn.start_transaction(TxOpts::default()).await?;
        transaction.query_drop("INSERT INTO people (name) VALUES ('in a transaction')").await?;
        let count = "SELECT COUNT(*) FROM people WHERE name = 'in a transaction'";
        say("transaction", "inside", transaction.query::<u64, _>(count).await);
        transaction.rollback().await?;
        say("transaction", "rolled back", conn.query::<u64, _>(count).await);
        let mut read_only = TxOpts::default();
        read_only.with_readonly(true);
        let mut reading = conn.start_transaction(read_only).await?;
        say("transaction", "read only", reading.query::<u64, _>(count).await);
        let refused = reading.query_drop("DELETE FROM people").await;
        say("transaction", "a write in it", refused);
        Ok(reading.commit().await?)
    }

    async fn resets(&self, conn: &mut Conn) -> anyhow::Result<()> {
        // Not the variable itself: on a connection that had one of this name its type may still be the old one (README, limits).
        const LOOK: &str =
            "SELECT DATABASE(), @of_async IS NULL, @@sql_mode, @@autocommit, @@collation_connection";
        for step in ["reset connection", "change user"] {
            for sql in
                ["SET @of_async = 1, sql_mode = 'ANSI'", "CREATE TEMPORARY TABLE scratch (id INT)", "BEGIN"]
            {
                conn.query_drop(sql).await?;
            }
            if step == "reset connection" {
                say(step, "", conn.reset().await);
            } else {
                let user = ChangeUserOpts::new()
                    .with_user(Some(self.user.clone()))
                    .with_pass(Some(self.password.clone()))
                    .with_db_name(Some(self.other.clone()));
                say(step, "", conn.change_user(user).await);
            }
            query(conn, step, LOOK).await;
            query(conn, step, "SELECT * FROM scratch").await;
            conn.query_drop(format!("USE {}", self.schema)).await?;
        }
        say("ping", "", conn.ping().await);
        query(conn, "ping", "SELECT ROW_COUNT()").await;
        Ok(())
    }

    async fn options(&self) -> anyhow::Result<()> {
        for found in [true, false] {
            let mut conn = Conn::new(self.within().client_found_rows(found)).await?;
            for _ in 0..2 {
                query(&mut conn, "found rows", "UPDATE people SET age = 42 WHERE name = 'Ada'").await;
            }
            conn.disconnect().await?;
        }
        let compression = mysql_async::Compression::default();
        let mut conn = Conn::new(self.within().compression(Some(compression))).await?;
        let text = vec!["x".repeat(5000).into()];
        exec(&mut conn, "compression", "SELECT LENGTH(?), REPEAT('y', 3000)", text).await;
        let length = 17 << 20;
        exec(
            &mut conn,
            "compression",
            &format!("SELECT ?, REPEAT('y', {length})"),
            vec![pattern(length).into()],
        )
        .await;
        query(&mut conn, "compression", "SELECT 'in step'").await;
        conn.disconnect().await?;
        let set = self.within().init(vec!["SET @greeting = 'hello'", "SET time_zone = '+01:00'"]);
        let mut conn = Conn::new(set).await?;
        query(&mut conn, "init", "SELECT @greeting, @@time_zone").await;
        Ok(conn.disconnect().await?)
    }

    async fn large(&self, conn: &mut Conn) {
        for length in [(16 << 20) - 30, 16 << 20, 20 << 20] {
            let data: Value = pattern(length).into();
            let values = vec![data.clone(), data.clone(), data];
            exec(conn, "large parameters", "SELECT LENGTH(?), SHA2(?, 256), ?", values).await;
        }
        let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
                    SELECT a.i, REPEAT(SHA2(a.i * b.i, 256), 16) FROM n a, n b WHERE b.i <= 10 ORDER BY b.i, a.i";
        let streamed = async {
            let (mut result, mut count, mut sum) = (conn.query_iter(rows).await?, 0u32, 0u64);
            while let Some(row) = result.next().await? {
                (count, sum) = (count + 1, checksum(sum, format!("{:?}", row.unwrap()).as_bytes()));
            }
            Ok::<_, mysql_async::Error>((count, sum))
        };
        say("large result", "", streamed.await);
    }

    /// Sessions that a pool resets and lends again.
    async fn pooled(&self) -> anyhow::Result<()> {
        let pool = Pool::new(Opts::from(self.within()));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let mut sums = 0u64;
                    for n in 0..20u64 {
                        let mut conn = pool.get_conn().await?;
                        let kept: Option<Option<u64>> = conn.query_first("SELECT @kept").await?;
                        conn.exec_drop("SET @kept = ?", (n,)).await?;
                        let got: Option<u64> = conn.exec_first("SELECT ? + @kept", (task,)).await?;
                        sums += got.unwrap_or_default() + kept.flatten().unwrap_or_default() * 1000;
                    }
                    Ok::<_, mysql_async::Error>(sums)
                })
            })
            .collect();
        for task in tasks {
            say("pool", "", task.await?);
        }
        Ok(pool.disconnect().await?)
    }

    async fn read_your_writes(&self, conn: &mut Conn) -> anyhow::Result<()> {
        conn.query_drop("CREATE TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, n INT)").await?;
        for n in 1..=200u64 {
            conn.exec_drop("INSERT INTO mine (n) VALUES (?)", (n,)).await?;
            let id = conn.last_insert_id();
            let got: Option<(u64, u64)> = conn.query_first("SELECT COUNT(*), MAX(n) FROM mine").await?;
            if got != Some((n, n)) || id != Some(n) {
                say("read your writes", &n.to_string(), Ok::<_, mysql_async::Error>((got, id)));
            }
        }
        println!("read your writes: 200 rounds");
        Ok(())
    }
}

async fn query(conn: &mut Conn, step: &str, sql: &str) {
    let answered = async { collect::<TextProtocol>(conn.query_iter(sql).await?).await };
    say(step, sql, answered.await);
}

async fn exec(conn: &mut Conn, step: &str, sql: &str, values: Vec<Value>) {
    let answered =
        async { collect::<BinaryProtocol>(conn.exec_iter(sql, Params::Positional(values)).await?).await };
    say(step, sql, answered.await);
}

/// Every result set's columns and rows, and what its end says.
async fn collect<P: Protocol>(mut result: QueryResult<'_, '_, P>) -> mysql_async::Result<Vec<String>> {
    let mut said = Vec::new();
    loop {
        let columns: Vec<String> = result.columns_ref().iter().map(column).collect();
        let rows: Vec<Row> = result.collect().await?;
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.unwrap().into_iter().map(value).collect()).collect();
        said.push(format!(
            "columns {columns:?} rows {rows:?} affected {} id {:?} warnings {} info {:?}",
            result.affected_rows(),
            result.last_insert_id(),
            result.warnings(),
            result.info()
        ));
        if result.is_empty() {
            return Ok(said);
        }
    }
}

fn column(column: &Column) -> String {
    let flags = column.flags() & !ColumnFlags::NUM_FLAG;
    format!(
        "{} {} {} {:?} {} {} {:?} {}",
        column.name_str(),
        column.org_name_str(),
        column.table_str(),
        column.column_type(),
        column.column_length(),
        column.character_set(),
        flags,
        column.decimals()
    )
}

fn value(value: Value) -> String {
    match value {
        Value::Bytes(bytes) if bytes.len() > LONG => {
            format!("{} bytes, checksum {}", bytes.len(), checksum(0, &bytes))
        }
        other => format!("{other:?}"),
    }
}

fn attempt(connected: mysql_async::Result<Conn>) -> mysql_async::Result<()> {
    connected.map(drop)
}

fn say<T: Debug>(step: &str, sql: &str, answer: mysql_async::Result<T>) {
    let short: String = sql.chars().take(100).collect();
    match answer {
        Ok(answer) => println!("{step} | {short:?} | {answer:?}"),
        Err(mysql_async::Error::Server(error)) => {
            println!("{step} | {short:?} | error {} {} {}", error.code, error.state, masked(&error.message));
        }
        Err(other) => println!("{step} | {short:?} | {other}"),
    }
}

/// Where the client comes from is nobody's promise.
fn masked(message: &str) -> String {
    match message.split_once("'@'") {
        Some((before, after)) => {
            let rest = after.split_once('\'').map_or("", |(_, rest)| rest);
            format!("{before}'@'HOST'{rest}")
        }
        None => message.to_owned(),
    }
}

/// Bytes that do not repeat in a packet's or a buffer's rhythm, none of which ends a text.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (state >> 24) as u8 % 26
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// FNV-1a: nobody forges answers here.
fn checksum(from: u64, bytes: &[u8]) -> u64 {
    let start = from ^ 0xcbf2_9ce4_8422_2325;
    bytes.iter().fold(start, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
