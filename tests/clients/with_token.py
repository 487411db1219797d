"""Stands before a server for a client that can send no token: adds it, and changes nothing else but the port in Host and Origin.

    with_token.py TOKEN_FILE PORT        prints the port it listens at; ends with its standard input
"""

import asyncio
import contextlib
import pathlib
import re
import sys


# The loop itself keeps no task alive.
RUNNING = set()


async def pipe(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def serve(client, to_client, token, port):
    here = to_client.get_extra_info("sockname")[1]
    RUNNING.add(asyncio.current_task())
    try:
        head = (await client.readuntil(b"\r\n\r\n")).decode("latin-1")
        # One request for each connection: the next one needs the token, too.
        lines = [line for line in head.split("\r\n")[:-2] if not re.match(r"(connection|authorization):", line, re.I)]
        # The suite sends foreign names on purpose: only its own address is written anew.
        own = re.compile(rf"^((?:host|origin):.*\b(?:localhost|127\.0\.0\.1)):{here}$", re.I)
        lines = [own.sub(rf"\g<1>:{port}", line) for line in lines]
        lines += [f"Authorization: Bearer {token}", "Connection: close", "", ""]
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        to_server.write("\r\n".join(lines).encode("latin-1"))
        sending = asyncio.create_task(pipe(client, to_server))
        await pipe(server, to_client)
        sending.cancel()
        to_server.close()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        to_client.close()
        RUNNING.discard(asyncio.current_task())


async def main():
    token, port = pathlib.Path(sys.argv[1]).read_text().strip(), int(sys.argv[2])
    listener = await asyncio.start_server(lambda *ends: serve(*ends, token, port), "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
