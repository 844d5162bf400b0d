//! `dauphin check` and `dauphin grants`.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use mysql_async::prelude::Queryable as _;

use crate::support::{
    Dauphin, check,
    dauphin::{BINARY, new_directory},
};

fn run(arguments: &[&str]) -> Output {
    Command::new(&*BINARY).args(arguments).output().unwrap()
}

#[test]
fn checking_a_bad_config_lists_every_mistake_and_fails() {
    let file = new_directory().join("bad.toml");
    std::fs::write(
        &file,
        "servers = [\"db1:99999\", \"db2:3306\"]\n[account]\nuser = \"dauphin\"\n[pool]\nlinger = \"soon\"\nmax_conections_per_server = 5\n\
         [routing]\nconsistency = \"perhaps\"\n",
    )
    .unwrap();
    let output = run(&["check", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    for mistake in
        ["99999", "password", "soon", "max_conections_per_server", "max_connections_per_server", "perhaps"]
    {
        assert!(said.contains(mistake), "{mistake} is not in:\n{said}");
    }
}

#[test]
fn checking_a_good_config_succeeds() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/minimal.toml");
    let output = run(&["check", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn starting_without_a_config_says_what_to_do() {
    let output = run(&[]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config"));
}

#[test]
fn what_grants_prints_is_enough_for_dauphins_account() {
    check(async |stage| {
        let user = format!("it_{}", stage.schema);
        let output = run(&["grants", "--flavour", stage.flavour.name(), "--user", &user]);
        assert!(output.status.success());
        let printed = String::from_utf8(output.stdout).unwrap().replace("<choose a password>", "chosen");
        let lines: Vec<&str> = printed.lines().filter(|line| !line.starts_with("--")).collect();
        stage.given(&lines.join("\n").replace(';', ";;")).await;
        let options = format!("account.user = \"{user}\"\naccount.password = \"chosen\"");
        stage.dauphin = Dauphin::start(stage.cluster, &options).await;
        let (read, write, mut client) = (stage.mark(), stage.mark(), stage.client().await);
        client.query_drop(format!("SELECT '{read}'")).await.unwrap();
        client.query_drop(format!("CREATE TABLE t (id INT) COMMENT '{write}'")).await.unwrap();
        stage.ran(&read).await.only_on_replicas(1);
        stage.ran(&write).await.only_on_primary(1);
        let log = stage.dauphin.log();
        assert!(!log.contains("privilege"), "{log}");
    });
}

#[test]
fn what_the_account_lacks_is_named_with_the_statement_that_mends_it() {
    check(async |stage| {
        let user = format!("poor_{}", stage.schema);
        let (may_watch, for_failover, also) = if stage.is_mysql() {
            ("REPLICATION CLIENT", "CONNECTION_ADMIN", "GRANT SELECT ON performance_schema.* TO")
        } else {
            (
                "SLAVE MONITOR",
                "CONNECTION ADMIN",
                "GRANT SELECT (User, plugin, authentication_string) ON mysql.user TO",
            )
        };
        stage
            .given(&format!("CREATE USER {user} IDENTIFIED BY 'poor';; GRANT {may_watch} ON *.* TO {user}"))
            .await;
        let options = format!(
            "account.user = \"{user}\"\naccount.password = \"poor\"\nfailover.mode = \"automatic\"\n"
        );
        stage.dauphin = Dauphin::start(stage.cluster, &options).await;
        let named = [
            format!("{for_failover} ON *.* TO `{user}`@`%`"),
            format!("{also} `{user}`@`%`"),
            format!("ON dauphin.* TO '{user}'@'%'"),
        ];
        let until = Instant::now() + Duration::from_secs(10);
        while let Some(missing) = named.iter().find(|statement| !stage.dauphin.log().contains(*statement)) {
            assert!(Instant::now() < until, "{missing} is not in the log:\n{}", stage.dauphin.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}
