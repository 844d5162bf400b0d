"""The scenario by MySQL Connector/Python, twice: its pure Python protocol, and its C extension, which is libmysqlclient."""

import _mysql_connector  # first: it brings a newer OpenSSL than Debian's, and only the first to be loaded counts
import io
import ssl
import sys
import tempfile
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import mysql.connector
from mysql.connector.constants import ClientFlag

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))
from scenario import arguments, digest, emit, mask, pattern, rows, skip, statements

HOST, PORT, USER, PASSWORD, SCHEMA, TLS = arguments()
OTHER = SCHEMA + "_other"
ERRORS = (mysql.connector.Error, _mysql_connector.MySQLInterfaceError)
PURE = True


def connect(tls=TLS, **options):
    options = {"user": USER, "password": PASSWORD, "database": SCHEMA, "autocommit": True, **options}
    return mysql.connector.connect(host=HOST, port=PORT, use_pure=PURE, ssl_disabled=not tls, **options)


def described(error):
    return [type(error).__name__, error.errno, error.sqlstate, mask(str(error.msg))]


def answer(cursor, act):
    """Everything that the server said: to a statement, or in the next result of one."""
    try:
        act()
    except ERRORS as error:
        return {"error": described(error)}
    said = {"columns": [column[:2] + column[5:] for column in cursor.description or ()]}
    try:
        if cursor.with_rows:
            said["rows"] = rows(cursor.fetchall())
    except ERRORS as error:
        said["error"] = described(error)
    return said | {"affected": cursor.rowcount, "insert_id": cursor.lastrowid, "warnings": cursor.warning_count}


def ask(connection, step, sql, parameters=(), **options):
    cursor = connection.cursor(**options)
    emit(step, sql=sql[:100], **answer(cursor, lambda: cursor.execute(sql, parameters)))
    try:
        while cursor.nextset():
            emit(step, next=answer(cursor, lambda: None))
    except ERRORS as error:
        emit(step, next={"error": described(error)})
    cursor.close()


def attempt(step, act):
    """For calls of the driver whose only answer is whether they worked."""
    try:
        emit(step, done=act() is not False)
    except ERRORS as error:
        emit(step, error=described(error))


def one(connection, sql, parameters=(), **options):
    with connection.cursor(**options) as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()[0]


def columns(connection, table):
    with connection.cursor() as cursor:
        cursor.execute(f"DESCRIBE {table}")
        return [column[0] for column in cursor.fetchall()]


def connecting():
    # Pure Python has no RSA: without TLS it can log in only where the server knows the password from an earlier login.
    fresh = connect(tls=True, database=None)
    for schema in (SCHEMA, OTHER):
        fresh.cmd_query(f"DROP DATABASE IF EXISTS {schema}")  # unprinted: an earlier run may have been cut off
        ask(fresh, "schemas", f"CREATE DATABASE {schema} CHARACTER SET utf8mb4")
    ask(fresh, "no schema yet", "SELECT DATABASE()")
    fresh.close()
    attempt("wrong password", lambda: connect(tls=True, password=PASSWORD + "x"))
    attempt("unknown schema", lambda: connect(tls=True, database="no_such_schema_here"))
    connection = connect()
    emit("connect", tls=TLS, secure=isinstance(connection._socket.sock, ssl.SSLSocket) if PURE else None)
    ask(connection, "connect", "SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@character_set_client")
    return connection


def options():
    with connect(
        sql_mode="ANSI_QUOTES", time_zone="+03:00", charset="latin1", autocommit=False, buffered=True
    ) as set_up:
        ask(
            set_up, "connect options", 'SELECT @@sql_mode AS "mode", @@time_zone, @@character_set_results, @@autocommit'
        )
        set_up.set_charset_collation("utf8mb4", "utf8mb4_bin")
        ask(set_up, "connect options", "SELECT '🐬' AS dolphin, @@collation_connection")
        set_up.database = OTHER
        ask(set_up, "connect options", "SELECT DATABASE()")
    try:
        with connect(compress=True, read_timeout=10) as compressed:
            ask(compressed, "compression asked for", "SELECT LENGTH(%s) AS length", ("x" * 5000,))
    except ERRORS as error:
        emit("compression asked for", error=described(error))


