-- sql_mode
SELECT @@sql_mode;
SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';
SELECT "name" || '!' FROM people WHERE "id" = 1;
SELECT @@SESSION.sql_mode;
SET sql_mode = 'NO_BACKSLASH_ESCAPES';
SELECT 'a\', LENGTH('a\n');
SET @@sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES');
SELECT @@sql_mode, 'a\' AS "quoted";
SET sql_mode = '';
INSERT INTO people (name, age) VALUES ('Zero', 'abc');
SHOW WARNINGS;
SELECT age FROM people WHERE name = 'Zero';
DELETE FROM people WHERE name = 'Zero';
SET sql_mode = DEFAULT;
SELECT @@sql_mode;

-- time
SET time_zone = '+05:30';
SELECT @@time_zone, FROM_UNIXTIME(0), stamp FROM types WHERE id = 1;
SET time_zone = '+00:00';
SELECT FROM_UNIXTIME(0), stamp FROM types WHERE id = 1;
SET timestamp = 1700000000.25;
SELECT NOW(), UTC_TIMESTAMP(2), CURDATE();
SELECT NOW(6);
SET timestamp = DEFAULT;
SELECT NOW() > '2024-01-01';
SET time_zone = 'Nowhere/Nothing';
SELECT @@time_zone;
SET time_zone = DEFAULT;

-- variables that change answers
SET SESSION group_concat_max_len = 10;
SELECT GROUP_CONCAT(name ORDER BY name) FROM people;
SELECT @@warning_count;
SET SESSION group_concat_max_len = DEFAULT;
SET SESSION sql_select_limit = 2;
SELECT id FROM people ORDER BY id;
SET SESSION sql_select_limit = DEFAULT;
SET SESSION div_precision_increment = 9;
SELECT 1 / 3;
SET SESSION div_precision_increment = DEFAULT;
SET lc_time_names = 'fr_FR', default_week_format = 3;
SELECT MONTHNAME('2024-03-01'), DAYNAME('2024-03-01'), WEEK('2024-12-30');
SET lc_time_names = DEFAULT, default_week_format = DEFAULT;
SELECT MONTHNAME('2024-03-01'), WEEK('2024-12-30');
SET SESSION cte_max_recursion_depth = 3;
WITH RECURSIVE counting (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counting WHERE n < 10) SELECT COUNT(*) FROM counting;
SET SESSION cte_max_recursion_depth = DEFAULT;
SET insert_id = 5000;
INSERT INTO people (name) VALUES ('Five thousand');
SELECT id, LAST_INSERT_ID() FROM people WHERE name = 'Five thousand';
DELETE FROM people WHERE id = 5000;
SET auto_increment_increment = 10, auto_increment_offset = 3;
INSERT INTO people (name) VALUES ('step one'), ('step two');
SELECT id % 10 FROM people WHERE name LIKE 'step%' ORDER BY id;
DELETE FROM people WHERE name LIKE 'step%';
SET auto_increment_increment = DEFAULT, auto_increment_offset = DEFAULT;
ALTER TABLE people AUTO_INCREMENT = 200;
SET rand_seed1 = 1, rand_seed2 = 2;
SELECT RAND();
SET foreign_key_checks = 0;
INSERT INTO orders (person_id, total) VALUES (9999, 1);
DELETE FROM orders WHERE person_id = 9999;
SET foreign_key_checks = 1;
INSERT INTO orders (person_id, total) VALUES (9999, 1);

-- character sets
SET NAMES latin1;
SELECT @@character_set_client, @@character_set_results, @@character_set_connection, @@collation_connection;
SELECT '🐬' AS literal, HEX(name) FROM people WHERE id = 6;
SELECT HEX(CONCAT('e', x'e9')), COLLATION('a');
SET NAMES utf8mb4 COLLATE utf8mb4_bin;
SELECT 'a' = 'A', COLLATION('a'), name FROM people WHERE id = 6;
SET NAMES utf8mb4;
SELECT 'a' = 'A', COLLATION('a');
SET collation_connection = 'utf8mb4_unicode_ci';
SELECT 'ß' = 'ss', @@collation_connection;
SET CHARACTER SET utf8mb4;
SELECT @@character_set_client, @@character_set_results, @@character_set_connection;
SET NAMES utf8mb4;
SET NAMES nothing;
SELECT @@character_set_client;

