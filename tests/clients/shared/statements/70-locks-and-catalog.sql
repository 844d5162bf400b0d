-- named locks
SELECT GET_LOCK('{schema}.lock', 0);
SELECT IS_FREE_LOCK('{schema}.lock'), IS_USED_LOCK('{schema}.lock') = CONNECTION_ID();
SELECT COUNT(*) > 0 FROM people;
SELECT RELEASE_LOCK('{schema}.lock');
SELECT IS_FREE_LOCK('{schema}.lock'), RELEASE_LOCK('{schema}.lock');
SELECT GET_LOCK('{schema}.a', 0) + GET_LOCK('{schema}.b', 0);
SELECT RELEASE_ALL_LOCKS();

-- table locks
LOCK TABLES people WRITE, orders READ;
SELECT COUNT(*) FROM orders;
INSERT INTO people (name) VALUES ('under lock');
SELECT COUNT(*) FROM people WHERE name = 'under lock';
INSERT INTO orders (person_id) VALUES (1);
SELECT COUNT(*) FROM types;
UNLOCK TABLES;
SELECT COUNT(*) FROM types;
DELETE FROM people WHERE name = 'under lock';
HANDLER ledger OPEN;
HANDLER ledger READ FIRST;
HANDLER ledger CLOSE;

-- catalog
SHOW TABLES;
SHOW FULL TABLES LIKE 'p%';
SHOW CREATE TABLE orders;
SHOW CREATE TABLE types;
SHOW COLUMNS FROM people;
SHOW FULL COLUMNS FROM orders;
DESCRIBE types;
DESC people name;
SHOW CREATE PROCEDURE two_results;
SHOW DATABASES LIKE '{schema}%';
SHOW VARIABLES LIKE 'autocommit';
SHOW CHARACTER SET LIKE 'latin1';
SHOW TRIGGERS;
SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name;
SELECT column_name, ordinal_position, data_type, column_key FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'orders' ORDER BY 2;
SELECT index_name, seq_in_index, column_name, non_unique FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, 2;
CHECKSUM TABLE orders, people;
ANALYZE TABLE orders;
SHOW CREATE TABLE no_such_table;

-- explain
EXPLAIN FORMAT=TRADITIONAL SELECT * FROM people WHERE id = 1;
EXPLAIN FORMAT=TRADITIONAL UPDATE people SET age = 1 WHERE id = 1;
EXPLAIN people;
SELECT age FROM people WHERE id = 1;

-- clean up
DROP TABLE ledger, log_;
DROP PROCEDURE two_results;
DROP FUNCTION notes;
SHOW TABLES;
