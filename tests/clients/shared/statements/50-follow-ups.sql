-- found rows
SELECT SQL_CALC_FOUND_ROWS id FROM people ORDER BY id LIMIT 2;
SELECT FOUND_ROWS();
SELECT id FROM people ORDER BY id LIMIT 3;
SELECT FOUND_ROWS();
SELECT FOUND_ROWS();
SELECT id FROM people WHERE id < 0;
SELECT FOUND_ROWS();

-- row count
INSERT INTO people (name) VALUES ('r1'), ('r2');
SELECT ROW_COUNT();
SELECT ROW_COUNT();
DELETE FROM people WHERE name IN ('r1', 'r2', 'r3');
SELECT ROW_COUNT(), 'and more';
CREATE TABLE rows_ (id INT);
SELECT ROW_COUNT();
DROP TABLE rows_;

-- last insert id
INSERT INTO people (name) VALUES ('l1');
SELECT LAST_INSERT_ID() = MAX(id) FROM people;
SELECT COUNT(*) > 0 FROM orders;
SELECT LAST_INSERT_ID() = MAX(id), @@last_insert_id = MAX(id), @@identity = MAX(id) FROM people;
SELECT LAST_INSERT_ID(77);
SELECT LAST_INSERT_ID();
UPDATE people SET age = LAST_INSERT_ID(78) WHERE name = 'l1';
SELECT LAST_INSERT_ID();
INSERT INTO people (id, name) VALUES (900, 'l2');
SELECT LAST_INSERT_ID();
DELETE FROM people WHERE name IN ('l1', 'l2');
ALTER TABLE people AUTO_INCREMENT = 200;
SELECT LAST_INSERT_ID();
SET sql_auto_is_null = 1;
INSERT INTO people (name) VALUES ('l3');
SELECT name FROM people WHERE id IS NULL;
SET sql_auto_is_null = 0;
DELETE FROM people WHERE name = 'l3';

-- warnings
SELECT 1 / 0, CAST('abc' AS SIGNED);
SHOW WARNINGS;
SELECT CAST('12x' AS SIGNED), CAST('y' AS SIGNED);
SELECT @@warning_count, @@error_count;
SELECT CAST('z' AS SIGNED);
SHOW COUNT(*) WARNINGS;
SHOW WARNINGS LIMIT 1;
SELECT 1;
SHOW WARNINGS;
DROP TABLE IF EXISTS no_such_table;
SHOW WARNINGS;
SELECT * FROM no_such_table;
SHOW ERRORS;
SHOW COUNT(*) ERRORS;
GET DIAGNOSTICS @n = NUMBER;
SELECT @n;
SELECT * FROM no_such_table;
GET DIAGNOSTICS CONDITION 1 @state = RETURNED_SQLSTATE, @errno = MYSQL_ERRNO, @message = MESSAGE_TEXT;
SELECT @state, @errno, @message;
INSERT INTO people (name, age) VALUES ('too long too long too long too long too long too long', 1);
SHOW WARNINGS;

-- errors
SELEC 1;
SELECT * FROM;
INSERT INTO people (name) VALUES ('Ada');
SELECT * FROM no_such_schema_here.people;
SELECT no_such_column FROM people;
SELECT no_such_function(1);
CREATE TABLE people (id INT);
DROP TABLE no_such_table;
INSERT INTO people (id) VALUES (1, 2);
INSERT INTO orders (person_id) VALUES (NULL);
SELECT 9223372036854775807 + 1;
SELECT (SELECT id FROM people);
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a signal', MYSQL_ERRNO = 1234;
KILL 4294967290;
ROLLBACK TO SAVEPOINT no_such_savepoint;
CALL no_such_procedure();
SELECT 1 FROM DUAL WHERE;
