"""A thread for each connection, as in the socketserver module's documentation."""
import socketserver
import threading


class ThreadedTCPRequestHandler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            cur_thread = threading.current_thread()
            self.wfile.write(f"{cur_thread.name}: ".encode() + line)


class ThreadedTCPServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True


with ThreadedTCPServer(("127.0.0.1", 0), ThreadedTCPRequestHandler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