-- user variables
SET @a = 5, @b := 'text', @c = 1.50, @d = NULL, @e = 1e3, @f = x'4142', @G = _latin1'abc';
SELECT @a, @b, @c, @d, @e, @f, @g, @never_set;
SET @a = @a * 2 + (SELECT COUNT(*) FROM orders);
SELECT @a;
SELECT @a := @a + 1;
SELECT @a, @`b`, @'b', @"b";
SELECT name, age INTO @name, @age FROM people WHERE id = 1;
SELECT @name, @age, @age + 1;
SELECT id FROM people WHERE name = @name;
SET @a = (SELECT nothing FROM people);
SELECT @a;
SET @u = UUID(), @r = RAND();
SELECT LENGTH(@u), @r BETWEEN 0 AND 1, @u = @u;
SET @one = 1, SESSION div_precision_increment = 2;
SELECT @one, 1 / 3;
SET @one = 2, SESSION div_precision_increment = 'wrong';
SELECT @one, 1 / 3;
SET SESSION div_precision_increment = DEFAULT;
SET no_such_variable = 1;
SET @@SESSION.wait_timeout = 1000;
SELECT @@wait_timeout;
SET @@SESSION.wait_timeout = DEFAULT;

-- prepared statements by text
PREPARE finding FROM 'SELECT name FROM people WHERE id = ?';
SET @id = 2;
EXECUTE finding USING @id;
SET @id = 1;
EXECUTE FINDING USING @id;
SET @text = 'INSERT INTO people (name) VALUES (?)';
PREPARE writing FROM @text;
SET @name = 'Prepared';
EXECUTE writing USING @name;
EXECUTE writing USING @name;
SELECT COUNT(*) FROM people WHERE name = 'Prepared';
PREPARE finding FROM 'DELETE FROM people WHERE name = ?';
EXECUTE finding USING @name;
DEALLOCATE PREPARE finding;
EXECUTE finding USING @name;
DROP PREPARE writing;
SELECT COUNT(*) FROM people WHERE name = 'Prepared';

-- schemas
SELECT DATABASE();
USE {other};
SELECT DATABASE();
CREATE TABLE elsewhere (id INT);
INSERT INTO elsewhere VALUES (1), (2);
SELECT COUNT(*) FROM elsewhere;
SELECT COUNT(*) FROM {schema}.people WHERE id = 1;
SELECT COUNT(*) FROM people;
USE no_such_schema_here;
SELECT DATABASE(), COUNT(*) FROM elsewhere;
USE {schema};
SELECT DATABASE(), COUNT(*) FROM {other}.elsewhere;
SELECT COUNT(*) FROM elsewhere;
DROP TABLE {other}.elsewhere;

-- temporary tables
CREATE TEMPORARY TABLE scratch (id INT, word VARCHAR(10));
INSERT INTO scratch VALUES (1, 'one'), (2, 'two');
SELECT * FROM scratch ORDER BY id;
SELECT COUNT(*) FROM people p JOIN scratch s ON s.id = p.id;
DESCRIBE scratch;
UPDATE scratch SET word = 'deux' WHERE id = 2;
SELECT word FROM scratch WHERE id = 2;
DROP TEMPORARY TABLE scratch;
SELECT * FROM scratch;
CREATE TEMPORARY TABLE people AS SELECT 1 AS hiding;
SELECT * FROM people;
SHOW CREATE TABLE people;
DROP TEMPORARY TABLE people;
SELECT COUNT(*) > 1 FROM people;
