use super::*;

fn follow() -> Follow {
    let login = ReplicationLogin { user: "r".into(), password: r"a'b\c".into(), tls: true };
    Follow {
        host: "db2".into(),
        port: 3306,
        login: Some(login),
        acknowledge: true,
        heartbeat: Duration::from_millis(200),
        was_primary: true,
    }
}

/// What a version is told: how it replicates, to stop receiving, to stop being a replica, to follow, to elect.
fn told(version: &str) -> [String; 6] {
    let version = Version::parse(version);
    let [stop, forget] = <[String; 2]>::try_from(version.leave_source()).unwrap();
    let follow = version.follow(&follow()).into_iter().find(|one| one.starts_with("CHANGE")).unwrap();
    let follow = follow.split(',').next().unwrap().to_owned();
    let lead = version.lead_group("m", Duration::from_millis(5500));
    [replication(&version).to_owned(), version.stop_receiving().join("; "), stop, forget, follow, lead]
}

#[test]
fn each_version_is_spoken_to_in_its_words() {
    let slave = ["STOP SLAVE IO_THREAD", "STOP SLAVE", "RESET SLAVE ALL"];
    let replica = ["STOP REPLICA IO_THREAD", "STOP REPLICA", "RESET REPLICA ALL"];
    let change_master = "CHANGE MASTER TO MASTER_HOST = 'db2'";
    let change_source = "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'db2'";
    let (elect, bounded) =
        ("SELECT group_replication_set_as_primary('m')", "SELECT group_replication_set_as_primary('m', 5)");
    let check = |versions: &[&str], show: &str, words: [&str; 3], follow: &str, lead: &str| {
        for version in versions {
            let expected = [show, words[0], words[1], words[2], follow, lead];
            assert_eq!(told(version), expected, "{version}");
        }
    };
    check(&["8.0.17", "8.0.21"], "SHOW SLAVE STATUS", slave, change_master, elect);
    check(&["8.0.22"], "SHOW REPLICA STATUS", replica, change_master, elect);
    check(&["8.0.23", "8.0.26", "8.0.28-0ubuntu4"], "SHOW REPLICA STATUS", replica, change_source, elect);
    let newest = ["8.0.29", "8.0.46", "8.4.13", "9.7.4-2"];
    check(&newest, "SHOW REPLICA STATUS", replica, change_source, bounded);
    let maria = ["10.6.23-MariaDB", "5.5.5-10.11.18-MariaDB", "11.8.6-MariaDB"];
    for version in maria {
        let timeout = "rpl_semi_sync_slave_kill_conn_timeout";
        let stop = format!(
            "SET @kill_timeout = @@global.{timeout}; SET GLOBAL {timeout} = 1; {}; SET GLOBAL {timeout} = @kill_timeout",
            slave[0]
        );
        let expected = ["SHOW ALL SLAVES STATUS", &stop, slave[1], slave[2], change_master];
        assert_eq!(told(version)[..5], expected, "{version}");
    }
}

#[test]
fn no_version_since_8_4_hears_a_word_that_it_has_forgotten() {
    for version in ["8.4.13", "9.7.4"].map(Version::parse) {
        let settings = SourceSettings { wait_for: 1, timeout: Duration::from_secs(1) };
        let mut all = vec![version.start_receiving(), version.start_replication()];
        all.extend(version.stop_receiving());
        all.extend(version.leave_source());
        all.extend(version.follow(&follow()));
        all.extend(version.semi_sync_source(SemiSyncWords::SourceReplica, Some(&settings)));
        all.extend(version.semi_sync_replica(SemiSyncWords::SourceReplica, true));
        for statement in all {
            assert!(!statement.contains("MASTER") && !statement.contains("SLAVE"), "{statement}");
        }
    }
}

#[test]
fn a_replica_is_told_its_source_and_a_former_primary_what_it_has() {
    let new = Version::parse("9.7.4");
    assert!(new.follow(&follow())[1].contains(r"SOURCE_PASSWORD = 'a''b\\c', SOURCE_SSL = 1"));
    let maria = Version::parse("11.8.6-MariaDB");
    assert_eq!(maria.follow(&follow())[1], "SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos");
    assert_eq!(maria.close(Duration::from_millis(300))[0], "SET SESSION lock_wait_timeout = 1");
}

#[test]
fn semi_sync_speaks_the_plugins_words() {
    let version = Version::parse("9.7.4");
    let settings = SourceSettings { wait_for: 2, timeout: Duration::from_secs(9_999_999) };
    assert_eq!(
        version.semi_sync_source(SemiSyncWords::SourceReplica, Some(&settings)),
        [
            "SET GLOBAL rpl_semi_sync_source_wait_for_replica_count = 2",
            "SET GLOBAL rpl_semi_sync_source_timeout = 4294967295",
            "SET GLOBAL rpl_semi_sync_source_enabled = ON",
        ]
    );
    assert!(version.semi_sync_source(SemiSyncWords::None, None).is_empty());
}

#[test]
fn a_password_is_not_printed() {
    assert_eq!(format!("{:?}", follow()), "Follow(db2:3306)");
}
