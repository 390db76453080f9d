"""Reads a greeting, says lines and reads each answer, and leaves with `exit`."""
import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    lines = sock.makefile("r", newline="\n")
    print(lines.readline(), end="")
    for word in ["ahoy", "Grüße", "exit"]:
        sock.sendall(f"{word}\n".encode())
        print(lines.readline(), end="")
    print("closed" if lines.read() == "" else "open")
