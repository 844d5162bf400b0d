//! Answers to what dauphin asks servers about themselves: variables, replication, and lists of expressions.

use dauphin_proto::reply::{self, status};

use super::statement::{contains, without_comments};

/// What a fake server is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its own port, from which its ids are made.
    pub port: u16,
    /// The primary's host and port, on a replica.
    pub source: Option<(String, u16)>,
}

/// The rows of an answer, and its columns' names.
type Table = (Vec<String>, Vec<Vec<Option<String>>>);

impl Identity {
    /// The server's UUID.
    pub fn uuid(&self) -> String {
        uuid(self.port)
    }

    /// Every transaction that the primary of this server has ever committed.
    fn gtids(&self) -> String {
        let primary = self.source.as_ref().map_or(self.port, |(_, port)| *port);
        format!("{}:1-1000000", uuid(primary))
    }

    /// The GTID that each change gets: one of those.
    pub fn gtid(&self) -> String {
        let primary = self.source.as_ref().map_or(self.port, |(_, port)| *port);
        format!("{}:5770", uuid(primary))
    }

    /// Appends the answer to a question.
    pub fn put_answer(&self, text: &[u8], in_transaction: bool, deprecate_eof: bool, out: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(without_comments(text));
        let (columns, rows) = self.answer(text.trim_end().trim_end_matches(';'));
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let flags = status::AUTOCOMMIT | if in_transaction { status::IN_TRANS } else { 0 };
        let dialect = reply::Dialect {
            deprecate_eof,
            session_track: false,
            extended_metadata: false,
            definitions: reply::Definitions::Always,
        };
        reply::put_result_set(out, 1, &columns, &rows, flags, dialect);
    }

    fn answer(&self, text: &str) -> Table {
        if starts_with(text, "SHOW REPLICA STATUS") || starts_with(text, "SHOW SLAVE STATUS") {
            return self.replica_status();
        }
        if starts_with(text, "SHOW") || contains(text.as_bytes(), b" FROM ") {
            // Other SHOWs, and tables of the server's own: nothing in them.
            let columns =
                if starts_with(text, "SHOW") { vec!["Name".into()] } else { split(select_list(text)) };
            return (columns, vec![]);
        }
        let expressions = split(select_list(text));
        let (values, names): (Vec<_>, Vec<_>) = expressions
            .iter()
            .map(|expression| alias(expression))
            .map(|(of, name)| (self.value(of), name.to_owned()))
            .unzip();
        (names, vec![values])
    }

    fn value(&self, expression: &str) -> Option<String> {
        let lower = expression.to_ascii_lowercase();
        let name = lower.trim_start_matches("@@");
        let name = name.trim_start_matches("global.").trim_start_matches("session.").trim_matches('`');
        let value = match name {
            "read_only" | "super_read_only" => u8::from(self.source.is_some()).to_string(),
            "version" | "version()" => super::VERSION.into(),
            "version_comment" => "dauphin-bench fake server".into(),
            "server_id" | "port" => self.port.to_string(),
            "server_uuid" => self.uuid(),
            "hostname" | "report_host" => "127.0.0.1".into(),
            "report_port" => self.port.to_string(),
            "gtid_mode" | "enforce_gtid_consistency" => "ON".into(),
            "gtid_executed" => self.gtids(),
            "gtid_purged" | "init_connect" => String::new(),
            "autocommit" | "log_bin" | "log_replica_updates" | "log_slave_updates" => "1".into(),
            "max_connections" => "100000".into(),
            "max_allowed_packet" => "67108864".into(),
            "lower_case_table_names" | "offline_mode" => "0".into(),
            "wait_timeout" | "interactive_timeout" => "28800".into(),
            "transaction_isolation" | "tx_isolation" => "REPEATABLE-READ".into(),
            "time_zone" => "SYSTEM".into(),
            "sql_mode" => "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION".into(),
            "default_authentication_plugin" | "authentication_policy" => "caching_sha2_password".into(),
            "database()" | "schema()" => "test".into(),
            "null" => return None,
            name if name.starts_with("character_set_") => "utf8mb4".into(),
            name if name.starts_with("collation_") => "utf8mb4_0900_ai_ci".into(),
            name if name.starts_with("wait_for_executed_gtid_set(") => "0".into(),
            name if name.starts_with("gtid_subset(") => "1".into(),
            name if name.parse::<f64>().is_ok() => name.into(),
            name => name.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or("0").into(),
        };
        Some(value)
    }

