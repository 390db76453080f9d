"""Asks three questions by `sendto`, and reads an answer to each by `recvfrom`."""
import socket
import sys

server = ("127.0.0.1", int(sys.argv[1]))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    for question in [b"one", b"two", b"three"]:
        sock.sendto(question, server)
        answer, sender = sock.recvfrom(4096)
        assert sender == server, sender
        print(answer.decode())
