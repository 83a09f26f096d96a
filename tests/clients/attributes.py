# mysql-connector-python: query attributes of all kinds, with the text protocol and with prepared statements, more and more of them.
#
# Usage: attributes.py HOST-OR-SOCKET PORT USER DATABASE; the password in MYSQL_PWD. Prints one line of JSON: of statements on `items`
# alone. The server needs its component query_attributes.
import datetime
import decimal
import json
import os
import sys

# Beside this file lies another module `mysql`.
sys.path.pop(0)
import mysql.connector  # noqa: E402

host, port, user, database = sys.argv[1:]
where = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": int(port)}
connection = mysql.connector.connect(
    user=user,
    password=os.environ.get("MYSQL_PWD", ""),
    database=database,
    use_pure=True,
    ssl_disabled=True,
    **where,
)
count = {"queries": 0, "returned": 0, "written": 0}
kinds = [
    ("person", "ann"),
    ("small", 7),
    ("large", 1 << 40),
    ("negative", -70000),
    ("ratio", 0.5),
    ("amount", decimal.Decimal("12.50")),
    ("day", datetime.date(2026, 11, 27)),
    ("moment", datetime.datetime(2026, 11, 27, 11, 0, 1, 5)),
    ("time", datetime.timedelta(hours=30, microseconds=7)),
    ("bytes", b"\x00\xff'" * 200),
    ("empty", ""),
]


def run(cursor, sql, parameters=()):
    cursor.execute(sql, parameters)
    rows = cursor.fetchall()
    count["queries"] += 1
    count["returned"] += len(rows)
    return rows


for prepared in [False, True]:
    with connection.cursor(prepared=prepared) as cursor:
        for name, value in kinds:
            cursor.add_attribute(name, value)
            run(cursor, "SELECT id, name FROM items WHERE id <= 20")
        sql = "SELECT id, mysql_query_attribute_string('person') FROM items WHERE id <= %s"
        rows = run(cursor, sql, (3,))
        # The server did take them.
        assert [str(row[1]) for row in rows] == ["ann"] * 3, rows
        cursor.clear_attributes()
        run(cursor, "SELECT id FROM items WHERE id <= 30")
connection.close()
print(json.dumps(count))