PARAMETERS = [
    (1, -9223372036854775808, 1.5, Decimal("12345678901234567890.0123456789"), "text 🐬", b"\x00\xff'\\", None),
    (0, 9223372036854775807, -0.1, Decimal("-0.5"), "", b"", None),
    (255, 65536, 1e300, Decimal("1"), "ü" * 300, bytes(range(256)), "not null"),
]
MOMENTS = (
    date(2024, 2, 29),
    datetime(2024, 2, 29, 23, 59, 59, 999999),
    timedelta(hours=-25, microseconds=5),
    time(1, 2, 3),
)


def prepared(connection):
    echo = connection.cursor(prepared=True)
    for values in PARAMETERS:
        emit("prepared, many types", **answer(echo, lambda: echo.execute("SELECT ?, ?, ?, ?, ?, ?, ?", values)))
    moments = "SELECT CAST(? AS DATE), CAST(? AS DATETIME(6)), CAST(? AS TIME(6)), CAST(? AS TIME)"
    ask(connection, "prepared, moments", moments, MOMENTS, prepared=True)
    every = columns(connection, "types")
    if PURE:  # which reads a binary YEAR as text, and fails
        every.remove("year_")
    every = f"SELECT {', '.join(every)} FROM types"
    ask(connection, "prepared, every column type", every + " WHERE id < ? ORDER BY id", (3,), prepared=True)
    ask(connection, "prepared, every column type", every + " WHERE id = ?", (3,), prepared=True)

    insert = connection.cursor(prepared=True)
    sql = "INSERT INTO people (name, age) VALUES (?, ?)"
    for number in range(3):
        emit("prepared insert", **answer(insert, lambda: insert.execute(sql, (f"prepared {number}", number))))
    emit("prepared insert", **answer(insert, lambda: insert.execute(sql, ("prepared 1", 0))))
    emit("prepared insert", **answer(insert, lambda: insert.execute(sql, ("prepared 3", 3))))
    count = "SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE ?"
    ask(connection, "prepared insert", count, ("prepared%",), prepared=True)

    first, second = connection.cursor(prepared=True), connection.cursor(prepared=True)
    for cursor, value in [(first, 1), (second, 2), (first, 3), (second, 4)]:
        emit("two handles, one text", **answer(cursor, lambda: cursor.execute("SELECT ? + 1", (value,))))
    first.close()
    emit("two handles, one text", **answer(second, lambda: second.execute("SELECT ? + 1", (5,))))
    emit("two handles, one text", **answer(second, lambda: second.execute("SELECT ? + 2", (6,))))
    again = connection.cursor(prepared=True)
    emit("close and prepare again", **answer(again, lambda: again.execute("SELECT ? + 1", (7,))))

    ask(connection, "prepared errors", "SELEC ?", (1,), prepared=True)
    ask(connection, "prepared errors", "SELECT * FROM no_such_table WHERE id = ?", (1,), prepared=True)
    ask(connection, "prepared errors", "SELECT CAST(? AS SIGNED)", ("abc",), prepared=True)
    ask(connection, "prepared errors", "SHOW WARNINGS")
    changing = connection.cursor(prepared=True)
    look = f"SELECT {'*' if PURE else 'a'} FROM changing"  # libmysqlclient gives up where the number of columns changes
    for change in (
        "CREATE TABLE changing (a INT)",
        "INSERT INTO changing VALUES (1)",
        "ALTER TABLE changing ADD COLUMN b VARCHAR(5) DEFAULT 'new'",
        "ALTER TABLE changing MODIFY COLUMN a BIGINT",
        "DROP TABLE changing",
    ):
        ask(connection, "table changes under a handle", change)
        emit("table changes under a handle", **answer(changing, lambda: changing.execute(look)))

    connection.start_transaction()
    ask(connection, "prepared in a transaction", "UPDATE people SET age = ? WHERE name = ?", (50, "Ada"), prepared=True)
    ask(connection, "prepared in a transaction", "SELECT age FROM people WHERE name = ?", ("Ada",), prepared=True)
    connection.rollback()
    ask(connection, "prepared in a transaction", "SELECT age FROM people WHERE name = ?", ("Ada",), prepared=True)
    ask(connection, "prepared call", "CREATE PROCEDURE squares (IN a INT, OUT b INT) SET b = a * a")
    ask(
        connection, "prepared call", "CALL squares(?, @square)", (4,), prepared=True
    )  # the driver reads one result only
    ask(connection, "prepared call", "SELECT @square")
    for cursor in (echo, insert, second, again, changing):
        cursor.close()


