"""A WebSocket client of the library that is named, at the echo whose URL is given."""

import asyncio
import sys

library, url = sys.argv[1:]
MESSAGES = ["ahoy", "", "Grüße \U0001f9ed", "x" * 100_000, b"", bytes(range(256)) * 1000]


async def with_websockets():
    import websockets

    async with websockets.connect(url, max_size=None) as websocket:
        for message in MESSAGES:
            await websocket.send(message)
            assert await websocket.recv() == message, message[:20]
        # An iterator is sent as fragments of one message.
        await websocket.send(["one ", "and ", "two"])
        assert await websocket.recv() == "one and two"
        pong = await websocket.ping(b"are you there?")
        await asyncio.wait_for(pong, 10)
    assert websocket.close_code == 1000, websocket.close_code


async def with_aiohttp():
    import aiohttp

    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, compress=15, heartbeat=1.0) as websocket:
            for message in MESSAGES:
                if isinstance(message, str):
                    await websocket.send_str(message)
                    assert await websocket.receive_str() == message
                else:
                    await websocket.send_bytes(message)
                    assert await websocket.receive_bytes() == message
            # The heartbeat pings meanwhile, and would close without a pong.
            try:
                raise AssertionError(await asyncio.wait_for(websocket.receive(), 1.2))
            except asyncio.TimeoutError:
                pass
            await websocket.close()
            assert websocket.close_code == 1000, websocket.close_code


asyncio.run({"websockets": with_websockets, "aiohttp": with_aiohttp}[library]())
print(library, "is content")
