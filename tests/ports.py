"""Ports for programs under test that cannot choose one themselves."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_CHANCE = random.SystemRandom()


def free_port() -> int:
    """A port of loopback that nobody listens on, below those that the system gives away.

    One of the system's could be gone by the time the program listens: every connection that
    some other test opens meanwhile takes one.
    """
    given_away = Path("/proc/sys/net/ipv4/ip_local_port_range")
    highest = int(given_away.read_text().split()[0]) if given_away.exists() else 32_768
    while True:
        port = _CHANCE.randrange(12_000, max(highest, 16_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
