//! Words of the grammar that may stand before a parenthesis without calling anything, and words that no harmless read
//! has.

use super::builtins::{Group, NEVER};

/// No unquoted word of these names a function: checked as `builtins` was. Several are functions of the grammar.
pub(super) const GROUPS: &[Group] = &[
    Group {
        since: [0, 0],
        names: "all and any as between binary by case char character check collate cross default distinct \
            distinctrow div else end except exists for force from group having if ignore in index inner \
            insert intersect interval into is join key keys left like limit match mod natural not null offset \
            on or order over partition precision range recursive regexp repeat replace right rlike row rows \
            select some straight_join table then to union unique use using value values when where window \
            with xor \
            bigint bit blob bool boolean datetime dec decimal double enum fixed float float4 float8 int int1 \
            int2 int3 int4 int8 integer json long longblob longtext mediumblob mediumint mediumtext middleint \
            national nchar numeric nvarchar real serial set signed smallint text tinyblob tinyint tinytext \
            unsigned varbinary varchar varcharacter vector",
    },
    Group { since: [80_024, NEVER], names: "against columns cube escape json_table lateral of rollup sets" },
    Group { since: [90_000, NEVER], names: "bernoulli system" },
];

/// Reserved in both flavours: where one of these stands as an unquoted word, the statement does more than read, or is
/// not one that was thought of here.
pub(super) const NEVER_IN_A_READ: &str = "alter analyze call change create declare delayed delete describe drop each \
    exit explain grant infile insert into iterate kill leave load lock loop optimize outfile procedure purge release \
    rename repeat replace resignal return revoke set show signal trigger undo unlock update while write";
