"""WebSockets on a port by picows on uvloop, as its documentation writes it: echo, or broadcast."""

import asyncio
import sys

import uvloop
from picows import WSListener, WSMsgType, ws_create_server

port, answer = int(sys.argv[1]), sys.argv[2]
clients = set()


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class Broadcast(WSListener):
    def on_ws_connected(self, transport):
        clients.add(transport)

    def on_ws_disconnected(self, transport):
        clients.discard(transport)

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        for client in clients:
            if client is not transport:
                client.send(frame.msg_type, payload)


async def main():
    listener = Echo if answer == "echo" else Broadcast
    server = await ws_create_server(lambda request: listener(), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


uvloop.run(main())
