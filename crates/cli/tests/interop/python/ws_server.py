"""A WebSocket server of the library that is named: echo; at /fire it closes with 1011."""

import asyncio
import logging
import sys

# Peers that break the protocol are what some tests are about.
logging.disable(logging.CRITICAL)


async def with_websockets():
    import websockets

    async def handle(websocket):
        path = websocket.request.path if hasattr(websocket, "request") else websocket.path
        if path == "/fire":
            await websocket.close(1011, "on fire")
            return
        async for message in websocket:
            await websocket.send(message)

    options = {"subprotocols": ["chat"], "max_size": None}
    server = await websockets.serve(handle, "127.0.0.1", 0, **options)
    print(list(server.sockets)[0].getsockname()[1], flush=True)
    await asyncio.Future()


async def with_aiohttp():
    from aiohttp import WSMsgType, web

    async def handle(request):
        websocket = web.WebSocketResponse(protocols=["chat"])
        await websocket.prepare(request)
        if request.path == "/fire":
            await websocket.close(code=1011, message=b"on fire")
            return websocket
        async for message in websocket:
            if message.type == WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
        return websocket

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Future()


asyncio.run({"websockets": with_websockets, "aiohttp": with_aiohttp}[sys.argv[1]]())
