"""HTTP/1.1 by hand on asyncio: requests in, responses out, keep-alive, nothing else.

Knows no AWS. One handler gets every request and answers at once or with an awaitable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import parse_qsl

MAX_HEAD: Final = 65_536
MAX_BODY: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class Request:
    """One complete request. `received` is epoch seconds, taken when the last byte was there."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    received: float

    @property
    def parameters(self) -> dict[str, str]:
        """The query string; the last one of equal names wins."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(slots=True)
class Response:
    """What goes back after `delay` seconds; `drop` closes the connection instead of answering."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    drop: bool = False

    def wire(self) -> bytes:
        """The bytes of the answer."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [
            f"HTTP/1.1 {self.status} {phrase}",
            f"content-type: {self.content_type}",
            f"content-length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
            "\r\n",
        ]
        return "\r\n".join(lines).encode("latin-1") + self.body


Head = tuple[str, str, str, dict[str, str]]
"""Method, path, query and headers."""
Handler = Callable[[Request], Response | Awaitable[Response]]


class BadRequest(Exception):
    """The bytes are no request that we read: answered 400, then closed."""


def parse_head(head: bytes) -> Head:
    """Method, path, query and headers (names in lower case) of a request head."""
    lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, _version = lines[0].split(" ")
    except ValueError:
        raise BadRequest(lines[0]) from None
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    path, _, query = target.partition("?")
    return method, path, query, headers


class HttpConnection(asyncio.Protocol):
    """One client connection: requests are answered one after the other."""

    def __init__(self, handler: Handler, connections: set[HttpConnection]) -> None:
        """`connections` holds the open ones, so that a stop can close them."""
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._head: Head | None = None
        self._length = 0
        self._busy = False
        self._last = False
        self._task: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and stop waiting on its behalf."""
        self._connections.discard(self)
        self._transport = None
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Close without another word."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect bytes; a complete request is handled at once."""
        self._buffer += data
        try:
            self._advance()
        except BadRequest:
            self._write(Response(400, b"bad request", "text/plain"))
            self.close()

    def _advance(self) -> None:
        while not self._busy and self._transport is not None:
            head = self._head = self._head or self._read_head()
            if head is None or len(self._buffer) < self._length:
                return
            body = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
            request = Request(*head, body=body, received=time.time())
            self._head = None
            self._busy = True
            self._last = request.headers.get("connection", "").lower() == "close"
            self._answer(request)

    def _read_head(self) -> Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest("head too long")
            return None
        head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        headers = head[3]
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit() or int(length) > MAX_BODY:
            raise BadRequest("length")
        self._length = int(length)
        if headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head

    def _answer(self, request: Request) -> None:
        result = self._handler(request)
        if isinstance(result, Response):
            self._send(result)
            return
        self._task = asyncio.ensure_future(result)
        self._task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Future[Response]) -> None:
        self._task = None
        if not task.cancelled():
            self._send(task.result())
            self._advance()

    def _send(self, response: Response) -> None:
        if response.delay > 0:
            asyncio.get_running_loop().call_later(response.delay, self._finish, response)
        else:
            self._write(response)

    def _finish(self, response: Response) -> None:
        self._write(response)
        self._advance()

    def _write(self, response: Response) -> None:
        self._busy = False
        if response.drop:
            self.close()
        elif self._transport is not None:
            self._transport.write(response.wire())
            if self._last:
                self._transport.close()
