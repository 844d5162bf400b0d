"""The scenario by PyMySQL: text protocol only, buffered and streaming cursors."""

import ssl
import sys
import tempfile
from pathlib import Path

import pymysql
from pymysql.constants import CLIENT
from pymysql.cursors import DictCursor, SSCursor

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))
from scenario import arguments, digest, emit, mask, pattern, rows, skip, statements

HOST, PORT, USER, PASSWORD, SCHEMA, TLS = arguments()
OTHER = SCHEMA + "_other"


def connect(**options):
    if TLS:
        options["ssl"] = {"check_hostname": False, "verify_mode": "none"}
    else:
        options["ssl_disabled"] = True
    wanted = {"user": USER, "password": PASSWORD, "database": SCHEMA, "autocommit": True, **options}
    return pymysql.connect(host=HOST, port=PORT, charset=wanted.pop("charset", "utf8mb4"), **wanted)


def described(error):
    return [type(error).__name__, *error.args[:-1], getattr(error, "sqlstate", None), mask(str(error.args[-1]))]


def answer(cursor, act):
    """Everything that the server said: to a statement, or in the next result of one."""
    try:
        act()
    except pymysql.MySQLError as error:
        return {"error": described(error)}
    result = cursor._result
    said = {"affected": result.affected_rows, "insert_id": result.insert_id, "warnings": result.warning_count}
    said |= {"status": result.server_status, "info": (result.message or b"")[1:].decode(), "more": result.has_next}
    if result.description:
        said["columns"] = [
            [f.name, f.org_name, f.table_name, f.org_table, f.type_code, f.length, f.scale, f.flags, f.charsetnr]
            for f in result.fields
        ]
        said["rows"] = rows(cursor.fetchall())
    return said


def ask(connection, step, sql, parameters=None, cursor_class=None):
    cursor = connection.cursor(cursor_class)
    said = answer(cursor, lambda: cursor.execute(sql, parameters))
    emit(step, sql=sql[:100], **said)
    while said.get("more"):
        said = answer(cursor, cursor.nextset)
        emit(step, next=said)


def attempt(step, act):
    """For calls of the driver whose only answer is whether they worked."""
    try:
        emit(step, done=act() is not False)
    except pymysql.MySQLError as error:
        emit(step, error=described(error))


