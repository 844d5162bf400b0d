//! The keywords that the classifier looks for. Others are just words to it.

macro_rules! keywords {
    ($($name:ident $text:literal)*) => {
        /// A keyword that the classifier looks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in super::super) enum Keyword { None, $($name,)* }

        impl Keyword {
            /// Every keyword with its lower-cased spelling.
            pub(super) const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

keywords! {
    All "all" Alter "alter" Analyze "analyze" And "and" As "as" Backup "backup" Begin "begin" Binary "binary"
    Binlog "binlog" By "by" Cache "cache" Call "call" Case "case" Chain "chain" Change "change" Char "char"
    Character "character" Charset "charset" Check "check" Checksum "checksum" Clone "clone" Close "close"
    Column "column" Commit "commit" Connection "connection" Consistent "consistent" Constraint "constraint"
    Count "count" Create "create" Cube "cube" Database "database" Databases "databases" Deallocate "deallocate"
    Declare "declare" Default "default" Definer "definer" Delete "delete" Desc "desc" Describe "describe"
    Diagnostics "diagnostics" Do "do" Drop "drop" Dual "dual" Dumpfile "dumpfile" End "end" Engine "engine"
    Errors "errors" Event "event" Except "except" Execute "execute" Exists "exists" Explain "explain"
    Export "export" Extended "extended" Flush "flush" For "for" Format "format" From "from" Function "function"
    Get "get" Global "global" Grant "grant" Group "group" Handler "handler" Having "having" Help "help"
    Identity "identity" If "if" Ignore "ignore" Immediate "immediate" Import "import" In "in" Index "index"
    Insert "insert" InsertId "insert_id" Install "install" Instance "instance" Intersect "intersect" Into "into"
    Join "join" JsonTable "json_table" Key "key" Kill "kill" Last "last" LastInsertId "last_insert_id"
    Lateral "lateral" Like "like" Limit "limit" Load "load" Local "local" Lock "lock" Loop "loop" Master "master" Names "names" New "new"
    Next "next" No "no" Not "not" Null "null" Of "of" On "on" Only "only" Open "open"
    Optimize "optimize" Or "or" Order "order" Ordinality "ordinality" Outfile "outfile" Partitions "partitions"
    Password "password" Persist "persist" PersistOnly "persist_only" Prepare "prepare" Previous "previous"
    Procedure "procedure" Purge "purge" Qualify "qualify" Query "query" Read "read" Recover "recover"
    Recursive "recursive" Release "release" Rename "rename" Repair "repair" Repeat "repeat" Replace "replace"
    Replica "replica" Replicas "replicas" Reset "reset" Resignal "resignal" Resource "resource" Restart "restart"
    Restrict "restrict" Resume "resume" Returning "returning" Revoke "revoke" Role "role" Rollback "rollback"
    Rollup "rollup" Route "route" Router "router" Savepoint "savepoint" Schema "schema" Select "select"
    Sequence "sequence" Session "session" Set "set" Share "share" Show "show" Shutdown "shutdown" Signal "signal"
    Slave "slave" Snapshot "snapshot" SqlCalcFoundRows "sql_calc_found_rows" Stage "stage" Start "start"
    Statement "statement" Stop "stop" StraightJoin "straight_join" Suspend "suspend" SystemTime "system_time"
    Table "table" Tables "tables" Temporary "temporary" Ties "ties" To "to" Transaction "transaction"
    Trigger "trigger" True "true" False "false" Truncate "truncate" Uninstall "uninstall" Union "union"
    Unlock "unlock" Update "update" Use "use" User "user" Using "using" Value "value" Values "values"
    Variables "variables" View "view" Warnings "warnings" Where "where" While "while" Window "window" With "with"
    Work "work" Write "write" Xa "xa" Delayed "delayed" LowPriority "low_priority" HighPriority "high_priority"
    Quick "quick" Modify "modify" Add "add" Xml "xml" Data "data" Package "package" Library "library" Code "code" Status "status" Engines "engines"
    Privileges "privileges" Grants "grants" Collation "collation" Columns "columns" Fields "fields" Full "full"
    Indexes "indexes" Keys "keys" Schemas "schemas" Storage "storage" Triggers "triggers"
    Processlist "processlist" Authors "authors" Contributors "contributors"
}
