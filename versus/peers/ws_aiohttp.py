"""WebSockets on a port by aiohttp, as its documentation writes it: echo, or broadcast."""

import asyncio
import sys

from aiohttp import WSMsgType, web

port, answer = int(sys.argv[1]), sys.argv[2]
is_compressed = sys.argv[3:] == ["compressed"]
clients = set()


async def handle(request):
    websocket = web.WebSocketResponse(compress=is_compressed)
    await websocket.prepare(request)
    clients.add(websocket)
    try:
        async for message in websocket:
            if message.type != WSMsgType.TEXT:
                continue
            if answer == "echo":
                await websocket.send_str(message.data)
            else:
                others = clients - {websocket}
                await asyncio.gather(*(other.send_str(message.data) for other in others))
    finally:
        clients.discard(websocket)
    return websocket


app = web.Application()
app.router.add_get("/", handle)
web.run_app(app, host="127.0.0.1", port=port, backlog=4096, print=None)