def one(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()


def connecting():
    fresh = connect(database=None)
    for schema in (SCHEMA, OTHER):
        fresh.cursor().execute(f"DROP DATABASE IF EXISTS {schema}")  # unprinted: an earlier run may have been cut off
        ask(fresh, "schemas", f"CREATE DATABASE {schema} CHARACTER SET utf8mb4")
    ask(fresh, "no schema yet", "SELECT DATABASE()")
    ask(fresh, "no schema yet", "SHOW TABLES")
    fresh.close()
    attempt("wrong password", lambda: connect(password=PASSWORD + "x"))
    attempt("no password", lambda: connect(password=""))
    attempt("unknown user", lambda: connect(user="no_such_user"))
    attempt("unknown schema", lambda: connect(database="no_such_schema_here"))
    connection = connect()
    emit("connect", tls=isinstance(connection._sock, ssl.SSLSocket), charset=connection.charset)
    ask(connection, "connect", "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@character_set_client")
    return connection


def options():
    set_up = connect(init_command="SET @greeting = 'hello'", sql_mode="ANSI_QUOTES", charset="latin1", autocommit=False)
    ask(set_up, "connect options", 'SELECT @greeting AS "greeting", @@sql_mode, @@character_set_results, @@autocommit')
    ask(set_up, "connect options", "SELECT 'é' AS accent, HEX('é') AS latin1")
    set_up.set_character_set("utf8mb4", "utf8mb4_bin")
    ask(set_up, "connect options", "SELECT '🐬' AS dolphin, @@collation_connection")
    set_up.select_db(OTHER)
    ask(set_up, "connect options", "SELECT DATABASE()")
    set_up.close()


def driver_calls(connection):
    attempt("ping", lambda: connection.ping(reconnect=False))
    connection.select_db(OTHER)
    ask(connection, "change schema", "SELECT DATABASE()")
    attempt("change schema", lambda: connection.select_db("no_such_schema_here"))
    connection.select_db(SCHEMA)
    ask(connection, "change schema", "SELECT DATABASE()")
    with connection.cursor() as cursor:
        sql = "INSERT INTO people (name, age) VALUES (%s, %s)"
        count = cursor.executemany(sql, [(f"many {n}", n) for n in range(500)])
        emit("executemany", affected=count, insert_id=cursor.lastrowid)
        ask(connection, "executemany", "SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE 'many%'")
        cursor.execute("CREATE PROCEDURE doubles (IN a INT, OUT b INT) BEGIN SELECT a; SELECT a, a; SET b = a * 2; END")
        cursor.callproc("doubles", (21, 0))
        sets = [cursor.fetchall()]
        while cursor.nextset():
            sets.append(cursor.fetchall())
        emit("callproc", sets=sets)
        ask(connection, "callproc", "SELECT @_doubles_0, @_doubles_1")
    ask(connection, "parameters", "SELECT %s, %s, %s, %s, %s", (1, "qu'o\\te", None, b"\x00\xff", 1.5))
    ask(connection, "dictionaries", "SELECT id, name FROM people ORDER BY id LIMIT 2", cursor_class=DictCursor)
    for name in ("reset connection", "change user", "prepared statements", "long data"):
        skip(name, "PyMySQL has none")


def transactions(connection):
    connection.autocommit(False)
    ask(connection, "autocommit off", "INSERT INTO people (name) VALUES ('undone')")
    ask(connection, "autocommit off", "SELECT COUNT(*) FROM people WHERE name = 'undone'")
    connection.rollback()
    ask(connection, "autocommit off", "SELECT COUNT(*) FROM people WHERE name = 'undone'")
    connection.autocommit(True)
    connection.begin()
    ask(connection, "begin", "INSERT INTO people (name) VALUES ('seen by one')")
    other = connect()
    ask(other, "two sessions: not yet committed", "SELECT COUNT(*) FROM people WHERE name = 'seen by one'")
    connection.commit()
    # A locking read is a primary's business, so that no replica's delay can be in the answer.
    ask(other, "two sessions: committed", "SELECT name FROM people WHERE name = 'seen by one' FOR UPDATE")
    other.begin()
    ask(other, "two sessions: lock", "SELECT id FROM people WHERE name = 'Ada' FOR UPDATE")
    ask(connection, "two sessions: lock", "SET innodb_lock_wait_timeout = 1")
    ask(connection, "two sessions: lock", "UPDATE people SET age = 1 WHERE name = 'Ada'")
    ask(connection, "two sessions: lock", "SELECT id FROM people WHERE name = 'Ada' FOR UPDATE NOWAIT")
    other.close()
    ask(connection, "quit rolls back", "UPDATE people SET age = 41 WHERE name = 'Ada'")
    ask(connection, "two sessions: lock", "SET innodb_lock_wait_timeout = DEFAULT")


def multi_statements():
    connection = connect(client_flag=CLIENT.MULTI_STATEMENTS)
    batch = (
        "SELECT 1; INSERT INTO people (name) VALUES ('batch'); SELECT COUNT(*) FROM people WHERE name = 'batch'; DO 0"
    )
    ask(connection, "multi-statements", batch)
    ask(connection, "multi-statements", "SET @m = 1; BEGIN; UPDATE people SET age = 5 WHERE name = 'batch'")
    ask(connection, "multi-statements", "SELECT @m, age FROM people WHERE name = 'batch'")
    ask(connection, "multi-statements", "ROLLBACK; SELECT age FROM people WHERE name = 'batch'")
    ask(connection, "multi-statements", "SELECT 1; SELEC 2; SELECT 3")
    ask(connection, "multi-statements", "SELECT 4")
    connection.close()
    connection = connect()
    ask(connection, "multi-statements not asked for", "SELECT 1; SELECT 2")
    connection.close()


def found_rows():
    connection = connect(client_flag=CLIENT.FOUND_ROWS)
    ask(connection, "found rows flag", "UPDATE people SET age = 42 WHERE name = 'Ada'")
    ask(connection, "found rows flag", "UPDATE people SET age = 42 WHERE name = 'Ada'")
    ask(connection, "found rows flag", "SELECT ROW_COUNT()")
    connection.close()


def local_infile():
    connection = connect(local_infile=True)
    ask(connection, "load data local", "CREATE TABLE loaded (id INT, word VARCHAR(20))")
    with tempfile.NamedTemporaryFile("w") as file:
        file.writelines(f"{n}\tword {n}\n" for n in range(20000))
        file.flush()
        with connection.cursor() as cursor:
            load = "LOAD DATA LOCAL INFILE %s INTO TABLE loaded"
            emit("load data local", **answer(cursor, lambda: cursor.execute(load, (file.name,))))
    ask(connection, "load data local", "SELECT COUNT(*), SUM(id), MAX(word) FROM loaded")
    connection.close()


def streaming(connection):
    sql = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT a.i, REPEAT(SHA2(a.i * b.i, 256), 16) FROM n a, n b WHERE b.i <= 10 ORDER BY b.i, a.i"
    )
    cursor = connection.cursor(SSCursor)
    cursor.execute(sql)
    data, count = bytearray(), 0
    for number, text in cursor:
        data += f"{number}{text}".encode()
        count += 1
    emit("large result, streamed", rows=count, **digest(data))
    cursor.execute("SELECT id FROM people ORDER BY id")
    emit("stream left half way", first=cursor.fetchone())
    cursor.close()
    ask(connection, "stream left half way", "SELECT 'still in step'")


