"""psql, many ways. Counts from what psql itself prints: footers, command tags, error messages.

Usage: psql.py HOST PORT USER DATABASE; prints one line of JSON.
"""

import json
import re
import subprocess
import sys
import tempfile

HOST, PORT, USER, DATABASE = sys.argv[1:5]
count = dict(queries=0, returned=0, written=0, failed=0, untracked=0, returning=0, untagged=0)


def psql(*arguments, stdin=None):
    command = ["psql", "--no-psqlrc", "-h", HOST, "-p", PORT, "-U", USER, "-d", DATABASE]
    result = subprocess.run([*command, *arguments], input=stdin, capture_output=True, text=True)
    return result.stdout, result.stderr


def add(out, err, failed=0, **also):
    """Adds what psql printed: "(n rows)" footers and command tags, one of them a statement."""
    for line in out.splitlines():
        if match := re.fullmatch(r"\((\d+) rows?\)", line):
            count["queries"] += 1
            count["returned"] += int(match[1])
        elif match := re.fullmatch(r"(INSERT 0|UPDATE|DELETE|MERGE|SELECT) (\d+)", line):
            # SELECT as a tag: SELECT INTO or CREATE TABLE AS.
            count["queries"] += 1
            count["written"] += int(match[2])
        elif match := re.fullmatch(r"COPY (\d+)", line):
            count["queries"] += 1
            count["returned" if also.get("copy_out") else "written"] += int(match[1])
        elif re.fullmatch(r"(BEGIN|COMMIT|ROLLBACK|LISTEN|NOTIFY|SET|DECLARE CURSOR|CLOSE CURSOR|MOVE \d+|DO"
                          r"|CREATE TABLE|DROP TABLE|TRUNCATE TABLE|PREPARE|DEALLOCATE)", line):
            count["queries"] += 1
            count["untracked"] += line in ("PREPARE", "DEALLOCATE")
    errors = len(re.findall(r"^(?:psql:.*?: )?ERROR:", err, re.M))
    assert errors == failed, (out, err)
    count["queries"] += errors
    count["failed"] += errors


def run(sql, **also):
    out, err = psql("-c", sql)
    add(out, err, **also)


# Several statements in one message, every result shown (psql 15 shows all).
run("select 1; select 2")
run("select id, name from items where id <= 10; select count(*) from items; select 1 where false")
run("select id from items where id <= 7 order by id; select payload from items where id = 17;")
# Errors in the middle: what comes after is not run.
run("select 1; select 1/0; select 2", failed=1)
run("select * from no_such_table", failed=1)
run("selec 1", failed=1)
# Rows reach the client before the error does. psql throws them away, so they are counted by hand: each of the 500 rows
# before the division is a DataRow on the wire. (Of a failed result above skim_after the sensor can but estimate the
# rows: tests/protocol.rs.)
run("select repeat('y', 80), 1/(501 - i) from generate_series(1, 10000) i", failed=1)
count["returned"] += 500
count["untagged"] += 500
# Writing.
run("insert into work select i, 'w' || i from generate_series(1, 500) i")
run("update work set name = upper(name) where id <= 100")
run("delete from work where id > 450")
out, err = psql("-c", "insert into work values (1001, 'a'), (1002, 'b'), (1003, 'c') returning id, name")
# psql prints the rows with their footer, then the tag: one statement.
assert "(3 rows)" in out and "INSERT 0 3" in out, out
count["queries"] += 1
count["returned"] += 3
count["written"] += 3
count["returning"] += 3
out, err = psql("-c", "update work set name = 'z' where id <= 250 returning *")
rows = int(re.search(r"\((\d+) rows\)", out)[1])
assert rows == 250 == int(re.search(r"UPDATE (\d+)", out)[1])
count["queries"] += 1
count["returned"] += rows
count["written"] += rows
count["returning"] += rows
run("create table copied as select * from items where id <= 123")
run("select * into copied2 from items where id <= 45")
run("drop table copied; drop table copied2")
# A transaction, cursors.
script = """
begin;
declare c cursor for select * from items order by id;
fetch 10 from c;
fetch forward 490 from c;
move 100 from c;
fetch all from c;
fetch next from c;
close c;
commit;
"""
add(*psql(stdin=script))
# psql's own FETCH_COUNT: BEGIN, DECLARE, FETCHes, CLOSE, COMMIT by itself; it prints one footer.
out, err = psql("-c", r"\set FETCH_COUNT 1000", "-c", "select id from items order by id")
assert re.search(r"\(5000 rows\)", out), (out[-200:], err)
# Six fetches: the sixth finds nothing.
count["queries"] += 4 + 6
count["returned"] += 5000
# Large results: 300,000 rows, counted as lines.
out, err = psql("-At", "-c", "select i, repeat('v', 100) from generate_series(1, 300000) i")
count["queries"] += 1
count["returned"] += len(out.splitlines())
# COPY both ways, by psql's \copy and by SQL.
with tempfile.TemporaryDirectory() as directory:
    add(*psql("-c", rf"\copy (select * from items) to '{directory}/items'"), copy_out=True)
    with open(f"{directory}/work", "w") as file:
        file.writelines(f"{i}\tcopied {i}\n" for i in range(20000))
    add(*psql("-c", rf"\copy work from '{directory}/work'"))
    out, err = psql("-c", "copy items to stdout")
    count["queries"] += 1
    count["returned"] += len(out.splitlines())
    with open(f"{directory}/bad", "w") as file:
        file.write("1\tone\nnot a number\ttwo\n")
    add(*psql("-c", rf"\copy work from '{directory}/bad'"), failed=1)
# Notifications, a long one between the statements' answers.
add(*psql(stdin="listen channel;\nnotify channel, 'hello';\nselect 1;\nselect pg_notify('channel', repeat('n', 7000));\n"))
# \gdesc parses and describes without executing, then formats the answer with a query of its own.
add(*psql(stdin="select id, name, payload from items \\gdesc\n"))
# \; puts several statements into one message.
add(*psql(stdin="select 1 \\; select 2 \\; select id from items where id < 4;\n"))
# Without a count in the tag.
out, err = psql("-c", "show work_mem")
count["untagged"] += 1
add(out, err)
out, err = psql("-c", "explain select * from items")
count["untagged"] += int(re.search(r"\((\d+) rows?\)", out)[1])
add(out, err)
run("do $$ begin perform 1; end $$")
run("values (1), (2), (3)")
# SQL's PREPARE and EXECUTE.
add(*psql(stdin="prepare p as select * from items where id < $1;\nexecute p(11);\nexecute p(101);\ndeallocate p;\n"))
# An empty statement.
psql("-c", ";")
count["queries"] += 1
count["untracked"] += 1
print(json.dumps(count))
