"""Writes each statement that PyMySQL sends, with its whole answer, as one JSON line, whoever asked for it."""

import datetime
import decimal
import hashlib
import json
import re

import pymysql.connections
from pymysql.constants import COMMAND, SERVER_STATUS

COMMANDS = {
    COMMAND.COM_QUERY: "",
    COMMAND.COM_INIT_DB: "(init db) ",
    COMMAND.COM_PING: "(ping)",
    COMMAND.COM_QUIT: "(quit)",
}
LONG = 2000  # longer values are written as length and digest


class Recorder:
    def __init__(self, path):
        self.file = open(path, "w")
        self.part = ""
        self.counts = {}  # (part, mode) -> statements
        self.asked = None

    def ask(self, connection, command, sql):
        if not isinstance(sql, str):
            sql = bytes(sql).decode("utf-8", "replace")
        self.asked = COMMANDS.get(command, f"({command}) ") + sql
        self.before = connection.server_status
        if command == COMMAND.COM_QUIT:
            self.told(connection, {})

    def told(self, connection, answer):
        # The server's own word: a statement belongs to a transaction if one is open before or after it.
        status = (self.before | connection.server_status) & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        mode = "transaction" if status else "autocommit"
        self.counts[self.part, mode] = self.counts.get((self.part, mode), 0) + 1
        line = {"n": sum(self.counts.values()), "part": self.part, "mode": mode, "sql": self.asked, **answer}
        self.file.write(self.masked(json.dumps(line, default=plain, ensure_ascii=False), connection) + "\n")

    def masked(self, line, connection):
        line = re.sub(r"\bs\d+_x(\d+)", r"sTHREAD_x\1", line)  # Django's names for savepoints
        return line.replace(connection.server_version, "VERSION")


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        data = bytes(value)
        return (
            {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            if len(data) > LONG
            else {"bytes": data.hex()}
        )
    if isinstance(value, (decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)):
        return {type(value).__name__: str(value)}
    raise TypeError(f"no form for {type(value)}")


def described(result):
    answer = {"affected": result.affected_rows, "insert_id": result.insert_id, "warnings": result.warning_count}
    if result.message:
        answer["info"] = result.message[1:].decode("utf-8", "replace")
    if result.description:
        answer["columns"] = [[field.name, field.table_name, field.type_code] for field in result.fields]
        answer["rows"] = result.rows
    return answer


def record(path):
    """From here on every connection of PyMySQL is recorded."""
    recorder = Recorder(path)
    connection = pymysql.connections.Connection
    result = pymysql.connections.MySQLResult
    send, read_result, read_ok = connection._execute_command, connection._read_query_result, connection._read_ok_packet
    is_eof = result._check_packet_is_eof

    def execute_command(self, command, sql):
        recorder.ask(self, command, sql)
        return send(self, command, sql)

    def answering(read, describe):
        def reading(self, *arguments, **options):
            try:
                found = read(self, *arguments, **options)
            except pymysql.MySQLError as error:
                recorder.told(self, {"error": [type(error).__name__, *error.args, getattr(error, "sqlstate", None)]})
                raise
            recorder.told(self, describe(self, found))
            return found

        return reading

    def check_packet_is_eof(self, packet):
        found = is_eof(self, packet)
        if (
            found and packet.is_eof_packet()
        ):  # PyMySQL forgets the status that ends a result; transactions are seen by it
            packet.rewind()
            self.connection.server_status = pymysql.connections.EOFPacketWrapper(packet).server_status
        return found

    connection._execute_command = execute_command
    connection._read_query_result = answering(read_result, lambda self, _: described(self._result))
    connection._read_ok_packet = answering(
        read_ok, lambda self, ok: {"affected": ok.affected_rows, "warnings": ok.warning_count}
    )
    result._check_packet_is_eof = check_packet_is_eof
    return recorder
