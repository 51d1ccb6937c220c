"""One HTTP POST on asyncio, to loopback only: the simulator never talks to another machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def is_loopback(url: str) -> bool:
    """Whether a URL is plain HTTP on this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and parts.hostname in LOOPBACK and parts.port != 0
    except ValueError:
        return False


async def post(url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
    """The status of the answer; 0 when there is none within `timeout` seconds."""
    if not is_loopback(url):
        return 0
    try:
        return await asyncio.wait_for(_exchange(url, headers, body), timeout)
    except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError):
        return 0  # TimeoutError is an OSError, IncompleteReadError an EOFError


async def _exchange(url: str, headers: Mapping[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"POST {target} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
            "\r\n",
        ]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        # The answer is read to its end, so that the server is not cut off in the middle of it.
        await (reader.readexactly(int(length[1])) if length else reader.read())
        return int(head.split(b" ", 2)[1])
    finally:
        writer.close()
