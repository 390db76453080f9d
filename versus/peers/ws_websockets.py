"""WebSockets on a port by websockets, as its documentation writes it: echo, or broadcast."""

import asyncio
import sys

from websockets.asyncio.server import broadcast, serve

port, answer = int(sys.argv[1]), sys.argv[2]
compression = "deflate" if sys.argv[3:] == ["compressed"] else None
clients = set()


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def pass_on(websocket):
    clients.add(websocket)
    try:
        async for message in websocket:
            broadcast(clients - {websocket}, message)
    finally:
        clients.remove(websocket)


async def main():
    handler = echo if answer == "echo" else pass_on
    server = serve(handler, "127.0.0.1", port, compression=compression, backlog=4096)
    async with server as running:
        await running.serve_forever()


asyncio.run(main())
