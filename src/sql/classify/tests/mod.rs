//! Tables of texts and what they do.

mod batches;
mod hints;
mod nasty;
mod primary;
mod properties;
mod reads;
mod second_opinion;
mod session;
mod tables;
mod timing;

use crate::sql::*;

const MYSQL: Syntax = Syntax {
    ansi_quotes: false,
    no_backslash_escapes: false,
    ignore_space: false,
    charset: Charset::Utf8,
    flavour: Flavour::MySql,
    version: 90_704,
    multi_statements: true,
};

const MARIADB: Syntax = Syntax { flavour: Flavour::MariaDb, version: 110_806, ..MYSQL };

/// Both flavours must say the same of each text.
const BOTH: [Syntax; 2] = [MYSQL, MARIADB];

fn mysql(text: &str) -> Statement {
    classify(text.as_bytes(), &MYSQL)
}

fn mariadb(text: &str) -> Statement {
    classify(text.as_bytes(), &MARIADB)
}

fn check_reads(syntaxes: &[Syntax], texts: &[&str]) {
    for syntax in syntaxes {
        for text in texts {
            let statement = classify(text.as_bytes(), syntax);
            assert_eq!(statement.effect, Effect::Read, "{text}\n{:?} {:?}", syntax.flavour, statement.reason);
        }
    }
}

fn check_writes(syntaxes: &[Syntax], rows: &[(&str, Reason)]) {
    for syntax in syntaxes {
        for (text, reason) in rows {
            let statement = classify(text.as_bytes(), syntax);
            let said = (&statement.effect, statement.reason);
            assert_eq!(said, (&Effect::Write, *reason), "{text} {:?}", syntax.flavour);
        }
    }
}

fn variable(name: &str, value: Option<&str>) -> Change {
    Change::UserVariable { name: name.into(), value: value.map(Into::into) }
}
