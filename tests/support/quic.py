#!/usr/bin/env python3
"""HTTP/3 on both ends (aioquic): one page, whatever is asked for.

usage: quic.py serve CERTIFICATE KEY PORT ADDRESS...
       quic.py get AUTHORITY ADDRESS PORT NAME PATH
"""
import asyncio, sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated


class Peer(QuicConnectionProtocol):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.http, self.answered = None, {}

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        for said in self.http.handle_event(event) if self.http else ():
            if self._quic.configuration.is_client:
                if getattr(said, "stream_ended", False) and said.stream_id in self.answered:
                    self.answered[said.stream_id].set_result(True)
            elif isinstance(said, HeadersReceived):
                self.http.send_headers(said.stream_id, [(b":status", b"200"), (b"content-type", b"text/plain")])
                self.http.send_data(said.stream_id, b"hello over h3\n", True)
                self.transmit()


async def serve_all(certificate, key, port, addresses):
    settings = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    settings.load_cert_chain(certificate, key)
    for address in addresses:
        await serve(address, int(port), configuration=settings, create_protocol=Peer)
    await asyncio.Future()


async def get(authority, address, port, name, path):
    settings = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, server_name=name)
    settings.load_verify_locations(authority)
    async with connect(address, int(port), configuration=settings, create_protocol=Peer) as peer:
        peer.http = peer.http or H3Connection(peer._quic)
        stream = peer._quic.get_next_available_stream_id()
        peer.answered[stream] = asyncio.get_running_loop().create_future()
        head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", name.encode()), (b":path", path.encode())]
        peer.http.send_headers(stream, head, True)
        peer.transmit()
        await asyncio.wait_for(peer.answered[stream], 5)


words = sys.argv[1:]
asyncio.run(serve_all(words[1], words[2], words[3], words[4:]) if words[:1] == ["serve"] else get(*words[1:]))
