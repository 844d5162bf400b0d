"""Counts from the servers' general logs (mysql.general_log) where the statements of a recorded session ran."""

import collections
import json
import re
import sys

import pymysql

START = "SELECT 'where-it-ran: start'"
COMMANDS = {"Query": "", "Execute": "", "Init DB": "(init db) ", "Quit": "(quit)"}  # as recorder.py has them
LEAST_SHARE = 0.75  # of the reads; the others stand in transactions that write, or ask about the statement before
MOST_IN_VAIN = 0.01  # of the reads: one that its replica keeps waiting in vain runs there, too, for nobody
KINDS = ["read", "locking read", "write", "control"]


def connect(user, password, server):
    host, _, port = server.partition(":")
    return pymysql.connect(host=host, port=int(port or 3306), user=user, password=password, autocommit=True).cursor()


def start(user, password, *servers):
    for server in servers:
        cursor = connect(user, password, server)
        cursor.execute("SET GLOBAL log_output = 'TABLE'")
        cursor.execute("SET GLOBAL general_log = ON")
        cursor.execute(START)


def kind(sql):
    word = re.match(r"[\s(]*(\w*)", sql)[1].upper()
    if word in ("SELECT", "SHOW", "DESCRIBE", "EXPLAIN", "WITH"):
        return "locking read" if re.search(r"FOR UPDATE|_LOCK\(", sql) else "read"
    return (
        "write"
        if word in ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE")
        else "control"
    )


def ran(user, password, server, of):
    """The texts of all that the account `of` has asked this server since the start."""
    cursor = connect(user, password, server)
    cursor.execute("SET GLOBAL general_log = OFF")
    cursor.execute("SELECT command_type, argument, user_host FROM mysql.general_log")
    texts = []
    for command, text, who in cursor:
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if text == START:
            texts = []
        # Not a replica's own threads, which repeat what the primary ran and have no account.
        elif command in COMMANDS and who.startswith(f"{of}[{of}]"):
            texts.append(as_logged(COMMANDS[command] + re.sub(r"\bs\d+_x(\d+)", r"sTHREAD_x\1", text)))
    return texts


def as_logged(text):
    """Servers do not log what ends a statement, and MariaDB logs 🐬 as \\xF0\\x9F\\x90\\xAC."""
    long = re.compile("[\U00010000-\U0010ffff]")
    return long.sub(lambda c: "".join(f"\\x{byte:02X}" for byte in c[0].encode()), text.strip().rstrip(";"))


def count(user, password, of, path, *servers):
    asked = collections.Counter(as_logged(json.loads(line)["sql"]) for line in open(path))
    del asked["(ping)"]
    print(f"{'':24}" + "".join(f"{name:>14}" for name in KINDS))
    show("asked by the session", asked.elements())
    ran_at_all, reads_at = collections.Counter(), []
    wrong = []
    for place, server in enumerate(servers):
        found = [text for text in ran(user, password, server, of) if text in asked]
        ran_at_all.update(found)
        show(server, found)
        kinds = collections.Counter(map(kind, found))
        reads_at.append(kinds["read"])
        if place > 0 and kinds["locking read"] + kinds["write"] > 0:
            wrong.append(f"{server} is a replica and was asked to lock or write")
    show("on no server", (asked - ran_at_all).elements())
    show("more often than asked", (ran_at_all - asked).elements())
    share = sum(reads_at[1:]) / sum(reads_at)
    statements = sum(asked.values())
    print(f"of {statements} statements {sum(reads_at)} are reads, and {sum(reads_at[1:])} of these ran on replicas: {share:.1%}")
    if share < LEAST_SHARE:
        wrong.append(f"less than {LEAST_SHARE:.0%} of the reads ran on replicas")
    if any(kind(text) != "control" for text in asked - ran_at_all):
        wrong.append("a statement ran on no server")
    again = collections.Counter(map(kind, (ran_at_all - asked).elements()))
    if again["locking read"] + again["write"] > 0 or again["read"] > MOST_IN_VAIN * sum(reads_at):
        wrong.append("a statement ran more often than it was asked")
    if wrong:
        sys.exit("\n".join(wrong))


def show(name, texts):
    counts = collections.Counter(map(kind, texts))
    print(f"{name:24}" + "".join(f"{counts[kind]:14}" for kind in KINDS))


if len(sys.argv) < 5 or sys.argv[1] not in ("start", "count"):
    sys.exit(
        "usage: where-it-ran start USER PASSWORD HOST[:PORT]... | count USER PASSWORD SESSION_USER OUT.jsonl HOST[:PORT]..."
    )
{"start": start, "count": count}[sys.argv[1]](*sys.argv[2:])
