# PyMySQL: text protocol, several statements and results, errors, unbuffered and large results, a client's file.
#
# Usage: mysql.py HOST-OR-SOCKET PORT USER DATABASE [CONNECTIONS]; a password in MYSQL_PWD. Prints one line of JSON. With CLIENT_TLS in
# the environment by TLS.
import json
import os
import sys
import tempfile
import threading

import pymysql
from pymysql.constants import CLIENT

host, port, user, database, *more = sys.argv[1:]
count = {"queries": 0, "returned": 0, "written": 0, "failed": 0}
lock = threading.Lock()


def connect():
    # The client's own SET NAMES.
    add(1, 0)
    where = {"unix_socket": host} if host.startswith("/") else {"host": host, "port": int(port)}
    return pymysql.connect(
        user=user,
        password=os.environ.get("MYSQL_PWD", ""),
        database=database,
        autocommit=True,
        local_infile=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
        # It takes what the server offers, unless it is told not to.
        ssl_disabled="CLIENT_TLS" not in os.environ,
        ssl_verify_cert=False,
        **where,
    )


def add(queries, returned, written=0, failed=0):
    with lock:
        count["queries"] += queries
        count["returned"] += returned
        count["written"] += written
        count["failed"] += failed


def run(cursor, sql, parameters=None):
    affected = cursor.execute(sql, parameters)
    results = 0
    while True:
        if cursor.description:
            add(1, len(cursor.fetchall()))
        else:
            add(1, 0, affected)
        results += 1
        if not cursor.nextset():
            return results
        affected = cursor.rowcount


def work(cursor):
    run(cursor, "SELECT id, name FROM items WHERE id <= 100")
    for i in range(200):
        run(cursor, "SELECT name FROM items WHERE id = %s", (i,))
        run(cursor, 'SELECT name FROM items WHERE name = "it\\"s %s"' % i)
    run(cursor, "SELECT * FROM items WHERE FALSE")
    run(cursor, "SELECT id, payload FROM items")
    run(cursor, "SELECT 1; SELECT id FROM items WHERE id < 5; DO 0; SELECT id, name FROM items WHERE id < 3000")
    table = "work_" + str(threading.get_ident())
    run(cursor, f"CREATE TEMPORARY TABLE {table} (id INT, name TEXT)")
    run(cursor, f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'it\\'s')")
    run(cursor, f"UPDATE {table} SET name = CONCAT(name, 'x') WHERE id > 1")
    run(cursor, f"INSERT INTO {table} SELECT id, name FROM items")
    run(cursor, f"DELETE FROM {table} WHERE id > 4000")
    with tempfile.NamedTemporaryFile("w") as file:
        file.writelines(f"{i}\tname {i}\n" for i in range(5000))
        file.flush()
        run(cursor, f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE {table}")
    for sql in ["SELECT nothing FROM nowhere", "SELECT 'not closed", "INSERT INTO items VALUES (1, 'twice', '')"]:
        try:
            cursor.execute(sql)
            raise SystemExit(f"did not fail: {sql}")
        except pymysql.MySQLError:
            add(1, 0, failed=1)
    # Results of a procedure are one statement's.
    cursor.execute("CALL two_results()")
    while True:
        add(0, len(cursor.fetchall()) if cursor.description else 0)
        if not cursor.nextset():
            break
    add(1, 0)
    connection.select_db("mysql")
    connection.select_db(database)
    add(2, 0)
    connection.ping()


def lookups(number):
    connection = connect()
    cursor = connection.cursor()
    for i in range(20):
        cursor.execute("SELECT id, name FROM items WHERE id <= %s", (number + i,))
        add(1, len(cursor.fetchall()))
    connection.close()


if more:
    threads = [threading.Thread(target=lookups, args=(i,)) for i in range(int(more[0]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
else:
    connection = connect()
    cursor = connection.cursor()
    work(cursor)
    stream = connection.cursor(pymysql.cursors.SSCursor)
    stream.execute("SELECT a.id, a.name FROM items a, items b WHERE b.id <= 20")
    add(1, sum(1 for _ in stream))
    stream.close()
    connection.close()
print(json.dumps(count))
