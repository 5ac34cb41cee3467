#!/usr/bin/env python3
"""A port of two receive queues, each packet put into the one that is wanted: a TAP device, since a veth chooses by itself.

usage: queues.py INTERFACE split|skewed|even SECONDS

split: the two directions of a conversation come by different queues; skewed: everything by one; even: both directions of a
conversation by one of the two. Prints `ready` when the port is up.
"""
import fcntl, os, struct, subprocess, sys, time

TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE = 0x400454CA, 0x0002, 0x1000, 0x0100
CONVERSATIONS = 40


def queue(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE))
    return fd


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(source, target, number):
    (source_ip, source_port), (target_ip, target_port) = source, target
    data = b"data%08d" % number
    head = struct.pack("!HHIIBBH", source_port, target_port, number, 1, 0x50, 0x18, 65535)
    pseudo = bytes(source_ip) + bytes(target_ip) + struct.pack("!HH", 6, 20 + len(data))
    tcp = head + struct.pack("!HH", checksum(pseudo + head + bytes(4) + data), 0) + data
    ip = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(tcp), number & 0xFFFF, 0, 64, 6)
    ends = bytes(source_ip) + bytes(target_ip)
    ip += struct.pack("!H", checksum(ip + bytes(2) + ends)) + ends
    return b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + ip + tcp


def main(name, manner, seconds):
    queues = [queue(name), queue(name)]
    subprocess.run(["sysctl", "-qw", "net.ipv6.conf.%s.disable_ipv6=1" % name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    print("ready", flush=True)
    number, until = 0, time.monotonic() + float(seconds)
    while time.monotonic() < until:
        for one in range(CONVERSATIONS):
            client, server = ([10, 20, 0, one + 1], 30000 + one), ([198, 51, 100, 10], 443)
            asked, answered = {"split": (0, 1), "skewed": (0, 0), "even": (one % 2, one % 2)}[manner]
            number += 2
            os.write(queues[asked], frame(client, server, number))
            os.write(queues[answered], frame(server, client, number + 1))
        time.sleep(0.02)


main(*sys.argv[1:])
