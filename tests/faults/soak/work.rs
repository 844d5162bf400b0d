//! What a client does in one round.

use futures_util::{StreamExt as _, stream};
use mysql_async::{Conn, prelude::Queryable as _};

use super::{
    client::{Client, Session},
    world::Outcome,
};

impl Client {
    pub async fn work(&mut self, session: &mut Session) -> Outcome<()> {
        match self.random.below(22) {
            0..4 => self.own_write(session).await,
            4..7 => self.transaction(session).await,
            7 => self.read_only_transaction(session).await,
            8 | 9 => self.insert(session).await,
            10 => self.temporary_table(session).await,
            11 => self.named_lock(session).await,
            12 | 13 => self.set(session).await,
            14 | 15 => self.check_variables(session).await,
            16 => self.several_statements(session).await,
            17 => self.load_data(session).await,
            18 => self.big_result(session).await,
            19 => self.short_session().await,
            20 => self.cursor().await,
            _ => self.vanish().await,
        }
    }

    async fn own_write(&mut self, session: &mut Session) -> Outcome<()> {
        let key = self.random.below(self.rows.len());
        self.write(session, key).await?;
        for _ in 0..3 {
            self.read(session, key).await?;
        }
        let other = self.random.below(self.rows.len());
        self.read(session, other).await
    }

    async fn transaction(&mut self, session: &mut Session) -> Outcome<()> {
        let (number, value) = (self.number, self.next_value());
        let world = self.world.clone();
        world.run(&mut session.connection, "BEGIN").await?;
        for key in [1, 2] {
            let text = format!("UPDATE own SET v = {value} WHERE client = {number} AND k = {key}");
            world.run(&mut session.connection, &text).await?;
        }
        let inside = format!("SELECT v FROM own WHERE client = {number} AND k = 1");
        world.check(&mut session.connection, &inside, value).await?;
        if self.random.chance(25) {
            world.run(&mut session.connection, "ROLLBACK").await?;
        } else {
            let done = world.run(&mut session.connection, "COMMIT").await;
            self.note(&[1, 2], value, &done);
            done?;
        }
        self.read(session, 1).await?;
        self.read(session, 2).await
    }

    async fn read_only_transaction(&mut self, session: &mut Session) -> Outcome<()> {
        let world = self.world.clone();
        world.run(&mut session.connection, "START TRANSACTION READ ONLY").await?;
        self.read(session, 0).await?;
        self.read(session, 3).await?;
        world.run(&mut session.connection, "COMMIT").await
    }

    /// Rows that only ever come: none may be lost, none be there twice.
    async fn insert(&mut self, session: &mut Session) -> Outcome<()> {
        let (number, sequence, connection) = (self.number, self.next_value(), &mut session.connection);
        let text = format!("INSERT INTO w (worker, seq, server) VALUES ({number}, {sequence}, @@server_id)");
        match self.world.run(connection, &text).await {
            Ok(()) => self.inserted.push(sequence),
            Err(failure) => {
                if failure.leaves_in_doubt() {
                    self.in_doubt.push(sequence);
                }
                return Err(failure);
            }
        }
        let id = connection.last_insert_id().unwrap_or_default();
        self.world.check(connection, "SELECT LAST_INSERT_ID()", id).await?;
        let count = format!("SELECT COUNT(*) FROM w WHERE worker = {number} AND seq = {sequence}");
        self.world.check(connection, &count, 1_u64).await
    }

    async fn temporary_table(&mut self, session: &mut Session) -> Outcome<()> {
        let (world, value) = (self.world.clone(), self.next_value());
        if !session.has_table {
            world.run(&mut session.connection, "CREATE TEMPORARY TABLE t (n BIGINT)").await?;
            session.has_table = true;
        }
        world.run(&mut session.connection, "DELETE FROM t").await?;
        world.run(&mut session.connection, &format!("INSERT INTO t VALUES (1), ({value})")).await?;
        self.read(session, 0).await?;
        world
            .check(&mut session.connection, "SELECT CAST(COALESCE(SUM(n), 0) AS UNSIGNED) FROM t", value + 1)
            .await?;
        if self.random.chance(70) {
            world.run(&mut session.connection, "DROP TEMPORARY TABLE t").await?;
            session.has_table = false;
        }
        Ok(())
    }

