"""Greets, then sends back each line until `exit`: the first server of most tutorials."""
import socket

with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
    server.bind(("127.0.0.1", 0))
    server.listen()
    print(server.getsockname()[1], flush=True)
    while True:
        conn, addr = server.accept()
        with conn:
            conn.sendall(f"Welcome, {addr[0]}:{addr[1]}\n".encode())
            while data := conn.recv(1024):
                if data.strip() == b"exit":
                    conn.sendall(b"Goodbye\n")
                    break
                conn.sendall(data)
