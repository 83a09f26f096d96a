"""pgbench in all its query modes, with pipelines, and with many connections.

Usage: pgbench.py HOST PORT USER DATABASE [CLIENTS TRANSACTIONS [reconnect]]; prints one line of JSON.
"""

import json
import re
import subprocess
import sys
import tempfile

HOST, PORT, USER, DATABASE = sys.argv[1:5]
MANY = [int(argument) for argument in sys.argv[5:7]]
RECONNECT = sys.argv[7:] == ["reconnect"]
count = dict(queries=0, returned=0, written=0, untracked=0)

# Like TPC-B: 7 statements, 1 row returned, 4 written.
TPCB = r"""
\set id random(1, 1000)
\set delta random(-5000, 5000)
begin;
update accounts set balance = balance + :delta where id = :id;
select balance from accounts where id = :id;
update accounts set balance = balance + 1 where id = 1 + :id % 1000;
update accounts set balance = balance - 1 where id = 1 + :id % 1000;
insert into work (id, name) values (:id, 'pgbench');
end;
"""
# 3 statements, 42 rows returned.
READ = r"""
\set id random(1, 4000)
select name from items where id = :id;
select name, payload from items where id between :id and :id + 39;
select 1;
"""
# 7 statements in a pipeline, 12 rows returned, 2 written.
PIPELINE = r"""
\set id random(1, 1000)
\startpipeline
begin;
select name from items where id = :id;
update accounts set balance = balance + 1 where id = :id;
select name, payload from items where id between :id and :id + 9;
insert into work (id, name) values (:id, 'pipeline');
select balance from accounts where id = :id;
end;
\endpipeline
"""
# 4 statements, 4 rows.
SHORT = r"""
select 1;
select name from items where id = 7;
select name from items where id = 8;
select name from items where id = 9;
"""


def pgbench(script, statements, returned, written, *arguments, utility=0, sessions=0):
    """Runs a script whose every transaction has these counts.

    pg_stat_statements (seen in version 15) keeps a prepared utility statement (BEGIN, END) only the first time that a
    session executes it: of `utility` such statements a transaction, in `sessions` sessions, the rest is untracked.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = ["pgbench", "-n", "-h", HOST, "-p", PORT, "-U", USER, "-f", file.name, *arguments, DATABASE]
        result = subprocess.run(command, capture_output=True, text=True)
    done = re.search(r"number of transactions actually processed: (\d+)", result.stdout)
    assert result.returncode == 0 and done, (result.stdout, result.stderr)
    assert "number of failed transactions: 0" in result.stdout or "failed" not in result.stdout, result.stdout
    transactions = int(done[1])
    count["queries"] += transactions * statements
    count["returned"] += transactions * returned
    count["written"] += transactions * written
    count["untracked"] += (transactions - sessions) * utility if sessions else 0


if MANY:
    clients, transactions = MANY
    arguments = ["-c", str(clients), "-j", "2", "-t", str(transactions)]
    if RECONNECT:
        pgbench(SHORT, 4, 4, 0, "-C", *arguments)
    else:
        pgbench(READ, 3, 42, 0, "-M", "prepared", *arguments)
else:
    for mode in ["simple", "extended", "prepared"]:
        sessions = 4 if mode == "prepared" else 0
        pgbench(TPCB, 7, 1, 4, "-M", mode, "-c", "4", "-t", "100", utility=2, sessions=sessions)
        pgbench(READ, 3, 42, 0, "-M", mode, "-c", "4", "-t", "100")
    for mode in ["extended", "prepared"]:
        sessions = 1 if mode == "prepared" else 0
        pgbench(PIPELINE, 7, 12, 2, "-M", mode, "-t", "200", utility=2, sessions=sessions)
    pgbench(SHORT, 4, 4, 0, "-C", "-t", "20")
print(json.dumps(count))