    /// The lock is this client's alone: whoever has it still is a session of its that should have ended.
    async fn named_lock(&mut self, session: &mut Session) -> Outcome<()> {
        let (world, number) = (self.world.clone(), self.number);
        world
            .check(&mut session.connection, &format!("SELECT GET_LOCK('soak_{number}', 15)"), Some(1_i64))
            .await?;
        self.write(session, 3).await?;
        self.read(session, 3).await?;
        let release = format!("SELECT RELEASE_LOCK('soak_{number}')");
        world.check(&mut session.connection, &release, Some(1_i64)).await
    }

    async fn set(&mut self, session: &mut Session) -> Outcome<()> {
        let value = self.next_value();
        session.variables = Some(value);
        let zone = format!("+{:02}:00", value % 12);
        for text in [
            format!("SET @number = {value}, @text = 'it''s {value}'"),
            format!("SET group_concat_max_len = {}", 2000 + value),
            format!("SET time_zone = '{zone}'"),
        ] {
            self.world.run(&mut session.connection, &text).await?;
        }
        self.check_variables(session).await
    }

    /// What was SET, wherever it is read.
    pub async fn check_variables(&mut self, session: &mut Session) -> Outcome<()> {
        type Variables = (Option<u64>, Option<String>, u64, Option<String>);
        let wanted: Variables = match session.variables {
            Some(value) => (
                Some(value),
                Some(format!("it's {value}")),
                2000 + value,
                Some(format!("+{:02}:00", value % 12)),
            ),
            None => (None, None, self.world.default_length, Some("SYSTEM".to_owned())),
        };
        let text = "SELECT @number, @text, @@group_concat_max_len, @@time_zone";
        self.world.check(&mut session.connection, text, wanted).await
    }

    async fn several_statements(&mut self, session: &mut Session) -> Outcome<()> {
        let (number, value) = (self.number, self.next_value());
        let text = format!(
            "UPDATE own SET v = {value} WHERE client = {number} AND k = 3; \
             SELECT v FROM own WHERE client = {number} AND k = 3; SELECT {value} + 1"
        );
        let connection = &mut session.connection;
        let answer = self.world.ask(&text, all_results(connection, &text)).await;
        let done = answer.as_ref().map(drop).map_err(Clone::clone);
        self.note(&[3], value, &done);
        self.world.expect(&text, answer?, vec![value, value + 1]);
        self.read(session, 3).await
    }

    async fn load_data(&mut self, session: &mut Session) -> Outcome<()> {
        let (number, value) = (self.number, self.next_value());
        let connection = &mut session.connection;
        self.world.run(connection, &format!("DELETE FROM loaded WHERE client = {number}")).await?;
        let lines: String = (0..500).map(|line| format!("{number}\t{}\n", value + line)).collect();
        connection.set_infile_handler(async move { Ok(stream::iter([Ok(lines.into())]).boxed()) });
        self.world.run(connection, "LOAD DATA LOCAL INFILE 'any' INTO TABLE loaded").await?;
        let sum = format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(x), 0) AS UNSIGNED) FROM loaded WHERE client = {number}"
        );
        self.world.check(connection, &sum, (500_u64, 500 * value + 499 * 250)).await
    }

    /// 1 MiB.
    async fn big_result(&mut self, session: &mut Session) -> Outcome<()> {
        let text =
            "SELECT REPEAT(CHAR(97 + n % 26 USING latin1), 16384) FROM numbers WHERE n < 64 ORDER BY n";
        let rows: Vec<String> = self.world.ask(text, session.connection.query(text)).await?;
        let is_right = |(n, row): (usize, &String)| {
            row.len() == 16384 && row.bytes().all(|byte| usize::from(byte) == 97 + n % 26)
        };
        if rows.len() != 64 || !rows.iter().enumerate().all(is_right) {
            self.world.wrong(format!("{text}: other rows, {} of them", rows.len()));
        }
        Ok(())
    }

    /// Connects, asks and quits, as scripts do.
    async fn short_session(&mut self) -> Outcome<()> {
        let (world, value) = (self.world.clone(), self.next_value());
        for _ in 0..3 {
            let mut connection = world.ask("login", Conn::new(world.options.clone())).await?;
            world
                .check(&mut connection, &format!("SELECT {value}, COUNT(*) FROM numbers"), (value, 1000_u64))
                .await?;
            world.ask("COM_QUIT", connection.disconnect()).await?;
        }
        Ok(())
    }
}

/// The one column of each statement's rows.
async fn all_results(connection: &mut Conn, text: &str) -> mysql_async::Result<Vec<u64>> {
    let (mut result, mut all) = (connection.query_iter(text).await?, Vec::new());
    while !result.is_empty() {
        all.extend(result.collect::<u64>().await?);
    }
    Ok(all)
}
