"""What both Python clients share: the statements of the scenario and the form in which answers are printed."""

import datetime
import decimal
import hashlib
import json
import re
import sys
from pathlib import Path

STATEMENTS = Path(__file__).parent / "statements"
LONG = 700  # longer values are printed as length and digest


def arguments():
    """HOST PORT USER PASSWORD SCHEMA [tls|plain]"""
    if len(sys.argv) not in (6, 7) or sys.argv[6:] not in ([], ["tls"], ["plain"]):
        sys.exit("usage: run HOST PORT USER PASSWORD SCHEMA [tls|plain]")
    host, port, user, password, schema = sys.argv[1:6]
    return host, int(port), user, password, schema, sys.argv[6:] == ["tls"]


def statements(schema):
    """(step, statement) for all of shared/statements, in order. A line `-- name` begins a step, `;` at a line's end ends
    a statement."""
    for path in sorted(STATEMENTS.glob("*.sql")):
        text = path.read_text().replace("{schema}", schema).replace("{other}", schema + "_other")
        step = path.stem
        for statement in re.split(r";\n", text):
            heading = re.match(r"\s*-- (.*)\n", statement)
            if heading:
                step, statement = heading[1], statement[heading.end() :]
            if statement.strip():
                yield step, statement.strip()


def emit(step, **answer):
    print(json.dumps({"step": step, **answer}, default=plain, ensure_ascii=False), flush=True)


def skip(step, why):
    emit(step, skip=why)


def mask(message):
    """Two parts of errors are nobody's promise: where the client comes from, and a server's number for a handle."""
    return re.sub(r"handler \(\d+\)", "handler (ID)", re.sub(r"'@'[^']*'", "'@'HOST'", message))


def plain(value):
    """What json.dumps does not know."""
    if isinstance(value, (bytes, bytearray)):
        return digest(value) if len(value) > LONG else {"bytes": bytes(value).hex()}
    if isinstance(value, (decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)):
        return {type(value).__name__: str(value)}
    if isinstance(value, set):
        return {"set": sorted(value)}
    raise TypeError(f"no form for {type(value)}")


def rows(found):
    return [
        {k: short(v) for k, v in row.items()} if isinstance(row, dict) else [short(v) for v in row] for row in found
    ]


def short(value):
    return digest(value.encode()) if isinstance(value, str) and len(value) > LONG else value


def digest(data):
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def pattern(size):
    """Bytes that do not repeat in a packet's or a buffer's rhythm."""
    unit = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(313))
    return (unit * (size // len(unit) + 1))[:size]
