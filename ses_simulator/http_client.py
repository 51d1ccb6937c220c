"""One HTTP POST on asyncio, to loopback only: the simulator never talks to another machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

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
    except (OSError, ValueError, IndexError, TimeoutError, asyncio.IncompleteReadError):
        return 0


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
        status = int((await reader.readline()).split(b" ")[1])
        await reader.read()
        return status
    finally:
        writer.close()
