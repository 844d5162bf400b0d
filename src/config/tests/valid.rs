//! What right files become.

use std::path::PathBuf;
use std::time::Duration;

use super::super::{
    Ca, Certificate, ClientTlsMode, Compression, Config, Consistency, ListenAddress, LogFormat, ServerTls,
};
use super::{read_alone, valid};

const ACCOUNT: &str = "[account]\nuser = \"dauphin\"\npassword = \"pw\"\n";

#[test]
fn servers_are_addresses_or_sections() {
    let text = r#"servers = ["db1:3306", { address = "[::1]:3307", name = "here", weight = 0, zone = "a" }]"#;
    let config =
        read_alone(&format!("{text}\n{ACCOUNT}[pool]\nmax_connections_per_server = 7")).expect("valid");
    let [first, second] = &config.servers[..] else { panic!("two servers") };
    assert_eq!((first.name.as_str(), first.weight, first.max_connections), ("db1:3306", 100, 7));
    assert_eq!((second.name.as_str(), second.weight, second.zone.as_deref()), ("here", 0, Some("a")));
    assert_eq!(second.address.to_string(), "[::1]:3307");

    let text =
        "[[servers]]\naddress = \"db1:3306\"\nmax_connections = 9\n[[servers]]\naddress = \"/run/s.sock\"\n";
    let config = read_alone(&format!("{text}{ACCOUNT}")).expect("valid");
    assert_eq!(config.servers[0].max_connections, 9);
    assert_eq!((config.servers[1].max_connections, config.servers[1].name.as_str()), (500, "/run/s.sock"));
}

#[test]
fn every_kind_of_value_is_read() {
    let config = valid(
        r#"
        [listen]
        address = ["127.0.0.1:0", "/run/dauphin.sock"]
        [routing]
        consistency = "eventual"
        causal_wait = "1s500ms"
        retry_reads = false
        [limits]
        result_buffer = "32KiB"
        user_variables = 0x10
        [log]
        format = "json"
        level = "warn,dauphin::pool=debug"
        "#,
    );
    let [ListenAddress::Tcp(tcp), ListenAddress::Unix(socket)] = &config.listen.addresses[..] else {
        panic!("{:?}", config.listen.addresses)
    };
    assert_eq!((tcp.to_string(), socket), ("127.0.0.1:0".to_owned(), &PathBuf::from("/run/dauphin.sock")));
    assert_eq!(config.routing.consistency, Consistency::Eventual);
    assert_eq!(config.routing.causal_wait, Duration::from_millis(1500));
    assert!(!config.routing.retry_reads);
    assert_eq!((config.limits.result_buffer, config.limits.user_variables), (32 << 10, 16));
    assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Json, "warn,dauphin::pool=debug"));
}

#[test]
fn a_mode_of_tls_carries_what_it_needs() {
    let system = valid("[tls.server]\nmode = \"verify-identity\"\nca = \"system\"");
    assert_eq!(system.tls.server, ServerTls::VerifyIdentity(Ca::System));
    assert_eq!(valid("").tls.server, ServerTls::Preferred);
    assert_eq!(valid("tls.server.mode = \"required\"").tls.server, ServerTls::Required);
    let kept = Certificate::SelfSigned { directory: PathBuf::from("kept") };
    assert_eq!(valid("tls.client.directory = \"kept\"").tls.client.certificate, kept);
}

#[test]
fn for_tests_is_the_defaults_on_this_machine_only() {
    let config = Config::for_tests(&["127.0.0.1:3306", "127.0.0.1:3307"]);
    assert_eq!(config.servers.len(), 2);
    assert!(config.listen.addresses.iter().all(ListenAddress::is_local));
    assert_eq!(config.tls.client.mode, ClientTlsMode::Disabled);
    assert_eq!(config.pool, valid("").pool);
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn what_is_allowed_and_probably_not_meant_is_warned_of() {
    let warned = |text: &str| valid(text).warnings().iter().any(|warning| !warning.starts_with("servers:"));
    assert_eq!(valid("").warnings(), Vec::<String>::new(), "there is one server, and others may be found");
    assert_eq!(valid("monitor.discover = \"off\"").warnings().len(), 1, "there is one server only");
    for (text, doubtful) in [
        ("tls.server.mode = \"disabled\"", true),
        ("tls.client.mode = \"disabled\"", true),
        ("tls.client.mode = \"disabled\"\nlisten.address = \"127.0.0.1:0\"", false),
        ("pool.idle_timeout = \"2h\"", true),
        ("pool.idle_timeout = \"1h\"", false),
    ] {
        assert_eq!(warned(text), doubtful, "{text}");
    }
    let servers =
        "servers = [{ address = \"db1:3306\", weight = 0 }, { address = \"db2:3306\", weight = 0 }]";
    let account = "account = { user = \"dauphin\", password = \"\" }";
    let config = read_alone(&format!("{servers}\n{account}")).expect("valid");
    assert_eq!(config.warnings().len(), 2, "{:?}", config.warnings());
}

#[test]
fn a_server_s_own_compression_counts_before_the_pool_s() {
    let config = valid("pool.compression = \"zstd\"");
    assert_eq!((config.pool.compression, config.servers[0].compression), (Compression::Zstd, None));
    let config = read_alone(
        "account = { user = \"dauphin\", password = \"\" }\nservers = [{ address = \"db1:3306\", compression = \"zlib\" }]",
    );
    let config = config.expect("valid");
    assert_eq!(
        (config.pool.compression, config.servers[0].compression),
        (Compression::Off, Some(Compression::Zlib))
    );
}

#[test]
fn threads_are_at_least_one() {
    assert!(valid("").threads.data_threads() >= 1);
    assert_eq!(valid("threads.data = 3").threads.data_threads(), 3);
}
