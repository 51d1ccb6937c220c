"""Posts signed messages as SNS does, over kept-alive connections, and times the answers.

    python benchmarks/events_post.py PORT FILE CONNECTIONS

A process of its own with one thread and plain sockets, so that it takes little of the cores that
the server is measured on. FILE holds the requests, each behind its length in four bytes; the
answer is one JSON document: seconds in all, milliseconds of each post, answers that were not 200.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEAD = "POST /sns-notifications HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"


def write_requests(path: Path, bodies: Iterator[bytes]) -> int:
    """Make the file; how many requests it holds."""
    count = 0
    with path.open("wb") as file:
        for body in bodies:
            request = f"{_HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
            file.write(len(request).to_bytes(4, "big") + request)
            count += 1
    return count


def read_requests(path: Path) -> list[bytes]:
    """The requests of the file."""
    data = path.read_bytes()
    requests, start = [], 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        requests.append(data[start + 4 : end])
        start = end
    return requests


@dataclass(slots=True)
class _Connection:
    """A socket, the request under way and what came of its answer."""

    socket: socket.socket
    request: bytes
    begun: float
    answer: bytes = b""

    @property
    def status(self) -> int | None:
        """The status, once the answer is whole."""
        head, end, body = self.answer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return int(head[9:12]) if len(body) >= int(length or 0) else None


class Poster:
    """Keeps a number of connections busy until all requests are answered."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._left = requests[::-1]
        self._selector = selectors.DefaultSelector()
        self.milliseconds: list[float] = []
        self.not_200: list[int] = []

    def run(self, connections: int) -> float:
        """Post everything; seconds."""
        begin = time.perf_counter()
        for _ in range(min(connections, len(self._left))):
            self._post(self._connect(), self._left.pop())
        while self._selector.get_map():
            for key, _ in self._selector.select():
                self._read(key.data)
        return time.perf_counter() - begin

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), 30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _post(self, over: socket.socket, request: bytes) -> None:
        connection = _Connection(over, request, time.perf_counter())
        over.sendall(request)
        self._selector.register(over, selectors.EVENT_READ, connection)

    def _read(self, connection: _Connection) -> None:
        over = connection.socket
        received = over.recv(65536)
        connection.answer += received
        status = connection.status
        if status is None and received:
            return
        self._selector.unregister(over)
        if status is None:  # closed between two requests, as a worker does that starts anew
            over.close()
            self._post(self._connect(), connection.request)
            return
        self.milliseconds.append((time.perf_counter() - connection.begun) * 1000)
        if status != 200:
            self.not_200.append(status)
        closes = b"connection: close" in connection.answer.lower()
        if closes or not self._left:
            over.close()
        if self._left:
            self._post(self._connect() if closes else over, self._left.pop())


def main(port: str, file: str, connections: str) -> None:
    """Post and print."""
    poster = Poster(int(port), read_requests(Path(file)))
    seconds = poster.run(int(connections))
    cpu = time.process_time()
    print(json.dumps([seconds, cpu, poster.milliseconds, poster.not_200]))


if __name__ == "__main__":
    main(*sys.argv[1:])
