#!/usr/bin/env python3
"""The cable between the two namespaces: carries frames between two interfaces, and misbehaves when told to.

usage: relay.py LEFT RIGHT MODEFILE

MODEFILE holds one line, read again every 50 ms:
  plain               every frame goes through at once
  rough               TCP segments with data: every 5th is lost, every 3rd is overtaken by the next, every 4th comes twice
  trunk FILE ID[,ID]  every frame goes through, and is written to FILE as a switch's trunk port would show it: with
                      802.1Q tags (two: 802.1ad outside). For kernels without 802.1Q of their own.
  loopback FILE       every frame goes through, and is written to FILE as a BSD shows its loopback: the address family
                      in the writer's byte order instead of Ethernet. Linux has no such device.
"""
import os, select, socket, struct, sys, time

ETH_P_ALL, OUTGOING = 3, 4


def door(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((name, ETH_P_ALL))
    return s


def data(frame):
    """Bytes of TCP payload of an IPv4 frame; 0 for everything else."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return 0
    header = (frame[14] & 15) * 4
    return struct.unpack(">H", frame[16:18])[0] - header - (frame[14 + header + 12] >> 4) * 4


class Copy:
    """A capture file of what goes through, each frame as `shown` has it."""

    def __init__(self, path, link, shown):
        self.out = open(path, "wb", buffering=0)
        self.out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link))
        self.shown = shown

    def write(self, frame):
        if frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
            return
        now, whole = time.time(), self.shown(frame)
        self.out.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(whole), len(whole)) + whole)


def trunk(path, ids):
    types = [0x8100] if len(ids) == 1 else [0x88A8, 0x8100]
    tags = b"".join(struct.pack(">HH", t, i) for t, i in zip(types, ids))
    return Copy(path, 1, lambda frame: frame[:12] + tags + frame[12:])


def loopback(path):
    families = {b"\x08\x00": 2, b"\x86\xdd": 30}  # macOS' AF_INET6
    return Copy(path, 0, lambda frame: struct.pack("<I", families[frame[12:14]]) + frame[14:])


def copy_of(words):
    if words[0] == "trunk":
        return trunk(words[1], [int(i) for i in words[2].split(",")])
    return loopback(words[1]) if words[0] == "loopback" else None


def main():
    left, right = door(sys.argv[1]), door(sys.argv[2])
    other = {left: right, right: left}
    held, count = {left: None, right: None}, {left: 0, right: 0}
    mode, copy, checked = "plain", None, 0.0
    while True:
        ready, _, _ = select.select([left, right], [], [], 0.02)
        if time.monotonic() - checked > 0.05:
            checked = time.monotonic()
            said = open(sys.argv[3]).read().strip() or "plain"
            if said != mode:
                mode, copy = said, copy_of(said.split())
                count = {left: 0, right: 0}
        for door_ in ready:
            frame, address = door_.recvfrom(65535)
            if address[2] == OUTGOING:
                continue
            if copy:
                copy.write(frame)
            out = other[door_]
            if mode == "rough" and data(frame) > 0:
                count[door_] += 1
                n = count[door_]
                if n % 5 == 0:
                    continue
                if n % 3 == 0 and held[door_] is None:
                    held[door_] = frame
                    continue
                if n % 4 == 0:
                    out.send(frame)
            out.send(frame)
            if held[door_] is not None:
                out.send(held[door_])
                held[door_] = None
        if not ready:
            for door_ in (left, right):
                if held[door_] is not None:
                    other[door_].send(held[door_])
                    held[door_] = None


if __name__ == "__main__":
    main()
