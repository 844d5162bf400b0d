-- procedures
CREATE TABLE log_ (id INT AUTO_INCREMENT PRIMARY KEY, word VARCHAR(40));
CREATE PROCEDURE two_results (IN a INT, OUT b INT, INOUT c INT) BEGIN SELECT a AS first_result; SELECT a + 1 AS second_result, 'x' AS x; SET b = a * 2; SET c = c + 1; END;
SET @c = 10;
CALL two_results(21, @b, @c);
SELECT @b, @c;
CREATE PROCEDURE writes (IN word_ VARCHAR(40)) BEGIN INSERT INTO log_ (word) VALUES (word_); END;
CALL writes('by procedure');
SELECT word FROM log_ ORDER BY id;
CREATE PROCEDURE opens () BEGIN START TRANSACTION; INSERT INTO log_ (word) VALUES ('open'); END;
CALL opens();
SELECT COUNT(*) FROM log_;
ROLLBACK;
SELECT COUNT(*) FROM log_;
CREATE PROCEDURE fails () BEGIN SELECT 'before'; SELECT * FROM no_such_table; SELECT 'after'; END;
CALL fails();
CREATE PROCEDURE sets () BEGIN SET @from_procedure = 'set'; SET SESSION div_precision_increment = 1; END;
CALL sets();
SELECT @from_procedure, 1 / 3;
SET SESSION div_precision_increment = DEFAULT;
CREATE PROCEDURE temporary_ () BEGIN CREATE TEMPORARY TABLE hidden AS SELECT 42 AS answer; END;
CALL temporary_();
SELECT answer FROM hidden;
DROP TEMPORARY TABLE hidden;

-- functions
CREATE FUNCTION notes (word_ VARCHAR(40)) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO log_ (word) VALUES (word_); RETURN LAST_INSERT_ID(); END;
SELECT notes('by function') > 0;
SELECT word FROM log_ WHERE word = 'by function';
SELECT 1 FROM DUAL WHERE notes('in where') > 0;
SELECT COUNT(*) FROM log_;
DO notes('by do');
SET @noted = notes('by set') > 0;
SELECT @noted, COUNT(*) FROM log_;
CREATE FUNCTION pretends (word_ VARCHAR(40)) RETURNS INT DETERMINISTIC READS SQL DATA BEGIN INSERT INTO log_ (word) VALUES (word_); RETURN 1; END;
SELECT pretends('pretending');
SELECT COUNT(*) FROM log_;
CREATE FUNCTION twice (n INT) RETURNS INT DETERMINISTIC NO SQL RETURN n * 2;
SELECT twice(4), twice(age) FROM people WHERE id = 1;

-- views and triggers
CREATE VIEW adults AS SELECT id, name FROM people WHERE age >= 18;
SELECT COUNT(*) FROM adults;
CREATE VIEW writing_view AS SELECT notes('by view') > 0 AS wrote;
SELECT * FROM writing_view;
SELECT COUNT(*) FROM log_ WHERE word = 'by view';
CREATE TRIGGER after_order AFTER INSERT ON orders FOR EACH ROW INSERT INTO log_ (word) VALUES (CONCAT('order ', NEW.total));
INSERT INTO orders (person_id, total) VALUES (1, 3.5);
SELECT word FROM log_ WHERE word LIKE 'order%';
SELECT LAST_INSERT_ID() = MAX(id) FROM orders;
DROP TRIGGER after_order;
DROP VIEW adults, writing_view;

-- compound spellings
/*!50000 SET @executable = 1 */;
SELECT @executable, /*! 1 + */ 1;
/* SELECT 1 */ SELECT 2 -- and a comment
;
SELECT 1 # 2
+ 1;
SELECT 1 -- 2
+ 1;
SELECT 5--1;
SELECT 'for update', "insert into", `name` AS `delete` FROM people WHERE id = 1;
/* a */ ( /* b */ SELECT 3 AS three );
/*!50000 INSERT INTO log_ (word) VALUES ('executable') */;
SELECT COUNT(*) FROM log_ WHERE word = 'executable';
WITH gone AS (SELECT id FROM log_ WHERE word = 'executable') DELETE FROM log_ WHERE id IN (SELECT id FROM gone);
SELECT COUNT(*) FROM log_ WHERE word = 'executable';
INSERT INTO log_ (word) SELECT 'selected';
SELECT COUNT(*) FROM log_ WHERE word = 'selected';
SELECT INSERT('abc', 1, 1, 'x'), REPLACE('abc', 'b', 'y');
SELECT SLEEP(0), BENCHMARK(1, 1);
