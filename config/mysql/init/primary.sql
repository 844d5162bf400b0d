-- Run once, on the demo primary's empty data directory. The replicas get all of it by replication.

SET GLOBAL rpl_semi_sync_source_enabled = OFF; -- until the restart that follows: no replica can acknowledge this yet

CREATE USER replicator@'%' IDENTIFIED BY 'replicator';
-- CONNECTION_ADMIN: the replicas stay connected when dauphin closes a primary to clients (offline_mode).
GRANT REPLICATION SLAVE, CONNECTION_ADMIN ON *.* TO replicator@'%';

-- dauphin's own account, with what `dauphin grants` asks for.
CREATE USER dauphin@'%' IDENTIFIED BY 'dauphin';
GRANT REPLICATION CLIENT, REPLICATION SLAVE, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN, RELOAD,
  PROCESS, PERSIST_RO_VARIABLES_ADMIN, SHOW_ROUTINE ON *.* TO dauphin@'%';
GRANT SELECT ON performance_schema.* TO dauphin@'%';
GRANT CREATE, SELECT, INSERT, UPDATE ON dauphin.* TO dauphin@'%';

-- What an application uses.
CREATE USER app@'%' IDENTIFIED BY 'app';
GRANT ALL ON demo.* TO app@'%';
CREATE DATABASE demo;

-- Last, so that whoever sees it has all the rest.
CREATE TABLE demo.ready (since TIMESTAMP DEFAULT CURRENT_TIMESTAMP PRIMARY KEY);
INSERT INTO demo.ready VALUES ();
