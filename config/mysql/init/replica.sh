#!/bin/bash
# Run once, on a demo replica's empty data directory: says where the primary is. Replication itself starts with the
# server proper, after the init scripts, and keeps trying until the primary is there.

sql() { MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysql --protocol=socket -uroot "$@"; }

# What the image wrote while it set itself up must not count as a transaction of this server's own: the primary never
# had it, and that would bar this replica from ever being promoted.
case "$(sql -N -e 'SELECT VERSION()')" in
  8.0.* | 8.1.*) reset="RESET MASTER" ;;
  *) reset="RESET BINARY LOGS AND GTIDS" ;;
esac

sql <<SQL
CHANGE REPLICATION SOURCE TO
  SOURCE_HOST = 'db1', SOURCE_USER = 'replicator', SOURCE_PASSWORD = 'replicator',
  SOURCE_AUTO_POSITION = 1, SOURCE_SSL = 1, GET_SOURCE_PUBLIC_KEY = 1,
  SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = 86400, SOURCE_HEARTBEAT_PERIOD = 0.2;
$reset;
SET PERSIST super_read_only = ON;
SQL