def long_data(connection):
    if not PURE:
        return skip("long data", "the C extension sends parameters whole")
    ask(connection, "long data", "CREATE TABLE long_data (id INT PRIMARY KEY, data LONGBLOB)")
    data = pattern(3 << 20)
    insert = connection.cursor(prepared=True)
    for number in (1, 2):
        values = (number, io.BytesIO(data))
        emit("long data", **answer(insert, lambda: insert.execute("INSERT INTO long_data VALUES (?, ?)", values)))
    insert.close()
    ask(connection, "long data", "SELECT id, data FROM long_data ORDER BY id")


def server_side_cursor(connection):
    if not PURE:
        return skip("server-side cursor", "not offered by the C extension")
    handle = connection.cmd_stmt_prepare(b"SELECT id, name FROM people WHERE id > ? AND id < 110 ORDER BY id")
    for smallest in (0, 3):
        _, columns, eof = connection.cmd_stmt_execute(
            handle["statement_id"], (smallest,), handle["parameters"], flags=1
        )
        emit("server-side cursor", status=eof["status_flag"])
        while not eof["status_flag"] & 0x80:  # SERVER_STATUS_LAST_ROW_SENT
            connection.cmd_stmt_fetch(handle["statement_id"], 3)
            found, eof = connection.get_rows(binary=True, columns=columns)
            emit("server-side cursor", rows=rows(found), status=eof["status_flag"])
    connection.cmd_stmt_execute(handle["statement_id"], (0,), handle["parameters"], flags=1)
    connection.cmd_stmt_fetch(handle["statement_id"], 2)
    connection.get_rows(binary=True, columns=columns)
    connection.cmd_stmt_reset(handle["statement_id"])  # closes the cursor, keeps the statement
    connection.unread_result = False
    ask(connection, "server-side cursor left half way", "SELECT 'still in step'")
    connection.cmd_stmt_close(handle["statement_id"])


def driver_calls(connection):
    attempt("ping", lambda: connection.ping(reconnect=False))
    if PURE:
        emit("statistics", keys=sorted(connection.cmd_statistics()))
    attempt("change schema", lambda: connection.cmd_init_db("no_such_schema_here"))
    connection.cmd_init_db(OTHER)
    ask(connection, "change schema", "SELECT DATABASE()")
    connection.cmd_init_db(SCHEMA)
    with connection.cursor() as cursor:
        many = [(f"many {n}", n) for n in range(500)]
        emit(
            "executemany",
            **answer(cursor, lambda: cursor.executemany("INSERT INTO people (name, age) VALUES (%s, %s)", many)),
        )
        ask(connection, "executemany", "SELECT COUNT(*), SUM(age) FROM people WHERE name LIKE 'many%'")
        cursor.execute("CREATE PROCEDURE doubles (IN a INT, OUT b INT) BEGIN SELECT a; SELECT a, a; SET b = a * 2; END")
        emit("callproc", out=cursor.callproc("doubles", (21, 0)))
        for result in cursor.stored_results():
            emit("callproc", rows=rows(result.fetchall()))
    ask(connection, "parameters", "SELECT %s, %s, %s, %s, %s", (1, "qu'o\\te", None, b"\x00\xff", 1.5))
    ask(connection, "dictionaries", "SELECT id, name FROM people ORDER BY id LIMIT 2", dictionary=True)
    ask(connection, "raw", "SELECT * FROM types ORDER BY id LIMIT 1", raw=True)
    with connection.cursor() as cursor:
        cursor.add_attribute("trace", "abc")
        cursor.add_attribute("number", 7)
        emit("query attributes", **answer(cursor, lambda: cursor.execute("SELECT name FROM people WHERE name = 'Ada'")))
        cursor.clear_attributes()


