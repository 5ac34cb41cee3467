#!/usr/bin/env python3
"""Clients that ask in ways which no everyday client offers.

usage: odd.py raw ADDRESS PORT TEXT              TEXT (with \\r\\n and the like) over TCP, and all of the answer
       odd.py extended ADDRESS HOST TARGET       an HTTP request whose IPv6 packets carry hop-by-hop and destination options
       odd.py extended-dns ADDRESS NAME          a DNS question, likewise
       odd.py stratum ADDRESS PORT               login, submit and keepalive as a miner sends them
       odd.py pool PORT                          the pool that answers them
"""
import asyncio, json, socket, struct, sys


def with_options(s):
    pad = bytes([0, 0, 1, 4, 0, 0, 0, 0])  # next header (the kernel's), eight bytes in all, PadN
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, pad)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, pad)


def rest(s):
    while s.recv(65536):
        pass


def raw(address, port, text):
    s = socket.create_connection((address, int(port)), 5)
    s.sendall(text.encode().decode("unicode_escape").encode("latin-1"))
    rest(s)


def extended(address, host, target):
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.settimeout(5)
    with_options(s)
    s.connect((address, 80))
    s.sendall(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (target.encode(), host.encode()))
    rest(s)


def extended_dns(address, name):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.settimeout(5)
    with_options(s)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    s.sendto(struct.pack(">HHHHHH", 0x1234, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 28, 1), (address, 53))
    s.recv(4096)


def stratum(address, port):
    s = socket.create_connection((address, int(port)), 5)
    lines = s.makefile("rw")
    for number, method in enumerate(("login", "submit", "keepalived"), 1):
        params = {"login": "wallet", "pass": "x", "agent": "lab/1"}
        lines.write(json.dumps({"id": number, "method": method, "params": params}) + "\n")
        lines.flush()
        lines.readline()


def pool(port):
    async def answer(reader, writer):
        while line := await reader.readline():
            asked = json.loads(line)
            job = {"id": "1", "job": {"job_id": "j1", "blob": "00" * 76, "target": "ffffff00"}, "status": "OK"}
            result = job if asked["method"] == "login" else {"status": "OK"}
            told = {"id": asked["id"], "jsonrpc": "2.0", "error": None, "result": result}
            writer.write((json.dumps(told) + "\n").encode())
            await writer.drain()
        writer.close()

    async def serve():
        server = await asyncio.start_server(answer, "0.0.0.0", int(port))
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    known = {"raw": raw, "extended": extended, "extended-dns": extended_dns, "stratum": stratum, "pool": pool}
    if len(sys.argv) < 3 or sys.argv[1] not in known:
        sys.exit(__doc__)
    known[sys.argv[1]](*sys.argv[2:])
