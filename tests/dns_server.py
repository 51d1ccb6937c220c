"""A DNS server of our own on loopback, so that look-ups are real ones: UDP, real packets."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class Zones:
    """What the server answers. A domain that is in none of them does not exist (NXDOMAIN)."""

    mx: dict[str, list[str]] = field(default_factory=dict)  # domain → exchanges; "." is null MX
    a: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # SERVFAIL
    silent: set[str] = field(default_factory=set)  # no answer at all
    delay: float = 0.0  # seconds before each answer
    all_silent: bool = False
    questions: list[str] = field(default_factory=list)
    any_mx: bool = False  # every domain that is not known takes mail
    isolated: bool = False  # a closed network's server: it does not even know the root

    def answer(self, wire: bytes) -> bytes | None:
        """The packet to send back, or None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        if kind != "NS":
            self.questions.append(name)
        if self.all_silent or name in self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if kind == "NS" and name in ("", ".") and not self.isolated:
            root = dns.rrset.from_text(question.name, 60, "IN", "NS", "a.root.example.")
            response.answer.append(root)
        elif name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif kind == "MX" and (name in self.mx or (self.any_mx and name not in self.a)):
            hosts = self.mx.get(name, ["mx.example.net"])
            records = [f"10 {host.rstrip('.')}." for host in hosts]
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "MX", *records))
        elif kind == "A" and name in self.a:
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", self.a[name]))
        elif name not in self.mx and name not in self.a:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@contextmanager
def dns_server(zones: Zones) -> Iterator[tuple[str, int]]:
    """Run a server for `zones`; yields its address and port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, sock = self.request
            wire = zones.answer(packet)
            time.sleep(zones.delay)
            if wire is not None:
                sock.sendto(wire, self.client_address)

    class Server(socketserver.ThreadingUDPServer):
        daemon_threads = True
        max_packet_size = 4096

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield "127.0.0.1", server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
