"""Echo on a port, as Python's documentation of `selectors` writes it: one loop."""

import selectors
import socket
import sys

sel = selectors.DefaultSelector()


def accept(sock, mask):
    conn, addr = sock.accept()
    conn.setblocking(False)
    sel.register(conn, selectors.EVENT_READ, read)


def read(conn, mask):
    data = conn.recv(65536)
    if data:
        conn.send(data)
    else:
        sel.unregister(conn)
        conn.close()


sock = socket.socket()
sock.bind(("127.0.0.1", int(sys.argv[1])))
sock.listen(4096)
sock.setblocking(False)
sel.register(sock, selectors.EVENT_READ, accept)

while True:
    events = sel.select()
    for key, mask in events:
        callback = key.data
        callback(key.fileobj, mask)
