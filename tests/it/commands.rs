//! Ways in and commands that few clients use: the Unix socket, LOAD DATA LOCAL INFILE, COM_FIELD_LIST.

use dauphin_proto::{command::code, field::Reader};
use futures_util::FutureExt as _;
use mysql_async::{OptsBuilder, prelude::Queryable as _};

use crate::support::{check, check_with, new_directory};

#[test]
fn clients_come_in_by_the_unix_socket() {
    let socket = new_directory().join("dauphin.sock");
    for node in ["mysql", "mariadb"] {
        let _ = node;
    }
    let path = socket.to_str().unwrap().to_owned();
    check_with(&format!("listen.address = [\"127.0.0.1:0\", \"{path}.{{flavour}}\"]"), async |stage| {
        stage.given("CREATE TABLE t (id INT PRIMARY KEY)").await;
        let path = format!("{path}.{}", stage.flavour.name());
        let options = OptsBuilder::default()
            .socket(Some(path))
            .user(Some("app"))
            .pass(Some("app"))
            .db_name(Some(&stage.schema));
        let (read, write, mut client) = (stage.mark(), stage.mark(), stage.try_client(options).await.unwrap());
        client.query_drop(format!("INSERT INTO t VALUES (7) /* {write} */")).await.unwrap();
        let got: Option<u32> = client.query_first(format!("SELECT id FROM t /* {read} */")).await.unwrap();
        assert_eq!(got, Some(7));
        stage.ran(&write).await.only_on_primary(1);
        stage.ran(&read).await.only_on_replicas(1);
    });
}
