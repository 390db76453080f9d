"""Echo on a port, as Python's documentation of `socketserver` writes it: a thread a connection."""

import socketserver
import sys


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 4096


with Server(("127.0.0.1", int(sys.argv[1])), Echo) as server:
    server.serve_forever()
