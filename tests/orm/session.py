"""A session as two web applications have it: an SQLAlchemy shop, then a Django blog. Everything they ask is recorded."""

import sys
import warnings

if len(sys.argv) != 7:
    sys.exit("usage: run HOST PORT USER PASSWORD SCHEMA OUT.jsonl")
host, port, user, password, schema, out = sys.argv[1:]
warnings.simplefilter("ignore")

import pymysql
import recorder

setup = pymysql.connect(host=host, port=int(port), user=user, password=password, autocommit=True)
for name in (schema, schema + "_blog"):
    for statement in (f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} CHARACTER SET utf8mb4"):
        setup.cursor().execute(statement)
setup.close()

log = recorder.record(out)
address = {"host": host, "port": int(port), "user": user, "password": password}

import shop
import blog_session

shop.run({**address, "database": schema}, log)
blog_session.run({**address, "database": schema + "_blog"}, log)
log.file.close()
for (part, mode), count in sorted(log.counts.items()):
    print(f"{part}: {count} statements, {mode}")
print(f"total: {sum(log.counts.values())} statements")