def multi_statements(connection):
    batches = [
        "SELECT 1; INSERT INTO people (name) VALUES ('batch'); SELECT COUNT(*) FROM people WHERE name = 'batch'",
        "SET @m = 1; BEGIN; UPDATE people SET age = 5 WHERE name = 'batch'",
        "SELECT @m, age FROM people WHERE name = 'batch'",
        "ROLLBACK; SELECT age FROM people WHERE name = 'batch'",
        "SELECT 1; SELEC 2; SELECT 3",
        "SELECT 4",
    ]
    for batch in batches:
        ask(connection, "multi-statements", batch)


def resets(connection):
    def dirty():
        for sql in (
            "SET @mine = 1, SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+02:00'",
            "CREATE TEMPORARY TABLE scratch (id INT)",
            f"SELECT GET_LOCK('{SCHEMA}.reset', 0)",
            "START TRANSACTION",
            "INSERT INTO people (name) VALUES ('never committed')",
        ):
            connection.cmd_query(sql)
            if connection.unread_result:
                connection.get_rows()

    def look(step):
        ask(connection, step, "SELECT DATABASE(), @mine IS NULL, @@sql_mode, @@time_zone = @@GLOBAL.time_zone, @@autocommit")
        ask(connection, step, "SELECT * FROM scratch")
        ask(connection, step, f"SELECT IS_FREE_LOCK('{SCHEMA}.reset')")
        ask(connection, step, "SELECT COUNT(*) FROM people WHERE name = 'never committed'")

    dirty()
    attempt("reset connection", connection.cmd_reset_connection)
    look("reset connection")
    connection.autocommit = True
    dirty()
    attempt("change user", lambda: connection.cmd_change_user(USER, PASSWORD, OTHER))
    ask(connection, "change user", "SELECT DATABASE()")
    connection.cmd_init_db(SCHEMA)
    look("change user")
    connection.autocommit = True
    stale = connection.cursor(prepared=True)
    emit("handle before a reset", **answer(stale, lambda: stale.execute("SELECT ?", (1,))))
    connection.cmd_reset_connection()
    emit("handle after a reset", **answer(stale, lambda: stale.execute(stale._executed, (1,))))
    connection.autocommit = True
    ask(connection, "reset session", "SET @mine = 1")
    connection.reset_session(user_variables={"mine": 2}, session_variables={"div_precision_increment": 1})
    ask(connection, "reset session", "SELECT @mine, 1 / 3")
    other = connect(database=None)
    attempt("change user, wrong password", lambda: other.cmd_change_user(USER, PASSWORD + "x", SCHEMA))


def transactions(connection):
    connection.autocommit = False
    ask(connection, "autocommit off", "INSERT INTO people (name) VALUES ('undone')")
    emit("autocommit off", in_transaction=connection.in_transaction)
    ask(connection, "autocommit off", "SELECT COUNT(*) FROM people WHERE name = 'undone'")
    connection.rollback()
    ask(connection, "autocommit off", "SELECT COUNT(*) FROM people WHERE name = 'undone'")
    connection.commit()
    connection.autocommit = True
    connection.start_transaction(consistent_snapshot=True, isolation_level="READ COMMITTED", readonly=True)
    ask(connection, "read only", "SELECT COUNT(*) FROM people WHERE name = 'undone'")
    ask(connection, "read only", "INSERT INTO people (name) VALUES ('undone')")
    connection.commit()