    fn replica_status(&self) -> Table {
        let Some((host, port)) = &self.source else {
            return (vec!["Source_Host".into()], vec![]);
        };
        let (gtids, port, source) = (self.gtids(), port.to_string(), uuid(*port));
        let pairs = [
            ("Replica_IO_State", "Waiting for source to send event"),
            ("Source_Host", host),
            ("Source_User", "replicator"),
            ("Source_Port", &port),
            ("Connect_Retry", "1"),
            ("Source_Log_File", "binlog.000001"),
            ("Read_Source_Log_Pos", "4"),
            ("Relay_Log_File", "relay.000001"),
            ("Relay_Log_Pos", "4"),
            ("Relay_Source_Log_File", "binlog.000001"),
            ("Replica_IO_Running", "Yes"),
            ("Replica_SQL_Running", "Yes"),
            ("Last_Errno", "0"),
            ("Last_Error", ""),
            ("Exec_Source_Log_Pos", "4"),
            ("Seconds_Behind_Source", "0"),
            ("Last_IO_Errno", "0"),
            ("Last_IO_Error", ""),
            ("Last_SQL_Errno", "0"),
            ("Last_SQL_Error", ""),
            ("Source_Server_Id", &port),
            ("Source_UUID", &source),
            ("SQL_Delay", "0"),
            ("SQL_Remaining_Delay", ""),
            ("Replica_SQL_Running_State", "Replica has read all relay log; waiting for more updates"),
            ("Retrieved_Gtid_Set", &gtids),
            ("Executed_Gtid_Set", &gtids),
            ("Auto_Position", "1"),
            ("Channel_Name", ""),
        ];
        let columns = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
        (columns, vec![pairs.iter().map(|(_, value)| Some((*value).to_owned())).collect()])
    }
}

fn uuid(port: u16) -> String {
    format!("00000000-0000-0000-0000-{port:012}")
}

/// An expression and its name: after AS, if there is one.
fn alias(expression: &str) -> (&str, &str) {
    let at = expression.to_ascii_uppercase().find(" AS ");
    at.map_or((expression, expression), |at| (expression[..at].trim(), expression[at + 4..].trim()))
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// What stands between SELECT and FROM.
fn select_list(text: &str) -> &str {
    let list = text.get("SELECT".len()..).unwrap_or_default();
    let end = list.to_ascii_uppercase().find(" FROM ").unwrap_or(list.len());
    &list[..end]
}

/// Splits at commas outside of parentheses and quotes.
fn split(list: &str) -> Vec<String> {
    let (mut depth, mut quoted) = (0, false);
    let parts = list.split(|c| {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0 && !quoted
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica() -> Identity {
        Identity { port: 3407, source: Some(("127.0.0.1".into(), 3406)) }
    }

    #[test]
    fn variables_are_answered_one_by_one() {
        let asked = "SELECT @@global.read_only, @@version AS v, COALESCE(1, 2), NULL, 'a,b', @@SERVER_UUID";
        let (columns, rows) = replica().answer(asked);
        assert_eq!((columns.len(), &*columns[0], &*columns[1]), (6, "@@global.read_only", "v"));
        let want = [Some("1"), Some("9.7.4"), Some("0"), None, Some("a,b"), Some(&*uuid(3407))];
        assert_eq!(rows, [want.map(|value| value.map(str::to_owned)).to_vec()]);
    }

    #[test]
    fn only_a_replica_has_a_replica_status() {
        let primary = Identity { port: 3406, source: None };
        assert!(primary.answer("SHOW REPLICA STATUS").1.is_empty());
        let (columns, rows) = replica().answer("show replica status");
        let at = columns.iter().position(|name| name == "Source_UUID").expect("a column");
        assert_eq!(rows[0][at].as_deref(), Some(&*uuid(3406)));
    }
}