def large_packets():
    connection = connect(max_allowed_packet=64 << 20)
    ask(connection, "large packets", "CREATE TABLE large (id INT PRIMARY KEY, data LONGBLOB)")
    for number, size in enumerate([(16 << 20) - 60, (16 << 20) - 1, 16 << 20, 20 << 20]):
        data = pattern(size)
        with connection.cursor() as cursor:
            emit(
                "large packets",
                size=size,
                affected=cursor.execute("INSERT INTO large VALUES (%s, _binary %s)", (number, data)),
            )
        back = one(connection, "SELECT data, SHA2(data, 256) FROM large WHERE id = %s", (number,))
        emit("large packets", same=back[0] == data, sha2=back[1], **digest(back[0]))
    filler = (16 << 20) - 1 - len("SELECT LENGTH('')") - 1
    for extra in (-1, 0, 1):  # a statement as long as one packet can be, less one, and plus one
        emit("large packets", length=one(connection, f"SELECT LENGTH('{'x' * (filler + extra)}')"))
    ask(connection, "large packets", "DROP TABLE large")
    connection.close()


def read_your_writes(connection):
    ask(connection, "read your writes", "CREATE TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
    wrong = []
    for n in range(1, 201):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO mine (n) VALUES (%s)", (n,))
            seen = one(connection, "SELECT COUNT(*), MAX(n) FROM mine")
            if (cursor.lastrowid, *seen) != (n, n, n):
                wrong.append([n, cursor.lastrowid, *seen])
    emit("read your writes", rounds=200, wrong=wrong)


def main():
    connection = connecting()
    for step, sql in statements(SCHEMA):
        ask(connection, step, sql)
    options()
    driver_calls(connection)
    transactions(connection)
    multi_statements()
    found_rows()
    local_infile()
    streaming(connection)
    large_packets()
    read_your_writes(connection)
    ask(connection, "drop schemas", f"DROP DATABASE {SCHEMA}")
    ask(connection, "drop schemas", "SELECT DATABASE()")
    ask(connection, "drop schemas", f"DROP DATABASE {OTHER}")
    connection.close()
    emit("disconnect", open=connection.open)


main()
