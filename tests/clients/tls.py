#!/usr/bin/env python3
"""Speaks TLS to a server on behalf of clients that speak in clear, and counts the plaintext that passed.

tls.py PORT VERSION: PORT of the server on 127.0.0.1; VERSION 1.2 or 1.3. Prints the port that it listens on; at the end of its
standard input, what it counted, as JSON.
"""

import asyncio
import json
import socket
import ssl
import struct
import sys

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CHUNK = 65536

counted = {"to_client": 0, "to_server": 0, "connections": 0, "versions": []}
open_connections = set()


async def negotiate(port, context):
    """A connection to the server by TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(struct.pack("!II", 8, SSL_REQUEST))
    got = await reader.readexactly(1)
    assert got == b"S", f"expected S, got {got}"
    await writer.start_tls(context)
    counted["versions"].append(writer.get_extra_info("ssl_object").version())
    return reader, writer


async def pump(reader, writer, direction):
    try:
        while data := await reader.read(CHUNK):
            counted[direction] += len(data)
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass


async def serve(client_reader, client_writer, port, context):
    open_connections.add(asyncio.current_task())
    try:
        # The client's own wish for encryption is not for the server.
        while True:
            first = await client_reader.readexactly(8)
            code = struct.unpack("!II", first)[1]
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            client_writer.write(b"N")
        reader, writer = await negotiate(port, context)
        counted["connections"] += 1
        writer.write(first)
        counted["to_server"] += len(first)
        up = asyncio.create_task(pump(client_reader, writer, "to_server"))
        down = asyncio.create_task(pump(reader, client_writer, "to_client"))
        await up
        # The server ends when it has read the client's goodbye.
        await asyncio.wait([down], timeout=5)
        writer.close()
        await asyncio.wait([down], timeout=1)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        client_writer.close()
        open_connections.discard(asyncio.current_task())


async def main():
    port, version = int(sys.argv[1]), sys.argv[2]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    only = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    context.minimum_version = context.maximum_version = only
    listener = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, port, context), "127.0.0.1", 0, limit=1 << 20
    )
    sockets = listener.sockets
    sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    listener.close()
    if open_connections:
        await asyncio.wait(open_connections, timeout=20)
    counted["versions"] = sorted(set(counted["versions"]))
    print(json.dumps(counted), flush=True)


asyncio.run(main())
