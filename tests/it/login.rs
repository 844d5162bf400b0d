//! Who may log in, and how a password is proven.

use std::time::Duration;

use mysql_async::{Conn, OptsBuilder, SslOpts, prelude::Queryable as _};

use crate::support::{
    Stage, check, check_with, eventually,
    raw::{Raw, Refusal},
    server_error,
};

/// A new account, on all servers, with all rights in the story's schema; no server has its password in a cache.
async fn account(stage: &mut Stage, password: &str) -> String {
    let (schema, user) = (stage.schema.clone(), format!("it_{}", stage.mark()));
    let by = if password.is_empty() { String::new() } else { format!("IDENTIFIED BY '{password}'") };
    stage.given(&format!("CREATE USER {user}@'%' {by};; GRANT ALL ON {schema}.* TO {user}@'%'")).await;
    user
}

fn tls(options: OptsBuilder) -> OptsBuilder {
    options.ssl_opts(Some(SslOpts::default().with_danger_accept_invalid_certs(true)))
}

async fn works(stage: &Stage, options: OptsBuilder) {
    let mut client = stage.try_client(options.db_name(Some(&stage.schema))).await.unwrap();
    client.query_drop("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY)").await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.query_first::<u32, _>("SELECT COUNT(*) FROM t").await.unwrap(), Some(0));
    }
}

