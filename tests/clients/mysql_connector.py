# mysql-connector-python: text and binary protocol, several statements, rows one by one and in pieces.
#
# Usage: mysql_connector.py HOST-OR-SOCKET PORT USER DATABASE; a password in MYSQL_PWD. Prints one line of JSON: of statements on
# `items` alone, since it asks for much besides when it connects. With CLIENT_TLS in the environment by TLS.
import json
import os
import sys

# Beside this file lies another module `mysql`.
sys.path.pop(0)
import mysql.connector  # noqa: E402

host, port, user, database = sys.argv[1:]
count = {"queries": 0, "returned": 0, "written": 0, "failed": 0}


def connect():
    where = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": int(port)}
    return mysql.connector.connect(
        user=user,
        password=os.environ.get("MYSQL_PWD", ""),
        database=database,
        use_pure=True,
        ssl_disabled="CLIENT_TLS" not in os.environ,
        charset="utf8mb4",
        collation="utf8mb4_general_ci",
        **where,
    )


def run(cursor, sql, parameters=()):
    cursor.execute(sql, parameters)
    count["queries"] += 1
    count["returned"] += len(cursor.fetchall())


connection = connect()
with connection.cursor() as cursor:
    run(cursor, "SELECT id, name FROM items WHERE id <= 100")
    for i in range(100):
        run(cursor, "SELECT name FROM items WHERE id = %s", (i,))
    run(cursor, "SELECT id FROM items WHERE FALSE")
    # Row by row, as they come.
    cursor.execute("SELECT id, payload FROM items")
    count["queries"] += 1
    count["returned"] += sum(1 for _ in cursor)
# The binary protocol.
with connection.cursor(prepared=True) as cursor:
    for i in range(100):
        run(cursor, "SELECT name, payload FROM items WHERE id < %s", (i,))
    cursor.execute("SELECT id, payload FROM items WHERE id <= %s", (3000,))
    count["queries"] += 1
    while rows := cursor.fetchmany(70):
        count["returned"] += len(rows)
connection.close()
print(json.dumps(count))
