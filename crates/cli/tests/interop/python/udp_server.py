"""Answers each datagram with `sendto`, in capital letters."""
import socket

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
while True:
    data, address = sock.recvfrom(4096)
    sock.sendto(data.upper(), address)