/// The error of a login, without what names the client's own host.
async fn refused(login: impl Future<Output = mysql_async::Result<Conn>>) -> (u16, String) {
    let error = server_error(login.await);
    (error.code, error.state)
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_denied_alike() {
    check(async |stage| {
        for (user, password) in [("app", "wrong"), ("app", ""), ("nobody", "app")] {
            let error = server_error(stage.try_client(stage.options(user, password)).await);
            assert_eq!((error.code, error.state.as_str()), (1045, "28000"), "{user}");
            assert!(
                error.message.starts_with(&format!("Access denied for user '{user}'@'")),
                "{}",
                error.message
            );
            let used = if password.is_empty() { "(using password: NO)" } else { "(using password: YES)" };
            assert!(error.message.ends_with(used), "{}", error.message);
        }
        works(stage, stage.options("app", "app")).await;
    });
}

#[test]
fn an_unknown_schema_is_named_at_login() {
    check(async |stage| {
        let error = server_error(
            stage.try_client(stage.options("app", "app").db_name(Some("app_is_not_there"))).await,
        );
        assert_eq!((error.code, error.state.as_str()), (1049, "42000"));
        assert_eq!(error.message, "Unknown database 'app_is_not_there'");
        let login = stage.try_client(stage.options("app", "app").db_name(Some("mysql"))).await;
        assert_eq!(server_error(login).code, 1044, "a schema that the account may not use");
    });
}

#[test]
fn a_fresh_account_logs_in_over_tls() {
    check(async |stage| {
        let user = account(stage, "first time").await;
        works(stage, tls(stage.options(&user, "first time"))).await;
        works(stage, tls(stage.options(&user, "first time"))).await;
        let wrong = stage.try_client(tls(stage.options(&user, "second time")));
        assert_eq!(refused(wrong).await, (1045, "28000".to_owned()));
    });
}

#[test]
fn where_tls_is_required_a_plain_client_is_told_so() {
    check_with("tls.client.mode = \"required\"", async |stage| {
        assert_eq!(server_error(stage.try_client(stage.options("app", "app")).await).code, 3159);
        works(stage, tls(stage.options("app", "app"))).await;
    });
}

#[test]
fn a_fresh_account_logs_in_on_a_plain_connection() {
    check(async |stage| {
        let user = account(stage, "pass word").await;
        let connect =
            async || Raw::connect(stage.dauphin.address, &user, "pass word", Some(&stage.schema)).await;
        let mut first = connect().await.unwrap();
        let second = connect().await.unwrap();
        if stage.is_mysql() {
            assert_eq!(first.login, ["full", "key"], "no server knows the password yet: it is sent, by RSA");
            assert_eq!(second.login, ["fast"], "from then on a proof is enough");
        } else {
            assert_eq!((first.login.len(), second.login.len()), (0, 0), "mysql_native_password, at once");
        }
        first.query("SELECT 1").await.unwrap();
        let wrong = Raw::connect(stage.dauphin.address, &user, "password", None).await;
        let refusal = wrong.err().unwrap().downcast::<Refusal>().unwrap();
        assert_eq!((refusal.code, refusal.sqlstate.as_str()), (1045, "28000"));
    });
}

#[test]
fn an_account_of_another_method_than_the_default_logs_in_too() {
    check(of_another_method);
}

#[test]
fn an_account_of_another_method_logs_in_where_the_way_to_the_servers_is_in_clear() {
    check_with("tls.server.mode = \"disabled\"", of_another_method);
}

async fn of_another_method(stage: &mut Stage) {
    let user = account(stage, "secret").await;
    let method = if stage.is_mysql() {
        "WITH sha256_password BY 'changed'"
    } else {
        "VIA mysql_native_password USING PASSWORD('changed')"
    };
    stage.given(&format!("ALTER USER {user}@'%' IDENTIFIED {method}")).await;
    works(stage, stage.options(&user, "changed")).await;
    works(stage, tls(stage.options(&user, "changed"))).await;
    assert_eq!(refused(stage.try_client(stage.options(&user, "secret"))).await.0, 1045);
    if stage.is_mysql() {
        stage.given(&format!("ALTER USER {user}@'%' IDENTIFIED WITH sha256_password BY ''")).await;
        works(stage, tls(stage.options(&user, "").pass(None::<String>))).await;
    }
}

/// Without TLS libmysqlclient asks for a key by `sha256_password` always, by `caching_sha2_password` only if it is told to.
#[test]
fn libmysqlclient_is_asked_on_a_plain_connection_as_a_server_asks_it() {
    let may_read_accounts = "account.user = \"admin\"\naccount.password = \"admin\"";
    check_with(may_read_accounts, async |stage| {
        if !stage.is_mysql() {
            return;
        }
        let user = account(stage, "secret").await;
        stage.given(&format!("ALTER USER {user}@'%' IDENTIFIED WITH sha256_password BY 'changed'")).await;
        let primary = (stage.cluster.primary().address(), 3306).into();
        for address in [primary, stage.dauphin.address] {
            let says = b"\x0c_client_name\x08libmysql".to_vec();
            let client = Raw::connect_saying(address, &user, "changed", Some(&stage.schema), says);
            let mut client = client.await.unwrap();
            assert_eq!(client.login, ["switch sha256_password", "key"], "{address}");
            client.query("SELECT 1").await.unwrap();
        }
        let says = b"\x0c_client_name\x08libmysql".to_vec();
        let wrong = Raw::connect_saying(stage.dauphin.address, &user, "other", None, says).await;
        assert_eq!(wrong.err().unwrap().downcast::<Refusal>().unwrap().code, 1045);
        let user = account(stage, "secret").await;
        let other = Raw::connect(stage.dauphin.address, &user, "secret", None).await.unwrap();
        assert_eq!(other.login, ["full", "key"]);
    });
}

#[test]
fn an_account_without_a_password_logs_in_without_one() {
    check(async |stage| {
        let user = account(stage, "").await;
        works(stage, stage.options(&user, "").pass(None::<String>)).await;
        works(stage, tls(stage.options(&user, "").pass(None::<String>))).await;
        let mut raw = Raw::connect(stage.dauphin.address, &user, "", None).await.unwrap();
        raw.query("SELECT 1").await.unwrap();
        assert!(raw.login.is_empty(), "libmysqlclient takes nothing but OK: {:?}", raw.login);
        assert_eq!(refused(stage.try_client(stage.options(&user, "some"))).await.0, 1045);
    });
}

#[test]
fn a_password_changed_on_the_server_takes_effect_within_recheck() {
    check_with("auth.recheck = \"1s\"", async |stage| {
        let user = account(stage, "old").await;
        works(stage, stage.options(&user, "old")).await;
        stage.given(&format!("ALTER USER {user}@'%' IDENTIFIED BY 'new'")).await;
        works(stage, stage.options(&user, "new")).await;
        let is_refused = async || match stage.try_client(stage.options(&user, "old")).await {
            Ok(_) => false,
            Err(mysql_async::Error::Server(error)) => error.code == 1045,
            Err(other) => panic!("{other}"),
        };
        eventually(4, "the old password is refused", is_refused).await;
        works(stage, stage.options(&user, "new")).await;
    });
}

#[test]
fn a_dropped_account_is_refused_within_recheck() {
    check_with("auth.recheck = \"1s\"", async |stage| {
        let user = account(stage, "old").await;
        works(stage, stage.options(&user, "old")).await;
        stage.given(&format!("DROP USER {user}@'%'")).await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(refused(stage.try_client(stage.options(&user, "old"))).await, (1045, "28000".to_owned()));
    });
}

#[test]
fn one_client_too_many_is_told_so() {
    check_with("listen.max_connections = 2", async |stage| {
        let (first, mut second) = (stage.client().await, stage.client().await);
        assert_eq!(server_error(stage.try_client(stage.options("app", "app")).await).code, 1040);
        first.disconnect().await.unwrap();
        eventually(5, "there is room again", async || {
            stage.try_client(stage.options("app", "app")).await.is_ok()
        })
        .await;
        second.query_drop("SELECT 1").await.unwrap();
    });
}

#[test]
fn a_client_that_never_logs_in_is_let_go() {
    check_with("listen.login_timeout = \"300ms\"", async |stage| {
        let mut silent = tokio::net::TcpStream::connect(stage.dauphin.address).await.unwrap();
        let mut bytes = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut bytes);
        tokio::time::timeout(Duration::from_secs(5), read).await.expect("dauphin closes it").unwrap();
        assert!(!bytes.is_empty(), "the greeting came");
    });
}
