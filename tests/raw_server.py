"""A server that answers a request with whatever bytes a test wants, or breaks off."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any

#: Gets the connection after the request has been read; answers, or does not.
Script = Callable[[socket.socket], None]


def answer(
    status: str, body: bytes | str, headers: dict[str, str] | None = None, *, keep: bool = True
) -> Script:
    """Answer with this status line, body and headers; `keep` leaves the connection open."""
    data = body if isinstance(body, bytes) else body.encode()

    def script(connection: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [] if keep else ["Connection: close"]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        if not keep:
            connection.close()

    return script


def accepted(message_id: str = "message-1") -> Script:
    """What SES says when it has taken a mail."""
    body = json.dumps({"MessageId": message_id})
    return answer("200 OK", body, {"Content-Type": "application/json"})


def aws_error(status: str, error_type: str, message: str) -> Script:
    """An error as SES writes it."""
    return answer(status, json.dumps({"message": message}), {"x-amzn-ErrorType": error_type})


def reset(connection: socket.socket) -> None:
    """Break the connection off with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def raw(data: bytes) -> Script:
    """Write these bytes and close."""

    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.close()

    return script


class RawServer:
    """Keeps what it got in `requests`; `script` says how the next requests are answered."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.script: Script = accepted()
        self.greeting: Script | None = None  # done at once, before anything is read
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self._tls = tls
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(timeout=60)

    def drop_connections(self) -> None:
        """Close every open connection, as a server does that has waited long enough."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            if self.greeting:
                self.greeting(connection)
                return
            while connection.fileno() >= 0 and self._read(connection):
                self.script(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def _read(self, connection: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        self.requests.append((first, headers, body))
        return True
