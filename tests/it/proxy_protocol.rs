//! Load balancers that say, by the PROXY protocol, where a client comes from.

use std::net::SocketAddr;

use mysql_async::{Conn, OptsBuilder, Row, SslOpts, prelude::Queryable as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::support::{Stage, check_with};

const TRUSTED: &str = "listen.proxy_protocol_networks = [\"192.0.2.1\", \"127.0.0.0/8\"]\n";

/// A load balancer in front of dauphin that sends this header ahead of what the client sends.
async fn balancer(dauphin: SocketAddr, header: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(dauphin).await.unwrap();
            server.write_all(&header).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    address
}

fn through(address: SocketAddr, stage: &Stage) -> OptsBuilder {
    stage.options("app", "app").ip_or_hostname(address.ip().to_string()).tcp_port(address.port())
}

/// Where dauphin says that this client's session comes from.
async fn host_of(stage: &Stage, client: &Conn) -> Option<String> {
    let admin = stage.dauphin.admin;
    let options = OptsBuilder::default()
        .ip_or_hostname(admin.ip().to_string())
        .tcp_port(admin.port())
        .user(Some("admin"))
        .prefer_socket(false);
    let mut operator = Conn::new(options).await.unwrap();
    let shown = format!("SHOW SESSIONS LIKE '{}'", client.id());
    let row: Option<Row> = operator.query_first(shown).await.unwrap();
    row.expect("the session is shown").get("host").unwrap()
}

#[test]
fn a_listed_load_balancer_is_believed() {
    check_with(TRUSTED, async |stage| {
        let v2 =
            [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[203, 0, 113, 7, 10, 0, 0, 1, 0, 1, 0, 2]].concat();
        for (header, host) in [
            (b"PROXY TCP4 198.51.100.9 10.0.0.1 4660 3306\r\n".to_vec(), "198.51.100.9"),
            (b"PROXY TCP6 2001:db8::9 ::1 4660 3306\r\n".to_vec(), "2001:db8::9"),
            (v2, "203.0.113.7"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
            (Vec::new(), "127.0.0.1"),
        ] {
            let address = balancer(stage.dauphin.address, header).await;
            let plain = through(address, stage);
            let tls = plain.clone().ssl_opts(Some(SslOpts::default().with_danger_accept_invalid_certs(true)));
            for options in [plain, tls] {
                let mut client = stage.try_client(options).await.unwrap();
                assert_eq!(client.query_first::<u8, _>("SELECT 1").await.unwrap(), Some(1));
                assert_eq!(host_of(stage, &client).await.as_deref(), Some(host));
            }
        }
        // Half a header is no more than half a login.
        let mut half = TcpStream::connect(stage.dauphin.address).await.unwrap();
        half.write_all(b"PROXY TCP4 198.51").await.unwrap();
        half.shutdown().await.unwrap();
        half.read_to_end(&mut Vec::new()).await.unwrap();
        stage.client().await.query_drop("SELECT 1").await.unwrap();
    });
}

#[test]
fn an_unlisted_one_is_turned_away_and_others_are_not_harmed() {
    check_with("listen.proxy_protocol_networks = [\"192.0.2.1\"]\n", async |stage| {
        let header = b"PROXY TCP4 198.51.100.9 10.0.0.1 4660 3306\r\n".to_vec();
        let address = balancer(stage.dauphin.address, header).await;
        assert!(stage.try_client(through(address, stage)).await.is_err());
        assert!(stage.dauphin.log().contains("[listen] proxy_protocol_networks"), "the reason is in the log");
        stage.client().await.query_drop("SELECT 1").await.unwrap();
    });
}
