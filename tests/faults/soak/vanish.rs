//! Clients that speak the protocol byte by byte: those that use a cursor, and those that vanish.

use std::sync::atomic::Ordering;

use dauphin_proto::command::code;
use tokio::{net::TcpStream, time::sleep};

use super::{client::Client, world::Outcome};
use crate::raw::Raw;

/// What a client that vanished in a transaction leaves: nothing.
pub const VANISHED: &str = "vanished in a transaction";

impl Client {
    async fn raw(&self) -> Outcome<Raw> {
        let login = Raw::connect(self.world.dauphin, "app", "app", Some("app_faults"));
        self.world.ask("login", login).await
    }

    /// Fetches 500 rows in five portions.
    pub async fn cursor(&mut self) -> Outcome<()> {
        let (world, mut raw) = (self.world.clone(), self.raw().await?);
        let text = "SELECT n FROM numbers WHERE n < 500 ORDER BY n";
        let statement = world.ask(text, raw.prepare(text)).await?;
        world.ask(text, raw.execute(statement, 1)).await?;
        for portion in 0..5_u32 {
            let fetched = world.ask("COM_STMT_FETCH", raw.fetch(statement, 100)).await?;
            // A row is 0, a byte of NULL bits, and the number.
            let wanted: Vec<_> =
                (0..100).map(|n| [&[0, 0][..], &(100 * portion + n).to_le_bytes()].concat()).collect();
            world.expect("COM_STMT_FETCH", fetched.rows, wanted);
            sleep(self.random.ms(0, 100)).await;
        }
        // Only some quit.
        if self.random.chance(50) {
            world.ask("COM_QUIT", raw.command(code::QUIT, b"")).await?;
        }
        Ok(())
    }

    /// Connects, begins something and is gone.
    pub async fn vanish(&mut self) -> Outcome<()> {
        let world = self.world.clone();
        world.vanished.fetch_add(1, Ordering::Relaxed);
        let how = self.random.below(6);
        if how == 0 {
            let connecting = async { Ok::<_, anyhow::Error>(TcpStream::connect(world.dauphin).await?) };
            drop(world.ask("connect", connecting).await?);
            return Ok(());
        }
        let mut raw = self.raw().await?;
        let big = "SELECT a.n, REPEAT('x', 4096) FROM numbers a JOIN numbers b ON b.n < 8";
        let insert = format!("INSERT INTO scratch (client, text) VALUES ({}, '{VANISHED}')", self.number);
        match how {
            1 => {
                world.ask(big, raw.command(code::QUERY, big.as_bytes())).await?;
                world.ask(big, raw.packet()).await?;
            }
            2 => {
                // 32 MiB that nobody reads for a while.
                world.ask(big, raw.command(code::QUERY, big.as_bytes())).await?;
                sleep(self.random.ms(500, 3000)).await;
            }
            3 => {
                let text = "SELECT SLEEP(3), COUNT(*) FROM numbers";
                world.ask(text, raw.command(code::QUERY, text.as_bytes())).await?;
                sleep(self.random.ms(0, 300)).await;
            }
            4 => {
                let text = "UPDATE scratch SET text = SLEEP(2) WHERE id = 1";
                world.ask(text, raw.command(code::QUERY, text.as_bytes())).await?;
                sleep(self.random.ms(0, 300)).await;
            }
            _ => {
                world.ask("BEGIN", raw.query("BEGIN")).await?;
                world.ask(&insert, raw.query(&insert)).await?;
                sleep(self.random.ms(0, 300)).await;
            }
        }
        Ok(())
    }
}
