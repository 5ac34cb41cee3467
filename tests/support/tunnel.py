#!/usr/bin/env python3
"""One end of a tunnel, for kernels without the tunnel's own module: packets of a device go out with a header before
them, packets with that header come in through the device. The outer headers are the kernel's.

usage: tunnel.py KIND DEVICE LOCAL REMOTE [INTERFACE]

KIND is gre, ipip, 6in4 (IP), geneve (Ethernet), gtp-u (IP) or pppoe (IP; LOCAL and REMOTE are then hardware addresses
and INTERFACE is the one that they are on; the session is taken as agreed upon: there is no discovery).
"""
import fcntl, os, select, socket, struct, sys

TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI = 0x400454CA, 1, 2, 0x1000
PPPOE_SESSION, SESSION, GENEVE_VNI, GTP_TEID = 0x8864, 7, 42, 0x00AB12CD


def version(packet):
    return packet[0] >> 4


def ethertype(packet):
    return 0x86DD if version(packet) == 6 else 0x0800


def on_ip(protocol, local, before):
    """A raw socket: the kernel writes the IPv4 header, and leaves it on what it hands out."""
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    s.bind((local, 0))
    return s, (lambda packet, to: s.sendto(before(packet) + packet, (to, 0))), (lambda got: got[(got[0] & 15) * 4:])


def on_udp(port, local, before):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((local, port))
    return s, (lambda packet, to: s.sendto(before(packet) + packet, (to, port))), (lambda got: got)


def pppoe(interface, local):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(PPPOE_SESSION))
    s.bind((interface, PPPOE_SESSION))
    mac = lambda text: bytes.fromhex(text.replace(":", ""))

    def send(packet, to):
        head = struct.pack(">BBHHH", 0x11, 0, SESSION, len(packet) + 2, 0x0057 if version(packet) == 6 else 0x0021)
        s.send(mac(to) + mac(local) + struct.pack(">H", PPPOE_SESSION) + head + packet)

    return s, send, lambda got: got[22:20 + struct.unpack(">H", got[18:20])[0]] if got[:6] == mac(local) else b""


def main():
    kind, device, local, remote = sys.argv[1:5]
    tap = kind == "geneve"
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", device.encode(), (IFF_TAP if tap else IFF_TUN) | IFF_NO_PI))
    header = 0
    if kind == "gre":
        header = 4
        wire, send, strip = on_ip(47, local, lambda p: struct.pack(">HH", 0, ethertype(p)))
    elif kind == "ipip":
        wire, send, strip = on_ip(4, local, lambda p: b"")
    elif kind == "6in4":
        wire, send, strip = on_ip(41, local, lambda p: b"")
    elif kind == "geneve":
        header = 8
        wire, send, strip = on_udp(6081, local, lambda p: struct.pack(">BBHI", 0, 0, 0x6558, GENEVE_VNI << 8))
    elif kind == "gtp-u":
        header = 8
        wire, send, strip = on_udp(2152, local, lambda p: struct.pack(">BBHI", 0x30, 0xFF, len(p), GTP_TEID))
    elif kind == "pppoe":
        wire, send, strip = pppoe(sys.argv[5], local)
    else:
        sys.exit(__doc__)
    while True:
        for ready in select.select([end, wire], [], [])[0]:
            if ready is end:
                packet = os.read(end, 65535)
                # what only a tunnel of the other family could carry (the kernel's own router solicitations) stays here
                if tap or version(packet) == (6 if kind == "6in4" else 4):
                    send(packet, remote)
            else:
                packet = strip(wire.recv(65535))[header:]
                try:
                    os.write(end, packet)
                except OSError:
                    pass  # the device is not up yet, or this is no packet


if __name__ == "__main__":
    main()
