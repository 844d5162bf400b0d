-- create tables
CREATE TABLE people (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL UNIQUE, age INT, note TEXT);
CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, person_id INT NOT NULL, total DECIMAL(10, 2), FOREIGN KEY (person_id) REFERENCES people (id));

-- insert with auto increment
INSERT INTO people (name, age) VALUES ('Ada', 36);
SELECT LAST_INSERT_ID();
INSERT INTO people (name, age, note) VALUES ('Blaise', 39, '');
SELECT LAST_INSERT_ID(), COUNT(*) FROM people;

-- insert of many rows
INSERT INTO people (name, age) VALUES ('Carl', 77), ('Dorothy', 98), ('Émilie', 42), ('Felix 🐬', NULL);
SELECT ROW_COUNT();
SELECT LAST_INSERT_ID();
SELECT * FROM people ORDER BY id;
INSERT INTO orders (person_id, total) SELECT id, id * 10.5 FROM people WHERE age > 38 ORDER BY id;
SELECT p.name, (SELECT SUM(o.total) FROM orders o WHERE o.person_id = p.id) AS spent FROM people p ORDER BY p.name;

-- update: matched rows and changed rows
UPDATE people SET age = 36 WHERE name = 'Ada';
SELECT ROW_COUNT();
UPDATE people SET age = 37 WHERE name IN ('Ada', 'Blaise');
SELECT ROW_COUNT();
UPDATE people SET age = age WHERE id > 0;
SELECT id, age FROM people ORDER BY id;

-- upsert, replace, insert ignore
INSERT INTO people (id, name, age) VALUES (1, 'Ada', 40) ON DUPLICATE KEY UPDATE age = VALUES(age);
INSERT INTO people (id, name, age) VALUES (1, 'Ada', 40) ON DUPLICATE KEY UPDATE age = VALUES(age);
INSERT INTO people (name, age) VALUES ('Grace', 85) ON DUPLICATE KEY UPDATE age = age + 1;
INSERT INTO people (name, age) VALUES ('Grace', 85) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id), age = age + 1;
SELECT LAST_INSERT_ID() = (SELECT id FROM people WHERE name = 'Grace') AS same;
REPLACE INTO people (id, name, age) VALUES (100, 'Hedy', 85);
REPLACE INTO people (id, name, age) VALUES (100, 'Hedy', 86);
INSERT IGNORE INTO people (name) VALUES ('Ada'), ('Ida');
SHOW WARNINGS;
SELECT name, age FROM people ORDER BY name;

-- delete
DELETE FROM orders WHERE person_id = 3;
DELETE FROM orders WHERE person_id = 3;
DELETE o FROM orders o JOIN people p ON p.id = o.person_id WHERE p.name = 'Dorothy';
SELECT COUNT(*), MIN(total), MAX(total) FROM orders;

-- empty results
SELECT id, name FROM people WHERE id < 0;
SELECT NULL FROM people WHERE 1 = 0;
DO 1;
SET @nothing = 0;

-- the server's shapes of reading
(SELECT 1 AS n) UNION ALL (SELECT 2) ORDER BY n DESC;
WITH RECURSIVE counting (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counting WHERE n < 5) SELECT * FROM counting;
SELECT name, ROW_NUMBER() OVER (ORDER BY name) AS place FROM people ORDER BY name LIMIT 3;
SELECT name FROM people ORDER BY id LIMIT 2 OFFSET 1;
VALUES ROW(1, 'a'), ROW(2, 'b');
TABLE orders ORDER BY id LIMIT 2;
SELECT j.* FROM JSON_TABLE('[{"a": 1}, {"a": 2}]', '$[*]' COLUMNS (a INT PATH '$.a')) AS j;

-- read your own writes, by text
CREATE TABLE counter (n INT);
INSERT INTO counter VALUES (1);
SELECT COUNT(*), SUM(n) FROM counter;
UPDATE counter SET n = n + 1;
SELECT n FROM counter;
TRUNCATE TABLE counter;
SELECT COUNT(*) FROM counter;
ALTER TABLE counter ADD COLUMN extra INT DEFAULT 7;
INSERT INTO counter (n) VALUES (5);
SELECT * FROM counter;
DROP TABLE counter;
SELECT * FROM counter;