def found_rows():
    with connect(client_flags=[ClientFlag.FOUND_ROWS]) as connection:
        for _ in range(2):
            ask(connection, "found rows flag", "UPDATE people SET age = 42 WHERE name = 'Ada'")
        ask(connection, "found rows flag", "SELECT ROW_COUNT()")
    with connect(client_flags=[-ClientFlag.FOUND_ROWS]) as connection:
        for _ in range(2):
            ask(connection, "no found rows flag", "UPDATE people SET age = 43 WHERE name = 'Ada'")


def local_infile():
    with connect(allow_local_infile=True) as connection, tempfile.NamedTemporaryFile("w") as file:
        file.writelines(f"{n}\tword {n}\n" for n in range(20000))
        file.flush()
        ask(connection, "load data local", "CREATE TABLE loaded (id INT, word VARCHAR(20))")
        cursor = connection.cursor()
        load = "LOAD DATA LOCAL INFILE %s INTO TABLE loaded"
        emit("load data local", **answer(cursor, lambda: cursor.execute(load, (file.name,))))
        ask(connection, "load data local", "SELECT COUNT(*), SUM(id), MAX(word) FROM loaded")


def streaming(connection):
    sql = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "SELECT a.i, REPEAT(SHA2(a.i * b.i, 256), 16) FROM n a, n b WHERE b.i <= 10 ORDER BY b.i, a.i"
    )
    for prepared_too in (False, True):
        data, count = bytearray(), 0
        with connection.cursor(prepared=prepared_too) as cursor:
            cursor.execute(sql)
            for number, text in cursor:
                data += f"{number}{text}".encode()
                count += 1
        emit("large result, streamed", prepared=prepared_too, rows=count, **digest(data))


def large_packets():
    with connect() as connection:
        ask(connection, "large packets", "CREATE TABLE large (id INT PRIMARY KEY, data LONGBLOB)")
        for number, size in enumerate([(16 << 20) - 1, 20 << 20]):
            data = pattern(size)
            for prepared_too in (False, True):
                insert = "INSERT INTO large VALUES (%s, %s)"
                with connection.cursor(prepared=prepared_too) as cursor:
                    cursor.execute(insert, (2 * number + prepared_too, data))
                read = "SELECT data, SHA2(data, 256) FROM large WHERE id = %s"
                # Pure Python loses its way in a binary row that is longer than one packet.
                back = one(connection, read, (2 * number + prepared_too,), prepared=prepared_too and not PURE)
                emit(
                    "large packets", prepared=prepared_too, same=bytes(back[0]) == data, sha2=back[1], **digest(back[0])
                )
        ask(connection, "large packets", "DROP TABLE large")


def read_your_writes(connection):
    ask(connection, "read your writes", "CREATE TABLE mine (id INT AUTO_INCREMENT PRIMARY KEY, n INT)")
    insert, count = connection.cursor(prepared=True), connection.cursor(prepared=True)
    wrong = []
    for n in range(1, 201):
        insert.execute("INSERT INTO mine (n) VALUES (?)", (n,))
        count.execute("SELECT COUNT(*), MAX(n) FROM mine WHERE n > ?", (0,))
        seen = count.fetchall()[0]
        if (insert.lastrowid, *seen) != (n, n, n):
            wrong.append([n, insert.lastrowid, *seen])
    emit("read your writes", rounds=200, wrong=wrong)


def main():
    connection = connecting()
    for step, sql in statements(SCHEMA):
        ask(connection, step, sql)
    options()
    driver_calls(connection)
    prepared(connection)
    long_data(connection)
    server_side_cursor(connection)
    transactions(connection)
    multi_statements(connection)
    resets(connection)
    found_rows()
    local_infile()
    streaming(connection)
    large_packets()
    read_your_writes(connection)
    ask(connection, "drop schemas", f"DROP DATABASE {SCHEMA}")
    ask(connection, "drop schemas", f"DROP DATABASE {OTHER}")
    connection.close()
    emit("disconnect", connected=connection.is_connected())


for PURE in (True, False):
    emit("driver", implementation="pure Python" if PURE else "C extension")
    main()
