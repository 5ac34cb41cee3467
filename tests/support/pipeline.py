#!/usr/bin/env python3
"""A client that asks everything before it reads anything (HTTP/1.1 pipelining, RFC 9112 section 9.3.2).

usage: pipeline.py ADDRESS HOST TARGET...
"""
import socket, sys

address, host, targets = sys.argv[1], sys.argv[2], sys.argv[3:]
s = socket.create_connection((address, 80), 5)
last = len(targets) - 1
s.sendall(b"".join(
    b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n\r\n"
    % (t.encode(), host.encode(), b"close" if i == last else b"keep-alive") for i, t in enumerate(targets)))
while s.recv(65536):
    pass
