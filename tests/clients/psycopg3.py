"""psycopg 3: sync, async, pipeline mode, server-side cursors, COPY, executemany.

Usage: psycopg3.py HOST PORT USER DATABASE; prints one line of JSON.
"""

import asyncio
import json
import sys

import psycopg

HOST, PORT, USER, DATABASE = sys.argv[1:5]
DSN = f"host={HOST} port={PORT} user={USER} dbname={DATABASE} sslmode=prefer"
count = dict(queries=0, returned=0, written=0, failed=0, untracked=0, returning=0, untagged=0)


def queries(n):
    count["queries"] += n


def returned(n):
    count["returned"] += n


def written(n):
    count["written"] += n


def fails(connection, sql, parameters=None):
    try:
        connection.execute(sql, parameters)
    except psycopg.Error:
        count["queries"] += 1
        count["failed"] += 1
    else:
        raise AssertionError(f"{sql} did not fail")


def sync():
    with psycopg.connect(DSN, autocommit=True) as connection:
        # Prepared from the sixth time on.
        for i in range(1, 21):
            queries(1)
            returned(len(connection.execute("select id, name from items where id < %s", (i,)).fetchall()))
        # Never prepared, and binary.
        for i in (1, 10, 100):
            cursor = connection.cursor(binary=True)
            queries(1)
            returned(len(cursor.execute("select * from items limit %s", (i,), prepare=False).fetchall()))
        # Several statements in one message.
        cursor = connection.execute("select 1; select generate_series(1, 5); select 2 where false")
        while True:
            queries(1)
            returned(cursor.rowcount)
            if not cursor.nextset():
                break
        fails(connection, "select 1/0")
        fails(connection, "select 1/%s", (0,))
        fails(connection, "select * from no_such_table where id = %s", (1,))
        # Transactions: BEGIN and COMMIT or ROLLBACK are statements, savepoints too.
        with connection.transaction():
            queries(2)
            queries(1)
            written(connection.execute("insert into work values (%s, %s)", (1, "one")).rowcount)
            with connection.transaction():
                queries(2)
                queries(1)
                written(connection.execute("update work set name = %s", ("two",)).rowcount)
        rows = connection.execute(
            "insert into work select i, 'r' from generate_series(1, %s) i returning id", (77,)
        ).fetchall()
        queries(1)
        written(len(rows))
        returned(len(rows))
        count["returning"] += len(rows)
        # A large result, and one that is streamed (single-row mode).
        queries(1)
        returned(len(connection.execute("select i, repeat('l', 50) from generate_series(1, 100000) i").fetchall()))
        cursor = connection.cursor()
        queries(1)
        returned(sum(1 for _ in cursor.stream("select i, repeat('s', 50) from generate_series(1, %s) i", (20000,))))
        # A value of a megabyte both ways.
        text = "m" * 1_000_000
        queries(1)
        assert connection.execute("select %s::text", (text,)).fetchone()[0] == text
        returned(1)
        # Empty.
        connection.execute("")
        queries(1)
        count["untracked"] += 1


def many():
    with psycopg.connect(DSN, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.executemany("insert into work values (%s, %s)", [(i, f"many {i}") for i in range(1000)])
        queries(1000)
        written(cursor.rowcount)
        cursor.executemany(
            "insert into work values (%s, %s) returning id", [(i, "r") for i in range(50)], returning=True
        )
        rows = 0
        while True:
            rows += len(cursor.fetchall())
            if not cursor.nextset():
                break
        queries(50)
        assert rows == 50
        written(rows)
        returned(rows)
        count["returning"] += rows


def pipeline():
    with psycopg.connect(DSN, autocommit=True) as connection:
        with connection.pipeline():
            cursors = [
                connection.execute("select id, payload from items where id <= %s", (i,)) for i in range(200)
            ]
            queries(200)
            for cursor in cursors:
                returned(len(cursor.fetchall()))
        # An error in the middle: what was sent behind it, up to the Sync at the end, is skipped. When the error shows
        # is a matter of timing.
        try:
            with connection.pipeline():
                first = connection.execute("select 1")
                connection.execute("select 1/%s", (0,))
                connection.execute("select 2")
        except psycopg.Error:
            pass
        returned(len(first.fetchall()))
        queries(2)
        count["failed"] += 1
        # Groups of their own.
        with connection.pipeline() as p:
            groups = []
            for i in range(30):
                groups.append(connection.execute("select generate_series(1, %s)", (i,)))
                p.sync()
            for group in groups:
                returned(len(group.fetchall()))
            queries(30)


def server_side_cursors():
    with psycopg.connect(DSN) as connection:
        # BEGIN.
        queries(1)
        with connection.cursor("named") as cursor:
            cursor.itersize = 700
            cursor.execute("select id, name, payload from items order by id")
            queries(1)
            # Eight fetches: the last one brings 100.
            returned(sum(1 for _ in cursor))
            queries(8)
        # CLOSE.
        queries(1)
        with connection.cursor("scrolls", scrollable=True) as cursor:
            cursor.execute("select id from items where id <= %s order by id", (1000,))
            returned(len(cursor.fetchmany(10)))
            cursor.scroll(100)
            returned(len(cursor.fetchone()))
            cursor.scroll(0, "absolute")
            returned(len(cursor.fetchall()))
            # DECLARE, FETCH, MOVE, FETCH, MOVE, FETCH, CLOSE.
            queries(7)
        connection.commit()
        queries(1)


def copy():
    with psycopg.connect(DSN, autocommit=True) as connection:
        cursor = connection.cursor()
        with cursor.copy("copy (select id, name, payload from items) to stdout") as out:
            returned(sum(1 for _ in out.rows()))
        queries(1)
        with cursor.copy("copy (select i from generate_series(1, 30000) i) to stdout (format binary)") as out:
            out.set_types(["int4"])
            returned(sum(1 for _ in out.rows()))
        queries(1)
        with cursor.copy("copy work (id, name) from stdin") as into:
            for i in range(30000):
                into.write_row((i, f"copied {i}"))
        queries(1)
        written(cursor.rowcount)
        with cursor.copy("copy work (id, name) from stdin (format binary)") as into:
            into.set_types(["int4", "text"])
            for i in range(3000):
                into.write_row((i, f"binary {i}"))
        queries(1)
        written(cursor.rowcount)
        # Given up by the client: CopyFail.
        try:
            with cursor.copy("copy work (id, name) from stdin") as into:
                into.write_row((1, "never"))
                raise KeyError
        except (KeyError, psycopg.Error):
            queries(1)
            count["failed"] += 1


async def asynchronous():
    async def one(n):
        async with await psycopg.AsyncConnection.connect(DSN, autocommit=True) as connection:
            for i in range(1, 31):
                cursor = await connection.execute("select name from items where id between %s and %s", (i, i + n))
                queries(1)
                returned(len(await cursor.fetchall()))
            async with connection.pipeline():
                cursors = [await connection.execute("select %s::int", (i,)) for i in range(20)]
                queries(20)
                for cursor in cursors:
                    returned(len(await cursor.fetchall()))

    await asyncio.gather(*(one(n) for n in range(8)))


sync()
many()
pipeline()
server_side_cursors()
copy()
asyncio.run(asynchronous())
print(json.dumps(count))
