# redis-py by either version of the protocol: all kinds of reads, pipelines, transactions, scripts, what blocks, and errors.
#
# Usage: redispy.py HOST-OR-SOCKET PORT USER PASSWORD PROTOCOL; prints, as one line of JSON, queries and rows by command and
# kind of key. What the client asks for itself at the beginning of a connection is not in there.
import json
import sys
import threading

import redis

host, port, user, password, protocol = sys.argv[1:]
where = {"unix_socket_path": host} if host.startswith("/") else {"host": host, "port": int(port)}
count = {}


def client(**more):
    made = redis.Redis(**where, username=user, password=password, protocol=int(protocol), **more)
    # Replies as they came.
    made.response_callbacks.clear()
    return made


def leaves(reply):
    if reply is None:
        return 0
    if isinstance(reply, dict):
        return sum(leaves(key) + leaves(value) for key, value in reply.items())
    if isinstance(reply, (list, tuple, set)):
        return sum(leaves(part) for part in reply)
    return 1


def add(command, keys, rows):
    queries, before = count.setdefault(f"{command} {keys}".strip(), [0, 0])
    count[f"{command} {keys}".strip()] = [queries + 1, before + rows]


# Of these the reply is a status or a number.
SAY_LITTLE = {"SET", "DEL", "INCR", "HSET", "RPUSH", "LPUSH", "EXISTS", "TTL", "TYPE", "MULTI", "PING", "SELECT", "PUBLISH"}


def rows_of(command, reply):
    if command in SAY_LITTLE or isinstance(reply, Exception):
        return 0
    if command.endswith("SCAN"):
        return leaves(reply[1])
    return leaves(reply)


def run(connection, keys, *arguments):
    reply = connection.execute_command(*arguments)
    add(arguments[0], keys, rows_of(arguments[0], reply))
    return reply


def fails(connection, keys, *arguments):
    try:
        connection.execute_command(*arguments)
    except redis.ResponseError:
        add(arguments[0], keys, 0)
        return
    raise SystemExit(f"did not fail: {arguments}")


def read(r):
    for i in range(300):
        run(r, "user:*:email", "GET", f"user:zq7x{i}:email")
        run(r, "work:*", "SET", f"work:{user}zq7x{i}", f"zq7x value {i}")
    run(r, "user:*:email", "MGET", *[f"user:zq7x{i}:email" for i in range(190, 240)])
    for i in range(20):
        run(r, "profile:*", "HGETALL", f"profile:zq7x{i}")
        run(r, "profile:*", "HGET", f"profile:zq7x{i}", "zq7x field 3")
        run(r, "profile:*", "HMGET", f"profile:zq7x{i}", "zq7x field 1", "zq7x nothing", "zq7x field 2")
    run(r, "queue:*", "LRANGE", "queue:zq7x1", "0", "-1")
    run(r, "tags:*", "SMEMBERS", "tags:zq7x1")
    run(r, "board:*", "ZRANGE", "board:zq7x1", "0", "-1", "WITHSCORES")
    run(r, "board:*", "ZRANGE", "board:zq7x1", "0", "9")
    run(r, "user:*:email", "DUMP", "user:zq7x1:email")
    run(r, "user:*:email", "GETRANGE", "user:zq7x1:email", "0", "3")
    run(r, "user:*:email", "EXISTS", "user:zq7x1:email", "user:zq7x2:email")
    run(r, "user:*:email", "TTL", "user:zq7x1:email")
    run(r, "user:*:email", "TYPE", "user:zq7x1:email")
    run(r, "work:*", "INCR", f"work:{user}zq7xcount")
    run(r, "user:*", "KEYS", "user:zq7x*")
    run(r, "", "PING")
    for command, key, keys in [("SCAN", [], ""), ("HSCAN", ["profile:zq7x1"], "profile:*"), ("SSCAN", ["tags:zq7x1"], "tags:*"),
                               ("ZSCAN", ["board:zq7x1"], "board:*")]:
        cursor = "0"
        while True:
            cursor, _ = run(r, keys, command, *key, cursor, "COUNT", "100")
            if cursor in (b"0", "0", 0):
                break


def pipelines(r):
    pipeline = r.pipeline(transaction=False)
    for i in range(1000):
        pipeline.execute_command("GET", f"user:zq7x{i % 250}:email")
    for reply in pipeline.execute():
        add("GET", "user:*:email", leaves(reply))
    # What is queued is a query each; what it returns comes with EXEC.
    transaction = r.pipeline(transaction=True)
    transaction.execute_command("SET", f"work:{user}zq7xt", "zq7x")
    transaction.execute_command("GET", "user:zq7x1:email")
    transaction.execute_command("GET", "user:zq7xnobody:email")
    transaction.execute_command("HGETALL", "profile:zq7x1")
    _, one, none, many = transaction.execute()
    add("MULTI", "", 0)
    add("SET", "work:*", 0)
    add("GET", "user:*:email", 0)
    add("GET", "user:*:email", 0)
    add("HGETALL", "profile:*", 0)
    add("EXEC", "", leaves(one) + leaves(none) + leaves(many))


def scripts(r):
    text = "redis.call('STRLEN', KEYS[1]) return {1, ARGV[1], false, {'zq7x', 'b'}}"
    run(r, "user:*:email", "EVAL", text, "1", "user:zq7x1:email", "zq7x argument")
    run(r, "", "EVAL", "return false", "0")


def blocks(r):
    def push():
        other = client()
        run(other, "jobs:*", "RPUSH", f"jobs:{user}zq7x", "zq7x job 1", "zq7x job 2")
        other.close()

    later = threading.Timer(0.2, push)
    later.start()
    for _ in range(2):
        run(r, "jobs:*", "BLPOP", f"jobs:{user}zq7x", "20")
    later.join()
    run(r, "jobs:*", "BLPOP", f"jobs:{user}zq7x", "0.05")


def errors(r):
    fails(r, "profile:*", "GET", "profile:zq7x1")
    fails(r, "profile:*", "GET", "profile:zq7x1")
    fails(r, "work:*", "INCR", f"work:{user}zq7x1")


r = client()
read(r)
pipelines(r)
scripts(r)
blocks(r)
errors(r)
r.close()
print(json.dumps(count))
